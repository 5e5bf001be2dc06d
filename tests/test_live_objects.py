"""Copies and pickles of resamplers, and one object in several threads."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest
import scenes

import gpures

SHAPE = (26, 31)

COPIES = {"copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": lambda thing: pickle.loads(pickle.dumps(thing))}

OPTIONS = {
    "compute_err": "from_var",
    "propagate_dq": True,
    "enable_exptime_map": True,
    "extra_array_names": ["sky"],
    "fillval": "NaN",
    "kernel": "turbo",
    "pixfrac": 0.8,
    "weight_type": "exptime",
}


class Counting(gpures.Resample):
    """A subclass with a state of its own."""

    seen = 0

    def add_model(self, model):
        """Count what is added."""
        super().add_model(model)
        self.seen += 1


def frame(kind):
    """Output WCS of a kind."""
    wcs = scenes.frame_around(SHAPE)
    if kind == "gwcs":
        return wcs
    from astropy.wcs import WCS

    header = wcs.to_fits_sip(bounding_box=((-0.5, wcs.array_shape[1] - 0.5), (-0.5, wcs.array_shape[0] - 0.5)))
    made = WCS(header)
    made.array_shape = wcs.array_shape
    return made


def begun(backend, kind="gwcs", n=40, base=gpures.Resample, **options):
    """A resampler, and models for it: with more than fit in one plane of the context image."""
    models = scenes.dithered_models(SHAPE, n=n)
    for k, model in enumerate(models):
        model["sky"] = np.full(SHAPE, float(k), np.float32)
        model["dq"][k % 20, 5] = 1 << (k % 20)
    resample = base({"wcs": frame(kind), "pixel_scale": scenes.SCALE}, backend=backend, **(OPTIONS | options))
    return resample, models


def images(resample):
    """All that the output model has, as numpy arrays."""
    return {k: np.array(v) if hasattr(v, "shape") else v for k, v in dict(resample.output_model).items() if k != "wcs"}


def assert_same(got, expected):
    """Both output models are equal to the last bit."""
    assert list(got) == list(expected)
    for key, value in expected.items():
        np.testing.assert_array_equal(got[key], value, err_msg=key)


@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize("way", COPIES)
def test_a_copy_goes_on_by_itself(backend, way, looks):
    """A copy of a mosaic that was begun ends as the mosaic would, and neither sees what is added to the other."""
    resample, models = begun(backend, n=36, base=Counting)
    for model in models[:33]:
        resample.add_model(model)
    before = images(resample) if looks else None
    duplicate = COPIES[way](resample)
    assert type(duplicate) is Counting
    assert duplicate.seen == 33
    assert duplicate.group_ids == resample.group_ids
    duplicate.add_model(models[33])
    duplicate.kernel = "point"
    assert resample.kernel == "turbo"
    if looks:
        assert_same(images(resample), before)
    resample.add_model(models[34])
    duplicate.add_model(models[35])
    expected = []
    for last in ((34,), (33, 35)):
        other, _ = begun(backend, n=36)
        for model in models[:33]:
            other.add_model(model)
        for k in last:
            if k == 35:
                other.kernel = "point"
            other.add_model(models[k])
        other.finalize()
        expected.append(images(other))
    for one, values in zip((resample, duplicate), expected, strict=True):
        one.finalize()
        assert_same(images(one), values)


@pytest.mark.parametrize("kind", ["gwcs", "fits"])
@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("stage", ["fresh", "begun", "finalized"])
def test_copies_at_every_stage(stage, way, kind):
    """Fresh, begun and finalized, on gwcs and FITS WCS: a copy gives what the original gives, then and later."""
    resample, models = begun("cpu", kind, n=3)
    if stage != "fresh":
        resample.add_model(models[0])
    if stage == "finalized":
        resample.finalize()
    duplicate = COPIES[way](resample)
    assert duplicate.is_finalized() == resample.is_finalized()
    assert duplicate.output_array_shape == resample.output_array_shape
    assert_same(images(duplicate), images(resample))
    for one in (resample, duplicate):
        if stage == "finalized":
            one.reset_arrays()
        one.add_model(models[1])
        one.finalize()
    assert_same(images(duplicate), images(resample))
    again = COPIES[way](duplicate)
    again.reset_arrays(n_input_models=2)
    again.add_model(models[2])
    assert again.output_model["pointings"] == 1
    assert_same(images(duplicate), images(resample))


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_takes_memory_where_exposures_are(way):
    """A pickle of a mosaic has the part of the frame that exposures touched, not the frame."""
    resample, models = begun("cpu", n=2)
    frame = scenes.frame_around(SHAPE)
    frame.array_shape = (4000, 4000)
    resample = gpures.Resample({"wcs": frame, "pixel_scale": scenes.SCALE}, backend="cpu", fillval="NaN")
    resample.add_model(models[0])
    assert len(pickle.dumps(resample)) < 1e7
    duplicate = COPIES[way](resample)
    for one in (resample, duplicate):
        one.add_model(models[1])
        one.finalize()
    assert_same(images(duplicate), images(resample))


@pytest.mark.parametrize("way", COPIES)
def test_copies_of_drizzle(backend, way):
    """A copy of a `Drizzle` has output arrays of its own, goes on from the same image, and its original too."""
    models = scenes.dithered_models(SHAPE, n=4)
    wcs = scenes.frame_around(SHAPE)
    maps = [gpures.exposure.pixmap.calc_pixmap(model["wcs"], wcs, SHAPE).array() for model in models]
    shape = wcs.array_shape

    def begin():
        return gpures.Drizzle(out_img=np.zeros(shape, np.float32), backend=backend, max_ctx_id=0)

    def add(driz, k):
        model = models[k]
        driz.add_image(model["data"], 2.0, maps[k], data2=[model["var_rnoise"]], dq=model["dq"].astype(np.uint32))

    def values(driz):
        return [np.array(i) for i in (driz.out_img, driz.out_wht, driz.out_ctx, driz.out_dq, driz.out_img2[0])]

    driz = begin()
    add(driz, 0)
    duplicate = COPIES[way](driz)
    add(duplicate, 1)
    add(driz, 2)
    add(duplicate, 3)
    for one, chosen in ((driz, (0, 2)), (duplicate, (0, 1, 3))):
        other = begin()
        for k in chosen:
            add(other, k)
        assert one.ctx_id == other.ctx_id
        assert one.total_exptime == other.total_exptime
        for got, expected in zip(values(one), values(other), strict=True):
            np.testing.assert_array_equal(got, expected)


def in_threads(n, work):
    """Run work(k) in n threads that begin at once; what any of them raises is raised."""
    errors, barrier = [], threading.Barrier(n)

    def run(k):
        barrier.wait()
        try:
            work(k)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_one_object_in_several_threads():
    """Exposures added by four threads, with a fifth that looks, are all there: counts, times, bits and weights."""
    resample, models = begun("cpu", n=80, kernel="square")
    alone, _ = begun("cpu", n=80, kernel="square")
    for model in models:
        alone.add_model(model)

    def work(k):
        if k == 4:
            for _ in range(40):
                np.asarray(resample.output_model["con"]).sum()
                copy.copy(resample)
            return
        for model in models[k::4]:
            resample.add_model(model)

    in_threads(5, work)
    np.testing.assert_allclose(resample.output_model["wht"], alone.output_model["wht"], rtol=1e-5)
    for one in (resample, alone):
        one.finalize()
    bits = [np.unpackbits(one.output_model["con"].view(np.uint8), axis=-1).sum() for one in (resample, alone)]
    assert bits[0] == bits[1] > 0
    assert resample.output_model["pointings"] == 80
    assert resample.output_model["exposure_time"] == pytest.approx(alone.output_model["exposure_time"])


def test_one_drizzle_in_several_threads():
    """Images added by four threads are all there."""
    models = scenes.dithered_models(SHAPE, n=40)
    wcs = scenes.frame_around(SHAPE)
    maps = [gpures.exposure.pixmap.calc_pixmap(model["wcs"], wcs, SHAPE).array() for model in models]
    driz = gpures.Drizzle(out_img=np.zeros(wcs.array_shape, np.float32), backend="cpu")

    def work(k):
        for model, pixmap in zip(models[k::4], maps[k::4], strict=True):
            driz.add_image(model["data"], 2.0, pixmap)
            np.asarray(driz.out_ctx).sum()

    in_threads(4, work)
    assert driz.ctx_id == 40
    assert driz.total_exptime == 80.0
    assert driz.out_ctx.shape[0] == 2
    depth = np.unpackbits(driz.out_ctx.view(np.uint8).reshape(2, *wcs.array_shape, 4), axis=-1).sum(axis=(0, 3))
    assert depth.max() == 40
