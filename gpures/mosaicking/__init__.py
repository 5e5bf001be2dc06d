"""Mosaics of files: an output frame made from the exposures' footprints, exposures read ahead, the mosaic written."""

from gpures.mosaicking.product import Mosaic, mosaic

__all__ = ["Mosaic", "mosaic"]
