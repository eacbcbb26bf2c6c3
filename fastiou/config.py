"""What fastiou runs on, and compiling ahead."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from fastiou.geometries.masks.mask_set import Masks
from fastiou.metrics import METRICS
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
    return {
        "fastiou": __version__,
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        **versions,
        "threads": f"{threads.thread_count()} of {numba.config.NUMBA_NUM_THREADS}",
        "threading layer": f"{threads.threading_layer()} ({tbb.status})",
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


#: Boxes enough for an index, on one thread, and for all of its kernels on several.
SEARCHED = {"some": 3000, "very many": 1 << 18}


def warm_up(progress: Callable[[int, int, str], None] | None = None) -> None:
    """Compile the common kernels, so that later processes load them from disk.

    Parameters
    ----------
    progress
        Called before each kernel with the number done, the number in all, and what comes next.
    """
    sizes = {"a few": 1, "many": int(threads.PARALLEL_FROM**0.5) + 1}
    jobs: list[tuple[str, Callable[[], Any]]] = []
    for dtype in (np.float32, np.float64):
        for size, count in sizes.items():
            boxes = np.tile(np.array([0, 0, 1, 1], dtype), (count, 1))
            for metric in METRICS:
                score = functools.partial(box_iou, boxes, boxes, metric=metric)
                jobs.append((f"{metric} of {size} {dtype.__name__} boxes", score))
            # With crowds a small call takes the general way, as it does from another library.
            general = functools.partial(box_iou, boxes, boxes, iscrowd=np.ones(count, bool))
            jobs.append((f"iou of {size} {dtype.__name__} boxes and crowds", general))
            aligned = functools.partial(box_iou, boxes, boxes, aligned=True)
            jobs.append((f"aligned iou of {size} {dtype.__name__} boxes", aligned))
        for size, count in SEARCHED.items():
            places = np.arange(count, dtype=np.float64)
            corners = 2 * np.stack([places % 512, places // 512] * 2, axis=1)
            corners[:, 2:] += 1  # all apart
            boxes = corners.astype(dtype)
            for name, search in (
                ("pairs", functools.partial(pairs, boxes, boxes)),
                ("best", functools.partial(topk, boxes, boxes)),
                ("suppression", functools.partial(nms, boxes, places)),
            ):
                jobs.append((f"{name} of {size} {dtype.__name__} boxes", search))
        for method, scores in (("greedy", None), ("optimal", None), ("coco", [1])):
            assign = functools.partial(match, boxes[:1], boxes[:1], method=method, scores=scores)
            jobs.append((f"{method} match of {dtype.__name__} boxes", assign))
    for size, count in sizes.items():
        jobs.append((f"{size} masks", functools.partial(_use_masks, count)))
    for done, (name, job) in enumerate(jobs):
        if progress is not None:
            progress(done, len(jobs), name)
        for parallel in (True, False) if threads.has_both_forms() else (True,):
            with threads.forced(parallel):
                job()
    if progress is not None:
        progress(len(jobs), len(jobs), "done")


def _use_masks(count: int) -> None:
    """Pack masks, write and read them as run lengths, and score them."""
    images = np.zeros((count, 64, 64), np.bool_)
    images[:, :9, :9] = True
    images[0, 9, 9] = True
    masks = Masks.from_dense(images)
    Masks.from_rle(masks.to_rle())
    mask_iou(masks, masks)
    mask_iou(masks[1:], masks[1:])  # all with one box
    pairs(masks, masks)
