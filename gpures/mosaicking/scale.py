"""Values of exposures as a mosaic averages them: brought to one scale, and, where they are per pixel, to its pixels.

A star of 1000 adu/s has 1000 adu/s in a mosaic, whatever the pixels of the exposures and of the mosaic: where values
are per pixel, each is multiplied by the area of an output pixel over that of its own, both as they are there on the
sky. What a flat field has made values per one nominal area, as HST's, JWST's and Roman's, is taken from that area.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpures.arguments.arrays import as_host, converted, on_device
from gpures.box import row_blocks
from gpures.exposure.from_model import sky_level
from gpures.io import units
from gpures.io.input import DO_NOT_USE
from gpures.mosaicking.calibration import Calibration
from gpures.mosaicking.sources import Source
from gpures.wcs.area_ratio import AreaRatio, area_ratio
from gpures.wcs.transforms import is_imaging, pixel_to_world, resample_range, world_to_pixel

__all__ = ["Scale", "Scales"]

# Less than a step of float32, and no less than the rounding of coordinates.
NOTHING = 1e-7


@dataclass(frozen=True)
class Scale:
    """What the values of an exposure are multiplied by.

    Attributes
    ----------
    flux : float
        What brings it to the scale of the others.
    areas : AreaRatio or None
        Output over input pixel areas; None where they do not matter.
    """

    flux: float = 1.0
    areas: AreaRatio | None = None

    def range(self) -> tuple[float, float]:
        """Least and greatest ratio of areas."""
        return (1.0, 1.0) if self.areas is None else self.areas.range()

    def applied(self, model: Mapping[str, Any], names: Collection[str]) -> Mapping[str, Any]:
        """A model on the scale of the mosaic; nothing in the one that is given is changed.

        Its data and error are multiplied, variances (all that is called ``var_…``) by the square, and the sky level is
        subtracted before. Pixels without a finite ratio are flagged. Other arrays stay as they are.

        Parameters
        ----------
        model : mapping
            As `gpures.Resample.add_model` takes it.
        names : collection of str
            Names of the arrays that are needed.
        """
        least, most = self.range()
        if abs(self.flux * least - 1.0) < NOTHING and abs(self.flux * most - 1.0) < NOTHING:
            return model
        shape = np.shape(model["data"])
        scaled = _Scaled(model, shape, {"data", *names})
        result = dict(model)
        level = sky_level(model) if {"level", "subtracted"} <= model.keys() else 0.0
        if level:
            result["subtracted"] = True
        lost = np.zeros(shape, bool)
        for rows, factor in self._rows(shape):
            if not (finite := np.isfinite(factor)).all():
                lost[rows] = ~finite
                factor[~finite] = 1.0
            scaled.multiply(rows, factor, level)
        if lost.any():
            result["dq"] = _flagged(model, lost)
        return result | scaled.arrays()

    def _rows(self, shape: tuple[int, ...]) -> Iterator[tuple[slice, np.ndarray]]:
        """Blocks of rows, and what their values are multiplied by."""
        if self.areas is not None:
            for rows, ratio in self.areas.rows():
                yield rows, self.flux * ratio
            return
        for rows in row_blocks(shape):
            yield rows, np.full((rows.stop - rows.start, *shape[1:]), self.flux)


class _Scaled:
    """Arrays of a model that are multiplied, block by block, in the precision that they need."""

    def __init__(self, model: Mapping[str, Any], shape: tuple[int, ...], names: Collection[str]):
        self._given: dict[str, np.ndarray] = {}
        self._masks: dict[str, Any] = {}
        self._made: dict[str, np.ndarray] = {}
        self._on_device: set[str] = set()
        for name in model:
            if name not in names or model[name] is None or not (name in ("data", "err") or name.startswith("var_")):
                continue
            values, mask = converted(model[name], name, model)
            if values.shape == shape and values.dtype.kind in "fiu":  # of others the resampler tells what is wrong
                if on_device(values):
                    self._on_device.add(name)
                self._given[name], self._masks[name] = as_host(values), mask
                self._made[name] = np.empty(shape, np.result_type(values.dtype.newbyteorder("="), np.float32))

    def multiply(self, rows: slice, factor: np.ndarray, level: float) -> None:
        """Make a block of rows: variances with the square of a factor, data less a level with the factor itself."""
        factors = {np.dtype(np.float64): factor}
        for name, array in self._made.items():
            values = self._given[name][rows]
            if name == "data" and level:
                values = values - level
            if array.dtype not in factors:
                factors[array.dtype] = factor.astype(array.dtype)
            by = factors[array.dtype]
            np.multiply(values, by, out=array[rows], casting="same_kind")
            if name.startswith("var_"):
                array[rows] *= by

    def arrays(self) -> dict[str, Any]:
        """All of them, masked where they were, and where they lay."""
        return {name: self._as_it_was(name, array) for name, array in self._made.items()}

    def _as_it_was(self, name: str, array: np.ndarray) -> Any:
        if name in self._on_device:
            import cupy

            return cupy.asarray(array)
        mask = self._masks[name]
        return array if mask is None else np.ma.MaskedArray(array, mask)


def _flagged(model: Mapping[str, Any], lost: np.ndarray) -> Any:
    """DQ of a model, with some pixels flagged; what is no DQ stays, for the resampler to tell."""
    given, mask = converted(model["dq"], "dq", model)
    if given.dtype.kind not in "iu" or given.shape != lost.shape:
        return model["dq"]
    dq = as_host(given).copy()
    dq[lost] |= dq.dtype.type(DO_NOT_USE)
    if on_device(given):
        import cupy

        return cupy.asarray(dq)
    return dq if mask is None else np.ma.MaskedArray(dq, mask)


class Scales:
    """What exposures of a mosaic are multiplied by.

    Parameters
    ----------
    calibration : Calibration
        How they are brought to one scale.
    output_wcs : gwcs.wcs.WCS or astropy.wcs.WCS
        Of the mosaic.

    Attributes
    ----------
    calibration : Calibration
        The same.
    areas : (float, float)
        Least and greatest ratio of areas so far; infinite where there was none.
    """

    def __init__(self, calibration: Calibration, output_wcs: Any):
        self.calibration = calibration
        self.areas = math.inf, -math.inf
        self._found: dict[int, tuple[Source, Scale]] = {}
        self._is_imaging = is_imaging(output_wcs)
        if self._is_imaging:
            forward, backward = pixel_to_world(output_wcs), world_to_pixel(output_wcs)
            # Files are read in another thread than that which makes pixel maps, and WCS objects keep state meanwhile.
            if forward.can_be_copied and backward.can_be_copied:
                forward, backward = forward.duplicate(), backward.duplicate()
            self._output, self._to_output = forward, backward

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        # In another process the exposures are other objects.
        self._found = {id(source): (source, scale) for source, scale in self._found.values()}

    def settle(self, source: Source) -> None:
        """Find out what an exposure is multiplied by, before it is read.

        Raises
        ------
        FileError
            It can't be brought to the scale of the others.
        """
        self._found[id(source)] = source, self.of(source)

    def of(self, source: Source) -> Scale:
        """What an exposure is multiplied by; errors as of `settle`."""
        if (known := self._found.get(id(source))) is not None:
            return known[1]
        if self.calibration.comes_one_by_one:
            self.calibration.go_on(source)
        scale = Scale(self.calibration.factor(source), self._areas(source))
        if scale.areas is not None:
            least, most = scale.areas.range()
            self.areas = min(self.areas[0], least), max(self.areas[1], most)
        return scale

    def per_pixel(self, source: Source) -> bool:
        """Whether the values of an exposure are per pixel."""
        wanted = self.calibration.options.values
        if not self._is_imaging or wanted == "surface-brightness":
            return False
        if wanted == "per-pixel":
            return True
        unit = self.calibration.unit if units.parsed(source.unit) is None else source.unit
        kind = units.per(unit)
        if kind == "unknown":
            self._say_unknown(source, unit)
        return kind == "pixel"

    def fluxes(self) -> list[tuple[str, float]]:
        """What exposures that are settled are multiplied by to be on one scale, with their names."""
        return [(source.name, scale.flux) for source, scale in self._found.values()]

    @property
    def is_scaled(self) -> bool:
        """Whether values are others than those of the files."""
        least, most = self.areas
        by_area = least <= most and max(abs(least - 1.0), abs(most - 1.0)) > NOTHING
        return by_area or any(by != 1.0 for _, by in self.fluxes())

    @property
    def keeps_gain(self) -> bool:
        """Whether nothing but areas of pixels and exposure times makes values others than those of the files."""
        sources = [source for source, _ in self._found.values()]
        return all(self.calibration.of_keyword(each) * self.calibration.of_units(each) == 1.0 for each in sources)

    def words(self) -> tuple[str, str]:
        """What was done to values because of the pixels' areas, and to bring them to one scale."""
        least, most = self.areas
        if least <= most:
            numbers = f"{least:.4g}" if f"{least:.4g}" == f"{most:.4g}" else f"{least:.4g} to {most:.4g}"
            values = f"per pixel, scaled by the ratio of the pixels' areas, {numbers}"
        elif units.per(self.calibration.unit) == "area":
            values = "per area on the sky, as they are"
        else:
            values = "as they are"
        return values, self.calibration.words([source for source, _ in self._found.values()])

    def _say_unknown(self, source: Source, unit: Any) -> None:
        what = "no unit" if units.parsed(unit) is None else f"the unit {unit!r}, which nobody knows"
        self.calibration.say(
            f"{source.name} has {what}: its values are averaged as they are, which is right for surface brightness. If "
            "they are per pixel, as counts are, give 'values' as 'per-pixel'.",
            what,
        )

    def _areas(self, source: Source) -> AreaRatio | None:
        if not self.per_pixel(source):
            return None
        forward = pixel_to_world(source.wcs, self._to_output.axes.sky)
        return area_ratio(
            forward.duplicate() if forward.can_be_copied else forward,
            self._output,
            self._to_output,
            source.shape,
            resample_range(source.shape, source.wcs),
            _positive(source.values_area),
        )


def _positive(area: Any) -> float | None:
    return float(area) if isinstance(area, (int, float, np.number)) and np.isfinite(area) and area > 0 else None
