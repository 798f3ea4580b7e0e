"""Frozen weights in four bits (Dettmers et al., 2023), for models that would not fit a card."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from lushan.configurable import configurable
from lushan.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@configurable
class FourBit:
    """Keeps the weights of linear modules in four bits, and computes in bfloat16.

    Args:
        kind: Data type of 4-bit weights: normal float or floating point.
        double: Whether to quantize the scales, too.
    """

    def __init__(self, kind: Literal["nf4", "fp4"] = "nf4", double: bool = True) -> None:
        self.kind, self.double = kind, double

    def __call__(self, model: PreTrainedModel) -> None:
        """Replace a model's linear modules, but for its output projection, in place.

        The weights are quantised when they are moved to the card.

        Raises:
            UserError: There is no card, or the package bitsandbytes is missing.
        """
        require()
        bnb: Any = importlib.import_module("bitsandbytes")
        output = model.get_output_embeddings()
        chosen = [
            (parent, name, module)
            for parent in model.modules()
            for name, module in parent.named_children()
            if type(module) is nn.Linear and module is not output
        ]
        if not chosen:
            raise UserError(
                f"a {model.config.model_type} model has no linear modules of PyTorch to quantise",
                key="peft.quantize",
                hint="Write peft=lora.",
            )
        for parent, name, module in chosen:
            setattr(parent, name, self._quantized(module, bnb))
        # peft chooses its layers by this.
        model.is_loaded_in_4bit = True  # type: ignore[assignment]

    def _quantized(self, module: nn.Linear, bnb: Any) -> nn.Module:
        new = bnb.nn.Linear4bit(
            module.in_features,
            module.out_features,
            bias=module.bias is not None,
            compute_dtype=torch.bfloat16,
            compress_statistics=self.double,
            quant_type=self.kind,
        )
        new.weight = bnb.nn.Params4bit(
            module.weight.data,
            requires_grad=False,
            compress_statistics=self.double,
            quant_type=self.kind,
            module=new,
        )
        new.bias = module.bias
        return new


def require() -> None:
    """Refuse a machine that cannot compute with four bits."""
    if not torch.cuda.is_available():
        raise UserError(
            "4-bit weights need a CUDA GPU, but there is none",
            key="peft.quantize",
            hint="Write peft=lora, which differs only in the frozen weights.",
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(
            "4-bit weights need the package bitsandbytes, which is not installed",
            key="peft.quantize",
            hint="pip install bitsandbytes",
        )
