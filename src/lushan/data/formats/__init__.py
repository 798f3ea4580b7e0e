"""The sources a config can name: `data=conll`, `data=table`, ... One module a format.

Each is imported when it is first asked for, with what it alone needs.
"""

from __future__ import annotations

import importlib
from typing import Any

_CLASSES = {
    "chat": ("Chat", "ChatHub"),
    "conll": ("Conll",),
    "folder": ("Folder",),
    "hub": ("Hub",),
    "interactions": ("Interactions", "SampleInteractions"),
    "jsonl": ("Jsonl",),
    "mixture": ("Mixture",),
    "sample_candidates": ("SampleCandidates",),
    "sample_images": (
        *("SampleClips", "SampleImages", "SampleQuestions", "SampleScenes", "SampleStories"),
        "SampleVQA",
    ),
    "samples": ("SampleChat", "SampleNER", "SamplePairs", "SampleReviews", "SampleText"),
    "stream": ("Stream",),
    "table": ("Table",),
    "text": ("Text",),
    "text_folder": ("TextFolder",),
}
_MODULES = {name: module for module, names in _CLASSES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return [*_MODULES]
