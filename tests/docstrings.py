"""Docstrings, looked over by numpydoc's validator: `python tests/docstrings.py` lists what they lack.

Public is what docs/api.rst lists, with its public methods and attributes: each parameter has a type and a description,
and what is returned is described. Names that modules share with others, which are those in their ``__all__``, say in a
sentence what they are, and describe their parameters where there are more than two.
"""

from __future__ import annotations

import argparse
import dataclasses
import enum
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpydoc.docscrape import get_doc_object
from numpydoc.validate import Validator, validate

import gpures

API = Path(__file__).parents[1] / "docs" / "api.rst"

# Checks of the validator that all docstrings pass: there is one, and it begins with a sentence of one line.
SENTENCE = {"GL01", "GL03", "GL05", "GL08", "SS01", "SS02", "SS03", "SS04", "SS06"}

# And those that public ones pass. Left out are: SS05, as a docstring may name the thing that a function gives; GL02, as
# ruff's formatter places the closing quotes; ES01, SA01 and EX01, as not everything needs more than a sentence; RT02,
# as one value may have a name.
COMPLETE = SENTENCE | {"GL06", "GL07", "GL09", "GL10", "PR01", "PR02", "PR03", "PR04", "PR05", "PR06", "PR07", "PR10"}
COMPLETE |= {"PR08", "PR09", "RT01", "RT03", "RT04", "RT05", "YD01", "SA02", "SA03", "SA04"}

# What only `gpures demo` and `gpures bench` use is not shared.
PROGRAMS = ("gpures.bench", "gpures.demo")

# Arguments from which on a name that modules share describes them.
FEW = 2


def public() -> Iterator[tuple[str, Any]]:
    """What docs/api.rst lists, with the methods and attributes that are gpures' own."""
    for directive, name in re.findall(r"^\.\. (automodapi|autoclass):: (\S+)$", API.read_text(), re.MULTILINE):
        if directive == "autoclass":
            module, _, only = name.rpartition(".")
            names = [only]
        else:
            module = name
            names = importlib.import_module(name).__all__
        for each in names:
            thing = getattr(importlib.import_module(module), each)
            if not (inspect.isclass(thing) or inspect.isroutine(thing)):
                continue  # constants and aliases have comments
            yield f"{module}.{each}", thing
            if inspect.isclass(thing):
                yield from members(f"{module}.{each}", thing)


def members(name: str, cls: type) -> Iterator[tuple[str, Any]]:
    """Public methods and attributes of a class, those that it inherits from other classes of gpures included."""
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] == "gpures":
            for member, value in vars(base).items():
                if not member.startswith("_") and (callable(value) or hasattr(type(value), "__get__")):
                    yield f"{name}.{member}", value


def shared() -> Iterator[tuple[str, Any]]:
    """Functions and classes in the ``__all__`` of a module in which they are defined."""
    for module in pkgutil.walk_packages(gpures.__path__, "gpures."):
        if module.name.endswith(("__main__", "_cpu")) or module.name.startswith(PROGRAMS):
            continue
        loaded = importlib.import_module(module.name)
        for name in getattr(loaded, "__all__", ()):
            thing = getattr(loaded, name)
            if getattr(thing, "__module__", None) == module.name and callable(thing):
                yield f"{module.name}.{name}", thing


def found_in(thing: Any, checks: set[str]) -> list[str]:
    """What the validator finds in a docstring, of some of its checks."""
    if isinstance(thing, (classmethod, staticmethod)):
        thing = thing.__func__
    found = validate(get_doc_object(thing))["errors"]
    if dataclasses.is_dataclass(thing) and {field.name for field in dataclasses.fields(thing)} <= attributes(thing):
        found = [(code, text) for code, text in found if code != "PR01"]  # which it has the same words for
    return [f"{code}: {text}" for code, text in found if code in checks]


def attributes(cls: Any) -> set[str]:
    """Names in the section Attributes of a class, each with its description."""
    entries = get_doc_object(cls)["Attributes"]
    return {name.strip() for entry in entries if any(entry.desc) for name in entry.name.split(",")}


def lacking(thing: Any) -> list[str]:
    """What the docstring of a shared name lacks."""
    found = found_in(thing, SENTENCE)
    is_made = inspect.isclass(thing) and issubclass(thing, (argparse.Action, enum.Enum))  # by their own packages
    arguments = () if is_made else Validator(get_doc_object(thing)).signature_parameters
    described = set(arguments) <= attributes(thing) or re.search("Parameters|parameters", inspect.getdoc(thing) or "")
    if len(arguments) > FEW and not described:
        found.append(f"Parameters: {len(arguments)} arguments, and none is described")
    return found


def main() -> int:
    """Print what is lacking; the exit status is 1 where something is."""
    wrong = {name: found_in(thing, COMPLETE) for name, thing in public()}
    for name, thing in shared():
        wrong.setdefault(name, lacking(thing))
    lines = [f"{name}: {words}" for name, found in wrong.items() for words in found]
    print("\n".join(lines) or f"{len(wrong)} docstrings are as they should be.")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
