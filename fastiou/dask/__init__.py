"""Boxes of more than one machine: relations and evaluation over Dask arrays and data frames.

Nothing is computed before Dask is asked to. Arguments are checked before any task is scheduled.
Every task is a pure function of `fastiou.blocks`, and runs on the thread of the worker that it was
given. `docs/dask.md` tells what goes where, what it costs, and when one machine is enough.
"""

from __future__ import annotations

try:
    import dask.array
    import dask.dataframe  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError(f"fastiou.dask needs: pip install 'fastiou[dask]' ({error})") from None

from fastiou.dask.evaluation import average_precision, by_key, evaluate
from fastiou.dask.relations import (
    MatchBlocks,
    PairBlocks,
    TopKBlocks,
    box_iou,
    match,
    nms,
    pairs,
    topk,
)

__all__ = [
    "MatchBlocks",
    "PairBlocks",
    "TopKBlocks",
    "average_precision",
    "box_iou",
    "by_key",
    "evaluate",
    "match",
    "nms",
    "pairs",
    "topk",
]
