"""The area that a drop shares with a pixel, as the difference of two areas above its edges."""

import matplotlib.pyplot as plt
import numpy as np
from drawing import BLUE, GREEN, ORANGE, RED, outline, overlaps, pixel_grid

COLUMNS, ROWS = np.arange(4), np.arange(4)
DROP = np.array([[0.1, 2.2], [2.2, 2.9], [2.8, 0.8], [0.9, 0.0]])
COLUMN, ROW = 1, 1

figure, panels = plt.subplots(1, 3, figsize=(10.5, 3.6), width_ratios=(1, 1, 1), layout="constrained")
areas = overlaps(DROP, COLUMNS, ROWS)[:, COLUMN]
above = [areas[ROW:].sum(), areas[ROW + 1 :].sum()]

axes = panels[0]
axes.axvspan(COLUMN - 0.5, COLUMN + 0.5, color="0.93")
x = np.array([COLUMN - 0.5, COLUMN + 0.5])
for k, colour in enumerate((BLUE, GREEN, ORANGE, RED)):
    start, end = DROP[k], DROP[(k + 1) % 4]
    axes.plot(*zip(start, end, strict=True), color=colour, linewidth=1)
    a, b = np.clip([start[0], end[0]], *x)
    heights = np.interp([a, b], *zip(*sorted([tuple(start), tuple(end)]), strict=True))
    axes.plot([a, b], heights, color=colour, linewidth=3.5, solid_capstyle="butt")
axes.set_title("the pieces of the outline over a column")

for axes, level, name in zip(panels[1:], (ROW - 0.5, ROW + 0.5), ("lower", "upper"), strict=True):
    shape = outline(axes, DROP, facecolor="none", edgecolor=BLUE)
    strip = [(x[0], level), (x[1], level), (x[1], 4), (x[0], 4)]
    outline(axes, strip, facecolor=BLUE, alpha=0.45).set_clip_path(shape)
    axes.plot(x, [level, level], color=RED, linewidth=2)
    area = above[0] if name == "lower" else above[1]
    axes.set_title(f"above the {name} edge: {area:.4f}")
figure.supxlabel(f"shared with pixel ({COLUMN}, {ROW}): {above[0]:.4f} - {above[1]:.4f} = {areas[ROW]:.4f}", fontsize=9)

for axes in panels:
    pixel_grid(axes, COLUMNS, ROWS)
    axes.set(xlabel="", ylabel="")
