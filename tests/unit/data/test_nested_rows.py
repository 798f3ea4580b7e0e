"""Files whose rows lie in a list: the error about fields names it, and the command for its rows."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest
from tests.unit.data.test_json_mistakes import converted

from lushan.data.fields import LABELLED, Labels, Text
from lushan.data.formats import Chat, Jsonl, Table

CAPTIONS = {"caption": Text(names=("caption",))}
ASKED = {"question": Text(names=("question",))}
NESTED: dict[str, tuple[Any, Any, str, int]] = {
    "COCO": (
        {
            "info": {},
            "images": [{"id": n, "file_name": f"{n}.jpg"} for n in range(4)],
            "annotations": [{"image_id": n % 4, "caption": f"a {n}"} for n in range(9)],
        },
        CAPTIONS,
        "docs/forms.md has a script for COCO's captions",
        9,
    ),
    "VQA": (
        {"info": {}, "questions": [{"image_id": 1, "question": "?", "question_id": 1}] * 3},
        ASKED,
        "docs/forms.md has a script for VQA v2",
        3,
    ),
    "a key with blanks": (
        {"version": 1, "all it's rows": [{"question": f"{n}"} for n in range(5)]},
        ASKED,
        '"all it\'s rows" (5)',
        5,
    ),
    "pandas, split": (
        {
            "columns": ["question", "more"],
            "index": [3, 4],
            "data": [["is it?", None], ["why?", 1]],
        },
        ASKED,
        "write rows",
        2,
    ),
    "pandas, index": (
        {f"{n}": {"question": f"{n}", "label": "x"} for n in "abc"},
        ASKED,
        "If each value is a row",
        3,
    ),
}
SPANS = [{"start": 6, "end": 11, "text": "Obama", "labels": ["PER"]}]
STUDIO = {
    "id": 0,
    "data": {"body text": "I saw Obama"},
    "annotations": [{"result": [{"value": value, "type": "labels"} for value in SPANS]}],
}
CHOSEN = {
    "data": {"text": "good"},
    "annotations": [{"result": [{"value": {"choices": ["pos"]}, "type": "choices"}]}],
}

pytestmark = pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")


@pytest.mark.parametrize("source", [Jsonl, Table])
@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("kind", NESTED)
def test_the_hint_names_the_list_and_makes_rows(
    kind: str, indent: int | None, source: Any, write: Any, refused: Any
) -> None:
    content, fields, said, count = NESTED[kind]
    path = write("x.json", json.dumps(content, indent=indent))
    error = refused(source(train=path).read, fields)
    assert "one object" in error.problem
    assert said in error.hint
    read = source(train=str(converted(error.hint))).read(fields).splits["train"]
    assert read.num_rows == count


def test_one_row_with_lists_is_a_row(write: Any, refused: Any) -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    read = Chat(train=write("x.jsonl", json.dumps({"messages": turns}))).read()
    assert read.splits["train"].num_rows == 1
    spans = [{"start": 0, "end": 1, "label": "X"}]
    path = write("y.json", json.dumps({"text": "a b", "entities": spans}))
    assert Jsonl(train=path).read().splits["train"].num_rows == 1
    turns[1]["role"] = "zzz"  # an error about the row is left as it is
    error = refused(Chat(train=write("x.jsonl", json.dumps({"messages": turns}))).read)
    assert "jq" not in error.hint


def test_lists_in_rows(write: Any, refused: Any) -> None:
    rows = [{"file": "x", "split": "a", "sentences": [{"raw": "b"}, {"raw": "c"}]}] * 2
    fields = {"caption": Text(names=("raw",))}
    path = write("x.json", json.dumps(rows))
    assert "data.each=sentences" in refused(Jsonl(train=path).read, fields).hint
    read = Jsonl(train=path, each="sentences").read(fields)
    assert read.splits["train"]["caption"].to_pylist() == ["b", "c"] * 2
    questions = [{"question": "?", "id": "1", "answers": []}]
    squad = {"data": [{"title": "t", "paragraphs": [{"context": "c", "qas": questions}]}]}
    error = refused(Jsonl(train=write("x.json", json.dumps(squad))).read, LABELLED)
    assert "data=squad" in error.hint


@pytest.mark.parametrize("is_array", [True, False])
@pytest.mark.parametrize("row", [STUDIO, CHOSEN], ids=["spans", "choices"])
def test_label_studio(row: dict[str, Any], is_array: bool, write: Any, refused: Any) -> None:
    text = json.dumps([row, row]) if is_array else f"{json.dumps(row)}\n" * 2
    fields = None if row is STUDIO else LABELLED
    error = refused(Jsonl(train=write("x.json", text), id=None).read, fields)
    table = Jsonl(train=str(converted(error.hint))).read(fields).splits["train"]
    if row is STUDIO:
        assert table["tags"].to_pylist() == [["O", "O", "B-PER"]] * 2
    else:
        assert table["label"].to_pylist() == ["pos", "pos"]


@pytest.mark.parametrize("is_array", [True, False])
@pytest.mark.parametrize("values", [(0, 1), (False, True)])
def test_labels_of_0_and_1_by_name(
    is_array: bool, values: tuple[Any, Any], write: Any, refused: Any
) -> None:
    no, yes = values
    given = ((no, no), (yes, no), (yes, yes))
    rows = [{"text": f"{n}", "labels": {"so sad": a, "joy": b}} for n, (a, b) in enumerate(given)]
    text = json.dumps(rows) if is_array else "".join(json.dumps(row) + "\n" for row in rows)
    fields = {"text": Text(), "labels": Labels()}
    error = refused(Jsonl(train=write("x.json", text)).read, fields)
    read = Jsonl(train=str(converted(error.hint))).read(fields).splits["train"]
    assert read["labels"].to_pylist() == [[], ["so sad"], ["so sad", "joy"]]
