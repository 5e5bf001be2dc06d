"""Covariances of a mosaic in its files: a stack of images, one for each lag."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from gpures.backend.pairs import lags as lags_in_order

__all__ = ["cards_of", "joined", "lags_of_cards", "lags_of_names", "split"]

# What an image of one lag (dy, dx) is called, where stacks are written one by one.
OF_A_LAG = re.compile(r"cov_(\d+)_(-?\d+)")

# Keyword of the lag of a plane, from 1 on.
LAG = re.compile(r"LAG(\d+)")


def split(images: Mapping[str, Any], facts: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Images and facts of a mosaic, with an image for each lag in place of the stack of covariances.

    Parameters
    ----------
    images, facts : mapping
        Of the mosaic, by name.
    """
    names: dict[str, Any] = {}
    for name, image in images.items():
        if name == "covariance":
            lags = np.asarray(facts["covariance_lags"]).tolist()
            names |= {f"cov_{dy}_{dx}": plane for (dy, dx), plane in zip(lags, image, strict=True)}
        else:
            names[name] = image
    return names, {name: fact for name, fact in facts.items() if name != "covariance_lags"}


def joined(model: Mapping[str, Any], stack: Callable[[Sequence[Any]], Any]) -> dict[str, Any]:
    """The same with the stack again.

    Parameters
    ----------
    model : mapping
        Images, and what else there is.
    stack : callable
        Makes one array of images.
    """
    found = lags_of_names(model)
    if not found:
        return dict(model)
    rest = {name: value for name, value in model.items() if name not in found}
    return rest | {"covariance": stack([model[name] for name in found]), "covariance_lags": np.array([*found.values()])}


def lags_of_names(names: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Those names that are of images of one lag, in their order in the stack, and of each its lag (dy, dx).

    Parameters
    ----------
    names : iterable of str
        Of images.
    """
    found = {(int(lag[1]), int(lag[2])): name for name in names if (lag := OF_A_LAG.fullmatch(name))}
    longest = max((max(dy, abs(dx)) for dy, dx in found), default=0)
    return {found[dy, dx]: (dy, dx) for dy, dx in lags_in_order(longest).tolist() if (dy, dx) in found}


def cards_of(lags: Any) -> dict[str, tuple[str, str]]:
    """Keywords of an extension that tell the lags of its planes.

    Parameters
    ----------
    lags : array of int (lags, 2)
        Of each its dy and dx.
    """
    pairs = np.asarray(lags).tolist()
    return {f"LAG{k}": (f"{dy},{dx}", "[pixel] y,x to the other pixel") for k, (dy, dx) in enumerate(pairs, 1)}


def lags_of_cards(header: Mapping[str, Any]) -> np.ndarray:
    """The lags again.

    Parameters
    ----------
    header : mapping
        Keywords of the extension.
    """
    told = {int(found[1]): str(value) for key, value in header.items() if (found := LAG.fullmatch(key))}
    lags = [[int(part) for part in told[k].split(",")] for k in sorted(told)]
    return np.array(lags, np.int64).reshape(-1, 2)
