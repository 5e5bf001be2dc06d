"""`gpures.noise_realizations`: noise that is what its counter says, with the statistics that it should have."""

from __future__ import annotations

import copy
import hashlib
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import scenes
from scipy import stats
from tolerances import EPS32, EPS64

import gpures
from gpures import _cpu, io

SHAPE = (17, 21)

WORD = 1 << 32


def models_of(count=2, **changes):
    """Exposures of unequal noise, some of whose pixels are bad, that overlap."""
    return [
        scenes.model_of(
            scenes.imaging_wcs(SHAPE, rotation=9.0 * k, shift=(1.3 * k, -0.4 * k)),
            SHAPE,
            seed=k,
            **({"var_poisson": np.full(SHAPE, 0.5 + k, "f4")} | changes),
        )
        for k in range(count)
    ]


FRAME = scenes.frame_around(SHAPE, 0.9, margin=2)

OPTIONS = {"frame": FRAME, "backend": "cpu", "good_bits": "~1", "pixfrac": 0.8}


def deviates(seed, realization, exposure, count):
    """Normal deviates of the first pixels of an exposure."""
    made = np.empty(count)
    _cpu.make_noise(seed, realization, exposure, np.ones(count), made, 2)
    return made


# ---- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((WORD - 1,) * 4, (WORD - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_known_words(counter, key, words):
    """The words of Philox are those that its authors publish."""
    assert _cpu.philox(counter, *key) == words


def box_muller(seed, realization, exposure, count):
    """The deviates by their definition, of numpy's functions."""
    made = []
    for pair in range((count + 1) // 2):
        counter = pair % WORD, pair // WORD, exposure, realization
        a, b, c, d = _cpu.philox(counter, seed % WORD, seed // WORD)
        radius = np.sqrt(-2 * np.log((a * WORD + b + 0.5) / 2**64))
        quadrant, part = divmod(c * WORD + d, 1 << 62)
        angle = np.pi / 2 * (quadrant + part / 2**62 - 0.5)
        made += [radius * np.cos(angle), radius * np.sin(angle)]
    return np.array(made[:count])


@pytest.mark.parametrize(
    ("seed", "realization", "exposure"), [(0, 0, 0), (2**64 - 1, 3, 7), (12345678901, 2**32 - 1, 1)]
)
def test_deviates_are_their_definition(seed, realization, exposure):
    """Logarithm, sine, cosine and root are those of numpy to some roundings, of odd numbers of pixels as well."""
    expected = box_muller(seed, realization, exposure, 1001)
    np.testing.assert_allclose(deviates(seed, realization, exposure, 1001), expected, atol=16 * EPS64, rtol=8 * EPS64)


@pytest.mark.also_on_ptx
def test_same_bits_on_a_gpu(cuda):
    """A GPU's numbers are a CPU's to the last bit."""
    from gpures.backend.cuda.noise import CUDANoise

    sigma = np.random.default_rng(1).uniform(0.1, 3.0, (9, 15))
    noise = CUDANoise((4, 4), 0)
    made = noise.noise(noise.here(sigma), 987654321012345, 5, 3).get()
    expected = np.empty_like(sigma)
    _cpu.make_noise(987654321012345, 5, 3, sigma, expected, 1)
    np.testing.assert_array_equal(made, expected)


def test_same_bits_on_every_machine():
    """They are those of x86-64 wherever this runs, such as on arm64, whose compilers would fuse what may not be."""
    made = deviates(1, 2, 3, 20_000).astype("<f8").tobytes()
    assert hashlib.sha256(made).hexdigest() == "2785a815974faa43fb09835658661474ae5ca4e8b109b02a113449a0d0d82ef7"


def test_threads_and_sizes_change_nothing():
    """A pixel has its number whatever the number of threads and of pixels."""
    many, few = np.empty(30_001), np.empty(777)
    _cpu.make_noise(3, 1, 2, np.ones(many.size), many, 3)
    _cpu.make_noise(3, 1, 2, np.ones(few.size), few, 1)
    np.testing.assert_array_equal(many[:777], few)


# ---- statistics ------------------------------------------------------------------------------------------------------


def test_distribution():
    """Moments, tails and the whole distribution are those of the normal one."""
    n = 4_000_000
    z = deviates(11, 0, 0, n)
    assert abs(z.mean()) < 4 / np.sqrt(n)
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / n)
    assert abs(stats.skew(z)) < 4 * np.sqrt(6 / n)
    assert abs(stats.kurtosis(z)) < 4 * np.sqrt(24 / n)
    assert abs((np.abs(z) > 4).sum() - n * 2 * stats.norm.sf(4)) < 4 * np.sqrt(n * 2 * stats.norm.sf(4))
    assert stats.kstest(z[::20], "norm").pvalue > 1e-3


def test_independence():
    """Pixels beside each other, exposures, realizations and seeds are uncorrelated, and so are their squares."""
    n = 300_000
    z = deviates(1, 0, 0, n)
    others = [deviates(1, 0, 1, n), deviates(1, 1, 0, n), deviates(2, 0, 0, n), deviates(1 + WORD, 0, 0, n)]
    others += [np.roll(z, shift) for shift in (1, 2, 3, 64, 1024)]
    for other in others:
        assert abs(np.corrcoef(z, other)[0, 1]) < 4.5 / np.sqrt(n)
        assert abs(np.corrcoef(z**2, other**2)[0, 1]) < 4.5 / np.sqrt(n)


# ---- mosaics ---------------------------------------------------------------------------------------------------------


def drizzled(models, number, seed, **options):
    """A realization as the resampler makes it, of exposures whose data are noise."""
    resample = gpures.Resample({"wcs": FRAME}, fillval="NaN", **options)
    for k, model in enumerate(models):
        sigma = np.sqrt(sum(model[name].astype(float) for name in ("var_rnoise", "var_poisson", "var_flat")))
        noise = np.empty(SHAPE)
        _cpu.make_noise(seed, number, k, sigma, noise, 1)
        resample.add_model(model | {"data": noise})
    return resample.output_model


def test_realizations_are_mosaics(own_backend):
    """A realization is the mosaic of the noise of all exposures; the weight is that of the mosaic."""
    models, options = models_of(), OPTIONS | {"backend": own_backend}
    made = gpures.noise_realizations(models, 3, 42, **options, fillval="NaN")
    expected = drizzled(models, 2, 42, backend=own_backend, good_bits="~1", pixfrac=0.8)
    image = made[2]
    assert image.dtype == np.float32
    assert np.isfinite(image).sum() > 300
    np.testing.assert_allclose(image, expected["data"], rtol=8 * EPS32, atol=8 * EPS32)
    np.testing.assert_allclose(made.weight, expected["wht"], rtol=8 * EPS32)


def test_beside_the_frame():
    """An exposure that misses the frame has no noise in it, and takes its number all the same."""
    far = scenes.model_of(scenes.imaging_wcs(SHAPE, shift=(900.0, 0.0)), SHAPE)
    models = [far, *models_of()]
    image = gpures.noise_realizations(models, 1, 8, **OPTIONS, fillval="NaN")[0]
    expected = drizzled(models, 0, 8, backend="cpu", good_bits="~1", pixfrac=0.8)["data"]
    np.testing.assert_allclose(image, expected, rtol=8 * EPS32, atol=8 * EPS32)


def test_each_by_itself():
    """A realization is the same however it is asked for, and a sequence is what it behaves as."""
    made = gpures.noise_realizations(models_of(), 4, 1, **OPTIONS)
    images = list(made)
    assert len(images) == len(made) == 4
    other = gpures.noise_realizations(models_of(), 9, 1, **OPTIONS)
    np.testing.assert_array_equal(other[3], images[3])
    np.testing.assert_array_equal(made[-1], images[3])
    for image, expected in zip(made[1:3], images[1:3], strict=True):
        np.testing.assert_array_equal(image, expected)
    assert (images[0] != images[1])[made.weight > 0].all()
    with pytest.raises(IndexError):
        made[4]


@pytest.mark.filterwarnings("ignore:Kernel 'gaussian' is not a flux-conserving kernel")
@pytest.mark.parametrize(
    ("kernel", "pixfrac", "ratio"), [("square", 0.8, 0.9), ("turbo", 0.3, 0.4), ("gaussian", 1.0, 2.0)]
)
def test_scatter(kernel, pixfrac, ratio):
    """2,000 realizations scatter as the propagated variances say; 1.02 times as much is told apart."""
    models, frame = models_of(), scenes.frame_around(SHAPE, ratio, margin=2)
    options = {"kernel": kernel, "pixfrac": pixfrac, "good_bits": "~1", "backend": "cpu"}
    resample = gpures.Resample({"wcs": frame}, variance_method="propagated", compute_err="from_var", **options)
    for model in models:
        resample.add_model(model)
    resample.finalize()
    variance = resample.output_model["err"].astype(float) ** 2
    there = variance > 0
    total = np.zeros(there.sum())
    of_realizations = []
    for image in gpures.noise_realizations(models, 2000, 5, frame=frame, **options):
        ratio = image[there].astype(float) ** 2 / variance[there]
        total += ratio
        of_realizations.append(ratio.mean())
    assert np.abs(total / 2000 - 1).max() < 6 * np.sqrt(2 / 2000)
    mean, uncertain = np.mean(of_realizations), np.std(of_realizations) / np.sqrt(2000)
    assert uncertain < 0.02 / 4.5  # so that a factor of 1.02 would be seen
    assert abs(mean - 1) < 4 * uncertain


def test_noise_of_errors():
    """Noise may be that of the errors, or of some variances: it scales as they do."""
    models = [model | {"err": np.full(SHAPE, 3.0, "f4"), "var_rnoise": np.ones(SHAPE, "f4")} for model in models_of()]
    unit = gpures.noise_realizations(models, 1, 1, noise=("var_rnoise",), **OPTIONS)[0]
    by_err = gpures.noise_realizations(models, 1, 1, noise="err", **OPTIONS)[0]
    np.testing.assert_allclose(by_err, 3 * unit, rtol=4 * EPS32)
    assert np.any(unit)


def test_noise_of_spectra():
    """Noise is scaled as the data are: of spectral flux densities by the pixel scale ratio."""
    (model,) = scenes.spectral_models((12, 14), 1)
    frame = {"wcs": scenes.spectral_frame((12, 14)), "pixel_scale": 0.1, "pixel_scale_ratio": 0.5}
    options = {"backend": "cpu", "frame": frame}
    plain = gpures.noise_realizations([model], 1, 3, **options)[0]
    scaled = gpures.noise_realizations([model | {"bunit_data": "Jy"}], 1, 3, **options)[0]
    assert np.any(plain)
    np.testing.assert_allclose(scaled, 2 * plain, rtol=4 * EPS32)


def test_unknown_variance():
    """Where a pixel's variance is not known, nor is the noise of what it falls on; bad pixels fall on nothing."""
    (model,) = models_of(1)
    model["var_poisson"][8, 9] = -1.0
    model["dq"][8, 9] = 0
    image = gpures.noise_realizations([model], 1, 1, **OPTIONS)[0]
    assert 1 <= np.isnan(image).sum() <= 9
    model["dq"][8, 9] = 1
    assert np.isfinite(gpures.noise_realizations([model], 1, 1, **OPTIONS)[0]).all()


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"n": 0}, ValueError, "'n' must be"),
        ({"n": None}, ValueError, "'n' must be"),
        ({"seed": -1}, ValueError, "'seed' must not be negative"),
        ({"seed": 2**64}, ValueError, "'seed' must not be negative"),
        ({"seed": 1.5}, TypeError, "'seed' must be an integer"),
        ({"noise": "all"}, ValueError, "'noise' must be 'variances', 'err'"),
        ({"noise": ("data",)}, ValueError, "'noise' must be 'variances', 'err'"),
        (
            {"noise": ("var_rnoise", "var_more")},
            ValueError,
            "what 'noise' is made of, got none of 'var_more'",
        ),
        ({"backend": "drizzle"}, ValueError, "'backend' must be"),
        ({"fillval": "nothing"}, ValueError, "fillval"),
    ],
)
def test_what_no_noise_is_made_of(change, error, text):
    """What can't be used is named."""
    with pytest.raises(error, match=text):
        gpures.noise_realizations(**({"models": models_of(1), "n": 1, "seed": 1} | OPTIONS | change))


# ---- whoever asks for them -------------------------------------------------------------------------------------------


def test_by_threads_and_after_an_interruption(monkeypatch):
    """A realization is the same whichever threads ask for others, and after one that came to no end."""
    noise = gpures.noise_realizations(models_of(), 12, 1, **OPTIONS)
    expected = [noise[k].copy() for k in range(12)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(noise.__getitem__, [*range(12)] * 4))
    for k, image in enumerate(found):
        np.testing.assert_array_equal(image, expected[k % 12])
    calls = []

    def interrupted(*arguments):
        calls.append(0)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return made(*arguments)

    made = _cpu.make_noise
    monkeypatch.setattr(_cpu, "make_noise", interrupted)
    with pytest.raises(KeyboardInterrupt):
        noise[5]
    np.testing.assert_array_equal(noise[5], expected[5])
    assert len(calls) > 2


def test_copies(tmp_path):
    """Those of another process, and those whose original is gone."""
    noise = gpures.noise_realizations(models_of(), 3, 1, **OPTIONS)
    expected = noise[2]
    with open(tmp_path / "noise", "wb") as file:
        pickle.dump(noise, file)
    copied = copy.deepcopy(noise)
    del noise
    np.testing.assert_array_equal(copied[2], expected)
    code = (
        f"import pickle, numpy; numpy.save({str(tmp_path / 'a.npy')!r}, pickle.load(open({str(file.name)!r}, 'rb'))[2])"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True, timeout=120)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), expected)


def test_of_several_scales():
    """Noise in several units, or counts of several times, has no common scale."""
    one, other = models_of()
    one["bunit_data"], other["bunit_data"] = "MJy/sr", "Jy/sr"
    with pytest.raises(ValueError, match="MJy/sr"):
        gpures.noise_realizations([one, other], 2, 1, **OPTIONS)


def test_weights_of_the_sky_of_a_file(monkeypatch):
    """Of a file the variance of the sky is computed where weights are made of it."""
    model = models_of(1)[0]
    asked = []

    def read(arrays=None):
        asked.append(set(arrays))
        return {**model, "var_sky": np.full(SHAPE, 4.0, "f4") if "var_sky" in arrays else None}

    exposure = io.Input(
        path=Path("a.fits"),
        name="a.fits",
        kind="fits",
        shape=SHAPE,
        wcs=model["wcs"],
        unit=None,
        meta={"group_id": 1, "exposure_time": 1.0},
        sizes={"data": 0, "dq": 0, "var_rnoise": 0},
        load=read,
    )
    monkeypatch.setattr(io.Input, "read", lambda self, arrays=None: self.load(arrays))
    options = {"backend": "cpu", "good_bits": "~1", "weight_type": "ivm-sky"}
    made = gpures.drizzle_operator(exposure, FRAME, **options)
    expected = gpures.drizzle_operator({**model, "var_sky": np.full(SHAPE, 4.0, "f4")}, FRAME, **options)
    assert abs(made - expected).max() == 0
    assert asked == [{"data", "dq", "var_rnoise", "var_sky"}]
