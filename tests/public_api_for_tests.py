"""The public names with their signatures, as text. Run it to write `public_api.txt` anew."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastiou

SNAPSHOT = Path(__file__).with_name("public_api.txt")

#: Methods without a name of their own that are part of how a class is used.
SPECIAL = ("__contains__", "__eq__", "__getitem__", "__iter__", "__len__")


def described(function: Any) -> str:
    """A signature without types: names, kinds and defaults."""
    signature = inspect.signature(function)
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
    ]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def members_of(kind: type) -> Iterator[str]:
    """A line for each public member of a class that this package defines."""
    for name in sorted(set(dir(kind))):
        owner = next(base for base in kind.__mro__ if name in vars(base))
        if not owner.__module__.startswith("fastiou") or (
            name.startswith("_") and name not in SPECIAL
        ):
            continue
        value = inspect.getattr_static(kind, name)
        if isinstance(value, classmethod | staticmethod):
            yield f"    {name}{described(value.__func__)}  # {type(value).__name__}"
        elif inspect.isfunction(value):
            yield f"    {name}{described(value)}"
        else:
            yield f"    {name}"


def lines() -> Iterator[str]:
    """All lines of the snapshot."""
    for name in sorted(fastiou.__all__):
        value = getattr(fastiou, name)
        if inspect.isclass(value):
            fields = getattr(value, "_fields", None)  # of a named tuple
            own = described(value.__init__) if fields is None else f"({', '.join(fields)})"
            yield f"class {name}{own}"
            yield from members_of(value)
        elif callable(value):
            yield f"{name}{described(value)}"
        else:
            yield name


if __name__ == "__main__":
    SNAPSHOT.write_text("\n".join(lines()) + "\n")
