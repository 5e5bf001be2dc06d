"""`gpures.match_sky`: sky levels of exposures, found where they overlap."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gpures.arguments.arrays import as_flags, as_host, got, model_name
from gpures.arguments.values import NOT_GIVEN, checked_switch
from gpures.box import row_blocks
from gpures.cleaning.given import check_model, check_scale, field_of, given_exposures, good_bits_of
from gpures.cleaning.levels import SkyMatch
from gpures.cleaning.statistics import StatisticOptions
from gpures.cleaning.survey import SkyOptions, SkySurvey
from gpures.exposure.from_model import sky_level
from gpures.exposure.input_model import InputModel
from gpures.exposure.weights import bad_bits
from gpures.reporting.progress import shown
from gpures.typing import Flags, ModelLike

__all__ = ["match_sky"]

log = logging.getLogger(__name__)

# What is read of a file.
ARRAYS = ("data", "dq")


def match_sky(
    exposures: Any,
    method: str = "match",
    *,
    statistic: str = "median",
    lower: float | None = None,
    upper: float | None = None,
    nclip: int = 5,
    lsigma: float = 4.0,
    usigma: float = 4.0,
    binwidth: float = 0.1,
    good_bits: Flags = NOT_GIVEN,
    match_down: bool = True,
    subtract: bool = False,
    progress: Any = None,
) -> SkyMatch:
    """Find the sky levels with which exposures agree where they overlap.

    Values must be on one scale: in one unit, of one exposure time if they are counts, and of pixels of one size unless
    they are per area of the sky. `gpures.mosaic` brings exposures to one first (``match_sky``).

    The levels are for `gpures.Resample` and `gpures.mosaic`, which subtract a model's ``level``. Nothing needs to be
    resampled before: which pixels of an exposure lie within another follows from their WCS, and the sky is taken there
    from the pixels as they are.

    Parameters
    ----------
    exposures : sequence of dict, path, or gpures.io.Input
        Models, as `gpures.Resample.add_model` takes them; files, of which each is read once. Those of one ``group_id``,
        such as chips of an exposure, are moved together.
    method : {"match", "global", "global+match", "local"}, optional
        "match": differences of sky between exposures that overlap are made zero, as far as weighted least squares over
        all pairs can; the lowest level is 0. "local": each exposure's own sky. "global": the lowest of these, for all.
        "global+match": both, so that what is left is about 0.
    statistic : {"median", "mean", "mode", "midpt"}, optional
        What is taken of pixels, once outliers are left out: median or mean, the peak of their histogram, or where half
        of that lies below.
    lower, upper : float, optional
        Values below and above don't count.
    nclip : int, optional
        How often outliers are left out, at most.
    lsigma, usigma : float, optional
        How far below and above the mean a pixel is one, standard deviations.
    binwidth : float, optional
        Width of the histogram's bins, standard deviations.
    good_bits : int, str, list or None, optional
        DQ flags to be ignored, in numbers, as in `gpures.Resample`; of JWST "~513" forgives what its pipeline does.
        Pixels with others don't count, as those that are masked or not finite.
    match_down : bool, optional
        With "match" and "global+match", whether the lowest of the levels is 0 at first, else the highest.
    subtract : bool, optional
        Whether models get new ``data``, from which the sky is subtracted.
    progress : bool, callable or None, optional
        As in `gpures.Resample.add_models`.

    Returns
    -------
    SkyMatch
        Names, levels, pairs that were used, islands, and a report. A level is what is to be subtracted from data as
        they were given; None where nothing could be measured.

    Raises
    ------
    TypeError, ValueError, KeyError
        An argument or a model is not what it must be; the text names it. Then nothing has been changed.
    OSError, gpures.io.FileError
        A file can't be read.

    Notes
    -----
    Of each model ``level`` is set, and ``subtracted`` says whether ``data`` are without it; arrays are never changed.
    A level that was there before is not lost: what is found is added to it. Where it has been subtracted already,
    ``subtract`` is needed. A model that nothing could be measured of stays as it is, with a warning.

    Examples
    --------
    >>> import gpures
    >>> from gpures.demo.nircam import NRCB5, make_exposures
    >>> from gpures.demo.scene import make_scene
    >>> models = make_exposures(make_scene(NRCB5["CRVAL1"], NRCB5["CRVAL2"]), 2, (64, 64))
    >>> models[1]["data"] = models[1]["data"] + 1.0
    >>> match = gpures.match_sky(models)
    >>> [round(level, 1) for level in match.levels]
    [0.0, 1.0]
    >>> models[1]["level"] == match.levels[1]
    True
    """
    statistics = StatisticOptions(statistic, lower, upper, nclip, lsigma, usigma, binwidth)
    options = SkyOptions(method, match_down, statistics)
    subtract = checked_switch(subtract, "subtract")
    given = given_exposures(exposures)
    good_bits, names = good_bits_of(given, good_bits)
    bad_bits(good_bits, names, np.dtype(np.uint32))  # before anything is read
    found = [_checked(_Source(one), subtract) for one in given]
    if options.method != "local":
        check_scale(given)
    survey = SkySurvey([field_of(one) for one in given], options)
    with shown(progress, len(found), "sky") as show:
        for number, source in enumerate(found):
            data, usable, level = source.pixels(good_bits, names)
            survey.measure(number, data, usable, level)
            source.level = level
            show(number + 1)
    match = survey.solve()
    for source, beyond in zip(found, match.levels, strict=True):
        source.set_level(beyond, subtract)
    levels = [None if one is None else one + source.level for one, source in zip(match.levels, found, strict=True)]
    return replace(match, levels=tuple(levels))


@dataclass
class _Source:
    """An exposure: a model, or an image of a file.

    Attributes
    ----------
    given : mapping or gpures.io.Input
        What was given.
    level : float
        Sky that is known to be in its data, once they have been looked at.
    """

    given: Any
    level: float = 0.0

    @property
    def is_model(self) -> bool:
        """Whether it is a model."""
        return isinstance(self.given, Mapping)

    def pixels(self, good_bits: Flags, names: Mapping[str, int] | None) -> tuple[np.ndarray, np.ndarray | None, float]:
        """Its data, which of them can be used, and the sky that is known to be in them."""
        model = InputModel(self.given if self.is_model else self.given.read(ARRAYS))
        data = as_host(model.array("data"))
        usable = None
        if model.get("dq") is not None:
            dq = as_flags(as_host(model.converted("dq")))
            if dq.dtype.kind != "u" or dq.shape != data.shape:
                raise ValueError(
                    f"'dq' of model '{model.name}' must be integers of the shape of 'data', {data.shape}, got "
                    f"{dq.dtype} and {dq.shape}."
                )
            if bad := bad_bits(good_bits, names, dq.dtype):
                usable = np.empty(dq.shape, bool)
                for rows in row_blocks(dq.shape):
                    np.equal(dq[rows] & dq.dtype.type(bad), 0, out=usable[rows])
            if (mask := model.mask("dq")) is not None:
                usable = ~mask if usable is None else usable & ~mask
        return data, usable, sky_level({"level": None, "subtracted": None, "filename": model.name} | dict(model))

    def set_level(self, beyond: float | None, subtract: bool) -> None:
        """Say in a model what its sky is, and subtract it where that is asked for."""
        if not self.is_model or beyond is None:
            return
        model = self.given
        total = self.level + beyond
        if not subtract:
            model["level"], model["subtracted"] = total, False
            return
        known = InputModel(model)
        data = known.converted("data")
        data = data.astype(np.result_type(data.dtype, np.float32), copy=False) - total
        mask = known.mask("data")
        before = model.get("level") if model.get("subtracted") else None
        model["data"] = data if mask is None else np.ma.MaskedArray(data, mask)
        model["level"], model["subtracted"] = total if before is None else float(before) + total, True


def _checked(source: _Source, subtract: bool) -> _Source:
    """An exposure that has what is needed.

    Raises
    ------
    TypeError, ValueError, KeyError
        It has not.
    """
    if not source.is_model:
        return source
    model: ModelLike = source.given
    name = model_name(model)
    check_model(model, "the level")
    known = {"level": None, "subtracted": None} | dict(model)
    sky_level(known)
    if known["subtracted"] and known["level"] and not subtract:
        raise ValueError(
            f"From model '{name}' a 'level' of {got(known['level'])} has been subtracted: pass subtract=True, so that "
            "its level and its data go on to agree."
        )
    return source
