"""Sets read as a stream, window by window: nothing twice, nothing left out, from any window on."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lushan.data.batch import streaming
from lushan.data.formats import Stream
from lushan.errors import RunFailed
from lushan.text import hub


def jsonl(count, start=0):
    return "".join(
        json.dumps({"n": i, "text": f"text {i}"}) + "\n" for i in range(start, start + count)
    )


@pytest.fixture
def files(write):
    """Twenty-three documents in three files."""
    for i, (start, count) in enumerate([(0, 10), (10, 10), (20, 3)]):
        path = write(f"part-{i}.jsonl", jsonl(count, start))
    return path.replace("part-2", "part-*")


def numbers(table):
    return [int(text.split()[1]) for text in table["text"].to_pylist()]


def test_nobody_hears_of_what_lies_here(files, monkeypatch):
    """`datasets` counts what it reads, local files too, and waits for an answer."""
    asked = []
    monkeypatch.setattr("datasets.load.get_session", lambda: asked.append("the hub"))
    for path in (files, str(Path(files).parent)):
        assert len(Stream(path=path, window_documents=3).window(0)) == 3
    assert asked == []


def test_windows_are_the_set_in_its_order_again_and_again(files, tmp_path):
    for where in ({}, {"cache_dir": tmp_path / "cache"}):
        source = Stream(path=files, window_documents=6, **where)
        windows = [numbers(source.window(i)) for i in range(6)]
        once = [list(range(i, min(i + 6, 23))) for i in range(0, 23, 6)]
        assert windows == [*once, *once[:2]]
    table = source.window(1)
    assert table.column_names == ["id", "text", "line", "file"]
    assert table["line"].to_pylist() == list(range(7, 13))
    assert table["id"].to_pylist()[0] == f"{files}[train]:7"


@pytest.mark.parametrize("kept", [True, False])
def test_a_set_of_whole_windows(kept, write, tmp_path):
    where = {"cache_dir": tmp_path / "cache"} if kept else {}
    path = write("x.jsonl", jsonl(6))
    first = [numbers(Stream(path=path, window_documents=3, **where).window(i)) for i in range(3)]
    assert first == [[0, 1, 2], [3, 4, 5], [0, 1, 2]]
    source = Stream(path=path, window_documents=3, **where)
    assert [numbers(source.window(i)) for i in (3, 4, 9)] == [first[1], first[0], first[1]]


@pytest.mark.parametrize("remembered", [True, False])
@pytest.mark.parametrize("order", [[3, 4], [5, 0, 2], [11, 1], [2, 2]])
def test_a_window_is_a_function_of_its_number(order, remembered, files, tmp_path):
    straight = Stream(path=files, window_documents=6)
    expected = [numbers(straight.window(i)) for i in range(12)]
    where = {"cache_dir": tmp_path / "cache"} if remembered else {}
    if remembered:
        for number in range(3):
            Stream(path=files, window_documents=6, **where).window(number)
    source = Stream(path=files, window_documents=6, **where)
    assert [numbers(source.window(i)) for i in order] == [expected[i] for i in order]


def test_where_it_goes_on_files_before_are_not_read_again(files, tmp_path, write):
    where = {"path": files, "window_documents": 5, "cache_dir": tmp_path / "cache"}
    first = Stream(**where)
    for number in range(3):
        first.window(number)
    second = Stream(**where)
    folder = second._folder()
    (folder / "train" / "15.json").rename(folder / "kept")
    assert second._stream("train")._known(15)[0] == 10
    (folder / "kept").rename(folder / "train" / "15.json")
    place, state = second._stream("train")._known(17)
    assert place == 15
    data = second._open("train")
    data.load_state_dict(state)
    assert next(iter(data))["n"] == 15


def test_only_the_last_windows_stay_on_the_disk(files, tmp_path):
    source = Stream(path=files, window_documents=2, cache_dir=tmp_path / "cache")
    tables = [source.window(number) for number in range(6)]
    kept = sorted(path.name for path in source._folder().glob("*.arrow"))
    assert kept == ["window-0.arrow", "window-4.arrow", "window-5.arrow"]
    assert numbers(tables[1]) == [2, 3]  # whoever has it still sees it


def test_documents_from_the_beginning_are_held_out_with_their_copies(write):
    path = write("x.jsonl", jsonl(20) + jsonl(2, 3) + jsonl(3, 20))
    source = Stream(path=path, validation=4, test=2, window_documents=10)
    corpus = source.read()
    assert numbers(corpus.splits["validation"]) == [0, 1, 2, 3]
    assert numbers(corpus.splits["test"]) == [4, 5]
    assert numbers(corpus.splits["train"]) == list(range(6, 16))
    assert numbers(source.window(1)) == [16, 17, 18, 19, 20, 21, 22]  # not the copies of 3 and 4
    assert numbers(source.window(2)) == numbers(source.window(0))
    assert corpus.windows is source
    assert corpus.notes == ["train: read in windows of 10 documents"]
    assert list(source.read(only="test").splits) == ["test"]


def test_a_folder_with_splits(tmp_path):
    for split, count in (("train", 5), ("validation", 3)):
        table = pa.table({"content": [f"text {i}" for i in range(count)]})
        pq.write_table(table, tmp_path / f"{split}.parquet", row_group_size=2)
    source = Stream(
        path=str(tmp_path), validation="validation", evaluation_documents=2, window_documents=3
    )
    corpus = source.read()
    assert numbers(corpus.splits["validation"]) == [0, 1]
    assert [numbers(source.window(i)) for i in range(3)] == [[0, 1, 2], [3, 4], [0, 1, 2]]


def test_packed_files_and_long_texts(write):
    row = json.dumps({"text": "aa\nbb\n"}) + "\n"
    path = write("x.jsonl.gz", gzip.compress((row + jsonl(2)).encode()))
    table = Stream(path=path, longest_part=3, text="text").window(0)
    assert table["text"].to_pylist() == ["aa\n", "bb\n", "text 0", "text 1"]
    assert table["id"].to_pylist()[1].endswith("[train]:1/2")


def test_a_limit_is_one_window_for_ever(files):
    source = Stream(path=files, limit=4)
    assert [numbers(source.window(i)) for i in (0, 1, 7)] == [[0, 1, 2, 3]] * 3


def test_what_a_stream_is(files, write):
    source = Stream(path=files)
    assert source.fingerprint() == Stream(path=files, batch_tokens=9).fingerprint()
    assert source.window_fingerprint(1) != source.window_fingerprint(2)
    assert source.window_fingerprint(1) == Stream(path=files).window_fingerprint(1)
    assert source.window_fingerprint(1) != Stream(
        path=files, window_documents=9
    ).window_fingerprint(1)
    before = source.fingerprint()
    write("part-1.jsonl", jsonl(9, 10))
    assert Stream(path=files).fingerprint() != before


# What goes wrong


def test_mistakes(files, write, refused, monkeypatch):
    monkeypatch.setattr(hub, "reachable", lambda: False)
    unreachable = refused(Stream(path="owner/name").window, 0)
    assert unreachable.key == "data.path"
    assert "cannot be reached" in unreachable.problem
    assert refused(Stream, path=files, validation=0.1).key == "data.validation"
    assert refused(Stream(path=files, validation="val").read).key == "data.validation"
    assert (
        "all rows of the split would be" in refused(Stream(path=files, validation=23).read).problem
    )
    assert "text" in refused(Stream(path=files, text="txt").read).hint
    long = write("x.jsonl", json.dumps({"text": "a" * 50}) + "\n")
    assert refused(Stream(path=long, longest_line=40).read).line == 1
    damaged = write("y.jsonl", '{"text": "a"}\n{"text": ')
    assert "JSON" in refused(Stream(path=damaged).read).problem


class Broken:
    """A dataset that breaks off some times before it gives a row."""

    def __init__(self, times, kind=ConnectionError):
        self.times, self.kind, self.opened = times, kind, 0

    def __call__(self):
        self.opened += 1
        return self

    def __iter__(self):
        for row in range(10):
            if row == 5 and self.times:
                self.times -= 1
                raise self.kind("gone")
            yield {"text": row}

    def load_state_dict(self, state):
        raise AssertionError("it has no states")

    def state_dict(self):
        return {}


def test_a_stream_that_breaks_off_is_opened_again(monkeypatch):
    monkeypatch.setattr(streaming, "WAITS", (0, 0))
    broken = Broken(2)
    rows = streaming.Stream(broken, "set").rows(0, 8)
    assert [row["text"] for row in rows] == list(range(8))
    assert broken.opened == 3
    with pytest.raises(RunFailed, match="from row 1"):
        streaming.Stream(Broken(3), "set").rows(0, 8)
    wrong = Broken(1, ValueError)
    with pytest.raises(ValueError, match="gone"):
        streaming.Stream(wrong, "set").rows(0, 8)
    assert wrong.opened == 1


def test_a_stream_has_no_shares(files, refused):
    error = refused(Stream, path=files, train_share=0.5)
    assert (error.key, error.value) == ("data.train_share", 0.5)
