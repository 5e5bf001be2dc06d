"""Which images of a FITS file are exposures, and what belongs to which."""

from __future__ import annotations

import gzip
import itertools

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from fits_forms import QUIET, SHAPE, flux_at, full, hdu, header, masked, spotted, star, write

import gpures
from gpures import io

CHIPS = 3


def chips(names, packed=False, apart=70, **keywords):
    return [hdu(star(10 + 9 * k), name, header(apart * k, **keywords), packed=packed) for k, name in enumerate(names)]


# All images of a file


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "fpack"])
@pytest.mark.parametrize("names", [["ccd00", "ccd01", "ccd02"], ["im1", "im2", "im3"], ["N1", "S1", "S2"], [None] * 3])
def test_all_chips(tmp_path, names, packed):
    """Each chip of a file is in the mosaic, its star at its place with all of its light, and the time counts once."""
    path = write(tmp_path / "mef.fits", *chips(names, packed))
    made = gpures.mosaic(path, **QUIET)
    assert len(made.added) == len(set(made.added)) == CHIPS
    assert made.model["exposure_time"] == 30.0
    for k in range(CHIPS):
        flux, off = flux_at(made, *WCS(header(70 * k)).wcs_pix2world(10 + 9 * k, 31, 0))
        assert flux == pytest.approx(1000.0, rel=1e-4)
        assert off == pytest.approx((0.0, 0.0), abs=0.01)
    assert "90.0 s" not in made.report


def test_packed_file(tmp_path):
    """The same of a file that is packed as a whole."""
    path = write(tmp_path / "mef.fits", *chips(["a1", "a2", "a3"]))
    (tmp_path / "mef.fits.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert len(io.inputs(tmp_path / "mef.fits.gz")) == CHIPS


@pytest.mark.parametrize("primary", [None, star()])
def test_primary_beside_chips(tmp_path, primary):
    """An image in the primary HDU is one of the chips."""
    path = write(tmp_path / "mef.fits", *chips(["ccd1", "ccd2"]), primary=primary, head=header(-200))
    assert len(io.inputs(path)) == 2 + (primary is not None)


@pytest.mark.parametrize(
    ("starts", "times", "total"),
    [
        ((57000.0, 57000.0), (30, 30), 30.0),
        ((57000.0, 57000.0 + 0.1 / 86400), (30, 30), 30.0),  # read one after another
        ((57000.0, 57000.1), (30, 30), 60.0),
        (("2020-01-01T00:00:00", "2020-01-01T00:10:00"), (30, 30), 60.0),
        ((57000.0, None), (30, 30), 30.0),
        ((None, None), (30, 300), 330.0),
    ],
)
def test_time_of_chips(tmp_path, starts, times, total):
    """The images of a file are one exposure, unless they were taken at different times."""
    heads = [header(70 * k, EXPTIME=float(times[k])) for k in range(2)]
    for head, start in zip(heads, starts, strict=True):
        if start is not None:
            head["DATE-OBS" if isinstance(start, str) else "MJD-OBS"] = start
    path = write(tmp_path / "two.fits", *(hdu(full(1), f"ccd{k}", head) for k, head in enumerate(heads)))
    assert gpures.mosaic(path, **QUIET).model["exposure_time"] == total


def test_image_without_sky(tmp_path, caplog):
    """An image without a WCS beside those with one is no exposure, and is named."""
    path = write(tmp_path / "x.fits", *chips(["ccd1", "ccd2"]), hdu(full(1), "ccd3"), hdu(full(1)[:9], "guide"))
    assert [image.name for image in io.inputs(path)] == ["x.fits[CCD1,1]", "x.fits[CCD2,1]"]
    assert caplog.text.count("not read: [CCD3,1], [GUIDE,1]") == 1


@pytest.mark.parametrize("name", ["SCI", "IMAGE", "strange", None])
@pytest.mark.parametrize("other", ["PREVIEW", "strange2", None])
def test_smaller_versions(tmp_path, caplog, name, other):
    """An image of the same place in fewer pixels is no exposure, whatever it is called and wherever it stands."""
    small = header(CDELT1=-1.0 / 3600, CDELT2=1.0 / 3600, CRPIX1=16.5, CRPIX2=16.5)
    extensions = [hdu(star(), name, header()), hdu(full(1)[:32, :32], other, small)]
    for order in itertools.permutations(extensions):
        path = write(tmp_path / "x.fits", *order)
        (image,) = io.inputs(path)
        assert image.shape == SHAPE
    assert "not read" in caplog.text


@pytest.mark.parametrize("name", ["background", "MODEL", "residual", "SEGMENTATION", "expmap", "whatever"])
@pytest.mark.parametrize("first", ["SCI", "PRIMARY", "red"])
@pytest.mark.parametrize("has_sky", [True, False])
def test_other_planes(tmp_path, caplog, name, first, has_sky):
    """Other images at the same place are no exposures, and are named in a warning."""
    other = hdu(full(7), name, header() if has_sky else None)
    if first == "PRIMARY":
        path = write(tmp_path / "x.fits", other, primary=star(), head=header())
    else:
        path = write(tmp_path / "x.fits", hdu(star(), first, header()), other)
    (image,) = io.inputs(path)
    assert image.read()["data"].max() > 100
    assert f"x.fits: images that are not read: [{name.upper()},1]" in caplog.text


def test_unnamed_at_the_same_place(tmp_path, caplog):
    """Images without names at the same place are exposures, which is said; or an error, where that can't be told."""
    path = write(tmp_path / "x.fits", *(hdu(full(k), None, header(), packed=True) for k in (1, 2)))
    assert len(io.inputs(path)) == 2
    caplog.clear()
    for names, apart in ((["sci1", "sci2"], 0), ([None, None], 1.5)):  # named alike, or a dither apart
        assert len(io.inputs(write(tmp_path / "x.fits", *chips(names, apart=apart)))) == 2
    assert caplog.text == ""
    path = write(tmp_path / "x.fits", hdu(full(1), None, header()), hdu(full(2), None, header()))
    assert len(io.inputs(path)) == 2
    assert "[1], [2] have no names and lie at the same place" in caplog.text
    path = write(tmp_path / "z.fits", *(hdu(full(k), f"plane{k}", header()) for k in (1, 2)))
    assert len(io.inputs(path)) == 2
    assert "[PLANE1,1], [PLANE2,1] have names that say nothing, and lie at the same place" in caplog.text
    for data, primary in ((full(1, "i2"), None), (full(1), full(2))):
        extensions = [] if primary is not None else [hdu(full(2), None, header())]
        path = write(tmp_path / "y.fits", *extensions, hdu(data, None, header()), primary=primary, head=header())
        with pytest.raises(io.FileError, match=r"y\.fits: .* can't be told whether they are two exposures"):
            io.inputs(path)
    assert len(io.inputs(path, reading=io.Reading(ext=[0, 1]))) == 2
    assert len(io.inputs(path, reading=io.Reading(ext=0, weight_ext=1))) == 1


def test_nothing_but_companions(tmp_path):
    """A file of weights and masks alone has no exposure; the user can say that it has."""
    path = write(tmp_path / "x.fits", hdu(full(1), "WHT", header()), hdu(full(0, "u1"), "MASK", header()))
    with pytest.raises(
        io.NoExposureError, match=r"x\.fits: it has no exposure, but \[WHT,1\] \(by its name a weight\)"
    ):
        io.inputs(path)
    (image,) = io.inputs(path, reading=io.Reading(ext="WHT"))
    assert image.read()["var_rnoise"] is None


# What belongs to which


def companions(layout, ver):
    """SCI, ERR and DQ of three chips in some order; of chip k the error is k + 1 and k + 1 pixels are flagged."""
    made = {"SCI": [], "ERR": [], "DQ": []}
    for k in range(CHIPS):
        dq = full(0, "i2")
        dq[5, : k + 1] = 4
        number = k + 1 if ver in ("all", "SCI") else None
        made["SCI"].append(hdu(full(1), "SCI", header(70 * k), number))
        made["ERR"].append(hdu(full(k + 1), "ERR", None, number if ver == "all" else None))
        made["DQ"].append(hdu(dq, "DQ", None, number if ver == "all" else None))
    if layout == "by chip":
        return [made[name][k] for k in range(CHIPS) for name in made]
    if layout == "by chip, backwards":
        return [made[name][k] for k in range(CHIPS) for name in ("DQ", "ERR", "SCI")]
    return [extension for name in made for extension in made[name]]


@pytest.mark.parametrize("ver", ["all", "SCI", "none"])
@pytest.mark.parametrize("layout", ["by chip", "by chip, backwards", "by name"])
def test_companions(tmp_path, layout, ver):
    """Each chip has its own error and flags, by EXTVER where that tells, else by order."""
    models = io.read(write(tmp_path / "x.fits", *companions(layout, ver)))
    assert [float(model["err"][0, 0]) for model in models] == [1, 2, 3]
    assert [np.count_nonzero(model["dq"]) for model in models] == [1, 2, 3]


def test_extver_out_of_order(tmp_path):
    """EXTVER counts before the order, and an image may have none."""
    extensions = [hdu(full(1), "SCI", header(70 * k), k) for k in (1, 2, 3)]
    extensions += [hdu(full(k), "ERR", None, k) for k in (3, 1)]
    models = io.read(write(tmp_path / "x.fits", *extensions))
    assert [None if model["err"] is None else float(model["err"][0, 0]) for model in models] == [1, None, 3]


def test_one_mask_for_numbered_chips(tmp_path):
    """A mask whose header has no EXTVER is not that of the first chip, as which astropy counts it."""
    images = [hdu(full(1), "SCI", header(70 * k), k) for k in (1, 2)]
    with pytest.raises(io.FileError, match=r"can't be told which of the images \[SCI,1\], \[SCI,2\] \[MASK,1\] belong"):
        io.inputs(write(tmp_path / "x.fits", *images, hdu(spotted(), "MASK")))
    (first, second) = io.read(write(tmp_path / "x.fits", *images, hdu(spotted(), "MASK", None, 2)))
    assert (masked(first), masked(second)) == (0, 1)


def test_numbers_in_names(tmp_path, caplog):
    """SCI1 and ERR1 belong together, as do ccd02 and ccd02_mask; chips without what others have are told of."""
    numbered = [hdu(full(1), f"SCI{k}", header(70 * k)) for k in (1, 2, 3)] + [
        hdu(full(k), f"ERR_{k}") for k in (3, 1, 2)
    ]
    assert [float(m["err"][0, 0]) for m in io.read(write(tmp_path / "x.fits", *numbered))] == [1, 2, 3]
    extensions = [hdu(full(1), f"ccd{k:02d}", header(70 * k)) for k in (1, 2, 3)]
    extensions += [hdu(full(k), f"ccd{k:02d}.weight") for k in (3, 1, 2)] + [hdu(spotted(), "mask_ccd02")]
    models = io.read(write(tmp_path / "y.fits", *extensions))
    assert [float(1 / m["var_rnoise"][0, 0]) for m in models] == pytest.approx([1, 2, 3])
    assert [masked(m) for m in models] == [0, 1, 0]
    assert "1 of its 3 exposures have a mask" in caplog.text
    parts = (("SCI", 1), ("RMS", 2), ("FLG", 0))
    extensions = [
        hdu(full(value + k, "f4" if value else "i2"), f"CCDID 1-{k}.{name}", header(70 * k) if name == "SCI" else None)
        for k in (1, 2)
        for name, value in parts[::-1]
    ]
    models = io.read(write(tmp_path / "z.fits", *extensions))
    assert [(m["data"][0, 0], m["err"][0, 0], m["dq"][0, 0]) for m in models] == [(2, 3, 1), (3, 4, 2)]


@pytest.mark.parametrize("count", [1, 2])
def test_what_cannot_be_told(tmp_path, count):
    """Where it can't be told which image an error belongs to, that is an error; the user can say that it is none."""
    extensions = [hdu(full(1), "SCI", header(70 * k)) for k in range(3)] + [hdu(full(2), "ERR")] * count
    path = write(tmp_path / "x.fits", *extensions)
    with pytest.raises(io.FileError, match=r"x\.fits: it can't be told which of the images \[1\], \[2\], \[3\]"):
        io.inputs(path)


def test_chips_of_several_shapes(tmp_path):
    """What belongs to a chip has its shape."""
    extensions = [hdu(full(1), "SCI", header()), hdu(full(1)[:9], "SCI", header(70)), hdu(full(2), "ERR")]
    path = write(tmp_path / "x.fits", *extensions, hdu(full(2)[:8], "ERR"))
    with pytest.raises(io.FileError, match=r"\(8, 64\), expected that of the image in \[2\], \(9, 64\)"):
        io.inputs(path)


# What the user says


def test_extensions_of_the_user(tmp_path):
    """Exposures are those that the user names, by number, name, pattern or EXTVER."""
    path = write(tmp_path / "x.fits", *chips(["ccd1", "ccd2", "aux3"]), hdu(star(), "SCI", header(300), 7))
    for ext, names in (
        ("ccd1", ["CCD1,1"]),
        ("CCD*", ["CCD1,1", "CCD2,1"]),
        ([3, "ccd2"], ["AUX3,1", "CCD2,1"]),
        ("SCI,7", ["SCI,7"]),
        ("2", ["CCD2,1"]),
        (np.int64(2), ["CCD2,1"]),
        (("SCI", 7), ["SCI,7"]),
        (["ccd1", 3], ["CCD1,1", "AUX3,1"]),
    ):
        found = io.inputs(path, reading=io.Reading(ext=ext))
        assert [image.name for image in found] == [f"x.fits[{name}]" for name in names]
        assert gpures.mosaic(path, ext=ext, **QUIET).added == [f"x.fits[{name}]" for name in names]
    with pytest.raises(io.FileError, match=r"x\.fits: there is no image 'ccd9' in it, as was asked for; images: \["):
        gpures.mosaic(path, ext="ccd9", **QUIET)


def test_masks_and_weights_of_the_user(tmp_path, caplog):
    """Extensions that the user names take the place of those that are masks and weights by their names."""
    extensions = [
        hdu(spotted(), "MASK"),
        hdu(full(4), "WHT"),
        hdu(spotted(6, "i2", (8, 8)), "odd"),
        hdu(full(3), "sky"),
    ]
    path = write(tmp_path / "x.fits", *extensions, primary=star(), head=header())
    (model,) = io.read(path, reading=io.Reading(mask_ext="odd", weight_ext=4))
    assert np.argwhere(np.ma.getmaskarray(model["data"])).tolist() == [[8, 8]]
    assert model["var_rnoise"][0, 0] == pytest.approx(1 / 3)
    assert "not read" not in caplog.text
    for bits, count in ((6, 1), (2, 1), (1, 0), ("1+8", 0), ("2+8", 1)):
        (model,) = io.read(path, reading=io.Reading(mask_ext="odd", bad_bits=bits))
        assert masked(model) == count
    path = write(tmp_path / "y.fits", hdu(full(4), "RMS"), hdu(full(5), "WHT"), primary=star(), head=header())
    (model,) = io.read(path, reading=io.Reading(weight_ext="WHT"))
    assert model["var_rnoise"][0, 0] == pytest.approx(0.2)


def test_bad_bits_of_flags(tmp_path):
    """Bad bits are those of DQ, too, whatever else is flagged; beside good bits they are one too many."""
    dq = full(0, "i2")
    dq[5, :10], dq[6, :10] = 4, 8
    path = write(tmp_path / "x.fits", hdu(dq, "FLAGS"), primary=full(1), head=header())
    for bits, count in ((4, 10), (12, 20), (0, 0), (None, 20)):
        made = gpures.mosaic(path, output_wcs=path, **({} if bits is None else {"bad_bits": bits}), **QUIET)
        assert np.count_nonzero(made.model["wht"] == 0) == count
    with pytest.raises(ValueError, match="'good_bits' and 'bad_bits' say the same"):
        gpures.mosaic(path, bad_bits=4, good_bits=8, **QUIET)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("ext", 1.5),
        ("ext", -1),
        ("ext", [""]),
        ("mask_ext", True),
        ("weight_ext", [None]),
        ("plane", -1),
        ("plane", "1"),
        ("masks", 3),
        ("weights", ""),
        ("bad_bits", "many"),
        ("bad_bits", -4),
    ],
)
def test_what_cannot_be_said(argument, value):
    """What is said about reading is checked before any file is read, by its name."""
    with pytest.raises((TypeError, ValueError), match=f"'{argument}' must be"):
        gpures.mosaic("nowhere.fits", **{argument: value}, **QUIET)


def test_files_whose_images_are_known(tmp_path):
    """ASDF files and those of JWST have one image: extensions of them can't be named."""
    path = write(tmp_path / "x.fits", primary=full(1), head=header())
    gpures.mosaic(path, tmp_path / "m.asdf", **QUIET)
    for name, value in (("ext", 1), ("mask_ext", "MASK"), ("weights", "*.w.fits")):
        with pytest.raises(io.FileError, match=rf"m\.asdf: it is a file of ASDF, .* '{name}' is not for it"):
            io.inputs(tmp_path / "m.asdf", reading=io.Reading(**{name: value}))
    assert len(io.inputs(tmp_path / "m.asdf", reading=io.Reading(masks="none", plane=3))) == 1


def test_command_line(tmp_path, capsys):
    """The options on the command line say the same."""
    from gpures.cli import main

    path = write(tmp_path / "x.fits", *chips(["a", "b"]), hdu(spotted(), "odd"), hdu(full(9), "w"))
    options = [
        "--ext",
        "a",
        "--ext",
        "2",
        "--mask-ext",
        "odd",
        "--weight-ext",
        "w",
        "-q",
        "-o",
        str(tmp_path / "m.fits"),
    ]
    assert main(["mosaic", str(path), *options]) == 2
    assert "it can't be told which of the images [A,1], [B,1] [ODD,1] belong to" in capsys.readouterr().err
    write(path, hdu(star(), "a", header()), hdu(spotted(), "odd"), hdu(full(9), "w"), hdu(star(), "b", header(70)))
    assert main(["mosaic", str(path), "--ext", "a", *options[4:]]) == 0
    assert fits.getheader(tmp_path / "m.fits")["NEXPOS"] == 1
    assert fits.getdata(tmp_path / "m.fits", "WHT").max() == 9
    assert (fits.getdata(tmp_path / "m.fits", "WHT") == 0).sum() == 1
