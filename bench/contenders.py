"""What the table of workloads is made of: workloads, libraries, how one does the other, bounds."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = [
    "LIBRARIES",
    "Array",
    "Call",
    "Contender",
    "Library",
    "Pace",
    "Workload",
    "available",
    "fill_bound",
    "read_and_fill_bound",
    "read_bound",
]

Array = npt.NDArray[Any]
Call = Callable[[], Any]


# ---- libraries ---------------------------------------------------------------------------------


class Library(NamedTuple):
    """A library that is timed, or a bound."""

    #: What must be importable.
    module: str = "numpy"
    #: How many threads it uses: all, or one.
    threaded: bool = False
    kind: str = "peer"
    #: What it is installed as, where that is not the module's name.
    distribution: str | None = None


LIBRARIES = {
    "fastiou": Library("fastiou", threaded=True, kind="fastiou"),
    "fastiou, packed": Library("fastiou", threaded=True, kind="fastiou"),
    "fastiou, float32": Library("fastiou", threaded=True, kind="fastiou"),
    "fastiou, 2 threads": Library("fastiou", threaded=True, kind="fastiou"),
    "fastiou, 1 thread": Library("fastiou", kind="fastiou"),
    "streaming fill": Library(threaded=True, kind="bound"),
    "plain fill": Library(threaded=True, kind="bound"),
    "read": Library(threaded=True, kind="bound"),
    "read and fill": Library(threaded=True, kind="bound"),
    "powerboxes": Library("powerboxes", threaded=True),
    "powerboxes serial": Library("powerboxes"),
    "fastbbox": Library("fastbbox"),
    "cython_bbox": Library("cython_bbox"),
    "pycocotools": Library("pycocotools"),
    "hotcoco": Library("hotcoco", threaded=True),
    "faster-coco-eval": Library("faster_coco_eval", threaded=True),
    "simsimd": Library("simsimd", threaded=True),
    "torch formula": Library("torch", threaded=True),
    "torch matmul": Library("torch", threaded=True),
    "NumPy formula": Library(),
    "np.unique": Library(),
    "np.unique int32": Library(),
    "np.bincount": Library(),
    "stardist's formula": Library("scipy"),
    "panopticapi's formula": Library(),
    "scipy COO": Library("scipy"),
    "shapely STRtree": Library("shapely"),
    "shapely, tree ready": Library("shapely"),
    "geoindex-rs": Library("geoindex_rs", distribution="geoindex-rs"),
    "powerboxes R-tree": Library("powerboxes"),
    "lsnms": Library("lsnms"),
    "ncls": Library("ncls"),
    "supervision": Library("supervision"),
    "supervision, dense": Library("supervision", threaded=True),
    "supervision, compact": Library("supervision"),
    "scipy, dense": Library("scipy"),
    "scipy, sparse": Library("shapely"),
    "lapx": Library("lap", distribution="lapx"),
    "trackers": Library("trackers"),
}


def available() -> dict[str, bool]:
    """Which libraries are installed."""
    return {
        name: importlib.util.find_spec(library.module) is not None
        for name, library in LIBRARIES.items()
    }


# ---- workloads ---------------------------------------------------------------------------------


class Contender(NamedTuple):
    """How a library does a workload."""

    #: Makes the call of a scene, which is what the workload makes for a size.
    set_up: Callable[[Any], Call]
    #: Turns what the call returned into the scores, or into rows, columns and scores. Not timed.
    read: Callable[[Any], Any] = np.asarray
    #: The largest size at which it is worth the wait.
    largest: int | None = None


class Pace(NamedTuple):
    """How calls follow one another."""

    title: str = "calls that follow one another"
    #: Seconds of sleep before each call; without, calls are repeated in a loop.
    pause: float = 0.0
    #: What goes on meanwhile.
    meanwhile: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext


class Workload(NamedTuple):
    """Something to do, and who does it."""

    title: str
    #: What a size is.
    size_unit: str
    make: Callable[[int], Any]
    sizes: tuple[int, ...]
    contenders: dict[str, Contender]
    #: Largest difference between results: a few roundings in the dtype of the workload.
    tolerance: float
    #: Sizes of a quick run, each one of `sizes`.
    quick_sizes: tuple[int, ...]
    #: What is made or read, in the plural, and how much of it at a size.
    rate: tuple[str, Callable[[int], int]] | None = None
    #: What a reader of the table must know.
    note: str = ""
    #: Functions of fastiou that it times; a version that lacks one leaves it out.
    functions: tuple[str, ...] = ()
    pace: Pace = Pace()


# ---- bounds ------------------------------------------------------------------------------------


def fill_bound(
    name: str, shape: Callable[[Any], tuple[int, ...]], dtype: Any, *, fresh: bool = False
) -> Contender:
    """Writing as many scores, into the same array again or into a new one."""

    def set_up(scene: Any) -> Call:
        from bench import bounds

        fill = getattr(bounds, name)
        size = shape(scene)
        if fresh:
            return lambda: fill(np.empty(size, dtype))
        out = np.zeros(size, dtype)
        return lambda: fill(out)

    return Contender(set_up)


def read_bound(inputs: Callable[[Any], Iterable[Array]]) -> Contender:
    """Reading all inputs once."""
    return read_and_fill_bound(inputs, lambda scene: [])


def read_and_fill_bound(
    inputs: Callable[[Any], Iterable[Array]], outputs: Callable[[Any], Iterable[tuple[int, Any]]]
) -> Contender:
    """Reading all inputs once and writing arrays of these lengths and dtypes."""

    def set_up(scene: Any) -> Call:
        from bench import bounds

        read = list(inputs(scene))
        written = [np.zeros(length, dtype) for length, dtype in outputs(scene)]

        def call() -> None:
            for part in read:
                bounds.read(part)
            for part in written:
                bounds.plain_fill(part)

        return call

    return Contender(set_up)
