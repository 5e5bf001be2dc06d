"""Large mosaics: tiles, workers, saving and merging, each beside what it can be at best; and their memory."""

from __future__ import annotations

import copy
import math
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from astropy.io import fits

from gpures import Resample, mosaic
from gpures.bench import scenes
from gpures.bench.cases import ERROR
from gpures.bench.interleaved import add
from gpures.bench.memory import in_child, peak
from gpures.bench.plan import Jobs, Plan
from gpures.box import Box
from gpures.errors import MissingDependencyError
from gpures.extras import install
from gpures.machine.memory import used_memory
from gpures.machine.threads import thread_count
from gpures.mosaicking.plan import OF_PROCESS, OF_TILE, make_plan

__all__ = ["jobs", "peak_of", "ratio_row"]

# Exposures lie in so many columns, and as many rows, of a frame that they fill; in fewer where even a few of them have
# one in each place, as those that are many then write to no other part of the frame.
ACROSS, FEWER_ACROSS = 6, 5

# What is left over for a tile, of the memory that it is given, so that there are as many as are asked for.
SPARE = 1.4

# A mosaic of exposures that are few, and of so many times as many.
MANY = 10


@dataclass(frozen=True)
class Files:
    """Exposures in files, and a frame that they fill.

    Attributes
    ----------
    folder : pathlib.Path
        Where they are.
    side, frame_side : int
        Sides of the exposures and of the frame.
    count : int
        How many they are.
    backend : str
        That of their mosaics.
    across : int
        In how many columns, and rows, they lie.
    """

    folder: Path
    side: int
    frame_side: int
    count: int
    backend: str
    across: int = ACROSS

    def paths(self) -> list[Path]:
        """The files, which are made when they are asked for first."""
        self.folder.mkdir(exist_ok=True)
        found = [self.folder / f"exposure_{k}.fits" for k in range(self.count)]
        for k, path in enumerate(found):
            if not path.exists():
                _write(path, k, (self.side, self.side), _place(k, self.across, self.side, self.frame_side))
        return found

    @property
    def options(self) -> dict[str, Any]:
        """Options of a mosaic of them."""
        frame = _frame(self.side, self.frame_side)
        return {"output_wcs": frame, "backend": self.backend, "progress": None, "overwrite": True}


def _place(number: int, across: int, side: int, frame_side: int) -> tuple[float, float]:
    """Where an exposure lies, pixels from the middle of the frame; those of one place are moved a little."""
    step = (frame_side - side) / max(1, across - 1)
    row, column = divmod(number % across**2, across)
    moved = 3.3 * (number // across**2 % 5)
    return (column - 0.5 * (across - 1)) * step + moved, (row - 0.5 * (across - 1)) * step - moved


def _frame(side: int, frame_side: int) -> Any:
    shape = side, side
    return scenes.frame_along(scenes.exposure_wcs(0, shape), shape, (frame_side, frame_side))


def _write(path: Path, number: int, shape: tuple[int, int], place: tuple[float, float]) -> None:
    """Write an exposure as a FITS file with its flags, errors and variances."""
    model = scenes.make_model(number, shape, scenes.placed_wcs(place, shape))
    header = scenes.placed_header(place, shape)
    header.update({"BUNIT": "MJy/sr", "EXPTIME": 100.0, "MJD-OBS": 60000.0 + 0.01 * number})
    header["PIXAR_SR"] = model["pixelarea_steradians"]
    hdus = [fits.PrimaryHDU(model["data"], header)]
    hdus += [fits.ImageHDU(model[name], name=name.upper()) for name in ("dq", "err", *scenes.VARIANCES)]
    fits.HDUList(hdus).writeto(path)


# ---- rows ------------------------------------------------------------------------------------------------------------


def ratio_row(
    pairs: Sequence[tuple[float, float]], target: float | None = None, at_least: bool = False, unit: str = "s"
) -> dict[str, Any]:
    """A row of the report: the median of ratios.

    Parameters
    ----------
    pairs : sequence of (float, float)
        What was measured, and beside it, in each turn.
    target : float, optional
        What the ratio is to be, at most.
    at_least : bool, optional
        Or at least.
    unit : {"s", "bytes"}, optional
        Of what was measured.
    """
    ratio = statistics.median(one / other for one, other in pairs)
    return {
        "unit": unit,
        "amount": statistics.median(one for one, _ in pairs),
        "beside": statistics.median(other for _, other in pairs),
        "ratio": ratio,
        "target": target,
        "at_least": at_least,
        "reached": None if target is None else bool(ratio >= target if at_least else ratio <= target),
        "all": [list(pair) for pair in pairs],
    }


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def jobs(plan: Plan) -> Jobs:
    """All of it; of the backend "cpu" alone, whose memory and threads these are about."""
    if plan.backend != "cpu":
        return
    with TemporaryDirectory(prefix="gpures-bench-") as name:
        folder = Path(name)
        files = Files(folder / "large", plan.tiled_exposure_side, plan.tiled_side, plan.tiled_exposures, plan.backend)
        yield "tiles, FITS", lambda: _tiles(plan, files, ".fits")
        yield "tiles, zarr", lambda: _tiles(plan, files, ".zarr")
        yield "save", lambda: _save(plan, folder)
        yield "merge", lambda: _merge(plan)
        yield "workers", lambda: _workers(plan, files)
        yield "memory of exposures", lambda: _memory_of_many(plan, folder)
        yield "memory of tiles", lambda: _memory_of_tiles(plan, files)


# ---- tiles -----------------------------------------------------------------------------------------------------------


def _limit(files: Files, output: Path, tiles: int) -> int:
    """Limit of memory under which a mosaic is made in so many tiles."""
    whole = make_plan(files.paths(), output, **files.options)
    of_tile = SPARE * whole.frame.bytes / tiles / OF_TILE
    return int(used_memory() + OF_PROCESS + whole.waiting_bytes + of_tile)


def _made(files: Files, output: Path, tiles: int, **options: Any) -> None:
    """Make a mosaic in so many tiles; 1 is in one piece."""
    made = mosaic(files.paths(), output, **files.options | options)
    if (count := len(made.plan.tiles) or 1) != tiles:
        raise RuntimeError(f"The mosaic was made in {count} tiles, and {tiles} were asked for.")


def _tiles(plan: Plan, files: Files, suffix: str) -> list[dict[str, Any]]:
    """Seconds of a mosaic in tiles over those in one piece."""
    output = files.folder.with_name(f"tiles{suffix}")

    def seconds(tiles: int) -> float:
        limit = _limit(files, output, tiles) if tiles > 1 else None
        return _seconds(lambda: _made(files, output, tiles, memory_limit=limit))

    seconds(1)
    turns = [[seconds(tiles) for tiles in (1, *plan.tiles)] for _ in range(plan.repeats)]
    _remove(output)
    kind = {".fits": "FITS"}.get(suffix, "zarr")
    return [
        {"name": f"{kind}, {tiles} tiles / one piece"} | ratio_row([(turn[1 + k], turn[0]) for turn in turns], 1.25)
        for k, tiles in enumerate(plan.tiles)
    ]


def _remove(output: Path) -> None:
    if output.is_dir():
        shutil.rmtree(output)
    else:
        output.unlink()


# ---- saving and merging ----------------------------------------------------------------------------------------------


def _placed_model(number: int, across: int, side: int, frame_side: int) -> dict[str, Any]:
    shape = side, side
    return scenes.make_model(number, shape, scenes.placed_wcs(_place(number, across, side, frame_side), shape))


def _save(plan: Plan, folder: Path) -> list[dict[str, Any]]:
    """Seconds of saving a mosaic, beside those of its arrays written with zarr alone; and of saving it once more."""
    side, frame_side = plan.side, plan.save_side
    across = -(-frame_side // side)
    count = across**2
    options: dict[str, Any] = {"backend": plan.backend, "n_input_models": count + plan.repeats, **ERROR}
    resample = Resample({"wcs": _frame(side, frame_side)}, **options)
    for k in range(count):
        resample.add_model(_placed_model(k, across, side, frame_side))
    saved, again = [], []
    for k in range(count, count + plan.repeats):
        checkpoint, alone = folder / "saved", folder / "alone"
        whole = _seconds(lambda checkpoint=checkpoint: resample.save(checkpoint))  # type: ignore[misc]
        images = resample._accumulators.part(Box.whole((frame_side, frame_side))).images
        saved.append((whole, _seconds(lambda alone=alone, images=images: _write_alone(alone, images))))  # type: ignore[misc]
        del images
        add(resample, [_placed_model(k, across, side, frame_side)], 0, 1)
        again.append((_seconds(lambda checkpoint=checkpoint: resample.save(checkpoint)), whole))  # type: ignore[misc]
        shutil.rmtree(checkpoint)
        shutil.rmtree(alone)
    return [{"name": "save / zarr alone"} | ratio_row(saved, 2.0), {"name": "save 1 more / save"} | ratio_row(again)]


def _write_alone(folder: Path, images: dict[str, Any]) -> None:
    """Write images with zarr, in the chunks and with the codec of a checkpoint; nothing waits for the disk."""
    import zarr
    from zarr.codecs import BloscCodec

    from gpures.resample.checkpoint import CHUNK, CODEC

    group = zarr.create_group(folder, zarr_format=3)
    for name, image in images.items():
        if image.ndim > 1:
            chunks = (*(1 for _ in image.shape[:-2]), *(min(CHUNK, size) for size in image.shape[-2:]))
            array = group.create_array(
                name, shape=image.shape, chunks=chunks, dtype=image.dtype, compressors=[BloscCodec(**CODEC)]
            )
            array[...] = image


def _merge(plan: Plan) -> list[dict[str, Any]]:
    """Seconds of ``a += b``, of as many bytes by as many threads, over those of a merge."""
    side = plan.merge_side
    options: dict[str, Any] = {"backend": plan.backend, "n_input_models": 1, **ERROR}
    parts = [Resample({"wcs": _frame(side, side)}, **options) for _ in range(2)]
    for k, part in enumerate(parts):
        part.add_model(scenes.make_model(k, (side, side)))
    held = parts[1]._accumulators
    size = sum(image.nbytes for image in held.part(held.touched).images.values())
    threads = thread_count()
    a, b = (np.ones(size // 4, np.float32) for _ in range(2))
    shares = list(zip(np.array_split(a, threads), np.array_split(b, threads), strict=True))
    pairs = []
    with ThreadPoolExecutor(threads) as pool:

        def added() -> None:
            list(pool.map(lambda share: np.add(share[0], share[1], out=share[0]), shares))

        added()
        for _ in range(1 + plan.repeats):
            into = copy.copy(parts[0])
            pairs.append((_seconds(added), _seconds(lambda into=into: into.merge(parts[1]))))  # type: ignore[misc]
    return [{"name": "a += b / merge", "bytes": size, "threads": threads} | ratio_row(pairs[1:], 0.5, at_least=True)]


# ---- workers ---------------------------------------------------------------------------------------------------------


@contextmanager
def cluster(workers: int) -> Iterator[Any]:
    """A client of workers of dask, of one thread each.

    Raises
    ------
    MissingDependencyError
        dask.distributed is not installed.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise MissingDependencyError(f"Workers need dask.distributed: {install('dask')}.") from error
    one_thread = {"threads_per_worker": 1, "env": {"GPURES_NUM_THREADS": "1"}}
    with (
        LocalCluster(n_workers=workers, dashboard_address=None, **one_thread) as made,
        Client(made) as client,
    ):
        client.wait_for_workers(workers, timeout=60)
        yield client


def _workers(plan: Plan, files: Files) -> list[dict[str, Any]]:
    """Seconds of one worker over those of two, and of two over those of this process."""
    output = files.folder.with_name("workers.zarr")
    with cluster(1) as one, cluster(2) as two:

        def seconds(client: Any) -> float:
            return _seconds(lambda: mosaic(files.paths(), output, client=client, **files.options))

        turns = [[seconds(client) for client in (one, two, None)] for _ in range(1 + plan.repeats)][1:]
    _remove(output)
    return [
        {"name": "1 worker / 2 workers"} | ratio_row([(turn[0], turn[1]) for turn in turns], 1.7, at_least=True),
        {"name": "2 workers / no workers"} | ratio_row([(turn[1], turn[2]) for turn in turns], 1.3),
    ]


# ---- memory ----------------------------------------------------------------------------------------------------------


def peak_of(files: Files, count: int, tiles: int = 1, **options: Any) -> tuple[int, int | None]:
    """Most memory of this process when it has made a mosaic, and the limit that it had.

    Parameters
    ----------
    files : Files
        The exposures.
    count : int
        How many of them are in it.
    tiles : int, optional
        Its tiles; 1 is in one piece, without a limit.
    **options
        Of `gpures.mosaic`.
    """
    first = replace(files, count=count)
    output = files.folder / "memory.fits"
    limit = _limit(first, output, tiles) if tiles > 1 else None
    _made(first, output, tiles, memory_limit=limit, **options)
    return peak(), limit


def _memory_of_many(plan: Plan, folder: Path) -> list[dict[str, Any]]:
    """Memory of many exposures over that of few; the context image has a plane for 32 of them."""
    count = plan.many_exposures
    across = min(FEWER_ACROSS, math.isqrt(count // MANY))
    files = Files(folder / "many", plan.many_side, plan.many_frame_side, count, plan.backend, across)
    files.paths()
    rows = []
    for with_context, target in ((False, 1.05), (True, None)):
        many, few = (in_child(_peak_of_some, files, each, with_context) for each in (count, count // MANY))
        name = f"memory, {count} / {count // MANY}{', context' if with_context else ''}"
        rows.append({"name": name} | ratio_row([(many, few)], target, unit="bytes"))
    return rows


def _peak_of_some(files: Files, count: int, enable_ctx: bool) -> int:
    return peak_of(files, count, enable_ctx=enable_ctx)[0]


def _memory_of_tiles(plan: Plan, files: Files) -> list[dict[str, Any]]:
    """Memory of a mosaic in tiles over its limit."""
    files.paths()
    rows = []
    for tiles in plan.tiles:
        most, limit = in_child(peak_of, files, files.count, tiles)
        rows.append({"name": f"memory, {tiles} tiles / limit"} | ratio_row([(most, limit)], 1.0, unit="bytes"))
    return rows
