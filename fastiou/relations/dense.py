"""Scores of every member of one set against every one of another, or of each against its fellow."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from fastiou.arrays import backends
from fastiou.arrays.checks import check_choice, crowd_array, true_or_false
from fastiou.arrays.dense_result import DenseResult
from fastiou.arrays.inputs import Input, hand_back, result_dtype
from fastiou.cpu.dense import LINE, count_tiles, dense_kernels
from fastiou.geometries.masks.masks import MASK
from fastiou.geometries.table import check_metric, geometry_of, read_sets
from fastiou.geometry import Columns, Geometry, unmagnify
from fastiou.metrics import IOF, METRICS, Metric
from fastiou.relations import small
from fastiou.relations.on_gpu import sets_on_gpu
from fastiou.runtime import memory, steps, threads
from fastiou.runtime.threads import PARALLEL_FROM
from fastiou.tables.opened import USUAL, opened, opened_masks
from fastiou.typing import Array

__all__ = [
    "box_iou",
    "complete_box_iou",
    "distance_box_iou",
    "generalized_box_iou",
    "mask_iou",
    "score_sets",
]


#: Results from this size on leave through streaming stores. Below, a core's caches hold them, and
#: whoever reads the result next is served from there.
STREAM_BYTES = 1 << 24

#: What needs no dense result, where it does not fit.
WITHOUT_DENSE = (
    "pairs returns only the pairs above a threshold, and topk the best of each row, without the "
    "dense result"
)

#: Crowds that are scored at a time, so that their scores need little memory besides the result.
CROWDS_AT_A_TIME = 1024

#: Members that are prepared and scored at a time where each is scored against its fellow; of those
#: with many numbers a quarter, unless a compiled call takes fewer yet: boxes with yaw took 1.2
#: times as long on two threads, for the launches.
ALIGNED_AT_A_TIME = 1 << 16
MANY_ROWS = 9


# ---- public functions --------------------------------------------------------------------------


def box_iou(
    boxes1: Any,
    boxes2: Any,
    fmt: str | tuple[str, str] = USUAL,
    *,
    metric: str = "iou",
    aligned: bool = False,
    iscrowd: Any = None,
    out: Any = None,
    device: str = "auto",
    check: bool = False,
) -> Any:
    """Score every box of one set against every box of another.

    Parameters
    ----------
    boxes1 : array_like, shape (..., N, numbers of the format), or (..., N, 4, 2)
        Boxes, of any real dtype and memory layout: NumPy arrays, PyTorch tensors, other arrays that
        speak DLPack, lists, or data frames (pandas, polars, pyarrow), in which a missing number is
        NaN: a column for each number, told by their names if these are no numbers. A `BoxTable`
        brings its format; its keys do not count here. Leading dimensions are batches, which
        broadcast.
    boxes2 : array_like, of the same numbers
        The boxes to compare with; M = N if `aligned`.
    fmt : {"xyxy", "xywh", "cxcywh", "xyxyxyxy"}, or a format of rotated boxes
        What the four numbers are: two corners; the corner with the smaller coordinates and the
        size; the centre and the size. Edges are where the numbers say: a box from 1 to 3 is 2 wide.
        Rotated ones are "cxcywhr", "cxcywhr-rad", "cxcywhr-cw", "cxcywhr-rad-cw" and "xywhr". Their
        fifth number is the angle: in degrees, or radians with "-rad"; counter-clockwise as seen in
        an image, or clockwise with "-cw". ``docs/rotated-boxes.md`` says which library has which.
        "xyxyxyxy" are the corners of a quadrilateral (``docs/quadrilaterals.md``). 3-D boxes are
        "xyzxyz", "cxcyczwhd", and with yaw "xyzwhdr" and "xyzwhdr-bottom" (``docs/boxes-3d.md``).
        "xx" are the start and the end of an interval (``docs/intervals.md``). A tuple of two are
        the formats of the first and the second set, of one geometry; where they differ, both are
        first brought to one by `box_convert`.
    metric : {"iou", "giou", "diou", "ciou", "iof", "ios", "dice", "intersection", "probiou"}
        The score; ``docs/metrics.md`` has the formulas and their sources. "intersection" is an area
        in squared units of the input, all others are without units. Rotated boxes, quadrilaterals
        and 3-D boxes with yaw have "iou", "iof", "ios", "dice" and "intersection". 3-D boxes and
        intervals have "giou" and "diou", too. "probiou" is for rotated boxes alone, and is no IoU.
    aligned : bool
        Score box i against box i only.
    iscrowd : array_like of bool, shape (M,), optional
        Which of `boxes2` are crowds. Their columns hold the intersection over the area of the box
        in `boxes1`, whatever the metric, as COCO does.
    out : array, optional
        Where to write the result: of its shape and dtype, and of any memory layout.
    device : {"auto", "cpu", "cuda"}
        Where to compute: "auto" stays on the GPU that an input is on, and else on the CPU; "cuda"
        needs the extra `cuda` and an NVIDIA GPU.
    check : bool
        Wait for the GPU, where inputs and result lie on one, and raise for boxes that are refused.
        Without it such a call waits for nothing, and they score NaN. All other calls raise anyway.

    Returns
    -------
    array, shape (..., N, M), or (..., N) if aligned
        float32 if both inputs are float16, bfloat16 or float32, else float64; of the library that
        the inputs came from, and besides NumPy there may be one. A box with a NaN scores NaN, an
        empty or inverted box has no overlap.

    Raises
    ------
    TypeError
        Not real numbers; a tensor that requires grad; two array libraries.
    ValueError
        A wrong shape or option, an infinite coordinate, or a quadrilateral whose edges cross.
    MemoryError
        The result would not fit in memory.
    RuntimeError
        `device` is "cuda", and no GPU can be used.

    Notes
    -----
    "xywh" in float64 with the metric "iou" takes areas from width times height, which makes the
    scores those of pycocotools bit for bit. Equal boxes then score 1 within rounding, and not
    exactly as they do otherwise.

    Examples
    --------
    >>> import fastiou
    >>> fastiou.box_iou([[0, 0, 2, 2]], [[1, 0, 3, 2], [5, 5, 6, 6]])
    array([[0.33333333, 0.        ]])
    >>> fastiou.box_iou([[0, 0, 2, 2, 0]], [[0, 0, 2, 2, 45], [0, 0, 2, 2, 90]], "cxcywhr")
    array([[0.70710678, 1.        ]])
    """
    if (
        type(boxes1) is np.ndarray
        and type(boxes2) is np.ndarray
        and iscrowd is None
        and type(device) is str
        and device in ("auto", "cpu")
    ):
        scores = None
        if aligned is False:
            scores = small.dense(boxes1, boxes2, fmt, metric, out, _fill_plain)
        elif aligned is True and out is None:
            scores = small.aligned(boxes1, boxes2, fmt, metric)
        if scores is not None:
            return scores
    names = "boxes1", "boxes2"
    asked = opened(names, boxes1, boxes2, fmt, by_keys=False, boxes_only=True)
    boxes1, boxes2, fmt = asked[:3]
    geometry = geometry_of(fmt)
    return score_sets(
        "box_iou", geometry, names, boxes1, boxes2, fmt, metric, aligned, iscrowd, out, device,
        check=check,
    )  # fmt: skip


def mask_iou(
    masks1: Any,
    masks2: Any,
    *,
    metric: str = "iou",
    aligned: bool = False,
    iscrowd: Any = None,
    out: Any = None,
    device: str = "auto",
    check: bool = False,
) -> Any:
    """Score every mask of one set against every mask of another.

    Parameters
    ----------
    masks1, masks2 : Masks, array_like or list of dict
        Packed masks; dense masks, shape (N, H, W) or (H, W), of any real dtype, where what is not 0
        is foreground; or COCO's run lengths. All of one size. Floats must be whole numbers:
        probabilities become masks by ``Masks.from_dense(array, threshold=0.5)``. Packing takes
        longer than scoring: masks that are used again are better packed once, by `Masks`.
    metric : {"iou", "iof", "ios", "dice", "intersection"}
        The score; ``docs/metrics.md`` has the formulas. "intersection" is a number of pixels.
    aligned : bool
        Score mask i against mask i only.
    iscrowd : array_like of bool, shape (M,), optional
        Which of `masks2` are crowds. Their columns hold the intersection over the area of the mask
        in `masks1`, whatever the metric, as COCO does.
    out : array, optional
        Where to write the result: float64, of its shape, and of any memory layout.
    device : {"auto", "cpu", "cuda"}
        Where to compute: "auto" stays on the GPU that an input is on, and else on the CPU; "cuda"
        needs the extra `cuda` and an NVIDIA GPU.
    check : bool
        Wait for the GPU, where inputs and result lie on one, and raise for floats that are not
        whole numbers; otherwise masks of such floats score NaN. All other calls raise anyway.

    Returns
    -------
    array of float64, shape (N, M), or (N,) if aligned
        Of the library that dense masks came from, else of NumPy. An empty mask scores 0.

    Raises
    ------
    TypeError, ValueError
        Masks of two sizes, floats that are not whole, malformed run lengths, a wrong option.
    MemoryError
        The result would not fit in memory.
    RuntimeError
        `device` is "cuda", and no GPU can be used.

    Examples
    --------
    >>> import fastiou
    >>> fastiou.mask_iou([[[1, 1], [0, 0]]], [[[1, 0], [1, 0]], [[0, 0], [0, 0]]])
    array([[0.33333333, 0.        ]])
    """
    check_choice("metric", metric, MASK.metrics())
    names = "masks1", "masks2"
    return score_sets(
        "mask_iou", MASK, names, *opened_masks(names, masks1, masks2), "", metric, aligned,
        iscrowd, out, device, check=check,
    )  # fmt: skip


def generalized_box_iou(boxes1: Any, boxes2: Any) -> Any:
    """Generalized IoU of corners, by torchvision's name; see `box_iou`.

    Examples
    --------
    >>> import fastiou
    >>> fastiou.generalized_box_iou([[0, 0, 1, 1]], [[2, 0, 3, 1]])
    array([[-0.33333333]])
    """
    return box_iou(boxes1, boxes2, metric="giou")


def distance_box_iou(boxes1: Any, boxes2: Any) -> Any:
    """Distance IoU of corners, by torchvision's name; see `box_iou`.

    Examples
    --------
    >>> import fastiou
    >>> fastiou.distance_box_iou([[0, 0, 1, 1]], [[2, 0, 3, 1]])
    array([[-0.4]])
    """
    return box_iou(boxes1, boxes2, metric="diou")


def complete_box_iou(boxes1: Any, boxes2: Any) -> Any:
    """Complete IoU of corners, by torchvision's name; see `box_iou`.

    Examples
    --------
    >>> import fastiou
    >>> fastiou.complete_box_iou([[0, 0, 1, 1]], [[2, 0, 3, 1]])
    array([[-0.4]])
    """
    return box_iou(boxes1, boxes2, metric="ciou")


# ---- scores of any geometry --------------------------------------------------------------------


def _fill_plain(boxes1: Array, boxes2: Array, fmt: str, metric: str, out: Array | None) -> Array:
    """Fill `out`, or a new array, with dense scores of plain arrays, which were checked."""
    if out is None:
        shape = len(boxes1), len(boxes2)
        what = _described("box_iou", *shape, geometry_of(fmt))
        out = memory.allocate(shape, boxes1.dtype, what, WITHOUT_DENSE)
    geometry = geometry_of(fmt)
    set1 = Input("boxes1", boxes1, boxes1, None, "numpy", None, geometry, fmt)
    set2 = Input("boxes2", boxes2, boxes2, None, "numpy", None, geometry, fmt)
    zero = np.zeros(1, np.int64)
    job = _Job(METRICS[metric], set1, set2, zero, zero, None)
    job.fill(out.reshape(1, *out.shape), slice(None), 0)
    return out


def score_sets(
    function: str,
    geometry: Geometry,
    names: tuple[str, str],
    a: Any,
    b: Any,
    fmt: str,
    metric: str,
    aligned: bool,
    iscrowd: Any,
    out: Any,
    device: str,
    *,
    check: bool = False,
) -> Any:
    """What a public function of these `names` of arguments returns."""
    chosen = check_metric(metric, geometry)
    aligned, check = true_or_false("aligned", aligned), true_or_false("check", check)
    backends.check_device(device, geometry)
    set1, set2 = read_sets(geometry, names, a, b, fmt, batches=True)
    if iscrowd is None and out is None and device != "cuda":
        scores = _few(set1, set2, fmt, metric, aligned)
        if scores is not None:
            return hand_back(scores, set1, set2)
    crowd = None if iscrowd is None else crowd_array(iscrowd, set2.size, names[1])
    make = _aligned_result if aligned else _dense_result
    return make(function, chosen, set1, set2, crowd).compute(out, device, check=check)


def _few(set1: Input, set2: Input, fmt: str, metric: str, aligned: bool) -> Array | None:
    """The scores of a few members, in one compiled call; None where that cannot be."""
    if set1.size * (1 if aligned else set2.size) >= PARALLEL_FROM:
        return None
    plain = small.plain_arrays(set1, set2)
    if plain is None:
        return None
    if aligned:
        return small.aligned(plain[0], plain[1], fmt, metric)
    return small.dense(plain[0], plain[1], fmt, metric, None, _fill_plain)


def _described(function: str, rows: int, columns: int, geometry: Geometry) -> str:
    return f"{function} of {rows:,} × {columns:,} {geometry.plural}"


def _dense_result(
    function: str, metric: Metric, set1: Input, set2: Input, crowd: Array | None
) -> DenseResult:
    """All against all."""
    assert set1.geometry is not None
    batch_shape = _broadcast_batches(set1, set2)
    rows, columns = set1.size, set2.size
    batches = math.prod(batch_shape)

    def starts(given: Input) -> Array:
        if not batch_shape:
            return np.zeros(1, np.int64)
        first = np.arange(math.prod(given.batches), dtype=np.int64).reshape(given.batches)
        return np.broadcast_to(first * given.size, batch_shape).ravel()

    job = _Job(metric, set1, set2, starts(set1), starts(set2), crowd)
    return DenseResult(
        (set1, set2),
        (*batch_shape, rows, columns),
        result_dtype(set1, set2),
        (batches, rows, columns),
        _described(function, rows, columns, set1.geometry)
        + (f" in {batches:,} batches" if batch_shape else ""),
        WITHOUT_DENSE,
        job.fill,
        job.fill_on_gpu,
        job.check_on_gpu,
    )


def _aligned_result(
    function: str, metric: Metric, set1: Input, set2: Input, crowd: Array | None
) -> DenseResult:
    """Member i against member i."""
    assert set1.geometry is not None
    if set1.size != set2.size:
        name1, name2 = set1.name, set2.name
        raise ValueError(
            f"aligned=True needs as many {name1} as {name2}, got {_sizes_of(set1, set2)}"
        )
    shape = (*_broadcast_batches(set1, set2), set1.size)
    count = math.prod(shape)

    def spread(given: Input) -> Input:
        if given.batches == shape[:-1] == ():
            return given
        numbers = given.held.shape[-1]
        if given.batches == shape[:-1]:
            return given._replace(held=given.held.reshape(count, numbers))
        array = np.broadcast_to(given.array, (*shape, numbers))
        return given._replace(held=array.reshape(count, numbers))

    spread1 = spread(set1)
    spread2 = spread1 if set2.held is set1.held else spread(set2)
    zero = np.zeros(1, np.int64)
    crowds = None if crowd is None else np.broadcast_to(crowd, shape).reshape(-1)
    job = _Job(metric, spread1, spread2, zero, zero, crowds)
    return DenseResult(
        (set1, set2),
        shape,
        result_dtype(set1, set2),
        (1, count, 1),
        f"{function} of {count:,} aligned {set1.geometry.plural}",
        "score fewer at a time",
        job.fill_aligned,
        job.fill_aligned_on_gpu,
        job.check_on_gpu,
        may_raise_late=count > ALIGNED_AT_A_TIME,
    )


def _sizes_of(set1: Input, set2: Input) -> str:
    if set1.fmt:
        return f"shapes {set1.held.shape} and {set2.held.shape}"
    return f"{set1.size:,} and {set2.size:,}"


def _broadcast_batches(set1: Input, set2: Input) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(set1.batches, set2.batches)
    except ValueError:
        raise ValueError(
            f"leading dimensions of {set1.name} and {set2.name} must broadcast, got "
            f"{set1.batches} and {set2.batches}"
        ) from None


class _Job:
    """Scores to be computed; the sets are prepared when the first part of them is asked for.

    Crowds are columns of which the scores are made once more, by `IOF`, from what was prepared for
    the metric.

    Parameters
    ----------
    starts1, starts2
        First member of each batch.
    crowd
        Which members of a batch of the second set are crowds; None if none are.
    """

    def __init__(
        self,
        metric: Metric,
        set1: Input,
        set2: Input,
        starts1: Array,
        starts2: Array,
        crowd: Array | None,
    ) -> None:
        assert set1.geometry is not None
        self._metric, self._geometry = metric, set1.geometry
        self._sets = set1, set2
        self._starts1, self._starts2 = starts1, starts2
        self._crowd = crowd if crowd is not None and crowd.any() else None
        self._prepared: tuple[Columns, Columns] | None = None

    def _columns(self, phase: int = 0) -> tuple[Columns, Columns]:
        if self._prepared is None:
            self._prepared = self._geometry.prepare(*self._sets, self._metric, phase=phase)
        return self._prepared

    def fill(self, scores: Array, batches: slice, first_row: int) -> None:
        """Fill scores (batches, rows, columns), beginning with this row."""
        columns1, columns2 = self._columns(scores.ctypes.data % 64)
        starts1, starts2 = self._starts1[batches] + first_row, self._starts2[batches]
        _, rows, columns = scores.shape
        self._launch(self._metric, columns1, columns2, starts1, starts2, scores)
        if self._metric.has_units:
            unmagnify(scores, columns1.exponent)
        for part, start1, start2 in zip(scores, starts1, starts2, strict=True):
            if self._crowd is not None:
                self._fill_crowds(columns1, columns2, start1, start2, part)
            if columns1.missing is not None:
                part[columns1.missing[start1 : start1 + rows]] = np.nan
            if columns2.missing is not None:
                part[:, columns2.missing[start2 : start2 + columns]] = np.nan

    def _launch(
        self,
        metric: Metric,
        columns1: Columns,
        columns2: Columns,
        starts1: Array,
        starts2: Array,
        scores: Array,
    ) -> None:
        if self._geometry.dense is not None:
            self._geometry.dense(metric, columns1, columns2, int(starts1[0]), scores[0])
            return
        batches, rows, columns = scores.shape
        tiles = batches * count_tiles(rows, columns, scores.itemsize)
        each = -(-scores.size // tiles) * self._geometry.cost(columns2)
        kernel = dense_kernels(self._geometry, metric).dense
        for first, last, work in steps.ranges(tiles, each):
            threads.run(
                kernel, work, *columns1[:2], *columns2[:2], starts1, starts2, scores,
                scores.nbytes >= STREAM_BYTES, first, last,
            )  # fmt: skip

    def _fill_crowds(
        self, columns1: Columns, columns2: Columns, start1: int, start2: int, part: Array
    ) -> None:
        """Overwrite the columns of crowds of one batch."""
        assert self._crowd is not None
        crowd = np.flatnonzero(self._crowd)
        starts1, zero = np.full(1, start1), np.zeros(1, np.int64)
        for first in range(0, len(crowd), CROWDS_AT_A_TIME):
            some = crowd[first : first + CROWDS_AT_A_TIME]
            scores = np.empty((1, len(part), len(some)), part.dtype)
            self._launch(IOF, columns1, columns2.taken(start2 + some), starts1, zero, scores)
            part[:, some] = scores[0]

    def fill_aligned(self, scores: Array, batches: slice, first_row: int) -> None:
        """Fill scores (1, n, 1), beginning with this member of each.

        Members are prepared and scored some at a time, so that what is prepared stays in the
        caches: aligned scores of a million rotated boxes took 54 ns each otherwise.
        How they are computed is a matter of the two sets as a whole. So where some of them ask for
        another way than others, which is rare, all are prepared at once.
        """
        flat = scores.reshape(-1)
        ways = set()
        own_small = self._geometry.small
        has_many = own_small is not None and own_small.data_rows > MANY_ROWS
        step = ALIGNED_AT_A_TIME // (4 if has_many and not self._is_plain() else 1)
        step = len(flat) if self._needs_all_at_once() else step
        for begin in range(0, len(flat), max(step, 1)):
            own = slice(begin, begin + step)
            ways.add(self._fill_some_aligned(flat[own], first_row + begin))
            if len(ways) > 1:
                self._fill_some_aligned(flat, first_row)
                break

    def _is_plain(self) -> bool:
        """Whether a compiled call prepares some and scores them at once, as `small` does."""
        a, b = (given.held for given in self._sets)
        known = isinstance(a, np.ndarray) and isinstance(b, np.ndarray)
        return known and small.kind_of(a, b, self._sets[0].fmt, self._metric.name) is not None

    def _needs_all_at_once(self) -> bool:
        """Whether a set has integers of 64 bits, which share an origin."""
        arrays = [given.array for given in self._sets if isinstance(given.array, np.ndarray)]
        return any(array.dtype.kind in "iu" and array.dtype.itemsize == 8 for array in arrays)

    def _fill_some_aligned(self, scores: Array, first: int) -> tuple[Any, int]:
        """Fill scores (n,) from this member on, and tell in which way they were computed."""
        own = slice(first, first + len(scores))
        set1, set2 = (given._replace(held=given.array[own]) for given in self._sets)
        if self._sets[1].array is self._sets[0].array:
            set2 = set1
        if self._crowd is None and small.fill_aligned(set1, set2, self._metric, scores):
            return scores.dtype, 0
        columns1, columns2 = self._geometry.prepare(set1, set2, self._metric)
        self._launch_aligned(self._metric, columns1, columns2, scores)
        if self._metric.has_units:
            unmagnify(scores, columns1.exponent)
        if self._crowd is not None:
            of_crowds = np.empty_like(scores)
            self._launch_aligned(IOF, columns1, columns2, of_crowds)
            np.copyto(scores, of_crowds, where=self._crowd[own])
        for columns in (columns1, columns2):
            if columns.missing is not None:
                scores[columns.missing] = np.nan
        return columns1.data.dtype, columns1.exponent

    def _launch_aligned(
        self, metric: Metric, columns1: Columns, columns2: Columns, scores: Array
    ) -> None:
        kernel = dense_kernels(self._geometry, metric).aligned
        # The kernel computes whole lines.
        lines, each = -(-len(scores) // LINE), LINE * self._geometry.cost(columns2)
        for first, last, work in steps.ranges(lines, each):
            begin, end = first * LINE, min(last * LINE, len(scores))
            threads.run(kernel, work, *columns1[:2], *columns2[:2], scores, begin, end)

    # ---- the same on a GPU ---------------------------------------------------------------------

    @functools.cached_property
    def _gpu_scores(self) -> Any:
        from fastiou.cuda.dense import GpuScores

        if self._geometry.on_gpu is not None:
            return self._geometry.on_gpu(self._metric, *self._sets, self._crowd)
        return GpuScores(self._geometry, self._metric, self._ready_on_gpu, self._crowd)

    def _ready_on_gpu(self, work: Any) -> Any:
        """Both sets on the GPU: prepared there, or where that cannot be, by the host."""
        from fastiou.cuda import prepare

        sets, ready = sets_on_gpu(work, *self._sets, self._metric), None
        if sets is not None:
            ready = prepare.prepared(work, self._geometry, self._metric, *sets)
        return ready or prepare.copied(work, *self._columns(), self._metric.has_units)

    def check_on_gpu(self, work: Any) -> None:
        """Raise for what is to be refused, as the host does. It waits for the GPU."""
        if self._gpu_scores.is_refused(work):
            self._columns()

    def fill_on_gpu(self, work: Any, scores: Any, batches: slice, first_row: int) -> None:
        """Fill C-contiguous scores (batches, rows, columns) on the device."""
        starts1, starts2 = self._starts1[batches] + first_row, self._starts2[batches]
        self._gpu_scores.fill_dense(work, scores, starts1, starts2)

    def fill_aligned_on_gpu(self, work: Any, scores: Any, batches: slice, first_row: int) -> None:
        """Fill C-contiguous scores (1, n, 1) on the device."""
        self._gpu_scores.fill_aligned(work, scores.reshape(scores.size), first_row)
