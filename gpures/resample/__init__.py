"""The resampler: stcal's API."""

from gpures.resample.added import AddedModel
from gpures.resample.output_model import OutputModel
from gpures.resample.resampler import Resample

__all__ = ["AddedModel", "OutputModel", "Resample"]
