"""Error of the spline that stands for a NIRCam detector's pixel map, against the WCS itself."""

import matplotlib.pyplot as plt
import numpy as np

from gpures.bench.scenes import SMALL, exposure_wcs, frame_wcs
from gpures.exposure.pixmap import calc_pixmap
from gpures.wcs.transforms import pixel_to_world, world_to_pixel

SHAPE = (SMALL, SMALL)
STEP = 7  # no divisor of the grid's spacing

exposure, backward = exposure_wcs(1, SHAPE), world_to_pixel(frame_wcs(SHAPE))
pixmap = calc_pixmap(exposure, backward, SHAPE)
y, x = (grid.ravel() for grid in np.mgrid[:SMALL:STEP, :SMALL:STEP].astype(float))
expected = np.stack(backward(*pixel_to_world(exposure)(x, y)), axis=-1)
got = pixmap.array()[y.astype(int), x.astype(int)]
error = np.abs(got - expected).max(axis=1).reshape(-1, len(range(0, SMALL, STEP)))

figure, axes = plt.subplots(figsize=(5.2, 4.2), layout="constrained")
image = axes.imshow(np.log10(np.maximum(error, 1e-13)), origin="lower", extent=(0, SMALL, 0, SMALL), cmap="viridis")
figure.colorbar(image, label="log10 of the error, output pixels")
coefficients = pixmap.spline["coefficients_x"].shape[0] - 4
axes.set(xlabel="x, input pixels", ylabel="y, input pixels")
axes.set_title(f"{coefficients} x {coefficients} grid: worst error {error.max():.1e} output pixels")
