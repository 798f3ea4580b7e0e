"""Tables on disk: whole or not there, made once, given back."""

from __future__ import annotations

import multiprocessing as mp
import time

import numpy as np
import pyarrow as pa
import pytest

from lushan.data.encode import columns, store
from lushan.data.encode.columns import column_files
from lushan.data.encode.encoding import Encoded
from lushan.errors import RunFailed

SCHEMA = pa.schema([("n", pa.int64())])


def batches(*numbers):
    for number in numbers:
        yield pa.RecordBatch.from_arrays([pa.array([number] * 3)], schema=SCHEMA)


def test_what_was_written_is_read(tmp_path):
    path = tmp_path / "sub" / "x.arrow"
    table, meta = store.write_table(path, SCHEMA, batches(1, 2), lambda: {"seen": 2})
    assert table["n"].to_pylist() == [1, 1, 1, 2, 2, 2]
    assert meta == {"seen": 2}
    assert [p.name for p in path.parent.glob("*.arrow")] == ["x.arrow"]
    again, meta = store.write_table(path, SCHEMA, batches(9), lambda: {"seen": 9})
    assert again.equals(table)
    assert meta == {"seen": 2}


def test_no_rows_and_no_file(tmp_path):
    assert store.write_table(tmp_path / "x", SCHEMA, [])[0].num_rows == 0
    table, meta = store.write_table(None, SCHEMA, batches(1), lambda: {"seen": 1})
    assert (table.num_rows, meta) == (3, {"seen": 1})


def test_half_a_table_is_none(tmp_path):
    def broken():
        yield from batches(1, 2)
        raise KeyError

    with pytest.raises(KeyError):
        store.write_table(tmp_path / "x", SCHEMA, broken())
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_refuses(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFailed, match="cannot write"):
        store.write_table(tmp_path / "file" / "x", SCHEMA, batches(1))


def _make(path, begun, number):
    def slow():
        with begun.get_lock():
            begun.value += 1
        time.sleep(0.2)
        yield from batches(number)

    store.write_table(path, SCHEMA, slow())


def test_those_who_come_second_wait(tmp_path):
    context = mp.get_context("fork")
    begun = context.Value("i", 0)
    makers = [context.Process(target=_make, args=(tmp_path / "x", begun, n)) for n in range(3)]
    for process in makers:
        process.start()
    for process in makers:
        process.join()
    assert [p.exitcode for p in makers] == [0, 0, 0]
    assert begun.value == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x", "x.sha256"]


def test_pages_given_back_are_read_again(tmp_path):
    table, _ = store.write_table(tmp_path / "x", SCHEMA, batches(*range(1000)))
    before = table["n"].to_pylist()
    store.release()
    assert table["n"].to_pylist() == before


# Columns

FEATURES = pa.schema([("ids", pa.list_(pa.int32())), ("length", pa.int32())])


def features(*lists):
    sizes = pa.array([len(row) for row in lists], pa.int32())
    return pa.RecordBatch.from_arrays(
        [pa.array(lists, pa.list_(pa.int32())), sizes], schema=FEATURES
    )


@pytest.mark.parametrize("most", [10, 2**31 - 1])
@pytest.mark.parametrize("chunk", [8, 1 << 24])
def test_columns_are_one_run_of_numbers(most, chunk, tmp_path, monkeypatch):
    monkeypatch.setattr(columns, "_MOST", most)
    monkeypatch.setattr(columns, "_CHUNK", chunk)
    with column_files(tmp_path, FEATURES) as files:
        files.append(features([1, 2, 3], []))
        files.append(features(*([n] * 4 for n in range(5))).slice(1, 3))
        files.save(tmp_path / "x.arrow", {"seen": 5})
    assert [p.name for p in tmp_path.glob("*.arrow")] == ["x.arrow"]
    encoded = Encoded(tmp_path / "x.arrow")
    assert encoded.meta == {"seen": 5}
    rows = [row["ids"].tolist() for row in encoded.rows(range(5))]
    assert rows == [[1, 2, 3], [], [1] * 4, [2] * 4, [3] * 4]
    assert encoded.lengths.tolist() == [3, 0, 4, 4, 4]
    wide = encoded.columns["ids"].offsets.dtype == np.int64
    assert wide == (most == 10)
