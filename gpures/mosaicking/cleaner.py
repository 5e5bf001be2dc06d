"""What is found out about exposures before they are added: their sky, and pixels in which one differs from the others.

Each exposure is read twice. The first time its sky is measured where it overlaps others, and it is resampled by itself;
the second time it is compared with the median of all, and handed on with its sky level and without outliers.
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpures.arguments.arrays import as_host
from gpures.cleaning import Field, OutlierSearch, SkySurvey
from gpures.exposure.from_model import sky_level
from gpures.machine.prefetch import prefetched
from gpures.mosaicking.cleaning_options import CleaningOptions
from gpures.mosaicking.content import used_pixels
from gpures.mosaicking.mask_files import MaskFiles
from gpures.mosaicking.plan import Plan
from gpures.mosaicking.sources import Source
from gpures.mosaicking.stream import Stream
from gpures.reporting.timing import stage
from gpures.wcs.frame import FrameOptions
from gpures.wcs.frame_around import made_wcs
from gpures.wcs.transforms import ARCSEC_PER_RADIAN, compute_mean_pixel_area, world_axes

__all__ = ["Cleaner"]

log = logging.getLogger(__name__)

# Pixels of a frame that are so many times as large as those of exposures are too large for what is in one of these.
COARSER = 1.1

# Exposures of which the median tells something.
ENOUGH = 3

# Arrays that tell of a pixel's noise, the first that there is.
NOISE = ("err", "var_rnoise", "var_poisson", "var_flat")


class Cleaner:
    """Sky and outliers of the exposures of a plan.

    Outliers are looked for in the frame of the mosaic, or, where its pixels are larger than those of the exposures, in
    one of their pixels.

    Parameters
    ----------
    plan : Plan
        What the mosaic will be.
    """

    def __init__(self, plan: Plan):
        assert isinstance(plan.sources, Sequence)
        options, self._sources = plan.cleaning, plan.sources
        self._resampling, self._flag_names = plan.options, plan.flag_names
        self._numbers: dict[int, tuple[int, int]] = {}  # of what was handed on: among the sources, among those searched
        self._levels: dict[int, float] = {}
        self._own: dict[int, float] = {}
        self._survey: SkySurvey | None = None
        folder = options.save_masks
        self._masks = None if folder is None else MaskFiles(Path(folder), self._sources, plan.overwrite)
        if options.match_sky is not None:
            places = [Field(source.name, source.wcs, source.shape, source.group_id) for source in self._sources]
            self._survey = SkySurvey(places, options.sky())
        # Those that exposures are taken for: one that looks for outliers, and one whose images the mosaic has.
        frame = _frame_of_search(plan) if options.reject_outliers else plan.output_wcs
        self._search = self._searching(plan, frame) if options.stacks else None
        is_shared = not options.combine or frame is plan.output_wcs
        self._combiner = self._search if is_shared else self._searching(plan, plan.output_wcs)
        self._rejects, self._combine = options.reject_outliers, options.combine
        if self._rejects and len({str(source.group_id) for source in self._sources}) < ENOUGH:
            log.warning(
                "Outliers are what an exposure has and others of its place have not: with fewer than %d exposures most "
                "are not found.",
                ENOUGH,
            )

    def _searching(self, plan: Plan, frame: Mapping[str, Any]) -> OutlierSearch:
        wanted = plan.cleaning.outliers({source.kind for source in self._sources})
        names = ("weight_type", "good_bits", "backend", "device", "pixmap_tolerance", "pixmap_stepsize", "pixmap_order")
        chosen = {name: getattr(plan.options, name) for name in (*names, "deterministic")}
        # Exposures are compared beside the resampling, in another thread, and WCS objects keep state meanwhile.
        own = {**frame, "wcs": copy.deepcopy(frame["wcs"])}
        return OutlierSearch(own, wanted, flag_names=plan.flag_names, **chosen)

    @property
    def _searches(self) -> list[OutlierSearch]:
        both = [self._search, self._combiner] if self._combiner is not self._search else [self._search]
        return [search for search in both if search is not None]

    @staticmethod
    def arrays(options: CleaningOptions, sources: Sequence[Source]) -> set[str]:
        """Names of arrays that are read beside those of the mosaic."""
        if not options.reject_outliers:
            return set()
        return {name for source in sources for name in NOISE if name in source.sizes}

    def look(self, stream: Stream, show: Callable[[int], Any]) -> None:
        """Look at all exposures, once.

        Parameters
        ----------
        stream : Stream
            They are read from it.
        show : callable
            Gets the number of those that were looked at.
        """
        order = {id(source): k for k, source in enumerate(self._sources)}
        searched = 0
        for number, (model, _) in enumerate(prefetched(stream, lambda model: None)):
            try:
                self._own[number] = level = sky_level(model)
                if self._survey is not None:
                    self._measure(order[id(stream.source(number))], model, level)
                for search in self._searches:
                    search.take(model)
            except (KeyError, RuntimeError, TypeError, ValueError) as error:
                stream.on_error(number, error)
                continue
            self._numbers[number] = order[id(stream.source(number))], searched
            searched += 1
            show(number + 1 + stream.unread)
            del model
        if not self._numbers:
            return
        found: Sequence[float | None] = [None] * len(self._sources)
        if self._survey is not None:
            with stage("sky"):
                found = self._survey.solve().levels
        for number, (source, _) in self._numbers.items():
            self._levels[number] = self._own[number] + (found[source] or 0.0)
        for search in self._searches:
            search.settle(list(self._levels.values()), self._combine if search is self._combiner else ())

    def _measure(self, number: int, model: Mapping[str, Any], level: float) -> None:
        assert self._survey is not None
        with stage("sky"):
            used = used_pixels(model, self._resampling, self._flag_names)
            data = np.ma.getdata(as_host(model["data"]))
            self._survey.measure(number, data, used, level)

    def cleaned(self, stream: Stream) -> Callable[[int, Mapping[str, Any]], Mapping[str, Any]]:
        """What makes of a model, when it is read again, one with its sky level and without outliers.

        Parameters
        ----------
        stream : Stream
            Its records get what was found out.
        """

        def clean(number: int, model: Mapping[str, Any]) -> Mapping[str, Any]:
            result = dict(model)
            if self._survey is not None:
                result |= {"level": self._levels[number], "subtracted": False}
                stream.tell(number, sky=self._levels[number])
            if self._search is not None and self._rejects:
                mask = self._search.outliers_of(self._numbers[number][1], model)
                data = as_host(model["data"])
                result["data"] = np.ma.MaskedArray(np.ma.getdata(data), np.ma.getmaskarray(data) | mask)
                count, used = int(np.count_nonzero(mask)), stream.record(number).used
                stream.tell(number, outliers=count, used=None if used is None else used - count)
                if self._masks is not None:
                    self._masks.add(stream.source(number), mask)
            return result

        return clean

    @property
    def combined(self) -> dict[str, np.ndarray]:
        """Images of the exposures that are wanted beside their weighted mean."""
        return {} if self._combiner is None else self._combiner.combined

    def close(self) -> None:
        """Write what is still to be written."""
        if self._masks is not None:
            self._masks.close()


def _frame_of_search(plan: Plan) -> dict[str, Any]:
    """Frame in which outliers are looked for."""
    assert isinstance(plan.sources, Sequence)
    areas = [compute_mean_pixel_area(source.wcs, shape=source.shape) for source in plan.sources]
    scales = [ARCSEC_PER_RADIAN * math.sqrt(area) for area in areas if area]
    if not scales or not plan.footprints or plan.pixel_scale <= COARSER * min(scales):
        return plan.output_wcs
    first = plan.sources[0]
    wanted = FrameOptions(pixel_scale=min(scales), rotation=None)
    return made_wcs(first.wcs, first.shape, plan.footprints, wanted, world_axes(plan.output_wcs["wcs"]).sky)[0]
