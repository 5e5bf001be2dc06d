"""Weight that a drop gives to output pixels by their distance from its centre, as the CPU backend computes it."""

import matplotlib.pyplot as plt
import numpy as np
from drawing import BLUE, GREEN, GREY, ORANGE, RED

from gpures.checks.comparison import Backend, exposure_of, frame_of
from gpures.checks.definition import Geometry
from gpures.exposure.weights import Weight

MIDDLE, SIDE, RATIO = 8, 17, 0.5
COLOURS = {"square": BLUE, "turbo": GREEN, "point": GREY, "gaussian": ORANGE, "lanczos2": RED, "lanczos3": "#CC79A7"}
WEIGHTS = np.zeros((3, 3), np.float32)
WEIGHTS[1, 1] = 1.0


def profile(kernel, pixfrac):
    """Distances (output pixels) and weights along the row through a drop's centre."""
    found = []
    for shift in np.arange(-0.49, 0.5, 0.02):
        image = Geometry((3, 3), (MIDDLE + shift, MIDDLE), ratio=RATIO)
        settings = {"weight": Weight(weight_map=WEIGHTS), "pixfrac": pixfrac, "pixel_scale_ratio": RATIO}
        exposure = exposure_of(np.ones((3, 3), np.float32), image.pixmap(), **settings)
        wht = Backend("cpu").images(frame_of(kernel, (SIDE, SIDE)), [exposure])["wht"]
        found += [(i - MIDDLE - shift, wht[MIDDLE, i]) for i in range(SIDE)]
    return zip(*sorted(found), strict=True)


figure, panels = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
for kernel, colour in COLOURS.items():
    panels[int(kernel.startswith("lanczos"))].plot(
        *profile(kernel, 0.8), color=colour, label=kernel, linestyle="--" if kernel == "turbo" else "-"
    )
for axes in panels:
    axes.axhline(0, color="0.8", linewidth=0.7, zorder=0)
    axes.set(xlim=(-6.5, 6.5), xlabel="output pixel - drop's centre, output pixels")
    axes.legend()
panels[0].set(ylabel="share of the weight", title="pixfrac 0.8")
panels[1].set(title="pixfrac ignored")
