"""`gpures.noise_realizations`: mosaics of pure noise, with the geometry and the weights of exposures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from gpures.arguments.arrays import as_host, got
from gpures.arguments.values import NOT_GIVEN, checked_count, checked_integer, fill_number
from gpures.cleaning.given import check_scale
from gpures.exposure.from_model import image_of
from gpures.io.input import VARIANCES
from gpures.operators.geometry import Geometry, Placed
from gpures.typing import Flags

__all__ = ["NoiseRealizations", "noise_realizations"]


@dataclass(frozen=True)
class _Noisy:
    """An exposure whose noise is drizzled."""

    number: int
    operator: Any
    sigma: Any


class NoiseRealizations(Sequence[Any]):
    """Mosaics of noise, each made when it is asked for: what `gpures.noise_realizations` gives.

    ``realizations[k]`` is the same image whenever it is made, and however many there are.

    Parameters
    ----------
    geometry : gpures.operators.geometry.Geometry
        Exposures and frame.
    count : int
        Number of realizations.
    seed : int
        What all of their numbers follow from.
    noise : sequence of str or None
        Names of the variances, or None for all that an exposure has; of ``("err",)`` the square is one.
    empty : float
        Value of pixels without weight.

    Attributes
    ----------
    wcs : gwcs.wcs.WCS or astropy.wcs.WCS
        Of the frame.
    """

    def __init__(self, geometry: Geometry, count: int, seed: int, noise: Sequence[str] | None, empty: float):
        check_scale(geometry.exposures)
        self.wcs = geometry.output_wcs
        self._count, self._seed, self._empty = count, seed, empty
        self._to_host = geometry.to_host
        self._frame = _frame_of(geometry)
        self._exposures: list[_Noisy] = []
        names = VARIANCES if noise is None else noise
        for number, given in enumerate(geometry.exposures):
            placed = geometry.placed(given)
            sigma = _sigma_of(placed, names, noise is None)
            if placed.window.is_empty:
                continue
            operator = geometry.operator(placed.exposure, placed.window)
            self._exposures.append(_Noisy(number, operator, self._frame.here(sigma)))
            self._frame.weigh(operator)

    @property
    def weight(self) -> Any:
        """Sum of the weights (Ny, Nx), float64, the same in all realizations."""
        weights = self._frame.weights
        return weights.get() if self._to_host and not isinstance(weights, np.ndarray) else weights.copy()

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, key: int) -> Any: ...

    @overload
    def __getitem__(self, key: slice) -> list[Any]: ...

    def __getitem__(self, key: int | slice) -> Any:
        if isinstance(key, slice):
            return [self._realization(k) for k in range(self._count)[key]]
        return self._realization(range(self._count)[key])

    def __iter__(self) -> Iterator[Any]:
        return map(self._realization, range(self._count))

    def _realization(self, number: int) -> Any:
        sums = self._frame.sums()  # its own, as several threads may ask, and an error may come between
        for each in self._exposures:
            self._frame.add(sums, each.operator, each.sigma, self._seed, number, each.number)
        image = self._frame.mean(sums, self._empty)
        return image.get() if self._to_host and not isinstance(image, np.ndarray) else image


def _frame_of(geometry: Geometry) -> Any:
    if geometry.backend == "cpu":
        from gpures.backend.noise import CPUNoise

        return CPUNoise(geometry.shape)
    from gpures.backend.cuda.noise import CUDANoise

    assert geometry.device is not None
    return CUDANoise(geometry.shape, geometry.device)


def _sigma_of(placed: Placed, names: Sequence[str], any_of_them: bool) -> np.ndarray:
    """Standard deviation of each pixel, as the data are scaled; NaN where it is not known.

    Raises
    ------
    ValueError
        An array is missing, or has another shape than the data.
    """
    model, shape = placed.model, placed.exposure.shape
    there = [name for name in names if model.get(name) is not None]
    if not there or not (any_of_them or len(there) == len(names)):
        missing = ", ".join(repr(name) for name in names if name not in there)
        raise ValueError(f"Model '{model.name}' must have what 'noise' is made of, got none of {missing}.")
    arrays = [as_host(image_of(model, name, shape)).astype(np.float64) for name in there]
    variance = np.zeros(shape)
    for name, array in zip(there, arrays, strict=True):
        variance += np.where((array >= 0) & (array < np.inf), array**2 if name == "err" else array, np.nan)
    return np.sqrt(variance) * placed.exposure.iscale


def noise_realizations(
    models: Any,
    n: int,
    seed: int,
    *,
    frame: Any,
    noise: str | Sequence[str] = "variances",
    fillval: float | str | None = 0.0,
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
) -> NoiseRealizations:
    """Mosaics of pure noise: of normal deviates, independent from pixel to pixel of the exposures, of their variances.

    How exposures lie in the frame, and with what weights, is computed once. Noise is a function of seed, realization,
    exposure and pixel alone, by a counter (Philox 4x32-10): the same on a CPU and a GPU to the last bit, whatever the
    number of threads, and a realization can be made without those before it.

    Parameters
    ----------
    models : sequence of gpures.typing.Model, path, or gpures.io.Input
        Exposures, as `gpures.drizzle_operator` takes one. Of their data only the shape counts.
    n : int
        Number of realizations.
    seed : int
        Not negative, and below 2**64.
    frame : gwcs.wcs.WCS, astropy.wcs.WCS or dict
        As `gpures.drizzle_operator` takes it.
    noise : {"variances", "err"} or sequence of str, optional
        What the noise of an input pixel is made of: the sum of those of ``var_rnoise``, ``var_poisson`` and
        ``var_flat`` that an exposure has; its ``err``; or the sum of variances of these names.
    fillval : float, str or None, optional
        Value of output pixels without weight, as in `gpures.Resample`.
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
        With the backend "cuda", whether images are numpy arrays. Else they are CuPy arrays.

    Returns
    -------
    NoiseRealizations
        A sequence of n images of float32 (Ny, Nx), in the unit of the data, each made when it is asked for. Pixels are
        NaN on which an input pixel falls whose variance is not known (negative, infinite or NaN).

    Raises
    ------
    TypeError, ValueError, KeyError
        An argument or an exposure can't be used, or their values are on several scales, such as counts of different
        times.
    MemoryError
        The contributions of all exposures, 12 bytes each, do not fit in memory.
    DeviceError
        The GPU can't be used.

    Examples
    --------
    >>> import numpy as np
    >>> import gpures
    >>> from gpures.demo.nircam import NATIVE_SCALE, NRCB5, make_exposures
    >>> from gpures.demo.scene import make_scene
    >>> from gpures.demo.sky import frame_around
    >>> models = make_exposures(make_scene(NRCB5["CRVAL1"], NRCB5["CRVAL2"]), 2, (64, 64))
    >>> frame = frame_around(models, NATIVE_SCALE, margin=2)
    >>> realizations = gpures.noise_realizations(models, 50, seed=1, frame=frame, good_bits="~1")
    >>> scatter = np.std([image[20:40, 20:40].sum() for image in realizations])
    """
    count = checked_count(n, "n")
    if count is None:
        raise ValueError("'n' must be the number of realizations, got None.")
    seed = checked_integer(seed, "seed")
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"'seed' must not be negative, and below 2**64, got {got(seed)}.")
    empty = fill_number(fillval)
    geometry = Geometry(
        models,
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
    geometry.warn_of_kernel(stacklevel=2)
    return NoiseRealizations(geometry, count, seed, _checked_noise(noise), np.nan if empty is None else empty)


def _checked_noise(noise: Any) -> tuple[str, ...] | None:
    """Names of what noise is made of; None for variances as far as there are any.

    Raises
    ------
    ValueError
        It is neither of the two words, nor a sequence of names.
    """
    if isinstance(noise, str):
        if noise in ("variances", "err"):
            return None if noise == "variances" else ("err",)
    elif (
        isinstance(noise, Sequence)
        and noise
        and all(isinstance(name, str) and name.startswith("var_") for name in noise)
        and len(set(noise)) == len(noise)
    ):
        return tuple(noise)
    raise ValueError(
        f"'noise' must be 'variances', 'err', or names of variances such as ('var_rnoise',), each once, got "
        f"{got(noise)}."
    )
