"""One of nine simulated exposures, and the mosaic of all nine."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import AsinhNorm

from gpures import Resample
from gpures.demo import nircam
from gpures.demo.frames import north_up_frame
from gpures.demo.scene import make_scene

scene = make_scene(nircam.NRCB5["CRVAL1"], nircam.NRCB5["CRVAL2"])
models = nircam.make_exposures(scene, 9, (128, 128))
frame = north_up_frame([m["fits_wcs"] for m in models], [m["data"].shape for m in models], nircam.NATIVE_SCALE / 2, 0)
resample = Resample({"wcs": frame.wcs}, pixfrac=0.7, fillval="NaN", good_bits=nircam.GOOD_BITS)
resample.add_models(models)
resample.finalize()

# The same piece of sky in both, 5 arcsec wide.
x, y = np.array(frame.shape[::-1]) / 2
sky = frame.fits_wcs.all_pix2world(x, y, 0)
i, j = models[4]["fits_wcs"].all_world2pix(*sky, 0)
norm = AsinhNorm(0.02, vmin=0.11, vmax=3)
data = np.where(models[4]["dq"] & 1, np.nan, models[4]["data"])
half = 2.5 / nircam.NATIVE_SCALE

figure, panels = plt.subplots(1, 2, figsize=(9, 4.5))
for axes, image, centre, size, title in (
    (panels[0], data, (i, j), half, "one of nine exposures (a part, as the detector sees it)"),
    (panels[1], resample.output_model["data"], (x, y), 2 * half, "the mosaic"),
):
    axes.imshow(image, origin="lower", norm=norm, cmap="magma", interpolation="nearest")
    axes.set(xlim=(centre[0] - size, centre[0] + size), ylim=(centre[1] - size, centre[1] + size))
    axes.set(xticks=[], yticks=[], title=title)
    axes.spines[:].set_visible(False)
