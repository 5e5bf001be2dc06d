import matplotlib.pyplot as plt
from drawing import of_tutorial

from gpures import plot

models, mosaic = of_tutorial()
figure, axes = plt.subplots(1, 4, figsize=(10.0, 2.9), layout="constrained")
for ax, model in zip(axes, models, strict=True):
    plot.exposure(model, mosaic, ax, title=model["filename"])
    ax.set(xlabel="", ylabel="")
