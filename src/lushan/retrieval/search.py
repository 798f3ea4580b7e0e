"""What queries find in an index, or in several whose scores are joined."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from lushan.errors import UserError
from lushan.metrics.rankings import ranking
from lushan.retrieval.approximate import Approximate
from lushan.retrieval.index import BM25, DOCUMENTS, Dense, Index
from lushan.run.progress import over
from lushan.text import bm25

if TYPE_CHECKING:
    from lushan.metrics.evaluation import Measured
    from lushan.retrieval.reranking import Reranking

Fusion = Literal["rrf", "zscore"]
_LINE = re.compile(r".+\.\w+:\d+")
"""Names of documents by their lines, such as `corpus.jsonl:4`."""
_AT_ONCE = 256
"""Queries whose scores of all documents are held."""
_RRF = 60
"""Of reciprocal rank fusion: Cormack et al., 2009, set it so."""


@dataclass(frozen=True)
class Hit:
    """A document that was found.

    Attributes:
        id: Of the document.
        score: The higher, the better; 0 and below may mean that nothing fits.
        text: Of the document.
    """

    id: str
    score: float
    text: str


def search(
    indexes: Sequence[Index],
    queries: Sequence[str],
    *,
    top_k: int,
    fusion: Fusion,
    rerank: Reranking | None = None,
    all_documents: bool = False,
) -> list[list[Hit]]:
    """Return the best documents of each query, best first.

    Args:
        indexes: Of the same documents.
        queries: Texts.
        top_k: Documents of each.
        fusion: How scores of several indexes are joined.
        rerank: Orders the best ones once more; the scores are then its own.
        all_documents: Also those that have no word of the query, where words alone are compared.
    """
    first = indexes[0]
    only_words = [index.name for index in indexes] == [BM25] and rerank is None
    only_matching = only_words and not all_documents
    count = top_k if rerank is None else rerank.candidates
    found = []
    for start in over(range(0, len(queries), _AT_ONCE), "queries"):
        part = queries[start : start + _AT_ONCE]
        several = _first(indexes, part, count, fusion)
        for query, (best, own) in zip(part, several, strict=True):
            if only_matching:
                best, own = best[own > 0], own[own > 0]  # noqa: PLW2901
            if rerank is not None:
                best, own = rerank.order(query, first.texts, best)  # noqa: PLW2901
            pairs = zip(best[:top_k], own[:top_k], strict=True)
            found.append([Hit(first.ids[i], float(score), first.texts[i]) for i, score in pairs])
    return found


def _first(
    indexes: Sequence[Index], queries: Sequence[str], count: int, fusion: Fusion
) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
    """Yield the numbers and scores of each query's best documents."""
    scorer = indexes[0].scorer
    if isinstance(scorer, Approximate):
        yield from scorer.best(queries, count)
        return
    for row in fused([index.scorer.scores(queries) for index in indexes], fusion):
        best = _best(row)[:count]
        yield best, row[best]


def _best(scores: NDArray[Any]) -> NDArray[np.int64]:
    """Return the numbers of all documents, the best first."""
    return np.lexsort((np.arange(len(scores)), -scores))


def fused(scores: Sequence[NDArray[Any]], how: Fusion) -> NDArray[Any]:
    """Return one score a document out of several, (queries, documents).

    Args:
        scores: Each (queries, documents).
        how: `zscore`: the sum of scores, each less its mean and over its deviation within a query;
            `rrf`: the sum of 1 / (60 + rank). A single one stays as it is.
    """
    if len(scores) == 1:
        return scores[0]
    if how == "zscore":
        means = [part.mean(1, keepdims=True) for part in scores]
        spreads = [np.maximum(part.std(1, keepdims=True), 1e-9) for part in scores]
        parts = zip(scores, means, spreads, strict=True)
        return np.sum([(part - mean) / spread for part, mean, spread in parts], axis=0)
    orders = [np.argsort(-part, axis=1, kind="stable") for part in scores]
    return np.sum([1 / (_RRF + 1 + np.argsort(order, axis=1)) for order in orders], axis=0)


def evaluate(
    indexes: Sequence[Index],
    queries: Sequence[str],
    relevant: Sequence[str],
    *,
    fusion: Fusion,
    rerank: Reranking | None = None,
) -> dict[str, Measured]:
    """Return the metrics of each index by its name, of `fused` where there are several, and so on.

    BM25 is the first one where none of the indexes is one of words.

    Args:
        indexes: Of the same documents.
        queries: Texts.
        relevant: The right document of each: its text, or its id.
        fusion: See `fused`.
        rerank: Orders the best of the last one once more.

    Raises:
        UserError: One is not in the index.
    """
    from lushan.metrics.evaluation import measured
    from lushan.metrics.families.retrieval import metrics

    right = _right(indexes[0], queries, relevant)
    beside = None if any(i.name == BM25 for i in indexes) else bm25.fit(indexes[0].texts)
    names = [BM25] * (beside is not None) + [index.name for index in indexes]
    names += ["fused"] * (len(indexes) > 1)
    names += [] if rerank is None else [rerank.name]
    ranks: dict[str, list[list[int]]] = {name: [] for name in names}
    for start in over(range(0, len(queries), _AT_ONCE), "queries"):
        part = queries[start : start + _AT_ONCE]
        scores = [index.scorer.scores(part) for index in indexes]
        joined = [fused(scores, fusion)] if len(indexes) > 1 else []
        rows = [] if beside is None else [beside.scores(part)]
        rows += [*scores, *joined]
        if rerank is not None:
            rows.append(_reranked(rows[-1], part, indexes[0].texts, rerank))
        for name, found in zip(names, rows, strict=True):
            ranks[name] += ranking(found, right[start : start + _AT_ONCE])
    return {name: measured(metrics(), own, own, full=True) for name, own in ranks.items()}


def _reranked(
    scores: NDArray[Any], queries: Sequence[str], texts: Sequence[str], rerank: Reranking
) -> NDArray[Any]:
    """Return scores that say the order: less each place, (queries, documents)."""
    found = np.zeros(scores.shape)
    for row, query in enumerate(over(queries, "queries")):
        order = _best(scores[row])
        order[: rerank.candidates], _ = rerank.order(query, texts, order[: rerank.candidates])
        found[row, order] = -np.arange(len(order))
    return found


def mined(
    indexes: Sequence[Index],
    queries: Sequence[str],
    relevant: Sequence[str],
    *,
    count: int,
    fusion: Fusion,
    rerank: Reranking | None = None,
    with_vectors: bool = False,
) -> list[dict[str, Any]]:
    """Return rows with hard negatives: the best documents of a query that are no right ones.

    Args:
        indexes: Of the same documents.
        queries: Texts.
        relevant: See `evaluate`.
        count: Negatives of each.
        fusion: See `fused`.
        rerank: Orders the best ones once more, and gives each row `scores`.
        with_vectors: Gives each row `vectors`, of the one index that has them.

    Returns:
        `query`, `positive` and `negatives`, as task=embedding reads them; `scores` of the positive
        and each negative, or `vectors` of the query and these, where there is a teacher.

    Raises:
        UserError: A right document is not in the index, or not one index has vectors.
    """
    teacher = _teacher(indexes) if with_vectors else None
    first, right = indexes[0], _right(indexes[0], queries, relevant)
    most = max(map(len, right), default=0)
    how: dict[str, Any] = {"fusion": fusion, "rerank": rerank, "all_documents": True}
    found = search(indexes, queries, top_k=count + most, **how)
    rows: list[dict[str, Any]] = []
    for query, wanted, hits, numbers in zip(queries, relevant, found, right, strict=True):
        never = {first.ids[number] for number in numbers}
        others = [hit.text for hit in hits if hit.id not in never][:count]
        positive = first.texts[first.numbers[wanted]] if wanted in first.numbers else wanted
        rows.append({"query": query, "positive": positive, "negatives": others})
        if rerank is not None:
            rows[-1]["scores"] = rerank.scores(query, [positive, *others]).tolist()
    if teacher is not None:
        places = {text: place for place, text in enumerate(first.texts)}
        asked = teacher.embedder.encode(queries, "query", teacher.notes)
        for row, vector in zip(rows, asked, strict=True):
            given = [places[text] for text in (row["positive"], *row["negatives"])]
            row["vectors"] = [vector.tolist(), *teacher.vectors[given].tolist()]
    return rows


def _teacher(indexes: Sequence[Index]) -> Dense:
    found = [index.scorer for index in indexes if isinstance(index.scorer, Dense)]
    if len(found) != 1:
        raise UserError(
            f"{len(found)} of these indexes have exact vectors, but one is required",
            key="--vectors",
            hint="Give one index with exact vectors, and optionally one of bm25.",
        )
    return found[0]


def _right(index: Index, queries: Sequence[str], relevant: Sequence[str]) -> list[list[int]]:
    """Return the numbers of each query's right documents: those of all rows with its text."""
    numbers = {**index.numbers, **{text: number for number, text in enumerate(index.texts)}}
    found: dict[str, dict[int, None]] = {}
    for row, (query, wanted) in enumerate(zip(queries, relevant, strict=True)):
        if wanted not in numbers:
            hint = "--relevant is the column with the id or text of a document."
            if all(_LINE.fullmatch(name) for name in index.ids):
                hint = (
                    f"{hint} In this index, documents are named by their lines, such as "
                    f"{index.ids[0]!r}. For ids of their own: lushan index build CORPUS --id COLUMN"
                )
            raise UserError(
                f"the relevant document of query {row + 1} is not in the index",
                file=index.folder / DOCUMENTS,
                value=wanted[:80],
                hint=hint,
            )
        found.setdefault(query, {})[numbers[wanted]] = None
    return [list(found[query]) for query in queries]


def require_same_documents(indexes: Sequence[Index]) -> None:
    """Refuse indexes whose scores cannot be joined.

    Raises:
        UserError: They hold different documents, or not all documents have scores.
    """
    first = indexes[0]
    for index in indexes if len(indexes) > 1 else ():
        if not index.is_exact:
            raise UserError(
                "fusion needs scores of all documents, but this index returns only a few",
                file=index.folder,
                hint="Build the index with --index exact.",
            )
    for other in indexes[1:]:
        if other.settings["files"][DOCUMENTS] != first.settings["files"][DOCUMENTS]:
            raise UserError(
                f"the documents differ from those of {first.folder}",
                file=other.folder,
                hint="Build both indexes from the same corpus.",
            )
