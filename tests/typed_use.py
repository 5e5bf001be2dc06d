"""A program that uses all that is public, as `make check` has mypy check it (``--strict``); it is never run.

What `assert_type` says is what a user's program knows of a result, and a comment ``type: ignore`` is an error that it
is told of: mypy complains where there is none.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_type

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

import gpures
from gpures import (
    Drizzle,
    Resample,
    aperture_error,
    blot_image,
    compute_mean_pixel_area,
    correlation_function,
    io,
    plot,
    psf,
)
from gpures.acceleration import Acceleration, original, used
from gpures.box import Box
from gpures.cleaning import (
    Field,
    OutlierOptions,
    Outliers,
    OutlierSearch,
    Pair,
    SkyMatch,
    SkyOptions,
    SkySurvey,
    StatisticOptions,
)
from gpures.errors import EmptyMosaicError, IncompleteError, MissingDependencyError, ProgramError
from gpures.exposure.options import Options
from gpures.mosaicking import CellMosaic, Mosaic, SkyCell, mosaic_cells, read_cells
from gpures.operators import NoiseRealizations
from gpures.resample import AddedModel
from gpures.typing import Flags, Model, ModelLike, MosaicLike, MosaicModel


def a_model(wcs: object, image: NDArray[np.float32], flags: NDArray[np.uint32]) -> Model:
    """A model of one's own."""
    model: Model = {
        "data": image,
        "dq": flags,
        "wcs": wcs,
        "exposure_time": 100.0,
        "measurement_time": None,
        "duration": 100.0,
        "start_time": 60000.0,
        "end_time": 60000.1,
        "pixelarea_steradians": None,
        "level": None,
        "subtracted": False,
        "filename": "one.fits",
        "group_id": "1",
        "var_rnoise": image,
    }
    model["exposure_time"] = "100"  # type: ignore[typeddict-item]
    model["exptime"] = 100.0  # type: ignore[typeddict-unknown-key]
    return model


class Own(Resample):
    """A subclass as the pipelines have them, with hooks."""

    variance_array_names = ("var_rnoise",)
    error_from_variances = ("var_rnoise",)
    dq_flag_name_map: Mapping[str, int] | None = {"DO_NOT_USE": 1}

    def create_output_model(self) -> dict[str, Any]:
        return super().create_output_model() | {"observer": "somebody"}

    def validate_input_model(self, model: ModelLike) -> None:
        super().validate_input_model(model)

    def init_variance_arrays(self) -> None:
        super().init_variance_arrays()
        self.init_time_counters()

    def update_time(self, model: Mapping[str, Any]) -> None:
        super().update_time(model)

    def finalize_time_info(self) -> None:
        super().finalize_time_info()

    def add_model_hook(
        self,
        model: ModelLike,
        pixmap: NDArray[np.float64],
        pixel_scale_ratio: float | None,
        iscale: float,
        weight_map: NDArray[np.float32],
        xmin: int,
        xmax: int,
        ymin: int,
        ymax: int,
    ) -> None:
        self.resample_variance_arrays(
            model, pixmap, pixel_scale_ratio, iscale, weight_map, xmin, xmax, ymin, ymax
        )  # with its own arguments


def resampled(wcs: object, models: list[Model], good_bits: Flags) -> MosaicModel:
    """A mosaic of models."""
    resample = Own(
        {"wcs": wcs, "pixel_scale": 0.03}, 2, pixfrac=0.8, good_bits=good_bits, fillval="NaN", device="cuda:0"
    )
    Resample({"wcs": wcs}, variance_method="propagated", covariance=True, noise_factor=True)
    Resample({"wcs": wcs}, deterministic=True)
    Resample({"wcs": wcs}, precision="single")
    Resample({"wcs": wcs}, pixfrac="0.8")  # type: ignore[arg-type]
    resample.check_output_wcs(wcs, estimate_output_shape=False)
    resample.reset_arrays(n_input_models=3)
    resample.add_model(models[0])
    resample.add_model(dict(models[0]))
    count = resample.add_models(models[1:], progress=lambda done, total: print(done, total), on_error=print)
    assert_type(count, int)
    resample.pixfrac = 0.5
    resample.kernel = "gaussian"
    resample.fillval = None
    resample.weight_type = "exptime"
    resample.good_bits = ["DO_NOT_USE"]
    resample.pixmap_stepsize, resample.pixmap_order = 10, 3
    resample.pixfrac = "0.5"  # type: ignore[assignment]
    switches = [resample.enable_ctx, resample.enable_var, resample.propagate_dq, resample.enable_exptime_map]
    assert_type(switches, list[bool])
    assert_type(resample.compute_err, str | None)
    assert_type(resample.extra_array_names, tuple[str, ...])
    assert_type(resample.dq_of_empty, int | None)
    assert_type(resample.variance_method, str)
    assert_type(resample.covariance, bool | int)
    assert_type(resample.noise_factor, bool)
    assert_type(resample.deterministic, bool)
    assert_type(resample.precision, str)
    assert_type(resample.backend, str)
    assert_type(resample.group_ids, list[Any])
    added = resample.exposures
    assert_type(added, list[AddedModel])
    assert_type([exposure.name for exposure in added if not exposure.is_same(added[0])], list[str])
    assert_type(added[0].places, tuple[float, ...])
    resample.save("a")
    assert_type(Own.load("a", backend="cpu", device=None), Own)
    resample.merge(gpures.Resample({"wcs": resample.output_wcs}, device=[0, "cuda:1"]))
    assert_type(resample.output_array_shape, tuple[int, int])
    assert_type(resample.output_pixel_scale, float)
    assert_type(resample.pixel_scale_ratio, float | None)
    assert_type(resample.get_input_model_pixel_area(models[0], prefer_mean=False), float | None)
    assert_type(resample.get_output_model_pixel_area(resample.output_model), float | None)
    assert_type(compute_mean_pixel_area(resample.output_wcs, (10, 10)), float | None)
    print(resample.output_array_types["data"], *resample.counters)
    resample.finalize_resample_variance(resample.create_output_model())
    resample.finalize()
    assert_type(resample.is_finalized(), bool)
    assert_type(resample.output_model["con"], NDArray[np.int32])
    assert_type(resample.output_model["covariance_lags"], NDArray[np.int64])
    assert_type(resample.output_model["covariance_reach"], int)
    print(aperture_error(resample.output_model, resample.output_model["wht"] > 0, mean=True))
    assert_type(correlation_function(resample.output_model), NDArray[np.float64])
    further: Mapping[str, Any] = resample.output_model
    print(further["my_own_array"])
    return resample.output_model


def drizzled(image: NDArray[np.float64], pixmap: NDArray[np.float64]) -> NDArray[np.float32]:
    """An image resampled by its pixel map, and back."""
    Drizzle(precision="single")
    drizzle = Drizzle("turbo", fillval="NaN", fillval2=0, out_shape=(10, 10), exptime=0.0, max_ctx_id=3, backend="cpu")
    missed = drizzle.add_image(image, 1.0, pixmap, data2=[image, None], weight_map=image, in_units="counts", xmax=5)
    assert_type(missed, tuple[int, int])
    assert_type(drizzle.out_img, NDArray[np.float32])
    assert_type(drizzle.out_wht, NDArray[np.float32])
    assert_type(drizzle.out_ctx, NDArray[np.int32] | None)
    assert_type(drizzle.out_dq, NDArray[np.uint32] | None)
    assert_type(drizzle.out_img2, list[NDArray[np.float32]] | None)
    assert_type(drizzle.ctx_id, int | None)
    assert_type(drizzle.total_exptime, float)
    print(drizzle.kernel, drizzle.backend, drizzle.fillval, drizzle.fillval2)
    return blot_image(drizzle.out_img, pixmap, iscale=2.0, interp="lanczos3")


def of_files(path: Path) -> Mosaic:
    """A mosaic of files, and how it was made."""
    images = io.inputs(path, reading=io.Reading(ext="SCI*", plane=0, bad_bits="1+16"), allow_external=False)
    assert_type(images, list[io.Input])
    assert_type(io.belongs_to(path), tuple[Path, str] | None)
    for image in images:
        print(image.path, image.name, image.kind, image.shape, image.wcs, image.unit, image.meta, image.sizes)
        assert_type(image.values_area, float | None)
        print(image.load(["data"])["data"].shape, image.nbytes + image.exposure_time)
        assert_type(image.read(["data", "err"]), Model)
    assert_type(io.read(path), list[Model])
    made = gpures.mosaic(
        ["*_cal.fits", path, images[0]],
        path,
        output_wcs=io.read_wcs(path),
        checkpoint=path,
        checkpoint_every=3,
        memory_limit="8GB",
        client=None,
        progress=None,
        pixfrac=0.8,
    )
    assert_type(made, Mosaic)
    io.write(
        path, made.model, unit=io.check_units(images), exposures=made.added, header={"OBSERVER": "X"}, history=[""]
    )
    assert_type(io.read_mosaic(path), MosaicModel)
    assert_type(io.read_mosaic(path, lazy=True), MosaicModel)
    print(io.open_mosaic(path).attrs["wcs"])
    types: dict[str, type] = {"data": np.float32, "wht": np.float32}
    with io.ZarrMosaic.create(
        path, (10, 20), types, made.wcs, chunks=10, fill={"data": 0.0}, context_planes=1, overwrite=True
    ) as store:
        store.write("data", (0, 9, 0, 9), made.model["data"][:10, :10])
        store.write_images({"wht": made.model["wht"]})
        print(store.told({}, None, made.exposures, {}, [], None))
        store.write_plane("con", 0, (0, 9, 0, 9), made.model["con"][0, :10, :10])
        store.write_overview(Box(0, 9, 0, 9), {"data": made.model["data"][:10, :10]})
        store.write_empty(Box(0, 9, 0, 9))
        store.renumber([1, 0])
        store.finish({"kernel": "square"}, unit="mJy", exposures=made.exposures, header={}, history=[], creator="me 1")
        store.close()
    print(made.data, made.wht, made.con, made.dq, made.err, made.var_rnoise, made.var_poisson, made.var_flat)
    print(made.covariance, made.noise_factor, made.median, made.clipped)
    print(
        made.exptime_map,
        made.report,
        made.wcs,
        made.plan,
        made.skipped,
        made.path,
        made.seconds["total"],
        made.pixels,
        made.backend,
    )
    return made


def of_cells(paths: list[Path], table: Path) -> list[SkyCell]:
    """Mosaics of many parts of the sky."""
    for each in mosaic_cells(paths, "{cell}.fits", table, overwrite=True, skip_bad=True):
        assert_type(each, CellMosaic)
        print(each.name, each.path, each.exposures, each.data_pixels, each.seconds, each.words, each.line)
    cells = read_cells(table)
    print([(cell.wcs, cell.footprint) for cell in cells])
    return cells


def cleaned(models: list[Model], paths: list[Path], wcs: object) -> NDArray[np.float32]:
    """Skies that are matched, and outliers; at once, and exposures one by one."""
    match = gpures.match_sky(models, "global+match", statistic="mean", subtract=False)
    assert_type(match, SkyMatch)
    print(match.names, match.levels, match.method, match.islands, match.report, [pair.left for pair in match.pairs])
    print([(pair.first, pair.second, pair.pixels, pair.difference) for pair in match.pairs if isinstance(pair, Pair)])
    found = gpures.flag_outliers(models, output_wcs=wcs, snr="5.0 4.0", scale=(1.2, 0.7), grow=3, backend="cpu")
    assert_type(found, Outliers)
    print(found.names, found.masks, found.counts, found.report, found.wcs, gpures.flag_outliers(paths).median)
    options = SkyOptions("match", match_down=True, statistics=StatisticOptions("mode", nclip=3))
    fields = [Field(str(model["filename"]), model["wcs"], (4, 4), model["group_id"]) for model in models]
    survey = SkySurvey(fields, options)
    print(options.statistics.numbers)
    search = OutlierSearch(wcs, OutlierOptions(grow=3), weight_type="exptime")
    for number, model in enumerate(models):
        survey.measure(number, model["data"], np.equal(model["dq"], 0), 0.0)
        print(survey.overlaps(number), options.matches)
        search.take(model)
    search.settle(SkySurvey.of_places([], [], options).solve().levels, combine=["median"])
    print(search.outliers_of(0, models[0]), search.wcs, search.combined["median"])
    return search.median


def drawn(made: Mosaic, first: MosaicLike, exposure: Model, path: Path) -> None:
    """All pictures."""
    axes = plot.plane(made, "err", around=(1.0, 2.0), size=3.0, ticks=[1.0], bar=False)
    assert_type(axes, Axes)
    for draw in (plot.mosaic, plot.weight, plot.error):
        draw(first, axes, title="A")
    plot.depth(path, axes)
    plot.dq(str(path), flags={1: "DO_NOT_USE"})
    assert_type(plot.overview(made, planes=["data"]), Figure)
    plot.exposure(exposure, made)
    plot.before_after(exposure, made, size=(1.0, 2.0))
    plot.side_by_side({"one": made, "other": first}, key="wht")
    plot.residual(made, first, echo=None)
    found = plot.difference(made, first, scale="data", threshold=0.1)
    assert_type(found, plot.Difference)
    print(found.values, found.scale, found.threshold, found.largest, found.rms, found.above, found.pixels, found.alone)


def simulated(models: list[Model], wcs: object) -> NDArray[np.float64]:
    """An operator, noise, and a PSF."""
    operator = gpures.drizzle_operator(models[0], wcs, kernel="turbo", backend="cpu", device=None, to_host=True)
    print(operator @ np.ravel(models[0]["data"]), operator.T)
    noise = gpures.noise_realizations(models, 10, seed=1, frame={"wcs": wcs}, noise=("var_rnoise",), fillval="NaN")
    assert_type(noise, NoiseRealizations)
    assert_type(len(noise), int)
    print(noise[0], noise[1:3], [image.mean() for image in noise], noise.weight, noise.wcs)
    sampled = psf.SampledPSF(np.ones((5, 5)), oversampling=2, centre=(2.0, 2.0))
    assert_type(sampled([0.0], [1.0]), NDArray[np.float64])
    made = psf.drizzled_psf(models, wcs, (1.0, 2.0), [sampled, lambda x, y: x * y], size=11, pixfrac=0.8)
    assert_type(made, psf.DrizzledPSF)
    print(made.weight, made.box.slices, made.position, made.names)
    return made.data


def accelerated() -> None:
    """Others' resampling on gpures."""
    settings = gpures.accelerate("cpu", pixmap_tolerance=0.0, variance_method="propagated", deterministic=True)
    settings = gpures.accelerate("cpu", precision="single")
    with settings as acceleration:
        assert_type(acceleration, Acceleration)
        options = acceleration.options
    assert_type(options, Options)
    print(
        options.chosen(),
        Options.names(),
        options.drop,
        options.averages_err,
        options.propagates,
        options.is_single,
        options.arrays(("var_flat",)),
    )
    print(used["drizzle.resample.blot_image"], original(print))
    gpures.restore()


def caught(path: Path) -> str:
    """What is told of errors."""
    try:
        of_files(path)
    except io.NoExposureError as error:
        return str(error.path)
    except io.MissingFileError as error:
        return error.filename or str(error.path)
    except (io.FileError, IncompleteError, MissingDependencyError, ProgramError) as error:
        return str(error)
    except (EmptyMosaicError, gpures.DeviceError, gpures.UnsupportedWCSError, gpures.GpuresError):
        return gpures.__version__
    return ""
