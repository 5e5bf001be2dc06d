"""Mosaics of one frame, each with some of the exposures, are merged into what all exposures at once give."""

from __future__ import annotations

import copy
import itertools
import pickle
import sys
import threading
from pathlib import Path

import numpy as np
import oracle
import pytest
import scenes
import test_seams
import tolerances as tol
from cuda_on_host import HostCUDA
from hypothesis import given
from hypothesis import strategies as st
from test_interrupts import STEPS, AtLine, Interrupt, WithHooks, equal, values

import gpures
from gpures.arguments.arrays import as_host
from gpures.backend import MosaicLayout, make_accumulators
from gpures.box import Box
from gpures.errors import IncompleteError
from gpures.exposure.weights import Weight

SHAPE = (15, 18)

pytestmark = [
    pytest.mark.filterwarnings("ignore:Kernel '.*' is not a flux-conserving kernel"),
    pytest.mark.filterwarnings("ignore:In lanczos kernel, pixfrac is ignored"),
]

WAYS = {
    "itself": lambda thing: thing,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
}

ALL_PLANES = {
    "compute_err": "driz_err",
    "propagate_dq": True,
    "enable_exptime_map": True,
    "extra_array_names": ["sky"],
    "fillval": "NaN",
}

FRAME = scenes.frame_around(SHAPE, margin=8)


def make_models(n, **changes):
    """Exposures of one field, of which two by two are of one group."""
    models = scenes.dithered_models(SHAPE, n=n, **changes)
    for k, model in enumerate(models):
        model["sky"] = np.full(SHAPE, k + 0.5, np.float32)
        model["dq"][k % SHAPE[0], 5] = 1 << (k % 20)
        model["group_id"] = f"visit {k // 2}"
    return models


MODELS = make_models(40)


def made(models, backend="cpu", frame=FRAME, base=gpures.Resample, ratio=1.0, **options):
    """A mosaic that has been begun with some models."""
    resample = base({"wcs": frame, "pixel_scale": scenes.SCALE, "pixel_scale_ratio": ratio}, backend=backend, **options)
    for model in models:
        resample.add_model(model)
    return resample


def finished(resample):
    """Its output model, with numpy arrays."""
    resample.finalize()
    return {k: np.array(v) if hasattr(v, "shape") else v for k, v in dict(resample.output_model).items()}


def assert_accumulated(resample, expected, bound):
    """What was accumulated by two mosaics agrees, in the accumulators' own precision."""
    window = Box.whole(FRAME.array_shape)
    (got, got_variances), (images, variances) = (
        each._accumulators.contents_on_host(window) for each in (resample, expected)
    )
    got, images = ({k: v for k, v in each.items() if v.dtype.kind == "f"} for each in (got, images))
    there = images["wht"] != 0
    got = {name: np.where(there, image, 0) for name, image in got.items()}
    images = {name: np.where(there, image, 0) for name, image in images.items()}
    for name, both in variances.items():
        images |= {f"{name} {k}": image for k, image in enumerate(both)}
        got |= {f"{name} {k}": image for k, image in enumerate(got_variances[name])}
    for name, image in images.items():
        tol.assert_close(got[name], image, bound * np.abs(image), name)


def assert_one_go(resample, expected, eps=tol.EPS32, per_exposure=1.0):
    """A merged mosaic is that of one go: to a few roundings an exposure, and exactly where nothing is rounded."""
    names = [exposure.name for exposure in resample.exposures]
    assert names == [exposure.name for exposure in expected.exposures]
    assert resample.group_ids == expected.group_ids
    for name in ("_n_res_models", "_measurement_time_success"):
        assert getattr(resample, name) == getattr(expected, name)
    bound = tol.PER_EXPOSURE * per_exposure * (len(names) + 1) * eps
    if eps == tol.EPS64:
        assert_accumulated(resample, expected, 10 * bound)
        bound = tol.EPS32  # of the images
    got, expected = finished(resample), finished(expected)
    assert list(got) == list(expected)
    for name, value in expected.items():
        if name == "wcs":
            continue
        if not isinstance(value, np.ndarray):
            assert got[name] == (pytest.approx(value, rel=1e-13) if isinstance(value, float) else value), name
        elif value.dtype.kind == "f":
            with np.errstate(invalid="ignore"):
                tol.assert_close(got[name], value, bound * np.abs(value), name)
        else:
            assert got[name].dtype == value.dtype
            np.testing.assert_array_equal(got[name], value, err_msg=name)


def state(resample):
    """All that a mosaic accumulates and counts."""
    accumulators = resample._accumulators
    held = accumulators.part(Box.whole(accumulators.layout.shape)).images
    counts = {name: copy.copy(getattr(resample, name)) for name in gpures.resample.resampler.COUNTS}
    return {name: as_host(array) for name, array in held.items()} | counts


def assert_same_state(got, expected):
    """Two such are equal; planes of the context that nobody has used do not count."""
    for name, value in expected.items():
        if isinstance(value, np.ndarray):
            found = got[name]
            if name.endswith(("_context", "out_ctx")):
                assert not found[len(value) :].any()
                found = found[: len(value)]
            np.testing.assert_array_equal(found, value, err_msg=name)
        else:
            assert got[name] == value, name


# ---- the same as in one go -------------------------------------------------------------------------------------------

OPTIONS = st.fixed_dictionaries(
    {
        "kernel": st.sampled_from(["square", "turbo", "point", "gaussian", "lanczos3"]),
        "pixfrac": st.sampled_from([1.0, 0.7]),
        "weight_type": st.sampled_from(["ivm", "exptime", "ivm-sky"]),
        "accumulator_dtype": st.sampled_from(["f4", "f8"]),
        "fillval": st.sampled_from(["NaN", 0.0, None, -3.0]),
        "enable_ctx": st.booleans(),
        "enable_var": st.booleans(),
        "compute_err": st.sampled_from([None, "from_var", "driz_err"]),
        "propagate_dq": st.booleans(),
        "enable_exptime_map": st.booleans(),
        "extra_array_names": st.sampled_from([(), ("sky",)]),
        "n_input_models": st.sampled_from([None, 7]),
    }
)


@st.composite
def partitions(draw, models):
    """Some models dealt to parts, some of which may be empty."""
    chosen = draw(st.permutations(range(models)))
    parts = draw(st.integers(2, 4))
    cuts = sorted(draw(st.lists(st.integers(0, models), min_size=parts - 1, max_size=parts - 1)))
    return [chosen[a:b] for a, b in itertools.pairwise([0, *cuts, models])]


@given(data=st.data())
def test_parts_are_merged_to_what_one_go_gives(data):
    """Whatever the settings, the parts, and the order and the tree in which they are merged."""
    options = data.draw(OPTIONS)
    trunk = [made([MODELS[k] for k in chosen], **options) for chosen in data.draw(partitions(7))]
    way = WAYS[data.draw(st.sampled_from(sorted(WAYS)))]
    while len(trunk) > 1:
        k = data.draw(st.integers(0, len(trunk) - 1))
        one = trunk.pop(k)
        other = trunk.pop(data.draw(st.integers(0, len(trunk) - 1)))
        before = state(other)
        one.merge(way(other))
        assert_same_state(state(other), before)
        trunk.append(way(one))
    (merged,) = trunk
    names = {model["filename"]: model for model in MODELS}
    expected = made([names[exposure.name] for exposure in merged.exposures], **options)
    eps = tol.EPS32 if options["accumulator_dtype"] == "f4" else tol.EPS64
    if options["kernel"] in ("gaussian", "lanczos3"):
        assert_where_sure(finished(merged), finished(expected), 1e4 * eps + tol.EPS32)
    else:
        assert_one_go(merged, expected, eps)


def assert_where_sure(got, expected, bound):
    """Images agree but where weights of both signs all but cancel, or are next to the smallest numbers."""
    sure = np.abs(expected["wht"]) > 0.02 * np.abs(expected["wht"]).max()
    for name, value in expected.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            shown = np.isfinite(value) & sure
            tol.assert_close(got[name][shown], value[shown], bound * np.abs(value[shown]).max(initial=0.0), name)
        elif isinstance(value, np.ndarray):
            np.testing.assert_array_equal(got[name], value, err_msg=name)


@pytest.mark.parametrize(("split", "dtype"), [(1, "f4"), (17, "f8"), (32, "f4"), (33, "f4")])
def test_every_backend(backend, split, dtype):
    """With more exposures than fit in a plane of the context image, whose bits move by any number."""
    if backend == "drizzle":  # which has one type
        dtype = "f4"
    options = ALL_PLANES | {"backend": backend, "accumulator_dtype": dtype}
    merged, other = made(MODELS[:split], **options), made(MODELS[split:], **options)
    before = state(other)
    merged.merge(other)
    assert_same_state(state(other), before)
    rounding = 30.0 if backend == "drizzle" else 1.0  # a running mean, of so many contributions
    eps = tol.EPS32 if dtype == "f4" else tol.EPS64
    assert_one_go(merged, made(MODELS, **options), eps, rounding)


@pytest.mark.parametrize("of", ["cpu", "cuda", "drizzle"])
@pytest.mark.parametrize("into", ["cpu", "cuda", "drizzle"])
def test_between_backends(host_cuda, into, of):
    """A part of any backend goes into one of any other."""
    merged, other = made(MODELS[:5], into, **ALL_PLANES), made(MODELS[5:11], of, **ALL_PLANES)
    merged.merge(WAYS["pickle"](other))
    merged.add_model(MODELS[11])
    assert merged.backend == into
    expected = made(MODELS[:12], "cpu", **ALL_PLANES)
    assert_one_go(merged, expected, per_exposure=30.0)


def test_between_devices(monkeypatch):
    """A part on a GPU goes into one on another."""
    monkeypatch.setitem(sys.modules, "cupy", HostCUDA(devices=2))
    merged, other = (made(MODELS[2 * k : 2 * k + 2], "cuda", device=k, **ALL_PLANES) for k in range(2))
    before = state(other)
    merged.merge(other)
    assert_same_state(state(other), before)
    assert_one_go(merged, made(MODELS[:4], **ALL_PLANES))


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_every_instruction_set(monkeypatch, isa, dtype):
    """Every copy of the kernel merges, whatever the number of threads."""
    options = ALL_PLANES | {"accumulator_dtype": dtype}
    monkeypatch.setenv("GPURES_ISA", isa)
    parts = []
    for threads in ("1", "3"):
        monkeypatch.setenv("GPURES_NUM_THREADS", threads)
        merged = made(MODELS[:3], **options)
        merged.merge(made(MODELS[3:6], **options))
        parts.append(merged)
    assert_same_state(state(parts[0]), state(parts[1]))
    assert_one_go(parts[0], made(MODELS[:6], **options), tol.EPS32 if dtype == "f4" else tol.EPS64)


@pytest.mark.parametrize("way", WAYS)
def test_both_go_on(backend, way):
    """After a merge, both mosaics go on by themselves; images that were looked at before are the new ones."""
    options = ALL_PLANES | {"backend": backend}
    one, other = made(MODELS[:2], **options), made(MODELS[2:4], **options)
    np.array(one.output_model["data"]), np.array(other.output_model["data"])
    assert one.output_model["pointings"] == 1
    one.merge(WAYS[way](other))
    assert one.output_model["pointings"] == 2
    bits = np.bitwise_or.reduce(np.array(one.output_model["con"]), axis=None)
    assert bits == 0b1111
    other.add_model(MODELS[5])
    one.add_model(MODELS[4])
    rounding = 30.0 if backend == "drizzle" else 1.0
    assert_one_go(other, made([*MODELS[2:4], MODELS[5]], **options), per_exposure=rounding)
    assert_one_go(one, made(MODELS[:5], **options), per_exposure=rounding)


def test_the_other_waits_until_it_has_been_read(cuda):
    """On a GPU a merge is under way when it returns; what the other is told next comes after it."""
    one, other = made(MODELS[:2], "cuda"), made(MODELS[2:4], "cuda")
    one.merge(other)
    other.add_model(MODELS[4])
    np.array(other.output_model["data"])
    assert_one_go(one, made(MODELS[:4], "cuda"))


def test_parts_without_exposures(backend):
    """A new mosaic merges, and is merged, and without any exposure there is nothing to finish."""
    options = ALL_PLANES | {"backend": backend}
    into_empty, of_empty, nothing = made([], **options), made(MODELS[:2], **options), made([], **options)
    into_empty.merge(made(MODELS[:2], **options))
    of_empty.merge(nothing)
    for merged in (into_empty, of_empty):
        assert_one_go(merged, made(MODELS[:2], **options))
    nothing.merge(made([], **options))
    with pytest.raises(ValueError, match="no model has been added"):
        nothing.finalize()


def test_groups_that_are_split():
    """Times of a group count once, those of its first exposure, wherever the others are."""
    models = [model | {"group_id": "one"} for model in MODELS[:3]] + [
        model | {"group_id": "two"} for model in MODELS[3:6]
    ]
    models[2] |= {"measurement_time": None}
    order = [models[k] for k in (0, 3, 1, 2, 4, 5)]
    merged = made(order[:2])
    for part in (order[2:3], order[3:5], order[5:]):
        merged.merge(made(part))
    assert merged.group_ids == ["one", "two"]
    expected = made(order)
    assert merged._total_exposure_time == expected._total_exposure_time == 100.0 + 103.0
    assert_one_go(merged, expected)
    late = made([models[2]])
    late.merge(made(models[:2]))
    late.finalize()
    assert late.output_model["start_time"] == models[2]["start_time"]
    assert late.output_model["measurement_time"] is None


def test_settings_that_change_between_exposures():
    """Each exposure has the settings that it was added with, and the result those of what it was merged into."""

    def change(resample, **settings):
        for name, value in settings.items():
            setattr(resample, name, value)

    one, other, both = made(MODELS[:1], fillval=5.0), made(MODELS[1:2], kernel="turbo"), made(MODELS[:1], fillval=5.0)
    both.kernel = "turbo"
    both.add_model(MODELS[1])
    for resample in (other, both):
        change(resample, kernel="point", pixfrac=0.5, good_bits=4, pixmap_stepsize=3)
        resample.add_model(MODELS[2])
    one.merge(other)
    for resample in (one, both):
        change(resample, kernel="square", pixfrac=1.0, good_bits=0, pixmap_stepsize=1, fillval=7.0)
        resample.add_model(MODELS[3])
    assert_one_go(one, both)


def test_periodic_frames(backend):
    """Exposures across the seam of a map of the whole sky."""
    wcs = test_seams.sky("CAR")
    models = [test_seams.exposure_at((180.0 + 3 * k, 10.0 * k), seed=k) for k in range(4)]
    options = {"backend": backend, "frame": wcs, "ratio": 3.0, "weight_type": "exptime", "compute_err": "from_var"}
    merged = made(models[:2], **options)
    merged.merge(WAYS["pickle"](made(models[2:], **options)))
    assert_one_go(merged, made(models, **options), per_exposure=30.0 if backend == "drizzle" else 1.0)


# ---- numbers of any size ---------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:'wht' is infinite")
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("size", [1e-30, 1e30, 3e38])
def test_weights_of_any_size(own_backend, size, dtype):
    """Sums of weights, those beyond float32 among them, and variances with theirs."""
    models = make_models(6)
    for k, model in enumerate(models):
        for name in ("var_rnoise", "var_poisson", "var_flat"):
            model[name] = model[name].astype(np.float64) / size * (1.0 if k % 2 else 1.5)
    options = ALL_PLANES | {"backend": own_backend, "accumulator_dtype": dtype}
    merged = made(models[:3], **options)
    merged.merge(WAYS["pickle"](made(models[3:], **options)))
    eps = {"f4": tol.EPS32, "f8": tol.EPS64}[dtype]
    if size == 3e38 and dtype == "f4":
        eps = 2.0**-20  # what is kept of such sums; variances are next to the smallest float32
        merged.finalize()
        expected = made(models, **options)
        expected.finalize()
        for name in ("data", "err", "sky"):
            tol.assert_close(merged.output_model[name], expected.output_model[name], 40 * eps * 10.0, name)
        assert np.isinf(merged.output_model["wht"]).any()
        np.testing.assert_array_equal(
            np.isinf(merged.output_model["wht"]), np.isinf(expected.output_model["wht"]), "infinite"
        )
        return
    assert_one_go(merged, made(models, **options), eps)


@pytest.mark.filterwarnings("ignore:'wht' is infinite")
@pytest.mark.parametrize(("into", "of"), [("cpu", "cuda"), ("cuda", "cpu"), ("drizzle", "cpu")])
def test_sums_beyond_float32_travel(host_cuda, into, of):
    """What float32 accumulators keep of sums of weights beyond their range is known to the other backends."""
    models = make_models(6)
    for model in models:
        model["var_rnoise"] = model["var_rnoise"].astype(np.float64) / 2.5e38
    merged = made(models[:2], into)
    merged.merge(made(models[2:], of))
    expected = made(models, "cpu", accumulator_dtype="f8")
    merged.finalize()
    expected.finalize()
    names = ("var_poisson", "var_flat") if into == "drizzle" else ("data", "var_poisson", "var_flat")
    for name in names:
        value = expected.output_model[name]
        tol.assert_close(merged.output_model[name], value, 100 * 2.0**-20 * np.abs(value), name)


def test_values_that_are_no_numbers(backend):
    """NaN and infinite values go where they would have gone, and no further."""
    models = make_models(4)
    for k, model in enumerate(models):
        model["data"][3 + k, 4:8] = np.nan
        model["data"][9, 3 + k] = np.inf
        model["var_flat"][5 + k, 2:5] = np.inf
        model["var_poisson"][2, 2 + k] = np.nan
        model["var_rnoise"][7, k] = 0.0
        model["dq"][:] = 0
    options = ALL_PLANES | {"backend": backend}
    merged = made(models[:2], **options)
    merged.merge(made(models[2:], **options))
    assert_one_go(merged, made(models, **options), per_exposure=30.0 if backend == "drizzle" else 1.0)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_squared_planes(own_backend, dtype):
    """Values that were averaged with squared weights, as `gpures.Drizzle` has them, are merged with squares."""
    rng = np.random.default_rng(4)
    shape = (6, 21)
    exposures = []
    for k in range(5):
        weights = rng.uniform(0.5, 2.0, shape).astype("f4")
        weights[k, :7] = 0.0
        pixmap = oracle.pixel_map(shape, ((shape[1] - 1) / 2, (shape[0] - 1) / 2))
        exposure = oracle.exposure(
            rng.uniform(1.0, 2.0, shape), pixmap, weight=Weight(weight_map=weights), context_id=k, variance_weight=1.0
        )
        exposure.squared = [rng.uniform(1.0, 2.0, shape), rng.uniform(0.1, 0.2, shape)]
        exposures.append(exposure)
    layout = MosaicLayout(shape, "point", 0.0, squared=2, dtype=np.dtype(dtype))
    all_at_once, one, other = (make_accumulators(own_backend, layout, None, True) for _ in range(3))
    for k, exposure in enumerate(exposures):
        all_at_once.add(exposure)
        exposure.context_id = k if k < 2 else k - 2
        (one if k < 2 else other).add(exposure)
    one.merge(other, 2, 3)
    eps = {"f4": tol.EPS32, "f8": tol.EPS64}[dtype]
    got, expected = (accumulators.contents_on_host(accumulators.touched)[0] for accumulators in (one, all_at_once))
    for name in ("data", "squared/0", "squared/1", "wht"):
        np.testing.assert_allclose(got[name], expected[name], rtol=30 * eps, err_msg=name)
    np.testing.assert_array_equal(got["con"], expected["con"])


# ---- windows ---------------------------------------------------------------------------------------------------------


def test_windows_are_merged_not_frames():
    """A merge in a frame of 19,000² pixels takes no memory for the frame."""
    wcs = scenes.imaging_wcs((19000, 19000))
    options = {"frame": wcs, "enable_var": False}
    one, other = made(MODELS[:2], **options), made(MODELS[2:4], **options)

    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    before = resident()
    one.merge(other)
    assert resident() - before < 100e6
    assert one._accumulators.touched.united(other._accumulators.touched) == one._accumulators.touched
    window = one._accumulators.touched
    got = one._accumulators.contents(window)[0]
    small = made(MODELS[:4], **options)._accumulators.contents(window)[0]
    np.testing.assert_allclose(got["data"], small["data"], rtol=1e-5)
    np.testing.assert_array_equal(got["con"], small["con"])


# ---- which exposures are in it ---------------------------------------------------------------------------------------


def test_exposures_are_told(backend):
    """A mosaic tells its exposures, in the order of the context's bits; what was left out is not among them."""
    resample = made([], backend)
    assert resample.exposures == []
    resample.add_models([MODELS[3], MODELS[1] | {"data": "none"}, MODELS[2]], on_error=lambda *_: None)
    assert [exposure.name for exposure in resample.exposures] == ["exposure3.fits", "exposure2.fits"]
    assert [exposure.group_id for exposure in resample.exposures] == ["visit 1", "visit 1"]
    with pytest.raises(AttributeError, match="reset_arrays"):
        resample.exposures = []
    resample.reset_arrays()
    assert resample.exposures == []


@pytest.mark.parametrize("way", WAYS)
def test_an_exposure_twice_is_refused(way):
    """The same mosaic again, itself, its copies, and any that shares an exposure."""
    one, other = made(MODELS[:2]), made(MODELS[2:4])
    with pytest.raises(ValueError, match="another mosaic, got this one itself"):
        one.merge(one)
    one.merge(WAYS[way](other))
    expected = state(one)
    shared = made([MODELS[7], MODELS[3], MODELS[8], MODELS[0]])
    for again, match in (
        (WAYS[way](other), "got 2 of 2 that are: 'exposure2.fits', 'exposure3.fits'"),
        (copy.copy(one), "got 4 of 4 that are"),
        (WAYS[way](shared), "got 2 of 4 that are: 'exposure3.fits', 'exposure0.fits'"),
    ):
        with pytest.raises(ValueError, match=match):
            one.merge(again)
        assert_same_state(state(one), expected)


def test_what_is_the_same_exposure(host_cuda):
    """Other types, byte orders, flags, groups and devices are no other exposure; other pixels and places are."""
    model = MODELS[0]
    data = np.where(np.arange(SHAPE[1]) == 3, np.nan, model["data"])
    model = model | {"data": data.astype("f4")}
    one = made([model])
    same = (
        {"data": data.astype(">f4")},
        {"data": data.astype("f4").astype("f8")},
        {"data": np.asfortranarray(data.astype("f4"))},
        {"data": np.ma.MaskedArray(model["data"], np.isnan(data))},
        {"dq": np.ones(SHAPE, np.uint32) * 4, "group_id": "x"},
        {"level": 1.0, "var_rnoise": model["var_rnoise"] * 2},
    )
    for changes in same:
        other = made([model | changes], good_bits=4)
        with pytest.raises(ValueError, match=r"got 1 of 1 that are: 'exposure0.fits'\."):
            one.merge(other)
    gpu = made([model | {"data": host_cuda.asarray(data.astype("f4"))}], "cuda")
    with pytest.raises(ValueError, match="got 1 of 1 that are"):
        one.merge(gpu)
    with pytest.raises(ValueError, match="got 1 of 1 that are"):
        one.merge(made([model], pixmap_tolerance=0))
    shifted = scenes.imaging_wcs(SHAPE, rotation=20.0, shift=(0.5, 0.0))
    for changes in (
        {"data": model["data"][::-1]},
        {"data": model["data"] + 1},
        {"wcs": shifted},
        {"filename": "another.fits"},
    ):
        one.merge(made([model | changes]))
    assert len(one.exposures) == 5


# ---- what is refused -------------------------------------------------------------------------------------------------


class OwnMaps(gpures.Resample):
    """Counts pixels by itself, as a pipeline may."""

    def add_model_hook(self, model, **kwargs):
        """Count."""
        self.pixels = getattr(self, "pixels", 0) + model["data"].size


class MergedMaps(OwnMaps):
    """Merges them."""

    def merge(self, other):
        """Both."""
        super().merge(other)
        self.pixels += other.pixels


def refusals():
    """What can't be merged, made of some models, and why."""
    moved = scenes.imaging_wcs(FRAME.array_shape, shift=(0.01, 0.0))
    turned = scenes.imaging_wcs(FRAME.array_shape, rotation=1e-4)
    larger = scenes.imaging_wcs((50, 51))
    elsewhere = scenes.imaging_wcs(FRAME.array_shape, ra=30.0)
    return {
        "none": (lambda m: "mosaic", TypeError, r"'other' must be a gpures.Resample, got 'mosaic'"),
        "shape": (lambda m: made(m, frame=larger), ValueError, r"'other' must have the frame .*, got \(50, 51\)"),
        "moved": (lambda m: made(m, frame=moved), ValueError, "the output WCS .* off by up to 0.01 pixels"),
        "turned": (lambda m: made(m, frame=turned), ValueError, "the output WCS .* off by up to"),
        "elsewhere": (lambda m: made([], frame=elsewhere), ValueError, "the output WCS of this mosaic, got"),
        "context": (lambda m: made(m, enable_ctx=False), ValueError, "the 'enable_ctx' .* True, got False"),
        "variances": (lambda m: made(m, enable_var=False), ValueError, "the 'enable_var' of"),
        "err": (lambda m: made(m, compute_err="driz_err"), ValueError, "the 'compute_err' .* None, got 'driz_err'"),
        "dq": (lambda m: made(m, propagate_dq=True), ValueError, "the 'propagate_dq'"),
        "extra": (lambda m: made(m, extra_array_names=["sky"]), ValueError, r"'extra_array_names' .*, got \['sky'\]"),
        "time": (lambda m: made(m, enable_exptime_map=True), ValueError, "the 'enable_exptime_map'"),
        "type": (lambda m: made(m, accumulator_dtype="f8"), ValueError, "'accumulator_dtype' .* 'float32', got 'fl"),
        "weights": (lambda m: made(m, weight_type="exptime"), ValueError, "'weight_type' .* 'ivm', got 'exptime'"),
        "ratio": (lambda m: made(m, ratio=2.0), ValueError, "'pixel_scale_ratio' of this mosaic, 1.0, got 2.0"),
        "derived": (lambda m: made(m, ratio=None), ValueError, "'pixel_scale_ratio' of this mosaic, 1.0, got None"),
        "hooks": (lambda m: made(m, base=OwnMaps), TypeError, "'other' is a OwnMaps, whose 'add_model_hook'"),
        "times": (
            lambda m: made([m[0] | {"start_time": "noon"}]),
            TypeError,
            "'start_time' of model 'exposure2.fits' must be comparable with 60000.0 before it, got 'noon'",
        ),
    }


@pytest.mark.parametrize("case", refusals())
def test_what_can_not_be_merged(case):
    """It is said which argument is wrong, what it was and what it should be; both mosaics are what they were."""
    make, error, match = refusals()[case]
    one, other = made(MODELS[:2]), make(MODELS[2:4])
    before = [state(each) for each in (one, other) if isinstance(each, gpures.Resample)]
    with pytest.raises(error, match=match):
        one.merge(other)
    for each, expected in zip((one, other), before, strict=False):
        assert_same_state(state(each), expected)
    one.merge(made(MODELS[2:4]))


def test_names_of_variances_must_agree():
    """Other variances are refused, the same ones in another order are not."""

    class Fewer(gpures.Resample):
        variance_array_names = ["var_rnoise", "var_flat"]

    class Ordered(gpures.Resample):
        variance_array_names = ["var_flat", "var_poisson", "var_rnoise"]

    one = made(MODELS[:2])
    with pytest.raises(ValueError, match=r"'variance_array_names' .*'var_poisson'.*, got \['var_flat', 'var_rnoise'\]"):
        one.merge(made(MODELS[2:4], base=Fewer))
    one.merge(made(MODELS[2:4], base=Ordered))
    expected = made(MODELS[:4])
    assert_one_go(one, expected)


def test_finished_mosaics_are_refused():
    """On either side."""
    one, other = made(MODELS[:2]), made(MODELS[2:4])
    done = copy.copy(other)
    done.finalize()
    with pytest.raises(ValueError, match="'other' must not be finalized"):
        one.merge(done)
    with pytest.raises(RuntimeError, match="merged into a mosaic that is finalized"):
        done.merge(one)
    one.merge(other)


def test_interrupted_mosaics_are_refused(backend):
    """On either side, and each says which it is."""
    one, other = made(MODELS[:2], backend), made(MODELS[2:4], backend)
    broken = copy.copy(other)
    broken._accumulators._is_broken = True
    with pytest.raises(IncompleteError, match="'other' must hold whole exposures"):
        one.merge(broken)
    with pytest.raises(IncompleteError, match="This mosaic must hold whole exposures"):
        broken.merge(one)
    one.merge(other)


def test_mosaics_that_were_gone_on_with_are_refused():
    """Which exposures are in them is not known."""
    one, resumed = made(MODELS[:2]), made([])
    resumed._n_res_models = 2  # as `gpures.resample.resuming` does
    with pytest.raises(ValueError, match="'other' must know which exposures are in it"):
        one.merge(resumed)
    with pytest.raises(ValueError, match="This mosaic must know"):
        resumed.merge(one)


def test_the_same_frame_by_another_wcs():
    """What a WCS does counts, not what it is made of."""
    from astropy.wcs import WCS

    box = ((-0.5, FRAME.array_shape[1] - 0.5), (-0.5, FRAME.array_shape[0] - 0.5))
    keywords = WCS(FRAME.to_fits_sip(bounding_box=box))
    keywords.array_shape = FRAME.array_shape
    one = made(MODELS[:2])
    one.merge(made(MODELS[2:4], frame=keywords))
    one.merge(made(MODELS[4:5], frame=scenes.latitude_first(FRAME)))
    assert_one_go(one, made(MODELS[:5]), per_exposure=100.0)


def test_ratios_that_were_not_given():
    """Those of the first exposures: where drops are sized by them they must agree, and else the first one holds."""
    areas = [MODELS[0]["pixelarea_steradians"] * factor for factor in (1.0, 1.1)]
    models = [model | {"pixelarea_steradians": area} for model, area in zip(MODELS, areas, strict=False)]
    parts = [made([model], ratio=None, kernel="turbo") for model in models]
    with pytest.raises(ValueError, match=r"sizes the drops of 'exposure1.fits', got 0.95.*give 'pixel_scale_ratio'"):
        parts[0].merge(parts[1])
    parts = [made([model], ratio=None) for model in models]
    parts[0].merge(parts[1])
    expected = made(models, ratio=None)
    assert parts[0].pixel_scale_ratio == expected.pixel_scale_ratio
    assert_one_go(parts[0], expected)
    empty = made([], ratio=None)
    empty.merge(parts[1])
    assert empty.pixel_scale_ratio == parts[1].pixel_scale_ratio == empty.output_model["pixel_scale_ratio"]


def test_subclasses_that_merge_what_is_theirs():
    """A subclass with a hook merges with a method of its own; one whose variances go through a hook needs none."""
    one, other = made(MODELS[:2], base=MergedMaps), made(MODELS[2:3], base=MergedMaps)
    one.merge(other)
    assert one.pixels == 3 * MODELS[0]["data"].size
    assert_one_go(one, made(MODELS[:3]))


def test_accelerated_classes():
    """What stands in for stcal's class merges as well."""
    from stcal.resample import Resample

    class Own(Resample):
        pass

    with gpures.accelerate(backend="cpu"):
        one, other = (Own({"wcs": FRAME, "pixel_scale": scenes.SCALE, "pixel_scale_ratio": 1.0}) for _ in range(2))
        for model in MODELS[:2]:
            one.add_model(model)
        for model in MODELS[2:4]:
            other.add_model(model)
        one.merge(WAYS["copy"](other))
        assert_one_go(one, made(MODELS[:4]))


# ---- all or nothing --------------------------------------------------------------------------------------------------


def test_a_merge_that_was_interrupted_at_any_line(backend):
    """The other is in the mosaic and counted, or not at all, and it is what it was in any case."""
    options = {"backend": backend, "compute_err": "from_var", "propagate_dq": True, "enable_exptime_map": True}
    resample, other, later = (made(MODELS[a:b], **options) for a, b in ((0, 2), (2, 4), (4, 5)))
    before = values(copy.copy(resample))
    after = copy.copy(resample)
    after.merge(other)
    after = values(after)
    assert not equal(before, after)
    of_other = state(other)
    seen, line = dict.fromkeys(("before", "after", "refused"), 0), 0
    while True:
        one = copy.copy(resample)
        noted = False
        try:
            with AtLine(line) as interruption:
                one.merge(other)
        except Interrupt as error:
            noted = any("has been merged" in note for note in getattr(error, "__notes__", []))
        if not interruption.raised:
            break
        assert_same_state(state(other), of_other)
        try:
            got = values(one)
        except IncompleteError:
            seen["refused"] += 1
        else:
            if equal(got, before):
                seen["before"] += 1
                assert not noted
                assert len(one.exposures) == 2
                one.merge(other)
                assert equal(values(one), after)
            else:
                assert equal(got, after), line
                seen["after"] += 1
                with pytest.raises(ValueError, match="got 2 of 2 that are"):
                    one.merge(other)
                one.merge(later)
        line += 2 if backend == "cpu" else STEPS[backend]
    assert seen["before"] > 5
    if backend == "cpu":
        assert seen["after"] > 0
    assert seen["refused"] == 0


def test_no_memory_for_a_merge(backend, monkeypatch):
    """Where there is none, both mosaics are what they were, and go on."""
    one, other = made(MODELS[:2], backend), made(MODELS[2:4], backend)
    before = state(one)

    def fail(*_):
        raise MemoryError("none left")

    name = "_merge_context" if backend == "drizzle" else "_merge_record"
    with monkeypatch.context() as patched:
        patched.setattr(type(one._accumulators), name, fail)
        with pytest.raises(MemoryError):
            one.merge(other)
    assert_same_state(state(one), before)
    one.merge(other)
    assert one.output_model["pointings"] == 2


def test_two_that_merge_each_other():
    """At once, in two threads: both are locked in one order, and one of them comes first."""
    one, other = made(MODELS[:2]), made(MODELS[2:4])
    failed = []

    def merge(into, of):
        try:
            into.merge(of)
        except ValueError as error:
            failed.append(error)

    threads = [threading.Thread(target=merge, args=pair) for pair in ((one, other), (other, one))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert len(failed) == 1
    assert sorted(len(each.exposures) for each in (one, other)) == [2, 4]


def test_hooks_of_variances():
    """Variances that a subclass resamples by itself are merged like others."""

    class Variances(gpures.Resample):
        def resample_variance_arrays(self, model, **kwargs):
            super().resample_variance_arrays(model, **kwargs)

    one = made(MODELS[:2], base=Variances)
    one.merge(made(MODELS[2:4], base=Variances))
    assert_one_go(one, made(MODELS[:4]))
    with pytest.raises(TypeError, match="This mosaic is a WithHooks"):
        made(MODELS[:1], base=WithHooks).merge(made(MODELS[1:2]))
