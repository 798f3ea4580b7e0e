"""Classification of images: one label, several, or a number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
from torch import Tensor

from lushan.configurable import configurable
from lushan.data.demo import demo_corpus
from lushan.data.fields import Fields, Image
from lushan.data.processing import require_image_processor
from lushan.data.references import structs
from lushan.data.source import Corpus
from lushan.models.exported import ExportSpec, TrainedModel
from lushan.models.transformers_heads import linear_of
from lushan.tasks import exporting, pictures
from lushan.tasks.batches import EXAMPLE, Batch, Features, Limits
from lushan.tasks.labels import TARGETS, LabelTask
from lushan.vision import images, processors
from lushan.vision.augment import Augment

if TYPE_CHECKING:
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

    Other arguments are those of `LabelTask`.

    Args:
        pooling: How to pool the hidden states of an image into one vector.
        augment: Augmentation of training images, different in each epoch; null is none.
    """

    reads = IMAGES
    schema = pa.schema(
        [
            ("image", pa.list_(pa.uint8())),
            ("is_path", pa.int8()),
            ("labels", pa.list_(pa.float32())),
            *EXAMPLE,
        ]
    )

    def __init__(
        self,
        *,
        pooling: Literal["cls", "mean", "max", "attention"] = "cls",
        augment: Augment | None = None,
        **options: Any,
    ) -> None:
        super().__init__(pooling=pooling, **options)
        self.augment = augment
        self.processor: Any = None
        self.shape = (0, 0, 0)

    def use(self, processor: Processor) -> None:
        super().use(processor)
        self.processor = require_image_processor(processor)
        self.shape = processors.output_shape(self.processor)

    def options(self) -> dict[str, Any]:
        return {"task": "image_classification", "kind": self.kind, "labels": self.labels}

    # Encoding

    def encode(
        self, rows: dict[str, list[Any]], first: int, processor: Processor, limits: Limits
    ) -> Features:
        labels = self.encoded_labels(rows.get("label"), len(rows["image"]))
        _, height, width = self.shape
        patches = -(-height // PATCH) * -(-width // PATCH)
        return {
            **pictures.references(rows["image"], rows["id"], self.processor),
            "labels": labels,
            "length": [1 + patches for _ in labels],  # with the class token
            "targets": [1 for _ in labels],
            "example": list(range(first, first + len(labels))),
        }

    def transform(
        self, rows: list[dict[str, Any]], seed: int, *, training: bool = False
    ) -> list[dict[str, Any]]:
        return pictures.drawn(rows, seed, self.processor, self.augment if training else None)

    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        return {
            **pictures.collated(rows),
            **self.collated_labels(rows),
        }

    # Export

    def export_spec(self, trained: TrainedModel) -> ExportSpec:
        whole = trained.whole
        examples = [images.noise(seed) for seed in range(3)]

        def ask(model: PreTrainedModel, processor: BaseImageProcessor, picture: Picture) -> Tensor:
            return model(**processor(images=picture, return_tensors="pt")).logits

        return exporting.with_head(
            trained,
            "AutoModelForImageClassification",
            linear_of(whole.head["scores"]),
            self.labels or ["value"],
            examples=examples,
            ask=ask,
            expected=[
                whole(dict(trained.processor(images=picture, return_tensors="pt")))
                for picture in examples
            ],
            key="task.head" if self.pooling == "cls" else "task.pooling",
            pipeline="image-classification",
            usage=USAGE,
            notes=["Transparent parts of an image are white."],
        )

    @classmethod
    def demo(cls) -> Corpus:
        colors = ["red", "green", "blue"] * 4
        found = [{"path": "", "bytes": images.encoded(color)} for color in colors]
        fields = {**cls.reads, "label": TARGETS["single"]}
        return demo_corpus(fields, {"image": structs(found), "label": colors})
