"""Whatever form an array comes in, its values alone decide the result."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracle
import pytest
import scenes
import tolerances as tol
from drawn import FLOATS, INTEGERS, LAYOUTS, laid_out
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from gpures import Resample
from gpures.backend.base import MosaicLayout
from gpures.exposure.drops import KERNELS
from gpures.exposure.weights import Weight

pytestmark = [
    pytest.mark.filterwarnings("ignore:Kernel '.*' is not a flux-conserving kernel"),
    pytest.mark.filterwarnings("ignore:In lanczos kernel, pixfrac is ignored"),
]

# The fixture that names the backend is a constant; hypothesis may run all its examples with one.
same_backend = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

shapes = st.tuples(st.integers(2, 9), st.integers(2, 40))


def drawn_exposure(data, shape, kernel="square", angle=25.0, side=None, psr=1.0):
    """An exposure whose arrays have simple values: exact in half precision, whatever they are stored in."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    side = side or oracle.frame_side(shape, psr, kernel)
    return oracle.exposure(
        rng.integers(-100, 100, shape) / 8,
        oracle.pixel_map(shape, (side / 2 + 0.123, side / 2 - 0.321), psr, angle),
        weight=Weight(weight_map=rng.integers(0, 9, shape) / 4, bad_bits=4),
        err=rng.integers(0, 9, shape) / 4,
        variances={"var_rnoise": rng.integers(0, 9, shape) / 4, "var_flat": rng.integers(0, 9, shape) / 4},
        dq=rng.choice([0, 0, 0, 4, 8, 12, 127], shape),
        pixel_scale_ratio=psr,
    )


def frame_of(shape, kernel="square", psr=1.0, dtype="f4"):
    side = oracle.frame_side(shape, psr, kernel)
    return MosaicLayout(
        (side, side), kernel, None, ("var_rnoise", "var_flat"), has_err=True, has_dq=True, dtype=np.dtype(dtype)
    )


def arrays_of(exposure):
    """All arrays of an exposure, by name."""
    arrays = {"data": exposure.data, "err": exposure.err, "dq": exposure.dq, **exposure.variances}
    return arrays | {"weight": exposure.weight.weight_map}


def with_arrays(exposure, arrays):
    """The exposure with other arrays."""
    return replace(
        exposure,
        data=arrays["data"],
        err=arrays["err"],
        dq=arrays["dq"],
        variances={name: arrays[name] for name in exposure.variances},
        weight=replace(exposure.weight, weight_map=arrays["weight"]),
    )


def assert_same(got, expected):
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name], name)


# ---- forms of arrays -----------------------------------------------------------------------------------------------


@same_backend
@given(st.data(), shapes)
def test_layout_and_type_change_nothing(backend, data, shape):
    """Any strides, byte order, alignment, type and mapping of equal values give the same images, to the last bit."""
    plain = drawn_exposure(data, shape)
    arrays = arrays_of(plain)
    forms = {}
    for name, array in arrays.items():
        dtype = data.draw(st.sampled_from(INTEGERS if name == "dq" else FLOATS), label=f"type of {name}")
        forms[name] = laid_out(array.astype(dtype), data.draw(st.sampled_from(LAYOUTS), label=f"layout of {name}"))
    before = {name: form.tobytes() for name, form in forms.items()}
    # Arrays of float32 and of float64 with the same values are the same to the kernels.
    plain = with_arrays(plain, {name: array.astype("i4" if name == "dq" else "f4") for name, array in arrays.items()})
    expected = oracle.run(backend, frame_of(shape), [plain])
    assert_same(oracle.run(backend, frame_of(shape), [with_arrays(plain, forms)]), expected)
    assert before == {name: form.tobytes() for name, form in forms.items()}


@same_backend
@given(st.data(), shapes, st.sampled_from(["rows", "columns", "both"]))
def test_broadcast_arrays(backend, data, shape, axis):
    """Arrays of stride zero, as numpy.broadcast_to makes them, are read like their full copies."""
    part = {"rows": np.s_[:1], "columns": np.s_[:, :1], "both": np.s_[:1, :1]}[axis]
    plain = drawn_exposure(data, shape)
    broadcast = {
        name: np.broadcast_to(array.astype("i4" if name == "dq" else "f4")[part], shape)
        for name, array in arrays_of(plain).items()
    }
    copies = {name: array.copy() for name, array in broadcast.items()}
    got, expected = (oracle.run(backend, frame_of(shape), [with_arrays(plain, a)]) for a in (broadcast, copies))
    assert_same(got, expected)


def unaligned(array, by):
    """A copy of an array that many bytes beside where its type would have it."""
    memory = np.zeros(array.nbytes + by, np.uint8)
    memory[by:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return memory[by:].view(array.dtype).reshape(array.shape)


@same_backend
@given(st.data(), shapes, st.sampled_from(["f4", ">f4", "f8", "i2"]), st.integers(1, 7))
def test_unaligned_arrays(backend, data, shape, dtype, by):
    """Arrays at any address, pixel maps too, are read like others."""
    plain = drawn_exposure(data, shape)
    arrays = {name: (8 * a).astype("u2" if name == "dq" else dtype) for name, a in arrays_of(plain).items()}
    aligned = with_arrays(plain, arrays)
    beside = with_arrays(plain, {name: unaligned(array, by) for name, array in arrays.items()})
    beside = replace(beside, pixmap=oracle.PixelMap.from_array(unaligned(plain.pixmap.full, by)))
    got, expected = (oracle.run(backend, frame_of(shape), [e]) for e in (beside, aligned))
    assert_same(got, expected)


@given(st.data(), shapes, st.sampled_from(["F", "strided", "reversed", ">f8", "f4"]))
def test_pixel_map_of_any_form(data, shape, form):
    """A pixel map of any strides, byte order and type is taken by its values, and is not changed."""
    plain = drawn_exposure(data, shape)
    pixmap = np.round(plain.pixmap.full * 64) / 64  # exact in float32
    other = {
        "F": np.asfortranarray(pixmap),
        "strided": np.repeat(pixmap, 2, axis=1)[:, ::2],
        "reversed": pixmap[::-1, ::-1].copy()[::-1, ::-1],
    }.get(form)
    other = pixmap.astype(form) if other is None else other
    before = other.copy()
    got, expected = (
        oracle.run("cpu", frame_of(shape), [replace(plain, pixmap=oracle.PixelMap.from_array(p))])
        for p in (other, pixmap)
    )
    assert_same(got, expected)
    np.testing.assert_array_equal(other, before)


@given(st.data(), shapes)
def test_integers_are_numbers(data, shape):
    """Integer images of any type are read as the numbers that they hold."""
    plain = drawn_exposure(data, shape)
    arrays = {name: np.abs(np.round(array)) % 100 for name, array in arrays_of(plain).items()}
    types = {name: data.draw(st.sampled_from(INTEGERS), label=name) for name in arrays}
    integers = with_arrays(plain, {name: array.astype(types[name]) for name, array in arrays.items()})
    floats = with_arrays(plain, {name: a.astype("i8" if name == "dq" else "f8") for name, a in arrays.items()})
    got, expected = (oracle.run("cpu", frame_of(shape), [e]) for e in (integers, floats))
    assert_same(got, expected)


@given(st.data(), st.sampled_from(["i1", "i2", ">i2", "i4", ">i4", "u1", "u2", "u4", ">u4"]))
def test_the_sign_bit_is_a_flag(data, dtype):
    """The highest bit of a DQ type is a flag like any other: it excludes pixels, and is handed on as that bit."""
    shape, bits = (5, 6), 8 * np.dtype(dtype).itemsize
    plain = drawn_exposure(data, shape)
    plain = with_arrays(plain, arrays_of(plain) | {"weight": np.ones(shape)})
    dq = np.zeros(shape, dtype)
    at = data.draw(st.tuples(st.integers(0, 4), st.integers(0, 5)))
    dq[at] = np.array([1 << (bits - 1)], f"u{bits // 8}").view(f"i{bits // 8}").astype(dtype)[0]
    excluded, kept = (replace(plain, dq=dq, weight=replace(plain.weight, bad_bits=bad)) for bad in (1 << (bits - 1), 0))
    frame = frame_of(shape)
    for exposure in (excluded, kept):
        tol.assert_true("cpu", "f4", oracle.run("cpu", frame, [exposure]), oracle.coadd([exposure], frame), 1)
    assert not oracle.run("cpu", frame, [excluded])["dq"].any()
    flags = np.bitwise_or.reduce(oracle.run("cpu", frame, [kept])["dq"], axis=None)
    assert flags == 1 << (bits - 1)


# ---- values --------------------------------------------------------------------------------------------------------


@given(
    st.data(),
    shapes,
    st.sampled_from(KERNELS),
    st.sampled_from([0.4, 1.0, 1.7]),
    st.floats(0, 360),
    st.sampled_from([0.0, 0.05, 0.5]),
)
def test_any_exposure_is_drizzled_as_defined(data, shape, kernel, psr, angle, holes):
    """Images of any shape, angle and placement of NaN (data, variances, weights, coordinates) follow the definition."""
    assume(abs(angle % 45) > 1e-3)  # where edges fall on edges the last bit decides; see test_overlap
    exposure = drawn_exposure(data, shape, kernel, angle, psr=psr)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    for name, array in arrays_of(exposure).items():
        if name != "dq":
            array[rng.random(shape) < holes] = data.draw(st.sampled_from([np.nan, 0.0]), label=name)
    exposure.pixmap.full[rng.random(shape) < holes / 3] = np.nan
    exposure.pixfrac = 1.0 if kernel.startswith("lanczos") else 0.85
    frame = frame_of(shape, kernel, psr)
    truth = oracle.coadd([exposure], frame)
    tol.assert_true("cpu", "f4", oracle.run("cpu", frame, [exposure]), truth, 1)


@given(st.floats(allow_nan=True, allow_infinity=True), st.integers(0, 63), st.integers(0, 1))
@example(5e-324, 27, 0)
@example(1.7976931348623157e308, 27, 1)
@example(-1e300, 0, 0)
@example(1e300, 63, 1)
def test_no_coordinate_does_harm(value, where, axis):
    """Whatever number stands in the pixel map, weights stay finite, and none exceeds what was given."""
    shape = (8, 8)
    for kernel in KERNELS:
        exposure = oracle.exposure(
            np.ones(shape), oracle.pixel_map(shape, (9.3, 9.2), angle=12.0), pixfrac=1.0, pixel_scale_ratio=1.0
        )
        exposure.pixmap.full.reshape(-1, 2)[where, axis] = value
        got = oracle.run("cpu", MosaicLayout((20, 20), kernel, None, dtype=np.dtype("f8")), [exposure])
        assert np.isfinite(got["wht"]).all(), kernel
        hit = got["con"][0] != 0
        if not kernel.startswith("lanczos") and kernel != "square":  # whose corners may cross: weights of both signs
            assert got["wht"].min() >= 0
            np.testing.assert_allclose(got["data"][hit], 1.0, rtol=100 * tol.EPS32)


@given(st.floats(allow_nan=True, allow_infinity=True), st.sampled_from(["weight", "data", "variance"]))
@example(3.4e38, "weight")
@example(1e-45, "weight")
@example(1e308, "weight")
@example(1e-320, "variance")
def test_a_wrong_value_stays_where_it_is(value, of):
    """A value of any size in one pixel, of data, weight or variance, changes only the output pixels it falls on."""
    shape = (8, 9)
    for kernel in ("square", "point", "turbo"):
        clean, dirty = (
            oracle.exposure(
                np.ones(shape),
                oracle.pixel_map(shape, (10.3, 10.2), angle=20.0),
                weight=Weight(weight_map=np.ones(shape)),
                variances={"var_rnoise": np.ones(shape)},
                variance_weight=None,
            )
            for _ in range(2)
        )
        target = {"weight": dirty.weight.weight_map, "data": dirty.data, "variance": dirty.variances["var_rnoise"]}
        target[of][4, 4] = value
        frame = MosaicLayout((20, 20), kernel, None, ("var_rnoise",))
        alone = oracle.coadd([replace(clean, limits=(4, 4, 4, 4))], frame).count > 0
        one, other = (oracle.run("cpu", frame, [e]) for e in (clean, dirty))
        for name in ("data", "wht", "var_rnoise"):
            np.testing.assert_array_equal(one[name][~alone], other[name][~alone], name)


# ---- through the public class --------------------------------------------------------------------------------------

SHAPE = (8, 9)


def resampled(backend, weight_type="ivm", **arrays):
    """Images of one model through `Resample`."""
    values = np.arange(1, 73).reshape(SHAPE)
    model = dict.fromkeys(("data", "err", "var_rnoise", "var_flat", "var_poisson", "var_sky"), values.astype("f4"))
    model |= {"dq": values % 8, "wcs": scenes.sky(SHAPE, 30.0), "filename": "a", "group_id": 1, "exposure_time": 10.0}
    model |= {"start_time": 0.0, "end_time": 1.0, "duration": 1.0, "measurement_time": 9.0}
    model |= {"pixelarea_steradians": 2.35e-13, "level": 0.0, "subtracted": True}
    resample = Resample(
        {"wcs": scenes.sky((30, 31), 0.0), "pixel_scale_ratio": 1.0},
        weight_type=weight_type,
        compute_err="driz_err",
        propagate_dq=True,
        good_bits=3,
        backend=backend,
    )
    resample.add_model(model | arrays)
    resample.finalize()
    return {name: resample.output_model[name] for name in ("data", "wht", "err", "con", "dq", "var_rnoise", "var_flat")}


@pytest.mark.parametrize("dtype", ["f2", ">f2", "f4", ">f4", "f8", ">f8", "longdouble", "i2", ">i4", "u1", "i8"])
@pytest.mark.parametrize("name", ["data", "err", "var_rnoise", "var_flat", "var_sky"])
def test_resample_takes_every_real_type(backend, name, dtype):
    """Every array of a model may be of any real type: half, long double, integer, either byte order."""
    values = np.arange(1, 73).reshape(SHAPE)[::-1]
    weight_type = "ivm-sky" if name == "var_sky" else "ivm"
    got = resampled(backend, weight_type, **{name: values.astype(dtype)})
    assert_same(got, resampled(backend, weight_type, **{name: values.astype("f4")}))
    assert np.nansum(got["wht"]) > 0


@pytest.mark.parametrize("dtype", INTEGERS)
def test_resample_takes_every_integer_type_of_dq(backend, dtype):
    """DQ may be of any integer type."""
    dq = np.arange(72).reshape(SHAPE) % 16
    assert_same(resampled(backend, dq=dq.astype(dtype)), resampled(backend, dq=dq.astype("i4")))
