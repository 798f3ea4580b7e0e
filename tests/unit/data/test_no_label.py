"""Labels that mean that there is none, and labels that are no numbers."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from tests.helpers.asked import made

from lushan.audit.findings import audit_of
from lushan.common.override_text import value_text
from lushan.data.formats import Jsonl, Table
from lushan.data.label_numbers import NONE

WRITTEN = sorted({*NONE, *(text.upper() for text in NONE), "NaN", "None"} - {r"\n"} | {r"\N"})


@pytest.mark.parametrize("none", WRITTEN)
def test_a_label_that_may_mean_none_is_noted_and_left_out(none, write) -> None:
    path = write(
        "x.csv",
        "text,label\n" + "".join(f"a {i},{v}\n" for i, v in enumerate(["pos", "neg", none] * 10)),
    )
    corpus = Table(train=path).read()
    assert corpus.splits["train"].num_rows == 30
    audited = audit_of(corpus.splits, corpus.fields, corpus.notes).notes
    for notes in (corpus.notes, audited):
        (note,) = [note for note in notes if "may mean" in note]
        assert note.startswith(f"train: {none!r} (10) of 30 labels may mean that there is none")
        assert "data.unlabelled=drop" in note
        assert f"data.no_label={value_text([none])}" in note
    read = Table(train=path, unlabelled="drop", no_label=[none]).read()
    assert read.splits["train"]["label"].to_pylist() == ["pos", "neg"] * 10
    assert read.notes == ["train: 10 of 30 rows dropped: they have no label"]


def test_a_label_that_is_said_to_mean_none_is_refused(write, refused) -> None:
    path = write("x.csv", "text,label\na,1\nb,-1\nc,-1\n")
    error = refused(Table(train=path, no_label=["-1"]).read)
    assert (error.line, error.value) == (3, "-1")
    assert "in 2 of 3 rows" in error.problem
    assert "data.unlabelled=drop" in error.hint
    numbers = write("x.jsonl", '{"text": "a", "label": 1}\n{"text": "b", "label": -1}\n')
    read = Jsonl(train=numbers, no_label=["-1"], unlabelled="drop").read()
    assert read.splits["train"]["label"].to_pylist() == ["1"]


def test_labels_that_are_named_mean_what_they_say(write) -> None:
    path = write("x.csv", "text,label\na,none\nb,joy\n")
    assert "may mean" in str(Table(train=path).read().notes)
    assert Table(train=path, label_names=["none", "joy"]).read().notes == []
    assert Table(train=write("y.csv", "text,label\nnull,joy\nNA,sad\n")).read().notes == []


@pytest.mark.parametrize("none", ["", " ", *WRITTEN])
def test_numbers_that_are_missing(none, write, refused) -> None:
    path = write(
        "x.csv",
        "text,score\n" + "".join(f"a {i},{v}\n" for i, v in enumerate(["0.5", none, "1"] * 3)),
    )
    error = refused(made(Table, train=path, label_kind="regression").read)
    assert error.line == 3
    assert "missing, in 3 of 9 rows" in error.problem
    assert error.value == (none if none.strip() else None)
    assert "data.unlabelled=drop" in error.hint
    assert "single" not in error.hint
    read = made(Table, train=path, label_kind="regression", unlabelled="drop").read()
    assert read.splits["train"]["label"].to_pylist() == [0.5, 1.0] * 3
    assert "train: 3 of 9 rows dropped: they have no label" in read.notes


def test_what_is_no_number_among_numbers(write, refused) -> None:
    path = write("x.csv", "text,score\na,1\nb,unsure\nc,2\nd,3\n")
    error = refused(made(Table, train=path, label_kind="regression").read)
    assert (error.line, error.value) == (3, "unsure")
    assert "data.unlabelled=drop 'data.no_label=[unsure]'" in error.hint
    assert "single" not in error.hint
    source = {"train": path, "unlabelled": "drop", "no_label": ["unsure"]}
    read = made(Table, label_kind="regression", **source).read()
    assert read.splits["train"]["label"].to_pylist() == [1.0, 2.0, 3.0]


def test_another_column_has_the_numbers(write, refused) -> None:
    rows = "".join(f"{i},{i}a,up {i},TSLA,{i / 9 - 0.5:.3f},post\n" for i in range(9))
    path = write("x.csv", f",_id,sentence,target,score,type\n{rows}")
    error = refused(made(Table, train=path, label_kind="regression", id=None).read)
    assert error.value == "TSLA"
    assert "data.label=score" in error.hint
    found = made(Table, train=path, label_kind="regression", id=None, label="score").read()
    assert found.splits["train"].num_rows == 9
    alone = write("y.csv", "text,label\na,pos\nb,neg\n")
    hint = refused(made(Table, train=alone, label_kind="regression").read).hint
    assert hint == "For labels, use task.kind=single."


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, '"0"'), (2.5, '"2.5"'), (True, '"true"'), (["方法", "词0"], '"方法 词0"')],
)
def test_what_to_write_for_what_is_no_text(value, written, write, refused) -> None:
    path = write("x.jsonl", json.dumps({"text": value, "label": "x"}) + "\n")
    error = refused(Jsonl(train=path).read)
    assert (error.line, error.value) == (1, value)
    assert written in error.hint
    command = error.hint.partition("in all rows: ")[2]
    assert path in command
    if shutil.which("jq") is not None:
        subprocess.run(command, shell=True, check=True)
        read = Jsonl(train=command.rpartition("> ")[2]).read()
        assert read.splits["train"]["text"].to_pylist() == [json.loads(written)]
