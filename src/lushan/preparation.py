"""Everything that is known before the first step; facts flow one way.

Data, labels, tokenizer, encoded splits, encoder, model.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from lushan.config.build import build
from lushan.data.encoding import Encoded, code_version, encode, fingerprint_of
from lushan.data.source import Corpus, Source
from lushan.errors import UserError
from lushan.tasks import base
from lushan.tasks.base import Limits, Task
from lushan.text.tokenizers import fingerprint as tokenizer_fingerprint

log = logging.getLogger(__name__)

LONGEST = 512
"""Tokens of a feature where neither the config nor the encoder sets a bound."""


@dataclasses.dataclass
class Prepared:
    """A run's parts.

    Attributes:
        source: Where the data comes from, and how it is batched.
        corpus: The data, as it was read.
        task: With its labels.
        tokenizer: Of transformers.
        encoded: Split to features.
        model: Encoder and head.
        limits: How long a feature may be.
        notes: What the reader of the numbers must know.
    """

    source: Source
    corpus: Corpus
    task: Task
    tokenizer: Any
    encoded: dict[str, Encoded]
    model: torch.nn.Module
    limits: Limits
    notes: list[str]


def prepare(cfg: Mapping[str, Any]) -> Prepared:
    """Make the parts of the run that a checked config describes.

    Raises:
        UserError: The data cannot be used, or not by this task or this encoder.
    """
    source: Source = build(cfg["data"])
    corpus = source.read()
    task: Task = build(cfg["task"])
    require_kind(task, corpus)
    if "train" not in corpus.splits:
        raise UserError(
            "there is nothing to train on", key="data.train", hint="Write data.train=FILE."
        )
    task.prepare(corpus)
    cache = Path(cfg["paths"]["cache_dir"])
    tokenizer = build(
        cfg["tokenizer"], texts=functools.partial(texts_of, corpus), cache_dir=cache / "tokenizers"
    )
    torch.manual_seed(cfg["seed"])
    encoder = build(cfg["model"], vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
    limits = limits_of(source, encoder)
    encoded = encode_all(corpus, source, task, tokenizer, limits, cache / "encoded")
    # Seeded anew: the head's first weights are the same whatever encoder came before it.
    torch.manual_seed(cfg["seed"])
    model = task.build(encoder)
    notes = corpus.notes + encoding_notes(encoded)
    return Prepared(source, corpus, task, tokenizer, encoded, model, limits, notes)


def require_kind(task: Task, corpus: Corpus) -> None:
    """A task that reads words cannot read texts, nor the other way round."""
    if corpus.kind != task.reads:
        raise UserError(
            f"this task reads {task.reads}, and the data holds {corpus.kind}",
            key="data",
            value=corpus.kind,
            hint="NER wants data=conll, or data=jsonl with tags or spans; classification wants "
            "data=table, or data=jsonl with text and label.",
        )


def texts_of(corpus: Corpus) -> Iterator[str]:
    """The training texts, to train a tokenizer on."""
    table = corpus.splits["train"]
    if corpus.kind == "tokens":
        for tokens in table.column("tokens").to_pylist():
            yield " ".join(tokens)
        return
    for name in ("text", "text_pair"):
        if name in table.column_names:
            yield from table.column(name).to_pylist()


def limits_of(source: Source, encoder: Any) -> Limits:
    """How long a feature may be: what the config says, within what the encoder can read."""
    bound = encoder.max_length
    if source.max_length is not None and bound is not None and source.max_length > bound:
        raise UserError(
            f"the encoder reads at most {bound} tokens",
            key="data.max_length",
            value=source.max_length,
            hint=f"Write data.max_length={bound} or less; data.stride=64 reads on in windows.",
        )
    return Limits(source.max_length or bound or LONGEST, source.stride)


def encode_all(
    corpus: Corpus, source: Source, task: Task, tokenizer: Any, limits: Limits, cache: Path
) -> dict[str, Encoded]:
    """All splits encoded, from the cache where any run has encoded alike before."""
    data, words = source.fingerprint(), tokenizer_fingerprint(tokenizer)
    code = code_version(type(task), base, encode, type(source), Source)
    encoded = {}
    for split, table in corpus.splits.items():
        fingerprint = fingerprint_of(
            split,
            data.get(split),
            source.options(),
            words,
            task.options(),
            dataclasses.asdict(limits),
            code,
        )
        encoded[split] = encode(
            table,
            lambda rows, first: task.encode(rows, first, tokenizer, limits),
            task.schema,
            fingerprint=fingerprint,
            cache_dir=cache,
            count=task.count,
        )
    return encoded


def encoding_notes(encoded: Mapping[str, Encoded]) -> list[str]:
    """What was cut or cannot be read, counted."""
    notes = []
    for split, data in encoded.items():
        if cut := data.meta.get("cut"):
            notes.append(f"{split}: {cut} words or texts were cut by max_length")
        if unknown := data.meta.get("unknown"):
            notes.append(f"{split}: {unknown} texts hold no known token")
    return notes
