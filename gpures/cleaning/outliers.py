"""`gpures.flag_outliers`: pixels in which an exposure has what no other one of the same place has.

Each exposure is resampled by itself, the median of all taken, and brought back to the exposures' pixels; what differs
from it there by more than noise and more than steep places explain is a cosmic ray, or a hot pixel, or a satellite.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpures.arguments.arrays import as_host, got, model_name, on_device
from gpures.arguments.values import NOT_GIVEN, checked_device, checked_integer, first_device
from gpures.cleaning.comparison import blotted, outliers
from gpures.cleaning.given import check_model, check_scale, field_of, given_exposures, good_bits_of
from gpures.cleaning.noise import lacks_noise, noise_of
from gpures.cleaning.options import OutlierOptions, Thresholds
from gpures.cleaning.stack import Stack
from gpures.cleaning.threshold import weight_threshold
from gpures.exposure.exposure import Exposure
from gpures.exposure.input_model import InputModel
from gpures.exposure.pixmap import PixelMap
from gpures.io import Input
from gpures.reporting.progress import shown
from gpures.reporting.tables import row
from gpures.reporting.timing import stage
from gpures.resample.resampler import Resample
from gpures.wcs.footprint import footprint_of
from gpures.wcs.frame import FrameOptions
from gpures.wcs.frame_around import made_wcs
from gpures.wcs.transforms import world_axes

__all__ = ["OUTLIER", "OutlierSearch", "Outliers", "flag_outliers"]

log = logging.getLogger(__name__)

# Bits of JWST's and Roman's DQ: DO_NOT_USE and OUTLIER.
OUTLIER = 1 | 16

# How many times larger than an exposure's the pixels of a frame may be.
LARGE = 1.2


@dataclass(frozen=True)
class Outliers:
    """What was found.

    Attributes
    ----------
    names : list of str
        The exposures.
    masks : list of ndarray of bool (Ny, Nx)
        Outliers of each.
    median : ndarray of float32 (Ny, Nx)
        Median of the exposures in the frame, without their sky.
    wcs : gwcs.wcs.WCS or astropy.wcs.WCS
        Of the frame.
    """

    names: list[str]
    masks: list[np.ndarray] = field(repr=False)
    median: np.ndarray = field(repr=False)
    wcs: Any = field(repr=False)

    @property
    def counts(self) -> list[int]:
        """Number of outliers of each exposure."""
        return [int(np.count_nonzero(mask)) for mask in self.masks]

    @property
    def report(self) -> str:
        """A table of the exposures and their outliers."""
        formats = (">10", ">11", "<")
        rows = [
            row((count, f"{100.0 * count / mask.size:.3f} %", f"  {name}"), formats)
            for name, count, mask in zip(self.names, self.counts, self.masks, strict=True)
        ]
        return "\n".join([row(("outliers", "of pixels", "  exposure"), formats), *rows])


@dataclass
class _Taken:
    """What is kept of an exposure between the two times that it is read."""

    name: str
    pixmap: PixelMap | None
    level: float


class OutlierSearch:
    """A search for outliers, in which each exposure is in memory twice: when it is taken, and when it is compared.

    Parameters
    ----------
    output_wcs : gwcs.wcs.WCS, astropy.wcs.WCS or dict
        Frame of the median, as `gpures.Resample` takes it.
    options : OutlierOptions
        How outliers are looked for.
    flag_names : mapping, optional
        Numbers of DQ flags by name, where ``good_bits`` has names.
    **resampling
        Options of `gpures.Resample` with which each exposure is resampled.

    Attributes
    ----------
    combined : dict of ndarray of float32 (Ny, Nx)
        Images of the frame of all exposures, once these have been taken: their median, and the mean of what lies near
        it, as far as they are wanted.
    """

    def __init__(
        self, output_wcs: Any, options: OutlierOptions, flag_names: Mapping[str, int] | None = None, **resampling: Any
    ):
        wanted = {"enable_ctx": False, "enable_var": False, "compute_err": None, "propagate_dq": False}
        self._options = options
        frame = output_wcs if isinstance(output_wcs, Mapping) else {"wcs": output_wcs}
        device = first_device(checked_device(resampling.get("device")))  # one exposure at a time keeps one busy
        self._resample = Resample(frame, **(resampling | wanted | {"device": device}))
        if flag_names is not None:
            self._resample.dq_flag_name_map = flag_names
        ny, nx = self._resample.output_array_shape
        self._stack = Stack((ny, nx))
        self._taken: list[_Taken] = []
        self.combined: dict[str, np.ndarray] = {}
        self._median: Any = None
        self._lower: Any = None
        self._of_others: Any = None  # the median where there are two, for those whose noise follows from it
        self._lacks_noise = False
        self._is_told = False  # of pixels that are too large

    @property
    def wcs(self) -> Any:
        """WCS of the frame."""
        return self._resample.output_wcs

    @property
    def median(self) -> np.ndarray:
        """Median of the exposures, once all have been taken."""
        assert self._median is not None
        return as_host(self._median)

    def take(self, model: Mapping[str, Any]) -> None:
        """Take an exposure: resampled by itself, it is kept for the median.

        Parameters
        ----------
        model : mapping
            As `gpures.Resample.add_model` takes it.
        """
        self._resample.reset_arrays()
        self._resample.validate_input_model(model)
        exposure = self._resample._checked_exposure(InputModel(model))
        accumulators = self._resample._accumulators
        with stage("each by itself"):
            accumulators.add(exposure)
            window = accumulators.window
        with stage("weights of each"), accumulators.context():
            data, weight = (accumulators.image(name)[window.slices] for name in ("data", "wht"))
            least = max(weight_threshold(as_host(weight), self._options.maskpt), 0.0)
            self._stack.add(_left_out(data, weight, least), window)
        self._lacks_noise |= lacks_noise(model)
        # A map of each pixel is as large as the exposure, and is made anew.
        pixmap = exposure.pixmap if exposure.pixmap.full is None else None
        self._taken.append(_Taken(model_name(model), pixmap, exposure.level))

    def settle(self, levels: Sequence[float | None] | None = None, combine: Collection[str] = ()) -> None:
        """Make the median, when all exposures have been taken.

        Parameters
        ----------
        levels : sequence of float or None, optional
            Sky levels of the exposures, where other ones have been found than they had when they were taken.
        combine : collection of {"median", "clipped"}, optional
            What of ``combined`` is wanted as well.
        """
        offsets = [0.0] * len(self._taken)
        if levels is not None:
            own = [taken.level for taken in self._taken]
            for taken, level in zip(self._taken, levels, strict=True):
                taken.level = taken.level if level is None else level
            offsets = [taken.level - before for taken, before in zip(self._taken, own, strict=True)]
        with stage("median"):
            self._median, self._lower = self._stack.median(offsets)
            self._of_others = self._stack.median(offsets, least=2)[0] if self._lacks_noise else None
            self.combined = {"median": self.median} if "median" in combine else {}
            if "clipped" in combine:
                self.combined["clipped"] = as_host(self._stack.clipped_mean(offsets))
        # The images are no longer needed, which are most of what is in memory.
        self._stack = Stack(self._stack.shape)

    def outliers_of(self, number: int, model: Mapping[str, Any]) -> np.ndarray:
        """Outliers of an exposure.

        Parameters
        ----------
        number : int
            Which of those that were taken it is.
        model : mapping
            The same as then.

        Returns
        -------
        ndarray of bool (Ny, Nx)
            Among the pixels that are used.
        """
        taken, taken_model = self._taken[number], InputModel(model)
        exposure = self._resample._checked_exposure(taken_model, taken.pixmap)
        if exposure.pixel_scale_ratio > LARGE and not self._is_told:
            self._is_told = True
            log.warning(
                "Pixels of the frame in which outliers are looked for are %.3g times as large as those of the "
                "exposures: many are missed, and cores of stars are taken for some.",
                exposure.pixel_scale_ratio,
            )
        with stage("comparison"):
            data = _used_data(exposure, self._resample._accumulators.weight_map(exposure))
            expected, lower = blotted(self._median, exposure.pixmap), None
            if self._lower is not None and self._options.by_lower:
                lower = blotted(self._lower, exposure.pixmap)
            others = expected if self._of_others is None else blotted(self._of_others, exposure.pixmap)
            background = np.float32(taken.level + self._options.backg)
            err = noise_of(taken_model, data - as_host(others) - background)
            ratio = exposure.pixel_scale_ratio
            return outliers(data, err, expected, self._options, lower=lower, background=taken.level, scale_ratio=ratio)


def _left_out(data: Any, weight: Any, least: float) -> Any:
    """An image, NaN where its weight is not more than the least."""
    if not on_device(data):
        return np.where(weight > least, data, np.float32(np.nan))
    from gpures.backend.cuda.cleaning import left_out

    return left_out(data, weight, least)


def _used_data(exposure: Exposure, weight: Any) -> np.ndarray:
    """Data of an exposure; NaN in pixels that are not used."""
    data = np.array(as_host(exposure.data), np.float32)
    data[as_host(weight) == 0] = np.nan
    return data


def flag_outliers(
    models: Any,
    *,
    output_wcs: Any = None,
    snr: Thresholds = OutlierOptions.snr,
    scale: Thresholds = OutlierOptions.scale,
    backg: float = OutlierOptions.backg,
    maskpt: float = OutlierOptions.maskpt,
    kernel_size: int = OutlierOptions.kernel_size,
    grow: int = OutlierOptions.grow,
    sharpness: float = OutlierOptions.sharpness,
    by_lower: bool = OutlierOptions.by_lower,
    flags: int = OUTLIER,
    progress: bool | Callable[[int, int | None], object] | None = None,
    **resampling: Any,
) -> Outliers:
    """Flag pixels in which an exposure has what no other one of the same place has: cosmic rays, mostly.

    Each exposure is resampled by itself onto a common frame, on the window that it reaches; the median of all is
    brought back to the pixels of each, where an outlier is what differs from it by more than ``snr`` times its noise
    and ``scale`` times the greatest step to a neighbouring pixel in what it should be.

    Parameters
    ----------
    models : sequence of gpures.typing.Model, path, or gpures.io.Input
        Exposures, at least two, with their sky levels. In each model ``"dq"`` becomes another array with the flags;
        nothing else is changed. Of files, each of which is read twice, the masks are given alone.
    output_wcs : gwcs.wcs.WCS, astropy.wcs.WCS or dict, optional
        Frame of the median, as `gpures.Resample` takes it, whose pixels should be no larger than those of the
        exposures. By default one around all of them, with the scale and the orientation of the first.
    snr, scale : (float, float[, float]), optional
        Thresholds: of a pixel; of one in whose surroundings there is one beyond the first; of one beside what was
        found. A text such as ``"5.0 4.0"`` will do; without a third number nothing is looked for beside what was found.
    backg : float, optional
        Background that is subtracted from the differences, in the unit of the data.
    maskpt : float, optional
        Pixels of a resampled exposure with a weight below so many times the mean one are left out of the median.
    kernel_size : int, optional
        Side of a pixel's surroundings, pixels, odd.
    grow : int, optional
        Side of the square by which outliers are grown in the end, pixels, odd.
    sharpness : float, optional
        A difference counts where at least so much of it is left if the exposure is smoothed as the median is: 0 to 1.
    by_lower : bool, optional
        Whether the lower of the two values in the middle, of three the least, takes the median's place where that
        stands out from it.
    flags : int, optional
        DQ bits of an outlier. By default those of JWST and Roman, OUTLIER and DO_NOT_USE.
    progress : bool, callable or None, optional
        As in `gpures.Resample.add_models`; each exposure is counted twice.
    **resampling
        Options of `gpures.Resample`: of the kernel, the weights, the good bits. These are by default none of models,
        and of files what their mission's mosaics forgive.

    Returns
    -------
    Outliers
        Masks, counts, and the median.

    Raises
    ------
    TypeError, ValueError, KeyError
        An argument or a model can't be used. No model has been changed then.

    Notes
    -----
    With ``snr=(5, 4), scale=(1.2, 0.7), sharpness=0, by_lower=False`` this does what the outlier detection of JWST's
    pipeline does. What is done besides finds more of the cosmic rays and leaves the cores of stars alone.
    """
    options = OutlierOptions(snr, scale, backg, maskpt, kernel_size, grow, sharpness, by_lower)
    exposures = given_exposures(models)
    if len(exposures) < 2:
        raise ValueError(
            f"'models' must be at least two exposures, of which one tells of another, got {len(exposures)}."
        )
    in_memory = [one for one in exposures if not isinstance(one, Input)]
    for model in in_memory:
        check_model(model, "'dq'")
    check_scale(exposures)
    flags = _checked_flags(flags, in_memory)
    resampling["good_bits"], names = good_bits_of(exposures, resampling.pop("good_bits", NOT_GIVEN))
    frame = _frame_of(exposures) if output_wcs is None else output_wcs
    search = OutlierSearch(frame, options, names, **resampling)
    with shown(progress, 2 * len(exposures)) as show:
        for k, exposure in enumerate(exposures):
            search.take(_read(exposure))
            show(k + 1)
        search.settle()
        masks = []
        for k, exposure in enumerate(exposures):
            masks.append(search.outliers_of(k, _read(exposure)))
            show(len(exposures) + k + 1)
    of_models = [(one, mask) for one, mask in zip(exposures, masks, strict=True) if not isinstance(one, Input)]
    made = [flagged(model["dq"], mask, flags) for model, mask in of_models]
    for (model, _), dq in zip(of_models, made, strict=True):
        model["dq"] = dq
    return Outliers([field_of(one).name for one in exposures], masks, search.median, search.wcs)


def _read(exposure: Any) -> Mapping[str, Any]:
    """The model of an exposure."""
    if not isinstance(exposure, Input):
        return exposure
    with stage("reading files"):
        return exposure.read()


def flagged(dq: Any, mask: np.ndarray, flags: int) -> Any:
    """Another DQ array, with flags in the pixels of a mask, as unsigned and as wide as the flags need."""
    made = as_host(dq)
    made = np.ma.copy(made) if np.ma.isMaskedArray(made) else np.array(made)
    made[mask] |= made.dtype.type(flags)
    return made


def _checked_flags(flags: Any, models: Sequence[Mapping[str, Any]]) -> int:
    flags = checked_integer(flags, "flags")
    for model in models:
        dtype = np.asarray(as_host(model["dq"])).dtype
        if dtype.kind not in "iu" or not 0 < flags <= np.iinfo(dtype).max:
            raise ValueError(
                f"'flags' must be positive and fit in the DQ of model '{model_name(model)}', {dtype}, got {got(flags)}."
            )
    return flags


def _frame_of(exposures: Sequence[Any]) -> dict[str, Any]:
    """A frame around exposures, on the scale and along the axes of the first."""
    fields = [field_of(exposure) for exposure in exposures]
    first = fields[0]
    sky = world_axes(first.wcs).sky
    footprints = [footprint_of(one.name, one.wcs, one.shape, sky) for one in fields]
    return made_wcs(first.wcs, first.shape, footprints, FrameOptions(rotation=None), sky)[0]
