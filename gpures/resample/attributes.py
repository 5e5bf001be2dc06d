"""Attributes of a resampler that say how it works: those that may change between two exposures, and the others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Generic, Self, TypeVar, overload

from gpures.exposure.options import LIVE

__all__ = ["Option", "Settled"]

# The type of an attribute's value.
Value = TypeVar("Value")


class Option(Generic[Value]):
    """An attribute that is one of the object's options, which are a `gpures.exposure.options.Options`.

    A live one may be set, and acts on what comes next: the options are replaced, checked as ever.

    Parameters
    ----------
    doc : str
        What it is.
    changed : str, optional
        Name of the object's method that is called after each change.
    name : str, optional
        Name of the option, where the attribute has another.
    """

    def __init__(self, doc: str, changed: str | None = None, name: str = ""):
        self.__doc__ = doc
        self._changed = changed
        self._name = name

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = self._name or name

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type | None = None) -> Value: ...

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else getattr(instance._options, self._name)

    def __set__(self, instance: Any, value: Value) -> None:
        if self._name not in LIVE:
            raise settled(self._name, instance)
        instance._options = replace(instance._options, **{self._name: value})
        if self._changed is not None:
            getattr(instance, self._changed)()


class Settled(Generic[Value]):
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

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type | None = None) -> Value: ...

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else getattr(instance, f"_{self._name}")

    def __set__(self, instance: Any, value: Any) -> None:
        raise settled(self._name, instance, self._instead)


def settled(name: str, instance: Any, instead: str = "make another one") -> AttributeError:
    """The error for who sets an attribute that can't be set, and what to do instead."""
    return AttributeError(f"{name!r} of a {type(instance).__name__} can't be changed once it is made: {instead}.")
