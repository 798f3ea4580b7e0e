"""Questions answered by spans: windows and their characters, the best spans, the threshold."""

from __future__ import annotations

import functools
import itertools
import math
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers import quick
from torch import nn

from lushan.data.answers import Answers, require_places
from lushan.data.raw_columns import Columns
from lushan.data.source import Corpus
from lushan.errors import UserError
from lushan.models.heads import Linear
from lushan.tasks.batches import Limits
from lushan.tasks.qa import QuestionAnswering
from lushan.text import tokenizers

KINDS = ("wordpiece", "bpe", "chars", "unigram")
ENGLISH = "  Anna   lives in Paris, and Bob's friend works in New York  since 1998. Rome is far."
CHINESE = "李白（701年—762年）住在庐山，写了《望庐山瀑布》等诗。 他的朋友 Du Fu 在成都。"
ASKED = [
    (ENGLISH, "Who lives in Paris?", "Anna"),
    (ENGLISH, "Where does the friend work?", "New York"),
    (ENGLISH, "Whose friend works?", "Bob's friend"),
    (ENGLISH, "Since when?", "1998"),
    (ENGLISH, "What is far?", " Rome"),
    (CHINESE, "李白住在哪里？", "庐山"),
    (CHINESE, "他写了什么？", "《望庐山瀑布》"),
    (CHINESE, "谁在成都？", "Du Fu"),
    (CHINESE, "他死于哪年？", "762年"),
]


@functools.cache
def tokenizer(kind="wordpiece"):
    return tokenizers.train(
        kind,
        300,
        min_frequency=1,
        texts=lambda: iter([ENGLISH, CHINESE, *(question for _, question, _ in ASKED)] * 3),
        cache_dir=Path(tempfile.mkdtemp()),
    )


def rows(*asked):
    """Rows of a corpus, by columns; an answer of None is none."""
    golds = [
        [] if a is None else [{"text": a, "start": context.index(a)}] for context, _, a in asked
    ]
    return {
        "id": [f"q{i}" for i in range(len(asked))],
        "context": [context for context, _, _ in asked],
        "question": [question for _, question, _ in asked],
        "answers": golds,
    }


def made(kind="wordpiece", **options):
    task = QuestionAnswering(head=Linear, **options)
    task.use(tokenizer(kind))
    return task


def encoded(task, kind, asked, limits, first=0):
    found = task.encode(rows(*asked), first, tokenizer(kind), limits)
    return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]


def places(feature):
    return np.asarray(feature["places"]).reshape(-1, 2)


# Encoding


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked[2])
def test_an_answer_is_the_tokens_that_cover_it(kind, asked):
    (feature,) = encoded(made(kind), kind, [asked], Limits(512))
    context, _, answer = asked
    answer = answer.strip()
    there, (first, last) = places(feature), feature["span"]
    start, end = there[first][0], there[last][1]
    begin = context.index(answer)
    stop = begin + len(answer)
    assert start <= begin
    assert end >= stop
    inside = [i for i, (a, b) in enumerate(there) if a >= 0 and a < stop and b > begin]
    assert (first, last) == (inside[0], inside[-1])
    assert context[start:end] == context[start:end].strip()
    if kind == "chars" or asked[2] in ("Anna", "New York", " Rome", "庐山", "Du Fu"):
        assert context[start:end] == answer


@pytest.mark.parametrize("kind", KINDS)
def test_no_token_of_a_context_begins_or_ends_with_a_blank(kind):
    for feature in encoded(made(kind), kind, ASKED, Limits(512)):
        context = ASKED[feature["example"]][0]
        found = [context[a:b] for a, b in places(feature) if a >= 0]
        assert all(text and text == text.strip() for text in found)
        assert set(context) - set("".join(found)) <= {" "}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stride", [0, 4])
def test_windows_cover_each_token_and_find_each_answer(kind, stride):
    task, long = made(kind, max_question=6), Limits(34, stride)
    windows = encoded(task, kind, ASKED, long, first=100)
    whole = encoded(made(kind, max_question=6), kind, ASKED, Limits(512), first=100)
    assert len(windows) > len(whole)
    for feature in whole:
        example = feature["example"]
        own = [w for w in windows if w["example"] == example]
        covered = {tuple(p) for w in own for p in places(w) if p[0] >= 0}
        assert covered == {tuple(p) for p in places(feature) if p[0] >= 0}
        # A window's span is the answer where the window holds all of its tokens, and nothing else.
        start, end = (places(feature)[i] for i in feature["span"])
        for window in own:
            there = places(window)
            held = [tuple(p) for p in there if p[0] >= 0]
            if tuple(start) in held and tuple(end) in held:
                first, last = window["span"]
                assert there[first][0] == start[0]
                assert there[last][1] == end[1]
            else:
                assert window["span"] == [0, 0]
        assert sum(w["hidden"] for w in own) == all(w["span"] == [0, 0] for w in own)
        assert all(w["length"] == len(w["input_ids"]) <= 34 for w in own)
        assert not any(w["cut"] for w in own)


def test_without_a_stride_the_first_window_is_read_and_hidden_answers_are_counted():
    task = made()
    found = task.encode(rows(*ASKED), 0, tokenizer(), Limits(30))
    assert found["example"] == list(range(len(ASKED)))
    counts = task.count(found)
    early = ["Anna" in answer for _, _, answer in ASKED].index(True)
    assert found["hidden"][early] == 0
    assert counts["hidden"] == sum(span == [0, 0] for span in found["span"]) > 0
    assert 0 < counts["cut"] <= len(ASKED)
    notes = list(task.encoding_notes("train", counts))
    lie = "answer lies" if counts["hidden"] == 1 else "answers lie"
    hidden = f"train: {counts['hidden']} {lie} beyond data.max_length; data.stride=64"
    assert any(note.startswith(hidden) for note in notes)


def test_no_answer_is_not_a_hidden_one():
    task = made()
    found = task.encode(rows((ENGLISH, "Why?", None)), 0, tokenizer(), Limits(16, 2))
    assert len(found["span"]) > 1
    assert found["span"] == [[0, 0]] * len(found["span"])
    assert not any(found["hidden"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_question_is_truncated_and_counted(kind):
    task = made(kind, max_question=3)
    found = task.encode(
        rows((ENGLISH, "Who lives?" * 5, "Anna")), 0, tokenizer(kind), Limits(30, 2)
    )
    assert sum(found["shortened"]) == 1
    assert "1 questions were truncated" in "".join(task.encoding_notes("test", task.count(found)))
    first = tokenizer(kind).convert_ids_to_tokens(found["input_ids"][0])
    words = tokenizer(kind).tokenize("Who lives?" * 5)
    assert [token for token in first if token in words][:3] == words[:3]
    longest = task.encode(rows((ENGLISH, "Who?", "Anna")), 0, tokenizer(kind), Limits(30, 2))
    assert not any(longest["shortened"]) or len(tokenizer(kind).tokenize("Who?")) > 3


def test_no_room_for_a_question_is_refused():
    with pytest.raises(UserError) as caught:
        made().encode(rows(ASKED[0]), 0, tokenizer(), Limits(12, 10))
    assert caught.value.key == "data.max_length"
    assert "data.stride" in caught.value.hint


def test_rows_without_answers_are_read():
    asked = {name: values for name, values in rows(*ASKED).items() if name != "answers"}
    found = made().encode(asked, 0, tokenizer(), Limits(512))
    assert found["span"] == [[0, 0]] * len(ASKED)
    assert not any(found["hidden"])


# The best spans


class Scored(nn.Module):
    """A start and an end score for each token, whatever is around it."""

    def __init__(self, words, seed=1):
        super().__init__()
        torch.manual_seed(seed)
        self.scores = nn.Embedding(words, 2)

    def forward(self, batch):
        return self.scores(batch["input_ids"])


def predicted(task, model, features):
    drawn = [{name: np.asarray(v) for name, v in feature.items()} for feature in features]
    return task.predict(model, task.collate(drawn))


@pytest.mark.parametrize("longest", [1, 4, 100])
def test_the_best_spans_are_those_of_all_spans(longest):
    task, model = made(max_answer=longest, n_best=7), Scored(300)
    features = encoded(task, "wordpiece", ASKED, Limits(34, 4))
    _, records = predicted(task, model, features)
    for feature, record in zip(features, records, strict=True):
        scores = model({"input_ids": torch.tensor(feature["input_ids"])}).tolist()
        there = places(feature)
        context = [i for i, (a, _) in enumerate(there) if a >= 0]
        spans = {
            (int(there[i][0]), int(there[j][1])): scores[i][0] + scores[j][1]
            for i, j in itertools.product(context, context)
            if 0 <= j - i < longest
        }
        best = sorted(spans.values(), reverse=True)[:7]
        assert [score for *_, score in record["spans"]] == pytest.approx(best, abs=1e-5)
        for start, end, score in record["spans"]:
            assert spans[start, end] == pytest.approx(score, abs=1e-5)
        assert record["none"] == pytest.approx(sum(scores[0]), abs=1e-5)


def test_a_row_is_answered_alike_alone_and_in_a_batch():
    task, model = made(), Scored(300)
    features = encoded(task, "wordpiece", ASKED, Limits(60, 4))
    with torch.no_grad():
        loss, together = predicted(task, model, features)
        alone = [predicted(task, model, [feature]) for feature in features]
    assert together == [record for _, (record,) in alone]
    assert float(loss) == pytest.approx(sum(float(each) for each, _ in alone), rel=1e-5)


def test_a_context_without_a_token_has_no_span():
    task = made()
    asked = [(" ", "Who?", None), (ENGLISH, "Who?", "Anna")]
    _, records = predicted(task, Scored(300), encoded(task, "wordpiece", asked, Limits(60, 4)))
    assert records[0]["spans"] == []
    table = pa.table({**rows(*asked), "answers": [[], []]})
    joined = task.join(table, records)
    assert (joined[0]["predicted"], joined[0]["start"], joined[0]["end"]) == ("", 0, 0)
    assert joined[1]["predicted"] in ENGLISH


def test_windows_compete():
    task = made(n_best=2)
    task.has_unanswerable = True
    table = pa.table({**rows((ENGLISH, "Who?", "Anna")), "answers": [[]]})
    records = [
        {"example": 0, "none": 3.0, "spans": [[2, 6, 1.0], [9, 14, 0.5]]},
        {"example": 0, "none": 1.5, "spans": [[18, 23, 2.0], [2, 6, 1.2]]},
    ]
    (row,) = task.join(table, records)
    assert [(s["text"], s["start"], s["end"]) for s in row["best"]] == [
        ("Paris", 18, 23),
        ("Anna", 2, 6),
    ]
    assert row["gap"] == -0.5
    assert row["predicted"] == "Paris"
    chances = np.exp([2.0, 1.2, 1.5])
    assert row["score"] == pytest.approx(chances[0] / chances.sum())
    task.threshold = -0.75
    (row,) = task.join(table, records)
    assert (row["predicted"], row["start"], row["end"]) == ("", 0, 0)
    assert row["score"] == pytest.approx(chances[2] / chances.sum())


# The threshold

GAPS = st.integers(-3, 3).map(float) | st.floats(-5, 5, allow_subnormal=False).map(
    lambda x: round(x, 3)
)
CASE = st.tuples(GAPS, st.sampled_from([None, "Anna", "Anna lives", "Paris"]))


@settings(max_examples=60)
@given(st.lists(CASE, min_size=1, max_size=8))
def test_the_threshold_is_the_best_of_all(cases):
    task = made(language="en")
    task.has_unanswerable = True
    context = "Anna lives in Paris"
    table = pa.table(rows(*((context, "?", answer) for _, answer in cases)))
    records = [
        {"example": i, "none": gap, "spans": [[0, 4, 0.0]]} for i, (gap, _) in enumerate(cases)
    ]
    gaps = sorted({gap for gap, _ in cases})
    tried = {}
    for threshold in [gaps[0] - 1, *gaps]:  # what lies between two gaps answers like the lower one
        task.threshold = threshold
        tried[threshold] = task.evaluate(table, records, full=False).metrics["f1"]
    task.tune(table, records)
    assert math.isfinite(task.threshold)
    found = task.evaluate(table, records, full=False).metrics["f1"]
    assert found == pytest.approx(max(tried.values()))


def test_without_unanswerable_questions_there_is_no_threshold():
    task = made()
    table = pa.table(rows((ENGLISH, "Who?", "Anna")))
    records = [{"example": 0, "none": 99.0, "spans": [[2, 6, 0.0]]}]
    task.tune(table, records)
    assert task.threshold == 0
    assert task.join(table, records)[0]["predicted"] == "Anna"
    assert task.join(table, records)[0]["score"] == 1


def test_all_gold_answers_count():
    task = made(language="en")
    asked = rows((ENGLISH, "Where?", "New York"), (ENGLISH, "Who?", None))
    asked["answers"][0].append({"text": "York", "start": ENGLISH.index("York")})
    start = ENGLISH.index("York")
    records = [{"example": i, "none": 0.0, "spans": [[start, start + 4, 1.0]]} for i in range(2)]
    found = task.evaluate(pa.table(asked), records, full=True)
    assert found.metrics["exact_match"] == 0.5
    assert [row["gold"] for row in found.records] == [["New York", "York"], [""]]
    assert [row["f1"] for row in found.records] == [1, 0]
    assert found.records[0]["context"] == ENGLISH
    assert set(found.records[0]) - {"id"} == set(task.record_fields)


# Answers in files


def read(*values):
    columns = Columns({"answers": values}, range(3, 3 + len(values)), "asked.jsonl")
    return Answers().read(columns, "answers").to_pylist()


ANNA = [{"text": "Anna", "answer_start": 0}]


def test_an_answer_without_a_text_is_none():
    blank = [{"text": "", "answer_start": -1}], [{"text": " ", "answer_start": 0}]
    assert read(*blank, ANNA) == [[], [], [{"text": "Anna", "start": 0}]]


NO_ANSWER = {
    "DuReader": [{"text": "", "answer_start": -1}],
    "the hub": {"text": [""], "answer_start": [-1]},
    "empty": [],
    "null": None,
    "a blank at 0": [{"text": " ", "answer_start": 0}],
}


@pytest.mark.parametrize("form", NO_ANSWER)
def test_answers_that_no_row_has_are_hidden_and_not_none(form):
    hidden = [NO_ANSWER[form]] * 3
    with pytest.raises(UserError) as caught:
        read(*hidden)
    assert (caught.value.file, caught.value.line) == ("asked.jsonl", 3)
    assert "data.test=null" in caught.value.hint
    # Stated to be impossible, all of them may be, and then each counts as "no answer".
    for stated, refused in (([True] * 3, False), ([True, False, True], True)):
        values = {"answers": hidden, "is_impossible": stated}
        columns = Columns(values, range(3), "asked.jsonl")
        if refused:
            with pytest.raises(UserError):
                Answers().read(columns, "answers")
        else:
            assert Answers().read(columns, "answers").to_pylist() == [[], [], []]


@pytest.mark.parametrize(("learned", "noted"), [([[], ANNA], False), ([ANNA, ANNA], True)])
def test_questions_without_an_answer_are_counted_if_the_run_cannot_say_so(learned, noted):
    def table(*answers):
        size = len(answers)
        found = {"id": [f"q{i}" for i in range(size)], "context": [ENGLISH] * size}
        places = {"file": ["a"] * size, "line": [1] * size}
        return pa.table({**found, **places, "question": ["Who?"] * size, "answers": read(*answers)})

    task = made()
    anna = [{"text": "Anna", "answer_start": ENGLISH.index("Anna")}]
    learned = [answers and anna for answers in learned]
    splits = {"train": table(*learned), "validation": table(anna, [], anna, [])}
    task.prepare(Corpus(splits, task.fields, None, []))
    assert task.has_unanswerable is not noted
    for windows in (Limits(64, None), Limits(16, 2)):  # of windows, each question counts once
        rows = splits["validation"].to_pydict()
        counts = task.count(task.encode(rows, 0, tokenizer(), windows))
        notes = list(task.encoding_notes("validation", counts))
        found = [note for note in notes if "no answer" in note]
        assert (
            found
            == [
                "validation: 2 of 4 questions have no answer, which this run cannot predict: all "
                "questions of train have one"
            ]
            * noted
        )
    asked = {name: rows[name] for name in ("id", "question", "context")}
    counts = task.count(task.encode(asked, 0, tokenizer(), Limits(64, None)))
    assert not [note for note in task.encoding_notes("input", counts) if "no answer" in note]


def test_half_of_a_surrogate_pair_is_refused_with_its_line():
    with pytest.raises(UserError) as caught:
        read([], [{"text": "a\ud83d", "answer_start": 0}])
    assert caught.value.line == 4


def test_both_forms_of_answers_are_read():
    one = [{"text": "Anna", "answer_start": 0}, {"text": "Bob", "answer_start": 7}]
    other = {"text": ["Anna", "Bob"], "answer_start": [0, 7]}
    wanted = [{"text": "Anna", "start": 0}, {"text": "Bob", "start": 7}]
    assert read(one, other, [], None, {"text": [], "answer_start": []}) == [
        wanted,
        wanted,
        [],
        [],
        [],
    ]


@pytest.mark.parametrize(
    "value",
    [
        ["Anna"],
        "Anna",
        7,
        [{"text": "Anna"}],
        [{"text": "Anna", "answer_start": "x"}],
        [{"text": None, "answer_start": 0}],
        [{"text": "Anna", "answer_start": None}],
        {"text": ["Anna"], "answer_start": [1, 2]},
        {"text": "Anna", "answer_start": 0},
        {"text": ["Anna"]},
    ],
    ids=str,
)
def test_what_is_no_answer_is_refused_with_its_line(value):
    with pytest.raises(UserError) as caught:
        read([], value)
    assert (caught.value.file, caught.value.line) == ("asked.jsonl", 4)
    assert '"answer_start": 0' in caught.value.hint


@pytest.mark.parametrize("start", quick.only([1, 99], [1, -1, 17, 99]))
def test_an_answer_that_is_not_where_it_says_is_refused(start):
    golds = [[{"text": "Anna", "start": start}]]
    table = pa.table(
        {"id": ["q7"], "context": ["Anna lives"], "answers": golds, "file": ["a"], "line": [5]}
    )
    with pytest.raises(UserError) as caught:
        require_places(table, "answers", "context")
    assert (caught.value.file, caught.value.line) == ("a", 5)
    assert "q7" in str(caught.value)
