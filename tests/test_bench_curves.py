"""`gpures bench --curves`: that it measures what it says, on little, and draws it."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from test_bench import TINY, quietly

from gpures import bench
from gpures.bench import curves, scenes, table
from gpures.cli import main
from gpures.exposure.pixmap import calc_pixmap

pytestmark = pytest.mark.filterwarnings("ignore")

KINDS = ["data only", "err and DQ", "variances"]


@pytest.fixture(scope="module")
def report():
    """Measured in this process, where else there are others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "in_child", lambda function, *arguments: function(*arguments))
        made = json.loads(json.dumps(quietly(TINY, [bench.CURVES])))
    logging.disable(logging.NOTSET)  # which a child ends with
    return made


def points(report, curve):
    """Places and series of a curve, in order."""
    rows = [row for row in report[bench.CURVES] if row["curve"] == curve]
    assert all(row["gpures_s"] == np.median(row["gpures_all_s"]) > 0.0 for row in rows)
    return sorted((row["series"], row["x"]) for row in rows)


def test_every_point_is_there(report):
    assert bench.failures(report) == []
    assert points(report, "files") == [("", 1), ("", 2)]
    of_frames = ["data only", "variances", "variances, finalize"]
    assert points(report, "frame") == sorted((series, side) for series in of_frames for side in TINY.curve_frames)
    assert {series for series, _ in points(report, "threads")} == {"exposure", "the pass"}
    assert points(report, "angle") == sorted(
        (f"{kind}{mirrored}", x) for kind in KINDS for mirrored in ("", ", mirrored") for x in TINY.angles
    )
    assert points(report, "scale ratio") == [(kind, x) for kind in KINDS for x in sorted(TINY.ratios)]


def test_what_lies_along_is_the_measure(report):
    """Each is compared with the exposure along the frame, which is one time as long as itself."""
    for curve, x in (("angle", 0.0), ("scale ratio", 1.0)):
        for kind in KINDS:
            rows = [row for row in report[bench.CURVES] if row["curve"] == curve and row["series"].startswith(kind)]
            (along,) = (row for row in rows if row["x"] == x and row["series"] == kind)
            assert along["over"] == 1.0
            for row in rows:
                assert row["over"] == row["gpures_s"] / along["gpures_s"]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0])
def test_frames_are_turned(angle, mirrored):
    """The step from one pixel to the next has the angle to the frame's axis that is asked for."""
    scene = scenes.nircam(64, 1)
    frame = scene.frame(100, angle=angle, mirrored=mirrored)
    pixmap = calc_pixmap(scene.models[0]["wcs"], frame, scene.shape).array()
    right, up = pixmap[32, 33] - pixmap[32, 32], pixmap[33, 32] - pixmap[32, 32]
    expected = np.radians(180.0 + angle if mirrored else -angle)
    assert np.allclose(right, [np.cos(expected), np.sin(expected)], atol=0.02)
    assert np.isclose(np.linalg.det([right, up]), -1.0 if mirrored else 1.0, atol=0.03)
    assert frame.array_shape == (100, 100)
    assert np.abs(pixmap[31:33, 31:33].mean((0, 1)) - 49.5).max() < 1.0


def test_table_and_plot(report, tmp_path, capsys):
    path = tmp_path / "curves.json"
    path.write_text(json.dumps(report))
    assert main(["bench", "--from", str(path)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert table.TITLES["curves"] in shown
    for row in report[bench.CURVES]:
        assert sum(line.startswith(f"{row['name']} ") for line in shown) == 1
    assert (tmp_path / "curves.png").stat().st_size > 50_000


def test_curves_are_measured_by_themselves(monkeypatch, capsys, tmp_path):
    asked = []
    monkeypatch.setattr(bench, "run", lambda plan, sections, *paths: asked.append(sections) or True)
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "--curves", "--backend", "cpu"]) == 0
    assert main(["bench", "--curves", "--scale", "--only", "splat", "--backend", "cpu"]) == 0
    assert asked == [["curves"], ["splat", "scale", "curves"]]
