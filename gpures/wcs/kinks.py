"""Where a WCS has kinks: at the nodes of its lookup tables, between which it is smooth."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from gpures.box import Box

__all__ = ["Kinks", "fits_shows_all_over", "is_smooth", "kinks_of_fits", "kinks_of_model", "shows_all_over"]

#: Along x and y, between which pixels each kink lies: (n, 2).
Kinks = tuple[np.ndarray, np.ndarray]

# Models whose values come from tables or from a choice between regions: no grid can vouch for what lies between its
# points.
_NOT_SMOOTH = ("Tabular", "LabelMapper", "RegionsSelector", "Spline")

# Points along either axis, at which the inputs of a model's tables are looked at.
LOOKED_AT = 17


# Modules of models, and which of theirs have all of their features all over the plane; None for all of them.
ALL_OVER: dict[str, frozenset[str] | None] = {
    "astropy.modeling.functional_models": frozenset({"Const1D", "Const2D", "Multiply", "Scale", "Shift"}),
    "astropy.modeling.mappings": frozenset({"Identity", "Mapping"}),
    "astropy.modeling.polynomial": None,
    "astropy.modeling.projections": None,
    "astropy.modeling.rotations": None,
    "gwcs.geometry": None,
}
OPERATORS = ("|", "&", "+", "-", "*", "/")

# Projections onto several faces, and tables of coordinates: by words of models' names, and by FITS' codes.
WITH_FACES = ("SphericalCube", "HEALPix")
CODES_WITH_FACES = ("TSC", "CSC", "QSC", "HPX", "XPH", "TAB")


def is_smooth(model: Any) -> bool:
    """Whether a model is free of lookup tables and of choices between regions.

    Parameters
    ----------
    model : astropy.modeling.Model
        The model.
    """
    return not any(map(_is_not_smooth, _leaves(model)))


def shows_all_over(model: Any) -> bool:
    """Whether a model consists of parts none of which can have a feature in one place of an image alone.

    Polynomials, rotations, projections and what scales and moves are such; any other model may be a bump.

    Parameters
    ----------
    model : astropy.modeling.Model
        The model.
    """
    return all(map(_is_all_over, _leaves(model)))


def _is_all_over(leaf: Any) -> bool:
    module, name = type(leaf).__module__, type(leaf).__name__
    if module == "astropy.modeling.core":
        return name == "CompoundModel" and leaf.op in OPERATORS
    known = ALL_OVER.get(module, ())
    return (known is None or name in known) and not any(word in name for word in WITH_FACES)


def fits_shows_all_over(wcs: Any) -> bool:
    """The same of a FITS WCS without lookup tables.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        The WCS.
    """
    return not any(ctype[-3:] in CODES_WITH_FACES for ctype in wcs.wcs.ctype)


def kinks_of_fits(wcs: Any, _: Box) -> Kinks | None:
    """Kinks of a FITS WCS with lookup tables (D2IM, NPOL), which interpolate linearly.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        The WCS.

    Returns
    -------
    Kinks or None
        None where that is not known: a table has values that are not finite.
    """
    of_detector = [table for table in (wcs.det2im1, wcs.det2im2) if table is not None]
    of_image = [table for table in (wcs.cpdis1, wcs.cpdis2) if table is not None]
    if not all(np.isfinite(table.data).all() for table in (*of_detector, *of_image)):
        return None
    found: list[np.ndarray] = []
    for axis, mover in enumerate((wcs.det2im1, wcs.det2im2)):
        # The tables of the image are given pixels that those of the detector have moved.
        moved = 0.0 if mover is None else float(np.abs(mover.data).max())
        fixed = np.concatenate([np.empty(0), *(_nodes(table, axis) for table in of_detector)])
        others = np.concatenate([np.empty(0), *(_nodes(table, axis) for table in of_image)])
        found.append(np.column_stack([np.append(fixed, others - moved), np.append(fixed, others + moved)]))
    return found[0], found[1]


def _nodes(table: Any, axis: int) -> np.ndarray:
    """Pixels, from 0, at which a lookup table has values."""
    number = np.arange(table.data.shape[1 - axis]) + 1.0
    return (number - table.crpix[axis]) * table.cdelt[axis] + table.crval[axis] - 1.0


def kinks_of_model(model: Any, window: Box) -> Kinks | None:
    """Kinks of a model with tables that interpolate linearly, by what these are given.

    Parameters
    ----------
    model : astropy.modeling.Model
        Pixels to the world.
    window : Box
        Pixels that are looked at.

    Returns
    -------
    Kinks or None
        None where that is not known: there are others than tables, or a table's input has not one axis of pixels.
    """
    model = copy.deepcopy(model)
    tables = [leaf for leaf in _leaves(model) if _is_not_smooth(leaf)]
    if not all(type(leaf).__name__.startswith("Tabular") and leaf.method == "linear" for leaf in tables):
        return None
    given: list[tuple[Any, tuple[np.ndarray, ...]]] = []
    for table in tables:
        table.evaluate = _noted(table, given)
    x0, x1, y0, y1 = window
    x, y = np.meshgrid(np.linspace(x0, x1, LOOKED_AT), np.linspace(y0, y1, LOOKED_AT))
    model(x, y, with_bounding_box=False)
    found: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for table, inputs in given:
        for nodes, values in zip(map(np.asarray, table.points), inputs, strict=True):
            values = np.reshape(values, x.shape)
            along_x = np.ptp(values, axis=1).max() >= np.ptp(values, axis=0).max()
            places = _places(nodes, values if along_x else values.T, x[0] if along_x else y[:, 0])
            if places is None:
                return None
            found[0 if along_x else 1].append(places)
    none = np.empty((0, 2))
    return np.concatenate([none, *found[0]]), np.concatenate([none, *found[1]])


def _leaves(model: Any) -> Iterator[Any]:
    return model.traverse_postorder() if hasattr(model, "traverse_postorder") else iter([model])


def _is_not_smooth(leaf: Any) -> bool:
    return any(base.__name__.lstrip("_").startswith(_NOT_SMOOTH) for base in type(leaf).__mro__)


def _noted(table: Any, given: list[tuple[Any, tuple[np.ndarray, ...]]]) -> Any:
    """What evaluates a table, and notes what it is given."""
    evaluate = table.evaluate

    def noting(*inputs: np.ndarray) -> Any:
        given.append((table, inputs))
        return evaluate(*inputs)

    return noting


def _places(nodes: np.ndarray, values: np.ndarray, pixels: np.ndarray) -> np.ndarray | None:
    """Between which pixels nodes lie, by inputs of a table, rows along the pixels; None where they do not go up."""
    steps = np.diff(values, axis=1)
    if not (np.all(steps > 0) or np.all(steps < 0)):
        return None
    rows = values if steps[0, 0] > 0 else values[:, ::-1]
    pixels = pixels if steps[0, 0] > 0 else pixels[::-1]
    at = np.array([np.interp(nodes, row, pixels, np.nan, np.nan) for row in rows])
    at = at[:, np.isfinite(at).any(axis=0)]
    return np.column_stack([np.nanmin(at, axis=0), np.nanmax(at, axis=0)])
