"""Blotting: an image interpolated at the places of a pixel map."""

from __future__ import annotations

import numpy as np
import pytest
from tolerances import EPS32, EPS64, assert_close

import gpures
from gpures.exposure.structs import INTERPOLATIONS

DRIZZLE_NAMES = {"lanczos3": "lan3", "lanczos5": "lan5"}  # of drizzle 2.2

# The names that interpolants have in the installed version of the package, but for "sinc", which reads beyond its
# tables there.
COMPARED = [name for name in INTERPOLATIONS if name != "sinc"]


# ---- the definition ----------------------------------------------------------------------------------------------


def polynomial(d):
    """Factors of the polynomial through the pixels at the distances d, for its value at 0: Lagrange's form."""
    factors = np.ones_like(d)
    for k in range(d.shape[-1]):
        for m in range(d.shape[-1]):
            if m != k:
                factors[..., k] *= d[..., m] / (d[..., m] - d[..., k])
    return factors


BORDER = 1e-6  # what lies on a border to so many pixels, or steps of a table, lies on it


def lanczos(order):
    """Window read from a table of step 0.003, at the entry below."""

    def factors(d):
        entry = np.floor(np.abs(d) / 0.003 + BORDER) * 0.003
        return np.where(entry <= order, np.sinc(entry) * np.sinc(entry / order), 0.0)

    return factors


def tapered_sinc(d):
    """Normalised sinc of 15 pixels; its taper depends on the pixel alone."""
    s = (np.pi / 2 / 7 * np.arange(-7, 8)) ** 2
    factors = np.sinc(d) * (1 - 0.49670 * s + 0.03705 * s**2) ** 2
    return factors / factors.sum(axis=-1, keepdims=True)


# Pixels read, counted from the one before (or, for odd numbers of them, the nearest one); their factors by distance;
# and how the image goes on beyond its edges, as numpy.pad has it.
DEFINITION = {
    "nearest": (1, np.ones_like, {"mode": "edge"}),
    "linear": (2, lambda d: 1 - np.abs(d), {"mode": "edge"}),
    "poly3": (4, polynomial, {"mode": "reflect", "reflect_type": "odd"}),
    "poly5": (6, polynomial, {"mode": "reflect", "reflect_type": "odd"}),
    "lanczos3": (6, lanczos(3), {"mode": "constant"}),
    "lanczos5": (10, lanczos(5), {"mode": "constant"}),
    "sinc": (15, tapered_sinc, {"mode": "edge"}),
}


def truth(data, pixmap, interp, fillval=0.0, iscale=1.0):
    """The definition in float64: the values, and the sum of magnitudes that they are made of."""
    taps, factors, how = DEFINITION[interp]
    margin = 8
    padded = np.pad(np.asarray(data, float), margin, **how)
    x, y = pixmap[..., 0], pixmap[..., 1]
    on_x, on_y = ((v >= -BORDER) & (v < n - BORDER) for v, n in ((x, data.shape[1]), (y, data.shape[0])))
    on = on_x & on_y
    x, y = np.where(on, x, 0.0), np.where(on, y, 0.0)
    first_x, first_y = (
        np.floor(v + 0.5 + BORDER) - taps // 2 if taps % 2 else np.floor(v) - (taps // 2 - 1) for v in (x, y)
    )
    columns, rows = (first[..., None] + np.arange(taps) for first in (first_x, first_y))
    across, up = factors(columns - x[..., None]), factors(rows - y[..., None])
    rows, columns = rows.astype(int) + margin, columns.astype(int) + margin
    read = padded[rows[..., :, None], columns[..., None, :]]
    terms = up[..., :, None] * across[..., None, :] * read * iscale
    return np.where(on, terms.sum((-1, -2)), fillval), np.abs(terms).sum((-1, -2))


def places(shape, size=(40, 53), seed=1):
    """A pixel map that reaches beyond an image on all sides, with some places on the centres of its pixels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]].astype(float)
    x, y = x * (shape[1] + 4) / size[1] - 2, y * (shape[0] + 4) / size[0] - 2
    pixmap = np.stack([0.98 * x - 0.1 * y, 0.1 * x + 0.98 * y], -1) + rng.uniform(-0.1, 0.1, (*size, 2))
    pixmap[::7, ::5] = np.round(pixmap[::7, ::5])
    return pixmap


# A sum of up to 225 products in float64, whose factors (of series, or of a rotation) are good to 1e-12; then rounded
# to float32.
def bound(value, magnitude):
    return 0.51 * EPS32 * np.abs(value) + 1e-11 * magnitude


@pytest.mark.parametrize("interp", INTERPOLATIONS)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", ">f4", ">i4"])
def test_definition(own_backend, interp, dtype):
    """Every interpolant is what its definition says, inside and beyond each edge, from data of any type."""
    shape = (21, 34)
    data = (1000 * np.random.default_rng(0).normal(size=shape)).astype(dtype)
    pixmap = places(shape)
    got = gpures.blot_image(data, pixmap, interp=interp, fillval=-3.5, iscale=0.7, backend=own_backend)
    assert got.dtype == np.float32
    value, magnitude = truth(data, pixmap, interp, -3.5, 0.7)
    assert_close(got, value, bound(value, magnitude), interp)


@pytest.mark.parametrize(("interp", "degree"), [("linear", 1), ("poly3", 3), ("poly5", 5)])
def test_polynomials_are_reproduced(own_backend, interp, degree):
    """A polynomial interpolant reproduces polynomials of its degree, where it reads none but pixels of the image."""
    y, x = np.mgrid[:20, :20] / 10.0
    pixmap = places((20, 20))
    x_at, y_at = pixmap[..., 0], pixmap[..., 1]
    inside = (np.minimum(x_at, y_at) >= 2) & (np.maximum(x_at, y_at) < 17)
    for px, py in [(degree, 0), (0, degree), (degree, degree)]:
        got = gpures.blot_image(x**px * y**py, pixmap, interp=interp, backend=own_backend)
        expected = (x_at / 10) ** px * (y_at / 10) ** py
        np.testing.assert_allclose(got[inside], expected[inside], rtol=EPS32, atol=EPS32)


@pytest.mark.parametrize("interp", ["poly3", "poly5"])
def test_ramps_go_on_at_every_edge(own_backend, interp):
    """A ramp is a ramp up to the last place on the image, at all four edges (upper ones are wrong in drizzle)."""
    y, x = np.mgrid[:12, :15].astype(float)
    pixmap = np.stack(np.meshgrid(np.arange(0, 15, 0.25), np.arange(0, 12, 0.25)), -1)
    got = gpures.blot_image(3 * x - 2 * y, pixmap, interp=interp, backend=own_backend)
    np.testing.assert_allclose(got, 3 * pixmap[..., 0] - 2 * pixmap[..., 1], rtol=EPS32, atol=1e-13)


@pytest.mark.also_on_ptx
@pytest.mark.parametrize("interp", [name for name in INTERPOLATIONS if not name.startswith("lanczos")])
def test_pixels_are_kept(own_backend, interp):
    """At the centres of the pixels an interpolant gives the pixels (but for Lanczos, whose table has no entry at 1)."""
    data = np.random.default_rng(0).normal(size=(17, 19)).astype("f4")
    y, x = np.mgrid[:17, :19].astype(float)
    got = gpures.blot_image(data, np.stack([x, y], -1), interp=interp, backend=own_backend)
    np.testing.assert_allclose(got, data, rtol=EPS32, atol=1e-12)


@pytest.mark.parametrize("interp", INTERPOLATIONS)
def test_what_lies_on_an_image(own_backend, interp):
    """Places count from the first pixel's centre to just below one beyond the last; others, NaN too, are filled."""
    data = np.full((9, 7), 5.0, "f4")
    x = np.array([-0.01, 0.0, 6.999, 7.0, np.nan, np.inf, -np.inf, 1e300])
    got = gpures.blot_image(data, np.stack([x, np.full(8, 4.0)], -1)[None], interp=interp, fillval=np.nan)
    np.testing.assert_array_equal(np.isfinite(got[0]), [False, True, True, False, False, False, False, False])
    y = np.array([-0.01, 0.0, 8.999, 9.0])
    got = gpures.blot_image(data, np.stack([np.full(4, 3.0), y], -1)[None], interp=interp, fillval=-1.0)
    np.testing.assert_array_equal(got[0] == -1.0, [True, False, False, True])


@pytest.mark.parametrize("interp", INTERPOLATIONS)
def test_a_part_is_the_whole(own_backend, interp):
    """Far from the first pixel an image gives what a part of it gives near its own, by the definition in float64."""
    shape, (x0, y0) = (40, 30), (40_000, 3)
    rng = np.random.default_rng(7)
    whole = np.zeros((46, 40_030), "f4")
    part = whole[y0 : y0 + 40, x0:] = rng.normal(size=shape)
    x, y = rng.uniform(10, 20, (60, 50)), rng.uniform(10, 28, (60, 50))
    x[:30], y[:30] = np.round(x[:30], 1), np.round(y[:30], 2)  # some on the steps of tables, and between two pixels
    own, moved = np.stack([x, y], -1), np.stack([x + x0, y + y0], -1)
    of_part = gpures.blot_image(part.astype("f4"), own, interp=interp, backend=own_backend)
    of_whole = gpures.blot_image(whole, moved, interp=interp, backend=own_backend)
    value, magnitude = truth(part.astype("f4"), own, interp)
    # Places are good to a few units of the last digit of 40,000, slopes below 4 per pixel and unit of the factors.
    error = bound(value, magnitude) + 4 * EPS64 * 40_000 * 4 * magnitude
    assert_close(of_whole, value, error, interp)
    assert_close(of_part, of_whole, 2 * error, interp)


def test_borders_are_met_to_the_precision_of_pixel_maps(own_backend):
    """A place that is off a border by rounding is on it; one that is off by more is not."""
    data = np.arange(12.0, dtype="f4").reshape(3, 4)
    for off, is_on in ((3e-7, True), (3e-6, False)):
        x = np.array([-off, 0.5 - off, 1.5 - off, 4.0 - off])
        got = gpures.blot_image(
            data, np.stack([x, np.ones(4)], -1)[None], interp="nearest", fillval=-1.0, backend=own_backend
        )
        np.testing.assert_array_equal(got[0], [4.0, 5.0, 6.0, -1.0] if is_on else [-1.0, 4.0, 5.0, 7.0])
        for interp in INTERPOLATIONS:
            x = np.array([[[-off, 1.0]], [[0.0, 1.0]]])
            got = gpures.blot_image(data.repeat(2, 0), x, interp=interp, fillval=-1.0, backend=own_backend)
            assert (got[0] != -1.0) == is_on, interp
            np.testing.assert_allclose(got[0], got[1] if is_on else -1.0, atol=1e-5)


# ---- the drizzle package -------------------------------------------------------------------------------------------


def by_drizzle(data, pixmap, interp, **settings):
    """The package's image, by the name that its version has for an interpolant."""
    resample = pytest.importorskip("drizzle.resample")
    version = pytest.importorskip("drizzle").__version__
    name = DRIZZLE_NAMES.get(interp, interp) if version < "3" else interp
    return resample.blot_image(data, pixmap, interp=name, **settings)


@pytest.mark.parametrize("interp", COMPARED)
def test_parity_with_drizzle(interp):
    """Where drizzle is right, its image is ours to float32's precision."""
    shape = (40, 50)
    data = np.random.default_rng(0).normal(size=shape).astype("f4")
    pixmap = places(shape, (60, 70))
    # Not where it reads rows that are not there: see the list in blot_image's docstring.
    pixmap = pixmap[(pixmap[..., 1] < shape[0] - 3.0).all(axis=1)]
    pixmap[..., 0] = np.minimum(pixmap[..., 0], shape[1] - 0.6)
    expected = by_drizzle(data, pixmap, interp, fillval=-9.0, iscale=2.5)
    in_float32 = pixmap.astype(np.float32).astype(float)  # as it takes them
    _, magnitude = truth(data, in_float32, interp, -9.0, 2.5)
    error = 20 * EPS32 * magnitude  # some 20 roundings, in float32, of each term
    for map_given, below in ((in_float32, 0.0), (pixmap, 99.0)):
        got = gpures.blot_image(
            data, map_given, interp=interp, fillval=-9.0, iscale=2.5, float32_below=below, backend="cpu"
        )
        assert_close(got, expected, error, interp)


def test_float32_below(own_backend):
    """Coordinates below a bound are rounded to float32, and others are not."""
    ramp = 2.0**20 * (np.tile(np.arange(200.0), (4, 1)) - 90.0)  # steep, so that the places are seen in the values
    x = np.linspace(60.0, 120.0, 1001)
    pixmap = np.stack([x, np.full(1001, 1.1)], -1)[None]
    got = gpures.blot_image(ramp, pixmap, interp="linear", float32_below=100.0, backend=own_backend)[0]
    expected = 2.0**20 * (np.where(x < 100.0, x.astype("f4"), x) - 90.0)
    np.testing.assert_allclose(got, expected, rtol=EPS32, atol=1e-3)
    assert np.abs(got - 2.0**20 * (x - 90.0))[x < 100.0].max() > 1.0


def test_backend_drizzle_is_drizzle():
    """backend="drizzle" gives the package's image, by our names."""
    data = np.random.default_rng(0).normal(size=(40, 50)).astype("f4")
    pixmap = np.clip(places((40, 50)), 0, 36)
    for interp in COMPARED:
        got = gpures.blot_image(data, pixmap, interp=interp, backend="drizzle")
        np.testing.assert_array_equal(got, by_drizzle(data, pixmap, interp))


# ---- arrays ----------------------------------------------------------------------------------------------------------


def test_output_in_place(own_backend):
    """An output of float32 is written to, contiguous or not; of another type it is copied."""
    data = np.random.default_rng(0).normal(size=(20, 30)).astype("f4")
    pixmap = places((20, 30))
    expected = gpures.blot_image(data, pixmap, backend=own_backend)
    for out in (np.empty((40, 53), "f4"), np.empty((53, 40), "f4").T, np.empty((80, 106), "f4")[::2, ::-2]):
        assert gpures.blot_image(data, pixmap, out_img=out, backend=own_backend) is out
        np.testing.assert_array_equal(out, expected)
    wide = np.zeros((40, 53))
    np.testing.assert_array_equal(gpures.blot_image(data, pixmap, out_img=wide, backend=own_backend), expected)
    assert not wide.any()


def test_inputs_of_any_layout(own_backend):
    """Strided and read-only inputs give what contiguous ones give, and are not changed."""
    data = np.random.default_rng(0).normal(size=(20, 30)).astype("f4")
    pixmap = places((20, 30))
    expected = gpures.blot_image(data, pixmap, backend=own_backend)
    strided = np.zeros((40, 60), "f4")
    strided[::2, ::2] = data
    turned = np.asfortranarray(pixmap)
    turned.setflags(write=False)
    got = gpures.blot_image(strided[::2, ::2], turned, backend=own_backend)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(turned, pixmap)


def unaligned(array):
    """A copy of an array, one byte beside where its type would have it."""
    memory = np.zeros(array.nbytes + 1, np.uint8)
    memory[1:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return memory[1:].view(array.dtype).reshape(array.shape)


def test_unaligned_arrays(own_backend):
    """Arrays at odd addresses, as in the fields of a file, are read and written to like others."""
    data = np.random.default_rng(0).normal(size=(20, 30))
    pixmap = places((20, 30))
    for dtype in ("f4", "f8", ">f4", "i2"):
        image, out = data.astype(dtype), unaligned(np.zeros((40, 53), "f4"))
        assert not any(array.flags.aligned for array in (unaligned(image), unaligned(pixmap), out))
        expected = gpures.blot_image(image, pixmap, backend=own_backend)
        got = gpures.blot_image(unaligned(image), unaligned(pixmap), out_img=out, backend=own_backend)
        assert got is out
        np.testing.assert_array_equal(got, expected, dtype)


@pytest.mark.also_on_ptx
def test_device_arrays(cuda):
    """Arrays on a GPU are used where they are, by "auto" too; other backends refuse them by name."""
    data = np.random.default_rng(0).normal(size=(20, 30)).astype("f4")
    pixmap = places((20, 30))
    expected = gpures.blot_image(data, pixmap, backend="cpu")
    there = gpures.blot_image(cuda.array(data), pixmap, to_host=False)
    assert isinstance(there, cuda.ndarray)
    np.testing.assert_allclose(there.get(), expected, rtol=EPS32, atol=1e-10)
    out = cuda.zeros(expected.shape, "f4")
    assert gpures.blot_image(data, cuda.array(pixmap), out_img=out, backend="cuda") is out
    np.testing.assert_array_equal(out.get(), there.get())
    odd = cuda.array(unaligned(data).base)[1:].view("f4").reshape(20, 30)
    np.testing.assert_array_equal(gpures.blot_image(odd, pixmap), there.get())
    with pytest.raises(ValueError, match="'out_img' can't be written to, as its elements do not lie"):
        gpures.blot_image(data, pixmap, out_img=odd, backend="cuda")
    with pytest.raises(TypeError, match="'pixmap' is on a GPU, and backend='cpu'"):
        gpures.blot_image(data, cuda.array(pixmap), backend="cpu")


@pytest.mark.parametrize("isa", ["avx512", "avx2", "baseline"])
def test_processors_and_threads(monkeypatch, isa):
    """Results do not depend on the number of threads, and on the processor's instructions only by rounding."""
    data = np.random.default_rng(0).normal(size=(40, 50))
    pixmap = places((40, 50))
    for interp in INTERPOLATIONS:
        monkeypatch.delenv("GPURES_ISA", raising=False)
        expected = gpures.blot_image(data, pixmap, interp=interp, backend="cpu")
        monkeypatch.setenv("GPURES_ISA", isa)
        monkeypatch.setenv("GPURES_NUM_THREADS", "1")
        one = gpures.blot_image(data, pixmap, interp=interp, backend="cpu")
        monkeypatch.setenv("GPURES_NUM_THREADS", "3")
        np.testing.assert_array_equal(gpures.blot_image(data, pixmap, interp=interp, backend="cpu"), one)
        np.testing.assert_allclose(one, expected, rtol=EPS32, atol=1e4 * EPS64)


# ---- arguments -----------------------------------------------------------------------------------------------------


def test_deprecated_arguments():
    """The arguments of before drizzle 2.2 do what they did, with a warning that says what to use."""
    data = np.random.default_rng(0).normal(size=(20, 30)).astype("f4")
    pixmap = places((20, 30))
    expected = gpures.blot_image(data, pixmap, iscale=3.0 / 0.25)
    with (
        pytest.warns(DeprecationWarning, match="'pix_ratio' is deprecated .* use iscale=1 / pix_ratio"),
        pytest.warns(DeprecationWarning, match="'exptime' is deprecated"),
        pytest.warns(DeprecationWarning, match="'output_pixel_shape' is deprecated"),
    ):
        got = gpures.blot_image(data, pixmap, 0.5, 3.0, (53, 40))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("names", [("lan3", "lanczos3"), ("lan5", "lanczos5")])
def test_names_of_both_versions(names):
    """The names of drizzle 2.2 and of 3.0 mean the same."""
    data, pixmap = np.random.default_rng(0).normal(size=(20, 30)), places((20, 30))
    older, newer = (gpures.blot_image(data, pixmap, interp=name) for name in names)
    np.testing.assert_array_equal(older, newer)


def test_scale_of_sinc():
    """`sinscl` multiplies the distance from the nearest pixel."""
    data = np.random.default_rng(0).normal(size=(20, 30))
    pixmap = np.full((1, 1, 2), 9.4)
    nearer = np.full((1, 1, 2), 9.2)
    np.testing.assert_allclose(
        gpures.blot_image(data, pixmap, interp="sinc", sinscl=0.5), gpures.blot_image(data, nearer, interp="sinc"),
        rtol=4 * EPS32,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"interp": "spline3"}, "Unknown interp type 'spline3': 'interp' must be one of"),
        ({"iscale": 0.0}, "'iscale' must be positive and finite, got 0.0"),
        ({"sinscl": np.nan}, "'sinscl' must be positive and finite"),
        ({"float32_below": -1.0}, "'float32_below' must be a number at least 0.0, got -1.0"),
        ({"pixmap": np.zeros((5, 5))}, r"'pixmap' must have the shape \(My, Mx, 2\), got \(5, 5\)"),
        ({"data": np.zeros((3, 9))}, "'data' must be an image of at least 4 x 4 pixels for interp='poly5'"),
        ({"data": np.zeros(9)}, r"'data' must be an image .* got the shape \(9,\)"),
        ({"out_img": np.zeros((3, 3), "f4")}, r"'out_img' must have the shape of 'pixmap', \(5, 6\), got \(3, 3\)"),
        ({"backend": "gpu"}, "'backend' must be one of"),
    ],
)
def test_errors(changed, match):
    """What is wrong is named, with what was got."""
    arguments = {"data": np.zeros((9, 9), "f4"), "pixmap": np.zeros((5, 6, 2))} | changed
    with pytest.raises(ValueError, match=match):
        gpures.blot_image(**arguments)


def test_more_errors():
    """So are data that are no numbers, an output that can't be written to, and a shape that contradicts the map."""
    with pytest.raises(TypeError, match="'data' must hold real numbers, got complex128"):
        gpures.blot_image(np.zeros((9, 9), complex), np.zeros((5, 6, 2)))
    out = np.zeros((5, 6), "f4")
    out.setflags(write=False)
    with pytest.raises(ValueError, match="'out_img' can't be written to"):
        gpures.blot_image(np.zeros((9, 9)), np.zeros((5, 6, 2)), out_img=out)
    with (
        pytest.warns(DeprecationWarning, match="output_pixel_shape"),
        pytest.raises(ValueError, match=r"'output_pixel_shape' must be \(Mx, My\) as 'pixmap' has it, \(6, 5\)"),
    ):
        gpures.blot_image(np.zeros((9, 9)), np.zeros((5, 6, 2)), output_pixel_shape=(5, 6))
