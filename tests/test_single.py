"""Single precision: drops and the sums of an exposure in float32, against the definition in float64."""

from __future__ import annotations

import copy
import inspect
import pickle
import sys
from dataclasses import replace

import numpy as np
import oracle
import pytest
import scenes
import test_kernels
import tolerances as tol
from astropy.io import fits
from cuda_on_host import HostCUDA
from on_backends import ON_GPU, ON_HOST, ON_PTX, cupy_of
from test_pieces import fits_with
from test_seams import exposure_at, sky
from test_tiles import exposure as exposure_file

import gpures
import gpures.psf
from gpures.exposure.weights import Weight
from gpures.mosaicking import tiling
from gpures.mosaicking.build import build
from gpures.mosaicking.plan import make_plan
from gpures.mosaicking.tiling import tiles_of

pytestmark = [
    pytest.mark.filterwarnings("ignore:Kernel '.*' is not a flux-conserving kernel"),
    pytest.mark.filterwarnings("ignore:In lanczos kernel, pixfrac is ignored"),
    pytest.mark.filterwarnings("ignore:Kernel reset to .point."),
]

#: Instruction sets of the walk; those that this processor has not are others.
SETS = ("", "avx2", "baseline")


@pytest.fixture(params=[*(f"cpu-{isa}" for isa in SETS), ON_HOST, ON_PTX, ON_GPU])
def walked_by(request, monkeypatch):
    """Name of each backend, the CPU's with each of the instruction sets."""
    if not request.param.startswith("cpu-"):
        cupy_of(request, request.param)
        return "cuda"
    monkeypatch.setenv("GPURES_ISA", request.param[4:])
    return "cpu"


def single_and_double(backend, frame, exposures):
    """Images of a mosaic in single and in double precision, each on that backend."""
    return (oracle.run(backend, replace(frame, single=is_single), exposures) for is_single in (True, False))


def assert_as_doubles(backend, got, expected):
    """What was computed in doubles all the same: to the last bit, but for the order in which a GPU adds."""
    for name, image in expected.items():
        if backend == "cpu":
            np.testing.assert_array_equal(got[name], image, name)
        else:
            np.testing.assert_allclose(got[name], image, 1e-13, 1e-13, err_msg=name)


def flipped(got, expected):
    """Fraction of pixels that differ in what is there or not: a drop grazes them."""
    return np.mean(np.any(got != expected, axis=0) if np.ndim(got) == 3 else got != expected)


def assert_near_truth(got, truth, precision, exposures):
    """As `tolerances.assert_true` has it, but for pixels that a drop grazes, and only one side has."""
    sure = ~truth.unsure
    assert truth.unsure.mean() <= tol.UNSURE
    assert flipped(got["con"] * sure, truth.con * sure) <= tol.SINGLE_FLIPPED
    assert flipped(got["dq"] * sure, truth.dq * sure) <= tol.SINGLE_FLIPPED
    sure &= (got["con"] == truth.con).all(axis=0)
    bounds = precision.bounds(truth, exposures)
    for name in ("data", "wht", "err", *truth.variances):
        expected = truth.variances[name] if name in truth.variances else getattr(truth, name)
        tol.assert_close(np.where(sure, got[name], 0), np.where(sure, expected, 0), bounds[name], name)


# ---- against the definition ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("psr", [0.5, 1.0])
@pytest.mark.parametrize(("kernel", "pixfrac"), test_kernels.DROPS)
def test_single_against_the_definition(own_backend, kernel, pixfrac, psr, dtype):
    """Every kernel: data, weight, error, variances, context and DQ, within bounds of float32."""
    exposures, side, truth = test_kernels.scene(kernel, pixfrac, psr, False, "ivm")
    frame = test_kernels.frame_of(side, kernel, dtype, single=True)
    precision = replace(tol.PRECISION["cpu", dtype], drop=2.0 * oracle.reach(kernel, pixfrac, psr))
    assert_near_truth(oracle.run(own_backend, frame, exposures), truth, precision, len(exposures))


@pytest.mark.parametrize("kind", ["map", "constant"])
def test_single_by_other_weights(walked_by, kind):
    """Weights of a map and of a number."""
    exposures, side, truth = test_kernels.scene("square", 0.7, 1.0, True, kind)
    got = oracle.run(walked_by, test_kernels.frame_of(side, "square", single=True), exposures)
    assert_near_truth(got, truth, replace(tol.PRECISION["cpu", "f4"], drop=4.0), len(exposures))


def smooth(rng, shape=(90, 110), **settings):
    """An exposure whose weights differ little, so that an error of the weights is one of the geometry."""
    variance = rng.uniform(0.95, 1.05, shape)
    return {"data": rng.normal(1.0, 0.2, shape).astype("f4"), "weight": Weight(variance=variance)} | settings


@pytest.mark.parametrize("pixfrac", [1.0, 0.7])
@pytest.mark.parametrize("angle", [0.0, 1.0, 20.0])
def test_single_weights(walked_by, angle, pixfrac):
    """At the input's scale weights are good to 8e-7, 99 % of them to 4e-7; the data to as much of the values."""
    given = smooth(np.random.default_rng(3))
    exposure = oracle.exposure(
        given.pop("data"), oracle.pixel_map((90, 110), (90.3, 88.8), 1.0, angle, warp=0.1), pixfrac=pixfrac, **given
    )
    frame = test_kernels.frame_of(180, "square", "f8", has_err=False, has_dq=False, variance_names=())
    single, double = single_and_double(walked_by, frame, [exposure])
    differs = double["con"] != single["con"]
    assert differs.mean() < 1e-3
    # A contribution is as good as its drop is: where several together have a tenth of one, so is a tenth of it.
    inside = (double["wht"] > 0.1) & ~differs[0]
    off = np.abs(single["wht"] - double["wht"])[inside] / double["wht"][inside]
    assert 1e-8 < np.quantile(off, 0.99) < 4e-7
    assert np.max(off * np.minimum(double["wht"][inside], 1)) < 8e-7
    assert np.max(np.abs(single["data"][inside] - double["data"][inside]) * np.minimum(double["wht"][inside], 1)) < 2e-6
    # Where the contexts differ, it is for a contribution that does not matter.
    assert np.max(np.abs(single["wht"] - double["wht"])[differs[0]], initial=0) < 1e-6


def test_place_in_a_large_frame(own_backend):
    """1e5 pixels from the frame's first one the weights are as good as near it."""
    given = smooth(np.random.default_rng(4), shape=(60, 60))
    data, at = given.pop("data"), 99_960.3
    frame = test_kernels.frame_of(
        100_100, "square", "f8", has_err=False, has_dq=False, variance_names=(), context_planes=0
    )
    part = frame.of_part(gpures.box.Box(99_900, 100_050, 99_900, 100_050))
    exposure = oracle.exposure(data, oracle.pixel_map((60, 60), (at, at), 1.0, 12.0), **given)
    single, double = single_and_double(own_backend, part, [exposure])
    inside = double["wht"] > 0.1
    assert np.sum(inside) > 3000
    assert 0 < np.max(np.abs(single["wht"] - double["wht"])[inside]) < 8e-7


@pytest.mark.parametrize("settings", [{}, {"propagates": True}, {"dtype": "f8"}], ids=str)
@pytest.mark.parametrize(
    ("kernel", "pixfrac"), [("square", 1.0), ("square", 0.6), ("gaussian", 1.0), ("lanczos3", 1.0)]
)
def test_a_gpu_as_the_cpu(cuda, kernel, pixfrac, settings):
    """In single precision both backends differ by as much as each may from the definition, and mostly by less."""
    exposures, side, truth = test_kernels.scene(kernel, pixfrac, 1.0, False, "ivm")
    frame = test_kernels.frame_of(side, kernel, single=True, has_time=True, **settings)
    got, expected = oracle.run("cuda", frame, exposures), oracle.run("cpu", frame, exposures)
    assert flipped(got["con"], expected["con"]) <= tol.SINGLE_FLIPPED
    assert flipped(got["dq"], expected["dq"]) <= tol.SINGLE_FLIPPED
    there = truth.wht > 0
    assert flipped(got["exptime_map"][there], expected["exptime_map"][there]) <= tol.SINGLE_FLIPPED
    # Where weights of both signs don't cancel, and float32 loses none.
    sure = ~truth.unsure & (np.abs(truth.wht) > 0.1 * truth.abs_wht) & (truth.abs_wht > 0.1)
    sure &= (got["con"] == expected["con"]).all(axis=0)
    assert sure.sum() > 100
    for name in ("wht", "data", "err", *test_kernels.VARIANCES):
        size = np.median(np.abs(expected[name][sure]))
        off = np.abs(got[name] - expected[name])[sure] / size
        assert np.median(off) < 5e-7, name
        assert np.max(off) < 5e-5, name


# ---- numbers that float32 is not made for --------------------------------------------------------------------------


@pytest.mark.parametrize("propagates", [False, True])
@pytest.mark.parametrize("of_values", [1e-12, 1.0, 1e10])
@pytest.mark.parametrize("of_weights", [1e-30, 1.0, 1e30])
def test_single_scales(own_backend, of_weights, of_values, propagates):
    """Weights and values of any size: the same to rounding, in their units."""
    rng = np.random.default_rng(5)
    shape = (40, 50)
    variance = rng.uniform(0.5, 2.0, shape)
    arrays = {"data": rng.normal(1.0, 0.5, shape).astype("f4"), "err": rng.uniform(0.5, 1, shape)}
    frame = test_kernels.frame_of(70, "square", "f8", propagates=propagates, variance_names=("var_flat",))

    def mosaic(single, weights, values):
        exposure = oracle.exposure(
            arrays["data"] * values,
            oracle.pixel_map(shape, (35.2, 33.9), 1.0, 5.0),
            err=arrays["err"] * values,
            dq=np.ones(shape, "u4"),
            weight=Weight(variance=variance / weights),
            variances={"var_flat": variance * values**2},
            variance_weight=1.0,
        )
        return oracle.run(own_backend, replace(frame, single=single), [exposure])

    expected, got = mosaic(False, of_weights, of_values), mosaic(True, of_weights, of_values)
    inside = expected["wht"] > 0.2 * of_weights
    assert inside.sum() > 2000
    for name in ("wht", "data", "err", "var_flat"):
        size = np.nanmedian(np.abs(expected[name][inside]))
        assert 0 < np.max(np.abs(got[name][inside] - expected[name][inside])) < 4e-6 * size, name
    assert flipped(got["dq"], expected["dq"]) < 1e-3


def test_what_needs_doubles_has_them(own_backend):
    """Weights of an exposure that differ too much, and drops that are too small, are as in double."""
    rng = np.random.default_rng(6)
    shape = (20, 20)
    variance = rng.uniform(0.5, 2.0, shape)
    variance[3, 4] = 1e36
    tiny = {"pixfrac": 0.002, "weight": Weight()}
    for settings in ({"weight": Weight(variance=variance)}, tiny):
        exposure = oracle.exposure(
            rng.normal(size=shape).astype("f4"), oracle.pixel_map(shape, (20.2, 19.9), 1.0, 5.0), **settings
        )
        frame = test_kernels.frame_of(40, "square", "f8", has_err=False, has_dq=False, variance_names=())
        assert_as_doubles(own_backend, *single_and_double(own_backend, frame, [exposure]))


def test_floats_after_doubles(own_backend):
    """Exposures that need doubles among others: the sums of each are its own."""
    rng = np.random.default_rng(12)
    shape, exposures = (40, 50), []
    for k in range(4):
        variance = rng.uniform(0.5, 2.0, shape)
        if k == 1:
            variance[3, 4] = 1e36
        exposures.append(
            oracle.exposure(
                rng.normal(size=shape).astype("f4"),
                oracle.pixel_map(shape, (35.2 + k, 33.9), 1.0, 5.0 * k),
                weight=Weight(variance=variance),
                context_id=k,
            )
        )
    frame = test_kernels.frame_of(70, "square", "f8", has_err=False, has_dq=False, variance_names=())
    single, double = single_and_double(own_backend, frame, exposures)
    inside = double["wht"] > 1
    assert 0 < np.max(np.abs(single["wht"] - double["wht"])[inside]) < 4e-6
    assert np.max(np.abs(single["data"] - double["data"])[inside]) < 1e-5


@pytest.mark.parametrize("of_weights", [1e-35, 1e35])
def test_marks_of_pixels_without_weight(own_backend, of_weights):
    """Good pixels of weight 0 count for the exposure time, of whatever size the weights of others are."""
    rng = np.random.default_rng(13)
    shape = (30, 40)
    weights = np.where(rng.random(shape) < 0.5, 0.0, of_weights * rng.uniform(0.5, 2, shape)).astype("f4")
    weights[5:15, 5:15] = 0.0
    exposure = oracle.exposure(
        rng.normal(size=shape).astype("f4"),
        oracle.pixel_map(shape, (30.2, 29.9), 1.0, 3.0),
        weight=Weight(weight_map=weights),
    )
    frame = test_kernels.frame_of(60, "square", has_err=False, has_dq=False, has_time=True, variance_names=())
    single, double = single_and_double(own_backend, frame, [exposure])
    assert flipped(single["exptime_map"], double["exptime_map"]) < 1e-3
    assert (double["wht"] > 0).sum() < (double["exptime_map"] > 0).sum() - 50


@pytest.mark.parametrize("kernel", ["square", "lanczos2"])
def test_pixels_without_neighbours(own_backend, kernel):
    """Pixels some of whose neighbours have no place in the output have the drops that they have in double."""
    rng = np.random.default_rng(14)
    shape = (33, 70)
    places = oracle.pixel_map(shape, (50.3, 41.1), 1.0, 7.0)
    places[rng.random(shape) < 0.1] = np.nan
    places[4, 5] = 1e12
    exposure = oracle.exposure(rng.normal(1.0, 0.5, shape).astype("f4"), places)
    for pixfrac in (1.0, 0.7):
        frame = test_kernels.frame_of(100, kernel, "f8", has_err=False, has_dq=False, variance_names=())
        single, double = single_and_double(own_backend, frame, [replace(exposure, pixfrac=pixfrac)])
        assert flipped(single["con"], double["con"]) < 1e-3
        inside = (double["wht"] > 0.1) & (single["con"] == double["con"])[0]
        assert inside.sum() > 1000
        assert 0 < np.max(np.abs(single["wht"] - double["wht"])[inside]) < 4e-6


def test_bad_pixels_do_not_count(own_backend):
    """A weight that no good pixel has does not decide; NaN and infinite values are found where they are."""
    rng = np.random.default_rng(7)
    shape = (50, 60)
    data = rng.normal(1.0, 0.5, shape).astype("f4")
    data[10, 10], data[20, 30], data[5, 50] = np.nan, np.inf, np.nan
    variance = rng.uniform(0.5, 2.0, shape).astype("f4")
    variance[30, 30], variance[31, 31], variance[12, 40] = np.nan, 0.0, 1e38
    dq = (rng.random(shape) < 0.05).astype("u4") * 4
    dq[5, 50] = dq[12, 40] = 4
    places = oracle.pixel_map(shape, (40.3, 41.1), 1.0, 0.3)
    places[40, 20] = np.nan
    exposure = oracle.exposure(data, places, weight=Weight(variance=variance, bad_bits=4), dq=dq)
    frame = test_kernels.frame_of(80, "square", "f4", has_err=False, has_time=True, variance_names=())
    single, double = single_and_double(own_backend, frame, [exposure])
    for name in ("con", "dq", "exptime_map"):
        np.testing.assert_array_equal(single[name], double[name])
    assert np.isnan(double["data"]).any()
    np.testing.assert_array_equal(np.isfinite(single["data"]), np.isfinite(double["data"]))
    there = np.isfinite(double["data"]) & (double["wht"] > 0.05)
    assert np.max(np.abs(single["data"][there] - double["data"][there])) < 2e-5
    assert (single["wht"] != double["wht"]).any()  # in float32 it was


# ---- whatever it is computed by ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", ["square", "turbo", "gaussian", "lanczos3"])
@pytest.mark.parametrize("angle", [0.4, 30.0])
def test_threads_and_repeats(monkeypatch, kernel, angle):
    """The same bits by any number of threads."""
    rng = np.random.default_rng(8)
    shape = (330, 600)
    variance = rng.uniform(0.5, 2.0, shape).astype("f4")
    exposure = oracle.exposure(
        rng.normal(1.0, 0.5, shape).astype("f4"),
        oracle.pixel_map(shape, (400.3, 350.1), 1.0, angle),
        weight=Weight(variance=variance),
        variances={"var_rnoise": variance},
    )
    frame = test_kernels.frame_of((700, 800), kernel, has_err=False, has_dq=False, variance_names=("var_rnoise",))
    got = []
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("GPURES_NUM_THREADS", threads)
        got.append(oracle.run("cpu", replace(frame, single=True), [exposure, replace(exposure, context_id=1)]))
    for other in got[1:]:
        for name in ("data", "wht", "con", "var_rnoise"):
            np.testing.assert_array_equal(got[0][name], other[name])


# ---- mosaics -------------------------------------------------------------------------------------------------------

SHAPE = (40, 50)
FRAME = {"wcs": scenes.frame_around(SHAPE)}


def models(count):
    """Some exposures, dithered."""
    return scenes.dithered_models(SHAPE, count)


def made(given, backend="cpu", frame=FRAME, **options):
    """A mosaic of models."""
    resample = gpures.Resample(frame, **{"backend": backend, "precision": "single"} | options)
    resample.add_models(given)
    return resample


def images(resample):
    """The images of a mosaic."""
    resample.finalize()
    return resample.output_model


def assert_same_data(backend, got, expected):
    """Equal; on a GPU but for the order in which it adds."""
    if backend == "cpu":
        np.testing.assert_array_equal(got["data"], expected["data"])
    else:
        assert np.nanmax(np.abs(got["data"] - expected["data"])) < 1e-5


def test_single_of_a_mosaic(own_backend, tmp_path):
    """It is told of, saved, copied, and goes on in it."""
    given = models(4)
    whole, going = made(given, own_backend), made(given[:2], own_backend)
    assert whole.precision == "single"
    assert whole.output_model["precision"] == "single"
    assert "precision" not in made(given[:1], own_backend, precision="double").output_model
    going.save(tmp_path / "c")
    ways = [gpures.Resample.load(tmp_path / "c", backend=own_backend)]
    ways += [copy.deepcopy(going), pickle.loads(pickle.dumps(going))]
    for way in ways:
        assert way.precision == "single"
        way.add_models(given[2:])
        assert_same_data(own_backend, images(way), images(whole))
    assert (whole.output_model["data"] != images(made(given, own_backend, precision="double"))["data"]).any()


def test_single_merged(own_backend):
    """Parts in single precision are one; those of another precision are refused."""
    given = models(4)
    one, other = made(given[:2], own_backend), made(given[2:], own_backend)
    with pytest.raises(ValueError, match="'precision' of this mosaic, 'single', got 'double'"):
        one.merge(made(given[2:], own_backend, precision="double"))
    one.merge(other)
    off = images(one)["data"] - images(made(given, own_backend))["data"]
    assert np.nanmax(np.abs(off)) < 1e-5


def test_with_covariances(own_backend):
    """Covariances are of doubles, and what they are with is."""
    given = models(2)
    single, double = (made(given, own_backend, covariance=1, precision=of) for of in ("single", "double"))
    single, double = images(single), images(double)
    for name in ("data", "covariance"):
        np.testing.assert_allclose(single[name], double[name], 0 if own_backend == "cpu" else 1e-6, 1e-9)


def test_single_and_deterministic(cuda):
    """On a GPU sums that don't depend on the order are whole numbers, of doubles: the same bits as in double."""
    given = models(2)
    single, double = (
        images(made(given, "cuda", deterministic=True, precision=of, fillval="NaN")) for of in ("single", "double")
    )
    for name in ("data", "wht", "con", "var_rnoise"):
        np.testing.assert_array_equal(single[name], double[name])


def test_single_on_several_gpus(monkeypatch):
    """Two of them, of the stand-in, have the mosaic of one."""
    monkeypatch.setitem(sys.modules, "cupy", HostCUDA(devices=2))
    given = models(4)
    both, one = (images(made(given, "cuda", device=device)) for device in ([0, 1], 0))
    assert np.nanmax(np.abs(both["data"] - one["data"])) < 1e-5
    np.testing.assert_array_equal(both["con"], one["con"])


@pytest.mark.parametrize("at", [(0.0, 20.0), (180.0, 5.0), (77.0, 88.0)])
def test_single_at_seams(own_backend, at):
    """On a map of the whole sky, across its seam and near a pole, as in double."""
    model, wcs = exposure_at(at), sky("CAR")
    of_frame = {"wcs": wcs, "pixel_scale": 3600.0, "pixel_scale_ratio": 3.0}
    single, double = (
        images(made([model], own_backend, of_frame, precision=of, weight_type="exptime", fillval="NaN"))
        for of in ("single", "double")
    )
    assert flipped(single["con"], double["con"]) < 1e-3
    inside = double["wht"] > 0.1 * np.nanmax(double["wht"])
    assert inside.sum() > 20
    for name in ("wht", "data"):
        off = np.abs(single[name] - double[name])[inside] / np.nanmax(double[name])
        assert np.max(off) < 5e-6, name


def test_single_with_tables(own_backend):
    """Exposures whose WCS has lookup tables, whose pixel map is a spline in pieces: as in double."""
    wcs = fits_with(npol=0.2, shape=(70, 90))
    model = scenes.model_of(wcs, (70, 90), seed=2)
    frame = {"wcs": scenes.fits_wcs((110, 120), rotation=12.0)}
    single, double = (images(made([model], own_backend, frame, precision=of)) for of in ("single", "double"))
    assert flipped(single["con"], double["con"]) < 1e-3
    inside = (double["wht"] > 0.1 * np.max(double["wht"])) & (single["con"] == double["con"])[0]
    assert inside.sum() > 4000
    off = np.abs(single["wht"] - double["wht"])[inside] / np.max(double["wht"])
    assert 0 < np.max(off) < 4e-6


# ---- neighbours ----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["cpu", ON_HOST])
def of_files(request):
    """Name of each backend that the tests of files run on."""
    if request.param == "cpu":
        return request.param
    cupy_of(request, request.param)
    return "cuda"


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Exposures along a diagonal."""
    folder = tmp_path_factory.mktemp("exposures")
    return [exposure_file(folder / f"e{k}.fits", k, (60, 80), shift=(50 * k, -24 * k)) for k in range(4)]


def frame_of_files():
    """A frame around them."""
    return scenes.fits_wcs((190, 330), shift=(-75, 36))


def pixels_of(path):
    """The data and the weights of a mosaic in a file, and what its header says of the precision."""
    with fits.open(path) as hdus:
        return hdus["SCI"].data, hdus["WHT"].data, hdus[0].header.get("DRZPREC")


def assert_nearly_the_same_file(path, other):
    """Two mosaics in single precision, in files: but for the order of sums."""
    (data, weight, precision), (of_other, other_weight, _) = pixels_of(path), pixels_of(other)
    assert precision == "single"
    np.testing.assert_allclose(weight, other_weight, 3e-6, 1e-6 * np.nanmax(other_weight))
    inside = other_weight > 0.1 * np.nanmax(other_weight)
    np.testing.assert_allclose(data[inside], of_other[inside], 1e-5, 1e-5)


def test_single_in_tiles(of_files, paths, tmp_path, monkeypatch):
    """A mosaic in tiles is that in one piece."""
    monkeypatch.setattr(tiling, "GRAIN", 64)
    options = {"backend": of_files, "precision": "single", "progress": False}
    gpures.mosaic(paths, tmp_path / "whole.fits", **options)
    plan = make_plan(paths, tmp_path / "tiles.fits", **options)
    plan.tiles, plan.shelf_bytes = tiles_of(plan.shape, 12_000), 10**8
    assert len(plan.tiles) > 1
    build(plan, None)
    assert_nearly_the_same_file(tmp_path / "tiles.fits", tmp_path / "whole.fits")


def test_single_added_to(of_files, paths, tmp_path):
    """A mosaic in single precision is gone on with in it, as its file tells."""
    options = {"backend": of_files, "progress": False}
    gpures.mosaic(paths, tmp_path / "whole.fits", precision="single", output_wcs=frame_of_files(), **options)
    gpures.mosaic(paths[:2], tmp_path / "m.fits", precision="single", output_wcs=frame_of_files(), **options)
    gpures.mosaic(paths[2:], add_to=tmp_path / "m.fits", **options)
    assert_nearly_the_same_file(tmp_path / "m.fits", tmp_path / "whole.fits")


def test_single_from_a_checkpoint(of_files, paths, tmp_path, monkeypatch):
    """A mosaic that was interrupted is gone on with."""
    options = {"backend": of_files, "progress": False, "precision": "single"}
    gpures.mosaic(paths, tmp_path / "whole.fits", **options)
    save = gpures.Resample._save

    def saved_and_stopped(self, *args):
        save(self, *args)
        raise RuntimeError("here")

    options |= {"checkpoint": tmp_path / "c", "checkpoint_every": 2}
    with monkeypatch.context() as patch:
        patch.setattr(gpures.Resample, "_save", saved_and_stopped)
        with pytest.raises(RuntimeError, match="here"):
            gpures.mosaic(paths, tmp_path / "m.fits", **options)
    gpures.mosaic(paths, tmp_path / "m.fits", **options)
    assert_nearly_the_same_file(tmp_path / "m.fits", tmp_path / "whole.fits")


@pytest.mark.parametrize("kernel", ["square", "gaussian", "lanczos2"])
def test_single_by_drizzle(own_backend, kernel):
    """`gpures.Drizzle` in single precision has nearly the mosaic that it has in double, which is another one."""
    shape = (40, 50)
    data = np.random.default_rng(15).normal(1, 0.2, shape).astype("f4")
    made_by = {}
    for precision in ("single", "double"):
        drizzle = gpures.Drizzle(kernel, out_shape=(70, 70), backend=own_backend, precision=precision)
        drizzle.add_image(data, 10.0, oracle.pixel_map(shape, (35.2, 33.9), 1.0, 5.0))
        made_by[precision] = drizzle
    single, double = made_by["single"], made_by["double"]
    inside = double.out_wht > 0.1
    off = np.abs(single.out_wht - double.out_wht)[inside]
    assert 0 < np.max(off) < 2e-6
    assert np.max(np.abs(single.out_img - double.out_img)[inside]) < 2e-5
    with pytest.raises(ValueError, match="'precision' must be"):
        gpures.Drizzle(kernel, precision="half")


def test_single_by_acceleration(own_backend):
    """Whoever has stcal's or drizzle's resampling done by gpures may have it in single precision."""
    import drizzle.resample
    import stcal.resample

    with gpures.accelerate(own_backend, precision="single"):
        assert stcal.resample.Resample(FRAME).precision == "single"
        assert drizzle.resample.Drizzle(out_shape=(8, 8))._precision == "single"
    with pytest.raises(ValueError, match="'precision' must be"):
        gpures.accelerate(own_backend, precision="half")


def test_single_has_no_operator():
    """A matrix, and a star drizzled by it, are of doubles: they take no precision."""
    for function in (gpures.drizzle_operator, gpures.psf.drizzled_psf, gpures.noise_realizations):
        assert "precision" not in inspect.signature(function).parameters


def test_single_refused():
    """By a backend that has it not, before anything is added."""
    with pytest.raises(ValueError, match="precision='single'"):
        made([], backend="drizzle")
    with pytest.raises(ValueError, match="precision='single'"):
        gpures.accelerate("drizzle", precision="single")
    with pytest.raises(ValueError, match="precision='single'"):
        gpures.Drizzle(backend="drizzle", out_shape=(8, 8), precision="single")
