"""gpures: drizzle for astronomy's mosaics, with the API of `stcal.resample`.

Pixel coordinates: the centre of the first pixel is (0, 0), and it spans -0.5 ... 0.5 on both axes. Arrays have the
shape (Ny, Nx); pixel maps have (Ny, Nx, 2), with x before y.
"""

from importlib.metadata import version

from gpures.resample import Resample
from gpures.wcs import UnsupportedWCSError, compute_mean_pixel_area

__all__ = ["Resample", "UnsupportedWCSError", "__version__", "compute_mean_pixel_area"]

__version__ = version("gpures")
