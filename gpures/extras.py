"""How packages are had that only some need: the extras of gpures, by what they hold.

A message names the packages, and not ``gpures[plot]``: pip finds them wherever this gpures is from.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator

__all__ = ["install"]


def install(*extras: str) -> str:
    """Command that installs what extras of gpures hold.

    Parameters
    ----------
    *extras : str
        Names of extras, as "plot".

    Returns
    -------
    str
        As ``pip install 'matplotlib>=3.8.4'``.

    Raises
    ------
    ValueError
        gpures has no such extra.
    """
    from packaging.utils import canonicalize_name

    try:
        about = importlib.metadata.metadata("gpures")
    except importlib.metadata.PackageNotFoundError:  # a source tree, whose extension was built elsewhere
        return f"pip install '.[{','.join(extras)}]', in the folder of gpures' source"
    known = {canonicalize_name(name) for name in about.get_all("Provides-Extra") or ()}
    if unknown := [extra for extra in extras if canonicalize_name(extra) not in known]:
        raise ValueError(f"'extras' must be among {sorted(known)}, got {unknown}")
    packages = dict.fromkeys(package for extra in extras for package in _packages(extra))
    return " ".join(["pip install", *(f"'{package}'" for package in packages)])


def _packages(extra: str) -> Iterator[str]:
    """What an extra holds, and those that it names hold."""
    from packaging.requirements import Requirement

    for needed in map(Requirement, importlib.metadata.requires("gpures") or ()):
        if needed.marker is None or not needed.marker.evaluate({"extra": extra}):
            continue
        if needed.name == "gpures":
            for other in sorted(needed.extras):
                yield from _packages(other)
        else:
            needed.marker = None
            yield str(needed)
