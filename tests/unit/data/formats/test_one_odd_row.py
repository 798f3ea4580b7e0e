"""One odd row in ten thousand decides nothing for the others: it is refused itself, or read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.helpers import asked
from tests.helpers.asked import KINDS

from lushan.data.formats import Chat, Conll, Jsonl, Table, Text
from lushan.data.source import Source
from lushan.data.unlabelled import read_unlabelled
from lushan.errors import UserError

COUNT = 10_000
PLACES = (1, 7001)
Row = dict[str, Any]
TURNS = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]


def lines_with(usual: Row | str, odd: Row | str, place: int) -> str:
    texts = [x if isinstance(x, str) else json.dumps(x) for x in (usual, odd)]
    lines = [texts[0]] * COUNT
    lines[place - 1] = texts[1]
    return "\n".join(lines) + "\n"


REFUSED: dict[str, tuple[type[Source], Row, Row | str, Row | str]] = {
    "texts, and a row of words": (
        Jsonl, {}, {"text": "a", "label": "x"}, {"tokens": ["a"], "tags": ["O"]},
    ),
    "texts by another name": (
        Jsonl, {}, {"content": "a", "label": "x"}, {"text": "a", "label": "x"},
    ),
    "labels by another name": (
        Jsonl, {}, {"text": "a", "class": "x"}, {"text": "a", "label": "x"},
    ),
    "labels, and spans in their place": (
        Jsonl, {}, {"text": "a", "label": "x"}, {"text": "a", "label": [[0, 1, "X"]]},
    ),
    "several labels, and one text": (
        Jsonl, {"label_kind": "multilabel"},
        {"text": "a", "label": ["x"]}, {"text": "a", "label": "x"},
    ),
    "numbers, and a text": (
        Table, {"label_kind": "regression", "columns": ["text", "label"]}, "a,1.5", 'a,"1,5"',
    ),
    "words, and a text": (
        Jsonl, {}, {"tokens": ["a"], "tags": ["O"]}, {"tokens": "a", "tags": ["O"]},
    ),
    "words, and a text with spans": (
        Jsonl, {}, {"tokens": ["a"], "tags": ["O"]}, {"text": "a", "entities": [[0, 1, "X"]]},
    ),
    "words, and mappings": (
        Jsonl, {}, {"tokens": ["a"], "tags": ["O"]}, {"tokens": [{"text": "a"}], "tags": ["O"]},
    ),
    "spans, and a text": (
        Jsonl, {}, {"text": "a", "entities": [[0, 1, "X"]]}, {"text": "a", "entities": "X"},
    ),
    "pairs by another name": (
        Jsonl, {"kind": "pairs"},
        {"article": "a", "summary": "b"}, {"source": "a", "summary": "b"},
    ),
    "mappings, and none": (
        Jsonl, {"source": "t.de", "target": "t.en"}, {"t": {"de": "a", "en": "b"}}, {"t": None},
    ),
    "mappings, and other keys": (
        Jsonl, {"source": "t.de", "target": "t.en"},
        {"t": {"de": "a", "en": "b"}}, {"t": {"fr": "a", "en": "b"}},
    ),
    "a system message that is no text": (
        Chat, {}, {"messages": TURNS, "system": "be kind"}, {"messages": TURNS, "system": ["b"]},
    ),
    "instructions, and a dialogue": (
        Chat, {}, {"instruction": "a", "output": "b"}, {"messages": TURNS},
    ),
    "raw texts by another name": (Text, {}, {"text": "a"}, {"content": "a"}),
    "fields": (Table, {"columns": ["text", "label"]}, "a;x", "a,x"),
    "columns": (Conll, {}, "a O", "a x O"),
    "columns by tabs": (Conll, {}, "a\tO", "a O"),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("case", REFUSED)
def test_the_odd_row_is_the_one_refused(case: str, place: int, write, refused) -> None:
    made, options, usual, odd = REFUSED[case]
    name = {Table: "x.csv", Conll: "x.conll"}.get(made, "x.jsonl")
    path = write(name, lines_with(usual, odd, place))
    source: Any = asked.made(made, train=path, **options)
    error: UserError = refused(source.read)
    assert (error.file if made is not Text else str(error.file), error.line) == (path, place)


def has_no(column: str) -> Callable[[Any], None]:
    def check(table: Any) -> None:
        assert column not in table.column_names

    return check


def has(column: str, value: Any) -> Callable[[Any], None]:
    def check(table: Any) -> None:
        values = table[column].to_pylist()
        assert values.count(value) >= COUNT - 1

    return check


READ: dict[str, tuple[type[Source], Row, Row | str, Row | str, Callable[[Any], None]]] = {
    "texts, and spans besides": (
        Jsonl, {}, {"text": "a", "label": "x"},
        {"text": "a", "label": "x", "entities": [[0, 1, "X"]]}, has("label", "x"),
    ),
    "texts, and a second one": (
        Jsonl, {}, {"text": "a", "label": "x"},
        {"text": "a", "text_pair": "b", "label": "x"}, has_no("text_pair"),
    ),
    "tags by another name besides": (
        Jsonl, {}, {"tokens": ["a"], "ner": ["B-X"]},
        {"tokens": ["a"], "ner": ["B-X"], "tags": ["O"]}, has("tags", ["B-X"]),
    ),
    "spans, and none": (
        Jsonl, {}, {"text": "a", "entities": [[0, 1, "X"]]},
        {"text": "a", "entities": []}, has("tags", ["B-X"]),
    ),
    "sources, and one in parts": (
        Jsonl, {"kind": "pairs"}, {"source": "a b", "target": "b"},
        {"source": ["a", "b"], "target": "b"}, has_no("lead"),
    ),
    "sources in parts, and one that is not": (
        Jsonl, {"kind": "pairs"}, {"source": ["a", "b"], "target": "b"},
        {"source": "a b", "target": "b"}, has("lead", "a"),
    ),
    "semicolons, and a comma": (
        Table, {"columns": ["text", "label"]}, "a b;x", "a, b;x", has("text", "a b"),
    ),
    "commas, and a semicolon": (
        Table, {"columns": ["text", "label"]}, "a b,x", "a; b,x", has("text", "a b"),
    ),
    "tabs, and a comma": (
        Table, {"columns": ["text", "label"]}, "a b\tx", "a, b\tx", has("text", "a b"),
    ),
    "a token that looks like a comment": (
        Conll, {"comment": "#"}, "a\tO\n", "#b\tO\n", has("tokens", ["a"]),
    ),
    "a comment": (Conll, {"comment": "#"}, "a\tO\n", "#b\na\tO\n", has("tokens", ["a"])),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("case", READ)
def test_the_odd_row_is_read_as_the_others(case: str, place: int, write) -> None:
    made, options, usual, odd, check = READ[case]
    name = {Table: "x.csv", Conll: "x.conll"}.get(made, "x.jsonl")
    path = write(name, lines_with(usual, odd, place))
    source: Any = asked.made(made, train=path, **options)
    table = source.read().splits["train"]
    assert table.num_rows == COUNT
    check(table)


@pytest.mark.parametrize("place", PLACES)
def test_names_of_examples_to_predict_on(place: int, write) -> None:
    rows = [{"id": f"n{i}", "text": "a"} for i in range(1, 101)]
    rows[min(place, 100) - 1] = {"text": "b"}
    path = write("x.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    found = read_unlabelled(path, KINDS["text"])["id"].to_pylist()
    wanted = [row.get("id", f"x.jsonl:{n}") for n, row in enumerate(rows, 1)]
    assert found == wanted


@pytest.mark.parametrize("place", PLACES)
def test_words_to_predict_on(place: int, write, refused) -> None:
    path = write("x.jsonl", lines_with({"tokens": ["a", "b"]}, {"tokens": "a"}, place))
    error = refused(read_unlabelled, path, KINDS["tokens"])
    assert error.line == place


@pytest.mark.parametrize(
    ("encoding", "text", "hint"),
    [
        ("gb18030", "庐山烟雨浙江潮，未到千般恨不消。", "iconv -f gb18030"),
        (
            "gb18030",
            "The parcel is late: a 退货 now, please!",
            "iconv -f gb18030",
        ),
        ("latin1", "une soirée très réussie à côté", "iconv -f latin1"),
        ("cp1252", "une soirée – très réussie – à 20 €", "iconv -f cp1252"),
        ("utf-8", "庐山烟雨浙江潮", "iconv -c -f utf-8"),
    ],
)
@pytest.mark.parametrize("place", PLACES)
def test_the_encoding_that_is_proposed(
    encoding: str, text: str, hint: str, place: int, write, refused
) -> None:
    lines = [f"{text}\tx".encode(encoding)] * COUNT
    lines[place - 1] = b"\xff\xff\tx"
    error = refused(Table(train=write("x.tsv", b"\n".join(lines)), columns=["text", "label"]).read)
    assert hint in error.hint
