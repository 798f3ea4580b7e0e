"""JSON lines: words with tags, texts with spans, texts with labels."""

from __future__ import annotations

import json

import pytest
from tests.helpers.asked import made

from lushan.data.fields import LABELLED, PAIRS, WORDS, Number, Text
from lushan.data.formats import Jsonl


def lines(*rows: object) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def words(source: Jsonl) -> list[tuple[list[str], list[str]]]:
    part = source.read().splits["train"]
    return list(zip(part["tokens"].to_pylist(), part["tags"].to_pylist(), strict=True))


@pytest.mark.parametrize("names", [("tokens", "tags"), ("words", "ner_tags"), ("tokens", "labels")])
def test_words_with_tags(names: tuple[str, str], write) -> None:
    row = dict(zip(names, (["Ann", "runs"], ["B-PER", "O"]), strict=True))
    path = write("x.jsonl", "\n" + lines({"id": "one", **row}))
    read = Jsonl(train=path).read()
    assert (next(iter(read.fields)), read.scheme) == ("tokens", "iob2")
    assert read.splits["train"].to_pylist() == [
        {"id": "one", "tokens": ["Ann", "runs"], "tags": ["B-PER", "O"], "line": 2, "file": path}
    ]


@pytest.mark.parametrize(
    ("fields", "row"),
    [
        (WORDS, {"words": ["a", "b"], "tags": ["O", "B-X"]}),
        (PAIRS, {"document": "a", "summary": "b"}),
        (LABELLED, {"sentence": "a", "label": "b"}),
        ({"text": Text()}, {"sentence": "a"}),
    ],
)
def test_more_fields_are_read_beside_those_found_together(fields, row, write) -> None:
    path = write("x.jsonl", lines({**row, "weight": 2}, {**row, "weight": 3}))
    read = Jsonl(train=path).read({**fields, "weight": Number()}).splits["train"]
    assert read["weight"].to_pylist() == [2, 3]
    needed = {name for name, field in fields.items() if not field.optional}
    assert needed <= set(read.column_names)


def test_fields_of_any_name_and_scheme(write) -> None:
    path = write("x", lines({"w": ["a", "b"], "t": ["B-X", "L-X"]}))
    assert words(Jsonl(train=path, tokens="w", tags="t")) == [(["a", "b"], ["B-X", "I-X"])]


def test_tags_as_numbers(write, refused) -> None:
    path = write("x", lines({"tokens": ["a", "b"], "ner_tags": [1, 0]}))
    named = Jsonl(train=path, label_names=["O", "B-X"])
    assert words(named) == [(["a", "b"], ["B-X", "O"])]
    error = refused(Jsonl(train=path).read)
    assert "data.label_names" in error.hint
    assert refused(Jsonl(train=path, label_names=["O"]).read).value == 1


def test_true_is_no_number_of_a_tag(write, refused) -> None:
    path = write("x", lines({"tokens": ["a", "b"], "tags": [1, True]}))
    error = refused(Jsonl(train=path, label_names=["O", "B-X"]).read)
    assert (error.problem, error.value) == ("this is not a tag", True)


@pytest.mark.parametrize("tags", [["O"], ["O", "O", "O"]])
@pytest.mark.fault(35)
def test_tokens_and_tags_of_different_length(tags: list[str], write, refused) -> None:
    path = write("x", lines({"tokens": ["a"], "tags": ["O"]}, {"tokens": ["a", "b"], "tags": tags}))
    error = refused(Jsonl(train=path).read)
    assert (error.file, error.line) == (path, 2)
    assert f"2 in tokens and {len(tags)} in tags" in error.problem


@pytest.mark.parametrize(
    "row",
    [
        {"tokens": ["a"]},
        {"tags": ["O"]},
        {"tokens": ["a", None], "tags": ["O", "O"]},
        {"tokens": ["a"], "tags": [None]},
        {"tokens": ["a"], "tags": [""]},
        {"tokens": "a", "tags": ["O"]},
        {"tokens": ["a"], "tags": "O"},
        {"tokens": ["a"], "tags": ["I-X"]},
        {"tokens": ["\ud83d"], "tags": ["O"]},
    ],
)
def test_bad_rows_of_words(row: dict[str, object], write, refused) -> None:
    good = {"tokens": ["a"], "tags": ["B-X"]}
    path = write("x", lines(good) + json.dumps(row) + "\n")
    error = refused(Jsonl(train=path).read)
    assert (error.file, error.line) == (path, 2)


def test_no_words_are_an_empty_text(write) -> None:
    path = write("x", lines({"tokens": ["a"], "tags": ["B-X"]}, {"tokens": [], "tags": []}))
    read = Jsonl(train=path).read()
    assert read.splits["train"]["tokens"].to_pylist() == [["a"], []]
    assert read.notes == ["train: 1 of 2 texts are empty"]


# Spans

TEXT = "Li Bai saw 庐山 (Mount Lu)."
WORDS = ["Li", "Bai", "saw", "庐", "山", "(", "Mount", "Lu", ")", "."]
TAGS = ["B-PER", "I-PER", "O", "B-LOC", "I-LOC", "O", "B-LOC", "I-LOC", "O", "O"]
TRIPLES = [[0, 6, "PER"], [11, 13, "LOC"], [15, 23, "LOC"]]


def named(start: str, end: str, label: str) -> list[dict[str, object]]:
    return [{start: s, end: e, label: kind} for s, e, kind in TRIPLES]


@pytest.mark.parametrize(
    "row",
    [
        {"entities": TRIPLES},  # spaCy
        {"label": TRIPLES},  # doccano
        {"labels": TRIPLES[::-1]},
        {"entities": named("start_offset", "end_offset", "label")},
        {"spans": named("start", "end", "label"), "tokens": [{"text": "Li", "id": 0}]},  # Prodigy
        {"entities": named("start", "end", "entity_group")},
        {
            "label": {
                "PER": {"Li Bai": [[0, 5]]},
                "LOC": {"庐山": [[11, 12]], "Mount Lu": [[15, 22]]},
            }
        },
        {"entities": [[0, 7, "PER"], [10, 14, "LOC"], [15, 23, "LOC"], [15, 23, "LOC"]]},  # blanks
    ],
)
def test_texts_with_spans(row: dict[str, object], write) -> None:
    path = write("x", lines({"text": TEXT, **row}))
    assert words(Jsonl(train=path)) == [(WORDS, TAGS)]


def test_inclusive_ends(write, refused) -> None:
    spans = [{"start": s, "end": e - 1, "type": kind, "text": TEXT[s:e]} for s, e, kind in TRIPLES]
    path = write("x", lines({"text": TEXT, "entities": spans}))
    assert words(Jsonl(train=path, span_end="inclusive")) == [(WORDS, TAGS)]
    error = refused(Jsonl(train=path).read)
    assert error.line == 1
    assert "'Li Ba'" in error.problem
    assert "span_end" in error.hint


def test_fields_with_spans_of_any_name(write) -> None:
    path = write("x", lines({"body": TEXT, "marks": TRIPLES, "label": "news"}))
    assert words(Jsonl(train=path, text="body", spans="marks")) == [(WORDS, TAGS)]


def test_texts_without_entities_beside_those_with(write) -> None:
    path = write("x", lines({"text": "no", "label": []}, {"text": TEXT, "label": TRIPLES}))
    assert words(Jsonl(train=path))[0] == (["no"], ["O"])


def test_spans_within_words_are_widened_and_counted(write) -> None:
    path = write("x", lines({"text": "the Berliners", "entities": [[4, 10, "LOC"]]}))
    read = Jsonl(train=path).read()
    assert read.splits["train"]["tags"].to_pylist() == [["O", "B-LOC"]]
    assert read.notes == [
        "train: 1 entity of 1 ended inside a word; extended to its end; data.span_end=inclusive "
        "if an end is the last character"
    ]


def test_two_spans_in_a_word(write, refused) -> None:
    path = write("x", lines({"text": "New-York", "entities": [[0, 3, "A"], [4, 8, "B"]]}))
    assert "share the word" in refused(Jsonl(train=path).read).problem
    read = Jsonl(train=path, repair=True).read()
    assert read.splits["train"]["tags"].to_pylist() == [["B-A"]]
    assert "lost words" in read.notes[1]


@pytest.mark.parametrize(
    "spans",
    [
        [[0, 5, "A"], [3, 8, "B"]],
        [[0, 99, "A"]],
        [[5, 5, "A"]],
        [[-1, 2, "A"]],
        [[2, 3, "A"]],  # a blank
        [[0, 2, None]],
        [["0", 2, "A"]],
        [[0, 2]],
        "PER",
        None,
    ],
)
def test_bad_spans(spans: object, write, refused) -> None:
    good = {"text": TEXT, "entities": TRIPLES}
    path = write("x", lines(good, {"text": TEXT, "entities": spans}))
    error = refused(Jsonl(train=path).read)
    assert (error.file, error.line) == (path, 2)


# Texts


def test_texts_with_labels(write) -> None:
    path = write("x", lines({"text": "a", "label": "x"}, {"text": "b", "label": 1, "more": 2}))
    read = Jsonl(train=path).read()
    assert next(iter(read.fields)) == "text"
    assert read.splits["train"].to_pylist() == [
        {"id": "x:1", "text": "a", "label": "x", "line": 1, "file": path},
        {"id": "x:2", "text": "b", "label": "1", "line": 2, "file": path},
    ]


def test_kinds_of_labels(write) -> None:
    path = write("x", lines({"text": "a", "label": ["x", "y"]}, {"text": "b", "label": []}))
    several = made(Jsonl, train=path, label_kind="multilabel").read().splits["train"]
    assert several["label"].to_pylist() == [["x", "y"], []]
    path = write("y", lines({"text": "a", "label": 1}, {"text": "b", "label": 2.5}))
    numbers = made(Jsonl, train=path, label_kind="regression").read().splits["train"]
    assert numbers["label"].to_pylist() == [1.0, 2.5]
    path = write("z", lines({"text": "a", "label": True}, {"text": "b", "label": False}))
    assert Jsonl(train=path).read().splits["train"]["label"].to_pylist() == ["true", "false"]


def test_pairs(write) -> None:
    path = write("x", lines({"premise": "a", "hypothesis": "b", "label": "x"}))
    part = Jsonl(train=path).read().splits["train"]
    assert (part["text"].to_pylist(), part["text_pair"].to_pylist()) == (["a"], ["b"])


def test_words_and_a_label_for_the_whole(write) -> None:
    row = {"tokens": ["a"], "tags": ["O"], "text": "a", "label": "x"}
    part = made(Jsonl, train=write("x", lines(row)), kind="text").read().splits["train"]
    assert part["label"].to_pylist() == ["x"]


def test_kind_that_the_rows_are_not(write, refused) -> None:
    path = write("x", lines({"text": "a", "label": "x"}))
    assert refused(made(Jsonl, train=path, kind="tokens").read).key == "data.tokens"


@pytest.mark.parametrize(
    "row",
    [
        {"text": "a"},
        {"label": "x"},
        {"text": None, "label": "x"},
        {"text": 1, "label": "x"},
        {"text": "a", "label": None},
        {"text": "a", "label": ""},
        {"text": "a", "label": ["x"]},
        {"text": "a \ud83d", "label": "x"},
    ],
)
def test_bad_rows_of_texts(row: dict[str, object], write, refused) -> None:
    path = write("x", lines({"text": "a", "label": "x"}) + json.dumps(row) + "\n")
    error = refused(Jsonl(train=path).read)
    assert (error.file, error.line) == (path, 2)


@pytest.mark.parametrize(
    ("line", "column"),
    [('{"text": "a", "lab', 15), ('{"text": "a" "label": 1}', 14), ("nothing", 1)],
)
@pytest.mark.fault(36)
def test_cut_json(line: str, column: int, write, refused) -> None:
    path = write("x", lines({"text": "a", "label": "x"}) + line)
    error = refused(Jsonl(train=path).read)
    assert (error.file, error.line, error.column) == (path, 2, column)


def test_json_that_is_no_object(write, refused) -> None:
    path = write("x", '{"text": "a", "label": "b"}\n["a"]\n')
    error = refused(Jsonl(train=path).read)
    assert (error.line, error.value) == (2, ["a"])
    deep = refused(Jsonl(train=write("z", "[" * 100_000)).read)
    assert deep.line == 1
