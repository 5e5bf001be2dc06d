"""The interpreter of PTX: it gives what a GPU gives, and finds what would go wrong on one; and our kernels on it."""

from __future__ import annotations

import math
import re
import sys
from fractions import Fraction
from pathlib import Path

import cuda_on_ptx
import numpy as np
import oracle
import pytest
from cuda_on_host import HostCUDA
from cuda_on_ptx import TARGETS, PTXModule
from ptx.interpreter import PTXError
from tolerances import EPS32

from gpures.backend.base import MosaicLayout
from gpures.exposure.weights import Weight

pytestmark = [pytest.mark.ptx, pytest.mark.also_on_ptx]

EVERY = 32  # lanes of a warp


TYPES = {"f8": "double", "f4": "float", "i4": "int", "u4": "unsigned", "i8": "long long", "u8": "unsigned long long"}


def launched(cuda, body, *arrays, grid=(1,), block=(EVERY,), before="", head=""):
    """Arrays after a kernel, whose parameters are p0, p1 and so on."""
    there = [cuda.array(array) for array in arrays]
    parameters = ", ".join(f"{TYPES[array.dtype.str[1:]]}* p{k}" for k, array in enumerate(arrays))
    code = f'{before}\nextern "C" __global__ void {head} f({parameters})\n{{\n{body}\n}}\n'
    cuda.RawModule(code=code, options=("-std=c++17",)).get_function("f")(grid, block, tuple(there))
    return [array.get() for array in there]


# ---- what a GPU gives --------------------------------------------------------------------------------------------

REALS = [0.0, -0.0, 1.0, -1.5, 0.1, 3.0, 1e-40, -3e-45, 1e-38, 1e300, -7e-310, 2.5, 1e9, -1e19, np.inf, -np.inf, np.nan]


def pairs(each):
    """All pairs of some values."""
    return np.repeat(each, each.size), np.tile(each, each.size)


def fused(a, b, c):
    """Arrays' a * b + c, rounded once."""

    def of_numbers(a, b, c):
        if not all(map(math.isfinite, (a, b, c))) or a * b + c in (0.0, math.inf, -math.inf):
            return a * b + c
        return float(Fraction(a) * Fraction(b) + Fraction(c))

    return np.array([of_numbers(*each) for each in zip(a.tolist(), b.tolist(), c.tolist(), strict=True)])


def flushed(x):
    """Float32 numbers as `-ftz=true` has them."""
    return np.where(np.abs(x) < np.finfo("f4").tiny, np.copysign(np.float32(0), x), x)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_real_numbers(cuda_of_ptx, dtype):
    """Sums, products, quotients, roots and comparisons are IEEE's, but that float32's subnormal numbers are 0."""
    x, y = pairs(np.array(REALS).astype(dtype))
    fma, sqrt = ("fmaf", "sqrtf") if dtype == "f4" else ("fma", "sqrt")
    operations = [
        "a + b",
        "a - b",
        "a * b",
        "a / b",
        f"{fma}(a, b, a)",
        f"{sqrt}(a)",
        "-a",
        "1 / a",
        "a < b",
        "!(a >= b)",
    ]
    operations += ["a == b", "a != b", "a != a"]
    body = (
        "const int k = threadIdx.x + blockIdx.x * blockDim.x; if (k >= p2[0]) return; const auto a = p0[k], b = p1[k];"
    )
    body += "".join(f"p3[{n} * p2[0] + k] = {operation};" for n, operation in enumerate(operations))
    out = np.zeros(len(operations) * x.size, dtype)
    *_, got = launched(cuda_of_ptx, body, x, y, np.array([x.size], "i4"), out, grid=(x.size // EVERY + 1,))
    keep = flushed if dtype == "f4" else np.asarray
    a, b = keep(x), keep(y)
    expected = [
        a + b,
        a - b,
        a * b,
        a / b,
        fused(a, b, a),
        np.sqrt(a),
        -a,
        1 / a,
        a < b,
        ~(a >= b),
        a == b,
        a != b,
        a != a,
    ]
    for operation, one, other in zip(operations, got.reshape(len(operations), -1), expected, strict=True):
        other = keep(other.astype(dtype))
        np.testing.assert_array_equal(one, other, operation)
        number = ~np.isnan(other)
        np.testing.assert_array_equal(np.signbit(one[number]), np.signbit(other[number]), operation)


@pytest.mark.parametrize("dtype", ["i4", "u4", "i8", "u8"])
def test_integers(cuda_of_ptx, dtype):
    """Integers wrap, divide towards 0, and shift; bits are counted, and high products are whole."""
    least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    x, y = pairs(np.array([least, most, 0, 1, 3, 5, 1000, most // 7], dtype))
    bits, wide = 8 * x.itemsize, "ll" if x.itemsize == 8 else ""
    high = ("__mul64hi" if wide else "__mulhi") if dtype[0] == "i" else ("__umul64hi" if wide else "__umulhi")
    operations = ["a + b", "a - b", "a * b", "b ? a / b : 0", "b ? a % b : 0", "a & b", "a | b", "a ^ b", "~a"]
    operations += ["a < b", f"a << (b & {bits - 1})", f"a >> (b & {bits - 1})", f"__popc{wide}(a)", f"__clz{wide}(a)"]
    operations += [f"{high}(a, b)", "a < b ? a : b"]
    body = "const int k = threadIdx.x; const auto a = p0[k], b = p1[k];"
    body += "".join(f"p2[{n} * blockDim.x + k] = {operation};" for n, operation in enumerate(operations))
    *_, got = launched(cuda_of_ptx, body, x, y, np.zeros(len(operations) * x.size, dtype), block=(x.size,))

    def quotient(a, b):
        return 0 if b == 0 else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)

    for k, (a, b) in enumerate(zip(x.tolist(), y.tolist(), strict=True)):
        n, q = b % bits, quotient(a, b)
        unsigned = a % 2**bits
        expected = [a + b, a - b, a * b, q, a - q * b if b else 0, a & b, a | b, a ^ b, ~a, a < b, a << n, a >> n]
        expected += [unsigned.bit_count(), bits - unsigned.bit_length(), a * b >> bits, min(a, b)]
        for operation, one, other in zip(
            operations, got.reshape(len(operations), -1)[:, k].tolist(), expected, strict=True
        ):
            assert one % 2**bits == other % 2**bits, (operation, a, b)


def test_conversions(cuda_of_ptx):
    """Real numbers become the nearest integers there are towards 0, and integers the nearest real numbers."""
    x = np.array([0.0, -0.7, 2.9, -2.9, 1e3, 3e9, -3e9, 1e30, -1e30, np.inf, -np.inf, 2.0**31 - 1, 5e-324, 1e-40], "f8")
    made = "p1[k] = (int)p0[k]; p2[k] = (unsigned)p0[k]; p3[k] = (long long)p0[k]; p4[k] = (float)p0[k]; p5[k] = p3[k];"
    made += "p6[k] = floor(p0[k]);"
    out = [np.zeros(x.size, dtype) for dtype in ("i4", "u4", "i8", "f4", "f8", "f8")]
    got = launched(cuda_of_ptx, f"const int k = threadIdx.x; {made}", x, *out, block=(x.size,))[1:]
    for one, dtype in zip(got[:3], ("i4", "u4", "i8"), strict=True):
        info = np.iinfo(dtype)
        within = [
            int(max(min(v, info.max), info.min)) if np.isfinite(v) else info.max if v > 0 else info.min for v in x
        ]
        assert one.tolist() == within
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(got[3], flushed(x.astype("f4")))
    np.testing.assert_array_equal(got[4], got[2].astype("f8"))
    np.testing.assert_array_equal(got[5], np.floor(x))


def test_sums_and_powers_of_floats(cuda_of_ptx):
    """Floats are added in memory without the subnormal ones; powers of two are good to their last bits."""
    x = np.array([1.0, 1e-40, -1e-38, 2.5, 3e38, -0.75, 0.0, -1e-45], "f4")
    y = np.array([1e-8, 1e-40, 0.95e-38, -2.5, 3e38, 30.25, -0.0, 0.0], "f4")
    got, powers, of = launched(
        cuda_of_ptx,
        "const int k = threadIdx.x; p1[k] = exp2f(p2[k]); atomicAdd(p0 + k, p2[k]);",
        x,
        np.zeros_like(x),
        y,
        block=(x.size,),
    )
    with np.errstate(over="ignore"):
        expected = flushed(flushed(x) + flushed(y))
        np.testing.assert_array_equal(got, expected)
        np.testing.assert_array_equal(np.signbit(got), np.signbit(expected))
        np.testing.assert_allclose(powers, np.exp2(of.astype("f8")).astype("f4"), 2e-7)


def test_threads_that_part(cuda_of_ptx):
    """Threads that go other ways, in loops of other lengths, or leave early, each do what is theirs."""
    body = """
    const int k = blockIdx.x * blockDim.x + threadIdx.x;
    if (k % 7 == 3) return;
    int steps = 0;
    for (long long n = k + 1; n != 1; n = n % 2 ? 3 * n + 1 : n / 2) {
        if (steps > 40) { steps = -1; break; }
        if (n % 5 == 0) continue;
        ++steps;
    }
    p0[k] = steps;
    """
    (got,) = launched(cuda_of_ptx, body, np.full(300, 99, "i4"), grid=(3,), block=(100,))

    def steps(n):
        count = 0
        while n != 1:
            if count > 40:
                return -1
            count += n % 5 != 0
            n = 3 * n + 1 if n % 2 else n // 2
        return count

    assert got.tolist() == [99 if k % 7 == 3 else steps(k + 1) for k in range(300)]


def test_blocks_and_shared_memory(cuda_of_ptx):
    """Threads of a block share memory, and find it as the others left it before a barrier."""
    body = """
    __shared__ int tile[5][40];
    tile[threadIdx.y][threadIdx.x] = p0[(blockIdx.y * 5 + threadIdx.y) * 80 + blockIdx.x * 40 + threadIdx.x];
    __syncthreads();
    p1[(blockIdx.y * 5 + threadIdx.y) * 80 + blockIdx.x * 40 + threadIdx.x] = tile[4 - threadIdx.y][39 - threadIdx.x];
    """
    x = np.arange(800, dtype="i4").reshape(10, 80)
    _, got = launched(cuda_of_ptx, body, x, np.zeros_like(x), grid=(2, 2), block=(40, 5))
    np.testing.assert_array_equal(got.reshape(2, 5, 2, 40)[:, ::-1, :, ::-1].reshape(10, 80), x)


def test_lanes_tell_each_other(cuda_of_ptx):
    """Shuffles and votes give the values of the lanes that they name."""
    body = """
    const int l = threadIdx.x, v = p0[l];
    int sum = v;
    for (int n = 16; n; n /= 2) sum += __shfl_xor_sync(~0u, sum, n);
    p1[l] = sum;
    p2[l] = __shfl_up_sync(~0u, v, 3);
    p3[l] = __shfl_down_sync(~0u, v, 2, 8);
    p4[l] = __shfl_sync(~0u, v, 5);
    p5[l] = __ballot_sync(~0u, v % 3 == 0) ^ (__any_sync(~0u, v == 7) + 2 * __all_sync(~0u, v == 7));
    if (l < 8) p5[l] += __activemask();
    """
    v = np.arange(EVERY, dtype="i4") * 7 % 23
    lanes, out = np.arange(EVERY), np.zeros(EVERY, "i4")
    got = launched(cuda_of_ptx, body, v, out, out, out, out, out.astype("u4"))[1:]
    np.testing.assert_array_equal(got[0], v.sum())
    np.testing.assert_array_equal(got[1], np.where(lanes < 3, v, np.roll(v, 3)))
    np.testing.assert_array_equal(got[2], np.where(lanes % 8 > 5, v, np.roll(v, -2)))
    np.testing.assert_array_equal(got[3], v[5])
    ballot = sum(1 << k for k in lanes.tolist() if v[k] % 3 == 0) ^ int((v == 7).any())
    np.testing.assert_array_equal(got[4], ballot + np.where(lanes < 8, 255, 0))


def test_functions(cuda_of_ptx):
    """A function that is not put in where it is called is called; its threads come back from wherever they leave it."""
    function = """
    __device__ __noinline__ double choose(double a, int which)
    {
        if (which == 0) return a;
        double sum = 0;
        for (int k = 0; k < which; ++k) sum += a;
        return sum;
    }
    """
    body = "p0[threadIdx.x] = choose(p0[threadIdx.x], threadIdx.x % 4) + choose(1.0, threadIdx.x % 2);"
    x, lanes = np.linspace(1, 2, EVERY), np.arange(EVERY)
    (got,) = launched(cuda_of_ptx, body, x, before=function)
    twice = np.where(lanes % 4 == 3, x + x + x, x * (lanes % 4))
    np.testing.assert_array_equal(got, np.where(lanes % 4 == 0, x, twice) + 1)


def test_counts(cuda_of_ptx):
    """Instructions are counted by warps and threads, and accesses by the sectors and words that they take."""
    code = 'extern "C" __global__ void f(double* x) { if (threadIdx.x < 40) atomicAdd(x + threadIdx.x / 4, 1.0); }'
    x = cuda_of_ptx.zeros(16, "f8")
    module = PTXModule(cuda_of_ptx, code, ("-std=c++17",))
    module.get_function("f")((3,), (64,), (x,))
    np.testing.assert_array_equal(x.get(), [12] * 10 + [0] * 6)
    (atomic,) = (c for c in module.counted("f") if ".add.f64" in c.text and c.text.startswith(("atom", "red")))
    # Two warps of each of three blocks: 32 lanes at 8 words, and 8 at 2.
    assert (atomic.threads, atomic.words, atomic.sectors, atomic.busiest) == (3 * 40, 3 * 10, 3 * 3, 3 * 8)


# ---- what would go wrong there -----------------------------------------------------------------------------------

FAULTS = {
    "a barrier that is missing": ("__shared__ int s[64]; s[threadIdx.x] = 1; p0[0] = s[63 - threadIdx.x];", "a race"),
    "a barrier that lanes miss": ("if (threadIdx.x != 1) __syncthreads();", "wait at a barrier"),
    "a barrier that warps miss": ("if (threadIdx.x >= 32) __syncthreads();", "wait at a barrier"),
    "a sum that is not atomic": ("p0[threadIdx.x % 2] += 1;", "a race"),
    "a sum that is read too soon": ("atomicAdd(p0, 1); p0[64 + threadIdx.x] = p0[0];", "a race"),
    "a write of two threads": ("p0[threadIdx.x / 2] = threadIdx.x;", "a race"),
    "a write behind an array": ("p0[threadIdx.x == 5 ? 200 : threadIdx.x] = 1;", "lane 5 is beside an array"),
    "a read before an array": ("p0[64 + threadIdx.x] = p0[(int)threadIdx.x - 1];", "beside an array"),
    "a word between words": ("*(int*)((char*)p0 + 2 * threadIdx.x + 2) = 1;", "misaligned address"),
    "an index beyond shared memory": (
        "__shared__ int s[8]; s[p0[threadIdx.x] + 60] = 1; p0[0] = s[0];",
        "shared memory",
    ),
    "an integer divided by 0": ("p0[threadIdx.x] = 5 / p0[threadIdx.x];", "divided by zero"),
    "a constant that is written": ("p0[threadIdx.x] = 1 + __ldg(p0 + 63 - threadIdx.x);", "constant|race"),
    "lanes that are elsewhere": ("if (threadIdx.x < 9) p0[threadIdx.x] = __shfl_sync(~0u, 1, 0);", "other lanes"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_found(cuda_of_ptx, fault):
    """What may go wrong on a GPU is found, even where it gives the right numbers by chance."""
    body, words = FAULTS[fault]
    with pytest.raises(AssertionError, match=words):
        launched(cuda_of_ptx, body, np.zeros(200, "i4"), block=(64,))


def test_what_several_threads_may_do(cuda_of_ptx):
    """Who writes what others write, or looks at bits that others set, is no fault."""
    body = "p0[0] = 1; if (!(p0[1] & 4)) atomicOr(p0 + 1, 4); atomicAdd(p0 + 2, 1);"
    (got,) = launched(cuda_of_ptx, body, np.zeros(3, "i4"), grid=(2,), block=(64,))
    assert got.tolist() == [1, 4, 128]


def test_more_threads_than_the_bounds(cuda_of_ptx):
    """A block of more threads than its kernel was compiled for is found."""
    with pytest.raises(AssertionError, match="more threads in a block"):
        launched(cuda_of_ptx, "p0[threadIdx.x] = 1;", np.zeros(64, "i4"), block=(64,), head="__launch_bounds__(32)")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("p0[0] = __sinf(p0[0]);", r"an unknown instruction: sin\.approx"),
        ("__shared__ float s; atomicAdd(&s, 1.0f);", r"an unknown instruction: (atom|red)\S*\.add\.f32"),
        ('asm("nanosleep.u32 20;");', r"an unknown instruction: nanosleep"),
        ('asm volatile("bar.sync 1, 32;");', "a barrier of some threads"),
        ('int n; asm volatile("mov.u32 %0, %%smid;" : "=r"(n)); p0[0] = n;', "an unknown register %smid"),
    ],
)
def test_what_is_not_known_is_refused(cuda_of_ptx, body, words):
    """An instruction, a modifier or a register that the interpreter does not know is an error."""
    with pytest.raises(PTXError, match=f"line [0-9]+: {words}"):
        launched(cuda_of_ptx, body, np.zeros(4, "f4"))


# ---- our kernels -------------------------------------------------------------------------------------------------


def exposure():
    """A turned exposure with a variance, DQ and errors, which fills some blocks in part and leaves the frame."""
    rng, shape = np.random.default_rng(1), (19, 37)
    return oracle.exposure(
        rng.normal(size=shape).astype("f4"),
        oracle.pixel_map(shape, (30.2, 44.7), 1.0, 20.0, warp=0.02),
        weight=Weight(variance=rng.uniform(0.5, 2, shape).astype("f4"), bad_bits=4),
        dq=rng.choice([0, 0, 4, 8], shape).astype("u4"),
        err=rng.uniform(size=shape).astype("f4"),
        variances={"var_flat": rng.uniform(0.5, 2, shape).astype("f4")},
    )


FRAME = MosaicLayout((50, 60), "square", None, ("var_flat",), has_err=True, has_dq=True)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: f"{target[0]}-{target[1]}")
def test_an_exposure_for_each_target(cuda_of_ptx, monkeypatch, target):
    """What is compiled for each generation of GPUs gives the mosaic that the CPU gives."""
    monkeypatch.setenv("GPURES_PTX", ":".join(map(str, target)))
    if reason := cuda_on_ptx.why_not():
        pytest.skip(reason)
    got, expected = (oracle.run(backend, FRAME, [exposure(), exposure()]) for backend in ("cuda", "cpu"))
    assert got.keys() == expected.keys()
    for name, image in expected.items():
        np.testing.assert_allclose(got[name], image, rtol=4 * EPS32, atol=4 * EPS32, err_msg=name)


def test_all_targets_are_made():
    """`make test-ptx` goes over the same ones."""
    makefile = (Path(__file__).parents[1] / "Makefile").read_text()
    assert re.search(r"^PTX := (.*)$", makefile, re.MULTILINE)[1].split() == [f"{c}:{a}" for c, a in TARGETS]


CHANGES = {
    "a barrier is removed": (r"__syncthreads();", "", "a race"),
    "a sum is not atomic": ("weights.give(there, 0)", "*there.sum(0) += weights.sum", "a race"),
    "a row is off by one": ("(y - w.y0)", "(y - w.y0 + 1)", "beside an array"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_faults_in_our_kernels_are_found(cuda_of_ptx, monkeypatch, change):
    """Each of these, put into splat.cu, is found: so what passes has none of them."""
    before, after, words = CHANGES[change]

    class Changed(PTXModule):
        def __init__(self, cuda, code, options):
            assert before in code or "fold_f4" in code
            super().__init__(cuda, code.replace(before, after), options)

    monkeypatch.setitem(sys.modules, "cupy", HostCUDA(module=Changed))
    with pytest.raises(AssertionError, match=words):
        oracle.run("cuda", FRAME, [exposure()])
