"""What of an exposure goes up to a GPU: no more than the kernels need."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracle
import pytest
from test_cuda import VARIANCES, assert_same_images, count_uploads, exposure_of

from gpures import _cpu
from gpures.backend.base import MosaicLayout
from gpures.backend.cuda.bad_pixels import BadPixels
from gpures.exposure.weights import Weight

SHAPE = (19, 27)


@pytest.fixture
def uploaded(cuda, monkeypatch):
    """Bytes of each array that goes up to the device, as they go."""
    return count_uploads(monkeypatch)


def layout(has_dq):
    """All images, of float32, with DQ flags or without."""
    return MosaicLayout((40, 50), "square", None, VARIANCES, has_err=True, has_dq=has_dq)


@pytest.mark.parametrize(("has_dq", "dq_bytes"), [(True, SHAPE[0] * SHAPE[1] * 4), (False, SHAPE[0] * 4)])
def test_flags_that_nobody_asks_for_go_as_bits(uploaded, has_dq, dq_bytes):
    """An exposure of data, err, flags and four variances: bytes that go up, of flags one bit each unless propagated."""
    exposures = [exposure_of(SHAPE, (24.0, 20.0), seed=k, context_id=k) for k in range(3)]
    got = oracle.run("cuda", layout(has_dq), exposures)
    images = 3 + len(VARIANCES) - sum(exposures[0].weight.variance is v for v in exposures[0].variances.values())
    pixel_map = sum(array.nbytes for array in exposures[0].pixmap.arrays().values())
    assert sum(uploaded) == 3 * (SHAPE[0] * SHAPE[1] * 4 * images + pixel_map + dq_bytes)
    assert_same_images(got, oracle.run("cpu", layout(has_dq), exposures))


def test_flags_that_say_nothing_stay(uploaded):
    """Where no flag is bad, and none is propagated, none goes up."""
    exposure = exposure_of(SHAPE, (24.0, 20.0))
    exposure = replace(exposure, weight=replace(exposure.weight, bad_bits=0))
    oracle.run("cuda", layout(has_dq=False), [exposure])
    with_flags = sum(uploaded)
    uploaded.clear()
    oracle.run("cuda", layout(has_dq=False), [replace(exposure, dq=None)])
    assert with_flags == sum(uploaded) > 0


DTYPES = ["?", "u1", "i1", ">u2", "i2", "<i4", ">u4", ">i8", "u8"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_flags_of_any_type(cuda, dtype):
    """Whatever their type and strides, the same pixels are bad as on a CPU; also by the highest bit."""
    size = 8 * np.dtype(dtype).itemsize
    bad = 1 if dtype == "?" else 1 << size - 1 | 4
    rng = np.random.default_rng(3)
    bits = rng.choice(np.array([0, 0, 4, 8, 1 << size - 1], "u8"), (2 * SHAPE[0], SHAPE[1]))
    flags = bits > 0 if dtype == "?" else bits.astype(f"u{size // 8}").view(f"{dtype[-2]}{size // 8}").astype(dtype)
    exposure = exposure_of(SHAPE, (24.0, 20.0))
    weight = Weight(variance=exposure.weight.variance, bad_bits=bad)
    exposure = replace(exposure, dq=flags[::-2, ::-1], weight=weight)
    got, expected = (oracle.run(backend, layout(has_dq=False), [exposure]) for backend in ("cuda", "cpu"))
    assert_same_images(got, expected)


@pytest.mark.parametrize("most", [1, 7, 100, 4096])
@pytest.mark.parametrize("width", [1, 7, 8, 9, 64, 133])
def test_pieces_of_bits_make_the_whole(width, most):
    """Pieces are no longer than asked for, and together rows of whole bytes."""
    flags = np.random.default_rng(width).integers(0, 8, (11, width)).astype(">i4")
    bad = BadPixels(flags, 5)
    whole = np.zeros(bad.nbytes, np.uint8)
    for piece, offset in bad.pieces(most):
        assert piece.nbytes <= max(most, 1)
        _cpu.copy_all([piece.copy_to(whole.ctypes.data + offset)], 1)
    bits = np.unpackbits(whole.reshape(11, -1), axis=1, bitorder="little")
    np.testing.assert_array_equal(bits[:, :width], (flags & 5) != 0)
    assert not bits[:, width:].any()
