"""Evaluators of some images each, and what they make together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fastiou.arrays.keys import read_keys
from fastiou.blocks.parts import hashes_of
from fastiou.runtime import threads
from fastiou.typing import Array

__all__ = ["merged", "rows_by_key", "score_of", "state_of"]


def state_of(make: Callable[[], Any], update: Any) -> dict[str, Any]:
    """The state of an evaluator that has seen some images.

    Parameters
    ----------
    make
        Makes an evaluator: its class, or a `functools.partial` of it with options.
    update
        Arguments of its `update`: a dict by name, or else a tuple or list.
    """
    evaluator = make()
    with threads.limited(1):
        if isinstance(update, Mapping):
            evaluator.update(**update)
        else:
            evaluator.update(*update)
    state: dict[str, Any] = evaluator.state()
    return state


def _together(make: Callable[[], Any], states: Sequence[Mapping[str, Any]]) -> Any:
    evaluator = make()
    evaluator.merge(*states)
    return evaluator


def merged(make: Callable[[], Any], states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The state of all that several evaluators have seen."""
    with threads.limited(1):
        state: dict[str, Any] = _together(make, states).state()
    return state


def score_of(make: Callable[[], Any], states: Sequence[Mapping[str, Any]]) -> Any:
    """The result of all that several evaluators have seen."""
    with threads.limited(1):
        return _together(make, states).compute()


def rows_by_key(frame: Any, by: Sequence[str], parts: int) -> list[Any]:
    """Cut a data frame of pandas into parts, rows with equal keys into the same one."""
    keys = [read_keys(f"column {name}", frame[name], len(frame)).columns[0] for name in by]
    owners: Array = hashes_of(keys) % np.uint64(parts)
    return [frame[owners == part] for part in range(parts)]
