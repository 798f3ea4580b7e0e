"""Several corpora mixed by weight: which examples an epoch has.

Each corpus is a stream without end: all its examples in an order of their own, then all of them in
another order, and so on. An epoch takes from each stream the next stretch, as long as the weights
say. So nothing of a corpus comes again before all of it has come, over the epochs too; and what
an epoch holds is a function of the seed and its number alone.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal, TypeAlias

from lushan.common.arrays import np

if TYPE_CHECKING:
    from numpy.typing import NDArray


Indices: TypeAlias = "NDArray[np.int64]"
Measure = Literal["tokens", "examples"]
Stopping = Literal["first_exhausted", "all_exhausted"]


@dataclasses.dataclass(frozen=True)
class Mix:
    """Mix of corpora in an epoch.

    Attributes:
        sizes: Name of each corpus to its examples, in the order in which the table has them, one
            corpus after the other.
        weights: Name to share, of any sum; None takes every example once an epoch.
        measure: What the weights are shares of.
        epoch_examples: Examples of an epoch; None goes by `stopping`.
        stopping: An epoch ends where the first corpus is exhausted, or the last one; those that
            are exhausted before start over.
    """

    sizes: dict[str, int]
    weights: dict[str, float] | None = None
    measure: Measure = "tokens"
    epoch_examples: int | None = None
    stopping: Stopping = "all_exhausted"

    def quotas(self, lengths: NDArray[np.integer]) -> dict[str, float]:
        """Examples that an epoch takes of each corpus, on average.

        Args:
            lengths: Tokens of each example, shape (N,).
        """
        sizes = np.asarray(list(self.sizes.values()), dtype=np.float64)
        if self.weights is None:
            shares = sizes / sizes.sum()
        else:
            shares = np.asarray([self.weights[name] for name in self.sizes], dtype=np.float64)
            if self.measure == "tokens":
                shares = shares / [max(1.0, lengths[part].mean()) for part in self._parts()]
            shares = shares / shares.sum()
        turns = sizes / np.where(shares > 0, shares, np.nan)
        end = np.nanmin(turns) if self.stopping == "first_exhausted" else np.nanmax(turns)
        quotas = shares * (end if self.epoch_examples is None else self.epoch_examples)
        whole = np.round(quotas)
        # A corpus that is taken once an epoch is taken once, whatever the last bit says.
        quotas = np.where(np.abs(quotas - whole) < 1e-6, whole, quotas)
        return dict(zip(self.sizes, quotas.tolist(), strict=True))

    def _parts(self) -> list[slice]:
        ends = np.cumsum(list(self.sizes.values())).tolist()
        return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]

    def examples(self, lengths: NDArray[np.integer], *, seed: int, epoch: int) -> Indices:
        """The examples of an epoch, as rows of the table; some may come more than once.

        Args:
            lengths: Tokens of each example, shape (N,).
            seed: The run's.
            epoch: Counted from 0.
        """
        taken = []
        quotas = self.quotas(lengths).values()
        for number, (part, quota) in enumerate(zip(self._parts(), quotas, strict=True)):
            start, stop = int(epoch * quota), int((epoch + 1) * quota)
            taken.append(part.start + _stretch(part.stop - part.start, start, stop, seed, number))
        return np.concatenate(taken)

    def features(
        self,
        examples: NDArray[np.integer],
        lengths: NDArray[np.integer],
        *,
        seed: int,
        epoch: int,
    ) -> Indices:
        """The features of an epoch: all those of each of its examples.

        Args:
            examples: The example of each feature, ascending, shape (F,).
            lengths: Tokens of each feature, shape (F,).
            seed: The run's.
            epoch: Counted from 0.
        """
        rows = np.arange(sum(self.sizes.values()) + 1)
        begins = np.searchsorted(examples, rows)
        tokens = np.bincount(examples, weights=lengths, minlength=len(rows) - 1)
        chosen = self.examples(tokens, seed=seed, epoch=epoch)
        counts = np.diff(begins)[chosen]
        # The first feature of each chosen example, and from there on as many as it has.
        shifts = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(begins[:-1][chosen], counts) + shifts


def _stretch(size: int, start: int, stop: int, seed: int, number: int) -> Indices:
    """Places `start` to `stop` of a corpus's stream."""
    found = [np.empty(0, dtype=np.int64)]
    for turn in range(start // size, -(-stop // size)):
        order = np.random.default_rng([seed, number, turn]).permutation(size)
        found.append(order[max(0, start - turn * size) : stop - turn * size])
    return np.concatenate(found)
