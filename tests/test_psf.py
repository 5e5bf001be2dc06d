"""`gpures.psf.drizzled_psf`: the star that the resampler makes of stars."""

from __future__ import annotations

import numpy as np
import pytest
import scenes
from astropy.coordinates import SkyCoord
from tolerances import EPS64

import gpures
from gpures.operators import geometry
from gpures.psf import SampledPSF, drizzled_psf
from gpures.psf.sampled import star_of
from gpures.wcs.transforms import pixel_to_world, world_to_pixel

pytestmark = [
    pytest.mark.filterwarnings("ignore:Kernel '.*' is not a flux-conserving kernel"),
    pytest.mark.filterwarnings("ignore:In lanczos kernel, pix"),
]

SHAPE = (60, 70)
SIGMA = (1.1, 1.4, 0.9)


def gaussian(k):
    """PSF of exposure k, which is not round."""
    return lambda x, y: np.exp(-0.5 * (x**2 + (y / 1.2) ** 2) / SIGMA[k] ** 2) / (2 * np.pi * 1.2 * SIGMA[k] ** 2)


def models_of(count=3, **changes):
    """Exposures turned and shifted against each other, distorted, with bad pixels and unequal weights."""
    return [
        scenes.model_of(
            scenes.imaging_wcs(SHAPE, rotation=8.0 * k, shift=(2.3 * k, -1.4 * k), distortion=1.5, seed=k),
            SHAPE,
            seed=k,
            **changes,
        )
        for k in range(count)
    ]


def place_of(frame, x, y):
    """Position of a pixel of a frame, degrees."""
    return tuple(float(v[0]) for v in pixel_to_world(frame)(np.array([float(x)]), np.array([float(y)])))


def star_images(models, frame, position, psfs):
    """The models with nothing but a star of flux 1, as surface brightness per output pixel."""
    made = []
    j, i = np.indices(SHAPE).astype(float)
    for model, psf in zip(models, psfs, strict=True):
        forward, backward = pixel_to_world(model["wcs"]), world_to_pixel(frame)
        x, y = (float(v[0]) for v in world_to_pixel(model["wcs"])(*(np.array([v]) for v in position)))
        ends = np.array(backward(*forward(np.array([x - 0.5, x + 0.5, x, x]), np.array([y, y, y - 0.5, y + 0.5]))))
        area = abs(np.linalg.det(np.stack([ends[:, 1] - ends[:, 0], ends[:, 3] - ends[:, 2]])))
        made.append(model | {"data": psf(i - x, j - y) / area})
    return made


def resampled(models, frame, **options):
    """Their mosaic, of float64."""
    resample = gpures.Resample(
        {"wcs": frame} | options.pop("output", {}), backend="cpu", accumulator_dtype="f8", fillval="NaN", **options
    )
    resample.output_array_types = {"data": "f8", "wht": "f8", "con": "i4"}
    for model in models:
        resample.add_model(model)
    return resample.output_model


@pytest.mark.parametrize(
    ("kernel", "pixfrac", "ratio", "at", "size"),
    [
        ("square", 0.8, 0.5, (85, 80), 31),
        ("square", 1.0, 1.0, (12, 50), 25),  # near the edge of some exposures
        ("turbo", 0.7, 0.8, (60, 55), 21),
        ("gaussian", 1.0, 1.3, (36, 40), 15),
        ("lanczos3", 1.0, 0.7, (70, 66), 17),
    ],
)
def test_stars_that_are_resampled(kernel, pixfrac, ratio, at, size):
    """The image and its weights are those of a mosaic of star images, wherever the star lies, to rounding."""
    ratio = float(np.float32(ratio))
    frame = scenes.frame_around(SHAPE, ratio, rotation=15.0, margin=3)
    models, psfs, position = models_of(), [gaussian(k) for k in range(3)], place_of(frame, at[0] + 0.21, at[1] - 0.37)
    options = {"kernel": kernel, "pixfrac": pixfrac, "good_bits": "~1"}
    output = {"pixel_scale_ratio": ratio}
    expected = resampled(star_images(models, frame, position, psfs), frame, output=output, **options)
    made = drizzled_psf(models, output | {"wcs": frame}, position, psfs, size=size, **options)
    np.testing.assert_allclose(made.position, (at[0] + 0.21, at[1] - 0.37), atol=1e-9)
    part = made.box.slices
    assert made.data.shape == (size, size)
    np.testing.assert_allclose(made.weight, expected["wht"][part], rtol=1e-9, atol=1e-11)
    there = np.isfinite(expected["data"][part]) & (np.abs(made.weight) > 1e-3)
    assert there.sum() > 0.4 * size**2
    # Where the star lies in an exposure is found to 1e-7 pixels at worst, from both sides.
    np.testing.assert_allclose(made.data[there], expected["data"][part][there], rtol=0, atol=3e-9)
    assert np.nanmax(made.data) > 0.02
    assert made.names == ["exposure0.fits", "exposure1.fits", "exposure2.fits"]


@pytest.mark.parametrize("ratio", [0.5, 1.5])
def test_flux(ratio):
    """All flux is there: exactly in the weighted sum, and nearly in the mean, whose weights differ a little."""
    wcs = scenes.imaging_wcs(SHAPE, rotation=8.0)
    model = scenes.model_of(wcs, SHAPE, dq=np.zeros(SHAPE, "u4"), var_rnoise=np.ones(SHAPE, "f4"))
    frame = scenes.frame_around(SHAPE, ratio, margin=3)
    middle = place_of(frame, frame.array_shape[1] / 2, frame.array_shape[0] / 2 + 0.3)
    made = drizzled_psf([model], frame, middle, gaussian(0), size=2 * round(14 / ratio) + 1, pixfrac=0.9)
    np.testing.assert_allclose(np.nansum(made.data * made.weight), ratio**2, rtol=1e-6)
    np.testing.assert_allclose(np.nansum(made.data), 1.0, rtol=0.01)


def test_only_what_is_needed(monkeypatch):
    """Input pixels far from the star are not walked, and the frame may have any size."""
    walked = []
    make = geometry.Geometry.operator

    def noted(self, exposure, window):
        walked.append(exposure.limits)
        return make(self, exposure, window)

    monkeypatch.setattr(geometry.Geometry, "operator", noted)
    frame = scenes.imaging_wcs((30_000, 40_000), scale=scenes.SCALE)
    drizzled_psf(models_of(1), frame, place_of(frame, 20_003, 15_001), gaussian(0), size=9, good_bits="~1")
    (limits,) = walked
    assert (limits.xmax - limits.xmin + 1) * (limits.ymax - limits.ymin + 1) < 500


def test_all_that_reach_are_found(monkeypatch):
    """Where too few pixels are looked at to begin with, as a WCS bends, it is seen that more reach the image."""
    frame = scenes.frame_around(SHAPE, 0.7, margin=3)
    arguments = models_of(1), frame, place_of(frame, 70, 66), lambda x, y: np.full_like(x, 0.1)
    expected = drizzled_psf(*arguments, size=21)
    monkeypatch.setattr("gpures.psf.drizzled.MARGIN", -7.0)
    made = drizzled_psf(*arguments, size=21)
    np.testing.assert_allclose(made.weight, expected.weight, rtol=1e-12)


def test_positions():
    """A SkyCoord, in any system, is the place that its coordinates are."""
    frame = scenes.frame_around(SHAPE, margin=3)
    ra, dec = place_of(frame, 50.2, 48.8)
    sky = SkyCoord(ra, dec, unit="deg")
    made = [drizzled_psf(models_of(2), frame, at, gaussian(0), size=7) for at in ((ra, dec), sky, sky.galactic)]
    for other in made[1:]:
        np.testing.assert_allclose(other.data, made[0].data, atol=1e-7)


# ---- forms of PSFs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("oversampling", [1, 4])
def test_sampled(oversampling):
    """An array, read between its samples, is near what it samples, and is it at them; beside it there is nothing."""
    n = 12 * oversampling
    y, x = (np.indices((2 * n + 1, 2 * n + 1)) - n) / oversampling
    psf = SampledPSF(gaussian(1)(x, y), oversampling)
    np.testing.assert_allclose(psf(x, y), gaussian(1)(x, y), atol=8 * EPS64)
    rng = np.random.default_rng(2)
    at = rng.uniform(-5, 5, (2, 200))
    tolerance = {1: 3e-3, 4: 2e-6}[oversampling]
    np.testing.assert_allclose(psf(*at), gaussian(1)(*at), atol=tolerance)
    assert psf(np.array([12.7]), np.array([0.0])) == 0.0
    moved = SampledPSF(gaussian(1)(x, y), oversampling, centre=(n + oversampling, n))
    np.testing.assert_allclose(moved(x - 1, y)[:, 2 * oversampling :], psf(x, y)[:, 2 * oversampling :], atol=1e-12)


def test_models_of_photutils():
    """A model of photutils is evaluated where the star is on the detector."""
    psf = pytest.importorskip("photutils.psf")
    from astropy.nddata import NDData

    y, x = (np.indices((101, 101)) - 50) / 4
    stars = np.stack([gaussian(k % 3)(x, y) for k in range(4)])
    meta = {"grid_xypos": [(0, 0), (70, 0), (0, 60), (70, 60)], "oversampling": 4}
    grid = psf.GriddedPSFModel(NDData(stars, meta=meta))
    i, j = np.arange(20.0, 40.0), np.full(20, 31.0)
    values = star_of(grid)(i, j, 30.3, 31.2)
    assert values.shape == (20,)
    bounds = np.array([gaussian(k)(i - 30.3, j - 31.2) for k in range(3)])
    assert (values[8:13] > 0.9 * bounds.min(axis=0)[8:13]).all()
    assert (values < 1.1 * bounds.max(axis=0) + 1e-5).all()
    frame = scenes.frame_around(SHAPE, margin=3)
    made = drizzled_psf(models_of(2), frame, place_of(frame, 50, 48), grid, size=9)
    assert 0.05 < made.data.max() < 0.3


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"size": 8}, ValueError, "'size' must be an odd number"),
        ({"size": 8.5}, TypeError, "'size' must be an integer"),
        ({"position": (150.1, 3.0)}, ValueError, "'position' must lie in the frame"),
        ({"psf": [np.ones((3, 3))]}, ValueError, "'psf' must be one PSF or a list of 2, .* got 1"),
        ({"psf": np.ones(3)}, ValueError, r"must be an image \(Ny, Nx\)"),
        ({"psf": lambda x, y: x * np.nan}, ValueError, "must give a finite number"),
        ({"psf": lambda x, y: 1.0}, ValueError, "must give a finite number for each of the positions"),
        ({"psf": scenes.Curved()}, TypeError, "'evaluate' of a PSF must take x, y, flux, x_0, y_0"),
        ({"kernel": "no"}, ValueError, "'kernel' must be one of"),
    ],
)
def test_what_no_psf_is_made_of(change, error, text):
    """What can't be used is named."""
    frame = scenes.frame_around(SHAPE, margin=3)
    arguments = {"models": models_of(2), "frame": frame, "position": place_of(frame, 50, 48), "psf": gaussian(0)}
    with pytest.raises(error, match=text):
        drizzled_psf(**(arguments | change))


def test_no_exposure_there():
    """A place of the frame that no exposure reaches has no PSF."""
    frame = scenes.frame_around(SHAPE, margin=30)
    with pytest.raises(ValueError, match="No exposure has anything around 'position'"):
        drizzled_psf(models_of(1), frame, place_of(frame, 3, 3), gaussian(0), size=5)
