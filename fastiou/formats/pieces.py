"""Whole files read piece by piece, so that what nobody can use is given up early.

A small file can decompress to anything, and a large one may hold nothing but zeros. Content is
judged while it is read: by its first block, by its lines, by how far it was compressed, and by the
memory that is free.
"""

from __future__ import annotations

import codecs
import io
import math
import os
import stat
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, NoReturn

import numpy as np

from fastiou.formats.errors import FileError, shortened
from fastiou.runtime.memory import KEPT_BYTES, fits, human_size
from fastiou.tables.layouts import LAYOUTS

__all__ = [
    "BROKEN",
    "MOST_UNPACKED_ROWS",
    "Header",
    "check_claim",
    "check_unpacked",
    "npy_header",
    "read_pieces",
]

#: Bytes read at a time.
PIECE = 1 << 20

#: The longest line of a table. Its cells take a hundred times the memory.
LONGEST_LINE = 1 << 22

#: Content up to here is judged by nothing but its lines: whoever reads it knows best what is wrong.
JUDGED_FROM = 1 << 26

#: Bytes by which it is told whether content is text.
BLOCK = 1 << 16

#: From this size on, content may be at most so many times as large as the file that it is in: that
#: of text and arrays of boxes, and other. Text of real data is up to 20 times as large, images of
#: labels some hundreds, and zeros a thousand.
UNPACKED_FROM = 1 << 29
MOST_UNPACKED_ROWS, MOST_UNPACKED = 100, 500

#: Bytes from which on an array is refused by its header, and not when it was read.
LARGE_ARRAY = 1 << 29

#: Numbers in a row of an array of boxes: those of any layout, a score, and two more.
FEWEST_NUMBERS, MOST_NUMBERS = min(LAYOUTS.values()), max(LAYOUTS.values()) + 3

#: What NumPy raises on a broken header, which it reads as Python.
BROKEN = (ValueError, TypeError, SyntaxError, tokenize.TokenError, OverflowError)

#: Shape, whether columns come first, and dtype.
Header = tuple[tuple[int, ...], bool, np.dtype[Any]]


# ---- the headers of NumPy's arrays -------------------------------------------------------------


def npy_header(stream: IO[bytes]) -> Header:
    """What the beginning of a .npy file says; raises one of `BROKEN` if it is none."""
    version = np.lib.format.read_magic(stream)
    # Version 3 differs from 2 only in the letters that names of fields may have.
    first = np.lib.format.read_array_header_1_0
    read = first if version == (1, 0) else np.lib.format.read_array_header_2_0
    header: Header = read(stream)
    if any(length < 0 for length in header[0]):
        raise ValueError(f"shape {shortened(str(header[0]))}")
    return header


def check_claim(
    path: Path, header: Header, where: str | None = None, packed: int | None = None
) -> int:
    """How many bytes an array takes by its header.

    Parameters
    ----------
    path, where
        The file, and the array in it, for messages.
    header
        What the header says.
    packed
        Bytes that it takes compressed; None where it is not, or nobody knows.

    Raises
    ------
    FileError
        It would not fit in memory; or it is large, and holds neither boxes nor labels, or was
        compressed further than such.
    """
    shape, _, dtype = header
    size = math.prod(shape) * dtype.itemsize
    if size >= LARGE_ARRAY:
        of_boxes = len(shape) == 2 and FEWEST_NUMBERS <= shape[1] <= MOST_NUMBERS
        of_boxes = of_boxes or shape[1:] == (4, 2)
        is_other = dtype.kind in "biu" or (dtype.kind == "f" and (of_boxes or len(shape) == 1))
        if not is_other or len(shape) > 3:
            found = f"shape {shortened(str(shape))}, dtype {dtype}"
            raise FileError(path, found, "boxes or labels", where or "array")
        check_unpacked(path, size, packed, MOST_UNPACKED_ROWS if of_boxes else MOST_UNPACKED)
    if not fits(size):
        found = f"an array of {human_size(size)}, shape {shortened(str(shape))}"
        raise FileError(path, found, "one that fits in memory", where)
    return size


def check_unpacked(path: Path, size: int, packed: int | None, most: int) -> None:
    """Raise a FileError if content is large, and more than `most` times what it takes compressed.

    Parameters
    ----------
    path
        The file.
    size, packed
        Bytes of the content, and of what it is compressed to; None where it is not.
    most
        How many times as large it may be.
    """
    if packed is not None and size > max(UNPACKED_FROM, most * packed):
        found = f"decompresses to more than {most} times its size"
        raise FileError(path, found, "the file itself, not compressed, if that is right")


# ---- content -----------------------------------------------------------------------------------


def read_pieces(path: Path, kind_of: Callable[[bytes], str]) -> bytes:
    """The whole file, decompressed where it was compressed by gzip. There is never a second copy.

    Parameters
    ----------
    path
        The file.
    kind_of
        Tells what content is by its first bytes: "text", "JSON", "NPY" or something else.

    Raises
    ------
    FileError
        The file is missing or broken, or nobody could use what is in it.
    """
    try:
        with path.open("rb") as file:
            return _read(path, file, kind_of)
    except FileNotFoundError:
        hint = " (standard input is /dev/stdin)" * (str(path) == "-")
        raise FileError(path, f"no such file{hint}") from None
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror or error}") from None
    except (EOFError, zlib.error) as error:
        raise FileError(path, f"broken gzip file ({error})", "a complete one") from None


def _read(path: Path, file: BinaryIO, kind_of: Callable[[bytes], str]) -> bytes:
    first = file.read(PIECE)
    is_packed = first.startswith(b"\x1f\x8b")
    status = os.fstat(file.fileno())
    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    judge = _Judge(path, kind_of, *((0, size) if is_packed else (size, 0)))
    if not is_packed and PIECE < size <= JUDGED_FROM:
        # Read at once, into memory of its size: 52 MB take 24 ms, and 33 where pieces are joined.
        content = path.read_bytes()
        whole = memoryview(content)
        for piece, _ in _begun((whole[at : at + PIECE], 0) for at in range(0, len(content), PIECE)):
            judge.see(piece, 0)
            if judge.seen >= judge.enough:
                return content[: judge.seen]
        return content
    pieces = _pieces(first, file)
    joined = io.BytesIO()
    for piece, packed in _begun(_unpacked(pieces) if is_packed else ((it, 0) for it in pieces)):
        if judge.seen < judge.enough:
            joined.write(piece)
        judge.see(piece, packed)
        if judge.seen >= judge.enough and not is_packed:
            break
    return joined.getvalue()  # gives its memory away


def _pieces(first: bytes, file: BinaryIO) -> Iterator[bytes]:
    while first:
        yield first
        first = file.read(PIECE)


def _unpacked(pieces: Iterator[bytes]) -> Iterator[tuple[bytes, int]]:
    """Decompressed pieces, and how much of the file was read by then."""
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)  # with the header and sum of gzip
    packed = 0
    for some in pieces:
        packed += len(some)
        while True:
            if inflate.eof:  # what follows is another part, or zeros that fill up
                some = some.lstrip(b"\0")
                if not some:
                    break
                inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
            piece = inflate.decompress(some, PIECE)
            if piece:
                yield piece, packed
            some = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
            if not some and len(piece) < PIECE:
                break
    if not inflate.eof:
        raise EOFError("the end is missing")


def _begun(
    pieces: Iterable[tuple[bytes | memoryview, int]],
) -> Iterator[tuple[bytes | memoryview, int]]:
    """The same pieces, the first long enough to tell what a file is."""
    beginning: bytes | None = b""
    for piece, packed in pieces:
        if beginning is None:
            yield piece, packed
            continue
        beginning += piece
        if len(beginning) >= BLOCK:
            yield beginning, packed
            beginning = None
    if beginning:
        yield beginning, 0


class _Judge:
    """Raises a FileError as soon as the pieces of a file show that nobody can use it.

    Parameters
    ----------
    path
        The file, for messages.
    kind_of
        As in `read_pieces`.
    known
        Bytes of the content, 0 if nobody knows.
    packed
        Bytes of a compressed file, 0 if it is not, or nobody knows.
    """

    def __init__(
        self, path: Path, kind_of: Callable[[bytes], str], known: int, packed: int
    ) -> None:
        self.path = path
        self.known = known
        self.packed = packed
        #: Bytes so far, and how many are enough. Of what was compressed the rest is read, too: a
        #: sum at its end tells whether it is damaged.
        self.seen = 0
        self.enough = math.inf
        self._kind_of = kind_of
        self._kind = ""
        self._block = b""
        self._lines = 0
        #: Bytes since the last line ended.
        self._open = 0
        self._checked = 0

    def see(self, piece: bytes | memoryview, packed: int) -> None:
        """Judge another piece, up to which `packed` bytes of a compressed file were read."""
        if not self.seen:
            self._begin(bytes(piece))
        self.seen += len(piece)
        if self._kind == "text":
            self._follow_lines(bytes(piece))
        if self.seen > JUDGED_FROM and self._kind in ("text", "JSON"):
            self._check_text(bytes(piece))
        if self._kind == "NPY":
            if self.seen > self.enough + JUDGED_FROM:
                found = f"{human_size(self.seen - self.enough)} or more behind the array"
                raise FileError(self.path, found, "no more than its header tells")
            return
        most = MOST_UNPACKED_ROWS if self._kind in ("text", "JSON") else MOST_UNPACKED
        check_unpacked(self.path, self.seen, packed or None, most)
        if self.seen - self._checked >= KEPT_BYTES:
            self._checked = self.seen
            self._check_memory(max(self.known - self.seen, 0))

    def _begin(self, piece: bytes) -> None:
        self._block = piece[:BLOCK]
        kind = self._kind_of(piece)
        self._kind = "text" if kind == "binary" else kind  # of no known kind: as text is refused
        if self._kind == "NPY":
            stream = io.BytesIO(piece)
            try:
                header = npy_header(stream)
            except BROKEN:
                self.enough = 0  # whoever reads it says what is wrong
                return
            self.enough = stream.tell() + check_claim(self.path, header, packed=self.packed or None)
        elif self._kind == "NPZ" and self.known > JUDGED_FROM and not zipfile.is_zipfile(self.path):
            self.enough = 0
        elif self.known >= KEPT_BYTES:
            self._check_memory(self.known)

    def _check_memory(self, to_come: int) -> None:
        # Text becomes a string, or columns of marks, besides.
        again = self.seen + to_come if self._kind in ("text", "JSON") else 0
        if not fits(max(to_come + again, KEPT_BYTES)):
            found = f"{human_size(self.seen + to_come)} or more of content"
            raise FileError(self.path, found, "what fits in memory")

    def _follow_lines(self, piece: bytes) -> None:
        end = b"\n" if b"\n" in piece else b"\r"
        first = piece.find(end)
        if self._open + (len(piece) if first < 0 else first) > LONGEST_LINE:
            self._check_text(piece)  # of other content that says more
            found = f"a line of more than {human_size(LONGEST_LINE)}"
            raise FileError(self.path, found, "rows of a table", self._lines + 1)
        self._lines += piece.count(end)
        self._open = self._open + len(piece) if first < 0 else len(piece) - 1 - piece.rfind(end)

    def _check_text(self, piece: bytes) -> None:
        block, self._block = self._block, b""
        if b"\0" in block or b"\0" in piece:
            self._refuse(0)
        if not block:
            return
        if block.isspace():
            raise FileError(self.path, "begins with nothing but blanks", "text")
        try:
            codecs.getincrementaldecoder("utf-8")().decode(block)  # which may end within a letter
        except UnicodeDecodeError as error:
            self._refuse(block[error.start])

    def _refuse(self, byte: int) -> NoReturn:
        found = f"byte 0x{byte:02x} among {human_size(self.seen)} or more is no text"
        raise FileError(self.path, found, "text, or a file of a kind that is known")
