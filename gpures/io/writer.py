"""Mosaics as files: FITS with one extension for each image, or ASDF."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from gpures.arrays import as_host
from gpures.wcs import as_wcs

__all__ = ["write"]

SUFFIXES = (".fits", ".fits.gz", ".asdf")


def write(
    path: str | Path,
    output_model: Mapping[str, Any],
    *,
    unit: str | None = None,
    exposures: Sequence[str] = (),
    header: Mapping[str, Any] | None = None,
    history: Sequence[str] = (),
    overwrite: bool = False,
) -> None:
    """Write a mosaic.

    The file appears when it is complete: it is written under another name beside it. If that fails, or is interrupted,
    nothing is left, and a file that was there before is as it was.

    Parameters
    ----------
    path : str or path
        File, whose suffix says what it becomes.

        ``.fits``, ``.fits.gz``: the primary header has the facts, under JWST's keywords where it has one. The images of
        the model are extensions, in this order: SCI (data), ERR, CON, WHT, VAR_* (and others by their names), EXPTIME
        (the map of the exposure time), DQ. Each has the WCS as FITS keywords. The extension ASDF has it as gwcs, under
        ``meta.wcs``, where JWST's datamodels have it; INPUTS is a table of the exposures.

        ``.asdf``: a tree with the keys of the model, and ``unit``, ``exposures``, ``creator`` besides.
    output_model : mapping
        `gpures.Resample.output_model`, finalized. Images may be on a GPU. It is not changed.
    unit : str, optional
        Unit of the data, from which those of the other images follow.
    exposures : sequence of str, optional
        Names of the exposures; bit ``k % 32`` of plane ``k // 32`` of the context stands for number k.
    header : mapping, optional
        Further keywords of the primary header, each a value or ``(value, comment)``; in ASDF a dict ``header``.
    history : sequence of str, optional
        What was done, sentence by sentence: HISTORY of the primary header; in ASDF a list ``notes``.
    overwrite : bool, optional
        Whether a file that is there is replaced.

    Raises
    ------
    ValueError
        The suffix is another one, or the model has no data.
    FileExistsError
        There is such a file, and ``overwrite`` is false.
    FileNotFoundError
        There is no such folder.
    OSError
        The file can't be written.
    """
    path = Path(path)
    kind = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)
    if kind is None:
        raise ValueError(f"{path}: the suffix says what is written; expected one of {', '.join(SUFFIXES)}.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path}: there is such a file. Pass overwrite=True to replace it.")
    if output_model.get("data") is None:
        raise ValueError("'output_model' has no 'data': add models and finalize before it is written.")

    shape = tuple(as_wcs(output_model["wcs"]).array_shape)
    images = {key: _on_host(value) for key, value in output_model.items() if _is_image(value, shape)}
    facts = {key: _plain(value) for key, value in output_model.items() if key not in images and key != "wcs"}
    exposures = [str(name) for name in exposures]
    if kind == ".asdf":
        more = {"unit": unit, "exposures": exposures, "header": dict(header or {}), "notes": list(history)}
        tree = facts | images | {"wcs": output_model["wcs"]} | more | {"creator": _creator()}
        _atomically(path, lambda part: _write_asdf(part, tree))
        return
    from gpures.io.fits_writer import hdu_list

    hdus = hdu_list(path.name, output_model["wcs"], images, facts, unit, exposures, header or {}, history, _creator())
    _atomically(path, lambda part: hdus.writeto(part))


def _is_image(value: Any, shape: tuple[int, int]) -> bool:
    """Whether a value of a model is an image in its frame, or a stack of such."""
    return hasattr(value, "dtype") and np.ndim(value) in (2, 3) and tuple(value.shape[-2:]) == shape


def _on_host(image: Any) -> np.ndarray:
    """An image in host memory, that nobody can write to: astropy swaps the bytes of others in place while it writes."""
    image = as_host(image).view()
    image.flags.writeable = False
    return image


def _plain(value: Any) -> Any:
    """A number of Python for one of numpy."""
    return value.item() if isinstance(value, np.generic) else value


def _creator() -> str:
    from gpures import __version__

    return f"gpures {__version__}"


def _write_asdf(path: Path, tree: dict[str, Any]) -> None:
    import asdf

    # Given a path, asdf writes under a name of its own, and leaves that file behind when it fails.
    with asdf.AsdfFile(tree) as file, path.open("wb") as stream:
        file.write_to(stream)


def _atomically(path: Path, write_to: Callable[[Path], None]) -> None:
    """Have a file written under another name in its folder, and give it its name when it is complete."""
    part = path.with_name(f".{secrets.token_hex(4)}-{path.name}")  # the suffix tells astropy whether to pack
    try:
        write_to(part)
        os.replace(part, path)
    except BaseException:  # Ctrl-C as well
        with suppress(FileNotFoundError):
            part.unlink()
        raise
