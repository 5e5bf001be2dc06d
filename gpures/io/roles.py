"""What an image in a file is, by its name: the science image, or something that belongs to one.

The same words stand for the same things as names of extensions, as keys of an ASDF tree, and in the names of separate
files. Capitals, dots, hyphens and underscores do not matter, and a number behind the word tells which image it is of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["COMPANIONS", "FILE_WORDS", "IMAGE_WORDS", "PAIRS", "SOURCES", "Named", "named", "role_of_header"]

IMAGES = ("SCI", "SCIENCE", "DATA", "IMAGE", "IMG", "SIGNAL", "FLUX", "INTENSITY")

# What belongs to an image, by its role.
COMPANIONS: dict[str, tuple[str, ...]] = {
    "err": (
        *("ERR", "ERROR", "ERRORS", "ERRORMAP", "RMS", "RMSMAP", "SIGMA", "SIGMAMAP", "UNCERT", "UNCERTAINTY", "UNC"),
        *("STDDEV", "STDEV", "STD", "NOISE", "NOISEMAP"),
    ),
    "variance": ("VAR", "VARIANCE", "VARIANCEMAP", "STAT"),
    "ivar": ("IVAR", "IVM", "INVVAR", "INVVARIANCE", "INVERSEVARIANCE"),
    "wht": ("WHT", "WEIGHT", "WEIGHTS", "WEIGHTMAP", "WHTMAP", "WTMAP", "WGT", "CONF", "CONFIDENCE", "CONFMAP"),
    "dq": ("DQ", "DQF", "FLAGS", "FLAG", "FLG", "FLAGMAP", "QUALITY", "QUAL", "DATAQUALITY"),
    "mask": (
        *("MASK", "MSK", "BPM", "BADPIX", "BADPIXEL", "BADPIXELS", "BADPIXMASK", "BADPIXELMASK", "BADMASK"),
        *("PIXELMASK", "PIXMASK"),
    ),
    "var_rnoise": ("VARRNOISE",),
    "var_poisson": ("VARPOISSON",),
    "var_flat": ("VARFLAT",),
}

# What tells of the variance of the whole, in the order of trust.
SOURCES = ("err", "variance", "ivar", "wht")

# What is neither an exposure nor of use beside one: of mosaics and of HST's files, which nobody is told of, and others.
KNOWN = (
    *("VWHT", "VWHTVARRNOISE", "VWHTVARPOISSON", "VWHTVARFLAT"),  # of mosaics that are gone on with
    *("CON", "CTX", "CONTEXT", "EXPTIME", "EXPTIMEMAP", "SAMP", "TIME", "AREA", "WAVELENGTH", "PSFIMAGE", "PSF"),
    *("MEDIAN", "CLIPPED"),  # of mosaics, too
    *("D2IMARR", "WCSDVARR", "WCSCORR", "HDRLET", "VARSKY"),
)
OTHERS = (
    *("PREVIEW", "THUMBNAIL", "THUMB", "QUICKLOOK", "OVERVIEW", "ICON"),
    *("BACKGROUND", "BKG", "BKGD", "BACK", "SKY", "MODEL", "RESIDUAL", "RESIDUALS", "RESID", "CHI2", "FLAT", "DARK"),
    *("BIAS", "SEG", "SEGM", "SEGMAP", "SEGMENTATION", "EXP", "EXPMAP", "EXPOSUREMAP", "COVERAGE", "COV", "HITS"),
    *("NEXP", "NIMAGES", "DEPTH"),
)

# What may stand behind a word, and changes nothing.
TAILS = ("", "MAP", "MAPS", "IMAGE", "IMG", "ARRAY")

ROLES: dict[str, str] = {
    word + tail: role
    for role, words in {**COMPANIONS, "known": KNOWN, "other": OTHERS, "image": IMAGES}.items()
    for word in words
    for tail in TAILS
}

# Roles by what astropy's NDData calls an uncertainty, and by the classes that ESO's headers have.
UTYPES = {"STDDEVUNCERTAINTY": "err", "VARIANCEUNCERTAINTY": "variance", "INVERSEVARIANCE": "ivar"}
CLASSES = {
    ("ERROR", "MSE"): "variance",
    ("ERROR", "RMSE"): "err",
    ("ERROR", "INVMSE"): "ivar",
    ("QUALITY", "MASKZERO"): "mask",
    ("QUALITY", "FLAG16BIT"): "dq",
    ("QUALITY", "FLAG32BIT"): "dq",
    ("DATA", ""): "image",
}

# Words in the names of separate files: of the image's own, and of what belongs to it.
IMAGE_WORDS = ("IMAGE", "IMG", "SCI", "SCIENCE", "DATA", "DRZ", "DRC", "INT", "SIGNAL", "SCIIMAGE", "SCIENCEIMAGE")
UNCLEAR = ("STAT", "STD", "QUAL", "NOISE", "CONF")  # of images as well: x_std may be a standard star's
FILE_WORDS: dict[str, str] = {
    **{word: "other" if role == "known" else role for word, role in ROLES.items() if role != "image"},
    **dict.fromkeys(UNCLEAR, "unclear"),
    "WT": "unclear",  # weights of some, variances of others
}

# Names of observatories' files: the image's, what belongs to it, and its role. NOAO's _ooi, _oow, _ood; WFPC2's _c0m,
# _c1m; Spitzer's _bcd, _bunc, _bimsk.
PAIRS: tuple[tuple[str, str, str], ...] = (
    (r"_o([a-z])i(?=_|$)", r"_o\1w", "ivar"),
    (r"_o([a-z])i(?=_|$)", r"_o\1d", "mask"),
    (r"_o([a-z])i(?=_|$)", r"_o\1e", "other"),
    (r"_c0([mfh])$", r"_c1\1", "dq"),
    (r"_d0([mfh])$", r"_q0\1", "dq"),
    (r"_(c?)bcd$", r"_\1bunc", "err"),
    (r"_(c?)bcd$", r"_bimsk", "dq"),
    (r"_maic$", r"_munc", "err"),
    (r"_maic$", r"_mcov", "other"),
)


@dataclass(frozen=True)
class Named:
    """What a name says.

    Attributes
    ----------
    role : str
        "image", one of `COMPANIONS`, "known" or "other" (neither), or "unknown".
    word : str
        The word that says so, or the whole name.
    stem : str
        What of an image it is, by name; "" where it does not say.
    number : int or None
        The number behind the word.
    """

    role: str
    word: str
    stem: str = ""
    number: int | None = None


def named(name: str) -> Named:
    """What the name of an extension, or the key of an array, says.

    Parameters
    ----------
    name : str
        Such as ``"SCI"``, ``"DQ2"``, ``"ccd00_mask"``.
    """
    parts = [part for part in re.split(r"[\W_]+", name.upper()) if part]
    whole = "".join(parts)
    word, number = _numbered(whole)
    if word in ROLES or whole in ROLES:
        return Named(ROLES.get(whole) or ROLES[word], word, "", number)
    for first in range(1, len(parts)):  # ccd00_weight_map
        word, number = _numbered("".join(parts[first:]))
        if ROLES.get(word) in COMPANIONS:
            return Named(ROLES[word], word, "".join(parts[:first]), number)
    for last in range(len(parts) - 1, 0, -1):  # mask_ccd00
        word = "".join(parts[:last])
        if ROLES.get(word) in COMPANIONS:
            return Named(ROLES[word], word, "".join(parts[last:]))
    word, number = _numbered(parts[-1]) if parts else ("", None)
    if word in IMAGES:  # ccd00.sci
        stem = "".join(parts[:-1])
        return Named(ROLES.get(_numbered(stem)[0], "image"), word, stem, number)
    return Named("unknown", whole, "", _numbered(whole)[1])


def _numbered(word: str) -> tuple[str, int | None]:
    stripped = word.rstrip("0123456789")
    return stripped, int(word[len(stripped) :]) if stripped != word else None


def role_of_header(header: Mapping[str, Any]) -> str | None:
    """Role that a header tells of, beside the name of its extension; None where it does not."""
    if (utype := str(header.get("UTYPE", "")).strip().upper()) in UTYPES:
        return UTYPES[utype]
    kind, detail = (str(header.get(f"HDUCLAS{k}", "")).strip().upper() for k in (2, 3))
    return CLASSES.get((kind, detail)) or CLASSES.get((kind, ""))
