"""Clean mosaics: exposures whose sky is matched, and what only one of them has seen, left out."""

from gpures.cleaning.levels import Pair, SkyMatch
from gpures.cleaning.sky import match_sky
from gpures.cleaning.statistics import StatisticOptions
from gpures.cleaning.survey import Field, SkyOptions, SkySurvey

__all__ = ["Field", "Pair", "SkyMatch", "SkyOptions", "SkySurvey", "StatisticOptions", "match_sky"]
