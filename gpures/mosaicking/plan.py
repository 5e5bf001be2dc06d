"""What a mosaic will be, before an image is read: exposures, frame, options, backend, memory."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from gpures.backend.base import BITS_PER_PLANE, MosaicLayout
from gpures.backend.choice import why_unavailable
from gpures.backend.cuda.device import DeviceInfo, devices, selected
from gpures.box import Box
from gpures.exposure.options import Options
from gpures.io import FileError
from gpures.io.atomic import check_space
from gpures.io.flags import default_good_bits, names_for
from gpures.io.writer import is_zarr_name
from gpures.machine.memory import available_memory, used_memory
from gpures.mosaicking import tiling
from gpures.mosaicking.asked import asked_for
from gpures.mosaicking.cleaning_options import CleaningOptions
from gpures.mosaicking.content import with_content
from gpures.mosaicking.continuing import Begun, recorded
from gpures.mosaicking.destination import check_is_no_input, check_output
from gpures.mosaicking.lags import planned_lag
from gpures.mosaicking.one_scale import calibrated
from gpures.mosaicking.placement import OnTheSky, Placement
from gpures.mosaicking.reach import boxes
from gpures.mosaicking.scale import Scales
from gpures.mosaicking.sources import ModelSource, Source, entries_of, find, with_arrays
from gpures.mosaicking.tiling import tiles_of
from gpures.mosaicking.twice import once
from gpures.wcs.footprint import Footprint
from gpures.wcs.frame import farthest
from gpures.wcs.transforms import pixel_to_world

__all__ = ["Plan", "make_plan", "nothing_left", "words_of"]

log = logging.getLogger(__name__)

GIB = 2.0**30

# Models in memory at a time: one is added, and two wait or are read (`gpures.Resample.add_models`).
AT_A_TIME = 3

# Part of the memory that a tile may take; exposures that several tiles need have the rest.
OF_TILE = 0.6

# Part of a worker's memory that a tile may take: what is merged and made of it is beside it, and exposures.
OF_WORKER = 0.15

# Bytes that are kept for what is not counted, beside what the process has by now.
OF_PROCESS = 96 << 20

# Exposures so many times their own radius apart leave most of a frame between them empty.
APART = 10.0


@dataclass
class Plan:
    """What a mosaic will be.

    Attributes
    ----------
    sources : iterable of Source
        The exposures, in their order; an iterator where they come from a generator of models.
    total : int or None
        Their number, where it is known.
    output_wcs : dict
        As `gpures.Resample` takes it.
    options : Options
        What else it takes.
    arrays : frozenset of str
        Names of the arrays that are read.
    frame : gpures.backend.base.MosaicLayout
        What will be accumulated.
    backend : str
        "cuda", "cpu" or "drizzle".
    devices : tuple of int
        Numbers of the GPUs, where the backend is "cuda": each has accumulators of the whole frame.
    why_no_gpu : str or None
        Why the GPU is not used, where it would be if it could.
    pixel_scale : float
        Arcsec.
    rotation : float or None
        Position angle of +y at the tangent point, degrees; None where the output WCS was given.
    unit : str or None
        Of the data.
    scales : Scales
        What the values of the exposures are multiplied by.
    skipped : list of (str, str)
        Exposures and files that can't be used, and why.
    outside : list of str
        Exposures that do not reach the frame, and are not read.
    footprints : list of Footprint
        Of the exposures.
    flag_names : dict or None
        Numbers of DQ flags by name, where ``good_bits`` has names.
    path : pathlib.Path or None
        File for the mosaic.
    file_bytes : int
        What its pixels will take on the disk; 0 where that is not known.
    in_fits : gpures.io.fits_writer.WCSInFITS or None
        The output WCS as a FITS file has it.
    overwrite : bool
        Whether a file of that name may be replaced.
    skip_bad : bool
        Whether exposures that turn out to be of no use are left out.
    seconds : float
        Time that the plan took.
    call : str
        What was called, for the mosaic's history.
    told : dict
        What its file tells of the options that were asked for.
    begun : gpures.mosaicking.continuing.Begun or None
        The mosaic that is gone on with.
    checkpoint : pathlib.Path or None
        Folder in which the mosaic is saved while it is made.
    checkpoint_every : int
        After how many exposures.
    tiles : list of Box
        Parts of the frame that are made one after another; none where it is made as a whole.
    tile_planes : int or None
        Planes of the context that they have; None where there are none.
    shelf_bytes : int
        Memory for exposures that several tiles need.
    memory_limit : int or None
        Bytes of memory that may be used.
    asked_backend : str
        The backend that was asked for.
    cleaning : CleaningOptions
        Whether skies are matched and outliers left out; then each exposure is read twice.
    """

    sources: Iterable[Source] = field(repr=False)
    total: int | None
    output_wcs: dict[str, Any]
    options: Options
    arrays: frozenset[str]
    frame: MosaicLayout
    backend: str
    devices: tuple[int, ...]
    why_no_gpu: str | None
    pixel_scale: float
    scales: Scales
    rotation: float | None = None
    unit: str | None = None
    skipped: list[tuple[str, str]] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    footprints: list[Footprint] = field(default_factory=list, repr=False)
    flag_names: Mapping[str, int] | None = None
    path: Path | None = None
    file_bytes: int = 0
    in_fits: Any = field(default=None, repr=False)
    overwrite: bool = False
    skip_bad: bool = False
    seconds: float = 0.0
    call: str = ""
    told: dict[str, Any] = field(default_factory=dict)
    begun: Begun | None = field(default=None, repr=False)
    checkpoint: Path | None = None
    checkpoint_every: int = 10
    tiles: list[Box] = field(default_factory=list, repr=False)
    tile_planes: int | None = None
    shelf_bytes: int = 0
    memory_limit: int | None = None
    asked_backend: str = "auto"
    cleaning: CleaningOptions = field(default_factory=CleaningOptions)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (Ny, Nx) of the frame."""
        return self.frame.shape

    @property
    def centre(self) -> tuple[float, float]:
        """Right ascension and declination of the frame's middle, degrees."""
        middle = [np.array([0.5 * (n - 1)]) for n in self.shape[::-1]]
        lon, lat = pixel_to_world(self.output_wcs["wcs"])(*middle)[:2]
        return float(lon[0]) % 360.0, float(lat[0])

    @property
    def waiting_bytes(self) -> int:
        """Memory of the exposures that are held at a time."""
        if not isinstance(self.sources, Sequence):
            return 0
        sizes = [sum(size for name, size in source.sizes.items() if name in self.arrays) for source in self.sources]
        return sum(sorted(sizes)[-AT_A_TIME:])

    @property
    def stack_bytes(self) -> int:
        """Memory, or room on the disk, of exposures that are resampled by themselves."""
        if not self.cleaning.stacks or not isinstance(self.sources, Sequence):
            return 0
        ratio = min(self.output_wcs.get("pixel_scale_ratio") or 1.0, 1.0)  # larger pixels are too large
        return sum(int(4 * math.prod(source.shape) / ratio**2) for source in self.sources)

    @property
    def available(self) -> int | None:
        """Memory available for the frame: of the GPU with the least, where it lies there; None where nobody says."""
        if self.backend != "cuda":
            return available_memory()
        least = _fullest(self.devices)
        return None if least is None else least.free

    @property
    def tile_bytes(self) -> int:
        """Memory of the largest tile, or of the whole frame."""
        layout = self._layout
        sizes = [layout.of_part(layout.with_border(tile)).bytes for tile in self.tiles]
        return max(sizes, default=self.frame.bytes)

    @property
    def needed(self) -> int:
        """Memory that is needed where the frame lies."""
        if self.backend == "cuda":
            return self.tile_bytes
        if self.tiles:
            return self.tile_bytes + self.waiting_bytes + self.shelf_bytes
        of_begun = 0 if self.begun is None else self.frame.bytes  # which is read before others are
        return self.frame.bytes + max(self.waiting_bytes, of_begun)

    def cut(self) -> None:
        """Cut the frame into tiles, where it does not fit in memory as a whole, and can be written in parts.

        Raises
        ------
        ValueError
            It does not fit in the memory that may be used, and can't be written in parts.
        MemoryError
            That is too little for any tile.
        """
        room = self._room()
        if room is None or self.needed <= room:
            return
        if (why := self._why_whole()) is not None:
            if self.memory_limit is None:
                return  # `check_memory` says what is to be said
            raise ValueError(
                f"'memory_limit' is {self.memory_limit / GIB:.3g} GiB, of which {room / GIB:.3g} GiB are left for the "
                f"mosaic, which needs {self.needed / GIB:.3g} GiB and can't be made in tiles: {why}."
            )
        waiting = 0 if self.backend == "cuda" else self.waiting_bytes
        for_tile = (room - waiting) * OF_TILE
        try:
            self._cut_to(lambda per_pixel: for_tile / per_pixel)
        except MemoryError:
            least = tiling.GRAIN**2 * self.bytes_per_pixel / OF_TILE + waiting
            side = tiling.GRAIN
            raise MemoryError(
                f"A tile of {side} x {side} pixels and the exposures in work need {least / GIB:.3g} GiB of memory, and "
                f"{max(room, 0) / GIB:.3g} GiB may be used for them."
            ) from None
        self.shelf_bytes = max(0, int(room - waiting - 1.1 * self.tile_bytes)) if self.backend != "cuda" else waiting

    def cut_for(self, tasks: int, memory: int | None) -> None:
        """Cut the frame into tiles for workers that do so many tasks at a time, with so much memory for each.

        Raises
        ------
        ValueError
            The mosaic can't be made by workers.
        MemoryError
            They have too little memory for any tile.
        """
        why = self._why_whole()
        if why is None and not is_zarr_name(Path(str(self.path))):
            why = f"they write to a store in zarr, and 'output' is {self.path}"
        if why is not None:
            raise ValueError(f"The workers of 'client' can't make this mosaic: {why}.")
        exposure = self.waiting_bytes / AT_A_TIME

        def pixels(per_pixel: float) -> float:
            share = max(math.prod(self.shape) / tasks, tiling.GRAIN**2)
            if memory is None:
                return share
            least = tiling.GRAIN**2 * per_pixel
            if memory * OF_WORKER < least + exposure * OF_WORKER:
                raise MemoryError(
                    f"A worker has {memory / GIB:.3g} GiB for a task, and {least / OF_WORKER / GIB:.3g} GiB are needed "
                    f"for the smallest tile beside an exposure of {exposure / GIB:.2g} GiB."
                )
            return min(share, max(memory * OF_WORKER / per_pixel, tiling.GRAIN**2))

        self._cut_to(pixels)

    def _cut_to(self, pixels: Callable[[float], float]) -> None:
        """Cut the frame into tiles of as many pixels as a function gives, of the bytes of each.

        These depend on the tiles, whose contexts have bits of those exposures alone that reach them.
        """
        self.tile_planes = min(self.frame.context_planes, 1)
        found = None
        while True:
            self.tiles = tiles_of(self.shape, pixels(self.bytes_per_pixel))
            if self.tile_planes == self.frame.context_planes:
                return
            if found is None:
                found = boxes(self.footprints, self.output_wcs["wcs"], self.shape)
            bordered = [self.frame.with_border(tile) for tile in self.tiles]
            most = max(sum(not tile.common(box).is_empty for box in found) for tile in bordered)
            needed = min(-(-most // BITS_PER_PLANE), self.frame.context_planes)
            if needed <= self.tile_planes:
                return
            self.tile_planes = needed

    @property
    def bytes_per_pixel(self) -> float:
        """Memory of a pixel of a tile, or of the frame."""
        return self._layout.bytes / math.prod(self.shape)

    @property
    def _layout(self) -> MosaicLayout:
        """What is accumulated of tiles, or of the frame."""
        return self.frame if self.tile_planes is None else replace(self.frame, context_planes=self.tile_planes)

    def _room(self) -> float | None:
        """Memory that may be used for the mosaic where it lies; None where nobody says."""
        limit = None if self.memory_limit is None else self.memory_limit - used_memory() - OF_PROCESS
        rooms = [size for size in (self.available, limit) if size is not None]
        return min(rooms, default=None)

    def _why_whole(self) -> str | None:
        """Why the mosaic has to be made as a whole; None if it need not be."""
        if self.path is None or not self.path.name.lower().endswith((".fits", ".zarr")):
            return "only files of the suffixes .fits and .zarr are written in parts"
        if not isinstance(self.sources, Sequence):
            return "models from a generator can be looked at only once"
        if self.backend == "drizzle":
            return "backend 'drizzle' makes whole mosaics alone"
        for is_given, name in (
            (self.cleaning.is_wanted, "'match_sky', 'reject_outliers' and 'combine' look at the whole of it"),
            (self.begun is not None, "'add_to' goes on with the whole of it"),
            (self.checkpoint is not None, "'checkpoint' saves the whole of it"),
        ):
            if is_given:
                return name
        return None

    def check_room(self) -> None:
        """Refuse a mosaic that does not fit in memory, or on the disk.

        Raises
        ------
        MemoryError
            It needs more memory than is available. The text says how much, and which exposures lie far apart.
        OSError
            Its file needs more room than there is.
        """
        self.check_memory()
        if self.path is not None:
            check_space(self.path.parent, self.file_bytes)

    def check_memory(self) -> None:
        """Refuse a mosaic that does not fit in memory, as `check_room` does."""
        available, where = self.available, ""
        if available is None or self.needed <= available:
            return
        if (least := _fullest(self.devices)) is not None:
            where = f" on device {least.number}"
        ny, nx = self.shape
        words = (
            f"A mosaic of {nx} x {ny} pixels of {self.pixel_scale:.4g} arcsec needs {self.needed / GIB:.1f} GiB of "
            f"memory with these options, and {available / GIB:.1f} GiB are available{where}. "
        )
        if self.footprints:
            one, other, apart = farthest(self.footprints)
            if apart > APART * one.radius:
                words += f"{one.name} and {other.name} are {apart:.3g} degrees apart. "
        raise MemoryError(
            words
            + "Give a larger 'pixel_scale' or an 'output_shape', 'enable_var=False' or 'enable_ctx=False', or make "
            "a mosaic of each part of the sky."
        )


def make_plan(
    inputs: Any, output: str | os.PathLike[str] | None = None, *, progress: Any = None, **arguments: Any
) -> Plan:
    """Plan a mosaic; of files, only the headers are read, and nothing is written.

    Parameters and errors are those of `gpures.mosaic`.

    Returns
    -------
    Plan
    """
    begin = time.perf_counter()
    asked = asked_for(inputs, output, arguments)
    given, begun = asked.output_wcs, asked.begun
    entries, models = entries_of(inputs)
    if models is not None and given is None:
        raise ValueError(
            "Models from a generator can be looked at only once, which is too late for a frame to be made around them: "
            "give 'output_wcs', or a list of models."
        )
    if models is not None and asked.checkpoint is not None:
        raise ValueError(
            "Models from a generator are not there any more when a checkpoint is gone on with: give a list of models, "
            "or no 'checkpoint'."
        )
    if models is not None and asked.cleaning.is_wanted:
        raise ValueError(
            "Models from a generator can be looked at only once, and skies and outliers take two looks: give a list of "
            "models, or no 'match_sky' and 'reject_outliers'."
        )
    skipped: list[tuple[str, str]] = []

    def skip(name: str, error: Exception) -> None:
        if not asked.skip_bad:
            raise error
        log.warning("Skipped: %s", words_of(name, error))
        skipped.append((name, words_of(name, error)))

    sources = find(entries, progress, skip, asked.reading) if models is None else []
    sources = with_arrays(sources, asked.resampling.get("extra_array_names", ()), skip)
    sources = once(sources, lambda name, reason: skipped.append((name, reason)), begun)

    def placed(sources: Sequence[Source]) -> Placement:
        found = OnTheSky.of(sources, None if given is None else given["wcs"], skip)
        if models is None and not found.sources:
            raise ValueError(nothing_left(skipped))
        return Placement.of(found, given, asked.frame)

    place = placed(sources)
    calibration, sources = calibrated(place.inside, asked.calibration, skip, asked.image_begun)
    if len(sources) < len(place.inside):  # what is left out has no say in the frame
        kept = [*map(id, sources), *map(id, place.outside)]
        place = placed([source for source in place.on_the_sky.sources if id(source) in kept])
    place.tell(begun)
    sources, output_wcs, frame = place.inside, place.output_wcs, place.frame
    kinds = {source.kind for source in sources}
    options = asked.options(default_good_bits(kinds))
    told = recorded(options) | vars(asked.calibration)
    offered = None if models is not None else {name for source in sources for name in source.sizes}
    if offered is not None and begun is not None:
        offered |= begun.planes
    flag_names = names_for(options.good_bits, kinds)
    options, variance_names = with_content(options, offered)
    scales = Scales(calibration, output_wcs["wcs"])
    for source in sources:
        scales.settle(source)
    count = len(sources) + (0 if begun is None else len(begun.records))
    layout = MosaicLayout.of(options, frame.output_array_shape, variance_names, count or None)
    if layout.all_lags and models is None:
        layout = replace(layout, planned_lag=planned_lag(options, sources, output_wcs, frame.output_array_shape))
    backend, numbers, why = _backend(options.backend, options.device, layout)
    file_bytes, in_fits = 0, None
    if asked.path is not None:
        check_is_no_input(asked.path, sources)
        names = [source.name for source in sources]
        file_bytes, in_fits = check_output(
            asked.path, output_wcs["wcs"], layout, options, calibration.unit, names, asked.overwrite
        )
        file_bytes += 4 * math.prod(layout.shape) * len(asked.cleaning.combine)
    plan = Plan(
        path=asked.path,
        file_bytes=file_bytes,
        in_fits=in_fits,
        overwrite=asked.overwrite,
        skip_bad=asked.skip_bad,
        seconds=time.perf_counter() - begin,
        call=asked.call,
        told=told,
        begun=begun,
        checkpoint=asked.checkpoint,
        checkpoint_every=asked.checkpoint_every,
        cleaning=asked.cleaning,
        flag_names=flag_names,
        sources=(ModelSource(model) for model in models) if models is not None else sources,
        total=None if models is not None else len(sources),
        output_wcs=output_wcs,
        options=replace(options, backend=backend),
        arrays=options.arrays(variance_names),
        frame=layout,
        backend=backend,
        devices=numbers,
        why_no_gpu=why,
        pixel_scale=frame.output_pixel_scale,
        rotation=place.rotation,
        unit=calibration.unit,
        scales=scales,
        skipped=skipped,
        outside=[source.name for source in place.outside],
        footprints=place.footprints,
        memory_limit=asked.memory_limit,
        asked_backend=options.backend,
    )
    plan.cut()
    return plan


def words_of(name: str, error: BaseException) -> str:
    """What is wrong with an exposure, in one line that names it."""
    words = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error) or type(error).__name__
    words = " ".join(words.split())
    return words if name in words or isinstance(error, FileError) else f"{name}: {words}"


def nothing_left(skipped: Sequence[tuple[str, str]]) -> str:
    """What is to be said where no exposure is left."""
    words = f"None of the {len(skipped)} exposures can be used."
    return words + "".join(f"\n  {reason}" for _, reason in skipped)


def _backend(backend: str, device: Any, frame: MosaicLayout) -> tuple[str, tuple[int, ...], str | None]:
    """Backend that will be used for a frame, the numbers of the GPUs, and why "auto" does not take one."""
    if backend in ("cpu", "drizzle"):
        return backend, (), None
    if backend == "auto" and (why := why_unavailable("cuda", device)) is not None:
        return "cpu", (), why
    numbers = selected(device)
    least = _fullest(numbers)
    if backend == "auto" and least is not None and frame.bytes > least.free:
        needed = f"{least.free / GIB:.1f} GiB free, of the {frame.bytes / GIB:.1f} GiB needed"
        return "cpu", (), f"device {least.number} has {needed}"
    frame.check_for_gpu()
    return "cuda", numbers, None


def _fullest(numbers: Sequence[int]) -> DeviceInfo | None:
    """The GPU with the least memory left, of those that say how much; None if none does."""
    return min((info for info in devices() if info.number in numbers), key=lambda info: info.free, default=None)
