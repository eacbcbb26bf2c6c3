"""Boxes loaded on a GPU by accesses of 16 bytes."""

from __future__ import annotations

from typing import Any

from fastiou.runtime.gpu_primitives import load4

__all__ = ["load_four_boxes"]


def load_four_boxes(bounds: Any, data: Any, i: int) -> Any:
    """Four neighbouring boxes of the columns, from an `i` that is a multiple of four."""
    left = load4(bounds[0], i)
    top = load4(bounds[1], i)
    right = load4(bounds[2], i)
    bottom = load4(bounds[3], i)
    area = load4(data[0], i)
    aspect = load4(data[1], i)
    x = load4(data[2], i)
    y = load4(data[3], i)
    return (
        (left[0], top[0], right[0], bottom[0], area[0], aspect[0], x[0], y[0]),
        (left[1], top[1], right[1], bottom[1], area[1], aspect[1], x[1], y[1]),
        (left[2], top[2], right[2], bottom[2], area[2], aspect[2], x[2], y[2]),
        (left[3], top[3], right[3], bottom[3], area[3], aspect[3], x[3], y[3]),
    )
