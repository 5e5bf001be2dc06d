"""Unfinished mosaics are saved, gone on with to the same end, and what is not what was written is refused."""

from __future__ import annotations

import copy
import itertools
import json
import os
import shutil
from datetime import datetime

import numpy as np
import pytest
import scenes
from astropy.time import Time
from astropy.wcs import WCS
from merged import ALL_PLANES, FRAME, MODELS, assert_same_state, finished, made, make_models, state

import gpures
from gpures.errors import FileError, IncompleteError
from gpures.resample import checkpoint
from gpures.resample.plain import as_json, of_json


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    """Frames of several chunks, the last ones cut off."""
    monkeypatch.setattr(checkpoint, "CHUNK", 16)


def assert_equal(got, expected):
    """Two finished mosaics are equal to the last bit."""
    got, expected = finished(got), finished(expected)
    assert list(got) == list(expected)
    for name, value in expected.items():
        if isinstance(value, np.ndarray):
            assert (got[name].dtype, got[name].shape) == (value.dtype, value.shape)
            if value.dtype.hasobject:  # times
                assert got[name] == value
                continue
            assert got[name].tobytes() == value.tobytes(), name
        elif name != "wcs":
            assert got[name] == value or value != value, name


def generation(folder):
    (found,) = [name for name in os.listdir(folder) if checkpoint.GENERATION.fullmatch(name)]
    return folder / found


def chunks(folder):
    """Files of chunks, by their paths."""
    there = generation(folder)
    return {name: os.stat(there / name) for name in checkpoint._files(there) if checkpoint.CHUNK_FILE.fullmatch(name)}


# ---- the same in the end -------------------------------------------------------------------------------------------


MANY = (3, 20, 35, len(MODELS))  # more than a plane of the context has bits
FEW = (1, 4, 6)


@pytest.mark.parametrize(
    ("options", "dtype", "counts"),
    [
        ({}, "f4", MANY),
        (ALL_PLANES, "f4", FEW),
        (ALL_PLANES, "f8", FEW),
        ({"enable_ctx": False, "enable_var": False, "fillval": None}, "f8", FEW),
        (ALL_PLANES | {"variance_method": "propagated"}, "f4", FEW),
    ],
)
def test_saved_and_gone_on_with(backend, tmp_path, options, dtype, counts):
    """Saved with so many exposures, and in between, in one place."""
    if backend == "drizzle" and dtype == "f8":
        pytest.skip("the drizzle package has float32 sums")
    options = options | {"accumulator_dtype": dtype, "backend": backend}
    whole, going = made(MODELS[: counts[-1]], **options), made(MODELS[: counts[0]], **options)
    going.save(tmp_path / "c")
    for k, following in itertools.pairwise(counts):
        going = gpures.Resample.load(tmp_path / "c")
        assert going.backend == backend
        assert [each.name for each in going.exposures] == [model["filename"] for model in MODELS[:k]]
        between = (k + following) // 2
        going.add_models(MODELS[k:between])
        going.output_model["data"]  # which is filled then
        going.save(tmp_path / "c")
        going.add_models(MODELS[between:following])
        going.save(tmp_path / "c")
    assert_equal(gpures.Resample.load(tmp_path / "c"), whole)
    assert_equal(going, made(MODELS[: counts[-1]], **options))


@pytest.mark.parametrize("kernel", ["turbo", "point", "gaussian", "lanczos3"])
@pytest.mark.filterwarnings("ignore:Kernel '.*' is not a flux-conserving kernel", "ignore:In lanczos kernel")
def test_other_kernels(tmp_path, kernel):
    """So that some pixels have negative weights."""
    going = made(MODELS[:4], kernel=kernel, pixfrac=0.7)
    going.save(tmp_path / "c")
    going = gpures.Resample.load(tmp_path / "c")
    going.add_models(MODELS[4:8])
    assert_equal(going, made(MODELS[:8], kernel=kernel, pixfrac=0.7))


def frames():
    """Output WCS whose numbers have all their digits, FITS ones with distortions among them."""
    plain = scenes.fits_wcs(FRAME.array_shape, rotation=17.3)
    plain.wcs.crval = np.array(scenes.imaging_wcs(SHAPE_OF_MODEL)(7, 7)) + 1e-7 / 3
    distorted = scenes.fits_wcs(FRAME.array_shape, rotation=17.3, sip=0.7)
    distorted.wcs.crval = plain.wcs.crval
    south = scenes.latitude_first(FRAME)
    return {"gwcs": FRAME, "latitude first": south, "FITS": plain, "SIP": distorted}


SHAPE_OF_MODEL = MODELS[0]["data"].shape


@pytest.mark.parametrize("kind", ["gwcs", "latitude first", "FITS", "SIP"])
def test_the_same_output_wcs(tmp_path, kind):
    """A frame that was saved does the same to the last bit, and the caller's is as it was."""
    frame = frames()[kind]
    before = frame.to_header_string(relax=True) if isinstance(frame, WCS) else None
    going = made(MODELS[:2], frame=frame)
    going.save(tmp_path / "c")
    loaded = gpures.Resample.load(tmp_path / "c")
    x, y = np.random.default_rng(1).uniform(-3, 50, (2, 1000))
    for got, expected in zip(
        loaded.output_wcs.pixel_to_world_values(x, y), frame.pixel_to_world_values(x, y), strict=True
    ):
        np.testing.assert_array_equal(got, expected)
    assert loaded.output_wcs.array_shape == frame.array_shape
    assert before is None or frame.to_header_string(relax=True) == before
    going.add_models(MODELS[2:5])
    loaded.add_models(MODELS[2:5])
    assert_equal(loaded, going)


def test_without_an_exposure(tmp_path):
    """A mosaic that was only begun."""
    made([]).save(tmp_path / "c")
    loaded = gpures.Resample.load(tmp_path / "c")
    with pytest.raises(ValueError, match="no model has been added"):
        loaded.finalize()
    loaded.add_models(MODELS[:2])
    assert_equal(loaded, made(MODELS[:2]))


@pytest.mark.parametrize("backend", ["cuda-on-host", pytest.param("cuda", marks=pytest.mark.gpu)], indirect=True)
def test_between_backends(tmp_path, backend):
    """What a laptop has begun a workstation goes on with, and the other way."""
    going = made(MODELS[:3], backend="cpu", **ALL_PLANES)
    going.save(tmp_path / "c")
    on_device = gpures.Resample.load(tmp_path / "c", backend=backend)
    assert on_device.backend == "cuda"
    assert_same_state(state(on_device), state(going))
    on_device.add_models(MODELS[3:6])
    on_device.save(tmp_path / "c")
    back = gpures.Resample.load(tmp_path / "c", backend="cpu")
    assert_same_state(state(back), state(on_device))
    with pytest.raises(FileError, match=r"'drizzle' can't go on with it.*'cuda'"):
        gpures.Resample.load(tmp_path / "c", backend="drizzle")


def test_weights_beyond_float32(backend, tmp_path):
    """They are kept in another form, which is saved."""
    if backend == "drizzle":
        pytest.skip("it has no such form")
    models = [model | {"var_rnoise": np.full_like(model["var_rnoise"], 4e-39)} for model in MODELS[:4]]
    going = made(models[:3], backend=backend)
    going.save(tmp_path / "c")
    loaded = gpures.Resample.load(tmp_path / "c")
    for each in (going, loaded):
        each.add_model(models[3])
    with pytest.warns(RuntimeWarning, match="'wht' is infinite"):
        assert_equal(loaded, going)


@pytest.mark.parametrize("way", ["load", copy.copy])
def test_fill_value_changed_afterwards(backend, tmp_path, way):
    """Pixels without data have the new one, though they were filled with the old one before."""
    going = made(MODELS[:1], backend=backend, fillval="NaN")
    assert np.isnan(finished(copy.copy(going))["data"]).any()
    assert np.isnan(np.asarray(going.output_model["data"])).any()
    going.save(tmp_path / "c")
    other = gpures.Resample.load(tmp_path / "c") if way == "load" else way(going)
    other.fillval = 0.0
    images = finished(other)
    assert (images["data"][images["wht"] == 0] == 0).all()
    assert np.isnan(np.asarray(going.output_model["data"])).any()


def test_merged_after_loading(tmp_path):
    """Parts are merged and saved, and know which exposures they have."""
    parts = [made(MODELS[:3]), made(MODELS[3:6])]
    for k, part in enumerate(parts):
        part.save(tmp_path / str(k))
    one, other = (gpures.Resample.load(tmp_path / str(k)) for k in (0, 1))
    one.merge(other)
    one.save(tmp_path / "0")
    loaded = gpures.Resample.load(tmp_path / "0")
    assert_same_state(state(loaded), state(one))
    with pytest.raises(ValueError, match="must have exposures that are not in this mosaic"):
        loaded.merge(other)


# ---- what is written -------------------------------------------------------------------------------------------------


def test_only_what_has_changed_is_written(tmp_path):
    """Chunks that no exposure has reached since are the same files, and those that none has ever reached are none."""
    frame = scenes.frame_around(SHAPE_OF_MODEL, margin=60)
    near = MODELS[0]
    far = copy.copy(near) | {"filename": "far", "wcs": scenes.imaging_wcs(SHAPE_OF_MODEL, shift=(40, 40))}
    going = made([near], frame=frame)
    going.save(tmp_path)
    first = chunks(tmp_path)
    ny, nx = (-(-side // 16) for side in frame.array_shape)
    assert 0 < len({name.partition("/c")[2] for name in first}) < ny * nx / 4
    going.add_model(far)
    window = going._accumulators.window
    going.save(tmp_path)
    second = chunks(tmp_path)
    reached = checkpoint._chunks_of([window])
    for name, status in second.items():
        y, x = map(int, name.split("/")[-2:])
        is_same = name in first and os.path.samestat(first[name], status)
        assert is_same == ((y, x) not in reached), name
    assert set(first) <= set(second)
    assert_same_state(state(gpures.Resample.load(tmp_path)), state(going))


@pytest.mark.parametrize("links", [True, False])
def test_saved_by_several_objects(tmp_path, links, monkeypatch):
    """What another object has saved meanwhile is not taken for one's own; nor where there are no links."""
    if not links:
        link = os.link

        def only_others(file, name, **how):
            if os.path.basename(file).isdigit():  # a chunk
                raise OSError("no links")
            link(file, name, **how)

        monkeypatch.setattr(os, "link", only_others)
    one, other = made(MODELS[:2]), made(MODELS[2:4])
    for k in (4, 5, 6):
        one.save(tmp_path / "c")
        other.save(tmp_path / "c")
        other.add_model(MODELS[k])
        one.add_model(MODELS[k])
    one.save(tmp_path / "c")
    assert_same_state(state(gpures.Resample.load(tmp_path / "c")), state(one))
    one.reset_arrays()
    one.add_model(MODELS[7])
    one.save(tmp_path / "c")
    assert_same_state(state(gpures.Resample.load(tmp_path / "c")), state(one))


@pytest.mark.filterwarnings("ignore:Object at .* is not recognized as a component")
def test_zarr_reads_it(tmp_path):
    """It is a store of version 3, compressed, with checksums."""
    import zarr

    going = made(MODELS[:3])
    going.save(tmp_path / "c")
    root = zarr.open_group(tmp_path / "c", mode="r")
    assert root.metadata.zarr_format == 3
    told = root.attrs["gpures"]
    assert told["schema"] == checkpoint.SCHEMA
    arrays = {array.attrs["name"]: array for _, array in root[told["generation"]].arrays()}
    np.testing.assert_array_equal(arrays["/_weight"][...], going._accumulators._weight)
    assert [type(codec).__name__ for codec in arrays["/_weight"].compressors] == ["BloscCodec", "Crc32cCodec"]


class FailedError(Exception):
    """Something that goes wrong."""


PLACES = ["mkdir", "_write", "_put", "_sync", "written", "_root"]


@pytest.mark.parametrize("error", [FailedError, KeyboardInterrupt, OSError])
@pytest.mark.parametrize("place", PLACES)
def test_nothing_is_lost_where_saving_fails(tmp_path, monkeypatch, place, error):
    """What was saved before is there, and nothing else; and the next time it works."""
    going = made(MODELS[:2])
    going.save(tmp_path / "c")
    before = state(going)
    going.add_model(MODELS[2])

    def fail(*_, **__):
        raise error("on purpose")

    with monkeypatch.context() as patched:
        patched.setattr(*(checkpoint.Path, place) if place == "mkdir" else (checkpoint, place), fail)
        with pytest.raises(error, match="on purpose"):
            going.save(tmp_path / "c")
    assert_same_state(state(gpures.Resample.load(tmp_path / "c")), before)
    assert len(list(tmp_path.glob("c/g*"))) == 1
    going.save(tmp_path / "c")
    assert_same_state(state(gpures.Resample.load(tmp_path / "c")), state(going))


def test_killed_while_saving(tmp_path):
    """What a process that was killed has left is removed by the next one."""
    going = made(MODELS[:2])
    going.save(tmp_path / "c")
    left = tmp_path / "c" / "g0123456789abcdef"
    shutil.copytree(generation(tmp_path / "c"), left)
    assert_same_state(state(gpures.Resample.load(tmp_path / "c")), state(going))
    going.save(tmp_path / "c")
    assert not left.exists()
    assert_same_state(state(gpures.Resample.load(tmp_path / "c")), state(going))


def test_killed_before_the_first_is_whole(tmp_path):
    """A folder in which there is only the beginning of a checkpoint."""
    (tmp_path / "c" / "g0123456789abcdef").mkdir(parents=True)
    with pytest.raises(FileError, match=r"c: it is no checkpoint of gpures: zarr.json is not there"):
        gpures.Resample.load(tmp_path / "c")
    made(MODELS[:1]).save(tmp_path / "c")
    assert len(list(tmp_path.glob("c/g*"))) == 1


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_damage_of_any_file(tmp_path):
    """Each file cut off, changed in one byte, emptied, or removed."""
    rng = np.random.default_rng(3)
    made(MODELS[:3], **ALL_PLANES).save(tmp_path / "c")
    names = [path.relative_to(tmp_path / "c") for path in (tmp_path / "c").rglob("*") if path.is_file()]
    tried = 0
    for name in sorted(names):
        if name.name in (checkpoint.LOCK, checkpoint.IN_USE):
            continue
        file = tmp_path / "c" / name
        content = file.read_bytes()
        flipped = bytearray(content)
        flipped[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        damages = {"cut": content[: len(content) // 2], "empty": b"", "gone": None, "flipped": bytes(flipped)}
        for left in damages.values():
            if left is None:
                file.unlink()
            else:
                file.write_bytes(left)
            with pytest.raises(FileError, match=r"damaged|is no checkpoint|later gpures"):
                gpures.Resample.load(tmp_path / "c")
            file.write_bytes(content)
            tried += 1
    assert tried > 100
    gpures.Resample.load(tmp_path / "c")


def changed_state(folder, **changes):
    """Write other values to the state, with the digest that they ought to have."""
    there = generation(folder)
    known = of_json((there / checkpoint.STATE).read_bytes())
    text = as_json(known | changes).encode()
    (there / checkpoint.STATE).write_bytes(text)
    root = json.loads((folder / checkpoint.ROOT).read_text())
    root["attributes"]["gpures"]["state"] = checkpoint._digest(text)
    (folder / checkpoint.ROOT).write_text(json.dumps(root))
    return known


@pytest.mark.parametrize("name", ["layout", "options", "exposures", "attributes", "output_model", "arrays"])
def test_states_without_sense(tmp_path, name):
    """They are damaged as well, whoever wrote them."""
    made(MODELS[:2]).save(tmp_path / "c")
    changed_state(tmp_path / "c", **{name: [["nonsense"]]})
    with pytest.raises(FileError, match=r"damaged|can't go on"):
        gpures.Resample.load(tmp_path / "c")


def test_frames_that_no_memory_holds(tmp_path):
    """The size of a frame is looked at before there is memory for it."""
    made(MODELS[:2]).save(tmp_path / "c")
    known = of_json((generation(tmp_path / "c") / checkpoint.STATE).read_bytes())
    huge = (10**8, 10**8)
    attributes = known["attributes"] | {"_output_array_shape": huge}
    changed_state(tmp_path / "c", layout=known["layout"] | {"shape": huge}, attributes=attributes)
    with pytest.raises((MemoryError, FileError)):
        gpures.Resample.load(tmp_path / "c")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "it is no checkpoint of gpures"),
        ({"gpures": {"kind": "mosaic", "schema": 1}}, "it is no checkpoint of gpures, but 'mosaic'"),
        ({"gpures": {"kind": "checkpoint", "schema": 99}}, "is of a later gpures .schema 99"),
        ({"gpures": {"kind": "checkpoint", "schema": 1, "generation": "../x", "state": ""}}, "damaged"),
    ],
)
def test_foreign_stores(tmp_path, content, words):
    """Other stores are neither read nor written over."""
    (tmp_path / "zarr.json").write_text(json.dumps({"zarr_format": 3, "node_type": "group", "attributes": content}))
    for work in (gpures.Resample.load, made(MODELS[:1]).save):
        with pytest.raises(FileError, match=words):
            work(tmp_path)
    assert os.listdir(tmp_path) == ["zarr.json"]


def test_folders_with_something_else(tmp_path):
    """They are left as they are."""
    (tmp_path / "mine").write_text("")
    with pytest.raises(FileError, match="give an empty folder"):
        made(MODELS[:1]).save(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no such folder"):
        gpures.Resample.load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        made(MODELS[:1]).save(tmp_path / "nowhere" / "c")
    assert os.listdir(tmp_path) == ["mine"]


def test_what_is_not_to_be_saved(tmp_path, backend):
    """Finished mosaics, and those that hold a part of an exposure."""
    going = made(MODELS[:1], backend=backend)
    going._accumulators._begun = 7
    with pytest.raises(IncompleteError):
        going.save(tmp_path / "c")
    going._accumulators._begun = 0
    going.finalize()
    with pytest.raises(RuntimeError, match=r"finalized: write it with 'gpures.io.write'"):
        going.save(tmp_path / "c")
    assert not (tmp_path / "c").exists()


class Hooked(gpures.Resample):
    """A subclass that makes something of each model."""

    def add_model_hook(self, *args, **kwargs):
        """Nothing."""


class Counting(gpures.Resample):
    """A subclass with a state of its own, and arrays of its own."""

    variance_array_names = ("var_rnoise",)
    dq_flag_name_map = {"BAD": 1, "ODD": 512}

    def create_output_model(self):
        """An entry more."""
        return super().create_output_model() | {"observer": "somebody"}


def test_subclasses(tmp_path):
    """They are saved with what they are, unless nobody can know how."""
    with pytest.raises(TypeError, match="A Hooked can't be saved, whose 'add_model_hook'"):
        made(MODELS[:1], base=Hooked).save(tmp_path / "c")
    going = made(MODELS[:2], base=Counting, good_bits="~BAD")
    going.seen = (1, 2.5, None, {"a": [b"x", np.float32(0.1)]})
    going.save(tmp_path / "c")
    for base in (Counting, gpures.Resample):
        loaded = base.load(tmp_path / "c")
        assert type(loaded) is base
        assert loaded.seen == going.seen
        assert type(loaded.seen[3]["a"][1]) is np.float32
        assert loaded.output_model["observer"] == "somebody"
        assert list(loaded.variance_array_names) == ["var_rnoise"]
        loaded.add_model(MODELS[2])
        other = copy.copy(going)
        other.add_model(MODELS[2])
        assert_equal(loaded, other)
    assert "variance_array_names" not in vars(Counting.load(tmp_path / "c"))
    going.thing = object()
    with pytest.raises(TypeError, match=r"'thing'.* is a object, which can't be saved"):
        going.save(tmp_path / "c")
    Counting.load(tmp_path / "c")


def test_another_process_writes(tmp_path):
    """Who comes second is told so."""
    going = made(MODELS[:1])
    going.save(tmp_path / "c")
    with (
        checkpoint._locked(tmp_path / "c" / checkpoint.LOCK, tmp_path, "x"),
        pytest.raises(FileError, match="another process is writing to it"),
    ):
        going.save(tmp_path / "c")
    going.save(tmp_path / "c")


# ---- what is no image ------------------------------------------------------------------------------------------------

VALUES = [
    None,
    True,
    -3,
    10**30,
    0.1 + 0.2,
    float("inf"),
    "Å",
    b"\x00\xff",
    (1, (2.0, "x")),
    [1, [2]],
    {"a": {1: (None,)}, ("b", 2): 3.0},
    np.float32(0.1),
    np.int64(-5),
    np.str_("name"),
    np.datetime64("2026-11-26T12:00:00.123"),
    np.dtype(">f4"),
    np.arange(6, dtype=">i2").reshape(2, 3),
    datetime(2026, 11, 26, 1, 2, 3, 4),
    Time(60000.123456789012, 1e-14, format="mjd", scale="tdb"),
    Time("2026-11-26T01:02:03.123456789", scale="utc"),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_come_back(value):
    """With their types, to the last bit."""
    got = of_json(as_json(value))
    assert type(got) is type(value)
    if isinstance(value, Time):
        assert (got.jd1, got.jd2, got.scale, got.format) == (value.jd1, value.jd2, value.scale, value.format)
    elif isinstance(value, np.ndarray):
        assert got.dtype == value.dtype
        np.testing.assert_array_equal(got, value)
    else:
        assert got == value
        assert repr(got) == repr(value)
    assert np.isnan(of_json(as_json(float("nan"))))


@pytest.mark.parametrize(
    "text", ['{"os":"x"}', '{"array":["O",[1],""]}', "{", '{"tuple":1}', '{"dtype":"zz"}', "[" * 99999]
)
def test_texts_without_sense(text):
    """Nothing is made of them."""
    with pytest.raises(ValueError):  # noqa: PT011  (of several texts)
        of_json(text)


def test_times_of_models(tmp_path):
    """Start and end may be times of any kind, and groups names or numbers."""
    models = [copy.copy(model) for model in make_models(4)]
    for k, model in enumerate(models):
        model |= {"start_time": Time(60000.1 + k, format="mjd"), "end_time": Time(60000.2 + k, format="mjd")}
        model["group_id"] = (k // 2, "visit")
    going = made(models[:2])
    going.save(tmp_path / "c")
    loaded = gpures.Resample.load(tmp_path / "c")
    loaded.add_models(models[2:])
    assert_equal(loaded, made(models))
