"""How exposures are cleaned before they are added to a mosaic."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from typing import Any

from gpures.arguments.arrays import got
from gpures.arguments.values import checked_switch
from gpures.cleaning import OutlierOptions, SkyOptions, StatisticOptions
from gpures.cleaning.options import Thresholds

__all__ = ["COMBINED", "CleaningOptions"]

COMBINED = ("median", "clipped")

# Where a mission's own thresholds differ from those of JWST and Roman: AstroDrizzle's.
MISSIONS: dict[str, dict[str, Any]] = {"hst": {"snr": (3.5, 3.0, 3.0), "maskpt": 0.3}}


@dataclass(frozen=True)
class CleaningOptions:
    """How exposures are cleaned before they are added.

    Attributes
    ----------
    match_sky : {"match", "global", "global+match", "local"} or None
        How their skies are matched, if they are.
    sky_statistic : {"median", "mean", "mode", "midpt"}
        What is taken for the sky.
    reject_outliers : bool
        Whether outliers are left out.
    outlier_snr, outlier_scale : sequence of float, str or None
        Thresholds; None for the mission's.
    outlier_backg : float
        Background that is subtracted from differences.
    outlier_maskpt : float or None
        Share of the mean weight below which a pixel is no part of the median; None for the mission's.
    outlier_kernel_size, outlier_grow : int
        Sides of a pixel's surroundings, and of the square by which outliers are grown.
    save_masks : path or None
        Folder for masks of the outliers.
    combine : sequence of {"median", "clipped"}
        Images of the exposures that the mosaic has beside the weighted mean.

    Raises
    ------
    TypeError, ValueError
        One of them can't have its value.
    """

    match_sky: str | None = None
    sky_statistic: str = "median"
    reject_outliers: bool = False
    outlier_snr: Thresholds | None = None
    outlier_scale: Thresholds | None = None
    outlier_backg: float = 0.0
    outlier_maskpt: float | None = None
    outlier_kernel_size: int = 3
    outlier_grow: int = 1
    save_masks: str | os.PathLike[str] | None = None
    combine: str | Sequence[str] = ()

    @classmethod
    def names(cls) -> list[str]:
        """Names of all options."""
        return [field.name for field in fields(cls)]

    def __post_init__(self) -> None:
        checked_switch(self.reject_outliers, "reject_outliers")
        combine = (self.combine,) if isinstance(self.combine, str) else self.combine
        if not isinstance(combine, (tuple, list)) or not all(name in COMBINED for name in combine):
            raise ValueError(f"'combine' must be of {', '.join(map(repr, COMBINED))}, got {got(self.combine)}.")
        object.__setattr__(self, "combine", tuple(dict.fromkeys(combine)))
        self.outliers(())
        if self.match_sky is not None:
            self.sky()
        if not self.reject_outliers:
            of_outliers = [name for name in self.names() if name.startswith(("outlier", "save"))]
            defaults = {field.name: field.default for field in fields(self)}
            for name in of_outliers:
                if getattr(self, name) != defaults[name]:
                    raise ValueError(f"'{name}' is of outliers, which are looked for with 'reject_outliers' alone.")
        if self.match_sky is None and self.sky_statistic != "median":
            raise ValueError("'sky_statistic' is of skies, which are matched with 'match_sky' alone.")

    @property
    def is_wanted(self) -> bool:
        """Whether anything is."""
        return self.stacks or self.match_sky is not None

    @property
    def stacks(self) -> bool:
        """Whether exposures are resampled by themselves."""
        return self.reject_outliers or bool(self.combine)

    def sky(self) -> SkyOptions:
        """How skies are matched."""
        try:
            return SkyOptions(
                "match" if self.match_sky is None else self.match_sky, statistics=StatisticOptions(self.sky_statistic)
            )
        except (TypeError, ValueError) as error:
            words = str(error).replace("'method'", "'match_sky'").replace("'statistic'", "'sky_statistic'")
            raise type(error)(words) from None

    def outliers(self, kinds: Collection[str]) -> OutlierOptions:
        """How outliers are looked for.

        Parameters
        ----------
        kinds : collection of str
            Missions of the exposures.
        """
        own = MISSIONS.get(next(iter(kinds)), {}) if len(set(kinds)) == 1 else {}
        given = {
            name: value
            for name in ("snr", "scale", "backg", "maskpt", "kernel_size", "grow")
            if (value := getattr(self, f"outlier_{name}")) is not None
        }
        try:
            return OutlierOptions(**(own | given))
        except (TypeError, ValueError) as error:
            words = str(error)
            for name in given:
                words = words.replace(f"'{name}'", f"'outlier_{name}'")
            raise type(error)(words) from None
