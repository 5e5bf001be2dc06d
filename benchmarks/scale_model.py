r"""Prediction, not a measurement: a mosaic that workers make (docs/scale.rst), by a simulation of its graph of tasks.

    python benchmarks/scale_model.py [--out benchmarks/results/scale_model.json]

The graph is that of gpures/mosaicking/distributed.py: batches of exposures added to tiles, parts merged two by two,
tiles written. Tiles are those of the code, and so are bytes per pixel. Rates that ``gpures bench`` has measured on a
CPU are taken from benchmarks/results/cpu.json; those of `ASSUMED` are assumptions.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from gpures.backend.base import BITS_PER_PLANE, MosaicLayout
from gpures.bench.machine import commit
from gpures.box import Box
from gpures.mosaicking.distributed import batch_of, tree
from gpures.mosaicking.plan import OF_WORKER
from gpures.mosaicking.tiling import GRAIN, tiles_of

RESULTS = Path(__file__).with_name("results")
OUT = RESULTS / "scale_model.json"

# Nobody has measured these: name, value, unit, why.
ASSUMED = (
    ("read_worker", 2e9, "bytes/s", "one process reads a file that is not packed"),
    ("read_node", 10e9, "bytes/s", "all processes of a node read from a parallel file system"),
    ("read_shared", 100e9, "bytes/s", "the file system gives to all nodes together"),
    ("write_worker", 0.5e9, "bytes/s", "one process packs and writes chunks of zarr"),
    ("write_node", 5e9, "bytes/s", "all processes of a node write"),
    ("write_shared", 50e9, "bytes/s", "the file system takes from all nodes together"),
    ("comm_worker", 1.5e9, "bytes/s", "one process of dask sends or receives over TCP"),
    ("network_node", 25e9, "bytes/s", "the network of a node, each way"),
    ("scheduler_s", 1e-3, "s", "a task in the scheduler of dask: 'about 1ms', https://distributed.dask.org/en/latest/"),
    ("gpus_of_node", 8, "", "GPUs, and workers, of a node with GPUs"),
    ("gpu_node_memory", 2.0**40, "bytes", "memory of such a node, which dask-cuda shares out to its workers"),
    ("gpu_memory", 80e9, "bytes", "memory of a GPU"),
    ("gpu_memory_rate", 2e12, "bytes/s", "that memory, read and written"),
    ("gpu_bus", 25e9, "bytes/s", "between a GPU and the memory of its node"),
    ("cores_of_node", 64, "", "cores of a node without GPUs"),
    ("workers_of_node", 8, "", "workers of such a node, each with a task at a time and an eighth of the cores"),
    ("cpu_node_memory", 2.0**39, "bytes", "memory of such a node"),
)

SIDE = 100_000  # of the frame, pixels
DETECTOR = 4088  # of an exposure
POINTINGS, DITHERS = 25, 4  # along each axis
ARRAYS_READ = 5  # float32 and uint32 of an exposure: data, flags, three variances
IMAGES_WRITTEN = 6  # float32 of a mosaic: data, weight, error, three variances
VARIANCES = ("var_rnoise", "var_poisson", "var_flat")
NUMBER = 4  # bytes of each of them

# Planes of the context of parts: of the tile's exposures, as the code has them; of all exposures, which it had before;
# none (enable_ctx=False).
CONTEXTS = ("own", "all", "none")


def measured(report: dict[str, Any]) -> dict[str, float]:
    """Rates out of a report of ``gpures bench``; `SOURCES` says where they stand in it."""
    by_name = {key: {row["name"]: row for row in report[key]} for key in ("cases", "limits", "threads")}
    roman, memory = by_name["cases"]["Roman, own scale"], by_name["limits"]["memory, bytes"]
    stages, pixels, threads = roman["stages_s"], math.prod(roman["shape"]), report["about"]["threads"]
    one, two = (by_name["threads"][name]["splat_s"] for name in ("1 thread", "2 threads"))
    standard = math.prod(by_name["cases"]["square, 2100"]["shape"])
    return {
        "host_s": stages["pixel map"] + stages["read"] + stages["other"],
        "pass_core_s": (stages["splat"] + stages["fold"]) * threads / pixels,
        "second_thread": one / (2 * two),
        "copy_rate": memory["per_s"] / memory["threads"],
        "least_bytes": memory["amount"] / standard,
        "over_limit": memory["splat_over_limit"],
        "finish_s": roman["finalize_s"] / math.prod(roman["frame"]),
    }


SOURCES = {
    "host_s": "cases, Roman, own scale: stages_s of pixel map, read, other. Per exposure and tile, also beside a GPU",
    "pass_core_s": "cases, Roman, own scale: stages_s of splat and fold. Per pixel of the tile, of a core",
    "second_thread": "threads: what each of two threads is worth. Taken for any number of cores",
    "copy_rate": "limits, memory: bytes read and written per second, of a thread",
    "least_bytes": "limits, memory: bytes of a pass per pixel",
    "over_limit": "limits, memory: time of a pass in that of its bytes. Taken for a GPU's as well",
    "finish_s": "cases, Roman, own scale: finalize_s. Per pixel",
}


@dataclass(frozen=True)
class Rates:
    """What workers can do: bytes and seconds."""

    read_worker: float
    read_node: float
    read_shared: float
    write_worker: float
    write_node: float
    write_shared: float
    comm_worker: float
    network_node: float
    scheduler_s: float
    host_s: float  # per exposure and tile
    pass_s: float  # per pixel of an exposure in a tile
    finish_s: float  # per pixel of a tile
    memory_rate: float  # where the accumulators are
    bus: float  # from there to the memory of the node
    memory: float  # of the node, per worker
    device_memory: float  # where the accumulators are, per worker
    clears: bool  # whether each part takes the memory of a whole tile
    workers_of_node: int


def rates_of(kind: str, report: dict[str, Any]) -> Rates:
    """Rates of nodes with GPUs ("gpu") or without ("cpu")."""
    a, m = {name: value for name, value, *_ in ASSUMED}, measured(report)
    shared = {name: a[name] for name in Rates.__annotations__ if name in a and name != "workers_of_node"}
    shared |= {"host_s": m["host_s"], "finish_s": m["finish_s"]}
    if kind == "gpu":
        memory, count = a["gpu_memory_rate"], a["gpus_of_node"]
        return Rates(
            **shared,
            pass_s=m["least_bytes"] * m["over_limit"] / memory,
            memory_rate=memory,
            bus=a["gpu_bus"],
            memory=a["gpu_node_memory"] / count,
            device_memory=a["gpu_memory"],
            clears=True,
            workers_of_node=count,
        )
    count = a["workers_of_node"]
    return Rates(
        **shared,
        pass_s=m["pass_core_s"] / (a["cores_of_node"] / count * m["second_thread"]),
        memory_rate=m["copy_rate"],
        bus=math.inf,
        memory=a["cpu_node_memory"] / count,
        device_memory=a["cpu_node_memory"] / count,
        clears=False,
        workers_of_node=count,
    )


# ---- the graph -------------------------------------------------------------------------------------------------------


def survey(side: int = SIDE, detector: int = DETECTOR, seed: int = 0, order: str = "pointing") -> list[Box]:
    """Where exposures lie: a grid of pointings, each dithered, with a little jitter.

    Parameters
    ----------
    side, detector : int
        Of the frame and of an exposure, pixels.
    seed : int
        Of the jitter.
    order : str
        "pointing": all dithers of a pointing one after another; "dither": all pointings of a dither.
    """
    draw, pitch = random.Random(seed), side / POINTINGS
    grid, dithers = list(np.ndindex(POINTINGS, POINTINGS)), list(np.ndindex(DITHERS, DITHERS))
    pairs = itertools.product(grid, dithers)
    if order == "dither":
        pairs = ((pointing, dither) for dither, pointing in itertools.product(dithers, grid))

    def first(pointing: int, dither: int) -> int:
        step = pitch / 16
        middle = (pointing + 0.5) * pitch + (dither - (DITHERS - 1) / 2) * step + draw.uniform(-0.25, 0.25) * step
        return round(middle - detector / 2)

    corners = [(first(px, dx), first(py, dy)) for (py, px), (dy, dx) in pairs]
    return [Box(x, x + detector - 1, y, y + detector - 1) for x, y in corners]


def area(box: Box) -> int:
    """Pixels of a box."""
    return max(0, box.xmax - box.xmin + 1) * max(0, box.ymax - box.ymin + 1)


@dataclass
class Problem:
    """A mosaic.

    Attributes
    ----------
    side : int
        Of the frame, pixels.
    exposures : list of Box
        Where they lie in it, and beyond.
    context : str
        One of `CONTEXTS`.
    batch : int or None
        Exposures that a task adds, where tiles and workers do not decide.
    tile_pixels : float or None
        Pixels of a tile, where the workers do not decide.
    reads_once : bool
        Whether an exposure is read by one worker, from whom others have it, which is not built.
    reads_ahead : bool
        Whether a task reads an exposure while it adds the one before, which is not built.
    """

    side: int
    exposures: list[Box]
    context: str = "own"
    batch: int | None = None
    tile_pixels: float | None = None
    reads_once: bool = False
    reads_ahead: bool = False

    def __post_init__(self) -> None:
        self._corners = np.array(self.exposures)

    @property
    def exposure_bytes(self) -> int:
        """What is read of an exposure."""
        return ARRAYS_READ * NUMBER * area(self.exposures[0])

    def per_pixel(self, planes: int) -> int:
        """Bytes of an output pixel in a worker's memory, with so many planes of context."""
        return MosaicLayout((1, 1), variance_names=VARIANCES, context_planes=planes).bytes

    def reaching(self, tile: Box) -> list[int]:
        """Numbers of the exposures that reach a tile."""
        xmin, xmax, ymin, ymax = self._corners.T
        meets = (xmin <= tile.xmax) & (xmax >= tile.xmin) & (ymin <= tile.ymax) & (ymax >= tile.ymin)
        return np.flatnonzero(meets).tolist()

    def cut(self, tasks: int, memory: float) -> tuple[list[Box], int]:
        """Tiles for so many tasks at a time with so much memory each, and planes of the context."""
        planes = {"all": _planes(len(self.exposures)), "own": 1, "none": 0}[self.context]
        while True:
            pixels = self.tile_pixels
            if pixels is None:
                pixels = min(self.side**2 / tasks, memory * OF_WORKER / self.per_pixel(planes))
            tiles = tiles_of((self.side, self.side), max(pixels, GRAIN**2))
            if self.context != "own":
                return tiles, planes
            needed = max(_planes(len(self.reaching(tile))) for tile in tiles)
            if needed <= planes:
                return tiles, planes
            planes = needed  # of which tiles may be smaller


def _planes(exposures: int) -> int:
    return -(-exposures // BITS_PER_PLANE)


@dataclass
class Task:
    """A task: of "add", "merge", and "write", which adds all exposures of a tile or merges its parts."""

    number: int
    name: str
    kind: str
    tile: int
    sources: list[int] = field(default_factory=list)
    needs: list[int] = field(default_factory=list)


def graph(numbers: Sequence[Sequence[int]], batch: int) -> list[Task]:
    """Tasks of tiles that these exposures reach, in the order in which they are submitted."""
    tasks: list[Task] = []

    def submit(kind: str, name: str, **more: Any) -> int:
        tasks.append(Task(len(tasks), name, kind, k, **more))
        return len(tasks) - 1

    def add(chosen: Sequence[int], name: str) -> int:
        return submit("add", name, sources=list(chosen))

    def merge(*pair: int, name: str) -> int:
        return submit("merge", name, needs=list(pair))

    def write(chosen: Sequence[int], *parts: int, name: str) -> int:
        return submit("write", name, sources=list(chosen), needs=list(parts))

    for k, chosen in enumerate(numbers):
        if chosen:
            tree(k, chosen, batch, add, merge, write)
    return tasks


# ---- the simulation --------------------------------------------------------------------------------------------------


@dataclass
class Server:
    """Something that serves one after another: a disk, a network."""

    free: float = 0.0
    busy: float = 0.0

    def take(self, now: float, seconds: float) -> float:
        """When it is done with something that comes now."""
        self.free = max(now, self.free) + seconds
        self.busy += seconds
        return self.free


@dataclass
class Part:
    """What some exposures are in a tile, at a worker."""

    box: Box
    sources: list[int]
    worker: int


class Simulation:
    """Workers that do the tasks of a mosaic.

    A task goes through the scheduler when all it needs is there; the one that was submitted first goes first. Any
    worker adds; who has the larger part fetches the other and merges them, and who has the last part writes it.

    Parameters
    ----------
    problem : Problem
        The mosaic.
    rates : Rates
        What workers can do.
    workers : int
        Their number.
    """

    def __init__(self, problem: Problem, rates: Rates, workers: int):
        self.problem, self.rates, self.workers = problem, rates, workers
        self.tiles, self.planes = problem.cut(workers, rates.memory)
        self.numbers = [problem.reaching(tile) for tile in self.tiles]
        counts = [len(chosen) for chosen in self.numbers if chosen]
        self.tasks = graph(self.numbers, problem.batch or batch_of(counts, workers))
        self.layout_bytes = problem.per_pixel(self.planes)
        self.part_bytes = self.layout_bytes - NUMBER  # the error is made in the end
        self.nodes = -(-workers // rates.workers_of_node)
        self.servers = {
            name: [Server() for _ in range(count)]
            for name, count in (
                *(("read_worker", workers), ("read_node", self.nodes), ("read_shared", 1)),
                *(("comm_worker", workers), ("network_node", self.nodes)),
                *(("write_worker", workers), ("write_node", self.nodes), ("write_shared", 1)),
            )
        }
        self.bytes = dict.fromkeys(("read", "moved", "moved_between_nodes", "merged", "written"), 0)
        self.seconds = dict.fromkeys(("host", "bus", "pass", "memory", "finish"), 0.0)
        self.scheduled = 0.0
        self.parts: dict[int, Part] = {}
        self.written: dict[int, list[int]] = {}
        self.held, self.most_held = [0] * workers, 0
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[..., None], tuple]] = []
        self._count = itertools.count()
        self._waiting = [len(task.needs) for task in self.tasks]
        self._needed_by = {need: task.number for task in self.tasks for need in task.needs}
        self._at_scheduler: list[int] = []
        self._is_scheduling = False
        self._for_all: list[int] = []
        self._for_one: list[list[int]] = [[] for _ in range(workers)]
        self._idle = list(range(workers))
        self._is_idle = [True] * workers
        self._readers: dict[int, int] = {}

    # ---- tasks and workers

    def run(self) -> Simulation:
        """Do all tasks."""
        for task in self.tasks:
            if not task.needs:
                heapq.heappush(self._at_scheduler, task.number)
        self._schedule()
        while self._events:
            self.now, _, then, arguments = heapq.heappop(self._events)
            then(*arguments)
        return self

    def _at(self, time: float, then: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (time, next(self._count), then, arguments))

    def _schedule(self) -> None:
        if self._is_scheduling or not self._at_scheduler:
            return
        self._is_scheduling = True
        self.scheduled += self.rates.scheduler_s
        self._at(self.now + self.rates.scheduler_s, self._assign, heapq.heappop(self._at_scheduler))

    def _assign(self, number: int) -> None:
        self._is_scheduling = False
        task = self.tasks[number]
        if task.needs:
            worker = max((self.parts[need] for need in task.needs), key=lambda part: area(part.box)).worker
            heapq.heappush(self._for_one[worker], number)
            if self._is_idle[worker]:
                self._begin(worker)
        else:
            heapq.heappush(self._for_all, number)
            while self._idle:
                worker = heapq.heappop(self._idle)
                if self._is_idle[worker]:
                    self._begin(worker)
                    break
        self._schedule()

    def _begin(self, worker: int) -> None:
        queue = self._for_one[worker] or self._for_all
        if not queue:
            if not self._is_idle[worker]:
                heapq.heappush(self._idle, worker)
            self._is_idle[worker] = True
            return
        self._is_idle[worker] = False
        task = self.tasks[heapq.heappop(queue)]
        self._go_on(
            task, worker, {"add": self._add, "merge": self._merge, "write": self._write}[task.kind](task, worker)
        )

    def _go_on(self, task: Task, worker: int, steps: Iterator[float]) -> None:
        time = next(steps, None)
        if time is not None:
            self._at(time, self._go_on, task, worker, steps)
            return
        if (later := self._needed_by.get(task.number)) is not None:
            self._waiting[later] -= 1
            if self._waiting[later] == 0:
                heapq.heappush(self._at_scheduler, later)
                self._schedule()
        self._begin(worker)

    # ---- what tasks do: each step ends at the time that it yields

    def _add(self, task: Task, worker: int) -> Iterator[float]:
        tile, size = self.tiles[task.tile], self.problem.exposure_bytes
        inside = [self.problem.exposures[number].common(tile) for number in task.sources]
        part = Part(reduce(Box.united, inside), task.sources, worker)
        self._hold(worker, self._takes(part, tile))
        if self.rates.clears:
            yield self._spend(memory=self.layout_bytes * area(tile) / self.rates.memory_rate)
        is_read = self._read(task.sources[0], worker)
        for box, following in itertools.zip_longest(inside, task.sources[1:]):
            yield max(is_read, self.now)
            if self.problem.reads_ahead and following is not None:
                is_read = self._read(following, worker)
            passes = area(box) * self.rates.pass_s
            yield self._spend(**{"host": self.rates.host_s, "bus": size / self.rates.bus, "pass": passes})
            if not self.problem.reads_ahead and following is not None:
                is_read = self._read(following, worker)
        self.parts[task.number] = part

    def _read(self, number: int, worker: int) -> float:
        size = self.problem.exposure_bytes
        if self.problem.reads_once and number in self._readers:
            reader = self._readers[number]
            return self.now if reader == worker else self._move(size, reader, worker)
        self._readers[number] = worker
        self.bytes["read"] += size
        return self._take("read", worker, size)

    def _merge(self, task: Task, worker: int) -> Iterator[float]:
        one, other = (self.parts.pop(need) for need in task.needs)
        tile = self.tiles[task.tile]
        for part in (one, other):
            if part.worker != worker:
                size = area(part.box) * self.part_bytes
                yield self._move(size, part.worker, worker)
                # Copied when it is sent and again when it is put to its place, and through the buses of two GPUs.
                yield self._spend(bus=2 * size / self.rates.bus, memory=4 * size / self.rates.memory_rate)
        both = Part(one.box.united(other.box), one.sources + other.sources, worker)
        # A copy of the one, which is two, and the other added to it, whose context is only looked at.
        merged = area(other.box) * self.part_bytes
        copied = 4 * area(one.box) * self.part_bytes + merged
        copied += 2 * area(other.box) * (self.part_bytes - NUMBER * self.planes)
        self.bytes["merged"] += merged
        moved = sum(self._takes(part, tile) for part in (one, other) if part.worker != worker)
        self._hold(worker, self._takes(both, tile), moved)
        yield self._spend(memory=copied / self.rates.memory_rate)
        for part in (one, other):
            self.held[part.worker] -= self._takes(part, tile)
        self.parts[task.number] = both

    def _write(self, task: Task, worker: int) -> Iterator[float]:
        yield from self._merge(task, worker) if task.needs else self._add(task, worker)
        part, tile = self.parts.pop(task.number), self.tiles[task.tile]
        written = self.bytes_of_file(tile, part.sources)
        self._hold(worker, 0, 2 * self._takes(part, tile))
        copies = 4 * area(part.box) * self.part_bytes / self.rates.memory_rate
        images = (IMAGES_WRITTEN + self.planes) * NUMBER * area(tile)
        finish = area(tile) * self.rates.finish_s
        yield self._spend(memory=copies, bus=images / self.rates.bus, finish=finish)
        self.bytes["written"] += written
        yield self._take("write", worker, written)
        self.held[part.worker] -= self._takes(part, tile)
        self.written[task.tile] = part.sources

    def bytes_of_file(self, tile: Box, sources: Sequence[int]) -> int:
        """What a tile takes in the file, not packed: images, and chunks of context that an exposure is in."""
        if not self.planes:
            return IMAGES_WRITTEN * NUMBER * area(tile)
        chunks = set()
        for source in sources:
            box, plane = self.problem.exposures[source].common(tile), source // BITS_PER_PLANE
            rows, columns = (range(a // GRAIN, b // GRAIN + 1) for a, b in ((box.ymin, box.ymax), (box.xmin, box.xmax)))
            chunks |= {(plane, y, x) for y in rows for x in columns}
        edge = Box.whole((self.problem.side, self.problem.side))
        of_chunks = sum(
            area(Box(x * GRAIN, (x + 1) * GRAIN - 1, y * GRAIN, (y + 1) * GRAIN - 1).common(edge)) for _, y, x in chunks
        )
        return NUMBER * (IMAGES_WRITTEN * area(tile) + of_chunks)

    # ---- what that takes

    def _spend(self, **seconds: float) -> float:
        """When a worker is done that spends so much on what only it needs."""
        for name, each in seconds.items():
            self.seconds[name] += each
        return self.now + sum(seconds.values())

    def _take(self, what: str, worker: int, size: float) -> float:
        """When bytes are read or written, through a worker, its node, and what all share, at the same time."""
        places = {"worker": worker, "node": worker // self.rates.workers_of_node, "shared": 0}
        return max(
            self.servers[f"{what}_{name}"][k].take(self.now, size / getattr(self.rates, f"{what}_{name}"))
            for name, k in places.items()
        )

    def _move(self, size: float, one: int, other: int) -> float:
        """When bytes of a worker are at another."""
        self.bytes["moved"] += size
        nodes = [worker // self.rates.workers_of_node for worker in (one, other)]
        taken = [self.servers["comm_worker"][k].take(self.now, size / self.rates.comm_worker) for k in (one, other)]
        if nodes[0] != nodes[1]:
            self.bytes["moved_between_nodes"] += size
            each = size / self.rates.network_node
            taken += [self.servers["network_node"][k].take(self.now, each) for k in nodes]
        return max(taken)

    def _takes(self, part: Part, tile: Box) -> int:
        """Memory of a part, where the accumulators are."""
        return self.layout_bytes * area(tile) if self.rates.clears else self.part_bytes * area(part.box)

    def _hold(self, worker: int, size: int, besides: int = 0) -> None:
        """Have a part in a worker's memory, and for a while something besides."""
        self.held[worker] += size
        self.most_held = max(self.most_held, self.held[worker] + besides + self.problem.exposure_bytes)

    # ---- what is told

    def row(self) -> dict[str, Any]:
        """What is told of it; `busy` are fractions of the time."""
        busy = {name: sum(s.busy for s in servers) / len(servers) for name, servers in self.servers.items()}
        busy |= {name: seconds / self.workers for name, seconds in self.seconds.items()} | {"scheduler": self.scheduled}
        busy = {name: seconds / self.now for name, seconds in busy.items()}
        tile = self.tiles[0]
        return {
            "workers": self.workers,
            "nodes": self.nodes,
            "tiles": len(self.tiles),
            "tile": [tile.ymax - tile.ymin + 1, tile.xmax - tile.xmin + 1],
            "planes": self.planes,
            "tasks": {kind: sum(task.kind == kind for task in self.tasks) for kind in ("add", "merge", "write")},
            "exposures_added": sum(map(len, self.numbers)),
            "bytes": self.bytes,
            "most_held_bytes": self.most_held,
            "fits": self.most_held <= self.rates.device_memory,
            "seconds": self.now,
            "busy": busy,
            "limited_by": max(busy, key=lambda name: busy[name]),
        }


# ---- what is asked ---------------------------------------------------------------------------------------------------

TABLE = (
    ("1 GPU", "gpu", 1),
    ("8 GPUs", "gpu", 8),
    ("64 GPUs", "gpu", 64),
    ("1 CPU node", "cpu", 1),
    ("64 CPU nodes", "cpu", 64),
)
NUMBERS = tuple(2**k for k in range(9))
WHOLE = 10**9  # exposures of a batch, so that there is one for each tile
BATCHES = (1, 2, 4, 8, 16, 32, 64, WHOLE)
SIDES = (2048, 3072, 4096, 6144, 8192, 12288, 16384, 24576)

# Another doubling that makes it less than this much faster is one too many.
WORTH_IT = 1.5


def predicted(problem: Problem, kind: str, units: int, report: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Row of so many GPUs, or nodes without, for a mosaic that is made otherwise as `changes` say."""
    rates = rates_of(kind, report)
    workers = units * (1 if kind == "gpu" else rates.workers_of_node)
    return {"kind": kind, "units": units} | Simulation(replace(problem, **changes), rates, workers).run().row()


def stops_at(rows: Sequence[dict[str, Any]]) -> int | None:
    """The last number of a scan whose doubling from half is worth it; None if all are."""
    for before, after in itertools.pairwise(rows):
        if before["seconds"] < WORTH_IT * after["seconds"]:
            return before["units"]
    return None


def ways(kind: str) -> dict[str, dict[str, Any]]:
    """What could be done otherwise, with 64 GPUs or nodes."""
    side = {"gpu": 16384, "cpu": 8192}[kind]
    none = {"context": "none"}
    return {
        "as it is": {},
        "4 exposures a task": {"batch": 4},
        "whole tiles a task": {"batch": WHOLE},
        "context: planes of all exposures": {"context": "all"},
        "no context": none,
        "no context, 4 exposures a task": none | {"batch": 4},
        "no context, whole tiles a task": none | {"batch": WHOLE},
        f"no context, tiles of {side}": none | {"tile_pixels": side**2},
        f"no context, tiles of {side}, reading ahead": none | {"tile_pixels": side**2, "reads_ahead": True},
        "no context, each exposure read once": none | {"reads_once": True},
        "no context, reading ahead": none | {"reads_ahead": True},
        "no context, reading ahead, read once": none | {"reads_ahead": True, "reads_once": True},
        "no context, dither by dither": none | {"exposures": survey(order="dither")},
    }


def report_of(problem: Problem, report: dict[str, Any], numbers: Sequence[int] = NUMBERS) -> dict[str, Any]:
    """All of it, as the JSON has it."""
    found: dict[str, Any] = {"rates": {"assumed": ASSUMED, "measured": measured(report), "sources": SOURCES}}
    found["table"] = [
        {"name": name, "context": context} | predicted(problem, kind, units, report, context=context)
        for context in ("own", "none")
        for name, kind, units in TABLE
    ]
    found["workers"] = []
    for context, kind in itertools.product(("own", "none"), ("gpu", "cpu")):
        rows = [predicted(problem, kind, units, report, context=context) for units in numbers]
        found["workers"].append({"context": context, "kind": kind, "stops_at": stops_at(rows), "rows": rows})
    for name, key, values in (("batch", "batch", BATCHES), ("tile", "tile_pixels", [side**2 for side in SIDES])):
        found[name] = [
            {key: value, "context": context} | predicted(problem, kind, 64, report, context=context, **{key: value})
            for context, kind in itertools.product(("own", "none"), ("gpu", "cpu"))
            for value in values
        ]
    found["ways"] = [
        {"name": name} | predicted(problem, kind, 64, report, **changes)
        for kind in ("gpu", "cpu")
        for name, changes in ways(kind).items()
    ]
    return found


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The table and the ways, as text."""
    yield "Predicted, not measured."
    yield f"{'':44} {'tiles':>6} {'read':>8} {'moved':>8} {'merged':>8} {'written':>8} TB {'hours':>8}  limited by"
    rows = [(f"{row['name']}, context: {row['context']}", row) for row in found["table"]]
    for name, row in rows + [(f"{row['kind']}: {row['name']}", row) for row in found["ways"]]:
        sizes = " ".join(f"{row['bytes'][key] / 1e12:8.3g}" for key in ("read", "moved", "merged", "written"))
        limit = f"{row['limited_by']} ({row['busy'][row['limited_by']]:.0%})"
        fits = "" if row["fits"] else "; does not fit in memory"
        yield f"{name:44} {row['tiles']:6} {sizes}    {row['seconds'] / 3600:8.3g}  {limit}{fits}"
    for scan in found["workers"]:
        yield f"{scan['kind']}, context {scan['context']}: stops at {scan['stops_at']}"


def main() -> None:
    """Predict, say it, and write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--out", type=Path, default=OUT, help="JSON for all figures (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the pointings' jitter")
    arguments = parser.parse_args()
    told = {"date": time.strftime("%Y-%m-%d"), "commit": commit(RESULTS.resolve()), "seed": arguments.seed}
    problem = Problem(SIDE, survey(seed=arguments.seed))
    found = report_of(problem, json.loads((RESULTS / "cpu.json").read_text()))
    arguments.out.write_text(json.dumps({"predicted": told} | found, indent=1) + "\n")
    print("\n".join(lines(found)))


if __name__ == "__main__":
    main()
