"""The output WCS of a mosaic that was given, in whatever form."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from gpures.machine.prefetch import interruptible
from gpures.wcs.frame import FrameOptions
from gpures.wcs.transforms import checked_wcs

__all__ = ["given_wcs"]


def given_wcs(output_wcs: Any, wanted: FrameOptions) -> dict[str, Any]:
    """Output WCS that was given, in the form that `gpures.Resample` takes."""
    unused = FrameOptions(output_shape=wanted.output_shape)
    if wanted != unused:
        names = [name for name in vars(wanted) if getattr(wanted, name) != getattr(unused, name)]
        raise ValueError(f"'output_wcs' has its own frame: '{names[0]}' can't be given beside it.")
    if isinstance(output_wcs, (str, os.PathLike)):
        from gpures import io

        output_wcs = interruptible(partial(io.read_wcs, Path(output_wcs)))
    result = dict(output_wcs) if isinstance(output_wcs, Mapping) else {"wcs": output_wcs}
    if result.get("wcs") is None:
        raise ValueError(
            f"'output_wcs' must be a WCS, a file with one, or a dict with one under 'wcs', got {output_wcs}."
        )
    checked_wcs(result["wcs"], "output_wcs")
    if wanted.output_shape is not None:
        from copy import deepcopy

        result["wcs"] = deepcopy(result["wcs"])
        nx, ny = wanted.output_shape
        result["wcs"].array_shape = (int(ny), int(nx))
    return result
