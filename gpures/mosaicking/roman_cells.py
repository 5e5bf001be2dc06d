"""Roman's sky map: the cells of the sky that its mosaics are made of, from the mission's reference file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gpures.errors import FileError, MissingDependencyError
from gpures.io import asdf
from gpures.mosaicking.sky_cell import SkyCell
from gpures.wcs.sphere import separation, vectors

__all__ = ["SkyMap", "is_sky_map", "roman_sky_map"]

ASDF = b"#ASDF"


def is_sky_map(path: str | os.PathLike[str]) -> bool:
    """Whether a file is in ASDF, as sky maps are, and tables of cells are not."""
    try:
        with open(path, "rb") as file:
            return file.read(len(ASDF)) == ASDF
    except OSError:
        return False


def roman_sky_map() -> Path:
    """The sky map that romancal has: the one that SKYMAP_PATH names, or the reference file of today.

    Raises
    ------
    MissingDependencyError
        romancal is not installed.
    OSError
        It has none, as without its server for reference files.
    """
    try:
        from romancal.skycell.skymap import SKYMAP
    except ImportError as error:
        raise MissingDependencyError(
            "'roman' are the sky cells that romancal knows, which is not installed: pip install romancal, or give its "
            "sky map, an ASDF file of the reference type SKYCELLS."
        ) from error
    try:
        SKYMAP.model  # noqa: B018  (which finds it)
    except Exception as error:  # of as many kinds as its server has troubles
        raise OSError(f"romancal has no sky map: {' '.join(str(error).split()) or type(error).__name__}") from error
    return Path(SKYMAP.path)


class SkyMap:
    """Regions of the sky, each with a tangent plane, and the cells that each is cut into: some millions in all.

    Parameters
    ----------
    path : str or path
        Reference file of the type SKYCELLS.

    Raises
    ------
    FileError
        It is none, or is damaged.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self._path = Path(path)
        with asdf.opened(self._path) as file:
            try:
                tree: Any = file.tree["roman"]
                meta = tree["meta"]
                self._side, self._scale = int(meta["nxy_skycell"]), float(meta["pixel_scale"])
                self._regions = np.array(tree["projection_regions"])
                self._cells = np.array(tree["skycells"])
                self._check()
                self._parity = self._parity_of()
            except (KeyError, TypeError, ValueError, IndexError) as error:
                raise FileError(self._path, f"is no sky map, of the reference type SKYCELLS: {error!r}.") from error

    def _check(self) -> None:
        for array, names in (
            (self._regions, ("ra_tangent", "dec_tangent", "orientat", "skycell_start", "skycell_end")),
            (self._cells, ("name", "ra_center", "dec_center", "x_tangent", "y_tangent")),
        ):
            for name in names:
                array[name]
        if self._side < 1 or not self._scale > 0:
            raise ValueError(f"cells of {self._side} pixels of {self._scale} arcsec")

    def _parity_of(self) -> int:
        """1 where right ascension grows with x, as in the maps of today, and -1 where it grows with -x.

        It is what puts the middle of a cell where the map says that it is.
        """
        middle = (self._side - 1) / 2
        for region in self._regions:
            rows = self._cells[int(region["skycell_start"]) : int(region["skycell_end"])]
            rows = rows[np.abs(rows["x_tangent"] - middle) > self._side / 4]  # others are the same mirrored
            if len(rows):
                row = rows[0]
                place = vectors(row["ra_center"], row["dec_center"])
                for parity in (1, -1):
                    found = self._cell(region, row, parity).wcs.pixel_to_world_values(middle, middle)
                    if separation(vectors(*found), place) * 3600 < self._scale:
                        return parity
                raise ValueError(f"cell {row['name']!s} is elsewhere than its tangent point says")
        return 1

    def _cell(self, region: np.void, row: np.void, parity: int) -> SkyCell:
        """A cell of a region."""
        return SkyCell(
            name=str(row["name"]),
            ra=float(region["ra_tangent"]),
            dec=float(region["dec_tangent"]),
            nx=self._side,
            ny=self._side,
            pixel_scale=self._scale,
            rotation=float(region["orientat"]),
            x=float(row["x_tangent"]),
            y=float(row["y_tangent"]),
            parity=parity,
        )

    def cells(self, centres: np.ndarray | None = None, radii: np.ndarray | None = None) -> Iterator[SkyCell]:
        """Cells in their order: all of them, or those that may reach some circles on the sky.

        Parameters
        ----------
        centres, radii : ndarray, optional
            Unit vectors of the circles' centres, shape (n, 3), and their radii, shape (n,), degrees.

        Yields
        ------
        SkyCell
            A part of its region's tangent plane.
        """
        own = self._side * self._scale / 3600.0 * np.sqrt(0.5)  # of a plane, which a cell on the sky is no larger than
        for region in self._regions:
            first, end = int(region["skycell_start"]), min(int(region["skycell_end"]), len(self._cells))
            rows = self._cells[first:end]
            places = vectors(rows["ra_center"], rows["dec_center"])
            near = np.ones(len(rows), bool)
            if centres is not None and radii is not None and len(rows):
                middle = vectors(region["ra_tangent"], region["dec_tangent"])
                extent = separation(places, middle).max() + 2 * own
                near[:] = False
                for k in np.flatnonzero(separation(centres, middle) <= extent + radii):
                    near |= separation(places, centres[k]) <= radii[k] + 1.01 * own
            for row in rows[near]:
                yield self._cell(region, row, self._parity)
