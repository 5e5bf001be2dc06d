"""`gpures.drizzle_operator`: an exposure's contributions to a frame as a sparse matrix."""

from __future__ import annotations

from typing import Any

from gpures.arguments.values import NOT_GIVEN
from gpures.box import Box
from gpures.operators.geometry import Geometry
from gpures.typing import Flags

__all__ = ["drizzle_operator"]


def drizzle_operator(
    exposure: Any,
    frame: Any,
    *,
    kernel: str = "square",
    pixfrac: float = 1.0,
    weight_type: str = "ivm",
    good_bits: Flags = NOT_GIVEN,
    pixmap_stepsize: float = 1,
    pixmap_order: int = 1,
    pixmap_tolerance: float = 1e-6,
    backend: str = "auto",
    device: Any = None,
    to_host: bool = True,
) -> Any:
    """Drizzling of an exposure onto a frame, as a sparse matrix of the contributions' weights.

    With ``operator = drizzle_operator(model, frame)`` the sums of a mosaic of this exposure alone are
    ``operator @ data.ravel()``, and its weights ``operator @ numpy.ones(data.size)``, each of which
    ``.reshape(frame.array_shape)`` makes an image; the mosaic is their quotient. Data are those that are resampled:
    without the sky ``"level"`` that a model has, and flux densities of spectra over the pixel scale ratio, by which
    `gpures.Resample` divides them. Sums and weights of several exposures add up.

    Parameters
    ----------
    exposure : gpures.typing.Model, gpures.io.Input or path
        One exposure, as `gpures.Resample.add_model` takes it, or an image of a file. Of a model ``"data"`` (its shape),
        ``"dq"``, ``"wcs"``, ``"exposure_time"``, ``"pixelarea_steradians"`` and what its weights are made of are
        needed.
    frame : gwcs.wcs.WCS, astropy.wcs.WCS or dict
        The output WCS with its ``array_shape``, or what `gpures.Resample` takes as ``output_wcs``. With kernels other
        than "square" and "point" drops have the size that ``"pixel_scale_ratio"`` says, which in a mosaic that of its
        first exposure settles.
    kernel : {"square", "gaussian", "point", "turbo", "lanczos2", "lanczos3"}, optional
        Shape of a drop.
    pixfrac : float, optional
        Linear size of a drop in input pixels, 0 to 2.
    weight_type : {"ivm", "ivm-sky", "exptime"}, optional
        Weights, as in `gpures.Resample`.
    good_bits : int, str, list or None, optional
        DQ flags to be ignored, as in `gpures.Resample`. By default none in a model, and in a file those that its
        mission's mosaics forgive.
    pixmap_stepsize, pixmap_order : int, optional
        Grid on which the WCS is evaluated, as in `gpures.Resample`.
    pixmap_tolerance : float, optional
        Largest error of the pixel map, in output pixels.
    backend : {"auto", "cuda", "cpu"}, optional
        As in `gpures.Resample`. The drizzle package can't do this.
    device : int, str, cupy.cuda.Device or None, optional
        The GPU.
    to_host : bool, optional
        With the backend "cuda", whether the matrix is scipy's. Else it is CuPy's, and stays on the GPU.

    Returns
    -------
    scipy.sparse.csr_array or cupyx.scipy.sparse.csr_matrix, of float64
        Of the shape (Ny Nx of the frame, Ny Nx of the exposure): the weight with which each input pixel counts in each
        output pixel, which is what `gpures.Resample` multiplies it with. Both are counted row by row, as `numpy.ravel`
        has them. Columns are sorted. Bad pixels, and such beside the frame, have none. Its adjoint is ``.T``.

    Raises
    ------
    TypeError, ValueError, KeyError, RuntimeError
        An argument or the exposure can't be used; the text says what, what it got and what it expected.
    MemoryError
        The matrix does not fit in memory, or has 2**31 entries or more on a GPU.
    DeviceError
        The GPU can't be used.

    Notes
    -----
    The variance of the mosaic is the diagonal of ``operator @ diag(variance) @ operator.T`` over the square of the sum
    of weights, for all exposures together, and the other elements are covariances of its pixels.

    Examples
    --------
    >>> import numpy as np
    >>> import gpures
    >>> from gpures.demo.nircam import NATIVE_SCALE, NRCB5, make_exposures
    >>> from gpures.demo.scene import make_scene
    >>> from gpures.demo.sky import frame_around
    >>> (model,) = make_exposures(make_scene(NRCB5["CRVAL1"], NRCB5["CRVAL2"]), 1, (64, 64))
    >>> frame = frame_around([model], NATIVE_SCALE, margin=2)
    >>> operator = gpures.drizzle_operator(model, frame, good_bits="~1")
    >>> weight = (operator @ np.ones(model["data"].size)).reshape(frame.array_shape)
    """
    geometry = Geometry(
        exposure,
        frame,
        kernel=kernel,
        pixfrac=pixfrac,
        weight_type=weight_type,
        good_bits=good_bits,
        pixmap_stepsize=pixmap_stepsize,
        pixmap_order=pixmap_order,
        pixmap_tolerance=pixmap_tolerance,
        backend=backend,
        device=device,
        to_host=to_host,
    )
    if len(geometry.exposures) != 1:
        raise ValueError(f"'exposure' must be one exposure, got {len(geometry.exposures)} of them.")
    geometry.warn_of_kernel(stacklevel=2)
    placed = geometry.placed(geometry.exposures[0])
    ny, nx = geometry.shape
    shape = ny * nx, placed.exposure.shape[0] * placed.exposure.shape[1]
    operator = geometry.operator(placed.exposure, Box.whole(geometry.shape))
    matrix = operator.matrix(shape, geometry.to_host)
    if any(geometry.period):  # an input pixel may fall on an output pixel twice
        matrix.sum_duplicates()
    return matrix
