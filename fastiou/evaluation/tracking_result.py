"""Scores of trackers: by the counts of sequences, those of each and of all together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import FrozenInstanceError

import numpy as np

from fastiou.evaluation.tracking_sequence import ALPHAS, SequenceCounts
from fastiou.tables.frames import Framed
from fastiou.typing import Array

__all__ = ["METRICS", "TrackingMetrics", "combined", "result_of"]

#: The metrics by their names in TrackEval.
METRICS = ("HOTA", "CLEAR", "Identity")

#: Names of what `SequenceCounts` holds.
HOTA_ROWS = ("HOTA_TP", "HOTA_FN", "HOTA_FP", "AssA", "AssRe", "AssPr", "LocA")
CLEAR_COUNTS = ("CLR_TP", "CLR_FN", "CLR_FP", "IDSW", "MT", "PT", "ML", "Frag", "CLR_Frames")
IDENTITY_COUNTS = ("IDTP", "IDFN", "IDFP")
COUNTS = ("Dets", "GT_Dets", "IDs", "GT_IDs", "Frames")

#: Scores of HOTA by alpha, in the order of TrackEval.
BY_ALPHA = (
    "HOTA", "DetA", "AssA", "DetRe", "DetPr", "AssRe", "AssPr", "LocA", "OWTA", "HOTA_TP",
    "HOTA_FN", "HOTA_FP",
)  # fmt: skip

#: What `summary` shows: it fits in 80 columns.
SHOWN = ("HOTA", "DetA", "AssA", "LocA", "MOTA", "IDF1", "IDSW", "CLR_FP", "CLR_FN")


class TrackingMetrics(Framed):
    """Scores of a tracker over one sequence or several, by the names of TrackEval.

    ``result["MOTA"]`` is a score, and ``result.MOTA`` the same. Those of HOTA are means over 19
    thresholds; `per_alpha` has them one by one.

    Attributes
    ----------
    name : str
        The sequence, or "COMBINED".
    values : dict of str to float or int
        All scores and counts; see `docs/tracking.md` for what they are.
    per_alpha : dict of str to array, shape (19,)
        The scores of HOTA at each of `alphas`: HOTA, DetA, AssA, DetRe, DetPr, AssRe, AssPr, LocA,
        OWTA, HOTA_TP, HOTA_FN, HOTA_FP.
    alphas : array, shape (19,)
        The thresholds .05, .1, ... .95.
    sequences : dict of str to TrackingMetrics
        The scores of each sequence, sorted by name; empty in those.

    Examples
    --------
    >>> import fastiou
    >>> truth = [[1, 7, 0, 0, 10, 20], [2, 7, 2, 0, 10, 20], [3, 7, 4, 0, 10, 20]]
    >>> found = [[1, 1, 0, 0, 10, 20], [2, 1, 2, 0, 10, 20], [3, 2, 4, 0, 10, 20]]
    >>> result = fastiou.tracking_metrics(truth, found)
    >>> result
    <TrackingMetrics: 1 sequence; HOTA 0.7454, MOTA 0.6667, IDF1 0.6667, IDSW 1>
    >>> result["DetA"], result.IDSW
    (1.0, 1)
    >>> result.per_alpha["AssA"][:2]
    array([0.55555556, 0.55555556])
    """

    alphas: Array = ALPHAS

    def __init__(
        self,
        name: str,
        values: Mapping[str, float | int],
        per_alpha: Mapping[str, Array],
        sequences: Mapping[str, TrackingMetrics] | None = None,
    ) -> None:
        self.name: str
        self.values: dict[str, float | int]
        self.per_alpha: dict[str, Array]
        self.sequences: dict[str, TrackingMetrics]
        vars(self).update(
            name=name, values=dict(values), per_alpha=dict(per_alpha),
            sequences=dict(sequences or {}),
        )  # fmt: skip

    def __setattr__(self, name: str, value: object) -> None:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __getitem__(self, score: str) -> float | int:
        if score not in self.values:
            raise KeyError(f"{score!r} is none of {', '.join(self.values)}")
        return self.values[score]

    def __getattr__(self, score: str) -> float | int:
        values = self.__dict__.get("values", {})
        if score not in values:
            raise AttributeError(f"{type(self).__name__} has no attribute {score!r}")
        value: float | int = values[score]
        return value

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *filter(str.isidentifier, self.values)})

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def __repr__(self) -> str:
        shown = [
            f"{score} {_shown(self.values[score])}"
            for score in ("HOTA", "MOTA", "IDF1", "IDSW")
            if score in self.values
        ]
        count = len(self.sequences)
        of = f"{count} sequence{'' if count == 1 else 's'}" if count else self.name
        return f"<TrackingMetrics: {of}; {', '.join(shown)}>"

    def as_dict(self, prefix: str = "") -> dict[str, float | int]:
        """All scores and counts by name, as numbers of Python.

        Parameters
        ----------
        prefix
            Put before each name, such as "val/".

        Examples
        --------
        >>> import fastiou
        >>> boxes = [[1, 7, 0, 0, 10, 20]]
        >>> scores = fastiou.tracking_metrics(boxes, boxes, metrics="Identity").as_dict("val/")
        >>> scores["val/IDF1"]
        1.0
        """
        return {prefix + name: value for name, value in self.values.items()}

    def columns(self) -> dict[str, Array]:
        """The scores of each sequence, and last of all together, as columns of a data frame."""
        rows = [*self.sequences.values(), self]
        names: dict[str, Array] = {"sequence": np.array([row.name for row in rows])}
        return names | {key: np.array([row[key] for row in rows]) for key in self.values}

    def summary(self, *, per_sequence: bool = True) -> str:
        """The main scores as a table of text, a line for each sequence and one for all together.

        Parameters
        ----------
        per_sequence
            Whether there are lines for sequences.
        """
        rows = [*(self.sequences.values() if per_sequence else ()), self]
        names = [name for name in SHOWN if name in self.values]
        cells = [["sequence", *names]]
        cells += [[row.name, *(_shown(row[name]) for name in names)] for row in rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join(
            "  ".join(
                [row[0].ljust(widths[0])]
                + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            )
            for row in cells
        )


def _shown(value: float | int) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def result_of(counts: Mapping[str, SequenceCounts], metrics: Sequence[str]) -> TrackingMetrics:
    """The scores that follow from the counts of sequences.

    Parameters
    ----------
    counts
        Those of each sequence. Their order changes nothing.
    metrics
        Those of `METRICS` that were counted.
    """
    in_order = {name: counts[name] for name in sorted(counts)}
    alone = {name: _metrics(name, own, metrics, alone=True) for name, own in in_order.items()}
    together = _metrics("COMBINED", combined(list(in_order.values())), metrics, alone=False)
    return TrackingMetrics("COMBINED", together.values, together.per_alpha, alone)


def combined(parts: Sequence[SequenceCounts]) -> SequenceCounts:
    """The counts of all sequences together, as TrackEval combines them.

    What is counted is added up. AssA, AssRe, AssPr and LocA are means, weighted by the matches. A
    sequence without truth or without tracks has no frames for CLEAR.
    """
    hota = np.zeros_like(parts[0].hota)
    for part in parts:
        hota[:3] += part.hota[:3]
        hota[3:] += part.hota[3:] * part.hota[0]
    hota[3:6] /= np.maximum(1, hota[0])
    hota[6] = np.maximum(1e-10, hota[6]) / np.maximum(1e-10, hota[0])
    clear, identity, counts = (
        sum(part) for part in zip(*((p.clear, p.identity, p.counts) for p in parts), strict=True)
    )
    return SequenceCounts(hota, clear, sum(part.motp_sum for part in parts), identity, counts)


def _metrics(
    name: str, own: SequenceCounts, metrics: Sequence[str], *, alone: bool
) -> TrackingMetrics:
    values: dict[str, float | int] = {}
    per_alpha: dict[str, Array] = {}
    counts = dict(zip(COUNTS, own.counts.tolist(), strict=True))
    # TrackEval answers early then: all scores of CLEAR are 0 but MLR.
    is_empty = alone and not (counts["Dets"] and counts["GT_Dets"])
    if "HOTA" in metrics:
        per_alpha = _hota(own.hota)
        values |= {score: float(np.mean(per_alpha[score])) for score in BY_ALPHA}
        first = {score: float(per_alpha[score][0]) for score in ("HOTA", "LocA")}
        values |= {f"{score}(0)": value for score, value in first.items()}
        values["HOTALocA(0)"] = first["HOTA"] * first["LocA"]
    if "CLEAR" in metrics:
        clear = _clear(dict(zip(CLEAR_COUNTS, own.clear.tolist(), strict=True)), own.motp_sum)
        if is_empty:
            clear |= {score: 0.0 for score, value in clear.items() if isinstance(value, float)}
            clear["MLR"] = 1.0
        values |= clear
    if "Identity" in metrics:
        values |= _identity(dict(zip(IDENTITY_COUNTS, own.identity.tolist(), strict=True)))
    return TrackingMetrics(name, values | counts, per_alpha)


def _hota(rows: Array) -> dict[str, Array]:
    found = dict(zip(HOTA_ROWS, rows, strict=True))
    hits, missed, spurious = rows[:3]
    found["DetRe"] = hits / np.maximum(1, hits + missed)
    found["DetPr"] = hits / np.maximum(1, hits + spurious)
    found["DetA"] = hits / np.maximum(1, hits + missed + spurious)
    found["HOTA"] = np.sqrt(found["DetA"] * found["AssA"])
    found["OWTA"] = np.sqrt(found["DetRe"] * found["AssA"])
    return {score: found[score] for score in BY_ALPHA}


def _clear(counts: dict[str, int], similarity: float) -> dict[str, float | int]:
    hits, missed, spurious = counts["CLR_TP"], counts["CLR_FN"], counts["CLR_FP"]
    switches = counts["IDSW"]
    truth, ids = max(1, hits + missed), max(1, counts["MT"] + counts["PT"] + counts["ML"])
    scores: dict[str, float | int] = {
        "MOTA": (hits - spurious - switches) / truth,
        "MOTP": similarity / max(1, hits),
        "MODA": (hits - spurious) / truth,
        "CLR_Re": hits / truth,
        "CLR_Pr": hits / max(1, hits + spurious),
        "MTR": counts["MT"] / ids,
        "PTR": counts["PT"] / ids,
        "MLR": counts["ML"] / ids,
        "sMOTA": (similarity - spurious - switches) / truth,
        "CLR_F1": hits / max(1, hits + 0.5 * missed + 0.5 * spurious),
        "FP_per_frame": spurious / max(1, counts["CLR_Frames"]),
        "MOTAL": (hits - spurious - (float(np.log10(switches)) if switches else 0)) / truth,
        "MOTP_sum": similarity,
    }
    return scores | counts


def _identity(counts: dict[str, int]) -> dict[str, float | int]:
    hits, spurious, missed = counts["IDTP"], counts["IDFP"], counts["IDFN"]
    scores: dict[str, float | int] = {
        "IDF1": hits / max(1, hits + 0.5 * spurious + 0.5 * missed),
        "IDR": hits / max(1, hits + missed),
        "IDP": hits / max(1, hits + spurious),
    }
    return scores | counts
