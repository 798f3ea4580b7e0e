"""Calibration, curves and thresholds, against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics

from lushan.metrics import calibration
from lushan.metrics.calibration import Aim


@pytest.fixture(scope="module")
def drawn():
    """Probabilities (N, C) of three classes, too sure of themselves by 2, and what is so."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 1.5, (600, 3))
    true = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    gold = np.array([random.choice(3, p=row) for row in true])
    return calibration.with_temperature(true, 0.5, several=False), gold


def test_curves_are_those_of_scikit_learn(drawn):
    p, gold = drawn
    score, there = np.round(p[:, 1], 2), gold == 1  # with ties
    found = calibration.curve(score, there)
    assert found.average_precision == pytest.approx(metrics.average_precision_score(there, score))
    assert found.area == pytest.approx(metrics.roc_auc_score(there, score))
    precision, recall, thresholds = metrics.precision_recall_curve(there, score)
    assert found.thresholds[::-1] == pytest.approx(thresholds)
    assert found.precision[::-1] == pytest.approx(precision[:-1])
    assert found.recall[::-1] == pytest.approx(recall[:-1])
    fpr, tpr, _ = metrics.roc_curve(there, score, drop_intermediate=False)
    assert found.false_positives == pytest.approx(fpr[1:])
    assert found.recall == pytest.approx(tpr[1:])


def test_calibration_is_that_of_scikit_learn(drawn):
    p, gold = drawn
    found = calibration.of_one(p, gold)
    assert found.brier == pytest.approx(metrics.brier_score_loss(gold, p, labels=[0, 1, 2]))
    assert found.nll == pytest.approx(metrics.log_loss(gold, p))
    two, second = p[:, :2] / p[:, :2].sum(1, keepdims=True), (gold == 1).astype(int)
    assert calibration.of_one(two, second).brier == pytest.approx(
        metrics.brier_score_loss(second, two[:, 1])
    )
    several = np.eye(3, dtype=bool)[gold]
    each = calibration.of_each(p, several)
    assert each.brier == pytest.approx(metrics.brier_score_loss(several.ravel(), p.ravel()))


def test_the_error_by_hand():
    stated = np.array([0.55, 0.6, 0.65, 0.9])
    bins = calibration.reliability(stated, np.array([True, False, True, True]), bins=5)
    assert [one.count for one in bins] == [0, 0, 2, 1, 1]  # 0.6 ends the bin before
    gaps = 2 * abs(0.5 - 0.575) + abs(1 - 0.65) + abs(1 - 0.9)
    assert calibration.expected_error(bins) == pytest.approx(gaps / 4)


def test_a_temperature_undoes_too_much_certainty(drawn):
    p, gold = drawn
    temperature = calibration.fitted_temperature(p[:300], gold[:300])
    assert temperature == pytest.approx(2, abs=0.4)
    before, after = (
        calibration.of_one(q, gold[300:])
        for q in (p[300:], calibration.with_temperature(p[300:], temperature, several=False))
    )
    assert after.ece < before.ece
    assert after.nll < before.nll
    assert calibration.with_temperature(p, 1.0, several=False) == pytest.approx(p)
    assert calibration.with_temperature(p, 1.0, several=True) == pytest.approx(p)


def test_thresholds(drawn):
    p, gold = drawn
    score, there = p[:, 2], gold == 2
    known = calibration.curve(score, there)
    for aim in (Aim("precision", 0.8), Aim("recall", 0.8), Aim("f1")):
        chosen = aim.threshold(known)
        precision, recall, f1 = calibration.at(score, there, chosen)
        assert (precision, recall, f1) == pytest.approx(
            metrics.precision_recall_fscore_support(
                there, score >= chosen, average="binary", zero_division=0
            )[:3]
        )
        others = [calibration.at(score, there, t) for t in known.thresholds]
        if aim.metric == "f1":
            assert f1 == pytest.approx(max(o[2] for o in others))
        else:
            place = calibration.AIMS.index(aim.metric)
            fitting = [o[1 - place] for o in others if o[place] >= aim.least]
            assert (precision, recall)[1 - place] == pytest.approx(max(fitting))
    assert Aim("precision", 0.9).threshold(calibration.curve(1 - score, there)) is None
    assert Aim("f1").threshold(calibration.curve(score, there & False)) is None
