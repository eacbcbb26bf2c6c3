"""Sets of binary masks, packed to bits, and their scores."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fastiou import arrays, dispatch, memory
from fastiou.arrays import Input
from fastiou.cpu import bits
from fastiou.cpu.columns import PADDING
from fastiou.cpu.mask_scores import TILE_COLUMNS, TILE_ROWS, MaskOperand, mask_scores
from fastiou.cuda.interop import GpuArray
from fastiou.metrics import METRICS
from fastiou.polygons import rasterise
from fastiou.results import DenseResult
from fastiou.rle import RunLengths, image_size, read_run_lengths, write_run_lengths

__all__ = [
    "MASK_METRICS",
    "WORDS_PER_SCORE",
    "Masks",
    "is_masks",
    "mask_iou",
    "mask_operand",
    "masks_to_boxes",
    "two_sets",
]

Array = npt.NDArray[Any]

#: The metrics of masks: those that need an intersection and two areas.
MASK_METRICS = [name for name, metric in METRICS.items() if metric.is_ratio]

#: Pixels that are packed at a time, whose bits take 16 MiB until they are cropped.
PIXELS_AT_A_TIME = 1 << 27

#: Words, in 2 or 3 of which a core makes as many steps as for one score of boxes.
WORDS_PER_SCORE = 8

#: Words that pass between two chances for Ctrl-C. One thread takes 0.15 s for as many.
WORDS_PER_STEP = 1 << 29


class Masks:
    """An immutable set of binary masks of one size, as bits.

    Of every mask only the words of its bounding box are kept, 64 pixels to a word. Make one by
    `from_dense`, `from_rle`, `from_polygons` or `from_labels`.

    A set has a length, and is indexed like an array by an integer (which gives a set of one mask),
    a slice, integers or booleans; slices share memory. Sets can be compared, concatenated and
    pickled.

    Examples
    --------
    >>> import fastiou
    >>> masks = fastiou.Masks.from_dense([[[0, 1, 1], [0, 1, 0]], [[0, 0, 0], [0, 0, 0]]])
    >>> masks
    <Masks: 2 of 2 × 3, 16 bytes>
    >>> masks.area
    array([3, 0])
    >>> masks.boxes
    array([[1, 0, 3, 2],
           [0, 0, 0, 0]])
    >>> masks[0].to_dense().astype(int)
    array([[[0, 1, 1],
            [0, 1, 0]]])
    """

    __slots__ = ("_areas", "_boxes", "_offsets", "_size", "_words")

    #: (height, width)
    _size: tuple[int, int]
    #: (n, 4) int64: left, top, right, bottom, half-open; all 0 for an empty mask.
    _boxes: Array
    #: (n + 1,) int64: where the words of each mask begin in `_words`.
    _offsets: Array
    #: Words as `cpu.bits` has them, and padding.
    _words: Array
    #: (n,) int64: pixels.
    _areas: Array

    def __init__(self) -> None:
        raise TypeError(
            "Masks are made by Masks.from_dense, from_rle, from_polygons or from_labels"
        )

    @classmethod
    def _make(
        cls, size: tuple[int, int], boxes: Array, offsets: Array, words: Array, areas: Array
    ) -> Masks:
        masks = object.__new__(cls)
        values = (size, boxes, offsets, words, areas)
        for name, value in zip(
            ("_size", "_boxes", "_offsets", "_words", "_areas"), values, strict=True
        ):
            object.__setattr__(masks, name, value)
        return masks

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"Masks are immutable: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"Masks are immutable: {name} cannot be deleted")

    #: Has NumPy leave comparisons with arrays to `__eq__`.
    __array_ufunc__ = None

    def __array__(self, *arguments: Any, **options: Any) -> Any:
        """Refuse to be taken for an array, which would otherwise fail late and without a reason."""
        raise TypeError(
            "Masks are no array: unpack them by Masks.to_dense(), and join sets by "
            "Masks.concatenate([...])"
        )

    # ---- made from -----------------------------------------------------------------------------

    @classmethod
    def from_dense(cls, array: Any) -> Masks:
        """Pack dense masks.

        Parameters
        ----------
        array : array_like, shape (N, H, W) or (H, W)
            Booleans, integers or floats in any memory layout, of NumPy, PyTorch or another library;
            what is not 0 is foreground.

        Returns
        -------
        Masks

        Raises
        ------
        TypeError
            Not real numbers, or a tensor that requires grad.
        ValueError
            Another shape.
        MemoryError
            The bits would not fit in memory.

        Examples
        --------
        >>> import numpy as np, fastiou
        >>> fastiou.Masks.from_dense(np.eye(100) > 0)
        <Masks: 1 of 100 × 100, 1.6 KiB>
        """
        masks, _ = _packed("array", array)
        return masks

    @classmethod
    def _from_dense(cls, array: Array) -> Masks:
        def pack(first: int, whole: Array, findings: Array) -> None:
            pixels = _as_bytes(array[first : first + len(whole)])
            bands, width = whole.shape[1], pixels.shape[2]
            # A step reads the pixels of some word rows.
            step = max(1, PIXELS_AT_A_TIME // (bits.BITS * width))
            for begin, end in dispatch.steps(len(pixels) * bands, step):
                work = (end - begin) * bits.BITS * width // WORDS_PER_SCORE
                dispatch.run(bits.PACK, work, pixels, whole, findings, begin, end)

        return cls._from_packer(array.shape, pack)

    @classmethod
    def _from_gpu(cls, array: Any, place: GpuArray) -> Masks:
        """Of masks (N, H, W) on a GPU, whose words alone are copied to the host."""
        from fastiou.cuda.bits import pack as pack_on_gpu
        from fastiou.cuda.device import as_device_array, working

        with working(place) as work:
            masks = as_device_array(array)

            def pack(first: int, whole: Array, findings: Array) -> None:
                pack_on_gpu(work, masks[first : first + len(whole)], whole, findings)

            return cls._from_packer(tuple(masks.shape), pack)

    @classmethod
    def _from_packer(
        cls, shape: tuple[int, ...], pack: Callable[[int, Array, Array], None]
    ) -> Masks:
        """Masks of a shape (N, H, W) that are packed some at a time.

        `pack(first, whole, findings)` packs as many as there is room for, as `bits.PACK` does.
        """
        count, height, width = shape
        bands, columns = -(-height // bits.BITS), -(-width // bits.BITS) * bits.BITS
        if not count * height * width:
            return cls._empty((height, width), count)
        # Small masks take whole words all the same.
        at_a_time = min(count, max(1, PIXELS_AT_A_TIME // (bits.BITS * bands * columns)))
        room = memory.allocate(
            (at_a_time, bands, columns), np.uint64, "packing dense masks", "pack fewer at a time"
        )
        found = np.empty((at_a_time, bands, 4), np.int64)
        parts = []
        for first in range(0, count, at_a_time):
            number = min(at_a_time, count - first)
            whole, findings = room[:number], found[:number]
            pack(first, whole, findings)
            boxes = _join_boxes(findings)
            offsets = _word_offsets(boxes)
            words = _allocate_words(int(offsets[-1]))
            dispatch.run(bits.CROP, words.size, whole, findings, boxes, offsets, words)
            parts.append((boxes, offsets, words))
        return cls._joined((height, width), parts)

    @classmethod
    def from_rle(cls, entries: Any, size: tuple[int, int] | None = None) -> Masks:
        """Read COCO's run lengths.

        Parameters
        ----------
        entries : sequence of dict
            Each with "size", (height, width), and "counts": COCO's compressed counts as bytes or
            str, or the run lengths themselves as integers; all of one size.
        size : (height, width), optional
            The size, needed where there are no entries.

        Returns
        -------
        Masks

        Raises
        ------
        TypeError, ValueError
            An entry is malformed; the message names it and tells what is wrong.
        MemoryError
            The bits would not fit in memory.

        Examples
        --------
        >>> import fastiou
        >>> fastiou.Masks.from_rle([{"size": [4, 4], "counts": [5, 2, 2, 2, 5]}]).area
        array([4])
        """
        return cls._from_runs(read_run_lengths("entries", entries, size))

    @classmethod
    def from_polygons(cls, polygons: Any, size: tuple[int, int]) -> Masks:
        """Draw COCO's polygons, to the same pixels as pycocotools.

        Parameters
        ----------
        polygons : sequence of sequence of array_like
            For each mask its rings, each [x1, y1, x2, y2, ...] or an array (K, 2), in pixels. A
            mask is the union of its rings.
        size : (height, width)
            The size of the image. What lies outside is cut off.

        Returns
        -------
        Masks

        Raises
        ------
        TypeError, ValueError
            A ring is malformed; the message names it and tells what is wrong.
        MemoryError
            The bits would not fit in memory.

        Examples
        --------
        >>> import fastiou
        >>> fastiou.Masks.from_polygons([[[1, 1, 5, 1, 5, 4, 1, 4]]], (6, 8)).boxes
        array([[1, 1, 5, 4]])
        """
        runs, firsts = rasterise("polygons", polygons, size)
        return cls._from_runs(runs, firsts)

    @classmethod
    def _from_runs(cls, runs: RunLengths, firsts: Array | None = None) -> Masks:
        """Masks that are each the union of the runs `firsts[k]` to `firsts[k + 1]`."""
        height = runs.size[0]
        number = len(runs.offsets) - 1
        boxes = np.empty((number, 4), np.int64)
        for first, last, work in _spans(runs.offsets):
            dispatch.run(
                bits.MEASURE_RUNS,
                work,
                runs.counts,
                runs.offsets[first : last + 1],
                height,
                boxes[first:last],
            )
        if firsts is None:
            firsts = np.arange(number + 1)
        else:
            boxes = _union_boxes(boxes, firsts, runs.size)
        offsets = _word_offsets(boxes)
        words = _allocate_words(int(offsets[-1]), zeros=True)
        for first, last, work in _spans(runs.offsets[firsts] + offsets):
            dispatch.run(
                bits.FILL_RUNS,
                work,
                runs.counts,
                runs.offsets,
                firsts[first : last + 1],
                height,
                boxes[first:last],
                offsets[first:last],
                words,
            )
        return cls._make(runs.size, boxes, offsets, words, _areas(words, offsets))

    @classmethod
    def from_labels(cls, image: Any) -> tuple[Masks, Any]:
        """Make a mask of every object in a label image.

        Parameters
        ----------
        image : array_like, shape (H, W)
            Integers of any dtype: the label of each pixel, 0 for background.

        Returns
        -------
        masks : Masks
            One mask for each label that occurs.
        labels : array, shape (N,)
            The labels, ascending, in the dtype of the image.

        Raises
        ------
        TypeError, ValueError
            Not integers, or another shape.
        MemoryError
            The bits would not fit in memory.

        Examples
        --------
        >>> import fastiou
        >>> masks, labels = fastiou.Masks.from_labels([[0, 7, 7], [3, 0, 7]])
        >>> labels, masks.area
        (array([3, 7]), array([1, 3]))
        """
        given = arrays.label_array("image", image)
        array = given.array
        if array.ndim != 2:
            raise ValueError(f"image must have the shape (H, W), got {array.shape}")
        labels, indices = _object_numbers(array)
        height, width = array.shape
        count = len(labels)
        blocks = max(1, min(64, height // 16, (1 << 22) // max(count, 1)))
        bounds = np.empty((blocks, count, 4), np.int64)
        boxes = np.empty((0, 4), np.int64)
        if count:
            dispatch.run(bits.MEASURE_LABELS, array.size // 4, indices, bounds)
            low, high = bounds[..., :2].min(0), bounds[..., 2:].max(0)
            boxes = np.concatenate([low, high], axis=1)
        offsets = _word_offsets(boxes)
        words = _allocate_words(int(offsets[-1]), zeros=True)
        if count:
            dispatch.run(bits.FILL_LABELS, array.size // 4, indices, boxes, offsets, words)
        masks = cls._make((height, width), boxes, offsets, words, _areas(words, offsets))
        return masks, arrays.hand_back(labels, given)

    @classmethod
    def _empty(cls, size: tuple[int, int], count: int) -> Masks:
        """Masks without a pixel."""
        return cls._make(
            size,
            np.zeros((count, 4), np.int64),
            np.zeros(count + 1, np.int64),
            _allocate_words(0, zeros=True),
            np.zeros(count, np.int64),
        )

    @classmethod
    def _joined(cls, size: tuple[int, int], parts: list[tuple[Array, Array, Array]]) -> Masks:
        """One set of (boxes, offsets, words) in a row."""
        if len(parts) == 1:
            boxes, offsets, words = parts[0]
            return cls._make(size, boxes, offsets, words, _areas(words, offsets))
        boxes = np.concatenate([boxes for boxes, _, _ in parts])
        sizes = np.concatenate([np.diff(offsets) for _, offsets, _ in parts])
        offsets = _running_sum(sizes)
        words = _allocate_words(int(offsets[-1]))
        position = 0
        for _, own_offsets, own_words in parts:
            some = own_words[own_offsets[0] : own_offsets[-1]]
            words[position : position + len(some)] = some
            position += len(some)
        return cls._make(size, boxes, offsets, words, _areas(words, offsets))

    @classmethod
    def concatenate(cls, sets: Iterable[Masks]) -> Masks:
        """Put sets of masks of one size in a row.

        Parameters
        ----------
        sets : iterable of Masks
            At least one.

        Returns
        -------
        Masks

        Raises
        ------
        TypeError
            Something else than Masks.
        ValueError
            Different sizes, or nothing at all.

        Examples
        --------
        >>> import fastiou
        >>> masks = fastiou.Masks.from_dense([[0, 1], [1, 1]])
        >>> fastiou.Masks.concatenate([masks, masks])
        <Masks: 2 of 2 × 2, 32 bytes>
        """
        given = list(sets)
        if not given:
            raise ValueError("sets must hold at least one set of masks, got none")
        for number, masks in enumerate(given):
            if not isinstance(masks, Masks):
                raise TypeError(f"sets[{number}] must be Masks, got {type(masks).__name__}")
            if masks._size != given[0]._size:
                raise ValueError(
                    f"sets[{number}] has masks of {_sides(masks._size)} pixels, sets[0] of "
                    f"{_sides(given[0]._size)}"
                )
        return cls._joined(
            given[0]._size, [(masks._boxes, masks._offsets, masks._words) for masks in given]
        )

    def padded(self, size: tuple[int, int]) -> Masks:
        """The same masks in larger images, at the upper left; they share memory with these.

        So masks of images of several sizes can be one set, kept apart by groups.

        Parameters
        ----------
        size : tuple of int
            (height, width) of the larger images.

        Returns
        -------
        Masks

        Raises
        ------
        TypeError, ValueError
            The size is none, or smaller than that of the masks.

        Examples
        --------
        >>> import fastiou
        >>> fastiou.Masks.from_dense([[0, 1], [1, 1]]).padded((2, 3)).to_dense().astype(int)
        array([[[0, 1, 0],
                [1, 1, 0]]])
        """
        height, width = image_size("size", size)
        if height < self._size[0] or width < self._size[1]:
            raise ValueError(
                f"size must be at least that of the masks, {_sides(self._size)}, got "
                f"{_sides((height, width))}"
            )
        return self._make((height, width), self._boxes, self._offsets, self._words, self._areas)

    # ---- made into -----------------------------------------------------------------------------

    def to_dense(self) -> npt.NDArray[np.bool_]:
        """Unpack the masks.

        Returns
        -------
        array of bool, shape (N, H, W)

        Raises
        ------
        MemoryError
            They would not fit in memory.

        Examples
        --------
        >>> import fastiou
        >>> fastiou.Masks.from_rle([{"size": [2, 2], "counts": [1, 3]}]).to_dense()
        array([[[False,  True],
                [ True,  True]]])
        """
        height, width = self._size
        dense = memory.allocate(
            (len(self), height, width),
            np.uint8,
            f"{len(self):,} dense masks of {_sides(self._size)} pixels",
            "unpack fewer at a time, as masks[:100].to_dense()",
            zeros=True,
        )
        step = max(1, PIXELS_AT_A_TIME // max(width, 1))
        for first, last in dispatch.steps(len(self) * height if width else 0, step):
            work = (last - first) * width // WORDS_PER_SCORE
            dispatch.run(
                bits.UNPACK, work, self._words, self._offsets, self._boxes, dense, first, last
            )
        return dense.view(np.bool_)  # type: ignore[no-any-return]

    def to_rle(self) -> list[dict[str, Any]]:
        """Write COCO's compressed run lengths, the same bytes as pycocotools.

        Returns
        -------
        list of dict
            Each with "size", [height, width], and "counts", bytes.

        Examples
        --------
        >>> import fastiou
        >>> fastiou.Masks.from_dense([[0, 1], [1, 1]]).to_rle()
        [{'size': [2, 2], 'counts': b'13'}]
        """
        height, width = self._size
        total = height * width
        numbers = np.empty(len(self), np.int64)
        spans = list(_spans(self._offsets))
        for first, last, work in spans:
            dispatch.run(
                bits.COUNT_RUNS,
                work,
                self._words,
                self._offsets[first:last],
                self._boxes[first:last],
                height,
                total,
                numbers[first:last],
            )
        offsets = _running_sum(numbers)
        counts = memory.allocate(
            (int(offsets[-1]),), np.int64, "run lengths of masks", "write fewer at a time"
        )
        for first, last, work in spans:
            dispatch.run(
                bits.WRITE_RUNS,
                work,
                self._words,
                self._offsets[first:last],
                self._boxes[first:last],
                height,
                total,
                offsets[first : last + 1],
                counts,
            )
        return write_run_lengths(RunLengths(self._size, counts, offsets))

    # ---- looked at -----------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of masks, height and width."""
        return (len(self), *self._size)

    @property
    def area(self) -> npt.NDArray[np.int64]:
        """Pixels of every mask, shape (N,)."""
        return _read_only(self._areas)

    @property
    def boxes(self) -> npt.NDArray[np.int64]:
        """Bounding boxes as half-open corners (left, top, right, bottom), shape (N, 4).

        An empty mask has the box (0, 0, 0, 0).
        """
        return _read_only(self._boxes)

    @property
    def nbytes(self) -> int:
        """Bytes of the bits of all masks."""
        return int(self._offsets[-1] - self._offsets[0]) * 8

    @property
    def words_of_each(self) -> npt.NDArray[np.int64]:
        """Words that each mask takes, shape (N,)."""
        return np.diff(self._offsets)

    def __len__(self) -> int:
        return len(self._boxes)

    def __iter__(self) -> Iterator[Masks]:
        for number in range(len(self)):
            yield self[number]

    def __getitem__(self, index: Any) -> Masks:
        if isinstance(index, tuple):
            raise IndexError("masks have one dimension to index; to_dense() unpacks pixels")
        if isinstance(index, slice):
            first, last, step = index.indices(len(self))
            if step == 1:
                last = max(first, last)
                return self._make(
                    self._size,
                    self._boxes[first:last],
                    self._offsets[first : last + 1],
                    self._words,
                    self._areas[first:last],
                )
            return self._taken(np.arange(len(self))[index])
        chosen = np.asarray(index)
        if chosen.dtype == np.bool_:
            if chosen.shape != (len(self),):
                raise IndexError(
                    f"booleans that choose among {len(self)} masks must have the shape "
                    f"({len(self)},), got {chosen.shape}"
                )
            return self._taken(np.flatnonzero(chosen))
        if chosen.shape == (0,):
            return self[:0]
        if chosen.dtype.kind not in "iu" or chosen.ndim > 1:
            raise IndexError(
                "masks are chosen by an integer, a slice, integers or booleans in one dimension, "
                f"got {index!r}"
            )
        wrong = (chosen < -len(self)) | (chosen >= len(self))
        if wrong.any():
            raise IndexError(
                f"index {int(chosen[wrong].flat[0])} is out of range for {len(self)} masks"
            )
        chosen = chosen.astype(np.int64)
        chosen = np.where(chosen < 0, chosen + len(self), chosen)
        return self[int(chosen) : int(chosen) + 1] if chosen.ndim == 0 else self._taken(chosen)

    def _taken(self, chosen: Array) -> Masks:
        sizes = self.words_of_each[chosen]
        offsets = _running_sum(sizes)
        words = _allocate_words(int(offsets[-1]))
        starts = self._offsets[chosen]
        for first, last, work in _spans(offsets):
            dispatch.run(
                bits.GATHER, work, self._words, starts[first:last], offsets[first : last + 1], words
            )
        return self._make(self._size, self._boxes[chosen], offsets, words, self._areas[chosen])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Masks):
            return NotImplemented
        return (
            self._size == other._size
            and np.array_equal(self._boxes, other._boxes)
            and np.array_equal(self._areas, other._areas)
            and np.array_equal(self._own_words(), other._own_words())
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Masks: {len(self):,} of {_sides(self._size)}, {memory.human_size(self.nbytes)}>"

    def _own_words(self) -> Array:
        return self._words[self._offsets[0] : self._offsets[-1]]

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (
            self._size,
            np.ascontiguousarray(self._boxes),
            np.ascontiguousarray(self._own_words()),
            np.ascontiguousarray(self._areas),
        )


def _unpickle(size: tuple[int, int], boxes: Array, words: Array, areas: Array) -> Masks:
    padded = _allocate_words(len(words))
    padded[: len(words)] = words
    return Masks._make(size, boxes, _word_offsets(boxes), padded, areas)


# ---- pieces ------------------------------------------------------------------------------------


def _sides(size: tuple[int, int]) -> str:
    return f"{size[0]:,} × {size[1]:,}"


def _read_only(array: Array) -> Array:
    # A copy: of a view the flag could be set again.
    copy: Array = array.copy()
    copy.flags.writeable = False
    return copy


def _running_sum(sizes: Array) -> Array:
    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return offsets


def _word_offsets(boxes: Array) -> Array:
    """Where the words of masks with these boxes begin."""
    rows = -(-boxes[:, 3] // bits.BITS) - boxes[:, 1] // bits.BITS
    return _running_sum(rows * (boxes[:, 2] - boxes[:, 0]))


def _allocate_words(count: int, *, zeros: bool = False) -> Array:
    needed = count + bits.PADDING
    room = memory.allocate(
        (needed + 8,), np.uint64, "the bits of masks", "take fewer at a time", zeros=zeros
    )
    # From a cache line on: masks of whole lines, as those that fill the image, then load faster.
    first = -room.ctypes.data % 64 // 8
    words: Array = room[first : first + needed]
    words[count:] = 0
    return words


def _areas(words: Array, offsets: Array) -> Array:
    areas = np.empty(len(offsets) - 1, np.int64)
    for first, last, work in _spans(offsets):
        dispatch.run(bits.COUNT_PIXELS, work, words, offsets[first : last + 1], areas[first:last])
    return areas


def _spans(offsets: Array) -> Iterator[tuple[int, int, int]]:
    """Slices of masks for one step each, and their work as `dispatch.run` reckons it.

    `offsets` says where the words or runs of each mask begin.
    """
    count = len(offsets) - 1
    last = 0
    while last < count:
        first = last
        limit = offsets[first] + WORDS_PER_STEP
        last = max(first + 1, int(np.searchsorted(offsets, limit, side="right")) - 1)
        yield first, last, int(offsets[last] - offsets[first]) // WORDS_PER_SCORE + last - first


def _as_bytes(array: Array) -> Array:
    """Masks of any dtype and layout as contiguous bytes, 0 for background."""
    if array.dtype.kind in "biu" and array.dtype.itemsize == 1 and array.flags.carray:
        return array.view(np.uint8)
    foreground: Array = np.not_equal(array, 0, order="C")
    return foreground.view(np.uint8)


def _join_boxes(findings: Array) -> Array:
    """Box of each mask from those of its word rows (n, word rows, 4)."""
    filled = findings[..., 3:] > findings[..., 1:2]
    far = np.iinfo(np.int64).max
    low = np.where(filled, findings[..., :2], far).min(axis=1)
    high = np.where(filled, findings[..., 2:], 0).max(axis=1)
    return np.concatenate([np.where(high > 0, low, 0), high], axis=1)


def _union_boxes(boxes: Array, firsts: Array, size: tuple[int, int]) -> Array:
    """Box around each group of boxes."""
    count = len(firsts) - 1
    owner = np.repeat(np.arange(count), np.diff(firsts))
    filled = boxes[:, 2] > boxes[:, 0]
    low = np.full((count, 2), max(size), np.int64)
    high = np.zeros((count, 2), np.int64)
    np.minimum.at(low, owner[filled], boxes[filled, :2])
    np.maximum.at(high, owner[filled], boxes[filled, 2:])
    return np.concatenate([np.where(high > 0, low, 0), high], axis=1)


def _object_numbers(image: Array) -> tuple[Array, Array]:
    """Labels that occur, without 0, and for each pixel the number of its label, or -1."""
    if not image.size:
        return np.empty(0, image.dtype), np.full(image.shape, -1, np.int32)
    low, high = int(image.min()), int(image.max())
    if high - low <= max(1 << 20, 2 * image.size):
        # A table of all labels that could occur is faster than sorting: 30 ms for 16 M pixels.
        shifted = np.subtract(image, image.dtype.type(low), dtype=np.int64, casting="unsafe")
        seen = np.zeros(high - low + 1, np.bool_)
        seen[shifted.reshape(-1)] = True
        if low <= 0 <= high:
            seen[-low] = False
        present = np.flatnonzero(seen)
        table = np.full(high - low + 1, -1, np.int32)
        table[present] = np.arange(len(present), dtype=np.int32)
        # In uint64 the sum is right, modulo 2⁶⁴, for labels of any integer type.
        labels = (present.astype(np.uint64) + np.uint64(low % 2**64)).astype(image.dtype)
        return labels, np.ascontiguousarray(table[shifted])
    values, inverse = np.unique(image, return_inverse=True)
    present = np.flatnonzero(values != 0)
    numbers = np.full(len(values), -1, np.int32)
    numbers[present] = np.arange(len(present), dtype=np.int32)
    return values[present], np.ascontiguousarray(numbers[inverse.reshape(image.shape)])


# ---- scores ------------------------------------------------------------------------------------


def is_masks(value: Any) -> bool:
    """Whether an argument that may hold boxes or masks holds masks: `Masks`, run lengths, images.

    Three dimensions make images, unless the last has room for a box: that is a batch of boxes.
    """
    if isinstance(value, Masks | dict):
        return True
    shape = tuple(getattr(value, "shape", ()))
    if isinstance(value, list | tuple) and value:
        if isinstance(value[0], dict):
            return True
        # Of lists the first entries tell; whether the others agree shows when they are read.
        shape = (len(value),)
        first = value[0]
        while isinstance(first, list | tuple):
            shape = *shape, len(first)
            first = first[0] if first else None
        shape = *shape, *getattr(first, "shape", ())
    return len(shape) == 3 and shape[-1] != 4


def _packed(name: str, value: Any) -> tuple[Masks, Input]:
    """A dense argument as masks, packed where it lies, and what it came as."""
    on_gpu = arrays.masks_on_gpu(name, value)
    if on_gpu is not None and on_gpu[0].gpu is not None:
        given, array = on_gpu
        with contextlib.suppress(MemoryError):  # of the GPU; the host may have more
            return Masks._from_gpu(array, on_gpu[0].gpu), given
    given = arrays.mask_array(name, value)
    return Masks._from_dense(given.array), given


def _as_masks(name: str, value: Any) -> tuple[Masks, Input | None]:
    """An argument of masks in any form, and the dense array it came as, if any."""
    if isinstance(value, Masks):
        return value, None
    if isinstance(value, dict) or (
        isinstance(value, list | tuple) and any(isinstance(entry, dict) for entry in value)
    ):
        return Masks._from_runs(read_run_lengths(name, value)), None
    return _packed(name, value)


def two_sets(name1: str, value1: Any, name2: str, value2: Any) -> tuple[Masks, Masks, list[Input]]:
    """Two arguments of masks of one size, and those of them that came as dense arrays."""
    set1, given1 = _as_masks(name1, value1)
    set2, given2 = (set1, given1) if value2 is value1 else _as_masks(name2, value2)
    inputs = [given for given in (given1, given2) if given is not None]
    arrays.check_one_library(*inputs)
    if len(set1) and len(set2) and set1._size != set2._size:
        raise ValueError(
            f"{name1} and {name2} must have one size, got {_sides(set1._size)} and "
            f"{_sides(set2._size)}"
        )
    return set1, set2, inputs


def mask_operand(masks: Masks, order: Array | None = None) -> MaskOperand:
    """Masks as the kernels read them, those of `order` in its order where one is given."""
    chosen: Any = slice(None) if order is None else order
    count = len(masks) if order is None else len(order)
    table = np.zeros((6, count + PADDING), np.int64)
    table[:4, :count] = masks._boxes[chosen].T
    table[4, :count] = masks._offsets[:-1][chosen]
    table[5, :count] = masks._areas[chosen]
    return MaskOperand(masks._words, table)


def mask_iou(
    masks1: Any,
    masks2: Any,
    *,
    metric: str = "iou",
    aligned: bool = False,
    iscrowd: Any = None,
    out: Any = None,
    device: str = "auto",
) -> Any:
    """Score every mask of one set against every mask of another.

    Parameters
    ----------
    masks1, masks2 : Masks, array_like or list of dict
        Packed masks; dense masks, shape (N, H, W) or (H, W), of any real dtype, where what is not 0
        is foreground; or COCO's run lengths. All of one size. Packing takes longer than scoring:
        masks that are used again are better packed once, by `Masks`.
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

    Returns
    -------
    array of float64, shape (N, M), or (N,) if aligned
        Of the library that dense masks came from, else of NumPy. An empty mask scores 0.

    Raises
    ------
    TypeError, ValueError
        Masks of two sizes, malformed run lengths, a wrong shape or option.
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
    arrays.check_choice("metric", metric, MASK_METRICS)
    dispatch.check_device(device)
    set1, set2, inputs = two_sets("masks1", masks1, "masks2", masks2)
    if aligned and len(set1) != len(set2):
        raise ValueError(
            f"aligned=True needs as many masks1 as masks2, got {len(set1)} and {len(set2)}"
        )
    crowd = np.zeros(len(set2), np.bool_)
    if iscrowd is not None:
        crowd = arrays.crowd_array(iscrowd, len(set2), "masks2")
    parts = (1, len(set1), 1 if aligned else len(set2))

    def fill(target: Array) -> None:
        scores = target if target.flags.carray else np.empty(target.shape)
        if scores.size:
            fill_contiguous = _fill_aligned if aligned else _fill_dense
            fill_contiguous(metric, set1, set2, crowd, scores)
        if scores is not target:
            target[...] = scores

    result = DenseResult(
        inputs,
        parts[1:2] if aligned else parts[1:],
        np.dtype(np.float64),
        parts,
        f"mask_iou of {len(set1):,} × {len(set2):,} masks",
        "score fewer at a time",
        fill,
        _OnGpu(metric, set1, set2, crowd, aligned).fill,
    )
    return result.compute(out, device)


class _OnGpu:
    """Fills blocks of one result on a GPU; masks are copied there when the first is asked for."""

    def __init__(self, metric: str, set1: Masks, set2: Masks, crowd: Array, aligned: bool) -> None:
        self._arguments = metric, set1, set2, crowd
        self._aligned = aligned

    @functools.cached_property
    def _scores(self) -> Any:
        from fastiou.cuda.mask_scores import MaskScores

        metric, set1, set2, crowd = self._arguments
        operand1 = _own_operand(set1)
        operand2 = operand1 if set2 is set1 else _own_operand(set2)
        size = 0 if self._aligned else _size_of_all(set1, set2)
        return MaskScores(metric, operand1, operand2, size, crowd)

    def fill(self, work: Any, scores: Any, batches: slice, first_row: int) -> None:
        """Fill scores (1, rows, columns), beginning with this row."""
        if self._aligned:
            self._scores.fill_aligned(work, scores.reshape(scores.size), first_row)
        else:
            self._scores.fill_dense(work, scores.reshape(scores.shape[1:]), first_row)


def _own_operand(masks: Masks) -> MaskOperand:
    """Masks as the kernels read them, without the words of others that they are a slice of."""
    table = mask_operand(masks).table
    table[4, : len(masks)] -= masks._offsets[0]
    return MaskOperand(masks._own_words(), table)


def _size_of_all(set1: Masks, set2: Masks) -> int:
    """Words of every mask of two sets if all have one box, 0 if there is nothing of the kind."""
    box = set1._boxes[0]
    if (set1._boxes == box).all() and (set2._boxes == box).all():
        return int(set1.words_of_each[0])
    return 0


def _fill_aligned(metric: str, set1: Masks, set2: Masks, crowd: Array, scores: Array) -> None:
    operands = *mask_operand(set1), *mask_operand(set2)
    for first, last, work in _spans(set1._offsets):
        dispatch.run(mask_scores(metric).aligned, work, *operands, crowd, scores, first, last)


def _fill_dense(metric: str, set1: Masks, set2: Masks, crowd: Array, scores: Array) -> None:
    operand1 = mask_operand(set1)
    operand2 = operand1 if set2 is set1 else mask_operand(set2)
    kernels = mask_scores(metric)
    count1, count2 = scores.shape
    sizes = set1.words_of_each
    size = _size_of_all(set1, set2)
    if size:  # nothing to crop, as with masks that fill the image
        tiles = -(-count1 // TILE_ROWS) * -(-count2 // TILE_COLUMNS)
        per_tile = TILE_ROWS * TILE_COLUMNS * size
        for first, last in dispatch.steps(tiles, max(1, WORDS_PER_STEP // per_tile)):
            work = (last - first) * per_tile // WORDS_PER_SCORE
            dispatch.run(
                kernels.uniform, work, *operand1, *operand2, crowd, scores, size, first, last
            )
        return
    any_crowd = bool(crowd.any())
    for first_column, last_column, _ in _spans(set2._offsets):
        columns = last_column - first_column
        words = int(set2._offsets[last_column] - set2._offsets[first_column])
        # A row reads no more words than it has itself for each column, nor than the columns have.
        cost = _running_sum(np.minimum(sizes * columns, words) + WORDS_PER_SCORE * columns)
        for first_row, last_row, work in _spans(cost):
            dispatch.run(
                kernels.dense,
                work,
                *operand1,
                *operand2,
                crowd,
                any_crowd,
                dispatch.thread_count(),
                scores,
                first_row,
                last_row,
                first_column,
                last_column,
            )


# ---- boxes of masks ----------------------------------------------------------------------------


def masks_to_boxes(masks: Any) -> Any:
    """Bounding boxes as torchvision has them.

    Parameters
    ----------
    masks : Masks, array_like or list of dict
        Masks, as in `mask_iou`.

    Returns
    -------
    array of float32, shape (N, 4)
        (left, top, right, bottom), the last two of the last pixel itself, so that a single pixel
        has right = left; zeros for an empty mask. `Masks.boxes` has them half-open.

    Raises
    ------
    TypeError, ValueError
        As `mask_iou`.

    Examples
    --------
    >>> import fastiou
    >>> fastiou.masks_to_boxes([[[0, 1, 1], [0, 1, 0]]])
    array([[1., 0., 2., 1.]], dtype=float32)
    """
    packed, given = _as_masks("masks", masks)
    boxes = packed._boxes.astype(np.float32)
    boxes[packed._areas > 0, 2:] -= 1
    return boxes if given is None else arrays.hand_back(boxes, given)
