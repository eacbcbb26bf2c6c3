"""Which masks of a COCO file are malformed, found before any is packed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from fastiou.formats.errors import described

__all__ = ["OUTLINES", "RUNS", "Fault", "fault_described", "mask_fault", "mask_faults", "refusals"]

Refusal = TypeVar("Refusal", bound=Exception)

#: What was found in an entry, and what was expected.
Fault = tuple[str, str]

#: Masks that are checked at a time.
MASKS_AT_A_TIME = 1024

#: What the two kinds of masks are called by those who read them, as in their messages.
OUTLINES, RUNS = "polygons", "entries"


def fault_described(name: str, error: Exception) -> str:
    """What is said of one malformed mask, in the words of the file."""
    return " ".join(str(error).replace(f"{name}[0]", '"segmentation"').split())


def mask_fault(entry: Any) -> Fault | None:
    """What is found in an entry that has no mask of any kind, and what is expected."""
    expected = '"segmentation": polygons, or run lengths with "size" and "counts"'
    if not isinstance(entry, dict):
        return described(entry), "an object"
    if "segmentation" not in entry:
        return 'no "segmentation"', expected
    mask = entry["segmentation"]
    if not isinstance(mask, list | dict):
        return f'"segmentation": {described(mask)}', expected
    for name in ("size", "counts") if isinstance(mask, dict) else ():
        if name not in mask:
            return f'"segmentation" has no "{name}"', expected
    return None


def mask_faults(masks: Sequence[Any], width: int) -> dict[int, str]:
    """Find the masks that fastiou would refuse.

    Parameters
    ----------
    masks
        Values of "segmentation": dicts of run lengths, or lists of polygons.
    width
        Of the widest image.

    Returns
    -------
    dict
        What is wrong, by position in `masks`.
    """
    from fastiou.geometries.masks.polygons import rasterise
    from fastiou.geometries.masks.run_lengths import image_size, read_run_lengths

    faults: dict[int, str] = {}
    outlines: list[int] = []
    runs: dict[tuple[int, int], list[int]] = {}
    for position, mask in enumerate(masks):
        if isinstance(mask, list):
            outlines.append(position)
            continue
        try:
            size = image_size('"segmentation": size', mask["size"])
        except (TypeError, ValueError) as error:
            faults[position] = str(error)
        else:
            runs.setdefault(size, []).append(position)

    # What is malformed in an outline does not depend on the height of its image.
    readers: list[tuple[str, Callable[[list[Any]], Any], list[int]]] = [
        (OUTLINES, lambda some: rasterise(OUTLINES, some, (1, width)), outlines)
    ]
    for size, positions in runs.items():
        readers.append(
            (RUNS, lambda some, size=size: read_run_lengths(RUNS, some, size), positions)  # type: ignore[misc]
        )
    for name, read, positions in readers:
        for first in range(0, len(positions), MASKS_AT_A_TIME):
            some = positions[first : first + MASKS_AT_A_TIME]
            found = refusals(masks, some, read, (TypeError, ValueError))
            faults |= {place: fault_described(name, error) for place, error in found.items()}
    return faults


def refusals(
    values: Sequence[Any],
    positions: Sequence[int],
    read: Callable[[list[Any]], Any],
    errors: tuple[type[Refusal], ...],
) -> dict[int, Refusal]:
    """The values that are refused alone, by their positions: what is refused is halved."""
    try:
        read([values[position] for position in positions])
    except errors as error:
        if len(positions) == 1:
            return {positions[0]: error}
        middle = len(positions) // 2
        halves = positions[:middle], positions[middle:]
        return {
            place: fault
            for half in halves for place, fault in refusals(values, half, read, errors).items()
        }  # fmt: skip
    return {}
