"""numpy and pyarrow, imported when something of them is first used.

They take a tenth of a second, and what a complete run is answered from holds no array.
"""

from __future__ import annotations

import importlib
import types
from typing import TYPE_CHECKING, Any

__all__ = ["np", "pa"]


class _Later(types.ModuleType):
    """A module that is imported for the first of its names that is asked for."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(importlib.import_module(self.__name__), name)
        vars(self)[name] = found
        return found


if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
else:
    np, pa = _Later("numpy"), _Later("pyarrow")
