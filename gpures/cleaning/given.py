"""Exposures as they are given: models, files, or images of files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpures.arguments.arrays import got, model_name
from gpures.arguments.values import NOT_GIVEN, is_real
from gpures.cleaning.survey import Field
from gpures.io import Input, inputs, units
from gpures.io.flags import default_good_bits, names_for
from gpures.wcs.transforms import checked_wcs

__all__ = ["check_model", "check_scale", "field_of", "given_exposures", "good_bits_of"]

# Exposure times that differ by a smaller part are one.
ALIKE = 1e-4


def given_exposures(exposures: Any) -> list[Any]:
    """Models and images of files, one by one.

    Parameters
    ----------
    exposures : dict, path, gpures.io.Input, or iterable of such
        What was given.

    Returns
    -------
    list of mapping or gpures.io.Input

    Raises
    ------
    TypeError, ValueError
        It is something else, or a model is given twice.
    OSError, gpures.io.FileError
        A file can't be read.
    """
    if isinstance(exposures, (str, os.PathLike, Mapping, Input)):
        exposures = [exposures]
    if not isinstance(exposures, Iterable):
        raise TypeError(f"'exposures' must be a list of models or paths, got {got(exposures)}.")
    found: list[Any] = []
    for one in exposures:
        if isinstance(one, (str, os.PathLike)):
            found += inputs(os.fspath(one))
        elif isinstance(one, (Mapping, Input)):
            found.append(one)
        else:
            raise TypeError(f"'exposures' must be models (dicts), paths, or gpures.io.Input, got {got(one)}.")
    if not found:
        raise ValueError("'exposures' is empty: give models or paths.")
    if len({id(one) for one in found}) < len(found):
        raise ValueError("'exposures' has the same model twice.")
    return found


def field_of(exposure: Any) -> Field:
    """What is known of an exposure before its pixels are.

    Parameters
    ----------
    exposure : mapping or gpures.io.Input
        As `given_exposures` has them.
    """
    if isinstance(exposure, Mapping):
        ny, nx = np.shape(exposure["data"])
        return Field(model_name(exposure), exposure["wcs"], (ny, nx), exposure.get("group_id"))
    return Field(exposure.name, exposure.wcs, exposure.shape, exposure.group_id)


def good_bits_of(exposures: Sequence[Any], good_bits: Any) -> tuple[Any, Mapping[str, int] | None]:
    """DQ flags to be ignored, and their numbers by name where they have names.

    Parameters
    ----------
    exposures : sequence of mapping or gpures.io.Input
        Of what.
    good_bits : object
        What was given; `NOT_GIVEN` stands for those of the files' mission, and none of models.

    Raises
    ------
    ValueError, ImportError
        There are no such flags, or their names are not known.
    """
    kinds = {one.kind if isinstance(one, Input) else "model" for one in exposures}
    chosen = default_good_bits(kinds) if good_bits is NOT_GIVEN else good_bits
    return chosen, names_for(chosen, kinds)


def check_model(model: Any, what: str) -> None:
    """Check that a model is an image, and can be told something.

    Parameters
    ----------
    model : mapping
        As `gpures.Resample.add_model` takes it.
    what : str
        What is to be set in it.

    Raises
    ------
    TypeError, ValueError, KeyError
        It is not, or can't.
    """
    name = model_name(model)
    if not isinstance(model, MutableMapping):
        raise TypeError(f"Model '{name}' must be a dict, in which {what} can be set, got {type(model).__name__}.")
    for key in ("data", "wcs"):
        if model.get(key) is None:
            raise KeyError(f"Model '{name}' has no '{key}'.")
    if np.ndim(model["data"]) != 2 or 0 in np.shape(model["data"]):
        raise ValueError(
            f"'data' of model '{name}' must be an image (Ny, Nx), got the shape {np.shape(model['data'])}."
        )
    checked_wcs(model["wcs"], "wcs", model)


def check_scale(exposures: Sequence[Any]) -> None:
    """Refuse values that can't be compared: of several units, or that grow with times which differ.

    Parameters
    ----------
    exposures : sequence of mapping or gpures.io.Input
        Exposures; of those without a unit nothing is known.

    Raises
    ------
    ValueError
        They can't.
    """
    told = [_Told.of(exposure) for exposure in exposures]
    known = [each for each in told if units.parsed(each.unit) is not None]
    for each in known[1:]:
        first = known[0]
        if units.factor_between(each.unit, first.unit) != 1.0:
            what = f"in {first.unit} and {each.unit}"
        elif units.is_count(first.unit) and not _are_alike(each.time, first.time):
            what = f"counts ({first.unit}) of {first.time} and {each.time} s"
        else:
            continue
        raise ValueError(
            f"{first.name} and {each.name} can't be compared, as their values are {what}: bring them to one scale, or "
            "use gpures.mosaic, which does that."
        )


@dataclass(frozen=True)
class _Told:
    """What an exposure tells of its values."""

    name: str
    unit: Any
    time: Any

    @classmethod
    def of(cls, exposure: Any) -> _Told:
        if isinstance(exposure, Input):
            return cls(exposure.name, exposure.unit, exposure.exposure_time)
        return cls(model_name(exposure), exposure.get("bunit_data"), exposure.get("exposure_time"))


def _are_alike(time: Any, other: Any) -> bool:
    """Whether two times are the same as far as they are known."""
    if not (is_real(time) and is_real(other)):
        return True
    return not abs(float(time) - float(other)) > ALIKE * abs(float(other))
