"""The config of an assistant: a YAML file that names runs, indexes and a knowledge base."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal

import msgspec

from lushan.common import parsing
from lushan.errors import UserError


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the parts of the file: a key that is not known is refused."""


Several = Annotated[list[str], msgspec.Meta(min_length=1)]


class Knowledge(Part, frozen=True):
    """Entries of a knowledge base.

    Args:
        file: JSON, an entry a row.
        question: Its question, of which the indexes are.
        answer: What is answered.
        key: Keys that name an entry, and are given as its source.
        entity: What it is about, such as a hotel; entries without one hold for all.
    """

    file: str
    question: str
    answer: str
    key: Several
    entity: str | None = None


class Gate(Part, frozen=True):
    """A run that labels turns, and the label of those that ask for knowledge."""

    run: str
    label: str


class Intents(Part, frozen=True):
    """A run that labels turns, and what is answered to some labels; `{entity}` is filled in."""

    run: str
    templates: dict[str, str]


class Generate(Part, frozen=True):
    """A model that words the answer of an entry.

    Args:
        run: That writes; or a model in Hugging Face format.
        prompt: What it is asked; `{question}` is the turn, `{entry}` and `{answer}` are those of
            the entry, and `{entity}` is what it is about.
        max_new_tokens: Of an answer; one that is longer is not given.
    """

    run: str
    prompt: str = (
        "{entity}\nQ: {entry}\nA: {answer}\n\nBy this alone, answer in one sentence: {question}"
    )
    max_new_tokens: int = 64


class Gold(Part, frozen=True):
    """Columns of what is right: whether knowledge is asked for, its entries, the intent."""

    asks: str = "asks"
    source: str = "source"
    intent: str | None = None


class Settings(Part, frozen=True):
    """Content of the file; its paths are relative to it.

    Args:
        knowledge: The entries.
        indexes: Of the entries' questions; their scores are joined by `fusion`.
        gate: Without one every turn asks for knowledge.
        intents: Without them there are no templates.
        generate: Without it, an entry is answered in its own words.
        rerank: A run of task=reranker, which reads `candidates` questions.
        turns: The column of a dialogue: a list of texts, or of objects with a `text`; the last one
            is to be answered.
        mention: Share of an entity's name, rare words counting more, that a turn must hold in one
            piece, however that is divided into words.
        recent: From how many of the last turns that name entities these are taken; the entry that
            fits best decides between them, and of equal questions the entity that was named later.
        risk: Share of wrong answers that is allowed.
        confidence: That no more of them are wrong; a validation set that is too small for it gets
            no answers.
        thresholds: A file beside this one, which `--choose` writes.
        refusal: What is said where nothing can be answered.
        gold: Columns for evaluation.
    """

    knowledge: Knowledge
    indexes: Several
    thresholds: str
    refusal: str
    gate: Gate | None = None
    intents: Intents | None = None
    generate: Generate | None = None
    fusion: Literal["zscore", "rrf"] = "zscore"
    rerank: str | None = None
    candidates: int = 20
    turns: str = "turns"
    mention: float = 1.0
    recent: Annotated[int, msgspec.Meta(ge=1)] = 1
    risk: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.1
    confidence: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.9
    gold: Gold = Gold()


SLOTS = {"question", "entry", "answer", "entity"}
"""Of the prompt of `Generate`."""


class Thresholds(Part, frozen=True):
    """From which numbers on something is done; None is never."""

    gate: float | None = None
    intent: float | None = None
    entry: float | None = None


def read_settings(file: Path) -> Settings:
    """Read an assistant's config.

    Raises:
        UserError: It is none; names the key.
    """
    try:
        found = msgspec.convert(parsing.read_yaml(file), Settings)
    except FileNotFoundError:
        raise UserError("the file does not exist", key="CONFIG", value=str(file)) from None
    except msgspec.ValidationError as error:
        raise UserError(f"this is not an assistant: {error}", file=file) from error
    for label, template in (found.intents.templates if found.intents else {}).items():
        _require_slots(template, {"entity"}, f"intents.templates.{label}")
    if found.generate is not None:
        _require_slots(found.generate.prompt, SLOTS, "generate.prompt")
    return found


def _require_slots(template: str, known: Collection[str], key: str) -> None:
    """Refuse a template that cannot be filled, or has slots that are not filled as they are."""
    try:
        parts = [part for part in Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise UserError(str(error), key=key, value=template) from None
    slots = ", ".join(f"{{{name}}}" for name in sorted(known))
    if any(name not in known for _, name, _, _ in parts):
        raise UserError(f"the only slots are {slots}", key=key, value=template)
    if any(form or conversion for _, _, form, conversion in parts):
        raise UserError(f"a slot cannot have a format: {slots}", key=key, value=template)


def read_thresholds(file: Path) -> Thresholds:
    """Read what `--choose` has written.

    Raises:
        UserError: There is no such file, or it is another.
    """
    try:
        content: Any = parsing.read_json(file)
        return msgspec.convert(content["thresholds"], Thresholds)
    except FileNotFoundError:
        raise UserError(
            "no thresholds are chosen yet",
            file=file,
            hint="lushan assist CONFIG --input VALIDATION.jsonl --choose",
        ) from None
    except (msgspec.ValidationError, KeyError, TypeError) as error:
        raise UserError(f"these are not thresholds: {error}", file=file) from error
