"""Which pixels of a plane are drawn: a part of the frame, those with weight, averaged where they are too many."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

import numpy as np

from gpures.arguments.arrays import as_host
from gpures.typing import MosaicLike
from gpures.wcs.positions import pixel_at
from gpures.wcs.transforms import ARCSEC_PER_RADIAN, compute_mean_pixel_area

__all__ = [
    "Drawable",
    "Part",
    "Pixels",
    "depth_pixels",
    "flag_pixels",
    "image_of",
    "means",
    "model_of",
    "part_of",
    "plane_pixels",
    "scale_of",
]

log = logging.getLogger(__name__)

# Most pixels drawn along a side: more than a panel has on any screen or page.
MOST = 2000


@dataclass(frozen=True)
class Part:
    """A part of the frame: a slice of its arrays, and its outer edges in pixels.

    Attributes
    ----------
    rows, columns : slice
        What of the arrays is needed.
    xlim, ylim : (float, float)
        Edges; they may lie outside the frame.
    """

    rows: slice
    columns: slice
    xlim: tuple[float, float]
    ylim: tuple[float, float]

    @property
    def shape(self) -> tuple[float, float]:
        """Height and width, pixels."""
        return self.ylim[1] - self.ylim[0], self.xlim[1] - self.xlim[0]


@dataclass(frozen=True)
class Pixels:
    """What is drawn of a plane.

    Attributes
    ----------
    values : numpy.ma.MaskedArray (ny, nx)
        Pixels, or means of blocks of them; masked where there is nothing.
    extent : (float, float, float, float)
        Their outer edges (left, right, bottom, top) in pixels of the frame.
    """

    values: np.ma.MaskedArray
    extent: tuple[float, float, float, float]


class _Made(Protocol):
    """What `gpures.mosaic` gives, as far as it is looked at."""

    @property
    def model(self) -> MosaicLike: ...

    @property
    def unit(self) -> str | None: ...


#: What is drawn: an output model, what `gpures.mosaic` gives, or the path of a mosaic's file.
Drawable: TypeAlias = MosaicLike | _Made | str | os.PathLike[str]


def model_of(given: Drawable) -> Mapping[str, Any]:
    """The output model of a mosaic that is given as such, as `gpures.mosaic` gives it, or by the path of its file.

    Any FITS image will do; where it has no WCS that can be used, the log says why, and it is drawn on pixels.
    """
    if isinstance(given, (str, os.PathLike)):
        return _of_file(Path(given))
    if hasattr(given, "model"):
        made = cast(_Made, given)
        return dict(made.model) | {"bunit_data": made.unit}
    return cast(Mapping[str, Any], given)


def _of_file(path: Path) -> Mapping[str, Any]:
    from gpures.io import FileError, MissingFileError, read_mosaic
    from gpures.io.any_image import pixels_of
    from gpures.io.mosaic_reader import seen
    from gpures.io.zarr_layout import is_store

    if is_store(path):
        return seen(path)  # whose images are read where they are drawn
    try:
        return read_mosaic(path)
    except MissingFileError:
        raise
    except FileError as error:
        try:
            model = pixels_of(path)
        except FileError:
            model = None
        if model is None:
            raise
        log.warning("%s Axes are numbered in pixels.", error)
        return model


def image_of(model: Mapping[str, Any], key: str) -> Any:
    """An image of an output model, where it lies.

    Raises
    ------
    ValueError
        There is none.
    """
    if model.get(key) is None:
        raise ValueError(f"The output model has no image {key!r}{WANTED.get(key, '')}.")
    return model[key]


# Images whose bits tell something; in any FITS file one of that name may be something else.
BITS = ("con", "dq")


def is_of_bits(image: Any) -> bool:
    """Whether an image holds integers."""
    return image.dtype.kind in "iu"


def _bits_of(model: Mapping[str, Any], key: str) -> Any:
    image = image_of(model, key)
    if not is_of_bits(image):
        raise ValueError(f"{key!r} must hold integers, got {image.dtype}.")
    return image


# What to do where an image is missing.
WANTED = {
    "con": ": resample with enable_ctx=True",
    "dq": ": resample with propagate_dq=True",
    "err": ": resample with compute_err='from_var' or 'driz_err'",
    "exptime_map": ": resample with enable_exptime_map=True",
} | dict.fromkeys(("var_rnoise", "var_poisson", "var_flat"), ": resample with enable_var=True")


def scale_of(model: Mapping[str, Any]) -> float:
    """Side of an output pixel, arcsec; NaN where nothing tells it."""
    area = model.get("pixelarea_arcsecsq")
    if area is None and model.get("wcs") is None:
        return math.nan
    if area is None:
        area = (compute_mean_pixel_area(model["wcs"]) or math.nan) * ARCSEC_PER_RADIAN**2
    return math.sqrt(area)


def part_of(model: Mapping[str, Any], around: Any = None, size: Any = None) -> Part:
    """The part around a position, or the whole frame.

    Parameters
    ----------
    model : mapping
        Output model.
    around : SkyCoord or (float, float), optional
        Middle; a pair is right ascension and declination in degrees, or whatever the world axes are.
    size : float or (float, float), optional
        Width and height, arcsec; a fifth of the frame if missing.

    Raises
    ------
    ValueError
        ``size`` is not positive, or no pixel of the frame lies in the part.
    """
    ny, nx = np.shape(model["data"])
    if around is None:
        if size is not None:
            raise ValueError("'size' needs 'around', the position in the middle.")
        return Part(slice(0, ny), slice(0, nx), (-0.5, nx - 0.5), (-0.5, ny - 0.5))
    if model.get("wcs") is None:
        raise ValueError("'around' needs a WCS, and the image has none.")
    x, y = pixel_at(model["wcs"], around)
    sides = np.broadcast_to(np.array([nx, ny]) / 5 if size is None else np.asarray(size, float) / scale_of(model), (2,))
    if not (np.all(sides > 0) and np.all(np.isfinite(sides))):
        raise ValueError(f"'size' must be one or two positive numbers of arcsec, got {size!r}.")
    xlim, ylim = (x - sides[0] / 2, x + sides[0] / 2), (y - sides[1] / 2, y + sides[1] / 2)
    if not (xlim[0] < nx - 0.5 and xlim[1] > -0.5 and ylim[0] < ny - 0.5 and ylim[1] > -0.5):  # NaN is outside as well
        raise ValueError(f"No pixel of the frame, of {nx} x {ny} pixels, lies around {around!r}.")
    return Part(_pixels_within(ylim, ny), _pixels_within(xlim, nx), xlim, ylim)


def _pixels_within(limits: tuple[float, float], n: int) -> slice:
    """Those of a row of n pixels that reach between two edges."""
    return slice(max(0, math.floor(limits[0] + 0.5)), min(n, math.ceil(limits[1] + 0.5)))


def _blocked(values: np.ma.MaskedArray, cut: _Cut) -> Pixels:
    left, bottom, side = cut.columns.start - 0.5, cut.rows.start - 0.5, cut.side
    ny, nx = values.shape
    return Pixels(values, (left, left + side * nx, bottom, bottom + side * ny))


@dataclass(frozen=True)
class _Cut:
    """Which pixels are taken for a part: blocks of a side, which are one pixel each of an overview if there is one."""

    rows: slice
    columns: slice
    side: int
    is_overview: bool = False

    def of(self, image: Any) -> Any:
        """The pixels themselves, or those of the overview."""
        if not self.is_overview:
            return image[..., self.rows, self.columns]
        rows, columns = (slice(cut.start // self.side, -(-cut.stop // self.side)) for cut in (self.rows, self.columns))
        return image.overviews[self.side][..., rows, columns]


def _cut_of(images: Sequence[Any], part: Part) -> _Cut:
    """What is taken of images for a part: of mosaics in zarr the first overview that there is room for."""
    longest = max(part.rows.stop - part.rows.start, part.columns.stop - part.columns.start)
    side = -(-longest // MOST)
    for level in sorted(set.intersection(*({*getattr(image, "overviews", ())} for image in images))):
        if level >= side > 1:
            rows, columns = (slice(cut.start // level * level, cut.stop) for cut in (part.rows, part.columns))
            return _Cut(rows, columns, level, True)
    return _Cut(part.rows, part.columns, side)


def means(image: np.ndarray, good: np.ndarray, side: int) -> np.ma.MaskedArray:
    """Means over blocks of those pixels that are good; the last blocks may be cut off by the edge.

    One row of blocks at a time: what is made in between is small, however large the image.

    Parameters
    ----------
    image : ndarray (Ny, Nx)
        Values.
    good : ndarray of bool (Ny, Nx)
        Pixels that count.
    side : int
        Side of a block, pixels.
    """
    if side == 1:
        return np.ma.MaskedArray(image, ~good)
    ny, nx = image.shape
    columns = np.arange(0, nx, side)
    result = np.ma.masked_all((-(-ny // side), columns.size))
    for k, top in enumerate(range(0, ny, side)):
        strip, use = image[top : top + side], good[top : top + side]
        counts = np.add.reduceat(use.sum(axis=0), columns)
        sums = np.add.reduceat(np.where(use, strip, 0).sum(axis=0, dtype=np.float64), columns)
        result[k] = np.ma.masked_array(sums / np.maximum(counts, 1), counts == 0)
    return result


def plane_pixels(model: Mapping[str, Any], key: str, part: Part) -> Pixels:
    """Pixels of a plane of numbers: those to which an exposure contributed.

    Parameters
    ----------
    model : mapping
        Output model.
    key : str
        Name of the image.
    part : Part
        What is wanted of it.
    """
    images = [image_of(model, key)] + ([] if model.get("wht") is None else [model["wht"]])
    cut = _cut_of(images, part)
    pixels, *weights = (as_host(cut.of(image)) for image in images)
    good = np.isfinite(pixels)
    for weight in weights:
        good &= weight != 0  # those of the Lanczos kernels may be negative
    return _blocked(means(pixels, good, 1 if cut.is_overview else cut.side), cut)


def _sampled(image: Any, cut: _Cut) -> np.ndarray:
    """A pixel of each block, the middle one, or that of the overview: of bits there is no mean."""
    if cut.is_overview:
        return as_host(cut.of(image))
    rows, columns = (slice(each.start + cut.side // 2, each.stop, cut.side) for each in (cut.rows, cut.columns))
    return as_host(image[..., rows, columns])


def depth_pixels(model: Mapping[str, Any], part: Part) -> Pixels:
    """Number of exposures that contributed to each pixel: the bits set in all planes of the context."""
    context = _bits_of(model, "con")
    cut = _cut_of([context], part)
    bits = np.ascontiguousarray(_sampled(context, cut)).view(np.uint32)
    depth = np.bitwise_count(bits).sum(axis=0, dtype=np.int64)
    return _blocked(np.ma.masked_equal(depth, 0), cut)


def flag_pixels(model: Mapping[str, Any], part: Part) -> Pixels:
    """DQ flags, masked where no exposure contributed."""
    images = [_bits_of(model, "dq")] + ([] if model.get("wht") is None else [model["wht"]])
    cut = _cut_of(images, part)
    flags, *weights = (_sampled(image, cut) for image in images)
    empty = weights[0] == 0 if weights else np.zeros(flags.shape, bool)
    return _blocked(np.ma.MaskedArray(flags, empty), cut)
