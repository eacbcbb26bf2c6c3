"""Parts of an evaluation: some of its images, or some of its classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastiou.arrays.inputs import plain_array
from fastiou.evaluation.detection_matching import Matched
from fastiou.runtime.distinct import counted
from fastiou.runtime.words import described
from fastiou.typing import Array

__all__ = ["chosen_places", "images_of_slices", "part_of"]


def chosen_places(name: str, chosen: Any, known: Array, names: Mapping[Any, str]) -> Array:
    """The places of chosen images or classes among those known, ascending.

    Parameters
    ----------
    name, chosen
        The argument: some values, or None for all.
    known
        All values, ascending.
    names
        What values may be called, too.

    Raises
    ------
    TypeError, ValueError
        A value is not known, or is there twice.
    """
    if chosen is None:
        return np.arange(len(known))
    if isinstance(chosen, str | bytes | Mapping) or np.ndim(chosen) != 1:
        raise TypeError(f"{name} must be a list or an array of some, got {described(chosen)}")
    is_list = isinstance(chosen, list | tuple)
    values = list(chosen) if is_list else plain_array(name, chosen).tolist()
    places = {value: place for place, value in enumerate(known.tolist())}
    called = {text: places[value] for value, text in names.items() if value in places}
    found = []
    for value in values:
        place = places.get(value, called.get(value))
        if place is None:
            raise ValueError(
                f"{name} must be among the {len(known):,} that were evaluated, got "
                f"{described(value)}"
                + (f"; they are such as {described(known[0].item())}" if len(known) else "")
            )
        found.append(place)
    ordered = np.array(sorted(found), np.int64)
    if (np.diff(ordered) == 0).any():
        twice = known[ordered[:-1][np.diff(ordered) == 0][0]].item()
        raise ValueError(f"{name} must have each once, got {described(twice)} twice")
    return ordered


def part_of(
    kept: Matched, images: Array, labels: Array, counts: tuple[int, int]
) -> tuple[Matched, Array]:
    """What was matched of some images and classes, and where each class begins.

    Parameters
    ----------
    kept
        What was matched, by class and falling score, which the part is, too.
    images, labels
        Numbers of the images and classes, ascending.
    counts
        How many images and classes there are in all.
    """
    numbers = []
    for chosen, count in zip((images, labels), counts, strict=True):
        new = np.full(count, -1, np.int32)
        new[chosen] = np.arange(len(chosen), dtype=np.int32)
        numbers.append(new)
    found, true = (
        np.flatnonzero((numbers[0][rows["image"]] >= 0) & (numbers[1][rows["label"]] >= 0))
        for rows in (kept.detections, kept.truth)
    )
    details = kept.details.chosen(found, true) if kept.details is not None else None
    part = Matched(kept.detections[found], kept.truth[true], details).renumbered(*numbers)
    sizes = counted(part.detections["label"], len(labels))
    return part, np.concatenate([[0], np.cumsum(sizes)])


def images_of_slices(groups: Any, image_ids: Array) -> dict[Any, Any]:
    """The images of each slice, by its name.

    Parameters
    ----------
    groups
        Images by the names of slices, or an array of a name for each image.
    image_ids
        All images.

    Raises
    ------
    TypeError, ValueError
        It is neither, or not as many as there are images.
    """
    if isinstance(groups, Mapping):
        return dict(groups)
    is_list = isinstance(groups, list | tuple)
    values = np.asarray(groups) if is_list else plain_array("groups", groups)
    if values.shape != (len(image_ids),):
        raise ValueError(
            f"groups must be a dict of images by name, or one name for each of the "
            f"{len(image_ids):,} images in the order of image_ids, got shape {values.shape}"
        )
    return {name.item(): image_ids[values == name] for name in np.unique(values)}
