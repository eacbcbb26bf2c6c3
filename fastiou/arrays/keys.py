"""Keys of members, by which they are grouped: integers or names, one key of each or several.

This is the one place that makes numbers of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastiou.arrays.frames import frame_columns
from fastiou.arrays.inputs import plain_array
from fastiou.runtime import distinct
from fastiou.runtime.words import described, described_dtype, shortened
from fastiou.typing import Array

__all__ = ["KeyTable", "Keys", "read_keys"]


#: What a missing value is called by pandas, beside None and NaN.
MISSING = ("NAType", "NaTType")

ACCEPTED = (
    "integers or names: an array or list of one for each, or several keys as a tuple of such "
    "arrays or a data frame"
)


class Keys:
    """The keys of the members of a set, checked.

    Attributes
    ----------
    name
        What messages call the argument.
    columns
        For each key an array (n,), of int64, or uint64 where a number needs it, or of objects, all
        str or all bytes.
    names
        What a data frame calls its columns; None where the keys came without.
    """

    __slots__ = ("columns", "name", "names")

    def __init__(self, name: str, columns: list[Array], names: list[str] | None = None) -> None:
        self.name = name
        self.columns = columns
        self.names = names

    @property
    def integers(self) -> Array | None:
        """The key, where it is one of integers."""
        if len(self.columns) == 1 and self.columns[0].dtype != object:
            return self.columns[0]
        return None


def read_keys(name: str, value: Any, count: int) -> Keys:
    """An argument of keys for `count` members.

    A data frame has a key in each column. A tuple of arrays, lists or columns has a key in each.
    All else is one key: an array, a list, a column, or a tuple of numbers or names.

    Raises
    ------
    TypeError
        Neither integers nor names, or both in one key.
    ValueError
        A missing value, or another number of keys than `count`.
    """
    frame = frame_columns(value)
    if frame is not None:
        if not frame:
            raise ValueError(f"{name} must have a column for each key, got a frame without columns")
        columns = [_key(f"{name}[{described(label)}]", column, count) for label, column in frame]
        return Keys(name, columns, [label for label, _ in frame])
    if isinstance(value, tuple) and any(map(_is_column, value)):
        return Keys(name, [_key(f"{name}[{i}]", part, count) for i, part in enumerate(value)])
    return Keys(name, [_key(name, value, count)])


def _is_column(value: Any) -> bool:
    """Whether a part of a tuple has a value for each member, and is not itself one value."""
    if isinstance(value, str | bytes | int | float | np.generic | None):
        return False
    return getattr(value, "shape", None) != () and hasattr(value, "__len__")


def _key(name: str, value: Any, count: int) -> Array:
    """One key of each member."""
    array = plain_array(name, value)
    if array.shape == (0,) and count == 0:
        return np.empty(0, np.int64)
    kind = array.dtype.kind
    if kind == "T":  # NumPy's strings of any length
        array, kind = array.astype(object), "O"
    if kind not in "biufUSO" or array.ndim == 0:
        got = f"dtype {described_dtype(array.dtype)}" if array.ndim else described(value)
        hint = "; dates become names by .astype(str)" if kind in "mM" else ""
        raise TypeError(f"{name} must hold {ACCEPTED}; got {got}{hint}")
    if array.shape != (count,):
        hint = "; several keys are a tuple of arrays or a data frame" if array.ndim == 2 else ""
        raise ValueError(f"{name} must have the shape ({count},), got {array.shape}{hint}")
    if kind in "US":
        # NumPy makes words of the numbers, and of the NaN, in a list of both.
        as_given = list(value) if isinstance(value, list | tuple) else array.tolist()
        return _checked_objects(name, as_given)
    if kind == "O":
        return _checked_objects(name, array.tolist())
    return _checked_numbers(name, array)


def _checked_numbers(name: str, array: Array) -> Array:
    """Numbers as int64, or uint64 where one needs it."""
    if array.dtype.kind == "f":
        return _whole(name, array)
    if array.dtype.kind == "u" and array.size and int(array.max()) >= 2**63:
        return array.astype(np.uint64, copy=False)
    return array.astype(np.int64, copy=False)


def _whole(name: str, array: Array) -> Array:
    """Floats that are whole numbers as int64."""
    _refuse_missing(name, np.isnan(array))
    with np.errstate(invalid="ignore"):
        odd = ~(np.trunc(array) == array)
        # From here on a float is not told from its neighbours, which may have been other integers.
        too_large = np.abs(array) >= 2.0 ** (np.finfo(array.dtype).nmant + 1)
    for wrong, accepted in (
        (odd | np.isinf(array), "integers or names, or floats that are whole numbers"),
        (too_large, f"integers, since {array.dtype} is not exact for such numbers"),
    ):
        if wrong.any():
            place = int(wrong.argmax())
            raise TypeError(f"{name} must hold {accepted}, got {array[place]} at position {place}")
    return array.astype(np.int64)


def _checked_objects(name: str, values: list[Any]) -> Array:
    """Python's objects: integers as numbers, names as they are."""
    types = set(map(type, values))
    if not types <= {str, bytes, int}:
        _refuse_missing(name, np.array([_is_missing(value) for value in values]))
        if types <= {float, int, np.float64, np.float32}:
            return _whole(name, np.array(values, np.float64))
    kinds = [_kind_of(value) for value in values]
    for place, kind in enumerate(kinds):
        if kind is None:
            raise TypeError(
                f"{name} must hold {ACCEPTED}; got {described(values[place])} at position {place}"
            )
        if kind != kinds[0]:
            raise TypeError(
                f"{name} must hold integers or names, one kind for all, got "
                f"{described(values[0])} at position 0 and {described(values[place])} at position "
                f"{place}"
            )
    if kinds[0] == "integers":
        numbers = [int(value) for value in values]
        low, high = min(numbers), max(numbers)
        if low < -(2**63) or high >= (2**64 if low >= 0 else 2**63):
            raise ValueError(
                f"{name} must hold integers of 64 bits, got {described(low)} to {described(high)}"
            )
        return np.array(numbers, np.uint64 if high >= 2**63 else np.int64)
    objects = np.empty(len(values), object)
    objects[:] = values
    return objects


def _kind_of(value: Any) -> str | None:
    """What a value is as a key; None if it is none."""
    if isinstance(value, str):
        return "names"
    if isinstance(value, bytes):
        return "bytes"
    return "integers" if isinstance(value, int | np.integer | np.bool_) else None


def _is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ in MISSING:
        return True
    return isinstance(value, float | np.floating) and bool(value != value)


def _refuse_missing(name: str, missing: Array) -> None:
    if missing.any():
        place = int(missing.argmax())
        raise ValueError(
            f"{name} has no value at position {place}: give what is without a key one of its own, "
            "or leave it out"
        )


# ---- keys as numbers ---------------------------------------------------------------------------


class KeyTable:
    """Numbers from 0 for the keys of a set, by which those of another set are found. It is pickled.

    Attributes
    ----------
    codes
        (n,) int32: the number of each member of the set.
    count
        How many there are.
    """

    def __init__(self, keys: Keys) -> None:
        self._names = keys.names
        self._columns: list[dict[Any, int] | Array] = []
        self._joined: list[Array] = []
        codes: Array | None = None
        for column in keys.columns:
            if column.dtype == object:
                known: dict[Any, int] = {}
                own = np.fromiter(
                    (known.setdefault(value, len(known)) for value in column.tolist()),
                    np.int64,
                    len(column),
                )
                self._columns.append(known)
            else:
                numbers, own = distinct.numbered(column)
                self._columns.append(numbers)
            if codes is None:
                codes = own
                continue
            joined, codes = distinct.numbered(codes * len(self._columns[-1]) + own)
            self._joined.append(joined)
        assert codes is not None
        last = self._joined[-1] if self._joined else self._columns[-1]
        self.codes: Array = codes.astype(np.int32)
        self.count = len(last)

    def codes_of(self, keys: Keys) -> Array:
        """The numbers of another set's keys, int32: -1 for what the first set does not have.

        Raises
        ------
        TypeError, ValueError
            Other keys, of which none could equal one of these.
        """
        self._check(keys)
        codes: Array | None = None
        for place, (known, column) in enumerate(zip(self._columns, keys.columns, strict=True)):
            own = _found(known, column)
            if codes is None:
                codes = own
                continue
            together = np.where((codes >= 0) & (own >= 0), codes * len(known) + own, -1)
            codes = _found(self._joined[place - 1], together)
        assert codes is not None
        return codes.astype(np.int32)

    def _check(self, keys: Keys) -> None:
        """Refuse keys of another number, order or kind."""
        if len(keys.columns) != len(self._columns):
            raise ValueError(
                f"{keys.name} must have as many keys as what it is compared with, "
                f"{len(self._columns)}, got {len(keys.columns)}"
            )
        if keys.names is not None and self._names is not None and keys.names != self._names:
            raise ValueError(
                f"{keys.name} must have the columns {shortened(', '.join(self._names))} in this "
                f"order, as what it is compared with, got {shortened(', '.join(keys.names))}"
            )
        for place, (known, column) in enumerate(zip(self._columns, keys.columns, strict=True)):
            if not len(known) or not len(column):
                continue
            kind1, kind2 = _kind(known), _kind(column)
            if kind1 != kind2:
                which = f"key {place} of {keys.name}" if len(keys.columns) > 1 else keys.name
                raise TypeError(
                    f"{which} must hold {kind1} as what it is compared with, got {kind2}: none "
                    "would be equal"
                )


def _kind(known: dict[Any, int] | Array) -> str:
    """What a key holds."""
    if isinstance(known, np.ndarray) and known.dtype != object:
        return "integers"
    return str(_kind_of(next(iter(known))))


def _found(known: dict[Any, int] | Array, column: Array) -> Array:
    """Which of the known values each of a column is, int64; -1 for none."""
    if isinstance(known, dict):
        return np.fromiter(
            (known.get(value, -1) for value in column.tolist()), np.int64, len(column)
        )
    if not len(known):
        return np.full(len(column), -1)
    is_known = np.full(len(column), True)
    if column.dtype != known.dtype:  # int64 and uint64: what the other lacks is not there
        is_known = column >= 0 if column.dtype == np.int64 else column < 2**63
        column = column.astype(known.dtype)
    places = np.minimum(np.searchsorted(known, column), len(known) - 1)
    return np.where(is_known & (known[places] == column), places, -1)
