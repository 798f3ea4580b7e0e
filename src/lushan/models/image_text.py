"""Configs of fresh models that read images and text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lushan.configurable import configurable

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


@configurable
def llava(
    vision: PreTrainedConfig,
    text: Callable[..., Any],
    feature_layer: int = -1,
    *,
    vocab_size: int,
    pad_token_id: int | None = None,
    image_token_id: int = 0,
    bos_token_id: int | None = None,
    eos_token_id: int | None = None,
) -> PreTrainedConfig:
    """Make the config of a Llava: a vision tower, a projector of two layers, a language model.

    All patches of an image are read (Liu et al., 2023, arXiv:2304.08485), so the tower has no place
    of its own for a whole image, as SigLIP's.

    Args:
        vision: Config of the vision tower.
        text: Callable that returns the config of the language model.
        feature_layer: Layer of the vision tower whose hidden states are used; -1 is the last.
        vocab_size: Of the tokenizer.
        pad_token_id: Likewise.
        image_token_id: Id of the token that stands for an image patch.
        bos_token_id: Begin-of-text token.
        eos_token_id: End-of-text token.
    """
    from transformers import LlavaConfig

    tower: Any = vision
    if not hasattr(tower, "hidden_size"):  # a tower of stages, such as SegFormer's
        tower.hidden_size = tower.hidden_sizes[-1]
    ids: dict[str, Any] = {
        "pad_token_id": pad_token_id,
        "bos_token_id": bos_token_id,
        "eos_token_id": eos_token_id,
    }
    return LlavaConfig(
        vision_config=tower,
        text_config=text(vocab_size=vocab_size, **ids),
        image_token_index=image_token_id,
        vision_feature_layer=feature_layer,
        vision_feature_select_strategy="full",
        **ids,
    )


@configurable
def clip(
    vision: PreTrainedConfig,
    text: Callable[..., Any],
    projection_dim: int = 128,
    *,
    vocab_size: int,
    pad_token_id: int | None = None,
    bos_token_id: int | None = None,
    eos_token_id: int | None = None,
) -> PreTrainedConfig:
    """Make the config of a CLIP: a tower for images and one for texts (Radford et al., 2021).

    Args:
        vision: Config of the vision tower.
        text: Callable that returns the config of the text tower.
        projection_dim: Dimension of the shared embedding space.
        vocab_size: Of the tokenizer.
        pad_token_id: Likewise.
        bos_token_id: Begin-of-text token.
        eos_token_id: End-of-text token.
    """
    from transformers import CLIPConfig

    ids = {"pad_token_id": pad_token_id, "bos_token_id": bos_token_id, "eos_token_id": eos_token_id}
    return CLIPConfig(
        vision_config=vision.to_dict(),
        text_config=text(vocab_size=vocab_size, **ids).to_dict(),
        projection_dim=projection_dim,
    )
