"""Mosaics in zarr for the tests: small ones, of chunks that are smaller still."""

from __future__ import annotations

import numpy as np
import scenes

import gpures
from gpures.box import Box
from gpures.io import ZarrMosaic

SHAPE = (70, 90)

CHUNKS = 16

# NaN with a payload and a sign, the least number, -0, infinity.
ODD = np.array([0x7FC00123, 0xFFC00000, 0x7F800001, 0x00000001, 0x80000000, 0x7F800000], np.uint32).view(np.float32)


def wcs():
    """Their WCS."""
    return scenes.imaging_wcs(SHAPE)


def planes(seed=0):
    """Images of every type, some with odd numbers; a context of three planes."""
    rng = np.random.default_rng(seed)
    images = {name: rng.normal(size=SHAPE).astype(np.float32) for name in ("data", "err", "var_rnoise")}
    images["data"][3, : ODD.size] = ODD
    images["wht"] = rng.uniform(1, 2, SHAPE).astype(np.float32)
    images["exact"] = rng.normal(size=SHAPE)
    images["half"] = rng.normal(size=SHAPE).astype(np.float16)
    images["con"] = rng.integers(-(2**31), 2**31, (3, *SHAPE), dtype=np.int32)
    images["dq"] = rng.integers(0, 2**32, SHAPE, dtype=np.uint32)
    return images


def mosaic_of(images, **facts):
    """An output model of images."""
    return {"wcs": wcs(), "kernel": "square", "fillval": "NaN", **facts, **images}


def resampled():
    """A mosaic that gpures made, with every image that there is."""
    resample = gpures.Resample(
        {"wcs": wcs()}, backend="cpu", fillval="NaN", compute_err="from_var", propagate_dq=True, enable_exptime_map=True
    )
    for k in range(3):
        resample.add_model(scenes.model_of(scenes.imaging_wcs((30, 30), shift=(k, -k)), (30, 30), seed=k))
    resample.finalize()
    return resample.output_model


def begun(path, images, **options):
    """A store for images, without pixels yet."""
    types = {name: image.dtype for name, image in images.items()}
    depth = len(images["con"]) if "con" in images else 0
    return ZarrMosaic.create(path, SHAPE, types, wcs(), context_planes=depth, **{"chunks": CHUNKS, **options})


def boxes(rows=CHUNKS, columns=CHUNKS):
    """Parts of whole chunks that make up the mosaic."""
    ny, nx = SHAPE
    return [
        Box(x, min(x + columns, nx) - 1, y, min(y + rows, ny) - 1)
        for y in range(0, ny, rows)
        for x in range(0, nx, columns)
    ]


def written(path, images, **told):
    """A store of images."""
    with begun(path, images) as store:
        store.write_images(images)
        store.finish(**told)
    return path


def same_bits(one, other):
    """Whether two arrays are the same to the last bit."""
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
