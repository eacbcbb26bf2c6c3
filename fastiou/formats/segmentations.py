"""The masks of COCO's entries, of which those that are asked for are packed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastiou.formats.coco import mask_size, size_described
from fastiou.formats.content import Booleans, Integers
from fastiou.formats.errors import FileError
from fastiou.formats.mask_faults import OUTLINES, RUNS, fault_described
from fastiou.typing import Array

if TYPE_CHECKING:
    from fastiou.geometries.masks.mask_set import Masks

__all__ = ["Segmentations"]

#: Masks that are packed at a time: few enough that Ctrl-C and progress do not wait.
MASKS_AT_A_TIME = 1024


class Segmentations:
    """The values of "segmentation" of the entries of a file.

    Parameters
    ----------
    path
        The file, for messages.
    label
        What messages call the list of entries.
    values
        For each entry a dict of run lengths, a list of polygons, or None where it has none. Only
        that it is one of them was checked.
    """

    def __init__(self, path: Path, label: str, values: Sequence[Any]) -> None:
        self.path = path
        self.label = label
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    @property
    def is_outline(self) -> Booleans:
        """Which are polygons."""
        return np.array([isinstance(value, list) for value in self._values], np.bool_)

    def masks(
        self,
        rows: Any,
        sizes: Any,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Masks:
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
            A mask is malformed, or polygons are in an image of unknown size. The message names the
            file and the entry.
        """
        from fastiou.geometries.masks.mask_set import Masks, join_sets

        rows = np.asarray(rows, np.int64)
        sizes = self._sizes_of(rows, np.asarray(sizes, np.int64).reshape(-1, 2))
        if not len(rows):
            return Masks.from_rle([], (0, 0))
        distinct, numbers = np.unique(sizes, axis=0, return_inverse=True)
        largest = tuple(distinct.max(axis=0).tolist())
        # In NumPy 2.0 alone, the numbers have two dimensions.
        kinds = 2 * numbers.reshape(-1) + self.is_outline[rows]
        order = np.argsort(kinds, kind="stable")
        cuts = np.searchsorted(kinds[order], np.arange(2 * len(distinct) + 1)).tolist()
        sets: list[Masks] = []
        for kind in range(2 * len(distinct)):
            for begin in range(cuts[kind], cuts[kind + 1], MASKS_AT_A_TIME):
                end = min(begin + MASKS_AT_A_TIME, cuts[kind + 1])
                height, width = distinct[kind // 2].tolist()
                packed = self._packed(rows[order[begin:end]], (height, width), kind % 2 == 1)
                sets.append(packed.padded(largest))
                progress(end, len(rows))
        return join_sets(sets, order)

    def measured(self, rows: Any, sizes: Any) -> tuple[Integers, Integers]:
        """Pixels and bounding boxes of masks, (n,) and (n, 4), as `Masks` has them.

        Parameters, rules and errors are those of `masks`; it takes less time and memory.
        """
        masks = self.masks(rows, sizes)
        return masks.area, masks.boxes

    def _sizes_of(self, rows: Integers, sizes: Integers) -> Integers:
        """The sizes of images, those of run lengths included."""
        sizes = sizes.copy()
        for i, row in enumerate(rows.tolist()):
            value, where = self._values[row], f"{self.label}[{row}]"
            told = None if sizes[i, 0] < 0 else tuple(sizes[i].tolist())
            if isinstance(value, list):
                if told is None:
                    found = "polygons of an image, the size of which is not told"
                    expected = '"height" and "width" of the image in "images"'
                    raise FileError(self.path, found, expected, where)
                continue
            own = mask_size(self.path, '"segmentation": size', value["size"], where)
            if told is not None and own != told:
                found = f'"segmentation" of {size_described(own)}'
                expected = f"{size_described(told)}, the size of the image"
                raise FileError(self.path, found, expected, where)
            sizes[i] = own
        return sizes

    def _packed(self, rows: Array, size: tuple[int, int], outlines: bool) -> Masks:
        """Masks of one kind and size."""
        from fastiou.geometries.masks.mask_set import Masks

        name = OUTLINES if outlines else RUNS
        make: Callable[..., Masks] = Masks.from_polygons if outlines else Masks.from_rle
        where = f"{self.label}[{rows[0]}]"
        try:
            return make([self._values[row] for row in rows.tolist()], size)
        except MemoryError as error:
            raise FileError(self.path, str(error) or "out of memory", None, where) from None
        except (TypeError, ValueError) as error:
            if len(rows) > 1:
                # One by one, since the message counts within what it was given.
                for row in rows:
                    self._packed(row[None], size, outlines)
            raise FileError(self.path, fault_described(name, error), None, where) from None
