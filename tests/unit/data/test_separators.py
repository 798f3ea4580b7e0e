"""What separates the fields of a table, where the config does not say it."""

from __future__ import annotations

import pytest
from tests.helpers.asked import made

from lushan.data.fields import LABELLED
from lushan.data.formats import Interactions, Table, Text
from lushan.data.separators import MARKS, likely_separator

NUMBERED = {"columns": ["text", "score"], "text": "text", "label": "score"}


def texts(path: str, **options: object) -> list[str]:
    return Table(train=path, **options).read(LABELLED).splits["train"]["text"].to_pylist()


@pytest.mark.parametrize("mark", [";", "\t", "|", "::"])
@pytest.mark.parametrize("text", ["Das Bier {} ist gut", "Das Bier {}, das gut ist"])
@pytest.mark.parametrize("header", ["", "text{}score\n"])
def test_decimal_commas_do_not_separate(mark, text, header, write, refused) -> None:
    lines = [f"{text.format(i)}{mark}{i // 10},{i % 10}\n" for i in range(40)]
    path = write("x.csv", header.format(mark) + "".join(lines))
    named = {} if header else {"columns": ["text", "score"]}
    assert texts(path, label="score", **named) == [text.format(i) for i in range(40)]
    error = refused(made(Table, train=path, label="score", label_kind="regression", **named).read)
    assert error.value == "0,0"
    assert "decimal comma" in error.hint
    assert "0.0" in error.hint
    assert "task.kind" not in error.hint


def test_ratings_with_decimal_commas(write, refused) -> None:
    path = write("x.csv", "user;item;rating;time\n" + "".join(f"1;{i};3,5;{i}\n" for i in range(9)))
    error = refused(Interactions(train=path, least_rating=3).read)
    assert error.value == "3,5"
    assert "3.5" in error.hint


@pytest.mark.parametrize(
    ("lines", "mark"),
    [
        (["1;a,b,c", "2;d,e,f"], ","),  # more of it than of the other
        (["pos;Hello, world", "neg;Well, no"], ";"),  # a blank follows a comma in a sentence
        (["a,b", "1;2,c", "3;4,d"], ","),  # the header has one of them alone
        (["1,12,x", "2,13,y", "3,14,z"], ","),
    ],
)
def test_marks_that_divide_as_well(lines, mark, tmp_path) -> None:
    assert likely_separator(lines, tmp_path / "x.csv") == mark


def test_marks_between_which_nothing_decides(write, refused, tmp_path) -> None:
    path = write("x.csv", "good;x,pos\nbad;y,neg\n")
    error = refused(Table(train=path, columns=["text", "label"]).read)
    assert (error.key, error.file) == ("data.separator", path)
    assert "'data.separator=\",\"' or 'data.separator=\";\"'" in error.hint
    assert texts(path, columns=["text", "label"], separator=";") == ["good", "bad"]
    lines = ["a;b,c", "d;e,f"]
    assert likely_separator(lines, tmp_path / "x.csv", sure=False) == ","
    raw = write("raw.csv", "text;x,y\ngood;x,pos\n")  # raw text has no such key
    assert "data.separator" not in str(refused(Text(train=raw).read))


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("quoted", [True, False])
def test_a_txt_is_looked_into(mark, quoted, write) -> None:
    caption = "A red square number {}" if not quoted or len(mark) > 1 else '"A red{} , number {}"'
    rows = [
        f"{i:04}ab{mark}{caption.format('', i) if 'red{}' in caption else caption.format(i)}"
        for i in range(30)
    ]
    if mark == "\t":
        rows = [row.replace('"', "") for row in rows]
    path = write("captions.txt", "\n".join([f"label{mark}text", *rows]) + "\n")
    read = texts(path)
    assert len(read) == 30
    assert all(text.startswith("A red") and "ab" not in text for text in read)


@pytest.mark.parametrize("odd", ["", "no tab at all, here\n"])
def test_a_txt_with_tabs_has_tabs(odd, write, refused) -> None:
    lines = [f"one, two {i}\tpos\n" for i in range(30)]
    path = write("x.txt", f"{''.join(lines)}{odd}")
    if odd:
        assert (
            "separated by tabs"
            in refused(Table(train=path, columns=["text", "label"]).read).problem
        )
        return
    assert texts(path, columns=["text", "label"]) == [f"one, two {i}" for i in range(30)]


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.txt", "x.dat"])
def test_one_column_may_be_several(name, write, refused) -> None:
    path = write(name, "text^label\na^x\nb^y\n")
    for options in ({}, {"label": "label"}):
        error = refused(Table(train=path, **options).read, LABELLED)
        assert "data.separator=" in error.hint
    path = write(name, "user^item^time\n1^2^3\n")
    for options in ({}, {"user": "user"}):
        assert "data.separator=" in refused(Interactions(train=path, **options).read).hint


def test_one_field_of_json_is_one(write, refused) -> None:
    path = write("x.json", '[{"text": "a"}, {"text": "b"}]')
    assert "data.separator" not in refused(Table(train=path).read, LABELLED).hint
