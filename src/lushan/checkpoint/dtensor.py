"""Tensors of which each process holds a part, as FSDP2 and tensor parallelism make them.

Every function takes plain tensors too, and then does the plain thing: callers need not ask. Those
that state so must be called by all processes together.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lushan.compat import torch as torch_private

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor
    from typing_extensions import TypeIs


def is_sharded(tensor: object) -> TypeIs[DTensor]:
    """Return whether processes hold parts of a tensor.

    Their module takes seconds to import, and what has not imported it has no such tensor.
    """
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def any_sharded(tensors: Iterable[object]) -> bool:
    """Return whether processes hold parts of one of them."""
    return any(map(is_sharded, tensors))


def local(tensor: Tensor) -> Tensor:
    """Return the part of this process, sharing its memory; without a gradient."""
    tensor = tensor.detach()
    return tensor.to_local() if is_sharded(tensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor, on every process; all must call it."""
    if is_sharded(tensor):
        return tensor.detach().full_tensor()  # type: ignore[attr-defined]
    return tensor.detach()


def part(tensor: Tensor) -> tuple[slice, ...]:
    """Return the place of this process's part in the whole."""
    if not is_sharded(tensor):
        return tuple(slice(0, size) for size in tensor.shape)
    from lushan.compat.dtensor import local_part

    shape, start = local_part(tensor)
    return tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))


def like(reference: Tensor, value: Tensor) -> Tensor:
    """A whole tensor that every process holds, spread out as another of its shape is."""
    if not is_sharded(reference):
        return value
    return wrapped(reference, value[part(reference)].to(reference.device))


def wrapped(reference: Tensor, own: Tensor) -> Tensor:
    """A process's part of a tensor, as a tensor that is spread out as another of its shape is."""
    if not is_sharded(reference):
        return own
    from torch.distributed.tensor import DTensor

    return DTensor.from_local(
        own,
        reference.device_mesh,
        reference.placements,
        run_check=False,
        shape=reference.shape,
        stride=reference.stride(),
    )


def load_into(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """`load_state_dict` with whole weights, for a model that may be spread out.

    Raises:
        RuntimeError: They are those of another model.
    """
    state = model.state_dict()

    def fits(name: str) -> bool:
        return name in state and state[name].shape == weights[name].shape

    # What does not fit is passed on: PyTorch raises the error.
    sharded = {n: like(state[n], value) if fits(n) else value for n, value in weights.items()}
    model.load_state_dict(sharded)


@torch.no_grad()
def clip_gradients(parameters: Iterable[nn.Parameter], bound: float) -> Tensor:
    """Scale all gradients down to a norm, over all processes' parts; all must call it.

    Args:
        parameters: Of the whole model.
        bound: Largest norm, of all gradients as one vector.

    Returns:
        The norm before.
    """
    learned = [p for p in parameters if p.grad is not None]
    if not any_sharded(learned):
        # One call for all of them; on other devices torch decides.
        together = all(p.device.type in ("cpu", "cuda") for p in learned) or None
        return nn.utils.clip_grad_norm_(learned, bound, foreach=together)
    norm = _norm(learned)
    factor = torch.clamp(bound / (norm + 1e-6), max=1.0)
    torch_private.multiply([local(_gradient(p)) for p in learned], factor)
    return norm


def _norm(parameters: Sequence[nn.Parameter]) -> Tensor:
    # One sum for all processes: the same bits on each, or their weights would drift apart.
    gradients = [_gradient(p) for p in parameters]
    norms = torch.stack([n.double() for n in torch_private.norms([local(g) for g in gradients])])
    copies = torch.tensor([_copies(g) for g in gradients], dtype=torch.float64)
    square = (norms.square() / copies.to(norms.device)).sum()
    dist.all_reduce(square)
    return square.sqrt().to(local(gradients[0]).dtype)


def _gradient(parameter: nn.Parameter) -> Tensor:
    gradient = parameter.grad
    assert gradient is not None
    if is_sharded(gradient) and any(p.is_partial() for p in gradient.placements):
        gradient = gradient.redistribute(placements=parameter.placements)  # type: ignore[attr-defined]
        parameter.grad = gradient
    return gradient


def _copies(tensor: Tensor) -> int:
    """Count the processes that hold each part of a tensor."""
    world = dist.get_world_size()
    if not is_sharded(tensor):
        return world
    pieces = 1
    for placement, size in zip(tensor.placements, tensor.device_mesh.shape, strict=True):
        pieces *= 1 if placement.is_replicate() else size
    return world // pieces


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Return whether every number is finite, on each process; all call it if one is sharded."""
    tensors = list(tensors)
    if not tensors:
        return True
    finite = torch.stack([torch.isfinite(local(t)).all() for t in tensors]).all()
    if not any_sharded(tensors):
        return bool(finite)
    verdict = finite.float()
    dist.all_reduce(verdict, op=dist.ReduceOp.MIN)
    return bool(verdict)
