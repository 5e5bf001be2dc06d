"""Mosaics whose skies are matched and from which outliers are left out."""

from __future__ import annotations

import os

import files
import numpy as np
import pytest
import scenes
from astropy.io import fits

import gpures
from gpures import cli, io
from gpures.mosaicking.cleaning_options import CleaningOptions

SHAPE = (60, 64)
QUIET = {"backend": "cpu", "progress": False}
SKIES = (5.0, 6.0, 7.0, 5.5, 6.5)
CLEAN = {"match_sky": "match", "reject_outliers": True}


def hits_of(k):
    """Pixels of an exposure that are hit."""
    rng = np.random.default_rng(100 + k)
    hit = np.zeros(SHAPE, bool)
    hit[rng.integers(12, 48, 12), rng.integers(12, 50, 12)] = True
    return hit


def exposure(path, k, scale=1.0, unit="MJy/sr", planes=("ERR", "DQ"), **cards):
    """An exposure of noise on a sky of its own, with hits."""
    wcs = scenes.fits_wcs(SHAPE, rotation=2.0 * k, shift=(1.3 * k, -0.7 * k))
    header = wcs.to_fits()[0].header
    header.update({"BUNIT": unit, "EXPTIME": 10.0 + k, "OBS_ID": f"{k}"} | cards)
    data = np.random.default_rng(k).normal(SKIES[k], 0.1, SHAPE) + 30.0 * hits_of(k)
    made = {"ERR": np.full(SHAPE, 0.1 * scale, np.float32), "DQ": np.zeros(SHAPE, np.int16)}
    hdus = [fits.PrimaryHDU((data * scale).astype(np.float32), header)]
    fits.HDUList(hdus + [fits.ImageHDU(made[name], name=name) for name in planes]).writeto(path)
    return path


@pytest.fixture
def paths(tmp_path):
    folder = tmp_path / "exposures"
    folder.mkdir()
    return [exposure(folder / f"e{k}.fits", k) for k in range(5)]


def spread(model):
    """Greatest departure of a mosaic from its median, and that of the means of its 8 x 8 parts."""
    data = model["data"] - np.nanmedian(model["data"])
    ny, nx = (n // 8 * 8 for n in data.shape)
    with np.errstate(all="ignore"):
        parts = np.nanmean(data[:ny, :nx].reshape(8, ny // 8, 8, nx // 8), axis=(1, 3))
    return np.nanmax(np.abs(data)), np.nanmax(np.abs(parts))


@pytest.mark.parametrize("name", ["m.fits", "m.asdf"])
def test_clean_mosaic(paths, tmp_path, name):
    """Hits are gone and skies are one; the table, the report and the masks tell what was done."""
    before = [path.read_bytes() for path in paths]
    dirty = gpures.mosaic(paths, **QUIET)
    assert spread(dirty.model)[0] > 5.0
    made = gpures.mosaic(paths, tmp_path / name, save_masks=tmp_path / "masks", **CLEAN, **QUIET)
    most, parts = spread(made.model)
    assert most < 0.7  # at the rim, where an exposure is alone, hits are nobody's to tell
    assert parts < 0.1
    records = made.exposures
    levels = np.array([record.sky for record in records])
    np.testing.assert_allclose(levels, np.array(SKIES) - min(SKIES), atol=0.01)
    for k, (record, path) in enumerate(zip(records, paths, strict=True)):
        mask = fits.getdata(tmp_path / "masks" / f"{path.stem}_mask.fits", "MASK")
        assert mask[hits_of(k)].all()
        assert record.outliers == np.count_nonzero(mask) < 1.5 * np.count_nonzero(hits_of(k))
        assert record.used == mask.size - record.outliers
    assert f"{records[4].outliers} outliers" in made.report
    assert "skies by match (median), no outliers (snr 5 4 3.3, scale 1.2 0.7 0.15, maskpt 0.7)" in made.report
    told = io.read_mosaic(tmp_path / name)["exposures"]
    assert [each.get("outliers") for each in told] == [record.outliers for record in records]
    np.testing.assert_allclose([each.get("sky", 0.0) for each in told], levels, rtol=1e-12)
    assert [path.read_bytes() for path in paths] == before


def test_masks_do_the_same(paths, tmp_path):
    """Masks that were saved give the mosaic again, in which nothing is looked for."""
    made = gpures.mosaic(paths, reject_outliers=True, save_masks=tmp_path / "masks", **QUIET)
    again = gpures.mosaic(paths, masks=str(tmp_path / "masks" / "*_mask.fits"), **QUIET)
    for name in ("data", "wht", "con", "err"):
        np.testing.assert_array_equal(made.model[name], again.model[name])


def test_masks_of_others_stay(paths, tmp_path):
    """A mask that is there already is replaced on request, if gpures wrote it, and never if somebody else did."""
    options = {"reject_outliers": True, "save_masks": paths[0].parent, **QUIET}
    theirs = paths[1].with_name("e1_mask.fits")
    fits.writeto(theirs, np.zeros(SHAPE, np.uint8))
    before = theirs.read_bytes()
    for overwrite, words in ((False, "is there already"), (True, "is taken for the mask of e1.fits")):
        with pytest.raises(FileExistsError, match=rf"e1_mask\.fits {words}: 'save_masks' must be another folder"):
            gpures.mosaic(paths, tmp_path / "m.fits", overwrite=overwrite, **options)
        assert theirs.read_bytes() == before
        assert not paths[0].with_name("e0_mask.fits").exists()
    options["save_masks"] = tmp_path / "masks"
    gpures.mosaic(paths, **options)
    with pytest.raises(FileExistsError, match="is there already"):
        gpures.mosaic(paths, **options)
    gpures.mosaic(paths, overwrite=True, **options)
    fits.writeto(options["save_masks"] / "e1_mask.fits", np.zeros(SHAPE, np.uint8), overwrite=True)
    with pytest.raises(FileExistsError, match="is no mask that gpures wrote"):
        gpures.mosaic(paths, overwrite=True, **options)


def test_each_file_is_read_twice(paths, monkeypatch):
    """Not more often; and once where nothing is cleaned."""
    reads = []
    read = io.Input.read
    monkeypatch.setattr(io.Input, "read", lambda self, *args: reads.append(self.name) or read(self, *args))
    for options, times in ((CLEAN, 2), ({"match_sky": "match"}, 2), ({}, 1)):
        reads.clear()
        gpures.mosaic(paths, **options, **QUIET)
        assert sorted(reads) == sorted([f"e{k}.fits[PRIMARY]" for k in range(5)] * times)


def test_values_per_pixel(tmp_path):
    """Skies are matched on the scale of the mosaic: of counts of different times, and pixels of other areas."""
    paths = [
        exposure(tmp_path / f"{k}.fits", k, scale=time, unit="ct", EXPTIME=time)
        for k, time in enumerate((10.0, 20.0, 40.0, 10.0))
    ]
    made = gpures.mosaic(paths, pixel_scale_ratio=0.5, **CLEAN, **QUIET)
    assert made.unit == "ct/s"
    levels = np.array([record.sky for record in made.exposures])
    np.testing.assert_allclose(levels, (np.array(SKIES[:4]) - 5.0) / 4, atol=0.01)
    assert spread(made.model)[1] < 0.05


@pytest.mark.parametrize("ratio", [0.5, 3.0])
def test_mosaics_of_other_pixels(paths, ratio, caplog):
    """In mosaics of larger pixels what is in one of an exposure is found all the same; other means are theirs."""
    made = gpures.mosaic(paths, pixel_scale_ratio=ratio, combine="median", **CLEAN, **QUIET)
    for k, record in enumerate(made.exposures):
        assert np.count_nonzero(hits_of(k)) <= record.outliers < 1.5 * np.count_nonzero(hits_of(k))
    assert made.model["median"].shape == made.model["data"].shape
    assert spread(made.model)[0] < 0.7
    assert "Pixels of the frame" not in caplog.text


def test_chips_have_one_sky(tmp_path):
    """Chips of an exposure are moved together, and each has its mask."""
    paths = []
    for k in range(3):
        hdus = files.hst_hdus(shape=SHAPE, chips=2, tables=False, seed=k)
        for chip in (1, 2):
            hdus["SCI", chip].data[:] = np.random.default_rng(10 * k + chip).normal(100.0 * (k + 1), 1.0, SHAPE)
            hdus["ERR", chip].data[:] = 1.0
            hdus["SCI", chip].data[20, 20 + k] = 5000.0
        paths.append(tmp_path / f"j{k}_flc.fits")
        hdus.writeto(paths[-1])
    made = gpures.mosaic(paths, save_masks=tmp_path / "masks", **CLEAN, **QUIET)
    levels = [record.sky for record in made.exposures]
    assert levels[0::2] == levels[1::2]
    assert levels[2] > levels[0] == 0.0
    with fits.open(tmp_path / "masks" / "j1_flc_mask.fits") as hdus:
        assert [hdu.header["EXTVER"] for hdu in hdus[1:]] == [1, 2]


def test_models(paths):
    """Models in memory are cleaned as files are, and stay as they were."""
    models = [image.read() for path in paths for image in io.inputs(path)]
    arrays = [dict(model) for model in models]
    made = gpures.mosaic(models, **CLEAN, **QUIET)
    of_files = gpures.mosaic(paths, **CLEAN, **QUIET)
    np.testing.assert_array_equal(made.model["data"], of_files.model["data"])
    for model, before in zip(models, arrays, strict=True):
        assert all(model[key] is before[key] for key in before)


MISSIONS = {
    "jwst": lambda folder, k: files.jwst_file(folder / f"jw{k}_cal.fits", seed=k, rotation=3.0 * k),
    "roman": lambda folder, k: files.roman_file(folder / f"r{k}_cal.asdf", seed=k, rotation=3.0 * k),
    "hst": lambda folder, k: files.hst_file(folder / f"j8bt0{k}nyq_flt.fits", seed=k),
}


@pytest.mark.parametrize("mission", MISSIONS)
def test_missions(tmp_path, mission):
    """Files of the missions, with the flags that they forgive, and what they say of their sky."""
    if mission in ("jwst", "roman"):
        pytest.importorskip("stdatamodels" if mission == "jwst" else "roman_datamodels")
    exposures = [MISSIONS[mission](tmp_path, k) for k in range(3)]
    made = gpures.mosaic(exposures, tmp_path / "m.fits", match_sky="local", reject_outliers=True, **QUIET)
    assert len(made.exposures) == (6 if mission == "hst" else 3)
    of_files = gpures.flag_outliers(exposures, backend="cpu")
    for record, mask in zip(made.exposures, of_files.masks, strict=True):
        assert record.sky is not None
        assert 0 <= record.outliers < 0.2 * mask.size
    assert np.isfinite(made.model["data"]).any()


def test_few_exposures(paths, caplog):
    """Of one or two exposures most outliers can't be told, which is said."""
    gpures.mosaic(paths[:2], reject_outliers=True, **QUIET)
    assert "fewer than 3 exposures most are not found" in caplog.text
    caplog.clear()
    gpures.mosaic(paths[:3], reject_outliers=True, **QUIET)
    assert "most are not found" not in caplog.text


def test_a_level_that_is_there(paths):
    """What is known of a sky is not lost: what is found comes to it."""
    models = [image.read() for path in paths for image in io.inputs(path)]
    for k, model in enumerate(models):
        model |= {"level": 2.0 + k, "subtracted": False}
    made = gpures.mosaic(models, **CLEAN, **QUIET)
    of_files = gpures.mosaic(paths, **CLEAN, **QUIET)
    levels = np.array([[record.sky for record in each.exposures] for each in (made, of_files)])
    np.testing.assert_allclose(np.diff(levels), np.diff(levels, axis=1)[1:].repeat(2, 0), atol=1e-6)
    difference = made.model["data"] - of_files.model["data"]
    assert np.nanstd(difference) < 1e-5


@pytest.mark.parametrize("broken", ["read", "wrong"])
def test_skipped(paths, broken):
    """What can't be used is left out at the first look, or is an error; the others find their own."""
    if broken == "read":
        paths[1].write_bytes(paths[1].read_bytes()[:12000])
    else:
        with fits.open(paths[1]) as hdus:
            hdus[0].data[:] = np.nan
            hdus.writeto(paths[1], overwrite=True)
    made = gpures.mosaic(paths, skip_bad=True, **CLEAN, **QUIET)
    assert [record.name for record in made.exposures] == [f"e{k}.fits[PRIMARY]" for k in (0, 2, 3, 4)]
    levels = np.array([record.sky for record in made.exposures])
    np.testing.assert_allclose(levels, np.array(SKIES)[[0, 2, 3, 4]] - 5.0, atol=0.01)
    assert all(record.outliers >= 10 for record in made.exposures)


@pytest.mark.parametrize("name", ["m.fits", "m.asdf"])
def test_planes_beside_the_mean(paths, tmp_path, name):
    """A median and a clipped mean have no hits, the mosaic's unit and its frame; nothing is left out of the mean."""
    made = gpures.mosaic(paths, tmp_path / name, match_sky="match", combine=["median", "clipped"], fillval=-9, **QUIET)
    plain = gpures.mosaic(paths, match_sky="match", fillval=-9, **QUIET)
    np.testing.assert_array_equal(made.model["data"], plain.model["data"])
    inside = np.asarray(made.model["con"][0] == 31)  # of all five
    again = io.read_mosaic(tmp_path / name)
    for plane, noise in (("median", 0.075), ("clipped", 0.06)):
        image = made.model[plane]
        np.testing.assert_array_equal(again[plane], image)
        assert image[inside].std() < noise
        assert np.abs(image[inside] - np.median(plain.model["data"][inside])).max() < 0.4
        assert set(np.unique(image[made.model["wht"] == 0])) == {-9.0}
    assert np.abs(plain.model["data"][inside]).max() > 5.0
    assert "plane MEDIAN, plane CLIPPED" in " ".join(made.report.split())
    if name == "m.fits":
        assert fits.getheader(tmp_path / name, "MEDIAN")["BUNIT"] == fits.getheader(tmp_path / name, "SCI")["BUNIT"]
    # It is an exposure like others, and can be gone on with, without these planes.
    assert len(io.inputs(tmp_path / name)) == 1
    gpures.mosaic(paths[0], tmp_path / "c.fits", combine="median", **QUIET)
    on = gpures.mosaic(paths[1], tmp_path / "d.fits", add_to=tmp_path / "c.fits", **QUIET)
    assert "median" not in on.model


def test_mission_s_thresholds():
    """HST has AstroDrizzle's, others those of JWST; what is given counts before both."""
    assert CleaningOptions(reject_outliers=True).outliers({"hst"}).maskpt == 0.3
    assert CleaningOptions(reject_outliers=True).outliers({"hst", "fits"}).maskpt == 0.7
    given = CleaningOptions(reject_outliers=True, outlier_snr="6 5").outliers({"hst"})
    assert (given.snr, given.maskpt) == ((6.0, 5.0), 0.3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"match_sky": "mean"}, "'match_sky' must be one of"),
        ({"match_sky": "match", "sky_statistic": "sum"}, "'sky_statistic' must be one of"),
        ({"sky_statistic": "mean"}, "'sky_statistic' is of skies"),
        ({"outlier_grow": 3}, "'outlier_grow' is of outliers"),
        ({"save_masks": "x"}, "'save_masks' is of outliers"),
        ({"reject_outliers": True, "outlier_snr": 5}, "'outlier_snr' must be two or three numbers"),
        ({"reject_outliers": "yes"}, "'reject_outliers'"),
        ({"combine": "mean"}, "'combine' must be of 'median', 'clipped'"),
        ({"combine": "median", "add_to": "m.fits"}, "'combine' compares exposures"),
        ({"reject_outliers": True, "add_to": "m.fits"}, "'reject_outliers' compares exposures"),
    ],
)
def test_wrong_arguments(options, words):
    """They are found before a file is looked for."""
    with pytest.raises((TypeError, ValueError), match=words):
        gpures.mosaic("none.fits", **options, **QUIET)


def test_generators_have_one_look(paths):
    """Models that can't be looked at twice are refused."""
    models = (image.read() for path in paths for image in io.inputs(path))
    with pytest.raises(ValueError, match="looked at only once"):
        gpures.mosaic(models, output_wcs=paths[0], **CLEAN, **QUIET)


def test_command_line(paths, tmp_path, capsys, monkeypatch):
    """All of it in one command; a dry run says what would be done."""
    monkeypatch.chdir(paths[0].parent)
    options = ["e*.fits", "-o", str(tmp_path / "m.fits"), "--match-sky", "--reject-outliers", "--backend", "cpu"]
    assert cli.main(["mosaic", *options, "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "each exposure is read twice" in " ".join(told.split())
    assert "for exposures by themselves" in " ".join(told.split())
    assert cli.main(["mosaic", *options, "--save-masks", "masks", "--outlier-snr", "6", "5", "-q"]) == 0
    assert len(os.listdir("masks")) == 5
    assert cli.main(["mosaic", *options, "--sky-method", "local", "--overwrite", "-q"]) == 0
    assert min(fits.getdata(tmp_path / "m.fits", "INPUTS")["SKY"]) > 4.9
