"""Options that all subcommands of `fastiou eval` have, and what they do."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fastiou.cli.outputs import check_output, replaced_at_end
from fastiou.formats.errors import RefusedError, shortened

if TYPE_CHECKING:
    import click

__all__ = ["check_required", "shared_options", "write_json"]

Function = TypeVar("Function", bound=Callable[..., Any])

#: The exit code where a score is lower than required.
TOO_LOW = 1


def _json_option(function: Function) -> Function:
    """Give a command the option `--json`, a path or None, as `json_path`."""
    import click

    decorate: Callable[[Function], Function] = click.option(
        "--json",
        "json_path",
        type=click.Path(path_type=Path),
        callback=_writable,
        metavar="FILE",
        help="Write all scores to a file that ends in .json.",
    )
    return decorate(function)


def _require_option(function: Function) -> Function:
    """Give a command the option `--require`, a dict of lowest values by name, as `required`."""
    import click

    decorate: Callable[[Function], Function] = click.option(
        "--require",
        "required",
        multiple=True,
        callback=_required,
        metavar="NAME=VALUE",
        help="A score that must be at least so high, else the exit code is 1; any number of times.",
    )
    return decorate(function)


def shared_options(function: Function) -> Function:
    """Give a command `--json`, `--require`, `--quiet` and `--progress`."""
    import click

    quiet = click.option("--quiet", is_flag=True, help="Print errors and notes alone.")
    progress = click.option(
        "--progress/--no-progress",
        default=None,
        help="Show the progress of the work, or not.  [default: on a terminal]",
    )
    return _json_option(_require_option(quiet(progress(function))))


def _writable(_: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    if value is not None:
        check_output(value, (".json",))
    return value


def _required(
    _: click.Context, parameter: click.Parameter, value: tuple[str, ...]
) -> dict[str, float]:
    required = {}
    for text in value:
        name, mark, number = text.partition("=")
        try:
            required[name.strip()] = float(number)
        except ValueError:
            mark = ""
        if not mark or not name.strip() or required[name.strip()] != required[name.strip()]:
            raise RefusedError(f"--require must be NAME=VALUE, got {shortened(text)!r}")
    return required


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write scores as JSON.

    Parameters
    ----------
    path
        The file. What was there stays until the new one is complete.
    content
        Dicts, lists, numbers and strings.

    Raises
    ------
    FileError
        It cannot be written.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    with replaced_at_end(path) as file:
        file.write(text.encode() + b"\n")


def check_required(values: Mapping[str, float], required: Mapping[str, float]) -> None:
    """End the command with the exit code 1 if a score is lower than required.

    Parameters
    ----------
    values
        The scores by name.
    required
        The lowest values, as `shared_options` has them.

    Raises
    ------
    RefusedError
        There is no such score.
    SystemExit
        One is too low.
    """
    for name in required:
        if name not in values:
            raise RefusedError(f"--require {name}: the scores are {', '.join(values)}")
    # A perfect precision of COCO is 0.9999999999999998.
    low = {name: least for name, least in required.items() if not values[name] >= least - 1e-9}
    for name, least in low.items():
        message = f"{name} is {values[name]:.6g}, and {least:.6g} is required"
        if least > 1 and abs(values[name]) <= 1:
            message += "; shares are from 0 to 1, and no percentages"
        print(f"fastiou: {message}", file=sys.stderr, flush=True)
    if low:
        raise SystemExit(TOO_LOW)
