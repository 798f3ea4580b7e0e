"""Public data in forms that once were read as something else, without a word."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lushan.data.fields import DOCUMENTS, LABELLED
from lushan.data.formats import Chat, Jsonl, Table, Text
from lushan.data.passages import SEARCHED

NLI = [
    {"sentence1": "a man runs", "sentence2": "he moves", "gold_label": label}
    for label in ("entailment", "-", "neutral")
]


def rows(*found: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in found)


def test_labels_on_which_annotators_did_not_agree(write, refused) -> None:
    path = write("snli.jsonl", rows(*NLI))
    error = refused(Jsonl(train=path, label="gold_label").read, LABELLED)
    assert error.line == 2
    assert "did not agree" in error.problem
    assert "data.unlabelled=drop" in error.hint
    read = Jsonl(train=path, label="gold_label", unlabelled="drop").read(LABELLED)
    assert read.splits["train"]["label"].to_pylist() == ["entailment", "neutral"]
    assert read.notes[0] == "train: 1 of 3 rows dropped: they have no label"


def test_a_minus_that_is_a_label(write) -> None:
    signs = write("signs.csv", "text,label\ngood,+\nbad,-\n")
    assert Table(train=signs).read(LABELLED).splits["train"]["label"].to_pylist() == ["+", "-"]
    named = write("named.jsonl", rows(*NLI))
    names = ["-", "entailment", "neutral"]
    read = Jsonl(train=named, label="gold_label", label_names=names).read(LABELLED)
    assert read.splits["train"]["label"].to_pylist() == ["entailment", "-", "neutral"]


@pytest.mark.parametrize(
    ("name", "values"),
    [("label", (1, 0)), ("score", ("5.0", "0.2")), ("gold_label", ("entailment", "contradiction"))],
)
def test_pairs_of_which_not_all_are_right(name: str, values: tuple[Any, Any], write, refused):
    pairs = [{"sentence1": "a", "sentence2": "b", name: value} for value in values]
    error = refused(Jsonl(train=write("x.jsonl", rows(*pairs))).read, SEARCHED)
    assert error.line == 2
    assert f"{name} grades the relevance" in error.problem
    same = write("same.jsonl", rows(pairs[0], pairs[0]))
    assert Jsonl(train=same).read(SEARCHED).splits["train"].num_rows == 2


TITLED = [{"title": "a", "body_text": "a longer text", "label": "x"}] * 2


def test_titles_beside_longer_texts(write, refused) -> None:
    path = write("news.jsonl", rows(*TITLED))
    error = refused(Jsonl(train=path).read, LABELLED)
    assert error.key == "data.text"
    assert "data.text=body_text" in error.hint
    assert "body_text" in refused(Text(train=path).read, DOCUMENTS).hint
    short = [{"title": row["title"], "day": "", "label": "x"} for row in TITLED]
    assert Jsonl(train=write("short.jsonl", rows(*short))).read(LABELLED).splits


def test_an_instruction_that_is_called_input(write) -> None:
    path = write("firefly.jsonl", rows({"kind": "NLI", "input": "go on", "target": "yes"}))
    read = Chat(train=path, instruction="input", output="target").read()
    said = [m["content"] for m in read.splits["train"]["messages"][0].as_py()]
    assert said == ["go on", "yes"]


def test_lists_of_one_passage(write, refused) -> None:
    one = {"query": "q", "pos": ["right"], "neg": ["wrong", "worse"]}
    table = Jsonl(train=write("bge.jsonl", rows(one))).read(SEARCHED).splits["train"]
    assert table["positive"].to_pylist() == ["right"]
    assert table["negatives"].to_pylist() == [["wrong", "worse"]]
    error = refused(Jsonl(train=write("two.jsonl", rows(one | {"pos": ["a", "b"]}))).read, SEARCHED)
    assert ".pos[] as $one" in error.hint


def test_a_test_split_without_labels(write, refused) -> None:
    train = write("train.tsv", "sentence\tlabel\ngood\t1\n")
    test = write("test.tsv", "index\tsentence\n0\tgood\n")
    error = refused(Table(train=train, test=test).read, LABELLED)
    assert error.file == test
    assert "data.test=null" in error.hint
