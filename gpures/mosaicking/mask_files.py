"""Masks of outliers in files: one for each exposure's file, which readers of masks take for its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits

from gpures.io import belongs_to
from gpures.io.atomic import written
from gpures.io.exposures import is_mosaic
from gpures.mosaicking.sources import Source

__all__ = ["MaskFiles"]

# What a name of a file can't have in it everywhere.
ODD = re.compile(r"[^\w.+-]+")

SUFFIX = re.compile(r"(\.(fits|fit|fts|asdf|gz|fz|bz2))+$", re.IGNORECASE)


class MaskFiles:
    """Files of masks in a folder: ``x_mask.fits`` for ``x.fits``, with an image for each that is an exposure there.

    A pixel that is 1 is an outlier.

    Parameters
    ----------
    folder : pathlib.Path
        Is made, where it is not there.
    sources : sequence of Source
        The exposures.
    overwrite : bool
        Whether masks that gpures wrote before may be replaced. Others never are.

    Raises
    ------
    FileExistsError
        A file is there that can't be replaced.
    """

    def __init__(self, folder: Path, sources: Sequence[Source], overwrite: bool):
        self._folder = folder
        self._of: str | None = None
        self._masks: list[np.ndarray] = []
        self._paths = _paths(folder, sources)
        for path in self._paths.values():
            if path.exists() and (why := _why_it_stays(path, overwrite)) is not None:
                raise FileExistsError(f"{path} {why}: 'save_masks' must be another folder.")
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, source: Source, mask: np.ndarray) -> None:
        """Add the mask of an exposure; those of one file follow each other.

        Parameters
        ----------
        source : Source
            The exposure.
        mask : ndarray of bool (Ny, Nx)
            Its outliers.
        """
        file = _file_of(source)
        if file != self._of:
            self.close()
            self._of = file
        self._masks.append(mask)

    def close(self) -> None:
        """Write the masks of the last file."""
        if self._of is None:
            return
        from gpures import __version__

        images = [mask.astype(np.uint8) for mask in self._masks]
        hdus = fits.HDUList([fits.PrimaryHDU()])
        hdus += [fits.ImageHDU(image, name="MASK", ver=k) for k, image in enumerate(images, 1)]
        hdus[0].header["CREATOR"] = (f"gpures {__version__}", "program")
        hdus[0].header["COMMENT"] = "1: an outlier, which the other exposures of its place do not have"
        with written(self._paths[self._of], overwrite=True) as file:
            hdus.writeto(file)
        self._of, self._masks = None, []


def _file_of(source: Source) -> str:
    """What exposures of one file have in common."""
    return source.name if source.kind == "model" else str(source.path)


def _paths(folder: Path, sources: Sequence[Source]) -> dict[str, Path]:
    """Files of masks, by the exposures' files: of those of one name the others have a number."""
    found: dict[str, Path] = {}
    for file in dict.fromkeys(_file_of(source) for source in sources):
        stem = ODD.sub("_", SUFFIX.sub("", Path(file).name)) or "exposure"
        path, number = folder / f"{stem}_mask.fits", 1
        while path in found.values():
            number += 1
            path = folder / f"{stem}-{number}_mask.fits"
        found[file] = path
    return found


def _why_it_stays(path: Path, overwrite: bool) -> str | None:
    """Why a file is not replaced; None if it is."""
    if not overwrite:
        return "is there already"
    if (owner := belongs_to(path)) is not None:  # what it masks is not found again, and would be lost
        return f"is taken for the mask of {owner[0].name}"
    try:
        is_ours = is_mosaic(fits.getheader(path))
    except Exception:  # whatever astropy says of a file that is none
        is_ours = False
    return None if is_ours else "is no mask that gpures wrote"
