"""The cache of encoded splits: read once made, whole under any number of makers."""

import json
import multiprocessing as mp
import os
import sys

import numpy as np
import pyarrow as pa
import pytest

from lushan.data import encoding
from lushan.data.encoding import Encoded, code_version, encode, fingerprint_of
from lushan.errors import UserError

SCHEMA = pa.schema(
    [
        ("input_ids", pa.list_(pa.int32())),
        ("length", pa.int32()),
        ("targets", pa.int32()),
        ("example", pa.int64()),
    ]
)


def encoder(rows, first):
    ids = [[ord(c) for c in text] for text in rows["text"]]
    return {
        "input_ids": ids,
        "length": [len(i) for i in ids],
        "targets": [1] * len(ids),
        "example": list(range(first, first + len(ids))),
    }


def make(folder, texts=("ab", "", "庐山xyz")):
    table = pa.table({"text": list(texts)})
    return encode(
        table,
        encoder,
        SCHEMA,
        fingerprint="f",
        cache_dir=folder,
        count=lambda f: {"features": len(f["length"])},
    )


def test_what_was_encoded_is_read_back(tmp_path):
    encoded = make(tmp_path)
    assert len(encoded) == 3
    assert encoded.lengths.tolist() == [2, 0, 5]
    rows = encoded.rows([2, 1])
    assert rows[0]["input_ids"].tolist() == [ord(c) for c in "庐山xyz"]
    assert rows[1]["input_ids"].tolist() == []
    assert encoded.meta == {"features": 3}
    assert encoded.examples.tolist() == [0, 1, 2]


def test_a_large_split_is_encoded_by_several_processes(tmp_path, monkeypatch):
    texts = [f"text {i}" * (i % 5) for i in range(45)]
    monkeypatch.setattr(encoding, "ROWS_AT_ONCE", 10)
    monkeypatch.setattr(encoding, "usable_threads", lambda: 3)
    one = make(tmp_path / "one", texts)
    monkeypatch.setattr(encoding, "LARGE", 40)
    pids = tmp_path / "pids"
    pids.mkdir()

    def watched(rows, first, original=encoder):
        (pids / str(os.getpid())).touch()
        return original(rows, first)

    monkeypatch.setattr(sys.modules[__name__], "encoder", watched)
    several = make(tmp_path / "several", texts)
    assert several.path.read_bytes() == one.path.read_bytes()
    assert several.meta == {"features": 45}
    workers = {path.name for path in pids.iterdir()}
    assert workers
    assert str(os.getpid()) not in workers


def test_what_goes_wrong_in_another_process_is_raised_here(tmp_path, monkeypatch):
    def refuse(rows, first):
        raise UserError("no", key="data.train", line=first)

    monkeypatch.setattr(encoding, "LARGE", 2)
    monkeypatch.setattr(encoding, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(encoding, "usable_threads", lambda: 2)
    monkeypatch.setattr(sys.modules[__name__], "encoder", refuse)
    with pytest.raises(UserError, match=r"data\.train"):
        make(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_second_time_nothing_is_encoded(tmp_path):
    make(tmp_path)

    def refuse(rows, first):
        raise AssertionError

    again = encode(
        pa.table({"text": ["other"]}), refuse, SCHEMA, fingerprint="f", cache_dir=tmp_path
    )
    assert len(again) == 3


def test_an_empty_split(tmp_path):
    assert len(make(tmp_path, texts=())) == 0


def _make(folder):
    make(folder, texts=["x" * n for n in range(3000)])


def test_two_processes_that_build_it_at_once_both_get_a_whole_one(tmp_path):
    context = mp.get_context("forkserver")
    makers = [context.Process(target=_make, args=(tmp_path,)) for _ in range(2)]
    for process in makers:
        process.start()
    for process in makers:
        process.join()
    assert [p.exitcode for p in makers] == [0, 0]
    assert [p.name for p in tmp_path.iterdir()] == ["f.arrow"]
    assert len(Encoded(tmp_path / "f.arrow")) == 3000


def test_fingerprints_tell_content_options_and_code_apart():
    assert fingerprint_of({"a": 1, "b": 2}) == fingerprint_of({"b": 2, "a": 1})
    assert fingerprint_of({"a": 1}) != fingerprint_of({"a": 2})
    assert fingerprint_of("a", "b") != fingerprint_of("ab")
    assert code_version(encode) == code_version(Encoded)
    assert code_version(encode) != code_version(json.dumps)
    assert np.asarray(fingerprint_of("庐山")).shape == ()
