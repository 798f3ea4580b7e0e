"""Language models of transformers, whose logits are never held all at once.

A model runs up to what its last projection takes; the projection and the cross-entropy are one
operation in pieces (`lushan.models.projected_loss`), over the places alone that are learned. With
50,000 tokens in the vocabulary, all logits would be most of what a step holds.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn

from lushan.compat.torch import replace_child
from lushan.errors import UserError
from lushan.models import fused, narrowed, projected_loss
from lushan.models.architectures import first_position, longest
from lushan.models.attention import packed_mask, varlen
from lushan.models.backbone import Backbone, accepted, text_config_of, width_of
from lushan.models.losses import wide
from lushan.models.precision import in_autocast

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

IGNORED = -100
TOKEN_TYPES = "mm_token_type_ids"
"""An argument of models whose positions follow from the sizes of images (M-RoPE)."""
_PROBE = 6
"""Tokens of each text that a model is asked about, before anything is made of what it is."""
_CLOSE = 1e-3
"""By how much logits of the same may differ."""


def token_types(config: PreTrainedConfig, ids: Tensor) -> Tensor:
    """Return which tokens stand for images, 1, and which for text, 0; (B, L)."""
    return (ids == getattr(config, "image_token_id", -1)).long()


class LanguageModel(nn.Module):
    """A causal, masked or encoder-decoder language model.

    Args:
        model: Of transformers, with its output projection.
        bidirectional: Whether tokens see those that follow them.

    Attributes:
        model: The same.
        config: Its config.
        text_config: The part of it that is about text.
        width: Of the hidden states that are projected on the vocabulary.
        max_length: Tokens it can read, or None where positions set no bound.
        first_position: What the model calls a text's first place; RoBERTa begins with 2.
        compiled: Whether its layers are compiled, which then need a mask for rows of documents.
        new_weights: Names of weights that the checkpoint which it was read from has not.
    """

    new_weights: Sequence[str] = ()

    def __init__(self, model: PreTrainedModel, *, bidirectional: bool = False) -> None:
        super().__init__()
        fused.fuse(model)
        self.bidirectional = bidirectional
        self.model = model
        self.config = model.config
        self.text_config = text_config_of(model.config)
        self.max_length = longest(model)
        self.first_position = first_position(model)
        self.compiled = False
        self._by_document: bool | None = None
        self._can_narrow: bool | None = None
        self._accepted = accepted(model)
        self.projects = _is_projection(model)

    @property
    def width(self) -> int:
        """Width of the hidden states."""
        return width_of(self.config)

    @property
    def writes_apart(self) -> bool:
        """Return whether it writes apart from what it reads, as an encoder-decoder does."""
        return bool(getattr(self.config, "is_encoder_decoder", False))

    def forward(self, **inputs: Any) -> Any:
        """The model's own output, with all logits: for generation and export."""
        return self.model(**self._known(inputs))

    def hidden(self, **inputs: Tensor) -> Tensor:
        """Return the last hidden states, (B, L, H), which the output projection takes.

        Of an encoder-decoder they are the decoder's.

        Args:
            inputs: `input_ids` (B, L), and what else the model takes.
        """
        return self._states(self._known(inputs))

    def _states(self, known: dict[str, Tensor]) -> Tensor:
        with _without_projection(self.model):
            return self.model(**known).logits

    def summed_loss(
        self, inputs: dict[str, Tensor], labels: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """Cross-entropy summed over the labels that are not -100, a float32 scalar.

        Args:
            inputs: What the model takes.
            labels: (B, L), each where it is predicted: nothing is shifted here.
            weights: (B, L), what each label's loss is multiplied by; None is 1.
        """
        if not self.projects:
            scores = wide(self.model(**self._known(inputs)).logits)
            how = "sum" if weights is None else "none"
            loss = F.cross_entropy(scores.flatten(0, 1), labels.flatten(), reduction=how)
            return loss if weights is None else (loss * weights.flatten()).sum()
        places = (labels.flatten() != IGNORED).nonzero()[:, 0]  # (T,); the one wait for a card
        layer = self.model.get_output_embeddings()
        return projected_loss.cross_entropy(
            in_autocast(self._hidden_at(places, inputs, labels)),  # a last norm hands float32 on
            layer.weight,
            layer.bias,
            labels.flatten()[places],
            None if weights is None else weights.flatten()[places],
        )

    def _hidden_at(self, places: Tensor, inputs: dict[str, Tensor], labels: Tensor) -> Tensor:
        """Return the hidden states at some places of the labels (B, L), (T, H)."""
        known = self._known(inputs)  # may try the whole model, and so comes before it is narrowed
        narrows = narrowed.worth(places, labels) and self._narrows()
        with contextlib.ExitStack() as stack:
            if narrows:
                stack.enter_context(narrowed.at(self._text_part[0], places, labels.shape[1]))
            hidden = self._states(known)
        if narrows and hidden.shape[:-1] == (1, len(places)):
            return hidden[0]
        return hidden.flatten(0, 1).index_select(0, places)

    def _narrows(self) -> bool:
        """Return whether the last layer may be computed at the learned places alone, now."""
        if self.compiled or self.writes_apart:
            return False
        if distributed.is_available() and distributed.is_initialized():
            return False  # each process has places of its own, and all pass by the layers together
        if self._can_narrow is None:
            # Where the backward pass computes layers again, they are whole then.
            again = getattr(self.model, "is_activation_checkpointing", False)
            self._can_narrow = not again and self._is_the_same_narrowed()
        return self._can_narrow

    @functools.cached_property
    def _text_part(self) -> Sequence[nn.Module]:
        """The language model in one of parts, or the whole of one without; not registered."""
        every = self.model.modules()
        return [m for m in every if getattr(m, "config", None) is self.text_config][:1]

    @torch.no_grad()
    def _is_the_same_narrowed(self) -> bool:
        """Return whether what is computed at some places alone is what it is among all."""
        alone, _ = self._two_documents()
        places = torch.tensor([1, _PROBE + 2], device=alone["input_ids"].device)
        training = self.model.training
        self.model.eval()
        try:
            whole = self.hidden(**alone).flatten(0, 1)[places]
            with narrowed.at(self._text_part[0], places, _PROBE):
                found = self.hidden(**alone)
            found = found[0] if found.shape[0] == 1 else found.flatten(0, 1)[places]
            return found.shape == whole.shape and torch.allclose(found, whole, atol=_CLOSE)
        except (RuntimeError, TypeError, ValueError, AttributeError, IndexError):
            return False  # of other parts, or with more than one result
        finally:
            self.model.train(training)

    @torch.no_grad()
    def token_losses(self, inputs: dict[str, Tensor], labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss at each place, and whether the likeliest token is the label.

        Args:
            inputs: What the model takes.
            labels: As in `summed_loss`.

        Returns:
            (losses, hits), both (B, L): the cross-entropy in float32, and whether the likeliest
            token is the label; 0 and False where the label is -100.
        """
        learned = labels != IGNORED
        losses = torch.zeros(labels.shape, device=labels.device)
        hits = torch.zeros_like(learned)
        if not self.projects:
            states = self.model(**self._known(inputs)).logits[learned]
        else:
            states = self.hidden(**inputs)[learned]
        targets = labels[learned]
        found, right = [], []
        size = projected_loss.piece(int(self.text_config.vocab_size), states.dtype)
        for start in range(0, len(targets), size):
            part, wanted = states[start : start + size], targets[start : start + size]
            scores = part if not self.projects else F.linear(part, *self._projection(part))
            found.append(F.cross_entropy(wide(scores), wanted, reduction="none"))
            right.append(scores.argmax(-1) == wanted)
        if found:
            losses[learned] = torch.cat(found).to(losses.dtype)
            hits[learned] = torch.cat(right)
        return losses, hits

    @torch.no_grad()
    def keeps_apart(self) -> bool:
        """Return whether a row of two documents has the logits that the two have alone."""
        if self.bidirectional and not packed_mask.takes_rows(self.config):
            return False
        if self.config.is_encoder_decoder or TOKEN_TYPES in self._accepted:
            return False  # decoders take no positions; with token types these follow from images
        alone, packed = self._two_documents()
        one, other = self._asked(alone), self._asked(packed)
        return torch.allclose(one.flatten(0, 1), other[0], atol=_CLOSE)

    def _two_documents(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Two documents as two rows, and as one."""
        device = next(self.model.parameters()).device
        ids = torch.arange(2 * _PROBE, device=device)[None] * 7 % int(self.text_config.vocab_size)
        # RoBERTa gives padding no place of its own.
        padding = self.text_config.pad_token_id
        ids[ids == padding] = (padding or 0) + 1
        places = torch.arange(_PROBE, device=device).repeat(2)[None]
        return {"input_ids": ids.view(2, _PROBE)}, {"input_ids": ids, "position_ids": places}

    def _asked(self, inputs: dict[str, Tensor]) -> Tensor:
        """Logits without dropout."""
        training = self.model.training
        self.model.eval()
        try:
            return self.model(**self._known(inputs)).logits
        finally:
            self.model.train(training)

    def _projection(self, hidden: Tensor) -> tuple[Tensor, Tensor | None]:
        layer = self.model.get_output_embeddings()
        bias = getattr(layer, "bias", None)
        return layer.weight.to(hidden.dtype), None if bias is None else bias.to(hidden.dtype)

    def _known(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The inputs that this model takes; no cache, which would hide where documents end."""
        known = {name: value for name, value in inputs.items() if name in self._accepted}
        # A model of parts hands it on to its language model.
        if "use_cache" in self._accepted or self.text_config is not self.config:
            known["use_cache"] = False
        if TOKEN_TYPES in self._accepted and "input_ids" in inputs:
            known[TOKEN_TYPES] = token_types(self.config, inputs["input_ids"])
        if "position_ids" in inputs and not self.bidirectional:
            self._attend(inputs["position_ids"].device)
        elif "position_ids" in inputs:
            places, dtype = inputs["position_ids"], next(self.model.parameters()).dtype
            known["attention_mask"] = packed_mask.attention_mask(self.config, places, dtype)
            if "position_ids" in known:
                known["position_ids"] = places + self.first_position
        return known

    def _attend(self, device: torch.device) -> None:
        """Have rows of documents attended to one by one, where that is quicker and the same."""
        if self._by_document is None:
            self._by_document = False  # for the question itself, which comes by here
            able = varlen.possible(self.text_config, device)
            self._by_document = able and self._allows_by_document()
        varlen.choose(self.text_config, self._by_document and not self.compiled)

    @torch.no_grad()
    def _allows_by_document(self) -> bool:
        """Return whether documents one by one have the logits that a mask gives them."""
        _, packed = self._two_documents()
        try:
            masked = self._asked(packed)
            self._by_document = True
            return torch.allclose(self._asked(packed), masked, atol=_CLOSE)
        # Prompts want no rows of documents at all, and some models a mask to add something to.
        except (UserError, RuntimeError, TypeError, ValueError, AttributeError):
            return False


def language_model(model: nn.Module) -> LanguageModel:
    """Return the language model in the model that a task has built."""
    return cast("LanguageModel", model.encoder)


class WholeModel(nn.Module):
    """A language model as the module trains it: everything is the encoder, and nothing a head."""

    def __init__(self, encoder: Backbone) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, **inputs: Any) -> Any:
        """See `LanguageModel.forward`."""
        return self.encoder(**inputs)


class _Same(nn.Module):
    """Stands where the projection stood."""

    weight = torch.empty(0)
    """Mamba brings hidden states into its type before it projects them."""

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden


_SAME = _Same()
"""One for all: a compiled model must find the same module again."""


@contextlib.contextmanager
def _without_projection(model: PreTrainedModel) -> Iterator[None]:
    """A model whose logits are the hidden states that it would project."""
    layer = model.get_output_embeddings()
    parent, name = _place(model, layer)
    # Past `nn.Module.__setattr__`: the tree of modules, its names and its hooks stay what they are.
    replace_child(parent, name, _SAME)
    try:
        yield
    finally:
        replace_child(parent, name, layer)


def _place(model: nn.Module, layer: nn.Module) -> tuple[nn.Module, str]:
    """Return the parent of a layer, and its name; those near the top are looked at first."""
    level = [model]
    while level:
        for parent in level:
            for name, child in parent.named_children():
                if child is layer:
                    return parent, name
        level = [child for parent in level for child in parent.children()]
    raise LookupError(f"{type(model).__name__} does not have this layer")


def _is_projection(model: PreTrainedModel) -> bool:
    """Return whether the logits are the projected hidden states and nothing more.

    Some models bend them afterwards (Gemma 2 caps them): theirs are then taken whole.
    """
    layer = model.get_output_embeddings()
    if not isinstance(layer, nn.Linear):
        return False
    ids = torch.arange(_PROBE)[None] % int(text_config_of(model.config).vocab_size)
    inputs = {"input_ids": ids.to(layer.weight.device)}
    if getattr(model.config, "is_encoder_decoder", False):
        inputs["decoder_input_ids"] = inputs["input_ids"]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            whole = model(**inputs).logits
            try:
                with _without_projection(model):
                    hidden = model(**inputs).logits
            except RuntimeError:  # BART adds a bias to its logits, which hidden states do not fit
                return False
            again = F.linear(hidden, layer.weight, layer.bias)
            return bool(torch.allclose(again, whole, atol=1e-4))
    finally:
        model.train(was_training)
