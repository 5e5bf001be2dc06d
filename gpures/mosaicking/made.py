"""A finished mosaic, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpures.io.exposures import ExposureRecord
from gpures.mosaicking.plan import Plan
from gpures.mosaicking.report import report_text
from gpures.typing import MosaicModel

__all__ = ["Mosaic"]


def _image(name: str, words: str) -> Any:
    """Property that gives an image of the model."""

    def image(self: Mosaic) -> Any:
        found = self.model.get(name)
        if found is None:
            in_tiles = self.model.get("data") is None
            why = f": it was made in tiles, which are in {self.path} alone" if in_tiles else ""
            raise AttributeError(f"The mosaic has no image {name!r} in memory{why}.")
        return found

    return property(image, doc=words)


@dataclass
class Mosaic:
    """A finished mosaic.

    Attributes
    ----------
    model : gpures.typing.MosaicModel
        Output model of `gpures.Resample`: images and meta data. Images of a mosaic that was made in tiles are in its
        file alone.
    plan : gpures.mosaicking.plan.Plan
        Frame, options, and the exposures that were to be added.
    exposures : list of gpures.io.exposures.ExposureRecord
        The exposures in it, and what is known of each; bit ``k % 32`` of plane ``k // 32`` of the context stands for
        number k.
    unit : str or None
        Of its data.
    skipped : list of (str, str)
        Exposures and files that could not be used, and why.
    path : pathlib.Path or None
        File that it was written to.
    seconds : dict of float
        Wall seconds by stage, and in all under "total". Reading files and pixel maps go on beside the rest.
    pixels : int
        Of the exposures that were added.
    backend : str
        "cuda", "cpu" or "drizzle".
    data_pixels : int
        Number of the mosaic's pixels that have data.
    """

    model: MosaicModel = field(repr=False)
    plan: Plan = field(repr=False)
    exposures: list[ExposureRecord]
    backend: str
    unit: str | None
    pixels: int
    data_pixels: int
    skipped: list[tuple[str, str]] = field(default_factory=list)
    path: Path | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def wcs(self) -> Any:
        """WCS of the mosaic."""
        return self.model["wcs"]

    data = _image("data", "Weighted mean of the exposures, in `unit`.")
    wht = _image("wht", "Sum of the weights.")
    con = _image("con", "Context: which exposures are in a pixel.")
    dq = _image("dq", "Data quality flags.")
    err = _image("err", "Error, in `unit`.")
    var_rnoise = _image("var_rnoise", "Variance by read noise, in the square of `unit`.")
    var_poisson = _image("var_poisson", "Variance by photon noise, in the square of `unit`.")
    var_flat = _image("var_flat", "Variance by the flat field, in the square of `unit`.")
    exptime_map = _image("exptime_map", "Exposure time of each pixel, s.")
    covariance = _image("covariance", "Covariances with pixels that are a lag further, in the square of `unit`.")
    noise_factor = _image("noise_factor", "By how much errors of large areas are larger than those of its pixels.")
    median = _image("median", "Median of the exposures, in `unit`.")
    clipped = _image("clipped", "Mean of the exposures without outliers, in `unit`.")

    @property
    def added(self) -> list[str]:
        """Names of the exposures in it."""
        return [record.name for record in self.exposures]

    @property
    def used(self) -> list[int | None]:
        """Of each of them, the number of pixels that have a number and a weight, where that is known."""
        return [record.used for record in self.exposures]

    @property
    def report(self) -> str:
        """What was done, as a table."""
        return report_text(
            self.plan,
            exposure_time=self.model["exposure_time"],
            records=self.exposures,
            data_pixels=self.data_pixels,
            pixels=self.pixels,
            skipped=self.skipped,
            unit=self.unit,
            path=self.path,
            seconds=self.seconds,
        )
