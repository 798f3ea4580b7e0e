"""lushan: configuration-driven experiments with language models.

From Python: `compose` a config, `train` it, `load` its model, and read `runs` and their `table`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lushan.version import VERSION

if TYPE_CHECKING:
    from lushan.api.functions import Config, compose, load, runs, table, train
    from lushan.api.model import Model
    from lushan.errors import UserError
    from lushan.run.result import RunResult

__version__ = VERSION

__all__ = [
    "Config", "Model", "RunResult", "UserError", "compose", "load", "runs", "table", "train",
]  # fmt: skip

_ELSEWHERE = {
    "Model": "lushan.api.model",
    "RunResult": "lushan.run.result",
    "UserError": "lushan.errors",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_ELSEWHERE.get(name, "lushan.api.functions")), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
