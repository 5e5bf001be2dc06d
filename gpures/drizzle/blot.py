"""`gpures.blot_image`: the `drizzle` package's interpolation of an image, on a CPU's threads or a GPU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpures.arguments.arrays import check_aligned, converted, got, on_device, readable, real
from gpures.arguments.values import (
    NOT_GIVEN,
    check_sides,
    checked_backend,
    checked_number,
    checked_scale,
    checked_switch,
    device_number,
    fill_number,
    warn_of_deprecation,
)
from gpures.backend.blot import OLDER_NAMES
from gpures.backend.choice import blot
from gpures.exposure.structs import BLOT, INTERPOLATIONS

__all__ = ["blot_image"]

# Pixels that an interpolant needs along an axis, where it reflects the image at its edges.
FEWEST_PIXELS = {"poly3": 3, "poly5": 4}


def blot_image(
    data: NDArray[Any],
    pixmap: NDArray[Any],
    pix_ratio: float = NOT_GIVEN,
    exptime: float = NOT_GIVEN,
    output_pixel_shape: Sequence[int] = NOT_GIVEN,
    out_img: NDArray[Any] | None = None,
    fillval: float | str = 0.0,
    iscale: float = 1.0,
    interp: str = "poly5",
    sinscl: float = 1.0,
    *,
    float32_below: float = 0.0,
    backend: str = "auto",
    device: Any = None,
    to_host: bool = True,
) -> NDArray[np.float32]:
    """Interpolate an image at the places that a pixel map says.

    Drop-in for `drizzle.resample.blot_image` (versions 2.2 and 3.0). What it does otherwise is listed below.

    A place lies on the image from the centre of the first pixel, (0, 0), to one pixel beyond that of the last one,
    exclusively. Places elsewhere, and NaN, get the fill value. A value that is read and is NaN makes NaN.

    Parameters
    ----------
    data : ndarray of real numbers (Ny, Nx)
        Image. Float32 and float64 are read as they are, and everything else is converted.
    pixmap : ndarray (My, Mx, 2)
        For each pixel of the output its x and y in ``data``.
    pix_ratio, exptime : float, optional
        Deprecated: ``iscale`` is divided by the square of the first and multiplied by the second.
    output_pixel_shape : (int, int), optional
        Deprecated: (Mx, My), which ``pixmap`` tells.
    out_img : ndarray of float32 (My, Mx), optional
        Where the output goes. An array of another type is copied.
    fillval : float, optional
        Value of pixels that lie beside the image.
    iscale : float, optional
        Factor to the values.
    interp : {"nearest", "linear", "poly3", "poly5", "lanczos3", "lanczos5", "sinc"}, optional
        Interpolant: the nearest pixel; the straight lines, or the polynomials of degree 3 or 5, through the pixels
        around; the windowed sinc of Lanczos, whose factors do not add up to one, over 6 x 6 or 10 x 10 pixels; or the
        sinc of 15 x 15 pixels, tapered and normalised. "lan3" and "lan5" are the older names.
    sinscl : float, optional
        Of "sinc": factor to the distance from the nearest pixel.
    float32_below : float, optional
        Coordinates of a smaller magnitude are rounded to float32, as the drizzle package rounds all of them: what
        stands in for it in pipelines has 1024, up to where that moves a place by no more than 3e-5 pixels. With the
        backend "drizzle" all are.
    backend : {"auto", "cuda", "cpu", "drizzle"}, optional
        As in `gpures.Resample`. "auto" takes the GPU where ``data`` is there already: to send an image up takes longer
        than to interpolate it.
    device : int, str, cupy.cuda.Device or None, optional
        The GPU of the backend "cuda".
    to_host : bool, optional
        With the backend "cuda", whether a new output is a numpy array. Else it is a CuPy array that stays on the GPU.

    Returns
    -------
    ndarray of float32 (My, Mx)
        ``out_img``, where that was given in this type.

    Raises
    ------
    ValueError
        A shape or a value is wrong.
    TypeError
        ``data`` does not hold real numbers, or an array is on a GPU and the backend is not "cuda".
    DeviceError
        The backend is "cuda", and the GPU can't be used.

    Notes
    -----
    As in the drizzle package, the windows of "lanczos3" and "lanczos5" are read from a table of step 0.003, at the
    entry below. Differences from it:

    - Coordinates are float64. There they are rounded to float32, which moves a place by up to 3e-5 pixels at pixel
      1000 and 2e-3 at pixel 40,000, so that a part of an image gave something else than the whole.
    - A place within 1e-6 pixels of a border, the precision of pixel maps, lies on it: just before the first pixel's
      centre it is on the image, just before one pixel beyond the last it is not, and just before the middle between
      two pixels it is nearest to the upper one. There rounding decides.
    - Beyond its upper edge an image is reflected, for "poly3" and "poly5", as it is at the other three; there the last
      of the rows that are read is another, or memory beside the image.
    - "nearest" reads the last pixel half a pixel beyond its centre and further; there it is the next row's first one.
    - "sinc" computes its definition; there it reads beyond its tables, and one pixel aside.
    - NaN in ``pixmap`` gives the fill value; there it is an error.
    """
    if pix_ratio is not NOT_GIVEN:
        warn_of_deprecation("pix_ratio", "iscale=1 / pix_ratio**2")
        iscale = iscale / (checked_scale(pix_ratio, "pix_ratio") ** 2)
    if exptime is not NOT_GIVEN:
        warn_of_deprecation("exptime", "iscale=exptime")
        iscale = iscale * checked_scale(exptime, "exptime")
    pixmap = readable(pixmap, "pixmap")
    if pixmap.ndim != 3 or pixmap.shape[2] != 2:
        raise ValueError(f"'pixmap' must have the shape (My, Mx, 2), got {pixmap.shape}.")
    shape = pixmap.shape[:2]
    if output_pixel_shape is not NOT_GIVEN:
        warn_of_deprecation("output_pixel_shape", "a 'pixmap' of that shape")
        given = tuple(output_pixel_shape) if np.iterable(output_pixel_shape) else output_pixel_shape
        if not (isinstance(given, tuple) and len(given) == 2 and given == shape[::-1]):
            raise ValueError(
                f"'output_pixel_shape' must be (Mx, My) as 'pixmap' has it, {shape[::-1]}, got {got(given)}."
            )
    data = readable(data, "data")
    interp = OLDER_NAMES.get(interp, interp) if isinstance(interp, str) else interp
    if not isinstance(interp, str) or interp not in INTERPOLATIONS:
        raise ValueError(f"Unknown interp type {got(interp)}: 'interp' must be one of {INTERPOLATIONS}.")
    fewest = FEWEST_PIXELS.get(interp, 1)
    if data.ndim != 2 or min(data.shape) < fewest:
        raise ValueError(
            f"'data' must be an image of at least {fewest} x {fewest} pixels for interp='{interp}', got the shape "
            f"{data.shape}."
        )
    check_sides(data.shape, "'data'")
    check_sides(shape, "The image that 'pixmap' asks for")
    if out_img is not None:
        check_aligned(out_img, "out_img")
        out_img = real(converted(out_img, "out_img")[0], "out_img").astype(np.float32, copy=False)
        if out_img.shape != shape:
            raise ValueError(f"'out_img' must have the shape of 'pixmap', {shape}, got {out_img.shape}.")
        if isinstance(out_img, np.ndarray) and not out_img.flags.writeable:
            raise ValueError("'out_img' can't be written to: pass a copy of it.")

    record = np.zeros((), BLOT)
    record["ny"], record["nx"] = data.shape
    record["interpolation"] = INTERPOLATIONS.index(interp)
    record["out_ny"], record["out_nx"] = shape
    record["scale"] = checked_scale(iscale, "iscale")
    record["fill"] = _checked_fill(fillval)
    record["sinc_scale"] = checked_scale(sinscl, "sinscl")
    record["float32_below"] = checked_number(float32_below, "float32_below", 0.0, math.inf)
    there = [name for name, array in (("data", data), ("pixmap", pixmap), ("out_img", out_img)) if on_device(array)]
    backend, to_host = checked_backend(backend), checked_switch(to_host, "to_host")
    device_number(device)
    if backend == "auto":
        backend = "cuda" if there else "cpu"
    if there and backend != "cuda":
        raise TypeError(
            f"'{there[0]}' is on a GPU, and backend='{backend}' works in host memory: use backend='cuda', or pass "
            "array.get()."
        )
    return blot(backend, record, data, pixmap, out_img, device, to_host)


def _checked_fill(fillval: Any) -> float:
    """A fill value as a number; TypeError or ValueError if it is none."""
    fill = fill_number(fillval)
    if fill is None:
        raise TypeError(f"'fillval' must be a number, got {got(fillval)}.")
    return fill
