"""Entity and token level: by hand, and against seqeval and scikit-learn."""

from __future__ import annotations

import json
import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import accuracy_score
from seqeval.metrics import classification_report as seqeval_report
from seqeval.scheme import IOB2, IOBES
from sklearn.metrics import classification_report as sklearn_report
from sklearn.metrics import confusion_matrix

from lushan.metrics.entities import entity_counts, score_entities, score_tokens
from lushan.text.tags import repair, tag_set

# 李白在庐山 / 王安石变法: the second name is found too short, 庐山 gets the wrong type
GOLD = [
    ["B-PER", "I-PER", "O", "B-LOC", "I-LOC"],
    ["B-PER", "I-PER", "I-PER", "O", "O"],
]
PREDICTED = [
    ["B-PER", "I-PER", "O", "B-ORG", "I-ORG"],
    ["B-PER", "I-PER", "O", "O", "O"],
]


@st.composite
def pairs(draw: st.DrawFn, scheme: str = "iob2") -> tuple[list[list[str]], list[list[str]]]:
    tags = st.sampled_from(tag_set(["PER", "LOC", "地名"], scheme))
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    gold, predicted = (
        [draw(st.lists(tags, min_size=n, max_size=n)) for n in lengths] for _ in range(2)
    )
    return gold, predicted


def quiet(function: Any, *args: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **options)


def agree(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    for name, row in theirs.items():
        if isinstance(row, dict):
            mine = ours[name]
            for key, value in row.items():
                assert mine[key.replace("-score", "")] == pytest.approx(value), (name, key)


def test_by_hand() -> None:
    report = score_entities(GOLD, PREDICTED, labels=["LOC", "PER", "GPE"])
    assert list(report.by_class) == [
        "LOC",
        "PER",
        "GPE",
        "ORG",
    ]  # asked for; then what else is there
    assert report.by_class["PER"].as_dict() == {
        "precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2,
    }  # fmt: skip
    assert report.by_class["LOC"].as_dict() == {
        "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1,
    }  # fmt: skip
    assert report.micro.f1 == pytest.approx(1 / 3)
    assert report.macro.f1 == pytest.approx(0.5 / 3)  # PER, LOC, ORG; not GPE
    assert report.weighted.f1 == pytest.approx(0.5 * 2 / 3)
    assert entity_counts(GOLD, PREDICTED).tolist() == [[1, 2, 2], [0, 1, 1]]
    assert json.loads(json.dumps(report.as_dict())).keys() >= {"PER", "micro avg", "macro avg"}


def test_absent_type() -> None:
    report = score_entities([["B-PER"]], [["B-PER"]], labels=["PER", "LOC"])
    assert report.by_class["LOC"].as_dict() == {
        "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0,
    }  # fmt: skip
    assert report.macro.f1 == report.weighted.f1 == report.micro.f1 == 1.0


def test_nothing_there() -> None:
    report = score_entities([["O"]], [["O"]], labels=["PER"])
    assert report.micro.f1 == report.macro.f1 == report.weighted.f1 == 0.0
    assert score_entities([], []).by_class == {}
    assert entity_counts([], []).shape == (0, 3)
    empty = score_tokens([], [])
    assert math.isnan(empty.accuracy)
    assert empty.as_dict().keys() == {"macro avg", "weighted avg"}
    assert math.isnan(score_tokens([["O"]], [["O"]]).accuracy_without_o)


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="2 gold tags and 1 predicted"):
        score_entities([["O", "O"]], [["O"]])
    with pytest.raises(ValueError, match="zip"):
        score_entities([["O"]], [])
    with pytest.raises(ValueError, match="zip"):
        score_tokens([["O", "O"]], [["O"]])


def test_two_schemes() -> None:
    report = score_entities(
        [["B-PER", "I-PER"]], [["B-PER", "E-PER"]], predicted_scheme="iobes", strict=True
    )
    assert report.micro.f1 == 1.0


def test_where_conlleval_and_strict_differ() -> None:
    gold, predicted = [["B-NP", "I-NP", "O"]], [["I-NP", "I-NP", "O"]]
    assert score_entities(gold, predicted).micro.f1 == 1.0
    assert score_entities(gold, predicted, strict=True).micro.f1 == 0.0


@pytest.mark.parametrize(("scheme", "theirs"), [("iob2", IOB2), ("iobes", IOBES)])
def test_strict_is_seqevals_strict_mode(scheme: str, theirs: type) -> None:
    @given(pairs(scheme))
    def compare(case: tuple[list[list[str]], list[list[str]]]) -> None:
        gold, predicted = case
        ours = score_entities(gold, predicted, scheme=scheme, strict=True)
        if not ours.by_class:
            return  # seqeval raises
        options = {"mode": "strict", "scheme": theirs, "output_dict": True, "zero_division": 0}
        agree(ours.as_dict(), quiet(seqeval_report, gold, predicted, **options))

    compare()


@given(pairs())
def test_lenient_is_seqevals_default(case: tuple[list[list[str]], list[list[str]]]) -> None:
    gold, predicted = case
    ours = score_entities(gold, predicted)
    if ours.by_class:
        agree(ours.as_dict(), quiet(seqeval_report, gold, predicted, output_dict=True))
    assert score_tokens(gold, predicted).accuracy == pytest.approx(accuracy_score(gold, predicted))


@given(pairs())
def test_both_agree_on_what_the_scheme_allows(
    case: tuple[list[list[str]], list[list[str]]],
) -> None:
    gold, predicted = ([repair(tags, "iob2") for tags in side] for side in case)
    ours = score_entities(gold, predicted)
    assert ours == score_entities(gold, predicted, strict=True)
    counts = entity_counts(gold, predicted).sum(0)
    assert counts.tolist() == [ours.micro.correct, ours.micro.predicted, ours.micro.support]


def test_tokens_by_hand() -> None:
    token = score_tokens(GOLD, PREDICTED)
    tags, counts = token.confusion.names, token.confusion.table()
    assert tags == ["O", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-PER", "I-PER"]
    assert counts.sum() == 10
    assert counts[tags.index("I-PER")].tolist() == [1, 0, 0, 0, 0, 0, 2]
    assert token.accuracy == pytest.approx(0.7)
    assert token.accuracy_without_o == pytest.approx(4 / 7)
    assert token.by_tag["I-PER"].as_dict() == {
        "precision": 1.0, "recall": pytest.approx(2 / 3), "f1": pytest.approx(0.8), "support": 3,
    }  # fmt: skip


@pytest.mark.slow
@given(pairs())
def test_tokens_are_sklearns(case: tuple[list[list[str]], list[list[str]]]) -> None:
    gold, predicted = case
    flat = [[tag for tags in side for tag in tags] for side in case]
    token = score_tokens(gold, predicted)
    agree(token.as_dict(), quiet(sklearn_report, *flat, output_dict=True, zero_division=0))
    tags, counts = token.confusion.names, token.confusion.table()
    np.testing.assert_array_equal(counts, quiet(confusion_matrix, *flat, labels=tags))
