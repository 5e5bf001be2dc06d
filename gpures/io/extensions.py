"""The images of a FITS file, by their headers and one by one; and which of them belongs to which by name and order.

What belongs to an image is found by name (``ccd00_mask``), by the number behind the name (``DQ2``), by EXTVER where
that tells images apart, and else by order: what follows each image, or the k-th of a name to the k-th image.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gpures.io.fits_images import axes_of, image_shape, labels
from gpures.io.fits_wcs import has_sky
from gpures.io.roles import COMPANIONS, IMAGES, Named, named, role_of_header

__all__ = ["WORDS", "Extension", "called", "extensions_of", "matched"]

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
    has_version : bool
        Whether the header has that; else it is 1.
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
    has_version: bool
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
        name = "" if name == "COMPRESSED_IMAGE" else name  # which packing gives to those that have none
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
                has_version="EXTVER" in hdu.header,
                shape=image_shape(hdu, plane),
                bits=hdu.header["BITPIX"],
                has_sky=has_sky(hdu.header),
                said=said,
            )
        )
    return found


def called(extensions: Iterable[Extension]) -> str:
    """What extensions are called, one after another."""
    return ", ".join(each.label for each in extensions)


def matched(images: Sequence[Extension], group: Sequence[Extension]) -> list[tuple[Extension, Extension]] | None:
    """Pairs of an image and what of a group of extensions with one name belongs to it.

    Parameters
    ----------
    images : sequence of Extension
        All images of a file.
    group : sequence of Extension
        What belongs to some of them.

    Returns
    -------
    list of (Extension, Extension) or None
        None if it can't be told. What belongs by its name to none of these images is left out.
    """
    pairs, rest = [], []
    for each in group:
        stem = each.said.stem
        targets = [image for image in images if stem and stem in (image.flat, image.said.stem)]
        if len(targets) == 1:
            pairs.append((targets[0], each))
        elif not stem or targets or stem in (*IMAGES, "PRIMARY"):
            rest.append(each)
    by_place = _by_place(images, rest) if rest else []
    return None if by_place is None else pairs + by_place


def _by_place(images: Sequence[Extension], group: Sequence[Extension]) -> list[tuple[Extension, Extension]] | None:
    if len(images) == 1:
        same = [each for each in group if each.version == images[0].version and each.said.number is None]
        chosen = group if len(group) == 1 else same
        return [(images[0], chosen[0])] if len(chosen) == 1 else None
    ways: tuple[tuple[list[int | None], list[int | None]], ...] = (
        ([image.said.number for image in images], [each.said.number for each in group]),
        ([image.version for image in images], [each.version if each.has_version else None for each in group]),
    )
    for numbers, those in ways:
        is_clear = len(set(numbers)) == len(numbers) and len(set(those)) == len(those)
        if is_clear and None not in numbers and set(those) <= set(numbers):
            return [(images[numbers.index(number)], each) for number, each in zip(those, group, strict=True)]
    before = [max((image.index for image in images if image.index < each.index), default=-1) for each in group]
    follows = -1 not in before and len(set(before)) == len(group)
    if follows and min(each.index for each in group) < images[-1].index:
        by_index = {image.index: image for image in images}
        return [(by_index[number], each) for number, each in zip(before, group, strict=True)]
    return list(zip(images, group, strict=True)) if len(group) == len(images) else None
