"""Long dialogues in windows: each turn learned once, after as much as fits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lushan.text.chat import ChatTemplate, choose
from lushan.text.windows import windows

WORDS = st.lists(
    st.sampled_from(["hello", "you", "are", "fine", "你好", "?", "there"]), max_size=12
)


@st.composite
def dialogues(draw: Any) -> list[dict[str, str]]:
    """Messages by turns, perhaps under a system message, begun by either."""
    messages = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": " ".join(draw(WORDS))})
    roles = ["user", "assistant"] if draw(st.booleans()) else ["assistant", "user"]
    for place in range(draw(st.integers(1, 9))):
        messages.append({"role": roles[place % 2], "content": " ".join(draw(WORDS))})
    if not any(m["role"] == "assistant" for m in messages):
        messages.append({"role": "assistant", "content": "fine"})
    return messages


@pytest.fixture(scope="module")
def template(dialogue_tokenizer: Any) -> ChatTemplate:
    return choose("plain", dialogue_tokenizer())


def answers(template: ChatTemplate, messages: Any) -> list[list[int]]:
    """The tokens of each turn."""
    whole = template.encode([messages])[0]
    return [whole.ids[start:end] for start, end in whole.turns]


@pytest.mark.slow(1)
@given(messages=dialogues(), limit=st.integers(2, 60), stride=st.none() | st.integers(1, 40))
@settings(max_examples=150, deadline=None)
def test_each_turn_is_learned_once(
    messages: list[dict[str, str]], limit: int, stride: int | None, template: ChatTemplate
) -> None:
    found = windows(template, [messages], limit=limit, stride=stride)[0]
    assert all(0 < len(window.ids) <= limit for window in found)
    printed = answers(template, messages)
    learned = [(w, w.ids[start:end]) for w in found for start, end in w.turns]
    assert len(learned) == len(printed)
    for (window, ids), whole in zip(learned, printed, strict=True):
        if window.cut:
            assert len(window.turns) == 1
            assert ids == whole[: len(ids)]
            assert ids
        else:
            assert ids == whole


@given(messages=dialogues(), limit=st.integers(8, 60))
def test_as_much_history_as_fits_stands_before_a_turn(
    messages: list[dict[str, str]], limit: int, template: ChatTemplate
) -> None:
    """By trying all: from each message on which a window may begin."""
    head = messages[:1] if messages[0]["role"] == "system" else []
    turns = [i for i, m in enumerate(messages) if m["role"] == "assistant"]
    begins = [
        i
        for i in range(len(head), len(messages))
        if i == len(head) or messages[i]["role"] == "user"
    ]
    found = iter(
        [
            (window, start)
            for window in windows(template, [messages], limit=limit)[0]
            for start, _ in window.turns
        ]
    )
    for turn in turns:
        window, start = next(found)
        fitting = [
            ids
            for begin in begins
            if begin <= turn
            and len(ids := template.encode([[*head, *messages[begin : turn + 1]]])[0].ids) <= limit
        ]
        if window.cut:
            assert not fitting
        else:
            longest = max(fitting, key=len)
            assert window.ids[: len(longest)] == longest
            assert start < len(longest)


def long_dialogue(system: bool = True, turns: int = 8) -> list[dict[str, str]]:
    messages = [{"role": "system", "content": "be kind"}] if system else []
    for number in range(turns):
        messages += [
            {"role": "user", "content": f"how are you {'there ' * number}?"},
            {"role": "assistant", "content": f"I am fine {'hello ' * number}."},
        ]
    return messages


def test_the_system_message_begins_every_window(template: ChatTemplate) -> None:
    messages = long_dialogue()
    head = template.encode([messages[:1]])[0].ids
    found = windows(template, [messages], limit=64)[0]
    assert len(found) > 2
    assert all(window.ids[: len(head)] == head for window in found)
    assert not any(window.cut for window in found)


def test_less_is_read_twice_with_a_stride(template: ChatTemplate) -> None:
    messages = long_dialogue(turns=20)
    wide, narrow = (
        sum(len(w.ids) for w in windows(template, [messages], limit=128, stride=stride)[0])
        for stride in (None, 48)
    )
    assert narrow < wide
    for window in windows(template, [messages], limit=128, stride=48)[0][1:]:
        before = window.turns[0][0]
        assert before <= 48 or len(window.turns) == 1


def test_a_turn_that_does_not_fit_is_cut_and_keeps_its_question(template: ChatTemplate) -> None:
    messages = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "hello " * 40},
        {"role": "assistant", "content": "fine " * 40},
    ]
    (window,) = windows(template, [messages], limit=30)[0]
    assert window.cut
    assert len(window.ids) == 30
    ((start, end),) = window.turns
    assert (start, end) == (15, 30)  # half of the limit each
    text = template.tokenizer.decode(window.ids[:start])
    assert text.startswith("[CLS] System: be kind[SEP]")
    assert text.endswith("hello[SEP] Assistant:")
    assert template.stops[0] not in window.ids[start:end]  # its end is no end


def test_what_follows_the_last_answer_is_left_out(template: ChatTemplate) -> None:
    messages = [*long_dialogue(turns=1), {"role": "user", "content": "hello"}]
    (window,) = windows(template, [messages], limit=100)[0]
    assert len(window.ids) == window.turns[-1][1]


def test_a_dialogue_that_waits_for_an_answer_has_nothing_to_learn(template: ChatTemplate) -> None:
    messages = [{"role": "user", "content": "hello " * 20}]
    whole, cut = (windows(template, [messages], limit=limit)[0] for limit in (100, 8))
    assert [(w.turns, w.cut) for w in whole] == [([], False)]
    assert [(w.turns, w.cut, len(w.ids)) for w in cut] == [([], True, 8)]
    assert cut[0].ids == whole[0].ids[-8:]
