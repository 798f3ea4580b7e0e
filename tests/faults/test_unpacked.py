"""Files that are small and unpack to more than is held in memory, in every format."""

from __future__ import annotations

import gzip
import io
import json
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lushan.data import json_rows, unpacking
from lushan.data.formats import Chat, Conll, Hub, Jsonl, Table
from lushan.data.unlabelled import read_unlabelled
from lushan.errors import UserError
from lushan.metrics.conll_score import score
from tests.helpers.asked import KINDS

pytestmark = pytest.mark.fault(69)

TURNS = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
LINES = {
    "x.jsonl": b'{"text": "a", "label": "b"}\n',
    "x.chat.jsonl": json.dumps({"messages": TURNS}).encode() + b"\n",
    "x.conll": b"a O\n\n",
    "x.csv": b"a,b\n",
    "x.tsv": b"a\tb\n",
}
HEADS = {"x.csv": b"text,label\n", "x.tsv": b"text\tlabel\n"}
SOURCES = {"x.jsonl": Jsonl, "x.chat.jsonl": Chat, "x.conll": Conll, "x.csv": Table, "x.tsv": Table}


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(unpacking, "PACKED_FILE", 1 << 13)
    monkeypatch.setattr(unpacking, "LARGEST_FILE", 1 << 16)
    monkeypatch.setattr(unpacking, "BLOCK", 1 << 12)


def packed(tmp_path, name, size, *, lie=False):
    """A packed file of so many bytes; one that lies says that it unpacks to nothing."""
    content = HEADS.get(name, b"") + LINES[name] * (size // len(LINES[name]))
    data = gzip.compress(content)
    path = tmp_path / f"{name}.gz"
    path.write_bytes(data[:-4] + b"\0\0\0\0" if lie else data)
    return path


def refusal(read):
    with pytest.raises(UserError) as caught:
        read()
    assert caught.value.exit_code == 2
    return caught.value


@pytest.mark.parametrize("lie", [False, True], ids=["honest", "lying"])
@pytest.mark.parametrize("name", LINES)
def test_what_unpacks_to_more_than_is_read(name, lie, tmp_path):
    path = packed(tmp_path, name, 1 << 15, lie=lie)
    error = refusal(SOURCES[name](train=str(path)).read)
    assert error.file == str(path)
    assert f"{path.stat().st_size:,} bytes that unpack to" in error.problem
    if not lie:
        assert f"unpack to {len(gzip.decompress(path.read_bytes())):,} bytes" in error.problem
        assert SOURCES[name](train=str(path), largest_file=1 << 17).read().splits["train"].num_rows
    assert "data.largest_file=" in error.hint


@pytest.mark.parametrize("name", LINES)
def test_what_is_plain_and_larger(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(HEADS.get(name, b"") + LINES[name] * ((1 << 16) // len(LINES[name]) + 9))
    error = refusal(SOURCES[name](train=str(path)).read)
    assert (
        f"this file has {path.stat().st_size:,} bytes; the limit for reading into memory is 65,536"
        in error.problem
    )
    assert SOURCES[name](train=str(path), largest_file=1 << 17).read()


def test_text_that_is_packed_as_text_is(tmp_path):
    rows = [json.dumps({"text": f"{i * i} {i**3}", "label": str(i % 7)}) for i in range(1200)]
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(rows).encode()))
    assert Jsonl(train=str(path)).read().splits["train"].num_rows == 1200


@pytest.mark.parametrize("extra", [b"", b"not gzip", gzip.compress(b"", mtime=0)])
def test_what_follows_the_packed_part_hides_nothing(extra, tmp_path):
    path = packed(tmp_path, "x.jsonl", 1 << 15)
    path.write_bytes(path.read_bytes() + extra)
    assert "unpack" in refusal(Jsonl(train=str(path)).read).problem


@pytest.mark.parametrize("source", [Table, Chat, Hub])
def test_parquet(source, tmp_path):
    path = tmp_path / "x.parquet"
    count = 1 << 17
    text = pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), ["some words"])
    pq.write_table(pa.table({"text": text, "label": text}), path)
    assert path.stat().st_size < 1 << 14
    named = {"path": str(path)} if source is Hub else {"train": str(path)}
    error = refusal(source(**named, **({"validation": None, "test": None})).read)
    assert "the limit for reading into memory is" in error.problem
    assert "data.largest_file=" in error.hint


def test_a_set_in_a_folder_that_datasets_would_unpack(tmp_path, monkeypatch):
    monkeypatch.setattr(Hub, "_explained", lambda self: pytest.fail("it was given to datasets"))
    path = packed(tmp_path, "x.jsonl", 1 << 15)
    for place in (path, tmp_path):
        source = Hub(path=str(place), validation=None, test=None)
        assert "unpack" in refusal(source._load_all).problem


@pytest.mark.parametrize("kind", ["text", "tokens", "messages"])
def test_input_to_predict(kind, tmp_path):
    path = packed(tmp_path, "x.jsonl", 1 << 15)
    assert "unpack" in refusal(lambda: read_unlabelled(path, KINDS[kind])).problem


def test_standard_input(tmp_path, monkeypatch):
    from lushan.data.raw_input import standard_input

    content = packed(tmp_path, "x.jsonl", 1 << 15).read_bytes()
    for data in (content, b"a\n" * (1 << 16)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert "<stdin>" in str(refusal(standard_input))


def test_files_of_labels(tmp_path):
    path = packed(tmp_path, "x.conll", 1 << 15)
    assert "unpack" in refusal(lambda: score(path, tmp_path / "other")).problem


def test_rows_with_keys_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(json_rows, "MOST_CELLS", 10_000)
    path = tmp_path / "x.jsonl"
    path.write_text("".join(f'{{"k{i}": 1}}\n' for i in range(1000)))
    error = refusal(Jsonl(train=str(path)).read)
    assert "different keys" in error.problem
    assert error.line == 101
