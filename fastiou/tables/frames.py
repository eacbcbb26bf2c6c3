"""Columns as data frames of pandas and polars, neither of which is imported before it is used."""

from __future__ import annotations

from typing import Any

from fastiou.runtime.extras import import_extra
from fastiou.typing import Array

__all__ = ["Framed"]


class Framed:
    """What has columns, and so can be a data frame.

    It is no `abc.ABC`, with which `isinstance` takes ten times as long.
    """

    def columns(self) -> dict[str, Array]:
        """The columns by name, NumPy arrays of one length."""
        raise NotImplementedError

    def to_pandas(self) -> Any:
        """The columns as a data frame of pandas.

        Returns
        -------
        pandas.DataFrame

        Raises
        ------
        ImportError
            pandas is not installed.
        """
        frames = import_extra("pandas", "pandas", "to_pandas()")
        return frames.DataFrame(self.columns())

    def to_polars(self) -> Any:
        """The columns as a data frame of polars.

        Returns
        -------
        polars.DataFrame

        Raises
        ------
        ImportError
            polars is not installed.
        """
        frames = import_extra("polars", "polars", "to_polars()")
        return frames.DataFrame(self.columns())
