"""What is left out of a mosaic, or does not reach its frame, has no say in the others' frame, unit, or planes."""

from __future__ import annotations

import numpy as np
import pytest
import starfield
from astropy.io import fits

import gpures
from gpures import io

QUIET = {"backend": "cpu", "progress": False}
SUN = {"CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN"}


@pytest.fixture
def exposure(tmp_path):
    """What makes a file in a system of coordinates, of a unit, with further images by name, and keywords."""

    def made(name, system="ICRS", unit="adu", planes=None, **cards):
        header = starfield.header_in(system)
        header.update({"BUNIT": unit, "OBS_ID": name} | cards)  # what is alike in everything is taken for a copy
        ones = np.ones(starfield.SHAPE, "f4")
        more = [fits.ImageHDU(ones, name=plane) for plane in planes or ()]
        fits.HDUList([fits.PrimaryHDU(ones, header), *more]).writeto(tmp_path / name)
        return tmp_path / name

    return made


@pytest.mark.parametrize(
    ("left_out", "system", "axis"),
    [
        ({"system": "Galactic", **SUN}, "Galactic", "GLON"),
        ({"system": "ICRS", **SUN, "unit": "MJy/sr"}, "Galactic", "GLON"),
        ({"system": "Galactic", **SUN}, "ICRS", "RA--"),
    ],
    ids=["coordinates", "coordinates and unit", "the sky of the others"],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_coordinates_that_cannot_be_converted(exposure, caplog, left_out, system, axis, is_first):
    """The frame is in the system of those that are used, and their unit is the mosaic's."""
    paths = [exposure("0.fits", system), exposure("1.fits", system)]
    paths.insert(0 if is_first else 2, exposure("x.fits", **left_out))
    made = gpures.mosaic(paths, skip_bad=True, **QUIET)
    assert made.added == ["0.fits[PRIMARY]", "1.fits[PRIMARY]"]
    assert [name for name, _ in made.skipped] == ["x.fits[PRIMARY]"]
    assert made.plan.output_wcs["wcs"].to_fits()[0]["CTYPE1"].startswith(axis)
    assert made.unit == "adu"
    assert "the frame is in" not in caplog.text


def test_units_that_cannot_be_converted(exposure, caplog):
    """An exposure that is left out for its unit leaves the frame in the system of the others."""
    paths = [exposure("0.fits", "Galactic"), exposure("1.fits", "ICRS", unit="MJy/sr")]
    made = gpures.mosaic(paths, skip_bad=True, **QUIET)
    assert made.added == ["0.fits[PRIMARY]"]
    assert made.plan.output_wcs["wcs"].to_fits()[0]["CTYPE1"].startswith("GLON")
    assert "the frame is in" not in caplog.text


def test_what_is_beside_the_frame(exposure, tmp_path):
    """An exposure elsewhere gives neither the unit nor planes, wherever it stands in the list."""
    far = exposure("far.fits", unit="MJy/sr", planes=["ERR", "DQ"], CRVAL1=10.0)
    near = exposure("near.fits")
    for paths in ([far, near], [near, far]):
        made = gpures.mosaic(paths, tmp_path / "m.fits", output_wcs=near, overwrite=True, **QUIET)
        assert (made.added, made.unit, made.plan.outside) == (["near.fits[PRIMARY]"], "adu", ["far.fits[PRIMARY]"])
        assert io.read_mosaic(tmp_path / "m.fits").keys().isdisjoint({"var_rnoise", "err", "dq"})
