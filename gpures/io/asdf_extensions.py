"""The extensions of asdf, without those of packages that a file has nothing of, which take long to import."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any

__all__ = ["extensions_without"]

GROUP = "asdf.extensions"


@contextmanager
def extensions_without(package: str) -> Iterator[None]:
    """Have asdf do without the extensions of a package, unless it has imported them already.

    Parameters
    ----------
    package : str
        The package, by the name that it is installed by.
    """
    import asdf

    asdf.get_config().resource_manager  # noqa: B018 - what it reads for a copy of itself it forgets with that
    with asdf.config_context() as config:
        # asdf offers no way to leave some out before all are imported. Where it calls them otherwise it has them all.
        if getattr(config, "_extensions", ()) is None and (others := _others(package)) is not None:
            config._extensions = list(others)
        yield


@lru_cache
def _others(package: str) -> tuple[Any, ...] | None:
    """All extensions but those of a package, in asdf's order; None where one can't be loaded, of which asdf tells."""
    from asdf.extension import ExtensionProxy

    known = ((point, point.dist) for point in entry_points(group=GROUP))
    points = {(dist.name, point.name): (point, dist.version) for point, dist in known if dist is not None}
    found: list[Any] = []
    for (name, _), (point, version) in sorted(points.items(), key=lambda item: (item[0][0] == "asdf", item[0])):
        if name == package:
            continue
        try:
            made = point.load()()
        except Exception:
            return None
        each = made if isinstance(made, list) else [made]
        found += [ExtensionProxy(one, package_name=name, package_version=version) for one in each]
    return tuple(found)
