"""Clean mosaics: exposures whose sky is matched, and what only one of them has seen, left out."""

from gpures.cleaning.levels import Pair, SkyMatch
from gpures.cleaning.options import OutlierOptions
from gpures.cleaning.outliers import Outliers, OutlierSearch, flag_outliers
from gpures.cleaning.sky import match_sky
from gpures.cleaning.statistics import StatisticOptions
from gpures.cleaning.survey import Field, SkyOptions, SkySurvey

__all__ = [
    "Field",
    "OutlierOptions",
    "OutlierSearch",
    "Outliers",
    "Pair",
    "SkyMatch",
    "SkyOptions",
    "SkySurvey",
    "StatisticOptions",
    "flag_outliers",
    "match_sky",
]
