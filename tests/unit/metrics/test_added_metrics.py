"""Metrics that a config adds have the rights of the task's own."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import trained
from tests.helpers import command, searches
from tests.helpers.own_metrics import Brier

from lushan.config.check import check
from lushan.config.compose import compose
from lushan.config.measures import main_metric, measures
from lushan.errors import UserError
from lushan.launch import job_status
from lushan.run.result import RunResult
from lushan.study import differences
from lushan.study.claims import HOLDS, Claim
from lushan.study.collect import Member, member_of
from lushan.study.compare import compare
from lushan.study.table import table

ECE = "+task.metrics.ece._target_=torchmetrics.classification.MulticlassCalibrationError"
BRIER = "+task.metrics.brier._target_=tests.helpers.own_metrics.Brier"
WER = "+task.metrics.wer._target_=torchmetrics.text.WordErrorRate"
REVIEWS = ["task=classification", "data=sample_reviews", "data.limit=60"]


@pytest.fixture(autouse=True)
def _allowed(monkeypatch):
    monkeypatch.setenv("LUSHAN_TARGETS", "tests.")


def checked(*overrides):
    return check(compose([*command.SMALL, *overrides]))


def refused(*overrides):
    with pytest.raises(UserError) as caught:
        checked(*overrides)
    return caught.value


def validations(run, metric):
    with (run / "metrics.csv").open(newline="") as file:
        return {int(r["step"]): float(r[metric]) for r in csv.DictReader(file) if r[metric]}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs that choose by a score which is better when it is lower."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUSHAN_TARGETS", "tests.")
        place = tmp_path_factory.mktemp("added")
        more = [*REVIEWS, ECE, BRIER, "task.monitor=brier", "trainer.max_epochs=4"]
        return [trained(place, *more, "optimizer.lr=3e-2", f"seed={seed}") for seed in (1, 2)]


# What is said of it


@pytest.mark.slow(1)
def test_its_direction_and_unit_are_its_own():
    known = measures(checked(*REVIEWS, ECE, BRIER))
    assert known["ece"].higher_is_better is known["brier"].higher_is_better is False
    assert known["ece"].score is None
    assert known["brier"].score == "lushan.metrics.scores.ratios.ratio"
    assert known["accuracy"].higher_is_better
    assert main_metric(checked(*REVIEWS, ECE, "task.monitor=ece")) == "ece"


@pytest.mark.slow
def test_the_best_checkpoint_is_the_one_with_the_lowest(runs):
    for run in runs:
        found = validations(run, "val/brier")
        result = RunResult.read(run / "result.json")
        assert len(set(found.values())) > 1
        assert result.extra["best_step"] == min(found, key=found.get)
        assert result.metrics["val/brier"] == pytest.approx(min(found.values()))
        assert result.measure("test/brier").higher_is_better is False
        low, high = result.ci["test/brier"]
        assert low <= result.metrics["test/brier"] <= high


def test_tests_over_examples_take_its_statistics(runs):
    found = compare(*runs, metrics=["brier", "ece"])
    brier, ece = found.rows[:2]
    assert brier.metric == "test/brier"
    assert brier.contrast.p is not None
    assert ece.contrast.p is None
    assert "ece cannot be computed from the stored statistics of examples" in ece.contrast.why
    assert ece.contrast.effect == pytest.approx(ece.b - ece.a)
    read = differences.reader()
    counted = differences.count_together([member_of(run) for run in runs], "test/brier", read)
    rows = [json.loads(line) for line in (runs[0] / "predictions/test.jsonl").open()]
    want = [Brier().example_statistics(r["probabilities"], r["gold"]).tolist() for r in rows]
    np.testing.assert_allclose(counted.counts[0], want)


def test_a_table_prints_the_lowest_bold(runs):
    numbers = [RunResult.read(run / "result.json").metrics["test/brier"] for run in runs]
    made = table(runs, rows=["seed"], over=[], metrics=["brier"]).text
    best = f"{min(numbers):.4f}"
    assert f"**{best}**" in made
    assert made.count("**") == 2


def test_a_report_knows_that_lower_is_better(runs, tmp_path, cli_inside):
    done = cli_inside("report", *map(str, runs), "--output", str(tmp_path / "site"))
    assert done.code == 0, done.err
    text = "".join(p.read_text("utf-8") for p in (tmp_path / "site").rglob("*.js"))
    shown = text.replace("\\", "")
    assert '"test/brier":{"head":"test/brier","scale":1,"digits":4,"lower":true}' in shown
    assert '"test/ece":{"head":"test/ece","scale":1,"digits":4,"lower":true}' in shown


def test_a_claim_reads_its_direction():
    from tests.unit.study.test_claims import Run, study

    from lushan.study import claims
    from lushan.study.plan import Plan

    class Lower(Run):
        def member(self):
            found = super().member()
            measures = {"test/brier": Brier().measure("brier")}
            result = RunResult(
                Path(), "x", "0", 1, found.result.metrics, "test/brier", {}, measures
            )
            return Member(found.folder, "0", {}, self.cell, "", result)

    made = [
        Lower(head, "none", value, metric="test/brier")
        for head, values in (("crf", (0.1, 0.11, 0.12)), ("linear", (0.5, 0.51, 0.53)))
        for value in values
    ]
    of = study("crf beats linear on test/brier")
    claim = Claim("x", "test/brier", {"head": "crf"}, {"head": "linear"})
    (answer,) = claims.answer(Plan(of, tuple(made), ()), [claim])
    assert answer.verdict == HOLDS


@pytest.mark.slow(1)
def test_a_search_minimises_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)

    class Job(searches.Job):
        metric = "val/ece"

    overrides = [*REVIEWS, ECE, "task.monitor=ece", "hydra.sweeper.n_trials=2"]
    searches.search(tmp_path, *command.SMALL, *overrides, job=Job())
    assert "2 trials; minimize val/ece" in capsys.readouterr().out
    with (searches.the_folder(tmp_path) / "trials.csv").open(newline="") as file:
        values = {row["trial"]: float(row["val/ece"]) for row in csv.DictReader(file)}
    best = min(values, key=values.get)
    shown = "\n".join(job_status.notes())
    assert f"best: trial {best}, val/ece {values[best]:.4f}" in shown


# Early stopping

STOPPING = ["callbacks=early_stopping", "callbacks.early_stopping.monitor=val/brier"]


@pytest.mark.slow
def test_early_stopping_waits_for_the_lowest(tmp_path):
    error = refused(*REVIEWS, BRIER, *STOPPING, "callbacks.early_stopping.mode=max")
    assert error.key == "callbacks.early_stopping.mode"
    assert error.hint == "Write callbacks.early_stopping.mode=min."
    more = [*STOPPING, "callbacks.early_stopping.mode=min", "callbacks.early_stopping.patience=1"]
    always = ["callbacks.early_stopping.min_delta=0", "trainer.max_epochs=30", "optimizer.lr=3e-2"]
    run = trained(tmp_path, *REVIEWS, BRIER, "task.monitor=brier", *more, *always, "test=false")
    values = list(validations(run, "val/brier").values())
    assert 1 < len(values) < 30
    assert values[-1] >= min(values[:-1])
    assert values[:-1] == sorted(values[:-1], reverse=True)


# Other tasks


@pytest.mark.slow
def test_texts_and_tags(tmp_path):
    run = trained(
        tmp_path,
        *("task=seq2seq", "model=t5_tiny", "data=sample_pairs", "data.limit=16"),
        *(WER, "task.monitor=wer", "task.decoding.max_new_tokens=4", "test=false"),
        "+task.metrics.longest._target_=tests.helpers.own_metrics.Longest",
    )
    result = RunResult.read(run / "result.json")
    assert result.main_metric == "val/wer"
    assert result.metrics["val/wer"] > 0
    assert result.metrics["val/longest"] == int(result.metrics["val/longest"])
    assert result.measure("wer").higher_is_better is False
    assert result.measure("val/rouge1_lead1").unit.sign == "%"
    kappa = "+task.metrics.kappa._target_=torchmetrics.classification.MulticlassCohenKappa"
    run = trained(tmp_path, "task=ner", "data=sample_ner", "data.limit=24", kappa, "test=false")
    result = RunResult.read(run / "result.json")
    assert -1 <= result.metrics["val/kappa"] <= 1
    assert result.measure("kappa").higher_is_better


@pytest.mark.slow
def test_the_least_repetitive_checkpoint_is_kept(tmp_path):
    more = ["task=chat", "data=sample_chat", *command.LANGUAGE, "task.monitor=repetition"]
    sizes = ["trainer.max_epochs=4", "optimizer.lr=3e-2", "task.max_new_tokens=24"]
    run = trained(tmp_path, *more, *sizes)
    found = validations(run, "val/repetition")
    assert len(set(found.values())) > 1
    result = RunResult.read(run / "result.json")
    assert result.metrics["val/repetition"] == pytest.approx(min(found.values()))


# Mistakes


@pytest.mark.slow(1)
@pytest.mark.parametrize(
    ("task", "node", "key", "problem"),
    [
        (REVIEWS, "x._target_=torchmetrics.text.WordErrorRate", "x", "cannot be computed"),
        (REVIEWS, "x._target_=torchmetrics.text.bert.BERTScore", "x._target_", "not allowed"),
        (REVIEWS, "x._target_=torchmetrics.text.ROUGEScore", "x._target_", "not allowed"),
        (REVIEWS, "x._target_=torchmetrics.MetricCollection", "x._target_", "not allowed"),
        (REVIEWS, "x=3", "x", "this group needs a _target_"),
        (
            REVIEWS,
            "accuracy._target_=torchmetrics.classification.MulticlassAccuracy",
            "accuracy",
            "already has a metric with this name",
        ),
        (REVIEWS, "x._target_=torch.optim.AdamW", "x", "no metric|cannot be made|params"),
        (REVIEWS, "x._target_=tests.helpers.own_metrics.Unnamed", "x", "by its name"),
        (
            REVIEWS,
            "x._target_=torchmetrics.classification.MulticlassConfusionMatrix",
            "x",
            "computes 4 numbers",
        ),
        (
            ["task=causal_lm", *command.LANGUAGE],
            "x._target_=torchmetrics.text.WordErrorRate",
            "x",
            "predictions of this task do not fit",
        ),
    ],
)
def test_what_is_no_metric_of_a_task_is_refused_before_anything_is_read(task, node, key, problem):
    import re

    error = refused(*task, f"+task.metrics.{node}")
    assert re.search(problem, str(error)), str(error)
    assert key in str(error.key)


def test_an_argument_that_there_is_not():
    ece = "torchmetrics.classification.MulticlassCalibrationError"
    node = f"+task.metrics.x={{_target_:{ece},n_bin:5}}"
    error = refused(*REVIEWS, node)
    assert error.key == "task.metrics.x.n_bin"
    assert "n_bins" in error.hint
    for name in ("num_classes", "dist_sync_fn", "process_group"):
        error = refused(*REVIEWS, f"+task.metrics.x={{_target_:{ece},{name}:5}}")
        assert error.key == f"task.metrics.x.{name}"


@pytest.mark.slow
def test_nothing_is_chosen_by_a_metric_without_a_direction():
    node = "+task.metrics.x._target_=tests.helpers.own_metrics.Undirected"
    checked(*REVIEWS, node)
    assert refused(*REVIEWS, node, "task.monitor=x").key == "task.monitor"


@pytest.mark.slow
def test_a_field_that_no_prediction_has(tmp_path):
    node = "+task.metrics.x._target_=tests.helpers.own_metrics.Lost"
    with pytest.raises(UserError, match="has no logits") as caught:
        trained(tmp_path, *REVIEWS, node)
    assert "probabilities" in caught.value.hint
