"""Images of the truth and of a prediction, in pairs, and their names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from fastiou.runtime.words import described

__all__ = ["ImageNames", "is_data_set", "is_path", "paired_images"]


#: Stands for what an iterator has no more of.
_END = object()


def is_path(value: Any) -> bool:
    """Whether an argument names a file or a folder."""
    return isinstance(value, str | os.PathLike)


def is_data_set(value: Any) -> bool:
    """Whether an argument is several images: a list or tuple of arrays, or an iterator."""
    if isinstance(value, list | tuple):
        return all(hasattr(part, "shape") for part in value)
    return hasattr(value, "__next__")


def paired_images(true: Any, pred: Any) -> tuple[Iterator[tuple[Any, Any]] | None, int]:
    """The images of two data sets in pairs, and how many; None where both are one image.

    How many is 0 where that cannot be told.

    Raises
    ------
    ValueError
        One of them is one image, or they have different numbers of images: for iterators at their
        end.
    """
    are_sets = is_data_set(true), is_data_set(pred)
    if are_sets == (False, False):
        return None, 1
    if are_sets != (True, True):
        several, one = ("target", "pred") if are_sets[0] else ("pred", "target")
        raise ValueError(
            f"{several} holds several images and {one} is one: pass lists of arrays, or two arrays"
        )
    sizes = [len(value) if isinstance(value, Sequence) else None for value in (true, pred)]
    if None not in sizes and sizes[0] != sizes[1]:
        raise ValueError(
            f"target and pred must have as many images, got {sizes[0]:,} and {sizes[1]:,}"
        )
    return _pairs(iter(true), iter(pred)), max(size or 0 for size in sizes)


def _pairs(true: Iterator[Any], pred: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
    count = 0
    while True:
        one, other = next(true, _END), next(pred, _END)
        if one is _END or other is _END:
            break
        yield one, other
        count += 1
    if one is not other:
        more = "target" if other is _END else "pred"
        raise ValueError(
            f"target and pred must have as many images, got more in {more} than {count:,}"
        )


class ImageNames:
    """The names of images so far, of which none may come twice; empty where there is none."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._known: set[str] = set()

    def __len__(self) -> int:
        return len(self.all)

    def pop(self) -> str:
        """Take the last away."""
        name = self.all.pop()
        self._known.discard(name)
        return name

    def checked(self, image: Any) -> str:
        """The argument `image` as text: a new name, or empty for None.

        Raises
        ------
        TypeError, ValueError
            It is no name, or was there before.
        """
        if image is None:
            return ""
        if isinstance(image, bool) or not (isinstance(image, str) or hasattr(image, "__index__")):
            raise TypeError(f"image must be a name or an integer, got {described(image)}")
        name = str(image)
        if not name:
            raise ValueError("image must not be empty: pass None for an image without a name")
        if name in self._known:
            raise ValueError(f"image {name!r} was there before: each must come once")
        return name

    def add(self, names: Iterable[str]) -> None:
        """Add names that came from `checked`, of this or another evaluator.

        Raises
        ------
        ValueError
            One was there before; none is added then.
        """
        names = list(names)
        known = [name for name in names if name]
        twice = next((name for name in known if name in self._known), None)
        if twice is None and len(set(known)) < len(known):
            twice = next(name for name in known if known.count(name) > 1)
        if twice is not None:
            raise ValueError(f"image {twice!r} was there before: each must come once")
        self._known.update(known)
        self.all += names
