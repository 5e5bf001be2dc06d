"""What a user says about how files are to be read."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from numbers import Integral
from pathlib import Path
from typing import Any

from gpures.arguments.arrays import got
from gpures.errors import FileError

__all__ = ["Reading", "refuse", "selected"]

Selector = int | str


@dataclass(frozen=True)
class Reading:
    """What is said about how files are read, beside what they say themselves; checked when it is made.

    Parameters
    ----------
    ext : int, str, or sequence of such, optional
        Extensions that are exposures: numbers (the primary one is 0), names, patterns of names such as ``"ccd*"``, or
        name and EXTVER, ``"SCI,2"`` or the tuple ``("SCI", 2)``. By default all images with a WCS of the sky, but for
        those that belong to others.
    plane : int, optional
        Of cubes, the number of the plane, from 0.
    mask_ext, weight_ext : int, str, or sequence of such, optional
        Extensions that are masks, and weights, instead of those that are so by their names.
    masks, weights : str, optional
        Files of masks, and of weights: a path in which ``*`` stands for the exposure's name without its suffix.
        ``"none"``: such files beside the exposures are not looked for.
    bad_bits : int, str or list of int, optional
        Which bits make a pixel bad, of masks and of DQ; by default any in masks, or those with a bad name where their
        headers name them, and for DQ ``good_bits`` tells.
    wcs : {"fits", "gwcs"}, optional
        Which WCS is taken of a FITS file that has both keywords and a gwcs; by default the gwcs, or, where
        they differ, what is more likely to be right.

    Raises
    ------
    TypeError, ValueError
        Something can't be what it stands for; the text names it.
    """

    ext: Any = ()
    plane: int | None = None
    mask_ext: Any = ()
    weight_ext: Any = ()
    masks: str | None = None
    weights: str | None = None
    bad_bits: Any = None
    wcs: str | None = None

    def __post_init__(self) -> None:
        for name in ("ext", "mask_ext", "weight_ext"):
            object.__setattr__(self, name, _selectors(getattr(self, name), name))
        for name in ("masks", "weights"):
            object.__setattr__(self, name, _pattern(getattr(self, name), name))
        if self.plane is not None and not (_is_whole(self.plane) and self.plane >= 0):
            raise ValueError(f"'plane' must be the number of a plane, from 0, got {self.plane!r}.")
        object.__setattr__(self, "bad_bits", _bits(self.bad_bits))
        if self.wcs not in (None, "fits", "gwcs"):
            raise ValueError(f"'wcs' must be 'fits', 'gwcs' or None, got {got(self.wcs)}.")

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of all that can be said.

        Returns
        -------
        tuple of str
            Those of the parameters.
        """
        return tuple(field.name for field in fields(cls))

    @property
    def good_bits(self) -> dict[str, Any]:
        """The option of `gpures.Resample` by which the bits of DQ that are bad are those; none where none are said."""
        return {} if self.bad_bits is None else {"good_bits": f"~{self.bad_bits}" if self.bad_bits else None}


def _selectors(given: Any, name: str) -> tuple[Selector, ...]:
    if given is None:
        return ()
    if isinstance(given, str) or not isinstance(given, Iterable):
        given = (given,)
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str) and _is_whole(given[1]):
        given = (f"{given[0]},{given[1]}",)  # as astropy has it
    found: list[Selector] = []
    for each in given:
        if not _is_whole(each) and (not isinstance(each, str) or not each.strip()):
            raise TypeError(f"{name!r} must be numbers or names of extensions, got {each!r}.")
        if not isinstance(each, str) or each.strip().isdecimal():
            each = int(each)
        if isinstance(each, int) and each < 0:
            raise ValueError(f"{name!r} must be numbers of extensions, from 0, or names, got {each}.")
        found.append(each)
    return tuple(found)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _pattern(given: Any, name: str) -> str | None:
    if given is None:
        return None
    if not isinstance(given, (str, os.PathLike)) or not os.fspath(given):
        raise TypeError(f"{name!r} must be a path, in which * stands for an exposure's name, or 'none', got {given!r}.")
    return os.fspath(given)


def _bits(given: Any) -> int | None:
    from astropy.nddata.bitmask import interpret_bit_flags  # here, as it takes longer to import than gpures

    if given is None:
        return None
    try:
        bits = interpret_bit_flags(given)
    except Exception as error:
        raise ValueError(f"'bad_bits' must be bits, such as 4 or '1+16', got {given!r}: {error}") from error
    if bits is None or int(bits) < 0:
        raise ValueError(f"'bad_bits' must be bits, such as 4 or '1+16', got {given!r}.")
    return int(bits)


def selected(selector: Selector, number: int, name: str, version: int) -> bool:
    """Whether a selector stands for an extension.

    Parameters
    ----------
    selector : int or str
        Number, name, pattern of names, or name and version.
    number, name, version : int, str, int
        Of the extension.
    """
    if isinstance(selector, int):
        return selector == number
    wanted, _, wanted_version = selector.upper().rpartition(",")
    if wanted and wanted_version.strip().isdecimal():
        return name.upper() == wanted.strip() and version == int(wanted_version)
    return fnmatch.fnmatchcase(name.upper(), selector.strip().upper())


def refuse(path: Path, reading: Reading, whose: str) -> None:
    """Refuse what can't be said of files whose format is known.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    reading : Reading
        What the user says.
    whose : str
        Whose format it is.

    Raises
    ------
    FileError
        Extensions are named, or files beside it.
    """
    for name in ("ext", "mask_ext", "weight_ext", "masks", "weights"):
        if getattr(reading, name) not in ((), None, "none"):
            raise FileError(path, f"it is a file of {whose}, whose images are known: '{name}' is not for it.")
