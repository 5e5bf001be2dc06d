"""The arrays of an image, taken for what they are: by the roles of their places, and by what they hold.

That an array is there does not mean that it says something: an error that is zero everywhere, variances that are all
NaN. This shows when the pixels are read. Then what says nothing is not taken, with a warning, and the next one in the
order of trust is: an error, a variance, an inverse variance, a weight.

Of single pixels, a mask that is not zero leaves the pixel out, as does a weight that is not positive; an error or a
variance that is not positive, or is a number such as 1e30 that stands for none, gives it no weight where errors make
the weights.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from gpures.errors import FileError
from gpures.io.input import VARIANCES
from gpures.io.roles import SOURCES

__all__ = ["MASK", "Fetch", "Place", "Planes", "variance_from"]

log = logging.getLogger(__name__)

# Errors and variances from here on stand for none.
NONE_FROM = 1e29

# A mask that leaves out a larger part of an image is told of.
MOST = 0.5

# Under which name pixels that are left out are handed on.
MASK = "mask"


@dataclass(frozen=True)
class Place:
    """Where an array lies.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    where : int or str
        Number of the extension, or key.
    label : str
        What it is called in messages.
    role : str
        What it is: one of `gpures.io.roles.COMPANIONS`, or "data".
    size : int
        Bytes, once it is read.
    given : bool
        Whether the user says that it is that.
    bits : int or None
        Of a mask, bits that make a pixel bad; None for any.
    """

    path: Path
    where: int | str
    label: str
    role: str
    size: int = 0
    given: bool = False
    bits: int | None = None


Fetch: TypeAlias = Callable[[Sequence[Place]], dict[Place, np.ndarray]]


@dataclass(frozen=True)
class Planes:
    """The arrays that an image has.

    Parameters
    ----------
    name : str
        Name of the image, for messages.
    data : Place
        The image.
    others : tuple of Place
        What belongs to it.
    weights : tuple of Place
        Weights of all chips: where one of these says something, zeros everywhere are a weight as well.
    """

    name: str
    data: Place
    others: tuple[Place, ...] = ()
    weights: tuple[Place, ...] = ()

    def _of(self, *roles: str) -> list[Place]:
        return [place for place in self.others if place.role in roles]

    @property
    def _variances(self) -> dict[str, Place]:
        if any(place.given for place in self._of(*SOURCES)):
            return {}
        return {place.role: place for place in reversed(self._of(*VARIANCES))}

    @property
    def _sources(self) -> list[Place]:
        """What can tell of the variance of the whole, in the order of trust."""
        places = self._of(*SOURCES)
        given = [place for place in places if place.given]
        return sorted(given or places, key=lambda place: SOURCES.index(place.role))

    @property
    def is_relative(self) -> bool:
        """Whether variances are right but for a factor, as they are made of weights."""
        return not self._variances and bool(self._sources) and self._sources[0].role == "wht"

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each array of the model that may come of it."""
        places = {"data": self.data, **self._variances}
        places |= {place.role: place for place in reversed(self._of("err", "dq"))}
        sizes = {role: place.size for role, place in places.items()}
        if not self._variances and self._sources:
            sizes["var_rnoise"] = max(self._sources[0].size, self.data.size if "err" not in sizes else 0)
        return sizes

    def load(self, fetch: Fetch, names: Collection[str]) -> dict[str, np.ndarray]:
        """Read arrays of the model.

        Parameters
        ----------
        fetch : callable
            Reads arrays as they are: takes places, gives a dict.
        names : collection of str
            Which; the data always come, and pixels that are left out under `MASK`.

        Raises
        ------
        FileError
            What the user says is the weight says nothing.
        """
        return _Loading(self, fetch, names).arrays()


class _Loading:
    """Arrays of a model in the making."""

    def __init__(self, planes: Planes, fetch: Fetch, names: Collection[str]):
        self._planes = planes
        self._fetch = fetch
        self._names = names
        self._read: dict[Place, np.ndarray] = {}
        self._told: set[Place] = set()

    def arrays(self) -> dict[str, np.ndarray]:
        planes = self._planes
        variances = {role: place for role, place in planes._variances.items() if role in self._names}
        masks, flags = planes._of("mask"), planes._of("dq") if "dq" in self._names else []
        # Where a weight is 0 there is no data, whatever makes the weights.
        weights = [place for place in planes._sources if place.role in ("ivar", "wht")][:1]
        errors = planes._of("err")[:1] if "err" in self._names else []
        self._get([planes.data, *masks, *flags, *variances.values(), *weights, *errors])
        found = {"data": self._read[planes.data]}
        if flags:
            found["dq"] = _joined([self._read[place] for place in flags])
        if errors and self._says(errors[0]):
            found["err"] = self._read[errors[0]]
        found |= self._variances(variances)
        bad = [self._left_out(place) for place in masks]
        bad += [~(self._read[place] > 0) for place in weights if self._says(place)]
        if bad:
            found[MASK] = np.logical_or.reduce(bad)
        return found

    def _left_out(self, place: Place) -> np.ndarray:
        """Pixels that a mask leaves out; that it is most of them is said, as there are masks whose zeros are bad."""
        bad = _is_bad(self._read[place], place.bits)
        if (share := np.count_nonzero(bad) / bad.size) > MOST:
            log.warning(
                "%s: the mask %s leaves out %.0f %% of the pixels. If its zeros are the bad ones, it is a weight: "
                "'weight_ext' and 'weights' say so.",
                self._planes.name,
                place.label,
                100 * share,
            )
        return bad

    def _get(self, places: Iterable[Place]) -> None:
        new = [place for place in places if place not in self._read]
        if new:
            self._read |= self._fetch(new)

    def _says(self, place: Place) -> bool:
        """Whether an array says something; if not, that is told once."""
        self._get([place])
        array = self._read[place]
        if _has_content(array, place.role) or self._others_say(place):
            return True
        if place not in self._told:
            self._told.add(place)
            words = f"{place.label} is {_described(array)}"
            if place.given and place.role in SOURCES:
                raise FileError(place.path, f"{words}, and no weight for {self._planes.name}.")
            log.warning("%s: %s: it is not taken.", self._planes.name, words)
        return False

    def _others_say(self, place: Place) -> bool:
        """Whether another chip has a weight of this kind that says something."""
        others = set(self._planes.weights).difference(self._planes.others)
        return any(
            other.role == place.role and _has_content(self._fetch([other])[other], other.role) for other in others
        )

    def _variances(self, places: dict[str, Place]) -> dict[str, np.ndarray]:
        found = {role: self._read[place] for role, place in places.items() if self._says(place)}
        if "var_rnoise" not in self._names:
            return found
        if "var_rnoise" in found:
            return found | {"var_rnoise": _valid(found["var_rnoise"])}
        if self._planes._variances and "var_rnoise" not in places:
            return found
        # An error is that of the whole: other variances beside it would count twice.
        source = next((place for place in self._planes._sources if self._says(place)), None)
        if source is not None:
            if self._told:
                log.warning("%s: its variances are made of %s.", self._planes.name, source.label)
            return {"var_rnoise": variance_from(source.role, self._read[source])}
        if self._planes._sources or places:
            log.warning("%s: nothing tells of its errors: its pixels weigh the same.", self._planes.name)
        return {} if places.keys() == {"var_rnoise"} else found


def variance_from(role: str, array: np.ndarray) -> np.ndarray:
    """The variance that an array tells of; infinite where it tells of none, so that it has no weight.

    Parameters
    ----------
    role : str
        One of `gpures.io.roles.SOURCES`.
    array : ndarray
        The array.
    """
    if role == "variance":
        return _valid(array)
    kind = np.result_type(array.dtype.newbyteorder("="), np.float32)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        if role == "err":
            variance = np.square(array, dtype=kind)
            variance[(array <= 0) | (array >= NONE_FROM)] = np.inf
        else:
            variance = np.divide(1.0, array, dtype=kind)
            variance[array <= 0] = np.inf
    return variance


def _valid(variance: np.ndarray) -> np.ndarray:
    """A variance, infinite where it is none; NaN stays, and has no weight either."""
    is_none = (variance <= 0) | (variance >= NONE_FROM)
    if not is_none.any():
        return variance
    kind = np.result_type(variance.dtype.newbyteorder("="), np.float32)
    return np.where(is_none, np.array(np.inf, kind), variance)


def _is_bad(mask: np.ndarray, bits: int | None) -> np.ndarray:
    """Pixels that a mask leaves out: those that are not zero, or have one of some bits; and those of no value."""
    if bits is None:
        return mask != 0  # of NaN, too
    if mask.dtype.kind == "f":
        is_none = ~np.isfinite(mask)
        return is_none | ((np.where(is_none, 0, mask).astype(np.int64) & bits) != 0)
    return (mask.astype(np.int64) & bits) != 0


def _joined(flags: Sequence[np.ndarray]) -> np.ndarray:
    joined = flags[0]
    for other in flags[1:]:
        joined = joined | other
    return joined


def _has_content(array: np.ndarray, role: str) -> bool:
    if role in ("var_poisson", "var_flat"):  # which may be zero
        return array.dtype.kind != "f" or bool(np.isfinite(array).any())
    if role in ("ivar", "wht"):
        return bool(((array > 0) & (array < np.inf)).any())
    return bool(((array > 0) & ((array < NONE_FROM) | (array == np.inf))).any())  # infinite ones say that it is bad


def _described(array: np.ndarray) -> str:
    """What an array holds that says nothing."""
    values: Any = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    if not values.size:
        return "NaN everywhere"
    if values.min() == values.max():
        return f"{values.flat[0]:g} everywhere" + ("" if values.size == array.size else ", or NaN")
    return "nowhere positive" if values.max() <= 0 else "nowhere a number that can be one"
