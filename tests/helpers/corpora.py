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


def questions(folder: Path) -> dict[str, Path]:
    """Questions with and without answers as SQuAD 2.0 nests them: `train.json` and so on."""
    people, places = ("Anna", "Bob", "Carl", "Dora"), ("Paris", "Rome", "Oslo", "庐山")
    files = {}
    for shift, split in enumerate(SPLITS):
        articles = []
        for number, (who, other) in enumerate(zip(people, people[1:] + people[:1], strict=True)):
            here, there = places[number - shift], places[number - shift - 1]
            context = f"{who} lives in {here}, and {other} works in {there}."
            asked = (
                (f"Where does {who} live?", here),
                (f"Who works in {there}?", other),
                (f"Where does {other} sleep?", None),
            )
            qas = [
                _question(f"{split}-{number}-{i}", context, question, answer)
                for i, (question, answer) in enumerate(asked)
            ]
            paragraphs = [{"qas": qas, "context": context}]
            articles.append({"title": f"{who} {split}", "paragraphs": paragraphs})
        files[split] = folder / f"{split}.json"
        whole = {"version": "v2.0", "data": articles}
        files[split].write_text(json.dumps(whole, ensure_ascii=False), encoding="utf-8")
    return files


def flat_questions(folder: Path) -> dict[str, Path]:
    """The same as JSON lines, a question a line."""
    return {split: _flat(path) for split, path in questions(folder).items()}


def _flat(path: Path) -> Path:
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    rows = [
        {"title": article["title"], "context": paragraph["context"], **asked}
        for article in articles
        for paragraph in article["paragraphs"]
        for asked in paragraph["qas"]
    ]
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    flat = path.with_suffix(".jsonl")
    flat.write_text("".join(lines), encoding="utf-8")
    return flat


def _question(name: str, context: str, question: str, answer: str | None) -> dict[str, object]:
    asked: dict[str, object] = {"question": question, "id": name}
    if answer is None:
        likely = {"text": "in", "answer_start": context.index("in")}
        return {"plausible_answers": [likely], **asked, "answers": [], "is_impossible": True}
    gold = {"text": answer, "answer_start": context.index(answer)}
    return {**asked, "answers": [gold, gold], "is_impossible": False}
