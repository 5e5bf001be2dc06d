"""The map of the exposure time: how long the sky was looked at, whatever weight the pixels have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracle
import pytest
import scenes
from tolerances import EPS32

import gpures
from gpures.backend.base import MosaicLayout
from gpures.bench.cases import with_exposure_time
from gpures.exposure.drops import KERNELS
from gpures.exposure.weights import Weight

pytestmark = pytest.mark.filterwarnings("ignore:Kernel '.*' is not a flux-conserving kernel")

SHAPE = (30, 34)
BAD = 4


@pytest.fixture
def frame():
    return {"wcs": scenes.frame_around(SHAPE)}


def expected_map(frame, exposures):
    """Sum of the times of those exposures of which a good pixel, or any of weight, contributes."""
    image = np.zeros(frame.shape)
    for exposure in exposures:
        good = replace(exposure, weight=Weight(bad_bits=exposure.weight.bad_bits), variances={}, err=None)
        touched = oracle.coadd([good], frame).count > 0
        touched |= oracle.coadd([replace(exposure, variances={}, err=None)], frame).count > 0
        image += exposure.effective_time * touched
    return image


def exposures_of(shape, kernel, places, seed=0, **settings):
    """Exposures some of whose pixels are bad, and some of weight 0."""
    rng = np.random.default_rng(seed)
    return [
        oracle.exposure(
            rng.normal(size=shape),
            oracle.pixel_map(shape, place, 0.8, 20.0 + k),
            weight=Weight(weight_map=rng.choice([0.0, 0.0, 1.0, 2.0], shape), bad_bits=BAD),
            dq=rng.choice([0, 0, BAD, 8], shape).astype("u4"),
            effective_time=100.0 + k,
            context_id=k,
            pixel_scale_ratio=0.8,
            **settings,
        )
        for k, place in enumerate(places)
    ]


@pytest.mark.parametrize(
    ("kernel", "pixfrac"), [(kernel, 1.0) for kernel in KERNELS] + [("square", 0.5), ("turbo", 0.5), ("gaussian", 0.5)]
)
def test_good_pixels_count(backend, kernel, pixfrac):
    """A good pixel counts, also one of weight 0; a bad one does not."""
    frame = MosaicLayout((60, 63), kernel, has_dq=True, has_time=True)
    exposures = exposures_of((30, 34), kernel, [(30.0, 28.5), (34.2, 31.0)], pixfrac=pixfrac)
    images = oracle.run(backend, frame, exposures)
    image, expected = images["exptime_map"], expected_map(frame, exposures)
    # The reference keeps contributions as small as rounding.
    allowed = 4 if backend == "drizzle" else 0
    assert (np.abs(image - expected) > 8 * EPS32 * expected).sum() <= allowed
    assert set(np.unique(expected)) >= {0.0, 100.0, 101.0, 201.0}
    if kernel == "square" and pixfrac == 1.0:
        assert ((image > 0) & (images["wht"] == 0)).any()  # else weights of 0 would not be tested


@pytest.mark.parametrize("angle", [0.0, 30.0])
@pytest.mark.parametrize("planes", [1, 8])
def test_the_rest_is_as_without(backend, angle, planes):
    """The map costs the other images nothing: not a bit of them differs."""
    names = tuple(f"extra{k}" for k in range(planes - 1))
    shape = (70, 90)
    rng = np.random.default_rng(3)
    exposure = oracle.exposure(
        rng.normal(size=shape),
        oracle.pixel_map(shape, (60.2, 55.1), 1.0, angle),
        weight=Weight(variance=rng.choice([0.0, 1.0, 2.0], shape)),
        dq=rng.choice([0, 4], shape).astype("u4"),
        extras={name: rng.normal(size=shape) for name in names},
    )
    frame = MosaicLayout((110, 120), has_dq=True, extra_names=names)
    without, images = (oracle.run(backend, replace(frame, has_time=timed), [exposure]) for timed in (False, True))
    assert images.keys() - without.keys() == {"exptime_map"}
    for name in without:
        np.testing.assert_array_equal(images[name], without[name], name)


@pytest.mark.parametrize("tall", [False, True])
def test_any_size_and_place(backend, tall):
    """Tiles, blocks and borders leave no seam: a frame of 600 pixels' width, exposures across its borders."""
    shape = (150, 200)
    side = (700, 140) if tall else (140, 700)
    frame = MosaicLayout(side, has_time=True)
    centre = (side[1] / 2, side[0] / 2)
    places = [centre, (0.0, 0.0), (side[1] - 1.0, side[0] - 30.5), (-500.0, 10.0)]
    pixmaps = [oracle.pixel_map(shape, place, 0.9, 25.0) for place in places]
    exposures = [
        oracle.exposure(np.ones(shape), pixmap, weight=Weight(constant=float(k % 2)), effective_time=2.0**k)
        for k, pixmap in enumerate(pixmaps)
    ]
    image = oracle.run(backend, frame, exposures)["exptime_map"]
    expected = expected_map(frame, exposures)
    allowed = 0 if backend != "drizzle" else 0.05 * expected.size  # which loses contributions across borders
    assert (np.abs(image - expected) > 8 * EPS32 * expected).sum() <= allowed


@pytest.mark.also_on_ptx
def test_weights_that_cancel(backend):
    """A sum of weights that is zero is nothing for the data, and a good pixel for the time all the same."""
    shape = (20, 20)
    weights = np.where(np.indices(shape).sum(axis=0) % 2, 1.0, -1.0)
    exposure = oracle.exposure(
        np.ones(shape),
        oracle.pixel_map(shape, (19.5, 19.5), 2.0),
        weight=Weight(weight_map=weights),
        effective_time=7.0,
        pixel_scale_ratio=2.0,
    )
    images = oracle.run(backend, MosaicLayout((40, 40), has_time=True), [exposure])
    assert not images["wht"].any()
    assert set(np.unique(images["exptime_map"])) == {0.0, 7.0}


def test_as_romans_pipeline_makes_it(backend, frame):
    """The map is that of a drizzle of its own per exposure, where all good pixels have weight."""
    pytest.importorskip("stcal")
    from stcal.resample import Resample

    models = [model | {"exposure_time": 50.0 + k} for k, model in enumerate(scenes.dithered_models(SHAPE, 3))]
    options = {"good_bits": "~4", "weight_type": "exptime"}
    reference = with_exposure_time(Resample)(frame, **options)
    resample = gpures.Resample(frame, enable_exptime_map=True, backend=backend, **options)
    for model in models:
        reference.add_model(model)
        resample.add_model(model)
    resample.finalize()
    image, expected = resample.output_model["exptime_map"], reference.exposure_time
    assert image.dtype == np.float32
    assert expected.max() > 150
    assert (np.abs(image - expected) > 8 * EPS32 * expected).sum() <= 4  # drops that touch a pixel, or do not


def test_its_life(backend, frame):
    """Absent, empty, looked at in between, begun anew; and the effective time where there is one."""
    models = scenes.dithered_models(SHAPE, 2)
    without = gpures.Resample(frame, backend=backend)
    assert "exptime_map" not in without.output_model
    assert not without.enable_exptime_map
    resample = gpures.Resample(frame, enable_exptime_map=True, backend=backend)
    assert resample.enable_exptime_map
    assert resample.output_model["exptime_map"] is None
    resample.add_model(models[0] | {"exposure_time": 10.0})
    assert set(np.unique(resample.output_model["exptime_map"])) == {0.0, 10.0}
    resample.add_model(models[1] | {"exposure_time": 10.0, "effective_exposure_time": 6.0})
    assert set(np.unique(resample.output_model["exptime_map"])) >= {0.0, 16.0}
    resample.reset_arrays()
    resample.add_model(models[1] | {"exposure_time": 3.0, "effective_exposure_time": None})
    resample.finalize()
    assert set(np.unique(resample.output_model["exptime_map"])) == {0.0, 3.0}


@pytest.mark.parametrize(("time", "error"), [("long", TypeError), (-1.0, ValueError), (np.nan, ValueError)])
def test_bad_times(backend, frame, time, error):
    """A time that is none is named, and nothing is added."""
    model = scenes.dithered_models(SHAPE, 1)[0]
    resample = gpures.Resample(frame, enable_exptime_map=True, backend=backend)
    with pytest.raises(error, match="'effective_exposure_time' of model"):
        resample.add_model(model | {"effective_exposure_time": time})
    assert not resample.group_ids
    resample.add_model(model)
    assert resample.output_model["exptime_map"].max() == model["exposure_time"]


def test_variances_of_a_subclass_do_not_count_again(backend, frame):
    """The pass of a subclass that resamples variances by itself adds no time."""

    class Own(gpures.Resample):
        def resample_variance_arrays(self, model, **arguments):
            super().resample_variance_arrays(model, **arguments)

    model = scenes.dithered_models(SHAPE, 1)[0]
    resample = Own(frame, enable_exptime_map=True, backend=backend)
    resample.add_model(model)
    resample.finalize()
    assert resample.output_model["exptime_map"].max() == model["exposure_time"]
