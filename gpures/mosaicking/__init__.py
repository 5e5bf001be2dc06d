"""Mosaics of files: an output frame made from the exposures' footprints, exposures read ahead, the mosaic written."""

from gpures.mosaicking.made import Mosaic
from gpures.mosaicking.product import mosaic
from gpures.mosaicking.sky_cell import SkyCell
from gpures.mosaicking.sky_cells import CellMosaic, mosaic_cells, read_cells

__all__ = ["CellMosaic", "Mosaic", "SkyCell", "mosaic", "mosaic_cells", "read_cells"]
