"""What is timed: one table of workloads, and for each library a set-up that gives a callable."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from bench.box_peers import BOX_WORKLOADS
from bench.contenders import LIBRARIES, Call, Contender, Library, Workload, available
from bench.detection_peers import DETECTION_WORKLOADS
from bench.few_peers import FEW_WORKLOADS
from bench.join_peers import JOIN_WORKLOADS
from bench.mask_peers import MASK_WORKLOADS
from bench.pixel_peers import PIXEL_WORKLOADS
from bench.polygon_peers import POLYGON_WORKLOADS
from bench.quadrilateral_peers import QUADRILATERAL_WORKLOADS
from bench.rotated_peers import ROTATED_WORKLOADS
from bench.segment_peers import SEGMENT_WORKLOADS
from bench.single_calls import single_calls
from bench.space_peers import SPACE_WORKLOADS
from bench.track_peers import TRACK_WORKLOADS

__all__ = [
    "LIBRARIES",
    "WORKLOADS",
    "Call",
    "Contender",
    "Library",
    "Workload",
    "available",
    "check_agreement",
    "disagreement",
    "lacking",
    "set_up",
]

WORKLOADS: dict[str, Workload] = {
    **BOX_WORKLOADS,
    **ROTATED_WORKLOADS,
    **QUADRILATERAL_WORKLOADS,
    **POLYGON_WORKLOADS,
    **SPACE_WORKLOADS,
    **FEW_WORKLOADS,
    **JOIN_WORKLOADS,
    **MASK_WORKLOADS,
    **PIXEL_WORKLOADS,
    **DETECTION_WORKLOADS,
    **SEGMENT_WORKLOADS,
    **TRACK_WORKLOADS,
}
WORKLOADS |= single_calls(WORKLOADS)


# ---- getting ready, and agreeing ---------------------------------------------------------------


def lacking(workload: str) -> list[str]:
    """Functions that the workload times and this version of fastiou does not have."""
    import fastiou

    return [name for name in WORKLOADS[workload].functions if not hasattr(fastiou, name)]


def set_up(workload: str, size: int) -> Iterator[tuple[str, Contender, Call]]:
    """Every installed library that does this workload at this size, ready to be called."""
    installed = available()
    row = WORKLOADS[workload]
    scene = row.make(size)
    for name, contender in row.contenders.items():
        if installed[name] and (contender.largest is None or size <= contender.largest):
            yield name, contender, contender.set_up(scene)


def disagreement(first: Any, second: Any) -> float:
    """Largest difference between two results, infinite if their shapes or pairs differ."""
    if isinstance(first, tuple):
        if not all(np.array_equal(first[i], second[i]) for i in (0, 1)):
            return float("inf")
        first, second = first[2], second[2]
    if first.shape != second.shape:
        return float("inf")
    # Some rows at a time: the differences of a large result would need as much memory again.
    step = max(1, 2**20 // max(1, first[:1].size))
    return max(
        (
            float(np.abs(first[row : row + step] - second[row : row + step]).max(initial=0.0))
            for row in range(0, len(first), step)
        ),
        default=0.0,
    )


def check_agreement(workload: str, name: str, expected: Any, result: Any) -> None:
    """Raise unless a library's result is that of fastiou, both as their contenders read them."""
    difference = disagreement(expected, result)
    if not difference <= WORKLOADS[workload].tolerance:
        raise AssertionError(f"{name} differs from fastiou by {difference:g} in {workload}")
