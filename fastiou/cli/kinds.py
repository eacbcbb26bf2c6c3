"""What a kind of file content has to tell, so that the commands need not know which it is."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from fastiou.cli.display import Clock
from fastiou.cli.options import MatchOptions, Options
from fastiou.formats.content import Integers, Wanted
from fastiou.formats.errors import RefusedError
from fastiou.formats.table import READERS, formats_of
from fastiou.typing import Array

__all__ = ["Found", "Kind", "refusals"]


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what fastiou says of its arguments into a RefusedError."""
    try:
        yield
    except ValueError as error:
        raise RefusedError(str(error)) from error


@dataclass(frozen=True, eq=False)
class Found:
    """The pairs or matches between two files.

    Attributes
    ----------
    rows, cols : array of int64
        Positions in the two files; of label images, the labels, as uint64 where one is 2⁶³ or more.
    values : array of float64
        The scores.
    sizes : tuple of int
        How many boxes, masks or objects each file has.
    in_all : int
        How many pairs the groups hold.
    tested : int or None
        How many of them were compared; None where the method does not tell.
    work : tuple
        What the work is counted in, and how much it was.
    describe : function
        What the summary says of the files, by name.
    frames : array of int64 or None
        Frames of the pairs of label images.
    unmatched : tuple of arrays, or None
        Positions in the two files of what found no partner, if each may have but one; of label
        images, the labels, and then the frames of both.
    names : dict
        Columns by which users know the pairs: their keys, and what the files call their members.
    graded : dict
        What a summary says of how well the files agree, by name.
    """

    rows: Array
    cols: Array
    values: Array
    sizes: tuple[int, ...]
    in_all: int
    tested: int | None
    work: tuple[str, int]
    describe: Callable[[], dict[str, str]]
    frames: Integers | None = None
    unmatched: tuple[Array, ...] | None = None
    graded: dict[str, str] = field(default_factory=dict)
    names: dict[str, Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.values)


class Kind(ABC):
    """A kind of content: boxes, masks or label images."""

    #: As the option `--geometry` has it, and `fastiou.formats.table.formats_of`.
    name: ClassVar[str]
    #: In messages and summaries.
    noun: ClassVar[str]
    #: What a summary says of the pairs that were compared.
    compared: ClassVar[str] = ""

    def metrics(self) -> Sequence[str]:
        """Names of the metrics that it has: by default those of an intersection and two areas."""
        from fastiou.geometries.masks.masks import MASK

        return MASK.metrics()

    def read(self, path: Path, data: bytes | None, format_: str | None, wanted: Wanted) -> Any:
        """Read a file.

        Parameters
        ----------
        path
            The file.
        data
            Its content, if that was read already.
        format_
            Its format; recognized by content if not given.
        wanted
            What to read of it.
        """
        file = READERS[self.name](path, data, format=format_, **vars(wanted))
        skipped = getattr(file, "skipped", None)
        if skipped is not None:  # told even with --quiet, since the result lacks something
            print(f"fastiou: {path}: {skipped.described()}", file=sys.stderr, flush=True)
        for note in getattr(file, "notes", ()):
            print(f"fastiou: {path}: {note}", file=sys.stderr, flush=True)
        return file

    @abstractmethod
    def find(self, a: Any, b: Any, options: MatchOptions, clock: Clock) -> Found:
        """Find the pairs or matches between two files, or the pairs within one.

        Parameters
        ----------
        a, b
            What `read` made of them; None if there is no second.
        options
            What to find.
        clock
            Shows and measures the stages.

        Raises
        ------
        FileError
            Something in a file cannot be used.
        RefusedError
            fastiou refuses what is in the files, or an option.
        """

    def check(self, options: Options, *formats: str | None) -> None:
        """Raise a RefusedError if it does not go together with other options.

        Parameters
        ----------
        options
            What was asked for.
        *formats
            Of the files, None where content tells.
        """
        metrics = self.metrics()
        if options.metric not in metrics:
            names = ", ".join(metrics)
            raise RefusedError(f"--metric {options.metric} is for boxes; {self.noun} have {names}")
        known = formats_of(self.name)
        for format_ in formats:
            if format_ not in (None, *known):
                expected = " or ".join(known)
                raise RefusedError(
                    f"--geometry {self.name} cannot read --format {format_}, but {expected}"
                )
