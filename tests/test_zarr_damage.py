"""Stores that are damaged, foreign or hostile are refused with an error that names them; nothing wrong is read."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
import zarr
import zarr_mosaics as zm

from gpures import io
from gpures.io.mosaic_reader import seen


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A mosaic that is in order."""
    return zm.written(tmp_path_factory.mktemp("zarr") / "m.zarr", zm.planes(), unit="mJy", exposures=["a"])


@pytest.fixture
def store(whole, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copytree(whole, tmp_path / "m.zarr")


def changed(where, change):
    """A fault: what describes a node is changed."""

    def fault(store):
        file = store / where / "zarr.json"
        node = json.loads(file.read_text())
        change(node)
        file.write_text(json.dumps(node))

    return fault


def told(**changes):
    """A fault: what is told of the mosaic is another thing."""
    return changed("", lambda node: node["attributes"]["gpures"].update(changes))


def data(**changes):
    """A fault: what describes the data is another thing."""
    return changed("data", lambda node: node.update(changes))


def cut(where):
    """A fault: a file breaks off."""
    return lambda store: (store / where).write_bytes((store / where).read_bytes()[:-20])


def flipped(where, place):
    """A fault: a bit of a file is another one."""

    def fault(store):
        content = bytearray((store / where).read_bytes())
        content[place] ^= 1
        (store / where).write_bytes(content)

    return fault


def removed(where):
    """A fault: a file or folder is not there."""
    return lambda store: shutil.rmtree(store / where) if (store / where).is_dir() else (store / where).unlink()


def replaced(where, make):
    """A fault: something is in the place of a file that is none."""

    def fault(store):
        (store / where).unlink()
        make(store / where)

    return fault


def huge(side, chunk):
    """A fault: all says that the mosaic is of a shape that no memory holds."""

    def fault(store):
        told(shape=[side, side])(store)
        grid = {"name": "regular", "configuration": {"chunk_shape": [chunk, chunk]}}
        for name in ("data", "wht"):
            changed(name, lambda node: node.update(shape=[side, side], chunk_grid=grid))(store)

    return fault


def without_wcs(store):
    shutil.rmtree(store / "wcs_asdf")
    told(fits_wcs=[])(store)


# Faults of what is told, which show when the store is opened.
TOLD = {
    "no zarr.json": removed("zarr.json"),
    "zarr.json broken off": cut("zarr.json"),
    "zarr.json empty": lambda store: (store / "zarr.json").write_text(""),
    "zarr.json no text": lambda store: (store / "zarr.json").write_bytes(b"\xff\xfe{}"),
    "zarr.json a list": lambda store: (store / "zarr.json").write_text("[]"),
    "zarr.json nested": lambda store: (store / "zarr.json").write_text("[" * 100_000),
    "zarr.json a folder": replaced("zarr.json", os.mkdir),
    "zarr.json a FIFO": replaced("zarr.json", os.mkfifo),
    "zarr 2": changed("", lambda node: node.update(zarr_format=2)),
    "of nobody": changed("", lambda node: node["attributes"].pop("gpures")),
    "attributes no dict": changed("", lambda node: node.update(attributes=[])),
    "schema": told(schema=2),
    "no schema": told(schema=None),
    "planes": told(planes=["data", "../../m.zarr/wht"]),
    "planes a number": told(planes=3),
    "planes unknown": told(planes=["data", "sky"]),
    "no data": told(planes=["wht"]),
    "shape": told(shape=[70, 91]),
    "shape of three": told(shape=[1, 70, 90]),
    "shape negative": told(shape=[-70, 90]),
    "shape text": told(shape="a"),
    "facts": told(facts=[1]),
    "header": told(header=None),
    "exposures": told(exposures=[{}]),
    "overviews": told(overviews=["x"]),
    "overviews of nothing": told(overviews=[0]),
    "context of two axes": changed("con", lambda node: node.update(shape=[70, 90], dimension_names=["y", "x"])),
    "no context": lambda store: shutil.copytree(store / "wht", store / "con", dirs_exist_ok=True),
    "no array": removed("data/zarr.json"),
    "array broken off": cut("data/zarr.json"),
    "array a group": data(node_type="group"),
    "array's shape": data(shape=[71, 90]),
    "array's axes": data(shape=[90]),
    "type": data(data_type="complex64"),
    "type unknown": data(data_type={"name": "thing"}),
    "chunks": data(chunk_grid={"name": "regular", "configuration": {"chunk_shape": [10**9, 10**9]}}),
    "chunks of nothing": data(chunk_grid={"name": "regular", "configuration": {"chunk_shape": [0, 16]}}),
    "no chunks": data(chunk_grid={}),
    "other chunks": data(chunk_grid={"name": "regular", "configuration": {"chunk_shape": [4, 4]}}),
    "codec": changed("data", lambda node: node["codecs"].append({"name": "gzip", "configuration": {"level": 1}})),
    "transformer": data(storage_transformers=[{"name": "x"}]),
    "names of chunks": data(chunk_key_encoding={"name": "v2"}),
    "which chunks": changed("data", lambda node: node.update(attributes={})),
    "which chunks no text": changed("data", lambda node: node["attributes"].update(chunks="!")),
    "huge": huge(10**9, 1024),
    "huge chunks": huge(10**9, 10**9),
    "WCS lost": removed("wcs_asdf/c"),
    "WCS broken off": cut("wcs_asdf/c/0"),
    "WCS another": flipped("wcs_asdf/c/0", 100),
    "WCS of no bytes": changed("wcs_asdf", lambda node: node.update(data_type="float32")),
    "WCS huge": changed("wcs_asdf", lambda node: node.update(shape=[10**12])),
    "no WCS": without_wcs,
    "WCS of another shape": huge(300_000, 4096),
}


@pytest.mark.parametrize("fault", TOLD.values(), ids=TOLD)
def test_what_is_told(store, fault):
    """Whoever opens it is told, before a pixel is read and before memory is taken."""
    fault(store)
    for use in (io.read_mosaic, lambda path: io.read_mosaic(path, lazy=True), io.open_mosaic, io.inputs):
        with pytest.raises(io.FileError) as error:
            use(store)
        assert str(error.value).startswith(f"{store}: ")


# Faults of the pixels of the first chunk.
PIXELS = {
    "lost": removed("data/c/0/0"),
    "all lost": removed("data/c"),
    "a bit": flipped("data/c/0/0", 200),
    "a bit of the checksum": flipped("data/c/0/0", -1),
    "broken off": cut("data/c/0/0"),
    "empty": lambda store: (store / "data/c/0/0").write_bytes(b""),
    "a folder": replaced("data/c/0/0", os.mkdir),
    "a FIFO": replaced("data/c/0/0", os.mkfifo),
    "a hostile head": lambda store: (store / "data/c/0/0").write_bytes(bloated()),
}


def bloated():
    """A chunk with a right checksum that claims to become two gigabytes."""
    head = bytes([2, 1, 0x94, 4]) + (2**31 - 1).to_bytes(4, "little") + (1 << 18).to_bytes(4, "little")
    content = head + (64).to_bytes(4, "little") + bytes(48)
    return content + crc32c(content).to_bytes(4, "little")


def crc32c(content):
    """The checksum of a chunk, by its definition."""
    rest = 0xFFFFFFFF
    for byte in content:
        rest ^= byte
        for _ in range(8):
            rest = rest >> 1 ^ (0x82F63B78 if rest & 1 else 0)
    return rest ^ 0xFFFFFFFF


@pytest.mark.parametrize("fault", PIXELS.values(), ids=PIXELS)
def test_pixels(store, fault):
    """Whoever reads them is told which, and what lies elsewhere is read."""
    images = zm.planes()
    fault(store)
    lazily = io.read_mosaic(store, lazy=True)
    elsewhere = np.s_[32:, 32:]
    if fault is not PIXELS["all lost"]:
        assert zm.same_bits(lazily["data"][elsewhere].compute(), np.ascontiguousarray(images["data"][elsewhere]))
    assert zm.same_bits(lazily["wht"].compute(), images["wht"])
    (image,) = io.inputs(store)
    for use in (lambda: io.read_mosaic(store), lambda: lazily["data"].compute(), image.read):
        with pytest.raises(io.FileError, match="data") as error:
            use()
        assert str(error.value).startswith(f"{store}: ")


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.write_bytes(b"abc")])
def test_chunks_that_are_not_told_of(tmp_path, make):
    """What lies in the place of an empty chunk, where gpures wrote none, is not read."""
    images = zm.planes()
    images["data"][16:32, :16] = np.nan
    store = zm.written(tmp_path / "m.zarr", images)
    make(store / "data/c/1/0")
    with pytest.raises(io.FileError, match="data/c/1/0 is there"):
        io.read_mosaic(store)


def test_more_than_memory_holds(store, monkeypatch):
    """An image that does not fit is not begun with; parts of it are read."""
    monkeypatch.setattr("gpures.io.zarr_reader.available_memory", lambda: 5000)
    with pytest.raises(io.FileError, match=r"needs .* GB, and .* are free: read a part of it"):
        io.read_mosaic(store)
    assert seen(store)["data"][:16, :16].shape == (16, 16)


def test_without_keywords_or_without_gwcs(store):
    """Either WCS is enough."""
    expected = io.read_wcs(store)(3.0, 4.0)
    shutil.rmtree(store / "wcs_asdf")
    np.testing.assert_allclose(io.read_wcs(store).wcs_pix2world(3.0, 4.0, 0), expected, rtol=1e-12)


def test_keywords_of_a_shape_that_no_memory_holds(store):
    """The WCS is read without an image."""
    expected = io.read_wcs(store)(3.0, 4.0)
    huge(10**8, 16_384)(store)
    shutil.rmtree(store / "wcs_asdf")
    wcs = io.read_wcs(store)
    assert tuple(wcs.array_shape) == (10**8, 10**8)
    np.testing.assert_allclose(wcs.wcs_pix2world(3.0, 4.0, 0), expected, rtol=1e-12)


def test_other_stores(tmp_path):
    """A store of somebody else's, of zarr 2 or 3, and a folder that is called so."""
    zarr.create_array(tmp_path / "three.zarr", shape=(3, 3), dtype="f4", zarr_format=3)
    zarr.create_array(tmp_path / "two", shape=(3, 3), dtype="f4", zarr_format=2)
    (tmp_path / "none.zarr").mkdir()
    for name in ("three.zarr", "two", "none.zarr"):
        for use in (io.read_mosaic, io.inputs, io.read_wcs, io.open_mosaic):
            with pytest.raises(io.FileError, match=name):
                use(tmp_path / name)
    with pytest.raises(io.FileError, match="it is a folder"):
        io.read_mosaic(tmp_path)
    with pytest.raises(io.MissingFileError):
        io.read_mosaic(tmp_path / "nothing.zarr")
