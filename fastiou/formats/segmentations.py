"""The masks of COCO's entries, of which those that are asked for are packed.

They are objects of Python, or stand in a text: what is plain there is packed straight from it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastiou.formats.content import Booleans, Integers
from fastiou.formats.errors import FileError
from fastiou.formats.json_objects import json_value
from fastiou.formats.mask_faults import OUTLINES, RUNS, mask_fault, mask_faults
from fastiou.formats.sizes import Size, are_sizes, mask_size, size_described
from fastiou.parsing.mask_kinds import LETTERS, NUMBERS, OTHER, RINGS
from fastiou.runtime import memory
from fastiou.typing import Array

if TYPE_CHECKING:
    from fastiou.geometries.masks.letters import Letters
    from fastiou.geometries.masks.mask_set import Masks
    from fastiou.geometries.masks.packing import Packed
    from fastiou.geometries.masks.run_lengths import RunLengths
    from fastiou.parsing.json_columns import Objects
    from fastiou.parsing.json_masks import MaskTexts

__all__ = ["Segmentations", "is_no_mask", "masks_in_text", "with_arrays"]

#: Masks that are packed at a time: few enough that Ctrl-C and progress do not wait.
MASKS_AT_A_TIME = 1024

#: Bytes of packed masks that any file may hold, and how many times the size of a file they may
#: take beyond that. Those of COCO's files take 70 times it, 40 letters are a mask of 450 MB, and
#: packing two files of 1 GiB and comparing them takes 8 to 19 s.
LARGEST_PACKED, MOST_PACKED = 1 << 29, 1000

#: Kinds of objects, behind those of masks in a text.
RUNS_OF_PYTHON, OUTLINES_OF_PYTHON = 4, 5

#: The kind of objects that is read from a text, by the kind in it.
OF_PYTHON = {LETTERS: RUNS_OF_PYTHON, NUMBERS: RUNS_OF_PYTHON, RINGS: OUTLINES_OF_PYTHON}

#: Sides that are larger belong to no image.
LARGEST_SIDE = 1 << 32

#: Pixels of masks that were not measured yet.
UNKNOWN = -2

#: What is called with the number of masks packed so far and in all.
Progress = Callable[[int, int], None]


class _Part(NamedTuple):
    """Some masks, before they are packed."""

    #: Which they are of those that were asked for.
    positions: Integers
    #: Tells bounding boxes and pixels, as `Packed` has them.
    measure: Callable[[], tuple[Array, Array]]
    pack: Callable[[], Packed]
    #: Tells boxes that hold them, without bits of any mask.
    bounds: Callable[[], Array]
    #: Whether measuring them makes bits, too.
    are_unions: bool = False


def _of_letters(
    positions: Integers, letters: Letters, boxes: Array, areas: Array, size: Size
) -> _Part:
    """Masks whose run lengths stand in a text."""
    from fastiou.geometries.masks.letters import pack_letters

    return _Part(
        positions,
        lambda: (boxes, areas),
        lambda: pack_letters(letters, boxes, areas, size),
        lambda: boxes,
    )


def _of_runs(positions: Integers, runs: RunLengths, first: Array | None) -> _Part:
    """Masks as run lengths, and which of these are of each mask, if there are several."""
    from fastiou.geometries.masks.packing import measure_runs, measure_unions, pack_runs

    def measure() -> tuple[Array, Array]:
        return measure_runs(runs) if first is None else measure_unions(runs, first)

    def bounds() -> Array:
        boxes, _ = measure_runs(runs)
        if first is None:
            return boxes
        low, high = boxes[:, :2], boxes[:, 2:]
        each = np.minimum.reduceat(low, first[:-1]), np.maximum.reduceat(high, first[:-1])
        return np.hstack(each)

    are_unions = first is not None and bool((np.diff(first) > 1).any())
    return _Part(positions, measure, lambda: pack_runs(runs, first), bounds, are_unions)


class Segmentations(Sequence[Any]):
    """The values of "segmentation" of the entries of a file.

    As a sequence they are objects of Python: a dict of run lengths, a list of polygons, or None.

    Parameters
    ----------
    path
        The file, for messages.
    where
        What messages call an entry, by its number.
    count
        How many entries there are.
    objects
        Objects by the numbers of their entries. Only that each is a dict with a size and counts, a
        list, or None was checked.
    texts
        The masks of all other entries.
    remedy
        Ends messages about a mask.
    """

    def __init__(
        self,
        path: Path,
        where: Callable[[int], str],
        count: int,
        objects: Mapping[int, Any],
        texts: MaskTexts | None = None,
        remedy: str = "",
    ) -> None:
        self._path = path
        self._where = where
        self._count = count
        self._objects = objects
        self._texts = texts
        self._remedy = remedy
        self._kinds = self._kinds_of_all()
        #: Boxes and pixels of the masks that `_measured_letters` knows.
        self._boxes: Array = np.empty((0, 4), np.int64)
        self._areas: Array = np.empty(0, np.int64)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, row: Any) -> Any:
        """The value of an entry."""
        if self._texts is None or row in self._objects:
            return self._objects[row]
        return json.loads(self._texts.data[slice(*self._texts.places[row].tolist())])

    def __iter__(self) -> Iterator[Any]:
        return map(self.__getitem__, range(self._count))

    def _kinds_of_all(self) -> Integers:
        kinds = np.empty(self._count, np.int64)
        if self._texts is not None:
            kinds[:] = self._texts.kinds
        for row, value in self._objects.items():
            if value is None:
                kinds[row] = OTHER
            else:
                is_runs = isinstance(value, dict)
                kinds[row] = RUNS_OF_PYTHON if is_runs else OUTLINES_OF_PYTHON
        return kinds

    @property
    def is_outline(self) -> Booleans:
        """Which are polygons."""
        return np.isin(self._kinds, (RINGS, OUTLINES_OF_PYTHON))

    @property
    def sizes(self) -> Integers | None:
        """Height and width that run lengths tell, (n, 2), -1 for polygons; None if that is rare."""
        if self._texts is None or any(value is not None for value in self._objects.values()):
            return None
        sizes: Integers = self._texts.sizes
        return sizes

    # ---- packed --------------------------------------------------------------------------------

    def masks(self, rows: Any, sizes: Any, progress: Progress = lambda done, total: None) -> Masks:
        """Masks of some entries, in the order in which they are asked for.

        Those of images of all sizes are padded to the largest, which takes no memory.

        Parameters
        ----------
        rows : array_like of int, shape (n,)
            Which entries; each must have a mask.
        sizes : array_like of int, shape (n, 2)
            Height and width of the image of each, -1 where nothing tells. Run lengths have a size
            themselves, which must be the same.
        progress
            Called with the number of masks packed so far and in all.

        Raises
        ------
        FileError
            A mask is malformed, polygons are in an image of unknown size, or the masks do not fit
            in memory, or take far more than their file. The message names the file and the entry.
        """
        from fastiou.geometries.masks.mask_set import Masks, join_sets

        rows, sizes = self._asked(rows, sizes)
        if not len(rows):
            return Masks.from_rle([], (0, 0))
        sets: list[Masks] = []
        order = []
        done = 0
        for part in self._parts_with_room(rows, sizes):
            with self._in_words(rows[part.positions]):
                sets.append(Masks._of(part.pack()))
            order.append(part.positions)
            done += len(part.positions)
            progress(done, len(rows))
            del part
        with self._in_words(rows):
            return join_sets(sets, np.concatenate(order))

    def measured(self, rows: Any, sizes: Any) -> tuple[Integers, Integers]:
        """Pixels and bounding boxes of masks, (n,) and (n, 4), as `Masks` has them.

        Parameters, rules and errors are those of `masks`. Bits are made only of masks of several
        polygons.
        """
        rows, sizes = self._asked(rows, sizes)
        areas, boxes = np.zeros(len(rows), np.int64), np.zeros((len(rows), 4), np.int64)
        for part in self._parts_with_room(rows, sizes, are_packed=False):
            with self._in_words(rows[part.positions]):
                boxes[part.positions], areas[part.positions] = part.measure()
        return areas, boxes

    def _asked(self, rows: Any, sizes: Any) -> tuple[Integers, Integers]:
        """Which entries, and the size of the image of each, which run lengths may tell."""
        rows = np.asarray(rows, np.int64)
        sizes = np.array(sizes, np.int64).reshape(-1, 2)
        own, is_told = self._own_sizes(rows)
        is_known = sizes[:, 0] >= 0
        # Run lengths tell their size, which is that of the image; polygons need that to be told.
        doubtful = np.where(own[:, 0] >= 0, is_known & (own != sizes).any(axis=1), ~is_known)
        doubtful |= ~is_told
        sizes = np.where(is_known[:, None], sizes, own)
        for i in np.flatnonzero(doubtful).tolist():
            size = tuple(sizes[i].tolist())
            sizes[i] = self._size_of(int(rows[i]), size if size[0] >= 0 else None)
        return rows, sizes

    def _own_sizes(self, rows: Integers) -> tuple[Integers, Booleans]:
        """The sizes that run lengths tell, -1 for polygons; and which of these are as usual."""
        own = np.full((len(rows), 2), -1) if self._texts is None else self._texts.sizes[rows]
        is_told = self._kinds[rows] != OTHER
        some = np.flatnonzero(self._kinds[rows] == RUNS_OF_PYTHON)
        if len(some):
            told = [self._objects[row]["size"] for row in rows[some].tolist()]
            is_told[some] = False
            if set(map(type, told)) <= {list, tuple} and set(map(len, told)) == {2}:
                sides = list(itertools.chain.from_iterable(told))
                if set(map(type, sides)) == {int} and max(sides) <= LARGEST_SIDE:
                    own[some] = np.array(sides, np.int64).reshape(-1, 2)
                    is_told[some] = are_sizes(own[some])
        return own, is_told

    def _size_of(self, row: int, told: Size | None) -> Size:
        """The size of an image, which may be told already; raises a FileError."""
        value, where = self[row], self._where(row)
        if value is None:
            expected = f"one to be packed{self._remedy}"
            raise FileError(self._path, 'no "segmentation"', expected, where)
        if not isinstance(value, Mapping):
            if told is None:
                found = "polygons of an image, the size of which is not told"
                expected = '"height" and "width" of the image in "images"'
                raise FileError(self._path, found, expected, where)
            return told
        own = mask_size(self._path, '"segmentation": size', value["size"], where, self._remedy)
        if told not in (None, own):
            found = f'"segmentation" of {size_described(own)}'
            expected = f"{size_described(told)}, the size of the image{self._remedy}"
            raise FileError(self._path, found, expected, where)
        return own

    def _parts_with_room(
        self, rows: Integers, sizes: Integers, *, are_packed: bool = True
    ) -> Iterator[_Part]:
        """The same as `_parts`; few letters of many pixels are refused before any is packed.

        Those that are not `are_packed` are measured alone.

        Raises
        ------
        FileError
            The masks take more than `LARGEST_PACKED`, and more than a file of this size should.
        """
        is_file = self._path.is_file()
        given = self._path.stat().st_size if is_file else 0
        most = max(LARGEST_PACKED, MOST_PACKED * given)
        # That of all images is looked at first, since it is there.
        is_open = is_file and int((sizes[:, 0] * sizes[:, 1]).sum()) > 8 * most
        taken = 0
        for part in self._parts(rows, sizes):
            if is_open and (are_packed or part.are_unions):
                boxes = part.bounds()
                taken += int(((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sum()) // 8
                if taken > most:
                    with self._in_words(rows[part.positions]):
                        memory.check(taken, "the bits of masks", "take fewer at a time")
                    found = f"masks that take more than {memory.human_size(most)}"
                    expected = f"less in a file of {memory.human_size(given)}"
                    expected += "; fastiou.Masks.from_rle and from_polygons have no such limit"
                    raise FileError(self._path, found, expected)
            yield part

    def _parts(self, rows: Integers, sizes: Integers) -> Iterator[_Part]:
        """Masks of some entries at a time, of one kind each."""
        kinds = self._kinds[rows]
        largest = tuple(sizes.max(axis=0, initial=0).tolist())
        try:
            for kind in np.unique(kinds).tolist():
                left = np.flatnonzero(kinds == kind)
                if kind == LETTERS:
                    boxes, areas = self._measured_letters(rows[left])
                    is_valid = areas >= 0
                    some = left[is_valid]
                    yield _of_letters(
                        some, self._letters(rows[some]), boxes[is_valid], areas[is_valid], largest
                    )
                    left = left[~is_valid]
                for begin in range(0, len(left), MASKS_AT_A_TIME):
                    some = left[begin : begin + MASKS_AT_A_TIME]
                    with self._in_words(rows[some]):
                        read = self._read(kind, rows[some], sizes[some], largest)
                    if read is not None:
                        yield _of_runs(some, *read)
                        continue
                    # Python tells what is wrong, or takes what is rare.
                    distinct, numbers = np.unique(sizes[some], axis=0, return_inverse=True)
                    for number, size in enumerate(distinct.tolist()):
                        own = some[numbers.reshape(-1) == number]
                        with self._in_words(rows[own]):
                            objects = [self[row] for row in rows[own].tolist()]
                            is_runs = OF_PYTHON.get(kind, kind) == RUNS_OF_PYTHON
                            read_objects = _part_of_runs if is_runs else _part_of_outlines
                            yield read_objects(own, objects, size, largest)
        except (TypeError, ValueError) as error:
            raise self._fault(rows, sizes) or error from None

    def _letters(self, rows: Integers) -> Letters:
        """Run lengths in the text that are strings."""
        from fastiou.geometries.masks.letters import Letters

        assert self._texts is not None
        begins = self._texts.starts[rows]
        ends = begins + self._texts.amounts[rows, 0]
        return Letters(self._texts.text, begins, ends, self._texts.sizes[rows], doubled=True)

    def _measured_letters(self, rows: Integers) -> tuple[Array, Array]:
        """Boxes and pixels of masks that `_letters` reads, measured once."""
        from fastiou.geometries.masks.letters import measure_letters

        if not len(self._areas):
            self._boxes = np.empty((self._count, 4), np.int64)
            self._areas = np.full(self._count, UNKNOWN, np.int64)
        areas = self._areas[rows]
        is_new = areas == UNKNOWN
        if is_new.any():
            new = rows[is_new]
            self._boxes[new], self._areas[new] = measure_letters(self._letters(new))
            areas = self._areas[rows]
        return self._boxes[rows], areas

    def _read(
        self, kind: int, rows: Integers, sizes: Integers, largest: Size
    ) -> tuple[RunLengths, Array | None] | None:
        """Run lengths of masks in the text, all of one kind; None if something is wrong or rare."""
        if self._texts is None or kind not in (NUMBERS, RINGS):
            return None
        from fastiou.geometries.masks.polygons import rasterise_corners
        from fastiou.geometries.masks.run_lengths import RunLengths

        if kind == NUMBERS:
            counts, offsets = self._texts.counts(rows)
            pixels = sizes[:, 0] * sizes[:, 1]
            # Sums of more could overflow.
            if counts.max(initial=0) > pixels.max(initial=0):
                return None
            if (np.add.reduceat(counts, offsets[:-1]) != pixels).any():
                return None
            return RunLengths(largest, counts, offsets, np.ascontiguousarray(sizes[:, 0])), None
        rings = self._texts.rings(rows)
        if rings is None:
            return None
        of_each = np.repeat(sizes, np.diff(rings.first), axis=0)
        try:
            runs = rasterise_corners(str, rings.corners, rings.cuts, of_each, largest)
        except ValueError:
            return None
        return runs, rings.first

    @contextlib.contextmanager
    def _in_words(self, rows: Integers) -> Iterator[None]:
        """Raise a FileError where there is not enough memory."""
        try:
            yield
        except MemoryError as error:
            where = self._where(int(rows[0]))
            raise FileError(self._path, str(error) or "out of memory", None, where) from None

    def _fault(self, rows: Integers, sizes: Integers) -> FileError | None:
        """What is to be raised for the first mask that is malformed."""
        width = int(sizes[:, 1].max())
        for begin in range(0, len(rows), MASKS_AT_A_TIME):
            some = rows[begin : begin + MASKS_AT_A_TIME].tolist()
            faults = mask_faults([self[row] for row in some], width)
            if faults:
                first = min(faults)
                where = self._where(some[first])
                return FileError(self._path, f"{faults[first]}{self._remedy}", None, where)
        return None


def _part_of_runs(positions: Integers, objects: list[Any], size: Size, largest: Size) -> _Part:
    """Masks of one size, each a dict of run lengths."""
    from fastiou.geometries.masks.letters import letters_of, measure_letters
    from fastiou.geometries.masks.run_lengths import decoded, read_entries

    given = read_entries(RUNS, objects, size)
    letters = letters_of(given)
    if letters is not None:
        boxes, areas = measure_letters(letters)
        if (areas >= 0).all():
            return _of_letters(positions, letters, boxes, areas, largest)
    return _of_runs(positions, _padded(decoded(RUNS, given), largest), None)


def _part_of_outlines(positions: Integers, objects: list[Any], size: Size, largest: Size) -> _Part:
    """Masks of one size, each a list of polygons."""
    from fastiou.geometries.masks.polygons import rasterise

    runs, first = rasterise(OUTLINES, objects, size)
    return _of_runs(positions, _padded(runs, largest), first)


def _padded(runs: RunLengths, largest: Size) -> RunLengths:
    return runs._replace(size=largest, heights=runs.heights_of_each)


# ---- read --------------------------------------------------------------------------------------


def with_arrays(entry: dict[str, Any]) -> dict[str, Any]:
    """The same object, long lists of masks in it as arrays: a quarter of the memory."""
    if "counts" in entry:
        entry["counts"] = _as_array(entry["counts"], {int}, np.int64)
    outlines = entry.get("segmentation")
    if type(outlines) is list:
        entry["segmentation"] = [_as_array(ring, {int, float}, np.float64) for ring in outlines]
    return entry


def _as_array(value: Any, types: set[type], dtype: type) -> Any:
    """A list of numbers as an array; whatever else it is stays, for a message that names it."""
    if type(value) is not list or not set(map(type, value)) <= types:
        return value
    try:
        return np.array(value, dtype)
    except OverflowError:
        return value


def is_no_mask(value: Any) -> bool:
    """Whether the value of "segmentation" says that there is none."""
    return value is None or (isinstance(value, list) and not value)


def masks_in_text(
    path: Path, label: str, data: bytes, objects: Objects, is_needed: bool, remedy: str = ""
) -> tuple[Segmentations, Booleans] | None:
    """The masks of entries in a text, and which entries have one.

    Parameters
    ----------
    path, label
        The file, and what messages call the list of entries.
    data
        The text.
    objects
        Where the masks are in it, as `read_objects` has it.
    is_needed
        Whether every entry must have a mask.
    remedy
        Ends messages about a mask.

    Returns
    -------
    tuple or None
        None if Python's parser tells why it cannot be read.
    """
    from fastiou.parsing.json_masks import describe_masks

    has = objects.present["segmentation"]
    has = np.ones(objects.count, np.bool_) if has is None else has.copy()
    places = objects.columns["segmentation"]
    places = np.where(has[:, None], places, -1) if not has.all() else places
    texts = describe_masks(data, np.ascontiguousarray(places))
    is_runs = (texts.kinds != OTHER) & (texts.kinds != RINGS)
    texts.kinds[is_runs & ~are_sizes(texts.sizes)] = OTHER
    others: dict[int, Any] = {}
    for row in np.flatnonzero(texts.kinds == OTHER).tolist():
        others[row] = None
        if not has[row]:
            continue
        try:
            value = json_value(data[slice(*places[row].tolist())], with_arrays)
        except ValueError:  # a number of thousands of digits, or a name twice
            return None
        if not is_needed and is_no_mask(value):
            has[row] = False
            continue
        entry = with_arrays({"segmentation": value})
        fault = mask_fault(entry)
        if fault is not None:
            return None
        others[row] = entry["segmentation"]

    def where(row: int) -> str:
        return f"{label}[{row}]"

    return Segmentations(path, where, objects.count, others, texts, remedy), has
