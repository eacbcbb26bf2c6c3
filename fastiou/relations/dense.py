"""Scores of boxes: dense and aligned, and what goes with boxes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastiou.arrays import backends
from fastiou.arrays.checks import check_choice, crowd_array
from fastiou.arrays.dense_result import DenseResult
from fastiou.arrays.inputs import Input, box_array, check_one_library, hand_back, result_dtype
from fastiou.cpu.dense import count_tiles, dense_kernel, pairwise
from fastiou.geometries.box_columns import LAYOUTS, PADDING, BoxColumns
from fastiou.geometries.boxes import (
    area_of_sides,
    prepare,
    refuse_infinite,
    unmagnify,
)
from fastiou.metrics import METRICS
from fastiou.runtime import steps, threads

__all__ = [
    "box_area",
    "box_convert",
    "box_iou",
    "complete_box_iou",
    "distance_box_iou",
    "generalized_box_iou",
]

Array = npt.NDArray[Any]

_FLOAT32 = np.dtype(np.float32)
_FLOAT64 = np.dtype(np.float64)

#: Results from this size on leave through streaming stores. Below, a core's caches hold them, and
#: whoever reads the result next is served from there.
STREAM_BYTES = 1 << 24

#: Scores of a part in which a result of another memory layout is computed.
PART_SCORES = 1 << 20


# ---- dense and aligned scores ------------------------------------------------------------------


def box_iou(
    boxes1: Any,
    boxes2: Any,
    fmt: str = "xyxy",
    *,
    metric: str = "iou",
    aligned: bool = False,
    iscrowd: Any = None,
    out: Any = None,
    device: str = "auto",
) -> Any:
    """Score every box of one set against every box of another.

    Parameters
    ----------
    boxes1 : array_like, shape (..., N, 4)
        Boxes, of any real dtype and memory layout: NumPy arrays, PyTorch tensors, other arrays that
        speak DLPack, or lists. Leading dimensions are batches, which broadcast.
    boxes2 : array_like, shape (..., M, 4)
        The boxes to compare with; M = N if `aligned`.
    fmt : {"xyxy", "xywh", "cxcywh"}
        What the four numbers are: two corners; the corner with the smaller coordinates and the
        size; the centre and the size. Edges are where the numbers say: a box from 1 to 3 is 2 wide.
    metric : {"iou", "giou", "diou", "ciou", "iof", "ios", "dice", "intersection"}
        The score; ``docs/metrics.md`` has the formulas and their sources. "intersection" is an area
        in squared units of the input, all others are without units.
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
        A wrong shape or option, or an infinite coordinate.
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
    """
    of_numpy = type(boxes1) is np.ndarray and type(boxes2) is np.ndarray
    if of_numpy and not aligned and iscrowd is None and device in ("auto", "cpu"):
        scores = _plain_scores(boxes1, boxes2, fmt, metric, out)
        if scores is not None:
            return scores
    check_choice("fmt", fmt, LAYOUTS)
    check_choice("metric", metric, METRICS)
    backends.check_device(device)
    given1 = box_array("boxes1", boxes1)
    given2 = given1 if boxes2 is boxes1 else box_array("boxes2", boxes2)
    check_one_library(given1, given2)
    crowd = None
    if iscrowd is not None:
        crowd = crowd_array(iscrowd, given2.array.shape[-2], "boxes2")
    result = _aligned_result if aligned else _dense_result
    return result(given1, given2, fmt, metric, crowd).compute(out, device)


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


# What a few boxes of the common kind need, looked up by (metric, fmt, dtype): kernel, layout number
# and `area_of_sides`. Everything else about a 10 × 10 call would take longer than its scores.
_small: dict[tuple[str, str, np.dtype[Any]], tuple[Callable[..., Any], int, bool]] = {}


def _plain_scores(boxes1: Array, boxes2: Array, fmt: str, metric: str, out: Any) -> Any:
    """Dense scores of plain NumPy arrays without a detour, None if the long way has to be taken.

    With what a call for lists, tensors and options passes through, 10,000 × 10,000 take 1 % longer.
    """
    dtype = boxes1.dtype
    if (
        dtype is not boxes2.dtype
        or boxes1.ndim != 2
        or boxes2.ndim != 2
        or boxes1.shape[1] != 4
        or boxes2.shape[1] != 4
        or not boxes1.flags.carray
        or not boxes2.flags.carray
    ):
        return None
    try:
        kernel, layout, by_sides = _small[metric, fmt, dtype]
    except (KeyError, TypeError):
        if not (
            isinstance(metric, str)
            and isinstance(fmt, str)
            and metric in METRICS
            and metric != "ciou"
            and fmt in LAYOUTS
            and dtype in (_FLOAT32, _FLOAT64)
        ):
            return None
        kernel = pairwise(metric).small.serial
        layout, by_sides = LAYOUTS[fmt], area_of_sides(fmt, metric, dtype)
        _small[metric, fmt, dtype] = kernel, layout, by_sides
    shape = len(boxes1), len(boxes2)
    is_small = shape[0] * shape[1] < threads.PARALLEL_FROM
    if out is None:
        if not is_small:
            return None
        scores = np.empty(shape, dtype)
    elif type(out) is np.ndarray and out.dtype is dtype and out.shape == shape and out.flags.carray:
        scores = out
    else:
        return None
    if is_small:
        return scores if kernel(boxes1, boxes2, layout, by_sides, scores) else None
    given1 = Input("boxes1", boxes1, boxes1, None, "numpy")
    given2 = given1 if boxes2 is boxes1 else Input("boxes2", boxes2, boxes2, None, "numpy")
    columns1, columns2, exponent = prepare(
        given1, given2, fmt, metric, phase=scores.ctypes.data % 64
    )
    dense = _Dense(metric, columns1, columns2, _ONE_BATCH, _ONE_BATCH, exponent, None)
    dense.fill(scores.reshape(1, *shape), slice(None), 0)
    return scores


#: The first box of a single batch.
_ONE_BATCH = np.zeros(1, np.int64)


class _Dense(NamedTuple):
    """A result to be computed: batches of rows against batches of columns, or box against box."""

    metric: str
    columns1: BoxColumns
    columns2: BoxColumns
    #: First box of each batch.
    starts1: Array
    starts2: Array
    #: By which power of two the columns are magnified.
    exponent: int
    crowd: Array | None

    def fill(self, scores: Array, batches: slice, first_row: int) -> None:
        """Fill C-contiguous scores (batch, row, column), beginning with row `first_row`."""
        starts1 = self.starts1[batches] + first_row
        starts2 = self.starts2[batches]
        _, rows, columns = scores.shape
        self._launch(self.metric, starts1, starts2, self.columns2, scores)
        if METRICS[self.metric].maximum is None:
            unmagnify(scores, self.exponent)
        if self.crowd is not None and self.crowd.any():
            self._fill_crowds(starts1, starts2, scores)
        missing1, missing2 = self.columns1.missing, self.columns2.missing
        for batch, (start1, start2) in enumerate(zip(starts1, starts2, strict=True)):
            if missing1 is not None:
                scores[batch, missing1[start1 : start1 + rows]] = np.nan
            if missing2 is not None:
                scores[batch][:, missing2[start2 : start2 + columns]] = np.nan

    def fill_aligned(self, scores: Array) -> None:
        """Fill scores (n,): box i against box i."""
        self._launch_aligned(self.metric, scores)
        if METRICS[self.metric].maximum is None:
            unmagnify(scores, self.exponent)
        if self.crowd is not None:
            of_crowds = np.empty_like(scores)
            self._launch_aligned("iof", of_crowds)
            np.copyto(scores, of_crowds, where=self.crowd)
        for columns in (self.columns1, self.columns2):
            if columns.missing is not None:
                scores[columns.missing] = np.nan

    def _launch_aligned(self, metric: str, scores: Array) -> None:
        for first, last, work in steps.ranges(len(scores)):
            threads.run(
                pairwise(metric).aligned,
                work,
                self.columns1.corners,
                self.columns1.measures,
                self.columns2.corners,
                self.columns2.measures,
                scores,
                first,
                last,
            )

    def _launch(
        self, metric: str, starts1: Array, starts2: Array, columns2: BoxColumns, scores: Array
    ) -> None:
        batches, rows, columns = scores.shape
        if not scores.size:
            return
        tiles = batches * count_tiles(rows, columns, scores.itemsize)
        per_tile = -(-scores.size // tiles)
        streaming = scores.nbytes >= STREAM_BYTES
        kernel = dense_kernel(metric, self.columns1.moderate and columns2.moderate)
        for first, last, work in steps.ranges(tiles, per_tile):
            threads.run(
                kernel,
                work,
                self.columns1.corners,
                self.columns1.measures,
                columns2.corners,
                columns2.measures,
                starts1,
                starts2,
                scores,
                streaming,
                first,
                last,
            )

    def _fill_crowds(self, starts1: Array, starts2: Array, scores: Array) -> None:
        """Overwrite the columns of crowds."""
        assert self.crowd is not None
        crowd = np.flatnonzero(self.crowd)
        for batch, start2 in enumerate(starts2):
            # One chunk of columns at a time, so that they need little memory besides the result.
            for first in range(0, len(crowd), 1024):
                some = crowd[first : first + 1024]
                chosen = start2 + some
                # Kernels read whole chunks, so the gathered columns are padded like the others.
                gathered = np.pad(chosen, (0, PADDING), mode="edge")
                columns2 = BoxColumns(
                    np.ascontiguousarray(self.columns2.corners[:, gathered]),
                    np.ascontiguousarray(self.columns2.measures[:, gathered]),
                    None,
                )
                part = np.empty((1, scores.shape[1], len(some)), scores.dtype)
                zero = np.zeros(1, np.int64)
                self._launch("iof", starts1[batch : batch + 1], zero, columns2, part)
                scores[batch][:, some] = part[0]


def _dense_result(
    given1: Input, given2: Input, fmt: str, metric: str, crowd: Array | None
) -> DenseResult:
    """All against all."""
    shape1, shape2 = given1.array.shape, given2.array.shape
    batch_shape = _broadcast_batches(shape1[:-2], shape2[:-2])
    rows, columns = shape1[-2], shape2[-2]
    batches = math.prod(batch_shape)
    dtype = result_dtype(given1, given2)

    def starts(batches: tuple[int, ...], count: int) -> Array:
        if not batch_shape:
            return np.zeros(1, np.int64)
        first = np.arange(math.prod(batches), dtype=np.int64).reshape(batches) * count
        return np.broadcast_to(first, batch_shape).ravel()

    def job(phase: int) -> _Dense:
        columns1, columns2, exponent = prepare(given1, given2, fmt, metric, phase=phase)
        starts1, starts2 = starts(shape1[:-2], rows), starts(shape2[:-2], columns)
        return _Dense(metric, columns1, columns2, starts1, starts2, exponent, crowd)

    def fill(target: Array) -> None:
        dense = job(target.ctypes.data % 64)
        if target.flags.carray:
            dense.fill(target.reshape(batches, rows, columns), slice(None), 0)
            return
        # Any other layout is filled by way of contiguous parts.
        part_rows = max(1, PART_SCORES // max(columns, 1))
        for number, batch in enumerate(np.ndindex(batch_shape)):
            for first in range(0, rows, part_rows):
                part = np.empty((1, min(part_rows, rows - first), columns), dtype)
                dense.fill(part, slice(number, number + 1), first)
                target[batch][first : first + part_rows] = part[0]

    return DenseResult(
        [given1, given2],
        (*batch_shape, rows, columns),
        dtype,
        (batches, rows, columns),
        f"box_iou of {rows:,} × {columns:,} boxes"
        + (f" in {batches:,} batches" if batch_shape else ""),
        "pairs returns only the pairs above a threshold, and topk the best of each row, without "
        "the dense result",
        fill,
        _OnGpu(lambda: job(0)).fill_dense,
    )


def _aligned_result(
    given1: Input, given2: Input, fmt: str, metric: str, crowd: Array | None
) -> DenseResult:
    """Box i against box i."""
    shape1, shape2 = given1.array.shape, given2.array.shape
    if shape1[-2] != shape2[-2]:
        raise ValueError(
            f"aligned=True needs as many boxes1 as boxes2, got shapes {shape1} and {shape2}"
        )
    shape = (*_broadcast_batches(shape1[:-2], shape2[:-2]), shape1[-2])
    dtype = result_dtype(given1, given2)

    def spread(given: Input) -> Input:
        return given._replace(array=np.broadcast_to(given.array, (*shape, 4)).reshape(-1, 4))

    def job() -> _Dense:
        spread1 = spread(given1)
        spread2 = spread1 if given2 is given1 else spread(given2)
        columns1, columns2, exponent = prepare(spread1, spread2, fmt, metric)
        zero = np.zeros(1, np.int64)
        crowds = None if crowd is None else np.broadcast_to(crowd, shape).reshape(-1)
        return _Dense(metric, columns1, columns2, zero, zero, exponent, crowds)

    def fill(target: Array) -> None:
        scores = target if target.flags.carray else np.empty(shape, dtype)
        job().fill_aligned(scores.reshape(-1))
        if scores is not target:
            target[...] = scores

    return DenseResult(
        [given1, given2],
        shape,
        dtype,
        (1, math.prod(shape), 1),
        f"box_iou of {math.prod(shape):,} aligned boxes",
        "score fewer at a time",
        fill,
        _OnGpu(job).fill_aligned,
    )


class _OnGpu:
    """Fills blocks of one result on a GPU; boxes are prepared when the first is asked for."""

    def __init__(self, prepare: Callable[[], _Dense]) -> None:
        self._prepare = prepare
        self._prepared: _Dense | None = None

    def _job(self) -> _Dense:
        if self._prepared is None:
            self._prepared = self._prepare()
        return self._prepared

    def fill_dense(self, work: Any, scores: Any, batches: slice, first_row: int) -> None:
        """Fill scores of some batches, beginning with this row."""
        from fastiou.cuda.dense import dense_scores

        job = self._job()
        dense_scores(
            work, job.metric, job.columns1, job.columns2, job.starts1[batches] + first_row,
            job.starts2[batches], job.exponent, job.crowd, scores,
        )  # fmt: skip

    def fill_aligned(self, work: Any, scores: Any, batches: slice, first_row: int) -> None:
        """Fill scores (1, some, 1), beginning with this box."""
        from fastiou.cuda.dense import aligned_scores

        job = self._job()
        aligned_scores(
            work, job.metric, job.columns1, job.columns2, first_row, job.exponent, job.crowd,
            scores.reshape(scores.size),
        )  # fmt: skip


def _broadcast_batches(batches1: tuple[int, ...], batches2: tuple[int, ...]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(batches1, batches2)
    except ValueError:
        raise ValueError(
            f"leading dimensions of boxes1 and boxes2 must broadcast, got {batches1} and {batches2}"
        ) from None


# ---- single boxes ------------------------------------------------------------------------------


def box_area(boxes: Any, fmt: str = "xyxy") -> Any:
    """Area of every box.

    Parameters
    ----------
    boxes : array_like, shape (..., N, 4)
        Boxes, as in `box_iou`.
    fmt : {"xyxy", "xywh", "cxcywh"}
        What the four numbers are.

    Returns
    -------
    array, shape (..., N)
        float32 for float16 and float32, else float64, in squared units of the input. An inverted
        box has area 0, a box with a NaN has area NaN.

    Raises
    ------
    TypeError, ValueError
        As `box_iou`.

    Examples
    --------
    >>> import fastiou
    >>> fastiou.box_area([[0, 0, 2, 3], [5, 5, 4, 9]])
    array([6., 0.])
    """
    check_choice("fmt", fmt, LAYOUTS)
    given = box_array("boxes", boxes)
    columns, _, exponent = prepare(given, given, fmt, "intersection")
    # The columns hold a stand-in for the area 0; the area that a box shares with itself is exact.
    count = math.prod(given.array.shape[:-1])
    areas = np.empty(count, result_dtype(given))
    threads.run(
        pairwise("intersection").aligned,
        count,
        columns.corners,
        columns.measures,
        columns.corners,
        columns.measures,
        areas,
        0,
        count,
    )
    unmagnify(areas, exponent)
    if columns.missing is not None:
        areas[columns.missing] = np.nan
    return hand_back(areas.reshape(given.array.shape[:-1]), given)


def box_convert(boxes: Any, in_fmt: str, out_fmt: str) -> Any:
    """Convert boxes from one format to another.

    Parameters
    ----------
    boxes : array_like, shape (..., N, 4)
        Boxes, as in `box_iou`.
    in_fmt, out_fmt : {"xyxy", "xywh", "cxcywh"}
        The formats.

    Returns
    -------
    array, shape (..., N, 4)
        A new array of the dtype of the input; float64 for integers, since centres can be halves,
        and float32 for bfloat16. Inverted boxes stay inverted, NaN stays NaN.

    Raises
    ------
    TypeError, ValueError
        As `box_iou`.

    Examples
    --------
    >>> import fastiou
    >>> fastiou.box_convert([[10, 20, 30, 60]], "xyxy", "cxcywh")
    array([[20., 40., 20., 40.]])
    """
    check_choice("in_fmt", in_fmt, LAYOUTS)
    check_choice("out_fmt", out_fmt, LAYOUTS)
    given = box_array("boxes", boxes)
    refuse_infinite(given)
    kind, width = given.array.dtype.kind, given.array.dtype.itemsize
    dtype = given.array.dtype.newbyteorder("=") if kind == "f" else _FLOAT64
    # A copy in any case: 64-bit integers as Python's, whose differences are exact, and float16 in
    # float32, since the sum of two corners can overflow it.
    exact = np.dtype(object) if kind in "iu" and width == 8 else dtype
    boxes = np.array(given.array, _FLOAT32 if width == 2 and kind == "f" else exact)
    a, b, c, d = np.moveaxis(boxes, -1, 0)
    with np.errstate(over="ignore"):
        if in_fmt != out_fmt:
            if in_fmt == "xywh":
                c, d = a + c, b + d
            elif in_fmt == "cxcywh":
                a, b, c, d = a - c / 2, b - d / 2, a + c / 2, b + d / 2
            if out_fmt == "xywh":
                c, d = c - a, d - b
            elif out_fmt == "cxcywh":
                a, b, c, d = _middle(a, c), _middle(b, d), c - a, d - b
        converted = np.stack([a, b, c, d], axis=-1).astype(dtype)
    return hand_back(converted, given)


def _middle(low: Array, high: Array) -> Array:
    # Halves do not overflow where a sum would; integers have no such limit.
    middle: Array = (low + high) / 2 if low.dtype == object else low / 2 + high / 2
    return middle
