"""The output frame of a mosaic: what it holds, what its knobs do, and the pipelines' frame."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scenes
from astropy.coordinates import FK5, ICRS, Galactic, SkyCoord

import gpures
from gpures.mosaicking.plan import make_plan
from gpures.mosaicking.reach import reaching
from gpures.wcs.footprint import footprint_of, outline
from gpures.wcs.frame import FrameOptions, farthest, grid_around, tangent_wcs
from gpures.wcs.sphere import angles, separation, vectors
from gpures.wcs.transforms import world_to_pixel

SHAPE = (60, 74)
SCALE = 0.05  # arcsec

# Degrees by which float64 angles are uncertain after a projection and its inverse (some tens of roundings at 360), as
# output pixels of SCALE.
PLACE = 64 * 360 * np.finfo(float).eps * 3600 / SCALE


def exposures(ra, dec, offset=4.0, n=3, distortion=5.0):
    """Distorted exposures, turned and `offset` arcsec apart towards the east; the middle one at a position."""
    plane = scenes.sky_transform((1, 1), scale=1.0, ra=ra, dec=dec)  # arcsec
    middles = zip(*plane((np.arange(n) - n // 2) * offset, np.zeros(n)), strict=True)
    return [
        scenes.imaging_wcs(SHAPE, rotation=20.0 + 33.0 * k, distortion=distortion, seed=k, ra=lon, dec=lat)
        for k, (lon, lat) in enumerate(middles)
    ]


def footprints_of(wcses):
    return [footprint_of(f"exposure{k}", wcs, SHAPE) for k, wcs in enumerate(wcses)]


def grid(wcses, scale=SCALE, **options):
    return grid_around(footprints_of(wcses), scale, FrameOptions(**options), ICRS())


def places(grid, wcses):
    """Pixels of a frame that the edges of exposures fall on, every pixel of them."""
    x, y = outline(0, SHAPE[1] - 1, 0, SHAPE[0] - 1, 0.25)
    world = [np.concatenate(part) for part in zip(*(wcs(x, y, with_bounding_box=False) for wcs in wcses), strict=True)]
    return grid.wcs.invert(*world, with_bounding_box=False)


# On a circle of RA, beyond 0 and 360, at high declination, at and about the poles.
SKY = [(150.1, 2.2), (0.0, 0.0), (359.9999, -45.0), (0.0001, 88.0), (120.0, 90.0), (10.0, -90.0), (200.0, -89.9999)]


@pytest.mark.parametrize(("ra", "dec"), SKY)
@pytest.mark.parametrize("rotation", [0.0, 40.0, -130.0, None])
@pytest.mark.parametrize("align", ["first", "footprint"])
def test_holds_the_exposures(ra, dec, rotation, align):
    """Anywhere on the sky the frame holds every edge of every exposure, and no row or column more than needed."""
    wcses = exposures(ra, dec)
    made = grid(wcses, rotation=rotation, align=align)
    x, y = places(made, wcses)
    # What an edge may stray from the straight line between two points of its outline, 8 pixels apart: it has a
    # curvature below 12 * 5 / 37**2 / 15 terms.
    stray = 0.05
    for v, n in zip((x, y), made.shape[::-1], strict=True):
        if align == "footprint":
            assert v.min() == pytest.approx(0.0, abs=stray)
        assert -0.5 - stray < v.min() < 0.5 + stray
        assert n - 1.5 - stray < v.max() < n - 0.5 + stray
    assert made.wcs.array_shape == made.shape
    assert tuple(made.wcs.bounding_box.bounding_box(order="F")) == (
        (-0.5, made.shape[1] - 0.5),
        (-0.5, made.shape[0] - 0.5),
    )


def test_edges_bend():
    """Guards the test above: the corners of these exposures alone would make a smaller frame."""
    wcses = exposures(150.1, 2.2, n=1, distortion=40.0)
    made = grid(wcses, rotation=None)
    corners = wcses[0](np.array([-0.5, 73.5, 73.5, -0.5]), np.array([-0.5, -0.5, 59.5, 59.5]), with_bounding_box=False)
    x, y = made.wcs.invert(*corners, with_bounding_box=False)
    assert np.ptp(x) < made.shape[1] - 2 or np.ptp(y) < made.shape[0] - 2


def test_a_wcs_that_ends_at_the_last_pixels():
    """Where a WCS ends at the outermost pixels' centres, their outer halves are in the footprint all the same."""
    ny, nx = SHAPE
    whole = scenes.sky_transform(SHAPE, rotation=20.0)
    tables = [
        scenes.models.Tabular1D(np.arange(n), np.arange(n, dtype=float), bounds_error=False, fill_value=np.nan)
        for n in (nx, ny)
    ]
    ends = scenes.wcs_of(tables[0] & tables[1] | whole, SHAPE)
    assert not np.isfinite(ends(-0.4, 3.0, with_bounding_box=False)).all()
    edges = [footprint_of("one", wcs, SHAPE).edge for wcs in (ends, scenes.wcs_of(whole, SHAPE))]
    # A straight line, and the tangent plane's curvature over half a pixel: (3e-7)**2.
    np.testing.assert_allclose(edges[0], edges[1], rtol=0, atol=1e-13)


def test_only_what_is_used_counts():
    """Of an exposure with a bounding box, the frame holds what is inside."""
    whole = grid([scenes.imaging_wcs(SHAPE)])
    part = grid([scenes.imaging_wcs(SHAPE, box=((9.5, 49.5), (19.5, 39.5)))])
    assert part.shape[0] / whole.shape[0] == pytest.approx(21 / 60, abs=0.02)
    assert part.shape[1] / whole.shape[1] == pytest.approx(41 / 74, abs=0.02)


@pytest.mark.parametrize(("ra", "dec"), [(150.1, 2.2), (0.00001, -70.0), (30.0, 89.9995), (40.0, -90.0)])
@pytest.mark.parametrize(
    "knobs",
    [
        {},
        {"rotation": 33.0},
        {"crpix": (12.0, -7.5)},
        {"crval": "moved"},
        {"crval": "moved", "crpix": (140.0, 88.0)},
        {"output_shape": (120, 90)},
        {"crval": "moved", "crpix": (40.0, 50.0), "output_shape": (101, 99), "rotation": -77.0},
    ],
)
def test_the_pipelines_frame(ra, dec, knobs):
    """Where it begins with the footprints, the frame has the pixels of stcal's, but for the last ones."""
    from stcal.alignment.util import wcs_from_sregions

    wcses = exposures(ra, dec)
    if "crval" in knobs:
        knobs = knobs | {
            "crval": tuple(c + d for c, d in zip((ra, dec), (0.0005, 0.0005 if dec < 0 else -0.0005), strict=True))
        }
    made = grid(wcses, align="footprint", **knobs)
    theirs = dict(knobs)
    shape = theirs.pop("output_shape", None)
    theirs |= {"shape": shape[::-1]} if shape else {}
    theirs.setdefault("rotation", 0.0)
    reference = wcs_from_sregions(
        [np.stack(angles(footprint.edge), axis=-1) for footprint in footprints_of(wcses)],
        ref_wcs=wcses[0],
        ref_wcsinfo={"v3yangle": 0.0, "vparity": -1, "roll_ref": 0.0, "ra_ref": ra, "dec_ref": dec},
        pscale=SCALE / 3600.0,
        **theirs,
    )
    if shape:
        assert made.shape == reference.array_shape == shape[::-1]
    else:
        assert all(ours - 1 <= n <= ours for ours, n in zip(made.shape, reference.array_shape, strict=True))
    x, y = np.random.default_rng(1).uniform(-20, 200, (2, 100))
    # Both go through a projection and back.
    got = reference.invert(*made.wcs(x, y, with_bounding_box=False), with_bounding_box=False)
    np.testing.assert_allclose(got, (x, y), rtol=0, atol=2 * PLACE)


def test_its_rotation_is_the_pipelines():
    """Turned along a single exposure, the frame is what stcal makes of the exposure's own roll."""
    from stcal.alignment.util import wcs_from_sregions

    wcs = scenes.imaging_wcs(SHAPE, rotation=-25.0, flip=True)
    made = grid([wcs], rotation=None, align="footprint")
    reference = wcs_from_sregions(
        [np.stack(angles(footprint_of("one", wcs, SHAPE).edge), axis=-1)],
        ref_wcs=wcs,
        ref_wcsinfo={"v3yangle": 40.0, "vparity": -1, "roll_ref": math.radians(0), "ra_ref": 0.0, "dec_ref": 0.0}
        | {"roll_ref": made.rotation - 40.0},
        pscale=SCALE / 3600.0,
    )
    x, y = np.random.default_rng(1).uniform(0, 90, (2, 100))
    got = reference.invert(*made.wcs(x, y, with_bounding_box=False), with_bounding_box=False)
    np.testing.assert_allclose(got, (x, y), rtol=0, atol=2 * PLACE)


@pytest.mark.parametrize("rotation", [0.0, 30.0, 90.0, 200.0, -45.0])
def test_position_angle_of_y(rotation):
    """+y points from north by the rotation towards east, and +x a quarter turn to the west of it."""
    made = grid(exposures(150.1, 40.0), rotation=rotation)
    lon, lat = made.wcs(*np.array([[50.0, 50.0, 51.0], [50.0, 51.0, 50.0]]), with_bounding_box=False)
    origin, up, right = SkyCoord(lon, lat, unit="deg")
    # The north of a pixel differs from that of the tangent point by the 3 arcsec between them.
    assert (origin.position_angle(up).deg - rotation + 180) % 360 - 180 == pytest.approx(0.0, abs=0.01)
    assert (origin.position_angle(right).deg - rotation + 90 + 180) % 360 - 180 == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize(("ra", "dec"), [(150.1, 2.2), (0.0, 60.0), (77.0, 90.0)])
@pytest.mark.parametrize("flip", [False, True])
def test_along_the_first_exposure(ra, dec, flip):
    """Without a rotation +y is that of the first exposure where it lies, and east stays to the left of north."""
    wcses = [
        scenes.imaging_wcs(SHAPE, rotation=57.0, flip=flip, ra=ra, dec=dec),
        scenes.imaging_wcs(SHAPE, rotation=3.0, shift=(300, 40), ra=ra, dec=dec),
    ]
    made = grid(wcses, rotation=None)
    middle = np.array([36.5, 36.5, 37.5]), np.array([29.5, 30.5, 29.5])
    x, y = made.wcs.invert(*wcses[0](*middle), with_bounding_box=False)
    assert x[1] == pytest.approx(x[0], abs=1e-5)
    assert y[1] > y[0]
    assert (x[2] > x[0]) == flip
    lon, lat = made.wcs(*np.array([[50.0, 50.0, 51.0], [50.0, 51.0, 50.0]]), with_bounding_box=False)
    origin, up, right = SkyCoord(lon, lat, unit="deg")
    turn = (origin.position_angle(up).deg - origin.position_angle(right).deg) % 360
    assert turn == pytest.approx(90.0, abs=0.01)


def test_scale():
    """A pixel in the middle of the frame has the side that was asked for."""
    made = grid(exposures(150.1, 2.2), scale=0.031)
    centre = np.array([[60.0, 61.0, 60.0], [60.0, 60.0, 61.0]])
    lon, lat = made.wcs(*centre, with_bounding_box=False)
    points = vectors(lon, lat)
    assert separation(points[0], points[1]) * 3600 == pytest.approx(0.031, rel=1e-6)
    assert separation(points[0], points[2]) * 3600 == pytest.approx(0.031, rel=1e-6)


def test_tangent_point_and_pixel():
    """The tangent point is crval, in the pixel crpix, in a frame of the shape that was asked for."""
    made = grid(exposures(150.1, 2.2), crval=(150.1001, 2.2001), crpix=(30.25, 41.5), output_shape=(50, 44))
    assert made.shape == (44, 50)
    np.testing.assert_allclose(made.wcs(30.25, 41.5), (150.1001, 2.2001), rtol=0, atol=1e-12)


def test_a_middle_that_does_not_depend_on_crowding():
    """Ten exposures in one place and one elsewhere have the middle of two."""
    wcses = exposures(150.1, 2.2, n=2, offset=10.0)
    assert grid([wcses[0]] * 10 + [wcses[1]]).shape == grid(wcses).shape


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0])
def test_scale_from_the_first_exposure(ratio):
    """The ratio is output over input scale, as the resampler has it; the input's is the root of the mean area."""
    models = scenes.dithered_models((400, 430), 2)
    plan = make_plan(models, pixel_scale_ratio=ratio)
    area = gpures.compute_mean_pixel_area(models[0]["wcs"], shape=(400, 430))
    assert plan.pixel_scale == pytest.approx(ratio * math.degrees(math.sqrt(area)) * 3600, rel=1e-12)
    assert plan.pixel_scale == pytest.approx(ratio * scenes.SCALE, rel=1e-3)
    assert plan.output_wcs["pixel_scale_ratio"] == pytest.approx(ratio, rel=1e-12)
    made = gpures.compute_mean_pixel_area(plan.output_wcs["wcs"])
    assert math.degrees(math.sqrt(made)) * 3600 == pytest.approx(plan.pixel_scale, rel=1e-5)


def test_a_given_scale_has_its_ratio():
    """An absolute scale takes precedence, and the ratio follows from it."""
    plan = make_plan(scenes.dithered_models((400, 430), 2), pixel_scale=0.031, pixel_scale_ratio=7.0)
    assert plan.pixel_scale == 0.031
    assert plan.output_wcs["pixel_scale_ratio"] == pytest.approx(0.031 / scenes.SCALE, rel=1e-3)


def test_fits_and_gwcs_alike():
    """An exposure with a FITS WCS makes the frame that the same one with a gwcs does."""
    fits = scenes.fits_wcs(SHAPE, rotation=31.0, flip=True, sip=2.0)
    same = scenes.wcs_of(scenes.sip_transform(fits), SHAPE)
    one, other = grid([fits]), grid([same])
    assert one.shape == other.shape
    x, y = np.array([0.0, 50.0, 90.0]), np.array([3.0, 70.0, 10.0])
    np.testing.assert_allclose(one.wcs(x, y), other.wcs(x, y), rtol=0, atol=1e-11)


@pytest.mark.parametrize("how", ["FITS", "axes_order", "axes_names", "physical types", "radians"])
def test_latitude_first(how):
    """Exposures and frames whose first world axis is the latitude lie where they lie, alone and beside others."""
    if how == "FITS":
        plain = [scenes.fits_wcs(SHAPE, rotation=31.0 * k, shift=(20 * k, 0)) for k in range(2)]
        swapped = [scenes.latitude_first(wcs) for wcs in plain]
    else:
        plain = [scenes.imaging_wcs(SHAPE, rotation=31.0 * k, shift=(20 * k, 0)) for k in range(2)]
        options = {"unit": scenes.units.rad} if how == "radians" else {"how": how}
        swapped = [scenes.latitude_first(wcs, **options) for wcs in plain]
    for one, other in zip(footprints_of(plain), footprints_of(swapped), strict=True):
        np.testing.assert_allclose(other.edge, one.edge, rtol=0, atol=1e-15)
    expected = make_plan([scenes.model_of(wcs, SHAPE, k) for k, wcs in enumerate(plain)])
    for wcses in (swapped, [plain[0], swapped[1]]):
        plan = make_plan([scenes.model_of(wcs, SHAPE, k) for k, wcs in enumerate(wcses)])
        assert plan.shape == expected.shape
        assert plan.pixel_scale == pytest.approx(expected.pixel_scale, rel=1e-9)
        np.testing.assert_allclose(plan.centre, expected.centre, rtol=0, atol=1e-11)
        given = make_plan([scenes.model_of(wcs, SHAPE, k) for k, wcs in enumerate(wcses)], output_wcs=swapped[0])
        np.testing.assert_allclose(given.centre, (scenes.RA, scenes.DEC), rtol=0, atol=1e-11)
        assert not given.outside
    assert reaching(footprints_of(swapped), swapped[0], SHAPE) == [True, True]


def test_reach_around_a_frame_whose_inverse_ends():
    """An exposure all around a small frame reaches it, though the frame's WCS knows no pixel of its edges."""
    frame = scenes.fits_wcs((12, 12), sip=4.0)
    around = footprint_of("around", scenes.imaging_wcs((2048, 2048)), (2048, 2048))
    beside = footprint_of("beside", scenes.imaging_wcs((2048, 2048), shift=(4000, 0)), (2048, 2048))
    x, _ = world_to_pixel(frame)(*angles(around.edge))
    assert not np.isfinite(x).all()
    assert reaching([around, beside], frame, (12, 12)) == [True, False]


def test_sky_coordinates_are_the_exposures(caplog):
    """The frame has the exposures' coordinates where they have the same, and else is in ICRS."""
    models = scenes.dithered_models(SHAPE, 2)
    assert isinstance(make_plan(models).output_wcs["wcs"].output_frame.reference_frame, ICRS)

    def in_frame(model, frame):
        crval = model["wcs"](36.5, 29.5)
        matrix = np.array([[-1.0, 0.0], [0.0, 1.0]]) * scenes.SCALE / 3600
        return model | {"wcs": tangent_wcs(crval, (36.5, 29.5), matrix, SHAPE, frame), "filename": "other.fits"}

    galactic = [in_frame(model, Galactic()) for model in models]
    assert isinstance(make_plan(galactic).output_wcs["wcs"].output_frame.reference_frame, Galactic)
    there = SkyCoord(*models[1]["wcs"](36.5, 29.5), unit="deg").galactic
    mixed = [
        in_frame(models[1], Galactic())
        | {
            "wcs": tangent_wcs(
                (there.l.deg, there.b.deg),
                (36.5, 29.5),
                np.array([[-1.0, 0.0], [0.0, 1.0]]) * SCALE / 3600,
                SHAPE,
                Galactic(),
            )
        },
        models[0],
    ]
    plan = make_plan(mixed)
    assert isinstance(plan.output_wcs["wcs"].output_frame.reference_frame, ICRS)
    assert "in GALACTIC, and exposure0.fits in ICRS: the frame is in ICRS, and all are converted" in caplog.text
    assert max(plan.shape) < 3 * max(SHAPE)


def test_fk5_passes_for_icrs(caplog):
    """What is in FK5 is taken as it is, and said once."""
    fk5 = scenes.fits_wcs(SHAPE)
    fk5.wcs.radesys = "FK5"
    fk5.wcs.equinox = 2000.0
    fk5.wcs.set()
    models = [scenes.model_of(scenes.imaging_wcs(SHAPE), SHAPE)] + [scenes.model_of(fk5, SHAPE, k) for k in (1, 2)]
    plan = make_plan(models)
    assert plan.output_wcs["wcs"].output_frame.reference_frame.is_equivalent_frame(ICRS())
    assert caplog.text.count("exposure0.fits has sky coordinates in ICRS, and exposure1.fits in FK5 (J2000)") == 1
    assert "exposure2" not in caplog.text
    assert FK5().name in make_plan(models[1:]).output_wcs["wcs"].output_frame.reference_frame.name


def test_opposite_sides_of_the_sky():
    """No plane is made for exposures that none holds; the error says which they are."""
    wcses = [scenes.imaging_wcs(SHAPE, ra=ra, dec=dec) for ra, dec in ((10, 5), (10.01, 5), (190, -5))]
    with pytest.raises(ValueError, match="exposure0 and exposure2 are 180 degrees apart on the sky: no tangent plane"):
        grid(wcses)
    with pytest.raises(ValueError, match=r"exposure2 reaches to 180 degrees from 'crval', \(10\.0000, 5\.0000\)"):
        grid(wcses, crval=(10, 5))


def test_farthest():
    """Of exposures in a row, the two at its ends are told, with their distance."""
    one, other, apart = farthest(footprints_of(exposures(10.0, 60.0, offset=3600.0, n=6)))
    assert (one.name, other.name) == ("exposure0", "exposure5")
    assert apart == pytest.approx(5.0, rel=1e-3)


def test_a_frame_beside_the_exposures():
    """A reference pixel that moves all exposures off the frame is an error."""
    with pytest.raises(ValueError, match=r"lies beside the exposures, which would be in its pixels -\d+ to -\d+ in x"):
        grid(exposures(150.1, 2.2), crpix=(-500.0, 30.0))
    with pytest.raises(ValueError, match="lies beside the exposures"):
        grid(exposures(150.1, 2.2), crpix=(500.0, 30.0), output_shape=(100, 100))


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"pixel_scale": 0.0}, "'pixel_scale' must be positive"),
        ({"pixel_scale_ratio": -1.0}, "'pixel_scale_ratio' must be positive"),
        ({"rotation": "north"}, "'rotation' must be an angle in degrees, or None, got 'north'"),
        ({"rotation": math.nan}, "'rotation' must be an angle"),
        ({"crpix": (1.0,)}, "'crpix' must be two finite numbers"),
        ({"crpix": 5.0}, "'crpix' must be two finite numbers, or None, got 5.0"),
        ({"crval": (1.0, math.inf)}, "'crval' must be two finite numbers"),
        ({"crval": (1.0, 91.0)}, "'crval' must be a right ascension and a declination"),
        ({"output_shape": (10, 0)}, r"'output_shape' must be two positive integers \(Nx, Ny\)"),
        ({"output_shape": (10.5, 3)}, "'output_shape' must be two positive integers"),
    ],
)
def test_knobs_are_checked(knobs, words):
    """A knob that can't be turned so is named."""
    with pytest.raises(ValueError, match=words):
        FrameOptions(**knobs)


def test_no_place_on_the_sky():
    """An exposure whose WCS is nowhere finite, or not of an image, is named."""
    nowhere = scenes.wcs_of(scenes.models.Const1D(np.nan) & scenes.models.Const1D(np.nan), SHAPE)
    with pytest.raises(ValueError, match=r"lost\.fits: its WCS gives no finite coordinates along the edges"):
        footprint_of("lost.fits", nowhere, SHAPE)
    with pytest.raises(ValueError, match=r"slit\.fits: a frame is made of WCS with two celestial axes"):
        footprint_of("slit.fits", scenes.spectral_wcs(SHAPE), SHAPE)


@pytest.mark.parametrize(("shift", "expected"), [(0, True), (75, True), (82, False), (-82, False), (-75, True)])
def test_reach(shift, expected):
    """An exposure reaches a frame if the drops of its pixels may, some pixels around them included."""
    frame = scenes.imaging_wcs(SHAPE)
    footprint = footprint_of("one", scenes.imaging_wcs(SHAPE, shift=(shift, 0)), SHAPE)
    assert reaching([footprint], frame, SHAPE) == [expected]


def test_the_other_side_of_the_sky_is_out_of_reach():
    """A tangent plane has both halves of the sky in the same pixels; an exposure there does not reach it."""
    opposite = scenes.imaging_wcs(SHAPE, ra=scenes.RA + 180.0, dec=-scenes.DEC)
    footprints = footprints_of([opposite, scenes.imaging_wcs(SHAPE)])
    assert reaching(footprints, scenes.imaging_wcs(SHAPE), SHAPE) == [False, True]
