"""Of very many classes the most probable ones are kept: the same numbers, in less memory."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from tests.helpers import declared, measuring
from tests.helpers.runs import labelled

from lushan.metrics.evaluation import Measured
from lushan.report import class_scores
from lushan.study import example_statistics
from lushan.study.undecided import Undecided
from lushan.tasks import probable
from lushan.tasks.classification import Classification

pytestmark = pytest.mark.fault(69)

CLASSES, TEXTS = 40, 60
LABELS = [f"c{i:02}" for i in range(CLASSES)]


def evaluated(kind, scores, gold, examples=None):
    """Records and evaluation of some scores, (windows, C)."""
    task = Classification(head=None, kind=kind)
    task.restore({"labels": LABELS})
    table = pa.table(
        {"id": [f"t{i}" for i in range(len(gold))], "text": ["x"] * len(gold), "label": gold}
    )
    owners = torch.arange(len(scores)) if examples is None else torch.tensor(examples)
    _, records = task.predict(lambda _: scores, {"example": owners})
    return records, task.evaluate(table, records, full=True)


@pytest.fixture
def wide(monkeypatch):
    """Classes are very many from three on."""

    def become():
        monkeypatch.setattr(probable, "WIDE", 3)
        monkeypatch.setattr(probable, "KEPT", {"single": 5, "multilabel": 9})

    return become


def test_one_label(wide):
    scores = torch.randn(TEXTS, CLASSES, generator=torch.Generator().manual_seed(1))
    gold = [LABELS[i % CLASSES] for i in range(TEXTS)]
    _, exact = evaluated("single", scores, gold)
    wide()
    records, kept = evaluated("single", scores, gold)
    assert all(len(record["scores"]) == 5 for record in records)
    assert (kept.metrics, kept.intervals, kept.report) == (
        exact.metrics,
        exact.intervals,
        exact.report,
    )
    for one, other in zip(kept.records, exact.records, strict=True):
        assert one.pop("of_classes") == CLASSES
        best = sorted(other["probabilities"].items(), key=lambda x: -x[1])[:5]
        assert list(one.pop("probabilities").items()) == best
        other.pop("probabilities")
        assert one == other
    assert kept.notes == [
        "of 40 classes, only the probabilities of the 5 most probable are stored for each text",
        *exact.notes,
    ]
    json.dumps(kept.records)


def test_several_labels(wide):
    scores = torch.randn(TEXTS, CLASSES, generator=torch.Generator().manual_seed(1)) - 2
    gold = [[LABELS[i % CLASSES], LABELS[(i * 7 + 1) % CLASSES]] for i in range(TEXTS)]
    _, exact = evaluated("multilabel", scores, gold)
    assert max(len(row["predicted"]) for row in exact.records) < 9
    wide()
    _, kept = evaluated("multilabel", scores, gold)
    assert kept.metrics == exact.metrics
    assert [set(r["predicted"]) for r in kept.records] == [
        set(r["predicted"]) for r in exact.records
    ]
    assert [r["score"] for r in kept.records] == [r["score"] for r in exact.records]
    assert len(kept.notes) == 1
    # What is stored gives what was reported, though it holds a part of the probabilities.
    stored = Measured(metrics=kept.metrics, measures=kept.measures, statistics=kept.statistics)
    run = measuring.run_of(stored, kept.records)
    for metric in ("accuracy", "exact_match", "f1_macro", "f1_micro"):
        found = measuring.together(metric, run).scores()
        assert found == pytest.approx(kept.metrics[metric])
    _, full = evaluated("multilabel", scores + 4, gold)
    assert f"{TEXTS} of {TEXTS} texts have 9 labels at or above task.threshold" in full.notes[1]


def test_windows_of_a_text(wide):
    scores = torch.tensor([[9.0, 1, 0] + [0] * 37, [0, 8.0, 0] + [0] * 37, [0, 0, 5.0] + [0] * 37])
    _, exact = evaluated("single", scores, ["c00", "c02", "c01"][:2], [0, 0, 1])
    wide()
    _, kept = evaluated("single", scores, ["c00", "c02"], [0, 0, 1])
    assert kept.metrics == exact.metrics
    for one, other in zip(kept.records, exact.records, strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=0.01)


def test_a_text_without_a_window(wide):
    wide()
    _, kept = evaluated("multilabel", torch.zeros(1, CLASSES), [["c00"], []], [0])
    assert kept.records[1]["predicted"] == []


def test_labels_are_stored_by_their_numbers():
    task = Classification(head=None, kind="multilabel")
    task.restore({"labels": LABELS})
    stored = task.encoded_labels([["c03", "c01"], [], ["c39", "c39"]], 3)
    assert [len(row) for row in stored] == [3, 1, 2]
    rows = [{"input_ids": np.array([1]), "labels": np.array(row), "example": 0} for row in stored]
    for row in rows:
        row |= {"token_type_ids": np.array([0])}
    batch = task.collate(rows)
    want = [[float(x in labels) for x in LABELS] for labels in ({"c01", "c03"}, set(), {"c39"})]
    assert batch["labels"].tolist() == want
    assert task.lessons(batch) == ["c01, c03", "(none)", "c39"]


# Tests over examples


@pytest.mark.parametrize("several", [False, True])
def test_counts_of_too_many_classes(several, monkeypatch):
    monkeypatch.setattr(example_statistics, "MOST_COUNTS", 1000)
    rng = np.random.default_rng(0)
    gold, predicted = (rng.choice(LABELS, TEXTS).tolist() for _ in "ab")
    predicted = [g if i % 2 else p for i, (g, p) in enumerate(zip(gold, predicted, strict=True))]
    if several:
        gold, predicted = (
            [[x, LABELS[0]] if x != LABELS[0] else [x] for x in s] for s in (gold, predicted)
        )
    found = [measuring.of_labels(gold, side) for side in (predicted, gold)]
    records = [labelled(gold, predicted), labelled(gold, gold)]
    want = found[0].metrics
    runs = [measuring.run_of(one, rows) for one, rows in zip(found, records, strict=True)]
    for metric in ("f1_micro", "precision_micro", "recall_micro"):
        found = measuring.together(metric, *runs)
        assert found.counts.shape == (2, TEXTS, 3)
        assert found.scores() == pytest.approx([want[metric], 1.0])
    right = measuring.together("exact_match" if several else "accuracy", *runs)
    assert right.scores()[1] == 1
    for metric in ("f1_macro", "recall_weighted", *(() if several else ("mcc",))):
        with pytest.raises(Undecided, match=r"each of \d\d classes in each of 60 examples"):
            measuring.together(metric, *runs)
    monkeypatch.setattr(class_scores, "MOST_COUNTS", 1000)
    with pytest.raises(class_scores.TooMany, match=r"\d\d classes in 60 examples"):
        class_scores.class_counts(records[0], declared.schema_of(records[0]))


def test_one_prediction_for_all_is_said_where_the_labels_are_several():
    same = torch.zeros(3, CLASSES)
    same[:, 7] = 1
    _, found = evaluated("single", same, ["c01", "c07", "c02"])
    assert found.notes == [
        "all 3 examples have the same prediction, c07: the model does not distinguish them"
    ]


def test_labels_that_are_never_predicted_are_said_where_they_are_many_examples():
    scores = torch.zeros(40, CLASSES)
    scores[:20, 1], scores[20:, 2] = 1, 1
    gold = ["c01"] * 20 + ["c02"] * 17 + ["c03"] * 2 + ["c04"]
    _, found = evaluated("single", scores, gold)
    assert found.notes == [
        "2 of 4 labels are never predicted, though 8% of the examples have them: c03, c04. More "
        "epochs or a higher optimizer.lr may be needed"
    ]
    _, found = evaluated("single", scores, [*gold[:-3], "c02", "c02", "c04"])
    assert not found.notes


def test_one_label_for_all_is_said():
    same = torch.zeros(3, CLASSES)
    same[:, 7] = 1
    _, found = evaluated("single", same, ["c07"] * 3)
    assert found.notes == [
        "all 3 examples have the same label, c07: it is unknown whether the model can distinguish "
        "labels"
    ]
    _, found = evaluated("single", same[:1], ["c07"])
    assert found.notes == []
