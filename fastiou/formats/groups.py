"""Which members of two files may meet."""

from __future__ import annotations

from collections.abc import Sequence

from fastiou.formats.content import MemberFile
from fastiou.formats.errors import RefusedError
from fastiou.tables import grouping
from fastiou.tables.grouping import Grouping

__all__ = ["common_groups"]


def common_groups(
    a: MemberFile, b: MemberFile | None = None, sides: Sequence[str] = ("A", "B")
) -> Grouping | None:
    """Group the boxes or masks of two files by all keys that both have.

    Parameters
    ----------
    a, b
        The files. Without `b` one is grouped by all of its keys.
    sides
        What messages call each of them.

    Returns
    -------
    Grouping or None
        None if neither has keys.

    Raises
    ------
    RefusedError
        Only one of the files has keys, or they have no value of a key in common.
    """
    called = [file.path.name for file in (a, b) if file is not None]
    try:
        return grouping.common_groups(
            a, b, sides, called, lambda keys: f"--by {','.join(keys) or 'none'}"
        )
    except ValueError as error:
        raise RefusedError(str(error)) from None
