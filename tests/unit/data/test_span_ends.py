"""Spans that carry their text, whatever its key is: an end that is read wrongly is noticed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lushan.data.formats import Jsonl

TEXT = "Li Bai saw Du Fu in 北京大学"
FOUND = ((0, 6, "PER"), (11, 16, "PER"), (20, 24, "ORG"))
TAGS = ["B-PER", "I-PER", "O", "B-PER", "I-PER", "O", "B-ORG", "I-ORG", "I-ORG", "I-ORG"]
KEYS = ("entity", "word", "text", "value", "name", "span_text", "quote", "原文")


def rows(key: str, last: int, **more: Any) -> str:
    """Two rows whose spans carry their text; `last` is added to each end."""
    spans = [
        {"start_idx": s, "end_idx": e + last, "type": kind, key: TEXT[s:e], **more}
        for s, e, kind in FOUND
    ]
    return (json.dumps({"text": TEXT, "entities": spans}, ensure_ascii=False) + "\n") * 2


@pytest.mark.parametrize("key", KEYS)
def test_the_text_of_a_span_says_how_its_end_is_meant(key: str, write, refused) -> None:
    for last, right, wrong in ((-1, "inclusive", "exclusive"), (0, "exclusive", "inclusive")):
        path = write("x.jsonl", rows(key, last, id="T1", comment="seen in Li B"))
        error = refused(Jsonl(train=path, span_end=wrong, id=None).read)
        assert error.line == 1
        assert "'Li Bai'" in error.problem
        assert f"data.span_end={right}" in error.hint
        read = Jsonl(train=path, span_end=right, id=None).read()
        assert read.splits["train"]["tags"].to_pylist() == [TAGS] * 2
        assert read.notes == []


@pytest.mark.parametrize(
    "more",
    [
        {"id": "Li Bai "},
        {"normalised": "Li Bai saw", "source": "x"},
        {"note": ""},
        {"lemma": "L", "head": "Bai"},
    ],
)
def test_other_values_say_nothing_of_the_end(more: dict[str, str], write) -> None:
    path = write("x.jsonl", rows("entity", 0, **more))
    assert Jsonl(train=path).read().splits["train"]["tags"].to_pylist() == [TAGS] * 2


def test_one_span_whose_value_happens_to_be_longer(write) -> None:
    pieces = [("5%", "5"), ("six", "six"), ("ten", "ten")]
    lines = [
        json.dumps(
            {
                "text": text,
                "entities": [{"start": 0, "end": len(span), "label": "N", "raw": text}],
            }
        )
        for text, span in pieces
    ]
    read = Jsonl(train=write("x.jsonl", "\n".join(lines))).read()
    assert [tags[0] for tags in read.splits["train"]["tags"].to_pylist()] == ["B-N"] * 3


def test_the_text_of_a_span_is_not_its_type(write, refused) -> None:
    span = {"start": 0, "end": 6, "entity": "Li Bai"}
    row = {"text": TEXT, "entities": [{**span, "entity_type": "PER"}]}
    read = Jsonl(train=write("x.jsonl", json.dumps(row))).read()
    assert read.splits["train"]["tags"][0].as_py()[:2] == ["B-PER", "I-PER"]
    row = {"text": TEXT, "entities": [{**span, "category": "PER"}]}
    error = refused(Jsonl(train=write("y.jsonl", json.dumps(row))).read)
    assert "a type" in error.problem
