"""Different exposures: times, zero points, units, filters and gains, brought to one scale or refused."""

from __future__ import annotations

import files
import numpy as np
import pytest
import stars
from astropy.io import fits
from stars import QUIET, total

import gpures
from gpures import cli, io
from gpures.mosaicking.plan import make_plan
from gpures.mosaicking.report import plan_text


def mosaic(inputs, **options):
    return gpures.mosaic(inputs, **QUIET | options)


@pytest.fixture
def make(tmp_path):
    """Files with a star, each a dict of keywords of `stars.star_file`."""

    def made(*each):
        return [stars.star_file(tmp_path / f"{k}.fits", **one) for k, one in enumerate(each)]

    return made


def counts(rate, time, unit="adu", **keywords):
    """What a star of a rate leaves in an exposure."""
    return {"flux": rate * time, "EXPTIME": time, "unit": unit, **keywords}


# What can be put right: the exposures, the unit and the flux of the mosaic

RIGHT = {
    "counts of one time": ((counts(100, 30.0), counts(100, 30.0)), {}, "adu", 3000.0),
    "counts of two times": ((counts(100, 30.0), counts(100, 300.0, "ADU")), {}, "adu/s", 100.0),
    "electrons of two times": ((counts(100, 300.0, "e-"), counts(100, 30.0, "ELECTRONS")), {}, "electron/s", 100.0),
    "counts per area of two times": (
        (counts(100, 30.0, "ct/arcsec2", per_pixel=False), counts(100, 300.0, "ct/arcsec2", per_pixel=False)),
        {},
        "ct s-1 arcsec-2",
        100.0 / 0.1**2,
    ),
    "counts and rates": ((counts(100, 30.0), {"flux": 100.0, "unit": "adu/s", "EXPTIME": 300.0}), {}, "adu/s", 100.0),
    "rates and counts": (({"flux": 100.0, "unit": "DN/s", "EXPTIME": 300.0}, counts(100, 30.0)), {}, "DN/s", 100.0),
    "rates per minute": (({"flux": 100.0}, {"flux": 6000.0, "unit": "adu/min"}), {}, "adu/s", 100.0),
    "rates of two times": (({"flux": 100.0, "EXPTIME": 3.0}, {"flux": 100.0, "EXPTIME": 300.0}), {}, "adu/s", 100.0),
    "zero points of rates": (({"flux": 100.0, "MAGZPT": 25.0}, {"flux": 250.0, "MAGZERO": 25.0 + 2.5 * np.log10(2.5)}),
                             {}, "adu/s", 100.0),
    "zero points that follow the times": (
        (counts(100, 30.0, MAGZPT=25.0), counts(100, 300.0, MAGZPT=27.5)),
        {},
        "adu",
        3000.0,
    ),
    "zero points of nights": (
        (counts(100, 30.0, MAGZPT=25.0), counts(100 * 10**0.08, 30.0, MAGZPT=25.2), counts(100, 300.0, MAGZPT=27.5)),
        {},
        "adu",
        3000.0,
    ),
    "zero points per second, as told": (
        (counts(100, 30.0, MAGZPT=25.0), counts(100, 300.0, MAGZPT=25.0)),
        {"flux_scale": "time"},
        "adu/s",
        100.0,
    ),
    "zero points of images, as told": (
        ({"flux": 100.0, "unit": "adu", "EXPTIME": 30.0, "ZPT": 25.0},
         {"flux": 200.0, "unit": "adu", "EXPTIME": 300.0, "ZPT": 25.0 + 2.5 * np.log10(2)}),
        {"flux_scale": "zpt"},
        "adu",
        100.0,
    ),
    "FLXSCALE": (({"flux": 100.0, "FLXSCALE": 1.0}, {"flux": 50.0, "FLXSCALE": 2.0}), {}, "adu/s", 100.0),
    "FLXSCALE of the first is not 1": (
        ({"flux": 50.0, "FLXSCALE": 2.0}, {"flux": 100.0, "FLXSCALE": 1.0}),
        {},
        "adu/s",
        100.0,
    ),
    "one FLXSCALE": (({"flux": 50.0, "FLXSCALE": 2.0}, {"flux": 50.0, "FLXSCALE": 2.0}), {}, "adu/s", 50.0),
    "FSCALE before zero points": (
        ({"flux": 100.0, "FSCALE": 3.0, "MAGZPT": 25.0}, {"flux": 50.0, "FSCALE": 6.0, "MAGZPT": 20.0}),
        {},
        "adu/s",
        300.0,
    ),
    "PHOTFLAM, which is of rates": (
        (counts(100, 30.0, "electron", PHOTFLAM=2e-19), counts(50, 300.0, "electron", PHOTFLAM=4e-19)),
        {},
        "electron/s",
        100.0,
    ),
    "PHOTMJSR": (
        ({"flux": 100.0, "unit": "DN/s", "PHOTMJSR": 0.4}, {"flux": 200.0, "unit": "DN/s", "PHOTMJSR": 0.2}),
        {},
        "DN/s",
        100.0,
    ),
    "a keyword of their own": (
        ({"flux": 100.0, "TRANSP": 1.0}, {"flux": 125.0, "TRANSP": 0.8}),
        {"flux_scale": "TRANSP"},
        "adu/s",
        100.0,
    ),
    "fluxes, whatever else is said": (
        ({"flux": 100.0, "unit": "nJy", "MAGZPT": 25.0, "EXPTIME": 3.0}, {"flux": 0.1, "unit": "uJy", "MAGZPT": 20.0}),
        {},
        "nJy",
        100.0,
    ),
    "a blank unit": ((counts(100, 30.0), counts(100, 300.0, None)), {}, "adu/s", 100.0),
    "no units, of counts, as told": (
        (counts(100, 30.0, None), counts(100, 300.0, None)),
        {"flux_scale": "time"},
        None,
        100.0,
    ),
    "no units, of rates, as told": (
        ({"flux": 100.0, "unit": None, "EXPTIME": 3.0}, {"flux": 100.0, "unit": None}),
        {"flux_scale": "none"},
        None,
        100.0,
    ),
    "no units and no times": (
        ({"flux": 100.0, "unit": None, "EXPTIME": None}, {"flux": 100.0, "unit": None, "EXPTIME": None}),
        {},
        None,
        100.0,
    ),
    "filters in other words": (
        ({"FILTER": "SDSS_r", "PUPIL": "CLEAR"}, {"FILTER": " sdss  R", "PUPIL": "clear"}, {"FILTER1": "CLEAR1L"}),
        {},
        "adu/s",
        1000.0,
    ),
    "filters that one does not tell": (
        ({"FILTER": "V"}, {"FILTER": ""}, {"FILTER": "N/A", "BAND": "J"}, {}),
        {},
        "adu/s",
        1000.0,
    ),
    "gains of electrons": (({"unit": "e-/s", "GAIN": 1.0}, {"unit": "electron/s", "GAIN": 2.0}), {}, "e-/s", 1000.0),
    "gains of calibrated ADU": (
        ({"GAIN": 1.0, "MAGZPT": 25.0}, {"flux": 500.0, "GAIN": 2.0, "MAGZPT": 25.0 - 2.5 * np.log10(2.0)}),
        {},
        "adu/s",
        1000.0,
    ),
    "gains of two nights": (({"GAIN": 1.0}, {"GAIN": 1.008}), {}, "adu/s", 1000.0),
    "gains of two chips": (({"GAIN": 1.0, "CCDNAME": "a"}, {"GAIN": 2.0, "CCDNAME": "b"}), {}, "adu/s", 1000.0),
}  # fmt: skip


@pytest.mark.parametrize("case", RIGHT)
def test_put_right(make, case):
    """Exposures are brought to one scale, and the mosaic has the flux that each of them has on it."""
    exposures, options, unit, flux = RIGHT[case]
    made = mosaic(make(*exposures), **options)
    assert made.unit == unit
    assert total(made) == pytest.approx(flux, rel=1e-4)


# What can't

WRONG = {
    "zero points that tell nothing": (
        (counts(100, 30.0, MAGZPT=25.0), counts(100, 300.0, MAGZPT=25.0)),
        r"1\.fits.*MAGZPT=25 and 300 s, 0\.fits.* 25 and 30 s.*'flux_scale' as 'time'.*as 'MAGZPT'",
    ),
    "a zero point of one": (
        ({"MAGZPT": 25.0}, {}),
        r"0\.fits\[PRIMARY\] has MAGZPT in its header, and 1\.fits\[PRIMARY\] nothing like that",
    ),
    "a zero point of the other": (({}, {"MAGZPT": 25.0}), r"1\.fits\[PRIMARY\] has MAGZPT in its header, and 0\.fits"),
    "a zero point that is none": (({"MAGZPT": 25.0}, {"MAGZPT": -99.0}), "nothing like that"),
    "no time": (
        (counts(100, 30.0), {"unit": "adu", "EXPTIME": None}),
        r"1\.fits\[PRIMARY\] has counts of an unknown exposure time, beside others",
    ),
    "filters": (
        ({"FILTER": "V"}, {"FILTER": "R"}),
        r"1\.fits\[PRIMARY\] is of the filter R, and 0\.fits\[PRIMARY\] of V",
    ),
    "wheels": (
        ({"FILTER1": "CLEAR1S", "FILTER2": "F814W"}, {"FILTER1": "F606W", "FILTER2": "CLEAR2S"}),
        r"of the filter F606W, and .* of F814W",
    ),
    "pupils": (({"PUPIL": "CLEAR", "FILTER": "F150W2"}, {"PUPIL": "F162M", "FILTER": "F150W2"}), "F162M.* no filter"),
    "bands": (({"BAND": "J"}, {"BAND": "H"}), "of the filter H, and .* of J"),
    "gains": (({"GAIN": 1.0}, {"GAIN": 2.0}), r"1\.fits.* has GAIN=2, and 0\.fits.* of the same chip 1"),
    "gains of two settings": (({"GAIN": 1.0}, {"GAIN": 1.05}), r"1\.fits.* has GAIN=1\.05"),
    "gains of a chip": (({"CCDGAIN": 1, "CCDCHIP": 2}, {"CCDGAIN": 7, "CCDCHIP": 2}), "has CCDGAIN=7"),
    "units": (({"unit": "adu"}, {"unit": "electron"}), r"the unit of 1\.fits.* is 'electron', that of 0\.fits.* 'adu'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_refused(make, caplog, case):
    """What can't be put right is an error that names the file; on request it is left out, or averaged all the same."""
    exposures, words = WRONG[case]
    paths = make(*exposures)
    with pytest.raises(io.FileError, match=words) as caught:
        mosaic(paths)
    assert caught.value.path == paths[1]
    made = mosaic(paths, skip_bad=True)
    assert [name for name, _ in made.skipped] == ["1.fits[PRIMARY]"]
    caplog.clear()
    assert len(mosaic(paths, allow_mixed=True).exposures) == 2
    assert "They are averaged as they are." in caplog.text


def test_times_without_a_unit(make, caplog):
    """Exposures of different times that may be of counts are averaged as they are, and it is said once."""
    made = mosaic(make(counts(100, 30.0, None), counts(100, 300.0, None), counts(101, 300.0, None)))
    assert caplog.text.count("of 30 to 300 s, and nobody knows their unit") == 1
    assert total(made) == pytest.approx((3000 + 30000 + 30300) / 3, rel=1e-4)
    caplog.clear()
    mosaic(make(counts(100, 30.0, None), counts(100, 30.1, None)))
    assert "nobody knows their unit" not in caplog.text


def test_options():
    """Options are checked before anything is read."""
    for options, words in (({"flux_scale": ""}, "'flux_scale' must be"), ({"allow_mixed": "yes"}, "'allow_mixed'")):
        with pytest.raises((TypeError, ValueError), match=words):
            mosaic("nowhere.fits", **options)


def test_a_keyword_that_is_not_there(make):
    """A keyword that was asked for, and that no header has, is an error."""
    with pytest.raises(io.FileError, match=r"0\.fits\[PRIMARY\] has no SCALE in its header"):
        mosaic(make({}, {}), flux_scale="SCALE")


def test_variances_go_with_the_square(make):
    """Exposures of two times have the weights that their variances give on one scale."""
    error = {"planes": {"ERR": np.full((64, 64), 6.0, "f4")}}
    short, long = counts(0.0, 2.0, **error), counts(0.0, 4.0, **error)
    paths = make(short, long)
    for path, value in zip(paths, (2.0, 8.0), strict=True):  # 1 and 2 per second, of variances 9 and 9/4
        with fits.open(path, mode="update") as hdus:
            hdus[0].data += value
    made = mosaic(paths)
    inner = (slice(5, -5),) * 2
    np.testing.assert_allclose(made.model["data"][inner], (1 / 9 + 2 * 4 / 9) / (5 / 9), rtol=1e-5)
    np.testing.assert_allclose(made.model["wht"][inner], 5 / 9, rtol=1e-5)
    np.testing.assert_allclose(made.model["var_rnoise"][inner], 9 / 5, rtol=1e-3)


def test_the_order_of_files(make):
    """In another order the mosaic is on another scale, and tells which."""
    paths = make({"flux": 100.0, "MAGZPT": 25.0}, {"flux": 250.0, "MAGZPT": 25.0 + 2.5 * np.log10(2.5)})
    for order, flux, zero_point in ((paths, 100.0, 25.0), (paths[::-1], 250.0, 25.0 + 2.5 * np.log10(2.5))):
        made = mosaic(order, output=paths[0].with_name("m.fits"), overwrite=True)
        assert total(made) == pytest.approx(flux, rel=1e-4)
        assert fits.getheader(made.path)["MAGZPT"] == pytest.approx(zero_point)


@pytest.mark.parametrize("name", ["m.fits", "m.asdf"])
def test_a_mosaic_of_counts(make, tmp_path, name):
    """A mosaic of counts tells the time that they are of, which is not the sum, and goes with other exposures by it."""
    paths = make(counts(100, 30.0), counts(100, 30.0, at=((0.5, 0.0),)), counts(100, 300.0))
    first = mosaic(paths[:2], output=tmp_path / name)
    assert (first.unit, first.model["exposure_time"]) == ("adu", 60.0)
    assert io.inputs(tmp_path / name)[0].count_time == 30.0
    made = mosaic([tmp_path / name, paths[2]])
    assert (made.unit, total(made)) == ("adu/s", pytest.approx(100.0, rel=1e-4))


@pytest.mark.parametrize("name", ["m.fits", "m.asdf"])
@pytest.mark.parametrize(("times", "of"), [((10.0, 20.0), None), ((10.0, None), None), ((10.0, 10.0), 10.0)])
def test_a_mosaic_of_several_times(make, tmp_path, name, times, of):
    """An average of values of an unknown unit and of several times is of none of these, and tells none."""
    paths = make(*({"flux": 90 + k, "unit": None, "EXPTIME": time} for k, time in enumerate(times)))
    mosaic(paths, output=tmp_path / name)
    image = io.inputs(tmp_path / name)[0]
    assert (image.count_time, "CNTTIME" in image.header) == (of, of is not None)
    assert image.exposure_time == sum(time or 1.0 for time in times)


def test_models_one_by_one(make):
    """Models that come from a generator are brought to the exposure time and the unit of the first."""
    paths = make(counts(100, 30.0), counts(100, 300.0), {"flux": 6000.0, "unit": "adu/min"})
    frame = stars.tan_wcs()
    made = mosaic((model for path in paths for model in io.read(path)), output_wcs=frame)
    assert (made.unit, total(made)) == ("adu", pytest.approx(3000.0, rel=1e-4))
    models = [model for path in paths for model in io.read(path)]
    made = mosaic(models, output_wcs=frame)
    assert (made.unit, total(made)) == ("adu/s", pytest.approx(100.0, rel=1e-4))


def test_hst_of_two_years(tmp_path):
    """HST's exposures, whose sensitivity changes with the years, are brought to the first's, and the report says so."""
    paths = []
    for k, flam in enumerate((1.0e-19, 1.02e-19)):
        hdus = files.hst_hdus(chips=1, tables=False, seed=k)
        hdus["SCI"].header["MDRIZSKY"] = 0.0
        hdus["SCI"].data[:] = 250.0 / flam * 1e-19
        hdus[0].header["PHOTFLAM"], hdus[0].header["FILTER1"] = flam, "F606W"
        hdus.writeto(tmp_path / f"j{k}_flt.fits")
        paths.append(tmp_path / f"j{k}_flt.fits")
    made = mosaic(paths, good_bits=None)
    assert np.nanstd(made.model["data"]) < 1e-5 * np.nanmean(made.model["data"])
    assert "flux scale      PHOTFLAM of all brought to 1e-19" in made.report
    assert made.report.count("1.02\n") == 1


def test_reports(make):
    """Plan and report say what was done, and by what each exposure was multiplied."""
    paths = make(counts(100, 30.0, MAGZPT=25.0), counts(100, 300.0, MAGZPT=27.5))
    for text in (plan_text(make_plan(paths, backend="cpu")), mosaic(paths).report):
        assert "flux scale      MAGZPT of all brought to 25" in text
        assert "1.fits[PRIMARY]                                   0.1" in text
    assert "flux scale      all alike" in mosaic(paths[:1]).report
    text = mosaic(make(counts(100, 30.0), counts(100, 300.0))).report
    assert "flux scale      counts per second" in text


def test_on_the_command_line(make, capsys):
    """The options are there under their names, and a mixture ends with 2 and the words for it."""
    paths = make({"FILTER": "V"}, {"FILTER": "R"})
    arguments = ["mosaic", *map(str, paths), "-o", str(paths[0].with_name("m.fits")), "-q", "--backend", "cpu"]
    assert cli.main(arguments) == 2
    assert "of the filter R, and 0.fits[PRIMARY] of V" in capsys.readouterr().err
    assert cli.main([*arguments, "--allow-mixed", "--values", "surface-brightness", "--flux-scale", "none"]) == 0
