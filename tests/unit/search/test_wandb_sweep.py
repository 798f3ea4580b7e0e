"""The example for W&B's agents: what they would run is a command of ours."""

from pathlib import Path

import pytest
import yaml

from lushan.config.check import check
from lushan.config.compose import compose
from lushan.config.measures import metric_names

EXAMPLE = yaml.safe_load(Path(__file__).parents[3].joinpath("docs/wandb_sweep.yaml").read_text())


@pytest.mark.slow
def test_an_agent_runs_our_command():
    utils = pytest.importorskip("wandb.sdk.launch.sweeps.utils")
    values = {"optimizer.lr": {"value": 0.00021}, "task/head": {"value": "crf"}}
    assert set(values) == set(EXAMPLE["parameters"])
    arguments = utils.create_sweep_command_args({"args": values})
    command = []
    for part in utils.create_sweep_command(list(EXAMPLE["command"])):
        command += arguments["args_no_hyphens"] if part == "${args_no_hyphens}" else [part]
    assert command[:2] == ["lushan", "train"]
    config = check(compose(command[2:]))
    assert config["optimizer"]["lr"] == 0.00021
    assert config["task"]["head"]["_target_"].endswith("CRF")
    assert "wandb" in config["logger"]
    split, _, name = EXAMPLE["metric"]["name"].partition("/")
    assert split == "val"
    assert name in metric_names(config)
