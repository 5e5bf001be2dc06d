"""gpures: drizzle for astronomy's mosaics, with the API of `stcal.resample`.

Pixel coordinates: the centre of the first pixel is (0, 0), and it spans -0.5 ... 0.5 on both axes. Arrays have the
shape (Ny, Nx); pixel maps have (Ny, Nx, 2), with x before y.
"""

from importlib.metadata import version
from importlib.util import find_spec

if find_spec("gpures._cpu") is None:
    raise ImportError(
        "gpures was found without its compiled extension: this is a source tree. Install it (pip install . or, to work "
        "on it, pip install -e .) and, unless that was with -e, start Python from another folder."
    )

from gpures.resample import Resample
from gpures.wcs import UnsupportedWCSError, compute_mean_pixel_area

__all__ = ["Resample", "UnsupportedWCSError", "__version__", "compute_mean_pixel_area"]

__version__ = version("gpures")
