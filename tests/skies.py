"""Exposures of one field of stars, each under a sky of its own: noise of 1, cosmic rays, NaN and flagged pixels."""

from __future__ import annotations

import numpy as np
import scenes

from gpures.wcs.transforms import world_to_pixel

SHAPE = (640, 660)

# Pixels around a star that it is seen in.
REACH = 12

# Flag of a bad pixel.
BAD = 1


def image_of(wcs, shape, sky, seed=0, stars=60, bad=0.03):
    """Image and flags: `stars` of the field, noise of 1, and a share `bad` of pixels that tell nothing of the sky."""
    rng = np.random.default_rng([seed, *shape])
    data = sky + rng.normal(0.0, 1.0, shape)
    field = np.random.default_rng(99)
    east, north = field.uniform(-350, 350, (2, stars)) * scenes.ARCSEC * scenes.SCALE
    places = world_to_pixel(wcs)(scenes.RA + east / np.cos(np.radians(scenes.DEC)), scenes.DEC + north)
    for x, y, flux in zip(*places, field.exponential(60.0, stars), strict=True):
        if 0 < x < shape[1] and 0 < y < shape[0]:
            rows, columns = (slice(max(0, int(at) - REACH), int(at) + REACH + 1) for at in (y, x))
            v, u = np.mgrid[: shape[0], : shape[1]][:, rows, columns]
            data[rows, columns] += flux * np.exp(-((u - x) ** 2 + (v - y) ** 2) / 8.0)
    kind = rng.random(shape)
    data[kind < bad] += rng.exponential(80.0, (kind < bad).sum())  # cosmic rays, which no flag tells of
    dq = np.where((kind > 0.4) & (kind < 0.4 + bad), BAD, 0).astype(np.uint32)
    data[dq > 0] = 1000.0
    data[(kind > 0.6) & (kind < 0.6 + bad / 3)] = np.nan
    data[(kind > 0.7) & (kind < 0.7 + bad / 3)] = np.inf
    return data.astype(np.float32), dq


def wcs_at(kind="gwcs", shape=SHAPE, rotation=0.0, shift=(0.0, 0.0), **place):
    """A WCS of the field, distorted: gwcs, or that of FITS with SIP."""
    if kind == "fits":
        return scenes.fits_wcs(shape, sip=2.0, rotation=rotation, shift=shift, **place)
    return scenes.imaging_wcs(shape, distortion=4.0, rotation=rotation, shift=shift, **place)


def model_at(sky, number=0, shape=SHAPE, wcs=None, image=None, **changes):
    """A model under a sky, at the field's middle if no WCS is given."""
    wcs = wcs_at(shape=shape) if wcs is None else wcs
    data, dq = image_of(wcs, shape, sky, number, **(image or {}))
    nothing = dict.fromkeys(("measurement_time", "duration", "start_time", "end_time", "pixelarea_steradians", "level"))
    return {
        "data": data,
        "dq": dq,
        "wcs": wcs,
        "filename": f"exposure{number}.fits",
        "group_id": str(number),
        "exposure_time": 100.0,
        "subtracted": None,
        **nothing,
        **changes,
    }


def exposures(skies, kind="gwcs", shape=SHAPE, **image):
    """Models that are dithered and turned against each other."""
    rng = np.random.default_rng(5)
    return [
        model_at(
            sky,
            number,
            shape,
            wcs_at(kind, shape, rotation=10.0 + 7.0 * number, shift=tuple(rng.uniform(-60, 60, 2))),
            image,
        )
        for number, sky in enumerate(skies)
    ]
