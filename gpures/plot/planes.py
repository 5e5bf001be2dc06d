"""The planes of a mosaic, one by one and together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.visualization import AsinhStretch
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from gpures.plot.axes import (
    EMPTY,
    brightness_norm,
    cmap_of,
    colour_bar,
    depth_colours,
    draw,
    label,
    made_with,
    new_axes,
    range_norm,
    unit_text,
)
from gpures.plot.layout import BARS, LEFT, figure_or_new, inch_axes, lay_out, panel_size
from gpures.plot.pixels import (
    BITS,
    Drawable,
    Part,
    depth_pixels,
    flag_pixels,
    image_of,
    is_of_bits,
    model_of,
    part_of,
    plane_pixels,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

__all__ = ["depth", "dq", "error", "mosaic", "norm_of", "overview", "plane", "weight"]

# Of what neither bit nor name is known to be wanted, the most frequent ones are drawn.
MOST_FLAGS = 4
FLAG_COLOURS = ("#2b6cb0", "#d9661f", "#2f8f4e", "#8b3fa0")

# Panels of an overview side by side, and their width in inches.
ACROSS, WIDTH = 3, 3.7


@dataclass(frozen=True)
class _Look:
    """How a plane is drawn: its name, its colours, the power of the data's unit that it has, and its own unit."""

    name: str
    cmap: str = "cividis"
    power: int = 1
    unit: str | None = None
    asinh: bool = True


LOOKS = {
    "data": _Look("Mosaic", "inferno"),
    "wht": _Look("Weight", "viridis", -2, asinh=False),
    "err": _Look("Error"),
    "var_rnoise": _Look("Read-noise variance", power=2),
    "var_poisson": _Look("Photon-noise variance", power=2),
    "var_flat": _Look("Flat-field variance", power=2),
    "exptime_map": _Look("Exposure time", "viridis", 0, "s", asinh=False),
}


def _look(model: Mapping[str, Any], key: str) -> _Look:
    if key == "wht" and model.get("weight_type") == "exptime":
        return _Look("Weight", "viridis", 0, "s", asinh=False)
    return LOOKS.get(key, _Look(key, "viridis", 0))


def norm_of(models: Sequence[Mapping[str, Any]], key: str, part: Part) -> Any:
    """The stretch that suits the pixels of a plane in a part of some mosaics of one frame.

    Parameters
    ----------
    models : sequence of mapping
        Output models.
    key : str
        Name of the image.
    part : Part
        What is seen of it.
    """
    values = np.ma.concatenate([plane_pixels(model, key, part).values.ravel() for model in models])
    if key == "data":
        return brightness_norm(values)
    return range_norm(values, AsinhStretch(0.1) if _look(models[0], key).asinh else None)


def _title(axes: Any, name: str, model: Mapping[str, Any], title: str | None) -> None:
    """The title given; or else the plane's name, and what was done in a second, smaller line."""
    if title is not None:
        axes.set_title(title, size="medium")
    else:
        axes.set_title(f"{name}\n{made_with(model)}".strip(), size="medium")


def plane(
    model: Drawable,
    key: str,
    ax: Axes | None = None,
    *,
    around: Any = None,
    size: float | Sequence[float] | None = None,
    norm: Normalize | None = None,
    unit: Any = None,
    title: str | None = None,
    ticks: Sequence[float] | None = None,
    bar: bool = True,
) -> Axes:
    """Draw a plane of an output model, whichever.

    Parameters
    ----------
    model : gpures.typing.MosaicModel, gpures.mosaicking.Mosaic or path
        Output model, as `gpures.Resample` makes it; what `gpures.mosaic` gives; or the file of a mosaic.
    key : str
        Name of a floating-point image (Ny, Nx) in it: "data", "wht", "err", "var_rnoise", "exptime_map", or that of an
        extra array.
    ax : matplotlib.axes.Axes, optional
        Where to draw; on a new figure if missing.
    around : astropy.coordinates.SkyCoord or (float, float), optional
        Middle of the part that is drawn; a pair is right ascension and declination in degrees. The whole frame if
        missing.
    size : float or (float, float), optional
        Width and height of the part, arcsec; a fifth of the frame if missing.
    norm : matplotlib.colors.Normalize, optional
        Stretch and limits; if missing, an asinh stretch with limits that leave out few pixels of those with weight.
    unit : str or astropy.units.Unit, optional
        Unit of the data, whatever the plane; the model's ``bunit_data`` if missing.
    title : str, optional
        Title; the plane's name, and what was done, if missing.
    ticks : sequence of float, optional
        Values to be marked at the colour bar.
    bar : bool, optional
        Whether there is a colour bar.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.

    Raises
    ------
    ValueError
        The model has no such image, or no pixel of it lies around ``around``.
    """
    model = model_of(model)
    look = _look(model, key)
    part = part_of(model, around, size)
    pixels = plane_pixels(model, key, part)
    if norm is None:
        norm = norm_of([model], key, part)
    axes = new_axes(model, part) if ax is None else ax
    image = draw(axes, pixels, part, norm, cmap_of(look.cmap))
    label(axes)
    unit = model.get("bunit_data") if unit is None else unit
    words = unit_text(look.unit) if look.power == 0 else unit_text(unit, look.power)
    if bar:
        colour_bar(axes, image, f"{'Data' if key == 'data' else look.name}{words}", ticks)
    _title(axes, look.name, model, title)
    return axes


def mosaic(model: Drawable, ax: Axes | None = None, **options: Any) -> Axes:
    """Draw the mosaic.

    The stretch is asinh: the sky's noise linear, sources logarithmic, from three times the noise below the sky to what
    all but a few bright pixels reach.

    Parameters
    ----------
    model : gpures.typing.MosaicModel, gpures.mosaicking.Mosaic or path
        Output model, as `gpures.Resample` makes it; what `gpures.mosaic` gives; or the file of a mosaic.
    ax : matplotlib.axes.Axes, optional
        Where to draw; on a new figure if missing.
    **options
        ``around``, ``size``, ``norm``, ``unit``, ``title``, ``ticks``, ``bar``, as `plane` takes them.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.
    """
    return plane(model, "data", ax, **options)


def weight(model: Drawable, ax: Axes | None = None, **options: Any) -> Axes:
    """Draw the weight map.

    Parameters
    ----------
    model : gpures.typing.MosaicModel, gpures.mosaicking.Mosaic or path
        Output model, as `gpures.plot.mosaic` takes it.
    ax : matplotlib.axes.Axes, optional
        Where to draw; on a new figure if missing.
    **options
        As `gpures.plot.mosaic` takes them.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.
    """
    return plane(model, "wht", ax, **options)


def error(model: Drawable, ax: Axes | None = None, **options: Any) -> Axes:
    """Draw the error.

    Parameters
    ----------
    model : gpures.typing.MosaicModel, gpures.mosaicking.Mosaic or path
        Output model with its error, as `gpures.plot.mosaic` takes it.
    ax : matplotlib.axes.Axes, optional
        Where to draw; on a new figure if missing.
    **options
        As `gpures.plot.mosaic` takes them.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.

    Raises
    ------
    ValueError
        The model has no error.
    """
    return plane(model, "err", ax, **options)


def depth(
    model: Drawable,
    ax: Axes | None = None,
    *,
    around: Any = None,
    size: float | Sequence[float] | None = None,
    title: str | None = None,
) -> Axes:
    """Draw how many exposures contributed to each pixel: the bits set in all planes of the context image.

    Of a large mosaic, one pixel of each block is drawn.

    Parameters
    ----------
    model : gpures.typing.MosaicModel, gpures.mosaicking.Mosaic or path
        Output model with its context, int32 (planes, Ny, Nx).
    ax : matplotlib.axes.Axes, optional
        Where to draw; on a new figure if missing.
    around : astropy.coordinates.SkyCoord or (float, float), optional
        Middle of the part that is drawn, as `gpures.plot.plane` takes it.
    size : float or (float, float), optional
        Width and height of the part, arcsec.
    title : str, optional
        Title; the plane's name, and what was done, if missing.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.

    Raises
    ------
    ValueError
        The model has no context.
    """
    model = model_of(model)
    part = part_of(model, around, size)
    pixels = depth_pixels(model, part)
    deepest = int(pixels.values.max()) if pixels.values.count() else 1
    colours, norm = depth_colours(deepest)
    axes = new_axes(model, part) if ax is None else ax
    image = draw(axes, pixels, part, norm, colours)
    label(axes)
    # A number at each colour, as long as there is room.
    numbers = [n for n in MaxNLocator(12, integer=True).tick_values(1, deepest) if 1 <= n <= deepest]
    colour_bar(axes, image, "Exposures", numbers if len(numbers) > 1 else [deepest], "neither")
    _title(axes, "Depth", model, title)
    return axes


def dq(
    model: Drawable,
    ax: Axes | None = None,
    *,
    flags: Mapping[int, str] | None = None,
    around: Any = None,
    size: float | Sequence[float] | None = None,
    title: str | None = None,
) -> Axes:
    """Draw the data quality, one colour per flag, with how many of the pixels with weight have it.

    Of a large mosaic, one pixel of each block is drawn and counted.

    Parameters
    ----------
    model : gpures.typing.MosaicModel, gpures.mosaicking.Mosaic or path
        Output model with DQ, integers (Ny, Nx).
    ax : matplotlib.axes.Axes, optional
        Where to draw; on a new figure if missing.
    flags : mapping of int to str, optional
        Up to four flags and their names, the later ones on top; the most frequent bits if missing.
    around : astropy.coordinates.SkyCoord or (float, float), optional
        Middle of the part that is drawn, as `gpures.plot.plane` takes it.
    size : float or (float, float), optional
        Width and height of the part, arcsec.
    title : str, optional
        Title; the plane's name, and what was done, if missing.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.

    Raises
    ------
    ValueError
        The model has no DQ, or there are more flags than colours.
    """
    model = model_of(model)
    part = part_of(model, around, size)
    pixels = flag_pixels(model, part)
    if flags is None:
        flags = dict.fromkeys(_frequent(pixels.values.compressed()), "")
    if len(flags) > len(FLAG_COLOURS):
        raise ValueError(f"'flags' must name at most {len(FLAG_COLOURS)} flags, one for each colour, got {len(flags)}.")
    covered = max(pixels.values.count(), 1)
    classes = np.ma.where(pixels.values.mask, 0, 1).filled(0)
    colours, names = [EMPTY, "#f4f1ea"], ["no data", "no flag"]
    for k, (flag, name) in enumerate(flags.items()):
        hit = ((pixels.values & flag) != 0).filled(False)
        classes[hit] = k + 2
        colours.append(FLAG_COLOURS[k])
        names.append(f"{flag}{': ' * bool(name)}{name} ({hit.sum() / covered:.1%})")
    drawn = type(pixels)(np.ma.asarray(classes), pixels.extent)
    axes = new_axes(model, part) if ax is None else ax
    draw(axes, drawn, part, BoundaryNorm(np.arange(len(names) + 1) - 0.5, len(names)), ListedColormap(colours))
    label(axes)
    handles = [Patch(facecolor=c, edgecolor="0.5", label=n) for c, n in zip(colours, names, strict=True)]
    axes.legend(handles=handles, loc="upper left", fontsize="small", framealpha=0.9, handlelength=1.2)
    _title(axes, "Data quality", model, title)
    return axes


def _frequent(flags: np.ndarray) -> list[int]:
    """The bits that are set most often, the rarest last, so that they lie on top."""
    flags = flags.astype(np.uint32)
    counts = {1 << k: int(np.count_nonzero(flags & np.uint32(1 << k))) for k in range(32)}
    return sorted((flag for flag in counts if counts[flag]), key=lambda flag: -counts[flag])[:MOST_FLAGS]


def overview(
    model: Drawable,
    figure: Figure | None = None,
    *,
    planes: Sequence[str] | None = None,
    around: Any = None,
    size: float | Sequence[float] | None = None,
    unit: Any = None,
    title: str | None = None,
    flags: Mapping[int, str] | None = None,
) -> Figure:
    """Draw the planes of a mosaic beside each other.

    Parameters
    ----------
    model : gpures.typing.MosaicModel, gpures.mosaicking.Mosaic or path
        Output model, as `gpures.Resample` makes it; what `gpures.mosaic` gives; or the file of a mosaic.
    figure : matplotlib.figure.Figure, optional
        An empty figure to draw on; its size is set. A new one of pyplot's if missing.
    planes : sequence of str, optional
        Keys of the planes; "con" means the depth. All there are if missing.
    around : astropy.coordinates.SkyCoord or (float, float), optional
        Middle of the part that is drawn, as `gpures.plot.plane` takes it.
    size : float or (float, float), optional
        Width and height of the part, arcsec.
    unit : str or astropy.units.Unit, optional
        Unit of the data; the model's ``bunit_data`` if missing.
    title : str, optional
        Title; what was done if missing.
    flags : mapping of int to str, optional
        As `dq` takes it.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    ValueError
        A plane is missing from the model.
    """
    model = model_of(model)
    known = ("data", "wht", "con", *list(LOOKS)[2:], "dq")
    if planes is None:
        there = [key for key in known if model.get(key) is not None]
        planes = [key for key in there if key not in BITS or is_of_bits(image_of(model, key))]
    for key in planes:
        image_of(model, key)
    across = min(ACROSS, len(planes))
    down = math.ceil(len(planes) / across)
    figure = figure_or_new(figure)
    panel = panel_size(part_of(model, around, size).shape, WIDTH)
    edges = lay_out(figure, [panel[1]] * down, across, panel[0], BARS, made_with(model) if title is None else title)
    for k, key in enumerate(planes):
        axes = inch_axes(figure, model.get("wcs"), LEFT + k % across * (panel[0] + BARS), edges[k // across], panel)
        if key == "con":
            depth(model, axes, around=around, size=size, title="Depth")
        elif key == "dq":
            dq(model, axes, flags=flags, around=around, size=size, title="Data quality")
        else:
            plane(model, key, axes, around=around, size=size, unit=unit, title=_look(model, key).name)
        label(axes, x=k + across >= len(planes), y=k % across == 0)
    return figure
