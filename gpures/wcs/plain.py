"""A model of astropy without what it does around each of its parts, which takes longer than some of the parts."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

__all__ = ["plain_evaluation"]

Evaluation = Callable[..., tuple[np.ndarray, ...]]

# What a model is asked through; of one that does any of these in a way of its own, `evaluate` is not all.
AROUND = ("__call__", "prepare_inputs", "prepare_outputs", "_pre_evaluate", "_generic_evaluate", "_post_evaluate")

OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}


def plain_evaluation(evaluate: Any) -> Evaluation | None:
    """What evaluates the same model with the parameters that it has now.

    Whoever uses it compares it with the model first, to the last bit.

    Parameters
    ----------
    evaluate : callable
        A model without its bounding box.

    Returns
    -------
    callable or None
        None of anything else, and of a model of which that is not known.
    """
    from astropy.modeling import Model

    if not isinstance(evaluate, partial) or evaluate.args or evaluate.keywords != {"with_bounding_box": False}:
        return None
    try:
        return _of(evaluate.func) if isinstance(evaluate.func, Model) else None
    except (AttributeError, TypeError, _UnknownError):
        return None


class _UnknownError(Exception):
    """A part that is evaluated in another way."""


def _of(model: Any) -> Evaluation:
    from astropy.modeling import CompoundModel

    if type(model) is CompoundModel:
        if model.op not in ("|", "&", *OPERATORS):
            raise _UnknownError
        return _both(model.op, _of(model.left), _of(model.right), model.left.n_inputs)
    if len(model) > 1 or any(getattr(model, name).__code__.co_filename not in _sources() for name in AROUND):
        raise _UnknownError
    evaluate, parameters = model.evaluate, list(model._param_sets(raw=True))
    if model.n_outputs == 1:
        return lambda *inputs: (evaluate(*inputs, *parameters),)
    return lambda *inputs: evaluate(*inputs, *parameters)


@cache
def _sources() -> frozenset[str]:
    """Files in which astropy and gwcs say how models are asked."""
    from astropy.modeling import core, polynomial, tabular

    return frozenset(module.__file__ for module in (core, polynomial, tabular))


def _both(op: str, left: Evaluation, right: Evaluation, count: int) -> Evaluation:
    if op == "|":
        return lambda *inputs: right(*left(*inputs))
    if op == "&":
        return lambda *inputs: (*left(*inputs[:count]), *right(*inputs[count:]))
    return lambda *inputs: tuple(map(OPERATORS[op], left(*inputs), right(*inputs)))
