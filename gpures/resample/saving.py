"""Unfinished mosaics that are saved, and gone on with later, by another process or on another machine.

What reads and writes is imported when it is called, as `import gpures` is not to wait for it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Self

from gpures.backend.base import Accumulators, MosaicLayout
from gpures.backend.choice import make_accumulators
from gpures.errors import FileError
from gpures.exposure.options import Options
from gpures.resample.added import AddedModel
from gpures.resample.hooks import Hooks
from gpures.resample.output_model import OutputModel

__all__ = ["Saving"]

# Attributes that are saved in forms of their own, and the one that belongs to this process.
OWN_FORM = ("_accumulators", "_exposures", "_options", "_output_model", "_output_wcs", "_backend", "_saved")

# Attributes of the class that may be set, of a subclass or an object, and are needed to go on.
OF_CLASS = ("variance_array_names", "error_from_variances", "dq_flag_name_map")


class Saving(Hooks):
    """The part of `gpures.Resample` that saves what is accumulated, and goes on with it."""

    _accumulators: Accumulators
    _backend: str
    _exposures: list[AddedModel]
    _finalized: bool
    _lock: threading.RLock
    _options: Options
    _output_array_shape: tuple[int, int]
    _output_model: OutputModel
    _output_wcs: Any
    _undo: Any

    _settle: Callable[[Any], None]
    __getstate__: Callable[[], dict[str, Any]]
    __setstate__: Callable[[dict[str, Any]], None]

    # Where this object was saved last, if anywhere.
    _saved: Any = None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the mosaic as it is, unfinished, so that `load` goes on with it.

        The checkpoint is a folder, a zarr store (version 3) of compressed chunks with checksums. It is on the disk when
        this returns; until then, and if it fails or the machine does, what was saved before is there. When the same
        object is saved there again, only those chunks are written to which exposures have contributed meanwhile.

        Parameters
        ----------
        path : str or path
            Folder. It is made; one that is there must be empty, or a checkpoint, which is replaced.

        Raises
        ------
        RuntimeError
            The mosaic is finalized.
        IncompleteError
            Adding an exposure was interrupted.
        TypeError, ValueError
            The output WCS, or something else that belongs to the mosaic, can't be saved; the text names it.
        FileError
            There is something else in the folder, or another process is writing to it.
        OSError
            It can't be written.
        MissingDependencyError
            zarr is not installed.

        Examples
        --------
        >>> resample.save("mosaic.checkpoint")  # doctest: +SKIP
        >>> resample = Resample.load("mosaic.checkpoint")  # doctest: +SKIP
        """
        self._save(path, {})

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, backend: str | None = None, device: Any = None) -> Self:
        """Go on with a mosaic that was saved.

        What is added then makes the mosaic that it would have been without the interruption: of the same backend to
        the last bit, where that gives the same bits each time.

        Parameters
        ----------
        path : str or path
            Folder that `save` has written. It is not changed.
        backend, device : optional
            As in `gpures.Resample`, where they are to be others. What "cpu" has saved "cuda" can go on with, and the
            other way; "drizzle" accumulates other sums.

        Returns
        -------
        gpures.Resample
            Of this class; where a subclass was saved, load it by that.

        Raises
        ------
        FileError
            There is no checkpoint, it is damaged, or a later gpures has made it; the text says what.
        DeviceError, MemoryError
            The backend can't be used, or has not the memory.
        """
        return cls._load(path, backend=backend, device=device)[0]

    def _save(self, path: str | os.PathLike[str], told: Mapping[str, Any]) -> None:
        """Save it, with what else is to be told."""
        from gpures.io.wcs_bytes import bytes_of_wcs
        from gpures.resample.checkpoint import save_accumulators

        with self._lock:
            self._settle(self._undo)
            if self._finalized:
                raise RuntimeError("The mosaic is finalized: write it with 'gpures.io.write'.")
            self._accumulators.check_whole()
            if self._is_overridden("add_model_hook") and type(self).save is Saving.save:
                raise TypeError(
                    f"A {type(self).__name__} can't be saved, whose 'add_model_hook' makes something of each model "
                    "that only its class can save: expected a method 'save' of that class."
                )
            wcs = bytes_of_wcs(self._output_wcs)
            self._saved = save_accumulators(path, self._accumulators, self._state() | {"told": told}, wcs, self._saved)

    def _state(self) -> dict[str, Any]:
        from gpures.resample.plain import is_plain

        state = self.__getstate__()
        attributes = {name: value for name, value in state.items() if name not in OWN_FORM}
        attributes |= {name: value for name in OF_CLASS if is_plain(value := getattr(self, name))}
        layout = self._accumulators._recipe()[0]
        model = {key: None if value is self._output_wcs else value for key, value in state["_output_model"].items()}
        return {
            "attributes": attributes,
            "backend": self._backend,
            "exposures": [tuple(getattr(each, field.name) for field in fields(each)) for each in state["_exposures"]],
            "layout": {field.name: getattr(layout, field.name) for field in fields(layout)},
            "options": {field.name: getattr(self._options, field.name) for field in fields(self._options)},
            "fillval": self._accumulators.fillval,
            "output_model": model,
        }

    @classmethod
    def _load(
        cls, path: str | os.PathLike[str], *, backend: str | None = None, device: Any = None
    ) -> tuple[Self, dict[str, Any]]:
        """Go on with a mosaic, and what else was told."""
        from gpures.io.wcs_bytes import wcs_of_bytes
        from gpures.resample.checkpoint import Checkpoint
        from gpures.resample.plain import as_json, is_plain

        checkpoint = Checkpoint(path)
        state = checkpoint.state
        chosen = {"backend": backend, "device": device}
        try:
            options = Options(**state["options"])
            layout = MosaicLayout(**state["layout"])
            exposures = [AddedModel(*each) for each in state["exposures"]]
            attributes, told, model = state["attributes"], state["told"], dict(state["output_model"])
            if attributes["_output_array_shape"] != layout.shape:
                raise ValueError(f"the frame has two shapes, {attributes['_output_array_shape']} and {layout.shape}")
        except (KeyError, TypeError, ValueError) as error:
            raise FileError(Path(path), f"the checkpoint is damaged: {error}.") from error
        for name in OF_CLASS:
            if name in attributes and is_plain(own := getattr(cls, name)) and as_json(own) == as_json(attributes[name]):
                del attributes[name]
        options = replace(options, **{name: value for name, value in chosen.items() if value is not None})
        wcs = wcs_of_bytes(Path(path), checkpoint.wcs, layout.shape)
        accumulators = make_accumulators(options.backend, layout, options.device, options.to_host)
        checkpoint.fill(accumulators)
        accumulators.fillval = state["fillval"]
        accumulators.begin_changes()
        made = cls.__new__(cls)
        own = {"_accumulators": accumulators, "_backend": accumulators.backend, "_exposures": exposures}
        own |= {"_options": options, "_output_model": model | {"wcs": wcs}, "_output_wcs": wcs}
        made.__setstate__(attributes | own)
        made._saved = checkpoint.saved
        return made, told
