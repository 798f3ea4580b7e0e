"""Gradient checkpointing: layers compute again in the backward pass what they would have kept."""

from __future__ import annotations

from typing import Any

from lushan.errors import UserError


def enable(model: Any) -> None:
    """Let a model keep each layer's input alone while it learns (Chen et al., 2016).

    Its numbers stay what they are, dropout included; it takes about a third more time, and memory
    for one layer's insides instead of all.

    Args:
        model: Of transformers.

    Raises:
        UserError: Its family cannot.
    """
    if not model.supports_gradient_checkpointing:
        raise UserError(
            f"a {model.config.model_type} model cannot compute its layers again",
            key="model.gradient_checkpointing",
            value=True,
        )
    # With re-entrance, weights before the first layer that learns would get no gradient.
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
