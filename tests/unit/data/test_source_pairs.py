"""Sources and targets: from tables, JSON lines, Parquet and sets of the hub."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.helpers.asked import KINDS, made

from lushan.data.field_tables import keys
from lushan.data.fields import PAIRS
from lushan.data.formats import Hub, Jsonl, Table
from lushan.data.unlabelled import read_unlabelled


def lines(*rows: object) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def pairs(source: Jsonl | Table | Hub, split: str = "train") -> list[tuple[str, list[str]]]:
    read = source.read()
    assert next(iter(read.fields)) == "source"
    assert read.scheme is None
    part = read.splits[split]
    return list(zip(part["source"].to_pylist(), part["targets"].to_pylist(), strict=True))


def test_a_table(write) -> None:
    path = write("x.tsv", "s\ty\tmore\nlong text\tshort\t1\n长文\t短\t2\n")
    read = Table(train=path, source="s", target="y").read()
    assert next(iter(read.fields)) == "source"
    assert read.splits["train"].to_pylist() == [
        {"id": "x.tsv:2", "source": "long text", "targets": ["short"], "line": 2, "file": path},
        {"id": "x.tsv:3", "source": "长文", "targets": ["短"], "line": 3, "file": path},
    ]
    assert read.splits["train"].schema.field("targets").type == pa.list_(pa.string())


def test_several_columns_are_several_references(write) -> None:
    path = write("x.csv", "s,a,b\nx,one,two\ny,,only\n")
    found = pairs(Table(train=path, source="s", target=["a", "b"]))
    assert found == [("x", ["one", "two"]), ("y", ["only"])]


def test_json_lines_with_lists(write) -> None:
    rows = [
        {"id": "p", "text": ["One.\n", "", " Two."], "tldr": ["1", "2"]},
        {"id": "q", "text": ["床前。", "明月。"], "tldr": "月"},
        {"id": "r", "text": [], "tldr": "none"},
    ]
    path = write("x.jsonl", lines(*rows))
    source = Jsonl(train=path, source="text", target="tldr")
    assert pairs(source) == [("One. Two.", ["1", "2"]), ("床前。明月。", ["月"]), ("", ["none"])]
    table = source.read().splits["train"]
    assert table["id"].to_pylist() == ["p", "q", "r"]
    assert table["lead"].to_pylist() == ["One.", "床前。", ""]
    assert source.read().notes == ["train: 1 of 3 texts are empty"]


def test_columns_are_found_by_their_names(write) -> None:
    path = write("x", lines({"Document": "d", "summary": "s", "text": "t"}))
    assert pairs(made(Jsonl, train=path, kind="pairs")) == [("d", ["s"])]
    assert pairs(Jsonl(train=path, source="text")) == [("t", ["s"])]
    assert pairs(Jsonl(train=path, target="text")) == [("d", ["t"])]


def test_parquet(tmp_path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"s": [["a b", "c"]], "y": [["d", "e"]]}), path)
    assert pairs(Table(train=str(path), source="s", target="y")) == [("a b c", ["d", "e"])]


def test_translations_of_a_hub_set(tmp_path) -> None:
    row = {"translation": {"de": "Haus", "en": "house"}}
    (tmp_path / "train.jsonl").write_text(lines(row), encoding="utf-8")
    there: dict[str, Any] = {"path": str(tmp_path), "validation": None, "test": None}
    assert pairs(Hub(**there, source="translation.de", target="translation.en")) == [
        ("Haus", ["house"])
    ]


def test_a_language_that_is_not_there(write, refused) -> None:
    path = write("x", lines({"translation": {"de": "Haus", "english": "house"}}))
    error = refused(Jsonl(train=path, source="translation.de", target="translation.englisch").read)
    assert error.hint == "Did you mean 'translation.english'?"
    error = refused(Jsonl(train=path, source="translation.de", target="translation.zh").read)
    assert error.hint == "It has: de, english."
    assert error.line == 1


def test_a_column_that_is_not_there(write, refused) -> None:
    path = write("x.csv", "document,summary\na,b\n")
    error = refused(Table(train=path, source="documnet", target="summary").read)
    assert (error.key, error.file) == ("data.source", path)
    assert "Did you mean 'document'?" in error.hint
    error = refused(Table(train=path, source="document", target=["summary", "sumary"]).read)
    assert error.key == "data.target"
    assert "Did you mean 'summary'?" in error.hint
    assert refused(Table(train=path, source="document", target=[]).read).key == "data.target"


def test_columns_that_cannot_be_found(write, refused) -> None:
    path = write("x.csv", "a,b\nx,y\n")
    error = refused(made(Table, train=path, kind="pairs").read)
    assert error.key == "data.source"
    assert error.hint == "Write data.source=NAME; the columns are: a, b."
    assert refused(Table(train=path, source="a").read).key == "data.target"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"s": "a"}, "the y is missing"),
        ({"y": "a"}, "the s is missing"),
        ({"s": None, "y": "a"}, "the s is missing"),
        ({"s": 1, "y": "a"}, "the s must be a text or a list"),
        ({"s": ["a", None], "y": "a"}, "the s is missing"),
        ({"s": "a", "y": None}, "the y is missing"),
        ({"s": "a", "y": ""}, "the y is empty"),
        ({"s": "a", "y": " \n"}, "the y is empty"),
        ({"s": "a", "y": []}, "the list of y is empty"),
        ({"s": "a", "y": ["b", ""]}, "the y is empty"),
        ({"s": "a", "y": ["b", 2]}, "the y must be a text or a list"),
        ({"s": "a", "y": {"b": "c"}}, "the y must be a text or a list"),
        ({"s": "a \ud83d", "y": "b"}, "half of a surrogate pair"),
        ({"s": "a", "y": ["b", "\ud83d"]}, "half of a surrogate pair"),
    ],
)
def test_bad_rows(row: dict[str, object], problem: str, write, refused) -> None:
    path = write("x", lines({"s": "a", "y": "b"}) + json.dumps(row) + "\n")
    error = refused(Jsonl(train=path, source="s", target="y").read)
    assert (error.file, error.line) == (path, 2)
    assert problem in error.problem


def test_a_row_without_any_of_several_references(write, refused) -> None:
    path = write("x.csv", "s,a,b\nx,one,two\ny,,\n")
    error = refused(Table(train=path, source="s", target=["a", "b"]).read)
    assert error.line == 3
    assert error.problem == "none of a, b has a text"


def test_an_empty_target_in_a_table(write, refused) -> None:
    path = write("x.csv", "s,y\nx,one\ny,\n")
    error = refused(Table(train=path, source="s", target="y").read)
    assert (error.line, error.problem) == (3, "the y is empty")


def test_a_long_text_where_lines_cannot_be_measured(tmp_path, refused) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"s": [["a"], ["b" * 50, "c" * 50]], "y": ["d", "e"]}), path)
    error = refused(Table(train=str(path), source="s", target="y", longest_line=99).read)
    assert error.line == 2
    assert "101" in error.problem


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"source": "s", "target": "y", "text": "s"}, "data.text"),
        ({"source": "s", "target": "y", "label": "y"}, "data.label"),
    ],
)
def test_options_that_exclude_each_other(options: dict[str, Any], key: str, write, refused) -> None:
    path = write("x", lines({"s": "a", "y": "b"}))
    assert refused(Jsonl(train=path, **options).read).key == key


def test_splits_by_share_keep_a_source_together(write) -> None:
    rows = [{"s": f"text {i // 2}", "y": f"target {i}"} for i in range(80)]
    path = write("x", lines(*rows))
    read = Jsonl(train=path, source="s", target="y", validation=0.25, test=0.1).read()
    assert {split: table.num_rows for split, table in read.splits.items()} == {
        "train": 52,
        "validation": 20,
        "test": 8,
    }
    assert read.notes == []
    sources = {split: set(table["source"].to_pylist()) for split, table in read.splits.items()}
    assert sources["train"].isdisjoint(sources["validation"] | sources["test"])


def test_a_limit(write) -> None:
    path = write("x", lines(*({"s": str(i), "y": "t"} for i in range(20))))
    found = pairs(Jsonl(train=path, source="s", target="y", limit=5))
    assert len(found) == 5
    assert found == pairs(Jsonl(train=path, source="s", target="y", limit=5))


def test_sources_that_train_has_too_are_counted(write) -> None:
    train = write("x", lines({"s": "a", "y": "b"}, {"s": "c", "y": "d"}))
    test = write("y", lines({"s": "a", "y": "other"}))
    read = Jsonl(train=train, test=test, source="s", target="y").read()
    assert read.notes == ["test: 1 of 1 texts also occur in train"]
    assert keys(read.splits["test"], read.fields) == [("a",)]
    assert read.fields == PAIRS


@pytest.mark.parametrize(
    ("name", "content", "sources"),
    [
        ("x.txt", "one\n长文\n", ["one", "长文"]),
        ("x.jsonl", lines({"source": ["a.", "b."], "target": 1}, {"source": "c"}), ["a. b.", "c"]),
        ("x.jsonl", lines({"tokens": ["a"], "text": "b"}), ["b"]),
        ("x.csv", "id,article,summary\np,long,\n", ["long"]),
    ],
)
def test_sources_without_targets(name: str, content: str, sources: list[str], write) -> None:
    table = read_unlabelled(write(name, content), KINDS["pairs"])
    assert table["source"].to_pylist() == sources
    assert "targets" not in table.column_names


def test_a_source_without_a_target_must_be_a_text_too(write, refused) -> None:
    error = refused(read_unlabelled, write("x.jsonl", lines({"source": None})), KINDS["pairs"])
    assert error.line == 1


def test_the_fingerprint_knows_the_columns(write) -> None:
    path = write("x", lines({"s": "a", "y": "b", "z": "c"}))
    options = [Jsonl(train=path, source="s", target=t).options() for t in ("y", "z")]
    assert options[0] != options[1]
    assert options[0]["reader"] == "Jsonl"


def test_scitldr(data_root) -> None:
    folder = data_root / "scitldr"
    read = Jsonl(
        dir=str(folder),
        train="train.jsonl.gz",
        validation="dev.jsonl",
        test="test.jsonl",
        source="source",
        target="target",
        id="paper_id",
    ).read()
    assert {split: t.num_rows for split, t in read.splits.items()} == {
        "train": 1992,
        "validation": 619,
        "test": 618,
    }
    references = {s: sum(map(len, t["targets"].to_pylist())) for s, t in read.splits.items()}
    assert references == {"train": 1992, "validation": 1453, "test": 1967}
    for table in read.splits.values():
        rows = zip(table["source"].to_pylist(), table["lead"].to_pylist(), strict=True)
        assert all(source.startswith(lead) for source, lead in rows)
