"""The sky matching, outlier detection, resample and exposure-time maps of romancal, as they are, on gpures.

Output frames contain their exposures with a margin, or the comparison leaves the borders out: there the reference
loses contributions (see the README).
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
import scenes
from rays import assert_same_cleaning, assert_used_by_steps, ray_exposures, step_products
from test_parity_stcal import assert_parity

import gpures
from gpures.acceleration import switch as acceleration

pytest.importorskip(
    "romancal", reason="romancal is not installed here: make test-pipelines makes an environment that has it"
)

from roman_datamodels import datamodels, dqflags
from romancal.assign_wcs.assign_wcs import add_s_region
from romancal.datamodels import ModelLibrary
from romancal.outlier_detection import OutlierDetectionStep
from romancal.resample import ResampleStep
from romancal.resample.resample import ResampleData
from romancal.skymatch import SkyMatchStep

# From their import on, romancal and what it uses warn of things that are not ours.
pytestmark = pytest.mark.filterwarnings("default")

SHAPE = (150, 130)
VARIANCES = ["var_rnoise", "var_poisson", "var_flat"]
OUTLIER = dqflags.pixel.OUTLIER
# What a file must say something of.
STEPS = (
    "assign_wcs dark dark_decay dq_init flat_field flux linearity outlier_detection photom ramp_fit refpix resample "
    "saturation skymatch source_catalog tweakreg wfi18_transient"
)
EPS32 = float(np.finfo(np.float32).eps)


def arrays(number):
    """What a model of that number holds, as a dict."""
    return scenes.model_of(None, SHAPE, seed=number)


def image_model(number, distortion=2.0):
    """An `ImageModel` of the arrays and times of the other tests' scenes.

    Only without distortion has its WCS the inverse that romancal needs to make up a frame of its own.
    """
    shift = [(0.0, 0.0), (2.3, -1.4), (-3.1, 2.2)][number]
    return filled(number, scenes.imaging_wcs(SHAPE, rotation=20.0 + number, shift=shift, distortion=distortion))


def ray_models():
    """Exposures with cosmic rays, under skies that differ, of which few digits are kept of errors, as Roman does."""
    models = []
    for number, exposure in enumerate(ray_exposures()):
        few = {name: exposure.model[name].astype(np.float16) for name in ("err", *VARIANCES)}
        models.append(filled(number, exposure.model["wcs"], exposure.model | few))
    return models


def filled(number, wcs, values=None):
    """A data model with everything that romancal reads, by default with the arrays and times of `arrays`."""
    values = arrays(number) if values is None else values
    shape = values["data"].shape
    ra, dec = (float(angle) for angle in wcs(*(0.5 * n for n in reversed(shape))))
    meta = {
        "wcsinfo": {"ra_ref": ra, "dec_ref": dec, "vparity": -1, "v3yangle": -60.0},
        "exposure": {"exposure_time": values["exposure_time"], "effective_exposure_time": 140.0 + number},
        "observation": dict.fromkeys(("program", "execution_plan", "pass", "observation", "segment", "visit"), 1)
        | {
            "observation_id": str(number),
            "visit_file_group": 1,
            "visit_file_sequence": 1,
            "visit_file_activity": "01",
            "exposure": number + 1,
        },
        "photometry": {"pixel_area": values["pixelarea_steradians"]},
    }
    made = datamodels.ImageModel.create_fake_data(
        {"meta": meta} | {name: values[name] for name in ("data", "dq", "err", *VARIANCES)}, shape=shape
    )
    made.meta.filename = f"r0000101001001001001_01101_{number + 1:04d}_wfi01_cal.asdf"
    made.meta["wcs"] = wcs
    made.meta["cal_step"] = dict.fromkeys(STEPS.split(), "INCOMPLETE")
    model = datamodels.ImageModel(made)
    add_s_region(model)
    return model


def images(product):
    """The images of a mosaic under the names of stcal, and what `assert_parity` asks of them."""
    names = {"weight": "wht", "context": "con"}
    found = {}
    for name in ("data", "weight", "context", "dq", "err", *VARIANCES):
        image = getattr(product, name, None)
        if image is not None:
            found[names.get(name, name)] = np.asarray(image)
    return found | {"weight_type": product.meta.resample.weight_type, "pixel_scale_ratio": None}


@pytest.mark.parametrize("weight_type", ["ivm", "exptime"])
@pytest.mark.parametrize("stepsize", [1, 10])
def test_mosaic_with_exposure_times(both_ways, stepsize, weight_type):
    """The mosaic and its meta data, and the map of exposure times, which calls drizzle itself."""

    def mosaic():
        library = ModelLibrary([image_model(number) for number in range(3)])
        resample = ResampleData(
            library,
            {"wcs": scenes.frame_around(SHAPE), "pixel_scale": scenes.SCALE},
            pixfrac=1.0,
            kernel="square",
            fillval="INDEF",
            weight_type=weight_type,
            good_bits=0,
            enable_ctx=True,
            enable_var=True,
            compute_err="from_var",
            compute_exptime=True,
            blend_meta=True,
            resample_on_skycell=False,
            variance_array_names=VARIANCES,
            propagate_dq=True,
            pixmap_stepsize=stepsize,
            pixmap_order=3,
        )
        product = resample.resample_group(range(3))
        return product, resample._exptime_resampler.exptime_total

    before = acceleration.used.copy()
    (expected, expected_time), (got, got_time) = both_ways(mosaic)
    used = acceleration.used - before
    assert used["stcal.resample.Resample.add_model"] == used["romancal.resample.ResampleData.add_model_hook"] == 3
    models = [arrays(number) | {"measurement_time": None} for number in range(3)]
    assert_parity(images(got), images(expected), models)

    # Each exposure's time is an average of equal numbers, of at most 16 contributions to a pixel.
    np.testing.assert_array_equal(got_time == 0, expected_time == 0)
    np.testing.assert_allclose(got_time, expected_time, rtol=4 * 16 * EPS32)
    assert expected_time.max() == pytest.approx(140.0 + 141.0 + 142.0)
    coadded, expected_coadded = got.meta.coadd_info, expected.meta.coadd_info
    assert coadded.max_exposure_time == pytest.approx(expected_coadded.max_exposure_time, rel=4 * 16 * EPS32)
    assert coadded.exposure_time == pytest.approx(expected_coadded.exposure_time, rel=4 * 16 * EPS32)
    assert got.meta.resample.members == expected.meta.resample.members


class WithHook(ResampleData):
    """A resampler whose hook is no more romancal's, so that it is called."""

    def add_model_hook(self, **arguments):
        super().add_model_hook(**arguments)


def resampler_of(make, models, **options):
    """A resampler of romancal's, or of a class derived from it, that makes a map of exposure times."""
    names = {"resample_on_skycell": False, "compute_exptime": True, "blend_meta": False, "compute_err": None}
    names |= {"enable_ctx": True, "enable_var": True, "fillval": "INDEF", "weight_type": "ivm", "good_bits": 4}
    frame = {"wcs": scenes.frame_around(SHAPE), "pixel_scale": scenes.SCALE}
    return make(ModelLibrary(models), frame, **({"pixfrac": 1.0, "kernel": "square"} | names | options))


def times_of(make, models, **options):
    """The map of exposure times that a resampler makes of models."""
    resampler = resampler_of(make, models, **options)
    for model in models:
        resampler.add_model(model)
    total = resampler._exptime_resampler.exptime_total.copy()
    resampler.finalize()
    np.testing.assert_array_equal(resampler._exptime_resampler.finalize(), total)
    return total


def turned_model(number, rotation):
    """The same exposure, turned, with flags and pixels that nothing is known of."""
    made = filled(number, scenes.imaging_wcs(SHAPE, rotation=rotation, shift=(0.3 * number, 0.0)))
    made.data[20:30, 40:50] = np.nan
    made.var_rnoise[60:70, 40:50] = 0.0
    made.dq[80:90, 10:20] = 4
    made.dq[80:85, 15:25] |= 2
    made.meta.exposure.effective_exposure_time = 140.1 + 7.3 * number
    return made


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pixmap_stepsize": 10, "pixmap_order": 3},
        {"good_bits": None},
        {"weight_type": "exptime", "good_bits": "~1"},
    ],
    ids=str,
)
@pytest.mark.parametrize("rotation", [0.0, 0.7, 20.0, 45.0, 90.0, 180.0])
def test_times_of_the_pass_are_those_of_the_hook(rotation, options):
    """Of romancal's own hook the map of exposure times has the bits that the hook itself would have made."""
    models = [turned_model(number, rotation + 0.1 * number) for number in range(3)]
    with gpures.accelerate(backend="cpu"):
        called = times_of(WithHook, models, **options)
        before = acceleration.used.copy()
        ridden = times_of(ResampleData, models, **options)
        used = acceleration.used - before
    assert used["romancal.resample.ResampleData.add_model_hook"] == 3
    assert not used["drizzle.resample.Drizzle.add_image"]
    assert called.max() > 400.0
    np.testing.assert_array_equal(ridden, called)


@pytest.mark.parametrize(
    "options",
    [{"pixfrac": 0.8}, {"kernel": "gaussian"}, {"kernel": "turbo"}],
    ids=str,
)
def test_times_that_the_pass_has_not_are_those_of_the_hook(options):
    """Where drops of the data are not those of the times, the hook is called."""
    models = [turned_model(number, 3.0) for number in range(2)]
    with gpures.accelerate(backend="cpu"):
        called = times_of(WithHook, models, **options)
        before = acceleration.used.copy()
        same = times_of(ResampleData, models, **options)
        used = acceleration.used - before
    assert used["drizzle.resample.Drizzle.add_image"] == 2
    np.testing.assert_array_equal(same, called)


@pytest.mark.parametrize("odd", [0, 1, 2])
def test_times_of_some_exposures_in_the_hook(odd):
    """An exposure whose time has no one mean in float32 goes to the hook, with what comes behind it."""
    models = [turned_model(number, 3.0) for number in range(3)]
    models[odd].meta.exposure.effective_exposure_time = 1.0 + 2.0**-24
    with gpures.accelerate(backend="cpu"):
        called = times_of(WithHook, models)
        before = acceleration.used.copy()
        same = times_of(ResampleData, models)
        used = acceleration.used - before
    assert used["romancal.resample.ResampleData.add_model_hook"] == odd
    assert used["drizzle.resample.Drizzle.add_image"] == 3 - odd
    np.testing.assert_array_equal(same, called)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_times_of_copies_and_of_the_next_mosaic(copied):
    """A copy goes on by itself; romancal adds the times of the next mosaic to those of the one before."""
    models = [turned_model(number, 3.0) for number in range(3)]
    with gpures.accelerate(backend="cpu"):
        alone = [times_of(WithHook, [model]) for model in models]
        resampler = resampler_of(ResampleData, models)
        resampler.add_model(models[0])
        other = copied(resampler)
        resampler.add_model(models[1])
        other.add_model(models[2])
        np.testing.assert_array_equal(other._exptime_resampler.exptime_total, alone[0] + alone[2])
        resampler.finalize()
        np.testing.assert_array_equal(resampler._exptime_resampler.finalize(), alone[0] + alone[1])
        resampler.reset_arrays(1)
        resampler.add_model(models[2])
        np.testing.assert_array_equal(resampler._exptime_resampler.finalize(), alone[0] + alone[1] + alone[2])


def test_step(both_ways):
    """The step itself, with its own defaults."""

    def call():
        library = ModelLibrary([image_model(number, distortion=0.0) for number in range(3)])
        step = ResampleStep(resample_on_skycell=False, output_shape=(263, 260), crpix=(130.0, 130.0))
        step.pixel_scale, step.rotation = scenes.SCALE, 0.0
        return step.run(library)

    expected, got = both_ways(call)
    assert_parity(images(got), images(expected), [arrays(number) for number in range(3)])


def test_outliers(both_ways, outlying_pixels):
    """Resample, median, blot and comparison find the same outliers, among them those that were put in."""

    def detect():
        models = [image_model(number, distortion=0.0) for number in range(3)]
        for number, model in enumerate(models):
            model.data[outlying_pixels(SHAPE, number)] += 500.0
            model.dq[...] = 0
        library = OutlierDetectionStep(resample_on_skycell=False).run(ModelLibrary(models))
        with library:
            found = list(library)
            for model in found:
                library.shelve(model, modify=False)
        return [(np.asarray(model.dq) & OUTLIER)[8:-8, 8:-8] != 0 for model in found]

    before = acceleration.used.copy()
    expected, got = both_ways(detect)
    used = acceleration.used - before
    assert used["stcal.resample.Resample.add_model"] == used["drizzle.resample.blot_image"] == 3
    for number, (mine, theirs) in enumerate(zip(got, expected, strict=True)):
        rows, columns = outlying_pixels(SHAPE, number)
        assert mine[rows - 8, columns - 8].sum() > 20  # of 25; the median of 3 misses what two exposures share
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("where", ["in memory", "on disk", "as they are"])
def test_sky_and_outliers_of_the_steps(both_ways, monkeypatch, tmp_path, where):
    """The steps before the resampling, one after another, with their own defaults: gpures does what can be done."""
    monkeypatch.chdir(tmp_path)
    models = ray_models()
    for model in models:
        model.save(model.meta.filename)
    in_memory, resample = where != "on disk", where != "as they are"

    def steps():
        members = [{"expname": model.meta.filename, "exptype": "science"} for model in models]
        library = ModelLibrary({"products": [{"name": "product", "members": members}]}, on_disk=not in_memory)
        library = SkyMatchStep().run(library)
        step = OutlierDetectionStep(resample_on_skycell=False, in_memory=in_memory, resample_data=resample)
        return step_products(step.run(library))

    before = acceleration.used.copy()
    expected, got = both_ways(steps, tolerance=1e-6)
    assert_same_cleaning(got, expected, OUTLIER)
    assert_used_by_steps(acceleration.used - before, in_memory, resample)
