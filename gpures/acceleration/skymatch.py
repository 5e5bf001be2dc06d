"""What stands in for `stcal.skymatch.skymatch`: its objects, measured and matched by `gpures.cleaning`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpures.acceleration.arrays import plain
from gpures.box import Box
from gpures.cleaning.overlaps import Place, place_by, place_of
from gpures.cleaning.statistics import StatisticOptions
from gpures.cleaning.survey import SkyOptions, SkySurvey
from gpures.originals import original

__all__ = ["apply", "levels_of"]

# Names of stcal's settings of a statistic, and of gpures'.
SETTINGS = {"lower": "lower", "upper": "upper", "nclip": "nclip", "lsig": "lsigma", "usig": "usigma"} | {
    "binwidth": "binwidth"
}


def levels_of(images: Any, method: Any, match_down: Any, subtract: Any) -> list[float | None]:
    """What `stcal.skymatch.skymatch` would add to the sky of each image or group; None where it is not known.

    Parameters
    ----------
    images : list of SkyImage or SkyGroup
        Objects of stcal's, which are not changed.
    method : str
        stcal's ``skymethod``.
    match_down : bool
        Whether the lowest sky becomes 0 where skies are matched, else the highest.
    subtract : bool
        Whether the sky that is known has been subtracted from the images, as is to be done with the rest.

    Raises
    ------
    NotImplementedError
        gpures does not do that, or not as stcal does.
    """
    members = _members(images)
    every = [image for those in members for image in those]
    options = SkyOptions(method, bool(match_down), _statistics(every))
    limited = options.statistics.lower is not None or options.statistics.upper is not None
    if limited and (subtract and options.method == "global+match"):
        raise NotImplementedError("limits are of data from which a sky has been subtracted meanwhile")
    groups = [number for number, those in enumerate(members) for _ in those]
    survey = SkySurvey.of_places([_place(image) for image in every], groups, options)
    for number, image in enumerate(every):
        level = 0.0 if subtract else float(image.sky)
        survey.measure(number, image.image, None if image.mask.all() else image.mask, level)
    levels = survey.solve().levels
    return [levels[groups.index(number)] for number in range(len(members))]


def apply(images: Sequence[Any], levels: Sequence[float | None], method: str, subtract: bool) -> None:
    """Add to the sky of images and groups what was found, as stcal does, and say whether it is known.

    Parameters
    ----------
    images : list of SkyImage or SkyGroup
        Objects of stcal's: their ``sky`` and ``is_sky_valid`` are set.
    levels : sequence of (float or None)
        As `levels_of` gives them.
    method : str
        stcal's ``skymethod``.
    subtract : bool
        Whether levels are subtracted from the images, in place.
    """
    for given, level in zip(images, levels, strict=True):
        members = given if hasattr(given, "__iter__") else [given]
        if level is not None:
            if subtract:
                for image in members:
                    image.image -= level
            given.sky += level
        if level is not None or method.lower() != "global":
            for image in members:
                image.is_sky_valid = level is not None


def _members(images: Any) -> list[list[Any]]:
    """Images of each element."""
    from stcal.skymatch import SkyGroup, SkyImage

    kinds = {original(SkyImage), original(SkyGroup)}
    if not isinstance(images, (list, tuple)) or not images or not {type(image) for image in images} <= kinds:
        raise NotImplementedError("it is not a list of its own objects")
    members = [list(image) if isinstance(image, SkyGroup) else [image] for image in images]
    every = [image for those in members for image in those]
    if not {type(image) for image in every} <= {original(SkyImage)} or len(set(map(id, every))) < len(every):
        raise NotImplementedError("a group is not made of its own objects")
    for image in every:
        if plain(image.image, ("f4", "f8"), 2).shape != plain(image.mask, ("b1",), 2).shape:
            raise NotImplementedError("a mask is not of its image's shape")
    return members


def _statistics(images: Sequence[Any]) -> StatisticOptions:
    """The statistic of all images."""
    from stcal.skymatch import SkyStats

    settings = []
    for image in images:
        if type(image.skystat) is not SkyStats:
            raise NotImplementedError("its statistic is another")
        known = image.skystat._kwargs
        asked = {"statistic": image.skystat._skystat} | {SETTINGS[name]: known[name] for name in SETTINGS}
        settings.append(asked)
    if any(asked != settings[0] for asked in settings):
        raise NotImplementedError("statistics of its images differ")
    (first, *_) = settings
    if first["statistic"] == "median" and first["nclip"] == 0 and (first["lower"], first["upper"]) != (None, None):
        raise NotImplementedError("its median without clipping knows no limits")
    return StatisticOptions(**first, as_imagestats=True)


def _place(image: Any) -> Place:
    """Where an image of stcal's lies, bounding boxes aside."""
    forward, backward = image._wcs_fwd, image._wcs_inv
    limits, name = Box.whole(image.image.shape), str(image.sky_id)
    owner = getattr(forward, "__self__", None)
    if hasattr(owner, "output_frame") and getattr(backward, "__self__", None) is owner:
        return place_of(name, owner, limits, None)  # an inverse that has to be found is found faster here

    def to_sky(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        lon, lat = forward(x, y, with_bounding_box=False)
        return lon, lat

    def to_pixels(lon: np.ndarray, lat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = backward(lon, lat, with_bounding_box=False)
        return x, y

    return place_by(name, to_sky, to_pixels, limits)
