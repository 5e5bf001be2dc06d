"""Variances of files that have none, made of what they have instead."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

import numpy as np

from gpures.io.input import VARIANCES

__all__ = ["SOURCES", "from_source", "source_of"]

log = logging.getLogger(__name__)

# What tells of the variance of the whole, in the order of trust: an error, a variance, an inverse variance.
SOURCES = ("err", "variance", "wht")


def source_of(found: Collection[str] | Mapping[str, object], name: str) -> str | None:
    """Which of the arrays of a file ``var_rnoise`` is made of; None where there are variances, or nothing is."""
    if any(variance in found for variance in VARIANCES):
        return None
    source = next((source for source in SOURCES if source in found), None)
    if source == "wht":
        log.warning("%s has weights and no variances: its variances are 1 / weight, right but for a factor.", name)
    return source


def from_source(source: str, array: np.ndarray) -> np.ndarray:
    """The variance that an array tells of; infinite where a weight is zero, so that it is zero again as a weight."""
    if source == "variance":
        return array
    kind = np.result_type(array.dtype.newbyteorder("="), np.float32)
    if source == "err":
        return np.square(array, dtype=kind)
    with np.errstate(divide="ignore"):
        return np.divide(1.0, array, dtype=kind)
