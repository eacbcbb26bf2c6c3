"""The command `fastiou`: its options and its subcommands."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import fastiou
from fastiou.cli.convert import ConvertOptions, convert_file
from fastiou.cli.demo import show_scene
from fastiou.cli.ending import exit_codes, heeding_signals, printed
from fastiou.cli.evaluate.commands import add_evaluation
from fastiou.cli.match import KINDS, PLOTS, match_files
from fastiou.cli.members import MEMBERS
from fastiou.cli.methods import METHODS
from fastiou.cli.nms import AS_IT_IS, SUPPRESSIONS, nms_file
from fastiou.cli.options import (
    METRIC_NAMES,
    USUAL_LAYOUT,
    MatchOptions,
    NmsOptions,
    by_option,
    file_type,
    image_size_option,
    skip_invalid_option,
)
from fastiou.cli.outputs import OUTPUTS
from fastiou.cli.summary import show_facts
from fastiou.cli.warmup import compile_kernels
from fastiou.formats.errors import RefusedError, import_extra
from fastiou.formats.table import FORMATS, formats_of
from fastiou.formats.written.targets import TARGETS
from fastiou.tables.layouts import LAYOUTS

if TYPE_CHECKING:
    import click

__all__ = ["commands", "main"]

Function = TypeVar("Function", bound=Callable[..., Any])


def _lists_formats(*, scored: bool) -> Callable[[Function], Function]:
    """Put the table of formats into the help of a command, in place of the word FORMATS."""
    lines = []
    width = max(len(row.title) for row in FORMATS.values())
    for row in FORMATS.values():
        first, *more = (row.scored_words if scored else row.words).split("\n")
        if first:
            rest = (f"  {'':{width}} {line}" for line in more)
            lines += [f"  {row.title:<{width}} {first}", *rest]

    def put(function: Function) -> Function:
        words = inspect.cleandoc(function.__doc__ or "")
        function.__doc__ = words.replace("  FORMATS", "\n".join(lines))
        return function

    return put


def _names_in(context: Any, parameter: Any, values: Sequence[str]) -> tuple[str, ...]:
    """The names that `--drop` has, once or several times."""
    names = (name.strip() for name in ",".join(values).split(","))
    return tuple(dict.fromkeys(filter(None, names)))


def commands() -> click.Group:
    """Build the commands.

    Returns
    -------
    click.Group
        The command `fastiou` with its subcommands.

    Raises
    ------
    ImportError
        click or rich are not installed.
    """
    for module in ("click", "rich"):
        import_extra(module, "cli", "the command")
    import click

    class Command(click.Command):
        def make_context(self, *arguments: Any, **others: Any) -> click.Context:
            with printed():  # which help is, meanwhile
                return super().make_context(*arguments, **others)

        def invoke(self, context: click.Context) -> Any:
            _check_numba()
            if self.name != "info":  # which tells it
                _check_threading_layer()
            return super().invoke(context)

    class Commands(click.Group):
        command_class = Command

        def invoke(self, context: click.Context) -> Any:
            with exit_codes():
                return super().invoke(context)

    file = file_type()
    formats = click.Choice(list(FORMATS))

    def threshold(words: str) -> Callable[[Any], Any]:
        return click.option("--threshold", type=float, default=0.5, show_default=True, help=words)

    def method(names: Sequence[str], words: str) -> Callable[[Any], Any]:
        return click.option(
            "--method", type=click.Choice(names), default=names[0], show_default=True, help=words
        )

    def geometry(names: Sequence[str], words: str) -> Callable[[Any], Any]:
        return click.option(
            "--geometry", type=click.Choice(names), default=names[0], show_default=True, help=words
        )

    metric = click.option(
        "--metric", type=click.Choice(METRIC_NAMES), default="iou", show_default=True
    )
    boxes = click.option(
        "--boxes",
        type=click.Choice(list(LAYOUTS)),
        help="Layout where a file does not tell: .npy, .npz without fmt, .csv without header. "
        f" [default: {USUAL_LAYOUT}]",
    )

    compared = by_option()
    no_groups = click.option("--no-groups", is_flag=True, help="The same as --by none.")
    skip_invalid = skip_invalid_option()
    image_size = image_size_option(
        "Size of all images, by which the numbers of yolo, yolo-seg and yolo-obb become pixels; "
        "needed for masks of yolo-seg."
    )
    quiet = click.option(
        "--quiet", is_flag=True, help="Print errors and notes alone, such as what was not used."
    )
    progress = click.option(
        "--progress/--no-progress",
        default=None,
        help="Show progress, or not.  [default: if standard error is a terminal]",
    )

    @click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
    @click.version_option(fastiou.__version__, prog_name="fastiou")
    def group() -> None:
        """Find which boxes, masks or labels of files overlap, match, or suppress each other.

        \b
        Examples:
          fastiou demo
          fastiou match truth.txt.gz detections.txt.gz --out pairs.npz
          fastiou nms detections.txt.gz --out kept.npz
          fastiou match --help
        """  # noqa: D301

    @group.command()
    @_lists_formats(scored=False)
    @click.argument("a", type=file)
    @click.argument("b", type=file, required=False)
    @threshold("Smallest value of a pair; greater than 0, or from 0 on with topk.")
    @metric
    @method(list(METHODS), "What to find; see above.")
    @click.option(
        "-k", "--top", type=click.IntRange(1), help="How many topk keeps of each.  [default: 1]"
    )
    @geometry(
        ["auto", *KINDS],
        "What to compare. By content, label images are told from boxes; masks must be named.",
    )
    @click.option(
        "--format", "format_", type=formats, help="Format of both files.  [default: by content]"
    )
    @click.option("--format-a", type=formats, help="Format of A.")
    @click.option("--format-b", type=formats, help="Format of B.")
    @boxes
    @click.option("--boxes-a", type=click.Choice(list(LAYOUTS)), help="Layout of A.")
    @click.option("--boxes-b", type=click.Choice(list(LAYOUTS)), help="Layout of B.")
    @compared
    @no_groups
    @skip_invalid
    @image_size
    @click.option("--out", type=file, help=f"Write what is found: {', '.join(OUTPUTS)}.")
    @click.option("--plot", type=file, help=f"Draw a histogram: {', '.join(PLOTS)}.")
    @quiet
    @progress
    def match(
        a: Path,
        b: Path | None,
        top: int | None,
        format_: str | None,
        format_a: str | None,
        format_b: str | None,
        by: tuple[str, ...] | None,
        no_groups: bool,
        **others: Any,
    ) -> None:
        """Find the boxes, masks or labels in files A and B that overlap enough, or match.

        Without B, find the pairs within A, each once: near-duplicates, say.

        \b
        Methods:
          pairs    all pairs; a box may be in several
          greedy   matches, each box in at most one: the best pair first, then
                   the best of what is left
          optimal  matches with the highest sum of values
          most     as many matches as there can be, then the highest sum
          coco     matches by the rule of COCO's evaluation: A are detections with
                   scores, the best first, and B is the truth, in which iscrowd
                   tells crowds
          topk     the best -k in B of each in A

        Only boxes of the same image, frame or video (and category) are compared if both files tell
        them: numbers or names. Where one file alone tells them, --by none compares all with all.
        All rows take part: save with coco, crowds are boxes like others, as are rows marked to be
        ignored.

        Rows, cols and values are written, rows and cols being positions in A and B from 0 on,
        sorted by row and then col; by topk, by row and then from the best on. Behind them stand the
        keys, such as image and category, and id_a and id_b where the files tell ids. With greedy,
        optimal, most and coco, .npz has unmatched_rows and unmatched_cols besides; .csv and
        .parquet leave what is unmatched out.

        With greedy, optimal, most and coco the summary shows precision, recall and F1, over all
        images: A is the truth and B the prediction, by coco the other way round, and there without
        crowds.

        Masks (--geometry mask) are the polygons and run lengths of COCO files, or outlines of
        labelme or YOLO, one image a file. Only those of the
        same image are compared, whose size is that of the run lengths or stands in either file.

        Of label images each pixel holds the number of its object, 0 for none. Rows and cols of the
        result are labels, and frames tells the image in A, counted from 0. With greedy, optimal
        and most the labels of each image are matched one to one; .npz then has unmatched_row_frames
        and unmatched_col_frames, too. Labels have no scores, and so no coco. Images in folders are
        compared by name. PNG of colours, as of COCO's panoptic segmentation, are read with
        --format panoptic. Metrics of masks and labels: iou, iof, ios, dice, intersection.

        \b
        Files, also compressed by gzip, told apart by content:
          FORMATS

        \b
        Examples:
          fastiou match gt.txt.gz tracks.txt.gz --threshold 0.5 --out pairs.npz
          fastiou match instances.json results.json --metric giou --plot giou.png
          fastiou match instances.json results.json --geometry mask --out pairs.csv
          fastiou match results.json instances.json --method coco --out matches.npz
          fastiou match tracks.txt gt.txt --method topk -k 3 --threshold 0.1
          fastiou match truth/ found/ --metric dice --out pairs.npz
          fastiou match truth/ found/ --format panoptic
          fastiou match boxes.csv --threshold 0.9 --out pairs.csv
          fastiou match truth.png found.png --method greedy
          fastiou match a.npy b.npy --boxes xywh --no-groups --out pairs.parquet
        """  # noqa: D301
        if top is not None and others["method"] != "topk":
            raise RefusedError(f"--top is for --method topk, not for {others['method']}")
        for name, value in (("--format-b", format_b), ("--boxes-b", others["boxes_b"])):
            if b is None and value is not None:
                raise RefusedError(f"{name} is for a second file, and there is none")
        options = MatchOptions(
            top=1 if top is None else top,
            format_a=format_a or format_,
            format_b=format_b or format_,
            by=_keys_asked(by, no_groups),
            **others,
        )
        match_files(a, b, options)

    @group.command()
    @_lists_formats(scored=True)
    @click.argument("file", metavar="F", type=file)
    @threshold("What overlaps something better by more than this is suppressed; from 0 on.")
    @metric
    @method(list(SUPPRESSIONS), "How to suppress; see above.")
    @click.option(
        "--sigma",
        type=click.FloatRange(0, min_open=True),
        help="How slowly gaussian lowers scores.  [default: 0.5]",
    )
    @click.option(
        "--score-threshold",
        type=float,
        help="Leave out what scores less than this, before or after scores are lowered.  "
        "[default: nothing]",
    )
    @click.option(
        "--max-output", type=click.IntRange(0), help="Keep at most so many of each group."
    )
    @click.option(
        "--max-total", type=click.IntRange(0), help="Keep at most so many of all groups together."
    )
    @geometry(list(MEMBERS), "What to compare.")
    @click.option(
        "--format",
        type=click.Choice(formats_of("box")),
        help="Format of the file.  [default: by content]",
    )
    @boxes
    @compared
    @no_groups
    @skip_invalid
    @image_size
    @click.option(
        "--out",
        type=file,
        help=f"Write what is kept: {', '.join((*OUTPUTS, *AS_IT_IS))}.",
    )
    @quiet
    @progress
    def nms(
        file: Path,
        by: tuple[str, ...] | None,
        no_groups: bool,
        sigma: float | None,
        **others: Any,
    ) -> None:
        """Keep the best of the boxes or masks in file F that overlap (non-maximum suppression).

        \b
        Methods:
          hard      from the best on, each suppresses what overlaps it by more
                    than the threshold
          linear    what overlaps by more than the threshold is not suppressed: its
                    score is multiplied by 1 - value, and so it comes later
          gaussian  the same for whatever overlaps, by exp(-value² / sigma)

        Only boxes of the same frame or image (and category) suppress each other, if the file tells
        them. Masks (--geometry mask) are the polygons and run lengths of COCO files, and only those
        of the same image are compared.

        Boxes are not written, but columns kept, positions in F from 0 on, the best first, and
        scores, with linear and gaussian the lowered ones. Behind them stand the keys, such as image
        and category, and id where the file tells ids. To .json the kept entries of COCO's results
        are written as they are, in the order of F, and to .txt the kept rows of text, CSV too.
        Positions in a folder are those among all of its boxes, file by file in the order of their
        names; to a name without an ending the files are written with the kept rows alone.

        \b
        Files, also compressed by gzip, told apart by content:
          FORMATS

        \b
        Examples:
          fastiou nms detections.txt.gz --threshold 0.7 --out kept.npz
          fastiou nms results.json --out thinned.json
          fastiou nms detections.csv --by image --out thinned.txt
          fastiou nms results.json --geometry mask --out kept.csv
          fastiou nms results.json --method gaussian --score-threshold 0.01
        """  # noqa: D301
        if sigma is not None:
            if others["method"] != "gaussian":
                raise RefusedError(f"--sigma is for --method gaussian, not for {others['method']}")
            others["sigma"] = sigma
        nms_file(file, NmsOptions(by=_keys_asked(by, no_groups), **others))

    @group.command()
    @click.argument("file", metavar="IN", type=file)
    @click.argument("out", type=file)
    @click.option(
        "--to", type=click.Choice(list(TARGETS)), help="Format of OUT.  [default: by its ending]"
    )
    @click.option(
        "--format",
        type=formats,
        help="Format of IN.  [default: by content]",
    )
    @geometry(["box", "mask"], "What to convert; yolo-seg and label images are of masks.")
    @boxes
    @by_option("Keys to write", "all")
    @click.option(
        "--drop",
        callback=_names_in,
        multiple=True,
        metavar="NAMES",
        help="Columns to leave out, with commas between: keys, score, id, iscrowd, difficult.",
    )
    @image_size_option(
        "Size of all images in pixels, or of those of which the file does not tell it."
    )
    @skip_invalid
    @quiet
    @progress
    def convert(file: Path, out: Path, **others: Any) -> None:
        """Write the boxes of file IN, or of a folder of files, as OUT, in another format.

        Scores, keys and ids go with them. What OUT has no place for is refused by name, unless
        --drop leaves it out. Columns that mean nothing to fastiou are left out, and named. OUT
        takes its place only when it is complete.

        \b
        Formats of OUT:
          .csv .jsonl .parquet .arrow .feather
                                all columns; any layout of boxes
          .npz                  boxes, fmt, scores; groups, where images are numbers
          .npy                  corners, and scores last
          .json                 COCO: results where there are scores, else annotations
          --to mot              frame, id, x, y, w, h, conf, which is 1 without scores
          --to visdrone-vid     the same with a class from 0 to 11
          --to kitti-tracking   frame, id, type, box, score
          --to retinanet        path, x1, y1, x2, y2, class, score
          --to yolo             a folder of labels, and classes.txt for names
          --to yolo-obb         the same with corners, which --format yolo-obb reads
          --to yolo-seg         the same with outlines, of masks
          --to voc, labelme, kitti, visdrone, dota
                                a folder with a file for each image
          --to dota-results     a folder with a file for each class
          .png .tif             a label image of masks; --to labels a folder of them
          --to panoptic         the same with colours for labels, as of COCO

        Boxes of yolo are parts of the image: its size makes them of pixels, and pixels of them.
        COCO's annotations, VOC and labelme tell the sizes of images, and --image-size tells one for
        all. Where COCO's lists tell names of images and categories, the files of yolo have the
        names of images, and its classes are places in classes.txt, in the order of category_id.
        Masks go to yolo-seg, label images and, with --geometry mask, to labelme and COCO. Label
        images become masks in COCO, and elsewhere bounds of their labels, which are the ids.

        \b
        Examples:
          fastiou convert results.json results.csv
          fastiou convert annotations/ truth.json
          fastiou convert cells/ truth.json
          fastiou convert instances.json labels --to yolo
          fastiou convert instances.json labels --to yolo-seg --drop id,iscrowd
          fastiou convert labels truth.parquet --image-size 1920,1080
          fastiou convert detections.csv detections.txt --to mot --drop category
        """  # noqa: D301
        convert_file(file, out, ConvertOptions(**others))

    @group.command()
    @click.option(
        "--frames",
        type=click.IntRange(1),
        default=3000,
        show_default=True,
        help="Length of the sequence.",
    )
    @click.option(
        "--seed",
        type=click.IntRange(0),
        default=0,
        show_default=True,
        help="Equal seeds make equal scenes.",
    )
    @click.option("--keep", type=file, help="Folder to keep the two files in.")
    @threshold("Smallest value of a pair; greater than 0.")
    @quiet
    @progress
    def demo(frames: int, seed: int, keep: Path | None, **others: Any) -> None:
        """Make up a scene of a street camera, and match detections with truth.

        People walk through the picture; a detector misses some, is not quite exact, sees some
        twice and others where nobody is. Both go into files that `fastiou match` reads.

        \b
        Example:
          fastiou demo --frames 10000 --keep scene
        """  # noqa: D301
        show_scene(frames, seed, keep, MatchOptions(**others))

    @group.command()
    def info() -> None:
        """Show versions, threads, GPU and the folder of compiled kernels.

        \b
        Example:
          fastiou info
        """  # noqa: D301
        from fastiou.config import configuration

        show_facts("fastiou info", configuration())

    @group.command()
    @quiet
    @progress
    def warmup(quiet: bool, progress: bool | None) -> None:
        """Compile the common kernels now, so that later calls start at once.

        It takes about a minute where nothing is compiled yet, on all cores. Common are box_iou by
        iou and giou; pairs, topk, match and nms by iou, in float32 and float64; and mask_iou. Other
        metrics and geometries, label images and kernels for GPUs are compiled when first used.

        \b
        Example:
          fastiou warmup
        """  # noqa: D301
        compile_kernels(quiet, progress)

    add_evaluation(group)
    return group


def _keys_asked(by: tuple[str, ...] | None, no_groups: bool) -> tuple[str, ...] | None:
    """The keys by `--by` or `--no-groups`."""
    if no_groups and by:
        raise RefusedError(f"--no-groups is --by none, and --by {','.join(by)} was given, too")
    return () if no_groups else by


def _check_numba() -> None:
    """Raise a RefusedError where Numba is told what it cannot do, or fastiou cannot with it."""
    count = os.environ.get("NUMBA_NUM_THREADS", "").strip()
    if count.removeprefix("-").isdecimal() and int(count) < 1:
        raise RefusedError(f"NUMBA_NUM_THREADS must be 1 or more, got {count}")
    if os.environ.get("NUMBA_DISABLE_JIT", "0").strip() not in ("", "0"):
        raise RefusedError("NUMBA_DISABLE_JIT must not be set: nothing runs that is not compiled")


def _check_threading_layer() -> None:
    """Raise a LayerError at once where the user has chosen threads that cannot be had."""
    # Else it would show only where there is work enough for threads. Numba takes long to import.
    if os.environ.get("NUMBA_THREADING_LAYER"):
        from fastiou.runtime import threads

        threads.thread_count()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and leave Python with its exit code.

    Parameters
    ----------
    arguments
        Without the name of the command; those of the process if not given.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    with exit_codes(), heeding_signals():
        if sys.stdout is None and "--quiet" not in given:
            raise RefusedError(
                f"standard output is closed: pass --quiet, or have it go to {os.devnull}"
            )
        group = commands()
        with printed():
            group.main(args=given, prog_name="fastiou")
