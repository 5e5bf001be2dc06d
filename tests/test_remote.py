"""Files under URLs: fetched when they are needed, named by their URLs, and forgotten when room is needed."""

from __future__ import annotations

import http.server
import pickle
import shutil
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import fsspec
import numpy as np
import pytest
import scenes
from astropy.io import fits

import gpures
from gpures.cli import main
from gpures.errors import FileError, MissingDependencyError, MissingFileError
from gpures.io import remote
from gpures.mosaicking.sources import find

SHAPE = (60, 64)
QUIET = {"progress": None, "backend": "cpu"}


class Handler(http.server.SimpleHTTPRequestHandler):
    """Counts what is fetched."""

    def do_GET(self):
        self.server.fetched.append(self.path)
        if self.path == "/cut.fits":
            self.send_response(200)
            self.send_header("Content-Length", "9000")
            self.end_headers()
            self.wfile.write(b"SIMPLE  =")
            return
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("there")
    for k in range(3):
        header = scenes.fits_wcs(SHAPE, rotation=20.0 * k, shift=(5 * k, 0)).to_fits(relax=True)[0].header
        header.update({"EXPTIME": 30.0, "BUNIT": "MJy/sr"})
        data = np.random.default_rng(k).normal(5, 1, SHAPE).astype(np.float32)
        fits.PrimaryHDU(data, header).writeto(folder / f"e{k}.fits")
    (folder / "none.fits").write_bytes(b"SIMPLE  =                    T" + bytes(3000))
    return folder


@pytest.fixture
def server(folder):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as made:
        made.fetched = []
        made.url = f"http://127.0.0.1:{made.server_port}"
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@pytest.fixture(autouse=True)
def _empty_shelf(monkeypatch):
    monkeypatch.setattr(remote, "_shelves", {})


def test_mosaic_of_urls(tmp_path, folder, server):
    """The mosaic of the files; each is fetched once."""
    names = [f"e{k}.fits" for k in range(3)]
    here = gpures.mosaic([folder / name for name in names], tmp_path / "here.fits", **QUIET)
    made = gpures.mosaic([f"{server.url}/{name}" for name in names], tmp_path / "there.fits", **QUIET)
    assert sorted(server.fetched) == [f"/{name}" for name in names]
    np.testing.assert_array_equal(made.model["data"], here.model["data"])
    assert [record.group for record in made.exposures] == [f"{server.url}/{name}" for name in names]
    assert [replace(record, group="") for record in made.exposures] == [
        replace(record, group="") for record in here.exposures
    ]  # names, digests and all


@pytest.mark.parametrize("pattern", ["memory://place/e*.fits", "memory://place/e[0-2].fits"])
def test_patterns(tmp_path, folder, pattern):
    fsspec.filesystem("memory").put([str(folder / f"e{k}.fits") for k in range(3)], "/place/")
    assert [source.name for source in find([pattern])] == [f"e{k}.fits[PRIMARY]" for k in range(3)]
    with pytest.raises(MissingFileError, match=r"memory://place/x\*: nothing matches it"):
        find(["memory://place/x*"])


def test_the_same_file_under_two_urls(tmp_path, folder, server):
    """As it is once where it has two names."""
    (folder / "copy.fits").write_bytes((folder / "e0.fits").read_bytes())
    urls = [f"{server.url}/{name}.fits" for name in ("e0", "copy", "e1")]
    made = gpures.mosaic(urls, tmp_path / "m.fits", **QUIET)
    assert [record.name for record in made.exposures] == ["e0.fits[PRIMARY]", "e1.fits[PRIMARY]"]


def test_readers_take_urls(server):
    url = f"{server.url}/e1.fits"
    assert gpures.io.inputs(url)[0].shape == SHAPE
    assert gpures.io.read(url)[0]["data"].shape == SHAPE
    assert gpures.io.read_wcs(url).array_shape == SHAPE


def test_command_line(tmp_path, server, capsys):
    main(["mosaic", f"{server.url}/e0.fits", f"{server.url}/e2.fits", "-o", str(tmp_path / "m.fits"), "--quiet"])
    assert len(gpures.io.read_mosaic(tmp_path / "m.fits")["data"]) > SHAPE[0]


def test_urls_are_gone_on_with(tmp_path, server, monkeypatch):
    """A checkpoint knows them again."""
    urls = [f"{server.url}/e{k}.fits" for k in range(3)]
    from gpures.mosaicking import stream

    taken = stream.Stream.taken

    def fails(self, source):
        if source.name == "e2.fits[PRIMARY]":
            raise KeyboardInterrupt
        return taken(self, source)

    options = QUIET | {"checkpoint": tmp_path / "c", "checkpoint_every": 1}
    monkeypatch.setattr(stream.Stream, "taken", fails)
    with pytest.raises(KeyboardInterrupt):
        gpures.mosaic(urls, tmp_path / "m.fits", **options)
    done = []
    monkeypatch.setattr(stream.Stream, "taken", lambda self, source: done.append(source.name) or taken(self, source))
    made = gpures.mosaic(urls, tmp_path / "m.fits", **options)
    assert len(made.exposures) == 3
    assert len(done) < 3


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("missing.fits", MissingFileError, "there is no such file"),
        ("none.fits", FileError, "none.fits"),
        ("cut.fits", FileError, "can't be fetched"),
    ],
)
def test_errors_name_the_url(server, name, error, words):
    url = f"{server.url}/{name}"
    with pytest.raises(error, match=words) as caught:
        find([url])
    assert str(caught.value).startswith(f"{url}: ")
    assert "gpures-" not in str(caught.value)  # the folder of copies


def test_nobody_there():
    with pytest.raises(FileError, match=r"^http://127.0.0.1:9/e.fits: can't be fetched: "):
        find(["http://127.0.0.1:9/e.fits"])


def test_what_is_missing_is_named(monkeypatch):
    with pytest.raises(MissingDependencyError, match=r"^s3://bucket/e.fits: .*s3fs"):
        find(["s3://bucket/e.fits"])
    with pytest.raises(FileError, match=r"nothing://e.fits: can't be fetched: Protocol"):
        find(["nothing://e.fits"])


def test_a_part_of_a_file_is_none(folder, monkeypatch):
    """What came in part is an error, and is fetched anew when it is asked for again."""
    from fsspec.implementations.memory import MemoryFileSystem

    get_file, url = MemoryFileSystem.get_file, "memory://place/e0.fits"
    fsspec.filesystem("memory").put([str(folder / "e0.fits")], "/place/")

    def cut(self, there, here, **more):
        get_file(self, there, here, **more)
        with open(here, "r+b") as file:
            file.truncate(3000)

    monkeypatch.setattr(MemoryFileSystem, "get_file", cut)
    with pytest.raises(FileError, match=r"3000 of .* bytes came"):
        find([url])
    monkeypatch.undo()
    assert find([url])[0].shape == SHAPE


def test_files_go_when_room_is_needed(server, monkeypatch):
    """Those that were asked for first; they are fetched again."""
    monkeypatch.setattr(remote, "FEWEST", 1)
    monkeypatch.setattr(remote, "OF_DISK", 1e-12)
    urls = [f"{server.url}/e{k}.fits" for k in range(3)]
    sources = find(urls)
    assert not sources[0].image.path.exists()
    assert sources[2].image.path.exists()
    assert len(server.fetched) == 3
    np.testing.assert_array_equal(sources[0].read(["data"])["data"], gpures.io.read(urls[0])[0]["data"])
    assert len(server.fetched) == 4


def test_another_file_by_now(folder, server, monkeypatch):
    monkeypatch.setattr(remote, "FEWEST", 1)
    monkeypatch.setattr(remote, "OF_DISK", 1e-12)
    fits.PrimaryHDU(np.ones((4, 5), np.float32), fits.getheader(folder / "e0.fits")).writeto(folder / "new.fits")
    source, _ = find([f"{server.url}/new.fits", f"{server.url}/e1.fits"])
    header = fits.getheader(folder / "e0.fits")
    fits.PrimaryHDU(np.ones((5, 5), np.float32), header).writeto(folder / "new.fits", overwrite=True)
    with pytest.raises(FileError, match=r"new.fits: the file is another one by now"):
        source.read(["data"])


def test_sources_travel(server):
    """Another process reads from a copy of its own."""
    source = find([f"{server.url}/e0.fits"])[0]
    remote._shelves.clear()
    there = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(there.read(["data"])["data"], source.read(["data"])["data"])
    assert isinstance(there.path, str)
    assert there.file != Path(source.image.path)


def test_what_belongs_to_others_is_left_out(folder, caplog):
    """By their names in one folder, as of files here."""
    memory = fsspec.filesystem("memory")
    for name in ("e0.fits", "e0.background.fits", "e1.fits"):
        memory.put_file(str(folder / ("e0.fits" if "0" in name else "e1.fits")), f"/own/{name}")
    found = find(["memory://own/*.fits"])
    assert [source.name for source in found] == ["e0.fits[PRIMARY]", "e1.fits[PRIMARY]"]
    assert "e0.background.fits" in caplog.text


def test_what_belongs_to_one_is_read_with_it(tmp_path, folder):
    """Weights and masks under URLs of their own are, as beside a file; each process fetches them."""
    here = tmp_path / "here"
    here.mkdir()
    shutil.copy(folder / "e0.fits", here / "e0.fits")
    shutil.copy(folder / "e1.fits", here / "e1.fits")
    weight = np.random.default_rng(5).uniform(0.5, 2, SHAPE).astype(np.float32)
    weight[10:20, 30:40] = 0
    fits.PrimaryHDU(weight).writeto(here / "e0.weight.fits")
    mask = np.zeros(SHAPE, np.uint8)
    mask[40:45] = 1
    fits.PrimaryHDU(mask).writeto(here / "e0.mask.fits")
    memory = fsspec.filesystem("memory")
    for path in here.iterdir():
        memory.put_file(str(path), f"/own-weights/{path.name}")
    expected = gpures.mosaic(str(here / "*.fits"), tmp_path / "here.fits", weight_type="ivm", **QUIET)
    found = find(["memory://own-weights/*.fits"])
    assert [source.name for source in found] == ["e0.fits[PRIMARY]", "e1.fits[PRIMARY]"]
    remote._shelves.clear()  # as another process, which goes on with what this one found
    made = gpures.mosaic(pickle.loads(pickle.dumps(found)), tmp_path / "there.fits", weight_type="ivm", **QUIET)
    for key in ("data", "wht", "var_rnoise"):
        np.testing.assert_array_equal(made.model[key], expected.model[key])
    alone = [f"memory://own-weights/e{k}.fits" for k in range(2)]  # whose copies have nothing beside them
    other = gpures.mosaic(alone, tmp_path / "alone.fits", weight_type="ivm", **QUIET)
    assert (other.model["wht"] != made.model["wht"]).any()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://user:secret@host/a.fits", "https://...@host/a.fits"),
        (
            "https://host/a.fits?uri=mast:a&X-Amz-Signature=secret&b=1",
            "https://host/a.fits?uri=mast:a&X-Amz-Signature=...&b=1",
        ),
        ("https://host/a.fits?token=secret", "https://host/a.fits?token=..."),
        ("https://host/a.fits?uri=mast:JWST/product/a.fits", "https://host/a.fits?uri=mast:JWST/product/a.fits"),
        ("s3://bucket/a@b.fits", "s3://bucket/a@b.fits"),
    ],
)
def test_secrets_are_not_told(url, told):
    assert remote.public(url) == told


def test_secrets_are_not_written(tmp_path, server):
    url = f"{server.url}/e0.fits?token=geheim".replace("http://", "http://me:geheim@")
    gpures.mosaic(url, tmp_path / "m.fits", **QUIET)
    assert b"geheim" not in (tmp_path / "m.fits").read_bytes()
    with pytest.raises(FileError) as caught:
        find([url.replace("e0", "missing")])
    assert "geheim" not in str(caught.value)


def test_signs_in_queries_are_no_patterns(server):
    assert find([f"{server.url}/e0.fits?sig=a*b[c]"])[0].shape == SHAPE


def test_a_name_with_brackets(folder):
    fsspec.filesystem("memory").put_file(str(folder / "e0.fits"), "/odd/a[1].fits")
    assert len(find(["memory://odd/a[1].fits"])) == 1
