"""A gwcs beside FITS keywords in one file: whether they agree, and which is taken."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from gpures.wcs.sphere import separation, vectors
from gpures.wcs.transforms import pixel_to_world

__all__ = ["chosen_wcs"]

log = logging.getLogger(__name__)

# Pixels by which they may differ. JWST's keywords stand for its gwcs to some tenths.
AGREED, AGREED_OF_JWST = 0.1, 0.5

WORDS = {"fits": "FITS keywords", "gwcs": "gwcs"}


def chosen_wcs(name: str, gwcs: Any, keywords: Any, default: str, prefer: str | None = None) -> Any:
    """One of two WCS of an image, with a warning where they differ.

    Parameters
    ----------
    name : str
        The image, for the warning.
    gwcs : gwcs.wcs.WCS
        That of the extension ASDF.
    keywords : astropy.wcs.WCS
        That of the header.
    default : {"fits", "gwcs"}
        Which is taken where they differ: keywords may have been mended by hand, which a gwcs can't be; but those of
        JWST are no more than an approximation, and its pipeline takes the gwcs.
    prefer : {"fits", "gwcs"}, optional
        Which is taken in any case.
    """
    off = _difference(gwcs, keywords, at_reference=default == "gwcs")
    differ = off > (AGREED_OF_JWST if default == "gwcs" else AGREED)
    taken = prefer or (default if differ else "gwcs")
    if differ:
        other = "fits" if taken == "gwcs" else "gwcs"
        log.warning(
            "%s: its gwcs and its FITS keywords differ by %.3g pixels: the %s %s taken (see 'wcs': %s is the other).",
            name,
            off,
            WORDS[taken],
            "is" if taken == "gwcs" else "are",
            other,
        )
    return gwcs if taken == "gwcs" else keywords


def _difference(gwcs: Any, keywords: Any, at_reference: bool) -> float:
    """Largest distance of the places that two WCS give to the same pixels, in pixels.

    Keywords that are an approximation are right at their reference pixel, if anywhere.
    """
    ny, nx = gwcs.array_shape
    if at_reference:
        x, y = (np.array([place - 1.0]) for place in keywords.wcs.crpix)
    else:
        x, y = (grid.ravel() for grid in np.meshgrid(np.linspace(0, nx - 1, 3), np.linspace(0, ny - 1, 3)))
    one = pixel_to_world(gwcs)
    other = pixel_to_world(keywords, one.axes.sky)
    here, there, beside = vectors(*one(x, y)), vectors(*other(x, y)), vectors(*other(x + 1.0, y))
    with np.errstate(invalid="ignore", divide="ignore"):
        off = separation(here, there) / separation(there, beside)
    off = off[np.isfinite(off)]
    return float(off.max()) if off.size else 0.0
