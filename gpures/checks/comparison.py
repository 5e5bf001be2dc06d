"""What the checks are made with: a backend, small exposures, and the comparison with what is expected."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpures.backend.base import MosaicLayout
from gpures.backend.choice import make_accumulators
from gpures.checks.definition import rounding
from gpures.exposure.exposure import Exposure
from gpures.exposure.pixmap import PixelMap
from gpures.exposure.weights import Weight

__all__ = ["SHAPE", "VARIANCES", "WHOLE", "Backend", "Comparison", "exposure_of", "frame_of"]

VARIANCES = ("var_rnoise", "var_flat", "var_poisson")

# Of images, and of a frame that contains them with a margin: more than one block of input pixels and one tile of output
# pixels on any device, and no multiples of them.
SHAPE, WHOLE = (37, 45), (97, 99)

Images = dict[str, np.ndarray]


class Comparison:
    """The largest deviation from what is expected, as a fraction of its bound.

    Attributes
    ----------
    worst : float
        The fraction; infinite where what must be equal is not.
    words : str
        Where that is.
    """

    def __init__(self) -> None:
        self.worst, self.words = 0.0, ""

    def __call__(self, name: str, got: Any, expected: Any, bound: Any = 0.0) -> None:
        """Compare images, or numbers. NaN must be at the same places; with a bound of 0 all must be equal."""
        got, expected = np.asarray(got), np.asarray(expected)
        if got.shape != expected.shape:
            self._note(math.inf, f"{name} has the shape {got.shape}, expected {expected.shape}")
            return
        equal = (got == expected) | (np.isnan(got) & np.isnan(expected))
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            fraction = np.abs(got.astype(float) - expected) / bound
        fraction = np.where(equal, 0.0, np.where(np.isnan(fraction), math.inf, fraction))
        at = np.unravel_index(np.argmax(fraction), fraction.shape)
        self._note(float(fraction[at]), f"{name}{[int(n) for n in at]} is {got[at]}, expected {expected[at]}")

    def _note(self, fraction: float, words: str) -> None:
        if fraction > self.worst:
            self.worst, self.words = fraction, words


@dataclass(frozen=True)
class Backend:
    """A backend to be checked; `device` is its GPU."""

    name: str
    device: int | None = None

    @property
    def is_reference(self) -> bool:
        """Whether it is the drizzle package: float32 means, rounded with each contribution, which need a margin."""
        return self.name == "drizzle"

    def images(self, frame: MosaicLayout, exposures: Sequence[Exposure], scaling: float = 1.0) -> Images:
        """Images of a mosaic, the variances among them."""
        accumulators = make_accumulators(self.name, frame, self.device)
        try:
            for exposure in exposures:
                accumulators.add(exposure)
            return dict(accumulators.images()) | accumulators.finish_variances(scaling)
        finally:
            accumulators.close()

    def rounding(self, contributions: float, exposures: int = 1) -> Any:
        """Relative error of a sum of positive numbers in float32."""
        return rounding(contributions, exposures, "f4", self.is_reference)


def frame_of(
    kernel: str, shape: tuple[int, int] = WHOLE, dtype: str = "f4", fillval: float | None = None
) -> MosaicLayout:
    """A frame with everything on; always the same planes, so that a GPU's kernels are compiled once.

    Parameters
    ----------
    kernel : str
        Shape of the drops.
    shape : (int, int), optional
        Shape (Ny, Nx).
    dtype : {"f4", "f8"}, optional
        Type of the sums.
    fillval : float or None, optional
        Value of pixels without contributions; None for NaN.
    """
    return MosaicLayout(shape, kernel, fillval, VARIANCES, 1, has_err=True, has_dq=True, dtype=np.dtype(dtype))


def exposure_of(data: np.ndarray, pixmap: PixelMap, **settings: Any) -> Exposure:
    """An exposure with everything that a frame has; what is not given is 1, or no flags.

    Parameters
    ----------
    data : ndarray (Ny, Nx)
        Image.
    pixmap : PixelMap
        Of its pixels.
    **settings
        Further attributes of `gpures.exposure.Exposure`.
    """
    ones = np.ones(data.shape, np.float32)
    defaults: dict[str, Any] = {
        "weight": Weight(),
        "limits": (0, data.shape[1] - 1, 0, data.shape[0] - 1),
        "err": ones,
        "variances": dict.fromkeys(VARIANCES, ones),
        "dq": np.zeros(data.shape, np.uint32),
    }
    return Exposure(data, pixmap, **(defaults | settings))
