"""Axes on the sky, their labels, colours and colour bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from astropy import units as u
from astropy.visualization import AsinhStretch, AsymmetricPercentileInterval, ImageNormalize, LinearStretch
from astropy.visualization.wcsaxes import WCSAxes
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap

from gpures.plot.layout import LEFT, figure_or_new, inch_axes, lay_out, panel_size
from gpures.plot.pixels import Part, Pixels, scale_of
from gpures.wcs.transforms import world_axes

__all__ = [
    "EMPTY",
    "brightness_norm",
    "cmap_of",
    "colour_bar",
    "depth_colours",
    "draw",
    "label",
    "limit",
    "made_with",
    "new_axes",
    "range_norm",
    "symmetric_norm",
    "unit_text",
]

# Of a panel, inches.
WIDTH = 4.6

# Pixels without weight: a colour that none of the maps contains.
EMPTY = "#b4c3cf"

# The width at which the asinh stretch turns from linear to logarithmic, in units of the sky's noise: below it one sees
# the noise, and above it the sources.
LINEAR_SIGMAS = 5.0


def new_axes(model: Mapping[str, Any], part: Part) -> Any:
    """Axes of a new figure of pyplot's, for a part of a mosaic."""
    figure = figure_or_new(None)
    size = panel_size(part.shape, WIDTH)
    (bottom,) = lay_out(figure, [size[1]], 1, size[0])
    return inch_axes(figure, model.get("wcs"), LEFT, bottom, size)


def label(axes: Any, x: bool = True, y: bool = True) -> None:
    """Name the axes, and number and name them no more than once in a row or column of panels.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    x, y : bool, optional
        Whether the lower edge is named, and whether the left one is named and numbered.
    """
    if not isinstance(axes, WCSAxes):
        axes.set_xlabel("x (pixels)" if x else "")
        axes.set_ylabel("y (pixels)" if y else "")
        axes.tick_params(labelleft=y)
        return
    frame = _frame_name(axes.wcs)
    names = NAMES_OF_AXES.get(frame, {})
    width, _ = _inches(axes)
    latitude_first = axes.coords[0].coord_type == "latitude"
    below, left = axes.coords[int(latitude_first)], axes.coords[int(not latitude_first)]
    for index, (coord, show) in enumerate(((below, x), (left, y))):
        coord.set_ticks_position("bl"[index])
        coord.set_ticklabel_position("bl"[index])
        coord.set_axislabel_position("bl"[index])
        if index == 0:
            coord.set_ticks(number=max(2, min(4, int(width / 1.15))))  # hours and minutes make the first one long
        coord.set_ticklabel(exclude_overlapping=True, size="small")
        name = names.get(coord.coord_type)
        if not show:
            coord.set_axislabel(" ")  # an empty one is replaced by the coordinate's name
        elif name:
            coord.set_axislabel(name, minpad=(1.0, 0.6)[index])
    left.set_ticklabel_visible(y)


def _inches(axes: Any) -> tuple[float, float]:
    """Width and height of axes."""
    size = axes.get_window_extent().size / axes.figure.dpi
    return float(size[0]), float(size[1])


# What longitude and latitude are called, by the celestial frame.
NAMES_OF_AXES = {
    name: {"longitude": f"Right ascension ({name})", "latitude": f"Declination ({name})"}
    for name in ("ICRS", "FK5", "FK4", "FK4-NO-E")
} | {
    name: {"longitude": f"{words} longitude", "latitude": f"{words} latitude"}
    for name, words in (
        ("GALACTIC", "Galactic"),
        ("SUPERGALACTIC", "Supergalactic"),
        ("ECLIPTIC", "Ecliptic"),
    )
}


def _frame_name(wcs: Any) -> str:
    """Name of a WCS's celestial frame, without its equinox; nothing where it doesn't say."""
    try:
        sky = world_axes(getattr(wcs, "_wcs", wcs)).sky  # of what `Unbounded` wraps
    except (RuntimeError, ValueError):
        return ""
    return "" if sky is None else sky.name.partition(" (")[0]


def draw(axes: Any, pixels: Pixels, part: Part, norm: Any, cmap: Colormap) -> Any:
    """Draw pixels at their place, limit the axes to the part, and give the image.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    pixels : Pixels
        What is drawn, and its place.
    part : Part
        What the axes show.
    norm : matplotlib.colors.Normalize
        Stretch and limits.
    cmap : matplotlib.colors.Colormap
        Colours.
    """
    axes.set_facecolor(EMPTY)
    image = axes.imshow(
        pixels.values, norm=norm, cmap=cmap, origin="lower", interpolation="nearest", extent=pixels.extent
    )
    limit(axes, part)
    return image


def limit(axes: Any, part: Part) -> None:
    """Limit axes to a part."""
    axes.set_xlim(part.xlim)
    axes.set_ylim(part.ylim)


def cmap_of(name: str) -> Colormap:
    """A colour map in which pixels without weight have their colour."""
    return mpl.colormaps[name].with_extremes(bad=EMPTY)


def depth_colours(deepest: int) -> tuple[Colormap, BoundaryNorm]:
    """A colour for each number of exposures from 1 on."""
    # From a third of the map on, since its light end would pass for empty paper.
    steps = 1.0 - 0.7 * np.arange(deepest)[::-1] / deepest
    colours = ListedColormap(mpl.colormaps["YlGnBu"](steps)).with_extremes(bad=EMPTY)
    return colours, BoundaryNorm(np.arange(deepest + 1) + 0.5, deepest)


def brightness_norm(values: np.ma.MaskedArray) -> ImageNormalize:
    """Asinh stretch from a little below the sky to the cores of bright sources."""
    known = values.compressed()
    low, high = _limits(known, 0.5, 99.8)
    if not known.size:
        return ImageNormalize(vmin=low, vmax=high, stretch=LinearStretch(), clip=False)
    sky = float(np.median(known))
    noise = 1.4826 * float(np.median(np.abs(known - sky)))
    low = max(low, sky - 3.0 * noise)
    if not high > low:
        low, high = _limits(known, 0.0, 100.0)
    softening = min(max(LINEAR_SIGMAS * noise / (high - low), 1e-3), 1.0)
    return ImageNormalize(vmin=low, vmax=high, stretch=AsinhStretch(softening), clip=False)


def range_norm(values: np.ma.MaskedArray, stretch: Any = None) -> ImageNormalize:
    """A stretch over what all but a few pixels have: neither the rim nor the places of bad pixels set it."""
    low, high = _limits(values.compressed(), 2.5, 99.0)
    return ImageNormalize(vmin=low, vmax=high, stretch=stretch or LinearStretch(), clip=False)


def symmetric_norm(values: np.ma.MaskedArray, percent: float = 99.7) -> ImageNormalize:
    """Linear from minus to plus what all but a few pixels stay within."""
    _, high = _limits(np.abs(values.compressed()), 0.0, percent)
    return ImageNormalize(vmin=-high, vmax=high, stretch=LinearStretch(), clip=False)


def _limits(values: np.ndarray, lower: float, upper: float) -> tuple[float, float]:
    """Percentiles of values; apart from each other, also where the values are all the same, or none at all."""
    if not values.size:
        return 0.0, 1.0
    low, high = map(float, AsymmetricPercentileInterval(lower, upper).get_limits(values))
    return (low, high) if high > low else (low - (0.01 * abs(low) or 1.0), high + (0.01 * abs(high) or 1.0))


# Between these powers of ten, numbers are written out.
SHORT = (-3, 5)


def colour_bar(axes: Any, image: Any, words: str, ticks: Sequence[float] | None = None, extend: str = "both") -> Any:
    """Colour bar of the height of its panel; of a stretched image, with round numbers all along it.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        The panel.
    image : matplotlib.image.AxesImage
        What is drawn in it.
    words : str
        Label of the bar.
    ticks : sequence of float, optional
        Values to be marked.
    extend : {"both", "neither"}, optional
        Whether the ends say that there are values beyond.
    """
    norm = image.norm
    if ticks is None and isinstance(getattr(norm, "stretch", None), AsinhStretch):
        ticks = round_numbers(norm, max(2, min(6, int(1.8 * _inches(axes)[1]))))
    colours = axes.figure.colorbar(image, cax=axes.inset_axes((1.03, 0.0, 0.035, 1.0)), extend=extend)
    colours.set_label(words, size="small")
    colours.ax.tick_params(labelsize="small")
    colours.ax.yaxis.get_offset_text().set_size("small")
    if ticks is not None:
        colours.set_ticks(ticks)
        if all(tick == 0 or 10.0 ** SHORT[0] <= abs(tick) < 10.0 ** SHORT[1] for tick in ticks):
            colours.ax.set_yticklabels([f"{tick:.10g}" for tick in ticks])
            return colours
    colours.formatter.set_powerlimits(SHORT)
    colours.update_ticks()
    return colours


def round_numbers(norm: ImageNormalize, number: int) -> list[float]:
    """The roundest number of each of so many places along a colour bar, in the order of the bar."""
    middles = (np.arange(number) + 0.5) / number
    found = []
    for middle in middles:
        low, high = norm.inverse(np.array([middle - 0.4 / number, middle + 0.4 / number]))
        found.append(_roundest(float(low), float(high)))
    return found


def _roundest(low: float, high: float) -> float:
    """A number between two that has the fewest digits."""
    if low <= 0.0 <= high:
        return 0.0
    exponent = math.floor(math.log10(max(abs(low), abs(high))))
    while True:
        for step in (5, 2, 1):
            multiple = math.ceil(low / (step * 10.0**exponent)) * step
            if multiple * 10.0**exponent <= high:
                # By way of text, which turns 3 * 0.1 into 0.3.
                return float(f"{multiple}e{exponent}")
        exponent -= 1


def unit_text(unit: Any, power: int = 1) -> str:
    """A unit as mathtext, in brackets after a space; nothing where there is no unit."""
    if unit is None or unit == "":
        return ""
    if isinstance(unit, str) and "$" in unit:
        return f" ({unit})"
    parsed = u.Unit(unit, parse_strict="silent")
    if isinstance(parsed, u.UnrecognizedUnit):
        return f" ({unit})" if power == 1 else f" (({unit})$^{{{power}}}$)"
    return f" ({(parsed**power).to_string('latex_inline')})"


def made_with(model: Mapping[str, Any]) -> str:
    """What was done, in a line: exposures, kernel, pixfrac, scale."""
    words = []
    if exposures := model.get("pointings"):
        words.append(f"{exposures} exposure{'s' * (exposures != 1)}")
    if kernel := model.get("kernel"):
        words.append(f"{kernel} kernel")
    if model.get("pixfrac") is not None:
        words.append(f"pixfrac {model['pixfrac']:g}")
    scale = scale_of(model)
    if math.isfinite(scale):
        words.append(f"{scale:.4g}″ pixels")
    return ", ".join(words)
