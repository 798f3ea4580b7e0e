"""A linear-chain CRF's sums and maxima over all sequences of tags (Lafferty et al., 2001).

Every function takes

* scores (B, W, C): of each tag at each word;
* start (C,), between (C, C), end (C,): of the tag of the first word, of a tag (row) being followed
  by another (column), of the tag of the last word; -inf forbids. In `log_partition`, start and end
  may also be (B, C);
* mask (B, W): true at a row's words, which come first, and false at the padding after them.

Everything is exact also with -inf: a forbidden sequence has no share, not a small one. Half
precision is widened to float32. A row without words has log-partition 0.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def log_partition(
    scores: Tensor, start: Tensor, between: Tensor, end: Tensor, mask: Tensor
) -> Tensor:
    """Log of the sum over all sequences of exp(score), (B,); differentiable once."""
    scores, start, between, end = _wide(scores, start, between, end)
    rows: Tensor = _LogPartition.apply(  # type: ignore[no-untyped-call]
        scores, _rows(start, scores), between, _rows(end, scores), mask
    )
    return rows


def path_score(
    scores: Tensor, labels: Tensor, start: Tensor, between: Tensor, end: Tensor, mask: Tensor
) -> Tensor:
    """Scores (B,) of given sequences (B, W); what stands under the padding does not matter."""
    scores, start, between, end = _wide(scores, start, between, end)
    labels = labels.masked_fill(~mask, 0)
    start, end = _rows(start, scores), _rows(end, scores)
    own = scores.gather(-1, labels[..., None]).squeeze(-1)  # (B, W)
    steps = between[labels[:, :-1], labels[:, 1:]]  # (B, W - 1)
    # masked_fill and not a product: 0 times -inf is no number.
    total = own.masked_fill(~mask, 0).sum(1) + steps.masked_fill(~mask[:, 1:], 0).sum(1)
    last = labels.gather(1, _last(mask)[:, None])
    edges = start.gather(1, labels[:, :1]) + end.gather(1, last)  # (B, 1)
    return total + edges.squeeze(1).masked_fill(~mask[:, 0], 0)


def marginals(scores: Tensor, start: Tensor, between: Tensor, end: Tensor, mask: Tensor) -> Tensor:
    """Probability of each tag at each word over all sequences, (B, W, C); 0 under the padding."""
    scores, start, between, end = _wide(scores, start, between, end)
    start, end = _rows(start, scores), _rows(end, scores)
    forward, backward, total = _both_ways(scores, start, between, end, mask)
    return _unary(scores, forward, backward, total, mask)


def viterbi(scores: Tensor, start: Tensor, between: Tensor, end: Tensor, mask: Tensor) -> Tensor:
    """The sequence with the highest score, (B, W), 0 under the padding.

    Of several that are equally good, the one whose last tag (then last but one, ...) comes first.
    """
    scores, start, between, end = _wide(scores, start, between, end)
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


class _LogPartition(torch.autograd.Function):
    """Both directions at once, and the gradient written down: expected counts of the features.

    A graph through the recursion would cost several times as much as the recursion.
    """

    @staticmethod
    def forward(
        ctx: Any, scores: Tensor, start: Tensor, between: Tensor, end: Tensor, mask: Tensor
    ) -> Tensor:
        if not any(ctx.needs_input_grad):
            return _one_way(scores, start, between, end, mask)
        forward, backward, total = _both_ways(scores, start, between, end, mask)
        ctx.save_for_backward(scores, between, mask, forward, backward, total)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        scores, between, mask, forward, backward, total = ctx.saved_tensors
        (weight,) = gradients  # (B,)
        share = _unary(scores, forward, backward, total, mask) * weight[:, None, None]
        pairs = None
        if ctx.needs_input_grad[2]:
            left = (forward[:, :-1] - total[:, None, None])[..., None]  # (B, W - 1, C, 1)
            both = (left + between + backward[:, 1:, None, :]).exp()
            both = both.masked_fill(~mask[:, 1:, None, None], 0)
            pairs = (both * weight[:, None, None, None]).sum((0, 1))
        last = _last(mask)[:, None, None].expand(-1, 1, scores.shape[-1])
        return share, share[:, 0], pairs, share.gather(1, last).squeeze(1), None


def _one_way(scores: Tensor, start: Tensor, between: Tensor, end: Tensor, mask: Tensor) -> Tensor:
    """The log-partition (B,)."""
    into = between.T.contiguous()
    steps = scores.transpose(0, 1)
    value = start + steps[0]
    values = [value]
    for t in range(1, len(steps)):
        value = torch.logsumexp(value[:, None, :] + into, -1) + steps[t]
        values.append(value)
    rows = torch.arange(len(scores), device=scores.device)
    total = torch.logsumexp(torch.stack(values)[_last(mask), rows] + end, -1)
    return total.masked_fill(~mask[:, 0], 0)


def _both_ways(
    scores: Tensor, start: Tensor, between: Tensor, end: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-sums over what comes before a tag and over what comes after it.

    The rows read backwards are rows like any others, with between transposed: both directions are
    one recursion over 2B rows, half as many calls.

    Returns:
        (forward, backward (B, W, C), both with the tag's own score, and the log-partition (B,)).
    """
    rows, words, labels = scores.shape
    turned = _turn(mask, words)  # (B, W)
    index = turned[..., None].expand(-1, -1, labels)
    steps = torch.stack([scores, scores.gather(1, index)]).transpose(0, 2)  # (W, B, 2, C)
    steps = steps.transpose(1, 2).contiguous()  # (W, 2, B, C)
    into = torch.stack([between.T, between])[:, None]  # (2, 1, C to, C from)
    value = torch.stack([start, end]) + steps[0]  # (2, B, C)
    values = scores.new_empty((words, 2, rows, labels))
    values[0] = value
    for t in range(1, words):
        value = torch.logsumexp(value[:, :, None, :] + into, -1) + steps[t]
        values[t] = value
    forward, backward = values.permute(1, 2, 0, 3)  # (B, W, C) each
    last = _last(mask)[:, None, None].expand(-1, 1, labels)
    total = torch.logsumexp(forward.gather(1, last).squeeze(1) + end, -1)
    return forward, backward.gather(1, index), total.masked_fill(~mask[:, 0], 0)


def _unary(
    scores: Tensor, forward: Tensor, backward: Tensor, total: Tensor, mask: Tensor
) -> Tensor:
    share = (forward + backward - scores - total[:, None, None]).exp()
    return share.masked_fill(~mask[..., None], 0)


def _turn(mask: Tensor, words: int) -> Tensor:
    """Where each word stands when its row is read backwards, (B, W); padding stays."""
    places = torch.arange(words, device=mask.device)
    return torch.where(mask, mask.sum(1, keepdim=True) - 1 - places, places)


def _last(mask: Tensor) -> Tensor:
    """The last word of each row, (B,); 0 where there is none."""
    return (mask.sum(1) - 1).clamp(min=0)


def _rows(edge: Tensor, scores: Tensor) -> Tensor:
    return edge.expand(len(scores), -1)


def _wide(*tensors: Tensor) -> list[Tensor]:
    double = tensors[0].dtype == torch.float64
    return [t.double() if double else t.float() for t in tensors]
