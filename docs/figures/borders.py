"""What the reference loses where an exposure sticks out of the frame."""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from drawing import RED

from gpures.checks.comparison import Backend, exposure_of, frame_of
from gpures.checks.definition import Geometry

SHAPE, FRAME = (60, 60), (48, 48)
image = Geometry(SHAPE, (30, 18), angle=20, ratio=1.0, bend=1e-3)
exposure = exposure_of(np.ones(SHAPE, np.float32), image.pixmap())
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    ours, theirs = (Backend(name).images(frame_of("square", FRAME), [exposure])["wht"] for name in ("cpu", "drizzle"))

figure, panels = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
for axes, wht, title in zip(panels, (ours, theirs), ("gpures", "drizzle package"), strict=False):
    shown = axes.imshow(wht, origin="lower", vmin=0, cmap="viridis")
    axes.set_title(f"weight, {title}")
lost = np.abs(theirs - ours) > 1e-5
panels[2].imshow(np.where(lost, 1.0, np.nan), origin="lower", cmap="Reds", vmin=0, vmax=1.4)
panels[2].set_title(f"{lost.sum()} pixels differ", color=RED)
panels[2].spines[:].set_visible(True)
figure.colorbar(shown, ax=panels[:2], shrink=0.8)
