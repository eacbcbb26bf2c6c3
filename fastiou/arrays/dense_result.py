"""Dense results: allocated, filled by either backend, and handed back in kind."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastiou.arrays import backends
from fastiou.arrays.inputs import Input, gpu_output, hand_back, output_array
from fastiou.runtime import memory
from fastiou.runtime.gpu_arrays import GpuArray
from fastiou.typing import Array

__all__ = ["DenseResult"]


#: Scores of a part in which a result of another memory layout is computed.
PART_SCORES = 1 << 20

#: Bytes that a member of a set takes on a GPU: up to 18 numbers, of bounds and of its own, in
#: float32 and in float64, and what it is made of. Words of masks come besides.
MEMBER_BYTES = 288


class DenseResult(NamedTuple):
    """A result that either backend can compute."""

    #: The arguments, by which a result is handed back in kind.
    inputs: tuple[Input, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    #: The shape as (batches, rows, columns).
    parts: tuple[int, int, int]
    #: What it is, for messages, and what to do where it does not fit.
    what: str
    instead: str
    #: `(scores, batches, first_row)` fills a C-contiguous block, of some batches and of rows from
    #: the first on.
    fill: Callable[[Array, slice, int], None]
    #: `(work, scores, batches, first_row)` does on a GPU.
    fill_on_gpu: Callable[[Any, Any, slice, int], None]
    #: `(work)` raises what `fill` would have raised, and waits for the GPU.
    check_on_gpu: Callable[[Any], None]
    #: Whether `fill` may raise when it has filled something, which must not be seen in `out`.
    may_raise_late: bool = False

    def compute(self, out: Any, device: str, *, check: bool = False) -> Any:
        """The result, in `out` or in a new array of the kind that the inputs are.

        What is to be refused is refused at once, but where all lies on a GPU only with `check`.
        """
        output = None if out is None else gpu_output(out, self.shape, self.dtype)
        place = backends.gpu_of(self.inputs)
        if output is not None and place is not None and place.number != output.gpu.number:
            raise ValueError(
                f"out is on GPU {output.gpu.number} and the inputs on GPU {place.number}; "
                "move one to the other"
            )

        def on_gpu(place: GpuArray | None) -> Any:
            from fastiou.runtime.gpu import fill_device, fill_host, memory_errors, working

            makes = out is None and place is not None and place.empty is not None
            result = math.prod(self.shape) * self.dtype.itemsize if makes else 0
            where = place if output is None else place or output.gpu
            with working(where) as work:
                members = sum(math.prod(given.batches) * given.size for given in self.inputs)
                words = sum(
                    given.geometry.words_on_gpu(given.held)
                    for given in {id(given.held): given for given in self.inputs}.values()
                    if given.geometry is not None
                )
                work.reserve(result + MEMBER_BYTES * members + 8 * words, self.what)

            waits = check or any(given.gpu is None for given in self.inputs)
            checked = self.check_on_gpu if waits else None
            if output is not None:
                fill_device(out, self.parts, self.fill_on_gpu, place or output.gpu, checked)
                return out
            if out is None and place is not None and place.empty is not None:
                with memory_errors():
                    scores = place.empty(self.shape, self.dtype)
                fill_device(scores, self.parts, self.fill_on_gpu, place, checked)
                return scores
            return self._on_host(
                out, lambda target: fill_host(target, self.fill_on_gpu, place, self.check_on_gpu)
            )

        def on_cpu() -> Any:
            if output is None:
                return self._on_host(out, self._fill_parts)
            output.write(self._new(self._fill_parts))
            return out

        return backends.compute(device, self.inputs, on_gpu, on_cpu)

    def _on_host(self, out: Any, fill: Callable[[Array], None]) -> Any:
        """The result in the host's memory, by what fills (batches, rows, columns) of any layout."""
        if out is None:
            return hand_back(self._new(fill), *self.inputs)
        target = output_array(out, self.shape, self.dtype)
        if self.may_raise_late:
            target[...] = self._new(fill)
            return out
        parts = target.reshape(self.parts)  # a copy, where the layout has no such view
        fill(parts)
        if not np.may_share_memory(parts, target):
            target[...] = parts.reshape(self.shape)
        return out

    def _new(self, fill: Callable[[Array], None]) -> Array:
        scores: Array = memory.allocate(self.shape, self.dtype, self.what, self.instead)
        fill(scores.reshape(self.parts))
        return scores

    def _fill_parts(self, target: Array) -> None:
        """Fill an array (batches, rows, columns): contiguous as a whole, others part by part."""
        batches, rows, columns = self.parts
        if not target.size:
            return
        if target.flags.carray:
            self.fill(target, slice(None), 0)
            return
        part_rows = max(1, PART_SCORES // columns)
        for batch in range(batches):
            for first in range(0, rows, part_rows):
                part = np.empty((1, min(part_rows, rows - first), columns), self.dtype)
                self.fill(part, slice(batch, batch + 1), first)
                target[batch, first : first + part_rows] = part[0]
