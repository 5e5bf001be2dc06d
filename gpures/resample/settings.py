"""Attributes of a resampler that say how it works: those that may change between two exposures, and those that may not.

A descriptor that keeps its value in the object's own ``__dict__``, under its name, so that copies and pickles have it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Setting", "Settled"]


class Setting:
    """A setting that acts on what comes next.

    Parameters
    ----------
    check : callable
        Gives the value to keep, or raises what is wrong with it.
    changed : str, optional
        Name of the object's method that is called after each change.
    doc : str, optional
        What it is.
    """

    def __init__(self, check: Callable[[Any], Any], changed: str | None = None, doc: str | None = None):
        self._check = check
        self._changed = changed
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        try:
            return instance.__dict__[self._name]
        except KeyError:
            raise AttributeError(f"{self._name!r} of this {type(instance).__name__} is not set yet.") from None

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self._name] = self._check(value)
        if self._changed is not None:
            getattr(instance, self._changed)()


class Settled:
    """An attribute that is settled when an object is made; it is kept under its name with an underscore.

    Parameters
    ----------
    doc : str
        What it is.
    instead : str, optional
        What to do instead of setting it.
    """

    def __init__(self, doc: str, instead: str = "make another one"):
        self.__doc__ = doc
        self._instead = instead

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else getattr(instance, f"_{self._name}")

    def __set__(self, instance: Any, value: Any) -> None:
        kind = type(instance).__name__
        raise AttributeError(f"{self._name!r} of a {kind} can't be changed once it is made: {self._instead}.")
