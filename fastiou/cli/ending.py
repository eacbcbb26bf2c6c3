"""How the command ends: what it says, its exit code, and what signals and broken streams do."""

from __future__ import annotations

import errno
import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TextIO

from fastiou.formats.errors import FileError, RefusedError
from fastiou.runtime.tbb import LayerError

__all__ = ["Stopped", "exit_codes", "heeding_signals", "printed"]

#: Exit codes, as the shell expects them. Of a signal it is 128 and its number.
FAILED, INTERRUPTED, SIGNALLED = 2, 130, 128

#: Signals that ask a program to end, besides Ctrl-C.
SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]

#: Seconds in which a second signal is taken for the same request: `timeout` sends two.
SAME = 1.0


class Stopped(BaseException):
    """A signal asks the command to end; `number` tells which."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def heeding_signals() -> Iterator[None]:
    """Raise `Stopped` when a signal asks the command to end, so that it leaves nothing half-done.

    A signal that is ignored stays so, as SIGHUP under `nohup`.
    """
    last = -math.inf

    def stop(number: int, _: FrameType | None) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if last - before >= SAME:
            raise Stopped(number)

    heeded = []
    try:
        for number in SIGNALS:
            if signal.getsignal(number) == signal.SIG_DFL:
                with suppress(ValueError):  # only the main thread may
                    signal.signal(number, stop)
                    heeded.append(number)
        yield
    finally:
        # Where a signal has ended the command, a second one is not to cut that short.
        after = signal.SIG_DFL if last == -math.inf else signal.SIG_IGN
        for number in heeded:
            signal.signal(number, after)


@contextmanager
def exit_codes() -> Iterator[None]:
    """Say in one line what went wrong, and end with the right exit code."""
    try:
        yield
    except KeyboardInterrupt:
        message, code = "interrupted", INTERRUPTED
    except Stopped as stopped:
        message = f"ended by {signal.Signals(stopped.number).name}"
        code = SIGNALLED + stopped.number
    except (FileError, RefusedError, ImportError, MemoryError, LayerError) as error:
        message, code = str(error) or "out of memory", FAILED
    except OSError as error:
        if error.errno == errno.EPIPE:  # click ends quietly when nobody reads on
            raise
        message, code = str(error), FAILED
    else:
        return
    _tell(message)
    raise SystemExit(code)


def _tell(message: str) -> None:
    if sys.stderr is None:  # it was closed; `print` would take standard output
        return
    try:
        print(f"fastiou: {message}", file=sys.stderr, flush=True)
    except OSError:
        _silence(sys.stderr)


@contextmanager
def printed() -> Iterator[None]:
    """Have all that is printed go out at once, and raise a RefusedError where it cannot."""
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        _silence(sys.stdout)
        raise RefusedError(
            f"standard output cannot be written to: {error.strerror or error}"
        ) from None


def _silence(stream: TextIO) -> None:
    """Lead a stream to nowhere: Python writes what it holds at exit, which would fail again."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)
