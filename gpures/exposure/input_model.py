"""An input model at the door: each value is asked for once, each array converted once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from gpures.arguments.arrays import converted, model_name, own_device, real, unmasked

__all__ = ["InputModel"]


class InputModel(Mapping):
    """A caller's model, whose values stay what they were when they were first asked for.

    Whatever a mapping gives the next time, and whatever an object's ``__array__`` does then: all that is made of a
    model is made of the same objects.

    Parameters
    ----------
    given : mapping
        The caller's model, which is not changed.
    """

    def __init__(self, given: Mapping):
        self._given = given
        self._values: dict[str, Any] = {}
        self._masks: dict[str, np.ndarray | None] = {}

    @property
    def name(self) -> str:
        """File name, or "Unknown"."""
        return model_name(self)

    def converted(self, name: str) -> Any:
        """An array, of whatever type and shape, as it is; `mask` tells what is masked in it."""
        if name not in self._masks:
            self._values[name], self._masks[name] = self._converted(name)
        return self._values[name]

    def array(self, name: str) -> Any:
        """An array of real numbers, of whatever shape, as the kernels read it; NaN where it is masked.

        Raises
        ------
        TypeError
            It does not hold real numbers.
        """
        if name not in self._masks:
            values, mask = self._converted(name)
            self._values[name], self._masks[name] = unmasked(real(values, name, self), mask), mask
        return self._values[name]

    def _converted(self, name: str) -> tuple[Any, np.ndarray | None]:
        with own_device(self[name]):
            return converted(self[name], name, self)

    def mask(self, name: str) -> np.ndarray | None:
        """Which pixels of an array that was taken are masked; None where none is."""
        return self._masks[name]

    def __getitem__(self, key: str) -> Any:
        if key not in self._values:
            self._values[key] = self._given[key]
        return self._values[key]

    def __contains__(self, key: object) -> bool:
        return key in self._values or key in self._given

    def __iter__(self) -> Iterator:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)
