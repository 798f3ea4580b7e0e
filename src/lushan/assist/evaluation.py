"""Evaluation of an assistant: from end to end, by part, and which part is to blame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lushan.assist.assistant import Assistant, Found, Reply
from lushan.assist.rows import Expected
from lushan.assist.settings import Thresholds
from lushan.metrics.stats import bootstrap

Blame = Literal["gate", "intent", "entity", "retrieval", "threshold"]
_COVERAGES = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Outcome:
    """How a turn was answered.

    Attributes:
        right: Whether the answer, or the silence, is right.
        answered: Whether there was an answer.
        blame: The part without which it would be right; None where it is.
    """

    right: bool
    answered: bool
    blame: Blame | None


def outcome(found: Found, reply: Reply, expected: Expected, entity: str | None) -> Outcome:
    """Compare a reply with what is right.

    Args:
        found: What the parts have found.
        reply: What was answered.
        expected: What is right.
        entity: What the right entry is about.
    """
    if reply.action == "template":
        right = found.intent == expected.intent
        return Outcome(right, answered=True, blame=None if right else "intent")
    answered = reply.action == "answer"
    if not expected.asks or reply.action == "pass":
        right = not expected.asks and reply.action == "pass"
        return Outcome(right, answered, None if right else "gate")
    blame: Blame | None = None if found.entry is not None else "entity"
    if found.entry is not None and found.entry.key not in expected.keys:
        blame = "retrieval" if entity is None or found.entity == entity else "entity"
    if blame is None and not answered:
        blame = "threshold"
    return Outcome(blame is None, answered, blame)


def evaluate(
    assistant: Assistant,
    found: Sequence[Found],
    expected: Sequence[Expected],
    thresholds: Thresholds,
) -> tuple[list[Outcome], dict[str, Any]]:
    """Return the outcome of each turn, and their summary as JSON.

    Args:
        assistant: Whose replies they are.
        found: What its parts have found about each turn.
        expected: What is right for each.
        thresholds: As they were chosen.
    """
    about = {entry.key: entry.entity for entry in assistant.entries}
    entities = [next((about.get(key) for key in sorted(e.keys)), None) for e in expected]
    replies = [assistant.reply(one, thresholds) for one in found]
    outcomes = [outcome(*row) for row in zip(found, replies, expected, entities, strict=True)]
    right = np.array([one.right for one in outcomes], float)
    answered = np.array([one.answered for one in outcomes], float)
    asks = [e.asks for e in expected]
    asking = [row for row, one in enumerate(expected) if one.asks]
    own = [row for row in asking if found[row].entity == entities[row]]
    first = [(f.entry is not None and f.entry.key in e.keys) for f, e in _pairs(found, expected)]
    actions = Counter(reply.action for reply in replies)
    gate = [reply.action != "pass" for reply in replies]
    summary = {
        "turns": len(found),
        "asking": len(asking),
        "right": _share(right),
        "answered": _share(answered),
        "wrong_of_answered": _share((1 - right)[answered > 0]),
        "actions": dict(actions),
        "blame": dict(Counter(one.blame for one in outcomes if one.blame is not None)),
        "parts": {
            "gate": _share(np.array([a == b for a, b in zip(gate, asks, strict=True)], float)),
            "entity": _share(np.array([row in set(own) for row in asking], float)),
            "entry": _share(np.array([first[row] for row in asking], float)),
            "entry_of_right_entity": _share(np.array([first[row] for row in own], float)),
        },
        "risk_coverage": _curve(found, expected, gate),
    }
    return outcomes, summary


def _pairs(found: Sequence[Found], expected: Sequence[Expected]) -> zip[tuple[Found, Expected]]:
    return zip(found, expected, strict=True)


def _share(values: NDArray[np.float64]) -> dict[str, float | None]:
    """Return a mean of 0 and 1 with its 95 % interval over turns; None where there is none."""
    if not len(values):
        return {"value": None, "low": None, "high": None, "count": 0}
    low, high = bootstrap.interval(lambda w: w @ values / w.sum(-1), len(values))
    return {"value": float(values.mean()), "low": low, "high": high, "count": len(values)}


def _ordered(
    found: Sequence[Found], expected: Sequence[Expected], gate: Sequence[bool]
) -> list[tuple[float, bool]]:
    """Return score and rightness of the entries behind the gate, the surest first."""
    rows = [
        (one.score, one.entry.key in right.keys)
        for (one, right), passed in zip(_pairs(found, expected), gate, strict=True)
        if passed and one.entry is not None
    ]
    return sorted(rows, key=lambda row: -row[0])


def _curve(
    found: Sequence[Found], expected: Sequence[Expected], gate: Sequence[bool]
) -> dict[str, Any]:
    """Return which share of answers is wrong, by how many of the turns behind the gate have one."""
    order = _ordered(found, expected, gate)
    if not order:
        return {"area": None, "at": {}, "points": []}
    wrong = np.cumsum([not right for _, right in order]) / np.arange(1, len(order) + 1)
    at = {f"{c:.0%}": float(wrong[max(1, round(c * len(order))) - 1]) for c in _COVERAGES}
    points = [
        {"coverage": (n + 1) / len(order), "risk": float(risk), "score": order[n][0]}
        for n, risk in enumerate(wrong)
    ]
    return {"area": float(wrong.mean()), "at": at, "points": points}


def choose(
    assistant: Assistant, found: Sequence[Found], expected: Sequence[Expected]
) -> tuple[Thresholds, list[str]]:
    """Choose thresholds on a validation set.

    The gate's has the best mean of both shares that are right; the others answer as much as the
    risk allows.

    Args:
        assistant: Whose parts have found it.
        found: What they have found about each turn.
        expected: What is right for each.

    Returns:
        The thresholds, and notes on how sure they are.
    """
    notes: list[str] = []
    gate = None
    risk, confidence = assistant.settings.risk, assistant.settings.confidence
    if assistant.settings.gate is not None:
        gate = _best_gate([one.asks for one in found], [one.asks for one in expected])
    intent = None
    if assistant.settings.intents is not None:
        templates = assistant.settings.intents.templates
        rows = [
            (f.certainty, f.intent == e.intent)
            for f, e in _pairs(found, expected)
            if f.intent in templates
        ]
        intent = _within(rows, risk, confidence, "intent", notes)
    open_ = [gate is None or one.asks >= gate for one in found]
    entry = _within(_ordered(found, expected, open_), risk, confidence, "entry", notes)
    return Thresholds(gate, intent, entry), notes


def _best_gate(scores: Sequence[float], asks: Sequence[bool]) -> float:
    """Return the threshold with the best balanced accuracy."""
    values, right = np.array(scores), np.array(asks)
    rates = {}
    for threshold in sorted(set(scores)):
        passed = values >= threshold
        shares = [(passed == right)[right == kind] for kind in (True, False)]
        rates[threshold] = np.mean([part.mean() for part in shares if len(part)])
    return max(rates, key=rates.__getitem__)


def _within(
    rows: Sequence[tuple[float, bool]],
    risk: float,
    confidence: float | None,
    name: str,
    notes: list[str],
) -> float | None:
    """Return the lowest threshold at which no more answers are wrong than the risk allows.

    Args:
        rows: Score of each answer, and whether it is right.
        risk: Share that may be wrong.
        confidence: See `Settings`.
        name: Of the threshold, for the note.
        notes: Takes on how many answers it rests.
    """
    order = sorted(rows, key=lambda row: -row[0])
    best: tuple[float, int, int] | None = None
    wrong = 0
    for number, (score, right) in enumerate(order, 1):
        wrong += not right
        is_last = number == len(order) or order[number][0] < score
        found = wrong / number if confidence is None else _bound(wrong, number, confidence)
        if is_last and found <= risk:
            best = (score, wrong, number)
    if best is None:
        notes.append(f"{name}: no threshold keeps a risk of {risk:.0%}: it never answers")
        return None
    score, wrong, number = best
    notes.append(
        f"{name}: {wrong} of {number} answers are wrong from {score:.4g} on; with 95 % confidence "
        f"at most {_bound(wrong, number, 0.95):.1%}, were the threshold fixed before"
    )
    return score


def _bound(wrong: int, number: int, confidence: float) -> float:
    """Return an upper bound of a share (Clopper and Pearson, 1934)."""
    from scipy import stats

    return float(stats.beta.ppf(confidence, wrong + 1, number - wrong)) if wrong < number else 1.0
