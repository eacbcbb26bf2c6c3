"""Telling how far long work has come."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastiou.runtime.words import described

__all__ = ["Progress", "in_parts", "progress_callback"]

#: Called now and then with the work done so far and the work in all.
Progress = Callable[[int, int], None]


def progress_callback(progress: bool | Progress) -> tuple[Progress | None, Callable[[], None]]:
    """The callback that the argument `progress` asks for, and what to call at the end."""
    if isinstance(progress, np.bool_):
        progress = bool(progress)
    if progress is False:
        return None, lambda: None
    if progress is not True:
        if not callable(progress):
            raise TypeError(
                "progress must be a bool or a function progress(done, total), got "
                f"{described(progress)}"
            )
        return progress, lambda: None
    try:
        from rich.progress import Progress as Bars
    except ImportError:
        raise ImportError(
            "progress=True draws with rich: pip install 'fastiou[cli]', or pass a function "
            "progress(done, total)"
        ) from None
    bars = Bars(transient=True)
    task = bars.add_task("fastiou", total=None)

    def update(done: int, total: int) -> None:
        bars.start()  # does nothing from the second time on
        bars.update(task, completed=done, total=total)

    return update, bars.stop


def in_parts(report: Progress | None, count: int) -> list[Progress | None]:
    """Callbacks of parts of the work, one after the other, that are told as one work."""
    if report is None:
        return [None] * count
    whole = report

    def part(number: int) -> Progress:
        return lambda done, total: whole(number * total + done, count * total)

    return [part(number) for number in range(count)]
