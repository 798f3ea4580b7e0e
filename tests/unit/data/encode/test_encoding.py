"""The cache of encoded splits: read once made, whole under any number of makers."""

import json
import multiprocessing as mp
import os
import signal
import sys
import time

import numpy as np
import psutil
import pyarrow as pa
import pytest
from tests.helpers import forked
from tests.helpers.waiting import until

from lushan.data.encode import encoding
from lushan.data.encode.encoding import Encoded, code_version, encode, fingerprint_of
from lushan.errors import RunFailed, UserError

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


def test_what_is_read_back_stays_on_the_disk(tmp_path):
    made = make(tmp_path, ["x" * 1000] * 100)
    before = pa.total_allocated_bytes()
    again = Encoded(made.path)
    assert again.lengths.sum() == 100_000
    assert pa.total_allocated_bytes() == before


def test_a_batch_costs_the_same_however_large_the_split(tmp_path):
    made = make(tmp_path)
    assert made.lengths is made.lengths  # asked for with each batch: no copy of the whole column
    assert made.examples is made.examples


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


def test_rows_encoded_at_once_are_bounded_in_bytes_too(tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "BYTES_AT_ONCE", 100)
    seen = []

    def watched(rows, first, original=encoder):
        seen.append([len(text) for text in rows["text"]])
        return original(rows, first)

    monkeypatch.setattr(sys.modules[__name__], "encoder", watched)
    made = make(tmp_path, ["x" * size for size in (40, 40, 30, 500, 10, 90, 0, 0)])
    assert seen == [[40, 40], [30], [500], [10, 90, 0, 0]]
    assert made.lengths.tolist() == [40, 40, 30, 500, 10, 90, 0, 0]


def test_few_long_rows_are_encoded_by_several_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "BYTES_AT_ONCE", 100)
    monkeypatch.setattr(encoding, "LARGE_BYTES", 1000)
    monkeypatch.setattr(encoding, "usable_threads", lambda: 2)

    here = os.getpid()

    def elsewhere(rows, first):
        assert os.getpid() != here
        return {"input_ids": [[1]], "length": [1], "targets": [1], "example": [first]}

    monkeypatch.setattr(sys.modules[__name__], "encoder", elsewhere)
    assert make(tmp_path, ["x" * 100] * 20).examples.tolist() == list(range(20))


def test_a_process_that_is_killed_is_reported(tmp_path, monkeypatch):
    def killed(rows, first):
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(encoding, "LARGE", 2)
    monkeypatch.setattr(encoding, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(encoding, "usable_threads", lambda: 2)
    monkeypatch.setattr(sys.modules[__name__], "encoder", killed)
    with pytest.raises(RunFailed, match="memory"):
        make(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_nobody_is_left_behind_by_a_run_that_is_killed(tmp_path, monkeypatch):
    def slow(rows, first):
        (tmp_path / f"pid-{os.getpid()}").touch()
        time.sleep(30)

    monkeypatch.setattr(encoding, "LARGE", 2)
    monkeypatch.setattr(encoding, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(encoding, "usable_threads", lambda: 2)
    monkeypatch.setattr(sys.modules[__name__], "encoder", slow)
    run = mp.get_context("fork").Process(target=make, args=(tmp_path / "cache",))
    run.start()
    until(lambda: len(list(tmp_path.glob("pid-*"))) == 2)
    run.kill()
    run.join()
    workers = [int(path.name.partition("-")[2]) for path in tmp_path.glob("pid-*")]
    monkeypatch.undo()
    assert len(make(tmp_path / "cache")) == 3  # nobody waits for the lock of the dead
    until(lambda: not any(psutil.pid_exists(pid) for pid in workers))


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


@pytest.mark.slow
def test_two_processes_that_build_it_at_once_both_get_a_whole_one(tmp_path):
    makers = [forked.process(_make, (tmp_path,)) for _ in range(2)]
    for process in makers:
        process.join()
    assert [p.exitcode for p in makers] == [0, 0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.arrow", "f.arrow.sha256"]
    assert len(Encoded(tmp_path / "f.arrow")) == 3000


def test_fingerprints_tell_content_options_and_code_apart():
    assert fingerprint_of({"a": 1, "b": 2}) == fingerprint_of({"b": 2, "a": 1})
    assert fingerprint_of({"a": 1}) != fingerprint_of({"a": 2})
    assert fingerprint_of("a", "b") != fingerprint_of("ab")
    assert code_version(encode) == code_version(Encoded)
    assert code_version(encode) != code_version(json.dumps)
    assert np.asarray(fingerprint_of("庐山")).shape == ()
