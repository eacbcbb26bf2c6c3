"""Sets that stay on a GPU: what of the arguments its kernels can prepare, and what is refused."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fastiou.arrays.inputs import Input, integers_on_gpu, members_on_gpu, result_dtype
from fastiou.geometry import PADDING
from fastiou.metrics import Metric
from fastiou.relations.thresholds import least_that_suppresses
from fastiou.runtime import gpu_arrays
from fastiou.runtime.gpu_arrays import GpuArray
from fastiou.runtime.progress import Progress, progress_callback
from fastiou.search.groups import group_codes

if TYPE_CHECKING:
    from fastiou.cuda.cell_sets import Sides

__all__ = ["keep_there", "may_search_there", "refused_here", "sets_on_gpu", "sides_on_gpu"]


def sets_on_gpu(work: Any, set1: Input, set2: Input, metric: Metric) -> tuple[Any, Any] | None:
    """How members of two sets are prepared on the GPU in use, and they; None where a GPU cannot."""
    layouts = _layouts(set1, set2, metric)
    members = None if layouts is None else members_on_gpu(work, set1, set2)
    return None if members is None else (layouts, members)


def _layouts(set1: Input, set2: Input, metric: Metric) -> Any:
    from fastiou.cuda.prepare import layouts_of

    if not set1.fmt:
        return None
    assert set1.geometry is not None
    sources = set1.held.dtype, set2.held.dtype
    return layouts_of(set1.geometry, set1.fmt, metric, sources, result_dtype(set1, set2))


def may_search_there(set1: Input, set2: Input, metric: Metric) -> bool:
    """Whether sets of which one is on a GPU may be prepared and searched there."""
    if (set1.gpu is None and set2.gpu is None) or gpu_arrays.problem() is not None:
        return False
    fewer = max(set1.size, set2.size) < 2**31 - PADDING
    return fewer and _layouts(set1, set2, metric) is not None


def sides_on_gpu(
    work: Any, set1: Input, set2: Input, metric: Metric, threshold: float, groups: Any
) -> Sides | None:
    """What a search on the GPU in use compares; None where kernels cannot read an array."""
    from fastiou.cuda.cell_sets import Sides

    sets = sets_on_gpu(work, set1, set2, metric)
    if sets is None:
        return None
    assert set1.geometry is not None
    itself = set2 is set1
    codes = _groups_on_gpu(work, groups, (set1.size, set2.size), itself)
    dtype = result_dtype(set1, set2)
    return Sides(set1.geometry, metric, dtype, *sets, codes, itself, threshold)


def _groups_on_gpu(work: Any, groups: Any, sizes: tuple[int, int], itself: bool) -> tuple[Any, Any]:
    """The argument `groups` as integers on the GPU in use, where it mostly is; None without it."""
    if groups is None:
        return None, None
    parts = (groups,) if itself else groups
    if itself or (isinstance(groups, tuple | list) and len(groups) == 2):
        there = [integers_on_gpu(part, size) for part, size in zip(parts, sizes, strict=False)]
        if all(part is not None for part in there):
            return there[0], there[-1]
    codes1, codes2, _ = group_codes(groups, sizes, itself=itself)
    return work.copied(codes1), work.copied(codes2)


@contextlib.contextmanager
def refused_here(set1: Input, set2: Input, metric: Metric) -> Iterator[None]:
    """Raise what the host has to say of a member that a GPU refused."""
    from fastiou.cuda.cell_sets import RefusedError

    try:
        yield
    except RefusedError:
        assert set1.geometry is not None
        set1.geometry.prepare(set1, set2, metric)
        raise


def keep_there(
    place: GpuArray | None,
    set1: Input,
    metric: Metric,
    threshold: float,
    groups: Any,
    scores: Any,
    least: float,
    most: int | None,
    progress: bool | Progress,
) -> Any | None:
    """Those that are kept of a set that is prepared and searched on a GPU; None if it cannot be.

    That is so, too, where a member or a score is to be refused.
    """
    from fastiou.cuda.cell_nms import keep_in_cells
    from fastiou.cuda.cell_sets import RefusedError
    from fastiou.runtime.gpu import working

    assert place is not None
    limit_of = functools.partial(least_that_suppresses, metric, result_dtype(set1), threshold)
    with working(place) as work:
        sides = sides_on_gpu(work, set1, set1, metric, threshold, groups)
        if sides is None:
            return None
        try:
            kept = keep_in_cells(work, place, sides, scores.flat, least, most, limit_of)
        except RefusedError:
            return None
    report, finish = progress_callback(progress)
    if report is not None:
        report(1, 1)
    finish()
    return kept
