"""Arrays of NumPy and tensors of PyTorch in one way, for what shims do besides calling fastiou."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

__all__ = ["as_array", "as_dtype", "dtype_name", "is_float", "is_tensor", "library_of", "upcast"]


def is_tensor(value: Any) -> bool:
    """Whether a value is a tensor of PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def library_of(array: Any) -> Any:
    """PyTorch for a tensor, else NumPy: for the functions that both have by one name."""
    return sys.modules["torch"] if is_tensor(array) else np


def as_array(value: Any) -> Any:
    """An array or tensor as it is, and a list as an array."""
    return value if hasattr(value, "dtype") and hasattr(value, "shape") else np.asarray(value)


def dtype_name(array: Any) -> str:
    """The dtype of an array by name, such as "float32"."""
    return str(array.dtype).removeprefix("torch.")


def is_float(array: Any) -> bool:
    """Whether an array holds floats."""
    return "float" in dtype_name(array)


def as_dtype(array: Any, name: str) -> Any:
    """An array in the dtype of this name."""
    if is_tensor(array):
        return array.to(getattr(library_of(array), name))
    return array.astype(name, copy=False)


def upcast(array: Any) -> Any:
    """An array in a dtype that holds products: float32 or wider, int32 or wider."""
    name = dtype_name(array)
    if name in ("float32", "float64", "int32", "int64", "uint32", "uint64"):
        return array
    return as_dtype(array, "float32" if "float" in name else "int32")
