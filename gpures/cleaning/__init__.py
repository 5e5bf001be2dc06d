"""Clean mosaics: exposures whose sky is matched, and what only one of them has seen, left out."""

from gpures.cleaning.outliers import Outliers, flag_outliers

__all__ = ["Outliers", "flag_outliers"]
