"""Files that are missing, empty, badly encoded, cut or too long; what all sources share."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.helpers.asked import made
from tests.helpers.costs import cost

from lushan.data.fields import LABELLED, Labels
from lushan.data.fields import Text as TextField
from lushan.data.formats import Conll, Jsonl, Table, Text
from lushan.data.labels import labels_of
from lushan.data.source import Corpus, FileSource
from lushan.errors import UserError

SOURCES = (Conll, Jsonl, Table, Text)


@pytest.mark.parametrize("source", SOURCES)
def test_missing_file_names_those_near(source: type[FileSource], write, refused) -> None:
    path = Path(write("train.conll", "a O\n"))
    error = refused(source(train="trian.conll", dir=str(path.parent)).read)
    assert error.key == "data.train"
    assert error.value == "trian.conll"
    assert "'train.conll'" in error.hint
    assert refused(source(train="trian.conll", dir=str(path.parent)).fingerprint).hint == error.hint


def test_missing_folder_is_named(tmp_path: Path, refused) -> None:
    error = refused(Conll(train=str(tmp_path / "no" / "where" / "x.conll")).read)
    assert f"no folder {tmp_path / 'no'}" in error.hint


def test_a_folder_is_no_file(tmp_path: Path, write, refused) -> None:
    write("x.conll", "a O\n")
    error = refused(Conll(train=str(tmp_path)).read)
    assert "folder" in error.problem
    assert "x.conll" in error.hint


def test_names_are_below_dir_or_in_the_working_folder(
    tmp_path: Path, write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("here.conll", "a O\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "there.conll").write_text("b O\n")
    monkeypatch.chdir(tmp_path)
    source = Conll(dir="sub", train="there.conll", validation="here.conll")
    splits = source.read().splits
    assert splits["train"]["tokens"].to_pylist() == [["b"]]
    assert splits["validation"]["tokens"].to_pylist() == [["a"]]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff", " \t\n"])
@pytest.mark.fault(32)
def test_empty_file(source: type[FileSource], content: str, write, refused) -> None:
    path = write("x", content)
    error = refused(source(train=path).read)
    assert error.file == path
    assert "empty" in error.problem


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.fault(36)
def test_invalid_utf8_has_line_and_column(source: type[FileSource], write, refused) -> None:
    path = write("x", "label,text\n1,山水之间 ".encode() + b"\xe9t\xe9\n")
    error = refused(source(train=path).read)
    assert (error.file, error.line, error.column) == (path, 2, 8)
    assert "0xe9" in error.problem
    assert "iconv -c" in error.hint


def test_encodings_are_guessed(write, refused) -> None:
    chinese = "庐山\tB-LOC\n瀑布\tO\n香炉\tO\n" * 20
    assert "gb18030" in refused(Conll(train=write("a", chinese.encode("gb18030"))).read).hint
    assert "latin1" in refused(Conll(train=write("c", "café\tO\n".encode("latin1"))).read).hint
    assert "utf-16" in refused(Conll(train=write("b", chinese.encode("utf-16"))).read).hint


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.fault(37)
def test_ten_megabytes_in_a_line(source: type[FileSource], packed: bool, write, refused) -> None:
    content = b'{"text": "a", "label": "x"}\nx\tO' + b"y" * 10_000_000 + b"\n"
    path = write("x.gz", gzip.compress(content, 1) if packed else content)
    error = refused(source(train=path).read)
    assert (error.file, error.line) == (path, 2)
    assert "10,000,003 bytes" in error.problem
    assert len(str(error)) < 500

    def unpacked() -> None:
        with gzip.open(path) if packed else Path(path).open("rb") as file:
            file.read().decode()

    assert cost(lambda: refused(source(train=path).read)) < 8 * cost(unpacked)


def test_the_bound_is_the_users(write) -> None:
    path = write("x.txt", "a" * 1_500_000 + "\nb\n")
    with pytest.raises(UserError):
        Text(train=path).read()
    assert Text(train=path, longest_line=2_000_000).read().splits["train"].num_rows == 2


def test_lines_of_the_bound_itself_pass(write, refused) -> None:
    assert Text(train=write("x", "a" * 10 + "\n" + "b" * 10), longest_line=10).read()
    error = refused(Text(train=write("y", "a\n" * 20 + "b" * 11), longest_line=10).read)
    assert error.line == 21


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_gzip_mark_and_line_ends_change_nothing(end: str, write) -> None:
    plain = "label,text\na,one two\nb,三\n".replace("\n", end).encode()
    rows = [
        Table(train=write(name, content)).read().splits["train"]["text"].to_pylist()
        for name, content in (
            ("a.csv", plain),
            ("b.csv", b"\xef\xbb\xbf" + plain),
            ("c.csv.gz", gzip.compress(plain)),
        )
    ]
    assert rows == [["one two", "三"]] * 3


def test_cut_gzip(write, refused) -> None:
    content = gzip.compress(b"a O\n" * 1000)
    path = write("x.conll.gz", content[: len(content) // 2])
    error = refused(Conll(train=path).read)
    assert error.file == path
    assert "truncated" in error.problem


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser reads every file")
def test_unreadable_file(write, refused) -> None:
    path = write("x.conll", "a O\n")
    Path(path).chmod(0)
    assert "cannot be read" in refused(Conll(train=path).fingerprint).problem
    assert "cannot be read" in refused(Conll(train=path).read).problem


# Options that all sources have


def test_batch_in_tokens_or_examples(refused) -> None:
    assert Text(train="x").batch_tokens == 1024
    by_examples = Text(train="x", batch_examples=8)
    assert by_examples.batch_tokens is None
    error = refused(Text, train="x", batch_examples=8, batch_tokens=9)
    assert error.key == "data.batch_examples"
    assert "data.batch_tokens=null" in error.hint


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"limit": 0}, "data.limit"),
        ({"max_length": -1}, "data.max_length"),
        ({"validation": 1.0}, "data.validation"),
        ({"test": 10}, "data.test"),
        ({"validation": 0.5, "test": 0.5}, "data.validation"),
        ({"train": None, "test": 0.1}, "data.test"),
    ],
)
def test_impossible_options(options: dict[str, object], key: str, refused) -> None:
    assert refused(Text, **{"train": "x", **options}).key == key


def test_nothing_named(refused) -> None:
    assert refused(Text().read).key == "data.train"


def test_fingerprint_follows_bytes_and_what_splits_are_made_by(write) -> None:
    path = write("x.csv", "label,text\n" + "a,b\n" * 20)
    plain = Table(train=path).fingerprint()
    assert plain == Table(train=path, batch_tokens=5, max_length=9).fingerprint()
    shared = Table(train=path, validation=0.1).fingerprint()
    assert set(shared) == {"train", "validation"}
    assert shared["train"] != plain["train"]
    assert shared != Table(train=path, validation=0.1, seed=2).fingerprint()
    assert shared != Table(train=path, validation=0.2).fingerprint()
    assert shared == Table(train=path, validation=0.1, max_length=5).fingerprint()
    write("x.csv", "label,text\n" + "a,c\n" * 20)
    assert Table(train=path).fingerprint() != plain


def test_options_are_what_decides_the_rows(write) -> None:
    base = Conll(train="x").options()
    assert base == Conll(train="y", dir="z", batch_examples=4, max_length=3, stride=1).options()
    assert base != Conll(train="x", repair=True).options()
    assert base != Conll(train="x", validation=0.1).options()


def test_reading_needs_neither_torch_nor_pandas() -> None:
    code = (
        "import sys; from lushan.data.formats import SampleNER, SampleReviews;"
        "SampleNER().read(), SampleReviews(limit=9).read();"
        "sys.exit(str([m for m in ('torch', 'pandas', 'datasets') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"


# Labels


def corpus(**splits: list[str]) -> Corpus:
    import pyarrow as pa

    tables = {
        split: pa.table(
            {
                "id": list(map(str, range(len(labels)))),
                "text": [f"{split} {i}" for i in range(len(labels))],
                "label": labels,
                "line": list(range(2, len(labels) + 2)),
                "file": [f"{split}.csv"] * len(labels),
            }
        )
        for split, labels in splits.items()
    }
    return Corpus(tables, LABELLED, None, [])


@pytest.mark.fault(34)
def test_labels_come_from_train() -> None:
    assert labels_of(corpus(train=["b", "a", "b"], test=["a"])) == ["a", "b"]


@pytest.mark.fault(34)
def test_a_label_that_only_evaluation_has(refused) -> None:
    error = refused(labels_of, corpus(train=["good", "bad"], test=["bad", "goood"]))
    assert (error.file, error.line) == ("test.csv", 3)
    assert "'goood'" in error.problem
    assert "'good'" in error.hint


@pytest.mark.fault(34)
def test_a_type_that_only_evaluation_has(write, refused) -> None:
    train, test = write("a", "Ann B-PER\n"), write("b", "in O\n\nat O\nRome B-LOC\n")
    read = Conll(train=train, test=test).read()
    error = refused(labels_of, read)
    assert (error.file, error.line) == (test, 3)
    assert "'LOC'" in error.problem


def test_labels_of_lists_and_numbers(write, refused) -> None:
    rows = '{"text": "a", "label": ["x", "y"]}\n{"text": "b", "label": []}\n'
    several = made(Jsonl, train=write("a", rows), label_kind="multilabel").read()
    assert labels_of(several) == ["x", "y"]
    numbers = made(Table, train=write("b", "text,label\na,1.5\n"), label_kind="regression").read()
    assert "regression" in refused(labels_of, numbers).hint


def test_no_labels(write, refused) -> None:
    path = write("x.txt", "a\nb\n")
    assert refused(labels_of, Text(train=path).read()).file == path
    only_o = write("x.conll", "a O\n")
    assert "entity" in refused(labels_of, Conll(train=only_o).read()).problem
    assert refused(labels_of, Text(test=path).read()).key == "data.train"


def test_words_and_texts_do_not_mix(write, refused) -> None:
    words = write("a", '{"tokens": ["a"], "tags": ["O"]}\n')
    texts = write("b", '{"text": "a", "label": "x"}\n')
    assert refused(Jsonl(train=words, test=texts).read).key == "data.test"


def test_empty_texts_are_counted(write) -> None:
    path = write("x.csv", 'label,text\na,\nb,"  "\na,c\n')
    read = Table(train=path).read()
    assert read.splits["train"].num_rows == 3
    assert read.notes == ["train: 2 of 3 texts are empty"]


def test_texts_that_train_has_too_are_counted(write) -> None:
    train, test = write("a", "label,text\na,b\nb,c\n"), write("b", "label,text\na,c\nb,d\n")
    notes = Table(train=train, test=test).read().notes
    assert notes == ["test: 1 of 2 texts also occur in train"]


ALIKE = "labels differ in case, spaces or width alone"


@pytest.mark.parametrize(
    ("name", "text", "options", "note"),
    [
        ("x.csv", "label,text\nPos,a\npos,b\npos,c\nneg,d\n", {}, "'Pos' (1) and 'pos' (2)"),
        (
            "x.csv",
            'label,text\n"a b",a\n"a  b",b\nＡＢ,c\nab,d\n',
            {},
            "'a  b' (1) and 'a b' (1); ",
        ),
        ("x.conll", "a B-per\nb I-per\n\nc B-PER\nd B-LOC\n", {}, "'PER' (1) and 'per' (1)"),
        (
            "x.jsonl",
            '{"text": "a", "labels": ["x", "y"]}\n{"text": "b", "labels": ["X"]}\n',
            {"fields": {"label": Labels()}, "label": "labels"},
            "'X' (1) and 'x' (1)",
        ),
    ],
)
def test_labels_that_look_alike_are_counted(write, name, text, options, note) -> None:
    kind = {"csv": Table, "conll": Conll, "jsonl": Jsonl}[name.partition(".")[2]]
    fields = options.pop("fields", None)
    path = write(name, text)
    wanted = None if fields is None else {"text": TextField(), **fields}
    (found,) = kind(train=path, **options).read(wanted).notes
    assert found.startswith(f"train: {ALIKE}: ")
    assert note in found


def test_labels_that_are_apart_are_not_counted(write) -> None:
    path = write("x.csv", "label,text\npos,a\nneg,b\npose,c\n")
    assert Table(train=path).read().notes == []
    many = "".join(f"x{n},a{n}\nX{n},b{n}\n" for n in range(7))
    (note,) = Table(train=write("y.csv", f"label,text\n{many}")).read().notes
    assert note.endswith("; and 2 more")


@pytest.mark.parametrize("split", ["validation", "test"])
def test_examples_with_labels_of_their_own_say_why_none_is_left(write, refused, split) -> None:
    rows = "".join(f"l{n},text {n}\n" for n in range(20))
    path = write("x.csv", f"label,text\n{rows}")
    error = refused(Table(train=path, **{split: 0.2}).read)
    assert error.key == f"data.{split}"
    assert "20 of 20 examples have a unique label" in error.problem
    assert "Check data.label" in str(error.hint)
    few = write("y.csv", "label,text\na,x\nb,y\n")
    error = refused(Table(train=few, **{split: 0.1}).read)
    assert "the file has 2 examples" in error.problem
    assert "Choose other fractions" in str(error.hint)


def test_what_a_cell_holds_is_shortened_where_it_is_shown(write, refused) -> None:
    long, other = "9" * 400, "x" * 400
    path = write("x.csv", f"label,text\n{long},a\n{other},b\n{other.upper()},c\n")
    notes = Table(train=path).read().notes
    assert len(notes) == 2
    assert max(map(len, notes)) < 300
    test = write("y.csv", f"label,text\n{'z' * 400},d\n")
    error = refused(labels_of, Table(train=path, test=test).read())
    assert len(error.problem) < 200
    assert len(str(error.hint)) < 300


@pytest.mark.parametrize("first", ["a fine film here,bad", "It rained.,good", "下雨了。,好"])
def test_a_table_without_a_header_says_so(write, refused, first) -> None:
    path = write("x.csv", f"{first}\nanother text,good\n")
    error = refused(Table(train=path).read, LABELLED)
    assert "the file has no header. Name its 2 columns by data.columns=[...]" in str(error.hint)
    known = write("y.csv", "my words,what it is\na,b\n")
    assert "no header" not in str(refused(Table(train=known).read, LABELLED).hint)
