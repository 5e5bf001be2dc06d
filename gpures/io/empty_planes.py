"""Images of a mosaic that nothing is in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from gpures.exposure.options import IMAGES

__all__ = ["blocks", "empty_planes"]

# Pixels that are looked at together: what is made of them stays in the processor's cache.
TOGETHER = 1 << 17


def blocks(image: Any) -> Iterator[slice]:
    """Rows of an image, some at a time.

    Parameters
    ----------
    image : array (..., Ny, Nx)
    """
    rows = max(1, TOGETHER // max(1, image.shape[-1]))
    return (slice(begin, begin + rows) for begin in range(0, image.shape[-2], rows))


def empty_planes(model: Mapping[str, Any]) -> list[str]:
    """Names of those images of a mosaic, other than data and weights, that are NaN everywhere.

    Parameters
    ----------
    model : mapping
        Output model, finalized.
    """
    kept = [name for name in IMAGES if name != "err"]
    return [name for name, image in model.items() if name not in kept and _is_empty(image)]


def _is_empty(image: Any) -> bool:
    """Whether something is an image of NaN alone."""
    if not hasattr(image, "dtype") or np.ndim(image) != 2 or image.dtype.kind != "f":
        return False
    return not any(bool((image[rows] == image[rows]).any()) for rows in blocks(image))
