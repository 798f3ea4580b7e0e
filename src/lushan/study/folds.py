"""Runs of a cross-validation: one of K folds is held out in each, and the others are shared.

Training sets of two folds overlap, so that their numbers are not independent: tests over runs,
which take them for that, find differences where there are none. What is compared is the difference
in each fold, by the corrected resampled t-test (Nadeau and Bengio, 2003).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from lushan.errors import UserError
from lushan.study import collect
from lushan.study.collect import Member

if TYPE_CHECKING:
    from lushan.metrics.stats.significance import Difference

AXIS = "fold"
"""Of a study that states how many folds there are."""
TEST = "resampled"
FEWEST = 3
"""Folds, below which there is no test."""


class Fold(NamedTuple):
    """A fold of a cross-validation.

    Attributes:
        seed: Of the data, by which it was cut.
        folds: How many there are.
        number: Which one is held out, from 1.
    """

    seed: int
    folds: int
    number: int


def axis(count: int) -> dict[str, tuple[str, ...]]:
    """Return the levels of the axis of folds, each with its overrides."""
    return {str(i): (f"data.folds={count}", f"data.fold={i}") for i in range(1, count + 1)}


def fold_of(run: Member) -> Fold | None:
    """Return the fold that a run holds out; None where it holds out none."""
    data = run.config.get("data")
    if not isinstance(data, Mapping) or data.get("fold") is None:
        return None
    return Fold(int(data.get("seed", 1)), int(data["folds"]), int(data["fold"]))


def by_fold(runs: Iterable[Member]) -> dict[Fold | None, list[Member]]:
    """Return runs by the fold that they hold out."""
    found: dict[Fold | None, list[Member]] = {}
    for run in runs:
        found.setdefault(fold_of(run), []).append(run)
    return found


def any_of(runs: Iterable[Member]) -> bool:
    """Return whether a run holds out a fold."""
    return any(fold_of(run) is not None for run in runs)


def require_same_data(
    column: Sequence[Member], metric: str, *, hint: str = collect.TABLE_OF_EACH
) -> None:
    """See `collect.require_same_data`: of one fold all runs must have the same.

    Raises:
        UserError: They have not, or hold out folds of different cross-validations.
    """
    apart = by_fold(run for run in column if run.result is not None)
    kinds = dict.fromkeys(None if fold is None else fold.folds for fold in apart)
    if len(kinds) > 1:
        names = ", ".join("no folds" if k is None else f"one of {k} folds" for k in kinds)
        raise UserError(f"{metric} was not measured on the same data: {names}", hint=hint)
    collect.require_all_cut_short(column, metric)
    for runs in apart.values():
        collect.require_same_data(runs, metric, hint=hint)


def difference(
    ours: Sequence[tuple[Fold | None, float]], theirs: Sequence[tuple[Fold | None, float]]
) -> Difference:
    """Test the mean difference over folds, each that of the means over its runs.

    Args:
        ours: The fold of each run, and its number.
        theirs: The same, of what they are compared with.

    Raises:
        Undecided: A fold is missing on one side, there are too few, or some runs hold out none.
    """
    # With numpy: a table without a test does not wait.
    from lushan.metrics.stats import resampled
    from lushan.study.undecided import Undecided

    sides: list[dict[Fold, list[float]]] = [{}, {}]
    for side, numbers in zip(sides, (ours, theirs), strict=True):
        for fold, number in numbers:
            if fold is None:
                raise Undecided("a test over folds, but some runs have no folds")
            side.setdefault(fold, []).append(number)
    every = {
        Fold(fold.seed, fold.folds, number)
        for fold in (*sides[0], *sides[1])
        for number in range(1, fold.folds + 1)
    }
    for fold in sorted(every):
        if not all(fold in side for side in sides):
            raise Undecided(f"fold {fold.number} of {fold.folds} is missing on one side")
    if len(every) < FEWEST:
        raise Undecided(f"a test over folds needs {FEWEST} folds, but there are {len(every)}")
    one, other = ([statistics.fmean(side[f]) for f in sorted(every)] for side in sides)
    # One fold is evaluated for each K - 1 that are learned from.
    ratio = statistics.fmean(1 / (fold.folds - 1) for fold in every)
    return resampled.corrected_resampled(one, other, ratio)


def notes(runs: Iterable[Member]) -> list[str]:
    """Return what the reader of means over folds must know."""
    if not any_of(runs):
        return []
    return [
        "Means are over folds, whose training sets overlap: the deviation is not that of "
        "independent runs, and the only valid test is the corrected resampled t-test."
    ]
