"""TBB, loaded from its package, so that Numba finds it and takes it for its threading layer.

The package puts the library into a folder that no loader looks into. This is done when fastiou is
imported, since whatever asks for Numba's threads first settles on a layer for the whole process,
be it `numba.set_num_threads`. It takes 1 ms, and starts no thread.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

__all__ = ["LayerError", "is_loaded", "load_tbb", "status"]

#: What was loaded, or why nothing was.
status = "not looked for"
is_loaded = False


class LayerError(RuntimeError):
    """Numba cannot start the threads that were asked for; the message tells what to do."""


NAMES = {"linux": "libtbb.so.12", "win32": "tbb12.dll"}


def load_tbb() -> None:
    """Load TBB where its package is installed, unless the user has chosen another layer."""
    global status, is_loaded
    try:
        status = _loaded()
    except (OSError, ValueError) as error:
        status = f"TBB cannot be loaded: {error}"
    is_loaded = status.startswith("tbb ")


def _loaded() -> str:
    chosen = os.environ.get("NUMBA_THREADING_LAYER", "default").lower()
    if chosen in ("omp", "workqueue"):
        return f"NUMBA_THREADING_LAYER={chosen}"
    name = NAMES.get(sys.platform)
    if name is None:
        return "there is no package tbb for this system"
    # By hand, since importing `importlib.metadata` takes 20 ms.
    for folder in (Path(entry) for entry in sys.path if isinstance(entry, str)):
        for record in folder.glob("tbb-*.dist-info/RECORD"):
            for line in record.read_text("utf-8").splitlines():
                file = line.split(",")[0]
                if file.endswith(f"/{name}"):
                    ctypes.CDLL(str((folder / file).resolve()))
                    return record.parent.name.removesuffix(".dist-info").replace("-", " ")
    return "the package tbb is not installed"
