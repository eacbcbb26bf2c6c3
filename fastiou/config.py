"""What fastiou runs on, and compiling ahead."""

from __future__ import annotations

import functools
import importlib.metadata
import multiprocessing
import platform
from collections.abc import Callable
from concurrent import futures
from typing import Any

import numba
import numpy as np

from fastiou.evaluation.detection import average_precision
from fastiou.geometries.masks.mask_set import Masks
from fastiou.relations.dense import box_iou, mask_iou
from fastiou.relations.match import match
from fastiou.relations.nms import nms
from fastiou.relations.pairs import pairs
from fastiou.relations.topk import topk
from fastiou.runtime import gpu_arrays as interop
from fastiou.runtime import tbb, threads
from fastiou.runtime.cache import cache_folder
from fastiou.version import __version__

__all__ = ["configuration", "show_config", "warm_up"]


def configuration() -> dict[str, str]:
    """What fastiou runs on, as name and value."""
    versions = {
        name: importlib.metadata.version(name) for name in ("numba", "llvmlite", "numpy", "scipy")
    }
    try:
        count = f"{threads.thread_count()} of {numba.config.NUMBA_NUM_THREADS}"
        layer = f"{threads.threading_layer()} ({tbb.status})"
    except tbb.LayerError as error:
        count, layer = "none", str(error)
    return {
        "fastiou": __version__,
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        **versions,
        "threads": count,
        "threading layer": layer,
        "GPU": interop.description(),
        "cache folder": cache_folder() or "none can be written; set NUMBA_CACHE_DIR",
    }


def show_config() -> None:
    """Print versions, threads, threading layer, GPU and the folder of compiled kernels.

    Examples
    --------
    >>> import fastiou
    >>> fastiou.show_config()  # doctest: +ELLIPSIS
    fastiou          ...
    """
    facts = configuration()
    width = max(map(len, facts)) + 2
    for name, value in facts.items():
        print(f"{name:<{width}}{value}")


#: Boxes or masks for which scores of each with each deserve threads.
MANY = int(threads.PARALLEL_FROM**0.5) + 1

#: Detections that are work enough for several threads.
EVALUATED = 1 << 15

#: Boxes for the kernels of a few, for an index on one thread, and for an index on several.
SEARCHED = (1, 3000, 1 << 18)

#: Metrics of which the dense kernels are compiled.
COMMON = ("iou", "giou")


def warm_up(progress: Callable[[int, int, str], None] | None = None, processes: int = 1) -> None:
    """Compile the common kernels, so that later processes load them from disk.

    Parameters
    ----------
    progress
        Called after each job with the number done, the number in all, and what it was.
    processes
        How many compile at the same time, if kernels can be kept on disk. Each is a new process.
    """
    names = [name for name, _ in _jobs()]

    def tell(done: int, name: str) -> None:
        if progress is not None:
            progress(done, len(names), name)

    tell(0, names[0])
    if processes == 1 or cache_folder() is None:
        for number, name in enumerate(names):
            _run_job(number)
            tell(number + 1, name)
        return
    context = multiprocessing.get_context("spawn")
    others = multiprocessing.active_children()
    with futures.ProcessPoolExecutor(processes, context) as pool:
        running = {pool.submit(_run_job, number): name for number, name in enumerate(names)}
        try:
            for done, job in enumerate(futures.as_completed(running)):
                job.result()
                tell(done + 1, running[job])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            # Else the pool waits for them: a Ctrl-C ends them by itself, a signal to one does not.
            for child in multiprocessing.active_children():
                if child not in others:
                    child.terminate()
            raise


def _run_job(number: int) -> None:
    """Call for the kernels of a job, in all forms that they may run in."""
    _, job = _jobs()[number]
    for parallel in (True, False) if threads.has_both_forms() else (True,):
        with threads.forced(parallel):
            job()


def _jobs() -> list[tuple[str, Callable[[], None]]]:
    """Calls for which the common kernels are compiled.

    What shares kernels is one job, or two processes would compile them. Jobs that take long come
    first, but the search in float64 when that in float32 has compiled what they share.
    """
    single, double = np.float32, np.float64
    jobs: list[tuple[str, Callable[..., None], tuple[Any, ...]]] = [
        ("search in float32", _search, (single,)),
        ("masks", _use_masks, (MANY,)),
        ("scores of detectors", _evaluate, (EVALUATED,)),
        ("match in float32", _match, (single,)),
        ("match in float64", _match, (double,)),
        ("search in float64", _search, (double,)),
        *((f"{name} in float32", _score, (single, name)) for name in COMMON),
        *((f"{name} in float64", _score, (double, name)) for name in COMMON),
        ("a few masks", _use_masks, (1,)),
    ]
    return [(name, functools.partial(call, *arguments)) for name, call, arguments in jobs]


def _score(dtype: Any, metric: str) -> None:
    """Score a few boxes, and many by the most common metric."""
    for count in (1, MANY) if metric == COMMON[0] else (1,):
        boxes = np.tile(np.array([0, 0, 1, 1], dtype), (count, 1))
        box_iou(boxes, boxes, metric=metric)


def _match(dtype: Any) -> None:
    """Match a few boxes in each way."""
    one = np.array([[0, 0, 1, 1]], dtype)
    for method in ("greedy", "optimal", "coco"):
        match(one, one, method=method, scores=[1] if method == "coco" else None)


def _search(dtype: Any) -> None:
    """Find pairs, the best and what to suppress among a few boxes, some, and very many."""
    for count in SEARCHED:
        places = np.arange(count, dtype=np.float64)
        corners = 2 * np.stack([places % 512, places // 512] * 2, axis=1)
        corners[:, 2:] += 1  # all apart
        boxes = corners.astype(dtype)
        pairs(boxes, boxes)
        topk(boxes, boxes)
        nms(boxes, places)
        box_iou(boxes, boxes, aligned=True)


def _evaluate(count: int) -> None:
    """Score detections that are their own truth."""
    corners = np.tile(np.array([0.0, 0, 1, 1]), (count, 1))
    numbers = np.arange(count)
    columns = {"boxes": corners, "labels": numbers % 2, "image_ids": numbers // 8}
    average_precision({**columns, "scores": numbers / count}, columns)


def _use_masks(count: int) -> None:
    """Pack masks, write and read them as run lengths, and score them."""
    images = np.zeros((count, 64, 64), np.bool_)
    images[:, :9, :9] = True
    images[0, 9, 9] = True
    masks = Masks.from_dense(images)
    Masks.from_rle(masks.to_rle())
    mask_iou(masks, masks)
    mask_iou(masks[1:], masks[1:])  # all with one box
