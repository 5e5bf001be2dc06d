"""Accumulators of a part of a frame hold what those of the whole frame hold there."""

from __future__ import annotations

import numpy as np
import pytest
import scenes
import test_seams
import tolerances as tol
from merged import ALL_PLANES, MODELS

import gpures
from gpures.backend import MosaicLayout, make_accumulators
from gpures.backend.base import cut
from gpures.box import Box
from gpures.exposure.options import Options

SHAPE = MODELS[0]["data"].shape
FRAME = scenes.frame_around(SHAPE, margin=8)

VARIANCES = tuple(gpures.Resample.variance_array_names)


def exposures(frame, models, **options):
    """What a resampler makes of models, to be added to any accumulators."""
    resample = gpures.Resample({"wcs": frame, "pixel_scale": scenes.SCALE, "pixel_scale_ratio": 1.0}, **options)
    found = []
    for k, model in enumerate(models):
        found.append(resample._checked_exposure(model))
        found[-1].context_id = k
    return found


def accumulated(backend, layout, added):
    """Accumulators to which exposures have been added, and the windows of these."""
    accumulators = make_accumulators(backend, layout)
    windows = []
    for exposure in added:
        accumulators.add(exposure)
        windows.append(accumulators.window)
    return accumulators, windows


def layout_of(frame_shape, **options):
    return MosaicLayout.of(Options(**options), frame_shape, VARIANCES, 40)


PARTS = [Box(0, 42, 0, 39), Box(5, 20, 7, 30), Box(0, 0, 0, 39), Box(42, 42, 39, 39), Box(30, 42, 0, 11)]


@pytest.mark.parametrize("part", PARTS, ids=str)
@pytest.mark.parametrize(
    ("kernel", "method"),
    [
        *((kernel, "stcal") for kernel in ("square", "turbo", "point", "gaussian", "lanczos3")),
        ("square", "propagated"),
    ],
)
@pytest.mark.filterwarnings("ignore:Kernel '.*' is not a flux-conserving kernel", "ignore:In lanczos kernel")
def test_a_part_holds_what_the_whole_holds_there(own_backend, part, kernel, method):
    """All planes, wherever the part lies and however small it is; exposures beside it leave nothing."""
    assert FRAME.array_shape == (40, 43)
    options = ALL_PLANES | {"kernel": kernel, "pixfrac": 0.8, "variance_method": method}
    added = exposures(FRAME, MODELS[:4], **options)
    layout = layout_of(FRAME.array_shape, **options)
    whole, windows = accumulated(own_backend, layout, added)
    there, windows_there = accumulated(own_backend, layout.of_part(part), added)
    x0, y0 = part.xmin, part.ymin
    for window, in_part in zip(windows, windows_there, strict=True):
        common = window.common(part).moved(-x0, -y0)
        if in_part.xmin <= in_part.xmax:
            assert in_part == in_part.common(common)
    images, variances = whole.contents_on_host(part)
    got, got_variances = there.contents_on_host(Box.whole(there.layout.shape))
    assert got["wht"].shape == (part.ymax - y0 + 1, part.xmax - x0 + 1)
    empty = images["wht"] == 0
    for name, image in images.items():
        if image.dtype.kind != "f":
            np.testing.assert_array_equal(got[name], image, name)
            continue
        tol.assert_close(np.where(empty, 0, got[name]), np.where(empty, 0, image), 1e-5 * np.abs(image) + 1e-6, name)
    for name, both in variances.items():
        for one, other in zip(got_variances[name], both, strict=True):
            tol.assert_close(one, other, 1e-5 * np.abs(other) + 1e-6, name)
    assert got["wht"].any() or empty.all()


def big_frame():
    """A frame of several of the rectangles that a thread has, on a distorted camera's exposures."""
    wcs = scenes.camera_wcs((300, 1400), rotation=3.0)
    model = scenes.model_of(wcs, (300, 1400))
    frame = scenes.frame_around((300, 1400), margin=30)
    return frame, model


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("threads", ["1", "3"])
def test_parts_of_whole_rectangles_are_equal_to_the_last_bit(monkeypatch, dtype, threads):
    """On the CPU, where a part begins and ends with the rectangles that a thread has (512 x 256 pixels)."""
    monkeypatch.setenv("GPURES_NUM_THREADS", threads)
    frame, model = big_frame()
    ny, nx = frame.array_shape
    assert ny > 300
    assert nx > 1024
    options = {"compute_err": "from_var", "propagate_dq": True, "accumulator_dtype": dtype}
    added = exposures(frame, [model], **options)
    layout = layout_of(frame.array_shape, **options)
    whole, _ = accumulated("cpu", layout, added)
    seen = 0
    for y0 in range(0, ny, 256):
        for x0, width in ((0, 512), (512, nx), (1024, 512)):
            part = Box(x0, min(x0 + width, nx) - 1, y0, min(y0 + 256, ny) - 1)
            there, _ = accumulated("cpu", layout.of_part(part), added)
            for name, image in there._held().items():
                if image.ndim > 1:
                    assert image.tobytes() == cut(whole._held()[name], part).tobytes(), (name, part)
                    seen += int(np.count_nonzero(image))
    assert seen > 1e6


@pytest.mark.parametrize("kernel", ["square", "turbo"])
@pytest.mark.filterwarnings("ignore:Unable to compute")
def test_parts_of_periodic_frames(own_backend, kernel):
    """What crosses the seam of a frame of the whole sky is in the parts on both sides."""
    frame = test_seams.sky("CAR", (90, 180), scale=2.0)
    model = test_seams.exposure_at((180.0, 10.0), side=24, scale=0.7)
    options = {"kernel": kernel, "weight_type": "exptime"}
    added = exposures(frame, [model], **options)
    layout = layout_of(frame.array_shape, **options)
    whole = accumulated(own_backend, layout, added)[0].contents_on_host(Box.whole(layout.shape))[0]["wht"]
    assert whole[:, :20].any()
    assert whole[:, -20:].any()
    for part in (Box(0, 30, 20, 80), Box(150, 179, 0, 89), Box(40, 140, 0, 89)):
        there = accumulated(own_backend, layout.of_part(part), added)[0]
        got = there.contents_on_host(Box.whole(there.layout.shape))[0]["wht"]
        expected = cut(whole, part)
        tol.assert_close(got, expected, 1e-5 * np.abs(expected), "wht")
    assert not got.any()


def test_the_reference_takes_whole_frames_alone():
    """The drizzle package loses contributions at the borders of what it has."""
    layout = layout_of((40, 43)).of_part(Box(0, 10, 0, 10))
    with pytest.raises(ValueError, match="backend 'drizzle' accumulates whole frames alone"):
        make_accumulators("drizzle", layout)
