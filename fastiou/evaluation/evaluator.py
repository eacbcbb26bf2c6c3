"""What all evaluators have in common: they are emptied, sent as plain arrays, and merged."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

import numpy as np

from fastiou.runtime.words import described
from fastiou.typing import Array

__all__ = ["Evaluator"]

_Own = TypeVar("_Own", bound="Evaluator")


class Evaluator(ABC):
    """Something that counts up what is compared, part by part."""

    #: Options in which evaluators that are merged may differ.
    _free_options: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def reset(self) -> None:
        """Forget all that was counted so far; the options stay."""

    @abstractmethod
    def _options(self) -> dict[str, Any]:
        """The arguments that make another evaluator like this, as JSON has them."""

    @abstractmethod
    def _counted(self) -> dict[str, Array]:
        """All that was counted so far, as arrays of its own."""

    @abstractmethod
    def _take_in(self, name: str, state: Mapping[str, Any]) -> None:
        """Add what another evaluator has counted, or refuse it, by the name of the argument."""

    @classmethod
    def _made_of(cls: type[_Own], options: dict[str, Any]) -> _Own:
        """An evaluator of such options."""
        return cls(**options)

    def state(self) -> dict[str, Array]:
        """All that was counted so far, as plain arrays: to be sent, saved, merged or made again.

        Returns
        -------
        dict of arrays
            For `merge` and `from_state`: "options", a text, and what was counted. It holds nothing
            of this evaluator.
        """
        return {"options": np.array(json.dumps(self._options())), **self._counted()}

    @classmethod
    def from_state(cls: type[_Own], state: Mapping[str, Any]) -> _Own:
        """An evaluator with the options and all that was counted of another.

        Parameters
        ----------
        state : dict
            As `state` gives it.

        Raises
        ------
        TypeError, ValueError
            Something else.
        """
        made = cls._made_of(cls._options_in("state", state))
        made._add_state("state", state)
        return made

    def merge(self, *others: Evaluator | Mapping[str, Any]) -> None:
        """Add what other evaluators, such as those of other processes, have counted.

        Parameters
        ----------
        *others
            Evaluators of the same options that have counted something else, or what `state` of them
            gives.

        Raises
        ------
        TypeError, ValueError
            Something else, other options, or what was counted here, too; then nothing is added.
        """
        with self._unchanged_on_errors():
            for place, other in enumerate(others):
                state = other.state() if isinstance(other, type(self)) else other
                self._add_state(f"others[{place}]", state)

    # ---- parts ---------------------------------------------------------------------------------

    @classmethod
    def _options_in(cls, name: str, state: Any) -> dict[str, Any]:
        """The options that a state tells."""
        if not isinstance(state, Mapping):
            raise TypeError(
                f"{name} must be a {cls.__name__}, or what its state() gives, got "
                f"{described(state)}"
            )
        try:
            options = json.loads(str(state.get("options")))
        except ValueError:
            options = None
        if not isinstance(options, dict):
            raise ValueError(
                f"{name} must be what state() gives, with options; got {described(state)}"
            )
        return options

    def _add_state(self, name: str, state: Any) -> None:
        theirs, ours = self._options_in(name, state), self._options()
        for option, value in ours.items():
            if option not in self._free_options and theirs.get(option) != json.loads(
                json.dumps(value)
            ):
                raise ValueError(
                    f"{name} has other options: {option}={described(theirs.get(option))}, and not "
                    f"{described(value)}"
                )
        lacking = [key for key in self._made_of(theirs).state() if key not in state]
        if lacking:
            raise ValueError(f"{name} must be what state() gives; it lacks {', '.join(lacking)}")
        self._take_in(name, state)

    @contextmanager
    def _unchanged_on_errors(self) -> Iterator[None]:
        """Leave everything as it is where something goes wrong, or Ctrl-C comes."""
        before = dict(vars(self))
        sizes = {
            name: len(value) for name, value in before.items() if hasattr(value, "pop")
        }  # of what grows
        try:
            yield
        except BaseException:
            vars(self).update(before)
            for name, size in sizes.items():
                known = before[name]
                drop = known.popitem if isinstance(known, dict) else known.pop
                while len(known) > size:
                    drop()
            raise
