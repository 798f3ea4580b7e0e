"""CSV, TSV and Parquet: columns, quoting, labels."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.helpers.asked import made
from tests.helpers.costs import cost

from lushan.data.formats import Table
from lushan.data.labels import labels_of


def rows(source: Table, *names: str) -> list[tuple[object, ...]]:
    part = source.read().splits["train"]
    return list(zip(*(part[name].to_pylist() for name in names or ("text", "label")), strict=True))


def test_a_table_with_a_header(write) -> None:
    path = write("x.tsv", "idx\tsentence\tlabel\n7\ta b\t0\n8\tc\t1\n")
    read = Table(train=path, text="sentence", label="label", id="idx").read()
    assert (next(iter(read.fields)), read.scheme) == ("text", None)
    assert read.splits["train"].to_pylist() == [
        {"id": "7", "text": "a b", "label": "0", "line": 2, "file": path},
        {"id": "8", "text": "c", "label": "1", "line": 3, "file": path},
    ]


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("start", ["sep={}", "\ufeffSEP={}\r", '"sep={}"'])
def test_a_first_line_for_excel_states_the_separator(mark, start, write, refused) -> None:
    first = start.format(mark) + "\n"
    kept = "," if mark != "," else ";"  # there are more of it than of what is stated
    content = f"{first}text{mark}label\na{kept}b{kept}c{mark}x\nd{kept}e{mark}y\n"
    path = write("x.csv", content)
    read = Table(train=path).read().splits["train"]
    assert read["text"].to_pylist() == [f"a{kept}b{kept}c", f"d{kept}e"]
    assert read["line"].to_pylist() == [3, 4]
    whole = {"separator": mark, "train": path}
    assert Table(**whole).read().splits["train"].equals(read)
    assert refused(Table(train=write("y.csv", f"{content}alone\n")).read).line == 5
    double = write("z.csv", f"{first}text{mark}text\na{mark}b\n")
    assert refused(Table(train=double).read).line == 2
    unnamed = Table(train=write("u.csv", f"{first}a{mark}b\n"), columns=["text", "label"])
    assert rows(unnamed) == [("a", "b")]
    assert "no rows" in refused(Table(train=write("e.csv", first)).read).problem


def test_a_column_may_be_called_sep(write) -> None:
    path = write("x.csv", "sep=a,text,label\n1,b,x\n")
    assert rows(Table(train=path)) == [("b", "x")]


@pytest.mark.parametrize("header", ["", "label,sentence\n", "Label, Sentence\n"])
def test_named_columns_with_and_without_header(header: str, write) -> None:
    path = write("x.csv", header + "pos,good\nneg,bad\n")
    source = Table(train=path, columns=["label", "sentence"])
    assert rows(source) == [("good", "pos"), ("bad", "neg")]


def test_a_header_of_other_names(write) -> None:
    path = write("x.csv", "y,x\npos,good\n")
    source = Table(train=path, columns=["label", "sentence"], header=True)
    assert rows(source) == [("good", "pos")]


@pytest.mark.parametrize("options", [{"text": ["sentence1", "sentence2"]}, {}])
def test_pairs(options: dict[str, object], write) -> None:
    path = write("x.csv", "sentence1,sentence2,label\na,b,0\n")
    assert rows(Table(train=path, **options), "text", "text_pair", "label") == [("a", "b", "0")]


@pytest.mark.parametrize("name", ["text", "sentence", "Review", "tweet", "the only one left"])
def test_columns_are_found_by_name(name: str, write) -> None:
    assert rows(Table(train=write("x.csv", f"id,{name},Sentiment\n1,a,b\n"))) == [("a", "b")]


def test_columns_that_cannot_be_found(write, refused) -> None:
    path = write("x.csv", "a,b,label\n1,2,3\n")
    error = refused(Table(train=path).read)
    assert (error.key, error.file) == ("data.text", path)
    assert "a, b, label" in error.hint
    error = refused(Table(train=write("y.csv", "text,kind\n1,2\n")).read)
    assert error.key == "data.label"
    assert "text, kind" in error.hint


@pytest.mark.fault(33)
def test_wrong_column(write, refused) -> None:
    path = write("x.csv", "sentence,label\na,b\n")
    error = refused(Table(train=path, text="sentense").read)
    assert (error.key, error.file) == ("data.text", path)
    assert "'sentence'" in error.hint
    assert "sentence, label" in error.hint
    assert refused(Table(train=path, label="lable").read).key == "data.label"
    assert refused(Table(train=path, id="name").read).key == "data.id"
    assert refused(Table(train=path, text=["a", "b", "c"]).read).key == "data.text"


@pytest.mark.parametrize(
    ("name", "mark"),
    [("x.csv", ","), ("x.csv", ";"), ("x.tsv", "\t"), ("x.dat", "|"), ("x.dat", "::")],
)
def test_separators(name: str, mark: str, write) -> None:
    path = write(name, f"label{mark}text\npos{mark}good\n")
    assert rows(Table(train=path)) == [("good", "pos")]


def test_a_separator_of_ones_own(write, refused) -> None:
    path = write("x.csv", "label|text\npos|good\n")
    assert rows(Table(train=path, separator="|")) == [("good", "pos")]
    assert rows(Table(train=write("y", "label\ttext\na\tb\n"), separator="tab")) == [("b", "a")]
    assert refused(Table(train=path, separator="").read).key == "data.separator"
    assert refused(Table(train=path, separator="::", quote="'").read).key == "data.quote"


def test_quoted_fields_and_their_lines(write) -> None:
    path = write("x.csv", 'label,text\npos,"one, ""two""\nthree"\n\nneg,last\n')
    assert rows(Table(train=path), "text", "line") == [('one, "two"\nthree', 2), ("last", 5)]


def test_marks_in_tsv_are_text(write) -> None:
    path = write("x.tsv", 'text\tlabel\n"a" and b\tx\n"c\ty\n')
    read = Table(train=path).read()
    assert read.splits["train"]["text"].to_pylist() == ['"a" and b', '"c']
    assert "data.quote" in read.notes[0]
    quoted = write("y.tsv", 'text\tlabel\n"a\tb"\tx\n')
    assert rows(Table(train=quoted, quote='"')) == [("a\tb", "x")]


@pytest.mark.fault(36)
def test_ragged_rows(write, refused) -> None:
    path = write("x.csv", 'label,text\na,"b\nc"\nb,one, two\n')
    error = refused(Table(train=path).read)
    assert (error.file, error.line) == (path, 4)
    assert "3 fields" in error.problem
    assert "label, text" in error.problem
    short = write("y.csv", "label,text\na\n")
    assert refused(Table(train=short).read).line == 2


def test_a_mark_that_is_never_closed(write, refused) -> None:
    path = write("x.csv", 'label,text\na,b\nb,"one\nc,two\n')
    error = refused(Table(train=path).read)
    assert (error.file, error.line) == (path, 3)
    assert "closed" in error.problem


def test_text_after_a_closing_mark(write, refused) -> None:
    path = write("x.csv", 'label,text\na,"b" c\n')
    assert refused(Table(train=path).read).line == 2
    assert rows(Table(train=path, quote="")) == [('"b" c', "a")]


@pytest.mark.fault(32)
def test_only_a_header(write, refused) -> None:
    path = write("x.csv", "label,text\n")
    error = refused(Table(train=path).read)
    assert error.file == path
    assert "no rows" in error.problem
    error = refused(Table(train=path, columns=["label", "text"]).read)
    assert "no rows" in error.problem


def test_headers_that_cannot_be(write, refused) -> None:
    assert refused(Table(train=write("x.csv", "a,a\n1,2\n")).read).line == 1
    path = write("y.csv", "1,2\n")
    assert refused(Table(train=path, header=False).read).key == "data.columns"
    error = refused(Table(train=path, columns=["a", "b", "c"]).read)
    assert (error.key, error.file) == ("data.columns", path)


@pytest.mark.parametrize("kind", ["single", "multilabel", "regression"])
@pytest.mark.fault(33)
def test_missing_label(kind: str, write, refused) -> None:
    path = write("x.csv", "text,label\na,1\nb, \n")
    source = made(Table, train=path, label_kind=kind, label_separator=";")
    if kind == "multilabel":  # none of the labels
        assert rows(source) == [("a", ["1"]), ("b", [])]
        return
    error = refused(source.read)
    assert (error.file, error.line) == (path, 3)
    assert "missing" in error.problem


def test_several_labels(write, refused) -> None:
    path = write("x.csv", "text,labels\na,x;y\nb,\nc,y; z;y\n")
    several = made(Table, train=path, label_kind="multilabel", label_separator=";")
    assert rows(several) == [("a", ["x", "y"]), ("b", []), ("c", ["y", "z"])]
    assert labels_of(several.read()) == ["x", "y", "z"]
    error = refused(made(Table, train=path, label_kind="multilabel").read)
    assert "data.label_separator" in error.hint


def test_numbers(write, refused) -> None:
    path = write("x.csv", "text,score\na,1\nb,-2.5e1\n")
    assert rows(made(Table, train=path, label_kind="regression")) == [("a", 1.0), ("b", -25.0)]
    for bad in ("good", "nan", "inf"):
        path = write("x.csv", f"text,score\na,1\nb,{bad}\n")
        error = refused(made(Table, train=path, label_kind="regression").read)
        assert (error.file, error.line, error.value) == (path, 3, bad)


def test_names_for_numbers(write, refused) -> None:
    path = write("x.csv", "text,label\na,0\nb,1\nc,good\n")
    assert [label for _, label in rows(Table(train=path, label_names=["bad", "good"]))] == [
        "bad",
        "good",
        "good",
    ]
    error = refused(Table(train=path, label_names=["bad"]).read)
    assert (error.file, error.line) == (path, 3)


def test_ids_given_twice(write, refused) -> None:
    path = write("x.csv", "id,text,label\n1,a,b\n2,a,b\n1,a,b\n")
    error = refused(Table(train=path).read)
    assert (error.file, error.line) == (path, 4)
    assert "line 2" in error.problem
    assert rows(Table(train=path, id=None), "id") == [("x.csv:2",), ("x.csv:3",), ("x.csv:4",)]
    assert refused(Table(train=write("y.csv", "id,text,label\n,a,b\n")).read).line == 2


@pytest.mark.slow
def test_a_hundred_thousand_rows(write) -> None:
    path = write("x.csv", "label,text\n" + 'a,"some words, and more"\n' * 100_000)
    assert Table(train=path).read().splits["train"].num_rows == 100_000

    def plainly() -> None:
        with Path(path).open(newline="") as file:
            list(csv.DictReader(file))

    assert cost(Table(train=path).read, 1) < 15 * cost(plainly, 1)


# Parquet


def parquet(write, table: dict[str, object], name: str = "x.parquet") -> str:
    sink = io.BytesIO()
    pq.write_table(pa.table(table), sink)
    return write(name, sink.getvalue())


def test_parquet(write) -> None:
    path = parquet(write, {"text": ["a", ""], "label": [1, 0]})
    assert rows(Table(train=path), "text", "label", "line") == [("a", "1", 1), ("", "0", 2)]


def test_parquet_words(write) -> None:
    path = parquet(write, {"tokens": [["a", "b"]], "tags": [["B-X", "O"]]})
    read = Table(train=path).read()
    assert next(iter(read.fields)) == "tokens"
    assert read.splits["train"]["tags"].to_pylist() == [["B-X", "O"]]


def test_parquet_lists_and_floats(write) -> None:
    path = parquet(write, {"text": ["a"], "label": [["x", "y"]]})
    assert rows(made(Table, train=path, label_kind="multilabel")) == [("a", ["x", "y"])]
    # A column of whole numbers with a gap is read as floats by many: 1.0 is the label 1.
    path = parquet(write, {"text": ["a"], "label": [1.0]})
    assert rows(Table(train=path)) == [("a", "1")]


@pytest.mark.parametrize("value", [None, float("nan")])
@pytest.mark.fault(33)
def test_parquet_null(value: object, write, refused) -> None:
    path = parquet(write, {"text": ["a", "b"], "label": [1.0, value]})
    for kind in ("single", "regression"):
        error = refused(made(Table, train=path, label_kind=kind).read)
        assert (error.file, error.line) == (path, 2)
    path = parquet(write, {"text": ["a", None], "label": ["x", "y"]})
    assert refused(Table(train=path).read).line == 2


def test_parquet_that_is_none(write, refused) -> None:
    path = write("x.parquet", b"not really")
    assert refused(Table(train=path).read).file == path
    empty = parquet(write, {"text": pa.array([], pa.string()), "label": pa.array([], pa.string())})
    assert "no rows" in refused(Table(train=empty).read).problem


def test_parquet_with_a_long_text(write, refused) -> None:
    path = parquet(write, {"text": ["a", "b" * 1_000_001], "label": ["x", "y"]})
    assert refused(Table(train=path).read).line == 2
    assert Path(path).stat().st_size < 1_000_000


def test_joined_files(write, refused) -> None:
    path = write("x.csv", "text,label\na,x\n\ufeffb,y\n")
    read = Table(train=path).read()
    assert read.splits["train"]["text"].to_pylist() == ["a", "b"]
    assert "1 byte order mark" in read.notes[0]
    assert f"{path}:3" in read.notes[0]
    path = write("y.csv", "text,label\na,x\n\ufefftext,label\nb,y\n")
    error = refused(Table(train=path).read)
    assert (error.problem, error.file, error.line) == ("the header is repeated here", path, 3)
