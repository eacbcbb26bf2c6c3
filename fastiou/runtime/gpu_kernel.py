"""Numba CUDA kernels out of plain functions, the formulas of the CPU among them.

A formula is written once, as a `register_jitable` function. `on_device` makes of it, and of all
that it calls, a device function in which the few operations that a GPU needs otherwise are replaced
(`metrics.product` by a multiplication that is not fused with an addition, for one). That is done on
the function's names, so the simulator runs the same replacements.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

from numba import cuda

from fastiou.runtime.gpu_primitives import REPLACED, SIMULATED
from fastiou.runtime.kernel import named

__all__ = ["CudaKernel", "blocks_for", "on_device", "threads_of_block"]

#: Threads of a block in the simulator, each of which is a thread of the system.
SIMULATED_THREADS = 32


def threads_of_block(wanted: int) -> int:
    """Threads of a block: as many as a kernel runs best with, but few in the simulator."""
    return min(wanted, SIMULATED_THREADS) if SIMULATED else wanted


def blocks_for(items: int, per_block: int) -> int:
    """Blocks that cover `items`, at least one, since a launch of none is an error."""
    return max(1, -(-items // per_block))


def _of_fastiou(value: Any) -> bool:
    return isinstance(value, types.FunctionType) and value.__module__.startswith("fastiou.")


#: What a function for vectors calls how many members it takes at a time. A GPU's thread takes one.
ONE_LANE = {"LANES": 1, "PART": 1}


def _retargeted(function: Callable[..., Any], one_lane: bool) -> types.FunctionType:
    """The same function, calling device functions instead of those that it names."""
    assert isinstance(function, types.FunctionType)

    def replaced(value: Any) -> Any:
        try:
            return REPLACED[value]
        except (KeyError, TypeError):  # not everything that a function names can be a key
            plain = getattr(value, "py_func", value)  # of what a CPU's compiler inlines
            return on_device(plain, one_lane) if _of_fastiou(plain) else value

    lanes = ONE_LANE if one_lane else {}
    names = {
        name: lanes[name] if name in lanes else replaced(function.__globals__[name])
        for name in function.__code__.co_names
        if name in function.__globals__
    }
    cells = tuple(
        types.CellType(replaced(cell.cell_contents)) for cell in function.__closure__ or ()
    )
    copy = types.FunctionType(
        function.__code__,
        {**function.__globals__, **names},
        function.__name__,
        function.__defaults__,
        cells,
    )
    copy.__qualname__ = function.__qualname__
    copy.__module__ = function.__module__
    return copy


@functools.cache
def on_device(function: Callable[..., Any], one_lane: bool = False) -> Any:
    """Make a device function of a function of this project, and of all that it calls.

    With `one_lane`, of one that takes `LANES` members at a time, which then takes one.
    """
    return cuda.jit(device=True)(_retargeted(function, one_lane))


_advice_lock = threading.Lock()


@contextlib.contextmanager
def _without_advice() -> Iterator[None]:
    """Keep Numba from warning that few blocks do not fill a GPU: few boxes do not."""
    if SIMULATED:
        yield
        return
    from numba.cuda.core import config

    with _advice_lock:
        kept = config.CUDA_LOW_OCCUPANCY_WARNINGS
        config.CUDA_LOW_OCCUPANCY_WARNINGS = 0
        try:
            yield
        finally:
            config.CUDA_LOW_OCCUPANCY_WARNINGS = kept


class CudaKernel:
    """A kernel compiled when first launched.

    Parameters
    ----------
    function
        Python function in Numba's subset. What it calls of this project becomes device functions.
    label
        Tells it from others that the same factory makes.
    one_lane
        Whether it calls functions that take several members at a time on a CPU (see `on_device`).
    options
        Further options of Numba's compiler.
    """

    def __init__(
        self, function: Callable[..., Any], label: str, *, one_lane: bool = False, **options: Any
    ) -> None:
        self.function = _retargeted(named(label)(function), one_lane)
        self.options = options

    @functools.cached_property
    def dispatcher(self) -> Any:
        """What compiles the kernel, once for each kind of arguments."""
        return cuda.jit(self.function, **self.options)

    def launch(
        self, blocks: int | tuple[int, ...], threads: int, stream: Any, *arguments: Any
    ) -> None:
        """Run blocks of `threads` threads each, in as many dimensions, on a stream."""
        with _without_advice():
            configured = self.dispatcher[blocks, threads, stream]
        configured(*arguments)
