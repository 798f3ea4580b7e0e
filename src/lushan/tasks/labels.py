"""Base of tasks that give an example labels: one, several, or a number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from lushan.configurable import Within
from lushan.data.fields import Field, Fields, Label, Labels, Number, Value
from lushan.data.labels import labels_of
from lushan.data.record_schema import Entry
from lushan.data.source import Corpus
from lushan.errors import UserError
from lushan.metrics import classification as by_class
from lushan.metrics.evaluation import Measured
from lushan.models import losses
from lushan.models.backbone import Backbone, PooledModel
from lushan.models.heads import make_head, require_unstructured
from lushan.models.pooling import pooler
from lushan.tasks import probable
from lushan.tasks.base import Task
from lushan.tasks.batches import Batch, pad
from lushan.tasks.evaluation import Evaluation, Records, undistinguished
from lushan.tasks.metrics import Forms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lushan.metrics.metric import Metric

Kind = Literal["single", "multilabel", "regression"]
TARGETS: Mapping[Kind, Field] = {
    "single": Label(),
    "multilabel": Labels(),
    "regression": Number(),
}
_KNOWN = -1.0
MAIN_METRIC = {"single": "accuracy", "multilabel": "f1_micro", "regression": "pearson"}


class LabelTask(Task):
    """Give examples labels, of which a corpus has a column `label`.

    Args:
        head: Partial of an unstructured head: takes `width` and `num_labels`.
        kind: `single` (one label), `multilabel` (any number), `regression` (one number).
        pooling: How to pool the hidden states of an example into one vector.
        class_weights: Class weights: from a label to its weight, `balanced` (inverse frequency in
            train), or none.
        label_smoothing: Label smoothing; only for `single`.
        focal_gamma: Gamma of the focal loss (Lin et al., 2017); 0 is cross-entropy.
        threshold: Lowest probability of a predicted label; only for `multilabel`.
        metrics: More metrics, by name: torchmetrics classes for probabilities, classes or numbers,
            or your own classes.
        monitor: Metric that selects the best checkpoint; by default accuracy, micro F1 or Pearson,
            depending on `kind`.
    """

    reads: Fields
    """What it reads beside the label."""

    def __init__(
        self,
        *,
        head: Callable[..., nn.Module],
        kind: Kind = "single",
        pooling: Literal["cls", "last", "mean", "max", "attention"] = "cls",
        class_weights: dict[str, float] | Literal["balanced"] | None = None,
        label_smoothing: Annotated[float, Within(least=0, below=1)] = 0.0,
        focal_gamma: Annotated[float, Within(least=0)] = 0.0,
        threshold: Annotated[float, Within(least=0, most=1)] = 0.5,
        metrics: dict[str, Any] | None = None,
        monitor: str | None = None,
    ) -> None:
        self.added = metrics or {}
        self.head, self.kind, self.pooling = head, kind, pooling
        self.fields = {**self.reads, "label": TARGETS[kind]}
        self.class_weights, self.label_smoothing = class_weights, label_smoothing
        self.focal_gamma, self.threshold = focal_gamma, threshold
        self.main_metric = monitor or MAIN_METRIC[kind]
        self.labels: list[str] = []
        self.weights: Tensor | None = None

    @property
    def displays(self) -> Mapping[str, str]:
        if self.kind == "regression":
            return {"predicted": "number"}
        return {"probabilities": "shares", "predicted": "text"}

    @classmethod
    def monitored(cls, node: Mapping[str, Any]) -> str:
        return str(node.get("monitor") or MAIN_METRIC[node.get("kind", "single")])

    @classmethod
    def own_metrics(cls, node: Mapping[str, Any]) -> Mapping[str, Metric]:
        from lushan.metrics.families import labels, numbers

        kind = node.get("kind", "single")
        if kind == "regression":
            return numbers.metrics()
        return labels.metrics(several=kind == "multilabel")

    @property
    def record_fields(self) -> Mapping[str, Entry]:
        found = dict(super().record_fields)
        if self.kind != "regression":
            kind = Label if self.kind == "single" else Labels
            label: Field = kind(probabilities="probabilities")
            found |= {"gold": Entry(label, "gold"), "predicted": Entry(label, "predicted")}
            found["probabilities"] = Entry(Value(), "detail")
            found["of_classes"] = Entry(Number(optional=True), "detail")
            found["score"] = Entry(Number(), "detail")
        return found

    @classmethod
    def samples(cls, node: Mapping[str, Any], classes: int) -> Forms:
        kind, one = node.get("kind", "single"), torch.arange(4) % classes
        if kind == "regression":
            values = torch.tensor([0.0, 1.0, 2.0, 4.0])
            return {"numbers": (values + 0.5, values)}
        several = nn.functional.one_hot(one, classes)
        if kind == "multilabel":
            return {"probabilities": ((several + 0.5) / 2, several)}
        return {**_forms((several + 0.5) / (1 + classes / 2), one), "classes": (one, one)}

    @classmethod
    def check(cls, cfg: dict[str, Any]) -> None:
        """Refuse what cannot be combined, before anything is loaded."""
        node = cfg["task"]
        require_unstructured(node)
        single_only = {"class_weights": None, "label_smoothing": 0.0, "focal_gamma": 0.0}
        for key, default in single_only.items():
            if node.get("kind") == "regression" and node.get(key, default) not in (default, 0):
                raise UserError(
                    "has no meaning for regression",
                    key=f"task.{key}",
                    value=node[key],
                    hint=f"Remove task.{key}, or write task.kind=single",
                )

    # Labels

    def prepare(self, corpus: Corpus) -> None:
        if self.kind == "regression":
            self.restore({"labels": []})
            return
        self.labels = labels_of(corpus, least=2 if self.kind == "single" else 1)
        self.restore({"labels": self.labels, "weights": self._weights(corpus)})

    def _weights(self, corpus: Corpus) -> list[float] | None:
        if self.class_weights is None:
            return None
        if self.class_weights != "balanced":
            unknown = sorted(set(self.class_weights) - set(self.labels))
            if unknown:
                raise UserError(
                    f"the training data has no label {unknown[0]!r}; it has {self.labels}",
                    key="task.class_weights",
                )
            return [float(self.class_weights.get(label, 1.0)) for label in self.labels]
        counts = dict.fromkeys(self.labels, 0)
        total = 0
        for value in corpus.splits["train"].column("label").to_pylist():
            for label in value if isinstance(value, list) else [value]:
                counts[label] += 1
            total += 1
        sizes = len([count for count in counts.values() if count])
        return [total / (sizes * count) if count else 1.0 for count in counts.values()]

    def state(self) -> dict[str, Any]:
        weights = None if self.weights is None else self.weights.tolist()
        return {"labels": self.labels, "weights": weights}

    def restore(self, state: dict[str, Any]) -> None:
        self.labels = list(state["labels"])
        self.label_ids = {label: i for i, label in enumerate(self.labels)}
        weights = state.get("weights")
        self.weights = None if weights is None else torch.tensor(weights)

    @property
    def width(self) -> int:
        """Scores a text gets."""
        return 1 if self.kind == "regression" else len(self.labels)

    @property
    def kept(self) -> int | None:
        """Number of a text's classes that are kept, the most probable ones; None for all."""
        return probable.KEPT[self.kind] if self.width > probable.WIDE else None

    def encoded_labels(self, values: list[Any] | None, count: int) -> list[list[float]]:
        """Return labels as numbers, one list an example; empty lists where they are not known."""
        if values is None:
            return [[]] * count
        if self.kind == "regression":
            return [[float(v)] for v in values]
        if self.kind == "single":
            return [[float(self.label_ids[v])] for v in values]
        # Numbers of labels, however many there are; the first says that they are known.
        return [[_KNOWN, *sorted(float(self.label_ids[x]) for x in set(v))] for v in values]

    def collated_labels(self, rows: list[dict[str, Any]]) -> Batch:
        """Return the labels of features as a tensor; nothing where they are not known."""
        if not len(rows[0]["labels"]):
            return {}
        labels = [row["labels"] for row in rows]
        several = self.kind == "multilabel"
        return {"labels": self._indicators(labels) if several else pad(labels, 0, np.float32)}

    def _indicators(self, labels: list[Any]) -> Tensor:
        """0 or 1 for each label, (B, C), from the numbers of those that each text has."""
        found = torch.zeros(len(labels), self.width)
        for row, numbers in zip(found, labels, strict=True):
            row[torch.as_tensor(np.asarray(numbers[1:], dtype=np.int64))] = 1
        return found

    # Model

    def build(self, encoder: Backbone) -> nn.Module:
        width = encoder.width
        head = make_head(self.head, width=width, num_labels=self.width)
        return PooledModel(encoder, pooler(self.pooling, width), head)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return self._loss(model(batch), batch)

    def _loss(self, scores: Tensor, batch: Batch) -> Tensor:
        if "labels" not in batch:
            return scores.new_zeros(())
        labels = batch["labels"]
        weights = None if self.weights is None else self.weights.to(scores.device)
        if self.kind == "regression":
            return losses.mse(scores[:, 0], labels[:, 0])
        if self.kind == "multilabel":
            return losses.binary_cross_entropy(
                scores, labels, weight=weights, focal_gamma=self.focal_gamma
            )
        return losses.cross_entropy(
            scores,
            labels[:, 0].long(),
            weight=weights,
            label_smoothing=self.label_smoothing,
            focal_gamma=self.focal_gamma,
        )

    def lessons(self, batch: Batch) -> list[str | dict[int, str]]:
        labels = batch["labels"].tolist()
        if self.kind == "regression":
            return [f"{value:g}" for (value,) in labels]
        if self.kind == "single":
            return [self.labels[int(value)] for (value,) in labels]
        return [
            ", ".join(n for n, v in zip(self.labels, row, strict=True) if v) or "(none)"
            for row in labels
        ]

    def predict(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Records]:
        scores = model(batch).float()
        loss = self._loss(scores, batch)
        if self.kind == "single":
            scores = scores.softmax(-1)
        elif self.kind == "multilabel":
            scores = scores.sigmoid()
        examples = batch["example"].tolist()
        if self.kept is not None:
            best = scores.topk(self.kept)
            kept = zip(best.indices.int().cpu().numpy(), best.values.cpu().numpy(), strict=True)
            found = zip(examples, kept, strict=True)
            return loss, [{"example": e, "classes": c, "scores": s} for e, (c, s) in found]
        rows = zip(examples, scores.tolist(), strict=True)
        return loss, [{"example": example, "scores": values} for example, values in rows]

    # Evaluation

    def join(self, table: pa.Table, records: Records) -> Records:
        if self.kept is not None:
            return self._join_kept(table, records, self.kept)
        totals = np.zeros((table.num_rows, self.width))
        windows = np.zeros((table.num_rows, 1))
        for record in records:
            totals[record["example"]] += record["scores"]
            windows[record["example"]] += 1
        scores = totals / np.maximum(windows, 1)
        ids = table.column("id").to_pylist()
        return [self._record(i, row) for i, row in zip(ids, scores, strict=True)]

    def _join_kept(self, table: pa.Table, records: Records, kept: int) -> Records:
        windows: list[Records] = [[] for _ in range(table.num_rows)]
        for record in records:
            windows[record["example"]].append(record)
        joined = []
        for identity, parts in zip(table.column("id").to_pylist(), windows, strict=True):
            classes, scores = probable.averaged(parts, kept)
            joined.append(self._record(identity, scores, [self.labels[i] for i in classes]))
        return joined

    def _record(
        self, identity: str, scores: NDArray[Any], labels: list[str] | None = None
    ) -> dict[str, Any]:
        if self.kind == "regression":
            return {"id": identity, "predicted": float(scores[0])}
        names = self.labels if labels is None else labels
        record: dict[str, Any] = {
            "id": identity,
            "probabilities": dict(zip(names, map(float, scores), strict=True)),
        }
        if labels is not None:
            record["of_classes"] = len(self.labels)
        if self.kind == "single":
            record["predicted"] = names[int(np.argmax(scores))]
            record["score"] = float(np.max(scores))
        else:
            chosen = [i for i, p in enumerate(scores) if p >= self.threshold]
            record["predicted"] = [names[i] for i in chosen]
            record["score"] = float(min(max(p, 1 - p) for p in scores))
        return record

    def present(self, table: pa.Table, joined: Records) -> Records:
        return self.with_inputs(table, joined)

    def evaluate(self, table: pa.Table, records: Records, *, full: bool) -> Evaluation:
        joined = self.join(table, records)
        gold = table.column("label").to_pylist()
        predicted = [row["predicted"] for row in joined]
        result = Evaluation({}, notes=probable.notes(joined, self.width, self.kept))
        result.add(self._measured(gold, predicted, joined, full))
        if full:
            result.notes += undistinguished(predicted, gold)
            if self.kind != "regression":
                found = by_class.classes(gold, predicted, labels=self.labels)
                result.report = {"label": found.report.as_dict()}
                result.confusion = found.confusion
            # With what the model was given: errors are inspected, not counted.
            shown = self.with_inputs(table, joined, result.add_file)
            result.records = [{**r, "gold": g} for r, g in zip(shown, gold, strict=True)]
        return result

    def _measured(
        self, gold: list[Any], predicted: list[Any], joined: Records, full: bool
    ) -> Measured:
        from lushan.metrics.families import labels, numbers

        own: Mapping[str, Metric]
        if self.kind == "regression":
            own = numbers.metrics(origin=float(np.mean(gold)) if gold else 0.0)
        else:
            several = self.kind == "multilabel"
            there = by_class.names_in(gold, predicted, labels=self.labels)
            if not several:  # classes that do not occur say nothing
                occurring = {*gold, *predicted}
                there = [label for label in there if label in occurring]
            own = labels.metrics(several=several, labels=there)

        return self.measured(
            own,
            predicted,
            gold,
            full=full,
            records=joined,
            forms=lambda: self._forms(gold, joined),
        )

    def own_samples(self) -> Forms:
        found = self.samples({"kind": self.kind}, self.classes)
        # Of very many classes only the most probable are known.
        return found if self.kept is None else {k: v for k, v in found.items() if k == "classes"}

    def _forms(self, gold: list[Any], joined: Records) -> Forms:
        """Return the predictions of a split as tensors."""
        if self.kind == "regression":
            sides = ([row["predicted"] for row in joined], gold)
            return {"numbers": (torch.tensor(sides[0]), torch.tensor(sides[1]))}
        if self.kept is not None:
            return {"classes": (self._numbers(r["predicted"] for r in joined), self._numbers(gold))}
        rows = [list(record["probabilities"].values()) for record in joined]
        scores = torch.tensor(rows, dtype=torch.float32).reshape(len(rows), self.width)
        if self.kind == "single":
            return _forms(scores, self._numbers(gold))
        found = torch.zeros(len(joined), self.width, dtype=torch.long)
        for row, chosen in zip(found, gold, strict=True):
            row[self._numbers(chosen)] = 1
        return {"probabilities": (scores, found)}

    def _numbers(self, labels: Iterable[str]) -> Tensor:
        return torch.tensor([self.label_ids[label] for label in labels], dtype=torch.long)


def _forms(scores: Tensor, gold: Tensor) -> Forms:
    """Return predictions of one label a text: (N, C) scores, and of two labels those of the second.

    Args:
        scores: (N, C) probabilities.
        gold: (N,) numbers of labels.
    """
    found = {"probabilities": (scores, gold)}
    return found | ({"of the second label": (scores[:, 1], gold)} if scores.shape[1] == 2 else {})
