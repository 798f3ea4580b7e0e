"""Configs and results of runs that nobody has trained."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lushan.common.units import LOSS, SHARE
from lushan.run.folder import RunFolder
from lushan.run.identity import run_id, run_path
from lushan.run.result import RunResult


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    return {
        "name": "mine",
        "seed": 1,
        "tags": [],
        "paths": {"output_dir": str(tmp_path / "outputs"), "cache_dir": str(tmp_path / "cache")},
        "data": {"_target_": "lushan.data.formats.SampleNER", "batch_tokens": 256},
        "task": {"head": {"_target_": "lushan.models.heads.Linear", "dropout": 0.1}},
        "optimizer": {"lr": 1e-5},
        "processor": {"kind": "wordpiece"},
        "callbacks": {},
        "trainer": {"max_epochs": 3, "devices": 1},
    }


@pytest.fixture
def carried_out(config: dict[str, Any]) -> Callable[..., RunFolder]:
    """A complete run, some of its config changed by dotted keys."""

    def execute(value: float = 0.5, **changes: Any) -> RunFolder:
        folder = begin(config, **changes)
        with folder.locked():
            changed = _changed(config, changes)
            folder.start(changed, choices={"task/head": "linear"}, overrides=["seed=1"])
            folder.complete(result(changed, value))
        return folder

    return execute


def begin(config: dict[str, Any], **changes: Any) -> RunFolder:
    return RunFolder.of(_changed(config, changes))


def _changed(config: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    config = copy.deepcopy(config)
    for key, value in changes.items():
        *groups, last = key.split("__")
        node = config
        for group in groups:
            node = node[group]
        node[last] = value
    return config


def result(config: dict[str, Any], value: float = 0.5) -> RunResult:
    metrics = {"val/entity_f1": value + 0.1, "test/entity_f1": value, "test/loss": 1 - value}
    return RunResult(
        folder=run_path(config),
        name=config["name"],
        run_id=run_id(config),
        seed=config["seed"],
        metrics=metrics,
        measures={n: LOSS if n.endswith("loss") else SHARE for n in metrics},
        main_metric="val/entity_f1",
        config=config,
        ci={"test/entity_f1": [value - 0.1, value + 0.1]},
        choices={"task/head": "linear"},
        data_fingerprint={"train": "a", "test": "b"},
        seconds=1.5,
    )
