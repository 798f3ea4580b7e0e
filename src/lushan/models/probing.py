"""Probes of a model before training: does it attend as the loss of its task assumes?

Tokens are changed and the losses of all places are compared. A place that does not see them has
the loss it had, whatever the architecture and its author: only `token_losses` is called, as
evaluation calls it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lushan.errors import UserError
from lushan.models.decoders import with_decoder
from lushan.models.language import LanguageModel, language_model

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from lushan.models.encoders import Encoder

Probe = Callable[[nn.Module, Sequence[int]], None]
"""Refuses a model, with `encoder`, asked about the ids of ordinary tokens."""

_LENGTH = 8
"""Tokens of a probe's text."""
_PADDING, _FEWEST = 2, 5
_ROUNDING = 8 * torch.finfo(torch.float32).eps
"""Share of a loss that is rounding: experts that get other tokens sum in another order."""
_CLOSE = 1e-3
"""Share of a hidden state that is rounding: rows of another length are summed in another order."""
_STARTED = 0.02
"""Deviation of the values that stand for weights which begin as zero, during the probe."""

_BOTH_SIDES = "task=masked_lm is for models that attend to both sides"
_ONE_SIDE = "task=causal_lm is for causal models"


def require(model: nn.Module, probe: Probe, tokens: Sequence[int]) -> None:
    """Refuse a language model that does not attend as the loss of its task assumes.

    Raises:
        UserError: What is wrong, and which models are right.
    """
    if len(tokens) < _FEWEST or _length(language_model(model)) < _FEWEST:
        return  # nothing could be learned from so few either
    probe(model, tokens)


def require_causal(model: nn.Module, tokens: Sequence[int]) -> None:
    """Refuse a model in which a token changes what is predicted before it.

    Raises:
        UserError: It sees the tokens that it is to predict.
    """
    encoder = language_model(model)
    length = _length(encoder)
    ids, labels = _text(tokens, length), _text(tokens, length, first=3)
    with _probed(model):
        before = _losses(encoder, {"input_ids": ids}, labels)
        for place in range(1, length):
            changed = _losses(encoder, {"input_ids": _changed(ids, place, length, tokens)}, labels)
            if _moved(before[:place], changed[:place]):
                raise UserError(
                    "this model attends to the tokens that it must predict: changing one changes "
                    "the scores before it",
                    key="model",
                    value=_name(encoder),
                    hint="Use a causal model, such as model=gpt2_small, model=llama_small or "
                    f"model=qwen_small; {_BOTH_SIDES}.",
                )


def require_bidirectional(model: nn.Module, tokens: Sequence[int]) -> None:
    """Refuse a model whose predictions do not depend on both sides, or depend on padding.

    Raises:
        UserError: It sees one side alone, or sees the padding.
    """
    encoder = language_model(model)
    length = _length(encoder)
    ids, mask = _padded(tokens, length)
    labels = _text(tokens, length, first=3)
    end = length - _PADDING
    middle = end // 2
    with _probed(model):
        before = _losses(encoder, {"input_ids": ids, "attention_mask": mask}, labels)
        for start, stop, side in ((0, middle, "before"), (middle + 1, end, "after")):
            inputs = {"input_ids": _changed(ids, start, stop, tokens), "attention_mask": mask}
            if torch.equal(before[middle], _losses(encoder, inputs, labels)[middle]):
                raise UserError(
                    f"this model does not attend to the tokens {side} the one that it must predict",
                    key="model",
                    value=_name(encoder),
                    hint="Use a bidirectional model, such as model=bert_small or "
                    f"model=modernbert_small; {_ONE_SIDE}.",
                )
        _require_padding_ignored(encoder, {"attention_mask": mask}, ids, labels, before, tokens)


def require_alone_as_in_a_batch(encoder: Encoder, tokens: Sequence[int]) -> None:
    """Refuse an encoder whose hidden states of a text depend on the padding behind it.

    Raises:
        UserError: They depend on its tokens, or on how many they are.
    """
    length = min(_LENGTH, encoder.max_length or _LENGTH)
    if len(tokens) < _FEWEST or length < _FEWEST:
        return
    ids, mask = _padded(tokens, length)
    end = length - _PADDING
    with _probed(encoder):
        alone = _states(encoder, ids[:, :end], mask[:, :end])
        if _moved(alone, _states(encoder, ids, mask)[:, :end], _CLOSE):
            raise _sees_padding(encoder)


def require_encoder_decoder(model: nn.Module, tokens: Sequence[int]) -> None:
    """Refuse a model whose decoder sees what it is to write, or does not see the source.

    Raises:
        UserError: The decoder is not causal, the source does not reach it, or its padding does.
    """
    encoder = language_model(model)
    length = _length(encoder)
    ids, mask = _padded(tokens, length)
    labels = _text(tokens, length, first=3)
    written = with_decoder(model, {"labels": labels})["decoder_input_ids"]
    rest = {"attention_mask": mask, "decoder_input_ids": written}
    hint = "Use an encoder-decoder, such as model=t5_small."
    with _probed(model):
        before = _losses(encoder, {"input_ids": ids, **rest}, labels)
        for place in range(1, length):
            more = {**rest, "decoder_input_ids": _changed(written, place, length, tokens)}
            changed = _losses(encoder, {"input_ids": ids, **more}, labels)
            if _moved(before[:place], changed[:place]):
                raise UserError(
                    "the decoder of this model attends to the tokens that it must predict: "
                    "changing one changes the scores before it",
                    key="model",
                    value=_name(encoder),
                    hint=hint,
                )
        inputs = {"input_ids": _changed(ids, 0, length - _PADDING, tokens), **rest}
        if torch.equal(before, _losses(encoder, inputs, labels)):
            raise UserError(
                "the output of this model does not depend on its source",
                key="model",
                value=_name(encoder),
                hint=hint,
            )
        _require_padding_ignored(encoder, rest, ids, labels, before, tokens)


def _require_padding_ignored(
    encoder: LanguageModel,
    rest: dict[str, Tensor],
    ids: Tensor,
    labels: Tensor,
    before: Tensor,
    tokens: Sequence[int],
) -> None:
    """Refuse a model whose losses depend on tokens that the mask hides."""
    end, length = ids.shape[1] - _PADDING, ids.shape[1]
    real = slice(None) if "decoder_input_ids" in rest else slice(end)
    inputs = {"input_ids": _changed(ids, end, length, tokens), **rest}
    if _moved(before[real], _losses(encoder, inputs, labels)[real]):
        raise _sees_padding(encoder)


def _sees_padding(encoder: nn.Module) -> UserError:
    return UserError(
        "this model attends to padding, so its scores depend on the batch",
        key="model",
        value=_name(encoder),
        hint="It must use attention_mask, which is 0 for padding.",
    )


def ordinary_tokens(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """The ids of a tokenizer that stand for text."""
    special = set(tokenizer.all_special_ids)
    return [number for number in range(len(tokenizer)) if number not in special]


def _length(encoder: LanguageModel) -> int:
    return min(_LENGTH, encoder.max_length or _LENGTH)


def _text(tokens: Sequence[int], length: int, first: int = 0) -> Tensor:
    """Ids (1, L) from all over the vocabulary."""
    step = max(1, len(tokens) // _LENGTH)
    return torch.tensor([[tokens[(first + step * i) % len(tokens)] for i in range(length)]])


def _padded(tokens: Sequence[int], length: int) -> tuple[Tensor, Tensor]:
    """Ids and mask, both (1, L), that hides the last ones."""
    mask = torch.ones(1, length, dtype=torch.long)
    mask[:, -_PADDING:] = 0
    return _text(tokens, length), mask


def _changed(ids: Tensor, start: int, end: int, tokens: Sequence[int]) -> Tensor:
    """Return the ids with other tokens from one place to another."""
    other = ids.clone()
    for place in range(start, end):
        now = int(ids[0, place])
        number = tokens.index(now) if now in tokens else 0
        other[0, place] = tokens[(number + len(tokens) // 2) % len(tokens)]
    return other


def _losses(encoder: LanguageModel, inputs: dict[str, Tensor], labels: Tensor) -> Tensor:
    """The loss of each place, (L,)."""
    device = next(encoder.parameters()).device
    moved = {name: tensor.to(device) for name, tensor in inputs.items()}
    torch.manual_seed(0)  # a model that draws something itself draws the same each time
    losses, _ = encoder.token_losses(moved, labels.to(device))
    return losses[0].detach().cpu()


def _states(encoder: Encoder, ids: Tensor, mask: Tensor) -> Tensor:
    """The hidden states (1, L, H) of ids and a mask (1, L)."""
    device = next(encoder.parameters()).device
    torch.manual_seed(0)
    states = encoder(input_ids=ids.to(device), attention_mask=mask.to(device))
    return states.detach().cpu()


def _moved(before: Tensor, after: Tensor, share: float = _ROUNDING) -> bool:
    return bool(((after - before).abs() > share * before.abs().clamp(min=1)).any())


def _name(encoder: nn.Module) -> str:
    return type(getattr(encoder, "model", encoder)).__name__


@contextlib.contextmanager
def _probed(model: nn.Module) -> Iterator[None]:
    """A model without dropout whose weights all count; afterwards it is what it was.

    What begins as zero (an adapter, a gate, a last projection) hides what is seen through it.
    """
    modes = {module: module.training for module in model.modules()}
    device = next(model.parameters()).device
    with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(1)
        zeros = [w for w in model.parameters() if w.is_floating_point() and not w.any()]
        model.eval()
        try:
            for weight in zeros:
                weight.normal_(std=_STARTED)
            yield
        finally:
            for weight in zeros:
                weight.zero_()
            for module, training in modes.items():
                module.training = training
