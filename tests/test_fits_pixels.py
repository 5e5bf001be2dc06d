"""Images that are written piece by piece are those that astropy writes, to the last byte."""

from __future__ import annotations

import io

import numpy as np
import pytest
from astropy.io import fits

from gpures.io import fits_pixels
from gpures.io.fits_pixels import StreamedImage
from gpures.io.writer import _write_fits


def written(kind, pixels, path):
    """A file of two such images, with the same dates in its headers."""
    hdus = fits.HDUList([fits.PrimaryHDU(), *(kind(pixels, name=name) for name in ("SCI", "CON"))])
    for hdu in hdus:
        hdu._get_timestamp = lambda: "2026-01-01"
    with open(path, "wb") as file:
        _write_fits(hdus, file)
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["f4", "f8", ">f4", "i4", "u4", "i8", "u8", "i2", "u2", "i1", "u1"])
@pytest.mark.parametrize("shape", [(7, 13), (2, 31, 43)])
def test_as_astropy_writes(tmp_path, monkeypatch, kind, shape):
    """Pixels, headers and sums are the same, of pieces of 1000 pixels over three threads."""
    monkeypatch.setattr(fits_pixels, "AT_ONCE", 1000)
    monkeypatch.setenv("GPURES_NUM_THREADS", "3")
    pixels = np.frombuffer(np.random.default_rng(1).bytes(8 * 3000), kind)[: np.prod(shape)].reshape(shape)
    assert not pixels.flags.writeable
    expected = written(fits.ImageHDU, pixels, tmp_path / "astropy.fits")
    assert written(StreamedImage, pixels, tmp_path / "streamed.fits") == expected


def test_into_memory():
    """Where there is no file to be written to at any place, astropy writes."""
    pixels = np.arange(12, dtype=np.uint32).reshape(3, 4)
    content = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), StreamedImage(pixels, name="DQ")]).writeto(content, checksum=True)
    with fits.open(io.BytesIO(content.getvalue()), checksum=True) as hdus:
        np.testing.assert_array_equal(hdus["DQ"].data, pixels)
