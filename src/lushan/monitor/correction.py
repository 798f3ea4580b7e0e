"""The share of a label in texts, from the share of texts that a classifier gives it.

A classifier that misses a tenth and is wrong on a twentieth of the others counts too many where the
label is rare and too few where it is common. Rogan and Gladen (1978) solve for the true share;
the interval is that of Lang and Reiczigel (2014), which also knows how few validation texts
sensitivity and specificity were estimated from.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

from lushan.errors import UserError

Z = 1.959964
"""Of a 95 % interval."""


@dataclasses.dataclass(frozen=True)
class Correction:
    """What a validation split says of a label: counts of its confusion with all others.

    Attributes:
        hits: Texts with the label that got it.
        positives: Texts with the label.
        rejections: Texts without it that did not get it.
        negatives: Texts without it.
    """

    hits: int
    positives: int
    rejections: int
    negatives: int

    @classmethod
    def of(cls, pairs: Iterable[tuple[object, object]], label: str) -> Correction:
        """Count (gold, predicted) pairs; each side is a label, or a list of labels.

        Raises:
            UserError: The label, or every other one, is missing there, or the classifier finds it
                no better than chance.
        """
        sides = [(_has(gold, label), _has(predicted, label)) for gold, predicted in pairs]
        positives = sum(gold for gold, _ in sides)
        found = cls(
            hits=sum(gold and predicted for gold, predicted in sides),
            positives=positives,
            rejections=sum(not gold and not predicted for gold, predicted in sides),
            negatives=len(sides) - positives,
        )
        if not found.positives or not found.negatives or found.youden <= 0:
            raise UserError(
                "on its validation split the run does not find this label better than chance: "
                f"{found.hits} of {found.positives} texts with it were found, and "
                f"{found.negatives - found.rejections} of {found.negatives} without it were false "
                f"positives",
                key="--watch",
                value=label,
                hint="Train longer, or add --uncorrected to skip the correction.",
            )
        return found

    @classmethod
    def none(cls) -> Correction:
        """Return the correction of a classifier without error: shares stay as they are."""
        return cls(10**9, 10**9, 10**9, 10**9)

    @property
    def sensitivity(self) -> float:
        """Share of the texts with the label that got it."""
        return self.hits / self.positives

    @property
    def specificity(self) -> float:
        """Share of the texts without the label that did not get it."""
        return self.rejections / self.negatives

    @property
    def youden(self) -> float:
        """Sensitivity + specificity - 1: 0 is chance, 1 is without error."""
        return self.sensitivity + self.specificity - 1

    def adjusted(self, found: int, texts: int) -> float:
        """Return the Rogan-Gladen estimate of the share of the label, within [0, 1].

        Args:
            found: Texts that got the label.
            texts: All texts; 1 or more.
        """
        share = (found / texts + self.specificity - 1) / self.youden
        return min(1.0, max(0.0, share))

    def variance(self, found: int, texts: int) -> float:
        """Return the variance of `adjusted` by the delta method (Rogan and Gladen, 1978)."""
        share, true = found / texts, self.adjusted(found, texts)
        sensitivity, specificity = self.sensitivity, self.specificity
        own = share * (1 - share) / texts
        of_hits = true**2 * sensitivity * (1 - sensitivity) / self.positives
        of_rejections = (1 - true) ** 2 * specificity * (1 - specificity) / self.negatives
        return (own + of_hits + of_rejections) / self.youden**2

    def interval(self, found: int, texts: int, z: float = Z) -> tuple[float, float]:
        """Return an interval of the share (Lang and Reiczigel 2014, section 2.2).

        Args:
            found: Texts that got the label.
            texts: All texts; 1 or more.
            z: Quantile of the normal distribution; 95 % by default.
        """
        n = texts + z**2
        share = (found + z**2 / 2) / n
        positives, negatives = self.positives + 2, self.negatives + 2
        sensitivity = (self.hits + 1) / positives
        specificity = (self.rejections + 1) / negatives
        gain = sensitivity + specificity - 1
        if gain <= 0:
            return 0.0, 1.0
        true = (share + specificity - 1) / gain
        of_hits = sensitivity * (1 - sensitivity) / positives
        of_rejections = specificity * (1 - specificity) / negatives
        shift = 2 * z**2 * (true * of_hits - (1 - true) * of_rejections)
        own = share * (1 - share) / n
        variance = (own + true**2 * of_hits + (1 - true) ** 2 * of_rejections) / gain**2
        half = z * math.sqrt(variance)
        return max(0.0, true + shift - half), min(1.0, true + shift + half)

    def apparent(self, share: float) -> float:
        """Return the share of texts that get the label where `share` of them have it."""
        return share * self.sensitivity + (1 - share) * (1 - self.specificity)

    def raised(self, apparent: float, factor: float) -> float:
        """Return the share that gets the label when the true share is `factor` times as large.

        Args:
            apparent: The share that gets it now.
            factor: Of the odds-free share; the result stays below 1.
        """
        true = min(1.0, max(0.0, (apparent + self.specificity - 1) / self.youden))
        return self.apparent(min(0.999, max(true, 1e-3) * factor))


def _has(value: object, label: str) -> bool:
    return label in value if isinstance(value, list) else value == label
