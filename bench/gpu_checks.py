"""What must hold of results computed on a GPU: every number written, and the bits of the CPU's.

Cases are made from seeds, which the records name, so that one that fails can be made again.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from bench.contenders import Array

__all__ = [
    "PARTS",
    "Case",
    "IsOver",
    "Launches",
    "cases",
    "checked",
    "differing",
    "label",
    "places",
    "poisoned",
    "reason",
]

Record = dict[str, Any]

#: The functions that take `device`, and those that compute where their arguments lie.
WITH_DEVICE = ("box_iou", "mask_iou", "pairs", "topk", "nms")
IN_PLACE = ("label_overlap", "label_iou", "confusion_matrix", "soft_iou", "thresholded_iou")
PARTS = (*WITH_DEVICE, *IN_PLACE)

#: Formats of other geometries than boxes, of which a seed tries one: kernels are compiled for each.
OTHERS = ("cxcywhr", "xyxyxyxy", "xyzxyz", "xyzwhdr", "xx")

#: Whether the time for something is up.
IsOver = Callable[[], bool]

#: What results are filled with beforehand: a NaN that no arithmetic makes, and a number that is no
#: score. What a NaN hides, where the result is one, the number shows.
POISONED_NAN = {4: np.uint32(0x7FC0DEAD), 8: np.uint64(0x7FF8DEADDEADDEAD)}
GARBAGE = -7.25e33

#: Failed calls of one function that are told of; the others are counted.
MOST_FAILURES = 10


# ---- which kernels ran -------------------------------------------------------------------------


def label(kernel: Any) -> str:
    """The name that a `CudaKernel` was given."""
    return str(kernel.function.__qualname__.rpartition("[")[2].rstrip("]"))


class Launches:
    """Kernels launched meanwhile, by name: a result of the CPU's must not pass for the GPU's."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def __enter__(self) -> Launches:
        from fastiou.runtime.gpu_kernel import CudaKernel

        self._launch = launch = CudaKernel.launch

        def counted(kernel: Any, blocks: int, threads: int, stream: Any, *arguments: Any) -> None:
            name = label(kernel)
            self.counts[name] = self.counts.get(name, 0) + 1
            launch(kernel, blocks, threads, stream, *arguments)

        CudaKernel.launch = counted  # type: ignore[method-assign]
        return self

    def __exit__(self, *exception: object) -> None:
        from fastiou.runtime.gpu_kernel import CudaKernel

        CudaKernel.launch = self._launch  # type: ignore[method-assign]

    @property
    def total(self) -> int:
        return sum(self.counts.values())


# ---- where arguments lie -----------------------------------------------------------------------


class Place(NamedTuple):
    """A kind of array that a call may be given."""

    name: str
    #: A NumPy array as one of this kind.
    put: Callable[[Array], Any]
    #: Leaves garbage in the memory that the library gives to the next result.
    soil: Callable[[], None] = lambda: None


def places() -> list[Place]:
    """NumPy's arrays, and those of the libraries that are there and have a GPU."""
    from numba import cuda

    found = [Place("host", lambda array: array), Place("numba", cuda.to_device)]
    with contextlib.suppress(ImportError):
        import torch

        def soil() -> None:
            # Freed at once, and kept by the library for whoever asks next.
            for count in (1 << 8, 1 << 16, 1 << 24):
                torch.full((count,), GARBAGE, device="cuda")

        if torch.cuda.is_available():
            found.append(Place("torch", lambda array: torch.from_numpy(array).cuda(), soil))
    return found


def as_arrays(result: Any) -> list[Array]:
    """A result of any function and library as NumPy arrays."""
    if hasattr(result, "copy_to_host"):
        return [result.copy_to_host()]
    if hasattr(result, "cpu"):
        return [result.cpu().numpy()]
    if isinstance(result, np.ndarray | np.generic):
        return [np.asarray(result)]
    return [array for part in result for array in as_arrays(part)]


def _bits(array: Array) -> Array:
    return np.ascontiguousarray(array).view(f"u{array.itemsize}")


def differing(expected: Array, found: Array) -> int:
    """Numbers whose bits differ, save that any NaN is as good as another."""
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return max(expected.size, found.size, 1)
    different = _bits(expected) != _bits(found)
    if expected.dtype.kind == "f":
        different &= ~(np.isnan(expected) & np.isnan(found))
    return int(np.count_nonzero(different))


# ---- cases -------------------------------------------------------------------------------------


class Case(NamedTuple):
    """One call."""

    part: str
    what: str
    seed: int
    #: Arguments that may lie anywhere.
    arrays: tuple[Any, ...]
    options: dict[str, Any] = {}  # noqa: RUF012 (never changed)

    def run(self, device: str, put: Callable[[Array], Any], **more: Any) -> Any:
        import fastiou

        given = [put(value) if isinstance(value, np.ndarray) else value for value in self.arrays]
        placed = {"device": device} if self.part in WITH_DEVICE else {}
        return getattr(fastiou, self.part)(*given, **self.options, **more, **placed)


def random_boxes(
    rng: np.random.Generator, count: int, dtype: Any, *, missing: bool = False
) -> Array:
    """Corners that often overlap, some of boxes without area, inverted, or missing (NaN)."""
    span = 4 * count**0.5 + 8
    low = rng.uniform(-span / 4, span, (count, 2))
    boxes = np.hstack([low, low + rng.uniform(0, 12, (count, 2))])
    odd = rng.random(count)
    boxes[odd < 0.05, 2] = boxes[odd < 0.05, 0]
    boxes[odd > 0.97] = boxes[odd > 0.97][:, [2, 3, 0, 1]]
    if missing:
        boxes[rng.random(count) < 0.1, rng.integers(4)] = np.nan
    return np.ascontiguousarray(boxes.astype(dtype))


def random_masks(
    rng: np.random.Generator, count: int, height: int, width: int, *, full: bool
) -> Array:
    """Noise in the whole image, or in a rectangle of it; some are empty."""
    masks = rng.random((count, height, width)) < 0.5
    if not full:
        for mask in masks:
            top, left = rng.integers(0, height), rng.integers(0, width)
            bottom, right = rng.integers(top, height + 1), rng.integers(left, width + 1)
            inside = np.zeros_like(mask)
            inside[top:bottom, left:right] = True
            mask &= inside
    return masks


def random_members(rng: np.random.Generator, count: int, fmt: str) -> Array:
    """Members of another geometry than boxes, float32."""
    left, top, right, bottom = random_boxes(rng, count, np.float64).T
    wide, high, turn = abs(right - left), abs(bottom - top), rng.uniform(-3, 3, count)
    columns = {
        "cxcywhr": (left, top, wide, high, 60 * turn),
        "xyxyxyxy": (
            left + turn, top, left + turn + wide, top, left + wide, top + high, left, top + high,
        ),
        "xyzxyz": (left, top, top, right, bottom, top + wide),
        "xyzwhdr": (left, top, top, wide, high, wide, turn),
        "xx": (left, right),
    }[fmt]  # fmt: skip
    return np.column_stack(columns).astype(np.float32)


def _sides(rng: np.random.Generator, most: int) -> tuple[int, int]:
    """Odd sizes, and every other time columns by fours, which other kernels score."""
    rows, columns = (int(side) for side in rng.integers(1, most + 1, 2))
    return rows, columns if rng.random() < 0.5 else max(4, columns // 4 * 4)


def _box_cases(seed: int, most: int) -> Iterator[Case]:
    from fastiou.geometries.boxes import GEOMETRY

    rng = np.random.default_rng(seed)
    for metric in GEOMETRY.metrics():
        for dtype in (np.float32, np.float64):
            name = f"{metric} of {dtype.__name__}"
            rows, columns = _sides(rng, most)

            def boxes(count: int, dtype: Any = dtype, **options: Any) -> Array:
                return random_boxes(rng, count, dtype, **options)

            def case(what: str, *given: Array, name: str = name, **options: Any) -> Case:
                shapes = " and ".join(str(array.shape) for array in given)
                return Case("box_iou", f"{name}, {what}, {shapes}", seed, given, options)

            options = {"metric": metric}
            yield case("dense", boxes(rows), boxes(columns), **options)
            missing = boxes(rows, missing=True), boxes(columns, missing=True)
            yield case("NaN", *missing, **options)
            yield case("aligned", boxes(rows), boxes(rows, missing=True), aligned=True, **options)
            crowd = rng.random(columns) < 0.3
            yield case("crowds", boxes(rows), boxes(columns), iscrowd=crowd, **options)
            batch = boxes(3 * rows).reshape(3, rows, 4), boxes(columns)[None]
            yield case("batches", *batch, **options)
    rows, columns = _sides(rng, most)
    for kind in (np.float16, np.int32, np.uint8, np.int64):
        given = [random_boxes(rng, side, np.float64) for side in (rows, columns)]
        if kind == np.uint8:
            given = [np.abs(boxes) % 256 for boxes in given]
        given = [boxes.astype(kind) for boxes in given]
        yield Case("box_iou", f"iou of {np.dtype(kind)}", seed, tuple(given))
    for fmt in ("xywh", "cxcywh"):
        given = [np.abs(random_boxes(rng, side, np.float64)) for side in (rows, columns)]
        yield Case("box_iou", f"iou of {fmt}", seed, tuple(given), {"fmt": fmt})
    fmt = OTHERS[seed % len(OTHERS)]
    given = [random_members(rng, side, fmt) for side in (rows, columns)]
    yield Case("box_iou", f"iou of {fmt}", seed, tuple(given), {"fmt": fmt})
    for what, scale in (("huge", 1e30), ("tiny", 1e-30)):
        given = [random_boxes(rng, side, np.float32) for side in (rows, columns)]
        given = [boxes * np.float32(scale) for boxes in given]
        options = {"metric": "intersection" if what == "tiny" else "iou"}
        yield Case("box_iou", f"{what} boxes", seed, tuple(given), options)
    for sides in ((0, columns), (rows, 0)):
        given = [np.zeros((side, 4), np.float32) for side in sides]
        yield Case("box_iou", f"empty, {sides[0]} and {sides[1]}", seed, tuple(given))


def _mask_cases(seed: int, most: int) -> Iterator[Case]:
    from fastiou import Masks
    from fastiou.metrics import METRICS

    rng = np.random.default_rng(seed)
    for full in (False, True):
        for metric in (name for name, row in METRICS.items() if row.is_ratio):
            rows, columns = (int(side) for side in rng.integers(1, most // 4 + 3, 2))
            height, width = (int(side) for side in rng.integers(1, min(most, 200) + 1, 2))

            def masks(count: int, full: bool = full, size: Any = (height, width)) -> Array:
                return random_masks(rng, count, *size, full=full)

            kind = "full frames" if full else "cropped"
            what = f"{metric}, {kind}, {rows} and {columns} of {height} × {width}"
            options = {"metric": metric}
            packed = Masks.from_dense(masks(rows)), Masks.from_dense(masks(columns))
            yield Case("mask_iou", f"{what}, packed", seed, packed, options)
            yield Case("mask_iou", f"{what}, dense", seed, (masks(rows), masks(columns)), options)
            crowd = {"iscrowd": rng.random(columns) < 0.3}
            given = masks(rows), masks(columns)
            yield Case("mask_iou", f"{what}, crowds", seed, given, options | crowd)
            given = masks(rows), masks(rows)
            yield Case("mask_iou", f"{what}, aligned", seed, given, {"aligned": True, **options})


def _relation_cases(part: str, seed: int, most: int) -> Iterator[Case]:
    from fastiou import Masks

    rng = np.random.default_rng(seed)
    for dtype in (np.float32, np.float64):
        count1, count2 = _sides(rng, 4 * most)
        boxes1 = random_boxes(rng, count1, dtype, missing=True)
        boxes2 = random_boxes(rng, count2, dtype, missing=True)
        what = f"{np.dtype(dtype)}, {count1} and {count2} boxes"
        groups = rng.integers(0, 4, count1), rng.integers(0, 4, count2)
        pixels = random_masks(rng, max(1, most // 4), 33, 65, full=False)
        # Packed by the host, and where they lie.
        masks = [Masks.from_dense(pixels) if dtype == np.float32 else pixels]
        masks.append(masks[0][::-1])
        if part == "nms":
            # Few different scores, so that many are equal.
            scores = rng.integers(1, 9, count1).astype(dtype) / 8
            for name, options in (
                ("", {}), ("groups", {"groups": groups[0]}), ("at most 3", {"max_output": 3}),
                ("giou", {"metric": "giou", "threshold": 0.1}),
                ("linear", {"method": "linear", "groups": groups[0]}),
                ("gaussian", {"method": "gaussian", "score_threshold": 0.1}),
            ):  # fmt: skip
                yield Case("nms", f"{what}, {name}", seed, (boxes1, scores), options)
            scores = rng.integers(1, 9, len(masks[0])).astype(dtype) / 8
            yield Case("nms", f"{len(masks[0])} masks", seed, (masks[0], scores))
            continue
        joined = {"threshold": 0.1} if part == "pairs" else {"k": 3}
        for metric in ("iou", "giou", "ios"):
            options = {"metric": metric, **joined}
            yield Case(part, f"{what}, {metric}", seed, (boxes1, boxes2), options)
        yield Case(part, f"{what}, groups", seed, (boxes1, boxes2), {"groups": groups, **joined})
        yield Case(part, f"{len(masks[0])} masks", seed, tuple(masks), joined)
        if part == "pairs":
            yield Case(part, f"{what}, with itself", seed, (boxes1,), joined)
    whole = np.round(random_boxes(rng, count1, np.float64)).astype(np.int64)
    fmt = OTHERS[seed % len(OTHERS)]
    members = random_members(rng, count1, fmt)
    scores = rng.random(count1)
    for what, some, options in (("int64", whole, {}), (fmt, members, {"fmt": fmt})):
        if part != "nms":
            given = (some, some[::-1].copy())
            yield Case(part, f"{what}, {count1} members", seed, given, {**joined, **options})
            continue
        for method in ("hard", "linear"):
            named = f"{what}, {count1} members, {method}"
            yield Case("nms", named, seed, (some, scores), {"method": method, **options})


def _pixel_cases(part: str, seed: int, most: int) -> Iterator[Case]:
    """Label images, and values; few objects, and labels that hardly occur twice."""
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(1, 3 * most, 2))
    shape = height, width
    for kind in (np.uint8, np.int32, np.int64):
        if part in ("soft_iou", "thresholded_iou"):
            for size in ((3, *shape), (5, 2, 40_000 if most > 100 else 40)):
                values = [rng.integers(0, 2, size).astype(kind) for _ in range(2)]
                options: dict[str, Any] = {}
                if part == "soft_iou":
                    values[0] = rng.random(size).astype(
                        np.float64 if kind == np.int64 else np.float32
                    )
                    options = {"axis": (None, 0, (1, 2), (0, 2))[int(rng.integers(4))]}
                what = f"{np.dtype(kind)}, {size}"
                yield Case(part, what, seed, tuple(values), options)
            continue
        for most_labels in (5, 100, min(2**31, np.iinfo(kind).max)):
            if part == "confusion_matrix":
                most_labels = min(most_labels, 50)
            side = max(1, height // 9)
            few = rng.integers(0, most_labels, (9, 1 + width // 7)).astype(kind)
            first = np.repeat(np.repeat(few, side, 0), 7, 1)
            second = rng.integers(0, most_labels, first.shape).astype(kind)
            options = {"num_classes": 50} if part == "confusion_matrix" else {}
            what = f"{np.dtype(kind)}, labels up to {most_labels:,}, {first.shape}"
            yield Case(part, what, seed, (first, second), options)
            yield Case(part, f"{what}, runs", seed, (first, np.roll(first, 3, 1)), options)


def cases(part: str, seed: int, most: int) -> Iterator[Case]:
    """Cases of one function, with sizes up to about `most`."""
    if part in IN_PLACE:
        yield from _pixel_cases(part, seed, most)
    elif part == "box_iou":
        yield from _box_cases(seed, most)
    elif part == "mask_iou":
        yield from _mask_cases(seed, most)
    else:
        yield from _relation_cases(part, seed, most)


# ---- checks ------------------------------------------------------------------------------------


def reason(error: Exception) -> str:
    """What went wrong, in one line."""
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


def _summary(part: str) -> Record:
    return {
        "part": part, "calls": 0, "numbers": 0, "wrong": 0, "launches": 0, "failed": 0,
        "stopped_at": None, "failures": [],
    }  # fmt: skip


def _fail(record: Record, case: Case, place: str, why: str) -> None:
    record["failed"] += 1
    if len(record["failures"]) < MOST_FAILURES:
        record["failures"].append(f"seed {case.seed}, {case.part}, {case.what}, {place}: {why}")


def _tried(
    record: Record, part: str, seeds: range, most: int, every: int, is_over: IsOver
) -> Iterator[Case]:
    """The cases of one function, until the time is up; the seed at which it was is noted."""
    for seed in seeds:
        for case in itertools.islice(cases(part, seed, most), None, None, every):
            if is_over():
                record["stopped_at"] = seed
                return
            yield case


def _never() -> bool:
    return False


def checked(
    part: str,
    seeds: range,
    most: int,
    kinds: list[Place],
    every: int = 1,
    is_over: IsOver = _never,
) -> Record:
    """Compare results of one function with the CPU's, bit by bit, for arrays of all kinds."""
    record = _summary(part)
    if part in IN_PLACE:  # of arrays of the host the CPU computes
        kinds = [place for place in kinds if place.name != "host"]
    for case in _tried(record, part, seeds, most, every, is_over):
        expected = as_arrays(case.run("cpu", lambda array: array))
        for place in kinds:
            with Launches() as launches:
                try:
                    place.soil()
                    found = as_arrays(case.run("cuda", place.put))
                except Exception as error:
                    _fail(record, case, place.name, reason(error))
                    continue
            record["calls"] += 1
            record["launches"] += launches.total
            record["numbers"] += sum(array.size for array in expected)
            pairs = zip(expected, found, strict=True)
            wrong = sum(differing(first, second) for first, second in pairs)
            record["wrong"] += wrong
            if wrong:
                _fail(record, case, place.name, f"{wrong} numbers differ")
    return record


def _poisons(dtype: np.dtype[Any]) -> Iterator[tuple[Any, Callable[[Array], Array]]]:
    """What a result is filled with, and where it still is."""
    nan = POISONED_NAN[dtype.itemsize]
    yield nan.view(dtype), lambda array: _bits(array) == nan
    garbage = dtype.type(GARBAGE)
    yield garbage, lambda array: array == garbage


def poisoned(
    part: str,
    seeds: range,
    most: int,
    kinds: list[Place],
    every: int = 1,
    is_over: IsOver = _never,
) -> Record:
    """Have results computed into arrays full of garbage: all of it must be gone."""
    record = _summary(part)
    for case in _tried(record, part, seeds, most, every, is_over):
        expected = as_arrays(case.run("cpu", lambda array: array))[0]
        for place in kinds:
            for poison, left in _poisons(expected.dtype):
                with Launches() as launches:
                    try:
                        out = place.put(np.full(expected.shape, poison, expected.dtype))
                        case.run("cuda", place.put, out=out)
                        found = as_arrays(out)[0]
                    except Exception as error:
                        _fail(record, case, place.name, reason(error))
                        break
                record["calls"] += 1
                record["launches"] += launches.total
                record["numbers"] += expected.size
                remaining = int(np.count_nonzero(left(found)))
                wrong = differing(expected, found)
                record["wrong"] += wrong
                if wrong:
                    why = f"{wrong} numbers differ, {remaining} of them never written"
                    _fail(record, case, place.name, why)
    return record
