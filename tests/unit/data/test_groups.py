"""Rows of a group stay on one side, lists inside of rows become rows, and tasks read what fits."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lushan.data.fields import DOCUMENTS, LABELLED, Text
from lushan.data.formats import Jsonl, Table
from lushan.data.splits import GROUP, divide
from lushan.errors import UserError

ROWS = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 12), st.sampled_from(["x", "y", "z"])),
    min_size=20,
    max_size=60,
)


@settings(max_examples=40)
@given(ROWS, st.integers(0, 5), st.booleans())
def test_no_group_is_on_two_sides_nor_are_copies(rows, seed, labelled):
    fields = {"text": Text()} | ({"label": LABELLED["label"]} if labelled else {})
    columns = {
        "text": [f"text {text}" for _, text, _ in rows],
        GROUP: [group for group, _, _ in rows],
        "number": list(range(len(rows))),
    }
    if labelled:
        columns["label"] = [label for *_, label in rows]
    table = pa.table(columns)
    try:
        splits = divide(table, fields, {"validation": 0.2, "test": 0.2}, seed, file="x")
    except UserError:  # one group holds nearly all rows
        return
    assert sorted(n for s in splits.values() for n in s.column("number").to_pylist()) == list(
        range(len(rows))
    )
    for name in (GROUP, "text"):
        sides = [set(part.column(name).to_pylist()) for part in splits.values()]
        assert sum(map(len, sides)) == len(set().union(*sides)), name
    again = divide(table, fields, {"validation": 0.2, "test": 0.2}, seed, file="x")
    assert again == splits


def test_a_copy_links_two_groups():
    texts = ["shared", "one", "shared", "two", *(f"alone {i}" for i in range(8))]
    groups = ["a", "a", "b", "b", *(f"g{i}" for i in range(8))]
    table = pa.table({"text": texts, GROUP: groups})
    for seed in range(10):
        splits = divide(table, {"text": Text()}, {"test": 0.4}, seed, file="x")
        sides = [{"a", "b"} & set(part.column(GROUP).to_pylist()) for part in splits.values()]
        assert sorted(map(len, sides)) == [0, 2]


def test_too_few_groups_are_distinguished_from_too_few_rows():
    table = pa.table({"text": list("abcdefgh"), GROUP: ["one"] * 7 + ["two"]})
    with pytest.raises(UserError, match="8 examples, in 2 parts that stay together"):
        divide(table, {"text": Text()}, {"validation": 0.4, "test": 0.4}, 1, file="x")


def lines(path, *rows):
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    return str(path)


def test_a_group_is_a_column_of_the_file(tmp_path):
    rows = [{"text": f"t{i}", "label": "x", "who": f"p{i // 4}"} for i in range(40)]
    file = lines(tmp_path / "x.jsonl", *rows)
    corpus = Jsonl(train=file, test=0.3, group="who").read(LABELLED)
    sides = [set(part.column(GROUP).to_pylist()) for part in corpus.splits.values()]
    assert not sides[0] & sides[1]
    with pytest.raises(UserError) as caught:
        Jsonl(train=file, test=0.3, group="whom").read(LABELLED)
    assert caught.value.key == "data.group"
    assert "who" in caught.value.hint


@pytest.mark.parametrize("missing", [None, ""])
def test_a_row_without_a_group_is_refused(missing, tmp_path):
    rows = [{"text": "a", "label": "x", "who": "p"}] * 3
    file = lines(tmp_path / "x.jsonl", *rows, {"text": "b", "label": "x", "who": missing})
    with pytest.raises(UserError, match="the who, the group that keeps rows together") as caught:
        Jsonl(train=file, group="who").read(LABELLED)
    assert caught.value.line == 4


# Lists inside of rows


def test_the_innermost_elements_are_rows_with_what_they_lie_in(tmp_path):
    rows = [
        {"title": "A", "parts": [{"text": "a1", "label": "x"}, {"text": "a2", "label": "y"}]},
        {"title": "B", "parts": [{"text": "b1", "label": "x", "title": "own"}]},
    ]
    file = lines(tmp_path / "x.jsonl", *rows)
    source = Jsonl(train=file, each="parts", group="title")
    table = source.read(LABELLED).splits["train"]
    assert table.column("text").to_pylist() == ["a1", "a2", "b1"]
    assert table.column("line").to_pylist() == [1, 1, 2]
    assert table.column(GROUP).to_pylist() == ["A", "A", "own"]
    assert table.column("id").to_pylist() == ["x.jsonl:1", "x.jsonl:2", "x.jsonl:3"]


@pytest.mark.parametrize(
    "bad",
    [{"title": "B"}, {"parts": 7}, {"parts": {"text": "a"}}, {"parts": ["a"]}, {"parts": None}],
    ids=str,
)
def test_a_row_without_such_a_list_is_refused_with_its_line(bad, tmp_path):
    good = {"parts": [{"text": "a", "label": "x"}]}
    with pytest.raises(UserError, match="no list of objects at parts") as caught:
        Jsonl(train=lines(tmp_path / "x.jsonl", good, bad), each="parts").read(LABELLED)
    assert caught.value.line == 2
    assert "data.each=null" in caught.value.hint


def test_lists_without_an_element_are_no_rows(tmp_path):
    with pytest.raises(UserError):
        Jsonl(train=lines(tmp_path / "x.jsonl", {"parts": []}), each="parts").read(LABELLED)


def test_what_is_wrong_in_an_element_is_reported_with_its_number(tmp_path):
    row = {"parts": [{"text": "a", "label": "x"}, {"text": None, "label": "x"}]}
    with pytest.raises(UserError, match="element 2") as caught:
        Jsonl(train=lines(tmp_path / "x.jsonl", row), each="parts", text="text").read(LABELLED)
    assert caught.value.line == 1


# What is read for which task


@pytest.mark.parametrize("source", [Table, Jsonl])
def test_documents_are_read_from_labelled_tables(source, tmp_path):
    if source is Table:
        (tmp_path / "x.csv").write_text("text,label\none,a\ntwo,b\n", encoding="utf-8")
        made = Table(train=str(tmp_path / "x.csv"))
    else:
        rows = [{"text": "one", "label": "a"}, {"text": "two", "label": "b"}]
        made = Jsonl(train=lines(tmp_path / "x.jsonl", *rows))
    table = made.read(DOCUMENTS).splits["train"]
    assert table.column("text").to_pylist() == ["one", "two"]
    assert "label" not in table.column_names


MISMATCHES = {
    ("chat", "conll"): ("x.conll", "Anna B-PER\n", "For messages (dialogue): data=chat"),
    ("ner", "text"): ("x.txt", "Anna lives.\n", "list of words"),
    ("qa", "text"): ("x.txt", "Anna lives.\n", "For answers (list of answers): data=squad"),
    ("qa", "conll"): ("x.conll", "Anna B-PER\n", "question"),
    ("image_classification", "text"): ("x.txt", "Anna lives.\n", "For image (image): data=folder"),
    ("ner", "folder"): ("images", None, "list of words"),
    ("classification", "chat"): ("x.jsonl", '{"messages": []}\n', "text"),
}


@pytest.mark.slow(1)
@pytest.mark.parametrize("pair", MISMATCHES, ids=" of ".join)
def test_a_source_that_a_task_cannot_read_is_named_with_what_it_reads(pair, cli_inside, tmp_path):
    name, content, wanted = MISMATCHES[pair]
    if content is None:
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_text(content, encoding="utf-8")
    task, data = pair
    model = ["model=gpt2_tiny"] if task == "chat" else []
    done = cli_inside(
        "train", f"task={task}", f"data={data}", f"data.train={name}", "test=false", *model
    )
    assert done.code == 2, done.err
    assert wanted in done.err, done.err
    assert "Traceback" not in done.err
    assert "data=" in done.err
