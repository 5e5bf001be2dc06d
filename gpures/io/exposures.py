"""What a mosaic's file tells of the exposures in it: a table in FITS, a list in ASDF."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from astropy.io import fits

__all__ = ["ExposureRecord", "is_mosaic", "records_of", "records_of_table", "table_of"]

NAME = "INPUTS"  # of the table

# Columns of the table: the field of a record, the column's name, its type and unit.
COLUMNS = {
    "name": ("FILENAME", "A", None),
    "digest": ("SHA256", "A", None),
    "extension": ("EXTENSION", "A", None),
    "group": ("GROUP", "A", None),
    "start": ("MJD_BEG", "D", "d"),
    "end": ("MJD_END", "D", "d"),
    "exposure_time": ("EXPTIME", "D", "s"),
    "filter": ("FILTER", "A", None),
    "unit": ("BUNIT", "A", None),
    "footprint": ("S_REGION", "A", None),
    "used": ("NPIXUSED", "K", "pixel"),
    "weight": ("WEIGHT", "D", None),
    "sky": ("SKY", "D", None),
    "outliers": ("OUTLIERS", "K", "pixel"),
}

BITS_PER_PLANE = 32


@dataclass(frozen=True)
class ExposureRecord:
    """What is told of an exposure in a mosaic.

    Attributes
    ----------
    name : str
        File and extension, or the name of a model.
    digest : str
        SHA-256 of the file, hexadecimal.
    extension : str
        The image in it, such as ``SCI,2``.
    group : str
        What exposures that were taken together share; their time counts once.
    start, end : float or None
        MJD.
    exposure_time : float or None
        Seconds.
    filter, unit : str
        Of its data.
    footprint : str
        Outline on the sky, as S_REGION has it: ``POLYGON ICRS`` and the corners' longitudes and latitudes, degrees.
    used : int or None
        Number of its pixels that have a number and a weight.
    weight : float or None
        Sum of their weights.
    sky : float or None
        Sky level that was subtracted from its data, in the unit of the mosaic, where skies were matched.
    outliers : int or None
        Number of its pixels that were left out as outliers, where these were looked for; they are not among those used.
    """

    name: str
    digest: str = ""
    extension: str = ""
    group: str = ""
    start: float | None = None
    end: float | None = None
    exposure_time: float | None = None
    filter: str = ""
    unit: str = ""
    footprint: str = ""
    used: int | None = None
    weight: float | None = None
    sky: float | None = None
    outliers: int | None = None

    def as_dict(self, number: int) -> dict[str, Any]:
        """What is known of it, and where it is in the context image, by name.

        Parameters
        ----------
        number : int
            Its number in the mosaic.
        """
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        place = {"plane": number // BITS_PER_PLANE, "bit": number % BITS_PER_PLANE}
        return {name: value for name, value in known.items() if value not in (None, "")} | place


def is_mosaic(header: Mapping[str, Any]) -> bool:
    """Whether a primary header is that of a mosaic that gpures wrote.

    Parameters
    ----------
    header : mapping
        Its keywords.
    """
    return str(header.get("CREATOR", "")).startswith("gpures ")


def records_of(exposures: Iterable[Any]) -> list[ExposureRecord]:
    """Records of exposures that are given as such, as dicts of the same names, or by their names alone.

    Parameters
    ----------
    exposures : iterable of ExposureRecord, mapping or str
    """
    return [_record_of(exposure) for exposure in exposures]


def _record_of(exposure: Any) -> ExposureRecord:
    if isinstance(exposure, ExposureRecord):
        return exposure
    if isinstance(exposure, Mapping):
        names = [field.name for field in fields(ExposureRecord)]
        return ExposureRecord(**{name: exposure[name] for name in names if name in exposure})
    return ExposureRecord(str(exposure))


def table_of(records: Sequence[ExposureRecord], encoded: Sequence[str]) -> fits.BinTableHDU:
    """The table INPUTS: columns that nothing is known of are left out.

    Parameters
    ----------
    records : sequence of ExposureRecord
        In the order of the context's bits.
    encoded : sequence of str
        Their names, in the characters that FITS has.
    """
    columns = []
    for field, (name, kind, unit) in COLUMNS.items():
        values = list(encoded) if field == "name" else [getattr(record, field) for record in records]
        if all(value in (None, "") for value in values):
            continue
        array: np.ndarray
        if kind == "A":
            array = np.array([value.encode("ascii", "backslashreplace") for value in values])
            kind = f"{max(1, array.dtype.itemsize)}A"
        elif kind == "D":
            array = np.array([math.nan if value is None else value for value in values], float)
        else:
            array = np.array([-1 if value is None else value for value in values], np.int64)
        null = -1 if kind == "K" else None
        columns.append(fits.Column(name, format=kind, unit=unit, array=array, null=null))
    numbers = np.arange(len(records), dtype=np.int32)
    if len(columns) > 1:
        columns.append(fits.Column("CONPLANE", format="J", array=numbers // BITS_PER_PLANE))
        columns.append(fits.Column("CONBIT", format="J", array=numbers % BITS_PER_PLANE))
    return fits.BinTableHDU.from_columns(columns, name=NAME)


def records_of_table(hdus: fits.HDUList) -> list[ExposureRecord]:
    """Records of the exposures in a mosaic, by its table INPUTS; none where there is none.

    Parameters
    ----------
    hdus : astropy.io.fits.HDUList
        The open file.
    """
    if NAME not in hdus or not isinstance(hdus[NAME], fits.BinTableHDU) or hdus[NAME].data is None:
        return []
    data = hdus[NAME].data
    there = {field: name for field, (name, _, _) in COLUMNS.items() if name in data.names}
    if "name" not in there:
        return []
    return [ExposureRecord(**{field: _value(row[name]) for field, name in there.items()}) for row in data]


def _value(value: Any) -> Any:
    """A value of the table as a record has it."""
    if isinstance(value, (float, np.floating)):
        return None if math.isnan(value) else float(value)
    if isinstance(value, (int, np.integer)):
        return None if value < 0 else int(value)
    return str(value).strip()
