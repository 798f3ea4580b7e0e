"""Recommendation: what a user has next, among all items, from what it had before."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lushan.common.units import LOSS
from lushan.common.wording import plural
from lushan.configurable import Within, configurable
from lushan.data import histories
from lushan.data.catalogue import Catalogue, ItemCorpus
from lushan.data.fields import Number, Text, Texts
from lushan.data.item_fields import HISTORIES
from lushan.data.processing import require_tokenizer
from lushan.data.record_schema import Entry
from lushan.data.source import Corpus
from lushan.errors import UserError
from lushan.models import item_texts
from lushan.models.backbone import Backbone
from lushan.models.exported import ExportSpec, TrainedModel
from lushan.models.item_scores import ItemScores, counts_of
from lushan.models.losses import products
from lushan.models.recommender import By, Recommender, without
from lushan.tasks import item_export, item_features, item_ranks, item_records, rankings
from lushan.tasks.base import Task
from lushan.tasks.batches import EXAMPLE, IGNORED, Batch, Features, Limits, pad
from lushan.tasks.evaluation import Evaluation, Records

if TYPE_CHECKING:
    from lushan.data.processing import Processor
    from lushan.metrics.evaluation import Measured
    from lushan.metrics.metric import Metric


@configurable
class Recommend(Task):
    """Learn which item comes next, by a causal transformer over a user's items.

    Each place of a training sequence is a target, by the softmax over all items. Evaluation ranks
    all items that the user has not had. Items that no user had in training are scored by their
    texts alone, and are no negatives in training.

    Args:
        by: Item representation: its `id`, its `text`, or `both`.
        encoder: Frozen encoder of item texts: a folder, `pkg://package/inside` or a Hub id. null
            trains word embeddings.
        drop_ids: Share of items whose ids are dropped in a training step, where `by` is `both`.
        cold: Also evaluate items that no user has in training: `ndcg_10_cold`, `auc_cold`.
        baselines: Baseline recommenders by name; see `lushan.models.item_scores`.
        metrics: More metrics, by name: your own classes, which receive a user's row with its ranks.
        monitor: Metric that selects the best checkpoint.
    """

    fields = HISTORIES
    counts_targets = True
    BUILT_LATER: ClassVar[tuple[str, ...]] = ("metrics", "baselines")
    schema = pa.schema(
        [
            ("input_ids", pa.list_(pa.int32())),
            ("labels", pa.list_(pa.int32())),
            ("seen", pa.list_(pa.int32())),
            ("right", pa.list_(pa.int32())),
            ("last", pa.int8()),
            *EXAMPLE,
            ("cut", pa.int32()),
            ("unknown", pa.int32()),
        ]
    )

    def __init__(
        self,
        *,
        by: By = "both",
        encoder: str | None = None,
        drop_ids: Annotated[float, Within(least=0, below=1)] = 0.0,
        cold: bool = False,
        baselines: dict[str, Any] | None = None,
        metrics: dict[str, Any] | None = None,
        monitor: str = "ndcg_10",
    ) -> None:
        if encoder is not None and by == "id":
            raise UserError(
                "there are no texts to encode",
                key="task.encoder",
                value=encoder,
                hint="task.by=both",
            )
        self.by, self.path, self.drop_ids, self.cold = by, encoder, drop_ids, cold
        self.baselines = baselines or {}
        self.added, self.main_metric = metrics or {}, monitor
        self.items = Catalogue((), (), ())
        self.known: dict[str, list[int]] = {}
        self.vector_width: int | None = None

    @classmethod
    def own_metrics(cls, node: Mapping[str, Any]) -> Mapping[str, Metric]:
        from lushan.metrics.families import recommendation

        found = recommendation.metrics(cold=bool(node.get("cold")))
        names = recommendation.compared(cold=bool(node.get("cold")))
        return found | {
            f"{metric}_{name}": found[metric]
            for name in node.get("baselines") or {}
            for metric in names
        }

    # What is learned of the data

    def prepare(self, corpus: Corpus) -> None:
        if not isinstance(corpus, ItemCorpus):
            raise UserError(
                "this task needs the catalogue of items",
                key="data",
                hint="Use data=interactions with a table of interactions and one of items.",
            )
        self.items = corpus.items
        if self.by != "id" and not any(self.items.texts):
            raise UserError(
                "the items have no texts",
                key="task.by",
                value=self.by,
                hint="Write task.by=id, or data.items=FILE.",
            )
        table = corpus.splits["train"]
        rows = zip(
            item_records.users(table),
            table.column("history").to_pylist(),
            table.column("target").to_pylist(),
            strict=True,
        )
        number = self._numbers
        self.known = {u: [number[i] for i in (*had, *target)] for u, had, target in rows}

    @functools.cached_property
    def _numbers(self) -> dict[str, int]:
        return self.items.numbers()

    @functools.cached_property
    def cold_items(self) -> list[bool]:
        """Return which items no user has had in training, (I,)."""
        return (self.counts == 0).tolist()

    @functools.cached_property
    def counts(self) -> NDArray[np.int64]:
        """How many users have had each item in training, (I,)."""
        return counts_of(list(self.known.values()), len(self.items))

    def state(self) -> dict[str, Any]:
        items = self.items.as_dict()
        return {"items": items, "known": self.known, "vector_width": self.vector_width}

    def restore(self, state: dict[str, Any]) -> None:
        self.items = Catalogue.from_dict(state["items"])
        self.known = {user: list(items) for user, items in state["known"].items()}
        self.vector_width = state["vector_width"]

    def options(self) -> dict[str, Any]:
        return {"task": "recommend"}

    def use(self, processor: Processor) -> None:
        super().use(processor)
        tokenizer = require_tokenizer(processor)
        vocabulary = tokenizer.get_vocab()
        if any(name not in vocabulary for name in self.items.ids) or tokenizer.cls_token_id is None:
            raise UserError(
                "each item must have its own token", key="processor", hint="Write processor=items."
            )
        self.tokens = np.array([vocabulary[name] for name in self.items.ids], np.int64)
        self.begin_id = int(tokenizer.cls_token_id)

    @property
    def record_fields(self) -> Mapping[str, Entry]:
        return {
            "user": Entry(Text(), "input"),
            "history": Entry(Texts(target=False), "input"),
            "gold": Entry(Texts(), "gold"),
            "predicted": Entry(Text(), "predicted"),
            "top": Entry(Texts(target=False), "detail"),
            "rank": Entry(Number(), "detail"),
        }

    # Encoding

    def limits(self, limits: Limits, split: str) -> Limits:
        # What is before the last window is learned, too, and evaluated without.
        return Limits(limits.max_length, 0 if split == "train" else None)

    def encode(
        self, rows: dict[str, list[Any]], first: int, processor: Processor, limits: Limits
    ) -> Features:
        found = item_features.encoded(rows, self._numbers, self.tokens, self.begin_id, limits)
        features: Features = {field.name: [] for field in self.schema}
        for row in found:
            features["example"].append(first + row.pop("row"))
            for name, value in row.items():
                features[name].append(value)
        return features

    def encoding_notes(self, split: str, counts: Mapping[str, int]) -> Iterator[str]:
        if cut := counts.get("cut"):
            what = plural(cut, "history is", "histories are")
            yield f"{split}: {what} truncated to the last max_length items"
        if unknown := counts.get("unknown"):
            yield f"{split}: {unknown} items are not in the catalogue of the run"

    def truncation_note(self, count: int, examples: int, limits: Limits) -> str:
        are, last = "is" if count == 1 else "are", limits.max_length - 1  # a token begins each
        return f"{count} of {examples} histories {are} truncated to the last {last} items"

    def unknown_note(self, count: int) -> str:
        which = plural(count, "item of the histories is", "items of the histories are")
        return f"{which} not in the catalogue of the run"

    def transform(
        self, rows: list[dict[str, Any]], seed: int, *, training: bool = False
    ) -> list[dict[str, Any]]:
        found = []
        for row in rows:
            labels = np.array(row["labels"], np.int64)
            if not training:
                labels[: len(labels) - int(row["last"])] = IGNORED
            found.append({**row, "labels": labels, "targets": int((labels >= 0).sum())})
        return found

    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        ids = pad([row["input_ids"] for row in rows], self.pad_id)
        lengths = torch.tensor([len(row["input_ids"]) for row in rows])
        return {
            "input_ids": ids,
            "attention_mask": (torch.arange(ids.shape[1]) < lengths[:, None]).long(),
            "labels": pad([row["labels"] for row in rows], IGNORED),
            "seen": pad([row["seen"] for row in rows], len(self.items)),
            "right": pad([row["right"] for row in rows], IGNORED),
            "last": torch.tensor([int(row["last"]) for row in rows]),
            "example": torch.tensor([int(row["example"]) for row in rows]),
        }

    # Model

    def build(self, encoder: Backbone) -> nn.Module:
        texts, learned = None, self.counts > 0
        if self.by != "id":
            texts = item_texts.made(
                self.items.texts,
                encoder.width,
                self.path,
                known=self.vector_width,
                learned=learned.tolist(),
            )
            if isinstance(texts, item_texts.FrozenTexts):
                self.vector_width = texts.vectors.shape[1]
        return Recommender(
            encoder,
            torch.from_numpy(self.tokens),
            by=self.by,
            texts=texts,
            learned=torch.from_numpy(learned),
            drop_ids=self.drop_ids,
        )

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        states, items = model(batch["input_ids"], batch["attention_mask"])
        whole: Any = model
        found: Tensor = whole.loss(states, items, batch["labels"])
        return found

    def item_scores(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the scores of all items after each row of a batch, (B, I)."""
        states, items = model(batch["input_ids"], batch["attention_mask"])
        ends = batch["attention_mask"].sum(1) - 1
        last = states[torch.arange(len(ends), device=ends.device), ends]
        return products(last, items)

    def predict(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Records]:
        scores = self.item_scores(model, batch)
        count = scores.shape[1]
        right = [[i for i in own if i >= 0] for own in batch["right"].tolist()]
        losses = scores.new_zeros(len(scores))
        for row, own in enumerate(right):
            if own and own[0] < count:
                losses[row] = scores[row].logsumexp(0) - scores[row, own[0]]
        losses = losses * batch["last"]
        left = without(scores, batch["seen"], right)
        top = left.topk(min(item_records.SHOWN, count), dim=1)
        records: Records = [
            {
                "example": example,
                "last": bool(last),
                "right": own,
                **ranks,
                "top": [n for n, score in zip(best, found, strict=True) if score > -np.inf],
                "scores": [score for score in found if score > -np.inf],
                "loss": float(loss),
            }
            for example, last, own, ranks, best, found, loss in zip(
                batch["example"].tolist(),
                batch["last"].tolist(),
                right,
                item_ranks.ranked(left, right, self.cold_items),
                top.indices.tolist(),
                top.values.tolist(),
                losses.tolist(),
                strict=True,
            )
        ]
        return losses.sum(), records

    # Evaluation

    def join(self, table: pa.Table, records: Records) -> Records:
        ids = table.column("id").to_pylist()
        kept = sorted((r for r in records if r["last"]), key=lambda record: record["example"])
        titles = self.items.titles
        return [
            {
                "id": name,
                **{k: row[k] for k in ("right", *item_ranks.RANKS, "top", "scores", "loss")},
                "predicted": titles[row["top"][0]] if row["top"] else "",
            }
            for name, row in zip(ids, kept, strict=True)
        ]

    def present(self, table: pa.Table, joined: Records) -> Records:
        return item_records.shown(table, joined, self.items)

    def evaluate(self, table: pa.Table, records: Records, *, full: bool) -> Evaluation:
        joined = self.join(table, records)
        result = Evaluation({})
        result.add(self._measured(joined, full=full, records=joined, forms=dict))
        result.metrics["loss"] = float(np.mean([row["loss"] for row in joined]))
        result.measures["loss"] = LOSS
        if full:
            self._compare(table, [row["right"] for row in joined], result)
            result.records = item_records.stored(table, joined, self.items)
        return result

    def _measured(self, ranks: Sequence[Mapping[str, Any]], **options: Any) -> Measured:
        from lushan.metrics.families import recommendation

        users = len(self.known)
        shown = [item_ranks.shown(row, self.counts, users) for row in ranks]
        return self.measured(recommendation.metrics(cold=self.cold), shown, shown, **options)

    def seen(self, table: pa.Table) -> tuple[list[list[int]], list[list[int]]]:
        """Return the histories of rows by items' numbers, and all that is known with them."""
        rows = table.column("history").to_pylist()
        had = [[self._numbers[i] for i in row if i in self._numbers] for row in rows]
        return had, histories.known(
            self.known, dict(zip(item_records.users(table), had, strict=True))
        )

    def counted(self, table: pa.Table) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Yield each baseline's name and its scores (N, I), fitted to all that is known."""
        had, known = self.seen(table)
        for name, make in self.baselines.items():
            one: ItemScores = make()
            one.fit(known, self.items.texts)
            yield name, one.scores(had)

    def _compare(self, table: pa.Table, right: list[list[int]], result: Evaluation) -> None:
        """Add the metrics of the baselines, and paired tests against them over users."""
        from lushan.metrics.families import recommendation

        had, _ = self.seen(table)
        seen = pad([np.array(own, np.int64) for own in had], len(self.items))
        for name, scores in self.counted(table):
            left = without(torch.from_numpy(scores), seen, right)
            ranks = item_ranks.ranked(left, right, self.cold_items)
            found = self._measured(ranks, full=True)
            note = rankings.compared(result.statistics, found.statistics, name, "users")
            result.notes.append(note)
            names = recommendation.compared(cold=self.cold)
            result.add(found.renamed({metric: f"{metric}_{name}" for metric in names}))
        if self.baselines:
            result.notes.append(
                "baselines use all interactions before the targets, including those that the "
                "model was not trained on"
            )

    # Export

    def export_spec(self, trained: TrainedModel) -> ExportSpec:
        return item_export.spec(trained, self.items)

    def sample_rows(self) -> pa.Table:
        table = super().sample_rows()
        rows = [list(self.items.ids[: 1 + n]) for n in range(table.num_rows)]
        return table.set_column(table.column_names.index("history"), "history", pa.array(rows))

    @classmethod
    def demo(cls) -> Corpus:
        return item_features.demo()
