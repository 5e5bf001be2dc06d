"""Units: read whatever their spelling, compared by meaning, raised to powers with their scale; exposure times."""

from __future__ import annotations

import logging
import warnings

import astropy.units as u
import numpy as np
import pytest
import stars
from astropy.io import fits

import gpures
from gpures import io
from gpures.io import units
from gpures.io.exposure_time import exposure_time

ELECTRON_RATES = ("ELECTRONS/S", "electron/s", "e-/s", "e/s", "e- s-1", "Electrons / sec", "electrons s^-1", "[e-/sec]")
SPELLINGS = (
    ELECTRON_RATES,
    ("adu", "ADU", "DN", "dn", "adu/pix", "ADU/pixel", " Adu "),
    ("DN/s", "ADU/S", "adu s-1", "adu/sec/pixel", "dn per second"),
    ("counts", "ct", "COUNTS", "count", "cts"),
    ("count/sec", "COUNTS/S", "cps", "ct s-1"),
    ("photon", "photons", "PH"),
    ("MJy/sr", "MJY/SR", "MJy sr-1", "1e6 Jy/sr"),
    ("Jy/beam", "JY/BEAM", "beam-1 Jy", "Jy/bm", "Jy beam^{-1}"),
    ("nanomaggy", "nanomaggies", "nmgy"),
    ("uJy", "uJy/pixel", "1e-6 Jy", "µJy"),
    ("10**(-20) erg s-1 cm-2", "1e-20 erg/s/cm2", "10^-20 ergs/s/cm^2", "10**(-20)*erg/s/cm**2"),
    ("10**(-20)*erg/s/cm**2/Angstrom", "1E-20 erg/s/cm2/A", "1e-20 erg s-1 cm-2 AA-1", "1E-20 erg/s/cm^2/Ang/spaxel"),
    ("furlong", "FURLONG"),
)


@pytest.mark.parametrize("spellings", SPELLINGS, ids=lambda one: one[0])
def test_spellings(spellings):
    """Units that mean the same are the same; those of another line are not."""
    for one in spellings:
        assert units.factor_between(one, spellings[0]) == pytest.approx(1.0, rel=1e-12), one
    others = [other[0] for other in SPELLINGS if other is not spellings]
    assert not any(units.factor_between(other, spellings[-1]) == 1.0 for other in others)


def test_factors():
    """Units of one kind differ by a factor; those of two kinds, and none at all, have none."""
    assert units.factor_between("MJy/sr", "Jy/sr") == pytest.approx(1e6, rel=1e-14)
    assert units.factor_between("mJy/arcsec2", "Jy/sr") == pytest.approx(u.Unit("mJy/arcsec2").to("Jy/sr"), rel=1e-14)
    assert units.factor_between("adu/min", "adu/s") == pytest.approx(1 / 60)
    for one, other in (("adu", "adu/s"), ("adu", "electron"), ("Jy", "Jy/beam"), ("Jy", "MJy/sr"), ("furlong", "Jy")):
        assert units.factor_between(one, other) is None
    assert units.factor_between(None, "Jy") is units.factor_between("", "Jy") is None


PER = {
    "pixel": ("adu", "ELECTRONS/S", "photon", "nJy", "uJy/pixel", "nanomaggy", "1e-20 erg/s/cm2/A", "W/m2", "ct/s"),
    "area": ("MJy/sr", "mJy/arcsec2", "Jy/beam", "ct/s/arcmin2", "erg/s/cm2/arcsec2", "adu/arcsec2", "Rayleigh"),
    "nothing": ("K", "km/s", "KELVIN", "cm-2", "1", "uK_CMB", "mK"),
    "unknown": (None, "", "  ", "none", "furlong", "MJY"),
}


@pytest.mark.parametrize(("kind", "which"), PER.items(), ids=PER)
def test_what_values_are_proportional_to(kind, which):
    """Counts and fluxes are per pixel, unless per angle on the sky; temperatures and velocities are neither."""
    assert {unit: units.per(unit) for unit in which} == dict.fromkeys(which, kind)


@pytest.mark.parametrize("unit", ["mag", "MAG/ARCSEC2", "ABmag", "mag (AB)", "dex", "log10(Jy)", "dB"])
def test_logarithms_are_refused(tmp_path, unit):
    """Magnitudes have no average."""
    path = stars.star_file(tmp_path / "a.fits", unit=unit)
    with pytest.raises(io.FileError, match=r"a\.fits: the unit of a\.fits\[PRIMARY\] is .*: convert them to fluxes"):
        gpures.mosaic(path, backend="cpu", progress=False)


@pytest.mark.parametrize("unit", [spellings[0] for spellings in SPELLINGS[:-1]] + ["1000 adu", "3.5e-11 Jy/sr", "km/s"])
@pytest.mark.parametrize("exponent", [2, -2])
def test_powers(unit, exponent):
    """A power of a unit is one that astropy reads, and the very same with its scale."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = units.power(unit, exponent)
        ratio = (u.Unit(text) / units.parsed(unit) ** exponent).decompose()
    assert ratio.bases == []
    assert ratio.scale == pytest.approx(1.0, rel=1e-14)


def test_units_of_a_mosaic(tmp_path):
    """Variances, weights and errors of a mosaic have the data's unit, its scale included, in powers."""
    unit = "10**(-20) erg s-1 cm-2"
    path = stars.star_file(tmp_path / "a.fits", unit=unit, planes={"ERR": np.ones((64, 64), "f4")})
    gpures.mosaic(path, tmp_path / "m.fits", backend="cpu", progress=False)
    with fits.open(tmp_path / "m.fits") as hdus:
        found = {name: hdus[name].header["BUNIT"] for name in ("SCI", "ERR", "VAR_RNOISE", "WHT")}
    assert found["SCI"] == found["ERR"] == unit
    assert u.Unit(found["VAR_RNOISE"], format="fits") == u.Unit("1e-40 erg2 s-2 cm-4")
    assert u.Unit(found["WHT"], format="fits") == u.Unit("1e40 erg-2 s2 cm4")


# Exposure times

TIMES = [
    ({"EXPOSURE": "00003", "XPOSURE": 837.4}, 837.4),
    ({"EXPOSURE": "00003"}, None),
    ({"EXPOSURE": 3, "EXPTIME": 40.0}, 40.0),
    ({"EXPTIME": 0.0, "ITIME": 12}, 12.0),
    ({"EXPTIME": -1, "ONTIME": 12.5}, 12.5),
    ({"EXPTIME": True, "INTTIME": 5.0}, 5.0),
    ({"EXPTIME": "30.0"}, 30.0),
    ({"EXPTIME": "30.0", "EXP_TIME": 31.0}, 31.0),
    ({"EXPTIME": "long", "LIVETIME": 8.0}, 8.0),
    ({"EXPTIME": (2500.0, "[ms] exposure time")}, 2.5),
    ({"EXPTIME": (2500, "time in msec")}, 2.5),
    ({"EXPTIME": (1.5, "exposure time (min)")}, 90.0),
    ({"EXPTIME": (30.0, "[s] of 5 reads, minimum 3")}, 30.0),
    ({"EXPTIME": (30.0, "exposure in seconds, 2 minutes of sky")}, 30.0),
    ({"FRAMETIM": 5.0, "FRAMETIME": 5.0}, None),
    ({}, None),
]


@pytest.mark.parametrize(("cards", "expected"), TIMES)
def test_exposure_times(cards, expected):
    """A time is a number under one of some keywords, in the unit of its comment."""
    header = fits.Header()
    for keyword, value in cards.items():
        header[f"HIERARCH {keyword}" if len(keyword) > 8 else keyword] = value
    found = exposure_time((header,), "a.fits")
    assert found == (None if expected is None else pytest.approx(expected))


def test_a_text_and_another_unit_are_said(caplog):
    """What was taken for a time though it is a text, or is not in seconds, is said."""
    with caplog.at_level(logging.WARNING):
        exposure_time((fits.Header({"EXPTIME": "30.0"}),), "a.fits")
        header = fits.Header()
        header["EXPTIME"] = (2500.0, "[ms]")
        exposure_time((header,), "b.fits")
    assert "a.fits has its exposure time as a text, EXPTIME='30.0'" in caplog.text
    assert "b.fits: EXPTIME is 2500.0, '[ms]': it is taken for 2.5 s" in caplog.text


def test_exposure_time_of_a_file(tmp_path):
    """The number of an exposure is not its time, in the image's header or the file's."""
    path = stars.star_file(tmp_path / "a.fits", EXPTIME=None, EXPOSURE="00003", XPOSURE=837.4)
    (image,) = io.inputs(path)
    assert image.exposure_time == image.count_time == 837.4
