"""Dropout whose masks belong to examples, not to batches.

Whether a number is dropped is a function of the step's seed, the feature (its number in the split),
the place in it, the layer and the number's place in the state. So a global batch has the same masks
on however many devices, in however many micro-batches, and padding has none of its own. Bits come
from a counter-based generator (Salmon et al., 2011): the counter is multiplied and folded as in
MurmurHash3's last step, in integers, which are the same on every device. 16 of them decide.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from lushan.data.batch.packing import Pieces
from lushan.models.attention import in_float32

_FIRST, _SECOND = 0xFF51AFD7ED558CCD - 2**64, 0xC4CEB9FE1A85EC53 - 2**64
"""MurmurHash3's multipliers."""
_STEP = 0x9E3779B97F4A7C15 - 2**64
"""Between counters (Steele et al., 2014): odd, and with as many ones as zeros."""
_SHARED = Pieces(np.array([-1]), np.array([0]), np.array([1]))
"""Stands for the rows of a state that is no example's, such as a table of positions."""
_PART = 2**40
"""Between the numbers of a feature's parts; there are fewer features."""
_LEVELS = 2**16
_LAYERS = 16
"""Whose keys are made together."""

_dropout, _attention = F.dropout, F.scaled_dot_product_attention
_active: list[Masks] = []


class Masks:
    """The masks of one pass of a micro-batch through a model.

    Layers are counted as they are called; what is computed again counts again (`recomputed`).

    Args:
        seed: Of the step.
        pieces: The features in the rows of the micro-batch.
        device: Of its states.
        share: Which part of an attention's heads this process has.

    Attributes:
        layer: Layers so far.
        narrowed: Places that some layers are computed at, (T,), and the width of a row; see
            `at_places`.
    """

    def __init__(self, seed: int, pieces: Pieces, device: torch.device, *, share: int = 0) -> None:
        self.seed, self.pieces, self.device, self.share = seed, pieces, device, share
        self.layer = 0
        self.narrowed: tuple[Tensor, int] | None = None
        self._keys: dict[tuple[int, int, bool], Tensor] = {}

    def next_keys(self, width: int, *, shared: bool = False) -> Tensor:
        """Return a key of each place of each row, (B, width), for a layer of its own.

        Args:
            width: Places of a row.
            shared: Whether there is one row that is no example's, (1, width).
        """
        block, layer = divmod(self.layer, _LAYERS)
        self.layer += 1
        known = (block, width, shared)
        if known not in self._keys:
            numbers, places = _SHARED.places(width) if shared else self.pieces.places(width)
            first = _mixed(torch.from_numpy(numbers) * _STEP ^ _word(self.seed))
            place = _mixed(first + torch.from_numpy(places) * _STEP).to(self.device)
            layers = torch.arange(block * _LAYERS, (block + 1) * _LAYERS, device=self.device)
            self._keys[known] = _mixed(place + layers[:, None, None] * _STEP)
        return self._keys[known][layer]

    def drop(self, states: Tensor, p: float) -> Tensor:
        """Return states with a share of `p` dropped, and the rest scaled up.

        Args:
            states: (B, L, H), (B, H), or of attention (B, F, L, S) or (B * F, L, S). Anything else
                is no example's, such as (L, H).
            p: Share.
        """
        rows, shape = len(self.pieces.counts), states.shape
        if self.narrowed is not None and shape[:-1] == (1, len(self.narrowed[0])):
            places, width = self.narrowed
            keys = self.next_keys(width).flatten().index_select(0, places)
            return dropped(states, drawn(keys[None], 1, shape[-1])[:, 0], p)
        if states.ndim == 1 or shape[0] % rows or (states.ndim == 2 and shape[0] != rows):
            flat = states.reshape(1, 1, -1, shape[-1])
            bits = drawn(self.next_keys(flat.shape[2], shared=True), 1, shape[-1])
        else:
            length = shape[-2] if states.ndim > 2 else 1
            heads = states.numel() // max(1, rows * length * shape[-1])
            flat = states.reshape(rows, heads, length, shape[-1])
            keys = self.next_keys(length)
            attention = states.ndim > 3 or heads > 1
            bits = self._attended(keys, flat) if attention else drawn(keys, 1, shape[-1])
        return dropped(flat, bits, p).view(shape)

    def split(self, lengths: Sequence[int]) -> tuple[Tensor, ...]:
        """Return the keys of documents that stand end to end, (1, L) each, for a layer."""
        width = sum(lengths) // len(self.pieces.counts)
        return torch.split(self.next_keys(width).reshape(1, -1), list(lengths), 1)

    def drop_within(self, states: Tensor, *, keys: Tensor, p: float) -> Tensor:
        """Return a document's states (1, F, L, E) with a share of `p` dropped."""
        _, heads, _, width = states.shape
        return dropped(states, drawn(keys, heads, width, self.share), p)

    def _attended(self, keys: Tensor, states: Tensor) -> Tensor:
        """Return the bits of probabilities (B, F, L, S), of keys (B, L).

        In rows of several features what is attended to is counted from each one's beginning, as
        where features are attended to one by one.
        """
        _, heads, length, width = states.shape
        if len(self.pieces.lengths) == len(self.pieces.counts) or width != length:
            return drawn(keys, heads, width, self.share)
        found = keys.new_zeros(states.shape, dtype=torch.int16)
        for row, start, size in self.pieces.spans():
            own = slice(start, start + size)
            found[row, :, own, own] = drawn(keys[row : row + 1, own], heads, size, self.share)[0]
        return found

    @contextlib.contextmanager
    def again(self, layer: int) -> Iterator[None]:
        """Count layers from here, and afterwards from where it was."""
        before, self.layer = self.layer, layer
        try:
            yield
        finally:
            self.layer = before


def drawn(keys: Tensor, heads: int, width: int, share: int = 0) -> Tensor:
    """Return 16 random bits for each number of a state, (B, F, L, E), as signed integers.

    Args:
        keys: Of each place, (B, L).
        heads: F.
        width: E; more of them leave the first ones what they are.
        share: Which of the processes that share a state's heads.
    """
    words = _features(heads, -(-width // 4), share, keys.device)  # (F, W)
    found = keys[:, None, :, None] ^ words[:, None]
    # Both are well mixed: after this all 16 bits are as good as random. The sign, which torch
    # shifts along, makes no difference to what the last product leaves.
    found *= _FIRST
    found ^= found >> 32
    found *= _SECOND
    return found.view(torch.int16)[..., :width]


def dropped(states: Tensor, bits: Tensor, p: float) -> Tensor:
    """Return states without those whose bits are among the lowest `p`, the others scaled up.

    Args:
        states: Any shape.
        bits: The same shape; overwritten.
        p: Share that is dropped, in steps of 2 ** -16.
    """
    lowest = round(p * _LEVELS)
    if lowest >= _LEVELS:
        return states * 0
    kept = bits.ge_(lowest - _LEVELS // 2)
    found: Tensor = _Dropped.apply(states, kept, _LEVELS / (_LEVELS - lowest))  # type: ignore[no-untyped-call]
    return found


class _Dropped(torch.autograd.Function):
    """Product with a mask of 16-bit ones and zeros, which is half the size of one in float32."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, kept: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(kept)
        ctx.scale = scale
        return kept.to(states.dtype).mul_(states).mul_(scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (kept,) = ctx.saved_tensors
        return kept.to(gradient.dtype).mul_(gradient).mul_(ctx.scale), None, None


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    drop: Callable[[Tensor], Tensor],
    *,
    scale: float | None = None,
    causal: bool = False,
) -> Tensor:
    """Compute attention step by step: fused kernels draw masks of their own.

    Args:
        query: (B, F, L, D).
        key: (B, G, S, D), where G divides F.
        value: (B, G, S, D).
        mask: Added to the scores, or true where attention is permitted; broadcast to (B, F, L, S).
        drop: What is done to the probabilities (B, F, L, S).
        scale: Factor of the scores; 1 / sqrt(D) if not given.
        causal: Whether a query sees the keys before it only.
    """
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (part.repeat_interleave(groups, 1) for part in (key, value))
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = (query * factor) @ key.transpose(-1, -2)
    least = torch.finfo(scores.dtype).min
    if causal:  # what is added needs no work in the backward pass
        scores += scores.new_full(scores.shape[-2:], least).triu_(1)
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill_(~mask, least)
    elif mask is not None:
        scores = scores + mask
    return drop(scores.softmax(-1)).to(value.dtype) @ value


def active() -> Masks | None:
    """Return the masks of the pass that is being made, or None: then torch draws."""
    if torch.compiler.is_compiling() or not _active:
        return None
    return _active[-1]


@contextlib.contextmanager
def masked(masks: Masks) -> Iterator[None]:
    """Have all dropout of a forward and backward pass go by these masks.

    Modules of torch and models of transformers look their functions up in `torch.nn.functional`.
    """
    _active.append(masks)
    _put(_by_place, _attention_by_place)
    try:
        yield
    finally:
        _active.pop()
        if not _active:
            _put(_dropout, _attention)


@contextlib.contextmanager
def of_parts(rows: Sequence[int], parts: Sequence[int], lengths: Sequence[int]) -> Iterator[None]:
    """Have what a model is given be parts of the micro-batch's features, with masks of their own.

    Args:
        rows: The row of the micro-batch that each belongs to, where a row is a feature.
        parts: Which part of it each is; -1 is the feature itself.
        lengths: Tokens of each.
    """
    masks = active()
    if masks is None:
        yield
        return
    pieces, keys = masks.pieces, masks._keys
    numbers = pieces.numbers[np.asarray(rows, np.int64)] + (np.asarray(parts, np.int64) + 1) * _PART
    each = np.ones(len(numbers), np.int64)
    masks.pieces, masks._keys = Pieces(numbers, np.asarray(lengths, np.int64), each), {}
    try:
        yield
    finally:
        masks.pieces, masks._keys = pieces, keys


@contextlib.contextmanager
def at_places(places: Tensor, width: int) -> Iterator[None]:
    """Have states (1, T, H) be those of some places of the rows, with the masks of these.

    Args:
        places: Numbers in all rows, end to end, (T,).
        width: Places of a row.
    """
    masks = active()
    if masks is None:
        yield
        return
    masks.narrowed = places, width
    try:
        yield
    finally:
        masks.narrowed = None


def recomputed() -> tuple[contextlib.AbstractContextManager[None], Any]:
    """Return contexts for `torch.utils.checkpoint`: layers computed again have the same masks."""
    masks = active()
    again = contextlib.nullcontext() if masks is None else masks.again(masks.layer)
    return contextlib.nullcontext(), again


def _put(*functions: Callable[..., Tensor]) -> None:
    for name, function in zip(("dropout", "scaled_dot_product_attention"), functions, strict=True):
        setattr(F, name, function)


def _by_place(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    masks = active()
    if masks is None or not training or not 0 < p <= 1 or not input.numel():
        return _dropout(input, p, training, inplace)
    return masks.drop(input, p)


def _attention_by_place(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    masks = active()
    if masks is None or not dropout_p:

        def attend_whole(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
            return _attention(
                q, k, v, mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
            )

        return in_float32.attended(attend_whole, query, key, value, attn_mask)
    drop = functools.partial(masks.drop, p=dropout_p)
    return attend(query, key, value, attn_mask, drop, scale=scale, causal=is_causal)


def _word(number: int) -> int:
    """A number's lowest 64 bits, as a signed integer."""
    return (number + 2**63) % 2**64 - 2**63


@functools.lru_cache(maxsize=64)
def _features(heads: int, words: int, share: int, device: torch.device) -> Tensor:
    """Return a number for each word of each head, (F, W)."""
    head = torch.arange(heads)[:, None] + share * heads
    return _mixed(_mixed(head) + torch.arange(words) * _STEP).to(device)


def _mixed(words: Tensor) -> Tensor:
    """MurmurHash3's last step of each 64-bit word; torch shifts signs along, which is masked."""
    words = (words ^ (words >> 33 & 0x7FFFFFFF)) * _FIRST
    words = (words ^ (words >> 33 & 0x7FFFFFFF)) * _SECOND
    return words ^ (words >> 33 & 0x7FFFFFFF)
