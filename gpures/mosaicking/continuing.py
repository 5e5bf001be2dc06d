"""Mosaics that are gone on with: what a file must hold for it, and what has to be as it was."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from gpures.errors import FileError
from gpures.exposure.options import Options
from gpures.io import Input
from gpures.io.detection import first_image
from gpures.io.exposures import ExposureRecord, records_of
from gpures.io.mosaic_reader import facts_of
from gpures.machine.prefetch import interruptible
from gpures.mosaicking.alike import GAINS
from gpures.mosaicking.calibration import CalibrationOptions
from gpures.wcs.footprint import Footprint
from gpures.wcs.sphere import angles
from gpures.wcs.transforms import world_to_pixel

__all__ = ["OPTIONS", "Begun", "as_text", "begun_mosaic", "recorded"]

log = logging.getLogger(__name__)

# Keyword of what a mosaic was made with; and which of the options that is: those that say what a pixel of it means.
OPTIONS = "OPTIONS"
RECORDED = (
    *("pixfrac", "kernel", "fillval", "weight_type", "good_bits", "enable_ctx", "enable_var", "compute_err"),
    *("propagate_dq", "extra_array_names", "enable_exptime_map", "dq_of_empty", "variance_method"),
    *("covariance", "noise_factor", "precision"),
)
# What those were made with that do not tell of it.
BEFORE = {"variance_method": "stcal", "covariance": False, "noise_factor": False, "precision": "double"}


@dataclass(frozen=True)
class Begun:
    """A mosaic that is to be gone on with; its images have not been read.

    Attributes
    ----------
    path : pathlib.Path
        Its file.
    image : gpures.io.Input
        The mosaic as an image, without the gains in its header, which are sums.
    records : tuple of gpures.io.exposures.ExposureRecord
        The exposures in it.
    options : dict
        What it was made with.
    header : dict
        Keywords of its primary header.
    facts : dict
        What is told of it beside the images.
    history : list of str
        Lines of its history.
    planes : frozenset of str
        Names of its images.
    """

    path: Path
    image: Input
    records: tuple[ExposureRecord, ...]
    options: Mapping[str, Any]
    header: Mapping[str, Any]
    facts: Mapping[str, Any]
    history: list[str]
    planes: frozenset[str]

    @property
    def seen(self) -> dict[tuple[str, str], str]:
        """What is to be said of a file that is in it already, by its digest and extension."""
        return {(each.digest, each.extension): f"in {self.path} already" for each in self.records if each.digest}

    @property
    def output_wcs(self) -> dict[str, Any]:
        """Its frame, as `gpures.Resample` takes it."""
        area = self.facts.get("pixelarea_arcsecsq")
        ratio = self.facts.get("pixel_scale_ratio")
        return {
            "wcs": self.image.wcs,
            "pixel_scale": None if area is None else math.sqrt(area),
            "pixel_scale_ratio": ratio,
        }

    def warn_of_edges(self, footprints: Iterable[Footprint]) -> None:
        """Say which exposures reach beyond the mosaic, so that a part of them is not in it.

        Parameters
        ----------
        footprints : iterable of Footprint
            Of those that reach it.
        """
        to_pixel = world_to_pixel(self.image.wcs)
        ny, nx = self.image.shape
        for footprint in footprints:
            x, y = to_pixel(*angles(footprint.edge))
            if not ((x > -1) & (x < nx) & (y > -1) & (y < ny)).all():
                log.warning("%s reaches beyond the frame of %s: what is outside is lost.", footprint.name, self.path)

    def with_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Options to go on with: those that the mosaic was made with, and others that were given.

        Parameters
        ----------
        given : mapping
            Options of `gpures.mosaic` that were given.

        Raises
        ------
        ValueError
            One is not what the mosaic was made with.
        """
        made = BEFORE | {name: value for name, value in self.options.items() if name in RECORDED}
        now = recorded(Options(**{name: value for name, value in given.items() if name in RECORDED}))
        self._check_same(made, now, given)
        return made | {name: value for name, value in given.items() if name not in made}

    def with_values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What is wanted of its values: what it was made with; but that exposures are mixed may be allowed later.

        Parameters
        ----------
        given : mapping
            What of `CalibrationOptions` was given.

        Raises
        ------
        ValueError
            Something is not what the mosaic was made with.
        """
        made = {name: self.options[name] for name in CalibrationOptions.names() if name in self.options}
        if given.get("allow_mixed"):
            made["allow_mixed"] = True
        defaults = vars(CalibrationOptions())
        self._check_same(made, given, {name: value for name, value in given.items() if value != defaults[name]})
        return {**given, **made}

    def _check_same(self, made: Mapping[str, Any], now: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        for name in given:
            if name in made and _plain(now[name]) != _plain(made[name]):
                before, after = f"{name}={made[name]!r}", f"{name}={given[name]!r}"
                raise ValueError(f"{self.path} was made with {before}, and can't be gone on with {after}.")


def recorded(options: Options) -> dict[str, Any]:
    """What a mosaic's file tells of the options that it was made with.

    Parameters
    ----------
    options : gpures.exposure.options.Options
        As they were asked for.
    """
    return {name: getattr(options, name) for name in RECORDED}


def as_text(told: Mapping[str, Any]) -> str:
    """What was told, as a header has it.

    Parameters
    ----------
    told : mapping
        Numbers, texts and lists of such by name.
    """
    return json.dumps(dict(told), default=_plain)


def _plain(value: Any) -> Any:
    """A value as JSON gives it back."""
    if isinstance(value, str) and value.strip().lower() == "nan":
        return "NaN"
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(each) for each in value]
    return value.item() if hasattr(value, "item") else value


def begun_mosaic(path: str | os.PathLike[str]) -> Begun:
    """A mosaic of gpures, to be gone on with.

    Parameters
    ----------
    path : str or path
        Its file.

    Raises
    ------
    FileError
        It is none, or lacks what is needed to go on; the text says what.
    """
    path = Path(path)
    image = interruptible(partial(first_image, path))
    model, planes = interruptible(partial(facts_of, image))
    if not model["creator"].startswith("gpures "):
        raise FileError(path, "can't be gone on with: it is no mosaic that gpures made.")
    records = tuple(records_of(model["exposures"]))
    told = model["header"].get(OPTIONS)
    try:
        options = json.loads(told) if isinstance(told, str) else None
    except ValueError:
        options = None
    if not isinstance(options, dict):
        raise FileError(path, "can't be gone on with: it does not tell with which options it was made.")
    if not records:
        raise FileError(path, "can't be gone on with: it does not tell which exposures are in it.")
    has_variance = options.get("covariance") or (options.get("variance_method") == "propagated" and "err" in planes)
    if options.get("noise_factor") and not has_variance:
        raise FileError(
            path,
            "can't be gone on with: it has 'noise_factor', whose sums are not in it, as they are with covariances or "
            "errors of variance_method='propagated'.",
        )
    needed = _needed(options)
    if missing := [name for name in needed if name not in planes]:
        raise FileError(path, f"can't be gone on with: it has no {', '.join(missing)}, and was made with such.")
    return Begun(
        path=path,
        image=replace(image, header={key: value for key, value in image.header.items() if key not in GAINS}),
        records=records,
        options=options,
        header={key: value for key, value in model["header"].items() if key != OPTIONS},
        facts=model,
        history=model["history"],
        planes=frozenset(planes),
    )


def _needed(options: Mapping[str, Any]) -> list[str]:
    """Names of the images that a mosaic made with such options has, whatever its exposures have."""
    needed = ["data", "wht", *options.get("extra_array_names", ())]
    switches = {"enable_ctx": "con", "enable_exptime_map": "exptime_map"}
    switches |= {"covariance": "covariance", "noise_factor": "noise_factor"}
    needed += [name for switch, name in switches.items() if options.get(switch)]
    return needed + (["err"] if options.get("compute_err") == "driz_err" else [])
