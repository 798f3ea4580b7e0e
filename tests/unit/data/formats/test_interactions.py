"""Interactions: what is read, how it is divided, and what is refused with file and line."""

import datetime
import gzip
import json
import subprocess
import time

import pyarrow as pa
import pytest
from pyarrow import parquet

from lushan.data.formats import Interactions, SampleInteractions
from lushan.data.item_fields import HISTORIES
from lushan.errors import UserError

RATINGS = """\
userId,movieId,rating,timestamp
1,10,5,300
1,20,3,100
1,30,4,200
2,10,4,50
2,20,1,60
2,30,2,70
2,40,5,80
3,40,5,90
"""
MOVIES = """\
movieId,title,genres
10,Ten,Drama|War
20,Twenty,Comedy
30,,Drama
50,Fifty,Comedy
"""


@pytest.fixture
def read(tmp_path):
    def made(ratings=RATINGS, movies=MOVIES, **options):
        (tmp_path / "ratings.csv").write_text(ratings)
        if movies is not None:
            (tmp_path / "movies.csv").write_text(movies)
            options = {"items": "movies.csv"} | options
        given = {"train": "ratings.csv"} | options
        return Interactions(dir=str(tmp_path), **given).read(HISTORIES)

    return made


def rows(corpus, split):
    return [(r["user"], r["history"], r["target"]) for r in corpus.splits[split].to_pylist()]


def test_the_last_of_each_user_are_left_out_in_order_of_time(read):
    corpus = read()
    assert rows(corpus, "train") == [("1", [], ["20"]), ("2", ["10"], ["20"]), ("3", [], ["40"])]
    assert rows(corpus, "validation") == [("1", ["20"], ["30"]), ("2", ["10", "20"], ["30"])]
    assert rows(corpus, "test") == [("1", ["20", "30"], ["10"]), ("2", ["10", "20", "30"], ["40"])]
    assert any("1 of 3 users have fewer than 3 interactions" in note for note in corpus.notes)


@pytest.mark.parametrize("kind", ["timestamp", "date"])
def test_times_of_a_table_do_not_depend_on_where_it_is_read(kind, tmp_path, monkeypatch):
    moments = ["2024-03-10T02:30:00", "2024-03-10T03:15:00", "2024-03-11T00:00:00"]
    times = [datetime.datetime.fromisoformat(moment) for moment in moments]
    if kind == "date":
        times = [datetime.date(2024, 3, day) for day in (1, 2, 3)]
    table = pa.table({"user": ["u"] * 3, "item": ["1", "2", "3"], "time": times})
    parquet.write_table(table, tmp_path / "in.parquet")
    monkeypatch.setenv("TZ", "America/New_York")  # where 2:30 was not, that night
    time.tzset()
    try:
        corpus = Interactions(dir=str(tmp_path), train="in.parquet").read(HISTORIES)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert rows(corpus, "test") == [("u", ["1", "2"], ["3"])]


def test_users_of_two_interactions_are_learned_only(read):
    with pytest.raises(UserError, match="3 or more interactions") as error:
        read("user,item,time\n1,1,1\n1,2,2\n2,1,3\n", None)
    assert "cuts" not in str(error.value)


def test_one_time_divides_all_users(read):
    # Times 50 60 70 80 90 100 200 300: validation from 80 on, the test from 200 on.
    corpus = read(split="time", cuts=[0.4, 0.8])
    assert rows(corpus, "train") == [("2", ["10", "20"], ["30"])]
    assert rows(corpus, "validation") == [("2", ["10", "20", "30"], ["40"])]
    assert rows(corpus, "test") == [("1", ["20"], ["30", "10"])]
    assert any("validation: 2 users have no history" in note for note in corpus.notes)


def test_nothing_that_is_learned_is_later_than_what_is_evaluated(read):
    corpus = SampleInteractions().read(HISTORIES)
    longest = {r["user"]: r["history"] + r["target"] for r in corpus.splits["train"].to_pylist()}
    for split, ahead in (("validation", 0), ("test", 1)):
        for row in corpus.splits[split].to_pylist():
            assert row["history"][: len(row["history"]) - ahead] == longest[row["user"]]
            assert not set(row["target"]) & set(row["history"])


def test_items_have_their_titles_and_texts(read):
    items = read(texts=["genres"]).items
    assert items.ids == ["10", "20", "30", "50", "40"]
    assert items.titles == ["Ten", "Twenty", "30", "Fifty", "40"]
    assert items.texts == ["Ten Drama War", "Twenty Comedy", "Drama", "Fifty Comedy", ""]
    notes = " ".join(read().notes)
    assert "1 items have no title" in notes
    assert "1 items are not in the table of items" in notes


def test_tags_join_the_texts_once_each(read, tmp_path):
    (tmp_path / "tags.csv").write_text("userId,movieId,tag\n1,10,slow\n2,10,slow\n2,10,long\n")
    assert read(tags="tags.csv").items.texts[0] == "Ten slow long"


def test_without_a_table_of_items_the_ids_stand_for_them(read):
    items = read(movies=None).items
    assert items.titles == items.ids
    assert not any(items.texts)


def test_the_same_item_twice_counts_once_at_its_first_time(read):
    corpus = read(RATINGS + "2,10,3,75\n1,20,3,100\n")
    assert rows(corpus, "test")[1] == ("2", ["10", "20", "30"], ["40"])
    assert any(note.startswith("2 interactions repeat an item") for note in corpus.notes)


def test_times_may_be_dates_and_rows_in_any_order(read):
    lines = ["user,item,time"]
    lines += [f"a,{n},2024-05-{n:02d}T10:00:00" for n in (4, 2, 3, 1)]
    corpus = read("\n".join(lines), movies=None)
    assert rows(corpus, "test") == [("a", ["1", "2", "3"], ["4"])]


def test_rows_of_one_time_stay_in_their_order(read):
    lines = ["user,item,time", *(f"a,{n},7" for n in (4, 2, 3, 1))]
    corpus = read("\n".join(lines), movies=None)
    assert rows(corpus, "test") == [("a", ["4", "2", "3"], ["1"])]


def test_numbers_and_texts_name_the_same_user_and_item(tmp_path):
    table = [
        {"user": 1, "item": 7.0, "time": 1},
        {"user": "1", "item": "8", "time": 2},
        {"user": 1.0, "item": 9, "time": 3},
    ]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, table)))
    corpus = Interactions(dir=str(tmp_path), train="x.jsonl").read(HISTORIES)
    assert rows(corpus, "test") == [("1", ["7", "8"], ["9"])]


def test_low_ratings_may_be_left_out(read):
    corpus = read(least_rating=2)
    assert rows(corpus, "test")[1] == ("2", ["10", "30"], ["40"])
    assert any("1 of 8 interactions are rated below 2" in note for note in corpus.notes)


def test_gzip_is_read(tmp_path):
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(RATINGS.encode()))
    corpus = Interactions(dir=str(tmp_path), train="x.csv.gz").read(HISTORIES)
    assert corpus.splits["test"].num_rows == 2


@pytest.mark.parametrize(
    ("ratings", "words"),
    [
        (RATINGS + "4,10,5,\n", ["timestamp", "ratings.csv", "10"]),
        (RATINGS + "4,10,5,yesterday\n", ["is not a time", "ratings.csv", "10"]),
        (RATINGS + ",10,5,1\n", ["userId is missing", "ratings.csv", "10"]),
        (RATINGS + "4,,5,1\n", ["movieId is missing", "ratings.csv", "10"]),
        (RATINGS + "4,10,5\n", ["ratings.csv", "10"]),
        (RATINGS.replace("timestamp", "when"), ["which column contains the time", "data.time"]),
        ("user,item,time\na,1,1\n", ["data.split", "nothing is left for validation"]),
    ],
)
def test_bad_rows_are_refused_with_their_place(read, ratings, words):
    with pytest.raises(UserError) as raised:
        read(ratings, movies=None)
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize(
    ("movies", "words"),
    [
        (MOVIES + "10,Again,\n", ["item 10 is already in line 2", "6"]),
        ("movieId,title\n77,Other\n", ["none of the items", "'20'"]),
        ("movieId,name_of_it\n10,x\n", ["which column contains the title"]),
    ],
)
def test_bad_tables_of_items_are_refused(read, movies, words):
    with pytest.raises(UserError) as raised:
        read(movies=movies)
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"validation": 0.1}, "data.validation"),
        ({"test": "other.csv"}, "data.test"),
        ({"cuts": [0.9, 0.8]}, "data.cuts"),
        ({"cuts": [0.5]}, "data.cuts"),
        ({"least_rating": 9}, "data.least_rating"),
    ],
)
def test_splits_are_never_random(read, options, key):
    with pytest.raises(UserError) as raised:
        read(**options)
    assert raised.value.key == key


def test_titles_are_found_whatever_their_case_and_near_ones_are_named(read):
    items = read().items
    assert items.find(" twenty", key="--history") == 1
    assert items.find("50", key="--history") == 3
    assert items.find("Fift", key="--history") == 3
    with pytest.raises(UserError, match="no item has this title") as raised:
        items.find("Twnty", key="--history")
    assert "Twenty" in str(raised.value.hint)
    with pytest.raises(UserError, match="2 items have this title"):
        items.find("ty", key="--history")


@pytest.mark.parametrize("mark", ["\t", "::", "|"])
def test_files_of_movielens_without_a_header(mark, read, refused):
    ratings = RATINGS.split("\n", 1)[1].replace(",", mark)
    movies = MOVIES.split("\n", 1)[1].replace("|", "/").replace(",", mark)
    names = {
        "columns": ["user", "item", "rating", "time"],
        "item_columns": ["item", "title", "kind"],
    }
    found = read(ratings, movies, **names)
    assert rows(found, "test") == rows(read(), "test")
    assert found.items.titles == read().items.titles
    assert "its 4 columns: data.columns=[...]" in refused(lambda: read("1\t1\t4\t9\n")).hint
    assert refused(lambda: read(ratings, movies, columns=names["columns"])).hint


def test_the_columns_of_items_have_their_own_key(read, refused):
    error = refused(lambda: read(movies="1|Ten|x\n", item_columns=["item", "title"]))
    assert error.key == "data.item_columns"


@pytest.mark.parametrize("separator", [",", "\t", ";", "|", "::"])
@pytest.mark.parametrize("packed", [False, True])
def test_interactions_without_a_time(separator, packed, tmp_path):
    lines = [f"{user}{separator}i{n}" for user in "uv" for n in (3, 1, 2)]
    content = "\r\n".join([f"user_id{separator}item_id", *lines, ""]).encode()
    path = tmp_path / ("my x.csv.gz" if packed else "my x.csv")
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(UserError) as caught:
        Interactions(train=str(path), separator=separator).read(HISTORIES)
    command = caught.value.hint.rpartition("in order of time, number them: ")[2]
    subprocess.run(command, shell=True, check=True)
    new = next(p for p in tmp_path.iterdir() if p != path)
    corpus = Interactions(train=str(new), separator=separator).read(HISTORIES)
    assert rows(corpus, "test") == [(user, ["i3", "i1"], ["i2"]) for user in "uv"]


def test_a_file_that_is_no_table_has_no_command_for_times(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"user": "u", "item": "i"}\n' * 3)
    with pytest.raises(UserError) as caught:
        Interactions(train=str(path)).read(HISTORIES)
    assert "in order of time, add a field with their numbers" in caught.value.hint
