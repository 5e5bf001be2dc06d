"""What FITS headers say of sizes is compared with the file and the memory before anything is taken for it."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import time
import zipfile

import files
import numpy as np
import pytest
import scenes
from astropy.io import fits

from gpures import io
from gpures.io import fits_sizes
from gpures.io.fits_sizes import check_sizes

SHAPE = files.SHAPE


def card(keyword, value):
    return f"{keyword:<8}= {value:>20}".ljust(80).encode()


def with_cards(content, cards, number=0):
    """A file in a header of which some cards have other values; those that it lacks come before its END."""
    begin = 0
    for _ in range(number):
        begin = content.index(b"XTENSION", begin + 1)
    end = next(k for k in range(begin, len(content), 80) if content[k : k + 80] == b"END".ljust(80))
    header = [content[k : k + 80] for k in range(begin, end, 80)]
    for keyword, value in cards.items():
        places = [k for k, old in enumerate(header) if old.startswith(keyword.ljust(8).encode())]
        if places:
            header[places[0]] = card(keyword, value)
        else:
            header.append(card(keyword, value))
    new = b"".join([*header, b"END".ljust(80)])
    rest = content[begin + -(-(end + 80 - begin) // 2880) * 2880 :]
    return content[:begin] + new.ljust(-(-len(new) // 2880) * 2880) + rest


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """An image with an error, as bytes."""
    folder = tmp_path_factory.mktemp("plain")
    return files.plain_file(folder / "p.fits", extensions={"ERR": files.noise()}).read_bytes()


@pytest.fixture(scope="module")
def tiled(tmp_path_factory):
    """Images in tiles, by method, as bytes."""
    folder = tmp_path_factory.mktemp("tiled")
    made = {}
    for method in ("RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1", "PLIO_1"):
        data = files.flags() if method == "PLIO_1" else (files.noise() * 40000).astype(np.int32)
        header = scenes.fits_wcs(SHAPE).to_header()
        tile = (20, 25) if method == "HCOMPRESS_1" else None
        hdu = fits.CompImageHDU(data.astype(np.int32), header, "SCI", compression_type=method, tile_shape=tile)
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(folder / method)
        made[method] = (folder / method).read_bytes()
    return made


def refused(tmp_path, content, words, seconds=5.0):
    """Assert that a file is refused with some words, in a moment, when it is listed."""
    path = tmp_path / "hostile.fits"
    path.write_bytes(content)
    start = time.perf_counter()
    with pytest.raises(io.FileError, match=rf"hostile\.fits: .*{words}"):
        io.inputs(path)
    assert time.perf_counter() - start < seconds


LIES = {
    "axes": ({"NAXIS": 10**9}, "NAXIS is 1000000000, expected at most 999"),
    "axes that are missing": ({"NAXIS": 900}, "there is no NAXIS3"),
    "negative axes": ({"NAXIS": -1}, "NAXIS is -1"),
    "a long axis": ({"NAXIS1": 10**9}, "the file breaks off|needs .* GiB"),
    "an axis beyond numbers": ({"NAXIS1": 10**17, "NAXIS2": 10**17}, "needs .* GiB"),
    "an axis beyond digits": ({"NAXIS1": 10**19}, "NAXIS1 is 10000000000000000000, expected a whole number"),
    "a negative axis": ({"NAXIS1": -50}, "NAXIS1 is -50, expected a whole number from 0 on"),
    "two negative axes": ({"NAXIS1": -50, "NAXIS2": -40}, "NAXIS1 is -50"),
    "an axis of text": ({"NAXIS1": "'abc'"}, "NAXIS1 is abc"),
    "an axis and a half": ({"NAXIS1": 50.5}, r"NAXIS1 is 50\.5"),
    "a parameter count": ({"PCOUNT": 10**15}, "needs .* GiB"),
    "a negative parameter count": ({"PCOUNT": -100}, "PCOUNT is -100"),
    "a group count": ({"GCOUNT": 10**15}, "needs .* GiB"),
    "a negative group count": ({"GCOUNT": -1}, "GCOUNT is -1"),
    "a type": ({"BITPIX": 7}, "BITPIX is 7, expected 8, 16"),
    "a type of text": ({"BITPIX": "'f4'"}, "BITPIX is f4"),
    "a polynomial": ({"A_ORDER": 10**6}, "A_ORDER is 1000000, expected at most 20"),
    "a polynomial of text": ({"B_ORDER": "'two'"}, "B_ORDER is two, expected at most 20"),
    "axes of the WCS": ({"WCSAXES": 10**9}, "WCSAXES is 1000000000, expected at most 20"),
}


class TestHeaders:
    @pytest.mark.parametrize("primary", [True, False])
    @pytest.mark.parametrize("name", LIES)
    def test_lies(self, tmp_path, plain, name, primary):
        """A header that says what can't be is refused, in a moment, with the keyword or the figures."""
        cards, words = LIES[name]
        refused(tmp_path, with_cards(plain, cards, 0 if primary else 1), words)

    @pytest.mark.parametrize("keyword", ["BZERO", "BSCALE"])
    def test_scales_of_text(self, tmp_path, plain, keyword):
        """A scale that is no number is an error that names the file, when the pixels are read."""
        (tmp_path / "h.fits").write_bytes(with_cards(plain, {keyword: "'abc'"}))
        with pytest.raises(io.FileError, match=r"h\.fits: "):
            io.read(tmp_path / "h.fits")

    def test_said_twice(self, tmp_path, plain):
        """A size that a header has twice, in two ways, is refused: libraries differ in which one they take."""
        twice = with_cards(plain, {"XXXX": 1}).replace(card("XXXX", 1), card("NAXIS1", 10**9))
        refused(tmp_path, twice, "the header of HDU 0 has NAXIS1 twice, 50 and 1000000000")
        hidden = b"HIERARCH NAXIS1 = 99".ljust(80)
        refused(tmp_path, with_cards(plain, {"XXXX": 1}).replace(card("XXXX", 1), hidden), "NAXIS1 twice, 50 and 99")
        same = with_cards(plain, {"XXXX": 1}).replace(card("XXXX", 1), card("NAXIS1", 50))
        (tmp_path / "same.fits").write_bytes(same)
        assert io.inputs(tmp_path / "same.fits")

    def test_no_end(self, tmp_path, plain):
        """A header without an END is refused after some megabytes."""
        refused(tmp_path, plain[:2880].replace(b"END ", b"XXX ") * 8000, "has no END within 144000 cards", 10)

    def test_long_header(self, tmp_path, plain):
        """A header of ten thousand cards is read."""
        end = plain.index(b"END".ljust(80))
        cards = b"".join(b"HISTORY".ljust(80) for _ in range(36 * 300))
        (tmp_path / "long.fits").write_bytes(plain[:end] + cards + plain[end:])
        assert len(io.inputs(tmp_path / "long.fits")) == 1

    def test_what_is_behind(self, tmp_path, plain):
        """A little behind the last extension is nothing, much is an error."""
        (tmp_path / "zeros.fits").write_bytes(plain + bytes(2880))
        check_sizes(tmp_path / "zeros.fits")
        refused(tmp_path, plain + b"x" * 10**7, "behind its last extension")

    def test_extensions(self, tmp_path, plain, monkeypatch):
        """A file with more extensions than anybody has is refused."""
        monkeypatch.setattr(fits_sizes, "EXTENSIONS", 1)
        (tmp_path / "two.fits").write_bytes(plain)
        check_sizes(tmp_path / "two.fits")
        monkeypatch.setattr(fits_sizes, "EXTENSIONS", 0)
        refused(tmp_path, plain, "more than 0 extensions")

    def test_memory(self, tmp_path, plain, monkeypatch):
        """An image that does not fit in memory is refused, with both figures; so is one of a single value."""
        monkeypatch.setattr(fits_sizes, "available_memory", lambda: 7999)
        refused(tmp_path, plain, r"it needs 0\.0 GiB of memory, of which 0\.0 GiB are available")
        monkeypatch.undo()
        hdus = files.hst_hdus(chips=1)
        hdus["DQ", 1] = fits.ImageHDU(name="DQ", ver=1)
        hdus["DQ", 1].header.update({"NPIX1": 10**6, "NPIX2": 10**7, "PIXVALUE": 0})
        hdus.writeto(tmp_path / "hostile.fits", overwrite=True)
        refused(tmp_path, (tmp_path / "hostile.fits").read_bytes(), "an image in it needs .* GiB")
        hdus["DQ", 1].header.update({"NPIX1": -4, "NPIX2": -10, "PIXVALUE": 0})
        hdus.writeto(tmp_path / "hostile.fits", overwrite=True)
        refused(tmp_path, (tmp_path / "hostile.fits").read_bytes(), "NPIX1 is -4")

    def test_without_padding(self, tmp_path, plain, caplog):
        """A file that ends with its last pixel, without padding, is whole; one a byte shorter is not."""
        last = plain[: len(plain) - (-4 * SHAPE[0] * SHAPE[1] % 2880)]
        assert len(last) % 2880
        (tmp_path / "short.fits").write_bytes(last)
        assert not check_sizes(tmp_path / "short.fits")
        assert len(io.read(tmp_path / "short.fits")) == 1
        assert "short.fits ends without the padding" in caplog.text
        refused(tmp_path, last[:-1], "the file breaks off")


class TestTables:
    @pytest.fixture
    def table(self, tmp_path, plain):
        """An image with a table."""
        (tmp_path / "t.fits").write_bytes(plain)
        with fits.open(tmp_path / "t.fits") as hdus:
            columns = [fits.Column("A", "3J", array=np.zeros((4, 3))), fits.Column("B", "PE()", array=[[1.0]] * 4)]
            hdus.append(fits.BinTableHDU.from_columns(columns))
            hdus.writeto(tmp_path / "table.fits")
        return (tmp_path / "table.fits").read_bytes()

    def test_honest(self, tmp_path, table):
        """A table beside an image is no matter."""
        (tmp_path / "h.fits").write_bytes(table)
        assert len(io.read(tmp_path / "h.fits")) == 1

    @pytest.mark.parametrize(
        ("cards", "words"),
        [
            ({"TFIELDS": 10**9}, "TFIELDS is 1000000000, expected at most 999"),
            ({"TFIELDS": -1}, "TFIELDS is -1"),
            ({"TFORM1": "'999999999D'"}, "columns take .* bytes, of 20 that it has"),
            ({"NAXIS2": 10**12}, "needs .* GiB"),
            ({"PCOUNT": -1}, "PCOUNT is -1"),
        ],
    )
    def test_lies(self, tmp_path, table, cards, words):
        """Tables are looked at like images."""
        refused(tmp_path, with_cards(table, cards, 2), words)


class TestTiles:
    @pytest.mark.parametrize("method", ["RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1", "PLIO_1"])
    def test_honest(self, tmp_path, tiled, method):
        """An image in tiles, by any method, is read, packed once more or not."""
        (tmp_path / "t.fits").write_bytes(tiled[method])
        (tmp_path / "t.fits.gz").write_bytes(gzip.compress(tiled[method]))
        expected = files.flags() if method == "PLIO_1" else (files.noise() * 40000).astype(np.int32)
        for name in ("t.fits", "t.fits.gz"):
            np.testing.assert_array_equal(io.read(tmp_path / name)[0]["data"], expected)

    @pytest.mark.parametrize(
        ("cards", "words"),
        [
            ({"ZNAXIS": 10**9}, "ZNAXIS is 1000000000"),
            ({"ZNAXIS1": 10**9, "ZNAXIS2": 10**9, "ZTILE1": 10**9, "ZTILE2": 25_000_000}, "an image in it needs"),
            ({"ZNAXIS1": -50}, "ZNAXIS1 is -50"),
            ({"ZNAXIS2": 4000}, "an image of 4000 tiles lies in a table of 40 rows"),
            ({"ZTILE1": 0}, "ZTILE1 is 0, expected a whole number from 1 on"),
            ({"ZTILE1": -50}, "ZTILE1 is -50"),
            ({"ZTILE2": 2}, "an image of 20 tiles lies in a table of 40 rows"),
            ({"ZBITPIX": 0}, "ZBITPIX is 0"),
            ({"THEAP": 10**9}, "tile 0 has"),
        ],
    )
    def test_lies(self, tmp_path, tiled, cards, words):
        """Shapes and tiles that can't be are refused."""
        refused(tmp_path, with_cards(tiled["RICE_1"], cards, 1), words)

    @pytest.mark.parametrize("packed", [False, True])
    @pytest.mark.parametrize("pointer", [(10**6, 0), (-5, 0), (10, 10**9), (10, -(10**6)), (2**31 - 1, 2**31 - 1)])
    def test_pointers(self, tmp_path, tiled, pointer, packed):
        """Tiles that do not lie in the table's heap are refused."""
        content = bytearray(tiled["RICE_1"])
        with fits.open(self._write(tmp_path, content), disable_image_compression=True) as hdus:
            begin = hdus[1].fileinfo()["datLoc"]
        content[begin + 24 : begin + 32] = np.array(pointer, ">i4").tobytes()
        refused(tmp_path, gzip.compress(bytes(content)) if packed else bytes(content), "tile 3 has")

    @staticmethod
    def _write(tmp_path, content):
        (tmp_path / "t.fits").write_bytes(content)
        return tmp_path / "t.fits"

    def test_a_stream_of_another_shape(self, tmp_path, tiled):
        """A stream that would be unpacked beyond its tile is refused."""
        content = tiled["HCOMPRESS_1"]
        begin = content.index(b"\xdd\x99")
        sides = np.frombuffer(content[begin + 2 : begin + 10], ">i4")
        assert sorted(sides) == [20, 25]
        large = np.array([4000, 4000], ">i4").tobytes()
        refused(tmp_path, content[: begin + 2] + large + content[begin + 10 :], "tile 0 unpacks to 4000 x 4000 pixels")

    def test_a_list_that_is_longer(self, tmp_path, tiled):
        """A list that says that it goes on behind its tile is refused."""
        content = bytearray(tiled["PLIO_1"])
        with fits.open(self._write(tmp_path, content), disable_image_compression=True) as hdus:
            info = hdus[1].fileinfo()
            place = info["datLoc"] + hdus[1].header["NAXIS1"] * hdus[1].header["NAXIS2"]
            assert int(hdus[1].data["COMPRESSED_DATA"][0][2]) <= 0
        content[place + 6 : place + 10] = np.array([32767, 32767], ">i2").tobytes()
        refused(tmp_path, bytes(content), "tile 0 has a list of")

    def test_a_packed_tile_that_grows(self, tmp_path, tiled, monkeypatch):
        """A tile of gzip that unpacks to far more than its pixels is refused."""
        monkeypatch.setattr(fits_sizes, "LARGE", 0)
        (tmp_path / "t.fits").write_bytes(tiled["GZIP_1"])
        check_sizes(tmp_path / "t.fits")
        with fits.open(tmp_path / "t.fits", disable_image_compression=True) as hdus:
            info, header = hdus[1].fileinfo(), hdus[1].header
            heap = info["datLoc"] + header["NAXIS1"] * header["NAXIS2"]
            length = header["PCOUNT"]
        bomb = gzip.compress(bytes(10**6))
        assert len(bomb) < length
        content = tiled["GZIP_1"]
        first = np.array([len(bomb), 0], ">i4").tobytes()
        content = (
            content[: info["datLoc"]] + first + content[info["datLoc"] + 8 : heap] + bomb + content[heap + len(bomb) :]
        )
        refused(tmp_path, content, "tile 0 unpacks to more than its 50 pixels")


class TestPacked:
    PACK = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}

    @pytest.mark.parametrize("kind", [*PACK, "zip"])
    def test_honest(self, tmp_path, plain, kind):
        """Packed files are read, and refused where they break off or say what can't be."""
        if kind == "xz" and not hasattr(fits.file, "HAS_LZMA"):
            pytest.skip("this astropy does not read .xz")
        path = tmp_path / f"hostile.fits.{kind}"

        def pack(content):
            if kind == "zip":
                with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                    archive.writestr("p.fits", content)
                return path.read_bytes()
            return self.PACK[kind](content)

        path.write_bytes(pack(plain))
        np.testing.assert_array_equal(io.read(path)[0]["data"], files.noise(SHAPE, 5, 4, 6))
        refused(tmp_path, pack(with_cards(plain, {"NAXIS": 10**9})), "NAXIS is 1000000000")
        refused(tmp_path, pack(plain[:-3000]), "breaks off")
        refused(tmp_path, pack(plain)[:-100], "damaged|breaks off")

    def test_bomb(self, tmp_path, plain, monkeypatch):
        """What unpacks to more than fits in memory is refused before it is unpacked, in one piece or in many."""
        refused(tmp_path, gzip.compress(with_cards(plain, {"NAXIS1": 10**8, "NAXIS2": 10**4})), "it needs .* GiB")
        monkeypatch.setattr(fits_sizes, "available_memory", lambda: 12_000)
        refused(tmp_path, gzip.compress(plain), "it needs")
        monkeypatch.setattr(fits_sizes, "available_memory", lambda: 16_000)
        check_sizes(tmp_path / "hostile.fits")

    def test_bomb_behind(self, tmp_path, plain):
        """What follows the last extension is not unpacked to its end."""
        refused(tmp_path, gzip.compress(plain + bytes(10**8), 1), "behind its last extension", 3)

    def test_something_else(self, tmp_path):
        """A packed file of something else is named as such."""
        refused(tmp_path, gzip.compress(b"Dear reader"), "no FITS file: it begins with b'Dear reader'")


class TestKinds:
    def test_what_is_no_file(self, tmp_path):
        """A FIFO, a socket or a device is not opened, which might never end."""
        os.mkfifo(tmp_path / "fifo.fits")
        start = time.perf_counter()
        for read in (io.inputs, io.read, io.read_wcs, io.read_mosaic):
            with pytest.raises(
                io.FileError, match=r"fifo\.fits: can't be opened: it is a FIFO, expected a regular file"
            ):
                read(tmp_path / "fifo.fits")
        with pytest.raises(io.FileError, match=r"/dev/null: can't be opened: it is a device"):
            io.inputs("/dev/null")
        assert time.perf_counter() - start < 2

    def test_a_file_that_becomes_one(self, tmp_path, plain):
        """Nor is one that was a file when its headers were read."""
        path = tmp_path / "p.fits"
        path.write_bytes(plain)
        (image,) = io.inputs(path)
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(io.FileError, match="it is a FIFO"):
            image.read()
