"""What the kernels of the CUDA backend do, counted in the code that CUDA's compiler makes of them.

    python benchmarks/gpu_counts.py [--out FILE.json]

No GPU is needed: the interpreter of the tests (tests/ptx) runs the PTX of each kernel, with the options that CuPy gives
the compiler, for an exposure of square drops with three variances at several rotations, with and without
``deterministic=True``, and in single precision; and what goes over the pixels of images: medians, the search for
outliers, blotting.
`benchmarks/gpu_model.py` makes times of these counts.

All counts are of one input pixel. "Issued" are a warp's instructions times its 32 lanes, whether these are used or not:
it is what a multiprocessor spends its time on. A sector is 32 bytes, as caches have them; an access of a warp takes as
many as it touches.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "gpu_counts.json"
sys.path.insert(0, str(ROOT / "tests"))

SHAPE = (128, 256)
OF_OTHERS, OF_SAMPLE, FEW = (64, 96), (24, 64), 4
ROTATIONS = (0.0, 1.0, 20.0, 45.0)  # degrees

# With a spline of a fixed step, so that its size does not depend on the distortion that is drawn.
OPTIONS = {
    "backend": "cuda",
    "enable_var": True,
    "compute_err": "from_var",
    "propagate_dq": True,
    "pixmap_stepsize": 16,
    "pixmap_order": 3,
}

# Float64 operations that an instruction of PTX becomes: a first guess, and steps of Newton's that double its digits.
FP64_STEPS = {"div": 8, "sqrt": 8, "rcp": 6}

SPACES = ("global", "shared", "local", "param")

# How the names of kernels begin that run for an exposure.
OF_EXPOSURES = ("splat", "fold", "measure")


def kind(text: str) -> tuple[str, int]:
    """What an instruction of PTX counts as, and how many of these it is."""
    name = re.sub(r"^@!?%p\d+\s+", "", text).split()[0].rstrip(";").split(".")
    first = name[0]
    if first in ("atom", "red"):
        return f"atomics {'global' if 'global' in name else 'shared'}", 1
    if first in ("ld", "st"):
        space = next((space for space in SPACES if space in name), "generic")
        # Parameters are operands of other instructions.
        return ("none", 0) if space == "param" else (f"{'loads' if first == 'ld' else 'stores'} {space}", 1)
    if first == "bar":
        return "barriers", 1
    if first in ("bra", "ret", "exit"):
        return "branches", 1
    # Moves vanish when registers are given out, and so do signs.
    if first in ("mov", "cvta") or (first in ("neg", "abs") and name[-1][0] == "f"):
        return "none", 0
    if first == "cvt":
        return ("conversions", 1) if "f64" in name else ("fp32" if "f32" in name else "integer", 1)
    if first == "selp":
        return "integer", 2 if name[-1].endswith("64") else 1
    if "f64" in name:
        return "fp64", FP64_STEPS.get(first, 1)
    if "f32" in name:
        return "fp32", 1
    return "integer", 2 if name[-1] in ("s64", "u64", "b64") else 1


def totals(instructions: Iterable[Any], pixels: int) -> dict[str, float]:
    """Counts of one input pixel, of all instructions of a kernel."""
    total: Counter[str] = Counter()
    for counted in instructions:
        what, times = kind(counted.text)
        if what == "none":
            continue
        total[what] += times * counted.warps * 32
        if what == "fp64":
            total["fp64 used"] += times * counted.threads
        if what.endswith(" global"):
            total[f"sectors of {what}"] += counted.sectors
    return {name: round(count / pixels, 3) for name, count in sorted(total.items())}


@contextmanager
def counting() -> Iterator[tuple[Callable[[], dict[str, list[Any]]], Callable[[], int]]]:
    """Have PTX in the place of a GPU for a while.

    Yields two functions: of all kernels that have run the instructions, by the kernel's name; and the bytes that have
    gone up.
    """
    from cuda_on_ptx import PTXModule, module_of, ptx_cuda

    from gpures.backend.cuda.kernels import Program

    modules: list[PTXModule] = []
    uploaded = 0

    class Counting(PTXModule):
        def __init__(self, *arguments: Any):
            super().__init__(*arguments)
            self.got: list[str] = []
            modules.append(self)

        def get_function(self, name: str) -> Any:
            self.got.append(name)
            return super().get_function(name)

    module_of.cache_clear()  # what was counted before
    cuda = ptx_cuda(Counting)
    copy = cuda.cuda.runtime.memcpyAsync

    def copied(to: int, source: int, size: int, kind: int, *stream: Any) -> None:
        nonlocal uploaded
        uploaded += size * (kind == cuda.cuda.runtime.memcpyHostToDevice)
        copy(to, source, size, kind, *stream)

    cuda.cuda.runtime.memcpyAsync = copied
    before, sys.modules["cupy"] = sys.modules.get("cupy"), cuda
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield (
                lambda: {name: list(module.counted(name)) for module in modules for name in module.got},
                lambda: uploaded,
            )
    finally:
        Program._programs.clear()
        if before is None:
            del sys.modules["cupy"]
        else:
            sys.modules["cupy"] = before


def counts_of(rotation: float, shape: tuple[int, int] = SHAPE, **options: Any) -> dict[str, dict[str, float]]:
    """Counts of each kernel that runs for one exposure, by the kernel's name, and of what is uploaded.

    Parameters
    ----------
    rotation : float
        Of the output frame against the exposure, degrees.
    shape : (int, int), optional
        Of the exposure.
    **options
        Other than `OPTIONS`, as `gpures.Resample` takes them.
    """
    import scenes

    import gpures

    with counting() as (kernels, uploaded):
        wcs = scenes.camera_wcs(shape, rotation=rotation, shift=(0.31, 0.17))
        model, frame = scenes.model_of(wcs, shape, seed=1), scenes.frame_around(shape)
        scenes.mosaic(gpures.Resample, [model], frame, OPTIONS | options)
        pixels = shape[0] * shape[1]
        all_of_them = {name: each for name, each in kernels().items() if any(counted.warps for counted in each)}
        counts = {name: totals(each, pixels) for name, each in all_of_them.items() if name.startswith(OF_EXPOSURES)}
        return counts | {"upload": {"bytes": round(uploaded() / pixels, 2)}}


def others_of(shape: tuple[int, int] = OF_OTHERS) -> dict[str, dict[str, float]]:
    """Counts of the kernels that go over the pixels of an image, each for one of its pixels, by the kernel's name.

    Those of a search for outliers in a few exposures; medians of more of them, and means of what is near; images
    blotted by each interpolation; images finished.

    Parameters
    ----------
    shape : (int, int), optional
        Of all images.
    """
    import numpy as np
    import scenes

    import gpures
    from gpures.box import Box
    from gpures.cleaning.stack import Stack
    from gpures.exposure.pixmap import calc_pixmap
    from gpures.exposure.structs import INTERPOLATIONS

    pixels, counts = shape[0] * shape[1], {}
    wcs = scenes.camera_wcs(shape, rotation=1.0, shift=(0.31, 0.17))
    models = [scenes.model_of(wcs, shape, seed=k) for k in range(FEW)]
    frame = scenes.frame_around(shape)
    with counting() as (kernels, _):
        gpures.flag_outliers(models, output_wcs=frame, grow=3, backend="cuda", weight_type="exptime")
        of_frame = frame.array_shape[0] * frame.array_shape[1]
        for name, each in kernels().items():
            if name.startswith(OF_EXPOSURES):
                continue
            # Of each exposure, but for the median, which is of the frame's pixels.
            count = of_frame if name.startswith("median") else FEW * pixels
            counts[name] = totals(each, count)
    rng = np.random.default_rng(1)
    for many in (8, 16, 32, 40, 100):
        with counting() as (kernels, _):
            import cupy

            stack = Stack(shape)
            for _ in range(many):
                stack.add(cupy.array(rng.normal(size=shape).astype("f4")), Box.whole(shape))
            stack.median()[0].get()
            if many == 16:
                stack.clipped_mean().get()
            found = {name: totals(each, pixels) for name, each in kernels().items()}
        counts |= {f"{name} of {many}" if name.endswith(("96", "any")) else name: each for name, each in found.items()}
    image = rng.normal(size=shape).astype("f4")
    pixmap = calc_pixmap(wcs, frame, shape).array()
    for interpolation in INTERPOLATIONS:
        with counting() as (kernels, _):
            given = {"pix_ratio": 1.0, "exptime": 1.0, "output_pixel_shape": shape[::-1], "backend": "cuda"}
            gpures.blot_image(image, pixmap, interp=interpolation, **given)
            counts[f"blot {interpolation}"] = totals(kernels()["blot_f4"], pixels)
    return counts


def sample() -> dict[str, dict[str, float]]:
    """Counts of little, by which is known whether those that are kept are still true."""
    return {
        "added": counts_of(20.0, OF_SAMPLE)["splat_square_4"],
        "turbo": counts_of(20.0, OF_SAMPLE, kernel="turbo")["splat_turbo_4"],
        **counts_of(20.0, OF_SAMPLE, deterministic=True),
        **{f"{name} in single": each for name, each in counts_of(20.0, OF_SAMPLE, precision="single").items()},
        **{name: each for name, each in others_of(OF_SAMPLE).items() if not name.endswith("of 100")},
    }


def report() -> dict[str, Any]:
    """Counts for all rotations, and what they are of."""
    from cuda_on_ptx import target

    from gpures.bench.machine import commit

    cuda, architecture = target()
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "commit": commit(ROOT),
        "counted": "instructions issued, and sectors, for each input pixel, by kernel, in PTX",
        "compiler": f"CUDA {cuda}, {architecture}",
        "exposure": f"{SHAPE[1]} x {SHAPE[0]} pixels, float32, square drops, pixfrac 1, three variances, DQ",
        "fp64_steps": FP64_STEPS,
        "rotations": {f"{rotation:g}": counts_of(rotation) for rotation in ROTATIONS},
        "deterministic": {f"{rotation:g}": counts_of(rotation, deterministic=True) for rotation in ROTATIONS},
        "single": {f"{rotation:g}": counts_of(rotation, precision="single") for rotation in ROTATIONS},
        "others": others_of(),
        "sample": sample(),
    }


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULT, help="where the counts go (default: %(default)s)")
    arguments = parser.parse_args()
    content = report()
    arguments.out.write_text(json.dumps(content, indent=1) + "\n")
    told = [(f"{angle:>4} degrees, ", each) for angle, each in content["rotations"].items()]
    for way in ("deterministic", "single"):
        told += [(f"{angle:>4} degrees, {way}, ", each) for angle, each in content[way].items()]
    for where, kernels in [*told, ("", content["others"])]:
        for name, counts in kernels.items():
            print(f"{where}{name}: " + ", ".join(f"{what} {n:.4g}" for what, n in counts.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
