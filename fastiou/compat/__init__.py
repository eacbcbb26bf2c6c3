"""Functions of other libraries, by their names, over those of fastiou.

Each file has the name of a library, and its functions take the same arguments in the same order and
return results of the same type. What differs is a table in ``docs/compat.md``. Nothing is imported
from the library itself, and nothing else in fastiou imports this folder.
"""

from __future__ import annotations
