"""Real files that packages bring along, as their authors found them in archives: what `reproject` makes of them."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from reproject import reproject_exact

import gpures
from gpures import io

# Largest root mean square of the differences, over that of the image. The projections and the lookup tables are bent
# within pixels, which the two follow in their own ways.
FILES = {
    "astropy/io/fits/hdu/compressed/tests/data/m13.fits": 1e-6,
    "astropy/io/fits/hdu/compressed/tests/data/m13_gzip.fits": 1e-6,
    "astropy/io/fits/hdu/compressed/tests/data/m13_hcomp.fits": 1e-6,
    "astropy/io/fits/hdu/compressed/tests/data/m13_plio.fits": 1e-6,
    "astropy/io/fits/hdu/compressed/tests/data/m13_rice.fits": 1e-6,
    "astropy/io/fits/tests/data/checksum.fits": 1e-6,
    "astropy/io/fits/tests/data/comp.fits": 1e-6,
    "astropy/io/fits/tests/data/scale.fits": 1e-5,
    "astropy/modeling/tests/data/1904-66_AZP.fits": 2e-4,
    "astropy/nddata/tests/data/sip-wcs.fits": 2e-4,
    "astropy/wcs/tests/data/dist_lookup.fits.gz": 5e-4,
    "astropy/wcs/tests/data/dss.14.29.56-62.41.05.fits.gz": 1e-6,
    "reproject/interpolation/tests/reference/test_reproject_celestial_2d_gal2equ.fits": 1e-6,
    "reproject/tests/data/galactic_2d.fits": 1e-6,
    "spherical_geometry/tests/data/1904-66_TAN.fits.gz": 1e-6,
}


def find(name):
    """A file of an installed package."""
    package, _, inner = name.partition("/")
    found = importlib.util.find_spec(package)
    path = Path(found.origin).parent / inner if found else Path(name)
    if not path.exists():
        pytest.skip(f"{name} does not come with the package here")
    return path


@pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning", "ignore::astropy.io.fits.verify.VerifyWarning")
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("options", [{}, {"rotation": 30.0, "pixel_scale_ratio": 1.3}], ids=["default", "turned"])
def test_as_reproject_has_it(tmp_path, name, options):
    """Surface brightness and its place."""
    (image,) = io.inputs(find(name))
    options = options | {"values": "surface-brightness", "good_bits": None, "backend": "cpu", "progress": False}
    made = gpures.mosaic(image, tmp_path / "m.fits", **options)
    model = image.read()
    data = np.ma.filled(np.ma.MaskedArray(model["data"], dtype=float), np.nan)
    keywords, shape = WCS(fits.getheader(tmp_path / "m.fits", "SCI")), made.plan.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is NaN
        expected, covered = reproject_exact((data, image.wcs), keywords, shape_out=shape)
    inner = np.isfinite(expected) & np.isfinite(made.model["data"]) & (covered > 0.999)
    assert inner.sum() > 0.4 * np.isfinite(data).sum() / options.get("pixel_scale_ratio", 1.0) ** 2
    difference = made.model["data"][inner] - expected[inner]
    assert np.sqrt(np.mean(difference**2)) <= FILES[name] * np.sqrt(np.mean(expected[inner] ** 2))
