"""Which quadrant of an image is the brightest: all that lushan has to know of a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from lushan.data.fields import Fields, Image, Label
from lushan.data.labels import labels_of
from lushan.data.record_schema import Entry
from lushan.data.references import structs
from lushan.data.source import Corpus
from lushan.metrics.classification import classes
from lushan.metrics.families import labels as families
from lushan.metrics.metric import Metric
from lushan.models.backbone import Backbone
from lushan.models.exported import ExportSpec, TrainedModel
from lushan.models.losses import cross_entropy
from lushan.tasks import exporting
from lushan.tasks.base import Task
from lushan.tasks.batches import Batch, Features, Limits
from lushan.tasks.evaluation import Evaluation, Records
from lushan.tasks.metrics import Forms
from lushan.vision import images
from own_task import pictures

FIELDS: Fields = {"image": Image(), "label": Label()}
PIXELS_OF_A_TOKEN = 64
"""What an image costs, for the size of batches: as many tokens as it has patches of 8 x 8."""


class ImageModel(nn.Module):
    """An encoder of images, and a linear layer on its first token."""

    def __init__(self, encoder: Backbone, classes: int) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(encoder.width, classes)

    def forward(self, batch: Batch) -> Tensor:
        """Return scores (B, C)."""
        return self.head(self.encoder(**batch)[:, 0])


class Brightest(Task):
    """Find the brightest quadrant.

    Args:
        darkest: By what factor a training image is made darker at most; 1 leaves it as it is.
        metrics: More metrics, by name.
        monitor: The metric that chooses the best checkpoint.
    """

    fields = FIELDS
    # An image as it is in its file: pixels are many times as large.
    schema = pa.schema(
        [
            ("file", pa.list_(pa.uint8())),
            ("label", pa.int32()),
            ("length", pa.int32()),
            ("targets", pa.int32()),
            ("example", pa.int64()),
        ]
    )

    def __init__(
        self,
        *,
        darkest: float = 0.5,
        metrics: dict[str, Any] | None = None,
        monitor: str = "accuracy",
    ) -> None:
        self.darkest, self.added, self.main_metric = darkest, metrics or {}, monitor
        self.labels: list[str] = []

    # Metrics

    @classmethod
    def own_metrics(cls, node: Mapping[str, Any]) -> Mapping[str, Metric]:
        return families.metrics()

    @classmethod
    def samples(cls, node: Mapping[str, Any], classes: int) -> Forms:
        numbers = torch.arange(4) % classes
        return {"probabilities": (nn.functional.one_hot(numbers, classes).float(), numbers)}

    # What is learned of the data

    def prepare(self, corpus: Corpus) -> None:
        self.labels = labels_of(corpus)

    def state(self) -> dict[str, Any]:
        return {"labels": self.labels}

    def restore(self, state: dict[str, Any]) -> None:
        self.labels = list(state["labels"])

    def options(self) -> dict[str, Any]:
        return {"labels": self.labels}

    # From rows to tensors

    def use(self, processor: Any) -> None:
        self.processor = processor

    def encode(
        self, rows: dict[str, list[Any]], first: int, processor: Any, limits: Limits
    ) -> Features:
        files = [content(image) for image in rows["image"]]
        for name, file in zip(rows["id"], files, strict=True):
            images.decode(file, name)  # a damaged one is refused now
        count = len(files)
        cost = processor.size["height"] * processor.size["width"] // PIXELS_OF_A_TOKEN
        known = rows.get("label")  # a new image has none
        return {
            "file": [np.frombuffer(file, np.uint8) for file in files],
            "label": [self.labels.index(name) for name in known] if known else [-100] * count,
            "length": [cost] * count,
            "targets": [1] * count,
            "example": list(range(first, first + count)),
        }

    def transform(self, rows: Records, seed: int, *, training: bool = False) -> Records:
        return [self._drawn(row, seed, training) for row in rows]

    def _drawn(self, row: dict[str, Any], seed: int, training: bool) -> dict[str, Any]:
        picture = images.decode(row["file"].tobytes(), f"of example {row['example']}")
        if training:  # the same in a run that was interrupted: by seed and index alone
            factor = np.random.default_rng([seed, row["index"]]).uniform(self.darkest, 1)
            picture = picture.point(lambda value: int(value * factor))
        return row | {"pixels": self.processor(picture, return_tensors="np")["pixel_values"][0]}

    def collate(self, rows: Records) -> Batch:
        return {
            "pixel_values": torch.from_numpy(np.stack([row["pixels"] for row in rows])),
            "labels": torch.tensor([int(row["label"]) for row in rows]),
            "example": torch.tensor([int(row["example"]) for row in rows]),
        }

    # Model

    def build(self, encoder: Backbone) -> nn.Module:
        return ImageModel(encoder, len(self.labels))

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return cross_entropy(model(batch), batch["labels"])

    def lessons(self, batch: Batch) -> list[str | dict[int, str]]:
        return [self.labels[number] for number in batch["labels"].tolist()]

    def predict(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Records]:
        scores = model(batch).float()
        loss = cross_entropy(scores, batch["labels"])
        pairs = zip(batch["example"].tolist(), scores.softmax(-1).tolist(), strict=True)
        return loss, [{"example": example, "scores": row} for example, row in pairs]

    # Predictions

    @property
    def record_fields(self) -> Mapping[str, Entry]:
        label = Label(probabilities="probabilities")
        return {
            "image": Entry(Image(), "input"),
            "gold": Entry(label, "gold"),
            "predicted": Entry(label, "predicted"),
        }

    def join(self, table: pa.Table, records: Records) -> Records:
        found: Records = [{} for _ in range(table.num_rows)]
        for record in records:
            scores = dict(zip(self.labels, record["scores"], strict=True))
            best = max(scores, key=lambda label: scores[label])
            found[record["example"]] = {"predicted": best, "probabilities": scores}
        return found

    def present(self, table: pa.Table, joined: Records) -> Records:
        names = zip(table.column("id").to_pylist(), table.column("image").to_pylist(), strict=True)
        pairs = zip(names, joined, strict=True)
        return [{"id": name, "image": image["path"], **row} for (name, image), row in pairs]

    def evaluate(self, table: pa.Table, records: Records, *, full: bool) -> Evaluation:
        joined, gold = self.join(table, records), table.column("label").to_pylist()
        predicted = [row["predicted"] for row in joined]

        def forms() -> Forms:
            scores = torch.tensor([list(row["probabilities"].values()) for row in joined])
            return {"probabilities": (scores, torch.tensor([*map(self.labels.index, gold)]))}

        result = Evaluation({})
        metrics = families.metrics(labels=sorted({*gold, *predicted}))
        result.add(self.measured(metrics, predicted, gold, full=full, records=joined, forms=forms))
        if full:
            found = classes(gold, predicted, labels=self.labels)
            result.report, result.confusion = {"label": found.report.as_dict()}, found.confusion
            files = [result.add_file(content(v), "png") for v in table.column("image").to_pylist()]
            rows = zip(self.present(table, joined), files, gold, strict=True)
            result.records = [row | {"image": image, "gold": g} for row, image, g in rows]
        return result

    # Export

    def export_spec(self, trained: TrainedModel) -> ExportSpec:
        whole: Any = trained.whole
        examples = [pictures.draw(number) for number in range(4)]

        def read(processor: Any, file: bytes) -> Any:
            return processor(images.decode(file, "drawn"), return_tensors="pt")

        return exporting.with_head(
            trained,
            "AutoModelForImageClassification",
            whole.head,
            self.labels,
            examples=examples,
            ask=lambda model, processor, file: model(**read(processor, file)).logits,
            expected=[whole(read(trained.processor, file)) for file in examples],
            key="model",
            pipeline="image-classification",
            usage='classify = pipeline("image-classification", "DIR")\nprint(classify("a.png"))',
        )

    @classmethod
    def demo(cls) -> Corpus:
        numbers = range(16)
        table = pa.table(
            {
                "id": [f"demo:{number}" for number in numbers],
                "image": structs([{"path": "", "bytes": pictures.draw(n)} for n in numbers]),
                "label": [pictures.QUADRANTS[number % 4] for number in numbers],
                "line": list(numbers),
                "file": ["demo"] * len(numbers),
            }
        )
        splits = {"train": table, "validation": table, "test": table}
        return Corpus(splits=splits, fields=FIELDS, scheme=None, notes=[])


def content(image: Mapping[str, Any]) -> bytes:
    """Return the bytes of an image's file."""
    return image["bytes"] or images.read_bytes(image["path"])
