"""Functions of other libraries, by their names, over those of fastiou.

Each file has the name of a library, and its functions take the same arguments in the same order and
return results of the same type. What differs is a table in ``docs/compat.md``. Nothing is imported
from the library itself, and nothing else in fastiou imports this folder.
"""

from __future__ import annotations

import importlib
import sys

__all__ = ["init_as_pycocotools"]


def init_as_pycocotools() -> None:
    """Have all that imports `pycocotools` from here on get `fastiou.compat.pycocotools`.

    It is for programs that import `pycocotools` themselves, such as detectron2 and mmdet. Call it
    before they are imported. What was imported before keeps what it has.

    Examples
    --------
    >>> from fastiou.compat import init_as_pycocotools
    >>> init_as_pycocotools()  # doctest: +SKIP
    >>> from pycocotools.cocoeval import COCOeval  # doctest: +SKIP
    """
    package = importlib.import_module("fastiou.compat.pycocotools")
    sys.modules["pycocotools"] = package
    # Some programs import `_mask`, the compiled part of `mask`. Its functions have the same names.
    for name in (*package.__all__, "_mask"):
        part = importlib.import_module(f"fastiou.compat.pycocotools.{name.removeprefix('_')}")
        sys.modules[f"pycocotools.{name}"] = part
        setattr(package, name, part)
