"""A mosaic that is made tile by tile, for each of which those exposures are read that reach it."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np

from gpures.arguments.arrays import as_host
from gpures.backend.base import Accumulators, MosaicLayout, copies_in_frame, largest_drop, usual_drop
from gpures.backend.choice import make_accumulators
from gpures.backend.pairs import check_reach, too_short
from gpures.box import Box
from gpures.exposure.exposure import Exposure
from gpures.exposure.input_model import InputModel
from gpures.exposure.options import MADE_AT_THE_END
from gpures.exposure.pixmap import PixelMap
from gpures.exposure.weights import Weight
from gpures.io.empty_planes import empty_planes
from gpures.io.exposures import ExposureRecord
from gpures.io.lags import split
from gpures.machine.prefetch import prefetched
from gpures.mosaicking.content import idle_exposures, pixels_with_data, resampler_of
from gpures.mosaicking.plan import Plan
from gpures.mosaicking.sources import Source
from gpures.mosaicking.stream import Stream
from gpures.reporting.timing import stage
from gpures.resample.resampler import MODEL_ERRORS, Resample
from gpures.resample.resuming import variance_weights, weights_to_keep
from gpures.resample.times import GroupTimes, times_of

__all__ = ["Settled", "TileByTile", "Tiled", "Told", "resampler_in_tiles", "seen_in"]

log = logging.getLogger(__name__)

# What a mosaic with covariances tells beside its images.
OF_PAIRS = ("covariance_lags", "covariance_reach")

# Bytes of a pixel map that is kept, and how many of them are.
SMALL, MOST_SMALL = 1 << 19, 64


@dataclass(frozen=True)
class Settled:
    """What all exposures of a mosaic settle, whichever of them reach a tile.

    Attributes
    ----------
    ratio : float or None
        Pixel scale ratio.
    reach : int
        Longest lag of pairs of output pixels that exposures contribute to, where there are covariances.
    noise : tuple of str
        Variance arrays that covariances and noise factors are made of, where they are.
    """

    ratio: float | None = None
    reach: int = 0
    noise: tuple[str, ...] = ()


class TileByTile(Resample):
    """A resampler that accumulates one tile of its frame after the other, and counts each exposure once."""

    _tile = Box(0, 0, 0, 0)
    _number = 0
    _numbers: Sequence[int] = ()
    _settled = Settled()

    #: Whether the sums of the weights of variances follow from the images, so that the mosaic can be gone on with.
    tells_weights = True

    _times: dict[int, GroupTimes]

    def __init__(self, *args: Any, **options: Any):
        self._times = {}
        super().__init__(*args, **options)
        self._variances_had = tuple(self.variance_array_names)  # in any tile: those that exposures offer

    def _layout(self, n_input_models: int | None) -> MosaicLayout:
        layout = super()._layout(n_input_models)
        if layout.all_lags:
            layout = replace(layout, max_lag=self._settled.reach, all_lags=False)
        return layout.of_part(layout.with_border(self._tile))

    def settle(self, settled: Settled) -> None:
        """Have what all exposures of the mosaic settle, before a tile is begun."""
        self._settled, self._pixel_scale_ratio = settled, settled.ratio
        self._reach_of_pairs = settled.reach

    def _noise_had(self) -> list[str]:
        return list(self._settled.noise)

    def _defer_images(self) -> None:
        """Nobody looks at what is not finished."""

    def times(self, number: int) -> GroupTimes:
        """What of an exposure that was added is counted."""
        return self._times[number]

    def accumulated(self) -> Accumulators:
        """What is accumulated in the tile."""
        return self._accumulators

    def go_on_with(self, accumulators: Accumulators) -> None:
        """Have what others have accumulated in the tile in place of what is there."""
        self._drop_accumulators()
        self._accumulators = accumulators

    def begin(self, tile: Box, numbers: Sequence[int]) -> None:
        """Begin a tile, to which these exposures will be added, whose numbers grow: its context has bits of them."""
        self._tile, self._numbers = tile, numbers
        self._drop_accumulators()
        layout, options = self._layout(max(1, len(numbers))), self._options
        self._accumulators = make_accumulators(self._backend, layout, options.device, options.to_host)
        self._accumulators.expect(lambda: [(0, layout.shape[0])])  # it has the memory for all of it

    def add(self, number: int, model: Mapping[str, Any], pixmap: PixelMap | None) -> None:
        """Add an exposure, of this number in the mosaic, to the tile."""
        self._number = number
        self._add(model, pixmap)

    def _checked_exposure(self, model: Mapping[str, Any], pixmap: PixelMap | None = None) -> Exposure:
        checked = super()._checked_exposure(model, pixmap)
        checked.context_id = bisect_left(self._numbers, self._number)
        return checked

    def _count(self, model: InputModel, checked: Exposure) -> None:
        if self._number not in self._times:
            super()._count(model, checked)
            self._times[self._number] = times_of(model)

    def settle_ratio(self, model: Mapping[str, Any]) -> None:
        """Take the pixel scale ratio from the first model of the mosaic, whichever tile that is in."""
        self._compute_pixel_scale_ratio(model)

    def reach_of(self, source: Source) -> tuple[list[Box], int]:
        """Parts of the frame that an exposure may contribute to, and how far pairs reach, if there are covariances."""
        pixmap = self._pixmap({"wcs": source.wcs, "data": np.broadcast_to(np.float32(0), source.shape)})
        limits = Box.whole(source.shape)
        ratio = self._kernel_scale_ratio(self._pixel_scale_ratio, pixmap, limits)
        pixfrac = self._options.pixfrac
        exposure = Exposure(None, pixmap, Weight(), limits, pixfrac=pixfrac, pixel_scale_ratio=ratio)
        copies, _ = copies_in_frame(exposure, self._options.drop, self._output_array_shape)
        reach, covariance = 0, self._options.covariance
        if covariance is True:
            reach = largest_drop(exposure, self._options.drop, self._output_array_shape)
            check_reach(reach)
        elif covariance is not False:
            reach = usual_drop(exposure, self._options.drop, self._output_array_shape)
        return [part for *_, part in copies], reach

    def _count_pairs(self, exposure: Exposure) -> None:
        """All of them are settled."""

    def finished(self) -> dict[str, Any]:
        """Images of the tile, as `finalize` makes them of a whole mosaic."""
        images: Any = dict(self._images())
        weights = variance_weights(self)
        try:
            with self._accumulators.whole():
                self._finish(images)
        finally:
            self._finalized = False
        empty = empty_planes(images)
        there = {name: image for name, image in images.items() if name not in empty}
        self.tells_weights = self.tells_weights and not weights_to_keep(self, there, weights)
        layout = self._accumulators.layout
        inner = self._tile.moved(-layout.part.xmin, -layout.part.ymin)
        own = {name: images[name] for name in self._output_model if name in images and name not in OF_PAIRS}
        own, _ = split(own, images)
        return {name: image[inner.slices] for name, image in own.items()}

    def facts(self, times: Sequence[GroupTimes]) -> dict[str, Any]:
        """What is known of the mosaic beside its images, by the times of its exposures in their order."""
        images = {*self._accumulated_keys(), *self._variance_names(), "err", *MADE_AT_THE_END}
        self._drop_accumulators()
        self._group_ids, self._group_times, self._output_model["pointings"] = [], [], 0
        self._n_res_models = len(times)
        self.init_time_counters()
        for each in times:
            self._count_group(each)
        self.finalize_time_info()
        if self._options.covariance is not False:
            self._output_model["covariance_reach"] = self._settled.reach
        return {name: value for name, value in self._output_model.items() if name not in images}


def resampler_in_tiles(names: Sequence[str], flag_names: Mapping[str, int] | None) -> type[TileByTile]:
    """Class that accumulates tiles of a mosaic with these variances, and names of flags."""
    return cast(type[TileByTile], resampler_of(names, flag_names, TileByTile))


@dataclass(frozen=True)
class Told:
    """What is known of an exposure that has been looked at.

    Attributes
    ----------
    record : gpures.io.exposures.ExposureRecord or None
        None where it is left out.
    times : dict
        What of it is counted.
    pixels : int
        Its number of pixels.
    digests : sequence of (str, str)
        By what it is known again.
    why : str
        Why it is left out.
    """

    record: ExposureRecord | None
    times: GroupTimes = field(default_factory=dict)
    pixels: int = 0
    digests: Sequence[tuple[str, str]] = ()
    why: str = ""


@dataclass
class _Shelf:
    """Models that are read when they are needed, and kept as long as there is room and a tile to come needs them.

    Attributes
    ----------
    stream : Stream
        Where they come from.
    sources : sequence of Source
        The exposures.
    room : int
        Bytes that may be kept.
    uses : list of list of int
        Of each exposure the tiles that need it.
    """

    stream: Stream
    sources: Sequence[Source]
    room: int
    uses: list[list[int]]
    kept: OrderedDict[int, Mapping[str, Any]] = field(default_factory=OrderedDict)
    taken: dict[int, int] = field(default_factory=dict)  # numbers under which the stream has handed them on
    left_out: set[int] = field(default_factory=set)

    def model(self, number: int, tile: int) -> Mapping[str, Any] | None:
        """Model of an exposure, for a tile; None where it is left out."""
        if number in self.left_out:
            return None
        model = self.kept.pop(number, None)
        if model is None:
            model = self._read(number)
        if model is None:
            self.left_out.add(number)
        elif any(later > tile for later in self.uses[number]):
            self._keep(number, model, tile)
        return model

    def _read(self, number: int) -> Mapping[str, Any] | None:
        if number not in self.taken:
            model = self.stream.taken(self.sources[number])
            if model is not None:
                self.taken[number] = len(self.taken)
            return model
        try:
            return self.stream.read_again(self.taken[number])
        except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
            self.stream.on_error(self.taken[number], error)
            return None

    def _keep(self, number: int, model: Mapping[str, Any], tile: int) -> None:
        """Keep a model, in the place of those that are needed later than it."""
        self.kept[number] = model
        while sum(map(_bytes_of, self.kept.values())) > self.room:
            del self.kept[max(self.kept, key=lambda each: min(t for t in [*self.uses[each], 1 << 60] if t > tile))]

    def leave_out(self, number: int, error: Exception) -> None:
        """Leave out an exposure that can't be added, or say which it is."""
        self.stream.on_error(self.taken[number], error)
        self.left_out.add(number)
        self.kept.pop(number, None)


def _bytes_of(model: Mapping[str, Any]) -> int:
    return sum(value.nbytes for value in model.values() if hasattr(value, "nbytes"))


class Tiled:
    """A mosaic of a plan with tiles.

    Parameters
    ----------
    plan : gpures.mosaicking.plan.Plan
        With tiles.
    stream : Stream
        Where exposures come from.

    Attributes
    ----------
    blank : dict
        Of each image a pixel in which nothing is.
    told : dict
        What is known of exposures that have been looked at, by their numbers in the plan.
    numbers : list of int
        Those that are in it.
    data_pixels : int
        Pixels that have data.
    idle : set of int
        Exposures of which no pixel has anything.
    tells_weights : bool
        Whether the mosaic can be gone on with: see `TileByTile`.
    settled : Settled
        What all exposures settle.
    """

    def __init__(self, plan: Plan, stream: Stream):
        assert isinstance(plan.sources, Sequence)
        self._plan, self._sources, self._stream = plan, plan.sources, stream
        resampler = resampler_in_tiles(plan.frame.variance_names, plan.flag_names)
        self._resample = resampler(plan.output_wcs, **plan.options.chosen())
        uses: list[list[int]] = [[] for _ in self._sources]
        self._shelf = _Shelf(stream, self._sources, plan.shelf_bytes, uses)
        self._settle_ratio()
        noise = self._settled_noise()
        with stage("pixel map"):
            reaches = [self._resample.reach_of(source) for source in self._sources]
        reach, covariance = max((reach for _, reach in reaches), default=0), plan.options.covariance
        self.settled = Settled(self._resample.pixel_scale_ratio, reach, noise)
        self._resample.settle(self.settled)
        layout = replace(plan.frame, planned_lag=reach if covariance is True else 0)
        if type(covariance) is int and covariance < reach:
            log.warning(too_short(covariance, reach))
        tiles = np.array([layout.with_border(tile) for tile in plan.tiles])
        for number, (parts, _) in enumerate(reaches):
            uses[number] += np.flatnonzero(_meet(tiles, parts)).tolist()
        self.blank = self._blank()
        self._pixmaps: dict[int, PixelMap] = {}  # the last ones used
        self.told: dict[int, Told] = {}
        self.data_pixels = 0
        self.idle = set(range(len(self._sources)))
        self.tells_weights = True

    def _settle_ratio(self) -> None:
        """Have the pixel scale ratio of the first exposure that is used, as where there are no tiles."""
        for number in range(len(self._sources)):
            if self._resample.pixel_scale_ratio is not None:
                return
            if (model := self._shelf.model(number, -1)) is not None:
                self._resample.settle_ratio(model)
                return

    def _settled_noise(self) -> tuple[str, ...]:
        """Variance arrays that the noise is made of, which are those of the first exposure that is used."""
        names = self._plan.frame.noise_names
        kinds = [tuple(name for name in names if name in source.sizes) for source in self._sources]
        if len(set(kinds)) > 1:
            kinds = [kind for k, kind in enumerate(kinds) if self._shelf.model(k, -1) is not None]
        return kinds[0] if kinds else ()

    def _blank(self) -> dict[str, Any]:
        self._resample.begin(Box(0, 0, 0, 0), ())
        return {name: as_host(image)[..., 0, 0].reshape(-1)[0] for name, image in self._resample.finished().items()}

    def tiles(self, show: Callable[[int], Any]) -> Iterator[tuple[Box, list[int], dict[str, Any]]]:
        """Tiles, exposures that reach them, and their images, one after another; no images where nothing is.

        Parameters
        ----------
        show : callable
            Gets the number of exposures that have been added, each as often as it reaches a tile.
        """
        done = 0
        for k, tile in enumerate(self._plan.tiles):
            if chosen := self.numbers_in(k):
                self._resample.begin(tile, chosen)
                for _ in self._added(chosen, k):
                    done += 1
                    show(done)
                images = self._resample.finished()
                with stage("counting"):
                    seen = seen_in(images, chosen)
                    self.note({}, pixels_with_data(images["wht"]), seen, self._resample.tells_weights)
                yield tile, chosen, images
                del images
            else:
                yield tile, [], {}

    def numbers_in(self, tile: int) -> list[int]:
        """Exposures that reach a tile, by its number."""
        return [number for number, uses in enumerate(self._shelf.uses) if tile in uses]

    def note(self, told: Mapping[int, Told], data_pixels: int, seen: Collection[int], tells_weights: bool) -> None:
        """Note what a tile tells; the arguments are attributes."""
        self.told |= told
        self.data_pixels += data_pixels
        self.idle -= set(seen)
        self.tells_weights = self.tells_weights and tells_weights

    @property
    def total(self) -> int:
        """How often an exposure will be added to a tile."""
        return sum(map(len, self._shelf.uses))

    def _added(self, chosen: Sequence[int], tile: int) -> Iterator[int]:
        """Add exposures to a tile: while one is added, the next one is read."""
        models = ((number, self._shelf.model(number, tile)) for number in chosen)
        for (number, model), pixmap in prefetched(models, self._pixmap_ahead):
            if model is not None and number not in self._shelf.left_out:
                try:
                    self._resample.add(number, model, pixmap)
                except MODEL_ERRORS as error:
                    self._shelf.leave_out(number, error)
            del model
            yield number

    def _pixmap_ahead(self, item: tuple[int, Mapping[str, Any] | None]) -> PixelMap | None:
        """Pixel map of an exposure, which is kept for the next tile where it is small."""
        number, model = item
        if model is None:
            return None
        pixmap = self._pixmaps.pop(number, None) or self._resample._pixmap_ahead(model)
        if pixmap is not None and sum(array.nbytes for array in pixmap.arrays().values()) <= SMALL:
            self._pixmaps[number] = pixmap
            while len(self._pixmaps) > MOST_SMALL:
                del self._pixmaps[next(iter(self._pixmaps))]
        return pixmap

    def count_others(self) -> None:
        """Count exposures that reach no tile, as where there are none: they have times."""
        others = [number for number, uses in enumerate(self._shelf.uses) if not uses]
        self._resample.begin(Box(0, 0, 0, 0), others)
        for _ in self._added(others, len(self._plan.tiles)):
            pass
        for number, taken in self._shelf.taken.items():
            if number not in self._shelf.left_out and number in self._resample._times:
                ny, nx = self._sources[number].shape
                record, times = self._stream.record(taken), self._resample.times(number)
                self.told.setdefault(number, Told(record, times, ny * nx))

    @property
    def numbers(self) -> list[int]:  # noqa: D102
        return sorted(number for number, told in self.told.items() if told.record is not None)

    @property
    def records(self) -> list[ExposureRecord]:
        """What is known of each of them."""
        return [record for number in self.numbers if (record := self.told[number].record) is not None]

    @property
    def headers(self) -> list[Mapping[str, Any]]:
        """What the headers of their files say."""
        return [self._sources[number].header for number in self.numbers]

    @property
    def pixels(self) -> int:
        """Of all of them."""
        return sum(told.pixels for told in self.told.values())

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Exposures that were left out, and why."""
        left_out = [(number, told.why) for number, told in sorted(self.told.items()) if told.record is None]
        told = [(self._sources[number].name, why) for number, why in left_out]
        return list(dict.fromkeys([*self._stream.skipped, *told]))

    @property
    def backend(self) -> str:
        """Name of the backend in use."""
        return self._resample.backend

    def facts(self) -> dict[str, Any]:
        """What is known of the mosaic beside its images."""
        return self._resample.facts([self.told[number].times for number in self.numbers])


def seen_in(images: Mapping[str, Any], numbers: Sequence[int]) -> Sequence[int]:
    """Those of the exposures of a tile of which its images have something; all where nobody knows."""
    if images.get("con") is None:
        return numbers
    idle = {numbers[k] for k in idle_exposures(images["con"], len(numbers))}
    return [number for number in numbers if number not in idle]


def _meet(tiles: np.ndarray, parts: Sequence[Box]) -> np.ndarray:
    """Which of many tiles, a row each, have a pixel in common with any of some parts."""
    meets = np.zeros(len(tiles), bool)
    for xmin, xmax, ymin, ymax in parts:
        meets |= (tiles[:, 0] <= xmax) & (tiles[:, 1] >= xmin) & (tiles[:, 2] <= ymax) & (tiles[:, 3] >= ymin)
    return meets
