"""A mosaic that the workers of dask make: of each tile, parts of a few exposures, merged in a tree and written.

Tasks are pure: what a worker that dies has done another one does again, to the same end, as each part of the store is
written as a whole. What each knows of exposures and times travels with the parts.
"""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

from gpures.box import Box
from gpures.exposure.options import Options
from gpures.io.zarr_overviews import Overview, by_threads
from gpures.mosaicking.content import content_of, pixels_with_data
from gpures.mosaicking.plan import Plan
from gpures.mosaicking.scale import Scales
from gpures.mosaicking.sources import Source
from gpures.mosaicking.stores import Store, write_tile
from gpures.mosaicking.stream import Stream
from gpures.mosaicking.tiled import Settled, TileByTile, Tiled, Told, resampler_in_tiles, seen_in
from gpures.mosaicking.twice import alike
from gpures.mosaicking.workers import each_by_workers, results, share, tasks_by_host
from gpures.resample.resampler import MODEL_ERRORS

__all__ = ["Distributed", "batch_of", "overview_by_workers", "tree"]

log = logging.getLogger(__name__)

# Exposures that a task adds: at least, or merging would take longer than adding, and at most, as a worker that dies has
# done them for nothing.
FEWEST, MOST = 4, 32

# How many more than its share of them a worker may add in one task, as parts have to be merged.
MORE_THAN_SHARE = 1.25


@dataclass(frozen=True)
class Job:
    """What workers are told, once.

    Attributes
    ----------
    sources : list of Source
        The exposures.
    scales : Scales
        What they are multiplied by.
    arrays : frozenset of str
        Names of the arrays that are read.
    options : Options
        What the resampling is set to.
    variance_names : tuple of str
        Variances that are resampled.
    flag_names : dict or None
        Numbers of DQ flags.
    skip_bad : bool
        Whether exposures that can't be used are left out.
    output_wcs : dict
        The frame.
    settled : Settled
        What all exposures settle.
    alike : set of (str, str)
        Paths and names of exposures that may be the same as others.
    tasks_of_host : dict
        How many tasks are done at a time, by host.
    """

    sources: list[Source]
    scales: Scales
    arrays: frozenset[str]
    options: Options
    variance_names: tuple[str, ...]
    flag_names: Mapping[str, int] | None
    skip_bad: bool
    output_wcs: dict[str, Any]
    settled: Settled
    alike: set[tuple[str, str]]
    tasks_of_host: Mapping[str, int]

    def resampler(self) -> TileByTile:
        """A resampler, which has not begun a tile."""
        resample = resampler_in_tiles(self.variance_names, self.flag_names)(self.output_wcs, **self.options.chosen())
        resample.settle(self.settled)
        return resample


@dataclass(frozen=True)
class Tile:
    """A part of the frame.

    Attributes
    ----------
    box : Box
        Where it is.
    numbers : sequence of int
        Exposures that reach it, which have bits in its context.
    """

    box: Box
    numbers: Sequence[int]


@dataclass
class Part:
    """What some exposures are in a tile.

    Attributes
    ----------
    accumulators : Accumulators or None
        What is accumulated; None where nothing is.
    told : dict
        Of each exposure that has been looked at what is known: a record and its times, or why it is left out.
    """

    accumulators: Any
    told: dict[int, Told]


@dataclass(frozen=True)
class Written:
    """What a tile that was written tells.

    Attributes
    ----------
    told : dict
        As of `Part`.
    data_pixels : int
        Its pixels that have data.
    seen : sequence of int
        Exposures of which it has something.
    tells_weights : bool
        See `TileByTile`.
    """

    told: dict[int, Told]
    data_pixels: int
    seen: Sequence[int]
    tells_weights: bool


# ---- tasks -----------------------------------------------------------------------------------------------------------


def added(job: Job, tile: Tile, numbers: Sequence[int]) -> Part:
    """Add some exposures to a tile."""
    with share(job.tasks_of_host):
        return _added(job, tile, numbers)


def merged(job: Job, tile: Tile, one: Part, other: Part) -> Part:
    """Merge two parts of a tile, which are not changed."""
    with share(job.tasks_of_host):
        return _merged(tile, one, other)


def written(job: Job, tile: Tile, store: Store, numbers: Sequence[int], *parts: Part) -> Written:
    """Write a tile that has all its exposures: those of two parts, or else these, which are added."""
    with share(job.tasks_of_host):
        part = _merged(tile, *parts) if parts else _added(job, tile, numbers)
        told, accumulators = part.told, part.accumulators
        if any(accumulators is each.accumulators for each in parts):  # which may be needed again
            accumulators = accumulators and accumulators.copy()
        del part
        resample = job.resampler()
        resample.begin(tile.box, tile.numbers)
        if accumulators is not None:
            resample.go_on_with(accumulators)
            del accumulators
        images = resample.finished()
        write_tile(store, tile.box, images, tile.numbers)
        seen = seen_in(images, tile.numbers)
        return Written(told, pixels_with_data(images["wht"]), seen, resample.tells_weights)


def _added(job: Job, tile: Tile, numbers: Sequence[int]) -> Part:
    resample = job.resampler()
    resample.begin(tile.box, tile.numbers)
    content = partial(content_of, options=job.options, flag_names=job.flag_names)
    stream = Stream([], job.arrays, job.scales, job.skip_bad, content, alike_in=job.alike)
    told: dict[int, Told] = {}
    taken = 0
    for number in numbers:
        source = job.sources[number]
        model = stream.taken(source)
        if model is not None:
            taken += 1
            try:
                resample.add(number, model, None)
            except MODEL_ERRORS as error:
                stream.on_error(taken - 1, error)
                model = None
        if model is None:
            told[number] = Told(None, why=stream.skipped[-1][1])
        else:
            ny, nx = source.shape
            digests = stream.digests(taken - 1)
            told[number] = Told(stream.record(taken - 1), resample.times(number), ny * nx, digests)
        del model
    accumulators = resample.accumulated()
    return Part(accumulators if accumulators.passes else None, told)


def _merged(tile: Tile, one: Part, other: Part) -> Part:
    """A part of its own, but for one beside which the other has nothing."""
    told = one.told | other.told
    if one.accumulators is None or other.accumulators is None:
        return Part(other.accumulators if one.accumulators is None else one.accumulators, told)
    accumulators = one.accumulators.copy()
    accumulators.merge(other.accumulators, 0, len(tile.numbers))  # whose bits are those of the tile already
    return Part(accumulators, told)


# ---- who asks for it -------------------------------------------------------------------------------------------------


class Distributed:
    """A mosaic of a plan with tiles that the workers of a client make.

    Parameters
    ----------
    plan : gpures.mosaicking.plan.Plan
        With tiles.
    tiled : Tiled
        The same mosaic, of which nothing has been made.
    client : distributed.Client
        Of the workers.
    """

    def __init__(self, plan: Plan, tiled: Tiled, client: Any):
        assert isinstance(plan.sources, Sequence)
        self._plan, self._tiled, self._client = plan, tiled, client
        self._sources = list(plan.sources)
        self._tasks_of_host = tasks_by_host(client)

    def make(self, store: Store, show: Callable[[int], Any]) -> None:
        """Have all tiles made and written.

        Parameters
        ----------
        store : Store
            Where they go; workers write to it by themselves.
        show : callable
            Gets the number of tiles that are done.
        """
        tiles = {k: numbers for k in range(len(self._plan.tiles)) if (numbers := self._tiled.numbers_in(k))}
        left_out: dict[int, Told] = {}
        found: dict[int, Written] = {}
        while tiles:
            found |= self._made(tiles, store, show)
            told = {number: each for k in found for number, each in found[k].told.items()}
            again = self._twice(told)
            left_out |= again
            # Tiles in which an exposure is that is the same as another one, once more without it.
            tiles = {
                k: [number for number in self._tiled.numbers_in(k) if number not in left_out]
                for k in found
                if again.keys() & found[k].told.keys()
            }
        for each in found.values():
            self._tiled.note(each.told, each.data_pixels, each.seen, each.tells_weights)
        self._tiled.note(left_out, 0, (), True)

    def _twice(self, told: Mapping[int, Told]) -> dict[int, Told]:
        """Exposures that are the same as one before, which stream finds out where it has all of them."""
        first: dict[tuple[str, str], int] = {}
        found = {}
        for number in sorted(told):
            digests = told[number].digests
            if (before := next((first[digest] for digest in digests if digest in first), None)) is not None:
                source, other = self._sources[number], self._sources[before]
                why = f"{source.path}: {source.name} is the same as {other.path}: it is used once."
                log.warning("Skipped: %s", why)
                found[number] = Told(None, why=why)
            else:
                first |= dict.fromkeys(digests, number)
        return found

    def _made(self, tiles: Mapping[int, Sequence[int]], store: Store, show: Callable[[int], Any]) -> dict[int, Written]:
        """Have some tiles made of these exposures."""
        found: dict[int, Written] = {}
        for number, written in results(self._client, self._submitted(tiles, store)):
            found[list(tiles)[number]] = written
            show(len(found))
        return found

    def _job(self) -> Job:
        plan = self._plan
        return Job(
            sources=self._sources,
            scales=plan.scales,
            arrays=plan.arrays,
            options=replace(plan.options, backend=plan.asked_backend, to_host=True),
            variance_names=plan.frame.variance_names,
            flag_names=plan.flag_names,
            skip_bad=plan.skip_bad,
            output_wcs=plan.output_wcs,
            settled=self._tiled.settled,
            alike=alike(self._sources),
            tasks_of_host=self._tasks_of_host,
        )

    def _submitted(self, tiles: Mapping[int, Sequence[int]], store: Store) -> Iterator[Any]:
        """Futures of tiles: batches of exposures that are added, merged two by two, and written."""
        run = secrets.token_hex(4)

        def submit(work: Callable[..., Any], *arguments: Any, name: str) -> Any:
            return self._client.submit(work, *arguments, key=f"{name}-{run}", pure=False)

        # Tasks themselves, so that they are there again when all that had them have died.
        job, place = submit(_same, self._job(), name="plan"), submit(_same, store, name="store")
        batch = batch_of([len(numbers) for numbers in tiles.values()], self._tasks_of_host.total())
        for k, numbers in tiles.items():
            tile = Tile(self._plan.tiles[k], numbers)
            add, merge = partial(submit, added, job, tile), partial(submit, merged, job, tile)
            yield tree(k, numbers, batch, add, merge, partial(submit, written, job, tile, place))


def overview_by_workers(client: Any, overview: Overview, places: Sequence[tuple[slice, slice]]) -> None:
    """Have workers make places of an overview of a store: see `ZarrMosaic.finish`.

    Parameters
    ----------
    client : distributed.Client
        Of the workers.
    overview : Overview
        What is made.
    places : sequence of (slice, slice)
        Parts of it; one alone is made here.
    """
    if len(places) <= 1:
        by_threads(overview, places)
        return
    run = f"overview-{overview.smaller['data'].path.split('/')[1]}"
    work = [(overview.make, place) for place in places]
    for _ in each_by_workers(client, work, [f"{run}-part{k}" for k in range(len(work))]):
        pass


def batch_of(counts: Sequence[int], slots: int) -> int:
    """How many exposures a task adds, at most: as many as keep all workers at work, since parts have to be merged.

    Parameters
    ----------
    counts : sequence of int
        Exposures of each tile.
    slots : int
        Tasks that are done at a time.
    """
    return min(max(math.ceil(MORE_THAN_SHARE * sum(counts) / slots), FEWEST), MOST)


def tree(
    k: int,
    numbers: Sequence[int],
    batch: int,
    add: Callable[..., Any],
    merge: Callable[..., Any],
    write: Callable[..., Any],
) -> Any:
    """Have a tile made by one task, or of batches of exposures, whose parts are merged two by two.

    Parameters
    ----------
    k : int
        Number of the tile.
    numbers : sequence of int
        Those of its exposures, of which there are some.
    batch : int
        How many are added at a time, at most.
    add, merge : callable
        Get some of the numbers, or two parts, and the ``name`` of the task; return a part.
    write : callable
        Gets the numbers of all, which it adds, or none and the last two parts, which it merges; and a ``name``.

    Returns
    -------
    object
        What it returns.
    """
    pieces = max(1, -(-len(numbers) // batch))
    if pieces == 1:
        return write(numbers, name=f"write-tile{k}")
    firsts = [len(numbers) * piece // pieces for piece in range(pieces + 1)]
    parts = [add(numbers[first:end], name=f"add-tile{k}-from{first}") for first, end in pairwise(firsts)]
    level = 0
    while len(parts) > 2:
        level += 1
        pairs = [parts[first : first + 2] for first in range(0, len(parts), 2)]
        parts = [
            merge(*pair, name=f"merge-tile{k}-level{level}-{n}") if len(pair) == 2 else pair[0]
            for n, pair in enumerate(pairs)
        ]
    return write(numbers[:0], *parts, name=f"write-tile{k}")


def _same(thing: Any) -> Any:
    return thing
