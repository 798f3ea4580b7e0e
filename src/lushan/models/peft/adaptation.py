"""Encoder whose base is frozen: what is saved of it, and what training and export need of it.

Checkpoints hold what is learned alone. The base is loaded again from its source, and must then have
the SHA-256 that stands in the checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lushan.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BASE = "base_sha256"
"""Name of the buffer, and so of the entry of every checkpoint, that names the base."""


class Adaptation:
    """Adaptation of a model; stands at `encoder.adaptation`, and is no module itself.

    Args:
        model: Of transformers, adapted in place.
        method: What it is called: `lora`.
        changed: How many modules have an adapter; None where the method has none in modules.
    """

    def __init__(self, model: PreTrainedModel, method: str, changed: int | None = None) -> None:
        self.model, self.method, self.changed = model, method, changed
        self.frozen: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return self.method if self.changed is None else f"{self.method} on {self.changed} modules"

    # Training

    def follow(self, total_steps: int) -> None:
        """Learn how many optimizer steps there will be."""

    def penalty(self) -> Tensor | None:
        """Return the scalar that the method adds to the loss of one optimizer step."""
        return None

    def after_step(self, step: int) -> None:
        """Update the method when weights have changed and gradients are still there.

        Args:
            step: Optimizer steps done, this one counted.
        """

    def state(self) -> dict[str, Any]:
        """Return the state that a resumed run needs besides weights: tensors and plain values."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave."""

    # Export

    def merged(self) -> PreTrainedModel:
        """A plain model of transformers with the same outputs.

        Raises:
            UserError: The method computes what no plain model can.
        """
        raise UserError(
            f"{self.method} cannot be merged into the weights of a plain model",
            key="peft",
            value=self.method,
            hint="Export only the adapter with --adapter.",
        )

    def save(self, folder: str | Path) -> None:
        """Write the adapter alone, as `adapter_config.json` and `adapter_model.safetensors`."""
        raise NotImplementedError


def adaptation_of(model: nn.Module) -> Adaptation | None:
    """Return how a whole model, or its encoder, was adapted; None where it was not."""
    found = getattr(getattr(model, "encoder", model), "adaptation", None)
    return found if isinstance(found, Adaptation) else None


def attach(encoder: Any, adaptation: Adaptation, *, base: Set[int], sha256: str) -> None:
    """Let an encoder's state be what is learned alone, with the name of its base.

    Args:
        encoder: Its `model` is adapted already.
        adaptation: How.
        base: The `id` of each parameter that was there before; those that do not learn stay out
            of the state.
        sha256: Of the base.
    """
    adaptation.frozen = frozenset(
        name
        for name, weight in encoder.named_parameters(remove_duplicate=False)
        if id(weight) in base and not weight.requires_grad
    )
    encoder.adaptation = adaptation
    encoder.register_buffer(BASE, torch.tensor(list(bytes.fromhex(sha256)), dtype=torch.uint8))
    encoder.register_state_dict_post_hook(_leave_base_out)
    encoder.register_load_state_dict_pre_hook(_insert_base)


def _leave_base_out(module: Any, state: dict[str, Any], prefix: str, _: object) -> None:
    frozen = module.adaptation.frozen
    for key in [k for k in state if k.startswith(prefix)]:
        # Quantised weights have entries of their own below their name.
        parts = key[len(prefix) :].split(".")
        if any(".".join(parts[:end]) in frozen for end in range(1, len(parts) + 1)):
            del state[key]


def _insert_base(module: Any, state: dict[str, Any], prefix: str, *_: object) -> None:
    stored = state.get(f"{prefix}{BASE}")
    if stored is None:
        return  # PyTorch names what is missing
    _require_same_base(stored, getattr(module, BASE))
    own = dict(module.named_parameters(remove_duplicate=False))
    for name in module.adaptation.frozen:
        state.setdefault(f"{prefix}{name}", own[name])


def _require_same_base(stored: Tensor, here: Tensor) -> None:
    if torch.equal(stored.cpu(), here.cpu()):
        return
    was, now = (bytes(t.cpu().tolist()).hex()[:12] for t in (stored, here))
    raise UserError(
        "the adapter belongs to another base model: the weights it was trained on have the SHA-256 "
        f"{was}..., those here {now}...",
        key="model",
        hint="The base is rebuilt from model, init_from and seed. If its files have changed, "
        "restore the old ones.",
    )
