"""What the kernels are told of images on windows of a frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpures.box import Box
from gpures.exposure.structs import STACK_IMAGE

__all__ = ["image_records"]


def image_records(
    images: Sequence[tuple[Any, Box]], levels: Sequence[float], address: Callable[[Any], int]
) -> np.ndarray:
    """Records of images.

    Parameters
    ----------
    images : sequence of (ndarray of float32, Box)
        Images, and the windows that they cover.
    levels : sequence of float
        What is subtracted from each.
    address : callable
        Array to its address, where the kernels run.

    Returns
    -------
    ndarray of `gpures.exposure.structs.STACK_IMAGE`
    """
    records = np.zeros(len(images), STACK_IMAGE)
    for k, ((image, window), level) in enumerate(zip(images, levels, strict=True)):
        ny, nx = image.shape
        records[k] = (address(image), window.xmin, window.ymin, nx, ny, level)
    return records
