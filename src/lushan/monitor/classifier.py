"""The runs of a monitor: whether a text has the watched label, and what it is about."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lushan.errors import UserError
from lushan.inference import validation
from lushan.monitor.correction import Correction

if TYPE_CHECKING:
    from lushan.inference.load import Loaded

MOST_CHARACTERS = 20_000
"""Of a text that is classified; what is beyond is no part of a short text."""
KNOWN, _SHORT = 20_000, 1000
"""Texts whose labels are kept, the last ones, and characters of such a text."""


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """What was found in a text.

    Attributes:
        watched: Whether it has the watched label.
        score: The probability of that label.
        topics: Labels of the other runs.
        entities: Texts of its entities.
    """

    watched: bool
    score: float
    topics: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()


Classify = Callable[[Sequence[str]], list[Finding]]
"""From texts to what was found in each."""


class Runs:
    """Trained runs that label texts together.

    Args:
        folders: Of runs that classify texts, and of runs of entities.
        label: The watched one, of the first run that has it.

    Raises:
        UserError: One is no such run, or none has the label.
    """

    def __init__(self, folders: Sequence[str | Path], label: str) -> None:
        from lushan.inference.load import load

        self.label = label
        self._known: OrderedDict[str, Finding] = OrderedDict()
        self.loaded: list[Loaded] = [load(Path(folder).expanduser()) for folder in folders]
        for one in self.loaded:
            _require_texts(one)
        labels = {str(one.folder): one.task.labels for one in self._classifiers}
        having = [name for name, known in labels.items() if label in known]
        if not having:
            known = "; ".join(f"{name}: {', '.join(some)}" for name, some in labels.items())
            raise UserError(
                "no classification run has this label",
                key="--watch",
                value=label,
                hint=f"Labels: {known}." if known else "Add a run of task=classification.",
            )
        self.watching = Path(having[0])
        self.notes = [note for one in self.loaded for note in one.notes]
        if having[1:]:
            self.notes.append(f"{label!r} is watched by {having[0]}, the first run that has it")

    @property
    def _classifiers(self) -> list[Loaded]:
        return [one for one in self.loaded if "tokens" not in one.task.fields]

    @property
    def topics(self) -> list[str]:
        """Labels of the runs beside the watching one."""
        others = [one for one in self._classifiers if one.folder != self.watching]
        return list(dict.fromkeys(label for one in others for label in one.task.labels))

    @property
    def finds_entities(self) -> bool:
        """Return whether one of the runs finds entities."""
        return len(self._classifiers) < len(self.loaded)

    def correction(self) -> Correction:
        """Return the correction of the watched label, by the run's validation split."""
        records = validation.predictions(self.watching)
        return Correction.of(((r["gold"], r["predicted"]) for r in records), self.label)

    def classify(self, texts: Sequence[str]) -> list[Finding]:
        """Return what was found in each text; one that is posted again is not labelled again."""
        found = {text: self._known[text] for text in texts if text in self._known}
        new = [text for text in dict.fromkeys(texts) if text not in found]
        found |= zip(new, self._labelled(new) if new else (), strict=True)
        self._known |= {text: found[text] for text in new if len(text) <= _SHORT}
        while len(self._known) > KNOWN:
            self._known.popitem(last=False)
        return [found[text] for text in texts]

    def _labelled(self, texts: Sequence[str]) -> list[Finding]:
        from lushan.inference.prediction import predict_rows

        cut = [text[:MOST_CHARACTERS] for text in texts]
        topics: list[list[str]] = [[] for _ in texts]
        entities: list[list[str]] = [[] for _ in texts]
        watched: list[tuple[bool, float]] = []
        for one in self.loaded:
            records = predict_rows(one, _table(cut, one.task.fields))
            if "tokens" in one.task.fields:
                entities = [list(dict.fromkeys(_names(record))) for record in records]
            elif one.folder == self.watching:
                watched = [self._watched(record) for record in records]
            else:
                found = [_labels(record["predicted"]) for record in records]
                topics = [before + more for before, more in zip(topics, found, strict=True)]
        rows = zip(watched, topics, entities, strict=True)
        return [Finding(*w, tuple(t), tuple(e)) for w, t, e in rows]

    def _watched(self, record: dict[str, Any]) -> tuple[bool, float]:
        has = self.label in _labels(record["predicted"])
        return has, float(record["probabilities"].get(self.label, 0.0))


def _labels(predicted: Any) -> list[str]:
    return predicted if isinstance(predicted, list) else [predicted]


def _names(record: dict[str, Any]) -> Iterator[str]:
    return (str(entity["text"]) for entity in record["entities"])


def _require_texts(loaded: Loaded) -> None:
    """Refuse a run that neither classifies texts nor finds entities in them."""
    fields = loaded.task.fields
    classifies = "label" in fields and "text" in fields and bool(loaded.task.labels)
    if not classifies and "tokens" not in fields:
        raise UserError(
            f"{type(loaded.task).__name__} predicts neither labels nor entities",
            file=loaded.folder,
            hint="Use runs of task=classification (one or several labels) or task=ner.",
        )
    if isinstance(loaded.cfg["data"].get("text"), list):
        raise UserError("the run needs pairs of texts", file=loaded.folder)


def _table(texts: Sequence[str], fields: Any) -> pa.Table:
    """Return texts as `predict_rows` takes them; for a run of entities, split into words."""
    from lushan.data.encode import arrow
    from lushan.text.words import split_words

    ids = [str(row) for row in range(len(texts))]
    table = pa.table({"id": ids, "text": list(texts)})
    if "tokens" not in fields:
        return table
    words, offsets = zip(*map(split_words, texts), strict=True)
    return table.append_column("tokens", arrow.text_lists(words)).append_column(
        "offsets", arrow.pair_lists(offsets)
    )
