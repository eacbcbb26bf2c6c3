"""What a call launches, told without a GPU: kernels, and the types of their arguments."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from numba import cuda, typeof, types

from fastiou.runtime import gpu as device
from fastiou.runtime import gpu_arrays as interop
from fastiou.runtime.gpu_kernel import CudaKernel


class Launch(NamedTuple):
    """A kernel, and what it is launched with."""

    kernel: CudaKernel
    signature: tuple[Any, ...]

    @property
    def label(self) -> str:
        return self.kernel.function.__qualname__.partition("[")[2].rstrip("]")


class HostArray:
    """An array of the host that has the type of a GPU's."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.shape, self.size, self.dtype = array.shape, array.size, array.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def _numba_type_(self) -> Any:
        return types.Array(typeof(self.array).dtype, self.array.ndim, "C")

    @property
    def device_ctypes_pointer(self) -> Any:
        return ctypes.c_void_p(0)  # as memory of its own begins at a multiple of 256

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: Any) -> HostArray:
        return HostArray(np.ascontiguousarray(self.array[index]))

    def reshape(self, *shape: Any) -> HostArray:
        return HostArray(self.array.reshape(*shape))

    def view(self, dtype: Any) -> HostArray:
        return HostArray(self.array.view(dtype))

    def copy_to_host(self, out: Any = None, stream: Any = None) -> Any:
        if out is None:
            return self.array
        out[...] = self.array
        return out

    def copy_to_device(self, source: Any, stream: Any = None) -> None:
        """Leave it full: kernels would have counted in it."""


class HostWork(device.Work):
    """The host in place of a GPU. What kernels should have filled is full of one number.

    It is a number of pairs of a row that more than one thread sorts.
    """

    def copied(self, array: Any) -> Any:
        return HostArray(np.array(array, order="C"))

    def empty(self, shape: Any, dtype: Any) -> Any:
        return HostArray(np.full(shape, 40, dtype))

    def free(self) -> None:
        pass

    def wait(self) -> None:
        pass


@contextmanager
def _working(gpu: Any = None) -> Iterator[HostWork]:
    yield HostWork(0)


def launches_of(call: Callable[[], Any]) -> list[Launch]:
    """The kernels that a call with `device="cuda"` launches, each kind once."""
    launches: dict[Any, Launch] = {}

    def launch(self: CudaKernel, blocks: int, threads: int, stream: Any, *arguments: Any) -> None:
        signature = tuple(typeof(argument) for argument in arguments)
        launches[id(self), signature] = Launch(self, signature)

    with (
        mock.patch.object(interop, "problem", return_value=None),
        mock.patch.object(device, "working", _working),
        mock.patch.object(CudaKernel, "launch", launch),
        mock.patch.object(cuda, "to_device", lambda array, stream: HostArray(np.array(array))),
    ):
        call()
    return list(launches.values())
