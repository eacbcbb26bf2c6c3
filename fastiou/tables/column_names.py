"""How columns are named: numbers of boxes, keys, scores, ids.

CSV files with a header, JSON lines, parquet files and data frames name their columns in many ways.
Names are compared by their letters and digits alone, and without a word for a box in front:
"# Frame_ID" is frameid, "bb_left" is left.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any

from fastiou.tables.layouts import LAYOUTS, header_of

__all__ = [
    "ANGLES_OF_BOXES",
    "BESIDE_PREDICTION",
    "BOX_COLUMNS",
    "COCO_KEY",
    "COCO_OTHERS",
    "DOUBTFUL",
    "DOUBTFUL_WORDS",
    "FALLBACKS",
    "HEADERS",
    "ID_NAMES",
    "INDEXES",
    "KEYS",
    "KEY_OF",
    "LAYOUT_NAMES",
    "LISTS",
    "OF_COLUMNS",
    "OTHER_WORDS",
    "POINT",
    "PREDICTION",
    "SCORE_NAMES",
    "SIZES",
    "SYNONYMS",
    "WORD",
    "has_radians",
    "is_in_space",
    "key_meant",
    "key_named",
    "likely_images",
    "perhaps_image",
    "plain_name",
    "told_by",
]

#: Names of an angle, and behind each what may tell its unit: of the layouts that differ by the unit
#: alone, the first has degrees. A name without a unit leaves open which it is.
ANGLES = ("angle", "theta", "rotation", "rot", "yaw", "orientation", "heading")
DEGREES = ("deg", "degree", "degrees", "indegrees")
RADIANS = ("rad", "radian", "radians", "inradians")

#: Names of angles that are no more than those of boxes.
ANGLES_OF_BOXES = {
    name + unit
    for name in ("angle", "theta", "rotation", "rot")
    for unit in ("", *DEGREES, *RADIANS)
}

#: Other names of the numbers of a layout, all of a row together.
SYNONYMS: dict[tuple[str, ...], list[tuple[str, ...]]] = {
    ("x1", "y1", "x2", "y2"): [
        ("xmin", "ymin", "xmax", "ymax"),
        ("minx", "miny", "maxx", "maxy"),
        ("left", "top", "right", "bottom"),
        ("left", "upper", "right", "lower"),
        ("xleft", "ytop", "xright", "ybottom"),
        ("xtl", "ytl", "xbr", "ybr"),
        ("tlx", "tly", "brx", "bry"),
        ("topleftx", "toplefty", "bottomrightx", "bottomrighty"),
        ("startx", "starty", "endx", "endy"),
        ("x0", "y0", "x1", "y1"),
    ],
    ("x", "y", "w", "h"): [
        ("x", "y", "width", "height"),
        ("left", "top", "w", "h"),
        ("left", "top", "width", "height"),
        ("xmin", "ymin", "width", "height"),
        ("xmin", "ymin", "w", "h"),
        ("x1", "y1", "w", "h"),
        ("x1", "y1", "width", "height"),
        ("bx", "by", "width", "height"),  # ImageJ, beside the centre of mass as X, Y
    ],
    ("cx", "cy", "w", "h"): [
        (x, y, *size)
        for x, y in (("cx", "cy"), ("xcenter", "ycenter"), ("centerx", "centery"), ("xc", "yc"))
        for size in (("w", "h"), ("width", "height"))
    ],
    ("x1", "x2"): [
        ("start", "end"),
        ("begin", "end"),
        ("tstart", "tend"),
        ("starttime", "endtime"),
        ("onset", "offset"),
    ],
    ("x", "y", "z", "w", "h", "d"): [
        ("x", "y", "z", "dx", "dy", "dz"),
        ("x", "y", "z", "xsize", "ysize", "zsize"),
    ],
}


def _turned(row: tuple[str, ...], units: Sequence[str]) -> list[tuple[str, ...]]:
    """Names of boxes, and behind them an angle of which the name tells one of some units."""
    names = [angle + unit for angle in (*ANGLES, "") for unit in units if angle + unit]
    return [(*row, name) for name in names]


def is_in_space(fmt: str) -> bool:
    """Whether a layout is of 3-D boxes, whose yaw is in radians."""
    return "z" in fmt


def has_radians(fmt: str) -> bool:
    """Whether the angles of a layout are radians."""
    return "-rad" in fmt or is_in_space(fmt)


def _rows_of(fmt: str) -> list[tuple[str, ...]]:
    """The names that the columns of a layout may have, the usual first."""
    usual = header_of(fmt)
    if usual[-1] != "angle":
        return [usual, *SYNONYMS.get(usual, [])]
    units = ("", *RADIANS) if is_in_space(fmt) else RADIANS if "-rad" in fmt else ("", *DEGREES)
    rows = [usual[:-1], *SYNONYMS.get(usual[:-1], [])]
    return [turned for row in rows for turned in _turned(row, units)]


#: Names of the columns of boxes, and the layout that they mean: of several, the first.
BOX_COLUMNS: dict[tuple[str, ...], str] = {}
for _fmt in LAYOUTS:
    for _row in _rows_of(_fmt):
        BOX_COLUMNS.setdefault(_row, _fmt)

#: The usual names of the columns of each layout.
HEADERS = list(dict.fromkeys(map(header_of, LAYOUTS)))

#: What may stand behind a word for what a class, and an image or a video, is called in a column.
CALLED = ("", "id", "no", "num", "number", "index", "idx", "name", "token", "uid")
FILED = (*CALLED, "path", "file", "filename")


def _called(words: str, endings: Sequence[str]) -> list[str]:
    return [word + ending for word in words.split() for ending in endings]


#: Keys that members are grouped by, and the names of their columns, the usual first. A frame of a
#: sequence is an image: so a CSV file with image_id groups with a MOT file.
KEYS = {
    key: tuple(dict.fromkeys(names))
    for key, names in {
        "video": [
            *_called("video sequence seq clip scene camera cam document doc movie", FILED),
            *_called("recording patient subject scan study series exam accession", FILED),
            "studyinstanceuid", "seriesinstanceuid",
        ],
        "image": [
            "frame", "imageid", "image", "group",
            *_called("frame image img photo picture slice tile sample page group", FILED),
            "filename", "file", "fileid", "filepath", "path", *_called("file im", FILED[1:]),
            "fname", "frames", "images", "files", "sopinstanceuid", "sopuid", "dicomid",
        ],
        "category": [
            "categoryid", "category", "class",
            *_called("class category label cls objectclass", CALLED),
            "labels", "classes", "categories",
        ],
    }.items()
}  # fmt: skip

#: Names that may tell keys: where no column tells one of these, nobody knows what they are.
DOUBTFUL = {
    "name": ("image", "category"),
    **dict.fromkeys(("batch", "batchid", "batchidx", "batchindex", "batchno", "source", "url",
                     "uri", "item", "itemid", "view", "shot", "basename", "t", "zindex", "zslice",
                     "timepoint", "timestep", "stack", "fov", "well", "plate", "case",
                     "caseid", "patch", "patchid", "crop", "cropid", "plane", "section", "fn",
                     "jpg", "png", "ts", "f"),
                    ("image",)),
    **dict.fromkeys(("cat", "catid", "type", "object", "objecttype", "entity", "kind", "tag"),
                    ("category",)),
}  # fmt: skip

#: The same of words in a name, such as source_image, but beside words for what an image, say, has.
DOUBTFUL_WORDS = {
    **dict.fromkeys(("image", "img", "frame", "photo", "picture", "file", "filename", "path",
                     "filepath", "sample", "slide", "slice", "tile", "page", "shot", "view",
                     "batch", "pic"), ("image",)),
    **dict.fromkeys(("video", "clip", "sequence", "seq", "movie", "camera"), ("video",)),
    **dict.fromkeys(("class", "category", "label", "cls", "species"), ("category",)),
}  # fmt: skip
OTHER_WORDS = frozenset({
    "width", "height", "w", "h", "size", "sizes", "shape", "area", "length", "depth", "channels",
    "resolution", "dpi", "ratio", "scale", "rate", "fps", "count", "counts", "num", "total",
    "format", "mode", "ext", "extension", "quality", "score", "scores", "conf", "confidence",
    "prob", "probability", "color", "colour", "weight", "loss", "license", "rotation",
    "orientation", "x", "y",
})  # fmt: skip
WORD = re.compile("[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

#: Names that are likely to tell images where no column does, and so are those that end with a word
#: for an id: of what is in a table besides, but not of who made it, and not of its kind.
LIKELY = frozenset({"key", "media", "asset", "record", "dataset", "session", "hash", "md5", "sha1"})
ID_WORDS = frozenset({"id", "uid", "uuid", "guid"})
NO_IMAGES = frozenset({
    "annotator", "worker", "user", "author", "labeler", "labeller", "model", "run",
    "type", "supercategory", "attribute", "status", "parent",
})  # fmt: skip

#: What columns of frames and of text hold where a value is missing, in lower case.
UNTOLD = frozenset({"", "nan", "none", "null", "na", "n/a", "nat", "<na>"})

#: Names that tell a key where no column of the above does.
FALLBACKS = {"image": ("timestamp", "timestampms", "timestampns", "time")}

#: Names of columns that tell width and height of the image, unless boxes are told by them.
SIZES = (
    ("width", "height"), ("imagewidth", "imageheight"), ("imgwidth", "imgheight"),
    ("imagew", "imageh"), ("imgw", "imgh"), ("imwidth", "imheight"),
)  # fmt: skip

#: Names of the column that tells how sure a box is; the first that is there counts.
SCORE_NAMES = (
    "score", "confidence", "conf", "scores", "probability", "prob",
    *(f"{word}{name}" for word in ("pred", "predicted", "prediction", "det", "detection", "box",
                                   "bbox", "confidence")
      for name in ("score", "confidence", "conf", "prob")),
    "objectness", *(f"{word}{name}" for word in ("objectness", "object", "obj")
                    for name in ("score", "confidence", "conf", "prob")),
)  # fmt: skip

#: Names of the numbers of rows, by letters and digits: none, and those that pandas has.
INDEXES = ("", "index", "idx", "indexlevel0", "level0", "level1", "unnamed0")

#: Names of the column that tells what a file calls each member.
ID_NAMES = (
    "id", "annotationid", "annid", "objectid", "trackid", "track", "trackerid", "instanceid",
)  # fmt: skip

#: Words for a box that stand before the name of a number.
BOX_WORDS = re.compile(r"^(bbox|box|bb|rect|roi)(?=.)")

#: The unit behind the name of a number.
PIXELS = re.compile("(?<=.)(px|pix|pixels?)$")

#: The coordinate of a point of several.
POINT = re.compile("[xy]([0-9])")

#: Names of a column that tells the layout of boxes.
LAYOUT_NAMES = ("boxformat", "bboxformat", "boxmode", "bboxmode", "boxtype", "bboxtype")

#: Names of a column with all numbers of a box, and the names beside it in entries of COCO.
LISTS = ("bbox", "box", "boundingbox", "boxes", "bboxes")
COCO_KEY, COCO_OTHERS = "imageid", {"categoryid", "iscrowd", "segmentation"}

#: What predictions of Roboflow have, whose x and y are those of the centre, and may have besides.
PREDICTION = {"x", "y", "width", "height", "confidence", "class"}
BESIDE_PREDICTION = {"classid", "detectionid", "", *KEYS["image"]}

#: Of the names of keys those of things of their own, which no other name stands for.
APART = re.compile(
    "scene|cam|doc|photo|picture|slice|tile|sample|page|time|movie|recording|patient|subject|scan|"
    "study|series|sop"
)

_NUMBERS = {name for names in BOX_COLUMNS for name in names}
OF_COLUMNS = {*_NUMBERS, *SCORE_NAMES, *ID_NAMES, *LISTS, *LAYOUT_NAMES}
KEY_OF = {name: key for kinds in (KEYS, FALLBACKS) for key in kinds for name in kinds[key]}


def plain_name(name: str) -> str:
    """A name by its letters and digits.

    The number of a box is so called without a word for a box in front, and pixels behind.
    """
    plain = "".join(filter(str.isalnum, name.lower()))
    without = PIXELS.sub("", BOX_WORDS.sub("", plain))
    return without if without in _NUMBERS else plain


def key_named(name: str) -> str | None:
    """The key that a column of this name tells, None if it tells none."""
    return KEY_OF.get(plain_name(name))


def likely_images(
    names: Sequence[str], keys: Container[str], some: Callable[[str], Iterable[Any]]
) -> tuple[str, ...]:
    """Those columns, of some that are not used, that are likely to tell the image.

    None where one of the keys tells the image or the video, and none that is the same everywhere or
    nowhere, as ids of boxes are. `some` gives values of a column.
    """
    if "image" in keys or "video" in keys:
        return ()
    return tuple(name for name in names if _is_likely(name) and _tells_some(some(name)))


def _is_likely(name: str) -> bool:
    words = [word.lower() for word in WORD.findall(name)]
    is_id = bool(words) and words[-1] in ID_WORDS and NO_IMAGES.isdisjoint(words)
    # Ids that come again are refused before.
    return (is_id and plain_name(name) not in ID_NAMES) or plain_name(name) in LIKELY


def _tells_some(values: Iterable[Any]) -> bool:
    """Whether there are several values, and some of them come again."""
    told = [text for text in map(str, values) if text.lower() not in UNTOLD]
    return 1 < len({*told}) < len(told)


def perhaps_image(likely: Sequence[str], keys: Sequence[str]) -> tuple[str, str]:
    """What is said of columns that are likely to tell the image, and what takes the first for it.

    `keys` are those that other columns tell.
    """
    found = f"nothing tells the image but perhaps {' or '.join(likely[:3])}, not used"
    return found, ",".join((f"image={likely[0]}", *keys))


def told_by(name: str) -> tuple[str, str]:
    """The key and the column that "image=source" names; no key, and the name, if it is no such."""
    key, _, column = map(str.strip, name.partition("="))
    return (key, column) if key in KEYS and column else ("", name)


def key_meant(name: str, known: Container[str]) -> str | None:
    """The key among those known that a name stands for, itself or one such as "class"."""
    if name in known:
        return name
    meant = plain_name(name)
    key = KEY_OF.get(meant)
    return key if key in known and not APART.match(meant) else None
