"""Drops of two sizes on the output grid, and the shares of one of them."""

import matplotlib.pyplot as plt
import numpy as np
from drawing import BLUE, ORANGE, outline, overlaps, pixel_grid

from gpures.checks.definition import Geometry

COLUMNS, ROWS = np.arange(6), np.arange(6)
IMAGE = Geometry((4, 4), at=(2.5, 2.5), angle=24, ratio=0.72, bend=0.02)
SIGNS = np.array([[-0.5, 0.5], [0.5, 0.5], [0.5, -0.5], [-0.5, -0.5]])

figure, panels = plt.subplots(1, 2, figsize=(9, 4.4), layout="constrained")
for axes, pixfrac in zip(panels, (1.0, 0.6), strict=True):
    pixel_grid(axes, COLUMNS, ROWS)
    for j in range(4):
        for i in range(4):
            corners = np.stack(IMAGE(i + pixfrac * SIGNS[:, 0], j + pixfrac * SIGNS[:, 1]), axis=-1)
            is_shown = (i, j) == (2, 1)
            colour = ORANGE if is_shown else BLUE
            outline(axes, corners, facecolor=colour, alpha=0.55 if is_shown else 0.2, edgecolor=colour)
            if is_shown:
                areas = overlaps(corners, COLUMNS, ROWS)
    share = areas / areas.sum()
    for j, i in np.argwhere(share > 0):
        axes.text(i, j, f"{share[j, i]:.3f}", ha="center", va="center", fontsize=7.5)
    axes.set_title(f"pixfrac = {pixfrac:g}; the orange drop's shares add up to {share.sum():g}")
