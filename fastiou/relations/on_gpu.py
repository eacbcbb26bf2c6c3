"""Sets that stay on a GPU: what of the arguments its kernels can prepare, and what is refused."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastiou.arrays.inputs import Input, integers_on_gpu, members_on_gpu, result_dtype
from fastiou.metrics import Metric
from fastiou.relations.thresholds import least_that_suppresses
from fastiou.runtime import chunks
from fastiou.runtime.gpu_arrays import GpuArray, OnGpu
from fastiou.runtime.progress import Progress, progress_callback
from fastiou.search.groups import group_codes
from fastiou.search.search import are_exact, check_sizes, reach_out
from fastiou.typing import Array

if TYPE_CHECKING:
    from fastiou.cuda.cell_sets import Sides
    from fastiou.runtime.gpu import Work

__all__ = ["Codes", "Keeping", "keep_there", "searching", "sets_on_gpu", "sides_on_gpu"]

#: What `group_codes` makes.
Codes = tuple[Array, Array, int]


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


def sides_on_gpu(
    work: Any,
    set1: Input,
    set2: Input,
    metric: Metric,
    threshold: float,
    groups: Any,
    *,
    codes: Codes | None = None,
    prepared_for: Metric | None = None,
) -> Sides:
    """What a search on the GPU in use compares; prepared by the host where a GPU cannot.

    Parameters
    ----------
    groups
        As the argument of `pairs`.
    codes
        In their place, from `group_codes`; -1 leaves a member of the second set out.
    prepared_for
        Metric that members are prepared for, if it is another.
    """
    from fastiou.cuda.cell_sets import Sides

    assert set1.geometry is not None
    itself, sizes = set2 is set1, (set1.size, set2.size)
    check_sizes(sizes)
    given = [some.held for some in ((set1,) if itself else (set1, set2))]
    of_host = sum(some.nbytes for some in given if isinstance(some, np.ndarray))
    work.reserve(of_host, f"a copy of {sum(sizes):,} members")
    made_for, geometry = prepared_for or metric, set1.geometry
    if codes is None:
        own_groups = _groups_on_gpu(work, groups, sizes, itself)
    else:
        # What is left out is in another group than those of the first set that meet none.
        codes1, codes2 = (np.broadcast_to(codes[i], sizes[i]) for i in range(2))
        own_groups = work.copied(codes1), work.copied(np.where(codes2 < 0, np.int32(-2), codes2))

    def sides(layouts: Any, members: Any, is_exact: bool = True) -> Sides:
        return Sides(
            geometry, metric, made_for, result_dtype(set1, set2), sizes, members, layouts,
            own_groups, itself, threshold, is_exact, by_host,
        )  # fmt: skip

    def by_host() -> Sides:
        members = geometry.prepare(set1, set2, made_for)
        for columns in {id(some.bounds): some for some in members}.values():
            reach_out(columns, metric, threshold)
        return sides(None, members, all(are_exact(some.bounds) for some in members))

    if geometry.columns_on_gpu is not None:
        return sides(None, geometry.columns_on_gpu(set1, set2))
    there = sets_on_gpu(work, set1, set2, made_for)
    return by_host() if there is None else sides(*there)


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
def searching(
    place: GpuArray | None, set1: Input, set2: Input, *arguments: Any, **options: Any
) -> Iterator[tuple[Work, Sides]]:
    """Use a GPU for a search, whose further arguments `sides_on_gpu` takes.

    What the host has to say of a member that the GPU refuses is raised.
    """
    from fastiou.cuda.cell_sets import RefusedError
    from fastiou.runtime.gpu import working

    with working(place) as work:
        sides = sides_on_gpu(work, set1, set2, *arguments, **options)
        try:
            yield work, sides
        except RefusedError:
            sides.geometry.prepare(set1, set2, sides.prepared_for)
            raise


class Keeping(NamedTuple):
    """What suppression keeps, or lowers."""

    #: The least score of a member that counts.
    least: float
    #: How many to take at most of each group, for soft methods alone, and to keep in all.
    most: int | None
    most_in_all: int | None
    #: Hard, linear or gaussian, and for the latter how wide.
    method: str
    sigma: float


def keep_there(
    place: GpuArray | None,
    set1: Input,
    metric: Metric,
    threshold: float,
    groups: Any,
    scores: OnGpu | Array,
    keeping: Keeping,
    progress: bool | Progress,
    *,
    stays: bool,
) -> tuple[Any, Any] | None:
    """Those that are kept of a set that is searched on a GPU, and for soft methods their scores.

    They are arrays of the host, or such as `place` has. None where a member or a score is to be
    refused. `scores` are floats.
    """
    from fastiou.cuda.cell_sets import RefusedError
    from fastiou.cuda.nms import keep_on_gpu
    from fastiou.cuda.soft_nms import lower_on_gpu
    from fastiou.runtime.gpu import working

    least = keeping.least
    limit_of = functools.partial(least_that_suppresses, metric, result_dtype(set1), threshold)
    with working(place) as work, contextlib.suppress(RefusedError):
        sides = sides_on_gpu(work, set1, set1, metric, threshold, groups)
        if isinstance(scores, np.ndarray):
            wide = np.float64 if scores.dtype.itemsize > 4 else np.float32
            there = work.copied(chunks.copied(scores, wide))
        else:
            there = scores.flat
        to = place if stays else None
        kept: tuple[Any, Any]
        if keeping.method == "hard":
            kept = keep_on_gpu(work, to, sides, there, least, keeping.most_in_all, limit_of), None
        else:
            sigma = None if keeping.method == "linear" else keeping.sigma
            most = keeping.most, keeping.most_in_all
            kept = lower_on_gpu(work, to, sides, there, least, most, limit_of(0), sigma)
        report, finish = progress_callback(progress)
        if report is not None:
            report(1, 1)
        finish()
        return kept
    return None
