"""Scenes for the tests: WCS, input models and output frames, all made here.

Everything is small and seeded. An output frame made by `frame_around` contains its exposures with a margin, as the
reference loses contributions where an exposure sticks out of the frame.
"""

from __future__ import annotations

import math
from types import SimpleNamespace

import gwcs
import numpy as np
from astropy import coordinates, units
from astropy.modeling import Model, Parameter, models
from astropy.modeling.projections import AffineTransformation2D
from astropy.wcs import WCS as FITSWCS
from gwcs import coordinate_frames

RA, DEC = 150.1, 2.2
SCALE = 0.063  # arcsec per pixel, about that of a long-wave near-infrared camera
ARCSEC = 1.0 / 3600.0

#: Longitudes of 150 degrees are good to some units in the last place, and so are the rotations around them; in pixels.
ROUNDING = 8 * float(np.spacing(RA)) * 3600 / SCALE


def _affine(scale, rotation, flip):
    """Matrix (arcsec per pixel) that turns by `rotation` degrees; with `flip` the x axis points the other way."""
    c, s = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
    parity = -1.0 if flip else 1.0
    return scale * np.array([[parity * c, -s], [parity * s, c]])


def _distortion(shape, size, seed):
    """Polynomials of degree 4 that move a pixel at the image's edge by `size` pixels, less towards the centre."""
    rng = np.random.default_rng(seed)
    reach = max(shape) / 2.0
    terms = [(i, j) for i in range(5) for j in range(5 - i) if i + j >= 2]
    polynomials = []
    for linear in ((1, 0), (0, 1)):
        coefficients = {"c{}_{}".format(*linear): 1.0}
        for i, j in terms:
            coefficients[f"c{i}_{j}"] = size * rng.uniform(-1, 1) / reach ** (i + j) / len(terms)
        polynomials.append(models.Polynomial2D(4, **coefficients))
    return models.Mapping((0, 1, 0, 1)) | polynomials[0] & polynomials[1]


def sky_transform(
    shape, scale=SCALE, rotation=0.0, flip=False, shift=(0.0, 0.0), distortion=0.0, seed=1, ra=RA, dec=DEC
):
    """Transform from pixels to sky (degrees); the image's centre, moved by `shift` pixels, is at `ra`, `dec`."""
    centre = [(n - 1) / 2.0 + d for n, d in zip(shape[::-1], shift, strict=True)]
    transform = models.Shift(-centre[0]) & models.Shift(-centre[1])
    if distortion:
        transform |= _distortion(shape, distortion, seed)
    transform |= AffineTransformation2D(matrix=_affine(scale * ARCSEC, rotation, flip), translation=[0.0, 0.0])
    return transform | models.Pix2Sky_TAN() | models.RotateNative2Celestial(ra, dec, 180.0)


def sky_frames():
    """Detector and celestial frame."""
    detector = coordinate_frames.Frame2D(name="detector", axes_order=(0, 1), unit=(units.pix, units.pix))
    sky = coordinate_frames.CelestialFrame(
        name="sky", axes_order=(0, 1), reference_frame=coordinates.ICRS(), unit=(units.deg, units.deg)
    )
    return detector, sky


def wcs_of(transform, shape, box="array"):
    """Imaging gwcs around a transform; `box` is a bounding box, "array" for that of the array, or None."""
    detector, sky = sky_frames()
    wcs = gwcs.WCS([(detector, transform), (sky, None)])
    set_frame(wcs, shape, box)
    return wcs


def set_frame(wcs, shape, box="array"):
    """Set array shape and bounding box of a gwcs."""
    wcs.array_shape = shape
    if isinstance(box, str):
        box = ((-0.5, shape[1] - 0.5), (-0.5, shape[0] - 0.5))
    if box is not None:
        wcs.bounding_box = box


def imaging_wcs(shape, box="array", **kwargs):
    """Imaging gwcs: a gnomonic projection, and what `sky_transform` takes."""
    return wcs_of(sky_transform(shape, **kwargs), shape, box)


# Distortion of a NIRCam-like detector: pixels at the edges of a 2048 x 2048 image are moved by some tens of pixels.
CAMERA_DISTORTION = 60.0


def camera_wcs(shape=(2048, 2048), seed=3, **kwargs):
    """WCS with a distortion as large as a NIRCam detector's, of degree 4."""
    kwargs.setdefault("distortion", CAMERA_DISTORTION * max(shape) / 2048)
    return imaging_wcs(shape, seed=seed, **kwargs)


def frame_around(shape, ratio=1.0, rotation=0.0, margin=8, **kwargs):
    """Output WCS, `ratio` times as coarse as the input, which contains turned exposures with a margin."""
    n = math.ceil(math.hypot(*shape) / ratio) + 2 * margin
    return imaging_wcs((n, n + 3), scale=SCALE * ratio, rotation=rotation, **kwargs)


def spectral_wcs(shape, slit_scale=0.1, dispersion=0.002, position_angle=30.0, tilt=0.0, shift=(0.0, 0.0), box="array"):
    """Spectral gwcs: wavelength (um) along x, two sky axes that depend on y, the place in the slit.

    Parameters
    ----------
    shape : (int, int)
        Array shape.
    slit_scale, dispersion : float
        Arcsec and micrometres per pixel.
    position_angle : float
        Of the slit, degrees.
    tilt : float
        Angle (degrees) between pixels and the axes of slit and dispersion.
    shift : (float, float)
        Moves the centre, in pixels.
    """
    centre = [(n - 1) / 2.0 + d for n, d in zip(shape[::-1], shift, strict=True)]
    c, s = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
    detector = models.Shift(-centre[0]) & models.Shift(-centre[1])
    detector |= AffineTransformation2D(matrix=[[c, -s], [s, c]], translation=[0.0, 0.0])
    along_ra = slit_scale * ARCSEC * math.sin(math.radians(position_angle)) / math.cos(math.radians(DEC))
    along_dec = slit_scale * ARCSEC * math.cos(math.radians(position_angle))
    ra, dec = models.Linear1D(along_ra, RA), models.Linear1D(along_dec, DEC)
    wavelength = models.Linear1D(dispersion, 2.0)
    transform = detector | models.Mapping((1, 1, 0)) | ra & dec & wavelength
    transform.inverse = models.Mapping((2, 1), n_inputs=3) | wavelength.inverse & dec.inverse | detector.inverse
    pixels, sky = sky_frames()
    spectrum = coordinate_frames.SpectralFrame(name="wavelength", axes_order=(2,), unit=(units.um,))
    world = coordinate_frames.CompositeFrame([sky, spectrum], name="world")
    wcs = gwcs.WCS([(pixels, transform), (world, None)])
    set_frame(wcs, shape, box)
    return wcs


def fits_wcs(shape, scale=SCALE, rotation=0.0, flip=False, sip=0.0, shift=(0.0, 0.0)):
    """FITS WCS, gnomonic; with `sip`, SIP distortion of that many pixels at the edge, of degree 3."""
    wcs = FITSWCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"] if sip else ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [RA, DEC]
    wcs.wcs.crpix = [(n + 1) / 2.0 + d for n, d in zip(shape[::-1], shift, strict=True)]
    wcs.wcs.cd = _affine(scale * ARCSEC, rotation, flip)
    wcs.wcs.set()
    if sip:
        from astropy.wcs import Sip

        reach = max(shape) / 2.0
        a, b = np.zeros((4, 4)), np.zeros((4, 4))
        a[2, 0], a[1, 1], a[0, 3] = sip * 0.5 / reach**2, -sip * 0.3 / reach**2, sip * 0.2 / reach**3
        b[0, 2], b[1, 1], b[3, 0] = -sip * 0.4 / reach**2, sip * 0.4 / reach**2, sip * 0.2 / reach**3
        wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
        wcs.wcs.set()
    wcs.array_shape = shape
    return wcs


def sky(shape, angle):
    """A tangential projection of 0.1 arcsec pixels, without distortion."""
    wcs = FITSWCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval = 10.0, 20.0
    wcs.wcs.crpix = (np.array(shape[::-1]) + 1) / 2
    c, s = np.cos(np.radians(angle)) / 36000, np.sin(np.radians(angle)) / 36000
    wcs.wcs.cd = np.array([[-c, s], [s, c]])
    wcs.array_shape = shape
    return wcs


def sip_transform(wcs):
    """The same mapping as a FITS WCS with SIP (or without), as an astropy model."""
    x0, y0 = wcs.wcs.crpix - 1.0
    transform = models.Shift(-x0) & models.Shift(-y0)
    if wcs.sip is not None:
        polynomials = []
        for linear, table in (((1, 0), wcs.sip.a), ((0, 1), wcs.sip.b)):
            degree = table.shape[0] - 1
            coefficients = {
                f"c{i}_{j}": table[i, j] for i in range(degree + 1) for j in range(degree + 1 - i) if table[i, j]
            }
            coefficients["c{}_{}".format(*linear)] = 1.0
            polynomials.append(models.Polynomial2D(degree, **coefficients))
        transform |= models.Mapping((0, 1, 0, 1)) | polynomials[0] & polynomials[1]
    transform |= AffineTransformation2D(matrix=wcs.wcs.cd, translation=[0.0, 0.0])
    return transform | models.Pix2Sky_TAN() | models.RotateNative2Celestial(*wcs.wcs.crval, 180.0)


def cut(model, box):
    """A model cut to the part of its array (xmin, xmax, ymin, ymax, the last ones included), which has no box."""
    x0, x1, y0, y1 = box
    shape = np.shape(model["data"])
    parts = {k: v[y0 : y1 + 1, x0 : x1 + 1] for k, v in model.items() if np.shape(v) == shape}
    transform = models.Shift(x0) & models.Shift(y0) | model["wcs"].forward_transform
    return model | parts | {"wcs": wcs_of(transform, parts["data"].shape, None)}


def model_of(wcs, shape, seed=0, **changes):
    """Input model with all keys that the reference reads: noise on a gradient, flags, variances, times.

    One pixel in 20 is flagged, with one of the flags 1, 2, 4, 1024. All data are finite and all variances positive;
    `changes` replaces values.
    """
    rng = np.random.default_rng([seed, *shape])
    y, x = np.indices(shape)
    data = 5.0 + 0.05 * x - 0.03 * y + rng.normal(0.0, 1.0, shape)
    flags = rng.choice(np.array([1, 2, 4, 1024], np.uint32), shape)
    model = {
        "data": data.astype(np.float32),
        "dq": np.where(rng.random(shape) < 0.05, flags, np.uint32(0)).astype(np.uint32),
        "err": rng.uniform(0.5, 1.5, shape).astype(np.float32),
        "var_rnoise": rng.uniform(0.5, 2.0, shape).astype(np.float32),
        "var_poisson": rng.uniform(0.1, 0.4, shape).astype(np.float32),
        "var_flat": rng.uniform(0.01, 0.05, shape).astype(np.float32),
        "var_sky": rng.uniform(0.7, 1.8, shape).astype(np.float32),
        "filename": f"exposure{seed}.fits",
        "group_id": str(seed),
        "wcs": wcs,
        "exposure_time": 100.0 + seed,
        "measurement_time": 95.0 + seed,
        "start_time": 60000.0 + 0.01 * seed,
        "end_time": 60000.0 + 0.01 * seed + 0.002,
        "duration": 110.0 + seed,
        "pixelarea_steradians": (SCALE / 3600.0 * math.pi / 180.0) ** 2,
        "bunit_data": "MJy/sr",
        "level": None,
        "subtracted": False,
    }
    return model | changes


def dithered_models(shape, n=3, rotation=20.0, flip=False, distortion=0.4, seed=0, **changes):
    """Models of one field, each shifted and turned a little against the one before."""
    rng = np.random.default_rng(seed + 100)
    return [
        model_of(
            imaging_wcs(
                shape,
                rotation=rotation + 3.0 * k,
                flip=flip,
                shift=tuple(rng.uniform(-3, 3, 2)),
                distortion=distortion,
                seed=k,
            ),
            shape,
            seed=seed + k,
            **changes,
        )
        for k in range(n)
    ]


def spectral_models(shape, n=2, **changes):
    """Models of one slit, tilted and shifted against each other."""
    return [
        model_of(spectral_wcs(shape, tilt=2.0 + k, shift=(0.3 * k, 0.7 * k)), shape, seed=k, **changes)
        for k in range(n)
    ]


def spectral_frame(shape, ratio=1.0, margin=8):
    """Spectral output WCS, `ratio` times as coarse along the slit, that contains `spectral_models` with a margin."""
    ny, nx = math.ceil((shape[0] + 4) / ratio) + 2 * margin, shape[1] + 4 + 2 * margin
    return spectral_wcs((ny, nx), slit_scale=0.1 * ratio)


def mosaic(resample_class, models_in, output_wcs, options=None, finalize=True, **output):
    """Add all models to a new mosaic; the resampler, finalized."""
    resampler = resample_class({"wcs": output_wcs, **output}, n_input_models=len(models_in), **(options or {}))
    for model in models_in:
        resampler.add_model(model)
    if finalize:
        resampler.finalize()
    return resampler


def latitude_first(wcs, how="axes_order", unit=units.deg):
    """The same WCS with its first two world axes swapped.

    Of a gwcs, `how` is "axes_order", as gwcs has it; or "axes_names" or "physical types", where only these tell it.
    `unit` is that of the new axes.
    """
    if isinstance(wcs, FITSWCS):
        swapped = wcs.deepcopy()
        swapped.wcs.ctype = list(wcs.wcs.ctype)[::-1]
        swapped.wcs.crval = wcs.wcs.crval[::-1]
        if wcs.wcs.has_cd():
            swapped.wcs.cd = wcs.wcs.cd[::-1]
        else:
            swapped.wcs.pc, swapped.wcs.cdelt = wcs.wcs.get_pc()[::-1], wcs.wcs.cdelt[::-1]
        swapped.wcs.set()
        return swapped
    options = {
        "axes_order": {"axes_order": (1, 0)},
        "axes_names": {"axes_order": (0, 1), "axes_names": ("lat", "lon")},
        "physical types": {"axes_order": (0, 1), "axis_physical_types": ("pos.eq.dec", "pos.eq.ra")},
    }[how]
    detector, _ = sky_frames()
    frame = coordinates.ICRS()
    sky = coordinate_frames.CelestialFrame(name="sky", reference_frame=frame, unit=(unit, unit), **options)
    scale = models.Scale(float(units.deg.to(unit)))
    transform = wcs.forward_transform.copy() | models.Mapping((1, 0)) | scale & scale
    del transform.bounding_box
    swapped = gwcs.WCS([(detector, transform), (sky, None)])
    set_frame(swapped, wcs.array_shape, None if wcs.bounding_box is None else wcs.bounding_box.bounding_box(order="F"))
    return swapped


class Curved(Model):
    """x + curvature x^2, which has no inverse; with or without units."""

    n_inputs = n_outputs = 1
    curvature = Parameter(default=1e-4)

    @staticmethod
    def evaluate(x, curvature):
        """Evaluate it."""
        return x + curvature * x**2


def without_inverse(shape, box="array", steps=1, quantities=False):
    """Imaging gwcs with x + 1e-4 x^2 before its projection, which has no analytic inverse."""
    if quantities:
        pixel, degree = units.pix, units.deg
        factor = models.Multiply(SCALE * ARCSEC * degree / pixel)
        shifts = [models.Shift(-(n - 1) / 2 * pixel) for n in shape[::-1]]
        pole = [angle * degree for angle in (RA, DEC, 180.0)]
        curved = Curved(1e-4 / pixel) & models.Identity(1)
        plane = shifts[0] & shifts[1] | factor & factor | models.Pix2Sky_TAN() | models.RotateNative2Celestial(*pole)
    else:
        along = models.Polynomial2D(2, c1_0=1.0, c2_0=1e-4)
        curved = models.Mapping((0, 1, 0, 1)) | along & models.Polynomial2D(2, c0_1=1.0)
        plane = sky_transform(shape)
    detector, sky = sky_frames()
    middle = coordinate_frames.Frame2D(name="middle", axes_order=(0, 1), unit=(units.pix, units.pix))
    pipeline = [(detector, curved | plane)] if steps == 1 else [(detector, curved), (middle, plane)]
    wcs = gwcs.WCS([*pipeline, (sky, None)])
    set_frame(wcs, shape, box)
    return wcs


class Duck:
    """A WCS that is known by its methods alone: linear, but for what `changes` make of its results."""

    def __init__(self, shape, world=lambda *v: v, pixel=lambda *v: v, box=None, types=("SPATIAL", "SPATIAL")):
        self.array_shape, self.bounding_box = shape, box
        self.output_frame = types_frame(types)
        self._world, self._pixel = world, pixel

    def pixel_to_world_values(self, x, y):
        """Degrees of pixels."""
        return self._world(RA + SCALE * ARCSEC * x, SCALE * ARCSEC * y)

    def world_to_pixel_values(self, lon, lat):
        """Pixels of degrees."""
        return self._pixel((lon - RA) / (SCALE * ARCSEC), lat / (SCALE * ARCSEC))


def types_frame(types):
    """An output frame that tells the types of its axes, and nothing else."""
    return SimpleNamespace(naxes=len(types), axes_type=types)
