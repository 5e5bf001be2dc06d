"""Pixel maps as formulas: what the WCS themselves give at every pixel, for chains of models that are known."""

from __future__ import annotations

from dataclasses import replace

import gwcs
import numpy as np
import oracle
import pytest
import scenes
from astropy.modeling import models
from astropy.modeling.projections import AffineTransformation2D
from gwcs import coordinate_frames
from gwcs.geometry import CartesianToSpherical, SphericalToCartesian
from oracle import run

from gpures import Resample, _cpu, drizzle_operator
from gpures.arguments.arrays import as_host
from gpures.cleaning.comparison import blotted
from gpures.exposure.drops import KERNELS
from gpures.exposure.pixmap import PixelMap, calc_pixmap
from gpures.exposure.weights import Weight
from gpures.wcs.formula import END, PLANE, SPHERE, formula_of
from gpures.wcs.transforms import into_frame, pixel_to_world, world_to_pixel

pytestmark = pytest.mark.filterwarnings("ignore:Kernel '.*' is not a flux-conserving kernel")

SHAPE = (220, 250)  # of enough pixels

#: What is not rounded to degrees is good to this: of unit vectors, on which a pixel is 3e-7.
EXACT = 2e-9


def telescope_wcs(shape, corrected=True, distortion=0.5):
    """WCS as JWST's: polynomials, velocity aberration, a correction in the tangent plane, and rotations of vectors."""
    angles = [-0.025, 0.137, 70.0]
    scales = models.Scale(scenes.SCALE) & models.Scale(-scenes.SCALE)
    centre = models.Shift(-0.5 * shape[1]) & models.Shift(-0.5 * shape[0])
    to_ideal = centre | models.Shift(0.25) & models.Shift(-0.5) | scenes._distortion(shape, distortion, 5) | scales
    turn = models.Mapping((0, 1, 0, 1)) | models.Polynomial2D(1, c1_0=-0.99999, c0_1=0.0044) & models.Polynomial2D(
        1, c1_0=0.0044, c0_1=0.99999
    )
    to_v2v3 = to_ideal | turn | models.Shift(-89.4) & models.Shift(-491.4)
    aberration = models.Scale(0.9999) & models.Scale(0.9999) | models.Shift(-0.009) & models.Shift(-0.047)
    to_degrees, to_arcsec = (models.Scale(f) & models.Scale(f) for f in (1.0 / 3600.0, 3600.0))
    to_axis = models.RotationSequence3D(angles, "zyx")
    correction = (
        to_degrees
        | SphericalToCartesian()
        | to_axis
        | (models.Mapping((0, 1, 2)) / models.Mapping((0, 0, 0), n_inputs=3) | models.Mapping((1, 2), n_inputs=3))
        | AffineTransformation2D([[0.99999, -0.0004], [0.0004, 0.99999]], [-3e-7, -2e-7])
        | models.Mapping((0, 0, 1))
        | models.Const1D(1.0) & models.Identity(2)
        | to_axis.inverse
        | CartesianToSpherical()
        | to_arcsec
    )
    to_sky = (
        to_degrees
        | SphericalToCartesian()
        | models.RotationSequence3D([*angles, scenes.DEC, -scenes.RA], "zyxyz")
        | CartesianToSpherical()
    )
    detector, sky = scenes.sky_frames()
    names = ["v2v3", "v2v3vacorr", "v2v3corr"]
    between = [coordinate_frames.Frame2D(name=name, axes_order=(0, 1), unit=("arcsec", "arcsec")) for name in names]
    steps = [(detector, to_v2v3), (between[0], aberration), (between[1], correction), (between[2], to_sky), (sky, None)]
    wcs = gwcs.WCS(steps if corrected else [steps[0], steps[1], (between[1], to_sky), steps[-1]])
    scenes.set_frame(wcs, shape)
    return wcs


def output_of(wcs, shape=(260, 280), **kwargs):
    """A tangent plane around the middle of a WCS."""
    ra, dec = wcs(0.5 * SHAPE[1], 0.5 * SHAPE[0]) if hasattr(wcs, "pipeline") else (scenes.RA, scenes.DEC)
    return scenes.imaging_wcs(shape, ra=float(ra), dec=float(dec), **kwargs)


WCS = {
    "tangent plane": lambda: scenes.imaging_wcs(SHAPE, rotation=33.0, flip=True),
    "distorted": lambda: scenes.camera_wcs(SHAPE, rotation=20.0, distortion=6.0),
    "telescope": lambda: telescope_wcs(SHAPE, corrected=False),
    "telescope, corrected": lambda: telescope_wcs(SHAPE),
    "FITS": lambda: scenes.fits_wcs(SHAPE, rotation=70.0),
    "SIP": lambda: scenes.fits_wcs(SHAPE, rotation=-20.0, sip=3.0, shift=(4.3, -7.0)),
    "latitude first": lambda: scenes.latitude_first(scenes.imaging_wcs(SHAPE, distortion=0.5)),
    "FITS, latitude first": lambda: scenes.latitude_first(scenes.fits_wcs(SHAPE, rotation=10.0)),
}


def places_of_wcs(wcs_from, wcs_to, shape=SHAPE):
    """What the transforms of both WCS give at every pixel, (ny, nx, 2)."""
    y, x = (axis.ravel().astype(float) for axis in np.indices(shape))
    backward = world_to_pixel(wcs_to)
    return np.stack(backward(*pixel_to_world(wcs_from, backward.axes.sky)(x, y)), axis=-1).reshape(*shape, 2)


# ---- formulas are what they are of -----------------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["tangent plane", "FITS", "FITS, latitude first"])
@pytest.mark.parametrize("kind", WCS)
def test_a_formula_is_the_wcs(kind, output):
    """At every pixel the map is that of the WCS, to the rounding of degrees; and there is no array of it."""
    wcs_from = WCS[kind]()
    wcs_to = output_of(wcs_from, rotation=12.0) if output == "tangent plane" else WCS[output]()
    pixmap = calc_pixmap(wcs_from, wcs_to, SHAPE, tolerance=0)
    assert pixmap.full is None
    assert pixmap.formula is not None
    expected = places_of_wcs(wcs_from, wcs_to)
    assert np.isfinite(expected).all()
    assert np.abs(pixmap.array() - expected).max() <= scenes.ROUNDING


@pytest.mark.parametrize("kind", ["distorted", "telescope, corrected"])
def test_a_formula_is_what_gwcs_says(kind):
    """So it is by the calls that a user has, of gwcs itself."""
    wcs_from = WCS[kind]()
    wcs_to = output_of(wcs_from, rotation=12.0)
    y, x = np.indices(SHAPE).astype(float)
    expected = np.stack(wcs_to.invert(*wcs_from(x, y), with_bounding_box=False), axis=-1)
    assert np.abs(calc_pixmap(wcs_from, wcs_to, SHAPE, tolerance=0).array() - expected).max() <= scenes.ROUNDING


def exact_places(wcs_from, wcs_to, x, y):
    """Of tangent planes, in numbers with more digits: nothing is rounded to degrees."""
    wide = np.longdouble
    pi = wide("3.14159265358979323846264338327950288")

    def leaves(wcs):
        return [leaf for leaf in wcs.forward_transform.traverse_postorder() if not hasattr(leaf, "op")]

    def axes(rotation):
        lon, lat = (wide(float(v)) * pi / 180 for v in (rotation.lon.value, rotation.lat.value))
        east = np.array([-np.sin(lon), np.cos(lon), wide(0)])
        north = np.array([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
        return np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)]), east, north

    def polynomial(model, x, y):
        terms = ((*map(int, name[1:].split("_")), getattr(model, name).value) for name in model.param_names)
        return sum(wide(float(c)) * x**i * y**j for i, j, c in terms)

    place = [x.astype(wide), y.astype(wide)]
    *before, affine, _, rotation = leaves(wcs_from)
    place = [axis + wide(float(shift.offset.value)) for axis, shift in zip(place, before, strict=False)]
    if len(before) > 2:
        place = [polynomial(model, *place) for model in before[3:]]
    u, v = (affine.matrix.value.astype(wide) @ place) * pi / 180
    point, east, north = (axis[:, None] for axis in axes(rotation))
    vector = point + east * u + north * v
    *shifts, affine, _, rotation = leaves(wcs_to)
    z, u, v = (axis @ vector for axis in axes(rotation))
    (a, b), (c, d) = affine.matrix.value.astype(wide)
    u, v = u / z * 180 / pi, v / z * 180 / pi
    x, y = (d * u - b * v) / (a * d - b * c), (a * v - c * u) / (a * d - b * c)
    return np.stack([axis - wide(float(s.offset.value)) for axis, s in zip((x, y), shifts, strict=True)], axis=-1)


@pytest.mark.parametrize("shape", [SHAPE, (4088, 4088)])
def test_a_formula_is_exact(shape):
    """It is nearer to the truth than the rounding of degrees lets gwcs be."""
    wcs_from, wcs_to = scenes.camera_wcs(shape, rotation=20.0), scenes.imaging_wcs(shape, rotation=-8.0)
    formula = formula_of(pixel_to_world(wcs_from), world_to_pixel(wcs_to))
    rng = np.random.default_rng(3)
    places = np.array([rng.integers(0, n, 5000) for n in shape[::-1]], float)
    expected = exact_places(wcs_from, wcs_to, *places)
    _cpu.by_formula(formula, places)
    assert np.abs(places.T - expected).max() <= EXACT


@pytest.mark.parametrize("size", [1e-9, 0.7, 3.0, 40.0])
def test_directions(size):
    """Sine and cosine of any angle, by the step from longitudes and latitudes, agree with numpy's to some digits."""
    rng = np.random.default_rng(4)
    angles = rng.uniform(-size, size, (2, 4000))
    (sine, cosine), (up, across) = ((np.sin(a), np.cos(a)) for a in angles)
    vectors = np.array([cosine * across, sine * across, up])
    # Each component in turn, beside a third that is positive: what is divided by can't be 0.
    lifted = np.array([0.0, 0.0, 0.3])
    for k in range(3):
        rows = np.array([np.roll([1.0, 0.0, 0.0], k), np.roll([0.0, 1.0, 0.0], k), lifted])
        places = angles.copy()
        _cpu.by_formula(np.array([SPHERE, *rows.ravel(), END], float), places)
        with np.errstate(divide="ignore", invalid="ignore"):
            expected = (rows[:2] @ vectors) / (lifted @ vectors)
        expected[:, ~(lifted @ vectors > 0)] = np.nan
        small = np.abs(up) < 1e-3  # where a digit of it is as many of the result
        np.testing.assert_array_equal(np.isnan(places), np.isnan(expected))
        np.testing.assert_allclose(places[:, ~small], expected[:, ~small], rtol=1e-12, atol=1e-12)


def test_what_is_behind_a_plane_has_no_place():
    """A vector whose last component is not positive is NaN; and undefined coordinates stay so."""
    places = np.array([[1.0, -1.0, 0.0, np.nan], [0.5, 0.5, 0.5, 0.5]])
    _cpu.by_formula(np.array([PLANE, 0, 0, 1, 0, 1, 0, 1, 0, 0, END], float), places)
    np.testing.assert_array_equal(places, [[1.0, np.nan, np.nan, np.nan], [0.5, np.nan, np.nan, np.nan]])


# ---- what there is no formula of -------------------------------------------------------------------------------------


def other_wcs(what):
    """A WCS that is not known, or not known well enough, around `scenes.RA` and `scenes.DEC`."""
    match what:
        case "a bump":
            bump = models.Gaussian2D(0.5, 100.0, 90.0, 8.0, 8.0) + models.Mapping((0,), n_inputs=2)
            return scenes.wcs_of(
                models.Mapping((0, 1, 1)) | bump & models.Identity(1) | scenes.sky_transform(SHAPE), SHAPE
            )
        case "Chebyshev":
            even = models.Chebyshev2D(1, 1, c1_0=1.0) & models.Chebyshev2D(1, 1, c0_1=1.0)
            return scenes.wcs_of(models.Mapping((0, 1, 0, 1)) | even | scenes.sky_transform(SHAPE), SHAPE)
        case "another projection":
            steps = list(scenes.sky_transform(SHAPE, rotation=5.0).traverse_postorder())
            affine = next(step for step in steps if isinstance(step, AffineTransformation2D))
            rotation = models.RotateNative2Celestial(scenes.RA, scenes.DEC, 180.0)
            moved = models.Shift(-115.0) & models.Shift(-95.0)
            return scenes.wcs_of(moved | affine | models.Pix2Sky_SIN() | rotation, SHAPE)
        case "a domain":
            poly = models.Polynomial2D(2, c1_0=1.0, x_domain=(0, 200), x_window=(0, 200)) & models.Polynomial2D(
                2, c0_1=1.0
            )
            return scenes.wcs_of(models.Mapping((0, 1, 0, 1)) | poly | scenes.sky_transform(SHAPE), SHAPE)
        case "a longitude that is moved":
            return scenes.wcs_of(scenes.sky_transform(SHAPE) | models.Shift(1e-6) & models.Identity(1), SHAPE)


@pytest.mark.parametrize("what", ["a bump", "Chebyshev", "another projection", "a domain", "a longitude that is moved"])
def test_unknown_parts_are_evaluated_as_they_are(what):
    """Of what the kernels don't know the WCS is asked, at every pixel, and the map is held."""
    wcs_from, wcs_to = other_wcs(what), scenes.imaging_wcs((260, 280), rotation=12.0)
    assert formula_of(pixel_to_world(wcs_from), world_to_pixel(wcs_to)) is None
    pixmap = calc_pixmap(wcs_from, wcs_to, SHAPE, tolerance=0)
    assert pixmap.formula is None
    assert np.abs(pixmap.full - places_of_wcs(wcs_from, wcs_to)).max() <= scenes.ROUNDING


class Shift(models.Shift):
    """Of the name of a model that is known; with a bump that no grid of points sees."""

    @staticmethod
    def evaluate(x, offset):
        """Moved, and here and there further."""
        return x + offset + 3.0 * (np.abs(x - 101.0) < 1.5)


def test_models_of_others_with_known_names():
    """Of a model that has but the name of one of astropy's each pixel is asked."""
    plain = scenes.imaging_wcs(SHAPE)
    bumpy = scenes.wcs_of(Shift(0.0) & models.Identity(1) | plain.forward_transform, SHAPE)
    wcs_to = scenes.imaging_wcs((260, 280), rotation=12.0)
    pixmap = calc_pixmap(bumpy, wcs_to, SHAPE, tolerance=0)
    assert pixmap.formula is None
    assert np.abs(pixmap.full - places_of_wcs(bumpy, wcs_to)).max() <= scenes.ROUNDING
    assert np.abs(pixmap.full - places_of_wcs(plain, wcs_to)).max() > 2.5


def test_an_output_without_inverse_has_none():
    """Newton's method is no formula."""
    wcs_to = scenes.camera_wcs((260, 280))
    assert formula_of(pixel_to_world(WCS["FITS"]()), world_to_pixel(wcs_to)) is None
    assert calc_pixmap(WCS["FITS"](), wcs_to, SHAPE, tolerance=0).full is not None


@pytest.mark.parametrize("box", [((7.0, 7.4), (-0.5, 39999.5)), ((-0.5, 39999.5), (7.0, 7.4))])
def test_one_row_of_many_pixels_has_no_size(box):
    """However many pixels a row or a column has, it is refused as others are."""
    shape = (40000, 20) if box[1][1] > 100 else (20, 40000)
    wcs_from = scenes.imaging_wcs(shape, scale=1e-4, box=box)
    with pytest.raises(ValueError, match="too few valid pixels"):
        calc_pixmap(wcs_from, scenes.imaging_wcs((50, 50)), shape, tolerance=0)


def test_a_wcs_that_reaches_behind_the_plane_has_none():
    """Where places are not finite all are looked at beforehand, as their neighbours must be."""
    to_angles = models.Shift(-115.0) & models.Shift(-95.0) | models.Scale(1.0) & models.Scale(0.9)
    turn = models.RotationSequence3D([0.0, scenes.DEC, -scenes.RA], "zyz")
    wcs_from = scenes.wcs_of(to_angles | SphericalToCartesian() | turn | CartesianToSpherical(), SHAPE, box=None)
    wcs_to = scenes.imaging_wcs((260, 280), scale=3600.0)
    assert formula_of(pixel_to_world(wcs_from), world_to_pixel(wcs_to)) is not None
    assert calc_pixmap(wcs_from, wcs_to, SHAPE, tolerance=0).formula is None
    near = replace_box(wcs_from, ((85.0, 145.0), (-0.5, 189.5)))
    assert calc_pixmap(near, wcs_to, SHAPE, tolerance=0).full is not None  # of few pixels


def replace_box(wcs, box):
    wcs.bounding_box = box
    return wcs


def test_a_frame_is_what_it_was():
    """The output's transform, which is made once, is not changed by what becomes of its WCS; nor is the formula."""
    wcs_from, wcs_to = WCS["distorted"](), scenes.imaging_wcs((260, 280))
    before = places_of_wcs(wcs_from, wcs_to)
    backward = into_frame(wcs_to, wcs_to.array_shape)
    steps = [*backward.source.traverse_postorder()]
    next(step for step in steps if isinstance(step, models.RotateCelestial2Native)).lon = scenes.RA + 1e-4
    assert np.abs(calc_pixmap(wcs_from, backward, SHAPE, tolerance=0).array() - before).max() <= scenes.ROUNDING


# ---- in a pass -------------------------------------------------------------------------------------------------------


def exposure(pixmap, kernel):
    rng = np.random.default_rng(11)
    made = oracle.exposure(
        rng.normal(size=SHAPE).astype("f4"),
        pixmap.array(),
        weight=Weight(variance=rng.uniform(0.5, 2, SHAPE).astype("f4"), bad_bits=4),
        dq=rng.choice([0, 0, 0, 4, 8], SHAPE).astype("i4"),
        variances={"var_rnoise": rng.uniform(0.5, 2, SHAPE).astype("f4")},
        variance_weight=None,
        pixfrac=1.0 if kernel.startswith("lanczos") else 0.9,
    )
    return replace(made, pixmap=pixmap)


BOXES = {"none": None, "within": ((20.2, 230.7), (21.0, 200.0))}


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_pass_by_a_formula_is_that_by_an_array(own_backend, kernel, box):
    """The mosaic has the same bits whether the kernels evaluate the map or are given it, NaN beyond a bounding box."""
    wcs_from = scenes.camera_wcs(SHAPE, rotation=20.0, distortion=4.0, box=BOXES[box])
    pixmap = calc_pixmap(wcs_from, scenes.imaging_wcs((290, 310)), SHAPE, tolerance=0)
    assert pixmap.formula is not None
    assert np.isnan(pixmap.array()).any() == (box != "none")
    frame = oracle.MosaicLayout((290, 310), kernel, None, ("var_rnoise",), has_dq=True)
    got = run(own_backend, frame, [exposure(PixelMap(SHAPE, formula=pixmap.formula, window=pixmap.window), kernel)])
    expected = run(own_backend, frame, [exposure(pixmap.as_full(), kernel)])
    for name, image in expected.items():
        if own_backend == "cpu":
            assert image.tobytes() == got[name].tobytes(), name
        else:  # where sums are added in another order each time
            np.testing.assert_allclose(got[name], image, rtol=3e-6, atol=3e-6, err_msg=name)


def test_nothing_is_held():
    """While a mosaic is made there is no array of the map, nor is there one afterwards."""
    wcs_from = WCS["distorted"]()
    resample = Resample({"wcs": scenes.imaging_wcs((260, 280))}, pixmap_tolerance=0)
    made = []
    calc = resample._pixmap

    def noted(model):
        made.append(calc(model))
        return made[-1]

    resample._pixmap = noted
    resample.add_model(scenes.model_of(wcs_from, SHAPE))
    (pixmap,) = made
    assert pixmap.formula is not None
    assert pixmap.full is None
    assert pixmap._expanded is None


@pytest.mark.parametrize(("stepsize", "order"), [(1.2, 3), (1.5, 1)])
def test_grids_of_many_points_are_those_of_the_wcs(stepsize, order):
    """The grids of stcal's options, where a formula tells their points, are what the WCS would have them."""
    shape = (400, 380)
    wcs_from, wcs_to = scenes.camera_wcs(shape, rotation=20.0, distortion=2.0), scenes.imaging_wcs(shape)
    got = calc_pixmap(wcs_from, wcs_to, shape, stepsize=stepsize, order=order)
    assert got.spline is not None
    expected = calc_pixmap(
        wcs_from, replace(world_to_pixel(wcs_to), source=None), shape, stepsize=stepsize, order=order
    )
    assert np.abs(got.array() - expected.array()).max() <= 2 * scenes.ROUNDING


def test_blotting_by_a_formula(own_backend):
    """An image of the frame at an exposure's pixels is the same by a formula and by an array."""
    xp = np
    if own_backend == "cuda":
        import cupy as xp
    frame = scenes.imaging_wcs((290, 310))
    pixmap = calc_pixmap(WCS["distorted"](), frame, SHAPE, tolerance=0)
    assert pixmap.formula is not None
    image = xp.asarray(np.random.default_rng(2).normal(size=frame.array_shape).astype("f4"))
    got, expected = (as_host(blotted(image, each)) for each in (pixmap, pixmap.as_full()))
    assert np.isfinite(expected).sum() > expected.size / 2
    assert got.tobytes() == expected.tobytes()


def test_an_operator_by_a_formula(own_backend):
    """So are an exposure's sums and weights by its operator."""
    frame, model = scenes.imaging_wcs((290, 310)), scenes.model_of(WCS["distorted"](), SHAPE)
    operators = [drizzle_operator(model, frame, pixmap_tolerance=t, backend=own_backend) for t in (0, 1e-6)]
    exact, usual = (operator @ model["data"].ravel() for operator in operators)
    assert 0 < np.abs(exact - usual).max() <= 1e-5 * np.abs(usual).max()


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("angle", [0.0, 90.0, 180.0, 270.0])
@pytest.mark.parametrize("kernel", ["square", "turbo"])
def test_turned_exposures(kernel, angle, flip):
    """An exposure that lies along the frame in any of eight ways, and is turned for it, has its places by a formula."""
    wcs_from = scenes.camera_wcs(SHAPE, rotation=angle, flip=flip, distortion=4.0, box=BOXES["within"])
    pixmap = calc_pixmap(wcs_from, scenes.imaging_wcs((290, 310)), SHAPE, tolerance=0)
    assert pixmap.formula is not None
    frame = oracle.MosaicLayout((290, 310), kernel, None, ("var_rnoise",), has_dq=True, dtype=np.dtype("f8"))
    got, expected = (run("cpu", frame, [exposure(each, kernel)]) for each in (pixmap, pixmap.as_full()))
    for name, image in expected.items():
        if image.dtype.kind == "f":
            np.testing.assert_allclose(got[name], image, rtol=1e-6, atol=1e-7, err_msg=name)
        else:
            np.testing.assert_array_equal(got[name], image, err_msg=name)
