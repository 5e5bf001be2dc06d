"""Single precision: drops and the sums of an exposure in float32, against the definition in float64."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import numpy as np
import oracle
import pytest
import scenes
import test_kernels
import tolerances as tol

import gpures
from gpures.exposure.weights import Weight

pytestmark = [
    pytest.mark.filterwarnings("ignore:Kernel '.*' is not a flux-conserving kernel"),
    pytest.mark.filterwarnings("ignore:In lanczos kernel, pixfrac is ignored"),
    pytest.mark.filterwarnings("ignore:Kernel reset to .point."),
]

#: Instruction sets of the walk; those that this processor has not are others.
SETS = ("", "avx2", "baseline")


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
@pytest.mark.parametrize(("kernel", "pixfrac"), [drop for drop in test_kernels.DROPS if drop[1] == 1.0])
def test_single_against_the_definition(kernel, pixfrac, psr, dtype):
    """Every kernel: data, weight, error, variances, context and DQ, within bounds of float32."""
    exposures, side, truth = test_kernels.scene(kernel, pixfrac, psr, False, "ivm")
    frame = test_kernels.frame_of(side, kernel, dtype, single=True)
    precision = replace(tol.PRECISION["cpu", dtype], drop=2.0 * oracle.reach(kernel, pixfrac, psr))
    assert_near_truth(oracle.run("cpu", frame, exposures), truth, precision, len(exposures))


@pytest.mark.parametrize("isa", SETS)
@pytest.mark.parametrize("kind", ["map", "constant"])
def test_single_by_other_weights(monkeypatch, isa, kind):
    """Weights of a map and of a number, by each instruction set."""
    monkeypatch.setenv("GPURES_ISA", isa)
    exposures, side, truth = test_kernels.scene("square", 0.7, 1.0, True, kind)
    got = oracle.run("cpu", test_kernels.frame_of(side, "square", single=True), exposures)
    assert_near_truth(got, truth, replace(tol.PRECISION["cpu", "f4"], drop=4.0), len(exposures))


def smooth(rng, shape=(90, 110), **settings):
    """An exposure whose weights differ little, so that an error of the weights is one of the geometry."""
    variance = rng.uniform(0.95, 1.05, shape)
    return {"data": rng.normal(1.0, 0.2, shape).astype("f4"), "weight": Weight(variance=variance)} | settings


@pytest.mark.parametrize("isa", SETS)
@pytest.mark.parametrize("pixfrac", [1.0, 0.7])
@pytest.mark.parametrize("angle", [0.0, 1.0, 20.0])
def test_single_weights(monkeypatch, angle, pixfrac, isa):
    """At the input's scale weights are good to 8e-7, 99 % of them to 4e-7; the data to as much of the values."""
    monkeypatch.setenv("GPURES_ISA", isa)
    given = smooth(np.random.default_rng(3))
    exposure = oracle.exposure(
        given.pop("data"), oracle.pixel_map((90, 110), (90.3, 88.8), 1.0, angle, warp=0.1), pixfrac=pixfrac, **given
    )
    frame = test_kernels.frame_of(180, "square", "f8", has_err=False, has_dq=False, variance_names=(), single=True)
    double, single = (oracle.run("cpu", replace(frame, single=is_single), [exposure]) for is_single in (False, True))
    differs = double["con"] != single["con"]
    assert differs.mean() < 1e-3
    # A contribution is as good as its drop is: where several together have a tenth of one, so is a tenth of it.
    inside = (double["wht"] > 0.1) & ~differs[0]
    off = np.abs(single["wht"] - double["wht"])[inside] / double["wht"][inside]
    assert 1e-8 < np.quantile(off, 0.99) < 4e-7
    assert np.max(off * np.minimum(double["wht"][inside], 1)) < 8e-7
    assert np.max(np.abs(single["data"][inside] - double["data"][inside]) * np.minimum(double["wht"][inside], 1)) < 2e-6


def test_place_in_a_large_frame():
    """1e5 pixels from the frame's first one the weights are as good as near it."""
    given = smooth(np.random.default_rng(4), shape=(60, 60))
    data, at = given.pop("data"), 99_960.3
    frame = test_kernels.frame_of(
        100_100, "square", "f8", has_err=False, has_dq=False, variance_names=(), context_planes=0
    )
    part = frame.of_part(gpures.box.Box(99_900, 100_050, 99_900, 100_050))
    exposure = oracle.exposure(data, oracle.pixel_map((60, 60), (at, at), 1.0, 12.0), **given)
    double, single = (oracle.run("cpu", replace(part, single=is_single), [exposure]) for is_single in (False, True))
    inside = double["wht"] > 0.1
    assert np.sum(inside) > 3000
    assert np.max(np.abs(single["wht"] - double["wht"])[inside]) < 8e-7


# ---- numbers that float32 is not made for --------------------------------------------------------------------------


@pytest.mark.parametrize("propagates", [False, True])
@pytest.mark.parametrize("of_values", [1e-12, 1.0, 1e10])
@pytest.mark.parametrize("of_weights", [1e-30, 1.0, 1e30])
def test_single_scales(of_weights, of_values, propagates):
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
        return oracle.run("cpu", replace(frame, single=single), [exposure])

    expected, got = mosaic(False, of_weights, of_values), mosaic(True, of_weights, of_values)
    inside = expected["wht"] > 0.2 * of_weights
    assert inside.sum() > 2000
    for name in ("wht", "data", "err", "var_flat"):
        size = np.nanmedian(np.abs(expected[name][inside]))
        assert 0 < np.max(np.abs(got[name][inside] - expected[name][inside])) < 4e-6 * size, name
    assert flipped(got["dq"], expected["dq"]) < 1e-3


def test_what_needs_doubles_has_them():
    """Weights of an exposure that differ too much, and drops that are too small, are as in double to the last bit."""
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
        double, single = (
            oracle.run("cpu", replace(frame, single=is_single), [exposure]) for is_single in (False, True)
        )
        for name in ("wht", "data", "con"):
            np.testing.assert_array_equal(single[name], double[name])


def test_bad_pixels_do_not_count():
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
    double, single = (oracle.run("cpu", replace(frame, single=is_single), [exposure]) for is_single in (False, True))
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


def made(given, **options):
    """A mosaic of models."""
    resample = gpures.Resample(FRAME, **{"backend": "cpu", "precision": "single"} | options)
    resample.add_models(given)
    return resample


def images(resample):
    """The images of a mosaic."""
    resample.finalize()
    return resample.output_model


def test_single_of_a_mosaic(tmp_path):
    """It is told of, saved, copied, and goes on in it."""
    given = models(4)
    whole, going = made(given), made(given[:2])
    assert whole.precision == "single"
    assert whole.output_model["precision"] == "single"
    assert "precision" not in made(given[:1], precision="double").output_model
    going.save(tmp_path / "c")
    ways = [gpures.Resample.load(tmp_path / "c"), copy.deepcopy(going), pickle.loads(pickle.dumps(going))]
    for way in ways:
        assert way.precision == "single"
        way.add_models(given[2:])
        np.testing.assert_array_equal(images(way)["data"], images(whole)["data"])
    assert (whole.output_model["data"] != images(made(given, precision="double"))["data"]).any()


def test_single_merged(tmp_path):
    """Parts in single precision are one; those of another precision are refused."""
    given = models(4)
    one, other = made(given[:2]), made(given[2:])
    with pytest.raises(ValueError, match="'precision' of this mosaic, 'single', got 'double'"):
        one.merge(made(given[2:], precision="double"))
    one.merge(other)
    off = images(one)["data"] - images(made(given))["data"]
    assert np.nanmax(np.abs(off)) < 1e-5


def test_with_covariances():
    """Covariances are of doubles, and what they are with is."""
    given = models(2)
    single, double = (made(given, covariance=1, precision=precision) for precision in ("single", "double"))
    single, double = images(single), images(double)
    for name in ("data", "covariance"):
        np.testing.assert_array_equal(single[name], double[name])


@pytest.mark.parametrize("backend", ["drizzle", "cuda"])
def test_single_refused(host_cuda, backend):
    """By a backend that has it not, before anything is added."""
    with pytest.raises(ValueError, match="precision='single'"):
        made([], backend=backend)
