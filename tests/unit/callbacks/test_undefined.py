"""A main metric that is no number never decides: the loss does, and this is reported."""

import csv
import json
import math
import types

import pytest
import torch
from tests.conftest import trained

from lushan.callbacks.checkpoints import Checkpoints
from lushan.callbacks.stopping import EarlyStopping
from lushan.checkpoint.io import write_weights
from lushan.common.units import Measure
from lushan.engine.artifacts import curves_figure

NAN = math.nan


def checkpoints(folder, *, higher_is_better=True):
    return Checkpoints(
        folder=folder,
        monitor="val/x",
        higher_is_better=higher_is_better,
        signals=None,
        facts=lambda _: {},
    )


@pytest.mark.parametrize(
    ("seen", "best"),
    [
        ([(NAN, 3.0), (NAN, 2.0), (NAN, 2.5)], 1),
        ([(NAN, NAN), (NAN, 2.0), (NAN, NAN)], 1),
        ([(NAN, 1.0), (0.1, 9.0), (NAN, 0.5)], 1),
        ([(0.3, 1.0), (NAN, 0.1), (0.2, 0.1)], 0),
        ([(NAN, NAN), (NAN, NAN)], 0),
        ([(-0.5, 1.0), (NAN, 0.1), (-0.4, 1.0)], 2),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_the_best_weights_are_never_those_of_an_undefined_metric(seen, best, sign, tmp_path):
    found = checkpoints(tmp_path, higher_is_better=sign > 0)
    kept = []
    for step, (value, loss) in enumerate(seen):
        if found._is_best(sign * value, loss):
            found.best_step = step
            kept.append(step)
    assert kept[-1] == best
    assert not any(map(math.isnan, found.best_rank))
    assert len(found.notes()) == 1


def test_an_interrupted_run_goes_on_by_the_loss(tmp_path):
    first = checkpoints(tmp_path)
    first._trainer = types.SimpleNamespace(should_stop=False, callback_metrics={}, global_step=1)
    assert first._is_best(NAN, 1.0)
    first.best_step = 1
    write_weights(tmp_path / "best-000000001", {"a": torch.ones(1)}, first=True)
    again = checkpoints(tmp_path)
    again._trainer = first._trainer
    again.load_state_dict(first.state_dict())
    assert not again._is_best(NAN, 1.5)
    assert again._is_best(NAN, 0.5)
    assert again.undefined == 3


def stopped(values, **options):
    """After how many validations an early stop comes; None where none does."""
    callback = EarlyStopping(monitor="val/x", mode="max", **options)
    strategy = types.SimpleNamespace(reduce_boolean_decision=lambda stop, all: stop)
    trainer = types.SimpleNamespace(fast_dev_run=False, should_stop=False, strategy=strategy)
    trainer.current_epoch = 0
    for number, (value, loss) in enumerate(values, start=1):
        trainer.callback_metrics = {"val/x": torch.tensor(value), "val/loss": torch.tensor(loss)}
        state = callback.state_dict()
        callback = EarlyStopping(monitor="val/x", mode="max", **options)
        callback.load_state_dict(state)
        callback._run_early_stopping_check(trainer)
        if trainer.should_stop:
            return number
    return None


def test_early_stopping_watches_the_loss_while_a_metric_is_undefined():
    falling = [(NAN, 1 / n) for n in range(1, 9)]
    assert stopped(falling, patience=2) is None
    assert stopped([*falling, (NAN, 9.0), (NAN, 9.0)], patience=2) == 10
    assert stopped([(NAN, 1.0), (0.5, 1.0), (0.6, 1.0), (0.1, 0.1), (0.2, 0.0)], patience=2) == 5
    assert stopped([(NAN, NAN)] * 5, patience=3) == 3
    assert stopped([(math.inf, 1.0)], patience=3) == 1, "as Lightning has it"


@pytest.mark.parametrize(
    ("values", "options", "printed"),
    [
        (
            [0.5, 0.4, 0.3],
            {},
            "val/x did not improve in the last 2 evaluations; the best is 0.5000",
        ),
        ([0.5, math.inf], {}, "val/x is inf; the best was 0.5000"),
        ([0.5], {"stopping_threshold": 0.4}, "val/x is 0.5000, past stopping_threshold=0.4"),
        ([0.5], {"divergence_threshold": 0.6}, "val/x is 0.5000, past divergence_threshold=0.6"),
    ],
)
def test_early_stopping_says_why_in_plain_words(values, options, printed):
    callback = EarlyStopping(monitor="val/x", mode="max", patience=2, **options)
    found = [callback._evaluate_stopping_criteria(torch.tensor(value)) for value in values]
    assert found[-1] == (True, printed)


def test_a_curve_marks_no_number_that_there_is_not():
    for higher in (True, False):
        rows = [
            {"step": str(i), "val/loss": "1", "val/x": text}
            for i, text in enumerate(["nan", "0.2", "0.4"])
        ]
        scores = curves_figure(rows, "x", Measure(higher_is_better=higher)).axes[1]
        assert [t.get_text() for t in scores.texts] == ["0.4000" if higher else "0.2000"]


@pytest.mark.slow(1)
def test_a_regression_with_one_gold_number_keeps_the_epoch_of_the_lowest_loss(tmp_path):
    rows = [("good thing", 1), ("good good good thing", 3), ("bad bad thing", 2)] * 6
    for name, lines in (("train", rows), ("dev", [(text, 9) for text, _ in rows[:6]])):
        text = "text,label\n" + "".join(f"{a},{b}\n" for a, b in lines)
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    files = [f"data.train={tmp_path}/train.csv", f"data.validation={tmp_path}/dev.csv"]
    more = ["task.kind=regression", "trainer.max_epochs=3"]
    run = trained(tmp_path, "task=classification", "data=table", *files, *more, "optimizer.lr=1e-3")
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        losses = {
            int(r["step"]): float(r["val/loss"]) for r in csv.DictReader(file) if r["val/loss"]
        }
    assert len(losses) == 3
    assert result["best_step"] == min(losses, key=losses.__getitem__) != min(losses)
    assert result["metrics"]["val/pearson"] is None
    assert any("the lowest val/loss" in note for note in result["notes"])
