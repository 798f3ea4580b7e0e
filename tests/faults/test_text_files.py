"""Files of raw text that are damaged, empty, endless or no text: refused, or counted."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys

import pytest

from lushan.data.formats import Text
from lushan.errors import UserError

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def write(tmp_path):
    def written(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return written


def refusal(path, **options):
    with pytest.raises(UserError) as caught:
        Text(train=path, **options).read()
    assert caught.value.exit_code == 2
    return caught.value


def texts(path, **options):
    read = Text(train=path, **options).read()
    return read.splits["train"]["text"].to_pylist(), read.notes


# Cut off


@pytest.mark.parametrize("name", ["x.txt.gz", "x.jsonl.gz"])
def test_a_gzip_file_that_ends_in_the_middle(name, write, tmp_path):
    chance = random.Random(1)
    lines = [json.dumps({"text": f"{chance.random()} " * 50}) for _ in range(5000)]
    packed = gzip.compress("\n".join(lines).encode(), 1)
    path = write(name, packed[: len(packed) * 3 // 4])
    error = refusal(path, cache_dir=tmp_path / "cache")
    assert error.file == path
    assert "truncated" in error.problem
    assert list((tmp_path / "cache" / "documents").iterdir()) == []


def test_a_gzip_file_with_a_flipped_byte(write):
    packed = bytearray(gzip.compress(b"some text, and more of it\n" * 1000))
    packed[-6] ^= 1  # of the checksum
    assert "damaged" in refusal(write("x.txt.gz", bytes(packed))).problem


def test_a_parquet_file_that_ends_in_the_middle(write, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": ["a", "b"] * 1000}), tmp_path / "whole.parquet")
    whole = (tmp_path / "whole.parquet").read_bytes()
    path = write("x.parquet", whole[: len(whole) // 2])
    error = refusal(path)
    assert error.file == path
    assert "Parquet" in error.problem


def test_json_that_is_cut(write):
    error = refusal(write("x.jsonl", '{"text": "a"}\n{"text": "b'))
    assert (error.line, error.column) == (2, 10)


# Empty


@pytest.mark.parametrize("name", ["x.txt", "x.jsonl", "x.csv", "x.txt.gz"])
@pytest.mark.parametrize("content", [b"", b"\n\r\n \t\n" * 5_000, b"\xef\xbb\xbf"])
@pytest.mark.parametrize("document", ["file", "paragraph", "line"])
def test_an_empty_file_and_one_of_blank_lines(name, content, document, write):
    path = write(name, gzip.compress(content) if name.endswith(".gz") else content)
    error = refusal(path, document=document)
    assert error.file == path
    assert "empty" in error.problem


def test_an_empty_file_among_others_is_counted(write):
    files = [write("a.txt", "text"), write("b.txt", " \n"), write("c.txt", "")]
    found, notes = texts(files)
    assert found == ["text"]
    assert notes == ["train: 2 of 3 files have no text"]
    assert "empty" in refusal(files[1:]).problem


# Endless


@pytest.mark.parametrize("name", ["x.txt", "x.txt.gz", "x.jsonl"])
def test_a_line_of_fifty_megabytes(name, write):
    content = b"short\n" if "txt" in name else b'{"text": "a"}\n'
    content += b"y" * 50_000_000 + b"\nshort\n"
    path = write(name, gzip.compress(content, 1) if name.endswith(".gz") else content)
    error = refusal(path)
    assert (error.file, error.line) == (path, 2)
    assert "50,000,000 bytes" in error.problem
    assert "data.longest_line=50000000" in error.hint
    assert len(str(error)) < 500


def test_a_line_of_fifty_megabytes_is_not_held(write):
    path = write("x.txt", b"short\n" + b"y" * 50_000_000)
    code = (
        "import resource, sys; from lushan.data.formats import Text\n"
        "from lushan.errors import UserError\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        f"try: Text(train={path!r}).read()\n"
        "except UserError: sys.exit(str(peak() - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert int(done.stderr) < 20_000, "kilobytes"


def test_whoever_wants_long_lines_gets_them(write):
    path = write("x.txt", "y" * 3_000_000)
    (found,), _ = texts(path, longest_line=3_000_000)
    assert len(found) == 3_000_000


# No text


@pytest.mark.parametrize("size", [7, 1 << 20])
@pytest.mark.parametrize("document", ["file", "paragraph", "line"])
def test_bytes_that_are_not_utf8(size, document, write, monkeypatch):
    monkeypatch.setattr("lushan.data.unpacking.BLOCK", size)
    path = write("x.txt", "一二三\n山水之间 ".encode() * 100 + b"\xe9t\n")
    error = refusal(path, document=document)
    assert (error.file, error.line, error.column) == (path, 101, 6)
    assert "0xe9" in error.problem
    assert "iconv -c" in error.hint


def test_a_character_on_the_border_of_two_blocks_is_whole(write, monkeypatch):
    monkeypatch.setattr("lushan.data.unpacking.BLOCK", 2)
    whole = "庐山🏔\n" * 20
    assert texts(write("x.txt", whole))[0] == [whole]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_encodings(encoding, write):
    error = refusal(write("x.txt", ("plain words\n" * 20).encode(encoding)))
    assert "iconv -f utf-16" in error.hint


def test_a_mark_and_line_ends_change_nothing(write):
    whole = "one\ntwo 三\n\nfour\n"
    for name, content in (
        ("a.txt", b"\xef\xbb\xbf" + whole.encode()),
        ("b.txt", whole.replace("\n", "\r\n").encode()),
    ):
        assert texts(write(name, content)) == ([whole], [])


def test_nul_characters_are_left_and_counted(write):
    found, notes = texts(write("x.txt", "a longer text\0 with two\0\n"))
    assert found == ["a longer text\0 with two\0\n"]
    assert notes == ["train: 2 NUL characters were found in the texts and kept"]
    assert "not text" in refusal(write("y.txt", bytes(range(8)) * 2 + b"\0" * 500)).problem


def test_half_of_a_surrogate_pair(write):
    lines = ['{"text": "fine \\ud83c\\udfd4"}', '{"text": "half \\ud83c"}']
    path = write("x.jsonl", "\n".join(lines))
    error = refusal(path)
    assert (error.file, error.line) == (path, 2)
    assert "surrogate" in error.problem
    assert texts(write("y.jsonl", lines[0]))[0] == ["fine 🏔"]


@pytest.mark.parametrize("row", ['{"text": null}', '{"other": "a"}', '{"text": 3}', "[1]"])
def test_a_row_without_text(row, write):
    path = write("x.jsonl", f'{{"text": "a"}}\n{row}\n')
    assert (refusal(path).file, refusal(path).line) == (path, 2)
