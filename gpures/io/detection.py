"""What a file is, found by its content; and from there to the reader for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from gpures.errors import FileError
from gpures.io import asdf, fits, hst, jwst, roman, zarr_reader
from gpures.io.fits_images import opened
from gpures.io.header_alone import wcs_alone
from gpures.io.input import Input
from gpures.io.made_of import made_of_fits, made_of_tree
from gpures.io.reading import Reading
from gpures.io.regular import opened_file
from gpures.io.remote import local
from gpures.io.zarr_layout import is_store
from gpures.typing import Model

__all__ = ["first_image", "inputs", "read", "read_wcs"]

FITS = b"SIMPLE  ="
ASDF = b"#ASDF"
# Beginnings of what astropy unpacks: gzip, bzip2, xz, zip, compress.
PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"PK\x03\x04", b"\x1f\x9d")


def inputs(path: str | Path, *, reading: Reading | None = None, allow_external: bool = False) -> list[Input]:
    """Images of a file, by its headers; no pixels are read.

    Parameters
    ----------
    path : str or path
        A JWST ``_cal.fits``, a Roman ``_cal.asdf``, an HST ``_flt.fits`` or ``_flc.fits``, another FITS image with a
        celestial WCS, or a mosaic that `gpures.io.write` wrote. What it is shows from its content, not from its name;
        one in zarr is a folder.
        FITS files may be packed, as ``.fits.gz``. A URL, such as ``s3://bucket/name.fits``, is fetched by fsspec.
    reading : Reading, optional
        What is to be said about how it is read, beside what it says itself: which extensions are exposures, which
        masks, and so on.
    allow_external : bool, optional
        Whether arrays of an ASDF file may lie in other files that it names, and its references be followed. A file from
        elsewhere could name any file on this machine.

    Returns
    -------
    list of Input
        One for each exposure: those of the chips of a camera are several.

    Raises
    ------
    FileError
        The file can't be used: it is damaged, says what can't be true of its arrays, or is no regular file. Where
        there is none, it is a `FileNotFoundError` as well.
    NoExposureError
        It holds what belongs to an exposure in another file, such as its mask or its weights; a `FileError`, too.
    ImportError
        The package that reads this mission's files is not installed.
    """
    path, reading = local(path), reading or Reading()
    container = _container(path)
    if container == "zarr":
        return zarr_reader.inputs(path, reading)
    if container == "asdf":
        with asdf.opened(path, allow_external) as file:
            images = (roman if roman.recognizes(file) else asdf).inputs(path, file, reading, allow_external)
            made_of = made_of_tree(file.tree)
            return [replace(image, made_of=made_of) for image in images]
    with opened(path) as hdus:
        reader = next((mission for mission in (jwst, hst) if mission.recognizes(hdus)), fits)
        if reader is not jwst:
            fits.check_name(path, reading)
        made_of = made_of_fits(hdus)
        return [replace(image, made_of=made_of) for image in reader.inputs(path, hdus, reading)]


def first_image(path: str | Path, *, allow_external: bool = False) -> Input:
    """The first image of a file, whatever it is of; without what belongs to it, but of the missions' files.

    Parameters
    ----------
    path : str or path
        As for `inputs`.
    allow_external : bool, optional
        As for `inputs`.

    Returns
    -------
    Input
        Of a FITS cube it is the first plane.

    Raises
    ------
    FileError, ImportError
        As `inputs`.
    """
    path = local(path)
    if _container(path) == "fits":
        with opened(path) as hdus:
            if not jwst.recognizes(hdus):
                return fits.first_image(path, hdus, Reading(plane=0))
    return inputs(path, allow_external=allow_external)[0]


def read(path: str | Path, *, reading: Reading | None = None, allow_external: bool = False) -> list[Model]:
    """Read all images of a file, as models for `gpures.Resample.add_model`.

    Parameters
    ----------
    path : str or path
        As for `inputs`.
    reading : Reading, optional
        As for `inputs`.
    allow_external : bool, optional
        As for `inputs`.

    Returns
    -------
    list of dict
        Models, of the keys of `gpures.typing.Model`.

    Raises
    ------
    FileError, ImportError
        As `inputs`, and where the pixels can't be read.
    """
    return [image.read() for image in inputs(path, reading=reading, allow_external=allow_external)]


def read_wcs(path: str | Path, *, allow_external: bool = False) -> Any:
    """Read a WCS, to make a mosaic in the same frame.

    Parameters
    ----------
    path : str or path
        A file as for `inputs`, or any other FITS image, of whose images the first counts; or an ASDF file with a WCS
        under ``wcs``, as the pipelines' ``output_wcs`` takes it. A FITS file needs no pixels if its header has NAXIS1
        and NAXIS2, and such a header may be a text with a card in each line.
    allow_external : bool, optional
        As for `inputs`.

    Returns
    -------
    gwcs.wcs.WCS or astropy.wcs.WCS
        With its ``array_shape``.

    Raises
    ------
    FileError, ImportError
        As `inputs`.
    """
    path = local(path)
    if is_store(path):
        return zarr_reader.wcs_in(path)
    if (wcs := wcs_alone(path)) is not None:
        return wcs
    if _container(path) == "asdf":
        with asdf.opened(path, allow_external) as file:
            if not roman.recognizes(file):
                return asdf.wcs_in(path, file)
    return first_image(path, allow_external=allow_external).wcs


def _container(path: Path) -> str:
    """Whether a file is FITS or ASDF, or a folder a zarr store."""
    if is_store(path):
        return "zarr"
    with opened_file(path) as file:
        try:
            begin = file.read(16)
        except OSError as error:
            raise FileError(path, f"can't be read: {error.strerror}.") from error
    if not begin:
        raise FileError(path, "the file is empty.")
    if begin.startswith(ASDF):
        return "asdf"
    if begin.startswith((FITS, *PACKED)):
        return "fits"
    raise FileError(path, f"neither FITS nor ASDF: it begins with {begin!r}.")
