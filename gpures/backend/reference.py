"""The reference algorithm, on the `drizzle` package and plain numpy.

Slow, independent of the kernels, and written to be read: the yardstick of the tests, and a choice of the user. It
follows what `stcal.resample.Resample` (1.20) does with the package, and differs where that is wrong:

- an exposure without ``var_rnoise`` weights its variances with 1, where the reference takes the array of the exposure
  before it, or fails;
- the running sums of variances are float64, so that weights up to 1e30 do not overflow, and so are variances that are
  propagated;
- an inverse read noise beyond float32 is the largest float32;
- flags of int8 and int16 are not extended by their sign;
- pixels that the package has no right drop for, such as those beside one without coordinates, are handed to it by
  themselves, with pixel maps of their own (see `_Layout`).

Its weights are the package's float32: where they add up to more than 3.4e38, data are NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from gpures import _cpu
from gpures.arguments.arrays import as_flags
from gpures.backend.base import BITS_PER_PLANE, Accumulators, Contents, MosaicLayout, named_arrays
from gpures.box import Box
from gpures.exposure.exposure import Exposure
from gpures.exposure.pixmap import exposure_record
from gpures.exposure.records import set_drop
from gpures.exposure.structs import in_memory
from gpures.exposure.weights import Weight
from gpures.extras import install
from gpures.machine.threads import thread_count

__all__ = ["DrizzleAccumulators", "drizzle_class"]

ERR = "(err)"  # which is no name that a further array may have


# The largest weight of a pixel, or of an exposure's variances.
LARGEST = float(np.finfo(np.float32).max)

# The largest sum of weights that the package gets where it squares them, with room for those of both signs.
LARGEST_SQUARED = 2.0**62

# Pixels without coordinates around an image: so many that the package continues none of its cells.
BORDER = 2

# From one pixel that is handed over by itself to the next: its 3 x 3, and one without coordinates.
PITCH = 4

# Coordinates from here on are none, as in kernels/footprint.h.
FARTHEST = 1e9


def drizzle_class():
    """`drizzle.resample.Drizzle` itself, also while `gpures.accelerate` has another in its place."""
    try:
        from drizzle.resample import Drizzle
    except ImportError as error:
        raise ImportError(f"backend='drizzle' needs the drizzle package: {install('drizzle')}.") from error
    from gpures.originals import original

    return original(Drizzle)


class DrizzleAccumulators(Accumulators):
    """Accumulators held by `drizzle.resample.Drizzle` objects."""

    backend = "drizzle"
    context_name = "/images//out_ctx"

    def __init__(self, frame: MosaicLayout):
        if frame.noise_names:
            raise ValueError(
                "'covariance' and 'noise_factor' need the weights of whole drops, which the drizzle package does not "
                "tell: use backend 'cpu' or 'cuda'."
            )
        if frame.single:
            raise ValueError(
                "precision='single' is of gpures' own kernels, which the drizzle package has not: use backend 'cpu' or "
                "'cuda'."
            )
        super().__init__(frame)
        self._whole = Box.whole(self.layout.shape)  # the package does not say what it touches
        fillval = "INDEF" if frame.fillval is None else frame.fillval
        planes = frame.context_planes
        self._driz = drizzle_class()(
            kernel=frame.kernel,
            fillval=fillval,
            out_shape=frame.shape,
            max_ctx_id=planes * 32 - 1 if planes else None,
            disable_ctx=not planes,
            out_dq=np.zeros(frame.shape, np.uint32) if frame.has_dq else None,
            out_img2=[None] * frame.squared or None,
        )
        self._driz_err = None
        # Variances that are propagated, in float64, and that of the errors.
        names = frame.variance_names if frame.propagates and not frame.variances_apart else ()
        names += (ERR,) if frame.propagates and frame.has_err else ()
        self._propagated = {name: np.zeros(frame.shape) for name in names}
        if frame.has_err and not frame.propagates:
            self._driz_err = drizzle_class()(
                kernel=frame.kernel, fillval=fillval, out_shape=frame.shape, disable_ctx=True
            )
        self._driz_extras = {
            name: drizzle_class()(kernel=frame.kernel, fillval=fillval, out_shape=frame.shape, disable_ctx=True)
            for name in frame.extra_names
        }
        self._time = np.zeros(frame.shape) if frame.has_time else None
        with_weights = [name for name in frame.variance_names if name not in self._propagated]
        self._wsum = {name: np.zeros(frame.shape) for name in with_weights}
        self._wt = {name: np.zeros(frame.shape) for name in with_weights}

    def _add(self, exposure: Exposure) -> None:
        layout = _Layout(exposure, self.kernel_of(exposure), self.layout.shape)
        arguments = self._arguments(exposure, layout)
        self._begun = self.passes + 1
        if self.layout.propagates:
            self._propagate(exposure, layout, arguments)
        if exposure.data is not None:
            data = exposure.data - exposure.level if exposure.level else exposure.data
            more: dict[str, Any] = {}
            if self._driz.out_dq is not None and exposure.dq is not None:
                more["dq"] = layout.spread(as_flags(exposure.dq).astype(np.uint32))
            if exposure.squared:
                more["data2"] = [layout.spread(_native(array).astype(np.float32)) for array in exposure.squared]
            self._set(self._driz, exposure).add_image(layout.spread(_native(data)), **more, **arguments)
            self._tell_of_passed_over(self._passed_over + layout.passed_over, exposure.name)
        if self._driz_err is not None and exposure.err is not None:
            self._set(self._driz_err, exposure).add_image(layout.spread(_native(exposure.err)), **arguments)
        for name, array in exposure.extras.items():
            driz = self._set(self._driz_extras[name], exposure)
            driz.add_image(layout.spread(_native(array)), **(arguments | {"iscale": 1.0}))
        if self._time is not None and exposure.data is not None:
            self._time += self._time_of(exposure, layout, arguments)
        if exposure.variances and not self.layout.propagates:
            self._add_variances(exposure, layout, arguments)
        self._done[:] = (self.passes + 1, *self._whole)

    # ---- merging -----------------------------------------------------------------------------------------------

    def contents(self, window: Box) -> Contents:  # noqa: D102
        images = {"data": self._driz.out_img, "wht": self._driz.out_wht, "con": self._driz.out_ctx}
        images |= {"dq": self._driz.out_dq, "exptime_map": self._time}
        images |= {name: driz.out_img for name, driz in self._averaged().items()}
        images |= {f"squared/{k}": image for k, image in enumerate(self._driz.out_img2 or ())}
        for name, variance in self._propagated.items():
            images |= {"err": _root(variance)} if name == ERR else {f"squared/{name}": variance}
        variances = {}
        for name in self._wt:
            weight, total = self._wt[name][window.slices], self._wsum[name][window.slices]
            with np.errstate(invalid="ignore", divide="ignore"):
                variances[name] = np.where(weight > 0, total / weight / weight, 0.0), weight
        return {name: image[window.slices] for name, image in images.items() if image is not None}, variances

    def _merge(self, other: Accumulators, window: Box, first: int, count: int) -> None:
        images, variances = other.contents_on_host(window)
        part = window.slices
        with self._or_as_before(window):
            before, added = self._driz.out_wht[part].astype(np.float64), _sums_of_weights(images["wht"])
            averaged = {"data": self._driz} | self._averaged()
            for name, driz in averaged.items():
                _merge_mean(driz.out_img[part], images[name], before, added)
            for k, image in enumerate(self._driz.out_img2 or ()):
                _merge_mean(image[part], images[f"squared/{k}"], before, added, power=2)
            for name, variance in self._propagated.items():
                other_one = images["err"].astype(np.float64) ** 2 if name == ERR else images[f"squared/{name}"]
                _merge_mean(variance[part], other_one, before, added, power=2)
            with np.errstate(over="ignore"):
                for driz in averaged.values():
                    driz.out_wht[part] = before + added
            if self._driz.out_ctx is not None:
                self._merge_context(images["con"], part, first, count)
            if self._driz.out_dq is not None:
                self._driz.out_dq[part] |= images["dq"]
            if self._time is not None:
                self._time[part] += images["exptime_map"]
            for name, (variance, kept) in variances.items():
                weight = _sums_of_weights(kept)
                self._wsum[name][part] += variance * weight * weight
                self._wt[name][part] += weight
            self._done[:] = (self.passes + 1, *window)

    def _averaged(self) -> dict[str, Any]:
        """What is averaged beside the data."""
        return ({} if self._driz_err is None else {"err": self._driz_err}) | self._driz_extras

    def _merge_context(self, context: np.ndarray, part: tuple, first: int, count: int) -> None:
        """Set the bits of exposures that come from `first` on, which lie across planes."""
        missing = (first + count - 1) // BITS_PER_PLANE + 1 - len(self._driz.out_ctx)
        if missing > 0:
            room = np.zeros((missing, *self.layout.shape), np.int32)
            _set_private(self._driz, "out_ctx", np.concatenate([self._driz.out_ctx, room]))
        for k in range(count):
            bit = context[k // BITS_PER_PLANE] >> k % BITS_PER_PLANE & 1
            plane, shift = divmod(first + k, BITS_PER_PLANE)
            self._driz.out_ctx[plane][part].view(np.uint32)[...] |= bit.astype(np.uint32) << np.uint32(shift)

    # ---- what the package is told ------------------------------------------------------------------------------

    def _set(self, driz: Any, exposure: Exposure) -> Any:
        """An object of the package, with what is set for the next exposure: it has no public way to change that."""
        fillval = "INDEF" if self.fillval is None else str(self.fillval)
        wanted: dict[str, Any] = {"kernel": self.kernel_of(exposure), "fillval": fillval}
        if driz.ctx_id is not None:
            wanted["ctx_id"] = exposure.context_id
        for name, value in wanted.items():
            _set_private(driz, name, value)
        return driz

    def _held(self) -> dict[str, Any]:
        objects = {"": self._driz, ERR: self._driz_err} | self._driz_extras
        names = ("out_img", "out_wht", "out_ctx", "out_dq", "out_img2")
        images = {key: {n: getattr(driz, n) for n in names} for key, driz in objects.items() if driz is not None}
        sums = {"wsum": self._wsum, "wt": self._wt, "time": self._time, "propagated": self._propagated}
        return dict(named_arrays({"images": images} | sums))

    def _arguments(self, exposure: Exposure, layout: _Layout) -> dict:
        xmin, xmax, ymin, ymax = layout.limits
        return {
            "exptime": exposure.exposure_time,
            "pixmap": layout.pixmap,
            "pixel_scale_ratio": exposure.pixel_scale_ratio,
            "iscale": exposure.iscale,
            "weight_map": layout.weights(self.weight_map(exposure)),
            "wht_scale": 1.0,
            "pixfrac": exposure.pixfrac,
            "in_units": "cps",
            "xmin": xmin,
            "xmax": xmax,
            "ymin": ymin,
            "ymax": ymax,
        }

    def _time_of(self, exposure: Exposure, layout: _Layout, arguments: dict) -> np.ndarray:
        """The exposure time where good pixels fall, all of which have weight 1 for that."""
        good = replace(exposure, weight=Weight(bad_bits=exposure.weight.bad_bits))
        driz = drizzle_class()(
            kernel=self.kernel_of(exposure), fillval=0.0, out_shape=self.layout.shape, disable_ctx=True
        )
        weights = layout.weights(self.weight_map(good))
        driz.add_image(np.zeros(weights.shape, np.float32), **(arguments | {"weight_map": weights}))
        return np.where(driz.out_wht != 0, exposure.effective_time, 0.0)

    def _add_variances(self, exposure: Exposure, layout: _Layout, arguments: dict) -> None:
        """Average the roots of the variances like the data, square them, and add them with squared weights."""
        drizzled = {}
        for name, variance in exposure.variances.items():
            driz = drizzle_class()(
                kernel=self.kernel_of(exposure), fillval=np.nan, out_shape=self.layout.shape, disable_ctx=True
            )
            with np.errstate(invalid="ignore"):
                driz.add_image(layout.spread(np.sqrt(_native(variance))), **arguments)
            drizzled[name] = driz.out_img.astype(np.float64) ** 2
        if exposure.variance_weight is None:
            rnoise = drizzled["var_rnoise"]
            usable = (rnoise > 0) & np.isfinite(rnoise)
            with np.errstate(divide="ignore", over="ignore"):
                t = np.where(usable, 1.0 / np.where(usable, rnoise, 1.0), 0.0)
            t = np.minimum(t, LARGEST)
        else:
            t = np.full(self.layout.shape, exposure.variance_weight)
        for name, v in drizzled.items():
            mask = (v >= 0) & np.isfinite(v) & (t > 0)
            self._wsum[name][mask] += v[mask] * t[mask] * t[mask]
            self._wt[name][mask] += t[mask]

    def _propagate(self, exposure: Exposure, layout: _Layout, arguments: dict) -> None:
        """Average variances, and squares of errors, with the squares of the weights: the package's ``data2``."""
        arrays = {name: _native(variance).astype(np.float64) for name, variance in exposure.variances.items()}
        if ERR in self._propagated and exposure.err is not None:
            arrays[ERR] = _native(exposure.err).astype(np.float64)
        if not arrays:
            return
        # The package squares weights in float32, so it gets such as are as large as they may be, and values around 1.
        largest = {name: _size_of(array) for name, array in arrays.items()}
        known = {name: np.where(array < 0, np.nan, array / largest[name]) for name, array in arrays.items()}
        weights = arguments["weight_map"].astype(np.float64) / _size_of(arguments["weight_map"])

        def drizzled(data: np.ndarray, factor: float, data2: list | None = None) -> Any:
            driz = drizzle_class()(
                kernel=self.kernel_of(exposure), fillval=0.0, out_shape=self.layout.shape, disable_ctx=True
            )
            factors = {"weight_map": (weights * factor).astype(np.float32), "iscale": 1.0}
            driz.add_image(data, data2=data2, **(arguments | factors))
            return driz

        nothing = np.zeros(weights.shape, np.float32)
        factor = LARGEST_SQUARED / _size_of(drizzled(nothing, 1.0).out_wht)
        squares = [array**2 if name == ERR else array for name, array in known.items()]
        finite = [np.where(np.isinf(array), 0.0, array).astype(np.float32) for array in squares]
        driz = drizzled(nothing, factor, [layout.spread(array) for array in finite])
        size_of_weights = _size_of(arguments["weight_map"]) / factor
        before, added = self._driz.out_wht.astype(np.float64), driz.out_wht.astype(np.float64) * size_of_weights
        for name, mean in zip(arrays, driz.out_img2, strict=True):
            size = largest[name] * exposure.iscale
            variance = mean.astype(np.float64) * (size**2 if name == ERR else size * exposure.iscale)
            infinite = np.isinf(known[name])
            if infinite.any():  # however small the weight, whose square may be 0 in float32
                there = drizzled(layout.spread(infinite.astype(np.float32)), factor).out_img != 0
                variance[there & ~np.isnan(variance)] = np.inf
            if name in self._propagated:
                _merge_mean(self._propagated[name], variance, before, added, power=2)
            else:
                there = added != 0
                self._wsum[name][there] += (variance * added * added)[there]
                self._wt[name] += added

    def _places(self, images: Mapping[str, Any], variances: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
        names = {"data": "out_img", "wht": "out_wht", "con": "out_ctx", "dq": "out_dq"}
        held = {f"/images//{names[name]}": image for name, image in images.items() if name in names}
        for name, image in images.items():
            if name == "exptime_map":
                held["/time"] = image
            elif name == "err" and ERR in self._propagated:
                held[f"/propagated/{ERR}"] = image.astype(np.float64) ** 2
            elif name.startswith("squared/"):
                held[f"/propagated/{name.removeprefix('squared/')}"] = image
            elif name not in names:
                object_name = ERR if name == "err" else name
                held[f"/images/{object_name}/out_img"] = image
                held[f"/images/{object_name}/out_wht"] = images["wht"]
        for name, (variance, weight) in variances.items():
            held[f"/wsum/{name}"] = variance * weight.astype(np.float64) ** 2
            held[f"/wt/{name}"] = weight
        return held

    def variance_weights(self) -> dict[str, np.ndarray]:  # noqa: D102
        return dict(self._wt)

    def weight_map(self, exposure: Exposure) -> np.ndarray:  # noqa: D102
        weight = exposure.weight
        if weight.weight_map is not None:
            usable = np.asarray(weight.weight_map, np.float64)
            usable = np.where(np.abs(usable) <= LARGEST, usable, 0.0)
            weights = np.clip(usable * weight.constant, -LARGEST, LARGEST)
        elif weight.variance is not None:
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                weights = 1.0 / _native(weight.variance).astype(np.float64)
        else:
            weights = np.full(exposure.shape, weight.constant)
        with np.errstate(over="ignore", invalid="ignore"):
            weights = weights.astype(np.float32)
        weights[~np.isfinite(weights)] = 0.0
        if exposure.dq is not None and weight.bad_bits:
            flags = as_flags(exposure.dq)
            weights[(flags & flags.dtype.type(weight.bad_bits)) != 0] = 0.0
        return weights

    def take(self, images: dict[str, Any], next_id: int = 0) -> None:  # noqa: D102
        begun = {name: self.image(name) for name in ("data", "wht", "con", "dq", "squared")}
        for name, given in images.items():
            dtype = np.dtype(np.uint32 if name == "dq" else np.int32 if name == "con" else np.float32)
            if name == "squared":
                begun[name] = [self._begun_with(i, dtype) for i in given]
            else:
                begun[name] = None if given is None else self._begun_with(given, dtype)
        self._driz = drizzle_class()(
            kernel=self.layout.kernel,
            fillval="INDEF",
            out_shape=self.layout.shape,
            out_img=begun["data"],
            out_wht=begun["wht"],
            out_ctx=begun["con"],
            out_img2=begun["squared"] or None,
            out_dq=begun["dq"],
            exptime=1.0,  # any but 0, which it takes for that of an empty mosaic
            begin_ctx_id=next_id,
            disable_ctx=not self.layout.context_planes,
        )
        self.layout = replace(self.layout, has_dq=begun["dq"] is not None, squared=len(begun["squared"]))
        self._touched = self._whole

    def _begun_with(self, given: Any, dtype: np.dtype) -> np.ndarray:
        # It accumulates in contiguous arrays alone: of others, in a copy that nobody sees.
        return np.require(given, dtype, ["C", "W"]) if np.ndim(given) else np.full(self.layout.shape, given, dtype)

    def image(self, name: str) -> Any:  # noqa: D102
        attribute = {"data": "out_img", "wht": "out_wht", "con": "out_ctx", "dq": "out_dq", "squared": "out_img2"}[name]
        image = getattr(self._driz, attribute)
        return [] if name == "squared" and image is None else image

    def fill(self, name: str, value: float, window: Box) -> None:  # noqa: D102
        for image in self.image("squared") if name == "squared" else [self.image(name)]:
            image[self.image("wht") == 0] = value

    def images(self) -> dict[str, np.ndarray]:  # noqa: D102
        if self.fillval is not None:
            for driz in (self._driz, self._driz_err, *self._driz_extras.values()):
                if driz is not None:
                    driz.out_img[driz.out_wht == 0] = self.fillval
        images = {"data": self._driz.out_img, "wht": self._driz.out_wht}
        if self._driz_err is not None:
            images["err"] = self._driz_err.out_img
        if ERR in self._propagated:
            images["err"] = _root(self._propagated[ERR])
            images["err"][self._driz.out_wht == 0] = np.nan if self.fillval is None else self.fillval
        images |= {name: driz.out_img for name, driz in self._driz_extras.items()}
        if self._driz.out_ctx is not None:
            images["con"] = self._driz.out_ctx
        if self._time is not None:
            images["exptime_map"] = self._time
        if self.layout.has_dq:
            images["dq"] = self._driz.out_dq
        return images

    def finish_variances(self, scaling: float) -> dict[str, np.ndarray]:  # noqa: D102
        images = {}
        for name in list(self._wsum):
            wsum, wt = self._wsum.pop(name), self._wt.pop(name)
            with np.errstate(invalid="ignore", divide="ignore"):
                images[name] = wsum * scaling / wt / wt
        for name, variance in self._propagated.items():
            if name != ERR:
                images[name] = np.where(self._driz.out_wht != 0, variance * scaling, np.nan)
        return images


class _Layout:
    """How the pixels of an exposure lie in the arrays that are handed to the package.

    As they are, if their drops are those that the package computes. Else the image is followed by those pixels that
    have others, each in the middle of 3 x 3 whose pixel map gives its drop; where the output is periodic all of that is
    repeated, moved by each period that touches the frame. Around it are pixels without coordinates, which has the
    package look at every pixel.

    Attributes
    ----------
    pixmap : ndarray of float64 (ny, nx, 2)
        Pixel map.
    limits : (int, int, int, int)
        xmin, xmax, ymin, ymax of the pixels used.
    passed_over : int
        Pixels of positive or negative weight whose drops have no area; known after `weights`.
    """

    def __init__(self, exposure: Exposure, kernel: str, frame_shape: tuple[int, int]):
        self.limits, self.passed_over = exposure.limits, 0
        # The package crashes on some coordinates that are too large for its integers.
        pixmap = exposure.pixmap.array()
        is_place = (np.abs(pixmap) < FARTHEST).all(axis=2, keepdims=True)
        self.pixmap = pixmap if is_place.all() else np.where(is_place, pixmap, np.nan)
        self._source: np.ndarray | None = None
        full = replace(exposure, pixmap=exposure.pixmap.as_full())
        record = exposure_record(full.shape, full.pixmap, in_memory)
        set_drop(record, full, kernel, in_memory)
        address = record.ctypes.data
        copies, _ = _cpu.copies(address, frame_shape[1], frame_shape[0], thread_count())
        shifts = [shift for *shift, _ in copies] or [[0.0, 0.0]]
        flat, odd, corners, at_edges_alone = _cpu.irregular_drops(address) if kernel == "square" else ([], [], [], True)
        self._flat = np.reshape(flat, (-1, 2)).astype(int)
        if at_edges_alone and not flat and shifts == [[0.0, 0.0]]:
            return
        pixels = np.reshape(odd, (-1, 2)).astype(int)
        quads = np.reshape(corners, (-1, 4, 2))
        half = exposure.pixfrac / 2
        self._lay_out(exposure, pixels, quads, half, shifts)

    def _lay_out(self, exposure: Exposure, pixels: np.ndarray, quads: np.ndarray, half: float, shifts: list) -> None:
        (ny, nx), full = exposure.shape, self.pixmap
        x0, x1, y0, y1 = exposure.limits
        x, y = pixels.T
        used = np.zeros((ny, nx), bool)
        used[y0 : y1 + 1, x0 : x1 + 1] = True
        used[y, x] = False
        places = full.copy()
        places[self._flat[:, 1], self._flat[:, 0]] = np.nan

        # Corners lie between the centre and its diagonal neighbours, if the other four are at the centre.
        own = full[y, x]
        tiles = np.full((len(pixels), PITCH, PITCH, 2), np.nan)
        tiles[:, :3, :3] = own[:, None, None]
        tiles[:, (2, 2, 0, 0), (0, 2, 2, 0)] = own[:, None] + (quads - own[:, None]) / half**2
        across = -(-nx // PITCH)
        up = -(-len(pixels) // across)
        is_centre = np.zeros((len(pixels), PITCH, PITCH), bool)
        is_centre[:, 1, 1] = True
        source = np.broadcast_to((y * nx + x)[:, None, None], is_centre.shape)

        def laid(image: np.ndarray, of_tiles: np.ndarray, fill: Any) -> np.ndarray:
            """The image and the tiles below it, with a border, once for each shift."""
            rest = image.shape[2:]
            grid = np.full((up * across, PITCH, PITCH, *rest), fill, image.dtype)
            grid[: len(of_tiles)] = of_tiles
            grid = (
                grid.reshape(up, across, PITCH, PITCH, *rest).swapaxes(1, 2).reshape(up * PITCH, across * PITCH, *rest)
            )
            one = np.full((2 * BORDER + ny + len(grid), 2 * BORDER + across * PITCH, *rest), fill, image.dtype)
            one[BORDER : BORDER + ny, BORDER : BORDER + nx] = image
            one[2 * BORDER + ny :, BORDER:-BORDER] = grid
            return np.concatenate([one] * len(shifts) + [np.full((BORDER, *one.shape[1:]), fill, image.dtype)])

        self.pixmap = laid(places, tiles, np.nan)
        for block, shift in zip(np.array_split(self.pixmap[:-BORDER], len(shifts)), shifts, strict=True):
            block += shift
        self._used = laid(used, is_centre, False)
        self._source = laid(np.arange(ny * nx).reshape(ny, nx), source, 0)
        self.limits = Box.whole(self._used.shape)

    def spread(self, array: np.ndarray) -> np.ndarray:
        """An array of the exposure."""
        return array if self._source is None else np.ravel(array)[self._source]

    def weights(self, weights: np.ndarray) -> np.ndarray:
        """Weights of its pixels."""
        self.passed_over = int(np.count_nonzero(weights[self._flat[:, 1], self._flat[:, 0]]))
        return weights if self._source is None else np.where(self._used, self.spread(weights), np.float32(0))


def _set_private(driz: Any, name: str, value: Any) -> None:
    """Set what an object of the package tells, but has no public way to change."""
    setattr(driz, f"_{name}", value)
    if getattr(driz, name) is not value and getattr(driz, name) != value:
        raise RuntimeError(f"This version of the drizzle package keeps its {name!r} in another place.")


def _merge_mean(mean: np.ndarray, other: np.ndarray, before: np.ndarray, added: np.ndarray, power: int = 1) -> None:
    """Average two means, or values that were averaged with squared weights, in place of one of them."""
    there = added != 0
    alone = there & (before == 0)
    both = there & ~alone
    w, w_added = before[both], added[both]
    with np.errstate(all="ignore"):
        total = (w + w_added) ** power
        mean[both] = (mean[both] * w**power + other[both] * w_added**power) / total
    mean[alone] = other[alone]


def _sums_of_weights(kept: np.ndarray) -> np.ndarray:
    """Sums of weights in float64, also those that float32 accumulators keep as NaN."""
    if kept.dtype == np.float64:
        return kept
    sums = np.empty(kept.shape)
    _cpu.sums_of_weights(np.ascontiguousarray(kept), sums, thread_count())
    return sums


def _root(variance: np.ndarray) -> np.ndarray:
    return np.sqrt(variance).astype(np.float32)


def _size_of(array: np.ndarray) -> float:
    """A power of two of about the largest finite magnitude in an array; 1 where there is none."""
    largest = float(np.max(np.abs(array), where=np.isfinite(array), initial=0.0))
    return 2.0 ** np.floor(np.log2(largest)) if largest > 0 else 1.0


def _native(array: np.ndarray) -> np.ndarray:
    """The array as floats in the machine's byte order, as the drizzle package needs it."""
    return array.astype(
        np.float32 if array.dtype.itemsize <= 2 else np.result_type(array.dtype, np.float32), copy=False
    )
