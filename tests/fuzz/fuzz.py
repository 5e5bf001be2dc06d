"""Fuzzing, guided by coverage: `make fuzz`, or `python -P tests/fuzz/fuzz.py TARGET SECONDS [libFuzzer's options]`.

Bytes that atheris invents become arguments of `Resample.add_model` and of `Drizzle.add_image`, or damage to small FITS
and ASDF files. Each call has to end in a result that can be right, or in an error that gpures itself raises, of the
kinds that it names; a crash, an error of somebody else's, or an input that takes more than TIMEOUT ends the run, and
leaves the input in build/fuzz/TARGET, with which the target can be run again.
"""

from __future__ import annotations

import inspect
import logging
import os
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

import atheris
import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import files  # noqa: E402
import scenes  # noqa: E402

import gpures.exposure.pixmap  # noqa: E402
import gpures.io  # noqa: E402

#: Seconds that one input may take.
TIMEOUT = 20

PACKAGE = str(Path(gpures.__file__).parent)

#: Kinds of errors for arguments that can't be, as in test_malformed.py.
KINDS = (TypeError, ValueError, KeyError, RuntimeError, MemoryError)

SHAPE = (7, 9)
FRAME = scenes.frame_around(SHAPE)
(MODEL,) = scenes.dithered_models(SHAPE, n=1)
PIXMAP = gpures.exposure.pixmap.calc_pixmap(MODEL["wcs"], FRAME, SHAPE).array()

TYPES = (
    "f4",
    "f8",
    ">f4",
    ">f8",
    "f2",
    "i1",
    "u1",
    ">i2",
    "u2",
    "i4",
    ">u4",
    "i8",
    "u8",
    "?",
    "c8",
    "U2",
    "O",
    "M8[s]",
)
NUMBERS = (0, 1, -1, 2, 0.5, 1e-3, 1e-300, 1e38, 1e39, 1e308, float("nan"), float("inf"), 2**31, 2**64, True)
OTHERS = (None, "text", "", b"1", [], {}, (1, 2), 1j, "nan", "square", "lanczos3", "INDEF", "cps", "counts", object())


def is_own(error: BaseException) -> bool:
    """Whether an error was raised by gpures, and not by what it calls."""
    return traceback.extract_tb(error.__traceback__)[-1].filename.startswith(PACKAGE)


def array(provider: atheris.FuzzedDataProvider, like: np.ndarray):
    """An array, mostly of a shape that is expected."""
    shape = like.shape
    if provider.ConsumeIntInRange(0, 7) == 0:
        shape = tuple(provider.ConsumeIntInRange(0, 9) for _ in range(provider.ConsumeIntInRange(0, 3)))
    kind = np.dtype(TYPES[provider.ConsumeIntInRange(0, len(TYPES) - 1)])
    if provider.ConsumeBool() or kind.kind in "OUM":
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = np.resize(like, shape)
            made = np.nan_to_num(made).astype("i8").astype(kind) if kind.kind in "M" else made.astype(kind)
    else:
        raw = provider.ConsumeBytes(8 * provider.ConsumeIntInRange(1, 40)) or b"\0"
        made = np.resize(np.frombuffer(raw.ljust(-(-len(raw) // 16) * 16, b"\1"), kind), shape)
    return made[::-1] if made.ndim and provider.ConsumeBool() else made


def value(provider: atheris.FuzzedDataProvider):
    """Something for a number or a name."""
    kind = provider.ConsumeIntInRange(0, 4)
    if kind == 0:
        return OTHERS[provider.ConsumeIntInRange(0, len(OTHERS) - 1)]
    if kind == 1:
        return provider.ConsumeFloat()
    if kind == 2:
        return provider.ConsumeInt(9)
    return NUMBERS[provider.ConsumeIntInRange(0, len(NUMBERS) - 1)]


def changed(provider: atheris.FuzzedDataProvider, arguments: dict, most: int) -> dict:
    """Arguments some of which are others."""
    changes = {}
    names = list(arguments)
    for _ in range(provider.ConsumeIntInRange(0, most)):
        name = names[provider.ConsumeIntInRange(0, len(names) - 1)]
        like = arguments[name]
        changes[name] = array(provider, like) if isinstance(like, np.ndarray) else value(provider)
    return arguments | changes


def refused(call, *arguments, **keywords):
    """Whether a call was refused, as gpures may; else its result."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return False, call(*arguments, **keywords)
    except KINDS as error:
        if not is_own(error):
            raise
        return True, None


def check_images(images: dict) -> None:
    """Fail on what no mosaic can be: weight without context, an image of another shape."""
    weight, context = np.asarray(images["wht"]), images["con"]
    if context is not None:
        context = np.asarray(context).reshape(-1, *weight.shape)
        assert not ((context != 0).any(axis=0) & np.isnan(weight)).any()
        assert not ((weight > 0) & ~(context != 0).any(axis=0)).any(), "weight of no exposure"
    assert np.shape(images["data"]) == weight.shape


# ---- targets -------------------------------------------------------------------------------------------------------

RESAMPLE = {
    "pixfrac": 1.0,
    "kernel": "square",
    "fillval": 0.0,
    "weight_type": "ivm",
    "good_bits": 0,
    "enable_var": True,
    "compute_err": "from_var",
    "propagate_dq": True,
    "pixmap_stepsize": 1,
    "pixmap_order": 1,
    "pixmap_tolerance": 1e-6,
    "enable_exptime_map": True,
    "accumulator_dtype": "f4",
    "dq_of_empty": None,
    "variance_method": "stcal",
    "covariance": False,
    "noise_factor": False,
    "deterministic": False,
}
KERNELS = ("square", "gaussian", "point", "turbo", "lanczos2", "lanczos3")


def resample(data: bytes) -> None:
    """`Resample` with any settings, of which any model is added."""
    provider = atheris.FuzzedDataProvider(data)
    settings = RESAMPLE | {"kernel": KERNELS[provider.ConsumeIntInRange(0, 5)]}
    settings = changed(provider, settings, 2)
    was_refused, made = refused(gpures.Resample, {"wcs": FRAME, "pixel_scale": scenes.SCALE}, backend="cpu", **settings)
    if was_refused:
        return
    refused(made.add_model, changed(provider, MODEL, 4))
    refused(made.add_model, MODEL)
    refused(made.finalize)
    if made.is_finalized() and made.output_model["wht"] is not None:
        check_images(made.output_model)


IMAGE = {
    "data": np.asarray(MODEL["data"]),
    "exptime": 1.0,
    "pixmap": PIXMAP,
    "data2": np.asarray(MODEL["var_rnoise"]),
    "dq": np.asarray(MODEL["dq"]).astype("u4"),
    "iscale": 1.0,
    "pixel_scale_ratio": 1.0,
    "weight_map": np.ones(SHAPE, "f4"),
    "wht_scale": 1.0,
    "pixfrac": 1.0,
    "in_units": "cps",
    "xmin": None,
    "xmax": None,
    "ymin": None,
    "ymax": None,
}
DRIZZLE = {"kernel": "square", "fillval": "INDEF", "exptime": 0.0, "begin_ctx_id": 0, "max_ctx_id": None}


def drizzle(data: bytes) -> None:
    """`Drizzle` with any settings, to which any image is added."""
    provider = atheris.FuzzedDataProvider(data)
    settings = changed(provider, DRIZZLE | {"kernel": KERNELS[provider.ConsumeIntInRange(0, 5)]}, 1)
    was_refused, made = refused(gpures.Drizzle, out_shape=FRAME.array_shape, backend="cpu", **settings)
    if was_refused:
        return
    refused(made.add_image, **changed(provider, IMAGE, 4))
    refused(made.add_image, **IMAGE)
    if made.out_wht is not None:
        check_images({"wht": made.out_wht, "data": made.out_img, "con": made.out_ctx})


FOLDER = Path(tempfile.mkdtemp(prefix="gpures-fuzz-"))


def contents(*makers) -> list[bytes]:
    """What small files hold."""
    made = []
    for k, (maker, suffix, options) in enumerate(makers):
        path = FOLDER / f"whole{k}{suffix}"
        maker(path, shape=SHAPE, **options)
        made.append(path.read_bytes())
        path.unlink()
    return made


def damaged(data: bytes, wholes: list[bytes]) -> bytes:
    """One of some files, with what the data say changed in it."""
    provider = atheris.FuzzedDataProvider(data)
    content = bytearray(wholes[provider.ConsumeIntInRange(0, len(wholes) - 1)])
    while provider.remaining_bytes() and content:
        at = provider.ConsumeIntInRange(0, len(content) - 1)
        how = provider.ConsumeIntInRange(0, 5)
        length = provider.ConsumeIntInRange(1, 80)
        if how == 0:
            del content[at : at + length]
        elif how == 1:
            del content[at:]
        elif how == 2:
            content[at:at] = content[at : at + 80 * length]
        elif how == 3:
            content[at:at] = provider.ConsumeBytes(length)
        elif how == 4:  # a card of a FITS header, or a number in a text
            at = at // 80 * 80 + 10
            content[at : at + 20] = str(provider.ConsumeInt(8)).rjust(20).encode()
        else:
            put = provider.ConsumeBytes(length)
            content[at : at + len(put)] = put
    return bytes(content)


def read(content: bytes, suffix: str) -> None:
    """Read a file: images, or a `FileError`."""
    path = FOLDER / f"damaged{suffix}"
    path.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for model in gpures.io.read(path):
                assert model["data"].shape == model["dq"].shape
            gpures.io.read_wcs(path)
    except gpures.io.FileError as error:
        if str(path) not in str(error):
            raise AssertionError("an error that does not name the file") from error


def target_of(wholes: list[bytes], suffix: str):
    """Target that reads damaged files."""
    return lambda data: read(damaged(data, wholes), suffix)


def fits():
    """Files of HST, of JWST, and plain ones."""
    return target_of(
        contents(
            (files.plain_file, ".fits", {}),
            (files.hst_file, ".fits", {"chips": 1}),
            (files.hst_file, ".fits", {"chips": 1, "tables": False}),
            (files.jwst_file, ".fits", {}),
        ),
        ".fits",
    )


def asdf():
    """Files of Roman."""
    return target_of(contents((files.roman_file, ".asdf", {}), (files.roman_file, ".asdf", {"seed": 1})), ".asdf")


#: By name: what makes the target, and the modules that it is to cover.
TARGETS = {
    "resample": (lambda: resample, ("gpures.resample", "gpures.exposure", "gpures.weights", "gpures.input_model")),
    "drizzle": (lambda: drizzle, ("gpures.drizzle", "gpures.exposure", "gpures.arguments", "gpures.arrays")),
    "fits": (fits, ("gpures.io",)),
    "asdf": (asdf, ("gpures.io",)),
}


def instrument(packages: tuple[str, ...]) -> None:
    """Have the coverage of the functions of some modules counted, by the beginnings of their names."""
    done = set()
    for module in [m for name, m in sorted(sys.modules.items()) if name.startswith(packages)]:
        classes = [value for value in vars(module).values() if inspect.isclass(value)]
        for holder in (module, *classes):
            for value in vars(holder).values():
                function = getattr(value, "fget", None) or getattr(value, "__func__", value)
                if inspect.isfunction(function) and function.__module__.startswith(packages) and function not in done:
                    done.add(function)
                    atheris.instrument_func(function)


def main() -> None:
    """Fuzz a target for some seconds."""
    name, seconds, *options = sys.argv[1:]
    target, packages = TARGETS[name]
    target = target()
    instrument(packages)
    logging.disable()
    np.seterr(all="ignore")
    folder = ROOT / "build" / "fuzz" / name
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for k in range(16):  # to begin with
        (corpus / f"begin{k}").write_bytes(np.random.default_rng(k).bytes(37 * (k + 1)))
    os.chdir(folder)
    options += [f"-max_total_time={seconds}", f"-timeout={TIMEOUT}", "-rss_limit_mb=4096", "-max_len=600"]
    options += [f"-artifact_prefix={folder}/", "-print_final_stats=1", str(corpus)]
    atheris.Setup([sys.argv[0], *options], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
