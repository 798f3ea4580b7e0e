"""A difference between runs: effect, interval and p, or the reason why there is no test.

The tests are those of `lushan.metrics.stats.significance`. What they need is checked here:
examples that can be paired, enough runs, stored predictions that give the numbers reported.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence

from lushan.errors import UserError, in_a_line, one_of
from lushan.metrics.stats import significance
from lushan.metrics.stats.significance import Difference
from lushan.study import collect, comparable, folds, records
from lushan.study.collect import Member
from lushan.study.example_statistics import Counted, counted
from lushan.study.named_tests import FEWEST_EXAMPLES, FEWEST_RUNS, LEVEL, TESTS
from lushan.study.records import Read
from lushan.study.undecided import Undecided


@dataclasses.dataclass(frozen=True)
class Contrast:
    """The difference of some runs to others.

    Attributes:
        effect: Theirs taken from ours; None where a side has no number.
        low: Lower end of its 95 % interval; None where undecided.
        high: Upper end.
        p: Two-sided; None where undecided.
        why: Why it is undecided.
        corrected: p corrected for all comparisons that were made with it.
        compares: Whether the metric may be compared between these runs at all.
    """

    effect: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    why: str | None = None
    corrected: float | None = None
    compares: bool = True

    @property
    def is_marked(self) -> bool:
        """Return whether the difference is significant."""
        return self.corrected is not None and self.corrected < LEVEL


def require_test(test: str) -> None:
    """Refuse a test that there is not."""
    if test not in TESTS:
        hint = one_of(test, TESTS)
        raise UserError("unknown test", key="--test", value=test, hint=hint)


def reader() -> Read:
    """Return what reads stored predictions, and keeps the last ones: a baseline is read once."""
    return Read()


def contrast(
    ours: Sequence[Member], theirs: Sequence[Member], metric: str, test: str, read: Read
) -> Contrast:
    """Compare some runs with others by one metric.

    Args:
        ours: Runs that differ in nothing but a seed; those that are not complete are left out.
        theirs: The same, of what they are compared with.
        metric: With its split: `test/entity_f1`.
        test: One of `TESTS`.
        read: From `reader`.
    """
    sides = [_with_number(side, metric) for side in (ours, theirs)]
    numbers = [[_number(run, metric) for run in side] for side in sides]
    if not all(numbers):
        return Contrast(None, why=f"one side has no {metric}")
    if why := comparable.reason([*sides[0], *sides[1]], metric):
        return Contrast(None, why=why, compares=False)
    effect = statistics.fmean(numbers[0]) - statistics.fmean(numbers[1])
    try:
        _require_runs(sides, test)
        if test == folds.TEST:
            found = folds.difference(
                *([(folds.fold_of(run), _number(run, metric)) for run in side] for side in sides)
            )
        elif test == "welch":
            found = significance.welch(*numbers)
        else:
            found = _over_examples(*_counts(sides, metric, read), metric, test)
    except Undecided as reason:
        return Contrast(effect, why=str(reason))
    except UserError as error:
        where = ":".join(str(part) for part in (error.file, error.line) if part is not None)
        return Contrast(effect, why=f"{where}: {error.problem}" if where else error.problem)
    if math.isnan(found.p):
        return Contrast(effect, why="nothing varies, so chance cannot be estimated")
    return Contrast(effect, found.low, found.high, found.p)


def corrected(contrasts: Sequence[Contrast]) -> list[Contrast]:
    """Return contrasts with p corrected by Holm over all of them that are decided."""
    values = significance.holm([math.nan if c.p is None else c.p for c in contrasts])
    return [
        c if c.p is None else dataclasses.replace(c, corrected=value)
        for c, value in zip(contrasts, values, strict=True)
    ]


def _with_number(side: Sequence[Member], metric: str) -> list[Member]:
    """The runs that have the metric, by seed."""
    known = [run for run in side if run.number(metric) is not None]
    return sorted(known, key=lambda run: (_seed(run), run.run_id))


def _seed(run: Member) -> int:
    return run.result.seed if run.result else 0


def _number(run: Member, metric: str) -> float:
    number = run.number(metric)
    assert number is not None
    return number


def _require_runs(sides: Sequence[Sequence[Member]], test: str) -> None:
    if test != folds.TEST and folds.any_of(run for side in sides for run in side):
        raise Undecided(f"folds share training data, so they need the test {folds.TEST}")
    few, counts = FEWEST_RUNS.get(test, 1), [len(side) for side in sides]
    there = f"there are {counts[0]} and {counts[1]}"
    if min(counts) < few:
        raise Undecided(f"{TESTS[test]} needs {few} runs a side, but {there}")
    if test == "mcnemar" and max(counts) > 1:
        raise Undecided(f"McNemar's test compares one run with one, but {there}")
    if test == "randomisation" and counts[0] != counts[1]:
        raise Undecided(f"randomisation needs as many runs on both sides, but {there}")


def _counts(sides: Sequence[Sequence[Member]], metric: str, read: Read) -> tuple[Counted, Counted]:
    """Return the counts of the runs' stored predictions; they must give the reported numbers."""
    runs = [run for side in sides for run in side]
    found = count_together(runs, metric, read)
    ours = len(sides[0])
    one, other = (
        dataclasses.replace(found, counts=found.counts[part])
        for part in (slice(ours), slice(ours, None))
    )
    return one, other


def count_together(runs: Sequence[Member], metric: str, read: Read) -> Counted:
    """Return the counts of some runs by which they can be compared.

    Raises:
        Undecided: They were evaluated on different examples, the metric does not follow from what
            they have stored, or what is stored gives another number than was reported.
        UserError: There is nothing stored, or it is damaged.
    """
    _, places = records.of_members(runs, metric, read)
    if why := comparable.stated_apart(runs, metric):
        raise Undecided(f"{metric.partition('/')[2]} is not comparable here: {why}")
    try:
        found = counted(metric, runs, places, read)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise UserError(
            f"the stored predictions cannot be scored: {in_a_line(error)}",
            file=runs[0].folder,
            hint="These predictions, or those of the other run, were changed after the run.",
        ) from error
    for run, value in zip(runs, found.scores().tolist(), strict=True):
        reported = _number(run, metric)
        if not math.isclose(value, reported, rel_tol=1e-6, abs_tol=1e-9):
            raise Undecided(
                f"the stored predictions of {collect.shown(run.folder)} give {value:.6g}, but "
                f"its result has {reported:.6g}"
            )
    return found


def _over_examples(ours: Counted, theirs: Counted, metric: str, test: str) -> Difference:
    if test == "mcnemar":
        right = ours.right(), theirs.right()
        if right[0] is None or right[1] is None:
            raise Undecided(
                f"McNemar's test needs right and wrong examples, so it cannot test {metric}"
            )
        return significance.mcnemar(right[0][0], right[1][0])
    examples = ours.counts.shape[1]
    if examples < FEWEST_EXAMPLES:
        raise Undecided(f"{examples} examples are too few; the minimum is {FEWEST_EXAMPLES}")
    of = {
        "bootstrap": significance.paired_bootstrap,
        "randomisation": significance.randomisation,
        "hierarchical": significance.hierarchical,
    }[test]
    return of(ours.counts, theirs.counts, ours.score)
