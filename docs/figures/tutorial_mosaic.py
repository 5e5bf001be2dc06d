from drawing import of_tutorial

from gpures import plot

_, mosaic = of_tutorial()
plot.overview(mosaic, planes=["data", "wht", "con"])
