"""Pictures of exposures and mosaics, drawn without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from astropy.visualization import AsinhStretch, ImageNormalize, LinearStretch
from astropy.wcs import WCS
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

__all__ = ["Style", "Zoom", "hst_picture", "nircam_picture", "planes_picture"]

# Dots per inch: a panel of four to five inches then has about half the mosaic's own number of pixels.
DPI = 150
# Pixels without data: a colour that none of the maps contains.
EMPTY = "#b4c3cf"
RC = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "mathtext.fontset": "dejavusans",
}
# Room on a page, inches: left of the first panel for declinations, between columns, right of the last panel
# for the colour bar and its label, above the first row for the titles, between rows for right ascensions.
LEFT, BETWEEN, RIGHT, TOP, BELOW = 1.2, 0.2, 1.0, 0.8, 0.65


@dataclass(frozen=True)
class Style:
    """How a mosaic is described and stretched.

    Attributes
    ----------
    title : str
        Title of the figure.
    unit : str
        Unit of the data as mathtext.
    weight_unit : str
        Unit of the weight map as mathtext.
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
    weight_unit: str
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
    x, y, dx, dy : float
        Middle and half sides, mosaic pixels.
    linear : float, optional
        If given, the part is drawn with a linear stretch up to this fraction of its greatest value, which
        shows whether a blend has a dip in the middle.
    """

    name: str
    x: float
    y: float
    dx: float
    dy: float
    linear: float = 0.0


def _cmap(name: str) -> mpl.colors.Colormap:
    return mpl.colormaps[name].with_extremes(bad=EMPTY)


def _panel(figure: Figure, left: float, bottom: float, size: tuple[float, float], wcs: WCS) -> Any:
    """Axes in world coordinates at a place given in inches."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((left / width, bottom / height, size[0] / width, size[1] / height), projection=wcs)
    axes.set_facecolor(EMPTY)
    return axes


def _labels(axes: Any, ra: bool, dec: bool, dec_ticks: bool) -> None:
    """Name the world axes, and number the declinations, where the place on the page asks for it."""
    for index, (name, show) in enumerate((("Right ascension (ICRS)", ra), ("Declination (ICRS)", dec))):
        coord = axes.coords[index]
        coord.set_ticks_position("bl"[index])
        coord.set_ticklabel_position("bl"[index])
        coord.set_axislabel_position("bl"[index])
        coord.set_ticklabel(exclude_overlapping=True)
        coord.set_axislabel(name if show else " ", minpad=(1.0, 0.6)[index])
    axes.coords[1].set_ticklabel_visible(dec_ticks)


def _bar(axes: Any, image: Any, label: str, ticks: Sequence[float] | None = None, extend: str = "neither") -> None:
    """Colour bar of the height of its panel."""
    bar = axes.figure.colorbar(image, cax=axes.inset_axes((1.03, 0.0, 0.035, 1.0)), label=label, extend=extend)
    if ticks is not None:
        bar.set_ticks(ticks)
        bar.ax.set_yticklabels([f"{tick:g}" for tick in ticks])


def _quads(axes: Any, data: np.ndarray, source: WCS, target: WCS, norm: ImageNormalize) -> Any:
    """Draw an exposure's pixels, unresampled, where they lie in the mosaic's frame."""
    ny, nx = data.shape
    y, x = np.mgrid[0 : ny + 1, 0 : nx + 1] - 0.5
    px, py = target.wcs_world2pix(*source.all_pix2world(x.ravel(), y.ravel(), 0), 0)
    px, py = px.reshape(x.shape), py.reshape(x.shape)
    # Drawing costs by the pixel: only the rectangle of pixels that may show is handed over.
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    seen = (px > x0 - 5) & (px < x1 + 5) & (py > y0 - 5) & (py < y1 + 5)
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    r, c = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    inner = (slice(rows[0], rows[-1]), slice(columns[0], columns[-1]))
    shown = np.ma.masked_invalid(data[inner])
    return axes.pcolormesh(px[r, c], py[r, c], shown, norm=norm, cmap=_cmap("inferno"), antialiased=False)


def _image(axes: Any, plane: np.ma.MaskedArray, norm: Any, cmap: Any = "inferno") -> Any:
    cmap = _cmap(cmap) if isinstance(cmap, str) else cmap
    return axes.imshow(plane, norm=norm, cmap=cmap, origin="lower", interpolation="nearest", aspect="auto")


def _window(axes: Any, shape: tuple[int, ...], zoom: Zoom | None = None) -> None:
    """Limit axes to a part of the mosaic, or to all of it."""
    if zoom is None:
        axes.set_xlim(-0.5, shape[1] - 0.5)
        axes.set_ylim(-0.5, shape[0] - 0.5)
    else:
        axes.set_xlim(zoom.x - zoom.dx, zoom.x + zoom.dx)
        axes.set_ylim(zoom.y - zoom.dy, zoom.y + zoom.dy)


def _outline(axes: Any, zoom: Zoom, name: str) -> None:
    """Draw the outline of a part."""
    corner = (zoom.x - zoom.dx, zoom.y - zoom.dy)
    axes.add_patch(Rectangle(corner, 2 * zoom.dx, 2 * zoom.dy, fill=False, edgecolor="white", lw=1.0))
    axes.annotate(
        name,
        (zoom.x + zoom.dx, zoom.y + zoom.dy),
        (4, 0),
        textcoords="offset points",
        color="white",
        va="top",
    )


def _zoom_norm(plane: np.ma.MaskedArray, style: Style, zoom: Zoom) -> ImageNormalize:
    """Stretch of a part of the mosaic."""
    if not zoom.linear:
        return style.norm()
    rows = slice(round(zoom.y - zoom.dy), round(zoom.y + zoom.dy))
    part = plane[rows, round(zoom.x - zoom.dx) : round(zoom.x + zoom.dx)]
    return ImageNormalize(vmin=style.low, vmax=zoom.linear * part.max(), stretch=LinearStretch(), clip=False)


def _covered(model: Mapping[str, Any], plane: np.ndarray) -> np.ma.MaskedArray:
    """Mask pixels to which no exposure contributed."""
    return np.ma.masked_where(~np.any(np.asarray(model["con"]) != 0, axis=0) | ~np.isfinite(plane), plane)


def _page(
    style: Style, rows: Sequence[float], columns: int, width: float, between: float
) -> tuple[Figure, list[float]]:
    """Page for rows of panels; also the lower edge of each row, inches."""
    height = TOP + sum(rows) + BELOW * len(rows) + 0.05
    figure = Figure(figsize=(LEFT + columns * width + (columns - 1) * between + RIGHT, height))
    figure.text(0.5, 1.0 - 0.2 / height, style.title, fontsize=12, ha="center", va="top")
    edges, top = [], height - TOP
    for row in rows:
        edges.append(top - row)
        top -= row + BELOW
    return figure, edges


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure).print_figure(path, dpi=DPI, facecolor="white")


def nircam_picture(
    path: Path,
    exposure: Mapping[str, Any],
    model: Mapping[str, Any],
    wcs: WCS,
    style: Style,
    zooms: Sequence[Zoom],
) -> None:
    """Draw one exposure beside the mosaic: the field, then the same parts of the sky enlarged.

    Parameters
    ----------
    path : pathlib.Path
        PNG file to write.
    exposure : mapping
        Input model with ``data`` and ``fits_wcs``; its pixels are drawn as they are.
    model : mapping
        Finalized output model.
    wcs : astropy.wcs.WCS
        The mosaic's WCS.
    style : Style
        Title, unit and stretch.
    zooms : sequence of Zoom
        Parts to enlarge, one row each.
    """
    mosaic = _covered(model, model["data"])
    width = 4.5
    parts: list[Zoom | None] = [None, *zooms]
    shapes = [mosaic.shape[0] / mosaic.shape[1], *(zoom.dy / zoom.dx for zoom in zooms)]
    with mpl.rc_context(RC):
        figure, edges = _page(style, [width * shape for shape in shapes], 2, width, BETWEEN)
        for row, (part, bottom) in enumerate(zip(parts, edges, strict=True)):
            norm = style.norm() if part is None else _zoom_norm(mosaic, style, part)
            for column in range(2):
                left = LEFT + column * (width + BETWEEN)
                axes = _panel(figure, left, bottom, (width, width * shapes[row]), wcs)
                _window(axes, mosaic.shape, part)
                if column == 0:
                    image = _quads(axes, exposure["data"], exposure["fits_wcs"], wcs, norm)
                else:
                    image = _image(axes, mosaic, norm)
                    ticks = None if part is not None and part.linear else style.ticks
                    _bar(axes, image, f"Surface brightness ({style.unit})", ticks, extend="both")
                _window(axes, mosaic.shape, part)
                if part is None:
                    axes.set_title(("One exposure, its own pixels", "Drizzled mosaic")[column])
                    for k, zoom in enumerate(zooms):
                        _outline(axes, zoom, "abcd"[k])
                elif column == 0:
                    axes.set_title(f"{'abcd'[row - 1]}  {part.name}", loc="left", pad=4)
                _labels(axes, ra=row == len(parts) - 1, dec=column == 0, dec_ticks=column == 0)
        _save(figure, path)


def hst_picture(
    path: Path, exposure: Mapping[str, Any], model: Mapping[str, Any], wcs: WCS, style: Style, zoom: Zoom
) -> None:
    """Draw the exposure as it was read beside its undistorted, north-up mosaic, and a part of both enlarged.

    Parameters
    ----------
    path : pathlib.Path
        PNG file to write.
    exposure : mapping
        Input model with ``data`` and ``fits_wcs``.
    model : mapping
        Finalized output model.
    wcs : astropy.wcs.WCS
        The mosaic's WCS.
    style : Style
        Title, unit and stretch.
    zoom : Zoom
        Part to enlarge.
    """
    mosaic = _covered(model, model["data"])
    width, between = 4.5, 1.05  # both columns number their declinations
    height = width * mosaic.shape[0] / mosaic.shape[1]
    with mpl.rc_context(RC):
        figure, (upper, lower) = _page(style, [height, width * zoom.dy / zoom.dx], 2, width, between)
        right = LEFT + width + between
        # The detector's frame: its own axes, with the sky's grid as the distorted WCS has it.
        axes = _panel(figure, LEFT, upper + 0.5 * (height - width), (width, width), exposure["fits_wcs"])
        _image(axes, np.ma.masked_invalid(exposure["data"]), style.norm())
        axes.coords.grid(color="white", alpha=0.35, linewidth=0.6)
        axes.set_title("Exposure in detector pixels (distorted)")
        _labels(axes, ra=False, dec=True, dec_ticks=True)

        axes = _panel(figure, right, upper, (width, height), wcs)
        image = _image(axes, mosaic, style.norm())
        axes.coords.grid(color="white", alpha=0.35, linewidth=0.6)
        _outline(axes, zoom, "a")
        axes.set_title("Mosaic (undistorted, north up)")
        _labels(axes, ra=False, dec=False, dec_ticks=True)
        _bar(axes, image, style.unit, style.ticks, extend="both")

        for column, left in enumerate((LEFT, right)):
            axes = _panel(figure, left, lower, (width, width * zoom.dy / zoom.dx), wcs)
            _window(axes, mosaic.shape, zoom)
            if column == 0:
                _quads(axes, exposure["data"], exposure["fits_wcs"], wcs, style.norm())
                axes.set_title(f"a  {zoom.name}: the exposure's own pixels", loc="left", pad=4)
            else:
                image = _image(axes, mosaic, style.norm())
                axes.set_title("a  mosaic", loc="left", pad=4)
                _bar(axes, image, style.unit, style.ticks, extend="both")
            _window(axes, mosaic.shape, zoom)
            _labels(axes, ra=True, dec=column == 0, dec_ticks=True)
        _save(figure, path)


def _draw_dq(axes: Any, model: Mapping[str, Any], flags: Mapping[int, str]) -> None:
    """Draw the DQ plane in one colour per flag, later flags on top, with a legend."""
    dq = np.asarray(model["dq"])
    covered = np.any(np.asarray(model["con"]) != 0, axis=0)
    classes = np.where(covered, 1, 0)
    colours = [EMPTY, "#f4f1ea", "#2b6cb0", "#d9661f", "#2f8f4e", "#8b3fa0"]
    names = ["no data", "no flag"]
    for k, (flag, name) in enumerate(flags.items()):
        hit = (dq & flag) != 0
        classes[hit] = k + 2
        names.append(f"{flag}: {name} ({hit.sum() / max(covered.sum(), 1):.1%})")
    handles = [Patch(facecolor=c, edgecolor="0.5", label=n) for c, n in zip(colours, names, strict=False)]
    norm = BoundaryNorm(np.arange(len(names) + 1) - 0.5, len(names))
    _image(axes, np.ma.asarray(classes), norm, ListedColormap(colours[: len(names)]))
    axes.legend(handles=handles, loc="upper left", fontsize=7, framealpha=0.9, handlelength=1.2)


def planes_picture(
    path: Path, model: Mapping[str, Any], wcs: WCS, style: Style, n_exposures: int, variances: tuple[str, str]
) -> None:
    """Draw the planes that come with a mosaic: weight, depth, error, two variances and DQ.

    Parameters
    ----------
    path : pathlib.Path
        PNG file to write.
    model : mapping
        Finalized output model.
    wcs : astropy.wcs.WCS
        The mosaic's WCS.
    style : Style
        Title, units and flags.
    n_exposures : int
        Number of exposures combined.
    variances : tuple of str
        Keys of the two variances to draw.
    """
    # Set bits of the context, summed over its words of 32 exposures.
    depth = np.bitwise_count(np.asarray(model["con"]).view(np.uint32)).sum(axis=0)
    names = {"var_rnoise": "Read-noise variance", "var_poisson": "Photon-noise variance"}
    names["var_flat"] = "Calibration variance"
    panels = [
        ("Weight map (WHT)", model["wht"], style.weight_unit, "viridis", LinearStretch()),
        ("Depth (set bits of CON)", depth, "exposures", "YlGnBu", None),
        ("Error (ERR)", model["err"], style.unit, "cividis", AsinhStretch(0.1)),
    ]
    for key in variances:
        title = f"{names[key]} ({key.upper()})"
        panels.append((title, model[key], f"({style.unit})$^2$", "cividis", AsinhStretch(0.1)))
    width, between = 3.7, 1.15
    height = width * depth.shape[0] / depth.shape[1]
    with mpl.rc_context(RC):
        figure, edges = _page(style, [height, height], 3, width, between)
        for k in range(6):
            left, bottom = LEFT + (k % 3) * (width + between), edges[k // 3]
            axes = _panel(figure, left, bottom, (width, height), wcs)
            if k == 5:
                _draw_dq(axes, model, style.flags)
                axes.set_title("Data quality (DQ)")
            else:
                title, plane, unit, cmap, stretch = panels[k]
                shown = _covered(model, plane)
                if stretch is None:
                    # From a third of the map on, since its light end would pass for empty paper.
                    steps = 1.0 - 0.7 * np.arange(n_exposures)[::-1] / n_exposures
                    colours = ListedColormap(mpl.colormaps[cmap](steps)).with_extremes(bad=EMPTY)
                    norm: Any = BoundaryNorm(np.arange(n_exposures + 1) + 0.5, n_exposures)
                    image = _image(axes, shown, norm, colours)
                    _bar(axes, image, unit, list(range(1, n_exposures + 1)))
                else:
                    # The range of the pixels that all exposures reached, less the few beside bad pixels, so
                    # that neither the rim nor the holes set it.
                    inside = shown[(depth == n_exposures) & ~np.ma.getmaskarray(shown)]
                    low, high = np.percentile(np.asarray(inside), (2.5, 99.5))
                    norm = ImageNormalize(vmin=low, vmax=high, stretch=stretch, clip=False)
                    image = _image(axes, shown, norm, cmap)
                    _bar(axes, image, unit, extend="both")
                axes.set_title(title)
            _labels(axes, ra=k >= 3, dec=k % 3 == 0, dec_ticks=k % 3 == 0)
        _save(figure, path)
