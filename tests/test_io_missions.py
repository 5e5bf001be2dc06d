"""Files of JWST, Roman and HST become the models that their pipelines would make of them."""

from __future__ import annotations

import gc
import importlib.resources
import shutil
import subprocess
import sys
from numbers import Real

import files
import numpy as np
import pytest
import scenes
from astropy.io import fits
from astropy.wcs import WCS

import gpures
from gpures import io
from gpures.io import jwst, roman
from gpures.io.asdf import opened
from gpures.io.reading import Reading

VARIANCES = ("var_rnoise", "var_poisson", "var_flat")


# The steps of Roman's pipeline, as its schema wants them.
CAL_STEPS = (
    "assign_wcs dark dark_decay dq_init flat_field flux linearity outlier_detection photom source_catalog ramp_fit "
    "refpix saturation skymatch tweakreg wfi18_transient"
)


def same_mosaic(models, expected, **options):
    """Assert that two sets of models make mosaics that agree to the last bit."""
    frame = {"wcs": scenes.frame_around((100, 50), ratio=0.8, rotation=15.0), "pixel_scale": 0.8 * scenes.SCALE}
    options = {"compute_err": "from_var", "propagate_dq": True, "enable_exptime_map": True} | options
    made = []
    for each in (models, expected):
        resample = gpures.Resample(dict(frame), backend="cpu", **options)
        for model in each:
            resample.add_model(model)
        resample.finalize()
        made.append(resample.output_model)
    assert np.nanmax(made[0]["wht"]) > 0
    for key, value in made[1].items():
        if hasattr(value, "shape"):
            np.testing.assert_array_equal(made[0][key], value, err_msg=key)
        elif key != "wcs":
            assert made[0][key] == value or np.isnan(value), key


def pipeline_of_jwst(model):
    """Model that JWST's resample step hands to stcal, and its DQ after NaN and flags were made to match."""
    invalid = np.zeros(model.data.shape, bool)
    for name in ("data", "err", *VARIANCES):
        invalid |= np.isnan(getattr(model, name))
    exposure = model.meta.exposure
    return {
        "data": model.data,
        "dq": np.where(invalid, model.dq | 1, model.dq),
        "err": model.err,
        **{name: getattr(model, name) for name in VARIANCES},
        "filename": model.meta.filename,
        "group_id": "jw01234007001_02101_00003",
        "wcs": model.meta.wcs,
        "bunit_data": model.meta.bunit_data,
        "exposure_time": exposure.exposure_time,
        "start_time": exposure.start_time,
        "end_time": exposure.end_time,
        "duration": exposure.duration,
        "measurement_time": exposure.measurement_time,
        "pixelarea_steradians": model.meta.photometry.pixelarea_steradians,
        "level": model.meta.background.level,
        "subtracted": model.meta.background.subtracted,
    }


@pytest.fixture(scope="module")
def jwst_path(tmp_path_factory):
    return files.jwst_file(tmp_path_factory.mktemp("jwst") / "jw_cal.fits")


class TestJWST:
    def test_headers(self, jwst_path):
        """An input has what the headers say, and the WCS of the model that was saved."""
        (image,) = io.inputs(jwst_path)
        assert (image.kind, image.name, image.shape) == ("jwst", "jw_cal.fits[SCI,1]", files.SHAPE)
        assert (image.unit, image.exposure_time) == ("MJy/sr", 100.0)
        assert image.nbytes == 6 * 4 * 40 * 50
        x, y = np.meshgrid(np.arange(50.0), np.arange(40.0))
        expected = files.jwst_model().meta.wcs
        np.testing.assert_allclose(image.wcs(x, y), expected(x, y), rtol=1e-14)
        assert image.wcs.bounding_box is not None
        assert image.wcs.array_shape == files.SHAPE

    def test_model_is_the_pipelines(self, jwst_path):
        """The model equals what JWST's resample step makes of the same file, key by key, and its mosaic does."""
        from stdatamodels.jwst import datamodels

        (model,) = io.read(jwst_path)
        with datamodels.ImageModel(jwst_path) as opened:
            expected = pipeline_of_jwst(opened)
            for key, value in expected.items():
                if hasattr(value, "shape"):
                    np.testing.assert_array_equal(model[key], value, err_msg=key)
                elif key == "pixelarea_steradians":  # from the header, which rounds to 16 digits
                    assert model[key] == pytest.approx(value, rel=1e-15)
                    expected[key] = model[key]
                elif key not in ("wcs", "filename"):
                    assert model[key] == value, key
            same_mosaic([model], [expected], good_bits="~513")

    @pytest.mark.parametrize("name", ["no suffix at all", "called.asdf", "packed.fits.gz"])
    def test_content_decides(self, jwst_path, tmp_path, name):
        """A file is known by its content, whatever it is called, packed or not."""
        import gzip

        path = tmp_path / name
        content = jwst_path.read_bytes()
        path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
        (image,) = io.inputs(path)
        assert image.kind == "jwst"
        np.testing.assert_array_equal(image.read()["err"], io.read(jwst_path)[0]["err"])

    def test_missing_arrays(self, tmp_path):
        """A file without variances and DQ gives None for them, and flags of its own at NaN."""
        model = files.jwst_model()
        for name in (*VARIANCES, "dq"):
            delattr(model, name)
        model.save(tmp_path / "bare.fits")
        (read,) = io.read(tmp_path / "bare.fits")
        assert all(read[name] is None for name in VARIANCES)
        assert read["dq"].sum() == read["dq"][3, 4] == 1

    def test_no_wcs(self, tmp_path):
        """A file that assign_wcs has not seen is refused."""
        model = files.jwst_model()
        model.meta.wcs = None
        model.save(tmp_path / "rate.fits")
        with pytest.raises(io.FileError, match=r"rate\.fits: no WCS: .*Has assign_wcs been run"):
            io.inputs(tmp_path / "rate.fits")

    def test_no_metadata(self, jwst_path, tmp_path):
        """A file whose ASDF extension is gone is refused."""
        with fits.open(jwst_path) as hdus:
            del hdus["ASDF"]
            hdus.writeto(tmp_path / "stripped.fits")
        with pytest.raises(io.FileError, match=r"stripped\.fits: no WCS: there is no ASDF extension"):
            io.inputs(tmp_path / "stripped.fits")

    def test_not_an_image(self, tmp_path):
        """A cube is refused, with its kind and its number of axes."""
        from stdatamodels.jwst import datamodels

        model = datamodels.CubeModel()
        model.data = np.ones((2, *files.SHAPE), np.float32)
        model.meta.telescope, model.meta.wcs = "JWST", scenes.imaging_wcs(files.SHAPE)
        model.save(tmp_path / "cube.fits")
        with pytest.raises(io.FileError, match=r"cube\.fits: expected a SCI .* two dimensions.*got 3 \(CubeModel\)"):
            io.inputs(tmp_path / "cube.fits")

    def test_spectral(self, tmp_path):
        """An image with a spectral WCS is refused."""
        model = files.jwst_model()
        model.meta.wcs = scenes.spectral_wcs(files.SHAPE)
        model.save(tmp_path / "spectrum.fits")
        with pytest.raises(io.FileError, match=r"spectrum\.fits: its WCS is spectral"):
            io.inputs(tmp_path / "spectrum.fits")

    def test_without_library(self, jwst_path, monkeypatch):
        """Where stdatamodels is missing, the error says what to install."""
        monkeypatch.setitem(sys.modules, "stdatamodels", None)
        with pytest.raises(ImportError, match="pip install 'stdatamodels"):
            io.inputs(jwst_path)

    def test_keywords_are_those_of_the_schema(self):
        """Values of the metadata are where JWST's datamodels have them, and of the type that these allow."""
        from stdatamodels.jwst.datamodels import ImageModel
        from stdatamodels.schema import walk_schema

        found = {}

        def note(schema, path, *_):
            if "fits_keyword" in schema:
                kind = {"string": str, "number": Real, "boolean": bool}.get(schema["type"])
                place = jwst.SCI if schema.get("fits_hdu") == "SCI" else jwst.PRIMARY
                found[".".join(map(str, path[1:]))] = (place, schema["fits_keyword"], kind)

        with ImageModel() as model:
            walk_schema(model.schema, note)
        assert {name: found.get(name) for name in jwst.KEYWORDS} == jwst.KEYWORDS

    def test_keywords_count_before_the_tree(self, jwst_path, tmp_path):
        """As in JWST's datamodels, a keyword that was edited counts; of one that is of no use, the extension ASDF."""
        shutil.copy(jwst_path, tmp_path / "edited.fits")
        with fits.open(tmp_path / "edited.fits", mode="update") as hdus:
            hdus[0].header["EFFEXPTM"], hdus[0].header["EXPOSURE"] = 42.0, "00009"
            hdus[0].header["TMEASURE"], hdus[0].header["EXPSTART"] = "long", True
            del hdus[0].header["EXPEND"]
            hdus[0].header["BKGSUB"], hdus["SCI"].header["BUNIT"] = True, "DN/s"
        (image,) = io.inputs(tmp_path / "edited.fits")
        (before,) = io.inputs(jwst_path)
        edited = {"exposure_time": 42.0, "group_id": "jw01234007001_02101_00009", "subtracted": True}
        edited["bunit_data"] = "DN/s"
        assert image.meta == before.meta | edited

    def test_other_missions_packages_are_not_imported(self, jwst_path, tmp_path):
        """A mosaic of JWST's files has no need of Roman's package, which takes long to import."""
        code = (
            "import gpures, sys; "
            f"gpures.mosaic({str(jwst_path)!r}, {str(tmp_path / 'm.fits')!r}, progress=False, backend='cpu'); "
            "print(*{'roman_datamodels', 'asdf_astropy.extensions'} & set(sys.modules))"
        )
        told = subprocess.run([sys.executable, "-P", "-c", code], check=True, capture_output=True, text=True)
        assert told.stdout.split() == ["asdf_astropy.extensions"]


@pytest.fixture(scope="module")
def roman_path(tmp_path_factory):
    return files.roman_file(tmp_path_factory.mktemp("roman") / "r0_cal.asdf")


class TestRoman:
    @pytest.mark.parametrize("has_rnoise", [False, True])
    @pytest.mark.parametrize("weight_type", ["ivm", "ivm-sky"])
    def test_model_is_the_pipelines(self, tmp_path, has_rnoise, weight_type):
        """The mosaic equals that of the model which romancal's resample step makes of the same file."""
        import roman_datamodels

        path = files.roman_file(tmp_path / "r0_cal.asdf", has_rnoise=has_rnoise)
        (image,) = io.inputs(path)
        model = image.read([*image.sizes, "var_sky"])
        with roman_datamodels.open(path) as opened:
            err, poisson, flat = (np.array(opened[name]) for name in ("err", "var_poisson", "var_flat"))
            rnoise = np.array(opened.var_rnoise) if has_rnoise else err.astype(np.float32) ** 2 - poisson - flat
            data, dq = np.array(opened.data), np.array(opened.dq)
            sky = rnoise + poisson / data * np.median(data[(dq & 1) == 0])
            expected = {
                "data": data,
                "dq": dq,
                "err": err,
                "var_rnoise": rnoise,
                "var_poisson": poisson,
                "var_flat": flat,
                "var_sky": sky,
                "filename": opened.meta.filename,
                "wcs": opened.meta.wcs,
                "pixelarea_steradians": opened.meta.photometry.pixel_area,
                "group_id": opened.meta.observation.observation_id,
                "measurement_time": None,
                "exposure_time": opened.meta.exposure.exposure_time,
                "start_time": opened.meta.exposure.start_time.mjd,
                "end_time": opened.meta.exposure.end_time.mjd,
                "duration": None,
                "level": opened.meta.background.level,
                "subtracted": opened.meta.background.subtracted,
                "effective_exposure_time": opened.meta.exposure.effective_exposure_time,
            }
            np.testing.assert_allclose(model["var_rnoise"], rnoise, rtol=1e-6)
            np.testing.assert_allclose(model["var_sky"], sky, rtol=1e-6)
            # What is computed may differ in the last bit of float32, as the order of the subtractions is open.
            expected |= {name: model[name] for name in ("var_rnoise", "var_sky")}
            same_mosaic([model], [expected], good_bits="~1", weight_type=weight_type)

    def test_headers(self, roman_path):
        """An input has what the tree says."""
        (image,) = io.inputs(roman_path)
        assert (image.kind, image.name, image.shape) == ("roman", "r0_cal.asdf", files.SHAPE)
        assert (image.unit, image.exposure_time) == ("DN/s", 107.0)
        model = image.read()
        assert image.nbytes == sum(array.nbytes for array in model.values() if hasattr(array, "nbytes"))
        assert (model["effective_exposure_time"], model["group_id"]) == (95.0, "0000101001001001001")

    def test_flux(self, tmp_path):
        """Data that the flux step has calibrated are in MJy/sr."""
        model = files.roman_model()
        model.meta["cal_step"] = dict.fromkeys(CAL_STEPS.split(), "INCOMPLETE") | {"flux": "COMPLETE"}
        model.save(tmp_path / "flux.asdf")
        assert io.inputs(tmp_path / "flux.asdf")[0].unit == "MJy/sr"

    def test_renamed(self, roman_path, tmp_path):
        """A file may have another name than its metadata say."""
        shutil.copy(roman_path, tmp_path / "renamed.fits")
        assert io.inputs(tmp_path / "renamed.fits")[0].kind == "roman"

    def test_placeholders(self, tmp_path, caplog):
        """Numbers that stand for none are none."""
        model = files.roman_model()
        model.meta.exposure.exposure_time, model.meta.photometry.pixel_area = -999999, -999999
        model.save(tmp_path / "fake.asdf")
        (read,) = io.read(tmp_path / "fake.asdf")
        assert (read["exposure_time"], read["pixelarea_steradians"]) == (1.0, None)
        assert "fake.asdf has no exposure time" in caplog.text

    def test_collected(self, roman_path):
        """The file stays open for those who opened it, whenever Python collects what was made of it."""
        with opened(roman_path) as file:
            roman.inputs(roman_path, file, Reading())
            gc.collect()
            assert "roman" in file.tree

    def test_no_wcs(self, tmp_path):
        """A file without a WCS is refused."""
        model = files.roman_model()
        model.meta.wcs = None
        model.save(tmp_path / "blind.asdf")
        with pytest.raises(io.FileError, match=r"blind\.asdf: no WCS"):
            io.inputs(tmp_path / "blind.asdf")

    def test_not_an_image(self, tmp_path):
        """A file of another kind is refused, with its kind."""
        from roman_datamodels import datamodels

        datamodels.RampModel.create_fake_data(shape=(2, 8, 8)).save(tmp_path / "ramp.asdf")
        with pytest.raises(io.FileError, match=r"ramp\.asdf: expected an ImageModel.*got a RampModel"):
            io.inputs(tmp_path / "ramp.asdf")

    def test_without_library(self, roman_path, monkeypatch):
        """Where roman_datamodels is missing, the error says what to install."""
        monkeypatch.setitem(sys.modules, "roman_datamodels", None)
        with pytest.raises(ImportError, match="pip install 'roman_datamodels"):
            io.inputs(roman_path)


def hst_by_hand(hdus, chip):
    """Model of a chip, put together from open HDUs."""
    time = hdus[0].header["EXPTIME"]
    per = time if hdus["SCI", chip].header["BUNIT"] == "ELECTRONS" else 1.0
    err = hdus["ERR", chip].data / np.float32(per)
    return {
        "data": hdus["SCI", chip].data / np.float32(per),
        "dq": hdus["DQ", chip].data.astype(np.int32) & 0xFFFF,
        "err": err,
        "var_rnoise": err * err,
        "var_poisson": None,
        "var_flat": None,
        "filename": "by hand",
        "group_id": hdus[0].header["ROOTNAME"],
        "wcs": WCS(hdus["SCI", chip].header, fobj=hdus),
        "exposure_time": time,
        "measurement_time": time,
        "duration": time,
        "start_time": hdus[0].header["EXPSTART"],
        "end_time": hdus[0].header["EXPEND"],
        "pixelarea_steradians": None,
        "level": hdus["SCI", chip].header["MDRIZSKY"] / per,
        "subtracted": False,
    }


class TestHST:
    @pytest.mark.parametrize("unit", ["ELECTRONS", "ELECTRONS/S"])
    @pytest.mark.parametrize("weight_type", ["ivm", "exptime"])
    def test_mosaic_is_that_of_arrays(self, tmp_path, unit, weight_type):
        """Two chips make the mosaic that their arrays make by hand, flags of 16 bits included."""
        path = files.hst_file(tmp_path / "j8bt00nyq_flt.fits", unit=unit)
        models = io.read(path)
        with fits.open(path, memmap=False) as hdus:
            expected = [hst_by_hand(hdus, chip) for chip in (1, 2)]
            same_mosaic(models, expected, good_bits=16 + 64, weight_type=weight_type)

    def test_headers(self, tmp_path):
        """Each chip is an input; counts become rates, and the sky with them."""
        path = files.hst_file(tmp_path / "j8bt00nyq_flc.fits")
        images = io.inputs(path)
        assert [image.name for image in images] == [f"j8bt00nyq_flc.fits[SCI,{chip}]" for chip in (1, 2)]
        assert [(image.kind, image.shape, image.unit) for image in images] == [("hst", files.SHAPE, "electron/s")] * 2
        assert [image.meta["level"] for image in images] == [301.0 / 250.0, 302.0 / 250.0]
        assert images[0].nbytes == (3 * 4 + 2) * 40 * 50

    def test_time_counts_once(self, tmp_path):
        """The chips of an exposure are one group."""
        path = files.hst_file(tmp_path / "x_flt.fits")
        resample = gpures.Resample({"wcs": scenes.frame_around((100, 50))}, backend="cpu")
        resample.add_models(io.read(path))
        resample.finalize()
        assert (resample.output_model["pointings"], resample.output_model["exposure_time"]) == (1, 250.0)

    def test_lookup_tables(self, tmp_path):
        """Lookup tables move pixels, each chip's its own, after the file was closed."""
        with_tables = io.inputs(files.hst_file(tmp_path / "tables.fits"))
        without = io.inputs(files.hst_file(tmp_path / "none.fits", tables=False))
        x, y = np.meshgrid(np.arange(50.0), np.arange(40.0))
        moves = []
        for one, other in zip(with_tables, without, strict=True):
            assert one.wcs.cpdis1 is not None
            assert one.wcs.det2im2 is not None
            moved = np.array(other.wcs.all_world2pix(*one.wcs.all_pix2world(x, y, 0), 0)) - (x, y)
            assert 0.05 < np.abs(moved).max() < 0.5
            moves.append(moved)
        assert not np.allclose(moves[0], moves[1], atol=1e-3)

    def test_real_exposure(self):
        """A real exposure of ACS reads as it does in the demo, where its variance has more than one part."""
        from gpures.demo import hst

        path = hst.find_exposure()
        expected = hst.load_exposure(path)
        (model,) = io.read(path)
        for key in ("data", "err", "dq"):
            np.testing.assert_array_equal(model[key], expected[key], err_msg=key)
        total = sum(expected[name].astype(float) for name in VARIANCES)
        usual = expected["var_flat"] > 0  # elsewhere the parts of the demo are more than the whole
        np.testing.assert_allclose(model["var_rnoise"][usual], total[usual], rtol=1e-4)
        assert model["exposure_time"] == expected["exposure_time"] == 60.0
        assert model["pixelarea_steradians"] == pytest.approx(1.652e-14, rel=1e-3)

    def test_real_tables(self):
        """The tables of a real ACS header, packed, give the coordinates that astropy gives."""
        path = importlib.resources.files("astropy") / "wcs" / "tests" / "data" / "dist_lookup.fits.gz"
        wcs = io.read_wcs(path)
        with fits.open(path) as hdus:
            expected = WCS(hdus["SCI"].header, fobj=hdus)
            assert expected.cpdis1 is not None
            np.testing.assert_array_equal(wcs.all_pix2world(37.0, 61.0, 0), expected.all_pix2world(37.0, 61.0, 0))

    def test_constant_array(self, tmp_path):
        """An image of one value, which HST's pipeline leaves out of its file, is filled in."""
        hdus = files.hst_hdus(chips=1)
        empty = fits.ImageHDU(name="DQ", ver=1)
        empty.header.update({"NPIX1": 50, "NPIX2": 40, "PIXVALUE": 64})
        hdus[hdus.index_of(("DQ", 1))] = empty
        hdus.writeto(tmp_path / "constant.fits")
        (model,) = io.read(tmp_path / "constant.fits")
        assert (model["dq"] == 64).all()
        assert model["dq"].shape == files.SHAPE

    def test_unknown_unit(self, tmp_path):
        """A unit that can't be made a rate is refused."""
        path = files.hst_file(tmp_path / "odd.fits", unit="ERG")
        with pytest.raises(io.FileError, match=r"odd\.fits: the unit of odd\.fits\[SCI,1\] is BUNIT='ERG', expected"):
            io.inputs(path)

    def test_table_missing(self, tmp_path):
        """A header that refers to a table which is not there is refused."""
        hdus = files.hst_hdus(chips=1)
        del hdus["WCSDVARR", 2]
        hdus.writeto(tmp_path / "torn.fits")
        with pytest.raises(io.FileError, match=r"torn\.fits: the WCS of \[SCI,1\] is damaged"):
            io.inputs(tmp_path / "torn.fits")

    def test_drizzled_is_plain(self, tmp_path):
        """A drizzled image of HST is read as any FITS image."""
        hdus = files.hst_hdus(chips=1, unit="ELECTRONS/S", tables=False)
        hdus[0].header["NDRIZIM"] = 4
        hdus.writeto(tmp_path / "drz.fits")
        assert io.inputs(tmp_path / "drz.fits")[0].kind == "fits"
