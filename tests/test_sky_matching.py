"""Sky levels of exposures, found where they overlap: `gpures.match_sky`."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import scenes
from astropy.io import fits
from skies import SHAPE, exposures, model_at, wcs_at

import gpures
from gpures import io
from gpures.cleaning import Field, SkyOptions, SkySurvey

# Noise of the exposures is 1; what a level may be off by.
CLOSE = 0.01


@pytest.mark.parametrize("kind", ["gwcs", "fits"])
@pytest.mark.parametrize("statistic", ["mean", "median", "midpt"])
def test_levels_are_right_to_a_hundredth_of_the_noise(kind, statistic):
    models = exposures([5, 6, 7], kind=kind)
    match = gpures.match_sky(models, statistic=statistic)
    np.testing.assert_allclose(match.levels, [0, 1, 2], atol=CLOSE)
    assert [model["level"] for model in models] == list(match.levels)
    assert not any(model["subtracted"] for model in models)


def test_mode_is_right_within_what_a_histogram_tells():
    match = gpures.match_sky(exposures([5, 6, 7]), statistic="mode")
    np.testing.assert_allclose(match.levels, [0, 1, 2], atol=0.2)


@pytest.mark.parametrize(
    ("method", "match_down", "levels"),
    [
        ("match", True, [0, 1, 2]),
        ("match", False, [-2, -1, 0]),
        ("local", True, [5, 6, 7]),
        ("global", True, [5, 5, 5]),
        ("global+match", True, [5, 6, 7]),
        ("global+match", False, [5, 6, 7]),
    ],
)
def test_methods(method, match_down, levels):
    match = gpures.match_sky(exposures([5, 6, 7], stars=0), method, match_down=match_down)
    np.testing.assert_allclose(match.levels, levels, atol=0.03)


def test_nothing_of_a_model_changes_but_level_and_subtracted():
    models = exposures([5, 6])
    before = [dict(model) for model in models]
    copies = [{key: np.copy(value) for key, value in model.items() if np.ndim(value) == 2} for model in models]
    gpures.match_sky(models)
    for model, old, arrays in zip(models, before, copies, strict=True):
        assert {key for key in model if model[key] is not old[key]} <= {"level", "subtracted"}
        for name, array in arrays.items():
            np.testing.assert_array_equal(model[name], array)


def test_data_that_are_subtracted_are_new_arrays():
    models = exposures([5, 6])
    before = [model["data"] for model in models]
    kept = [array.copy() for array in before]
    match = gpures.match_sky(models, subtract=True)
    for model, old, copy, level in zip(models, before, kept, match.levels, strict=True):
        np.testing.assert_array_equal(old, copy)
        np.testing.assert_allclose(model["data"], copy - level, rtol=1e-6)
        assert model["data"].dtype == copy.dtype
        assert model["subtracted"] is True
        assert model["level"] == level


def test_mosaic_is_flat():
    """But for noise, which is that of the mosaic of the same exposures without a sky."""
    frame = scenes.fits_wcs((760, 780))
    skies, without = exposures([5, 6, 7]), exposures([0, 0, 0])
    for model in (*skies, *without):
        model["dq"] = np.where(np.isfinite(model["data"]), model["dq"], 1)
    gpures.match_sky(skies)
    made, right = (
        scenes.mosaic(gpures.Resample, models, frame, {"weight_type": "exptime", "enable_var": False}).output_model
        for models in (skies, without)
    )
    seen = right["wht"] > 0
    assert len(np.unique(right["con"][0][seen])) >= 7
    np.testing.assert_allclose((made["data"] - right["data"])[seen], 5.0, atol=CLOSE)


def test_files_are_only_read(tmp_path):
    paths = []
    for number, model in enumerate(exposures([5, 6, 7], kind="fits")):
        header = model["wcs"].to_fits(relax=True)[0].header
        header["EXPTIME"], header["BUNIT"] = 10.0, "ct/s"
        image, dq = fits.ImageHDU(model["data"], header, name="SCI"), fits.ImageHDU(model["dq"], name="DQ")
        paths.append(tmp_path / f"e{number}.fits")
        fits.HDUList([fits.PrimaryHDU(), image, dq]).writeto(paths[-1])
    before = [path.read_bytes() for path in paths]
    match = gpures.match_sky([paths[0], str(paths[1]), *io.inputs(paths[2])])
    np.testing.assert_allclose(match.levels, [0, 1, 2], atol=CLOSE)
    assert [name.partition("[")[0] for name in match.names] == ["e0.fits", "e1.fits", "e2.fits"]
    assert [path.read_bytes() for path in paths] == before


def test_exposures_of_a_group_are_moved_together():
    """The chips of one differ by 3, which stays."""
    models = exposures([5, 8, 6])
    models[0]["group_id"] = models[1]["group_id"] = "chips"
    match = gpures.match_sky(models, statistic="mean")
    assert match.levels[0] == match.levels[1]
    assert {(pair.first, pair.second) for pair in match.pairs} == {("exposure0.fits and 1 more", "exposure2.fits")}
    assert match.levels[0] - match.levels[2] == pytest.approx(0.5, abs=0.1)


def test_islands_are_named(caplog):
    far = {"ra": scenes.RA + 1.0}
    models = [
        model_at(sky, number, wcs=wcs_at(shift=(20.0 * number, 0.0), **(far if number > 1 else {})))
        for number, sky in enumerate([5, 6, 9, 7])
    ]
    with caplog.at_level(logging.WARNING, "gpures"):
        match = gpures.match_sky(models)
    assert match.islands == (("exposure0.fits", "exposure1.fits"), ("exposure2.fits", "exposure3.fits"))
    assert match.levels[1] - match.levels[0] == pytest.approx(1.0, abs=CLOSE)
    assert match.levels[2] - match.levels[3] == pytest.approx(2.0, abs=CLOSE)
    (record,) = caplog.records
    assert "exposure0.fits, exposure1.fits; exposure2.fits, exposure3.fits" in record.getMessage()


@pytest.mark.parametrize("method", ["match", "global+match"])
def test_exposures_that_tell_nothing(method, caplog):
    models = [*exposures([5, 6]), model_at(9, 2, wcs=wcs_at(ra=scenes.RA + 1.0)), model_at(7, 3)]
    models[3]["dq"] = models[3]["dq"] | 4
    with caplog.at_level(logging.WARNING, "gpures"):
        match = gpures.match_sky(models, method)
    text = caplog.text
    assert "not matched of exposure2.fits" in text
    assert "not known of exposure3.fits" in text
    if method == "match":
        assert match.levels[2:] == (None, None)
        assert models[3]["level"] is None
        assert models[3]["subtracted"] is None
    else:
        assert match.levels[2] == match.levels[3] == pytest.approx(5.0, abs=0.05)
    assert match.levels[1] - match.levels[0] == pytest.approx(1.0, abs=CLOSE)


@pytest.mark.parametrize("subtract", [False, True])
def test_levels_that_were_there_are_kept(subtract):
    models = exposures([5, 6, 7])
    models[0]["level"], models[0]["subtracted"] = 4.0, False
    models[1]["level"], models[1]["subtracted"] = 2.0, False
    match = gpures.match_sky(models, subtract=subtract)
    # What is left of the first is 1, of the second 4, of the third 7.
    np.testing.assert_allclose(match.levels, [4, 5, 6], atol=CLOSE)
    assert [model["level"] for model in models] == list(match.levels)
    again = gpures.match_sky(models, subtract=subtract)
    np.testing.assert_allclose(again.levels, [0, 0, 0] if subtract else [4, 5, 6], atol=CLOSE)
    np.testing.assert_allclose([model["level"] for model in models], [4, 5, 6], atol=CLOSE)


def test_level_that_has_been_subtracted_needs_subtract():
    models = exposures([5, 6])
    models[1]["level"], models[1]["subtracted"] = 3.0, True
    with pytest.raises(ValueError, match=r"exposure1\.fits.*subtract=True"):
        gpures.match_sky(models)
    assert models[0]["level"] is None
    match = gpures.match_sky(models, subtract=True)
    np.testing.assert_allclose(match.levels, [0, 1], atol=CLOSE)
    assert models[1]["level"] == pytest.approx(4.0, abs=CLOSE)


def test_survey_takes_exposures_in_any_order_and_one_by_one():
    models = exposures([5, 6, 7])
    fields = [Field(model["filename"], model["wcs"], model["data"].shape) for model in models]
    survey = SkySurvey(fields, SkyOptions())
    for number in (2, 0, 1):
        survey.measure(number, models[number]["data"], models[number]["dq"] == 0)
    assert survey.solve() == gpures.match_sky(models)


def test_masks_of_data_and_flags_count():
    models = exposures([5, 6, 7])
    expected = gpures.match_sky([dict(model) for model in models]).levels
    for model in models:
        hidden = np.zeros(SHAPE, bool)
        hidden[100:300, 200:400] = True
        right, left = np.indices(SHAPE)[1] > 300, np.indices(SHAPE)[1] <= 300
        model["data"] = np.ma.MaskedArray(np.where(hidden & right, 5e3, model["data"]), hidden & right)
        model["data"].data[hidden & left] = 5.5
        model["dq"] = np.ma.MaskedArray(model["dq"], hidden & left)
    match = gpures.match_sky(models, subtract=True)
    np.testing.assert_allclose(match.levels, expected, atol=CLOSE)
    assert all(model["data"].mask.sum() == 200 * 99 for model in models)


def test_images_of_another_shape_are_refused():
    model = model_at(5, shape=(20, 30), image={"stars": 0})
    survey = SkySurvey([Field("one", model["wcs"], (20, 30))], SkyOptions("local"))
    with pytest.raises(ValueError, match=r"'data' of one must have the shape \(20, 30\), got \(30, 20\)"):
        survey.measure(0, model["data"].T)
    with pytest.raises(ValueError, match=r"'usable' must have the shape"):
        survey.measure(0, model["data"], np.ones((30, 20), bool))
    survey.measure(0, model["data"])
    assert survey.solve().levels == pytest.approx([5.0], abs=0.3)


@pytest.mark.parametrize(
    ("units", "times", "words"),
    [
        (("MJy/sr", "mJy/arcsec2"), (10.0, 10.0), "in MJy/sr and mJy/arcsec2"),
        (("electron", "ELECTRONS"), (10.0, 20.0), r"counts \(electron\) of 10.0 and 20.0 s"),
        (("electron", "electron/s"), (10.0, 10.0), "in electron and electron/s"),
        (("electron", "ELECTRONS"), (10.0, 10.0), None),
        (("electron/s", "e-/s"), (10.0, 20.0), None),
        (("MJy/sr", None), (10.0, 20.0), None),
    ],
)
def test_values_that_cannot_be_compared_are_refused(units, times, words):
    models = exposures([5, 6], shape=(50, 50), stars=0)
    for model, unit, time in zip(models, units, times, strict=True):
        model["bunit_data"], model["exposure_time"] = unit, time
    gpures.match_sky([dict(model) for model in models], "local")
    if words is None:
        gpures.match_sky(models)
    else:
        with pytest.raises(ValueError, match=rf"exposure0\.fits and exposure1\.fits can't be compared.*{words}"):
            gpures.match_sky(models)


def test_report_tells_levels_and_overlaps():
    report = gpures.match_sky(exposures([5, 6])).report.splitlines()
    assert [line.split()[0] for line in report if line] == [
        "exposure",
        "exposure0.fits",
        "exposure1.fits",
        "overlap",
        "exposure0.fits",
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "mach"}, "'method' must be one of"),
        ({"statistic": "average"}, "'statistic' must be one of"),
        ({"lower": 3, "upper": 2}, "'lower' must not be above 'upper'"),
        ({"upper": np.nan}, "'upper' must be a number or None"),
        ({"nclip": -1}, "'nclip' must be between"),
        ({"lsigma": 0}, "'lsigma' must be positive"),
        ({"binwidth": 0.0}, "'binwidth' must be a number at least"),
        ({"good_bits": "nonsense"}, "'good_bits' is 'nonsense', and flags have names only"),
    ],
)
def test_arguments_that_are_wrong_are_named(options, words):
    models = exposures([5, 6], shape=(20, 20), stars=0)
    with pytest.raises(ValueError, match=words):
        gpures.match_sky(models, **options)


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (lambda models: models.clear(), ValueError, "is empty"),
        (lambda models: models.append(models[0]), ValueError, "the same model twice"),
        (lambda models: models.append(3), TypeError, "must be models"),
        (lambda models: models[1].pop("wcs"), KeyError, r"exposure1\.fits.*no 'wcs'"),
        (lambda models: models[1].update(data=np.zeros(3)), ValueError, r"exposure1\.fits.*shape \(3,\)"),
        (lambda models: models[1].update(dq=np.zeros(3, int)), ValueError, r"'dq' of model 'exposure1\.fits'"),
        (lambda models: models[1].update(level="x"), TypeError, r"'level' of model 'exposure1\.fits'"),
        (lambda models: models[1].update(wcs=3), TypeError, "'wcs' of model 'exposure1"),
        (
            lambda models: models[1].update(wcs=scenes.spectral_wcs((20, 20))),
            ValueError,
            r"exposure1\.fits.*image of the sky",
        ),
    ],
)
def test_models_that_are_wrong_are_named_and_nothing_is_changed(spoil, error, words):
    models = exposures([5, 6], shape=(20, 20), stars=0)
    first = models[0]
    spoil(models)
    with pytest.raises(error, match=words):
        gpures.match_sky(models)
    assert first["level"] is None
