"""Places of panels on a page, in inches: labels and colour bars have room whatever the images' shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from astropy.wcs.wcsapi.wrappers.base import BaseWCSWrapper

from gpures.wcs.transforms import as_wcs, is_imaging, pixel_to_world, world_to_pixel

__all__ = ["BARS", "BETWEEN", "LEFT", "Unbounded", "figure_or_new", "inch_axes", "lay_out", "panel_size"]

# Room: left of the first panel for declinations, between columns (more if each has a colour bar), right of the last
# panel for the colour bar and its label, above the first row for its title (more if the page has one), between rows for
# right ascensions and titles, and below the last one.
LEFT, BETWEEN, BARS, RIGHT, TOP, TITLE, BELOW, ROWS = 1.2, 0.2, 1.2, 1.05, 0.5, 0.35, 0.65, 0.75

# A panel is no taller than this, or else its width shrinks.
TALLEST = 9.0


def figure_or_new(figure: Any) -> Any:
    """The figure, or a new one of pyplot's."""
    if figure is not None:
        return figure
    import matplotlib.pyplot as plt  # only here: those who bring a figure need no pyplot, nor the backend that it picks

    return plt.figure()


def panel_size(shape: tuple[float, float], width: float) -> tuple[float, float]:
    """Width and height of a panel for an image of a shape (Ny, Nx)."""
    height = width * shape[0] / shape[1]
    return (width, height) if height <= TALLEST else (width * TALLEST / height, TALLEST)


def lay_out(
    figure: Any, heights: Sequence[float], columns: int, width: float, between: float = BETWEEN, title: str = ""
) -> list[float]:
    """Set the size of a figure for rows of panels, and give the rows' lower edges.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    heights : sequence of float
        Heights of the rows, from the top, inches.
    columns : int
        Panels in a row.
    width : float
        Of a panel, inches.
    between : float, optional
        Room between two panels of a row, inches.
    title : str, optional
        Title of the figure, for which there is room then.
    """
    top = TOP + TITLE * bool(title)
    height = top + sum(heights) + ROWS * (len(heights) - 1) + BELOW
    figure.set_size_inches(LEFT + columns * width + (columns - 1) * between + RIGHT, height)
    if title:
        figure.text(0.5, 1.0 - 0.15 / height, title, size="large", ha="center", va="top")
    edges, place = [], height - top
    for row in heights:
        edges.append(place - row)
        place -= row + ROWS
    return edges


def inch_axes(figure: Any, wcs: Any, left: float, bottom: float, size: tuple[float, float]) -> Any:
    """Axes at a place, on the sky where the WCS is of images.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Where they are made.
    wcs : gwcs.wcs.WCS, astropy.wcs.WCS or None
        What they are numbered by; None for pixels.
    left, bottom : float
        Place of their lower left corner, inches.
    size : (float, float)
        Width and height, inches.
    """
    width, height = figure.get_size_inches()
    place = (left / width, bottom / height, size[0] / width, size[1] / height)
    if wcs is None or not is_imaging(wcs):
        return figure.add_axes(place)
    return figure.add_axes(place, projection=Unbounded(wcs) if as_wcs(wcs) is wcs else wcs)


class Unbounded(BaseWCSWrapper):
    """A gwcs without its bounding box: axes that reach beyond it are numbered all the same, and in half the time."""

    def __init__(self, wcs: Any):
        super().__init__(wcs)
        self._forward, self._backward = pixel_to_world(wcs), world_to_pixel(wcs)
        # Astropy's axes take longitude and latitude where the celestial frame has them.
        (one, first, *_), (other, *_) = wcs.world_axis_object_components[:2]
        order = self._forward.axes.order if one != other else (0, 1) if first == 0 else (1, 0)
        self._axes = replace(self._forward.axes, order=order)

    def pixel_to_world_values(self, *pixels: Any) -> Any:  # noqa: D102
        return self._axes.of_the_wcs(self._forward(*pixels))

    def world_to_pixel_values(self, *world: Any) -> Any:  # noqa: D102
        return self._backward(*self._axes.by_meaning(world))
