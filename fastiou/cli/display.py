"""The stages of the work: shown while they last, and measured.

rich is imported where it is used, since only an extra installs it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["LOADING", "Clock", "Stage", "stages"]

#: Called with the work done, the work in all, and optionally what is being done.
Stage = Callable[..., None]

#: The stage to which all time that compiles or loads kernels is counted.
LOADING = "loading kernels"


@contextmanager
def stages(show: bool | None) -> Iterator[Callable[[str], Stage]]:
    """Show the progress of work that has several stages, on the standard error stream.

    Parameters
    ----------
    show
        Whether to; None shows it if somebody watches, on a terminal.

    Yields
    ------
    function
        Takes the name of a stage that begins, and returns a function to call with the work done and
        the work in all, and optionally with another name for the stage.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, force_terminal=show or None)
    if not (console.is_terminal if show is None else show):
        yield lambda name: lambda *_: None
        return
    display = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )

    def begin(name: str) -> Stage:
        task = display.add_task(name, total=None)

        def update(done: int, total: int, name: str | None = None) -> None:
            display.update(task, completed=done, total=total, description=name)

        return update

    with display:
        yield begin


class Clock:
    """Shows the stages of the work, and measures their time.

    The clock stands still while kernels are compiled or loaded from disk, so that the time of a
    stage tells the speed of the work itself.

    Parameters
    ----------
    begin
        Begins to show a stage, as `stages` yields it.
    """

    def __init__(self, begin: Callable[[str], Stage]) -> None:
        from fastiou.runtime import kernel  # imports Numba, which `--help` does not wait for

        self._kernel = kernel
        self._begin = begin
        self._loaded = kernel.compile_seconds
        self._seconds: dict[str, float] = {}

    @property
    def seconds(self) -> dict[str, float]:
        """The time of each stage so far, that of all compilations being with `LOADING`."""
        loading = self._kernel.compile_seconds - self._loaded + self._seconds.get(LOADING, 0.0)
        return {**self._seconds, LOADING: loading}

    def _now(self) -> float:
        return time.perf_counter() - self._kernel.compile_seconds

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Measure a stage, and yield what shows its progress."""
        before = self._now()
        update = self._begin(name)
        yield update
        update(1, 1)
        self._add(name, self._now() - before)

    @contextmanager
    def apart(self, name: str, stage: str) -> Iterator[None]:
        """Measure a part of a stage as one of its own."""
        before = self._now()
        yield
        spent = self._now() - before
        self._add(name, spent)
        self._add(stage, -spent)

    def _add(self, name: str, spent: float) -> None:
        self._seconds[name] = self._seconds.get(name, 0.0) + spent
