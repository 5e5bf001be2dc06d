"""A mosaic that is gone on with is that of all exposures at once."""

from __future__ import annotations

import itertools
import json
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
from gpures.errors import FileError

RNG = np.random.default_rng(5)

FACTS = ("exposure_time", "duration", "measurement_time", "start_time", "end_time", "pointings", "pixel_scale_ratio")


def arrays(model):
    return {name: value for name, value in model.items() if isinstance(value, np.ndarray)}


def assert_same(path, expected, rtol=3e-6):
    """Compare two mosaics in files: all images, facts, exposures and what the headers say."""
    got, expected = io.read_mosaic(path), io.read_mosaic(expected)
    assert {name for name in arrays(got) if "vwht" not in name} == {n for n in arrays(expected) if "vwht" not in n}
    for name, array in arrays(expected).items():
        if array.dtype.kind == "f":
            scale = np.abs(array[np.isfinite(array)]).max()
            np.testing.assert_allclose(got[name], array, rtol, 1e-6 * scale, err_msg=name)
        else:
            np.testing.assert_array_equal(got[name], array, name)
    for name in FACTS:
        value = expected.get(name)
        assert got.get(name) == (None if value is None else pytest.approx(value, rel=1e-12)), name
    assert got["exposures"] == expected["exposures"]
    for key, value in expected["header"].items():
        if key not in ("DATE", "FILENAME"):
            assert got["header"][key] == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value), key


def in_steps(paths, steps, out, **options):
    """A mosaic of the first files, to which the others are added, some at a time."""
    gpures.mosaic(paths[: steps[0]], out, **options)
    steps = [*steps, len(paths)]
    backend = {"backend": options["backend"], "progress": False}
    for begin, end in itertools.pairwise(steps):
        gpures.mosaic(paths[begin:end], add_to=out, **backend)
    return out


MAKE = {
    "jwst": lambda path, k: files.jwst_file(path / f"jw{k}_cal.fits", seed=k, rotation=3.0 * k),
    "roman": lambda path, k: files.roman_file(path / f"r{k}_cal.asdf", seed=k, rotation=3.0 * k),
    "hst": lambda path, k: files.hst_file(path / f"j8bt0{k}nyq_flt.fits", seed=k),
    "plain": lambda path, k: exposures(path, 5)[k],
}
OPTIONS = [
    {},
    {"weight_type": "exptime", "pixfrac": 0.7, "kernel": "gaussian", "fillval": -1.0, "enable_exptime_map": True},
    {"propagate_dq": True, "dq_of_empty": 1, "compute_err": "driz_err", "enable_var": False, "enable_ctx": False},
    {"variance_method": "propagated", "weight_type": "exptime", "fillval": 3.0},
    {"variance_method": "propagated", "compute_err": "driz_err", "kernel": "turbo"},
]


@pytest.fixture
def host_cuda_backend(request):
    if request.param == "cuda":
        request.getfixturevalue("host_cuda")
    return request.param


@pytest.mark.parametrize("host_cuda_backend", ["cpu", "drizzle", "cuda"], indirect=True)
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.filterwarnings("ignore:Kernel 'gaussian'")
def test_all_planes(tmp_path, host_cuda_backend, options):
    """In three steps, with all planes, on each backend."""
    paths = [MAKE["jwst"](tmp_path, k) for k in range(3)]
    options = options | {"backend": host_cuda_backend, "progress": False}
    wcs = gpures.mosaic(paths, tmp_path / "all.fits", pixel_scale_ratio=0.8, **options).plan.output_wcs
    out = in_steps(paths, [1, 2], tmp_path / "steps.fits", output_wcs=wcs, **options)
    assert_same(out, tmp_path / "all.fits")


@pytest.mark.parametrize(
    ("mission", "name"), [("jwst", "m.asdf"), ("roman", "m.fits"), ("hst", "m.fits.gz"), ("plain", "m.asdf")]
)
def test_missions_and_containers(tmp_path, mission, name):
    """Files of all kinds, in FITS and ASDF, and from one to the other."""
    if mission in ("jwst", "roman"):
        pytest.importorskip("stdatamodels" if mission == "jwst" else "roman_datamodels")
    paths = [MAKE[mission](tmp_path, k) for k in range(3)]
    options = {**QUIET, "propagate_dq": mission != "plain"}
    wcs = gpures.mosaic(paths, tmp_path / f"all_{name}", **options).plan.output_wcs
    assert_same(in_steps(paths, [1], tmp_path / name, output_wcs=wcs, **options), tmp_path / f"all_{name}")
    gpures.mosaic(paths[:2], tmp_path / "two.asdf", output_wcs=wcs, **options)
    gpures.mosaic(paths[2], tmp_path / "three.fits", add_to=tmp_path / "two.asdf", **QUIET)
    assert_same(tmp_path / "three.fits", tmp_path / f"all_{name}")
    assert len(io.read_mosaic(tmp_path / "two.asdf")["exposures"]) == (4 if mission == "hst" else 2)


def test_context_grows(tmp_path):
    """The 33rd exposure gets a plane of its own."""
    paths = [image(tmp_path / f"{k}.fits", RNG.random(SHAPE), shift=(0.1 * k, 0)) for k in range(34)]
    wcs = gpures.mosaic(paths, tmp_path / "all.fits", **QUIET).plan.output_wcs
    for steps in ([31, 32], [33]):
        out = in_steps(paths, steps, tmp_path / "m.fits", output_wcs=wcs, overwrite=True, **QUIET)
        assert fits.getdata(out, "CON").shape[0] == 2
        assert_same(out, tmp_path / "all.fits")


def test_a_generator(tmp_path):
    """Models that come one by one are added like others."""
    models = scenes.dithered_models(SHAPE, 4)
    for k, model in enumerate(models):
        model["filename"], model["group_id"] = f"model{k}", str(k)
    wcs = gpures.mosaic(models, tmp_path / "all.fits", **QUIET).plan.output_wcs
    gpures.mosaic(models[:2], tmp_path / "m.fits", output_wcs=wcs, **QUIET)
    gpures.mosaic(iter(models[2:]), add_to=tmp_path / "m.fits", **QUIET)
    assert_same(tmp_path / "m.fits", tmp_path / "all.fits")


def test_flags_that_only_some_have(tmp_path):
    """Flags may begin with a later exposure, or never, whatever was asked for."""
    dq = RNG.integers(0, 4, SHAPE).astype("u1")
    paths = [
        image(tmp_path / f"{k}.fits", RNG.random(SHAPE), {"DQ": dq} if k == 2 else {}, (0.1 * k, 0)) for k in range(4)
    ]
    options = QUIET | {"overwrite": True, "propagate_dq": True, "dq_of_empty": 8, "good_bits": "~1"}
    wcs = gpures.mosaic(paths, tmp_path / "all.fits", **options).plan.output_wcs
    assert_same(in_steps(paths, [2, 3], tmp_path / "m.fits", output_wcs=wcs, **options), tmp_path / "all.fits")
    gpures.mosaic(paths[:2], tmp_path / "two.fits", output_wcs=wcs, **options)
    out = in_steps(paths[:2], [1], tmp_path / "m.fits", output_wcs=wcs, **options)
    assert_same(out, tmp_path / "two.fits")


def test_variances_that_only_some_have(tmp_path):
    """Variances that begin later, or are NaN here and there, are those of all at once."""
    models = scenes.dithered_models(SHAPE, 4)
    for k, model in enumerate(models):
        model["filename"], model["group_id"] = f"model{k}", str(k)
    models[0]["var_flat"] = models[0]["var_poisson"] = None
    models[1]["var_poisson"][5:12] = np.nan
    models[2]["var_rnoise"] = np.where(np.arange(SHAPE[1]) < 6, np.inf, models[2]["var_rnoise"]).astype("f4")
    for weight_type in ("ivm", "exptime"):
        options = QUIET | {"overwrite": True, "weight_type": weight_type}
        wcs = gpures.mosaic(models, tmp_path / "all.fits", **options).plan.output_wcs
        for steps in ([1], [1, 2, 3]):
            out = in_steps(models, steps, tmp_path / "m.fits", output_wcs=wcs, **options)
            assert_same(out, tmp_path / "all.fits")


def test_weights_of_variances_are_kept_where_they_are_needed(tmp_path):
    """Where the read noise tells them there is no such image; else there is one."""
    models = scenes.dithered_models(SHAPE, 2)
    gpures.mosaic(models, tmp_path / "ivm.fits", **QUIET)
    gpures.mosaic(models, tmp_path / "time.fits", weight_type="exptime", **QUIET)
    with fits.open(tmp_path / "ivm.fits") as ivm, fits.open(tmp_path / "time.fits") as time:
        assert "VWHT" not in ivm
        assert "VWHT" in time
        assert "CTYPE1" not in time["VWHT"].header
    assert len(io.inputs(tmp_path / "time.fits")) == 1


def test_the_file(tmp_path, capsys):
    """The old file is replaced, or, with -o, left as it was; the history tells both commands."""
    paths = exposures(tmp_path, 3)
    out, new = str(tmp_path / "m.fits"), str(tmp_path / "n.fits")
    assert main(["mosaic", *map(str, paths[:2]), "-o", out, "-q", "--pixfrac", "0.9"]) == 0
    before = (tmp_path / "m.fits").read_bytes()
    assert main(["mosaic", str(paths[2]), "--add-to", out, "-o", new, "-q"]) == 0
    assert (tmp_path / "m.fits").read_bytes() == before
    assert main(["mosaic", str(paths[2]), "--add-to", out, "-o", new, "-q"]) == 2
    assert "exists" in capsys.readouterr().err
    assert main(["mosaic", str(paths[2]), "--add-to", out]) == 0
    table = capsys.readouterr().out
    assert "exposures       3" in table
    assert f"added to        {out}, of 2" in " ".join(table.splitlines())
    history = " ".join(io.read_mosaic(out)["history"])
    assert "--pixfrac 0.9" in history
    assert "--add-to" in history
    assert io.read_mosaic(out)["pixfrac"] == 0.9
    np.testing.assert_array_equal(fits.getdata(out, "SCI"), fits.getdata(new, "SCI"))


def test_what_is_in_it_already(tmp_path, caplog, capsys):
    """An exposure that is in it, as a file, a copy, or in another mosaic, is not added again; nor is the mosaic."""
    paths = exposures(tmp_path, 3)
    out = tmp_path / "m.fits"
    gpures.mosaic(paths[:2], out, **QUIET)
    shutil.copy(paths[0], tmp_path / "copy.fits")
    gpures.mosaic(paths[1:], tmp_path / "other.fits", **QUIET)
    inputs = [paths[0], tmp_path / "copy.fits", out, tmp_path / "other.fits", paths[2]]
    made = gpures.mosaic(inputs[:3] + inputs[4:], tmp_path / "n.fits", add_to=out, **QUIET)
    assert made.added == [f"e{k}.fits[PRIMARY]" for k in range(3)]
    assert made.model["exposure_time"] == 120.0
    assert "m.fits is the mosaic that others are added to" in caplog.text
    assert "copy.fits[PRIMARY] is in" in caplog.text
    assert main(["mosaic", str(tmp_path / "other.fits"), "--add-to", str(out), "-q"]) != 0
    assert "shares exposures with" in capsys.readouterr().err
    assert main(["mosaic", str(paths[0]), "--add-to", str(out), "-q"]) != 0
    assert fits.getheader(out)["NEXPOS"] == 2


def test_another_product_of_what_is_in_it(tmp_path, caplog):
    """An exposure of a mission is known by its name, whatever was made of it."""
    flt = files.hst_file(tmp_path / "j8bt00nyq_flt.fits")
    flc = files.hst_file(tmp_path / "j8bt00nyq_flc.fits", unit="ELECTRONS/S")
    other = files.hst_file(tmp_path / "j8bt01nyq_flt.fits", seed=1)
    gpures.mosaic(flt, tmp_path / "m.fits", **QUIET)
    made = gpures.mosaic([flc, other], add_to=tmp_path / "m.fits", **QUIET)
    assert made.added == [f"j8bt0{k}nyq_flt.fits[SCI,{chip}]" for k in (0, 1) for chip in (1, 2)]
    assert caplog.text.count("m.fits already: it is not added again") == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pixfrac": 0.5}, "pixfrac=1.0, and can't be gone on with pixfrac=0.5"),
        ({"kernel": "turbo"}, "kernel='square'"),
        ({"weight_type": "exptime"}, "weight_type='ivm'"),
        ({"fillval": 0.0}, "fillval='NaN'"),
        ({"good_bits": 4}, "good_bits=0"),
        ({"propagate_dq": True}, "propagate_dq=False"),
        ({"variance_method": "propagated"}, "variance_method='stcal'"),
        ({"pixel_scale": 0.2}, "has its own frame"),
        ({"output_wcs": "x.fits"}, "has its own frame"),
    ],
)
def test_other_options(tmp_path, options, words):
    """What was made with other options is refused; the same ones may be given."""
    paths = exposures(tmp_path, 2)
    gpures.mosaic(paths[0], tmp_path / "m.fits", **QUIET)
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        gpures.mosaic(paths[1], add_to=tmp_path / "m.fits", **QUIET, **options)
    gpures.mosaic(paths[1], add_to=tmp_path / "m.fits", pixfrac=1, fillval=np.nan, kernel="square", **QUIET)


def test_from_before_there_was_a_choice(tmp_path):
    """A mosaic that does not tell what its variances are has stcal's, and is gone on with as such."""
    paths = exposures(tmp_path, 2)
    gpures.mosaic(paths[0], tmp_path / "m.fits", **QUIET)
    with fits.open(tmp_path / "m.fits", mode="update") as file:
        told = json.loads(file[0].header["OPTIONS"])
        assert told.pop("variance_method") == "stcal"
        file[0].header["OPTIONS"] = json.dumps(told)
    with pytest.raises(ValueError, match="made with variance_method='stcal', and can't be gone on with"):
        gpures.mosaic(paths[1], add_to=tmp_path / "m.fits", variance_method="propagated", **QUIET)
    gpures.mosaic(paths[1], add_to=tmp_path / "m.fits", **QUIET)
    assert "VARMETH" not in fits.getheader(tmp_path / "m.fits")


def test_propagated_variances_that_the_mosaic_lacks(tmp_path):
    """What exposures of the mosaic before lack is not known where they contribute, as if all had been there at once."""
    models = scenes.dithered_models(SHAPE, 3)
    models[0]["var_flat"] = models[2]["var_poisson"] = None
    wcs = scenes.frame_around(SHAPE)
    options = {**QUIET, "output_wcs": wcs, "variance_method": "propagated"}
    gpures.mosaic(models, tmp_path / "all.fits", **options)
    gpures.mosaic(models[:1], tmp_path / "m.fits", **options)
    assert fits.getheader(tmp_path / "m.fits")["VARMETH"] == "propagated"
    assert "var_flat" not in io.read_mosaic(tmp_path / "m.fits")
    for model in models[1:]:
        gpures.mosaic([model], add_to=tmp_path / "m.fits", **QUIET)
    for name in ("SCI", "ERR", "VAR_RNOISE", "VAR_FLAT", "VAR_POISSON"):
        got, expected = (fits.getdata(tmp_path / path, name) for path in ("m.fits", "all.fits"))
        np.testing.assert_allclose(got, expected, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("unit", "options"),
    [
        ("adu", {}),
        ("adu", {"flux_scale": "time"}),
        ("electron/s", {}),
        ("electron/s", {"allow_mixed": True}),
        ("MJy/sr", {}),
        (None, {}),
        (None, {"flux_scale": "time"}),
        (None, {"values": "per-pixel"}),
    ],
)
def test_scales(tmp_path, options, unit):
    """Whatever brings exposures to one scale brings new ones to that of the mosaic."""
    keywords = {} if unit is None else {"BUNIT": unit}
    options = QUIET | {"pixel_scale_ratio": 0.7} | options
    keywords |= {"PHOTFLAM": 2e-20} if unit == "electron/s" else {}
    times = [30.0, 30.0, 30.0]
    if options.get("flux_scale") == "time" or unit == "electron/s":
        times = [30.0, 60.0, 20.0]
    paths = [
        image(tmp_path / f"x{k}.fits", RNG.random(SHAPE), shift=(0.3 * k, 0.2), **keywords | {"EXPTIME": time})
        for k, time in enumerate(times)
    ]
    if unit == "electron/s":
        fits.setval(paths[2], "PHOTFLAM", value=3e-20)
    made = gpures.mosaic(paths, tmp_path / "all.fits", **options)
    wcs = {"output_wcs": made.plan.output_wcs, "pixel_scale_ratio": 1.0}
    assert_same(in_steps(paths, [1, 2], tmp_path / "m.fits", **options | wcs), tmp_path / "all.fits")


def test_edges(tmp_path, caplog):
    """An exposure that reaches beyond the mosaic is told of, and one that is beside it is not read."""
    paths = [image(tmp_path / f"{k}.fits", 1.0 + k, shift=(12.0 * k, 0)) for k in range(5)]
    gpures.mosaic(paths[0], tmp_path / "m.fits", **QUIET)
    made = gpures.mosaic([paths[1], paths[4]], add_to=tmp_path / "m.fits", **QUIET)
    assert made.added == ["0.fits[PRIMARY]", "1.fits[PRIMARY]"]
    assert "1.fits[PRIMARY] reaches beyond the frame" in caplog.text
    assert "1 exposures do not reach the frame, and are not read: 4.fits[PRIMARY]" in caplog.text


def test_what_is_no_mosaic_of_ours(tmp_path):
    """Other images, a mosaic that does not tell how it was made or lacks an image, another unit: refused, unchanged."""
    paths = exposures(tmp_path, 2)
    with pytest.raises(FileError, match="it is no mosaic that gpures made"):
        gpures.mosaic(paths[1], add_to=paths[0], **QUIET)
    made = gpures.mosaic(paths[0], tmp_path / "m.fits", **QUIET)
    io.write(tmp_path / "w.fits", made.model)
    with pytest.raises(FileError, match="does not tell with which options"):
        gpures.mosaic(paths[1], add_to=tmp_path / "w.fits", **QUIET)
    with fits.open(tmp_path / "m.fits") as hdus:
        del hdus["WHT"]
        hdus.writeto(tmp_path / "less.fits")
    with pytest.raises(FileError, match="it has no wht"):
        gpures.mosaic(paths[1], add_to=tmp_path / "less.fits", **QUIET)
    with fits.open(tmp_path / "m.fits") as hdus:
        hdus["WHT"].data[3, 3] = np.inf
        hdus.writeto(tmp_path / "large.fits")
    with pytest.raises(ValueError, match="sums of weights are infinite"):
        gpures.mosaic(paths[1], add_to=tmp_path / "large.fits", **QUIET)
    fits.setval(paths[1], "BUNIT", value="MJy/sr")
    before = (tmp_path / "m.fits").read_bytes()
    with pytest.raises(FileError, match="unit"):
        gpures.mosaic(paths[1], add_to=tmp_path / "m.fits", **QUIET)
    assert (tmp_path / "m.fits").read_bytes() == before
    added = gpures.mosaic(paths[1], add_to=tmp_path / "m.fits", allow_mixed=True, **QUIET).added
    assert added == ["e0.fits[PRIMARY]", "e1.fits[PRIMARY]"]
    with pytest.raises(FileNotFoundError):
        gpures.mosaic(paths[1], add_to=tmp_path / "none.fits", **QUIET)
