"""JSON read by Python's parser, which takes the last of two fields of one name without a word."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fastiou.formats.errors import FileError, shortened

__all__ = ["Fields", "after_blanks", "json_content", "json_value"]

#: The fields of an object, or of the objects of a list, whose own objects are read, too.
Fields = Mapping[str, "Fields"]

#: What an object becomes.
Hook = Callable[[dict[str, Any]], Any]

#: What may stand between values of JSON.
BLANKS = re.compile(r"[ \t\n\r]*")

#: The value that begins at a place of a text, and where it ends.
READ = json.JSONDecoder().raw_decode


def _noting(doubled: list[int], hook: Hook | None) -> Callable[[list[tuple[str, Any]]], Any]:
    """What makes objects of their fields, and notes that one had two of one name."""

    def made(pairs: list[tuple[str, Any]]) -> Any:
        entry = dict(pairs)
        if len(entry) < len(pairs):
            doubled.append(len(pairs))
        return entry if hook is None else hook(entry)

    return made


def json_value(data: bytes, hook: Hook | None = None) -> Any:
    """What a text says; a ValueError if it is no JSON, or an object has two fields of one name."""
    doubled: list[int] = []
    value = json.loads(data, object_pairs_hook=_noting(doubled, hook))
    if doubled:
        raise ValueError("an object has two fields of one name")
    return value


def json_content(
    path: Path, data: bytes, expected: str, fields: Fields, hook: Hook | None = None, **others: Any
) -> Any:
    """What a file says.

    Parameters
    ----------
    path, data
        The file and its content.
    expected
        What messages say is expected.
    fields
        Where objects are read. These are refused where they have two fields of one name; in others,
        which nobody reads, the last of them counts.
    hook
        What objects become.
    **others
        For `json.loads`.

    Raises
    ------
    FileError
        It is no JSON, or an object that is read has two fields of one name.
    """
    doubled: list[int] = []
    try:
        text = data.decode("utf-8-sig")
        content = json.loads(text, object_pairs_hook=_noting(doubled, hook), **others)
    except json.JSONDecodeError as error:
        raise FileError(
            path, f"not JSON: {error.msg} (column {error.colno})", expected, error.lineno
        ) from None
    except (RecursionError, ValueError) as error:
        raise FileError(path, f"cannot be read as JSON ({error})", expected) from None
    found = _double(text, after_blanks(text, 0), "", fields) if doubled else None
    if found is not None:
        name, where, place = found
        within = f" in {where}" if where else ""
        raise FileError(
            path, f"{shortened(json.dumps(name))} twice{within}", "each name once in an object",
            text.count("\n", 0, place) + 1,
        )  # fmt: skip
    return content


def _double(text: str, at: int, where: str, fields: Fields) -> tuple[str, str, int] | None:
    """The first name that comes twice in an object, where that is, and its place in the text."""
    if text[at] == "[":
        for number, place in enumerate(_elements(text, at)):
            found = _double(text, place, f"{where}[{number}]", fields)
            if found is not None:
                return found
    elif text[at] == "{":
        seen = set()
        for name, place, value in _pairs(text, at):
            if name in seen:
                return name, where, place
            seen.add(name)
            if name in fields:
                found = _double(text, value, f"{where}.{name}" if where else name, fields[name])
                if found is not None:
                    return found
    return None


def _pairs(text: str, at: int) -> Iterator[tuple[str, int, int]]:
    """The names of an object that begins at a place, and where each and its value begin."""
    at = after_blanks(text, at + 1)
    while text[at] == '"':
        name, end = READ(text, at)
        value = after_blanks(text, after_blanks(text, end) + 1)
        yield name, at, value
        at = after_blanks(text, READ(text, value)[1])
        at = after_blanks(text, at + 1) if text[at] == "," else at


def _elements(text: str, at: int) -> Iterator[int]:
    """Where the values of a list begin that begins at a place."""
    at = after_blanks(text, at + 1)
    while text[at] != "]":
        yield at
        at = after_blanks(text, READ(text, at)[1])
        at = after_blanks(text, at + 1) if text[at] == "," else at


def after_blanks(text: str, at: int) -> int:
    """Where the next token of a text begins."""
    blanks = BLANKS.match(text, at)
    return blanks.end() if blanks else at
