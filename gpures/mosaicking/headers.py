"""The headers of a mosaic's exposures: what they agree on, and what becomes of their times."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from gpures.arguments.values import is_real
from gpures.io import units
from gpures.io.exposures import ExposureRecord
from gpures.io.times import mjd_of_date
from gpures.mosaicking.filters import FILTERS, filters_of

__all__ = ["keywords_of", "times_of"]

# What is not the mosaic's though all its exposures have it: how an array is stored, ...
STRUCTURE = (
    r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|EXTEND|EXTNAME|EXTVER|EXTLEVEL|INHERIT|NEXTEND|LONGSTRN|CONTINUE|END"
    r"|BSCALE|BZERO|BLANK|BUNIT|DATAMIN|DATAMAX|CHECKSUM|DATASUM|ZHECKSUM|ZDATASUM|DATE|CREATOR|DATAMODL|PIXVALUE"
    r"|NPIX[12]|TFIELDS|THEAP|T(TYPE|FORM|UNIT|NULL|SCAL|ZERO|DISP|DIM)\d+|ZIMAGE|ZTABLE|ZCMPTYPE|ZBITPIX|ZNAXIS\d*"
    r"|ZTILE\d+|ZNAME\d+|ZVAL\d+|ZQUANTIZ|ZDITHER0|ZSIMPLE|ZEXTEND|ZBLANK|ZMASKCMP|ZPCOUNT|ZGCOUNT|FZALGOR"
    r"|(DATA|BIAS|TRIM|CCD|DET|AMP|ORIG)SEC\w?|IRAF.*|FILENAME|ROOTNAME|EXPNAME|ORIGFILE|ORIGNAME|NEXPOS|OPTIONS|ASN_.*"
)
# ... where its pixels lie on the sky, ...
PLACES = (
    r"(CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CROTA|CNAME|CRDER|CSYER)\d+[A-Z]?|(CD|PC|PV|PS)\d+_\d+[A-Z]?|WCSAXES[A-Z]?"
    r"|WCSNAME[A-Z]?|LONPOLE[A-Z]?|LATPOLE[A-Z]?|RADE?C?SYS[A-Z]?|EQUINOX[A-Z]?|EPOCH|(A|B|AP|BP)_(ORDER|DMAX|\d+_\d+)"
    r"|C[PQ]DIS\d+[A-Z]?|C[PQ]ERR\d+[A-Z]?|D[PQ]\d+(\..*)?|D2IM.*|WAT\d_\d+|WCSDIM|LT[MV]\d(_\d)?|AT[MV]\d(_\d)?"
    r"|TR\d+_\d+|VAFACTOR|ORIENTAT|IDC.*|OC[XY]\d\d|TDD.*|WCSCDATE|SIPNAME|HDRNAME|DISTNAME|WCSTYPE\w?|NWCS|S_REGION"
    r"|SIP.*|(RA|DEC)_REF|ROLL_REF|V[23]_REF|VPARITY|V3I_YANG|(PA|RA|DEC)_APER|PIXSCALE?\d?|SECPIX\d?|PXSCLRT|PIXAR_.*"
)
# ... when it was taken and for how long, what was measured in its pixels, and how it was made.
OWN = (
    r"DATE-.*|MJD.*|TIME-.*|UTC?(-.*)?|UTSTART|UTSTOP|EXPTIME|EXPOSURE|XPOSURE|TEXPTIME|EFFEXPTM|TELAPSE|TMEASURE"
    r"|DURATION|EXPSTART|EXPEND|EXPMID|NDRIZ.*|D\d{3}[A-Z]\w*|KERNEL|PIXFRAC|FILLVAL|RESWHT|VARMETH|DRZPREC|BKGLEVEL|BKGSUB|MDRIZSKY|SKYSUB"
    r"|NGOODPIX|ERRCNT|FILLCNT|(GOOD|SNR)(MIN|MAX|MEAN)|MEANDARK|MEANBLEV|MEANFLSH|SOFTERRS|E?GAIN|RDNOISE|READNOIS|NCOMBINE|SATURATE"
)
NOT_CARRIED = re.compile(f"({STRUCTURE}|{PLACES}|{OWN})$")

# What a mosaic says of filters that differ.
SEVERAL = "MULTIPLE"

# Gains of an image's values. CCDGAIN and ATODGAIN, which tell exposures apart as well, are settings of a camera.
GAINS = ("GAIN", "EGAIN")

STARTS, ENDS = ("EXPSTART", "MJD-BEG", "MJD-OBS"), ("EXPEND", "MJD-END")
DATES = (("DATE-BEG", None), ("DATE-OBS", "TIME-OBS"), ("DATE-OBS", "UTC"), ("DATE-OBS", "UT"), ("DATE-OBS", None))

DAY = 86400.0


def times_of(header: Mapping[str, Any], start: Any = None, end: Any = None) -> tuple[float | None, float | None]:
    """Start and end of an exposure as MJD, each None where nobody tells it.

    Parameters
    ----------
    header : mapping
        What its file's headers say.
    start, end : object, optional
        What its reader made of them, which comes first.
    """
    dates = [_date(header, *names) for names in DATES]
    starts = [_mjd(start), *(_mjd(header.get(name)) for name in STARTS), *dates]
    ends = [_mjd(end), *(_mjd(header.get(name)) for name in ENDS), _date(header, "DATE-END", None)]
    first, last = (next((time for time in times if time is not None), None) for times in (starts, ends))
    return first, last


def _mjd(time: Any) -> float | None:
    """A time as MJD; None of what is none."""
    if hasattr(time, "mjd"):
        time = float(time.utc.mjd)
    return float(time) if is_real(time) and math.isfinite(time) and 0 < time < 1e6 else None


def _date(header: Mapping[str, Any], name: str, time_name: str | None) -> float | None:
    """A date as FITS headers have it, as MJD; the time may have a keyword of its own."""
    words: list[Any] = [header.get(keyword) for keyword in (name, time_name) if keyword is not None]
    return mjd_of_date(" ".join(words)) if all(isinstance(word, str) for word in words) else None


def keywords_of(
    headers: Sequence[Mapping[str, Any]],
    records: Sequence[ExposureRecord],
    unit: str | None,
    is_scaled: bool,
    keeps_gain: bool,
    before: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Keywords of a mosaic's primary header that come from its exposures.

    Those are carried whose values agree in all exposures, but for what describes an array, its place on the sky, its
    times, or what was measured in it. Filters that differ become MULTIPLE, unless they do in spelling or wheels alone.

    Parameters
    ----------
    headers : sequence of mapping
        Of each exposure, what its file's headers say.
    records : sequence of ExposureRecord
        Exposures in the mosaic, of which these are the last.
    unit : str or None
        Of the mosaic's data.
    is_scaled : bool
        Whether data were multiplied by something on the way, so that SATURATE is not theirs any more.
    keeps_gain : bool
        Whether that was pixels' areas and exposure times at most, so that GAIN is.
    before : mapping, optional
        Header of the mosaic of the other exposures.

    Returns
    -------
    dict
        Values, or values and comments, by keyword.
    """
    own, headers = headers, [*([] if before is None else [before]), *headers]
    kept = _agreed(headers)
    kept |= _filters(headers)
    kept |= _dates(records)
    if not is_scaled and (levels := _numbers(headers, "SATURATE")):
        kept["SATURATE"] = (min(levels), "least of the exposures'")
    return kept | (_gains(headers, own, records, unit) if keeps_gain else {})


def _agreed(headers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first, *others = headers
    return {
        keyword: value
        for keyword, value in first.items()
        if _is_value(value)
        and not NOT_CARRIED.match(str(keyword))
        and all(keyword in other and other[keyword] == value for other in others)
    }


def _filters(headers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Keywords of filters that differ: those of the first where that is only in spelling, or in the order of wheels."""
    found: dict[str, Any] = {}
    told = [filters_of(header) for header in headers]
    for keywords in FILTERS:
        are_alike = all(each.get(keywords) == told[0].get(keywords) for each in told)
        for name in keywords:
            values = [header[name] for header in headers if header.get(name) is not None]
            if len(set(map(str, values))) > 1:
                found[name] = values[0] if are_alike else (SEVERAL, "the exposures' differ: see INPUTS")
    return found


def _is_value(value: Any) -> bool:
    """Whether a FITS header can hold a value."""
    if isinstance(value, str):
        return value.isascii() and value.isprintable()
    return isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value))


def _dates(records: Sequence[ExposureRecord]) -> dict[str, Any]:
    from astropy.time import Time

    def iso(mjd: float) -> str:
        return str(Time(mjd, format="mjd", scale="utc").isot)

    found: dict[str, Any] = {}
    starts = [record.start for record in records if record.start is not None]
    ends = [end for record in records if (end := _end(record)) is not None]
    if starts:
        begin = min(starts)
        found["DATE-OBS"] = (iso(begin), "start of the first exposure (UTC)")
        found["DATE-BEG"] = (iso(begin), "start of the first exposure (UTC)")
        found["MJD-BEG"] = (begin, "[d] start of the first exposure")
    if starts and ends:
        found["DATE-END"] = (iso(max(ends)), "end of the last exposure (UTC)")
        found["MJD-END"] = (max(ends), "[d] end of the last exposure")
    middles = [
        (0.5 * (record.start + end), record.exposure_time)
        for record in records
        if record.start is not None and (end := _end(record)) is not None and record.exposure_time
    ]
    if middles and len(middles) == len(records):
        total = math.fsum(time for _, time in middles)
        mean = begin + math.fsum((middle - begin) * time for middle, time in middles) / total
        found["MJD-AVG"] = (mean, "[d] mean of the exposures, by their times")
    return found


def _end(record: ExposureRecord) -> float | None:
    """End of an exposure; where nobody tells it, its time after the start."""
    if record.end is not None or record.start is None or record.exposure_time is None:
        return record.end
    return record.start + record.exposure_time / DAY


def _gains(
    headers: Sequence[Mapping[str, Any]],
    own: Sequence[Mapping[str, Any]],
    records: Sequence[ExposureRecord],
    unit: str | None,
) -> dict[str, Any]:
    """GAIN of a mean of exposures."""
    found: dict[str, Any] = {}
    is_rate = units.is_rate(unit)
    if not (is_rate or units.is_count(unit)) or not units.depends_on_gain(unit):
        return found
    times = [(record.exposure_time or math.nan) if is_rate else 1.0 for record in records[-len(own) :]]
    times = [1.0] * (len(headers) - len(own)) + times  # a mosaic's is a sum already
    for name in GAINS:
        total = math.fsum(gain * time for gain, time in zip(_numbers(headers, name), times, strict=False))
        if total > 0:  # neither none nor NaN
            found[name] = (total, f"sum of the exposures'{' times their EXPTIME' if is_rate else ''}")
    return found


def _numbers(headers: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    """Positive numbers of a keyword; none unless all headers have one."""
    values: list[Any] = [header.get(name) for header in headers]
    good = all(is_real(value) and math.isfinite(value) and value > 0 for value in values)
    return [float(value) for value in values] if good else []
