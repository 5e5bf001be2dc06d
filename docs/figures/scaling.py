"""Predicted time of a mosaic by the number of GPUs or nodes, and what of them is busy."""

import json

import matplotlib.pyplot as plt
from drawing import BLUE, GREEN, GREY, ORANGE, RED
from facts import RESULTS

scans = json.loads((RESULTS / "scale_model.json").read_text())["workers"]
names = {"gpu": ("GPUs", BLUE), "cpu": ("CPU nodes", ORANGE)}
contexts = {"own": ("with context", "--"), "none": ("no context", "-")}

figure, panels = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
for scan in scans:
    units, minutes = zip(*[(row["units"], row["seconds"] / 60) for row in scan["rows"]], strict=True)
    (name, colour), (context, style) = names[scan["kind"]], contexts[scan["context"]]
    panels[0].loglog(units, minutes, style, color=colour, marker=".", label=f"{name}, {context}")
    if (scan["kind"], scan["context"]) == ("gpu", "none"):
        panels[0].loglog(units, [minutes[0] / n for n in units], ":", color=GREY, label="as many times as fast")
        for resource, colour in (
            *(("read_shared", RED), ("read_node", ORANGE), ("comm_worker", GREEN), ("host", BLUE), ("scheduler", GREY)),
            ("pass", "#CC79A7"),
        ):
            busy = [row["busy"][resource] for row in scan["rows"]]
            panels[1].semilogx(units, busy, color=colour, marker=".", label=resource)
panels[0].set(xlabel="GPUs or CPU nodes", ylabel="minutes, predicted")
panels[1].set(xlabel="GPUs", ylabel="part of the time in which it is busy", ylim=(0, 1.02), title="GPUs, no context")
for axes in panels:
    axes.legend(fontsize=7.5)
