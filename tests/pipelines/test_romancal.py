"""The sky matching, outlier detection, resample and exposure-time maps of romancal, as they are, on gpures.

Output frames contain their exposures with a margin, or the comparison leaves the borders out: there the reference
loses contributions (see the README).
"""

from __future__ import annotations

import numpy as np
import pytest
import scenes
from rays import assert_same_cleaning, assert_used_by_steps, ray_exposures, step_products
from test_parity_stcal import assert_parity

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
    assert used["stcal.resample.Resample.add_model"] == used["drizzle.resample.Drizzle.add_image"] == 3
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
