"""How the published benchmarks of detectors count: thresholds, sizes, and who takes which truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from fastiou.evaluation.detection_kernels import COCO_RULE, OPEN_IMAGES_RULE, VOC_RULE
from fastiou.typing import Array

__all__ = ["FREQUENCIES", "KEYPOINTS", "PROTOCOLS", "Protocol", "Stat"]

#: Areas of COCO's size ranges, inclusive at both ends.
SMALL, MEDIUM = 32.0**2, 96.0**2

#: What the size ranges are called behind AP and AR.
SHORT = {"small": "s", "medium": "m", "large": "l"}

#: What LVIS calls classes that are rare, common and frequent.
FREQUENCIES = ("r", "c", "f")


@dataclass(frozen=True)
class Stat:
    """One number of the summary.

    Attributes
    ----------
    name : str
    of : {"precision", "recall", "areas"}
        What is averaged over classes, thresholds and, of precision, recalls.
    threshold : float or None
        The only threshold that counts; None for all.
    area : str
        The size range.
    place : int
        Which of the limits of detections.
    frequency : str or None
        The only classes that count: those of one of LVIS's frequencies.
    """

    name: str
    of: str
    threshold: float | None = None
    area: str = "all"
    place: int = -1
    frequency: str | None = None


@dataclass(frozen=True)
class Protocol:
    """The rules of a benchmark, as its defaults.

    Attributes
    ----------
    name : str
    thresholds : array of float64, shape (T,)
    recalls : array of float64, shape (R,)
        Where precision is read.
    max_dets : tuple of int
        How many detections of an image and class count; empty for all.
    areas : dict
        Least and greatest area of each size range.
    rule : int
        Which truth a detection takes.
    spacing : float
        What is added to the number of detections, by which those that are right are divided.
    margin : float
        What is added to widths and heights: 1 where the last pixel belongs to a box.
    per_image : int or None
        How many detections of an image count, of all classes together.
    federated : bool
        Whether not every class is looked for in every image.
    heeds_ignore : bool
        Whether truth that is to be ignored is told by a flag of its own, and not as a crowd.
    of : {"precision", "areas"}
        Whether average precision is the mean of what is read at recalls, or the area under the
        curve.
    recall_at : tuple of float
        Thresholds of which the summary tells recall by itself, at the last limit of detections.
    sigmas : tuple of float
        How far apart two people mark each keypoint, where keypoints are compared.
    """

    name: str
    thresholds: Array
    recalls: Array
    max_dets: tuple[int, ...] = ()
    areas: Mapping[str, tuple[float, float]] = field(default_factory=lambda: {"all": (0.0, np.inf)})
    rule: int = COCO_RULE
    spacing: float = 0.0
    margin: float = 0.0
    per_image: int | None = None
    federated: bool = False
    heeds_ignore: bool = True
    of: str = "precision"
    recall_at: tuple[float, ...] = ()
    sigmas: tuple[float, ...] = ()

    @property
    def limits(self) -> tuple[int, ...]:
        """How many detections of an image and class count, as numbers."""
        return self.max_dets or (2**62,)

    @property
    def stats(self) -> list[Stat]:
        """The numbers of the summary, in the order of the benchmark's own."""
        if len(self.areas) == 1 and len(self.thresholds) == 1:
            at = f"{100 * self.thresholds[0]:g}"
            return [Stat(f"AP{at}", self.of), Stat(f"AR{at}", "recall")]
        stats = [Stat("AP", self.of)]
        stats += [Stat(f"AP{100 * at:g}", self.of, at) for at in (0.5, 0.75)]
        others = {name: SHORT.get(name, f"_{name}") for name in self.areas if name != "all"}
        stats += [Stat(f"AP{short}", self.of, area=name) for name, short in others.items()]
        if self.federated:
            stats += [Stat(f"AP{group}", self.of, frequency=group) for group in FREQUENCIES]
        most = f"@{self.per_image}" if self.federated else ""  # as LVIS calls them
        if self.recall_at:
            stats.append(Stat("AR", "recall"))
            stats += [Stat(f"AR{100 * at:g}", "recall", at) for at in self.recall_at]
        else:
            for place, number in enumerate(self.max_dets or (most,)):
                stats.append(Stat(f"AR{number}", "recall", place=place))
        end = "" if self.max_dets else most
        stats += [Stat(f"AR{short}{end}", "recall", area=name) for name, short in others.items()]
        return stats


def _coco_areas(most: float) -> dict[str, tuple[float, float]]:
    return {
        "all": (0.0, most), "small": (0.0, SMALL), "medium": (SMALL, MEDIUM),
        "large": (MEDIUM, most),
    }  # fmt: skip


# As COCOeval makes them: one of the thresholds is 0.8999999999999999.
_THRESHOLDS, _RECALLS = np.linspace(0.5, 0.95, 10), np.linspace(0, 1, 101)
_HALF, _SPACING = np.array([0.5]), float(np.spacing(1))

#: The protocols by their names.
PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "coco", _THRESHOLDS, _RECALLS, (1, 10, 100), _coco_areas(1e5**2), spacing=_SPACING,
            heeds_ignore=False,
        ),
        Protocol(
            "lvis", _THRESHOLDS, _RECALLS, (), _coco_areas(1e5**2), spacing=_SPACING,
            per_image=300, federated=True,
        ),
        Protocol("voc", _HALF, _RECALLS, rule=VOC_RULE, margin=1.0, of="areas"),
        Protocol("voc07", _HALF, np.arange(0, 1.1, 0.1), rule=VOC_RULE, margin=1.0),
        Protocol(
            "openimages", _HALF, _RECALLS, rule=OPEN_IMAGES_RULE, heeds_ignore=False, of="areas"
        ),
    )
}  # fmt: skip

#: Standard deviations of the places of a person's keypoints, as parts of the square root of the
#: area, by COCO: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles.
_SIGMAS = np.array([
    0.26, 0.25, 0.25, 0.35, 0.35, 0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89,
    0.89,
]) / 10  # fmt: skip

#: COCO's protocol for keypoints, which has no small objects.
KEYPOINTS = replace(
    PROTOCOLS["coco"],
    max_dets=(20,),
    areas={name: ends for name, ends in _coco_areas(1e5**2).items() if name != "small"},
    heeds_ignore=True,  # of truth without labelled keypoints
    recall_at=(0.5, 0.75),
    sigmas=tuple(_SIGMAS.tolist()),
)
