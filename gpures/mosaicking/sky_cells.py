"""Many mosaics of one set of exposures: one for each cell of the sky in a table, or a sky map."""

from __future__ import annotations

import logging
import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpures.arguments.arrays import got
from gpures.errors import EmptyMosaicError, FileError
from gpures.io import Reading
from gpures.io.writer import is_zarr_name
from gpures.machine.memory import used_memory
from gpures.mosaicking.plan import words_of
from gpures.mosaicking.product import mosaic
from gpures.mosaicking.roman_cells import SkyMap, is_sky_map, roman_sky_map
from gpures.mosaicking.sky_cell import SkyCell
from gpures.mosaicking.sources import Source, entries_of, find
from gpures.mosaicking.workers import each_by_workers, room_of_workers, seen_by_workers
from gpures.reporting.tables import row
from gpures.wcs.footprint import Footprint, footprint_of
from gpures.wcs.sky_systems import ICRS
from gpures.wcs.sphere import separation

__all__ = ["CellMosaic", "SkyCell", "mosaic_cells", "read_cells"]

log = logging.getLogger(__name__)

# Columns of a table of cells: what they may be called, and the unit of their numbers; those with a default may be
# missing. Pixels are counted from 0.
COLUMNS: dict[str, tuple[tuple[str, ...], str]] = {
    "name": (("name", "cell", "skycell"), ""),
    "ra": (("ra", "ra_tangent", "crval1"), "deg"),
    "dec": (("dec", "dec_tangent", "crval2"), "deg"),
    "nx": (("nx", "naxis1"), ""),
    "ny": (("ny", "naxis2"), ""),
    "pixel_scale": (("pixel_scale", "scale"), "arcsec"),
    "rotation": (("rotation", "orientat"), "deg"),
    "x": (("x_tangent",), ""),
    "y": (("y_tangent",), ""),
}
# As FITS counts pixels, from 1.
FROM_ONE = {"x_tangent": "crpix1", "y_tangent": "crpix2"}

# Columns that say in another way how a frame lies, which would be passed over.
OTHER_FRAMES = re.compile(r"(cd|pc|pv|cdelt|crota|ctype|lonpole|latpole|equinox|radesys|parity)\d*(_\d+)?")

OPTIONAL = ("rotation", "x", "y")

# The name of the sky map that romancal has.
ROMAN = "roman"

# In a path this stands for the name of a cell.
PLACE = "{cell}"

# Arguments of `mosaic` that a cell's frame is in the place of, or that are not one mosaic's.
NOT_OF_CELLS = (
    *("output_wcs", "pixel_scale", "pixel_scale_ratio", "rotation", "crpix", "crval", "output_shape", "align"),
    *("add_to", "save_masks", "checkpoint"),
)

# Options of mosaics that are made in one piece.
WHOLE = ("match_sky", "reject_outliers", "combine")

CELL = "<24", ">9", ">12", ">9.1f", ""


@dataclass(frozen=True)
class CellMosaic:
    """What became of a cell.

    Attributes
    ----------
    name : str
        The cell's.
    path : pathlib.Path or None
        File of its mosaic; None where no exposure has anything in it.
    exposures : int or None
        Exposures that reach it, or, of a mosaic that was made, that are in it; None where it was there already.
    data_pixels : int or None
        Pixels that have data, of a mosaic that was made.
    seconds : float
        What it took.
    words : str
        What is to be said of it.
    """

    name: str
    path: Path | None
    exposures: int | None
    data_pixels: int | None
    seconds: float
    words: str

    @property
    def line(self) -> str:
        """It as a line of a table."""
        cells = [str(each) if each is not None else "-" for each in (self.exposures, self.data_pixels)]
        return row((self.name, *cells, self.seconds, f"  {self.words}"), CELL)


def read_cells(path: str | os.PathLike[str]) -> list[SkyCell]:
    """Cells of a table, or all cells of a sky map.

    Parameters
    ----------
    path : str or path
        Roman's reference file of the type SKYCELLS, of which there are millions in the whole map; or a table, a file
        that `astropy.table.Table.read` knows, such as ECSV, CSV or FITS. Columns, whose names may be in capitals:
        ``name``; ``ra``, ``dec`` (tangent point in ICRS, degrees); ``nx``, ``ny`` (pixels); ``pixel_scale`` (arcsec);
        and, if they are there, ``rotation`` (position angle of +y, degrees) and ``x_tangent``, ``y_tangent`` (pixel of
        the tangent point, from 0; or ``crpix1``, ``crpix2``, from 1; else the middle). Columns with units are
        converted.

    Returns
    -------
    list of SkyCell
        In their order.

    Raises
    ------
    FileError
        It can't be read, a column is missing, or a row is no cell; the text says which.
    """
    from astropy.table import Table

    path = Path(path)
    if is_sky_map(path):
        return list(SkyMap(path).cells())
    try:
        table = Table.read(path)
    except Exception as error:  # of as many kinds as there are formats
        words = " ".join(str(error).split()).partition(" The available formats")[0]
        raise FileError(path, f"can't be read as a table of sky cells: {words}") from error
    known = {name.lower(): name for name in table.colnames}
    for name, from_one in FROM_ONE.items():
        if from_one in known:
            if name in known:
                raise FileError(path, f"has both of the columns {name!r} and {from_one!r}.")
            table[name] = np.array(_values(path, table[known[from_one]], ""), float) - 1
            known[name] = name
    if other := [name for word, name in known.items() if OTHER_FRAMES.fullmatch(word)]:
        raise FileError(path, f"column {other[0]!r} is not known: cells have 'pixel_scale' and 'rotation', in ICRS.")
    found: dict[str, Any] = {}
    for name, (called, unit) in COLUMNS.items():
        column = next((known[word] for word in called if word in known), None)
        if column is not None:
            found[name] = _values(path, table[column], unit)
        elif name not in OPTIONAL:
            raise FileError(path, f"a table of sky cells has a column {called[0]!r}, and this has {table.colnames}.")
    if ("x" in found) != ("y" in found):
        raise FileError(path, "has only one of the columns 'x_tangent' and 'y_tangent'.")
    cells = [_cell(path, k, {name: values[k] for name, values in found.items()}) for k in range(len(table))]
    names = [cell.name for cell in cells]
    if not cells or len(set(names)) < len(names):
        twice = next((name for name in names if names.count(name) > 1), None)
        raise FileError(path, "has no rows." if twice is None else f"has two cells of the name {twice!r}.")
    return cells


def _values(path: Path, column: Any, unit: str) -> list[Any]:
    if unit and getattr(column, "unit", None) is not None:
        try:
            return list(column.quantity.to_value(unit))
        except Exception as error:
            raise FileError(path, f"column {column.name!r} has the unit {column.unit}, expected {unit}.") from error
    return list(column)


def _cell(path: Path, number: int, values: dict[str, Any]) -> SkyCell:
    """The cell of a row."""
    name = str(values.pop("name")).strip()
    if not name or any(sign in name for sign in "/\\\0") or name in (".", ".."):
        raise FileError(path, f"row {number + 1} has the name {name!r}, which can't be that of a file.")
    try:
        numbers: dict[str, Any] = {key: float(value) for key, value in values.items()}
    except (TypeError, ValueError) as error:
        raise FileError(path, f"cell {name!r} has something that is no number: {error}.") from error
    shape = {key: int(value) if value.is_integer() else value for key, value in numbers.items() if key in ("nx", "ny")}
    try:
        return SkyCell(name, **{**numbers, **shape})
    except ValueError as error:
        raise FileError(path, f"row {number + 1}: {error}") from error


def mosaic_cells(
    inputs: Any,
    output: str | os.PathLike[str],
    cells: str | os.PathLike[str] | Iterable[SkyCell],
    *,
    overwrite: bool = False,
    skip_bad: bool = False,
    **arguments: Any,
) -> Iterator[CellMosaic]:
    """Make a mosaic for each of many cells of the sky, one after another.

    Headers are read once, and each cell gets those exposures that reach it. A cell whose file is there already is
    passed over, so that the same call goes on where one was interrupted; files appear whole.

    Parameters
    ----------
    inputs : path, gpures.typing.Model, gpures.io.Input, or iterable of such
        As in `gpures.mosaic`, but for a generator of models.
    output : path
        Files of the mosaics: a path in which ``{cell}`` stands for the name of the cell, such as ``"out/{cell}.fits"``.
    cells : path or iterable of SkyCell
        Cells, or a table or sky map of them as `read_cells` takes it; of a sky map those that exposures may reach.
        ``"roman"`` is the sky map that romancal has.
    overwrite : bool, optional
        Whether mosaics that are there are made anew.
    skip_bad : bool, optional
        Whether exposures that can't be used are left out. Else the first one is an error.
    **arguments
        Others of `gpures.mosaic`, but for its frame.

    Returns
    -------
    iterator of CellMosaic
        What became of each cell, when it is done.

    Raises
    ------
    TypeError, ValueError, OSError
        As `gpures.mosaic`.
    """
    # Whole, as workers may have another working folder.
    pattern = os.path.abspath(output) if isinstance(output, (str, os.PathLike)) else ""
    if PLACE not in os.path.basename(pattern):
        raise ValueError(f"'output' must have {PLACE} in the name of the file, where a cell's goes, got {output!r}.")
    if taken := [name for name in NOT_OF_CELLS if arguments.get(name) is not None]:
        raise ValueError(f"{taken[0]!r} does not go with sky cells, each of which has its own frame and file.")
    wanted = _wanted(cells)
    inputs, arguments = seen_by_workers(arguments.get("client"), inputs, arguments)
    entries, models = entries_of(inputs)
    if models is not None:
        raise ValueError("Models from a generator can be looked at only once: give a list of models.")
    return _made(entries, pattern, wanted, overwrite, skip_bad, arguments)


def _wanted(cells: str | os.PathLike[str] | Iterable[SkyCell]) -> list[SkyCell] | SkyMap:
    """The cells that are asked for."""
    if isinstance(cells, (str, os.PathLike)):
        path = roman_sky_map() if cells == ROMAN and not os.path.exists(cells) else Path(cells)
        return SkyMap(path) if is_sky_map(path) else read_cells(path)
    wanted = list(cells)
    if wrong := [cell for cell in wanted if not isinstance(cell, SkyCell)]:
        raise TypeError(f"'cells' must be a path or SkyCells, got {got(wrong[0])}.")
    if twice := [name for name, times in Counter(cell.name for cell in wanted).items() if times > 1]:
        raise ValueError(f"'cells' must have names of their own, as their files have, got two of {got(twice[0])}.")
    return wanted


def _made(
    entries: Sequence[Any],
    pattern: str,
    cells: Sequence[SkyCell] | SkyMap,
    overwrite: bool,
    skip_bad: bool,
    arguments: dict[str, Any],
) -> Iterator[CellMosaic]:
    reading = Reading(**{name: arguments[name] for name in Reading.names() if name in arguments})

    def skip(name: str, error: Exception) -> None:
        if not skip_bad:
            raise error
        log.warning("Skipped: %s", words_of(name, error))

    sources, footprints = [], []
    for source in find(entries, arguments.get("progress"), skip, reading):
        try:
            footprints.append(footprint_of(source.name, source.wcs, source.shape, ICRS))
            sources.append(source)
        except (ValueError, RuntimeError) as error:
            skip(source.name, error)
    if not sources:
        raise ValueError("None of the exposures can be used.")
    places = _Places(sources, footprints)
    if isinstance(cells, SkyMap):
        cells = list(cells.cells(places.centres, places.radii))
    client = arguments.pop("client", None)
    options = {**arguments, "overwrite": overwrite, "skip_bad": skip_bad}
    left = []
    for cell in cells:
        path = Path(pattern.replace(PLACE, cell.name))
        if os.path.lexists(path) and not overwrite:
            yield CellMosaic(cell.name, path, None, None, 0.0, "there already")
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        near = places.near(cell)
        if client is not None and near:
            left.append((cell, path, near))
        else:
            yield make_cell(cell, path, near, options)
    if client is not None:
        yield from by_workers(client, left, options)


def make_cell(cell: SkyCell, path: Path, near: Any, options: Mapping[str, Any]) -> CellMosaic:
    """Make the mosaic of a cell, of exposures that may reach it."""
    begin = time.perf_counter()
    made = None
    if near:
        with suppress(EmptyMosaicError):
            made = mosaic(near, path, output_wcs=cell.wcs, **options)
    seconds = time.perf_counter() - begin
    if made is None:
        return CellMosaic(cell.name, None, 0, None, seconds, "no exposure reaches it")
    return CellMosaic(cell.name, path, len(made.exposures), made.data_pixels, seconds, str(path))


def by_workers(
    client: Any, cells: Sequence[tuple[SkyCell, Path, Any]], options: dict[str, Any]
) -> Iterator[CellMosaic]:
    """Have workers make mosaics: each a cell, and where these are fewer than they, all of them one after the other.

    Parameters
    ----------
    client : distributed.Client
        Of the workers.
    cells : sequence of (SkyCell, Path, list of Source)
        Cells, their files, and the exposures that may reach them.
    options : dict
        Arguments of `gpures.mosaic`.
    """
    slots, room = room_of_workers(client, options.get("backend", "auto"))
    if len(cells) < slots and all(is_zarr_name(path) for _, path, _ in cells):
        for cell, path, near in cells:
            yield make_cell(cell, path, near, {**options, "client": client})
        return
    if options.get("memory_limit") is not None or any(map(options.get, WHOLE)):
        room = None
    work = [(cell_task, cell, path, near, {**options, "progress": None}, room) for cell, path, near in cells]
    yield from each_by_workers(client, work, [f"cell-{cell.name}" for cell, _, _ in cells])


def cell_task(cell: SkyCell, path: Path, near: Any, options: dict[str, Any], room: int | None = None) -> CellMosaic:
    """`make_cell` as a task, which may be done once more where a worker has died behind the writing.

    Of the memory that its process has by now, other tasks of that process have their parts.
    """
    if room is not None:
        options = {**options, "memory_limit": max(room, used_memory() + room // 2)}
    return make_cell(cell, path, near, {**options, "overwrite": True})


class _Places:
    """Where exposures lie, all at once."""

    def __init__(self, sources: Sequence[Source], footprints: Sequence[Footprint]):
        self._sources = sources
        self.centres = np.array([each.centre for each in footprints]).reshape(-1, 3)
        self.radii = np.array([each.radius for each in footprints])

    def near(self, cell: SkyCell) -> list[Source]:
        """Exposures that may reach a cell: those whose circle meets its own, but for a drop's reach."""
        footprint = cell.footprint
        reach = 1.01 * (self.radii + footprint.radius) + 10 * cell.pixel_scale / 3600.0
        meets = separation(self.centres, footprint.centre) <= reach
        return [source for source, is_near in zip(self._sources, meets, strict=True) if is_near]
