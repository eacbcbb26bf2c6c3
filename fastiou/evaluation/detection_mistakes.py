"""What a result tells of mistakes: of the evaluations that keep pairs across classes."""

from __future__ import annotations

from fastiou.evaluation.detection_errors import (
    ConfusionMatrix,
    Errors,
    Scored,
    Table,
    confusion_of,
    errors_of,
    matches_of,
)

__all__ = ["Mistakes"]


class Mistakes:
    """The part of a result that is asked who was mistaken for what."""

    def _scored(self) -> Scored:
        """What was matched."""
        raise NotImplementedError

    @property
    def matches(self) -> Table:
        """The pairs of detections and truth in an image, with an IoU of at least 0.1.

        They are there if the evaluation was made with `details=True`. Columns are the image; the
        places of detection and truth among those of the image, as they were given; both labels;
        score and IoU; whether the protocol matched the two at its lowest threshold; and whether
        such truth is ignored. Only detections that count have pairs.
        """
        return matches_of(self._scored())

    def confusion_matrix(self, iou: float = 0.5, score: float = 0.25) -> ConfusionMatrix:
        """Which class was taken for which.

        Pairs of an image with an IoU of at least `iou` are matched whatever their classes, the
        highest IoU first, and each detection and truth once. Of equal IoU the higher score comes
        first, then the place in the image. A detection without a match that overlaps ignored truth
        enough is left out.

        ultralytics has the prediction in rows, limits that must be exceeded, and no other partner
        for a detection whose best truth has gone to another. supervision has an IoU that must be
        exceeded, and matches what is of the same class first. hotcoco lets the highest score choose
        first.

        Parameters
        ----------
        iou
            The least IoU, from 0.1 on.
        score
            The least score.

        Returns
        -------
        ConfusionMatrix
            Rows are the truth, columns the prediction, and the last of both the background.

        Raises
        ------
        TypeError, ValueError
            An argument is not one of those accepted, or the evaluation had no `details=True`.

        Examples
        --------
        >>> import fastiou
        >>> target = {"boxes": [[0, 0, 4, 4], [5, 5, 9, 9]], "labels": [1, 1], "image_ids": [5, 5]}
        >>> preds = {**target, "labels": [1, 2], "scores": [0.9, 0.8]}
        >>> result = fastiou.average_precision(preds, target, details=True)
        >>> result.confusion_matrix().matrix
        array([[1, 1, 0],
               [0, 0, 0],
               [0, 0, 0]])
        """
        return confusion_of(self._scored(), iou, score)

    def errors(self, iou: float = 0.5, background: float = 0.1) -> Errors:
        """What kinds of errors there are, and what each costs, as TIDE counts them.

        A detection that matches no truth of its class is, by the first that holds: Loc, if the best
        truth of its class overlaps it by `background` or more, and `iou` or less; Cls, if one of
        another class overlaps it by `iou` or more; Dupe, if one of its class does, which another
        detection has; Bkg, if none overlaps it by more than `background`; and Both, else. Miss is
        truth that is not found, and of which no detection is Loc or Cls. What an error costs is the
        average precision at `iou` that is gained by mending all of its kind: of the detections of a
        truth that would be right, the best becomes so, and the others go; Dupe, Bkg and Both go;
        Miss is left out.

        Parameters
        ----------
        iou
            The least IoU of a match.
        background
            Up to which IoU a detection is on the background, from 0.1 on.

        Returns
        -------
        Errors

        Raises
        ------
        TypeError, ValueError
            An argument is not one of those accepted, or the evaluation had no `details=True`.

        Notes
        -----
        D. Bolya, S. Foley, J. Hays, J. Hoffman: TIDE: A General Toolbox for Identifying Object
        Detection Errors, ECCV 2020. Unlike the package tidecv: detections that match ignored truth
        are no errors; the mean is of all classes that have truth, and no others; and as many
        detections count as by the protocol.

        Examples
        --------
        >>> import fastiou
        >>> target = {"boxes": [[0, 0, 4, 4], [5, 5, 9, 9]], "labels": [1, 1], "image_ids": [5, 5]}
        >>> preds = {**target, "labels": [1, 2], "scores": [0.9, 0.8]}
        >>> errors = fastiou.average_precision(preds, target, details=True).errors()
        >>> errors.counts["Cls"], round(errors.costs["Cls"], 3)
        (1, 0.495)
        """
        return errors_of(self._scored(), iou, background)
