"""Evaluation of an assistant: from end to end, by part, and which part is to blame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lushan.assist import risk
from lushan.assist.assistant import Assistant, Found, Reply
from lushan.assist.rows import Expected
from lushan.assist.settings import Thresholds
from lushan.metrics.stats import bootstrap

Blame = Literal["gate", "intent", "entity", "retrieval", "threshold", "generation", "guard"]
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
    """Compare a reply with what is right."""
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
        blame = reply.withheld or "threshold"
    return Outcome(blame is None, answered, blame)


def evaluate(
    assistant: Assistant,
    found: Sequence[Found],
    replies: Sequence[Reply],
    expected: Sequence[Expected],
) -> tuple[list[Outcome], dict[str, Any]]:
    """Return the outcome of each turn, and their summary as JSON.

    Args:
        assistant: Whose replies they are.
        found: What its parts have found about each turn.
        replies: What it has replied.
        expected: What is right for each.
    """
    about = {entry.key: entry.entity for entry in assistant.entries}
    entities = [next((about.get(key) for key in sorted(e.keys)), None) for e in expected]
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


def missing(assistant: Assistant, expected: Sequence[Expected]) -> int:
    """Return of how many turns that ask the knowledge base has no right entry."""
    known = {entry.key for entry in assistant.entries}
    return sum(one.asks and one.keys.isdisjoint(known) for one in expected)


def _pairs(found: Sequence[Found], expected: Sequence[Expected]) -> zip[tuple[Found, Expected]]:
    return zip(found, expected, strict=True)


def _share(values: NDArray[np.float64]) -> dict[str, float | None]:
    """Return a mean of 0 and 1 with its 95 % interval over turns; None where there is none."""
    if not len(values):
        return {"value": None, "low": None, "high": None, "count": 0}
    ends = bootstrap.interval(lambda w: w @ values / w.sum(-1), len(values))
    low, high = ends or (None, None)
    return {"value": float(values.mean()), "low": low, "high": high, "count": len(values)}


def _curve(
    found: Sequence[Found], expected: Sequence[Expected], gate: Sequence[bool]
) -> dict[str, Any]:
    """Return which share of answers is wrong, by how many of the turns behind the gate have one."""
    open_ = [pair for pair, passed in zip(_pairs(found, expected), gate, strict=True) if passed]
    order = sorted(_answers(open_, None), key=lambda row: -row[0])
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

    The gate's has the best mean of both shares that are right on the part that proposes; the others
    answer as much as the risk allows, see `lushan.assist.risk`.

    Returns:
        The thresholds, and what they promise.
    """
    settings, proposes = assistant.settings, risk.dealt(len(found))
    parts = [
        [pair for pair, own in zip(_pairs(found, expected), proposes, strict=True) if own == part]
        for part in (True, False)
    ]
    gate = None
    if settings.gate is not None and parts[0]:
        gate = _best_gate([f.asks for f, _ in parts[0]], [e.asks for _, e in parts[0]])
    rows = {}
    if settings.intents is not None:
        known = settings.intents.templates
        rows["intent"] = [
            [(f.certainty, f.intent == e.intent) for f, e in part if f.intent in known]
            for part in parts
        ]
    rows["entry"] = [_answers(part, gate) for part in parts]
    # All that is stated holds together: the chance of an error is shared.
    confidence = 1 - (1 - settings.confidence) / len(rows)
    chosen = {
        name: risk.stated(first, second, settings.risk, confidence)
        for name, (first, second) in rows.items()
    }
    notes = [one.note(name, settings.risk, confidence) for name, one in chosen.items()]
    return Thresholds(gate, **{name: one.threshold for name, one in chosen.items()}), notes


def _answers(
    pairs: Sequence[tuple[Found, Expected]], gate: float | None
) -> list[tuple[float, bool]]:
    """Return score and rightness of the entries behind the gate."""
    return [
        (one.score, one.entry.key in right.keys)
        for one, right in pairs
        if one.entry is not None and (gate is None or one.asks >= gate)
    ]


def _best_gate(scores: Sequence[float], asks: Sequence[bool]) -> float:
    """Return the threshold with the best balanced accuracy."""
    values, right = np.array(scores), np.array(asks)
    rates = {}
    for threshold in sorted(set(scores)):
        passed = values >= threshold
        shares = [(passed == right)[right == kind] for kind in (True, False)]
        rates[threshold] = np.mean([part.mean() for part in shares if len(part)])
    return max(rates, key=rates.__getitem__)
