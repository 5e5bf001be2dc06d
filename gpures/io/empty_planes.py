"""Images of a mosaic that nothing is in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gpures.arguments.arrays import as_host
from gpures.box import row_blocks
from gpures.exposure.options import IMAGES

__all__ = ["KEPT", "empty_planes"]

#: Images that a mosaic has whatever is in them.
KEPT = frozenset(IMAGES) - {"err"}


def empty_planes(model: Mapping[str, Any]) -> list[str]:
    """Names of those images of a mosaic, other than data and weights, that are NaN everywhere.

    Parameters
    ----------
    model : mapping
        Output model, finalized.
    """
    return [name for name, image in model.items() if name not in KEPT and _is_empty(image)]


def _is_empty(image: Any) -> bool:
    """Whether something is an image of NaN alone."""
    if not hasattr(image, "dtype") or np.ndim(image) != 2 or image.dtype.kind != "f":
        return False
    blocks = (as_host(image[rows]) for rows in row_blocks(image.shape))
    return not any(bool((block == block).any()) for block in blocks)
