"""Subclasses written for `stcal.resample.Resample` work on `gpures.Resample`: swap the base, get the same.

Each class below has the habits of a pipeline's: an `add_model` that takes the pipeline's own objects, hooks that
drizzle more arrays, and so on. It is made twice, once on each base, and the results are compared.
"""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import scenes
import stcal.resample
from drizzle.resample import Drizzle
from test_parity_stcal import as_float32, assert_parity

import gpures

SHAPE = (34, 29)
OUTPUT_SCALE = {"pixel_scale": scenes.SCALE}


def pair(make_class, backend, *args, **options):
    """Instances of a class on both bases: the reference's and ours."""
    theirs = make_class(stcal.resample.Resample)(*args, **options)
    ours = make_class(gpures.Resample)(*args, **options, backend=backend, pixmap_tolerance=0)
    return theirs, ours


def output():
    """Argument `output_wcs`."""
    return {"wcs": scenes.frame_around(SHAPE)} | OUTPUT_SCALE


def run(resamplers, models):
    """Add models to both and finalize both; their output models."""
    for resampler in resamplers:
        for model in models:
            resampler.add_model(model)
        resampler.finalize()
    return [resampler.output_model for resampler in resamplers]


# ---- a pipeline's model objects ------------------------------------------------------------------------------------


def imaging_pipeline(base):
    """A class that converts model objects, counts them, and builds an output object at the end."""

    class ImagingPipeline(base):
        dq_flag_name_map = {"GOOD": 0, "HOT": 1, "SAT": 2, "JUMP": 4, "NOISY": 1024}

        def __init__(self, input_models, output_wcs, pixfrac=1.0, fillval="NAN", good_bits="NOISY+JUMP", **kwargs):
            self.input_models = input_models
            self.product = None
            self.seen = []
            super().__init__(
                output_wcs=output_wcs,
                n_input_models=len(input_models),
                pixfrac=pixfrac,
                fillval=fillval,
                good_bits=good_bits,
                **kwargs,
            )

        def add_model(self, model):
            super().add_model(self.to_dict(model))
            self.seen.append(model.meta.filename)
            if self.product is None:
                self.product = SimpleNamespace(first=model.meta.filename, wcs=self.output_wcs)

        def to_dict(self, model):
            meta = dict(vars(model.meta))
            arrays = {"data": model.data, "dq": model.dq, "extra": object()}
            arrays |= {k: getattr(model, k) for k in self.variance_array_names if self.enable_var}
            if self.compute_err == "driz_err":
                arrays["err"] = model.err
            if not self.enable_var and self.weight_type.startswith("ivm"):
                arrays["var_rnoise"] = model.var_rnoise
            return arrays | meta

        def reset_arrays(self, n_input_models=None):
            super().reset_arrays(n_input_models=n_input_models)
            self.product = None

        def finalize(self):
            super().finalize()
            for key in ("data", "wht", "con", "err", "dq", *self.variance_array_names):
                setattr(self.product, key, self.output_model.get(key))
            self.product.pointings = self.output_model["pointings"]
            self.product.scale = self.output_pixel_scale
            self.product.ratio = self.output_model["pixel_scale_ratio"]
            self.product.shape = self.output_array_shape
            for key in ("exposure_time", "start_time", "end_time", "duration", "measurement_time"):
                setattr(self.product, key, self.output_model[key])

        def groups(self, names):
            """One mosaic of each group."""
            products = []
            for k, name in enumerate(names):
                members = [m for m in self.input_models if m.meta.group_id == name]
                if k:
                    self.reset_arrays(n_input_models=len(members))
                for model in members:
                    self.add_model(model)
                self.finalize()
                products.append(self.product)
            return products

    return ImagingPipeline


def objects(n=4, groups=("a", "a", "b", "c")):
    """Models as objects with arrays and a meta tree."""
    made = []
    for model, group in zip(scenes.dithered_models(SHAPE, n=n), groups, strict=True):
        model["group_id"] = group
        arrays = {k: v for k, v in model.items() if isinstance(v, np.ndarray)}
        meta = SimpleNamespace(**{k: v for k, v in model.items() if k not in arrays})
        made.append(SimpleNamespace(meta=meta, **arrays))
    return made


@pytest.mark.parametrize("compute_err", [None, "from_var", "driz_err"])
@pytest.mark.parametrize("enable_var", [True, False])
def test_pipeline_with_model_objects(backend, enable_var, compute_err):
    """add_model, finalize, reset_arrays overridden, DQ names: the product is the reference's."""
    inputs = objects()
    options = {"enable_var": enable_var, "compute_err": compute_err, "propagate_dq": True}
    theirs, ours = pair(imaging_pipeline, backend, inputs, output(), **options)
    expected, got = run((theirs, ours), inputs)
    dicts = scenes.dithered_models(SHAPE, n=4)
    assert_parity(got, as_float32(expected), dicts, averaged_err=compute_err == "driz_err")
    assert ours.seen == theirs.seen
    assert ours.group_ids == theirs.group_ids == ["a", "b", "c"]
    assert set(vars(ours.product)) == set(vars(theirs.product))
    for key in ("pointings", "scale", "ratio", "exposure_time", "start_time", "end_time", "measurement_time"):
        assert getattr(ours.product, key) == getattr(theirs.product, key), key


def test_one_mosaic_per_group(backend):
    """Groups resampled one after the other with reset_arrays in between do not touch each other's images."""
    inputs = objects()
    theirs, ours = pair(imaging_pipeline, backend, inputs, output(), compute_err="driz_err")
    expected, got = (resampler.groups(["a", "b", "c"]) for resampler in (theirs, ours))
    for e, g in zip(expected, got, strict=True):
        for name in ("data", "wht", "err", "var_rnoise"):
            np.testing.assert_allclose(getattr(g, name), getattr(e, name), rtol=2e-5, atol=1e-6, err_msg=name)
        np.testing.assert_array_equal(g.con, e.con)
        assert g.ratio == e.ratio
    # Of each mosaic by itself, where the reference goes on with the groups of the mosaic before (see test_times.py).
    assert [g.pointings for g in got] == [1, 1, 1]
    assert [g.exposure_time for g in got] == [100.0, 102.0, 103.0]
    assert not any(np.shares_memory(got[0].data, g.data) for g in got[1:])


# ---- hooks ---------------------------------------------------------------------------------------------------------


class ExposureTimes:
    """Exposure-time image: drizzles each exposure's time with unit weights, on its own."""

    def __init__(self, shape, kernel):
        self.image, self.weight = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.total = np.zeros(shape, np.float32)
        self.driz = Drizzle(kernel=kernel, fillval=0, out_img=self.image, out_wht=self.weight, disable_ctx=True)

    def add(self, model, pixmap, ratio, limits):
        good = (model["dq"] == 0).astype(np.float32)
        self.driz.add_image(
            np.full(model["data"].shape, model["exposure_time"], np.float32),
            exptime=1.0,
            pixmap=pixmap,
            pixel_scale_ratio=ratio,
            weight_map=good,
            **dict(zip(("xmin", "xmax", "ymin", "ymax"), limits, strict=True)),
        )
        self.total += self.image
        self.image[:] = 0
        self.weight[:] = 0


def with_exposure_times(base):
    """A hook of today's signature that drizzles another array, and a fixed intensity scale."""

    class WithExposureTimes(base):
        def _get_intensity_scale(self, model):
            return 2

        def add_model_hook(self, model, pixmap, pixel_scale_ratio, iscale, weight_map, xmin, xmax, ymin, ymax):
            if not hasattr(self, "times"):
                self.times = ExposureTimes(self.output_array_shape, self.kernel)
                self.calls = []
            self.times.add(model, pixmap, pixel_scale_ratio, (xmin, xmax, ymin, ymax))
            self.calls.append((pixmap.copy(), pixel_scale_ratio, iscale, weight_map.copy(), xmin, xmax, ymin, ymax))

    return WithExposureTimes


@pytest.mark.parametrize("kernel", ["square", "turbo"])
def test_hook_that_drizzles(backend, kernel):
    """A hook gets the reference's pixel map, ratio, scale, weights and limits, so what it drizzles is the same."""
    models = scenes.dithered_models(SHAPE, n=2)
    models[1]["wcs"].bounding_box = ((2.0, 20.0), (-0.5, 25.3))
    theirs, ours = pair(with_exposure_times, backend, output(), kernel=kernel)
    expected, got = run((theirs, ours), models)
    np.testing.assert_array_equal(ours.times.total, theirs.times.total)
    assert ours.times.total.max() > 150.0
    for e, g in zip(theirs.calls, ours.calls, strict=True):
        np.testing.assert_allclose(g[0], e[0], atol=1e-9)
        np.testing.assert_array_equal(g[3], e[3], strict=True)
        assert g[1:3] + g[4:] == e[1:3] + e[4:]
    for model in models:
        model["data"] = 2 * model["data"]
    # The reference loses the square drops along a box within the array.
    same = np.isclose(got["wht"], expected["wht"], rtol=1e-5)
    assert same.all() if kernel == "turbo" else same.mean() > 0.9
    np.testing.assert_allclose(got["data"][same], expected["data"][same], rtol=1e-5, atol=1e-5)


def test_hook_sees_the_default_pixel_map(backend):
    """With the pixel map's own tolerance a hook gets a full array within that tolerance of the WCS."""
    models = scenes.dithered_models((90, 100), n=1)
    options = {"pixmap_tolerance": 1e-7}
    frame = {"wcs": scenes.frame_around((90, 100))} | OUTPUT_SCALE
    theirs = with_exposure_times(stcal.resample.Resample)(frame)
    ours = with_exposure_times(gpures.Resample)(frame, backend=backend, **options)
    run((theirs, ours), models)
    (expected,), (got,) = theirs.calls, ours.calls
    assert got[0].shape == (90, 100, 2)
    assert got[0].dtype == np.float64
    assert np.abs(got[0] - expected[0]).max() < 1e-7


def with_older_hook(base):
    """A hook written before the pixel scale ratio was among its arguments."""

    class WithOlderHook(base):
        def add_model_hook(self, model, pixmap, iscale, weight_map, xmin, xmax, ymin, ymax):
            self.got = pixmap.shape, iscale, weight_map.dtype, (xmin, xmax, ymin, ymax)

    return WithOlderHook


def test_hook_of_the_older_signature(backend):
    """A hook without `pixel_scale_ratio` is called without it."""
    resampler = with_older_hook(gpures.Resample)(output(), backend=backend)
    resampler.add_model(scenes.dithered_models(SHAPE, n=1)[0])
    assert resampler.got == ((*SHAPE, 2), 1.0, np.float32, (0, SHAPE[1] - 1, 0, SHAPE[0] - 1))


def test_hook_that_takes_anything(backend):
    """A hook with **kwargs, and one set on the instance, get all arguments by keyword."""
    names = {"model", "pixmap", "pixel_scale_ratio", "iscale", "weight_map", "xmin", "xmax", "ymin", "ymax"}

    class Anything(gpures.Resample):
        def add_model_hook(self, **kwargs):
            self.got = set(kwargs)

    model = scenes.dithered_models(SHAPE, n=1)[0]
    resampler = Anything(output(), backend=backend)
    resampler.add_model(model)
    assert resampler.got == names
    resampler = gpures.Resample(output(), backend=backend)
    got = {}
    resampler.add_model_hook = lambda **kwargs: got.update(kwargs)
    resampler.add_model(model)
    assert set(got) == names


def test_hook_of_a_mixin(backend):
    """A hook that comes from another base class, and calls super, is found."""

    class Counting:
        def add_model_hook(self, model, **kwargs):
            self.count = getattr(self, "count", 0) + 1
            super().add_model_hook(model, **kwargs)

    class Mixed(Counting, gpures.Resample):
        pass

    resampler = Mixed(output(), backend=backend)
    for model in scenes.dithered_models(SHAPE, n=3):
        resampler.add_model(model)
    assert resampler.count == 3


def with_failing_hook(base):
    """A hook that raises for one of the models."""

    class WithFailingHook(base):
        def add_model_hook(self, model, **kwargs):
            if model["group_id"] == "1":
                raise OSError("disk full")

    return WithFailingHook


def test_hook_that_raises(backend):
    """When a hook raises, its exposure is not in the mosaic, to the last bit, and is not counted; others follow."""
    models = scenes.dithered_models(SHAPE, n=3)
    options = {"backend": backend, "compute_err": "from_var", "propagate_dq": True, "enable_exptime_map": True}
    mosaics = []
    for chosen in ((0, 1, 2), (0, 2)):
        resampler = with_failing_hook(gpures.Resample)(output(), fillval=-1.0, **options)
        for k in chosen:
            if k == 1:
                with pytest.raises(OSError, match="disk full"):
                    resampler.add_model(models[k])
                assert resampler.output_model["pointings"] == 1
            else:
                resampler.add_model(models[k])
        resampler.finalize()
        mosaics.append(dict(resampler.output_model))
        assert resampler.group_ids == ["0", "2"]
    for key, value in mosaics[1].items():
        if key != "wcs":
            np.testing.assert_array_equal(mosaics[0][key], value, err_msg=key)


def test_a_hook_that_looks(backend):
    """A hook may look at the mosaic, and copy it, whether it raises then or not."""

    class Looking(gpures.Resample):
        def add_model_hook(self, model, **kwargs):
            self.seen = np.array(self.output_model["wht"]), self.output_model["pointings"]
            self.kept = copy.copy(self)
            if model["group_id"] == "1":
                raise OSError("disk full")

    models = scenes.dithered_models(SHAPE, n=3)
    looking, plain = (kind(output(), backend=backend) for kind in (Looking, gpures.Resample))
    looking.add_model(models[0])
    plain.add_model(models[0])
    np.testing.assert_array_equal(looking.seen[0], plain.output_model["wht"])
    assert looking.seen[1] == 1
    with pytest.raises(OSError, match="disk full"):
        looking.add_model(models[1])
    for resampler in (looking, plain):
        resampler.add_model(models[2])
        resampler.finalize()
    looking.kept.finalize()
    assert looking.group_ids == plain.group_ids == looking.kept.group_ids == ["0", "2"]
    for name in ("data", "wht", "con", "pointings", "exposure_time", "var_rnoise"):
        for got in (looking, looking.kept):
            np.testing.assert_array_equal(got.output_model[name], plain.output_model[name], err_msg=name)


def test_a_hook_that_raises_elsewhere(backend):
    """Variances that a hook has put beside the exposure's own place are taken out again as well."""

    class Elsewhere(gpures.Resample):
        def resample_variance_arrays(self, model, pixmap, **kwargs):
            moved = pixmap + np.array([30.0, 25.0])
            super().resample_variance_arrays(model, pixmap=moved, **kwargs)
            if model["group_id"] == "1":
                raise OSError("disk full")

    models = scenes.dithered_models(SHAPE, n=3)
    finished = []
    for chosen in ((0, 1, 2), (0, 2)):
        resampler = Elsewhere({"wcs": scenes.frame_around((90, 80))} | OUTPUT_SCALE, backend=backend)
        for k in chosen:
            if k == 1:
                with pytest.raises(OSError, match="disk full"):
                    resampler.add_model(models[k])
            else:
                resampler.add_model(models[k])
        resampler.finalize()
        finished.append(resampler.output_model)
    assert np.isfinite(finished[1]["var_rnoise"]).any()
    for key in ("data", "wht", "con", "var_rnoise", "var_flat", "var_poisson"):
        np.testing.assert_array_equal(finished[0][key], finished[1][key], err_msg=key)


# ---- variances -----------------------------------------------------------------------------------------------------


def spectral_variances(base):
    """Variance names and the part of them that makes the error, as class attributes."""

    class SpectralVariances(base):
        variance_array_names = ["var_rnoise", "var_poisson", "var_dark"]
        error_from_variances = ["var_rnoise", "var_dark"]

    return SpectralVariances


def chosen_variances(base):
    """Variance names set on the instance, before the base class begins."""

    class ChosenVariances(base):
        def __init__(self, *args, names, **kwargs):
            if names:
                self.variance_array_names = names
            super().__init__(*args, **kwargs)

    return ChosenVariances


@pytest.mark.parametrize("weight_type", ["ivm", "exptime"])
def test_variance_names_of_the_class(backend, weight_type):
    """Class attributes say which variances are resampled and which make the error."""
    models = scenes.dithered_models(SHAPE, n=2)
    for model in models:
        model["var_dark"] = np.square(model.pop("var_flat"))
    resamplers = pair(spectral_variances, backend, output(), compute_err="from_var", weight_type=weight_type)
    expected, got = run(resamplers, models)
    assert_parity(got, expected, models)
    np.testing.assert_allclose(got["var_dark"], expected["var_dark"], rtol=1e-5)
    assert "var_flat" not in got
    np.testing.assert_allclose(got["err"] ** 2, got["var_rnoise"] + got["var_dark"], rtol=1e-5)


@pytest.mark.parametrize("names", [["var_rnoise"], ["var_poisson", "var_rnoise"], ("var_rnoise", "var_sky"), None])
def test_variance_names_of_the_instance(backend, names):
    """Names set on an instance hold for it alone, as lists or tuples."""
    models = scenes.dithered_models(SHAPE, n=2)
    resamplers = pair(chosen_variances, backend, output(), names=names, compute_err="from_var")
    expected, got = run(resamplers, models)
    assert_parity(got, expected, models)
    assert gpures.Resample.variance_array_names == ["var_rnoise", "var_flat", "var_poisson"]


def reweighted_variances(base):
    """Variances resampled with weights of the subclass's own."""

    class ReweightedVariances(base):
        def resample_variance_arrays(self, **kwargs):
            kwargs["weight_map"] = np.where(kwargs["weight_map"] > 0, np.float32(2.0), np.float32(0.0))
            super().resample_variance_arrays(**kwargs)

    return ReweightedVariances


def unweighted_variances(base):
    """Variances resampled without weights or limits, positional arguments and all."""

    class UnweightedVariances(base):
        def resample_variance_arrays(
            self, model, pixmap, pixel_scale_ratio, iscale, weight_map, xmin, xmax, ymin, ymax
        ):
            super().resample_variance_arrays(model, pixmap, pixel_scale_ratio, iscale, None, None, None, None, None)

    return UnweightedVariances


def loosely_limited_variances(base):
    """Variances with limits beyond the image, which stand for all of it."""

    class LooselyLimitedVariances(base):
        def resample_variance_arrays(self, **kwargs):
            ny, nx = kwargs["model"]["data"].shape
            kwargs |= {"xmin": -3, "xmax": nx, "ymin": -1, "ymax": ny + 2}
            super().resample_variance_arrays(**kwargs)

    return LooselyLimitedVariances


@pytest.mark.parametrize("make", [reweighted_variances, unweighted_variances, loosely_limited_variances])
@pytest.mark.parametrize("weight_type", ["ivm", "exptime"])
def test_variances_overridden(backend, weight_type, make):
    """An override of resample_variance_arrays that calls super with its own weights and limits gets its way."""
    models = scenes.dithered_models(SHAPE, n=2)
    resamplers = pair(make, backend, output(), compute_err="from_var", weight_type=weight_type, good_bits=1024)
    expected, got = run(resamplers, models)
    assert_parity(got, expected, models)


def test_variances_of_ones_own(backend):
    """An override that never calls super leaves the variances empty, and is called once per model."""

    class OwnVariances(gpures.Resample):
        def resample_variance_arrays(self, model, **kwargs):
            self.added = [*getattr(self, "added", []), model["filename"]]

    resampler = OwnVariances(output(), backend=backend)
    models = scenes.dithered_models(SHAPE, n=2)
    for model in models:
        resampler.add_model(model)
    resampler.finalize()
    assert resampler.added == [model["filename"] for model in models]
    assert np.isnan(resampler.output_model["var_rnoise"]).all()
    assert np.isfinite(resampler.output_model["data"]).any()


@pytest.mark.parametrize("shape", [(3, 4), (34 * 29,), (29, 34)])
def test_weights_of_another_shape(backend, shape):
    """An override that hands over weights of another shape is told so."""

    class Wrong(gpures.Resample):
        def resample_variance_arrays(self, **kwargs):
            super().resample_variance_arrays(**kwargs | {"weight_map": np.ones(shape, np.float32)})

    resampler = Wrong(output(), backend=backend)
    with pytest.raises(ValueError, match="weight_map"):
        resampler.add_model(scenes.dithered_models(SHAPE, n=1)[0])


# ---- other overrides -----------------------------------------------------------------------------------------------


def with_own_parts(base):
    """Overrides of the smaller methods: pixel area, times, output model, validation."""

    class WithOwnParts(base):
        log = ()

        def validate_input_model(self, model):
            super().validate_input_model(model)
            self.log += ("validate",)

        def get_input_model_pixel_area(self, model, prefer_mean=True):
            self.log += ("area",)
            return 4.0 * super().get_input_model_pixel_area(model, prefer_mean=prefer_mean)

        def create_output_model(self):
            return super().create_output_model() | {"telescope": "none"}

        def update_time(self, model):
            super().update_time(model)
            self.log += ("time",)

        def init_time_counters(self):
            super().init_time_counters()
            self.log += ("counters",)

        def finalize_resample_variance(self, output_model):
            super().finalize_resample_variance(output_model)
            output_model["var_flat"] = 2 * output_model["var_flat"]

        def finalize_time_info(self):
            super().finalize_time_info()
            self.output_model["exposure_time"] += 0.5

    return WithOwnParts


def test_overrides_of_smaller_methods(backend):
    """Methods that the reference calls are called here too, at the same times, with the same effect."""
    models = scenes.dithered_models(SHAPE, n=2)
    theirs, ours = pair(with_own_parts, backend, output(), compute_err="from_var")
    expected, got = run((theirs, ours), models)
    assert ours.log == theirs.log
    assert got["telescope"] == "none"
    assert got["pixel_scale_ratio"] == pytest.approx(0.5)
    assert_parity(got, expected, models)


def test_attributes_that_subclasses_read(backend):
    """Properties and the private switches have the reference's values."""
    options = {"enable_ctx": False, "enable_var": False, "compute_err": "driz_err", "propagate_dq": True}
    theirs, ours = pair(lambda base: base, backend, output(), pixfrac=0.7, kernel="turbo", fillval="NaN", **options)
    public = ["pixfrac", "kernel", "fillval", "weight_type", "good_bits", "pixmap_stepsize", "pixmap_order"]
    public += ["enable_ctx", "enable_var", "compute_err", "propagate_dq", "group_ids"]
    public += ["output_array_shape", "output_pixel_scale", "pixel_scale_ratio"]
    private = ["_enable_ctx", "_enable_var", "_compute_err", "_propagate_dq", "_finalized", "_n_res_models"]
    for name in [*public, *private]:
        assert getattr(ours, name) == getattr(theirs, name), name
    public_methods = {name for name in dir(stcal.resample.Resample) if not name.startswith("_")}
    assert public_methods <= set(dir(gpures.Resample))


def test_output_types_of_a_subclass(backend):
    """Types named in output_array_types hold for variances, as in the reference."""

    def typed(base):
        class Typed(base):
            output_array_types = base.output_array_types.copy() | {"var_flat": np.float64}

        return Typed

    models = scenes.dithered_models(SHAPE, n=2)
    expected, got = run(pair(typed, backend, output()), models)
    assert got["var_flat"].dtype == expected["var_flat"].dtype == np.float64
    assert got["var_rnoise"].dtype == expected["var_rnoise"].dtype == np.float32
