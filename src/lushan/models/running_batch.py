"""A batch of texts that rows join and leave while others are being written.

`generate` of transformers writes all rows of a batch from their beginning to the last one's end. A
server cannot wait for that: here each step gives every row one token, and between steps rows that
have ended leave, with their part of the cache, and new ones join, filled up on the left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lushan.models.backbone import accepted, cache_name
from lushan.models.decoding import Finish, Settings, Written, padded, processors
from lushan.models.packed_weights import pack_weights
from lushan.models.stepwise import stepwise
from lushan.text.incremental import Reader

if TYPE_CHECKING:
    from transformers import DynamicCache, PreTrainedTokenizerFast

_CLOSE = {torch.float32: 1e-3}
"""By how much logits of the same row may differ, alone and among others."""
_CLOSE_ELSE = 0.25
"""The same for types with fewer digits."""


class Row:
    """A text that is being written.

    Args:
        prompt: Tokens.
        settings: How; `max_new_tokens` has room behind the prompt.
        sample: Its number among the texts of its prompt.
        tokenizer: Of the model.
        endings: Tokens that end a text.

    Attributes:
        ids: The new tokens so far.
        finish: How it has ended; None while it is being written.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        settings: Settings,
        sample: int,
        *,
        tokenizer: PreTrainedTokenizerFast,
        endings: Sequence[int],
    ) -> None:
        self.prompt, self.most = list(prompt), settings.max_new_tokens
        self.ids: list[int] = []
        self.finish: Finish | None = None
        self._reader = Reader(tokenizer, prompt, stops=settings.stop, endings=endings)
        self._processors = processors(settings, [self.prompt], [sample], is_whole=False)

    def choose(self, scores: Tensor) -> int:
        """Return the next token.

        Args:
            scores: Of the vocabulary, float32 (V,).
        """
        if not self._processors:
            return int(scores.argmax())
        ids = torch.tensor([[*self.prompt, *self.ids]], device=scores.device)
        found = scores[None]
        for processor in self._processors:
            found = processor(ids, found)
        return int(found.argmax())

    def take(self, token: int) -> str:
        """Append a token; return the text that may be shown after it."""
        self.ids.append(token)
        shown = self._reader.push(token)
        if self._reader.stopped:
            self.finish = "stop"
        elif self._reader.ended:
            self.finish = "end"
        elif len(self.ids) == self.most:
            self.finish = "length"
        if self.finish is not None:
            shown += self._reader.finish()
            if self._reader.stopped:  # by what was still incomplete
                self.finish = "stop"
        return shown

    @property
    def written(self) -> Written:
        """The text, once it has ended."""
        assert self.finish is not None
        return Written(self.ids, self._reader.text, self.finish)


class RunningBatch:
    """Rows being written together, and their keys and values.

    Args:
        model: A causal model of transformers, in evaluation mode.
        pad_id: The token that fills rows up.

    Attributes:
        rows: Those that are being written.
    """

    def __init__(self, model: Any, pad_id: int) -> None:
        pack_weights(model)
        self.model, self.pad_id = model, pad_id
        self.rows: list[Row] = []
        self._accepted = accepted(model)
        self._cache_name = cache_name(self._accepted)
        self._cache: DynamicCache | None = None
        self._mask = torch.empty(0)  # (B, L): which places of the cache are a row's own

    @torch.inference_mode()
    def advance(self, newcomers: Sequence[Row] = ()) -> Tensor:
        """Let rows join, and compute the scores of the next token of every row.

        Returns:
            Float32 (rows, V), newcomers last. Each row is to `take` a token before the next step.
        """
        found = []
        if self.rows:
            last = torch.tensor([[row.ids[-1]] for row in self.rows], device=self.model.device)
            self._mask = F.pad(self._mask, (0, 1), value=1)
            found.append(self._scores(last, self._mask, self._cache))
        if newcomers:
            prompts = [row.prompt for row in newcomers]
            given = padded(prompts, self.pad_id, left=True, device=self.model.device)
            cache = empty_cache(self.model)
            found.append(self._scores(given["input_ids"], given["attention_mask"], cache))
            self._join(cache, given["attention_mask"])
            self.rows += newcomers
        return torch.cat(found)

    def keep(self, places: Sequence[int]) -> None:
        """Keep the rows at some places, and let the others leave."""
        if len(places) == len(self.rows):
            return
        self.rows = [self.rows[place] for place in places]
        if self._cache is None or not places:
            self._cache = None
            return
        kept = torch.tensor(places, device=self._mask.device)
        self._mask = self._mask[kept]
        first = int(self._mask.any(0).int().argmax())  # before it, all of it is padding
        self._mask = self._mask[:, first:]
        for layer in _layers(self._cache):
            layer.keys = layer.keys[kept, :, first:]
            layer.values = layer.values[kept, :, first:]

    def _scores(self, ids: Tensor, mask: Tensor, cache: DynamicCache | None) -> Tensor:
        places = (mask.cumsum(-1) - 1).clamp(min=0)
        given: dict[str, Any] = {
            "input_ids": ids,
            "attention_mask": mask if len(mask) > 1 else None,  # one row has no padding
            "position_ids": places[:, -ids.shape[1] :],
            "logits_to_keep": 1,
        }
        known = {name: value for name, value in given.items() if name in self._accepted}
        known[self._cache_name] = cache
        with stepwise(self.model):
            logits: Tensor = self.model(**known, use_cache=True).logits
        return logits[:, -1].float()

    def _join(self, cache: DynamicCache, mask: Tensor) -> None:
        if self._cache is None:
            self._cache, self._mask = cache, mask
            return
        width = max(self._mask.shape[1], mask.shape[1])
        self._mask = torch.cat([_widened(m[..., None], width)[..., 0] for m in (self._mask, mask)])
        for layer, other in zip(_layers(self._cache), _layers(cache), strict=True):
            layer.keys = torch.cat([_widened(k, width) for k in (layer.keys, other.keys)])
            layer.values = torch.cat([_widened(v, width) for v in (layer.values, other.values)])


def empty_cache(model: Any) -> DynamicCache:
    """Return the cache that grows of a model, with nothing in it."""
    from transformers import DynamicCache

    with stepwise(model):
        return DynamicCache(config=model.config)


def takes_rows(model: Any, pad_id: int) -> bool:
    """Return whether rows of a causal model can join and leave a batch.

    They can where each layer keeps all keys and values, and where padding before a row changes
    nothing: a row is asked alone and beside another one that has joined it.
    """
    from lushan.models.growing_cache import GrowingLayer

    # An adapter of prompts has taken the place of `forward`, and puts more into the cache than ids.
    if model.config.is_encoder_decoder or "forward" in vars(model):
        return False
    layers = empty_cache(model).layers
    if not layers or any(type(layer) is not GrowingLayer for layer in layers):
        return False
    most = min(len(_PROBE), model.get_input_embeddings().num_embeddings)
    text = [token % most for token in _PROBE]
    alone, together = (_probed(model, pad_id, text, joined=joined) for joined in (False, True))
    close = _CLOSE.get(model.dtype, _CLOSE_ELSE)
    return torch.allclose(alone, together, atol=close, rtol=close)


_PROBE = (3, 1, 4, 1, 5, 2, 6)


def _probed(model: Any, pad_id: int, text: Sequence[int], *, joined: bool) -> Tensor:
    """Return the scores of a short row's third token, (V,), perhaps beside a longer row."""

    def row(prompt: Sequence[int]) -> Row:
        made = Row.__new__(Row)
        made.prompt, made.ids = list(prompt), []
        return made

    batch = RunningBatch(model, pad_id)
    short = row(text[:2])
    batch.advance([short])
    for token in (text[2], text[3]):
        short.ids.append(token)
        scores = batch.advance([row(text)] if joined and len(batch.rows) == 1 else ())
        if len(batch.rows) > 1:
            batch.rows[1].ids.append(text[-1])
    return scores[0]


def _layers(cache: DynamicCache) -> list[Any]:
    return list(cache.layers)


def _widened(states: Tensor, width: int) -> Tensor:
    """Return states (..., L, D) filled up with zeros on the left to a length."""
    return F.pad(states, (0, 0, width - states.shape[-2], 0))
