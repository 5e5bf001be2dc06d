"""Files to a mosaic's file, each time in a process of its own: headers, pixels, the pass, and writing."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gpures.bench import scenes
from gpures.bench.machine import installed
from gpures.bench.memory import in_child
from gpures.bench.plan import Jobs, Plan

__all__ = ["jobs", "mosaic_seconds"]

# Of the seconds by stage, what the report has under another name.
STAGES = {"total": "all_s", "headers and frame": "headers_s", "reading files": "reading_s", "writing": "writing_s"}


def mosaic_seconds(paths: list[str], output: str, backend: str) -> tuple[dict[str, float], float]:
    """Make a mosaic of files.

    Parameters
    ----------
    paths, output : list of str, str
        The files, and the mosaic's.
    backend : str
        gpures' backend.

    Returns
    -------
    seconds : dict
        Wall seconds by stage.
    processor_s : float
        Of the processors, from before the first import of what reads files.
    """
    import logging
    import time

    logging.disable(logging.WARNING)
    begin = time.process_time()
    from gpures import mosaic

    made = mosaic(paths, output, backend=backend, progress=False, overwrite=True)
    return made.seconds, time.process_time() - begin


def jobs(plan: Plan) -> Jobs:
    """Mosaics of one file and of several; and what each further one takes."""
    kinds = {"plain FITS": _write_plain} | ({"JWST": _write_jwst} if installed("stdatamodels") else {})
    for name, write in kinds.items():
        yield name, lambda name=name, write=write: list(_measure(plan, name, write))  # type: ignore[misc]


def _measure(plan: Plan, name: str, write: Any) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="gpures-bench-") as folder:
        scene = scenes.nircam(plan.files_side, plan.files, plan.wcs)
        paths = [str(Path(folder) / f"exposure_{k}.fits") for k in range(plan.files)]
        for path, model in zip(paths, scene.models, strict=True):
            write(path, model)
        output = str(Path(folder) / "mosaic.fits")
        first = None
        for count in (1, plan.files):
            runs = [in_child(mosaic_seconds, paths[:count], output, plan.backend) for _ in range(plan.repeats)]
            row = {key: statistics.median(run[0].get(stage, 0.0) for run in runs) for stage, key in STAGES.items()}
            row["processor_s"] = statistics.median(run[1] for run in runs)
            further = None if first is None else (row["all_s"] - first) / (count - 1)
            first = row["all_s"]
            yield {
                "name": f"{name}, {count}",
                "files": count,
                "shape": list(scene.shape),
                "bytes": sum(Path(path).stat().st_size for path in paths[:count]),
                **row,
                "further_s": further,
                "all_all_s": [run[0]["total"] for run in runs],
            }


def _write_plain(path: str, model: Mapping[str, Any]) -> None:
    """A FITS image with keywords for its WCS, errors and flags."""
    from astropy.io import fits

    from gpures.io.wcs import header_of

    header, _ = header_of(model["wcs"], model["data"].shape)
    header.update({"EXPTIME": model["exposure_time"], "BUNIT": "MJy/sr"})
    images = [fits.ImageHDU(model[name], name=name) for name in ("err", "dq")]
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(model["data"], header, name="SCI"), *images]).writeto(path)


def _write_jwst(path: str, model: Mapping[str, Any]) -> None:
    """A calibrated image of JWST."""
    from stdatamodels.jwst.datamodels import ImageModel

    with ImageModel() as made:
        for name in ("data", "err", "dq", *scenes.VARIANCES):
            setattr(made, name, model[name])
        made.meta.wcs = model["wcs"]
        made.meta.telescope, made.meta.bunit_data = "JWST", "MJy/sr"
        made.meta.exposure.exposure_time = made.meta.exposure.measurement_time = model["exposure_time"]
        made.meta.photometry.pixelarea_steradians = model["pixelarea_steradians"]
        made.meta.background.level, made.meta.background.subtracted = model["level"], model["subtracted"]
        made.save(path)
