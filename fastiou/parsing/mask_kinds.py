"""Kinds of masks in a text."""

from __future__ import annotations

__all__ = ["LETTERS", "NUMBERS", "OTHER", "RINGS"]

#: Run lengths as a string, or as whole numbers; polygons; and whatever else.
LETTERS, NUMBERS, RINGS, OTHER = range(4)
