from drawing import simulated

from gpures import plot

models, mosaic = simulated()
y, x = (n / 2 for n in mosaic["data"].shape)
plot.before_after(models[4], mosaic, around=mosaic["wcs"](x, y), size=5.0)
