"""What is left out of files: what is invalid, and rows that are no members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Skipped"]

#: How many that are left out are named.
SKIPS_NAMED = 3


@dataclass(frozen=True, eq=False)
class Skipped:
    """What was left out of a file as invalid, or as no member.

    Attributes
    ----------
    positions : array of int64
        Positions in the file of what was not left out.
    total : int
        How many entries the file has.
    first : tuple of str
        Where the first few are that were left out, and what is wrong with them.
    words : str
        What entries are, and what they were left out for.
    """

    positions: npt.NDArray[np.int64]
    total: int
    first: tuple[str, ...]
    words: str = "annotations are invalid and left out"

    @classmethod
    def of(cls, total: int, faults: Mapping[int, str], *words: str) -> Skipped | None:
        """What was left out of so many entries, and why, by their positions; None if nothing."""
        if not faults:
            return None
        first = tuple(faults[place] for place in sorted(faults)[:SKIPS_NAMED])
        return cls(np.delete(np.arange(total), list(faults)), total, first, *words)

    @classmethod
    def joined(cls, files: Sequence[Any]) -> Skipped | None:
        """What was left out of files that are read one after the other; None if nothing."""
        parts = [file.skipped or cls(np.arange(len(file)), len(file), ()) for file in files]
        starts = np.cumsum([0, *(file.entries for file in files)])
        first = [
            f"{file.path.name}, {each}"
            for file, part in zip(files, parts, strict=True) for each in part.first
        ]  # fmt: skip
        if not first:
            return None
        places = [part.positions + start for part, start in zip(parts, starts, strict=False)]
        words = next(file.skipped.words for file in files if file.skipped is not None)
        return cls(np.concatenate(places), int(starts[-1]), tuple(first[:SKIPS_NAMED]), words)

    def described(self) -> str:
        """How many were left out, and which are the first."""
        count = self.total - len(self.positions)
        more = "; …" if count > len(self.first) else ""
        listed = "; ".join(self.first) + more
        return f"{count:,} of {self.total:,} {self.words}: {listed}"
