"""Draws the README's picture: one exposure beside the mosaic of nine. ``python docs/images/mosaic.py``."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

import gpures
from gpures.demo.nircam import GOOD_BITS, NATIVE_SCALE, NRCB5, make_exposures
from gpures.demo.scene import make_scene

if __name__ == "__main__":
    scene = make_scene(NRCB5["CRVAL1"], NRCB5["CRVAL2"])
    exposures = make_exposures(scene, shape=(256, 256))
    scale = 0.5 * NATIVE_SCALE
    mosaic = gpures.mosaic(exposures, pixel_scale=scale, pixfrac=0.7, good_bits=GOOD_BITS, progress=None)
    # The spiral galaxy, and above it the pairs of stars.
    middle = scene.ra0 + 0.7 / 3600, scene.dec0 + 2.7 / 3600
    figure = gpures.plot.before_after(exposures[4], mosaic, Figure(), around=middle, size=(10.0, 9.0))
    figure.set_dpi(90)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    # 256 colours are enough for two colour maps, and a third of the size.
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    picture.save(Path(__file__).with_suffix(".png"), optimize=True)
