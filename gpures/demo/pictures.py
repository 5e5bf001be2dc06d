"""Pictures of exposures and mosaics, drawn without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astropy.visualization import AsinhStretch, ImageNormalize, LinearStretch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from gpures import plot
from gpures.io.atomic import written
from gpures.plot.axes import label
from gpures.plot.layout import BARS, BETWEEN, LEFT, inch_axes, lay_out
from gpures.plot.pixels import part_of, plane_pixels

__all__ = ["Style", "Zoom", "hst_picture", "nircam_picture", "planes_picture"]

# Dots per inch: a panel of four to five inches then has about half the mosaic's own number of pixels.
DPI = 150

# Width of a panel, inches.
WIDTH = 4.5


@dataclass(frozen=True)
class Style:
    """How a mosaic is described and stretched.

    Attributes
    ----------
    title : str
        Title of the figure.
    unit : str
        Unit of the data.
    low, high : float
        Data values drawn black and white.
    softening : float
        Where the asinh stretch turns from linear to logarithmic, as a fraction of ``high - low``.
    ticks : sequence of float
        Values marked at the colour bar.
    flags : mapping of int to str
        DQ flags that the mosaic may hold, with their names.
    """

    title: str
    unit: str
    low: float
    high: float
    softening: float
    ticks: Sequence[float]
    flags: Mapping[int, str]

    def norm(self) -> ImageNormalize:
        """Asinh stretch of the data."""
        return ImageNormalize(vmin=self.low, vmax=self.high, stretch=AsinhStretch(self.softening), clip=False)


@dataclass(frozen=True)
class Zoom:
    """A part of the mosaic.

    Attributes
    ----------
    name : str
        What it shows.
    around : (float, float)
        Right ascension and declination of its middle, deg.
    size : (float, float)
        Width and height, arcsec.
    linear : float, optional
        If given, the part is drawn with a linear stretch up to this fraction of its greatest value, which
        shows whether a blend has a dip in the middle.
    """

    name: str
    around: tuple[float, float]
    size: tuple[float, float]
    linear: float = 0.0

    @property
    def options(self) -> dict[str, Any]:
        """What the functions of `gpures.plot` are told."""
        return {"around": self.around, "size": self.size}


def _outline(axes: Any, model: Mapping[str, Any], zoom: Zoom, name: str) -> None:
    """Draw the outline of a part."""
    part = part_of(model, zoom.around, zoom.size)
    height, width = part.shape
    axes.add_patch(Rectangle((part.xlim[0], part.ylim[0]), width, height, fill=False, edgecolor="white", lw=1.0))
    place = (part.xlim[1], part.ylim[1])
    axes.annotate(name, place, (4, 0), textcoords="offset points", color="white", va="top")


def _zoom_norm(model: Mapping[str, Any], style: Style, zoom: Zoom) -> ImageNormalize:
    """Stretch of a part of the mosaic."""
    if not zoom.linear:
        return style.norm()
    brightest = plane_pixels(model, "data", part_of(model, zoom.around, zoom.size)).values.max()
    return ImageNormalize(vmin=style.low, vmax=zoom.linear * brightest, stretch=LinearStretch(), clip=False)


def _save(figure: Figure, path: Path) -> None:
    with written(path, overwrite=True) as file:
        FigureCanvasAgg(figure).print_figure(file, dpi=DPI, facecolor="white", format="png")


def nircam_picture(
    path: Path, exposure: Mapping[str, Any], model: Mapping[str, Any], style: Style, zooms: Sequence[Zoom]
) -> None:
    """Draw one exposure beside the mosaic: the field, then the same parts of the sky enlarged.

    Parameters
    ----------
    path : pathlib.Path
        PNG file to write.
    exposure : mapping
        Input model; its pixels are drawn as they are.
    model : mapping
        Finalized output model.
    style : Style
        Title, unit and stretch.
    zooms : sequence of Zoom
        Parts to enlarge, one row each.
    """
    ny, nx = model["data"].shape
    heights = [WIDTH * ny / nx, *(WIDTH * zoom.size[1] / zoom.size[0] for zoom in zooms)]
    figure = Figure()
    edges = lay_out(figure, heights, 2, WIDTH, BETWEEN, style.title)
    for row, (zoom, bottom) in enumerate(zip([None, *zooms], edges, strict=True)):
        norm = style.norm() if zoom is None else _zoom_norm(model, style, zoom)
        options = {"norm": norm} | ({} if zoom is None else zoom.options)
        left, right = (
            inch_axes(figure, model["wcs"], LEFT + k * (WIDTH + BETWEEN), bottom, (WIDTH, heights[row]))
            for k in range(2)
        )
        ticks = None if zoom is not None and zoom.linear else style.ticks
        plot.exposure(exposure, model, left, title="" if zoom else "One exposure, its own pixels", **options)
        plot.mosaic(model, right, unit=style.unit, ticks=ticks, title="" if zoom else "Drizzled mosaic", **options)
        if zoom is not None:
            left.set_title(f"{'abcd'[row - 1]}  {zoom.name}", loc="left", pad=4, size="medium")
        for axes in (left, right):
            for name, part in zip("abcd", zooms if zoom is None else (), strict=False):
                _outline(axes, model, part, name)
            label(axes, x=row == len(zooms), y=axes is left)
    _save(figure, path)


def hst_picture(path: Path, exposure: Mapping[str, Any], model: Mapping[str, Any], style: Style, zoom: Zoom) -> None:
    """Draw the exposure as it was read beside its undistorted, north-up mosaic, and a part of both enlarged.

    Parameters
    ----------
    path : pathlib.Path
        PNG file to write.
    exposure : mapping
        Input model.
    model : mapping
        Finalized output model.
    style : Style
        Title, unit and stretch.
    zoom : Zoom
        Part to enlarge.
    """
    height, low = WIDTH * model["data"].shape[0] / model["data"].shape[1], WIDTH * zoom.size[1] / zoom.size[0]
    figure = Figure()
    # Both columns number their declinations.
    upper, lower = lay_out(figure, [height, low], 2, WIDTH, BARS, style.title)
    right = LEFT + WIDTH + BARS
    options = {"unit": style.unit, "ticks": style.ticks, "norm": style.norm()}
    # The detector's frame: its own axes, with the sky's grid as the distorted WCS has it.
    axes = inch_axes(figure, exposure["wcs"], LEFT, upper + 0.5 * (height - WIDTH), (WIDTH, WIDTH))
    plot.plane(exposure, "data", axes, norm=style.norm(), bar=False, title="Exposure in detector pixels (distorted)")
    axes.coords.grid(color="white", alpha=0.35, linewidth=0.6)
    label(axes, x=False)

    axes = inch_axes(figure, model["wcs"], right, upper, (WIDTH, height))
    plot.mosaic(model, axes, title="Mosaic (undistorted, north up)", **options)
    axes.coords.grid(color="white", alpha=0.35, linewidth=0.6)
    _outline(axes, model, zoom, "a")
    label(axes, x=False)

    axes = inch_axes(figure, model["wcs"], LEFT, lower, (WIDTH, low))
    plot.exposure(
        exposure, model, axes, norm=style.norm(), title=f"a  {zoom.name}, the exposure's own pixels", **zoom.options
    )
    axes = inch_axes(figure, model["wcs"], right, lower, (WIDTH, low))
    plot.mosaic(model, axes, title="a  mosaic", **options, **zoom.options)
    _save(figure, path)


def planes_picture(path: Path, model: Mapping[str, Any], style: Style, variances: tuple[str, str]) -> None:
    """Draw the planes that come with a mosaic: weight, depth, error, two variances and DQ.

    Parameters
    ----------
    path : pathlib.Path
        PNG file to write.
    model : mapping
        Finalized output model.
    style : Style
        Title, units and flags.
    variances : tuple of str
        Keys of the two variances to draw.
    """
    planes = ("wht", "con", "err", *variances, "dq")
    figure = plot.overview(model, Figure(), planes=planes, unit=style.unit, title=style.title, flags=style.flags)
    _save(figure, path)
