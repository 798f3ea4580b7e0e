"""Recommenders that count instead of learning by gradients: what a trained one must beat.

Each is fitted to sequences of items in seconds and scores all items for histories. NumPy alone.
"""

from __future__ import annotations

import abc
import re
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from lushan.configurable import Within, configurable
from lushan.errors import UserError

Scores = NDArray[np.float32]
Sequences = Sequence[Sequence[int]]
LARGEST = 30_000
"""Users or items, whichever are fewer, of a matrix that `EASE` inverts."""
_WORDS = re.compile(r"\w+")


class ItemScores(abc.ABC):
    """A recommender by counts."""

    @abc.abstractmethod
    def fit(self, sequences: Sequences, texts: Sequence[str]) -> None:
        """Count.

        Args:
            sequences: Items of each user, by their numbers, the latest last.
            texts: Of each item, (I,).
        """

    @abc.abstractmethod
    def scores(self, histories: Sequences) -> Scores:
        """Return the scores of all items for each history, (N, I), of items that it holds too."""


@configurable
class Popularity(ItemScores):
    """How many users have had an item."""

    def fit(self, sequences: Sequences, texts: Sequence[str]) -> None:
        """Count the users of each item."""
        self.counts = counts_of(sequences, len(texts)).astype(np.float32)

    def scores(self, histories: Sequences) -> Scores:
        """Return the same scores for all."""
        return np.tile(self.counts, (len(histories), 1))


@configurable
class ItemKNN(ItemScores):
    """Cosines between items, summed over a history (Deshpande and Karypis, 2004).

    Args:
        neighbors: Number of most similar items (neighbours) of each item.
    """

    def __init__(self, neighbors: Annotated[int, Within(least=1)] = 100) -> None:
        self.neighbors = neighbors

    def fit(self, sequences: Sequences, texts: Sequence[str]) -> None:
        """Compute the cosines of users' columns, and keep the largest ones of each item."""
        from scipy import sparse

        items = len(texts)
        users = matrix(sequences, items)
        norms = np.sqrt(np.asarray(users.sum(0)).ravel())
        unit = users @ sparse.diags(1 / np.maximum(norms, 1e-12))
        alike = (unit.T @ unit).tocsr()
        alike.setdiag(0)
        for row in range(items):
            values = alike.data[alike.indptr[row] : alike.indptr[row + 1]]
            if len(values) > self.neighbors:
                values[np.argsort(-values, kind="stable")[self.neighbors :]] = 0
        alike.eliminate_zeros()
        self.weights = alike.T.tocsr()

    def scores(self, histories: Sequences) -> Scores:
        """Return the sums over histories."""
        found = matrix(histories, self.weights.shape[0]) @ self.weights
        return np.asarray(found.toarray(), np.float32)


@configurable
class EASE(ItemScores):
    """A linear autoencoder without its diagonal, in closed form (Steck, 2019, arXiv:1905.03375).

    Args:
        l2: L2 regularisation.
        half_life: Half-life in interactions: older interactions of a history have less weight. null
            weighs all equally, as in the paper.
    """

    def __init__(
        self,
        l2: Annotated[float, Within(above=0)] = 200.0,
        half_life: Annotated[float, Within(above=0)] | None = None,
    ) -> None:
        self.l2, self.half_life = l2, half_life

    def fit(self, sequences: Sequences, texts: Sequence[str]) -> None:
        """Invert the smaller one of the two Gram matrices: of users, or of items.

        Raises:
            UserError: Both are too large.
        """
        users = matrix(sequences, len(texts))
        if min(users.shape) > LARGEST:
            raise UserError(
                f"EASE inverts a matrix of users or items, but there are {users.shape[0]:,} and "
                f"{users.shape[1]:,}: one must be at most {LARGEST:,}",
                key="task.baselines",
                hint="Write '~task.baselines.ease'.",
            )
        whole = users.toarray().astype(np.float32)
        if users.shape[0] < users.shape[1]:
            # (XᵀX + λ)⁻¹ = (1 - Xᵀ (XXᵀ + λ)⁻¹ X) / λ: Woodbury's identity.
            gram = (users @ users.T).toarray() + self.l2 * np.eye(users.shape[0])
            inner = np.linalg.solve(gram, whole).astype(np.float32)
            self.left: Scores = whole.T
            self.right: Scores | None = inner
            diagonal = 1 - (whole * inner).sum(0)
        else:
            gram = (users.T @ users).toarray() + self.l2 * np.eye(users.shape[1])
            inverse = np.linalg.inv(gram).astype(np.float32) * self.l2
            self.left, self.right = np.eye(len(inverse), dtype=np.float32) - inverse, None
            diagonal = np.diag(inverse)
        self.diagonal = diagonal.astype(np.float32)

    def scores(self, histories: Sequences) -> Scores:
        """Return histories times weights."""
        items = len(self.diagonal)
        had = matrix(histories, items, self.half_life)
        changed = had @ self.left
        changed = changed if self.right is None else changed @ self.right
        # B = 1 - P / diag(P), so that its diagonal is 0; H B from H P.
        found = had.toarray() - (had.toarray() - changed) / self.diagonal
        return np.asarray(found, np.float32)


@configurable
class Markov(ItemScores):
    """How often an item followed those that came last.

    The defaults are a Markov chain of the first order: of the last item alone, and of the very next
    one. Items that never followed stand by their popularity.

    Args:
        window: Number of following items to count for each item.
        order: Number of last items of a history to use.
        decay: Factor by which each further step, forward or backward, has less weight.
        power: Exponent of popularity: scores are divided by this power of an item's number of
            users.
    """

    def __init__(
        self,
        window: Annotated[int, Within(least=1)] = 1,
        order: Annotated[int, Within(least=1)] = 1,
        decay: Annotated[float, Within(above=0, most=1)] = 1.0,
        power: Annotated[float, Within(least=0, most=1)] = 0.0,
    ) -> None:
        self.window, self.order, self.decay, self.power = window, order, decay, power

    def fit(self, sequences: Sequences, texts: Sequence[str]) -> None:
        """Count the pairs."""
        from scipy import sparse

        items = len(texts)
        total = sparse.csr_matrix((items, items), dtype=np.float32)
        arrays = [np.asarray(items, np.int64) for items in sequences]
        for step in range(1, self.window + 1):
            before = np.concatenate([np.zeros(0, np.int64), *(a[:-step] for a in arrays)])
            behind = np.concatenate([np.zeros(0, np.int64), *(a[step:] for a in arrays)])
            ones = np.full(len(before), self.decay ** (step - 1), np.float32)
            total += sparse.csr_matrix((ones, (before, behind)), shape=(items, items))
        counts = counts_of(sequences, items)
        scale = sparse.diags(1 / np.maximum(counts, 1) ** self.power)
        self.pairs = (scale @ total @ scale).tocsr()
        # Below any count: it orders what the pairs leave even.
        self.rest = (counts * (1e-4 / max(1, counts.max(initial=0)))).astype(np.float32)

    def scores(self, histories: Sequences) -> Scores:
        """Return the weighted counts behind the last items."""
        from scipy import sparse

        last = [list(h[-self.order :]) for h in histories]
        owners = np.repeat(np.arange(len(last)), [len(h) for h in last])
        weights = [self.decay**age for h in last for age in range(len(h) - 1, -1, -1)]
        columns = [item for h in last for item in h]
        shape = (len(last), len(self.rest))
        asked = sparse.csr_matrix((np.array(weights, float), (owners, columns)), shape=shape)
        return np.asarray((asked @ self.pairs).toarray() + self.rest, np.float32)


@configurable
class Content(ItemScores):
    """Cosines of items' words with those of a history (tf-idf); cold items have scores, too.

    Args:
        half_life: See `EASE`.
    """

    def __init__(self, half_life: Annotated[float, Within(above=0)] | None = 10.0) -> None:
        self.half_life = half_life

    def fit(self, sequences: Sequences, texts: Sequence[str]) -> None:
        """Count the words of all items."""
        del sequences
        self.words = tf_idf(texts)

    def scores(self, histories: Sequences) -> Scores:
        """Return the cosines."""
        asked = matrix(histories, self.words.shape[0], self.half_life) @ self.words
        norms = np.sqrt(np.asarray(asked.multiply(asked).sum(1)).ravel())
        found = (asked @ self.words.T).toarray() / np.maximum(norms, 1e-12)[:, None]
        return np.asarray(found, np.float32)


def counts_of(sequences: Sequences, items: int) -> NDArray[np.int64]:
    """Return how many users have had each item, (I,)."""
    every = [np.asarray(own, np.int64) for own in sequences]
    return np.bincount(np.concatenate([np.zeros(0, np.int64), *every]), minlength=items)


def matrix(sequences: Sequences, items: int, half_life: float | None = None) -> Any:
    """Return users by items, sparse (N, I): 1 where a user has had an item.

    Args:
        sequences: Of each user, the latest last.
        items: How many there are.
        half_life: Half-life in interactions: older interactions of a history have less weight. null
            weighs all equally, as in the paper.
    """
    from scipy import sparse

    sizes = [len(own) for own in sequences]
    columns = [item for own in sequences for item in own]
    rows = np.repeat(np.arange(len(sizes)), sizes)
    values = np.ones(len(columns), np.float32)
    if half_life is not None:
        ages = [age for size in sizes for age in range(size - 1, -1, -1)]
        values = (0.5 ** (np.array(ages, float) / half_life)).astype(np.float32)
    return sparse.csr_matrix((values, (rows, columns)), shape=(len(sizes), items))


def words_of(text: str) -> list[str]:
    """Return the words of an item's text, in lower case."""
    return _WORDS.findall(text.casefold())


def tf_idf(texts: Sequence[str]) -> Any:
    """Return unit vectors of texts by their words, sparse (N, W)."""
    from scipy import sparse

    numbers: dict[str, int] = {}
    counted = [Counter(numbers.setdefault(w, len(numbers)) for w in words_of(t)) for t in texts]
    rows = np.repeat(np.arange(len(texts)), [len(c) for c in counted])
    columns = [word for one in counted for word in one]
    values = np.array([1 + np.log(n) for one in counted for n in one.values()], float)
    found = sparse.csr_matrix((values, (rows, columns)), shape=(len(texts), max(1, len(numbers))))
    there = np.bincount(np.array(columns, np.int64), minlength=found.shape[1])
    found = found @ sparse.diags(np.log((1 + len(texts)) / (1 + there)))
    norms = np.sqrt(np.asarray(found.multiply(found).sum(1)).ravel())
    return sparse.diags(1 / np.maximum(norms, 1e-12)) @ found
