"""Every tolerance of the tests, each with its reason, and the comparison that uses them.

Nothing here is tuned until a test passes: a bound follows from the precision of a type (eps), the number of roundings
and how ill-conditioned the quantity is. Where a strict comparison may flip on the last bit (a drop that just touches
a pixel or just does not) the fraction of flipped pixels is bounded, never the tolerance widened.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EPS32 = float(np.finfo(np.float32).eps)
EPS64 = float(np.finfo(np.float64).eps)

#: Smallest number of a type, by its eps.
SMALLEST = {float(t.eps): float(t.smallest_subnormal) for t in map(np.finfo, (np.float32, np.float64))}

#: Roundings that one contribution goes through in an implementation that keeps a running mean: weight to the sums'
#: type, value times scale, product of weight and value, old mean times old weight, their sum, sum of weights, quotient.
#: Each is half an eps at most, so 4 eps hold 8 of them.
PER_CONTRIBUTION = 4.0

#: Roundings of an accumulator that is fed once per exposure, from sums in float64, likewise.
PER_EXPOSURE = 4.0

#: Float64 geometry, in eps of the frame's side: a corner passes through about 16 operations (bilinear reading,
#: differences, slope, clip), and a difference of areas through 4 edges of 4; with one eps for each.
GEOMETRY = 32.0

#: The same in single precision, in eps of float32 and of the drop's extent in output pixels, but at least of one:
#: coordinates are counted from an output pixel near by. Shares below 2.5e-7 of a drop, taken for rounding, add 2.
SINGLE_GEOMETRY = 8.0

#: Roundings of a contribution in single precision that are no matter of place: of weight and value, of a factor or a
#: share and its two products, and of the fold.
SINGLE_CONTRIBUTION = 8.0

#: Overlap of a quadrilateral and a pixel, relative to the area of the quadrilateral's bounding box: 4 edges with a
#: product and two sums each, for two levels, and as much again for the clipped abscissae.
OVERLAP = 16.0 * EPS64

#: Overlap of a well-shaped quadrilateral, relative to its own area: what photutils asks of its geometry.
OVERLAP_RTOL = 1e-12

#: Roundings of a factor in float64: exp(-u) is good to u eps, and u < 88 where float32 does not underflow.
EXPONENT = 100.0

#: Fraction of pixels whose context or DQ may differ, where drops are cut exactly on pixel edges by one side and to
#: rounding by the other. Zero where geometry is generic: an overlap within 1e-14 of zero has that probability.
FLIPPED = 2e-3


def sum_rtol(n: int, eps: float = EPS32) -> float:
    """Relative error of a plain sum of n positive numbers, each rounded before: Higham's (n - 1) u, and 2 u more."""
    return 0.5 * eps * (n + 1)


@dataclass(frozen=True)
class Precision:
    """How an implementation accumulates.

    Attributes
    ----------
    eps : float
        Of the accumulators' type.
    per_contribution : bool
        Whether they are rounded with each contribution (the reference's running mean) or once per exposure.
    drop : float
        In single precision: the largest extent of a drop in output pixels; 0 where drops and the exposures' sums are of
        float64.
    """

    eps: float
    per_contribution: bool
    drop: float = 0.0

    def _of_sums(self, truth) -> tuple[np.ndarray, float]:
        """Error of an exposure's sums: relative to those of magnitudes, and in output pixels by which drops move."""
        if self.drop:
            return (SINGLE_CONTRIBUTION + truth.count) * EPS32, SINGLE_GEOMETRY * EPS32 * max(self.drop, 1.0)
        return (EXPONENT + truth.count) * EPS64, GEOMETRY * EPS64 * max(truth.wht.shape)

    def bounds(self, truth, exposures: int) -> dict[str, np.ndarray]:
        """Bounds of the images of a mosaic, per pixel; infinite where float32 may lose a contribution.

        A mean S / W of n terms has S uncertain by n roundings of sum|terms|, and W likewise; with weights of both signs
        (Lanczos) these sums of magnitudes exceed |S| and |W|. Coordinates are good to a few eps of the frame's side,
        which moves the drops. An inverse variance t carries the error of a squared mean, and var = sum(v t^2) / (sum
        t)^2 that of v once and of t four times: 2 (1 + 4) times the error of S / W, which is twice that of S or W.
        """
        fine, moved = self._of_sums(truth)
        rounding = (PER_CONTRIBUTION * truth.count if self.per_contribution else PER_EXPOSURE * exposures) * self.eps
        # Near the end of the range of a type, what is kept is rounded to a multiple of its smallest number.
        least = PER_EXPOSURE * exposures * SMALLEST[self.eps]
        with np.errstate(divide="ignore", invalid="ignore"):
            uncertain = (fine + rounding) * truth.abs_wht + moved * truth.moved_wht
            bounds = {"wht": uncertain}
            for name in ("data", "err"):
                of_sum = (fine + rounding) * getattr(truth, f"abs_{name}") + moved * getattr(truth, f"moved_{name}")
                bounds[name] = (of_sum + np.abs(getattr(truth, name)) * uncertain) / np.abs(truth.wht)
            # Each exposure's roots are averaged on their own: from float64 sums, unless they are running means.
            of_mean = (fine + rounding * self.per_contribution) * truth.condition + moved * truth.moved
            for name, variance in truth.variances.items():
                bounds[name] = np.abs(variance) * (20.0 * of_mean + PER_EXPOSURE * exposures * self.eps) + least
        return {name: np.where(truth.unsure, np.inf, bound) for name, bound in bounds.items()}

    def squared_bound(self, truth, squared, exposures: int) -> np.ndarray:
        """Bound of an average with squared weights, as `oracle.coadd_squared` gives it: S / W / W.

        S has the roundings of a sum, and each W those of the sum of weights, relative to the sum of their magnitudes.
        """
        mean, magnitude, change = squared
        fine, moved = self._of_sums(truth)
        rounding = (PER_CONTRIBUTION * truth.count if self.per_contribution else PER_EXPOSURE * exposures) * self.eps
        with np.errstate(divide="ignore", invalid="ignore"):
            of_weight = ((fine + rounding) * truth.abs_wht + moved * truth.moved_wht) / np.abs(truth.wht)
            bound = (fine + rounding) * magnitude + moved * change + 2 * of_weight * (np.abs(mean) + magnitude)
        return np.where(truth.unsure, np.inf, bound)


#: By backend and type of the accumulators.
PRECISION = {
    ("drizzle", "f4"): Precision(EPS32, per_contribution=True),
    ("cpu", "f4"): Precision(EPS32, per_contribution=False),
    ("cpu", "f8"): Precision(EPS64, per_contribution=False),
    # Atomic adds of float64, in no particular order, rounded once per exposure.
    ("cuda", "f4"): Precision(EPS32, per_contribution=False),
    ("cuda", "f8"): Precision(EPS64, per_contribution=False),
}

#: The same in single precision, where shares of less than 2.5e-7 of a drop are taken for rounding. A corner that
#: reaches into a pixel by d has a triangle of about d^2 there: one in a few hundred corners has such a share.
SINGLE_FLIPPED = 5e-3

#: Error of float32 images that no implementation avoids, per exposure: each is rounded when it is added.
UNAVOIDABLE32 = 0.5 * EPS32

#: Fraction of pixels where float32 may lose a contribution, at most: of a narrow gaussian, the rim between 1e-38 and
#: 1e-45, which for an image of 10 x 10 pixels in its frame is a tenth. Not a tolerance; so that a test tests something.
UNSURE = 0.2

#: Fraction of pixels that drops only graze, at most, of those that they reach: the rim of an image of 10 x 10 pixels.
#: Not a tolerance, either.
GRAZED = 0.3


def assert_same_nan(got, expected, name: str = "image") -> None:
    """NaN at the same places."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape, f"{name}: shape {got.shape}, expected {expected.shape}"
    differ = np.isnan(got) != np.isnan(expected)
    assert not differ.any(), f"{name}: NaN differ at {differ.sum()} pixels, first {np.argwhere(differ)[0]}"


def assert_close(got, expected, bound, name: str = "image", flipped: float = 0.0) -> None:
    """Equal NaN, and elsewhere |got - expected| <= bound (a number or an image); a fraction may be `flipped`."""
    assert_same_nan(got, expected, name)
    got, expected = np.asarray(got, float), np.asarray(expected, float)
    with np.errstate(invalid="ignore"):
        excess = np.where(got == expected, 0.0, np.abs(got - expected)) - bound
    wrong = excess > 0
    if wrong.mean() > flipped:
        at = np.unravel_index(np.nanargmax(excess), excess.shape)
        raise AssertionError(
            f"{name}: {wrong.sum()} of {wrong.size} pixels beyond the bound; at {tuple(map(int, at))} got {got[at]!r}, "
            f"expected {expected[at]!r}, bound {np.broadcast_to(bound, excess.shape)[at]:.2e}"
        )


def assert_same_bits(got, expected, name: str = "context", flipped: float = 0.0) -> None:
    """Equal integers but for a bounded fraction of the pixels."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape, f"{name}: shape {got.shape}, expected {expected.shape}"
    differ = got != expected
    assert differ.sum() <= flipped * differ.size, (
        f"{name}: {differ.sum()} of {differ.size} pixels differ, first at {np.argwhere(differ)[0]}: "
        f"got {got[differ][0]:#x}, expected {expected[differ][0]:#x}"
    )


def assert_true(backend: str, dtype: str, got: dict, truth, exposures: int, unsure: float = UNSURE) -> None:
    """All images of a mosaic agree with the truth, each to its bound, wherever float32 loses no contribution.

    It may do so in a fraction of the pixels.
    """
    bounds = PRECISION[backend, dtype].bounds(truth, exposures)
    sure = ~truth.unsure
    assert truth.unsure.mean() <= unsure
    if "con" in got:
        assert_same_bits(got["con"][:, sure], truth.con[:, sure], "context")
    if "dq" in got:
        assert_same_bits(got["dq"][sure], truth.dq[sure], "DQ")
    for name in ("data", "wht", "err", *truth.variances):
        if name in got:
            expected = truth.variances[name] if name in truth.variances else getattr(truth, name)
            assert_close(np.where(sure, got[name], 0), np.where(sure, expected, 0), bounds[name], name)
