"""What every backend offers: the accumulators of one mosaic.

A backend's accumulators take exposures one by one and give images at any time. What they hold is theirs; `Resample`
sees only the methods below.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from gpures import _cpu
from gpures.arguments.arrays import as_host
from gpures.arguments.values import check_sides, fill_number
from gpures.box import Box
from gpures.errors import IncompleteError
from gpures.exposure.exposure import Exposure
from gpures.exposure.options import Options
from gpures.exposure.pixmap import exposure_record
from gpures.exposure.records import set_drop
from gpures.exposure.structs import MOST_SOURCES, in_memory
from gpures.machine.memory import available_memory
from gpures.machine.threads import thread_count

__all__ = [
    "BITS_PER_PLANE",
    "Accumulators",
    "Contents",
    "IncompleteError",
    "MosaicLayout",
    "Part",
    "check_memory",
    "copies_in_frame",
    "cut",
    "flat_drops_told",
    "largest_drop",
    "named_arrays",
    "usual_drop",
]

log = logging.getLogger(__name__)

BITS_PER_PLANE = 32

# Side of the parts of an exposure that stand for all of it.
SOME = 64

FLOAT32 = np.dtype(np.float32)

# What is accumulated in a part of a frame: see `Accumulators.contents`.
Contents = tuple[dict[str, Any], dict[str, tuple[Any, Any]]]


@dataclass(frozen=True)
class MosaicLayout:
    """What is accumulated, and how; fixed for the life of the accumulators.

    Attributes
    ----------
    shape : (int, int)
        Shape (Ny, Nx) of the output frame, or of that part of it which is accumulated.
    kernel : str
        Name of the kernel of exposures that have none of their own.
    fillval : float or None
        Value of pixels without contribution, to begin with; None leaves what is there (NaN in a new image).
    variance_names : tuple of str
        Variance arrays.
    context_planes : int
        Planes of the context image to begin with; 0 for none at all.
    has_err, has_dq : bool
        Whether errors are averaged and DQ flags propagated.
    extra_names : tuple of str
        Further arrays that are averaged like the data.
    has_time : bool
        Whether there is a map of the exposure time.
    squared : int
        Number of arrays that are averaged with squared weights.
    propagates : bool
        Whether variances and errors are those of the mosaic's data: averaged with the squares of the data's weights.
    variances_apart : bool
        Whether these variances come without the data, and so with weights of their own.
    noise_names : tuple of str
        Arrays whose sum is the variance of an input pixel, or "err", whose square is, where pairs of output pixels are
        accumulated; none where they are not.
    max_lag : int
        Longest lag of these pairs, along either axis; to begin with, where there are ``all_lags``.
    all_lags : bool
        Whether there are lags as long as drops ask for.
    planned_lag : int
        Longest lag that memory is planned for, where there are ``all_lags``.
    whole_drops : bool
        Whether there are sums over whole drops.
    deterministic : bool
        Whether sums must not depend on the order in which a device adds.
    single : bool
        Whether drops and the sums of an exposure may be computed in float32.
    dtype : dtype
        Type of the accumulated sums, float32 or float64.
    frame : (int, int) or None
        Shape of the whole frame, where ``shape`` is that of a part of it.
    first : (int, int)
        The part's first pixel, x and y.

    Raises
    ------
    ValueError
        A side is too long to be counted.
    """

    shape: tuple[int, int]
    kernel: str = "square"
    fillval: float | None = 0.0
    variance_names: tuple[str, ...] = ()
    context_planes: int = 1
    has_err: bool = False
    has_dq: bool = False
    dtype: np.dtype = FLOAT32
    extra_names: tuple[str, ...] = ()
    has_time: bool = False
    squared: int = 0
    frame: tuple[int, int] | None = None
    first: tuple[int, int] = (0, 0)
    propagates: bool = False
    variances_apart: bool = False
    noise_names: tuple[str, ...] = ()
    max_lag: int = 0
    all_lags: bool = False
    planned_lag: int = 0
    whole_drops: bool = False
    deterministic: bool = False
    single: bool = False

    def __post_init__(self) -> None:
        check_sides(self.frame_shape, "The output frame")

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Shape (Ny, Nx) of the whole frame."""
        return self.shape if self.frame is None else self.frame

    @property
    def part(self) -> Box:
        """The part of the frame that is accumulated."""
        return Box.whole(self.shape).moved(*self.first)

    def with_border(self, part: Box) -> Box:
        """A part of the frame with what is around it that its images depend on: pixels as far as pairs reach."""
        return part.grown(max(self.max_lag, self.planned_lag)).common(Box.whole(self.frame_shape))

    def of_part(self, part: Box) -> MosaicLayout:
        """Layout of a part of this frame."""
        return replace(self, shape=part.shape, frame=self.frame_shape, first=(part.xmin, part.ymin))

    @classmethod
    def of(
        cls, options: Options, shape: tuple[int, int], variance_names: Sequence[str], n_input_models: int | None
    ) -> MosaicLayout:
        """Layout of a mosaic with these options; the number of models makes room in the context image."""
        planes = (n_input_models - 1) // BITS_PER_PLANE + 1 if n_input_models else 1
        return cls(
            shape=shape,
            kernel=options.drop,
            fillval=fill_number(options.fillval),
            variance_names=tuple(variance_names) if options.enable_var else (),
            context_planes=planes if options.enable_ctx else 0,
            has_err=options.averages_err,
            has_dq=options.propagate_dq,
            dtype=np.dtype(options.accumulator_dtype),
            extra_names=tuple(options.extra_array_names),
            has_time=options.enable_exptime_map,
            propagates=options.propagates,
            deterministic=options.deterministic,
            single=options.is_single,
            **_pairs_of(options, variance_names),
        )

    def check_for_gpu(self) -> None:
        """Refuse what can't be accumulated on a GPU.

        Raises
        ------
        ValueError
            Sums would depend on the order in which they are added, and must not.
        """
        if self.deterministic and self.noise_names:
            raise ValueError(
                "deterministic=True goes with neither 'covariance' nor 'noise_factor' on a GPU, where pairs of pixels "
                "are added to the mosaic in whatever order. Use backend='cpu', which is deterministic always."
            )

    @property
    def pair_planes(self) -> int:
        """Planes of sums of pairs."""
        return self.whole_drops + _cpu.planes_of_lags(self.max_lag) if self.noise_names else 0

    @property
    def bytes(self) -> int:
        """Memory of the accumulators, and of the images of errors and covariances that are made of them."""
        per_pixel = (2 + self.has_err + self.has_time + len(self.extra_names) + self.squared) * self.dtype.itemsize
        have_weights = not self.propagates or self.variances_apart
        per_pixel += (1 + have_weights) * len(self.variance_names) * self.dtype.itemsize
        per_pixel += 4 * (self.context_planes + self.has_dq + bool(self.variance_names))
        planned = replace(self, max_lag=max(self.max_lag, self.planned_lag))
        lags = planned.pair_planes - planned.whole_drops if self.max_lag or self.all_lags else 0
        per_pixel += 8 * planned.pair_planes + 4 * lags
        return per_pixel * self.shape[0] * self.shape[1]


def _pairs_of(options: Options, variance_names: Sequence[str]) -> dict[str, Any]:
    """Which pairs of output pixels are accumulated, as a layout has them.

    Raises
    ------
    ValueError
        There are no variances that they could be made of, or too many.
    """
    if not options.pairs:
        return {}
    names = ("err",) if options.averages_err else tuple(variance_names) if options.enable_var else ()
    which = "noise_factor" if options.covariance is False else "covariance"
    if not names:
        raise ValueError(
            f"{which!r} needs the variance of input pixels, and there is none: expected compute_err='driz_err', or "
            "enable_var=True with names of variance arrays."
        )
    if len(names) > MOST_SOURCES:
        raise ValueError(f"{which!r} takes at most {MOST_SOURCES} variance arrays, got {len(names)}: {names}.")
    is_lag = not isinstance(options.covariance, bool)
    return {
        "noise_names": names,
        "max_lag": int(options.covariance) if is_lag else 0,
        "all_lags": options.covariance is True,
        "whole_drops": options.noise_factor and options.covariance is not True,
    }


@dataclass(frozen=True)
class Part:
    """What accumulators hold in a part of the frame: they can be put back to it.

    Attributes
    ----------
    window : Box
        That part.
    images : dict of array
        Copies of all that is accumulated there, in the accumulators' own memory.
    done : ndarray of int64 (5,)
        What was complete then.
    touched : Box
        What exposures had contributed to.
    """

    window: Box
    images: dict[str, Any]
    done: np.ndarray
    touched: Box


class Accumulators(ABC):
    """Accumulators of one mosaic.

    Attributes
    ----------
    backend : str
        Name of the backend.
    layout : MosaicLayout
        What is accumulated.
    fillval : float or None
        Value of pixels without contribution, which may be changed.
    takes_device_arrays : bool
        Whether an exposure's arrays may lie on a GPU.
    """

    backend: ClassVar[str]
    takes_device_arrays: ClassVar[bool] = False

    # Names of attributes that hold what is accumulated: an array, or a dict, list or tuple of such.
    held: ClassVar[tuple[str, ...]] = ()
    context_name: ClassVar[str] = "/_context"  # of the context image among them

    def __init__(self, layout: MosaicLayout):
        self.layout = layout
        self.fillval = layout.fillval
        # How many passes are complete, and the window of the last one. Written in one go, when all of a pass is in the
        # sums: an exception that comes with a signal, a moment later, finds them in agreement.
        self._done = np.array((0, *Box.nothing(layout.shape)), np.int64)
        self._looked_at, self._touched = 0, Box.nothing(layout.shape)
        self._changed: list[Box] | None = None  # windows of passes, where somebody wants to know
        self._begun = 0  # number of the pass that was begun last, where a pass can be interrupted
        self._is_broken = False
        self._passed_over = 0

    # ---- what is in it -----------------------------------------------------------------------------------------

    @property
    def passes(self) -> int:
        """How many passes are in the sums, each of them whole."""
        return int(self._done[0])

    @property
    def window(self) -> Box:
        """Part of the frame that the last pass may have contributed to: xmin, xmax, ymin, ymax, last ones included."""
        return Box(*self._done[1:].tolist())

    @property
    def touched(self) -> Box:
        """Part of the frame that exposures may have contributed to; xmin > xmax where there is none."""
        if self._looked_at != self.passes:
            self._touched = self._touched.united(self.window)
            if self._changed is not None:
                self._changed.append(self.window)
            self._looked_at = self.passes
        return self._touched

    @property
    def changed(self) -> list[Box]:
        """Parts of the frame to which passes may have contributed since `begin_changes`; all there is, without it."""
        touched = self.touched
        return [touched] if self._changed is None else list(self._changed)

    def begin_changes(self) -> None:
        """Keep account of where passes contribute from now on."""
        self.touched  # noqa: B018  (of the pass before)
        self._changed = []

    def check_whole(self) -> None:
        """Refuse to go on with what holds a part of an exposure.

        Raises
        ------
        IncompleteError
            A pass, or the end of the mosaic, was interrupted.
        """
        if not self.is_whole():
            raise IncompleteError(
                "Adding an exposure, or finishing the mosaic, was interrupted in its midst, and a part of it is in the "
                "sums: begin anew, with 'reset_arrays' or a new object."
            )

    def is_whole(self) -> bool:
        """Whether every exposure is in it as a whole, or not at all."""
        return not self._is_broken and self._begun <= self.passes

    @contextmanager
    def whole(self) -> Iterator[None]:
        """What is done here is done to its end, or nobody can go on with what it leaves."""
        self.check_whole()
        self._is_broken = True
        yield  # what raises leaves the mark
        self._is_broken = False

    # ---- adding ------------------------------------------------------------------------------------------------

    def add(self, exposure: Exposure) -> None:
        """Add all planes of an exposure; or, where its data are None, its variances alone.

        All of it is in the sums when `passes` has grown, which is so before anything else can happen.

        Raises
        ------
        ValueError, MemoryError
            It can't be added. Nothing of it has been.
        IncompleteError
            An earlier one was interrupted in its midst.
        """
        self.check_whole()
        self.touched  # noqa: B018  (of the pass before, whose window goes)
        self._add(exposure)

    # ---- merging -----------------------------------------------------------------------------------------------

    def merge(self, other: Accumulators, first: int, count: int) -> None:
        """Merge what others hold, of any backend, as if their exposures had been added after one's own.

        All of it is in the sums when `passes` has grown, as with `add`. The others are not changed.

        Parameters
        ----------
        other : Accumulators
            Of the same frame, with the same planes.
        first : int
            Number in the context image of their first exposure.
        count : int
            Number of their exposures.

        Raises
        ------
        MemoryError
            Nothing was merged.
        IncompleteError
            One of both was interrupted in the midst of an exposure.
        """
        self.check_whole()
        other.check_whole()
        self.touched  # noqa: B018  (of the pass before, whose window goes)
        window = other.touched
        if window.xmin > window.xmax:
            self._done[:] = (self._done[0] + 1, *window)
        else:
            self._merge(other, window, first, count)

    @abstractmethod
    def _merge(self, other: Accumulators, window: Box, first: int, count: int) -> None:
        """Merge a part of the frame, and write to ``_done`` when all of it is there."""

    @contextmanager
    def _or_as_before(self, window: Box) -> Iterator[None]:
        """Have a part of the frame be what it was where a pass over it comes to no end."""
        part = self.part(window)
        try:
            self._begun = self.passes + 1
            yield
        except BaseException:
            if self.passes < self._begun:
                self.put_back(part)
            raise

    @abstractmethod
    def contents(self, window: Box) -> Contents:
        """What is accumulated in a part of the frame.

        Parameters
        ----------
        window : Box
            That part.

        Returns
        -------
        images : dict
            Images as `resume` takes them, and under "squared/0" and so on those averages whose weights are squared, or
            "squared/var_rnoise" and so on, where variances are propagated. They may be views, and those of averages may
            hold anything where the weight is 0.
        variances : dict
            Of each variance the image, and the sum of its weights.
        """

    def contents_on_host(self, window: Box) -> Contents:
        """The same as numpy arrays."""
        images, variances = self.contents(window)
        return (
            {name: as_host(image) for name, image in images.items()},
            {name: (as_host(v), as_host(t)) for name, (v, t) in variances.items()},
        )

    def _tell_of_passed_over(self, count: int, name: str) -> None:
        """Log how many drops without an area there are more than when this was called last."""
        flat_drops_told(count - self._passed_over, name)
        self._passed_over = count

    @abstractmethod
    def _add(self, exposure: Exposure) -> None:
        """Add an exposure, and write to ``_done`` when all of it is there."""

    def copies_of(self, exposure: Exposure) -> tuple[list[tuple[float, float, Box]], bool]:
        """Where an exposure may contribute to what is accumulated, in more than one place if the output is periodic.

        For each its shift along x and y, and the part of the accumulators; and whether every pixel with coordinates has
        all its neighbours beside it in the output.
        """
        copies, whole = copies_in_frame(exposure, self.kernel_of(exposure), self.layout.frame_shape)
        there, (x0, y0) = self.layout.part, self.layout.first
        parts = [(x, y, part.common(there).moved(-x0, -y0)) for x, y, part in copies]
        return [each for each in parts if not each[2].is_empty], whole

    def expect(self, rows: Callable[[], Sequence[tuple[int, int]]]) -> None:  # noqa: B027  (most need not know)
        """Be told of rows most of whose pixels exposures will touch, before the first of them: a matter of speed.

        Parameters
        ----------
        rows : callable
            Gives the first and the last row but one of each piece, if anybody wants to know.
        """

    def window_of(self, exposure: Exposure, copies: list | None = None) -> Box:
        """Part of the accumulators that an exposure may contribute to; xmin > xmax where there is none."""
        return united(self.copies_of(exposure)[0] if copies is None else copies, self.layout.shape)

    # ---- going back, and copies --------------------------------------------------------------------------------

    def part(self, window: Box) -> Part:
        """What is held in a part of the frame, to be put back there or into accumulators of the same frame."""
        touched = self.touched
        with self.context():
            images = {name: cut(array, window).copy() for name, array in self._held().items()}
        return Part(window, images, self._done.copy(), touched)

    def put_back(self, part: Part) -> None:
        """Make it in a part of the frame as it was; what has grown since, such as a context image, is empty there."""
        self._is_broken = True  # if this is interrupted, all is lost
        with self.context():
            for name, array in self._held().items():
                if name in part.images:
                    _put_into(cut(array, part.window), self._here(part.images[name]))
        self._touched, self._looked_at = part.touched, int(part.done[0])
        self._begun = int(part.done[0])
        self._done[:] = part.done
        self._is_broken = False

    def take_over(self, part: Part) -> None:
        """Have what others held, in a part of the frame of accumulators that are new."""
        self.put_back(part)

    def _here(self, image: Any) -> Any:
        """An image of a part in the accumulators' own memory."""
        return image

    def _held(self) -> dict[str, Any]:
        """All arrays that are accumulated in, by name."""
        return dict(named_arrays({name: getattr(self, name) for name in self.held}))

    def _recipe(self) -> tuple:
        """Arguments that make accumulators of this kind, with as much room."""
        context = self._held().get(self.context_name)
        return (self.layout if context is None else replace(self.layout, context_planes=len(context)),)

    @classmethod
    def _made_of(cls, recipe: tuple, fillval: float | None, part: Part) -> Accumulators:
        """Accumulators that hold what others do, which is a part of the frame and empty elsewhere."""
        made = cls(*recipe)
        made.fillval = fillval
        made.take_over(part)
        return made

    def copy(self) -> Accumulators:
        """Accumulators that hold the same and go on by themselves."""
        self.check_whole()
        return self._made_of(self._recipe(), self.fillval, self._part_to_copy())

    def _part_to_copy(self) -> Part:
        """All that is held, for a copy that is made before anything changes."""
        return self.part(self.touched)

    def __copy__(self) -> Accumulators:
        return self.copy()

    def __deepcopy__(self, memo: dict) -> Accumulators:
        return self.copy()

    def __reduce__(self):
        self.check_whole()
        part = self.part(self.touched)
        part = replace(part, images={name: as_host(image) for name, image in part.images.items()})
        return self._made_of, (self._recipe(), self.fillval, part)

    @abstractmethod
    def weight_map(self, exposure: Exposure) -> np.ndarray:
        """Weights of an exposure's pixels, (Ny, Nx) float32."""

    @abstractmethod
    def images(self) -> dict[str, np.ndarray]:
        """What there is so far: "data", "wht"; "con", "dq", "err", "exptime_map", further arrays if they are wanted."""

    @abstractmethod
    def take(self, images: dict[str, Any], next_id: int = 0) -> None:
        """Go on with images of a mosaic that was begun before, in place of its own.

        Parameters
        ----------
        images : dict
            Some of "data", "wht", "con", "dq", and under "squared" a list of those averages whose weights are squared.
            A number for a new image full of it, None for none. Contiguous arrays of the right types, in its memory, are
            used in place.
        next_id : int, optional
            Number in the context image of the exposure that comes next.
        """

    def resume(self, images: Mapping[str, Any], variances: Mapping[str, tuple[Any, Any]]) -> None:
        """Go on, in new accumulators, with what others held.

        Parameters
        ----------
        images : mapping
            As `images` gives them, without what `gpures.Resample` makes of them at the end; and variances that are
            propagated, as `contents` does.
        variances : mapping
            Of each variance the image, without the factor of `finish_variances`, and the sum of its weights.
        """
        shape = self.layout.shape
        held = self._places(images, variances)
        self.put_back(Part(Box.whole(shape), held, np.array((0, *Box.nothing(shape)), np.int64), Box.whole(shape)))

    @abstractmethod
    def _places(self, images: Mapping[str, Any], variances: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
        """What `resume` takes, by the names that it has among what is held."""

    @abstractmethod
    def variance_weights(self) -> dict[str, Any]:
        """Sums of the weights of each variance, in the accumulators' own memory."""

    @abstractmethod
    def image(self, name: str) -> Any:
        """One of those images, or the list "squared", as it is: what is accumulated in, without a fill value."""

    @abstractmethod
    def fill(self, name: str, value: float, window: Box) -> None:
        """Set the pixels without weight of an image, or of those under "squared", in a part of the frame."""

    @abstractmethod
    def finish_variances(self, scaling: float) -> dict[str, np.ndarray]:
        """Variance images times `scaling`, NaN without weight; called once, after the last exposure, within `whole`."""

    def noise_factor(self) -> Any:
        """Image of the noise factor (see ``kernels/pairs.h``), NaN without weight; before `finish_covariances`."""
        raise NotImplementedError(f"backend {self.backend!r} has no pairs")

    def finish_covariances(self) -> Any:
        """Covariances (lags, Ny, Nx), NaN without weight; called once, after the last exposure, within `whole`."""
        raise NotImplementedError(f"backend {self.backend!r} has no pairs")

    def misses(self, exposure: Exposure) -> tuple[int, int]:
        """How many of an exposure's pixels fall beside the frame, and how many of its rows do so altogether."""
        record = exposure_record(exposure.shape, exposure.pixmap, in_memory)
        set_drop(record, exposure, self.kernel_of(exposure), in_memory)
        ny, nx = self.layout.frame_shape
        return _cpu.misses(record.ctypes.data, nx, ny, thread_count())

    def kernel_of(self, exposure: Exposure) -> str:
        """Name of an exposure's kernel."""
        return exposure.kernel or self.layout.kernel

    def error_image(self, variances: list) -> np.ndarray:
        """Root of the sum of those variance images that are not NaN; NaN where all are, or, of propagated ones, any."""
        error, own_pages = self._new_image()
        arrays = [np.ascontiguousarray(variance, dtype=np.float32) for variance in variances]
        _cpu.error_from_variances(arrays, self.layout.propagates, error, self.touched, own_pages, thread_count())
        return error

    def _new_image(self) -> tuple[np.ndarray, bool]:
        """Memory for an image of float32, and whether it has pages of its own (see ``kernels/cpu/shared_pages.h``)."""
        return np.empty(self.layout.shape, np.float32), False

    def in_type(self, image: Any, dtype: DTypeLike) -> Any:
        """An image in a type: itself, if it is of that."""
        return image.astype(dtype, copy=False)

    def divided(self, image: Any, divisor: float) -> Any:
        """An image divided by a number, in its type."""
        return image / divisor

    def close(self) -> None:  # noqa: B027  (most have nothing to do)
        """Give up what is held on a device; nothing can be added afterwards."""

    def context(self) -> AbstractContextManager:
        """What arithmetic on its images needs: the current device, where that matters."""
        return nullcontext()


def copies_in_frame(
    exposure: Exposure, kernel: str, shape: tuple[int, int]
) -> tuple[list[tuple[float, float, Box]], bool]:
    """Where an exposure may contribute to a frame, in more than one place if the output is periodic.

    Parameters
    ----------
    exposure : Exposure
        Of which the pixel map and what sizes its drops count.
    kernel : str
        Name of its kernel.
    shape : (int, int)
        Shape (Ny, Nx) of the frame.

    Returns
    -------
    copies : list of (float, float, Box)
        For each its shift along x and y, and the part of the frame.
    whole : bool
        Whether every pixel with coordinates has all its neighbours beside it in the output.
    """
    record = exposure_record(exposure.shape, exposure.pixmap, in_memory)
    set_drop(record, exposure, kernel, in_memory)
    copies, whole = _cpu.copies(record.ctypes.data, shape[1], shape[0], thread_count())
    return [(x, y, Box(*part)) for x, y, part in copies], whole


def united(copies: list[tuple[float, float, Box]], shape: tuple[int, int]) -> Box:
    """The part of a frame that all copies of an exposure, as of `copies_in_frame`, lie in; it may be empty."""
    return reduce(Box.united, [part for _, _, part in copies], Box.nothing(shape))


def largest_drop(exposure: Exposure, kernel: str, shape: tuple[int, int]) -> int:
    """Longest lag of pairs of a frame's pixels that an exposure's pixels contribute to, along either axis.

    Parameters
    ----------
    exposure, kernel, shape
        As `copies_in_frame` takes them.
    """
    record = exposure_record(exposure.shape, exposure.pixmap, in_memory)
    set_drop(record, exposure, kernel, in_memory)
    return _cpu.largest_drop(record.ctypes.data, shape[1], shape[0], thread_count())


def usual_drop(exposure: Exposure, kernel: str, shape: tuple[int, int]) -> int:
    """The same of pixels in the exposure's middle and corners, which takes no time to speak of.

    Parameters
    ----------
    exposure, kernel, shape
        As `largest_drop` takes them.
    """
    x0, x1, y0, y1 = exposure.limits
    places = [(0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5)]
    boxes = [
        Box(*_some(x0, x1, along), *_some(y0, y1, up))  # last ones included
        for along, up in places
    ]
    return max(largest_drop(replace(exposure, limits=box), kernel, shape) for box in boxes)


def _some(first: int, last: int, where: float) -> tuple[int, int]:
    """First and last of some pixels out of many: from the beginning to the end, 0 to 1."""
    begin = first + int(where * max(0, last - first + 1 - SOME))
    return begin, min(last, begin + SOME - 1)


def flat_drops_told(count: int, name: str) -> None:
    """Log that drops of an exposure, of a name, have no area, if any has none."""
    if count > 0:
        log.warning(
            "%d pixels of %s have no area in the output, where their square drops are collapsed or folded: they were "
            "passed over.",
            count,
            name,
        )


def cut(array: Any, window: Box) -> Any:
    """A part of an image; all of what is none, a number that is kept where the images are."""
    return array if array.ndim < 2 else array[window.slices]


def named_arrays(held: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Arrays in dicts and sequences, with names that tell where they are."""
    if isinstance(held, dict):
        items = [(str(key), value) for key, value in held.items()]
    elif isinstance(held, (list, tuple)):
        items = [(str(key), value) for key, value in enumerate(held)]
    else:
        if held is not None:
            yield name, held
        return
    for key, value in items:
        yield from named_arrays(value, f"{name}/{key}")


def _put_into(there: Any, image: Any) -> None:
    """Put an image back to where it was, which may have more planes by now: those are empty."""
    if image.ndim == 3:
        there[len(image) :] = 0
        there = there[: len(image)]
    there[...] = image


def check_memory(frame: MosaicLayout) -> None:
    """Refuse a frame whose accumulators would not fit in memory.

    Raises
    ------
    MemoryError
        They need more than is available.
    """
    available = available_memory()
    if available is not None and frame.bytes > available:
        raise MemoryError(
            f"An output frame of {frame.shape[1]} x {frame.shape[0]} pixels needs {frame.bytes / 2**30:.1f} GiB of "
            f"memory with these options, and {available / 2**30:.1f} GiB are available. Use a smaller frame or a "
            "larger pixel scale, or turn off enable_var or enable_ctx."
        )
