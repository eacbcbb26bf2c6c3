"""Messages that name options of the command, as they are in Python."""

from __future__ import annotations

import re

from fastiou.tables.layouts import LAYOUTS

__all__ = ["BY", "in_python"]

#: An option of keys. Columns may have blanks in their names.
BY = r"--by (.+?)(?= or |, which | says | compares |[()?;:]|$)"

#: What messages of the command say, and what says the same in Python.
IN_PYTHON = (
    (r"fastiou match --geometry labels", "fastiou.label_iou"),
    (r"an option that says", "an argument that says"),
    (r"others that --help lists", "others that docs/files.md lists"),
    (rf"--boxes ({'|'.join(sorted(LAYOUTS, reverse=True))})", r"fmt='\1'"),
    (r"--format ([\w-]+)", r"format='\1'"),
    (BY, r"by='\1'"),
    (r"--geometry (\w+)", r"geometry='\1'"),
    (r"--iou-type (\w+)", r"iou_type='\1'"),
    (r"--skip-invalid", "skip_invalid=True"),
    (r"--image-size WIDTH,HEIGHT", "image_size=(width, height)"),
    (r"--image-size", "image_size="),
    (r"--boxes", "fmt="),
)


def in_python(message: str) -> str:
    """A message with arguments in place of the options of the command."""
    for option, argument in IN_PYTHON:
        message = re.sub(option, argument, message)
    return message
