"""The output model is a dictionary, whichever way it is read, and its images are current whenever they are."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
import scenes

import gpures
from gpures.resample.output_model import OutputModel

SHAPE = (12, 11)


class Source:
    """Something to fetch from, that counts how often it was asked."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return {"data": f"data {self.calls}", "wht": f"wht {self.calls}"}


@pytest.fixture
def source():
    return Source()


@pytest.fixture
def model(source):
    """A model with two deferred images."""
    model = OutputModel({"wcs": "w", "data": None, "wht": None, "pointings": 1})
    model.defer(["data", "wht"], source)
    return model


FULL = {"wcs": "w", "data": "data 1", "wht": "wht 1", "pointings": 1}

READERS = {
    "item": lambda m: m["data"],
    "get": lambda m: m.get("wht"),
    "get with default": lambda m: m.get("data", 5),
    "items": lambda m: dict(m.items()),
    "values": lambda m: list(m.values()),
    "dict": lambda m: dict(m),
    "unpacked": lambda m: {**m},
    "keywords": lambda m: dict(**m),
    "copy": lambda m: m.copy(),
    "copy.copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda m: pickle.loads(pickle.dumps(m)),
    "merged": lambda m: m | {},
    "merged into": lambda m: {} | m,
    "updated from": lambda m: {**m},
    "equal": lambda m: m == FULL,
    "comprehension": lambda m: {k: m[k] for k in m},
    "json": lambda m: json.loads(json.dumps(m)),
    "repr": repr,
    "pop": lambda m: m.pop("data"),
    "setdefault": lambda m: m.setdefault("data", 3),
}


@pytest.mark.parametrize("reader", READERS)
def test_every_way_of_reading_is_current(model, source, reader):
    """However it is read, the model gives what was deferred, fetched once."""
    got = READERS[reader](model)
    assert source.calls == 1
    if isinstance(got, dict):
        assert got == FULL
    elif isinstance(got, list):
        assert got == list(FULL.values())
    elif reader == "repr":
        assert got == repr(FULL)
    else:
        assert got in ("data 1", "wht 1", True)


def test_in_place_union_of_another_dict(model):
    """A dictionary updated with the model has its images."""
    other = {}
    other.update(model)
    assert other == FULL
    other = {"a": 1}
    other |= model
    assert other == FULL | {"a": 1}


@pytest.mark.parametrize(
    "reader",
    [len, list, lambda m: m.keys(), lambda m: "data" in m, lambda m: m["wcs"], lambda m: m.get("pointings")],
)
def test_what_needs_no_image_fetches_none(model, source, reader):
    """Keys, length and other values are there without fetching images."""
    reader(model)
    assert source.calls == 0
    assert list(model) == list(FULL)
    assert len(model) == 4
    assert "data" in model


def test_copies_are_plain(model):
    """Copies are dictionaries without anything deferred, of which one does not change the other."""
    for duplicate in (model.copy(), copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert type(duplicate) is dict
        duplicate["data"] = 0
        assert model["data"] == "data 1"
    assert isinstance(model, dict)


def test_what_is_written_stays(model, source):
    """A value set or deleted after it was deferred is not undone by fetching."""
    model["data"] = "mine"
    assert model["wht"] == "wht 1"
    assert model["data"] == "mine"
    model.defer(["data", "wht"], source)
    del model["data"]
    assert model["wht"] == "wht 2"
    assert "data" not in model
    model.defer(["data", "wht"], source)
    model.update(wht="other", new=1)
    assert (model["wht"], model["new"], model["data"]) == ("other", 1, "data 3")
    model.defer(["data", "wht"], source)
    model |= {"data": "joined"}
    assert model["data"] == "joined"
    assert model["wht"] == "wht 4"


def test_removing(model, source):
    """Pop and setdefault act on fetched values."""
    assert model.pop("wht") == "wht 1"
    assert "wht" not in model
    assert model.pop("none", 7) == 7
    with pytest.raises(KeyError, match="none"):
        model.pop("none")
    model.defer(["data", "wht"], source)
    assert model.setdefault("fresh", 3) == 3
    assert model.setdefault("data", 3) == "data 2"


def test_popitem(source):
    """An image popped as the last item is fetched first."""
    model = OutputModel({"wcs": "w"})
    model.defer(["data", "wht"], source)
    assert dict([model.popitem(), model.popitem()]) == {"data": "data 1", "wht": "wht 1"}


def test_clear(model, source):
    """A cleared model stays empty."""
    model.clear()
    assert model.get("data") is None
    assert dict(model) == {}


def test_errors_while_fetching(model):
    """An error while fetching reaches the reader, and the next one tries again."""
    calls = []

    def fail():
        calls.append(1)
        if len(calls) == 1:
            raise MemoryError("no room")
        return {"data": 1, "wht": 2}

    model.defer(["data", "wht"], fail)
    with pytest.raises(MemoryError, match="no room"):
        model["data"]
    assert model["data"] == 1


# ---- of a resampler ------------------------------------------------------------------------------------------------


def test_images_are_current_after_each_model(backend):
    """Whichever way it is read, after each model the output has the images of all models so far."""
    models = scenes.dithered_models(SHAPE, n=4)
    frame = {"wcs": scenes.frame_around(SHAPE), "pixel_scale": scenes.SCALE}
    resampler = gpures.Resample(frame, n_input_models=4, backend=backend, propagate_dq=True, compute_err="driz_err")
    output = resampler.output_model
    assert output["data"] is None
    ways = [lambda m, k: m[k], lambda m, k: dict(m)[k], lambda m, k: {**m}[k], lambda m, k: m.copy()[k]]
    for k, (model, way) in enumerate(zip(models, ways, strict=True)):
        resampler.add_model(model)
        assert resampler.output_model is output
        contributed = np.bitwise_or.reduce(way(output, "con")[0], axis=None)
        assert contributed == 2 ** (k + 1) - 1
        for key in ("data", "wht", "err", "dq"):
            assert way(output, key).shape == resampler.output_array_shape
        assert output["var_rnoise"] is None
    resampler.finalize()
    assert resampler.output_model is output
    assert output["var_rnoise"].shape == resampler.output_array_shape


def test_reading_changes_nothing(backend):
    """A mosaic whose images are read, with a fill value, after each model equals one that is read at the end."""
    models = scenes.dithered_models(SHAPE, n=4)
    frame = {"wcs": scenes.frame_around(SHAPE), "pixel_scale": scenes.SCALE}
    made = []
    for read in (False, True):
        resampler = gpures.Resample(frame, backend=backend, propagate_dq=True, compute_err="driz_err", fillval=-9.0)
        for model in models:
            resampler.add_model(model)
            if read:
                assert np.any(resampler.output_model["data"] == -9.0)
        resampler.finalize()
        made.append(resampler.output_model)
    for key, image in made[0].items():
        if isinstance(image, np.ndarray):
            np.testing.assert_array_equal(made[1][key], image, err_msg=key)


def test_pickled_mosaic(backend):
    """A finished mosaic can be pickled and copied."""
    models = scenes.dithered_models(SHAPE, n=1)
    frame = {"wcs": scenes.frame_around(SHAPE), "pixel_scale": scenes.SCALE}
    resampler = gpures.Resample(frame, backend=backend)
    resampler.add_model(models[0])
    images = {k: v for k, v in resampler.output_model.items() if k != "wcs"}
    again = pickle.loads(pickle.dumps(images))
    np.testing.assert_array_equal(again["data"], resampler.output_model["data"])
    duplicate = copy.deepcopy(resampler.output_model)
    assert not np.shares_memory(duplicate["data"], resampler.output_model["data"])


def test_an_unfinished_mosaic_keeps_its_images(backend):
    """The output model of a mosaic that was given up for another still reads as it was."""
    models = scenes.dithered_models(SHAPE, n=2)
    resampler = gpures.Resample({"wcs": scenes.frame_around(SHAPE), "pixel_scale": scenes.SCALE}, backend=backend)
    resampler.add_model(models[0])
    given_up = resampler.output_model
    resampler.reset_arrays()
    resampler.add_model(models[1])
    assert given_up["con"].any()
    assert not np.array_equal(given_up["data"], resampler.output_model["data"])
