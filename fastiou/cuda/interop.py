"""Which GPU there is, and arrays that other libraries keep on it. Needs neither to be imported."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["GpuArray", "description", "is_simulated", "problem", "read", "started"]

Array = npt.NDArray[Any]

#: The oldest compute capability that the compiler of CUDA 13 makes code for.
OLDEST = (7, 5)

#: The process in which CUDA was first used. A forked child cannot use what its parent started.
_process: int | None = None


def is_simulated() -> bool:
    """Whether Numba's simulator stands in for a GPU."""
    return os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0")


def started() -> None:
    """Note that this process uses CUDA."""
    global _process
    _process = _process or os.getpid()


def problem() -> str | None:
    """Why no GPU can be used, None if one can."""
    if is_simulated():
        return None
    if _process not in (None, os.getpid()):
        return (
            "CUDA was started before this process was forked, and a forked child cannot use it: "
            "start workers by multiprocessing's method 'spawn'"
        )
    return _lasting_problem()


@functools.cache
def _lasting_problem() -> str | None:
    if importlib.util.find_spec("numba_cuda") is None:
        return "the package numba-cuda is not installed: pip install 'fastiou[cuda]'"
    from numba import cuda

    if not cuda.is_available():
        error = cuda.cuda_error()
        lines = str(error).strip(": \n").splitlines() if error else []
        return f"no NVIDIA GPU with a driver was found ({lines[0] if lines else 'none answers'})"
    started()
    capability = tuple(cuda.get_current_device().compute_capability)
    if capability < OLDEST:
        return (
            f"the GPU has compute capability {capability[0]}.{capability[1]}, and CUDA 13 needs "
            f"{OLDEST[0]}.{OLDEST[1]} or more"
        )
    return None


def description() -> str:
    """The GPU that is used, or why none can be."""
    reason = problem()
    if reason is not None:
        return f"none: {reason}"
    if is_simulated():
        return "Numba's simulator (NUMBA_ENABLE_CUDASIM is set)"
    from numba import cuda

    gpu = cuda.get_current_device()
    name = gpu.name.decode() if isinstance(gpu.name, bytes) else gpu.name
    return f"{name}, compute capability {'.'.join(map(str, gpu.compute_capability))}"


class GpuArray(NamedTuple):
    """Where an argument lies, and how results get there."""

    #: Number of the GPU.
    number: int
    #: Address of the stream that the caller's library works on; 0 is the default stream.
    stream: int
    #: Makes an array of the caller's library there, of a shape and NumPy dtype, not filled; None if
    #: that library's arrays cannot be written to.
    empty: Callable[[tuple[int, ...], np.dtype[Any]], Any] | None
    #: Makes one with the contents of a NumPy array.
    wrap: Callable[[Array], Any]


def read(value: Any) -> tuple[Array, str, GpuArray] | None:
    """What a GPU array holds, its library, and where it lies; None for anything else."""
    library = type(value).__module__.partition(".")[0]
    if library == "torch":
        return _read_torch(value)
    if library == "cupy":
        return _read_cupy(value)
    if library in ("jax", "jaxlib") and hasattr(value, "devices"):
        return _read_jax(value)
    if hasattr(value, "__cuda_ndarray__"):
        from numba import cuda

        index = 0 if is_simulated() else int(cuda.get_current_device().id)
        gpu = GpuArray(index, 0, cuda.device_array, cuda.to_device)
        return value.copy_to_host(), "numba", gpu
    return None


def _read_torch(tensor: Any) -> tuple[Array, str, GpuArray] | None:
    torch = sys.modules["torch"]
    if tensor.device.type != "cuda":
        return None
    device = tensor.device

    def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        return torch.empty(shape, dtype=getattr(torch, dtype.name), device=device)

    kept = tensor.float() if tensor.dtype == torch.bfloat16 else tensor  # NumPy has no such type
    stream = int(torch.cuda.current_stream(device).cuda_stream)
    gpu = GpuArray(device.index, stream, empty, lambda array: torch.from_numpy(array).to(device))
    return kept.cpu().numpy(), "torch", gpu


def _read_cupy(array: Any) -> tuple[Array, str, GpuArray]:
    cupy = sys.modules["cupy"]

    def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        with array.device:
            return cupy.empty(shape, dtype)

    def wrap(result: Array) -> Any:
        with array.device:
            return cupy.asarray(result)

    stream = int(cupy.cuda.get_current_stream().ptr)
    return array.get(), "cupy", GpuArray(array.device.id, stream, empty, wrap)


def _read_jax(array: Any) -> tuple[Array, str, GpuArray] | None:
    (device, *others) = array.devices()
    if others or device.platform != "gpu":
        return None
    jax = sys.modules["jax"]
    gpu = GpuArray(device.id, 0, None, lambda result: jax.device_put(result, device))
    return np.asarray(array), "jax", gpu
