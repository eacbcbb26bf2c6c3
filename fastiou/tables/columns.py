"""What the columns of a table mean by their names: boxes, keys, scores, and what is in doubt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastiou.runtime.words import described, shortened
from fastiou.tables.column_names import (
    ANGLES_OF_BOXES,
    BESIDE_PREDICTION,
    BOX_COLUMNS,
    COCO_KEY,
    COCO_OTHERS,
    DOUBTFUL,
    DOUBTFUL_WORDS,
    FALLBACKS,
    HEADERS,
    ID_NAMES,
    KEY_OF,
    KEYS,
    LAYOUT_NAMES,
    LISTS,
    OF_COLUMNS,
    OTHER_WORDS,
    POINT,
    PREDICTION,
    SCORE_NAMES,
    SIZES,
    WORD,
    has_radians,
    is_in_space,
    key_meant,
    plain_name,
    told_by,
)
from fastiou.tables.layouts import LAYOUTS, header_of
from fastiou.typing import Array

__all__ = [
    "ColumnsError",
    "Meaning",
    "check_doubtful",
    "check_telling",
    "column_not_told",
    "key_columns",
    "meaning_of",
    "names_of_keys",
    "open_angles",
]


class ColumnsError(ValueError):
    """The names of columns cannot be used: what was found, and what is expected."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(f"{found}, expected {expected}")
        self.found, self.expected = found, expected


@dataclass(frozen=True)
class Meaning:
    """What the columns of a table mean, each by its position.

    Attributes
    ----------
    fmt : str
        Layout of the boxes.
    box : tuple of int
        Columns of the numbers of a box.
    keys : dict
        By the name of the key the columns that tell it, the usual name first.
    score : int or None
        Column of the scores.
    id : int or None
        Column of what the file calls each.
    unused : tuple of str
        Names of the columns that mean nothing here.
    angle : int or None
        Column of angles of which the name tells no unit.
    is_list : bool
        Whether the only column of `box` has lists of numbers.
    sizes : tuple of pairs of int
        Columns of what may be width and height of the image; they are among those not used.
    """

    fmt: str
    box: tuple[int, ...]
    keys: dict[str, tuple[int, ...]]
    score: int | None
    unused: tuple[str, ...]
    id: int | None = None
    angle: int | None = None
    is_list: bool = False
    sizes: tuple[tuple[int, int], ...] = ()


def meaning_of(
    names: Sequence[str],
    fmt: str,
    by: Sequence[str] | None = None,
    *,
    scored: bool = False,
    takes_scores: bool = False,
    told: bool = False,
    also: Sequence[str] | None = None,
) -> Meaning:
    """Find out what columns mean.

    Parameters
    ----------
    names
        Of the columns. Those without a name are left aside.
    fmt
        The layout meant where names fit several.
    by
        Keys, or names of columns, to group by; None for all that look like keys.
    scored
        Whether there must be scores.
    takes_scores
        Whether scores are read where there are some. Else nobody minds them.
    told
        Whether the layout was asked for.
    also
        What of `by` is read besides all keys, as far as it is there; nothing is in doubt then.

    Raises
    ------
    ColumnsError
        They name no boxes, boxes of several layouts, or no scores; or `by` is not there.
    """
    plain = [plain_name(name) for name in names]
    listed = shortened(",".join(names))
    fits = [row for row in BOX_COLUMNS if set(row) <= set(plain)]
    # Of cx,cy,w,h and the same with an angle those with more; xmin,ymin,xmax,ymax before
    # xmin,ymin,width,height, which may be the size of the image.
    chosen = [row for row in fits if not any(set(row) < set(other) for other in fits)]
    corners = [row for row in chosen if BOX_COLUMNS[row] == "xyxy"]
    starts = {row[:2] for row in corners}
    chosen = [row for row in chosen if row in corners or row[:2] not in starts]
    # Beside w,h the other pair, width,height, is the size of the image.
    chosen = [
        row for row in chosen
        if row[2:4] != ("width", "height") or (*row[:2], "w", "h", *row[4:]) not in chosen
    ]  # fmt: skip
    score_name = next((name for name in SCORE_NAMES if name in plain), None)
    used_names = {name for row in chosen for name in row} | set(KEY_OF)
    if (scored or takes_scores) and score_name is not None:
        used_names.add(score_name)
    counts = Counter(plain)
    twice = sorted(name for name in used_names if counts[name] > 1)
    if twice:
        raise ColumnsError(f"columns {', '.join(twice)} come twice", "one set of boxes")
    if len(chosen) > 1:
        # MOT has bb_left, bb_top, bb_width, bb_height, and x, y of the place in the world apart.
        beside = [row for row in chosen if _stand_side_by_side(row, plain)]
        chosen = beside if len(beside) == 1 else chosen
    if len(chosen) > 1 and told:
        chosen = [row for row in chosen if BOX_COLUMNS[row] == fmt] or chosen
    if len(chosen) > 1:
        found = " and ".join(",".join(row) for row in chosen)
        layouts = dict.fromkeys(BOX_COLUMNS[row] for row in chosen)
        ways = " or ".join(f"--boxes {each}" for each in layouts)
        expected = ways if len(layouts) > 1 else "one set of boxes"
        raise ColumnsError(f"columns of several layouts ({found})", expected)
    layout = next((column for column, name in enumerate(plain) if name in LAYOUT_NAMES), None)
    if layout is not None and not told:
        found = f"column {names[layout].strip()}, which may tell another layout, is not read"
        raise ColumnsError(found, "--boxes xyxy, --boxes xywh or --boxes cxcywh")
    list_name = next((name for name in LISTS if name in plain), None)
    is_list = not chosen and list_name is not None
    if not chosen and list_name is not None:
        # Lists of COCO are known by what is beside them; of others nobody knows the order.
        if not told and not (list_name == "bbox" and COCO_KEY in plain and COCO_OTHERS & {*plain}):
            found = f"column {names[plain.index(list_name)].strip()} does not tell its layout"
            raise ColumnsError(found, "--boxes xyxy, --boxes xywh or --boxes cxcywh")
        chosen = [(list_name,)]
    if not chosen:
        known = " or ".join(map(",".join, HEADERS[:3]))
        found = f"the first line {listed!r} names no boxes"
        raise ColumnsError(found, f"columns {known}, others that --help lists, or rows of numbers")
    if scored and score_name is None:
        expected = f"a column {' or '.join(SCORE_NAMES[:3])}"
        raise ColumnsError(f"the first line {listed!r} names no scores", expected)
    (row,) = chosen
    if not told:
        _check_open(row, plain, names)
    box = tuple(map(plain.index, row))
    score = None if score_name is None else plain.index(score_name)
    keys = key_columns(names, by)
    for each in also or ():
        with suppress(ColumnsError):  # the name of the file may tell it
            keys |= key_columns(names, (each,))
    if by is None and also is None:
        check_doubtful(names, keys)
    name = next((name for name in ID_NAMES if name in plain), None)
    id_ = None if name is None else plain.index(name)
    used = {*box, score, id_, *(column for columns in keys.values() for column in columns)}
    unused = tuple(
        name.strip() for column, name in enumerate(names) if column not in used and plain[column]
    )
    # Layouts that differ by the angle alone have the same names: then it is the one asked for,
    # unless the name of the angle tells another unit.
    usual = (fmt if told else "xywh") if is_list else BOX_COLUMNS[row]
    usual = fmt if fmt == "cxcywh" and _is_prediction(names) else usual
    angle = row[-1] if header_of(usual)[-1] == "angle" and not is_list else ""
    unit = next((unit for unit in ("deg", "rad") if unit in angle), None)
    same = header_of(fmt) == header_of(usual) and unit != ("deg" if has_radians(fmt) else "rad")
    open_angle = box[-1] if angle and unit is None else None
    sizes = tuple(
        (plain.index(width), plain.index(height)) for width, height in SIZES
        if {width, height} <= {*plain} - {*row}
    )  # fmt: skip
    return Meaning(
        fmt if same else usual, box, keys, score, unused, id_, open_angle, is_list, sizes
    )


def _check_open(row: tuple[str, ...], plain: list[str], names: Sequence[str]) -> None:
    """Refuse boxes beside which stands what could make others of them.

    Raises
    ------
    ColumnsError
        An angle stands beside corners; a width and a height stand in front of the corner, as those
        of the image do; or the corner is named as Roboflow names the centre.
    """
    if _is_prediction(names):
        found = "x, y, width, height, confidence and class, of which Roboflow's x, y are centres"
        raise ColumnsError(found, "--boxes cxcywh or --boxes xywh")
    angle = next((name for name in plain if name in ANGLES_OF_BOXES), None)
    if angle is not None and BOX_COLUMNS.get(row) == "xyxy":
        expected = "cx,cy,w,h,angle of boxes that are turned, or --boxes xyxy, which leaves it out"
        raise ColumnsError(f"column {angle} beside corners", expected)
    height = next((name for name in ("z", "cz") if name in plain and name not in row), None)
    if height is not None and row[0] in ("x", "cx"):
        expected = (
            "x,y,z,w,h,d of 3-D boxes, and perhaps their yaw in radians, or --boxes "
            f"{BOX_COLUMNS[row]}, which leaves it out"
        )
        raise ColumnsError(f"column {height} beside {','.join(row)}", expected)
    points = max((int(found[1]) for found in map(POINT.fullmatch, plain) if found), default=0)
    if points > 2 and row[:2] in (("x1", "y1"), ("x0", "y0")) and len(row) < 2 * points:
        found = f"columns of points as far as x{points}, y{points} beside {','.join(row)}"
        raise ColumnsError(found, f"boxes or four corners alone, or --boxes {BOX_COLUMNS[row]}")
    sides = {names[plain.index(name)].strip().lower() for name in row[2:]}
    if (
        sides == {"width", "height"}
        and (  # and no word for a box
            max(plain.index(name) for name in row[2:]) < min(plain.index(name) for name in row[:2])
        )
        and [*names] != sorted(names)  # as JSON is written with its names in alphabetical order
    ):
        found = f"width and height in front of {row[0]} and {row[1]}, where those of images stand"
        fmt = BOX_COLUMNS[row]
        raise ColumnsError(
            found, f"w,h or box_width,box_height for sizes of boxes, or --boxes {fmt}"
        )


def _is_prediction(names: Sequence[str]) -> bool:
    """Whether columns are those of Roboflow's predictions."""
    found = {name.strip().lower() for name in names}
    return found >= PREDICTION and {*map(plain_name, found - PREDICTION)} <= BESIDE_PREDICTION


def _stand_side_by_side(row: tuple[str, ...], plain: list[str]) -> bool:
    """Whether the columns of a box follow each other, in any order."""
    places = [plain.index(name) for name in row]
    return max(places) - min(places) < len(row)


def open_angles(name: str, angles: Array, fmt: str) -> tuple[str, str] | None:
    """What is said of angles under a name without a unit that could be degrees or radians.

    Parameters
    ----------
    name
        Of their column.
    angles
        Of all boxes.
    fmt
        The layout in which they were read.

    Returns
    -------
    tuple of str or None
        What was found and what is expected; None if they are degrees, or 0, which is both.
    """
    small = np.abs(angles) <= 2 * np.pi
    if is_in_space(fmt) and not (small | np.isnan(angles)).all():
        return f"column {name} holds angles beyond ±2π", f"radians, or a name such as {name}_rad"
    if not (angles[small] != 0).any() or not (small | np.isnan(angles)).all():
        return None
    kinds = [other for other in LAYOUTS if header_of(other) == header_of(fmt)]
    expected = " or ".join(f"--boxes {kind}" for kind in kinds[:2])
    if len(kinds) < 2:
        expected += f", which has degrees, or a name such as {name}_deg"
    return f"column {name} could hold degrees or radians, all within ±2π", expected


def names_of_keys(argument: str, by: Any) -> tuple[str, ...] | None:
    """An argument of names of keys, each once: one text with commas, or several texts.

    "none" is none of them.

    Raises
    ------
    TypeError
        It is something else.
    """
    if by is None:
        return None
    names = [name.strip() for name in by.split(",")] if isinstance(by, str) else by
    if not isinstance(names, Iterable) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{argument} must be names of keys, got {described(by)}")
    distinct = tuple(dict.fromkeys(names))
    return () if distinct == ("none",) else distinct


def column_not_told(
    by: Sequence[str] | None, *told: Mapping[str, Mapping[str, Any]]
) -> tuple[str, str] | None:
    """A name such as "image=source", and its column, where no set has that column as a key.

    `told` has the columns by names of each key of each set.
    """
    for name in by or ():
        key, column = told_by(name)
        names = (own for columns in told for own in columns.get(key, {}))
        if key and all(plain_name(column) != plain_name(own) for own in names):
            return name, column
    return None


def check_doubtful(names: Sequence[str], keys: Mapping[str, Sequence[int]]) -> None:
    """Refuse columns that may tell one of some keys, none of which a column surely tells.

    A time tells the image where nothing else does, so that a name beside it is in doubt.

    Raises
    ------
    ColumnsError
        There is one.
    """
    unsure = {
        key
        for key, columns in keys.items()
        if {plain_name(names[column]) for column in columns} <= {*FALLBACKS.get(key, ())}
    }
    for name in names:
        could_be = _keys_in_doubt(name)
        if any(key in keys for key in could_be):
            could_be = tuple(key for key in could_be if key in unsure)
        if could_be:
            stripped = name.strip()
            told = [key for key in KEYS if key in keys]
            ways = [
                ",".join((*(key for key in told if key != own), f"{own}={stripped}"))
                for own in could_be
            ]
            ways.append(",".join(told) or "none")
            found = f"column {stripped} may tell the {' or the '.join(could_be)}"
            raise ColumnsError(found, " or ".join(f"--by {way}" for way in ways))


def check_telling(name: str, values: Array, keys: Container[str], *, are_ids: bool = False) -> None:
    """Refuse ids, or an index, that may tell the image, which nothing else does.

    Parameters
    ----------
    name
        Of the column, if it has one.
    values
        Whole numbers, or names.
    keys
        That other columns tell.
    are_ids
        Whether names may be told, each once.

    Raises
    ------
    ColumnsError
        That is so.
    """
    if "image" in keys or "video" in keys:
        return
    if (are_ids or values.dtype.kind == "i") and len(np.unique(values)) == len(values):
        return
    which = f"column {name}" if plain_name(name) else "a column or an index without a name"
    own = f"--by image={name}" if plain_name(name) else "a name"
    others = ",".join(key for key in KEYS if key in keys) or "none"
    found = f"{which}, whose values are no numbering, may tell the image"
    raise ColumnsError(found, f"{own} or --by {others}")


def _keys_in_doubt(name: str) -> tuple[str, ...]:
    """The keys that a column may tell, by its name or the words in it; none of known columns."""
    plain = plain_name(name)
    if plain in DOUBTFUL:
        return DOUBTFUL[plain]
    words = [word.lower() for word in WORD.findall(name)]
    if plain in OF_COLUMNS or not OTHER_WORDS.isdisjoint(words):
        return ()
    return next((DOUBTFUL_WORDS[word] for word in words if word in DOUBTFUL_WORDS), ())


def key_columns(names: Sequence[str], by: Sequence[str] | None) -> dict[str, tuple[int, ...]]:
    """The columns that tell each key.

    Parameters
    ----------
    names
        Of the columns.
    by
        Keys, or names of columns, to group by; None for all that look like keys. The name of a
        column that is not there stands for the key that it tells elsewhere: "class" for category.
        "image=source" is the key image as the column source tells it, where that is there.

    Raises
    ------
    ColumnsError
        `by` is not there.
    """
    plain = [plain_name(name) for name in names]
    found: dict[str, tuple[int, ...]] = {}
    for key, known in KEYS.items():
        columns = tuple(plain.index(name) for name in known if name in plain)
        others = [plain.index(name) for name in FALLBACKS.get(key, ()) if name in plain]
        if columns or others:
            found[key] = columns or (others[0],)
    if by is None:
        return found
    stripped = [name.strip() for name in names]
    chosen: dict[str, tuple[int, ...]] = {}
    for name in by:
        asked, wanted = ("", name) if name in stripped else told_by(name)
        meant = plain_name(wanted)
        if wanted in stripped or (meant and plain.count(meant) == 1):
            # A column by its own name stands for the key that it tells, if it tells any.
            column = stripped.index(wanted) if wanted in stripped else plain.index(meant)
            key = asked or KEY_OF.get(plain[column], wanted)
            if asked in chosen:
                raise ColumnsError(f"{asked} told by {name!r} and before", "one column for it")
            chosen[wanted if key in chosen else key] = (column,)
        elif (known_key := key_meant(asked or name, found)) is not None:
            chosen[known_key] = found[known_key]
        else:
            listed = ", ".join(dict.fromkeys((*found, *filter(None, stripped))))
            raise ColumnsError(f"no column or key {name!r}", f"one of {shortened(listed)}")
    return chosen
