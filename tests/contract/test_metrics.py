"""What every metric owes: parts add up to the whole, and it says what is better."""

import copy

import numpy as np
import pytest
import torch
import torchmetrics
from scipy.sparse import csr_matrix

from lushan.config.allow_list import SCORE, locate
from lushan.metrics import added
from lushan.metrics.evaluation import measured
from lushan.metrics.families import labels, language, numbers, tags, texts
from lushan.metrics.statistics import Sparse, Statistics, packed, total, unpacked
from lushan.tasks.classification import Classification
from lushan.tasks.language import TEXTS

RNG = np.random.default_rng(3)
NAMES = ["a", "b", "c"]
COUNT = 30


def words(size):
    return " ".join(RNG.choice(["the", "cat", "sat", "on", "a", "mat", "月", "光"], size))


def tagged():
    return [str(tag) for tag in RNG.choice(["O", "B-PER", "I-PER", "B-LOC"], 6)]


def row():
    tokens = int(RNG.integers(3, 9))
    loss, size = float(RNG.random() * 9), int(RNG.integers(9, 30))
    return {"loss": loss, "tokens": tokens, "hits": tokens // 2, "bytes": size}


def many(make):
    return [make() for _ in range(COUNT)]


SETS = many(lambda: sorted(set(RNG.choice(NAMES, 2).tolist())))
GOLD = RNG.normal(100, 2, COUNT).tolist()
ROWS = many(row)
FAMILIES = {
    "one label": (
        labels.metrics(labels=NAMES),
        RNG.choice(NAMES, COUNT).tolist(),
        RNG.choice(NAMES, COUNT).tolist(),
    ),
    "labels": (labels.metrics(several=True, labels=NAMES), SETS[::-1], SETS),
    "numbers": (numbers.metrics(origin=100), (np.array(GOLD) + RNG.normal(size=COUNT)), GOLD),
    "tags": (tags.metrics(["PER", "LOC"]), many(tagged), many(tagged)),
    "texts": (texts.metrics(language="zh"), many(lambda: words(6)), many(lambda: [words(7)])),
    "language": (language.metrics(per_byte=True), ROWS, ROWS),
}
CASES = [(family, name) for family, (metrics, _, _) in FAMILIES.items() for name in metrics]


def case(family, name):
    metrics, predictions, targets = FAMILIES[family]
    return metrics[name], list(predictions), list(targets)


@pytest.mark.parametrize(("family", "name"), CASES)
def test_parts_that_are_merged_give_the_whole(family, name):
    metric, predictions, targets = case(family, name)
    whole, parts = copy.deepcopy(metric), [copy.deepcopy(metric) for _ in range(3)]
    whole.update(predictions, targets)
    for start, part in zip((0, 3, 17), parts, strict=True):
        end = {0: 3, 3: 17, 17: COUNT}[start]
        part.update(predictions[start:end], targets[start:end])
    parts[0].merge_state(parts[1])
    parts[0].merge_state(parts[2])
    reported = measured({name: metric}, predictions, targets, full=False).metrics[name]
    assert float(parts[0].compute()) == pytest.approx(float(whole.compute()))
    assert float(whole.compute()) == pytest.approx(reported)


@pytest.mark.parametrize(("family", "name"), CASES)
def test_the_score_of_summed_examples_is_the_metric(family, name):
    metric, predictions, targets = case(family, name)
    shown = metric.measure(name)
    assert isinstance(shown.higher_is_better, bool)
    if shown.score is None:
        assert metric.formula is None
        with pytest.raises(NotImplementedError):
            metric.example_statistics(predictions[0], targets[0])
        return
    one_by_one = [
        metric.example_statistics(p, t) for p, t in zip(predictions, targets, strict=True)
    ]
    assert {one.shape for one in one_by_one} == {(metric.width,)}
    together = metric.statistics(predictions, targets)
    summed = np.sum(one_by_one, axis=0)
    assert total(together) == pytest.approx(summed)
    whole = copy.deepcopy(metric)
    whole.update(predictions, targets)
    score = locate(shown.score, SCORE)
    assert float(score(summed, **shown.options)) == pytest.approx(float(whole.compute()))
    # Vectorised: whatever dimensions stand before.
    several = np.stack([[summed, one_by_one[0]], [one_by_one[1], summed]])
    found = score(several, **shown.options)
    assert found.shape == (2, 2)
    assert found[0, 0] == pytest.approx(found[1, 1])
    if metric.classes:
        width = len(metric.classes)
        assert metric.width % width == 0


def test_statistics_are_read_as_they_were_written():
    metric, predictions, targets = case("one label", "mcc")
    rows = metric.statistics(predictions, targets)
    odd = ["a\0b", "月", ""]
    kept = {"x": Statistics(rows, odd, [3, 5]), "y": Statistics(rows.toarray(), (), None)}
    again = unpacked(packed(kept))
    assert (again["x"].classes, again["x"].examples) == (odd, [3, 5])
    assert again["y"].examples is None
    assert (again["x"].rows.toarray() == rows.toarray()).all()
    assert packed(kept) == packed(kept)
    for damaged in (b"", b"PK", packed(kept)[:-40], packed(kept)[40:]):
        with pytest.raises(ValueError, match=r"\w"):
            unpacked(damaged)


def test_stored_statistics_are_as_scipys():
    rows = np.random.default_rng(1).poisson(0.3, (7, 6)).astype(float)
    (stored,) = unpacked(packed({"x": Statistics(rows, ["a", "b", "c"])})).values()
    theirs = csr_matrix(rows)
    assert (stored.rows.toarray() == rows).all()
    for places in ([6, 0, 0, 3], [], range(7)):
        assert (stored.rows.take(places).toarray() == theirs[list(places)].toarray()).all()
    merged = stored.rows.summed(2, stored.rows.indices // 3)
    assert (merged == rows.reshape(7, 2, 3).sum(-1)).all()


@pytest.mark.parametrize(
    "parts",
    [
        {"indices": np.array([0, 2])},
        {"indices": np.array([-1, 0])},
        {"indices": np.array([0])},
        {"indptr": np.array([0, 2])},
        {"indptr": np.array([0, 2, 1, 2])},
        {"indptr": np.array([1, 1, 1, 2])},
        {"indptr": np.array([0, 0, 1, 3])},
    ],
)
def test_rows_that_cannot_be_are_refused(parts):
    right = {"data": np.ones(2), "indices": np.array([0, 1]), "indptr": np.array([0, 1, 1, 2])}
    assert Sparse(**right, shape=(3, 2)).toarray().tolist() == [[1, 0], [0, 0], [0, 1]]
    with pytest.raises(ValueError, match=r"its (rows|columns)"):
        Sparse(**{**right, **parts}, shape=(3, 2))


def forms(kind):
    return Classification.samples({"kind": kind}, 3)


THEIRS = {
    "torchmetrics.classification.MulticlassCalibrationError": forms("single"),
    "torchmetrics.classification.MulticlassMatthewsCorrCoef": forms("single"),
    "torchmetrics.classification.MulticlassAUROC": forms("single"),
    "torchmetrics.classification.MultilabelRankingLoss": forms("multilabel"),
    "torchmetrics.regression.ConcordanceCorrCoef": forms("regression"),
    "torchmetrics.regression.MeanAbsolutePercentageError": forms("regression"),
    "torchmetrics.text.WordErrorRate": TEXTS,
    "torchmetrics.text.CHRFScore": TEXTS,
    "torchmetrics.text.TranslationEditRate": TEXTS,
}


def grown(pair):
    """More predictions of a form, and a target that is not all right."""
    predictions, targets = pair
    if isinstance(predictions, torch.Tensor):
        return torch.cat([predictions] * 5), torch.cat([targets, targets.roll(1, 0)] * 3)[:20]
    return predictions * 6, targets * 6


@pytest.mark.parametrize("name", THEIRS)
def test_a_class_of_torchmetrics_adds_up_too(name):
    from lushan.config.build import build

    samples = THEIRS[name]
    metric = added.make("mine", lambda **late: build({"_target_": name}, **late), 3)
    assert isinstance(metric, torchmetrics.Metric)
    assert not metric.sync_on_compute
    predictions, targets = grown(samples[added.form_of("mine", metric, samples)])
    whole = added.value(metric, (predictions, targets))
    one = copy.deepcopy(metric)
    one.reset()
    # Some cannot merge states; every rank has all predictions, so that none need to.
    other = copy.deepcopy(one) if metric.full_state_update is False else one
    one.update(predictions[:2], targets[:2])
    one.update(predictions[2:5], targets[2:5])
    other.update(predictions[5:], targets[5:])
    if other is not one:
        one.merge_state(other)
    assert float(one.compute()) == pytest.approx(whole)
    shown = added.measure("mine", metric)
    assert isinstance(shown.higher_is_better, bool)
    assert shown.score is None
