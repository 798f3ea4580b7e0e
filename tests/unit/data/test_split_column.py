"""One file may hold several splits: a column divides its rows, and is not overlooked."""

from __future__ import annotations

import json

import pytest

from lushan.data.formats import Chat, Jsonl, Table
from lushan.errors import UserError

SPLITS = ("train", "dev", "Test", "train", "restval", "train", "test", "VALID")


def csv(folder, name="split"):
    path = folder / "all.csv"
    rows = [f"text {i},{'ab'[i % 2]},{split}" for i, split in enumerate(SPLITS)]
    path.write_text("\n".join([f"text,label,{name}", *rows]) + "\n")
    return Table, path


def jsonl(folder):
    path = folder / "all.jsonl"
    rows = [{"text": f"text {i}", "label": "ab"[i % 2], "split": s} for i, s in enumerate(SPLITS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Jsonl, path


def chat(folder):
    path = folder / "chat.jsonl"
    rows = [{"instruction": f"text {i}", "output": "yes", "split": s} for i, s in enumerate(SPLITS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Chat, path


def corpus(made, **options):
    kind, path = made
    return kind(dir=str(path.parent), train=path.name, **options).read()


@pytest.mark.parametrize("write", [csv, jsonl, chat])
def test_a_column_divides_a_file(write, tmp_path):
    made = write(tmp_path)
    name = made[1].name
    found = corpus(made, validation=name, test=name, split_column="split")
    lines = {split: table.column("line").to_pylist() for split, table in found.splits.items()}
    first = 2 if write is csv else 1
    where = {"train": [0, 3, 5], "validation": [1, 7], "test": [2, 6]}
    assert lines == {split: [i + first for i in rows] for split, rows in where.items()}
    (note,) = [note for note in found.notes if "column split" in note]
    assert note.startswith("train: 3 of 8 rows")
    assert "1 restval" in note


@pytest.mark.parametrize("write", [csv, jsonl, chat])
def test_a_column_that_is_not_used_is_noted(write, tmp_path):
    found = corpus(write(tmp_path))
    (note,) = [note for note in found.notes if "data.split_column=split" in note]
    assert "3 train" in note
    assert found.splits["train"].num_rows == len(SPLITS)


@pytest.mark.parametrize("name", ["topic", "text_split"])
def test_other_columns_are_not_suspected(name, tmp_path):
    assert not any("split_column" in note for note in corpus(csv(tmp_path, name)).notes)


def test_values_that_name_no_splits_are_not_suspected(tmp_path):
    path = tmp_path / "all.csv"
    path.write_text("text,label,set\nx,a,train\ny,b,bus\nz,a,train\n")
    assert not any("split_column" in note for note in corpus((Table, path)).notes)


def test_a_split_without_rows_is_refused(tmp_path):
    path = tmp_path / "all.csv"
    path.write_text("text,label,split\nx,a,train\ny,b,validate\n")
    with pytest.raises(UserError) as caught:
        corpus((Table, path), validation="all.csv", split_column="split")
    assert caught.value.key == "data.validation"
    assert "1 validate" in caught.value.hint
    assert "dev" in caught.value.hint
    with pytest.raises(UserError) as caught:
        corpus((Table, path), split_column="splits")
    assert caught.value.key == "data.split_column"


def test_shares_are_taken_from_the_training_rows(tmp_path):
    rows = [f"text {i},{'ab'[i % 2]},{'train' if i < 40 else 'test'}" for i in range(60)]
    path = tmp_path / "all.csv"
    path.write_text("\n".join(["text,label,split", *rows]) + "\n")
    made = (Table, path)
    found = corpus(made, validation=0.1, test="all.csv", split_column="split")
    assert {split: t.num_rows for split, t in found.splits.items()} == {
        "train": 36,
        "validation": 4,
        "test": 20,
    }
    assert max(found.splits["validation"].column("line").to_pylist()) <= 41
