"""Losses that compare the examples of a global batch, one micro-batch at a time.

GradCache (Gao et al., 2021, arXiv:2101.06983): the vectors of all examples are computed first,
without gradients; the loss of all gives the gradient of each vector; then each micro-batch is
computed again, by the same chance, and goes backward from its vectors' gradients. What is learned
does not depend on how the batch is shared out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lushan.data.batch.batching import mix
from lushan.data.batch.loader import GlobalBatch
from lushan.engine.distributed.shares import data_share, of_all_shares
from lushan.engine.seeding import seed_torch
from lushan.models import dropout
from lushan.tasks.base import Task

Vectors = dict[str, Tensor]
Through = Callable[[Callable[[nn.Module, Any], Any], Any], Any]
"""Calls a function with the model and a batch."""


class Part(NamedTuple):
    """A micro-batch's part of the loss.

    Attributes:
        value: The loss of its examples, summed.
        gradients: Of its vectors.
    """

    value: Tensor
    gradients: Vectors


def vectors_of(task: Task, through: Through, micro: Any, seed: int) -> Vectors:
    """Return the vectors of a micro-batch, without gradients."""
    seed_torch(seed)
    with torch.no_grad():
        found: Vectors = through(task.vectors, micro)
    return found


def parts_of(task: Task, vectors: Sequence[Vectors]) -> list[Part]:
    """Return the part of each micro-batch in the loss of all.

    Args:
        task: With `joint_losses`.
        vectors: Of the micro-batches of all ranks.
    """
    names = list(vectors[0])
    whole = {name: torch.cat([part[name] for part in vectors]) for name in names}
    learned = {n: v.requires_grad_() for n, v in whole.items() if v.is_floating_point()}
    with torch.enable_grad(), torch.autocast(next(iter(whole.values())).device.type, enabled=False):
        losses = task.joint_losses(whole)
        found = torch.autograd.grad(
            losses.sum(), list(learned.values()), allow_unused=True, materialize_grads=True
        )
    values = torch.split(losses.detach(), [len(part[names[0]]) for part in vectors])
    split = {
        name: torch.split(gradient, [len(part[name]) for part in vectors])
        for name, gradient in zip(learned, found, strict=True)
    }
    return [
        Part(value.sum(), {name: pieces[i] for name, pieces in split.items()})
        for i, value in enumerate(values)
    ]


def term(task: Task, part: Part | None, seed: int) -> Callable[[nn.Module, Any], Tensor]:
    """Return the loss of a micro-batch, with its value and gradient in the loss of all.

    Args:
        task: With `vectors`.
        part: None of a stand-in, which adds nothing.
        seed: That `vectors_of` was given for it.
    """

    def loss(model: nn.Module, batch: Any) -> Tensor:
        seed_torch(seed)
        found = task.vectors(model, batch)
        if part is None:
            return torch.stack([v.sum() for v in found.values() if v.is_floating_point()]).sum() * 0
        terms = [(found[name] * gradient).sum() for name, gradient in part.gradients.items()]
        linear = torch.stack(terms).sum()
        return linear - linear.detach() + part.value

    return loss


def losses_of(module: Any, batch: GlobalBatch) -> list[Callable[[nn.Module, Any], Tensor]]:
    """Return the loss of each micro-batch among the examples of the global batch.

    Args:
        module: The `LitModule`, attached to its trainer.
        batch: This rank's.
    """
    rank, _ = data_share(module.trainer)
    micro, own = batch["micro"], []
    seeds = [mix(module.batching.seed, module.global_step, rank, i) for i in range(len(micro))]
    for part, pieces, seed in zip(micro, batch["pieces"], seeds, strict=True):
        with dropout.masked(module.masks(pieces)):
            own.append(vectors_of(module.task, module.through, part, seed))
    counted = own[: batch["real"]] if batch["weight"] else []
    everyone = of_all_shares(module.trainer, [_moved(part, "cpu") for part in counted])
    everything = [_moved(part, module.device) for share in everyone for part in share]
    first = sum(map(len, everyone[:rank]))
    parts = parts_of(module.task, everything)[first : first + len(counted)]
    padded = [*parts, *[None] * (len(micro) - len(parts))]
    return [term(module.task, p, seed) for p, seed in zip(padded, seeds, strict=True)]


def _moved(vectors: Vectors, device: torch.device | str) -> Vectors:
    return {name: tensor.to(device) for name, tensor in vectors.items()}
