"""The libraries' own words, kept off the terminal; Lightning need not be imported for it."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

ASKED_FOR = ("profilers", "callbacks")
"""Packages of Lightning's that log what a key of the config asks for."""


def _is_asked_for(record: logging.LogRecord) -> bool:
    """Return whether a message of Lightning's comes from a part that logs only on request."""
    return record.levelno > logging.INFO or Path(record.pathname).parent.name in ASKED_FOR


def quiet_lightning() -> None:
    """Keep the libraries' banners and advice off the terminal; errors still come through."""
    from transformers import utils

    transformers: Any = utils.logging
    transformers.set_verbosity_error()  # it advises masks where none are right
    # Lightning's own handler writes to what standard error was when it was imported.
    lightning, ours = logging.getLogger("pytorch_lightning"), logging.getLogger("lushan").handlers
    lightning.handlers[:] = [handler for handler in lightning.handlers if handler in ours]
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # What was requested by a key is logged: a profiler's report, a verbose callback.
    for part in ASKED_FOR:
        logging.getLogger(f"pytorch_lightning.{part}").setLevel(logging.INFO)
    shared = logging.getLogger("pytorch_lightning.utilities.rank_zero")
    shared.setLevel(logging.INFO)
    shared.addFilter(_is_asked_for)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    warnings.filterwarnings("ignore", module="lightning_fabric")
    warnings.filterwarnings("ignore", message=".*treespec.*")
