"""What label columns of any source hold: names, numbers, booleans, indicators, lists as text."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.helpers.asked import made

from lushan.data.formats import Hub, Jsonl, Table
from lushan.data.source import Corpus
from lushan.errors import UserError
from lushan.text import hub as reach

MULTI = {"label_kind": "multilabel"}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(reach, "reachable", lambda: False)


def as_jsonl(write: Any, values: list[Any], **options: Any) -> Any:
    rows = (json.dumps({"text": f"t{i}", "label": v}) + "\n" for i, v in enumerate(values))
    return made(Jsonl, train=write("x.jsonl", "".join(rows)), **options)


def as_parquet(write: Any, values: list[Any], **options: Any) -> Any:
    sink = io.BytesIO()
    table = {"text": [f"t{i}" for i in range(len(values))], "label": values}
    pq.write_table(pa.table(table), sink)
    return made(Table, train=write("x.parquet", sink.getvalue()), **options)


def as_csv(write: Any, values: list[Any], **options: Any) -> Any:
    texts = ["" if v is None else json.dumps(v) if isinstance(v, list) else str(v) for v in values]
    quoted = (f't{i},"{text.replace(chr(34), chr(34) * 2)}"\n' for i, text in enumerate(texts))
    return made(Table, train=write("x.csv", "text,label\n" + "".join(quoted)), **options)


def as_hub(write: Any, values: list[Any], **options: Any) -> Any:
    source = as_parquet(write, values)
    return made(Hub, path=source.train, validation=None, test=None, **options)


SOURCES: list[Callable[..., Any]] = [as_jsonl, as_parquet, as_csv, as_hub]
every_source = pytest.mark.parametrize("source", SOURCES)


def labels(corpus: Corpus, split: str = "train") -> list[Any]:
    return corpus.splits[split]["label"].to_pylist()


# Indicators


@pytest.mark.parametrize(
    "rows",
    [
        [[1, 0, 0], [0, 1, 1], [0, 0, 0]],
        [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]],
        [[True, False, False], [False, True, True], [False, False, False]],
    ],
)
@every_source
def test_indicators(source, rows: list[Any], write) -> None:
    read = source(write, rows, **MULTI).read()
    assert labels(read) == [["0"], ["1", "2"], []]
    (note,) = read.notes
    assert "named by their positions, 0 to 2" in note
    assert "data.label_names" in note
    named = source(write, rows, label_names=["joy", "fear", "rage"], **MULTI).read()
    assert labels(named) == [["joy"], ["fear", "rage"], []]


@every_source
def test_one_hot_for_one_label(source, write, refused) -> None:
    rows: list[Any] = [[0, 1, 0], [1, 0, 0]]
    assert labels(source(write, rows).read()) == ["1", "0"]
    assert labels(source(write, rows, label_names=["a", "b", "c"]).read()) == ["b", "a"]
    error = refused(source(write, [*rows, [1, 1, 0]]).read)
    assert (error.value, error.line) == ([1, 1, 0], 4 if source is as_csv else 3)
    assert "task.kind=multilabel" in error.hint


@pytest.mark.parametrize(
    ("rows", "bad"),
    [
        ([[0, 1, 0], [1, 0, 0, 0]], 1),  # another width
        ([[0, 1, 0], []], 1),
        ([[0, 1, 0], [0, 2, 0]], 1),
        ([[0, 1, 1], [0.5, 0.0, 0.5]], 1),
        ([[0, 0.25, 0.75]], 0),  # probabilities
    ],
)
def test_what_is_no_indicator_among_indicators(rows: list[Any], bad: int, write, refused) -> None:
    error = refused(as_jsonl(write, rows, **MULTI).read)
    assert (error.line, error.value) == (bad + 1, rows[bad] if len(rows) > 1 else 0.25)
    assert error.file.endswith("x.jsonl")
    assert error.hint


@pytest.mark.parametrize("rows", [[[0], [1], [0, 1]], [[0], [1]], [[3, 1], [1, 0]], [[0, 1], []]])
def test_lists_of_numbers_that_are_no_indicators(rows: list[Any], write) -> None:
    found = labels(as_jsonl(write, rows, **MULTI).read())
    assert found == [[str(v) for v in row] for row in rows]


def test_two_places(write, refused) -> None:
    both = as_jsonl(write, [[0, 1], [1, 0]], **MULTI)  # as sets of numbers these are the same
    assert labels(both.read()) == [["1"], ["0"]]
    error = refused(as_jsonl(write, [[0, 1], [0, 1]], **MULTI).read)
    assert error.line == 1
    assert "data.multi_hot" in error.hint
    rows = [[0, 1], [0, 1]]
    assert labels(as_jsonl(write, rows, multi_hot=True, **MULTI).read()) == [["1"], ["1"]]
    assert labels(as_jsonl(write, rows, multi_hot=False, **MULTI).read()) == [["0", "1"]] * 2


def test_names_for_other_places_than_there_are(write, refused) -> None:
    error = refused(as_jsonl(write, [[0, 1, 0]], label_names=["a", "b"], **MULTI).read)
    assert error.key == "data.label_names"
    assert "3" in error.problem
    assert "2" in error.problem


def test_splits_that_are_encoded_in_different_ways(write, refused) -> None:
    train = as_jsonl(write, [[0, 1, 0], [1, 0, 0]]).train
    for rows in (["a", "b"], [0, 1, 0, 0]):
        test = write("test.jsonl", json.dumps({"text": "t", "label": rows}) + "\n")
        error = refused(made(Jsonl, train=train, test=test, **MULTI).read)
        assert error.file == test
    two = as_jsonl(write, [[0, 1], [1, 1]]).train
    test = write("test.jsonl", json.dumps({"text": "t", "label": [0, 1]}) + "\n")
    assert labels(made(Jsonl, train=two, test=test, **MULTI).read(), "test") == [["1"]]


# Lists as text


@pytest.mark.parametrize(
    "text",
    [
        "['a', 'b c']",
        '["a", "b c"]',
        "('a', 'b c')",
        "['a' 'b c']",  # an array of numpy's
        "['a',\n 'b c']",
    ],
)
@pytest.mark.parametrize("separator", [None, ",", ";"])
def test_lists_as_text(text: str, separator: str | None, write) -> None:
    for source in (as_csv, as_jsonl):
        read = source(write, [text, "['a']", "[]"], label_separator=separator, **MULTI).read()
        assert labels(read) == [["a", "b c"], ["a"], []]


@pytest.mark.parametrize("text", ["[0 1 1]", "[0. 1. 1.]", "[False True True]", "[0, 1, 1]"])
def test_indicators_as_text(text: str, write) -> None:
    read = as_csv(write, [text], label_names=["x", "y", "z"], **MULTI).read()
    assert labels(read) == [["y", "z"]]


def test_indicators_between_separators(write) -> None:
    read = as_csv(write, ["0;1;1", "0;0;0"], label_separator=";", **MULTI).read()
    assert labels(read) == [["1", "2"], []]


@pytest.mark.parametrize("text", ["[a, b]", "{a, b}", "['a', 'b'", "['a', b]"])
def test_lists_that_cannot_be_read(text: str, write, refused) -> None:
    error = refused(as_csv(write, ["x,y", text], label_separator=",", **MULTI).read)
    assert (error.line, error.value) == (3, text)
    assert '["a", "b"]' in error.hint


def test_brackets_that_belong_to_a_name(write) -> None:
    read = as_csv(write, ["(other);[sic] x"], label_separator=";", **MULTI).read()
    assert labels(read) == [["(other)", "[sic] x"]]


def test_a_list_where_one_label_is_expected(write, refused) -> None:
    for source in (as_csv, as_jsonl):
        error = refused(source(write, ["x", "['a', 'b']"]).read)
        assert "list" in error.problem
        assert "task.kind=multilabel" in error.hint


# Numbers and booleans


@pytest.mark.parametrize("values", [[1.0, 0.0, 1.0], [1, 0, 1], ["1", "0", "1"], ["1.0", "0", "1"]])
@every_source
def test_whole_numbers(source, values: list[Any], write) -> None:
    assert labels(source(write, values).read()) == ["1", "0", "1"]
    assert labels(source(write, values, label_names=["no", "yes"]).read()) == ["yes", "no", "yes"]
    numbers = source(write, values, label_kind="regression").read()
    assert labels(numbers) == [1.0, 0.0, 1.0]


@every_source
def test_booleans(source, write, refused) -> None:
    values = [True, False]
    name = str if source is as_csv else lambda value: str(value).lower()
    assert labels(source(write, values).read()) == [name(True), name(False)]
    assert labels(source(write, values, label_names=["no", "yes"]).read()) == ["yes", "no"]
    error = refused(source(write, values, label_names=["a", "b", "c"]).read)
    assert "data.label_names" in error.problem
    assert "regression" in refused(source(write, values, label_kind="regression").read).problem


def test_booleans_among_numbers(write, refused) -> None:
    error = refused(as_jsonl(write, [True, False, 1]).read)
    assert (error.line, error.value) == (3, 1)


@every_source
def test_fractions_are_no_classes(source, write, refused) -> None:
    values = [1.0, 0.25, 0.75]
    error = refused(source(write, values).read)
    assert error.line == (3 if source is as_csv else 2)
    assert "task.kind=regression" in error.hint
    assert "data.label_names" in error.hint
    named = source(write, values, label_names=["0.25", "0.75", "1.0"]).read()
    assert labels(named) == ["1.0", "0.25", "0.75"]
    assert labels(source(write, values, label_kind="regression").read()) == values


def test_names_and_numbers_are_reported(write) -> None:
    read = as_jsonl(write, ["good", 1, "1", "bad"]).read()
    assert labels(read) == ["good", "1", "1", "bad"]
    (note,) = read.notes
    assert "'good' (line 1)" in note
    assert "'1' (line 2)" in note
    assert as_csv(write, ["v1", "v2"]).read().notes == []


def test_names_that_are_numbers_are_no_places(write, refused) -> None:
    stars = ["1", "2", "3"]
    assert labels(as_csv(write, [3, 1, 2], label_names=stars).read()) == ["3", "1", "2"]
    error = refused(as_csv(write, [0, 1, 2], label_names=stars).read)
    assert (error.line, error.value) == (2, "0")
    assert "The names are numbers" in error.hint


@pytest.mark.parametrize("values", [["a", None], [1, None], [True, None], [1.5, None]])
@every_source
def test_a_label_that_is_null(source, values: list[Any], write, refused) -> None:
    for kind in ("single", "regression"):
        if kind == "regression" and isinstance(values[0], str | bool):
            continue
        error = refused(source(write, values, label_kind=kind).read)
        assert error.line in (2, 3)
        assert "missing" in error.problem or "fraction" in error.problem


def test_a_null_among_labels(write, refused) -> None:
    for rows in ([["a"], ["b", None]], [["a"], None], [[0, 1, 1], [0, None, 1]]):
        assert refused(as_jsonl(write, rows, **MULTI).read).line == 2


def test_regression_has_no_names(write, refused) -> None:
    error = refused(as_csv(write, [1], label_kind="regression", label_names=["a"]).read)
    assert error.key == "data.label_names"


# Sets of the hub, and the Parquet files that they are kept in


def dataset(place: Path, feature: Any, values: list[Any]) -> Path:
    features = datasets.Features({"text": datasets.Value("string"), "label": feature})
    rows = {"text": [f"t{i}" for i in range(len(values))], "label": values}
    place.mkdir(exist_ok=True)
    path = place / "train.parquet"
    datasets.Dataset.from_dict(rows, features=features).to_parquet(path)
    return path


def both(path: Path, **options: Any) -> list[Any]:
    """The same file as a set of the hub and as a table."""
    hub = made(Hub, path=str(path.parent), validation=None, test=None, **options)
    return [hub, made(Table, train=str(path), **options)]


ABC = datasets.ClassLabel(names=["a", "b", "c"])


def test_class_labels(tmp_path: Path) -> None:
    for source in both(dataset(tmp_path / "set", ABC, [2, 0])):
        assert labels(source.read()) == ["c", "a"]
    for source in both(tmp_path / "set" / "train.parquet", label_names=["x", "y", "z"]):
        assert labels(source.read()) == ["z", "x"]


def test_lists_of_class_labels(tmp_path: Path) -> None:
    path = dataset(tmp_path / "set", datasets.List(ABC), [[2, 0], [1], []])
    for source in both(path, **MULTI):
        assert labels(source.read()) == [["c", "a"], ["b"], []]


def test_class_labels_as_indicators(tmp_path: Path) -> None:
    path = dataset(tmp_path / "set", datasets.List(ABC), [[1, 0, 1], [0, 0, 0]])
    for source in both(path, **MULTI):
        assert labels(source.read()) == [["a", "c"], []]


def test_a_class_label_that_is_kept_back(tmp_path: Path) -> None:
    for source in both(dataset(tmp_path / "set", ABC, [1, -1])):
        with pytest.raises(UserError, match="the label is missing"):
            source.read()


def test_class_labels_of_words(tmp_path: Path) -> None:
    path = dataset(tmp_path / "set", datasets.List(ABC), [[0, 1]])
    rows = {"tokens": [["x", "y"]], "tags": [[0, 1]]}
    tag = datasets.ClassLabel(names=["O", "B-X"])
    features = datasets.Features(
        {"tokens": datasets.List(datasets.Value("string")), "tags": datasets.List(tag)}
    )
    datasets.Dataset.from_dict(rows, features=features).to_parquet(path)
    for source in both(path):
        assert source.read().splits["train"]["tags"].to_pylist() == [["O", "B-X"]]


def test_whole_numbers_as_tags(write) -> None:
    path = write("x.jsonl", json.dumps({"tokens": ["x", "y"], "tags": [0.0, 1.0]}) + "\n")
    read = Jsonl(train=path, label_names=["O", "B-X"]).read()
    assert read.splits["train"]["tags"].to_pylist() == [["O", "B-X"]]


def test_names_in_a_file_that_was_changed_since(tmp_path: Path) -> None:
    path = dataset(tmp_path / "set", ABC, [2, 0])
    table = pq.read_table(path)
    for column in (["x", "y"], [7, 0]):
        changed = table.set_column(1, "label", pa.array(column))
        changed = changed.replace_schema_metadata(table.schema.metadata)
        pq.write_table(changed, path)
        read = Table(train=str(path)).read()
        assert labels(read) == [str(value) for value in column]
    pq.write_table(table.drop_columns(["label"]), path)
    with pytest.raises(UserError, match="which column contains the labels"):
        Table(train=str(path)).read()


GAPS = "id,text,label\n1,a,x\n2,b,\n3,c,y\n4,d, \n"


def test_rows_without_a_label_are_counted_where_they_are_refused(write) -> None:
    path = write("x.csv", GAPS)
    with pytest.raises(UserError, match="the label is missing, in 2 of 4 rows") as caught:
        Table(train=path).read()
    assert caught.value.line == 3
    assert "data.unlabelled=drop" in (caught.value.hint or "")


def test_rows_without_a_label_are_dropped_and_counted(write) -> None:
    path = write("x.csv", GAPS)
    read = Table(train=path, unlabelled="drop", group="text").read()
    assert read.splits["train"]["id"].to_pylist() == ["1", "3"]
    assert read.splits["train"]["line"].to_pylist() == [2, 4]
    assert labels(read) == ["x", "y"]
    assert read.notes == ["train: 2 of 4 rows dropped: they have no label"]


def test_a_file_without_any_label_is_refused_also_where_rows_are_dropped(write) -> None:
    path = write("x.csv", "text,label\na,\nb,\n")
    with pytest.raises(UserError, match="the label is missing, in 2 of 2 rows"):
        Table(train=path, unlabelled="drop").read()


def test_numbers_and_class_numbers_without_a_value_are_dropped(tmp_path: Path, write) -> None:
    numbers = write("n.csv", "text,label\na,1\nb,\n")
    read = made(Table, train=numbers, unlabelled="drop", label_kind="regression").read()
    assert labels(read) == [1.0]
    for source in both(dataset(tmp_path / "set", ABC, [1, -1]), unlabelled="drop"):
        assert labels(source.read()) == ["b"]


@pytest.mark.parametrize(("labels", "noted"), [(11, True), (10, False)])
def test_a_column_of_texts_as_the_labels_is_noted(write: Any, labels: int, noted: bool) -> None:
    corpus = as_csv(write, [f"free text {i % labels}" for i in range(20)], label="label").read()
    found = [note for note in corpus.notes if "column of texts" in note]
    assert (
        found
        == [
            f"train: {labels} labels in 20 rows: is 'label' a column of texts? data.label "
            "names the column of the labels"
        ]
        * noted
    )
