"""Scores by class with their intervals, and confusion matrices, from stored predictions.

An entity is judged by its words and its type. In the confusion matrix it stands in the cell of its
gold and its predicted type where both have the same words; else it is missed or spurious, in the
column or row of `NONE`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lushan.metrics import prf
from lushan.metrics.stats import bootstrap
from lushan.study.example_statistics import MOST_COUNTS, is_tagging, set_of
from lushan.study.records import Records
from lushan.text import tags

RESAMPLES = 1000
NONE = ""
"""The name of no class at all; no class is called so but in tags without types."""

Labelled = Sequence[tuple[int | None, ...]]


class TooMany(Exception):
    """There are too many classes and examples for scores by class with intervals.

    Args:
        classes: How many occur.
        examples: How many there are.
    """

    def __init__(self, classes: int, examples: int) -> None:
        super().__init__(
            f"{classes:,} classes in {examples:,} examples are too many for scores by class"
        )


@dataclasses.dataclass(frozen=True)
class Judged:
    """A run's predictions by class.

    Attributes:
        classes: That occur, in gold or predicted, sorted.
        counts: (N, 3, C), right, predicted and gold of each example.
        confusion: (gold, predicted) to number; of texts with several labels there is none.
        entities: Whether it is entities that were counted.
    """

    classes: list[str]
    counts: NDArray[np.float64]
    confusion: Mapping[tuple[str, str], int]
    entities: bool


@dataclasses.dataclass(frozen=True)
class Score:
    """A class in a group of runs: means over the runs.

    Attributes:
        label: Its name.
        precision: Share of what was predicted that is right.
        recall: Share of what is there that was found.
        f1: Of both.
        low: Lower end of the F1's 95 % interval over examples; None where the runs judged
            different examples.
        high: Upper end.
        runs: The F1 of each run.
        support: How many there are.
        predicted: How many were predicted, mean over the runs.
    """

    label: str
    precision: float
    recall: float
    f1: float
    low: float | None
    high: float | None
    runs: list[float]
    support: int
    predicted: float


def kind_of(records: Records) -> str | None:
    """`tags`, `labels`, `texts` or `numbers`: what was predicted; None where nothing was."""
    for record in records:
        if "predicted" not in record or "gold" not in record:
            continue
        gold, predicted = record["gold"], record["predicted"]
        if is_tagging(record):
            return "tags" if isinstance(gold, list) and isinstance(predicted, list) else None
        if isinstance(gold, int | float):
            return "numbers"
        # Language models say of each text how well they foretold it; what they wrote is no label.
        return "texts" if "hits" in record or "source" in record else "labels"
    return None


def judge(records: Records) -> Judged | None:
    """Count a run's predictions by class; None where they have no classes.

    Raises:
        TooMany: There are too many of them.
    """
    kind = kind_of(records)
    if kind == "tags":
        sides = [(spans(r["gold"]), spans(r["predicted"])) for r in records]
        found = [({*gold}, {*predicted}) for gold, predicted in sides]
        labels = [([s.label for s in g], [s.label for s in p]) for g, p in sides]
        right = [[s.label for s in g & p] for g, p in found]
        return _judged(labels, right, _types(sides), entities=True)
    if kind == "labels":
        rows = [r for r in records if "gold" in r and "predicted" in r]
        pairs = [(sorted(set_of(r["gold"])), sorted(set_of(r["predicted"]))) for r in rows]
        right = [[x for x in g if x in p] for g, p in pairs]
        single = all(isinstance(r["gold"], str) for r in rows)
        confusion = _counted((g[0], p[0]) for g, p in pairs) if single else {}
        return _judged(pairs, right, confusion, entities=False)
    return None


def spans(tagged: Sequence[str]) -> Sequence[tags.Span]:
    """The entities of a sentence, as the metrics read them."""
    return _spans(tuple(tagged))


@functools.lru_cache(maxsize=1 << 15)  # runs have their gold tags in common, and many others
def _spans(tagged: tuple[str, ...]) -> tuple[tags.Span, ...]:
    return tuple(tags.spans(tagged, "iob2", strict=False))


def _types(
    sides: Sequence[tuple[Sequence[tags.Span], Sequence[tags.Span]]],
) -> dict[tuple[str, str], int]:
    cells: list[tuple[str, str]] = []
    for gold, predicted in sides:
        there = {(s.start, s.end): s.label for s in predicted}
        asked = {(s.start, s.end): s.label for s in gold}
        cells += [(label, there.get(words, NONE)) for words, label in asked.items()]
        cells += [(NONE, label) for words, label in there.items() if words not in asked]
    return _counted(cells)


def _counted(cells: Any) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for cell in cells:
        found[cell] = found.get(cell, 0) + 1
    return found


def _judged(
    pairs: Sequence[tuple[list[str], list[str]]],
    right: Sequence[list[str]],
    confusion: Mapping[tuple[str, str], int],
    *,
    entities: bool,
) -> Judged:
    classes = sorted({label for pair in pairs for side in pair for label in side})
    if 3 * len(classes) * len(pairs) > MOST_COUNTS:
        raise TooMany(len(classes), len(pairs))
    place = {label: i for i, label in enumerate(classes)}
    counts = np.zeros((len(pairs), 3, len(classes)))
    for row, (gold, predicted), found in zip(counts, pairs, right, strict=True):
        for column, labels in zip(row, (found, predicted, gold), strict=True):
            for label in labels:
                column[place[label]] += 1
    return Judged(classes, counts, confusion, entities)


def scores(runs: Sequence[Judged], *, alike: bool) -> list[Score]:
    """The classes of some runs that differ in nothing but the seed.

    Args:
        runs: At least one.
        alike: Whether they judged the same examples, in the same order: only then do their
            examples have an interval together.
    """
    classes = sorted({label for run in runs for label in run.classes})
    found = []
    for label in classes:
        counts = [_of_class(run, label) for run in runs]  # (N, 3) each
        sums = np.array([one.sum(0) for one in counts])
        precision, recall, f1 = prf.prf(*sums.T)
        low, high = _interval(counts) if alike else (None, None)
        found.append(
            Score(
                label,
                float(precision.mean()),
                float(recall.mean()),
                float(f1.mean()),
                low,
                high,
                f1.tolist(),
                int(sums[0, 2]),
                float(sums[:, 1].mean()),
            )
        )
    return found


def _of_class(run: Judged, label: str) -> NDArray[np.float64]:
    if label not in run.classes:
        return np.zeros((len(run.counts), 3))
    return run.counts[:, :, run.classes.index(label)]


def _interval(counts: Sequence[NDArray[np.float64]]) -> tuple[float | None, float | None]:
    """Of the runs' mean F1, over examples: each resample is one of the examples of all runs."""
    rows, sizes = bootstrap.grouped(np.concatenate(counts, axis=1))  # (K, 3 * runs)

    def f1(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        summed = (weights @ rows).reshape(len(weights), len(counts), 3)
        of_runs: NDArray[np.float64] = prf.prf(*np.moveaxis(summed, -1, 0))[2]
        return of_runs.mean(1)

    low, high = bootstrap.interval(f1, sizes, resamples=RESAMPLES)
    return (None, None) if np.isnan(low) else (low, high)
