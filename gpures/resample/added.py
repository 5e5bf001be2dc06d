"""Models that were added to a mosaic, known again."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpures.arguments.arrays import as_host
from gpures.exposure.exposure import Exposure

__all__ = ["AddedModel", "added_model", "in_both"]

# Rows of an image that its digest is made of, at most, as it takes time with each exposure: noise tells exposures apart
# in any row.
ROWS = 16

# Places of a pixel that differ by less, in output pixels, are the same, by whatever pixel map.
SAME_PLACE = 0.01

# Kernels whose drops are sized by their pixel map alone.
SIZED_BY_PIXMAP = ("square", "point")


@dataclass(frozen=True)
class AddedModel:
    """What a mosaic knows of a model that was added to it.

    Models are the same where name, digest and places agree. Two detectors of a file have one name and other pixels; two
    simulations without noise may have the same pixels at other places.

    Attributes
    ----------
    name : str
        Its file name, or "Unknown".
    group_id : str or int
        Its group.
    digest : str
        Of its pixels, as they were given: 16 rows of the data at most, as float64.
    packed_places : bytes
        Those of `AddedModel.places`, in a fourth of the memory.
    is_sized_by_ratio : bool
        Whether the pixel scale ratio of the mosaic sizes its drops.
    """

    name: str
    group_id: Any
    digest: str
    packed_places: bytes = field(repr=False)
    is_sized_by_ratio: bool = field(default=False, repr=False)

    @property
    def places(self) -> tuple[float, ...]:
        """Where a few of its pixels lie in the output, x and y."""
        return tuple(np.frombuffer(self.packed_places).tolist())

    def is_same(self, other: AddedModel) -> bool:
        """Whether another one is the same exposure.

        Parameters
        ----------
        other : AddedModel
            Of a mosaic of the same frame.

        Returns
        -------
        bool
            True where name, pixels and place are the same.
        """
        return self._key == other._key and np.allclose(
            self.places, other.places, rtol=0.0, atol=SAME_PLACE, equal_nan=True
        )

    @property
    def _key(self) -> tuple[str, str]:
        return self.name, self.digest


def added_model(name: str, group_id: Any, exposure: Exposure, kernel: str) -> AddedModel:
    """What is kept of a model.

    Parameters
    ----------
    name : str
        Its file name.
    group_id : str or int
        Its group.
    exposure : Exposure
        What was made of it.
    kernel : str
        Name of its kernel.
    """
    xmin, xmax, ymin, ymax = exposure.limits
    rows, columns = ([first, (first + last) // 2, last] for first, last in ((ymin, ymax), (xmin, xmax)))
    places = np.asarray(exposure.pixmap.at(rows, columns), np.float64).tobytes()
    return AddedModel(name, group_id, _digest(exposure.data), places, kernel not in SIZED_BY_PIXMAP)


def in_both(one: Iterable[AddedModel], other: Iterable[AddedModel]) -> list[AddedModel]:
    """Those of the second that are among the first.

    Parameters
    ----------
    one, other : iterable of AddedModel
        Both.
    """
    known = defaultdict(list)
    for model in one:
        known[model._key].append(model)
    return [model for model in other if any(model.is_same(candidate) for candidate in known[model._key])]


def _digest(data: Any) -> str:
    """Digest of an image's values, whatever their type and byte order, and of its shape."""
    values = as_host(data[:: -(-data.shape[0] // ROWS)]).astype(np.float64) + 0.0  # zero has no sign
    values[np.isnan(values)] = np.nan  # nor have NaN others
    return hashlib.blake2b(repr(data.shape).encode() + values.tobytes(), digest_size=8).hexdigest()
