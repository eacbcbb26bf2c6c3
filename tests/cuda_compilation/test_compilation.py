"""What the compiler makes of the kernels, checked without a GPU."""

from __future__ import annotations

import ast
import contextlib
import functools
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pytest
from compiled_for_tests import (
    CAPABILITIES,
    Compiled,
    assert_columns_are_loaded_wide,
    assert_counts_bits,
    assert_fast_division,
    assert_no_calls_in_loop,
    assert_not_contracted,
    assert_ptx_is_not_contracted,
    assert_sees_other_blocks,
    assert_short_loop,
    assert_single_precision,
    assert_stays_in_registers,
    assert_wide_access,
    assert_words_by_16_bytes,
    compiled,
    lowered,
)
from launches_for_tests import HostArray, HostWork, Launch, launches_of
from numba import types
from numba.types import boolean, float32, float64, int32, int64, uint64

import fastiou as fi
from fastiou.arrays.inputs import Input
from fastiou.cuda import cell_sets, cells
from fastiou.cuda.dense import FINISH, DenseKernels, dense_kernels
from fastiou.cuda.nms import KEY
from fastiou.cuda.prepare import START, prepare_kernels
from fastiou.geometries.boxes import BOX
from fastiou.geometries.boxes3d import GEOMETRY as BOX3D
from fastiou.geometries.intervals import GEOMETRY as INTERVAL
from fastiou.geometries.masks import gpu_packing
from fastiou.geometries.masks.gpu_scores import MaskScores
from fastiou.geometries.quadrilaterals import GEOMETRY as QUADRILATERAL
from fastiou.geometries.rotated import GEOMETRY as ROTATED_BOX
from fastiou.geometries.table import ROWS
from fastiou.geometries.yawed_boxes import GEOMETRY as YAWED_BOX
from fastiou.metrics import METRICS
from fastiou.relations import on_gpu
from fastiou.runtime import gpu_sort
from fastiou.runtime.gpu_arrays import OnGpu
from fastiou.segmentation import gpu_labels, gpu_soft
from fastiou.segmentation.soft_kernels import plan_of

Check = Callable[[Compiled], None]


# ---- what the kernels are launched with --------------------------------------------------------


def row_of(number: Any) -> types.Array:
    """The type of a device array of one dimension."""
    return types.Array(number, 1, "C")


def table_of(number: Any) -> types.Array:
    """The type of a device array of two dimensions."""
    return types.Array(number, 2, "C")


def of_dense(number: Any, corner: Any = None) -> tuple[Any, ...]:
    """With corners of the type of scores, or of another."""
    sets = (table_of(corner or number), table_of(number)) * 2
    places = (types.UniTuple(int64, 1),) * 2
    return *sets, *places, int64, int64, row_of(int64), int64, row_of(number)


def of_scalar(number: Any, corner: Any = None) -> tuple[Any, ...]:
    """The same, with the columns that are chosen."""
    *sets_and_places, rows, columns, notes, way, scores = of_dense(number, corner)
    return *sets_and_places, row_of(boolean), rows, columns, notes, way, scores


def boxes_by(metric: str) -> DenseKernels:
    return dense_kernels(BOX, METRICS[metric])


def rotated_by(metric: str) -> DenseKernels:
    return dense_kernels(ROTATED_BOX, METRICS[metric])


def quadrilaterals_by(metric: str) -> DenseKernels:
    return dense_kernels(QUADRILATERAL, METRICS[metric])


def boxes3d_by(metric: str) -> DenseKernels:
    return dense_kernels(BOX3D, METRICS[metric])


def yawed_by(metric: str) -> DenseKernels:
    return dense_kernels(YAWED_BOX, METRICS[metric])


def intervals_by(metric: str) -> DenseKernels:
    return dense_kernels(INTERVAL, METRICS[metric])


def of_aligned(number: Any, corner: Any = None) -> tuple[Any, ...]:
    sets = (table_of(corner or number), table_of(number)) * 2
    return *sets, row_of(boolean), int64, row_of(int64), int64, row_of(number)


def of_many(signature: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same of batches, which begin at numbers in an array."""
    return tuple(row_of(int64) if isinstance(one, types.UniTuple) else one for one in signature)


def of_single(signature: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same with scores of float32, whatever the sets were prepared in."""
    return *signature[:-1], row_of(float32)


def preparing(geometry: Any, metric: str = "iou") -> Any:
    """The kernels that prepare members."""
    row = METRICS[metric]
    return prepare_kernels(geometry, row.is_ratio, geometry.small.fill(row))


def of_preparation(number: Any, source: Any = None) -> tuple[Any, ...]:
    notes = row_of(float64), row_of(int64)
    return (
        table_of(source or number),
        int64,
        int64,
        int64,
        table_of(number),
        row_of(boolean),
        *notes,
    )


def of_second_preparation(source: Any) -> tuple[Any, ...]:
    given, notes = (table_of(float64),) * 2, (row_of(float64), row_of(int64))
    return table_of(source), given[0], int64, int64, int64, float64, float64, given[1], *notes


def of_finish(number: Any) -> tuple[Any, ...]:
    places, missing = (types.UniTuple(int64, 1),) * 2, (row_of(boolean),) * 2
    notes = row_of(int64)
    return notes, boolean, boolean, *places, *missing, int64, int64, row_of(number)


# ---- the table ---------------------------------------------------------------------------------

#: GPUs of which some rows ask on demand alone: what differs between them is in other rows.
OTHERS = (CAPABILITIES[0], CAPABILITIES[2])

#: Registers with which an SM, which has 65,536, keeps 6 to 1 blocks of 256 threads.
SIX_BLOCKS, FOUR_BLOCKS, THREE_BLOCKS, TWO_BLOCKS, ONE_BLOCK = 40, 64, 80, 128, 255

#: What holds for kernels that compute in float32 alone, and for others.
SINGLE = (
    assert_single_precision,
    assert_fast_division,
    assert_no_calls_in_loop,
    assert_not_contracted,
)
DOUBLE = (assert_not_contracted,)

#: Angles of more than 2^20 radians go to CUDA's own sine, which has a table on the stack for them.
FAR_ANGLE = 40

#: Words are made of pixels by whole numbers, or float32 where these are.
PACKED = (assert_single_precision,)

#: What members are made of must have the CPU's bits, too. With CUDA's sine, the rest is not seen.
PREPARED = (assert_not_contracted,)
WIDE = (assert_wide_access, assert_columns_are_loaded_wide)
SINGLE_WIDE = (*SINGLE, *WIDE)
DOUBLE_WIDE = (
    *DOUBLE,
    functools.partial(assert_wide_access, number="f64"),
    assert_columns_are_loaded_wide,
)

#: Sets whose numbers are too large or too small for float32, or that are float64 in any case, have
#: scores of float32 if that is what their boxes are.
NARROWED_WIDE = (
    *DOUBLE,
    functools.partial(assert_wide_access, number="f64", stored="f32"),
    assert_columns_are_loaded_wide,
)

#: Its last steps are float64, and so is one of its divisions.
CIOU = (assert_fast_division, assert_not_contracted)
CIOU_WIDE = (*CIOU, *WIDE)


def assert_products_are_rounded(code: Compiled) -> None:
    """The relative sine and cosine of rotated boxes, and the way between their centres.

    Fused, they would not be exactly 0 and 1 for a box with itself. What follows may be.
    """
    rounded = code.words["mul.rn.f64"]
    assert rounded >= 8, f"{rounded} products of float64 are rounded, but a score has 8"


def assert_area_is_single(code: Compiled) -> None:
    """Of float32 boxes, those alone are float64, and no quotient is."""
    doubles = {word for word in code.words if word.endswith(".f64") and word != "mul.rn.f64"}
    costly = {word for word in doubles if word.startswith(("mul.", "fma.", "div.", "rcp."))}
    assert not costly, f"float64 in PTX: {costly}"


def assert_terms_are_rounded(code: Compiled) -> None:
    """What edges of quadrilaterals have below both: fused, sums would hang on which comes first."""
    rounded = code.words["mul.rn.f64"]
    assert rounded >= 3, f"{rounded} products of float64 are rounded, but a pair of edges has 3"


ROTATED = (assert_products_are_rounded,)
QUADRILATERALS = (assert_terms_are_rounded,)
ROTATED_SINGLE = (*ROTATED, assert_area_is_single)


def others_of(metric: str) -> tuple[tuple[int, int], ...]:
    """Where a metric is asked for on demand alone: others differ between GPUs as these do."""
    return () if metric in ("iou", "giou", "ciou") else OTHERS


PLAIN_METRICS = [metric for metric in BOX.metrics() if metric != "ciou"]


class Row(NamedTuple):
    """A kernel, the types that it is launched with, and what holds for it."""

    name: str
    kernel: Any
    signature: tuple[Any, ...]
    registers: int
    checks: tuple[Check, ...] = ()
    capabilities: tuple[tuple[int, int], ...] = CAPABILITIES
    #: Those of which it is asked on demand alone.
    on_demand: tuple[tuple[int, int], ...] = ()
    stack_bytes: int = 0


#: Every kernel with everything it is compiled for.
TABLE = [
    *(
        row
        for metric in PLAIN_METRICS
        for made in [boxes_by(metric)]
        for row in (
            Row(f"vector-{metric}", made.vector, of_dense(float32), TWO_BLOCKS, SINGLE_WIDE,
                on_demand=others_of(metric)),
            Row(f"scalar-{metric}", made.scalar, of_scalar(float32), TWO_BLOCKS, SINGLE,
                on_demand=others_of(metric)),
            Row(f"aligned-{metric}", made.aligned, of_aligned(float32), SIX_BLOCKS, SINGLE,
                on_demand=others_of(metric)),
        )
    ),
    Row("vector-iou-blocks", boxes_by("iou").vector, of_dense(float32), THREE_BLOCKS),
    Row("vector-ciou", boxes_by("ciou").vector, of_dense(float32), TWO_BLOCKS, CIOU_WIDE),
    Row("scalar-ciou", boxes_by("ciou").scalar, of_scalar(float32), TWO_BLOCKS, CIOU),
    Row("aligned-ciou", boxes_by("ciou").aligned, of_aligned(float32), SIX_BLOCKS, CIOU),
    *(
        Row(f"vector-{metric}-f64", made.vector, of_dense(float64), ONE_BLOCK, DOUBLE_WIDE,
            on_demand=others_of(metric))
        for metric in BOX.metrics()
        for made in [boxes_by(metric)]
    ),
    Row("vector-iou-f64-blocks", boxes_by("iou").vector, of_dense(float64), TWO_BLOCKS),
    Row("scalar-f64", boxes_by("ciou").scalar, of_scalar(float64), ONE_BLOCK, DOUBLE),
    Row("aligned-f64", boxes_by("ciou").aligned, of_aligned(float64), FOUR_BLOCKS, DOUBLE),
    # Integers that lie too far apart for float64 stay integers. Distances are halved, which may be
    # fused with an addition, as it does not round.
    Row("vector-i64", boxes_by("ciou").vector, of_dense(float64, int64), ONE_BLOCK),
    Row("scalar-i64", boxes_by("ciou").scalar, of_scalar(float64, int64), ONE_BLOCK),
    Row("aligned-i64", boxes_by("ciou").aligned, of_aligned(float64, int64), FOUR_BLOCKS),
    *(
        row
        for metric in ("iou", "intersection")
        for made in [rotated_by(metric)]
        for name in [f"rotated-{metric}"]
        for row in (
            Row(f"scalar-{name}", made.scalar, of_scalar(float32), TWO_BLOCKS, ROTATED_SINGLE,
                on_demand=others_of(metric)),
            Row(f"aligned-{name}", made.aligned, of_aligned(float32), FOUR_BLOCKS, ROTATED_SINGLE,
                on_demand=others_of(metric)),
            Row(f"scalar-{name}-f64", made.scalar, of_scalar(float64), ONE_BLOCK, ROTATED,
                on_demand=others_of(metric)),
            Row(f"aligned-{name}-f64", made.aligned, of_aligned(float64), THREE_BLOCKS, ROTATED,
                on_demand=others_of(metric)),
        )
    ),
    *(
        row
        for metric in ("iou", "intersection")
        for made in [quadrilaterals_by(metric)]
        for name in [f"quadrilateral-{metric}"]
        for row in (
            Row(f"scalar-{name}", made.scalar, of_scalar(float64), ONE_BLOCK, QUADRILATERALS,
                on_demand=others_of(metric)),
            Row(f"aligned-{name}", made.aligned, of_aligned(float64), ONE_BLOCK, QUADRILATERALS,
                on_demand=others_of(metric)),
        )
    ),
    *(
        Row(f"{form}-{name}-narrowed", getattr(made, form), of_single(of(float64)), registers,
            checks, on_demand=OTHERS if form == "vector" and metric == "iou" else CAPABILITIES)
        for geometry, metrics, own, most in (
            (BOX, ("iou", "giou", "diou", "intersection"), DOUBLE, FOUR_BLOCKS),
            (ROTATED_BOX, ("iou", "intersection"), ROTATED, THREE_BLOCKS),
            (ROTATED_BOX, ("probiou",), (), TWO_BLOCKS),
            (QUADRILATERAL, ("iou", "intersection"), QUADRILATERALS, ONE_BLOCK),
            (BOX3D, ("iou", "diou"), DOUBLE, FOUR_BLOCKS),
            (YAWED_BOX, ("iou",), ROTATED, TWO_BLOCKS),
            (INTERVAL, ("iou",), DOUBLE, FOUR_BLOCKS),
        )
        for metric in metrics
        for made in [dense_kernels(geometry, METRICS[metric])]
        for name in [f"{geometry.label}-{metric}"]
        for form, of, registers, checks in (
            ("vector", of_dense, ONE_BLOCK, NARROWED_WIDE),
            ("scalar", of_scalar, ONE_BLOCK, own),
            ("aligned", of_aligned, most, own),
        )
        if getattr(made, form) is not None
    ),
    *(
        row
        for metric in ("iou", "giou", "diou")
        for made in [boxes3d_by(metric)]
        for name in [f"boxes3d-{metric}"]
        for row in (
            Row(f"scalar-{name}", made.scalar, of_scalar(float32), TWO_BLOCKS, SINGLE,
                on_demand=others_of(metric)),
            Row(f"aligned-{name}", made.aligned, of_aligned(float32), SIX_BLOCKS, SINGLE,
                on_demand=others_of(metric)),
            Row(f"scalar-{name}-f64", made.scalar, of_scalar(float64), ONE_BLOCK, DOUBLE,
                on_demand=others_of(metric)),
        )
    ),
    *(
        row
        for metric in ("iou", "giou")
        for made in [intervals_by(metric)]
        for name in [f"interval-{metric}"]
        for row in (
            Row(f"scalar-{name}", made.scalar, of_scalar(float32), TWO_BLOCKS, SINGLE,
                on_demand=OTHERS),
            Row(f"aligned-{name}", made.aligned, of_aligned(float32), SIX_BLOCKS, SINGLE,
                on_demand=OTHERS),
            Row(f"aligned-{name}-f64", made.aligned, of_aligned(float64), FOUR_BLOCKS, DOUBLE,
                on_demand=OTHERS),
        )
    ),
    Row("scalar-probiou", rotated_by("probiou").scalar, of_scalar(float32), ONE_BLOCK,
        on_demand=OTHERS),
    Row("aligned-probiou", rotated_by("probiou").aligned, of_aligned(float64), TWO_BLOCKS,
        on_demand=OTHERS),
    Row("scalar-yawed", yawed_by("iou").scalar, of_scalar(float32), TWO_BLOCKS, ROTATED),
    Row("aligned-yawed", yawed_by("iou").aligned, of_aligned(float32), FOUR_BLOCKS, ROTATED),
    Row("scalar-yawed-f64", yawed_by("iou").scalar, of_scalar(float64), ONE_BLOCK, ROTATED),
    Row("pack-strided", gpu_packing.pack_kernel("integers"),
        (types.Array(types.uint8, 3, "A"), row_of(uint64), table_of(int64)), FOUR_BLOCKS, PACKED,
        on_demand=OTHERS),
    Row("finish", FINISH, of_finish(float32), SIX_BLOCKS, (assert_single_precision,)),
    Row("finish-f64", FINISH, of_finish(float64), SIX_BLOCKS),
    Row("vector-iou-batches", boxes_by("iou").vector, of_many(of_dense(float32)), TWO_BLOCKS,
        SINGLE_WIDE),
    Row("finish-batches", FINISH, of_many(of_finish(float32)), SIX_BLOCKS),
    Row("magnify", cells.MAGNIFY, (table_of(float64), int64, int64, table_of(float64)), SIX_BLOCKS,
        on_demand=OTHERS),
    Row("key-scores-f32", KEY, (row_of(int32), *(int64,) * 3, *(row_of(int64),) * 3), SIX_BLOCKS,
        on_demand=OTHERS),
    Row("start", START, (row_of(float64), row_of(int64)), SIX_BLOCKS),
    *(
        row
        for geometry in (BOX, ROTATED_BOX, QUADRILATERAL, BOX3D, YAWED_BOX, INTERVAL)
        for made in [preparing(geometry)]
        for turned in [geometry in (ROTATED_BOX, YAWED_BOX)]
        for name in [geometry.name.replace(" ", "-")]
        for row in (
            *(
                Row(f"prepare-{name}-{number}", made.first, of_preparation(number), TWO_BLOCKS,
                    () if turned else PREPARED, stack_bytes=FAR_ANGLE * turned)
                for number in ((float64,) if geometry is QUADRILATERAL else (float32, float64))
            ),
            # Powers of two are taken out and put back by multiplications.
            Row(f"prepare-again-{name}", made.second, of_second_preparation(float32), TWO_BLOCKS,
                stack_bytes=FAR_ANGLE * turned),
        )
    ),
    Row("prepare-hulls", preparing(BOX, "giou").first, of_preparation(float32), SIX_BLOCKS,
        PREPARED),
    Row("prepare-int64", preparing(BOX).first, of_preparation(float64, int64), SIX_BLOCKS,
        on_demand=OTHERS),
    Row("prepare-uint8", preparing(BOX).first, of_preparation(float64, types.uint8), SIX_BLOCKS),
]  # fmt: skip


def cases(rows: list[Any]) -> list[Any]:
    """The parameters of a test that compiles each row for its GPUs."""
    return [
        pytest.param(
            row,
            capability,
            id=f"{row.name}-sm_{capability[0]}{capability[1]}",
            marks=[pytest.mark.thorough] if capability in row.on_demand else [],
        )
        for row in rows
        for capability in row.capabilities
    ]


@pytest.mark.parametrize(("row", "capability"), cases(TABLE))
def test_kernels_compile_to_what_was_meant(row: Row, capability: tuple[int, int]) -> None:
    code = compiled(row.kernel, row.signature, capability)
    assert_stays_in_registers(code, row.registers, row.stack_bytes)
    for check in row.checks:
        check(code)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=row.name, marks=[pytest.mark.thorough] if number % 32 else [])
        for number, row in enumerate(TABLE)
    ],
)
def test_all_gpus_have_the_same_kernel_until_llvm(row: Row) -> None:
    texts = (lowered(row.kernel, row.signature, one).get_llvm_str() for one in CAPABILITIES)
    # Mangled names tell the GPU, and how many were compiled before.
    without_names = {re.sub(r'"_ZN[^"]*"|\$\d+', "", text) for text in texts}
    assert len(without_names) == 1


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_the_loop_of_dense_iou_is_short(capability: tuple[int, int]) -> None:
    code = compiled(boxes_by("iou").vector, of_dense(float32), capability)
    assert_short_loop(code, 27.0)
    assert code.words["rcp.approx.ftz.f32"] == 8  # one quotient for each column and row
    assert code.words["fma.rn.f32"] == 4 * 8


# ---- kernels by the calls that launch them -----------------------------------------------------

BOXES = np.array([[0, 0, 4, 4], [1, 1, 5, 5], [2, 2, 3, 3], [8, 8, 9, 9]], np.float32)
SCORES = [0.5, 0.9, 0.7, 0.8]

ROTATED_BOXES = np.array(
    [[2, 2, 4, 4, 30], [3, 3, 4, 4, 20], [2.5, 2.5, 1, 1, 45], [8.5, 8.5, 1, 1, 0]], np.float32
)
YAWED_BOXES = np.array([[2, 2, 2, 4, 4, 4, 0.5], [3, 3, 3, 4, 4, 4, 0.2]], np.float32)
BOXES3D = np.array([[0, 0, 0, 4, 4, 4], [1, 1, 1, 5, 5, 5]], np.float32)
QUADRILATERAL_CORNERS = np.array([[0, 0, 4, 1, 5, 5, 1, 3], [1, 1, 4, 2, 2, 2, 1, 5]], np.float32)

#: Integers that no float64 holds.
FAR_BOXES = np.array([[-(2**62), 0, 2**62, 3], [1, 1, 4, 4]])

#: Masks with boxes of their own, and masks that fill the image.
MASKS = np.zeros((4, 70, 70), np.bool_)
MASKS[0, :9, :9] = MASKS[1, 4:20, 4:20] = MASKS[2, 5:, 5:] = MASKS[3, 1, 1] = True
FULL = np.ones((4, 70, 70), np.bool_)


class Call(NamedTuple):
    """A call, and what holds for kernels that it launches, by how their names begin."""

    name: str
    call: Callable[[], Any]
    registers: int
    checks: dict[str, tuple[Check, ...]]
    capabilities: tuple[tuple[int, int], ...] = CAPABILITIES
    on_demand: tuple[tuple[int, int], ...] = ()
    stack_bytes: int = 0


COUNTED = (*DOUBLE, assert_counts_bits)
SPREAD_WORDS = functools.partial(assert_words_by_16_bytes, ways=("st.global",))
TILED_WORDS = functools.partial(
    assert_words_by_16_bytes, ways=("ld.global", "st.shared", "ld.shared")
)
LOWERED = (
    assert_fast_division,
    functools.partial(assert_ptx_is_not_contracted, single_only=True),
)
SCORED = (assert_fast_division, functools.partial(assert_not_contracted, single_only=True))


def stayed(array: Any) -> Input:
    """An argument that stayed on a GPU."""
    held = OnGpu(HostArray(array), "numba", mock.Mock())
    return Input("a", held, held, None, "numba")


def label_calls(metric: str, dtype: Any) -> None:
    """What label images go through, where there are some pairs."""
    image, work = stayed(np.zeros(40, dtype)), HostWork(0)
    pairs = gpu_labels.count_on_gpu(work, image, image, (-1, -1))
    rows, cols, values = (HostArray(np.zeros(40, np.int64)) for _ in range(3))
    pairs.append(work, rows, cols, values)
    for most in (0, 1000):
        with mock.patch.object(gpu_sort, "SORTED_BY_A_BLOCK", most):
            gpu_sort.sort_on_gpu(work, rows, cols, values)
    scores = HostArray(np.zeros(40))
    some = pairs._replace(told=(40, 40, 0, 0, 0))
    gpu_labels.scores_on_gpu(work, some, metric, rows, cols, scores)


def confusion_call(dtype: Any) -> None:
    image, place = stayed(np.zeros(40, dtype)), mock.Mock(empty=None)
    gpu_labels.confusion(HostWork(0), place, (image, image), (-1, -1), None, 3)


def value_calls(combination: str, dtype: Any) -> None:
    """Sums over rows, over columns and over what blocks sum to, and what becomes of them."""
    given, work, place = stayed(np.zeros((2, 3, 4), dtype)), HostWork(0), mock.Mock(empty=None)
    for axes in ((1, 2), (0, 1)):
        plan = plan_of((2, 3, 4), axes)._replace(folds=((2, 1),))
        sums = gpu_soft.sums_on_gpu(work, given, given, plan, combination)
    if combination == "bits":
        gpu_soft.grades_on_gpu(work, place, sums, 1e-6)
    else:
        gpu_soft.scores_on_gpu(work, place, sums, 1e-6, (sums.size // 2,))


def mask_calls(dtype: Any) -> None:
    """What pixels on a GPU go through: scored there, and packed for the host."""
    pixels, work, zero = HostArray(MASKS.astype(dtype)), HostWork(0), np.zeros(1, np.int64)
    scores = MaskScores(METRICS["iou"], pixels, pixels, None, 0)
    scores.fill_dense(work, HostArray(np.zeros((1, 4, 4))), zero, zero)
    scores.fill_aligned(work, HostArray(np.zeros(4)), 0)
    gpu_packing.cropped_columns(work, pixels)
    frames = gpu_packing.frames(work, pixels)
    gpu_packing.crop(work, frames, np.arange(5), np.zeros(4, np.uint64))


def extremes_call() -> None:
    gpu_soft.extremes_on_gpu(HostWork(0), HostArray(np.zeros(40, np.int64)))


def cells_call(
    members: Any,
    fmt: str = "xyxy",
    groups: Any = None,
    metric: str = "iou",
    lowers: str = "linear",
    by_host: bool = False,
) -> None:
    """All searches of sets that are copied to a GPU, or prepared `by_host`.

    What kernels of `HostWork` tell, which is 40, stands for members that are fit.
    """
    unprepared = mock.patch.object(on_gpu, "sets_on_gpu", return_value=None)
    members = np.asarray(members)
    numbers = None if groups is None else np.zeros(len(members), groups)
    of_two = None if groups is None else (numbers, numbers)
    with (
        mock.patch.object(cell_sets, "NONE", 40),
        mock.patch.object(cell_sets, "fits", return_value=True),
        unprepared if by_host else contextlib.nullcontext(),
    ):
        same: dict[str, Any] = {"metric": metric, "fmt": fmt, "device": "cuda"}
        fi.pairs(members, members.copy(), groups=of_two, **same)
        fi.topk(members, members.copy(), 2, groups=of_two, **same)
        for method in ("hard", lowers):
            fi.nms(members, np.zeros(len(members)), groups=numbers, method=method, **same)


#: The kernels of all geometries that have to do with cells.
IN_CELLS: dict[str, tuple[Check, ...]] = {
    "start-cells": (), "place-cells": (), "put-cells": (), "sum-blocks": (), "key-scores": (),
    "sort-rows": (), "turn": (), "count-kept": (), "list-kept": (),
    "begin-soft": (), "list-taken": (),
}  # fmt: skip


def searched(
    name: str,
    label: str,
    members: Any,
    checks: tuple[Check, ...],
    *,
    metric: str = "iou",
    registers: int = TWO_BLOCKS,
    on_demand: tuple[tuple[int, int], ...] = OTHERS,
    stack_bytes: int = 0,
    by_host: bool = False,
    **options: Any,
) -> Call:
    """The call of all searches of a geometry, whose members the GPU prepares, or the host."""
    enter = "enter-ready" if by_host else f"enter-{label}-ratio"
    kernels = {f"{relation}-{label}-{metric}": checks for relation in ("pairs", "best")}
    kernels[f"suppress-{label}-{metric}"] = (*checks, assert_sees_other_blocks)
    lowers = options.setdefault("lowers", "linear")
    # Of boxes there is no broad phase, so that every product of float64 is one of scores.
    exactly = (assert_ptx_is_not_contracted,) if label == "box" and metric == "iou" else ()
    kernels[f"decay-{label}-{metric}-{lowers}"] = (
        *exactly,
        *(LOWERED if checks is SCORED else () if lowers == "gaussian" else checks),
    )
    call = functools.partial(cells_call, members, metric=metric, by_host=by_host, **options)
    return Call(f"search-{name}", call, registers, {**IN_CELLS, enter: (), **kernels},
                on_demand=on_demand, stack_bytes=stack_bytes)  # fmt: skip


#: A broad phase may round otherwise than on the CPU, since it leaves room for that.
CALLS = [
    Call("mask_iou", lambda: fi.mask_iou(MASKS, MASKS, device="cuda"), FOUR_BLOCKS,
         {"masks-iou": COUNTED}),
    Call("mask_iou-aligned", lambda: fi.mask_iou(MASKS, MASKS, aligned=True, device="cuda"),
         FOUR_BLOCKS, {"aligned-masks-iou": COUNTED}),
    Call("mask_iou-full", lambda: fi.mask_iou(FULL, FULL, device="cuda"), TWO_BLOCKS,
         {"spread-masks": (SPREAD_WORDS,), "uniform-masks-iou": (*COUNTED, TILED_WORDS)}),
    *(
        Call(f"mask_iou-{dtype}", functools.partial(mask_calls, dtype), FOUR_BLOCKS,
             {"start-masks": (), f"pack-{kind}": checks, "masks-iou": COUNTED,
              "aligned-masks-iou": COUNTED, "crop-masks": ()}, on_demand=on_demand)
        for dtype, kind, checks, on_demand in (
            ("bool", "integers", PACKED, ()),
            ("int64", "integers", PACKED, OTHERS),
            ("float32", "float32", PACKED, OTHERS),
            ("float64", "float64", (), OTHERS),
        )
    ),
    searched("box", "box", BOXES, SCORED, groups=np.int64, on_demand=()),
    searched("box-f64", "box", BOXES.astype(np.float64), (), lowers="gaussian"),
    searched("box-long", "box", BOXES.astype(np.int64), (), lowers="gaussian",
             on_demand=CAPABILITIES),
    searched("box-i64", "box", FAR_BOXES, (), by_host=True, on_demand=CAPABILITIES),
    searched("box-ciou", "box", BOXES, (assert_fast_division,), metric="ciou", by_host=True,
             on_demand=CAPABILITIES),
    searched("masks", "mask", MASKS, (assert_counts_bits,), by_host=True, registers=ONE_BLOCK),
    searched("rotated", "rotated-box", ROTATED_BOXES, ROTATED, fmt="cxcywhr",
             registers=ONE_BLOCK, stack_bytes=FAR_ANGLE),
    searched("rotated-f64", "rotated-box", ROTATED_BOXES.astype(np.float64), ROTATED,
             fmt="cxcywhr", registers=ONE_BLOCK, stack_bytes=FAR_ANGLE, on_demand=CAPABILITIES),
    searched("quadrilaterals", "quadrilateral", QUADRILATERAL_CORNERS, QUADRILATERALS,
             fmt="xyxyxyxy", registers=ONE_BLOCK),
    searched("boxes3d", "3-D-box", BOXES3D, SCORED, fmt="xyzxyz"),
    searched("yawed", "3-D-box-with-yaw", YAWED_BOXES, ROTATED, fmt="xyzwhdr",
             registers=ONE_BLOCK, stack_bytes=FAR_ANGLE),
    searched("intervals", "interval", np.array([[0, 4], [1, 5]], np.float32), SCORED, fmt="xx"),
    Call("labels", lambda: label_calls("iou", np.int64), SIX_BLOCKS,
         {"fill": (), "count-labels": (), "append-labels": (), "sort-rows": (),
          "compare-rows": (), "score-labels-iou": DOUBLE}, on_demand=OTHERS),
    Call("confusion", lambda: confusion_call(np.uint8), SIX_BLOCKS,
         {"fill": (), "confuse-labels": ()}, on_demand=OTHERS),
    Call("values", lambda: value_calls("values", np.float32), SIX_BLOCKS,
         {"sum-rows-values": DOUBLE, "sum-columns-values": DOUBLE, "fold-sums": DOUBLE,
          "score-sums": DOUBLE}, on_demand=OTHERS),
    Call("values-f64", lambda: value_calls("values", np.float64), SIX_BLOCKS,
         {"sum-rows-values": DOUBLE, "sum-columns-values": DOUBLE, "fold-sums": DOUBLE,
          "score-sums": DOUBLE}, on_demand=CAPABILITIES),
    Call("few-bits", lambda: value_calls("integers", np.uint8), SIX_BLOCKS,
         {"sum-rows-integers": DOUBLE, "sum-columns-integers": DOUBLE, "fold-sums": DOUBLE,
          "score-sums": DOUBLE}, on_demand=CAPABILITIES),
    Call("bits", lambda: value_calls("bits", np.int64), SIX_BLOCKS,
         {"sum-rows-bits": (), "sum-columns-bits": (), "fold-sums": (), "grade-sums": DOUBLE},
         on_demand=OTHERS),
    Call("extremes", extremes_call, SIX_BLOCKS, {"extremes": ()}, on_demand=OTHERS),
]  # fmt: skip


@pytest.mark.parametrize(("row", "capability"), cases(CALLS))
def test_calls_launch_what_was_meant(row: Call, capability: tuple[int, int]) -> None:
    launches = launches_of(row.call)
    assert len(launches) == len(row.checks), [launch.label for launch in launches]
    for launch in launches:
        code = compiled(launch.kernel, launch.signature, capability)
        assert_stays_in_registers(code, row.registers, row.stack_bytes)
        for check in row.checks[launch.label]:
            check(code)


# ---- nothing is left out -----------------------------------------------------------------------

PACKAGE = Path(fi.__file__).parent


def label_of(node: ast.expr) -> str:
    """The label of a kernel where it is made, as a pattern: what is filled in may be anything."""
    if isinstance(node, ast.Constant):
        return re.escape(str(node.value))
    assert isinstance(node, ast.JoinedStr), ast.dump(node)
    return "".join(".+" if isinstance(part, ast.FormattedValue) else label_of(part)
                   for part in node.values)  # fmt: skip


def made_in(paths: Iterable[Path]) -> dict[str, str]:
    """Patterns of the labels of all kernels that files make, and where each is."""
    return {
        label_of(node.args[1]): f"{path.name}:{node.lineno}"
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "CudaKernel"
    }


def covered() -> set[str]:
    """The labels of all kernels that a row compiles."""
    labels = {Launch(row.kernel, row.signature).label for row in TABLE}
    return labels | {label for call in CALLS for label in call.checks}


def left_out(made: dict[str, str], labels: set[str]) -> dict[str, str]:
    return {
        pattern: place
        for pattern, place in made.items()
        if not any(re.fullmatch(pattern, label) for label in labels)
    }


def test_every_kernel_has_a_row(tmp_path: Path) -> None:
    made = made_in(PACKAGE.rglob("*.py"))
    assert len(made) > 30
    assert not left_out(made, covered())
    new = tmp_path / "new.py"
    new.write_text('x = CudaKernel(f, f"sideways-{geometry.label}-{metric}")\n')
    assert left_out(made_in([new]), covered()) == {r"sideways\-.+\-.+": "new.py:1"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_geometry_has_rows(row: Any) -> None:
    geometry, labels = row.load(), covered()
    if geometry.on_cpu_alone:
        assert not [label for label in labels if geometry.label in label]
        return
    assert not unchecked(geometry, labels)
    without = {label for label in labels if geometry.label not in label}
    assert len(unchecked(geometry, without)) >= 4


def unchecked(geometry: Any, labels: set[str]) -> set[str]:
    """Kernels of a geometry that has them, of all relations, that no row compiles."""
    dense = ("masks", "aligned-masks") if geometry.on_gpu else (
        f"dense-scalar-{geometry.label}", f"aligned-{geometry.label}"
    )  # fmt: skip
    searches = (f"{name}-{geometry.label}" for name in ("pairs", "best", "suppress"))
    wanted = {f"{name}-iou" for name in (*dense, *searches)} | {
        f"decay-{geometry.label}-iou-linear"
    }
    return wanted - labels
