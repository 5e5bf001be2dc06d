"""The simulation of workers (benchmarks/scale_model.py): its graph is the code's, and what can be counted agrees."""

import importlib.util
import json
import math
import random
import sys
from collections import Counter
from dataclasses import replace
from functools import reduce
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gpures.box import Box
from gpures.mosaicking.distributed import FEWEST, Distributed, batch_of
from gpures.mosaicking.plan import Plan

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def load(name):
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


model = load("scale_model")
MEASURED = json.loads((BENCHMARKS / "results" / "cpu.json").read_text())
SIDE, DETECTOR = 7000, 900
STARTS = range(0, SIDE, 1024)
GIB = 2**30


def problem(count=70, seed=1, **more):
    """Exposures anywhere, also beyond the frame's edges."""
    draw = random.Random(seed)
    corners = [(draw.randrange(-500, SIDE - 300), draw.randrange(-500, SIDE - 300)) for _ in range(count)]
    boxes = [Box(x, x + DETECTOR - 1, y, y + DETECTOR - 1) for x, y in corners]
    return model.Problem(SIDE, boxes, **{"tile_pixels": 2048**2} | more)


def run(mosaic, kind="cpu", workers=5, **rates):
    return model.Simulation(mosaic, replace(model.rates_of(kind, MEASURED), **rates), workers).run()


def reaching(mosaic, tile):
    """Numbers of the exposures with a pixel in a tile, one by one."""
    return [k for k, box in enumerate(mosaic.exposures) if model.area(box.common(tile)) > 0]


def test_exposures_of_a_task():
    """All of a tile, where there are tiles for all workers; fewer where there are not; never very many, or few."""
    assert batch_of([20, 12], 2) == 20
    assert batch_of([20, 12], 4) == 10
    assert batch_of([20, 12], 10) == FEWEST
    assert batch_of([1000], 1) == 32
    assert batch_of([], 1) == FEWEST


# ---- the graph is the code's -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, FEWEST, FEWEST + 1, 5 * FEWEST, 50 * FEWEST + 1])
def test_the_graph_is_that_of_the_code(count):
    """The same tasks, of the same exposures, in the same order, and each needs the same ones."""
    submitted = {}

    def submit(work, *arguments, key, pure):
        name = key.rpartition("-")[0]
        exposures = next((list(each) for each in arguments if isinstance(each, range)), [])
        needs = [each for each in arguments if isinstance(each, str) and each not in ("plan", "store")]
        submitted[name] = exposures, needs
        return name

    tiles = {0: range(count), 1: range(3, count + 9)}
    distributed = SimpleNamespace(
        _client=SimpleNamespace(submit=submit),
        _plan=SimpleNamespace(tiles=[None, None]),
        _job=lambda: None,
        _tasks_of_host=Counter({"a": 3, "b": 2}),
    )
    list(Distributed._submitted(distributed, tiles, None))
    del submitted["plan"], submitted["store"]
    tasks = model.graph(list(tiles.values()), batch_of([count, count + 6], 5))
    assert [(t.name, t.sources, [tasks[k].name for k in t.needs]) for t in tasks] == [
        (name, *rest) for name, rest in submitted.items()
    ]


MANY_TASKS = pytest.param(512, 64 * GIB, marks=pytest.mark.long)


@pytest.mark.parametrize(("tasks", "memory"), [(1, 8 * GIB), (8, 128 * GIB), MANY_TASKS, (20, None)])
@pytest.mark.parametrize("context", ["own", "none"])
def test_tiles_are_those_of_the_code(tasks, memory, context, monkeypatch):
    exposures = model.survey(30_000)[:3000]
    mosaic = model.Problem(30_000, exposures, context=context)
    planes = {"own": 94, "none": 0}[context]
    layout = model.MosaicLayout((30_000, 30_000), variance_names=model.VARIANCES, context_planes=planes)
    monkeypatch.setattr("gpures.mosaicking.plan.boxes", lambda *_: exposures)
    monkeypatch.setattr(Plan, "waiting_bytes", 3 * mosaic.exposure_bytes)
    monkeypatch.setattr(Plan, "_why_whole", lambda _: None)
    plan = object.__new__(Plan)
    plan.frame, plan.path, plan.footprints, plan.output_wcs = layout, "m.zarr", [], {"wcs": None}
    plan.cut_for(tasks, memory)
    assert mosaic.cut(tasks, math.inf if memory is None else memory) == (plan.tiles, plan.tile_planes)
    assert plan.tile_planes < 94


def test_the_survey():
    """Ten thousand exposures, which cover all of the frame, and lie elsewhere with another seed."""
    exposures = model.survey()
    assert len(exposures) == 10_000
    assert {(box.xmax - box.xmin, box.ymax - box.ymin) for box in exposures} == {(4087, 4087)}
    depth = np.zeros((1000, 1000), int)
    for xmin, xmax, ymin, ymax in exposures:
        depth[max(0, -(-ymin // 100)) : ymax // 100 + 1, max(0, -(-xmin // 100)) : xmax // 100 + 1] += 1
    assert depth.min() > 0
    assert exposures == model.survey() != model.survey(seed=1)
    assert sorted(exposures)[0] != exposures[0]
    assert [(box.xmin + box.xmax) // 8000 for box in model.survey(order="dither")[:25]] == list(range(25))


# ---- what is conserved -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
@pytest.mark.parametrize("context", model.CONTEXTS)
@pytest.mark.parametrize("batch", [1, 4, model.WHOLE])
@pytest.mark.parametrize("workers", [1, 7, 60])
def test_each_exposure_is_once_in_each_tile(kind, context, batch, workers):
    """Each exposure is in each tile that it reaches, once, and bytes are those of closed forms."""
    mosaic = problem(context=context, batch=batch)
    done = run(mosaic, kind, workers)
    expected = {k: reaching(mosaic, tile) for k, tile in enumerate(done.tiles)}
    assert sum(map(model.area, done.tiles)) == SIDE**2
    assert {k: sorted(sources) for k, sources in done.written.items()} == {k: v for k, v in expected.items() if v}
    row = done.row()
    assert row["bytes"]["read"] == sum(map(len, expected.values())) * 20 * DETECTOR**2
    tasks = sum(-(-len(chosen) // batch) for chosen in expected.values())
    written = sum(bool(chosen) for chosen in expected.values())
    alone = sum(0 < len(chosen) <= batch for chosen in expected.values())  # in one task
    assert row["tasks"] == {"add": tasks - alone, "merge": tasks + alone - 2 * written, "write": written}
    images = sum(24 * model.area(done.tiles[k]) for k, chosen in expected.items() if chosen)
    assert row["bytes"]["written"] == images + sum(context_bytes(mosaic, done, k) for k in expected)
    assert done.held == [0] * workers
    assert row["bytes"]["moved_between_nodes"] <= row["bytes"]["moved"] <= row["bytes"]["merged"] * 2
    if workers == 1 or batch == model.WHOLE:
        assert row["bytes"]["moved"] == 0
    assert (row["bytes"]["merged"] == 0) == (batch == model.WHOLE)
    assert all(0 <= part <= 1 + 1e-9 for part in row["busy"].values())


def context_bytes(mosaic, done, k):
    """Pixels of chunks of a tile's context in which a bit is: chunk by chunk, plane by plane."""
    tile, found = done.tiles[k], 0
    chosen = [] if mosaic.context == "none" else reaching(mosaic, tile)
    chunks = [Box(x, min(x + 1023, SIDE - 1), y, min(y + 1023, SIDE - 1)) for x in STARTS for y in STARTS]
    for chunk in (chunk for chunk in chunks if model.area(chunk.common(tile))):
        planes = {exposure // 32 for exposure in chosen if model.area(mosaic.exposures[exposure].common(chunk))}
        found += 4 * model.area(chunk) * len(planes)
    return found


def test_merged_bytes():
    """Of two exposures of one batch each the second's pixels are merged, and moved where another worker has it."""
    boxes = [Box(0, 899, 0, 899), Box(50, 949, 100, 999)]
    mosaic = model.Problem(1024, boxes, batch=1, context="none")
    one, two = run(mosaic, workers=1), run(mosaic, workers=2)
    assert one.bytes["merged"] == two.bytes["merged"] == 900**2 * 32
    assert (one.bytes["moved"], two.bytes["moved"]) == (0, 900**2 * 32)
    assert two.bytes["moved_between_nodes"] == 0
    apart = run(mosaic, workers=2, workers_of_node=1)
    assert apart.bytes["moved_between_nodes"] == 900**2 * 32


def test_read_once():
    """Where others have an exposure of who read it, it is read once, and moved to the others."""
    mosaic = problem(reads_once=True, batch=model.WHOLE)
    done = run(mosaic, workers=40)
    assert done.bytes["read"] == len(mosaic.exposures) * mosaic.exposure_bytes
    needed = sum(len(reaching(mosaic, tile)) for tile in done.tiles)
    assert 0 < done.bytes["moved"] <= (needed - len(mosaic.exposures)) * mosaic.exposure_bytes


# ---- how long it takes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
@pytest.mark.parametrize("context", ["all", "none"])
def test_one_worker_takes_the_sum_of_all_tasks(kind, context):
    mosaic = problem(context=context)
    done, rates = run(mosaic, kind, 1, scheduler_s=0.0), model.rates_of(kind, MEASURED)
    planes = {"all": 3, "none": 0}[context]
    layout, part = 36 + 4 * planes, 32 + 4 * planes
    seconds, boxes = 0.0, {}
    for task in done.tasks:
        tile = done.tiles[task.tile]
        if task.sources:
            inside = [mosaic.exposures[number].common(tile) for number in task.sources]
            pixels = sum(map(model.area, inside))
            each = 20 * DETECTOR**2 * (1 / rates.read_worker + 1 / rates.bus) + rates.host_s
            seconds += len(inside) * each + pixels * rates.pass_s
            seconds += layout * model.area(tile) / rates.memory_rate if kind == "gpu" else 0
            boxes[task.number] = reduce(Box.united, inside)
        else:
            one, other = (boxes[need] for need in task.needs)
            read = 4 * part * model.area(one) + (part + 2 * 32) * model.area(other)
            seconds += read / rates.memory_rate
            boxes[task.number] = one.united(other)
        if task.kind == "write":
            pixels = model.area(tile)
            seconds += 4 * part * model.area(boxes[task.number]) / rates.memory_rate + pixels * rates.finish_s
            seconds += (24 + 4 * planes) * pixels / rates.bus
            seconds += (24 * pixels + context_bytes(mosaic, done, task.tile)) / rates.write_worker
    assert done.now == pytest.approx(seconds, rel=1e-9)


@pytest.mark.parametrize("levels", [0, 1, 3, 5])
def test_many_workers_take_the_longest_way(levels):
    """A tile of 2**levels batches: one is added, and there is a merge of each level and a write behind it."""
    count, pixels = 4 * 2**levels, 1024**2
    mosaic = model.Problem(1024, [Box(0, 1023, 0, 1023)] * count, context="none")
    unlimited = dict.fromkeys(("read_node", "read_shared", "network_node"), math.inf)
    rates = model.rates_of("cpu", MEASURED)
    add = 4 * (20 * pixels / rates.read_worker + rates.host_s + pixels * rates.pass_s)
    move = 32 * pixels * (1 / rates.comm_worker + 4 / rates.memory_rate)
    merge = (4 + 1 + 2) * 32 * pixels / rates.memory_rate
    write = pixels * (4 * 32 / rates.memory_rate + rates.finish_s + 24 / rates.write_worker)
    way = add + levels * (move + merge) + write
    assert run(mosaic, workers=100, scheduler_s=0.0, **unlimited).now == pytest.approx(way, rel=1e-9)
    late = run(mosaic, workers=100, scheduler_s=1e-3, **unlimited).now
    assert way + 1e-3 * (levels + 1) <= late <= way + 1e-3 * 2 * 2 ** (levels + 1)


def test_what_all_share_limits_them():
    """A file system takes its bytes' time at least, and a scheduler its tasks'; either is then what limits."""
    mosaic = problem(context="none")
    for rates, name, seconds in (
        ({"read_shared": 1e6}, "read_shared", lambda row: row["bytes"]["read"] / 1e6),
        ({"write_shared": 1e6}, "write_shared", lambda row: row["bytes"]["written"] / 1e6),
        ({"scheduler_s": 5.0}, "scheduler", lambda row: sum(row["tasks"].values()) * 5.0),
    ):
        row = run(mosaic, workers=50, **rates).row()
        assert row["limited_by"] == name
        assert seconds(row) <= row["seconds"] < 1.6 * seconds(row)


def test_reading_ahead_takes_the_longer_of_both():
    """One task reads while it adds: all but the first read, or all but the last pass, are hidden."""
    mosaic = model.Problem(1024, [Box(0, 1023, 0, 1023)] * 9, context="none", batch=9)
    ahead = replace(mosaic, reads_ahead=True)
    for host in (1e-3, 1.0):
        rates = model.rates_of("cpu", MEASURED)
        read, add = 20 * 1024**2 / rates.read_worker, host + 1024**2 * rates.pass_s
        spared = run(mosaic, workers=1, host_s=host).now - run(ahead, workers=1, host_s=host).now
        assert spared == pytest.approx(8 * min(read, add), rel=1e-9)


def test_memory():
    """On a GPU each part has a whole tile, elsewhere what was touched."""
    boxes = [Box(0, 899, 0, 899)] * 3
    mosaic = model.Problem(1024, boxes, batch=1, context="none")
    read = 20 * 900**2
    # While the scheduler has the merge of the first two the third is added; then there is what they become, beside all.
    of_part = {"cpu": 32 * 900**2, "gpu": 36 * 1024**2}
    for kind, size in of_part.items():
        assert run(mosaic, kind, 1).row()["most_held_bytes"] == 4 * size + read


@pytest.mark.parametrize("workers", [1, 8])
def test_parts_fit_below_half_of_a_gpu(workers):
    """What docs/scale.rst says of a limit that does not let tiles grow with the memory of the node."""
    mosaic = model.Problem(model.SIDE, model.survey(), context="none")
    memory = model.rates_of("gpu", MEASURED).device_memory / 2
    assert run(mosaic, "gpu", workers, memory=memory).row()["fits"]


def test_the_same_again():
    """Nothing is left to chance but the jitter, which has a seed."""
    exposures = [model.survey(20_000, 900, seed=seed)[:300] for seed in (3, 3, 4)]
    rows = [run(model.Problem(20_000, boxes, tile_pixels=4096**2)).row() for boxes in exposures]
    assert rows[0] == rows[1] != rows[2]


def test_where_it_stops():
    def rows(*seconds):
        return [{"units": 2**k, "seconds": each} for k, each in enumerate(seconds)]

    assert model.stops_at(rows(8, 4, 2, 1.5, 0.7)) == 4
    assert model.stops_at(rows(8, 4, 2)) is None
    assert model.stops_at(rows(8, 9)) == 1


# ---- what is written -------------------------------------------------------------------------------------------------


def test_the_report():
    """The rates in the report are those of the script and of the measurements, and a row is what comes out now."""
    found = json.loads(model.OUT.read_text())
    again = "run python benchmarks/scale_model.py"
    assert found["rates"]["assumed"] == [list(each) for each in model.ASSUMED], again
    assert found["rates"]["measured"] == pytest.approx(model.measured(MEASURED)), again
    assert found["rates"]["sources"].keys() == found["rates"]["measured"].keys()
    names = Counter(row["name"] for row in found["table"])
    assert names == dict.fromkeys(("1 GPU", "8 GPUs", "64 GPUs", "1 CPU node", "64 CPU nodes"), 2)
    mosaic = model.Problem(model.SIDE, model.survey(seed=found["predicted"]["seed"]))
    expected = model.predicted(mosaic, "gpu", 8, MEASURED, context="none")
    (row,) = (row for row in found["table"] if (row["name"], row["context"]) == ("8 GPUs", "none"))
    for name, value in expected.items():
        assert row[name] == (pytest.approx(value) if name in ("seconds", "busy") else value), again
    text = "\n".join(model.lines(found))
    assert text.startswith("Predicted, not measured.")
    assert all(f"{name}, context: own" in text for name in names)
