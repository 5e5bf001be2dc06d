"""`deterministic=True`: the same bits in whatever order a GPU adds, which the stand-ins draw; and as near the truth."""

from __future__ import annotations

import copy
import math
import pickle
import sys
from dataclasses import replace

import cuda_on_ptx
import numpy as np
import oracle
import pytest
import scenes
import tolerances as tol
from cuda_on_host import HostCUDA
from cuda_on_ptx import TARGETS
from merged import ALL_PLANES, FRAME, MODELS, finished, made
from test_cuda import assert_same_image, assert_same_images, exposure_of, frame_of
from test_seams import exposure_at, sky

import gpures
from gpures.backend import make_accumulators
from gpures.backend.cuda import accumulators as on_cuda
from gpures.exposure.drops import KERNELS
from gpures.exposure.weights import Weight
from gpures.mosaicking import tiling
from gpures.mosaicking.build import build
from gpures.mosaicking.plan import make_plan
from gpures.mosaicking.tiling import tiles_of

pytestmark = [
    pytest.mark.filterwarnings("ignore:Kernel '.*' is not a flux-conserving kernel"),
    pytest.mark.filterwarnings("ignore:In lanczos kernel, pixfrac is ignored"),
]

ON_CUDA = {"backend": "cuda", "deterministic": True}
HOST, PTX = "cuda-on-host", "cuda-on-ptx"


@pytest.fixture(params=[HOST, pytest.param(PTX, marks=pytest.mark.ptx)])
def shuffled(request, monkeypatch):
    """A stand-in for CuPy whose blocks and threads, or warps, come in another order at each launch."""
    if request.param == PTX:
        return request.getfixturevalue("cuda_of_ptx")
    cuda = HostCUDA(devices=2, shuffles=True)
    monkeypatch.setitem(sys.modules, "cupy", cuda)
    return cuda


def exposures_of(kernel, n=2, shape=(19, 37)):
    """Exposures with everything on, which fill some blocks in part; and a frame for them, of sums in float64."""
    exposures = [exposure_of(shape, (29.2 + 3 * k, 33.7), seed=k, context_id=k) for k in range(n)]
    return exposures, frame_of((60, 66), kernel, "f8", deterministic=True)


def bits(images):
    """Images as bytes."""
    return {name: np.asarray(image).tobytes() for name, image in images.items()}


def runs(frame, exposures, n=3):
    """Bits of the same mosaic, made so many times."""
    return [bits(oracle.run("cuda", frame, exposures)) for _ in range(n)]


# ---- the same bits ---------------------------------------------------------------------------------------------------


# A compiler makes each of them: for the host few, and of all PTX.
SHORT = {"square", "point"}
IN_ANY_ORDER = [(HOST, "square"), (HOST, "lanczos3")] + [
    pytest.param(PTX, k, marks=[pytest.mark.ptx, *([pytest.mark.also_on_ptx] if k in SHORT else [])]) for k in KERNELS
]


@pytest.mark.parametrize(("shuffled", "kernel"), IN_ANY_ORDER, indirect=["shuffled"])
def test_same_bits_in_any_order(shuffled, kernel):
    """All images, of every kernel; without the option the order tells, but where a pixel gets but one contribution."""
    exposures, frame = exposures_of(kernel)
    first, *others = runs(frame, exposures)
    assert all(other == first for other in others)
    first, *others = runs(replace(frame, deterministic=False), exposures)
    assert any(other["data"] != first["data"] for other in others) == (kernel != "point")


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("target", [pytest.param(TARGETS[2], marks=pytest.mark.also_on_ptx), *TARGETS], ids=str)
@pytest.mark.ptx
def test_same_bits_on_every_device(cuda_of_ptx, monkeypatch, target, kernel):
    """What is compiled for each generation of GPUs gives the bits that the source gives on the host."""
    monkeypatch.setenv("GPURES_PTX", ":".join(map(str, target)))
    if reason := cuda_on_ptx.why_not():
        pytest.skip(reason)
    exposures, frame = exposures_of(kernel, 1)
    if kernel == "gaussian":  # exp() is one library's here, and another's there
        frame = replace(frame, dtype=np.dtype("f4"))
    got = oracle.run("cuda", frame, exposures)
    monkeypatch.setitem(sys.modules, "cupy", HostCUDA())
    assert bits(got) == bits(oracle.run("cuda", frame, exposures))


def mixed():
    """Exposures of many sizes, whose sums lie where others did; some with variances alone, or without neighbours."""
    exposures = [exposure_of(shape, (33.0, 31.0), seed=k) for k, shape in enumerate([(9, 12), (40, 30), (2, 2)])]
    exposures += [exposure_of((20, 36), (40.0, 30.0), seed=4), exposure_of((24, 20), (30.0, 30.0), seed=5)]
    exposures[3].pixmap.full[3:9, 5:8] = np.nan
    exposures[4].variances = {}
    return exposures


@pytest.mark.also_on_ptx
def test_exposures_of_all_sizes(shuffled):
    """One upon another: what one leaves in the memory for its sums is no part of the next."""
    frame = frame_of((64, 70), "square", "f8", deterministic=True)
    first, second = runs(frame, mixed(), 2)
    assert first == second
    assert_same_images(oracle.run("cuda", frame, mixed()), oracle.run("cpu", frame, mixed()), "f8")


@pytest.mark.parametrize("options", [{}, {"variance_method": "propagated", "accumulator_dtype": "f8"}], ids=str)
def test_mosaics(shuffled, options):
    """Whole mosaics with all planes, weights that are not positive, and drops that are squares of some pixels alone."""
    options = ALL_PLANES | options
    models = [dict(model, var_rnoise=model["var_rnoise"].copy()) for model in MODELS[:3]]
    models[1]["var_rnoise"][3, 4:7] = [0.0, np.nan, -1.0]
    first, second = (finished(made(models, **ON_CUDA, **options)) for _ in range(2))
    expected = finished(made(models, **options))
    for name, image in expected.items():
        if isinstance(image, np.ndarray):
            assert first[name].tobytes() == second[name].tobytes(), name
            np.testing.assert_allclose(first[name], image, 4 * tol.EPS32, 1e-6 * np.nanmax(np.abs(image)), err_msg=name)


def test_across_a_seam(shuffled):
    """Where an exposure is in more than one place of a frame of the whole sky, as of one."""
    model, wcs = exposure_at((180.0, 40.0), side=14), sky("CAR")
    given = {"wcs": wcs, "pixel_scale": 3600.0, "pixel_scale_ratio": 3.0}
    images = []
    for options in (ON_CUDA, ON_CUDA, {"backend": "cpu"}):
        resample = gpures.Resample(given, fillval="NaN", weight_type="exptime", accumulator_dtype="f8", **options)
        resample.add_model(model)
        images.append(finished(resample))
    assert (images[0]["wht"][:, [0, -1]] > 0).any(axis=0).all()
    assert images[0]["data"].tobytes() == images[1]["data"].tobytes()
    np.testing.assert_allclose(images[0]["data"], images[2]["data"], tol.EPS32)


@pytest.fixture
def two(monkeypatch):
    """Two GPUs, whose blocks come in any order."""
    monkeypatch.setitem(sys.modules, "cupy", HostCUDA(devices=2, shuffles=True))


def test_several_gpus(two):
    """What they hold is brought together in their order."""
    options = ALL_PLANES | ON_CUDA | {"device": [0, 1], "accumulator_dtype": "f8"}
    first, second = (finished(made(MODELS[:5], **options)) for _ in range(2))
    assert all(first[name].tobytes() == second[name].tobytes() for name in ("data", "wht", "err", "var_flat", "sky"))


def test_tiles_and_cleaning(two, tmp_path, monkeypatch):
    """So are mosaics in tiles, and those whose exposures are compared before."""
    monkeypatch.setattr(tiling, "GRAIN", 32)
    shape = (40, 46)
    models = scenes.dithered_models(shape, n=3)
    quiet = {"progress": None, "output_wcs": scenes.frame_around(shape, margin=12), **ON_CUDA}
    images = []
    for k in range(2):
        plan = make_plan(models, tmp_path / f"{k}.zarr", **quiet)
        plan.tiles = tiles_of(plan.shape, 2100)
        assert len(plan.tiles) > 1
        build(plan, None)
        cleaned = {"reject_outliers": True, "combine": ["median"]}
        gpures.mosaic(models, tmp_path / f"{k} cleaned.zarr", **cleaned, **quiet)
        read = (gpures.io.read_mosaic(tmp_path / f"{name}.zarr") for name in (k, f"{k} cleaned"))
        images.append([bits({name: x for name, x in each.items() if isinstance(x, np.ndarray)}) for each in read])
    assert images[0] == images[1]
    assert images[0][0].keys() >= {"data", "wht", "con", "err"}


# ---- as near the truth -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("pixfrac", [0.3, 1.0])
def test_as_good_as_sums_in_float64(host_cuda, kernel, pixfrac):
    """The mosaic keeps to the same bounds around the definition's, which are roundings of float64."""
    exposures, frame = exposures_of(kernel, 2, (10, 12))
    exposures = [replace(e, pixfrac=pixfrac) for e in exposures]
    truth = oracle.coadd(exposures, frame)
    tol.assert_true("cuda", "f8", oracle.run("cuda", frame, exposures), truth, 2)


def extreme():
    """Weights from 1e-30 to 1e30, beside each other."""
    rng, shape = np.random.default_rng(7), (14, 20)
    exposure = exposure_of(shape, (20.0, 18.0))
    exposure.weight = Weight(weight_map=(10.0 ** rng.uniform(-30, 30, shape)).astype("f4"), bad_bits=4)
    exposure.weight.weight_map[5, 5:9] = [1e-20, 1e20, 1e-20, 1e37]
    exposure.data = (10.0 ** rng.uniform(-15, 15, shape) * rng.choice([-1, 1], shape)).astype("f4")
    return exposure


@pytest.mark.also_on_ptx
@pytest.mark.parametrize("kernel", ["square", "gaussian", "turbo", "point"])
def test_weights_of_all_sizes(shuffled, kernel):
    """A weight of 1e-20 is not lost beside one of 1e20: pixels have their own units. Nor is a gaussian's tail."""
    frame = frame_of((40, 44), kernel, "f8", deterministic=True)
    exposure = replace(extreme(), pixfrac=0.5)
    got, expected = (oracle.run(name, frame, [exposure]) for name in ("cuda", "cpu"))
    tol.assert_same_bits(got["con"], expected["con"])
    assert np.ptp(np.log10(expected["wht"][expected["wht"] > 0])) > 50
    # Relative to each pixel's own sum: of weights, all of which are positive.
    bound = (tol.OVERLAP * 1e4 + tol.EXPONENT * tol.EPS64) * np.abs(expected["wht"])
    tol.assert_close(got["wht"], expected["wht"], bound, "wht")
    truth = oracle.coadd([exposure], frame)
    tol.assert_true("cuda", "f8", got, truth, 1)


@pytest.mark.also_on_ptx
def test_what_is_no_number(shuffled):
    """Infinities and NaN are where they are otherwise, of either sign, also where both meet."""
    exposure = exposure_of((16, 20), (24.0, 20.0), angle=0.0, warp=0.0)
    exposure.data[2, 3], exposure.data[2, 9], exposure.data[9, 3] = np.inf, -np.inf, np.nan
    exposure.data[9, 9:11] = np.inf, -np.inf
    exposure.err[12, 4:8] = np.inf, np.nan, 0.0, 1e30
    exposure.dq[...] = 0
    frame = frame_of((40, 44), "square", "f8", deterministic=True)
    got = oracle.run("cuda", frame, [exposure, exposure])
    expected = oracle.run("cuda", replace(frame, deterministic=False), [exposure, exposure])
    assert np.isposinf(got["data"]).any()
    assert np.isneginf(got["data"]).any()
    assert np.isnan(got["data"][got["wht"] > 0]).any()
    for name, image in expected.items():
        finite = np.isfinite(image)
        np.testing.assert_array_equal(got[name][~finite], image[~finite], name)
        assert_same_image(name, got[name][finite], image[finite], "f8")


@pytest.mark.parametrize("n", [1, 3, 64, 20000])
def test_many_contributions(host_cuda, n):
    """However many input pixels an output pixel gets, nothing overflows, and less is lost than is said."""
    rng = np.random.default_rng(n)
    weights = rng.uniform(0.5, 1, (1, n)).astype("f4")
    data = rng.normal(size=(1, n)).astype("f4")
    weights[0, 0], data[0, 0] = 1e30, 1.0
    pixmap = np.full((1, n, 2), 2.0)
    exposure = oracle.exposure(data, pixmap, weight=Weight(weight_map=weights))
    frame = frame_of((5, 5), "point", "f8", deterministic=True)
    frame = replace(frame, variance_names=(), has_err=False, has_dq=False)
    got = oracle.run("cuda", frame, [exposure])
    w, d = weights.astype(float)[0], data.astype(float)[0]
    total, largest = math.fsum(w), w.max()
    assert abs(got["wht"][2, 2] - total) <= n**2 * 2.0**-61 * largest + tol.EPS64 * total
    mean, bound = math.fsum(w * d) / total, 2 * n**2 * 2.0**-61 + 4 * tol.EPS64
    assert abs(got["data"][2, 2] - mean) <= bound


# ---- what takes it ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pairs", [{"covariance": 1}, {"covariance": True}, {"noise_factor": True}], ids=str)
def test_pairs_are_refused_on_a_gpu(host_cuda, pairs):
    """They are added to the mosaic in no order; of a plan, before anything is read. On a CPU they are as they were."""
    options = {"compute_err": "from_var", "deterministic": True} | pairs
    for backend in ("cuda", "auto"):
        with pytest.raises(ValueError, match=r"deterministic=True goes with neither 'covariance' nor 'noise_factor'"):
            made([], backend, **options)
        with pytest.raises(ValueError, match=r"deterministic=True goes with neither"):
            make_plan(MODELS[:1], backend=backend, progress=None, output_wcs=FRAME, **options)
    assert finished(made(MODELS[:2], **options)).keys() >= {"data", "err"}


def test_too_many_pixels(host_cuda, monkeypatch):
    """Contributions are counted in 32 bits: an exposure with more pixels is refused, and nothing of it is added."""
    exposures, frame = exposures_of("point", 1)
    accumulators = make_accumulators("cuda", frame)
    monkeypatch.setattr(on_cuda, "MOST_COUNTED", 19 * 37)
    with pytest.raises(ValueError, match="deterministic=True takes exposures of at most"):
        accumulators.add(exposures[0])
    assert accumulators.passes == 0
    monkeypatch.setattr(on_cuda, "MOST_COUNTED", 19 * 37 + 1)
    accumulators.add(exposures[0])
    assert_same_images(dict(accumulators.images()), dict(images_on_cpu(frame, exposures)), "f8")


def images_on_cpu(frame, exposures):
    """Images of the backend cpu."""
    accumulators = make_accumulators("cpu", frame)
    for exposure in exposures:
        accumulators.add(exposure)
    return accumulators.images()


@pytest.mark.parametrize("backend", ["cpu", "drizzle"])
def test_other_backends_are_deterministic(backend):
    """There the option changes nothing."""
    options = ALL_PLANES | {"backend": backend, "compute_err": "from_var"}
    with_it, without = (finished(made(MODELS[:2], deterministic=on, **options)) for on in (True, False))
    assert all(with_it[name].tobytes() == without[name].tobytes() for name in ("data", "wht", "err", "var_flat"))


@pytest.mark.parametrize("way", ["copy", "pickle", "checkpoint", "merge"])
def test_it_goes_on(two, tmp_path, way):
    """Copies and what is loaded are as deterministic as what they are of."""

    def made_by(way):
        begun = made(MODELS[:2], **ALL_PLANES | ON_CUDA | {"accumulator_dtype": "f8"})
        if way == "copy":
            begun = copy.deepcopy(begun)
        elif way == "pickle":
            begun = pickle.loads(pickle.dumps(begun))
        elif way == "checkpoint":
            begun.save(tmp_path / "c")
            begun = gpures.Resample.load(tmp_path / "c")
        else:
            begun.merge(made(MODELS[4:6], **ALL_PLANES | ON_CUDA | {"accumulator_dtype": "f8"}))
        assert begun.deterministic
        assert begun._accumulators.layout.deterministic
        begun.add_model(MODELS[2])
        return finished(begun)

    first, second = made_by(way), made_by(way)
    assert all(first[name].tobytes() == second[name].tobytes() for name in ("data", "wht", "err", "var_flat"))


def test_drizzle_class(two):
    """`gpures.Drizzle` takes it, and what stands for the package's class with `gpures.accelerate`."""

    def image(**options):
        drizzle = gpures.Drizzle(out_shape=(50, 50), backend="cuda", **options)
        rng = np.random.default_rng(1)
        drizzle.add_image(
            rng.normal(size=(20, 30)).astype("f4") * np.float32(1e4),
            exptime=1.0,
            pixmap=oracle.pixel_map((20, 30), (24.0, 25.0), 1.0, 20.0),
            weight_map=rng.uniform(1e-3, 1e3, (20, 30)).astype("f4"),
        )
        return drizzle.out_img.tobytes()

    assert len({image(deterministic=True) for _ in range(3)}) == 1
    pytest.importorskip("drizzle")
    with gpures.accelerate("cuda", deterministic=True):
        from drizzle.resample import Drizzle

        assert Drizzle(out_shape=(5, 5))._deterministic
    with pytest.raises(TypeError, match="'deterministic'"):
        gpures.Drizzle(out_shape=(5, 5), deterministic="yes")


def test_history_tells(two, tmp_path):
    """The mosaic's file has the call that made it."""
    gpures.mosaic(MODELS[:2], tmp_path / "m.fits", progress=None, output_wcs=FRAME, **ON_CUDA)
    from astropy.io import fits

    assert "deterministic=True" in "".join(fits.getheader(tmp_path / "m.fits")["HISTORY"])
