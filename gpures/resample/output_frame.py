"""The output frame of a mosaic: its WCS and shape, pixel areas and scales."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from gpures.arguments.arrays import model_name
from gpures.arguments.values import checked_ratio, checked_scale, checked_shape
from gpures.errors import UnsupportedWCSError
from gpures.resample.attributes import Settled
from gpures.resample.output_model import OutputModel
from gpures.typing import ModelLike, MosaicLike
from gpures.wcs.transforms import (
    ARCSEC_PER_RADIAN,
    as_wcs,
    axes_type,
    checked_wcs,
    compute_mean_pixel_area,
    infer_array_shape,
    is_imaging,
)

__all__ = ["OutputFrame"]

log = logging.getLogger(__name__)


class OutputFrame:
    """Where the output's pixels lie on the sky, and how large they are there; the part of `gpures.Resample` that knows.

    Parameters
    ----------
    output_wcs : dict
        As `gpures.Resample` takes it.

    Raises
    ------
    TypeError, ValueError, UnsupportedWCSError
        It is no output WCS; the text says what was expected.
    """

    _output_model: OutputModel

    def __init__(self, output_wcs: Mapping[str, Any]):
        if output_wcs is None:
            raise ValueError("Output WCS must be provided through the 'output_wcs' parameter, got None.")
        if not isinstance(output_wcs, Mapping):
            raise TypeError(f"'output_wcs' must be a dict with a WCS under 'wcs', got {type(output_wcs).__name__}.")
        self._output_wcs: Any = output_wcs.get("wcs")
        if self._output_wcs is None:
            raise ValueError(f"'output_wcs' must have a WCS under 'wcs', got the keys {list(output_wcs)}.")
        ratio = output_wcs.get("pixel_scale_ratio")
        self._given_ratio: float | None = None if ratio is None else checked_ratio(ratio)
        self._pixel_scale_ratio = self._given_ratio
        self.check_output_wcs(self._output_wcs)
        self._output_array_shape: tuple[int, int] = checked_shape(as_wcs(self._output_wcs).array_shape)
        self._output_pixel_scale: float = self._pixel_scale(output_wcs.get("pixel_scale"))

    output_array_shape: Settled[tuple[int, int]] = Settled("Shape (Ny, Nx) of the output images.")
    output_wcs: Settled[Any] = Settled("WCS of the output, the object that was given.")
    pixel_scale_ratio: Settled[float | None] = Settled(
        "Output over input pixel scale; None before the first model, where it was not given."
    )
    output_pixel_scale: Settled[float] = Settled("Output pixel scale in arcsec.")

    def _pixel_scale(self, given: float | None) -> float:
        """Output pixel scale in arcsec, as given or from the WCS."""
        if given is not None:
            return checked_scale(given, "pixel_scale")
        area = self.get_output_model_pixel_area({"wcs": self._output_wcs})
        if not area:
            raise ValueError("The output WCS has no finite pixel area: give 'pixel_scale' (arcsec) in 'output_wcs'.")
        return ARCSEC_PER_RADIAN * math.sqrt(area)

    def get_input_model_pixel_area(self, model: ModelLike, prefer_mean: bool = True) -> float | None:
        """Pixel area of an input model.

        Parameters
        ----------
        model : gpures.typing.Model
            Input model with "wcs", "data" and "pixelarea_steradians".
        prefer_mean : bool, optional
            Take the mean area of the pixels, from the WCS. Else the nominal one, and the mean if there is none.

        Returns
        -------
        float or None
            Steradians.
        """
        if prefer_mean:
            area = compute_mean_pixel_area(model["wcs"], shape=np.shape(model["data"]))
            if area is None or area <= 0:
                log.warning("Unable to compute mean pixel area of input model '%s'.", model_name(model))
        else:
            area = model["pixelarea_steradians"]
            if area is None or area <= 0:
                log.warning(
                    "Input model '%s' has no %s: using its mean area.",
                    model_name(model),
                    "'pixelarea_steradians'" if area is None else f"positive 'pixelarea_steradians', but {area}",
                )
                area = compute_mean_pixel_area(model["wcs"], shape=np.shape(model["data"]))
        if area is None or area <= 0:
            log.error("Unable to determine pixel area of the input model '%s'.", model_name(model))
        return area

    def get_output_model_pixel_area(self, model: MosaicLike) -> float | None:
        """Mean pixel area of an output model's WCS.

        Parameters
        ----------
        model : gpures.typing.MosaicModel
            Output model, of which ``"wcs"`` counts.

        Returns
        -------
        float or None
            Steradians; None where no part of the WCS is finite.
        """
        return compute_mean_pixel_area(model["wcs"])

    def check_output_wcs(self, output_wcs: Any, estimate_output_shape: bool = True) -> None:
        """Check that a WCS can be an output WCS.

        Parameters
        ----------
        output_wcs : gwcs.wcs.WCS or astropy.wcs.WCS
            Its ``array_shape``, if that is None, is set from its bounding box.
        estimate_output_shape : bool, optional
            Whether it is.

        Raises
        ------
        UnsupportedWCSError
            The number of axes is not 2, or not 3 for a spectral WCS.
        ValueError
            The output shape can't be inferred.
        """
        wcs, types = as_wcs(checked_wcs(output_wcs, "output_wcs")), axes_type(output_wcs)
        naxes = len(types)
        is_spectral = "SPECTRAL" in types
        needed = 3 if is_spectral else 2
        if naxes != needed:
            kind = "spectral WCS" if is_spectral else "WCS"
            raise UnsupportedWCSError(
                f"Output {kind} needs {needed} coordinate axes but the supplied WCS has {naxes} axes."
            )
        if not is_spectral and wcs.array_shape is None and estimate_output_shape:
            infer_array_shape(output_wcs)

    def _get_intensity_scale(self, model: ModelLike) -> float:
        """Factor to the data: 1, but for spectral flux densities the inverse pixel scale ratio."""
        if (
            (model["pixelarea_steradians"] or 0.0) > 0.0
            and "SPECTRAL" in axes_type(model["wcs"])
            and _is_flux_density(model["bunit_data"])
        ):
            if self.pixel_scale_ratio is None:
                raise TypeError("Spectral flux densities need a 'pixel_scale_ratio' in 'output_wcs', got None.")
            return 1.0 / self.pixel_scale_ratio
        return 1.0

    def _compute_pixel_scale_ratio(self, model: ModelLike) -> None:
        """Set the pixel scale ratio from the first imaging model, if it was not given."""
        if self._pixel_scale_ratio is not None or not is_imaging(model["wcs"]):
            return
        area = self.get_input_model_pixel_area(model, prefer_mean=False)
        if area is None or area <= 0:
            return
        checked_scale(area, "pixelarea_steradians")
        self._pixel_scale_ratio = self._output_pixel_scale / (ARCSEC_PER_RADIAN * math.sqrt(area))
        if self._output_model.get("pixel_scale_ratio") is None:
            self._output_model["pixel_scale_ratio"] = self._pixel_scale_ratio


def _is_flux_density(unit: Any) -> bool:
    from astropy import units

    try:
        return units.Unit(unit).is_equivalent(units.Jy)
    except Exception:  # whatever is no unit
        return False
