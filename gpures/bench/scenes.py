"""What is measured: exposures of noise with the distortion of a detector, and frames along their axes."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.coordinates import ICRS

from gpures.demo.nircam import exposure_keywords
from gpures.demo.sky import ARCSEC, fits_wcs, tan_sip_gwcs, tangent_offsets
from gpures.wcs.frame import tangent_wcs
from gpures.wcs.transforms import compute_mean_pixel_area

__all__ = [
    "LARGE",
    "SMALL",
    "VARIANCES",
    "Scene",
    "exposure_wcs",
    "frame_along",
    "frame_wcs",
    "make_model",
    "nircam",
    "placed_header",
    "placed_wcs",
    "read_wcs",
    "roman",
    "roman_wcs",
]

# Sides of a NIRCam and of a Roman detector.
SMALL, LARGE = 2048, 4088

VARIANCES = ("var_rnoise", "var_poisson", "var_flat")

# Those that a Roman exposure has.
ROMAN_VARIANCES = ("var_rnoise", "var_poisson")

# Sides of the pixels of Roman's detectors, and of its sky cells, arcsec.
ROMAN_SCALE, CELL_SCALE = 0.11, 0.055

# A distortion made up for this benchmark, of the size and smoothness of a wide-field camera's: the quadratic terms
# move the corners of a detector by some 10 pixels, the cubic ones by 1, those of degree 4 by 0.1.
ROMAN_SIP = {
    "A_ORDER": 4,
    "A_2_0": 1.1e-6,
    "A_1_1": -1.7e-6,
    "A_0_2": 6.0e-7,
    "A_3_0": -7.0e-11,
    "A_2_1": 1.5e-11,
    "A_1_2": -6.0e-11,
    "A_0_3": 1.0e-11,
    "A_4_0": 1.2e-15,
    "A_2_2": -2.1e-15,
    "A_0_4": 8.0e-16,
    "B_ORDER": 4,
    "B_2_0": -5.0e-7,
    "B_1_1": 1.3e-6,
    "B_0_2": -1.9e-6,
    "B_3_0": 9.0e-12,
    "B_2_1": -6.5e-11,
    "B_1_2": -1.2e-11,
    "B_0_3": -7.5e-11,
    "B_4_0": -7.0e-16,
    "B_2_2": 1.6e-15,
    "B_0_4": -1.1e-15,
}

Shape = tuple[int, int]


def exposure_wcs(number: int, shape: Shape) -> Any:
    """WCS with the distortion of a NIRCam detector around the middle; each exposure is moved, and turned a little."""
    return tan_sip_gwcs(_nircam_keywords(number) | _middle(shape), shape)


@functools.cache
def _nircam_keywords(number: int) -> dict[str, float]:
    return exposure_keywords(34.5, -5.2 + 0.05 * number / ARCSEC, 0.01 * number, (SMALL, SMALL))


def placed_wcs(place: tuple[float, float], shape: Shape) -> Any:
    """WCS of a NIRCam-like exposure so many pixels, in x and y, from where the first one is."""
    return tan_sip_gwcs(_placed_keywords(place, shape), shape)


def placed_header(place: tuple[float, float], shape: Shape) -> Any:
    """The same as keywords of a FITS file."""
    return fits_wcs(_placed_keywords(place, shape), shape).to_header(relax=True)


def _placed_keywords(place: tuple[float, float], shape: Shape) -> dict[str, float]:
    keywords = _nircam_keywords(0) | _middle(shape)
    # Degrees from the tangent point to the sky: so near it, but for the cosine, they are those of the plane.
    east, north = (keywords[f"CD{axis}_1"] * place[0] + keywords[f"CD{axis}_2"] * place[1] for axis in "12")
    dec = keywords["CRVAL2"] + north
    return keywords | {"CRVAL1": keywords["CRVAL1"] + east / math.cos(math.radians(dec)), "CRVAL2": dec}


def roman_wcs(number: int, shape: Shape) -> Any:
    """WCS of a Roman-like exposure; each is moved, and turned a little."""
    angle = math.radians(60.0 + 0.01 * number)
    scale = ROMAN_SCALE / ARCSEC
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    keywords = {"CRVAL1": 268.0, "CRVAL2": 65.2 + 0.09 * number / ARCSEC} | _middle(shape)
    return tan_sip_gwcs(keywords | {"CD1_1": -c, "CD1_2": s, "CD2_1": s, "CD2_2": c} | ROMAN_SIP, shape)


def read_wcs(path: Path, shape: Shape) -> Any:
    """WCS under "wcs" in an ASDF file, for an image of a shape."""
    from gpures.io.asdf import check_wcs, opened

    with opened(path) as file:
        wcs = file.tree["wcs"]
        check_wcs(path, wcs)
    wcs.bounding_box = ((-0.5, shape[1] - 0.5), (-0.5, shape[0] - 0.5))
    return wcs


def _middle(shape: Shape) -> dict[str, float]:
    return {"CRPIX1": 0.5 * (shape[1] + 1), "CRPIX2": 0.5 * (shape[0] + 1)}


def frame_along(
    exposure: Any,
    shape: Shape,
    frame_shape: Shape,
    ratio: float = 1.0,
    middle_of: Shape | None = None,
    angle: float = 0.0,
    mirrored: bool = False,
) -> Any:
    """Undistorted frame along an exposure's axes.

    Parameters
    ----------
    exposure : gwcs.WCS
        The exposure's.
    shape, frame_shape : (int, int)
        Shapes (Ny, Nx) of the exposure and of the frame.
    ratio : float, optional
        Output over mean input pixel scale.
    middle_of : (int, int), optional
        The exposure lies in the middle of a corner of the frame that has this shape; of all of it by default.
    angle : float, optional
        By which the frame is turned, from its x axis to its y axis, degrees.
    mirrored : bool, optional
        Whether its x axis then runs the other way.
    """
    ny, nx = shape
    ra, dec = exposure(0.5 * (nx - 1) + np.array([0.0, 1.0, 0.0]), 0.5 * (ny - 1) + np.array([0.0, 0.0, 1.0]))
    columns = np.array(tangent_offsets(ra[1:], dec[1:], ra[0], dec[0])) / ARCSEC
    area = compute_mean_pixel_area(exposure)
    if area is None:
        raise ValueError("The exposure's WCS gives its pixels no area.")
    columns *= ratio * np.sqrt(np.degrees(np.degrees(area)) / abs(np.linalg.det(columns)))
    if angle or mirrored:
        c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        columns = columns @ [[c, -s], [s, c]] @ np.diag([-1.0 if mirrored else 1.0, 1.0])
    middle = [0.5 * (n - 1) for n in reversed(middle_of or frame_shape)]
    return tangent_wcs((ra[0], dec[0]), middle, columns, frame_shape, ICRS())


def frame_wcs(shape: Shape) -> Any:
    """Frame with the exposures' scale that holds those of a shape."""
    return frame_along(exposure_wcs(0, shape), shape, (shape[0] + shape[0] // 20, shape[1] + shape[1] // 20))


def make_model(number: int, shape: Shape, wcs: Any = None, variances: Iterable[str] = VARIANCES) -> dict[str, Any]:
    """Exposure with noise, 1 % of its pixels flagged; NIRCam-like where no WCS is given."""
    rng = np.random.default_rng(number)
    wcs = exposure_wcs(number, shape) if wcs is None else wcs
    model = {
        "data": 1.0 + np.float32(0.1) * rng.standard_normal(shape, np.float32),
        "dq": (rng.random(shape, np.float32) < 0.01).astype(np.uint32),
        "filename": f"exposure_{number}",
        "group_id": number,
        "wcs": wcs,
        "exposure_time": 100.0,
        "measurement_time": 100.0,
        "duration": 100.0,
        "start_time": 100.0 * number,
        "end_time": 100.0 * number + 100.0,
        "pixelarea_steradians": compute_mean_pixel_area(wcs),
        "level": 0.0,
        "subtracted": True,
    }
    images = {name: np.float32(0.5) + rng.random(shape, np.float32) for name in variances}
    return model | images | {"err": np.sqrt(sum(images.values()))}


@dataclass(frozen=True)
class Scene:
    """Exposures of one detector.

    Attributes
    ----------
    models : list of dict
        Different exposures, which take turns.
    variances : tuple of str
        Their variance arrays.
    """

    models: list[dict[str, Any]]
    variances: tuple[str, ...]

    @property
    def shape(self) -> Shape:
        """Shape of each exposure."""
        return self.models[0]["data"].shape

    def frame(self, side: int, ratio: float = 1.0, middle_of: int | None = None, **turned: Any) -> Any:
        """Square frame along the first exposure's axes, or turned against them; see `frame_along`."""
        middle = None if middle_of is None else (middle_of, middle_of)
        return frame_along(self.models[0]["wcs"], self.shape, (side, side), ratio, middle, **turned)


def nircam(side: int, count: int = 2, wcs: Path | None = None) -> Scene:
    """NIRCam-like exposures, or exposures of noise under the WCS of an ASDF file."""
    shape = side, side
    own = [None if wcs is None else read_wcs(wcs, shape) for _ in range(count)]
    return Scene([make_model(k, shape, own[k]) for k in range(count)], VARIANCES)


def roman(side: int, count: int = 2) -> Scene:
    """Roman-like exposures."""
    shape = side, side
    models = [make_model(k, shape, roman_wcs(k, shape), ROMAN_VARIANCES) for k in range(count)]
    return Scene(models, ROMAN_VARIANCES)
