"""An assistant: what its parts find about a turn, and what is answered by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from lushan.assist.entities import Entities
from lushan.assist.rows import entries_of
from lushan.assist.settings import Settings, Thresholds
from lushan.assist.wording import Wording
from lushan.errors import UserError
from lushan.guard import Guard
from lushan.inference import guarding
from lushan.inference.load import Loaded, load
from lushan.inference.prediction import predict_rows
from lushan.retrieval.index import Index, open_index
from lushan.retrieval.reranking import Reranking, reranking
from lushan.retrieval.search import fused, require_same_documents

Key = tuple[str, ...]
Action = Literal["answer", "template", "refuse", "pass"]


@dataclass(frozen=True)
class Entry:
    """An entry of the knowledge base.

    Attributes:
        key: Names it.
        question: As it is asked.
        answer: As it is answered.
        entity: What it is about; None holds for all.
    """

    key: Key
    question: str
    answer: str
    entity: str | None


@dataclass(frozen=True)
class Found:
    """What the parts find about a turn.

    Attributes:
        asks: Probability that it asks for knowledge; 1 without a gate.
        intent: The most probable one; None without intents.
        certainty: Its probability.
        entity: The entity of the entry, or else the one that was named last.
        entry: The entry that fits best; None where nobody knows of which entity.
        score: Of the entry; the higher, the better.
    """

    asks: float
    intent: str | None
    certainty: float
    entity: str | None
    entry: Entry | None
    score: float


@dataclass(frozen=True)
class Reply:
    """What is answered.

    Attributes:
        action: `answer` by an entry, by a `template`, `refuse` and hand over to a person, or
            `pass`: the turn asks for no knowledge.
        text: The answer; empty where the turn is passed on.
        source: The entry's key, or the intent of the template.
        withheld: Which part has kept an answer back: it was generated and says more than its
            source, or the guard refuses it.
    """

    action: Action
    text: str
    source: Key = ()
    withheld: Literal["generation", "guard"] | None = None


class Assistant:
    """The parts of an assistant, loaded.

    Args:
        settings: Its config.
        folder: That paths are relative to.
        notes: Takes what the reader must know.
        guard: Checks turns and answers.

    Raises:
        UserError: A part is not what it should be.
    """

    def __init__(
        self, settings: Settings, folder: Path, notes: list[str], guard: Guard | None = None
    ) -> None:
        self.settings, self.folder, self.guard = settings, folder, guard
        self.entries = [Entry(*row) for row in entries_of(settings.knowledge, folder)]
        names = [entry.entity for entry in self.entries if entry.entity is not None]
        self.entities = Entities(names, settings.mention)
        self.indexes = [open_index(folder / place, notes) for place in settings.indexes]
        require_same_documents(self.indexes)
        self.allowed = _by_entity(self.entries, self.indexes[0])
        self.rerank: Reranking | None = None
        if settings.rerank is not None:
            self.rerank = reranking(str(folder / settings.rerank), settings.candidates, notes)
        self.gate = None if settings.gate is None else load(folder / settings.gate.run)
        self.intents = None if settings.intents is None else load(folder / settings.intents.run)
        if settings.gate is not None and self.gate is not None:
            _require_label(self.gate, [settings.gate.label], "gate.label")
        if settings.intents is not None and self.intents is not None:
            _require_label(self.intents, list(settings.intents.templates), "intents.templates")
        self.wording: Wording | None = None
        if settings.generate is not None:
            self.wording = Wording(settings.generate, folder)

    def answer(
        self, dialogues: Sequence[Sequence[str]], thresholds: Thresholds
    ) -> tuple[list[Found], list[Reply]]:
        """Return what is found about the last turn of each dialogue, and the reply."""
        found = self.find(dialogues)
        rows = zip(self._redacted(dialogues), found, strict=True)
        return found, [self._guarded(turns, one, thresholds) for turns, one in rows]

    def _redacted(self, dialogues: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
        if self.guard is None:
            return dialogues
        return [[self.guard.redacted(turn) for turn in turns] for turns in dialogues]

    def _guarded(self, turns: Sequence[str], found: Found, thresholds: Thresholds) -> Reply:
        guard = self.guard
        if guard is None:
            return self.worded(self.reply(found, thresholds), found, turns[-1])
        refused = Reply("refuse", guard.refusal, withheld="guard")
        if not guarding.prompt_passes(guard, list(turns)):
            return refused
        reply = self.worded(self.reply(found, thresholds), found, turns[-1])
        if not guard.check(reply.text).is_safe:
            guard.counts["answers refused"] += 1
            return refused
        return replace(reply, text=guard.redacted(reply.text))

    def worded(self, reply: Reply, found: Found, question: str) -> Reply:
        """Return an entry's answer as the model words it, or the refusal where it says more."""
        entry = found.entry
        if self.wording is None or reply.action != "answer" or entry is None:
            return reply
        text = self.wording.answer(question, entry.question, entry.answer, entry.entity)
        if text is None:
            return Reply("refuse", self.settings.refusal, withheld="generation")
        return replace(reply, text=text)

    def find(self, dialogues: Sequence[Sequence[str]]) -> list[Found]:
        """Return what the parts find about the last turn of each dialogue."""
        dialogues = self._redacted(dialogues)
        asked = [turns[-1] for turns in dialogues]
        asks = _probabilities(self.gate, asked)
        intents = _probabilities(self.intents, asked)
        scores = fused([index.scorer.scores(asked) for index in self.indexes], self.settings.fusion)
        label = "" if self.settings.gate is None else self.settings.gate.label
        found = []
        for row, turns in enumerate(dialogues):
            named = self.entities.last(turns, self.settings.recent)
            entry, score = self._entry(asked[row], named, scores[row])
            entity = named[0] if named else None
            if entry is not None and entry.entity is not None:
                entity = entry.entity
            intent = max(intents[row], key=intents[row].__getitem__) if intents else None
            found.append(
                Found(
                    asks=asks[row][label] if asks else 1.0,
                    intent=intent,
                    certainty=intents[row][intent] if intent is not None else 0.0,
                    entity=entity,
                    entry=entry,
                    score=score,
                )
            )
        return found

    def _entry(
        self, query: str, named: Sequence[str], scores: np.ndarray[Any, Any]
    ) -> tuple[Entry | None, float]:
        """Return the best entry of some entities and of what holds for all; of all without one.

        A question that several of them have is the first one's.
        """
        allowed = dict(self.allowed[None]) if named else _every(self.allowed)
        for entity in reversed(named):
            allowed |= self.allowed[entity]
        numbers = np.array(list(allowed), dtype=np.int64)
        if not len(numbers):
            return None, -np.inf
        order = numbers[np.argsort(-scores[numbers], kind="stable")]
        best, score = int(order[0]), float(scores[order[0]])
        if self.rerank is not None:
            texts = self.indexes[0].texts
            order, found = self.rerank.order(query, texts, order[: self.rerank.candidates])
            best, score = int(order[0]), float(found[0])
        return allowed[best], score

    def reply(self, found: Found, thresholds: Thresholds) -> Reply:
        """Return what is answered, by what the parts find."""
        known = self.settings.intents
        template = None if known is None else known.templates.get(found.intent or "")
        if template is not None and _reaches(found.certainty, thresholds.intent):
            if "{entity}" in template and found.entity is None:
                return Reply("refuse", self.settings.refusal)
            text = template.format(entity=found.entity)
            return Reply("template", text, (str(found.intent),))
        if self.settings.gate is not None and not _reaches(found.asks, thresholds.gate):
            return Reply("pass", "")
        if found.entry is None or not _reaches(found.score, thresholds.entry):
            return Reply("refuse", self.settings.refusal)
        return Reply("answer", found.entry.answer, found.entry.key)


def _reaches(value: float, threshold: float | None) -> bool:
    return threshold is not None and value >= threshold


def _by_entity(entries: Sequence[Entry], index: Index) -> dict[str | None, dict[int, Entry | None]]:
    """Return the numbers of an index's questions, with their entries, by entity.

    Raises:
        UserError: A question is not in the index.
    """
    numbers = {text: number for number, text in enumerate(index.texts)}
    found: dict[str | None, dict[int, Entry | None]] = {None: {}}
    for entry in entries:
        number = numbers.get(entry.question)
        if number is None:
            raise UserError(
                "a question of the knowledge base is not in the index",
                file=index.folder,
                value=entry.question[:80],
                hint="lushan index build KNOWLEDGE --text QUESTION --model MODEL --output DIR",
            )
        found.setdefault(entry.entity, {}).setdefault(number, entry)
    return found


def _every(
    allowed: Mapping[str | None, Mapping[int, Entry | None]],
) -> dict[int, Entry | None]:
    """Return the entry of each question; None of one that is asked of several entities."""
    found: dict[int, Entry | None] = {}
    for several in allowed.values():
        for number, entry in several.items():
            found[number] = None if number in found else entry
    return found


def _probabilities(run: Loaded | None, texts: Sequence[str]) -> list[dict[str, float]]:
    """Return the probability of each label of each text; nothing without a run."""
    if run is None:
        return []
    table = pa.table({"id": [str(row) for row in range(len(texts))], "text": list(texts)})
    return [record["probabilities"] for record in predict_rows(run, table)]


def _require_label(run: Loaded, labels: Sequence[str], key: str) -> None:
    if unknown := [label for label in labels if label not in run.task.labels]:
        raise UserError(
            f"{run.folder.name} does not have this label",
            key=key,
            value=unknown[0],
            hint=f"It has: {', '.join(run.task.labels[:20])}." if run.task.labels else None,
        )
