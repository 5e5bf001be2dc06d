"""Where exposures lie: their system of sky coordinates, their footprints, the frame, and which of them reach it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gpures.errors import EmptyMosaicError
from gpures.io import FileError
from gpures.mosaicking.continuing import Begun
from gpures.mosaicking.reach import all_beside, reaching
from gpures.mosaicking.sources import Source
from gpures.reporting.tables import listed
from gpures.resample.output_frame import OutputFrame
from gpures.wcs.footprint import Footprint, footprint_of
from gpures.wcs.frame import FrameOptions
from gpures.wcs.frame_around import made_wcs
from gpures.wcs.sky_systems import ICRS, SkySystem, are_the_same
from gpures.wcs.transforms import is_imaging, world_axes

__all__ = ["OnTheSky", "Placement"]

log = logging.getLogger(__name__)

# Exposures that a warning names.
NAMED = 3


@dataclass(frozen=True)
class OnTheSky:
    """Exposures that lie somewhere on the sky.

    Attributes
    ----------
    sources : list of Source
        The exposures.
    footprints : list of Footprint
        Of each, in one system; none where the output WCS is not one of images.
    sky : SkySystem or None
        The system.
    words : str or None
        What is to be said of it.
    """

    sources: list[Source]
    footprints: list[Footprint]
    sky: SkySystem | None
    words: str | None = None

    @classmethod
    def of(cls, sources: Sequence[Source], wcs: Any, skip: Callable[[str, Exception], None]) -> OnTheSky:
        """Find out where exposures lie.

        Parameters
        ----------
        sources : sequence of Source
            The exposures.
        wcs : gwcs.wcs.WCS or astropy.wcs.WCS or None
            Output WCS, where there is one.
        skip : callable
            Called with the name of an exposure that lies nowhere, and why; unless it raises, that is left out.
        """
        if wcs is not None:
            sky = world_axes(wcs).sky
            return cls(*_with_footprints(sources, sky, skip), sky) if is_imaging(wcs) else cls(list(sources), [], sky)
        while True:  # what is left out has no say in which system it is
            system, words = _common_sky(sources)
            good, footprints = _with_footprints(sources, system, skip)
            if len(good) in (0, len(sources)):
                return cls(good, footprints, system, words)
            sources = good


@dataclass(frozen=True)
class Placement:
    """Exposures in a frame.

    Attributes
    ----------
    on_the_sky : OnTheSky
        All that lie somewhere.
    output_wcs : dict
        The frame, as `gpures.Resample` takes it.
    rotation : float or None
        Position angle of +y, degrees, of a frame that was made.
    frame : OutputFrame
        The frame.
    inside, outside : list of Source
        Exposures that reach the frame, and others.
    footprints : list of Footprint
        Of those that reach it.
    """

    on_the_sky: OnTheSky
    output_wcs: dict[str, Any]
    rotation: float | None
    frame: OutputFrame
    inside: list[Source] = field(default_factory=list)
    outside: list[Source] = field(default_factory=list)
    footprints: list[Footprint] = field(default_factory=list)

    @classmethod
    def of(cls, on_the_sky: OnTheSky, given: dict[str, Any] | None, wanted: FrameOptions) -> Placement:
        """Find out which exposures reach a frame, which is made around them where there is none.

        Parameters
        ----------
        on_the_sky : OnTheSky
            The exposures.
        given : dict or None
            The frame.
        wanted : FrameOptions
            What is wanted of a frame that is made.

        Raises
        ------
        ValueError
            There is no such frame, or none of the exposures reaches it.
        """
        sources, footprints = on_the_sky.sources, on_the_sky.footprints
        rotation = None
        if given is None:
            first = sources[0]
            given, rotation = made_wcs(first.wcs, first.shape, footprints, wanted, on_the_sky.sky)
        frame = OutputFrame(given)
        if not footprints:
            return cls(on_the_sky, given, rotation, frame, sources)
        reach = reaching(footprints, given["wcs"], frame.output_array_shape)
        if not any(reach):
            raise EmptyMosaicError(all_beside(footprints, given["wcs"], frame.output_array_shape))
        pairs = list(zip(sources, footprints, reach, strict=True))
        return cls(
            on_the_sky,
            given,
            rotation,
            frame,
            inside=[source for source, _, is_inside in pairs if is_inside],
            outside=[source for source, _, is_inside in pairs if not is_inside],
            footprints=[footprint for _, footprint, is_inside in pairs if is_inside],
        )

    def tell(self, begun: Begun | None) -> None:
        """Warn of what is to be said of it.

        Parameters
        ----------
        begun : Begun or None
            A mosaic that is gone on with.
        """
        if self.on_the_sky.words is not None:
            log.warning(self.on_the_sky.words)
        if self.outside:
            names = [source.name for source in self.outside]
            log.warning("%d exposures do not reach the frame, and are not read: %s", len(names), listed(names, NAMED))
        if begun is not None:
            begun.warn_of_edges(self.footprints)


def _with_footprints(
    sources: Sequence[Source], sky: SkySystem | None, skip: Callable[[str, Exception], None]
) -> tuple[list[Source], list[Footprint]]:
    """Exposures that lie somewhere on the sky, and where in a system of coordinates."""
    good: list[Source] = []
    footprints = []
    for source in sources:
        try:
            footprints.append(footprint_of(source.name, source.wcs, source.shape, sky))
            good.append(source)
        except (ValueError, RuntimeError) as error:
            skip(source.name, error)
        except Exception as error:  # what a file's transform raises
            if source.kind == "model":
                raise
            skip(source.name, FileError(source.path, f"the WCS of {source.name} can't be evaluated: {error!r}"))
    return good, footprints


def _common_sky(sources: Sequence[Source]) -> tuple[SkySystem, str | None]:
    """System of sky coordinates for a frame of exposures, theirs or ICRS, and what is to be said of it."""
    told = [(source, sky) for source in sources if (sky := _sky_of(source)) is not None]
    if not told:
        return ICRS, None
    first, system = told[0]
    others = [(source, sky) for source, sky in told if sky.name != system.name]
    if not others:
        return system, None
    differing = [(source, sky) for source, sky in others if not are_the_same(system, sky)]
    source, sky = (differing or others)[0]
    words = f"{first.name} has sky coordinates in {system.name}, and {source.name} in {sky.name}: "
    if differing:
        return ICRS, f"{words}the frame is in ICRS, and all are converted."
    # They differ by 0.02 arcsec at most, and headers often say one and mean the other.
    return system, f"{words}taken as the same."


def _sky_of(source: Source) -> SkySystem | None:
    """System of an exposure's sky coordinates; None where it does not tell."""
    try:
        return world_axes(source.wcs).sky
    except Exception:  # whatever a WCS raises; its outline can't be made, either
        return None
