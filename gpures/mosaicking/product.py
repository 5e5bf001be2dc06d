"""A mosaic made of files or models: planned, built, and written."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, cast

from gpures.arguments.values import fill_number
from gpures.cleaning.options import Thresholds
from gpures.errors import EmptyMosaicError
from gpures.io import Input, read_mosaic
from gpures.io.empty_planes import empty_planes
from gpures.io.exposures import ExposureRecord
from gpures.io.writer import destination_of, facts_of, write_into
from gpures.mosaicking.checkpoints import Checkpoints
from gpures.mosaicking.cleaner import Cleaner
from gpures.mosaicking.content import content_of, idle_exposures, pixels_with_data, resampler_of
from gpures.mosaicking.continuing import OPTIONS, as_text
from gpures.mosaicking.distributed import Distributed, resampler_in_tiles, room_of_workers
from gpures.mosaicking.headers import keywords_of
from gpures.mosaicking.history import history_of
from gpures.mosaicking.plan import Plan, make_plan, nothing_left
from gpures.mosaicking.report import report_text
from gpures.mosaicking.stores import Store, opened_store
from gpures.mosaicking.stream import Stream
from gpures.mosaicking.tiled import Tiled
from gpures.reporting.progress import shown
from gpures.reporting.timing import stage, watched
from gpures.resample.resampler import Resample
from gpures.resample.resuming import resume, variance_weights, weights_to_keep
from gpures.typing import ModelLike, MosaicModel

__all__ = ["Mosaic", "build", "mosaic"]

log = logging.getLogger(__name__)

_Exposure: TypeAlias = str | os.PathLike[str] | ModelLike | Input
Exposures: TypeAlias = _Exposure | Iterable[_Exposure]


@dataclass
class Mosaic:
    """A finished mosaic.

    Attributes
    ----------
    model : gpures.typing.MosaicModel
        Output model of `gpures.Resample`: images and meta data. Images of a mosaic that was made in tiles are in its
        file alone.
    plan : gpures.mosaicking.plan.Plan
        Frame, options, and the exposures that were to be added.
    exposures : list of gpures.io.exposures.ExposureRecord
        The exposures in it, and what is known of each; bit ``k % 32`` of plane ``k // 32`` of the context stands for
        number k.
    unit : str or None
        Of its data.
    skipped : list of (str, str)
        Exposures and files that could not be used, and why.
    path : pathlib.Path or None
        File that it was written to.
    seconds : dict of float
        Wall seconds by stage, and in all under "total". Reading files and pixel maps go on beside the rest.
    pixels : int
        Of the exposures that were added.
    backend : str
        "cuda", "cpu" or "drizzle".
    data_pixels : int
        Number of the mosaic's pixels that have data.
    """

    model: MosaicModel = field(repr=False)
    plan: Plan = field(repr=False)
    exposures: list[ExposureRecord]
    backend: str
    unit: str | None
    pixels: int
    data_pixels: int
    skipped: list[tuple[str, str]] = field(default_factory=list)
    path: Path | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def wcs(self) -> Any:
        """WCS of the mosaic."""
        return self.model["wcs"]

    @property
    def added(self) -> list[str]:
        """Names of the exposures in it."""
        return [record.name for record in self.exposures]

    @property
    def used(self) -> list[int | None]:
        """Of each of them, the number of pixels that have a number and a weight, where that is known."""
        return [record.used for record in self.exposures]

    @property
    def report(self) -> str:
        """What was done, as a table."""
        return report_text(
            self.plan,
            exposure_time=self.model["exposure_time"],
            records=self.exposures,
            data_pixels=self.data_pixels,
            pixels=self.pixels,
            skipped=self.skipped,
            unit=self.unit,
            path=self.path,
            seconds=self.seconds,
        )


def mosaic(
    inputs: Exposures,
    output: str | os.PathLike[str] | None = None,
    *,
    output_wcs: Any = None,
    pixel_scale: float | None = None,
    pixel_scale_ratio: float = 1.0,
    rotation: float | None = 0.0,
    crpix: Sequence[float] | None = None,
    crval: Sequence[float] | None = None,
    output_shape: Sequence[int] | None = None,
    align: str = "first",
    add_to: str | os.PathLike[str] | None = None,
    ext: int | str | Sequence[int | str] = (),
    plane: int | None = None,
    mask_ext: int | str | Sequence[int | str] = (),
    weight_ext: int | str | Sequence[int | str] = (),
    masks: str | None = None,
    weights: str | None = None,
    bad_bits: int | str | None = None,
    wcs: str | None = None,
    values: str = "auto",
    flux_scale: str = "auto",
    allow_mixed: bool = False,
    match_sky: str | None = None,
    sky_statistic: str = "median",
    reject_outliers: bool = False,
    outlier_snr: Thresholds | None = None,
    outlier_scale: Thresholds | None = None,
    outlier_backg: float = 0.0,
    outlier_maskpt: float | None = None,
    outlier_kernel_size: int = 3,
    outlier_grow: int = 1,
    save_masks: str | os.PathLike[str] | None = None,
    combine: str | Sequence[str] = (),
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 10,
    memory_limit: int | str | None = None,
    client: Any = None,
    skip_bad: bool = False,
    overwrite: bool = False,
    progress: bool | Callable[[int, int | None], object] | None = True,
    **options: Any,
) -> Mosaic:
    """Co-add exposures onto one frame: files or models in, a mosaic out.

    Headers are read first and a frame is made from the exposures' footprints: north-up and tangential, unless the
    arguments say otherwise. Then the files are read one after another, ahead of the resampling, so that three of them
    are in memory at a time.

    Parameters
    ----------
    inputs : path, gpures.typing.Model, gpures.io.Input, or iterable of such
        Exposures: paths, patterns such as ``"*_cal.fits"``, models as `gpures.Resample.add_model` takes them. A
        generator of models needs ``output_wcs``. Those that do not reach the frame are not read.
    output : path, optional
        File for the mosaic: ``.fits``, ``.fits.gz``, ``.asdf`` or ``.zarr``, as `gpures.io.write` has it. It appears
        once it is complete, and never in part.
    output_wcs : gwcs.wcs.WCS, astropy.wcs.WCS, path or dict, optional
        Output WCS, a file that has one, or a dict as `gpures.Resample` takes it. Takes the place of the parameters
        that follow, to ``align``, but for ``output_shape``, which can be given where it has none.
    pixel_scale : float, optional
        Output pixel scale, arcsec. Takes precedence over ``pixel_scale_ratio``.
    pixel_scale_ratio : float, optional
        Output over input pixel scale, as in the pipelines and in `gpures.Resample`. The input's is the root of the mean
        area of the first exposure's pixels.
    rotation : float or None, optional
        Position angle of the output's y axis, degrees from north to east: 0 is north-up. None turns it along the first
        exposure.
    crpix : (float, float), optional
        Pixel of the tangent point, x and y from 0. By default such that the exposures begin in pixel (0, 0), as
        ``align`` has it.
    crval : (float, float), optional
        Tangent point, degrees. By default the middle of all exposures, or that of the first, where its pixels are kept.
    output_shape : (int, int), optional
        Shape as (Nx, Ny), in the pipelines' order. By default up to the last pixel that an exposure reaches into.
    align : {"first", "tangent", "footprint"}, optional
        Where the output's pixels lie. An exposure that is on a tangential grid of the output's scale and rotation
        already keeps its pixels as they are, if it is the first, and so do others of that grid; others make pixels at
        whole multiples of the scale around the tangent point, which "tangent" does in any case. "footprint" begins
        where the exposures do, in the middle of the first pixels, as the pipelines have it.
    add_to : path, optional
        A mosaic that this function wrote, to which the exposures are added as if all had been there at once: it becomes
        a new file, ``output``, or takes the old one's place where that is not given. It has its frame and its options.
    ext : int, str, or sequence of such, optional
        Extensions of FITS files that are exposures: numbers (the primary one is 0), names or patterns of names, or name
        and EXTVER, ``"SCI,2"``. By default all images with a WCS of the sky, but for those that belong to others.
    plane : int, optional
        Of cubes, the number of the plane, from 0.
    mask_ext, weight_ext : int, str, or sequence of such, optional
        Extensions that are masks, and weights or errors, in place of those that are so by their names.
    masks, weights : str, optional
        Files of masks, and of weights or errors: a path in which ``*`` stands for the exposure's name without its
        suffix, such as ``"*.weight.fits"``; beside the exposure if it names no folder. ``"none"`` leaves masks, or
        weights and errors, alone that lie in files beside the exposures.
    bad_bits : int or str, optional
        Which bits of masks and DQ flags make a pixel bad, such as ``"1+16"``. By default all of a mask do, but where
        its header names them (MP_BAD and so on) those with a bad name; ``good_bits`` says which of DQ flags.
    wcs : {"fits", "gwcs"}, optional
        Which WCS is taken of FITS files that have both keywords and a gwcs. By default the gwcs, unless the two differ,
        which is said: then the keywords, which somebody may have mended; but of JWST the gwcs.
    values : {"auto", "per-pixel", "surface-brightness"}, optional
        What values are: per pixel, and then scaled by the ratio of the output's and the exposure's pixel areas, so that
        a star keeps its flux; or surface brightness, as they are. By default what their unit says; values without one
        are averaged as they are, with a warning.
    flux_scale : str, optional
        What brings exposures to one scale, that of the first, of counts per second or of FLXSCALE=1: a keyword of
        their headers; ``"time"``, by which counts are divided by their exposure times; ``"none"`` but their units; or,
        by default, ``"auto"``, what their units and headers ask for.
    allow_mixed : bool, optional
        Whether exposures that can't be brought to one scale, or are of several filters or gains, are averaged all the
        same, with a warning. Else they are an error.
    match_sky : {"match", "global", "global+match", "local"}, optional
        Have the skies of exposures agree where they overlap, as `gpures.match_sky` does, on the scale of the mosaic.
        By default they stay as they are.
    sky_statistic : {"median", "mean", "mode", "midpt"}, optional
        What is taken for the sky.
    reject_outliers : bool, optional
        Leave out cosmic rays and other pixels in which an exposure has what no other one of its place has, as
        `gpures.flag_outliers` finds them in the frame of the mosaic. Each file is read twice then, as with
        ``match_sky``.
    outlier_snr, outlier_scale, outlier_backg, outlier_maskpt, outlier_kernel_size, outlier_grow : optional
        As ``snr`` and so on of `gpures.flag_outliers`. By default those of the exposures' mission: of HST's alone
        AstroDrizzle's and a third one, ``(3.5, 3.0, 3.0)``, and a maskpt of 0.3.
    save_masks : path, optional
        Folder for the masks of the outliers: ``x_mask.fits`` for ``x.fits``, which is taken for its mask if it lies
        beside it. With ``overwrite`` masks that gpures wrote are replaced, and others never.
    combine : {"median", "clipped"} or sequence of such, optional
        Images that the mosaic has beside the weighted mean, under these names: at each pixel the median of the
        exposures, each resampled by itself, or the mean of what lies near it.
    checkpoint : path, optional
        Folder in which the mosaic is saved while it is made, as `gpures.Resample.save` does it. Where it has exposures
        already, because an earlier call of the same arguments was interrupted, only the others are added: exposures are
        known again by their names and by what is in them. It is removed when the mosaic is finished.
    checkpoint_every : int, optional
        After how many exposures it is saved each time.
    memory_limit : int or str, optional
        Memory that may be used: bytes, or a text such as ``"8GB"``; on a GPU of its memory. A mosaic that does not fit
        is made in tiles, each exposure read for those that it reaches, and they are written to ``output``, which is a
        ``.fits`` or ``.zarr`` then, one by one; it is that of one piece to the last bit on the CPU. By default what is
        available.
    client : distributed.Client, optional
        Have the workers of dask make the mosaic, which is written to ``output``, a ``.zarr`` in a folder that all of
        them see: each reads the files that it needs, and tiles are made of parts that are merged. If a worker dies
        another one does what was lost. Equal to the mosaic that one process makes up to rounding.
    skip_bad : bool, optional
        Whether exposures that can't be used are left out, with a warning. Else the first one is an error.
    overwrite : bool, optional
        Whether a file of the name ``output`` may be replaced.
    progress : bool, callable or None, optional
        As in `gpures.Resample.add_models`.
    **options
        Options of `gpures.Resample`. Three of them have other defaults here, which are the pipelines':
        ``fillval="NaN"``, ``compute_err="from_var"``, and ``good_bits``, which forgives all flags but DO_NOT_USE (for
        JWST also NON_SCIENCE) where all exposures are JWST's or all are Roman's.

    Returns
    -------
    Mosaic
        Its ``model`` is the output model, and its ``report`` a table.

    Raises
    ------
    FileNotFoundError, FileExistsError, gpures.io.FileError
        An input or the output can't be used, or exposures can't be brought to one scale; the text names the file.
    TypeError, ValueError, KeyError
        An argument or a model can't be used, or no tangent plane holds the exposures.
    MemoryError
        The frame would not fit in memory; the text names exposures that are far apart.
    DeviceError
        The backend is "cuda", and the GPU can't be used.

    Examples
    --------
    >>> gpures.mosaic("jw*_cal.fits", "mosaic.fits", pixel_scale=0.03, pixfrac=0.8)  # doctest: +SKIP
    """
    plan = make_plan(
        inputs,
        output,
        output_wcs=output_wcs,
        pixel_scale=pixel_scale,
        pixel_scale_ratio=pixel_scale_ratio,
        rotation=rotation,
        crpix=crpix,
        crval=crval,
        output_shape=output_shape,
        align=align,
        add_to=add_to,
        ext=ext,
        plane=plane,
        mask_ext=mask_ext,
        weight_ext=weight_ext,
        masks=masks,
        weights=weights,
        bad_bits=bad_bits,
        wcs=wcs,
        values=values,
        flux_scale=flux_scale,
        allow_mixed=allow_mixed,
        match_sky=match_sky,
        sky_statistic=sky_statistic,
        reject_outliers=reject_outliers,
        outlier_snr=outlier_snr,
        outlier_scale=outlier_scale,
        outlier_backg=outlier_backg,
        outlier_maskpt=outlier_maskpt,
        outlier_kernel_size=outlier_kernel_size,
        outlier_grow=outlier_grow,
        save_masks=save_masks,
        combine=combine,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        memory_limit=memory_limit,
        skip_bad=skip_bad,
        overwrite=overwrite,
        progress=progress,
        **options,
    )
    return build(plan, progress, client)


def build(plan: Plan, progress: Any = True, client: Any = None) -> Mosaic:
    """Make the mosaic that was planned, and write it; result and errors are those of `mosaic`.

    Parameters
    ----------
    plan : gpures.mosaicking.plan.Plan
        What it will be.
    progress, client : optional
        As in `mosaic`.
    """
    if client is not None:
        plan.cut_for(*room_of_workers(client, plan.asked_backend))
    plan.check_room()
    begin = time.perf_counter()
    if plan.tiles:
        return _build_in_tiles(plan, progress, begin, client)
    with ExitStack() as stack:
        # Open from the beginning: there is a file handle for it, and whatever would be in its way is so now.
        destination: Any = None if plan.path is None else stack.enter_context(destination_of(plan.path, plan.overwrite))
        try:
            seconds = stack.enter_context(watched())
        except RuntimeError:  # somebody times the stages already: theirs are the figures
            seconds = {}
        resampler = resampler_of(plan.frame.variance_names) if plan.options.enable_var else Resample
        checkpoints = None if plan.checkpoint is None else stack.enter_context(Checkpoints(plan))
        resample = None if checkpoints is None else checkpoints.resumed(resampler)
        if resample is None:
            resample = _begun(plan, resampler)
        before, seen = ((), {}) if plan.begun is None else (plan.begun.records, plan.begun.seen)
        if checkpoints is not None:
            before, seen = (*before, *checkpoints.records), seen | checkpoints.seen
        stream, combined = _added(plan, resample, seen, checkpoints, progress)
        skipped = plan.skipped + stream.skipped
        records = [*before, *stream.records]
        if not stream.records and not (checkpoints and checkpoints.records):
            raise ValueError(nothing_left(skipped))
        weights = variance_weights(resample)
        resample.finalize()
        model: Any = resample.output_model
        model |= {name: _filled(image, plan.options.fillval) for name, image in combined.items()}
        for name in empty_planes(model):
            del model[name]
        kept = weights_to_keep(resample, model, weights) if destination is not None else {}
        del weights
        data_pixels = _data_pixels(model, records, len(before), skipped)
        unit = plan.scales.calibration.unit
        headers = stream.headers if checkpoints is None else [*checkpoints.headers, *stream.headers]
        if destination is not None:
            with stage("writing"):
                history = history_of(plan.call, plan.options)
                write_into(
                    destination,
                    {**model, **kept},
                    unit=unit,
                    exposures=records,
                    header=_keywords(plan, headers, records, unit),
                    history=history if plan.begun is None else [*plan.begun.history, *history],
                    in_fits=plan.in_fits,
                )
        if checkpoints is not None:
            checkpoints.remove()
    return Mosaic(
        model=model,
        plan=plan,
        exposures=records,
        unit=unit,
        backend=resample.backend,
        pixels=stream.pixels + (0 if checkpoints is None else checkpoints.pixels),
        data_pixels=data_pixels,
        skipped=skipped,
        path=plan.path,
        seconds={
            "headers and frame": plan.seconds,
            **seconds,
            "total": plan.seconds + time.perf_counter() - begin,
        },
    )


def _build_in_tiles(plan: Plan, progress: Any, begin: float, client: Any) -> Mosaic:
    """Make a mosaic tile by tile, of which each is written when it is finished."""
    assert isinstance(plan.sources, Sequence)
    unit = plan.scales.calibration.unit
    with ExitStack() as stack:
        try:
            seconds = stack.enter_context(watched())
        except RuntimeError:
            seconds = {}
        content = partial(content_of, options=plan.options, flag_names=plan.flag_names)
        stream = Stream(plan.sources, plan.arrays, plan.scales, plan.skip_bad, content)
        tiled = Tiled(plan, resampler_in_tiles(plan.frame.variance_names), stream)
        planned = [ExposureRecord(source.name) for source in plan.sources]
        store = stack.enter_context(
            opened_store(
                plan,
                tiled.blank,
                facts={"kernel": plan.options.kernel, "weight_type": plan.options.weight_type},
                unit=unit,
                exposures=planned,
                header=_keywords(plan, [source.header for source in plan.sources], planned, unit),
                history=history_of(plan.call, plan.options),
            )
        )
        if client is None:
            with shown(progress, tiled.total, "in tiles") as show:
                _write_tiles(tiled, store, show)
        else:
            with shown(progress, len(plan.tiles), "tiles") as show, stage("workers"):
                Distributed(plan, tiled, client).make(store, show)
        tiled.count_others()
        skipped = plan.skipped + tiled.skipped
        records = tiled.records
        if not records:
            raise ValueError(nothing_left(skipped))
        _check_data_pixels(tiled.data_pixels, skipped)
        _tell_of_idle(planned[number].name for number in tiled.numbers if number in tiled.idle)
        header = _keywords(plan, tiled.headers, records, unit)
        if not tiled.tells_weights:
            del header[OPTIONS]
        facts = tiled.facts()
        with stage("writing"):
            if "con" in tiled.blank and tiled.numbers != list(range(len(plan.sources))):
                store.renumber(tiled.numbers)
            store.finish(
                facts_of(facts),
                unit=unit,
                exposures=records,
                header=header,
                history=history_of(plan.call, plan.options),
            )
    return Mosaic(
        model=cast(MosaicModel, facts),
        plan=plan,
        exposures=records,
        unit=unit,
        backend=tiled.backend,
        pixels=tiled.pixels,
        data_pixels=tiled.data_pixels,
        skipped=skipped,
        path=plan.path,
        seconds={
            "headers and frame": plan.seconds,
            **seconds,
            "total": plan.seconds + time.perf_counter() - begin,
        },
    )


def _write_tiles(tiled: Tiled, store: Store, show: Callable[[int], Any]) -> None:
    """Make tiles, and write each when it is finished."""
    for tile, images in tiled.tiles(show):
        with stage("writing"):
            if images is None:
                store.write_empty(tile)
            else:
                for name, image in images.items():
                    store.write(name, tile, image)
        del images  # or they would be held while the next one is made


def _begun(plan: Plan, resampler: type[Resample]) -> Resample:
    """The mosaic before exposures are added."""
    begun = plan.begun
    count = (plan.total or 0) + (0 if begun is None else len(begun.records))
    resample = resampler(plan.output_wcs, n_input_models=count or None, **plan.options.chosen())
    if plan.flag_names is not None:
        resample.dq_flag_name_map = plan.flag_names
    if begun is not None:
        with stage("reading files"):
            images: Any = read_mosaic(begun.path)
        resume(resample, images, [record.group for record in begun.records], len(begun.records))
    return resample


def _added(
    plan: Plan, resample: Resample, seen: Any, checkpoints: Checkpoints | None, progress: Any
) -> tuple[Stream, dict[str, Any]]:
    """Add the exposures of a plan, cleaned if that is wanted: the stream that they came from, and further images."""
    content = partial(content_of, options=plan.options, flag_names=plan.flag_names)
    if not plan.cleaning.is_wanted:
        sources = plan.sources if checkpoints is None else checkpoints.left
        stream = Stream(sources, plan.arrays, plan.scales, plan.skip_bad, content, seen)
        there = 0 if checkpoints is None else len(checkpoints.records)
        with shown(progress, plan.total) as show:

            def added(done: int, _: int | None) -> None:
                show(there + done + stream.unread)
                if checkpoints is not None:
                    checkpoints.save_if_due(resample, stream, done)

            resample.add_models(stream, added, stream.on_error)
        return stream, {}
    assert isinstance(plan.sources, Sequence)
    arrays = plan.arrays | Cleaner.arrays(plan.cleaning, plan.sources)
    stream = Stream(plan.sources, arrays, plan.scales, plan.skip_bad, content, seen)
    cleaner = Cleaner(plan)
    with shown(progress, plan.total, "first look") as show:
        cleaner.look(stream, show)
    with shown(progress, plan.total) as show:
        again = stream.again(cleaner.cleaned(stream))
        resample.add_models(again, lambda done, _: show(done), stream.on_error_again)
    cleaner.close()
    return stream, cleaner.combined


def _filled(image: Any, fillval: Any) -> Any:
    """An image with the mosaic's fill value where there is nothing."""
    fill = fill_number(fillval)
    if fill is not None and fill == fill:
        image[image != image] = fill
    return image


def _keywords(
    plan: Plan, headers: Sequence[Any], records: Sequence[ExposureRecord], unit: str | None
) -> dict[str, Any]:
    """What the primary header tells of exposures and options."""
    before = None if plan.begun is None else plan.begun.header
    scales = plan.scales
    keywords = keywords_of(headers, records, unit, scales.is_scaled, scales.keeps_gain, before)
    return keywords | scales.calibration.facts | {OPTIONS: (as_text(plan.told), "")}


def _data_pixels(
    model: Mapping[str, Any], records: Sequence[ExposureRecord], before: int, skipped: Sequence[tuple[str, str]]
) -> int:
    """Number of a mosaic's pixels that have data; exposures, from that number on, that nothing is there of are told of.

    Raises
    ------
    ValueError
        There is none.
    """
    with stage("counting"):
        count = pixels_with_data(model["wht"])
        idle = [] if model.get("con") is None else idle_exposures(model["con"], len(records))
    _check_data_pixels(count, skipped)
    _tell_of_idle(records[number].name for number in idle if number >= before)
    return count


def _check_data_pixels(count: int, skipped: Sequence[tuple[str, str]]) -> None:
    if not count:
        words = "Nothing of the exposures is in the mosaic: none of their pixels that can be used lies in its frame."
        raise EmptyMosaicError(words + "".join(f"\n  {reason}" for _, reason in skipped))


def _tell_of_idle(names: Iterable[str]) -> None:
    for name in names:
        log.warning("%s: nothing of it is in the mosaic: its pixels that can be used lie outside of the frame.", name)
