"""Places that modules had before they were put into rooms: an import from there gives the module where it is now."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["PLACES", "install"]

#: Places now, by those before. Where a room has the name of a module that was, the room itself has that one's names.
PLACES = {
    f"gpures.{before}": f"gpures.{now}"
    for before, now in {
        "accumulators": "backend.base",
        "ahead": "machine.prefetch",
        "arrays": "arguments.arrays",
        "backend.cuda_blot": "backend.cuda.blot",
        "backend.drizzle": "backend.reference",
        "bench.turns": "bench.interleaved",
        "blot": "drizzle.blot",
        "cuda": "backend.cuda",
        "cuda.device": "backend.cuda.device",
        "cuda.program": "backend.cuda.kernels",
        "cuda.staging": "backend.cuda.upload",
        "frame": "resample.output_frame",
        "info": "checks.info",
        "input_model": "exposure.input_model",
        "inverse": "wcs.inverse",
        "memory": "machine.memory",
        "output": "resample.output_model",
        "output_images": "drizzle.output_images",
        "pixel_area": "wcs.pixel_area",
        "pixmap": "exposure.pixmap",
        "plot.page": "plot.layout",
        "program": "acceleration.program",
        "progress": "reporting.progress",
        "records": "exposure.records",
        "seams": "wcs.seams",
        "selftest": "checks.selftest",
        "sphere": "wcs.sphere",
        "stages": "reporting.timing",
        "threads": "machine.threads",
        "times": "resample.times",
        "weights": "exposure.weights",
        "world_axes": "wcs.world_axes",
    }.items()
}


class _Moved(MetaPathFinder, Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in PLACES else None

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = import_module(PLACES[module.__name__])


def install() -> None:
    """Have imports from the places before find their modules; a second call does nothing."""
    if not any(isinstance(finder, _Moved) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Moved())
