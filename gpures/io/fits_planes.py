"""Where the arrays of FITS images lie: in the file, and in files beside it; and how they are read."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

import numpy as np

from gpures.io.beside import files_beside, matched
from gpures.io.extensions import WORDS, Extension
from gpures.io.fits_exposures import FITSImages
from gpures.io.fits_images import image_bytes, read_images
from gpures.io.planes import Place, Planes
from gpures.io.reading import Reading

__all__ = ["fetch", "planes_of"]

log = logging.getLogger(__name__)

# Planes of the masks of the Rubin pipeline that leave a pixel out; others tell of detected sources, or of pixels that
# were put right.
RUBIN_BAD = ("BAD", "SAT", "CR", "EDGE", "NO_DATA", "UNMASKEDNAN", "SUSPECT")


def planes_of(path: Path, hdus: Any, images: FITSImages, reading: Reading) -> dict[int, Planes]:
    """Where the arrays of each exposure of an open file lie, by the number of its extension.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    hdus : astropy.io.fits.HDUList
        The same, open.
    images : FITSImages
        What its images are.
    reading : Reading
        What the user says.

    Raises
    ------
    FileError
        It can't be told what belongs to which.
    """
    found: dict[int, list[Place]] = {}
    used = set()
    for index, those in images.companions().items():
        used |= {each.index for _, each, _ in those}
        found[index] = [_place(path, hdus[each.index], each, role, given, reading) for role, each, given in those]
    images.tell_unread(used)
    given_kinds = set()
    for beside in files_beside(path, reading):
        pairs = matched(path, images.images, beside, reading.plane)
        for index, (each, hdu) in pairs.items():
            place = _place(beside.path, hdu, each, beside.role, beside.given, reading, beside.path.name)
            found.setdefault(index, []).append(place)
        if beside.given:
            given_kinds.add("mask" if beside.role in ("mask", "dq") else "weight")
        else:
            own = _ending(beside.path.name, path.name)
            log.warning("%s: %s beside it is by its name %s, and taken for that.", path, own, WORDS[beside.role])
    planes = {}
    for each in images.exposures:
        places = found.get(each.index, [])
        if "mask" in given_kinds:
            places = [place for place in places if place.given or place.role not in ("mask", "dq")]
        size = image_bytes(hdus[each.index], reading.plane)
        planes[each.index] = Planes(
            path.name + each.label, Place(path, each.index, each.label, "data", size), tuple(places)
        )
    weights = tuple(place for each in planes.values() for place in each.others if place.role in ("ivar", "wht"))
    planes = {index: replace(each, weights=weights) for index, each in planes.items()}
    if any(each.is_relative for each in planes.values()):
        log.warning("%s has weights and no variances: its variances are 1 / weight, right but for a factor.", path.name)
    return planes


def _ending(name: str, other: str) -> str:
    """A name without the parts that it begins with in common with another."""
    count = next((k for k, (one, two) in enumerate(zip(name, other, strict=False)) if one != two), len(other))
    begin = max(name.rfind(mark, 0, count + 1) for mark in "._-")
    return f"*{name[begin:]}" if begin > 0 else name


def _place(
    path: Path, hdu: Any, extension: Extension, role: str, given: bool, reading: Reading, file: str = ""
) -> Place:
    bits = None
    if role == "mask":
        bits = _bad_planes(hdu.header) if reading.bad_bits is None else reading.bad_bits
    size = image_bytes(hdu, reading.plane)
    if role in ("ivar", "wht", "err") and hdu.header["BITPIX"] > 0 and extension.shape:  # what is made of it is a float
        size = max(size, (4 if hdu.header["BITPIX"] <= 16 else 8) * extension.shape[0] * extension.shape[1])
    return Place(path, extension.index, file + extension.label, role, size, given, bits)


def _bad_planes(header: Mapping[str, Any]) -> int | None:
    """Bits that make a pixel bad of a mask whose header has names for its bits, MP_BAD and so on; else None."""
    bits = {keyword[3:]: header[keyword] for keyword in header if keyword.startswith("MP_")}
    if not bits:
        return None
    return reduce(or_, (1 << bit for name, bit in bits.items() if name in RUBIN_BAD and 0 <= bit < 63), 0)


def fetch(plane: int | None, places: Sequence[Place]) -> dict[Place, np.ndarray]:
    """Read arrays as they are.

    Parameters
    ----------
    plane : int or None
        Of cubes, the plane.
    places : sequence of Place
        Where they lie.
    """
    found: dict[Place, np.ndarray] = {}
    for path in dict.fromkeys(place.path for place in places):
        those = [place for place in places if place.path == path]
        images = read_images(path, _numbers(those), plane, _numbers(place for place in those if place.role == "dq"))
        found |= {place: images[int(place.where)] for place in those}
    return found


def _numbers(places: Iterable[Place]) -> list[int]:
    return [int(place.where) for place in places]
