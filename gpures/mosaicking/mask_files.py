"""Masks of outliers in files: one for each exposure's file, which readers of masks take for its own."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from gpures.io.atomic import written
from gpures.mosaicking.sources import Source

__all__ = ["MaskFiles"]

# What a name of a file can't have in it everywhere.
ODD = re.compile(r"[^\w.+-]+")

SUFFIX = re.compile(r"(\.(fits|fit|fts|asdf|gz|fz|bz2))+$", re.IGNORECASE)


class MaskFiles:
    """Files of masks in a folder: ``x_mask.fits`` for ``x.fits``, with an image for each that is an exposure there.

    A pixel that is 1 is an outlier. What was there under such a name is replaced.

    Parameters
    ----------
    folder : pathlib.Path
        Is made, where it is not there.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._of: str | None = None
        self._masks: list[np.ndarray] = []
        self._names: set[str] = set()
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
        file = source.name if source.kind == "model" else str(source.path)
        if file != self._of:
            self.close()
            self._of = file
        self._masks.append(mask)

    def close(self) -> None:
        """Write the masks of the last file."""
        if self._of is None:
            return
        from astropy.io import fits

        stem = ODD.sub("_", SUFFIX.sub("", Path(self._of).name)) or "exposure"
        name, number = stem, 1
        while name in self._names:
            number += 1
            name = f"{stem}-{number}"
        self._names.add(name)
        images = [mask.astype(np.uint8) for mask in self._masks]
        hdus = fits.HDUList([fits.PrimaryHDU()])
        hdus += [fits.ImageHDU(image, name="MASK", ver=k) for k, image in enumerate(images, 1)]
        hdus[0].header["COMMENT"] = "1: an outlier, which the other exposures of its place do not have"
        with written(self._folder / f"{name}_mask.fits", overwrite=True) as file:
            hdus.writeto(file)
        self._of, self._masks = None, []
