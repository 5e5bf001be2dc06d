"""One image of a file: what is known of it from the headers, and how its pixels are read."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from gpures.errors import FileError
from gpures.io import units
from gpures.io.exposures import ExposureRecord
from gpures.typing import Model

__all__ = ["VARIANCES", "Input", "check_units", "damage_named", "exposure_seconds"]

log = logging.getLogger(__name__)

VARIANCES = ("var_rnoise", "var_poisson", "var_flat")

# Kinds of files whose bad pixels are left out by their flag alone, which their pipelines do not forgive.
BY_FLAG = ("jwst", "roman")

# Flag of a pixel that holds no number. It is DO_NOT_USE of JWST and Roman, and "lost data" of HST.
DO_NOT_USE = 1


@contextmanager
def damage_named(path: Path, what: str) -> Iterator[None]:
    """Make of what libraries raise when a file breaks off or holds nonsense, which is of any kind, a `FileError`."""
    try:
        yield
    except (FileError, ImportError):
        raise
    except Exception as error:
        raise FileError(path, f"{what}: {error}") from error


@dataclass(frozen=True)
class Input:
    """An image in a file. Its headers and WCS have been read, its pixels have not.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    name : str
        File and extension, such as ``j8bt06nyq_part_flt.fits[SCI,1]``.
    kind : {"jwst", "roman", "hst", "fits", "asdf", "zarr"}
        What the file is.
    shape : (int, int)
        Shape (Ny, Nx).
    wcs : gwcs.wcs.WCS or astropy.wcs.WCS
        Its WCS, ``array_shape`` included.
    unit : str or None
        Unit of the data as `read` gives them; None where the file does not say.
    meta : dict
        What a model has beside arrays, as `gpures.Resample.add_model` takes it.
    sizes : dict
        Bytes of each array that the file offers, once it is read.
    load : callable
        Reads arrays: takes their names, gives a dict of them.
    header : dict
        What the file's headers say, as FITS keywords: those of the image before those of the file.
    made_of : tuple of gpures.io.exposures.ExposureRecord
        Of a mosaic, the exposures in it, as far as it tells.
    count_time : float or None
        Exposure time, seconds, that values which are counts grew with; None where nobody knows it.
    """

    path: Path
    name: str
    kind: str
    shape: tuple[int, int]
    wcs: Any
    unit: str | None
    meta: Mapping[str, Any] = field(repr=False)
    sizes: Mapping[str, int] = field(repr=False)
    load: Callable[[Collection[str]], dict[str, np.ndarray]] = field(repr=False)
    header: Mapping[str, Any] = field(repr=False, default_factory=dict)
    made_of: tuple[ExposureRecord, ...] = field(repr=False, default=())
    count_time: float | None = None

    @property
    def values_area(self) -> float | None:
        """Steradians that values per pixel are of; None for each pixel's own area."""
        return self.meta.get("values_area")

    @property
    def exposure_time(self) -> float:
        """Exposure time in seconds."""
        return self.meta["exposure_time"]

    @property
    def group_id(self) -> Any:
        """What it has in common with exposures that were taken at the same time: such of other chips."""
        return self.meta["group_id"]

    @property
    def nbytes(self) -> int:
        """Memory in bytes of all its arrays, once they are read."""
        dq = 0 if "dq" in self.sizes else self.shape[0] * self.shape[1]  # made where the file has none
        return sum(self.sizes.values()) + dq

    def read(self, arrays: Iterable[str] | None = None) -> Model:
        """Read the pixels.

        The file is closed again: the arrays are in memory, and do not change with it. FITS arrays stay big-endian, as
        `gpures.Resample` takes them so.

        Parameters
        ----------
        arrays : iterable of str, optional
            Names of the arrays that are needed; ``data`` and ``dq`` always come. The default is all that the file has.
            ``"var_sky"``, for weights of the type "ivm-sky", is computed where it is named.

        Returns
        -------
        dict
            Model for `gpures.Resample.add_model`. Arrays that the file lacks, or that were not asked for, are None.
            ``dq`` has the flag 1, DO_NOT_USE, at pixels that are no number: in the data, or, of JWST, NaN in any array
            that was read, as its pipeline does it. But for JWST's and Roman's files, the data are a masked array where
            that is so, where a mask leaves a pixel out, or where the file has weights and a pixel has none: whatever
            ``good_bits`` forgives, these pixels have no weight.

        Raises
        ------
        FileError
            The pixels can't be read, or the file is another one by now.
        """
        wanted = {"data", "dq", *(self.sizes if arrays is None else arrays)}
        sky = "var_sky" in wanted and "var_sky" not in self.sizes
        if sky:
            wanted |= {"var_rnoise", "var_poisson"}
        found = self.load(wanted & self.sizes.keys())
        for name, array in found.items():
            if array.shape != self.shape:
                raise FileError(self.path, f"{name} of {self.name} has the shape {array.shape}, expected {self.shape}.")
        left_out = found.pop("mask", None)
        missing = _missing(found["data"])
        if self.kind == "jwst":
            missing = _union(missing, *(_missing(array, np.isnan) for array in found.values()))
        bad = _union(missing, left_out)
        model: dict[str, Any] = {**self.meta, **dict.fromkeys(("err", *VARIANCES)), **found}
        model["wcs"], model["filename"] = self.wcs, self.name
        model["dq"] = _flagged(found.get("dq"), missing, self.shape)
        self._tell_if_empty(model, missing, left_out)
        if bad is not None and self.kind not in BY_FLAG:
            model["data"] = np.ma.MaskedArray(model["data"], bad)
        if sky:
            model["var_sky"] = _var_sky(model)
        return cast(Model, model)

    def _tell_if_empty(self, model: Mapping[str, Any], missing: Any, left_out: Any) -> None:
        """Warn of an exposure of which no pixel can be used, and say why."""
        variance = model["var_rnoise"]
        none = None if variance is None else ~((variance > 0) & (variance < np.inf))
        bad = _union(missing, left_out, none)
        if bad is None or not bad.all():
            return
        reasons = {
            "hold no number": missing,
            "are left out by a mask or for lack of a weight": left_out,
            "have no valid variance": none,
        }
        counts = [f"{np.count_nonzero(mask)} {words}" for words, mask in reasons.items() if mask is not None]
        log.warning("%s has no good pixel: of its %d, %s.", self.name, math.prod(self.shape), ", ".join(counts))


def _missing(array: np.ndarray, is_missing: Callable[[Any], Any] = lambda array: ~np.isfinite(array)) -> Any:
    """Pixels that hold no number; None where all do."""
    missing = is_missing(array) if array.dtype.kind == "f" else None
    return missing if missing is not None and missing.any() else None


def _union(*masks: np.ndarray | None) -> np.ndarray | None:
    there = [mask for mask in masks if mask is not None]
    return np.logical_or.reduce(there) if there else None


def _flagged(dq: np.ndarray | None, missing: np.ndarray | None, shape: tuple[int, int]) -> np.ndarray:
    """DQ with pixels flagged that hold no number; without a DQ array, of nothing else."""
    if dq is None:
        return np.zeros(shape, np.uint8) if missing is None else missing.astype(np.uint8)
    return dq if missing is None else np.where(missing, dq | DO_NOT_USE, dq)


def _var_sky(model: Mapping[str, Any]) -> np.ndarray | None:
    """Variance without the photon noise of sources: that of the median pixel stands for the sky's.

    Poisson variance is proportional to the data, so the sky's share is ``var_poisson / data * median``; this is how
    romancal defines it.
    """
    data, rnoise, poisson = (model[name] for name in ("data", "var_rnoise", "var_poisson"))
    if rnoise is None or poisson is None:
        log.warning("%s has no var_rnoise and var_poisson: there is no var_sky.", model["filename"])
        return None
    good = ((model["dq"] & DO_NOT_USE) == 0) & ~np.ma.getmaskarray(data)
    data = np.asarray(data).astype(np.float32, copy=False)
    level = np.median(data[good]) if good.any() else np.float32(0)
    sky = rnoise.astype(np.float32)
    np.add(sky, poisson / np.where(data == 0, 1, data) * level, out=sky, where=data != 0)
    return sky


def exposure_seconds(time: Any, name: str) -> float:
    """Exposure time in seconds as a file gives it; where it gives none, 1 with a warning."""
    try:
        seconds = float(time)
    except (TypeError, ValueError):
        seconds = math.nan
    if math.isfinite(seconds) and seconds > 0:
        return seconds
    log.warning("%s has no exposure time (%r): 1 s is taken.", name, time)
    return 1.0


def check_units(inputs: Iterable[Input]) -> str | None:
    """Check that all images have one unit.

    Parameters
    ----------
    inputs : iterable of Input
        Images. Those whose unit is not known are passed over, with a warning if others have one.

    Returns
    -------
    str or None
        The unit.

    Raises
    ------
    FileError
        Two have different units; the text names both files.
    """
    first, unknown = None, None
    for image in inputs:
        if units.parsed(image.unit) is None:
            unknown = unknown or image
        elif first is None:
            first = image
        elif units.factor_between(image.unit, first.unit) != 1.0:
            raise FileError(
                image.path,
                f"the unit of {image.name} is {image.unit!r}, that of {first.path} is {first.unit!r}. One mosaic has "
                "one unit: convert one of them, or leave it out.",
            )
    if first is not None and unknown is not None:
        log.warning("%s has no unit: it is taken for %r, as in %s.", unknown.path, first.unit, first.path)
    return None if first is None else first.unit
