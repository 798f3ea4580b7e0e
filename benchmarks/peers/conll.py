"""Columns of tokens and tags, read the short way: what anyone would write."""

from __future__ import annotations

from pathlib import Path


def read(path: str | Path, limit: int | None = None) -> list[tuple[list[str], list[str]]]:
    sentences: list[tuple[list[str], list[str]]] = []
    tokens: list[str] = []
    tags: list[str] = []
    for line in [*Path(path).read_text(encoding="utf-8").splitlines(), ""]:
        fields = line.split()
        if fields:
            tokens.append(fields[0])
            tags.append(fields[-1])
        elif tokens:
            sentences.append((tokens, tags))
            tokens, tags = [], []
    return sentences[:limit]


def encode(sentences, tokenizer, tag_ids, max_length=512):
    """The way of transformers' documentation: a word's tag stands on its first subword."""
    encoded = tokenizer(
        [tokens for tokens, _ in sentences],
        is_split_into_words=True,
        truncation=True,
        max_length=max_length,
    )
    rows = []
    for i, (_, tags) in enumerate(sentences):
        words = encoded.word_ids(i)
        labels = [
            -100 if w is None or (k and words[k - 1] == w) else tag_ids[tags[w]]
            for k, w in enumerate(words)
        ]
        rows.append(
            {
                "input_ids": encoded["input_ids"][i],
                "attention_mask": encoded["attention_mask"][i],
                "labels": labels,
            }
        )
    return rows
