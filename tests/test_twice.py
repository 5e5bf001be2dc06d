"""The same photons are in a mosaic once, whatever names they come under."""

from __future__ import annotations

import gzip
import os
import re
import shutil

import files
import numpy as np
import pytest
import scenes
from astropy.io import fits
from test_mosaic_tells import QUIET, SHAPE, exposures, image

import gpures
from gpures import io
from gpures.cli import main


def added(inputs, **options):
    """Names of what is in a mosaic."""
    return gpures.mosaic(inputs, **QUIET | options).added


def test_a_file_under_several_names(tmp_path, monkeypatch, caplog):
    """Named twice, by two patterns, by a link of either kind, through another folder: used once, and said once."""
    paths = exposures(tmp_path, 2)
    names = ["e0.fits[PRIMARY]", "e1.fits[PRIMARY]"]
    monkeypatch.chdir(tmp_path)
    os.symlink(paths[0], "symbolic.fits")
    os.link(paths[1], "hard.fits")
    (tmp_path / "folder").mkdir()
    shutil.move("symbolic.fits", "folder/symbolic.fits")
    for inputs in (
        [paths[0], *paths],
        ["e*.fits", "e?.fits"],
        [*paths, "folder/../e0.fits"],
        [*paths, "folder/symbolic.fits"],
        [*paths, "hard.fits"],
        [*paths, io.inputs(paths[0])[0]],
    ):
        caplog.clear()
        made = gpures.mosaic(inputs, **QUIET)
        assert made.added == names
        assert made.model["exposure_time"] == 70.0
        assert caplog.text.count("is the same file as") == 1
        assert "used once" in made.report


def test_chips_of_a_file_named_twice(tmp_path):
    """Each chip is used once, and both are used."""
    path = files.hst_file(tmp_path / "j_flt.fits")
    assert added([path, path], output_wcs=path) == ["j_flt.fits[SCI,1]", "j_flt.fits[SCI,2]"]


def test_a_copy_shows_when_it_is_read(tmp_path, caplog):
    """A copy, as it is or packed, is used once; files that are alike in headers alone are not the same."""
    paths = exposures(tmp_path, 2)
    shutil.copy(paths[0], tmp_path / "copy.fits")
    (tmp_path / "packed.fits.gz").write_bytes(gzip.compress(paths[1].read_bytes()))
    more = [tmp_path / "copy.fits", tmp_path / "packed.fits.gz"]
    assert added([*paths, *more]) == ["e0.fits[PRIMARY]", "e1.fits[PRIMARY]"]
    assert caplog.text.count("is the same as") == 2
    data, header = fits.getdata(paths[0]), fits.getheader(paths[0])
    fits.writeto(tmp_path / "other.fits", np.full(SHAPE, 7, "f4"), header)
    assert len(added([*paths, tmp_path / "other.fits"])) == 3
    header["DATE"], header["FILENAME"] = "2020-01-01", "again.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(data, header)]).writeto(tmp_path / "again.fits", checksum=True)
    assert added([*paths, tmp_path / "again.fits"]) == ["e0.fits[PRIMARY]", "e1.fits[PRIMARY]"]
    packed = fits.CompImageHDU(data, header, compression_type="GZIP_1", quantize_level=0.0)
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(tmp_path / "again.fits.fz")
    assert added([*paths, tmp_path / "again.fits.fz"]) == ["e0.fits[PRIMARY]", "e1.fits[PRIMARY]"]
    for k in (1, 2):  # without a date, images that somebody made up may have the same pixels
        image(tmp_path / f"flat{k}.fits", DATE=f"2020-01-0{k}")
    assert len(added([tmp_path / "flat1.fits", tmp_path / "flat2.fits"])) == 2


def test_models_may_be_alike():
    """Models are taken as they are given."""
    (model,) = scenes.dithered_models(SHAPE, 1)
    assert len(added([model, model])) == 2


def test_two_products_of_an_exposure(tmp_path, caplog):
    """An HST exposure is known by its name and time, chip by chip, whatever was made of it."""
    flt = files.hst_file(tmp_path / "j8bt00nyq_flt.fits", seed=0)
    flc = files.hst_file(tmp_path / "j8bt00nyq_flc.fits", seed=0, unit="ELECTRONS/S")
    other = files.hst_file(tmp_path / "j8bt01nyq_flt.fits", seed=1)
    names = added([flt, flc, other], output_wcs=flt)
    assert names == [f"j8bt0{k}nyq_flt.fits[SCI,{chip}]" for k in (0, 1) for chip in (1, 2)]
    assert "j8bt00nyq_flc.fits is the same exposure as" in caplog.text


@pytest.mark.parametrize("name", ["m.fits", "m.asdf", "m.fits.gz"])
def test_a_mosaic_beside_its_exposures(tmp_path, caplog, name):
    """The exposures are taken, whatever they are called by now and in whatever order; another mosaic goes with them."""
    paths = exposures(tmp_path, 3)
    gpures.mosaic(paths[:2], tmp_path / name, **QUIET)
    gpures.mosaic(paths[2], tmp_path / f"other_{name}", **QUIET)
    for inputs in ([tmp_path / name, *paths], [*paths, tmp_path / name]):
        assert added(inputs) == [f"e{k}.fits[PRIMARY]" for k in range(3)]
    assert "the mosaic is left out, with all 2 exposures in it" in caplog.text
    renamed = tmp_path / "renamed.fits"
    paths[1].rename(renamed)
    assert added([tmp_path / name, renamed]) == ["renamed.fits[PRIMARY]"]
    assert len(added([tmp_path / name, paths[2]])) == 2
    assert len(added([tmp_path / name, tmp_path / f"other_{name}"])) == 2


def test_mosaics_that_share_exposures(tmp_path, caplog):
    """Of two mosaics with an exposure in common the first is taken."""
    paths = exposures(tmp_path, 3)
    gpures.mosaic(paths[:2], tmp_path / "a.fits", **QUIET)
    gpures.mosaic(paths[1:], tmp_path / "b.asdf", **QUIET)
    assert added([tmp_path / "a.fits", tmp_path / "b.asdf"]) == ["a.fits[SCI,1]"]
    assert "b.asdf shares exposures with" in caplog.text


def test_another_file_of_the_same_name(tmp_path):
    """A digest tells files of one name in two folders apart."""
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    one, other = image(tmp_path / "x" / "i.fits", 1.0), image(tmp_path / "y" / "i.fits", 2.0, shift=(3, 0))
    gpures.mosaic(one, tmp_path / "m.fits", **QUIET)
    assert added([tmp_path / "m.fits", other]) == ["m.fits[SCI,1]", "i.fits[PRIMARY]"]
    assert added([one, other]) == ["i.fits[PRIMARY]"] * 2


def test_drizzled_products_beside_their_inputs(tmp_path, caplog):
    """A _drz is known by the keywords of its inputs, a _i2d by its table."""
    flt = files.hst_file(tmp_path / "j8bt00nyq_flt.fits", chips=1)
    drz = image(
        tmp_path / "j8bt00010_drz.fits", TELESCOP="HST", D001DATA="j8bt00nyq_flt.fits[sci,1]", BUNIT="electron/s"
    )
    assert added([drz, flt], output_wcs=drz) == ["j8bt00nyq_flt.fits[SCI,1]"]
    assert "j8bt00010_drz.fits has j8bt00nyq_flt.fits[SCI,1] in it already" in caplog.text
    cal = image(tmp_path / "jw01234007001_02101_00003_nrcb5_cal.fits")
    i2d = image(tmp_path / "jw01234-o007_t001_nircam_f150w_i2d.fits")
    names = np.array(["jw01234007001_02101_00003_nrcb5_crf.fits"])
    table = fits.BinTableHDU.from_columns([fits.Column("FILENAME", "60A", array=names)], name="HDRTAB")
    with fits.open(i2d, "append") as hdus:
        hdus.append(table)
    assert added([i2d, cal]) == [f"{cal.name}[PRIMARY]"]


def test_on_the_command_line(tmp_path, capsys):
    """The mosaic of patterns that overlap is that of one of them."""
    exposures(tmp_path, 2)
    out = tmp_path / "m.fits"
    assert main(["mosaic", f"{tmp_path}/e*.fits", f"{tmp_path}/e0.fits", "-o", str(out)]) == 0
    assert fits.getheader(out)["NEXPOS"] == 2
    assert "is the same file as" in capsys.readouterr().out


# A gwcs beside FITS keywords


def mended(path, by):
    """Move the place of an image, in its FITS keywords alone, by seconds of arc."""
    fits.setval(path, "CRVAL2", extname="SCI", value=fits.getval(path, "CRVAL2", "SCI") + by / 3600)
    return path


def place(image):
    return float(np.ravel(gpures.wcs.transforms.pixel_to_world(image.wcs)(np.array([5.0]), np.array([5.0]))[1])[0])


def test_keywords_that_were_mended(tmp_path, caplog):
    """Of a mosaic of ours whose CRVAL was mended the keywords are taken, and it is said."""
    gpures.mosaic(image(tmp_path / "e.fits"), tmp_path / "m.fits", **QUIET)
    (before,) = io.inputs(tmp_path / "m.fits")
    assert "differ" not in caplog.text
    (after,) = io.inputs(mended(tmp_path / "m.fits", 0.01))
    assert (place(after) - place(before)) * 3600 == pytest.approx(0.01, abs=1e-6)
    assert "m.fits[SCI,1]: its gwcs and its FITS keywords differ by 0.159 pixels" in caplog.text
    (after,) = io.inputs(mended(tmp_path / "m.fits", 0.99))
    assert (place(after) - place(before)) * 3600 == pytest.approx(1.0, abs=1e-6)
    assert "m.fits[SCI,1]: its gwcs and its FITS keywords differ by 15.9 pixels" in caplog.text
    assert "FITS keywords are taken" in caplog.text
    frame = gpures.mosaic(tmp_path / "e.fits", output_wcs=tmp_path / "m.fits", **QUIET)
    np.testing.assert_allclose(frame.wcs.wcs.crval, after.wcs.wcs.crval, rtol=0, atol=1e-12)


def test_keywords_of_jwst(tmp_path, caplog):
    """Of JWST the gwcs is taken, as its pipeline does, and a difference is said."""
    path = files.jwst_file(tmp_path / "jw_cal.fits")
    (before,) = io.inputs(path)
    header = fits.Header(before.wcs.to_fits_sip())
    with fits.open(path, "update") as hdus:
        hdus["SCI"].header.update(
            {key: value for key, value in header.items() if key not in ("NAXIS", "NAXIS1", "NAXIS2")}
        )
    (same,) = io.inputs(path)
    assert "differ" not in caplog.text
    for by, pixels in ((0.04, r"0\.63\d"), (0.96, r"15\.[89]")):
        (after,) = io.inputs(mended(path, by))
        assert place(after) == place(same) == place(before)
        assert re.search(f"differ by {pixels} pixels: the gwcs is taken", caplog.text)
    (mended_one,) = io.inputs(path, reading=io.Reading(wcs="fits"))
    assert (place(mended_one) - place(before)) * 3600 == pytest.approx(1.0, abs=1e-2)
    by_keywords, by_gwcs = (gpures.mosaic(path, wcs=wcs, **QUIET).wcs(0, 0)[1] for wcs in ("fits", None))
    assert (by_keywords - by_gwcs) * 3600 == pytest.approx(1.0, abs=0.1)
    with pytest.raises(ValueError, match=r"'wcs' must be 'fits', 'gwcs' or None, got 'x'"):
        gpures.mosaic(path, wcs="x", **QUIET)
