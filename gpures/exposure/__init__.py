"""One input, checked: what a model becomes before anything of it is added."""

from gpures.exposure.exposure import WEIGHTS, Exposure
from gpures.exposure.from_model import exposure_of
from gpures.exposure.options import Options
from gpures.exposure.pixmap import PixelMap, calc_pixmap
from gpures.exposure.weights import Weight

__all__ = ["WEIGHTS", "Exposure", "Options", "PixelMap", "Weight", "calc_pixmap", "exposure_of"]
