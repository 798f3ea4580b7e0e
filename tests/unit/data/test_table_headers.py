"""Tables whose columns the config names, with and without a first row that looks like a header."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.asked import made

from lushan.data.formats import Interactions, Table
from lushan.data.passages import SEARCHED
from lushan.data.table_headers import why_header

Row = Sequence[object]
WORDS = ("war", "ball", "stock", "chip", "film", "soup", "hotel")


def news(i: int) -> Row:
    return (
        i % 4 + 1,
        f"Title of the {WORDS[i % 7]} {i}",
        f"Some text about {WORDS[i % 5]}, number {i}.",
    )


def spam(i: int) -> Row:
    return ("ham", "spam")[i % 2], f"Free {WORDS[i % 7]} {i} entry, now", "", "", ""


def tweets(i: int) -> Row:
    return (
        (0, 4)[i % 2],
        1467810369 + i,
        "Mon Apr 06 22:19:45 PDT 2009",
        "NO_QUERY",
        f"u{i}",
        f"awww {i}",
    )


def entailed(i: int) -> Row:
    return f"what {WORDS[i % 7]} {i} is", f"it is {i}", f"he was not {i}"


def short_pairs(i: int) -> Row:
    return f"what {i}", f"pos {i}", f"neg {i}"


def dictionary(i: int) -> Row:
    return f"{WORDS[i % 7]}{'abcdefgh'[i % 8]}", f"{'hgfedcba'[i % 8]}{WORDS[i % 5]}"


def scored(i: int) -> Row:
    return f"beer {i}", i / 40


def rated(i: int) -> Row:
    return i % 9, i % 7, i % 5 + 1, 978300100 + i


def dated(i: int) -> Row:
    return f"A{i % 9}", f"B00{i}", f"2024-05-{i % 28 + 1:02}"


def short(i: int) -> Row:
    """Texts as short as names, of classes that repeat."""
    return ("verb", "noun", "other")[i % 3], f"{WORDS[i % 7]} {'abcdefghij'[i % 10]}"


def users(i: int) -> Row:
    return i, "FM"[i % 2], i % 50, 48067 + i


def chinese(i: int) -> Row:
    return ("体育", "财经", "娱乐")[i % 3], f"姚明在北京说今天的比赛非常精彩{i}"


def matched(i: int) -> Row:
    return f"喜欢打篮球的男生喜欢什么样的女生{i}", f"爱打篮球的男生喜欢什么样的女生{i}", i % 2


KINDS = {
    "AG News of Kaggle": (news, ["Class Index", "Title", "Description"]),
    "SMS Spam": (spam, ["v1", "v2", "", "", ""]),
    "Sentiment140": (tweets, ["target", "ids", "date", "flag", "user", "text"]),
    "SimCSE": (entailed, ["sent0", "sent1", "hard_neg"]),
    "short pairs": (short_pairs, ["sent0", "sent1", "hard_neg"]),
    "numbers": (scored, ["beer", "score"]),
    "MovieLens": (rated, ["userId", "movieId", "rating", "timestamp"]),
    "dates": (dated, ["who", "what", "when"]),
    "short texts": (short, ["Part of Speech", "Example"]),
    "users": (users, ["user_id", "gender", "age", "zip"]),
    "Chinese": (chinese, ["类别", "标题"]),
    "pairs": (matched, ["text_a", "text_b", "label"]),
}


def written(rows: Sequence[Row]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()


def cells(rows: Sequence[Row]) -> list[list[str]]:
    return [[str(cell) for cell in row] for row in rows]


@pytest.mark.parametrize("kind", KINDS)
def test_a_header_is_not_read_as_data(kind, write, refused) -> None:
    row, header = KINDS[kind]
    path = write("x.csv", written([header, *map(row, range(60))]))
    names = [f"c{place}" for place in range(len(header))]
    error = refused(Table(train=path, columns=names, text="c1", label="c0").read)
    assert (error.key, error.file, error.line) == ("data.header", path, 1)
    assert header[0] in str(error)
    assert "data.header=true" in error.hint
    assert "data.header=false" in error.hint
    for is_header, count in ((True, 60), (False, 61)):
        source = Table(train=path, columns=names, text="c1", label="c0", header=is_header)
        assert source.read().splits["train"].num_rows == count


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 2, 5, 60, 4000])
def test_data_is_no_header(kind, size) -> None:
    row, _ = KINDS[kind]
    rows = cells([row(i) for i in range(size)])
    for shift in range(min(size, 12)):  # whichever row stands first
        first, *others = rows[shift:] + rows[:shift]
        assert why_header(first, others) is None, first


@pytest.mark.parametrize(
    "first",
    [
        ("", "a text of a good beer"),  # a number is missing
        ("NA", "beer"),
        ("n/a", "beer"),
        ("inf", "beer"),
        ("48067-2117", "beer"),
        ("3 of 5", "beer"),
    ],
)
def test_a_value_that_is_missing_is_no_name(first: Row) -> None:
    others = cells([(i, f"a text of beer {i}") for i in range(50)])
    assert why_header([str(cell) for cell in first], others) is None


def test_a_first_row_of_a_class_of_its_own_is_data() -> None:
    others = cells([(("pos", "neg", f"rare{i}")[i % 3], f"word{i}") for i in range(40)])
    assert why_header(["alone", "good"], others) is None
    assert (
        why_header(["pos", "good"], cells([("pos", f"a long text {i}") for i in range(40)])) is None
    )


def test_words_are_no_names_where_all_rows_are_words() -> None:
    rows = cells([dictionary(i) for i in range(200)])
    for row in rows[:20]:
        assert why_header(row, [other for other in rows if other != row]) is None


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["x", "y z", "3", "Hello there."])),
        min_size=2,
        max_size=40,
    )
)
def test_a_row_that_occurs_again_is_data(rows: list[tuple[str, str]]) -> None:
    first = list(rows[0])
    assert why_header(first, [*map(list, rows[1:]), first]) is None


def test_usual_names_above_one_row(write, refused) -> None:
    path = write("x.csv", "sentence,label\ngood,pos\n")
    assert refused(Table(train=path, columns=["a", "b"], text="a", label="b").read).line == 1


def test_a_header_of_other_tasks(write, refused) -> None:
    row, header = KINDS["SimCSE"]
    path = write("x.csv", written([header, *map(row, range(60))]))
    names = ["query", "positive", "negatives"]
    assert refused(Table(train=path, columns=names).read, SEARCHED).key == "data.header"
    read = Table(train=path, columns=names, header=True).read(SEARCHED)
    assert read.splits["train"].num_rows == 60
    row, header = KINDS["numbers"]
    path = write("y.csv", written([header, *map(row, range(60))]))
    source = {"train": path, "columns": ["text", "label"], "label_kind": "regression"}
    assert refused(made(Table, **source).read).key == "data.header"
    assert made(Table, header=True, **source).read().splits["train"].num_rows == 60


def test_headers_of_interactions(write, refused) -> None:
    row, header = KINDS["MovieLens"]
    names = ["user", "item", "rating", "time"]
    ratings = write("r.csv", written([header, *map(row, range(60))]))
    error = refused(Interactions(train=ratings, columns=names).read)
    assert (error.key, error.file, error.line) == ("data.header", ratings, 1)
    movies = write("m.csv", written([("movieId", "title"), *((i, f"Film {i}") for i in range(9))]))
    source = {"train": ratings, "columns": names, "items": movies}
    error = refused(Interactions(**source, header=True, item_columns=["item", "title"]).read)
    assert (error.key, error.file) == ("data.item_header", movies)
    assert "data.item_header=true" in error.hint
    assert "data.item_columns" in error.hint
    read = Interactions(
        **source, header=True, item_columns=["item", "title"], item_header=True
    ).read()
    plain = Interactions(train=ratings, items=movies, item="movieId", user="userId").read()
    assert read.items.titles == plain.items.titles
    assert read.splits["test"].num_rows == plain.splits["test"].num_rows


def test_empty_columns_of_a_spreadsheet_are_left_out(write, refused) -> None:
    body = written([spam(i) for i in range(40)])
    path = write("x.csv", f"v1,v2,,,\n{body}")
    read = Table(train=path, text="v2", label="v1").read()
    assert read.splits["train"].num_rows == 40
    assert read.notes[0] == (
        "train: 3 columns at the end have no name and no value, and were left out"
    )
    bare = Table(train=write("y.csv", body), columns=["label", "text"]).read()
    assert bare.splits["train"]["text"].to_pylist() == read.splits["train"]["text"].to_pylist()
    one = Table(train=write("z.csv", "label,text,\na,b,\n")).read()
    assert one.splits["train"]["text"].to_pylist() == ["b"]


def test_columns_without_a_name_that_have_values(write, refused) -> None:
    full = "ham,text 1,,,\nspam,text 2,,more,\n"
    error = refused(Table(train=write("x.csv", f"v1,v2,,,\n{full}"), text="v2", label="v1").read)
    assert error.problem == "the header names '' twice"
    assert error.line == 1
    for way in ("data.columns=[...]", "data.header=true", "data.header=false"):
        assert way in error.hint
    error = refused(Table(train=write("y.csv", full), columns=["label", "text"]).read)
    assert (error.key, error.line) == ("data.columns", 2)
    assert "5 columns" in error.problem
