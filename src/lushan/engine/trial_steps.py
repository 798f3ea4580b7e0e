"""Optimizer steps that are taken to measure something, and forgotten."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn

from lushan.config.build import build
from lushan.engine.batch_plan import BatchPlan
from lushan.engine.limits import TrainLimits
from lushan.engine.lit_module import LitModule
from lushan.engine.trainer import Trainer, make_trainer
from lushan.models.peft.adaptation import adaptation_of
from lushan.tasks.base import Task

ALONE = {"devices": 1, "num_nodes": 1, "strategy": "auto", "tensor_parallel": 1, "compile": False}
"""Trials are of one process: the global batch, and so its loss, does not depend on devices."""
LEFT_OUT = ("min_steps", "min_epochs", "profiler", "log_every_n_steps", "plugins")
"""Keys of a trainer that say nothing of a step."""


def try_steps(
    cfg: Mapping[str, Any],
    task: Task,
    model: nn.Module,
    plan: BatchPlan,
    *,
    factor: Callable[..., float],
    callbacks: Sequence[pl.Callback] = (),
    micro_tokens: int | None = None,
) -> None:
    """Train through a plan as a run does, but for its schedule, callbacks and validation.

    Weights, the adaptation's state and random states are afterwards as they were.

    Args:
        cfg: The checked config.
        task: With its labels.
        model: Of the task.
        plan: The steps to take.
        factor: step and `total_steps` to the factor on every learning rate.
        callbacks: See each step; losses are read by those that ask for them.
        micro_tokens: Padded tokens of a micro-batch; None is as the plan has it.
    """
    module = LitModule(
        model=model,
        task=task,
        optimizer=lambda model: build(cfg["optimizer"], model=model),
        multiplier=factor,
        batching=dataclasses.replace(
            plan.batching, micro_tokens=micro_tokens or plan.batching.micro_tokens
        ),
        plan=plan,
        encoded={},
        tables={},
        clip=cfg["trainer"].get("gradient_clip_val"),
    )
    with forgotten(model), tempfile.TemporaryDirectory() as folder:
        trainer = trial_trainer(cfg, plan, callbacks, folder)
        trainer.fit(module)


def trial_trainer(
    cfg: Mapping[str, Any], plan: BatchPlan, callbacks: Sequence[pl.Callback], folder: str
) -> Trainer:
    """Make a trainer of one process that writes nothing."""
    node = {k: v for k, v in cfg["trainer"].items() if k not in LEFT_OUT} | ALONE
    given = {"callbacks": list(callbacks), "logger": False, "default_root_dir": folder}
    unread = plan.total_steps + 1  # callbacks read the losses
    return make_trainer(node, TrainLimits(val_batches=0), plan, log_every_n_steps=unread, **given)


@contextlib.contextmanager
def forgotten(model: nn.Module) -> Iterator[None]:
    """Leave a model and the random states of this process as they were before the block."""
    before = {name: tensor.detach().to("cpu", copy=True) for name, tensor in _tensors(model)}
    training, adaptation = model.training, adaptation_of(model)
    state = None if adaptation is None else copy.deepcopy(adaptation.state())
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
            with torch.no_grad():
                for name, tensor in _tensors(model):
                    tensor.copy_(before[name])
            if adaptation is not None:
                adaptation.restore(state or {})
            model.zero_grad(set_to_none=True)
            model.train(training)


def _tensors(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield what a step changes: what learns, and buffers."""
    yield from ((name, one) for name, one in model.named_parameters() if one.requires_grad)
    yield from model.named_buffers()
