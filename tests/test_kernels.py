"""Every kernel of every backend against the definition, evaluated in float64."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import oracle
import pytest
import tolerances as tol

from gpures.backend.base import MosaicLayout
from gpures.exposure.drops import KERNELS
from gpures.exposure.weights import Weight

pytestmark = [
    pytest.mark.filterwarnings("ignore:Kernel '.*' is not a flux-conserving kernel"),
    pytest.mark.filterwarnings("ignore:In lanczos kernel, pixfrac is ignored"),
    pytest.mark.filterwarnings("ignore:Kernel reset to .point."),
]

VARIANCES = ("var_rnoise", "var_flat")
IMAGES = ("data", "wht", "err", *VARIANCES)
#: (kernel, pixfrac) pairs: all that makes a difference.
DROPS = [(k, p) for k in ("square", "turbo", "gaussian") for p in (0.3, 0.7, 1.0, 1.5)]
DROPS += [("point", 1.0), ("lanczos2", 1.0), ("lanczos3", 1.0)]
#: Output over input pixel scale; exact in float32, in which the reference takes it.
RATIOS = (0.5, 1.0, 1.375)
DTYPES = ("f4", "f8")


def frame_of(side, kernel, dtype="f4", **settings):
    """A frame with everything on."""
    shape = (side, side) if np.isscalar(side) else side
    settings = {"variance_names": VARIANCES, "has_err": True, "has_dq": True, "fillval": None} | settings
    return MosaicLayout(shape, kernel, dtype=np.dtype(dtype), **settings)


def planes(rng, shape):
    """Data, err, variances and DQ of one exposure, some pixels flagged 4 (bad) and 8 (good)."""
    return {
        "data": rng.normal(1.0, 0.5, shape).astype("f4"),
        "err": rng.uniform(0.1, 1.0, shape).astype("f4"),
        "variances": {name: rng.uniform(0.5, 2.0, shape).astype("f4") for name in VARIANCES},
        "dq": rng.choice([0, 0, 0, 0, 4, 8, 12, 1 << 30], shape).astype("i4"),
    }


def weight_of(kind, rng, arrays):
    """A weight recipe of a kind: a map with zeros and numbers that are none, inverse variances, or one number."""
    shape = arrays["data"].shape
    if kind == "map":
        weights = rng.uniform(0.5, 2.0, shape).astype("f4")
        weights.flat[[3, 17, 29, 41]] = 0.0, np.nan, np.inf, -np.inf
        return Weight(weight_map=weights, bad_bits=4)
    if kind == "ivm":
        arrays["variances"]["var_rnoise"].flat[[5, 19]] = 0.0, np.inf
        return Weight(variance=arrays["variances"]["var_rnoise"], bad_bits=4)
    return Weight(constant=123.25)


@functools.cache
def scene(kernel, pixfrac, psr, flip, kind, shape=(9, 11)):
    """Four dithered exposures at four angles with everything on, their frame's side, and the truth."""
    rng = np.random.default_rng(20)
    side = oracle.frame_side(shape, psr, kernel, pixfrac)
    exposures = []
    for k, angle in enumerate((0.0, 37.0, 90.0, 205.0)):
        arrays = planes(rng, shape)
        at = (side - 1) / 2 + rng.uniform(-1, 1, 2)
        exposures.append(
            oracle.exposure(
                arrays.pop("data"),
                oracle.pixel_map(shape, at, psr, angle, flip, warp=0.2),
                weight=weight_of(kind, rng, {"data": arrays["err"], **arrays}),
                **arrays,
                context_id=k,
                variance_weight=None if kind == "ivm" else 50.0 + k,
                pixfrac=pixfrac,
                pixel_scale_ratio=psr,
                iscale=0.75 if k == 2 else 1.0,
                level=0.25 if k == 1 else 0.0,
            )
        )
    return exposures, side, oracle.coadd(exposures, frame_of(side, kernel))


def by_scene(test):
    """All kernels x pixfrac x scale ratio x parity x kinds of weight."""
    for name, values in (("kind", ("map", "ivm", "constant")), ("flip", (False, True)), ("psr", RATIOS)):
        ids = ("same-parity", "flipped") if name == "flip" else None
        test = pytest.mark.parametrize(name, values, ids=ids)(test)
    return pytest.mark.parametrize(("kernel", "pixfrac"), DROPS)(test)


# ---- against the definition ----------------------------------------------------------------------------------------


@by_scene
def test_every_backend_evaluates_the_definition(backend, kernel, pixfrac, psr, flip, kind):
    """Data, weight, error, variances, context and DQ of rotated exposures are those of the definition."""
    exposures, side, truth = scene(kernel, pixfrac, psr, flip, kind)
    tol.assert_true(backend, "f4", oracle.run(backend, frame_of(side, kernel), exposures), truth, len(exposures))


@pytest.mark.parametrize("backend", ["cpu"], indirect=True)
@by_scene
def test_double_accumulators_are_near_1e_12(backend, kernel, pixfrac, psr, flip, kind):
    """With float64 accumulators nothing but the rounding of float64 is left."""
    exposures, side, truth = scene(kernel, pixfrac, psr, flip, kind)
    got = oracle.run(backend, frame_of(side, kernel, "f8"), exposures)
    tol.assert_true(backend, "f8", got, truth, len(exposures))
    assert {image.dtype for name, image in got.items() if name in IMAGES} == {np.dtype("f8")}
    if not kernel.startswith("lanczos"):
        # Pixels that a drop only grazes have as few digits as the overlap; all others have 12.
        grazed = truth.abs_wht < 1e-2 * truth.moved_wht
        assert np.mean(grazed[truth.count > 0]) < tol.GRAZED
        for name in ("data", "wht"):
            np.testing.assert_allclose(got[name][~grazed], getattr(truth, name)[~grazed], rtol=1e-12, atol=1e-12)


@by_scene
def test_no_farther_from_the_truth_than_the_reference(kernel, pixfrac, psr, flip, kind):
    """No image of the cpu backend is farther from the definition than the drizzle package's, but for its last bits."""
    exposures, side, truth = scene(kernel, pixfrac, psr, flip, kind)
    cpu, reference = (oracle.run(b, frame_of(side, kernel), exposures) for b in ("cpu", "drizzle"))
    use = (truth.count > 0) & ~truth.unsure
    wht, abs_wht = np.abs(truth.wht[use]), truth.abs_wht[use]
    for name in ("data", "wht", "err"):
        expected, scale = getattr(truth, name)[use], abs_wht
        if name != "wht":  # what a rounding of the sums does to their quotient
            scale = (getattr(truth, f"abs_{name}")[use] + np.abs(expected) * abs_wht) / wht
        ours, theirs = (np.abs(got[name][use] - expected) / scale for got in (cpu, reference))
        floor = tol.UNAVOIDABLE32 * len(exposures)
        assert ours.max() <= max(theirs.max(), floor), f"{name}: {ours.max():.2e}, reference {theirs.max():.2e}"
        ours, theirs = (np.sqrt(np.mean(d**2)) for d in (ours, theirs))
        assert ours <= max(theirs, tol.UNAVOIDABLE32), f"{name}: rms {ours:.2e}, reference {theirs:.2e}"


# But for Lanczos and the narrowest gaussian: the reference's running means lose their digits where weights cancel or
# leave float32, which the small scenes above bound pixel by pixel.
@pytest.mark.parametrize(("kernel", "pixfrac"), [d for d in DROPS if d != ("gaussian", 0.3) and d[0][:7] != "lanczos"])
def test_larger_exposures_agree_with_the_reference(kernel, pixfrac):
    """On distorted exposures of many blocks and tiles cpu and drizzle agree to the roundings of their contributions."""
    shape, psr, rng = (150, 133), 0.75, np.random.default_rng(21)
    side = oracle.frame_side(shape, psr, kernel, pixfrac)
    exposures = [
        oracle.exposure(
            arrays.pop("data"),
            oracle.pixel_map(shape, (side / 2 + k / 3, side / 2 - k / 7), psr, 31.0 * k, warp=0.01),
            weight=Weight(weight_map=rng.uniform(0.5, 2.0, shape).astype("f4"), bad_bits=4),
            **arrays,
            context_id=k,
            pixfrac=pixfrac,
            pixel_scale_ratio=psr,
        )
        for k, arrays in enumerate(planes(rng, shape) for _ in range(3))
    ]
    got, expected = (oracle.run(b, frame_of(side, kernel), exposures) for b in ("cpu", "drizzle"))
    per_axis = 2 * np.ceil(oracle.reach(kernel, pixfrac, psr) * psr) + 1
    relative = tol.PER_CONTRIBUTION * len(exposures) * per_axis**2 * tol.EPS32
    tol.assert_same_bits(got["con"], expected["con"], "context", tol.FLIPPED)
    tol.assert_same_bits(got["dq"], expected["dq"], "DQ", tol.FLIPPED)
    for name in IMAGES:
        # Where a drop merely grazes a pixel, the weight's own digits are few.
        solid = ~(np.nan_to_num(expected["wht"]) < 1e-6)
        scale = {"data": np.abs(exposures[0].data).max(), "wht": expected["wht"]}.get(name, np.nanmax(expected[name]))
        bound = np.broadcast_to(relative * scale, solid.shape)
        tol.assert_close(np.where(solid, got[name], 0), np.where(solid, expected[name], 0), bound, name)


# ---- sizes, blocks and tiles ---------------------------------------------------------------------------------------

# Input pixels are walked in blocks of 32 x 32, output pixels in tiles whose sides are 64, 128 or 256.
SHAPES = [(2, 2), (2, 5), (7, 2), (3, 31), (3, 32), (3, 33), (33, 3), (2, 64), (65, 2), (31, 33), (5, 97)]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("kernel", KERNELS)
def test_images_of_any_size(backend, kernel, shape):
    """Images of two pixels' width, of odd sizes and of sizes about a block's are drizzled as the definition has it."""
    exposures = simple_exposures(kernel, shape, [(shape, 0.0), (shape, 63.0)])
    side = oracle.frame_side(shape, 1.0, kernel)
    truth = oracle.coadd(exposures, frame_of(side, kernel))
    tol.assert_true(backend, "f4", oracle.run(backend, frame_of(side, kernel), exposures), truth, 2)


def simple_exposures(kernel, shape, shapes_and_angles, at=None, psr=1.0, pixfrac=0.8, seed=22):
    """Exposures with unit weights, all centred at the same place, by default in the middle of their frame."""
    rng = np.random.default_rng(seed)
    middle = (oracle.frame_side(shape, psr, kernel) - 1) / 2
    pixfrac = 1.0 if kernel.startswith("lanczos") else pixfrac
    exposures = []
    for k, (size, angle) in enumerate(shapes_and_angles):
        arrays = planes(rng, size)
        pixmap = oracle.pixel_map(size, at or (middle + 0.31, middle - 0.17), psr, angle)
        exposures.append(
            oracle.exposure(arrays.pop("data"), pixmap, **arrays, context_id=k, pixfrac=pixfrac, pixel_scale_ratio=psr)
        )
    return exposures


@pytest.mark.parametrize("size", [63, 64, 65, 127, 129, 256, 257], ids=lambda s: f"frame{s}")
@pytest.mark.parametrize("kernel", KERNELS)
def test_frames_and_drops_across_tiles(kernel, size):
    """Drops across the edges of tiles, and tiles cut by the frame, lose nothing and count nothing twice."""
    frame = frame_of((size, size + 3), kernel)
    for at in [(127.4, 63.6), (size - 0.5, size - 0.7), (255.6, 128.2)]:
        exposures = simple_exposures(kernel, (9, 10), [((9, 10), 20.0), ((9, 10), 70.0)], at=at)
        truth = oracle.coadd(exposures, frame)
        tol.assert_true("cpu", "f4", oracle.run("cpu", frame, exposures), truth, 2)


@pytest.mark.parametrize("shape", [(30, 620), (620, 30)], ids=["wide", "tall"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_drops_larger_than_a_tile(kernel, shape):
    """Drops of 300 output pixels, larger than a tile, cover several tiles as the definition has it."""
    psr, image = 1 / 300, (2, 2)
    at = ((shape[1] - 1) / 2 + 10, (shape[0] - 1) / 2 + 10)
    exposures = simple_exposures(kernel, image, [(image, 17.0)], at=at, psr=psr, pixfrac=0.7)
    truth = oracle.coadd(exposures, frame_of(shape, kernel))
    tol.assert_true("cpu", "f4", oracle.run("cpu", frame_of(shape, kernel), exposures), truth, 1)


@pytest.mark.parametrize("psr", [1 / 64, 64.0])
@pytest.mark.parametrize("kernel", KERNELS)
def test_extreme_scale_ratios(backend, kernel, psr):
    """Output pixels of a sixty-fourth, and of sixty-four, input pixels are filled as the definition has it."""
    shape = (2, 3) if psr < 1 else (12, 13)
    exposures = simple_exposures(kernel, shape, [(shape, 17.0)], psr=psr, pixfrac=1.0)
    frame = frame_of(oracle.frame_side(shape, psr, kernel), kernel)
    tol.assert_true(backend, "f4", oracle.run(backend, frame, exposures), oracle.coadd(exposures, frame), 1)


@pytest.mark.parametrize("pixfrac", [0.0015, 0.01, 2.0])
@pytest.mark.parametrize("kernel", ["square", "turbo"])
def test_smallest_and_largest_pixfrac(backend, kernel, pixfrac):
    """Drops of a thousandth and of two pixels' width are cut as the definition has it."""
    shape = (9, 10)
    exposures = simple_exposures(kernel, shape, [(shape, 25.0), (shape, 100.0)], pixfrac=pixfrac)
    frame = frame_of(oracle.frame_side(shape, 1.0, kernel, 2.0), kernel)
    tol.assert_true(backend, "f4", oracle.run(backend, frame, exposures), oracle.coadd(exposures, frame), 2)


def test_points_have_no_size(backend):
    """The point kernel looks at neither pixfrac nor the pixel scale ratio."""
    shape = (9, 10)
    exposures = simple_exposures("point", shape, [(shape, 25.0)], pixfrac=1.0)
    others = [replace(e, pixfrac=0.0005, pixel_scale_ratio=3.0) for e in exposures]
    frame = frame_of(oracle.frame_side(shape, 1.0), "point")
    one, other = (oracle.run(backend, frame, e) for e in (exposures, others))
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.parametrize("limits", [(0, 9, 0, 8), (2, 7, 1, 6), (4, 4, 3, 3), (9, 9, 0, 8), (5, 4, 0, 8)])
@pytest.mark.parametrize("kernel", KERNELS)
def test_only_the_pixels_within_limits_are_used(kernel, limits):
    """Of an image the pixels within its limits are used, the last ones included; those beside lend coordinates."""
    shape = (9, 10)
    exposures = [replace(e, limits=limits) for e in simple_exposures(kernel, shape, [(shape, 25.0)])]
    frame = frame_of(oracle.frame_side(shape, 1.0, kernel), kernel)
    tol.assert_true("cpu", "f4", oracle.run("cpu", frame, exposures), oracle.coadd(exposures, frame), 1)


@pytest.mark.parametrize("share", [1e-3, 1e-9, 1e-12, 4e-14])
def test_the_smallest_shares_count(backend, share):
    """A drop that reaches into a pixel by a tiny share puts that share there, and sets its context bit."""
    data = np.ones((3, 3), "f4")
    pixmap = oracle.pixel_map((3, 3), (9.0 + share, 9.0))  # the outermost column reaches into column 11
    got = oracle.run(backend, frame_of(20, "square"), [oracle.exposure(data, pixmap)])
    exact = pixmap[1, 2, 0] - 10.0  # the share that is left by the rounding of coordinates
    np.testing.assert_allclose(got["wht"][8:11, 11], exact, rtol=2 * tol.EPS32, atol=tol.OVERLAP)
    np.testing.assert_array_equal(got["con"][0, 8:11, 11], 1)
    np.testing.assert_allclose(got["data"][8:11, 11], 1.0, rtol=tol.EPS32)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("angle", [0.0, 0.3, 1.5, 4.0])
@pytest.mark.parametrize("pixfrac", [1.0, 0.9, 0.5])
def test_drops_around_the_points_where_pixels_meet(own_backend, pixfrac, angle, dtype):
    """Drops along the output's axes, most of which have a corner in each of four pixels, are worth what others are.

    With corners on the grid's lines, beside pixels of no weight and such without coordinates, and over a frame's edge.
    """
    rng, shape = np.random.default_rng(24), (11, 75)
    exposures = []
    for k, at in enumerate([(40.0, 20.0), (40.5, 20.5), (40.31, 20.77), (40.999, 20.001), (3.2, 4.4)]):
        arrays = planes(rng, shape)
        pixmap = oracle.pixel_map(shape, at, 1.0, angle, warp=0.01 * k)
        pixmap[4, 30:32] = np.nan
        weight = weight_of("map", rng, arrays)
        drop = {"context_id": k, "pixfrac": pixfrac, "pixel_scale_ratio": 1.0}
        exposures.append(oracle.exposure(arrays.pop("data"), pixmap, weight=weight, **arrays, **drop))
    frame = frame_of((41, 80), "square", dtype)
    truth = oracle.coadd(exposures, frame)
    tol.assert_true(own_backend, dtype, oracle.run(own_backend, frame, exposures), truth, len(exposures))


# ---- coordinates that are none -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS)
def test_nan_in_the_pixel_map(backend, kernel):
    """A pixel without coordinates is passed over, and no other."""
    shape = (13, 40)
    exposures = simple_exposures(kernel, shape, [(shape, 12.0), (shape, 80.0)])
    holes = np.random.default_rng(23).random((*shape, 2)) < 0.02
    holes[0, :5], holes[:, -1] = True, True
    for e in exposures:
        e.pixmap.full[holes] = np.nan
    frame = frame_of(oracle.frame_side(shape, 1.0, kernel), kernel)
    truth = oracle.coadd(exposures, frame)
    assert truth.count.max() > 0
    tol.assert_true(backend, "f4", oracle.run(backend, frame, exposures), truth, 2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("missing", [0.02, 0.3, 0.8])
@pytest.mark.parametrize("pixfrac", [0.3, 0.7, 1.0, 1.5])
def test_pixels_beside_undefined_ones(backend, pixfrac, missing, dtype):
    """A pixel with coordinates has the drop that the defined ones around it give, however many of them there are."""
    if backend == "drizzle" and dtype == "f8":
        pytest.skip("the drizzle package has float32 sums")
    rng, shape = np.random.default_rng(25), (19, 75)
    exposures = []
    for k, (angle, warp, value) in enumerate([(0.0, 0.02, np.nan), (28.0, 0.3, np.inf), (-63.0, 0.3, 1e300)]):
        arrays = planes(rng, shape)
        pixmap = oracle.pixel_map(shape, (45.2, 44.7), 1.2, angle, flip=k == 1, warp=warp)
        pixmap[rng.random(shape) < missing, rng.integers(2)] = value
        drop = {"context_id": k, "pixfrac": pixfrac, "pixel_scale_ratio": 1.2}
        weight = weight_of("map", rng, arrays)
        exposures.append(oracle.exposure(arrays.pop("data"), pixmap, weight=weight, **arrays, **drop))
    frame = frame_of((90, 91), "square", dtype)
    truth = oracle.coadd(exposures, frame)
    tol.assert_true(backend, dtype, oracle.run(backend, frame, exposures), truth, len(exposures))


@pytest.mark.parametrize("pixfrac", [0.7, 1.0])
def test_every_neighbourhood(backend, pixfrac):
    """Each of the 256 sets of neighbours that a pixel may have gives it the drop of the definition."""
    side, pitch = 16, 4  # each pixel among its neighbours, and undefined ones around these
    pixmap = oracle.pixel_map((side * pitch, side * pitch), (50.3, 50.1), 1.0, 21.0, warp=0.05)
    weights = np.zeros(pixmap.shape[:2])
    for number in range(256):
        y, x = pitch * (number // side), pitch * (number % side)
        weights[y + 1, x + 1] = 1.0 + number / 64
        known = [number >> k & 1 for k in (0, 1, 2, 3)] + [1] + [number >> k & 1 for k in (4, 5, 6, 7)]
        block = pixmap[y : y + pitch, x : x + pitch]
        block[:3, :3][np.reshape(known, (3, 3)) == 0] = np.nan
        block[3], block[:, 3] = np.nan, np.nan
    settings = {"weight": Weight(weight_map=weights), "pixfrac": pixfrac, "pixel_scale_ratio": 0.9}
    exposure = oracle.exposure(np.ones(weights.shape, "f4"), pixmap, **settings)
    frame = MosaicLayout((100, 101), fillval=None)
    got = oracle.run(backend, frame, [exposure])
    tol.assert_true(backend, "f4", got, oracle.coadd([exposure], frame), 1)
    np.testing.assert_allclose(got["wht"].sum(dtype=float), weights.sum(), rtol=tol.sum_rtol(100))


def test_an_isolated_pixel_is_a_box(backend):
    """A pixel without neighbours has an upright drop of the size that the pixel scale ratio tells: turbo's."""
    pixmap = np.full((6, 7, 2), np.nan)
    pixmap[2, 3], pixmap[4, 5] = (8.2, 9.4), (12.9, 5.1)
    square, turbo = (
        oracle.run(
            backend,
            MosaicLayout((20, 20), kernel, None),
            [oracle.exposure(np.ones((6, 7), "f4"), pixmap, pixfrac=0.75, pixel_scale_ratio=0.625)],
        )
        for kernel in ("square", "turbo")
    )
    np.testing.assert_allclose(square["wht"], turbo["wht"], rtol=1e-6, atol=1e-12)
    np.testing.assert_array_equal(square["con"], turbo["con"])


@pytest.mark.parametrize("shape", [(1, 6), (6, 1), (1, 1), (1, 70), (70, 1)], ids=str)
def test_images_one_pixel_wide(backend, shape):
    """The pixels of an image one row high are as high as wide; a single one takes the pixel scale ratio's size."""
    exposures = [replace(e, pixel_scale_ratio=0.8) for e in simple_exposures("square", shape, [(shape, 33.0)])]
    frame = frame_of(oracle.frame_side(shape, 1.0), "square")
    truth = oracle.coadd(exposures, frame)
    tol.assert_true(backend, "f4", oracle.run(backend, frame, exposures), truth, 1)


# ---- drops without an area -----------------------------------------------------------------------------------------


def collapsed(shape, at, slope, spread):
    """A pixel map all of whose centres lie on a line, or that far from it."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    along, across = 0.9 * x + 0.35 * y, spread * y
    direction = np.array([1.0, slope]) / np.hypot(1.0, slope)
    return at + along[..., None] * direction + across[..., None] * np.array([-direction[1], direction[0]])


@pytest.mark.parametrize("pixfrac", [0.3, 1.0, 1.5])
@pytest.mark.parametrize("slope", [0.0, 0.3, 1.0, -2.7, 1e9])
@pytest.mark.parametrize("offset", [0.0, 90000.25])
def test_collapsed_drops_add_nothing_and_are_counted(own_backend, caplog, offset, slope, pixfrac):
    """Drops whose corners lie on a line add nothing to any image, wherever it runs, and the log says how many."""
    shape = (5, 9)
    pixmap = collapsed(shape, np.array([10.7, 12.2]) + offset, slope, 0.0)
    exposure = oracle.exposure(np.ones(shape, "f4"), pixmap, pixfrac=pixfrac, dq=np.full(shape, 8), name="the line")
    exposure.weight = Weight(weight_map=np.where(np.arange(9) == 4, 0.0, np.full(shape, 2.0)))
    size = int(offset) + 60
    frame = MosaicLayout(
        (60, size) if slope == 0 else (size, 60) if slope > 10 else (60, 60), fillval=None, has_dq=True
    )
    exposure.pixmap.full[..., 1 if slope == 0 else 0 if slope > 10 else slice(None)] -= offset
    got = oracle.run(own_backend, frame, [exposure])
    for name in ("wht", "con", "dq"):
        assert not got[name].any(), name
    inside = (exposure.pixmap.full > 3).all() and (exposure.pixmap.full < np.array(frame.shape[::-1]) - 3).all()
    if inside:
        (message,) = [record.getMessage() for record in caplog.records if "no area" in record.getMessage()]
        assert message.startswith("40 pixels of ")
        assert own_backend == "cuda" or "the line" in message


def test_collapsed_drops_of_the_reference_backend(caplog):
    """The reference backend passes over the same drops, and those beside them keep theirs."""
    shape = (7, 12)
    pixmap = oracle.pixel_map(shape, (15.0, 15.0), angle=30.0)
    pixmap[2:5, 3:8] = collapsed((3, 5), (14.0, 14.0), 0.4, 0.0)
    exposure = oracle.exposure(np.ones(shape, "f4"), pixmap, pixfrac=0.6)
    frame = MosaicLayout((40, 40), fillval=None)
    got = {name: oracle.run(name, frame, [exposure]) for name in ("drizzle", "cpu")}
    told = [record.getMessage() for record in caplog.records if "no area" in record.getMessage()]
    assert len(told) == 2
    assert len(set(told)) == 1
    np.testing.assert_allclose(got["drizzle"]["wht"], got["cpu"]["wht"], rtol=1e-5, atol=1e-6)


def test_drops_without_an_area_are_counted_once(caplog):
    """However many tiles, blocks and threads a drop without an area reaches, it is counted once."""
    shape = (40, 90)
    pixmap = oracle.pixel_map(shape, (512.0, 256.0), 1 / 20)
    pixmap[..., 1] = 0.3 * pixmap[..., 0] + 100.0
    oracle.run("cpu", MosaicLayout((700, 1400)), [oracle.exposure(np.ones(shape), pixmap)])
    (message,) = [record.getMessage() for record in caplog.records if "no area" in record.getMessage()]
    x, y = np.moveaxis(pixmap, -1, 0)
    reach = 11.0  # half of a drop
    touching = (x > -reach) & (x < 1400 + reach) & (y > -reach) & (y < 700 + reach)
    sure = (x > reach) & (x < 1400 - reach) & (y > reach) & (y < 700 - reach)
    assert sure.sum() <= int(message.split()[0]) <= touching.sum()


@pytest.mark.parametrize("aspect", [1e2, 1e4, 1e6, 1e7])
@pytest.mark.parametrize("angle", [0.0, 0.2, 30.0, 45.0])
def test_elongated_drops_stay(own_backend, angle, aspect):
    """Drops that are up to ten million times as long as wide put all of their weight into the output."""
    shape = (4, 5)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    pixmap = np.stack([3.0 * x, 3.0 / aspect * y], axis=-1)
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    pixmap = pixmap @ np.array([[c, s], [-s, c]]) + (8.3, 9.1)
    exposure = oracle.exposure(np.ones(shape, "f4"), pixmap, pixfrac=0.8)
    frame = MosaicLayout((30, 30), fillval=None)
    got = oracle.run(own_backend, frame, [exposure])
    tol.assert_true(own_backend, "f4", got, oracle.coadd([exposure], frame), 1)
    # The area of such a drop has as many digits as coordinates have within its width.
    np.testing.assert_allclose(got["wht"].sum(dtype=float), 20.0, rtol=1e-5 + 1e-13 * aspect)


@pytest.mark.parametrize("uneven", [0.0, 1e-15, -1e-13, 1e-11, -1e-9])
@pytest.mark.parametrize("angle", [0.0, 25.0])
def test_bow_ties_add_nothing(backend, caplog, angle, uneven):
    """Where a map folds within a drop, so that its lobes cancel, it adds nothing."""
    shape = (3, 3)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    # The middle pixel's upper edge runs to the right and its lower one to the left.
    pixmap = np.stack([0.9 * (x - 1.0) * (y - 1.0) + uneven * x, 0.9 * (y - 1.0)], axis=-1)
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    pixmap = pixmap @ np.array([[c, s], [-s, c]]) + (8.3, 9.1)
    weights = np.zeros(shape)
    weights[1, 1] = 1.0
    exposure = oracle.exposure(np.ones(shape, "f4"), pixmap, weight=Weight(weight_map=weights))
    got = oracle.run(backend, MosaicLayout((20, 20)), [exposure])
    assert not got["wht"].any()
    assert not got["con"].any()
    assert any("1 pixels of" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pixfrac", [0.3, 0.7, 1.0, 1.5])
def test_folded_maps(own_backend, pixfrac, dtype):
    """Maps that fold give what the definition gives, signed areas over signed areas, and no weight beyond its bound."""
    rng, shape = np.random.default_rng(26), (17, 43)
    exposures = []
    for k in range(3):
        arrays = planes(rng, shape)
        y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
        x, y = x - 20.3 + 0.7 * k, y - 8.0
        u = x + 0.6 * y  # the fold runs across pixels
        folded = np.stack([0.03 * u**2 + 0.3 * y + 15, 0.8 * y + 0.002 * k * x * y + 0.2 * x + 20], axis=-1)
        drop = {"context_id": k, "pixfrac": pixfrac, "pixel_scale_ratio": 1.0}
        exposures.append(oracle.exposure(arrays.pop("data"), folded, **arrays, **drop))
    frame = frame_of((45, 50), "square", dtype)
    truth = oracle.coadd(exposures, frame)
    assert (truth.abs_wht > 1.01 * np.abs(truth.wht)).any()  # weights of both signs
    tol.assert_true(own_backend, dtype, oracle.run(own_backend, frame, exposures), truth, len(exposures))


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_pixel_map_of_nan_adds_nothing(kernel):
    """An exposure without a finite coordinate leaves the mosaic as it was."""
    shape = (9, 10)
    exposures = simple_exposures(kernel, shape, [(shape, 12.0)])
    exposures[0].pixmap.full[:] = np.nan
    images = oracle.run("cpu", frame_of(40, kernel), exposures)
    assert np.isnan(images["data"]).all()
    for name in ("wht", "con", "dq"):
        assert not images[name].any()


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e9, 2.0**31, -(2.0**32), 1e18, -1e150, 1e300, 1.7e308])
@pytest.mark.parametrize("kernel", KERNELS)
def test_infinite_and_huge_coordinates_reach_no_output_pixel(kernel, value):
    """A coordinate of any size contributes as if it were NaN, but for the sliver that a stretched square leaves."""
    shape = (9, 40)
    exposures = simple_exposures(kernel, shape, [(shape, 12.0)])
    frame = frame_of(oracle.frame_side(shape, 1.0, kernel), kernel, "f8")
    for axis in (0, 1):
        wrong, nan = (simple_exposures(kernel, shape, [(shape, 12.0)])[0] for _ in range(2))
        for at in [(4, 5), (0, 33), (8, 39)]:
            wrong.pixmap.full[at][axis] = value
            nan.pixmap.full[at] = np.nan
        got, expected = (oracle.run("cpu", frame, [e])["wht"] for e in (wrong, nan))
        # A square drop stretched to a distance d has an area of about d / 2 and leaves that fraction within the frame.
        bound = tol.OVERLAP + 27 * 4 * max(frame.shape) / abs(value) if kernel == "square" else 0.0
        np.testing.assert_allclose(got, expected, rtol=0, atol=bound)
    assert exposures[0].pixmap.full.max() < 1e3


@pytest.mark.parametrize("at", [(-500.0, 20.0), (20.0, 1e6), (-1e12, -1e12)], ids=str)
@pytest.mark.parametrize("kernel", KERNELS)
def test_exposures_beside_the_frame_add_nothing(kernel, at):
    """An exposure that misses the frame, at any distance, leaves the mosaic as it was."""
    shape = (9, 10)
    exposures = simple_exposures(kernel, shape, [(shape, 12.0)], at=at)
    images = oracle.run("cpu", frame_of(40, kernel), exposures)
    assert not images["wht"].any()
    assert not images["con"].any()


# ---- seams of the output -------------------------------------------------------------------------------------------


def seamed_exposures(kernel, pixfrac, side, seed=27):
    """Exposures with a few undefined pixels, across x = side and y = side."""
    rng, shape = np.random.default_rng(seed), (11, 37)
    exposures = []
    for k, (angle, at) in enumerate([(10.0, (1.0, 0.6)), (65.0, (0.1, 1.02)), (200.0, (0.7, 0.4))]):
        arrays = planes(rng, shape)
        pixmap = oracle.pixel_map(shape, (at[0] * side, at[1] * side), 1.125, angle, flip=k == 1, warp=0.1)
        pixmap[rng.random(shape) < 0.02] = np.nan
        drop = {"context_id": k, "pixfrac": pixfrac, "pixel_scale_ratio": 1.125}
        weight = weight_of("map", rng, arrays)
        exposures.append(oracle.exposure(arrays.pop("data"), pixmap, weight=weight, **arrays, **drop))
    return exposures


@pytest.mark.parametrize(
    ("period", "shape"),
    [((64.0, 0.0), (64, 64)), ((64.0, 0.0), (75, 40)), ((64.0, 0.0), (40, 101)), ((64.0, 61.0), (70, 64))],
    ids=str,
)
@pytest.mark.parametrize(("kernel", "pixfrac"), DROPS)
def test_periodic_outputs(backend, kernel, pixfrac, period, shape):
    """Where the output is periodic, what leaves it on one side comes in on the other, in frames of any size."""
    exposures = seamed_exposures(kernel, pixfrac, 64)
    sides = np.where(np.array(period) > 0, period, np.inf)
    for e in exposures:
        e.pixmap.full[...] = np.where(sides < np.inf, (e.pixmap.full + 0.5) % sides - 0.5, e.pixmap.full)
        e.pixmap.period = period
    frame = frame_of(shape, kernel)
    truth = oracle.coadd(exposures, frame)
    tol.assert_true(backend, "f4", oracle.run(backend, frame, exposures), truth, len(exposures))


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_periodic_output_is_a_strip_wound_up(kernel):
    """Weights of an output that is periodic along x are those of the plane, wound up."""
    frame, plane = frame_of((64, 60), kernel, "f8"), frame_of((64, 180), kernel, "f8")
    exposures = seamed_exposures(kernel, 1.0 if kernel.startswith("lanczos") else 0.9, 60)
    for e in exposures:
        flat = replace(e, pixmap=oracle.PixelMap.from_array(e.pixmap.full + np.array([60.0, 0.0])))
        expected = oracle.run("cpu", plane, [flat])["wht"].reshape(64, 3, 60).sum(axis=1)
        wound = (e.pixmap.full - np.array([13.0, 0.0])) % [60.0, np.inf] + np.array([13.0, 0.0])
        around = oracle.PixelMap.from_array(np.where(np.isnan(e.pixmap.full), np.nan, wound), (60.0, 0.0))
        got = oracle.run("cpu", frame, [replace(e, pixmap=around)])["wht"]
        np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("kernel", "pixfrac"), DROPS)
def test_jumps_across_a_seam(backend, kernel, pixfrac):
    """Where a map jumps, each pixel's drop lies at its own place, continued from its own side."""
    side = 64.0
    exposures = seamed_exposures(kernel, pixfrac, side)
    for e in exposures:
        e.pixmap.full[...] = np.where(e.pixmap.full >= side - 0.5, e.pixmap.full - side, e.pixmap.full)
        e.pixmap.jump = side / 2
    frame = frame_of((64, 64), kernel)
    truth = oracle.coadd(exposures, frame)
    got = oracle.run(backend, frame, exposures)
    tol.assert_true(backend, "f4", got, truth, len(exposures))
    if kernel == "square":  # no drop is longer than a few pixels
        columns = np.flatnonzero(oracle.run(backend, frame, exposures[:1])["wht"].any(axis=0))
        assert ((columns < 20) | (columns > 40)).all()


@pytest.mark.parametrize("psr", [1 / 400, 1.0])
def test_long_steps_are_no_jumps(own_backend, psr):
    """Steps longer than the frame are none where those beside them are as long, nor where a map folds steeply."""
    shape = (5, 6)
    pixmap = oracle.pixel_map(shape, (15.0, 14.0), psr, 12.0)
    if psr == 1.0:
        x = np.arange(6.0) - 2.2
        pixmap[..., 0] = 15.0 + 40.0 * x**2 / 3 + 0.1 * pixmap[..., 1]
    exposure = oracle.exposure(np.ones(shape, "f4"), pixmap, pixel_scale_ratio=psr)
    without = oracle.run(own_backend, MosaicLayout((30, 30), fillval=None), [exposure])
    exposure.pixmap.jump = 15.0
    got = oracle.run(own_backend, MosaicLayout((30, 30), fillval=None), [exposure])
    assert (got["wht"] != 0).any()
    for name in got:
        np.testing.assert_allclose(got[name], without[name], rtol=1e-6)


# ---- values that are none ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS)
def test_values_under_zero_weight_reach_nothing(backend, kernel):
    """NaN and infinite values under zero weight contribute nothing to any image."""
    shape = (9, 10)
    clean, dirty = (simple_exposures(kernel, shape, [(shape, 25.0), (shape, 100.0)]) for _ in range(2))
    weights = np.random.default_rng(24).choice([0.0, 1.0, 2.0], shape).astype("f4")
    for exposures, values in ((clean, [1.0]), (dirty, [np.nan, np.inf, -np.inf])):
        for e in exposures:
            e.weight = Weight(weight_map=weights)
            for image in (e.data, e.err, *e.variances.values()):
                image[weights == 0] = np.resize(values, np.count_nonzero(weights == 0))
    frame = frame_of(oracle.frame_side(shape, 1.0, kernel), kernel)
    got, expected = (oracle.run(backend, frame, exposures) for exposures in (dirty, clean))
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name], name)


@pytest.mark.parametrize(("kernel", "pixfrac"), [("gaussian", 0.2), ("gaussian", 0.3)])
def test_nan_reaches_no_farther_than_float32_weights(backend, kernel, pixfrac):
    """A NaN under a factor that float32 cannot tell from zero is no contribution: it does not reach the output."""
    shape = (7, 8)
    exposures = simple_exposures(kernel, shape, [(shape, 25.0)], pixfrac=pixfrac)
    exposures[0].data[3, 3] = np.nan
    frame = frame_of(oracle.frame_side(shape, 1.0, kernel), kernel)
    truth = oracle.coadd(exposures, frame)
    sure = ~truth.unsure
    got = oracle.run(backend, frame, exposures)
    tol.assert_same_nan(got["data"][sure], truth.data[sure], "data")
    tol.assert_same_bits(got["con"][0][sure], truth.con[0][sure], "context")


@pytest.mark.parametrize("constant", [1e-46, -1e-46, 0.0])
@pytest.mark.parametrize("kernel", KERNELS)
def test_weights_below_float32_are_no_contribution(backend, kernel, constant):
    """A weight that float32 cannot tell from zero sets no context bit and hands on no DQ flag."""
    shape = (7, 8)
    exposures = [replace(e, weight=Weight(constant=constant)) for e in simple_exposures(kernel, shape, [(shape, 25.0)])]
    images = oracle.run(backend, frame_of(oracle.frame_side(shape, 1.0, kernel), kernel), exposures)
    for name in ("wht", "con", "dq"):
        assert not images[name].any(), name
    assert np.isnan(images["data"]).all()


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1.0, 1e30], ids=lambda s: f"variances{s:g}")
@pytest.mark.parametrize("kernel", ["square", "gaussian"])
def test_inverse_variance_weights_of_any_size(backend, kernel, scale):
    """Variances from 1e-30 to 1e30, whose inverse squared is beyond float32, are averaged as those of size 1."""
    shape = (9, 10)
    exposures = simple_exposures(kernel, shape, [(shape, 25.0), (shape, 100.0), (shape, 190.0)])
    for e in exposures:
        e.variances = {name: v * np.float32(scale) for name, v in e.variances.items()}
        e.weight = Weight(variance=e.variances["var_rnoise"], bad_bits=4)
        e.variance_weight = None
    frame = frame_of(oracle.frame_side(shape, 1.0, kernel), kernel)
    truth = oracle.coadd(exposures, frame)
    tol.assert_true(backend, "f4", oracle.run(backend, frame, exposures), truth, len(exposures))


def test_negative_weights_count_but_set_no_context(backend):
    """A negative weight takes part in the mean and its DQ is handed on, but it sets no context bit."""
    shape = (9, 10)
    exposures = simple_exposures("square", shape, [(shape, 25.0)])
    weights = np.ones(shape, "f4")
    weights[4:6, 4:7] = -0.125
    exposures[0].weight = Weight(weight_map=weights)
    frame = frame_of(oracle.frame_side(shape, 1.0), "square")
    truth = oracle.coadd(exposures, frame)
    assert ((truth.con[0] == 0) & (truth.wht < 0)).any()
    tol.assert_true(backend, "f4", oracle.run(backend, frame, exposures), truth, 1)


# ---- context and DQ ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("planes_at_first", [1, 3])
@pytest.mark.parametrize("kernel", ["point", "square"])
def test_context_planes_grow(backend, kernel, planes_at_first):
    """Exposure k has bit k % 32 of plane k // 32, and planes appear as they are needed."""
    if backend == "drizzle" and planes_at_first == 1:
        pytest.skip("the drizzle package takes a fixed number of planes")
    n, shape = 70, (3, 4)
    exposures = [
        replace(simple_exposures(kernel, shape, [(shape, 5.0 * k)], seed=k)[0], context_id=k) for k in range(n)
    ]
    frame = frame_of(oracle.frame_side(shape, 1.0), kernel, context_planes=planes_at_first)
    truth = oracle.coadd(exposures, frame)
    assert truth.con.shape[0] == 3
    got = oracle.run(backend, frame, exposures)
    assert got["con"].dtype == np.int32
    tol.assert_true(backend, "f4", got, truth, n)


def test_no_context_where_it_is_not_wanted(backend):
    """Without context planes there is no context image, and without DQ, errors and variances none of theirs."""
    shape = (3, 4)
    exposures = [replace(e, err=None, variances={}) for e in simple_exposures("square", shape, [(shape, 5.0)])]
    frame = MosaicLayout((20, 20), context_planes=0)
    assert set(oracle.run(backend, frame, exposures)) == {"data", "wht"}


def test_exposures_without_dq_hand_on_no_flags(backend):
    """Where DQ is propagated, an exposure without DQ adds no flags, whatever the one before it had."""
    shape = (9, 10)
    frame = frame_of(oracle.frame_side(shape, 1.0), "square")
    flagged = simple_exposures("square", shape, [(shape, 5.0)])
    flagged[0].dq[:] = 7
    assert oracle.run(backend, frame, flagged)["dq"].any()
    plain = [replace(e, dq=None) for e in flagged]
    assert not oracle.run(backend, frame, plain)["dq"].any()


@pytest.mark.parametrize("fillval", [None, 0.0, -999.25, np.nan], ids=str)
def test_pixels_without_contribution_have_the_fill_value(backend, fillval):
    """Data and error are the fill value (NaN if None) where nothing contributed, also when looked at in between."""
    shape = (9, 10)
    exposures = simple_exposures("square", shape, [(shape, 25.0), (shape, 100.0)])
    frame = frame_of(oracle.frame_side(shape, 1.0), "square", fillval=fillval)
    truth = oracle.coadd(exposures, frame)
    at_once = oracle.run(backend, frame, exposures)
    accumulators = oracle.make_accumulators(backend, frame)
    for e in exposures:
        accumulators.add(e)
        in_between = accumulators.images()
    empty = truth.count == 0
    for name in ("data", "err"):
        np.testing.assert_array_equal(in_between[name], at_once[name])
        np.testing.assert_array_equal(at_once[name][empty], np.nan if fillval is None else fillval)
        assert np.isfinite(at_once[name][~empty]).all()


def test_weights_that_cancel_leave_context_and_flags():
    """Contributions whose weights add up to nothing leave no data, but are in the context and DQ images."""
    exposure = oracle.exposure(np.ones((2, 2)), oracle.pixel_map((2, 2), (9, 9)))
    exposure.pixmap.full[...] = 9.0
    exposure.weight = Weight(weight_map=np.array([[1.0, -1.0], [1.0, -1.0]]))
    exposure.dq = np.full((2, 2), 4, np.uint32)
    images = oracle.run("cpu", MosaicLayout((20, 20), kernel="point", has_dq=True), [exposure])
    assert images["con"][0, 9, 9] == 1
    assert images["dq"][9, 9] == 4
    assert not images["wht"].any()


@pytest.mark.parametrize("kernel", KERNELS)
def test_walks_for_all_processors_agree(kernel, monkeypatch):
    """The walks for lesser processors give what the one for this processor gives, to float64's rounding."""
    shape = (40, 45)
    images = []
    for isa in ("", "avx512", "avx2", "baseline"):
        monkeypatch.setenv("GPURES_ISA", isa)
        exposures = simple_exposures(kernel, shape, [(shape, 12.0)])
        images.append(oracle.run("cpu", frame_of(oracle.frame_side(shape, 1.0, kernel), kernel, "f8"), exposures))
    for other in images[1:]:
        for name in ("data", "wht"):
            np.testing.assert_allclose(images[0][name], other[name], rtol=1e-11, atol=1e-13)
        np.testing.assert_array_equal(images[0]["con"], other["con"])


def test_a_point_on_a_border_belongs_to_the_upper_pixel():
    """A point at -0.5 is in pixel 0 and one at 0.5 in pixel 1; the reference rounds the first one out of the frame."""
    exposure = oracle.exposure(np.ones((2, 2)), oracle.pixel_map((2, 2), (9, 9)))
    exposure.pixmap.full[...] = np.array([[[-0.5, -0.5], [0.5, -0.5]], [[-0.5, 0.5], [0.5, 0.5]]])
    weights = oracle.run("cpu", MosaicLayout((3, 3), kernel="point"), [exposure])["wht"]
    np.testing.assert_array_equal(weights, [[1, 1, 0], [1, 1, 0], [0, 0, 0]])
