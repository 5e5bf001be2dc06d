"""The images of a FITS file: which are exposures, and what belongs to which.

Exposures are the images with a WCS of the sky that are not something else by their names (`gpures.io.roles`). Where
some are called SCI, IMAGE or the like, it is these; of two at the same place one is another plane of the same image, or
a smaller version of it.

What belongs to an image is found by name (``ccd00_mask``), by the number behind the name (``DQ2``), by EXTVER where
that tells images apart, and else by order: what follows each image, or the k-th of a name to the k-th image.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gpures.errors import FileError, NoExposureError
from gpures.io.fits_images import axes_of, image_shape, label_of, labels
from gpures.io.fits_wcs import fits_wcs, has_sky
from gpures.io.reading import Reading, selected
from gpures.io.roles import COMPANIONS, IMAGES, SOURCES, Named, named, role_of_header
from gpures.wcs.sphere import separation, vectors
from gpures.wcs.transforms import pixel_to_world

__all__ = ["Extension", "FITSImages", "extensions_of"]

log = logging.getLogger(__name__)

# Two images of one shape are at the same place if their corners are no farther apart, in pixels; and two of different
# shapes, in pixels of the larger kind.
SAME_PIXELS, SAME_PLACE = 0.01, 0.75

TAKEN = "'ext', 'mask_ext' and 'weight_ext' say what they are."


@dataclass(frozen=True)
class Extension:
    """An image of a FITS file, by its header.

    Attributes
    ----------
    index : int
        Number of the extension.
    label : str
        What it is called, as ``[SCI,2]``.
    name, version : str, int
        EXTNAME in capitals, "" where there is none, and EXTVER.
    shape : (int, int) or None
        Shape; None of a cube or a row.
    bits : int
        BITPIX.
    has_sky : bool
        Whether it has a WCS of the sky.
    said : gpures.io.roles.Named
        What the name says.
    """

    index: int
    label: str
    name: str
    version: int
    shape: tuple[int, int] | None
    bits: int
    has_sky: bool
    said: Named

    @property
    def role(self) -> str:
        """What it is."""
        return self.said.role

    @property
    def family(self) -> str:
        """What names that differ in their numbers have in common; "" of those without a name."""
        return re.sub(r"[\W\d_]+", "", self.name)

    @property
    def flat(self) -> str:
        """The name in letters and digits."""
        return re.sub(r"[\W_]+", "", self.name)


def extensions_of(hdus: Any, plane: int | None = None) -> list[Extension]:
    """All images of an open file that have pixels."""
    found = []
    called = labels(hdus)
    for index, hdu in enumerate(hdus):
        if axes_of(hdu) is None and (not hdu.is_image or not hdu.header["NAXIS"] or 0 in hdu.shape):
            continue
        name = "" if hdu.name == "PRIMARY" and not index else hdu.name.strip().upper()
        said = named(name)
        role = role_of_header(hdu.header)
        if role is not None and said.role in ("unknown", "image", *COMPANIONS):
            said = Named(role, said.word, said.stem, said.number)
        found.append(
            Extension(
                index=index,
                label=called[index],
                name=name,
                version=hdu.ver,
                shape=image_shape(hdu, plane),
                bits=hdu.header["BITPIX"],
                has_sky=has_sky(hdu.header),
                said=said,
            )
        )
    return found


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
        unnamed = []
        for each in found:
            outline = outlines[each.index] = _Outline.of(self.wcs_of(each), each.shape)
            twin = next((one for one in accepted if outlines[one.index].shows(outline)), None)
            if twin is None:
                accepted.append(each)
            elif twin.shape != each.shape:  # a smaller version
                if math.prod(twin.shape or ()) < math.prod(each.shape or ()):
                    accepted[accepted.index(twin)] = each
            elif each.family == twin.family != "":
                accepted.append(each)
            elif each.family == twin.family:
                if twin.index == 0 or twin.bits != each.bits:
                    raise FileError(
                        self.path,
                        f"{twin.label} and {each.label} have no names and lie at the same place: it can't be told "
                        f"whether they are two exposures, or one belongs to the other. {TAKEN}",
                    )
                accepted.append(each)
                unnamed += [twin.label, each.label]
        if unnamed:
            log.warning(
                "%s: %s have no names and lie at the same place: they are taken for several exposures. %s",
                self.path,
                ", ".join(dict.fromkeys(unnamed)),
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
        for image, each in self._matched(own, group):
            if each.shape != image.shape:
                raise FileError(
                    self.path,
                    f"{each.label} has the shape {each.shape}, expected that of the image in {image.label}, "
                    f"{image.shape}.",
                )
            found[image.index].append((role, each, given))

    def _matched(self, images: Sequence[Extension], group: Sequence[Extension]) -> list[tuple[Extension, Extension]]:
        """Pairs of an image and what of a group belongs to it."""
        pairs, rest = [], []
        for each in group:
            stem = each.said.stem
            targets = [image for image in images if stem and image.flat == stem]
            if len(targets) == 1:
                pairs.append((targets[0], each))
            elif not stem or targets or stem in (*IMAGES, "PRIMARY"):
                rest.append(each)
        return pairs + (self._by_place(images, rest) if rest else [])

    def _by_place(self, images: Sequence[Extension], group: Sequence[Extension]) -> list[tuple[Extension, Extension]]:
        if len(images) == 1:
            same = [each for each in group if each.version == images[0].version and each.said.number is None]
            chosen = group if len(group) == 1 else same
            if len(chosen) == 1:
                return [(images[0], chosen[0])]
            raise self._untold(images, group)
        for key in (_number, _version):
            numbers, those = [key(image) for image in images], [key(each) for each in group]
            is_clear = len(set(numbers)) == len(numbers) and len(set(those)) == len(those)
            if is_clear and None not in numbers and set(those) <= set(numbers):
                return [(images[numbers.index(number)], each) for number, each in zip(those, group, strict=True)]
        before = [max((image.index for image in images if image.index < each.index), default=-1) for each in group]
        follows = -1 not in before and len(set(before)) == len(group)
        if follows and (min(each.index for each in group) < images[-1].index):
            by_index = {image.index: image for image in images}
            return [(by_index[number], each) for number, each in zip(before, group, strict=True)]
        if len(group) == len(images):
            return list(zip(images, group, strict=True))
        raise self._untold(images, group)

    def _untold(self, images: Sequence[Extension], group: Sequence[Extension]) -> FileError:
        words = f"it can't be told which of the images {_labels(images)} {_labels(group)} belong to"
        return FileError(self.path, f"{words}: neither EXTVER nor their order says so. {TAKEN}")

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
            and (each.has_sky or each.shape in shapes or each.role in ("image", "unknown"))
            and not (each.role in COMPANIONS and self._replaced(each))
        ]
        if left:
            blind = [each for each in left if not each.has_sky and each.role in ("image", "unknown")]
            why = f"; {_labels(blind)} without a WCS of the sky" if blind else ""
            log.warning("%s: images that are not read: %s%s. %s", self.path, _labels(left), why, TAKEN)
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


# What a role is called in messages.
WORDS = {
    "err": "an error",
    "variance": "a variance",
    "ivar": "an inverse variance",
    "wht": "a weight",
    "dq": "flags",
    "mask": "a mask",
    "var_rnoise": "a variance of read noise",
    "var_poisson": "a variance of photon noise",
    "var_flat": "a variance of the flat field",
}


def _given_role(kind: str, role: str) -> str:
    if kind == "mask":
        return "dq" if role == "dq" else "mask"
    return role if role in SOURCES else "wht"


def _number(extension: Extension) -> int | None:
    return extension.said.number


def _version(extension: Extension) -> int:
    return extension.version


def _labels(extensions: Iterable[Extension]) -> str:
    return ", ".join(each.label for each in extensions)


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
