"""Values as they stand in messages: short, whatever came."""

from __future__ import annotations

import inspect
import reprlib
import warnings
from typing import Any

__all__ = ["described", "described_dtype", "shortened", "sides", "warn_caller"]


#: Characters of a value, and of what another library says.
LONGEST, LONGEST_REASON = 80, 240

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60


def described(value: Any) -> str:
    """A value in at most `LONGEST` characters."""
    try:
        text = _short.repr(value)
    except Exception:  # of an object's own; Python writes no integer of more than 4,300 digits
        kind = type(value).__name__
        text = f"a very large {kind}" if isinstance(value, int) else f"a value of the type {kind}"
    return shortened(text)


def described_dtype(dtype: Any) -> str:
    """A dtype, which may have any number of fields."""
    return shortened(str(dtype))


def shortened(text: str, longest: int = LONGEST) -> str:
    """A text without its middle, where it is long, and in one line."""
    text = " ".join(text.split())
    if len(text) <= longest:
        return text
    half = (longest - 3) // 2
    return f"{text[:half]}...{text[-half:]}"


def sides(size: tuple[int, int]) -> str:
    """Height and width."""
    return f"{size[0]:,} × {size[1]:,}"


def warn_caller(words: str) -> None:
    """Give a warning at the line that called fastiou, however deep this is called."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] == "fastiou":
        level, frame = level + 1, frame.f_back
    warnings.warn(words, stacklevel=level)
