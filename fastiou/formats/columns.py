"""What the columns of a table mean by their names: boxes, keys, scores.

CSV files with a header, JSON lines, parquet files and data frames name their columns in many ways.
Names are compared by their letters and digits alone, and without a word for a box in front:
"# Frame_ID" is frameid, "bb_left" is left.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fastiou.formats.errors import shortened
from fastiou.tables.layouts import LAYOUTS, header_of

__all__ = ["BOX_COLUMNS", "HEADERS", "KEYS", "SCORE_NAMES", "ColumnsError", "Meaning", "meaning_of"]

#: Other names of the numbers of a layout, all of a row together.
SYNONYMS: dict[tuple[str, ...], list[tuple[str, ...]]] = {
    ("x1", "y1", "x2", "y2"): [
        ("xmin", "ymin", "xmax", "ymax"),
        ("minx", "miny", "maxx", "maxy"),
        ("left", "top", "right", "bottom"),
        ("x0", "y0", "x1", "y1"),
    ],
    ("x", "y", "w", "h"): [
        ("x", "y", "width", "height"),
        ("left", "top", "w", "h"),
        ("left", "top", "width", "height"),
        ("xmin", "ymin", "width", "height"),
        ("xmin", "ymin", "w", "h"),
    ],
    ("cx", "cy", "w", "h"): [
        (x, y, *size)
        for x, y in (("cx", "cy"), ("xcenter", "ycenter"), ("centerx", "centery"), ("xc", "yc"))
        for size in (("w", "h"), ("width", "height"))
    ],
    ("cx", "cy", "w", "h", "angle"): [
        (x, y, *size, angle)
        for x, y in (("cx", "cy"), ("xcenter", "ycenter"), ("centerx", "centery"))
        for size in (("w", "h"), ("width", "height"))
        for angle in ("angle", "theta", "rotation")
    ],
}

#: Names of the columns of boxes, and the layout that they mean: of several, the first.
BOX_COLUMNS: dict[tuple[str, ...], str] = {}
for _fmt in LAYOUTS:
    _names = header_of(_fmt)
    for _row in [_names, *SYNONYMS.get(_names, [])]:
        BOX_COLUMNS.setdefault(_row, _fmt)

#: The usual names of the columns of each layout.
HEADERS = list(dict.fromkeys(map(header_of, LAYOUTS)))

#: Keys that members are grouped by, and the names of their columns, the usual first. A frame of a
#: sequence is an image: so a CSV file with image_id groups with a MOT file.
KEYS = {
    "video": ("video", "videoid", "videoname", "sequence", "sequenceid", "sequencename", "seq",
              "seqid", "clip", "clipid"),
    "image": ("frame", "imageid", "image", "group", "frameid", "frameno", "framenumber", "img",
              "imgid", "imagename", "imgname", "imagefile", "imagepath", "filename", "file",
              "fileid", "filepath", "path"),
    "category": ("categoryid", "category", "class", "classid", "cls", "categoryname", "classname",
                 "label", "labelid", "labelname"),
}  # fmt: skip

#: Names of the column that tells how sure a box is; the first that is there counts.
SCORE_NAMES = ("score", "confidence", "conf", "scores", "probability", "prob")

#: Names of the column that tells what a file calls each member.
ID_NAMES = ("id", "annotationid", "annid", "objectid", "trackid", "track", "instanceid")

#: Words for a box that stand before the name of a number.
BOX_WORDS = re.compile(r"^(bbox|box|bb|rect|roi)(?=.)")

_NUMBERS = {name for names in BOX_COLUMNS for name in names}
_KEY_OF = {name: key for key, names in KEYS.items() for name in names}


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
    """

    fmt: str
    box: tuple[int, ...]
    keys: dict[str, tuple[int, ...]]
    score: int | None
    unused: tuple[str, ...]
    id: int | None = None


def _plain(name: str) -> str:
    """A name by its letters and digits."""
    plain = "".join(filter(str.isalnum, name.lower()))
    without = BOX_WORDS.sub("", plain)
    return without if without in _NUMBERS else plain


def meaning_of(
    names: Sequence[str], fmt: str, by: Sequence[str] | None = None, *, scored: bool = False
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

    Raises
    ------
    ColumnsError
        They name no boxes, boxes of several layouts, or no scores; or `by` is not there.
    """
    plain = [_plain(name) for name in names]
    listed = shortened(",".join(names))
    fits = [row for row in BOX_COLUMNS if set(row) <= set(plain)]
    # Of cx,cy,w,h and the same with an angle those with more; xmin,ymin,xmax,ymax before
    # xmin,ymin,width,height, which may be the size of the image.
    chosen = [row for row in fits if not any(set(row) < set(other) for other in fits)]
    corners = [row for row in chosen if BOX_COLUMNS[row] == "xyxy"]
    starts = {row[:2] for row in corners}
    chosen = [row for row in chosen if row in corners or row[:2] not in starts]
    score_name = next((name for name in SCORE_NAMES if name in plain), None)
    used_names = {name for row in chosen for name in row} | set(_KEY_OF)
    if scored and score_name is not None:
        used_names.add(score_name)
    twice = sorted({name for name in plain if plain.count(name) > 1 and name in used_names})
    if twice:
        raise ColumnsError(f"columns {', '.join(twice)} come twice", "one set of boxes")
    if len(chosen) > 1:
        found = " and ".join(",".join(row) for row in chosen)
        raise ColumnsError(f"columns of several layouts ({found})", "one set of boxes")
    if not chosen:
        known = " or ".join(map(",".join, HEADERS))
        raise ColumnsError(
            f"the first line {listed!r} names no boxes", f"columns {known}, or rows of numbers"
        )
    if scored and score_name is None:
        expected = f"a column {' or '.join(SCORE_NAMES[:3])}"
        raise ColumnsError(f"the first line {listed!r} names no scores", expected)
    (row,) = chosen
    box = tuple(map(plain.index, row))
    score = None if score_name is None else plain.index(score_name)
    keys = _keys(names, plain, by)
    name = next((name for name in ID_NAMES if name in plain), None)
    id_ = None if name is None else plain.index(name)
    used = {*box, score, id_, *(column for columns in keys.values() for column in columns)}
    unused = tuple(
        name.strip() for column, name in enumerate(names) if column not in used and plain[column]
    )
    # Layouts that differ by the angle alone have the same names: then it is the one asked for.
    same = header_of(fmt) == header_of(BOX_COLUMNS[row])
    return Meaning(fmt if same else BOX_COLUMNS[row], box, keys, score, unused, id_)


def _keys(
    names: Sequence[str], plain: list[str], by: Sequence[str] | None
) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for key, known in KEYS.items():
        columns = tuple(plain.index(name) for name in known if name in plain)
        if columns:
            found[key] = columns
    if by is None:
        return found
    stripped = [name.strip() for name in names]
    chosen: dict[str, tuple[int, ...]] = {}
    for name in by:
        if name in stripped:
            # A column by its own name stands for the key that it tells, if it tells any.
            column = stripped.index(name)
            chosen[_KEY_OF.get(plain[column], name)] = (column,)
        elif name in found:
            chosen[name] = found[name]
        else:
            # A name within quotes may span lines.
            listed = " ".join(", ".join(dict.fromkeys((*found, *filter(None, stripped)))).split())
            raise ColumnsError(f"no column or key {name!r}", f"one of {shortened(listed)}")
    return chosen
