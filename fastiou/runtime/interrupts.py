"""A signal that comes while Numba compiles, as Ctrl-C, is neither lost nor breaks anything."""

from __future__ import annotations

import _thread
import signal
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

__all__ = ["interruptible"]

#: Signals that end programs: Ctrl-C, what `kill` sends, and a terminal that closes.
SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]

#: Seconds until an interrupt that came at a bad moment is sent again.
RESEND_SECONDS = 0.005


def _is_bad_moment(frame: FrameType | None, outermost: CodeType) -> bool:
    """Tell whether an exception raised in this code would be lost, or leave Numba broken.

    It is lost where LLVM's compiler has called the code, or is called by it. Numba is left broken
    where it imports modules or refreshes its registries, which it does once and bit by bit.
    """
    while frame is not None and frame.f_code is not outermost:
        module = frame.f_globals.get("__name__", "")
        if module.startswith(("llvmlite.binding", "importlib._bootstrap")):
            return True
        if module.startswith("numba.core") and frame.f_code.co_name == "refresh":
            return True
        frame = frame.f_back
    return False


def interruptible(compile_kernel: Callable[..., Any]) -> Callable[..., Any]:
    """See to it that a Ctrl-C while compiling is not lost, and breaks nothing.

    LLVM hands what it compiled to Python functions through ctypes, which prints an exception raised
    there, KeyboardInterrupt too, and goes on. A signal that comes at such a moment is sent again
    later. So are the others that end programs, if Python functions handle them.
    """

    def compile_and_listen(*arguments: Any, **options: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            return compile_kernel(*arguments, **options)
        handlers = {}
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):
                handlers[number] = handler

        def wait_or_handle(number: int, frame: FrameType | None) -> None:
            if _is_bad_moment(frame, compile_and_listen.__code__):
                again = threading.Timer(RESEND_SECONDS, _thread.interrupt_main, [number])
                again.daemon = True
                again.start()
            else:
                handlers[number](number, frame)

        try:
            for number in handlers:
                signal.signal(number, wait_or_handle)
            return compile_kernel(*arguments, **options)
        finally:
            for number, handler in handlers.items():
                if signal.getsignal(number) is wait_or_handle:
                    signal.signal(number, handler)

    return compile_and_listen
