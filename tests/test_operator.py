"""`gpures.drizzle_operator`: the matrix is the definition's, and sums by it are the resampler's."""

from __future__ import annotations

import logging
import sys
import types

import files
import numpy as np
import oracle
import pytest
import scenes
from astropy.wcs import WCS
from scipy.sparse import coo_array, csr_array, diags_array
from tolerances import EPS32, EPS64, EXPONENT, GEOMETRY

import gpures
from gpures.backend import MosaicLayout
from gpures.backend.operator import CPUOperator
from gpures.box import Box
from gpures.exposure.drops import KERNELS
from gpures.exposure.weights import Weight

pytestmark = [
    pytest.mark.filterwarnings("ignore:Kernel '.*' is not a flux-conserving kernel"),
    pytest.mark.filterwarnings("ignore:In lanczos kernel, pix"),
]

SHAPE = (19, 23)


def options_of(kernel, pixfrac=1.0, **more):
    """Options that an operator and a resampler have in common."""
    return {"kernel": kernel, "pixfrac": pixfrac, "good_bits": "~1"} | more


def one_model(rotation=0.0, kind="gwcs", seed=3, shape=SHAPE, **changes):
    """A model with bad pixels and unequal weights."""
    make = scenes.fits_wcs if kind == "fits" else scenes.imaging_wcs
    distortion = {"sip": 1.0} if kind == "fits" else {"distortion": 1.0}
    wcs = make(shape, rotation=rotation, shift=(0.31, -0.17), **distortion)
    return scenes.model_of(wcs, shape, seed=seed, **changes)


def frame_of(kind, ratio, margin=2):
    """A frame for it, of which the exposure sticks out at no side."""
    if kind == "gwcs":
        return scenes.frame_around(SHAPE, ratio, margin=margin)
    n = int(np.ceil(np.hypot(*SHAPE) / ratio)) + 2 * margin
    return scenes.fits_wcs((n, n + 3), scale=scenes.SCALE * ratio)


def single(ratio):
    """A ratio as the resampler hands it on with sums in float32."""
    return float(np.float32(ratio))


def resampled(models, frame, backend="cpu", **options):
    """Mosaic of models whose sums are float64."""
    resample = gpures.Resample(frame, backend=backend, accumulator_dtype="f8", fillval="NaN", **options)
    resample.output_array_types = dict.fromkeys(("data", "wht", "var_rnoise", "var_poisson", "var_flat"), "f8") | {
        "con": np.int32
    }
    for model in models:
        resample.add_model(model)
    resample.finalize()
    return resample.output_model


CASES = [
    ("square", 1.0, 1.0, 0.0, "gwcs"),
    ("square", 0.7, 0.4, 31.0, "fits"),
    ("square", 0.3, 2.0, 90.0, "gwcs"),
    ("turbo", 0.7, 0.8, 20.0, "fits"),
    ("gaussian", 1.0, 1.3, 75.0, "gwcs"),
    ("point", 1.0, 2.0, 12.0, "fits"),
    ("lanczos2", 1.0, 0.6, 33.0, "gwcs"),
    ("lanczos3", 1.0, 1.0, 5.0, "fits"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_sums_are_the_resamplers(case):
    """Every kernel, of gwcs and FITS WCS, turned and scaled, with bad pixels: data, weights and context."""
    assert_sums("cpu", *case)


@pytest.mark.parametrize("case", [CASES[1], CASES[4]], ids=str)
def test_sums_are_the_resamplers_on_a_gpu(cuda, case):
    """The same of the backend "cuda"."""
    assert_sums("cuda", *case)


def assert_sums(backend, kernel, pixfrac, ratio, rotation, kind):
    """The sums of an operator are those of a resampler."""
    model, frame = one_model(rotation, kind), {"wcs": frame_of(kind, ratio), "pixel_scale_ratio": single(ratio)}
    options = options_of(kernel, pixfrac, backend=backend)
    expected = resampled([model], frame, enable_var=False, **options)
    operator = gpures.drizzle_operator(model, frame, **options)
    assert isinstance(operator, csr_array)
    shape = frame["wcs"].array_shape
    assert operator.shape == (shape[0] * shape[1], model["data"].size)
    assert operator.dtype == np.float64
    weight = (operator @ np.ones(model["data"].size)).reshape(shape)
    sums = (operator @ model["data"].astype("f8").ravel()).reshape(shape)
    # Roundings of sums of magnitudes, and of coordinates, by which a share may move.
    bound = 64 * EPS64 * (abs(operator) @ np.abs(model["data"].astype("f8")).ravel()).reshape(shape)
    bound += GEOMETRY * EPS64 * max(shape) * abs(operator).max() * np.abs(model["data"]).max()
    assert bound.max() < 1e-10
    assert (np.abs(weight - expected["wht"]) <= bound).all()
    there = expected["wht"] != 0
    assert there.any()
    assert (np.abs(sums - expected["data"] * expected["wht"])[there] <= bound[there]).all()
    positive = np.asarray((operator > 0).sum(axis=1)).reshape(shape) > 0
    np.testing.assert_array_equal(positive, expected["con"][0] != 0)
    bad = (model["dq"] & 1).ravel() != 0
    assert bad.any()
    assert not operator[:, bad].nnz
    assert_canonical(operator)


def assert_canonical(operator):
    """Rows are sorted, and name no input pixel twice."""
    row = np.repeat(np.arange(operator.shape[0]), np.diff(operator.indptr))
    assert (np.diff(operator.indices)[np.diff(row) == 0] > 0).all()


def truth_of(exposure, kernel, shape):
    """The matrix by the definition, and by how much rounding may change its elements."""
    terms = oracle._Terms(exposure, MosaicLayout(shape, kernel))
    at = terms.j * shape[1] + terms.i, terms.row * exposure.shape[1] + terms.column
    size = shape[0] * shape[1], exposure.shape[0] * exposure.shape[1]
    bound = (EXPONENT + 16) * EPS64 * np.abs(terms.dow) + GEOMETRY * EPS64 * max(shape) * terms.slope
    return coo_array((terms.dow, at), shape=size).toarray(), coo_array((bound, at), shape=size).toarray()


def exposure_of(kernel, pixfrac, ratio, angle, shape=(11, 13), flip=False):
    """An exposure with weights of all kinds, some of which are 0, and the shape of a frame that cuts it."""
    rng = np.random.default_rng(5)
    weight = np.where(rng.random(shape) < 0.1, 0.0, rng.uniform(-0.3, 3.0, shape))
    side = oracle.frame_side(shape, ratio, kernel, pixfrac, margin=0)
    frame = side - 4, side - 1
    pixmap = oracle.pixel_map(shape, (side / 2 - 2.2, side / 2 - 3.4), ratio, angle, flip, warp=0.02)
    pixmap[3, 4] = np.nan
    settings = {"dq": (rng.random(shape) < 0.1).astype("u2"), "pixfrac": pixfrac, "pixel_scale_ratio": single(ratio)}
    weight = Weight(weight_map=weight.astype("f4"), bad_bits=1)
    return oracle.exposure(np.zeros(shape, "f4"), pixmap, weight=weight, **settings), frame


def own_operator(backend, exposure, kernel, frame, window=None):
    """The matrix of an exposure on a window of a frame, as scipy's."""
    window = Box.whole(frame) if window is None else window
    if backend == "cpu":
        made = CPUOperator(exposure, kernel, frame, window)
    else:
        from gpures.backend.cuda.operator import CUDAOperator

        made = CUDAOperator(exposure, kernel, frame, window, 0)
    rows = (window.xmax - window.xmin + 1) * (window.ymax - window.ymin + 1)
    return made.matrix((rows, exposure.shape[0] * exposure.shape[1]))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("pixfrac", "ratio", "angle"), [(1.0, 1.0, 0.0), (0.3, 0.4, 31.0), (0.7, 2.0, 200.0)])
def test_elements_are_the_definitions(own_backend, kernel, pixfrac, ratio, angle):
    """Every element, of weights of both signs, with pixels that are bad, or nowhere, or beside the frame."""
    exposure, frame = exposure_of(kernel, pixfrac, ratio, angle, flip=ratio == 2)
    operator = own_operator(own_backend, exposure, kernel, frame)
    expected, bound = truth_of(exposure, kernel, frame)
    assert np.count_nonzero(expected) > 90
    assert (np.abs(operator.toarray() - expected) <= bound).all()
    assert operator.nnz == np.count_nonzero(operator.toarray())
    window = Box(3, frame[1] - 5, 2, frame[0] - 2)
    inside = np.zeros(frame, bool)
    inside[window.slices] = True
    part = own_operator(own_backend, exposure, kernel, frame, window)
    difference = np.abs(part.toarray() - operator.toarray()[inside.ravel()])
    assert (difference <= bound[inside.ravel()]).all()  # bounds decide which way the same share is computed


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("ratio", [1.0, 0.7, 1.7, 3.1])
@pytest.mark.parametrize("angle", [0.0, 3.0, 6.0, 20.0, 45.0, 71.0, 90.0, 139.0, 225.0, 343.0])
def test_elements_of_drops_that_touch(angle, ratio, flip):
    """Drops whose corners and edges are shared, at any angle: every element is the definition's, and no other is there.

    Where drops are small or large, or the frame or a tile cuts them, each is computed by itself.
    """
    shape, rng = (9, 70), np.random.default_rng(round(angle))
    side = oracle.frame_side(shape, ratio, "square", 1.0, margin=0)
    frame = side - 4, side - 1
    pixmap = oracle.pixel_map(shape, (side / 2 - 2.2, side / 2 - 3.4), ratio, angle, flip, warp=0.02)
    weight = np.where(rng.random(shape) < 0.1, 0.0, rng.uniform(-0.3, 3.0, shape)).astype("f4")
    settings = {"weight": Weight(weight_map=weight), "pixel_scale_ratio": single(ratio)}
    exposure = oracle.exposure(np.zeros(shape, "f4"), pixmap, **settings)
    operator = own_operator("cpu", exposure, "square", frame)
    expected, bound = truth_of(exposure, "square", frame)
    assert np.count_nonzero(expected) > 500
    assert (np.abs(operator.toarray() - expected) <= bound).all()


@pytest.mark.also_on_ptx
@pytest.mark.parametrize("kernel", ["square", "gaussian"])
def test_on_a_gpu(cuda, kernel):
    """What a GPU's code makes is what a CPU makes, and sorted."""
    exposure, frame = exposure_of(kernel, 0.7, 0.8, 31.0, shape=(7, 8))
    operator, expected = (own_operator(backend, exposure, kernel, frame) for backend in ("cuda", "cpu"))
    bound = truth_of(exposure, kernel, frame)[1]
    assert operator.nnz == expected.nnz > 50
    assert (np.abs((operator - expected).toarray()) <= bound).all()
    assert_canonical(operator)


def test_nothing_depends_on_threads(monkeypatch):
    """The same bits on any number of threads."""
    exposure, frame = exposure_of("square", 0.8, 0.9, 25.0, shape=(150, 170))
    made = []
    for threads in ("1", "3"):
        monkeypatch.setenv("GPURES_NUM_THREADS", threads)
        made.append(own_operator("cpu", exposure, "square", frame))
    assert_canonical(made[0])
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(made[0], name), getattr(made[1], name))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("pixfrac", "ratio"), [(0.8, 0.7), (1.0, 1.4)])
def test_covariance(kernel, pixfrac, ratio):
    """The diagonal of W diag(variance) W^T over the squared weights is the propagated variance, of two exposures."""
    models = [one_model(10.0 * k, seed=k) for k in range(2)]
    frame = {"wcs": frame_of("gwcs", ratio), "pixel_scale_ratio": single(ratio)}
    options = options_of(kernel, pixfrac, backend="cpu")
    expected = resampled(models, frame, variance_method="propagated", **options)
    operators = [gpures.drizzle_operator(model, frame, **options) for model in models]
    weight = sum(operator @ np.ones(operator.shape[1]) for operator in operators)
    for name in ("var_rnoise", "var_poisson"):
        covariance = sum(
            operator @ diags_array(model[name].astype("f8").ravel()) @ operator.T
            for operator, model in zip(operators, models, strict=True)
        )
        there = np.abs(weight) > 1e-3 * weight.max()  # where Lanczos' weights do not all but cancel
        variance = covariance.diagonal()[there] / weight[there] ** 2
        np.testing.assert_allclose(variance, expected[name].ravel()[there], rtol=1e-12)
        assert (abs(covariance - covariance.T)).max() <= 8 * EPS64 * abs(covariance).max()


def test_adjoint():
    """What is drizzled forth and back is the same sum."""
    operator = gpures.drizzle_operator(one_model(33.0), frame_of("gwcs", 0.9), backend="cpu", pixfrac=0.8)
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=operator.shape[1]), rng.normal(size=operator.shape[0])
    np.testing.assert_allclose(y @ (operator @ x), (operator.T @ y) @ x, rtol=1e-12)


def test_default_sums():
    """To the roundings of float32 it is what a resampler makes by default."""
    model, frame = one_model(20.0), frame_of("gwcs", 0.83)
    resample = gpures.Resample({"wcs": frame}, backend="cpu", kernel="turbo")
    resample.add_model(model)
    operator = gpures.drizzle_operator(model, frame, backend="cpu", kernel="turbo")
    data = operator @ model["data"].ravel().astype("f8")
    weight = operator @ np.ones(operator.shape[1])
    with np.errstate(invalid="ignore"):
        mosaic = np.where(weight > 0, data / weight, 0).reshape(frame.array_shape)
    np.testing.assert_allclose(resample.output_model["data"], mosaic, rtol=4 * EPS32, atol=4 * EPS32)


# ---- frames ----------------------------------------------------------------------------------------------------------


def test_beside_the_frame():
    """An exposure that misses the frame has no entries."""
    frame = scenes.imaging_wcs((9, 10), shift=(500.0, 0.0))
    operator = gpures.drizzle_operator(one_model(), frame, backend="cpu")
    assert operator.shape == (90, SHAPE[0] * SHAPE[1])
    assert operator.nnz == 0


def test_around_a_frame(own_backend):
    """On a frame that goes round, an exposure falls on both of its ends; what falls on a pixel twice is one entry."""
    shape, period = (6, 8), 12.0
    pixmap = oracle.pixel_map(shape, (0.3, 3.1), 0.6, 10.0)
    one = oracle.exposure(np.zeros(shape, "f4"), pixmap, pixfrac=0.9, pixel_scale_ratio=single(0.6))
    one.pixmap.period = (period, 0.0)
    operator = own_operator(own_backend, one, "lanczos3", (9, 12))
    operator.sum_duplicates()
    expected, bound = truth_of(one, "lanczos3", (9, 12))
    assert (np.abs(operator.toarray() - expected) <= bound + 2 * EPS64 * np.abs(expected)).all()


def sky(projection, shape, scale, at=(0.0, 0.0)):
    """FITS WCS of a projection, with pixels of `scale` degrees."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"RA---{projection}", f"DEC--{projection}"]
    wcs.wcs.crval, wcs.wcs.cdelt = at, (-scale, scale)
    wcs.wcs.crpix = (np.array(shape[::-1]) + 1) / 2
    wcs.array_shape = shape
    return wcs


@pytest.mark.parametrize("backend", ["cpu", "cuda"])
@pytest.mark.parametrize(("projection", "kernel"), [("CAR", "square"), ("CAR", "gaussian"), ("AIT", "square")])
def test_across_a_seam(host_cuda, backend, projection, kernel):
    """In frames of the whole sky an exposure across the seam, and around a pole, is where the resampler has it."""
    shape = (30, 33)
    for latitude in (20.0, 89.0):
        model = scenes.model_of(sky("TAN", shape, 0.6, (180.0, latitude)), shape, seed=3)
        frame = {"wcs": sky(projection, (60, 120), 3.0), "pixel_scale": 10800.0, "pixel_scale_ratio": 5.0}
        options = {"kernel": kernel, "backend": backend, "good_bits": "~1"}
        expected = resampled([model], frame, enable_var=False, **options)
        operator = gpures.drizzle_operator(model, frame, **options)
        assert_canonical(operator)
        weight = (operator @ np.ones(operator.shape[1])).reshape(60, 120)
        assert (weight[:, :60] > 0).any()
        assert (weight[:, 60:] > 0).any()
        np.testing.assert_allclose(weight, expected["wht"], rtol=1e-9, atol=1e-9)
        sums = (operator @ model["data"].ravel().astype("f8")).reshape(60, 120)
        there = weight > 1e-6
        np.testing.assert_allclose((sums / np.where(there, weight, 1))[there], expected["data"][there], rtol=1e-9)


def test_drops_that_meet_themselves():
    """In a frame that a drop goes round, what falls on a pixel from both sides is one entry, and what Resample has."""
    model = scenes.model_of(sky("TAN", (12, 13), 2.0, (170.0, 5.0)), (12, 13), seed=3)
    frame = {"wcs": sky("CAR", (3, 6), 60.0), "pixel_scale": 216000.0, "pixel_scale_ratio": 0.75}
    operator = gpures.drizzle_operator(model, frame, backend="cpu", kernel="lanczos3", good_bits="~1")
    assert_canonical(operator)
    expected = resampled([model], frame, enable_var=False, kernel="lanczos3", good_bits="~1")
    weight = operator @ np.ones(operator.shape[1])
    np.testing.assert_allclose(weight, expected["wht"].ravel(), atol=1e-11 * np.abs(weight).max())


def test_collapsed_drops_are_told(caplog):
    """Drops without an area have no entries, and are told."""
    pixmap = oracle.pixel_map((6, 8), (5.0, 5.0))
    pixmap[..., 1] = 4.2
    one = oracle.exposure(np.zeros((6, 8), "f4"), pixmap)
    with caplog.at_level(logging.WARNING):
        assert own_operator("cpu", one, "square", (10, 11)).nnz == 0
    assert "48 pixels of an image have no area" in caplog.text


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"backend": "drizzle"}, ValueError, "'backend' must be 'auto', 'cpu' or 'cuda', got 'drizzle'"),
        ({"kernel": "cubic"}, ValueError, "Kernel 'cubic' is not supported: 'kernel' must be one of"),
        ({"pixfrac": 3.0}, ValueError, "'pixfrac' must be"),
        ({"weight_type": "none"}, ValueError, "'weight_type' must be one of"),
        ({"device": "all"}, ValueError, "'device' must be one GPU, got 'all'"),
        ({"device": [0, 1]}, ValueError, r"'device' must be one GPU, got \(0, 1\)"),
        ({"good_bits": -3}, ValueError, "'good_bits' "),
        ({"frame": None}, ValueError, "'frame' must be a WCS, or a dict with one under 'wcs', got None"),
        ({"frame": 3}, TypeError, "'frame' must be a .*WCS"),
        ({"exposure": []}, ValueError, "empty"),
        ({"exposure": 3}, TypeError, "must be"),
    ],
)
def test_what_no_operator_is_made_of(change, error, text):
    """What can't be used is named."""
    arguments = {"exposure": one_model(), "frame": frame_of("gwcs", 1.0), "backend": "cpu"} | change
    with pytest.raises(error, match=text):
        gpures.drizzle_operator(**arguments)


def test_one_exposure_alone():
    """Of several there is no one operator."""
    with pytest.raises(ValueError, match="'exposure' must be one exposure, got 2 of them"):
        gpures.drizzle_operator([one_model(), one_model(seed=4)], frame_of("gwcs", 1.0), backend="cpu")


def test_a_key_is_missing():
    """A model without its flags is refused."""
    model = one_model()
    del model["dq"]
    with pytest.raises(KeyError, match="'dq'"):
        gpures.drizzle_operator(model, frame_of("gwcs", 1.0), backend="cpu")


def test_too_large(monkeypatch):
    """A matrix that does not fit is refused before it is made."""
    monkeypatch.setattr("gpures.backend.operator.available_memory", lambda: 20_000)
    with pytest.raises(MemoryError, match=r"operator of model 'exposure3.fits' needs 0.00 GiB of memory"):
        gpures.drizzle_operator(one_model(), frame_of("gwcs", 1.0), backend="cpu")


def test_stays_on_the_device(stand_in, monkeypatch):
    """With `to_host=False` the matrix is CuPy's, of the very arrays that were made there."""
    made = []

    def csr_matrix(arrays, shape):
        made.append((*(array.get() for array in arrays), shape))
        return made

    for name in ("cupyx", "cupyx.scipy", "cupyx.scipy.sparse"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules["cupyx.scipy.sparse"].csr_matrix = csr_matrix
    model, frame = one_model(20.0), frame_of("gwcs", 1.0)
    assert gpures.drizzle_operator(model, frame, backend="cuda", to_host=False, kernel="point") is made
    expected = gpures.drizzle_operator(model, frame, backend="cuda", kernel="point")
    data, indices, indptr, shape = made[0]
    assert shape == expected.shape
    for got, of_scipy in ((data, expected.data), (indices, expected.indices), (indptr, expected.indptr)):
        assert got.dtype == of_scipy.dtype
        np.testing.assert_array_equal(got, of_scipy)


def test_on_a_real_gpu(gpu):
    """CuPy's matrix gives the sums of scipy's."""
    model, frame = one_model(20.0), frame_of("gwcs", 1.0)
    there = gpures.drizzle_operator(model, frame, backend="cuda", to_host=False)
    data = model["data"].ravel().astype("f8")
    expected = gpures.drizzle_operator(model, frame, backend="cpu") @ data
    np.testing.assert_allclose((there @ gpu.asarray(data)).get(), expected, rtol=1e-11, atol=1e-11)


def test_too_large_for_a_gpu(stand_in, monkeypatch):
    """More entries than are counted there, or than its memory holds, are refused before they are made."""
    model, frame = one_model(), frame_of("gwcs", 1.0)
    with monkeypatch.context() as few:
        few.setattr("gpures.backend.operator.MOST_NARROW", 1000)
        with pytest.raises(MemoryError, match=r"entries in \d+ rows, and on a GPU they are counted to 2147483647"):
            gpures.drizzle_operator(model, frame, backend="cuda", kernel="point")
    stand_in.memory = 1 << 14
    with pytest.raises(MemoryError, match=r"needs 0\.00 GiB of memory"):
        gpures.drizzle_operator(model, frame, backend="cuda", kernel="point")


def test_of_a_file(tmp_path):
    """Of an image of a file those flags are forgiven that its mission's mosaics forgive."""
    path = tmp_path / "one_cal.fits"
    files.jwst_file(path)
    (model,) = gpures.io.read(path)
    frame = scenes.frame_around(model["data"].shape, ra=float(centre_of(model)[0]), dec=float(centre_of(model)[1]))
    operator = gpures.drizzle_operator(path, frame, backend="cpu")
    expected = gpures.drizzle_operator(model, frame, backend="cpu", good_bits="~513")
    assert operator.nnz == expected.nnz > 100
    assert gpures.drizzle_operator(path, frame, backend="cpu", good_bits=0).nnz < operator.nnz
    np.testing.assert_array_equal(operator.data, expected.data)


def centre_of(model):
    """Where the middle of a model lies on the sky."""
    ny, nx = model["data"].shape
    return model["wcs"](nx / 2, ny / 2)


def test_long_rows():
    """Rows of hundreds of entries are sorted as well."""
    exposure, frame = exposure_of("square", 1.0, 20.0, 25.0, shape=(60, 70))
    exposure.pixmap.full[3, 4] = exposure.pixmap.full[3, 5]
    operator = own_operator("cpu", exposure, "square", frame)
    assert np.diff(operator.indptr).max() > 200
    assert_canonical(operator)
    weights = oracle.weights_of(exposure).sum()
    assert 0.3 * weights < operator.sum() <= weights * (1 + 1e-12)


def test_indices_of_64_bits(monkeypatch):
    """Where there are very many entries, indices are wide, and the matrix is the same."""
    exposure, frame = exposure_of("square", 0.8, 0.9, 25.0)
    narrow = own_operator("cpu", exposure, "square", frame)
    monkeypatch.setattr("gpures.backend.operator.MOST_NARROW", 100)
    made = CPUOperator(exposure, "square", frame, Box.whole(frame))
    assert made.columns.dtype == made.starts.dtype == np.int64
    np.testing.assert_array_equal(made.starts, narrow.indptr)
    np.testing.assert_array_equal(made.columns, narrow.indices)
    np.testing.assert_array_equal(made.weights, narrow.data)
