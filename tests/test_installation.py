"""What is installed: the kernels' source, one for both compilers and the one compiled, and a light package."""

import hashlib
import importlib.resources
import subprocess
import sys
from pathlib import Path

import pytest

from gpures import _cpu

# Beside the extension, but for an editable installation, which has them where they are.
BESIDE = Path(_cpu.__file__).parent / "kernels"
KERNELS = BESIDE if BESIDE.is_dir() else Path(str(importlib.resources.files("gpures") / "kernels"))

# One architecture of each generation that CUDA 13 compiles for.
ARCHITECTURES = ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"]

# Every function of the shared headers, used as a CUDA kernel would use it.
PROGRAM = r"""
#include "fold.h"
#include "pixmap.h"
#include "splat.h"

using namespace gpures;

struct Sink {
    float* sums;
    int nx;
    __device__ long long place(double i, double j) { return (long long)j * nx + (long long)i; }
    __device__ void add_at(long long place, double dow) { atomicAdd(sums + place, float(dow)); }
    __device__ void add(double i, double j, double dow)
    {
        if (dow != 0.0) add_at(place(i, j), dow);
    }
};

extern "C" __global__ void square(const double* x, const double* y, const double* w, float* sums, int nx, int ny)
{
    const int k = blockIdx.x * blockDim.x + threadIdx.x;
    double cx[3][3], cy[3][3];
    for (int a = 0; a < 9; ++a) {
        cx[a / 3][a % 3] = x[9 * k + a];
        cy[a / 3][a % 3] = beyond(y[9 * k + a], y[9 * k]);
    }
    Quad<double> q;
    corners(cx, 0.5, q.x);
    corners(cy, 0.5, q.y);
    Sink sink = {sums, nx};
    splat_square(q, inverse_variance(w[k]), Bounds{0, nx - 1, 0, ny - 1}, sink);
}

extern "C" __global__ void others(const double* x, const double* y, const double* w, const double* table, float* sums,
                                  int nx, int ny)
{
    const int k = blockIdx.x * blockDim.x + threadIdx.x;
    const Bounds bounds = {0, nx - 1, 0, ny - 1};
    Sink sink = {sums, nx};
    splat_product(Turbo(1.0, 0.7), x[k], y[k], w[k], bounds, sink);
    splat_product(Gaussian(1.0, 0.7), x[k], y[k], w[k], bounds, sink);
    splat_product(Lanczos(1.0, 3, table), x[k], y[k], w[k], bounds, sink);
    splat_point(x[k], y[k], is_good(k, 4) ? w[k] : 0.0, bounds, sink);
}

extern "C" __global__ void fold(double* mean, double* weight, const double* sum)
{
    const int k = blockIdx.x * blockDim.x + threadIdx.x;
    const double t = weight_of_variance(sum[k], variance_weight(sum[k + 1]));
    mean[k] = merged_mean(mean[k], weight[k], sum[k], t) + merged_variance(mean[k], weight[k], sum[k], t);
    weight[k] = finished_variance(mean[k], weight[k], 0.5) + lanczos_value(k, 2) +
                blend(mean[0], mean[1], mean[2], mean[3], sum[0], sum[1], sum[2], sum[3]);
}
"""


def digest_of(folder: Path) -> str:
    """Digest of a folder of kernels, as kernels/CMakeLists.txt makes it."""
    sources = sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix in (".h", ".cpp", ".cu")
    )
    lines = [f"{source} {hashlib.sha256((folder / source).read_bytes()).hexdigest()}\n" for source in sources]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def test_extension_is_of_the_installed_source():
    """The compiled extension was made of the very source that the package carries for other compilers."""
    assert digest_of(KERNELS) == _cpu.KERNELS


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_headers_compile_as_cuda(architecture):
    """NVRTC compiles every shared header as it stands, with no standard headers at hand."""
    core = pytest.importorskip("cuda.core", reason="needs cuda-core and nvidia-cuda-nvrtc", exc_type=ImportError)
    options = core.ProgramOptions(std="c++17", arch=architecture, include_path=[str(KERNELS)])
    assert len(core.Program(PROGRAM, "c++", options).compile("cubin").code) > 0


def test_import_takes_nothing_that_is_slow_or_needs_a_gpu(tmp_path):
    """Importing gpures imports no cupy, no reference, and none of the modules that take longer than itself."""
    program = "import sys, gpures; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert "gpures.resample" in modules
    slow = {"cupy", "stcal", "drizzle", "gwcs", "scipy", "astropy.wcs", "astropy.nddata", "astropy.units", "matplotlib"}
    assert not modules & slow


def test_a_source_tree_finds_the_installed_extension():
    """Python started in the source tree, whose package has no extension of its own, takes the installed one."""
    program = "import gpures; print(gpures._cpu.KERNELS)"
    tree = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", program], cwd=tree, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == _cpu.KERNELS
