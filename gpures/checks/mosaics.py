"""Checks of whole mosaics, with everything on: against the definition, and against another backend."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from gpures.checks.comparison import SHAPE, VARIANCES, WHOLE, Backend, Comparison, exposure_of, frame_of
from gpures.checks.definition import Geometry, Truth
from gpures.exposure.drops import KERNELS
from gpures.exposure.exposure import Exposure
from gpures.exposure.weights import Weight

__all__ = ["PARTNER", "check_constant", "check_definition", "check_partner"]

# A frame that exposures stick out of.
CUT = (41, 70)

# All exact in float32.
RATIO, BAD, CONSTANT = 0.875, 4, 7.25

# With whom a backend is compared.
PARTNER = {"cuda": "cpu", "cpu": "drizzle"}


@lru_cache
def scene(kernel: str, shape: tuple[int, int], is_constant: bool = False) -> tuple[list[Exposure], Truth]:
    """Three exposures, turned, bent, of all kinds of weights and arrays, and what becomes of them in a frame."""
    rng = np.random.default_rng(4)
    exposures, geometries = [], []
    for k, (at, angle) in enumerate((((0.3, -0.2), 20.0), ((-3.1, 2.4), 107.0), ((5.2, 1.9), 201.0))):
        centre = shape[1] / 2 + at[0], shape[0] / 2 + at[1]
        geometry = Geometry(SHAPE, centre, angle, RATIO, bend=1e-3 * (k + 1), mirrored=k == 1)
        number = ("<f4", ">f4", "<f8")[k]
        dq = rng.choice(np.array([0, 0, 0, 0, 8, 16 + BAD, 1 << 31], np.uint32), SHAPE).astype(("<u4", ">u4", "<u8")[k])
        data, err = rng.normal(1, 0.5, SHAPE).astype(number), rng.uniform(0.1, 1, SHAPE).astype(number)
        if is_constant:
            data, err = np.full(SHAPE, CONSTANT, number), np.full(SHAPE, CONSTANT, number)
        data[(dq & BAD) != 0] = np.nan  # what is there must not matter
        variances = {name: rng.uniform(0.5, 2, SHAPE).astype(number) for name in VARIANCES}
        variances["var_rnoise"][[3, 17], [5, 29]] = np.inf if k == 1 else 1.0
        weights = rng.uniform(0.5, 2, SHAPE).astype(number)
        weights[[7, 11, 30], [40, 2, 20]] = 0.0, np.nan, np.inf
        settings: dict[str, Any] = {
            "weight": (
                Weight(weight_map=weights, bad_bits=BAD),
                Weight(variance=variances["var_rnoise"], bad_bits=BAD),
                Weight(constant=1.25, bad_bits=BAD),
            )[k],
            "variance_weight": 50.0 if k == 2 else None,
            "pixfrac": 1.0 if kernel.startswith("lanczos") else 0.8,
        }
        if k == 2:
            settings |= {"limits": (2, SHAPE[1] - 4, 1, SHAPE[0] - 2)}
            settings |= {} if is_constant else {"level": 0.25, "iscale": 0.75}
        settings |= {"err": err, "variances": variances, "dq": dq, "context_id": k, "pixel_scale_ratio": RATIO}
        exposures.append(exposure_of(data, geometry.pixmap(), **settings))
        geometries.append(geometry)
    return exposures, Truth(frame_of(kernel, shape), exposures, geometries)


def check_constant(backend: Backend, compare: Comparison) -> None:
    """A constant stays one, with any kernel, weights and geometry."""
    for kernel in KERNELS:
        exposures, truth = scene(kernel, WHOLE, is_constant=True)
        got, bounds = backend.images(frame_of(kernel), exposures), truth.bounds("f4", backend.is_reference)
        for name in ("data", "err"):
            expected = np.where(truth.count > 0, CONSTANT, np.nan)
            compare(f"{kernel}: {name}", got[name], expected, bounds[name])


def check_definition(kernel: str, backend: Backend, compare: Comparison) -> None:
    """All images are those of the definition.

    Parameters
    ----------
    kernel : str
        Shape of the drops.
    backend : Backend
        What makes the images.
    compare : Comparison
        Gets each image, and what it should be.
    """
    for shape, dtype in _settings_of(backend):
        exposures, truth = scene(kernel, shape)
        got = backend.images(frame_of(kernel, shape, dtype), exposures)
        bounds = truth.bounds(dtype, backend.is_reference)
        for name, expected in truth.images.items():
            compare(f"{name} ({dtype})", got[name], expected, bounds[name])


def _settings_of(backend: Backend) -> list[tuple[tuple[int, int], str]]:
    """Frames and types that a backend is checked with."""
    return [(WHOLE, "f4")] if backend.is_reference else [(WHOLE, "f4"), (CUT, "f4"), (WHOLE, "f8"), (CUT, "f8")]


def check_partner(backend: Backend, compare: Comparison) -> None:
    """All images are those of another backend."""
    partner = Backend(PARTNER[backend.name])
    for kernel in KERNELS:
        for shape, dtype in _settings_of(partner):
            exposures, truth = scene(kernel, shape)
            got, expected = (b.images(frame_of(kernel, shape, dtype), exposures) for b in (backend, partner))
            bounds, more = (truth.bounds(dtype, b.is_reference) for b in (backend, partner))
            for name in bounds:
                compare(f"{kernel}: {name} ({dtype})", got[name], expected[name], bounds[name] + more[name])
