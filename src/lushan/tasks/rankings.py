"""What tasks share that rank: passages of a query, and baselines beside their own figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from lushan.common.units import SHARE, difference, p_text
from lushan.common.wording import plural
from lushan.data.fields import Number, Text
from lushan.data.passages import RIGHT, candidates_of
from lushan.data.record_schema import Entry
from lushan.metrics.scores.ratios import ratio
from lushan.metrics.statistics import Statistics
from lushan.metrics.stats.significance import randomisation
from lushan.tasks.evaluation import Records
from lushan.text import bm25

if TYPE_CHECKING:
    from lushan.metrics.metric import Metric

COMPARED = ("recall_1", "ndcg_10")
"""Metrics that are computed of BM25, too."""

RECORD_FIELDS: Mapping[str, Entry] = {
    "query": Entry(Text(), "input"),
    "gold": Entry(Text(), "gold"),
    "predicted": Entry(Text(), "predicted"),
    "rank": Entry(Number(), "detail"),
    "score": Entry(Number(), "detail"),
}
"""Entries of a stored prediction of a ranking."""


def metrics(*, baseline: str | None) -> dict[str, Metric]:
    """Return the metrics of rankings, and those of the baseline."""
    from lushan.metrics.families import retrieval

    found = retrieval.metrics()
    if baseline:
        found |= {f"{name}_{baseline}": found[name] for name in COMPARED}
    return found


def compared(
    own: Mapping[str, Statistics], other: Mapping[str, Statistics], name: str, over: str
) -> str:
    """Return the difference to a baseline in words, with a paired test.

    Args:
        own: Statistics of the metrics, a row for each that is ranked for.
        other: Those of the baseline.
        name: Of the baseline.
        over: What the rows are of, such as `users`.
    """
    test = randomisation(own["ndcg_10"].rows, other["ndcg_10"].rows, ratio)
    shown = f"{difference(test.effect, SHARE)}, {p_text(test.p)}"
    return f"ndcg_10 against {name}: {shown} (randomisation over {over})"


class Group:
    """The passages that a split has for a query.

    Attributes:
        row: The first row with the query.
        scores: Passage to its score.
        right: The right ones, in the order of the split.
    """

    def __init__(self, row: int) -> None:
        self.row = row
        self.scores: dict[str, float] = {}
        self.right: dict[str, None] = {}


def groups_of(table: pa.Table, records: Records) -> dict[str, Group]:
    """Return the passages of each query with their scores."""
    rows = table.to_pydict()
    ordered = sorted(records, key=lambda record: record["example"])
    groups: dict[str, Group] = {}
    several = zip(rows["query"], candidates_of(rows), ordered, strict=True)
    for number, (query, (passages, relevance), record) in enumerate(several):
        group = groups.setdefault(query, Group(number))
        for passage, right, score in zip(passages, relevance, record["scores"], strict=True):
            group.scores.setdefault(passage, score)
            if right >= RIGHT:
                group.right[passage] = None
    return groups


def ranks_of(scores: Mapping[str, float], right: Mapping[str, None]) -> list[int]:
    """Return the ranks of the right passages; of equal scores they stand behind wrong ones."""
    order = sorted(scores, key=lambda text: (-scores[text], text in right))
    return [rank for rank, text in enumerate(order, 1) if text in right]


def by_words(groups: Mapping[str, Group]) -> list[list[int]]:
    """Return the ranks that BM25 over all passages gives those of each query."""
    texts = {t: None for group in groups.values() for t in group.scores}
    numbers = {text: number for number, text in enumerate(texts)}
    fitted, found = bm25.fit(list(numbers)), []
    for query, group in groups.items():
        (scores,) = fitted.scores([query])
        own = {text: float(scores[numbers[text]]) for text in group.scores}
        found.append(ranks_of(own, group.right))
    return found


def notes_on(groups: Mapping[str, Group]) -> list[str]:
    """Return what the reader of the metrics must know of the queries."""
    without = sum(not group.right for group in groups.values())
    alone = sum(len(group.scores) == 1 for group in groups.values())
    notes = []
    if without:
        notes.append(
            f"{plural(without, 'query has', 'queries have')} no relevant passage and were dropped"
        )
    if alone:
        notes.append(
            f"{plural(alone, 'query has', 'queries have')} only one passage: nothing to rank"
        )
    return notes
