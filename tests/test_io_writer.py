"""What is written is read back, by gpures, by astropy and by JWST's datamodels, and no half file is ever left."""

from __future__ import annotations

import gzip
import io as streams
import os
import shutil
import stat
from urllib.parse import unquote

import asdf
import files
import gwcs
import numpy as np
import pytest
import scenes
from astropy.io import fits
from astropy.modeling import models
from astropy.time import Time
from astropy.wcs import WCS

import gpures
from gpures import io
from gpures.wcs.transforms import pixel_to_world

SHAPE = (36, 42)

# Pixels: what the task asks of a frame without distortions. In practice it is some 1e-8.
SAME_PIXEL = 1e-6


def mosaic_of(wcs, **options):
    """A small finished mosaic with every image that there is."""
    options = {"compute_err": "from_var", "propagate_dq": True, "enable_exptime_map": True} | options
    resample = gpures.Resample({"wcs": wcs}, backend="cpu", extra_array_names=["err_of_sky"], **options)
    for k in range(3):
        model = scenes.model_of(scenes.imaging_wcs((30, 30), shift=(k, -k)), (30, 30), seed=k)
        resample.add_model(model | {"err_of_sky": model["var_sky"]})
    resample.finalize()
    return resample.output_model


def frame(**kwargs):
    """A frame around the exposures of `mosaic_of`."""
    return scenes.imaging_wcs(SHAPE, **kwargs)


def fits_frame(shape=SHAPE, **kwargs):
    """The same as a FITS WCS."""
    return scenes.fits_wcs(shape, **kwargs)


def standard_frame(projection=None):
    """A frame made of the transform that gwcs has for FITS, as the pipelines use it."""
    transform = gwcs.FITSImagingWCSTransform(
        projection or models.Pix2Sky_TAN(),
        crpix=(21.0, 17.0),
        crval=(scenes.RA, scenes.DEC),
        cdelt=(scenes.SCALE / 3600, scenes.SCALE / 3600),
        pc=np.array([[-0.8, 0.6], [0.6, 0.8]]),
    )
    return scenes.wcs_of(transform, SHAPE)


EXTENSIONS = {
    "SCI": "data",
    "ERR": "err",
    "CON": "con",
    "WHT": "wht",
    "VAR_RNOISE": "var_rnoise",
    "VAR_FLAT": "var_flat",
    "VAR_POISSON": "var_poisson",
    "ERR_OF_SKY": "err_of_sky",
    "EXPTIME": "exptime_map",
    "DQ": "dq",
}


def apart(one, other, shape=SHAPE):
    """Largest distance of two WCS over a frame, its corners included, in pixels of SCALE arcsec."""
    x, y = (grid.ravel() for grid in np.meshgrid(np.linspace(0, shape[1] - 1, 21), np.linspace(0, shape[0] - 1, 21)))
    directions = []
    for wcs in (one, other):
        lon, lat = np.radians(pixel_to_world(wcs)(x, y))
        directions.append(np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)]))
    return np.linalg.norm(directions[0] - directions[1], axis=0).max() / np.radians(scenes.SCALE / 3600)


@pytest.fixture(scope="module")
def mosaic():
    return mosaic_of(frame(rotation=20.0))


class TestFITS:
    def test_images(self, mosaic, tmp_path):
        """Every image of the model is an extension, with its values and type, in a fixed order."""
        io.write(tmp_path / "m.fits", mosaic)
        with fits.open(tmp_path / "m.fits") as hdus:
            assert [hdu.name for hdu in hdus] == ["PRIMARY", *EXTENSIONS, "ASDF"]
            for name, key in EXTENSIONS.items():
                np.testing.assert_array_equal(hdus[name].data, mosaic[key], err_msg=name)
                assert hdus[name].data.dtype.newbyteorder("=") == mosaic[key].dtype, name

    def test_facts(self, mosaic, tmp_path):
        """The primary header has the facts, what was given besides, and the program that wrote it."""
        sentence = (
            "Nine exposures were combined, whose sky had been matched before; their read noise makes the weights."
        )
        io.write(tmp_path / "m.fits", mosaic, header={"TARGNAME": ("M 8", "target"), "N": 3}, history=[sentence])
        header = fits.getheader(tmp_path / "m.fits")
        expected = {
            "EXPTIME": 303.0,
            "TMEASURE": 288.0,
            "EXPSTART": 60000.0,
            "EXPEND": 60000.022,
            "NDRIZ": 3,
            "KERNEL": "square",
            "PIXFRAC": 1.0,
            "RESWHT": "ivm",
            "PXSCLRT": mosaic["pixel_scale_ratio"],
            "PIXAR_SR": mosaic["pixelarea_steradians"],
            "CREATOR": f"gpures {gpures.__version__}",
            "FILENAME": "m.fits",
            "TARGNAME": "M 8",
            "N": 3,
        }
        for key, value in expected.items():
            assert header[key] == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value), key
        assert " ".join(header["HISTORY"]) == sentence

    def test_units(self, mosaic, tmp_path):
        """Units of all images follow from that of the data."""
        io.write(tmp_path / "m.fits", mosaic, unit="MJy/sr")
        with fits.open(tmp_path / "m.fits") as hdus:
            units = {name: hdus[name].header.get("BUNIT") for name in EXTENSIONS}
        squares = dict.fromkeys(("VAR_RNOISE", "VAR_POISSON", "VAR_FLAT"), "MJy2 sr-2")
        none = dict.fromkeys(("CON", "DQ", "ERR_OF_SKY"))
        assert units == {"SCI": "MJy/sr", "ERR": "MJy/sr", "WHT": "sr2 MJy-2", "EXPTIME": "s"} | squares | none

    def test_units_beyond_the_standard(self, tmp_path):
        """Units that the FITS standard, or astropy, does not know are written all the same."""
        mosaic = mosaic_of(frame(), weight_type="exptime")
        for unit, square in (("electron/s", "electron2 s-2"), ("furlong", "(furlong)2")):
            io.write(tmp_path / "m.fits", mosaic, unit=unit, overwrite=True)
            with fits.open(tmp_path / "m.fits") as hdus:
                assert [hdus[name].header["BUNIT"] for name in ("SCI", "VAR_FLAT", "WHT")] == [unit, square, "s"]

    def test_exposures(self, mosaic, tmp_path):
        """A table names the exposures, in the order of the context's bits."""
        names = ["a_cal.fits[SCI,1]", "b_cal.fits", "c"]
        io.write(tmp_path / "m.fits", mosaic, exposures=names)
        with fits.open(tmp_path / "m.fits") as hdus:
            assert hdus["INPUTS"].data["FILENAME"].tolist() == names
            assert hdus[0].header["NEXPOS"] == 3

    def test_times_of_any_kind(self, mosaic, tmp_path):
        """Start and end may be times of astropy; what a header can't hold is text, or left out."""
        model = dict(mosaic) | {"start_time": Time(60000.5, format="mjd"), "fillval": np.nan, "level": None}
        io.write(tmp_path / "m.fits", model)
        header = fits.getheader(tmp_path / "m.fits")
        assert (header["EXPSTART"], header["FILLVAL"], "BKGLEVEL" in header) == (60000.5, "nan", False)

    def test_packed(self, mosaic, tmp_path):
        """A file called .fits.gz is packed."""
        io.write(tmp_path / "m.fits.gz", mosaic)
        assert gzip.decompress((tmp_path / "m.fits.gz").read_bytes()).startswith(b"SIMPLE")
        np.testing.assert_array_equal(io.read(tmp_path / "m.fits.gz")[0]["data"], mosaic["data"])

    def test_read_back(self, mosaic, tmp_path):
        """A mosaic is an input like another: arrays, unit, time, and the gwcs itself."""
        io.write(tmp_path / "m.fits", mosaic, unit="MJy/sr")
        (image,) = io.inputs(tmp_path / "m.fits")
        assert (image.kind, image.unit, image.exposure_time) == ("fits", "MJy/sr", 303.0)
        assert isinstance(image.wcs, gwcs.WCS)
        model = image.read()
        for key in ("data", "err", "dq", "var_rnoise", "var_poisson", "var_flat"):
            np.testing.assert_array_equal(model[key], mosaic[key], err_msg=key)
        for key in ("measurement_time", "start_time", "end_time", "pixelarea_steradians"):
            assert model[key] == pytest.approx(mosaic[key], rel=1e-14)
        resample = gpures.Resample({"wcs": frame(rotation=20.0)}, backend="cpu")
        resample.add_model(model)
        covered = resample.output_model["wht"] > 1e-3  # not what a rounded coordinate makes of a neighbour
        np.testing.assert_allclose(resample.output_model["data"][covered], mosaic["data"][covered], rtol=1e-5)

    def test_datamodel_of_jwst(self, mosaic, tmp_path):
        """JWST's datamodels open the file: images, WCS and metadata."""
        from stdatamodels.jwst import datamodels

        io.write(tmp_path / "m.fits", mosaic, unit="MJy/sr")
        with datamodels.ImageModel(tmp_path / "m.fits") as model:
            for key in ("data", "err", "wht", "con", "dq", "var_rnoise", "var_poisson", "var_flat"):
                np.testing.assert_array_equal(getattr(model, key), mosaic[key], err_msg=key)
            assert apart(model.meta.wcs, mosaic["wcs"]) < 1e-9
            assert (model.meta.bunit_data, model.meta.resample.pixfrac) == ("MJy/sr", 1.0)
            assert (model.meta.exposure.start_time, model.meta.resample.pointings) == (60000.0, 3)


WCS_CASES = {
    "gwcs": frame,
    "turned": lambda: frame(rotation=77.0, flip=True, ra=359.9999, dec=-85.0),
    "at the pole": lambda: frame(rotation=10.0, dec=89.999),
    "of pipelines": standard_frame,
    "slant orthographic": lambda: standard_frame(models.Pix2Sky_SIN()),
    "zenithal equal-area": lambda: standard_frame(models.Pix2Sky_ZEA()),
    "FITS": fits_frame,
    "FITS turned": lambda: fits_frame(rotation=33.0, flip=True),
    "latitude first": lambda: scenes.latitude_first(frame(rotation=20.0)),
    "latitude first by name": lambda: scenes.latitude_first(frame(rotation=20.0), "axes_names"),
    "in radians": lambda: scenes.latitude_first(frame(rotation=20.0), unit=scenes.units.rad),
    "FITS, latitude first": lambda: scenes.latitude_first(fits_frame(rotation=33.0)),
}


def of_a_frame(wcs):
    """What a mosaic in a frame has at least."""
    return {"wcs": wcs, "data": np.zeros(SHAPE, np.float32), "con": np.zeros((1, *SHAPE), np.int32)}


class TestWCS:
    @pytest.mark.parametrize("make", WCS_CASES.values(), ids=WCS_CASES)
    def test_both_representations(self, tmp_path, make):
        """FITS keywords in each image and the gwcs agree with the mosaic's WCS over the frame."""
        wcs = make()
        io.write(tmp_path / "m.fits", of_a_frame(wcs))
        with fits.open(tmp_path / "m.fits") as hdus:
            assert apart(WCS(hdus["SCI"].header), wcs) < SAME_PIXEL
            assert apart(WCS(hdus["CON"].header).celestial, wcs) < SAME_PIXEL
            with asdf.open(streams.BytesIO(hdus["ASDF"].data["ASDF_METADATA"][0].tobytes())) as tree:
                assert apart(tree["meta"]["wcs"], wcs) < SAME_PIXEL
        again = io.read_wcs(tmp_path / "m.fits")
        assert isinstance(again, gwcs.WCS)
        assert tuple(again.array_shape) == SHAPE
        assert apart(again, wcs) < SAME_PIXEL

    @pytest.mark.parametrize("shape", [(3000, 4000), (40000, 30000)])
    def test_large_frame(self, shape):
        """The keywords of a large gwcs frame are as exact."""
        from gpures.io.wcs import header_of

        wcs = scenes.imaging_wcs(shape, rotation=15.0, scale=0.03)
        header, tables = header_of(wcs, shape)
        assert not tables
        assert apart(WCS(header), wcs, shape) < SAME_PIXEL

    def test_celestial_frame(self, tmp_path):
        """The gwcs of a FITS WCS has its celestial frame."""
        wcs = fits_frame()
        wcs.wcs.ctype, wcs.wcs.crval = ["GLON-TAN", "GLAT-TAN"], [120.0, -30.0]
        io.write(tmp_path / "m.fits", of_a_frame(wcs))
        assert io.read_wcs(tmp_path / "m.fits").output_frame.reference_frame.name == "galactic"

    def test_sip(self, tmp_path):
        """A FITS WCS with distortions stays one: its file has no gwcs, and the WCS is read from the header."""
        wcs = fits_frame(sip=0.5)
        io.write(tmp_path / "m.fits", of_a_frame(wcs))
        with fits.open(tmp_path / "m.fits") as hdus:
            assert "ASDF" not in hdus
            assert apart(WCS(hdus["CON"].header, naxis=2), wcs) < SAME_PIXEL
        again = io.read_wcs(tmp_path / "m.fits")
        assert isinstance(again, WCS)
        assert apart(again, wcs) < SAME_PIXEL

    def test_lookup_tables(self, tmp_path):
        """Lookup tables of a FITS WCS go into the file, and are found there."""
        wcs = io.inputs(files.hst_file(tmp_path / "flt.fits"))[0].wcs
        model = {"wcs": wcs, "data": np.zeros(files.SHAPE, np.float32)}
        io.write(tmp_path / "m.fits", model)
        assert apart(io.read_wcs(tmp_path / "m.fits"), wcs, files.SHAPE) < SAME_PIXEL

    def test_distorted_gwcs(self, tmp_path, caplog):
        """A gwcs with distortions that SIP can express is in the file in both forms."""
        wcs = frame(distortion=3.0)
        io.write(tmp_path / "m.fits", of_a_frame(wcs))
        assert apart(io.read_wcs(tmp_path / "m.fits"), wcs) < 1e-8
        assert apart(WCS(fits.getheader(tmp_path / "m.fits", "SCI")), wcs) < SAME_PIXEL
        assert "FITS keywords" not in caplog.text

    @pytest.mark.parametrize(("size", "message"), [(2e-3, "stand for the output WCS within"), (5.0, "would be off by")])
    def test_beyond_fits(self, tmp_path, caplog, size, message):
        """A gwcs that FITS can't express is in the file all the same; keywords that are off by little say so."""
        kink = models.Tabular1D(points=np.arange(-1.0, 44.0), lookup_table=np.arange(45.0) + size * (np.arange(45) % 7))
        wcs = scenes.wcs_of(kink & models.Identity(1) | scenes.sky_transform(SHAPE), SHAPE)
        io.write(tmp_path / "m.fits", of_a_frame(wcs))
        assert message in caplog.text
        assert ("CTYPE1" in fits.getheader(tmp_path / "m.fits", "SCI")) == (size < 1)
        x, y = np.arange(40.0), np.arange(40.0) % 36
        np.testing.assert_allclose(io.read_wcs(tmp_path / "m.fits")(x, y), wcs(x, y), rtol=1e-14)


class TestASDF:
    @pytest.mark.parametrize("make", [frame, fits_frame, lambda: fits_frame(sip=0.5)], ids=["gwcs", "FITS", "SIP"])
    def test_round_trip(self, tmp_path, make):
        """Images, numbers and WCS come back as they were, and gpures takes the file as an input."""
        mosaic = mosaic_of(make())
        io.write(tmp_path / "m.asdf", mosaic, unit="MJy/sr", exposures=["a", "b", "c"], header={"TARGET": "M 8"})
        with asdf.open(tmp_path / "m.asdf") as tree:
            for key in EXTENSIONS.values():
                np.testing.assert_array_equal(tree[key], mosaic[key], err_msg=key)
                assert np.asarray(tree[key]).dtype == mosaic[key].dtype, key
            for key in ("pixfrac", "kernel", "pointings", "exposure_time", "start_time", "level", "subtracted"):
                assert tree[key] == mosaic[key], key
            assert (tree["exposures"], tree["header"]["TARGET"]) == (["a", "b", "c"], "M 8")
            assert tree["creator"] == f"gpures {gpures.__version__}"
        (image,) = io.inputs(tmp_path / "m.asdf")
        assert (image.kind, image.unit, image.exposure_time, image.shape) == ("asdf", "MJy/sr", 303.0, SHAPE)
        assert apart(image.wcs, mosaic["wcs"]) < SAME_PIXEL
        model = image.read()
        for key in ("data", "err", "dq", "var_rnoise", "var_poisson", "var_flat"):
            np.testing.assert_array_equal(model[key], mosaic[key], err_msg=key)
        assert image.nbytes == sum(array.nbytes for array in model.values() if hasattr(array, "nbytes"))
        resample = gpures.Resample({"wcs": frame()}, backend="cpu")
        resample.add_model(model)
        assert resample.output_model["wht"].max() > 0

    def test_weights_alone(self, tmp_path, caplog):
        """Of a mosaic without variances, the weights serve as such when it is read."""
        mosaic = mosaic_of(frame(), enable_var=False, compute_err=None)
        for name in ("m.asdf", "m.fits"):
            io.write(tmp_path / name, mosaic)
            (model,) = io.read(tmp_path / name)
            weighed = mosaic["wht"] > 0
            np.testing.assert_allclose(1 / model["var_rnoise"][weighed], mosaic["wht"][weighed], rtol=1e-6)
        assert "m.asdf has weights and no variances" in caplog.text


class TestWriting:
    @pytest.fixture
    def mosaic(self):
        """A mosaic without a past."""
        return of_a_frame(frame())

    @pytest.mark.parametrize("name", ["m.fits", "m.asdf", "m.fits.gz"])
    @pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
    def test_no_half_file(self, mosaic, tmp_path, monkeypatch, name, error):
        """A full disk or an interrupt leaves nothing behind, and the file before as it was."""
        path = tmp_path / name
        path.write_bytes(b"before")
        real = os.replace

        def fail(source, target):
            assert os.path.getsize(source) > 1000  # all is written, under another name in the same folder
            raise error

        monkeypatch.setattr(os, "replace", fail)
        with pytest.raises(type(error)):
            io.write(path, mosaic, overwrite=True)
        assert [p.name for p in tmp_path.iterdir()] == [name]
        assert path.read_bytes() == b"before"
        monkeypatch.setattr(os, "replace", real)
        io.write(path, mosaic, overwrite=True)
        assert [p.name for p in tmp_path.iterdir()] == [name]
        assert io.inputs(path)

    @pytest.mark.parametrize("name", ["m.fits", "m.asdf"])
    def test_full_disk(self, mosaic, tmp_path, name):
        """An error in the middle of writing is raised as it is, and what was written is removed."""
        resource = pytest.importorskip("resource", reason="limits of a process are a matter of Unix")
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
        try:
            with pytest.raises(OSError, match=r"large|written"):
                io.write(tmp_path / name, mosaic)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("name", ["m.fits", "m.asdf"])
    def test_overwrite(self, mosaic, tmp_path, name):
        """A file that is there is replaced on request only."""
        (tmp_path / name).write_bytes(b"before")
        with pytest.raises(FileExistsError, match=rf"{name}: there is such a file\. Pass overwrite=True"):
            io.write(tmp_path / name, mosaic)
        assert (tmp_path / name).read_bytes() == b"before"
        io.write(tmp_path / name, mosaic, overwrite=True)
        assert io.inputs(tmp_path / name)

    NAMES = ["a_cal.fits", "β_Pictoris_µJy.fits[SCI,1]", "100%.fits", "50% é.fits", b"\xff\xfe.fits", "tab\there.fits"]

    @pytest.mark.parametrize("name", ["m.fits", "µ β.fits", "m.asdf", "µ β.asdf", "µ.fits.gz", "é" * 18 + ".fits"])
    def test_names_beyond_ascii(self, mosaic, tmp_path, name):
        """Any name of a file is written: as it is where the file can hold it, and else as in a URL, with a word."""
        names = [os.fsdecode(each) for each in self.NAMES]
        io.write(tmp_path / name, mosaic, exposures=names)
        if name.endswith("asdf"):
            with asdf.open(tmp_path / name) as tree:
                assert tree["exposures"][:4] == names[:4]
                assert tree["exposures"][4] == "%FF%FE.fits"
            return
        with fits.open(tmp_path / name) as hdus:
            found = [str(each) for each in hdus["INPUTS"].data["FILENAME"]]
            header = hdus[0].header
            assert found[:1] + found[2:3] == names[:1] + names[2:3]
            for k in (1, 3, 4, 5):
                assert found[k] != names[k]
                assert unquote(found[k], errors="surrogateescape") == names[k]
            assert "encoded" in header.comments["NEXPOS"]
            assert unquote(header["FILENAME"]) == name
            assert ("FILENAME is %-encoded UTF-8" in header.get("COMMENT", [])) == (name != "m.fits")

    def test_a_file_of_the_name_elsewhere(self, mosaic, tmp_path, monkeypatch):
        """A file of the same name in the working folder is in nobody's way."""
        (tmp_path / "there").mkdir()
        monkeypatch.chdir(tmp_path)
        for name in ("m.fits", "m.fits.gz", "m.asdf"):
            (tmp_path / name.removesuffix(".gz")).write_bytes(b"another")
            io.write(tmp_path / "there" / name, mosaic)
            assert (tmp_path / name.removesuffix(".gz")).read_bytes() == b"another"
            assert io.inputs(tmp_path / "there" / name)

    def test_permissions_are_kept(self, mosaic, tmp_path):
        """A file that is replaced keeps its mode, and a link to it stays one."""
        (tmp_path / "m.fits").write_bytes(b"before")
        (tmp_path / "m.fits").chmod(0o600)
        (tmp_path / "link.fits").symlink_to("m.fits")
        io.write(tmp_path / "link.fits", mosaic, overwrite=True)
        assert (tmp_path / "link.fits").is_symlink()
        assert stat.S_IMODE((tmp_path / "m.fits").stat().st_mode) == 0o600
        assert io.inputs(tmp_path / "m.fits")

    def test_space(self, mosaic, tmp_path, monkeypatch):
        """What the disk has no room for is refused before it is written."""
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: (10**9, 10**9 - 1000, 1000))
        for name in ("m.fits", "m.asdf"):
            with pytest.raises(OSError, match="MB are free"):
                io.write(tmp_path / name, mosaic)
        assert not list(tmp_path.iterdir())

    def test_permissions(self, mosaic, tmp_path):
        """Others may read the file as far as the process's mask says."""
        mask = os.umask(0o022)
        try:
            io.write(tmp_path / "m.fits", mosaic)
        finally:
            os.umask(mask)
        assert stat.S_IMODE((tmp_path / "m.fits").stat().st_mode) == 0o644

    @pytest.mark.parametrize("name", ["m.fits", "m.asdf"])
    def test_model_stays(self, tmp_path, name):
        """Nothing in the model is changed, and images that nobody may write to are written."""
        mosaic = mosaic_of(frame())
        before = {key: value.copy() if hasattr(value, "copy") else value for key, value in mosaic.items()}
        mosaic["data"].flags.writeable = False
        io.write(tmp_path / name, mosaic, header={"A": 1})
        assert list(mosaic) == list(before)
        for key, value in before.items():
            if hasattr(value, "dtype"):
                np.testing.assert_array_equal(mosaic[key], value)
        assert [key for key in EXTENSIONS.values() if not mosaic[key].flags.writeable] == ["data"]

    def test_images_on_a_device(self, cuda, tmp_path):
        """Images on a GPU are written as those in host memory."""
        resample = gpures.Resample({"wcs": frame()}, backend="cuda", to_host=False)
        resample.add_model(scenes.model_of(scenes.imaging_wcs((30, 30)), (30, 30)))
        resample.finalize()
        model = resample.output_model
        assert hasattr(model["data"], "__cuda_array_interface__")
        io.write(tmp_path / "m.fits", model)
        np.testing.assert_array_equal(fits.getdata(tmp_path / "m.fits", "SCI"), model["data"].get())

    def test_types_without_a_place_in_fits(self, tmp_path):
        """Images of booleans and half floats are written as the nearest type that FITS has."""
        model = of_a_frame(frame()) | {"mask": np.ones(SHAPE, bool), "half": np.full(SHAPE, 0.5, np.float16)}
        io.write(tmp_path / "m.fits", model)
        assert fits.getdata(tmp_path / "m.fits", "MASK").dtype == np.uint8
        assert fits.getdata(tmp_path / "m.fits", "HALF").dtype == ">f4"

    def test_errors(self, mosaic, tmp_path):
        """A wrong suffix, a missing folder and a model without data are named."""
        with pytest.raises(ValueError, match=r"m\.png: the suffix .* expected one of \.fits, \.fits\.gz, \.asdf"):
            io.write(tmp_path / "m.png", mosaic)
        with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere"):
            io.write(tmp_path / "nowhere" / "m.fits", mosaic)
        with pytest.raises(ValueError, match="'output_model' has no 'data'"):
            io.write(tmp_path / "m.fits", mosaic | {"data": None})
