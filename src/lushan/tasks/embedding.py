"""Embeddings: vectors of texts, by which a query finds its passage among many."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lushan.common.units import LOSS
from lushan.configurable import Within, configurable
from lushan.data.demo import demo_corpus
from lushan.data.passages import SEARCHED, key_of, passages_of, require_taught
from lushan.data.processing import require_tokenizer
from lushan.data.record_schema import Entry
from lushan.data.source import Corpus
from lushan.errors import UserError
from lushan.metrics.rankings import ranking
from lushan.models import dropout
from lushan.models import embedding as losses
from lushan.models.backbone import Backbone
from lushan.models.embedding import EmbeddingModel, candidates_of, losses_of
from lushan.models.exported import TEXTS, ExportSpec, TrainedModel
from lushan.tasks import rankings
from lushan.tasks.base import Task
from lushan.tasks.batches import EXAMPLE, Batch, Features, Limits, pad_ids, pad_inputs
from lushan.tasks.evaluation import Evaluation, Records
from lushan.tasks.exporting import of_vectors
from lushan.text import bm25

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from lushan.data.processing import Processor
    from lushan.metrics.evaluation import Measured
    from lushan.metrics.metric import Metric


@configurable
class Embedding(Task):
    """Learn vectors of queries and passages with one encoder.

    A query's loss is the cross-entropy of its passage among all passages of the global batch and
    all hard negatives, whatever the devices and micro-batches. Passages that are a right one of the
    query, in another row, are no negatives. Metrics rank all different passages of a split; the
    loss of an evaluation is this cross-entropy among all of them, whatever `loss` is.

    Args:
        loss: `contrastive`, as above. `hinge`: negatives of the batch are at least `margin` away.
            `margin_mse` or `kl`: distillation of the margins or the distribution of a teacher's
            `scores` of a row's passages. `kl_batch`: distillation over the batch, with the cosines
            of the teacher's `vectors`.
        margin: Margin of `hinge`, between cosines.
        pooling: Pooling of hidden states: the mean, or the first token.
        query_prefix: Prefix of queries, such as `query: ` for E5.
        passage_prefix: Prefix of passages.
        temperature: Divisor of cosines in the loss.
        dims: Dimensions to which vectors can be truncated (Matryoshka).
        baseline: Also evaluate BM25, as `ndcg_10_bm25`; null turns it off.
        metrics: More metrics, by name: your own classes for rankings.
        monitor: Metric that selects the best checkpoint.
    """

    fields = SEARCHED
    joint = True
    schema = pa.schema(
        [
            ("input_ids", pa.list_(pa.int32())),
            ("passages", pa.list_(pa.int32())),
            ("sizes", pa.list_(pa.int32())),
            ("keys", pa.list_(pa.int64())),
            ("scores", pa.list_(pa.float32())),
            ("vectors", pa.list_(pa.float32())),
            *EXAMPLE,
            ("cut", pa.int32()),
        ]
    )

    def __init__(
        self,
        *,
        loss: Literal["contrastive", "hinge", "margin_mse", "kl", "kl_batch"] = "contrastive",
        margin: Annotated[float, Within(least=0)] = 0.2,
        pooling: Literal["mean", "cls"] = "mean",
        query_prefix: str = "",
        passage_prefix: str = "",
        temperature: Annotated[float, Within(above=0)] = 0.05,
        dims: list[int] | None = None,
        baseline: Literal["bm25"] | None = "bm25",
        metrics: dict[str, Any] | None = None,
        monitor: str = "ndcg_10",
    ) -> None:
        self.added = metrics or {}
        self.taught_by = {"margin_mse": "scores", "kl": "scores", "kl_batch": "vectors"}.get(loss)
        among = functools.partial(losses.contrastive, temperature=temperature)
        self.among: losses.Loss = among
        self.learned: losses.Loss = {
            "contrastive": among,
            "hinge": functools.partial(losses.hinge, margin=margin),
            "margin_mse": functools.partial(losses.margin_mse, temperature=temperature),
            "kl": functools.partial(losses.divergence, temperature=temperature),
            "kl_batch": functools.partial(losses.batch_divergence, temperature=temperature),
        }[loss]
        self.pooling, self.temperature, self.dims = pooling, temperature, dims or []
        self.prefixes = {"query": query_prefix, "passage": passage_prefix}
        self.baseline, self.main_metric = baseline, monitor

    @classmethod
    def own_metrics(cls, node: Mapping[str, Any]) -> Mapping[str, Metric]:
        return rankings.metrics(baseline=node.get("baseline", "bm25"))

    def prepare(self, corpus: Corpus) -> None:
        if self.taught_by is not None:
            require_taught(corpus.splits["train"], self.taught_by, key="task.loss")

    def options(self) -> dict[str, Any]:
        return {"task": "embedding", **self.prefixes}

    @property
    def record_fields(self) -> Mapping[str, Entry]:
        return rankings.RECORD_FIELDS

    # Encoding

    def encode(
        self, rows: dict[str, list[Any]], first: int, processor: Processor, limits: Limits
    ) -> Features:
        queries = rows["query"]
        positives = rows.get("positive") or [None] * len(queries)
        others = rows.get("negatives") or [[]] * len(queries)
        taught = rows.get("scores") or [[]] * len(queries)
        vectors = rows.get("vectors") or [[]] * len(queries)
        passages = [
            [*([] if positive is None else [positive]), *(several or [])]
            for positive, several in zip(positives, others, strict=True)
        ]
        read = require_tokenizer(processor)
        asked, cut = _tokens(read, queries, self.prefixes["query"], limits)
        flat = [text for several in passages for text in several]
        found, shortened = _tokens(read, flat, self.prefixes["passage"], limits)
        features: Features = {field.name: [] for field in self.schema}
        start = 0
        for row, (query, several) in enumerate(zip(queries, passages, strict=True)):
            end = start + len(several)
            sizes = [len(ids) for ids in found[start:end]]
            features["input_ids"].append(asked[row])
            features["passages"].append([i for ids in found[start:end] for i in ids])
            features["sizes"].append(sizes)
            features["keys"].append([key_of(text) for text in (query, *several)])
            features["scores"].append(taught[row])
            features["vectors"].append([x for vector in vectors[row] for x in vector])
            features["length"].append(len(asked[row]) + sum(sizes))
            features["targets"].append(1)
            features["example"].append(first + row)
            features["cut"].append(cut[row] + sum(shortened[start:end]))
            start = end
        return features

    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        parts = [
            np.split(row["passages"], np.cumsum(row["sizes"])[:-1]) if len(row["sizes"]) else []
            for row in rows
        ]
        # Right passages first, each at the place of its query; then all negatives.
        order = [(row, 0) for row, several in enumerate(parts) if several]
        order += [(row, i) for row, several in enumerate(parts) for i in range(1, len(several))]
        keys = [int(rows[row]["keys"][i + 1]) for row, i in order]
        return self._taught(rows, order) | {
            **pad_inputs(rows, self.pad_id),
            **pad_ids([parts[row][i] for row, i in order], self.pad_id, "passage_"),
            "query_key": torch.tensor([int(row["keys"][0]) for row in rows]),
            "passage_key": torch.tensor(keys, dtype=torch.long),
            "owner": torch.tensor([row for row, _ in order], dtype=torch.long),
            "part": torch.tensor([i for _, i in order], dtype=torch.long),
        }

    def _taught(self, rows: list[dict[str, Any]], order: list[tuple[int, int]]) -> Batch:
        """Return what a teacher says of passages, in their order, where the loss learns it."""
        name = self.taught_by
        if name is None or not all(len(row[name]) for row in rows):
            return {}
        if name == "scores":
            return {"teacher": torch.tensor([float(rows[row][name][i]) for row, i in order])}
        found = [np.reshape(row[name], (len(row["keys"]), -1)) for row in rows]  # (1 + P, W)
        return {
            "query_vector": torch.from_numpy(np.stack([several[0] for several in found])),
            "passage_vector": torch.from_numpy(np.stack([found[row][i + 1] for row, i in order])),
        }

    # Model

    def build(self, encoder: Backbone) -> nn.Module:
        if any(not 0 < width <= encoder.width for width in self.dims):
            raise UserError(
                f"vectors have {encoder.width} numbers", key="task.dims", value=self.dims
            )
        return EmbeddingModel(encoder, self.pooling)

    def _vectors(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the vectors of queries (B, H) and of passages (P, H)."""
        lengths, own = batch["attention_mask"].sum(1).tolist(), range(len(batch["input_ids"]))
        with dropout.of_parts(own, [-1] * len(own), lengths):  # the example itself is no part
            queries = model(batch["input_ids"], batch["attention_mask"])
        if not len(batch["passage_key"]):
            return queries, queries[:0]
        lengths = batch["passage_attention_mask"].sum(1).tolist()
        with dropout.of_parts(batch["owner"].tolist(), batch["part"].tolist(), lengths):
            passages = model(batch["passage_input_ids"], batch["passage_attention_mask"])
        return queries, passages

    def vectors(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return self._named(*self._vectors(model, batch), batch)

    def _named(self, queries: Tensor, passages: Tensor, batch: Batch) -> dict[str, Tensor]:
        count, keys = len(queries), batch["passage_key"]
        taught = {}
        if "teacher" in batch:  # by example, for negatives of several batches are joined
            owners = batch["example"][batch["owner"]]
            for name, values in (("example", owners), ("teacher", batch["teacher"])):
                taught[f"positive_{name}"] = values[:count]
                taught[f"negative_{name}"] = values[count:]
        if "query_vector" in batch:
            others = batch["passage_vector"]
            taught["query_vector"] = batch["query_vector"]
            taught["positive_vector"], taught["negative_vector"] = others[:count], others[count:]
        return {
            **taught,
            "query": queries,
            "positive": passages[:count],
            "negative": passages[count:],
            "query_key": batch["query_key"],
            "positive_key": keys[:count],
            "negative_key": keys[count:],
        }

    def joint_losses(self, vectors: dict[str, Tensor]) -> Tensor:
        return losses_of(candidates_of(vectors), self.learned, self.dims)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return self.joint_losses(self.vectors(model, batch)).sum()

    def predict(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Records]:
        queries, passages = self._vectors(model, batch)
        one, other = queries.cpu().numpy(), passages.cpu().numpy()
        records: Records = [
            {"example": example, "vector": one[row], "passages": []}
            for row, example in enumerate(batch["example"].tolist())
        ]
        keys = batch["passage_key"].tolist()
        for owner, key, vector in zip(batch["owner"].tolist(), keys, other, strict=True):
            records[owner]["passages"].append((key, vector))
        if not keys:
            return queries.new_zeros(()), records
        # Among the batch alone: `evaluate` gives the loss among all passages of the split.
        given = candidates_of(self._named(queries, passages, batch))
        return losses_of(given, self.among, self.dims).sum(), records

    # Evaluation

    def join(self, table: pa.Table, records: Records) -> Records:
        ids = table.column("id").to_pylist()
        ordered = sorted(records, key=lambda record: record["example"])
        vectors = _unit(np.stack([r["vector"] for r in ordered])) if ordered else np.zeros((0, 1))
        if "positive" not in table.column_names:
            pairs = zip(ids, vectors.tolist(), strict=True)
            return [{"id": name, "vector": vector} for name, vector in pairs]
        known = {key: vector for record in records for key, vector in record["passages"]}
        documents, right = passages_of(table)
        found = _unit(np.stack([known[key_of(text)] for text in documents]))
        joined: Records = []
        for start in range(0, len(ids), 1024):
            scores = vectors[start : start + 1024] @ found.T  # (N, D)
            losses = self._losses(scores, right[start : start + 1024])
            for row, own in enumerate(ranking(scores, right[start : start + 1024])):
                best = int(scores[row].argmax())
                joined.append(
                    {
                        "id": ids[start + row],
                        "predicted": documents[best],
                        "score": float(scores[row, best]),
                        "rank": min(own),
                        "ranks": own,
                        "loss": float(losses[row]),
                    }
                )
        return joined

    def _losses(self, scores: NDArray[Any], right: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """Return the loss of each row: of its own passage among all that are not right, too."""
        logits = scores.astype(np.float64) / self.temperature
        first = np.array([own[0] for own in right])
        for row, own in enumerate(right):
            logits[row, [d for d in own if d != first[row]]] = -np.inf
        top = logits.max(1)
        total = top + np.log(np.exp(logits - top[:, None]).sum(1))
        return total - logits[np.arange(len(first)), first]

    def present(self, table: pa.Table, joined: Records) -> Records:
        names = ("id", "vector", "predicted", "score")
        queries = table.column("query").to_pylist()
        return [
            {"id": row["id"], "query": query} | {n: row[n] for n in names[1:] if n in row}
            for row, query in zip(joined, queries, strict=True)
        ]

    def evaluate(self, table: pa.Table, records: Records, *, full: bool) -> Evaluation:
        joined = self.join(table, records)
        result = Evaluation({})
        ranks = [row["ranks"] for row in joined]
        result.add(self._measured(ranks, full=full, records=joined))
        result.metrics["loss"] = float(np.mean([row["loss"] for row in joined]))
        result.measures["loss"] = LOSS
        if full:
            if self.baseline:
                documents, right = passages_of(table)
                scores = bm25.fit(documents).scores(table.column("query").to_pylist())
                found = self._measured(ranking(scores, right), full=True)
                result.notes.append(
                    rankings.compared(result.statistics, found.statistics, "BM25's", "queries")
                )
                result.add(found.renamed({name: f"{name}_bm25" for name in rankings.COMPARED}))
            gold = table.column("positive").to_pylist()
            names = ("predicted", "rank", "score")
            result.records = [
                {"id": row["id"], "query": query, "gold": text} | {n: row[n] for n in names}
                for row, query, text in zip(
                    joined, table.column("query").to_pylist(), gold, strict=True
                )
            ]
        return result

    def _measured(self, ranks: Sequence[Sequence[int]], **options: Any) -> Measured:
        from lushan.metrics.families import retrieval

        return self.measured(retrieval.metrics(), ranks, ranks, **options)

    # Export

    def export_spec(self, trained: TrainedModel) -> ExportSpec:
        return of_vectors(
            trained,
            self.pooling,
            self.prefixes["query"],
            expected=[self._expected(trained, text) for text in TEXTS],
            notes=[f"Passages begin with {self.prefixes['passage']!r}."],
        )

    def _expected(self, trained: TrainedModel, text: str) -> Tensor:
        limits = Limits(trained.max_length)
        features = self.encode({"query": [text]}, 0, trained.processor, limits)
        batch = self.collate([{name: np.asarray(v[0]) for name, v in features.items()}])
        return cast(Tensor, trained.whole(batch["input_ids"], batch["attention_mask"]))

    @classmethod
    def demo(cls) -> Corpus:
        pairs = [
            ("where is the lake", "a lake lies north"),
            ("庐山在哪里", "庐山在九江"),
            ("what is red", "the barn has that colour"),
            ("who sings", "birds do"),
            ("where is the sea", "a sea lies south"),
            ("who sings", "and so do people"),
        ]
        queries, positives = zip(*pairs, strict=True)
        columns = {"query": queries, "positive": positives}
        return demo_corpus({n: cls.fields[n] for n in columns}, columns)


def _tokens(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], prefix: str, limits: Limits
) -> tuple[list[list[int]], list[int]]:
    """Return the tokens of texts, truncated, and whether each was."""
    if not texts:
        return [], []
    whole = tokenizer([prefix + text for text in texts])["input_ids"]
    cut = [int(len(ids) > limits.max_length) for ids in whole]
    if any(cut):
        most = {"truncation": True, "max_length": limits.max_length}
        whole = tokenizer([prefix + text for text in texts], **most)["input_ids"]
    return whole, cut


def _unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    vectors = vectors.astype(np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
