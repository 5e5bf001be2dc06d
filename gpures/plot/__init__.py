"""Pictures of mosaics, for the eye's check: ``gpures.plot.mosaic(resample.output_model)``.

Each function draws an output model, as `gpures.Resample` makes it, what `gpures.mosaic` gives, or a mosaic's file, on
the axes that it is given, or on a new figure of pyplot's. Axes made with ``projection=model["wcs"]`` are numbered in
right ascension and declination, others in pixels; in both, coordinates of what is drawn are pixels of the output frame.
Nothing is shown or saved, and no setting of matplotlib is changed: ``plt.show()`` and ``figure.savefig`` are the
caller's.

Pixels without weight are grey-blue, and have no say in where the colours begin and end. The colours are told apart with
any colour vision. Large mosaics are averaged over blocks of pixels, as no page has room for all of them.
"""

try:
    import matplotlib as mpl  # noqa: F401
except ImportError as missing:
    from gpures.errors import MissingDependencyError
    from gpures.extras import install

    words = f"gpures.plot needs matplotlib, which is not installed: {install('plot')}"
    raise MissingDependencyError(words) from missing

from gpures.plot.comparison import Difference, before_after, difference, exposure, residual, side_by_side
from gpures.plot.planes import depth, dq, error, mosaic, overview, plane, weight

__all__ = [
    "Difference",
    "before_after",
    "depth",
    "difference",
    "dq",
    "error",
    "exposure",
    "mosaic",
    "overview",
    "plane",
    "residual",
    "side_by_side",
    "weight",
]
