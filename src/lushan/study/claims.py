"""Claims of a study, and whether its runs bear them out.

    crf beats linear on test/entity_f1, p < 0.05
    head=crf,decay=layerwise: test/entity_f1 == 41 % ± 2 %
    head=crf: test/entity_f1 > 40 %

A side names levels, `axis=level` or the level alone where only one axis has it. Axes that it does
not name are averaged over, cell by cell; a comparison is made over the cells that both sides have.
A share is written in percent, or as it stands in `result.json`: 0.41.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import re
import statistics
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from lushan.common.units import PERCENT, Measure, difference, is_better, signed, text
from lushan.errors import did_you_mean, one_of
from lushan.study import collect, folds
from lushan.study.named_tests import FEWEST_RUNS
from lushan.study.plan import Plan, Run
from lushan.study.study import Levels, Study
from lushan.study.undecided import Undecided

if TYPE_CHECKING:
    from lushan.metrics.stats.significance import Difference

HOLDS, FAILS, UNDECIDED = "holds", "fails", "undecided"

FEWEST = FEWEST_RUNS["welch"]
"""Runs of a cell below which there is no test."""

_BEATS = re.compile(r"(?P<one>.+?) beats (?P<other>.+) on (?P<metric>[^\s,]+)(?P<p>.*)")
_P = re.compile(r",\s*p\s*<\s*(?P<alpha>[\d.eE+-]+)")
_VALUE = re.compile(
    r"(?P<side>[^:]+):\s*(?P<metric>\S+)\s*(?P<sign>==|<=|>=|<|>)\s*(?P<value>[\d.eE+-]+\s*%?)"
    r"(?:\s*(?:±|\+-|\+/-)\s*(?P<within>[\d.eE+-]+\s*%?))?"
)
_SIGNS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim, read.

    Attributes:
        text: As it was written.
        metric: With its split.
        one: Levels of the side that is spoken of.
        other: Levels of the side that it is compared with; None where it is compared with a number.
        alpha: Level of significance, of a comparison.
        sign: `==`, `<`, ..., of a number.
        value: The number.
        within: How far off the mean may be, of `==`.
        percent: Whether the number, and how far off, are written in percent.
    """

    text: str
    metric: str
    one: Levels
    other: Levels | None = None
    alpha: float = 0.05
    sign: str = "=="
    value: float = 0.0
    within: float = 0.0
    percent: tuple[bool, bool] = (False, False)


@dataclasses.dataclass(frozen=True)
class Answer:
    """Verdict on a claim."""

    claim: Claim
    verdict: str
    why: str


def read(study: Study) -> list[Claim]:
    """The claims of a study.

    Raises:
        UserError: One cannot be read, or names levels that there are not.
    """
    return [_read(study, text, f"claims.{i}") for i, text in enumerate(study.claims)]


def _read(study: Study, text: str, key: str) -> Claim:
    words = text.strip()
    if found := _BEATS.fullmatch(words):
        alpha = 0.05
        if found["p"]:
            given = _P.fullmatch(found["p"].strip())
            alpha = _number(study, given["alpha"] if given else found["p"], key)
            if not 0 < alpha < 1:
                raise study.mistake(
                    "a significance level must be between 0 and 1", key, value=alpha
                )
        one, other = (_levels(study, found[side], key) for side in ("one", "other"))
        if set(one) != set(other):
            raise study.mistake(
                "the two sides name different axes", key, value=text, hint="crf beats linear on ..."
            )
        return Claim(text, found["metric"], one, other, alpha)
    if found := _VALUE.fullmatch(words):
        if (found["sign"] == "==") != (found["within"] is not None):
            raise study.mistake(
                "a mean never equals a number exactly; write a tolerance",
                key,
                value=text,
                hint="METRIC == VALUE ± WITHIN",
            )
        value, percent = _written(study, found["value"], key)
        within, percent_within = _written(study, found["within"] or "0", key)
        if within < 0:
            raise study.mistake("the tolerance must be 0 or more", key, value=within)
        return Claim(
            text,
            found["metric"],
            _levels(study, found["side"], key),
            sign=found["sign"],
            value=value,
            within=within,
            percent=(percent, percent_within),
        )
    raise study.mistake(
        "not a claim",
        key,
        value=text,
        hint="A beats B on METRIC, p < 0.05; or AXIS=LEVEL: METRIC == VALUE ± WITHIN",
    )


def _number(study: Study, text: str, key: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise study.mistake("not a number", key, value=text) from error


def _written(study: Study, text: str, key: str) -> tuple[float, bool]:
    """Return a number as it is written, and whether in percent."""
    bare = text.rstrip("% ")
    return _number(study, bare, key), bare != text.rstrip()


def scaled(study: Study, claim: Claim, measure: Measure, key: str) -> Claim:
    """Return a claim with its numbers as `result.json` has them.

    Raises:
        UserError: A number is in percent where the metric is not a share, or the other way round.
    """
    numbers = zip((claim.value, claim.within), claim.percent, strict=True)
    value, within = (_raw(study, claim.metric, measure, n, percent, key) for n, percent in numbers)
    return dataclasses.replace(claim, value=value, within=within, percent=(False, False))


def _raw(
    study: Study, metric: str, measure: Measure, value: float, percent: bool, key: str
) -> float:
    unit = measure.unit
    if percent:
        if unit != PERCENT:
            hint = f"Write {value:g}."
            raise study.mistake(f"{metric} is not a share", key, value=f"{value:g} %", hint=hint)
        return value / unit.scale
    if unit == PERCENT and abs(value) > 1:
        hint = f"Write {value:g} %, or {value / unit.scale:g}."
        raise study.mistake(
            f"{metric} is a share, so it must be at most 1", key, value=f"{value:g}", hint=hint
        )
    return value


def _levels(study: Study, text: str, key: str) -> Levels:
    found = {}
    for part in map(str.strip, text.split(",")):
        axis, equals, level = part.partition("=")
        if not equals:
            axes = [name for name, levels in study.axes.items() if part in levels]
            if len(axes) != 1:
                problem = (
                    "no axis has this level" if not axes else "more than one axis has this level"
                )
                every = [level for levels in study.axes.values() for level in levels]
                hint = None if axes else did_you_mean(part, every)
                raise study.mistake(problem, key, value=part, hint=hint or "Write AXIS=LEVEL.")
            axis, level = axes[0], part
        if axis not in study.axes:
            hint = one_of(axis, study.axes)
            raise study.mistake("unknown axis", key, value=part, hint=hint)
        levels = study.axes[axis]
        if level not in levels:
            hint = one_of(level, levels)
            raise study.mistake("unknown level", key, value=part, hint=hint)
        found[axis] = level
    return found


def answer(plan: Plan, claims: Iterable[Claim]) -> list[Answer]:
    """Decide claims by the runs that are complete."""
    members, answers = plan.members, []
    for number, claim in enumerate(claims):
        found, measure = claim, collect.measure(members, claim.metric)
        if any(member.number(claim.metric) is not None for member in members):
            found = scaled(plan.study, claim, measure, f"claims.{number}")
        decide = _measured if claim.other is None else _compared
        answers.append(dataclasses.replace(decide(plan, found, measure), claim=claim))
    return answers


def beyond_reach(study: Study, claims: Iterable[Claim]) -> list[str]:
    """Return a line for each test that too few seeds leave undecided, whatever the results."""
    lines = []
    for number, table in enumerate(study.tables):
        test = table.test or ""
        runs = len(study.seeds) * math.prod(len(study.axes[axis]) for axis in table.over)
        if test == folds.TEST:
            runs = len(study.axes.get(folds.AXIS, ()))
        if runs < (few := FEWEST_RUNS.get(test, 1)):
            lines.append(f"tables.{number}: {test} needs {few} runs a side, but has {runs}")
    if len(study.seeds) < FEWEST and len(study.axes.get(folds.AXIS, ())) < folds.FEWEST:
        lines += [
            f"claims.{number}: fewer than {FEWEST} seeds cannot be tested"
            for number, claim in enumerate(claims)
            if claim.other is not None
        ]
    return [f"{line}: it will be undecided" for line in lines]


def _measured(plan: Plan, claim: Claim, measure: Measure) -> Answer:
    cells = _cells(plan, claim.one)
    found = [_numbers(runs, claim.metric) for runs in cells.values()]
    lacking = _lacking(plan, claim, [claim.one])
    if lacking or not found:
        return Answer(claim, UNDECIDED, lacking or "no run matches")
    mean = statistics.fmean(statistics.fmean(numbers) for numbers in found)
    n = sum(map(len, found))
    if claim.sign == "==":
        holds = abs(mean - claim.value) <= claim.within
    else:
        holds = _SIGNS[claim.sign](mean, claim.value)
    return Answer(claim, HOLDS if holds else FAILS, f"mean {text(mean, measure)} over {n} runs")


def _compared(plan: Plan, claim: Claim, measure: Measure) -> Answer:
    assert claim.other is not None
    lacking = _lacking(plan, claim, [claim.one, claim.other])
    if lacking:
        return Answer(claim, UNDECIDED, lacking)
    ones, others = _cells(plan, claim.one), _cells(plan, claim.other)
    both = [key for key in ones if key in others]
    if not both:
        return Answer(claim, UNDECIDED, "the sides have no cell in common")
    pairs = [
        (_numbers(ones[key], claim.metric), _numbers(others[key], claim.metric)) for key in both
    ]
    effect = statistics.fmean(statistics.fmean(a) - statistics.fmean(b) for a, b in pairs)
    what = f"difference {difference(effect, measure)}"
    if len(both) < max(len(ones), len(others)):
        what += f" over the {len(both)} cells that both sides have"
    try:
        found, by = _tested(claim, [ones[key] for key in both], [others[key] for key in both])
    except Undecided as reason:
        return Answer(claim, UNDECIDED, f"{what}; {reason}")
    if math.isnan(found.p):
        return Answer(claim, UNDECIDED, f"{what}; nothing varies, so chance cannot be estimated")
    within = f"{signed(found.low, measure)} to {signed(found.high, measure)}"
    what += f", 95 % interval {within}, p = {found.p:.2g} ({by})"
    if found.p >= claim.alpha:
        return Answer(claim, UNDECIDED, what)
    better = is_better(effect, measure)
    if better is None:
        why = f"{what}; {claim.metric} does not say whether higher or lower is better"
        return Answer(claim, UNDECIDED, why)
    return Answer(claim, HOLDS if better else FAILS, what)


def _tested(
    claim: Claim, ones: Sequence[Sequence[Run]], others: Sequence[Sequence[Run]]
) -> tuple[Difference, str]:
    """Test a difference over the cells that both sides have; return by what, too.

    Raises:
        Undecided: There are too few runs.
    """
    members = [run.member() for side in (ones, others) for cell in side for run in cell]
    if folds.any_of(members):
        # Of one fold, the cells are averaged over.
        sides = (
            [
                (folds.fold_of(run.member()), number)
                for cell in side
                for run, number in zip(cell, _numbers(cell, claim.metric), strict=True)
            ]
            for side in (ones, others)
        )
        return folds.difference(*sides), "corrected resampled t-test over folds"
    pairs = [
        (_numbers(one, claim.metric), _numbers(other, claim.metric))
        for one, other in zip(ones, others, strict=True)
    ]
    if min(len(side) for pair in pairs for side in pair) < FEWEST:
        raise Undecided(f"fewer than {FEWEST} seeds: no test")
    from lushan.metrics.stats import significance  # imports NumPy

    return significance.stratified_welch(pairs), "Welch"


def _cells(plan: Plan, chosen: Levels) -> dict[tuple[str, ...], list[Run]]:
    """The runs with some levels, by the levels of the axes that were not named."""
    found: dict[tuple[str, ...], list[Run]] = {}
    for run in plan.runs:
        if all(run.cell[axis] == level for axis, level in chosen.items()):
            rest = tuple(level for axis, level in run.cell.items() if axis not in chosen)
            found.setdefault(rest, []).append(run)
    return found


def _numbers(runs: Sequence[Run], metric: str) -> list[float]:
    values = [run.member().number(metric) for run in runs]
    return [float(value) for value in values if value is not None]


def _lacking(plan: Plan, claim: Claim, sides: Sequence[Levels]) -> str:
    """Return why a claim cannot be decided: runs that are not complete, or lack the metric."""
    runs = [run for side in sides for cell in _cells(plan, side).values() for run in cell]
    results = [run.member().result for run in runs]
    missing = sum(result is None for result in results)
    if missing:
        return f"{missing} of {len(runs)} runs {'is' if missing == 1 else 'are'} not complete"
    without = sum(r is not None and r.metrics.get(claim.metric) is None for r in results)
    return f"{without} of {len(runs)} runs have no {claim.metric}" if without else ""


def as_markdown(answers: Sequence[Answer]) -> str:
    """A list of the claims, each with its verdict and its numbers."""
    return "\n".join(
        f"- {answer.claim.text}: **{answer.verdict}** ({answer.why})" for answer in answers
    )
