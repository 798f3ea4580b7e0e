"""Batching: which examples make up which optimizer step.

The order is a pure function of (seed, epoch), so a run that was stopped needs no saved loader: it
asks for the same plan and continues at the same place. A *global batch* is what one optimizer step
sees, whatever the machine; *micro-batches* are how much of it one device holds at a time.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

EVALUATION = -1
"""Stands for an epoch where evaluation draws: what is masked there is always the same."""


def plan_epoch(
    lengths: NDArray[np.integer],
    *,
    seed: int,
    epoch: int,
    batch_examples: int | None = None,
    batch_tokens: int | None = None,
    bucket: int = 50,
) -> list[Indices]:
    """The global batches of one epoch: every example exactly once.

    Examples are shuffled, cut into pools of about `bucket` batches, sorted by length inside each
    pool and cut into batches, whose order is shuffled again: neighbours in length share a batch,
    so little is padded, and yet each epoch mixes again.

    Args:
        lengths: Tokens of each example, shape (N,).
        seed: The run's seed.
        epoch: Counted from 0.
        batch_examples: Examples in a batch; exactly one of this and `batch_tokens` is set.
        batch_tokens: Upper bound on a batch's padded size, longest example × number of examples.
            An example longer than the bound makes a batch of its own.
        bucket: Batches in a pool; 0 shuffles without regard to length.
    """
    if (batch_examples is None) == (batch_tokens is None):
        raise ValueError("exactly one of batch_examples and batch_tokens must be set")
    rng = np.random.default_rng([seed, epoch])
    order: Indices = rng.permutation(len(lengths))
    if not len(order):
        return []
    per_batch = batch_examples or max(1, int(batch_tokens / max(1.0, float(lengths.mean()))))  # type: ignore[operator]
    pool = per_batch * bucket if bucket else per_batch
    batches: list[Indices] = []
    for start in range(0, len(order), pool):
        members = order[start : start + pool]
        if bucket:
            members = members[np.argsort(lengths[members], kind="stable")]
        batches += _cut(members, lengths, batch_examples, batch_tokens)
    rng.shuffle(batches)
    return batches


def _cut(
    members: Indices,
    lengths: NDArray[np.integer],
    batch_examples: int | None,
    batch_tokens: int | None,
) -> list[Indices]:
    if batch_examples is not None:
        return [members[i : i + batch_examples] for i in range(0, len(members), batch_examples)]
    assert batch_tokens is not None
    return cut_by_tokens(members, lengths, batch_tokens)


def cut_by_tokens(members: Indices, lengths: NDArray[np.integer], bound: int) -> list[Indices]:
    """Consecutive runs of `members` whose padded size (longest × count) stays within `bound`."""
    runs: list[Indices] = []
    start, longest = 0, 0
    for i, length in enumerate(lengths[members].tolist()):
        longest = max(longest, length)
        if i > start and longest * (i - start + 1) > bound:
            runs.append(members[start:i])
            start, longest = i, length
    if start < len(members):
        runs.append(members[start:])
    return runs


def split_batch(
    batch: Indices,
    lengths: NDArray[np.integer],
    *,
    rank: int = 0,
    world_size: int = 1,
    micro_tokens: int | None = None,
) -> list[Indices]:
    """The micro-batches of one rank, longest examples first.

    Examples are dealt to the ranks in order of length, so that each gets about the same work.
    Never empty: where a batch has fewer examples than there are ranks, the ranks left over get its
    first example, which the caller must weigh with zero (see `rank_is_idle`).
    """
    ordered = batch[np.argsort(-lengths[batch], kind="stable")]
    share = ordered[rank::world_size]
    if not len(share):
        return [ordered[:1]]
    return cut_by_tokens(share, lengths, micro_tokens) if micro_tokens else [share]


def rank_is_idle(batch: Indices, rank: int) -> bool:
    """Return whether this rank got only a stand-in from `split_batch`."""
    return len(batch) <= rank


def plan_evaluation(
    lengths: NDArray[np.integer], *, bound: int, rank: int = 0, world_size: int = 1
) -> list[Indices]:
    """Batches for evaluation, longest first; over all ranks every example exactly once.

    Args:
        lengths: Tokens of each example, shape (N,).
        bound: Upper bound on a batch's padded size in tokens.
        rank: This process.
        world_size: All processes; a rank may get one batch fewer than another, or none.
    """
    order = np.argsort(-lengths, kind="stable")
    return cut_by_tokens(order, lengths, bound)[rank::world_size]


def mix(*numbers: int) -> int:
    """One 63-bit seed from several integers: the random state of a step is a function of them."""
    digest = hashlib.blake2b(",".join(map(str, numbers)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
