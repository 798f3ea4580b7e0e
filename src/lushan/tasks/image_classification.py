"""Classification of images: one label, several, or a number."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from lushan.configurable import Within, configurable
from lushan.data.demo import demo_corpus
from lushan.data.fields import Fields, Image
from lushan.data.processing import require_image_processor
from lushan.data.references import structs
from lushan.data.source import Corpus
from lushan.models.exported import ExportSpec, TrainedModel
from lushan.models.transformers_heads import linear_of
from lushan.tasks import exporting
from lushan.tasks.batches import Batch, Features, Limits
from lushan.tasks.labels import TARGETS, Kind, LabelTask
from lushan.vision import images
from lushan.vision.augment import Augment

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture
    from transformers import BaseImageProcessor, PreTrainedModel

    from lushan.data.processing import Processor

IMAGES: Fields = {"image": Image()}
PATCH = 16
"""Pixels of a side of what counts as a token of an image."""
USAGE = """\
classify = pipeline("image-classification", "DIR")
print(classify("image.png"))"""


@configurable
class ImageClassification(LabelTask):
    """Label images.

    An image is kept encoded, or by its path, and decoded each time that it is drawn.

    Args:
        head: Partial of an unstructured head: takes `width` and `num_labels`.
        kind: `single` (one label), `multilabel` (any number), `regression` (one number).
        pooling: How an image's hidden states become one vector.
        augment: How images are changed in training, another way each epoch; null changes nothing.
        class_weights: Label to weight, `balanced` (inverse frequency in train), or none.
        label_smoothing: Share of the target spread over all labels; `single` only.
        focal_gamma: Focal loss (Lin et al., 2017) with this gamma; 0 is cross-entropy.
        threshold: Probability from which a label counts; `multilabel` only.
        metrics: More metrics, by name: classes of torchmetrics that take probabilities, classes or
            numbers, or metrics of one's own.
        monitor: The metric that chooses the best checkpoint; by default accuracy, micro F1 or
            Pearson, by kind.
    """

    reads = IMAGES
    schema = pa.schema(
        [
            ("image", pa.list_(pa.uint8())),
            ("is_path", pa.int8()),
            ("labels", pa.list_(pa.float32())),
            ("length", pa.int32()),
            ("targets", pa.int32()),
            ("example", pa.int64()),
        ]
    )

    def __init__(
        self,
        *,
        head: Callable[..., nn.Module],
        kind: Kind = "single",
        pooling: Literal["cls", "mean", "max", "attention"] = "cls",
        augment: Augment | None = None,
        class_weights: dict[str, float] | Literal["balanced"] | None = None,
        label_smoothing: Annotated[float, Within(least=0, below=1)] = 0.0,
        focal_gamma: Annotated[float, Within(least=0)] = 0.0,
        threshold: Annotated[float, Within(least=0, most=1)] = 0.5,
        metrics: dict[str, Any] | None = None,
        monitor: str | None = None,
    ) -> None:
        super().__init__(
            head=head,
            kind=kind,
            pooling=pooling,
            class_weights=class_weights,
            label_smoothing=label_smoothing,
            focal_gamma=focal_gamma,
            threshold=threshold,
            metrics=metrics,
            monitor=monitor,
        )
        self.augment = augment
        self.processor: Any = None

    def use(self, processor: Processor) -> None:
        super().use(processor)
        self.processor = require_image_processor(processor)

    def options(self) -> dict[str, Any]:
        return {"task": "image_classification", "kind": self.kind, "labels": self.labels}

    # Encoding

    @functools.cached_property
    def _length(self) -> int:
        """Patches of an image as the processor resizes it, and the class token."""
        *_, height, width = self._pixels([images.blank()]).shape
        return 1 + -(-height // PATCH) * -(-width // PATCH)

    def encode(
        self, rows: dict[str, list[Any]], first: int, processor: Processor, limits: Limits
    ) -> Features:
        del processor, limits
        labels = self.encoded_labels(rows.get("label"), len(rows["image"]))
        features: Features = {field.name: [] for field in self.schema}
        for number, (image, label) in enumerate(zip(rows["image"], labels, strict=True)):
            path = image["path"]
            content = path.encode() if path else image["bytes"]
            name = path or rows["id"][number]
            images.decode(images.read_bytes(path) if path else content, name)  # or refuse it now
            features["image"].append(np.frombuffer(content, np.uint8))
            features["is_path"].append(int(bool(path)))
            features["labels"].append(label)
            features["length"].append(self._length)
            features["targets"].append(1)
            features["example"].append(first + number)
        return features

    def transform(
        self, rows: list[dict[str, Any]], seed: int, *, training: bool = False
    ) -> list[dict[str, Any]]:
        pictures = []
        for row in rows:
            content = row["image"].tobytes()
            name = content.decode() if row["is_path"] else f"of example {int(row['example'])}"
            data = images.read_bytes(name) if row["is_path"] else content
            picture = images.decode(data, name)
            if training and self.augment is not None:
                picture = self.augment(picture, np.random.default_rng([seed, int(row["index"])]))
            pictures.append(picture)
        return [
            {**row, "pixels": pixels}
            for row, pixels in zip(rows, self._pixels(pictures), strict=True)
        ]

    def _pixels(self, pictures: list[Any]) -> NDArray[np.float32]:
        """Return what the model reads of images, (N, C, H, W)."""
        return self.processor(images=pictures, return_tensors="np")["pixel_values"]

    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        return {
            "pixel_values": torch.from_numpy(np.stack([row["pixels"] for row in rows])),
            "example": torch.tensor([int(row["example"]) for row in rows]),
            **self.collated_labels(rows),
        }

    # Export

    def export_spec(self, trained: TrainedModel) -> ExportSpec:
        whole = trained.whole
        pictures = [images.noise(seed) for seed in range(3)]

        def ask(model: PreTrainedModel, processor: BaseImageProcessor, picture: Picture) -> Tensor:
            return model(**processor(images=picture, return_tensors="pt")).logits

        return exporting.with_head(
            trained,
            "AutoModelForImageClassification",
            linear_of(whole.head["scores"]),
            self.labels or ["value"],
            examples=pictures,
            ask=ask,
            expected=[
                whole(dict(trained.processor(images=picture, return_tensors="pt")))
                for picture in pictures
            ],
            key="task.head" if self.pooling == "cls" else "task.pooling",
            pipeline="image-classification",
            usage=USAGE,
            notes=["Transparent parts of an image are white."],
        )

    @classmethod
    def demo(cls) -> Corpus:
        colors = ["red", "green", "blue"] * 4
        pictures = [{"path": "", "bytes": images.encoded(color)} for color in colors]
        fields = {**cls.reads, "label": TARGETS["single"]}
        return demo_corpus(fields, {"image": structs(pictures), "label": colors})
