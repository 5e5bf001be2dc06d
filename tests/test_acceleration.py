"""`gpures.accelerate`: what stands in for what, when, and that nothing of it remains."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import inspect
import logging
import multiprocessing
import sys
import threading
import types

import drizzle.resample
import drizzle.utils
import numpy as np
import pytest
import scenes
import stcal.resample
import stcal.resample.utils
from drizzle.resample import Drizzle
from stcal.resample import Resample as STCALResample
from stcal.resample.utils import build_driz_weight
from test_parity_stcal import as_float32, assert_parity

import gpures
from gpures.acceleration import roman_times
from gpures.acceleration import switch as acceleration
from gpures.originals import original

SHAPE = (34, 29)

# An attribute of an object is not a module's name, so it stays what it is.
REFERENCES = types.SimpleNamespace(
    resample=STCALResample,
    drizzle=Drizzle,
    blot=drizzle.resample.blot_image,
    stcal_pixmap=stcal.resample.utils.calc_pixmap,
)


@pytest.fixture(autouse=True)
def off_at_the_end():
    yield
    gpures.restore()


class Pipeline(STCALResample):
    """In a pipeline's style, and from before the call: it has stcal as its base."""

    dq_flag_name_map = {"HOT": 1, "SAT": 2, "JUMP": 4, "NOISY": 1024}

    def __init__(self, input_models, good_bits="NOISY+JUMP", **kwargs):
        self.input_models = input_models
        self.product = None
        super().__init__(output(), n_input_models=len(input_models), good_bits=good_bits, **kwargs)

    def add_model(self, model):
        super().add_model(dict(model))

    def finalize(self):
        super().finalize()
        self.product = {key: self.output_model[key] for key in self.output_model}

    def mosaic(self):
        for model in self.input_models:
            self.add_model(model)
        self.finalize()
        return self.product


class SpectralPipeline(Pipeline):
    """Derived once more, and with the older ways to call a base."""

    def __init__(self, input_models, **kwargs):
        super(SpectralPipeline, self).__init__(input_models, **kwargs)  # noqa: UP008

    def finalize(self):
        STCALResample.finalize(self)
        self.product = dict(self.output_model)


class WithoutInit(STCALResample):
    """Without a constructor of its own."""


class Timed(Pipeline):
    """A hook that drizzles another array, as Roman's."""

    def add_model_hook(self, model, pixmap, pixel_scale_ratio, iscale, weight_map, xmin, xmax, ymin, ymax):
        assert pixmap.shape == (*SHAPE, 2)
        assert weight_map.shape == SHAPE
        driz = Drizzle(kernel=self.kernel, fillval=0, out_shape=self.output_array_shape, disable_ctx=True)
        time = np.full(SHAPE, model["exposure_time"], np.float32)
        driz.add_image(time, exptime=1.0, pixmap=pixmap, xmin=xmin, xmax=xmax, ymin=ymin, ymax=ymax)
        self.exposure_time = getattr(self, "exposure_time", 0) + driz.out_img


def output():
    return {"wcs": scenes.frame_around(SHAPE), "pixel_scale": scenes.SCALE}


def models(n=3):
    return scenes.dithered_models(SHAPE, n=n)


def is_ours(resample):
    """Whether gpures resamples: its objects have a backend, stcal's have drizzle's objects."""
    return isinstance(resample, gpures.Resample) and hasattr(resample, "backend") and not hasattr(resample, "_driz")


def state():
    """Everything in every module, and the classes that derive from stcal's."""
    modules = {
        name: dict(module.__dict__)
        for name, module in sys.modules.items()
        # Hypothesis counts garbage collections in one of its own.
        if type(module) is types.ModuleType and name.partition(".")[0] != "hypothesis"
    }
    classes = REFERENCES.resample.__subclasses__() + REFERENCES.drizzle.__subclasses__()
    return modules, {
        cls: (cls.__bases__, dict(cls.__dict__)) for cls in classes if not issubclass(cls, gpures.Resample)
    }


# ---- what is accelerated -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [Pipeline, SpectralPipeline, Timed])
@pytest.mark.parametrize("compute_err", ["from_var", "driz_err"])
def test_class_from_before_gives_its_own_results_on_gpures(cls, compute_err):
    """A subclass of stcal's that was there before resamples on gpures, and its product is what it was."""
    expected = cls(models(), compute_err=compute_err, propagate_dq=True)
    expected.mosaic()
    with gpures.accelerate(backend="cpu", pixmap_tolerance=0):
        got = cls(models(), compute_err=compute_err, propagate_dq=True)
        got.mosaic()
    assert is_ours(got)
    assert not is_ours(expected)
    assert isinstance(got, cls)
    assert type(got).__name__ == cls.__name__
    assert_parity(got.product, as_float32(expected.product), models(), averaged_err=compute_err == "driz_err")
    if cls is Timed:
        np.testing.assert_allclose(got.exposure_time, expected.exposure_time, rtol=1e-5)


def test_class_without_a_constructor():
    """A subclass without an __init__ resamples on gpures, and has none afterwards."""
    with gpures.accelerate(backend="cpu"):
        assert is_ours(WithoutInit(output()))
    assert not is_ours(WithoutInit(output()))
    assert "__init__" not in vars(WithoutInit)


@pytest.mark.parametrize("later", [False, True])
def test_class_from_meanwhile(later):
    """A class derived while acceleration is on has stcal as its base, on gpures as long as that is on."""
    with gpures.accelerate(backend="cpu"):

        class Meanwhile(STCALResample):
            def add_model(self, model):
                super().add_model(dict(model))

        assert Meanwhile.__bases__ == (REFERENCES.resample,)
        assert is_ours(Meanwhile(output()))
    assert not is_ours(Meanwhile(output()))
    if later:
        gpures.accelerate(backend="cpu")
        assert is_ours(Meanwhile(output()))


def test_modules_from_before_and_later():
    """Names that modules hold, under whatever name and from whatever time, stand for gpures."""
    before = types.ModuleType("a_module_from_before")
    before.Mosaic = REFERENCES.resample
    sys.modules[before.__name__] = before
    try:
        with gpures.accelerate(backend="cpu"):
            from stcal.resample.resample import Resample as Later

            assert before.Mosaic is Later is STCALResample is stcal.resample.Resample
            assert is_ours(before.Mosaic(output()))
            assert isinstance(before.Mosaic(output()), REFERENCES.resample)
        assert before.Mosaic is REFERENCES.resample
    finally:
        del sys.modules[before.__name__]


def test_pixel_maps():
    """calc_pixmap of both packages is that of gpures, to its tolerance, and with its fallback."""
    wcs, frame = scenes.camera_wcs((200, 300)), output()["wcs"]
    expected = REFERENCES.stcal_pixmap(wcs, frame, (200, 300))
    used = acceleration.used.copy()
    with gpures.accelerate(pixmap_tolerance=1e-4):
        for calc_pixmap in (stcal.resample.utils.calc_pixmap, drizzle.utils.calc_pixmap):
            pixmap = calc_pixmap(wcs, frame, shape=(200, 300))
            np.testing.assert_allclose(pixmap, expected, rtol=0, atol=1e-4)
            assert not np.array_equal(pixmap, expected)  # a spline
            pixmap[0, 0] = -1  # which is the caller's
        with gpures.accelerate(pixmap_tolerance=0):
            # By a formula, which has not the rounding of degrees that the reference has.
            pixmap = stcal.resample.utils.calc_pixmap(wcs, frame)
            np.testing.assert_allclose(pixmap, expected, rtol=0, atol=scenes.ROUNDING)
    assert set((acceleration.used - used).values()) == {2, 1}


@pytest.mark.parametrize("asked", [{"stepsize": 4}, {"stepsize": 10, "order": 3}])
def test_pixel_maps_with_a_step(asked):
    """Where a step is asked for, the map is the original's, whatever the tolerance, to a spline's roundings."""
    wcs, frame = scenes.camera_wcs((200, 300)), output()["wcs"]
    expected = REFERENCES.stcal_pixmap(wcs, frame, (200, 300), **asked)
    before = acceleration.used["stcal.resample.utils.calc_pixmap"]
    with gpures.accelerate(pixmap_tolerance=1e-12):
        np.testing.assert_allclose(
            stcal.resample.utils.calc_pixmap(wcs, frame, (200, 300), **asked), expected, rtol=0, atol=1e-9
        )
    assert acceleration.used["stcal.resample.utils.calc_pixmap"] == before + 1


@pytest.mark.parametrize("box", ["from", "both", "none"])
def test_pixel_maps_with_other_bounding_boxes_are_the_originals(box):
    """Where another bounding box is to be respected, the original decides, to the last bit."""
    expected, got = (scenes.camera_wcs((200, 300)) for _ in range(2))
    expected = REFERENCES.stcal_pixmap(expected, output()["wcs"], (200, 300), box)
    with gpures.accelerate():
        got = stcal.resample.utils.calc_pixmap(got, output()["wcs"], (200, 300), box)
    np.testing.assert_array_equal(got, expected)


def test_pixel_map_that_gpures_cannot_make():
    """What gpures refuses goes to the original, whose errors are the ones that callers know."""
    wcs = scenes.imaging_wcs(SHAPE)
    wcs.array_shape = wcs.bounding_box = None
    with gpures.accelerate():
        with pytest.raises(ValueError, match="must have pixel_shape property set"):
            stcal.resample.utils.calc_pixmap(wcs, output()["wcs"])
        with pytest.raises(ValueError, match="Interpolation order should be either 1 or 3"):
            stcal.resample.utils.calc_pixmap(scenes.imaging_wcs(SHAPE), output()["wcs"], stepsize=2, order=2)


def blotted(blot_image, **options):
    """A smooth image, interpolated at places inside and beside it, but for its upper edges, where the two differ."""
    y, x = np.indices((40, 50))
    image = (np.sin(x / 3.0) + 0.1 * y).astype(np.float32)
    pixmap = np.stack(np.meshgrid(np.linspace(-3.3, 46.1, 31), np.linspace(1.2, 35.9, 23)), axis=-1)
    return blot_image(image, pixmap, **options)


@pytest.mark.parametrize("interp", ["linear", "poly5"])
def test_blot(interp):
    """blot_image is that of gpures, with the reference's values: there it rounds coordinates as the reference does."""
    expected = blotted(REFERENCES.blot, interp=interp, fillval=-7.0)
    before = acceleration.used["drizzle.resample.blot_image"]
    with gpures.accelerate(backend="cpu"):
        assert drizzle.resample.blot_image is not REFERENCES.blot
        got = blotted(drizzle.resample.blot_image, interp=interp, fillval=-7.0)
    np.testing.assert_allclose(got, expected, rtol=0, atol=6 * 8 * 1.2e-7)  # values below 6, a few roundings
    assert (got == -7.0).any()
    assert acceleration.used["drizzle.resample.blot_image"] == before + 1


def test_drizzle_in_arrays_of_the_caller():
    """A Drizzle from before fills the arrays that it was given, and begins again where they are cleared."""
    driz_images = []
    for on in (False, True):
        with gpures.accelerate(backend="cpu") if on else contextlib.nullcontext():
            image, weight = np.zeros((2, 60, 60), np.float32)
            driz = Drizzle(fillval=0, out_img=image, out_wht=weight, disable_ctx=True)
            assert isinstance(driz, gpures.Drizzle) == on
            for model in models(2):
                pixmap = REFERENCES.stcal_pixmap(model["wcs"], output()["wcs"], SHAPE)
                driz.add_image(model["data"], exptime=1.0, pixmap=pixmap)
                driz_images.append((image.copy(), weight.copy()))
                image[:] = 0
                weight[:] = 0
    for (expected_image, expected_weight), (image, weight) in zip(driz_images[:2], driz_images[2:], strict=True):
        assert (weight > 0).any()
        np.testing.assert_allclose(weight, expected_weight, rtol=0, atol=1e-5)
        covered = expected_weight > 0.01
        np.testing.assert_allclose(image[covered], expected_image[covered], rtol=0, atol=1e-3)


# ---- what is not ---------------------------------------------------------------------------------------------------


def test_explicit_references_reach_the_originals():
    """A reference of one's own, and `original`, give stcal and its results, to the last bit."""

    def mosaic(cls):
        resample = cls(output(), compute_err="from_var")
        for model in models():
            resample.add_model(model)
        resample.finalize()
        return resample.output_model

    expected = mosaic(REFERENCES.resample)
    with gpures.accelerate(backend="cpu"):
        assert STCALResample is not REFERENCES.resample
        assert original(STCALResample) is original(stcal.resample.Resample) is REFERENCES.resample
        assert original(stcal.resample.utils.calc_pixmap) is REFERENCES.stcal_pixmap
        got = mosaic(REFERENCES.resample)
    for name in ("data", "wht", "con", "err", "var_rnoise"):
        np.testing.assert_array_equal(got[name], expected[name])
    assert original(STCALResample) is REFERENCES.resample
    assert original(np.mean) is np.mean


@pytest.mark.parametrize("how", ["argument", "accelerate", "environment"])
def test_reference_backend(how, monkeypatch):
    """backend="drizzle" is the drizzle package itself, however it is asked for."""
    accumulators = []
    if how == "environment":
        monkeypatch.setenv("GPURES_BACKEND", "drizzle")
    with gpures.accelerate(**({"backend": "drizzle"} if how == "accelerate" else {})):
        resample = STCALResample(output(), **({"backend": "drizzle"} if how == "argument" else {}))
        resample.add_model(models()[0])
        accumulators.append(resample._accumulators._driz)
        blot = drizzle.resample.blot_image
        np.testing.assert_array_equal(
            blotted(blot, **({"backend": "drizzle"} if how == "argument" else {})), blotted(REFERENCES.blot)
        )
    assert type(accumulators[0]) is REFERENCES.drizzle


def test_instances_go_on_as_they_began():
    """A mosaic that is begun when acceleration goes on or off is finished by those who began it."""
    expected = Pipeline(models()).mosaic()
    began_before = Pipeline(models())
    began_before.add_model(models()[0])
    with gpures.accelerate(backend="cpu", pixmap_tolerance=0):
        began_meanwhile = Pipeline(models())
        began_meanwhile.add_model(models()[0])
        for model in models()[1:]:
            began_before.add_model(model)
        began_before.finalize()
    for model in models()[1:]:
        began_meanwhile.add_model(model)
    began_meanwhile.finalize()
    np.testing.assert_array_equal(began_before.product["data"], expected["data"])
    assert not is_ours(began_before)
    assert isinstance(began_meanwhile, gpures.Resample)
    assert_parity(began_meanwhile.product, as_float32(expected), models())


def test_errors_are_those_that_callers_know():
    """A WCS that is not supported raises the exception of stcal."""
    known = stcal.resample.UnsupportedWCSError
    frame = scenes.frame_around(SHAPE)
    with gpures.accelerate(backend="cpu"):
        resample = STCALResample({"wcs": frame, "pixel_scale": scenes.SCALE})
        three_axes = types.SimpleNamespace(output_frame=types.SimpleNamespace(naxes=3, axes_type=("SPATIAL",) * 3))
        with pytest.raises(known, match="3 axes"):
            resample.check_output_wcs(three_axes)


# ---- on and off ----------------------------------------------------------------------------------------------------


def test_restore_is_exact():
    """Every name of every module, and every class, is afterwards what it was before."""
    gpures.accelerate(backend="cpu")
    gpures.restore()  # what is imported on the way is imported
    modules, classes = state()
    gpures.accelerate(backend="cpu")
    changed = [name for name, held in state()[0].items() if held != modules.get(name)]
    assert {"stcal.resample", "stcal.resample.resample", "stcal.resample.utils", "drizzle.utils", __name__} <= {
        *changed
    }
    Pipeline(models()).mosaic()
    gpures.restore()
    after_modules, after_classes = state()
    for name, held in modules.items():
        assert after_modules[name].keys() == held.keys(), name
        assert all(after_modules[name][key] is value for key, value in held.items()), name
    for cls, (bases, attributes) in classes.items():
        assert after_classes[cls][0] == bases
        assert after_classes[cls][1] == attributes


def test_nested_and_twice():
    """Twice is once, an inner block leaves the outer on, with its settings, and restore ends them all."""
    outer = gpures.accelerate(backend="drizzle")
    stand_in = STCALResample
    with gpures.accelerate(backend="cpu"):
        assert STCALResample is stand_in
        assert STCALResample(output()).backend == "cpu"
        assert STCALResample(output(), backend="drizzle").backend == "drizzle"
    assert STCALResample(output()).backend == "drizzle"
    with outer:
        pass
    assert STCALResample is REFERENCES.resample
    with outer:  # may be used again
        assert is_ours(STCALResample(output()))
        gpures.accelerate()
        gpures.restore()
        assert STCALResample is REFERENCES.resample
    gpures.restore()
    assert STCALResample is REFERENCES.resample


def test_block_that_fails():
    """Acceleration ends with its block, also when that raises."""
    with pytest.raises(ZeroDivisionError), gpures.accelerate():
        1 / 0  # noqa: B018
    assert STCALResample is REFERENCES.resample


def test_threads():
    """Blocks that overlap in threads: it is on in all of them, and off when the last has ended."""
    barrier, wrong = threading.Barrier(4), []

    def work(number):
        barrier.wait()
        for _ in range(5):
            with gpures.accelerate(backend="cpu"):
                resample = Pipeline(models(1))
                if not is_ours(resample) or not np.isfinite(resample.mosaic()["data"]).any():
                    wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert STCALResample is REFERENCES.resample


def is_accelerated():
    """Whether it is on where this is called."""
    return STCALResample is not original(STCALResample)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize(("method", "initializer"), [("fork", None), ("spawn", gpures.accelerate), ("spawn", None)])
def test_processes(method, initializer):
    """A forked process shares the acceleration; a spawned one has it where its initializer turns it on."""
    with gpures.accelerate(), multiprocessing.get_context(method).Pool(1, initializer=initializer) as pool:
        assert pool.apply(is_accelerated) == (method == "fork" or initializer is not None)


def test_says_what_it_does_in_one_line(caplog):
    """One line of the log says what gpures stands in for, and a second call has nothing to say."""
    with caplog.at_level(logging.INFO, "gpures.acceleration"):
        gpures.accelerate()
        gpures.accelerate()
    (record,) = caplog.records
    for name in ("stcal.resample.resample.Resample", "drizzle.utils.calc_pixmap", f"{__name__}.Pipeline"):
        assert name in record.getMessage()


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"backend": "tpu"}, ValueError, "'backend' must be one of"),
        ({"pixmap_tolerance": -1}, ValueError, "'pixmap_tolerance' must be a number at least 0"),
        ({"device": "gpu"}, ValueError, "'device' must be None"),
    ],
)
def test_bad_arguments_change_nothing(arguments, error, text):
    """An argument that can't be is refused at once, and nothing is accelerated."""
    with pytest.raises(error, match=text):
        gpures.accelerate(**arguments)
    assert STCALResample is REFERENCES.resample


def test_device_that_is_not_there_is_refused_at_once(monkeypatch):
    """A GPU that is asked for and can't be used is an error of the call, not of the pipeline after an hour."""
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(gpures.DeviceError, match="needs CuPy"):
        gpures.accelerate(backend="cuda")
    assert STCALResample is REFERENCES.resample


def test_nothing_to_accelerate(monkeypatch):
    """Without stcal and drizzle there is nothing to do, and the error says so; a broken one is not hidden."""
    for package in ("stcal", "drizzle"):
        for name in [name for name in sys.modules if name.split(".")[0] == package]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match="neither stcal nor drizzle is installed"):
        gpures.accelerate()
    assert not acceleration._active


def test_package_that_is_broken(monkeypatch):
    """A package that is there, and lacks what it needs, is not taken for absent."""
    for name in [name for name in sys.modules if name.split(".")[0] == "stcal"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "drizzle.resample", None)
    with pytest.raises(ModuleNotFoundError, match=r"drizzle\.resample"):
        gpures.accelerate()


@pytest.mark.parametrize(
    ("needed", "home", "name"),
    [
        ("spherical_geometry.polygon", "stcal.skymatch.skymatch", "skymatch"),
        ("skimage.util", "stcal.outlier_detection.utils", "flag_resampled_crs"),
    ],
)
def test_what_resampling_does_without_may_lack_what_it_needs(needed, home, name, monkeypatch, caplog):
    """Skies and outliers of a stcal whose own needs are not all here are left to it, which is said; the rest is not."""
    package = home.rpartition(".")[0]
    monkeypatch.setattr(package, importlib.import_module(package))  # is there again afterwards
    for module in [module for module in sys.modules if module.startswith(package)]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, needed, None)
    with caplog.at_level(logging.INFO, "gpures.acceleration"), gpures.accelerate(backend="cpu"):
        assert is_ours(Pipeline(models()))
    (message, left) = [record.getMessage() for record in caplog.records]
    assert f"{home}.{name}" not in message
    assert home in left
    assert needed in left


# ---- a map of exposure times that is made in a hook, as romancal's ---------------------------------------------------

dqflags = types.SimpleNamespace(pixel={"HOT": 1, "SAT": 2, "JUMP": 4, "NOISY": 1024})


class ExptimeResampler:
    """Sums the exposure times, each drizzled by itself."""

    def __init__(self, _wcs, shape, good_bits, kernel):
        self.good_bits = good_bits
        self.mean, self.weight = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.exptime_total = np.zeros(shape, np.float32)
        self.driz = Drizzle(kernel=kernel, fillval=0, out_img=self.mean, out_wht=self.weight, disable_ctx=True)

    def add_image(self, model, pixmap, xmin, xmax, ymin, ymax):
        weight = build_driz_weight(model, None, self.good_bits, dqflags.pixel)
        limits = {"xmin": xmin, "xmax": xmax, "ymin": ymin, "ymax": ymax}
        time = np.full(weight.shape, model["effective_exposure_time"])
        self.driz.add_image(time, exptime=1.0, pixmap=pixmap, weight_map=weight, **limits)
        self.exptime_total += self.mean
        self.mean[:], self.weight[:] = 0, 0


class TimesInTheHook(STCALResample):
    dq_flag_name_map = dqflags.pixel
    compute_exptime = True

    def add_model_hook(self, model, pixmap, pixel_scale_ratio, iscale, weight_map, xmin, xmax, ymin, ymax):
        if self.compute_exptime:
            if not hasattr(self, "_exptime_resampler"):
                recipe = (self.output_wcs, self.output_array_shape, self.good_bits, self.kernel)
                self._exptime_resampler = ExptimeResampler(*recipe)
            self._exptime_resampler.add_image(model, pixmap, xmin, xmax, ymin, ymax)


class TimesInAnotherHook(TimesInTheHook):
    def add_model_hook(self, **arguments):
        super().add_model_hook(**arguments)


@pytest.fixture
def hook_is_known(monkeypatch):
    """The hook above is one that is known."""
    text = inspect.getsource(TimesInTheHook.add_model_hook) + inspect.getsource(ExptimeResampler)
    monkeypatch.setattr(roman_times, "KNOWN", {hashlib.sha256(text.encode()).hexdigest()})
    roman_times._is_known.cache_clear()
    yield
    roman_times._is_known.cache_clear()


def times_by(make, times, **options):
    """The map of exposure times of three models, and what of it was done on gpures."""
    before = acceleration.used.copy()
    with gpures.accelerate(backend="cpu"):
        resampler = make(output(), good_bits="NOISY+JUMP", **options)
        for model, time in zip(models(), times, strict=True):
            resampler.add_model({**model, "effective_exposure_time": time})
        so_far = resampler._exptime_resampler.exptime_total.copy()
        resampler.finalize()
    np.testing.assert_array_equal(resampler._exptime_resampler.exptime_total, so_far)
    return so_far, acceleration.used - before


RIDING, CALLED = "romancal.resample.ResampleData.add_model_hook", "drizzle.resample.Drizzle.add_image"


@pytest.mark.parametrize(
    "options", [{}, {"pixmap_stepsize": 8, "pixmap_order": 3}, {"weight_type": "exptime"}], ids=str
)
def test_times_of_a_known_hook_ride_the_pass(options, hook_is_known):
    times = (100.1, 37.7, 0.1)
    expected, called = times_by(TimesInAnotherHook, times, **options)
    total, used = times_by(TimesInTheHook, times, **options)
    np.testing.assert_array_equal(total, expected)
    assert len(np.unique(total)) > 4
    assert (used[RIDING], used[CALLED]) == (3, 0)
    assert (called[RIDING], called[CALLED]) == (0, 3)


@pytest.mark.parametrize("odd", range(3))
@pytest.mark.parametrize("time", [1.0 + 2.0**-24, float("nan"), 1e20], ids=str)
def test_times_that_the_pass_would_round_go_to_the_hook(time, odd, hook_is_known):
    """And with them those of the exposures behind, as the order counts in sums of float32."""
    times = [100.1, 37.7, 0.1]
    times[odd] = time
    total, used = times_by(TimesInTheHook, times)
    np.testing.assert_array_equal(total, times_by(TimesInAnotherHook, times)[0])
    assert (used[RIDING], used[CALLED]) == (odd, 3 - odd)


@pytest.mark.parametrize("options", [{"pixfrac": 0.7}, {"kernel": "turbo"}, {"kernel": "point"}], ids=str)
def test_times_of_other_drops_go_to_the_hook(options, hook_is_known):
    total, used = times_by(TimesInTheHook, (100.0, 37.7, 0.1), **options)
    np.testing.assert_array_equal(total, times_by(TimesInAnotherHook, (100.0, 37.7, 0.1), **options)[0])
    assert used[CALLED] == 3


def test_times_of_an_unknown_hook_are_its_own():
    total, used = times_by(TimesInTheHook, (100.0, 37.7, 0.1))
    assert used[CALLED] == 3
    assert total.max() == pytest.approx(137.8)


def test_times_where_a_pass_fails_are_those_before(hook_is_known):
    with gpures.accelerate(backend="cpu"):
        resampler = TimesInTheHook(output(), good_bits="NOISY+JUMP")
        timed = [{**model, "effective_exposure_time": 100.0} for model in models()]
        resampler.add_model(timed[0])
        before = resampler._exptime_resampler.exptime_total.copy()
        with pytest.raises(RuntimeError, match="not a 2D image"):
            resampler.add_model({**timed[1], "data": None})
        np.testing.assert_array_equal(resampler._exptime_resampler.exptime_total, before)
        resampler.add_model(timed[1])
        assert resampler._exptime_resampler.exptime_total.max() == 200.0
