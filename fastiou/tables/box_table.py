"""A table of boxes or masks: with scores, keys and ids, as files and data frames have them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fastiou.arrays.checks import check_choice, crowd_array, flag_array, score_of_each
from fastiou.arrays.frames import (
    frame_columns,
    index_columns,
    is_frame,
    some_values,
    unnamed_indexes,
)
from fastiou.arrays.inputs import real_input
from fastiou.arrays.keys import read_keys
from fastiou.arrays.svg import captioned
from fastiou.geometries.table import FORMATS, convert_members
from fastiou.runtime.words import described, shortened
from fastiou.tables.column_names import (
    BOX_COLUMNS,
    INDEXES,
    has_radians,
    is_in_space,
    key_meant,
    key_named,
    likely_images,
    plain_name,
)
from fastiou.tables.columns import (
    ColumnsError,
    check_telling,
    column_not_told,
    meaning_of,
    names_of_keys,
    open_angles,
)
from fastiou.tables.frames import Framed
from fastiou.tables.grouping import are_one_key, key_column
from fastiou.tables.layouts import header_of
from fastiou.tables.pictures import table_picture
from fastiou.tables.words import BY, in_python
from fastiou.typing import Array

if TYPE_CHECKING:
    from fastiou.geometries.masks.mask_set import Masks

__all__ = ["BoxTable", "has_names", "table_of_frame"]

#: Columns with a value, or some, for each member.
MEMBER_COLUMNS = ("boxes", "masks", "scores", "ids", "iscrowd", "ignore")


@dataclass(frozen=True, eq=False, repr=False)
class BoxTable(Framed):
    """Boxes or masks with what is known of each: a score, keys such as image and category, an id.

    Every function that takes boxes takes a table in their place: its format comes with it. In
    `pairs`, `topk`, `match`, `nms` and `Index` its keys are the groups, so that only members of the
    same image and category meet, unless `groups` are given; `nms` takes its scores. Dense functions
    such as `box_iou` score all with all, whatever the keys.

    `read` makes a table of a file, `BoxTable.from_frame` of a data frame. Indexing by a slice, by
    integers or by booleans gives a table of some members; `len` is their number. What was given is
    not copied where it has the right type already.

    Parameters
    ----------
    boxes : array_like, shape (N, 4) or (N, 5)
        Boxes, as in `box_iou`; None for a table of masks.
    fmt
        What the numbers are, as in `box_iou`.
    masks : Masks, optional
        Masks in place of boxes.
    scores : array_like of float, shape (N,), optional
        How sure each is.
    keys : dict, optional
        Keys by their names, each of shape (N,): whole numbers or names. A missing value is refused.
    ids : array_like, shape (N,), optional
        What each is called: whole numbers or names.
    iscrowd : array_like of bool, shape (N,), optional
        Which are crowds, for ``match(method="coco")``.
    ignore : array_like of bool, shape (N,), optional
        Which are to be ignored, as VOC's difficult objects are; for scores of detectors alone.
    grouped : tuple of str, optional
        Names of the keys that are groups; all if not given. See `by`.
    unused : tuple of str
        Columns of the file or the frame that were not used.

    Attributes
    ----------
    boxes : array, shape (N, 4) or (N, 5), or None
    fmt : str
        "" of masks.
    masks : Masks or None
    scores : array of float, or None
    keys : dict of arrays
        int64, or text.
    ids : array or None
    iscrowd, ignore : array of bool, or None
    grouped, unused : tuple of str
    key_columns : dict of dicts of arrays
        For each key the columns of the file or the frame that tell it, by their names. Where they
        are several, such as the number and the name of an image, they tell the same groups, and
        `keys` has the first.
    likely_images : tuple of str
        Those of the unused columns that are likely to tell the image, which no key does. Functions
        that compare within groups warn of them, unless `by` says what the groups are.

    Raises
    ------
    TypeError, ValueError
        As `box_iou`; columns of other lengths or types.

    Examples
    --------
    >>> import fastiou
    >>> boxes = [[0, 0, 4, 4], [0, 0, 4, 3], [0, 0, 4, 3]]
    >>> found = fastiou.BoxTable(boxes, scores=[0.9, 0.8, 0.7], keys={"image": ["a", "a", "b"]})
    >>> found
    <BoxTable: 3 boxes as xyxy; scores; keys image>
    >>> found[fastiou.nms(found)].keys["image"].tolist()
    ['a', 'b']
    >>> fastiou.nms(found.by())
    array([0])
    """

    boxes: Any = None
    fmt: str = "xyxy"
    _: KW_ONLY
    masks: Any = None
    scores: Any = None
    keys: Mapping[str, Any] = field(default_factory=dict)
    ids: Any = None
    iscrowd: Any = None
    ignore: Any = None
    grouped: tuple[str, ...] | None = None
    unused: tuple[str, ...] = ()
    key_columns: Mapping[str, Mapping[str, Any]] = field(init=False, default_factory=dict)
    likely_images: tuple[str, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        if (self.boxes is None) == (self.masks is None):
            both = "both" if self.boxes is not None else "neither"
            raise TypeError(f"a BoxTable must have either boxes or masks, got {both}")
        checked: dict[str, Any] = {}
        if self.boxes is not None:
            check_choice("fmt", self.fmt, FORMATS)
            if isinstance(self.boxes, BoxTable):
                raise TypeError("boxes must be an array, got a table: its boxes are table.boxes")
            if has_names(self.boxes):
                raise TypeError(
                    "boxes must be an array, got a data frame whose columns have names: "
                    "BoxTable.from_frame takes it"
                )
            given = FORMATS[self.fmt].load().read("boxes", self.boxes, self.fmt, batches=False)
            checked["boxes"] = given.array
        else:
            checked |= {"masks": _masks(self.masks), "fmt": ""}
        count = len(checked["boxes"] if self.boxes is not None else checked["masks"])
        if self.scores is not None:
            checked["scores"] = score_of_each(self.scores, count, "the table")
        if not isinstance(self.keys, Mapping) or not all(isinstance(key, str) for key in self.keys):
            raise TypeError(f"keys must be a dict of arrays by name, got {described(self.keys)}")
        checked["keys"] = {
            key: _key(f"keys[{key!r}]", values, count) for key, values in self.keys.items()
        }
        if self.ids is not None:
            checked["ids"] = _key("ids", self.ids, count)
        if self.iscrowd is not None:
            checked["iscrowd"] = crowd_array(self.iscrowd, count, "the table")
        if self.ignore is not None:
            checked["ignore"] = flag_array("ignore", self.ignore, count, "the table")
        checked["grouped"], _ = _chosen(self.grouped, checked["keys"], {})
        vars(self).update(checked)

    @classmethod
    def of_columns(cls, **columns: Any) -> BoxTable:
        """A table of columns that were checked, by the names of the parameters."""
        table = object.__new__(cls)
        keys = columns["keys"]
        usual: dict[str, Any] = dict.fromkeys(MEMBER_COLUMNS)
        usual |= {
            "fmt": "",
            "grouped": tuple(keys),
            "unused": (),
            "key_columns": {},
            "likely_images": (),
        }
        vars(table).update(usual | columns)
        return table

    def changed(self, **columns: Any) -> BoxTable:
        """The same table with some columns replaced by others that were checked."""
        if "keys" in columns:
            columns = {"key_columns": {}, **columns}
        return self.of_columns(**{**vars(self), **columns})

    @classmethod
    def from_frame(
        cls, frame: Any, *, fmt: str | None = None, by: str | Sequence[str] | None = None
    ) -> BoxTable:
        """Make a table of a data frame, the columns of which are told by their names.

        The names are those that files may have (``docs/files.md``): x1,y1,x2,y2 or x,y,width,height
        and others for boxes; image, video, category and others for keys; score; id; iscrowd.

        Parameters
        ----------
        frame : data frame of pandas or polars, table of pyarrow, or dict of columns
            A row for each box. A missing number of a box is NaN. Levels of a pandas index that have
            names are columns, too.
        fmt
            The format, where names fit several: those of rotated boxes differ by the angle alone.
        by
            Keys, or names of columns, that are the groups, as in `read`; all that look like keys if
            not given.

        Raises
        ------
        TypeError
            It is no data frame, or a column holds something else.
        ValueError
            The names tell no boxes or several, another format than `fmt`, or a key is missing.

        Examples
        --------
        >>> import fastiou
        >>> columns = {"file": ["a"], "xmin": [1], "ymin": [2], "xmax": [3], "ymax": [4]}
        >>> fastiou.BoxTable.from_frame(columns)
        <BoxTable: 1 box as xyxy; keys image>
        """
        return table_of_frame("frame", frame, fmt, names_of_keys("by", by))

    def __len__(self) -> int:
        return len(self.members)

    @property
    def members(self) -> Any:
        """The boxes, or else the masks."""
        return self.masks if self.boxes is None else self.boxes

    @property
    def labels(self) -> Array | None:
        """The key "category"; None if there is none."""
        return self.keys.get("category")

    def __repr__(self) -> str:
        noun = "mask" if self.boxes is None else "box"
        plural = {"mask": "masks", "box": "boxes"}[noun]
        words = [f"{len(self):,} {noun if len(self) == 1 else plural}"]
        if self.boxes is not None:
            words[0] += f" as {self.fmt}"
        words += [name for name in ("scores",) if self.scores is not None]
        if self.keys:
            groups = ""
            if self.grouped != tuple(self.keys):
                groups = f" (grouped by {', '.join(self.grouped or ()) or 'none'})"
            words.append(f"keys {', '.join(self.keys)}{groups}")
        words += [name for name in ("ids", "iscrowd", "ignore") if getattr(self, name) is not None]
        if self.unused:
            words.append(f"not used: {', '.join(self.unused)}")
        return f"<BoxTable: {shortened('; '.join(words), 200)}>"

    def _repr_html_(self) -> str:
        drawn = ""
        if len(self):
            drawn = self.masks._repr_html_() if self.boxes is None else table_picture(self)
        return captioned(repr(self), drawn)

    def __getitem__(self, index: Any) -> BoxTable:
        chosen = index if isinstance(index, slice) else _positions(index, len(self))

        def some(column: Any) -> Any:
            return None if column is None else column[chosen]

        columns = {name: some(getattr(self, name)) for name in MEMBER_COLUMNS}
        keys = {key: values[chosen] for key, values in self.keys.items()}
        told = {
            key: {name: values[chosen] for name, values in by_name.items()}
            for key, by_name in self.key_columns.items()
        }
        return self.changed(**columns, keys=keys, key_columns=told)

    def by(self, *keys: str) -> BoxTable:
        """The same table, grouped by some of its keys, or, without any, by none.

        Parameters
        ----------
        *keys
            Names of keys, or such as stand for them: "class" for category. A key that several
            columns tell, such as image_id and file_name, is told by one of them alone if that is
            named.

        Raises
        ------
        ValueError
            There is no such key.

        Examples
        --------
        >>> import fastiou
        >>> table = fastiou.BoxTable([[0, 0, 1, 1]], keys={"image": [7], "category": ["car"]})
        >>> table.by("image")
        <BoxTable: 1 box as xyxy; keys image, category (grouped by image)>
        """
        grouped, alone = _chosen(keys, self.keys, self.key_columns)
        told = {key: {name: self.key_columns[key][name]} for key, name in alone.items()}
        values = {key: by_name[alone[key]] for key, by_name in told.items()}
        return self.changed(
            grouped=grouped, keys={**self.keys, **values},
            key_columns={**self.key_columns, **told}, likely_images=(),
        )  # fmt: skip

    def convert(self, fmt: str) -> BoxTable:
        """The same table with its boxes in another format, as by `box_convert`.

        Parameters
        ----------
        fmt
            A format of the same geometry.

        Raises
        ------
        ValueError
            It is of another geometry, the table holds masks, or a coordinate is infinite.

        Examples
        --------
        >>> import fastiou
        >>> fastiou.BoxTable([[1, 2, 3, 4]], "xywh").convert("xyxy").boxes
        array([[1., 2., 4., 6.]])
        """
        if self.boxes is None:
            raise ValueError("a table of masks has no format to convert")
        check_choice("fmt", fmt, FORMATS)
        geometry, other = FORMATS[self.fmt].load(), FORMATS[fmt].load()
        known = fmt in geometry.converts or self.fmt in other.converts
        if other is not geometry and not known:
            raise ValueError(
                f"fmt must be a format of {geometry.plural}, as the table has, got {fmt!r} of "
                f"{other.plural}"
            )
        if fmt == self.fmt:
            return self
        given = geometry.read("boxes", self.boxes, self.fmt, batches=False)
        return self.changed(boxes=convert_members(given, fmt), fmt=fmt)

    def columns(self) -> dict[str, Array]:
        """The columns by name, as a CSV file has them: boxes, keys, score, id, iscrowd.

        Angles are called by their unit, angle_deg or angle_rad; which way they turn, only `fmt`
        tells. Of 3-D boxes z is the middle, whatever the format, since names tell no bottom. A key
        that is called as another column has "key_" in front. Masks have no columns of their own.
        """
        columns: dict[str, Array] = {}
        if self.boxes is not None:
            header = header_of(self.fmt)
            unit = "angle_rad" if has_radians(self.fmt) else "angle_deg"
            names = (unit if name == "angle" else name for name in header)
            told = self.convert(BOX_COLUMNS[header]) if is_in_space(self.fmt) else self
            assert told.boxes is not None
            columns |= dict(zip(names, told.boxes.T, strict=True))
        others = {"score": self.scores, "id": self.ids, "iscrowd": self.iscrowd}
        keys: dict[str, Array] = {}
        for key, values in self.keys.items():
            name = key_column(key)
            while name in columns or name in others or (name != key and name in self.keys):
                name = f"key_{name}"
            keys[name] = values
        columns |= keys
        return columns | {name: values for name, values in others.items() if values is not None}


def has_names(value: Any) -> bool:
    """Whether something is a data frame whose columns have names, and not numbers alone."""
    if not is_frame(type(value)):
        return False
    labels = [label for label, _ in frame_columns(value) or ()]
    labels += [label for label, _ in index_columns(value) if key_named(label) is not None]
    return not all(label.removeprefix("column_").isdigit() for label in labels)


def table_of_frame(name: str, frame: Any, fmt: str | None, by: Sequence[str] | None) -> BoxTable:
    """A data frame as a table; messages call it by this name."""
    found = frame_columns(frame)
    if found is not None:
        found = [*index_columns(frame), *found]
    if isinstance(frame, Mapping):
        found = [(str(label), values) for label, values in frame.items()]
    if found is None:
        raise TypeError(
            f"{name} must be a data frame of pandas or polars, a table of pyarrow, or a dict of "
            f"columns, got {described(frame)}"
        )
    names = [label for label, _ in found]
    if fmt is not None:
        check_choice("fmt", fmt, FORMATS)
    try:
        meaning = meaning_of(names, fmt or "xyxy", by, takes_scores=True, told=fmt is not None)
    except ColumnsError as error:
        raise _refused(name, error) from None
    if fmt is not None and meaning.fmt != fmt:
        listed = ",".join(names[place] for place in meaning.box)
        raise ValueError(
            f"fmt must be {meaning.fmt!r} for the columns {listed} of {name}, or left out, got "
            f"{fmt!r}"
        )

    def column(place: int) -> Any:
        return found[place][1]

    def called(place: int) -> str:
        return f"{name}[{names[place]!r}]"

    if meaning.is_list:
        boxes = _listed_boxes(called(*meaning.box), column(*meaning.box), meaning.fmt)
    else:
        boxes = np.stack(_box_columns({called(n): column(n) for n in meaning.box}), axis=1)
    count = len(boxes)
    if meaning.angle is not None and fmt is None:
        words = open_angles(names[meaning.angle], boxes[:, -1], meaning.fmt)
        if words is not None:
            raise ValueError(f"{name}: {words[0]}, expected {in_python(words[1])}")
    keys, told = {}, {}
    for key, places in meaning.keys.items():
        values = [_key(called(place), column(place), count) for place in places]
        for place, other in zip(places[1:], values[1:], strict=True):
            if not are_one_key(values[0], other):
                others = [known for known in meaning.keys if known != key]
                both, one = [names[places[0]], names[place], *others], [names[place], *others]
                raise ValueError(
                    f"{name}: columns {names[places[0]]} and {names[place]} tell different groups, "
                    f"expected one of them: BoxTable.from_frame({name}, by={one}), or both "
                    f"together: by={both}"
                )
        keys[key] = values[0]
        told[key] = {names[place].strip(): v for place, v in zip(places, values, strict=True)}
    lacking = column_not_told(by, told)
    if lacking is not None:
        raise ValueError(f"by={lacking[0]!r}: there is no column {lacking[1]} in {name}")
    scores = None
    if meaning.score is not None:
        scores = score_of_each(column(meaning.score), count, name)
    ids, unused = None, [label for label in meaning.unused if label != "iscrowd"]
    if meaning.id is not None:
        try:
            ids = _key(called(meaning.id), column(meaning.id), count)
        except (TypeError, ValueError):  # nobody needs them
            unused.append(names[meaning.id])
    if by is None and not {"image", "video"} & {*keys}:
        levels = [("", level) for level in unnamed_indexes(frame)]
        for place, label in enumerate(names):
            if label and plain_name(label) in INDEXES:
                with suppress(TypeError, ValueError):  # such as numbers that are not whole
                    levels.append((label, _key(called(place), column(place), count)))
        try:
            for label, level in levels:
                check_telling(label, level, keys)
            if ids is not None and meaning.id is not None:
                check_telling(names[meaning.id], ids, keys, are_ids=True)
        except ColumnsError as error:
            raise _refused(name, error) from None
    iscrowd = None
    if "iscrowd" in names:
        iscrowd = crowd_array(column(names.index("iscrowd")), count, name)
    likely: tuple[str, ...] = ()
    if by is None:
        likely = likely_images(unused, keys, lambda label: some_values(column(names.index(label))))
    return BoxTable.of_columns(
        boxes=boxes, fmt=meaning.fmt, scores=scores, keys=keys, ids=ids,
        iscrowd=iscrowd, unused=tuple(unused), key_columns=told, likely_images=likely,
    )  # fmt: skip


def _refused(name: str, error: ColumnsError) -> ValueError:
    """What is raised where the columns of a frame cannot be used."""
    found = error.found.replace("the first line", "the columns").replace(" names no ", " name no ")
    expected = re.sub(BY, rf"BoxTable.from_frame({name}, by='\1')", error.expected)
    expected = expected.replace(
        "rows of numbers", "no names: then, as in an array, numbers are taken in their order"
    )
    return ValueError(f"{name}: {found}, expected {in_python(expected)}")


def _box_columns(columns: Mapping[str, Any]) -> list[Array]:
    """Columns with a number of a box in each row, checked, by what messages call them."""
    numbers: list[Array] = []
    for name, values in columns.items():
        array = real_input(name, values).array
        shape = numbers[0].shape if numbers else (array.size,)
        if array.shape != shape:
            raise ValueError(f"{name} must have the shape {shape}, got {array.shape}")
        numbers.append(array)
    return numbers


def _listed_boxes(name: str, column: Any, fmt: str) -> Array:
    """A column with the numbers of a box in each row."""
    count = FORMATS[fmt].formats[fmt]
    rows = column.to_pylist() if hasattr(column, "to_pylist") else list(column)
    if not rows:
        return np.empty((0, count))
    for place, row in enumerate(rows):
        if isinstance(row, str) or not hasattr(row, "__len__") or len(row) != count:
            raise ValueError(
                f"{name} must hold {count} numbers in each row, as {fmt} has, got "
                f"{described(row)} in row {place}"
            )
    boxes: Array = real_input(name, [list(row) for row in rows]).array
    return boxes


def _masks(value: Any) -> Masks:
    from fastiou.geometries.masks.mask_set import read_masks

    masks: Masks = read_masks("masks", value).array
    return masks


def _key(name: str, value: Any, count: int) -> Array:
    """One key of each member: whole numbers, or text."""
    value = list(value) if isinstance(value, tuple) else value
    (column,) = read_keys(name, value, count).columns
    return column.astype(np.str_) if column.dtype == object else column


def _chosen(
    grouped: Any, keys: Mapping[str, Array], told: Mapping[str, Mapping[str, Array]]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The names of the keys that are groups, and the columns that tell some of them alone.

    `told` has the columns of each key.
    """
    if grouped is None:
        return tuple(keys), {}
    chosen: dict[str, str | None] = {}
    for name in names_of_keys("grouped", grouped) or ():
        key, column = _column_named(name, told)
        key = key or key_meant(name, keys)
        if key is None:
            names = dict.fromkeys((*keys, *(name for by_name in told.values() for name in by_name)))
            listed = ", ".join(map(repr, names)) or "none"
            raise ValueError(f"there is no key {described(name)} in the table, but {listed}")
        chosen.setdefault(key, column)
    return tuple(chosen), {key: column for key, column in chosen.items() if column is not None}


def _column_named(
    name: str, told: Mapping[str, Mapping[str, Array]]
) -> tuple[str | None, str | None]:
    """The key that a column of this name tells, and the column if others tell it, too."""
    for is_name in (name.__eq__, lambda other: plain_name(other) == plain_name(name)):
        for key, by_name in told.items():
            column = next(filter(is_name, by_name), None)
            if column is not None:
                return key, column if len(by_name) > 1 else None
    return None, None


def _positions(index: Any, count: int) -> Array:
    """What chooses some members of a table, as positions."""
    try:
        chosen = np.asarray(index)
    except (ValueError, TypeError, RuntimeError):  # a list of lists of several lengths
        chosen = np.array(None)
    if chosen.dtype == np.bool_ and chosen.shape == (count,):
        return np.flatnonzero(chosen)
    if chosen.shape == (0,):
        return np.empty(0, np.int64)
    if chosen.dtype.kind not in "iu" or chosen.ndim > 1:
        raise IndexError(
            f"members of a table of {count} are chosen by an integer, a slice, integers in one "
            f"dimension, or {count} booleans, got {described(index)}"
        )
    positions = np.atleast_1d(chosen).astype(np.int64)
    wrong = (positions < -count) | (positions >= count)
    if wrong.any():
        raise IndexError(f"index {positions[wrong][0]} is out of range for a table of {count}")
    return np.where(positions < 0, positions + count, positions)
