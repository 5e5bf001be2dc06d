"""How much is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpures.bench.scenes import LARGE, SMALL

__all__ = ["FULL", "QUICK", "Job", "Jobs", "Plan"]

# What is measured, by name: a function that gives rows of the report.
Job = tuple[str, Callable[[], list[dict[str, Any]]]]
Jobs = Iterator[Job]

MIB = 1 << 20


@dataclass(frozen=True)
class Plan:
    """How much is measured, and with what.

    Attributes
    ----------
    backend : str
        gpures' backend.
    repeats : int
        Times that each figure of gpures is taken, and about twice as often as one of the reference.
    reference_s : float
        Seconds after which no further exposure of the reference is begun, once one has been timed.
    side, roman_side : int
        Sides of the NIRCam-like and of the Roman-like exposures.
    wcs : Path or None
        ASDF file with the WCS of the former.
    cases : tuple of str or None
        Names of the cases; None for all.
    roman_memory : bool
        Whether the memory of the Roman-like mosaic is measured.
    outlier_side, outlier_exposures : int
        Side of the exposures among which outliers are looked for, and their number.
    files_side, files : int
        Side of the exposures in files, and their number.
    memory_side, memory_exposures : int
        Side of the exposures whose mosaic's memory is measured, and their number.
    input_sides, reference_input_sides : tuple of int
        Growth with input pixels: sides of the exposures.
    frame_sides, reference_frame_sides : tuple of int
        Growth with the output frame: its sides.
    exposures, reference_exposures, exposures_side : int
        Growth with the number of exposures: most of them, and their side.
    ratios, reference_ratios : tuple of float
        Growth with the scale ratio: output over input pixel scale.
    ratio_side : int
        And the side of the exposures.
    curve_side, curve_files_side : int
        Side of the exposures of the curves, and of those in files.
    curve_files, curve_frames : tuple of int
        Numbers of files, and sides of the frames, of the curves.
    angles : tuple of float
        Angles between exposure and frame, degrees.
    tiles, tiled_side : tuple of int, int
        Numbers of tiles of a mosaic, and its side.
    tiled_exposures, tiled_exposure_side : int
        Its exposures, and their side; tiles are as large where they are many.
    save_side, merge_side : int
        Sides of the mosaics that are saved, and merged.
    many_exposures, many_side, many_frame_side : int
        Exposures of a mosaic of many small ones, their side, and that of its frame.
    copied_bytes : int
        Bytes copied to measure the bandwidth of the memory: many times what the caches hold.
    matrix_side : int
        Side of the matrices multiplied to measure the rate of arithmetic.
    """

    backend: str = "cpu"
    repeats: int = 5
    reference_s: float = 8.0
    side: int = SMALL
    roman_side: int = LARGE
    wcs: Path | None = None
    cases: tuple[str, ...] | None = None
    roman_memory: bool = True
    outlier_side: int = SMALL
    outlier_exposures: int = 10
    files_side: int = SMALL
    files: int = 4
    memory_side: int = SMALL
    memory_exposures: int = 3
    input_sides: tuple[int, ...] = (256, 512, 1024, 2048, 4096)
    reference_input_sides: tuple[int, ...] = (256, 1024, 2048)
    frame_sides: tuple[int, ...] = (2100, 4000, 8000, 16000)
    reference_frame_sides: tuple[int, ...] = (2100, 8000)
    exposures: int = 32
    reference_exposures: int = 8
    exposures_side: int = 1024
    ratios: tuple[float, ...] = (0.3, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0)
    reference_ratios: tuple[float, ...] = (0.3, 1.0, 3.0)
    ratio_side: int = 1024
    curve_side: int = 1024
    curve_files_side: int = 512
    curve_files: tuple[int, ...] = (1, 3, 10, 30, 100, 300)
    curve_frames: tuple[int, ...] = (1000, 2000, 4000, 8000, 16000, 30000)
    angles: tuple[float, ...] = (0.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 80.0, 90.0, 180.0)
    tiles: tuple[int, ...] = (4, 8, 16)
    tiled_side: int = 4096
    tiled_exposures: int = 36
    tiled_exposure_side: int = 1024
    save_side: int = 8000
    merge_side: int = 4000
    many_exposures: int = 300
    many_side: int = 256
    many_frame_side: int = 2048
    copied_bytes: int = 512 * MIB
    matrix_side: int = 1024


FULL = Plan()
QUICK = Plan(
    repeats=3,
    reference_s=0.0,
    cases=("square, 2100", "square, 8000", "point"),
    roman_memory=False,
    outlier_side=SMALL // 4,
    files_side=SMALL // 2,
    files=2,
    memory_side=SMALL // 2,
    input_sides=(256, 512, 1024, 2048),
    reference_input_sides=(256, 1024),
    frame_sides=(2100, 4000, 8000),
    reference_frame_sides=(),
    exposures=8,
    reference_exposures=0,
    exposures_side=512,
    reference_ratios=(1.0,),
    ratio_side=512,
    curve_side=512,
    curve_files_side=256,
    curve_files=(1, 2, 4, 8),
    curve_frames=(1000, 2000, 4000, 8000),
    angles=(0.0, 5.0, 20.0, 45.0, 90.0),
    tiles=(4,),
    tiled_exposures=9,
    save_side=4000,
    merge_side=2000,
    many_exposures=60,
    copied_bytes=256 * MIB,
)
