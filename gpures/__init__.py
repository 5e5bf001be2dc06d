"""gpures: drizzle for astronomy's mosaics, with the API of `stcal.resample`.

Pixel coordinates: the centre of the first pixel is (0, 0), and it spans -0.5 ... 0.5 on both axes. Arrays have the
shape (Ny, Nx); pixel maps have (Ny, Nx, 2), with x before y.
"""

from gpures import startup

startup.begin()  # before what takes time is imported

from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if find_spec("gpures._cpu") is None:
    # This is a source tree that Python was started in, and it hides the installed package: the compiled extension is
    # that one's.
    with suppress(PackageNotFoundError):
        __path__.append(str(distribution("gpures").locate_file("gpures")))
    if find_spec("gpures._cpu") is None:
        raise ImportError("gpures is a source tree here, without its compiled extension: install it (pip install .).")

from gpures.errors import DeviceError, GpuresError, UnsupportedWCSError
from gpures.moved import PLACES, install
from gpures.resample.resampler import Resample
from gpures.wcs.transforms import compute_mean_pixel_area

if TYPE_CHECKING:
    from gpures import plot, psf
    from gpures.acceleration import accelerate, restore
    from gpures.cleaning import flag_outliers, match_sky
    from gpures.drizzle import Drizzle, blot_image
    from gpures.mosaicking import mosaic
    from gpures.operators import drizzle_operator, noise_realizations
    from gpures.resample.correlation import aperture_error, correlation_function

__all__ = [
    "DeviceError",
    "Drizzle",
    "GpuresError",
    "Resample",
    "UnsupportedWCSError",
    "__version__",
    "accelerate",
    "aperture_error",
    "blot_image",
    "compute_mean_pixel_area",
    "correlation_function",
    "drizzle_operator",
    "flag_outliers",
    "match_sky",
    "mosaic",
    "noise_realizations",
    "plot",
    "psf",
    "restore",
]

__version__ = version("gpures")

install()

# Names that are imported when they are first asked for, and their modules; some are modules themselves.
_LAZY = {
    "Drizzle": "gpures.drizzle",
    "accelerate": "gpures.acceleration",
    "aperture_error": "gpures.resample.correlation",
    "blot_image": "gpures.drizzle",
    "correlation_function": "gpures.resample.correlation",
    "drizzle_operator": "gpures.operators",
    "flag_outliers": "gpures.cleaning",
    "match_sky": "gpures.cleaning",
    "mosaic": "gpures.mosaicking",
    "noise_realizations": "gpures.operators",
    "plot": "gpures.plot",
    "psf": "gpures.psf",
    "restore": "gpures.acceleration",
}


def __getattr__(name: str) -> Any:
    if f"gpures.{name}" in PLACES:
        return import_module(PLACES[f"gpures.{name}"])
    if name not in _LAZY:
        raise AttributeError(f"module 'gpures' has no attribute {name!r}")
    module = import_module(_LAZY[name])
    return module if module.__name__ == f"gpures.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
