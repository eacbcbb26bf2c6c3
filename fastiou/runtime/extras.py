"""Libraries that only an extra of fastiou installs."""

from __future__ import annotations

import importlib
from types import ModuleType

__all__ = ["import_extra"]


def import_extra(module: str, extra: str, purpose: str) -> ModuleType:
    """Import a module that only an extra installs.

    Parameters
    ----------
    module
        Its name.
    extra
        The extra of fastiou that installs it.
    purpose
        What needs it, for the message.

    Raises
    ------
    ImportError
        Naming the extra to install.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise ImportError(f"{purpose} needs: pip install 'fastiou[{extra}]'") from None
    except ImportError as error:  # installed, but not fit for what else is
        raise ImportError(f"{purpose} needs {module}, which fails: {error}") from error
