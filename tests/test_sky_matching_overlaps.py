"""Pixels of an exposure that lie within another are those whose centres do, wherever on the sky, whatever the WCS."""

from __future__ import annotations

import numpy as np
import pytest
import scenes
from astropy.coordinates import SkyCoord
from astropy.modeling import Model
from astropy.wcs import WCS as FITSWCS
from skies import model_at, wcs_at
from starfield import gwcs_in, header_in

import gpures
from gpures.box import Box
from gpures.cleaning import Field, SkyOptions, SkySurvey
from gpures.cleaning.overlaps import filled, united
from gpures.wcs.inverse import NumericalInverse
from gpures.wcs.transforms import pixel_to_world, resample_range, world_axes

SHAPE = (90, 110)

# Pixels around an edge in which rounding may decide.
ROUNDING = 0.02


def mask_of(region, shape):
    """Spans as an image."""
    mask = np.zeros(shape, bool)
    for row, first, end in region:
        assert not mask[row, first:end].any()
        mask[row, first:end] = True
    return mask


def survey_of(exposures):
    """A survey of pairs of WCS and shape."""
    return SkySurvey([Field(str(k), wcs, shape) for k, (wcs, shape) in enumerate(exposures)], SkyOptions())


def overlap(first, second):
    """Which pixels of the first lie within the second, as a survey has it."""
    return mask_of(survey_of([first, second]).overlaps(0).get(1, ()), first[1])


def expected(first, second):
    """The same by the centre of each pixel, by how far it is from an edge (pixels; negative outside)."""
    (wcs, shape), (other, other_shape) = first, second
    y, x = np.indices(shape, float)
    sky = world_axes(other).sky
    forward = pixel_to_world(other)
    ny, nx = other_shape
    inverse = NumericalInverse(lambda x, y: forward(x, y), ((0.0, nx - 1.0), (0.0, ny - 1.0)))
    u, v = inverse(*pixel_to_world(wcs, sky)(x, y))
    box, own = resample_range(other_shape, other), resample_range(shape, wcs)
    inside = np.minimum.reduce([u - box.xmin + 0.5, box.xmax + 0.5 - u, v - box.ymin + 0.5, box.ymax + 0.5 - v])
    used = (x >= own.xmin) & (x <= own.xmax) & (y >= own.ymin) & (y <= own.ymax)
    return np.where(used & np.isfinite(inside), inside, -np.inf)


def assert_overlaps_are_right(first, second, fewest=1):
    for one, other in ((first, second), (second, first)):
        found, inside = overlap(one, other), expected(one, other)
        assert found.sum() >= fewest
        assert not (found & (inside < -ROUNDING)).any()
        assert not (~found & (inside > ROUNDING)).any()


class Astray(Model):
    """An inverse that is right near its array, and brings all that lies beyond into its middle."""

    n_inputs = n_outputs = 2

    def __init__(self, right, shape):
        super().__init__()
        self.right, self.shape = right, shape

    def evaluate(self, lon, lat):
        """Pixels of degrees."""
        pixels = self.right(lon, lat)
        far = np.any([np.abs(v - n / 2) > 0.6 * n for v, n in zip(pixels, self.shape[::-1], strict=True)], axis=0)
        return tuple(np.where(far, n / 2, v) for v, n in zip(pixels, self.shape[::-1], strict=True))


def astray(**place):
    """A tangent plane with such an inverse."""
    transform = scenes.sky_transform(SHAPE, **place)
    transform.inverse = Astray(transform.inverse, SHAPE)
    return scenes.wcs_of(transform, SHAPE)


def plain(**place):
    """A tangent plane."""
    return scenes.imaging_wcs(SHAPE, **place)


def distorted_in_galactic():
    """The distorted FITS WCS of the field, with Galactic coordinates."""
    wcs = scenes.fits_wcs(SHAPE, sip=6.0, rotation=10.0, shift=(12.0, 20.0))
    centre = SkyCoord(scenes.RA, scenes.DEC, unit="deg").galactic
    wcs.wcs.ctype = ["GLON-TAN-SIP", "GLAT-TAN-SIP"]
    wcs.wcs.crval, wcs.wcs.radesys = [centre.l.deg, centre.b.deg], ""
    wcs.wcs.set()
    return wcs


DISTORTED = wcs_at(shape=SHAPE, rotation=20.0, shift=(30.0, -15.0))
STRONG = scenes.imaging_wcs(SHAPE, distortion=12.0, seed=4, shift=(-40.0, 20.0))

PAIRS = {
    "shifted": (plain(), plain(shift=(35.3, -20.7))),
    "turned": (plain(), plain(rotation=33.0, shift=(20.0, 10.0))),
    "mirrored": (plain(), plain(flip=True, rotation=75.0, shift=(30.0, 0.0))),
    "distorted": (DISTORTED, STRONG),
    "FITS": (wcs_at("fits", SHAPE), wcs_at("fits", SHAPE, rotation=100.0, shift=(10.0, 40.0))),
    "FITS and gwcs": (wcs_at("fits", SHAPE), DISTORTED),
    "latitude first": (scenes.latitude_first(plain()), plain(rotation=33.0, shift=(20.0, 10.0))),
    "a corner": (plain(), plain(shift=(104.0, 85.0))),
    "pole": (plain(dec=90.0), plain(dec=90.0 - 0.0006, ra=77.0, rotation=12.0)),
    "south pole": (plain(dec=-89.9995, ra=10.0), plain(dec=-89.9995, ra=190.0)),
    "right ascension of 0": (plain(ra=0.0004), plain(ra=359.9997, rotation=5.0)),
    "without an inverse": (scenes.without_inverse(SHAPE), plain(shift=(35.3, -20.7))),
    "bounding box": (
        scenes.imaging_wcs(SHAPE, box=((9.5, 80.5), (19.5, 60.5))),
        scenes.imaging_wcs(SHAPE, box=((20.0, 100.0), (-0.5, 50.0)), shift=(5.0, 5.0), rotation=3.0),
    ),
    "inverse astray": (astray(), astray(shift=(80.0, 50.0))),
    "Galactic and ICRS": (gwcs_in("Galactic", 10.0, SHAPE), gwcs_in("ICRS", 40.0, SHAPE)),
    "distorted, Galactic and ICRS": (distorted_in_galactic(), plain()),
    "FK4 and Galactic": (
        FITSWCS(header_in("FK4", shape=SHAPE)),
        FITSWCS(header_in("Galactic", shape=SHAPE, shift=(30, 8))),
    ),
    "30 degrees wide": (
        scenes.imaging_wcs(SHAPE, scale=1000.0),
        scenes.imaging_wcs(SHAPE, scale=1000.0, ra=scenes.RA + 14, dec=9.0, rotation=30.0),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_overlaps(name):
    for wcs in PAIRS[name]:
        wcs.array_shape = SHAPE
    first, second = PAIRS[name]
    assert_overlaps_are_right((first, SHAPE), (second, SHAPE), fewest=20)


def test_one_within_another():
    large, small = (plain(), SHAPE), (scenes.imaging_wcs((20, 15), rotation=40.0), (20, 15))
    assert_overlaps_are_right(large, small, fewest=200)
    assert overlap(small, large).all()


@pytest.mark.parametrize(
    "wcs", [plain(), DISTORTED, STRONG, wcs_at("fits", SHAPE)], ids=["plain", "some", "much", "FITS"]
)
def test_the_same_wcs_overlaps_everywhere(wcs):
    assert overlap((wcs, SHAPE), (wcs, SHAPE)).all()


@pytest.mark.parametrize("shift", [(110.0, 0.0), (0.0, -90.0), (110.0, 90.0)])
def test_those_that_touch_do_not_overlap(shift):
    assert not overlap((plain(), SHAPE), (plain(shift=shift), SHAPE)).any()
    nearly = tuple(0.98 * d for d in shift)
    assert overlap((plain(), SHAPE), (plain(shift=nearly), SHAPE)).any()


@pytest.mark.parametrize("place", [{"ra": scenes.RA + 180.0, "dec": -scenes.DEC}, {"ra": scenes.RA + 0.1}])
def test_those_elsewhere_do_not_overlap(place):
    """A tangent plane has the opposite side of the sky in the same pixels."""
    assert not survey_of([(plain(), SHAPE), (plain(**place), SHAPE)]).overlaps(0)


def test_exposures_of_a_group_are_one_region():
    """And what lies within two of its exposures counts once."""
    wcs = [plain(), plain(shift=(60.0, 0.0)), plain(shift=(30.0, 40.0))]
    fields = [
        Field(str(k), one, SHAPE, group) for k, (one, group) in enumerate(zip(wcs, [None, "a", "a"], strict=True))
    ]
    regions = SkySurvey(fields).overlaps(0)
    assert list(regions) == [1]
    separate = [overlap((wcs[0], SHAPE), (other, SHAPE)) for other in wcs[1:]]
    np.testing.assert_array_equal(mask_of(regions[1], SHAPE), separate[0] | separate[1])
    assert not SkySurvey(fields).overlaps(1).keys() - {0}


def test_exposures_that_are_too_wide_are_refused():
    models_ = [model_at(5, k, (30, 30), scenes.imaging_wcs((30, 30), scale=6500.0), {"stars": 0}) for k in range(2)]
    with pytest.raises(ValueError, match=r"exposure0\.fits.*up to 50 degrees wide"):
        gpures.match_sky(models_)
    assert gpures.match_sky(models_, "local").levels == pytest.approx([5, 5], abs=0.3)


def test_cost_goes_with_overlaps_not_with_pairs(monkeypatch):
    """Of exposures in a row only neighbours are brought into each other's pixels."""
    wcs = [scenes.imaging_wcs((20, 20), shift=(15.0 * k, 0.0)) for k in range(30)]
    survey = survey_of([(one, (20, 20)) for one in wcs])
    for k in range(30):
        assert set(survey.overlaps(k)) == {other for other in (k - 1, k + 1) if 0 <= other < 30}
    assert max(len(near) for near in survey._near) <= 4


def test_any_polygon_is_filled():
    """Also one that crosses itself, and reaches beyond the image."""
    rng = np.random.default_rng(8)
    y, x = np.indices((40, 50), float)
    for corners in (3, 4, 7, 30):
        polygon = rng.uniform(-20, 60, (corners, 2))
        inside = np.zeros(x.shape, bool)
        for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            with np.errstate(divide="ignore", invalid="ignore"):
                inside ^= ((y0 < y) != (y1 < y)) & (x0 + (y - y0) / (y1 - y0) * (x1 - x0) < x)
        found = mask_of(filled(polygon, Box(5, 44, 0, 35)), x.shape)
        np.testing.assert_array_equal(found[:36, 5:45], inside[:36, 5:45])
        assert found.sum() == found[:36, 5:45].sum()


def test_regions_are_united():
    rng = np.random.default_rng(9)
    limits = Box.whole((40, 50))
    regions = [filled(rng.uniform(-5, 50, (4, 2)), limits) for _ in range(5)]
    masks = [mask_of(region, (40, 50)) for region in regions]
    np.testing.assert_array_equal(mask_of(united(regions), (40, 50)), np.logical_or.reduce(masks))
    assert len(united([])) == 0
