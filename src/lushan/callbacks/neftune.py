"""Noise on embeddings while a model is fine-tuned (NEFTune, Jain et al., 2023)."""

from __future__ import annotations

from typing import Annotated, Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lushan.configurable import Within, configurable
from lushan.errors import UserError
from lushan.models import dropout
from lushan.models.backbone import token_table

_LEVELS = 2**15


@configurable
class NEFTune(pl.Callback):
    """Add uniform noise to the embeddings of tokens in training, none in evaluation.

    A number of an example's embeddings gets noise from -a to a, with a = alpha / sqrt(L d), where L
    is the example's tokens (padding is none of them) and d the width (arXiv:2310.05914). As the
    masks of dropout do, it depends on the step, the example and the place: it is the same in any
    micro-batch and on any device.

    Args:
        alpha: Scale of the noise; the paper uses 5, 10 and 15.
    """

    def __init__(self, alpha: Annotated[float, Within(above=0)] = 5.0) -> None:
        self.alpha = alpha

    def setup(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        """Find the embeddings.

        Raises:
            UserError: The model has none of tokens, or reads and writes by the same.
        """
        if stage != "fit":
            return
        model = pl_module.model.encoder.model
        table: nn.Module | None = token_table(model)
        base = getattr(table, "base_layer", table)
        if table is None or not isinstance(base, nn.Embedding):
            problem = "this model has no token embeddings to add noise to"
        elif model.config.is_encoder_decoder:
            problem = "this model ties its input and output embeddings"
        else:
            table.register_forward_hook(self._add)
            return
        raise UserError(problem, key="callbacks.neftune", hint="Write callbacks=default.")

    def _add(self, table: nn.Module, inputs: object, states: Tensor) -> Tensor | None:
        masks = dropout.active()
        if not table.training or masks is None:
            return None
        return states + noise(masks, states, self.alpha)


def noise(masks: dropout.Masks, states: Tensor, alpha: float) -> Tensor:
    """Return the noise of embeddings in this step, (B, L, H).

    Args:
        masks: Of the micro-batch.
        states: (B, L, H).
        alpha: Scale of the noise.
    """
    _, length, width = states.shape
    kind = torch.promote_types(states.dtype, torch.float32)
    bits = dropout.drawn(masks.next_keys(length), 1, width)[:, 0]
    tokens = torch.from_numpy(masks.pieces.lengths_at(length)).to(states.device, kind)
    largest = alpha / (tokens.clamp(min=1) * width).sqrt()
    return ((bits.to(kind) + 0.5) / _LEVELS * largest[..., None]).to(states.dtype)
