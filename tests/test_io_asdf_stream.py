"""What an ASDF file says of itself is looked over before anything is built: memory, other files and time are safe."""

from __future__ import annotations

import hashlib
import io as streams
import os
import struct
import threading
import time
import zlib

import asdf
import files
import numpy as np
import pytest
import scenes
from astropy.io import fits
from astropy.modeling import models

from gpures import io
from gpures.io import asdf_stream

SHAPE = (8, 10)
PIXELS = np.arange(80, dtype="<f4")
HEAD = b"#ASDF 1.0.0\n#ASDF_STANDARD 1.6.0\n%YAML 1.1\n%TAG ! tag:stsci.edu:asdf/\n--- !core/asdf-1.1.0\n"


def block(data, packed=b"", *, flags=0, allocated=None, used=None, unpacked=None):
    """A block, and what its header says of it."""
    method = b"zlib" if packed else bytes(4)
    content = packed or data
    sizes = [len(content) if size is None else size for size in (allocated, used)]
    sizes.append(len(data) if unpacked is None else unpacked)
    return b"\xd3BLK" + struct.pack(">HI4sQQQ16s", 48, flags, method, *sizes, bytes(16)) + content


def file_of(tree, *blocks, index=b""):
    return HEAD + tree.encode() + b"\n...\n" + b"".join(blocks) + index


def node(**said):
    """An ndarray, of which something may be said otherwise."""
    usual = {"source": 0, "datatype": "float32", "byteorder": "little", "shape": list(SHAPE)}
    said = {key: value for key, value in (usual | said).items() if value is not None}
    return "!core/ndarray-1.1.0 {" + ", ".join(f"{key}: {value}" for key, value in said.items()) + "}"


@pytest.fixture(scope="module")
def wcs_text():
    """YAML of a WCS, which has no blocks."""
    content = streams.BytesIO()
    asdf.AsdfFile({"wcs": scenes.imaging_wcs(SHAPE)}).write_to(content, all_array_storage="inline")
    text = content.getvalue().split(b"--- !core/asdf-1.1.0\n")[1].split(b"\n...")[0].decode()
    return text[text.index("wcs:") :]


@pytest.fixture
def path_of(tmp_path, wcs_text):
    """Path of a file with a WCS and what is given."""

    def make(data, *blocks, index=b"", name="hostile.asdf"):
        path = tmp_path / name
        path.write_bytes(file_of(f"data: {data}\n{wcs_text}", *(blocks or (block(PIXELS.tobytes()),)), index=index))
        return path

    return make


class TestArrays:
    @pytest.mark.parametrize(
        ("said", "expected"),
        [
            ({}, PIXELS.reshape(SHAPE)),
            ({"offset": 40, "shape": [7, 10]}, PIXELS[10:].reshape(7, 10)),
            ({"strides": [4, 32], "shape": [8, 10]}, PIXELS.reshape(10, 8).T),
            ({"strides": [-40, 4], "offset": 280}, PIXELS.reshape(SHAPE)[::-1]),
            ({"strides": [-40, -4], "offset": 316}, PIXELS.reshape(SHAPE)[::-1, ::-1]),
            ({"byteorder": "big"}, PIXELS.reshape(SHAPE).view(">f4")),
            ({"shape": [2, 10], "strides": [160, 4], "datatype": "int16"}, None),
        ],
    )
    def test_honest(self, path_of, said, expected):
        """Arrays within their block are read as they are described, turned round or in steps, and may be written to."""
        (image,) = io.inputs(path_of(node(**said)))
        data = image.read()["data"]
        assert data.flags.writeable
        if expected is not None:
            np.testing.assert_array_equal(data, expected)

    LIES = {
        "before the block": {"offset": -400},
        "far before it": {"offset": -(10**9)},
        "beyond any number": {"offset": -(10**30)},
        "behind it": {"offset": 321},
        "reaching behind it": {"offset": 4},
        "rows too many": {"shape": [9, 10]},
        "rows that overflow": {"shape": [2**62, 4]},
        "negative rows": {"shape": [-8, 10]},
        "steps before it": {"strides": [-40, 4]},
        "steps behind it": {"strides": [44, 4]},
        "steps that overflow": {"strides": [2**61, 4]},
        "a step too few": {"strides": [40]},
        "a step too many": {"strides": [40, 4, 4]},
        "wide elements": {"datatype": "complex128"},
        "structured elements": {"datatype": "[{name: a, datatype: float64, byteorder: big, shape: [10]}]"},
        "text": {"datatype": "[ucs4, 2]"},
        "elements unknown": {"datatype": "object"},
        "no elements": {"datatype": None},
        "no shape": {"shape": None},
        "no numbers": {"shape": "[a, b]"},
        "octal numbers": {"offset": "0x10"},
        "another block": {"source": 1},
        "a block from the end": {"source": -2},
        "open without a length": {"shape": "['*', 0]"},
        "open behind it": {"shape": "['*', 10]", "offset": 40},
        "offset twice": {"offset": "0, offset: -400"},
        "merged": {"<<": "{offset: -400}"},
    }

    @pytest.mark.parametrize("said", LIES.values(), ids=LIES)
    def test_beyond_the_block(self, path_of, said):
        """An array that is not all within its block is refused before it is made, wherever in the tree."""
        path = path_of(node(**said))
        with pytest.raises(io.FileError, match=r"hostile\.asdf: .*damaged.*'data'"):
            io.inputs(path)
        deep = path_of(f"{node()}\nother: [{{here: {node(**said)}}}]")
        with pytest.raises(io.FileError, match=r"hostile\.asdf: .*damaged.*'other/0/here'"):
            io.inputs(deep)

    def test_through_aliases(self, path_of):
        """What an array says may be an alias of something said elsewhere."""
        lie = f"{node()}\na: &far -400\nb: {node(offset='*far ')}"
        with pytest.raises(io.FileError, match="'b' is an array that begins at byte -400"):
            io.inputs(path_of(lie))
        assert io.inputs(path_of(f"{node()}\na: &near 0\nb: {node(offset='*near ')}"))

    def test_in_a_wcs(self, tmp_path):
        """Tables of a WCS are checked like images, and those of an honest one are there when the file is closed."""
        table = models.Tabular2D(
            points=(np.arange(-1.0, 11.0), np.arange(-1.0, 9.0)), lookup_table=files.noise((12, 10)).astype(float)
        )
        kink = models.Tabular1D(points=np.arange(-1.0, 12.0), lookup_table=np.arange(13.0) - 1)
        lookup = models.Mapping((0, 1, 0, 1)) | (kink & models.Identity(1)) & table | models.Mapping((0, 1), n_inputs=3)
        wcs = scenes.wcs_of(lookup | scenes.sky_transform(SHAPE), SHAPE)
        asdf.AsdfFile({"wcs": wcs}).write_to(tmp_path / "w.asdf")
        assert io.read_wcs(tmp_path / "w.asdf")(3.0, 4.0) == wcs(3.0, 4.0)
        content = (tmp_path / "w.asdf").read_bytes()
        assert content.count(b"shape: [12, 10]") == 1
        (tmp_path / "w.asdf").write_bytes(content.replace(b"shape: [12, 10]", b"shape: [99, 10]"))
        with pytest.raises(
            io.FileError, match=r"w\.asdf: .*an array that reaches from byte 0 to 7920 of a block of 960"
        ):
            io.read_wcs(tmp_path / "w.asdf")

    def test_of_missions(self, tmp_path):
        """A lie in a file of Roman, or in the ASDF extension of one of JWST, is found before its package opens it."""
        path = files.roman_file(tmp_path / "r.asdf")
        content = path.read_bytes()
        assert content.count(b"shape: [40, 50]") > 1
        path.write_bytes(content.replace(b"shape: [40, 50]", b"shape: [40, 59]"))
        with pytest.raises(io.FileError, match=r"r\.asdf: .*damaged.*'roman/\w+' is an array that reaches"):
            io.inputs(path)
        with files.jwst_model() as model:
            model.meta.wcs = scenes.imaging_wcs(files.SHAPE, distortion=0.4)
            model.save(tmp_path / "j.fits")
        with fits.open(tmp_path / "j.fits") as hdus:
            content = hdus["ASDF"].data.tobytes()
            assert content.count(b"datatype: float64") > 0
            lie = content.replace(b"datatype: float64", b"datatype: complex128")
            hdus["ASDF"] = asdf_hdu(lie)
            hdus.writeto(tmp_path / "lie.fits")
            del hdus[0].header["TELESCOP"]
            hdus.writeto(tmp_path / "plain.fits")
        for name in ("lie.fits", "plain.fits"):
            with pytest.raises(io.FileError, match=rf"{name}: .*is an array that reaches"):
                io.inputs(tmp_path / name)


def asdf_hdu(content):
    cell = np.frombuffer(content, np.uint8)[None]
    column = fits.Column("ASDF_METADATA", format=f"{cell.size}B", array=cell)
    return fits.BinTableHDU.from_columns([column], name="ASDF")


class TestBlocks:
    DATA = PIXELS.tobytes()

    HONEST = {
        "packed": block(DATA, zlib.compress(DATA)),
        "padded": block(DATA + bytes(100), used=320, unpacked=320),
        "streamed": block(DATA, flags=1, allocated=0, used=0, unpacked=0),
    }

    @pytest.mark.parametrize("name", HONEST)
    def test_honest(self, path_of, name):
        """Packed, padded and streamed blocks are read."""
        said = {"source": -1, "shape": "['*', 10]"} if name == "streamed" else {}
        (image,) = io.inputs(path_of(node(**said), self.HONEST[name]))
        np.testing.assert_array_equal(image.read()["data"], PIXELS.reshape(SHAPE))

    LIES = {
        "longer than the file": block(DATA, allocated=10**6, used=10**6, unpacked=10**6),
        "beyond any file": block(DATA, allocated=2**64 - 1, used=2**64 - 1, unpacked=2**64 - 1),
        "used more than there is": block(DATA, allocated=100),
        "not packed, and grows": block(DATA, unpacked=10**6),
        "packed bomb": block(DATA, zlib.compress(DATA), unpacked=10**12),
        "packed, and too small": block(DATA, zlib.compress(DATA), unpacked=10**4),
        "packed, and too large": block(DATA, zlib.compress(bytes(10**6)), unpacked=320),
        "a small header": b"\xd3BLK\0\x08" + bytes(60),
        "a header that breaks off": b"\xd3BLK\xff\xff" + bytes(60),
        "an unknown method": block(DATA)[:10] + b"abcd" + block(DATA)[14:],
    }

    @pytest.mark.parametrize("content", LIES.values(), ids=LIES)
    def test_lies(self, path_of, content):
        """Blocks that say what can't be true are refused when the file is listed, or else when they are read."""
        with pytest.raises(io.FileError, match=r"hostile\.asdf: .*damaged"):
            io.read(path_of(node(), content))

    def test_memory(self, path_of, monkeypatch):
        """A block that would not fit in memory is refused, with both figures."""
        monkeypatch.setattr(asdf_stream, "available_memory", lambda: 2**30)
        large = block(self.DATA, zlib.compress(bytes(10**7)), unpacked=2**33)
        monkeypatch.setitem(asdf_stream.RATIO, b"zlib", 10**9)
        with pytest.raises(io.FileError, match=r"block 0 needs 8\.0 GiB of memory, of which 1\.0 GiB are available"):
            io.inputs(path_of(node(), large))

    def test_an_index_that_lies(self, path_of):
        """Blocks are where they are, whatever an index at the end, or one within a block, says of them."""
        other = np.full(80, 7, "<f4").tobytes()
        trap = other + b"\xd3BLK" + block(np.full(80, 666, "<f4").tobytes())[4:]
        blocks = block(self.DATA), block(trap)
        start = path_of(node(), *blocks).read_bytes().index(b"\xd3BLK")
        second = start + len(blocks[0])
        lie = b"#ASDF BLOCK INDEX\n%%YAML 1.1\n---\n- %d\n- %d\n...\n" % (start, second + 54 + 320)
        ours = "source: 1"
        for content, index in ((blocks, lie), ((blocks[0], block(trap + lie)), b""), (blocks, b"#ASDF BLOCK INDEX\n{")):
            (image,) = io.inputs(path_of(node().replace("source: 0", ours), *content, index=index))
            assert (image.read()["data"] == 7).all()

    def test_padding_before_the_first(self, path_of):
        """The first block may stand behind padding."""
        path = path_of(node(), b"\0" * 3000 + block(self.DATA))
        np.testing.assert_array_equal(io.read(path)[0]["data"], PIXELS.reshape(SHAPE))


class TestOtherFiles:
    """Arrays of other files are refused unless they are allowed, and files that would block in any case."""

    @pytest.fixture
    def other(self, tmp_path):
        (tmp_path / "other.asdf").write_bytes(HEAD + b"{}\n...\n" + block(PIXELS.tobytes()))
        return tmp_path / "other.asdf"

    @pytest.mark.parametrize("source", ["other.asdf", "file:///{}/other.asdf", "http://localhost/x.asdf", "''"])
    def test_source(self, path_of, other, source):
        """The source of an array is a block."""
        path = path_of(node(source=source.format(other.parent)))
        with pytest.raises(io.FileError, match=r"hostile\.asdf: 'data' lies in another file, .* not followed"):
            io.inputs(path)

    def test_allowed(self, path_of, other, tmp_path):
        """On request an array may lie in another file, whose block is checked as one of this; but no FIFO is opened."""
        (image,) = io.inputs(path_of(node(source="other.asdf")), allow_external=True)
        np.testing.assert_array_equal(image.read()["data"], PIXELS.reshape(SHAPE))
        assert len(io.read(path_of(node(source="other.asdf")), allow_external=True)) == 1
        with pytest.raises(io.FileError, match="begins at byte -400 of a block of 320"):
            io.inputs(path_of(node(source="other.asdf", offset=-400)), allow_external=True)
        with pytest.raises(io.FileError, match=r"'http://localhost/x\.asdf', which is no file of this machine"):
            io.inputs(path_of(node(source="http://localhost/x.asdf")), allow_external=True)
        os.mkfifo(tmp_path / "fifo.asdf")
        with pytest.raises(io.FileError, match=r"fifo\.asdf: can't be opened: it is a FIFO"):
            io.inputs(path_of(node(source="fifo.asdf")), allow_external=True)
        with pytest.raises(io.FileError, match=r"none\.asdf: there is no such file"):
            io.inputs(path_of(node(source="none.asdf")), allow_external=True)

    @pytest.mark.parametrize("target", ["other.asdf#/data", "file:///etc/passwd", "http://localhost/x#y"])
    def test_references(self, path_of, other, target):
        """Nor is a reference followed."""
        path = path_of(f"{{$ref: '{target}'}}")
        with pytest.raises(io.FileError, match=r"hostile\.asdf: 'data' refers to another file"):
            io.inputs(path)

    def test_references_allowed(self, path_of, tmp_path):
        """On request a reference is followed."""
        (tmp_path / "other.asdf").write_bytes(file_of(f"here: {node()}", block(PIXELS.tobytes())))
        (image,) = io.inputs(path_of("{$ref: 'other.asdf#/here'}"), allow_external=True)
        np.testing.assert_array_equal(image.read()["data"], PIXELS.reshape(SHAPE))

    def test_external_arrays(self, path_of):
        """Nor an array that describes one elsewhere."""
        said = "{fileuri: other.fits, target: 1, datatype: float32, shape: [8, 10]}"
        with pytest.raises(io.FileError, match="'data' is an array of another file"):
            io.inputs(path_of(f"!core/externalarray-1.0.0 {said}"))

    def test_a_file_in_fits(self, tmp_path):
        """The ASDF extension of a FITS file names the file's own extensions, and no other file."""
        path = files.jwst_file(tmp_path / "j.fits")
        with fits.open(path) as hdus:
            content = hdus["ASDF"].data.tobytes()
            assert content.count(b"fits:SCI,1") == 1
            hdus["ASDF"] = asdf_hdu(content.replace(b"fits:SCI,1", b"/etc/hosts"))
            hdus.writeto(tmp_path / "lie.fits")
        with pytest.raises(io.FileError, match=r"lie\.fits: 'data' lies in another file, '/etc/hosts'"):
            io.inputs(tmp_path / "lie.fits")


def bomb(levels, width=10):
    """Lists of aliases of lists of aliases."""
    lines = ["a0: &a0 [" + ",".join(["x"] * width) + "]"]
    lines += [f"a{k}: &a{k} [" + ",".join([f"*a{k - 1} "] * width) + "]" for k in range(1, levels)]
    return "\n".join(lines)


class TestText:
    TREES = {
        "aliases": (bomb(10), "more than 1000000 nodes, with aliases written out"),
        "few aliases": (bomb(30, 2), "more than 1000000 nodes, with aliases written out"),
        "itself": ("a: &a [*a]", "an alias, .a, of something that is not there yet"),
        "no anchor": ("a: *b ", "an alias, .b, of something that is not there yet"),
        "deep": ("a: " + "[" * 600 + "]" * 600, "deeper than 500"),
        "deeper": ("a: " + "[" * 10**5 + "]" * 10**5, "deeper than 500|nesting depth"),
        "deep lines": ("a:\n" + "\n".join(" " * k + "- " for k in range(1, 700)), "deeper than 500"),
        "broken": ("a: [", "damaged"),
    }

    @pytest.mark.parametrize("name", TREES)
    def test_bombs(self, path_of, name):
        """Text that would take minutes and gigabytes is refused in a moment."""
        tree, words = self.TREES[name]
        path = path_of(f"{node()}\n{tree}")
        start = time.perf_counter()
        with pytest.raises(io.FileError, match=words):
            io.inputs(path)
        assert time.perf_counter() - start < 5

    @pytest.mark.parametrize(
        ("transform", "words"),
        [
            ("!transform/identity-1.2.0 {n_dims: 1000000000}", "'a' is a transform of 1000000000 axes"),
            ("!transform/remap_axes-1.3.0 {mapping: [0], n_inputs: 2000}", "'a' is a transform of 2000 axes"),
            (
                f"!transform/polynomial-1.2.0 {{coefficients: {node(shape=[101, 100], strides=[0, 0])}}}",
                "'a' is a polynomial of 10100 coefficients",
            ),
            (
                f"!transform/polynomial-1.2.0 {{coefficients: [{','.join(['[1.0, 2.0]'] * 5000)}]}}",
                "'a' is a polynomial of 15001 coefficients",
            ),
        ],
        ids=["identity", "mapping", "a block", "text"],
    )
    def test_transforms(self, path_of, transform, words):
        """Transforms of which each axis and coefficient would be an object are refused beyond what anybody means."""
        with pytest.raises(io.FileError, match=words):
            io.inputs(path_of(f"{node()}\na: {transform}"))

    def test_large_trees(self, path_of):
        """A tree of tens of thousands of nodes, and one that is as deep as a long transform, are read."""
        tree = "a: [" + ",".join(["{b: 1}"] * 20_000) + "]\nc: " + "[" * 300 + "]" * 300
        assert io.inputs(path_of(f"{node()}\n{tree}"))

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"#ASDF 1.0.0\n" + b"#" * 10**6, "neither YAML nor blocks"),
            (HEAD + b"a: 1\n", "no end"),
            (HEAD + b"a: 1\n...x", "no end"),
            (HEAD + b"a: 'x" + b"y" * 68_000_000, "more than 64 MiB"),
            (b"#ASDF", "neither YAML nor blocks"),
        ],
        ids=["no YAML", "no end", "dots that are none", "long", "short"],
    )
    def test_no_text(self, tmp_path, content, words):
        """A file without the text of one is refused."""
        (tmp_path / "t.asdf").write_bytes(content)
        with pytest.raises(io.FileError, match=words):
            io.inputs(tmp_path / "t.asdf")

    def test_end_at_the_end(self, tmp_path, wcs_text):
        """The text may end with the file."""
        (tmp_path / "t.asdf").write_bytes(HEAD + wcs_text.encode() + b"\n...")
        assert io.read_wcs(tmp_path / "t.asdf").array_shape == SHAPE


def test_a_stream_is_a_file(tmp_path):
    """Pieces of memory and of a file read as one, from anywhere and any length."""
    (tmp_path / "f").write_bytes(bytes(range(200)))
    with (tmp_path / "f").open("rb") as file:
        stream = asdf_stream.Stream(file, [b"abc", (10, 20), b"", (100, 5), b"xyz"], (), False)
        whole = b"abc" + bytes(range(10, 30)) + bytes(range(100, 105)) + b"xyz"
        assert stream.read() == whole
        for begin in range(len(whole) + 2):
            for size in (0, 1, 2, 5, 23, 99):
                assert stream.seek(begin) == begin
                assert stream.read(size) == whole[begin : begin + size]
                assert stream.tell() == max(begin, min(begin + size, len(whole)))
        assert stream.seek(-3, 2) == len(whole) - 3
        assert stream.seek(1, 1) == len(whole) - 2
        buffer = bytearray(5)
        assert stream.readinto(buffer) == 2
        assert buffer == b"yz\0\0\0"


def test_files_that_were_written(tmp_path):
    """What asdf writes, with any storage, is what gpures reads, checksums and all."""
    before = threading.enumerate()
    arrays = {name: files.noise(seed=k) for k, name in enumerate(("data", "err", "wht"))}
    arrays["err"] = np.asfortranarray(arrays["err"])[:, ::-1]
    tree = arrays | {"wcs": scenes.imaging_wcs(files.SHAPE, distortion=0.3)}
    for kind in ({"all_array_storage": "inline"}, {"all_array_compression": "bzp2"}, {"pad_blocks": True}, {}):
        asdf.AsdfFile(tree).write_to(tmp_path / "f.asdf", **kind)
        (model,) = io.read(tmp_path / "f.asdf")
        for name in ("data", "err"):
            np.testing.assert_array_equal(model[name], arrays[name])
    assert hashlib.md5(model["data"].tobytes()).digest()
    begun = set(threading.enumerate()) - set(before)
    assert not [thread for thread in begun if thread.name.startswith("gpures")]
