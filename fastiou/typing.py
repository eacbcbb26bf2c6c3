"""Types that are named in many places."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy.typing as npt

__all__ = ["Array"]

#: A NumPy array of any dtype.
Array: TypeAlias = npt.NDArray[Any]
