"""Which images of a FITS file are exposures, and what belongs to them.

Exposures are the images with a WCS of the sky that are not something else by their names (`gpures.io.roles`). Where
some are called SCI, IMAGE or the like, it is these; of two at the same place one is another plane of the same image, or
a smaller version of it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gpures.errors import FileError, NoExposureError
from gpures.io.extensions import WORDS, Extension, called, extensions_of, matched
from gpures.io.fits_images import axes_of, label_of
from gpures.io.fits_wcs import fits_wcs
from gpures.io.reading import Reading, selected
from gpures.io.roles import COMPANIONS, IMAGES, SOURCES, role_of_header
from gpures.wcs.sphere import separation, vectors
from gpures.wcs.transforms import pixel_to_world

__all__ = ["FITSImages"]

log = logging.getLogger(__name__)

# Two images of one shape are at the same place if their corners are no farther apart, in pixels; and two of different
# shapes, in pixels of the larger kind.
SAME_PIXELS, SAME_PLACE = 0.01, 0.75

TAKEN = "'ext', 'mask_ext' and 'weight_ext' say what they are."


class FITSImages:
    """What the images of an open FITS file are.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    hdus : astropy.io.fits.HDUList
        The same, open.
    reading : Reading
        What the user says.
    has_gwcs : bool, optional
        Whether a WCS lies elsewhere in the file, so that the header need not have one.
    """

    def __init__(self, path: Path, hdus: Any, reading: Reading, has_gwcs: bool = False):
        self.path = path
        self._hdus = hdus
        self._reading = reading
        self._has_gwcs = has_gwcs
        self._wcs: dict[int, Any] = {}
        self.all = extensions_of(hdus, reading.plane)
        self._given = {
            extension.index
            for selectors in (reading.mask_ext, reading.weight_ext)
            for extension in self._selected(selectors)
        }

    @cached_property
    def images(self) -> list[Extension]:
        """All that are images of their own, be they exposures or not, in their order."""
        found = [each for each in self.all if each.shape and each.role in ("image", "unknown")]
        found = [each for each in found if each.index not in self._given]
        if strong := [each for each in found if each.said.word in IMAGES or role_of_header(self._header(each))]:
            found = strong
        families = {each.family for each in found if each.has_sky}
        found = [each for each in found if each.family in families] or found
        more = [each for each in self._selected(self._reading.ext) if each not in found]
        return sorted([*found, *more], key=lambda each: each.index)

    @cached_property
    def exposures(self) -> list[Extension]:
        """Those that are exposures.

        Raises
        ------
        FileError
            There is none, or it can't be told.
        """
        if self._reading.ext:
            chosen = self._selected(self._reading.ext)
            for each in chosen:
                if each.shape is None:
                    raise FileError(self.path, self._no_image([each]))
            return chosen
        with_shape = [each for each in self.all if each.shape]
        if not with_shape:
            raise FileError(self.path, self._no_image(self.all))
        found = [each for each in self.images if self._is_on_sky(each)] or self._lone()
        if not found:
            if all(each.role in COMPANIONS for each in with_shape):
                words = ", ".join(f"{each.label} (by its name {WORDS[each.role]})" for each in with_shape)
                raise NoExposureError(self.path, f"it has no exposure, but {words}. {TAKEN}")
            first = (self.images or with_shape)[0]
            self.wcs_of(first)  # says what is wrong with it
            return [first]
        return self._apart(found)

    def _lone(self) -> list[Extension]:
        """What is no image by its name, where nothing else is."""
        others = [each for each in self.all if each.shape and each.role in ("unknown", "other") and each.has_sky]
        return [each for each in others if each.family == others[0].family]

    def _is_on_sky(self, extension: Extension) -> bool:
        return extension.has_sky or (self._has_gwcs and len(self.images) == 1)

    def wcs_of(self, extension: Extension) -> Any:
        """WCS of an image, by its header; made once."""
        if extension.index not in self._wcs:
            self._wcs[extension.index] = fits_wcs(self.path, self._hdus, extension.index, self._reading.plane)
        return self._wcs[extension.index]

    def _header(self, extension: Extension) -> Any:
        return self._hdus[extension.index].header

    def _selected(self, selectors: Iterable[int | str]) -> list[Extension]:
        found: list[Extension] = []
        for selector in selectors:
            new = [each for each in self.all if selected(selector, each.index, each.name or "PRIMARY", each.version)]
            new = [each for each in new if each.name or each.index == 0 or isinstance(selector, int)]
            if not new:
                labels = ", ".join(each.label for each in self.all) or "none"
                raise FileError(self.path, f"there is no image {selector!r} in it, as was asked for; images: {labels}.")
            found += [each for each in new if each not in found]
        return found

    def _no_image(self, extensions: Sequence[Extension]) -> str:
        found = ", ".join(
            f"{label_of(self._hdus, k)} with {hdu.header.get('NAXIS')} axes" for k, hdu in enumerate(self._hdus)
        )
        words = f"no image of two dimensions, got {found}."
        cubes = [each for each in extensions if each.shape is None and len(self._hdus[each.index].shape) > 2]
        if not cubes:
            return words
        sides, own = axes_of(self._hdus[cubes[0].index]) or ([], [])
        others = [side for axis, side in enumerate(sides) if axis not in own and side > 1]
        if len(others) > 1:
            return f"{words} {cubes[0].label} has the shape {tuple(sides)}: a number tells no plane of it."
        if (plane := self._reading.plane) is not None:
            return f"{cubes[0].label} has the planes 0 to {others[0] - 1}, and 'plane' is {plane}."
        return f"{words} {cubes[0].label} is a cube: 'plane' says which, from 0 to {others[0] - 1}."

    # ---- several images ----------------------------------------------------------------------------------------------

    def _apart(self, found: Sequence[Extension]) -> list[Extension]:
        """Without those that show what another one shows.

        Raises
        ------
        FileError
            It can't be told whether one does.
        """
        if len(found) == 1:
            return list(found)
        accepted: list[Extension] = []
        outlines: dict[int, _Outline] = {}
        unclear = []
        for each in found:
            outline = outlines[each.index] = _Outline.of(self.wcs_of(each), each.shape)
            twin = next((one for one in accepted if outlines[one.index].shows(outline)), None)
            if twin is None:
                accepted.append(each)
            elif twin.shape != each.shape:  # a smaller version
                if math.prod(twin.shape or ()) < math.prod(each.shape or ()):
                    accepted[accepted.index(twin)] = each
            elif each.family == twin.family:
                if not each.family and (twin.index == 0 or twin.bits != each.bits):
                    raise FileError(
                        self.path,
                        f"{twin.label} and {each.label} have no names and lie at the same place: it can't be told "
                        f"whether they are two exposures, or one belongs to the other. {TAKEN}",
                    )
                accepted.append(each)
                if each.role == "unknown":
                    unclear += [twin.label, each.label]
        if unclear:
            log.warning(
                "%s: %s %s lie at the same place: they are taken for several exposures. %s",
                self.path,
                ", ".join(dict.fromkeys(unclear)),
                "have names that say nothing, and" if accepted[0].family else "have no names and",
                TAKEN,
            )
        return accepted

    # ---- what belongs to them ----------------------------------------------------------------------------------------

    def companions(self) -> dict[int, list[tuple[str, Extension, bool]]]:
        """By the number of an image: roles and extensions of what belongs to it, and whether the user says so.

        Raises
        ------
        FileError
            It can't be told, or one has another shape.
        """
        given = {
            "mask": self._selected(self._reading.mask_ext),
            "weight": self._selected(self._reading.weight_ext),
        }
        groups: dict[tuple[str, str], list[Extension]] = {}
        for each in self.all:
            if each.role not in COMPANIONS or each.index in self._given or each in self.images:
                continue
            kind = "mask" if each.role in ("mask", "dq") else "weight"
            if not given[kind]:
                groups.setdefault((each.role, each.said.word), []).append(each)
        found: dict[int, list[tuple[str, Extension, bool]]] = {each.index: [] for each in self.images}
        for (role, _), group in groups.items():
            self._add(found, role, group, False)
        for kind, group in given.items():
            by_role: dict[str, list[Extension]] = {}
            for each in group:
                by_role.setdefault(_given_role(kind, each.role), []).append(each)
            for role, those in by_role.items():
                self._add(found, role, those, True)
        return found

    def _add(self, found: dict[int, Any], role: str, group: Sequence[Extension], given: bool) -> None:
        own = [each for each in self.images if each.role in ("image", "unknown")] or self.images
        pairs = matched(own, group)
        if pairs is None:
            raise FileError(
                self.path,
                f"it can't be told which of the images {called(own)} {called(group)} belong to: neither EXTVER nor "
                f"their order says so. {TAKEN}",
            )
        for image, each in pairs:
            if each.shape != image.shape:
                raise FileError(
                    self.path,
                    f"{each.label} has the shape {each.shape}, expected that of the image in {image.label}, "
                    f"{image.shape}.",
                )
            found[image.index].append((role, each, given))

    def tell_unread(self, used: Iterable[int]) -> None:
        """Warn of images that are neither exposures nor belong to one, once for the file.

        Parameters
        ----------
        used : iterable of int
            Numbers of the extensions that are read.
        """
        if self._reading.ext:
            return
        used = {*used, *(each.index for each in self.exposures)}
        shapes = {each.shape for each in self.exposures}
        left = [
            each
            for each in self.all
            if each.index not in used
            and each.role != "known"
            and (each.has_sky or each.shape in shapes or (each.shape and each.role in ("image", "unknown")))
            and not (each.role in COMPANIONS and self._replaced(each))
        ]
        if left:
            blind = [each for each in left if not each.has_sky and each.role in ("image", "unknown")]
            why = f"; {called(blind)} without a WCS of the sky" if blind else ""
            log.warning("%s: images that are not read: %s%s. %s", self.path, called(left), why, TAKEN)
        roles: dict[str, int] = {}
        found = self.companions()
        for each in self.exposures:
            for role in {role for role, _, _ in found.get(each.index, ())}:
                roles[role] = roles.get(role, 0) + 1
        for role, count in roles.items():
            if count < len(self.exposures):
                log.warning("%s: %d of its %d exposures have %s.", self.path, count, len(self.exposures), WORDS[role])

    def _replaced(self, extension: Extension) -> bool:
        is_mask = extension.role in ("mask", "dq")
        return bool(self._reading.mask_ext if is_mask else self._reading.weight_ext)


def _given_role(kind: str, role: str) -> str:
    if kind == "mask":
        return "dq" if role == "dq" else "mask"
    return role if role in SOURCES else "wht"


@dataclass(frozen=True)
class _Outline:
    """Where an image lies: its corners as vectors, and the length of a pixel in its middle, degrees."""

    shape: tuple[int, int]
    corners: np.ndarray
    pixel: float

    @classmethod
    def of(cls, wcs: Any, shape: Any) -> _Outline:
        ny, nx = shape
        x = np.array([0.0, nx, nx, 0.0, 0.5 * nx, 0.5 * nx + 1.0]) - 0.5
        y = np.array([0.0, 0.0, ny, ny, 0.5 * ny, 0.5 * ny]) - 0.5
        with np.errstate(all="ignore"):
            places = vectors(*pixel_to_world(wcs)(x, y)[:2])
            return cls(shape, places[:4], float(separation(places[4], places[5])))

    def shows(self, other: _Outline) -> bool:
        """Whether it is at another image's place."""
        near = (SAME_PIXELS if self.shape == other.shape else SAME_PLACE) * max(self.pixel, other.pixel)
        with np.errstate(all="ignore"):
            return bool(np.all(separation(self.corners, other.corners) < near))
