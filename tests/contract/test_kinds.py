"""Every kind of classification from a file to a number, in one short run each."""

import json

import pytest

from lushan.errors import UserError
from tests.conftest import trained
from tests.helpers import quick

WORDS = ["good", "bad", "fine", "poor"]
KINDS = {
    "single": (["bad", "good", "good", "bad"], "accuracy"),
    "multilabel": (["bad", "bad;good", "good", "bad;fine"], "f1_micro"),
    "regression": (["0.5", "1", "2.25", "-3"], "pearson"),
}


def table(folder, kind, *columns):
    labels, metric = KINDS[kind]
    header = "\t".join([*columns, "label"])
    rows = [
        "\t".join([*(f"it is {WORDS[i % 4]} on day {i}" for _ in columns), labels[i % 4]])
        for i in range(40)
    ]
    path = folder / "all.tsv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path, metric


@pytest.mark.parametrize(
    ("kind", "columns"),
    quick.only(
        [],  # as slow as it is thorough; each part has quick tests of its own
        [(k, c) for k in KINDS for c in (("text",), ("sentence1", "sentence2"))],
    ),
)
def test_from_a_table_to_a_number(kind, columns, tmp_path):
    path, metric = table(tmp_path, kind, *columns)
    more = ['data.label_separator=";"'] if kind == "multilabel" else []
    run = trained(
        tmp_path,
        "task=classification",
        f"task.kind={kind}",
        "data=table",
        f"data.train={path}",
        f"data.text=[{','.join(columns)}]" if len(columns) > 1 else f"data.text={columns[0]}",
        "data.label=label",
        "data.validation=0.2",
        "data.test=0.2",
        "optimizer.lr=2e-3",
        "trainer.max_epochs=15",
        *more,
        drawn=len(columns) == 1,
    )
    result = json.loads((run / "result.json").read_text())
    assert result["main_metric"] == f"test/{metric}"
    value = result["metrics"][f"test/{metric}"]
    assert value > 0.9
    low, high = result["ci"].get(f"test/{metric}", (1, 1))  # none is stated where all are right
    assert low <= value <= high
    lines = (run / "predictions" / "test.jsonl").read_text().splitlines()
    assert len(lines) == 8
    assert {"id", "gold", "predicted"} <= set(json.loads(lines[0]))


def test_what_has_no_meaning_for_numbers_is_refused(tmp_path):
    path, _ = table(tmp_path, "regression", "text")
    with pytest.raises(UserError, match=r"task\.label_smoothing") as refused:
        trained(
            tmp_path,
            "task=classification",
            "task.kind=regression",
            "task.label_smoothing=0.1",
            "data=table",
            f"data.train={path}",
            "data.text=text",
        )
    assert refused.value.exit_code == 2
