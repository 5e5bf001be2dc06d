"""What masks, weights and errors are called by the world: extensions, arrays of a tree, and files beside an image."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty, VarianceUncertainty
from astropy.wcs import WCS
from fits_forms import QUIET, full, hdu, header, masked, spotted, star, write

import gpures
from gpures import io

FLAGS = ("DQ", "FLAGS", "FLAG", "QUALITY")
MASKS = ("MASK", "BPM", "BADPIX", "BADPIXMASK", "bad_pixel_mask", "MSK")
ERRORS = (
    "ERR",
    "ERROR",
    "RMS",
    "SIGMA",
    "UNCERT",
    "UNCERTAINTY",
    "UNC",
    "STDDEV",
    "NOISE",
    "rms_map",
    "ERRMAP",
    "unc-map",
    "STDDEVMAP",
    "ERROR_IMAGE",
)
VARIANCES = ("VAR", "VARIANCE", "STAT")
INVERSES = ("IVAR", "INVVAR", "inverse-variance")
WEIGHTS = ("WHT", "WEIGHT", "WEIGHTMAP", "weight_map", "WGT")

VARIANCE_OF = {
    **dict.fromkeys(ERRORS, 16.0),
    **dict.fromkeys(VARIANCES, 4.0),
    **dict.fromkeys((*INVERSES, *WEIGHTS), 0.25),
}


def one_image(path, *extensions):
    return write(path, *extensions, primary=full(1), head=header())


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4"])
@pytest.mark.parametrize("name", MASKS)
def test_masks(tmp_path, name, dtype):
    """A pixel of a mask that is not zero is left out, whatever good bits and weights say."""
    path = one_image(tmp_path / "x.fits", hdu(spotted(64, dtype), name))
    (model,) = io.read(path)
    assert np.argwhere(np.ma.getmaskarray(model["data"])).tolist() == [[3, 4]]
    for options in ({}, {"good_bits": None}, {"good_bits": 64, "weight_type": "exptime"}):
        made = gpures.mosaic(path, output_wcs=path, **options, **QUIET)
        assert np.argwhere(made.model["wht"] == 0).tolist() == [[3, 4]]


@pytest.mark.parametrize("name", FLAGS)
def test_flags(tmp_path, name):
    """Of flags, those count that are not among the good bits."""
    path = one_image(tmp_path / "x.fits", hdu(spotted(64, "i2"), name))
    assert io.read(path)[0]["dq"][3, 4] == 64
    for good_bits, count in ((0, 1), (64, 0), ("~64", 1), (None, 0)):
        made = gpures.mosaic(path, output_wcs=path, good_bits=good_bits, **QUIET)
        assert np.count_nonzero(made.model["wht"] == 0) == count


@pytest.mark.parametrize("name", VARIANCE_OF)
def test_errors_and_weights(tmp_path, caplog, name):
    """Errors, variances, inverse variances and weights are taken for what they are called."""
    (model,) = io.read(one_image(tmp_path / "x.fits", hdu(full(4), name)))
    np.testing.assert_allclose(model["var_rnoise"], VARIANCE_OF[name], rtol=1e-6)
    assert (model["err"] is not None) == (name in ERRORS)
    assert ("right but for a factor" in caplog.text) == (name in WEIGHTS)
    assert "not read" not in caplog.text


@pytest.mark.parametrize("name", ["SCI", "IMAGE", "DATA", "SIGNAL", "PRIMARY", "SCIENCE", "whatever"])
def test_images(tmp_path, name):
    """An image may have any name."""
    extensions = [hdu(full(2), "ERR"), hdu(spotted(), "MASK")]
    if name == "PRIMARY":
        path = one_image(tmp_path / "x.fits", *extensions)
    else:
        path = write(tmp_path / "x.fits", hdu(full(1), name, header()), *extensions)
    (model,) = io.read(path)
    assert (model["err"][0, 0], masked(model)) == (2, 1)


def test_names_of_one_image(tmp_path):
    """Flags of several names add up, masks too; of errors and weights, the one that tells most counts."""
    extensions = [
        *(hdu(spotted(1, "i2", (1, k)), name) for k, name in enumerate(FLAGS)),
        *(hdu(spotted(1, "u1", (2, k)), name) for k, name in enumerate(MASKS)),
        *(hdu(full(value), name) for name, value in (("WHT", 8), ("IVAR", 7), ("VAR", 6), ("RMS", 5))),
    ]
    (model,) = io.read(one_image(tmp_path / "x.fits", *extensions))
    assert np.count_nonzero(model["dq"]) == len(FLAGS)
    assert masked(model) == len(MASKS)
    assert model["var_rnoise"][0, 0] == 25


@pytest.mark.parametrize(
    ("uncertainty", "variance"), [(StdDevUncertainty, 16.0), (VarianceUncertainty, 4.0), (InverseVariance, 0.25)]
)
def test_ccddata(tmp_path, uncertainty, variance):
    """Files of astropy's CCDData: the kind of the uncertainty, and the mask."""
    ccd = CCDData(full(1), unit="adu", wcs=WCS(header()), uncertainty=uncertainty(full(4)), mask=spotted() > 0)
    ccd.write(tmp_path / "ccd.fits")
    (model,) = io.read(tmp_path / "ccd.fits")
    assert model["var_rnoise"][0, 0] == variance
    assert masked(model) == 1


def test_classes_of_headers(tmp_path):
    """ESO's keywords say what an extension is, whatever it is called."""
    extensions = [
        hdu(full(1), "CHIP1.INT1", header(), HDUCLAS2="DATA"),
        hdu(full(4), "CHIP1.A", HDUCLAS2="ERROR", HDUCLAS3="MSE"),
        hdu(spotted(), "CHIP1.B", HDUCLAS2="QUALITY", HDUCLAS3="MASKZERO"),
    ]
    (model,) = io.read(write(tmp_path / "x.fits", *extensions))
    assert (model["var_rnoise"][0, 0], masked(model)) == (4, 1)


def test_masks_with_named_bits(tmp_path):
    """Where a mask's header names its bits, as the Rubin pipeline does, detected sources are no bad pixels."""
    mask = full(32, "i4")
    mask[0, :5], mask[1, :3], mask[2, :2] = 1, 2, 16
    names = {"MP_BAD": 0, "MP_SAT": 1, "MP_INTRP": 4, "HIERARCH MP_DETECTED": 5}
    extensions = [hdu(full(1), "IMAGE", header()), hdu(mask, "MASK", **names), hdu(full(4), "VARIANCE")]
    path = write(tmp_path / "x.fits", *extensions)
    assert masked(io.read(path)[0]) == 8
    assert masked(io.read(path, reading=io.Reading(bad_bits=16))[0]) == 2


def test_arrays_of_a_tree(tmp_path, caplog):
    """The same names in an ASDF tree."""
    import asdf

    path = one_image(tmp_path / "x.fits")
    gpures.mosaic(path, tmp_path / "m.asdf", output_wcs=path, **QUIET)
    with asdf.open(tmp_path / "m.asdf") as file:
        wcs = file.tree["wcs"]
        for name in ("sigma", "variance", "invvar", "weight_map"):
            tree = {"wcs": wcs, "data": full(1), name: full(4), "mask": spotted(), "odd": full(1), "n": 3}
            asdf.AsdfFile(tree).write_to(tmp_path / "t.asdf")
            (model,) = io.read(tmp_path / "t.asdf")
            variance = {"sigma": 16, "variance": 4}.get(name, 0.25)
            np.testing.assert_allclose(model["var_rnoise"], variance, rtol=1e-6, err_msg=name)
            assert masked(model) == 1
    assert "t.asdf: arrays of the image's shape that are not read: 'odd'" in caplog.text


# Files beside an image

BESIDE = [
    ("x.fits", "x.weight.fits", "wht"),
    ("x.fits", "x_weight.fits", "wht"),
    ("x.fits", "x.wht.fits", "wht"),
    ("x.fits", "weight_x.fits", "wht"),
    ("x.fits", "x_mask.fits", "mask"),
    ("x.fits", "x.mask.fits", "mask"),
    ("x.fits", "x_bpm.fits", "mask"),
    ("x.fits", "x_rms.fits", "err"),
    ("x.fits", "x.flag.fits", "dq"),
    ("x.fits", "x-ivar.fits", "ivar"),
    ("x_sci.fits", "x_wht.fits", "wht"),
    ("x_drz.fits", "x_rms.fits", "err"),
    ("f-image-g.fits", "f-invvar-g.fits", "ivar"),
    ("c4d_1_ooi_g_v1.fits", "c4d_1_oow_g_v1.fits", "ivar"),
    ("c4d_1_ooi_g_v1.fits", "c4d_1_ood_g_v1.fits", "mask"),
    ("k_osi_g.fits", "k_osd_g.fits", "mask"),
    ("w1-int-3.fits", "w1-unc-3.fits", "err"),
    ("A_bcd.fits", "A_bunc.fits", "err"),
    ("A_cbcd.fits", "A_bimsk.fits", "dq"),
    ("A_maic.fits", "A_munc.fits", "err"),
    ("u1_d0m.fits", "u1_q0m.fits", "dq"),
    ("image.fits", "weight.fits", "wht"),
    ("x.fits", "x_weight_map.fits", "wht"),
    ("x.fits", "x-inverse-variance.fits", "ivar"),
    ("x.fits", "x_bad_pix.fits", "mask"),
    ("x.fits", "x.bad_pixel_mask.fits", "mask"),
    ("x_science_image.fits", "x_rms_image.fits", "err"),
    ("x.fits", "unc_map_x.fits", "err"),
    ("x_sci2.fits", "x_wht2.fits", "wht"),
]
ARRAYS = {"wht": full(4), "ivar": full(4), "err": full(2), "mask": spotted(), "dq": spotted()}


@pytest.mark.parametrize("packed", ["", ".gz", ".fz"])
@pytest.mark.parametrize(("image", "beside", "role"), BESIDE)
def test_files_beside(tmp_path, monkeypatch, caplog, image, beside, role, packed):
    """A file beside an image is taken for what its name says, which is said, and is never co-added itself."""
    monkeypatch.chdir(tmp_path)
    write(image, primary=full(1), head=header())
    if packed == ".fz":
        write(beside + packed, hdu(ARRAYS[role], None, header(), packed=True))
    else:
        write(beside + packed, primary=ARRAYS[role], head=header())
    (model,) = io.read(image)
    if role in ("mask", "dq"):
        assert masked(model) + np.count_nonzero(model["dq"]) == 1
    else:
        np.testing.assert_allclose(model["var_rnoise"], {"err": 4.0}.get(role, 0.25), rtol=1e-6)
    assert "beside it is by its name" in caplog.text
    with pytest.raises(io.NoExposureError, match=rf"{beside}.*is by its name .* of {image}, and no exposure"):
        io.inputs(beside + packed)
    made = gpures.mosaic("*.fits*", **QUIET)
    assert [name.split("[")[0] for name in made.added] == [image]
    assert f"Not co-added: {beside}" in caplog.text
    if packed != ".fz":
        assert gpures.mosaic("*.fits*", ext=0, **QUIET).added == made.added
    assert len(io.inputs(image, reading=io.Reading(masks="none", weights="none"))[0].sizes) == 1
    assert io.read_wcs(beside + packed).array_shape == (64, 64)


@pytest.mark.parametrize(
    "name",
    [
        *("x_mask.fits", "x.weight.fits", "c4d_ood_g.fits", "u1_c1m.fits", "x-rms.fits.gz", "x_weight_map.fits"),
        *("x-bad-pixel-mask.fits", "x.errmap.fits", "x_noise_map.fits"),
    ],
)
def test_alone(tmp_path, name):
    """A file that is by its name a mask or weight is no exposure even alone; unless the user says so."""
    path = write(tmp_path / name, primary=full(1), head=header())
    with pytest.raises(io.NoExposureError, match=r"by its name.*no exposure\. With 'ext'"):
        gpures.mosaic(path, **QUIET)
    assert len(gpures.mosaic(path, ext=0, **QUIET).added) == 1
    other = write(tmp_path / "other.fits", primary=full(1), head=header())
    assert gpures.mosaic([path, other], **QUIET).added == ["other.fits[PRIMARY]"]


OTHERS = {
    **dict.fromkeys(("x_background.fits", "x_cov.fits", "x_seg.fits", "x.resid.fits", "x_exp_map.fits"), "x.fits"),
    **dict.fromkeys(("x_segmentation.fits", "x_sky.fits", "x-model.fits", "x_exptime.fits", "flat_x.fits"), "x.fits"),
    **dict.fromkeys(("x_psf_image.fits", "x_std.fits"), "x.fits"),
    "c4d_ooe_g.fits": "c4d_ooi_g.fits",
    "A_mcov.fits": "A_maic.fits",
}


@pytest.mark.parametrize("name", OTHERS)
def test_others_beside(tmp_path, name):
    """What else belongs to an image is not co-added with it, but it may be alone."""
    for each in (OTHERS[name], name):
        write(tmp_path / each, primary=full(1), head=header())
    assert gpures.mosaic(str(tmp_path / "*.fits"), **QUIET).added == [f"{OTHERS[name]}[PRIMARY]"]
    assert gpures.mosaic(tmp_path / name, **QUIET).added == [f"{name}[PRIMARY]"]


def test_what_is_unclear_beside(tmp_path, caplog):
    """A file beside an image of which it is unclear what it is is named."""
    for each in ("x.fits", "x.wt.fits"):
        write(tmp_path / each, primary=full(1), head=header())
    assert gpures.mosaic(str(tmp_path / "*.fits"), **QUIET).added == ["x.fits[PRIMARY]"]
    assert "x.wt.fits beside it may be weights or variances, and is not read" in caplog.text


@pytest.mark.parametrize(
    ("name", "what"),
    [("x_mask2.fits", "a mask"), ("x_mask_v2.fits", "a mask"), ("x_noise.fits", "weights or variances")],
)
def test_another_one_beside(tmp_path, caplog, name, what):
    """A second mask, or one made anew, is no exposure; which of them counts is not told."""
    for each in ("x.fits", name):
        write(tmp_path / each, primary=full(1), head=header())
    assert gpures.mosaic(str(tmp_path / "*.fits"), **QUIET).added == ["x.fits[PRIMARY]"]
    assert f"{name} beside it may be {what}, and is not read" in caplog.text


@pytest.mark.parametrize(
    "name", ["mask.fits", "x_b_pm.fits", "data_1.fits", "star_std.fits", "x_2.fits", "dq", "errata.fits"]
)
def test_names_of_images(tmp_path, name):
    """Names that are those of an image are no others."""
    path = write(tmp_path / f"{name}", primary=full(1), head=header())
    assert len(io.inputs(path)) == 1


def wfpc2(path, kind, data, unit="COUNTS"):
    """A file of WFPC2: four chips named "sci"."""
    primary = fits.PrimaryHDU()
    facts = {"TELESCOP": "HST", "INSTRUME": "WFPC2", "FILETYPE": kind, "EXPTIME": 100.0, "ROOTNAME": "u1"}
    primary.header.update(facts)
    extensions = [hdu(data(k), "sci", header(70 * k, BUNIT=unit, EXPTIME=100.0), k + 1) for k in range(4)]
    fits.HDUList([primary, *extensions]).writeto(path)
    return path


def test_wfpc2(tmp_path, caplog):
    """A _c0m file has its flags in the _c1m beside it, whose extensions are named "sci", too."""
    path = wfpc2(tmp_path / "u1_c0m.fits", "SCI", lambda k: full(100.0))
    wfpc2(tmp_path / "u1_c1m.fits", "SDQ", lambda k: np.pad(np.full((k + 1, 1), 4, "i2"), ((0, 63 - k), (0, 63))))
    models = io.read(path)
    assert [np.count_nonzero(model["dq"]) for model in models] == [1, 2, 3, 4]
    assert models[0]["data"][5, 5] == 1.0
    made = gpures.mosaic(str(tmp_path / "*.fits"), **QUIET)
    assert made.added == [f"u1_c0m.fits[SCI,{k}]" for k in (1, 2, 3, 4)]
    assert made.model["exposure_time"] == 100.0
    (tmp_path / "u1_c1m.fits").rename(tmp_path / "odd.fits")
    with pytest.raises(io.NoExposureError, match=r"odd\.fits: it holds the flags of another file \(FILETYPE='SDQ'\)"):
        io.inputs(tmp_path / "odd.fits")
    assert gpures.mosaic(str(tmp_path / "*.fits"), **QUIET).added == made.added


def test_chips_beside_chips(tmp_path):
    """In files of several chips, those belong together that have one name, else those in the same place."""
    names = ["a", "b", "c"]
    path = write(tmp_path / "x.fits", *(hdu(full(1), name, header(70 * k)) for k, name in enumerate(names)))
    weights = [hdu(full(k + 1), name) for k, name in enumerate(names)]
    for extensions in (weights, weights[::-1], [hdu(full(k), None) for k in (1, 2, 3)]):
        write(tmp_path / "x_ivar.fits", *extensions)
        assert [float(1 / m["var_rnoise"][0, 0]) for m in io.read(path)] == pytest.approx([1, 2, 3])
    assert float(1 / io.read(path, reading=io.Reading(ext="b"))[0]["var_rnoise"][0, 0]) == pytest.approx(2)
    write(tmp_path / "x_ivar.fits", primary=full(1))
    with pytest.raises(io.FileError, match=r"x_ivar\.fits: it can't be told which of its images \[PRIMARY\] belong to"):
        io.inputs(path)
    write(tmp_path / "x_ivar.fits", *(hdu(full(1)[:5], name) for name in names))
    with pytest.raises(
        io.FileError, match=r"x_ivar\.fits: \[A,1\] has the shape \(5, 64\), expected that of \[A,1\] in"
    ):
        io.inputs(path)
    assert len(io.inputs(path, reading=io.Reading(weights="none"))) == 3


def test_files_by_patterns(tmp_path, monkeypatch):
    """Files of the user's: a star is the exposure's name; in a folder of their own, packed, or one for all."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w").mkdir()
    for k, name in enumerate(("a", "b_sci")):
        write(f"{name}.fits", primary=full(1), head=header(70 * k))
        write(f"{name}_mask.fits", primary=full(1, "u1"))
    write("w/a.weight.fits.gz", primary=full(2))
    write("w/b.weight.fits.gz", primary=full(3))
    write("bpm.fits", primary=spotted())
    made = gpures.mosaic(["a.fits", "b_sci.fits"], weights="w/*.weight.fits", masks="bpm.fits", **QUIET)
    assert (np.count_nonzero(made.model["wht"] == 2), np.count_nonzero(made.model["wht"] == 3)) == (4095, 4095)
    write("a_s.fits", primary=full(5))
    (model,) = io.read("a.fits", reading=io.Reading(weights="*_s.fits", masks="none"))
    assert model["var_rnoise"][0, 0] == pytest.approx(0.2)
    with pytest.raises(io.FileError, match=r"a\.fits: there is no weight for it: 'weights' is 'w/\*_no\.fits'"):
        gpures.mosaic("a.fits", weights="w/*_no.fits", **QUIET)


def test_masked_pixels_are_not_in_the_mosaic(tmp_path):
    """A star's light is right beside bad pixels that would have added to it."""
    data, mask = star(), full(0, "u1")
    data[40, 40], mask[40, 40] = 1e6, 1
    path = write(tmp_path / "x.fits", primary=data, head=header())
    write(tmp_path / "x_mask.fits", primary=mask)
    made = gpures.mosaic(path, output_wcs=path, **QUIET)
    assert np.nansum(made.model["data"]) == pytest.approx(1000.0, rel=1e-6)


def test_files_that_appear_later(tmp_path):
    """A file that comes to lie beside an image is found, even so soon that the folder has the same time."""
    path = write(tmp_path / "x.fits", primary=full(1), head=header())
    now = time.time_ns()
    for suffix in (".fits", ".fits.gz"):
        os.utime(tmp_path, ns=(now, now))
        assert masked(io.read(path)[0]) == 0
        mask = write(tmp_path / f"x_mask{suffix}", primary=spotted())
        os.utime(tmp_path, ns=(now, now))
        assert masked(io.read(path)[0]) == 1
        mask.unlink()
