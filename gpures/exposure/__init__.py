"""One input, checked: what a model becomes before anything of it is added."""

from gpures.exposure.exposure import WEIGHTS, Exposure, Wanted, exposure_of
from gpures.exposure.pixmap import PixelMap, calc_pixmap
from gpures.exposure.weights import Weight

__all__ = ["WEIGHTS", "Exposure", "PixelMap", "Wanted", "Weight", "calc_pixmap", "exposure_of"]
