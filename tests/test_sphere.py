"""Directions on the sky, as vectors and as angles."""

import math

import numpy as np
import pytest

from gpures.wcs.sphere import angles, quadrilateral_areas, separation, triangle_areas, turned, vectors

RNG = np.random.default_rng(7)
LON, LAT = RNG.uniform(0, 360, 1000), np.degrees(np.arcsin(RNG.uniform(-1, 1, 1000)))


def test_angles_of_vectors_are_those_they_were_made_of():
    """There and back nothing is lost, whatever the length of the vectors, and the axes lie where they should."""
    directions = vectors(LON, LAT)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=-1), 1.0, rtol=0, atol=4e-16)
    lon, lat = angles(3.7 * directions.reshape(10, 100, 3))
    # Longitudes are as good as the parallel is long.
    np.testing.assert_allclose((lon.ravel() - LON) * np.cos(np.radians(LAT)), 0.0, rtol=0, atol=1e-13)
    np.testing.assert_allclose(lat.ravel(), LAT, rtol=0, atol=1e-13)
    np.testing.assert_allclose(vectors([0, 90, 0], [0, 0, 90]), np.eye(3), rtol=0, atol=1e-16)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("direction", [(1.0, 0.5, 0.0), (0.0, 0.0, 1.0), (0.0, 0.0, 0.0)])
def test_a_vector_that_is_none_has_no_angle(direction, place):
    """One NaN in a vector is enough for its latitude, and for its separation from others, to be NaN."""
    direction = np.array(direction)
    direction[place] = np.nan
    assert np.isnan(angles(direction)[1])
    assert np.isnan(separation(direction, np.array([1.0, 0.0, 0.0])))


@pytest.mark.parametrize("apart", [0.0, 1e-9, 1e-3, 1.0, 90.0, 179.0, 180.0 - 1e-3, 180.0 - 1e-9, 180.0])
def test_separations_are_good_to_the_rounding_of_the_vectors(apart):
    """Along the equator, near 0 and near 180 degrees too."""
    start, end = vectors(LON, 0 * LON), vectors(LON + apart, 0 * LON)
    np.testing.assert_allclose(separation(start, end), apart, rtol=0, atol=2e-13)


def test_turned_about_a_pole():
    """A turn about the north pole adds to longitudes; about any pole the heights above its equator stay."""
    lon, lat = angles(turned(vectors(LON, LAT), np.array([0.0, 0.0, 1.0]), math.radians(25.0)))
    off = (lon - LON - 25.0 + 180.0) % 360.0 - 180.0
    np.testing.assert_allclose(off * np.cos(np.radians(LAT)), 0.0, rtol=0, atol=1e-13)
    np.testing.assert_allclose(lat, LAT, rtol=0, atol=1e-13)
    pole = vectors(40.0, -30.0)
    there = turned(vectors(LON, LAT), pole, 2.0)
    np.testing.assert_allclose(there @ pole, vectors(LON, LAT) @ pole, rtol=0, atol=1e-15)
    np.testing.assert_allclose(turned(there, pole, -2.0), vectors(LON, LAT), rtol=0, atol=1e-15)


def test_areas():
    """An octant is an eighth of the sky, with the sign of its turn; small quadrilaterals have sides times sides."""
    assert triangle_areas(*np.eye(3)) == pytest.approx(math.pi / 2, rel=1e-15)
    assert triangle_areas(*np.eye(3)[::-1]) == pytest.approx(-math.pi / 2, rel=1e-15)
    step = 1e-5
    lon, lat = np.meshgrid(np.arange(4) * step, np.arange(3) * step)
    np.testing.assert_allclose(
        quadrilateral_areas(vectors(lon, lat)), np.full((2, 3), math.radians(step) ** 2), rtol=1e-9
    )
