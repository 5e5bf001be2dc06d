"""What gpures finds on a machine: versions, backends, devices. ``gpures info`` prints it.

It is asked where something does not work, so whatever fails while it looks is part of the answer.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Callable
from typing import Any

from gpures.arguments.values import checked_backend
from gpures.backend.choice import in_one_line, why_unavailable
from gpures.backend.cuda.device import devices, import_cupy
from gpures.machine.memory import available_memory
from gpures.machine.threads import thread_count
from gpures.reporting.tables import line

__all__ = [
    "BACKENDS",
    "collect",
    "text",
]

BACKENDS = ("cuda", "cpu", "drizzle")

PACKAGES = ("numpy", "scipy", "astropy", "gwcs", "drizzle", "stcal")

# The names under which CuPy is distributed. More than one of them is a broken installation, so all are shown.
CUPY = ("cupy-cuda13x", "cupy-cuda12x", "cupy")

VARIABLES = ("GPURES_BACKEND", "GPURES_NUM_THREADS", "CUDA_VISIBLE_DEVICES")

GIB = 2.0**30


def collect() -> dict[str, Any]:
    """Find out everything that `text` shows.

    Returns
    -------
    dict
        Plain data, fit for JSON. What can't be found out is None, and "problems" says why, by its name.
    """
    problems: dict[str, str] = {}

    def found(name: str, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except Exception as error:
            problems[name] = in_one_line(error)
            return None

    reasons = {backend: why_unavailable(backend) for backend in BACKENDS}
    cuda: dict[str, Any] = {"driver": None, "runtime": None, "nvrtc": None, "devices": []}
    cupy = found("cupy", import_cupy)
    if cupy is not None:
        cuda = {
            "driver": found("driver", lambda: _version(cupy.cuda.runtime.driverGetVersion())),
            "runtime": found("runtime", lambda: _version(cupy.cuda.runtime.runtimeGetVersion())),
            "nvrtc": found("nvrtc", lambda: ".".join(str(int(part)) for part in cupy.cuda.nvrtc.getVersion())),
            "devices": found("devices", lambda: _devices(usable=reasons["cuda"] is None)) or [],
        }
    return {
        "gpures": _installed("gpures"),
        "python": platform.python_version(),
        "system": found("system", platform.platform),
        "packages": _packages(),
        "cuda": cuda,
        "backends": {name: {"available": why is None, "reason": why} for name, why in reasons.items()},
        "auto": found("auto", lambda: _auto(usable=reasons["cuda"] is None)),
        "cpu": {
            "processor": found("processor", _processor),
            "threads": found("threads", thread_count),
            "available_memory": found("available_memory", available_memory),
        },
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "problems": problems,
    }


def text(info: dict[str, Any]) -> str:
    """What `collect` found, for a person to read."""
    problems, cuda, cpu = info["problems"], info["cuda"], info["cpu"]

    def known(name: str, value: Any, form: str = "{}") -> str:
        return form.format(value) if value is not None else problems.get(name, "unknown")

    lines = [line(name, known(name, info[name]), indent=0) for name in ("gpures", "python", "system")]
    lines += ["", "packages"]
    lines += [line(name, version or "not installed") for name, version in info["packages"].items()]
    lines += ["", "backends"]
    for name, backend in info["backends"].items():
        lines.append(line(name, "available" if backend["available"] else f"not available: {backend['reason']}"))
    lines.append(line("auto", _text_of_auto(info)))
    lines += ["", "CUDA"]
    lines += [line(name, known(name, cuda[name])) for name in ("driver", "runtime", "nvrtc")]
    for device in cuda["devices"]:
        memory = f"{device['free'] / GIB:.1f} of {device['memory'] / GIB:.1f} GiB free"
        words = f"{device['name']}, compute capability {device['capability']}, {memory}"
        lines.append(line(f"device {device['number']}", words))
    if not cuda["devices"]:
        lines.append(line("devices", problems.get("devices", "none")))
    lines += ["", "CPU"]
    lines.append(line("processor", known("processor", cpu["processor"])))
    lines.append(line("threads", known("threads", cpu["threads"])))
    available = None if cpu["available_memory"] is None else cpu["available_memory"] / GIB
    lines.append(line("memory", known("available_memory", available, "{:.1f} GiB available")))
    if info["environment"]:
        lines += ["", "environment"]
        lines += [f"  {name}={value}" for name, value in info["environment"].items()]
    return "\n".join(lines)


def _text_of_auto(info: dict[str, Any]) -> str:
    auto = info["auto"]
    if auto is None:
        return str(info["problems"]["auto"])
    words = f"takes {auto['backend']}"
    if auto["set_by"]:
        words += f", as {auto['set_by']} says"
    return words if info["backends"][auto["backend"]]["available"] else f"{words}, which is not available"


def _installed(name: str) -> str | None:
    """Version of a distribution; None where it is not installed, or nothing sensible is known of it."""
    try:
        return importlib.metadata.version(name)
    except Exception:
        return None


def _packages() -> dict[str, str | None]:
    versions = {name: _installed(name) for name in (*PACKAGES, *CUPY)}
    absent = [name for name in CUPY if versions[name] is None]
    for name in absent if len(absent) < len(CUPY) else CUPY[:-1]:
        del versions[name]
    return versions


def _version(number: int) -> str:
    """Version of CUDA as its functions give it, 1000 times the major number; 0 is none."""
    return f"{number // 1000}.{number % 1000 // 10}" if number else "none"


def _devices(usable: bool) -> list[dict[str, Any]]:
    listed = devices()
    if usable and not listed:
        raise RuntimeError("a GPU can be used, but the driver fails when it is asked for all of them")
    return [
        {
            "number": device.number,
            "name": device.name,
            "capability": "{}.{}".format(*device.capability),
            "memory": int(device.memory),
            "free": int(device.free),
        }
        for device in listed
    ]


def _auto(usable: bool) -> dict[str, str | None]:
    """The backend that "auto" takes, and the variable that says so."""
    backend = checked_backend("auto")
    if backend == "auto":
        return {"backend": "cuda" if usable else "cpu", "set_by": None}
    return {"backend": backend, "set_by": "GPURES_BACKEND"}


def _processor() -> str | None:
    """Name of the processor."""
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine() or None
