"""The proof on a GPU (benchmarks/gpu.py), as far as it can be proved without one: on the stand-in for CuPy."""

import contextlib
import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from benchmarked_cuda import as_benchmarks_ask
from cuda_on_host import HostArray

from gpures.backend.base import MosaicLayout
from gpures.exposure.exposure import Exposure
from gpures.exposure.pixmap import PixelMap
from gpures.exposure.weights import Weight

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def load(name):
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


gpu, gpu_figures = load("gpu"), load("gpu_figures")

SHAPE = (40, 44)


@pytest.fixture
def device(host_cuda):
    """The stand-in, with what the benchmark asks of CuPy and gpures does not. Every kernel takes a millisecond."""
    return as_benchmarks_ask(host_cuda)


@pytest.fixture(scope="module")
def case():
    models = [gpu_figures.make_model(k, SHAPE) for k in range(3)]
    return gpu_figures.Case("square", models, gpu_figures.frame_wcs(SHAPE))


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    return gpu.Site(sys.executable, folder, folder / "environment")


def script(path, text):
    """An executable that runs a text in Python."""
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return str(path)


# ---- figures ---------------------------------------------------------------------------------------------------------


def test_bytes_of_an_exposure_by_hand():
    variance = np.ones((4, 5), np.float32)
    exposure = Exposure(
        data=np.ones((4, 5), np.float32),
        pixmap=PixelMap.from_array(np.ones((4, 5, 2))),
        weight=Weight(variance=variance),
        limits=(0, 4, 0, 3),
        dq=np.ones((4, 5), np.uint16),
        variances={"var_rnoise": variance, "var_flat": np.ones((4, 5), ">f8")},
    )
    # Data 4, DQ 2, the read noise that is the weight as well 4, flat 8, and the map 16 bytes for each of 20 pixels.
    read = 20 * (4 + 2 + 4 + 8 + 16)
    window = (10, 15, 20, 22)  # 6 x 3 pixels
    # Data, weight, two variances and their weights, and the context: 4 bytes each, once in and once out.
    frame = MosaicLayout((100, 100), variance_names=("var_rnoise", "var_flat"))
    assert gpu_figures.least_bytes(exposure, frame, window) == read + 18 * 2 * (6 * 4 + 4)
    # In float64, without context but with DQ, and with an error.
    exposure.err = np.ones((4, 5), np.float32)
    frame = MosaicLayout(
        (100, 100),
        variance_names=("var_rnoise", "var_flat"),
        context_planes=0,
        has_err=True,
        has_dq=True,
        dtype=np.dtype(float),
    )
    assert gpu_figures.least_bytes(exposure, frame, window) == read + 20 * 4 + 18 * 2 * (7 * 8 + 4)


def test_exposures_lie_within_the_frame():
    for side in (gpu_figures.SMALL, gpu_figures.LARGE):
        frame = gpu_figures.frame_wcs((side, side))
        edge = np.linspace(0, side - 1, 50)
        x, y = (
            np.concatenate([edge, edge, 0 * edge, 0 * edge + side - 1]),
            np.concatenate([0 * edge, 0 * edge, edge, edge]),
        )
        y[:50], y[50:100] = 0, side - 1
        for number in (0, 5):
            at = frame.invert(*gpu_figures.exposure_wcs(number, (side, side))(x, y), with_bounding_box=False)
            assert np.min(at) > 5
            assert np.max(at) < frame.array_shape[0] - 6


def test_small_mosaic(device):
    found = gpu_figures.small_mosaic(kernels=("square", "lanczos3"))
    assert found["kernels"] == 2
    assert 0 < found["largest_difference"] < 1e-5
    assert device.allocators == [None]


def test_small_mosaic_covers_what_it_should():
    spline, turned, right, left = gpu_figures.small_exposures((96, 100))
    assert spline.pixmap.spline is not None
    ny, nx = gpu_figures.frame_wcs((96, 100)).array_shape
    for exposure, beyond in ((turned, False), (right, True), (left, True)):
        x, y = exposure.pixmap.full[..., 0], exposure.pixmap.full[..., 1]
        inside = (x > 0) & (x < nx) & (y > 0) & (y < ny)
        assert inside.sum() > 500
        assert (inside.sum() < 8000) == beyond
    assert {exposure.context_id // 32 for exposure in (spline, turned, right, left)} == {0, 1}
    assert not turned.data.flags.c_contiguous
    assert left.data.dtype == ">f8"


def test_small_mosaic_finds_a_wrong_kernel(device, monkeypatch):
    monkeypatch.setattr(HostArray, "get", lambda array: array._host * 2)
    with pytest.raises(AssertionError, match="turbo"):
        gpu_figures.small_mosaic(kernels=("turbo",))


def test_ceilings(device):
    found = gpu_figures.copy_rate(device, 100_000, 3)
    assert found == {"copied_bytes": 100_000, "bytes_per_s": pytest.approx(2e8)}
    assert gpu_figures.pinned_rate(device, 1000, 3)["bytes_per_s"] == pytest.approx(1e6)
    rates = gpu_figures.host_copy_rate(device, 10_000, [1, 3], 2)
    assert set(rates) == {"bytes_per_s_1_threads", "bytes_per_s_3_threads"}
    assert all(rate > 0 for rate in rates.values())


def test_memory_is_filled_to_its_end(device):
    size = 65 * gpu_figures.MIB + 7
    array = gpu_figures.filled(device, size)
    block = gpu_figures.noise(64 * gpu_figures.MIB)
    assert np.array_equal(array._host, np.concatenate([block, block])[:size])


def test_kernels_are_timed_each(device, case):
    found = gpu_figures.kernels(case, 3, bytes_per_s=1e9, filler_bytes=1000)
    assert found["splat_s"] == found["fold_s"] == pytest.approx(1e-3)
    assert found["kernels_s"] == pytest.approx(2e-3)
    assert found["floor_s"] == found["least_bytes"] / 1e9
    assert found["floor_over_measured"] == pytest.approx(found["floor_s"] / 2e-3)
    # Five images of 4 bytes, of which one serves twice; the frame's window is at least as large as the exposure.
    pixels = SHAPE[0] * SHAPE[1]
    assert found["least_bytes"] > pixels * (5 * 4 + 2 * (8 * 4 + 4))
    assert found["sums_bytes"] % (8 * 5) == 0
    assert found["sums_bytes"] >= 8 * 5 * pixels


def test_launches_are_timed_in_order(device, case):
    resample = case.begin(backend="cuda")
    with gpu_figures.launches_timed(device, 1000) as launches:
        resample.add_model(case.models[0])
    assert [name for name, *_ in launches] == ["splat_square_4", "fold_f4"]
    resample.add_model(case.models[1])
    assert len(launches) == 2  # as before, afterwards


def test_transfer(device, case):
    found = gpu_figures.transfer(case, 2)
    # Data and three variances, which pixels are bad, and a pixel map of every pixel.
    assert found["uploaded_bytes"] == SHAPE[0] * SHAPE[1] * (4 * 4 + 16) + SHAPE[0] * -(-SHAPE[1] // 8)
    assert found["bytes_per_s"] == pytest.approx(found["uploaded_bytes"] / found["upload_s"])
    assert found["streamed_bytes_per_s"] > 0


def test_parts_of_the_host(device, case):
    found = gpu_figures.host_parts(case, 2)
    assert set(found) == {*gpu_figures.HOST_PARTS, "rest_s", "add_model_s"}
    assert all(found[part] > 0 for part in gpu_figures.HOST_PARTS)
    assert sum(found[part] for part in gpu_figures.HOST_PARTS) + found["rest_s"] == pytest.approx(found["add_model_s"])


def test_construction(device):
    found = gpu_figures.construction(SHAPE)
    assert list(found) == ["import_cupy_s", "context_s", "construct_s", "first_exposure_s", "second_exposure_s"]
    assert all(seconds >= 0 for seconds in found.values())


def test_memory_of_many(device):
    found = gpu_figures.memory(SHAPE, 6, warm_up=3)
    assert found["pool_grew"] is False
    assert found["pool_used_after_bytes"] > 0
    assert found["resident_after_bytes"] > 1e6
    grow, kept = gpu_figures.Case.next_models, []

    def leaking(case, count):
        kept.append(device.empty(10_000, np.uint8))
        return grow(case, count)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu_figures.Case, "next_models", leaking)
        assert gpu_figures.memory(SHAPE, 6, warm_up=3)["pool_grew"] is True


def test_device_arrays_are_not_uploaded(device, case):
    found = gpu_figures.end_to_end(gpu_figures.on_the_device(device, case), 2, 1)
    assert found["uploaded_bytes"] == SHAPE[0] * SHAPE[1] * 16  # the pixel map alone


def test_compared():
    reference = {"wht": np.array([1.0, 2.0, 1e-9]), "data": np.array([1.0, np.nan, 5.0]), "con": np.array([1, 2, 3])}
    images = {"wht": np.array([1.0, 2.1, 1e-9]), "data": np.array([1.0, np.nan, 6.0]), "con": np.array([1, 2, 3])}
    found = gpu_figures.compared(images, reference)
    assert found == {
        "wht_largest_difference": pytest.approx(0.05),
        "data_largest_difference": pytest.approx(0.2),
        "con_equal": True,
        "nan_equal": True,
    }
    assert gpu_figures.compared(images, reference, 0.01)["data_largest_difference"] == 0.0
    images["data"][0], images["con"][0] = np.nan, 0
    found = gpu_figures.compared(images, reference)
    assert (found["con_equal"], found["nan_equal"]) == (False, False)


def test_versions(device, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    script(tmp_path / "nvidia-smi", "print('580.1')")
    found = gpu_figures.versions()
    assert (found["device"], found["capability"], found["driver"], found["nvrtc"]) == ("Host", "9.0", "580.1", "13.0")
    assert found["memory_bytes"] == device.memory
    assert found["gpures"]
    (tmp_path / "nvidia-smi").unlink()
    assert gpu_figures.versions()["driver"] == "unknown"


@pytest.mark.filterwarnings("ignore:Kernel 'lanczos3' is not:UserWarning")
def test_all_figures(device, tmp_path, monkeypatch):
    """Everything is in the file, and what fails leaves its reason there and the rest in peace."""
    monkeypatch.setattr(gpu_figures, "constructions", lambda: 1 / 0)
    plan = gpu_figures.Plan(
        sides=(40, 48),
        models=(3, 2),
        kernels=("square", "lanczos3"),
        exposures=2,
        rounds=1,
        cpu_exposures=1,
        stcal_exposures=(1, 0),
        many=3,
        copied_bytes=100_000,
    )
    figures = gpu_figures.Figures(tmp_path / "figures.json")
    gpu_figures.all_figures(figures, plan)
    found = json.loads((tmp_path / "figures.json").read_text())
    assert figures.failed
    assert found["start"]["construction"] == {"error": "ZeroDivisionError: division by zero"}
    errors = [part for case in found.values() for part in case.values() if "error" in part]
    assert len(errors) == 1
    assert list(found) == ["ceilings", "square_40", "start", "many", "lanczos3_40", "square_48"]
    assert set(found["square_40"]) > {"add_model", "transfer", "kernels", "host", "device_arrays", "cpu", "stcal"}
    assert found["square_40"]["accuracy"]["con_equal"]
    assert set(found["square_40"]["targets"]) >= {
        "add_model_times_stcal",
        "upload_over_pinned_rate",
        "kernels_floor_over_measured",
    }
    assert "stcal" not in found["square_48"]

    lines = gpu.table(found)
    assert all(len(line) < 140 for line in lines)
    assert sum("target" in line for line in lines) >= 5
    assert any("division by zero" in line for line in lines)


def test_targets():
    case = {
        "stcal": {"per_exposure_s": 9.0},
        "add_model": {"per_exposure_s": 0.02},
        "add_models": {"error": "broken"},
        "transfer": {"bytes_per_s": 45e9},
        "kernels": {"floor_over_measured": 0.4},
    }
    found = gpu_figures.targets(case, {"pinned": {"bytes_per_s": 50e9}})
    assert found == {
        "add_model_times_stcal": {"value": 450.0, "target": 1000.0, "reached": False},
        "upload_over_pinned_rate": {"value": 0.9, "target": 0.9, "reached": True},
        "kernels_floor_over_measured": {"value": 0.4, "target": 0.6, "reached": False},
    }
    assert gpu_figures.targets({}, {}) == {}


# ---- stages ----------------------------------------------------------------------------------------------------------

REPORT = """<?xml version="1.0"?>
<testsuites><testsuite name="pytest" errors="1" failures="1" skipped="1" tests="4">
<testcase classname="tests.test_a" name="test_one[cuda]" time="0.1"/>
<testcase classname="tests.test_a" name="test_two" time="0.1"><failure message="assert 1 == 2&#10;more">...</failure>
</testcase>
<testcase classname="tests.test_b" name="test_three"><skipped message="no GPU" type="pytest.skip"/></testcase>
<testcase classname="" name="tests.test_c"><error message="collection failure">ImportError</error></testcase>
</testsuite></testsuites>"""


def test_packages_that_a_file_imports(tmp_path):
    """Those that it can't be read without: at its head, and not within its functions; and of files beside it."""
    path = tmp_path / "test_this.py"
    path.write_text("import a.b as c, d\nfrom e.f import g\nfrom . import h\ndef k():\n    import l\n")
    (tmp_path / "d.py").write_text("import m\n")
    assert gpu.imported_by(path) == {"a", "d", "e", "m"}


def test_report_of_the_tests():
    assert gpu.junit_counts(REPORT) == {
        "passed": 1,
        "failed": 1,
        "errors": 1,
        "skipped": 1,
        "failures": ["tests.test_a::test_two: assert 1 == 2", "::tests.test_c: collection failure"],
    }


@pytest.mark.parametrize(
    ("output", "errors"),
    [
        ("========= COMPUTE-SANITIZER\nhello\n========= ERROR SUMMARY: 0 errors\n", 0),
        ("========= Invalid __global__ read of size 4 bytes\n========= ERROR SUMMARY: 1 error\n", 1),
        ("========= RACECHECK SUMMARY: 3 hazards displayed (1 error, 2 warnings)\n", 3),
        ("========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n", 0),
        ("========= ERROR SUMMARY: 2 errors\n========= ERROR SUMMARY: 5 errors\n", 7),
        ("========= Error: Device not supported\n", None),
    ],
)
def test_summary_of_the_sanitizer(output, errors):
    assert gpu.sanitizer_errors(output) == errors


def fake_stages(monkeypatch, **functions):
    monkeypatch.setattr(gpu, "STAGES", {name: (function, 1.0) for name, function in functions.items()})
    return list(functions)


def test_stages_do_not_stop_each_other(site, monkeypatch, tmp_path, capsys):
    out = tmp_path / "out.json"
    report, seen = {}, []

    def write():
        gpu.write_json(out, report)

    def good(at, limit_s, progress):
        seen.append(json.loads(out.read_text()))
        return {"figure": 1}

    def bad(at, limit_s, progress):
        seen.append(json.loads(out.read_text()))
        gpu.run(at, [sys.executable, "-c", "print('the last words'); 1 / 0"], limit_s).check("it", {"half": 5})

    def wrong(at, limit_s, progress):
        raise KeyError("typo")

    def slow(at, limit_s, progress):
        progress({"so far": 2})
        seen.append(json.loads(out.read_text()))
        gpu.run(at, [sys.executable, "-c", "import time; print('begun', flush=True); time.sleep(60)"], 1.0).check("it")

    names = fake_stages(monkeypatch, install=lambda *_: {}, good=good, bad=bad, wrong=wrong, slow=slow)
    assert not gpu.run_stages(site, names, report, write, 60.0, no_gpu=lambda *_: None)
    assert [list(one) for one in seen] == [
        ["install"],
        ["install", "good"],
        ["install", "good", "bad", "wrong", "slow"],
    ]
    assert seen[2]["slow"] == {"so far": 2}
    found = json.loads(out.read_text())
    assert found["good"]["ok"]
    assert found["good"]["figure"] == 1
    assert (found["bad"]["error"], found["bad"]["half"]) == ("it: exit status 1", 5)
    assert "the last words" in found["bad"]["tail"]
    assert "ZeroDivisionError" in found["bad"]["tail"]
    assert found["wrong"]["error"] == "KeyError: 'typo'"
    assert found["slow"]["error"].startswith("it: over its limit, after")
    assert "begun" in found["slow"]["tail"]
    assert found["slow"]["seconds"] < 10
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == names


def test_time_that_is_left_goes_to_the_later_stages(site, monkeypatch):
    limits = {}

    def stage(name):
        def run(at, limit_s, progress):
            limits[name] = limit_s
            return {}

        return run

    names = fake_stages(monkeypatch, install=stage("install"), tests=stage("tests"), last=stage("last"))
    assert gpu.run_stages(site, names, {}, lambda: None, 90.0, no_gpu=lambda *_: None)
    assert limits == {
        "install": pytest.approx(30.0, rel=0.01),
        "tests": pytest.approx(45.0, rel=0.01),
        "last": pytest.approx(90.0, rel=0.01),
    }


def test_a_command_that_is_ended_may_finish(site):
    """As pytest does, whose report is written then; what a command has started ends with it."""
    code = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
print(child.pid, flush=True)
try:
    time.sleep(100)
except KeyboardInterrupt:
    print("finished")
"""
    done = gpu.run(site, [sys.executable, "-c", code], 1.0)
    assert done.status is None
    pid, word = done.output.split()[:2]
    assert word == "finished"
    with contextlib.suppress(FileNotFoundError):  # when nobody has it any more
        for _ in range(100):
            state = Path("/proc", pid, "stat").read_text().split()[2]
            if state == "Z":  # ended, and not yet collected
                break
            time.sleep(0.05)
        assert state == "Z"


def test_figures_survive_the_limit(site, tmp_path):
    code = """
import json, sys, time
json.dump({"ceilings": {"device": {"bytes_per_s": 4e12}}}, open(sys.argv[3], "w"))
time.sleep(60)
"""
    site.python = script(tmp_path / "python", code)
    progress = []
    with pytest.raises(gpu.StageError, match="over its limit") as caught:
        gpu.benchmark(site, 1.5, lambda found: progress.append(found))
    assert caught.value.found == progress[-1] == {"ceilings": {"device": {"bytes_per_s": 4e12}}}


@pytest.mark.parametrize("races", [0, 2])
def test_sanitizer_stage(site, tmp_path, monkeypatch, races):
    """Which tools run on what, and what comes of it."""
    site.python = script(tmp_path / "python", "import sys; open(sys.argv[3], 'w').write('{\"exposures\": 4}')")
    code = f"""
import sys
tool = sys.argv[2]
print(*sys.argv[1:])
summary = {{"racecheck": "RACECHECK SUMMARY: {races} hazards displayed ({races} errors, 0 warnings)"}}
print("=========", summary.get(tool, "ERROR SUMMARY: 0 errors"))
"""
    script(tmp_path / "compute-sanitizer", code)
    monkeypatch.setenv("PATH", str(tmp_path))
    if races:
        with pytest.raises(gpu.StageError) as caught:
            gpu.sanitizer(site, 30.0, lambda found: None)
        assert "--tool racecheck" in caught.value.tail
        found = caught.value.found
    else:
        found = gpu.sanitizer(site, 30.0, lambda found: None)
    assert [found[f"{tool}_errors"] for tool in gpu.TOOLS] == [0, races, 0]
    assert found["exposures"] == 4


def test_sanitizer_that_is_not_there(site, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(gpu.shutil, "which", lambda *_, **__: None)
    found = gpu.sanitizer(site, 30.0, lambda found: None)
    assert found == {"summary": "compute-sanitizer: not found"}


def test_the_filter_of_kernels_knows_them_all():
    """Every kernel's name begins with one that initcheck is told of."""
    sources = "".join((BENCHMARKS.parent / "kernels" / "cuda" / name).read_text() for name in ("mosaic.cu", "splat.cu"))
    names = [line.split("void ")[1].split("(")[0] for line in sources.splitlines() if line.startswith('extern "C"')]
    names = [name for name in names if "launch_bounds" not in name]
    assert len(names) >= 8
    assert all(name.startswith(gpu.OWN_KERNELS) for name in names), names


def test_no_wheels(site, tmp_path):
    site.wheels = tmp_path
    with pytest.raises(gpu.StageError, match="there are no wheels"):
        gpu.install(site, 10.0, lambda found: None)


@pytest.mark.ptx
def test_rehearsal(tmp_path):
    """The whole command on the interpreter of PTX: every stage comes to its end and leaves its part of the report."""
    out = tmp_path / "gpu.json"
    command = [sys.executable, "-P", gpu.__file__, "--rehearse", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(out.read_text())
    assert found["rehearsed"]
    assert found["device"] == "Rehearsal, of a processor named H100"
    assert all(found[name]["ok"] for name in gpu.STAGES)
    assert found["versions"]["driver"] == "999.99"
    assert found["tests"]["passed"] >= 4
    assert [found["sanitizer"][f"{tool}_errors"] for tool in gpu.TOOLS] == [0, 0, 0]
    figures = found["benchmark"]
    assert set(figures) == {"ceilings", "square_40", "start", "many", "turbo_40", "square_48"}
    assert not [part for case in figures.values() for part in case.values() if "error" in part]
    assert figures["square_40"]["accuracy"]["con_equal"]
    assert figures["square_40"]["deterministic"]["splat_s"] == 2 * figures["square_40"]["kernels"]["splat_s"]
    assert "predicted for H100 SXM" in done.stdout


def test_without_a_gpu(tmp_path, monkeypatch, capsys):
    """The whole command: a reason in each stage, and no success."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    out = tmp_path / "gpu.json"
    assert gpu.main(["--out", str(out), "--commit", "abc", "--limit", "100"]) == 1
    found = json.loads(out.read_text())
    assert (found["commit"], found["device"]) == ("abc", None)
    assert found.pop("install")["ok"]
    stages = [found[name] for name in gpu.STAGES if name != "install"]
    assert all(stage["error"].startswith("no GPU") and not stage["ok"] for stage in stages)
    assert capsys.readouterr().out.count("FAILED: no GPU") == len(stages) == 5
