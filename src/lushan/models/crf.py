"""A linear-chain CRF's sums and maxima over all sequences of tags (Lafferty et al., 2001).

Every function takes

* scores (B, W, C): of each tag at each word;
* start (C,) or (B, C), between (C, C), end (C,) or (B, C): of the tag of the first word, of a tag
  (row) being followed by another (column), of the tag of the last word; -inf forbids;
* mask (B, W): true at a row's words, which come first, and false at the padding after them.

A forbidden sequence has no share at all, not a small one; a row without words has log-partition 0.

Sums run over probabilities and not over their logarithms: a step is one matrix product, scaled so
that it adds up to one (Rabiner, 1989). For that, a score that is more than 200 below the best one
of its word counts as 200 below it (a share of 1e-87). Results come in float32, or float64 where the
scores are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch.autograd.function import FunctionCtx


def log_partition(
    scores: Tensor, start: Tensor, between: Tensor, end: Tensor, mask: Tensor
) -> Tensor:
    """Log of the sum over all sequences of exp(score), (B,); differentiable once."""
    total: Tensor = _LogPartition.apply(  # type: ignore[no-untyped-call]
        *_rows(scores, start, between, end), mask
    )
    return total.to(_result(scores))


def nll(
    scores: Tensor, labels: Tensor, start: Tensor, between: Tensor, end: Tensor, mask: Tensor
) -> Tensor:
    """Negative log-likelihood of given sequences, (B,)."""
    kind, wide = _result(scores), _rows(scores, start, between, end)
    # Both numbers grow with the sentence, and their difference is small: float64 up to here.
    scores, start, between, end = wide
    loss = log_partition(*wide, mask) - path_score(scores, labels, start, between, end, mask)
    return loss.to(kind)


def path_score(
    scores: Tensor, labels: Tensor, start: Tensor, between: Tensor, end: Tensor, mask: Tensor
) -> Tensor:
    """Scores (B,) of given sequences (B, W); what stands under the padding does not matter."""
    wide, start, between, end = _rows(scores, start, between, end)
    labels = labels.masked_fill(~mask, 0)
    own = wide.gather(-1, labels[..., None]).squeeze(-1)  # (B, W)
    steps = between[labels[:, :-1], labels[:, 1:]]  # (B, W - 1)
    # masked_fill and not a product: 0 times -inf is no number.
    total = own.masked_fill(~mask, 0).sum(1) + steps.masked_fill(~mask[:, 1:], 0).sum(1)
    last = labels.gather(1, _last(mask)[:, None])
    edges = start.gather(1, labels[:, :1]) + end.gather(1, last)  # (B, 1)
    return (total + edges.squeeze(1).masked_fill(~mask[:, 0], 0)).to(_result(scores))


def marginals(scores: Tensor, start: Tensor, between: Tensor, end: Tensor, mask: Tensor) -> Tensor:
    """Probability of each tag at each word over all sequences, (B, W, C); 0 under the padding."""
    sums = _sums(*_rows(scores, start, between, end), mask)
    return _unary(sums, mask).to(_result(scores))


def viterbi(scores: Tensor, start: Tensor, between: Tensor, end: Tensor, mask: Tensor) -> Tensor:
    """The sequence with the highest score, (B, W), 0 under the padding.

    Of several that are equally good, the one whose last tag (then last but one, ...) comes first.
    """
    kind = _result(scores)
    scores, start, between, end = (x.to(kind) for x in (scores, start, between, end))
    words = scores.shape[1]
    steps = scores.transpose(0, 1).contiguous()  # (W, B, C)
    into = between.T.contiguous()  # (to, from): the maximum runs over what lies together
    best = start + steps[0]  # (B, C)
    bests, pointers = [best], []
    for t in range(1, words):
        value, pointer = (best[:, None, :] + into).max(-1)
        best = value + steps[t]
        bests.append(best)
        pointers.append(pointer)
    last = _last(mask)
    rows = torch.arange(len(scores), device=scores.device)
    tag = (torch.stack(bests)[last, rows] + end).argmax(-1)  # (B,)
    path = [tag]
    if pointers:
        # Under the padding a tag points to itself, so that all rows start from the last column.
        itself = torch.arange(scores.shape[-1], device=scores.device)
        inside = mask[:, 1:].T[..., None]
        for pointer in torch.where(inside, torch.stack(pointers), itself).flip(0):
            tag = pointer.gather(1, tag[:, None]).squeeze(1)
            path.append(tag)
    return torch.stack(path[::-1], 1).masked_fill(~mask, 0)


_APART = {torch.float64: 200.0, torch.float32: 25.0}
"""A third of what exp can hold: where the best tags are forbidden, gaps of two words add up."""


class _LogPartition(torch.autograd.Function):
    """The gradient written down: expected counts of tags and of pairs of tags.

    A graph through the recursion would cost several times as much as the recursion.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, scores: Tensor, start: Tensor, between: Tensor, end: Tensor, mask: Tensor
    ) -> Tensor:
        sums = _sums(scores, start, between, end, mask)
        ctx.save_for_backward(mask, *sums)
        return sums.total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        mask, *saved = ctx.saved_tensors
        sums = _Sums(*saved)
        weight = gradients[0][:, None, None]
        unary = _unary(sums, mask) * weight
        inside = mask[:, 1:, None]
        left = sums.forward[:, :-1].masked_fill(~inside, 0)  # (B, W - 1, C)
        right = sums.backward[:, 1:]
        share = weight / (sums.before[:, 1:] * right).sum(-1, keepdim=True)
        right = (right * share).masked_fill(~inside, 0)
        pairs = sums.between * (left.flatten(0, 1).T @ right.flatten(0, 1))
        last = _last(mask)[:, None, None].expand(-1, 1, unary.shape[-1])
        return unary, unary[:, 0], pairs, unary.gather(1, last).squeeze(1), None


class _Sums(NamedTuple):
    """Shares of the sequences up to a word and from a word on, (B, W, C) each.

    Attributes:
        total: Log-partition, (B,).
        before: Of what comes before the word, without the word's own score.
        forward: With it.
        after: Of what comes after the word, without the word's own score.
        backward: With it.
        between: Probabilities of the transitions, unscaled, (C, C).
    """

    total: Tensor
    before: Tensor
    forward: Tensor
    after: Tensor
    backward: Tensor
    between: Tensor


def _sums(scores: Tensor, start: Tensor, between: Tensor, end: Tensor, mask: Tensor) -> _Sums:
    """Both directions at once: a row read backwards is a row, with `between` transposed."""
    scores = scores.masked_fill(~mask[..., None], 0)
    own, start, between, end, scale = _probabilities(scores, start, between, end, mask)
    words = scores.shape[1]
    index = _turn(mask, words)[..., None].expand_as(scores)
    steps = torch.stack([own, own.gather(1, index)]).permute(2, 0, 1, 3).contiguous()
    into = torch.stack([between, between.T])  # (2, C from, C to)
    # (W, 2, B, C) each
    without, having = torch.empty_like(steps), torch.empty_like(steps)
    sizes = steps.new_empty((*steps.shape[:3], 1))
    torch.stack([start, end], out=without[0])
    rows = zip(without.unbind(), having.unbind(), steps.unbind(), sizes.unbind(), strict=True)
    previous = None
    for before, here, step, size in rows:
        if previous is not None:
            torch.bmm(previous, into, out=before)
        torch.mul(before, step, out=here)
        torch.sum(here, -1, keepdim=True, out=size)
        here.div_(size)
        previous = here
    before, forward = without[:, 0].transpose(0, 1), having[:, 0].transpose(0, 1)  # (B, W, C)
    after = without[:, 1].transpose(0, 1).gather(1, index)
    backward = having[:, 1].transpose(0, 1).gather(1, index)
    last = _last(mask)[:, None, None].expand(-1, 1, scores.shape[-1])
    ends = (forward.gather(1, last).squeeze(1) * end).sum(-1).log()
    grown = sizes[:, 0, :, 0].T.log().masked_fill(~mask, 0).sum(1)
    total = (grown + ends + scale).masked_fill(~mask[:, 0], 0)
    return _Sums(total, before, forward, after, backward, between)


def _probabilities(
    scores: Tensor, start: Tensor, between: Tensor, end: Tensor, mask: Tensor
) -> tuple[Tensor, ...]:
    """Everything exponentiated, with its maximum taken out; what was taken out of each row last."""
    high = scores.amax(-1, keepdim=True)
    first, last = start.amax(-1, keepdim=True), end.amax(-1, keepdim=True)
    step = between.max()
    words = mask.sum(1)
    scale = high.squeeze(-1).sum(1) + (first + last).squeeze(1) + step * (words - 1)
    return (
        (scores - high).exp(),
        (start - first).exp(),
        (between - step).exp(),
        (end - last).exp(),
        scale,
    )


def _unary(sums: _Sums, mask: Tensor) -> Tensor:
    share = sums.forward * sums.after
    return (share / share.sum(-1, keepdim=True)).masked_fill(~mask[..., None], 0)


def _turn(mask: Tensor, words: int) -> Tensor:
    """Return the place of each word when its row is read backwards, (B, W); padding stays."""
    places = torch.arange(words, device=mask.device)
    return torch.where(mask, mask.sum(1, keepdim=True) - 1 - places, places)


def _last(mask: Tensor) -> Tensor:
    """The last word of each row, (B,); 0 where there is none."""
    return (mask.sum(1) - 1).clamp(min=0)


def _rows(
    scores: Tensor, start: Tensor, between: Tensor, end: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return scores in the device's widest float type, and the edges row by row."""
    kind = torch.float32 if scores.device.type == "mps" else torch.float64
    scores, start, between, end = (x.to(kind) for x in (scores, start, between, end))
    scores = torch.maximum(scores, scores.amax(-1, keepdim=True) - _APART[kind])
    rows, labels = len(scores), scores.shape[-1]
    return scores, start.expand(rows, labels), between, end.expand(rows, labels)


def _result(scores: Tensor) -> torch.dtype:
    return torch.float64 if scores.dtype == torch.float64 else torch.float32
