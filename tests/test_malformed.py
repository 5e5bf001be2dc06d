"""Malformed calls: a table of what each argument takes of a zoo of values, and what is refused by name.

Each value of the zoo is either taken, with a right result, or refused by an error of a builtin kind whose text names
the argument; and whichever it is, nothing is half done: after a refusal the mosaic is, bit by bit, what it was.
"""

from __future__ import annotations

import datetime as dt
import decimal
import fractions

import numpy as np
import pytest
import scenes
from astropy import units

import gpures
from gpures.exposure.pixmap import calc_pixmap

SHAPE = (12, 11)
KINDS = (TypeError, ValueError, KeyError, RuntimeError)


class Raises:
    """An array that can't be had."""

    def __array__(self, dtype=None, copy=None):
        raise OSError("the disk is gone")


class Unprintable:
    """An object that has no words for itself."""

    def __repr__(self):
        raise OSError("the disk is gone")


# Values by name, each made anew for each call.
NUMBERS = {
    "None": lambda: None,
    "text": lambda: "text",
    "digits": lambda: "1",
    "bytes": lambda: b"1",
    "list": lambda: [1, 2],
    "dict": dict,
    "set": lambda: {1},
    "object": object,
    "unprintable": Unprintable,
    "complex": lambda: 1j,
    "True": lambda: True,
    "np.True_": lambda: np.True_,
    "nan": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "-inf": lambda: float("-inf"),
    "-1": lambda: -1,
    "-1.5": lambda: -1.5,
    "0": lambda: 0,
    "0.0": lambda: 0.0,
    "1e-50": lambda: 1e-50,
    "1e39": lambda: 1e39,
    "1e200": lambda: 1e200,
    "1e308": lambda: 1e308,
    "10**400": lambda: 10**400,
    "10**9000": lambda: 10**9000,  # more digits than Python writes
    "two": lambda: np.array([1.0, 2.0]),
    "one": lambda: np.array([1.0]),
    "none of them": lambda: np.empty(0),
    "0-d": lambda: np.array(1.0),
    "0-d text": lambda: np.array("a"),
    "masked": lambda: np.ma.masked,
    "quantity": lambda: 1.0 * units.s,
    "datetime": lambda: dt.datetime(2026, 1, 1),
    "datetime64": lambda: np.datetime64("2026"),
    "NaT": lambda: np.datetime64("NaT", "s"),
    "Decimal": lambda: decimal.Decimal(1),
    "Fraction": lambda: fractions.Fraction(1, 2),
    "float16": lambda: np.float16(1),
    "longdouble": lambda: np.longdouble(1),
    "int8": lambda: np.int8(1),
    "function": lambda: len,
    "generator": lambda: (k for k in (1,)),
    "type": lambda: int,
    "image": lambda: np.ones(SHAPE),
}

REAL = {"0-d", "Fraction", "float16", "longdouble", "int8"}
ZERO = {"0", "0.0"}
NEGATIVE = {"-1", "-1.5"}
FINITE = REAL | ZERO | NEGATIVE | {"1e-50"}
ANY_FLOAT = FINITE | {"nan", "inf", "-inf"}
SWITCH = {"True", "np.True_", "0", "int8"}
TIMES = FINITE | {"None", "1e39", "1e200", "1e308", "Decimal"}
EVERYTHING = set(NUMBERS)
NONSENSE = {"two", "one", "none of them", "image"}  # arrays, where they are no values

# What each key of a model takes. A pixel area that is not positive stands for none, as in the reference.
OF_MODEL = {
    "exposure_time": REAL,
    "effective_exposure_time": REAL | {"None"},
    "measurement_time": REAL | ZERO | {"None"},
    "duration": REAL | ZERO | {"None"},
    "start_time": TIMES,
    "end_time": TIMES,
    "pixelarea_steradians": FINITE | {"None"},
    "level": FINITE | {"None"},
    "subtracted": SWITCH | {"None"},
    "group_id": EVERYTHING - NONSENSE,
    "filename": EVERYTHING,
    "wcs": set(),
}

OF_RESAMPLE = {
    "n_input_models": {"None", "int8"},
    "pixfrac": REAL | ZERO | {"1e-50"},
    "kernel": set(),
    "fillval": ANY_FLOAT | {"None", "digits"},
    "weight_type": set(),
    "good_bits": {"None", "0", "digits", "list", "dict", "set", "none of them", "int8", "10**400", "10**9000"},
    "enable_ctx": SWITCH,
    "enable_var": SWITCH,
    "compute_err": {"None"},
    "propagate_dq": SWITCH,
    "pixmap_stepsize": {"0-d", "int8", "float16", "longdouble", "inf", "1e39", "1e200", "1e308", "10**400", "10**9000"},
    "pixmap_order": {"int8"},
    "pixmap_tolerance": REAL | ZERO | {"1e-50", "inf", "1e39", "1e200", "1e308", "10**400", "10**9000"},
    "backend": set(),
    "device": {"None", "0", "list", "int8", "10**400", "10**9000"},
    "to_host": SWITCH,
    "extra_array_names": {"dict", "none of them"},
    "enable_exptime_map": SWITCH,
    "accumulator_dtype": set(),
    "dq_of_empty": {"None", "0", "int8"},
    "variance_method": set(),
    "covariance": {"True", "np.True_", "int8"},
    "noise_factor": SWITCH,
    "deterministic": SWITCH,
    "output_wcs": set(),
}

# What has another name, or none, in the words of a refusal.
IN_WORDS = {("Resample", "extra_array_names"): "extra_array_names|'text'|'1'"}

IN_OUTPUT = {"pixel_scale": REAL | {"None"}, "pixel_scale_ratio": REAL | {"None"}, "wcs": set()}

OF_ADD_IMAGE = {
    "exptime": REAL,
    "scale": REAL,
    "iscale": REAL,
    "pixel_scale_ratio": REAL | {"None"},
    "wht_scale": REAL,
    "pixfrac": REAL | ZERO | {"1e-50"},
    "in_units": set(),
    "xmin": {"None", "0", "-1", "int8"},
    "xmax": {"None", "0", "10**400", "10**9000", "int8"},
    "ymin": {"None", "0", "-1", "int8"},
    "ymax": {"None", "0", "10**400", "10**9000", "int8"},
}

OF_DRIZZLE = {
    "kernel": set(),
    "fillval": ANY_FLOAT | {"None", "digits"},
    "fillval2": ANY_FLOAT | {"None", "digits"},
    "out_shape": {"None", "list"},
    "exptime": ZERO,
    "begin_ctx_id": {"0", "int8"},
    "max_ctx_id": {"None", "0", "int8"},
    "disable_ctx": SWITCH,
    "backend": set(),
    "device": {"None", "0", "int8", "10**400", "10**9000"},
    "to_host": SWITCH,
    "deterministic": SWITCH,
}

OF_BLOT = {
    "fillval": ANY_FLOAT | {"digits"},
    "iscale": REAL,
    "interp": set(),
    "sinscl": REAL,
    "pix_ratio": REAL,
    "exptime": REAL,
    "output_pixel_shape": set(),
    "backend": set(),
    "device": {"None", "0", "int8", "10**400", "10**9000"},
    "to_host": SWITCH,
}

OF_PIXMAP = {
    "wcs_from": set(),
    "wcs_to": set(),
    "shape": {"list"},
    "tolerance": OF_RESAMPLE["pixmap_tolerance"],
    "stepsize": OF_RESAMPLE["pixmap_stepsize"],
    "order": {"int8"},
}

OF_MOSAIC = {
    "inputs": set(),
    "output": {"None"},
    "output_wcs": {"None"},
    "pixel_scale": REAL | {"None"},
    "pixel_scale_ratio": REAL,
    "rotation": FINITE | {"None"},
    "crpix": {"None", "list", "two"},
    "crval": {"None"},
    "output_shape": {"None", "list"},
    "skip_bad": SWITCH,
    "overwrite": SWITCH,
    "progress": {"None", "True", "function", "type"},
    "pixfrac": OF_RESAMPLE["pixfrac"],
    "weight_type": set(),
    "no_such_argument": set(),
}

ARRAYS = {
    "None": lambda: None,
    "1.0": lambda: 1.0,
    "True": lambda: True,
    "text": lambda: "text",
    "ragged": lambda: [[1, 2], [3]],
    "dict": dict,
    "object": object,
    "function": lambda: len,
    "generator": lambda: (k for k in (1,)),
    "raises": Raises,
    "objects": lambda: np.ones(SHAPE, object),
    "complex": lambda: np.ones(SHAPE, complex),
    "datetimes": lambda: np.ones(SHAPE, "M8[s]"),
    "timedeltas": lambda: np.ones(SHAPE, "m8[s]"),
    "structured": lambda: np.ones(SHAPE, [("a", "f4")]),
    "texts": lambda: np.full(SHAPE, "a"),
    "bytes": lambda: np.full(SHAPE, b"a"),
    "0-d": lambda: np.array(1.0),
    "1-d": lambda: np.ones(12),
    "3-d": lambda: np.ones((2, *SHAPE)),
    "empty": lambda: np.ones((0, 11)),
    "transposed": lambda: np.ones(SHAPE[::-1]),
    "other mask": lambda: Masked(np.ones(SHAPE), np.zeros((3, 4), bool)),
    "booleans": lambda: np.ones(SHAPE, bool),
    "int8": lambda: np.ones(SHAPE, "i1"),
    "uint64": lambda: np.full(SHAPE, 2**63, "u8"),
    "float16": lambda: np.ones(SHAPE, "f2"),
    "longdouble": lambda: np.ones(SHAPE, "g"),
    "big-endian": lambda: np.ones(SHAPE, ">f8"),
    "list": lambda: np.ones(SHAPE).tolist(),
    "integers": lambda: np.ones(SHAPE, int).tolist(),
    "nan": lambda: np.full(SHAPE, np.nan),
    "inf": lambda: np.full(SHAPE, np.inf),
    "1e300": lambda: np.full(SHAPE, 1e300),
    "all masked": lambda: np.ma.masked_all(SHAPE),
}


class Masked:
    """What has a mask as astropy's images have it."""

    def __init__(self, array, mask):
        self.array, self.mask = array, mask

    def __array__(self, dtype=None, copy=None):
        return self.array


SHAPED = {"booleans", "int8", "uint64", "float16", "longdouble", "big-endian", "list", "integers", "nan", "inf"}
IMAGES = SHAPED | {"1e300", "all masked"}
# Variances that are missing or of another shape are passed over, with a word in the log, as in the reference.
VARIANCES = IMAGES | {"None", "1.0", "True", "0-d", "1-d", "3-d", "empty", "transposed"}

ARRAYS_OF_MODEL = {
    "data": IMAGES,
    "dq": {"int8", "integers"},
    "err": IMAGES,
    "var_rnoise": VARIANCES,
    "var_poisson": VARIANCES,
    "extra": IMAGES,
}
ARRAYS_OF_ADD_IMAGE = {
    "data": IMAGES,
    "pixmap": set(),
    "data2": IMAGES - {"list", "integers"},
    "dq": {"None", "int8"},
    "weight_map": IMAGES | {"None"},
}
OUTPUT = (IMAGES | {"None", "transposed"}) - {"all masked"}
ARRAYS_OF_DRIZZLE = {
    "out_img": OUTPUT,
    "out_wht": {"None"},  # others are weights without an exposure time
    "out_ctx": {"None"},  # others have bits, or are not of 32 bits
    "out_img2": (OUTPUT - {"list", "integers"}) | {"dict"},
    "out_dq": {"None", "int8"},
}
ARRAYS_OF_BLOT = {"data": IMAGES | {"transposed"}, "pixmap": set(), "out_img": IMAGES | {"None"}}


def rows(table, values):
    """Arguments and names of values."""
    return [(name, value) for name in table for value in values]


def check(call, taken, words, state=None):
    """A call of the table: it does what the table says, and a refusal changes nothing.

    Some values that are taken still name what they do in a warning.
    """
    before = state() if state else None
    if taken:
        call()
        return
    with pytest.raises((*KINDS, OSError), match=words) as caught:
        call()
    if isinstance(caught.value, OSError):  # a file of that name, or folder
        assert isinstance(caught.value, (FileNotFoundError, IsADirectoryError, FileExistsError))
    assert len(str(caught.value)) < 2000
    if state:
        assert state() == before


def bits(value):
    """An array as bytes, and anything else as it is."""
    return value.tobytes() if isinstance(value, np.ndarray) else repr(value)


ROWS, COLUMNS = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
PIXMAP = np.stack([COLUMNS * 1.01 + 2.0, ROWS * 0.99 + 1.5], axis=-1)

# ---- models --------------------------------------------------------------------------------------------------------


def model(seed=0, **changes):
    """A model that is good."""
    wcs = scenes.imaging_wcs(SHAPE, rotation=20.0 + seed)
    return scenes.model_of(wcs, SHAPE, seed=seed, extra=np.ones(SHAPE), **changes)


def resampler(**options):
    """A mosaic of everything, begun."""
    options = {
        "backend": "cpu",
        "compute_err": "driz_err",
        "propagate_dq": True,
        "extra_array_names": ["extra"],
        "enable_exptime_map": True,
    } | options
    output = {"wcs": scenes.frame_around(SHAPE), "pixel_scale": scenes.SCALE} | options.pop("output", {})
    begun = gpures.Resample(output, **options)
    begun.add_model(model())
    return begun


def state_of(begun):
    """All that a mosaic is, but for its variances, which are in the images of the end."""
    output = begun.output_model
    counters = begun._exptime_start, begun._exptime_end, begun._total_exposure_time, begun._duration
    return [
        {key: bits(output[key]) for key in output},
        [bits(array) for pair in begun._accumulators._variances.values() for array in pair],
        (repr(begun.group_ids), repr(counters), begun._n_res_models, begun.pixel_scale_ratio),
    ]


@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
@pytest.mark.parametrize(("key", "value"), rows(OF_MODEL, NUMBERS))
def test_values_of_a_model(key, value):
    """A value of a model is taken, and the mosaic can be finished, or it is refused by its name."""
    begun = resampler()
    taken = value in OF_MODEL[key]
    bad = model(1) | {key: NUMBERS[value]()}
    check(lambda: begun.add_model(bad), taken, f"'{key}' of model", lambda: state_of(begun))
    begun.finalize()
    assert begun.output_model["pointings"] == 1 + taken


@pytest.mark.parametrize(("key", "value"), rows(ARRAYS_OF_MODEL, ARRAYS))
def test_arrays_of_a_model(own_backend, key, value):
    """An array of a model is taken, or refused by its name."""
    begun = resampler(backend=own_backend)
    bad = model(1) | {key: ARRAYS[value]()}
    check(lambda: begun.add_model(bad), value in ARRAYS_OF_MODEL[key], f"'{key}'", lambda: state_of(begun))


@pytest.mark.parametrize("value", NUMBERS)
def test_units_of_a_spectral_model(value):
    """A unit that is none is no flux density; nothing is refused for it, and nothing fails."""
    spectral = scenes.spectral_models(SHAPE, n=1, bunit_data=NUMBERS[value]())[0]
    begun = gpures.Resample({"wcs": scenes.spectral_frame(SHAPE), "pixel_scale": 0.1}, backend="cpu")
    begun.add_model(spectral)
    assert begun.output_model["pointings"] == 1


@pytest.mark.parametrize("given", [None, [1], "exposure.fits", 3, np.ones(SHAPE), object()], ids=type)
def test_models_that_are_none(given):
    """A model that is no mapping is refused."""
    begun = resampler()
    check(lambda: begun.add_model(given), False, "'model' must be a dict", lambda: state_of(begun))


OF_HOOK = {
    "pixel_scale_ratio": REAL | {"None"},
    "iscale": REAL,
    "xmin": {"None", "0", "-1", "int8"},
    "xmax": {"None", "0", "10**400", "10**9000", "int8"},
    "ymin": {"None", "0", "-1", "int8"},
    "ymax": {"None", "0", "10**400", "10**9000", "int8"},
}


@pytest.mark.parametrize(("name", "value"), rows(OF_HOOK, NUMBERS))
def test_arguments_of_resample_variance_arrays(name, value):
    """What an overriding class hands to resample_variance_arrays is taken, or refused by its name."""
    begun = resampler(kernel="turbo")
    good = {"pixmap": PIXMAP, "pixel_scale_ratio": 1.0, "iscale": 1.0, "weight_map": None}
    call = good | {"xmin": None, "xmax": None, "ymin": None, "ymax": None, name: NUMBERS[value]()}
    taken = value in OF_HOOK[name]
    check(lambda: begun.resample_variance_arrays(model(1), **call), taken, f"'{name}'", lambda: state_of(begun))


# ---- the resampler -------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Kernel reset to 'point'")
@pytest.mark.parametrize(("name", "value"), rows(OF_RESAMPLE, NUMBERS))
def test_arguments_of_resample(name, value):
    """An argument of Resample is taken, and gives a mosaic, or is refused by its name, at once or with a model."""
    options = {name: NUMBERS[value]()} | ({"pixmap_stepsize": 2} if name == "pixmap_order" else {})

    def call():
        if name == "output_wcs":
            gpures.Resample(options[name])
        begun = resampler(**options)
        begun.finalize()
        assert np.isfinite(begun.output_model["data"]).any()

    check(call, value in OF_RESAMPLE[name], IN_WORDS.get(("Resample", name), f"'{name}'|{name}"))


@pytest.mark.parametrize(("name", "value"), rows(IN_OUTPUT, NUMBERS))
def test_values_of_output_wcs(name, value):
    """What is in output_wcs is taken, or refused by its name."""
    words = "'output_wcs'" if name == "wcs" else f"'{name}'"
    check(lambda: resampler(output={name: NUMBERS[value]()}), value in IN_OUTPUT[name], words)


@pytest.mark.parametrize(
    "name", ["wcs", "kernel", "data", "con", "var_flat", "pointings", "group_id", "bunit_data", ""]
)
def test_extra_arrays_of_taken_names(name):
    """A further array can't have the name of another image, or of meta data that would be overwritten."""
    with pytest.raises(ValueError, match=f"'extra_array_names' must be distinct names.*got '{name}'"):
        resampler(extra_array_names=[name])


@pytest.mark.parametrize("side", [2**29 + 1, 2**31, 2**63, 10**30])
def test_frames_beyond_coordinates(side):
    """A frame with a side that the kernels' coordinates don't reach is refused, however few its pixels are."""
    wcs = scenes.frame_around(SHAPE)
    for shape in ((1, side), (side, 1)):
        with pytest.raises(ValueError, match="The output frame may have sides of at most"):
            gpures.Drizzle(out_shape=shape, backend="cpu")
    if side < 2**63:
        wcs.array_shape = (1, side)
        with pytest.raises(ValueError, match="The output frame may have sides of at most"):
            gpures.Resample({"wcs": wcs, "pixel_scale": 0.1}, backend="cpu")


# ---- Drizzle -------------------------------------------------------------------------------------------------------


def image(**changes):
    """Arguments of an image."""
    good = {"data": np.ones(SHAPE), "exptime": 1.0, "pixmap": PIXMAP}
    return good | {"data2": [np.ones(SHAPE)], "dq": np.ones(SHAPE, "u1")} | changes


def drizzle_state(begun):
    """All that a mosaic of images is."""
    images = begun.out_img, begun.out_wht, begun.out_ctx, begun.out_dq, *(begun.out_img2 or [])
    return [bits(i) for i in images], begun.ctx_id, begun.total_exptime


def begun_drizzle(kernel="turbo"):
    begun = gpures.Drizzle(kernel, out_shape=(16, 17), backend="cpu")
    begun.add_image(**image())
    return begun


@pytest.mark.filterwarnings("ignore:Kernel reset to 'point'", "ignore:'scale' is deprecated")
@pytest.mark.parametrize(("name", "value"), rows(OF_ADD_IMAGE, NUMBERS))
def test_arguments_of_add_image(name, value):
    """An argument of add_image is taken, or refused by its name."""
    begun = begun_drizzle()
    bad = image(**{name: NUMBERS[value]()})
    check(lambda: begun.add_image(**bad), value in OF_ADD_IMAGE[name], f"'{name}'", lambda: drizzle_state(begun))


@pytest.mark.parametrize(("name", "value"), rows(ARRAYS_OF_ADD_IMAGE, ARRAYS))
def test_arrays_of_add_image(name, value):
    """An array of add_image is taken, or refused by its name."""
    begun = begun_drizzle()
    bad = image(**{name: ARRAYS[value]()})
    taken = value in ARRAYS_OF_ADD_IMAGE[name]
    words = f"'{name}'" + ("|out_img2" if name == "data2" else "")
    check(lambda: begun.add_image(**bad), taken, words, lambda: drizzle_state(begun))


@pytest.mark.parametrize(("name", "value"), rows(OF_DRIZZLE, NUMBERS))
def test_arguments_of_drizzle(name, value):
    """An argument of Drizzle is taken, or refused by its name."""
    options = {"out_shape": (16, 17), "backend": "cpu", name: NUMBERS[value]()}
    check(lambda: gpures.Drizzle(**options), value in OF_DRIZZLE[name], f"'{name}'")


@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
@pytest.mark.parametrize(("name", "value"), rows(ARRAYS_OF_DRIZZLE, ARRAYS))
def test_output_arrays_of_drizzle(name, value):
    """An output array is taken, or refused by its name."""
    call = {name: ARRAYS[value](), "backend": "cpu"}
    words = f"'{name}'|out_shape"
    check(lambda: gpures.Drizzle(**call), value in ARRAYS_OF_DRIZZLE[name], words)


# ---- bounding boxes ------------------------------------------------------------------------------------------------


def boxed(box, shape=SHAPE):
    """A WCS with a bounding box."""
    return scenes.imaging_wcs(shape, rotation=20.0, box=box)


@pytest.mark.parametrize("far", [np.inf, 1e300, 1e16])
def test_boxes_without_bounds(far):
    """A bounding box that is infinite, on one side or all, bounds nothing there."""
    plain, infinite, half = (resampler() for _ in range(3))
    plain.add_model(model(1) | {"wcs": boxed(None)})
    infinite.add_model(model(1) | {"wcs": boxed(((-far, far), (-far, far)))})
    assert state_of(infinite) == state_of(plain)
    half.add_model(model(1) | {"wcs": boxed(((-0.5, far), (-far, SHAPE[0] - 0.5)))})
    assert state_of(half) == state_of(plain)
    output = boxed(((-far, far), (-far, far)), (30, 30))
    assert gpures.Resample({"wcs": output, "pixel_scale": 0.1}, backend="cpu").output_array_shape == (30, 30)
    output.array_shape = None
    with pytest.raises(
        ValueError, match=r"Unable to infer output image size|The output frame may have sides of at most"
    ):
        gpures.Resample({"wcs": output, "pixel_scale": 0.1}, backend="cpu")


def test_boxes_that_are_none():
    """A bounding box of NaN is refused."""
    begun = resampler()
    bad = model(1) | {"wcs": boxed(((np.nan, 5.0), (0.0, 5.0)))}
    check(lambda: begun.add_model(bad), False, "bounding box of a 'wcs'.*nan", lambda: state_of(begun))


# ---- what a WCS gives ----------------------------------------------------------------------------------------------


class Strange:
    """A WCS of a few methods whose world coordinates are made of those that it should give."""

    def __init__(self, wcs, make):
        self.wcs, self.make = wcs, make
        self.output_frame, self.array_shape, self.bounding_box = wcs.output_frame, wcs.array_shape, None

    def pixel_to_world_values(self, x, y):
        return self.wcs.pixel_to_world_values(x, y)

    def world_to_pixel_values(self, *world):
        return tuple(self.make(v) for v in self.wcs.world_to_pixel_values(*world))


STRANGE = {
    "complex": (lambda v: v + 0j, "output WCS must give real numbers as pixel coordinates, got complex128"),
    "one number": (lambda v: v.flat[0], r"output WCS must give pixel coordinates of the shape.*got a single number"),
    "fewer": (lambda v: v[:1], "output WCS must give pixel coordinates of the shape of its input"),
    "objects": (lambda v: v.astype(object), "output WCS must give real numbers as pixel coordinates, got object"),
}


@pytest.mark.parametrize("tolerance", [0, 1e-6])
@pytest.mark.parametrize("case", STRANGE)
def test_strange_coordinates(case, tolerance):
    """A WCS whose results are not arrays of real numbers of the arguments' shape is refused, and nothing was added."""
    make, words = STRANGE[case]
    strange = Strange(scenes.frame_around(SHAPE), make)
    begun = gpures.Resample({"wcs": strange, "pixel_scale": 0.1}, backend="cpu", pixmap_tolerance=tolerance)
    with pytest.raises((TypeError, ValueError), match=words):
        begun.add_model(model(1))
    assert begun.output_model["pointings"] == 0
    fine = Strange(scenes.frame_around(SHAPE), lambda v: v)
    begun = gpures.Resample({"wcs": fine, "pixel_scale": 0.1}, backend="cpu", pixmap_tolerance=tolerance)
    begun.add_model(model(1))
    assert begun.output_model["wht"].any()


# ---- functions -----------------------------------------------------------------------------------------------------

PLACES = np.stack([COLUMNS * 0.99, ROWS * 0.98], axis=-1)


@pytest.mark.filterwarnings("ignore:.*is deprecated since drizzle")
@pytest.mark.parametrize(("name", "value"), rows(OF_BLOT, NUMBERS))
def test_arguments_of_blot_image(name, value):
    """An argument of blot_image is taken, or refused by its name."""
    call = {"data": np.ones(SHAPE), "pixmap": PLACES, "backend": "cpu", name: NUMBERS[value]()}
    check(lambda: gpures.blot_image(**call), value in OF_BLOT[name], f"'{name}'")


@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
@pytest.mark.parametrize(("name", "value"), rows(ARRAYS_OF_BLOT, ARRAYS))
def test_arrays_of_blot_image(name, value):
    """An array of blot_image is taken, or refused by its name."""
    call = {"data": np.ones(SHAPE), "pixmap": PLACES, "backend": "cpu", name: ARRAYS[value]()}
    check(lambda: gpures.blot_image(**call), value in ARRAYS_OF_BLOT[name], f"'{name}'")


@pytest.mark.parametrize(("name", "value"), rows(OF_PIXMAP, NUMBERS))
def test_arguments_of_calc_pixmap(name, value):
    """An argument of calc_pixmap is taken, or refused by its name."""
    wcs = scenes.imaging_wcs((30, 30))
    call = {"wcs_from": wcs, "wcs_to": scenes.frame_around((30, 30)), "shape": (30, 30), "stepsize": 2}
    call = (call | {"stepsize": 1} if name == "tolerance" else call) | {name: NUMBERS[value]()}
    if name == "shape" and value == "list":
        call["shape"] = [30, 30]
    check(lambda: calc_pixmap(**call), value in OF_PIXMAP[name], f"'{name}'|pixmap_{name}")


@pytest.mark.filterwarnings("ignore:Kernel reset to 'point'")
@pytest.mark.parametrize(("name", "value"), rows(OF_MOSAIC, NUMBERS))
def test_arguments_of_mosaic(tmp_path, monkeypatch, name, value):
    """An argument of mosaic is taken, or refused by its name, or by what is missing of the file or model that it is."""
    monkeypatch.chdir(tmp_path)
    call = {"inputs": [model(0), model(1)], "backend": "cpu", "progress": None, name: NUMBERS[value]()}
    if name == "progress" and value in ("function", "type"):
        call["progress"] = lambda done, total: None
    if name == "crval" and value == "list":
        call["crval"] = [scenes.RA, 91.0]
    if name == "output_shape":
        call["crpix"] = [0.5, 0.5]  # so that few pixels have something of the exposures, too
    words = f"'{name}'" + ("|text|^1:|'data'" if name in ("inputs", "output_wcs") else "")
    check(lambda: gpures.mosaic(**call), value in OF_MOSAIC[name], words)
    assert list(tmp_path.iterdir()) == []
