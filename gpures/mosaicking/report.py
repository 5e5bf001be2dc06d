"""A plan, and a finished mosaic, as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from gpures.backend.cuda.device import devices
from gpures.io.exposures import ExposureRecord
from gpures.io.regular import size_of
from gpures.machine.threads import thread_count
from gpures.mosaicking.plan import AT_A_TIME, GIB, Plan
from gpures.reporting.tables import line, row
from gpures.wcs.transforms import world_axes

__all__ = ["plan_text", "report_text"]

# Exposures, and names of those left out, that a table lists at most.
LISTED = 40

NAME = 40  # width of an exposure's name

fact = partial(line, indent=0)

# Columns of an exposure: its name, kind, size and time, and the unit.
USED = "<2", f"<{NAME + 1}", ">12", "<12", ">18"
SOURCE = "<2", f"<{NAME + 1}", "<7", "<15", ">10.1f", ""


def plan_text(plan: Plan) -> str:
    """What will be done."""
    sources = list(plan.sources) if isinstance(plan.sources, Sequence) else []
    lines = [fact("exposures", _exposures(plan, sources))]
    for source in sources[:LISTED]:
        ny, nx = source.shape
        cells = "", _short(source.name), source.kind, f"{nx} x {ny}", source.exposure_time, f" s  {source.unit or '-'}"
        lines.append(row(cells, SOURCE))
    lines += _more(sources)
    lines += _left_out(plan.skipped, plan.outside) + _begun(plan)
    lines += _frame(plan)
    lines += _options(plan)
    lines.append(fact("unit", plan.unit or "not told"))
    lines += _values(plan) + _cleaning(plan)
    lines.append(fact("backend", _backend(plan)))
    lines.append(fact("memory", _memory(plan)))
    if plan.tiles:
        largest = plan.tiles[0]  # others end at the edges of the frame
        ny, nx = largest.shape
        lines.append(fact("tiles", f"{len(plan.tiles)} of up to {nx} x {ny} pixels"))
    if plan.checkpoint is not None:
        lines.append(fact("checkpoint", f"{plan.checkpoint}, after every {plan.checkpoint_every} exposures"))
    return "\n".join(lines)


def report_text(
    plan: Plan,
    *,
    exposure_time: float,
    records: Sequence[ExposureRecord],
    data_pixels: int,
    pixels: int,
    skipped: Sequence[tuple[str, str]],
    unit: str | None,
    path: Path | None,
    seconds: Mapping[str, float],
) -> str:
    """What was done; parameters as the attributes of `gpures.mosaicking.Mosaic`."""
    lines = [fact("exposures", f"{len(records)}, {pixels / 1e6:.4g} million pixels")]
    lines += [_used(record) for record in records[:LISTED]] + _more(records)
    lines += _left_out(skipped, plan.outside) + _begun(plan)
    lines.append(fact("exposure time", f"{exposure_time:.1f} s"))
    lines += _frame(plan)
    size = plan.shape[0] * plan.shape[1]
    lines.append(fact("with data", f"{data_pixels} pixels of {size}, {100 * data_pixels / size:.4g} %"))
    lines += _options(plan)
    lines.append(fact("unit", unit or "not told"))
    lines += _values(plan) + _cleaning(plan)
    lines.append(fact("backend", _backend(plan)))
    if path is not None:
        lines.append(fact("written", f"{path}, {size_of(path) / 1e6:.1f} MB"))
    total = seconds["total"]
    lines.append(fact("time", f"{total:.2f} s, {pixels / 1e6 / total:.3g} million pixels per second; of that"))
    parts = [(name, value) for name, value in seconds.items() if name != "total"]
    lines += [row(("", name, value, f" s{_beside(name)}"), ("<2", "<22", ">9.2f", "")) for name, value in parts]
    return "\n".join(lines)


def _used(record: ExposureRecord) -> str:
    """What became of an exposure."""
    cells = ["", _short(record.name), "?" if record.used is None else str(record.used), " pixels used"]
    if record.outliers is not None:
        cells.append(f"{record.outliers} outliers")
    if record.sky is not None:
        cells.append(f"sky {record.sky:.6g}")
    return row(cells, USED).rstrip()


def _beside(name: str) -> str:
    return "  (beside the others)" if name in ("reading files", "pixel map") else ""


def _exposures(plan: Plan, sources: Sequence[Any]) -> str:
    if plan.total is None:
        return "from a generator of models"
    kinds = ", ".join(f"{number} {kind}" for kind, number in Counter(source.kind for source in sources).items())
    times = {str(source.group_id): source.exposure_time for source in reversed(sources)}
    return f"{plan.total} ({kinds}), {sum(times.values()):.1f} s in all"


def _short(name: str) -> str:
    """The end of a name, which is what tells it from others."""
    return name if len(name) <= NAME else "…" + name[1 - NAME :]


def _more(items: Sequence[Any]) -> list[str]:
    return [f"  and {len(items) - LISTED} more"] if len(items) > LISTED else []


def _left_out(skipped: Sequence[tuple[str, str]], outside: Sequence[str]) -> list[str]:
    lines = []
    if skipped:
        lines.append(fact("skipped", str(len(skipped))))
        lines += [line("", reason) for _, reason in skipped[:LISTED]] + _more(skipped)
    if outside:
        lines.append(fact("not read", f"{len(outside)} that do not reach the frame"))
        lines += [f"  {_short(name)}" for name in outside[:LISTED]] + _more(outside)
    return lines


def _begun(plan: Plan) -> list[str]:
    """The mosaic that was gone on with."""
    return [] if plan.begun is None else [fact("added to", f"{plan.begun.path}, of {len(plan.begun.records)}")]


def _frame(plan: Plan) -> list[str]:
    ny, nx = plan.shape
    lon, lat = plan.centre
    sky = world_axes(plan.output_wcs["wcs"]).sky
    system = "ICRS" if sky is None else sky.name
    if system.startswith(("ICRS", "FK")):
        middle = f"RA {lon:.6f}, Dec {lat:+.6f}" + f" ({system})" * (system != "ICRS")
    else:
        middle = f"longitude {lon:.6f}, latitude {lat:+.6f} ({system})"
    ratio = plan.output_wcs.get("pixel_scale_ratio")
    scale = f"{plan.pixel_scale:.5g} arcsec" + (f", {ratio:.4g} times the first exposure's" if ratio else "")
    turned = "as the given WCS" if plan.rotation is None else f"+y at position angle {plan.rotation:.3f} degrees"
    return [
        fact("frame", f"{nx} x {ny} pixels, middle at {middle}"),
        fact("scale", scale),
        fact("orientation", turned),
    ]


def _options(plan: Plan) -> list[str]:
    options = plan.options
    kernel = f"{plan.frame.kernel}, pixfrac {options.pixfrac:g}"
    weights = f"{options.weight_type}, good bits {options.good_bits}"
    single = [fact("precision", "single")] if options.is_single else []
    return [fact("kernel", kernel), fact("weights", weights), *single]


def _values(plan: Plan) -> list[str]:
    """What became of the exposures' values, and, where they differ, what each was multiplied by."""
    values, flux = plan.scales.words()
    fluxes = plan.scales.fluxes()
    lines = [fact("values", values), fact("flux scale", flux)]
    if len({round(by, 9) for _, by in fluxes}) > 1:
        lines += [row(("", _short(name), f"{by:.6g}"), ("<2", f"<{NAME + 1}", ">12")) for name, by in fluxes[:LISTED]]
        lines += _more(fluxes)
    return lines


def _cleaning(plan: Plan) -> list[str]:
    """How exposures are cleaned."""
    if not plan.cleaning.is_wanted:
        return []
    done = []
    if plan.cleaning.match_sky is not None:
        done.append(f"skies by {plan.cleaning.match_sky} ({plan.cleaning.sky_statistic})")
    if plan.cleaning.reject_outliers:
        wanted = plan.cleaning.outliers({source.kind for source in plan.sources})
        snr, scale = (" ".join(f"{number:g}" for number in numbers) for numbers in (wanted.snr, wanted.scale))
        done.append(f"no outliers (snr {snr}, scale {scale}, maskpt {wanted.maskpt:g})")
    done += [f"plane {name.upper()}" for name in plan.cleaning.combine]
    return [fact("cleaning", f"{', '.join(done)}; each exposure is read twice")]


def _backend(plan: Plan) -> str:
    if plan.backend == "cuda":
        names = {info.number: info.name for info in devices()}
        told = [f"device {number}: {names.get(number, 'unknown')}" for number in plan.devices]
        return f"cuda, {', '.join(told)}"
    words = f"cpu, {thread_count()} threads" if plan.backend == "cpu" else plan.backend
    return words if plan.why_no_gpu is None else f"{words}; no GPU: {plan.why_no_gpu}"


def _size(count: int) -> str:
    """Bytes, for a person to read."""
    for unit, size in (("GiB", GIB), ("MiB", 2.0**20)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 2.0**10:.0f} KiB"


def _memory(plan: Plan) -> str:
    words = f"{_size(plan.tile_bytes)} for {'a tile' if plan.tiles else 'the frame'}"
    if plan.backend == "cuda":
        words += " on the GPU" if len(plan.devices) == 1 else f" on each of {len(plan.devices)} GPUs"
    if plan.waiting_bytes:
        words += f", {_size(plan.waiting_bytes)} for {AT_A_TIME} exposures at a time"
    if plan.tiles:
        words += f", {_size(plan.shelf_bytes)} for others that several tiles need"
    if plan.stack_bytes:
        words += f", {_size(plan.stack_bytes)} in memory or on disk for exposures by themselves"
    if len(plan.devices) > 1:
        free = [f"{_size(info.free)} on device {info.number}" for info in devices() if info.number in plan.devices]
        return f"{words}; available: {', '.join(free)}"
    available = plan.available if plan.memory_limit is None else plan.memory_limit
    return words if available is None else f"{words}; {_size(available)} available"
