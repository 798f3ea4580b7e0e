"""Raw text: what a document is, in every format; its splits; and that it is never all in memory."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lushan.data.formats import Text

VERSE = "one\ntwo\n\nthree\r\n  \nfour"


def rows(corpus, split="train"):
    return list(zip(*(corpus.splits[split][c].to_pylist() for c in ("id", "text")), strict=True))


def texts(corpus, split="train"):
    return [text for _, text in rows(corpus, split)]


# What a document is


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ("file", [("1", "one\ntwo\n\nthree\n  \nfour")]),
        ("paragraph", [("1", "one\ntwo"), ("4", "three"), ("6", "four")]),
        ("line", [("1", "one"), ("2", "two"), ("4", "three"), ("6", "four")]),
    ],
)
def test_a_document_of_plain_text(document, found, write):
    read = Text(train=write("x.txt", VERSE), document=document).read()
    assert rows(read) == [(f"x.txt:{line}", text) for line, text in found]
    assert read.splits["train"]["line"].to_pylist() == [int(line) for line, _ in found]
    assert next(iter(read.fields)) == "text"
    blank = ["train: 2 blank lines were skipped: they are not documents"]
    assert read.notes == (blank if document == "line" else [])


def test_rows_are_documents_whatever_they_hold(write):
    values = ["a\nb\n\nc", "", "庐山"]
    lines = "".join(json.dumps({"n": i, "body": v}) + "\n" for i, v in enumerate(values))
    expected = [("x.jsonl:1", "a\nb\n\nc"), ("x.jsonl:2", ""), ("x.jsonl:3", "庐山")]
    read = Text(train=write("x.jsonl", lines), text="body").read()
    assert rows(read) == expected
    assert read.notes == ["train: 1 of 3 texts are empty"]


def test_every_format_holds_the_same(tmp_path, write):
    values = ["one two", '三, "四"', "a\nb"]
    pq.write_table(pa.table({"n": [1, 2, 3], "text": values}), tmp_path / "x.parquet")
    lines = "".join(json.dumps({"n": 1, "text": v}) + "\n" for v in values)
    quoted = "n,text\n" + "".join('1,"' + v.replace('"', '""') + '"\n' for v in values)
    paths = [
        write("x.jsonl", lines),
        write("x.csv", quoted),
        write("excel.csv", f"sep=,\r\n{quoted}"),
        write("y.json.gz", gzip.compress(lines.encode())),
        str(tmp_path / "x.parquet"),
        write("y.parquet.gz", gzip.compress((tmp_path / "x.parquet").read_bytes())),
    ]
    for path in paths:
        assert texts(Text(train=path).read()) == values, path
    assert texts(Text(train=write("x.tsv", 'text\tn\na "b\tc\n')).read()) == ['a "b']


def test_the_field_of_the_text(write, refused):
    path = write("x.jsonl", '{"kind": "a", "Content": "found", "other": "b"}\n')
    assert texts(Text(train=path).read()) == ["found"]
    assert texts(Text(train=path, text="other").read()) == ["b"]
    assert "'other'" in refused(Text(train=path, text="othr").read).hint
    unclear = refused(Text(train=write("y.jsonl", '{"a": "x", "b": "y"}\n')).read)
    assert unclear.key == "data.text"
    assert "a, b" in unclear.hint


def test_the_ending_tells_the_format(write, refused):
    path = write("x.dat", "text")
    assert "data.format=txt" in refused(Text(train=path).read).hint
    assert texts(Text(train=path, format="txt").read()) == ["text"]


# Long texts


def test_a_long_text_is_cut_at_line_ends(write):
    lines = [f"line {i} of a long text\n" for i in range(100)]
    whole = "".join(lines)
    path = write("x.txt", whole)
    read = Text(train=path, longest_part=200).read()
    assert "".join(texts(read)) == whole
    assert all(len(text) <= 200 for text in texts(read))
    starts = [int(name.partition(":")[2]) for name, _ in rows(read)]
    assert [lines[start - 1] for start in starts] == [t.splitlines(True)[0] for t in texts(read)]
    assert read.notes == [f"train: long texts were split at line ends: 1 into {len(starts)} parts"]
    assert texts(Text(train=path, longest_part=10**6).read()) == [whole]


@pytest.mark.parametrize("size", [1, 7, 64, 10**6])
def test_parts_do_not_hang_on_how_much_is_read_at_a_time(size, write, monkeypatch):
    whole = "".join("x" * (i % 40) + "山\n" for i in range(200))
    monkeypatch.setattr("lushan.data.unpacking.BLOCK", size)
    read = Text(train=write("x.txt", whole), longest_part=100).read()
    monkeypatch.undo()
    assert rows(read) == rows(Text(train=write("x.txt", whole), longest_part=100).read())


def test_parts_of_rows_and_paragraphs(write):
    row = json.dumps({"text": "aaaa\nbbbb\ncccc\n"})
    read = Text(train=write("x.jsonl", f"{row}\n"), longest_part=6).read()
    assert rows(read) == [
        ("x.jsonl:1", "aaaa\n"),
        ("x.jsonl:1/2", "bbbb\n"),
        ("x.jsonl:1/3", "cccc\n"),
    ]
    path = write("x.txt", "aaaa\nbbbb\n\ncccc\n")
    read = Text(train=path, document="paragraph", longest_part=6).read()
    assert rows(read) == [("x.txt:1", "aaaa\n"), ("x.txt:2", "bbbb"), ("x.txt:4", "cccc")]


def test_a_line_is_never_cut(write):
    read = Text(train=write("x.txt", "a" * 50 + "\nb\n"), longest_part=10).read()
    assert texts(read) == ["a" * 50 + "\n", "b\n"]


# Several files


def test_patterns_and_lists(tmp_path, write, refused):
    (tmp_path / "sub").mkdir()
    for name in ("b.txt", "a.txt", "sub/a.txt", "c.md"):
        (tmp_path / name).write_text(f"in {name}")
    write("d.txt.gz", gzip.compress(b"in d.txt.gz"))
    folder = str(tmp_path)
    names = ["a.txt:1", "b.txt:1"]
    assert [i for i, _ in rows(Text(dir=folder, train="*.txt").read())] == names
    everywhere = rows(Text(dir=folder, train=["c.md", "**/*.txt*"]).read())
    assert [i for i, _ in everywhere] == ["c.md:1", *names, "d.txt.gz:1", "sub/a.txt:1"]
    assert all(text == f"in {name[:-2]}" for name, text in everywhere)
    assert len(Text(dir=folder, train=["a.txt", "*.txt"]).read().splits["train"]) == 2
    error = refused(Text(dir=folder, train="*.text").read)
    assert error.key == "data.train"
    assert "a.txt" in error.hint


def test_the_hash_of_several_files_is_that_of_their_hashes(write):
    first, second = write("a.txt", "a"), write("b.txt", "b")
    one = Text(train=first).fingerprint()["train"]
    both = Text(train=[first, second]).fingerprint()["train"]
    assert len({one, both, Text(train=[second, first]).fingerprint()["train"]}) == 3
    assert Text(train=first.replace("a.txt", "?.txt")).fingerprint()["train"] == both
    assert Text(train=[first]).fingerprint()["train"] == one


# Shares


def documents(write, count=50):
    lines = "".join(json.dumps({"text": f"text {i % (count - 5)}"}) + "\n" for i in range(count))
    return write("x.jsonl", lines)


@pytest.mark.parametrize("kept", [False, True])
def test_a_share_is_taken_by_document_and_copies_stay_together(kept, write, tmp_path):
    path = documents(write)
    where = {"cache_dir": tmp_path / "cache"} if kept else {}
    read = Text(train=path, validation=0.2, test=0.1, **where).read()
    parts = {split: set(texts(read, split)) for split in read.splits}
    assert [len(parts[s]) for s in ("train", "validation", "test")] == [32, 9, 4]
    assert len(set.union(*parts.values())) == 45
    assert sum(table.num_rows for table in read.splits.values()) == 50
    assert read.notes == []
    again = Text(train=path, validation=0.2, test=0.1).read()
    assert {s: rows(again, s) for s in parts} == {s: rows(read, s) for s in parts}
    other = Text(train=path, validation=0.2, test=0.1, seed=2).read()
    assert rows(other, "test") != rows(read, "test")
    only = Text(train=path, validation=0.2, test=0.1, **where).read(only="test")
    assert list(only.splits) == ["test"]
    assert rows(only, "test") == rows(read, "test")


def test_the_parts_of_a_text_are_never_dealt_to_two_splits(write):
    files = [write(f"{i}.txt", f"{i}\n" * 40) for i in range(10)]
    read = Text(train=files, validation=0.3, longest_part=20).read()
    owners = {s: set(t["file"].to_pylist()) for s, t in read.splits.items()}
    assert len(owners["validation"]) == 3
    assert not owners["train"] & owners["validation"]


def test_one_file_has_no_share(write, refused):
    error = refused(Text(train=write("x.txt", "a\nb\n" * 100), validation=0.1).read)
    assert error.key == "data.validation"
    assert "data.share_from=end" in error.hint


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("longest", [100, 10**6])
def test_the_end_of_a_text(kept, longest, write, tmp_path):
    whole = "".join(f"line {i} 山\n" for i in range(1000))
    where = {"cache_dir": tmp_path / "cache"} if kept else {}
    read = Text(
        train=write("x.txt", whole),
        validation=0.1,
        test=0.1,
        share_from="end",
        longest_part=longest,
        **where,
    ).read()
    parts = ["".join(texts(read, split)) for split in ("train", "validation", "test")]
    assert "".join(parts) == whole
    assert len(parts[0]) / len(whole) == pytest.approx(0.8, abs=0.01)
    assert len(parts[1]) / len(whole) == pytest.approx(0.1, abs=0.01)
    assert all(part.endswith("\n") for part in parts)
    lines = whole.splitlines(keepends=True)
    for table in read.splits.values():
        for place, text in zip(table["line"].to_pylist(), table["text"].to_pylist(), strict=True):
            assert text.startswith(lines[place - 1])
            assert len(text) <= longest
    assert not any("also occur in train" in note for note in read.notes)


def test_the_end_of_rows_cuts_none(write):
    path = write("x.jsonl", "".join(f'{{"text": "{i}"}}\n' for i in range(10)))
    read = Text(train=path, validation=0.25, share_from="end").read()
    assert texts(read, "validation") == ["8", "9"]
    assert texts(read) == list("01234567")


# Size


def test_documents_are_kept_memory_mapped(write, tmp_path, monkeypatch):
    path, cache = documents(write), tmp_path / "cache"
    before = pa.total_allocated_bytes()
    read = Text(train=path, cache_dir=cache).read()
    assert pa.total_allocated_bytes() == before
    assert rows(read) == rows(Text(train=path).read())
    assert len(list((cache / "documents").glob("*.arrow"))) == 1

    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr("lushan.data.documents.read", refuse)
    assert rows(Text(train=path, cache_dir=cache).read()) == rows(read)
    with pytest.raises(AssertionError):
        Text(train=path, cache_dir=cache, text="text").read()


def test_what_decides_the_documents_decides_where_they_are_kept(write, tmp_path):
    path = write("x.txt", "a\n\nb\n")
    for options in ({}, {"document": "line"}, {"longest_part": 2}, {"batch_tokens": 5}):
        Text(train=path, cache_dir=tmp_path / "cache", **options).read()
    assert len(list((tmp_path / "cache" / "documents").glob("*.arrow"))) == 3
    write("x.txt", "a\n\nc\n")
    assert texts(Text(train=path, cache_dir=tmp_path / "cache").read()) == ["a\n\nc\n"]


@pytest.mark.parametrize("kept", [False, True])
def test_a_limit(kept, write, tmp_path):
    where = {"cache_dir": tmp_path / "cache"} if kept else {}
    path = documents(write)
    read = Text(train=path, validation=0.2, limit=5, **where).read()
    assert [t.num_rows for t in read.splits.values()] == [5, 5]
    whole = rows(Text(train=path, validation=0.2).read())
    assert [row for row in whole if row in rows(read)] == rows(read)


def test_copies_of_train_are_counted(write):
    train, other = documents(write), write("v.jsonl", '{"text": "text 3"}\n{"text": "new"}\n' * 2)
    read = Text(train=train, validation=other).read()
    assert read.notes == ["validation: 2 of 4 texts also occur in train"]


@pytest.mark.parametrize("kept", [False, True])
def test_a_share_of_training(kept, write, tmp_path):
    where = {"cache_dir": tmp_path / "cache"} if kept else {}
    path = documents(write)
    whole = Text(train=path, validation=0.2).read()
    read = Text(train=path, validation=0.2, train_share=0.5, **where).read()
    assert read.splits["validation"] == whole.splits["validation"]
    half = read.splits["train"].to_pylist()
    assert len(half) == round(whole.splits["train"].num_rows / 2)
    assert [row for row in whole.splits["train"].to_pylist() if row in half] == half
