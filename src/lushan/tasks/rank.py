"""Ranking of candidates by features of each: what a recommender or a search found, once more."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lushan.common.units import LOSS
from lushan.configurable import configurable
from lushan.data.demo import demo_corpus
from lushan.data.fields import Number, Text, Texts
from lushan.data.item_fields import CANDIDATES, features_of
from lushan.data.record_schema import Entry
from lushan.data.source import Corpus
from lushan.errors import UserError, did_you_mean
from lushan.metrics.rankings import ranking
from lushan.models.backbone import Backbone
from lushan.models.language import WholeModel
from lushan.models.losses import wide
from lushan.models.ranker import Objective, RankerConfig, Scorer, losses
from lushan.tasks import rankings
from lushan.tasks.base import Task
from lushan.tasks.batches import EXAMPLE, Batch, Features, Limits, pad
from lushan.tasks.evaluation import Evaluation, Records

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from lushan.data.processing import Processor
    from lushan.metrics.evaluation import Measured
    from lushan.metrics.metric import Metric

COMPARED = ("hr_10", "ndcg_10")
"""Metrics that are computed of features alone, too."""
NOT_THERE = 1 << 30
"""Rank of what is right and no candidate: behind any cut."""
SHOWN = 10


@configurable
class Rank(Task):
    """Learn scores of candidates from their features, such as the scores of several recommenders.

    A list is one example, and its loss compares its candidates with one another. What is right and
    is no candidate counts as not found.

    Args:
        objective: `listwise` (cross-entropy of the relevant items among all candidates) or
            `pairwise`.
        features: Features to train on; null is all in the data.
        baselines: Single features that rank the lists as baselines, in metrics such as
            `ndcg_10_model`.
        metrics: More metrics, by name: your own classes, which receive a list's row with its ranks.
        monitor: Metric that selects the best checkpoint.
    """

    fields = CANDIDATES
    schema = pa.schema(
        [
            ("values", pa.list_(pa.float32())),
            ("right", pa.list_(pa.int8())),
            ("absent", pa.int32()),
            *EXAMPLE,
        ]
    )

    def __init__(
        self,
        *,
        objective: Objective = "listwise",
        features: list[str] | None = None,
        baselines: list[str] | None = None,
        metrics: dict[str, Any] | None = None,
        monitor: str = "ndcg_10",
    ) -> None:
        self.objective, self.baselines = objective, baselines or []
        self.chosen = features
        self.added, self.main_metric = metrics or {}, monitor
        self.names: list[str] = []
        self.means: list[float] = []
        self.deviations: list[float] = []

    @classmethod
    def own_metrics(cls, node: Mapping[str, Any]) -> Mapping[str, Metric]:
        found = _metrics()
        names = node.get("baselines") or []
        return found | {f"{metric}_{name}": found[metric] for name in names for metric in COMPARED}

    # What is learned of the data

    def prepare(self, corpus: Corpus) -> None:
        rows = features_of(corpus.splits["train"].column("features").to_pylist())
        there = sorted(rows[0])
        for key, names in (("baselines", self.baselines), ("features", self.chosen or [])):
            if (name := next((name for name in names if name not in there), None)) is not None:
                raise UserError(
                    f"unknown feature; the data has {', '.join(there)}",
                    key=f"task.{key}",
                    value=name,
                    hint=did_you_mean(name, there),
                )
        self.names = sorted(self.chosen) if self.chosen else there
        values = np.concatenate([self._matrix(row) for row in rows])
        self.means = values.mean(0).tolist()
        self.deviations = np.maximum(values.std(0), 1e-6).tolist()

    def state(self) -> dict[str, Any]:
        return {"names": self.names, "means": self.means, "deviations": self.deviations}

    def restore(self, state: dict[str, Any]) -> None:
        self.names, self.means = list(state["names"]), list(state["means"])
        self.deviations = list(state["deviations"])

    def options(self) -> dict[str, Any]:
        return {"task": "rank", "names": self.names}

    def special_ids(self, processor: Processor) -> dict[str, int]:
        return {"features": len(self.names)}

    def wrap(self, model: PreTrainedModel) -> Backbone:
        if not isinstance(model.config, RankerConfig):
            raise UserError(
                f"a {model.config.model_type} does not accept features",
                key="model",
                hint="Write model=ranker.",
            )
        return Scorer(model)

    def build(self, encoder: Backbone) -> nn.Module:
        return WholeModel(encoder)

    @property
    def record_fields(self) -> Mapping[str, Entry]:
        return {
            "user": Entry(Text(), "input"),
            "gold": Entry(Texts(), "gold"),
            "predicted": Entry(Text(), "predicted"),
            "top": Entry(Texts(target=False), "detail"),
            "rank": Entry(Number(), "detail"),
        }

    # Encoding

    def _matrix(self, row: Mapping[str, Sequence[float]]) -> NDArray[np.float64]:
        """Return the features of a list, (C, F), on a scale that long tails do not rule."""
        values = np.array([row[name] for name in self.names], np.float64).T
        return np.sign(values) * np.log1p(np.abs(values))

    def encode(
        self, rows: dict[str, list[Any]], first: int, processor: Processor, limits: Limits
    ) -> Features:
        features: Features = {field.name: [] for field in self.schema}
        targets = rows.get("target") or [[] for _ in rows["candidates"]]
        found = features_of(rows["features"])
        for number, (items, row, target) in enumerate(
            zip(rows["candidates"], found, targets, strict=True)
        ):
            if not set(self.names) <= set(row):
                raise UserError(
                    f"the features are {', '.join(sorted(row))}, but the run was trained on "
                    f"{', '.join(self.names)}",
                    key="features",
                )
            features["values"].append(self._matrix(row).ravel().tolist())
            features["right"].append([int(item in target) for item in items])
            features["absent"].append(len(set(target) - set(items)))
            features["length"].append(max(1, len(items)))
            features["targets"].append(1)
            features["example"].append(first + number)
        return features

    def count(self, features: Features) -> dict[str, int]:
        pairs = zip(features["right"], features["absent"], strict=True)
        empty = sum(absent > 0 and not any(right) for right, absent in pairs)
        return {**super().count(features), "empty": empty}

    def encoding_notes(self, split: str, counts: Mapping[str, int]) -> Iterator[str]:
        if empty := counts.get("empty"):
            yield (
                f"{split}: {empty} of {counts['features']} lists have no relevant item: training "
                f"ignores them, and evaluation counts them as misses"
            )

    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        right = pad([np.asarray(row["right"]) for row in rows], -1)
        values = np.zeros((*right.shape, len(self.names)), np.float32)
        for place, row in enumerate(rows):
            own = np.asarray(row["values"], np.float32).reshape(-1, len(self.names))
            values[place, : len(own)] = (own - self.means) / self.deviations
        return {
            "features": torch.from_numpy(values),
            "right": right == 1,
            "there": right >= 0,
            "absent": torch.tensor([int(row["absent"]) for row in rows]),
            "example": torch.tensor([int(row["example"]) for row in rows]),
        }

    # Learning and predicting

    def _scored(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return scores (B, C) and the loss of each list (B,)."""
        whole = cast("WholeModel", model)
        scores = wide(whole(features=batch["features"]))
        return scores, losses(scores, batch["right"], batch["there"], self.objective)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return self._scored(model, batch)[1].sum()

    def predict(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Records]:
        scores, each = self._scored(model, batch)
        sizes = batch["there"].sum(1).tolist()
        records: Records = [
            {"example": example, "scores": own[:size], "loss": loss}
            for example, own, size, loss in zip(
                batch["example"].tolist(), scores.tolist(), sizes, each.tolist(), strict=True
            )
        ]
        return each.sum(), records

    # Evaluation

    def join(self, table: pa.Table, records: Records) -> Records:
        rows = sorted(records, key=lambda record: record["example"])
        targets = _targets(table)
        columns = [table.column(name).to_pylist() for name in ("id", "candidates")]
        found = []
        for name, items, target, row in zip(*columns, targets, rows, strict=True):
            order = np.argsort(-np.array(row["scores"]), kind="stable").tolist()
            found.append(
                {
                    "id": name,
                    "predicted": items[order[0]] if order else "",
                    "top": [items[n] for n in order[:SHOWN]],
                    "scores": [row["scores"][n] for n in order[:SHOWN]],
                    "ranks": _ranks(row["scores"], items, target),
                    "loss": row["loss"],
                }
            )
        return found

    def present(self, table: pa.Table, joined: Records) -> Records:
        users = table.column("user").to_pylist() if "user" in table.column_names else []
        shown = [
            {
                "id": row["id"],
                "predicted": row["predicted"],
                "top": [
                    {"item": item, "score": score}
                    for item, score in zip(row["top"], row["scores"], strict=True)
                ],
            }
            for row in joined
        ]
        pairs = zip(shown, users, strict=True) if users else ()
        return [{**row, "user": user} for row, user in pairs] or shown

    def evaluate(self, table: pa.Table, records: Records, *, full: bool) -> Evaluation:
        joined = self.join(table, records)
        result = Evaluation({})
        result.add(self._measured(joined, full=full, records=joined, forms=dict))
        result.metrics["loss"] = float(np.mean([row["loss"] for row in joined]))
        result.measures["loss"] = LOSS
        if full:
            self._compare(table, result)
            result.records = _stored(table, joined)
        return result

    def _measured(self, rows: Sequence[Mapping[str, Any]], **options: Any) -> Measured:
        return self.measured(_metrics(), rows, rows, **options)

    def _compare(self, table: pa.Table, result: Evaluation) -> None:
        """Add the metrics of features alone, and paired tests against them over lists."""
        features = features_of(table.column("features").to_pylist())
        items, targets = table.column("candidates").to_pylist(), _targets(table)
        for name in self.baselines:
            triples = zip(features, items, targets, strict=True)
            shown = [{"ranks": _ranks(row[name], own, target)} for row, own, target in triples]
            found = self._measured(shown, full=True)
            note = rankings.compared(result.statistics, found.statistics, name, "lists")
            result.notes.append(note)
            result.add(found.renamed({metric: f"{metric}_{name}" for metric in COMPARED}))

    def sample_rows(self) -> pa.Table:
        table = super().sample_rows()
        rows = [json.dumps({name: [0.0, 2.0, 1.0] for name in self.names})] * table.num_rows
        return table.set_column(table.column_names.index("features"), "features", pa.array(rows))

    @classmethod
    def demo(cls) -> Corpus:
        rows = [([3.0, 1.0, 2.0], [0.0, 5.0, 1.0], 0), ([1.0, 4.0, 0.0], [3.0, 1.0, 2.0], 1)] * 2
        columns = {
            "user": [f"u{n}" for n in range(len(rows))],
            "candidates": [[f"i{n}{place}" for place in range(3)] for n in range(len(rows))],
            "features": [
                json.dumps({"model": one, "popularity": two, "noise": [0.0] * 3})
                for one, two, _ in rows
            ],
            "target": [[f"i{n}{place}"] for n, (_, _, place) in enumerate(rows)],
        }
        return demo_corpus(CANDIDATES, columns)


def _metrics() -> dict[str, Metric]:
    from lushan.metrics.families import recommendation

    found = recommendation.metrics()
    return {n: m for n, m in found.items() if isinstance(m, recommendation.Of)}


def _targets(table: pa.Table) -> list[list[str]]:
    if "target" in table.column_names:
        return cast("list[list[str]]", table.column("target").to_pylist())
    return [[] for _ in range(table.num_rows)]


def _ranks(scores: Sequence[float], items: Sequence[str], target: Sequence[str]) -> list[int]:
    """Return the ranks of what is right, also of what is no candidate."""
    places = [n for n, item in enumerate(items) if item in target]
    (found,) = ranking(np.array([scores]), [places])
    return [*found, *([NOT_THERE] * len(set(target) - set(items)))]


def _stored(table: pa.Table, joined: Records) -> Records:
    users = table.column("user" if "user" in table.column_names else "id").to_pylist()
    return [
        {
            "id": row["id"],
            "user": user,
            "gold": target,
            "predicted": row["predicted"],
            "top": row["top"],
            "rank": min((rank for rank in row["ranks"] if rank < NOT_THERE), default=0),
        }
        for row, user, target in zip(joined, users, _targets(table), strict=True)
    ]
