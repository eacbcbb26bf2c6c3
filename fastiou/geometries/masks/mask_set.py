"""Sets of binary masks, packed to bits."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fastiou.arrays.checks import chosen_members
from fastiou.arrays.inputs import Input, hand_back, label_image
from fastiou.geometries.masks import bits
from fastiou.geometries.masks.dense_masks import dense_on_gpu, read_dense
from fastiou.geometries.masks.letters import pack_entries
from fastiou.geometries.masks.packing import (
    SCORES_PER_WORD,
    Packed,
    join,
    pack_labels,
    pack_runs,
    padded_words,
    take,
    word_offsets,
)  # fmt: skip
from fastiou.geometries.masks.painting import Painted
from fastiou.geometries.masks.polygons import rasterise
from fastiou.geometries.masks.run_lengths import (
    RunLengths,
    image_size,
    write_run_lengths,
)
from fastiou.geometries.masks.unpacking import runs_of
from fastiou.runtime import memory, steps, threads
from fastiou.runtime.gpu_arrays import Delayed
from fastiou.runtime.words import described, sides
from fastiou.typing import Array

__all__ = [
    "Masks",
    "MasksOnGpu",
    "as_masks",
    "holds_masks",
    "join_sets",
    "masks_of_runs",
    "read_masks",
    "runs_of_masks",
]


class Masks(Painted):
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
    #: Words as `bits` has them, and padding.
    _words: Array
    #: (n,) int64: pixels.
    _areas: Array

    def __init__(self, *arguments: Any, **options: Any) -> None:
        raise TypeError(
            "Masks are made by Masks.from_dense, from_rle, from_polygons or from_labels"
        )

    @classmethod
    def _of(cls, packed: Packed) -> Masks:
        return cls._make(*packed)

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
            "Masks are no array: score them by mask_iou, unpack them by Masks.to_dense(), and join "
            "sets by Masks.concatenate([...])"
        )

    # ---- made from -----------------------------------------------------------------------------

    @classmethod
    def from_dense(cls, array: Any, *, threshold: float | None = None) -> Masks:
        """Pack dense masks.

        Parameters
        ----------
        array : array_like, shape (N, H, W) or (H, W)
            Booleans, integers or floats in any memory layout, of NumPy, PyTorch or another library;
            what is not 0 is foreground. Floats must be whole numbers, unless a threshold is given.
        threshold : float, optional
            What is more than this is foreground, as in ``array > threshold``: for probabilities and
            logits. It is compared without rounding. A NaN is refused.

        Returns
        -------
        Masks

        Raises
        ------
        TypeError
            Not real numbers, or a tensor that requires grad.
        ValueError
            Another shape, or floats that are not whole numbers, without a threshold.
        MemoryError
            The bits would not fit in memory.

        Examples
        --------
        >>> import numpy as np, fastiou
        >>> fastiou.Masks.from_dense(np.eye(100) > 0)
        <Masks: 1 of 100 × 100, 1.6 KiB>
        >>> fastiou.Masks.from_dense([[0.2, 0.9], [0.6, 0.5]], threshold=0.5).area
        array([2])
        """
        return cls._of(read_dense("array", array, threshold)[0])

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
        with memory.in_words("entries", "read fewer at a time"):
            return cls._of(pack_entries("entries", entries, size))

    @classmethod
    def from_polygons(cls, polygons: Any, size: tuple[int, int]) -> Masks:
        """Draw COCO's polygons, to the same pixels as pycocotools.

        Parameters
        ----------
        polygons : sequence of sequence of array_like
            For each mask its rings, each [x1, y1, x2, y2, ...], or points (K, 2) as a list, array
            or tensor, or a contour (K, 1, 2) of OpenCV, in pixels. A mask is the union of its
            rings; one of a single ring may be its points themselves.
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
        >>> fastiou.Masks.from_polygons([[[1, 1], [5, 1], [5, 4], [1, 4]]], (6, 8)).boxes
        array([[1, 1, 5, 4]])
        """
        with memory.in_words("polygons", "pass fewer at a time"):
            return cls._of(pack_runs(*rasterise("polygons", polygons, size)))

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
        given = label_image("image", image)
        array = given.array
        if array.ndim != 2:
            raise ValueError(f"image must have the shape (H, W), got {array.shape}")
        masks, labels = pack_labels(array)
        return cls._of(masks), hand_back(labels, given)

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
            Different sizes (see `padded`), or nothing at all.

        Examples
        --------
        >>> import fastiou
        >>> masks = fastiou.Masks.from_dense([[0, 1], [1, 1]])
        >>> fastiou.Masks.concatenate([masks, masks])
        <Masks: 2 of 2 × 2, 32 bytes>
        """
        if not isinstance(sets, Iterable):
            raise TypeError(f"sets must be a list of Masks, got {described(sets)}")
        given = list(sets)
        if not given:
            raise ValueError("sets must hold at least one set of masks, got none")
        for number, masks in enumerate(given):
            if not isinstance(masks, Masks):
                raise TypeError(f"sets[{number}] must be Masks, got {type(masks).__name__}")
            if masks._size != given[0]._size:
                raise ValueError(
                    f"sets[{number}] has masks of {sides(masks._size)} pixels, sets[0] of "
                    f"{sides(given[0]._size)}; Masks.padded brings them to one size"
                )
        parts = [(masks._boxes, masks._offsets, masks._words) for masks in given]
        return cls._of(join(given[0]._size, parts))

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
                f"size must be at least that of the masks, {sides(self._size)}, got "
                f"{sides((height, width))}"
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
            f"{len(self):,} dense masks of {sides(self._size)} pixels",
            "unpack fewer at a time, as masks[:100].to_dense()",
            zeros=True,
        )
        rows = len(self) * height if width else 0
        for first, last, work in steps.ranges(rows, width * SCORES_PER_WORD):
            threads.run(
                bits.UNPACK, work, self._words, self._offsets, self._boxes, dense, first, last
            )
        return dense.view(np.bool_)

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
        with memory.in_words("run lengths of masks", "write fewer at a time"):
            return write_run_lengths(runs_of(self._packed()))

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
        chosen = chosen_members(index, len(self), "masks")
        return self[int(chosen) : int(chosen) + 1] if chosen.ndim == 0 else self._taken(chosen)

    def _taken(self, chosen: Array) -> Masks:
        return self._of(take(self._packed(), chosen))

    def _packed(self) -> Packed:
        return Packed(self._size, self._boxes, self._offsets, self._words, self._areas)

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
    return Masks._make(size, boxes, word_offsets(boxes), padded_words(words), areas)


def join_sets(sets: list[Masks], order: Array) -> Masks:
    """Sets of one size as one, each mask at its place. The list is emptied, to save memory."""
    size, held = sets[0]._size, sum(masks.nbytes for masks in sets)
    parts = [(masks._boxes, masks._offsets, masks._words) for masks in sets]
    sets.clear()
    return Masks._of(join(size, parts, order, held=held))


def masks_of_runs(runs: RunLengths, firsts: Array | None = None) -> Masks:
    """Masks of runs, or each the union of the runs `firsts[k]` to `firsts[k + 1]`."""
    return Masks._of(pack_runs(runs, firsts))


def runs_of_masks(masks: Masks) -> RunLengths:
    """The run lengths of masks."""
    return runs_of(masks._packed())


def _read_only(array: Array) -> Array:
    # A copy: of a view the flag could be set again.
    copy: Array = array.copy()
    copy.flags.writeable = False
    return copy


# ---- arguments ---------------------------------------------------------------------------------


class MasksOnGpu(Delayed):
    """Dense masks on a GPU, which stay there until the host asks for `Masks`.

    Parameters
    ----------
    name, value
        The argument.
    pixels
        (n, h, w), as kernels read it.
    """

    def __init__(self, name: str, value: Any, pixels: Any) -> None:
        self._name, self._value, self.pixels = name, value, pixels
        self.shape: tuple[int, ...] = tuple(map(int, pixels.shape))

    def __len__(self) -> int:
        return self.shape[0]

    @functools.cached_property
    def on_host(self) -> Masks:
        """The same, packed there, with their words on the host."""
        return Masks._of(read_dense(self._name, self._value)[0])


def holds_masks(value: Any, numbers: int) -> bool:
    """Whether an argument that may hold boxes or masks holds masks: `Masks`, run lengths, images.

    Three dimensions make images, unless the last has the `numbers` of a box: that is a batch of
    boxes; or the last two have a quadrilateral's, as four points.
    """
    if isinstance(value, Masks):
        return True
    if isinstance(value, dict):  # run lengths of one mask, to be refused as such
        return not value.keys().isdisjoint(("size", "counts"))
    shape = _shape_of(value)
    if isinstance(value, list | tuple) and value:
        if isinstance(value[0], dict):
            return True
        # Of lists the first entries tell; whether the others agree shows when they are read.
        shape = (len(value),)
        first = value[0]
        # More dimensions than a set has are none; a list may even hold itself.
        while isinstance(first, list | tuple) and len(shape) <= 3:
            shape = *shape, len(first)
            first = first[0] if first else None
        shape = *shape, *_shape_of(first)
    return len(shape) == 3 and shape[-1] != numbers and (numbers, shape[1:]) != (8, (4, 2))


def _shape_of(value: Any) -> tuple[int, ...]:
    """The shape of an array, () for what has none, or something else by that name."""
    shape = getattr(value, "shape", ())
    return tuple(shape) if isinstance(shape, tuple | list) else ()


def as_masks(name: str, value: Any) -> tuple[Masks, Input | None]:
    """An argument of masks in any form, and the dense array it came as, if any."""
    if isinstance(value, Masks):
        return value, None
    if isinstance(value, dict) or (
        isinstance(value, list | tuple) and any(isinstance(entry, dict) for entry in value)
    ):
        return Masks._of(pack_entries(name, value)), None
    packed, given = read_dense(name, value)
    return Masks._of(packed), given


def read_masks(name: str, value: Any) -> Input:
    """An argument of masks in any form, as `Masks`, and where a dense array came from.

    Dense ones on a GPU stay there until they are asked for.
    """
    on_gpu = dense_on_gpu(name, value)
    if on_gpu is not None:
        return on_gpu[0]._replace(held=MasksOnGpu(name, value, on_gpu[1]))
    masks, given = as_masks(name, value)
    if given is None:
        return Input(name, masks, np.empty(0), None, "numpy")
    return given._replace(held=masks, source=np.empty(0))
