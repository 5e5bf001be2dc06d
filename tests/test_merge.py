"""Mosaics of one frame, each with some of the exposures, are merged into what all exposures at once give."""

from __future__ import annotations

import itertools
import sys
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
from merged import (
    ALL_PLANES,
    MODELS,
    WAYS,
    assert_one_go,
    assert_same_state,
    finished,
    made,
    make_models,
    state,
)

from gpures.backend import MosaicLayout, make_accumulators
from gpures.exposure.weights import Weight

pytestmark = [
    pytest.mark.filterwarnings("ignore:Kernel '.*' is not a flux-conserving kernel"),
    pytest.mark.filterwarnings("ignore:In lanczos kernel, pixfrac is ignored"),
]

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
        "variance_method": st.sampled_from(["stcal", "propagated"]),
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


@pytest.mark.also_on_ptx
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
