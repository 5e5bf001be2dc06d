"""The resampler: its life from the first exposure to the finished mosaic, under the names that stcal gave it."""

from __future__ import annotations

import copy
import logging
import math
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence, Sized
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from gpures.arguments.arrays import on_device
from gpures.arguments.values import (
    checked_count,
    checked_names,
    checked_scale,
    fill_number,
)
from gpures.backend.base import Accumulators, MosaicLayout
from gpures.backend.choice import make_accumulators
from gpures.backend.images import in_type
from gpures.backend.pairs import lags
from gpures.errors import DeviceError, IncompleteError
from gpures.exposure.drops import warn_of_kernel
from gpures.exposure.exposure import Exposure
from gpures.exposure.from_model import exposure_of
from gpures.exposure.input_model import InputModel
from gpures.exposure.options import IMAGES, MADE_AT_THE_END, Options
from gpures.exposure.pixmap import PixelMap, calc_pixmap
from gpures.exposure.weights import flag_empty
from gpures.machine.prefetch import prefetched
from gpures.reporting.progress import shown
from gpures.reporting.timing import stage
from gpures.resample.added import AddedModel, added_model
from gpures.resample.attributes import Option, Settled
from gpures.resample.merging import Merging
from gpures.resample.output_frame import OutputFrame
from gpures.resample.output_model import OutputModel
from gpures.resample.saving import Saving
from gpures.resample.times import GroupTimes, TimeCounters, times_of
from gpures.typing import Flags, ModelLike, MosaicModel
from gpures.wcs.seams import period_of
from gpures.wcs.transforms import (
    ARCSEC_PER_RADIAN,
    axes_type,
    checked_wcs,
    into_frame,
    is_imaging,
)

__all__ = ["Resample"]

log = logging.getLogger(__name__)

MISSING = "Attempt to access non-existent key '{}' in a data model."

# What `add_model` raises where something in a model is wrong.
MODEL_ERRORS = (KeyError, RuntimeError, TypeError, ValueError)

# What is counted of the exposures, by the attributes' names.
COUNTS = (
    *("_n_res_models", "_exposures", "_group_ids", "_group_times", "_pixel_scale_ratio", "_variances_had"),
    "_reach_of_pairs",
    *TimeCounters.counters,
)

# What of a resampler belongs to the process and the thread, and is made anew for a copy.
OWN = ("_lock", "_wcs_lock", "_undo", "_parts", "_saved", "_world_to_pixel")


@dataclass(frozen=True)
class Undo:
    """What was counted before an exposure, for the case that it is not added.

    Attributes
    ----------
    passes : int
        Passes that were in the sums.
    counts : dict
        Attributes of the resampler.
    meta : dict
        Entries of the output model.
    """

    passes: int
    counts: dict[str, Any]
    meta: dict[str, Any]


def _has_been_added(model: Mapping[str, Any]) -> str:
    """Note of an error that came when a model had been added."""
    return f"Model '{InputModel(model).name}' has been added to the mosaic: go on with the next one."


def type_of_others() -> DTypeLike:
    """Type of the images that have no other."""
    return np.float32


class Resample(Merging, Saving, OutputFrame, TimeCounters):
    """Co-add exposures onto one output grid with the drizzle algorithm.

    Drop-in for `stcal.resample.Resample`: the same arguments, attributes, methods and results, and subclasses written
    for it work on this class. What it does otherwise is listed in the README.

    An output pixel is the weighted mean of the input pixels whose drops fall on it (Fruchter & Hook 2002, PASP 114,
    144). The centre of the first pixel has the coordinates (0, 0); it spans -0.5 ... 0.5.

    Parameters
    ----------
    output_wcs : dict
        ``"wcs"``: the output WCS, a `gwcs.wcs.WCS` or a celestial `astropy.wcs.WCS` with its ``array_shape`` set.
        ``"pixel_scale"`` (optional): output pixel scale in arcsec; computed from the WCS if missing.
        ``"pixel_scale_ratio"`` (optional): output over input pixel scale; else from the first model's nominal area.
    n_input_models : int, optional
        Number of models to come; makes room in the context image.
    pixfrac : float, optional
        Linear size of a drop in input pixels, 0 to 2. At 0.001 or less drops are points, with a warning.
    kernel : {"square", "gaussian", "point", "turbo", "lanczos2", "lanczos3"}, optional
        Shape of a drop. Gaussian and Lanczos drops do not conserve flux, and say so in a warning.
    fillval : float, str or None, optional
        Value of output pixels without contributions: a number, a string that holds one, "NaN"; None or "INDEF" leave
        them NaN.
    weight_type : {"ivm", "ivm-sky", "exptime"}, optional
        Weights: inverse ``var_rnoise``, inverse ``var_sky``, or the measurement time (else the exposure time).
    good_bits : int, str, list or None, optional
        DQ flags to be ignored, as `astropy.nddata.bitmask.interpret_bit_flags` takes them: 12, "4,8", "4+8", "~4",
        [4, 8], or names that ``dq_flag_name_map`` knows. Pixels with other flags have weight 0. None ignores all.
    enable_ctx : bool, optional
        Make the context image: bit ``k % 32`` of plane ``k // 32`` says that exposure k contributed.
    enable_var : bool, optional
        Resample the arrays named in ``variance_array_names``.
    compute_err : {"from_var", "driz_err"} or None, optional
        Output error: the root of the sum of the resampled variances, or the average of the ``err`` arrays.
    propagate_dq : bool, optional
        Make an output DQ array: the flags of all pixels that contributed, combined by OR.
    pixmap_stepsize, pixmap_order : int, optional
        With ``pixmap_stepsize > 1``: spacing of the grid on which the WCS is evaluated, and order (1 or 3) of the
        spline through it.
    backend : {"auto", "cuda", "cpu", "drizzle"}, optional
        "cuda" accumulates on a GPU; "drizzle" is the reference algorithm on the drizzle package. "auto" is what
        ``GPURES_BACKEND`` says, else "cuda" where a GPU can be used, else "cpu"; why a GPU can't be used is logged.
    device : int, str, cupy.cuda.Device, list or None, optional
        The GPU: its number, "cuda:1", or a device; None for the current one. A list of such, or "all", is several: each
        has the whole frame, exposures are dealt to them, and what they hold is brought together on the first one when
        an image is looked at.
    to_host : bool, optional
        With the backend "cuda", whether the images of the output model are numpy arrays. Else they are CuPy arrays
        that stay on the GPU, the first of several.
    pixmap_tolerance : float, optional
        Largest error of the pixel map, in output pixels, when ``pixmap_stepsize`` is 1. The WCS is evaluated on as
        coarse a grid as holds it, which is verified; 0 evaluates every pixel.
    extra_array_names : sequence of str, optional
        Further arrays of the models that ride along: each is averaged with the weights of the data, as it is (neither
        the sky level nor a flux scale is applied to it), and becomes an image of the output model under its name.
    enable_exptime_map : bool, optional
        Make the image ``"exptime_map"``: at each output pixel the sum of the exposure times (seconds) of those models
        that have a good pixel there, whatever its weight. Of a model that has ``"effective_exposure_time"``, as
        Roman's, it is that.
    accumulator_dtype : {"f4", "f8"}, optional
        Type of the accumulated sums. The images have the types of ``output_array_types`` in any case.
    dq_of_empty : int or None, optional
        DQ flags of output pixels without data (of weight 0), such as 1, which is DO_NOT_USE among the flags of JWST and
        Roman; None for none. Needs ``propagate_dq``.
    variance_method : {"stcal", "propagated"}, optional
        What the variances are. "propagated": those of the output's data, if the noise of the input pixels is
        independent, the sum of w² var over the square of the sum of w; w is what each input pixel's contribution to the
        data is weighted with. Where the variance of a pixel that contributes is not known (NaN, negative, or in no
        array), that of the output is NaN, and so is an error "from_var". An error "driz_err" is the root of the same
        sum with err². "stcal": what stcal's class makes, variances of averages of their roots, over the square of the
        pixel scale ratio, and an error "driz_err" that is an average.
    covariance : bool or int, optional
        Make ``"covariance"``, float32 (lags, Ny, Nx), in the square of the data's unit: at each output pixel its
        covariance with the pixel that is (dy, dx) further, for each of ``"covariance_lags"``, int (lags, 2), a half of
        all lags; the other half is found at the other pixel. The first is (0, 0), the variance. The variance of an
        input pixel is what ``err`` is made of: the sum of the variance arrays, or, with ``compute_err="driz_err"``,
        err². Whatever ``variance_method`` is, it is propagated. NaN where one of both pixels has no data, or the
        variance of a pixel that contributes to both is not known. True: all lags that drops reach; a number from 1 to
        31: the longest lag along either axis. Each of them takes 8 bytes of memory per output pixel, and 4 at the end.
    noise_factor : bool, optional
        Make ``"noise_factor"``, float32 (Ny, Nx): the root of the sum of a pixel's covariances with all pixels, itself
        among them, over its variance, so by how much the error per pixel of a sum over a large area is larger than that
        of one pixel. With ``covariance=True`` it is made of that; else of sums over whole drops, which take 16 bytes
        per output pixel, and is the same where neighbours have equal sums of weights.
    deterministic : bool, optional
        On a GPU, have the same images to the last bit from run to run and on any device, in about twice the time of its
        kernels and 1.5 times the memory for an exposure's sums; without it their last bits depend on which block of
        pixels comes first. Several GPUs give the same from run to run if they are as many, and images are looked at
        after the same exposures. Not with ``covariance`` or ``noise_factor`` there. The other backends are
        deterministic always.
    precision : {"double", "single"}, optional
        In what drops, and the sums of an exposure over the output pixels, are computed. "single", float32: coordinates
        are float64 until an output pixel near by is subtracted, and what is accumulated has ``accumulator_dtype``. A
        weight is then good to 8e-7 instead of float32's 6e-8 (:ref:`single-precision`), and a pass over an
        exposure is faster. Where float32 would not do (weights of one exposure that differ by more than 1e33, drops of
        less than 1/256 or more than 16 output pixels, covariances, ``deterministic`` on a GPU) it is float64 all the
        same. Not with the backend "drizzle".

    Raises
    ------
    ValueError
        An argument has a value that it can't have.
    TypeError
        ``output_wcs`` is not a mapping.
    UnsupportedWCSError
        The output WCS has an unexpected number of axes.
    MemoryError
        The output frame would not fit in memory.
    DeviceError
        The backend is "cuda", and the GPU can't be used; the text says what to do.

    Examples
    --------
    A simulated exposure onto a frame of its own scale:

    >>> from gpures import Resample
    >>> from gpures.demo.nircam import NATIVE_SCALE, NRCB5, make_exposures
    >>> from gpures.demo.scene import make_scene
    >>> from gpures.demo.sky import frame_around
    >>> (model,) = make_exposures(make_scene(NRCB5["CRVAL1"], NRCB5["CRVAL2"]), 1, (64, 64))
    >>> frame = frame_around([model], NATIVE_SCALE, margin=2)
    >>> resample = Resample({"wcs": frame}, good_bits="~1", compute_err="from_var", fillval="NaN")
    >>> resample.add_model(model)
    >>> resample.finalize()
    >>> resample.output_model["data"].shape == resample.output_model["err"].shape == frame.array_shape
    True
    """

    #: Types of the output images; variances not named here are float32.
    output_array_types: defaultdict[str, DTypeLike] = defaultdict(
        type_of_others,
        dict.fromkeys(("data", "wht", "err", "var_rnoise", "var_flat", "var_poisson"), np.float32) | {"con": np.int32},
    )

    #: Variance arrays that are resampled.
    variance_array_names: Sequence[str] = ["var_rnoise", "var_flat", "var_poisson"]

    #: Those that the error is made of; None for all.
    error_from_variances: Sequence[str] | None = None

    #: Names of DQ flags, a dict or `astropy.nddata.BitFlagNameMap`.
    dq_flag_name_map: Mapping[str, int] | None = None

    _accumulators: Accumulators
    _log = log

    def __init__(
        self,
        output_wcs: Mapping[str, Any],
        n_input_models: int | None = None,
        pixfrac: float = 1.0,
        kernel: str = "square",
        fillval: float | str | None = 0.0,
        weight_type: str = "ivm",
        good_bits: Flags = 0,
        enable_ctx: bool = True,
        enable_var: bool = True,
        compute_err: str | None = None,
        propagate_dq: bool = False,
        pixmap_stepsize: float = 1,
        pixmap_order: int = 1,
        *,
        backend: str = "auto",
        device: Any = None,
        to_host: bool = True,
        pixmap_tolerance: float = 1e-6,
        extra_array_names: Sequence[str] = (),
        enable_exptime_map: bool = False,
        accumulator_dtype: DTypeLike = "f4",
        dq_of_empty: int | None = None,
        variance_method: str = "stcal",
        covariance: bool | int = False,
        noise_factor: bool = False,
        deterministic: bool = False,
        precision: str = "double",
    ) -> None:
        # Slow to import, and needed by every exposure: here, so that neither `import gpures` nor the first one waits.
        import astropy.nddata.bitmask  # noqa: F401
        import scipy.interpolate  # noqa: F401

        self._lock, self._wcs_lock = threading.RLock(), threading.Lock()
        self._undo: Undo | None = None
        self._finalized = False
        self._n_res_models = 0
        self._exposures: list[AddedModel] = []
        self._group_ids: list[Any] = []
        self._group_times: list[GroupTimes] = []
        self._options = Options(
            pixfrac=pixfrac,
            kernel=kernel,
            fillval=fillval,
            weight_type=weight_type,
            good_bits=good_bits,
            enable_ctx=enable_ctx,
            enable_var=enable_var,
            compute_err=compute_err,
            propagate_dq=propagate_dq,
            pixmap_stepsize=pixmap_stepsize,
            pixmap_order=pixmap_order,
            backend=backend,
            device=device,
            to_host=to_host,
            pixmap_tolerance=pixmap_tolerance,
            extra_array_names=extra_array_names,
            enable_exptime_map=enable_exptime_map,
            accumulator_dtype=accumulator_dtype,
            dq_of_empty=dq_of_empty,
            variance_method=variance_method,
            covariance=covariance,
            noise_factor=noise_factor,
            deterministic=deterministic,
            precision=precision,
        )
        self._backend = self._options.backend
        checked_names(self.extra_array_names, (*IMAGES, *self.variance_array_names))

        OutputFrame.__init__(self, output_wcs)
        self._world_to_pixel = into_frame(self._output_wcs, self._output_array_shape)
        self._period = period_of(self._output_wcs)

        self._log.info("Output pixel scale: %s arcsec.", self._output_pixel_scale)
        for name in ("kernel", "pixfrac", "fillval", "weight_type"):
            self._log.info("Driz parameter %s: %s", name, getattr(self, name))
        self.reset_arrays(n_input_models=n_input_models)

    # ---- what it is --------------------------------------------------------------------------------------------

    # The output model's entries of these names say what the mosaic was begun with, as in the reference.
    pixfrac: Option[float] = Option(
        "Linear size of a drop in input pixels. Acts on the exposures that come next, as all that may be set."
    )
    kernel: Option[str] = Option("Name of the shape of a drop.")
    fillval: Option[float | str | None] = Option("Value of output pixels without contributions.", changed="_fill_anew")
    weight_type: Option[str] = Option("What weights are made of.")
    good_bits: Option[Flags] = Option("DQ flags to be ignored.")
    pixmap_stepsize: Option[float] = Option("Spacing of the grid on which the WCS is evaluated, in input pixels.")
    pixmap_order: Option[int] = Option("Order of the spline through that grid.")

    enable_ctx: Option[bool] = Option("Whether there is a context image.")
    enable_var: Option[bool] = Option("Whether variance arrays are resampled.")
    compute_err: Option[str | None] = Option("How the error array is computed, if it is.")
    propagate_dq: Option[bool] = Option("Whether the output has a DQ array.")
    extra_array_names: Option[tuple[str, ...]] = Option("Names of the further arrays that are averaged like the data.")
    enable_exptime_map: Option[bool] = Option("Whether there is a map of the exposure time.")
    dq_of_empty: Option[int | None] = Option(
        "Flags that output pixels without data have in the DQ array; None for none."
    )
    variance_method: Option[str] = Option('What variances are: "stcal", or "propagated", those of the output\'s data.')
    covariance: Option[bool | int] = Option("Whether there are covariances of output pixels, or their longest lag.")
    noise_factor: Option[bool] = Option("Whether there is an image of the noise factor.")
    deterministic: Option[bool] = Option("Whether a GPU adds so that the order does not matter.")
    precision: Option[str] = Option('In what drops and an exposure\'s sums are computed: "double", or "single".')

    # As subclasses of the reference's class know them.
    _enable_ctx: Option[bool] = Option("The same.", name="enable_ctx")
    _enable_var: Option[bool] = Option("The same.", name="enable_var")
    _compute_err: Option[str | None] = Option("The same.", name="compute_err")
    _propagate_dq: Option[bool] = Option("The same.", name="propagate_dq")

    backend: Settled[str] = Settled('Name of the backend in use: "cuda", "cpu" or "drizzle".')
    group_ids: Settled[list[Any]] = Settled("Group IDs of the models added, in their order.", "call 'reset_arrays'")
    exposures: Settled[list[AddedModel]] = Settled(
        "Models that are in the mosaic, in the order of the context image's bits: of each its ``name`` (that of its "
        "file), its ``group_id``, and a ``digest`` of its pixels. Of a finished mosaic that is gone on with they are "
        "not known.",
        "call 'reset_arrays'",
    )
    output_model: Settled[MosaicModel] = Settled(
        "Output model, a dictionary of images and meta data. Images are current at any time, variances at the end.",
        "change its entries, or call 'reset_arrays'",
    )

    def _fill_anew(self) -> None:
        """Have the images made again, with another fill value."""
        if "_accumulators" in self.__dict__:
            with self._lock:
                self._accumulators.fillval = fill_number(self.fillval)
                if self._n_res_models:
                    self._defer_images()

    def is_finalized(self) -> bool:
        """Whether `finalize` was called.

        Returns
        -------
        bool
            Whether the output model is complete.
        """
        return self._finalized

    # ---- copies ------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            state = {name: value for name, value in self.__dict__.items() if name not in OWN}
            # Images that are made of what is accumulated are made anew.
            made = self._accumulated_keys() if self._n_res_models and not self._finalized else ()
            state["_output_model"] = self._output_model.without(made)
            if self._undo is not None and self._accumulators.passes == self._undo.passes:
                state |= self._undo.counts
                state["_output_model"] |= self._undo.meta
            return state | {name: copy.copy(state[name]) for name in COUNTS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock, self._wcs_lock = threading.RLock(), threading.Lock()
        self._undo = None
        self._world_to_pixel = into_frame(self._output_wcs, self._output_array_shape)
        self._output_model = OutputModel(self._output_model)
        if self._n_res_models and not self._finalized:
            self._defer_images()

    def __copy__(self) -> Resample:
        made = type(self).__new__(type(self))
        with self._lock:
            state = self.__getstate__()
            if "_accumulators" in state:
                state["_accumulators"] = state["_accumulators"].copy()
        made.__setstate__(state)
        return made

    # ---- beginning ---------------------------------------------------------------------------------------------

    def create_output_model(self) -> dict[str, Any]:
        """Output model without images; a subclass may give one with further entries.

        Returns
        -------
        dict
            With the keys of `gpures.typing.MosaicModel` that the settings ask for, the images None.
        """
        area = self._output_pixel_scale**2
        model = {
            "wcs": self._output_wcs,
            "data": None,
            "wht": None,
            "con": None,
            "dq": None,
            "pixfrac": self.pixfrac,
            "kernel": self.kernel,
            "fillval": self.fillval,
            "weight_type": self.weight_type,
            "pixelarea_steradians": area / ARCSEC_PER_RADIAN**2,
            "pixelarea_arcsecsq": area,
            "pixel_scale_ratio": self._pixel_scale_ratio,
            "pointings": 0,
            "exposure_time": 0.0,
            "measurement_time": None,
            "start_time": None,
            "end_time": None,
            "duration": 0.0,
            "level": None,
            "subtracted": False,
        }
        if self._options.propagates:  # the reference has no word for it
            model["variance_method"] = self.variance_method
        if self._options.is_single:
            model["precision"] = self.precision
        if self.enable_var:
            model |= dict.fromkeys(self.variance_array_names)
        if self.compute_err is not None:
            model["err"] = None
        if self.enable_exptime_map:
            model["exptime_map"] = None
        if self.covariance is not False:
            model |= {"covariance": None, "covariance_lags": None, "covariance_reach": None}
        if self.noise_factor:
            model["noise_factor"] = None
        return model | dict.fromkeys(self.extra_array_names)

    def reset_arrays(self, n_input_models: int | None = None) -> None:
        """Begin a new mosaic in the same frame: an empty output model, times and groups at zero.

        Parameters
        ----------
        n_input_models : int, optional
            Number of models to come; makes room in the context image.

        Raises
        ------
        ValueError
            ``n_input_models`` is not a positive integer.
        MemoryError
            The frame's arrays would not fit in memory.
        """
        with self._lock:
            count = checked_count(n_input_models, "n_input_models")
            layout = self._layout(count)
            if hasattr(self, "_output_model"):
                with suppress(IncompleteError):
                    self._output_model.settle()  # whoever holds the mosaic before keeps its images
            self._undo = None
            self._drop_accumulators()  # and the rest of it makes room first
            self._accumulators = make_accumulators(self._backend, layout, self._options.device, self._options.to_host)
            self._backend = self._accumulators.backend
            self._output_model = OutputModel(self.create_output_model())
            self._n_res_models = 0
            self._exposures, self._group_ids, self._group_times = [], [], []
            self._variances_had, self._reach_of_pairs = (), 0
            if self.enable_var:
                self.init_variance_arrays()
            self.init_time_counters()
            self._finalized = False

    def _layout(self, n_input_models: int | None) -> MosaicLayout:
        """What is accumulated."""
        layout = MosaicLayout.of(self._options, self._output_array_shape, self.variance_array_names, n_input_models)
        apart = self._is_overridden("resample_variance_arrays")
        if layout.noise_names and apart:
            raise TypeError(
                f"'covariance' and 'noise_factor' need variances that come with the data, got a {type(self).__name__}, "
                "whose 'resample_variance_arrays' adds them with weights of its own."
            )
        if self.error_from_variances is not None and layout.noise_names and not layout.has_err:
            layout = replace(layout, noise_names=tuple(self.error_from_variances))
        return replace(layout, variances_apart=apart)

    def _drop_accumulators(self) -> None:
        if hasattr(self, "_accumulators"):
            self._accumulators.close()
            del self._accumulators

    def init_variance_arrays(self) -> None:
        """Called when variances begin to be accumulated; the backend has allocated their arrays."""

    # ---- adding ------------------------------------------------------------------------------------------------

    def validate_input_model(self, model: ModelLike) -> None:
        """Check that a model has all the keys that the settings need.

        Parameters
        ----------
        model : gpures.typing.Model
            Input model.

        Raises
        ------
        TypeError
            It is not a mapping.
        KeyError
            A key is missing.
        TypeError, ValueError
            Its WCS is none.
        """
        if not isinstance(model, Mapping):
            raise TypeError(f"'model' must be a dict of arrays and meta data, got {type(model).__name__}.")
        needed = ["data", "dq", "filename", "group_id", "wcs", "exposure_time", "start_time", "end_time", "duration"]
        needed += ["measurement_time", "pixelarea_steradians", "level", "subtracted"]
        if self.enable_var:
            needed += self.variance_array_names
        needed += self.extra_array_names
        if self._options.averages_err:
            needed.append("err")
        if not self.enable_var and self.weight_type.startswith("ivm"):
            needed.append("var_rnoise")
        for key in needed:
            if key not in model:
                raise KeyError(MISSING.format(key))
        checked_wcs(model["wcs"], "wcs", model)
        if "SPECTRAL" in axes_type(model["wcs"]) and "bunit_data" not in model:
            raise KeyError(MISSING.format("bunit_data"))

    def add_model(self, model: ModelLike) -> None:
        """Resample a model and add it to the mosaic, all its planes in one pass.

        Parameters
        ----------
        model : gpures.typing.Model
            Input model, a dictionary or another mapping; nothing in it is changed. `gpures.typing.Model` describes each
            of its keys. ``data`` and ``dq`` (Ny, Nx), ``wcs``, the times, ``pixelarea_steradians``, ``level``,
            ``subtracted``, ``filename`` and ``group_id`` are always needed; ``err``, ``var_*`` and ``bunit_data`` where
            the settings or the data ask for them.

        Raises
        ------
        RuntimeError
            The mosaic is finalized, or the data are not two-dimensional.
        KeyError, TypeError, ValueError
            Something in the model is missing or wrong. Nothing has been added then.
        """
        self._add(model)

    def add_models(
        self,
        models: Iterable[ModelLike],
        progress: bool | Callable[[int, int | None], object] | None = None,
        on_error: Callable[[int, Exception], object] | None = None,
    ) -> int:
        """Resample models and add them to the mosaic, in their order.

        The same as `add_model` for each, but while one is added, the next ones are taken from the iterable and their
        pixel maps are made, by a thread of its own: reading files, evaluating WCS and resampling overlap.

        Parameters
        ----------
        models : iterable of gpures.typing.Model
            Input models; a generator that reads files has at most three of them in memory.
        progress : bool or callable, optional
            True shows a progress bar (by tqdm where it is installed, else a line in the log for each model). A callable
            is called with the number of models done and their total, which is None where ``models`` has no length.
        on_error : callable, optional
            Called with the number of a model in ``models``, from 0, and what is wrong with it, if it can't be added.
            Unless the callable raises, that model is left out.

        Returns
        -------
        int
            Number of models added.

        Raises
        ------
        RuntimeError, KeyError, TypeError, ValueError
            As `add_model`, for the first model that is wrong; those before it have been added.
        """
        total = len(models) if isinstance(models, Sized) else None
        done = added = 0
        with shown(progress, total) as show:

            def take(add: Callable[..., None], *arguments: Any) -> None:
                nonlocal done, added
                try:
                    add(*arguments)
                    added += 1
                except DeviceError:  # which is no fault of the model's
                    raise
                except MODEL_ERRORS as error:
                    if on_error is None:
                        raise
                    on_error(done, error)
                done += 1
                show(done)

            if type(self).add_model is not Resample.add_model:  # which may do with a model what it likes
                for model in models:
                    take(self.add_model, model)
                    del model  # or it would be held while the next one is read
                return added
            # The first settles the pixel scale ratio, for which WCS are evaluated: until then the others are but read.
            for model, pixmap in prefetched(models, lambda model: self._pixmap_ahead(model) if added else None):
                take(self._add, model, pixmap)
                del model, pixmap
        return added

    def _pixmap_ahead(self, model: ModelLike) -> PixelMap | None:
        """Pixel map of a model, made in another thread; None where it had better be made in its turn."""
        # Hooks may evaluate WCS objects, which keep state while they are evaluated.
        if self._is_overridden("add_model_hook") or self._is_overridden("resample_variance_arrays"):
            return None
        try:
            return self._pixmap(model)
        except Exception:  # what is wrong is said in its turn
            return None

    def _pixmap(self, model: Mapping[str, Any]) -> PixelMap:
        # WCS objects keep state while they are evaluated, and the output's is everybody's.
        with self._wcs_lock, stage("pixel map"):
            return calc_pixmap(
                model["wcs"],
                self._world_to_pixel,
                np.shape(model["data"]),
                tolerance=self._options.pixmap_tolerance,
                stepsize=self.pixmap_stepsize,
                order=self.pixmap_order,
                period=self._period,
            )

    def _add(self, model: ModelLike, pixmap: PixelMap | None = None) -> None:
        with self._lock:
            self._settle(self._undo)
            if self._finalized:
                raise RuntimeError(
                    "Resampling has been finalized and no new models can be added to the resampled output model. "
                    "Call 'reset_arrays' to begin a new one."
                )
            self._accumulators.check_whole()
            self._check_names()
            self.validate_input_model(model)
            with self._all_or_nothing(lambda: _has_been_added(model)):
                taken = InputModel(model)
                checked = self._checked_exposure(taken, pixmap)
                warn_of_kernel(self.kernel, self.pixfrac, stacklevel=5)
                self._count(taken, checked)
                self._defer_images()
                self._log.info("Drizzling %s --> %s", checked.shape, self._output_array_shape)
                if any(self._is_overridden(name) for name in ("add_model_hook", "resample_variance_arrays")):
                    self._add_with_hooks(model, checked)
                else:
                    self._accumulators.add(checked)

    def _check_names(self) -> None:
        """Refuse names of variances that the mosaic was not begun with; it can go on with fewer."""
        begun = self._accumulators.layout.variance_names
        names = {"variance_array_names": self.variance_array_names if self.enable_var else ()}
        if self.enable_var and self.compute_err == "from_var":
            names["error_from_variances"] = self.error_from_variances or ()
        for attribute, given in names.items():
            if unknown := [name for name in given if name not in begun]:
                raise ValueError(
                    f"{attribute!r} must be among the variances that the mosaic was begun with, {begun}, got "
                    f"{unknown[0]!r}: change 'variance_array_names' and call 'reset_arrays'."
                )

    def _count(self, model: InputModel, checked: Exposure) -> None:
        kernel = self._accumulators.kernel_of(checked)
        self._exposures = [*self._exposures, added_model(model.name, model["group_id"], checked, kernel)]
        self._n_res_models += 1
        self._count_variances(checked)
        self._count_pairs(checked)
        self._count_group(model)

    def _count_group(self, model: Mapping[str, Any]) -> None:
        """Count the times of a model, unless its group has been counted."""
        if (group_id := model["group_id"]) not in self._group_ids:
            self.update_time(model)
            self._group_ids = [*self._group_ids, group_id]
            self._group_times = [*self._group_times, times_of(model)]
            dict.__setitem__(self._output_model, "pointings", self._output_model["pointings"] + 1)

    @contextmanager
    def _all_or_nothing(self, note: Callable[[], str]) -> Iterator[None]:
        """Count exposures if they are in the sums, and not if they are not, whatever happens meanwhile.

        An error that comes when they are has the note that they are.
        """
        meta = ("pixel_scale_ratio", "pointings")
        undo = self._undo = Undo(
            self._accumulators.passes,
            {name: copy.copy(getattr(self, name)) for name in COUNTS},
            {name: self._output_model.get(name) for name in meta},
        )
        try:
            yield
        except BaseException as error:
            if self._accumulators.passes > undo.passes:  # as where Ctrl-C was pressed in the midst of it
                error.add_note(note())
            raise
        finally:
            self._settle(undo)

    def _settle(self, undo: Undo | None) -> None:
        """Have what is counted agree with what is in the sums."""
        if undo is not None and self._accumulators.passes == undo.passes:
            self.__dict__.update(undo.counts)
            dict.update(self._output_model, undo.meta)
        self._undo = None

    def _defer_images(self) -> None:
        self._output_model.defer(self._accumulated_keys(), self._images)

    def _variance_names(self) -> Sequence[str]:
        """Variance arrays that are resampled."""
        if self._options.propagates:  # all that the mosaic was begun with: one left out is not known
            return self._accumulators.layout.variance_names
        return self.variance_array_names if self.enable_var else ()

    def _checked_exposure(self, model: Mapping[str, Any], pixmap: PixelMap | None = None) -> Exposure:
        """Everything about a model that a backend needs, checked; its pixel map may have been made before."""
        model = model if isinstance(model, InputModel) else InputModel(model)
        self._check_time(model)

        def pixmap_of(shape: tuple[int, int]) -> PixelMap:
            return self._pixmap(model) if pixmap is None or pixmap.shape != shape else pixmap

        checked = exposure_of(model, self._options, self._variance_names(), self.dq_flag_name_map, pixmap_of)
        self._check_noise(checked, model)
        checked.context_id = self._n_res_models
        checked.name = f"model '{model.name}'"
        self._compute_pixel_scale_ratio(model)
        checked.pixel_scale_ratio = self._kernel_scale_ratio(self._pixel_scale_ratio, checked.pixmap, checked.limits)
        checked.iscale = checked_scale(self._get_intensity_scale(model), "iscale", model)
        if not self._accumulators.takes_device_arrays and any(map(on_device, checked.arrays().values())):
            names = ", ".join(repr(key) for key, value in model.items() if on_device(value))
            raise TypeError(
                f"{names} of model '{model.name}' is on a GPU, and backend='{self._backend}' works in host "
                "memory: use backend='cuda', or pass array.get()."
            )
        return checked

    def _check_noise(self, exposure: Exposure, model: InputModel) -> None:
        """Refuse a model whose noise is made of other arrays than that of those before."""
        names = self._accumulators.layout.noise_names
        if not names or names == ("err",):
            return
        had = self._noise_had()
        has = [name for name in names if name in exposure.variances and name not in exposure.unknown]
        if not has or (had and has != had):
            raise ValueError(
                f"'covariance' and 'noise_factor' need one kind of noise of all models, of the variance arrays "
                f"{had or list(names)}, got model '{model.name}' with {has or 'none'}."
            )

    def _noise_had(self) -> list[str]:
        """Variance arrays that noise is made of, of the models before; none where there are no such."""
        names = self._accumulators.layout.noise_names
        return [name for name in names if name in self._variances_had] if self._n_res_models else []

    def _accumulated_keys(self) -> list[str]:
        wanted = {"con": self.enable_ctx, "dq": self.propagate_dq, "err": self._options.averages_err}
        wanted["exptime_map"] = self.enable_exptime_map
        wanted |= dict.fromkeys(MADE_AT_THE_END, False)
        return [key for key in IMAGES if wanted.get(key, True)] + list(self.extra_array_names)

    def _images(self) -> dict[str, np.ndarray]:
        types = {key: np.uint32 if key == "dq" else self.output_array_types[key] for key in self._accumulated_keys()}
        with self._lock, stage("images"), self._accumulators.context():
            self._accumulators.check_whole()
            images = self._accumulators.images()
            if self.dq_of_empty is not None:
                images = flag_empty(images, self.dq_of_empty)
            convert = self._accumulators.in_type
            return {key: in_type(images[key], types[key], key, convert) for key in types if key in images}

    # ---- end ---------------------------------------------------------------------------------------------------

    def finalize(self) -> None:
        """Finish the mosaic: images, variances, error and times into the output model. A second call does nothing.

        Raises
        ------
        ValueError
            No model was added.
        """
        with self._lock:
            if self._finalized:
                return
            self._settle(self._undo)
            if not self._n_res_models:
                raise ValueError("Nothing to finalize: no model has been added.")
            self._accumulators.check_whole()
            self._check_names()
            model = self._output_model
            model["pointings"] = len(self._group_ids)
            model.settle()
            self.finalize_time_info()
            try:
                with self._accumulators.whole():
                    self._finish(model)
            except BaseException:
                self._finalized = False  # finished is what is finished to the end
                raise
            self._finalized = True
            self._drop_accumulators()

    def _finish(self, model: OutputModel) -> None:
        """Variances and error, which are made of what is accumulated, in its place."""
        if self.enable_var:
            self.finalize_resample_variance(model)
        if self.compute_err == "driz_err":
            scaling = self._error_scaling()
            if scaling != 1.0:
                with self._accumulators.context():
                    error = self._accumulators.divided(model["err"], scaling)
                    model["err"] = self._accumulators.in_type(error, self.output_array_types["err"])
        elif self.compute_err == "from_var":
            if self.enable_var:
                model["err"] = self._error_from_variances(model)
            else:
                log.warning("compute_err='from_var' needs enable_var=True: the output has no 'err'.")
        self._finish_pairs(model)

    def _finish_pairs(self, model: OutputModel) -> None:
        """Noise factor and covariances."""
        if not self._accumulators.layout.noise_names:
            return
        with stage("covariance"), self._accumulators.context():
            if self.noise_factor:
                model["noise_factor"] = self._in_type(self._accumulators.noise_factor(), "noise_factor")
            if self.covariance is not False:
                model["covariance"] = self._in_type(self._accumulators.finish_covariances(), "covariance")
                longest = self._accumulators.layout.max_lag
                model["covariance_lags"] = lags(longest)
                model["covariance_reach"] = longest if self.covariance is True else self._reach_of_pairs

    def _in_type(self, image: Any, name: str) -> Any:
        return in_type(image, self.output_array_types[name], name, self._accumulators.in_type)

    def finalize_resample_variance(self, output_model: MutableMapping[str, Any]) -> None:
        """Put the finished variances into an output model.

        Parameters
        ----------
        output_model : dict
            Gets an image of float32 (Ny, Nx), in the square of the data's unit, for each of the variance arrays.
        """
        scaling = self._variance_scaling()
        with stage("variances"), self._accumulators.context():
            for name, image in self._accumulators.finish_variances(scaling).items():
                output_model[name] = self._accumulators.in_type(image, self.output_array_types[name])
        self._finalized = True

    def _error_scaling(self) -> float:
        """What averaged errors are divided by at the end."""
        ratio = None if self._options.propagates else self._pixel_scale_ratio
        return 1.0 if ratio is None else ratio if is_imaging(self._output_wcs) else 1.0 / math.sqrt(ratio)

    def _variance_scaling(self) -> float:
        """What variances are multiplied by at the end."""
        ratio = None if self._options.propagates else self._pixel_scale_ratio
        return 1.0 if ratio is None else 1.0 / ratio**2 if is_imaging(self._output_wcs) else ratio

    def _error_from_variances(self, model: Mapping[str, Any]) -> np.ndarray:
        """Root of the sum of the variances that the error is made of: see `Accumulators.error_image`."""
        names = self.variance_array_names if self.error_from_variances is None else self.error_from_variances
        if self._options.propagates:  # one that no exposure has is not what the noise is made of
            names = [name for name in names if name in self._variances_had]
        with stage("error"), self._accumulators.context():
            error = self._accumulators.error_image([model[name] for name in names])
            return self._accumulators.in_type(error, self.output_array_types["err"])
