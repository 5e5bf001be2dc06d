"""The output model: a dictionary whose images are made when somebody looks."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, ValuesView
from typing import Any, Self

__all__ = ["OutputModel"]


class OutputModel(dict[str, Any]):
    """A `dict` some of whose values are fetched at the first access after they changed.

    Between two exposures an image may need a fill value, a conversion or a download, all of them as large as the
    output frame. Deferred to the moment when the image is read, they cost nothing to those who do not read it.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._fetch: Callable[[], Mapping[str, Any]] | None = None
        self._deferred: frozenset[str] = frozenset()

    def defer(self, keys: Iterable[str], fetch: Callable[[], Mapping[str, Any]]) -> None:
        """Have `fetch` called, for the values of all `keys`, when one of them is read."""
        self._deferred = frozenset(keys)
        self._fetch = fetch
        for key in self._deferred:
            super().setdefault(key, None)

    def settle(self) -> None:
        """Fetch what is deferred."""
        if self._fetch is not None:
            super().update(self._fetch())  # if this raises, the next reader tries again
            self._fetch, self._deferred = None, frozenset()

    def _settle_for(self, key: Any) -> None:
        if key in self._deferred:
            self.settle()

    def __getitem__(self, key: Any) -> Any:
        self._settle_for(key)
        return super().__getitem__(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._settle_for(key)  # or a later fetch would undo this
        super().__setitem__(key, value)

    def __delitem__(self, key: Any) -> None:
        self._settle_for(key)
        super().__delitem__(key)

    # With an __iter__ of its own, dict(model) and {**model} ask for the items one by one.
    def __iter__(self) -> Iterator[str]:
        return super().__iter__()

    def get(self, key: Any, default: Any = None) -> Any:  # noqa: D102
        self._settle_for(key)
        return super().get(key, default)

    def pop(self, key: Any, *default: Any) -> Any:  # noqa: D102
        self._settle_for(key)
        return super().pop(key, *default)

    def setdefault(self, key: Any, default: Any = None) -> Any:  # noqa: D102
        self._settle_for(key)
        return super().setdefault(key, default)

    def update(self, *args: Any, **kwargs: Any) -> None:  # noqa: D102
        self.settle()
        super().update(*args, **kwargs)

    def __ior__(self, other: Any) -> Self:  # type: ignore[override, misc]
        self.update(other)
        return self

    def popitem(self) -> tuple[str, Any]:  # noqa: D102
        self.settle()
        return super().popitem()

    def clear(self) -> None:  # noqa: D102
        self._fetch, self._deferred = None, frozenset()
        super().clear()

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]  # noqa: D102
        self.settle()
        return super().items()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]  # noqa: D102
        self.settle()
        return super().values()

    def copy(self) -> dict[str, Any]:  # noqa: D102
        self.settle()
        return dict(super().items())

    def without(self, keys: Iterable[str]) -> dict[str, Any]:
        """A dictionary with None in the place of some values, which are not fetched."""
        return dict(super().items()) | dict.fromkeys(keys)

    def __eq__(self, other: object) -> bool:
        self.settle()
        return super().__eq__(other)

    __hash__ = None

    def __repr__(self) -> str:
        self.settle()
        return super().__repr__()

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (self.copy(),)
