"""Covariances and the noise factor through all that a mosaic may go through; and what is refused."""

from __future__ import annotations

import copy
import pickle
import sys
from contextlib import nullcontext

import numpy as np
import pytest
import scenes
from astropy.io import fits
from cuda_on_host import HostCUDA
from tolerances import EPS32

import gpures
from gpures.cli import main
from gpures.io import open_mosaic, read_mosaic
from gpures.io.median import median_of_parts
from gpures.mosaicking import tiling
from gpures.mosaicking.build import build
from gpures.mosaicking.plan import make_plan

SHAPE = (14, 17)
FRAME = scenes.frame_around(SHAPE, margin=6)
NAMES = ("covariance", "noise_factor")
BOTH = {"covariance": True, "noise_factor": True, "compute_err": "from_var", "variance_method": "propagated"}
SETTINGS = [BOTH, BOTH | {"covariance": 1}, BOTH | {"covariance": False}]
QUIET = {"progress": None, "backend": "cpu"}


def models_of(n=3):
    return scenes.dithered_models(SHAPE, n=n)


def made(models, backend="cpu", finalize=True, base=gpures.Resample, **options):
    return scenes.mosaic(base, models, FRAME, {"backend": backend, "good_bits": None, **options}, finalize)


def assert_same(got, expected, rtol=0.0):
    for name in (*NAMES, "covariance_lags"):
        assert (name in got) == (name in expected)
        if name in expected:
            scale = np.nanmax(np.abs(expected[name]))
            np.testing.assert_allclose(
                np.asarray(got[name]), expected[name], rtol=rtol, atol=rtol * scale, err_msg=name
            )


# ---- what it is ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["propagated", "stcal"])
@pytest.mark.parametrize("compute_err", ["from_var", "driz_err", None])
def test_of_a_mosaic(method, compute_err):
    """Lag (0, 0) is the propagated variance of the mosaic's data, whatever its variances are."""
    models = models_of()
    got = made(models, **BOTH | {"variance_method": method, "compute_err": compute_err}).output_model
    options = {"variance_method": "propagated", "compute_err": compute_err or "from_var"}
    err = made(models, **options).output_model["err"]
    there = got["wht"] != 0
    np.testing.assert_allclose(got["covariance"][0][there], err[there].astype(float) ** 2, rtol=20 * EPS32)
    assert np.isnan(got["covariance"][:, ~there]).all()
    assert np.isnan(got["noise_factor"][~there]).all()
    assert got["covariance"].dtype == got["noise_factor"].dtype == np.float32
    assert got["covariance"].shape == (len(got["covariance_lags"]), *FRAME.array_shape)
    plain = made(models, variance_method=method, compute_err=compute_err).output_model
    for name in ("data", "wht", "con", "var_rnoise"):
        np.testing.assert_array_equal(got[name], plain[name], name)


@pytest.mark.parametrize("method", ["propagated", "stcal"])
@pytest.mark.parametrize("kernel", ["square", "gaussian"])
def test_noise_factor_alone(own_backend, method, kernel):
    """It rides along with the other planes, which stay what they are, and is the same on each backend."""
    options = {"variance_method": method, "compute_err": "from_var", "kernel": kernel, "propagate_dq": True}
    with pytest.warns() if kernel == "gaussian" else nullcontext():
        plain = made(models_of(), own_backend, **options).output_model
        got = made(models_of(), own_backend, noise_factor=True, **options).output_model
        on_cpu = made(models_of(), "cpu", noise_factor=True, **options | {"enable_exptime_map": True}).output_model
    for name in ("data", "wht", "con", "dq", "err", *gpures.Resample.variance_array_names):
        np.testing.assert_allclose(got[name], plain[name], rtol=4 * EPS32, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(got["noise_factor"], on_cpu["noise_factor"], rtol=1e-5)
    assert np.nanmedian(got["noise_factor"]) > 1.2


def test_some_of_the_variances():
    """Of those that the error is made of."""
    options = {
        "error_from_variances": ["var_rnoise", "var_flat"],
        "output_array_types": gpures.Resample.output_array_types,
    }
    got = made(models_of(), base=type("Some", (gpures.Resample,), options), **BOTH).output_model
    there = got["wht"] != 0
    np.testing.assert_allclose(got["covariance"][0][there], got["err"][there] ** 2, rtol=20 * EPS32)
    total = sum(got[name] for name in ("var_rnoise", "var_flat"))
    np.testing.assert_allclose(got["covariance"][0][there], total[there], rtol=20 * EPS32)


def test_drops_that_reach_farther_come_later(own_backend):
    """Lags that are needed come with the exposure that needs them."""
    resample = gpures.Resample({"wcs": FRAME}, backend=own_backend, kernel="point", good_bits=None, **BOTH)
    models = models_of()
    resample.add_model(models[0])
    resample.kernel = "square"
    for model in models[1:]:
        resample.add_model(model)
    resample.finalize()
    err, there = resample.output_model["err"], resample.output_model["wht"] != 0
    np.testing.assert_allclose(resample.output_model["covariance"][0][there], err[there] ** 2, rtol=20 * EPS32)
    assert len(resample.output_model["covariance_lags"]) > 4


def test_lags_that_are_too_short(tmp_path, caplog, monkeypatch):
    """Drops that reach farther than the lags are told of once, with numbers, and again with each error."""
    monkeypatch.setattr(tiling, "GRAIN", 64)
    models, frame = models_of(), scenes.frame_around(SHAPE, ratio=0.4, margin=70)
    options = {"backend": "cpu", "good_bits": None, **BOTH | {"covariance": 1}}
    one, other = (scenes.mosaic(gpures.Resample, some, frame, options, False) for some in (models[:1], models[1:]))
    one.merge(other)
    one = pickle.loads(pickle.dumps(one))
    words = (
        "Covariances go to lags of 1, and drops fall on pixels that are 4 apart: pairs beyond 1 count as independent"
    )
    assert [record.message[: len(words)] for record in caplog.records] == [words] * 2
    one.finalize()
    caplog.clear()
    plan = make_plan(models, tmp_path / "m.fits", output_wcs=frame, covariance=1, **QUIET)
    plan.tiles = tiling.tiles_of(plan.shape, 64**2)
    build(plan, None)
    assert [record.message[: len(words)] for record in caplog.records] == [words]
    for model in (one.output_model, read_mosaic(tmp_path / "m.fits")):
        assert model["covariance_reach"] == 4
        with pytest.warns(UserWarning, match=words):
            gpures.aperture_error(model, np.isfinite(model["covariance"][0]))
    whole = made(models, **BOTH).output_model
    assert whole["covariance_reach"] == np.abs(whole["covariance_lags"]).max()
    gpures.aperture_error(whole, np.isfinite(whole["covariance"][0]))


# ---- what it goes through --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
@pytest.mark.parametrize("options", SETTINGS)
def test_copies(way, options):
    """A copy goes on as the first would, to the last bit."""
    models = models_of()
    begun = made(models[:1], finalize=False, **options)
    begun = way(begun)
    for model in models[1:]:
        begun.add_model(model)
    begun.finalize()
    assert_same(begun.output_model, made(models, **options).output_model)


@pytest.mark.parametrize("options", SETTINGS)
def test_merged(own_backend, options):
    """Parts are merged to what one go makes, into either backend; also where one of them has shorter lags."""
    models = models_of(4)
    expected = made(models, **options).output_model
    for first, second in ((own_backend, "cpu"), ("cpu", own_backend)):
        parts = [made(models[:1], first, False, **options), made(models[1:], second, False, **options)]
        parts[0].merge(parts[1])
        parts[0].finalize()
        assert_same(parts[0].output_model, expected, 20 * EPS32)
    empty = gpures.Resample({"wcs": FRAME}, backend=own_backend, good_bits=None, **options)
    empty.merge(made(models, "cpu", False, **options))
    empty.finalize()
    assert_same(empty.output_model, expected, 20 * EPS32)


def test_several_gpus(monkeypatch):
    """What they hold together is the mosaic; on the device where that is asked for."""
    monkeypatch.setitem(sys.modules, "cupy", HostCUDA(devices=2))
    models = models_of(4)
    for options in SETTINGS:
        expected = made(models, **options).output_model
        assert_same(made(models, "cuda", device=[0, 1], **options).output_model, expected, 20 * EPS32)
        here = made(models, "cuda", to_host=False, **options).output_model
        got = {
            name: here[name].get() if name in NAMES else here[name] for name in here if name.startswith(("cov", "noi"))
        }
        assert_same(got, expected, 20 * EPS32)


@pytest.mark.parametrize("options", SETTINGS)
def test_saved(tmp_path, options):
    """An unfinished mosaic is gone on with, to the last bit."""
    models = models_of()
    begun = made(models[:2], finalize=False, **options)
    begun.save(tmp_path / "begun")
    begun = gpures.Resample.load(tmp_path / "begun")
    begun.add_model(models[2])
    begun.finalize()
    assert_same(begun.output_model, made(models, **options).output_model)


@pytest.mark.filterwarnings("ignore:Covariances go to lags of 1")
@pytest.mark.parametrize(
    ("name", "covariance"), [("m.fits", True), ("m.fits.gz", 1), ("m.asdf", True), ("m.zarr", True)]
)
def test_files(tmp_path, name, covariance):
    """What is written is read back, with the lags and the median of the noise factor."""
    path = tmp_path / name
    options = BOTH | {"covariance": covariance}
    expected = gpures.mosaic(models_of(), path, output_wcs=FRAME, **QUIET, **options).model
    got = read_mosaic(path)
    assert_same(got, expected)
    region = np.isfinite(expected["covariance"][0])
    assert gpures.aperture_error(got, region) == gpures.aperture_error(expected, region)
    if ".fits" in name:
        np.testing.assert_allclose(got["header"]["NOISEFAC"], np.nanmedian(expected["noise_factor"]))
    if name == "m.zarr":
        assert_same(read_mosaic(path, lazy=True), expected)
        assert "cov_0_1" in open_mosaic(path)


def test_coverage_of_others(tmp_path):
    """An extension COV without lags holds no covariances."""
    header, image = scenes.fits_wcs(SHAPE).to_header(), np.ones(SHAPE, "f4")
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(image, header, "SCI"), fits.ImageHDU(image, header, "COV")]
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    got = read_mosaic(tmp_path / "a.fits")
    assert got["cov"].shape == SHAPE
    assert "covariance" not in got


def test_on_the_command_line(tmp_path, capsys):
    """The options are there, and their memory is counted."""
    for k, model in enumerate(models_of()):
        header = scenes.fits_wcs(SHAPE, shift=(0.3 * k, 0.2 * k)).to_header()
        hdus = [fits.PrimaryHDU(header=fits.Header({"EXPTIME": 10.0})), fits.ImageHDU(model["data"], header, "SCI")]
        hdus.append(fits.ImageHDU(model["var_rnoise"], name="VAR_RNOISE"))
        fits.HDUList(hdus).writeto(tmp_path / f"{k}.fits")
    paths = [str(tmp_path / f"{k}.fits") for k in range(3)]
    assert main(["mosaic", *paths, "-o", str(tmp_path / "m.fits"), "--covariance", "1", "--noise-factor"]) == 0
    assert read_mosaic(tmp_path / "m.fits")["covariance"].shape[0] == 5
    capsys.readouterr()
    sizes = [
        make_plan(paths, None, **QUIET, **options).frame for options in ({}, {"covariance": True}, {"covariance": 2})
    ]
    per_pixel = [layout.bytes / np.prod(layout.shape) for layout in sizes]
    np.testing.assert_allclose(np.subtract(per_pixel, per_pixel[0]), [0, 12 * 5, 12 * 13])


def test_tiles(tmp_path, monkeypatch):
    """What is made in tiles is that of the whole to the last bit, on a GPU to rounding."""
    monkeypatch.setattr(tiling, "GRAIN", 512)
    shape = (200, 220)
    models = scenes.dithered_models(shape, n=3)
    frame = scenes.frame_around(shape, ratio=0.3, margin=300)
    options = {"output_wcs": frame, "noise_factor": True, **QUIET}
    gpures.mosaic(models, tmp_path / "whole.zarr", **options)
    plan = make_plan(models, tmp_path / "tiles.zarr", **options)
    monkeypatch.setattr(type(plan), "available", property(lambda self: 90 << 20))
    tiled = gpures.mosaic(models, tmp_path / "tiles.zarr", **options)
    assert len(tiled.plan.tiles) > 3
    one, other = (read_mosaic(tmp_path / name)["noise_factor"] for name in ("tiles.zarr", "whole.zarr"))
    np.testing.assert_array_equal(one, other)


def test_tiles_on_a_gpu(tmp_path, cuda, monkeypatch):
    """Pairs across the borders of tiles are those of the whole."""
    monkeypatch.setattr(tiling, "GRAIN", 16)
    for options in ({"covariance": True}, {"covariance": 1}):
        options |= {"output_wcs": FRAME, "noise_factor": True, "progress": None}
        gpures.mosaic(models_of(), tmp_path / "whole.fits", backend="cpu", overwrite=True, **options)
        plan = make_plan(models_of(), tmp_path / "tiles.fits", backend="cuda", overwrite=True, **options)
        plan.tiles = tiling.tiles_of(plan.shape, 16**2)
        build(plan, None)
        got, expected = (read_mosaic(tmp_path / name) for name in ("tiles.fits", "whole.fits"))
        assert_same(got, expected, 20 * EPS32)
        np.testing.assert_allclose(got["header"]["NOISEFAC"], expected["header"]["NOISEFAC"], rtol=1e-6)


def test_other_noise_in_tiles(tmp_path, monkeypatch):
    """The first exposure says what noise is made of, whichever tiles it reaches."""
    monkeypatch.setattr(tiling, "GRAIN", 512)
    wcs = [scenes.imaging_wcs((60, 60), shift=(300 * k, 0)) for k in range(3)]
    models = [scenes.model_of(each, (60, 60), seed=k) for k, each in enumerate(wcs)]
    frame = scenes.frame_around((60, 60), margin=500)
    options = {"output_wcs": frame, "noise_factor": True, "covariance": 1, **QUIET}
    for lacking in (0, 2):
        models[lacking] |= {"var_flat": None}
        plan = make_plan(models, tmp_path / "m.zarr", **options)
        plan.tiles = tiling.tiles_of(plan.shape, 512**2)
        with pytest.raises(ValueError, match="need one kind of noise of all models"):
            build(plan, None)
    models[1] |= {"var_flat": None}
    plan = make_plan(models, tmp_path / "m.zarr", **options)
    plan.tiles = tiling.tiles_of(plan.shape, 512**2)
    build(plan, None)


@pytest.mark.parametrize("count", [0, 1, 2, 101, 100])
def test_medians_of_parts(count):
    """That of parts is numpy's, to the last bit."""
    rng = np.random.default_rng(count)
    image = np.concatenate([rng.normal(0, 1e3, count), np.full(7, np.nan)]).astype(np.float32)
    image[: count // 3] = rng.choice([-0.0, 1.5, np.inf], count // 3)
    expected = float(np.nanmedian(image)) if count else None
    assert median_of_parts(lambda: np.array_split(rng.permutation(image), 3)) == expected


# ---- what is refused -------------------------------------------------------------------------------------------------


class Handed(gpures.Resample):
    """A class whose hook hands everything on."""

    def resample_variance_arrays(self, **kwargs):
        super().resample_variance_arrays(**kwargs)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"backend": "drizzle"}, "use backend 'cpu' or 'cuda'"),
        ({"enable_var": False}, "needs the variance of input pixels, and there is none"),
        ({"base": Handed}, "need variances that come with the data, got a Handed"),
        ({"base": type("Many", (gpures.Resample,), {"variance_array_names": [*"abcdefghi"]})}, "at most 8 variance"),
    ],
)
def test_what_it_can_not_be_made_of(name, options, words):
    base = options.get("base", gpures.Resample)
    rest = {"backend": "cpu"} | {key: value for key, value in options.items() if key != "base"}
    with pytest.raises((TypeError, ValueError), match=words):
        base({"wcs": FRAME}, **{name: True}, **rest)


@pytest.mark.parametrize("value", [0, -1, 32, 1.5, "all", None])
def test_values(value):
    with pytest.raises((TypeError, ValueError), match="'covariance' must be"):
        gpures.Resample({"wcs": FRAME}, covariance=value)
    if value != 0:
        with pytest.raises(TypeError, match="'noise_factor' must be True or False"):
            gpures.Resample({"wcs": FRAME}, noise_factor=value)


def test_other_noise():
    """Models whose noise is made of other arrays are refused, and nothing of them is added; and so are mosaics."""
    models = models_of()
    begun = made(models[:1], finalize=False, **BOTH)
    for lacking in (["var_flat"], list(gpures.Resample.variance_array_names)):
        with pytest.raises(ValueError, match="need one kind of noise of all models"):
            begun.add_model(models[1] | dict.fromkeys(lacking))
    other = made([model | {"var_flat": None} for model in models[1:]], finalize=False, **BOTH)
    with pytest.raises(ValueError, match="'other' must have the noise of this mosaic"):
        begun.merge(other)
    with pytest.raises(ValueError, match="the 'covariance' of this mosaic, 'True', got '1'"):
        begun.merge(made(models[1:], finalize=False, **BOTH | {"covariance": 1}))
    begun.finalize()
    assert_same(begun.output_model, made(models[:1], **BOTH).output_model)


def test_lags_that_are_too_long():
    """Drops of more pixels than there may be lags are refused, before anything is added."""
    frame = scenes.frame_around(SHAPE, ratio=0.02, margin=6)
    resample = gpures.Resample({"wcs": frame}, backend="cpu", **BOTH)
    with pytest.raises(ValueError, match=r"covariance=True needs lags of .* there may be 31"):
        resample.add_model(models_of()[0])
    assert resample._accumulators.passes == 0


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.fits", {"covariance": 1, "noise_factor": True}),
        ("a.zarr", {"covariance": True, "noise_factor": True}),
        ("a.asdf", {"covariance": True, "variance_method": "propagated", "fillval": 3.0}),
        ("a.fits", {"noise_factor": True, "variance_method": "propagated"}),
        ("a.fits", {"noise_factor": True, "variance_method": "propagated", "compute_err": "driz_err"}),
    ],
)
def test_going_on(own_backend, tmp_path, name, options):
    """A finished mosaic tells its sums, as far as float32 goes; also where drops do not overlap with those before."""
    path, options = tmp_path / name, options | {"progress": None}
    models = models_of(4)
    models[0]["var_rnoise"][:3] = np.nan
    gpures.mosaic(models[:2], path, output_wcs=FRAME, backend="cpu", **options)
    gpures.mosaic(models[2:], add_to=path, backend=own_backend, progress=None)
    expected = gpures.mosaic(models, output_wcs=FRAME, backend="cpu", **options).model
    got = read_mosaic(path)
    assert_same(got, expected, 40 * EPS32)
    assert got.get("covariance_reach") == expected.get("covariance_reach")


def test_what_is_not_gone_on_with(tmp_path):
    """What a mosaic does not tell, it is refused for."""
    models = models_of()
    plain, told = tmp_path / "plain.fits", tmp_path / "told.fits"
    gpures.mosaic(models[:2], plain, output_wcs=FRAME, **QUIET)
    gpures.mosaic(models[:2], told, output_wcs=FRAME, noise_factor=True, **QUIET)
    with pytest.raises(ValueError, match="made with covariance=False, and can't be gone on with covariance=1"):
        gpures.mosaic(models[2:], add_to=plain, covariance=1, **QUIET)
    with pytest.raises(ValueError, match="it has 'noise_factor', whose sums are not in it"):
        gpures.mosaic(models[2:], add_to=told, **QUIET)
