"""How often a call copies between host and GPU, and waits for the GPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

from numba import cuda

from fastiou.runtime.gpu import Work


class Counts:
    """What was counted: items of each copy, in the order of the copies, and waits."""

    def __init__(self) -> None:
        self.to_host: list[int] = []
        self.to_gpu: list[int] = []
        self.waits = 0


@contextlib.contextmanager
def counted() -> Iterator[Counts]:
    """Count what Numba copies, whoever asks for it, and how often the stream is waited for."""
    counts = Counts()
    array = type(cuda.device_array(1))
    copy_to_host, copy_to_device = array.copy_to_host, array.copy_to_device
    to_device, wait = cuda.to_device, Work.wait

    def counting_to_host(self: Any, *arguments: Any, **options: Any) -> Any:
        counts.to_host.append(self.size)
        return copy_to_host(self, *arguments, **options)

    def counting_to_gpu(self: Any, source: Any, *arguments: Any, **options: Any) -> Any:
        counts.to_gpu.append(self.size)
        return copy_to_device(self, source, *arguments, **options)

    def counting_upload(source: Any, *arguments: Any, **options: Any) -> Any:
        counts.to_gpu.append(source.size)
        return to_device(source, *arguments, **options)

    def counting_wait(self: Work) -> None:
        counts.waits += 1
        wait(self)

    with (
        mock.patch.object(array, "copy_to_host", counting_to_host),
        mock.patch.object(array, "copy_to_device", counting_to_gpu),
        mock.patch.object(cuda, "to_device", counting_upload),
        mock.patch.object(Work, "wait", counting_wait),
    ):
        yield counts
