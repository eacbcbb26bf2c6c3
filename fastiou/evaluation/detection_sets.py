"""Detections and truth as columns, whatever form they come in: the one place that reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fastiou.arrays.checks import score_of_each
from fastiou.arrays.frames import frame_columns, is_frame
from fastiou.arrays.inputs import Input, plain_array, real_input
from fastiou.arrays.keys import read_keys
from fastiou.evaluation.keypoint_sets import (
    extents,
    joined_keypoints,
    labelled_counts,
    lacking_box,
    read_keypoints,
)
from fastiou.geometries.boxes import BOX
from fastiou.geometries.table import convert_members
from fastiou.runtime.words import described
from fastiou.tables.box_table import BoxTable, table_of_frame
from fastiou.tables.grouping import images_of
from fastiou.typing import Array

if TYPE_CHECKING:
    from fastiou.formats.segmentations import Segmentations
    from fastiou.geometries.masks.mask_set import Masks

__all__ = ["DetectionSet", "FileMasks", "box_areas", "check_videos", "read_detections"]

#: Columns of either side, besides boxes or masks and labels.
PREDICTED = ("scores",)
TRUE = ("iscrowd", "ignore", "area")

#: Further columns of keypoints, of both sides and of the truth.
OF_KEYPOINTS, TRUE_KEYPOINTS = ("boxes",), ("num_keypoints",)

#: Columns of models and files that may be there, and are not read.
UNREAD = {
    *("boxes", "masks", "id", "ids", "size", "orig_size"),
    *("keypoints", "keypoints_scores", "num_keypoints"),
}

#: What else a column may be called, by COCO, VOC and Open Images.
OTHER_NAMES = {
    "image_id": "image_ids",
    "label": "labels",
    "score": "scores",
    "areas": "area",
    "difficult": "ignore",
    "is_group_of": "iscrowd",
}

#: Lists of labels of an image that LVIS's truth has.
FEDERATED = ("neg_category_ids", "not_exhaustive_category_ids")

NONE = np.empty(0, np.int64)

FORMS = (
    "a dict of columns (boxes or masks, {columns}labels, image_ids), a BoxTable, a data frame, or "
    "a list of dicts, one for each image"
)


@dataclass(frozen=True, eq=False)
class FileMasks:
    """Masks of a file, of which those are packed that are asked for.

    Attributes
    ----------
    of : Segmentations
    rows : array of int64, shape (N,)
        Which entries.
    sizes : array of int64, shape (N, 2)
        Height and width of the image of each.
    area, boxes : arrays of int64, shape (N,) and (N, 4)
        As `Masks` has them.
    """

    of: Segmentations
    rows: Array
    sizes: Array
    area: Array
    boxes: Array

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: Array) -> FileMasks:
        return FileMasks(
            self.of, self.rows[chosen], self.sizes[chosen], self.area[chosen], self.boxes[chosen]
        )

    def packed(self) -> Masks:
        """All of them as bits."""
        return self.of.masks(self.rows, self.sizes)


@dataclass(frozen=True, eq=False)
class DetectionSet:
    """Detections or truth.

    Attributes
    ----------
    name : str
        What messages call the argument.
    boxes : array of float64, shape (N, 4), or None
        Left, top, width and height. Those of keypoints may be missing, as NaN.
    masks : Masks, FileMasks or None
    images, labels : array of int64 or of str, shape (N,)
    scores : array of float64, or None
        Of detections.
    areas : array of float64
        NaN where the truth does not tell.
    iscrowd, ignore : array of bool
    listed : array
        The images that are scored, whether or not they have anything.
    absent, unfinished : tuple of two arrays
        Images and labels of LVIS: classes that are known not to be in an image, and those of which
        not all objects in an image were marked.
    numbered : bool
        Whether images were not named, but counted.
    image_sizes : array of int64, shape (N, 2), or None
        Height and width of the image of each mask, where they are known.
    padded : bool
        Whether masks may be padded to a size that is not that of their image.
    keypoints : array of float64, shape (N, K, 3), or None
        x, y, and a number above 0 where it is labelled.
    """

    name: str
    boxes: Array | None
    masks: Masks | FileMasks | None
    images: Array
    labels: Array
    scores: Array | None
    areas: Array
    iscrowd: Array
    ignore: Array
    listed: Array
    absent: tuple[Array, Array] = (NONE, NONE)
    unfinished: tuple[Array, Array] = (NONE, NONE)
    numbered: bool = False
    image_sizes: Array | None = None
    padded: bool = False
    keypoints: Array | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def packed(self, rows: Array) -> Masks:
        """Some of the masks as bits."""
        assert self.masks is not None
        some = self.masks[rows]
        return some.packed() if isinstance(some, FileMasks) else some

    def sizes(self, rows: Array) -> Array:
        """Height and width of the images of some of the masks, (n, 2)."""
        assert self.masks is not None
        if isinstance(self.masks, FileMasks):
            return self.masks.sizes[rows]
        if self.image_sizes is not None:
            return self.image_sizes[rows]
        return np.broadcast_to(np.array(self.masks.shape[1:]), (len(rows), 2))

    def chosen(self, kept: Array) -> DetectionSet:
        """Some of the members."""

        def some(column: Any) -> Any:
            return None if column is None else column[kept]

        names = (
            "boxes",
            "masks",
            "images",
            "labels",
            "scores",
            "areas",
            "iscrowd",
            "ignore",
            "image_sizes",
            "keypoints",
        )
        return replace(self, **{name: some(getattr(self, name)) for name in names})


def box_areas(boxes: Array) -> Array:
    """The areas of boxes of left, top, width and height, as COCO has them."""
    areas: Array = boxes[:, 2] * boxes[:, 3]
    return areas


def read_detections(
    name: str, value: Any, kind: str, fmt: str, *, scored: bool, next_image: int
) -> DetectionSet:
    """An argument of detections or of truth.

    Parameters
    ----------
    name, value
        The argument.
    kind
        "boxes", "masks" or "keypoints".
    fmt
        What the numbers of boxes are, where no table tells.
    scored
        Whether they are detections.
    next_image
        The number of the first image of a list, where its dicts have none.

    Raises
    ------
    TypeError, ValueError
        Something is missing, or of another shape or type.
    """
    own = _columns_of(kind, scored=scored)
    if isinstance(value, BoxTable) or is_frame(type(value)):
        if kind == "keypoints":
            raise TypeError(
                f"{name} must be a dict of columns or a list of dicts, since tables have no "
                f"keypoints; got {described(value)}"
            )
        if isinstance(value, BoxTable):
            return _of_table(name, value, kind, {}, scored=scored)
        flags = {
            OTHER_NAMES.get(label, label): column
            for label, column in frame_columns(value) or ()
            if not scored and OTHER_NAMES.get(label, label) in TRUE
        }
        table = table_of_frame(name, value, None, None)
        return _of_table(name, table, kind, flags, scored=scored)
    if isinstance(value, Mapping):
        columns = _named(name, value, kind, own)
        if any(column in value for column in FEDERATED):
            raise ValueError(
                f"{name} has {' or '.join(FEDERATED)}, which belong to images: pass a list of a "
                "dict for each image"
            )
        if "image_ids" not in columns:
            raise ValueError(
                f"{name} must have image_ids, one for each of {kind}; a single image is a list of "
                "one dict"
            )
        return _of_columns(name, columns, kind, fmt, scored=scored)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return _of_images(name, value, kind, fmt, scored=scored, next_image=next_image)
    forms = FORMS.format(columns="scores, " if scored else "")
    raise TypeError(f"{name} must be {forms}; got {described(value)}")


def _columns_of(kind: str, *, scored: bool) -> tuple[str, ...]:
    """The columns of a side besides members and keys."""
    own = PREDICTED if scored else TRUE
    if kind != "keypoints":
        return own
    return (*own, *OF_KEYPOINTS, *(() if scored else TRUE_KEYPOINTS))


def _named(name: str, value: Mapping[Any, Any], kind: str, own: Sequence[str]) -> dict[str, Any]:
    """The columns of a dict by their usual names, and no others."""
    known = {kind, "labels", "image_ids", *own}
    # Others that belong to COCO's or torchmetrics' dicts and are not read here.
    unread = {*UNREAD, *PREDICTED, *TRUE, *FEDERATED}
    columns: dict[str, Any] = {}
    for key, column in value.items():
        usual = OTHER_NAMES.get(key, key)
        if usual in columns:
            raise ValueError(f"{name} names {usual} twice: {key!r} is another name of it")
        if usual in known:
            if column is not None:
                columns[usual] = column
        elif usual not in unread:
            raise ValueError(
                f"{name} has a column {described(key)}, which means nothing here; leave it out: "
                f"known are {', '.join(sorted(known - {'image_ids'}))} and image_id or image_ids"
            )
    for needed in (kind, "labels", *(column for column in own if column == "scores")):
        if needed not in columns:
            raise ValueError(
                f"{name} has no {needed}, but {', '.join(map(str, value)) or 'nothing'}"
            )
    return columns


def _of_columns(
    name: str, columns: Mapping[str, Any], kind: str, fmt: str, *, scored: bool
) -> DetectionSet:
    """A set of named columns of one length."""
    keypoints = None
    if kind == "keypoints":
        keypoints = read_keypoints(f"{name}['keypoints']", columns[kind], scored=scored)
        boxes, masks, own_areas = None, None, extents(keypoints)
        if "boxes" in columns:
            boxes, _, own_areas = _members(f"{name}['boxes']", columns["boxes"], "boxes", fmt)
            if len(own_areas) != len(keypoints):
                raise ValueError(
                    f"{name} must have a box for each of keypoints, got {len(own_areas)} for "
                    f"{len(keypoints)}"
                )
    else:
        boxes, masks, own_areas = _members(f"{name}[{kind!r}]", columns[kind], kind, fmt)
    count = len(own_areas)
    images = _key(f"{name}['image_ids']", columns["image_ids"], count)
    scores, areas = None, own_areas
    crowd, ignore = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    if scored:
        scores = _scores(name, columns["scores"], count, f"{name}[{kind!r}]")
    else:
        areas = np.full(count, np.nan)
        if "area" in columns:
            areas = _areas(f"{name}['area']", columns["area"], count)
        if "iscrowd" in columns:
            crowd = _flags(f"{name}['iscrowd']", columns["iscrowd"], count)
        if "ignore" in columns:
            ignore = _flags(f"{name}['ignore']", columns["ignore"], count)
    if keypoints is not None and not scored:
        ignore = labelled_counts(name, columns.get("num_keypoints"), keypoints) == 0
        row = lacking_box(keypoints, boxes, areas)
        if row is not None:
            raise ValueError(
                f"{name} must have boxes where no keypoint is labelled, or area is not told: "
                f"there is none in row {row}"
            )
    labels = _key(f"{name}['labels']", columns["labels"], count)
    return DetectionSet(
        name, boxes, masks, images, labels, scores, areas, crowd, ignore, images,
        keypoints=keypoints,
    )  # fmt: skip


def _of_images(
    name: str, value: Sequence[Any], kind: str, fmt: str, *, scored: bool, next_image: int
) -> DetectionSet:
    """A set of a list of dicts, one for each image."""
    own = _columns_of(kind, scored=scored)
    entries: list[dict[str, Any]] = []
    ids: list[Any] = []
    federated: dict[str, list[Array]] = {column: [] for column in FEDERATED}
    for place, entry in enumerate(value):
        where = f"{name}[{place}]"
        if not isinstance(entry, Mapping):
            raise TypeError(f"{where} must be a dict of one image, got {described(entry)}")
        columns = _named(where, entry, kind, own)
        if "image_ids" in columns:
            ids.append(_one_id(f"{where}['image_id']", columns.pop("image_ids")))
        entries.append(columns)
        for column, lists in federated.items():
            own_labels = entry.get(column)
            labels = [] if own_labels is None else plain_array(where, own_labels).tolist()
            lists.append(_key(f"{where}[{column!r}]", labels, len(labels)) if labels else NONE)
    if ids and len(ids) != len(entries):
        raise ValueError(
            f"{name} has an image_id in {len(ids)} of {len(entries)} dicts: in all, or none"
        )
    listed = np.arange(next_image, next_image + len(entries))
    if ids:
        listed = _key(f"{name}'s image_id", ids, len(ids))
    absent, unfinished = (
        (np.repeat(listed, list(map(len, lists))), np.concatenate([*filter(len, lists), NONE]))
        for lists in federated.values()
    )
    found = _at_once(name, entries, kind, fmt, scored=scored)
    if found is None:
        parts = []
        for place, columns in enumerate(entries):
            where = f"{name}[{place}]"
            columns["image_ids"] = np.full(_count(f"{where}[{kind!r}]", columns[kind]), place)
            parts.append(_of_columns(where, columns, kind, fmt, scored=scored))
        found = _joined(name, parts, kind, scored=scored)
    return replace(
        found, images=listed[found.images], listed=listed, absent=absent, unfinished=unfinished,
        numbered=not ids,
    )  # fmt: skip


def _at_once(
    name: str, entries: Sequence[Mapping[str, Any]], kind: str, fmt: str, *, scored: bool
) -> DetectionSet | None:
    """A set of columns joined before they are checked; None where one must be looked at by itself.

    Eight images take 0.4 ms so, and 1.6 one by one.
    """
    if kind != "boxes" or not entries or any(each.keys() != entries[0].keys() for each in entries):
        return None
    try:
        columns = {
            column: [plain_array(column, each[column]) for each in entries] for column in entries[0]
        }
        counts = [len(boxes) for boxes in columns[kind]]
        for column, arrays in columns.items():
            ndim = 2 if column == kind else 1
            kinds = {array.dtype.kind for array in arrays}
            if len(kinds) > 1 or not kinds <= set("biuf"):
                return None
            if any(array.ndim != ndim for array in arrays) or list(map(len, arrays)) != counts:
                return None
        joined: dict[str, Any] = {name: np.concatenate(own) for name, own in columns.items()}
        joined["image_ids"] = np.repeat(np.arange(len(entries)), counts)
        return _of_columns(name, joined, kind, fmt, scored=scored)
    except (TypeError, ValueError):
        return None


def _joined(name: str, parts: Sequence[DetectionSet], kind: str, *, scored: bool) -> DetectionSet:
    """Several sets as one."""

    def joined(column: str, dtype: Any) -> Array:
        return np.concatenate([np.empty(0, dtype), *(getattr(part, column) for part in parts)])

    classes = [part.labels for part in parts if len(part)]
    if len({column.dtype.kind for column in classes}) > 1:
        raise TypeError(f"{name} must have numbers or names for labels, one kind for all, got both")
    boxes, masks, sizes, keypoints = None, None, None, None
    if kind == "boxes":
        boxes = np.concatenate([np.empty((0, 4)), *(part.boxes for part in parts)])
    elif kind == "keypoints":
        keypoints = joined_keypoints(
            name, [part.keypoints for part in parts if part.keypoints is not None and len(part)]
        )
        if any(part.boxes is not None for part in parts):
            none = np.full((len(keypoints), 4), np.nan)  # of which as many are taken as lack boxes
            given = [none[: len(part)] if part.boxes is None else part.boxes for part in parts]
            boxes = np.concatenate(given)
    else:
        masks = _one_set([part.packed(np.arange(len(part))) for part in parts])
        sizes = np.concatenate([
            np.empty((0, 2), np.int64), *(part.sizes(np.arange(len(part))) for part in parts)
        ])  # fmt: skip
    return DetectionSet(
        name, boxes, masks, joined("images", np.int64),
        np.concatenate(classes) if classes else NONE,
        joined("scores", np.float64) if scored else None, joined("areas", np.float64),
        joined("iscrowd", np.bool_), joined("ignore", np.bool_), NONE, image_sizes=sizes,
        keypoints=keypoints,
    )  # fmt: skip


def check_videos(preds: Any, target: Any) -> None:
    """Raise a ValueError if one of two tables tells videos, whose images are others' then."""
    both = {"preds": preds, "target": target}
    tables = {name: each for name, each in both.items() if isinstance(each, BoxTable) and len(each)}
    told = [name for name, table in tables.items() if "video" in table.keys]
    if len(tables) == 2 and len(told) == 1:
        raise ValueError(f"only {told[0]} has the key video, so nothing tells which images are one")


def _of_table(
    name: str, table: BoxTable, kind: str, flags: Mapping[str, Any], *, scored: bool
) -> DetectionSet:
    """A set of a table, which has the keys image and category, and other columns of the truth."""
    members = table.boxes if kind == "boxes" else table.masks
    if members is None:
        raise TypeError(f"{name} must be a table of {kind}, got one of others: {table!r}")
    lacking = [key for key in ("image", "category") if key not in table.keys]
    if lacking or (scored and table.scores is None):
        lacking += ["scores"] if scored and table.scores is None else []
        raise ValueError(f"{name} must have {' and '.join(lacking)}, got {table!r}")
    columns = {
        kind: members,
        "image_ids": images_of(table.keys),
        "labels": table.keys["category"],
        "scores": table.scores,
        "iscrowd": table.iscrowd,
        "ignore": table.ignore,
        **flags,
    }
    given = {column: values for column, values in columns.items() if values is not None}
    found = _of_columns(name, given, kind, table.fmt, scored=scored)
    return replace(found, padded=kind == "masks")


# ---- columns -----------------------------------------------------------------------------------


def _members(
    name: str, value: Any, kind: str, fmt: str
) -> tuple[Array | None, Masks | None, Array]:
    """Boxes or masks, checked, and their areas."""
    if kind == "masks":
        from fastiou.geometries.masks.mask_set import read_masks

        if isinstance(value, list | tuple) and value and isinstance(value[0], list | tuple):
            raise TypeError(
                f"{name} must be an array (N, H, W), Masks or run lengths, got nested lists; "
                "polygons become masks by Masks.from_polygons(polygons, (height, width))"
            )
        masks: Masks = read_masks(name, value).array
        return None, masks, masks.area.astype(np.float64)
    given: Input = BOX.read(name, value, fmt, batches=False)
    # In float64, whatever came: COCO knows no other.
    wide = given._replace(held=given.array.astype(np.float64, copy=False))
    boxes = convert_members(wide, "xywh") if fmt != "xywh" else np.ascontiguousarray(wide.array)
    missing = np.isnan(boxes)
    if missing.any():
        row = int(missing.any(axis=1).argmax())
        raise ValueError(f"{name} must be numbers, got NaN in row {row}")
    return boxes, None, box_areas(boxes)


def _one_set(sets: Sequence[Masks]) -> Masks:
    """Masks of images of several sizes as one set, padded to the largest."""
    from fastiou.geometries.masks.mask_set import Masks

    if not sets:
        return Masks.from_rle([], (0, 0))
    size = tuple(max(masks.shape[axis] for masks in sets) for axis in (1, 2))
    return Masks.concatenate([masks.padded((size[0], size[1])) for masks in sets])


def _count(name: str, value: Any) -> int:
    try:
        return len(value)
    except TypeError:
        raise TypeError(f"{name} must be an array or a list, got {described(value)}") from None


def _one_id(name: str, value: Any) -> Any:
    """The number or name of one image, which may be in an array or a tensor."""
    if isinstance(value, str):
        return value
    array = plain_array(name, value)
    if array.size != 1:
        raise ValueError(f"{name} must be one number or name, got {described(value)}")
    return array.reshape(-1)[0].item()


def _key(name: str, value: Any, count: int) -> Array:
    (column,) = read_keys(name, list(value) if isinstance(value, tuple) else value, count).columns
    if column.dtype == np.uint64:
        raise ValueError(f"{name} must be less than 2**63, got {column.max()}")
    return column.astype(np.str_) if column.dtype == object else column


def _scores(name: str, value: Any, count: int, of: str) -> Array:
    scores = score_of_each(value, count, of).astype(np.float64)
    infinite = np.isinf(scores)
    if infinite.any():
        raise ValueError(
            f"{name}['scores'] must be finite, got {scores[infinite][0]} in row "
            f"{int(infinite.argmax())}"
        )
    return scores


def _areas(name: str, value: Any, count: int) -> Array:
    """Areas that may be missing as NaN."""
    areas = real_input(name, value).array.astype(np.float64)
    if areas.shape != (count,):
        raise ValueError(f"{name} must have the shape ({count},), got {areas.shape}")
    wrong = (areas < 0) | np.isinf(areas)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"{name} must be finite and at least 0, got {areas[row]} in row {row}")
    return areas


def _flags(name: str, value: Any, count: int) -> Array:
    """Booleans, or 0 and 1."""
    flags = plain_array(name, value)
    if flags.shape == (0,) == (count,):
        return np.zeros(0, np.bool_)
    if flags.shape != (count,):
        raise ValueError(f"{name} must have the shape ({count},), got {flags.shape}")
    if flags.dtype.kind not in "biuf" or not np.isin(flags, (0, 1)).all():
        raise ValueError(f"{name} must hold booleans, or 0 and 1, got dtype {flags.dtype}")
    return flags.astype(np.bool_)
