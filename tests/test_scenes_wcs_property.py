"""Whole scenes of WCS drawn at random: kinds, orders of axes, bounding boxes, splines; on every backend, by definition.

The pixel map of the definition is astropy's and gwcs's own, of the WCS with the longitude first and without a box.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import oracle
import pytest
import scenes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gpures
from gpures.backend.base import MosaicLayout

pytestmark = pytest.mark.filterwarnings("ignore:Kernel '.*' is not a flux-conserving kernel")

ORDERS = {"gwcs": [None, "axes_order", "axes_names", "physical types"], "fits": [None, "fits"], "sip": [None, "fits"]}

# Largest error of a place: that of the spline, or the rounding of both ways.
OFF = {0.0: 1e-7, 1e-6: 2e-6}


@dataclass
class Scene:
    """Exposures with their pixel maps by definition, and what the resampler is given."""

    models: list[dict]
    pixmaps: list[np.ndarray]
    output: Any
    frame_shape: tuple[int, int]
    ratio: float
    options: dict[str, Any]


def plain(kind, shape, **place):
    """A WCS, longitude first, without a box."""
    if kind == "gwcs":
        return scenes.imaging_wcs(shape, None, distortion=place.pop("bend", 0.0), **place)
    sip = place.pop("bend", 0.0) if kind == "sip" else 0.0
    place.pop("bend", None)
    return scenes.fits_wcs(shape, sip=sip, **place)


def to_sky(wcs, x, y):
    return wcs(x, y) if hasattr(wcs, "forward_transform") else wcs.all_pix2world(x, y, 0)


def from_sky(wcs, lon, lat):
    if hasattr(wcs, "forward_transform"):
        return wcs.invert(lon, lat, with_bounding_box=False)
    return wcs.all_world2pix(lon, lat, 0)


def bounds(rng, n):
    """Bounds of a box along one axis, in the middle of pixels or at their edges; two pixels at least are inside."""
    first = int(rng.integers(0, n - 1))
    last = int(rng.integers(first + 1, n))
    return first - float(rng.choice([0.5, 0.0, 0.3])), last + float(rng.choice([0.5, 0.0, 0.3]))


@st.composite
def drawn_scenes(draw):
    """Scenes of one to three exposures."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["gwcs", "fits"]))
    side = draw(st.integers(20, 60))
    frame_shape = (side, side + draw(st.integers(0, 9)))
    ratio = draw(st.sampled_from([0.6, 1.0, 1.7]))
    base = plain(kind, frame_shape, scale=scenes.SCALE * ratio)
    how = draw(st.sampled_from(ORDERS[kind]))
    output = base if how is None else scenes.latitude_first(base, how)
    models, pixmaps = [], []
    for k in range(draw(st.integers(1, 3))):
        shape = draw(st.integers(2, 30)), draw(st.integers(2, 30))
        kind = draw(st.sampled_from(sorted(ORDERS)))
        bend = draw(st.sampled_from([0.0, 0.3])) if min(shape) > 5 else 0.0
        place = {"rotation": float(rng.uniform(-180, 180)), "flip": draw(st.booleans()), "bend": bend}
        wcs = plain(kind, shape, shift=tuple(rng.uniform(-9, 9, 2)), **place)
        x, y = np.meshgrid(np.arange(shape[1], dtype=float), np.arange(shape[0], dtype=float))
        pixmap = np.stack(from_sky(base, *to_sky(wcs, x, y)), axis=-1)
        box = None
        if kind == "gwcs" and draw(st.booleans()):
            (x0, x1), (y0, y1) = box = tuple(bounds(rng, n) for n in shape[::-1])
            pixmap[(x < x0) | (x > x1) | (y < y0) | (y > y1)] = np.nan
        how = draw(st.sampled_from(ORDERS[kind]))
        given_wcs = wcs if how is None else scenes.latitude_first(wcs, how)
        if box is not None:
            scenes.set_frame(given_wcs, shape, box)
        changes = {"pixelarea_steradians": None, "exposure_time": 1.0, "measurement_time": 1.0}
        models.append(scenes.model_of(given_wcs, shape, k, **changes))
        pixmaps.append(pixmap)
    options = {
        "kernel": draw(st.sampled_from(["square", "point"])),
        "pixfrac": draw(st.sampled_from([1.0, 0.6])),
        "pixmap_tolerance": draw(st.sampled_from(sorted(OFF))),
    }
    return Scene(models, pixmaps, output, frame_shape, ratio, options)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(drawn_scenes())
def test_whole_scenes_of_wcs(own_backend, scene):
    """Data and weights are where the WCS have them, however these are written."""
    fixed = {"weight_type": "exptime", "good_bits": None, "fillval": "NaN", "enable_var": False, "compute_err": None}
    frame = {"wcs": scene.output, "pixel_scale_ratio": scene.ratio}  # else it is estimated, of two rows at least
    resample = gpures.Resample(frame, backend=own_backend, **fixed, **scene.options)
    for model in scene.models:
        resample.add_model(model)
    resample.finalize()
    got = resample.output_model
    kernel, pixfrac = scene.options["kernel"], scene.options["pixfrac"]
    exposures = [
        oracle.exposure(model["data"], pixmap, kernel=kernel, pixfrac=pixfrac, context_id=k)
        for k, (model, pixmap) in enumerate(zip(scene.models, scene.pixmaps, strict=True))
    ]
    truth = oracle.coadd(exposures, MosaicLayout(scene.frame_shape, kernel))
    off = OFF[scene.options["pixmap_tolerance"]]
    # A point that lies on the edge of two output pixels may be in either.
    sure = (
        ~_near_an_edge(scene.pixmaps, scene.frame_shape, off) if kernel == "point" else np.ones(scene.frame_shape, bool)
    )
    slack = 1e-6 * truth.abs_wht + 4 * off * truth.moved_wht + 1e-9
    assert np.all(np.abs(got["wht"] - truth.wht)[sure] <= slack[sure])
    there = sure & (truth.wht > 1e-3)
    values = np.nan_to_num(got["data"]) * truth.wht - np.nan_to_num(truth.data) * truth.wht
    allowed = 1e-5 * truth.abs_data + 8 * off * truth.moved_data + 1e-6 + np.abs(np.nan_to_num(truth.data)) * slack
    assert np.all(np.abs(values)[there] <= allowed[there])


def _near_an_edge(pixmaps, shape, off):
    """Output pixels with a point beside their edges."""
    near = np.zeros(shape, bool)
    for pixmap in pixmaps:
        places = pixmap[np.isfinite(pixmap).all(axis=-1)]
        part = np.abs((places + 0.5) % 1.0 - 0.5)
        for place in places[(np.abs(part - 0.5) < 2 * off).any(axis=-1)]:
            i, j = np.floor(place).astype(int)
            near[max(j, 0) : max(j + 2, 0), max(i, 0) : max(i + 2, 0)] = True
    return near
