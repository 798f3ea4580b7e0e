"""A carriage return that ends a line alone: refused with its place by all that reads lines."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.helpers.asked import KINDS

from lushan.data.formats.conll import Conll
from lushan.data.formats.jsonl import Jsonl
from lushan.data.formats.table import Table
from lushan.data.formats.text import Text
from lushan.data.unlabelled import read_unlabelled
from lushan.errors import UserError

ROWS = [{"text": f"some text {n}", "label": "yn"[n % 2]} for n in range(9)]
JSON = "".join(json.dumps(row) + "\n" for row in ROWS)
CSV = "text,label\n" + "".join("{text},{label}\n".format(**row) for row in ROWS)
TSV, SEMICOLONS = CSV.replace(",", "\t"), CSV.replace(",", ";")
LINES = "".join(f"some text {n}\n" for n in range(9))

READERS: dict[str, tuple[str, str, Callable[[str], object]]] = {
    "CSV": ("x.csv", CSV, lambda path: Table(train=path).read()),
    "CSV with a separator": ("x.csv", CSV, lambda path: Table(train=path, separator=",").read()),
    "TSV": ("x.tsv", TSV, lambda path: Table(train=path).read()),
    "semicolons": ("x.csv", SEMICOLONS, lambda path: Table(train=path).read()),
    "JSON lines": ("x.jsonl", JSON, lambda path: Jsonl(train=path).read()),
    "columns": ("x.conll", "a O\nb O\n\nc O\n", lambda path: Conll(train=path).read()),
    "lines": ("x.txt", LINES, lambda path: Text(train=path, document="line").read()),
    "paragraphs": ("x.txt", LINES, lambda path: Text(train=path, document="paragraph").read()),
    "raw CSV": ("x.csv", CSV, lambda path: Text(train=path).read()),
    "raw JSON": ("x.jsonl", JSON, lambda path: Text(train=path).read()),
    "predict, lines": ("x.txt", LINES, lambda path: read_unlabelled(path, KINDS["text"])),
    "predict, CSV": ("x.csv", CSV, lambda path: read_unlabelled(path, KINDS["text"])),
    "predict, JSON": ("x.jsonl", JSON, lambda path: read_unlabelled(path, KINDS["text"])),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("stray", [False, True])
def test_a_carriage_return_alone_is_refused_by_every_reader_of_lines(
    name: str, stray: bool, tmp_path: Path
) -> None:
    file, text, read = READERS[name]
    path = tmp_path / file
    # All lines end so, or one line feed among others is a carriage return.
    content = text.replace("\n", "\r", 1) if stray else text.replace("\n", "\r")
    path.write_bytes(content.encode())
    with pytest.raises(UserError) as caught:
        read(str(path))
    error = caught.value
    assert "carriage return" in error.problem
    assert (error.file, error.line) == (str(path), 1)
    assert r"tr '\r' '\n'" in (error.hint or "")


@pytest.mark.parametrize("name", ["CSV", "TSV", "semicolons", "raw CSV", "predict, CSV"])
@pytest.mark.parametrize("content", [b"\r\x01", b"\r", b"a\r\x01\n", b'"', b"\x01\r\n\r\x01"])
def test_a_table_that_is_none_is_refused_with_its_file(
    name: str, content: bytes, tmp_path: Path
) -> None:
    file, _, read = READERS[name]
    path = tmp_path / file
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read(str(path))
    assert str(path) in str(caught.value)


def test_a_carriage_return_in_a_quoted_field_is_text(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b'text;label\n"a\rb";y\nc;n\n')
    table = Table(train=str(path)).read().splits["train"]
    assert table["text"].to_pylist() == ["a\rb", "c"]
