"""The documentation: its examples, and those of docstrings, give what they show; its pages build without a warning."""

from __future__ import annotations

import doctest
import importlib
import json
import pkgutil
import sys
from pathlib import Path

import pytest
from docutils.core import publish_doctree
from docutils.parsers.rst import directives, roles

import gpures

ROOT = Path(__file__).parents[1]
PAGES = sorted(path.name for path in (ROOT / "docs").glob("*.rst") if ">>>" in path.read_text())
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

sys.path.append(str(ROOT / "docs"))

import facts  # noqa: E402


def modules_with_examples() -> list[str]:
    """Modules of the package in whose source an example stands."""
    folder = ROOT / "gpures"
    names = [module.name for module in pkgutil.walk_packages([str(folder)], "gpures.", onerror=lambda name: None)]
    paths = {name: folder.joinpath(*name.split(".")[1:]) for name in ["gpures", *names]}
    sources = {
        name: path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
        for name, path in paths.items()
    }
    return [name for name, path in sources.items() if path.is_file() and ">>>" in path.read_text()]


@pytest.mark.parametrize("page", PAGES)
def test_examples_of_pages(page, tmp_path, monkeypatch):
    """Each page's examples give, in their order, what the page shows; files are written to an empty folder."""
    monkeypatch.chdir(tmp_path)
    result = doctest.testfile(str(ROOT / "docs" / page), module_relative=False, optionflags=FLAGS)
    assert result.attempted > 0
    assert result.failed == 0


def test_pages_are_found():
    """The pages with examples are those that one expects, so that none is lost by its name."""
    assert {"index.rst", "tutorial.rst", "troubleshooting.rst"} <= set(PAGES)


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_of_docstrings(name, tmp_path, monkeypatch):
    """Examples in docstrings give what they show."""
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(importlib.import_module(name), optionflags=FLAGS).failed == 0


def test_public_classes_have_examples():
    """What the package is for is shown where people look it up."""
    assert "gpures.resample.resampler" in modules_with_examples()
    assert ">>>" in gpures.Resample.__doc__


REPORT = {
    "about": {
        "commit": "1234567",
        "backend": "cpu",
        "date": "2020-02-02",
        "processor": "A Processor",
        "threads": 2,
        "cpus": 4,
        "device": None,
        "python": "3.13",
        "versions": {"numpy": "2.4", "stcal": None},
    },
    "cases": [
        {
            "name": "square, 2100",
            "gpures_s": 0.0625,
            "stcal_s": 2.0,
            "ratio": 32.0,
            "mpixel_per_s": 67.1,
            "first_s": 0.125,
            "finalize_s": 0.01,
        },
        {"name": "one that failed", "error": "MemoryError"},
    ],
}


def text_of(page, monkeypatch, folder):
    """What a page with facts says, and what is wrong with it."""
    monkeypatch.setattr(facts, "RESULTS", folder)
    directives.register_directive("measured", facts.Measured)
    roles.register_local_role("test", facts.test_role)
    return publish_doctree(page, settings_overrides={"report_level": 5}).astext()


def test_figures_come_from_the_reports(tmp_path, monkeypatch):
    """A section's table has each report's numbers as gpures bench shows them, and where they are from."""
    (tmp_path / "here.json").write_text(json.dumps(REPORT))
    (tmp_path / "of_another_kind.json").write_text("{}")
    words = text_of(".. measured:: cases\n", monkeypatch, tmp_path).split("\n")
    numbers = [word for word in words if word]
    assert numbers[:7] == ["gpures, s", "stcal, s", "ratio", "Mpixel/s", "first, s", "finalize, s", "square, 2100"]
    assert numbers[7:13] == ["0.0625", "2.000", "32.0x", "67.1", "0.125", "0.0100"]
    assert "1234567" in numbers[13]
    assert "here.json" in numbers[13]
    assert not any("failed" in word for word in words)


def test_figures_that_are_not_there_are_not_made_up(tmp_path, monkeypatch):
    """A section that no report has is said to be missing, with the command that measures it."""
    (tmp_path / "here.json").write_text(json.dumps(REPORT))
    assert "gpures bench --only growth" in text_of(".. measured:: growth\n", monkeypatch, tmp_path)


def test_predictions_are_those_of_the_report(tmp_path, monkeypatch):
    """Tables of docs/scale.rst have the report's numbers, and say that these are no measurements."""
    row = {"name": "3 GPUs", "kind": "gpu", "units": 3, "context": "all", "tiles": 77, "fits": False, "seconds": 90.0}
    names = ("read", "moved", "moved_between_nodes", "merged", "written")
    row |= {"bytes": {name: (k + 1) * 1.5e12 for k, name in enumerate(names)}}
    row |= {"limited_by": "host", "busy": {"host": 0.25}}
    report = {
        "predicted": {"date": "2020-02-02", "commit": "1234567"},
        "rates": {
            "assumed": [["disk", 1.25e9, "bytes/s", "a guess"]],
            "measured": {"pass": 0.125},
            "sources": {"pass": "some key"},
        },
        "table": [row],
        "ways": [row],
        "workers": [
            {"kind": "gpu", "context": "all", "stops_at": 3, "rows": [row, row | {"units": 6, "seconds": 60.0}]}
        ],
    }
    (tmp_path / "scale_model.json").write_text(json.dumps(report))
    directives.register_directive("predicted", facts.Predicted)
    expected = {
        "table": ["3 GPUs", "all", "77", "1.5", "3", "4.5", "6", "7.5", "1.5", "host, 25%; too little memory"],
        "ways": ["64 GPUs: 3 GPUs", "1.5", "3", "6", "1.5", "host, 25%; too little memory"],
        "stops": ["GPUs", "all", "3, 1.5 min", "6, 1 min", "host, 25%; too little memory"],
        "rates": ["disk", "1.25e+09 bytes/s", "assumed: a guess", "pass", "0.125", "cpu.json, some key"],
    }
    for section, cells in expected.items():
        text = text_of(f".. predicted:: {section}\n", monkeypatch, tmp_path)
        words = [word for word in text.split("\n") if word]
        assert words[-1] == "Predicted, not measured: 2020-02-02, commit 1234567 (benchmarks/results/scale_model.json)."
        assert words[-1 - len(cells) : -1] == cells


def test_predictions_of_gpus(tmp_path, monkeypatch):
    """The table of docs/performance.rst has the report's numbers, in milliseconds, and says what they are."""
    of_angle = {"upload_s": 1.25e-3, "kernels_s": 2.5e-3, "seconds": 3.5e-3, "limited_by": "float64"}
    card = {"source": "a paper", **dict.fromkeys(("rotations", "single"), dict.fromkeys(("0", "1", "20"), of_angle))}
    report = {"predicted": {"date": "2020-02-02", "commit": "1234567"}, "cards": {"A1": card}}
    (tmp_path / "gpu_model.json").write_text(json.dumps(report))
    directives.register_directive("predicted", facts.Predicted)
    words = [word for word in text_of(".. predicted:: gpus\n", monkeypatch, tmp_path).split("\n") if word]
    assert words[-1] == "Predicted, not measured: 2020-02-02, commit 1234567 (benchmarks/results/gpu_model.json)."
    assert words[-12:-1] == ["A1", "1.2", *["2.5", "3.5, float64"] * 3, "2.5", "2.5", "a paper"]


def test_measured_on_gpus(tmp_path, monkeypatch):
    """The table of docs/performance.rst has the report's figures, and says of what device they are."""
    case = {
        "add_model": {"per_exposure_s": 6e-3},
        "add_models": {"per_exposure_s": 5e-3},
        "stcal": {"per_exposure_s": 4},
    }
    case["kernels"] = {"splat_s": 4.3e-4, "fold_s": 3.1e-4}
    ceilings = {"device": {"bytes_per_s": 4e12}, "pinned": {"bytes_per_s": 5e10}}
    ceilings["host_copy"] = {"bytes_per_s_1_threads": 1e9, "bytes_per_s_2_threads": 2e9}
    told = {"device": "A1", "driver": "1.2", "cupy": "14", "threads": 2, "processor": "a processor"}
    report = {"versions": told, "benchmark": {"ok": True, "ceilings": ceilings, "square_64": case}}
    (tmp_path / "gpu-a1.json").write_text(json.dumps(report | {"date": "2020-02-02", "commit": "123456789"}))
    (tmp_path / "gpu_model.json").write_text("{}")
    directives.register_directive("measured", facts.Measured)
    words = [word for word in text_of(".. measured:: gpus\n", monkeypatch, tmp_path).split("\n") if word]
    text = " ".join(words)
    assert f"square, 64 6.0 ms 5.0 ms 0.43, 0.31 ms 4.0 s 800{TIMES}" in " ".join(text.split())
    assert "A1, driver 1.2, CuPy 14, 2 threads of a processor; memory of the device copied at 4e+03 GB/s" in text
    assert "2020-02-02, commit 1234567 (benchmarks/results/gpu-a1.json)." in text


def test_figures_of_gpus_in_the_readme():
    """They are those of benchmarks/results, all of them."""
    readme = (ROOT / "README.md").read_text()
    report = json.loads((facts.RESULTS / "gpu-h200.json").read_text())
    rows = [f"| {name.replace('_', ', ')}² | {' | '.join(cells)} |\n" for name, cells in facts.gpu_rows(report)]
    assert len(rows) > 5
    assert "".join(rows) in readme
    host = report["benchmark"]["square_2048"]["cpu"]["per_exposure_s"]
    assert f'`backend="cpu"` takes {1e3 * host:.0f} ms for the first row' in " ".join(readme.split())


def test_figures_of_parts(tmp_path, monkeypatch):
    """What a report of everything has not is taken from those of parts, and only that."""
    row = {"name": "save / zarr alone", "unit": "s", "amount": 3.0, "beside": 2.0, "ratio": 1.5}
    row |= {"target": 2.0, "at_least": False, "reached": True}
    about = REPORT["about"] | {"commit": "of_a_part"}
    (tmp_path / "here.json").write_text(json.dumps(REPORT))
    (tmp_path / "part.json").write_text(json.dumps({"about": about, "scale": [row]}))
    words = text_of(".. measured:: scale\n", monkeypatch, tmp_path).split("\n")
    assert [word for word in words if word][5:11] == [row["name"], "3.000 s", "2.000 s", "1.50x", "<= 2x", "yes"]
    (tmp_path / "here.json").write_text(json.dumps(REPORT | {"scale": [row | {"reached": False}]}))
    words = text_of(".. measured:: scale\n", monkeypatch, tmp_path)
    assert "1234567" in words
    assert "of_a_part" not in words


def test_names_of_tests_are_those_of_tests(tmp_path, monkeypatch):
    """A test that a page names is shown with its file; one that there is not, or not once, is an error of the page."""
    known = text_of(":test:`test_names_of_tests_are_those_of_tests`", monkeypatch, tmp_path)
    assert known == "test_docs.py::test_names_of_tests_are_those_of_tests"
    assert "There is no test 'test_of_nothing'" in text_of(":test:`test_of_nothing`", monkeypatch, tmp_path)
    assert "There are several tests 'test_limits'" in text_of(":test:`test_limits`", monkeypatch, tmp_path)


TIMES = "\N{MULTIPLICATION SIGN}"

# Rows of the README, by the cases of benchmarks/results/cpu.json.
CASES = {
    "square, 2100": "frame of 2100²",
    "square, 8000": "frame of 8000²",
    "every pixel of the WCS": "WCS at every pixel (`pixmap_tolerance=0`)",
    "data only": "data only, no variances",
    "err drizzled, DQ": "err drizzled, and DQ",
    "exposure-time map": "exposure-time map",
    "pixfrac 0.7": "`pixfrac=0.7`",
    **{kernel: f'`kernel="{kernel}"`' for kernel in ("point", "turbo", "gaussian", "lanczos2", "lanczos3")},
    "Roman, sky cell": "Roman-like, 4088² onto a sky cell of 5000²",
}


def test_figures_of_the_readme():
    """They are those of benchmarks/results, rounded."""
    readme = (ROOT / "README.md").read_text()
    results = {path.stem: json.loads(path.read_text()) for path in facts.RESULTS.glob("cpu*.json")}
    cases = {row["name"]: row for row in results["cpu"]["cases"]}

    def short(number):
        return f"{number:.2f}" if number < 1 else f"{number:.1f}"

    for name, words in CASES.items():
        row = cases[name]
        ratio = f"{row['ratio']:.0f}" if row["ratio"] >= 10 else f"{row['ratio']:.1f}"
        assert f"| {words} | {short(row['gpures_s'])} s | {row['stcal_s']:.1f} s | {ratio}{TIMES} |\n" in readme
    table = readme.partition("| case | gpures | stcal | stcal / gpures |\n")[2].partition("\n\n")[0]
    assert table.count("\n") == len(CASES)
    (splat,), memory = results["cpu"]["splat"], results["cpu"]["memory"][0]
    text = " ".join(readme.split())
    assert f"pass alone takes {1e3 * splat['gpures_s']:.0f} ms" in text
    assert f"it replaces {splat['drizzle_s']:.1f} s: {splat['ratio']:.0f}{TIMES}" in text
    used, theirs = (memory[f"{name}_bytes"] / 2**30 for name in ("gpures", "stcal"))
    assert f"take {used:.1f} GiB above their inputs, where stcal takes {theirs:.1f} GiB" in text
    (outliers,) = results["cpu_outliers"]["outliers"]
    assert f"ten exposures of 2048² take {outliers['ratio']:.0f} times less" in text
