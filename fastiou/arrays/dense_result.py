"""Dense results: allocated, filled by either backend, and handed back in kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastiou.arrays import backends
from fastiou.arrays.inputs import Input, gpu_output, hand_back, output_array
from fastiou.runtime import memory
from fastiou.runtime.gpu_arrays import GpuArray

__all__ = ["DenseResult"]

Array = npt.NDArray[Any]


class DenseResult(NamedTuple):
    """A result that either backend can compute."""

    #: Those arguments that were arrays.
    inputs: list[Input]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    #: The shape as (batches, rows, columns).
    parts: tuple[int, int, int]
    #: What it is, for messages, and what to do where it does not fit.
    what: str
    instead: str
    #: Fills a NumPy array of any layout.
    fill: Callable[[Array], None]
    #: `(work, scores, batches, first_row)` fills a C-contiguous block on a GPU, of some batches and
    #: of rows from the first on.
    fill_on_gpu: Callable[[Any, Any, slice, int], None]

    def compute(self, out: Any, device: str) -> Any:
        """The result, in `out` or in a new array of the kind that the inputs are."""
        output = None if out is None else gpu_output(out, self.shape, self.dtype)
        place = backends.gpu_of(self.inputs)
        if output is not None and place is not None and place.number != output.gpu.number:
            raise ValueError(
                f"out is on GPU {output.gpu.number} and the inputs on GPU {place.number}; "
                "move one to the other"
            )

        def on_gpu(place: GpuArray | None) -> Any:
            if output is not None:
                return self._filled_on_gpu(out, output.gpu if place is None else place)
            if out is None and place is not None and place.empty is not None:
                return self._new_on_gpu(place)
            return self._on_host(out, self._host_filler(place))

        def on_cpu() -> Any:
            if output is None:
                return self._on_host(out, self.fill)
            output.write(self._new(self.fill))
            return out

        return backends.compute(device, self.inputs, on_gpu, on_cpu)

    def _new(self, fill: Callable[[Array], None]) -> Array:
        scores = self._allocated()
        fill(scores)
        return scores

    def _allocated(self) -> Array:
        scores: Array = memory.allocate(self.shape, self.dtype, self.what, self.instead)
        return scores

    def _on_host(self, out: Any, fill: Callable[[Array], None]) -> Any:
        if out is None:
            return hand_back(self._new(fill), *self.inputs)
        fill(output_array(out, self.shape, self.dtype))
        return out

    def _new_on_gpu(self, place: GpuArray) -> Any:
        from fastiou.runtime.gpu import memory_errors

        assert place.empty is not None
        with memory_errors():
            scores = place.empty(self.shape, self.dtype)
        return self._filled_on_gpu(scores, place)

    def _filled_on_gpu(self, scores: Any, place: GpuArray) -> Any:
        from fastiou.runtime.gpu import fill_device

        fill_device(scores, self.parts, self.fill_on_gpu, place)
        return scores

    def _host_filler(self, place: GpuArray | None) -> Callable[[Array], None]:
        from fastiou.runtime.gpu import fill_host

        def fill(target: Array) -> None:
            contiguous = target.flags.c_contiguous
            scores = target if contiguous else self._allocated()
            fill_host(scores.reshape(self.parts), self.fill_on_gpu, place)
            if not contiguous:
                target[...] = scores

        return fill
