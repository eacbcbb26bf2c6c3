"""The command `fastiou eval`: a subcommand for each kind of score."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fastiou.cli.evaluate.coco import add_coco, add_lvis
from fastiou.cli.evaluate.labels import add_labels
from fastiou.cli.evaluate.mot import add_mot
from fastiou.cli.evaluate.panoptic import add_panoptic
from fastiou.cli.evaluate.voc import add_open_images, add_voc

if TYPE_CHECKING:
    import click

__all__ = ["add_evaluation"]

#: What adds each subcommand to the group.
SUBCOMMANDS: tuple[Callable[[click.Group], None], ...] = (
    add_coco,
    add_lvis,
    add_mot,
    add_panoptic,
    add_labels,
    add_voc,
    add_open_images,
)


def add_evaluation(commands: click.Group) -> None:
    """Add the command `eval` to the others."""

    @commands.group("eval", cls=type(commands))
    def evaluation() -> None:
        """Score predictions against the truth, by the rules of published benchmarks."""

    for add in SUBCOMMANDS:
        add(evaluation)
