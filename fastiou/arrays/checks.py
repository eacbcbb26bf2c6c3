"""Options and the numbers beside the sets, checked: each with a message that names it."""

from __future__ import annotations

import contextlib
import math
import operator
from collections.abc import Collection
from typing import Any

import numpy as np

from fastiou.arrays.inputs import Input, plain_array, real_input, value_array
from fastiou.runtime import chunks
from fastiou.runtime.gpu_arrays import OnGpu
from fastiou.runtime.words import described, described_dtype
from fastiou.typing import Array

__all__ = [
    "axis_numbers",
    "check_choice",
    "check_one_shape",
    "chosen_members",
    "crowd_array",
    "finite_number",
    "flag_array",
    "least_number",
    "refuse_infinite",
    "score_array",
    "score_of_each",
    "threshold_number",
    "true_or_false",
    "whole_number",
]


def check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    """Raise a ValueError unless the argument is one of the choices."""
    if not isinstance(value, str) or value not in choices:
        accepted = list(choices)
        raise ValueError(
            f"{name} must be one of {', '.join(map(repr, accepted))}, got {described(value)}"
        )


def crowd_array(value: Any, count: int, of: str) -> Array:
    """The argument `iscrowd` as booleans, one for each of `count` members of the argument `of`."""
    return flag_array("iscrowd", value, count, of)


def flag_array(name: str, value: Any, count: int, of: str) -> Array:
    """An argument as booleans, one for each of `count` members of the argument `of`."""
    crowd = plain_array(name, value)
    if crowd.shape == (0,) == (count,):  # an empty list, whatever its dtype
        return np.empty(0, np.bool_)
    if crowd.shape != (count,) or crowd.dtype.kind not in "biu":
        raise ValueError(
            f"{name} must be {count} booleans, one for each of {of}, "
            f"got shape {crowd.shape} and dtype {described_dtype(crowd.dtype)}"
        )
    flags = crowd.astype(np.bool_)
    if (crowd != flags).any():
        first = int((crowd != flags).argmax())
        raise ValueError(
            f"{name} must hold booleans, or 0 and 1, got {crowd[first]} at position {first}"
        )
    return flags


def score_array(name: str, value: Any) -> Array:
    """An argument of one finite real number for each member of a set, as float64.

    Raises
    ------
    TypeError
        Not real numbers.
    ValueError
        Not one row of numbers, or one that is infinite or NaN.
    """
    array = value_array(name, value).array
    if array.ndim != 1:
        raise ValueError(f"{name} must have one dimension, got shape {array.shape}")
    finite = np.isfinite(array)
    if not finite.all():
        first = int(finite.argmin())
        raise ValueError(f"{name} must be finite numbers, got {array[first]} at position {first}")
    return np.ascontiguousarray(array, np.float64)


def score_of_each(value: Any, count: int, of: str) -> Array:
    """The argument `scores`: floats, one for each of `count` members of the argument `of`."""
    scores: Array = real_input("scores", value).array
    if scores.shape != (count,):
        raise ValueError(
            f"scores must have the shape ({count},), got {scores.shape}: one for each of {of}"
        )
    if scores.dtype.kind != "f":
        return scores.astype(np.float64)
    missing = np.isnan(scores)
    if missing.any():
        raise ValueError(f"scores must be numbers, got NaN in row {int(missing.argmax())}")
    return scores


def _real_number(name: str, value: Any, accepted: str) -> float:
    """An argument that is one number; infinite for an integer beyond all floats."""
    is_one = not getattr(value, "ndim", 0)  # an array is not, even of one number
    if is_one and not isinstance(value, str | bytes | bool | np.bool_):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
        except (TypeError, ValueError, RuntimeError):  # the last of tensors
            pass
    raise TypeError(f"{name} must be {accepted}, got {described(value)}")


def least_number(name: str, value: Any) -> float:
    """An argument that bounds values from below: a number, which may be infinite, and not NaN."""
    number = _real_number(name, value, "a number")
    if math.isnan(number):
        raise ValueError(f"{name} must be a number, got {described(value)}")
    return number


def threshold_number(
    value: Any, maximum: float | None, *, zero: bool = False, name: str = "threshold"
) -> float:
    """The threshold of a relation that keeps only what overlaps; with `zero`, from 0."""
    number = _real_number(name, value, "a number")
    enough = number >= 0 if zero else number > 0
    if not enough or (maximum is not None and number > maximum):
        bound = "" if maximum is None else f" and at most {maximum:g}"
        least = "at least 0" if zero else "greater than 0"
        reason = "" if zero or not number <= 0 else ": boxes that do not overlap would all be pairs"
        raise ValueError(f"{name} must be {least}{bound}, got {described(value)}{reason}")
    return number


def check_one_shape(given1: Input, given2: Input) -> None:
    """Raise a ValueError unless both arguments have the same shape."""
    if given1.held.shape != given2.held.shape:
        raise ValueError(
            f"{given1.name} and {given2.name} must have the same shape, got "
            f"{given1.held.shape} and {given2.held.shape}"
        )


def finite_number(name: str, value: Any, *, lowest: float | None = None) -> float:
    """An argument that is one finite number, not below `lowest`."""
    accepted = "a finite number" + ("" if lowest is None else f" of at least {lowest:g}")
    number = _real_number(name, value, accepted)
    if not math.isfinite(number) or (lowest is not None and number < lowest):
        raise ValueError(f"{name} must be {accepted}, got {described(value)}")
    return number


def whole_number(
    name: str, value: Any, *, lowest: int | None = None, highest: int = 2**63 - 1
) -> int:
    """An argument that is one integer, from `lowest` to `highest`."""
    accepted = "an integer" + ("" if lowest is None else f" of at least {lowest}")
    number = None
    if not isinstance(value, bool):
        with contextlib.suppress(TypeError, ValueError, RuntimeError):  # the last two of tensors
            number = operator.index(value)
    if number is None:
        raise TypeError(f"{name} must be {accepted}, got {described(value)}")
    if lowest is not None and number < lowest:
        raise ValueError(f"{name} must be {accepted}, got {described(value)}")
    if not -(2**63) <= number <= highest:
        bits = (highest + 1).bit_length() - 1
        raise ValueError(
            f"{name} must be {accepted} and less than 2**{bits}, got {described(value)}"
            if number > 0
            else f"{name} must be an integer of at least -2**63, got {described(value)}"
        )
    return number


def true_or_false(name: str, value: Any) -> bool:
    """An argument that is a boolean, and nothing that merely counts as one."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {described(value)}")
    return bool(value)


def axis_numbers(name: str, value: Any, dimensions: int) -> tuple[int, ...]:
    """An argument of axes, None for all, as sorted numbers from 0."""
    if value is None:
        return tuple(range(dimensions))
    numbers = []
    for axis in value if isinstance(value, tuple) else (value,):
        number = whole_number(name, axis)
        if not -dimensions <= number < dimensions:
            raise ValueError(
                f"{name} must name axes of {dimensions} dimensions, got {described(value)}"
            )
        numbers.append(number % dimensions)
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"{name} names an axis twice: {described(value)}")
    return tuple(sorted(numbers))


def refuse_infinite(given: Input) -> None:
    """Raise a ValueError that names the first box of an argument with an infinite number."""
    source = given.source.on_host if isinstance(given.source, OnGpu) else given.source
    if source.size > chunks.PIECE:
        blocks = chunks.blocks(source.shape)
        if not any(np.isinf(source[block]).any() for block in blocks):
            return
    infinite = np.isinf(source)
    if not infinite.any():
        return
    of_boxes = infinite.any(axis=-1)
    where = tuple(map(int, np.unravel_index(int(of_boxes.argmax()), of_boxes.shape)))
    row = where[0] if len(where) == 1 else where
    raise ValueError(
        f"{given.name} has an infinite coordinate in row {row}: {source[where].tolist()}; "
        "coordinates must be finite, or NaN for a missing box"
    )


def chosen_members(index: Any, count: int, plural: str) -> Array:
    """An index into a set of so many: an integer, or integers in one dimension, none negative.

    Booleans become the numbers of those that are true.
    """
    try:
        chosen = np.asarray(index)
    except (ValueError, TypeError, RuntimeError):  # a list of lists of several lengths
        chosen = np.array(None)
    if chosen.dtype == np.bool_:
        if chosen.shape != (count,):
            raise IndexError(
                f"booleans that choose among {count} {plural} must have the shape ({count},), got "
                f"{chosen.shape}"
            )
        return np.flatnonzero(chosen)
    if chosen.shape == (0,):
        return np.empty(0, np.int64)
    if chosen.dtype.kind not in "iu" or chosen.ndim > 1:
        raise IndexError(
            f"{plural} are chosen by an integer, a slice, integers or booleans in one dimension, "
            f"got {described(index)}"
        )
    wrong = (chosen < -count) | (chosen >= count)
    if wrong.any():
        raise IndexError(f"index {int(chosen[wrong].flat[0])} is out of range for {count} {plural}")
    chosen = chosen.astype(np.int64)
    return np.where(chosen < 0, chosen + count, chosen)
