"""Cross-validation: means over folds, and the test that knows that they share training data."""

import csv
import io
import math

import numpy as np
import pytest
from scipy import stats
from tests.helpers.runs import finished

from lushan.errors import UserError
from lushan.metrics.stats.resampled import corrected_resampled
from lushan.study import claims, folds, study
from lushan.study.collect import member_of
from lushan.study.plan import Plan
from lushan.study.table import table
from lushan.study.undecided import Undecided

METRIC = "test/accuracy"
SCORES = {"crf": [0.70, 0.80, 0.75, 0.90, 0.60], "mlp": [0.64, 0.75, 0.73, 0.81, 0.57]}
OVER = ["seed", "data.fold"]


@pytest.fixture
def write(tmp_path):
    def write(model, fold, *, folds=5, data=None):
        value = SCORES[model][fold - 1]
        config = {"seed": 1, "model": {"kind": model}, "task": {}}
        config |= {"data": {"folds": folds, "fold": fold}}
        name = data or f"fold {fold}"
        return finished(
            tmp_path / "outputs", config, {METRIC: value}, choices={"model": model}, data=name
        )

    return write


def compared(tmp_path, **options):
    options = {"over": OVER, "baseline": "mlp"} | options
    made = table([tmp_path / "outputs"], rows=["model"], metrics=[METRIC], format="csv", **options)
    return {line["model"]: line for line in csv.DictReader(io.StringIO(made.text))}["crf"]


def by_hand(a, b, ratio):
    """Nadeau and Bengio, 2003, equation 9."""
    apart = np.subtract(a, b)
    t = apart.mean() / math.sqrt((1 / len(apart) + ratio) * apart.var(ddof=1))
    return 2 * stats.t.sf(abs(t), len(apart) - 1)


def test_the_formula():
    one, other = SCORES["crf"], SCORES["mlp"]
    found = corrected_resampled(one, other, 1 / 4)
    assert found.p == pytest.approx(by_hand(one, other, 1 / 4))
    plain = stats.ttest_rel(one, other)  # which takes folds for independent
    assert corrected_resampled(one, other, 0.0).p == pytest.approx(plain.pvalue)
    assert found.p > plain.pvalue
    assert (found.low + found.high) / 2 == pytest.approx(found.effect)
    assert math.isnan(corrected_resampled([0.5, 0.6], [0.4, 0.5], 1.0).p)


def test_of_overlapping_training_sets_it_keeps_its_level():
    """Numbers of folds correlate by what they share; without the correction 0.05 would be 0.2."""
    random, ps = np.random.default_rng(0), []
    for _ in range(500):
        shared = random.normal(0, math.sqrt(1 / 4), 1)
        apart = shared + random.normal(0, 1, 5)  # correlation 1 / 5: the share that is tested
        ps.append([corrected_resampled(apart, np.zeros(5), r).p for r in (1 / 4, 0.0)])
    corrected, plain = (np.array(ps) < 0.05).mean(0)
    assert corrected < 0.08 < 0.12 < plain


def test_a_table_over_folds(write, tmp_path):
    for model in SCORES:
        for fold in range(1, 6):
            write(model, fold)
    found = compared(tmp_path)
    assert float(found["mean"]) == pytest.approx(np.mean(SCORES["crf"]))
    assert found["n"] == "5"
    assert found["test"] == "resampled"  # the usual one where there are folds
    assert float(found["p"]) == pytest.approx(by_hand(SCORES["crf"], SCORES["mlp"], 1 / 4))
    other = compared(tmp_path, test="welch")
    assert other["p"] == ""
    assert "they need the test resampled" in other["undecided"]


def test_seeds_of_a_fold_are_averaged_before_the_test():
    sides = [
        [
            (folds.Fold(1, 5, i + 1), value + more)
            for i, value in enumerate(SCORES[m])
            for more in by
        ]
        for m, by in (("crf", (-0.01, 0.01)), ("mlp", (0.0,)))
    ]
    assert folds.difference(*sides).p == pytest.approx(by_hand(SCORES["crf"], SCORES["mlp"], 1 / 4))
    with pytest.raises(Undecided, match="some runs have no folds"):
        folds.difference([*sides[0], (None, 0.5)], sides[1])


def test_a_missing_fold_leaves_it_undecided(write, tmp_path):
    for model in SCORES:
        for fold in range(1, 6 if model == "crf" else 5):
            write(model, fold)
    assert "fold 5 of 5 is missing on one side" in compared(tmp_path)["undecided"]


def test_folds_of_other_data_are_refused(write, tmp_path):
    for fold in range(1, 6):
        write("crf", fold)
        write("mlp", fold, data="other" if fold == 3 else None)
    with pytest.raises(UserError, match="not measured on the same data"):
        compared(tmp_path)


def test_other_folds_are_refused(write, tmp_path):
    write("crf", 1)
    write("mlp", 1, folds=4)
    with pytest.raises(UserError, match="one of 5 folds, one of 4 folds"):
        compared(tmp_path, over=[*OVER, "data.folds"])


class Run:
    """As much of a run as a claim asks for."""

    def __init__(self, path, model, fold):
        self.path, self.cell = path, {"model": model, "fold": str(fold)}

    def member(self):
        return member_of(self.path)


def test_a_study_with_folds(write, tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text(
        "axes: {model: {crf: [model=crf], mlp: [model=mlp]}}\nfolds: 5\n"
        f"tables: [{{rows: model, metrics: [{METRIC}], baseline: {{model: mlp}}}}]\n"
        f"claims: [crf beats mlp on {METRIC}]\n"
    )
    of = study.read(file)
    assert len(of.cells()) == 10
    assert of.overrides({"model": "crf", "fold": "2"}, 1) == [
        "model=crf",
        "data.folds=5",
        "data.fold=2",
        "seed=1",
    ]
    assert of.tables[0].over == ("fold",)
    assert not claims.beyond_reach(of, claims.read(of))
    runs = tuple(Run(write(model, fold), model, fold) for model in SCORES for fold in range(1, 6))
    (answer,) = claims.answer(Plan(of, runs, ()), claims.read(of))
    p = by_hand(SCORES["crf"], SCORES["mlp"], 1 / 4)
    assert answer.verdict == ("holds" if p < 0.05 else "undecided")
    assert f"p = {p:.2g} (corrected resampled t-test over folds)" in answer.why


@pytest.mark.parametrize(
    ("text", "words"),
    [("folds: 1", "2 or more"), ("folds: 3\naxes: {fold: {a: [b=c]}}", "folds creates an axis")],
)
def test_mistakes(text, words, tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text(text if "axes" in text else f"{text}\naxes: {{a: {{b: [c=d]}}}}\n")
    with pytest.raises(UserError, match=words):
        study.read(file)
