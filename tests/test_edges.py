"""Square drops that touch and are turned, against the definition, with all that may be in a pixel.

They are made of what lies below their edges, and go to sums that lie pixel by pixel.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracle
import pytest
import tolerances as tol

from gpures.backend.base import MosaicLayout
from gpures.exposure.weights import Weight

#: Several vectors a row, none of whose last ones is full.
SHAPE = (17, 70)
#: Of every quarter, near the axes and between them. (Along them drops lie around points where pixels meet.)
ANGLES = (7.0, 30.0, 45.0, 80.0, 100.0, 135.0, 170.0, 190.0, 225.0, 260.0, 280.0, 315.0, 353.0)
#: What there is to resample: of a pixel there are 2, 4, 8 or 16 sums.
PLANES = {
    "data": ((), False),
    "err": ((), True),
    "variances": (("var_rnoise", "var_flat"), True),
    "many": (tuple(f"var_{k}" for k in range(8)), True),
}


def scene(planes, angle, flip, signs=False, psr=1.0, at=None):
    """Two exposures, the second without numbers that are none, their frame and the truth; some weights < 0 if so."""
    rng = np.random.default_rng(5)
    names, has_err = PLANES[planes]
    side = oracle.frame_side(SHAPE, psr)
    layout = MosaicLayout((side, side), "square", None, names, has_err=has_err, has_dq=True, dtype=np.dtype("f8"))
    exposures = []
    for k in range(2):
        weights = rng.uniform(0.5, 2.0, SHAPE).astype("f4")
        weights.flat[::11] = 0.0
        data = rng.normal(1.0, 0.5, SHAPE).astype("f4")
        pixmap = oracle.pixel_map(SHAPE, at or (side / 2 + 0.3 * k, side / 2), psr, angle, flip, warp=0.01)
        if k == 0:
            data[10, 30:34] = np.nan, np.inf, -np.inf, 1.0
            weights.flat[[3, 17, 29]] = np.nan, np.inf, -np.inf
            pixmap[5, 6] = np.nan
        if signs:
            weights[:, 25:40] *= -1.0
        exposures.append(
            oracle.exposure(
                data,
                pixmap,
                weight=Weight(weight_map=weights, bad_bits=4),
                dq=rng.choice([0, 0, 0, 0, 4, 8, 12, 1 << 30], SHAPE).astype("i4"),
                err=rng.uniform(0.1, 1.0, SHAPE).astype("f4") if has_err else None,
                variances={name: rng.uniform(0.5, 2.0, SHAPE).astype("f4") for name in names},
                variance_weight=3.0,
                pixel_scale_ratio=psr,
                context_id=k,
            )
        )
    return exposures, layout


def assert_true(exposures, layout):
    tol.assert_true("cpu", "f8", oracle.run("cpu", layout, exposures), oracle.coadd(exposures, layout), len(exposures))


@pytest.mark.parametrize("flip", [False, True], ids=["same-parity", "flipped"])
@pytest.mark.parametrize("angle", ANGLES)
def test_turned_drops(angle, flip):
    """At any angle, of either parity: data, weight, error, variances, context and DQ."""
    assert_true(*scene("variances", angle, flip))


@pytest.mark.parametrize("psr", [0.3, 0.9, 1.0, 1.9, 3.0])
@pytest.mark.parametrize("planes", PLANES)
def test_sums_of_pixels(planes, psr):
    """Whatever the number of planes and the size of drops: of nine output pixels, of fewer, and of more."""
    assert_true(*scene(planes, 33.0, False, psr=psr))


@pytest.mark.parametrize("angle", [0.0, 33.0, 90.0])
def test_signs_of_weights(angle):
    """The context has what got a positive contribution, though negative ones came before it, or outweigh it."""
    exposures, layout = scene("variances", angle, False, signs=True)
    truth = oracle.coadd(exposures, layout)
    outweighed = (truth.wht <= 0) & (truth.con[0] != 0)
    assert outweighed.any()
    got = oracle.run("cpu", layout, exposures)
    np.testing.assert_array_equal(got["con"], truth.con)
    np.testing.assert_array_equal(got["dq"], truth.dq)
    np.testing.assert_allclose(got["wht"], truth.wht, 0, 1e-12)


@pytest.mark.parametrize("angle", [33.0, 45.0, 260.0])
def test_beyond_the_frame(angle):
    """Of drops that reach beyond the frame that part counts which is inside, on every side."""
    for at in ((3.0, 20.0), (20.0, 3.0), (90.0, 60.0), (60.0, 90.0)):
        assert_true(*scene("variances", angle, False, at=at))


def test_one_by_one_is_the_same(monkeypatch):
    """Rows that are resampled one by one give the same sums; any number of threads does, to the last bit."""
    exposures, layout = scene("variances", 33.0, False)
    whole = oracle.run("cpu", layout, exposures)
    for threads in ("1", "3"):
        monkeypatch.setenv("GPURES_NUM_THREADS", threads)
        again = oracle.run("cpu", layout, exposures)
        assert all(again[name].tobytes() == image.tobytes() for name, image in whole.items())
    rows = [replace(e, limits=(0, SHAPE[1] - 1, y, y)) for e in exposures for y in range(SHAPE[0])]
    split = oracle.run("cpu", layout, rows)
    for name in ("wht", "data"):
        tol.assert_close(split[name], whole[name], 1e-11, name)
    np.testing.assert_array_equal(split["con"], whole["con"])
