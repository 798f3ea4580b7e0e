"""Prompt tuning (Lester et al., 2021) and prefix tuning (Li and Liang, 2021).

Learned vectors stand before the text: as embeddings at the input, or as keys and values in every
layer. peft has their weights and its file format; here they get into the model's own `forward`, so
that training, evaluation and generation call a model of transformers as ever.

What comes out has the length of what went in. The vectors take the first positions, as in peft.
"""

from __future__ import annotations

import copy
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import peft
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from lushan.errors import UserError
from lushan.models.backbone import cache_name, width_of
from lushan.models.peft.adaptation import Adaptation
from lushan.models.peft.tuned import explained

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PreTrainedModel
    from transformers.utils.generic import ModelOutput

WEIGHTS = "adapter_model.safetensors"
TOKENS = ("input_ids", "inputs_embeds")


class Prompted(Adaptation):
    """A model with learned embeddings before its input.

    Args:
        encoder: With the `model` of transformers; gets the weights as `prompt`.
        config: Of the method; what it leaves open is filled in.
    """

    place = "prompt"
    method = "prompt"

    def __init__(self, encoder: Any, config: peft.PromptLearningConfig) -> None:
        model = encoder.model
        super().__init__(model, self.method)
        self.config: Any = config
        self.refuse(model)
        self.length = _length(encoder, config)
        if config.task_type is None:
            config.task_type = "FEATURE_EXTRACTION"
        if config.task_type == "SEQ_2_SEQ_LM" and self.place == "prompt":
            config.num_transformer_submodules = 1  # the encoder's input alone
        with explained(model, config):
            self.peft: Any = peft.get_peft_model(model, config)
        # Its wrapper stays outside, and keeps the weights for what only peft can do.
        encoder.add_module(self.place, self.peft.prompt_encoder)
        self.insert(model)

    def refuse(self, model: PreTrainedModel) -> None:
        """Refuse a model that reads no tokens, before whose embeddings a prompt could stand."""
        if "inputs_embeds" not in inspect.signature(model.forward).parameters:
            raise UserError(
                f"a {model.config.model_type} model does not accept token embeddings",
                key="peft",
                value="prompt",
                hint="Write peft=lora.",
            )

    def insert(self, model: PreTrainedModel) -> None:
        """Take the place of the model's `forward`."""
        if self.config.task_type == "SEQ_2_SEQ_LM":
            # `generate` calls the encoder by itself.
            stack = model.get_encoder()
            stack.forward = Forward(stack.forward, self.read)
            model.forward = Forward(model.forward, self.widen)
        else:
            model.forward = Forward(model.forward, self.prompt)

    def prompt(self, inner: Callable[..., ModelOutput], given: dict[str, Any]) -> ModelOutput:
        """Call a model with the prompt before its input, and cut it off what comes out."""
        _refuse_packed(given, self.method)
        _shift(given, self.length, first=not _has_past(given))
        if _has_past(given):  # the cache holds the prompt
            return self.widen(inner, given)
        outputs = self.read(inner, given)
        return _cut(outputs, self.length, given["inputs_embeds"].shape[1])

    def read(self, inner: Callable[..., ModelOutput], given: dict[str, Any]) -> ModelOutput:
        """Call a model with the prompt before its input; what comes out is longer by it."""
        tokens = given.get("inputs_embeds")
        if tokens is None:
            tokens = self.model.get_input_embeddings()(given["input_ids"])
        mask: Any = given.get("attention_mask")
        # That of an encoder-decoder may have been widened before.
        if getattr(mask, "ndim", 0) != 2 or mask.shape[1] == tokens.shape[1]:
            _widen(given, "attention_mask", self.length)
        vectors = self._vectors(len(tokens)).to(tokens.dtype)
        given["inputs_embeds"] = torch.cat([vectors, tokens], dim=1)
        given["input_ids"] = None
        for name, value in (("token_type_ids", 0), ("labels", -100)):
            if given.get(name) is not None:
                given[name] = F.pad(given[name], (self.length, 0), value=value)
        return inner(**given)

    def widen(self, inner: Callable[..., ModelOutput], given: dict[str, Any]) -> ModelOutput:
        """Call a model that sees the prompt in its cache, or in what its encoder gave."""
        _widen(given, "attention_mask", self.length)
        return inner(**given)

    def _vectors(self, count: int) -> Tensor:
        return self.peft.get_prompt(batch_size=count)

    def save(self, folder: str | Path) -> None:
        """Write the vectors as peft does; `PeftModel.from_pretrained` reads them."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config = copy.deepcopy(self.config)
        config.inference_mode = True
        config.save_pretrained(str(folder))
        vectors = self.peft.get_prompt_embedding_to_save("default").contiguous()
        save_file({"prompt_embeddings": vectors}, folder / WEIGHTS, metadata={"format": "pt"})


class Prefixed(Prompted):
    """A model with learned keys and values in every layer; in a decoder, where it has one.

    Args:
        encoder: With the `model` of transformers; gets the weights as `prefix`.
        config: Of the method; what it leaves open is filled in.
    """

    place = "prefix"
    method = "prefix"

    def refuse(self, model: PreTrainedModel) -> None:
        """Refuse a model that keeps no keys and values of what came before."""
        names = inspect.signature(model.forward).parameters
        takes_past = cache_name(names) in names
        is_half = model.config.is_encoder_decoder and self.config.task_type != "SEQ_2_SEQ_LM"
        if is_half or not takes_past:
            raise UserError(
                f"a {model.config.model_type} model does not accept external keys and values",
                key="peft",
                value="prefix",
                hint="Write peft=prompt or peft=lora.",
            )
        if any(getattr(module, "gradient_checkpointing", False) for module in model.modules()):
            raise UserError(
                "gradient checkpointing would discard the prefix",
                key="model.gradient_checkpointing",
                value=True,
                hint="Write false, or peft=lora.",
            )
        if self.config.prefix_projection and self.config.encoder_hidden_size is None:
            self.config.encoder_hidden_size = width_of(model.config)

    def insert(self, model: PreTrainedModel) -> None:
        """Take the place of the model's `forward`."""
        model.forward = Forward(model.forward, self.prompt)

    def prompt(self, inner: Callable[..., ModelOutput], given: dict[str, Any]) -> ModelOutput:
        """Call a model that begins with the prefix as what it has read before."""
        _refuse_packed(given, self.method)
        whole = self.config.task_type == "SEQ_2_SEQ_LM"
        names = ("decoder_input_ids", "decoder_inputs_embeds", "labels") if whole else TOKENS
        tokens = next(given[name] for name in names if given.get(name) is not None)
        _widen(given, "decoder_attention_mask" if whole else "attention_mask", self.length)
        _shift(given, self.length)
        past = cache_name(inspect.signature(inner).parameters)
        if not _has_past(given):
            if getattr(given.get(past), "is_compileable", False):
                raise UserError(
                    "a static cache has no room for the prefix",
                    key="cache_implementation",
                    value="static",
                    hint="Generate with the dynamic cache.",
                )
            given[past] = self._vectors(len(tokens))
        return inner(**given)


class Forward:
    """Stands in the place of a model's `forward`, and calls it by way of an adaptation.

    Args:
        inner: The model's own.
        way: Takes `inner` and the arguments by name.
    """

    def __init__(self, inner: Callable[..., ModelOutput], way: Callable[..., ModelOutput]) -> None:
        self.inner, self.way = inner, way
        # `generate` looks up there which arguments there are.
        self.__signature__ = inspect.signature(inner)

    def __call__(self, *args: object, **kwargs: object) -> ModelOutput:
        """Call the model with these arguments."""
        given = dict(self.__signature__.bind_partial(*args).arguments) | kwargs
        return self.way(self.inner, given)


def _length(encoder: Any, config: peft.PromptLearningConfig) -> int:
    count = config.num_virtual_tokens
    if not isinstance(count, int) or count < 1:
        raise UserError("must be 1 or more", key="peft.config.num_virtual_tokens", value=count)
    if encoder.max_length is not None:
        if count >= encoder.max_length:
            raise UserError(
                f"the model's limit is {encoder.max_length} tokens, which leaves none for the text",
                key="peft.config.num_virtual_tokens",
                value=count,
            )
        encoder.max_length -= count
    return count


def _has_past(given: dict[str, Any]) -> bool:
    """Return whether a cache holds the past, and so the prompt."""
    past = given.get(cache_name(given))
    return past is not None and bool(past.get_seq_length() > 0)


def _widen(given: dict[str, Any], name: str, by: int) -> None:
    """Let the places of the prompt be seen."""
    mask = given.get(name)
    if mask is None:
        return
    if getattr(mask, "ndim", 0) != 2:
        raise UserError(
            "prompts and prefixes need a mask of shape (batch, length), but this has another shape",
            key="peft",
            hint="Turn off packing and static caches, or write peft=lora.",
        )
    given[name] = F.pad(mask, (by, 0), value=1)


def _shift(given: dict[str, Any], by: int, *, first: bool = False) -> None:
    """Count positions from behind the prompt; where it stands at the input, it has its own."""
    positions = given.get("position_ids")
    if positions is None:
        return
    given["position_ids"] = positions + by
    if first:
        own = torch.arange(by, device=positions.device).expand(len(positions), -1)
        given["position_ids"] = torch.cat([own, positions + by], dim=1)


def _refuse_packed(given: dict[str, Any], method: str) -> None:
    """Positions that begin twice are those of several documents in a row."""
    positions, mask = given.get("position_ids"), given.get("attention_mask")
    if positions is None or positions.shape[-1] == 1:
        return
    begins = positions == 0
    if mask is not None and mask.shape == positions.shape:
        begins = begins & mask.bool()
    if bool((begins.sum(-1) > 1).any()):
        raise UserError(
            "documents packed into one row cannot each have a prompt",
            key="peft",
            value=method,
            hint="Write data.packing=false, or peft=lora.",
        )


def _cut(outputs: ModelOutput, by: int, total: int) -> ModelOutput:
    """Leave the prompt's places out of a model's outputs."""
    for name in ("last_hidden_state", "logits"):
        value = getattr(outputs, name, None)
        # `generate` asks for the last logits only.
        if value is not None and value.shape[1] == total:
            outputs[name] = value[:, by:]
    if getattr(outputs, "hidden_states", None) is not None:
        outputs["hidden_states"] = tuple(h[:, by:] for h in outputs["hidden_states"])
    return outputs
