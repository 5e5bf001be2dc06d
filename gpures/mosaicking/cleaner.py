"""What is found out about exposures before they are added: their sky, and pixels in which one differs from the others.

Each exposure is read twice. The first time its sky is measured where it overlaps others, and it is resampled by itself;
the second time it is compared with the median of all, and handed on with its sky level and without outliers.
"""

from __future__ import annotations

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
from gpures.mosaicking.sources import Source
from gpures.mosaicking.stream import Stream
from gpures.reporting.timing import stage

__all__ = ["Cleaner"]

# Arrays that tell of a pixel's noise, the first that there is.
NOISE = ("err", "var_rnoise", "var_poisson", "var_flat")


class Cleaner:
    """Sky and outliers of the exposures of a plan.

    Parameters
    ----------
    options : CleaningOptions
        What is wanted.
    sources : sequence of Source
        The exposures.
    output_wcs : dict
        Frame of the mosaic.
    resampling : gpures.exposure.options.Options
        What the resampling is set to.
    flag_names : mapping or None
        Numbers of DQ flags by name.
    """

    def __init__(
        self,
        options: CleaningOptions,
        sources: Sequence[Source],
        output_wcs: Mapping[str, Any],
        resampling: Any,
        flag_names: Mapping[str, int] | None,
    ):
        self._resampling, self._flag_names = resampling, flag_names
        self._numbers: dict[int, tuple[int, int]] = {}  # of what was handed on: among the sources, among those searched
        self._levels: dict[int, float] = {}
        self._own: dict[int, float] = {}
        self._survey: SkySurvey | None = None
        self._search: OutlierSearch | None = None
        self._masks = None if options.save_masks is None else MaskFiles(Path(options.save_masks))
        self._sources = sources
        if options.match_sky is not None:
            places = [Field(source.name, source.wcs, source.shape, source.group_id) for source in sources]
            self._survey = SkySurvey(places, options.sky())
        self._rejects, self._combine = options.reject_outliers, options.combine
        if options.stacks:
            wanted = options.outliers({source.kind for source in sources})
            names = ("weight_type", "good_bits", "backend", "device", "pixmap_tolerance", "pixmap_stepsize")
            chosen = {name: getattr(resampling, name) for name in (*names, "pixmap_order")}
            self._search = OutlierSearch(dict(output_wcs), wanted, flag_names=flag_names, **chosen)

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
                if self._search is not None:
                    self._search.take(model)
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
        if self._search is not None:
            self._search.settle(list(self._levels.values()), self._combine)

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
        return {} if self._search is None else self._search.combined

    def close(self) -> None:
        """Write what is still to be written."""
        if self._masks is not None:
            self._masks.close()
