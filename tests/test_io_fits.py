"""Plain FITS images become models, damaged and unfit files an error that names them, and pixels wait to be read."""

from __future__ import annotations

import gzip
import os
import pickle
import tracemalloc
import warnings

import files
import numpy as np
import pytest
import scenes
from astropy.io import fits
from astropy.wcs import WCS

import gpures
from gpures import io

VARIANCES = ("var_rnoise", "var_poisson", "var_flat")


class TestPlainImages:
    @pytest.mark.parametrize("primary", [True, False], ids=["primary", "SCI"])
    def test_all_arrays(self, tmp_path, primary):
        """Image, ERR, DQ and variances are what was written, big-endian as they lie in the file; flags are unsigned."""
        arrays = {name: files.noise(seed=k) for k, name in enumerate(("ERR", "VAR_RNOISE", "VAR_POISSON", "VAR_FLAT"))}
        arrays["DQ"] = files.flags().astype(np.int32)
        path = files.plain_file(tmp_path / "image.fits", extensions=arrays, primary=primary)
        (image,) = io.inputs(path)
        assert image.name == ("image.fits[PRIMARY]" if primary else "image.fits[SCI,1]")
        assert (image.kind, image.shape, image.unit, image.exposure_time) == ("fits", files.SHAPE, "ct/s", 30.0)
        model = image.read()
        np.testing.assert_array_equal(model["data"], files.noise(files.SHAPE, 5, 4, 6))
        for name, array in arrays.items():
            np.testing.assert_array_equal(model[name.lower()], array, err_msg=name)
        assert model["data"].dtype == ">f4"
        assert model["dq"].dtype.kind == "u"
        assert image.nbytes == sum(array.nbytes for array in model.values() if hasattr(array, "nbytes"))

    def test_mosaic_is_that_of_arrays(self, tmp_path):
        """A file makes the mosaic that its arrays make by hand, without error or warning for what it lacks."""
        path = files.plain_file(tmp_path / "image.fits", extensions={"ERR": files.noise()})
        (model,) = io.read(path)
        by_hand = scenes.model_of(scenes.fits_wcs(files.SHAPE, sip=0.5), files.SHAPE, exposure_time=30.0)
        by_hand |= {"data": files.noise(files.SHAPE, 5, 4, 6), "dq": np.zeros(files.SHAPE, np.uint8)}
        by_hand |= {"var_rnoise": files.noise() ** 2, "var_poisson": None, "var_flat": None}
        by_hand |= {"pixelarea_steradians": None}
        images = []
        for each in (model, by_hand):
            frame = {"wcs": scenes.frame_around(files.SHAPE), "pixel_scale": scenes.SCALE}
            resample = gpures.Resample(frame, backend="cpu", compute_err="from_var")
            resample.add_model(each)
            resample.finalize()
            images.append([resample.output_model[name] for name in ("data", "wht", "err", "var_rnoise")])
        np.testing.assert_array_equal(*images)

    @pytest.mark.parametrize(
        ("name", "variance_of"),
        [("ERR", np.square), ("VAR", np.copy), ("VARIANCE", np.copy), ("WHT", np.reciprocal)],
    )
    def test_variance_of_something_else(self, tmp_path, caplog, name, variance_of):
        """Without variances, error, total variance or weights stand for the one that weights are made of."""
        array = files.noise()
        (image,) = io.inputs(files.plain_file(tmp_path / "image.fits", extensions={name: array}))
        np.testing.assert_allclose(image.read()["var_rnoise"], variance_of(array), rtol=2e-7)
        np.testing.assert_array_equal(image.read(["var_rnoise"])["var_rnoise"], image.read()["var_rnoise"])
        assert ("right but for a factor" in caplog.text) == (name == "WHT")

    def test_weight_of_nothing(self, tmp_path):
        """A pixel of weight zero has an infinite variance, and weighs nothing."""
        weight = files.noise()
        weight[7, 8] = 0
        (model,) = io.read(files.plain_file(tmp_path / "image.fits", extensions={"WHT": weight}))
        assert np.isinf(model["var_rnoise"][7, 8])

    def test_several_images(self, tmp_path):
        """Each SCI extension is an image, with what has its EXTVER."""
        hdus = fits.HDUList([fits.PrimaryHDU()])
        for k in (1, 2):
            header = scenes.fits_wcs(files.SHAPE, shift=(k, 0)).to_header()
            hdus.append(fits.ImageHDU(files.noise(seed=k), header, name="SCI", ver=k))
            hdus.append(fits.ImageHDU(files.noise(seed=10 + k), name="ERR", ver=k))
        hdus.writeto(tmp_path / "two.fits")
        first, second = io.read(tmp_path / "two.fits")
        np.testing.assert_array_equal(second["err"], files.noise(seed=12))
        assert first["group_id"] == second["group_id"]  # chips of one exposure
        np.testing.assert_allclose(second["wcs"].wcs.crpix - first["wcs"].wcs.crpix, (1, 0))

    def test_missing_pixels_are_flagged(self, tmp_path):
        """NaN, of the data or by BLANK, are flagged, and other flags stay."""
        data = files.noise()
        data[2, 3] = np.nan
        dq = np.zeros(files.SHAPE, np.int16)
        dq[2, 3], dq[4, 5] = 4, 8
        (model,) = io.read(files.plain_file(tmp_path / "image.fits", data, {"DQ": dq}))
        assert (model["dq"][2, 3], model["dq"][4, 5], np.count_nonzero(model["dq"])) == (5, 8, 2)
        counts = np.arange(2000, dtype=np.int16).reshape(files.SHAPE)
        (image,) = io.inputs(files.plain_file(tmp_path / "counts.fits", counts, keywords={"BLANK": 77}))
        model = image.read()
        assert np.flatnonzero(model["dq"]).tolist() == [77]
        assert model["data"][1, 0] == 50.0
        assert image.nbytes == model["data"].nbytes + model["dq"].nbytes

    def test_unsigned_and_compressed(self, tmp_path):
        """Unsigned integers and tile-compressed images are read as astropy has them."""
        data = (files.noise() * 40000).astype(np.uint16)
        np.testing.assert_array_equal(io.read(files.plain_file(tmp_path / "u.fits", data))[0]["data"], data)
        hdu = fits.CompImageHDU(data, scenes.fits_wcs(files.SHAPE).to_header(), name="SCI")
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "packed.fits.fz")
        (image,) = io.inputs(tmp_path / "packed.fits.fz")
        np.testing.assert_array_equal(image.read()["data"], data)
        assert image.shape == files.SHAPE

    @pytest.mark.parametrize("time", [None, 0.0, -1.0, "unknown"])
    def test_no_exposure_time(self, tmp_path, caplog, time):
        """Without an exposure time one second is taken, with a warning that names the image."""
        path = files.plain_file(tmp_path / "image.fits", keywords={} if time is None else {"EXPTIME": time})
        assert io.inputs(path)[0].exposure_time == 1.0
        assert "image.fits[PRIMARY] has no exposure time" in caplog.text

    @pytest.mark.parametrize("keyword", ["EXPTIME", "EXPOSURE", "XPOSURE", "TEXPTIME"])
    def test_exposure_time(self, tmp_path, keyword):
        """Any of the usual keywords gives the exposure time."""
        path = files.plain_file(tmp_path / "image.fits", keywords={keyword: 12.5})
        assert io.inputs(path)[0].exposure_time == 12.5


class TestReading:
    def test_headers_only(self, tmp_path):
        """Listing the images of a file takes a fraction of the memory of its pixels."""
        path = files.plain_file(tmp_path / "large.fits", shape=(2000, 2000))
        io.inputs(path)
        tracemalloc.start()
        io.inputs(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 0.1 * 4 * 2000**2

    def test_only_what_is_asked_for(self, tmp_path):
        """Arrays that are not asked for are not read, and are None; data and DQ always come."""
        arrays = {name: files.noise((500, 500)) for name in ("ERR", "VAR_RNOISE", "VAR_POISSON", "VAR_FLAT")}
        (image,) = io.inputs(files.plain_file(tmp_path / "image.fits", extensions=arrays, shape=(500, 500)))
        image.read()
        tracemalloc.start()
        model = image.read(["var_flat"])
        held, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert [name for name in ("data", "dq", "err", *VARIANCES) if model[name] is not None] == [
            "data",
            "dq",
            "var_flat",
        ]
        assert held < 2.5 * 4 * 500**2
        assert peak < 3.5 * 4 * 500**2

    def test_file_may_go(self, tmp_path):
        """Arrays are in memory: they outlive the file, which is not held open."""
        path = files.plain_file(tmp_path / "image.fits")
        (image,) = io.inputs(path)
        model = image.read()
        open_files = {os.readlink(f"/proc/self/fd/{fd}") for fd in _descriptors()} if os.path.isdir("/proc") else set()
        assert str(path) not in open_files
        path.write_bytes(b"gone")
        np.testing.assert_array_equal(model["data"], files.noise(files.SHAPE, 5, 4, 6))

    def test_changed_file(self, tmp_path):
        """A file that became another one, or vanished, between headers and pixels is an error."""
        path = files.plain_file(tmp_path / "image.fits")
        (image,) = io.inputs(path)
        path.unlink()
        with pytest.raises(io.FileError, match=r"image\.fits: the file is gone"):
            image.read()
        files.plain_file(path, shape=(30, 30))
        with pytest.raises(io.FileError, match=r"image\.fits: data .* shape \(30, 30\), expected \(40, 50\)"):
            image.read()

    def test_inputs_travel(self, tmp_path):
        """An input can be handed to another process, and so can an error."""
        (image,) = io.inputs(files.plain_file(tmp_path / "image.fits"))
        copy = pickle.loads(pickle.dumps(image))
        np.testing.assert_array_equal(copy.read()["data"], image.read()["data"])
        error = pickle.loads(pickle.dumps(io.FileError("a.fits", "is odd.")))
        assert (str(error), str(error.path)) == ("a.fits: is odd.", "a.fits")


def _descriptors():
    """File descriptors of this process that are still open."""
    for fd in os.listdir("/proc/self/fd"):
        if os.path.exists(f"/proc/self/fd/{fd}"):
            yield fd


class TestErrors:
    @pytest.fixture
    def good(self, tmp_path):
        return files.plain_file(tmp_path / "good.fits", extensions={"ERR": files.noise()})

    def test_missing(self, tmp_path):
        """A missing file is an error of both kinds: the one of all unfit files, and Python's."""
        with pytest.raises(io.FileError, match=r"none\.fits: there is no such file"):
            io.inputs(tmp_path / "none.fits")
        with pytest.raises(FileNotFoundError):
            io.inputs(tmp_path / "none.fits")

    def test_folder(self, tmp_path):
        """A folder is no file."""
        with pytest.raises(io.FileError, match=r"can't be opened"):
            io.inputs(tmp_path)

    @pytest.mark.parametrize("name", ["empty.fits", "empty.asdf"])
    def test_empty(self, tmp_path, name):
        """An empty file is named as such."""
        (tmp_path / name).touch()
        with pytest.raises(io.FileError, match=rf"{name}: the file is empty"):
            io.inputs(tmp_path / name)

    def test_something_else(self, tmp_path):
        """A file that is neither FITS nor ASDF shows how it begins."""
        (tmp_path / "text.fits").write_text("Dear reader")
        with pytest.raises(io.FileError, match=r"text\.fits: neither FITS nor ASDF: it begins with b'Dear reader'"):
            io.inputs(tmp_path / "text.fits")

    @pytest.mark.parametrize("fraction", [0.003, 0.05, 0.3, 0.6, 0.85])
    def test_truncated(self, good, tmp_path, fraction):
        """A file that breaks off, in a header or in pixels, is refused before its pixels are read."""
        content = good.read_bytes()
        (tmp_path / "short.fits").write_bytes(content[: int(fraction * len(content))])
        with pytest.raises(io.FileError, match=r"short\.fits: .*(breaks off|damaged)"):
            io.inputs(tmp_path / "short.fits")

    @pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
    def test_truncated_when_packed(self, good, tmp_path, fraction):
        """A packed file that breaks off is refused, and not taken for one with fewer extensions."""
        content = gzip.compress(good.read_bytes())
        (tmp_path / "short.fits.gz").write_bytes(content[: int(fraction * len(content))])
        with pytest.raises(io.FileError, match=r"short\.fits\.gz: .*damaged"):
            io.inputs(tmp_path / "short.fits.gz")

    # asdf goes on with a warning where it can't make an array of a block: as an error, and as the warning that it is.
    @pytest.mark.parametrize("action", ["error", "ignore"])
    @pytest.mark.parametrize("kind", ["mosaic", "roman"])
    def test_truncated_asdf(self, tmp_path, kind, action):
        """An ASDF file that breaks off is refused when it is listed, or when its pixels are read."""
        (_write_asdf if kind == "mosaic" else files.roman_file)(tmp_path / "good.asdf")
        warnings.simplefilter(action)
        content = (tmp_path / "good.asdf").read_bytes()
        for fraction in (0.02, 0.1, 0.5, 0.9, 0.99):
            (tmp_path / "short.asdf").write_bytes(content[: int(fraction * len(content))])
            with pytest.raises(io.FileError, match=r"short\.asdf: the file is damaged"):
                io.read(tmp_path / "short.asdf")

    @pytest.mark.parametrize("data", [None, np.zeros(9, np.float32), np.zeros((2, 3, 4), np.float32)])
    def test_no_image(self, tmp_path, data):
        """A file without an image of two dimensions says what it has."""
        fits.HDUList([fits.PrimaryHDU(data)]).writeto(tmp_path / "none.fits")
        axes = 0 if data is None else data.ndim
        with pytest.raises(io.FileError, match=rf"none\.fits: no image .*, got \[PRIMARY\] with {axes} axes"):
            io.inputs(tmp_path / "none.fits")

    def test_no_wcs(self, tmp_path):
        """An image without a WCS is refused."""
        fits.writeto(tmp_path / "blind.fits", files.noise())
        with pytest.raises(io.FileError, match=r"blind\.fits: \[PRIMARY\] has no WCS"):
            io.inputs(tmp_path / "blind.fits")

    def test_no_sky(self, tmp_path):
        """A WCS that is not one of the sky is refused, with its axes."""
        header = fits.Header({"CTYPE1": "WAVE", "CUNIT1": "m", "CTYPE2": "OFFSET"})
        fits.writeto(tmp_path / "slit.fits", files.noise(), header)
        with pytest.raises(io.FileError, match=r"slit\.fits: the WCS of \[PRIMARY\] can't be used: .*celestial.*WAVE"):
            io.inputs(tmp_path / "slit.fits")

    def test_singular_wcs(self, tmp_path):
        """A WCS that has no inverse is refused."""
        header = scenes.fits_wcs(files.SHAPE).to_header()
        header["PC1_1"], header["PC1_2"] = 0.0, 0.0
        fits.writeto(tmp_path / "flat.fits", files.noise(), header)
        with pytest.raises(io.FileError, match=r"flat\.fits: the WCS of \[PRIMARY\] is damaged"):
            io.inputs(tmp_path / "flat.fits")

    @pytest.mark.parametrize("name", ["ERR", "DQ", "VAR_FLAT"])
    def test_shapes_differ(self, tmp_path, name):
        """An extension of another shape than the image is refused, with both shapes."""
        path = files.plain_file(tmp_path / "odd.fits", extensions={name: np.zeros((40, 49), np.int16)})
        with pytest.raises(io.FileError, match=rf"odd\.fits: \[{name},1\] .* \(40, 49\), expected .*\(40, 50\)"):
            io.inputs(path)

    def test_flags_are_integers(self, tmp_path):
        """A DQ extension of real numbers is refused."""
        path = files.plain_file(tmp_path / "real.fits", extensions={"DQ": files.noise()})
        with pytest.raises(io.FileError, match=r"real\.fits: DQ must hold integers, got >f4"):
            io.read(path)

    def test_asdf_of_something_else(self, tmp_path):
        """An ASDF file without a WCS or an image says which keys it has."""
        import asdf

        asdf.AsdfFile({"table": [1]}).write_to(tmp_path / "table.asdf")
        with pytest.raises(io.FileError, match=r"table\.asdf: expected a WCS under 'wcs', got .*'table'"):
            io.inputs(tmp_path / "table.asdf")
        asdf.AsdfFile({"wcs": scenes.imaging_wcs((4, 5))}).write_to(tmp_path / "frame.asdf")
        with pytest.raises(io.FileError, match=r"frame\.asdf: no image: expected an array under 'data'"):
            io.inputs(tmp_path / "frame.asdf")


def _write_asdf(path):
    frame = scenes.frame_around((12, 12))
    resample = gpures.Resample({"wcs": frame}, backend="cpu")
    resample.add_model(scenes.model_of(scenes.imaging_wcs((12, 12)), (12, 12)))
    resample.finalize()
    io.write(path, resample.output_model)


class TestWCS:
    def test_of_a_header(self, tmp_path):
        """The WCS of a FITS file is that of its header, with the shape of the image."""
        wcs = io.read_wcs(files.plain_file(tmp_path / "image.fits"))
        assert isinstance(wcs, WCS)
        assert wcs.array_shape == files.SHAPE
        expected = scenes.fits_wcs(files.SHAPE, sip=0.5)
        np.testing.assert_allclose(wcs.all_pix2world(7, 8, 0), expected.all_pix2world(7, 8, 0), rtol=1e-13)

    @pytest.mark.parametrize("has_shape", [True, False])
    def test_of_a_tree(self, tmp_path, has_shape):
        """A WCS alone in an ASDF file is read, its shape from its bounding box if it has none."""
        import asdf

        frame = scenes.imaging_wcs(files.SHAPE)
        if not has_shape:
            frame.array_shape = None
        asdf.AsdfFile({"wcs": frame}).write_to(tmp_path / "frame.asdf")
        wcs = io.read_wcs(tmp_path / "frame.asdf")
        assert tuple(wcs.array_shape) == files.SHAPE
        assert wcs(7, 8) == frame(7, 8)

    def test_without_shape(self, tmp_path):
        """A WCS of no known shape is refused."""
        import asdf

        asdf.AsdfFile({"wcs": scenes.wcs_of(scenes.sky_transform((4, 5)), None, None)}).write_to(tmp_path / "open.asdf")
        with pytest.raises(io.FileError, match=r"open\.asdf: Unable to infer output image size"):
            io.read_wcs(tmp_path / "open.asdf")


class TestUnits:
    def images(self, tmp_path, *units):
        """Images of some units."""
        made = []
        for k, unit in enumerate(units):
            keywords = {"EXPTIME": 1.0} | ({} if unit is None else {"BUNIT": unit})
            made += io.inputs(files.plain_file(tmp_path / f"unit{k}.fits", keywords=keywords))
        return made

    @pytest.mark.parametrize(
        "units", [("MJy/sr", "MJy/sr"), ("MJy/sr", "MJy sr-1"), ("furlong", "furlong"), ("Jy",), ()]
    )
    def test_one_unit(self, tmp_path, units):
        """Images of one unit, however it is spelt, have that."""
        assert io.check_units(self.images(tmp_path, *units)) == (units[0] if units else None)

    @pytest.mark.parametrize("units", [("MJy/sr", "MJy/sr", "DN/s"), ("Jy", "Jy", "mJy"), ("furlong", "furlong", "Jy")])
    def test_mixed_units(self, tmp_path, units):
        """Images of different units are an error that names both files and units."""
        with pytest.raises(io.FileError, match=rf"unit2\.fits: .*{units[2]!r}.*unit0\.fits is {units[0]!r}") as caught:
            io.check_units(self.images(tmp_path, *units))
        assert caught.value.path == tmp_path / "unit2.fits"

    def test_unknown_unit(self, tmp_path, caplog):
        """An image without a unit is taken for one of the others, with a warning."""
        assert io.check_units(self.images(tmp_path, None, "Jy")) == "Jy"
        assert "unit0.fits has no unit: it is taken for 'Jy'" in caplog.text
