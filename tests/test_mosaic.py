"""Mosaics of exposures: planned from what is known before they are read, streamed, and reported."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import typing
import weakref
from dataclasses import dataclass

import numpy as np
import pytest
import scenes

import gpures
from gpures.io import FileError
from gpures.mosaicking import plan as plan_module
from gpures.mosaicking.cleaning_options import COMBINED
from gpures.mosaicking.plan import make_plan
from gpures.mosaicking.report import plan_text

SHAPE = (30, 34)
QUIET = {"backend": "cpu", "progress": False}


@dataclass
class Exposure:
    """An exposure as `gpures.io.Input` describes one, which counts how often it is read."""

    model: dict
    name: str
    kind: str = "fits"
    reads: int = 0
    error: Exception | None = None

    shape = property(lambda self: self.model["data"].shape)
    wcs = property(lambda self: self.model["wcs"])
    unit = property(lambda self: self.model["bunit_data"])
    header = property(lambda self: {})
    count_time = property(lambda self: self.exposure_time)
    values_area = property(lambda self: None)
    exposure_time = property(lambda self: self.model["exposure_time"])
    path = property(lambda self: self.name)
    group_id = property(lambda self: self.model["group_id"])
    sizes = property(lambda self: {name: value.nbytes for name, value in images(self.model).items()})

    def read(self, arrays):
        self.reads += 1
        if self.error is not None:
            raise self.error
        unread = dict.fromkeys(("err", "var_rnoise", "var_poisson", "var_flat"))
        return self.model | unread | {name: self.model[name] for name in arrays}


def exposures(n=3, **changes):
    models = scenes.dithered_models(SHAPE, n)
    return [Exposure(model | changes, f"/data/file{k}.fits") for k, model in enumerate(models)]


def images(model):
    return {name: value for name, value in model.items() if isinstance(value, np.ndarray)}


def assert_same_images(got, expected):
    got, expected = images(got), images(expected)
    assert got.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name], name)


# The mosaic


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pixfrac": 0.7, "kernel": "gaussian", "weight_type": "exptime", "good_bits": 4, "fillval": -1.0},
        {"enable_var": False, "enable_ctx": False, "propagate_dq": True, "compute_err": "driz_err"},
        {
            "extra_array_names": ["var_sky"],
            "enable_exptime_map": True,
            "pixmap_tolerance": 0,
            "accumulator_dtype": "f8",
        },
    ],
)
@pytest.mark.filterwarnings("ignore:Kernel 'gaussian'")
def test_is_what_the_resampler_makes(backend, options):
    """A mosaic is that of the resampler with the same options and frame, to the last bit, for models and files."""
    if backend == "drizzle" and "accumulator_dtype" in options:
        options = options | {"accumulator_dtype": "f4"}
    sources = exposures()
    models = [source.model for source in sources]
    made = gpures.mosaic(models, pixel_scale_ratio=0.8, rotation=12.0, progress=False, backend=backend, **options)
    plan = make_plan(models, pixel_scale_ratio=0.8, rotation=12.0)
    resample = gpures.Resample(
        {"wcs": plan.output_wcs["wcs"], "pixel_scale": plan.pixel_scale, "pixel_scale_ratio": 0.8},
        n_input_models=3,
        backend=backend,
        **{"fillval": "NaN", "compute_err": "from_var" if options.get("enable_var", True) else None} | options,
    )
    for model in models:
        resample.add_model(model)
    resample.finalize()
    assert len(made.added) == 3
    assert made.backend == backend
    assert made.model["exposure_time"] == sum(model["exposure_time"] for model in models)
    assert made.unit == "MJy/sr"
    assert_same_images(made.model, resample.output_model)
    of_files = gpures.mosaic(sources, pixel_scale_ratio=0.8, rotation=12.0, progress=False, backend=backend, **options)
    assert_same_images(of_files.model, resample.output_model)


def test_sky_is_where_it_was():
    """A star's light is in the mosaic at its place, all of it."""
    models = scenes.dithered_models(SHAPE, 2, distortion=0.0)
    star = models[0]["wcs"](17.0, 14.0)
    for model in models:
        model["dq"][:] = 0
        x, y = model["wcs"].invert(*star)
        yy, xx = np.indices(SHAPE)
        model["data"] = (100 * np.exp(-0.5 * ((xx - x) ** 2 + (yy - y) ** 2) / 1.5**2)).astype(np.float32)
    made = gpures.mosaic(models, weight_type="exptime", **QUIET)
    x, y = made.wcs.invert(*star)
    data = np.nan_to_num(made.model["data"])
    yy, xx = np.indices(data.shape)
    # The centroid of a star that is well sampled stays within a hundredth of a pixel, for drops are symmetric.
    assert np.sum(data * xx) / data.sum() == pytest.approx(float(x), abs=0.02)
    assert np.sum(data * yy) / data.sum() == pytest.approx(float(y), abs=0.02)
    assert data.sum() == pytest.approx(2 * np.pi * 1.5**2 * 100, rel=0.01)


def test_one_exposure_alone():
    """A path, a model or an exposure need not be in a list."""
    (source,) = exposures(1)
    assert_same_images(gpures.mosaic(source, **QUIET).model, gpures.mosaic(source.model, **QUIET).model)


def test_a_generator_of_models():
    """Models that come one by one need a frame, and make the same mosaic in it."""
    models = [source.model for source in exposures()]
    made = gpures.mosaic(models, **QUIET)
    with pytest.raises(ValueError, match=r"Models from a generator can be looked at only once.*give 'output_wcs'"):
        gpures.mosaic(iter(models), **QUIET)
    again = gpures.mosaic(iter(models), output_wcs=made.plan.output_wcs, **QUIET)
    assert_same_images(again.model, made.model)
    assert again.unit == "MJy/sr"
    assert "exposures       3" in again.report


def test_the_frame_that_was_given():
    """An output WCS as such, with a shape of its own, or in a dict, is the mosaic's; the caller's stays as it was."""
    models = [source.model for source in exposures()]
    wcs = scenes.frame_around(SHAPE)
    shape = wcs.array_shape
    for given in (wcs, {"wcs": wcs}, scenes.fits_wcs((60, 50))):
        made = gpures.mosaic(models, output_wcs=given, **QUIET)
        resample = scenes.mosaic(
            gpures.Resample,
            models,
            given["wcs"] if isinstance(given, dict) else given,
            {"fillval": "NaN", "compute_err": "from_var", "backend": "cpu"},
        )
        assert_same_images(made.model, resample.output_model)
    assert gpures.mosaic(models, output_wcs=wcs, output_shape=(33, 20), **QUIET).model["data"].shape == (20, 33)
    assert wcs.array_shape == shape
    with pytest.raises(ValueError, match="'output_wcs' has its own frame: 'pixel_scale' can't be given beside it"):
        gpures.mosaic(models, output_wcs=wcs, pixel_scale=0.1, **QUIET)
    with pytest.raises(ValueError, match="must be a WCS, a file with one, or a dict with one under 'wcs'"):
        gpures.mosaic(models, output_wcs={"pixel_scale": 0.1}, **QUIET)


def test_spectra_into_a_frame_that_was_given():
    """Spectral exposures have no footprint to make a frame of; into one that is given they are resampled."""
    models = scenes.spectral_models((20, 24))
    with pytest.raises(
        ValueError, match=r"exposure0\.fits: a frame is made of WCS with two celestial axes.*'output_wcs'"
    ):
        gpures.mosaic(models, **QUIET)
    frame = {"wcs": scenes.spectral_frame((20, 24)), "pixel_scale": 0.1, "pixel_scale_ratio": 1.0}
    made = gpures.mosaic(models, output_wcs=frame, **QUIET)
    assert len(made.added) == 2
    assert np.isfinite(made.model["data"]).sum() > 300


# Streaming


def test_three_exposures_in_memory():
    """Of the exposures, three are in memory at a time, however slow or fast they are read."""
    gone, most = [], 0

    class OnDisk(Exposure):
        def read(self, arrays):
            nonlocal most
            model = super().read(arrays)
            data = model["data"].copy()
            weakref.finalize(data, gone.append, self.name)
            most = max(most, sum(source.reads for source in sources) - len(gone))
            return model | {"data": data}

    sources = [OnDisk(source.model, source.name) for source in exposures() * 4]
    made = gpures.mosaic(sources, backend="cpu", progress=lambda done, total: time.sleep(0.02))
    assert len(made.added) == 12
    assert most == 3


def test_progress():
    """Progress is told for each exposure, with their number."""
    calls = []
    gpures.mosaic(exposures(), backend="cpu", progress=lambda *done: calls.append(done))
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_exposures_beside_the_frame_are_not_read():
    """An exposure that does not reach the frame is named and not read; if none does, the nearest is told."""
    sources = exposures()
    far = Exposure(sources[0].model | {"wcs": scenes.imaging_wcs(SHAPE, shift=(3000, 0))}, "/data/far.fits")
    frame = scenes.frame_around(SHAPE)
    made = gpures.mosaic([*sources, far], output_wcs=frame, **QUIET)
    assert made.plan.outside == ["/data/far.fits"]
    assert far.reads == 0
    assert_same_images(made.model, gpures.mosaic(sources, output_wcs=frame, **QUIET).model)
    assert "1 that do not reach the frame" in made.report
    with pytest.raises(
        ValueError, match=r"None of the 1 exposures reaches.*nearest to its middle is /data/far\.fits, 0\.05"
    ):
        gpures.mosaic([far], output_wcs=frame, **QUIET)


# Bad exposures


def spoiled():
    """Four exposures, two of which are bad, in different ways."""
    sources = exposures(4)
    sources[1].error = ValueError("truncated")
    sources[2].model = sources[2].model | {"exposure_time": -1.0}
    return sources


def test_bad_exposures_are_skipped(caplog):
    """On request a mosaic is made of the good exposures; log, result and table name the others, and why."""
    sources = spoiled()
    made = gpures.mosaic(
        sources, skip_bad=True, backend="cpu", progress=(calls := []).append and (lambda d, t: calls.append(d))
    )
    assert len(made.added) == 2
    assert calls[-1] == 4
    assert [name for name, _ in made.skipped] == ["/data/file1.fits", "/data/file2.fits"]
    assert made.skipped[0][1] == "/data/file1.fits: truncated"
    assert "'exposure_time' of model 'exposure2.fits' must be a strictly positive number" in made.skipped[1][1]
    assert all(reason in caplog.text and reason[:50] in made.report for _, reason in made.skipped)
    good = [sources[0], sources[3]]
    expected = gpures.mosaic(good, output_wcs=made.plan.output_wcs, **QUIET)
    assert_same_images(made.model, expected.model)
    assert made.pixels == 2 * SHAPE[0] * SHAPE[1]


def test_a_bad_exposure_is_named():
    """Without that request the first bad exposure is an error that names it; a model's own error stays as it is."""
    sources = spoiled()
    with pytest.raises(FileError, match=r"/data/file1\.fits: truncated"):
        gpures.mosaic(sources, **QUIET)
    del sources[1]
    with pytest.raises(FileError, match=r"/data/file2\.fits: 'exposure_time' of model"):
        gpures.mosaic(sources, **QUIET)
    with pytest.raises(ValueError, match=r"^'exposure_time' of model 'exposure2"):
        gpures.mosaic([source.model for source in sources], **QUIET)


def test_a_transform_that_fails():
    """Whatever a file's transform raises when it is evaluated is an error that names the file, or is skipped."""

    class Broken:
        array_shape = SHAPE

        def __getattr__(self, name):
            raise AssertionError("not this one")

    sources = exposures()
    sources[1].model = sources[1].model | {"wcs": Broken()}
    with pytest.raises(FileError, match=r"/data/file1\.fits: the WCS of /data/file1\.fits can't be eval.*not this"):
        gpures.mosaic(sources, **QUIET)
    assert len(gpures.mosaic(sources, skip_bad=True, **QUIET).added) == 2


def test_nothing_but_bad_exposures():
    """If no exposure is left, that is an error which says what is wrong with each."""
    sources = spoiled()[1:3]
    with pytest.raises(ValueError, match=r"None of the 2 exposures can be used\.\n.*truncated\n.*exposure_time"):
        gpures.mosaic(sources, skip_bad=True, **QUIET)
    lost = Exposure(
        sources[0].model | {"wcs": scenes.wcs_of(scenes.models.Const1D(np.nan) & scenes.models.Const1D(1.0), SHAPE)},
        "lost.fits",
    )
    with pytest.raises(
        ValueError, match=r"None of the 1 exposures can be used\.\n  lost\.fits: its WCS gives no finite"
    ):
        gpures.mosaic([lost], skip_bad=True, **QUIET)
    with pytest.raises(ValueError, match="'inputs' is empty"):
        gpures.mosaic([], skip_bad=True, **QUIET)


def test_a_device_that_fails_is_no_bad_exposure(monkeypatch):
    """Errors that are not an exposure's own are not skipped."""

    def fail(self, exposure):
        raise gpures.DeviceError("gone")

    monkeypatch.setattr(gpures.backend.cpu.CPUAccumulators, "add", fail)
    with pytest.raises(gpures.DeviceError, match="gone"):
        gpures.mosaic(exposures(), skip_bad=True, **QUIET)


def test_units():
    """Exposures of two units are an error that names one of each; a unit is the same however it is written."""
    sources = exposures()
    sources[1].model = sources[1].model | {"bunit_data": "1e6 Jy / sr"}
    assert gpures.mosaic(sources, **QUIET).unit == "MJy/sr"
    sources[2].model = sources[2].model | {"bunit_data": "electron/s"}
    words = r"the unit of /data/file2\.fits is 'electron/s', that of /data/file0\.fits is 'MJy/sr'"
    with pytest.raises(ValueError, match=words):
        gpures.mosaic(sources, **QUIET)
    (skipped,) = gpures.mosaic(sources, skip_bad=True, **QUIET).skipped
    assert skipped[0] == "/data/file2.fits"
    assert re.search(words, skipped[1])
    models = (source.model for source in sources)
    with pytest.raises(ValueError, match=r"unit of exposure2\.fits is 'electron/s', that of exposure0\.fits"):
        gpures.mosaic(models, output_wcs=scenes.frame_around(SHAPE), **QUIET)


# What is asked for


def test_options_are_checked_before_anything_is_read():
    """An option that there is not, or a value that it can't have, is an error before a file is read."""
    sources = exposures()
    with pytest.raises(TypeError, match=r"mosaic\(\) takes no argument 'pixel_frac'.*pixfrac"):
        gpures.mosaic(sources, pixel_frac=0.8, **QUIET)
    with pytest.raises(ValueError, match="Kernel 'round' is not supported"):
        gpures.mosaic(sources, kernel="round", **QUIET)
    with pytest.raises(ValueError, match=r"'good_bits' must be flags of the DQ array, got '1,x'|flags have names only"):
        gpures.mosaic(sources, good_bits="1,x", **QUIET)
    with pytest.raises(TypeError, match="'inputs' must be paths or models, or a list of such, got int"):
        gpures.mosaic(3, **QUIET)
    with pytest.raises(TypeError, match="'inputs' must be paths, models"):
        gpures.mosaic([3], **QUIET)
    with pytest.raises(KeyError, match="has no 'wcs'"):
        gpures.mosaic([{"data": np.zeros(SHAPE), "filename": "a"}], **QUIET)
    assert not any(source.reads for source in sources)


@pytest.mark.parametrize(
    ("kinds", "expected"), [("jwst", "~513"), ("roman", "~1"), ("hst", 0), (("jwst", "roman"), 0)], ids=str
)
def test_flags_that_are_forgiven(kinds, expected):
    """Without good bits those of the mission are taken, where there is one."""
    kinds = (kinds,) * 3 if isinstance(kinds, str) else (*kinds, kinds[0])
    sources = exposures()
    for source, kind in zip(sources, kinds, strict=True):
        source.kind = kind
    assert make_plan(sources).options.good_bits == expected
    assert make_plan(sources, good_bits=4).options.good_bits == 4


def test_memory(monkeypatch):
    """A frame beyond the memory is refused, with what is needed, and which exposures lie far apart."""
    sources = exposures()
    with pytest.raises(
        MemoryError, match=r"A mosaic of \d+ x \d+ pixels of 1e-05 arcsec needs [\d.]+ GiB.*available\. Give"
    ):
        gpures.mosaic(sources, pixel_scale=1e-5, **QUIET)
    far = Exposure(
        sources[0].model | {"wcs": scenes.imaging_wcs(SHAPE, ra=scenes.RA + 9.0, dec=scenes.DEC + 9.0)},
        "/data/far.fits",
    )
    with pytest.raises(MemoryError, match=r"/data/file2\.fits and /data/far\.fits are 12\.7 degrees apart"):
        gpures.mosaic([*sources, far], **QUIET)
    plan = make_plan(sources, backend="cpu")
    monkeypatch.setattr(plan_module, "available_memory", lambda: plan.needed - 1)
    assert plan.needed == plan.frame.bytes + 3 * 5 * 4 * SHAPE[0] * SHAPE[1]
    with pytest.raises(MemoryError, match="GiB are available"):
        plan.check_memory()
    monkeypatch.setattr(plan_module, "available_memory", lambda: plan.needed)
    plan.check_memory()


def test_memory_of_the_plan_is_that_of_the_mosaic():
    """The plan counts the planes that the resampler makes."""
    options = {"extra_array_names": ["var_sky"], "enable_exptime_map": True, "propagate_dq": True}
    sources = exposures() * 14  # more than one plane of the context
    plan = make_plan(sources, **options)
    resample = gpures.Resample(plan.output_wcs, n_input_models=42, compute_err="from_var", backend="cpu", **options)
    assert plan.frame.bytes == resample._accumulators.layout.bytes


def test_a_plan_reads_nothing():
    """The plan tells exposures, frame, options and memory, and reads no image."""
    sources = exposures()
    text = plan_text(make_plan(sources, pixfrac=0.6, pixel_scale=0.1, rotation=30.0, backend="cpu"))
    assert not any(source.reads for source in sources)
    for words in (
        "exposures       3 (3 fits), 303.0 s in all",
        "/data/file1.fits                         fits   34 x 30             101.0 s  MJy/sr",
        "0.1 arcsec, 1.5",
        "+y at position angle 30.000 degrees",
        "square, pixfrac 0.6",
        "ivm, good bits 0",
        "cpu, ",
        "for the frame, 60 KiB for 3 exposures at a time; ",
    ):
        assert words in text
    many = plan_text(make_plan(sources * 30))
    assert "and 50 more" in many


def test_a_plan_keeps_to_a_gpu_that_is_there(cuda):
    """Where a GPU can be used the plan says so; "auto" leaves it where the frame does not fit there."""
    plan = make_plan(exposures(), backend="auto")
    assert plan.backend == "cuda"
    assert "on the GPU" in plan_text(plan)
    assert make_plan(exposures(), backend="auto", pixel_scale=2e-5).backend == "cpu"


def test_report():
    """The table at the end has exposures, frame, time by stage and backend."""
    made = gpures.mosaic(exposures(), pixel_scale=0.05, **QUIET)
    ny, nx = made.model["data"].shape
    for words in (
        "exposures       3, ",
        "303.0 s",
        f"{nx} x {ny} pixels",
        "0.05 arcsec",
        "cpu, ",
        "splat",
        "reading files",
    ):
        assert words in made.report
    assert made.seconds["total"] >= max(seconds for name, seconds in made.seconds.items() if name != "total")
    assert {"headers and frame", "reading files", "pixel map", "splat", "images", "variances"} < made.seconds.keys()


def test_images_by_their_names():
    """They are attributes as well; one that there is not, as without flags or in tiles, is an error that says so."""
    made = gpures.mosaic(exposures(), **QUIET)
    for name in ("data", "wht", "con", "err", "var_rnoise"):
        assert getattr(made, name) is made.model[name]
    types = typing.get_type_hints(gpures.typing.MosaicModel)
    images = {name for name, kind in types.items() if typing.get_origin(kind) is np.ndarray} - {"covariance_lags"}
    assert len(images) > 10
    for name in {*images, *COMBINED}:
        assert isinstance(getattr(type(made), name), property)
    with pytest.raises(AttributeError, match="no image 'dq' in memory\\."):
        made.dq  # noqa: B018
    made.model["data"] = None
    made.path = "m.fits"
    with pytest.raises(AttributeError, match="'data' in memory: it was made in tiles, which are in m\\.fits alone"):
        made.data  # noqa: B018


def test_stages_that_somebody_times():
    """Who times the stages gets those of a mosaic, too."""
    with gpures.reporting.timing.watched() as seconds:
        made = gpures.mosaic(exposures(), **QUIET)
    assert "splat" in seconds
    assert made.seconds.keys() == {"headers and frame", "total"}


def test_nothing_heavy_is_imported():
    """The name is there without its modules, which come when it is used."""
    code = (
        "import gpures, sys; assert 'mosaic' in dir(gpures); print('gpures.mosaicking' in sys.modules, gpures.mosaic)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.startswith("False <function mosaic")
