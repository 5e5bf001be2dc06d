"""What a mosaic tells of what it is made of: planes with something in them, pixels that were used, headers, a table."""

from __future__ import annotations

import logging

import asdf
import numpy as np
import pytest
import scenes
from astropy.io import fits

import gpures
from gpures import io
from gpures.cli import main

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

ERR = np.full(SHAPE, np.inf, "f4")
BAD = {
    "1020 NaN or infinite": {"data": np.nan},
    "1020 flagged as bad (DQ 4+16)": {"extensions": {"DQ": np.full(SHAPE, 20, "i2")}},
    "1020 without weight": {"extensions": {"ERR": np.full(SHAPE, np.inf, "f4")}},
    "34 NaN or infinite, 30 flagged as bad (DQ 1), 956 without weight": {
        "data": np.where(np.arange(SHAPE[0])[:, None] == 0, np.nan, 1.0),
        "extensions": {
            "DQ": (np.arange(1020).reshape(SHAPE) // 34 == 1).astype("u1") * (np.arange(34) < 30),
            "ERR": np.full(SHAPE, np.inf, "f4"),
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


def test_models_without_weight(caplog):
    """The same for models in memory, masked ones included, and names of flags."""
    models = scenes.dithered_models(SHAPE, 3)
    models[0]["dq"][:] = 1
    models[1]["data"] = np.ma.masked_array(models[1]["data"], True)
    with caplog.at_level(logging.WARNING):
        made = gpures.mosaic(models, good_bits="~1", **QUIET)
    assert len(made.added) == 1
    assert caplog.text.count("can be used") == 2
