"""Masks: what is timed, and how each library does it.

Each library gets the form of masks that it works on: words of bits, run lengths, bytes in columns,
or dense floats. Making that form is set-up, unless it is what the workload is about.
"""

from __future__ import annotations

import functools
import importlib
import os
import timeit
from typing import Any, NamedTuple

import numpy as np

from bench.contenders import (
    Array,
    Call,
    Contender,
    Workload,
    fill_bound,
    read_and_fill_bound,
    read_bound,
)

__all__ = ["MASK_WORKLOADS", "Discs", "Noise", "Scene"]


# ---- scenes ------------------------------------------------------------------------------------


class Discs:
    """Discs with their centres anywhere in square images, and cut off by the border."""

    def __init__(
        self, rng: np.random.Generator, count: int, side: int, least: int, most: int
    ) -> None:
        # The runs of neighbouring columns would otherwise touch from bottom to top.
        assert 2 * most < side
        self.side = side
        self.centres = rng.integers(0, side, (count, 2))
        self.radii = rng.integers(least, most + 1, count)

    @functools.cached_property
    def dense(self) -> Array:
        """Booleans, (N, H, W)."""
        square = (np.arange(self.side) - self.centres[..., None]) ** 2
        inside = np.empty((len(self.radii), self.side, self.side), np.bool_)
        for mask, (x, y), radius in zip(inside, square, self.radii, strict=True):
            np.less_equal(x[None] + y[:, None], radius**2, out=mask)
        return inside

    @functools.cached_property
    def columns(self) -> Array:
        """Bytes, (H, W, N), column after column: what encoders of run lengths read fastest."""
        return np.asfortranarray(self.dense.view(np.uint8).transpose(1, 2, 0))

    @functools.cached_property
    def entries(self) -> list[dict[str, Any]]:
        """COCO's compressed run lengths, of which the scores of all libraries show that they fit.

        They are made from the geometry: dense masks of many small discs would fill the memory.
        """
        from fastiou import Masks

        size = (self.side, self.side)
        counts = [self._counts(*disc) for disc in zip(*self.centres.T, self.radii, strict=True)]
        return Masks.from_rle([{"size": size, "counts": part} for part in counts], size).to_rle()

    def _counts(self, x: int, y: int, radius: int) -> Array:
        columns = np.arange(max(0, x - radius), min(self.side, x + radius + 1))
        reach = np.sqrt(radius**2 - (columns - x) ** 2).astype(np.int64)
        first, last = np.maximum(0, y - reach), np.minimum(self.side, y + reach + 1)
        edges = np.stack([first, last], 1) + self.side * columns[:, None]
        counts = np.diff(edges.reshape(-1), prepend=0, append=self.side**2)
        return counts if counts[-1] else counts[:-1]

    def packed(self) -> Any:
        from fastiou import Masks

        return Masks.from_rle(self.entries)


class Noise:
    """Images in which every pixel is foreground with probability ½."""

    def __init__(self, rng: np.random.Generator, count: int, side: int) -> None:
        self.rows = rng.integers(0, 256, (count, side * side // 8), np.uint8)
        self.side = side

    @functools.cached_property
    def dense(self) -> Array:
        """Booleans, (N, H, W)."""
        pixels = np.unpackbits(self.rows, axis=1).view(np.bool_)
        return pixels.reshape(-1, self.side, self.side)

    def packed(self) -> Any:
        from fastiou import Masks

        return Masks.from_dense(self.dense)


class Scene(NamedTuple):
    """Two sets of masks to compare."""

    masks1: Any
    masks2: Any


BLOB_SIDE, SMALL_SIDE, NOISE_SIDE = 640, 2048, 512


def one_set(size: int) -> Discs:
    """Discs of radius 5 to 160 in images of 640 × 640."""
    return Discs(np.random.default_rng(size), size, BLOB_SIDE, 5, 160)


def blobs(size: int) -> Scene:
    """Two sets of such discs."""
    rng = np.random.default_rng(size)
    return Scene(*(Discs(rng, size, BLOB_SIDE, 5, 160) for _ in range(2)))


def small_objects(size: int) -> Scene:
    """Discs of 11 to 31 pixels in images of 2048 × 2048."""
    rng = np.random.default_rng(size)
    return Scene(*(Discs(rng, size, SMALL_SIDE, 5, 15) for _ in range(2)))


def noise(size: int) -> Scene:
    """Noise of 512 × 512."""
    rng = np.random.default_rng(size)
    return Scene(*(Noise(rng, size, NOISE_SIDE) for _ in range(2)))


# ---- scores ------------------------------------------------------------------------------------


def _fill() -> Contender:
    def shape(scene: Scene) -> tuple[int, ...]:
        return tuple(len(masks.packed()) for masks in scene)

    return fill_bound("stream_fill", shape, np.float64)


def _read_bits_and_fill() -> Contender:
    def inputs(scene: Scene) -> list[Array]:
        return [masks.rows for masks in scene]

    def outputs(scene: Scene) -> list[tuple[int, Any]]:
        return [(len(scene.masks1.rows) * len(scene.masks2.rows), np.float64)]

    return read_and_fill_bound(inputs, outputs)


def _fastiou() -> Contender:
    def set_up(scene: Scene) -> Call:
        import fastiou

        masks1, masks2 = (masks.packed() for masks in scene)
        return lambda: fastiou.mask_iou(masks1, masks2)

    return Contender(set_up)


#: Modules with the functions of pycocotools.mask.
PYCOCOTOOLS, HOTCOCO, FASTER = "pycocotools.mask", "hotcoco.mask", "faster_coco_eval.core.mask"


def _run_lengths_iou(module: str) -> Contender:
    """Scores of compressed run lengths."""

    def set_up(scene: Scene) -> Call:
        iou = importlib.import_module(module).iou
        entries1, entries2 = (masks.entries for masks in scene)
        iscrowd = np.zeros(len(entries2), np.uint8)
        return lambda: iou(entries1, entries2, iscrowd)

    return Contender(set_up)


def _matmul() -> Contender:
    """Intersections alone, which float32 holds exactly below 2^24 pixels."""

    def set_up(scene: Scene) -> Call:
        import torch

        dense1, dense2 = (masks.dense.reshape(len(masks.dense), -1) for masks in scene)
        areas1, areas2 = (np.count_nonzero(dense, 1) for dense in (dense1, dense2))
        matrix1, matrix2 = (
            torch.from_numpy(dense.astype(np.float32)) for dense in (dense1, dense2)
        )
        return lambda: (torch.matmul(matrix1, matrix2.T), areas1, areas2)

    def read(found: tuple[Any, Array, Array]) -> Array:
        intersections = found[0].numpy().astype(np.float64)
        scores: Array = intersections / (found[1][:, None] + found[2] - intersections)
        return scores

    return Contender(set_up, read)


def _simsimd() -> Contender:
    """Jaccard distances of packed rows, on as many threads as are fastest: it starts them anew."""

    def set_up(scene: Scene) -> Call:
        import simsimd

        rows1, rows2 = (masks.rows for masks in scene)

        def call(threads: int) -> Any:
            return simsimd.cdist(rows1, rows2, "jaccard", dtype="bin8", threads=threads)

        def seconds(threads: int) -> float:
            return min(timeit.repeat(functools.partial(call, threads), number=1, repeat=3))

        cores = os.cpu_count() or 1
        return functools.partial(call, min((0, 1, cores, 2 * cores), key=seconds))

    return Contender(set_up, lambda distances: 1 - np.asarray(distances))


# ---- packing and run lengths -------------------------------------------------------------------


def _characters(entries: list[dict[str, Any]]) -> Array:
    """The strings of all entries, in a form that can be compared."""
    return np.frombuffer(b" ".join(entry["counts"] for entry in entries), np.uint8)


def _length(entries: list[dict[str, Any]]) -> int:
    return sum(len(entry["counts"]) for entry in entries)


def _pack() -> Contender:
    def set_up(masks: Discs) -> Call:
        from fastiou import Masks

        dense = masks.dense
        return lambda: Masks.from_dense(dense)

    return Contender(set_up, lambda packed: _characters(packed.to_rle()))


def _encode(module: str) -> Contender:
    def set_up(masks: Discs) -> Call:
        encode = importlib.import_module(module).encode
        columns = masks.columns
        return lambda: encode(columns)

    return Contender(set_up, _characters)


def _from_rle() -> Contender:
    def set_up(masks: Discs) -> Call:
        from fastiou import Masks

        entries = masks.entries
        return lambda: Masks.from_rle(entries)

    return Contender(set_up, lambda packed: packed.to_dense().view(np.uint8))


def _decode(module: str) -> Contender:
    def set_up(masks: Discs) -> Call:
        decode = importlib.import_module(module).decode
        entries = masks.entries
        return lambda: decode(entries)

    return Contender(set_up, lambda columns: np.asarray(columns).transpose(2, 0, 1))


def _to_rle() -> Contender:
    def set_up(masks: Discs) -> Call:
        return masks.packed().to_rle

    return Contender(set_up, _characters)


def _read_strings_and_fill() -> Contender:
    def inputs(masks: Discs) -> list[Array]:
        return [_characters(masks.entries)]

    return read_and_fill_bound(inputs, lambda masks: [(masks.packed().nbytes // 8, np.uint64)])


def _read_words_and_fill() -> Contender:
    def inputs(masks: Discs) -> list[Array]:
        return [np.ones(masks.packed().nbytes // 8, np.uint64)]

    return read_and_fill_bound(inputs, lambda masks: [(_length(masks.entries), np.uint8)])


# ---- the table ---------------------------------------------------------------------------------

MASK_WORKLOADS: dict[str, Workload] = {
    "mask-blobs": Workload(
        "Mask IoU of discs of radius 5 to 160 in 640 × 640",
        "masks per side",
        blobs,
        (10, 100, 400),
        {
            "streaming fill": _fill(),
            "fastiou": _fastiou(),
            "pycocotools": _run_lengths_iou(PYCOCOTOOLS),
            "hotcoco": _run_lengths_iou(HOTCOCO),
            "faster-coco-eval": _run_lengths_iou(FASTER),
            "torch matmul": _matmul(),
        },
        0.0,
        (100,),
        ("pairs of masks", lambda size: size**2),
        "fastiou has packed `Masks`, the libraries for COCO have compressed run lengths, torch has "
        "float32 and makes the intersections alone. The bound is writing the float64 scores; the "
        "words that the masks share come from the caches and are not in it.",
    ),
    "mask-small": Workload(
        "Mask IoU of discs of 11 to 31 pixels in 2048 × 2048",
        "masks per side",
        small_objects,
        (100, 1_000, 3_000),
        {
            "streaming fill": _fill(),
            "fastiou": _fastiou(),
            "pycocotools": _run_lengths_iou(PYCOCOTOOLS),
            "hotcoco": _run_lengths_iou(HOTCOCO),
            "faster-coco-eval": _run_lengths_iou(FASTER),
        },
        0.0,
        (1_000,),
        ("pairs of masks", lambda size: size**2),
        "As above. Hardly any two discs meet. Dense masks for a matmul would take 16 MiB each.",
    ),
    "mask-noise": Workload(
        "Mask IoU of full-frame noise, 512 × 512",
        "masks per side",
        noise,
        (10, 100, 300),
        {
            "read and fill": _read_bits_and_fill(),
            "fastiou": _fastiou(),
            "simsimd": _simsimd(),
            "torch matmul": _matmul(),
        },
        1e-6,
        (100,),
        ("pairs of masks", lambda size: size**2),
        "fastiou has packed `Masks`, simsimd packed rows, torch float32. The bound is reading both "
        "sets of bits once and writing the float64 scores; every pair of masks is 4,096 pairs of "
        "words, which must be combined and counted whatever the memory does.",
    ),
    "mask-pack": Workload(
        "Packing dense masks: the same discs as booleans, 640 × 640",
        "masks",
        one_set,
        (10, 100, 400),
        {
            "read": read_bound(lambda masks: [masks.dense]),
            "fastiou": _pack(),
            "pycocotools": _encode(PYCOCOTOOLS),
            "hotcoco": _encode(HOTCOCO),
            "faster-coco-eval": _encode(FASTER),
        },
        0.0,
        (100,),
        ("bytes read", lambda size: size * BLOB_SIDE**2),
        "fastiou makes `Masks` of an array (N, H, W), the others make compressed run lengths of "
        "one (H, W, N) whose columns are contiguous. The bound is reading the booleans.",
    ),
    "rle-in": Workload(
        "Run lengths in: the same discs",
        "masks",
        one_set,
        (10, 100, 400),
        {
            "read and fill": _read_strings_and_fill(),
            "fastiou": _from_rle(),
            "pycocotools": _decode(PYCOCOTOOLS),
            "hotcoco": _decode(HOTCOCO),
            "faster-coco-eval": _decode(FASTER),
        },
        0.0,
        (100,),
        ("masks", lambda size: size),
        "fastiou makes `Masks` of compressed run lengths, the others dense bytes. The bound is "
        "reading the strings and writing the words.",
    ),
    "rle-out": Workload(
        "Run lengths out: the same discs",
        "masks",
        one_set,
        (10, 100, 400),
        {
            "read and fill": _read_words_and_fill(),
            "fastiou": _to_rle(),
            "pycocotools": _encode(PYCOCOTOOLS),
            "hotcoco": _encode(HOTCOCO),
            "faster-coco-eval": _encode(FASTER),
        },
        0.0,
        (100,),
        ("masks", lambda size: size),
        "fastiou makes compressed run lengths of `Masks`, the others of dense bytes in columns. "
        "The bound is reading the words and writing the strings.",
    ),
}
