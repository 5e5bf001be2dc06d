"""Accumulators that are arrays to which the kernels add: what the backends cpu and cuda share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from gpures.backend.base import BITS_PER_PLANE, Accumulators, Contents, MosaicLayout, Part, cut, largest_drop
from gpures.backend.images import warn_of_range
from gpures.backend.pairs import check_reach, longest_of
from gpures.box import Box
from gpures.exposure.exposure import Exposure
from gpures.exposure.pixmap import exposure_record
from gpures.exposure.records import set_drop, set_weights
from gpures.exposure.structs import MERGE, MOSAIC, MOST_MERGED, MOST_PLANES, PAIRS, Place, Squared, view

__all__ = ["Plane", "PlaneAccumulators"]


# Images of a mosaic that can be continued, and where they are.
_ATTRIBUTES = {"data": "_data", "wht": "_weight", "con": "_context", "dq": "_dq"}

# Types of those that are not of the accumulators' own.
_TYPES: dict[str, np.dtype[Any]] = {"con": np.dtype(np.int32), "dq": np.dtype(np.uint32), "pairs": np.dtype(np.float64)}


# Of the enumeration Kept in kernels/exposure.h.
SUM = 2


@dataclass(frozen=True)
class Plane:
    """An array of an exposure and the accumulators that it goes to.

    Attributes
    ----------
    array : array (Ny, Nx)
        Its pixels, weighted with the data's weights.
    mean : array
        Accumulator of the weighted mean, or of the variance.
    weight : array or None
        Accumulator of a variance's own weights; None for an array that is averaged with the data's.
    scale, offset : float
        What is averaged is ``(x - offset) * scale``, and of a variance that is no square the root times ``scale``.
    squared : Squared
        What is weighted with the squares of the data's weights.
    is_sum : bool
        Whether it is a sum over whole drops, which the kernels know the values of; there is no array then.
    """

    array: Any
    mean: Any
    weight: Any = None
    scale: float = 1.0
    offset: float = 0.0
    squared: Squared = Squared.NOT_SQUARED
    is_sum: bool = False


class PlaneAccumulators(Accumulators):
    """Accumulators as arrays on some device.

    What is kept are weighted means and their weights (see ``kernels/fold.h``), so "data", "wht" and "err" are images
    at any time but for their fill value.
    """

    held = (
        *("_data", "_weight", "_err", "_extras", "_dq", "_time", "_context"),
        *("_variances", "_propagated", "_squared", "_beyond", "_pairs"),
    )

    def __init__(self, frame: MosaicLayout):
        super().__init__(frame)
        self._data = self._zeros(frame.shape, frame.dtype)
        self._weight = self._zeros(frame.shape, frame.dtype)
        self._err = self._zeros(frame.shape, frame.dtype) if frame.has_err else None
        self._extras = {name: self._zeros(frame.shape, frame.dtype) for name in frame.extra_names}
        self._dq = self._zeros(frame.shape, np.uint32) if frame.has_dq else None
        self._time = self._zeros(frame.shape, frame.dtype) if frame.has_time else None
        self._context = self._zeros((frame.context_planes, *frame.shape), np.int32) if frame.context_planes else None
        names, have_weights = frame.variance_names, not frame.propagates or frame.variances_apart
        # Variance and its own weight, by name; variances that have the weights of the data.
        self._variances = {
            name: (self._zeros(frame.shape, frame.dtype), self._zeros(frame.shape, frame.dtype))
            for name in (names if have_weights else ())
        }
        self._propagated = {name: self._zeros(frame.shape, frame.dtype) for name in (() if have_weights else names)}
        self._squared = [self._zeros(frame.shape, frame.dtype) for _ in range(frame.squared)]
        self._pairs = self._zeros((frame.pair_planes, *frame.shape), np.float64) if frame.noise_names else None
        self._filler = 0.0  # what is where nothing was added
        self._beyond = self._zeros((1,), np.int32)  # 1 once a sum of weights has gone beyond float32
        self._callers_weight = False  # whether they are kept in an array that may be the caller's
        self._flat_drops = self._zeros((1,), np.uint64)

    # ---- what a device does ------------------------------------------------------------------------------------

    @abstractmethod
    def _zeros(self, shape: tuple[int, ...], dtype: DTypeLike) -> Any:
        """A new array of zeros."""

    @abstractmethod
    def _address(self, array: Any) -> int:
        """Address of an array that `_zeros` made."""

    @abstractmethod
    def _copy(self, array: Any) -> Any:
        """A copy of an array."""

    @abstractmethod
    def _is_set(self, flag: Any) -> bool:
        """Whether the one number of an array is not 0."""

    @abstractmethod
    def _show_weights(self, weight: Any) -> None:
        """Replace sums of weights by what an image shows of them (see ``kernels/fold.h``)."""

    @abstractmethod
    def _pass(self, exposure: Exposure, planes: list[Plane], only_variances: bool) -> None:
        """One pass over an exposure, at whose end ``_done`` says so."""

    # ---- what it is told ---------------------------------------------------------------------------------------

    def _add(self, exposure: Exposure) -> None:
        planes = self._planes(exposure)
        if len(planes) > MOST_PLANES:
            raise ValueError(f"At most {MOST_PLANES} arrays fit in one pass over an exposure, got {len(planes)}.")
        if self._pairs is not None and self.layout.all_lags:
            self._reach_lag(largest_drop(exposure, self.kernel_of(exposure), self.layout.frame_shape))
        if planes:
            self._pass(exposure, planes, only_variances=exposure.data is None)
        else:
            self._done[:] = (self.passes + 1, *Box.nothing(self.layout.shape))

    # ---- merging -----------------------------------------------------------------------------------------------

    def contents(self, window: Box) -> Contents:  # noqa: D102
        images = self._averaged() | {"wht": self._weight, "con": self._context, "dq": self._dq}
        images |= {"exptime_map": self._time} | {f"squared/{k}": image for k, image in self._all_squared().items()}
        images["pairs"] = self._pairs
        return (
            {name: cut(image, window) for name, image in images.items() if image is not None},
            {name: (cut(v, window), cut(t, window)) for name, (v, t) in self._variances.items()},
        )

    def _as_here(self, contents: Contents, here: Callable[[np.ndarray], Any]) -> Contents:
        """What accumulators of another kind hold, in the types of these and in their memory."""
        images, variances = contents

        def converted(name: str, image: np.ndarray) -> Any:
            with np.errstate(over="ignore"):
                return here(np.ascontiguousarray(image, _TYPES.get(name, self.layout.dtype)))

        return (
            {name: converted(name, image) for name, image in images.items()},
            {name: (converted(name, v), converted(name, t)) for name, (v, t) in variances.items()},
        )

    def _merge_record(self, contents: Contents, window: Box, first: int, count: int) -> np.ndarray:
        """A MERGE of what others hold in a window, of the types of these and in the same memory."""
        images, variances = contents
        record = np.zeros((), MERGE)
        record["nx"], record["other_nx"] = self.layout.shape[1], _row_of(images["wht"])
        for name, limit in zip(("x0", "x1", "y0", "y1"), window, strict=True):
            record[name] = limit
        record["doubles"] = self.layout.dtype == np.float64
        for name, image, other in (
            ("weight", self._weight, "wht"),
            ("time", self._time, "exptime_map"),
            ("dq", self._dq, "dq"),
        ):
            if image is not None:
                record[name], record[f"other_{name}"] = self._address(image), self._address(images[other])
        record["beyond"] = self._address(self._beyond)
        if self._context is not None and count:
            self._context_plane((first + count - 1) // BITS_PER_PLANE)
            context = images["con"]
            record["context"], record["other_context"] = self._address(self._context), self._address(context)
            record["context_stride"] = self.layout.shape[0] * self.layout.shape[1]
            record["other_context_stride"] = context.strides[0] // context.dtype.itemsize
            record["context_planes"] = len(self._context)
            record["other_planes"] = min(len(context), (count - 1) // BITS_PER_PLANE + 1)
            record["first_bit"] = first
        if self._pairs is not None:
            pairs = images["pairs"]
            record["pairs"], record["other_pairs"] = self._address(self._pairs), self._address(pairs)
            record["pairs_stride"] = self.layout.shape[0] * self.layout.shape[1]
            record["other_pairs_stride"] = pairs.strides[0] // pairs.dtype.itemsize
            record["pair_planes"] = len(pairs)
        kinds = {"err": self._kind_of_err}
        planes = [(mean, 0, images[n], 0, kinds.get(n, Squared.NOT_SQUARED)) for n, mean in self._averaged().items()]
        planes += [(mean, 0, images[f"squared/{k}"], 0, Squared.VALUES) for k, mean in self._all_squared().items()]
        for name, (variance, weight) in self._variances.items():
            other, of_other = variances[name]
            planes.append((variance, self._address(weight), other, self._address(of_other), Squared.NOT_SQUARED))
        if len(planes) > MOST_MERGED:
            raise ValueError(f"At most {MOST_MERGED} arrays of mosaics can be merged, got {len(planes)}.")
        record["planes"] = len(planes)
        for k, (mean, weight, other, other_weight, squared) in enumerate(planes):
            record["plane"][k] = self._address(mean), weight, self._address(other), other_weight, squared
        return record

    # ---- pairs of output pixels --------------------------------------------------------------------------------

    def _reach_lag(self, lag: int) -> None:
        """Make room for pairs of a lag.

        Raises
        ------
        ValueError
            It is too long.
        """
        if lag <= self.layout.max_lag:
            return
        check_reach(lag)
        layout = replace(self.layout, max_lag=lag)
        grown = self._zeros((layout.pair_planes, *layout.shape), np.float64)
        assert self._pairs is not None
        if not self.touched.is_empty:
            there = self.touched.slices
            grown[: len(self._pairs)][there] = self._pairs[there]
        self._pairs, self.layout = grown, layout

    def _pairs_record(self, exposure: Exposure, place: Place) -> np.ndarray:
        """What the kernels are told of the pairs of an exposure."""
        record = np.zeros((), PAIRS)
        assert self._pairs is not None
        record["sums"], record["stride"] = (
            self._first_of_frame(self._pairs),
            self.layout.shape[0] * self.layout.shape[1],
        )
        record["max_lag"], record["whole_drops"] = self.layout.max_lag, self.layout.whole_drops
        record["sources"] = len(exposure.noise(self.layout.noise_names))
        for k, (array, kind) in enumerate(exposure.noise(self.layout.noise_names)):
            scale = exposure.iscale if kind == Squared.ERRORS else exposure.iscale**2
            record["source"][k] = view(array, exposure.shape, place), 0.0, scale, False, kind, 0, 0
        return record

    def _finished_pairs(self) -> np.ndarray:
        """What the kernels are told of the sums of pairs, as an image."""
        record = np.zeros((), PAIRS)
        record["sums"], record["stride"] = self._address(self._pairs), self.layout.shape[0] * self.layout.shape[1]
        record["max_lag"], record["whole_drops"] = self.layout.max_lag, self.layout.whole_drops
        return record

    @property
    def _kind_of_err(self) -> Squared:
        return Squared.ERRORS if self.layout.propagates else Squared.NOT_SQUARED

    def _all_squared(self) -> dict[Any, Any]:
        """What is averaged with the squares of the data's weights, by number or name."""
        return dict(enumerate(self._squared)) | self._propagated

    # ---- a mosaic that was begun before ------------------------------------------------------------------------

    def take(self, images: dict[str, Any], next_id: int = 0) -> None:  # noqa: D102
        for name, given in images.items():
            dtype = _TYPES.get(name, self.layout.dtype)
            if name == "squared":
                self._squared = [self._begun_with(image, dtype) for image in given]
            else:
                setattr(self, _ATTRIBUTES[name], None if given is None else self._begun_with(given, dtype))
        self._callers_weight = self._callers_weight or "wht" in images
        self.layout = replace(self.layout, has_dq=self._dq is not None, squared=len(self._squared))
        self._touched = Box.whole(self.layout.shape)

    def _begun_with(self, given: Any, dtype: np.dtype) -> Any:
        """An image that goes on with one that was given, or begins with a number."""
        if np.ndim(given):
            return self._taken(given, dtype)
        image = self._zeros(self.layout.shape, dtype)
        if given != 0:
            image.fill(given)
        return image

    @abstractmethod
    def _taken(self, image: Any, dtype: np.dtype) -> Any:
        """An image as an array that can be accumulated in: itself where that is possible."""

    def _places(self, images: Mapping[str, Any], variances: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
        names = _ATTRIBUTES | {"err": "_err", "exptime_map": "_time", "pairs": "_pairs"}
        if "pairs" in images:
            self._reach_lag(longest_of(len(images["pairs"]) - self.layout.whole_drops))
        names |= {f"squared/{name}": f"_propagated/{name}" for name in self._propagated}
        held = {f"/{names[name]}" if name in names else f"/_extras/{name}": image for name, image in images.items()}
        for name, both in variances.items():
            held |= {f"/_variances/{name}/{k}": image for k, image in enumerate(both)}
        return held

    def take_over(self, part: Part) -> None:  # noqa: D102
        super().take_over(part)
        window = part.window
        if window.xmin <= window.xmax:
            for image in self._averaged().values():  # the others may have another value where nothing was added
                self._fill(image, 0.0, window)

    def _finished(self, finish: Callable[[Any, Any], Any]) -> dict[str, Any]:
        """Variances of which each is finished, with its weights; what others were held besides is given up."""
        images = {}
        while self._variances:
            name, (variance, weight) = self._variances.popitem()
            images[name] = finish(variance, weight)
        while self._propagated:
            name, variance = self._propagated.popitem()
            images[name] = finish(variance, self._weight)
        return images

    def variance_weights(self) -> dict[str, Any]:  # noqa: D102
        return {name: weight for name, (_, weight) in self._variances.items()}

    def image(self, name: str) -> Any:  # noqa: D102
        if name == "wht":
            return self._shown_weight()
        return self._squared if name == "squared" else getattr(self, _ATTRIBUTES[name])

    def fill(self, name: str, value: float, window: Box) -> None:  # noqa: D102
        if window[0] <= window[1]:
            for image in self._squared if name == "squared" else [getattr(self, _ATTRIBUTES[name])]:
                self._fill(image, value, window)

    @abstractmethod
    def _fill(self, image: Any, value: float, window: Box) -> None:
        """Set the pixels without weight of an image in a window."""

    # ---- images ------------------------------------------------------------------------------------------------

    def images(self) -> dict[str, Any]:  # noqa: D102
        value = np.nan if self.fillval is None else self.fillval
        # A new image is full of zeros.
        if value != 0.0 or self._filler != 0.0:
            for image in self._averaged().values():
                self._fill_whole(image, value)
            self._filler = value
        return self._all_images()

    @abstractmethod
    def _fill_whole(self, image: Any, value: float) -> None:
        """Set the pixels without weight of an image."""

    def _shown_weight(self) -> Any:
        """The image of the weights: infinite, with a warning, where their sum is beyond float32."""
        if self.layout.dtype == np.float64 or not self._is_set(self._beyond):
            return self._weight
        if self._callers_weight:
            self._weight, self._callers_weight = self._copy(self._weight), False
        shown = self._copy(self._weight)
        self._show_weights(shown)
        warn_of_range("wht", np.float32)
        return shown

    def _averaged(self) -> dict[str, Any]:
        """The images that are averages, which have the fill value where there is none."""
        averaged = {"data": self._data} | ({} if self._err is None else {"err": self._err})
        return averaged | self._extras

    def _all_images(self) -> dict[str, Any]:
        """Averages and what is counted besides."""
        images = {"wht": self._shown_weight(), "con": self._context, "dq": self._dq, "exptime_map": self._time}
        return self._averaged() | {name: image for name, image in images.items() if image is not None}

    def _planes(self, exposure: Exposure) -> list[Plane]:
        planes = []
        if exposure.data is not None:
            planes.append(Plane(exposure.data, self._data, scale=exposure.iscale, offset=exposure.level))
        for name, array in exposure.extras.items():
            planes.append(Plane(array, self._extras[name]))
        if self._err is not None and exposure.err is not None:  # the last of those that have no squared weights
            planes.append(Plane(exposure.err, self._err, scale=exposure.iscale, squared=self._kind_of_err))
        for name in self._propagated or exposure.variances:  # none of those may be left out
            planes.append(self._variance_plane(name, exposure.variances[name], exposure.iscale))
        for array, mean in zip(exposure.squared, self._squared, strict=True):
            planes.append(Plane(array, mean, scale=exposure.iscale**2, squared=Squared.VALUES))
        return planes

    def _variance_plane(self, name: str, variance: Any, iscale: float) -> Plane:
        if not self.layout.propagates:
            return Plane(variance, *self._variances[name], scale=iscale)
        mean, weight = self._variances.get(name) or (self._propagated[name], None)
        return Plane(variance, mean, weight, scale=iscale**2, squared=Squared.VARIANCES)

    def _exposure_record(self, exposure: Exposure, planes: list[Plane], place: Place) -> np.ndarray:
        record = exposure_record(exposure.shape, exposure.pixmap, place)
        set_drop(record, exposure, self.kernel_of(exposure), place)
        set_weights(record, exposure, place)
        record["planes"] = len(planes)
        record["single"] = self.layout.single
        for k, plane in enumerate(planes):
            weight = 0 if plane.weight is None else self._first_of_frame(plane.weight)
            mean = self._first_of_frame(plane.mean)
            kept = SUM if plane.is_sum else plane.weight is not None and not plane.squared
            numbers = plane.offset, plane.scale, kept, plane.squared
            of_array = (0,) * 5 if plane.is_sum else view(plane.array, exposure.shape, place)
            record["plane"][k] = (of_array, *numbers, mean, weight)
        record["exposure_time"] = exposure.effective_time
        record["variance_weight"] = 1.0 if exposure.variance_weight is None else exposure.variance_weight
        if exposure.variance_weight is None and "var_rnoise" in exposure.variances:
            before = len(planes) - len(exposure.variances) - len(exposure.squared) - planes[-1].is_sum
            record["variance_weight_plane"] = before + list(exposure.variances).index("var_rnoise")
        return record

    def _mosaic_record(self, exposure: Exposure, only_variances: bool) -> np.ndarray:
        record = np.zeros((), MOSAIC)
        record["ny"], record["nx"] = self.layout.frame_shape
        record["stride"] = self.layout.shape[1]
        for name, limit in zip(("x0", "x1", "y0", "y1"), self.layout.part, strict=True):
            record[name] = limit
        record["doubles"] = self.layout.dtype == np.float64
        bit = 1 << exposure.context_id % BITS_PER_PLANE
        record["context_bit"] = bit - (1 << 32) if bit >> 31 else bit  # as the int32 of the image
        if not only_variances:
            record["passed_over"] = self._address(self._flat_drops)
            record["weight"] = self._first_of_frame(self._weight)
            record["beyond"] = self._address(self._beyond)
            if self._time is not None:
                record["time"] = self._first_of_frame(self._time)
            if self._dq is not None:
                record["dq"] = self._first_of_frame(self._dq)
            if self._context is not None:
                record["context"] = self._first_of_frame(self._context_plane(exposure.context_id // BITS_PER_PLANE))
        return record

    def _first_of_frame(self, image: Any) -> int:
        """Address of the frame's first pixel in an image, which need not be there where that is of a part."""
        x0, y0 = self.layout.first
        return (self._address(image) - (y0 * image.shape[-1] + x0) * image.dtype.itemsize) % 2**64

    def _context_plane(self, plane: int) -> Any:
        assert self._context is not None
        if plane >= len(self._context):
            grown = self._zeros((plane + 1, *self.layout.shape), np.int32)
            grown[: len(self._context)] = self._context
            self._context = grown
        return self._context[plane]


def _row_of(image: Any) -> int:
    """Pixels from one row of an image to the next."""
    return image.strides[-2] // image.dtype.itemsize
