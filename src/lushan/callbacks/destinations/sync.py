"""Sending of a run's record to a tracker that could not take it during training."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from lushan.callbacks.destinations import mlflow, wandb
from lushan.callbacks.destinations.probe import answers
from lushan.callbacks.destinations.tracker import About, Completed
from lushan.callbacks.destinations.wandb_server import api_key, base_url
from lushan.data.record_schema import RecordSchema
from lushan.errors import RunFailed, UserError
from lushan.run import checksums
from lushan.run.config_yaml import read_config
from lushan.run.metrics_csv import SAMPLES, read_rows, read_samples
from lushan.run.result import RunResult


def sync(result: RunResult, schema: RecordSchema, to: str) -> str:
    """Send a run's record to W&B or MLflow, with the settings that its config has for it.

    Args:
        result: Of a complete run.
        schema: What its stored predictions hold.
        to: `wandb` or `mlflow`.

    Returns:
        The address of the copy.

    Raises:
        UserError: There is no key, or no address.
        RunFailed: The server does not respond.
    """
    folder = result.folder
    cfg = read_config(folder)
    node = {k: v for k, v in ((cfg.get("logger") or {}).get(to) or {}).items() if k != "_target_"}
    tracker = _wandb(node) if to == "wandb" else _mlflow(node)
    tracker.start(About.of(cfg, folder.resolve()))
    for row in read_rows(checksums.verified(folder, "metrics.csv")):
        numbers = {k: float(v) for k, v in row.items() if v and k not in ("step", "seconds")}
        tracker.log(numbers, int(row["step"]))
    if written := read_samples(checksums.verified(folder, SAMPLES)):
        tracker.samples(written, int(written[-1]["step"]))
    tracker.finish(Completed(result, schema), folder)
    return tracker.address


def _wandb(node: Mapping[str, Any]) -> wandb.WandB:
    if not api_key():
        hint = "Set it, or run `wandb login` once."
        raise UserError("W&B needs a key", key="WANDB_API_KEY", hint=hint)
    if not answers(base_url()):
        raise RunFailed(f"{base_url()} does not respond")
    return wandb.WandB(**{**node, "mode": "online"})


def _mlflow(node: Mapping[str, Any]) -> mlflow.MLflow:
    if not os.environ.get(mlflow.URI):
        hint = f"Write {mlflow.URI}=http://HOST:PORT before the command."
        raise UserError("MLflow needs an address", key=mlflow.URI, hint=hint)
    return mlflow.MLflow(**node)
