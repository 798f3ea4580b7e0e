"""Ids of rows: `id`, or `_id` as databases and BEIR call it, wherever rows have names."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.helpers.asked import KINDS

from lushan.data.fields import LABELLED
from lushan.data.formats import Chat, Jsonl, Table
from lushan.data.unlabelled import read_unlabelled

TURNS = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
ROW: dict[str, Any] = {"text": "a", "label": "x"}


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"_id": "d7"}, "d7"),
        ({"_id": 7}, "7"),
        ({"id": "i", "_id": "d7"}, "i"),
        ({"_id": {"$oid": "5f"}}, "x.jsonl:1"),
        ({"_id": None}, "x.jsonl:1"),
    ],
)
def test_every_reader_knows_them(given: dict[str, Any], found: str, write: Any) -> None:
    path = write("x.jsonl", lines({**ROW, **given}))
    assert Jsonl(train=path).read(LABELLED).splits["train"]["id"].to_pylist() == [found]
    assert Jsonl(train=path, id=None).read(LABELLED).splits["train"]["id"][0].as_py() == "x.jsonl:1"
    assert read_unlabelled(path, KINDS["text"])["id"].to_pylist() == [found]
    path = write("x.jsonl", lines({"messages": TURNS, **given}))
    assert Chat(train=path).read().splits["train"]["id"].to_pylist() == [found]


def test_they_are_no_text(write: Any) -> None:
    path = write("x.csv", "_id,review,label\nd1,so good,x\nd2,bad,y\n")
    table = Table(train=path).read(LABELLED).splits["train"]
    assert table["text"].to_pylist() == ["so good", "bad"]
    assert table["id"].to_pylist() == ["d1", "d2"]
