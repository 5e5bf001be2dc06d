"""Demonstration of gpures on a real HST exposure and on simulated NIRCam-like data sets, one full of cosmic rays.

Each data set is drizzled twice, by gpures and by the reference algorithm (``backend="drizzle"``); the two
mosaics are compared plane by plane, and the one by gpures is written as FITS and drawn.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpures.arguments.values import checked_folder
from gpures.errors import MissingDependencyError
from gpures.extras import install
from gpures.reporting.progress import shown
from gpures.reporting.tables import row

if TYPE_CHECKING:
    from .compare import Agreement

__all__ = ["DATASETS", "MissingDependencyError", "run"]

# Modules the demo needs, with the names under which they are installed.
REQUIRED = {
    "astropy": "astropy",
    "gwcs": "gwcs",
    "drizzle": "drizzle",
    "matplotlib": "matplotlib",
}

# Empty output pixels around the exposures.  Where an exposure sticks out of the frame the reference loses
# some contributions; with a margin wider than any drop the comparison is of the algorithm alone.
MARGIN = 8


def check_dependencies() -> None:
    """Raise `MissingDependencyError` naming what the demo lacks."""
    missing = [name for module, name in REQUIRED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise MissingDependencyError(f"the demo needs {', '.join(missing)}, not installed here: {install('demo')}")


@dataclass
class Result:
    """What was done with one data set.

    Attributes
    ----------
    name : str
        Data set.
    exposures : int
        Number of exposures.
    input_pixels : int
        Pixels of all exposures.
    shape : tuple of int
        ``(Ny, Nx)`` of the mosaic, pixels.
    pixel_scale : float
        Side of its pixel, arcsec.
    kernel, weight_type : str
        Drizzle kernel and weighting.
    pixfrac : float
        Side of the drop, input pixels.
    seconds, reference_seconds : float
        Median time of ``add_model``, s, by gpures and by the reference algorithm.
    agreement : Agreement
        How closely the two agree.
    files : list of pathlib.Path
        Files written.
    remark : str
        One more line for the report.
    """

    name: str
    exposures: int
    input_pixels: int
    shape: tuple[int, int]
    pixel_scale: float
    kernel: str
    weight_type: str
    pixfrac: float
    seconds: float
    reference_seconds: float
    agreement: Agreement
    files: list[Path]
    remark: str = ""


def _drizzle(
    models: Sequence[dict[str, Any]],
    wcs: Any,
    pixel_scale: float,
    backend: str,
    label: str,
    options: dict[str, Any],
) -> tuple[Any, float]:
    """Drizzle exposures; return the output model and the median seconds of ``add_model``."""
    from gpures import Resample

    output_wcs = {"wcs": wcs, "pixel_scale": pixel_scale}
    resample = Resample(output_wcs, n_input_models=len(models), backend=backend, **options)
    seconds = []
    with shown(True, len(models), label) as done:
        for model in models:
            begin = time.perf_counter()
            resample.add_model(model)
            seconds.append(time.perf_counter() - begin)
            done(len(seconds))
    resample.finalize()
    return resample.output_model, float(np.median(seconds))


def _both(
    name: str,
    models: Sequence[dict[str, Any]],
    pixel_scale: float,
    native_scale: float,
    options: dict[str, Any],
) -> tuple[dict[str, Any], Result]:
    """Drizzle exposures by gpures and by the reference algorithm and compare the mosaics.

    ``pixel_scale`` is the mosaic's, ``native_scale`` the exposures', in arcsec.
    """
    from .compare import compare_models, contributions
    from .sky import frame_around

    options = {
        "kernel": "square",
        "fillval": "NaN",
        "enable_ctx": True,
        "enable_var": True,
        "compute_err": "from_var",
        "propagate_dq": True,
        **options,
    }
    wcs = frame_around(models, pixel_scale, MARGIN)
    model, seconds = _drizzle(models, wcs, pixel_scale, "auto", f"{name}, gpures ", options)
    reference, reference_seconds = _drizzle(models, wcs, pixel_scale, "drizzle", f"{name}, drizzle", options)
    per_exposure = contributions(pixel_scale / native_scale, options["pixfrac"])
    agreement = compare_models(model, reference, len(models), per_exposure)
    return model, Result(
        name=name,
        exposures=len(models),
        input_pixels=sum(m["data"].size for m in models),
        shape=wcs.array_shape,
        pixel_scale=pixel_scale,
        kernel=options["kernel"],
        weight_type=options["weight_type"],
        pixfrac=options["pixfrac"],
        seconds=seconds,
        reference_seconds=reference_seconds,
        agreement=agreement,
        files=[],
    )


def _hst(outdir: Path) -> Result:
    """Drizzle the HST exposure, write and draw it."""
    from gpures import io

    from . import hst
    from .pictures import Style, Zoom, hst_picture, planes_picture
    from .sky import ARCSEC

    exposure = hst.load_exposure()
    native_scale = ARCSEC * np.degrees(np.sqrt(exposure["pixelarea_steradians"]))
    # Weighting by exposure time is AstroDrizzle's default (EXP). Pixfrac 1 is right for a single exposure:
    # smaller drops would leave holes.
    options = {"pixfrac": 1.0, "weight_type": "exptime", "good_bits": hst.GOOD_BITS}
    model, result = _both("HST", [exposure], hst.PIXEL_SCALE, native_scale, options)

    fits_path, picture, planes = (outdir / f"hst_{n}" for n in ("mosaic.fits", "mosaic.png", "planes.png"))
    keywords = {
        **exposure["header"],
        "GOODBITS": (hst.GOOD_BITS, "DQ flags that do not discard a pixel"),
        "PIXSCALE": (hst.PIXEL_SCALE, "[arcsec] side of an output pixel"),
    }
    history = [
        "SCI is in electron/s per output pixel of 0.025 arcsec, the area to which the flat field refers; "
        "sums over pixels are fluxes, to which PHOTFLAM applies.",
        "The sky has not been subtracted.",
        "A part of j8bt06nyq_flt.fits; distortion: TAN-SIP solution of n721640fj_idc.fits, from the test data of the "
        "drizzle project (j8bt06nyq_sip_flt.fits).",
    ]
    facts = {"unit": exposure["bunit_data"], "exposures": [exposure["filename"]]}
    io.write(fits_path, model, **facts, header=keywords, history=history, overwrite=True)
    style = Style(
        title="HST ACS/HRC F606W, core of 47 Tucanae (NGC 104): part of j8bt06nyq, 60 s, drizzled to 0.025″ pixels",
        unit="electron / (s pix)",
        # From the darkest gaps between the stars to bright, unsaturated cores.
        low=0.8,
        high=600.0,
        softening=0.01,
        ticks=(1, 5, 10, 20, 50, 100, 200, 500),
        flags={512: "less certain flat field"},
    )
    ny, nx = result.shape
    ra, dec = model["wcs"](0.5 * nx, 0.5 * ny)
    hst_picture(picture, exposure, model, style, Zoom("2″ by 2″", (float(ra), float(dec)), (2.0, 2.0)))
    planes_picture(planes, model, style, ("var_poisson", "var_flat"))
    result.files += [fits_path, picture, planes]
    return result


def _nircam(outdir: Path) -> Result:
    """Simulate the NIRCam-like exposures, drizzle, write and draw them."""
    from gpures import io

    from . import nircam
    from .pictures import Style, Zoom, nircam_picture, planes_picture
    from .scene import make_scene
    from .sky import tangent_positions

    scene = make_scene(nircam.NRCB5["CRVAL1"], nircam.NRCB5["CRVAL2"])
    models = nircam.make_exposures(scene)
    # Half the native pixel samples the PSF twice over; with nine dithers each output pixel still gets the
    # light of some nine drops, and a pixfrac of 0.7 keeps the drop's blur well below the PSF.
    pixel_scale = 0.5 * nircam.NATIVE_SCALE
    options = {"pixfrac": 0.7, "weight_type": "ivm", "good_bits": nircam.GOOD_BITS}
    model, result = _both("NIRCam", models, pixel_scale, nircam.NATIVE_SCALE, options)

    fits_path, picture, planes = (outdir / f"nircam_{n}" for n in ("mosaic.fits", "mosaic.png", "planes.png"))
    keywords = {
        "TELESCOP": ("SIMULATED", "no real telescope"),
        "INSTRUME": ("NIRCAM-LIKE", "distortion of NRCB5, PSF width of F277W"),
        "GOODBITS": (nircam.GOOD_BITS, "DQ flags that do not discard a pixel"),
        "PIXSCALE": (pixel_scale, "[arcsec] side of an output pixel"),
        "SKYLEVEL": (nircam.SKY, "[MJy/sr] simulated sky, not subtracted"),
    }
    history = ["Simulated data: an invented scene seen through NRCB5's published distortion."]
    facts = {"unit": models[0]["bunit_data"], "exposures": [m["filename"] for m in models]}
    io.write(fits_path, model, **facts, header=keywords, history=history, overwrite=True)

    style = Style(
        title=f"Simulated NIRCam-like field: {len(models)} dithered exposures of 0.063″ pixels, "
        f"drizzled to {pixel_scale:.4f}″ (pixfrac 0.7)",
        unit="MJy / sr",
        # From just below the sky of 0.13 to the cores of bright stars.
        low=0.11,
        high=5.0,
        softening=0.012,
        ticks=(0.13, 0.2, 0.3, 0.5, 1, 2, 5),
        flags={nircam.JUMP_DET: "jump in the ramp", nircam.WARM: "warm pixel"},
    )

    def zoom(name: str, xi: float, eta: float, size: tuple[float, float], linear: float = 0.0) -> Zoom:
        """Part of the mosaic about an offset from the field's middle, arcsec."""
        ra, dec = tangent_positions(np.array([xi]), np.array([eta]), scene.ra0, scene.dec0)
        return Zoom(name, (float(ra[0]), float(dec[0])), size, linear)

    separations = scene.pairs[:, 2]
    pairs = f"Star pairs {separations.min():.2f}″ to {separations.max():.2f}″ apart"
    zooms = [
        zoom("Spiral galaxy", 0.5, 0.8, (5.8, 4.8)),
        zoom(pairs, 0.9, 6.0, (3.0, 1.6), linear=0.9),
    ]
    nircam_picture(picture, models[4 if len(models) > 4 else 0], model, style, zooms)
    planes_picture(planes, model, style, ("var_rnoise", "var_poisson"))
    result.files += [fits_path, picture, planes]
    ratio, sigma = nircam.measure_standards(scene, model["data"], model["wcs"], pixel_scale, len(models))
    result.remark = (
        f"flux of {ratio.size} standard stars, measured / simulated: mean {ratio.mean():.4f}, rms "
        f"{ratio.std():.4f} (photon and read noise alone: {np.sqrt(np.mean(sigma**2)):.4f})"
    )
    return result


def _rays(outdir: Path) -> Result:
    """Simulate exposures with cosmic rays under skies of their own, clean and drizzle them, write and draw them."""
    from matplotlib.figure import Figure

    from gpures import flag_outliers, io, match_sky, plot

    from . import nircam
    from .cosmic_rays import flagged_fractions, make_ray_exposures
    from .scene import make_scene

    scene = make_scene(nircam.NRCB5["CRVAL1"], nircam.NRCB5["CRVAL2"])
    exposures = make_ray_exposures(scene, n_exposures=6)
    models = [exposure.model | {"level": None} for exposure in exposures]
    scale = nircam.NATIVE_SCALE
    options = {"pixfrac": 1.0, "weight_type": "ivm", "good_bits": nircam.GOOD_BITS}
    skies = match_sky(models, "global+match", good_bits=nircam.GOOD_BITS)
    wrong = max(abs(level - exposure.model["level"]) for level, exposure in zip(skies.levels, exposures, strict=True))
    uncleaned = [dict(model) for model in models]
    found = flag_outliers(models, good_bits=nircam.GOOD_BITS, progress=False)
    model, result = _both("rays", models, scale, scale, options)
    before, _ = _drizzle(uncleaned, model["wcs"], scale, "auto", "rays, uncleaned", {**options, "fillval": "NaN"})

    fits_path, picture = outdir / "rays_mosaic.fits", outdir / "rays_mosaic.png"
    facts = {"unit": models[0]["bunit_data"], "exposures": [m["filename"] for m in models]}
    history = ["Simulated data: skies matched by gpures.match_sky, cosmic rays flagged by gpures.flag_outliers."]
    io.write(fits_path, model, **facts, history=history, overwrite=True)
    mosaics = {"The average": before, "Without outliers": model}
    plot.side_by_side(mosaics, Figure(), around=(scene.ra0, scene.dec0), size=16.0).savefig(picture)
    result.files += [fits_path, picture]
    part = flagged_fractions(exposures, found.masks)
    result.remark = (
        f"cosmic rays: found {100 * part['hit']:.1f} % of the pixels with more than 5 sigma of them, flagged "
        f"{100 * part['good']:.3f} % of the good ones; sky levels right to {wrong:.4f} MJy/sr"
    )
    return result


DATASETS: dict[str, Callable[[Path], Result]] = {"hst": _hst, "nircam": _nircam, "rays": _rays}


def _table(results: Sequence[Result]) -> list[str]:
    """Lines of the closing table: one column per data set."""
    rows: list[tuple[str, list[str]]] = [
        ("", [r.name for r in results]),
        ("exposures", [str(r.exposures) for r in results]),
        ("input pixels", [f"{r.input_pixels / 1e6:.2f} M" for r in results]),
        ("frame", [f"{r.shape[1]} x {r.shape[0]}" for r in results]),
        ("scale", [f"{r.pixel_scale:.4f} arcsec" for r in results]),
        ("kernel, pixfrac", [f"{r.kernel}, {r.pixfrac:g}" for r in results]),
        ("weights", [r.weight_type for r in results]),
        ("add_model, gpures", [f"{r.seconds:.3f} s" for r in results]),
        ("add_model, drizzle", [f"{r.reference_seconds:.3f} s" for r in results]),
        ("drizzle over gpures", [f"{r.reference_seconds / r.seconds:.1f} x" for r in results]),
        ("worst difference", [f"{r.agreement.worst:.1e}" for r in results]),
        ("agreement", ["PASS" if r.agreement.ok else "FAIL" for r in results]),
    ]
    return [row([head, *cells], ("<20", ">18")) for head, cells in rows]


def run(outdir: Path, datasets: Sequence[str] = tuple(DATASETS), echo: Callable[[str], None] = print) -> bool:
    """Run the demo.

    Parameters
    ----------
    outdir : pathlib.Path
        Folder for the FITS files and pictures; made if missing.
    datasets : sequence of str, optional
        Names from `DATASETS`.
    echo : callable, optional
        Takes each line of the report.

    Returns
    -------
    bool
        Whether gpures agrees with the reference algorithm within the bounds in every data set.
    """
    check_dependencies()
    if unknown := sorted(set(datasets) - set(DATASETS)):
        raise ValueError(f"expected data sets among {', '.join(DATASETS)}, got {', '.join(unknown)}")
    checked_folder(outdir, "outdir").mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()
    results = [DATASETS[name](outdir) for name in datasets]
    for result in results:
        echo("")
        echo(f"{result.name}: gpures against the reference algorithm, relative differences")
        for line in result.agreement.lines():
            echo(line)
        echo(f"  {'PASS' if result.agreement.ok else 'FAIL'}")
        if result.remark:
            echo(f"  {result.remark}")
    echo("")
    for line in _table(results):
        echo(line)
    echo("")
    echo(
        "drizzle is gpures' own reference: the drizzle package, and plain numpy. `gpures bench` measures beside stcal."
    )
    echo(f"done in {time.perf_counter() - begin:.1f} s; written:")
    for result in results:
        for path in result.files:
            echo(f"  {path}  ({path.stat().st_size / 1e6:.1f} MB)")
    return all(result.agreement.ok for result in results)
