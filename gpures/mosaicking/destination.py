"""Where a mosaic goes: what would fail at the end is found out at the beginning."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gpures.arguments.arrays import got
from gpures.backend.base import MosaicLayout
from gpures.backend.pairs import lags
from gpures.exposure.options import Options
from gpures.io.atomic import free_space
from gpures.io.writer import SUFFIXES, check_writable, destination_of, file_bytes, is_packed_name, is_zarr_name

__all__ = ["check_is_no_input", "check_output", "checked_output"]

log = logging.getLogger(__name__)


def checked_output(output: str | os.PathLike[str], overwrite: bool) -> Path:
    """Path of a file that can be written.

    Raises
    ------
    TypeError
        It is no path.
    ValueError
        Its suffix is not one that can be written.
    FileExistsError
        There is one, and it may not be replaced.
    FileNotFoundError, PermissionError, IsADirectoryError
        There is no such folder, it can't be written to, or it is a folder.
    OSError
        No file of that name can be made.
    """
    if not isinstance(output, (str, os.PathLike)):
        raise TypeError(f"'output' must be a path or None, got {got(output)}.")
    path = Path(output)
    if os.path.isdir(path) and not is_zarr_name(path):
        raise IsADirectoryError(f"'output' must be a file, and {path} is a folder.")
    if not path.name.lower().endswith(SUFFIXES):
        raise ValueError(f"'output' must end in one of {', '.join(SUFFIXES)}, got {path}.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"'output' is {path}, and there is no folder {path.parent}.")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"'output' is {path}, and nothing may be written to the folder {path.parent}.")
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError(f"'output' is {path}, which exists: choose another name, or give overwrite=True.")
    try:
        destination_of(path, overwrite).close()
    except OSError as error:
        raise type(error)(f"'output' is {path}, which can't be written: {error.strerror}.") from error
    return path


def check_output(
    path: Path,
    wcs: Any,
    frame: MosaicLayout,
    options: Options,
    unit: str | None,
    names: Sequence[str],
    overwrite: bool,
) -> tuple[int, Any]:
    """Make all of a mosaic's file but its pixels, and discard it.

    Parameters
    ----------
    path : pathlib.Path
        File for the mosaic.
    wcs : gwcs.wcs.WCS or astropy.wcs.WCS
        Output WCS.
    frame : MosaicLayout
        What is accumulated.
    options : Options
        What the resampling is set to.
    unit : str or None
        Unit of the data.
    names : sequence of str
        Names of the exposures.
    overwrite : bool
        Whether a file of that name may be replaced.

    Returns
    -------
    int
        Bytes that its pixels will take.
    WCSInFITS or None
        What `gpures.io.writer.write_into` can use again.

    Raises
    ------
    ValueError, OSError
        Something can't be written; the text says what.
    """
    planes: dict[str, type] = {"data": np.float32, "wht": np.float32}
    planes |= {"con": np.int32} if frame.context_planes else {}
    planes |= dict.fromkeys(frame.variance_names, np.float32)
    planes |= {"err": np.float32} if options.compute_err else {}
    planes |= dict.fromkeys(frame.extra_names, np.float32)
    planes |= {"exptime_map": np.float32} if frame.has_time else {}
    planes |= {"dq": np.uint32} if frame.has_dq else {}
    planes |= {"noise_factor": np.float32} if options.noise_factor else {}
    planes |= {"covariance": np.float32} if options.covariance is not False else {}
    planned = replace(frame, max_lag=max(frame.max_lag, frame.planned_lag), whole_drops=False)
    deep = {"con": frame.context_planes, "covariance": planned.pair_planes}
    images: dict[str, np.ndarray] = {
        name: np.broadcast_to(np.zeros((), kind), (deep[name], *frame.shape) if name in deep else frame.shape)
        for name, kind in planes.items()
    }
    facts: dict[str, Any] = {"kernel": frame.kernel, "weight_type": options.weight_type}
    facts |= {"covariance_lags": lags(planned.max_lag)} if "covariance" in planes else {}
    in_fits = check_writable(path, wcs, images, facts, unit, names, overwrite)
    unpacked = sum(image.nbytes for image in images.values())
    free = free_space(path.parent)
    if is_packed_name(path) and free is not None and free < unpacked:
        log.warning(
            "%s has %.1f MB to be packed, and %.1f MB are free: it may turn out not to fit.",
            path,
            unpacked / 1e6,
            free / 1e6,
        )
    return file_bytes(path, images), in_fits


def check_is_no_input(path: Path, sources: Iterable[Any]) -> None:
    """Refuse to replace a file that is read.

    Raises
    ------
    ValueError
        It is one of the inputs.
    """
    if not path.exists():
        return
    for source in sources:
        origin = getattr(source, "path", None)
        if origin is not None and os.path.exists(origin) and os.path.samefile(origin, path):
            raise ValueError(f"'output' is {path}, which is one of the inputs: choose another name.")
