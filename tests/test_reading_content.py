"""That a plane is there does not mean that it says something, and pixels of which nothing is known have no weight."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from fits_forms import QUIET, full, hdu, header, masked, spotted, star, write

import gpures
from gpures import io

NONE = {"0": 0.0, "NaN": np.nan, "-1": -1.0, "1e30": 1e30}


def one_image(path, data=None, **planes):
    """An image and what lies beside it, by name: a number stands for a plane of it."""
    extensions = [hdu(full(value) if np.isscalar(value) else value, name) for name, value in planes.items()]
    return write(path, *extensions, primary=full(1) if data is None else data, head=header())


# Planes that say nothing


@pytest.mark.parametrize("value", NONE)
@pytest.mark.parametrize("name", ["ERR", "VAR", "VAR_RNOISE"])
def test_no_errors(tmp_path, caplog, name, value):
    """An error that says nothing is not taken, with a warning, and the image is in the mosaic as it is."""
    path = one_image(tmp_path / "x.fits", **{name: NONE[value]})
    (model,) = io.read(path)
    assert model["var_rnoise"] is model["err"] is None
    assert f"x.fits[PRIMARY]: [{name},1] is " in caplog.text
    assert "everywhere: it is not taken" in caplog.text
    made = gpures.mosaic(path, output_wcs=path, **QUIET)
    np.testing.assert_array_equal(made.model["data"], 1)


@pytest.mark.parametrize("value", ["0", "NaN", "-1"])
@pytest.mark.parametrize("name", ["WHT", "IVAR"])
def test_no_weights(tmp_path, caplog, name, value):
    """The same of weights."""
    path = one_image(tmp_path / "x.fits", **{name: NONE[value]})
    made = gpures.mosaic(path, output_wcs=path, **QUIET)
    np.testing.assert_array_equal(made.model["data"], 1)
    assert f"[{name},1] is" in caplog.text


@pytest.mark.parametrize(
    ("planes", "variance"),
    [
        ({"ERR": 0.0, "WHT": 4.0}, 0.25),
        ({"ERR": np.nan, "VAR": 3.0, "WHT": 4.0}, 3.0),
        ({"ERR": np.nan, "VAR": 1e30, "IVAR": -1.0, "WHT": 4.0}, 0.25),
        ({"VAR_RNOISE": np.nan, "VAR_POISSON": np.nan, "VAR_FLAT": np.nan, "ERR": np.nan, "WHT": 4.0}, 0.25),
        ({"VAR_RNOISE": np.nan, "VAR_POISSON": 2.0, "ERR": 3.0}, 9.0),  # the error has that of the photons, too
        ({"RMS": 0.0, "SIGMA": 3.0}, 9.0),
    ],
)
def test_next_one(tmp_path, caplog, planes, variance):
    """Where the first says nothing, the next one in the order of trust is taken."""
    path = one_image(tmp_path / "x.fits", **planes)
    (model,) = io.read(path)
    np.testing.assert_allclose(model["var_rnoise"], variance, rtol=1e-6)
    assert model["var_poisson"] is model["var_flat"] is None
    assert "its variances are made of" in caplog.text
    model = io.inputs(path)[0].read(["var_rnoise"])
    np.testing.assert_allclose(model["var_rnoise"], variance, rtol=1e-6)


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("weight", ["WHT", "IVAR"])
def test_a_dead_chip(tmp_path, caplog, weight, beside):
    """A weight of zeros beside those of other chips, which say something, leaves its chip out."""
    chips = [hdu(full(1.0 + k), "SCI", header(x=70.0 * k), k + 1) for k in range(3)]
    weights = [hdu(full(value), weight, ver=k + 1) for k, value in enumerate((2.0, 0.0, 3.0))]
    path = write(tmp_path / "x.fits", *chips, *([] if beside else weights))
    if beside:
        write(tmp_path / f"x.{weight.lower()}.fits", *weights)
    made = gpures.mosaic(path, **QUIET)
    data = made.model["data"]
    np.testing.assert_allclose(sorted(set(data[np.isfinite(data)].tolist())), [1.0, 3.0], rtol=1e-6)
    assert [name for name, _ in made.skipped] == ["x.fits[SCI,2]"]
    assert "none of its 4096 pixels can be used: 4096 left out by a mask, or for lack of a weight" in caplog.text


def test_no_photons(tmp_path):
    """Variances of photons and flat field may be zero."""
    (model,) = io.read(one_image(tmp_path / "x.fits", VAR_RNOISE=2.0, VAR_POISSON=0.0, VAR_FLAT=np.nan))
    assert (model["var_rnoise"][0, 0], model["var_poisson"][0, 0], model["var_flat"]) == (2, 0, None)


def test_infinite_errors(tmp_path, caplog):
    """An infinite error says that there is no weight."""
    (model,) = io.read(one_image(tmp_path / "x.fits", ERR=np.inf))
    assert np.isinf(model["var_rnoise"]).all()
    assert "x.fits[PRIMARY] has no good pixel: of its 4096, 4096 have no valid variance" in caplog.text


def test_weights_of_the_user(tmp_path):
    """Weights that the user names, and that say nothing, are an error."""
    path = one_image(tmp_path / "x.fits", odd=0.0, WHT=1.0)
    with pytest.raises(io.FileError, match=r"x\.fits: \[ODD,1\] is 0 everywhere, and no weight for x\.fits\[PRIMARY\]"):
        gpures.mosaic(path, weight_ext="odd", **QUIET)


@pytest.mark.parametrize(
    ("data", "planes", "words"),
    [
        (full(np.nan), {}, "4096 hold no number"),
        (full(-np.inf), {}, "4096 hold no number"),
        (full(1), {"MASK": full(1, "u1")}, "4096 are left out by a mask"),
        (
            np.where(np.arange(64) < 32, np.nan, 1).astype("f4") * full(1),
            {"WHT": np.where(np.arange(64) < 32, 1, -1).astype("f4") * full(1)},
            "2048 hold no number, 2048 are left out by a mask or for lack of a weight",
        ),
    ],
)
def test_no_good_pixel(tmp_path, caplog, data, planes, words):
    """An image without any good pixel is told of, with the reasons; alone, it makes no mosaic."""
    path = one_image(tmp_path / "x.fits", data, **planes)
    io.read(path)
    assert f"x.fits[PRIMARY] has no good pixel: of its 4096, {words}" in caplog.text
    with pytest.raises(ValueError, match=r"x\.fits") as caught:
        gpures.mosaic(path, tmp_path / "m.fits", **QUIET)
    assert ("by a mask" in words) == ("left out by a mask, or for lack of a weight" in str(caught.value))
    assert not (tmp_path / "m.fits").exists()


# Single pixels


@pytest.mark.parametrize("options", [{}, {"good_bits": None}, {"good_bits": "~4", "weight_type": "exptime"}])
@pytest.mark.parametrize("form", ["fits", "asdf"])
def test_pixels_without_a_number(tmp_path, form, options):
    """Infinite pixels have no weight, nor have NaN, whatever good bits say."""
    data = full(1)
    data[1, 2], data[3, 4], data[5, 6] = np.inf, -np.inf, np.nan
    path = one_image(tmp_path / "x.fits", data)
    if form == "asdf":
        import asdf

        gpures.mosaic(one_image(tmp_path / "y.fits"), tmp_path / "x.asdf", output_wcs=path, **QUIET)
        with asdf.open(tmp_path / "x.asdf", lazy_load=False, memmap=False) as file:
            tree = {"wcs": file.tree["wcs"], "data": data}
        path = tmp_path / "z.asdf"
        asdf.AsdfFile(tree).write_to(path)
    made = gpures.mosaic(path, output_wcs=tmp_path / "x.fits", **options, **QUIET)
    assert np.argwhere(made.model["wht"] == 0).tolist() == [[1, 2], [3, 4], [5, 6]]
    assert np.nanmax(made.model["data"]) == np.nanmin(made.model["data"]) == 1


@pytest.mark.parametrize("name", ["WHT", "IVAR"])
@pytest.mark.parametrize("weight_type", ["ivm", "exptime"])
@pytest.mark.parametrize("variances", [True, False])
def test_pixels_without_weight(tmp_path, name, weight_type, variances):
    """A pixel whose weight is zero, negative or NaN is left out, whatever makes the weights."""
    weight = full(4)
    weight[1, :3] = 0, -1, np.nan
    path = one_image(tmp_path / "x.fits", star(5, 20, level=1), **{name: weight})
    made = gpures.mosaic(path, output_wcs=path, weight_type=weight_type, enable_var=variances, **QUIET)
    assert np.argwhere(made.model["wht"] == 0).tolist() == [[1, 0], [1, 1], [1, 2]]
    assert made.model["wht"].min() == 0
    assert made.model["wht"].max() == (4 if weight_type == "ivm" else 30)


@pytest.mark.parametrize("name", ["ERR", "VAR", "VAR_RNOISE"])
def test_pixels_without_error(tmp_path, name):
    """A pixel whose error is zero, negative, NaN or a number that stands for none has no weight."""
    error = full(4)
    error[1, :5] = 0, -1, np.nan, 1e30, np.inf
    path = one_image(tmp_path / "x.fits", **{name: error})
    made = gpures.mosaic(path, output_wcs=path, **QUIET)
    assert np.argwhere(made.model["wht"] == 0).tolist() == [[1, k] for k in range(5)]
    np.testing.assert_allclose(made.model["wht"][2:], 1 / (16 if name == "ERR" else 4), rtol=1e-6)


# Mosaics of gpures


@pytest.mark.parametrize("suffix", [".fits", ".asdf"])
@pytest.mark.parametrize("options", [{}, {"fillval": "0", "propagate_dq": True}, {"weight_type": "exptime"}])
def test_a_mosaic_as_an_input(tmp_path, suffix, options):
    """A mosaic of a plain image is an image with a weight; pixels that nothing is in count as none."""
    path = one_image(tmp_path / "x.fits", star(level=1))
    first = gpures.mosaic(path, tmp_path / f"m{suffix}", rotation=20, **options, **QUIET)
    again = gpures.mosaic(
        tmp_path / f"m{suffix}", output_wcs=tmp_path / f"m{suffix}", fillval="0", weight_type="exptime", **QUIET
    )
    np.testing.assert_allclose(np.nan_to_num(first.model["data"]), again.model["data"], rtol=1e-6)
    np.testing.assert_array_equal(first.model["wht"] > 0, again.model["wht"] > 0)


def test_a_mosaic_with_planes_of_nothing(tmp_path, caplog):
    """One whose variances are NaN, as gpures wrote them once, is an image with a weight."""
    gpures.mosaic(one_image(tmp_path / "x.fits", star(level=1)), tmp_path / "m.fits", **QUIET)
    with fits.open(tmp_path / "m.fits") as hdus:
        shape = hdus["SCI"].shape
        for name in ("ERR", "VAR_RNOISE", "VAR_POISSON", "VAR_FLAT"):
            hdus.append(fits.ImageHDU(np.full(shape, np.nan, "f4"), name=name))
        hdus.writeto(tmp_path / "old.fits")
    made = gpures.mosaic(tmp_path / "old.fits", output_wcs=tmp_path / "m.fits", **QUIET)
    assert np.nansum(made.model["data"]) == pytest.approx(1000 + 4096, rel=1e-5)
    assert "old.fits[SCI,1]: its variances are made of [WHT,1]" in caplog.text


# Integers


INTEGERS = {"u1": 0, "i1": -128, "i2": 0, "u2": 1 << 15, "i4": 0, "u4": 1 << 31, "i8": 0, "u8": 1 << 63}
PLAIN = [(dtype, False) for dtype in INTEGERS] + [(dtype, True) for dtype in INTEGERS if dtype[1] != "8"]


def blank_file(path, dtype, packed, name):
    """An image of integers whose pixels of value 77 are blank, and an image beside it."""
    values = (np.arange(4096).reshape(64, 64) % 100 + 20).astype(dtype)
    made = hdu(values, name, header() if name == "SCI" else None, packed=packed)
    if packed:
        made.header["BLANK"] = 77 - INTEGERS[dtype]
    write(path, made, *([] if name == "SCI" else [hdu(full(1), "SCI", header())]))
    if not packed:
        fits.setval(path, "BLANK", value=77 - INTEGERS[dtype], ext=1)
    return values


@pytest.mark.filterwarnings("ignore::astropy.io.fits.verify.VerifyWarning")
@pytest.mark.parametrize(("dtype", "packed"), PLAIN)
def test_blank_pixels(tmp_path, dtype, packed):
    """No blank pixel of integers of any size, signed or not, plain or in tiles, is data; the others are unchanged."""
    values = blank_file(tmp_path / "x.fits", dtype, packed, "SCI")
    (image,) = io.inputs(tmp_path / "x.fits")
    model = image.read()
    np.testing.assert_array_equal(np.ma.getmaskarray(model["data"]), values == 77)
    np.testing.assert_array_equal(np.ma.compressed(model["data"]), values[values != 77])
    assert np.count_nonzero(model["dq"]) == masked(model)
    assert image.nbytes == model["data"].nbytes + model["dq"].nbytes
    made = gpures.mosaic(tmp_path / "x.fits", output_wcs=tmp_path / "x.fits", **QUIET)
    np.testing.assert_array_equal(made.model["wht"] == 0, values == 77)


@pytest.mark.filterwarnings("ignore::astropy.io.fits.verify.VerifyWarning")
@pytest.mark.parametrize(("dtype", "packed"), PLAIN)
def test_blank_pixels_of_masks(tmp_path, dtype, packed):
    """A blank pixel of a mask, or of flags, is a bad one."""
    values = blank_file(tmp_path / "x.fits", dtype, packed, "MASK")
    (model,) = io.read(tmp_path / "x.fits", reading=io.Reading(bad_bits=64))
    np.testing.assert_array_equal(np.ma.getmaskarray(model["data"]), (values == 77) | ((values.astype(int) & 64) != 0))
    values = blank_file(tmp_path / "y.fits", dtype, packed, "DQ")
    (model,) = io.read(tmp_path / "y.fits")
    np.testing.assert_array_equal(model["dq"], np.where(values == 77, 1, values.astype(int)))


@pytest.mark.parametrize("packed", [False, True])
def test_blank_pixels_with_a_scale(tmp_path, packed):
    """BSCALE and BZERO, and pixels that are blank."""
    stored = np.arange(4096, dtype="i2").reshape(64, 64)
    write(tmp_path / "x.fits", hdu(stored, "SCI", header(), packed=packed))
    with fits.open(
        tmp_path / "x.fits", mode="update", do_not_scale_image_data=True, disable_image_compression=True
    ) as hdus:
        hdus[1].header.update({"BLANK": 7, "BSCALE": 0.5, "BZERO": 3.0})
    (model,) = io.read(tmp_path / "x.fits")
    assert np.argwhere(np.ma.getmaskarray(model["data"])).tolist() == [[0, 7]]
    np.testing.assert_array_equal(np.ma.compressed(model["data"]), np.delete(stored.ravel(), 7) * 0.5 + 3)


def test_masks_of_numbers(tmp_path):
    """A mask of real numbers leaves out what is not zero, NaN too."""
    mask = spotted(0.5, "f4")
    mask[6, 7] = np.nan
    assert masked(io.read(one_image(tmp_path / "x.fits", MASK=mask))[0]) == 2
    assert masked(io.read(tmp_path / "x.fits", reading=io.Reading(bad_bits=2))[0]) == 1


def test_flags_of_whole_numbers(tmp_path):
    """Flags that lie in the file as real numbers are flags where all of them are whole; of NaN pixels, 1."""
    dq = spotted(4, "f4")
    dq[6, 7] = np.nan
    (model,) = io.read(one_image(tmp_path / "x.fits", DQ=dq))
    assert (model["dq"][3, 4], model["dq"][6, 7], np.count_nonzero(model["dq"])) == (4, 1, 2)


def test_masks_whose_zeros_are_bad(tmp_path, caplog):
    """A mask that leaves out most of an image is told of."""
    io.read(one_image(tmp_path / "x.fits", MASK=1 - spotted(1)))
    assert "x.fits[PRIMARY]: the mask [MASK,1] leaves out 100 % of the pixels" in caplog.text
    for rows, is_told in ((38, True), (26, False)):
        caplog.clear()
        mask = (np.arange(64) < rows).astype("u1")[:, None] * full(1, "u1")
        io.read(one_image(tmp_path / "x.fits", MASK=mask))
        assert ("leaves out 59 % of the pixels" in caplog.text) == ("leaves out" in caplog.text) == is_told


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("good_bits", [0, None])
def test_models_in_memory(tmp_path, value, good_bits):
    """Pixels of models that are no number have no weight in a mosaic, and the models stay as they are."""
    path = one_image(tmp_path / "x.fits")
    (model,) = io.read(path)
    model["data"] = full(1)
    model["data"][3, 4] = value
    kept = model["data"].copy()
    for inputs in ([model], iter([model])):
        made = gpures.mosaic(inputs, output_wcs=path, good_bits=good_bits, **QUIET)
        assert np.argwhere(made.model["wht"] == 0).tolist() == [[3, 4]]
        np.testing.assert_array_equal(model["data"], kept)
        assert type(model["data"]) is np.ndarray
