"""Approximate search in many vectors, by faiss: an extra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lushan.common import extras
from lushan.errors import UserError

EXACT = "exact"
KINDS = (EXACT, "hnsw", "ivf")
FILE = "vectors.faiss"
_NEIGHBOURS, _WIDTH, _LOOKED_AT = 32, 200, 128
"""Of HNSW: links of a document, and how widely is looked while building and searching."""
_SAMPLE = 200
_DEEP = 100
"""Documents of a query that are found where an index is evaluated."""


def require(kind: str, model: str) -> None:
    """Refuse a kind of index that there is not.

    Raises:
        UserError: It is unknown, not for words, or faiss is not installed.
    """
    if kind not in KINDS:
        raise UserError("unknown index", key="--index", value=kind, hint=", ".join(KINDS))
    if kind == EXACT:
        return
    if model == "bm25":
        raise UserError("bm25 only supports exact search", key="--index", value=kind)
    extras.require("faiss", "faiss", what="this index", key="--index", value=kind)


def build(vectors: NDArray[np.float32], kind: str) -> NDArray[np.uint8]:
    """Return an index of vectors of length 1, (documents, H), as bytes.

    Args:
        vectors: Of the documents.
        kind: `hnsw`: a graph of neighbours (Malkov and Yashunin, 2018, arXiv:1603.09320); `ivf`:
            about √documents clusters, of which the nearest eighth is searched.
    """
    import faiss

    count, width = vectors.shape
    made: Any
    if kind == "hnsw":
        made = faiss.IndexHNSWFlat(width, _NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
        made.hnsw.efConstruction, made.hnsw.efSearch = _WIDTH, _LOOKED_AT
    else:
        clusters = max(1, int(count**0.5))
        made = faiss.IndexIVFFlat(
            faiss.IndexFlatIP(width), width, clusters, faiss.METRIC_INNER_PRODUCT
        )
        made.nprobe = max(1, clusters // 8)
        made.cp.min_points_per_centroid = 1  # no advice on the terminal
        made.train(vectors)
    made.add(vectors)
    return faiss.serialize_index(made)


def read(content: bytes, shape: tuple[int, int]) -> Any:
    """Return an index of faiss.

    Raises:
        ValueError: It is another one.
    """
    import faiss

    try:
        found = faiss.deserialize_index(np.frombuffer(content, np.uint8))
    except RuntimeError as error:
        raise ValueError("faiss cannot read it") from error
    if (found.ntotal, found.d) != shape:
        raise ValueError(f"{found.ntotal} vectors of {found.d} numbers")
    return found


def recall(index: Any, vectors: NDArray[np.float32], k: int = 10) -> float:
    """Return which share of the exact k nearest of some documents are found."""
    rows = np.random.default_rng(0).permutation(len(vectors))[:_SAMPLE]
    asked, k = np.ascontiguousarray(vectors[rows]), min(k, len(vectors))
    _, found = index.search(asked, k)
    exact = np.argpartition(-(asked @ vectors.T), k - 1, axis=1)[:, :k]
    pairs = zip(found, exact, strict=True)
    return float(np.mean([len(set(one) & set(other)) / k for one, other in pairs]))


@dataclass(frozen=True)
class Approximate:
    """Scores of the documents that faiss finds."""

    index: Any
    embedder: Any
    notes: list[str]

    def best(
        self, queries: Sequence[str], count: int
    ) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Return the numbers and cosines of the documents found for each query, best first."""
        count = min(count, self.index.ntotal)
        asked = self.embedder.encode(queries, "query", self.notes)
        scores, numbers = self.index.search(asked, count)
        there = numbers >= 0  # -1 stands for none
        return [(n[t], s[t]) for n, s, t in zip(numbers, scores, there, strict=True)]

    def scores(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """Return the cosines, (queries, documents): -2 of what is not among the first hundred."""
        found = np.full((len(queries), self.index.ntotal), -2, np.float32)
        for row, (numbers, scores) in enumerate(self.best(queries, _DEEP)):
            found[row, numbers] = scores
        return found
