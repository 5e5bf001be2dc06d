"""The resampling of other packages on gpures, without a change in them.

stcal and drizzle keep their resampling under a few names, from which the pipelines take it: functions and classes that
they call, and classes that theirs derive from. While acceleration is on,

- the modules that hold one of them, whenever they were imported, hold its *stand-in* instead;
- a new instance of a derived class is one of its *twin*: a class of the same name with the bases (derived class,
  stand-in). In its order of methods the stand-in comes after the derived class and before the original, so that
  ``super()`` leads to gpures. The derived class itself stays what it is, but for its ``__init__``; instances that are
  there already, of either kind, go on as they began, also after the switch.

The originals call each other as ever: who has one gets its own results. `original` gives it.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

from gpures.acceleration import outlier_detection
from gpures.acceleration.roman_times import RidingTimes
from gpures.arguments.values import first_device
from gpures.backend.base import MosaicLayout
from gpures.backend.choice import make_accumulators
from gpures.exposure.options import Options
from gpures.exposure.pixmap import calc_pixmap
from gpures.originals import original, stand_ins
from gpures.reporting.timing import stage
from gpures.resample.resampler import Resample

__all__ = ["Acceleration", "accelerate", "original", "restore", "used"]

log = logging.getLogger(__name__)

#: How often gpures did what one of these packages would have done, by the name of what was called.
used: Counter[str] = Counter()

_lock = threading.RLock()
_active: tuple[Acceleration, ...] = ()  # replaced, never changed, so that it can be read without the lock

# Marks the twins among the classes that derive from a stand-in.
_TWIN = "_gpures_twin"


class Acceleration:
    """Acceleration that is on; a context manager that ends it.

    Parameters
    ----------
    options : gpures.exposure.options.Options
        What `gpures.accelerate` was called with.

    Attributes
    ----------
    options : gpures.exposure.options.Options
        The same.
    """

    def __init__(self, options: Options):
        self.options = options

    def __enter__(self) -> Acceleration:
        self._begin()
        return self

    def __exit__(self, *exception: object) -> None:
        global _active
        with _lock:
            if self in _active:
                _active = tuple(other for other in _active if other is not self)
                if not _active:
                    _take_back()

    def _begin(self) -> None:
        global _active
        with _lock:
            _put_in_place()
            if self not in _active:
                _active = (*_active, self)


def accelerate(
    backend: str = "auto",
    *,
    device: Any = None,
    pixmap_tolerance: float = 1e-6,
    variance_method: str = "stcal",
    deterministic: bool = False,
    precision: str = "double",
) -> Acceleration:
    """Have stcal's and drizzle's resampling done by gpures, in this process, until `restore`.

    In place of `stcal.resample.Resample`, and for all that derives from it, as the resamplers of jwst and romancal do,
    there is `gpures.Resample`; in place of `drizzle.resample.Drizzle` and `drizzle.resample.blot_image`, which Roman's
    exposure times and outlier detection call, their namesakes in gpures; in place of ``calc_pixmap`` in
    `stcal.resample.utils` and `drizzle.utils` a verified spline where it can be had. Of stcal's outlier detection the
    medians (``nanmedian3D``, which MedianComputer calls, and ``medfilt``), ``flag_resampled_crs`` and
    ``compute_weight_threshold`` are done by the kernels, of arrays of float32; in place of `stcal.skymatch.skymatch` is
    what `gpures.match_sky` is made of. The map of exposure times that romancal's resampler makes in its hook is made in
    the pass over the exposure, to the same bits, where the hook is known. Modules imported before are covered as well
    as those to come.

    Called again it does no harm; where settings differ, the latest count. Used in a ``with`` statement it ends with it,
    and acceleration that was on before goes on.

    A reference that is not a module's (an attribute, a local variable, an entry of a list) stays what it is, and
    `gpures.acceleration.original` gives the original of what stands for it. Processes that are forked share the
    acceleration; those that are spawned begin without it: ``Pool(initializer=gpures.accelerate)``.

    Parameters
    ----------
    backend : {"auto", "cuda", "cpu", "drizzle"}, optional
        As in `gpures.Resample`.
    device : int, str, cupy.cuda.Device, list or None, optional
        As in `gpures.Resample`; of several GPUs all else than resampling takes the first.
    pixmap_tolerance : float, optional
        Largest error of a pixel map, in output pixels; 0 evaluates every pixel.
    variance_method : {"stcal", "propagated"}, optional
        As in `gpures.Resample`.
    deterministic : bool, optional
        As in `gpures.Resample`, and for `gpures.Drizzle`.
    precision : {"double", "single"}, optional
        As in `gpures.Resample`, and for `gpures.Drizzle`.

    Returns
    -------
    Acceleration
        A context manager.

    Raises
    ------
    ValueError
        An argument has a value that it can't have.
    DeviceError
        The backend is "cuda", and the GPU can't be used.
    ImportError
        Neither stcal nor drizzle is installed.

    Examples
    --------
    >>> import gpures
    >>> with gpures.accelerate():
    ...     pass  # jwst.resample.ResampleStep.call(models)
    """
    options = Options(
        backend=backend,
        device=device,
        pixmap_tolerance=pixmap_tolerance,
        variance_method=variance_method,
        deterministic=deterministic,
        precision=precision,
    )
    if options.backend != "auto" or device is not None:
        # Rather than when a pipeline has run for an hour.
        make_accumulators(options.backend, MosaicLayout((2, 2), single=options.is_single), options.device).close()
    acceleration = Acceleration(options)
    acceleration._begin()
    return acceleration


def restore() -> None:
    """Undo `accelerate`, however often it was called: every name and class is again what it was."""
    global _active
    with _lock:
        _active = ()
        _take_back()


def _options() -> Options:
    """Options that count now; those of what outlives its acceleration are the defaults."""
    active = _active
    return active[-1].options if active else Options()


def _place() -> dict[str, Any]:
    """The arguments that say where something is computed that takes one GPU."""
    return {"backend": _options().backend, "device": first_device(_options().device)}


def _count(name: str) -> None:
    with _lock:
        used[name] += 1


# ---- what stands in ------------------------------------------------------------------------------------------------


def _resample_stand_in(original: type) -> type:
    class Accelerated(RidingTimes, Resample):
        # Pipelines show the lines of some loggers, and people look for these.
        _log = logging.getLogger(original.__module__)

        def __init__(self, *args: Any, **options: Any):
            super().__init__(*args, **(_options().chosen() | options))

        def _add(self, *args: Any, **options: Any) -> None:
            super()._add(*args, **options)
            _count("stcal.resample.Resample.add_model")

        def _count_riding_time(self) -> None:
            _count("romancal.resample.ResampleData.add_model_hook")

    return _class_stand_in(original, Accelerated)


def _drizzle_stand_in(original: type) -> type:
    from gpures.drizzle.drizzle import Drizzle

    class Accelerated(Drizzle):
        def __init__(self, *args: Any, **options: Any):
            set_to = {name: getattr(_options(), name) for name in ("deterministic", "precision")}
            super().__init__(*args, **(_place() | set_to | options))

        def add_image(self, *args: Any, **options: Any) -> tuple[int, int]:
            missed = super().add_image(*args, **options)
            _count("drizzle.resample.Drizzle.add_image")
            return missed

    return _class_stand_in(original, Accelerated)


# Blotting rounds coordinates below this as the drizzle package does, whose results pipelines know, and whose tests
# compare with images that it made. Beyond, float32 would be off by more than 3e-5 pixels.
PACKAGE_PLACES = 1024.0


def _blot_stand_in(original: Callable[..., Any]) -> Callable[..., Any]:
    from gpures.drizzle.blot import blot_image

    @functools.wraps(original)
    def stand_in(*args: Any, **options: Any) -> Any:
        with stage("blot"):
            blotted = blot_image(*args, **(_place() | {"float32_below": PACKAGE_PLACES} | options))
        _count("drizzle.resample.blot_image")
        return blotted

    return stand_in


def _pixmap_stand_in(original: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(original)
    name = f"{original.__module__}.calc_pixmap"

    @functools.wraps(original)
    def stand_in(*args: Any, **kwargs: Any) -> Any:
        asked = signature.bind(*args, **kwargs)
        asked.apply_defaults()
        wcs_from, wcs_to, shape, box, *grid = asked.arguments.values()
        if shape is None:
            shape = getattr(wcs_from, "array_shape", None)
        if shape is not None and box == "to":
            try:
                with stage("pixel map"):
                    # drizzle's has no further arguments; stcal's has the step of the grid and the spline's order
                    pixmap = calc_pixmap(wcs_from, wcs_to, shape, _options().pixmap_tolerance, *grid).array()
            except Exception as error:
                log.debug("%s is left to the original: %s", name, error)
            else:
                _count(name)
                return pixmap
        return original(*args, **kwargs)

    return stand_in


def _skymatch_stand_in(original: Callable[..., Any]) -> Callable[..., Any]:
    from gpures.acceleration import skymatch

    signature = inspect.signature(original)

    @functools.wraps(original)
    def stand_in(*args: Any, **kwargs: Any) -> Any:
        asked = signature.bind(*args, **kwargs)
        asked.apply_defaults()
        images, method, match_down, subtract = asked.arguments.values()
        try:
            with stage("sky"):
                levels = skymatch.levels_of(images, method, match_down, subtract)
        except Exception as error:
            log.debug("stcal.skymatch.skymatch is left to the original: %s", error)
            return original(*args, **kwargs)
        skymatch.apply(images, levels, method, subtract)
        _count("stcal.skymatch.skymatch")
        return None

    return stand_in


def _function_stand_in(name: str, of_ours: Callable[..., Any], of_stage: str) -> Callable[[Any], Any]:
    """What makes the stand-in of a function: one of ours, and the original where that refuses its arguments."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(original)

        @functools.wraps(original)
        def stand_in(*args: Any, **kwargs: Any) -> Any:
            asked = signature.bind(*args, **kwargs)
            asked.apply_defaults()
            try:
                with stage(of_stage):
                    made = of_ours(*asked.arguments.values())
            except (TypeError, ValueError) as error:
                log.debug("%s is left to the original: %s", name, error)
                return original(*args, **kwargs)
            _count(name)
            return made

        return stand_in

    return make


_OUTLIERS = "stcal.outlier_detection"

# Where the originals are, and what makes their stand-ins.
_TARGETS: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("stcal.resample.resample", "Resample", _resample_stand_in),
    ("stcal.resample.utils", "calc_pixmap", _pixmap_stand_in),
    ("stcal.skymatch.skymatch", "skymatch", _skymatch_stand_in),
    *(
        (f"{_OUTLIERS}.{module}", name, _function_stand_in(f"{_OUTLIERS}.{module}.{name}", of_ours, of_stage))
        for module, name, of_ours, of_stage in (
            ("median", "nanmedian3D", outlier_detection.median_of_cube, "median"),
            ("utils", "medfilt", outlier_detection.median_around, "median"),
            ("utils", "flag_resampled_crs", outlier_detection.outliers_of, "comparison"),
            ("utils", "compute_weight_threshold", outlier_detection.threshold_of, "weights of each"),
        )
    ),
    ("drizzle.resample", "Drizzle", _drizzle_stand_in),
    ("drizzle.resample", "blot_image", _blot_stand_in),
    ("drizzle.utils", "calc_pixmap", _pixmap_stand_in),
)

# Where originals are at home that resample, by each other. Those of the outlier detection use others of them, to blot.
_HOMES = {home for home, _, _ in _TARGETS if not home.startswith(_OUTLIERS)}

# Those that resampling does without: they need other packages, which may be absent.
_BESIDE = ("stcal.skymatch", _OUTLIERS)


# ---- classes -------------------------------------------------------------------------------------------------------


def _class_stand_in(original: type, accelerated: type) -> type:
    """A class with the methods of gpures before those of the original."""

    def as_derived_from_the_original(cls: Any, /, **options: Any) -> None:
        super(stand_in, cls).__init_subclass__(**options)
        if _TWIN not in cls.__dict__:
            # So that nothing in it remains of gpures when acceleration ends.
            cls.__bases__ = tuple(original if base is stand_in else base for base in cls.__bases__)
            if _active:
                _hook(cls, stand_in)

    stand_in: Any = type(
        original.__name__,
        (accelerated, original),
        {
            "__module__": original.__module__,
            "__qualname__": original.__qualname__,
            "__doc__": accelerated.__bases__[-1].__doc__,
            "__init_subclass__": classmethod(as_derived_from_the_original),
        },
    )
    _hook(stand_in, stand_in)  # for those who call the base's __init__ by its name
    return stand_in


def _hook(cls: Any, stand_in: type) -> None:
    """Have new instances of a class and of its subclasses become their twins."""
    own = cls.__dict__.get("__init__")
    if hasattr(own, _TWIN):
        return

    @functools.wraps(cls.__init__)
    def constructor(self: Any, *args: Any, **kwargs: Any) -> None:
        if not isinstance(self, stand_in):
            self.__class__ = _twin(type(self), stand_in)
        (super(cls, self).__init__ if own is None else own.__get__(self))(*args, **kwargs)

    setattr(constructor, _TWIN, own)
    cls.__init__ = constructor


def _unhook(cls: Any) -> None:
    hook = cls.__dict__.get("__init__")
    if hasattr(hook, _TWIN):
        own = getattr(hook, _TWIN)
        if own is None:
            del cls.__init__
        else:
            cls.__init__ = own


def _twin(cls: Any, stand_in: type) -> type:
    """The class of the accelerated instances of a class."""
    for known in cls.__subclasses__():
        if known.__bases__ == (cls, stand_in):
            return known
    names = ("__module__", "__qualname__", "__doc__")
    return type(cls)(cls.__name__, (cls, stand_in), {name: getattr(cls, name) for name in names} | {_TWIN: True})


def _derived() -> Iterator[tuple[Any, Any]]:
    """The classes that derive from an original directly, and its stand-in."""
    for known, stand_in in stand_ins.items():
        derived: list[Any] = known.__subclasses__() if isinstance(known, type) else []
        yield from ((cls, stand_in) for cls in derived if not issubclass(cls, stand_in))


# ---- modules -------------------------------------------------------------------------------------------------------


def _put_in_place() -> None:
    """Make stand-ins for what is installed, and put them where the originals are."""
    found, left = [], {}
    for home, name, make in _TARGETS:
        try:
            module = importlib.import_module(home)
        except ImportError as error:
            absent = isinstance(error, ModuleNotFoundError) and f"{home}.".startswith(f"{error.name}.")
            if not (absent or home.startswith(_BESIDE)):
                raise  # it is there, and something that it needs is not
            if not absent:
                left[home] = error
            continue
        if hasattr(module, name):
            known = original(getattr(module, name))
            if known not in stand_ins:
                stand_ins[known] = make(known)
            found.append(f"{home}.{name}")
    if not found:
        raise ImportError("There is nothing to accelerate: neither stcal nor drizzle is installed here.")
    modules = _rebind(stand_ins)
    derived = list(_derived())
    for cls, stand_in in derived:
        _hook(cls, stand_in)
    if modules:
        names = ", ".join(sorted(f"{cls.__module__}.{cls.__qualname__}" for cls, _ in derived))
        log.info(
            "gpures stands in for %s, in %d modules%s.", ", ".join(found), modules, f", and under {names}" * bool(names)
        )
        for home, reason in left.items():
            log.info("%s stays as it is: what it needs is not here (%s).", home, reason)


def _take_back() -> None:
    """Put the originals back."""
    _rebind({stand_in: known for known, stand_in in stand_ins.items()})
    for cls, _ in _derived():
        _unhook(cls)


def _rebind(new: Mapping[Any, Any]) -> int:
    """Replace objects in the modules that hold them; the number of those.

    In the modules where the originals are at home they alone are replaced, and not what they use of each other.
    """
    by_id = {id(old): (old, replacement) for old, replacement in new.items()}
    changed = 0
    for module_name, module in list(sys.modules.items()):
        if not issubclass(type(module), ModuleType):
            continue
        names = object.__getattribute__(module, "__dict__")  # a lazy module's own attribute access would load it
        held = [(key, *by_id[id(value)]) for key, value in list(names.items()) if id(value) in by_id]
        if module_name in _HOMES:
            held = [(key, old, replacement) for key, old, replacement in held if old.__module__ == module_name]
        for key, _, replacement in held:
            names[key] = replacement
        changed += bool(held)
    return changed
