"""The PSF of a mosaic: the mean of those of its exposures, drizzled as their images are."""

from gpures.psf.drizzled import DrizzledPSF, drizzled_psf
from gpures.psf.sampled import SampledPSF

__all__ = ["DrizzledPSF", "SampledPSF", "drizzled_psf"]
