"""benchmarks/gpu_model.py: times are what counts and specifications give, and stand beside what is measured."""

from __future__ import annotations

import json
import sys
from importlib import util
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def load(name):
    """A script, as a module."""
    spec = util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


gpu, gpu_model = load("gpu"), load("gpu_model")

#: 10 multiprocessors of 1 GHz: 1e10 clocks a second.
CARD = gpu_model.Card(10, 1.0, 2, 64, 64, 1e12, 20e9, "nowhere")

# What each limits, so that a pixel takes a nanosecond.
LIMITS = {
    "float64": {"fp64": 20},
    "conversions": {"conversions": 20},
    "float32": {"fp32": 640},
    "integers": {"integer": 640},
    "instructions": {"branches": 1280},
    "accesses": {"loads shared": 100, "stores global": 60},
    "atomics": {"sectors of atomics global": 5},
    "memory": {"sectors of loads global": 20, "sectors of stores global": 11.25},
}


@pytest.mark.parametrize("limit", LIMITS)
def test_each_kind_of_work_takes_its_time(limit):
    """A kernel takes as long as the kind of work that takes longest."""
    found = gpu_model.kernel_of(LIMITS[limit] | {"barriers": 1}, CARD, 1000)
    assert found["limited_by"] == limit
    assert found["seconds"] == pytest.approx(1000e-9, rel=2e-3)


def test_upload_goes_on_beside_the_kernels():
    """An exposure takes the longer of the two, and says which."""
    rotation = {"splat": LIMITS["float64"], "fold": LIMITS["memory"], "upload": {"bytes": 17.0}}
    found = gpu_model.exposure_of(rotation, CARD, 100)
    assert (found["kernels_s"], found["upload_s"]) == pytest.approx((200e-9, 100e-9))
    assert (found["seconds"], found["limited_by"]) == (found["kernels_s"], "float64")
    found = gpu_model.exposure_of(rotation | {"upload": {"bytes": 68.0}}, CARD, 100)
    assert (found["seconds"], found["limited_by"]) == (pytest.approx(400e-9), "bus")


@pytest.mark.parametrize(
    ("name", "card"),
    [
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("NVIDIA H100 PCIe", None),
        ("NVIDIA A100-SXM4-80GB", "A100 SXM"),
        ("NVIDIA GeForce RTX 4060 Laptop GPU", "RTX 4060 Laptop"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("Host", None),
    ],
)
def test_cards_by_their_names(name, card):
    """Only a card of which the specifications are known is predicted."""
    assert gpu_model.card_named(name) == card


def test_predictions_stand_beside_what_was_measured():
    """`benchmarks/gpu.py` prints both, of the kernels for which there are both."""
    figures = {"ceilings": {}, "square_2048": {"kernels": {"splat_s": 1e-3}}, "turbo_2048": {"kernels": {"splat_s": 1}}}
    (line,) = gpu.predicted({"device": "NVIDIA H100 80GB HBM3", "benchmark": figures})
    kept = json.loads((BENCHMARKS / "results" / "gpu_counts.json").read_text())["rotations"]["0"]
    seconds = gpu_model.exposure_of(kept, gpu_model.CARDS["H100 SXM"])["kernels"]["splat_square_4"]["seconds"]
    assert f"predicted for H100 SXM {seconds * 1e3:.3g} ms" in line
    assert f"{1e-3 / seconds:.2f} times" in line
    assert gpu.predicted({"device": None}) == []


def test_what_is_kept_is_what_the_counts_give():
    """The table of docs/performance.rst is of the counts that are kept."""
    kept = json.loads((BENCHMARKS / "results" / "gpu_model.json").read_text())
    again = gpu_model.report()
    assert [kept["cards"], kept["counted"]] == [again["cards"], again["counted"]], "run python benchmarks/gpu_model.py"
