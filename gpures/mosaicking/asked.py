"""What is asked of a mosaic, checked before a file is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpures.arguments.values import checked_count, checked_folder, checked_switch
from gpures.backend.cuda.device import selected
from gpures.exposure.options import Options
from gpures.io import Input, Reading
from gpures.mosaicking.calibration import CalibrationOptions
from gpures.mosaicking.cleaning_options import CleaningOptions
from gpures.mosaicking.continuing import Begun, begun_mosaic
from gpures.mosaicking.destination import checked_output
from gpures.mosaicking.history import call_of
from gpures.mosaicking.output_wcs import given_wcs
from gpures.mosaicking.tiling import checked_limit
from gpures.wcs.frame import FrameOptions

__all__ = ["Asked", "asked_for"]

# Where the pipelines' choice for a mosaic in a file differs from that of stcal's class.
DEFAULTS: dict[str, Any] = {"fillval": "NaN", "compute_err": "from_var"}

# What changes nothing of the mosaic.
OF_RUNNING = ("checkpoint", "checkpoint_every", "memory_limit")

# What a call need not tell.
NOT_GIVEN: dict[str, Any] = {
    "output_wcs": None,
    "add_to": None,
    "checkpoint": None,
    "checkpoint_every": 10,
    "memory_limit": None,
    "skip_bad": False,
    "overwrite": False,
}


@dataclass(frozen=True)
class Asked:
    """What is asked of a mosaic.

    Attributes
    ----------
    path : pathlib.Path or None
        File for it.
    frame : FrameOptions
        Its frame, where that is to be made.
    output_wcs : dict or None
        Its frame, as `gpures.Resample` takes it, where that was given.
    reading : Reading
        How files are read.
    calibration : CalibrationOptions
        What is done to values.
    cleaning : CleaningOptions
        Whether skies are matched and outliers left out.
    resampling : dict
        Options of `gpures.Resample` that were given, or have another default here.
    begun : Begun or None
        The mosaic that is gone on with.
    checkpoint : pathlib.Path or None
        Folder in which the mosaic is saved while it is made.
    checkpoint_every : int
        After how many exposures.
    memory_limit : int or None
        Bytes of memory that may be used.
    skip_bad : bool
        Whether exposures that can't be used are left out.
    overwrite : bool
        Whether a file of the name may be replaced.
    call : str
        The call of `gpures.mosaic`, as Python has it.
    """

    path: Path | None
    frame: FrameOptions
    output_wcs: dict[str, Any] | None
    reading: Reading
    calibration: CalibrationOptions
    cleaning: CleaningOptions
    resampling: Mapping[str, Any]
    begun: Begun | None
    checkpoint: Path | None
    checkpoint_every: int
    memory_limit: int | None
    skip_bad: bool
    overwrite: bool
    call: str

    def options(self, good_bits: Any) -> Options:
        """Options of the resampling.

        Parameters
        ----------
        good_bits : object
            Those where nobody says.
        """
        return Options(**{"good_bits": good_bits, **self.resampling})

    @property
    def image_begun(self) -> Input | None:
        """The mosaic that is gone on with, as an image."""
        return None if self.begun is None else self.begun.image


def asked_for(inputs: Any, output: Any, arguments: Mapping[str, Any]) -> Asked:
    """What the arguments of `gpures.mosaic` ask for.

    Parameters
    ----------
    inputs : object
        Exposures, as they were given.
    output : path or None
        File for the mosaic.
    arguments : mapping
        All others that were given, but for ``progress``.

    Raises
    ------
    TypeError, ValueError, OSError
        One of them can't be what it is; as `gpures.mosaic`.
    """
    given = {**NOT_GIVEN, **arguments}
    skip_bad = checked_switch(given.pop("skip_bad"), "skip_bad")
    overwrite = checked_switch(given.pop("overwrite"), "overwrite")
    add_to, output_wcs = given.pop("add_to"), given.pop("output_wcs")
    checkpoint, every = given.pop("checkpoint"), checked_count(given.pop("checkpoint_every"), "checkpoint_every")
    if add_to is not None and output is None:
        output, overwrite = add_to, True
    path = None if output is None else checked_output(output, overwrite)
    limit = checked_limit(given.pop("memory_limit"))
    frame = FrameOptions(**_taken(given, FrameOptions.names()))
    reading = Reading(**_taken(given, Reading.names()))
    of_values = _taken(given, CalibrationOptions.names())
    cleaning = CleaningOptions(**_taken(given, CleaningOptions.names()))
    if unknown := [name for name in given if name not in Options.names()]:
        known = ", ".join(Options.names())
        raise TypeError(f"mosaic() takes no argument {unknown[0]!r}. The options of Resample are {known}.")
    if reading.good_bits and "good_bits" in given:
        raise ValueError("'good_bits' and 'bad_bits' say the same: give one of them.")
    resampling = given | reading.good_bits
    if cleaning.save_masks is not None:
        checked_folder(cleaning.save_masks, "save_masks")
    if add_to is not None and cleaning.is_wanted:
        others = "reject_outliers" if cleaning.reject_outliers else "combine"
        name = "match_sky" if cleaning.match_sky is not None else others
        raise ValueError(f"'{name}' compares exposures, and those in 'add_to' are not there any more: make it anew.")
    if checkpoint is not None and cleaning.is_wanted:
        raise ValueError(
            "'checkpoint' saves what has been added, and 'match_sky', 'reject_outliers' and 'combine' look at all "
            "exposures before: give one of them."
        )
    begun = None if add_to is None else begun_mosaic(add_to)
    if begun is not None:
        if output_wcs is not None or frame != FrameOptions():
            raise ValueError(f"'add_to' is {add_to}, which has its own frame: none can be given beside it.")
        resampling, of_values = begun.with_options(resampling), begun.with_values(of_values)
        output_wcs = begun.output_wcs
    resampling = DEFAULTS | resampling
    checked = Options(**resampling)
    if checked.backend == "cuda":
        selected(checked.device)
    of_result = {name: value for name, value in arguments.items() if name not in OF_RUNNING}
    defaults = vars(FrameOptions()) | vars(Reading()) | vars(CalibrationOptions()) | vars(CleaningOptions()) | NOT_GIVEN
    return Asked(
        path=path,
        frame=frame,
        output_wcs=None if output_wcs is None else given_wcs(output_wcs, frame),
        reading=reading,
        calibration=CalibrationOptions(**of_values),
        cleaning=cleaning,
        resampling=resampling,
        begun=begun,
        checkpoint=None if checkpoint is None else checked_folder(checkpoint, "checkpoint"),
        checkpoint_every=every or NOT_GIVEN["checkpoint_every"],
        memory_limit=limit,
        skip_bad=skip_bad,
        overwrite=overwrite,
        call=call_of(inputs, output, {**of_result, "overwrite": overwrite}, defaults),
    )


def _taken(given: dict[str, Any], names: Any) -> dict[str, Any]:
    """Those arguments of some names, which are not among the others any more."""
    return {name: given.pop(name) for name in names if name in given}
