"""How much boxes overlap, and who matches whom, at the speed of the hardware.

Every public name is loaded when first used: `import fastiou` imports neither Numba nor SciPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastiou.boxes import (
        box_area,
        box_convert,
        box_iou,
        complete_box_iou,
        distance_box_iou,
        generalized_box_iou,
    )
    from fastiou.config import show_config
    from fastiou.matching import Pairs, pairs

__version__ = "0.1.0"

__all__ = [
    "Pairs",
    "__version__",
    "box_area",
    "box_convert",
    "box_iou",
    "complete_box_iou",
    "distance_box_iou",
    "generalized_box_iou",
    "pairs",
    "show_config",
]

_HOMES = {
    "Pairs": "matching",
    "box_area": "boxes",
    "box_convert": "boxes",
    "box_iou": "boxes",
    "complete_box_iou": "boxes",
    "distance_box_iou": "boxes",
    "generalized_box_iou": "boxes",
    "pairs": "matching",
    "show_config": "config",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fastiou' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"fastiou.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
