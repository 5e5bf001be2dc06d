"""Mosaics as zarr stores, written in parts: by threads, and by other processes."""

from __future__ import annotations

import base64
import itertools
import logging
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from gpures.arguments.arrays import as_host, got
from gpures.box import Box
from gpures.io.atomic_folder import FolderDestination
from gpures.io.context import renumbered
from gpures.io.creator import creator as made_by
from gpures.io.empty_planes import KEPT
from gpures.io.exposures import records_of
from gpures.io.fits_writer import WCSInFITS, units_of
from gpures.io.zarr_layout import (
    ATTRIBUTE,
    CHUNK_BYTES,
    FITS_BYTES,
    GWCS_BYTES,
    NAME,
    OVERVIEWS,
    SCHEMA,
    SUMS,
    as_json,
    is_filled,
    needs,
    why_no_mosaic,
)
from gpures.io.zarr_overviews import MOST_THREADS, Make, Overview, by_threads, fill_of_overview, is_kept, levels_of
from gpures.machine.threads import thread_count

__all__ = ["ZarrMosaic", "folder_for"]

log = logging.getLogger(__name__)

CONTEXT = "con"

# Side of a chunk, pixels: 4 MB of float32.
CHUNKS = 1024


def folder_for(path: str | os.PathLike[str], overwrite: bool) -> FolderDestination:
    """Where a mosaic's store is made.

    Parameters
    ----------
    path : str or path
        Its name.
    overwrite : bool
        Whether it may replace another mosaic of gpures in zarr, which alone it does.
    """
    return FolderDestination(path, overwrite, why_no_mosaic)


class ZarrMosaic:
    """A mosaic in zarr that is being written, made by its ``create``.

    Its parts, of whole chunks, may come from several threads, and from other processes to which it was pickled, which
    can write parts and nothing else: who made it finishes it. Until then it has another name; what is not finished is
    discarded, at the end of a ``with`` or by `close`.

    Parameters
    ----------
    destination : gpures.io.atomic_folder.FolderDestination
        Where it is made.
    shape, planes : (int, int), mapping
        As `create` takes them.
    in_fits : gpures.io.fits_writer.WCSInFITS
        The WCS, as files have it.
    chunks, fill, context_planes : optional
        As `create` takes them.
    parts : sequence of Box, optional
        Those whose images are written by `write_overview` as well, if anything is in them.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.wcs import WCS
    >>> from gpures import io
    >>> wcs = WCS({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -1e-5, "CDELT2": 1e-5})
    >>> wcs.array_shape = 2048, 1024
    >>> with io.ZarrMosaic.create("m.zarr", (2048, 1024), {"data": "f4", "wht": "f4"}, wcs) as mosaic:
    ...     mosaic.write("data", (0, 1023, 1024, 2047), np.ones((1024, 1024), np.float32))
    ...     mosaic.finish(unit="mJy")
    >>> io.read_mosaic("m.zarr")["data"][1022:1026, 0]
    array([nan, nan,  1.,  1.], dtype=float32)
    """

    _destination: FolderDestination | None

    def __init__(
        self,
        destination: FolderDestination,
        shape: tuple[int, int],
        planes: Mapping[str, Any],
        in_fits: WCSInFITS,
        chunks: int = CHUNKS,
        fill: Mapping[str, Any] = {},
        context_planes: int = 0,
        parts: Sequence[Box] = (),
    ):
        self._destination = destination
        self._part = destination.part
        self._shape = _checked_shape(shape)
        self._chunks = _checked_chunks(chunks)
        if not context_planes:
            planes = {name: dtype for name, dtype in planes.items() if name != CONTEXT}
        elif CONTEXT not in planes:
            planes = {**planes, CONTEXT: np.int32}
        if unknown := fill.keys() - planes.keys():
            raise ValueError(f"'fill' has values for {sorted(unknown)}, and the planes are {sorted(planes)}.")
        self._fill = {name: _fill_of(name, _checked_type(name, dtype), fill) for name, dtype in planes.items()}
        self._in_fits = in_fits
        self._in_memory: dict[str, np.ndarray] = {}
        self._parts = parts
        self._arrays, self._overviews = self._layout(context_planes)

    @classmethod
    def create(
        cls,
        folder: str | os.PathLike[str],
        shape: tuple[int, int],
        planes: Mapping[str, Any],
        wcs: Any,
        *,
        chunks: int = CHUNKS,
        fill: Mapping[str, Any] | None = None,
        context_planes: int = 0,
        overwrite: bool = False,
    ) -> ZarrMosaic:
        """Make the layout of a mosaic, under a name of its own beside the target.

        Parameters
        ----------
        folder : str or path
            The store, which has this name once it is finished.
        shape : (int, int)
            Shape (Ny, Nx) of the mosaic.
        planes : mapping
            Types of its images, by name; "data" is one of them.
        wcs : gwcs.wcs.WCS or astropy.wcs.WCS
            Of the mosaic.
        chunks : int, optional
            Side of a chunk, pixels.
        fill : mapping, optional
            Value of pixels that nothing is written to, by name: by default 0 for sums ("wht", "exptime_map") and
            integers, else NaN. A chunk of nothing else takes no room.
        context_planes : int, optional
            Number of planes, int32, of the context "con", one for 32 exposures.
        overwrite : bool, optional
            Whether a mosaic in zarr of that name is replaced in the end; of anything else it is refused.

        Returns
        -------
        ZarrMosaic
            To be written to, and finished.

        Raises
        ------
        TypeError, ValueError
            An argument can't be used.
        FileExistsError
            There is something of that name that is not to be replaced.
        OSError
            Nothing can be written there.
        MissingDependencyError
            zarr is not installed.
        """
        needs("zarr")
        shape = _checked_shape(shape)
        destination = folder_for(folder, overwrite)
        try:
            in_fits = WCSInFITS.of(wcs, shape)
            return cls(destination, shape, planes, in_fits, chunks, fill or {}, context_planes)
        except BaseException:
            destination.close()
            raise

    def _layout(self, context_planes: int) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
        """Make the arrays, without pixels: those of the images by name, and of each overview by its level."""
        import zarr

        if "data" not in self._fill:
            raise ValueError(f"'planes' must have 'data', got {sorted(self._fill)}.")
        root = zarr.create_group(store=zarr.storage.LocalStore(self._part), zarr_format=3)
        arrays = {}
        for name, fill in self._fill.items():
            depth = (int(context_planes),) if name == CONTEXT else ()
            arrays[name] = _array(root, name, (*depth, *self._shape), fill, self._chunks)
        # By their bytes: lookup tables are large.
        for name, content in ((GWCS_BYTES, self._in_fits.asdf), (FITS_BYTES, _tables_of(self._in_fits))):
            if content:
                values = np.frombuffer(content, np.uint8)
                array = _array(root, name, values.shape, np.zeros((), np.uint8), values.size)
                array[...] = values
                array.update_attributes(self._written(array))
        overviews, before = {}, arrays
        for level in levels_of(self._shape):
            before = overviews[level] = {
                name: _array(root, f"{OVERVIEWS}/{level}/{name}", _smaller(before[name].shape), fill, self._chunks)
                for name, fill in self._fill_of_overviews().items()
            }
        return arrays, overviews

    def _fill_of_overviews(self) -> dict[str, np.ndarray]:
        """What pixels of overviews are that nothing is in, of the images that they have."""
        return {name: fill_of_overview(name, fill) for name, fill in self._fill.items() if not is_kept(name)}

    def write(self, name: str, box: Box | tuple[int, int, int, int], array: Any) -> None:
        """Write a part of an image. Threads and processes may write other parts meanwhile.

        Parameters
        ----------
        name : str
            Image.
        box : Box or (int, int, int, int)
            Its first and last pixels, ``xmin, xmax, ymin, ymax``, the last ones included: whole chunks, or up to the
            edge of the mosaic.
        array : ndarray (ny, nx), of "con" (planes, ny, nx)
            Pixels, of the type of the image. May be on a GPU, from where they come chunk by chunk.

        Raises
        ------
        TypeError, ValueError
            There is no such image, the part is none of whole chunks, or the array does not fit.
        RuntimeError
            It is finished or closed.
        OSError
            It can't be written.
        """
        self._write(name, None, box, array)

    def write_plane(self, name: str, plane: int, box: Box | tuple[int, int, int, int], array: Any) -> None:
        """Write a part of one plane of an image, as `write` does of all of them.

        Parameters
        ----------
        name : str
            Image, such as "con".
        plane : int
            Number of the plane, from 0.
        box : Box or (int, int, int, int)
            As there.
        array : ndarray (ny, nx)
            Pixels.

        Raises
        ------
        TypeError, ValueError, RuntimeError, OSError
            As there; or there is no such plane.
        """
        self._write(name, plane, box, array)

    def _write(self, name: str, plane: int | None, given: Box | tuple[int, int, int, int], array: Any) -> None:
        if not self._part.exists():
            raise RuntimeError(f"Nothing can be written to {self._part}: the mosaic is finished or closed.")
        if name not in self._arrays:
            raise ValueError(f"'name' must be one of {', '.join(self._arrays)}, got {got(name)}.")
        box = self._checked_box(given)
        place = self._arrays[name]
        depth = place.shape[:-2]
        if plane is not None:
            if not depth or not isinstance(plane, Integral) or not 0 <= plane < depth[0]:
                raise ValueError(
                    f"'plane' of {name!r} must be one of {depth[0] if depth else 'no'} planes, got {plane}."
                )
            depth = ()
        expected = (*depth, *box.shape)
        if not hasattr(array, "dtype") or array.dtype.newbyteorder("=") != place.dtype:
            raise TypeError(f"'array' of {name!r} must be an array of {place.dtype}, got {got(array)}.")
        if tuple(array.shape) != expected:
            raise ValueError(f"'array' of {name!r} must have the shape {expected}, got {tuple(array.shape)}.")
        self._in_memory = {}
        for chunk in self._chunks_in(box):
            within = Box(chunk.xmin - box.xmin, chunk.xmax - box.xmin, chunk.ymin - box.ymin, chunk.ymax - box.ymin)
            pixels = np.ascontiguousarray(as_host(array[within.slices]), place.dtype)
            if pixels.ndim == 2:
                self._write_chunk(name, () if plane is None else (int(plane),), chunk, pixels)
            else:
                for k, image in enumerate(pixels):
                    self._write_chunk(name, (k,), chunk, image)

    def _write_chunk(self, name: str, plane: tuple[int, ...], chunk: Box, pixels: np.ndarray) -> None:
        self._write_into(self._arrays[name], self._fill[name], plane, chunk, pixels)

    def _write_into(self, array: Any, fill: np.ndarray, plane: tuple[int, ...], chunk: Box, pixels: np.ndarray) -> None:
        index = (*plane, chunk.ymin // self._chunks, chunk.xmin // self._chunks)
        if is_filled(pixels, fill):
            with suppress(FileNotFoundError):  # something may have been written there before
                os.unlink(self._part.joinpath(array.path, "c", *map(str, index)))
        else:
            _, rows, columns = chunk.slices
            array[(*plane, rows, columns)] = pixels

    def write_overview(self, box: Box, images: Mapping[str, Any]) -> None:
        """Make of the first overview what is of one part alone, which has been written, while its pixels are at hand.

        Parameters
        ----------
        box : Box
            One of the parts that the mosaic was told of.
        images : mapping
            Its pixels, by name. They may be on a GPU, and those of any image may be missing.
        """
        if not self._overviews:
            return
        overview = self._first_overview(images, (box.xmin, box.ymin))
        for place in overview.places_of(box):
            overview.clear(place)
            overview.make(place)

    def _first_overview(self, pixels: Mapping[str, Any], first: tuple[int, int] = (0, 0)) -> Overview:
        return Overview(self._arrays, self._overviews[2], self._fill_of_overviews(), pixels, first)

    def _chunks_in(self, box: Box) -> Iterator[Box]:
        """The chunks of a part."""
        side = self._chunks
        for ymin, xmin in itertools.product(range(box.ymin, box.ymax + 1, side), range(box.xmin, box.xmax + 1, side)):
            yield Box(xmin, min(xmin + side - 1, box.xmax), ymin, min(ymin + side - 1, box.ymax))

    def _checked_box(self, given: Any) -> Box:
        box = Box(*given)
        ny, nx = self._shape
        for axis, low, high, size in (("x", box.xmin, box.xmax, nx), ("y", box.ymin, box.ymax, ny)):
            if not all(isinstance(edge, Integral) for edge in (low, high)) or not 0 <= low <= high < size:
                raise ValueError(f"'box' must lie within {size} pixels in {axis}, got {low} to {high}.")
            if low % self._chunks or ((high + 1) % self._chunks and high + 1 != size):
                words = f"'box' must have whole chunks of {self._chunks} pixels, or reach the edge of the mosaic"
                raise ValueError(f"{words}, got {low} to {high} in {axis}.")
        return Box(*map(int, box))

    def write_images(self, images: Mapping[str, Any]) -> None:
        """Write whole images, some chunks at a time.

        Parameters
        ----------
        images : mapping
            By name; they may be on a GPU.
        """
        parts = itertools.product(images, self._chunks_in(Box.whole(self._shape)))
        at_once = min(thread_count(), MOST_THREADS)
        with ThreadPoolExecutor(at_once) as pool:
            while several := list(itertools.islice(parts, at_once)):
                # From a GPU by this thread, whose device and stream they are of.
                arrays = [as_host(images[name][box.slices]) for name, box in several]
                list(pool.map(self.write, *zip(*several, strict=True), arrays))
        self._in_memory = {name: image for name, image in images.items() if type(image) is np.ndarray}

    def write_empty(self, box: Box) -> None:
        """Write a part of all images in which nothing is, which takes no room.

        Parameters
        ----------
        box : Box
            The part.
        """

    def renumber(self, numbers: Sequence[int]) -> None:
        """Give exposures other bits in the context.

        Parameters
        ----------
        numbers : sequence of int
            Those that there are, in their new order.
        """
        fill = self._fill[CONTEXT]
        for array in (self._arrays[CONTEXT], *(arrays[CONTEXT] for arrays in self._overviews.values())):
            for chunk in self._chunks_in(Box.whole(array.shape[-2:])):
                for plane, pixels in enumerate(renumbered(array[chunk.slices], numbers)):
                    self._write_into(array, fill, (plane,), chunk, pixels)
        self._in_memory.pop(CONTEXT, None)

    def finish(
        self,
        facts: Mapping[str, Any] | None = None,
        *,
        unit: str | None = None,
        exposures: Sequence[Any] = (),
        header: Mapping[str, Any] | None = None,
        history: Sequence[str] = (),
        creator: str | None = None,
        make: Make = by_threads,
    ) -> None:
        """Make the overviews, write what is told of the mosaic, and give it its name.

        Parameters
        ----------
        facts : mapping, optional
            Numbers and texts of the output model.
        unit, exposures, header, history : optional
            As `gpures.io.write` takes them.
        creator : str, optional
            Program that made it; by default this version of gpures.
        make : callable, optional
            Makes places of an overview; by default threads do.

        Raises
        ------
        RuntimeError
            It is finished or closed already, or another process made it.
        OSError
            As `write`; or there is something by now that may not be replaced.
        """
        import zarr

        if self._destination is None:
            raise RuntimeError("A mosaic is finished once, by the process that made it.")
        self._drop_empty()
        told = self.told(facts or {}, unit, exposures, header or {}, history, creator)
        root = zarr.open_group(zarr.storage.LocalStore(self._part), mode="r+", zarr_format=3)
        self._make_overviews(make)
        units = units_of(self._arrays, unit, told["facts"].get("weight_type"))
        for name, array in self._arrays.items():
            array.update_attributes(self._written(array) | ({"units": units[name]} if units.get(name) else {}))
        root.update_attributes({"Conventions": "CF-1.11", ATTRIBUTE: told})
        with warnings.catch_warnings():  # all at once, as xarray likes it, is no part of zarr v3 yet
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(zarr.storage.LocalStore(self._part), zarr_format=3)
        self._destination.publish()
        self._destination, self._in_memory = None, {}

    def _make_overviews(self, make: Make) -> None:
        """Make the overviews, each of the one before, but for what `write_overview` has made."""
        if not self._overviews:
            return
        overview = self._first_overview(self._in_memory)
        made = {(y.start, x.start) for part in self._parts for y, x in overview.places_of(part)}
        make(overview, [(y, x) for y, x in overview.places if (y.start, x.start) not in made])
        for before, smaller in pairwise(self._overviews.values()):
            overview = Overview(before, smaller, overview.fill, {})
            make(overview, overview.places)
        for arrays in self._overviews.values():
            for array in arrays.values():
                array.update_attributes(self._written(array))

    def _drop_empty(self) -> None:
        """Have no images in which nothing is, other than those that are always there."""
        for name in [name for name in self._arrays if name not in KEPT and np.isnan(self._fill[name])]:
            if not any(names for _, _, names in os.walk(self._part / name / "c")):
                del self._fill[name]
                for arrays in (self._arrays, *self._overviews.values()):
                    if name in arrays:
                        shutil.rmtree(self._part / arrays.pop(name).path)

    def told(
        self,
        facts: Mapping[str, Any],
        unit: str | None,
        exposures: Sequence[Any],
        header: Mapping[str, Any],
        history: Sequence[str],
        creator: str | None,
    ) -> dict[str, Any]:
        """What `finish` will tell of the mosaic, as JSON.

        Parameters
        ----------
        facts : mapping
            Numbers and texts of the output model; what JSON has nothing for is left out, with a warning.
        unit : str or None
            Unit of the data.
        exposures : sequence
            As `gpures.io.write` takes them.
        header : mapping
            As `gpures.io.write` takes it.
        history : sequence of str
            As `gpures.io.write` takes it.
        creator : str or None
            Program that made it; None for this version of gpures.

        Returns
        -------
        dict
            The attribute ``gpures`` of the store.

        Raises
        ------
        TypeError
            A keyword or something of an exposure can't be told in JSON.
        """
        known = {}
        for key, value in facts.items():
            try:
                known[key] = as_json(value)
            except TypeError as error:
                log.warning("%s: %r is not written: %s.", self._part.parent, key, error)
        values = {key: value[0] if isinstance(value, tuple) else value for key, value in header.items()}
        return {
            "schema": SCHEMA,
            "creator": creator or made_by(),
            "shape": list(self._shape),
            "planes": list(self._arrays),
            "overviews": levels_of(self._shape),
            "unit": unit,
            "facts": known,
            "exposures": as_json([record.as_dict(k) for k, record in enumerate(records_of(exposures))]),
            "header": as_json(values),
            "history": [str(line) for line in history],
            "fits_wcs": [str(card) for card in self._in_fits.keywords.cards],
        }

    def _written(self, array: Any) -> dict[str, str]:
        """Which chunks an array has: else one that is lost would pass for an empty one."""
        there = np.zeros([-(-size // side) for size, side in zip(array.shape, array.chunks, strict=True)], bool)
        folder = self._part.joinpath(array.path, "c")
        for parent, _, names in os.walk(folder):
            index = [int(part) for part in Path(parent).relative_to(folder).parts]
            for name in names:
                if name.isdecimal():
                    there[(*index, int(name))] = True
                else:  # what a process left that was killed
                    os.unlink(os.path.join(parent, name))
        return {"chunks": base64.b64encode(np.packbits(there)).decode()}

    def close(self) -> None:
        """Discard what is not finished, where it was made; in other processes nothing happens."""
        if self._destination is not None:
            self._destination.close()
            self._destination = None

    def __enter__(self) -> ZarrMosaic:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_destination": None, "_in_fits": None, "_in_memory": {}}


def _array(group: Any, name: str, shape: tuple[int, ...], fill: np.ndarray, side: int) -> Any:
    """Make an array of a store."""
    from zarr.codecs import BloscCodec, Crc32cCodec

    # Of a drizzled mosaic with its weights, errors, context and flags, per core: bits shuffled and zstd 1 behind them
    # leave 0.40 of it at 410 MB/s, and are read at 890; bytes shuffled 0.42, at 430 and 670; zstd alone 0.47, at 470
    # and 880; zstd 3 behind bits 0.395, at 300. Most of it is noise that nothing packs.
    compressors = [BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle"), Crc32cCodec()]
    return group.create_array(
        name,
        shape=shape,
        dtype=fill.dtype,
        chunks=(1,) * (len(shape) - 2) + tuple(min(side, size) for size in shape[-2:]),
        compressors=compressors,
        fill_value=fill[()],
        dimension_names={1: (f"{name}_byte",), 2: ("y", "x"), 3: ("plane", "y", "x")}[len(shape)],
        config={"write_empty_chunks": True},  # zarr would take other NaN and -0 for the fill value
    )


def _tables_of(in_fits: WCSInFITS) -> bytes | None:
    """A FITS file of a WCS with lookup tables; None of one without."""
    if not in_fits.tables:
        return None
    import io

    from astropy.io import fits

    content = io.BytesIO()
    hdus = fits.HDUList([fits.PrimaryHDU(header=in_fits.keywords.copy()), *(table.copy() for table in in_fits.tables)])
    hdus.writeto(content)
    return content.getvalue()


def _smaller(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[:-2], *(-(-size // 2) for size in shape[-2:]))


def _checked_shape(shape: Any) -> tuple[int, int]:
    sides = tuple(shape)
    if len(sides) != 2 or not all(isinstance(side, Integral) and int(side) > 0 for side in sides):
        raise ValueError(f"'shape' must be two positive integers (Ny, Nx), got {got(shape)}.")
    return int(sides[0]), int(sides[1])


def _checked_chunks(chunks: Any) -> int:
    most = int((CHUNK_BYTES // 8) ** 0.5)
    if not isinstance(chunks, Integral) or not 1 <= int(chunks) <= most:
        raise ValueError(f"'chunks' must be a number of pixels, from 1 to {most}, got {got(chunks)}.")
    return int(chunks)


def _checked_type(name: Any, dtype: Any) -> np.dtype:
    if not isinstance(name, str) or not NAME.fullmatch(name) or name in (GWCS_BYTES, FITS_BYTES, OVERVIEWS):
        raise ValueError(f"'planes' must be named by letters, digits and any of '_.+-', got {got(name)}.")
    kind = np.dtype(dtype).newbyteorder("=")
    if kind.kind not in "biuf" or kind.itemsize > 8:
        raise ValueError(f"'planes' must be of real types of up to 8 bytes, got {kind} for {name!r}.")
    return kind


def _fill_of(name: str, dtype: np.dtype, given: Mapping[str, Any]) -> np.ndarray:
    nothing = np.nan if dtype.kind == "f" and not name.startswith(SUMS) else 0
    try:
        return np.array(given.get(name, nothing), dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"'fill' of {name!r} must be a value of {dtype}, got {got(given[name])}.") from error
