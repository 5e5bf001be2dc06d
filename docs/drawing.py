"""What the figures share: colours, the grid of output pixels, overlaps computed by the kernels, and a mosaic."""

import functools

import numpy as np
from matplotlib.patches import Polygon

from gpures import Resample, _cpu
from gpures.demo import nircam
from gpures.demo.scene import make_scene
from gpures.demo.sky import frame_around
from gpures.mosaicking import SkyCell

# Okabe and Ito's colours, which those with any colour vision tell apart.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#8a8a8a"


def overlaps(corners, columns, rows):
    """Signed area that a quadrilateral (4, 2) shares with output pixels; shape (rows, columns)."""
    j, i = np.meshgrid(rows, columns, indexing="ij")
    pixels = np.stack([i.ravel(), j.ravel()], axis=-1).astype(float)
    areas = np.empty(len(pixels))
    _cpu.overlap(np.tile(np.asarray(corners, float), (len(pixels), 1, 1)), pixels, areas)
    return areas.reshape(j.shape)


def pixel_grid(axes, columns, rows):
    """Draw output pixels; pixel 0 spans -0.5 ... 0.5."""
    left, right, bottom, top = columns[0] - 0.5, columns[-1] + 0.5, rows[0] - 0.5, rows[-1] + 0.5
    axes.vlines(np.arange(left, right + 1), bottom, top, color=GREY, linewidth=0.6)
    axes.hlines(np.arange(bottom, top + 1), left, right, color=GREY, linewidth=0.6)
    axes.set(xlim=(left - 0.05, right + 0.05), ylim=(bottom - 0.05, top + 0.05), aspect="equal")
    axes.set(xticks=columns, yticks=rows, xlabel="x, output pixels", ylabel="y, output pixels")
    axes.spines[:].set_visible(False)


def outline(axes, corners, **style):
    """Draw a polygon."""
    return axes.add_patch(Polygon(corners, closed=True, **style))


@functools.cache
def simulated():
    """Nine simulated exposures, and the mosaic of them in pixels half as wide."""
    scene = make_scene(nircam.NRCB5["CRVAL1"], nircam.NRCB5["CRVAL2"])
    models = nircam.make_exposures(scene, 9, (128, 128))
    options = {"pixfrac": 0.7, "fillval": "NaN", "good_bits": nircam.GOOD_BITS, "compute_err": "from_var"}
    resample = Resample({"wcs": frame_around(models, nircam.NATIVE_SCALE / 2)}, **options)
    resample.add_models(models)
    resample.finalize()
    return models, resample.output_model


@functools.cache
def of_tutorial():
    """The exposures of the tutorial, and its mosaic."""
    scene = make_scene(nircam.NRCB5["CRVAL1"], nircam.NRCB5["CRVAL2"])
    models = nircam.make_exposures(scene, n_exposures=4, shape=(128, 128))
    frame = SkyCell("tutorial", scene.ra0, scene.dec0, nx=320, ny=320, pixel_scale=nircam.NATIVE_SCALE / 2).wcs
    options = {"pixfrac": 0.8, "good_bits": nircam.GOOD_BITS, "compute_err": "from_var", "fillval": "NaN"}
    resample = Resample({"wcs": frame}, **options)
    resample.add_models(models)
    resample.finalize()
    return models, resample.output_model
