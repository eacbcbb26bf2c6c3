"""Which GPU there is, and arrays that other libraries keep on it. Needs neither to be imported."""

from __future__ import annotations

import functools
import importlib.util
import math
import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastiou.typing import Array

__all__ = [
    "Delayed",
    "GpuArray",
    "GpuOutput",
    "OnGpu",
    "as_device_array",
    "description",
    "is_simulated",
    "locate",
    "output",
    "problem",
    "read",
    "started",
]


#: The oldest compute capability that the compiler of CUDA 13 makes code for.
OLDEST = (7, 5)

#: The process in which CUDA was first used. A forked child cannot use what its parent started.
_process: int | None = None


def is_simulated() -> bool:
    """Whether Numba's simulator stands in for a GPU."""
    try:
        return int(os.environ.get("NUMBA_ENABLE_CUDASIM") or 0) != 0
    except ValueError:  # Numba warns of it, and takes it for 0
        return False


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
    #: Bytes that the caller's library has kept for its next arrays, which are not free for others.
    kept: Callable[[], int] = lambda: 0


class GpuOutput(NamedTuple):
    """An array on a GPU that a result is to be written to."""

    gpu: GpuArray
    shape: tuple[int, ...]
    #: Name of the dtype, as NumPy has it.
    dtype: str
    contiguous: bool
    #: Fills it with the contents of a NumPy array.
    write: Callable[[Array], None]


#: Types that kernels read where they lie. Numba reads float16 by a file that it links, and no such
#: kernel was checked.
READ_BY_KERNELS = (
    *("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
    *("float32", "float64"),
)


def as_device_array(array: Any) -> Any:
    """A GPU array of any library as Numba takes it, without a copy."""
    if hasattr(array, "__cuda_ndarray__"):
        return array
    from numba import cuda

    return cuda.as_cuda_array(array, sync=False)


class Delayed:
    """What stays on a GPU until the host asks for it."""

    on_host: Any


class OnGpu(Delayed):
    """An array on a GPU.

    Parameters
    ----------
    value
        The array, of any library.
    library, gpu
        Which one, and where it lies.
    shape
        In which it is looked at.
    """

    def __init__(
        self, value: Any, library: str, gpu: GpuArray, shape: tuple[int, ...] | None = None
    ) -> None:
        self._value, self.library, self.gpu = value, library, gpu
        self.shape = tuple(map(int, value.shape)) if shape is None else shape
        self._type = str(value.dtype).removeprefix("torch.")
        try:
            self.dtype = np.dtype(self._type)
        except TypeError:  # of no type that NumPy has
            self.dtype = np.dtype(np.void)

    @property
    def ndim(self) -> int:
        """Dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Elements."""
        return math.prod(self.shape)

    def reshape(self, *shape: int) -> OnGpu:
        """The same in another shape."""
        return OnGpu(self._value, self.library, self.gpu, shape)

    @functools.cached_property
    def on_host(self) -> Array:
        """A copy of it as a NumPy array."""
        array: Array
        if self.library == "torch":
            array = self._value.cpu().numpy()
        elif self.library == "cupy":
            array = self._value.get()
        elif self.library == "jax":
            array = np.asarray(self._value)
        else:
            array = self._value.copy_to_host()
        return array.reshape(self.shape)

    def as_float32(self) -> OnGpu | Array:
        """The same numbers as float32: on the GPU, if its library converts them there."""
        if self.library == "numba":
            return self.on_host.astype(np.float32)
        is_torch = self.library == "torch"
        value = self._value.float() if is_torch else self._value.astype(np.float32)
        return OnGpu(value, self.library, self.gpu, self.shape)

    def in_shape(self, shape: tuple[int, ...]) -> Any | None:
        """The array in some shape as kernels take it; None where they cannot read it so."""
        return self._as_kernels_take_it(shape, lambda value: value)

    @functools.cached_property
    def flat(self) -> Any | None:
        """All elements in C order as kernels take them, copied on the GPU if they lie otherwise.

        None where there are none, and where kernels cannot read them so.
        """
        if problem() is not None or not self.size:
            return None
        device = self._as_kernels_take_it(self.shape, self._in_c_order)
        if device is None or not device.is_c_contiguous():
            return None
        return device.reshape(self.size)

    def _in_c_order(self, value: Any) -> Any:
        if self.library == "torch":
            return value.contiguous()
        return sys.modules["cupy"].ascontiguousarray(value) if self.library == "cupy" else value

    def _as_kernels_take_it(
        self, shape: tuple[int, ...], ordered: Callable[[Any], Any]
    ) -> Any | None:
        if self._type == "float16" and self.library != "numba":
            wider = self.as_float32()
            assert isinstance(wider, OnGpu)
            return wider._as_kernels_take_it(shape, ordered)
        if self._type not in READ_BY_KERNELS:
            return None
        value = self._value
        try:
            value = value if tuple(value.shape) == shape else value.reshape(shape)
            return as_device_array(ordered(value))
        except (AttributeError, TypeError, ValueError, RuntimeError, MemoryError):
            # One of Numba's whose rows do not follow each other; a library too old to tell where
            # such numbers lie; or no room for a copy.
            return None


def read(value: Any) -> OnGpu | None:
    """An array on a GPU that is not copied yet; None for anything else."""
    located = locate(value)
    if located is None:
        return None
    found = OnGpu(value, *located)
    if str(value.dtype) in ("torch.bfloat16", "bfloat16"):  # NumPy has no such type
        wider = found.as_float32()
        assert isinstance(wider, OnGpu)
        return wider
    return found


def output(value: Any) -> GpuOutput | None:
    """An argument `out` that lies on a GPU; None for anything else.

    Raises
    ------
    TypeError
        An array of a library whose arrays cannot be written to.
    """
    found = locate(value)
    if found is None:
        return None
    library, gpu = found
    shape = tuple(value.shape)
    if library == "torch":
        torch = sys.modules["torch"]
        dtype = str(value.dtype).removeprefix("torch.")

        def write(result: Array) -> None:
            value.copy_(torch.from_numpy(result))

        return GpuOutput(gpu, shape, dtype, value.is_contiguous(), write)
    if library == "jax":
        raise TypeError("out must be an array that can be written to, got one of jax")
    dtype = np.dtype(value.dtype).name
    if library == "cupy":
        return GpuOutput(gpu, shape, dtype, value.flags.c_contiguous, value.set)
    return GpuOutput(gpu, shape, dtype, value.is_c_contiguous(), value.copy_to_device)


def locate(value: Any) -> tuple[str, GpuArray] | None:
    """The library of a GPU array, and where it lies; None for anything else."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return _locate_torch(torch, value)
    library = type(value).__module__.partition(".")[0]
    if library == "cupy":
        return _locate_cupy(value)
    if library in ("jax", "jaxlib") and hasattr(value, "devices"):
        return _locate_jax(value)
    if hasattr(value, "__cuda_ndarray__"):
        from numba import cuda

        number = 0 if is_simulated() else int(cuda.get_current_device().id)
        return "numba", GpuArray(number, 0, cuda.device_array, cuda.to_device)
    return None


def _locate_torch(torch: Any, tensor: Any) -> tuple[str, GpuArray] | None:
    if tensor.device.type != "cuda":
        return None
    device = tensor.device

    def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        return torch.empty(shape, dtype=getattr(torch, dtype.name), device=device)

    stream = int(torch.cuda.current_stream(device).cuda_stream)

    def wrap(array: Array) -> Any:
        return torch.from_numpy(array).to(device)

    def kept() -> int:
        memory = torch.cuda.memory_stats(device)
        kept, used = (f"{kind}_bytes.all.current" for kind in ("reserved", "allocated"))
        return int(memory.get(kept, 0) - memory.get(used, 0))

    return "torch", GpuArray(device.index, stream, empty, wrap, kept)


def _locate_cupy(array: Any) -> tuple[str, GpuArray]:
    cupy = sys.modules["cupy"]

    def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        with array.device:
            return cupy.empty(shape, dtype)

    def wrap(result: Array) -> Any:
        with array.device:
            return cupy.asarray(result)

    def kept() -> int:
        with array.device:
            return int(cupy.get_default_memory_pool().free_bytes())

    with array.device:  # each GPU has a current stream of its own
        stream = int(cupy.cuda.get_current_stream().ptr)
    return "cupy", GpuArray(array.device.id, stream, empty, wrap, kept)


def _locate_jax(array: Any) -> tuple[str, GpuArray] | None:
    try:
        (device, *others) = array.devices()
    except Exception:  # what is being traced lies nowhere, and JAX has errors of its own for that
        return None
    if others or device.platform != "gpu":
        return None
    jax = sys.modules["jax"]
    number = getattr(device, "local_hardware_id", None)  # `id` counts those of other machines, too
    gpu = GpuArray(
        device.id if number is None else number,
        0,
        None,
        lambda result: jax.device_put(result, device),
    )
    return "jax", gpu
