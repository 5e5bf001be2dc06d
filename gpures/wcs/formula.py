"""What leads from the pixels of one WCS to those of another, as a formula that the kernels evaluate at each pixel.

Most WCS consist of polynomials, rotations and tangent planes. Of a chain of such models `formula_of` makes the numbers
that `kernels/formula.h` reads: the models are asked what they do to symbols, and what is linear, or a turn of a vector,
becomes one with its neighbours. So the longitudes and latitudes between the two WCS, which are made of a vector and
are made one again, are never worked out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.polynomial.polynomial import polypow

from gpures import _cpu
from gpures.wcs.transforms import Transform

__all__ = ["formula_of"]

# Kinds of steps, as kernels/formula.h has them.
END, POLYNOMIAL, PLANE, SPHERE = range(4)

# By how much the factors to a longitude may differ from 1, and it still be one.
ROUNDING = 1e-14

# Coefficients of x; transposed, those of y.
ALONG_X = np.array([[0.0, 0.0], [1.0, 0.0]])

# The highest degree of polynomials, as kernels/formula.h has it.
HIGHEST: int = _cpu.HIGHEST_DEGREE


class _UnknownError(Exception):
    """No such formula."""


@dataclass(frozen=True, eq=False)
class _Polynomial:
    """One in two coordinates: coefficients [i, j] of x^i y^j.

    Attributes
    ----------
    base : int
        Number of steps that lead to these coordinates.
    """

    base: int
    of: np.ndarray

    def __mul__(self, factor: float) -> _Polynomial:
        return _Polynomial(self.base, self.of * factor)

    def __truediv__(self, divisor: float) -> _Polynomial:
        return self * (1.0 / divisor)

    def __add__(self, other: Any) -> _Polynomial:
        if not isinstance(other, _Polynomial):
            other = _constant(self.base, float(other))
        size = max(len(self.of), len(other.of))
        return _Polynomial(_common(self, other), _padded(self.of, size) + _padded(other.of, size))


@dataclass(frozen=True, eq=False)
class _Component:
    """Of a turned vector: its product with a row.

    Attributes
    ----------
    base : (int, int)
        Kind of the vector, and number of steps that lead to the coordinates that it has.
    """

    base: tuple[int, int]
    row: np.ndarray

    def __truediv__(self, other: Any) -> _Quotient:
        if not isinstance(other, _Component):
            raise _UnknownError
        return _Quotient(_common(self, other), self.row, other.row)


@dataclass(frozen=True, eq=False)
class _Quotient:
    """Of two components of a vector."""

    base: tuple[int, int]
    row: np.ndarray
    by: np.ndarray

    def __mul__(self, factor: float) -> _Quotient:
        return _Quotient(self.base, self.row * factor, self.by)

    def __truediv__(self, divisor: float) -> _Quotient:
        return self * (1.0 / divisor)

    def __add__(self, other: Any) -> _Quotient:
        if not isinstance(other, _Quotient):
            return _Quotient(self.base, self.row + float(other) * self.by, self.by)
        if not np.array_equal(self.by, other.by):
            raise _UnknownError
        return _Quotient(_common(self, other), self.row + other.row, self.by)


@dataclass(frozen=True, eq=False)
class _Angle:
    """Longitude or latitude of a vector, times a factor to degrees."""

    vector: tuple[_Component, _Component, _Component]
    is_latitude: bool
    factor: float = 1.0

    def __mul__(self, factor: float) -> _Angle:
        return _Angle(self.vector, self.is_latitude, self.factor * factor)

    def __truediv__(self, divisor: float) -> _Angle:
        return self * (1.0 / divisor)


def _common(one: Any, other: Any) -> Any:
    """What two symbols are both of."""
    if one.base != other.base:
        raise _UnknownError
    return one.base


def _constant(base: int, value: float) -> _Polynomial:
    return _Polynomial(base, np.array([[value]]))


def _padded(coefficients: np.ndarray, size: int) -> np.ndarray:
    return np.pad(coefficients, (0, max(0, size - len(coefficients))))


def _line(symbol: Any, axis: int) -> tuple[float, float] | None:
    """The two coefficients of what depends on one coordinate, linearly; None of something else."""
    if not isinstance(symbol, _Polynomial):
        return None
    along = symbol.of if axis == 0 else symbol.of.T
    if np.any(along[2:]) or np.any(along[:, 1:]):
        return None
    of_one, of_coordinate = np.pad(along[:, 0], (0, 1))[:2].tolist()
    return of_one, of_coordinate


def _powers(line: tuple[float, float], count: int) -> np.ndarray:
    """Coefficients [k, i] of the powers k of what has two of them."""
    powers = np.zeros((count, count))
    for k in range(count):
        powers[k, : k + 1] = polypow(line, k)
    return powers


def _is_identity(x: np.ndarray, y: np.ndarray) -> bool:
    return np.array_equal(_padded(x, 2), ALONG_X) and np.array_equal(_padded(y, 2), ALONG_X.T)


class _Steps:
    """The steps so far, and what they make of what is given."""

    def __init__(self) -> None:
        self.numbers: list[list[float]] = []
        self._known: dict[tuple[int, int], tuple[tuple[Any, Any], tuple[_Polynomial, _Polynomial]]] = {}

    def coordinates(self) -> tuple[_Polynomial, _Polynomial]:
        """Those that the steps lead to."""
        base = len(self.numbers)
        return _Polynomial(base, ALONG_X), _Polynomial(base, ALONG_X.T)

    def led_to(self, x: Any, y: Any) -> tuple[_Polynomial, _Polynomial]:
        """Coordinates that are two symbols, by a step that leads to them; the same ones again of the same symbols."""
        known = self._known.get((id(x), id(y)))
        if known is None:
            self._step(x, y)
            known = self._known[id(x), id(y)] = (x, y), self.coordinates()
        return known[1]

    def _step(self, x: Any, y: Any) -> None:
        base = _common(x, y)
        if isinstance(x, _Polynomial) and isinstance(y, _Polynomial):
            if base != len(self.numbers):
                raise _UnknownError
            size = max(len(x.of), len(y.of))
            of = np.stack([_padded(x.of, size), _padded(y.of, size)], axis=-1)
            if _is_identity(x.of, y.of):
                return
            terms = [of[i, j] for i in range(size - 1, -1, -1) for j in range(size - 1 - i, -1, -1)]
            self.numbers.append([POLYNOMIAL, size - 1, *np.concatenate(terms)])
        elif isinstance(x, _Quotient) and isinstance(y, _Quotient) and np.array_equal(x.by, y.by):
            kind, steps = base
            if steps != len(self.numbers):
                raise _UnknownError
            self.numbers.append([kind, *x.row, *y.row, *x.by])
        else:
            raise _UnknownError

    def vector(self, kind: int, x: Any, y: Any) -> tuple[_Component, _Component, _Component]:
        """The vector (x, y, 1), or of a longitude and a latitude in radians."""
        base = kind, self.led_to(x, y)[0].base
        one, two, three = (_Component(base, row) for row in np.eye(3))
        return one, two, three

    # ---- models ------------------------------------------------------------------------------------------------

    def on_sphere(self, lon: Any, lat: Any) -> tuple[_Component, _Component, _Component]:
        """The vector of a longitude and a latitude in degrees."""
        if not (isinstance(lon, _Angle) and isinstance(lat, _Angle)):
            return self.vector(SPHERE, lon * np.radians(1.0), lat * np.radians(1.0))
        are_whole = all(abs(angle.factor - 1.0) <= ROUNDING for angle in (lon, lat))
        if lon.vector is not lat.vector or lon.is_latitude or not lat.is_latitude or not are_whole:
            raise _UnknownError
        return lon.vector

    def from_plane(self, x: Any, y: Any) -> tuple[_Angle, _Angle]:
        """Native longitude and latitude of a place in the tangent plane, in degrees."""
        radians = x * np.radians(1.0), y * np.radians(1.0)
        across, up, one = self.vector(PLANE, *radians)
        return _angles((_Component(up.base, -up.row), across, one))

    def into_plane(self, lon: Any, lat: Any) -> tuple[_Quotient, _Quotient]:
        """Back again."""
        x, y, z = self.on_sphere(lon, lat)
        return y / z * np.degrees(1.0), x / z * -np.degrees(1.0)

    def through(self, model: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
        """What a model of astropy makes of symbols."""
        name = type(model).__name__
        if name == "CompoundModel":
            return self._through_both(model, given)
        if name == "FITSImagingWCSTransform":
            return self.through(model.forward, given)
        if len(model) > 1:
            raise _UnknownError
        parameters = [np.asarray(value) for value in model._param_sets(raw=True)]  # angles in radians
        numbers = [value.item() for value in parameters if value.size == 1]
        match name:
            case "Identity":
                return given
            case "Mapping":
                return tuple(given[k] for k in model.mapping)
            case "Shift":
                return (given[0] + numbers[0],)
            case "Scale" | "Multiply":
                return (given[0] * numbers[0],)
            case "Const1D":
                return (_constant(given[0].base, numbers[0]) if isinstance(given[0], _Polynomial) else numbers[0],)
            case "Polynomial2D":
                return (self._polynomial(model, numbers, *given),)
            case "AffineTransformation2D":
                (matrix, shift) = (
                    np.reshape(value, shape) for value, shape in zip(parameters, ((2, 2), 2), strict=True)
                )
                return tuple(_linear(row, given) + float(by) for row, by in zip(matrix, shift, strict=True))
            case "Rotation2D":
                matrix = np.array(model.evaluate(*np.eye(2), *parameters))
                return tuple(_linear(row, given) for row in matrix)
            case "RotationSequence3D":
                return _turned(_euler(np.ravel(parameters[0]), model.axes_order), self._as_vector(given))
            case "SphericalRotationSequence":
                matrix = _euler(np.ravel(parameters[0]), model.axes_order)
            case "EulerAngleRotation":
                matrix = _euler(numbers, model.axes_order)
            case "RotateNative2Celestial":
                matrix = _of_native(*numbers)
            case "RotateCelestial2Native":
                matrix = _of_native(*numbers).T
            case "SphericalToCartesian":
                return self.on_sphere(*given)
            case "CartesianToSpherical":
                return _angles(self._as_vector(given))
            case "Pix2Sky_Gnomonic":
                return self.from_plane(*given)
            case "Sky2Pix_Gnomonic":
                return self.into_plane(*given)
            case _:
                raise _UnknownError
        return _angles(_turned(matrix, self.on_sphere(*given)))

    def _through_both(self, model: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
        if model.op == "|":
            return self.through(model.right, self.through(model.left, given))
        if model.op == "&":
            count = model.left.n_inputs
            return *self.through(model.left, given[:count]), *self.through(model.right, given[count:])
        pairs = zip(self.through(model.left, given), self.through(model.right, given), strict=True)
        match model.op:
            case "+":
                return tuple(one + other for one, other in pairs)
            case "/":
                return tuple(one / other for one, other in pairs)
            case _:
                raise _UnknownError

    def _polynomial(self, model: Any, numbers: Sequence[float], x: Any, y: Any) -> Any:
        if model.degree > HIGHEST or any(domain not in (None, (-1, 1)) for domain in (model.x_domain, model.y_domain)):
            raise _UnknownError
        of = np.zeros((model.degree + 1, model.degree + 1))
        for name, value in zip(model.param_names, numbers, strict=True):
            of[tuple(map(int, name[1:].split("_")))] = value
        if model.degree == 1:
            return x * of[1, 0] + y * of[0, 1] + of[0, 0]
        return self._polynomial_of(of, x, y)

    def _polynomial_of(self, of: np.ndarray, x: Any, y: Any) -> _Polynomial:
        """A polynomial of two symbols. In pixels that are only moved and scaled it is one in pixels."""
        of_x, of_y = _line(x, axis=0), _line(y, axis=1)
        if of_x is None or of_y is None or x.base != y.base:
            return _Polynomial(self.led_to(x, y)[0].base, of)
        return _Polynomial(x.base, _powers(of_x, len(of)).T @ of @ _powers(of_y, len(of)))

    def _as_vector(self, given: tuple[Any, ...]) -> tuple[Any, ...]:
        """Three components; also of (1, x, y)."""
        if all(isinstance(each, _Component) for each in given):
            return given
        one, x, y = given
        if one != 1.0:
            raise _UnknownError
        across, up, unity = self.vector(PLANE, x, y)
        return unity, across, up

    def through_fits(self, transform: Transform, given: tuple[Any, ...]) -> tuple[Any, ...]:
        """What a FITS WCS makes of pixels, or its inverse of coordinates of the world: both as it has them."""
        wcs = transform.source
        header, sip, backwards = wcs.wcs, wcs.sip, not transform.to_world
        tables = (wcs.cpdis1, wcs.cpdis2, wcs.det2im1, wcs.det2im2)
        if any(table is not None for table in tables) or not all(kind[4:8] == "-TAN" for kind in header.ctype):
            raise _UnknownError
        if len(header.get_pv()) or (sip is not None and backwards):
            raise _UnknownError
        axes, unit = list(transform.axes.order), np.array(transform.axes.factors)
        matrix = wcs.pixel_scale_matrix[axes] * unit[:, None]
        turn = _of_native(*np.radians([*(header.crval[axes] * unit), header.lonpole]))
        first = header.crpix - 1.0
        if backwards:
            lon, lat = (given[axis] * f for axis, f in zip(axes, unit, strict=True))
            back = self.into_plane(*_angles(_turned(turn.T, self.on_sphere(lon, lat))))
            return tuple(_linear(row, back) + at for row, at in zip(np.linalg.inv(matrix), first, strict=True))
        if sip is not None:
            from_sip = [axis + (1.0 - at) for axis, at in zip(given, sip.crpix, strict=True)]
            given = tuple(
                axis if of is None else axis + self._polynomial_of(np.asarray(of), *from_sip)
                for axis, of in zip(from_sip, (sip.a, sip.b), strict=True)
            )
            first = header.crpix - sip.crpix
        plane = [axis + -at for axis, at in zip(given, first, strict=True)]
        sky = _angles(_turned(turn, self.on_sphere(*self.from_plane(*(_linear(row, plane) for row in matrix)))))
        own: list[Any] = [None, None]
        for axis, angle, f in zip(axes, sky, unit, strict=True):
            own[axis] = angle / f
        return tuple(own)


def _linear(row: Sequence[float], pair: Sequence[Any]) -> Any:
    return pair[0] * float(row[0]) + pair[1] * float(row[1])


def _angles(vector: tuple[Any, ...]) -> tuple[_Angle, _Angle]:
    return _Angle(vector, False), _Angle(vector, True)


def _turned(matrix: np.ndarray, vector: tuple[Any, ...]) -> tuple[Any, ...]:
    base = reduce(lambda one, other: one if one.base == other.base else None, vector).base
    return tuple(_Component(base, row) for row in matrix @ np.array([each.row for each in vector]))


def _euler(angles: Iterable[float], axes: str) -> np.ndarray:
    """Matrix of turns (radians) of the axes one after the other, as astropy's models have them."""
    from astropy import units
    from astropy.coordinates import rotation_matrix

    turns = [rotation_matrix(float(angle), axis, unit=units.rad) for angle, axis in zip(angles, axes, strict=True)]
    return reduce(np.matmul, turns[::-1])


def _of_native(lon: float, lat: float, lon_pole: float) -> np.ndarray:
    """From native vectors to those of the sky (Calabretta & Greisen 2002, A&A 395, 1077), by angles in radians."""
    return _euler((lon_pole - np.pi / 2, lat - np.pi / 2, -(np.pi / 2 + lon)), "zxz")


def formula_of(forward: Transform, backward: Transform) -> np.ndarray | None:
    """The formula of two transforms, as `kernels/formula.h` reads it.

    Whoever uses it compares it with the transforms first.

    Parameters
    ----------
    forward, backward : Transform
        From pixels to the world, and from there to pixels.

    Returns
    -------
    ndarray of float64 or None
        None where one of them has a part that is no polynomial, rotation or tangent plane.
    """
    if forward.source is None or backward.source is None or forward.convert is not None:
        return None
    # Models are known by their names below: those of others, of the same names, may be anything, anywhere.
    if not (forward.shows_all_over and backward.shows_all_over):
        return None
    steps = _Steps()
    try:
        own: Any = _through(steps, forward, steps.coordinates())
        given: Any = backward.axes.of_the_wcs(forward.axes.by_meaning(own))
        x, y, *_ = _through(steps, backward, given)
        steps.led_to(x, y)
    except (_UnknownError, AttributeError, TypeError, ValueError, NotImplementedError, np.linalg.LinAlgError):
        return None
    return np.array([number for step in [*steps.numbers, [float(END)]] for number in step], float)


def _through(steps: _Steps, transform: Transform, given: tuple[Any, ...]) -> tuple[Any, ...]:
    if hasattr(transform.source, "wcs"):
        return steps.through_fits(transform, given)
    return steps.through(transform.source, given)
