"""How closely two mosaics agree, and whether float32 rounding explains the difference.

The reference algorithm keeps its running means and weights in float32 and rounds them once per contribution
of an input pixel.  Two correct programs that add the same contributions, in whatever order or precision,
therefore differ by that rounding and by no more.  The bounds below follow from the number of contributions;
they are not tuned to what is found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpures.reporting.tables import row

__all__ = ["Agreement", "PlaneAgreement", "compare_models", "contributions"]

EPS32 = float(np.finfo(np.float32).eps)

# Greatest fraction of pixels whose context, DQ or NaN pattern may differ.  A drop may touch an output pixel
# with a corner of rounding-error size, and two programs may then disagree on whether it does.
FLIPPED = 1e-4

# Fraction of the typical weight below which a pixel has only slivers of drops. Pixel coordinates pass through
# the sky: a declination of 64 deg or more resolves 1.4e-14 deg, 2e-9 of a 0.025 arcsec pixel, and two
# programs whose operations differ may place an edge so much apart. An overlap of one pixel's length is then
# uncertain by 4e-9 pixel**2 (two edges), which stays below the bound of the weights, some 2e-6, down to an
# overlap of 2e-3 pixel**2.
SLIVER = 2e-3

DATA_PLANES = ("data", "wht")
VARIANCE_PLANES = ("var_rnoise", "var_poisson", "var_flat")


def contributions(scale_ratio: float, pixfrac: float) -> int:
    """Greatest number of pixels of one exposure whose drops touch an output pixel.

    Parameters
    ----------
    scale_ratio : float
        Output over input pixel scale.
    pixfrac : float
        Side of the drop in input pixels.

    Returns
    -------
    int
        Points of the unit grid in a square with the side of an output pixel plus the drop's diagonal, which
        is the farthest that a drop turned by any angle reaches.
    """
    return math.ceil(scale_ratio + math.sqrt(2.0) * pixfrac + 1.0) ** 2


@dataclass(frozen=True)
class PlaneAgreement:
    """Agreement of one floating-point plane.

    Attributes
    ----------
    name : str
        Key of the plane in the output model.
    maximum, p999 : float
        Greatest and 99.9th percentile relative difference.
    bound_maximum, bound_p999 : float
        What either may be at most.
    """

    name: str
    maximum: float
    p999: float
    bound_maximum: float
    bound_p999: float

    @property
    def ok(self) -> bool:
        """Whether both figures are within their bounds."""
        return self.maximum <= self.bound_maximum and self.p999 <= self.bound_p999


@dataclass
class Agreement:
    """Agreement of two mosaics.

    Attributes
    ----------
    planes : list of PlaneAgreement
        The floating-point planes.
    equal : dict of str to float
        Fraction of pixels that are equal: ``con``, ``dq`` and ``nan`` (the pattern of NaN in all planes).
    """

    planes: list[PlaneAgreement] = field(default_factory=list)
    equal: dict[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Verdict over all planes and patterns."""
        return all(p.ok for p in self.planes) and all(1.0 - f <= FLIPPED for f in self.equal.values())

    @property
    def worst(self) -> float:
        """Greatest relative difference of all floating-point planes."""
        return max((p.maximum for p in self.planes), default=0.0)

    def lines(self) -> list[str]:
        """Report as aligned lines of plain text."""
        out = [row(("", "plane", "max", "bound", "99.9 %", "bound"), ("<2", "<12", ">10", ">10", ">11", ">10"))]
        for p in self.planes:
            verdict = "" if p.ok else "   <-- out of bounds"
            cells = "", p.name, p.maximum, p.bound_maximum, p.p999, p.bound_p999, verdict
            out.append(row(cells, ("<2", "<12", ">10.1e", ">10.1e", ">11.1e", ">10.1e", "")))
        names = {"con": "context", "dq": "DQ", "nan": "NaN pattern"}
        for key, fraction in self.equal.items():
            verdict = "" if 1.0 - fraction <= FLIPPED else "   <-- out of bounds"
            bound = f"   (at least {1.0 - FLIPPED:.2%})"
            out.append(row(("  equal", names[key], fraction, bound, verdict), ("<8", "<12", ">12.6%", "")))
        return out


def _relative(
    name: str,
    new: np.ndarray,
    reference: np.ndarray,
    scale: np.ndarray,
    use: np.ndarray,
    bounds: tuple[float, float],
) -> PlaneAgreement:
    """Relative difference of a plane over the pixels ``use`` where both are numbers."""
    use = use & np.isfinite(new) & np.isfinite(reference) & (scale > 0)
    if not use.any():
        return PlaneAgreement(name, 0.0, 0.0, *bounds)
    difference = np.abs(new[use].astype(np.float64) - reference[use]) / scale[use]
    return PlaneAgreement(name, float(difference.max()), float(np.percentile(difference, 99.9)), *bounds)


def compare_models(
    new: Mapping[str, Any], reference: Mapping[str, Any], n_exposures: int, per_exposure: int
) -> Agreement:
    """Compare two finalized output models.

    Data are compared relative to the greater of their value and error, since around zero the value is what is
    left of contributions as large as the noise.  Pixels whose context differs are left out of the comparison
    of values: they count against the limit on differing context, and a contribution that one of the two did
    not make is no rounding.  Where a pixel has nothing but slivers, its weight is compared on the absolute
    scale of `SLIVER`, and its values, averages by uncertain weights, are left out.

    Parameters
    ----------
    new, reference : mapping
        Output models with ``data``, ``wht``, ``err``, three variances (float32, shape (Ny, Nx)), ``con``
        (int32, shape (planes, Ny, Nx)) and ``dq`` (uint32, shape (Ny, Nx)).
    n_exposures : int
        Number of exposures combined.
    per_exposure : int
        Greatest number of input pixels of one exposure in an output pixel; see `contributions`.

    Returns
    -------
    Agreement
        Differences, bounds and verdict.
    """
    names = (*DATA_PLANES, *VARIANCE_PLANES, "err")
    for key in (*names, "con", "dq"):
        for side, model in (("new", new), ("reference", reference)):
            if model.get(key) is None:
                raise ValueError(f"{key}: expected an array in both models, got None in the {side} one")
        got, expected = np.shape(new[key]), np.shape(reference[key])
        if got != expected:
            raise ValueError(f"{key}: expected the reference's shape {expected}, got {got}")

    # A mean of N numbers that is rounded N times to float32, along with its weight, is off by N eps / 2 twice
    # at the most, N eps; typically the roundings add up as random steps, rms eps (N / 3)**0.5, of which one
    # pixel in a thousand exceeds 3.3 times as much, 2 eps N**0.5.
    n = n_exposures * per_exposure
    data_bounds = (n * EPS32, 2.0 * math.sqrt(n) * EPS32)
    # A variance is the mean of (sigma w)**2, divided by the square of the sum of w, and w itself may be the
    # reciprocal of a squared mean.  Each exposure's own mean thus enters 2 + 2 x 2 + 2 x 2 = 10 times, and
    # three float32 operations add the exposure to the running sums.
    # Typically the exposures' errors are independent and their mean's is smaller by the root of their number.
    amplification = 10.0
    maximum = amplification * per_exposure + 3.0 * n_exposures
    typical = amplification * math.sqrt(per_exposure / n_exposures) + 3.0 * math.sqrt(n_exposures)
    variance_bounds = (maximum * EPS32, 2.0 * typical * EPS32)
    # The square root halves a relative error; its own rounding is within the margin.
    error_bounds = (0.5 * variance_bounds[0], 0.5 * variance_bounds[1])

    same_context = np.all(np.asarray(new["con"]) == np.asarray(reference["con"]), axis=0)
    agreement = Agreement()
    weight = np.asarray(reference["wht"], dtype=np.float64)
    floor = SLIVER * float(np.median(weight[weight > 0])) if np.any(weight > 0) else 1.0
    for name in names:
        a, b = np.asarray(new[name]), np.asarray(reference[name])
        scale = np.abs(b.astype(np.float64))
        if name == "data":
            scale = np.fmax(scale, np.asarray(reference["err"], dtype=np.float64))
        elif name == "wht":
            scale = np.maximum(scale, floor)
        if name in DATA_PLANES:
            bounds = data_bounds
        elif name == "err":
            bounds = error_bounds
        else:
            bounds = variance_bounds
        use = same_context if name == "wht" else same_context & (weight >= floor)
        agreement.planes.append(_relative(name, a, b, scale, use, bounds))

    agreement.equal["con"] = float(same_context.mean())
    agreement.equal["dq"] = float(np.mean(np.asarray(new["dq"]) == np.asarray(reference["dq"])))
    same_nan = np.ones(same_context.shape, dtype=bool)
    for name in names:
        same_nan &= np.isnan(new[name]) == np.isnan(reference[name])
    agreement.equal["nan"] = float(same_nan.mean())
    return agreement
