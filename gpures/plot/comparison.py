"""A mosaic beside one of its exposures, and two mosaics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gpures.arguments.arrays import as_host
from gpures.exposure.from_model import sky_level
from gpures.plot.axes import (
    EMPTY,
    WIDTH,
    cmap_of,
    colour_bar,
    draw,
    label,
    limit,
    new_axes,
    symmetric_norm,
    unit_text,
)
from gpures.plot.layout import BETWEEN, LEFT, figure_or_new, inch_axes, lay_out, panel_size
from gpures.plot.pixels import MOST, Drawable, Part, image_of, means, model_of, part_of, plane_pixels
from gpures.plot.planes import mosaic, norm_of, plane
from gpures.typing import ModelLike
from gpures.wcs.transforms import pixel_to_world, world_to_pixel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

__all__ = ["Difference", "before_after", "difference", "exposure", "residual", "side_by_side"]

# Cells along each side of an exposure in which it is looked for the part that is seen.
CELLS = 64

# Largest distance, output pixels, between the same pixels of two mosaics that are subtracted: to a star as sharp as a
# pixel it makes a residual of a hundredth of its height.
SAME_PLACE = 0.01


def exposure(
    exposure: ModelLike,
    model: Drawable,
    ax: Axes | None = None,
    *,
    around: Any = None,
    size: float | Sequence[float] | None = None,
    norm: Normalize | None = None,
    title: str | None = None,
) -> Axes:
    """Draw an exposure's own pixels, unresampled, where they lie in a mosaic's frame.

    All pixels that have a value are drawn, cosmic rays and the like included, less the sky level if that is still to be
    subtracted. Where more than a page has room for are seen, blocks of them are averaged.

    Parameters
    ----------
    exposure : gpures.typing.Model
        Input model, as `gpures.Resample.add_model` takes it.
    model : gpures.typing.MosaicModel, gpures.mosaicking.Mosaic or path
        Output model, as `gpures.plot.plane` takes it.
    ax : matplotlib.axes.Axes, optional
        Where to draw; on a new figure if missing.
    around : astropy.coordinates.SkyCoord or (float, float), optional
        Middle of the part that is drawn, as `gpures.plot.plane` takes it.
    size : float or (float, float), optional
        Width and height of the part, arcsec.
    norm : matplotlib.colors.Normalize, optional
        Stretch and limits; the mosaic's if missing.
    title : str, optional
        Title; one that says what it is, if missing.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.
    """
    model = model_of(model)
    part = part_of(model, around, size)
    if norm is None:
        norm = norm_of([model], "data", part)
    if ax is None:
        ax = new_axes(model, part)
    ax.set_facecolor(EMPTY)
    # Drawing costs by the pixel: only the rectangle of pixels that may be seen is handed over.
    rows, columns, side = _seen(exposure, model, part)
    if rows.size > 1 and columns.size > 1:
        data = as_host(exposure["data"][rows[0] : rows[-1], columns[0] : columns[-1]])
        values = means(data, np.isfinite(data), side) - sky_level({"level": None, "subtracted": True} | dict(exposure))
        x, y = _corners(exposure, model, rows, columns)
        ax.pcolormesh(x, y, values, norm=norm, cmap=cmap_of("inferno"), antialiased=False)
    ax.set_aspect("equal")
    limit(ax, part)
    label(ax)
    ax.set_title("One exposure, its own pixels" if title is None else title, size="medium")
    return ax


def _corners(
    exposure: Mapping[str, Any], model: Mapping[str, Any], rows: np.ndarray, columns: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where the lower left corners of an exposure's pixels lie in the frame."""
    y, x = np.meshgrid(rows - 0.5, columns - 0.5, indexing="ij")
    onto = world_to_pixel(model["wcs"])
    px, py = onto(*pixel_to_world(exposure["wcs"], onto.axes.sky)(x.ravel(), y.ravel()))
    return np.reshape(px, x.shape), np.reshape(py, x.shape)


def _seen(exposure: Mapping[str, Any], model: Mapping[str, Any], part: Part) -> tuple[np.ndarray, np.ndarray, int]:
    """Edges of the blocks of rows and columns that reach into a part, and the side of the blocks."""
    ny, nx = np.shape(exposure["data"])
    edges = [np.unique(np.linspace(0, n, CELLS + 1).astype(int)) for n in (ny, nx)]
    x, y = _corners(exposure, model, *edges)
    inside = np.ones((edges[0].size - 1, edges[1].size - 1), bool)
    for values, (low, high) in ((x, part.xlim), (y, part.ylim)):
        corners = np.stack([values[:-1, :-1], values[:-1, 1:], values[1:, :-1], values[1:, 1:]])
        inside &= (corners.min(axis=0) <= high) & (corners.max(axis=0) >= low)
    if not inside.any():
        return np.empty(0, int), np.empty(0, int), 1
    ranges = []
    for axis, edge in enumerate(edges):
        cells = np.flatnonzero(inside.any(axis=1 - axis))
        ranges.append((edge[cells[0]], edge[cells[-1] + 1]))
    side = -(-max(stop - start for start, stop in ranges) // MOST)
    rows, columns = (np.append(np.arange(start, stop, side), stop) for start, stop in ranges)
    return rows, columns, int(side)


def before_after(
    exposure_model: ModelLike,
    model: Drawable,
    figure: Figure | None = None,
    *,
    around: Any = None,
    size: float | Sequence[float] | None = None,
    norm: Normalize | None = None,
    unit: Any = None,
    title: str | None = None,
) -> Figure:
    """Draw one exposure beside the mosaic, the same part of the sky in the same stretch.

    Parameters
    ----------
    exposure_model : gpures.typing.Model
        Input model, as `gpures.Resample.add_model` takes it.
    model : gpures.typing.MosaicModel, gpures.mosaicking.Mosaic or path
        Output model, as `gpures.plot.plane` takes it.
    figure : matplotlib.figure.Figure, optional
        An empty figure to draw on; its size is set. A new one of pyplot's if missing.
    around : astropy.coordinates.SkyCoord or (float, float), optional
        Middle of the part that is drawn, as `gpures.plot.plane` takes it.
    size : float or (float, float), optional
        Width and height of the part, arcsec.
    norm : matplotlib.colors.Normalize, optional
        Stretch and limits; the mosaic's if missing.
    unit : str or astropy.units.Unit, optional
        Unit of the data; the model's ``bunit_data`` if missing.
    title : str, optional
        Title of the mosaic's panel; what was done if missing.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.
    """
    model = model_of(model)
    part = part_of(model, around, size)
    if norm is None:
        norm = norm_of([model], "data", part)
    figure = figure_or_new(figure)
    panel = panel_size(part.shape, WIDTH)
    (bottom,) = lay_out(figure, [panel[1]], 2, panel[0])
    left, right = (
        inch_axes(figure, model.get("wcs"), LEFT + k * (panel[0] + BETWEEN), bottom, panel) for k in range(2)
    )
    exposure(exposure_model, model, left, around=around, size=size, norm=norm)
    mosaic(model, right, around=around, size=size, norm=norm, unit=unit, title=title)
    label(right, y=False)
    return figure


def side_by_side(
    models: Mapping[str, Drawable],
    figure: Figure | None = None,
    *,
    key: str = "data",
    around: Any = None,
    size: float | Sequence[float] | None = None,
    norm: Normalize | None = None,
    unit: Any = None,
) -> Figure:
    """Draw the same part of several mosaics in a row, in one stretch.

    Parameters
    ----------
    models : mapping of str to gpures.typing.MosaicModel, gpures.mosaicking.Mosaic or path
        Output models by title.
    figure : matplotlib.figure.Figure, optional
        An empty figure to draw on; its size is set. A new one of pyplot's if missing.
    key : str, optional
        Plane that is drawn, as `gpures.plot.plane` takes it.
    around : astropy.coordinates.SkyCoord or (float, float), optional
        Middle of the part that is drawn, as `gpures.plot.plane` takes it.
    size : float or (float, float), optional
        Width and height of the part, arcsec.
    norm : matplotlib.colors.Normalize, optional
        Stretch and limits; what suits all of the mosaics if missing.
    unit : str or astropy.units.Unit, optional
        Unit of the data; the model's ``bunit_data`` if missing.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    ValueError
        There is no mosaic, one has no such image or part, or their frames differ.
    """
    if not models:
        raise ValueError("'models' must hold at least one mosaic, got none.")
    drawn = {title: model_of(model) for title, model in models.items()}
    first = next(iter(drawn.values()))
    for model in drawn.values():
        _check_frames(model, first, np.shape(image_of(model, key)), np.shape(image_of(first, key)))
    part = part_of(first, around, size)
    if norm is None:
        norm = norm_of(list(drawn.values()), key, part)
    figure = figure_or_new(figure)
    # As wide as two panels of the usual width, as long as there are no more than four.
    width = max(2.0 * WIDTH / len(drawn), 0.5 * WIDTH)
    panel = panel_size(part.shape, width)
    (bottom,) = lay_out(figure, [panel[1]], len(drawn), panel[0])
    for k, (title, model) in enumerate(drawn.items()):
        axes = inch_axes(figure, model.get("wcs"), LEFT + k * (panel[0] + BETWEEN), bottom, panel)
        last = k == len(drawn) - 1
        plane(model, key, axes, around=around, size=size, norm=norm, unit=unit, title=title, bar=last)
        label(axes, y=k == 0)
    return figure


@dataclass(frozen=True)
class Difference:
    """How far two mosaics are apart, over the pixels that have a value in both.

    Attributes
    ----------
    values : numpy.ma.MaskedArray (Ny, Nx)
        First less second, in units of ``scale``; masked where either has no value.
    scale : str
        "error" or "value", which the difference is divided by, or "data", whose unit it has.
    threshold : float
        What ``above`` counts from.
    largest : float
        Largest size of the difference.
    rms : float
        Its root mean square.
    above : float
        Fraction of the pixels where its size exceeds the threshold.
    pixels : int
        Pixels compared.
    alone : int
        Pixels with a value in one of the two only.
    """

    values: np.ma.MaskedArray
    scale: str
    threshold: float
    largest: float
    rms: float
    above: float
    pixels: int
    alone: int

    def __str__(self) -> str:
        """The numbers in a line."""
        unit = {"error": " sigma", "value": " of the value", "data": ""}[self.scale]
        return (
            f"max {self.largest:.2g}{unit}, rms {self.rms:.2g}{unit}, {self.above:.2%} above {self.threshold:g}{unit}; "
            f"{self.pixels} pixels compared, {self.alone} in one only"
        )


def difference(
    first: Drawable,
    second: Drawable,
    *,
    scale: str | None = None,
    threshold: float | None = None,
    key: str = "data",
) -> Difference:
    """Subtract one mosaic from another of the same frame.

    Parameters
    ----------
    first, second : gpures.typing.MosaicModel, gpures.mosaicking.Mosaic or path
        Output models.
    scale : {"error", "value", "data"}, optional
        Whether the difference is divided by the error of the second (of the first, where the second has none), by the
        size of the second's value, or not at all. Missing, it is "error" where there is one, else "value".
    threshold : float, optional
        Size of a difference from which on its pixels are counted; missing, it is 1 for "error", else 1e-3.
    key : str, optional
        Image that is compared.

    Returns
    -------
    Difference
        Differences and their summary.

    Raises
    ------
    ValueError
        The mosaics have different frames, or there is no error.
    """
    first, second = model_of(first), model_of(second)
    a, b = (as_host(image_of(model, key)) for model in (first, second))
    _check_frames(first, second, a.shape, b.shape)
    errors = next((as_host(model["err"]) for model in (second, first) if model.get("err") is not None), None)
    scale = scale or ("value" if errors is None else "error")
    if scale not in ("error", "value", "data"):
        raise ValueError(f"'scale' must be 'error', 'value', or 'data', got {scale!r}.")
    if scale == "error" and errors is None:
        raise ValueError("Neither mosaic has an error: resample with compute_err, or use scale='value'.")
    if threshold is None:
        threshold = 1.0 if scale == "error" else 1e-3

    known = [np.isfinite(image) & (as_host(image_of(m, "wht")) != 0) for image, m in ((a, first), (b, second))]
    both = known[0] & known[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        values = a - b.astype(np.float64)
        if scale != "data":
            values /= np.abs(b) if scale == "value" else errors
    # Equal is equal, also where both are zero.
    values[both & (a == b)] = 0.0
    values = np.ma.MaskedArray(values, ~(both & np.isfinite(values)))
    sizes = np.abs(values.compressed())
    return Difference(
        values=values,
        scale=scale,
        threshold=float(threshold),
        largest=float(sizes.max(initial=0.0)),
        rms=float(np.sqrt(np.mean(sizes**2))) if sizes.size else 0.0,
        above=float(np.mean(sizes > threshold)) if sizes.size else 0.0,
        pixels=int(sizes.size),
        alone=int(np.count_nonzero(known[0] != known[1])),
    )


def _check_frames(
    first: Mapping[str, Any], second: Mapping[str, Any], shape: tuple[int, ...], other: tuple[int, ...]
) -> None:
    """Refuse mosaics whose pixels lie at different places."""
    hint = "resample both onto one frame, with the same output_wcs."
    if shape != other:
        raise ValueError(f"The mosaics have the shapes {shape} and {other}: {hint}")
    wcses = first.get("wcs"), second.get("wcs")
    if wcses[0] is wcses[1] or None in wcses:
        return
    ny, nx = shape[-2:]
    x, y = np.array([0.0, nx - 1.0, 0.0, nx - 1.0]), np.array([0.0, 0.0, ny - 1.0, ny - 1.0])
    onto = world_to_pixel(wcses[1])
    px, py = onto(*pixel_to_world(wcses[0], onto.axes.sky)(x, y))
    apart = float(np.max(np.hypot(px - x, py - y)))
    if not apart <= SAME_PLACE:
        raise ValueError(f"The mosaics' pixels lie {apart:.3g} pixels apart at a corner: {hint}")


def residual(
    first: Drawable,
    second: Drawable,
    ax: Axes | None = None,
    *,
    scale: str | None = None,
    threshold: float | None = None,
    key: str = "data",
    around: Any = None,
    size: float | Sequence[float] | None = None,
    norm: Normalize | None = None,
    unit: Any = None,
    title: str | None = None,
    echo: Callable[[str], None] | None = print,
) -> Axes:
    """Draw the difference of two mosaics, red where the first is brighter, and print how large it is.

    Parameters
    ----------
    first, second : gpures.typing.MosaicModel, gpures.mosaicking.Mosaic or path
        Output models of the same frame.
    ax : matplotlib.axes.Axes, optional
        Where to draw; on a new figure if missing.
    scale : {"error", "value", "data"}, optional
        What the difference is divided by, as `difference` takes it.
    threshold : float, optional
        Size of a difference from which on its pixels are counted, as `difference` takes it.
    key : str, optional
        Image that is compared.
    around : astropy.coordinates.SkyCoord or (float, float), optional
        Middle of the part that is drawn, as `gpures.plot.plane` takes it.
    size : float or (float, float), optional
        Width and height of the part, arcsec.
    norm : matplotlib.colors.Normalize, optional
        Stretch and limits; if missing, the limits are symmetric and leave out 0.3 % of the pixels.
    unit : str or astropy.units.Unit, optional
        Unit of the data; the model's ``bunit_data`` if missing.
    title : str, optional
        Title; the summary if missing.
    echo : callable, optional
        Takes the line of the summary, that of the whole frame; None keeps it.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.

    Raises
    ------
    ValueError
        As `difference`.
    """
    first, second = model_of(first), model_of(second)
    found = difference(first, second, scale=scale, threshold=threshold, key=key)
    if echo is not None:
        echo(str(found))
    part = part_of(second, around, size)
    values = found.values.filled(np.nan)
    pixels = plane_pixels({"data": values}, "data", part)
    if ax is None:
        ax = new_axes(second, part)
    image = draw(ax, pixels, part, norm or symmetric_norm(pixels.values), cmap_of("RdBu_r"))
    label(ax)
    unit = second.get("bunit_data") if unit is None else unit
    words = {"error": "Difference / error", "value": "Difference / value", "data": f"Difference{unit_text(unit)}"}
    colour_bar(ax, image, words[found.scale])
    if title is None:
        title = "\n".join(str(found).split("; "))
    ax.set_title(title, size="medium")
    return ax
