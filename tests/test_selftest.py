"""`gpures selftest`: that it passes, and that it finds what is wrong."""

from __future__ import annotations

import math
import sys

import numpy as np
import oracle
import pytest
import shapely
from cuda_on_host import HostCUDA

from gpures import cli
from gpures.backend import cpu, planes
from gpures.checks import exact, mosaics, selftest
from gpures.checks.comparison import WHOLE, Backend, Comparison, frame_of
from gpures.checks.definition import overlap
from gpures.exposure.drops import KERNELS

FLOATS = ("data", "wht", "err", "var_rnoise", "var_flat", "var_poisson")


def table(capsys, *arguments):
    """Exit status and lines of the command."""
    status = cli.main(["selftest", *arguments])
    captured = capsys.readouterr()
    assert captured.err == ""
    return status, captured.out.splitlines()


def sabotage(monkeypatch, change):
    """Have the images of the backend cpu changed, by a function of frame, name and image, before they are seen."""
    for method in ("images", "finish_variances"):
        true = getattr(cpu.CPUAccumulators, method)

        def changed(self, *arguments, true=true):
            images = true(self, *arguments)
            for name, image in images.items():
                change(self.layout, name, image)
            return images

        monkeypatch.setattr(cpu.CPUAccumulators, method, changed)


def one_pixel(name, change, at=(48, 49)):
    """Change one pixel, amid the exposures, of an image of the larger frame."""

    def changed(frame, got, image):
        if got == name and frame.shape == WHOLE:
            image[..., at[0], at[1]] = change(image[..., at[0], at[1]])

    return changed


# ---- what it says --------------------------------------------------------------------------------------------------


def test_every_backend_passes(capsys, backend):
    status, lines = table(capsys, "--backend", backend)
    assert status == 0
    checks = [*selftest.CHECKS, *([f"agreement with {mosaics.PARTNER[backend]}"] if backend in mosaics.PARTNER else [])]
    assert [line[9:47].strip() for line in lines[1:-1]] == checks
    assert all(line.startswith(backend) and line.endswith("ok") for line in lines[1:-1])
    assert lines[-1] == f"gpures selftest passed: {len(checks)} checks of {backend}."


def test_by_default_what_there_is_is_checked(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr(selftest, "CHECKS", {"octagon": exact.check_octagon})
    monkeypatch.setitem(mosaics.PARTNER, "cpu", "cuda")
    status, lines = table(capsys)
    assert status == 0
    assert [line.split()[0] for line in lines[1:-1]] == ["cpu", "drizzle", "cuda"]
    assert "not checked: backend='cuda' needs CuPy" in lines[-2]
    assert lines[-1] == "gpures selftest passed: 2 checks of cpu, drizzle."


@pytest.mark.parametrize(
    ("module", "backend", "why"),
    [("cupy", "cuda", "backend='cuda' needs CuPy"), ("drizzle.resample", "drizzle", "pip install 'drizzle")],
)
def test_a_backend_asked_for_must_be_there(monkeypatch, capsys, module, backend, why):
    monkeypatch.setitem(sys.modules, module, None)
    status, lines = table(capsys, "--backend", backend)
    assert status == 1
    assert why in lines[0]
    assert lines[1] == f"gpures selftest FAILED: 0 of 0 checks. Can't be checked: {backend}."


def test_the_device_asked_for_is_used(monkeypatch, capsys):
    cuda = HostCUDA(devices=2)
    monkeypatch.setitem(sys.modules, "cupy", cuda)
    zeros, used = cuda.zeros, set()

    def noted(*arguments):
        used.add(cuda.cuda.runtime.getDevice())
        return zeros(*arguments)

    monkeypatch.setattr(cuda, "zeros", noted)
    monkeypatch.setattr(selftest, "CHECKS", {"octagon": exact.check_octagon, "Resample": exact.check_resample})
    monkeypatch.delitem(mosaics.PARTNER, "cuda")
    assert table(capsys, "--backend", "cuda", "--device", "1")[0] == 0
    assert used == {1}


def test_the_device_asked_for_must_be_there(monkeypatch, capsys, host_cuda):
    monkeypatch.setattr(selftest, "CHECKS", {"octagon": exact.check_octagon})
    monkeypatch.delitem(mosaics.PARTNER, "cpu")
    status, lines = table(capsys, "--device", "3")
    assert status == 1
    assert "'device' is 3, but the highest number of a GPU here is 0" in lines[-2]
    assert lines[-1].endswith("Can't be checked: cuda.")


def test_an_exception_is_a_failure_of_its_check(monkeypatch, capsys):
    def check(backend, compare):
        raise RuntimeError("the walk\nstumbled")

    monkeypatch.setattr(selftest, "CHECKS", {"walk": check, "octagon": exact.check_octagon})
    monkeypatch.delitem(mosaics.PARTNER, "cpu")
    status, lines = table(capsys, "--backend", "cpu")
    assert status == 1
    assert lines[1].endswith("inf  FAILED  RuntimeError: the walk stumbled")
    assert lines[2].endswith("ok")
    assert lines[3] == "gpures selftest FAILED: 1 of 2 checks."


def test_a_kernel_that_fails_is_a_failure(capsys, host_cuda):
    host_cuda.failures["launch"] = RuntimeError("no launch today")
    status, lines = table(capsys, "--backend", "cuda")
    assert status == 1
    assert all("FAILED  RuntimeError: no launch today" in line for line in lines[1:-1])


# ---- what it finds -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_deviation_beyond_the_bound_is_found(monkeypatch, kernel, dtype, name):
    """What is a little farther from the truth than the bound fails, and what is a little nearer passes."""
    truth = mosaics.scene(kernel, WHOLE)[1]
    bounds = truth.bounds(dtype, per_contribution=False)[name]
    reached = truth.count > 0
    assert np.median(bounds[reached] / np.abs(truth.images[name][reached])) < (1e-5 if dtype == "f4" else 1e-7)
    for factor, is_found in ((0.9, False), (1.1, True)):
        with monkeypatch.context() as patch:

            def change(frame, got, image, factor=factor):
                if got == name and frame.shape == WHOLE and frame.dtype == dtype:
                    image[40, 52] = truth.images[name][40, 52] + factor * bounds[40, 52]

            sabotage(patch, change)
            compare = Comparison()
            mosaics.check_definition(kernel, Backend("cpu"), compare)
        assert (compare.worst > 1) is is_found
        if is_found:
            assert compare.words.startswith(f"{name} ({dtype})[40, 52] is ")


SABOTAGE = {
    "value": one_pixel("data", lambda v: v * np.float32(1 + 2e-5)),
    "weight": one_pixel("wht", lambda v: v * np.float32(1 + 2e-5)),
    "error": one_pixel("err", lambda v: v * np.float32(1 + 2e-5)),
    "variance": one_pixel("var_flat", lambda v: v * np.float32(1 + 1e-3)),
    "NaN": one_pixel("var_rnoise", lambda v: np.nan),
    "context": one_pixel("con", lambda v: v ^ 2),
    "flags": one_pixel("dq", lambda v: v | 1),
    "fill value": one_pixel("data", lambda v: 0.0, at=(0, 0)),
    "weight beside": one_pixel("wht", lambda v: 1e-9, at=(0, 0)),
    "all weights": lambda frame, name, image: np.multiply(image, 1 + 2e-5, out=image) if name == "wht" else None,
}


@pytest.mark.parametrize("wrong", SABOTAGE)
def test_a_wrong_image_is_found(monkeypatch, capsys, wrong):
    sabotage(monkeypatch, SABOTAGE[wrong])
    status, lines = table(capsys, "--backend", "cpu")
    failed = [line for line in lines if "FAILED  " in line]
    assert status == 1
    assert lines[-1].startswith(f"gpures selftest FAILED: {len(failed)} of ")
    definitions = [line for line in failed if line[9:].startswith("definition")]
    assert len(definitions) == len(KERNELS)
    assert any("agreement with drizzle" in line for line in failed)
    if wrong == "all weights":
        assert any("flux and weights" in line for line in failed)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda images: images.pop("dq"), "KeyError: 'dq'"),
        (lambda images: images.update(wht=images["wht"][1:]), "wht (f4) has the shape (96, 99), expected (97, 99)"),
    ],
    ids=["missing", "shape"],
)
def test_an_image_that_is_not_there_is_found(monkeypatch, capsys, change, words):
    images = cpu.CPUAccumulators.images

    def changed(self):
        got = images(self)
        change(got)
        return got

    monkeypatch.setattr(cpu.CPUAccumulators, "images", changed)
    status, lines = table(capsys, "--backend", "cpu")
    assert status == 1
    assert sum(words in line for line in lines if line[9:].startswith("definition")) == len(KERNELS)


@pytest.mark.parametrize(
    ("field", "factor", "found"),
    [
        ("pixfrac", 1 + 1e-5, {"definition, square", "definition, turbo", "definition, gaussian"}),
        ("pixel_scale_ratio", 1 + 1e-5, {"definition, turbo", "definition, gaussian"}),
        ("x1", 0.98, {"definition, point", "flux and weights are conserved", "whole-pixel shifts copy the image"}),
    ],
)
def test_a_wrong_drop_is_found(monkeypatch, capsys, field, factor, found):
    """Drops that are too large by 1e-5, and a column of pixels too few."""
    set_drop = planes.set_drop

    def wrong(record, *arguments):
        set_drop(record, *arguments)
        record[field] = record[field] * factor

    monkeypatch.setattr(planes, "set_drop", wrong)
    status, lines = table(capsys, "--backend", "cpu")
    assert status == 1
    assert found <= {line[9:47].strip() for line in lines if "FAILED  " in line}


def test_disagreement_of_backends_is_found(monkeypatch, capsys, host_cuda):
    monkeypatch.setattr(selftest, "CHECKS", {})
    sabotage(monkeypatch, SABOTAGE["value"])
    status, lines = table(capsys, "--backend", "cuda")
    assert status == 1
    assert "agreement with cpu" in lines[1]
    assert "FAILED  point: data (f8)[48, 49]" in lines[1]  # the worst


# ---- its own parts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("got", "expected", "bound", "worst"),
    [
        ([1.0, np.nan], [1.0, np.nan], 0.0, 0.0),
        ([1.0, 2.5], [1.0, 2.0], [1.0, 0.25], 2.0),
        ([1.0, np.nan], [1.0, 2.0], 1e9, math.inf),
        ([1.0, 2.0], [1.0, np.nan], 1e9, math.inf),
        ([1.0, np.nan], [1.0, 2.0], math.inf, math.inf),
        ([1.0, np.inf], [1.0, 2.0], 1e9, math.inf),
        ([1, 2], [1, 3], 0.0, math.inf),
        ([1, 2], [1, 2, 3], 1e9, math.inf),
    ],
)
def test_comparison(got, expected, bound, worst):
    compare = Comparison()
    compare("x", np.array(got), np.array(expected), np.array(bound))
    assert compare.worst == worst
    assert bool(compare.words) is (worst > 0)


def test_overlap_equals_shapely():
    rng = np.random.default_rng(6)
    corner = np.array([(-0.6, -0.6), (0.6, -0.6), (0.6, 0.6), (-0.6, 0.6)])
    quads = 0.5 + corner + rng.uniform(-0.5, 0.5, (500, 4, 2)) + rng.uniform(-1, 1, (500, 1, 2))
    polygons = shapely.polygons(quads)
    use = shapely.is_valid(polygons)
    expected = shapely.area(shapely.intersection(polygons, shapely.box(0, 0, 1, 1)))
    got = -overlap(quads[..., 0], quads[..., 1])
    assert np.count_nonzero((expected > 0.1) & (expected < 0.9) & use) > 200
    np.testing.assert_allclose(got[use], expected[use], rtol=0, atol=1e-12)


@pytest.mark.parametrize("kernel", KERNELS)
def test_both_definitions_agree(kernel):
    """What the selftest takes for true is what the tests take for true."""
    exposures, truth = mosaics.scene(kernel, mosaics.CUT)
    expected = oracle.coadd(exposures, frame_of(kernel, mosaics.CUT))
    np.testing.assert_array_equal(truth.count, expected.count)
    np.testing.assert_array_equal(truth.images["con"], expected.con)
    np.testing.assert_array_equal(truth.images["dq"], expected.dq)
    solid = np.abs(expected.wht) > 1e-3
    for name in FLOATS:
        of_oracle = expected.variances[name] if name in expected.variances else getattr(expected, name)
        np.testing.assert_allclose(truth.images[name][solid], of_oracle[solid], rtol=1e-9, atol=1e-11)
