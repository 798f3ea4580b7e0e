"""Thresholds of a stated risk: no larger share of answers is wrong, at a stated confidence.

Learn then Test, with split fixed-sequence testing (Angelopoulos et al. 2021, section 5.2): one part
of the validation set puts thresholds in an order, the most promising first. The other, which had no
say in that, tests each in turn; the first that fails ends it. So the chance that any threshold that
was accepted has a larger risk is at most one minus the confidence, however many there were.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = Sequence[tuple[float, bool]]
"""Score of each answer that could be given, and whether it is right."""
PROPOSING = 1 / 3
"""Share of the validation set that proposes thresholds."""


@dataclass(frozen=True)
class Stated:
    """A threshold and the risk that goes with it.

    Attributes:
        threshold: From which score on answers are given; None is never.
        answers: Of the testing part at this threshold; all that there could be where it is None.
        wrong: How many of them are wrong.
        needed: Answers, none of them wrong, that it takes to state the risk at all.
    """

    threshold: float | None
    answers: int
    wrong: int
    needed: int

    def note(self, name: str, risk: float, confidence: float) -> str:
        """Return what can be said of answers, in words."""
        stated = f"a risk of {risk:.0%} with {confidence:.0%} confidence"
        if self.threshold is not None:
            return (
                f"{name}: {stated} from {self.threshold:.4g}; {self.wrong} of {self.answers} "
                "answers of the test part are wrong"
            )
        why = "no threshold meets it"
        if self.answers < self.needed:
            why = f"it needs {self.needed} answers, all of them right"
        cannot = f"{self.answers} answers cannot establish {stated}"
        return f"{name}: it never answers, because {cannot}: {why}"


def dealt(number: int) -> NDArray[np.bool_]:
    """Return which of some dialogues propose thresholds, (number,): the same ones each time."""
    proposes = np.zeros(number, dtype=np.bool_)
    proposes[np.random.default_rng(0).permutation(number)[: round(PROPOSING * number)]] = True
    return proposes


def stated(proposing: Rows, testing: Rows, risk: float, confidence: float) -> Stated:
    """Return the lowest threshold that is accepted.

    Args:
        proposing: Answers of the part that puts thresholds in order.
        testing: Answers of the other part.
        risk: Share of answers that may be wrong.
        confidence: That it is no more.
    """
    order = sorted(
        {score for score, _ in proposing}, key=lambda at: (_p_value(proposing, at, risk), at)
    )
    accepted: list[float] = []
    for threshold in order:
        if _p_value(testing, threshold, risk) > 1 - confidence:
            break
        accepted.append(threshold)
    lowest = min(accepted) if accepted else None
    own = [right for score, right in testing if lowest is None or score >= lowest]
    needed = math.ceil(math.log(1 - confidence) / math.log1p(-risk))
    return Stated(lowest, len(own), own.count(False), needed)


def _p_value(rows: Rows, threshold: float, risk: float) -> float:
    """Return how probable so few wrong answers are, were the risk larger than allowed."""
    from scipy import special

    own = [right for score, right in rows if score >= threshold]
    return float(special.bdtr(own.count(False), len(own), risk)) if own else 1.0
