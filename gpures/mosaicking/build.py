"""Build a mosaic as it was planned, and write it: in one piece, or tile by tile."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any, cast

from gpures.arguments.values import fill_number
from gpures.errors import EmptyMosaicError
from gpures.io import read_mosaic
from gpures.io.empty_planes import empty_planes
from gpures.io.exposures import ExposureRecord
from gpures.io.writer import destination_of, facts_of, write_into
from gpures.mosaicking.checkpoints import Checkpoints
from gpures.mosaicking.cleaner import Cleaner
from gpures.mosaicking.content import content_of, idle_exposures, pixels_with_data, resampler_of
from gpures.mosaicking.continuing import OPTIONS, as_text
from gpures.mosaicking.distributed import Distributed, overview_by_workers
from gpures.mosaicking.headers import keywords_of
from gpures.mosaicking.history import history_of
from gpures.mosaicking.made import Mosaic
from gpures.mosaicking.plan import Plan, nothing_left
from gpures.mosaicking.reach import boxes, filled_rows
from gpures.mosaicking.stores import Store, opened_store, write_tile
from gpures.mosaicking.stream import Stream
from gpures.mosaicking.tiled import Tiled
from gpures.mosaicking.workers import room_of_workers
from gpures.reporting.progress import shown
from gpures.reporting.timing import stage, watched
from gpures.resample.resampler import Resample
from gpures.resample.resuming import resume, variance_weights, weights_to_keep
from gpures.typing import MosaicModel

__all__ = ["build"]

log = logging.getLogger(__name__)


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
    with _timed(plan) as seconds:
        return _in_tiles(plan, progress, client, seconds) if plan.tiles else _in_one_piece(plan, progress, seconds)


@contextmanager
def _timed(plan: Plan) -> Iterator[dict[str, float]]:
    """Wall seconds by stage, which are there when it ends."""
    begin = time.perf_counter()
    seconds = {"headers and frame": plan.seconds}
    with ExitStack() as stack:
        stages: Mapping[str, float] = {}
        with suppress(RuntimeError):  # somebody times the stages already: theirs are the figures
            stages = stack.enter_context(watched())
        yield seconds
    seconds |= stages
    seconds["total"] = plan.seconds + time.perf_counter() - begin


def _in_one_piece(plan: Plan, progress: Any, seconds: dict[str, float]) -> Mosaic:
    """Make a mosaic that is in memory as a whole."""
    with ExitStack() as stack:
        # Open from the beginning: there is a file handle for it, and whatever would be in its way is so now.
        destination: Any = None if plan.path is None else stack.enter_context(destination_of(plan.path, plan.overwrite))
        resampler = resampler_of(plan.frame.variance_names, plan.flag_names)
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
        seconds=seconds,
    )


def _in_tiles(plan: Plan, progress: Any, client: Any, seconds: dict[str, float]) -> Mosaic:
    """Make a mosaic tile by tile, of which each is written when it is finished."""
    assert isinstance(plan.sources, Sequence)
    unit = plan.scales.calibration.unit
    with ExitStack() as stack:
        content = partial(content_of, options=plan.options, flag_names=plan.flag_names)
        stream = Stream(plan.sources, plan.arrays, plan.scales, plan.skip_bad, content)
        tiled = Tiled(plan, stream)
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
            finish: Callable[..., None] = store.finish
            if client is not None:
                finish = partial(finish, make=partial(overview_by_workers, client))
            finish(
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
        seconds=seconds,
    )


def _write_tiles(tiled: Tiled, store: Store, show: Callable[[int], Any]) -> None:
    """Make tiles, and write each when it is finished."""
    for tile, numbers, images in tiled.tiles(show):
        with stage("writing"):
            if images:
                write_tile(store, tile, images, numbers)
            else:
                store.write_empty(tile)
        del images  # or they would be held while the next one is made


def _begun(plan: Plan, resampler: type[Resample]) -> Resample:
    """The mosaic before exposures are added."""
    begun = plan.begun
    count = (plan.total or 0) + (0 if begun is None else len(begun.records))
    resample = resampler(plan.output_wcs, n_input_models=count or None, **plan.options.chosen())
    resample._accumulators.expect(
        lambda: filled_rows(boxes(plan.footprints, plan.output_wcs["wcs"], plan.shape), plan.shape)
    )
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
