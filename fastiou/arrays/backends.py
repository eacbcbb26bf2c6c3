"""Which backend computes a result: the CPU or a GPU."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from fastiou.arrays.checks import check_choice
from fastiou.arrays.inputs import Input
from fastiou.runtime import gpu_arrays
from fastiou.runtime.gpu_arrays import GpuArray, OnGpu

if TYPE_CHECKING:
    from fastiou.geometry import Geometry

__all__ = ["check_device", "compute", "compute_in_place", "gpu_of"]

Result = TypeVar("Result")


def compute(
    device: str,
    inputs: Sequence[Input],
    on_gpu: Callable[[GpuArray | None], Result],
    on_cpu: Callable[[], Result],
) -> Result:
    """Compute where the argument `device` says.

    "auto" stays where the inputs lie: on the GPU if one of them does and it can be used, else on
    the CPU, also where the GPU's memory does not suffice.

    Parameters
    ----------
    device
        As `check_device` passed it.
    inputs
        The arguments, of which those on a GPU must be on one and the same.
    on_gpu
        Called with where the inputs lie, None if they are the host's.
    on_cpu
        The same result from the CPU.

    Raises
    ------
    MemoryError
        `device` is "cuda", and the GPU's memory does not suffice.
    """
    place = gpu_of(inputs)
    if device == "cpu" or (device == "auto" and place is None):
        return on_cpu()
    if gpu_arrays.problem() is None:
        try:
            return on_gpu(place)
        except MemoryError:
            if device == "cuda":
                raise
    return on_cpu()


def compute_in_place(
    inputs: Sequence[Input], on_gpu: Callable[[GpuArray], Result], on_cpu: Callable[[], Result]
) -> Result:
    """Compute on a GPU if kernels can read one of the inputs where it lies, else on the CPU.

    The CPU computes, too, where the GPU's memory does not suffice.
    """
    place, held = gpu_of(inputs), [given.held for given in inputs]
    if place is not None and any(isinstance(one, OnGpu) and one.flat is not None for one in held):
        with contextlib.suppress(MemoryError):
            return on_gpu(place)
    return on_cpu()


def gpu_of(inputs: Sequence[Input]) -> GpuArray | None:
    """Where those of the inputs lie that are on a GPU; None if all are the host's."""
    first: Input | None = None
    for given in inputs:
        if given.gpu is None:
            continue
        if first is None:
            first = given
        elif first.gpu is not None and given.gpu.number != first.gpu.number:
            raise ValueError(
                f"{first.name} is on GPU {first.gpu.number} and {given.name} on GPU "
                f"{given.gpu.number}; move one to the other"
            )
    return None if first is None else first.gpu


def check_device(device: str, geometry: Geometry) -> None:
    """Raise a ValueError unless the argument `device` is known, and a RuntimeError without a GPU.

    It comes before any other work, so that a forced GPU is not missed late.
    """
    check_choice("device", device, ("auto", "cpu", "cuda"))
    if device == "cuda" and geometry.on_cpu_alone:
        raise ValueError(
            f"device='cuda' cannot be used: {geometry.plural} are computed on the CPU alone"
        )
    if device == "cuda" and (problem := gpu_arrays.problem()) is not None:
        raise RuntimeError(f"device='cuda' cannot be used: {problem}")
