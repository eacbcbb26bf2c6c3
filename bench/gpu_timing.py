"""What is timed on a GPU: one table of workloads, and how a sample of each is taken.

Three kinds of sample, all by events on the GPU:

- `queued`: something that only launches, several times while the GPU is held busy by a kernel that
  waits. So the time is the GPU's alone, even where launching takes longer.
- `of_kernels`: a whole call in which each kernel of fastiou's is queued and timed so.
- `of_call`: from before a call to after the last thing that it had the GPU do.
"""

from __future__ import annotations

import functools
import gc
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from bench import box_peers, join_peers, mask_peers, pixel_peers
from bench.contenders import Call
from bench.gpu_checks import IN_PLACE, IsOver, Launches, label, reason

__all__ = [
    "QUICK_ROUNDS",
    "ROUNDS",
    "WORKLOADS",
    "Contender",
    "LeftOut",
    "Workload",
    "crossover",
    "first_gain",
    "free_memory",
    "interleaved",
    "measured",
    "ratio",
    "record_of",
]

Record = dict[str, Any]
#: Seconds of one sample.
Sampler = Callable[[], float]

#: Rounds in which all that is compared takes part, in a full run and in a quick one.
ROUNDS, QUICK_ROUNDS = 21, 5

#: What takes longer than this takes part in so few rounds only.
LONG_SECONDS, FEW_ROUNDS = 1.0, 3

#: A sample is of about as many seconds, but no more launches than a queue surely holds.
SAMPLE_SECONDS, MOST_LAUNCHES = 1e-3, 32

#: Microseconds for which the GPU is held, at first and at most: launching takes 10 to 100 of them.
HOLD, LONGEST_HOLD = 1_000, 200_000


class LeftOut(Exception):  # noqa: N818 (nothing is wrong)
    """Something is not timed, and why."""


# ---- samples -----------------------------------------------------------------------------------


class _Hold:
    """How long the GPU has to be held, found out while it is used."""

    microseconds = HOLD


def _behind_hold(launch: Call, stream: Any = 0) -> tuple[Any, Any, bool]:
    """Events before and after what a call launches, and whether the GPU had to wait for it."""
    from numba import cuda

    from bench.gpu_kernels import hold

    start, end = cuda.event(), cuda.event()
    hold(_Hold.microseconds, stream)
    start.record(stream)
    launch()
    late = start.query()
    end.record(stream)
    return start, end, bool(late)


def _seconds(start: Any, end: Any) -> float:
    from numba import cuda

    end.synchronize()
    return cuda.event_elapsed_time(start, end) / 1e3


def queued(launch: Call) -> Sampler:
    """Time of what a call launches, without the time that launching takes."""
    once = 0.0

    def sample() -> float:
        nonlocal once
        number = max(1, min(MOST_LAUNCHES, int(SAMPLE_SECONDS / once))) if once else 1

        def launch_all() -> None:
            for _ in range(number):
                launch()

        while True:
            start, end, late = _behind_hold(launch_all)
            seconds = _seconds(start, end) / number
            if not late or _Hold.microseconds >= LONGEST_HOLD:
                once = seconds
                return seconds
            _Hold.microseconds *= 2

    launch()  # compiles
    return sample


class KernelTimes:
    """Times of all kernels of fastiou's that are launched meanwhile, by name."""

    def __init__(self) -> None:
        self._events: list[tuple[str, Any, Any]] = []

    def __enter__(self) -> KernelTimes:
        from fastiou.runtime.gpu_kernel import CudaKernel

        self._launch = launch = CudaKernel.launch

        def timed(kernel: Any, blocks: int, threads: int, stream: Any, *arguments: Any) -> None:
            if label(kernel).startswith("bench-"):
                launch(kernel, blocks, threads, stream, *arguments)
                return
            start, end, late = _behind_hold(
                lambda: launch(kernel, blocks, threads, stream, *arguments), stream
            )
            if late and _Hold.microseconds < LONGEST_HOLD:
                _Hold.microseconds *= 2  # for the launches to come
            self._events.append((label(kernel), start, end))

        CudaKernel.launch = timed  # type: ignore[method-assign]
        return self

    def __exit__(self, *exception: object) -> None:
        from fastiou.runtime.gpu_kernel import CudaKernel

        CudaKernel.launch = self._launch  # type: ignore[method-assign]

    def seconds(self) -> dict[str, float]:
        """Seconds of all launches of each kernel."""
        total: dict[str, float] = {}
        for name, start, end in self._events:
            total[name] = total.get(name, 0.0) + _seconds(start, end)
        return total


class _KernelSampler:
    def __init__(self, call: Call) -> None:
        self._call = call
        #: Those of the last sample.
        self.kernels: dict[str, float] = {}

    def __call__(self) -> float:
        with KernelTimes() as times:
            self._call()
        self.kernels = times.seconds()
        return sum(self.kernels.values())


def check_launches(call: Call) -> None:
    """Call once, and raise if that launched no kernel: the CPU's time must not pass for a GPU's."""
    with Launches() as launches:
        call()
    if not launches.total:
        raise AssertionError("the call launched no kernel")


def of_kernels(call: Call) -> Sampler:
    """Time of a call's kernels, added up."""
    check_launches(call)
    return _KernelSampler(call)


def of_call(call: Call) -> Sampler:
    """Time of a whole call, results on the GPU."""
    from numba import cuda

    def sample() -> float:
        start, end = cuda.event(), cuda.event()
        cuda.synchronize()
        start.record()
        call()
        end.record()
        return _seconds(start, end)

    call()
    return sample


def of_host_call(call: Call) -> Sampler:
    """Time of a whole call by the clock, results on the host."""

    def sample() -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    call()
    return sample


# ---- contenders --------------------------------------------------------------------------------


class Contender(NamedTuple):
    """One row of a comparison."""

    #: "kernel", "call", "bound", "peer" or "cpu".
    kind: str
    set_up: Callable[[Any], Sampler]


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise LeftOut("PyTorch is not installed") from None
    if not torch.cuda.is_available():
        raise LeftOut("this PyTorch cannot use the GPU")
    return torch


def _torchvision() -> Any:
    _torch()
    try:
        from torchvision import ops
    except (ImportError, RuntimeError) as error:
        raise LeftOut(f"torchvision cannot be imported: {error}") from None
    return ops


def _has_torchvision() -> bool:
    try:
        _torchvision()
    except LeftOut:
        return False
    return True


class Boxes:
    """Two sets of boxes, wherever they are needed, and one buffer for whoever writes a result."""

    def __init__(self, scene: box_peers.Scene, dtype: Any = np.float32, numbers: int = 0) -> None:
        self.hosts = [scene.boxes1.astype(dtype), scene.boxes2.astype(dtype)]
        self.dtype = np.dtype(dtype)
        #: How many numbers the buffer holds.
        self.numbers = numbers

    @functools.cached_property
    def tensors(self) -> list[Any]:
        torch = _torch()
        return [torch.from_numpy(array).cuda() for array in self.hosts]

    @functools.cached_property
    def on_gpu(self) -> list[Any]:
        """Tensors, or Numba's arrays where PyTorch is not there."""
        try:
            return self.tensors
        except LeftOut:
            from numba import cuda

            return [cuda.to_device(array) for array in self.hosts]

    @functools.cached_property
    def buffer(self) -> Any:
        from numba import cuda

        return cuda.device_array(self.numbers, self.dtype)


def _fill(stores: int) -> Contender:
    def set_up(scene: Boxes) -> Sampler:
        from bench.gpu_kernels import fill

        numbers = scene.buffer.view(np.float32)
        return queued(lambda: fill(numbers, 0.5, stores))

    return Contender("bound", set_up)


def _copy() -> Contender:
    def set_up(scene: Boxes) -> Sampler:
        from bench.gpu_kernels import copy_half

        numbers = scene.buffer.view(np.float32)
        return queued(lambda: copy_half(numbers))

    return Contender("bound", set_up)


def _torch_fill() -> Contender:
    def set_up(scene: Boxes) -> Sampler:
        numbers = _torch().as_tensor(scene.buffer, device="cuda")
        return queued(lambda: numbers.fill_(0.5))

    return Contender("bound", set_up)


def _dense_kernel(metric: str) -> Contender:
    """Columns prepared and copied, and the result's memory allocated, beforehand."""

    def set_up(scene: Boxes) -> Sampler:
        from fastiou import box_iou
        from fastiou.cuda.dense import GpuScores
        from fastiou.cuda.prepare import copied
        from fastiou.geometries.boxes import BOX
        from fastiou.metrics import METRICS
        from fastiou.runtime.gpu import Work

        row = METRICS[metric]
        given1, given2 = (
            BOX.read(name, boxes, "xyxy", batches=False)
            for name, boxes in zip(("boxes1", "boxes2"), scene.hosts, strict=True)
        )
        columns = BOX.prepare(given1, given2, row)
        gpu_scores = GpuScores(BOX, row, lambda work: copied(work, *columns, row.has_units), None)
        scores = scene.buffer.reshape(1, given1.size, given2.size)
        # The same arrays each time, whose copies `Work` keeps.
        work, starts = Work(0), np.zeros(1, np.int64)

        def launch() -> None:
            gpu_scores.fill_dense(work, scores, starts, starts)

        sampler = queued(launch)
        some = min(16, given1.size)
        found = scores[0, :some].copy_to_host()
        expected = box_iou(scene.hosts[0][:some], scene.hosts[1], metric=metric, device="cpu")
        if not np.array_equal(found, expected):
            raise AssertionError(f"the kernel of {metric} gave other scores than the CPU")
        return sampler

    return Contender("kernel", set_up)


def _called(
    function: str, sampled: Callable[[Call], Sampler], kind: str, **options: Any
) -> Contender:
    """A call through the public API with arrays on the GPU."""

    def set_up(scene: Boxes) -> Sampler:
        import fastiou

        call = functools.partial(getattr(fastiou, function), *scene.on_gpu, **options)
        check_launches(call)
        return sampled(call)

    return Contender(kind, set_up)


def _fastiou(function: str, **options: Any) -> dict[str, Contender]:
    """The kernels of a call, the call, and the same on the CPU with arrays of the host."""

    def on_cpu(scene: Boxes) -> Sampler:
        import fastiou

        call = functools.partial(getattr(fastiou, function), *scene.hosts, **options)
        if function not in IN_PLACE:
            call = functools.partial(call, device="cpu")
        return of_host_call(call)

    return {
        "fastiou, kernels": _called(function, of_kernels, "kernel", **options),
        "fastiou": _called(function, of_call, "call", **options),
        "fastiou, CPU": Contender("cpu", on_cpu),
    }


def _torchvision_scores(function: str) -> Contender:
    def set_up(scene: Boxes) -> Sampler:
        score = getattr(_torchvision(), function)
        return of_call(lambda: score(*scene.tensors))

    return Contender("peer", set_up)


def _torch_formula(*, giou: bool = False, aligned: bool = False) -> Contender:
    """torchvision's formula, where torchvision itself is not there or cannot do it."""

    def set_up(scene: Boxes) -> Sampler:
        _torch()
        boxes1, boxes2 = scene.tensors
        if not aligned:
            if _has_torchvision():
                raise LeftOut("torchvision is there")
            boxes1 = boxes1[:, None]
        return of_call(lambda: box_peers.torch_scores(boxes1, boxes2, giou=giou))

    return Contender("peer", set_up)


class Pixels(Boxes):
    """Two label images, or two arrays of values."""

    def __init__(self, scene: pixel_peers.Scene) -> None:
        self.hosts = list(scene)


def _torch_unique() -> Contender:
    """One number of two labels, and how often each occurs."""

    def set_up(scene: Pixels) -> Sampler:
        torch = _torch()
        first, second = scene.tensors
        span = int(scene.hosts[1].max()) + 1
        return of_call(lambda: torch.unique(first.long() * span + second, return_counts=True))

    return Contender("peer", set_up)


def _torch_soft() -> Contender:
    """The formula as it is written, in float32."""

    def set_up(scene: Pixels) -> Sampler:
        _torch()
        inputs, targets = scene.tensors

        def call() -> Any:
            shared = (inputs * targets).sum()
            return (shared + 1e-6) / ((inputs + targets).sum() - shared + 1e-6)

        return of_call(call)

    return Contender("peer", set_up)


class Detections(Boxes):
    """Boxes and their scores, as float32."""

    def __init__(self, size: int) -> None:
        found = join_peers.detections(size)
        self.hosts = [found.boxes.astype(np.float32), found.scores.astype(np.float32)]


def _torchvision_nms() -> Contender:
    def set_up(scene: Detections) -> Sampler:
        suppress = _torchvision().nms
        return of_call(lambda: suppress(*scene.tensors, join_peers.BETWEEN))

    return Contender("peer", set_up)


class MaskSets:
    """Two sets of masks: packed for fastiou, and as matrices of 0 and 1 for the others."""

    def __init__(self, scene: mask_peers.Scene) -> None:
        self._scene = scene

    @functools.cached_property
    def hosts(self) -> list[Any]:
        return [masks.packed() for masks in self._scene]

    @functools.cached_property
    def on_gpu(self) -> list[Any]:
        from numba import cuda

        return [cuda.to_device(masks.dense) for masks in self._scene]

    def matrices(self, dtype: str) -> list[Any]:
        torch = _torch()
        return [
            torch.from_numpy(masks.dense.reshape(len(masks.dense), -1))
            .cuda()
            .to(getattr(torch, dtype))
            for masks in self._scene
        ]


def _masks(sampled: Callable[[Call], Sampler], kind: str, device: str) -> Contender:
    """Masks packed beforehand, on the host; their copies to the GPU belong to the call."""

    def set_up(scene: MaskSets) -> Sampler:
        import fastiou

        call = functools.partial(fastiou.mask_iou, *scene.hosts, device=device)
        if device == "cuda":
            check_launches(call)
        return sampled(call)

    return Contender(kind, set_up)


def _pixels() -> Contender:
    """Dense masks on the GPU, which are packed in the call."""

    def set_up(scene: MaskSets) -> Sampler:
        import fastiou

        call = functools.partial(fastiou.mask_iou, *scene.on_gpu)
        check_launches(call)
        return of_call(call)

    return Contender("call", set_up)


def _matmul(dtype: str) -> Contender:
    """Counts of shared pixels alone. float16 overflows beyond 65,504, which its time tells not."""

    def set_up(scene: MaskSets) -> Sampler:
        torch = _torch()
        matrix1, matrix2 = scene.matrices(dtype)
        if dtype == "int8":
            if not hasattr(torch, "_int_mm"):
                raise LeftOut("this PyTorch has no _int_mm")
            return queued(lambda: torch._int_mm(matrix1, matrix2.T))
        return queued(lambda: torch.matmul(matrix1, matrix2.T))

    return Contender("peer", set_up)


# ---- the table ---------------------------------------------------------------------------------


class Workload(NamedTuple):
    """What is compared."""

    #: The function that it is about.
    part: str
    title: str
    size_unit: str
    make: Callable[[int], Any]
    sizes: tuple[int, ...]
    quick_sizes: tuple[int, ...]
    contenders: dict[str, Contender]
    #: What is counted per second, and how many of them a size has.
    rate: tuple[str, Callable[[int], float]] | None = None


def _dense(dtype: Any) -> Callable[[int], Boxes]:
    return lambda size: Boxes(box_peers.crowded(size), dtype, size**2)


def _dense_contenders(metric: str, function: str) -> dict[str, Contender]:
    return {
        **{f"fill, {stores} stores a thread": _fill(stores) for stores in (1, 4, 16)},
        "copy, half to half": _copy(),
        "torch fill_": _torch_fill(),
        "fastiou, kernel": _dense_kernel(metric),
        "fastiou": _called("box_iou", of_call, "call", metric=metric),
        "torchvision": _torchvision_scores(function),
        "torchvision's formula": _torch_formula(giou=metric == "giou"),
    }


def _squared(size: int) -> float:
    return float(size) ** 2


_MASKS = {
    "fastiou, kernels": _masks(of_kernels, "kernel", "cuda"),
    "fastiou": _masks(of_call, "call", "cuda"),
    "fastiou, dense masks on the GPU": _pixels(),
    "torch float32 matmul": _matmul("float32"),
    "torch float16 matmul": _matmul("float16"),
    "torch _int_mm": _matmul("int8"),
}

#: Bytes that an aligned score needs: eight corners and two areas read, and one score written.
ALIGNED_BYTES = 4 * (8 + 2 + 1)

WORKLOADS = {
    "dense": Workload(
        "box_iou", "Dense IoU, float32", "boxes per side", _dense(np.float32),
        (1_000, 10_000, 30_000), (1_000, 10_000), _dense_contenders("iou", "box_iou"),
        ("scores", _squared),
    ),
    "dense-float64": Workload(
        "box_iou", "Dense IoU, float64", "boxes per side", _dense(np.float64), (10_000,),
        (10_000,), _dense_contenders("iou", "box_iou"), ("scores", _squared),
    ),
    "giou": Workload(
        "box_iou", "Dense generalized IoU, float32", "boxes per side", _dense(np.float32),
        (10_000,), (10_000,), _dense_contenders("giou", "generalized_box_iou"),
        ("scores", _squared),
    ),
    "aligned": Workload(
        "box_iou", "Aligned IoU, float32: box i against box i", "pairs of boxes",
        lambda size: Boxes(box_peers.crowded(size), np.float32, ALIGNED_BYTES // 4 * size),
        (10_000_000,), (1_000_000,),
        {
            "copy of as many bytes": _copy(),
            **_fastiou("box_iou", aligned=True),
            "torchvision's formula": _torch_formula(aligned=True),
        },
        ("scores", float),
    ),
    "pairs": Workload(
        "pairs", "Pairs with IoU ≥ 0.1 of two sets, about ten overlaps a box", "boxes per side",
        lambda size: Boxes(box_peers.sparse(size)), (1_000_000,), (100_000,),
        _fastiou("pairs", threshold=join_peers.PAIR_THRESHOLD),
    ),
    "topk": Workload(
        "topk", "The best five of each of the same boxes", "boxes per side",
        lambda size: Boxes(box_peers.sparse(size)), (1_000_000,), (100_000,),
        _fastiou("topk", k=join_peers.BEST),
    ),
    "nms": Workload(
        "nms", "NMS", "boxes", Detections, (100_000,), (100_000,),
        {**_fastiou("nms", threshold=join_peers.BETWEEN), "torchvision": _torchvision_nms()},
    ),
    "soft-nms": Workload(
        "nms", "Soft NMS, linear, all of one group", "boxes", Detections, (10_000,), (1_000,),
        _fastiou("nms", threshold=join_peers.BETWEEN, method="linear"),
    ),
    "label-overlap": Workload(
        "label_overlap", "Pairs of labels of two images full of objects of 64 × 64",
        "pixels per side", lambda size: Pixels(pixel_peers.labels(size)), (4_096,), (1_024,),
        {**_fastiou("label_overlap"), "torch.unique of one number": _torch_unique()},
        ("pixels", _squared),
    ),
    "soft-iou": Workload(
        "soft_iou", "Soft IoU of two arrays of float32", "numbers",
        lambda size: Pixels(pixel_peers.values(size)), (1 << 26,), (1 << 22,),
        {**_fastiou("soft_iou"), "torch, float32": _torch_soft()}, ("numbers", float),
    ),
    "mask-blobs": Workload(
        "mask_iou", "Mask IoU of discs in images of 640 × 640, cropped", "masks per side",
        lambda size: MaskSets(mask_peers.blobs(size)), (400,), (400,),
        {**_MASKS, "fastiou, CPU": _masks(of_host_call, "cpu", "cpu")}, ("scores", _squared),
    ),
    "mask-noise": Workload(
        "mask_iou", "Mask IoU of noise of 512 × 512, full frames", "masks per side",
        lambda size: MaskSets(mask_peers.noise(size)), (2_000,), (500,), _MASKS,
        ("bit-ANDs", lambda size: _squared(size) * mask_peers.NOISE_SIDE**2),
    ),
}  # fmt: skip


# ---- comparing ---------------------------------------------------------------------------------


def interleaved(
    samplers: dict[str, Sampler], rounds: int, is_over: IsOver = lambda: False
) -> dict[str, list[float]]:
    """Samples of all, in turn and in random order, so that a slower spell falls on all alike.

    There are fewer rounds, but no fewer than `FEW_ROUNDS`, where the time is up before.
    """
    samples: dict[str, list[float]] = {name: [] for name in samplers}
    order = list(samplers)
    shuffle = random.Random(0).shuffle
    for this in range(rounds):
        if this >= FEW_ROUNDS and is_over():
            break
        shuffle(order)
        for name in order:
            if this < FEW_ROUNDS or samples[name][0] <= LONG_SECONDS:
                samples[name].append(samplers[name]())
    return samples


def ratio(first: list[float], second: list[float]) -> float:
    """Median over the rounds that both took part in."""
    # The shorter list has the first rounds.
    return statistics.median(a / b for a, b in zip(first, second, strict=False))


def record_of(workload: str, size: int, name: str, kind: str, samples: list[float]) -> Record:
    """Samples, their median and their quartiles."""
    quartiles = statistics.quantiles(samples, n=4) if len(samples) > 1 else samples * 3
    return {
        "workload": workload,
        "size": size,
        "contender": name,
        "kind": kind,
        "seconds": statistics.median(samples),
        "quartiles": [quartiles[0], quartiles[2]],
        "samples": samples,
    }


def _is_out_of_memory(error: Exception) -> bool:
    return (
        isinstance(error, MemoryError)
        or "OutOfMemory" in type(error).__name__
        or "OUT_OF_MEMORY" in str(error)
    )


def _ready(
    contenders: dict[str, Contender], scene: Any
) -> Iterator[tuple[str, Sampler | None, str, bool]]:
    """Each contender's sampler after a first sample, or why there is none and if that is wrong."""
    for name, contender in contenders.items():
        try:
            sampler = contender.set_up(scene)
            sampler()
        except LeftOut as why:
            yield name, None, str(why), False
        except Exception as error:
            if _is_out_of_memory(error):
                yield name, None, "the memory does not suffice", False
            else:
                yield name, None, reason(error), True
        else:
            yield name, sampler, "", False


def free_memory() -> None:
    """Give back what earlier comparisons kept on the GPU."""
    from numba import cuda

    gc.collect()
    cuda.current_context().deallocations.clear()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def measured(
    name: str, size: int, rounds: int, is_over: IsOver = lambda: False
) -> tuple[list[Record], dict[str, str], list[str]]:
    """Records of one comparison, what is left out and why, and what went wrong."""
    workload = WORKLOADS[name]
    scene = workload.make(size)
    samplers: dict[str, Sampler] = {}
    left_out: dict[str, str] = {}
    failures: list[str] = []
    for contender, sampler, why, wrong in _ready(workload.contenders, scene):
        if sampler is not None:
            samplers[contender] = sampler
        else:
            left_out[contender] = why
            if wrong:
                failures.append(f"{name}, size {size:,}, {contender}: {why}")
    records = []
    for contender, samples in interleaved(samplers, rounds, is_over).items():
        kind = workload.contenders[contender].kind
        record = record_of(name, size, contender, kind, samples)
        kernels = getattr(samplers[contender], "kernels", None)
        if kernels:
            record["kernels"] = kernels
        records.append(record)
    return records, left_out, failures


# ---- arrays of the host through either device ----------------------------------------------------


def crossover(sizes: tuple[int, ...], rounds: int) -> Iterator[Record]:
    """Arrays of the host through device="cuda", both transfers counted, against the CPU."""
    import fastiou

    for size in sizes:
        boxes1, boxes2 = Boxes(box_peers.crowded(size)).hosts
        calls = {
            device: functools.partial(fastiou.box_iou, boxes1, boxes2, device=device)
            for device in ("cpu", "cuda")
        }
        check_launches(calls["cuda"])
        samplers = {device: of_host_call(call) for device, call in calls.items()}
        samples = interleaved(samplers, rounds)
        yield {
            "size": size,
            **{device: statistics.median(taken) for device, taken in samples.items()},
            "cpu_over_cuda": ratio(samples["cpu"], samples["cuda"]),
        }


def first_gain(rows: list[Record]) -> int | None:
    """The least size from which on the GPU was faster at every size; None if there is none."""
    found = None
    for row in sorted(rows, key=lambda row: row["size"], reverse=True):
        if row["cpu_over_cuda"] <= 1:
            break
        found = row["size"]
    return found
