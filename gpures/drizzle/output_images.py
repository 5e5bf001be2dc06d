"""The output images of `gpures.Drizzle`: what the caller gave and sees, over what the accumulators hold."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from gpures.arguments.arrays import as_flags, check_aligned, converted, got, on_device, real
from gpures.arguments.values import fill_number
from gpures.backend.base import Accumulators, MosaicLayout
from gpures.backend.choice import make_accumulators
from gpures.box import Box

__all__ = ["OutputImages", "checked_flags", "fill_text"]

# Types of the images, by the names that the accumulators have for them.
TYPES = {"data": np.float32, "wht": np.float32, "con": np.int32, "dq": np.uint32, "squared": np.float32}

# Their names as arguments.
ARGUMENTS = {"data": "out_img", "wht": "out_wht", "con": "out_ctx", "dq": "out_dq", "squared": "out_img2"}


class OutputImages:
    """Images of a mosaic that may have been begun before.

    An array of the caller's is accumulated in where the backend can; else what has changed is copied into it after
    each exposure, from the part of the frame that the exposure may have touched.

    Parameters
    ----------
    given : dict
        Arrays of the caller's by the accumulators' names, None among them.
    squared : array, list or None
        The same for those averages that have squared weights.
    fills : dict
        Fill values as `fill_text` has them, of "data" and "squared".
    to_host : bool
        Whether images that were not given are numpy arrays, on whatever backend.

    Raises
    ------
    TypeError, ValueError
        An array is not what it should be.
    """

    def __init__(self, given: dict[str, Any], squared: Any, fills: dict[str, str], to_host: bool):
        self._given = {name: _checked_output(image, name) for name, image in given.items() if image is not None}
        self.squared = None if squared is None else _checked_list(squared)
        self._fills = fills
        self._to_host = to_host
        self._has_flags = "dq" in self._given
        self._seen: dict[str, Any] = {}
        self._held: Accumulators | None = None
        self._settled = 0  # passes whose part of the frame is up to date
        self._is_filled = False

    def __getitem__(self, name: str) -> Any:
        """An image as it was given; None for another."""
        return self._given.get(name)

    def shapes(self) -> set[tuple[int, int]]:
        """Shapes (Ny, Nx) of the arrays that were given."""
        images = [*self._given.values(), *(image for image in self.squared or [] if image is not None)]
        return {image.shape[-2:] for image in images}

    @property
    def held(self) -> Accumulators:
        """The accumulators."""
        assert self._held is not None
        return self._held

    @property
    def passes(self) -> int:
        """How many passes are in the sums."""
        return 0 if self._held is None else self._held.passes

    def state(self) -> tuple[Any, ...]:
        """What there is beside the images' values, for `go_back`."""
        return self._held, self._has_flags, self.squared, self._is_filled

    def go_back(self, state: tuple[Any, ...]) -> None:
        """Undo what was begun for an image that is not in the sums."""
        held, had_flags, squared, self._is_filled = state
        if self._held is not held:
            assert self._held is not None
            self._held.close()
            self._held = held
        if held is not None:
            if not had_flags and held.image("dq") is not None:
                held.take({"dq": None})
            if squared is None and held.image("squared"):
                held.take({"squared": []})
        self._has_flags, self.squared = had_flags, squared
        self._seen.clear()

    def has_frame(self) -> bool:
        """Whether the output frame is known."""
        return self._held is not None

    def look(self, name: str) -> Any:
        """An image as the caller sees it; None if there is none."""
        if name == "squared":
            if self._held is None or self.squared is None:
                return self.squared
            images = self._down(name, self.held.image(name))
            return [image if given is None else given for image, given in zip(images, self.squared, strict=True)]
        if name in self._given or self._held is None:
            return self._given.get(name)
        return self._down(name, self.held.image(name))

    def _down(self, name: str, image: Any) -> Any:
        """An image of the accumulators, in host memory if that is wanted."""
        if image is None or not self.held.takes_device_arrays or not self._to_host:
            return image
        if name not in self._seen:
            with self.held.context():
                self._seen[name] = [i.get() for i in image] if name == "squared" else image.get()
        return self._seen[name]

    # ---- accumulating ------------------------------------------------------------------------------------------

    def begin(self, backend: str, frame: MosaicLayout, device: Any, next_id: int) -> None:
        """Make the accumulators of an output frame; those parameters as in `make_accumulators` and `take`."""
        held = make_accumulators(backend, frame, device, self._to_host)
        for name, image in [*self._given.items(), *(("squared", image) for image in self.squared or [])]:
            if on_device(image) and not held.takes_device_arrays:
                raise TypeError(
                    f"'{ARGUMENTS[name]}' is on a GPU, and backend='{held.backend}' works in host memory: use "
                    "backend='cuda', or pass array.get()."
                )
        self._held = held
        self._whole = Box.whole(frame.shape)
        # Where something was given, its pixels without weight are looked at once; new images have their fill values.
        self._settled = held.passes
        self._is_filled = "data" not in self._given and not any(image is not None for image in self.squared or [])
        images = {"data": self._value_of_new("data"), "wht": 0.0} | self._given
        held.take(images | {"squared": self._with_new(self.squared or [])}, next_id)

    def _value_of_new(self, name: str) -> float:
        value = fill_number(self._fills[name])
        return float("nan") if value is None else value

    def _with_new(self, squared: list[Any]) -> list[Any]:
        return [self._value_of_new("squared") if image is None else image for image in squared]

    def begin_flags(self, next_id: int) -> None:
        """Begin with flags, if there are none yet."""
        if not self._has_flags:
            self.held.take({"dq": 0}, next_id)
            self._has_flags = True

    def begin_squared(self, count: int, next_id: int) -> None:
        """Begin with so many averages with squared weights, if there are none yet."""
        if self.squared is None:
            self.squared = [None] * count
            self.held.take({"squared": self._with_new(self.squared)}, next_id)

    def settle(self) -> None:
        """After an exposure: fill values where there is no weight, and the caller's arrays brought up to date."""
        if self._held is None or self.passes == self._settled or not self._held.is_whole():
            return
        window = self.held.window if self._is_filled else self._whole
        for name, text in self._fills.items():
            value = fill_number(text)
            if value is not None:
                self.held.fill(name, value, window)
        self._seen.clear()
        part = window.slices
        for name, given in list(self._given.items()):
            held = self.held.image(name)
            if held.shape == given.shape:
                self._copy_part(held, given, part)
            else:  # a context image that has grown is another array
                del self._given[name]
        squared = self.squared or []
        if any(image is not None for image in squared):
            for held, given in zip(self.held.image("squared"), squared, strict=True):
                if given is not None:
                    self._copy_part(held, given, part)
        self._settled, self._is_filled = self.passes, True

    def _copy_part(self, held: Any, given: Any, part: tuple[Any, ...]) -> None:
        if not on_device(held):
            if not np.may_share_memory(held, given):
                given[part] = held[part]
        elif not on_device(given) or held.data.ptr != given.data.ptr:
            with self.held.context():
                given[part] = held[part] if on_device(given) else held[part].get()


def fill_text(fillval: Any, name: str, is_new: bool) -> str:
    """A fill value as the reference shows it: a number, "NaN", or "INDEF" where pixels of a given array stay.

    Parameters
    ----------
    fillval : float, str or None
        As `gpures.Drizzle` takes it.
    name : str
        What the error calls it.
    is_new : bool
        Whether the image is made anew, so that there is nothing that could stay.

    Raises
    ------
    ValueError, TypeError
        It is no number, and no string that holds one.
    """
    number = fill_number(fillval, name)
    if number is None:
        return "NaN" if is_new else "INDEF"
    return str(number if isinstance(fillval, Fraction) else fillval).strip()  # whose text is no number's


def checked_flags(flags: Any, name: str) -> tuple[Any, np.ndarray | None]:
    """An array of flags, and which are masked; TypeError if they are not integers of at most 32 bits."""
    flags, mask = converted(flags, name)
    if flags.dtype.kind not in "iu" or flags.dtype.itemsize > 4:
        raise TypeError(
            f"'{name}' must be of an unsigned integer type with itemsize of 4 bytes or less. Got {flags.dtype}."
        )
    return flags, mask


def _checked_output(given: Any, name: str) -> Any:
    """An image of a mosaic that goes on, in its type: the array itself if it has that already.

    Raises
    ------
    TypeError
        It does not hold real numbers, or is not an array of flags where it should be.
    ValueError
        It has not as many dimensions as it should, is masked, or can't be written to.
    """
    argument = ARGUMENTS[name]
    check_aligned(given, argument)
    image, mask = checked_flags(given, argument) if name == "dq" else converted(given, argument)
    if name == "dq":
        image = as_flags(image)
    if name == "con" and image.ndim == 2:
        image = image[None]
    if image.ndim != (3 if name == "con" else 2):
        kind = "either a 2D or 3D" if name == "con" else "a 2D"
        raise ValueError(f"'{argument}' must be {kind} array. Got {image.ndim} dimensions.")
    if mask is not None:
        raise ValueError(f"'{argument}' must not be masked: give an array without a mask, of weight 0 in those pixels.")
    image = real(image, argument)
    if name == "con" and (image.dtype.kind not in "iu" or image.dtype.itemsize > 4):
        if not bool(((image >= -(2**31)) & (image < 2**32) & (image == np.floor(image))).all()):
            raise ValueError(f"'{argument}' must hold integers of at most 32 bits, got others in one of {image.dtype}.")
        image = image.astype(np.int64)
    if on_device(image):
        from gpures.backend.cuda.over_pixels import of_type

        return of_type(image, TYPES[name])
    image = image.astype(TYPES[name], copy=False)
    if not image.flags.writeable:
        raise ValueError(f"'{argument}' can't be written to: pass a copy of it.")
    return image


def _checked_list(images: Any) -> list[Any]:
    """``out_img2`` as a list; TypeError if it is none."""
    if hasattr(images, "__array__") or on_device(images):
        images = [images]
    try:
        images = list(images)
    except TypeError as error:
        raise TypeError(f"'out_img2' must be an image or a list of such, got {got(images)}.") from error
    return [None if image is None else _checked_output(image, "squared") for image in images]
