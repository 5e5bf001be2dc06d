"""What the GPU's kernels do for each pixel: counted in the code that CUDA's compiler makes, and held to bounds."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import cuda_on_ptx
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

# Counts of one input pixel, at a rotation in degrees, of square drops with three variances: no more than these.
MOST = {
    0.0: {"fp64": 200, "loads global": 24, "sectors of atomics global": 2.2, "integer": 850},
    1.0: {"fp64": 250, "loads global": 24, "sectors of atomics global": 2.2, "integer": 900},
    20.0: {"fp64": 650, "loads global": 27, "sectors of atomics global": 2.5, "integer": 1400},
}


# The same in single precision, of the drops and of the fold; with doubles where coordinates and weights are, and there
# alone.
MOST_SINGLE = {
    0.0: {"fp64": 50, "fp32": 190, "loads global": 24, "sectors of atomics global": 1.4, "integer": 850},
    1.0: {"fp64": 50, "fp32": 250, "loads global": 24, "sectors of atomics global": 1.4, "integer": 900},
    20.0: {"fp64": 50, "fp32": 720, "loads global": 27, "sectors of atomics global": 1.7, "integer": 1400},
}


@pytest.fixture(scope="module")
def counts():
    """benchmarks/gpu_counts.py."""
    if reason := cuda_on_ptx.why_not():
        pytest.skip(reason)
    return runpy.run_path(str(BENCHMARKS / "gpu_counts.py"))


@pytest.mark.parametrize("rotation", MOST)
def test_counts_do_not_grow(counts, rotation):
    """The kernel for square drops keeps to its bounds; so does memory, of which there is nothing that is local."""
    found = counts["counts_of"](rotation, (64, 160))["splat_square_4"]
    print(found)
    for name, most in MOST[rotation].items():
        assert 0.7 * most < found[name] < most, name
    assert not any("local" in name for name in found)


@pytest.mark.parametrize("rotation", MOST_SINGLE)
def test_single_needs_few_doubles(counts, rotation):
    """In single precision the fold does without them, and the drops nearly."""
    found = counts["counts_of"](rotation, (64, 160), precision="single")
    print(found)
    assert found["fold_single_f4"]["fp64"] == 0
    for name, most in MOST_SINGLE[rotation].items():
        assert 0.7 * most < found["splat_square_4_single"][name] < most, name
    assert not any("local" in name for each in found.values() for name in each)


def test_kinds_of_instructions(counts):
    """Each counts as what it takes a GPU."""
    expected = {
        "@%p3 fma.rn.f64 %fd1, %fd2, %fd3, %fd4;": ("fp64", 1),
        "div.rn.f64 %fd1, %fd2, %fd3;": ("fp64", 8),
        "setp.gt.f64 %p1, %fd1, %fd2;": ("fp64", 1),
        "cvt.rzi.s32.f64 %r1, %fd1;": ("conversions", 1),
        "add.s64 %rd1, %rd2, %rd3;": ("integer", 2),
        "red.global.add.f64 [%rd1], %fd1;": ("atomics global", 1),
        "ld.shared.f64 %fd1, [%r1];": ("loads shared", 1),
        "ld.param.u64 %rd1, [splat_param_0];": ("none", 0),
        "mul.rn.ftz.f32 %f1, %f2, %f3;": ("fp32", 1),
        "bar.sync 0;": ("barriers", 1),
    }
    assert {text: counts["kind"](text) for text in expected} == expected


@pytest.fixture
def kept():
    """The counts that benchmarks/gpu_model.py predicts from."""
    return json.loads((BENCHMARKS / "results" / "gpu_counts.json").read_text())


def test_counts_that_are_kept_are_of_these_kernels(counts, kept):
    """A sample of each kernel that is counted again gives what it gave, but for what depends on who comes first."""
    cuda, architecture = cuda_on_ptx.target()
    if kept["compiler"] != f"CUDA {cuda}, {architecture}":
        pytest.skip(f"they are of {kept['compiler']}")
    again = counts["sample"]()
    assert again.keys() == kept["sample"].keys()
    for name, each in kept["sample"].items():
        assert again[name] == pytest.approx(each, rel=0.02, abs=0.05), f"{name}: run python benchmarks/gpu_counts.py"


def test_counts_that_are_kept_keep_to_the_bounds(kept):
    """They are there for all rotations."""
    for rotation, most in MOST.items():
        found = kept["rotations"][f"{rotation:g}"]["splat_square_4"]
        assert all(found[name] < most[name] for name in most), "run python benchmarks/gpu_counts.py"
