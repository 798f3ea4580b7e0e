"""How public files are packed, and the shapes that their JSON has."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import re
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lushan.data.fields import DOCUMENTS, LABELLED
from lushan.data.formats import Chat, Hub, Jsonl, Table, Text

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


def sheet(*names: str) -> bytes:
    """A zip archive with files of these names."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return made.getvalue()


CONVERTED = (
    "Convert it: pip install openpyxl; python -c 'import sys, pandas; "
    "pandas.read_excel(sys.argv[1]).to_csv(sys.argv[2], index=False)' "
)


def test_a_sheet_is_converted_by_a_command_that_can_be_pasted(write, refused) -> None:
    content = sheet("[Content_Types].xml", "xl/workbook.xml")
    path = Path(write("my sheet.xlsx", content))
    error = refused(Table(train=str(path)).read, LABELLED)
    assert error.problem == "this file is a sheet (.xlsx)"
    assert error.hint == f"{CONVERTED}'{path}' '{path.with_suffix('.csv')}'"
    write("my sheet.csv", "mine")  # is not overwritten
    assert refused(Table(train=str(path)).read, LABELLED).hint.endswith("my sheet-converted.csv'")
    named = write("x.csv", content)  # by what it holds, whatever it is called
    assert refused(Table(train=named).read, LABELLED).hint.startswith(CONVERTED)
    error = refused(Table(train=write("x.zip.csv", sheet("a.csv"))).read, LABELLED)
    assert error.problem == "this file is a zip archive"
    assert "unzip -p" in error.hint
    assert "pandas" not in error.hint


def test_hints_name_the_file_and_a_new_one(write, refused) -> None:
    rows = "text,label\nune soirée réussie,a\n".encode("latin1")
    path = Path(write("réussi.csv", rows))
    hint = refused(Table(train=str(path)).read, LABELLED).hint
    new = path.with_stem("réussi-converted")
    command = f"iconv -f latin1 -t utf-8 '{path}' > '{new}'"
    assert hint == f"Convert the file: {command}"
    subprocess.run(command, shell=True, check=True)
    assert Table(train=str(new)).read(LABELLED).splits["train"].num_rows == 1
    packed = Path(write("x.csv.gz", gzip.compress(rows)))
    hint = refused(Table(train=str(packed)).read, LABELLED).hint
    subprocess.run(hint.removeprefix("Convert the file: "), shell=True, check=True)
    assert Table(train=str(packed.with_suffix(""))).read(LABELLED).splits["train"].num_rows == 1
    for content in ("text,label\n1,2\n".encode("utf-16"), b"text,label\ra,b\r"):
        hint = refused(Table(train=write("y.csv", content)).read, LABELLED).hint
        assert "y-converted.csv" in hint
        assert not re.search(r"\b(IN|OUT)\b", hint)


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
