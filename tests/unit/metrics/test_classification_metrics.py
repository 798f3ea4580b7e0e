"""Text classification: by hand, and against scikit-learn and scipy."""

from __future__ import annotations

import functools
import json
import math
import resource
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import MultiLabelBinarizer
from tests.helpers import forked, measuring

from lushan.metrics import classification
from lushan.metrics.evaluation import measured
from lushan.metrics.families import labels
from lushan.metrics.prf import AVERAGES
from lushan.metrics.stats import bootstrap

LABELS = ["褒", "贬", "中"]
single = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1)
sets = st.sets(st.sampled_from(LABELS)).map(sorted)
several = st.lists(st.tuples(sets, sets), min_size=1)
numbers = st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=2, max_size=20)


class ClassCounts:
    """The metrics of a split, and its classes one by one."""

    def __init__(self, found: Any, classes: Any = None) -> None:
        self.metrics, self.intervals = found.metrics, found.intervals
        self.confusion = classes and classes.confusion
        self.report = classes and classes.report.as_dict()


def score(kind: str, gold: Any, predicted: Any, labels: Any = ()) -> ClassCounts:
    if kind == "regression":
        return ClassCounts(measuring.of_numbers(list(gold), list(predicted)))
    several = kind == "multilabel"
    found = measuring.of_labels(gold, predicted, labels, several=several)
    return ClassCounts(found, classification.classes(gold, predicted, labels=labels))


def sides(rows: list[tuple[Any, Any]]) -> tuple[list[Any], list[Any]]:
    return [g for g, _ in rows], [p for _, p in rows]


def quiet(function: Any, *args: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **options)


def test_single_by_hand() -> None:
    gold, predicted = ["good", "good", "bad", "fair"], ["good", "bad", "bad", "bad"]
    found = score("single", gold, predicted, labels=["bad", "fair", "good", "unseen"])
    assert found.metrics["accuracy"] == 0.5
    assert found.metrics["f1_macro"] == pytest.approx((1 / 2 + 0 + 2 / 3) / 3)  # not "unseen"
    assert found.confusion is not None
    names, counts = found.confusion.names, found.confusion.table()
    assert names == ["bad", "fair", "good", "unseen"]
    assert counts.tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    report = found.report
    assert report["unseen"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    assert json.loads(json.dumps(report)) == report


def test_names_are_those_the_task_promises() -> None:
    averages = {f"{p}_{a}" for p in ("f1", "precision", "recall") for a in AVERAGES}
    assert score("single", ["a"], ["a"]).metrics.keys() == averages | {"accuracy", "mcc"}
    found = score("multilabel", [["a"]], [["a"]])
    assert found.metrics.keys() == averages | {"accuracy", "exact_match"}
    found = score("regression", [1.0], [1.0])
    assert found.metrics.keys() == {"pearson", "spearman", "mse", "mae"}
    assert found.report is None
    assert found.confusion is None


@pytest.mark.slow
@given(single)
def test_single_is_sklearns(rows: list[tuple[str, str]]) -> None:
    gold, predicted = sides(rows)
    found = score("single", gold, predicted, labels=LABELS)
    metrics = found.metrics
    assert metrics["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(gold, predicted))
    want = quiet(sklearn.metrics.matthews_corrcoef, gold, predicted)
    assert metrics["mcc"] == pytest.approx(want, abs=1e-12)
    for average in AVERAGES:
        check_averages(metrics, gold, predicted, average)
    assert found.confusion is not None
    want = quiet(sklearn.metrics.confusion_matrix, gold, predicted, labels=LABELS)
    np.testing.assert_array_equal(found.confusion.table(), want)


def check_averages(metrics: dict[str, float], gold: Any, predicted: Any, average: str) -> None:
    want = sklearn.metrics.precision_recall_fscore_support(
        gold, predicted, average=average, zero_division=0
    )
    for part, value in zip(("precision", "recall", "f1"), want, strict=False):
        assert metrics[f"{part}_{average}"] == pytest.approx(value), part


def test_multilabel_by_hand() -> None:
    gold, predicted = [["喜", "怒"], [], ["哀"]], [["喜"], [], ["哀", "乐"]]
    found = score("multilabel", gold, predicted, labels=["喜", "怒", "哀", "乐"])
    assert found.metrics["exact_match"] == pytest.approx(1 / 3)
    assert found.metrics["accuracy"] == pytest.approx(10 / 12)
    assert found.metrics["f1_micro"] == pytest.approx(2 / 3)
    assert found.metrics["f1_macro"] == pytest.approx(0.5)
    assert found.report["乐"]["support"] == 0
    assert found.confusion is None


@pytest.mark.slow
@given(several)
def test_multilabel_is_sklearns(rows: list[tuple[list[str], list[str]]]) -> None:
    gold, predicted = sides(rows)
    present = sorted({x for side in (gold, predicted) for row in side for x in row})
    metrics = score("multilabel", gold, predicted, labels=LABELS).metrics
    g, p = (MultiLabelBinarizer(classes=LABELS).fit_transform(side) for side in (gold, predicted))
    assert metrics["exact_match"] == pytest.approx(sklearn.metrics.accuracy_score(g, p))
    assert metrics["accuracy"] == pytest.approx(1 - sklearn.metrics.hamming_loss(g, p))
    if len(present) > 1:  # scikit-learn would also average over labels that do not occur
        g, p = (MultiLabelBinarizer(classes=present).fit_transform(s) for s in (gold, predicted))
        for average in AVERAGES:
            check_averages(metrics, g, p, average)


@pytest.mark.slow
@given(numbers)
def test_regression_is_scipys(rows: list[tuple[int, int]]) -> None:
    gold, predicted = sides(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics = score("regression", gold, predicted).metrics
    want = {
        "pearson": quiet(scipy.stats.pearsonr, gold, predicted).statistic,
        "spearman": quiet(scipy.stats.spearmanr, gold, predicted).statistic,
        "mse": sklearn.metrics.mean_squared_error(gold, predicted),
        "mae": sklearn.metrics.mean_absolute_error(gold, predicted),
    }
    assert metrics == pytest.approx(want, nan_ok=True)


def test_undefined_correlations() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for gold, predicted in (([0.1] * 7, range(7)), ([1.0], [2.0]), ([], [])):
            found = score("regression", gold, predicted)
            assert math.isnan(found.metrics["pearson"])
            assert math.isnan(found.metrics["spearman"])
            assert "pearson" not in found.intervals


@pytest.mark.parametrize("kind", ["single", "multilabel", "regression"])
def test_no_examples(kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = score(kind, [], [])
        intervals = found.intervals
    assert all(math.isnan(end) for pair in intervals.values() for end in pair)
    assert intervals.keys() <= found.metrics.keys()


@pytest.mark.parametrize("kind", ["single", "multilabel", "regression"])
def test_intervals_hold_their_number(kind: str) -> None:
    rng = np.random.default_rng(0)
    if kind == "regression":
        gold = rng.normal(size=200)
        predicted = gold + rng.normal(size=200)
    else:
        gold = rng.choice(LABELS, 200).tolist()
        predicted = [g if rng.random() < 0.7 else str(rng.choice(LABELS)) for g in gold]
        if kind == "multilabel":
            gold, predicted = [[x] for x in gold], [[x, "贬"] for x in predicted]
    found = score(kind, gold, predicted, labels=[] if kind == "regression" else LABELS)
    for name, (low, high) in found.intervals.items():
        assert low <= found.metrics[name] <= high
        assert (high > low) != (name == "exact_match" and high == 0)
    assert score(kind, gold, predicted).intervals == score(kind, gold, predicted).intervals


@pytest.mark.slow(1)
def test_spearman_interval_ranks_each_resample_anew() -> None:
    rng = np.random.default_rng(1)
    gold = rng.integers(0, 5, 40).astype(float)
    predicted = gold + rng.integers(-2, 3, 40)
    low, high = score("regression", gold, predicted).intervals["spearman"]
    draws = [rng.integers(40, size=40) for _ in range(2000)]
    values = [scipy.stats.spearmanr(gold[d], predicted[d]).statistic for d in draws]
    assert [low, high] == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.02)


def test_wrong_use() -> None:
    with pytest.raises(ValueError, match="2 gold values and 1"):
        classification.classes(["a", "b"], ["a"])


MANY = 40_000
"""Classes: a byte for each pair of them is 1.6 GB."""


def _score_many(several: bool, report: Any) -> None:
    """Score as many examples as classes; their F1 and by how many kB the process has grown."""
    bootstrap.interval = functools.partial(bootstrap.interval, resamples=50)  # type: ignore[assignment]
    labels.interval = bootstrap.interval  # type: ignore[attr-defined]
    before, rng = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, np.random.default_rng(0)
    names = [f"c{i:06d}" for i in range(MANY)]
    gold, predicted = (rng.permutation(MANY) for _ in range(2))
    predicted[::2] = gold[::2]
    sides = [
        [[names[i], names[i - 1]] if several else names[i] for i in side]
        for side in (gold, predicted)
    ]
    classification.classes(*sides, labels=names)
    own = labels.metrics(several=several, labels=names)
    found = measured(own, sides[1], sides[0], full=True)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    report.send((found.metrics["f1_micro"], grown))


@pytest.mark.slow
@pytest.mark.fault(69)
@pytest.mark.parametrize("several", [False, True])
def test_memory_does_not_grow_with_the_square_of_the_classes(several: bool) -> None:
    receiver, sender = forked.server.Pipe(duplex=False)
    process = forked.process(_score_many, (several, sender))
    process.join()
    assert process.exitcode == 0
    f1, grown = receiver.recv()
    assert 0.49 < f1 < 0.51
    assert grown < 800_000
