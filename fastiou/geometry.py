"""What a geometry is: the protocol that boxes, rotated boxes and masks follow.

A geometry tells how its members are read and prepared, how a kernel loads one, and what it measures
on two of them. With that alone every relation works for it, on the CPU and on a GPU, as do all
metrics that need no more than it measures. `fastiou.geometries.table` lists the geometries.

The *broad phase* reads nothing but the bounds. The *narrow phase* is one line, for every geometry
and backend: ``metric.formula(*geometry.measures[metric.needs](member1, member2))``.
"""

from __future__ import annotations

import functools
import inspect
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastiou.metrics import METRICS, Metric, Need
from fastiou.typing import Array

__all__ = ["EXACT", "PADDING", "Columns", "Geometry", "InStep", "Small", "unmagnify"]


#: Integers up to which float64 holds them, their sums, and halves of these.
EXACT = 2**50

#: Columns go on this far past the last member, so that kernels may always compute whole chunks.
PADDING = 64


class Columns(NamedTuple):
    """A set as every kernel reads it: one contiguous row for each number of its members."""

    #: (>= 4, n + padding): left, top, right, bottom of each member, and what else is the geometry's
    #: own. All that the broad phase reads. Where right <= left or bottom <= top, it overlaps
    #: nothing. What follows the last member is empty.
    bounds: Array
    #: The geometry's own.
    data: Array
    #: How many rows of `data` have a column for each member, and go with it into another order.
    data_rows: int
    #: (n,) bool: members with a NaN, held as empty ones. None if there are none.
    missing: Array | None = None
    #: By which power of two what is shared is magnified: areas by twice that of the coordinates,
    #: volumes by three times it.
    exponent: int = 0
    #: Whether the areas that scores are made of are those of the bounds, but for rounding. Then a
    #: threshold bounds how much of their sides two members must share.
    fills_bounds: bool = False

    def taken(self, chosen: Array) -> Columns:
        """Some members alone, in this order."""
        # The last one again serves as padding: it is computed and not used.
        chosen = (
            np.pad(chosen, (0, PADDING), mode="edge") if len(chosen) else np.zeros(PADDING, int)
        )
        data = np.ascontiguousarray(self.data[:, chosen]) if self.data_rows else self.data
        missing = None if self.missing is None else self.missing[chosen[:-PADDING]]
        bounds = np.ascontiguousarray(self.bounds[:, chosen])
        return self._replace(bounds=bounds, data=data, missing=missing)


class Small(NamedTuple):
    """How members are prepared inside a compiled call: few on a CPU, any number on a GPU.

    See `cpu.small` and `cuda.prepare`.
    """

    #: Rows of `Columns.data`.
    data_rows: int
    #: `(fmt, metric, dtype) -> ` the number by which `fill` knows the format; None where a call
    #: cannot prepare them.
    layout: Callable[[str, Metric, np.dtype[Any]], int | None]
    #: `(metric) -> ` compiled: `(members, first, last, layout, columns) -> odd, largest, smallest`
    #: fills columns, bounds first, of members from `first` to `last`: a multiple of 16 on a CPU,
    #: one on a GPU. It tells whether one has a NaN or an infinity, or is to be refused; the largest
    #: coordinate; and the smallest area.
    fill: Callable[[Metric], Any]
    #: `(dtype) -> ` the largest coordinate and the smallest area that its arithmetic is fit for.
    limits: Callable[[np.dtype[Any]], tuple[float, float]]
    #: Formats that take more than sums and halves to prepare: then it hangs on the origin that both
    #: sets are moved to how integers are rounded.
    moved: tuple[str, ...] = ()
    #: How many numbers of a member are lengths, and by how many of these areas are multiplied.
    lengths: int = 4
    dimensions: int = 2
    #: `(dtype) -> ` what members of a dtype add to the number of their format.
    source: Callable[[np.dtype[Any]], int] = lambda dtype: 0
    #: `(layout) -> ` whether members fill their bounds, whatever they are (see `Columns`).
    fills_bounds: Callable[[int], bool] = lambda layout: False


class InStep(NamedTuple):
    """Compiled: how 16 pairs are scored at once, to the bits that one by one they have."""

    #: `(member, bounds, data, start, scores, place)`: one member against those from `start` on. The
    #: scores are written from `place` on.
    one: Callable[..., None]
    #: `(bounds1, data1, bounds2, data2, start, scores)`: those from `start` on, each with its
    #: fellow.
    each: Callable[..., None]


@dataclass(frozen=True, eq=False)
class Geometry:
    """A kind of members that overlap. Compared by identity: factories of kernels cache by it."""

    #: For messages and the names of compiled kernels, and its plural.
    name: str
    plural: str
    #: `(name, value, fmt, batches) -> Input`: an argument, checked; it raises what the user sees.
    #: Unless `batches`, leading dimensions are refused.
    read: Callable[..., Any]
    #: `(set1, set2, metric, order, phase) -> Columns, Columns`: both sets ready for the kernels.
    #: The same set twice is prepared once. Where an order is given, it is that of a set compared
    #: with itself, and may leave members out. Each row begins `phase` bytes past a cache line, if
    #: it can.
    prepare: Callable[..., tuple[Columns, Columns]]
    #: Compiled: `(bounds, data, i) -> member`, a tuple that begins with its bounds. A row keeps it
    #: in registers.
    load: Callable[..., Any]
    #: Compiled, by what a metric needs: `(member1, member2) -> ` the arguments of its formula.
    measures: Mapping[Need, Callable[..., Any]]
    #: `(array, in_fmt, out_fmt)`: its members in another of its formats.
    convert: Callable[[Array, str, str], Array] | None = None
    #: Formats of other geometries that `convert` knows, too.
    converts: tuple[str, ...] = ()
    #: `(value, numbers)`: whether an argument is of this geometry, whatever the format, in which
    #: members have so many numbers.
    recognises: Callable[[Any, int], bool] = lambda value, numbers: False
    #: Whether a member is the box of its bounds: its own measure then tells that two are apart as
    #: fast as their bounds do.
    is_its_bounds: bool = False
    #: Of members in space, the rows of `data` with their low and high ends along the third axis. A
    #: search may exchange them with those of another axis, for bounds that part members better. So
    #: `measures` have the same bits in whatever order the axes are.
    depth: tuple[int, int] | None = None
    #: `(columns) -> int`: how long a candidate takes, in scores of plain boxes.
    cost: Callable[[Columns], int] = lambda columns: 1
    #: Members that a search scores at a time: 16 or 64.
    chunk: int = 16
    #: How a few members are prepared, where one compiled call can do that.
    small: Small | None = None
    #: `(metric) -> ` how pairs are scored 16 at a time, where LLVM makes no vectors of `measures`.
    in_step: Callable[[Metric], InStep] | None = None
    #: `(metric) -> ` a scorer of chunks of its own (see `cpu.scoring`), where the general one was
    #: measured to be too slow.
    chunk_scorer: Callable[[Metric], Any] | None = None
    #: `(metric, columns1, columns2, first_row, scores)` fills scores (rows, columns) by kernels of
    #: its own, for sets that have no batches.
    dense: Callable[..., None] | None = None
    #: `(metric, set1, set2, crowd) -> ` an object with the methods of `cuda.dense.GpuScores`, which
    #: does so on a GPU.
    on_gpu: Callable[..., Any] | None = None
    #: `(set1, set2) -> int, make` for a search on a GPU, of sets that are no arrays: how many bytes
    #: they take there, and `make(work) -> Columns, Columns`, on the GPU if they lie on it. Bounds
    #: then have a last row that is below 0 for what is to be refused.
    columns_on_gpu: Callable[..., tuple[int, Callable[..., tuple[Columns, Columns]]]] | None = None
    #: `(held) -> ` words of 8 bytes that a set takes on a GPU besides the numbers of its members.
    words_on_gpu: Callable[[Any], int] = lambda held: 0
    #: Whether an index takes its sets, which are no arrays and never change.
    has_lasting_sets: bool = False
    #: Whether there are no kernels of it for GPUs.
    on_cpu_alone: bool = False
    #: Where `(bounds, data, i) -> ` four neighbouring members is found, "module:function", for GPUs
    #: that load them by 16 bytes. It imports `numba.cuda`, and so is loaded when it is needed.
    load_four: str | None = None

    @functools.cached_property
    def label(self) -> str:
        """What tells its kernels from others, in the names of cache files and for the linker.

        The cache knows when a file of this package changes. Outside of it, a change is known of the
        files that `load`, `measures`, `chunk_scorer` and `small` are in, not of what these import.
        """
        name = self.name.replace(" ", "-")
        small = None if self.small is None else self.small.fill
        parts = [self.load, *self.measures.values(), self.in_step, self.chunk_scorer, small]
        functions = [inspect.unwrap(getattr(part, "py_func", part)) for part in parts if part]
        package = __name__.partition(".")[0]
        outside = {
            inspect.getfile(function)
            for function in functions
            if function.__module__.partition(".")[0] != package
        }
        if not outside:
            return name
        stamp = functools.reduce(
            lambda stamp, file: zlib.crc32(Path(file).read_bytes(), stamp), sorted(outside), 0
        )
        return f"{name}-{stamp:08x}"

    def metrics(self) -> list[str]:
        """Names of the metrics that it measures enough for."""
        return [name for name, metric in METRICS.items() if metric.needs in self.measures]


def unmagnify(values: Array, exponent: int) -> Array:
    """Take areas or volumes magnified by 2^exponent back to the units of the input, in place."""
    if exponent:
        with np.errstate(over="ignore", under="ignore"):
            np.ldexp(values, -exponent, out=values)
    return values
