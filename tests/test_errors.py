"""What is refused, with which words, and that a refusal leaves everything as it was."""

from __future__ import annotations

import copy
import math
import re
import warnings

import numpy as np
import pytest
import scenes
import stcal.resample
from astropy.modeling import Model
from astropy.modeling import models as astropy_models
from gwcs import coordinate_frames

import gpures
import gpures.backend.base

SHAPE = (20, 18)
OUTPUT_SCALE = {"pixel_scale": scenes.SCALE}


class Raising(Model):
    """A transform that fails when it is evaluated."""

    n_inputs = 2
    n_outputs = 2

    @staticmethod
    def evaluate(x, y):
        raise RuntimeError("no reference file")


def good_model(seed=0, **changes):
    """A model that any resampler takes."""
    return scenes.model_of(scenes.imaging_wcs(SHAPE, rotation=20.0 + seed), SHAPE, seed=seed, **changes)


def frame():
    return scenes.frame_around(SHAPE)


def resampler_of(backend="cpu", **options):
    """An empty resampler."""
    output = {"wcs": frame()} | OUTPUT_SCALE | options.pop("output", {})
    return gpures.Resample(output, backend=backend, **options)


def error_of_reference(changes, options, drop=()):
    """What the reference raises for a model, if anything."""
    model = {key: value for key, value in (good_model() | changes).items() if key not in drop}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            stcal.resample.Resample({"wcs": frame()} | OUTPUT_SCALE, **options).add_model(model)
        except Exception as error:
            return error
    return None


def assert_type_of_reference(error, theirs):
    """An error is of the reference's type, but where that is an accident of its code."""
    if theirs is not None and not isinstance(theirs, (AssertionError, AttributeError, ZeroDivisionError)):
        assert isinstance(error, type(theirs)) or isinstance(theirs, type(error)), (error, theirs)


# ---- models --------------------------------------------------------------------------------------------------------

BAD_MODELS = {
    "3-D data": ({"data": np.zeros((2, *SHAPE), "f4")}, {}, RuntimeError, r"not a 2D image.*3 dim.*\(2, 20, 18\)"),
    "1-D data": ({"data": np.zeros(5, "f4")}, {}, RuntimeError, "exposure0.fits.*not a 2D image"),
    "no data": ({"data": None}, {}, RuntimeError, "not a 2D image"),
    "empty data": ({"data": np.zeros((0, 18), "f4")}, {}, ValueError, r"is empty.*\(0, 18\)"),
    "complex data": ({"data": np.zeros(SHAPE, complex)}, {}, TypeError, "'data'.*real numbers.*complex128"),
    "object data": ({"data": np.zeros(SHAPE, object)}, {}, TypeError, "'data'.*real numbers.*object"),
    "float DQ": ({"dq": np.zeros(SHAPE, "f4")}, {}, TypeError, "'dq'.*integers.*float32"),
    "boolean DQ": ({"dq": np.zeros(SHAPE, bool)}, {}, TypeError, "'dq'.*integers.*bool"),
    "no DQ": ({"dq": None}, {}, TypeError, "'dq'.*integers"),
    "DQ shape": ({"dq": np.zeros((3, 4), int)}, {}, ValueError, r"'dq'.*shape.*\(20, 18\).*\(3, 4\)"),
    "one row of DQ": ({"dq": np.zeros((1, 18), int)}, {}, ValueError, r"'dq'.*shape.*\(1, 18\)"),
    "DQ beyond 32 bits": (
        {"dq": np.full(SHAPE, 2**40)},
        {"propagate_dq": True},
        TypeError,
        "'dq'.*beyond 32 bits",
    ),
    "err None": ({"err": None}, {"compute_err": "driz_err"}, ValueError, r"'err'.*\(20, 18\).*none"),
    "err shape": (
        {"err": np.ones((3, 4))},
        {"compute_err": "driz_err"},
        ValueError,
        r"'err'.*\(20, 18\).*\(3, 4\)",
    ),
    "complex err": ({"err": np.ones(SHAPE, complex)}, {"compute_err": "driz_err"}, TypeError, "'err'.*real numbers"),
    "complex variance": (
        {"var_poisson": np.ones(SHAPE, complex)},
        {},
        TypeError,
        "'var_poisson'.*real numbers.*complex128",
    ),
    "complex weight": (
        {"var_rnoise": np.ones(SHAPE, complex)},
        {"enable_var": False},
        TypeError,
        "'var_rnoise'.*real numbers",
    ),
    "exposure time 0": ({"exposure_time": 0}, {}, ValueError, "'exposure_time'.*positive.*got 0"),
    "exposure time < 0": ({"exposure_time": -1.0}, {}, ValueError, "'exposure_time'.*positive.*got -1"),
    "exposure time NaN": ({"exposure_time": math.nan}, {}, ValueError, "'exposure_time'.*positive.*got nan"),
    "exposure time inf": ({"exposure_time": math.inf}, {}, ValueError, "'exposure_time'.*positive.*got inf"),
    "exposure time None": ({"exposure_time": None}, {}, TypeError, "'exposure_time'.*got None"),
    "exposure time a word": ({"exposure_time": "long"}, {}, TypeError, "'exposure_time'.*got 'long'"),
    "exposure time in quotes": ({"exposure_time": "100"}, {}, TypeError, "'exposure_time'.*got '100'"),
    "duration a word": ({"duration": "long"}, {}, TypeError, "'duration'.*got 'long'"),
    "measurement time a word": ({"measurement_time": "long"}, {}, TypeError, "'measurement_time'.*got 'long'"),
    "negative time as weight": (
        {"measurement_time": -1.0},
        {"weight_type": "exptime"},
        ValueError,
        "'measurement_time'.*not negative.*-1.0",
    ),
    "NaN time as weight": (
        {"measurement_time": math.nan},
        {"weight_type": "exptime"},
        ValueError,
        "'measurement_time'.*nan",
    ),
    "level NaN": ({"level": math.nan}, {}, ValueError, "'level'.*finite.*nan"),
    "level inf": ({"level": math.inf}, {}, ValueError, "'level'.*finite.*inf"),
    "level a word": ({"level": "high"}, {}, TypeError, "'level'.*got 'high'"),
    "pixel area NaN": ({"pixelarea_steradians": math.nan}, {}, ValueError, "nan"),
    "pixel area infinite": ({"pixelarea_steradians": math.inf}, {}, ValueError, "inf"),
    "good_bits a word": ({}, {"good_bits": "dead"}, (ValueError, KeyError), "dead"),
    "good_bits a float": ({}, {"good_bits": 2.5}, TypeError, "bit_flags|good_bits"),
    "spline order": ({}, {"pixmap_stepsize": 4, "pixmap_order": 2}, ValueError, "'pixmap_order'.*1 or 3.*2"),
}


@pytest.mark.parametrize("case", BAD_MODELS)
def test_bad_models(backend, case):
    """A wrong model is refused, by the reference's type of error, in words that name what is wrong."""
    changes, options, error, match = BAD_MODELS[case]
    resampler = resampler_of(backend, **options)
    with pytest.raises(error, match=match) as caught:
        resampler.add_model(good_model() | changes)
    assert_type_of_reference(caught.value, error_of_reference(changes, options))


@pytest.mark.parametrize("case", [c for c in BAD_MODELS if "good_bits" not in c and "spline" not in c])
def test_refusal_leaves_no_trace(backend, case):
    """A mosaic in the midst of which a model was refused equals, bit by bit, one that never saw it."""
    changes, options, error, _ = BAD_MODELS[case]
    with_failures = resampler_of(backend, **options)
    without = resampler_of(backend, **options)
    bad = good_model(seed=5) | changes
    for resampler in (with_failures, without):
        if resampler is with_failures:
            with pytest.raises(error):
                resampler.add_model(bad)
            assert resampler.pixel_scale_ratio is None
            assert resampler.output_model["pixel_scale_ratio"] is None
        resampler.add_model(good_model(0))
        if resampler is with_failures:
            before = dict(resampler.output_model)
            with pytest.raises(error):
                resampler.add_model(bad)
            assert dict(resampler.output_model).keys() == before.keys()
        resampler.add_model(good_model(1))
        resampler.finalize()
    assert with_failures.group_ids == without.group_ids == ["0", "1"]
    assert_identical(with_failures.output_model, without.output_model)


def assert_identical(got, expected):
    """Same keys and values, arrays bit by bit."""
    assert list(got) == list(expected)
    for key, value in expected.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(got[key], value, err_msg=key, strict=True)
        elif key != "wcs":
            assert got[key] == value, key


KEYS = [
    "data",
    "dq",
    "wcs",
    "filename",
    "group_id",
    "exposure_time",
    "start_time",
    "end_time",
    "duration",
    "measurement_time",
    "pixelarea_steradians",
    "level",
    "subtracted",
    "var_rnoise",
    "var_poisson",
    "var_flat",
]


@pytest.mark.parametrize("key", KEYS)
def test_missing_keys(key):
    """A missing key is a KeyError that names it, as in the reference."""
    model = good_model()
    del model[key]
    with pytest.raises(KeyError, match=f"'{key}' in a data model"):
        resampler_of().add_model(model)
    assert isinstance(error_of_reference({}, {}, drop=[key]), KeyError)


@pytest.mark.parametrize(
    ("key", "options"),
    [
        ("err", {"compute_err": "driz_err"}),
        ("var_rnoise", {"enable_var": False}),
        ("var_rnoise", {"enable_var": False, "weight_type": "ivm-sky"}),
    ],
)
def test_missing_keys_that_options_need(key, options):
    """A key that only some options need is missed with them alone."""
    model = good_model()
    del model[key]
    with pytest.raises(KeyError, match=f"'{key}' in a data model"):
        resampler_of(**options).add_model(model)
    assert isinstance(error_of_reference({}, options, drop=[key]), KeyError)
    resampler_of(enable_var=False, weight_type="exptime").add_model(model)


def test_spectral_models_need_a_unit():
    """A spectral model without 'bunit_data' is refused, as by the reference."""
    model = scenes.spectral_models(SHAPE, n=1)[0]
    del model["bunit_data"]
    resampler = gpures.Resample({"wcs": scenes.spectral_frame(SHAPE), "pixel_scale": 0.1})
    with pytest.raises(KeyError, match="'bunit_data' in a data model"):
        resampler.add_model(model)


def test_flux_density_needs_a_ratio(backend):
    """A spectral flux density can't be scaled without a pixel scale ratio; nothing is added then."""
    model = scenes.spectral_models(SHAPE, n=1, bunit_data="MJy")[0]
    resampler = gpures.Resample({"wcs": scenes.spectral_frame(SHAPE), "pixel_scale": 0.1}, backend=backend)
    with pytest.raises(TypeError):
        resampler.add_model(model)
    resampler.add_model(model | {"bunit_data": "MJy/sr"})
    assert resampler.output_model["pointings"] == 1


@pytest.mark.parametrize("model", [None, [1, 2], "exposure.fits"])
def test_models_that_are_none(model):
    """A model that is no mapping is refused by name of its type."""
    with pytest.raises(TypeError, match=f"'model' must be a dict.*{type(model).__name__}"):
        resampler_of().add_model(model)


# ---- WCS -----------------------------------------------------------------------------------------------------------


def nan_wcs():
    """A WCS that is NaN everywhere."""
    transform = astropy_models.Shift(np.nan) & astropy_models.Shift(0.0) | scenes.sky_transform(SHAPE)
    return scenes.wcs_of(transform, SHAPE)


BAD_WCS = {
    "NaN everywhere": (nan_wcs, ValueError, "too few valid pixels"),
    "raises": (lambda: scenes.wcs_of(Raising(), SHAPE), RuntimeError, "no reference file"),
    "box beside the array": (
        lambda: scenes.imaging_wcs(SHAPE, box=((500.0, 600.0), (0.0, 10.0))),
        ValueError,
        "too few valid pixels",
    ),
    "box of one column": (
        lambda: scenes.imaging_wcs(SHAPE, box=((5.5, 6.5), (0.0, 10.0))),
        ValueError,
        "too few valid pixels",
    ),
}


@pytest.mark.parametrize("options", [{}, {"pixmap_tolerance": 0}, {"pixmap_stepsize": 3}], ids=str)
@pytest.mark.parametrize("case", BAD_WCS)
def test_bad_wcs(backend, case, options):
    """A WCS that raises or is not finite ends in an error, with sums, times and bounding boxes as they were."""
    make, error, match = BAD_WCS[case]
    mosaics = []
    bad = good_model(5) | {"wcs": make()}
    box = bad["wcs"].bounding_box
    for fail in (True, False):
        resampler = resampler_of(backend, **options)
        output_box = resampler.output_wcs.bounding_box
        for k in range(2):
            if fail:
                with pytest.raises(error, match=match):
                    resampler.add_model(bad)
                assert bad["wcs"].bounding_box == box
                assert resampler.output_wcs.bounding_box == output_box
            resampler.add_model(good_model(k))
        resampler.finalize()
        mosaics.append(resampler.output_model)
    assert_identical(*mosaics)


def test_output_wcs_that_raises(backend):
    """An error of the output WCS reaches the caller, and leaves both WCS as they were."""
    transform = scenes.sky_transform(SHAPE)
    transform.inverse = Raising()
    output = scenes.wcs_of(transform, SHAPE)
    model = good_model()
    boxes = output.bounding_box, model["wcs"].bounding_box
    resampler = gpures.Resample({"wcs": output} | OUTPUT_SCALE, backend=backend)
    with pytest.raises(RuntimeError, match="no reference file"):
        resampler.add_model(model)
    assert (output.bounding_box, model["wcs"].bounding_box) == boxes
    assert resampler.group_ids == []


def test_model_without_wcs(backend):
    """A model whose WCS is None is refused before anything is added."""
    resampler = resampler_of(backend)
    with pytest.raises((AttributeError, TypeError, ValueError), match=r"WCS|wcs|output_frame"):
        resampler.add_model(good_model(wcs=None))
    assert resampler.output_model["pointings"] == 0


def test_output_axes():
    """Output WCS with the wrong number of axes are refused with the reference's words."""
    detector, _ = scenes.sky_frames()
    one = coordinate_frames.SpectralFrame(axes_order=(0,), unit=(scenes.units.um,))
    transform = astropy_models.Mapping((0,), n_inputs=2)
    wcs = scenes.gwcs.WCS([(detector, transform), (one, None)])
    wcs.array_shape = SHAPE
    with pytest.raises(gpures.UnsupportedWCSError, match=r"spectral WCS needs 3 coordinate axes.*has 1"):
        gpures.Resample({"wcs": wcs} | OUTPUT_SCALE)
    with pytest.raises(stcal.resample.UnsupportedWCSError, match=r"spectral WCS needs 3 coordinate axes.*has 1"):
        stcal.resample.Resample({"wcs": wcs} | OUTPUT_SCALE)


# ---- the constructor -----------------------------------------------------------------------------------------------

BAD_OPTIONS = [
    ("kernel", "box", "'box'.*'kernel' must be one of.*square"),
    ("kernel", None, "None.*'kernel' must be one of"),
    ("weight_type", "best", "'weight_type' must be one of.*'best'"),
    ("weight_type", "ivmx", "'weight_type' must be one of.*'ivmx'"),
    ("weight_type", None, "'weight_type' must be one of.*None"),
    ("pixfrac", -0.1, "'pixfrac'.*between 0.0 and 2.0.*-0.1"),
    ("pixfrac", math.nan, "'pixfrac'.*nan"),
    ("pixfrac", 2.01, "'pixfrac'.*2.01"),
    ("pixfrac", math.inf, "'pixfrac'.*inf"),
    ("pixfrac", None, "'pixfrac'.*None"),
    ("pixfrac", "1", "'pixfrac'.*'1'"),
    ("fillval", "blank", "blank"),
    ("compute_err", "var", "'compute_err' must be 'from_var', 'driz_err' or None, got 'var'"),
    ("compute_err", True, "'compute_err'.*True"),
    ("variance_method", "sum", "'variance_method' must be 'stcal' or 'propagated', got 'sum'"),
    ("variance_method", None, "'variance_method'.*None"),
    ("precision", "half", "'precision' must be 'double' or 'single', got 'half'"),
    ("precision", None, "'precision'.*None"),
    ("n_input_models", 0, "'n_input_models'.*at least 1.*0"),
    ("n_input_models", -3, "'n_input_models'.*-3"),
    ("pixmap_stepsize", 0, "'pixmap_stepsize'.*at least 1.*0"),
    ("pixmap_stepsize", math.nan, "'pixmap_stepsize'.*nan"),
    ("pixmap_tolerance", -1e-6, "'pixmap_tolerance'.*-1e-06"),
    ("pixmap_tolerance", math.nan, "'pixmap_tolerance'.*nan"),
    ("pixmap_tolerance", None, "'pixmap_tolerance'.*None"),
    ("backend", "opencl", "'backend' must be one of.*'opencl'"),
    ("backend", None, "'backend' must be one of.*None"),
    ("accumulator_dtype", "f2", "'accumulator_dtype' must be.*'f2'"),
    ("accumulator_dtype", "i4", "'accumulator_dtype' must be.*'i4'"),
]


@pytest.mark.parametrize(("name", "value", "match"), BAD_OPTIONS)
def test_bad_options(name, value, match):
    """An impossible argument is refused at once, with its name, what it got and what it may be."""
    with pytest.raises(ValueError, match=match):
        gpures.Resample({"wcs": frame()} | OUTPUT_SCALE, **{name: value})


def test_fill_value_of_another_type():
    """A fill value that is no number and no string is refused."""
    with pytest.raises((TypeError, ValueError)):
        resampler_of(fillval=[1, 2])


def test_dtype_that_is_none():
    """A type that numpy doesn't know is refused."""
    with pytest.raises((TypeError, ValueError), match="float33"):
        resampler_of(accumulator_dtype="float33")


def test_double_sums_on_the_drizzle_package():
    """The drizzle package has float32 sums only, and says so."""
    with pytest.raises(ValueError, match=r"backend='drizzle'.*float32"):
        resampler_of("drizzle", accumulator_dtype="f8")


@pytest.mark.parametrize(
    ("output", "error", "match"),
    [
        (None, ValueError, "Output WCS must be provided.*'output_wcs'"),
        ({}, ValueError, "'output_wcs' must have a WCS under 'wcs'"),
        ({"wcs": None, "pixel_scale": 0.1}, ValueError, "under 'wcs', got the keys.*pixel_scale"),
        ("frame", TypeError, "'output_wcs' must be a dict.*str"),
    ],
)
def test_output_that_is_none(output, error, match):
    """Without an output WCS there is no resampler."""
    with pytest.raises(error, match=match):
        gpures.Resample(output)


@pytest.mark.parametrize("value", [0, 0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("name", ["pixel_scale", "pixel_scale_ratio"])
def test_scales(name, value):
    """Pixel scale and ratio must be positive and finite."""
    with pytest.raises(ValueError, match=f"'{name}' must be positive and finite, got {value!r}"):
        resampler_of(output={name: value})


@pytest.mark.parametrize("name", ["pixel_scale", "pixel_scale_ratio"])
def test_scales_of_another_type(name):
    """A scale that is no number is refused by its name."""
    with pytest.raises((TypeError, ValueError), match=f"'{name}'.*'fine'"):
        resampler_of(output={name: "fine"})


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (-1, 5), (5,), (5, 5, 5)])
def test_frames_without_pixels(shape):
    """An output shape that is not two positive numbers is refused in the reference's words."""
    wcs = scenes.imaging_wcs((30, 30), box=None)
    wcs.array_shape = shape
    with pytest.raises(ValueError, match=f"Invalid output frame shape: {re.escape(str(shape))}"):
        gpures.Resample({"wcs": wcs} | OUTPUT_SCALE)


def test_output_shape_that_nobody_knows():
    """An output WCS with neither shape nor bounding box is refused, as by the reference."""
    wcs = scenes.imaging_wcs((30, 30), box=None)
    wcs.array_shape = None
    for base in (gpures.Resample, stcal.resample.Resample):
        with pytest.raises(ValueError, match="Unable to infer output image size"):
            base({"wcs": wcs} | OUTPUT_SCALE)


def test_output_shape_from_the_bounding_box():
    """An output WCS without a shape gets the one that the reference infers from the bounding box."""
    shapes = []
    for base in (gpures.Resample, stcal.resample.Resample):
        wcs = scenes.imaging_wcs((30, 30), box=((-0.5, 24.5), (2.0, 19.6)))
        wcs.array_shape = None
        shapes.append((tuple(base({"wcs": wcs} | OUTPUT_SCALE).output_array_shape), tuple(wcs.array_shape)))
    assert shapes[0] == shapes[1]


# ---- images of Drizzle ---------------------------------------------------------------------------------------------

ROWS, COLUMNS = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)


def image(**changes):
    """Arguments of an image."""
    pixmap = np.stack([COLUMNS * 0.9 + 2.0, ROWS * 1.1 + 1.0], axis=-1)
    return {"data": ROWS, "exptime": 10.0, "pixmap": pixmap, "data2": COLUMNS, "dq": np.ones(SHAPE, "u1")} | changes


BAD_IMAGES = {
    "no pixel map": ({"pixmap": np.full((*SHAPE, 2), np.nan)}, ValueError, "too few valid pixels"),
    "a pixel map of one column": ({"pixmap": np.ones((*SHAPE, 1))}, ValueError, "'pixmap' shape is not consistent"),
    "a pixel map far away": ({"pixmap": image()["pixmap"] + 1e12}, ValueError, "'pixmap' must lie within"),
    "one place for all, and no ratio": (
        {"pixmap": np.ones((*SHAPE, 2)), "pixel_scale_ratio": None},
        ValueError,
        "'pixel_scale_ratio' is not given and can't be estimated",
    ),
    "a long time": ({"exptime": 1e300}, ValueError, "'exptime'.*must.*strictly positive"),
    "a very long time": ({"exptime": 10**400}, ValueError, "'exptime'.*must.*strictly positive"),
    "times": ({"exptime": np.ones(2)}, TypeError, "'exptime' must be a number"),
    "a large scale": ({"iscale": 1e200}, ValueError, "'iscale' must lie between"),
    "a large ratio": ({"pixel_scale_ratio": 1e39}, ValueError, "'pixel_scale_ratio' must lie between"),
    "a large ratio in float32": ({"pixel_scale_ratio": 1e20}, ValueError, "'pixel_scale_ratio' must lie between"),
    "a large weight": ({"wht_scale": 1e39}, ValueError, "'wht_scale' must lie between"),
    "limits beside the image": ({"xmin": 50}, ValueError, "'xmax' must be > 'xmin'.*50"),
    "limits of floats": ({"ymin": 1.0}, TypeError, "'ymin' must be an integer"),
    "limits in the wrong order": ({"xmin": 7, "xmax": 3}, ValueError, "'xmax' must be > 'xmin'.*7, 3"),
    "variances of another shape": ({"data2": COLUMNS[:3]}, ValueError, "'data2' shape is not consistent"),
}


@pytest.mark.parametrize("case", BAD_IMAGES)
def test_bad_images(backend, case):
    """A wrong image is refused by name; a mosaic that it was to begin, or to go on with, equals one without it."""
    changes, error, match = BAD_IMAGES[case]
    for out_shape in (None, (26, 25)):
        with_failures, without = (
            gpures.Drizzle("turbo", out_shape=out_shape, backend=backend) for _ in ("with failures", "without")
        )
        for good in (image(), image(data=COLUMNS, exptime=1.0)):
            if "far away" not in case or (out_shape is None and not with_failures.total_exptime):
                with pytest.raises(error, match=match):
                    with_failures.add_image(**image(**changes))
            assert with_failures.add_image(**good) == without.add_image(**good)
        assert with_failures.total_exptime == without.total_exptime == 11.0
        assert with_failures.ctx_id == without.ctx_id == 2
        for name in ("out_img", "out_wht", "out_ctx", "out_dq"):
            np.testing.assert_array_equal(getattr(with_failures, name), getattr(without, name), strict=True)
        np.testing.assert_array_equal(with_failures.out_img2[0], without.out_img2[0], strict=True)


def test_an_image_that_fails_begins_nothing(monkeypatch):
    """Where the first image fails in the pass itself, the next begins the mosaic: its frame, flags and variances."""
    mosaic, expected = (gpures.Drizzle(backend="cpu") for _ in range(2))
    with monkeypatch.context() as patch:
        patch.setattr("gpures.backend.cpu.CPUAccumulators.add", lambda *_: (_ for _ in ()).throw(MemoryError("none")))
        with pytest.raises(MemoryError, match="none"):
            mosaic.add_image(**image())
    good = image(data2=None, dq=None, pixmap=image()["pixmap"] * 2.0)
    assert mosaic.add_image(**good) == expected.add_image(**good)
    assert mosaic.out_dq is None
    assert mosaic.out_img2 == expected.out_img2
    for name in ("out_img", "out_wht", "out_ctx"):
        np.testing.assert_array_equal(getattr(mosaic, name), getattr(expected, name), strict=True)


# ---- memory and environment ----------------------------------------------------------------------------------------


def test_frame_that_does_not_fit(backend):
    """A frame beyond memory is refused before anything is allocated, with what it needs and what there is."""
    wcs = scenes.imaging_wcs((2_000_000, 3_000_000), box=None)
    with pytest.raises(MemoryError, match=r"3000000 x 2000000 pixels needs \d+\.\d GiB.*\d\.\d GiB are available"):
        gpures.Resample({"wcs": wcs} | OUTPUT_SCALE, backend=backend)


def test_memory_needed_follows_the_options(monkeypatch):
    """What just fits without variances does not fit with them; and the advice that says so helps."""
    monkeypatch.setattr(gpures.backend.base, "available_memory", lambda: 1000 * 1000 * 20)
    wcs = scenes.imaging_wcs((1000, 1000), box=None)
    with pytest.raises(MemoryError, match="turn off enable_var or enable_ctx"):
        gpures.Resample({"wcs": wcs} | OUTPUT_SCALE)
    gpures.Resample({"wcs": wcs} | OUTPUT_SCALE, enable_var=False)
    with pytest.raises(MemoryError, match="GiB"):
        gpures.Resample({"wcs": wcs} | OUTPUT_SCALE, enable_var=False, n_input_models=200)
    monkeypatch.setattr(gpures.backend.base, "available_memory", lambda: None)
    gpures.Resample({"wcs": wcs} | OUTPUT_SCALE)


def test_backend_of_the_environment(monkeypatch):
    """GPURES_BACKEND is what "auto" means; a wrong one is named, and one given as an argument goes before it."""
    monkeypatch.setenv("GPURES_BACKEND", "drizzle")
    assert resampler_of("auto").backend == "drizzle"
    assert resampler_of("cpu").backend == "cpu"
    monkeypatch.setenv("GPURES_BACKEND", "opencl")
    with pytest.raises(ValueError, match=r"GPURES_BACKEND must be one of.*'opencl'"):
        resampler_of("auto")
    assert resampler_of("cpu").backend == "cpu"
    monkeypatch.setenv("GPURES_BACKEND", "auto")
    assert resampler_of("auto").backend in ("cpu", "cuda")


@pytest.mark.parametrize("options", [{}, {"pixmap_stepsize": 3}], ids=str)
@pytest.mark.parametrize("value", ["0", "-1", "many", "2.0", "1e2"])
def test_threads_of_the_environment(monkeypatch, value, options):
    """A wrong GPURES_NUM_THREADS is refused by name, and nothing has been added then."""
    resampler = resampler_of("cpu", **options)
    monkeypatch.setenv("GPURES_NUM_THREADS", value)
    with pytest.raises(ValueError, match=f"GPURES_NUM_THREADS must be a positive integer, got '{value}'"):
        resampler.add_model(good_model(5))
    monkeypatch.setenv("GPURES_NUM_THREADS", "1")
    assert resampler.pixel_scale_ratio is None
    expected = resampler_of("cpu", **options)
    for each in (resampler, expected):
        each.add_model(good_model())
        each.finalize()
    assert_identical(resampler.output_model, expected.output_model)


# ---- the order of things -------------------------------------------------------------------------------------------


def test_adding_after_the_end(backend):
    """After finalize models are refused in the reference's words, until reset_arrays."""
    resampler = resampler_of(backend)
    resampler.add_model(good_model())
    assert not resampler.is_finalized()
    resampler.finalize()
    assert resampler.is_finalized()
    before = copy.copy(resampler.output_model)
    with pytest.raises(RuntimeError, match=r"has been finalized and no new models can be added.*reset_arrays"):
        resampler.add_model(good_model(1))
    assert_identical(resampler.output_model, before)
    resampler.reset_arrays()
    resampler.add_model(good_model(1))
    resampler.finalize()


def test_finalizing_nothing(backend):
    """A mosaic of nothing can't be finalized; with a model it then can."""
    resampler = resampler_of(backend)
    with pytest.raises(ValueError, match="Nothing to finalize"):
        resampler.finalize()
    assert not resampler.is_finalized()
    resampler.add_model(good_model())
    resampler.finalize()


def test_finalizing_twice(backend):
    """A second finalize does nothing."""
    resampler = resampler_of(backend)
    resampler.add_model(good_model())
    resampler.finalize()
    before = {k: np.copy(v) if isinstance(v, np.ndarray) else v for k, v in resampler.output_model.items()}
    resampler.finalize()
    assert_identical(resampler.output_model, before)


# ---- the caller's objects ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"pixmap_tolerance": 0}, {"pixmap_stepsize": 3, "pixmap_order": 3}], ids=str)
def test_inputs_stay_as_they_were(backend, options):
    """No array, key or bounding box of the caller is changed, though NaN, levels and flags are dealt with."""
    model = good_model(level=1.5)
    model["data"][3, 4] = np.nan
    model["var_rnoise"][5, 6] = -1.0
    model["wcs"].bounding_box = ((0.5, 14.2), (-0.5, 18.0))
    output = {"wcs": frame()} | OUTPUT_SCALE
    arrays = {key: np.copy(value) for key, value in model.items() if isinstance(value, np.ndarray)}
    others = {key: value for key, value in model.items() if key not in arrays}
    boxes = model["wcs"].bounding_box, output["wcs"].bounding_box
    output_before = dict(output)
    resampler = gpures.Resample(
        output, backend=backend, compute_err="driz_err", propagate_dq=True, good_bits=4, **options
    )
    resampler.add_model(model)
    resampler.finalize()
    assert list(model) == list(arrays | others) or set(model) == set(arrays | others)
    for key, value in arrays.items():
        np.testing.assert_array_equal(model[key], value, err_msg=key)
    assert all(model[key] is value for key, value in others.items())
    assert (model["wcs"].bounding_box, output["wcs"].bounding_box) == boxes
    assert output == output_before
    assert resampler.output_wcs is output["wcs"]
    assert resampler.output_model["wcs"] is output["wcs"]


def test_output_does_not_share_memory_with_input(backend):
    """Images of the output are not views of a model's arrays."""
    model = good_model()
    resampler = resampler_of(backend, compute_err="driz_err", propagate_dq=True)
    resampler.add_model(model)
    resampler.finalize()
    for key, image in resampler.output_model.items():
        if isinstance(image, np.ndarray):
            assert not any(np.shares_memory(image, a) for a in model.values() if isinstance(a, np.ndarray)), key
