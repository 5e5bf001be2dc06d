"""Roman's calibrated images, ``_cal.asdf``, as roman_datamodels reads them.

The model is the one that romancal's resample step makes of an image: ``var_rnoise``, where a file leaves it out, is
what the other variances leave of the squared error, and ``effective_exposure_time`` is what a map of the exposure time
adds up. The pixels that the step takes for good are those of ``good_bits="~1"``: all but DO_NOT_USE. Times are days
(MJD, UTC), as those of the other missions.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gpures.errors import FileError
from gpures.extras import install
from gpures.io.asdf import array_of, asdf_arrays, check_wcs, opened
from gpures.io.input import Input, exposure_seconds
from gpures.io.reading import Reading, refuse

__all__ = ["inputs", "recognizes"]

# A number that stands for none.
NONE = -999999

# Keywords of FITS, and where their values lie in the metadata.
KEYWORDS = {
    "TELESCOP": ("telescope",),
    "INSTRUME": ("instrument", "name"),
    "DETECTOR": ("instrument", "detector"),
    "FILTER": ("instrument", "optical_element"),
    "PROGRAM": ("observation", "program"),
    "TARGNAME": ("target", "name"),
    "FILENAME": ("filename",),
}

# What the error is made of beside read noise.
OTHER_VARIANCES = ("var_poisson", "var_flat", "var_dark")


def recognizes(file: Any) -> bool:
    """Whether an open ASDF file is Roman's."""
    return "roman" in file.tree


def inputs(path: Path, file: Any, reading: Reading, allow_external: bool = False) -> list[Input]:
    """The image of an open file of Roman's.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    file : asdf.AsdfFile
        The same, as `gpures.io.asdf.opened` opens it.
    reading : Reading
        What the user says, which can't be about extensions: these files have one image.
    allow_external : bool, optional
        Whether arrays may lie in other files, once they are read.
    """
    refuse(path, reading, "Roman")
    return [_input_of(path, file, allow_external)]


def _input_of(path: Path, file: Any, allow_external: bool) -> Input:
    """The image of an open file of Roman.

    Raises
    ------
    FileError
        It is not a calibrated image, or has no WCS.
    """
    image = _image(path, file)
    meta = _value(image, "meta")
    wcs = _value(meta, "wcs")
    if wcs is None:
        raise FileError(path, "no WCS: roman.meta.wcs is missing or None. Has assign_wcs been run?")
    check_wcs(path, wcs)
    shape = tuple(array_of(path, image, "data").shape)
    if wcs.array_shape is None:
        wcs.array_shape = shape
    exposure, background = _value(meta, "exposure"), _value(meta, "background")
    area, time = _value(meta, "photometry", "pixel_area"), _value(exposure, "exposure_time")
    is_flux = _value(meta, "cal_step", "flux") == "COMPLETE"
    unit = "MJy/sr" if is_flux else "DN/s"
    group = _value(meta, "group_id") or _value(meta, "observation", "observation_id")
    facts = {
        "group_id": str(path if group is None else group),
        "exposure_time": exposure_seconds(None if time == NONE else time, path.name),
        "effective_exposure_time": _value(exposure, "effective_exposure_time"),
        "measurement_time": None,
        "start_time": _days(_value(exposure, "start_time")),
        "end_time": _days(_value(exposure, "end_time")),
        "duration": None,
        "pixelarea_steradians": None if area == NONE else area,
        "values_area": None if area == NONE else area,
        "bunit_data": unit,
        "level": _value(background, "level"),
        "subtracted": bool(_value(background, "subtracted")),
    }
    names = ("data", "dq", "err", "var_rnoise", *OTHER_VARIANCES)
    sizes = {name: _bytes(array_of(path, image, name)) for name in names if name in image}
    computed = "var_rnoise" not in sizes and "err" in sizes
    if computed:
        sizes["var_rnoise"] = 2 * sizes["err"]  # float32 of float16
    return Input(
        path=path,
        name=path.name,
        kind="roman",
        shape=shape,
        wcs=wcs,
        unit=unit,
        meta=facts,
        sizes={name: size for name, size in sizes.items() if name != "var_dark"},
        load=partial(_load, path, allow_external, computed, [name for name in OTHER_VARIANCES if name in sizes]),
        header={
            keyword: value if isinstance(value, (int, float)) else str(value)
            for keyword, where in KEYWORDS.items()
            if (value := _value(meta, *where)) not in (None, NONE)
        },
    )


def _image(path: Path, file: Any) -> Any:
    """What an open file has of an image, as a tree.

    No datamodel is made of it: one closes the file when it goes, which is whenever Python collects it.
    """
    try:
        from roman_datamodels import datamodels
    except ImportError as error:
        raise ImportError(f"{path} is a file of Roman: {install('roman')} to read it.") from error
    tree = file.tree["roman"]
    kind = datamodels.MODEL_REGISTRY.get(type(tree), type(tree))
    if not issubclass(kind, datamodels.ImageModel):
        raise FileError(path, f"expected an ImageModel, as _cal.asdf files are, got a {kind.__name__}.")
    return tree


def _load(
    path: Path, allow_external: bool, computed: bool, others: Collection[str], names: Collection[str]
) -> dict[str, np.ndarray]:
    needed = set(names)
    if computed and "var_rnoise" in names:
        needed |= {"err", *others}
        needed.remove("var_rnoise")
    with opened(path, allow_external) as file:
        found = asdf_arrays(path, _image(path, file), needed)
    if computed and "var_rnoise" in names:
        found["var_rnoise"] = found["err"].astype(np.float32) ** 2
        for name in others:
            found["var_rnoise"] -= found[name]
    return {name: found[name] for name in names}


def _value(node: Any, *keys: str) -> Any:
    """What lies at the end of a path through a tree; None where it ends before."""
    for key in keys:
        node = None if node is None or key not in node else node[key]
    return node


def _bytes(array: Any) -> int:
    return int(np.prod(array.shape)) * np.dtype(array.dtype).itemsize


def _days(time: Any) -> float | None:
    """A time as MJD."""
    return None if time is None else float(time.utc.mjd)
