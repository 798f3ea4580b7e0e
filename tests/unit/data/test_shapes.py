"""How public files are packed, and the shapes that their JSON has."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from typing import Any

import pyarrow as pa
import pytest

from lushan.data.fields import DOCUMENTS, LABELLED
from lushan.data.formats import Chat, Hub, Jsonl, Text

ROWS = "".join(json.dumps({"text": f"text {n}", "label": "ab"[n % 2]}) + "\n" for n in range(99))
PACKED = {
    "gz": gzip.compress(ROWS.encode()),
    "bz2": bz2.compress(ROWS.encode()),
    "xz": lzma.compress(ROWS.encode()),
    "zst": pa.compress(ROWS.encode(), codec="zstd", asbytes=True),
}
TURNS = ["hello", "good day", "bye"]


@pytest.mark.parametrize("ending", PACKED)
def test_packed_files(ending: str, write, refused) -> None:
    path = write(f"x.jsonl.{ending}", PACKED[ending])
    assert Jsonl(train=path).read(LABELLED).splits["train"].num_rows == 99
    assert Text(train=path).read(DOCUMENTS).splits["train"].num_rows == 99
    error = refused(Jsonl(train=write("cut.jsonl", PACKED[ending][:-20])).read, LABELLED)
    assert "damaged or truncated" in error.problem
    assert "-dc" in error.hint


@pytest.mark.parametrize("head", [b"PK\x03\x04", b"\x80\x04\x95", b"SQLite format 3\0"])
def test_what_is_no_text_says_what_it_is(head: bytes, write, refused) -> None:
    error = refused(Jsonl(train=write("x.json", head + bytes(range(200)))).read, LABELLED)
    assert error.problem.startswith("this file is a")
    assert "iconv" not in error.hint


@pytest.mark.parametrize(
    "turn", [str, lambda t: {"speaker": "USR" if t < "h" else "user", "text": t}]
)
def test_dialogues_that_are_lists(turn: Any, write) -> None:
    dialogue = [turn(text) for text in TURNS]
    content = json.dumps([dialogue] * 2)
    read = Chat(train=write("x.json", content), roles={"USR": "assistant"}).read()
    assert read.splits["train"].num_rows == 2


def test_texts_beside_their_annotations(write) -> None:
    row = ["Li Bai went.", {"entities": [[0, 6, "PER"]]}]
    table = Jsonl(train=write("x.json", json.dumps([row, row]))).read().splits["train"]
    assert table["tags"].to_pylist()[0] == ["B-PER", "I-PER", "O", "O"]


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ({"PMUL1.json": {"log": []}, "PMUL2.json": {"log": []}}, "jq -c '.[]'"),
        ({"text": {"0": "a", "1": "b"}, "label": {"0": "x", "1": "y"}}, "orient='records'"),
    ],
)
def test_objects_of_objects_say_how_rows_are_got(content: Any, hint: str, write, refused) -> None:
    assert hint in refused(Chat(train=write("x.json", json.dumps(content))).read).hint


def test_a_set_that_was_saved_without_splits(tmp_path) -> None:
    import datasets

    datasets.disable_progress_bars()
    rows = [json.loads(line) for line in ROWS.splitlines()]
    datasets.Dataset.from_list(rows).save_to_disk(tmp_path / "saved")
    read = Hub(path=str(tmp_path / "saved"), validation=0.1, test=None).read(LABELLED)
    assert sum(table.num_rows for table in read.splits.values()) == 99


@pytest.mark.parametrize(
    "row",
    [
        {
            "prompt": [{"role": "user", "content": "hello"}],
            "completion": [{"role": "assistant", "content": "good day"}],
        },
        {"conversation": [{"human": "hello", "assistant": "good day"}]},
    ],
    ids=["trl", "moss"],
)
def test_exchanges(row: dict[str, Any], read_chat) -> None:
    table = read_chat(row).splits["train"]
    said = [(m["role"], m["content"]) for m in table["messages"][0].as_py()]
    assert said == [("user", "hello"), ("assistant", "good day")]


def test_instructions_in_a_table(write) -> None:
    path = write("x.csv", 'instruction,output\nhello,"good\nday"\n')
    said = Chat(train=path).read().splits["train"]["messages"][0].as_py()
    assert [m["content"] for m in said] == ["hello", "good\nday"]
