"""What a report says of probabilities: by the field of the predictions, fitted on validation."""

import json

import numpy as np
import pytest
from sklearn import metrics
from tests.helpers.declared import schema_of
from tests.helpers.runs import finished

from lushan.data.fields import Labels, Value
from lushan.data.record_schema import Entry, RecordSchema
from lushan.metrics.calibration import Aim, of_one
from lushan.report import probabilities, site
from lushan.report.groups import of_folders

LABELS = ["a", "b", "c"]


def records(seed, count=80):
    random = np.random.default_rng(seed)
    found = []
    for i in range(count):
        p = random.dirichlet([1, 1, 1])
        gold = LABELS[random.choice(3, p=p)]
        known = dict(zip(LABELS, p.tolist(), strict=True))
        predicted = LABELS[int(p.argmax())]
        found.append({"id": str(i), "gold": gold, "predicted": predicted, "probabilities": known})
    return found


def read(rows, schema=None):
    return probabilities.probabilities(rows, schema or schema_of(rows))


def test_numbers_are_those_of_scikit_learn():
    splits = {"validation": read(records(1)), "test": read(records(2))}
    found = probabilities.of_splits(splits, [Aim("f1"), Aim("precision", 0.999)])
    one, test = splits["test"], found["test"]
    assert test["plain"]["ece"] == of_one(one.p, one.gold).ece
    assert test["scaled"]["fitted_on"] == 80
    assert found["validation"]["scaled"] is None  # it would be fitted on what it is shown of
    for row in test["classes"]:
        p, there = one.of(row["label"])
        assert row["average_precision"] == pytest.approx(metrics.average_precision_score(there, p))
        assert row["area"] == pytest.approx(metrics.roc_auc_score(there, p))
        best, out_of_reach = row["thresholds"]
        known = splits["validation"].of(row["label"])
        f1 = [metrics.f1_score(known[1], known[0] >= t) for t in known[0]]
        assert best["validation"][2] == pytest.approx(max(f1))
        assert best["here"][2] == pytest.approx(metrics.f1_score(there, p >= best["threshold"]))
        assert out_of_reach["aim"] == "precision ≥ 99.9 %"


def test_without_validation_nothing_is_fitted():
    found = probabilities.of_splits({"test": read(records(2))})["test"]
    assert found["scaled"] is None
    assert not any(row["thresholds"] for row in found["classes"])


def test_of_two_classes_the_second_has_curves():
    rows = [
        {"id": "1", "gold": g, "predicted": "x", "probabilities": {"x": 0.6, "y": 0.4}}
        for g in "xy"
    ]
    assert [
        row["label"] for row in probabilities.of_splits({"test": read(rows)})["test"]["classes"]
    ] == ["y"]


def test_any_number_of_classes():
    label = Labels(probabilities="probabilities")
    schema = RecordSchema(
        {
            "gold": Entry(label, "gold"),
            "predicted": Entry(label, "predicted"),
            "probabilities": Entry(Value(), "detail"),
        }
    )
    rows = [
        {
            "id": str(i),
            "gold": ["a"][: i % 2],
            "predicted": [],
            "probabilities": {"a": 0.2, "b": 0.1},
        }
        for i in range(4)
    ]
    found = read(rows, schema)
    assert found.several
    plain = probabilities.of_splits({"test": found})["test"]["plain"]
    assert plain["brier"] == pytest.approx(np.mean([0.2**2, 0.8**2, 0.1**2, 0.1**2]))


def test_an_unseen_label_has_probability_0():
    rows = records(1, 4)
    rows[0]["gold"] = "unseen"
    found = read(rows)
    assert list(found.labels) == [*LABELS, "unseen"]
    assert found.p[:, 3].tolist() == [0.0] * 4


def test_of_the_most_probable_classes_alone_there_is_nothing():
    rows = records(1, 4)
    del rows[1]["probabilities"]["a"]
    with pytest.raises(probabilities.NotAll):
        read(rows)
    without = [{k: v for k, v in row.items() if k != "probabilities"} for row in rows]
    assert read(without) is None


def test_a_report_has_a_file_for_them(tmp_path):
    finished(tmp_path / "runs", {"task": {}}, {"test/accuracy": 0.5}, records(2))
    site.write(of_folders([tmp_path / "runs"]), tmp_path / "site")
    text = (tmp_path / "site/data/run-0-p.js").read_text()
    content = json.loads(text[text.index("{") : text.rindex("}") + 1])
    assert content["splits"]["test"]["plain"]["bins"][14]["high"] == 1
    site.write(of_folders([tmp_path / "runs"]), tmp_path / "site")  # takes its own place
