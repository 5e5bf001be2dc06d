"""What a mosaic tells of what it is made of: planes with something in them, pixels that were used, headers, a table."""

from __future__ import annotations

import hashlib
import logging
import re
import shlex
import warnings
from pathlib import Path

import asdf
import files
import numpy as np
import pytest
import scenes
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS

import gpures
from gpures import io
from gpures.cli import main
from gpures.mosaicking.content import idle_exposures

SHAPE = (30, 34)
QUIET = {"backend": "cpu", "progress": False}


def image(path, data=1.0, extensions=None, shift=(0.0, 0.0), shape=SHAPE, **keywords):
    """A north-up FITS image, of one value or of an array, with further images by name and keywords."""
    header = scenes.fits_wcs(shape, shift=shift).to_fits()[0].header
    header.update({"EXPTIME": 30.0} | keywords)
    data = np.broadcast_to(np.float32(data), shape).copy()
    more = [fits.ImageHDU(array, name=name) for name, array in (extensions or {}).items()]
    fits.HDUList([fits.PrimaryHDU(data, header), *more]).writeto(path, overwrite=True)
    return path


def planes(path):
    """Names of the images in a mosaic's file."""
    if path.suffix == ".asdf":
        with asdf.open(path) as file:
            return {name for name, value in file.tree.items() if hasattr(value, "shape")}
    with fits.open(path) as hdus:
        return {hdu.name for hdu in hdus if hdu.is_image and hdu.header["NAXIS"]}


# Planes without content


@pytest.mark.parametrize("name", ["m.fits", "m.asdf"])
def test_what_no_exposure_had_is_neither_made_nor_written(tmp_path, name):
    """Of plain images there are no variances and no error, in memory, in the plan and in the file."""
    made = gpures.mosaic(image(tmp_path / "e.fits"), tmp_path / name, **QUIET)
    few = {"SCI", "WHT", "CON"} if name == "m.fits" else {"data", "wht", "con"}
    assert planes(tmp_path / name) == few
    assert made.plan.frame.variance_names == ()
    assert not {"err", "var_rnoise", "var_flat", "var_poisson"} & made.model.keys()
    assert np.nanmedian(gpures.mosaic(tmp_path / name, **QUIET).model["data"]) == pytest.approx(1.0)


def test_what_one_exposure_had_is_made(tmp_path):
    """Of an image with an error beside one without there is one variance, where that error is."""
    paths = [image(tmp_path / "a.fits"), image(tmp_path / "b.fits", extensions={"ERR": np.full(SHAPE, 0.1, "f4")})]
    made = gpures.mosaic(paths, tmp_path / "m.fits", **QUIET)
    assert planes(tmp_path / "m.fits") == {"SCI", "WHT", "CON", "VAR_RNOISE", "ERR"}
    assert np.nanmax(made.model["err"]) == pytest.approx(0.1)


def test_flags_that_no_exposure_has(tmp_path, caplog):
    """There is no DQ image of files without flags, which is said; but flags of empty pixels are something."""
    path = image(tmp_path / "e.fits")
    assert gpures.mosaic(path, propagate_dq=True, **QUIET).model["dq"] is None
    assert "No exposure has DQ flags" in caplog.text
    assert gpures.mosaic(path, propagate_dq=True, dq_of_empty=1, **QUIET).model["dq"] is not None


def test_planes_that_turn_out_empty(tmp_path):
    """Variances that are NaN in all pixels are not in the mosaic, nor in a file that `gpures.io.write` makes."""
    models = scenes.dithered_models(SHAPE, 2)
    for model in models:
        model["var_flat"] = np.full_like(model["var_flat"], np.nan)
        del model["var_poisson"]
    wcs = gpures.mosaic(models, **QUIET).wcs
    for inputs in (models, (model | {"var_poisson": None} for model in models)):
        made = gpures.mosaic(inputs, tmp_path / "m.fits", output_wcs=wcs, overwrite=True, **QUIET)
        assert {"var_flat", "var_poisson"} & made.model.keys() == set()
        assert planes(tmp_path / "m.fits") == {"SCI", "ERR", "CON", "WHT", "VAR_RNOISE"}
    io.write(tmp_path / "w.fits", made.model | {"var_flat": np.full(wcs.array_shape, np.nan, "f4")})
    assert "VAR_FLAT" not in planes(tmp_path / "w.fits")


# Exposures and mosaics without weight

FIRST = np.arange(SHAPE[0])[:, None] == 0
ERR = np.where(FIRST, 1.0, np.full(SHAPE, np.inf)).astype("f4")  # of one row, whose data are NaN
BAD = {
    "1020 NaN or infinite": {"data": np.nan},
    "1020 flagged as bad (DQ 4+16)": {"extensions": {"DQ": np.full(SHAPE, 20, "i2")}},
    "34 NaN or infinite, 986 without weight": {"data": np.where(FIRST, np.nan, 1.0), "extensions": {"ERR": ERR}},
    "34 NaN or infinite, 30 flagged as bad (DQ 1), 956 without weight": {
        "data": np.where(FIRST, np.nan, 1.0),
        "extensions": {
            "DQ": (np.arange(1020).reshape(SHAPE) // 34 == 1).astype("u1") * (np.arange(34) < 30),
            "ERR": ERR,
        },
    },
}


@pytest.mark.parametrize("words", BAD)
def test_exposures_without_weight(tmp_path, caplog, capsys, words):
    """One none of whose pixels can be used is left out, with the reason; of nothing else there is no mosaic."""
    bad = image(tmp_path / "bad.fits", **BAD[words])
    good = image(tmp_path / "good.fits", 2.0)
    made = gpures.mosaic([bad, good], tmp_path / "m.fits", **QUIET)
    assert f"bad.fits[PRIMARY]: none of its 1020 pixels can be used: {words}" in caplog.text
    assert made.added == ["good.fits[PRIMARY]"]
    assert made.model["exposure_time"] == 30.0
    assert words in " ".join(made.report.split())
    assert main(["mosaic", str(bad), "-o", str(tmp_path / "n.fits"), "-q"]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "n.fits").exists()


def test_pixels_outside_of_the_frame(tmp_path, caplog, capsys):
    """An exposure of which only bad pixels reach the frame is told of; a mosaic of such alone is an error."""
    data = np.ones(SHAPE)
    data[:, :20] = np.nan  # the frame holds the first 14 columns
    other = image(tmp_path / "other.fits", shift=(20.0, 0.0))
    half = image(tmp_path / "half.fits", data)
    gpures.mosaic([half, other], output_wcs=other, **QUIET)
    assert "half.fits[PRIMARY]: nothing of it is in the mosaic" in caplog.text
    arguments = ["mosaic", str(half), "--like", str(other), "-q", "-o", str(tmp_path / "m.fits")]
    assert main(arguments) == 1
    assert "none of their pixels that can be used lies in its frame" in capsys.readouterr().err
    assert not (tmp_path / "m.fits").exists()


def test_idle_exposures_of_many():
    """Whose bit is nowhere in the context is idle, in whichever plane it would be."""
    context = np.zeros((2, 3, 4), np.int32)
    context[0, 1, 2], context[0, 0, 0] = 1 << 1, np.int32(-(1 << 31))
    context[1, 2, 3] = 1 << 0 | 1 << 3
    assert sorted(set(range(37)) - set(idle_exposures(context, 37))) == [1, 31, 32, 35]


def test_counts(tmp_path):
    """The report tells how many pixels of each exposure were used, and how many of the mosaic have data."""
    data = np.ones(SHAPE)
    data[:2] = np.nan
    flags = np.eye(*SHAPE, dtype="i2")
    paths = [image(tmp_path / "a.fits", data), image(tmp_path / "b.fits", extensions={"DQ": flags})]
    made = gpures.mosaic(paths, output_wcs=paths[0], **QUIET)
    assert made.used == [1020 - 68, 1020 - 30]
    assert made.data_pixels == np.count_nonzero(made.model["wht"])
    words = made.report.splitlines()
    assert [line.split() for line in words[1:3]] == [
        ["a.fits[PRIMARY]", "952", "pixels", "used"],
        ["b.fits[PRIMARY]", "990", "pixels", "used"],
    ]
    assert f"{made.data_pixels} pixels of 1020" in made.report


def test_sums_of_weights(tmp_path):
    """They are those of the pixels that are used: inverse variances, or times."""
    (model,) = scenes.dithered_models(SHAPE, 1)
    model["measurement_time"] = 50.0
    good = model["dq"] & ~np.uint32(1) == 0
    variance = model["var_rnoise"][good]
    (record,) = gpures.mosaic(model, good_bits=1, **QUIET).exposures
    assert record.weight == pytest.approx(np.sum(1 / variance[variance > 0], dtype=float), rel=1e-5)
    (record,) = gpures.mosaic(model, good_bits=1, weight_type="exptime", **QUIET).exposures
    assert record.weight == 50.0 * record.used == 50.0 * np.count_nonzero(good)


def test_models_without_weight(caplog):
    """The same for models in memory, masked ones included, and names of flags."""
    models = scenes.dithered_models(SHAPE, 3)
    models[0]["dq"][:] = 1
    models[1]["data"] = np.ma.masked_array(models[1]["data"], True)
    with caplog.at_level(logging.WARNING):
        made = gpures.mosaic(models, good_bits="~1", **QUIET)
    assert len(made.added) == 1
    assert caplog.text.count("can be used") == 2


# What the headers said


def header_of(path):
    """Keywords of a mosaic, FITS or ASDF."""
    return io.read_mosaic(path)["header"]


def exposures(folder, n=3, **keywords):
    """Exposures that differ in what exposures differ in: place, date, seeing."""
    agreed = {"TELESCOP": "CTIO 4.0-m", "INSTRUME": "Mosaic2", "FILTER": "r", "OBJECT": "M 8", "PI": "A. Nonymous"}
    agreed |= {
        "PROPOSID": "2001A-0042",
        "BUNIT": "adu/s",
        "GAIN": 2.5,
        "MAGZPT": 25.0,
        "HIERARCH ESO INS MODE": "IMAGE",
    }
    return [
        image(
            folder / f"e{k}.fits",
            1.0 + k,
            shift=(0.5 * k, 0.25 * k),
            **agreed
            | {"DATE-OBS": f"2001-02-03T04:0{k}:00.5", "EXPTIME": 30.0 + 10 * k, "SATURATE": 5e4 - k, "SEEING": 1 + k}
            | keywords,
        )
        for k in range(n)
    ]


@pytest.mark.parametrize("name", ["m.fits", "m.asdf", "m.fits.gz"])
def test_what_exposures_agree_on(tmp_path, name):
    """The mosaic has what all say, and times of all; neither what differs nor what describes an array."""
    gpures.mosaic(exposures(tmp_path), tmp_path / name, pixel_scale_ratio=0.7, **QUIET)
    header = header_of(tmp_path / name)
    agreed = {"TELESCOP": "CTIO 4.0-m", "INSTRUME": "Mosaic2", "FILTER": "r", "OBJECT": "M 8", "PI": "A. Nonymous"}
    agreed |= {"PROPOSID": "2001A-0042", "MAGZPT": 25.0, "ESO INS MODE": "IMAGE"}
    assert agreed.items() <= header.items()
    assert not {"SEEING", "CRPIX1", "CTYPE1", "CD1_1", "SIMPLE", "NAXIS", "BITPIX", "EXPOSURE"} & header.keys()
    start = Time("2001-02-03T04:00:00.5")
    assert header["DATE-OBS"] == header["DATE-BEG"] == "2001-02-03T04:00:00.500"
    assert header["DATE-END"] == "2001-02-03T04:02:50.500"
    assert header["MJD-BEG"] == pytest.approx(start.mjd, abs=1e-9)
    assert (header["MJD-END"] - start.mjd) * 86400 == pytest.approx(170.0, abs=1e-3)
    middles, times = np.array([15.0, 60 + 20, 120 + 25]), np.array([30.0, 40, 50])
    assert (header["MJD-AVG"] - start.mjd) * 86400 == pytest.approx(np.average(middles, weights=times), abs=1e-3)
    assert "SATURATE" not in header  # of smaller pixels it is another one
    assert header["GAIN"] == pytest.approx(2.5 * 120.0)
    assert io.read_mosaic(tmp_path / name)["exposure_time"] == 120.0


def test_what_differs(tmp_path):
    """Filters that differ are MULTIPLE; what only some have is left out; a gain of rates goes with the time."""
    paths = exposures(tmp_path, 2)
    fits.setval(paths[1], "FILTER", value="i")
    fits.delval(paths[1], "OBJECT")
    gpures.mosaic(paths, tmp_path / "m.fits", allow_mixed=True, **QUIET)
    header = header_of(tmp_path / "m.fits")
    assert header["FILTER"] == "MULTIPLE"
    assert header["SATURATE"] == 5e4 - 1
    assert "OBJECT" not in header
    assert header["GAIN"] == pytest.approx(2.5 * 70.0)
    gpures.mosaic(exposures(tmp_path, 2, BUNIT="electron/s"), tmp_path / "m.fits", overwrite=True, **QUIET)
    assert "GAIN" not in header_of(tmp_path / "m.fits")


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        (("CLEAR1L", "F814W"), ("F814W", "CLEAR2L"), ("CLEAR1L", "F814W")),
        (("f814w ", "CLEAR2L"), ("F814W", "CLEAR2L"), ("f814w", "CLEAR2L")),
        (("CLEAR1L", "F814W"), ("F606W", "CLEAR2L"), ("MULTIPLE", "MULTIPLE")),
        (("POL0V", "F814W"), ("POL60V", "F814W"), ("MULTIPLE", "F814W")),
    ],
)
def test_filters_in_wheels(tmp_path, one, other, told):
    """Filters differ where what was in the beam does, in whatever wheel and spelling."""
    paths = [
        image(tmp_path / f"{k}.fits", 1.0 + k, FILTER1=filters[0], FILTER2=filters[1])
        for k, filters in enumerate((one, other))
    ]
    gpures.mosaic(paths, tmp_path / "m.fits", allow_mixed=True, **QUIET)
    header = header_of(tmp_path / "m.fits")
    assert (header["FILTER1"], header["FILTER2"]) == told
    assert "DURATION" not in header  # which nobody told


def test_without_dates(tmp_path):
    """Of exposures without dates the mosaic has none; with an end that nobody tells it is the start and the time."""
    paths = [image(tmp_path / f"{k}.fits", shift=(k, 0)) for k in range(2)]
    gpures.mosaic(paths, tmp_path / "m.fits", **QUIET)
    assert not {"DATE-OBS", "MJD-AVG", "MJD-BEG"} & header_of(tmp_path / "m.fits").keys()
    fits.setval(paths[0], "DATE-OBS", value="31/12/98")
    fits.setval(paths[1], "MJD-OBS", value=52000.5)
    gpures.mosaic(paths, tmp_path / "m.fits", overwrite=True, **QUIET)
    header = header_of(tmp_path / "m.fits")
    assert header["MJD-BEG"] == pytest.approx(Time("1998-12-31").mjd)
    assert header["MJD-END"] == pytest.approx(52000.5 + 30 / 86400)


@pytest.mark.parametrize(
    "header",
    [
        {"DATE-OBS": "2001-02-03T04:05:06"},
        {"DATE-OBS": "2001-02-03T04:05:06Z"},
        {"DATE-OBS": "2001-02-03 04:05:06"},
        {"DATE-OBS": "2001-02-03", "TIME-OBS": "04:05:06"},
        {"DATE-OBS": "2001-02-03", "UT": "04:05:06"},
        {"DATE-BEG": "", "DATE-OBS": "2001-02-03T04:05:06"},
    ],
)
def test_dates_as_headers_have_them(tmp_path, header):
    """A date and a time of day, in one keyword or two."""
    path = image(tmp_path / "a.fits")
    for keyword, value in header.items():
        fits.setval(path, keyword, value=value)
    gpures.mosaic(path, tmp_path / "m.fits", **QUIET)
    assert header_of(tmp_path / "m.fits")["DATE-BEG"] == "2001-02-03T04:05:06.000"


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ({"FILTER1": "CLEAR1L", "FILTER2": "F814W"}, "F814W"),
        ({"FILTER": "F150W2", "PUPIL": "F162M"}, "F150W2+F162M"),
        ({"FILTER": "Sloan_r", "FILTER1": "sloan r", "FILTER2": "open"}, "sloan r"),
        ({"INSFLNAM": "N708"}, "N708"),
        ({"FILTER": "unknown", "BAND": "Ks"}, "Ks"),
        ({"FILTER": "NONE"}, None),
    ],
)
def test_filters_in_the_table(tmp_path, header, told):
    """Wheels that are open, and what nobody knows, are no filters; two names of one are one."""
    path = image(tmp_path / "a.fits")
    for keyword, value in header.items():
        fits.setval(path, keyword, value=value)
    gpures.mosaic(path, tmp_path / "m.fits", **QUIET)
    (record,) = io.read_mosaic(tmp_path / "m.fits")["exposures"]
    assert record.get("filter") == told


def test_models(tmp_path):
    """Models in memory have no headers, but times, and may lack these."""
    models = scenes.dithered_models(SHAPE, 2)
    models[0] |= {"start_time": 52000.5, "end_time": 52000.75}
    models[1] |= {"start_time": None, "end_time": None, "group_id": 7}
    gpures.mosaic(models, tmp_path / "m.fits", **QUIET)
    model = io.read_mosaic(tmp_path / "m.fits")
    assert (model["header"]["MJD-BEG"], model["header"]["MJD-END"]) == (52000.5, 52000.75)
    assert "MJD-AVG" not in model["header"]
    assert [each.get("start") for each in model["exposures"]] == [52000.5, None]
    assert model["exposures"][1]["group"] == "7"
    assert "digest" not in model["exposures"][0]


@pytest.mark.parametrize("mission", ["jwst", "hst"])
def test_a_mosaic_of_a_mission_is_no_exposure_of_it(tmp_path, mission):
    """A mosaic with TELESCOP and all is read as the mosaic that it is."""
    path = {"jwst": files.jwst_file, "hst": files.hst_file}[mission](tmp_path / "x_cal.fits")
    made = gpures.mosaic(path, tmp_path / "m.fits", **QUIET)
    assert header_of(tmp_path / "m.fits")["TELESCOP"] == mission.upper()
    (again,) = io.inputs(tmp_path / "m.fits")
    assert again.kind == "fits"
    np.testing.assert_array_equal(again.read()["data"], made.model["data"])


# The table of exposures, the history, checksums


@pytest.mark.parametrize("name", ["m.fits", "m.asdf"])
def test_table_of_exposures(tmp_path, name):
    """It names each exposure's file, digest, times, filter, unit, outline, pixels used and bit in the context."""
    paths = exposures(tmp_path, 3)
    gpures.mosaic(paths, tmp_path / name, **QUIET)
    found = io.read_mosaic(tmp_path / name)["exposures"]
    assert [each["name"] for each in found] == [f"e{k}.fits[PRIMARY]" for k in range(3)]
    for k, (each, path) in enumerate(zip(found, paths, strict=True)):
        assert each["digest"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert (each["plane"], each["bit"], each["used"], each["extension"]) == (0, k, 1020, "PRIMARY")
        assert each["weight"] == 1020.0
        assert (each["filter"], each["unit"], each["exposure_time"]) == ("r", "adu/s", 30.0 + 10 * k)
        assert each["start"] == pytest.approx(Time(f"2001-02-03T04:0{k}:00.5").mjd, abs=1e-9)
        words = each["footprint"].split()
        assert words[:2] == ["POLYGON", "ICRS"]
        corners = np.array(words[2:], float).reshape(4, 2)
        ny, nx = SHAPE
        expected = WCS(fits.getheader(path)).all_pix2world(
            [-0.5, nx - 0.5, nx - 0.5, -0.5], [-0.5, -0.5, ny - 0.5, ny - 0.5], 0
        )
        np.testing.assert_allclose(corners, np.transpose(expected), atol=1e-7)


def test_many_exposures_and_planes(tmp_path):
    """The table tells the plane of the context and the bit of exposure 33; chips of one file have one digest."""
    paths = [image(tmp_path / f"{k}.fits", k, shift=(0.1 * k, 0)) for k in range(31)]
    paths.append(files.hst_file(tmp_path / "j_flt.fits", unit="COUNTS/S"))
    for path in paths[:-1]:
        fits.setval(path, "BUNIT", value="ct/s")
    gpures.mosaic(paths, tmp_path / "m.fits", output_wcs=paths[-1], **QUIET)
    found = io.read_mosaic(tmp_path / "m.fits")["exposures"]
    assert [(each["plane"], each["bit"]) for each in found[-2:]] == [(0, 31), (1, 0)]
    assert found[-1]["digest"] == found[-2]["digest"]
    assert [each["extension"] for each in found[-2:]] == ["SCI,1", "SCI,2"]
    assert found[-1]["group"] == found[-2]["group"] == "j8bt00nyq"


def test_outline_in_another_system(tmp_path):
    """The outline is in ICRS whatever the exposure's coordinates are."""
    header = fits.getheader(image(tmp_path / "g.fits"))
    header.update({"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN", "CRVAL1": 30.0, "CRVAL2": 5.0})
    del header["RADESYS"]
    fits.writeto(tmp_path / "g.fits", np.ones(SHAPE, "f4"), header, overwrite=True)
    gpures.mosaic(tmp_path / "g.fits", tmp_path / "m.fits", **QUIET)
    (each,) = io.read_mosaic(tmp_path / "m.fits")["exposures"]
    ra, dec = map(float, each["footprint"].split()[2:4])
    sky = SkyCoord(*WCS(header).all_pix2world(-0.5, -0.5, 0), unit="deg", frame="galactic").icrs
    assert (ra, dec) == (pytest.approx(sky.ra.deg), pytest.approx(sky.dec.deg))


def test_history(tmp_path, monkeypatch):
    """The history is a command line that makes the same mosaic again, or a call from Python."""
    exposures(tmp_path, 2)
    monkeypatch.chdir(tmp_path)
    assert main(["mosaic", "e*.fits", "-o", "a name.fits", "-q", "--pixfrac", "0.8", "--no-variances"]) == 0
    lines = " ".join(io.read_mosaic("a name.fits")["history"])
    command = re.search(r"(gpures mosaic .*) options: ", lines)[1]
    assert command == "gpures mosaic 'e*.fits' -o 'a name.fits' -q --pixfrac 0.8 --no-variances"
    assert "pixfrac=0.8, kernel='square'" in lines
    first = fits.getdata("a name.fits", "SCI")
    assert main([*shlex.split(command)[1:], "--overwrite"]) == 0
    np.testing.assert_array_equal(fits.getdata("a name.fits", "SCI"), first)
    gpures.mosaic("e0.fits", "n.asdf", rotation=None, enable_ctx=False, **QUIET)
    (call, _) = io.read_mosaic("n.asdf")["history"]
    wanted = "gpures.mosaic(['e0.fits'], 'n.asdf', rotation=None, enable_ctx=False, backend='cpu')"
    assert call.endswith(wanted)


def test_long_words_in_the_history(tmp_path):
    """A path that is longer than a card is whole when it is read."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    path = image(folder / "e.fits")
    gpures.mosaic(path, tmp_path / "m.fits", **QUIET)
    assert f"gpures.mosaic(['{path}']," in " ".join(io.read_mosaic(tmp_path / "m.fits")["history"])


@pytest.mark.parametrize("length", [69, 70, 71, 72, 73, 143, 144, 145, 216])
def test_words_as_long_as_cards(tmp_path, length):
    """A line of the history has its blanks, also before and behind words that fill cards to the end."""
    line = " ".join(["one two", "x" * length, "three", "y" * length, "z" * length])
    model = gpures.mosaic(image(tmp_path / "e.fits"), **QUIET).model
    io.write(tmp_path / "m.fits", model, history=[line, line])
    assert " ".join(io.read_mosaic(tmp_path / "m.fits")["history"]) == f"{line} {line}"


def test_checksums(tmp_path):
    """All HDUs have checksums that astropy verifies; asdf verifies those of its blocks."""
    models = scenes.dithered_models(SHAPE, 2)
    gpures.mosaic(models, tmp_path / "m.fits", propagate_dq=True, **QUIET)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(tmp_path / "m.fits", checksum=True) as hdus:
            assert all({"CHECKSUM", "DATASUM"} <= set(hdu.header) for hdu in hdus)
            assert len(hdus) > 8
    gpures.mosaic(models, tmp_path / "m.asdf", **QUIET)
    content = bytearray((tmp_path / "m.asdf").read_bytes())
    with asdf.open(tmp_path / "m.asdf", validate_checksums=True, lazy_load=False) as file:
        assert file["data"].shape
    content[-5000] ^= 1
    (tmp_path / "m.asdf").write_bytes(content)
    with (
        pytest.raises(ValueError, match="checksum"),
        asdf.open(tmp_path / "m.asdf", validate_checksums=True, lazy_load=False),
    ):
        pass


@pytest.mark.parametrize("name", ["m.fits", "m.asdf"])
def test_written_as_it_was_read(tmp_path, monkeypatch, name):
    """What a mosaic tells of its exposures goes with it when it is read and written again."""
    monkeypatch.chdir(tmp_path)  # so that the history is the same wherever the tests are run
    gpures.mosaic(exposures(Path()), name, **QUIET)
    model = io.read_mosaic(name)
    for other in ("n.fits", "n.asdf"):
        io.write(other, model, unit="adu")
        again = io.read_mosaic(other)
        assert again["exposures"] == model["exposures"]
        assert again["header"]["INSTRUME"] == "Mosaic2"
        assert " ".join(again["history"]) == " ".join(model["history"])  # on cards of FITS, in shorter lines
