"""Nothing unsafe passes, in whole texts or pieces; and where the guard fails, nothing does."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lushan.errors import UserError
from lushan.guard import Guard, calibration
from lushan.guard.guard import CONTEXT, WINDOW

BAD = "a very forbidden phrase"


def score(texts):
    return [float(BAD in text) for text in texts]


def pieces_of(text, seed):
    rng = random.Random(seed)
    while text:
        size = rng.choice([1, 2, 3, 7, 30, 200])
        yield text[:size]
        text = text[size:]


@given(st.integers(0, 900), st.integers(0, 300), st.integers(0, 10**6))
def test_no_part_of_what_is_unsafe_is_sent(before, after, seed):
    text = "x" * before + BAD + "y" * after
    guard = Guard(score, 0.5)
    sent = "".join(guard.stream(pieces_of(text, seed)))
    assert sent.endswith(guard.refusal)
    assert set(sent.removesuffix(guard.refusal)) <= {"x", "\n"}


@given(st.text(max_size=1500), st.integers(0, 10**6))
def test_what_is_safe_arrives_whole(text, seed):
    assert "".join(Guard(score).stream(pieces_of(text, seed))) == text


def test_a_stream_ends_where_it_is_refused():
    taken = []

    def pieces():
        for word in f"one {BAD} two three".split(" "):
            taken.append(word)
            yield f"{word} "
        for i in range(1000):
            taken.append(i)
            yield "more "

    assert "".join(Guard(score).stream(pieces())) == Guard(score).refusal
    assert len(taken) < 40


@pytest.mark.parametrize("answer", [ValueError("no"), [float("nan")], [], ["x"], None])
def test_a_guard_that_fails_refuses(answer):
    def failing(texts):
        if isinstance(answer, Exception):
            raise answer
        return answer

    guard = Guard(failing)
    verdict = guard.check("fine")
    assert (verdict.is_safe, verdict.score) == (False, None)
    assert "the guard failed" in verdict.reason
    assert list(guard.stream(["all ", "fine"])) == [guard.refusal]
    assert guard.counts["guard failed"] == 2


def test_it_may_fail_in_the_middle():
    calls = []

    def failing(texts):
        calls.append(texts)
        if len(calls) > 3:
            raise RuntimeError
        return [0.0] * len(texts)

    sent = "".join(Guard(failing).stream("z" * 30 for _ in range(100)))
    assert sent.endswith(Guard(None).refusal)
    assert 0 < sent.count("z") <= 3 * 30 - WINDOW


def test_the_end_of_a_long_text_is_checked_too():
    assert not Guard(score).check("x" * (5 * CONTEXT) + BAD + "x" * 77).is_safe


def test_threshold():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 2)) * 2
    right = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    gold = (rng.random(4000) < right[:, 1]).astype(int)
    safe = right[gold == 0, 1]
    bound = calibration.threshold(safe, 0.05)
    assert (safe > bound).mean() <= 0.05
    bounds = np.array([calibration.threshold(rng.random(99), 0.05) for _ in range(500)])
    assert np.mean(1 - bounds > 0.05) == pytest.approx(0.04, abs=0.025), "at most 1 of 20"
    with pytest.raises(UserError, match="--guard-rate"):
        calibration.threshold(safe[:50], 0.01)
