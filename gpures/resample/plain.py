"""Values as JSON has them, and back, the same to the last bit: what of a mosaic is no image."""

from __future__ import annotations

import base64
import json
from datetime import date, datetime
from typing import Any

import numpy as np
from astropy.time import Time

__all__ = ["as_json", "is_plain", "of_json"]

# What JSON has itself; of numbers that are not finite Python's has words, too.
OWN = (str, bool, int, float, type(None))


def as_json(value: Any) -> str:
    """A value as JSON.

    Parameters
    ----------
    value : object
        Numbers, texts, bytes, times, types and arrays of numpy, or dicts, lists and tuples of such.

    Raises
    ------
    TypeError
        There is something else in it; the text says where.
    """
    return json.dumps(_plain(value, ""), separators=(",", ":"))


def is_plain(value: Any) -> bool:
    """Whether `as_json` takes a value."""
    try:
        as_json(value)
    except TypeError:
        return False
    return True


def of_json(text: str | bytes) -> Any:
    """The value that `as_json` was given.

    Raises
    ------
    ValueError
        The text is no such JSON.
    """
    try:
        return json.loads(text, object_hook=_value)
    except (AttributeError, IndexError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"it is no JSON of a mosaic: {error}") from error


# What JSON has no words for is an object of one key, which says what it is.


def _plain(value: Any, place: str) -> Any:
    if type(value) in OWN:
        return value
    if type(value) is list:
        return [_plain(each, f"{place}[{k}]") for k, each in enumerate(value)]
    if isinstance(value, tuple):
        return {"tuple": [_plain(each, f"{place}[{k}]") for k, each in enumerate(value)]}
    if isinstance(value, dict):
        return {"dict": [[_plain(key, place), _plain(each, f"{place}[{key!r}]")] for key, each in value.items()]}
    if isinstance(value, (bytes, np.generic, np.ndarray)) and not getattr(value, "dtype", np.dtype("f8")).hasobject:
        return _packed(value)
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return {"dtype": np.dtype(value).str}
    if isinstance(value, Time) and value.location is None:
        return {"time": [_packed(np.asarray(value.jd1)), _packed(np.asarray(value.jd2)), value.scale, value.format]}
    if isinstance(value, (date, datetime)):
        return {type(value).__name__: value.isoformat()}
    raise TypeError(f"{place or 'it'} is a {type(value).__name__}, which can't be saved.")


def _packed(value: Any) -> dict[str, Any]:
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    kind = "scalar" if isinstance(value, np.generic) else "array"
    return {kind: [value.dtype.str, list(np.shape(value)), base64.b64encode(value.tobytes()).decode()]}


def _array(packed: list[Any]) -> np.ndarray:
    kind, shape, content = packed
    return np.frombuffer(base64.b64decode(content), np.dtype(kind)).reshape(shape).copy()


def _time(parts: list[Any]) -> Time:
    first, second, scale, form = parts
    time = Time(first[()], second[()], format="jd", scale=scale)
    time.format = form
    return time


KINDS: dict[str, Any] = {
    "tuple": tuple,
    "dict": dict,
    "bytes": base64.b64decode,
    "scalar": lambda packed: _array(packed)[()],
    "array": _array,
    "dtype": np.dtype,
    "time": _time,
    "date": date.fromisoformat,
    "datetime": datetime.fromisoformat,
}


def _value(found: dict[str, Any]) -> Any:
    ((kind, content),) = found.items() if len(found) == 1 else ((None, None),)
    if kind not in KINDS:
        raise ValueError(f"it is no JSON of a mosaic: it has {', '.join(map(repr, found)) or 'nothing'}.")
    return KINDS[kind](content)
