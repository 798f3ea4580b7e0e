"""Small corpora as files: enough to learn something from, written in milliseconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

Sentence = Sequence[tuple[str, str]]

SENTENCES: list[Sentence] = [
    [("Anna", "B-PER"), ("lives", "O"), ("in", "O"), ("Paris", "B-LOC"), (".", "O")],
    [("New", "B-LOC"), ("York", "I-LOC"), ("calls", "O"), ("Bob", "B-PER")],
    [("李", "B-PER"), ("白", "I-PER"), ("在", "O"), ("庐", "B-LOC"), ("山", "I-LOC")],
    [("nothing", "O"), ("is", "O"), ("here", "O")],
]
REVIEWS = [
    ("a warm and clever film", "good"),
    ("dull from end to end", "bad"),
    ('not bad at all , "truly"', "good"),
    ("two hours I will not get back", "bad"),
]
SPLITS = {"train": 6, "validation": 2, "test": 2}
"""How often the examples come in each file."""


def write_conll(path: Path, sentences: Sequence[Sentence]) -> Path:
    """Token and tag in two columns, a blank line after each sentence."""
    blocks = ("".join(f"{token} {tag}\n" for token, tag in words) for words in sentences)
    path.write_text("\n".join(blocks) + "\n", encoding="utf-8")
    return path


def conll(folder: Path) -> dict[str, Path]:
    """`train.conll`, `validation.conll`, `test.conll`."""
    return {
        split: write_conll(folder / f"{split}.conll", SENTENCES * times)
        for split, times in SPLITS.items()
    }


def jsonl(folder: Path) -> dict[str, Path]:
    """The same sentences as token lists, one object a line."""
    files = {}
    for split, times in SPLITS.items():
        rows = [
            {"tokens": [t for t, _ in words], "tags": [tag for _, tag in words]}
            for words in SENTENCES * times
        ]
        files[split] = folder / f"{split}.jsonl"
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        files[split].write_text(text, encoding="utf-8")
    return files


def table(folder: Path) -> dict[str, Path]:
    """Reviews as TSV with the header `sentence`, `label`."""
    files = {}
    for split, times in SPLITS.items():
        lines = ["sentence\tlabel", *(f"{text}\t{label}" for text, label in REVIEWS * times)]
        files[split] = folder / f"{split}.tsv"
        files[split].write_text("\n".join(lines) + "\n", encoding="utf-8")
    return files


def overrides(files: dict[str, Path]) -> list[str]:
    """`data.train=...`, and so on."""
    return [f"data.{split}={path}" for split, path in files.items()]
