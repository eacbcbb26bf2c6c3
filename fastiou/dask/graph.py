"""Tasks of one call, all in one layer of a graph."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

__all__ = ["Graph", "Key"]

#: Name and numbers of a task.
Key = tuple[Any, ...]


class Graph:
    """Tasks of one call.

    Delayed calls in their place would each copy the layers of all before: with 100 blocks and 100
    parts that took minutes.

    Parameters
    ----------
    sources
        What the tasks begin with.
    *options
        What the results hang on besides: equal calls have equal keys.
    """

    def __init__(self, sources: Sequence[Delayed], *options: Any) -> None:
        self._sources = list(sources)
        self._token = tokenize([source.key for source in sources], *options)
        self._tasks: dict[Key, Any] = {}
        self._whole: Any = None

    def add(self, name: str, place: tuple[int, ...], function: Any, *arguments: Any) -> Key:
        """Add a task, which Dask's dashboard calls `name`.

        Arguments that are keys, or lists of these, stand for what their tasks return.
        """
        assert self._whole is None, "the graph is in use"
        key = (f"{name}-{self._token}", *place)
        self._tasks[key] = (function, *arguments)
        return key

    def add_items(self, name: str, place: tuple[int, ...], of: Key, count: int) -> list[Key]:
        """Add a task for each item of what another returns."""
        return [
            self.add(name, (*place, number), operator.getitem, of, number)
            for number in range(count)
        ]  # fmt: skip

    def delayed(self, key: Key) -> Delayed:
        """What a task returns. No task can be added afterwards."""
        layer = f"fastiou-{self._token}"
        if self._whole is None:
            self._whole = HighLevelGraph.from_collections(
                layer, self._tasks, dependencies=self._sources
            )
        return Delayed(key, self._whole, layer=layer)

    def array(
        self, name: str, keys: Sequence[Key], item: int, sizes: Sequence[float], k: int, dtype: Any
    ) -> Any:
        """An array of Dask, of an item (n, k) of what each of some tasks returns."""
        name = f"{name}-{self._token}"
        tasks = {(name, n, 0): (operator.getitem, key, item) for n, key in enumerate(keys)}
        whole = HighLevelGraph.from_collections(
            name, tasks, dependencies=[self.delayed(keys[0])]
        )  # fmt: skip
        chunks = (tuple(sizes), (k,))
        return da.Array(whole, name, chunks, meta=np.empty((0, 0), dtype))
