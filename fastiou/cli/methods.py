"""What `fastiou match` can look for between the members of two files: a row each."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import fastiou
from fastiou.cli.display import Stage
from fastiou.cli.options import MatchOptions
from fastiou.formats.content import Booleans, Floats, Integers
from fastiou.typing import Array

__all__ = ["METHODS", "Method", "Query", "Related"]


class Query(NamedTuple):
    """Between what to look, and for what."""

    #: The members as the functions of fastiou take them, and their layout.
    a: Any
    b: Any
    fmt: str
    groups: tuple[Integers, ...] | None
    #: How sure each of `a` is, and which of `b` are crowds, for methods that use them.
    scores: Floats | None
    crowds: Booleans | None
    options: MatchOptions

    @property
    def shared(self) -> dict[str, Any]:
        """The arguments that all of the functions have."""
        names = {"threshold": self.options.threshold, "metric": self.options.metric}
        groups = self.groups
        if groups is not None and len(groups) == 1:
            (groups,) = groups  # type: ignore[assignment]
        return {**names, "fmt": self.fmt, "groups": groups}


class Related(NamedTuple):
    """What a method found."""

    rows: Array
    cols: Array
    values: Array
    #: How many pairs were compared, where the method tells.
    tested: int | None = None
    #: Positions in the two files of what found no partner, if each may have but one.
    unmatched: tuple[Array, Array] | None = None


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Attributes
    ----------
    title : str
        What a summary calls that which was found.
    plural : str
        The same in the title of a plot.
    function : str
        The function of fastiou that finds it.
    relate : function
        Calls that function.
    by_score : bool
        Whether it uses the scores of A, and the crowds of B.
    from_zero : bool
        Whether the threshold may be 0.
    imports : tuple of str
        Modules that the function imports when it is called.
    details : str
        What a summary says besides the name, with the value of `--top`.
    """

    title: str
    plural: str
    function: str
    relate: Callable[[Query, Stage], Related]
    by_score: bool = False
    from_zero: bool = False
    imports: tuple[str, ...] = ()
    details: str = ""

    def load(self) -> None:
        """Import what the work needs, so that the time of the work does not include it."""
        getattr(fastiou, self.function)
        for name in self.imports:
            importlib.import_module(name)


def _pairs(query: Query, progress: Stage) -> Related:
    found = fastiou.pairs(query.a, query.b, progress=progress, **query.shared)
    return Related(found.rows, found.cols, found.values, found.tested)


def _topk(query: Query, _: Stage) -> Related:
    best = fastiou.topk(query.a, query.b, query.options.top, **query.shared)
    rows, ranks = np.nonzero(best.indices >= 0)
    return Related(rows, best.indices[rows, ranks], best.values[rows, ranks])


def _match(query: Query, _: Stage, **by_score: Any) -> Related:
    method = query.options.method
    found = fastiou.match(query.a, query.b, method=method, **by_score, **query.shared)
    unmatched = found.unmatched_rows, found.unmatched_cols
    return Related(found.rows, found.cols, found.values, unmatched=unmatched)


def _match_by_score(query: Query, progress: Stage) -> Related:
    # Metrics that crowds cannot have are refused only where there is a crowd.
    crowds = query.crowds if query.crowds is not None and query.crowds.any() else None
    return _match(query, progress, scores=query.scores, iscrowd=crowds)


#: By the option `--method`.
METHODS = {
    "pairs": Method("pairs found", "pairs", "pairs", _pairs),
    "greedy": Method("matches", "matches", "match", _match),
    "optimal": Method("matches", "matches", "match", _match, imports=("scipy.sparse",)),
    "most": Method("matches", "matches", "match", _match),
    "coco": Method("matches", "matches", "match", _match_by_score, by_score=True),
    "topk": Method(
        "kept",
        "pairs",
        "topk",
        _topk,
        from_zero=True,
        details=", the best {:,} in B of each in A",
    ),
}
