"""Seconds of jwst's Image3Pipeline by itself and on gpures, of files in a folder of its own.

``.venv-jwst/bin/python tests/pipelines/image3.py [EXPOSURES SIDE]``, after ``make test-pipelines`` has made the
environment. TweakReg and the source catalog, which gpures has nothing to do with, are skipped: they need stars and
reference files.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

os.environ["STPIPE_DISABLE_CRDS_STEPPARS"] = "true"

import test_jwst
from jwst.datamodels import ModelLibrary
from jwst.outlier_detection import OutlierDetectionStep
from jwst.pipeline import Image3Pipeline
from jwst.resample import ResampleStep
from jwst.skymatch import SkyMatchStep

import gpures
from gpures.reporting.timing import watched

SKIPPED = {"tweakreg": {"skip": True}, "source_catalog": {"skip": True}}
STEPS = {
    "SkyMatchStep": SkyMatchStep.call,
    "OutlierDetectionStep": OutlierDetectionStep.call,
    "ResampleStep": ResampleStep.call,
}


def saved(count, side):
    """An association of exposures in files."""
    members = []
    for model in test_jwst.ray_models(count=count, shape=(side, side)):
        model.save(model.meta.filename)
        members.append({"expname": model.meta.filename, "exptype": "science"})
    return {"products": [{"name": "product", "members": members}]}


def seconds(association):
    """Seconds of each step, the first of which reads the files; of the pipeline; and what gpures did of that."""
    taken, models = {}, ModelLibrary(association)
    for name, call in STEPS.items():
        start = time.perf_counter()
        models = call(models)
        taken[name] = time.perf_counter() - start
    start = time.perf_counter()
    with watched() as stages:
        Image3Pipeline.call(ModelLibrary(association), steps=SKIPPED)
    return taken | {"Image3Pipeline": time.perf_counter() - start, "of which gpures": sum(stages.values())}


def main(count=6, side=2048):
    """Print a table."""
    for name in ("stpipe", "jwst", "stcal", "gpures"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        association = saved(count, side)
        own = seconds(association)
        with gpures.accelerate("cpu"):
            ours = seconds(association)
    print(f"{count} exposures of {side} x {side} pixels: seconds of the pipeline by itself, and on gpures")
    for name, taken in own.items():
        print(f"{name:22}{taken:8.1f}{ours[name]:8.1f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
