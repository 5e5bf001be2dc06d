"""Copies of host memory over threads, through pinned buffers, to a device and back."""

from __future__ import annotations

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpures import _cpu
from gpures.backend.cuda import pinned
from gpures.backend.cuda.bad_pixels import BadPixels
from gpures.backend.cuda.download import download

TYPES = ["?", "u1", ">i2", "<f4", ">f8", "c16", "S3"]


def seen_by(draw, array):
    """An array as somebody may have it: turned, mirrored, thinned out, or in a record."""
    kind = draw(st.sampled_from(["plain", "turned", "mirrored", "thin", "of a record"]))
    if kind == "of a record":
        records = np.zeros(array.shape, [("before", "u1"), ("it", array.dtype), ("after", "u1")])
        records["it"] = array
        return records["it"]
    return {"plain": array, "turned": array.T, "mirrored": array[::-1, ::-1], "thin": array[::2, ::3]}[kind]


@given(data=st.data(), dtype=st.sampled_from(TYPES), threads=st.integers(1, 4), apart=st.integers(0, 5))
def test_rows_of_any_layout(data, dtype, threads, apart):
    """Copies have the same elements side by side, and nothing is written between rows that lie apart."""
    array = data.draw(arrays.arrays(dtype, arrays.array_shapes(min_dims=2, max_dims=2, max_side=12)))
    rows = seen_by(data.draw, array)
    width = rows.shape[1] * rows.itemsize
    to = np.full((rows.shape[0], width + apart), 77, np.uint8)
    _cpu.copy_all([pinned.copy_of(rows, to.ctypes.data, width + apart)], threads)
    assert to[:, :width].tobytes() == np.ascontiguousarray(rows).tobytes()
    assert (to[:, width:] == 77).all()


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("shape", [(1, 1 << 20), (1 << 16, 16), (700, 1111)])
def test_much_over_threads(shape, threads):
    """What is shared out to threads is copied once, however often they are asked in a row."""
    rows = np.random.default_rng(4).integers(0, 256, (shape[0], shape[1]), np.uint8)
    for part in (rows, rows[::-1], rows[:, ::2]):
        for _ in range(3):
            to = np.zeros(part.shape, np.uint8)
            _cpu.copy_all([pinned.copy_of(part, to.ctypes.data)], threads)
            np.testing.assert_array_equal(to, part)


@given(
    flags=arrays.arrays(
        st.sampled_from(["u1", "i1", "<u2", ">i2", "<i4", ">u4", "<i8", ">u8"]),
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=40),
    ),
    bad=st.integers(0, (1 << 64) - 1),
    threads=st.integers(1, 4),
    data=st.data(),
)
def test_bits_of_flags_of_any_layout(flags, bad, threads, data):
    """A bit is set where a flag has any of the bad ones, whatever the order of its bytes."""
    flags = seen_by(data.draw, flags)
    to = np.full((flags.shape[0], -(-flags.shape[1] // 8)), 77, np.uint8)
    _cpu.copy_all([BadPixels(flags, bad).copy_to(to.ctypes.data)], threads)
    size = 8 * flags.itemsize
    expected = [[(int(flag) & (1 << size) - 1 & bad) != 0 for flag in row] for row in flags.tolist()]
    np.testing.assert_array_equal(np.unpackbits(to, axis=1, bitorder="little")[:, : flags.shape[1]], expected)
    assert not np.unpackbits(to, axis=1, bitorder="little")[:, flags.shape[1] :].any()


@pytest.mark.parametrize("piece", [5, 64, 1000, 4 << 20])
@pytest.mark.parametrize("shape", [(7,), (1,), (9, 12), (1, 300), (300, 1), (3, 9, 11), (0, 4)], ids=str)
@pytest.mark.parametrize("dtype", ["u4", "f8"])
def test_images_come_down(cuda, monkeypatch, piece, shape, dtype):
    """An image of a device arrives whole in an array of the host, or in a window of one, in pieces of any size."""
    monkeypatch.setattr(pinned, "LARGEST", piece)
    expected = np.random.default_rng(5).integers(0, 1000, shape).astype(dtype)
    stream = cuda.cuda.Stream(non_blocking=True)
    buffers = pinned.PinnedBuffers(cuda)
    with stream:
        there = cuda.array(expected)
        for _ in range(2):
            around = np.full([n + 3 * (len(shape) > 1) for n in shape], 7, dtype)
            window = around[tuple(slice(1, n + 1) if len(shape) > 1 else slice(None) for n in shape)]
            download(there, window, buffers, stream, cuda)
            np.testing.assert_array_equal(window, expected)
            assert around.sum() == expected.sum() + 7 * (around.size - expected.size)


def test_a_buffer_is_taken_again_when_it_is_free(cuda):
    """Whoever takes one waits for the copy that was the last to use it, and there are never more than so many."""
    buffers = pinned.PinnedBuffers(cuda)
    runtime, stream = cuda.cuda.runtime, cuda.cuda.Stream(non_blocking=True)
    count = 3 * pinned.BUFFERS
    with stream:
        there = cuda.zeros(count, "u8")
    addresses = set()
    for k in range(count):
        memory, event = buffers.take(8)
        addresses.add(memory.ptr)
        np.ndarray(1, "u8", buffer=memory)[:] = k
        runtime.memcpyAsync(there.data.ptr + 8 * k, memory.ptr, 8, runtime.memcpyHostToDevice, stream.ptr)
        event.record(stream)
    stream.synchronize()
    np.testing.assert_array_equal(there.get(), np.arange(count))
    assert len(addresses) == pinned.BUFFERS


def test_copies_from_several_threads_at_a_time():
    """Callers take turns, and each gets its own copy."""
    from concurrent.futures import ThreadPoolExecutor

    def copies(seed):
        rows = np.random.default_rng(seed).integers(0, 256, (300, 4096), np.uint8)
        to = np.zeros_like(rows)
        for _ in range(10):
            to[:] = 0
            _cpu.copy_all([pinned.copy_of(rows, to.ctypes.data)], 3)
            assert np.array_equal(to, rows)
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(copies, range(8)))
