"""A mosaic in the making that is saved now and then, and gone on with by the same call after it was interrupted."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from gpures.arguments.arrays import as_host
from gpures.errors import FileError
from gpures.io.digest import digest_of
from gpures.io.exposures import ExposureRecord
from gpures.machine.prefetch import interruptible
from gpures.mosaicking.plan import Plan
from gpures.mosaicking.records import extension_of
from gpures.mosaicking.sources import Source, file_of
from gpures.mosaicking.stream import Stream
from gpures.reporting.timing import stage
from gpures.resample.checkpoint import in_use, is_checkpoint, remove
from gpures.resample.plain import as_json
from gpures.resample.resampler import Resample
from gpures.wcs.same_frame import offset_of_frames

__all__ = ["Checkpoints", "key_of"]

log = logging.getLogger(__name__)

# Options that say where something is computed, not what.
WHERE = ("backend", "device", "to_host")

# Largest distance of the pixels of frames that are the same.
SAME_FRAME = 1e-5

# Rows of a model that it is known again by, at most.
ROWS = 64


class Checkpoints:
    """The checkpoint of a mosaic that is made by a plan. A context manager: meanwhile it is this process's.

    Parameters
    ----------
    plan : gpures.mosaicking.plan.Plan
        With a ``checkpoint``, and exposures that can be listed.

    Attributes
    ----------
    records : sequence of gpures.io.exposures.ExposureRecord
        The exposures that were in it.
    headers : list of mapping
        What the headers of their files say.
    left : list of Source
        Those that are not.
    pixels : int
        Of the exposures in it.
    seen : dict
        What is to be said of files that are in it, by digest and extension.
    """

    def __init__(self, plan: Plan):
        assert plan.checkpoint is not None
        assert isinstance(plan.sources, Sequence)
        self._plan, self._path = plan, plan.checkpoint
        self._sources = plan.sources
        self._held = ExitStack()
        self._keys: list[tuple[str, str, str]] = []
        self._taken = 0  # of those that the stream has handed on
        self._records: list[ExposureRecord] = []
        self.records: Sequence[ExposureRecord] = ()
        self.headers: list[Mapping[str, Any]] = []
        self.left: list[Source] = list(plan.sources)
        self.pixels = 0
        self.seen: dict[tuple[str, str], str] = {}

    def __enter__(self) -> Checkpoints:
        self._held.enter_context(in_use(self._path))
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def resumed(self, resampler: type[Resample]) -> Resample | None:
        """The mosaic as it was saved; None where nothing was.

        Parameters
        ----------
        resampler : type
            Class of the mosaic.

        Raises
        ------
        FileError
            What was saved is damaged, is of another call, or has exposures that are not there any more.
        """
        if not is_checkpoint(self._path):
            return None
        plan = self._plan
        with stage("checkpoint"):
            resample, told = resampler._load(self._path, backend=plan.backend, device=plan.options.device)
            self._check_same(resample, told)
            self._find_again(told)
        log.info("%s has %d of %d exposures already.", self._path, len(self.records), len(self._sources))
        return resample

    def _check_same(self, resample: Resample, told: Mapping[str, Any]) -> None:
        """Refuse the checkpoint of another mosaic."""
        plan = self._plan
        options, saved = plan.options, resample._options
        for name in [field.name for field in fields(options) if field.name not in WHERE]:
            ours, theirs = getattr(options, name), getattr(saved, name)
            if as_json(ours) != as_json(theirs):
                raise self._other(f"with {name}={theirs!r}, and this one has {ours!r}")
        layout, before = plan.frame, resample._accumulators.layout
        if layout.variance_names != before.variance_names:
            raise self._other(f"with the variances {before.variance_names}, and this one has {layout.variance_names}")
        if layout.shape != before.shape:
            raise self._other(f"in a frame of the shape {before.shape}, and this one has {layout.shape}")
        off = offset_of_frames(
            resample.output_wcs, plan.output_wcs["wcs"], resample._world_to_pixel, layout.shape, resample._period
        )
        if not off <= SAME_FRAME:
            raise self._other("in another frame")
        now, then = self._told(), told["plan"]
        for name, value in now.items():
            if then.get(name) != value:
                raise self._other(f"with {name}={then.get(name)}, and this one has {value}")

    def _other(self, words: str) -> FileError:
        return FileError(
            self._path,
            f"the checkpoint is of another mosaic: it was begun {words}. Go on with the same call, or remove it.",
        )

    def _told(self) -> dict[str, str]:
        """What of a plan must be the same, and its resampler does not know."""
        begun = self._plan.begun
        scales = {name: self._plan.output_wcs.get(name) for name in ("pixel_scale", "pixel_scale_ratio")}
        return {
            **{name: as_json(value) for name, value in {**self._plan.told, **scales}.items()},
            "add_to": "None" if begun is None else digest_of(begun.path),
        }

    def _find_again(self, told: Mapping[str, Any]) -> None:
        """Find the exposures in it among those of the plan."""
        names = {key[0] for key in told["keys"]}
        there: dict[tuple[str, str, str], list[Source]] = {}
        for source in self._sources:
            if source.name in names:
                there.setdefault(key_of(source), []).append(source)
        for key, record in zip(told["keys"], told["records"], strict=True):
            if not there.get(key):
                raise FileError(
                    self._path,
                    f"the checkpoint has {key[0]}, which is not among the exposures, or has changed since. Remove the "
                    "checkpoint to begin anew.",
                )
            source = there[key].pop(0)
            self._keys.append(key)
            self.left = [other for other in self.left if other is not source]
            self.headers.append(source.header)
            self._records.append(ExposureRecord(**record))
            self.pixels += source.shape[0] * source.shape[1]
        self.records = tuple(self._records)
        self.seen = dict(told["seen"])

    def save_if_due(self, resample: Resample, stream: Stream, done: int) -> None:
        """Save the mosaic if as many exposures as asked for have been added since it was saved last.

        Parameters
        ----------
        resample : gpures.Resample
            The mosaic.
        stream : Stream
            Where its exposures come from.
        done : int
            How many of these have been taken.
        """
        new = stream.added(done)[self._taken :]
        if len(new) < self._plan.checkpoint_every:
            return
        with stage("checkpoint"):
            self._taken += len(new)
            self._records += [stream.record(number) for number in new]
            self._keys += [key_of(stream.source(number)) for number in new]
            for number in new:
                words = f"the same as {stream.source(number).path}"
                self.seen |= dict.fromkeys(stream.digests(number), words)
            told = {"plan": self._told(), "keys": self._keys, "seen": list(self.seen.items())}
            resample._save(self._path, told | {"records": [asdict(record) for record in self._records]})

    def remove(self) -> None:
        """Remove it, as the mosaic is finished."""
        remove(self._path)
        self._held.close()


def key_of(source: Source) -> tuple[str, str, str]:
    """By what an exposure is known again: its name, a digest of its file, or of a model's pixels, and its extension.

    Parameters
    ----------
    source : Source
        The exposure.
    """
    if source.kind == "model":
        return source.name, _digest_of_pixels(source.read(("data",))), ""
    return source.name, interruptible(lambda: digest_of(file_of(source))), extension_of(source)


def _digest_of_pixels(model: Mapping[str, Any]) -> str:
    data = model["data"]
    rows = np.ascontiguousarray(np.ma.getdata(as_host(data[:: -(-data.shape[0] // ROWS)])))
    return hashlib.sha256(repr((data.shape, rows.dtype.str)).encode() + rows.tobytes()).hexdigest()
