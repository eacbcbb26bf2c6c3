"""Dense results: allocated, filled by either backend, and handed back in kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastiou import arrays, dispatch, memory
from fastiou.arrays import Input
from fastiou.cuda.interop import GpuArray

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

        def on_gpu(place: GpuArray | None) -> Any:
            return self._new_on_gpu(place) if out is None else self._into_on_gpu(out, place)

        def on_cpu() -> Any:
            return self._new(self.fill) if out is None else self._into(out, self.fill)

        return dispatch.compute(device, self.inputs, on_gpu, on_cpu)

    def _new(self, fill: Callable[[Array], None]) -> Any:
        scores = memory.allocate(self.shape, self.dtype, self.what, self.instead)
        fill(scores)
        return arrays.hand_back(scores, *self.inputs)

    def _into(self, out: Any, fill: Callable[[Array], None]) -> Any:
        fill(arrays.output_array(out, self.shape, self.dtype))
        return out

    def _new_on_gpu(self, place: GpuArray | None) -> Any:
        if place is None or place.empty is None:
            return self._new(self._host_filler(place))
        from fastiou.cuda.device import fill_device, memory_errors

        with memory_errors():
            scores = place.empty(self.shape, self.dtype)
        fill_device(scores, self.parts, self.fill_on_gpu, place)
        return scores

    def _into_on_gpu(self, out: Any, place: GpuArray | None) -> Any:
        if not arrays.is_on_gpu(out):
            return self._into(out, self._host_filler(place))
        from fastiou.cuda.device import as_device_array, fill_device

        scores = as_device_array(out)
        arrays.check_output(tuple(scores.shape), scores.dtype, self.shape, self.dtype)
        if not scores.is_c_contiguous():
            raise ValueError("out must be C-contiguous where it is on a GPU")
        fill_device(scores, self.parts, self.fill_on_gpu, place)
        return out

    def _host_filler(self, place: GpuArray | None) -> Callable[[Array], None]:
        from fastiou.cuda.device import fill_host

        def fill(target: Array) -> None:
            contiguous = target.flags.c_contiguous
            scores = target if contiguous else np.empty(self.shape, self.dtype)
            fill_host(scores.reshape(self.parts), self.fill_on_gpu, place)
            if not contiguous:
                target[...] = scores

        return fill
