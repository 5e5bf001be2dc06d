"""Types of what gpures takes and gives, for annotations: the dictionaries that describe exposures and mosaics.

They are those of `stcal.resample`: plain dictionaries, nothing more when a program runs. A program that is checked by
mypy or the like is told of a key that is misspelled, or of a value of another type::

    from gpures.typing import Model

    def mean_time(models: list[Model]) -> float: ...

Whatever takes a `Model` or a `MosaicModel` takes any other mapping with these keys as well. Who reads keys that are not
named here, such as further arrays, annotates the dictionary as ``Mapping[str, Any]``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NotRequired, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

__all__ = ["Flags", "Model", "ModelLike", "MosaicLike", "MosaicModel"]


class Model(TypedDict):
    """An exposure: its images and what is known of them, as `gpures.Resample.add_model` takes it.

    The images have one shape, (Ny, Nx), and any strides, byte order and real type. With the backend "cuda" they may be
    CuPy arrays. Which of those that are optional must be there depends on the resampler's settings.

    Attributes
    ----------
    data : ndarray of real numbers (Ny, Nx)
        Image, in any unit.
    dq : ndarray of integers (Ny, Nx)
        Data quality flags.
    wcs : gwcs.wcs.WCS or astropy.wcs.WCS
        Pixels to the sky.
    exposure_time : float
        Seconds.
    measurement_time, duration : float or None
        Seconds.
    start_time, end_time : float or None
        Times that can be compared with those of the other exposures, such as MJD.
    pixelarea_steradians : float or None
        Nominal solid angle of a pixel, steradians.
    level : float or None
        Sky level, in the unit of the data.
    subtracted : bool or None
        Whether that has been subtracted from the data.
    filename : str or None
        Name of the exposure, for messages.
    group_id : str or int
        What exposures that were taken at the same time share.
    err : ndarray of real numbers (Ny, Nx) or None, optional
        Error, in the unit of the data.
    var_rnoise, var_poisson, var_flat : ndarray of real numbers (Ny, Nx) or None, optional
        Variances by cause, in the square of the data's unit.
    var_sky : ndarray of real numbers (Ny, Nx) or None, optional
        Variance without the photon noise of sources, for weights of the type "ivm-sky".
    effective_exposure_time : float or None, optional
        Seconds for which the detector collected light, where that is another time.
    bunit_data : str or None, optional
        Unit of the data, which spectral data need.
    values_area : float or None, optional
        Solid angle, steradians, that values per pixel are of where it is the same for all pixels, as for flat-fielded
        exposures of HST; `gpures.mosaic` else takes each pixel's own.
    """

    data: npt.NDArray[Any]
    dq: npt.NDArray[Any]
    wcs: Any
    exposure_time: float
    measurement_time: float | None
    duration: float | None
    start_time: Any
    end_time: Any
    pixelarea_steradians: float | None
    level: float | None
    subtracted: bool | None
    filename: str | None
    group_id: str | int
    err: NotRequired[npt.NDArray[Any] | None]
    var_rnoise: NotRequired[npt.NDArray[Any] | None]
    var_poisson: NotRequired[npt.NDArray[Any] | None]
    var_flat: NotRequired[npt.NDArray[Any] | None]
    var_sky: NotRequired[npt.NDArray[Any] | None]
    effective_exposure_time: NotRequired[float | None]
    bunit_data: NotRequired[str | None]
    values_area: NotRequired[float | None]


class MosaicModel(TypedDict, total=False):
    """A mosaic: its images and how it was made, as `gpures.Resample.output_model` is it.

    The images have the shape (Ny, Nx) of the output frame. They are None before the first exposure, and CuPy arrays
    where the resampler was asked to leave them on the GPU. Which of them there are depends on its settings.

    Attributes
    ----------
    wcs : gwcs.wcs.WCS or astropy.wcs.WCS
        Pixels to the sky, the object that was given.
    data : ndarray of float32 (Ny, Nx)
        Weighted mean of the exposures, in their unit.
    wht : ndarray of float32 (Ny, Nx)
        Sum of the weights.
    con : ndarray of int32 (planes, Ny, Nx)
        Context: bit ``k % 32`` of plane ``k // 32`` says that exposure k contributed.
    dq : ndarray of uint32 (Ny, Nx)
        Data quality flags of all pixels that contributed, combined by OR.
    err : ndarray of float32 (Ny, Nx)
        Error, in the unit of the data.
    var_rnoise, var_poisson, var_flat : ndarray of float32 (Ny, Nx)
        Variances by cause, in the square of the data's unit.
    exptime_map : ndarray of float32 (Ny, Nx)
        Exposure time of each pixel, seconds.
    covariance : ndarray of float32 (lags, Ny, Nx)
        Covariance of each pixel with the one that is a lag further, in the square of the data's unit.
    covariance_lags : ndarray of int64 (lags, 2)
        These lags, (dy, dx): a half of all there are.
    covariance_reach : int
        Longest lag, along either axis, of pairs of pixels that drops fall on, whether there are such lags or not.
    noise_factor : ndarray of float32 (Ny, Nx)
        Root of the sum of a pixel's covariances with all pixels, over its variance.
    pixfrac : float
        Linear size of a drop, input pixels.
    kernel : str
        Shape of a drop.
    fillval : float, str or None
        Value of pixels without contributions, as it was given.
    weight_type : str
        What the weights are made of.
    variance_method : str
        "propagated", where variances are those of the data.
    precision : str
        "single", where drops and the sums of exposures are of float32.
    pixelarea_steradians : float
        Mean solid angle of a pixel, steradians.
    pixelarea_arcsecsq : float
        The same in square arcsec.
    pixel_scale_ratio : float or None
        Output over input pixel scale.
    pointings : int
        Number of groups of exposures.
    exposure_time : float
        Sum over the groups, seconds.
    measurement_time : float or None
        Sum over the groups, seconds; None where one has none.
    start_time, end_time : float or None
        The first and the last of the exposures' times.
    duration, elapsed_exposure_time : float
        Sum over the groups, seconds.
    level : float or None
        Sky level; None, as the exposures' are subtracted.
    subtracted : bool
        Whether a sky level has been subtracted from the mosaic.
    bunit_data : str or None
        Unit of the data, of mosaics that were read from a file.
    exposures : list of dict
        What is known of each exposure, of mosaics that were read from a file.
    header : dict
        Keywords of the file's primary header, of such mosaics.
    history : list of str
        Lines of its history, of such mosaics.
    """

    wcs: Any
    data: npt.NDArray[Any]
    wht: npt.NDArray[np.float32]
    con: npt.NDArray[np.int32]
    dq: npt.NDArray[np.uint32]
    err: npt.NDArray[Any]
    var_rnoise: npt.NDArray[Any]
    var_poisson: npt.NDArray[Any]
    var_flat: npt.NDArray[Any]
    exptime_map: npt.NDArray[Any]
    covariance: npt.NDArray[Any]
    covariance_lags: npt.NDArray[np.int64]
    covariance_reach: int
    noise_factor: npt.NDArray[Any]
    pixfrac: float
    kernel: str
    fillval: float | str | None
    weight_type: str
    variance_method: str
    precision: str
    pixelarea_steradians: float
    pixelarea_arcsecsq: float
    pixel_scale_ratio: float | None
    pointings: int
    exposure_time: float
    measurement_time: float | None
    start_time: Any
    end_time: Any
    duration: float
    elapsed_exposure_time: float
    level: float | None
    subtracted: bool
    bunit_data: str | None
    exposures: list[dict[str, Any]]
    header: dict[str, Any]
    history: list[str]


#: An exposure, as a `Model` or as any mapping with its keys.
ModelLike: TypeAlias = Model | Mapping[str, Any]

#: A mosaic, as a `MosaicModel` or as any mapping with its keys.
MosaicLike: TypeAlias = MosaicModel | Mapping[str, Any]

#: Flags that are told by numbers or names, as `astropy.nddata.bitmask.interpret_bit_flags` takes them.
Flags: TypeAlias = int | str | Iterable[int | str] | None
