"""gpures beside stcal, in one process and in turns: seconds per exposure, ratio, and what memory it takes.

    python benchmarks/compare.py [--json FILE] [--repeats N] [--wcs FILE.asdf] [CASE ...]

2048 x 2048 exposures with the distortion of a NIRCam detector, three variance arrays, error from the variances, and
context, unless a case says otherwise. Times are of `add_model` (medians over the repeats, after one of each apart to
warm up) and of `finalize`. Machines differ and so do moments: it is the ratio within one run that means something.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
import warnings
from importlib.metadata import version

import gpu_figures
import numpy as np
from gpu import commit, processor
from stcal.resample import Resample as STCALResample

from gpures import Resample, compute_mean_pixel_area
from gpures.demo.frames import tan_sip_gwcs
from gpures.demo.nircam import exposure_keywords
from gpures.threads import thread_count

SHAPE = (2048, 2048)
# Holds an exposure with its distortion and dithers.
SMALL, LARGE = (2100, 2100), (8000, 8000)

# Options that differ from the default, and the output shape.
CASES: dict[str, tuple[dict, tuple[int, int]]] = {
    "square, 2100": ({}, SMALL),
    "square, 8000": ({}, LARGE),
    "every pixel of the WCS": ({"pixmap_tolerance": 0}, SMALL),
    "data only": ({"enable_var": False, "compute_err": None}, SMALL),
    "pixfrac 0.7": ({"pixfrac": 0.7}, SMALL),
    "point": ({"kernel": "point"}, SMALL),
    "turbo": ({"kernel": "turbo"}, SMALL),
    "gaussian": ({"kernel": "gaussian"}, SMALL),
    "lanczos2": ({"kernel": "lanczos2"}, SMALL),
    "lanczos3": ({"kernel": "lanczos3"}, SMALL),
}


def exposure_wcs(path: str | None, shift: float):
    """WCS of an exposure: from an ASDF file, or the published solution, pointed `shift` arcsec further north."""
    if path is None:
        return tan_sip_gwcs(exposure_keywords(34.5, -5.2 + shift / 3600.0, 0.0, SHAPE), SHAPE)
    import asdf

    with asdf.open(path, lazy_load=False) as file:
        wcs = file.tree["wcs"]
    wcs.bounding_box = ((-0.5, SHAPE[1] - 0.5), (-0.5, SHAPE[0] - 0.5))
    return wcs


def output_wcs(exposure, shape: tuple[int, int]):
    """Undistorted frame along the exposure's axes, with its pixel scale, that holds it in the middle of a corner."""
    ny, nx = SHAPE
    ra, dec = exposure(0.5 * (nx - 1) + np.array([0.0, 1.0, 0.0]), 0.5 * (ny - 1) + np.array([0.0, 0.0, 1.0]))
    columns = np.array([(ra[1:] - ra[0]) * np.cos(np.radians(dec[0])), dec[1:] - dec[0]])
    columns *= np.sqrt(np.degrees(np.degrees(compute_mean_pixel_area(exposure))) / abs(np.linalg.det(columns)))
    keywords = {
        "CRPIX1": 0.5 * (SMALL[1] + 1),
        "CRPIX2": 0.5 * (SMALL[0] + 1),
        "CRVAL1": ra[0],
        "CRVAL2": dec[0],
        "CD1_1": columns[0, 0],
        "CD1_2": columns[0, 1],
        "CD2_1": columns[1, 0],
        "CD2_2": columns[1, 1],
    }
    return tan_sip_gwcs(keywords, shape)


def make_model(number: int, path: str | None) -> dict:
    """Exposure with noise, 1 % of its pixels flagged."""
    wcs = exposure_wcs(path, 0.05 * number)
    return gpu_figures.make_model(number, SHAPE) | {"wcs": wcs, "pixelarea_steradians": compute_mean_pixel_area(wcs)}


def run(make, models: list[dict], repeats: int) -> tuple[list[float], float]:
    """Seconds of each `add_model` but the first, and of `finalize`."""
    resample = make()
    seconds = []
    for k in range(repeats + 1):
        start = time.perf_counter()
        resample.add_model(models[k % len(models)])
        seconds.append(time.perf_counter() - start)
    start = time.perf_counter()
    resample.finalize()
    return seconds[1:], time.perf_counter() - start


def main() -> None:
    """Run the cases, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; the default is all")
    parser.add_argument("--repeats", type=int, default=5, help="exposures timed for gpures (stcal: half of them)")
    parser.add_argument("--wcs", help="ASDF file with a 2048 x 2048 WCS under 'wcs'")
    parser.add_argument("--json", help="file for the figures")
    arguments = parser.parse_args()
    if unknown := set(arguments.cases) - set(CASES):
        parser.error(f"unknown cases: {', '.join(sorted(unknown))}")

    warnings.simplefilter("ignore")
    measured = commit()
    models = [make_model(k, arguments.wcs) for k in range(2)]
    rows = []
    print(f"{'case':<24}{'gpures, s':>11}{'stcal, s':>11}{'ratio':>8}{'Mpixel/s':>10}{'finalize, s':>13}")
    for name in arguments.cases or CASES:
        changes, shape = CASES[name]
        options = {"compute_err": "from_var", "n_input_models": arguments.repeats + 1} | changes
        frame = {"wcs": output_wcs(models[0]["wcs"], shape)}
        ours = {k: v for k, v in options.items() if k != "pixmap_tolerance"}
        times, finalize = run(lambda o=options, f=frame: Resample(f, **o), models, arguments.repeats)
        theirs, _ = run(lambda o=ours, f=frame: STCALResample(f, **o), models, max(1, arguments.repeats // 2))
        again, _ = run(lambda o=options, f=frame: Resample(f, **o), models, arguments.repeats)
        seconds, reference = statistics.median(times + again), statistics.median(theirs)
        rate = SHAPE[0] * SHAPE[1] / seconds / 1e6
        print(f"{name:<24}{seconds:11.3f}{reference:11.2f}{reference / seconds:7.1f}x{rate:10.1f}{finalize:13.3f}")
        rows.append(
            {"case": name, "gpures_s": seconds, "stcal_s": reference, "ratio": reference / seconds}
            | {"gpures_all_s": times + again, "stcal_all_s": theirs, "finalize_s": finalize}
        )
    about = {
        "date": time.strftime("%Y-%m-%d"),
        "commit": measured,
        "processor": processor(),
        "threads": thread_count(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in ("gpures", "numpy", "stcal", "drizzle", "gwcs")},
    }
    print(", ".join(f"{key} {value}" for key, value in about.items() if key != "versions"))
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(about | {"cases": rows}, file, indent=1)


if __name__ == "__main__":
    sys.exit(main())
