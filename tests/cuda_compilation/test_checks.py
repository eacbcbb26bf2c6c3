"""The checks of compiled kernels find what they are for."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any
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
    assert_sees_other_blocks,
    assert_short_loop,
    assert_single_precision,
    assert_stays_in_registers,
    assert_wide_access,
    assert_words_by_16_bytes,
    compiled,
    instructions_per_score,
    ptx_statements,
)
from launches_for_tests import Launch, launches_of
from numba import cuda, typeof, types
from numba.types import float32, float64, int64, uint64
from test_compilation import (
    BOXES,
    CALLS,
    assert_area_is_single,
    assert_products_are_rounded,
    assert_terms_are_rounded,
    boxes_by,
    cells_call,
    label_calls,
    of_aligned,
    of_dense,
    of_finish,
    of_scalar,
)

import fastiou
from fastiou.cuda import nms, soft_nms
from fastiou.cuda.nms import suppress_kernel
from fastiou.cuda.pairs import pairs_kernel
from fastiou.cuda.soft_nms import decay_kernel
from fastiou.cuda.topk import best_kernel
from fastiou.geometries.boxes import BOX
from fastiou.metrics import METRICS
from fastiou.runtime.gpu_kernel import on_device
from fastiou.runtime.gpu_primitives import count_ones, load4, product, quotient, store4
from fastiou.segmentation import gpu_labels

ROW = types.Array(float32, 1, "C")
DOUBLES = types.Array(float64, 1, "C")
WORDS = types.Array(uint64, 1, "C")
COUNTS = types.Array(int64, 1, "C")


def of(function: Any, signature: Any, capability: Any = (9, 0), **options: Any) -> Compiled:
    return compiled(cuda.jit(**options)(function), signature, capability)


def good(a: Any, b: Any, out: Any) -> None:
    i = cuda.grid(1)
    if i < out.shape[0] // 4:
        x, y = load4(a, 4 * i), load4(b, 4 * i)
        store4(
            out,
            4 * i,
            quotient(x[0], y[0]),
            quotient(x[1], y[1]),
            product(x[2], y[2]) + x[0],
            product(x[3], y[3]) + x[1],
        )


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_a_good_kernel_passes(capability: tuple[int, int]) -> None:
    code = of(good, (ROW, ROW, ROW), capability)
    assert_stays_in_registers(code, 40)
    assert_single_precision(code)
    assert_fast_division(code)
    assert_not_contracted(code)
    assert_wide_access(code)
    with pytest.raises(AssertionError, match="nothing counts bits in PTX"):
        assert_counts_bits(code)
    with pytest.raises(AssertionError, match=r"^\d\d registers"):
        assert_stays_in_registers(code, 9)


def spilling(a: Any, out: Any) -> None:
    """Twenty numbers that change places in each pass, so that all are needed at once."""
    i = cuda.grid(1) * 20
    s, t, u, v = load4(a, i)
    w, x, y, z = load4(a, i + 4)
    k, p, q, r = load4(a, i + 8)
    c, d, e, f = load4(a, i + 12)
    g, h, m, n = load4(a, i + 16)
    for row in range(out.shape[0]):
        b = a[row]
        s, t, u, v, w, x, y, z = t * b, u * b, v * b, w * b, x * b, y * b, z * b, k * b
        k, p, q, r, c, d, e, f = p * b, q * b, r * b, c * b, d * b, e * b, f * b, g * b
        g, h, m, n = h * b, m * b, n * b, s * b
        out[row] = s + u + w + y + k + q + c + e + g + m


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_spills_are_found(capability: tuple[int, int]) -> None:
    code = of(spilling, (ROW, ROW), capability, max_registers=16)
    assert code.registers <= 24  # the compiler keeps some more than it was allowed
    with pytest.raises(AssertionError, match=r"\d+ bytes spilled"):
        assert_stays_in_registers(code, 255)
    assert_stays_in_registers(of(spilling, (ROW, ROW), capability), 40)


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_a_stack_is_found(capability: tuple[int, int]) -> None:
    def with_local_array(a: Any, out: Any) -> None:
        i = cuda.grid(1)
        values = cuda.local.array(64, float32)
        for k in range(64):
            values[k] = a[i + k]
        for k in range(64):
            values[int(values[k])] += values[k]
        out[i] = values[int(a[i])]

    with pytest.raises(AssertionError, match="256 bytes of stack"):
        assert_stays_in_registers(of(with_local_array, (ROW, ROW), capability), 255)


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_plain_division_is_found(capability: tuple[int, int]) -> None:
    def divide(a: Any, b: Any, out: Any) -> None:
        i = cuda.grid(1)
        for row in range(16):
            out[i + row] = a[i] / b[row]

    code = of(divide, (ROW, ROW, ROW), capability)
    with pytest.raises(AssertionError, match=r"slow division in PTX: {'div.rn.f32'}"):
        assert_fast_division(code)
    with pytest.raises(AssertionError, match=r"slow division in machine code: .*div_rn"):
        assert_fast_division(code._replace(ptx=[]))
    with pytest.raises(AssertionError, match=r"calls in the inner loop: .*div_rn"):
        assert_no_calls_in_loop(code)


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_wider_literals_are_found(capability: tuple[int, int]) -> None:
    def halve(a: Any, out: Any) -> None:
        i = cuda.grid(1)
        out[i] = a[i] - 0.3

    code = of(halve, (ROW, ROW), capability)
    with pytest.raises(AssertionError, match="float64 in PTX"):
        assert_single_precision(code)
    with pytest.raises(AssertionError, match=r"float64 in machine code: .*DADD"):
        assert_single_precision(code._replace(ptx=[]))


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_contractions_are_found(capability: tuple[int, int]) -> None:
    def contract(a: Any, b: Any, out: Any) -> None:
        i = cuda.grid(1)
        out[i] = a[i] * b[i] + a[0]

    def contract_beside_a_quotient(a: Any, b: Any, out: Any) -> None:
        i = cuda.grid(1)
        out[i] = quotient(a[i], b[i]) - b[i] * a[i]

    def may_contract_in_machine_code(a: Any, b: Any, out: Any) -> None:
        i = cuda.grid(1)
        out[i] = a[i] * b[i]

    for function in (contract, contract_beside_a_quotient):
        code = of(function, (ROW, ROW, ROW), capability)
        with pytest.raises(AssertionError, match=r"fused outside of quotients|may be fused"):
            assert_not_contracted(code)
        code = of(function, (DOUBLES, DOUBLES, DOUBLES), capability)
        with pytest.raises(AssertionError, match=r"1 of float64 fused|may be fused"):
            assert_not_contracted(code)
    with pytest.raises(AssertionError, match=r"may be fused: {'mul.f32'}"):
        assert_not_contracted(of(may_contract_in_machine_code, (ROW, ROW, ROW), capability))


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_narrow_access_is_found(capability: tuple[int, int]) -> None:
    def narrow(a: Any, out: Any) -> None:
        i = cuda.grid(1)
        if i < out.shape[0]:
            out[i] = a[i]

    code = of(narrow, (ROW, ROW), capability)
    with pytest.raises(AssertionError, match=r"v4.f32.* in PTX"):
        assert_wide_access(code)


def test_long_loops_are_found() -> None:
    code = compiled(boxes_by("giou").vector, of_dense(float32), (9, 0))
    assert code.scores_of_loop(4) == 8  # four columns of two rows
    assert 40 < instructions_per_score(code) < 100
    with pytest.raises(AssertionError, match=r"\d+\.\d\d instructions for each score"):
        assert_short_loop(code, 40)


def test_bits_are_counted_by_an_instruction() -> None:
    def count(a: Any, b: Any, out: Any) -> None:
        i = cuda.grid(1)
        out[i] = count_ones(a[i] & b[i])

    code = of(count, (WORDS, WORDS, COUNTS))
    assert_counts_bits(code)
    with pytest.raises(AssertionError, match="POPC or LOP3 is not among"):
        assert_counts_bits(code._replace(sass=code.sass[:1]))


def test_names_of_registers_are_not_words() -> None:
    """%f64 is the 64th register of float32."""
    text = "\tadd.f32 \t%f64, %f63, 0f3F800000;\n\t@%p1 bra $L__BB0_2;\n$L__BB0_2: // f64\n"
    assert [statement.word for statement in ptx_statements(text)] == ["add.f32", "bra"]
    code = of(good, (ROW, ROW, ROW))
    code.ptx.extend(ptx_statements(text))
    assert_single_precision(code)


# ---- more kernels that are broken on purpose ---------------------------------------------------


def doubled_by_an_index(a: Any, out: Any) -> None:
    """An index is int64, and float32 times int64 is float64."""
    i = cuda.grid(1)
    out[i] = a[i] * i


def one_wide_load(a: Any, b: Any, out: Any) -> None:
    """The first of four columns is loaded by 16 bytes, the others are not."""
    i = 4 * cuda.grid(1)
    x = load4(a, i)
    y, z, w = b[i], b[i + 1], b[i + 2]
    store4(out, i, x[0] + y, x[1] + z, x[2] + w, x[3])


def bits_in_a_loop(a: Any, b: Any, out: Any) -> None:
    """One bit after the other; of `word &= word - 1` the compiler makes the instruction."""
    i = cuda.grid(1)
    word, count = a[i] & b[i], int64(0)
    for bit in range(64):
        count += int64((word >> uint64(bit)) & uint64(1))
    out[i] = count


def words_alone(a: Any, b: Any, out: Any) -> None:
    """Of one mask four words are loaded at a time, of the other one."""
    i = 4 * cuda.grid(1)
    x = load4(a, i)
    store4(out, i, x[0] & b[i], x[1] & b[i + 1], x[2] & b[i + 2], x[3] & b[i + 3])


def stale(a: Any, out: Any) -> None:
    """Waits for what another block stores, which a cache may hide."""
    while a[0] == 0:
        pass
    out[cuda.grid(1)] = a[1]


def free_products(a: Any, b: Any, out: Any) -> None:
    """A cross product whose terms may be fused."""
    i = cuda.grid(1)
    out[i] = a[i] * b[i + 1] - a[i + 1] * b[i]


def double_area(a: Any, b: Any, out: Any) -> None:
    i = cuda.grid(1)
    out[i] = float32(product(float64(a[i]), float64(b[i])) / float64(a[i + 1]))


@pytest.mark.parametrize(
    ("function", "signature", "check", "message"),
    [
        (spilling, (ROW, ROW), functools.partial(assert_stays_in_registers, registers=24),
         r"^\d\d registers"),
        (doubled_by_an_index, (ROW, ROW), assert_single_precision, "float64 in PTX"),
        (one_wide_load, (ROW, ROW, ROW), assert_columns_are_loaded_wide, "1 loads of 16 bytes"),
        (bits_in_a_loop, (WORDS, WORDS, COUNTS), assert_counts_bits, "nothing counts bits"),
        (words_alone, (types.Array(types.uint32, 1, "C"),) * 3,
         functools.partial(assert_words_by_16_bytes, ways=("st.global", "ld.global")),
         r"words of masks go by \['ld.global.u32', 'ld.global.v4.u32'\]"),
        (stale, (types.Array(types.int32, 1, "C"),) * 2, assert_sees_other_blocks, "ld.global"),
        (free_products, (DOUBLES,) * 3, assert_products_are_rounded, "0 products of float64"),
        (free_products, (DOUBLES,) * 3, assert_terms_are_rounded, "0 products of float64"),
        (double_area, (ROW, ROW, ROW), assert_area_is_single, r"float64 in PTX: .*div.rn.f64"),
    ],
    ids=["registers", "index", "columns", "bits", "words", "stale", "products", "terms", "area"],
)  # fmt: skip
def test_what_is_broken_is_found(
    function: Any, signature: Any, check: Callable[[Compiled], None], message: str
) -> None:
    """Beside what the tests above break: spills, stacks, divisions, literals, access."""
    with pytest.raises(AssertionError, match=message):
        check(of(function, signature))


# ---- kernels of the project that are broken on purpose -----------------------------------------


@functools.cache
def searches(number: str) -> dict[str, Launch]:
    """What searches of boxes launch, by label."""
    lowers = {"f4": "linear", "f8": "gaussian"}[number]
    call = functools.partial(cells_call, BOXES.astype(number), groups=np.int64, lowers=lowers)
    return {launch.label: launch for launch in launches_of(call)}


@functools.cache
def labels() -> dict[str, Launch]:
    """What label images launch."""
    return {launch.label: launch for launch in launches_of(lambda: label_calls("iou", np.int64))}


def checked(call: str, label: str, code: Compiled) -> None:
    """What the table asks of a kernel that a call launches."""
    (row,) = (row for row in CALLS if row.name == call)
    assert_stays_in_registers(code, row.registers, row.stack_bytes)
    for check in row.checks[label]:
        check(code)


@cuda.jit(device=True)
def plain_iou(shared: Any, area1: Any, area2: Any) -> Any:
    return shared / (area1 + area2 - shared)


@cuda.jit(device=True)
def fused_iou(shared: Any, area1: Any, area2: Any) -> Any:
    return quotient(shared * area1 + shared, area1 + area2)


SEARCHES: dict[str, Any] = {
    "pairs-box-iou": pairs_kernel,
    "best-box-iou": best_kernel,
    "suppress-box-iou": suppress_kernel,
    "decay-box-iou-linear": functools.partial(decay_kernel, is_linear=True),
}


@pytest.mark.thorough
@pytest.mark.parametrize("label", SEARCHES)
@pytest.mark.parametrize(
    ("formula", "message"),
    [(plain_iou, "slow division in PTX"), (fused_iou, "may be fused|outside of quotients")],
)
def test_formulas_that_are_broken_are_found_in_searches(
    label: str, formula: Any, message: str
) -> None:
    kernel = SEARCHES[label](BOX, dataclasses.replace(METRICS["iou"], formula=formula))
    with pytest.raises(AssertionError, match=message):
        checked("search-box", label, compiled(kernel, searches("f4")[label].signature, (9, 0)))


@pytest.mark.thorough
@pytest.mark.parametrize("label", [*SEARCHES, "enter-box-ratio", "count-labels"])
def test_spills_are_found_in_searches_and_labels(label: str) -> None:
    call, launches = ("labels", labels()) if "labels" in label else ("search-box", searches("f4"))
    launch = launches[label]
    code = of(launch.kernel.function, launch.signature, max_registers=24)
    with pytest.raises(AssertionError, match=r"\d+ bytes spilled"):
        checked(call, label, code)


@pytest.mark.thorough
def test_states_that_may_be_old_are_found() -> None:
    """Of hard suppression, which waits for what other blocks decide."""
    plain = cuda.jit(device=True)(lambda states, other: states[other])
    on_device.cache_clear()
    with mock.patch.object(nms, "latest", plain):
        kernel = suppress_kernel.__wrapped__(BOX, METRICS["iou"])
    on_device.cache_clear()
    code = compiled(kernel, searches("f4")["suppress-box-iou"].signature, (9, 0))
    with pytest.raises(AssertionError, match=r"ld\.global"):
        checked("search-box", "suppress-box-iou", code)


@pytest.mark.thorough
@pytest.mark.parametrize("number", ["f4", "f8"])
def test_scores_that_are_lowered_without_rounding_are_found(number: str) -> None:
    plain = cuda.jit(device=True)(lambda a, b: a * b)
    with mock.patch.object(soft_nms, "product", plain):
        kernel = decay_kernel.__wrapped__(BOX, METRICS["iou"], number == "f4")
    label = {"f4": "decay-box-iou-linear", "f8": "decay-box-iou-gaussian"}[number]
    code = compiled(kernel, searches(number)[label].signature, (9, 0))
    with pytest.raises(AssertionError, match=r"may be fused: {'mul\.f64'}"):
        checked("search-box" + "-f64" * (number == "f8"), label, code)


@pytest.mark.thorough
def test_a_broken_score_of_labels_is_found() -> None:
    broken = dataclasses.replace(METRICS["iou"], formula=fused_iou)
    with mock.patch.dict(METRICS, iou=broken):
        kernel = gpu_labels.score_kernel.__wrapped__("iou")
    code = compiled(kernel, labels()["score-labels-iou"].signature, (9, 0))
    with pytest.raises(AssertionError, match=r"may be fused|of float64 fused"):
        checked("labels", "score-labels-iou", code)


# ---- the table's types -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_table_has_the_types_of_launches(dtype: Any) -> None:
    """Else what was checked would not be what runs."""
    number = typeof(dtype(0))
    boxes = np.array([[0, 0, 1, 1]] * 4, dtype)
    boxes[-1] = np.nan
    crowd = [True, False, False, False]

    def call() -> None:
        fastiou.box_iou(boxes, boxes, iscrowd=crowd, device="cuda")
        fastiou.box_iou(boxes, boxes[1:], device="cuda")
        fastiou.box_iou(boxes, boxes, aligned=True, device="cuda")

    def ways(label: str, of: Any) -> list[tuple[str, Any]]:
        """As prepared in the boxes' own type and, where that is float32, in float64, too."""
        wide = (*of(float64)[:-1], of(number)[-1])
        return [(label, of(number)), (label, wide)][: 1 + (dtype is np.float32)]

    launches = launches_of(call)
    preparing = [launch.label for launch in launches[:3]]
    assert preparing == ["start", "prepare-box-ratio", "prepare-again-box-ratio"]
    assert [(launch.label, launch.signature) for launch in launches[3:]] == [
        *ways("dense-box-iou", of_dense),
        *ways("dense-scalar-box-iof", of_scalar),
        ("finish", of_finish(number)),
        *ways("dense-scalar-box-iou", of_scalar),
        *ways("aligned-box-iou", of_aligned),
    ]
