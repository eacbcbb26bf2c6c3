"""Columns of data frames: pandas, polars and pyarrow, none of which is imported.

Their types are looked at only where a caller's program has loaded the library.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from fastiou.typing import Array

__all__ = [
    "FEW",
    "frame_array",
    "frame_columns",
    "index_columns",
    "is_frame",
    "some_values",
    "unnamed_indexes",
]


#: Values that are looked at of a column that is not used. Of a million names, all took 0.8 s, and
#: these take 1 ms.
FEW = 1 << 11

#: Types of data frames.
FRAMES = (
    ("pandas", "DataFrame"),
    ("polars", "DataFrame"),
    ("pyarrow", "Table"),
    ("pyarrow", "RecordBatch"),
)


def is_frame(kind: type) -> bool:
    """Whether values of a type are data frames or tables."""
    loaded = [getattr(sys.modules.get(name), frame, None) for name, frame in FRAMES]
    return issubclass(kind, tuple(frame for frame in loaded if frame is not None))


def frame_columns(value: Any) -> list[tuple[str, Any]] | None:
    """The columns of a data frame or table by name; None for anything else."""
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(value, pandas.DataFrame):
        return [(str(name), value.iloc[:, place]) for place, name in enumerate(value.columns)]
    polars = sys.modules.get("polars")
    if polars is not None and isinstance(value, polars.DataFrame):
        return [(column.name, column) for column in value.get_columns()]
    pyarrow = sys.modules.get("pyarrow")
    if pyarrow is not None and isinstance(value, pyarrow.Table | pyarrow.RecordBatch):
        return list(zip(value.schema.names, value.columns, strict=True))
    return None


def index_columns(value: Any) -> list[tuple[str, Any]]:
    """The levels of a pandas index that have names, which no column has; none of other frames."""
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(value, pandas.DataFrame):
        return []
    known = set(map(str, value.columns))
    return [
        (str(name), value.index.get_level_values(place))
        for place, name in enumerate(value.index.names)
        if name is not None and str(name) not in known
    ]


def unnamed_indexes(value: Any) -> list[Array]:
    """The levels of a pandas index that have no names, but for a plain numbering; else none.

    Whole numbers are int64, and all else is text.
    """
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(value, pandas.DataFrame):
        return []
    if isinstance(value.index, pandas.RangeIndex):
        return []
    levels = [
        value.index.get_level_values(place)
        for place, name in enumerate(value.index.names)
        if name is None
    ]
    return [
        level.to_numpy().astype(np.int64)
        if _are_whole(level)
        else np.array([str(name) for name in level], np.str_)
        for level in levels
    ]


def _are_whole(level: Any) -> bool:
    """Whether a level of an index is of whole numbers, floats or not, none of which is missing."""
    if getattr(level.dtype, "kind", "O") not in "iuf" or level.hasnans:
        return False
    numbers = level.to_numpy(np.float64)
    return bool((np.isfinite(numbers) & (numbers == np.floor(numbers))).all())


def some_values(column: Any) -> list[Any]:
    """Values of a column from its beginning, and from everywhere behind; none of what is none."""
    if isinstance(column, str) or not hasattr(column, "__len__"):
        return []
    cut = getattr(column, "iloc", column)  # a slice of a series may go by its labels
    return [*cut[:FEW], *cut[FEW :: max(1, len(column) // FEW)]]


def frame_array(value: Any) -> Array | None:
    """A frame (n, columns) or one column (n,) as a NumPy array; None for anything else.

    A missing number is NaN, for which integers become float64.
    """
    columns = frame_columns(value)
    if columns is None:
        return _column(value)
    arrays = [_column(column) for _, column in columns]
    known = [np.empty(0) if array is None else array for array in arrays]
    return np.stack(known, axis=1) if known else np.empty((len(value), 0))


def _column(value: Any) -> Array | None:
    """One column; None for what is none."""
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(
        value, pandas.Series | pandas.Index | pandas.api.extensions.ExtensionArray
    ):
        array: Array
        if isinstance(value.dtype, np.dtype):
            array = value.to_numpy()
        elif not pandas.api.types.is_numeric_dtype(value.dtype):
            array = np.asarray(value)
        elif value.isna().any():
            single = getattr(value.dtype, "itemsize", 8) == 4 and value.dtype.kind == "f"
            array = value.to_numpy(np.float32 if single else np.float64, na_value=np.nan)
        else:
            array = value.to_numpy(getattr(value.dtype, "numpy_dtype", None))
        return array
    polars = sys.modules.get("polars")
    if polars is not None and isinstance(value, polars.Series):
        array = value.to_numpy()
        return array
    pyarrow = sys.modules.get("pyarrow")
    if pyarrow is not None and isinstance(value, pyarrow.Array | pyarrow.ChunkedArray):
        if isinstance(value, pyarrow.ChunkedArray):
            array = value.to_numpy()
        else:
            array = value.to_numpy(zero_copy_only=False)
        return array
    return None
