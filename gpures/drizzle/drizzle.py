"""The `drizzle` package's API on the backends of gpures: `Drizzle`, and `gpures.blot_image` beside it."""

from __future__ import annotations

import copy
import operator
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpures.arguments.arrays import as_host, converted, got, on_device, readable, real
from gpures.arguments.values import (
    LARGEST,
    LARGEST_SIDE,
    MOST_IMAGES,
    NOT_GIVEN,
    SMALLEST,
    checked_backend,
    checked_integer,
    checked_number,
    checked_ratio,
    checked_real,
    checked_scale,
    checked_shape,
    checked_switch,
    checked_word,
    device_number,
    noted,
    warn_of_deprecation,
)
from gpures.backend.base import BITS_PER_PLANE, MosaicLayout
from gpures.box import Box
from gpures.drizzle.output_images import OutputImages, checked_flags, fill_text
from gpures.exposure.drops import KERNELS, LARGEST_PIXFRAC, effective_kernel, sizing_ratio, warn_of_kernel
from gpures.exposure.exposure import Exposure, clipped_limits
from gpures.exposure.options import PRECISIONS
from gpures.exposure.pixmap import PixelMap
from gpures.exposure.structs import MOST_PLANES
from gpures.exposure.weights import Weight, union

__all__ = ["Drizzle"]

# What is counted of the images, by the attributes' names.
COUNTS = ("_exptime", "_ctx_id", "_added", "_origin", "_backend")


class Drizzle:
    """Co-add images onto one output grid with the drizzle algorithm, given their pixel maps.

    Drop-in for `drizzle.resample.Drizzle` (versions 2.2 and 3.0): the same arguments, attributes and results. What it
    does otherwise is listed below.

    An output pixel is the weighted mean of the input pixels whose drops fall on it (Fruchter & Hook 2002, PASP 114,
    144). The centre of the first pixel has the coordinates (0, 0); it spans -0.5 ... 0.5.

    Output arrays that are given, and have the types named, are accumulated in: they are up to date after each
    `add_image`. Others are copied to those types first, and ``out_*`` are the copies.

    Parameters
    ----------
    kernel : {"square", "gaussian", "point", "turbo", "lanczos2", "lanczos3"}, optional
        Shape of a drop. Gaussian and Lanczos drops do not conserve flux, and say so in a warning.
    fillval, fillval2 : float, str or None, optional
        Value of pixels of ``out_img``, and of ``out_img2``, without contributions: a number, a string that holds one,
        "NaN"; None or "INDEF" leave such pixels of an array that was given as they are, and those of a new one NaN.
    out_shape : (int, int), optional
        Shape (Ny, Nx) of the output frame. Where neither it nor an output array tells, the frame is the smallest that
        holds the centres of the first image's pixels, and pixel maps count from that image's first pixel on.
    out_img, out_wht : ndarray of float32 (Ny, Nx), optional
        Weighted mean and sum of weights of a mosaic that is to be continued.
    out_ctx : ndarray of int32 (Ny, Nx) or (planes, Ny, Nx), optional
        Its context image: bit ``k % 32`` of plane ``k // 32`` says that image k contributed.
    out_img2 : ndarray of float32 (Ny, Nx), or list of such and None, optional
        Its averages with squared weights, which is what the variance of a weighted mean is.
    out_dq : ndarray of uint32 (Ny, Nx), optional
        Its data quality flags.
    exptime : float, optional
        Its exposure time (seconds).
    begin_ctx_id : int, optional
        Number in the context image of the first image that will be added.
    max_ctx_id : int, optional
        Largest number that is expected; makes room in a new context image, which grows as it must.
    disable_ctx : bool, optional
        Make no context image.
    backend : {"auto", "cuda", "cpu", "drizzle"}, optional
        As in `gpures.Resample`.
    device : int, str, cupy.cuda.Device or None, optional
        The GPU of the backend "cuda".
    to_host : bool, optional
        With the backend "cuda", whether output arrays that were not given are numpy arrays, made when somebody looks.
        Else they are CuPy arrays that stay on the GPU.
    deterministic : bool, optional
        As in `gpures.Resample`.
    precision : {"double", "single"}, optional
        As in `gpures.Resample`.

    Raises
    ------
    ValueError
        An argument has a value that it can't have, or arrays contradict each other.
    TypeError
        ``out_dq`` does not hold integers of at most 32 bits.
    MemoryError
        The output frame would not fit in memory.
    DeviceError
        The backend is "cuda", and the GPU can't be used.

    Notes
    -----
    Differences from the drizzle package, each because it is wrong there:

    - Every input pixel that overlaps the frame counts; the package loses some where an image sticks out of it.
    - `add_image` returns true numbers of pixels and rows without effect.
    - A frame from the first pixel map has the shape (height, width), and later maps have the same origin as the first.
    - ``pixel_scale_ratio=None`` estimates the ratio, the package its inverse.
    - ``fillval2`` is used whether or not there is a ``fillval``; "nan" in any case is NaN.
    - Output arrays of the right type that are not contiguous are written to.
    - A mosaic of 32 images, whose last bit is an integer's sign, can be continued.
    - Flags of signed integers are their bits; there int8 and int16 are extended by their sign.
    - Where weights add up to more than float32 holds, ``out_wht`` is infinite, with a warning, and averages hold. A
      mosaic that goes on with infinite weights takes them for the least that is, 3.4e38.
    - Weights that are not finite are 0, and pixels of weight 0 have no effect, whatever their values.
    - What is wrong with an image is found before anything is changed.
    - A masked pixel of data, flags or weights has weight 0; what is masked in a pixel map or a variance is NaN.
    """

    def __init__(
        self,
        kernel: str = "square",
        fillval: float | str | None = None,
        fillval2: float | str | None = None,
        out_shape: Sequence[int] | None = None,
        out_img: NDArray[Any] | None = None,
        out_wht: NDArray[Any] | None = None,
        out_ctx: NDArray[Any] | None = None,
        out_img2: NDArray[Any] | Sequence[NDArray[Any] | None] | None = None,
        out_dq: NDArray[Any] | None = None,
        exptime: float = 0.0,
        begin_ctx_id: int = 0,
        max_ctx_id: int | None = None,
        disable_ctx: bool = False,
        *,
        backend: str = "auto",
        device: Any = None,
        to_host: bool = True,
        deterministic: bool = False,
        precision: str = "double",
    ) -> None:
        self._backend = checked_backend(backend)
        device_number(device)
        self._device = device
        self._deterministic = checked_switch(deterministic, "deterministic")
        self._precision = checked_word(precision, "precision", PRECISIONS)
        disable_ctx = checked_switch(disable_ctx, "disable_ctx")
        self._context_planes = 0 if disable_ctx else _checked_ids(begin_ctx_id, max_ctx_id) // BITS_PER_PLANE + 1
        self._ctx_id = None if disable_ctx else operator.index(begin_ctx_id)
        self._exptime = checked_real(exptime, "exptime")
        if not 0.0 <= self._exptime <= LARGEST:
            raise noted(
                ValueError("Exposure time must be non-negative."), f"'exptime' must be finite, got {got(exptime)}."
            )
        if exptime > 0.0 and out_img is None and out_ctx is None and out_wht is None:
            raise ValueError(
                "Exposure time must be 0.0 for the first resampling: 'exptime' is that of the mosaic in 'out_img', "
                f"'out_wht' and 'out_ctx', none of which was given, got {got(exptime)}."
            )
        if not isinstance(kernel, str) or kernel.lower() not in KERNELS:
            raise noted(ValueError(f"Kernel {got(kernel)} is not supported."), f"'kernel' must be one of {KERNELS}.")
        self._kernel = kernel
        self._fillval = fill_text(fillval, "fillval", out_img is None)
        self._fillval2 = fill_text(fillval2, "fillval2", out_img2 is None)
        given = {"data": out_img, "wht": out_wht, "con": None if disable_ctx else out_ctx, "dq": out_dq}
        fills = {"data": self._fillval, "squared": self._fillval2}
        self._images = OutputImages(given, out_img2, fills, checked_switch(to_host, "to_host"))
        shapes = self._images.shapes()
        if out_shape is not None:
            shapes.add(checked_shape(out_shape, "out_shape"))
        if len(shapes) > 1:
            raise ValueError(
                "Inconsistent data shapes specified: 'out_shape' and the arrays out_img, out_img2, out_wht, out_ctx, "
                f"out_dq must agree, got {sorted(shapes)}."
            )
        self._check_consistency(self._images["wht"], self._images["con"])
        self._added = 0
        self._origin = (0, 0)
        self._lock = threading.RLock()
        self._undo: tuple[int, dict[str, Any], Any] | None = None
        if shapes:
            self._begin(checked_shape(shapes.pop(), "out_shape"))

    def _check_consistency(self, wht: Any, con: Any) -> None:
        """Refuse weights and contexts that contradict each other or the exposure time."""
        if self._exptime == 0.0 and any(image is not None and bool((image != 0).any()) for image in (wht, con)):
            raise ValueError(
                "Inconsistent exposure time and context and/or weight images: 'exptime' can't be 0 where 'out_ctx' or "
                "'out_wht' are not."
            )
        if self._ctx_id is None or (wht is None and con is None):
            return
        weighted = None if wht is None else wht > 0
        seen = None if con is None else (con != 0).any(axis=0)
        differs: Any = seen if weighted is None else weighted if seen is None else weighted != seen
        if bool(differs.any()):
            raise ValueError(
                "Inconsistent values of supplied 'out_wht' and 'out_ctx' arrays: pixels of positive weight, and no "
                "others, must have bits in the context image."
            )

    def _begin(self, shape: tuple[int, int]) -> None:
        """Make the accumulators of an output frame."""
        frame = MosaicLayout(
            shape=shape,
            kernel=self._kernel.lower(),
            fillval=None,
            context_planes=self._context_planes,
            deterministic=self._deterministic,
            single=self._precision == "single",
        )
        self._images.begin(self._backend, frame, self._device, self._ctx_id or 0)
        self._backend = self._images.held.backend

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            self._settle(self._undo)
            return {name: value for name, value in self.__dict__.items() if name not in ("_lock", "_undo")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()
        self._undo = None

    def __copy__(self) -> Drizzle:
        return copy.deepcopy(self)  # or both would accumulate in the same arrays

    # ---- what it is --------------------------------------------------------------------------------------------

    @property
    def kernel(self) -> str:
        """Name of the kernel."""
        return self._kernel

    @property
    def backend(self) -> str:
        """Name of the backend in use: "cuda", "cpu" or "drizzle"; "auto" as long as there is no output frame."""
        return self._backend

    @property
    def fillval(self) -> str:
        """Value of output pixels without contributions, as a string: a number, "NaN" or "INDEF"."""
        return self._fillval

    @property
    def fillval2(self) -> str:
        """Value of pixels of ``out_img2`` without contributions, as a string."""
        return self._fillval2

    @property
    def ctx_id(self) -> int | None:
        """Number in the context image of the next image; None where there is no context image."""
        return self._ctx_id

    @property
    def total_exptime(self) -> float:
        """Exposure time of all images added, and of the mosaic begun with (seconds)."""
        return self._exptime

    @property
    def out_img(self) -> NDArray[np.float32]:
        """Weighted mean, float32 (Ny, Nx)."""
        return self._look("data")

    @property
    def out_wht(self) -> NDArray[np.float32]:
        """Sum of weights, float32 (Ny, Nx)."""
        return self._look("wht")

    @property
    def out_ctx(self) -> NDArray[np.int32] | None:
        """Context image, int32 (planes, Ny, Nx); None if there is none."""
        return None if self._ctx_id is None else self._look("con")

    @property
    def out_dq(self) -> NDArray[np.uint32] | None:
        """Data quality flags, uint32 (Ny, Nx), combined by OR; None as long as there are none."""
        return self._look("dq")

    @property
    def out_img2(self) -> list[NDArray[np.float32]] | None:
        """List of the averages with squared weights, float32 (Ny, Nx); None if there are none."""
        return self._look("squared")

    def _look(self, name: str) -> Any:
        with self._lock:
            self._settle(self._undo)
            self._check_whole()
            return self._images.look(name)

    def _check_whole(self) -> None:
        if self._images.has_frame():
            self._images.held.check_whole()

    # ---- adding ------------------------------------------------------------------------------------------------

    def add_image(
        self,
        data: NDArray[Any],
        exptime: float,
        pixmap: NDArray[Any],
        data2: NDArray[Any] | Sequence[NDArray[Any] | None] | None = None,
        dq: NDArray[Any] | None = None,
        scale: float = NOT_GIVEN,
        iscale: float = 1.0,
        pixel_scale_ratio: float | None = 1.0,
        weight_map: NDArray[Any] | None = None,
        wht_scale: float = 1.0,
        pixfrac: float = 1.0,
        in_units: str = "cps",
        xmin: int | None = None,
        xmax: int | None = None,
        ymin: int | None = None,
        ymax: int | None = None,
    ) -> tuple[int, int]:
        """Resample an image and add it to the mosaic.

        Nothing that is passed is changed. Arrays may have any strides, byte order and real type.

        Parameters
        ----------
        data : ndarray (Ny, Nx)
            Image.
        exptime : float
            Its exposure time (seconds), positive.
        pixmap : ndarray (Ny, Nx, 2)
            Output coordinates x, y of the pixels' centres; NaN where a pixel has none.
        data2 : ndarray (Ny, Nx), or list of such and None, optional
            Variances, or what else is to be averaged with squared weights; the same number each time. None, or an
            empty array, stands for zeros.
        dq : ndarray of integers of at most 32 bits (Ny, Nx), optional
            Data quality flags.
        scale : float, optional
            Deprecated: sets ``pixel_scale_ratio`` to it and ``iscale`` to its square.
        iscale : float, optional
            Factor to the data; ``data2`` is multiplied by its square.
        pixel_scale_ratio : float or None, optional
            Output over input pixel scale, which sizes the drops of all kernels but "square" and "point"; None
            estimates it from the pixel map.
        weight_map : ndarray (Ny, Nx), optional
            Weights of the pixels; None for 1.
        wht_scale : float, optional
            Factor to the weights.
        pixfrac : float, optional
            Linear size of a drop in input pixels, 0 to 2. At 0.001 or less drops are points, with a warning.
        in_units : {"cps", "counts"}, optional
            Counts are divided by the exposure time, and ``data2`` by its square.
        xmin, xmax, ymin, ymax : int, optional
            Input pixels used, the last ones included; None, or beyond the image, means its edge, as do last ones of 0.

        Returns
        -------
        nmiss, nskip : int
            How many of these pixels have drops that fall beside the output frame (or no coordinates), and how many rows
            consist of such alone.

        Raises
        ------
        ValueError
            A shape or a value is wrong. Nothing has been changed then, whichever error it is.
        TypeError
            Something is of the wrong type.
        """
        if scale is not NOT_GIVEN:
            warn_of_deprecation("scale", "iscale=scale**2 and pixel_scale_ratio=scale")
            pixel_scale_ratio = checked_ratio(scale, "scale")
            iscale = pixel_scale_ratio**2
        data, mask = converted(data, "data")
        shape = real(data, "data").shape
        if data.ndim != 2 or data.size == 0:
            raise ValueError(f"'data' must be an image, of shape (Ny, Nx), got the shape {shape}.")
        full = _checked_pixmap(pixmap, shape)
        squared = self._checked_squared(data2, shape)
        exptime = checked_real(exptime, "exptime")
        if not SMALLEST <= exptime <= LARGEST:
            raise noted(ValueError("'exptime' *must* be a strictly positive number."), f"Got {got(exptime)}.")
        if dq is not None:
            dq, of_dq = checked_flags(dq, "dq")
            if dq.shape != shape:
                raise ValueError(f"'dq' shape is not consistent with 'data' shape. Got {dq.shape}, for {shape}.")
            mask = union(mask, of_dq)
        weight = _checked_weight(weight_map, wht_scale, shape, mask)
        if not isinstance(in_units, str) or in_units not in ("cps", "counts"):
            raise ValueError(f"Unknown unit type {got(in_units)}: 'in_units' must be 'cps' or 'counts'.")
        iscale = checked_scale(iscale, "iscale") / (exptime if in_units == "counts" else 1.0)
        pixfrac = checked_number(pixfrac, "pixfrac", 0.0, LARGEST_PIXFRAC)
        image = Exposure(
            data=data,
            pixmap=PixelMap.from_array(full),
            weight=weight,
            limits=_checked_limits((xmin, xmax, ymin, ymax), full),
            dq=dq,
            squared=squared,
            pixfrac=pixfrac,
            iscale=iscale,
            kernel=effective_kernel(self._kernel, pixfrac),
        )
        with self._lock:
            self._settle(self._undo)
            self._check_whole()
            counts = {name: getattr(self, name) for name in COUNTS}
            undo = self._undo = (self._images.passes, counts, self._images.state())
            try:
                image.context_id = self._ctx_id or 0
                if not self._images.has_frame():
                    shape, self._origin = frame_around(full)
                    self._begin(shape)
                full = full if self._origin == (0, 0) else full - self._origin
                # As the output's WCS is not known, only so long steps may lead across a seam of it.
                image.pixmap = PixelMap.from_array(full, jump=max(self._images.held.layout.shape) / 2)
                image.pixel_scale_ratio = _drop_scale_ratio(pixel_scale_ratio, image, self._images.held.layout.shape)
                missed = self._images.held.misses(image)
                self._exptime += exptime
                self._ctx_id = None if self._ctx_id is None else self._ctx_id + 1
                self._added += 1
                self._add(image)
            except BaseException as error:
                if self._images.passes > undo[0]:  # as where Ctrl-C was pressed in the midst of it
                    error.add_note("The image has been added to the mosaic: go on with the next one.")
                raise
            finally:
                self._settle(undo)
        return missed

    def _settle(self, undo: tuple[int, dict[str, Any], Any] | None) -> None:
        """Have what is counted, and the caller's arrays, agree with what is in the sums."""
        if undo is not None:
            passes, counts, images = undo
            if self._images.passes == passes:
                self.__dict__.update(counts)
                self._images.go_back(images)
            self._undo = None
        self._images.settle()

    def _checked_squared(self, data2: Any, shape: tuple[int, int]) -> list[Any]:
        """What is to be averaged with squared weights."""
        if data2 is None:
            squared = []
        elif hasattr(data2, "__array__") or on_device(data2):
            squared = [readable(data2, "data2")]
            if squared[0].shape != shape:
                there = squared[0].shape
                raise ValueError(f"'data2' shape is not consistent with 'data' shape. Got {there}, for {shape}.")
        else:
            try:
                given = list(data2)
            except TypeError as error:
                raise TypeError(f"'data2' must be an image or a list of such, got {got(data2)}.") from error
            # Zeros, as the mean of the others is over all weights.
            nothing = np.broadcast_to(np.float32(0), shape)
            squared = [nothing if a is None else readable(a, "data2") for a in given]
            squared = [array if array.size else nothing for array in squared]
            shapes = [array.shape for array in squared]
            if any(of_array != shape for of_array in shapes):
                raise ValueError(f"'data2' shape(s) is not consistent with 'data' shape. Got {shapes}, for {shape}.")
        there = self._images.squared
        if there is None and self._added:
            there = []
        if there is not None and len(there) != len(squared):
            raise ValueError(
                "Mismatch between the number of 'out_img2' images and of 'data2' arrays, which must be the same for "
                f"each image: there are {len(there)}, got {len(squared)}."
            )
        if len(squared) >= MOST_PLANES:
            raise ValueError(f"'data2' may have at most {MOST_PLANES - 1} arrays, got {len(squared)}.")
        return squared

    def _add(self, image: Exposure) -> None:
        held = self._images.held
        if not held.takes_device_arrays and any(map(on_device, image.arrays().values())):
            raise TypeError(
                f"'data', 'data2', 'dq' or 'weight_map' is on a GPU, and backend='{held.backend}' works in host "
                "memory: use backend='cuda', or pass array.get()."
            )
        warn_of_kernel(self._kernel, image.pixfrac, stacklevel=3)
        if image.dq is not None:
            self._images.begin_flags(image.context_id)
        if image.squared:
            self._images.begin_squared(len(image.squared), image.context_id)
        held.add(image)


# ---- checks ----------------------------------------------------------------------------------------------------------


def _checked_ids(first: Any, last: Any) -> int:
    """Largest number expected in the context image; ValueError if it can't be."""
    first = checked_integer(first, "begin_ctx_id")
    if first < 0 or first >= MOST_IMAGES:
        raise ValueError(f"Invalid context image ID: 'begin_ctx_id' must be 0 or more, got {got(first)}.")
    last = first if last is None else checked_integer(last, "max_ctx_id")
    if last < first:
        raise ValueError(f"'max_ctx_id' cannot be smaller than 'begin_ctx_id'. Got {got(last)} and {first}.")
    if last >= MOST_IMAGES:
        raise ValueError(f"'max_ctx_id' must be less than {MOST_IMAGES}, got {got(last)}.")
    return last


def _checked_pixmap(pixmap: Any, shape: tuple[int, int]) -> np.ndarray:
    """A pixel map in host memory, float64; NaN where it is masked.

    Raises
    ------
    TypeError
        It does not hold real numbers.
    ValueError
        It is not of the data's shape, with an x and a y for each pixel.
    """
    full = readable(pixmap, "pixmap")
    if full.shape != (*shape, 2):
        raise noted(
            ValueError("'pixmap' shape is not consistent with 'data' shape."),
            f"'pixmap' has the shape {full.shape}, and should have {(*shape, 2)}.",
        )
    return np.asarray(as_host(full), np.float64)


def _checked_weight(weight_map: Any, wht_scale: Any, shape: tuple[int, int], mask: np.ndarray | None) -> Weight:
    """What the weights are made of, 0 where pixels are masked; ValueError if the map is not of the data's shape."""
    constant = float(np.float32(checked_scale(wht_scale, "wht_scale")))
    if weight_map is not None:
        weight_map = readable(weight_map, "weight_map")
        if weight_map.shape != shape:
            there = weight_map.shape
            raise ValueError(f"'weight_map' shape is not consistent with 'data' shape. Got {there}, for {shape}.")
    if mask is not None:
        weight_map = ~mask if weight_map is None else np.where(mask, weight_map.dtype.type(0), as_host(weight_map))
    return Weight(weight_map=weight_map, constant=constant)


def frame_around(full: np.ndarray) -> tuple[tuple[int, int], tuple[int, int]]:
    """Shape (Ny, Nx) and first pixel (x, y) of the frame that holds the centres of an image's pixels.

    Raises
    ------
    ValueError
        It would have too long a side.
    """
    x, y = full[..., 0], full[..., 1]
    finite = np.isfinite(x) & np.isfinite(y)
    edges = [np.floor(x[finite].min()), np.ceil(x[finite].max()), np.floor(y[finite].min()), np.ceil(y[finite].max())]
    if max(map(abs, edges)) > LARGEST_SIDE:
        raise ValueError(
            f"'pixmap' must lie within {LARGEST_SIDE} pixels of (0, 0) to begin a frame, got x from {edges[0]} to "
            f"{edges[1]} and y from {edges[2]} to {edges[3]}: give 'out_shape'."
        )
    x0, x1, y0, y1 = map(int, edges)
    return checked_shape((y1 - y0 + 1, x1 - x0 + 1)), (x0, y0)


def _drop_scale_ratio(ratio: float | None, image: Exposure, frame: tuple[int, int]) -> float:
    """Pixel scale ratio that sizes the drops of an image."""

    def estimated() -> float:
        try:
            return image.pixmap.mean_scale_ratio(frame, image.limits)
        except ValueError:
            # An image beside the frame, which its drops may reach yet: the ratio in its middle, put into a frame.
            j, i = ((first + last) // 2 for first, last in (image.limits[2:], image.limits[:2]))
            middle = image.pixmap.array()[j : j + 2, i : i + 2]
            return PixelMap.from_array(middle - middle[0, 0]).mean_scale_ratio((1, 1), Box(0, 1, 0, 1))

    assert image.kernel is not None
    return float(np.float32(sizing_ratio(ratio, image.kernel, estimated)))  # as the reference hands it on


def _checked_limits(limits: tuple[Any, ...], pixmap: np.ndarray) -> Box:
    """xmin, xmax, ymin, ymax of the pixels used.

    Raises
    ------
    ValueError
        They are fewer than two rows or columns, or fewer than that have coordinates.
    TypeError
        A limit is not an integer.
    """
    xmin, xmax, ymin, ymax = clipped = clipped_limits(limits, pixmap.shape, no_limit=0)
    if xmax == xmin or ymax == ymin:
        raise ValueError(
            f"'xmax' must be > 'xmin', and 'ymax' > 'ymin', got {got(limits)} for {pixmap.shape[:2]} pixels."
        )
    part = pixmap[ymin : ymax + 1, xmin : xmax + 1]
    # Nearly always each edge has a pixel with coordinates, and no more need be looked at.
    if not all(np.isfinite(edge).all(axis=-1).any() for edge in (part[0], part[-1], part[:, 0], part[:, -1])):
        valid = np.isfinite(part).all(axis=-1)
        if valid.any(axis=0).sum() < 2 or valid.any(axis=1).sum() < 2:
            raise ValueError(
                "No or too few valid pixels in the pixel map: 'pixmap' is finite in less than 2 x 2 of them."
            )
    return clipped
