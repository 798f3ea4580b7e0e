"""What only training gives is notified of a run that is complete."""

from __future__ import annotations

import copy

import pytest
from tests.helpers import command

from lushan.config.check import check
from lushan.config.compose import compose
from lushan.run.identity import EXCLUDED, OBSERVED, run_id, unseen

ASKED = {
    "tags": ["a"],
    "logger.*": {"_target_": "lushan.callbacks.destinations.tensorboard.TensorBoard"},
    "trainer.log_every_n_steps": 7,
    "trainer.profiler": "simple",
}


@pytest.fixture(scope="module")
def config():
    return check(compose([*command.SMALL, "task=ner", "data=sample_ner"]))


@pytest.mark.parametrize("pattern", OBSERVED)
def test_every_key_that_is_observed(config, pattern):
    asking = copy.deepcopy(config)
    key = pattern.replace("*", "mine")
    *groups, last = key.split(".")
    node = asking
    for group in groups:
        node = node.setdefault(group, {})
    node[last] = ASKED.get(pattern, True)
    assert unseen(config, asking) == [key]
    assert unseen(asking, config) == []
    assert unseen(asking, asking) == []
    assert run_id(asking) == run_id(config)


def test_what_is_not_observed_is_not_reported(config):
    assert set(OBSERVED) < set(EXCLUDED)
    other = config | {"seed": 9, "name": "other", "show": "batch"}
    other["trainer"] = config["trainer"] | {"devices": 3, "max_epochs": 7}
    assert unseen(config, other) == []


@pytest.mark.slow
def test_a_profiler_asked_of_a_complete_run(cli_inside):
    line = ["train", *command.SMALL, "task=ner", "data=sample_ner", "data.limit=16", "test=false"]
    assert cli_inside(*line).code == 0
    plain = cli_inside(*line)
    assert "note:" not in plain.err
    asked = cli_inside(*line, "trainer.profiler=simple", "logger=tensorboard")
    assert asked.code == 0, asked.err
    assert (
        "note: trainer.profiler, logger.tensorboard: this has an effect only in training"
        in asked.err
    )
    assert asked.out == plain.out
    again = cli_inside(*line, "trainer.profiler=simple", "name=other")
    assert "Profiler Report" in again.err
    answered = cli_inside(*line, "trainer.profiler=simple", "name=other")
    assert "the report is in the run's log.txt" in answered.err
    assert "Profiler Report" in (answered.folder / "log.txt").read_text(encoding="utf-8")
