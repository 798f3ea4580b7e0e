"""Parameter-efficient fine-tuning: a few new weights learn, the model's own stay as they are."""

from __future__ import annotations

from typing import Any

import peft
from torch import nn

from lushan.checkpoint.weights import weights_hash
from lushan.configurable import configurable
from lushan.errors import UserError
from lushan.models.peft.adalora import AdaLora, Allocated
from lushan.models.peft.adaptation import Adaptation, attach
from lushan.models.peft.bottleneck import Bottleneck, Bottlenecked
from lushan.models.peft.prompts import Prefixed, Prompted
from lushan.models.peft.quantized import FourBit
from lushan.models.peft.tuned import Tuned


@configurable
def adapt(
    config: peft.PeftConfig | Bottleneck,
    quantize: FourBit | None = None,
    *,
    encoder: nn.Module,
    auto_class: str = "AutoModel",
) -> nn.Module:
    """Freeze an encoder's model and give it an adapter.

    Args:
        config: Config of a peft method, or of bottleneck adapters.
        quantize: Quantization of the frozen weights; null is none.
        encoder: With a `model` of transformers that has the weights it begins with.
        auto_class: Name of the Auto class of the model; set by the task.

    Returns:
        The same encoder; `encoder.adaptation` says how it was adapted.

    Raises:
        UserError: The method does not fit the model.
    """
    whole: Any = encoder
    sha256 = weights_hash(dict(whole.model.named_parameters()))
    if quantize is not None:
        quantize(whole.model)
    base = {id(weight) for weight in whole.model.parameters()}
    attach(whole, _adapted(whole, config, auto_class), base=base, sha256=sha256)
    return encoder


def task_type(auto_class: str) -> str | None:
    """Return what peft calls the use of a model; None where it has no word, as for masked ones."""
    from peft.auto import MODEL_TYPE_TO_PEFT_MODEL_MAPPING

    name = "PeftModel" + (auto_class.removeprefix("AutoModel") or "ForFeatureExtraction")
    words = {kind.__name__: word for word, kind in MODEL_TYPE_TO_PEFT_MODEL_MAPPING.items()}
    return words.get(name)


def _adapted(encoder: Any, config: Any, auto_class: str) -> Adaptation:
    if isinstance(config, Bottleneck):
        return Bottlenecked(encoder.model, config)
    config.task_type = task_type(auto_class)
    if isinstance(config, peft.PrefixTuningConfig):
        return Prefixed(encoder, config)
    if isinstance(config, peft.PromptTuningConfig):
        return Prompted(encoder, config)
    if config.is_prompt_learning or config.is_adaption_prompt:
        raise UserError(
            "only prompt tuning and prefix tuning are supported",
            key="peft.config._target_",
            value=type(config).__name__,
        )
    if isinstance(config, peft.AdaLoraConfig):
        if not isinstance(config, AdaLora):
            raise UserError(
                "its number of steps must come from the training",
                key="peft.config._target_",
                value="peft.AdaLoraConfig",
                hint="Write lushan.models.peft.adalora.AdaLora, which takes the same arguments.",
            )
        return Allocated(encoder.model, config)
    return Tuned(encoder.model, config)
