"""Image tokenizers: autoencoders that make a few codes of an image, and an image of codes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from lushan.configurable import configurable
from lushan.data.demo import demo_corpus
from lushan.data.fields import Fields, Image, Number, Value
from lushan.data.processing import require_image_processor
from lushan.data.record_schema import Entry
from lushan.data.references import structs
from lushan.data.source import Corpus
from lushan.errors import UserError
from lushan.models.backbone import Backbone
from lushan.models.exported import ExportSpec, TrainedModel
from lushan.models.image_autoencoder import Autoencoder, ImageAutoencoderConfig
from lushan.models.language import WholeModel
from lushan.models.losses import wide
from lushan.tasks import pictures
from lushan.tasks.base import Task
from lushan.tasks.batches import EXAMPLE, Batch, Features, Limits
from lushan.tasks.evaluation import Evaluation, Records
from lushan.vision import images, processors
from lushan.vision.augment import Augment
from lushan.vision.similarity import ssim

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from transformers import BaseImageProcessor, PreTrainedModel

    from lushan.data.processing import Processor
    from lushan.metrics.metric import Metric

IMAGES: Fields = {"image": Image()}
PATCH = 4
"""Pixels of a side of what counts as a token of an image, in the size of a batch."""
USAGE = """\
import lushan.models.image_autoencoder  # transformers learns of the class by this
processor = AutoImageProcessor.from_pretrained("DIR", backend="pil")
model = AutoModel.from_pretrained("DIR")
codes = model.encode(**processor(images=picture, return_tensors="pt"))
pixels = model.decode(codes)"""


@configurable
class ImageTokenizer(Task):
    """Encode images as codes of a small codebook, and reconstruct them.

    The loss is the mean squared error of pixels, as the processor has scaled them, and that of the
    quantizer.

    Args:
        augment: Augmentation of training images, different in each epoch; null is none.
        metrics: More metrics, by name: your own classes, which receive an example's
            `squared_error`, `values`, `ssim` and `codes`.
        monitor: Metric that selects the best checkpoint.
    """

    fields = IMAGES
    generates = True
    schema = pa.schema(
        [
            ("image", pa.list_(pa.uint8())),
            ("is_path", pa.int8()),
            *EXAMPLE,
        ]
    )

    def __init__(
        self,
        *,
        augment: Augment | None = None,
        metrics: dict[str, Any] | None = None,
        monitor: str = "psnr",
    ) -> None:
        self.augment = augment
        self.added = metrics or {}
        self.main_metric = monitor
        self.processor: Any = None
        self.shape = (0, 0, 0)
        self.size = 1

    @classmethod
    def own_metrics(cls, node: Mapping[str, Any]) -> Mapping[str, Metric]:
        from lushan.metrics.families import images as family

        return family.metrics()

    @property
    def record_fields(self) -> Mapping[str, Entry]:
        numbers = ("psnr", "ssim", "squared_error", "values")
        return {
            "image": Entry(Image(), "gold"),  # it is what is to be made again
            "predicted": Entry(Image(optional=True), "predicted"),
            **{name: Entry(Number(optional=name == "psnr"), "detail") for name in numbers},
            "codes": Entry(Value(), "detail"),
        }

    def use(self, processor: Processor) -> None:
        super().use(processor)
        self.processor = require_image_processor(processor)
        self.shape = processors.output_shape(self.processor)

    def options(self) -> dict[str, Any]:
        return {"task": "image_tokenizer"}

    def wrap(self, model: PreTrainedModel) -> Backbone:
        if not isinstance(model.config, ImageAutoencoderConfig):
            raise UserError(
                f"a {model.config.model_type} does not reconstruct images",
                key="model",
                hint="Write model=image_autoencoder.",
            )
        return Autoencoder(model)

    def build(self, encoder: Backbone) -> nn.Module:
        config = encoder.model.config
        if self.shape != (3, config.image_size, config.image_size):
            shape = " x ".join(map(str, self.shape))
            raise UserError(
                f"the processor returns images of {shape}, but the model needs 3 x "
                f"{config.image_size} x {config.image_size}",
                key="processor.size",
            )
        quantizer: Any = encoder.model.quantizer
        self.size = quantizer.size
        return WholeModel(encoder)

    # Encoding

    def encode(
        self, rows: dict[str, list[Any]], first: int, processor: Processor, limits: Limits
    ) -> Features:
        values = math.prod(self.shape)
        number = len(rows["image"])
        return {
            **pictures.references(rows["image"], rows["id"], self.processor),
            # Images are of one size, and a batch has as many pixels as others have tokens.
            "length": [max(1, values // (3 * PATCH**2))] * number,
            "targets": [values] * number,
            "example": list(range(first, first + number)),
        }

    def transform(
        self, rows: list[dict[str, Any]], seed: int, *, training: bool = False
    ) -> list[dict[str, Any]]:
        return pictures.drawn(rows, seed, self.processor, self.augment if training else None)

    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        return pictures.collated(rows)

    # Learning and predicting

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return self._losses(model, batch)[0].sum()

    def _losses(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Any]:
        """Return the loss of each image (B,), summed over its values, and the model's output."""
        whole: Any = model
        found = whole(**batch)
        errors = (wide(found.pixel_values) - batch["pixel_values"]).square().flatten(1)
        return errors.sum(1) + found.quantizer_loss * errors.shape[1], found

    def predict(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Records]:
        losses, found = self._losses(model, batch)
        wanted = processors.unscaled(self.processor, batch["pixel_values"])
        made = processors.unscaled(self.processor, found.pixel_values)
        errors = (wanted - made).square().flatten(1)
        columns = {
            "example": batch["example"],
            "squared_error": errors.double().sum(1),
            "values": torch.full_like(batch["example"], errors.shape[1]),
            "ssim": ssim(wanted, made),
            "codes": found.codes,
        }
        rows = zip(*(value.tolist() for value in columns.values()), strict=True)
        return losses.double().sum(), [dict(zip(columns, row, strict=True)) for row in rows]

    def generate(self, model: nn.Module, batch: Batch) -> Records:
        whole: Any = model
        made = processors.unscaled(self.processor, whole(**batch).pixel_values)
        return [{"png": images.as_png(each)} for each in made.cpu().numpy()]

    # Evaluation

    def join(self, table: pa.Table, records: Records) -> Records:
        ids = table.column("id").to_pylist()
        found = sorted(records, key=lambda record: record["example"])
        return [
            {"id": ids[record["example"]], **{k: v for k, v in record.items() if k != "example"}}
            for record in found
        ]

    def present(self, table: pa.Table, joined: Records) -> Records:
        shown = [{k: v for k, v in row.items() if k != "png"} for row in joined]
        return [{**row, "psnr": _psnr(row)} for row in self.with_inputs(table, shown)]

    def evaluate(self, table: pa.Table, records: Records, *, full: bool) -> Evaluation:
        from lushan.metrics.families import images as family

        joined = self.join(table, records)
        result = Evaluation({})
        found = self.measured(
            family.metrics(self.size), joined, joined, full=full, records=joined, forms=dict
        )
        result.add(found)
        if full:
            kept = self.with_inputs(table, joined, result.add_file)
            result.records = [self._record(row, result) for row in kept]
        return result

    def _record(self, row: dict[str, Any], result: Evaluation) -> dict[str, Any]:
        png = row.pop("png", None)
        predicted = None if png is None else result.add_file(png, "png")
        return {**row, "predicted": predicted, "psnr": _psnr(row)}

    def export_spec(self, trained: TrainedModel) -> ExportSpec:
        whole = trained.whole

        def ask(model: PreTrainedModel, processor: BaseImageProcessor, picture: Picture) -> Tensor:
            return model(**processor(images=picture, return_tensors="pt")).pixel_values

        examples = [images.noise(seed) for seed in range(3)]
        return ExportSpec(
            model=trained.plain,
            processor=trained.processor,
            auto_class="AutoModel",
            usage=USAGE,
            examples=examples,
            ask=ask,
            expected=[
                ask(whole.encoder.model, require_image_processor(trained.processor), each)
                for each in examples
            ],
            notes=["The model class is part of lushan, so lushan must be installed."],
        )

    @classmethod
    def demo(cls) -> Corpus:
        colors = ["red", "green", "blue", "white", "black", "yellow"]
        found = [{"path": "", "bytes": images.encoded(color)} for color in colors]
        return demo_corpus(IMAGES, {"image": structs(found)})


def _psnr(row: Mapping[str, Any]) -> float | None:
    """Return the signal-to-noise ratio of one image in dB; None where it has no error at all."""
    if not row["squared_error"]:
        return None
    return float(10 * np.log10(row["values"] / row["squared_error"]))
