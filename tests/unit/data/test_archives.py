"""Archives in the place of a file: the hint unpacks them, and what it writes can be read."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from lushan.data.fields import LABELLED
from lushan.data.formats import Jsonl, Table

CSV = b"text,label\ngood,a\nbad,b\n"
JSON = b'{"text": "good", "label": "a"}\n{"text": "bad", "label": "b"}\n'
ROWS = ["good", "bad"]

pytestmark = pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed")


def zipped(**members: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return made.getvalue()


def tarred(mode: str, **members: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def run(hint: str, start: str) -> None:
    """Run the command in a hint, which is its end."""
    found = re.search(rf"{start} .*", hint)
    assert found is not None, hint
    subprocess.run(found[0], shell=True, check=True, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("name", "members", "new"),
    [
        ("x.zip", {"train.csv": CSV}, "train.csv"),
        ("x.csv.zip", {"x.csv": CSV}, "x.csv"),
        ("my x.csv", {"in/a 1.csv": CSV}, "a 1.csv"),
        ("x.zip", {"train.jsonl": JSON}, "train.jsonl"),
        ("x.zip", {"a.csv": CSV, "__MACOSX/._a.csv": b"\0\5\x16\7", ".DS_Store": b"\0"}, "a.csv"),
        ("a.csv", {"a.csv": CSV}, "a-converted.csv"),
    ],
)
def test_one_file_keeps_its_name(
    name: str, members: dict[str, bytes], new: str, write: Any, refused: Any
) -> None:
    path = Path(write(name, zipped(**members)))
    source = Jsonl if new.endswith("jsonl") else Table
    error = refused(source(train=str(path)).read, LABELLED)
    assert error.problem == "this file is a zip archive"
    run(error.hint, "unzip")
    read = source(train=str(path.with_name(new))).read(LABELLED)
    assert read.splits["train"]["text"].to_pylist() == ROWS


def test_several_files_go_to_a_folder(write: Any, refused: Any) -> None:
    path = Path(write("two.zip", zipped(**{"train.csv": CSV, "in/test.csv": CSV})))
    for folder in ("two", "two-converted"):
        error = refused(Table(train=str(path)).read, LABELLED)
        assert "train.csv, in/test.csv" in error.hint
        run(error.hint, "unzip")
        new = path.with_name(folder)
        read = Table(train=f"{new}/train.csv", test=f"{new}/in/test.csv").read(LABELLED)
        assert read.splits["test"]["text"].to_pylist() == ROWS


def test_many_files_are_not_all_named(write: Any, refused: Any) -> None:
    path = write("many.zip", zipped(**{f"{n}.csv": CSV for n in range(99)}))
    hint = refused(Table(train=path).read, LABELLED).hint
    assert "9.csv, ... (99 in all)" in hint
    assert "17.csv" not in hint


def test_an_empty_archive(write: Any, refused: Any) -> None:
    error = refused(Table(train=write("x.zip", zipped(**{"a/": b""}))).read, LABELLED)
    assert (error.problem, error.hint) == ("this file is an empty zip archive", None)


@pytest.mark.parametrize(
    ("name", "mode"), [("x.tar", "w"), ("x.tar.gz", "w:gz"), ("x.csv", "w:xz")]
)
def test_tar(name: str, mode: str, write: Any, refused: Any) -> None:
    path = Path(write(name, tarred(mode, **{"train.csv": CSV, "test.csv": CSV})))
    error = refused(Table(train=str(path)).read, LABELLED)
    assert error.problem == "this file is a tar archive"
    run(error.hint, "mkdir")
    assert Table(train=f"{path.with_name('x')}/train.csv").read(LABELLED).splits["train"].num_rows
