"""Reranking: how well a passage answers a query, by an encoder that reads both together."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lushan.configurable import configurable
from lushan.data.demo import demo_corpus
from lushan.data.field_roles import targets
from lushan.data.passages import RANKED, RIGHT, candidates_of
from lushan.data.processing import require_tokenizer
from lushan.data.record_schema import Entry
from lushan.data.source import Corpus
from lushan.errors import UserError
from lushan.models import dropout
from lushan.models.backbone import Backbone, PooledModel
from lushan.models.exported import TEXTS, ExportSpec, TrainedModel
from lushan.models.heads import make_head, require_unstructured
from lushan.models.losses import wide
from lushan.models.pooling import pooler
from lushan.models.transformers_heads import linear_of
from lushan.tasks import exporting, rankings
from lushan.tasks.base import Task
from lushan.tasks.batches import EXAMPLE, Batch, Features, Limits, pad_inputs
from lushan.tasks.evaluation import Evaluation, Records

if TYPE_CHECKING:
    from lushan.data.processing import Processor
    from lushan.metrics.evaluation import Measured
    from lushan.metrics.metric import Metric

_USAGE = """\
tokenizer = AutoTokenizer.from_pretrained("DIR")
model = AutoModelForSequenceClassification.from_pretrained("DIR")
read = tokenizer("How tall is the tower?", "It has 90 m.", truncation=True, return_tensors="pt")
print(model(**read).logits)  # the higher, the better"""


@configurable
class Reranker(Task):
    """Learn to score passages for a query with a cross-encoder (Nogueira and Cho, 2019).

    A row has a query, its passage and perhaps `negatives`; or a query, a passage and how right that
    is, a `relevance` from 0 to 1. Metrics rank the passages that a split has for a query.

    Args:
        head: Partial of an unstructured head: takes `width` and `num_labels`.
        pooling: How to pool the hidden states of a pair into one vector.
        loss: `pointwise`: binary cross-entropy of each passage. `listwise`: cross-entropy of the
            relevant passage among it and the negatives of its row.
        baseline: Also evaluate BM25 on the same passages, as `ndcg_10_bm25`; null turns it off.
        metrics: More metrics, by name: your own classes for rankings.
        monitor: Metric that selects the best checkpoint.
    """

    fields = RANKED
    schema = pa.schema(
        [
            ("input_ids", pa.list_(pa.int32())),
            ("token_type_ids", pa.list_(pa.int8())),
            ("sizes", pa.list_(pa.int32())),
            ("relevance", pa.list_(pa.float32())),
            *EXAMPLE,
            ("cut", pa.int32()),
        ]
    )

    def __init__(
        self,
        *,
        head: Callable[..., nn.Module],
        pooling: Literal["cls", "mean", "max", "attention"] = "cls",
        loss: Literal["pointwise", "listwise"] = "listwise",
        baseline: Literal["bm25"] | None = "bm25",
        metrics: dict[str, Any] | None = None,
        monitor: str = "ndcg_10",
    ) -> None:
        self.added = metrics or {}
        self.head, self.pooling, self.kind = head, pooling, loss
        self.baseline, self.main_metric = baseline, monitor
        self.leaked: dict[str, tuple[int, int]] = {}

    @classmethod
    def own_metrics(cls, node: Mapping[str, Any]) -> Mapping[str, Metric]:
        return rankings.metrics(baseline=node.get("baseline", "bm25"))

    @classmethod
    def check(cls, cfg: dict[str, Any]) -> None:
        """Refuse a head that scores sequences."""
        require_unstructured(cfg["task"])

    def options(self) -> dict[str, Any]:
        return {"task": "reranker", "loss": self.kind}

    @property
    def record_fields(self) -> Mapping[str, Entry]:
        return rankings.RECORD_FIELDS

    # Data

    def prepare(self, corpus: Corpus) -> None:
        """Refuse rows from which nothing can be learned, and count what evaluation has in common.

        Raises:
            UserError: No passage is wrong, or `listwise` has none to compare.
        """
        train = corpus.splits["train"]
        wrong = any(len(several) > 1 for several, _ in candidates_of(train.to_pydict()))
        rated = "relevance" in train.column_names
        if self.kind == "listwise" and (rated or not wrong):
            reason = "the loss compares a passage with the negatives of its row, but there are none"
            if rated:
                reason = "rows with a relevance need a pointwise loss"
            raise UserError(
                reason,
                key="task.loss",
                value=self.kind,
                hint="`lushan search INDEX --input FILE --relevant COLUMN --negatives 4` writes "
                "negatives; task.loss=pointwise uses a relevance.",
            )
        if not wrong and min(train.to_pydict().get("relevance", [1])) >= RIGHT:
            raise UserError(
                "every passage of the training split is relevant",
                key="data.train",
                hint="Add negatives to the rows, or a relevance below 0.5 to some.",
            )
        _require_consistent(corpus)
        asked = set(train.column("query").to_pylist())
        for split, table in corpus.splits.items():
            there = set(table.column("query").to_pylist())
            if split != "train":
                self.leaked[split] = (len(there & asked), len(there))

    def encoding_notes(self, split: str, counts: Mapping[str, int]) -> Iterator[str]:
        yield from super().encoding_notes(split, counts)
        shared, total = self.leaked.get(split, (0, 0))
        if shared:
            yield f"{split}: {shared:,} of {total:,} queries also in train"

    # Encoding

    def encode(
        self, rows: dict[str, list[Any]], first: int, processor: Processor, limits: Limits
    ) -> Features:
        tokenizer = require_tokenizer(processor)
        candidates = candidates_of(rows)
        asked = [q for q, (p, _) in zip(rows["query"], candidates, strict=True) for _ in p]
        passages = [text for several, _ in candidates for text in several]
        cut = tokenizer(asked, passages, truncation=True, max_length=limits.max_length)
        types = cut.get("token_type_ids") or [[0] * len(ids) for ids in cut["input_ids"]]
        features: Features = {field.name: [] for field in self.schema}
        start = 0
        for row, (several, relevance) in enumerate(candidates):
            own = slice(start, start := start + len(several))
            sizes = [len(ids) for ids in cut["input_ids"][own]]
            lost = [bool(encoding.overflowing) for encoding in cut.encodings[own]]
            features["input_ids"].append([i for ids in cut["input_ids"][own] for i in ids])
            features["token_type_ids"].append([i for ids in types[own] for i in ids])
            features["sizes"].append(sizes)
            features["relevance"].append(relevance)
            features["length"].append(sum(sizes))
            features["targets"].append(1 if self.kind == "listwise" else len(several))
            features["example"].append(first + row)
            features["cut"].append(sum(lost))
        return features

    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        """Return the pairs of all rows, (P, L), with the row and the place in it of each, (P,)."""
        pairs, owners, parts = [], [], []
        for number, row in enumerate(rows):
            ends = np.cumsum(row["sizes"])[:-1]
            ids, types = (np.split(row[n], ends) for n in ("input_ids", "token_type_ids"))
            for part, (one, other) in enumerate(zip(ids, types, strict=True)):
                pairs.append({"input_ids": one, "token_type_ids": other, "example": row["example"]})
                owners.append(number)
                parts.append(part)
        batch = pad_inputs(pairs, self.pad_id)
        if not batch["token_type_ids"].any():  # the same as none, and not all models take it
            del batch["token_type_ids"]
        relevance = np.concatenate([row["relevance"] for row in rows])
        return batch | {
            "owner": torch.tensor(owners),
            "part": torch.tensor(parts),
            "relevance": torch.tensor(relevance, dtype=torch.float32),
            "example": torch.tensor([int(row["example"]) for row in rows]),
        }

    # Model

    def build(self, encoder: Backbone) -> nn.Module:
        head = make_head(self.head, width=encoder.width, num_labels=1)
        return PooledModel(encoder, pooler(self.pooling, encoder.width), head)

    def pair_scores(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the score of each pair, (P,)."""
        lengths = batch["attention_mask"].sum(1).tolist()
        with dropout.of_parts(batch["owner"].tolist(), batch["part"].tolist(), lengths):
            return wide(model(batch)[:, 0])

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return self._loss(self.pair_scores(model, batch), batch)

    def _loss(self, scores: Tensor, batch: Batch) -> Tensor:
        if self.kind == "pointwise":
            right = batch["relevance"].to(scores)
            return F.binary_cross_entropy_with_logits(scores, right, reduction="sum")
        shape = (len(batch["example"]), int(batch["part"].max()) + 1)
        lists = scores.new_full(shape, -torch.inf)  # the right one of each row stands first
        lists = lists.index_put((batch["owner"], batch["part"]), scores)
        return -lists.log_softmax(-1)[:, 0].sum()

    def predict(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Records]:
        scores = self.pair_scores(model, batch)
        records: Records = [{"example": e, "scores": []} for e in batch["example"].tolist()]
        for owner, score in zip(batch["owner"].tolist(), scores.tolist(), strict=True):
            records[owner]["scores"].append(score)
        return self._loss(scores, batch), records

    # Evaluation

    def join(self, table: pa.Table, records: Records) -> Records:
        groups = rankings.groups_of(table, records)
        joined: Records = []
        columns = (table.column(name).to_pylist() for name in ("id", "query", "passage"))
        for name, query, passage in zip(*columns, strict=True):
            group = groups[query]
            score = group.scores[passage]
            joined.append(
                {
                    "id": name,
                    "predicted": max(group.scores, key=group.scores.__getitem__),
                    "score": score,
                    "rank": 1 + sum(other > score for other in group.scores.values()),
                }
            )
        return joined

    def present(self, table: pa.Table, joined: Records) -> Records:
        there = table.drop_columns([n for n in targets(self.fields) if n in table.column_names])
        shown = [{n: row[n] for n in ("id", "score", "rank")} for row in joined]
        return self.with_inputs(there, shown)

    def evaluate(self, table: pa.Table, records: Records, *, full: bool) -> Evaluation:
        groups = rankings.groups_of(table, records)
        answered = {query: group for query, group in groups.items() if group.right}
        rows = [group.row for group in answered.values()]
        ranks = [rankings.ranks_of(group.scores, group.right) for group in answered.values()]
        joined = self.join(table, records) if full or self.added else []
        result = Evaluation({}, notes=rankings.notes_on(groups))
        own = [joined[row] for row in rows] if joined else []
        result.add(self._measured(ranks, full=full, examples=rows, records=own))
        if full:
            if self.baseline:
                found = self._measured(rankings.by_words(answered), full=True, examples=rows)
                result.notes.append(
                    rankings.compared(result.statistics, found.statistics, "BM25's", "queries")
                )
                result.add(found.renamed({n: f"{n}_bm25" for n in rankings.COMPARED}))
            queries = table.column("query").to_pylist()
            result.records = [
                {**record, "query": query, "gold": next(iter(groups[query].right), "")}
                for record, query in zip(joined, queries, strict=True)
            ]
        return result

    def _measured(self, ranks: Sequence[Sequence[int]], **options: Any) -> Measured:
        return self.measured(rankings.metrics(baseline=None), ranks, ranks, **options)

    # Export

    def export_spec(self, trained: TrainedModel) -> ExportSpec:
        cut = {"truncation": True, "max_length": trained.max_length, "return_tensors": "pt"}
        pairs = list(itertools.pairwise(TEXTS))
        batches = [
            exporting.batch_of(self, {"query": [query], "passage": [passage]}, trained)
            for query, passage in pairs
        ]
        return exporting.with_head(
            trained,
            "AutoModelForSequenceClassification",
            linear_of(trained.whole.head["scores"]),
            ["score"],
            examples=pairs,
            ask=lambda model, tokenizer, pair: model(**tokenizer(*pair, **cut)).logits,
            expected=[trained.whole(batch) for batch in batches],
            options={"classifier_pooling": self.pooling},
            key="task.head" if self.pooling == "cls" else "task.pooling",
            usage=_USAGE,
            notes=[f"Query and passage together are truncated to {trained.max_length} tokens."],
        )

    @classmethod
    def demo(cls) -> Corpus:
        rows = [
            ("where is the lake", "a lake lies north", ["birds do"]),
            ("庐山在哪里", "庐山在九江", ["a lake lies north"]),
            ("what is red", "the barn has that colour", ["a sea lies south"]),
            ("who sings", "birds do", ["the barn has that colour"]),
        ]
        queries, passages, negatives = zip(*rows, strict=True)
        columns = {"query": queries, "passage": passages, "negatives": negatives}
        return demo_corpus({name: cls.fields[name] for name in columns}, columns)


def _require_consistent(corpus: Corpus) -> None:
    """Refuse a negative that is a right passage of the same query in another row."""
    for table in corpus.splits.values():
        rows = table.to_pydict()
        candidates = candidates_of(rows)
        right = {
            (query, several[0])
            for query, (several, relevance) in zip(rows["query"], candidates, strict=True)
            if relevance[0] >= RIGHT
        }
        for number, (query, (several, _)) in enumerate(zip(rows["query"], candidates, strict=True)):
            if found := [text for text in several[1:] if (query, text) in right]:
                raise UserError(
                    "a negative is a relevant passage of the same query in another row",
                    file=rows["file"][number],
                    line=rows["line"][number],
                    value=found[0][:80],
                    hint="`lushan search --negatives` excludes such passages.",
                )
