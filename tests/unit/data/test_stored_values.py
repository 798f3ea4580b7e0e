"""What fields say of stored values: their form, what is right, classes, marks, drawings."""

import pytest

from lushan.data.fields import (
    Image,
    Label,
    Labels,
    Messages,
    Number,
    Tags,
    Text,
    Texts,
    Value,
    Words,
)
from lushan.data.stored import NONE

WORDS = ["李", "白", "saw", "New", "York"]
RECORD = {"tokens": WORDS, "found": [{"start": 3, "end": 5, "label": "LOC", "score": 0.5}]}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (Text(), ["a"]),
        (Texts(), "a"),
        (Words(), [1]),
        (Tags(), ["O"]),
        (Tags(), "O O O O O"),
        (Label(), {"a": 1}),
        (Labels(), ["a", None]),
        (Number(), True),
        (Number(), "1"),
        (Messages(), [{"content": "no role"}]),
        (Image(), {"bytes": "x"}),
    ],
)
def test_values_of_another_form_are_refused(field, value):
    with pytest.raises(ValueError, match=r"must be|not have a tag"):
        field.check(value, RECORD)


def test_tags_are_spans_of_their_words():
    field = Tags(scores="found")
    gold = ["B-PER", "I-PER", "O", "B-LOC", "I-LOC"]
    predicted = ["B-PER", "O", "B-LOC", "B-ORG", "I-ORG"]
    field.check(gold, RECORD)
    assert field.draw(gold, RECORD) == [
        "spans",
        "tokens",
        [[0, 2, "PER"], [7, 15, "LOC", "probability 50.0 %"]],
    ]
    assert Words().draw(WORDS, RECORD)[1][7:15] == "New York"
    assert field.describe(gold, RECORD) == ["李白 (PER)", "New York (LOC)"]
    assert field.is_right(gold, list(gold)) is True
    assert field.is_right(gold, predicted) is False
    tally = field.tally(gold, predicted)
    assert tally.gold == ["PER", "LOC"]
    assert sorted(tally.predicted) == ["LOC", "ORG", "PER"]
    assert tally.right == []
    assert sorted(tally.pairs) == [(NONE, "LOC"), (NONE, "PER"), ("LOC", "ORG"), ("PER", NONE)]
    marks = field.marks(gold, predicted, RECORD)
    assert marks.gold == [(False, "boundary"), (False, "type")]
    assert marks.predicted == [(False, "boundary"), (False, "spurious"), (False, "type")]


def test_one_label_and_several():
    one, several = Label(probabilities="p"), Labels()
    marks = one.marks("a", "b", {"p": {"a": 0.25, "b": 0.75}})
    assert (marks.gold, marks.predicted) == ([(True, "25.0 %")], [(False, "75.0 %")])
    assert one.marks("a", "a", {}).predicted == [(True, "")]
    assert one.tally("a", "b").pairs == [("a", "b")]
    assert one.draw("a", {}) == ["chips", ["a"]]
    assert several.is_right(["a", "b"], ["b", "a"])
    assert several.tally(["b", "a"], ["a"]).right == ["a"]
    marks = several.marks(["a", "b"], ["a", "c"], {})
    assert marks.gold == [(True, ""), (False, "missed")]
    assert marks.predicted == [(True, ""), (False, "spurious")]
    assert (one.confusion != "", several.confusion) == (True, "")


def test_texts_numbers_and_what_is_only_shown():
    assert Text().is_right("a", "a")
    assert Texts().is_right(["a", "b"], "b")
    assert not Texts().is_right(["a", "b"], "c")
    assert (Text().right_where, Texts().right_where) == ("", "")  # better or worse, by a metric
    assert Texts().draw(["a", "b"], {}) == ["several", [["text", "a"], ["text", "b"]]]
    assert Number().distance(1.5, 1.0) == 0.5
    assert Number().is_right(1.0, 1.0) is None
    assert Value().draw({"月": 1}, {}) == ["json", '{"月": 1}']
    assert Value().tally(1, 1) is None
    assert Image().draw({"path": "predictions/test/1.png"}, {})[:2] == [
        "image",
        "predictions/test/1.png",
    ]


def test_messages_of_text_and_of_typed_parts():
    printed = [
        {
            "role": "user",
            "content": [{"type": "image", "path": "a.png"}, {"type": "text", "text": "?"}],
        },
        {"role": "assistant", "content": "a moon"},
        {"role": "tool", "content": [{"type": "audio"}]},
    ]
    Messages().check(printed, {})
    assert Messages().draw(printed, {}) == [
        "turns",
        [
            ["user", [["image", "a.png", ""], ["text", "?"]]],
            ["assistant", [["text", "a moon"]]],
            ["tool", [["json", '{"type": "audio"}']]],
        ],
    ]
    assert Messages().describe(printed, {})[1] == "assistant: a moon"
