"""Covariances of output pixels, the noise factor, and errors of sums over areas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracle
import pytest
from test_propagated import exposures_of, shifted
from tolerances import EPS32, PRECISION, assert_close

import gpures
from gpures import _cpu
from gpures.backend import MosaicLayout, make_accumulators
from gpures.backend.pairs import lags
from gpures.exposure.drops import KERNELS

pytestmark = [
    pytest.mark.filterwarnings("ignore:Kernel '.*' is not a flux-conserving kernel"),
    pytest.mark.filterwarnings("ignore:In lanczos kernel, pix"),
]


# ---- the definition ------------------------------------------------------------------------------------------------


def run(backend, frame, exposures):
    """Covariances, their lags, and the noise factor, of a mosaic on a backend."""
    accumulators = make_accumulators(backend, frame)
    for exposure in exposures:
        accumulators.add(exposure)
    factor = np.array(accumulators.noise_factor())
    return np.array(accumulators.finish_covariances()), lags(accumulators.layout.max_lag), factor


def with_pairs(frame, names=("var_rnoise", "var_flat"), **settings):
    """A layout with pairs of output pixels."""
    return replace(frame, noise_names=names, all_lags=True, **settings)


def variances_of(exposures, frame):
    """Variances of the exposures' pixels, as they are the sum of arrays."""
    if frame.noise_names == ("err",):
        return [np.where(e.err < 0, np.nan, np.asarray(e.err, float) ** 2) for e in exposures]
    arrays = [[np.asarray(e.variances[name], float) for name in frame.noise_names] for e in exposures]
    return [sum(np.where(v < 0, np.nan, v) for v in each) for each in arrays]


def assert_definition(backend, got, found_lags, exposures, frame):
    """Covariances are those of the definition, to the roundings of a sum."""
    plain = [replace(exposure, err=None, variances={}) for exposure in exposures]
    truth = oracle.coadd(plain, replace(frame, variance_names=(), has_err=False))
    at = oracle.covariances(exposures, frame, variances_of(exposures, frame))
    rounding = 2 * PRECISION[backend, frame.dtype.str[1:]].eps * len(exposures)
    with np.errstate(divide="ignore", invalid="ignore"):
        of_weight = (1e-13 + 2 * rounding) * truth.abs_wht / np.abs(truth.wht)
        of_weight += 1e-12 * truth.moved_wht / np.abs(truth.wht)
    for (dy, dx), image in zip(found_lags, got, strict=True):
        expected, size, change = at(dy, dx)
        other = np.full(frame.shape, np.inf)
        ny, nx = frame.shape
        y, x = np.mgrid[:ny, :nx]
        there = (y + dy < ny) & (x + dx >= 0) & (x + dx < nx)
        other[there] = np.where(truth.unsure, np.inf, of_weight)[y[there] + dy, x[there] + dx]
        own = np.where(truth.unsure, np.inf, of_weight)
        with np.errstate(invalid="ignore"):
            bound = (1e-13 + own + other) * (size + np.abs(expected)) + 1e-12 * change
        sure = np.isfinite(own) & np.isfinite(other)
        np.testing.assert_array_equal(np.isnan(image)[sure], np.isnan(expected)[sure], f"{dy}, {dx}")
        assert_close(
            np.where(sure, image, 0), np.where(sure, expected, 0), np.where(sure, bound, np.inf), f"{dy}, {dx}"
        )
    assert (np.isfinite(got[0]) & ~truth.unsure).sum() > 0.1 * (truth.count > 0).sum()


CASES = [(1.0, 1.0, 0.0), (0.3, 0.4, 31.0), (0.7, 2.0, 90.0)]


def check_definition(backend, kernel, pixfrac, ratio, angle, shape=None, **settings):
    """Covariances of exposures of all kinds are those of the definition."""
    shape = shape or ((3, 4) if kernel[:7] == "lanczos" and ratio < 1 else (8, 9))
    exposures, frame = exposures_of(np.random.default_rng(1), kernel, pixfrac, ratio, angle, shape=shape)
    frame = with_pairs(frame, **settings)
    got, found, _ = run(backend, frame, exposures)
    assert_definition(backend, got, found, exposures, frame)
    return got


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("pixfrac", "ratio", "angle"), CASES)
def test_definition(kernel, pixfrac, ratio, angle):
    """Every kernel, with weights, scales, bad pixels and unknown variances of all kinds: all lags that there are."""
    check_definition("cpu", kernel, pixfrac, ratio, angle)


@pytest.mark.parametrize(
    ("kernel", "case"),
    [
        pytest.param("square", (0.9, 1.1, 20.0), marks=pytest.mark.also_on_ptx),
        ("square", CASES[1]),
        ("lanczos2", CASES[0]),
        ("turbo", CASES[1]),
    ],
)
def test_definition_on_a_gpu(cuda, kernel, case):
    """The same by the kernels for GPUs, with drops that are larger than what a thread holds."""
    check_definition("cuda", kernel, *case)


@pytest.mark.parametrize("isa", ["baseline", "avx2"])
def test_other_instruction_sets(isa, monkeypatch):
    """The same with narrower vectors."""
    monkeypatch.setenv("GPURES_ISA", isa)
    for kernel, case in (("square", CASES[1]), ("gaussian", CASES[0])):
        check_definition("cpu", kernel, *case)


@pytest.mark.parametrize("isa", ["baseline", "avx2", ""])
@pytest.mark.parametrize(("kernel", "pixfrac"), [("square", 0.9), ("turbo", 0.6)])
def test_pixels_of_half_the_size(kernel, pixfrac, isa, monkeypatch):
    """Where neighbours fall two output pixels apart, which is added up in other vectors."""
    monkeypatch.setenv("GPURES_ISA", isa)
    check_definition("cpu", kernel, pixfrac, 0.5, 0.0, shape=(4, 21))


def test_drops_larger_than_are_held():
    """They are walked part by part."""
    got = check_definition("cpu", "turbo", 1.0, 0.055, 0.0, shape=(2, 2))
    assert len(got) > _cpu.planes_of_lags(17)


def test_errors_and_doubles(own_backend):
    """Of squares of errors, in sums of either type."""
    check_definition(own_backend, "turbo", 0.8, 1.2, 20.0, names=("err",), dtype=np.dtype("f8"))


@pytest.mark.parametrize("lag", [1, 2])
def test_longest_lag(own_backend, lag):
    """Fewer lags than drops reach are the first of all."""
    exposures, frame = exposures_of(np.random.default_rng(1), "lanczos3", 1.0, 0.7, 15.0, shape=(8, 9), bad=0.0)
    every, *_ = run(own_backend, with_pairs(frame), exposures)
    got, found, _ = run(own_backend, replace(with_pairs(frame), all_lags=False, max_lag=lag), exposures)
    assert len(got) == len(found) == ((2 * lag + 1) ** 2 + 1) // 2 < len(every)
    np.testing.assert_allclose(got, every[: len(got)], rtol=1e-9, atol=1e-9 * np.nanmax(every))


def test_tiles_and_threads(monkeypatch):
    """Pairs across the borders of tiles, and however many threads there are, to the last bit."""
    rng, shape = np.random.default_rng(3), (20, 60)
    frame = with_pairs(MosaicLayout((280, 560), "square", np.nan, ("v",)), ("v",), max_lag=2)
    exposures = []
    for k, angle in enumerate((0.0, 33.0)):  # side by side, and turned
        pixmap = oracle.pixel_map(shape, (511.3, 255.2), 1.0, angle)
        one = oracle.exposure(np.ones(shape, "f4"), pixmap, context_id=k)
        one.variances = {"v": rng.uniform(1, 2, shape).astype("f4")}
        exposures.append(one)
    of_threads = []
    for threads in ("1", "3"):
        monkeypatch.setenv("GPURES_NUM_THREADS", threads)
        of_threads.append(run("cpu", frame, exposures)[0])
    np.testing.assert_array_equal(*of_threads)
    assert_definition("cpu", of_threads[0], lags(2), exposures, frame)


# ---- the noise factor ----------------------------------------------------------------------------------------------


def factor_of(exposures, frame):
    """The noise factor by its definition: from covariances, and from whole drops."""
    size = frame.shape[0] * frame.shape[1]
    total, sums, whole = np.zeros(size), 0.0, 0.0
    for exposure, variance in zip(exposures, variances_of(exposures, frame), strict=True):
        weights = oracle.operator(exposure, frame)
        total += weights.sum(axis=1)
        v = variance.ravel() * exposure.iscale**2
        sums = sums + weights @ np.diag(v) @ weights.T.toarray()
        whole = whole + weights @ (v * weights.sum(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        per = np.where(total != 0, 1 / total, 0)
        variances = np.diag(sums) * per**2
        return np.sqrt(sums @ per * per / variances).reshape(frame.shape), np.sqrt(whole * per**2 / variances).reshape(
            frame.shape
        )


@pytest.mark.parametrize("kernel", ["square", "turbo", "gaussian"])
def test_noise_factor(own_backend, kernel):
    """From covariances, and from whole drops: each by its definition; where sums of weights change they differ."""
    exposures, frame = exposures_of(np.random.default_rng(5), kernel, 0.9, 0.8, 20.0, shape=(7, 8), bad=0.0)
    whole_drops = replace(with_pairs(frame), all_lags=False, whole_drops=True)
    of_covariances, of_drops = factor_of(exposures, with_pairs(frame))
    there = np.isfinite(of_covariances)
    for layout, expected in ((with_pairs(frame), of_covariances), (whole_drops, of_drops)):
        *_, got = run(own_backend, layout, exposures)
        np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
        np.testing.assert_allclose(got[there], expected[there], rtol=1e-5)
    assert np.abs(of_drops / of_covariances - 1)[there].max() > 0.1


def one_of_ones(pixmap, context_id=0, pixfrac=1.0):
    """An exposure of variance 1 and weight 1."""
    shape = pixmap.shape[:2]
    one = oracle.exposure(np.zeros(shape, "f4"), pixmap, context_id=context_id, pixfrac=pixfrac)
    one.variances = {"v": np.ones(shape, "f4")}
    return one


@pytest.mark.parametrize("by_drops", [True, False])
def test_factor_of_half_a_pixel(own_backend, by_drops):
    """Moved by half a pixel both ways: C = 1/4, 1/8 and 1/16, whose sum is 1, and so the factor 2."""
    frame = MosaicLayout((12, 14), "square", np.nan, ("v",), noise_names=("v",), all_lags=not by_drops)
    one = one_of_ones(shifted(0.5, 0.5))
    got, found, factor = run(own_backend, replace(frame, whole_drops=by_drops), [one])
    np.testing.assert_allclose(factor[2:-1, 2:-1], 2.0, rtol=4 * EPS32)
    if not by_drops:
        expected = {0: 0.25, 1: 0.125, 2: 0.0625}
        for (dy, dx), image in zip(found, got, strict=True):
            np.testing.assert_allclose(image[2:-2, 2:-2], expected[abs(dy) + abs(dx)], rtol=4 * EPS32)


@pytest.mark.parametrize("pixfrac", [1.0, 0.6, 0.01])
def test_many_dithers(pixfrac):
    """Where many exposures fall evenly it is 1 / (1 - p / 3), as Fruchter & Hook have it: 1 for small drops."""
    steps = (np.arange(20) + 0.5) / 20
    exposures = [one_of_ones(shifted(steps[k % 20], steps[k // 20], (8, 8)), k, pixfrac) for k in range(400)]
    frame = MosaicLayout((8, 8), "square", np.nan, ("v",), noise_names=("v",), whole_drops=True)
    _, _, factor = run("cpu", frame, exposures)
    np.testing.assert_allclose(factor[3:5, 3:5], 1 / (1 - pixfrac / 3), rtol=4e-3)
    of_all = run("cpu", replace(frame, whole_drops=False, all_lags=True), exposures)[2]
    np.testing.assert_allclose(of_all[3:5, 3:5], factor[3:5, 3:5], rtol=1e-5)  # as sums of weights are equal


def test_points(own_backend):
    """Points are in one pixel each: there is one lag, and the factor is 1."""
    frame = MosaicLayout((12, 14), "point", np.nan, ("v",), noise_names=("v",), all_lags=True)
    got, found, factor = run(own_backend, frame, [one_of_ones(shifted(0.3, 0.2))])
    assert found.tolist() == [[0, 0]]
    np.testing.assert_allclose(factor, 1.0)
    np.testing.assert_allclose(got[0], 1.0)


# ---- noise itself --------------------------------------------------------------------------------------------------

REALIZATIONS = 2240
AT_A_TIME = 28


def realizations(exposures, frame, rng):
    """Mosaics of pure noise of the exposures, (n, Ny, Nx), by the resampler: as arrays that ride along."""
    names = tuple(f"noise_{k}" for k in range(AT_A_TIME))
    plain = replace(frame, variance_names=(), has_err=False, has_dq=False, noise_names=(), extra_names=names)
    images = []
    for _ in range(REALIZATIONS // AT_A_TIME):
        accumulators = make_accumulators("cpu", plain)
        for exposure, variance in zip(exposures, variances_of(exposures, frame), strict=True):
            sigma = np.sqrt(variance) * exposure.iscale
            noise = rng.normal(size=(AT_A_TIME, *sigma.shape)) * sigma
            extras = dict(zip(names, noise, strict=True))
            accumulators.add(replace(exposure, err=None, dq=exposure.dq, variances={}, extras=extras))
        made = accumulators.images()
        images += [made[name].astype(float) for name in names]
    return np.array(images)


def deviation(statistic, expected):
    """By how many of its standard errors the mean of a statistic, one for each realization, is off."""
    return (statistic.mean() - expected) / (statistic.std() / np.sqrt(len(statistic)))


def assert_of_size(squares, predicted):
    """Squares (n, k), of what has predicted variances (k,), are so on average; not if these were by 1.02 in error."""
    statistic = (squares / predicted).mean(axis=1)
    assert abs(deviation(statistic, 1.0)) < 4
    for wrong in (1.02**2, 1 / 1.02**2):
        assert abs(deviation(statistic / wrong, 1.0)) > 4


@pytest.mark.parametrize(
    ("kernel", "pixfrac", "ratio", "angle"),
    [
        ("square", 1.0, 1.0, 3.0),
        ("square", 0.5, 0.5, 31.0),
        ("turbo", 0.8, 2.0, 80.0),
        ("gaussian", 0.9, 0.8, 12.0),
        ("point", 1.0, 0.9, 45.0),
        ("lanczos2", 1.0, 1.0, 20.0),
        ("lanczos3", 1.0, 0.9, 5.0),
    ],
)
def test_noise(kernel, pixfrac, ratio, angle):
    """Sigma, covariances, errors of apertures and the noise factor are those of noise that was resampled."""
    rng = np.random.default_rng(8)
    shape = (12, 12) if ratio < 0.6 or kernel == "lanczos3" else (18, 20)
    shape = (36, 40) if ratio > 1.5 or kernel == "point" else shape  # whose pixels are fewer, or cost little
    exposures, frame = exposures_of(rng, kernel, pixfrac, ratio, angle, shape=shape, bad=0.0)
    frame = with_pairs(frame)
    covariances, found, factor = run("cpu", frame, exposures)
    noise = realizations(exposures, frame, rng)
    # Where there is weight enough that neither Lanczos' negative weights nor edges make it a number near 0.
    weight = make_weights(exposures, frame)
    there = weight > 0.3 * np.median(weight[weight > 0])
    variance = covariances[0]
    assert_of_size(noise[:, there] ** 2, variance[there])
    # Covariances, all at once, in the sum of products that has the least error if they are what they are said to be.
    if len(found) > 1:
        sums, of_them = np.zeros(len(noise)), 0.0
        scaled = np.where(there, noise / np.sqrt(np.where(there, variance, 1)), 0)
        for (dy, dx), plane in zip(found[1:], covariances[1:], strict=True):
            own, other = overlapping(frame.shape, dy, dx)
            both = there[own] & there[other]
            sigma = np.sqrt(np.where(both, variance[own] * variance[other], 1))
            correlation = np.where(both, plane[own], 0) / sigma
            sums += (scaled[:, *own] * scaled[:, *other] * correlation).sum(axis=(1, 2))
            of_them += (correlation**2).sum()
        assert abs(deviation(sums / of_them, 1.0)) < 4
        assert abs(deviation(sums / of_them, 1.02**2)) > 3
    # Apertures of some sizes.
    model = {"covariance": covariances, "covariance_lags": found}
    rows, columns = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
    apertures, errors = [], []
    for size in (3, 5):
        for y in range(rows[0], rows[-1] - size, size):
            for x in range(columns[0], columns[-1] - size, size):
                part = slice(y, y + size), slice(x, x + size)
                if there[part].all():
                    region = np.zeros(frame.shape)
                    region[part] = rng.uniform(0.5, 1.0, (size, size))
                    apertures.append((noise[:, *part] * region[part]).sum(axis=(1, 2)))
                    errors.append(gpures.aperture_error(model, region))
    assert_of_size(np.array(apertures).T ** 2, np.array(errors) ** 2)
    # The factor: a pixel with all around it.
    middle = noise - 0.0
    everything = np.where(np.isfinite(middle), middle, 0).sum(axis=(1, 2))
    whole = gpures.aperture_error(model, weight != 0)
    assert abs(deviation(everything**2 / whole**2, 1.0)) < 4
    assert np.isfinite(factor[there]).all() or kernel.startswith("lanczos")


def make_weights(exposures, frame):
    """Sums of weights of a mosaic."""
    plain = replace(frame, variance_names=(), has_err=False, noise_names=())
    return oracle.run("cpu", plain, [replace(e, err=None, variances={}) for e in exposures])["wht"]


def overlapping(shape, dy, dx):
    """Places of both pixels of the pairs of a lag."""
    ny, nx = shape
    return (
        (slice(0, ny - dy), slice(max(0, -dx), nx - max(0, dx))),
        (slice(dy, ny), slice(max(0, dx), nx - max(0, -dx))),
    )


@pytest.mark.parametrize(("ratio", "angle"), [(1.0, 0.0), (0.4, 33.0), (2.0, 10.0)])
def test_variance_of_an_area(own_backend, ratio, angle):
    """Summed over all output pixels, weight times weight times covariance is the variance of the input, to 1e-6."""
    rng, shape = np.random.default_rng(2), (12, 13)
    variance = rng.uniform(0.5, 3.0, shape)
    side = oracle.frame_side(shape, ratio)
    one = oracle.exposure(
        np.zeros(shape, "f4"), oracle.pixel_map(shape, (side / 2 + 0.3, side / 2 - 0.2), ratio, angle)
    )
    one.variances = {"v": variance}
    frame = MosaicLayout((side, side), "square", np.nan, ("v",), noise_names=("v",), all_lags=True)
    covariances, found, _ = run(own_backend, frame, [one])
    error = gpures.aperture_error({"covariance": covariances, "covariance_lags": found}, make_weights([one], frame))
    np.testing.assert_allclose(error**2, variance.sum(), rtol=1e-6)


# ---- areas ---------------------------------------------------------------------------------------------------------


class Aperture:
    """As photutils has them: its masks know their overlap with an image."""

    def __init__(self, *images, one=False):
        self._images, self._one = images, one

    def to_mask(self, method):
        """Masks, or one."""
        assert method == "exact"
        masks = [type("Mask", (), {"to_image": lambda _, shape, image=image: image})() for image in self._images]
        return masks[0] if self._one else masks


def test_areas():
    """Errors of sums and means are those of a^T C a; of arrays, masks and apertures."""
    exposures, frame = exposures_of(np.random.default_rng(5), "square", 0.9, 0.8, 20.0, shape=(7, 8), bad=0.0)
    covariances, found, _ = run("cpu", with_pairs(frame), exposures)
    model = {"covariance": covariances.astype("f4"), "covariance_lags": found}
    ny, nx = frame.shape
    full = np.zeros((ny * nx, ny * nx))
    for (dy, dx), plane in zip(found, covariances, strict=True):
        own, other = (np.arange(ny * nx).reshape(ny, nx)[part].ravel() for part in overlapping(frame.shape, dy, dx))
        full[own, other] = full[other, own] = np.nan_to_num(plane[overlapping(frame.shape, dy, dx)[0]]).ravel()
    there = np.isfinite(covariances[0])
    weights = np.where(there, np.random.default_rng(1).uniform(-1, 2, frame.shape), 0)
    expected = np.sqrt(weights.ravel() @ full @ weights.ravel())
    np.testing.assert_allclose(gpures.aperture_error(model, weights), expected, rtol=1e-6)
    np.testing.assert_allclose(gpures.aperture_error(model, weights, mean=True), expected / weights.sum(), rtol=1e-6)
    np.testing.assert_allclose(gpures.aperture_error(model, Aperture(weights, one=True)), expected, rtol=1e-6)
    several = gpures.aperture_error(model, Aperture(weights, there.astype(float), None))
    np.testing.assert_allclose(several, [expected, np.sqrt(there.ravel() @ full @ there.ravel()), 0.0], rtol=1e-6)
    assert np.isnan(gpures.aperture_error(model, ~there))
    assert np.isnan(gpures.aperture_error(model, np.zeros(frame.shape, bool), mean=True))
    for region, words in ((there[1:], "must have the shape of the mosaic"), (["a"], "must be an array of numbers")):
        with pytest.raises((TypeError, ValueError), match=words):
            gpures.aperture_error(model, region)
    with pytest.raises(ValueError, match="make it with covariance=True"):
        gpures.aperture_error({"data": weights}, there)


def test_correlation_function():
    """It is the mean of what the definition has, and symmetric; of parts of a mosaic as well."""
    frame = MosaicLayout((12, 14), "square", np.nan, ("v",), noise_names=("v",), all_lags=True)
    got, found, _ = run("cpu", frame, [one_of_ones(shifted(0.5, 0.25))])
    model, mask = {"covariance": got, "covariance_lags": found}, np.zeros(frame.shape, bool)
    mask[2:-2, 2:-2] = True
    along_x, along_y = [0.5, 1.0, 0.5], [3 / 10, 1.0, 3 / 10]
    np.testing.assert_allclose(gpures.correlation_function(model, mask), np.outer(along_y, along_x), rtol=1e-6)
    whole = gpures.correlation_function(model)
    assert whole.shape == (3, 3)
    assert whole[1, 1] == 1
    np.testing.assert_array_equal(whole, whole[::-1, ::-1])
    assert np.isnan(gpures.correlation_function(model, np.zeros(frame.shape, bool))).all()
