"""What the evaluation of a detector tells: numbers, classes, curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastiou.evaluation import detection_kernels as kernels
from fastiou.evaluation.detection_analysis import chosen_places, images_of_slices, part_of
from fastiou.evaluation.detection_comparison import Comparison, Side, compared
from fastiou.evaluation.detection_curves import accumulate, mean_of, truth_counts
from fastiou.evaluation.detection_errors import Scored
from fastiou.evaluation.detection_matching import Matched, in_order, score_ranges
from fastiou.evaluation.detection_mistakes import Mistakes
from fastiou.evaluation.detection_resampling import Bootstrap, Weighted, bootstrap_of
from fastiou.evaluation.protocols import Protocol, Stat
from fastiou.runtime import steps, threads
from fastiou.runtime.distinct import counted
from fastiou.runtime.extras import import_extra
from fastiou.runtime.progress import Progress, in_parts
from fastiou.runtime.words import described
from fastiou.tables.frames import Framed
from fastiou.typing import Array

__all__ = ["ClassScores", "DetectionResult", "Rules"]

#: Work of putting a detection in order, in scores of boxes (see `threads.run`): 0.1 to 0.2 µs.
SORT_WORK = 32


#: Detections of a class that are sorted at once. More are first parted by ranges of their scores:
#: one step for 3,000,000 took 0.5 to 1 s of CPU time.
MOST_SORTED = 1 << 19


@dataclass(frozen=True, eq=False)
class Rules:
    """How was counted.

    Attributes
    ----------
    protocol : Protocol
    iou_type : str
        What was compared.
    deviations : dict
        What departs from the protocol, by what it is about.
    frequencies : dict
        How frequent each class is, as LVIS tells by a letter.
    """

    protocol: Protocol
    iou_type: str
    deviations: Mapping[str, str]
    frequencies: Mapping[int | str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ClassScores(Framed):
    """The scores of each class.

    Attributes
    ----------
    label : array of int64 or str
    name : array of str
        What the class is called; its label, where nothing else is known.
    scores : dict of arrays of float64
        Each number of the summary that is told of a class; -1 where there is no truth.
    truths, detections : array of int64
        How many there are to be found, and how many count.
    """

    label: Array
    name: Array
    scores: Mapping[str, Array]
    truths: Array
    detections: Array

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, name: str) -> Array:
        return self.columns()[name]

    def __repr__(self) -> str:
        return f"<ClassScores: {len(self):,} classes; {', '.join(self.columns())}>"

    def columns(self) -> dict[str, Array]:
        """The columns by name."""
        return {
            "label": self.label, "name": self.name, **self.scores,
            "truths": self.truths, "detections": self.detections,
        }  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class DetectionResult(Mistakes, Framed):
    """Average precision and recall, as arrays and as the numbers of the summary.

    Attributes
    ----------
    precision : array of float64, shape (T, R, K, A, M)
        Precision at each IoU threshold, recall, class, size range and limit of detections, as
        COCOeval has it; -1 where there is no truth.
    recall : array of float64, shape (T, K, A, M)
        The highest recall.
    scores : array of float64, shape (T, R, K, A, M)
        The score at which each recall is reached.
    areas : array of float64, shape (T, K, A, M)
        The area under the precision-recall curve, as VOC has it from 2010 on.
    stats : array of float64
        The numbers of the summary, in the order of COCOeval's.
    labels : array, shape (K,)
        The classes.
    image_ids : array
        The images that were scored.
    deviations : list of str
        What departs from the protocol.
    """

    precision: Array
    scores: Array
    recall: Array
    areas: Array
    labels: Array
    image_ids: Array
    names: Mapping[int | str, str]
    rules: Rules
    kept: Matched
    starts: Array

    @classmethod
    def of(
        cls,
        matched: Matched,
        rules: Rules,
        image_ids: Array,
        labels: Array,
        names: Mapping[int | str, str],
        report: Progress | None = None,
    ) -> DetectionResult:
        """Add up what was matched.

        Parameters
        ----------
        matched
            By numbers of images and classes in their order.
        rules
            How to count.
        image_ids, labels, names
            The images and classes by these numbers, and what classes are called.
        report
            Called with how many detections are done.
        """
        sorting, adding = in_parts(report, 2)
        own = matched.detections
        classes = own["label"].copy(), len(labels)
        images = own["image"].copy(), len(image_ids)
        sizes = counted(*classes)
        starts = begins = np.concatenate([[0], np.cumsum(sizes)])
        if sizes.max(initial=0) <= MOST_SORTED:
            order = in_order(len(own), classes, images)
        else:
            ranges, count = score_ranges(own["score"])
            cells = classes[0] * count + ranges, len(labels) * count
            order = in_order(len(own), cells, images)
            begins = np.concatenate([[0], np.cumsum(counted(*cells))])
        scratch = order, *np.empty((3, len(own)), np.uint64)
        ordered = np.empty_like(own)
        shape = len(own), own.itemsize // 8
        rows, put = (each.view(np.uint64).reshape(shape) for each in (own, ordered))
        for first, last, work in steps.spans(begins, SORT_WORK):
            threads.run(kernels.SORT, work, begins, scratch, rows, put, first, last)
            if sorting is not None:
                sorting(int(begins[last]), len(own))
        kept = Matched(ordered, matched.truth)
        if matched.details is not None:
            # In the order of images, as they came: whatever order images came in.
            true = np.lexsort((matched.details.true, matched.truth["image"]))
            details = matched.details.chosen(order, true)
            kept = Matched(ordered, matched.truth[true], details)
        weights = np.ones(len(image_ids), np.int64)
        curves = accumulate(kept, starts, rules.protocol, weights, adding)
        return cls(*curves, labels, image_ids, names, rules, kept, starts)

    # ---- numbers -------------------------------------------------------------------------------

    @property
    def stats(self) -> Array:
        """The numbers of the summary."""
        return np.array(list(self.as_dict().values()))

    @property
    def deviations(self) -> list[str]:
        """What departs from the protocol."""
        return list(self.rules.deviations.values())

    def as_dict(self, prefix: str = "") -> dict[str, float]:
        """The numbers of the summary by their names; -1 where there is no truth.

        Parameters
        ----------
        prefix
            What names begin with, such as "val/".
        """
        protocol = self.rules.protocol
        return {f"{prefix}{stat.name}": self._mean(stat) for stat in protocol.stats}

    def __getitem__(self, name: str) -> float:
        """A number of the summary by its name."""
        found = self.as_dict()
        if name not in found:
            raise KeyError(f"there is no {described(name)}, but {', '.join(found)}")
        return found[name]

    def _mean(self, stat: Stat, classes: Any = None) -> float:
        """One number of the summary, of all classes or of some."""
        values = getattr(self, stat.of)
        if stat.frequency is not None:
            own = [self.rules.frequencies.get(label) for label in self.labels.tolist()]
            classes = np.flatnonzero(np.array(own, object) == stat.frequency)
        if classes is not None:
            values = values.take(classes, axis=-3)
        return mean_of(stat, self.rules.protocol, values)

    def summary(self) -> str:
        """The numbers of the summary as lines of text, and below them what departs from the rules.

        COCOeval prints the same numbers with other words.
        """
        protocol = self.rules.protocol
        ends = f"{protocol.thresholds[0]:.2f}"
        if len(protocol.thresholds) > 1:
            ends += f":{protocol.thresholds[-1]:.2f}"
        width = max(map(len, protocol.areas))
        lines = []
        for stat, value in zip(protocol.stats, self.stats.tolist(), strict=True):
            iou = ends if stat.threshold is None else f"{stat.threshold:.2f}"
            most = str((protocol.max_dets or (protocol.per_image or "all",))[stat.place])
            lines.append(
                f"{stat.name:6} IoU {iou:9}  area {stat.area:{width}}  max {most:<4} {value:.3f}"
            )
        return "\n".join([*lines, *(f"note: {text}" for text in self.deviations)])

    @property
    def per_class(self) -> ClassScores:
        """The scores of each class."""
        stats = [stat for stat in self.rules.protocol.stats if stat.frequency is None]
        scores = {
            stat.name: np.array([self._mean(stat, [k]) for k in range(len(self.labels))])
            for stat in stats
        }
        wanted = truth_counts(self.kept, len(self.labels), np.ones(len(self.image_ids), np.int64))
        return ClassScores(
            self.labels, self._class_names(), scores, wanted[:, 0], np.diff(self.starts)
        )

    def columns(self) -> dict[str, Array]:
        """The scores of each class, by name, as columns of a data frame: those of `per_class`."""
        return self.per_class.columns()

    def _class_names(self) -> Array:
        """What classes are called; their labels, where nothing else is known."""
        names = [self.names.get(label, str(label)) for label in self.labels.tolist()]
        return np.array(names, np.str_)

    def pr_curve(self, label: int | str, iou: float = 0.5) -> tuple[Array, Array, Array]:
        """The precision-recall curve of a class.

        Parameters
        ----------
        label
            The class.
        iou
            The IoU threshold, one of those counted.

        Returns
        -------
        tuple of three arrays
            Recall, the precision there, and the score at which it is reached.

        Raises
        ------
        ValueError
            There is no such class or threshold.
        """
        k, t = self._class(label), self._threshold(iou)
        return (
            self.rules.protocol.recalls,
            self.precision[t, :, k, 0, -1],
            self.scores[t, :, k, 0, -1],
        )

    def _scored(self) -> Scored:
        names = self._class_names()
        return Scored(self.kept, self.rules.protocol, self.image_ids, self.labels, names)

    # ---- parts and resamples -------------------------------------------------------------------

    def subset(self, images: Any = None, labels: Any = None) -> DetectionResult:
        """The result of some images, some classes, or both.

        Parameters
        ----------
        images : list or array, optional
            Ids of images; all if not given.
        labels : list or array, optional
            Classes, by their labels or names; all if not given.

        Returns
        -------
        DetectionResult
            That of evaluating only these, bit for bit. Classes stay, whether or not the images have
            them. Where a protocol limits the detections of an image, all classes have had part in
            that.

        Raises
        ------
        TypeError, ValueError
            An image or a class is not here, or named twice.

        Examples
        --------
        >>> import fastiou
        >>> boxes = [[0, 0, 4, 4], [0, 0, 4, 4]]
        >>> target = {"boxes": boxes, "labels": [1, 1], "image_ids": [5, 6]}
        >>> preds = {"boxes": boxes[:1], "labels": [1], "image_ids": [5], "scores": [0.9]}
        >>> result = fastiou.average_precision(preds, target)
        >>> [round(result.subset([image]).as_dict()["AP"], 6) for image in (5, 6)]
        [1.0, 0.0]
        """
        own_images = chosen_places("images", images, self.image_ids, {})
        own = chosen_places("labels", labels, self.labels, self.names)
        counts = len(self.image_ids), len(self.labels)
        kept, starts = part_of(self.kept, own_images, own, counts)
        weights = np.ones(len(own_images), np.int64)
        curves = accumulate(kept, starts, self.rules.protocol, weights)
        return DetectionResult(
            *curves, self.labels[own], self.image_ids[own_images], self.names, self.rules, kept,
            starts,
        )  # fmt: skip

    def slices(self, groups: Any) -> dict[Any, DetectionResult]:
        """The results of groups of images, such as day and night.

        Parameters
        ----------
        groups : dict, list or array
            Ids of the images of each group by its name; or the name of a group for each image, in
            the order of `image_ids`.

        Returns
        -------
        dict of DetectionResult
            By the names of the groups. An image may be in several groups of a dict, or in none.

        Raises
        ------
        TypeError, ValueError
            An image is not here, or there are not as many names as images.

        Examples
        --------
        >>> import fastiou
        >>> boxes = [[0, 0, 4, 4], [0, 0, 4, 4]]
        >>> target = {"boxes": boxes, "labels": [1, 1], "image_ids": [5, 6]}
        >>> preds = {"boxes": boxes[:1], "labels": [1], "image_ids": [5], "scores": [0.9]}
        >>> result = fastiou.average_precision(preds, target)
        >>> for name, part in result.slices(["day", "night"]).items():
        ...     print(name, part)
        day <DetectionResult: AP 1.000, AP50 1.000, AP75 1.000; 1 image, 1 class>
        night <DetectionResult: AP 0.000, AP50 0.000, AP75 0.000; 1 image, 1 class>
        """
        return {
            name: self.subset(images)
            for name, images in images_of_slices(groups, self.image_ids).items()
        }

    def bootstrap(
        self,
        n: int = 1000,
        seed: int = 0,
        confidence: float = 0.95,
        progress: bool | Progress = False,
    ) -> Bootstrap:
        """How far the numbers of the summary may be trusted: their intervals over resamples.

        A resample has as many images as there are, drawn with replacement. An image that is drawn
        twice counts twice.

        Parameters
        ----------
        n : int
            How many resamples.
        seed : int
            The same seed draws the same images.
        confidence : float
            The share of the resamples whose numbers lie in the interval.
        progress : bool or callable
            Whether to show how far it has come, or what to call with resamples done and in all.

        Returns
        -------
        Bootstrap
            Its `samples`, `intervals` and `std` have the names of `as_dict`. The same for any
            number of threads.

        Raises
        ------
        TypeError, ValueError
            An argument is not one of those accepted, or there are no images.
        """
        size = len(self.image_ids)
        return bootstrap_of(self._weighted, self.as_dict(), size, n, seed, confidence, progress)

    def compare(
        self,
        other: DetectionResult,
        n: int = 0,
        seed: int = 0,
        confidence: float = 0.95,
        progress: bool | Progress = False,
    ) -> Comparison:
        """By how much another detector is better, on the same images.

        Parameters
        ----------
        other : DetectionResult
            The result of the other, by the same protocol and of the same truth.
        n : int
            How many resamples of the images to draw, the same for both; none by default.
        seed, confidence, progress
            As in `bootstrap`.

        Returns
        -------
        Comparison
            Its `differences` are those of the other less one's own, by the names of `as_dict`.

        Raises
        ------
        TypeError, ValueError
            An argument is not one of those accepted; the images, the truth or options differ.

        Examples
        --------
        >>> import fastiou
        >>> target = {"boxes": [[0, 0, 4, 4], [5, 5, 9, 9]], "labels": [1, 1], "image_ids": [5, 6]}
        >>> preds = {**target, "scores": [0.9, 0.8]}
        >>> right = fastiou.average_precision(preds, target)
        >>> half = fastiou.average_precision({**preds, "labels": [1, 2]}, target)
        >>> comparison = half.compare(right)
        >>> comparison
        <Comparison: AP +0.495>
        >>> comparison.per_class["AP"].round(3).tolist()
        [0.495, nan]
        """
        if not isinstance(other, DetectionResult):
            raise TypeError(f"other must be a DetectionResult, got {described(other)}")
        return compared(self._side(), other._side(), n, seed, confidence, progress)

    def _side(self) -> Side:
        protocol = self.rules.protocol
        options = (
            protocol.name, self.rules.iou_type, tuple(protocol.thresholds.tolist()),
            tuple(protocol.max_dets), tuple(protocol.areas.items()),
        )  # fmt: skip
        columns = self.per_class.columns()
        return Side(options, self.image_ids, self.as_dict(), columns, self._weighted)

    def _weighted(self) -> Weighted:
        frequencies = [self.rules.frequencies.get(label) for label in self.labels.tolist()]
        return Weighted(self.kept, self.starts, self.rules.protocol, frequencies)

    def plot(self) -> Any:
        """Draw precision over recall, the mean of all classes with truth.

        Returns
        -------
        matplotlib.figure.Figure
            A line for IoU 0.5, one for 0.75, and one for the mean of all thresholds.

        Raises
        ------
        ImportError
            matplotlib is not installed.
        """
        figure_type = import_extra("matplotlib.figure", "plot", "plot()").Figure
        figure = figure_type(figsize=(6, 5), layout="constrained")
        axes = figure.add_subplot()
        protocol = self.rules.protocol
        curves = self.precision[:, :, :, 0, -1]
        known = curves[:, :, (curves > -1).all(axis=(0, 1))]
        lines = {
            f"IoU {at:g}": known[protocol.thresholds == at]
            for at in (0.5, 0.75)
            if at in protocol.thresholds
        }
        if len(protocol.thresholds) > 1:
            lines["all thresholds"] = known
        for name, values in lines.items():
            if values.size:
                axes.plot(protocol.recalls, values.mean(axis=(0, 2)), label=name)
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        axes.spines[["top", "right"]].set_visible(False)
        if axes.lines:
            axes.legend()
        return figure

    def _class(self, label: Any) -> int:
        known = self.labels.tolist()
        if label not in known:
            label = next((own for own, name in self.names.items() if name == label), label)
        if label not in known:
            raise ValueError(f"label must be one of {described(known)}, got {described(label)}")
        return known.index(label)

    def _threshold(self, iou: float) -> int:
        thresholds = self.rules.protocol.thresholds
        places = np.flatnonzero(np.isclose(thresholds, iou, rtol=0, atol=1e-9))
        if not len(places):
            raise ValueError(
                f"iou must be one of {described(thresholds.tolist())}, got {described(iou)}"
            )
        return int(places[0])

    def __repr__(self) -> str:
        first = [f"{name} {value:.3f}" for name, value in list(self.as_dict().items())[:3]]
        images, classes = len(self.image_ids), len(self.labels)
        return (
            f"<DetectionResult: {', '.join(first)}; {images:,} image{'s' * (images != 1)}, "
            f"{classes:,} class{'es' * (classes != 1)}>"
        )
