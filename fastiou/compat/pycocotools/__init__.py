"""`pycocotools` over fastiou: `mask`, `coco` and `cocoeval` have the names of its files.

`fastiou.compat.init_as_pycocotools` has other programs import these in place of its own.
"""

from __future__ import annotations

__all__ = ["coco", "cocoeval", "mask"]
