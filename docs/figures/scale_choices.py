"""Predicted time of a mosaic by the size of batches and of tiles."""

import json

import matplotlib.pyplot as plt
from drawing import BLUE, ORANGE
from facts import RESULTS

found = json.loads((RESULTS / "scale_model.json").read_text())
names = {"gpu": ("64 GPUs", BLUE), "cpu": ("64 CPU nodes", ORANGE)}
contexts = {"own": ("with context", "--"), "none": ("no context", "-")}
ALL = 128  # where batches of all exposures of a tile are drawn

figure, panels = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True, layout="constrained")
for kind, (name, colour) in names.items():
    for context, (words, style) in contexts.items():
        for axes, scan, number in (
            (panels[0], "batch", lambda row: min(row["batch"], ALL)),
            (panels[1], "tile", lambda row: row["tile_pixels"] ** 0.5),
        ):
            rows = [row for row in found[scan] if (row["kind"], row["context"]) == (kind, context)]
            minutes = [row["seconds"] / 60 for row in rows]
            axes.loglog(list(map(number, rows)), minutes, style, color=colour, marker=".", label=f"{name}, {words}")
batches = sorted({min(row["batch"], ALL) for row in found["batch"]})
panels[0].set_xticks(batches, [f"{each}" if each < ALL else "all" for each in batches])
panels[0].minorticks_off()
panels[0].set(xlabel="exposures that a task adds", ylabel="minutes, predicted")
panels[1].set(xlabel="side of a tile, pixels")
panels[1].legend(fontsize=7.5)
