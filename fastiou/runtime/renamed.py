"""Arguments that were called otherwise: the old name works, with a warning."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["renamed"]

_P = ParamSpec("_P")
_R = TypeVar("_R")


def renamed(**names: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Make a function take arguments by their old names, too.

    Parameters
    ----------
    **names
        The new name of each argument by its old one: ``@renamed(true="target")``.

    Notes
    -----
    Whoever uses an old name gets a DeprecationWarning with the new one. Both names at once are a
    TypeError. The old names are in no signature.
    """

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        @functools.wraps(function)
        def taking_old_names(*arguments: _P.args, **options: _P.kwargs) -> _R:
            for old in names.keys() & options.keys():
                new = names[old]
                if new in options:
                    raise TypeError(
                        f"{function.__qualname__}() got {new} and {old}, which is its old name"
                    )
                warnings.warn(
                    f"the argument {old} of {function.__qualname__}() is now called {new}",
                    DeprecationWarning,
                    stacklevel=2,
                )
                options[new] = options.pop(old)
            return function(*arguments, **options)

        return taking_old_names

    return decorate
