"""`gpures bench`: that it measures what it says, on little, and that nothing that is missing or fails stops it."""

import dataclasses
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from gpures import Resample, bench
from gpures.bench import cases, interleaved, limits, machine, memory, planes, scenes, splat, table
from gpures.bench import plan as plans
from gpures.bench.plan import Plan
from gpures.cli import main
from gpures.extras import install

ROOT = Path(__file__).parents[1]

TINY = Plan(
    backend="cpu",
    repeats=2,
    reference_s=0.0,
    side=64,
    roman_side=64,
    cases=("square, 2100", "err drizzled, DQ", "Roman, sky cell"),
    roman_memory=False,
    outlier_side=48,
    outlier_exposures=3,
    files_side=48,
    files=2,
    memory_side=64,
    input_sides=(32, 64),
    reference_input_sides=(64,),
    frame_sides=(80, 160),
    reference_frame_sides=(80,),
    exposures=6,
    reference_exposures=2,
    exposures_side=32,
    ratios=(0.5, 1.0),
    reference_ratios=(1.0,),
    ratio_side=32,
    curve_side=32,
    curve_files_side=32,
    curve_files=(1, 2),
    curve_frames=(30, 80),
    angles=(0.0, 45.0),
    copied_bytes=1 << 20,
    matrix_side=64,
)


@pytest.fixture(scope="module")
def shown():
    """Everything that `measure` shows."""
    return types.SimpleNamespace(lines=[], told=[], kept=[])


@pytest.fixture(scope="module")
def report(shown):
    """A report of everything, as it comes back from a file; it takes a minute."""

    def keep(found):
        shown.kept.append(json.loads(json.dumps(found)))

    found = bench.measure(TINY, keep=keep, echo=shown.lines.append, tell=shown.told.append)
    return json.loads(json.dumps(found))


def quietly(plan, sections):
    return bench.measure(plan, sections, echo=lambda line: None, tell=lambda words: None)


def blocked(monkeypatch, *packages):
    """Have packages as if they were not installed."""
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)


# ---- what is in the report -------------------------------------------------------------------------------------------


def test_report_has_every_section(report, shown):
    assert list(report) == ["about", *bench.SECTIONS]
    assert bench.failures(report) == []
    about = report["about"]
    assert about["backend"] == "cpu"
    assert about["processor"]
    assert about["commit"]
    assert about["missing"] == []
    assert about["versions"]["stcal"]
    # What is being measured is told before it is, and each row is kept and shown when it is there.
    assert shown.told[0] == "cases: square, 2100 ..."
    assert len(shown.kept) == sum(bool(words) for words in shown.told)
    assert [row["name"] for row in shown.kept[0]["cases"]] == ["square, 2100"]
    assert shown.lines == table.lines(report)


def test_cases(report):
    assert [row["name"] for row in report["cases"]] == list(TINY.cases)
    for row in report["cases"]:
        assert len(row["gpures_all_s"]) == 2 * TINY.repeats
        assert len(row["stcal_all_s"]) == 1
        assert row["gpures_s"] == statistics.median(row["gpures_all_s"]) > 0
        assert row["ratio"] == pytest.approx(row["stcal_all_s"][0] / row["gpures_s"])
        assert row["mpixel_per_s"] == pytest.approx(64**2 / row["gpures_s"] / 1e6)
        assert min(row["first_s"], row["finalize_s"], row["stcal_first_s"], row["stcal_finalize_s"]) > 0
    standard, _, roman = report["cases"]
    assert (standard["frame"], roman["frame"]) == ([66, 66], [78, 78])
    assert roman["ratio_of_scales"] == 0.5


def test_stages_are_parts_of_an_exposure(report):
    for row in report["cases"]:
        spent = row["stages_s"]
        assert {"pixel map", "splat", "other"} <= spent.keys()
        assert all(seconds > 0 for seconds in spent.values())
        assert spent["other"] < 0.7 * sum(spent.values())
        assert 0 < sum(row["finalize_stages_s"].values()) < 1
        assert spent.keys().isdisjoint({"images", "finalize"})


def test_splat_and_threads(report):
    (row,) = report["splat"]
    assert row["gpures_s"] == statistics.median(row["gpures_all_s"])
    assert row["ratio"] == pytest.approx(statistics.median(row["drizzle_all_s"]) / row["gpures_s"])
    assert [row["threads"] for row in report["threads"]] == splat.thread_counts(report["about"]["threads"])
    assert all(row["splat_s"] > 0 for row in report["threads"])


def test_planes_are_measured_in_turns(report):
    rows = report["planes"]
    firsts = [k for k, row in enumerate(rows) if row["over_standard"] == 1.0]
    assert [rows[k]["name"] for k in firsts[:3]] == [
        "standard case",
        "square, half-size pixels",
        "gaussian, equal pixels",
    ]
    assert np.diff([*firsts, len(rows)]).tolist() == [7, 4] + [2] * 10
    for k, row in enumerate(rows):
        standard = rows[max(first for first in firsts if first <= k)]
        assert len(row["gpures_all_s"]) == planes.TURNS * TINY.repeats
        assert row["over_standard"] == pytest.approx(row["gpures_s"] / standard["gpures_s"])
    assert {row["target"] for row in rows if "noise factor" in row["name"]} == {planes.TARGETS[planes.FACTOR]}


def test_memory_of_mosaics(report):
    (row,) = report["memory"]
    assert row["name"] == "square, 250"
    # The accumulators and images of what is touched, and of what they are made; and for stcal of all the frame.
    assert 66**2 * 40 < row["gpures_bytes"] < 30e6
    assert 250**2 * 24 < row["stcal_bytes"] < 60e6


def test_growth(report):
    points = {}
    for row in report["growth"]:
        points.setdefault(row["curve"], []).append((row["x"], row["stcal_s"] is not None))
    assert points == {
        "input pixels": [(32**2, False), (64**2, True)],
        "output frame": [(80**2, True), (160**2, False)],
        "exposures": [(1, True), (2, True), (4, False), (6, False)],
        "scale ratio": [(0.5, False), (1.0, True)],
    }
    last = next(row for row in report["growth"] if row["name"] == "exposures, 6")
    assert last["gpures_s"] == pytest.approx(np.mean(last["gpures_all_s"]))
    frames = [row["frame"] for row in report["growth"] if row["curve"] == "scale ratio"]
    assert frames == [[66, 66], [33, 33]]


def test_limits(report):
    moved, computed = report["limits"]
    # Five images of 4 bytes and a pixel map read; data, weight, variances with theirs, and context, in and out.
    assert moved["amount"] > 64**2 * (5 * 4 + 2 * (8 * 4 + 4))
    assert computed["amount"] == computed["operations_per_pixel"] * 64**2
    for row in report["limits"]:
        assert row["limit_s"] == pytest.approx(row["amount"] / row["per_s"])
        assert row["splat_over_limit"] == pytest.approx(row["splat_s"] / row["limit_s"])
        assert row["add_model_over_limit"] == pytest.approx(row["add_model_s"] / row["limit_s"])


def test_rates():
    assert limits.copy_rate(1 << 22, 2) > 1e8
    rate, threads = limits.matrix_rate(200)
    assert rate > 1e7
    assert 1 <= threads <= (os.cpu_count() or 1)


# ---- table and plot --------------------------------------------------------------------------------------------------


def test_table_has_every_row(report):
    lines = table.lines(report)
    for section in bench.SECTIONS:
        assert table.TITLES[section] in lines
        for row in report[section]:
            (line,) = (line for line in lines if line.startswith(f"{row['name']} "))
            assert "FAILED" not in line
    assert max(map(len, lines)) < 160


@pytest.mark.parametrize("sections", [bench.SECTIONS, ("cases",), ("growth", "limits"), ("splat",), ()])
def test_plot(report, tmp_path, sections):
    """Whatever there is can be drawn; a page with more on it is longer."""
    plot = pytest.importorskip("gpures.bench.plot")
    part = {name: report[name] for name in ("about", *sections)}
    if "growth" in part:
        part["growth"] = [*part["growth"], {"name": "broken", "error": "it broke"}]
    plot.draw(part, tmp_path / "plot.png")
    from matplotlib.image import imread

    image = imread(tmp_path / "plot.png")
    assert image.shape[1] == plot.WIDTH * plot.DPI
    assert (image[..., :3] < 0.9).any()
    assert (image.shape[0] > 10 * plot.DPI) == (sections == bench.SECTIONS)


def test_redraw(report, tmp_path, capsys):
    path = tmp_path / "figures.json"
    path.write_text(json.dumps(report))
    assert main(["bench", "--from", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[: len(table.lines(report))] == table.lines(report)
    assert (tmp_path / "figures.png").stat().st_size > 10_000
    path.write_text("[]")
    assert main(["bench", "--from", str(path)]) == 2
    assert "is no report" in capsys.readouterr().err


def test_numbers_are_readable():
    assert [table.seconds(value) for value in (None, 0.01234, 0.12345, 4.5678, 45.678)] == [
        "-",
        "0.0123",
        "0.123",
        "4.568",
        "45.7",
    ]
    assert (table.times(None), table.times(33.75)) == ("-", "33.8x")


# ---- what is missing, and what fails ---------------------------------------------------------------------------------


def test_without_the_reference_and_matplotlib(monkeypatch, tmp_path, capsys):
    """Their columns are empty, it is said once how to get them, and nothing fails."""
    blocked(monkeypatch, "stcal", "drizzle", "matplotlib")
    monkeypatch.setattr(memory, "in_child", lambda function, *arguments: function(*arguments))
    small = dataclasses.replace(TINY, cases=("square, 2100",), input_sides=(32,), frame_sides=(), ratios=())
    sections = ("cases", "splat", "memory", "growth")
    assert bench.run(small, sections, tmp_path / "new" / "b.json", tmp_path / "new" / "b.png")
    out = capsys.readouterr().out
    for package in ("stcal", "drizzle", "matplotlib"):
        assert out.count(f"{package} is not installed") == 1
    assert out.count(install("bench")) == 3
    assert not (tmp_path / "new" / "b.png").exists()
    report = json.loads((tmp_path / "new" / "b.json").read_text())
    assert report["cases"][0]["gpures_s"] > 0
    assert report["memory"][0]["gpures_bytes"] >= 0
    for section, key in itertools.product(sections, ("stcal_s", "drizzle_s", "stcal_bytes", "ratio")):
        assert all(row.get(key) is None for row in report[section])
    monkeypatch.undo()
    pytest.importorskip("gpures.bench.plot").draw(report, tmp_path / "plot.png")


def test_a_case_that_fails_loses_no_other(monkeypatch, tmp_path, capsys):
    measured = cases.measure

    def measure(case, plan):
        if case.options.get("kernel") == "point":
            raise RuntimeError("no points today")
        return measured(case, plan)

    monkeypatch.setattr(cases, "measure", measure)
    tiny = dataclasses.replace(TINY, cases=("square, 2100",))
    monkeypatch.setattr(plans, "QUICK", tiny)
    monkeypatch.chdir(tmp_path)
    words = ["bench", "--quick", "--backend", "cpu", "--repeats", "1"]
    assert main([*words, "--case", "square, 2100", "--case", "point", "--case", "turbo"]) == 1
    report = json.loads(Path("gpures_bench", "bench.json").read_text())
    assert [row["name"] for row in report["cases"]] == ["square, 2100", "point", "turbo"]
    assert report["cases"][1] == {"name": "point", "error": "RuntimeError: no points today"}
    assert report["about"]["repeats"] == 1
    assert len(report["cases"][2]["gpures_all_s"]) == 2
    assert list(report) == ["about", "cases"]
    captured = capsys.readouterr()
    assert "FAILED: RuntimeError: no points today" in captured.out
    assert "FAILED: point\n" in captured.out
    assert "cases: turbo ..." in captured.err
    assert Path("gpures_bench", "bench.png").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--case", "squares"], "there is no case 'squares', but 'square, 2100'"),
        (["--repeats", "0"], "--repeats must be at least 1, got 0"),
        (["--wcs", "nowhere.asdf"], "there is no file nowhere.asdf"),
        (["--from", "nowhere.json"], "nowhere.json"),
    ],
)
def test_wrong_arguments(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *words]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_unknown_section():
    with pytest.raises(SystemExit):
        main(["bench", "--only", "everything"])


def test_a_gpu_that_is_not_there(monkeypatch, tmp_path, capsys):
    blocked(monkeypatch, "cupy")
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "--backend", "cuda"]) == 2
    assert "gpures bench: " in capsys.readouterr().err


def test_on_a_gpu(host_cuda, capsys):
    """On CuPy's stand-in: exposures are timed a few together, and what has no meaning there is left out."""
    none = {"input_sides": (), "frame_sides": (), "ratios": ()}
    plan = dataclasses.replace(TINY, backend="cuda", cases=("square, 2100",), repeats=1, **none)
    report = bench.measure(plan, ("cases", "splat", "threads", "growth", "limits"), tell=lambda words: None)
    assert bench.failures(report) == []
    assert report["about"]["device"] == "Host"
    assert report["cases"][0]["ratio"] > 0
    assert report["splat"][0]["gpures_s"] > 0
    assert "threads" not in report
    assert capsys.readouterr().out.count("not measured on the backend cuda") == 2


# ---- memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not memory.CLEAR.exists(), reason="needs Linux's /proc")
def test_memory_of_a_known_allocation():
    """What is taken counts at its most, and what was taken and given back before does not."""
    size, method = memory.in_child(known_allocation, 40_000_000)
    assert method == "VmHWM"
    assert 39_500_000 < size < 43_000_000  # the system counts pages in lots


def known_allocation(size):
    """Bytes that `above` finds in making, and giving back, arrays of so many bytes; larger ones came before."""
    np.ones(3 * size, np.uint8)

    def work():
        for _ in range(2):
            np.ones(size, np.uint8)

    return memory.above(work)


def test_memory_without_proc(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "CLEAR", tmp_path / "nowhere" / "clear_refs")
    size, method = memory.above(lambda: None)
    assert method == "ru_maxrss"
    assert 0 <= size < 10_000_000


def test_reference_is_left_out_where_it_does_not_fit(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 10_000_000)
    assert memory.fits(1000, 9_000)
    assert not memory.fits(1000, 9_000, 0.5)
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    assert memory.fits(10**12, 100)


# ---- the scene -------------------------------------------------------------------------------------------------------


def outline(side):
    edge = np.linspace(-0.5, side - 0.5, 40)
    low, high = np.full_like(edge, -0.5), np.full_like(edge, side - 0.5)
    return np.concatenate([edge, edge, low, high]), np.concatenate([low, high, edge, edge])


@pytest.mark.parametrize("name", ["square, 2100", "square, 8000", "Roman, sky cell", "Roman, own scale"])
def test_frames_hold_their_exposures(name):
    """All but the sky cell, which holds the middle of an exposure, and is filled by it."""
    case = cases.CASES[name]
    side, wcs_of = (scenes.LARGE, scenes.roman_wcs) if case.is_roman else (scenes.SMALL, scenes.exposure_wcs)
    wcs = [wcs_of(number, (side, side)) for number in range(3)]
    scene = scenes.Scene([{"wcs": w, "data": np.broadcast_to(0.0, (side, side))} for w in wcs], scenes.VARIANCES)
    frame = cases.case_frame(case, scene)
    assert frame.array_shape == (case.side, case.side)
    for exposure in wcs:
        sky = exposure(*outline(side), with_bounding_box=False)
        x, y = frame.invert(*sky, with_bounding_box=False)
        if name == "Roman, sky cell":
            assert np.all(np.maximum(abs(x - 0.5 * case.side), abs(y - 0.5 * case.side)) > 0.5 * case.side + 1000)
        else:
            assert min(x.min(), y.min()) > 5
            assert max(x.max(), y.max()) < (2100 if not case.is_roman else case.side) - 6


def test_a_frame_has_the_scale_asked_for():
    scene = scenes.nircam(64)
    one, half = (scene.frame(100, ratio) for ratio in (1.0, 0.5))
    distance = [np.hypot(np.diff(w(*np.array([[10.0, 20.0], [30.0, 30.0]]))).ravel()[0], 0) for w in (one, half)]
    assert distance[0] == pytest.approx(2 * distance[1], rel=1e-6)
    resample = Resample({"wcs": half})
    resample.add_model(scene.models[0])
    assert resample.output_model["pixel_scale_ratio"] == pytest.approx(0.5, rel=1e-3)


def test_exposures_under_a_wcs_from_a_file(tmp_path):
    asdf = pytest.importorskip("asdf")
    wcs = scenes.roman_wcs(0, (32, 32))
    path = tmp_path / "wcs.asdf"
    asdf.AsdfFile({"wcs": wcs}).write_to(path)
    scene = scenes.nircam(32, wcs=path)
    at = 3.0, 7.0
    assert scene.models[1]["wcs"](*at) == pytest.approx(wcs(*at))
    row = cases.measure(cases.STANDARD, dataclasses.replace(TINY, side=32, wcs=path, repeats=1))
    assert row["ratio"] > 0


def test_every_case_can_be_measured(monkeypatch):
    """Those of options that gpures does not know are left out."""
    monkeypatch.setattr(interleaved, "installed", lambda package: False)
    names = [name for name, _ in cases.jobs(dataclasses.replace(TINY, cases=None))]
    assert set(names) >= set(cases.CASES) - {"exposure-time map"}
    plan = dataclasses.replace(TINY, cases=tuple(names), repeats=1, side=32, roman_side=32)
    report = quietly(plan, ["cases"])
    assert bench.failures(report) == []
    assert [row["name"] for row in report["cases"]] == names


def test_reference_with_a_map_of_the_exposure_time():
    """Where all is covered, as many exposure times as there are exposures; bad pixels make gaps."""
    reference = interleaved.reference_class()
    if reference is None:
        pytest.skip("stcal is not installed")
    scene = scenes.nircam(64)
    resample = cases.with_exposure_time(reference)({"wcs": scene.frame(80)}, kernel="square")
    for model in scene.models:
        resample.add_model(model)
    inside = resample.exposure_time[25:55, 25:55]
    assert np.median(inside) == pytest.approx(200.0)
    assert set(np.unique(np.round(inside))) <= {0.0, 100.0, 200.0}
    assert resample.exposure_time[:5].max() == 0.0


# ---- the machine -----------------------------------------------------------------------------------------------------


def test_threads_are_set_for_a_while(monkeypatch):
    monkeypatch.delenv("GPURES_NUM_THREADS", raising=False)
    with splat.threads_set(3):
        assert os.environ["GPURES_NUM_THREADS"] == "3"
        with splat.threads_set(5):
            assert os.environ["GPURES_NUM_THREADS"] == "5"
        assert os.environ["GPURES_NUM_THREADS"] == "3"
    assert "GPURES_NUM_THREADS" not in os.environ


@pytest.mark.parametrize(
    ("most", "counts"), [(1, [1]), (3, [1, 2, 3]), (16, [*range(1, 9), 16]), (40, [*range(1, 9), 16, 32, 40])]
)
def test_thread_counts(most, counts):
    assert splat.thread_counts(most) == counts


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_commit_is_of_a_checkout_of_gpures(tmp_path):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]

    def git(*words):
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    assert machine.commit(tmp_path) is None
    git("init")
    git("commit", "--allow-empty", "-m", "one")
    assert machine.commit(tmp_path) is None  # some other program's
    folder = tmp_path / "gpures" / "bench"
    folder.mkdir(parents=True)
    shutil.copy(machine.__file__, folder)
    git("add", ".")
    git("commit", "-m", "two")
    found = machine.commit(folder)
    assert len(found) >= 7
    (folder / "machine.py").write_text("")
    assert machine.commit(folder) == f"{found}-dirty"


def test_machine_needs_nothing_installed():
    """benchmarks/gpu.py runs it where gpures is not installed yet."""
    program = "import runpy, sys; print(runpy.run_path(sys.argv[1])['processor']())"
    command = [sys.executable, "-I", "-S", "-c", program, str(ROOT / "gpures" / "bench" / "machine.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == machine.processor()
