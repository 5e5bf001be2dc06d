"""Weights of input pixels: good bits, inverse variances, times and maps."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
import scenes
from astropy.nddata.bitmask import BitFlagNameMap, bitfield_to_boolean_mask

import gpures
from gpures.backend.base import MosaicLayout
from gpures.backend.choice import make_accumulators
from gpures.exposure.from_model import dq_of
from gpures.exposure.input_model import InputModel
from gpures.exposure.weights import Weight, bad_bits, check_weight_type, checked_flag, flag_empty, weight_of

SHAPE = (5, 8)
INTEGERS = ("i1", "u1", "i2", ">i2", "u2", ">u2", "i4", ">i4", "u4", ">u4", "i8", ">i8", "u8", ">u8")


class Flags(BitFlagNameMap):
    """Names of flags."""

    DO_NOT_USE = 1
    SATURATED = 2
    JUMP_DET = 4
    OTHER_BAD_PIXEL = 64


def weight_map(backend, weight, dq=None, shape=SHAPE):
    """Weights as a backend evaluates them."""
    exposure = oracle.exposure(np.zeros(shape), oracle.pixel_map(shape, (9, 9)), weight=weight, dq=dq)
    return make_accumulators(backend, MosaicLayout((20, 20))).weight_map(exposure)


def arrived(backend, weight, dq=None, shape=SHAPE):
    """Weights as they arrive in a mosaic that copies the image."""
    pixmap = oracle.pixel_map(shape, (10 + (shape[1] - 1) / 2, 10 + (shape[0] - 1) / 2))
    exposure = oracle.exposure(np.zeros(shape), pixmap, weight=weight, dq=dq)
    images = oracle.run(backend, MosaicLayout((30, 30), "point"), [exposure])
    return images["wht"][10 : 10 + shape[0], 10 : 10 + shape[1]]


def flags_of(dtype):
    """DQ of all bits of a type, some in combination, the sign bit included."""
    bits = 8 * np.dtype(dtype).itemsize
    values = [0, *(1 << k for k in range(bits)), 5, 12, 13, 0x7F, (1 << bits) - 1]
    rng = np.random.default_rng(50)
    values += [int(rng.integers(0, 1 << min(bits, 62))) for _ in range(79 - len(values))]
    native = np.array(values[:80] + [0] * (80 - len(values[:80])), dtype=f"u{bits // 8}")
    return native.view(f"{np.dtype(dtype).kind}{bits // 8}").astype(dtype).reshape(8, 10)


# ---- good bits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("good_bits", "names"),
    [
        ("4,8", None),
        ("4+8", None),
        ("4|8", None),
        ("~4", None),
        ("~(4,8)", None),
        ("~4+8", None),
        ("~0", None),
        ("0", None),
        ("DO_NOT_USE,JUMP_DET", Flags),
        ("DO_NOT_USE+JUMP_DET", Flags),
        ("~DO_NOT_USE", Flags),
        ([4, 8], None),
        ((1, 2, 64), None),
        ([], None),
        (12, None),
        (0, None),
        (1, Flags),
        (["DO_NOT_USE", "JUMP_DET"], Flags),
        (None, None),
        ("", None),
        ("INDEF", None),
    ],
    ids=lambda v: "names" if v is Flags else repr(v) if v is not None else "",
)
def test_good_bits_mean_what_astropy_says(backend, good_bits, names):
    """Pixels with other than good bits have weight 0, in every form of good bits and every integer type of DQ."""
    for dtype in INTEGERS:
        dq = flags_of(dtype)
        native = dq.astype(dq.dtype.newbyteorder("="))
        good = bitfield_to_boolean_mask(native, good_bits, flag_name_map=names, good_mask_value=True, dtype=bool)
        weight = Weight(constant=2.0, bad_bits=bad_bits(good_bits, names, dq.dtype))
        for got in (f(backend, weight, dq, dq.shape) for f in (weight_map, arrived)):
            np.testing.assert_array_equal(got, np.where(good, 2.0, 0.0), dtype)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_flags_are_the_bits_of_their_type(backend, dtype):
    """Flags are handed on as they are, the sign bit of a signed type like any other and without bits above it."""
    dq = flags_of(dtype)
    bits = min(32, 8 * dq.dtype.itemsize)
    expected = np.array([int(v) & ((1 << bits) - 1) for v in dq.flat], np.uint32).reshape(dq.shape)
    if dq.dtype.itemsize == 8:
        dq = expected.astype(dtype)
    pixmap = oracle.pixel_map(dq.shape, ((dq.shape[1] - 1) / 2, (dq.shape[0] - 1) / 2))
    exposure = oracle.exposure(np.ones(dq.shape), pixmap, dq=dq)
    got = oracle.run(backend, MosaicLayout(dq.shape, "point", has_dq=True), [exposure])
    np.testing.assert_array_equal(got["dq"], expected)
    if dq.dtype.itemsize < 8:  # more is refused there
        driz = gpures.Drizzle(out_shape=dq.shape, kernel="point", backend=backend)
        driz.add_image(np.ones(dq.shape, "f4"), exptime=1.0, pixmap=pixmap, dq=dq)
        np.testing.assert_array_equal(driz.out_dq, expected)
        begun = gpures.Drizzle(out_dq=dq.copy(), kernel="point", backend=backend)
        np.testing.assert_array_equal(begun.out_dq, expected)


def test_flag_names_from_a_dict_or_a_map():
    """Names of flags are looked up in a dict as in astropy's own map."""
    for names in ({"DO_NOT_USE": 1, "JUMP_DET": 4, "OTHER": 64}, Flags):
        assert bad_bits("DO_NOT_USE,JUMP_DET", names, np.dtype("u1")) == 0xFA


def test_unknown_flag_names_are_refused():
    """A name that the map does not know raises an error, and so does a name without a map."""
    with pytest.raises(ValueError, match=r"'good_bits' must be .*'NO_SUCH_FLAG'"):
        bad_bits("NO_SUCH_FLAG", Flags, np.dtype("i4"))
    with pytest.raises((ValueError, TypeError)):
        bad_bits("DO_NOT_USE", None, np.dtype("i4"))


@pytest.mark.parametrize("bad", [3, [3, 4], "3", 1.5], ids=repr)
def test_what_is_no_flag_is_refused_as_by_astropy(bad):
    """Good bits that astropy refuses raise the same kind of error."""
    from astropy.nddata.bitmask import interpret_bit_flags

    try:
        interpret_bit_flags(bad)
    except (TypeError, ValueError) as error:
        with pytest.raises(type(error)):
            bad_bits(bad, None, np.dtype("i4"))
    else:
        assert bad_bits(bad, None, np.dtype("i4")) == 0xFFFFFFFF & ~int(interpret_bit_flags(bad))


# ---- inverse variances ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f4", ">f4", "f8"])
def test_inverse_variances_that_are_not_finite_are_zero(backend, dtype):
    """The weight is the inverse variance, and 0 where that is not finite: at 0, at NaN, where float32 overflows."""
    variance = np.array([[1.0, 4.0, 0.0, -0.0, np.nan, np.inf, -np.inf, 1e-44]], dtype).repeat(2, axis=0)
    got = weight_map(backend, Weight(variance=variance), shape=variance.shape)
    np.testing.assert_array_equal(got, np.array([[1.0, 0.25, 0, 0, 0, 0, 0, 0]]).repeat(2, axis=0))


def test_negative_variances_give_negative_weights(backend):
    """A negative variance, which noise makes of a small one, gives a negative weight, as in the reference."""
    variance = np.array([[-0.5, -4.0], [2.0, 1e-30]])
    got = weight_map(backend, Weight(variance=variance), shape=(2, 2))
    np.testing.assert_allclose(got, [[-2.0, -0.25], [0.5, 1e30]], rtol=1e-7)


def test_integer_variances(backend):
    """A variance of integers is inverted as numbers."""
    variance = np.array([[0, 1], [2, 4]], "i2")
    np.testing.assert_array_equal(weight_map(backend, Weight(variance=variance), shape=(2, 2)), [[0, 1], [0.5, 0.25]])


# ---- maps and constants --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f4", ">f8", "i4", "u1", "?"])
def test_a_weight_map_is_taken_as_it_is(backend, dtype):
    """An explicit map gives the weights, of any type."""
    weights = (np.arange(40).reshape(SHAPE) % 3).astype(dtype)
    weight = Weight(weight_map=weights)
    np.testing.assert_array_equal(weight_map(backend, weight), weights.astype("f4"))
    np.testing.assert_array_equal(arrived(backend, weight), weights.astype("f4"))


def test_a_weight_map_goes_before_all_else(backend):
    """With a map no variance is looked at; DQ still is, and the constant is a factor."""
    dq = np.zeros(SHAPE, "i2")
    dq[1, 2] = 4
    weight = Weight(np.full(SHAPE, 3.0), np.full(SHAPE, 0.1), constant=7.0, bad_bits=4)
    expected = np.full(SHAPE, 21.0)
    expected[1, 2] = 0.0
    np.testing.assert_array_equal(weight_map(backend, weight, dq), expected)


def test_values_that_are_none_in_a_weight_map_are_zero(backend):
    """NaN, infinities and what is beyond float32 are weights of zero."""
    weights = np.array([[1.0, np.nan], [np.inf, -np.inf], [1e39, -1e300]])
    np.testing.assert_array_equal(
        weight_map(backend, Weight(weight_map=weights), shape=(3, 2)), [[1, 0], [0, 0], [0, 0]]
    )


@pytest.mark.also_on_ptx
@pytest.mark.parametrize("constant", [1.0, 123.25, 0.0, 1e-30, 1e30])
def test_one_weight_for_all(backend, constant):
    """A constant is the weight of all pixels."""
    weight = Weight(constant=constant)
    np.testing.assert_array_equal(weight_map(backend, weight), np.full(SHAPE, constant, "f4"))
    np.testing.assert_array_equal(arrived(backend, weight), np.full(SHAPE, constant, "f4"))


# ---- the recipe ----------------------------------------------------------------------------------------------------


def model(**changes):
    return {
        "filename": "m.fits",
        "var_rnoise": np.full(SHAPE, 4.0, "f4"),
        "var_sky": np.full(SHAPE, 5.0, "f4"),
        "measurement_time": 9.0,
        "exposure_time": 10.0,
    } | changes


def recipe(weight_type, good_bits=0, names=None, **changes):
    bad = bad_bits(good_bits, names, np.dtype("i4"))
    return weight_of(InputModel(model(**changes)), SHAPE, bad, weight_type)


@pytest.mark.parametrize(("weight_type", "value"), [("ivm", 4.0), ("ivm-sky", 5.0)])
def test_inverse_variance_weight_types(weight_type, value):
    """Weight type "ivm" takes the read-noise variance, "ivm-sky" that of the sky."""
    np.testing.assert_array_equal(recipe(weight_type).variance, np.full(SHAPE, value))


@pytest.mark.parametrize("missing", [None, np.ones((3, 3))], ids=["missing", "mis-shaped"])
@pytest.mark.parametrize(("weight_type", "name"), [("ivm", "var_rnoise"), ("ivm-sky", "var_sky")])
def test_without_its_variance_weights_are_one(caplog, weight_type, name, missing):
    """Where the variance is missing or of another shape, all weights are 1, with a warning that names it."""
    weight = recipe(weight_type, **{name: missing})
    assert weight.variance is None
    assert weight.constant == 1.0
    assert f"'{name}' array not available" in caplog.text


def test_times_as_weights():
    """Weight type "exptime" takes the measurement time, and where there is none the exposure time."""
    assert recipe("exptime").constant == 9.0
    assert recipe("exptime", measurement_time=None).constant == 10.0
    assert recipe("exptime", measurement_time=0.0).constant == 0.0


@pytest.mark.parametrize("weight_type", ["ivm", "ivm-sky", "exptime"])
def test_good_bits_go_with_every_weight_type(weight_type):
    """Good bits count with every type of weight."""
    assert recipe(weight_type, "4,8").bad_bits == 0xFFFFFFFF - 12
    assert recipe(weight_type, None).bad_bits == 0
    assert recipe(weight_type, "DO_NOT_USE", Flags).bad_bits == 0xFFFFFFFE


def test_weight_types_are_checked():
    """A weight type that does not exist raises an error that lists those that do."""
    assert check_weight_type("ivm") == "ivm"
    with pytest.raises(ValueError, match=r"must be one of .*'ivm-sky'.* got 'ivn'"):
        check_weight_type("ivn")


def test_dq_must_be_integers():
    """DQ of floats raises an error that says so."""
    with pytest.raises(TypeError, match=r"'dq' of model 'm\.fits' must be an array of integers, got float64"):
        dq_of(InputModel(model(dq=np.zeros(SHAPE))), SHAPE, propagate=False)


# ---- pixels of a mosaic without data -------------------------------------------------------------------------------


def test_empty_pixels_are_flagged(backend):
    """Pixels of weight 0 get the flag, all others keep theirs, and what is accumulated is not touched."""
    dq = np.full(SHAPE, 6, "u2")
    exposures = [
        oracle.exposure(np.ones(SHAPE), oracle.pixel_map(SHAPE, (9 + k, 9)), weight=Weight(), dq=dq, context_id=k)
        for k in range(2)
    ]
    accumulators = make_accumulators(backend, MosaicLayout((20, 20), has_dq=True))
    for exposure in exposures:
        accumulators.add(exposure)
        images = accumulators.images()
        before = images["dq"].copy()
        flagged = flag_empty(images, 1 << 31)
        assert flagged["dq"].dtype == np.uint32
        np.testing.assert_array_equal(flagged["dq"], np.where(images["wht"] == 0, np.uint32(1 << 31), before))
        assert (before == 6).any()
        np.testing.assert_array_equal(accumulators.images()["dq"], before)
        assert flagged["data"] is images["data"]


def test_flags_of_empty_pixels_are_checked():
    """A flag for empty pixels is an integer of 32 bits, and needs a DQ image."""
    assert checked_flag(None, False) is None
    assert checked_flag(np.uint8(3), True) == 3
    assert checked_flag((1 << 32) - 1, True) == (1 << 32) - 1
    for bad in (-1, 1 << 32):
        with pytest.raises(ValueError, match="'dq_of_empty' must be flags of at most 32 bits"):
            checked_flag(bad, True)
    for bad in ("1", 1.0, True, [1]):
        with pytest.raises(TypeError, match="'dq_of_empty' must be an integer"):
            checked_flag(bad, True)
    with pytest.raises(ValueError, match="needs 'propagate_dq=True'"):
        checked_flag(1, False)


def test_empty_pixels_of_a_mosaic(backend):
    """Looked at between exposures and at the end, pixels without data have the flag, and those with data have not."""
    shape = (20, 18)
    wcs = [scenes.imaging_wcs(shape, rotation=20.0, shift=(4.0 * k, 0.0)) for k in range(2)]
    output = {"wcs": scenes.frame_around(shape), "pixel_scale": scenes.SCALE}
    options = {"backend": backend, "propagate_dq": True, "good_bits": None}
    plain, flagged = (gpures.Resample(output, dq_of_empty=flag, **options) for flag in (None, 1 << 20))
    assert (plain.dq_of_empty, flagged.dq_of_empty) == (None, 1 << 20)
    for k in range(2):
        for resampler in (plain, flagged):
            resampler.add_model(scenes.model_of(wcs[k], shape, seed=k))
        empty = flagged.output_model["wht"] == 0
        assert empty.any()
        expected = np.where(empty, np.uint32(1 << 20), plain.output_model["dq"])
        np.testing.assert_array_equal(flagged.output_model["dq"], expected, strict=True)
    for resampler in (plain, flagged):
        resampler.finalize()
    expected = np.where(empty, np.uint32(1 << 20), plain.output_model["dq"])
    np.testing.assert_array_equal(flagged.output_model["dq"], expected, strict=True)
    with pytest.raises(ValueError, match=r"'dq_of_empty'.*needs 'propagate_dq=True'"):
        gpures.Resample(output, dq_of_empty=1)
