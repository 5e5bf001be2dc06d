"""Which mosaics can be merged, and that a merge which is refused, or fails, changes none of both."""

from __future__ import annotations

import copy
import threading

import numpy as np
import pytest
import scenes
from merged import (
    FRAME,
    MODELS,
    SHAPE,
    WAYS,
    assert_one_go,
    assert_same_state,
    made,
    state,
)
from test_interrupts import STEPS, AtLine, Interrupt, WithHooks, equal, values

import gpures
from gpures.errors import IncompleteError

pytestmark = [
    pytest.mark.filterwarnings("ignore:Kernel '.*' is not a flux-conserving kernel"),
    pytest.mark.filterwarnings("ignore:In lanczos kernel, pixfrac is ignored"),
]

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
