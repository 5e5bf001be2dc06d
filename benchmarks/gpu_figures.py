"""What benchmarks/gpu.py measures on a GPU, in the environment that it has made.

    python benchmarks/gpu_figures.py {versions,small-mosaic,construction,figures} FILE.json [--quick]

Seconds are of the wall clock with the device synchronised at the end, or, of device work alone, between CUDA events on
the stream that does it. Exposures differ and take turns, so that none finds its arrays in a cache.
"""

from __future__ import annotations

import argparse
import collections
import gc
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from gpures import Resample
from gpures.arguments.arrays import on_device
from gpures.backend.base import MosaicLayout
from gpures.backend.choice import make_accumulators
from gpures.backend.cuda.accumulators import CUDAAccumulators
from gpures.backend.cuda.device import devices, import_cupy, memory_info
from gpures.backend.cuda.upload import Uploader
from gpures.bench.limits import least_bytes
from gpures.bench.machine import processor
from gpures.bench.scenes import LARGE, SMALL, VARIANCES, exposure_wcs, frame_wcs, make_model
from gpures.exposure.drops import KERNELS
from gpures.exposure.exposure import Exposure
from gpures.exposure.pixmap import PixelMap, calc_pixmap
from gpures.exposure.weights import Weight
from gpures.io.atomic import written
from gpures.machine.threads import thread_count
from gpures.resample import resampler

# What is to be reached, as a multiple of stcal's speed, and as fractions of the measured ceilings.
TIMES_STCAL, OF_PINNED_RATE, OF_FLOOR = 1000.0, 0.9, 0.6

# Fields of cupy's kernels: what the compiler made of one.
COMPILED = {"num_regs": "registers", "local_size_bytes": "local_bytes", "shared_size_bytes": "shared_bytes"}

MIB = 1 << 20


# ---- the exposures --------------------------------------------------------------------------------------------------


@dataclass
class Case:
    """Exposures of one shape, and how they are resampled."""

    kernel: str
    models: list[dict]
    frame: Any

    def begin(self, resampler: Any = Resample, n_input_models: int = 32, **options: Any) -> Any:
        """A new mosaic."""
        return resampler(
            {"wcs": self.frame}, n_input_models, kernel=self.kernel, compute_err="from_var", enable_ctx=True, **options
        )

    def next_models(self, count: int, first: int = 0) -> Iterator[dict]:
        """So many models, which take turns."""
        return itertools.islice(itertools.cycle(self.models), first, first + count)


def exposures_of(resample: Any, models: list[dict]) -> list[Exposure]:
    """Models as a backend gets them."""
    return [resample._checked_exposure(model) for model in models]


# ---- ceilings --------------------------------------------------------------------------------------------------------


def timed(cupy: Any, stream: Any, work: Callable[[], None], repeats: int) -> float:
    """Median seconds of device work that is begun on a stream."""
    work()
    pairs = []
    for _ in range(repeats):
        pair = cupy.cuda.Event(), cupy.cuda.Event()
        pair[0].record(stream)
        work()
        pair[1].record(stream)
        pairs.append(pair)
    stream.synchronize()
    return statistics.median(cupy.cuda.get_elapsed_time(*pair) for pair in pairs) / 1e3


def noise(size: int) -> np.ndarray:
    """So many bytes, none of them known beforehand."""
    return np.random.default_rng(7).integers(0, 256, size, np.uint8)


def filled(cupy: Any, size: int) -> Any:
    """So many bytes on the device, a block of noise over and over; for the use of any stream."""
    memory, part = cupy.empty(size, np.uint8), cupy.asarray(noise(min(size, 64 * MIB)))
    for start in range(0, size, part.size):
        memory[start : start + part.size] = part[: min(part.size, size - start)]
    cupy.cuda.get_current_stream().synchronize()
    return memory


def copy_rate(cupy: Any, size: int, repeats: int) -> dict:
    """Rate of a copy within the device's memory, bytes read and bytes written."""
    runtime, stream = cupy.cuda.runtime, cupy.cuda.Stream(non_blocking=True)
    source, to = filled(cupy, size), cupy.empty(size, np.uint8)

    def work() -> None:
        runtime.memcpyAsync(to.data.ptr, source.data.ptr, size, runtime.memcpyDeviceToDevice, stream.ptr)

    return {"copied_bytes": size, "bytes_per_s": 2 * size / timed(cupy, stream, work, repeats)}


def pinned_rate(cupy: Any, size: int, repeats: int) -> dict:
    """Rate of a copy from pinned host memory to the device."""
    runtime, stream = cupy.cuda.runtime, cupy.cuda.Stream(non_blocking=True)
    pinned, to = cupy.cuda.alloc_pinned_memory(size), cupy.empty(size, np.uint8)
    np.ndarray(size, np.uint8, buffer=pinned)[:] = noise(size)

    def work() -> None:
        runtime.memcpyAsync(to.data.ptr, pinned.ptr, size, runtime.memcpyHostToDevice, stream.ptr)

    return {"copied_bytes": size, "bytes_per_s": size / timed(cupy, stream, work, repeats)}


def host_copy_rate(cupy: Any, size: int, threads: list[int], repeats: int) -> dict:
    """Rates at which so many threads each copy host memory into pinned memory."""
    source, pinned = noise(size), cupy.cuda.alloc_pinned_memory(size)
    to = np.ndarray(size, np.uint8, buffer=pinned)
    rates = {}
    for count in threads:
        parts = list(zip(np.array_split(to, count), np.array_split(source, count), strict=True))
        with ThreadPoolExecutor(count) as pool:
            seconds = []
            for _ in range(repeats + 1):
                start = time.perf_counter()
                list(pool.map(lambda part: np.copyto(*part), parts))
                seconds.append(time.perf_counter() - start)
        rates[f"bytes_per_s_{count}_threads"] = size / statistics.median(seconds[1:])
    return rates


def staging_threads(case: Case) -> int:
    """How many threads fill gpures' pinned buffers."""
    return case.begin(backend="cuda")._accumulators._uploader._threads


# ---- an exposure -----------------------------------------------------------------------------------------------------


def end_to_end(case: Case, exposures: int, rounds: int, together: bool = False) -> dict:
    """Seconds per exposure from models to a mosaic on the device, by `add_model` or, `together`, by `add_models`."""
    cupy = import_cupy()
    gc.collect()
    cupy.get_default_memory_pool().free_all_blocks()
    first, each, last = [], [], []
    for _ in range(rounds):
        resample = case.begin(backend="cuda")
        stream = resample._accumulators._stream
        start = time.perf_counter()
        resample.add_model(case.models[0])
        stream.synchronize()
        first.append(time.perf_counter() - start)
        for model in case.next_models(3, 1):
            resample.add_model(model)
        stream.synchronize()
        models = list(case.next_models(exposures, 4))
        start = time.perf_counter()
        if together:
            resample.add_models(models)
        else:
            for model in models:
                resample.add_model(model)
        stream.synchronize()
        each.append((time.perf_counter() - start) / exposures)
        size = sum(a.nbytes for a in resample._accumulators.carried(resample._checked_exposure(case.models[0])))
        start = time.perf_counter()
        resample.finalize()
        last.append(time.perf_counter() - start)
    seconds = statistics.median(each)
    return {
        "exposures": exposures,
        "per_exposure_s": seconds,
        "rounds_s": each,
        "first_exposure_s": first[0],
        "finalize_s": statistics.median(last),
        "uploaded_bytes": size,
        "uploaded_bytes_per_s": size / seconds,
        "pool_bytes": cupy.get_default_memory_pool().total_bytes(),
    }


def on_the_device(cupy: Any, case: Case) -> Case:
    """The same exposures, with their arrays on the device."""
    models = [
        {key: cupy.asarray(value) if isinstance(value, np.ndarray) else value for key, value in model.items()}
        for model in case.models
    ]
    return Case(case.kernel, models, case.frame)


def one_by_one(case: Case, exposures: int, warm_up: int, resampler: Any = Resample, **options: Any) -> dict:
    """Seconds per exposure of a resampler that works on the host."""
    resample = case.begin(resampler, **options)
    for model in case.next_models(warm_up):
        resample.add_model(model)
    seconds = []
    for model in case.next_models(exposures, warm_up):
        start = time.perf_counter()
        resample.add_model(model)
        seconds.append(time.perf_counter() - start)
    return {"exposures": exposures, "per_exposure_s": statistics.median(seconds), "all_s": seconds}


def stcal_seconds(case: Case, exposures: int, warm_up: int) -> dict:
    """Seconds per exposure of stcal, on this host."""
    from stcal.resample import Resample as STCALResample

    return one_by_one(case, exposures, warm_up, STCALResample) | {"version": version("stcal")}


@contextmanager
def launches_timed(cupy: Any, filler_bytes: int) -> Iterator[list]:
    """Have each launch enclosed by events: a list of the kernel's name, the kernel and both events, as they come.

    Before each splat the device copies something large. It keeps the stream busy while the host is still about to
    launch the kernel, which would else count as its time, and clears the cache of what the copies to the device left.
    """
    runtime, launches = cupy.cuda.runtime, []
    filler = filled(cupy, filler_bytes), cupy.empty(filler_bytes, np.uint8)
    original = CUDAAccumulators._launch

    def launch(accumulators: Any, kernel: Any, *rest: Any) -> None:
        stream = accumulators._stream
        name = next(name for (name, _), function in accumulators._program._functions.items() if function is kernel)
        if name.startswith("splat"):
            source, to = (part.data.ptr for part in filler)
            runtime.memcpyAsync(to, source, filler_bytes, runtime.memcpyDeviceToDevice, stream.ptr)
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        start.record(stream)
        original(accumulators, kernel, *rest)
        end.record(stream)
        launches.append((name, kernel, start, end))

    with mock.patch.object(CUDAAccumulators, "_launch", launch):
        yield launches


def kernels(case: Case, exposures: int, bytes_per_s: float, filler_bytes: int = 512 * MIB, **options: Any) -> dict:
    """Seconds of the kernels of an exposure, beside the least that memory allows."""
    cupy = import_cupy()
    resample = case.begin(backend="cuda", **options)
    accumulators = resample._accumulators
    for model in case.next_models(2):
        resample.add_model(model)
    with launches_timed(cupy, filler_bytes) as launches:
        for model in case.next_models(exposures, 2):
            resample.add_model(model)
        accumulators._stream.synchronize()
    seconds = collections.defaultdict(list)
    found: dict = {"exposures": exposures}
    for name, kernel, start, end in launches:
        seconds[name].append(cupy.cuda.get_elapsed_time(start, end) / 1e3)
        for field, called in COMPILED.items():
            if hasattr(kernel, field):
                found[f"{name}_{called}"] = getattr(kernel, field)
    total = 0.0
    for name, all_seconds in seconds.items():
        step = f"{name.split('_')[0]}_s"  # of which there may be two
        found[step] = found.get(step, 0.0) + statistics.median(all_seconds)
        total += statistics.median(all_seconds)
    (exposure,) = exposures_of(resample, case.models[:1])
    window = accumulators.window_of(exposure)
    pixels = (window[1] - window[0] + 1) * (window[3] - window[2] + 1)
    size = least_bytes(exposure, accumulators.layout, window)
    planes = 1 + (exposure.err is not None) + len(exposure.variances)
    floor = size / bytes_per_s
    single, deterministic = options.get("precision") == "single", options.get("deterministic", False)
    return found | {
        "kernels_s": total,
        "least_bytes": size,
        "sums_bytes": ((4 if single else 8) * (planes + 1) + 4 * (planes + 2) * deterministic) * pixels,
        "floor_s": floor,
        "floor_over_measured": floor / total,
    }


def transfer(case: Case, repeats: int) -> dict:
    """Rate at which an exposure's arrays come to the device, each waited for, and one behind the other."""
    resample = case.begin(backend="cuda")
    accumulators = resample._accumulators
    uploader, stream = accumulators._uploader, accumulators._stream
    sets = [accumulators.carried(exposure) for exposure in exposures_of(resample, case.models)]
    size = sum(array.nbytes for array in sets[0])

    def upload(k: int) -> None:
        uploader.upload(sets[k % len(sets)])
        uploader.consumed()

    for k in range(2):
        upload(k)
    stream.synchronize()
    seconds = []
    for k in range(repeats):
        start = time.perf_counter()
        upload(k + 2)
        stream.synchronize()
        seconds.append(time.perf_counter() - start)
    start = time.perf_counter()
    for k in range(repeats):
        upload(k + 2 + repeats)
    stream.synchronize()
    streamed = (time.perf_counter() - start) / repeats
    return {
        "uploaded_bytes": size,
        "upload_s": statistics.median(seconds),
        "bytes_per_s": size / statistics.median(seconds),
        "streamed_bytes_per_s": size / streamed,
    }


# The parts of `add_model` on the host: what is called for each, none of it by another of them.
HOST_PARTS: dict[str, list[tuple[Any, str]]] = {
    "pixel_map_s": [(resampler, "calc_pixmap")],
    "window_s": [(CUDAAccumulators, "copies_of")],
    "records_s": [(CUDAAccumulators, "_exposure_record"), (CUDAAccumulators, "_mosaic_record")],
    "staging_s": [(Uploader, "upload")],
    "launches_s": [(CUDAAccumulators, "_launch")],
}


def host_parts(case: Case, exposures: int) -> dict:
    """Median seconds of the host in the parts of `add_model`; staging includes waiting for a buffer."""
    spent: dict[str, float] = {}

    def timer(part: str, function: Callable) -> Callable:
        def call(*arguments: Any, **keywords: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*arguments, **keywords)
            finally:
                spent[part] = spent.get(part, 0.0) + time.perf_counter() - start

        return call

    resample = case.begin(backend="cuda")
    rows = []
    with ExitStack() as patches:
        for part, functions in HOST_PARTS.items():
            for owner, name in functions:
                patches.enter_context(mock.patch.object(owner, name, timer(part, getattr(owner, name))))
        for model in case.next_models(exposures + 2):
            spent.clear()
            start = time.perf_counter()
            resample.add_model(model)
            rows.append(dict(spent) | {"add_model_s": time.perf_counter() - start})
    parts = {part: statistics.median(row.get(part, 0.0) for row in rows[2:]) for part in HOST_PARTS}
    whole = statistics.median(row["add_model_s"] for row in rows[2:])
    return parts | {"rest_s": whole - sum(parts.values()), "add_model_s": whole}


# ---- all the rest ----------------------------------------------------------------------------------------------------


def construction(shape: tuple[int, int]) -> dict:
    """Seconds from nothing to a first exposure, in a process that has not used CuPy yet."""
    case = Case("square", [make_model(k, shape) for k in range(2)], frame_wcs(shape))
    marks = {"start": time.perf_counter()}
    cupy = import_cupy()
    marks["import_cupy_s"] = time.perf_counter()
    cupy.zeros(1, np.uint8)
    cupy.cuda.get_current_stream().synchronize()
    marks["context_s"] = time.perf_counter()
    resample = case.begin(backend="cuda")
    marks["construct_s"] = time.perf_counter()
    for model, name in zip(case.models, ("first_exposure_s", "second_exposure_s"), strict=True):
        resample.add_model(model)
        resample._accumulators._stream.synchronize()
        marks[name] = time.perf_counter()
    return {name: end - start for (_, start), (name, end) in itertools.pairwise(marks.items())}


def constructions(tiny: bool = False) -> dict:
    """`construction` in new processes, with an empty cache of compiled kernels and with a full one."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        caches = {name: str(Path(folder, name)) for name in ("CUPY_CACHE_DIR", "CUDA_CACHE_PATH")}
        part = Path(folder, "construction.json")
        for cache in ("cold", "warm"):
            command = [sys.executable, __file__, "construction", str(part), *["--tiny"] * tiny]
            subprocess.run(command, env=os.environ | caches, check=True)
            found |= {f"{cache}_{name}": value for name, value in json.loads(part.read_text()).items()}
    return found


def resident_bytes() -> int:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def memory(shape: tuple[int, int], exposures: int, warm_up: int = 20) -> dict:
    """What many exposures in a row leave behind in the device's memory and the host's."""
    cupy = import_cupy()
    case = Case("square", [make_model(k, shape) for k in range(4)], frame_wcs(shape))
    resample = case.begin(n_input_models=exposures + warm_up, backend="cuda")
    pool, found = cupy.get_default_memory_pool(), {"exposures": exposures}
    for when, count in (("before", warm_up), ("after", exposures)):
        for model in case.next_models(count):
            resample.add_model(model)
        resample._accumulators._stream.synchronize()
        found |= {
            f"pool_used_{when}_bytes": pool.used_bytes(),
            f"pool_total_{when}_bytes": pool.total_bytes(),
            f"resident_{when}_bytes": resident_bytes(),
        }
    grown = [found[f"pool_{kind}_after_bytes"] > found[f"pool_{kind}_before_bytes"] for kind in ("used", "total")]
    return found | {"pool_grew": any(grown)}


def on_host(image: Any) -> np.ndarray:
    """An image as a numpy array."""
    return image.get() if on_device(image) else image


def compared(images: dict[str, Any], reference: dict[str, Any], least_weight: float = 0.0) -> dict:
    """Largest relative difference of each image, and whether integers and patterns of NaN are the same.

    Pixels whose weight is below `least_weight` times the largest are left out of the former: where weights of both
    signs nearly cancel, a mean has no digits.
    """
    weight = np.abs(on_host(reference["wht"]))
    heavy = weight > least_weight * weight.max()
    found: dict = {}
    same_nan = True
    for name, image in reference.items():
        ours, theirs = on_host(images[name]), on_host(image)
        if theirs.dtype.kind in "iu":
            found[f"{name}_equal"] = bool(np.array_equal(ours, theirs))
            continue
        same_nan &= bool(np.array_equal(np.isnan(ours), np.isnan(theirs)))
        of = heavy & np.isfinite(theirs) & (theirs != 0.0)
        found[f"{name}_largest_difference"] = float(np.abs(ours[of] / theirs[of].astype(np.float64) - 1.0).max())
    return found | {"nan_equal": same_nan}


def accuracy(case: Case) -> dict:
    """The same mosaic on the device and on the host."""
    mosaics = []
    for backend in ("cuda", "cpu"):
        resample = case.begin(backend=backend, fillval="NaN", propagate_dq=True)
        for model in case.models:
            resample.add_model(model)
        resample.finalize()
        names = ("data", "wht", "con", "dq", "err", *VARIANCES)
        mosaics.append({name: resample.output_model[name] for name in names})
    return compared(*mosaics)


def small_mosaic(shape: tuple[int, int] = (96, 100), kernels: tuple[str, ...] = KERNELS) -> dict:
    """Everything that the kernels do, on little, and compared with the CPU: what compute-sanitizer looks at.

    Raises
    ------
    AssertionError
        The images are not those of the CPU.
    """
    cupy = import_cupy()
    # Each array in memory of its own, so that what is read or written beside it, or before it is filled, is seen.
    cupy.cuda.set_allocator(None)
    exposures = small_exposures(shape)
    frame_shape = frame_wcs(shape).array_shape
    worst = 0.0
    kinds = (("f4", {}), ("f8", {}), ("f4", {"deterministic": True}), ("f4", {"single": True}))
    for kernel, (dtype, kind) in itertools.product(kernels, kinds):
        # One plane of context, to which the third exposure adds another.
        frame = MosaicLayout(
            *(frame_shape, kernel, None, VARIANCES, 1),
            has_err=True,
            has_dq=True,
            dtype=np.dtype(dtype),
            **kind,
        )
        mosaics, weight_maps = [], []
        for backend in ("cuda", "cpu"):
            accumulators = make_accumulators(backend, frame, to_host=False)
            for exposure in exposures:
                accumulators.add(exposure)
            images = accumulators.images()
            weights = accumulators.weight_map(exposures[0])
            variances = accumulators.finish_variances(0.5)
            error = accumulators.error_image(list(variances.values()))
            found = images | variances | {"error": error}
            mosaics.append({name: on_host(image) for name, image in found.items()})
            weight_maps.append(weights)
            accumulators.close()
        if kind.get("single"):
            leave_out_grazed(*mosaics)
        found = compared(*mosaics, least_weight=0.01)
        differences = {name: value for name, value in found.items() if name.endswith("_difference")}
        assert np.array_equal(*weight_maps), (kernel, "weight maps")
        bound = 1e-4
        if kind.get("single"):
            # Means lose digits where weights of both signs leave a hundredth (2.6e-4 here, of Lanczos 3), and variances
            # have as many as a drop shares with a pixel that it barely reaches (1.6e-3 on an H200).
            bound = 1e-3
            rough = [differences.pop(name) for name in list(differences) if name.startswith("var_")]
            assert max(rough) < 1e-2, (kernel, found)
        else:
            worst = max(worst, *differences.values())
        assert max(differences.values()) < bound, (kernel, kind, found)
        assert all(value for name, value in found.items() if name.endswith("_equal")), (kernel, kind, found)
    return {"kernels": len(kernels), "exposures": len(exposures), "largest_difference": worst}


def leave_out_grazed(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    """Empty those pixels in both mosaics of which an exposure is in one alone: in float32 a drop may graze a pixel.

    Raises
    ------
    AssertionError
        There are more than a few.
    """
    differ = (one["con"] != other["con"]).any(axis=0)
    assert differ.mean() < 1e-3, differ.sum()
    for mosaic in (one, other):
        for image in mosaic.values():
            image[..., differ] = 0


def small_exposures(shape: tuple[int, int]) -> list[Exposure]:
    """Exposures on a spline, turned, and over the frame's edges; of several types, byte orders and strides."""
    frame = frame_wcs(shape)
    ny, nx = frame.array_shape
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    x, y = x - 0.5 * (shape[1] - 1), y - 0.5 * (shape[0] - 1)
    c, s = np.cos(0.6), np.sin(0.6)
    turned = np.stack([c * x - s * y + 0.5 * nx, s * x + c * y + 0.5 * ny], axis=-1)
    turned[3:5, 7:9] = np.nan
    maps = [
        calc_pixmap(exposure_wcs(0, shape), frame, shape),
        PixelMap.from_array(turned),
        PixelMap.from_array(turned + np.array([0.55 * nx, -0.6 * ny])),
        PixelMap.from_array(turned - np.array([0.5 * nx, 0.1 * ny])),
    ]
    exposures = []
    for k, (pixmap, context_id, dtype) in enumerate(
        zip(maps, (0, 31, 32, 63), ("f4", ">f4", "f8", ">f8"), strict=True)
    ):
        rng = np.random.default_rng(k)
        images = {name: rng.uniform(0.5, 1.5, shape).astype(dtype) for name in ("data", "err", *VARIANCES)}
        if k % 2:
            images = {name: np.repeat(image, 2, axis=1)[:, ::2] for name, image in images.items()}
        exposures.append(
            Exposure(
                data=images["data"],
                pixmap=pixmap,
                weight=Weight(variance=images["var_rnoise"], bad_bits=1),
                limits=(0, shape[1] - 1, 0, shape[0] - 1),
                context_id=context_id,
                dq=rng.integers(0, 256, shape).astype(("u1", ">i2", "i4", "u4")[k]),
                err=images["err"],
                variances={name: images[name] for name in VARIANCES},
                variance_weight=None if k else 2.0,
                pixfrac=0.8,
                iscale=1.5,
                level=0.1,
            )
        )
    return exposures


def versions() -> dict:
    """Names and versions of all that is between the processor and gpures."""
    cupy = import_cupy()
    runtime = cupy.cuda.runtime
    (device, *_) = devices()
    found = {
        "device": device.name,
        "capability": "{}.{}".format(*device.capability),
        "memory_bytes": device.memory,
        "driver": "unknown",
        "driver_cuda": runtime.driverGetVersion(),
        "cuda_runtime": runtime.runtimeGetVersion(),
        "nvrtc": "{}.{}".format(*cupy.cuda.nvrtc.getVersion()),
        "processor": processor(),
        "threads": thread_count(),
        "python": platform.python_version(),
    }
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        found["driver"] = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, IndexError, subprocess.CalledProcessError):
        traceback.print_exc()
    found["cupy"] = cupy.__version__
    for package in ("gpures", "numpy", "scipy", "astropy", "gwcs", "stcal", "drizzle"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


# ---- in order --------------------------------------------------------------------------------------------------------


class Figures:
    """What has been measured, in a file from the first figure on."""

    def __init__(self, path: Path):
        self.path = path
        self.values: dict[str, dict] = {}
        self.failed = False

    def measure(self, case: str, part: str, function: Callable, *arguments: Any, **keywords: Any) -> dict:
        """Put what a function gives, or why it fails, under a case and a part of it; give it back."""
        start = time.perf_counter()
        try:
            value = function(*arguments, **keywords)
        except Exception as error:
            traceback.print_exc()
            self.failed = True
            value = {"error": f"{type(error).__name__}: {error}"}
        self.put(case, part, value)
        print(f"{case} {part}: {time.perf_counter() - start:.1f} s", flush=True)
        return value

    def put(self, case: str, part: str, value: dict) -> None:
        """Put something into the file."""
        self.values.setdefault(case, {})[part] = value
        with written(self.path, overwrite=True) as file:
            file.write(json.dumps(self.values).encode())


def target(value: float, least: float) -> dict:
    """A figure and what it is to be."""
    return {"value": value, "target": least, "reached": bool(value >= least)}


def targets(case: dict, ceilings: dict) -> dict:
    """Those figures of a case for which there is a target, as far as they were measured."""
    found = {}
    reference = case.get("stcal", {}).get("per_exposure_s")
    for part in ("add_model", "add_models"):
        seconds = case.get(part, {}).get("per_exposure_s")
        if reference and seconds:
            found[f"{part}_times_stcal"] = target(reference / seconds, TIMES_STCAL)
    rate, pinned = case.get("transfer", {}).get("bytes_per_s"), ceilings.get("pinned", {}).get("bytes_per_s")
    if rate and pinned:
        found["upload_over_pinned_rate"] = target(rate / pinned, OF_PINNED_RATE)
    if "floor_over_measured" in case.get("kernels", {}):
        found["kernels_floor_over_measured"] = target(case["kernels"]["floor_over_measured"], OF_FLOOR)
    return found


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes
    ----------
    sides : (int, int)
        Sides of the exposures, small and large.
    models : (int, int)
        Different exposures of each size.
    kernels : tuple of str
        Kernels; those beyond the first at the smaller size only.
    exposures, rounds : int
        Exposures timed on the device, and how often.
    cpu_exposures : int
        Those timed on the backend "cpu".
    stcal_exposures : (int, int)
        Those timed with stcal at each size; not one takes less than seconds.
    many : int
        Exposures in a row that must not make the device's memory grow.
    small : int
        Side of these.
    copied_bytes : int
        Bytes copied within the device, many times what its cache holds; an eighth of it is copied from the host.
    """

    sides: tuple[int, int] = (SMALL, LARGE)
    models: tuple[int, int] = (6, 4)
    kernels: tuple[str, ...] = KERNELS
    exposures: int = 24
    rounds: int = 3
    cpu_exposures: int = 8
    stcal_exposures: tuple[int, int] = (2, 1)
    many: int = 500
    small: int = 256
    copied_bytes: int = 2048 * MIB


FULL = Plan()
QUICK = Plan(exposures=20, rounds=1, cpu_exposures=4, stcal_exposures=(1, 0), many=200)

# As little as is all of it: for a rehearsal.
TINY = Plan((40, 48), (3, 2), ("square", "turbo"), 1, 1, 1, (1, 0), 2, 24, 100_000)


def all_figures(figures: Figures, plan: Plan) -> None:
    """Measure everything: what needs the GPU first, then what it is compared with, the slowest last."""
    cupy = import_cupy()
    measure, exposures = figures.measure, plan.exposures
    ceilings = figures.values.setdefault("ceilings", {})
    size = min(plan.copied_bytes, memory_info(cupy)[0] // 8)
    rate = measure("ceilings", "device", copy_rate, cupy, size, 10).get("bytes_per_s", float("nan"))
    measure("ceilings", "pinned", pinned_rate, cupy, size // 8, 10)

    def on_gpu(name: str, case: Case, rounds: int) -> None:
        measure(name, "add_model", end_to_end, case, exposures, rounds)
        measure(name, "kernels", kernels, case, exposures, rate, size // 4)
        measure(name, "deterministic", kernels, case, exposures, rate, size // 4, deterministic=True)
        measure(name, "single", kernels, case, exposures, rate, size // 4, precision="single")

    def in_detail(name: str, case: Case) -> None:
        on_gpu(name, case, plan.rounds)
        measure(name, "add_models", end_to_end, case, exposures, plan.rounds, together=True)
        measure(name, "transfer", transfer, case, exposures)
        measure(name, "host", host_parts, case, exposures)
        # The copies on the device are made, and let go, in there.
        measure(name, "device_arrays", lambda: end_to_end(on_the_device(cupy, case), exposures, plan.rounds))

    def on_host(name: str, case: Case, of_stcal: int, warm_up: int) -> None:
        measure(name, "cpu", one_by_one, case, plan.cpu_exposures, 1, backend="cpu")
        if of_stcal:
            measure(name, "stcal", stcal_seconds, case, of_stcal, warm_up)
        figures.put(name, "targets", targets(figures.values[name], ceilings))

    def scene(size: int) -> Case:
        shape = plan.sides[size], plan.sides[size]
        models = [make_model(k, shape) for k in range(plan.models[size])]
        return Case(plan.kernels[0], models, frame_wcs(shape))

    case = scene(0)
    threads = measure("ceilings", "staging", lambda: {"threads": staging_threads(case)}).get("threads", 1)
    counts = sorted({1, 2, threads, thread_count()})
    measure("ceilings", "host_copy", host_copy_rate, cupy, size // 8, counts, 5)
    name = f"{case.kernel}_{plan.sides[0]}"
    in_detail(name, case)
    measure(name, "accuracy", accuracy, Case(case.kernel, case.models[:3], case.frame))
    measure("start", "construction", constructions, *[True] * (plan == TINY))
    measure("many", "memory", memory, (plan.small, plan.small), plan.many)
    on_host(name, case, plan.stcal_exposures[0], 1)
    for kernel in plan.kernels[1:]:
        name, case = f"{kernel}_{plan.sides[0]}", Case(kernel, case.models, case.frame)
        on_gpu(name, case, 1)
        on_host(name, case, 0, 0)

    del case  # room for the next
    case = scene(1)
    name = f"{case.kernel}_{plan.sides[1]}"
    in_detail(name, case)
    on_host(name, case, plan.stcal_exposures[1], 0)


def main() -> int:
    """Do one thing and write what it gives; 0 if all of it succeeded."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("versions", "small-mosaic", "construction", "figures"))
    parser.add_argument("out", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--tiny", action="store_true", help="as little as is all of it")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.what == "figures":
        figures = Figures(options.out)
        all_figures(figures, TINY if options.tiny else QUICK if options.quick else FULL)
        return 1 if figures.failed else 0
    side, little = (TINY.sides[0], ((24, 28), ("square",))) if options.tiny else (SMALL, ())
    one = {
        "versions": versions,
        "small-mosaic": lambda: small_mosaic(*little),
        "construction": lambda: construction((side, side)),
    }
    options.out.write_text(json.dumps(one[options.what]()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
