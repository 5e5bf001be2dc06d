"""Times: counted once for each group, None where they are, and from zero after reset_arrays."""

from __future__ import annotations

import datetime as dt
import math
from fractions import Fraction

import numpy as np
import pytest
import scenes
import stcal.resample

import gpures

SHAPE = (12, 11)
TIMES = ("exposure_time", "measurement_time", "duration", "elapsed_exposure_time", "start_time", "end_time")


def models_of(groups, **changes):
    """Models of the groups named."""
    wcs = scenes.imaging_wcs(SHAPE, rotation=15.0)
    return [scenes.model_of(wcs, SHAPE, seed=k, group_id=g, **changes) for k, g in enumerate(groups)]


def resampler_of(base=gpures.Resample, **options):
    """A resampler of small mosaics."""
    return base({"wcs": scenes.frame_around(SHAPE), "pixel_scale": scenes.SCALE}, **options)


def times_of(resampler, models):
    """Times and pointings of a mosaic of the models."""
    for model in models:
        resampler.add_model(model)
    resampler.finalize()
    output = resampler.output_model
    return {key: output[key] for key in (*TIMES, "pointings") if key in output}


@pytest.mark.parametrize(
    "groups", [["a"], ["a", "a", "a"], ["a", "b", "a", "c", "b"], [1, 2, 1], [None, None, "x"], [("a", 1), ("a", 2)]]
)
def test_a_group_counts_once(backend, groups):
    """Of a group only the first exposure's times count, and it is one pointing."""
    models = models_of(groups)
    resampler = resampler_of(backend=backend)
    got = times_of(resampler, models)
    assert got == times_of(resampler_of(stcal.resample.Resample), models)
    firsts = [groups.index(g) for g in dict.fromkeys(groups)]
    assert resampler.group_ids == list(dict.fromkeys(groups))
    assert got["pointings"] == len(firsts)
    assert got["exposure_time"] == sum(100.0 + k for k in firsts)
    assert got["measurement_time"] == sum(95.0 + k for k in firsts)
    assert got["duration"] == got["elapsed_exposure_time"] == sum(110.0 + k for k in firsts)
    assert got["start_time"] == models[firsts[0]]["start_time"]
    assert got["end_time"] == models[firsts[-1]]["end_time"]


@pytest.mark.parametrize("without", [[0], [1], [0, 1], [0, 1, 2]])
def test_measurement_time_of_all_or_none(without):
    """The output has a measurement time only if all exposures have one."""
    models = models_of("abc")
    for k in without:
        models[k]["measurement_time"] = None
    got = times_of(resampler_of(), models)
    assert got == times_of(resampler_of(stcal.resample.Resample), models)
    assert got["measurement_time"] is None


@pytest.mark.parametrize("weight_type", ["exptime", "ivm"])
def test_measurement_time_falls_back(backend, weight_type):
    """Where there is no measurement time the exposure time is the weight."""
    models = models_of("ab", measurement_time=None)
    resampler = resampler_of(backend=backend, weight_type=weight_type, kernel="point", good_bits=None)
    times_of(resampler, models[:1])
    if weight_type == "exptime":
        assert set(resampler.output_model["wht"].ravel()) >= {0.0, 100.0}


@pytest.mark.parametrize("number", [np.float16, np.float32, np.int16, np.array, Fraction], ids=lambda n: n.__name__)
def test_sums_of_small_numbers(number):
    """Times of any type of number are summed in double precision: half ones end at 65504."""
    models = models_of("abc")
    for model in models:
        model |= {key: number(32000) for key in ("exposure_time", "measurement_time", "duration")}
    got = times_of(resampler_of(), models)
    assert got["exposure_time"] == got["measurement_time"] == got["duration"] == 96000.0
    assert type(got["exposure_time"]) is float


def test_missing_durations():
    """A duration that is None counts as none."""
    models = models_of("abc")
    models[1]["duration"] = None
    got = times_of(resampler_of(), models)
    assert got == times_of(resampler_of(stcal.resample.Resample), models)
    assert got["duration"] == 110.0 + 112.0


def test_missing_start_and_end():
    """Start and end that are None are passed over; of an output without any they are None."""
    models = models_of("abc")
    models[0]["start_time"] = models[2]["end_time"] = None
    got = times_of(resampler_of(), models)
    assert got["start_time"] == models[1]["start_time"]
    assert got["end_time"] == models[1]["end_time"]
    got = times_of(resampler_of(), models_of("ab", start_time=None, end_time=None))
    assert got["start_time"] is None
    assert got["end_time"] is None


@pytest.mark.parametrize("kind", ["string", "time", "order"])
def test_kinds_of_start_and_end(kind):
    """Start and end may be anything that can be compared, and need not come in order."""
    from astropy.time import Time

    models = models_of("abc")
    for model, day in zip(models, ("02", "01", "03"), strict=True):
        if kind == "string":
            model["start_time"], model["end_time"] = f"2026-01-{day}T00:00", f"2026-01-{day}T01:00"
        elif kind == "time":
            model["start_time"], model["end_time"] = Time(f"2026-01-{day}"), Time(f"2026-01-{day}T01:00")
        else:
            model["start_time"], model["end_time"] = int(day), int(day) + 0.5
    got = times_of(resampler_of(), models)
    expected = times_of(resampler_of(stcal.resample.Resample), models)
    assert got["start_time"] == expected["start_time"] == models[1]["start_time"]
    assert got["end_time"] == expected["end_time"] == models[2]["end_time"]


@pytest.mark.parametrize("key", ["start_time", "end_time"])
@pytest.mark.parametrize("first", [60000.0, "2026-01-01", dt.datetime(2026, 1, 1), np.datetime64("2026-01-01"), "Time"])
def test_times_of_other_kinds(backend, key, first):
    """A start or end that can't be compared with those before is refused with the model, not found out at the end."""
    from astropy.time import Time

    first = Time("2026-01-01") if isinstance(first, str) and first == "Time" else first
    others = [
        60000.0,
        "2026-01-02",
        dt.datetime(2026, 1, 2),
        dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
        Time(60000.0, format="mjd"),
    ]
    models = models_of("abc")
    for model in models:
        model["start_time"] = model["end_time"] = first
    resampler = resampler_of(backend=backend)
    resampler.add_model(models[0])
    refused = 0
    for other in others:
        try:
            min(first, other)
        except TypeError:
            with pytest.raises(TypeError, match=f"'{key}' of model 'exposure1.fits' must be comparable with"):
                resampler.add_model(models[1] | {key: other})
            refused += 1
    assert refused
    assert times_of(resampler, models[2:]) == times_of(resampler_of(backend=backend), [models[0], models[2]])


@pytest.mark.parametrize(
    "time", [math.nan, -math.inf, np.datetime64("NaT", "s"), True, (1, 2), [1.0], np.ones(2)], ids=repr
)
def test_times_that_are_none(time):
    """NaN, NaT, sequences and booleans are no start or end, in the first model as in later ones."""
    models = models_of("ab")
    for key in ("start_time", "end_time"):
        resampler = resampler_of()
        for model in models:
            with pytest.raises((TypeError, ValueError), match=f"'{key}' of model 'exposure.*must be (a time|comp)"):
                resampler.add_model(model | {key: time})
            resampler.add_model(model)


@pytest.mark.parametrize("group", [np.arange(2), np.array(["a"]), np.ones((2, 2)), np.array([])], ids=repr)
def test_groups_that_are_arrays(backend, group):
    """A group that is an array, which equals nothing or everything, is refused before anything is added."""
    models = models_of("ab")
    resampler = resampler_of(backend=backend)
    for model in models:
        with pytest.raises(TypeError, match=r"'group_id' of model 'exposure.*must be a name or a number"):
            resampler.add_model(model | {"group_id": group})
        resampler.add_model(model)
    expected = resampler_of(backend=backend)
    assert times_of(resampler, []) == times_of(expected, models)
    for key in ("data", "wht", "con"):
        np.testing.assert_array_equal(resampler.output_model[key], expected.output_model[key])


def test_times_before_the_end():
    """Before finalize the output model has no times yet but counts pointings."""
    resampler, reference = resampler_of(), resampler_of(stcal.resample.Resample)
    for each in (resampler, reference):
        for model in models_of("aab"):
            each.add_model(model)
    for key in ("exposure_time", "measurement_time", "duration", "start_time", "end_time", "pointings"):
        assert resampler.output_model[key] == reference.output_model[key]
    assert resampler.output_model["pointings"] == 2


def test_reset_begins_anew(backend):
    """After reset_arrays the same models give the same mosaic, times and pointings; the old output stays as it was."""
    models = models_of("aab")
    resampler = resampler_of(backend=backend)
    first = times_of(resampler, models)
    output = resampler.output_model
    data = output["data"].copy()
    resampler.reset_arrays(n_input_models=3)
    assert resampler.output_model is not output
    assert resampler.group_ids == []
    assert not resampler.is_finalized()
    assert resampler.output_model["pointings"] == 0
    assert times_of(resampler, models) == first
    assert (resampler.output_model["data"] == data).all()
    assert (output["data"] == data).all()
    # The reference keeps its list of groups: a group that was in the mosaic before does not count in the next.
    reference = resampler_of(stcal.resample.Resample)
    assert times_of(reference, models) == first
    reference.reset_arrays(n_input_models=3)
    with pytest.raises(ValueError, match="min"):
        times_of(reference, models)


def test_reset_in_the_middle(backend):
    """What was added before reset_arrays is forgotten, also when the mosaic was not finished."""
    models = models_of("abc")
    resampler = resampler_of(backend=backend)
    resampler.add_model(models[0])
    resampler.reset_arrays()
    got = times_of(resampler, models[1:])
    assert got == times_of(resampler_of(backend=backend), models[1:])
    expected = resampler_of(backend=backend)
    times_of(expected, models[1:])
    assert (resampler.output_model["wht"] == expected.output_model["wht"]).all()
    assert (resampler.output_model["con"] == expected.output_model["con"]).all()


def test_ratio_survives_a_reset():
    """The pixel scale ratio of the first model holds for mosaics after reset_arrays, as in the reference."""
    models = models_of("ab")
    models[1]["pixelarea_steradians"] *= 4.0
    made = []
    for base in (gpures.Resample, stcal.resample.Resample):
        resampler = resampler_of(base)
        times_of(resampler, models[:1])
        resampler.reset_arrays()
        times_of(resampler, models[1:])
        made.append((resampler.pixel_scale_ratio, resampler.output_model["pixel_scale_ratio"]))
    assert made[0] == made[1]
