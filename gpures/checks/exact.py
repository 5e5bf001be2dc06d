"""Checks of what is known exactly, in closed form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from gpures.checks.comparison import SHAPE, VARIANCES, WHOLE, Backend, Comparison, exposure_of, frame_of
from gpures.checks.definition import STEEPEST, Geometry
from gpures.exposure.pixmap import PixelMap
from gpures.exposure.weights import Weight

__all__ = [
    "check_bits",
    "check_copy",
    "check_flux",
    "check_mixture",
    "check_octagon",
    "check_propagated",
    "check_resample",
    "check_variances",
]

BAD, FILL = 4, -7.5

# Of a pixel map through WCS, in pixels: degrees resolve an arcsecond to 1e-11, and a spline is held to this.
PIXMAP_TOLERANCE = 1e-9


def _shifted(shape: tuple[int, int], x: float, y: float) -> PixelMap:
    """Pixel map that only shifts."""
    return Geometry(shape, (x + (shape[1] - 1) / 2, y + (shape[0] - 1) / 2)).pixmap()


def mixed(image: np.ndarray, x: float, y: float, shape: tuple[int, int], pixfrac: float = 1.0) -> np.ndarray:
    """Sum over shifted square drops of share times value: a bilinear mixture of each four neighbours."""
    total = np.zeros(shape)
    (x0, x), (y0, y) = divmod(x, 1), divmod(y, 1)
    beyond_x, beyond_y = (min(max((c + pixfrac / 2 - 0.5) / pixfrac, 0.0), 1.0) for c in (x, y))
    for j, share_y in enumerate((1 - beyond_y, beyond_y), int(y0)):
        for i, share_x in enumerate((1 - beyond_x, beyond_x), int(x0)):
            total[j : j + image.shape[0], i : i + image.shape[1]] += share_y * share_x * image
    return total


def check_copy(backend: Backend, compare: Comparison) -> None:
    """A shift by whole pixels gives the image back, and the fill value where nothing falls."""
    rng = np.random.default_rng(1)
    data, weights = rng.uniform(-2, 2, SHAPE).astype("f4"), rng.uniform(0.5, 2, SHAPE).astype("f4")
    rounded = backend.rounding(1)
    for kernel, fillval in (("square", None), ("turbo", FILL), ("point", 0.0)):
        exposure = exposure_of(data, _shifted(SHAPE, 29, 31), weight=Weight(weight_map=weights), err=np.abs(data))
        got = backend.images(frame_of(kernel, fillval=fillval), [exposure])
        inside = mixed(np.ones(SHAPE), 29, 31, WHOLE) > 0
        expected = np.full(WHOLE, np.nan if fillval is None else fillval)
        expected[inside] = data.ravel()
        compare(f"{kernel}: data", got["data"], expected, rounded * np.abs(expected))
        compare(f"{kernel}: err", got["err"], np.where(inside, np.abs(expected), expected), rounded * np.abs(expected))
        wht = mixed(weights, 29, 31, WHOLE)
        compare(f"{kernel}: wht", got["wht"], wht, rounded * wht)
        compare(f"{kernel}: con", got["con"][0], inside)
        compare(f"{kernel}: var_flat", got["var_flat"], np.where(inside, 1.0, np.nan), rounded)


def check_mixture(backend: Backend, compare: Comparison) -> None:
    """A shift by a fraction mixes four neighbours."""
    rng = np.random.default_rng(2)
    data, weights = rng.uniform(1, 2, SHAPE).astype("f4"), rng.uniform(0.5, 2, SHAPE).astype("f4")
    x, y = 28.375, 31.3125  # which float32 holds, and which no drop's edge comes to lie on a pixel's with
    rounded = backend.rounding(4)
    for kernel in ("square", "turbo"):
        for pixfrac in (1.0, 0.5):
            exposure = exposure_of(data, _shifted(SHAPE, x, y), weight=Weight(weight_map=weights), pixfrac=pixfrac)
            got = backend.images(frame_of(kernel), [exposure])
            wht, flux = (mixed(image, x, y, WHOLE, pixfrac) for image in (weights, weights * data.astype(float)))
            with np.errstate(invalid="ignore"):
                mean = flux / wht
            compare(f"{kernel}: wht", got["wht"], wht, rounded * wht)
            # All is positive, so a quotient has the errors of both sums.
            compare(f"{kernel}: data", got["data"], mean, 2 * rounded * mean)
            compare(f"{kernel}: con", got["con"][0], wht > 0)


def check_octagon(backend: Backend, compare: Comparison) -> None:
    """A square pixel on its corner covers an octagon of the pixel below, and a triangle of each neighbour."""
    expected = np.zeros((25, 25))
    expected[12, 12] = 2 * math.sqrt(2) - 2
    expected[[11, 13, 12, 12], [12, 12, 11, 13]] = (3 - 2 * math.sqrt(2)) / 4
    data, weights = np.ones((3, 3)), np.zeros((3, 3))
    weights[1, 1] = 1.0
    for mirrored in (False, True):
        pixmap = Geometry((3, 3), (12, 12), angle=45, mirrored=mirrored).pixmap()
        got = backend.images(
            frame_of("square", (25, 25)), [exposure_of(data, pixmap, weight=Weight(weight_map=weights))]
        )
        compare("wht", got["wht"], expected, backend.rounding(1) * expected)
        compare("con", got["con"][0], expected > 0)


def check_flux(backend: Backend, compare: Comparison) -> None:
    """All weight and all flux arrives in the mosaic, at any angle, scale and distortion."""
    rng = np.random.default_rng(3)
    data, weights = rng.uniform(1, 2, SHAPE).astype("f4"), rng.uniform(0.5, 2, SHAPE).astype("f4")
    flux, weight = np.sum(weights * data.astype(float)), np.sum(weights, dtype=float)
    for kernel in ("square", "turbo", "point"):
        for ratio in (0.75, 1.5):
            pixmap = Geometry(SHAPE, (48, 47), angle=33, ratio=ratio, bend=2e-3).pixmap()
            exposure = exposure_of(data, pixmap, weight=Weight(weight_map=weights), pixel_scale_ratio=ratio)
            got = backend.images(frame_of(kernel), [exposure])
            # Drops that reach an output pixel have their centres within half a diagonal of both.
            rounded = backend.rounding((2 * (1 + ratio) + 1) ** 2)
            compare(f"{kernel}: sum of wht", np.sum(got["wht"], dtype=float), weight, rounded * weight)
            total = np.nansum(got["data"].astype(float) * got["wht"])
            compare(f"{kernel}: sum of data * wht", total, flux, 2 * rounded * flux)


def check_variances(backend: Backend, compare: Comparison) -> None:
    """Constant variances, of which one is the weights' inverse, give those of a weighted mean."""
    values, variances = (1.5, -2.25, 3.7), np.array([(0.5, 1.7, 3.1), (0.2, 0.1, 0.4), (1.3, 2.9, 0.6)], np.float32)
    exposures = []
    for k, value in enumerate(values):
        of_all = {name: np.full(SHAPE, v[k]) for name, v in zip(VARIANCES, variances, strict=True)}
        weight, data = Weight(variance=of_all["var_rnoise"]), np.full(SHAPE, value)
        exposures.append(
            exposure_of(data, _shifted(SHAPE, 29, 31), weight=weight, variances=of_all, variance_weight=None)
        )
    scaling = 4.0
    got = backend.images(frame_of("square"), exposures, scaling)
    inside = mixed(np.ones(SHAPE), 29, 31, WHOLE) > 0
    t = 1 / variances[0].astype(float)
    mean, magnitude = np.sum(values * t) / np.sum(t), np.sum(np.abs(values) * t) / np.sum(t)
    rounded = backend.rounding(len(t), len(t))
    compare("wht", got["wht"], np.where(inside, np.sum(t), 0.0), rounded * np.sum(t))
    compare("data", got["data"], np.where(inside, mean, np.nan), rounded * (magnitude + abs(mean)))
    # A root, drizzled on its own, is squared for the variance v and for its weight t = 1 / v; sum(v t^2) / sum(t)^2
    # takes v once and t four times.
    rounded = 10 * backend.rounding(1) + rounded
    for name, v in zip(VARIANCES, variances.astype(float), strict=True):
        expected = scaling * np.sum(v * t**2) / np.sum(t) ** 2
        compare(name, got[name], np.where(inside, expected, np.nan), rounded * expected)


def check_propagated(backend: Backend, compare: Comparison) -> None:
    """Propagated variances are shared: by the four pixels that make one, and by two exposures on whole pixels."""
    variance = 2.5
    of_all = dict.fromkeys(VARIANCES, np.full(SHAPE, variance, np.float32))
    settings = {"variances": of_all, "err": np.full(SHAPE, math.sqrt(variance))}
    frame = replace(frame_of("square"), propagates=True)
    for at, exposures in ((29.5, 1), (29.0, 2)):
        exposure = exposure_of(np.ones(SHAPE), _shifted(SHAPE, at, at + 2), **settings)
        got = backend.images(frame, [exposure] * exposures)
        share = mixed(np.ones(SHAPE), at, at + 2, WHOLE)  # of a pixel, a fourth for each that contributes
        pixels = exposures * (4 * share if at % 1 else share)
        with np.errstate(divide="ignore"):
            expected = np.where(share > 0, variance / pixels, np.nan)
        rounded = 4 * backend.rounding(4, exposures)
        for name in VARIANCES:
            compare(f"{exposures}: {name}", got[name], expected, rounded * expected)
        compare(f"{exposures}: err", got["err"], np.sqrt(expected), rounded * np.sqrt(expected))


def check_bits(backend: Backend, compare: Comparison) -> None:
    """Context bits, of two planes, and DQ flags are where good pixels fall, and nowhere else."""
    shape, frame_shape = (3, 4), (25, 27)
    for kernel in ("square", "point"):
        con, dq = np.zeros((2, *frame_shape), np.uint32), np.zeros(frame_shape, np.uint32)
        exposures = []
        for k in range(34):
            x, y = 8 + k % 7, 8 + k % 5
            flags = np.full(shape, 1 << (k % 29 + 3), np.uint32)
            flags[k % 3, k % 4] |= BAD | 1
            good = (flags & BAD) == 0
            window = np.s_[y : y + shape[0], x : x + shape[1]]
            con[k // 32][window] |= np.where(good, np.uint32(1 << k % 32), np.uint32(0))
            dq[window] |= np.where(good, flags, np.uint32(0))
            data = np.where(good, 1.0, np.nan).astype(np.float32)
            settings = {"weight": Weight(bad_bits=BAD), "dq": flags, "context_id": k}
            exposures.append(exposure_of(data, _shifted(shape, x, y), **settings))
        # The image grows by a plane when it must; the reference's has to have them all.
        planes = 2 if backend.is_reference else 1
        got = backend.images(replace(frame_of(kernel, frame_shape), context_planes=planes), exposures)
        compare(f"{kernel}: con", got["con"].view(np.uint32), con)
        compare(f"{kernel}: dq", got["dq"], dq)


def _header(shape: tuple[int, int], x: float, y: float) -> Any:
    """Celestial WCS of an image whose reference pixel is (x, y), with pixels of an arcsecond."""
    from astropy.wcs import WCS

    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval = 10.0, 20.0
    wcs.wcs.cdelt = -1 / 3600, 1 / 3600
    wcs.wcs.crpix = x + 1, y + 1
    wcs.array_shape = shape
    return wcs


def check_resample(backend: Backend, compare: Comparison) -> None:
    """`gpures.Resample` of exposures whose WCS differ in the reference pixel alone, so that pixel maps are shifts."""
    from gpures.resample.resampler import Resample

    shape, frame_shape = (91, 97), (123, 127)  # large enough for splines as pixel maps
    rng = np.random.default_rng(5)
    resample = Resample(
        {"wcs": _header(frame_shape, 60, 61), "pixel_scale": 1.0, "pixel_scale_ratio": 1.0},
        n_input_models=3,
        fillval="NaN",
        good_bits=2,
        compute_err="from_var",
        propagate_dq=True,
        backend=backend.name,
        device=backend.device,
        pixmap_tolerance=PIXMAP_TOLERANCE,
    )
    # Row by row: a shift, and the variances of an exposure.
    table = [(10.375, 12.25, 2.0, 0.5, 1.25), (14.75, 11.375, 3.0, 1.0, 0.5), (12.25, 9.625, 1.0, 2.0, 1.0)]
    wht, flux, total = (np.zeros(frame_shape) for _ in range(3))
    of_variances = {name: np.zeros(frame_shape) for name in VARIANCES}
    con, dq = np.zeros(frame_shape, np.int32), np.zeros(frame_shape, np.uint32)
    for k, (x, y, *variances) in enumerate(table):
        named = dict(zip(VARIANCES, variances, strict=True))
        flags = rng.choice(np.array([0, 0, 0, 2, 4], np.uint32), shape)
        good = flags != 4
        data = np.where(good, rng.uniform(1, 2, shape), np.nan).astype(np.float32)
        resample.add_model(
            {name: np.full(shape, v, np.float32) for name, v in named.items()}
            | dict.fromkeys(("start_time", "end_time", "duration", "measurement_time", "pixelarea_steradians", "level"))
            | {"data": data, "dq": flags, "wcs": _header(shape, 60 - x, 61 - y), "exposure_time": 10.0 + k}
            | {"filename": f"exposure {k}", "group_id": k, "subtracted": False}
        )
        t = good / variances[0]
        wht += mixed(t, x, y, frame_shape)
        flux += mixed(np.where(good, data, 0).astype(float) * t, x, y, frame_shape)
        reached = mixed(good, x, y, frame_shape) > 0
        con |= reached * np.int32(1 << k)
        dq |= (mixed(flags == 2, x, y, frame_shape) > 0) * np.uint32(2)
        total += reached / variances[0]
        for name, v in named.items():
            of_variances[name] += reached * v / variances[0] ** 2
    resample.finalize()
    got: Mapping[str, Any] = resample.output_model
    with np.errstate(invalid="ignore"):
        expected = {"data": flux / wht} | {name: v / total**2 for name, v in of_variances.items()}
    error = np.sqrt(sum(expected[name] for name in VARIANCES))
    # An output pixel has four contributions of each exposure. Their shares, of 0.09 at least, move with the pixel map,
    # and an exposure has a third of another's weight at least.
    rounded = backend.rounding(4 * len(table), len(table)) + STEEPEST * PIXMAP_TOLERANCE / 0.03
    compare("wht", got["wht"], wht, rounded * wht)
    compare("data", got["data"], expected["data"], 2 * rounded * expected["data"])
    of_variance = rounded + 10 * backend.rounding(4)  # as in `check_variances`
    for name in VARIANCES:
        compare(name, got[name], expected[name], of_variance * expected[name])
    compare("err", got["err"], error, of_variance * error)
    compare("con", got["con"][0], con)
    compare("dq", got["dq"], dq)
    compare("exposure time", got["exposure_time"], 33.0)
