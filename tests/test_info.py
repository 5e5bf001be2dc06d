"""`gpures info`: what it finds, and that it reports whatever is broken."""

from __future__ import annotations

import builtins
import json
import sys

import numpy as np
import pytest
from cuda_on_host import CUDARuntimeError, HostCUDA

from gpures import cli
from gpures.checks import info
from gpures.extras import install
from gpures.machine.threads import thread_count
from gpures.reporting import tables

INSTALL = install("cuda13")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    for name in info.VARIABLES:
        monkeypatch.delenv(name, raising=False)


def place(monkeypatch, cupy):
    """Put something in CuPy's place."""
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return cupy


def fail(*arguments, **keywords):
    raise RuntimeError("broken  in\n two lines")


def printed(capsys, *arguments):
    """What the command prints; its exit status is 0 whatever it finds."""
    assert cli.main(["info", *arguments]) == 0
    return capsys.readouterr().out


def as_json(capsys):
    return json.loads(printed(capsys, "--json"))


# ---- what there is -------------------------------------------------------------------------------------------------


def test_versions_and_cpu(capsys):
    found = as_json(capsys)
    assert found["packages"]["numpy"] == np.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["backends"]["cpu"] == {"available": True, "reason": None}
    assert found["cpu"]["threads"] == thread_count()
    assert found["cpu"]["available_memory"] > 0
    assert found["cpu"]["processor"]
    assert found["environment"] == {}


def test_text_is_aligned(capsys, host_cuda):
    lines = printed(capsys).splitlines()
    values = [line for line in lines if line and not line.endswith(("packages", "backends", "CUDA", "CPU"))]
    assert len(values) > 15
    for line in values:
        assert len(line) <= tables.WIDTH
        assert line[tables.COLUMN - 1] == " ", line
        assert line[tables.COLUMN] != " ", line


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        ({}, {"cupy": None}),
        ({"cupy-cuda12x": "13.4.0"}, {"cupy-cuda12x": "13.4.0"}),
        ({"cupy-cuda12x": "13.4.0", "cupy": "14.0.0"}, {"cupy-cuda12x": "13.4.0", "cupy": "14.0.0"}),
    ],
    ids=["none", "one", "two"],
)
def test_distributions_of_cupy(monkeypatch, capsys, installed, expected):
    def version(name):
        if name in installed:
            return installed[name]
        raise info.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(info.importlib.metadata, "version", version)
    packages = as_json(capsys)["packages"]
    assert {name: v for name, v in packages.items() if name.startswith("cupy")} == expected
    assert packages["stcal"] is None
    assert "not installed" in printed(capsys)


def test_devices(monkeypatch, capsys):
    place(monkeypatch, HostCUDA(devices=2, memory=3 << 30))
    found = as_json(capsys)
    assert found["backends"]["cuda"] == {"available": True, "reason": None}
    assert found["auto"] == {"backend": "cuda", "set_by": None}
    assert found["cuda"]["driver"] == found["cuda"]["runtime"] == "13.0"
    assert [device["number"] for device in found["cuda"]["devices"]] == [0, 1]
    for device in found["cuda"]["devices"]:
        assert device["name"] == "Host"
        assert device["capability"] == "9.0"
        assert device["memory"] == 3 << 30
        assert (
            0.99 * device["memory"] < device["free"] <= device["memory"]
        )  # the look itself leaves a little in the pool
    assert "device 1      Host, compute capability 9.0, 3.0 of 3.0 GiB free" in printed(capsys)


# ---- why there is no GPU -------------------------------------------------------------------------------------------


def reason(found):
    """Why the backend "cuda" can't be used, where "auto" takes the CPU for it."""
    assert not found["backends"]["cuda"]["available"]
    assert found["auto"]["backend"] == "cpu"
    return found["backends"]["cuda"]["reason"]


def test_no_cupy(monkeypatch, capsys):
    place(monkeypatch, None)
    found = as_json(capsys)
    assert reason(found).startswith("backend='cuda' needs CuPy")
    assert INSTALL in reason(found)
    assert found["cuda"]["devices"] == []
    assert "not available: backend='cuda' needs CuPy" in printed(capsys)


@pytest.mark.parametrize("error", ["ImportError", "OSError", "RuntimeError"])
def test_broken_cupy(monkeypatch, capsys, tmp_path, error):
    (tmp_path / "cupy.py").write_text(f"raise {error}('libcudart.so: no such file')")
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    found = as_json(capsys)
    assert "can't be imported: libcudart.so: no such file" in reason(found)
    assert INSTALL in reason(found)


def test_no_driver(monkeypatch, capsys, host_cuda):
    host_cuda.cuda.runtime.driverGetVersion = lambda: 0
    found = as_json(capsys)
    assert "no NVIDIA driver" in reason(found)
    assert (found["cuda"]["driver"], found["cuda"]["runtime"]) == ("none", "13.0")


def test_no_gpu(monkeypatch, capsys):
    place(monkeypatch, HostCUDA(devices=0))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    found = as_json(capsys)
    assert "CUDA_VISIBLE_DEVICES" in reason(found)
    assert found["environment"] == {"CUDA_VISIBLE_DEVICES": "7"}
    assert "CUDA_VISIBLE_DEVICES=7" in printed(capsys)


def test_driver_too_old(capsys, host_cuda):
    host_cuda.failures["getDeviceCount"] = CUDARuntimeError("cudaErrorInsufficientDriver: too old")
    assert "update the driver" in reason(as_json(capsys))


def test_device_too_old(monkeypatch, capsys):
    place(monkeypatch, HostCUDA(capability=(5, 2)))
    found = as_json(capsys)
    assert "compute capability 5.2" in reason(found)
    assert [device["capability"] for device in found["cuda"]["devices"]] == ["5.2"]


def test_driver_that_fails_in_the_middle(monkeypatch, capsys):
    cuda = place(monkeypatch, HostCUDA(devices=2))
    properties = cuda.cuda.runtime.getDeviceProperties
    monkeypatch.setattr(
        cuda.cuda.runtime, "getDeviceProperties", lambda number: fail() if number else properties(number)
    )
    found = as_json(capsys)
    assert found["backends"]["cuda"]["available"]
    assert [each["number"] for each in found["cuda"]["devices"]] == [0]  # the one that answers
    assert "device 0" in printed(capsys)


def test_cupy_that_is_an_empty_shell(monkeypatch, capsys):
    cuda = place(monkeypatch, HostCUDA())
    del cuda.cuda
    found = as_json(capsys)
    assert "AttributeError" in reason(found)
    assert found["cuda"]["runtime"] is None
    assert "AttributeError" in printed(capsys)


# ---- settings, and what else may be broken -------------------------------------------------------------------------


def test_backend_of_the_environment(monkeypatch, capsys):
    place(monkeypatch, None)
    monkeypatch.setenv("GPURES_BACKEND", "cpu")
    assert as_json(capsys)["auto"] == {"backend": "cpu", "set_by": "GPURES_BACKEND"}
    monkeypatch.setenv("GPURES_BACKEND", "cuda")
    assert "takes cuda, as GPURES_BACKEND says, which is not available" in printed(capsys)


def test_bad_settings_are_reported(monkeypatch, capsys):
    monkeypatch.setenv("GPURES_BACKEND", "nix")
    monkeypatch.setenv("GPURES_NUM_THREADS", "many")
    found = as_json(capsys)
    assert found["auto"] is None
    assert "GPURES_BACKEND must be one of" in found["problems"]["auto"]
    assert found["cpu"]["threads"] is None
    for backend in found["backends"].values():
        assert "GPURES_NUM_THREADS must be a positive integer, got 'many'" in backend["reason"]
    text = printed(capsys)
    assert "GPURES_BACKEND must be one of" in text
    assert "GPURES_BACKEND=nix" in text


def test_no_drizzle(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "drizzle.resample", None)
    assert install("drizzle") in as_json(capsys)["backends"]["drizzle"]["reason"]


def test_a_system_without_proc(monkeypatch, capsys):
    opened = builtins.open

    def elsewhere(path, *arguments, **keywords):
        if str(path).startswith("/proc"):
            raise FileNotFoundError(path)
        return opened(path, *arguments, **keywords)

    monkeypatch.setattr(builtins, "open", elsewhere)
    assert as_json(capsys)["cpu"]["processor"]


@pytest.mark.parametrize(
    "name",
    [
        "available_memory",
        "checked_backend",
        "devices",
        "import_cupy",
        "make_accumulators",
        "platform.platform",
        "platform.processor",
        "thread_count",
        "_processor",
    ],
)
def test_whatever_fails_is_reported(monkeypatch, capsys, host_cuda, name):
    home = "gpures.backend.choice" if name == "make_accumulators" else "gpures.checks.info"
    monkeypatch.setattr(f"{home}.{name}", fail)
    found = printed(capsys, "--json")
    assert json.loads(found)["gpures"]
    assert printed(capsys).startswith("gpures")
    if name != "platform.processor":  # which is asked where the system does not say
        assert "RuntimeError: broken in two lines" in found
