"""Check ``fastiou.box_iou`` against the numbers that other libraries publish in their tests."""

from __future__ import annotations

import numpy as np
import pytest
from boxes_for_tests import USUAL_METRICS
from published_tables import CASES, PublishedCase

import fastiou


def _case_id(case: PublishedCase) -> str:
    """Return a readable test id: the project, the case and the dtype."""
    return f"{case.source.split()[0]}-{case.name}-{case.dtype}"


def _box_array(boxes: tuple[tuple[float, ...], ...], dtype: str) -> np.ndarray:
    """Return the boxes as an ``(N, 4)`` array, also when there are none."""
    return np.array(boxes, dtype=dtype).reshape(-1, 4)


def _result_dtype(dtype: str) -> np.dtype:
    """Return the dtype the results have for boxes of the given dtype."""
    return np.dtype("float32" if dtype in ("float16", "float32") else "float64")


def _shape(case: PublishedCase) -> tuple[int, ...]:
    """Return the shape of the unreduced result."""
    if case.aligned:
        return (len(case.boxes1),)
    return (len(case.boxes1), len(case.boxes2))


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[] if case.metric in USUAL_METRICS else pytest.mark.slow)
        for case in CASES
    ],
    ids=_case_id,
)
def test_published_table(case: PublishedCase) -> None:
    """The result has the contract's shape and dtype and meets the published tolerance."""
    result = fastiou.box_iou(
        _box_array(case.boxes1, case.dtype),
        _box_array(case.boxes2, case.dtype),
        case.fmt,
        metric=case.metric,
        aligned=case.aligned,
    )
    assert result.shape == _shape(case)
    assert result.dtype == _result_dtype(case.dtype)

    # Compared in the precision of the result, as the publishing tests do; this is what lets a
    # tolerance of zero hold for a value such as 15 / 98.
    expected = np.array(case.expected, dtype=result.dtype)
    if case.reduction == "none":
        if expected.size == 0:  # nested tuples cannot tell (0, M) from (0,)
            expected = expected.reshape(_shape(case))
        assert expected.shape == _shape(case)
        actual = result
    else:
        assert case.reduction in ("sum", "mean")
        actual = result.sum() if case.reduction == "sum" else result.mean()

    np.testing.assert_allclose(actual, expected, rtol=case.rtol, atol=case.atol)
