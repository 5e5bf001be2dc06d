"""The sky matching, outlier detection and resample of jwst, as they are, on gpures: their products are what they were.

Output frames contain their exposures with a margin, or the comparison leaves the borders out: there the reference
loses contributions (see the README).
"""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import gwcs
import numpy as np
import pytest
import scenes
from clean_reference import median_frame, reference_masks
from gwcs import coordinate_frames
from rays import assert_same_cleaning, assert_used_by_steps, ray_exposures, step_products
from test_parity_stcal import assert_parity

import gpures
from gpures.acceleration import switch as acceleration
from gpures.demo.cosmic_rays import make_ray_exposures
from gpures.demo.nircam import NRCB5
from gpures.demo.scene import make_scene

pytest.importorskip("jwst", reason="jwst is not installed here: make test-pipelines makes an environment that has it")

from jwst.assign_wcs.util import update_s_region_imaging
from jwst.datamodels import ModelContainer, ModelLibrary
from jwst.outlier_detection import OutlierDetectionStep, ifu, imaging, spec
from jwst.resample import ResampleStep
from jwst.resample.resample import ResampleImage
from jwst.resample.resample_spec import ResampleSpec
from jwst.skymatch import SkyMatchStep
from stdatamodels.jwst import datamodels

# From their import on, jwst and what it uses warn of things that are not ours.
pytestmark = pytest.mark.filterwarnings("default")

SHAPE = (150, 130)
SPECTRAL_SHAPE = (60, 90)
SIDE = 260  # of a frame that contains the exposures
IMAGES = ("data", "wht", "con", "dq", "err", "var_rnoise", "var_poisson", "var_flat")
OUTLIER = datamodels.dqflags.pixel["OUTLIER"]

DETECTION = {
    "save_intermediate_results": False,
    "good_bits": "~DO_NOT_USE",
    "maskpt": 0.7,
    "snr1": 5.0,
    "snr2": 4.0,
    "scale1": 1.2,
    "scale2": 0.7,
    "backg": 0.0,
    "resample_data": True,
    "weight_type": "ivm",
    "pixfrac": 1.0,
    "kernel": "square",
    "fillval": "NAN",
    "make_output_path": None,
}


def imaging_wcs(number, distortion):
    """A WCS with the frames that jwst has; several dithered and turned exposures."""
    shift = [(0.0, 0.0), (2.3, -1.4), (-3.1, 2.2)][number]
    transform = scenes.sky_transform(SHAPE, rotation=20.0 + number, shift=shift, distortion=distortion)
    detector, sky = scenes.sky_frames()
    world = coordinate_frames.CelestialFrame(
        name="world", axes_order=(0, 1), reference_frame=sky.reference_frame, unit=sky.unit
    )
    wcs = gwcs.WCS([(detector, transform), (world, None)])
    scenes.set_frame(wcs, SHAPE)
    return wcs


def image_model(number, group=None, distortion=2.0):
    """An `ImageModel` of the arrays and times of the other tests' scenes.

    Only without distortion has its WCS the inverse that jwst needs to make up a frame of its own.
    """
    return filled(datamodels.ImageModel(), number, imaging_wcs(number, distortion), SHAPE, group)


def slit_model(number):
    """A `SlitModel`, likewise."""
    wcs = scenes.spectral_wcs(SPECTRAL_SHAPE, tilt=2.0 + number, shift=(0.3 * number, 0.7 * number))
    return filled(datamodels.SlitModel(), number, wcs, SPECTRAL_SHAPE, None)


def arrays(number, shape):
    """What a model of that number holds, as a dict."""
    return scenes.model_of(None, shape, seed=number)


def ray_models(**options):
    """Exposures with cosmic rays, under skies that differ."""
    return [
        filled(datamodels.ImageModel(), number, model["wcs"], None, model["group_id"], model)
        for number, model in enumerate(exposure.model for exposure in ray_exposures(**options))
    ]


def filled(model, number, wcs, shape, group, values=None):
    """A data model with everything that jwst reads, by default with the arrays and times of `arrays`."""
    values = arrays(number, shape) if values is None else values
    for name in ("data", "dq", "err", "var_rnoise", "var_poisson", "var_flat"):
        setattr(model, name, values[name])
    for name in ("exposure_time", "measurement_time", "start_time", "end_time", "duration"):
        setattr(model.meta.exposure, name, values[name])
    model.meta.wcs = wcs
    model.meta.filename = f"jw0000{number}_cal.fits"
    model.meta.group_id = group or str(number)
    model.meta.bunit_data = "MJy/sr"
    model.meta.photometry.pixelarea_steradians = values["pixelarea_steradians"]
    model.meta.photometry.pixelarea_arcsecsq = values["pixelarea_steradians"] * (3600.0 * 180.0 / np.pi) ** 2
    if isinstance(model, datamodels.SlitModel):
        model.meta.instrument.name, model.meta.exposure.type = "MIRI", "MIR_LRS-FIXEDSLIT"
        model.meta.wcsinfo.dispersion_direction = 1
        model.meta.bunit_data = "MJy"
    else:
        model.meta.instrument.name, model.meta.exposure.type = "NIRCAM", "NRC_IMAGE"
        ra, dec = (float(angle) for angle in wcs(*(0.5 * n for n in reversed(model.data.shape))))
        reference = {"ra_ref": ra, "dec_ref": dec, "roll_ref": 20.0, "v3yangle": 0.0, "vparity": -1}
        for key, value in (reference | {"v2_ref": 0.0, "v3_ref": 0.0}).items():
            setattr(model.meta.wcsinfo, key, value)
        update_s_region_imaging(model)
    return model


def resampler(groups=(None, None, None), **options):
    """The pipeline's class for images, with a frame that contains them."""
    library = ModelLibrary([image_model(number, group) for number, group in enumerate(groups)])
    frame = {"output_shape": (SIDE, SIDE + 3), "crpix": (SIDE / 2, SIDE / 2), "pixel_scale": scenes.SCALE}
    return ResampleImage(library, wcs_pars=frame | {"rotation": 0.0}, **options)


def images(model):
    """The images of a product, and what `assert_parity` asks of them."""
    found = {name: np.asarray(getattr(model, name)) for name in IMAGES if getattr(model, name) is not None}
    return found | {"weight_type": model.meta.resample.weight_type, "pixel_scale_ratio": None}


def meta(model):
    """The meta data of a product, but for when it was made."""
    flat = {key: value for key, value in model.to_flat_dict(include_arrays=False).items() if key.startswith("meta.")}
    return {key: value for key, value in flat.items() if key not in ("meta.wcs", "meta.date")}


@pytest.mark.parametrize("compute_err", ["from_var", "driz_err"])
@pytest.mark.parametrize("weight_type", ["ivm", "exptime"])
@pytest.mark.parametrize("kernel", ["square", "gaussian"])
def test_mosaic(both_ways, kernel, weight_type, compute_err):
    """The mosaic of jwst's class for images: arrays to their roundings, meta data the same."""
    options = {"kernel": kernel, "weight_type": weight_type, "compute_err": compute_err, "propagate_dq": True}
    before = acceleration.used["stcal.resample.Resample.add_model"]
    expected, got = both_ways(lambda: resampler(**options).resample_many_to_one())
    assert acceleration.used["stcal.resample.Resample.add_model"] == before + 3
    models = [arrays(number, SHAPE) for number in range(3)]
    averaged = compute_err == "driz_err"
    assert_parity(images(got), images(expected), models, kernel=kernel, averaged_err=averaged)
    assert meta(got) == meta(expected)


def test_mosaic_with_the_default_pixel_map(both_ways):
    """With the pixel map to 1e-6 pixels, the mosaic differs by no more than that moves a drop."""
    expected, got = both_ways(lambda: resampler().resample_many_to_one(), tolerance=1e-6)
    np.testing.assert_array_equal(np.isnan(got.data), np.isnan(expected.data))
    # Edges of drops move by 2e-6 pixels at most: weights by four edges of that, of pixels whose weight is 0.5 to 2,
    # and data by their range times the share of the weight that moves.
    moved = 8 * 2e-6 * 2.0
    rounding = 4 * 30 * np.finfo(np.float32).eps
    np.testing.assert_allclose(got.wht, expected.wht, rtol=rounding, atol=3 * moved)
    covered = expected.wht > 0.5  # elsewhere a share of a small weight is large
    span = np.nanmax(expected.data) - np.nanmin(expected.data)
    np.testing.assert_allclose(got.data[covered], expected.data[covered], rtol=rounding, atol=span * 3 * moved / 0.5)


def test_mosaic_of_each_group(both_ways):
    """One mosaic per group, as outlier detection makes them: each as before, with its own meta data."""

    def mosaics():
        library = resampler(("a", "a", "b"), enable_ctx=False, enable_var=False).resample_many_to_many()
        with library:
            products = list(library)
            found = [(images(product), product.meta.filename) for product in products]
            for product in products:
                library.shelve(product, modify=False)
        return found

    expected, got = both_ways(mosaics)
    assert len(got) == 2
    models = [arrays(number, SHAPE) for number in range(3)]
    for (got_images, got_name), (expected_images, expected_name) in zip(got, expected, strict=True):
        assert_parity(got_images, expected_images, models)
        assert got_name == expected_name


@pytest.mark.parametrize("ratio", [1.0, 1.5])
def test_spectra(both_ways, ratio):
    """The class for spectra, which derives from that for images."""

    def mosaic():
        frame = {"wcs": scenes.spectral_frame(SPECTRAL_SHAPE, ratio=ratio), "pixel_scale_ratio": ratio}
        resample = ResampleSpec([slit_model(k) for k in range(2)], output_wcs=frame, compute_err="from_var")
        return resample.resample_many_to_one()

    expected, got = both_ways(mosaic)
    models = [arrays(number, SPECTRAL_SHAPE) for number in range(2)]
    assert_parity(images(got), images(expected), models, ratio=ratio)
    assert meta(got) == meta(expected)


# ---- outlier detection ---------------------------------------------------------------------------------------------


def flags(models):
    """Where outliers are flagged, without the borders."""
    return [(model.dq & OUTLIER)[8:-8, 8:-8] != 0 for model in models]


def detection():
    """Options of the detection in images, which differ between versions of jwst."""
    taken = inspect.signature(imaging.detect_outliers).parameters
    more = {"pixmap_stepsize": 1, "pixmap_order": 1, "in_memory": True}
    return DETECTION | {name: value for name, value in more.items() if name in taken}


def test_outliers_in_images(both_ways, outlying_pixels):
    """Resample, median, blot and comparison find the same outliers, among them those that were put in."""

    def detect():
        models = [image_model(number, distortion=0.0) for number in range(3)]
        for number, model in enumerate(models):
            model.data[outlying_pixels(SHAPE, number)] += 500.0
            model.dq[...] = 0
        library = imaging.detect_outliers(ModelLibrary(models), **detection())
        with library:
            found = list(library)
            for model in found:
                library.shelve(model, modify=False)
        return flags(found)

    before = acceleration.used.copy()
    expected, got = both_ways(detect)
    used = acceleration.used - before
    assert used["stcal.resample.Resample.add_model"] == used["drizzle.resample.blot_image"] == 3
    for number, (mine, theirs) in enumerate(zip(got, expected, strict=True)):
        rows, columns = outlying_pixels(SHAPE, number)
        assert mine[rows - 8, columns - 8].sum() > 20  # of 25; the median of 3 misses what two exposures share
        np.testing.assert_array_equal(mine, theirs)


def ray_model(exposure):
    """An `ImageModel` of an exposure whose cosmic rays are known."""
    values = exposure.model
    model = filled(datamodels.ImageModel(), 0, values["wcs"], values["data"].shape, values["group_id"])
    for name in ("data", "dq", "err", "var_rnoise", "var_poisson", "var_flat"):
        setattr(model, name, values[name].copy())
    model.meta.filename = f"{values['filename']}_cal.fits"
    model.meta.background.level, model.meta.background.subtracted = values["level"], values["subtracted"]
    return model


def test_the_reference_of_outliers_is_the_pipelines(monkeypatch):
    """What cosmic rays are compared by elsewhere finds the very pixels that jwst's own step finds."""
    exposures = make_ray_exposures(make_scene(NRCB5["CRVAL1"], NRCB5["CRVAL2"]), 4, (160, 160), chips=2)
    frame = median_frame(exposures)
    monkeypatch.setattr(imaging.resample, "ResampleImage", partial(ResampleImage, output_wcs={"wcs": frame}))
    library = imaging.detect_outliers(ModelLibrary([ray_model(exposure) for exposure in exposures]), **detection())
    with library:
        found = list(library)
        for model in found:
            library.shelve(model, modify=False)
    masks = [(model.dq & OUTLIER) != 0 for model in found]
    assert sum(mask.sum() for mask in masks) > 1000
    for mask, expected in zip(masks, reference_masks(exposures, frame), strict=True):
        np.testing.assert_array_equal(mask, expected)


def test_outliers_in_spectra(both_ways, outlying_pixels):
    """Likewise for spectra, whose errors are blotted as well."""

    def detect():
        models = [slit_model(number) for number in range(3)]
        for number, model in enumerate(models):
            model.data[outlying_pixels(SPECTRAL_SHAPE, number, 5)] += 500.0
            model.dq[...] = 0
        return flags(spec.detect_outliers(ModelContainer(models), **DETECTION))

    before = acceleration.used.copy()
    expected, got = both_ways(detect)
    used = acceleration.used - before
    assert used["stcal.outlier_detection.utils.flag_resampled_crs"] == 3
    assert used["stcal.resample.utils.calc_pixmap"] == used["drizzle.resample.blot_image"] == 2 * 3
    assert used["stcal.outlier_detection.median.nanmedian3D"] == 2
    assert all(mine.any() for mine in got)
    for mine, theirs in zip(got, expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("where", ["in memory", "on disk", "as they are"])
def test_sky_and_outliers_of_the_steps(both_ways, monkeypatch, tmp_path, where):
    """The steps before the resampling, one after another, with their own defaults: gpures does what can be done."""
    monkeypatch.setenv("STPIPE_DISABLE_CRDS_STEPPARS", "true")
    monkeypatch.chdir(tmp_path)
    models = ray_models()
    for model in models:
        model.save(model.meta.filename)
    in_memory, resample = where != "on disk", where != "as they are"

    def steps():
        members = [{"expname": model.meta.filename, "exptype": "science"} for model in models]
        library = ModelLibrary({"products": [{"name": "product", "members": members}]}, on_disk=not in_memory)
        library = SkyMatchStep.call(library, in_memory=in_memory)
        return step_products(OutlierDetectionStep.call(library, in_memory=in_memory, resample_data=resample))

    before = acceleration.used.copy()
    expected, got = both_ways(steps, tolerance=1e-6)
    assert_same_cleaning(got, expected, OUTLIER)
    assert_used_by_steps(acceleration.used - before, in_memory, resample)


def test_chips_of_an_exposure_get_one_sky(both_ways, monkeypatch):
    """Groups of exposures, as the detectors of NIRCam are, are matched as groups."""
    monkeypatch.setenv("STPIPE_DISABLE_CRDS_STEPPARS", "true")

    def levels():
        library = SkyMatchStep.call(ModelLibrary(ray_models(count=3, chips=2)), skystat="median")
        return [level for level, _, _ in step_products(library)]

    expected, got = both_ways(levels)
    assert len({round(level, 6) for level in expected}) == 3
    assert got[::2] == got[1::2]
    np.testing.assert_allclose(got, expected, atol=2e-5)


def test_median_filter_of_integral_field_units():
    """The median filter that outlier detection calls for them is reached where it is held by its name."""
    with gpures.accelerate(backend="cpu"):
        assert acceleration.original(ifu.medfilt) is not ifu.medfilt
    assert acceleration.original(ifu.medfilt) is ifu.medfilt


# ---- steps ---------------------------------------------------------------------------------------------------------


def step_parameters():
    """Parameters of the step, with a frame that contains the exposures."""
    return {"output_shape": (SIDE, SIDE), "crpix": (SIDE / 2, SIDE / 2), "pixel_scale": scenes.SCALE, "rotation": 0.0}


def test_step(both_ways, monkeypatch):
    """The step itself, with its own defaults; its parameters are not asked for in the net."""
    monkeypatch.setenv("STPIPE_DISABLE_CRDS_STEPPARS", "true")

    def call():
        library = ModelLibrary([image_model(number, distortion=0.0) for number in range(3)])
        return ResampleStep.call(library, **step_parameters())

    expected, got = both_ways(call)
    assert_parity(images(got), images(expected), [arrays(number, SHAPE) for number in range(3)])


def test_strun(tmp_path):
    """`gpures run strun` resamples a file on gpures, and writes what `strun` writes."""
    image_model(0, distortion=0.0).save(tmp_path / "jw00000_cal.fits")
    options = ["--output_shape=260,260", "--crpix=130,130", f"--pixel_scale={scenes.SCALE}", "--rotation=0"]
    folder = Path(sys.executable).parent
    said = []
    for name, program in (
        ("own", [folder / "strun"]),
        ("ours", [folder / "gpures", "run", "--backend", "cpu", "--report", "strun"]),
    ):
        command = [*program, "resample", "jw00000_cal.fits", f"--output_file={name}", *options]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=os.environ | {"STPIPE_DISABLE_CRDS_STEPPARS": "true"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stderr)
    assert "1 x stcal.resample.Resample.add_model" in said[1]
    with (
        datamodels.ImageModel(tmp_path / "own_resamplestep.fits") as expected,
        datamodels.ImageModel(tmp_path / "ours_resamplestep.fits") as got,
    ):
        assert np.isfinite(got.data).any()
        np.testing.assert_array_equal(got.con, expected.con)
        np.testing.assert_allclose(got.data, expected.data, rtol=1e-5, atol=1e-5)
