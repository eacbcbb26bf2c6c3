"""Rows of text files as they stand there."""

from __future__ import annotations

from collections.abc import Iterator

from fastiou.formats.text import cells_of, sample_of, text_lines
from fastiou.typing import Array

__all__ = ["row_texts"]


def row_texts(data: bytes, format_: str, chosen: Array) -> Iterator[str]:
    """Some rows of a text file, letter by letter, below its header.

    Parameters
    ----------
    data
        Its content, which a reader has accepted.
    format_
        One of `fastiou.formats.tables.ROWS_OF_TEXT`.
    chosen
        Positions of rows, in any order; they come in the order of the file.
    """
    lines = list(text_lines(data, newline=""))
    skipped, between, wanted = 0, None, sorted(set(chosen.tolist()))
    if format_ not in ("jsonl", "empty"):
        sample = sample_of(data, headed=format_ == "csv")
        skipped, between = sample.skipped, sample.delimiter
    begins = [number - 1 for number, _ in cells_of(iter(lines), between, skipped)]
    ends = [*begins[1:], len(lines)]
    yield from (line.rstrip() + "\n" for line in lines[:skipped] if line.strip())
    for place in wanted:
        # Lines between two rows are blank, unless the row spans them. Empty cells stay.
        text = "".join(lines[begins[place] : ends[place]])
        end = len(text.rstrip())
        yield text[:end] + text[end:].partition("\n")[0].rstrip("\r") + "\n"
