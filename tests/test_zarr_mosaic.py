"""Mosaics in zarr: what is written is read back to the last bit, in parts, whole, and as other files have it."""

from __future__ import annotations

import json
import math
import multiprocessing
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import files
import numpy as np
import pytest
import scenes
import xarray
import zarr
import zarr_mosaics as zm
from astropy.time import Time

import gpures
from gpures import io
from gpures.box import Box
from gpures.errors import MissingDependencyError
from gpures.io import ZarrMosaic
from gpures.io.empty_planes import empty_planes
from gpures.io.fits_writer import WCSInFITS
from gpures.io.zarr_overviews import by_threads
from gpures.io.zarr_writer import folder_for
from gpures.wcs.transforms import pixel_to_world


def test_every_image_to_the_last_bit(tmp_path):
    """Images of all types come back as they were, NaN with payloads, subnormals, -0 and three planes of context."""
    images = zm.planes()
    io.write(tmp_path / "m.zarr", zm.mosaic_of(images))
    model = io.read_mosaic(tmp_path / "m.zarr")
    for name, image in images.items():
        assert zm.same_bits(model[name], image), name


def test_types_that_have_no_bits_of_this_machine(tmp_path):
    """Images as they lie in FITS files, with the bytes the other way, and such with strides, have the same values."""
    images = zm.planes()
    swapped = {name: image.astype(image.dtype.newbyteorder(">")) for name, image in images.items()}
    swapped["data"] = np.asfortranarray(swapped["data"])
    io.write(tmp_path / "m.zarr", zm.mosaic_of(swapped))
    model = io.read_mosaic(tmp_path / "m.zarr")
    for name in set(images) - {"data"}:
        assert zm.same_bits(model[name], images[name]), name
    np.testing.assert_array_equal(model["data"], images["data"])


FACTS = {
    "exposure_time": 0.1 + 0.2,
    "start_time": math.nan,
    "end_time": -math.inf,
    "duration": np.float64(1e-308),
    "pointings": np.int64(3),
    "subtracted": True,
    "level": None,
    "observer": "Ünal \udcff",
    "list": [1, (2.5, math.inf)],
}


def test_what_is_told(tmp_path):
    """Facts, unit, exposures, header and history come back, floats to the last bit, NaN and infinities as such."""
    records = [
        {"name": f"{k}.fits", "digest": "ab", "start": 6e4 + 0.1 * k, "used": k, "weight": math.inf} for k in range(40)
    ]
    header = {"A": 0.1 + 0.2, "B": math.nan, "C": ("text", "a comment"), "D": False, "A LONG KEY": 1}
    told = {"unit": "MJy/sr", "exposures": records, "header": header, "history": ["first", "x" * 200]}
    io.write(tmp_path / "m.zarr", zm.mosaic_of(zm.planes(), **FACTS), **told)
    model = io.read_mosaic(tmp_path / "m.zarr")
    assert repr({key: model[key] for key in FACTS}) == repr(
        FACTS | {"duration": 1e-308, "pointings": 3, "list": [1, [2.5, math.inf]]}
    )
    assert (model["bunit_data"], model["history"]) == ("MJy/sr", told["history"])
    assert repr(model["header"]) == repr({**header, "C": "text"})
    assert model["exposures"] == [record | {"plane": k // 32, "bit": k % 32} for k, record in enumerate(records)]


def test_times_and_what_json_has_not(tmp_path, caplog):
    """Times are MJD, as in FITS; what can't be told is left out with a warning."""
    io.write(tmp_path / "m.zarr", zm.mosaic_of(zm.planes(), start_time=Time(60000.25, format="mjd"), thing={1, 2}))
    model = io.read_mosaic(tmp_path / "m.zarr")
    assert model["start_time"] == 60000.25
    assert "thing" not in model
    assert "'thing' is not written" in caplog.text


def test_the_same_mosaic_as_in_fits(tmp_path):
    """A mosaic of gpures is the same from zarr and from FITS, images, facts, WCS, exposures and history."""
    model = zm.resampled()
    told = {"unit": "MJy/sr", "exposures": ["a", "b", "c"], "header": {"FILTER": "F200W"}, "history": ["made"]}
    of = {}
    for suffix in ("fits", "zarr"):
        io.write(tmp_path / f"m.{suffix}", model, **told)
        of[suffix] = io.read_mosaic(tmp_path / f"m.{suffix}")
    images = {name for name, value in model.items() if getattr(value, "ndim", 0) > 1}
    assert len(images) == 9
    for name in images:
        assert zm.same_bits(of["zarr"][name], of["fits"][name]), name
    for name in ("exposures", "history", "bunit_data"):
        assert of["zarr"][name] == of["fits"][name]
    assert of["zarr"]["header"]["FILTER"] == of["fits"]["header"]["FILTER"]
    for name in set(of["fits"]) - images - {"wcs", "header"}:
        expected = of["fits"][name]
        if isinstance(expected, float):
            expected = pytest.approx(expected, rel=1e-14)  # a card has 16 digits
        assert of["zarr"][name] == expected, name
    x, y = np.meshgrid(np.arange(0.0, 90, 7), np.arange(0.0, 70, 7))
    for one, other in zip(*(pixel_to_world(of[kind]["wcs"])(x, y) for kind in of), strict=True):
        np.testing.assert_array_equal(one, other)


def test_images_of_nan_are_left_out(tmp_path):
    """What is left out of FITS files is so here."""
    images = zm.planes() | {"var_flat": np.full(zm.SHAPE, np.nan, np.float32)}
    io.write(tmp_path / "m.zarr", zm.mosaic_of(images))
    assert "var_flat" not in io.read_mosaic(tmp_path / "m.zarr")


def chunks_of(path, name):
    """Names of the chunks that an image has."""
    return sorted(str(each.relative_to(path / name / "c")) for each in (path / name / "c").rglob("*") if each.is_file())


def test_empty_chunks_take_no_room(tmp_path):
    """Chunks of the fill value alone are not there, NaN included, nor images of such; those with any other bit are."""
    images = zm.planes()
    for image in images.values():
        image[...] = np.nan if image.dtype.kind == "f" else 0
    images["wht"][...] = 0
    images["data"][20, 40] = 1.0
    images["con"][1, 69, 89] = 7
    images["err"].view(np.uint32)[0, 0] = 0x7FC00001
    images["wht"][0, 16] = -0.0
    path = zm.written(tmp_path / "m.zarr", images)
    found = {name: chunks_of(path, name) for name in images if (path / name / "c").exists()}
    assert found == {"data": ["1/2"], "con": ["1/4/5"], "err": ["0/0"], "wht": ["0/1"]}
    model = io.read_mosaic(path)
    assert images.keys() - model.keys() == set(empty_planes(images)) - {"err"}  # left out, as of other files
    for name in images.keys() & model.keys():
        assert zm.same_bits(model[name], images[name]), name


@pytest.mark.parametrize("fillval", ["NaN", 0.0, -7.5, "INDEF", None])
def test_a_mosaic_is_sparse_where_empty(tmp_path, fillval):
    """With any value of empty pixels, those of a mosaic come back, and a chunk of them takes no room."""
    wcs = scenes.imaging_wcs((1500, 1100))
    resample = gpures.Resample({"wcs": wcs}, backend="cpu", fillval=fillval)
    resample.add_model(scenes.model_of(scenes.imaging_wcs((30, 30)), (30, 30)))
    resample.finalize()
    path = tmp_path / "m.zarr"
    io.write(path, resample.output_model)
    for name in ("data", "wht", "con"):
        assert zm.same_bits(io.read_mosaic(path)[name], resample.output_model[name]), name
    assert chunks_of(path, "wht") == ["0/0"]
    if fillval in ("NaN", -7.5):
        assert chunks_of(path, "data") == ["0/0"]


def test_chunks_have_checksums_and_are_packed(tmp_path):
    """Every array of the store has crc32c after a packed chunk."""
    path = zm.written(tmp_path / "m.zarr", zm.planes())
    for node in path.rglob("zarr.json"):
        told = json.loads(node.read_text())
        if told["node_type"] == "array":
            assert [codec["name"] for codec in told["codecs"]] == ["bytes", "blosc", "crc32c"]


# ---- in parts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [(16, 16), (32, 48), (80, 16), (16, 96)])
def test_threads_write_parts(tmp_path, parts):
    """Parts of whole chunks from several threads, in any order, make the mosaic."""
    images = zm.planes()
    todo = [(name, box) for name in images for box in zm.boxes(*parts)]
    np.random.default_rng(1).shuffle(todo)
    with zm.begun(tmp_path / "m.zarr", images) as store, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda part: store.write(part[0], Box(*part[1]), images[part[0]][Box(*part[1]).slices]), todo))
        store.finish()
    model = io.read_mosaic(tmp_path / "m.zarr")
    for name, image in images.items():
        assert zm.same_bits(model[name], image), name


def write_parts(store, seed, number, of):
    """Every so many-th part of all images, in this process."""
    images = zm.planes(seed)
    for box in zm.boxes()[number::of]:
        for name, image in images.items():
            store.write(name, box, image[box.slices])


@pytest.mark.parametrize("start", ["spawn", "fork"])
def test_processes_write_parts(tmp_path, start):
    """Two other processes, to which the store is pickled, write its parts; this one finishes it."""
    images = zm.planes(5)
    with zm.begun(tmp_path / "m.zarr", images) as store:
        with ProcessPoolExecutor(2, multiprocessing.get_context(start)) as pool:
            for done in [pool.submit(write_parts, store, 5, number, 2) for number in range(2)]:
                done.result()
        store.finish(unit="mJy")
    model = io.read_mosaic(tmp_path / "m.zarr")
    for name, image in images.items():
        assert zm.same_bits(model[name], image), name


def test_a_part_is_written_again(tmp_path):
    """The later one counts, also where it is empty."""
    images = zm.planes()
    with zm.begun(tmp_path / "m.zarr", images) as store:
        store.write_images(images)
        images["data"][:16, :16] = np.nan
        images["wht"][16:32, :16] = 5
        store.write("data", Box(0, 15, 0, 15), images["data"][:16, :16])
        store.write("wht", (0, 15, 16, 31), images["wht"][16:32, :16])
        store.finish()
    model = io.read_mosaic(tmp_path / "m.zarr")
    for name in ("data", "wht"):
        assert zm.same_bits(model[name], images[name])


WRONG = {
    "no such image": ("sky", (0, 15, 0, 15), np.float32, ValueError, "'name' must be one of"),
    "begins within": ("data", (8, 15, 0, 15), np.float32, ValueError, "whole chunks of 16"),
    "ends within": ("data", (0, 15, 0, 20), np.float32, ValueError, "whole chunks of 16"),
    "outside": ("data", (80, 95, 0, 15), np.float32, ValueError, "within 90 pixels in x"),
    "empty": ("data", (16, 15, 0, 15), np.float32, ValueError, "within 90 pixels in x"),
    "no integers": ("data", (0.0, 15, 0, 15), np.float32, ValueError, "within 90 pixels in x"),
    "type": ("data", (0, 15, 0, 15), np.float64, TypeError, "array of float32"),
    "shape": ("data", (0, 31, 0, 15), np.float32, ValueError, r"shape \(16, 32\), got \(16, 16\)"),
    "planes": ("con", (0, 15, 0, 15), np.int32, ValueError, r"shape \(3, 16, 16\)"),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_parts_that_do_not_fit(tmp_path, case):
    """A part that is none of whole chunks, or an array of another shape or type, is refused, and nothing is written."""
    name, box, dtype, error, words = case
    with zm.begun(tmp_path / "m.zarr", zm.planes()) as store:
        with pytest.raises(error, match=words):
            store.write(name, box, np.ones((16, 16), dtype))
        assert not list(store._part.glob("*/c/*/*"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shape": (70,)}, "'shape'"),
        ({"shape": (70, 0)}, "'shape'"),
        ({"chunks": 0}, "'chunks'"),
        ({"chunks": 1_000_000}, "'chunks'"),
        ({"planes": {"wht": "f4"}}, "'data'"),
        ({"planes": {"data": "f4", "a/b": "f4"}}, "'planes'"),
        ({"planes": {"data": "f4", "overviews": "f4"}}, "'planes'"),
        ({"planes": {"data": "c8"}}, "'planes'"),
        ({"fill": {"wht": 0}}, "'fill'"),
        ({"fill": {"data": "much"}}, "'fill'"),
    ],
)
def test_layouts_that_can_not_be(tmp_path, options, words):
    """An argument that can't be used is named, and nothing is left."""
    given = {"shape": zm.SHAPE, "planes": {"data": "f4"}, "wcs": zm.wcs()} | options
    with pytest.raises(ValueError, match=words):
        io.ZarrMosaic.create(tmp_path / "m.zarr", **given)
    assert not list(tmp_path.iterdir())


def test_who_finishes(tmp_path):
    """A copy in another process can't finish, nor can anybody twice."""
    images = zm.planes()
    store = zm.begun(tmp_path / "m.zarr", images)
    copy = pickle.loads(pickle.dumps(store))
    copy.write("data", Box.whole(zm.SHAPE), images["data"])
    with pytest.raises(RuntimeError, match="by the process that made it"):
        copy.finish()
    copy.close()
    store.finish()
    assert zm.same_bits(io.read_mosaic(tmp_path / "m.zarr")["data"], images["data"])
    with pytest.raises(RuntimeError, match="once"):
        store.finish()
    for late in (store, copy):
        with pytest.raises(RuntimeError, match="finished or closed"):
            late.write("data", Box.whole(zm.SHAPE), images["data"])
    assert [each.name for each in tmp_path.iterdir()] == ["m.zarr"]


class InParts:
    """An image that nobody can have as a whole, as one on a GPU should not be brought down at once."""

    def __init__(self, image, most):
        self.image, self.most = image, most
        self.shape, self.ndim, self.dtype = image.shape, image.ndim, image.dtype

    def __getitem__(self, key):
        part = self.image[key]
        assert part.size <= self.most
        return part

    def __array__(self, *_, **__):
        raise AssertionError("the whole image is asked for")


def test_images_are_taken_in_parts(tmp_path):
    """No image is asked for as a whole, but in parts of no more than a chunk of each plane."""
    images = {
        name: np.random.default_rng(k).normal(size=(1100, 2100)).astype(np.float32)
        for k, name in enumerate(["data", "wht"])
    }
    images["con"] = np.arange(2 * 1100 * 2100, dtype=np.int32).reshape(2, 1100, 2100)
    guarded = {name: InParts(image, 1024**2 * (len(image) if image.ndim == 3 else 1)) for name, image in images.items()}
    io.write(tmp_path / "m.zarr", {"wcs": scenes.imaging_wcs((1100, 2100)), "fillval": "NaN", **guarded})
    model = io.read_mosaic(tmp_path / "m.zarr")
    for name, image in images.items():
        assert zm.same_bits(model[name], image), name


# ---- overviews -------------------------------------------------------------------------------------------------------


def expected_overview(image, weight, level):
    """Weighted means over squares, NaN where there is no weight, by the definition."""
    ny, nx = image.shape
    result = np.full((-(-ny // level), -(-nx // level)), np.nan)
    for (row, column), _ in np.ndenumerate(result):
        square = np.s_[row * level : (row + 1) * level, column * level : (column + 1) * level]
        good = np.isfinite(image[square]) & (weight[square] > 0)
        if good.any():
            result[row, column] = np.average(image[square][good].astype(float), weights=weight[square][good])
    return result


def test_overviews_are_weighted_means(tmp_path, monkeypatch):
    """Each pixel is the weighted mean of those of its square, up to the size that is wanted."""
    monkeypatch.setattr("gpures.io.zarr_overviews.SMALLEST", 12)
    images = {name: image for name, image in zm.planes().items() if name != "exact"}
    images["data"][images["data"] < -1.5] = np.nan
    images["data"][:24, :24] = np.nan
    images["wht"][40:, 50:] = 0
    images["wht"][30, 30] = -1
    path = zm.written(tmp_path / "m.zarr", images)
    assert {each.name for each in (path / "overviews").iterdir()} == {"2", "4", "8", "zarr.json"}
    there = np.isfinite(images["data"]) & (images["wht"] > 0)
    weight = np.where(there, images["wht"], 0).astype(float)
    root = zarr.open_group(path, mode="r")
    for level in (2, 4, 8):
        small = {name: root[f"overviews/{level}/{name}"][...] for name in images}
        for name in ("data", "err"):
            np.testing.assert_allclose(
                small[name], expected_overview(images[name], weight, level), rtol=2e-6, atol=2e-7
            )
        padded = np.pad(weight, [(0, -size % level) for size in zm.SHAPE])
        blocks = padded.reshape(padded.shape[0] // level, level, -1, level)
        np.testing.assert_allclose(small["wht"], blocks.mean(axis=(1, 3)), rtol=1e-6)
        for name in ("con", "dq"):
            np.testing.assert_array_equal(small[name], images[name][..., ::level, ::level])


def test_overviews_made_with_the_parts(tmp_path, monkeypatch):
    """What was made of a part alone, by who wrote it, is what is made of the whole, and is not made again.

    A part was written before, with other pixels, and exposures are left out in the end.
    """
    monkeypatch.setattr("gpures.io.zarr_overviews.SMALLEST", 12)
    images, others = zm.planes(), zm.planes(1)
    images["data"][:40, :40] = np.nan
    images["con"][:, :40, :40] = 0
    images["dq"][:40, :40] = 0
    parts, numbers, places = zm.boxes(32, 48), [5, 0, 40], []

    def make(overview, chosen):
        places.append(chosen)
        by_threads(overview, chosen)

    def write(store, box, images):
        for name, image in images.items():
            store.write(name, box, image[box.slices])
        store.write_overview(box, {name: image[box.slices] for name, image in images.items() if name != "con"})

    types = {name: image.dtype for name, image in images.items()}
    destination = folder_for(tmp_path / "parts.zarr", False)
    with ZarrMosaic(destination, zm.SHAPE, types, WCSInFITS.of(zm.wcs(), zm.SHAPE), 16, {}, 3, parts) as store:
        write(store, parts[0], others)
        for box in parts:
            write(store, box, images)
        store.renumber(numbers)
        store.finish(make=make)
    with zm.begun(tmp_path / "whole.zarr", images) as store:
        store.write_images(images)
        store.renumber(numbers)
        store.finish(make=make)
    # Squares of 32 pixels: those from column 32 on are of two parts.
    assert [[columns.start for _, columns in chosen] for chosen in (places[0], places[3])] == [
        [16] * 3,
        [0, 16, 32] * 3,
    ]
    assert_same_files(tmp_path / "parts.zarr", tmp_path / "whole.zarr")


def assert_same_files(one, other):
    """Two folders have the same files, to the last byte."""
    contents = [
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (one, other)
    ]
    assert contents[0].keys() == contents[1].keys()
    assert [str(path) for path in contents[0] if contents[0][path] != contents[1][path]] == []


def test_small_mosaics_have_none(tmp_path):
    """One that fits on a page as it is has no smaller versions."""
    assert not (zm.written(tmp_path / "m.zarr", zm.planes()) / "overviews").exists()


# ---- read ------------------------------------------------------------------------------------------------------------


def test_lazily(tmp_path):
    """Images are dask arrays, whose pixels are those that were written, and are read when they are computed."""
    images = zm.planes()
    path = zm.written(tmp_path / "m.zarr", images, unit="mJy")
    model = io.read_mosaic(path, lazy=True)
    for name, image in images.items():
        assert type(model[name]).__module__.startswith("dask.")
        assert zm.same_bits(model[name].compute(), image)
        assert zm.same_bits(model[name][..., 5:50:3, 17].compute(), np.ascontiguousarray(image[..., 5:50:3, 17]))
    (path / "data" / "c" / "0" / "0").unlink()
    io.read_mosaic(path, lazy=True)["data"][20:, 20:].compute()
    with pytest.raises(io.FileError, match="data/c/0/0 is missing"):
        model["data"][:3, :3].compute()


def test_as_a_dataset(tmp_path):
    """`open_mosaic` gives all of it, and xarray by itself the same images."""
    images = zm.planes()
    path = zm.written(tmp_path / "m.zarr", images, facts={"kernel": "square"}, unit="mJy", exposures=["a"])
    dataset = io.open_mosaic(path)
    assert dataset["con"].dims == ("plane", "y", "x")
    assert dataset["data"].dims == ("y", "x")
    assert (dataset["data"].attrs, dataset["wht"].attrs) == ({"units": "mJy"}, {"units": "mJy-2"})
    assert dataset.attrs["kernel"] == "square"
    assert dataset.attrs["wcs"].array_shape == zm.SHAPE
    with xarray.open_zarr(path) as other:
        for name, image in images.items():
            for read in (dataset, other):
                assert zm.same_bits(read[name].values, image), name


def test_other_files_are_not_read_lazily(tmp_path):
    """FITS is refused, by its name."""
    files.plain_file(tmp_path / "m.fits")
    with pytest.raises(io.FileError, match=r"m\.fits.*lazily"):
        io.read_mosaic(tmp_path / "m.fits", lazy=True)
    with pytest.raises(io.FileError, match=r"m\.fits.*lazily"):
        io.open_mosaic(tmp_path / "m.fits")


@pytest.mark.parametrize("kind", ["gwcs", "fits", "sip", "tables"])
def test_every_wcs(tmp_path, kind):
    """A WCS comes back as gwcs, or as FITS keywords with its lookup tables."""
    wcs = {
        "gwcs": lambda: zm.wcs(),
        "fits": lambda: scenes.fits_wcs(zm.SHAPE),
        "sip": lambda: scenes.fits_wcs(zm.SHAPE, sip=1e-4),
        "tables": lambda: io.read_wcs(files.hst_file(tmp_path / "hst_flt.fits", shape=zm.SHAPE)),
    }[kind]()
    images = zm.planes()
    io.write(tmp_path / "m.zarr", zm.mosaic_of(images) | {"wcs": wcs})
    io.write(tmp_path / "m.fits", zm.mosaic_of({"data": images["data"], "wht": images["wht"]}) | {"wcs": wcs})
    x, y = np.meshgrid(np.arange(0.0, 90, 7), np.arange(0.0, 70, 7))
    expected = pixel_to_world(io.read_wcs(tmp_path / "m.fits"))(x, y)
    for prefer in (None, "fits"):
        image = io.inputs(tmp_path / "m.zarr", reading=io.Reading(wcs=prefer))[0]
        assert tuple(image.wcs.array_shape) == zm.SHAPE
        found = pixel_to_world(image.wcs)(x, y)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-9)


def test_as_an_exposure(tmp_path):
    """A mosaic in zarr is an exposure of another one, like that in FITS, and tells what is in it."""
    model = zm.resampled()
    read = {}
    for suffix in ("asdf", "zarr"):
        io.write(tmp_path / f"m.{suffix}", model, unit="MJy/sr", exposures=["a", "b", "c"])
        (image,) = io.inputs(tmp_path / f"m.{suffix}")
        assert [record.name for record in image.made_of] == ["a", "b", "c"]
        read[suffix] = image.read()
    assert io.inputs(tmp_path / "m.zarr")[0].kind == "zarr"
    assert read["asdf"].keys() == read["zarr"].keys()
    for name, value in read["asdf"].items():
        if getattr(value, "ndim", 0) == 2 and hasattr(value, "dtype"):
            np.testing.assert_array_equal(np.ma.filled(value, 0), np.ma.filled(read["zarr"][name], 0))


def test_what_is_not_of_it(tmp_path):
    """What can be said of extensions can't of zarr."""
    path = zm.written(tmp_path / "m.zarr", zm.planes())
    with pytest.raises(io.FileError, match="'ext' is not for it"):
        io.inputs(path, reading=io.Reading(ext=1))


def test_without_the_packages(tmp_path, monkeypatch):
    """Who has not the package is told what to install; and gpures by itself imports none of them."""
    path = zm.written(tmp_path / "m.zarr", zm.planes())
    for package, use in (
        ("zarr", lambda: io.read_mosaic(path)),
        ("zarr", lambda: io.write(tmp_path / "n.zarr", zm.mosaic_of(zm.planes()))),
        ("zarr", lambda: zm.begun(tmp_path / "n.zarr", zm.planes())),
        ("xarray", lambda: io.open_mosaic(path)),
        ("dask", lambda: io.read_mosaic(path, lazy=True)),
    ):
        with monkeypatch.context() as patch:
            for name in [name for name in sys.modules if name.partition(".")[0] == package]:
                patch.setitem(sys.modules, name, None)
            with pytest.raises(MissingDependencyError, match=rf"{package}.*pip install 'zarr"):
                use()
    assert [each.name for each in tmp_path.iterdir()] == ["m.zarr"]
    program = "import sys, gpures, gpures.io; print({'zarr', 'xarray', 'dask'} & sys.modules.keys())"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "set()\n"
