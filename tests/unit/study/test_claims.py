"""Claims: read with their mistakes, and evaluated by Welch's test."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from lushan.common.units import LOSS, SHARE
from lushan.errors import UserError
from lushan.metrics.stats.significance import stratified_welch, welch
from lushan.run.result import RunResult
from lushan.study import claims
from lushan.study.collect import Member
from lushan.study.plan import Plan
from lushan.study.study import Study, Table

AXES = {
    "head": {"linear": (), "crf": ()},
    "decay": {"none": (), "layerwise": (), "crf": ()},
}


def study(*texts):
    return Study(Path("s.yaml"), "", (), AXES, (), (1,), (), (), texts, {"claims.0": 7})


class Run:
    """As much of a run as a claim asks for."""

    def __init__(self, head, decay, value, metric="m/f1"):
        self.cell = {"head": head, "decay": decay}
        self.result = None
        if value is not None:
            measures = {metric: LOSS if metric.endswith(("loss", "error")) else SHARE}
            self.result = RunResult(Path(), "x", "0", 1, {metric: value}, metric, {}, measures)

    def member(self):
        return Member(Path("x"), "0", {}, self.cell, "", self.result)


def evaluated(text, *runs):
    of = study(text)
    (found,) = claims.answer(Plan(of, runs, ()), claims.read(of))
    return found


def several(head, decay, values, **more):
    return [Run(head, decay, value, **more) for value in values]


HIGH, LOW = [0.50, 0.52, 0.51, 0.53], [0.40, 0.43, 0.41]


def test_of_equal_cells_it_is_welch_s_test_of_less_variance():
    """Twice the same stratum: the same effect, half the variance, twice the degrees of freedom."""
    one, two = welch(HIGH, LOW), stratified_welch([(HIGH, LOW)] * 2)
    assert two.effect == pytest.approx(one.effect)
    variances = [np.var(side, ddof=1) / len(side) for side in (HIGH, LOW)]
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / 3 + variances[1] ** 2 / 2)
    reach = stats.t.ppf(0.975, 2 * freedom) * np.sqrt(sum(variances) / 2)
    assert two.high - two.effect == pytest.approx(reach)
    assert stratified_welch([(HIGH, LOW)]) == one


def test_over_cells_it_keeps_its_level():
    """Where only cells differ, p is uniform; a shift in each is seen, which pooling would hide."""
    random = np.random.default_rng(0)
    shift = [0.0, 5.0]
    ps = []
    for _ in range(400):
        pairs = [(random.normal(s, 1, 5).tolist(), random.normal(s, 1, 5).tolist()) for s in shift]
        ps.append(stratified_welch(pairs).p)
    assert 0.02 < np.mean(np.array(ps) < 0.05) < 0.08
    moved = [(random.normal(s + 3, 1, 5).tolist(), random.normal(s, 1, 5).tolist()) for s in shift]
    assert stratified_welch(moved).p < 0.01


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("head=crf beats linear on m/f1, p < 0.05", "holds"),
        ("linear beats head=crf on m/f1", "fails"),
        ("head=crf beats linear on m/f1, p < 1e-9", "undecided"),
        ("head=crf beats linear on m/loss", "undecided"),
        ("head=crf: m/f1 == 0.5 ± 0.02", "holds"),
        ("head=crf, decay=none: m/f1 == 0.5 ± 0.02", "holds"),
        ("head=crf: m/f1 == 0.5 +- 0.01", "fails"),
        ("head=crf: m/f1 > 0.5", "holds"),
        ("head=crf,decay=none: m/f1 <= 0.5", "fails"),
        ("head=crf: m/f1 == 50 % ± 2 %", "holds"),
        ("head=crf: m/f1 == 50% +- 1%", "fails"),
        ("head=crf: m/f1 > 50 %", "holds"),
        ("head=crf: m/f1 == 0.5 ± 2 %", "holds"),
        ("decay=layerwise: m/f1 > 0.5", "undecided"),
    ],
)
def test_verdicts(text, verdict):
    runs = several("crf", "none", HIGH) + several("linear", "none", LOW)
    assert evaluated(text, *runs).verdict == verdict


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("head=crf: m/f1 > 50", "Write 50 %, or 0.5."),
        ("head=crf: m/f1 == 50 % ± 2", "Write 2 %, or 0.02."),
        ("head=crf: m/loss < 50 %", "Write 50."),
    ],
)
def test_a_number_on_the_wrong_scale_is_refused(text, hint):
    of = study(text)
    (claim,) = claims.read(of)
    with pytest.raises(UserError) as caught:
        claims.scaled(of, claim, LOSS if "loss" in text else SHARE, "claims.0")
    assert caught.value.hint == hint


def test_its_numbers_are_written_as_tables_write_them():
    runs = several("crf", "none", HIGH) + several("linear", "none", LOW)
    assert evaluated("head=crf: m/f1 > 0.4", *runs).why == "mean 51.50 % over 4 runs"
    why = evaluated("head=crf beats linear on m/f1", *runs).why
    assert why.startswith("difference +10.17 points, 95 % interval +7.")
    runs = several("crf", "none", HIGH, metric="m/loss")
    assert evaluated("head=crf: m/loss > 0.4", *runs).why == "mean 0.5150 over 4 runs"


def test_less_is_better_of_a_loss():
    runs = several("crf", "none", HIGH, metric="val/loss")
    runs += several("linear", "none", LOW, metric="val/loss")
    assert evaluated("linear beats head=crf on val/loss", *runs).verdict == "holds"
    assert evaluated("head=crf beats linear on val/loss", *runs).verdict == "fails"


def test_a_missing_run_decides_nothing():
    runs = several("crf", "none", HIGH) + several("linear", "none", [*LOW, None])
    found = evaluated("head=crf beats linear on m/f1", *runs)
    assert (found.verdict, found.why) == ("undecided", "1 of 8 runs is not complete")


def test_two_seeds_are_too_few():
    runs = several("crf", "none", [0.9, 0.9]) + several("linear", "none", [0.1, 0.1])
    found = evaluated("head=crf beats linear on m/f1", *runs)
    assert found.verdict == "undecided"
    assert "fewer than 3 seeds" in found.why


def test_what_too_few_seeds_cannot_decide_is_reported_beforehand():
    """As the tables and claims themselves say afterwards, in `contrast` and `answer`."""
    tables = (
        Table(("head",), over=("decay",), baseline={"head": "linear"}, test="hierarchical"),
        Table(("head", "decay"), baseline={"head": "linear", "decay": "none"}, test="welch"),
        Table(("head",), over=("decay",), baseline={"head": "linear"}, test="bootstrap"),
    )
    of = study("head=crf beats linear on m/f1", "linear: m/f1 > 0.5")
    few, more, many = (
        dataclasses.replace(of, seeds=tuple(range(n)), tables=tables) for n in (1, 2, 5)
    )
    read = claims.read(of)
    assert claims.beyond_reach(few, read) == [
        "tables.0: hierarchical needs 5 runs a side, but has 3: it will be undecided",
        "tables.1: welch needs 3 runs a side, but has 1: it will be undecided",
        "claims.0: fewer than 3 seeds cannot be tested: it will be undecided",
    ]
    assert [line.partition(":")[0] for line in claims.beyond_reach(more, read)] == [
        "tables.1",
        "claims.0",
    ]
    assert claims.beyond_reach(many, read) == []


def test_only_cells_of_both_sides_are_compared():
    runs = several("crf", "none", HIGH) + several("linear", "none", LOW)
    runs += several("linear", "layerwise", [0.9, 0.91, 0.92])
    found = evaluated("head=crf beats linear on m/f1", *runs)
    assert found.verdict == "holds"
    assert "over the 1 cells that both sides have" in found.why


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("crf is nice", "not a claim"),
        ("crf beats linear on m/f1", "more than one axis"),
        ("head=crf beats linaer on m/f1", "no axis has this level"),
        ("head=crv beats linear on m/f1", "unknown level"),
        ("head=crf beats layerwise on m/f1", "different axes"),
        ("head=crf beats linear on m/f1, p < 5", "between 0 and 1"),
        ("head=crf beats linear on m/f1, perhaps", "not a number"),
        ("linear: m/f1 == 0.5", "never equals a number exactly"),
    ],
)
def test_mistakes(text, printed):
    with pytest.raises(UserError, match=printed) as refused:
        claims.read(study(text))
    assert refused.value.line == 7
