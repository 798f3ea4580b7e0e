"""Batching: which examples make up which optimizer step.

The order is a pure function of (seed, epoch), so a run that was stopped needs no saved loader: it
asks for the same plan and continues at the same place. A *global batch* is what one optimizer step
sees, whatever the machine; *micro-batches* are how much of it one device holds at a time.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

_AT_ONCE = 2**20
"""Examples that are sorted together: what stays near a processor."""

EVALUATION = -1
"""Stands for an epoch where evaluation draws: what is masked there is always the same."""


@dataclasses.dataclass(frozen=True)
class Batches(Sequence[Indices]):
    """Batches of an epoch, each one cut from one array of examples when it is asked for.

    Half a million arrays take longer to make than ten million examples to sort.

    Attributes:
        members: Examples of all batches, shape (N,).
        starts: Where each batch begins among them, and N at the end, shape (B + 1,).
        order: Numbers of the batches in the order in which they come, shape (at most B,).
    """

    members: Indices
    starts: Indices
    order: Indices

    def __len__(self) -> int:
        return len(self.order)

    @overload
    def __getitem__(self, place: int) -> Indices: ...

    @overload
    def __getitem__(self, place: slice) -> Batches: ...

    def __getitem__(self, place: int | slice) -> Indices | Batches:
        if isinstance(place, slice):
            return dataclasses.replace(self, order=self.order[place])
        number = self.order[place]
        return self.members[self.starts[number] : self.starts[number + 1]]

    def __iter__(self) -> Iterator[Indices]:
        return (self[place] for place in range(len(self)))


def plan_epoch(
    lengths: NDArray[np.integer],
    *,
    seed: int,
    epoch: int,
    batch_examples: int | None = None,
    batch_tokens: int | None = None,
    bucket: int = 50,
    groups: Indices | None = None,
) -> Batches:
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
        groups: Number of each example's group, shape (N,): a batch has whole groups, shuffled
            without regard to length, or a single one that is larger. None has no groups.
    """
    if (batch_examples is None) == (batch_tokens is None):
        raise ValueError("exactly one of batch_examples and batch_tokens must be set")
    rng = np.random.default_rng([seed, epoch])
    if groups is not None and len(groups):
        return _whole_groups(lengths, groups, rng, batch_examples, batch_tokens)
    members: Indices = rng.permutation(len(lengths))
    if not len(members):
        return _cut(members, np.zeros(0, dtype=bool))
    per_batch = batch_examples or max(1, int(batch_tokens / max(1.0, float(lengths.mean()))))  # type: ignore[operator]
    size = min(len(members), per_batch * bucket if bucket else per_batch)
    whole = len(members) // size * size
    narrow = _narrow(lengths)
    begins: list[NDArray[np.bool_]] = []
    for pools in (members[:whole].reshape(-1, size), members[whole:].reshape(1, -1)):
        found = _sort(pools, narrow) if bucket else narrow[pools]
        if batch_tokens is None:
            begins.append(np.tile(np.arange(pools.shape[1]) % per_batch == 0, len(pools)))
        else:
            begins.append(_begins(found, batch_tokens).reshape(-1))
    batches = _cut(members, np.concatenate(begins))
    rng.shuffle(batches.order)
    return batches


def _whole_groups(
    lengths: NDArray[np.integer],
    groups: Indices,
    rng: np.random.Generator,
    examples: int | None,
    tokens: int | None,
) -> Batches:
    """Return batches of whole groups, within a number of examples or of padded tokens."""
    place = rng.permutation(int(groups.max()) + 1)[groups]
    members = np.argsort(place, kind="stable")
    bounds = [*np.flatnonzero(np.diff(place[members], prepend=-1)).tolist(), len(members)]
    begins = np.zeros(len(members), dtype=bool)
    begins[0] = True
    first, longest = 0, 0
    for start, end in itertools.pairwise(bounds):
        own = int(lengths[members[start:end]].max())
        longest = max(longest, own)
        size = end - first if tokens is None else longest * (end - first)
        if start > first and size > (examples or tokens or 0):
            begins[start] = True
            first, longest = start, own
    return _cut(members, begins)


def _narrow(lengths: NDArray[np.integer]) -> NDArray[np.integer]:
    """Lengths in 16 bits where they fit: NumPy sorts these by their digits, five times as fast."""
    return lengths.astype(np.uint16) if lengths.max() < 2**16 else lengths


def _sort(pools: Indices, lengths: NDArray[np.integer]) -> NDArray[np.integer]:
    """Sort the examples of each pool, (P, N), by length, in place.

    Returns:
        Their lengths, (P, N).
    """
    found = np.empty(pools.shape, lengths.dtype)
    some = max(1, _AT_ONCE // max(1, pools.shape[1]))
    for start in range(0, len(pools), some):
        part = pools[start : start + some]
        places, found[start : start + some] = _by_length(lengths[part])
        part[:] = part.reshape(-1)[places].reshape(part.shape)
    return found


def _by_length(lengths: NDArray[np.integer]) -> tuple[Indices, NDArray[np.integer]]:
    """Sort pools, (P, N), by length, those of one length as they are.

    A length with its place below is one number, and numbers sort faster than their places.

    Returns:
        Places among all, one pool after another; and the lengths, (P, N).
    """
    pools, size = lengths.shape
    fits = lengths.dtype == np.uint16 and size <= 2**16
    kind, bits = (np.uint32, 16) if fits else (np.uint64, 32)
    keys: Any = lengths.astype(kind)
    keys <<= kind(bits)
    keys |= np.arange(size, dtype=kind)
    keys.sort(axis=1)
    places = (keys & kind(2**bits - 1)).astype(np.int64)
    places += (np.arange(pools) * size)[:, None]
    keys >>= kind(bits)
    return places.reshape(-1), keys.astype(lengths.dtype)


def longest_first(lengths: NDArray[np.integer]) -> Indices:
    """Return the order of examples by length, those of one length as they are."""
    if not len(lengths):
        return np.arange(0)
    return np.argsort(_narrow(lengths.max() - lengths), kind="stable")


def _begins(lengths: NDArray[np.integer], bound: int) -> NDArray[np.bool_]:
    """Return where batches begin in pools, (P, N), all of which are gone through side by side.

    A batch is as long as its padded size (longest × count) stays within `bound`.
    """
    begins = np.zeros(lengths.shape[::-1], dtype=bool)
    longest = np.zeros(len(lengths), dtype=np.int64)
    count = np.zeros(len(lengths), dtype=np.int64)
    for place, column in enumerate(np.ascontiguousarray(lengths.T)):
        np.maximum(longest, column, out=longest)
        count += 1
        new = (longest * count > bound) & (count > 1) if place else count == 1
        begins[place] = new
        longest[new] = column[new]
        count[new] = 1
    return np.ascontiguousarray(begins.T)


def _cut(members: Indices, begins: NDArray[np.bool_]) -> Batches:
    """Return the batches that begin at these places, in their order, which is the caller's."""
    starts = np.append(np.flatnonzero(begins), len(members))
    return Batches(members, starts, order=np.arange(len(starts) - 1))


def cut_descending(members: Indices, lengths: NDArray[np.integer], bound: int) -> list[Indices]:
    """Cut members into runs whose padded size (longest × count) stays within `bound`.

    Args:
        members: Examples, the longest first.
        lengths: Tokens of each example, shape (N,).
        bound: Largest size of a run of more than one.
    """
    runs: list[Indices] = []
    start = 0
    while start < len(members):
        count = max(1, bound // max(1, int(lengths[members[start]])))
        runs.append(members[start : start + count])
        start += count
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
    ordered = batch[longest_first(lengths[batch])]
    share = ordered[rank::world_size]
    if not len(share):
        return [ordered[:1]]
    return cut_descending(share, lengths, micro_tokens) if micro_tokens else [share]


def rank_is_idle(batch: Indices, rank: int) -> bool:
    """Return whether this rank got only a stand-in from `split_batch`."""
    return len(batch) <= rank


def plan_evaluation(lengths: NDArray[np.integer], *, bound: int) -> list[Indices]:
    """Batches for evaluation, longest first, of at most `bound` padded tokens."""
    return cut_descending(longest_first(lengths), lengths, bound)


def mix(*numbers: int) -> int:
    """One 63-bit seed from several integers: the random state of a step is a function of them."""
    digest = hashlib.blake2b(",".join(map(str, numbers)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
