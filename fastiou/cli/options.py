"""What `fastiou match` and `fastiou nms` can be asked for, and what is checked of it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fastiou.formats.coco import SKIPPABLE
from fastiou.formats.content import MemberFile, Wanted
from fastiou.formats.errors import FileError, RefusedError, shortened
from fastiou.formats.table import SCALED
from fastiou.tables.columns import names_of_keys

__all__ = [
    "METRIC_NAMES",
    "USUAL_LAYOUT",
    "MatchOptions",
    "NmsOptions",
    "Options",
    "by_option",
    "check_no_input",
    "check_scaled",
    "check_skips",
    "check_threshold",
    "file_type",
    "image_size_option",
    "skip_invalid_option",
]

#: As in `fastiou.metrics`, which takes long to import: a test holds them together.
METRIC_NAMES = ("iou", "giou", "diou", "ciou", "iof", "ios", "dice", "intersection", "probiou")


#: The layout of boxes where neither a file nor an option tells it.
USUAL_LAYOUT = "xyxy"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What both commands are asked for; each attribute is the option of that name."""

    threshold: float = 0.5
    metric: str = "iou"
    method: str = ""
    boxes: str | None = None
    by: tuple[str, ...] | None = None
    skip_invalid: bool = False
    image_size: tuple[int, int] | None = None
    out: Path | None = None
    quiet: bool = False
    progress: bool | None = None

    def wanted(self, **more: Any) -> Wanted:
        """What to read of a file."""
        return Wanted(
            self.boxes or USUAL_LAYOUT, told=self.boxes is not None, by=self.by,
            skip_invalid=self.skip_invalid, image_size=self.image_size,
            **{"sizes": self.image_size is not None, **more},
        )  # fmt: skip

    @property
    def shows_progress(self) -> bool | None:
        """Whether to show progress; None shows it on a terminal."""
        return False if self.quiet else self.progress


@dataclass(frozen=True, kw_only=True)
class MatchOptions(Options):
    """What `fastiou match` is asked for."""

    method: str = "pairs"
    top: int = 1
    geometry: str = "auto"
    format_a: str | None = None
    format_b: str | None = None
    boxes_a: str | None = None
    boxes_b: str | None = None
    plot: Path | None = None

    def layouts(self) -> tuple[str | None, str | None]:
        """The layouts that were asked for of A and of B."""
        return self.boxes_a or self.boxes, self.boxes_b or self.boxes

    def wanted_of_each(self, **more: Any) -> tuple[Wanted, Wanted]:
        """What to read of A and of B."""
        a, b = (replace(self, boxes=layout).wanted(**more) for layout in self.layouts())
        return a, b


@dataclass(frozen=True, kw_only=True)
class NmsOptions(Options):
    """What `fastiou nms` is asked for."""

    method: str = "hard"
    sigma: float = 0.5
    score_threshold: float | None = None
    max_output: int | None = None
    max_total: int | None = None
    geometry: str = "box"
    format: str | None = None


def check_threshold(options: Options, *, zero: bool) -> None:
    """Raise a RefusedError unless values of the metric can reach the threshold."""
    from fastiou.arrays.checks import threshold_number
    from fastiou.metrics import METRICS

    try:
        threshold_number(options.threshold, METRICS[options.metric].maximum, zero=zero)
    except ValueError as error:
        raise RefusedError(str(error)) from error


def check_skips(skip_invalid: bool, *formats: str) -> None:
    """Raise a RefusedError if annotations are to be left out of files that have none."""
    if skip_invalid and {*SKIPPABLE, "empty"}.isdisjoint(formats):
        raise RefusedError(
            f"--skip-invalid leaves out annotations of {', '.join(SKIPPABLE)}, not what is in "
            f"files of the format {' or '.join(dict.fromkeys(formats))}"
        )


def check_scaled(image_size: tuple[int, int] | None, *files: MemberFile) -> None:
    """Raise a RefusedError if a size of images is told and no file needs it, or one has others."""
    if image_size is None:
        return
    width, height = image_size
    for file in files:
        for image, size in getattr(file, "sizes", {}).items():
            if file.format not in SCALED and size and all(size) and size != (height, width):
                raise RefusedError(
                    f"--image-size is the size of all images, {width} × {height}, and "
                    f"{file.path.name} tells {size[1]} × {size[0]} of {image or 'its image'}: "
                    "fastiou convert --to yolo makes it normalized, too, and no size is needed then"
                )
    formats = [file.format for file in files]
    if {*SCALED}.isdisjoint(formats):
        raise RefusedError(
            f"--image-size is for files of {' or '.join(SCALED)}, not of the format "
            f"{' or '.join(dict.fromkeys(formats))}: fastiou convert makes pixels of others"
        )


def check_no_input(written: Path | None, *inputs: Path) -> None:
    """Raise a FileError if what is to be written is to be read, or a folder within such a one."""
    # Not by `Path.resolve`, which raises a RuntimeError for a loop of links.
    real = os.path.realpath
    if written is None:
        return
    if real(written) in [real(path) for path in inputs]:
        raise FileError(written, "this is an input, and would be overwritten")
    for path in inputs:
        if not written.suffix and path.is_dir() and real(written).startswith(real(path) + os.sep):
            raise FileError(written, f"this is within the input {path}", "another folder")


def _size_in(context: Any, parameter: Any, value: str | None) -> tuple[int, int] | None:
    """Width and height, as `--image-size` has them."""
    if value is None:
        return None
    found = re.fullmatch(r"\s*([1-9]\d{0,8})\s*[,x×]\s*([1-9]\d{0,8})\s*", value)
    if found is None:
        raise RefusedError(f"--image-size must be WIDTH,HEIGHT in pixels, got {shortened(value)!r}")
    return int(found[1]), int(found[2])


def _keys_in(context: Any, parameter: Any, values: Sequence[str]) -> tuple[str, ...] | None:
    """The names that `--by` has, once or several times."""
    return names_of_keys("--by", ",".join(values) if values else None)


def by_option(
    words: str = "What must be equal to be compared", default: str = "all that both files tell"
) -> Callable[[Any], Any]:
    """The option `--by`, names of keys or None."""
    import click

    return click.option(
        "--by", callback=_keys_in, multiple=True, metavar="KEYS",
        help=f"{words}: image, category, video, or columns of a table, with commas between them; "
        "or none. image=COLUMN tells the image by any column, and category= and video= likewise.  "
        f"[default: {default}]",
    )  # fmt: skip


def skip_invalid_option(formats: Sequence[str] = SKIPPABLE) -> Callable[[Any], Any]:
    """The flag `--skip-invalid`, for annotations of some formats."""
    import click

    return click.option(
        "--skip-invalid",
        is_flag=True,
        help=f"Leave out annotations that are invalid, and say which: of {', '.join(formats)}.",
    )


def image_size_option(words: str) -> Callable[[Any], Any]:
    """The option `--image-size`, width and height or None."""
    import click

    return click.option("--image-size", callback=_size_in, metavar="WIDTH,HEIGHT", help=words)


def file_type() -> Any:
    """The type of arguments and options that name a file or a folder: no empty text."""
    import click

    class File(click.Path):
        def convert(self, value: Any, param: Any, ctx: Any) -> Any:
            if value == "":  # which would be the current folder
                raise RefusedError(f"{param.human_readable_name} must name a file or a folder")
            return super().convert(value, param, ctx)

    return File(path_type=Path)
