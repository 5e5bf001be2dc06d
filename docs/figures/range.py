"""Error of a mosaic's variance, by the size of the variances: sums of products in float32, and gpures' means."""

import matplotlib.pyplot as plt
import numpy as np
from drawing import BLUE, ORANGE

from gpures.checks.comparison import Backend, exposure_of, frame_of
from gpures.checks.definition import Geometry
from gpures.exposure.weights import Weight

VARIANCES = 10.0 ** np.arange(-30, 11)
COUNT = 3


def by_gpures(variance):
    """Variance of the mean of three exposures of one variance."""
    v = np.full((9, 9), variance, np.float32)
    exposure = exposure_of(
        np.ones((9, 9), np.float32),
        Geometry((9, 9), (4.2, 4.3)).pixmap(),
        weight=Weight(variance=v),
        variances={"var_rnoise": v},
        variance_weight=None,
    )
    images = Backend("cpu").images(frame_of("square", (9, 9)), [exposure] * COUNT)
    return images["var_rnoise"][4, 4]


def by_sums(variance):
    """The same by float32 sums of v t^2 and of t, with t = 1 / v."""
    v, t = np.float32(variance), np.float32(1) / np.float32(variance)
    wsum, wt = np.float32(0), np.float32(0)
    for _ in range(COUNT):
        wsum, wt = wsum + v * (t * t), wt + t
    return wsum / (wt * wt)


figure, axes = plt.subplots(figsize=(7.5, 3.2), layout="constrained")
for function, colour, label in (
    (by_sums, ORANGE, "float32 sums of v t² and t"),
    (by_gpures, BLUE, "gpures: mean and weight"),
):
    with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
        got = np.array([function(v) for v in VARIANCES], float)
        error = np.abs(got / (VARIANCES / COUNT) - 1)
    error = np.where(np.isfinite(error), np.maximum(error, 1e-9), 10.0)
    axes.loglog(VARIANCES, error, "o", color=colour, label=label, markersize=4)
axes.axhline(10, color="0.8", linewidth=0.7, zorder=0)
axes.set(xlabel="variance of each of three exposures", ylabel="relative error of the mosaic's")
axes.set_yticks([1e-8, 1e-6, 1e-4, 1e-2, 10], ["1e-8", "1e-6", "1e-4", "1e-2", "lost"])
axes.legend()
