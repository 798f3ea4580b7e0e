"""Evaluation of a split, batch by batch: while training, at its end, and of a trained run."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor, nn

from lushan.common.units import LOSS
from lushan.data.batch.batching import EVALUATION, Indices, mix, plan_evaluation
from lushan.data.batch.loader import EvaluationLoader
from lushan.data.encode.encoding import Encoded
from lushan.engine.computing import Computing
from lushan.errors import UserError
from lushan.tasks.base import Task
from lushan.tasks.evaluation import Evaluation, Records

VALIDATION, TEST = "validation", "test"
PREFIX = {VALIDATION: "val", TEST: "test"}
"""Metric names begin with these, as the field writes them."""
LIMIT = "limit_test_batches"


def loader_of(task: Task, encoded: Encoded, batches: list[Indices]) -> EvaluationLoader:
    """Return the loader of some batches; what is masked in them is the same for all seeds."""
    seed = mix(0, EVALUATION)
    draw = functools.partial(task.transform, seed=seed, training=False)
    return EvaluationLoader(encoded, batches, task.collate, draw)


def answers(
    task: Task, through: Callable[..., Any], batch: dict[str, Any], *, generate: bool
) -> tuple[Tensor, Records]:
    """Return the loss of a batch, and a record for each of its features.

    Args:
        task: Predicts, and generates.
        through: Calls a function on the model and the batch; see `LitModule.through`.
        batch: From the loader.
        generate: Whether the task generates, besides.
    """
    batch.pop("targets", None)
    loss, records = through(task.predict, batch)
    if generate:
        generated = through(task.generate, batch, freely=True)
        records = [{**record, **more} for record, more in zip(records, generated, strict=True)]
    return loss.double(), records


def scored(
    task: Task, encoded: Encoded, table: pa.Table, records: Records, loss: float, *, full: bool
) -> Evaluation:
    """Evaluate what a model has answered to a split.

    Args:
        task: With its metrics.
        encoded: The split.
        table: The corpus rows that it comes from.
        records: One a feature.
        loss: Its sum.
        full: Whether with intervals and example records.
    """
    evaluation = task.evaluate(table, records, full=full)
    # Where masks decide how many terms there are, the task has counted them.
    if "loss" not in evaluation.metrics:
        evaluation.measures["loss"] = LOSS
        evaluation.metrics["loss"] = loss / max(1, int(encoded.targets.sum()))
    return evaluation


def evaluate_split(
    task: Task,
    model: nn.Module,
    encoded: Encoded,
    table: pa.Table,
    *,
    eval_tokens: int,
    computing: Computing,
    limit: float | None = None,
    observe: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Evaluate a model on a split in this process: metrics, intervals, a record of each example.

    Args:
        task: What it does.
        model: In evaluation mode.
        encoded: The split.
        table: The corpus rows that it comes from.
        eval_tokens: Padded tokens in a batch.
        computing: Device and precision.
        limit: Batches that are evaluated, or a share of them; None is all.
        observe: Gets the number of batches that are done, and of all.

    Raises:
        UserError: The limit leaves no batch.
    """
    batches = _limited(plan_evaluation(encoded.lengths, bound=eval_tokens), limit)
    computing.place(model)
    records: Records = []
    losses: list[Tensor] = []
    task.begin(table)

    def through(call: Callable[..., Any], batch: Any, *, freely: bool = False) -> Any:
        del freely  # of a sharded model
        return call(model, batch)

    with computing:
        for number, batch in enumerate(loader_of(task, encoded, batches), start=1):
            loss, found = answers(task, through, computing.moved(batch), generate=task.generates)
            losses.append(loss)
            records += found
            if observe is not None:
                observe(number, len(batches))
    total = float(torch.stack(losses).sum()) if losses else 0.0
    return scored(task, encoded, table, records, total, full=True)


def _limited(batches: Sequence[Indices], limit: float | None) -> list[Indices]:
    if limit is None:
        return list(batches)
    kept = limit if isinstance(limit, int) else int(len(batches) * limit)
    if batches and not kept:
        raise UserError(
            f"the limit leaves none of {len(batches)} batches", key=f"trainer.{LIMIT}", value=limit
        )
    return list(batches[:kept])


def precision_note(trained: Mapping[str, Any], now: str) -> list[str]:
    """Return a note where numbers are computed in another precision than in training.

    Args:
        trained: The values that training resolved.
        now: The precision.
    """
    key = "trainer.precision"
    then = trained.get(key)
    return [] if then in (None, now) else [f"{key} is {now} here, but was {then} in training"]
