"""Sources that are read as a task asks for them."""

from __future__ import annotations

from typing import Any

from lushan.data.fields import (
    DIALOGUES,
    DOCUMENTS,
    LABELLED,
    PAIRS,
    WORDS,
    Fields,
    Label,
    Labels,
    Number,
)
from lushan.data.source import Corpus, Source

KINDS: dict[str, Fields] = {
    "tokens": WORDS,
    "text": LABELLED,
    "documents": DOCUMENTS,
    "pairs": PAIRS,
    "messages": DIALOGUES,
}
TARGETS = {"single": Label(), "multilabel": Labels(), "regression": Number()}


class Asked:
    """A source and the fields that are asked of it."""

    def __init__(self, source: Source, fields: Fields) -> None:
        self.source, self.fields = source, fields

    def read(self, **more: Any) -> Corpus:
        return self.source.read(self.fields, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)


def made(source: type[Source], /, **options: Any) -> Any:
    """Make a source; `label_kind` or `kind` says what a task asks of it."""
    label, kind = options.pop("label_kind", None), options.pop("kind", None)
    there = source(**options)
    if label is None and kind is None:
        return there
    return Asked(there, KINDS[kind] if kind else LABELLED | {"label": TARGETS[label]})
