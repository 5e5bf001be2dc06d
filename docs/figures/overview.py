from drawing import simulated

from gpures import plot

models, mosaic = simulated()
plot.overview(mosaic)
