"""Texts and images that find one another, by the vectors of two towers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lushan.common.units import LOSS
from lushan.configurable import configurable
from lushan.data.demo import demo_corpus
from lushan.data.fields import Fields, Image, Number, Text
from lushan.data.passages import key_of
from lushan.data.processing import require_image_processor, require_tokenizer
from lushan.data.record_schema import Entry
from lushan.data.references import content_hash, structs
from lushan.data.source import Corpus
from lushan.errors import UserError
from lushan.metrics.rankings import ranking
from lushan.models.backbone import Backbone
from lushan.models.language import WholeModel
from lushan.models.towers import Towers, paired_losses
from lushan.tasks import pictures
from lushan.tasks.base import Task
from lushan.tasks.batches import Batch, Features, Limits, pad_inputs
from lushan.tasks.evaluation import Evaluation, Records
from lushan.text.document_tokens import borders, tokens_of
from lushan.vision import images
from lushan.vision.augment import Augment

if TYPE_CHECKING:
    from lushan.metrics.metric import Metric

PAIRED: Fields = {"text": Text(), "image": Image()}
KEYS = ("text", "image")
AT_ONCE = 1024
"""Rows whose scores are held together."""


@configurable
class Contrastive(Task):
    """Learn vectors of texts and images, so that those of a pair are close.

    A pair's loss is the cross-entropy of its text among all texts of the global batch, and of its
    image among all images, whatever the devices and micro-batches. What has the same text or the
    same image is no negative. Metrics rank all different texts and images of a split.

    Args:
        augment: How images are changed in training, anew in each epoch; null changes nothing.
        metrics: More metrics, by name: of one's own, which take an example's row with its ranks.
        monitor: The metric that chooses the best checkpoint.
    """

    fields = PAIRED
    joint = True
    schema = pa.schema(
        [
            ("image", pa.list_(pa.uint8())),
            ("is_path", pa.int8()),
            ("input_ids", pa.list_(pa.int32())),
            ("keys", pa.list_(pa.int64())),
            ("length", pa.int32()),
            ("targets", pa.int32()),
            ("example", pa.int64()),
            ("cut", pa.int32()),
        ]
    )

    def __init__(
        self,
        *,
        augment: Augment | None = None,
        metrics: dict[str, Any] | None = None,
        monitor: str = "text_recall_1",
    ) -> None:
        self.augment = augment
        self.added = metrics or {}
        self.main_metric = monitor
        self.labels: list[str] = []
        self.tokenizer: Any = None
        self.processor: Any = None

    @classmethod
    def own_metrics(cls, node: Mapping[str, Any]) -> Mapping[str, Metric]:
        del node
        from lushan.metrics.families import pairs

        return pairs.metrics()

    @property
    def record_fields(self) -> Mapping[str, Entry]:
        return {
            "image": Entry(Image(), "input"),
            "text": Entry(Text(), "gold"),
            "predicted": Entry(Text(), "predicted"),
            "text_rank": Entry(Number(), "detail"),
            "image_rank": Entry(Number(), "detail"),
        }

    def use(self, processor: Any) -> None:
        super().use(processor)
        self.tokenizer = require_tokenizer(processor)
        self.processor = require_image_processor(processor)

    def prepare(self, corpus: Corpus) -> None:
        del corpus  # there are no labels to learn

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        del state

    def options(self) -> dict[str, Any]:
        return {"task": "contrastive"}

    def special_ids(self, processor: Any) -> dict[str, int]:
        begin, end = borders(require_tokenizer(processor))
        return {"bos_token_id": begin, "eos_token_id": end}

    def wrap(self, model: Any) -> Backbone:
        return Towers(model)

    def build(self, encoder: Backbone) -> nn.Module:
        return WholeModel(encoder)

    # Encoding

    def encode(
        self, rows: dict[str, list[Any]], first: int, processor: Any, limits: Limits
    ) -> Features:
        del processor
        if missing := [name for name in KEYS if name not in rows]:
            raise UserError(
                f"a row has a text and an image, and here is no {missing[0]}",
                key="--input",
                hint="Write JSON lines or a table with both, and data.media=FOLDER.",
            )
        begin, end = borders(self.tokenizer)
        whole = [[begin, *ids.tolist(), end] for ids in tokens_of(self.tokenizer, rows["text"])]
        most = limits.max_length
        ids = [each if len(each) <= most else [*each[: most - 1], end] for each in whole]
        shown = map(content_hash, rows["image"])
        return {
            **pictures.references(rows["image"], rows["id"], self.processor),
            "input_ids": ids,
            "keys": [
                [key_of(text), key_of(image)]
                for text, image in zip(rows["text"], shown, strict=True)
            ],
            "length": [len(each) for each in ids],
            "targets": [1 for _ in ids],
            "example": list(range(first, first + len(ids))),
            "cut": [int(len(each) > most) for each in whole],
        }

    def transform(
        self, rows: list[dict[str, Any]], seed: int, *, training: bool = False
    ) -> list[dict[str, Any]]:
        return pictures.drawn(rows, seed, self.processor, self.augment if training else None)

    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        keys = {
            f"{name}_key": torch.tensor([int(row["keys"][place]) for row in rows])
            for place, name in enumerate(KEYS)
        }
        pixels = torch.from_numpy(np.stack([row["pixels"] for row in rows]))
        return {**pad_inputs(rows, self.pad_id), "pixel_values": pixels, **keys}

    # Learning and predicting

    def vectors(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        encoder: Any = model.encoder
        return {
            "text": encoder.of_texts(batch["input_ids"], batch["attention_mask"]),
            "image": encoder.of_images(batch["pixel_values"]),
            **{f"{name}_key": batch[f"{name}_key"] for name in KEYS},
        }

    def joint_losses(self, vectors: dict[str, Tensor]) -> Tensor:
        same = [vectors[f"{name}_key"] == vectors[f"{name}_key"][:, None] for name in KEYS]
        hidden = (same[0] | same[1]).fill_diagonal_(False)
        return paired_losses(vectors["text"], vectors["image"], hidden)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return self.joint_losses(self.vectors(model, batch)).sum()

    def predict(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Records]:
        found = self.vectors(model, batch)
        columns = {name: value.cpu().numpy() for name, value in found.items()}
        records = [
            {"example": example, **{name: column[row] for name, column in columns.items()}}
            for row, example in enumerate(batch["example"].tolist())
        ]
        # Among the batch alone: `evaluate` gives the loss among all of the split.
        return self.joint_losses(found).sum(), records

    # Evaluation

    def join(self, table: pa.Table, records: Records) -> Records:
        rows = sorted(records, key=lambda record: record["example"])
        ids, texts = table.column("id").to_pylist(), table.column("text").to_pylist()
        if not rows:
            return []
        sides = {name: np.stack([row[name] for row in rows]) for name in KEYS}
        keys = {name: [int(row[f"{name}_key"]) for row in rows] for name in KEYS}
        found: Records = [
            {"id": i, **{f"{n}_vector": unit[row].tolist() for n, unit in _units(sides).items()}}
            for row, i in enumerate(ids)
        ]
        for name, other in (KEYS, KEYS[::-1]):
            firsts = list(dict.fromkeys(keys[name]))
            place = {key: number for number, key in enumerate(firsts)}
            row_of = {key: row for row, key in reversed(list(enumerate(keys[name])))}
            candidates = sides[name][[row_of[key] for key in firsts]]
            right = _right(keys[other], [place[key] for key in keys[name]])
            for start in range(0, len(rows), AT_ONCE):
                scores = sides[other][start : start + AT_ONCE] @ candidates.T
                own = ranking(scores, right[start : start + AT_ONCE])
                for row, ranks in enumerate(own, start):
                    found[row] |= {f"{name}_ranks": ranks, f"{name}_candidates": len(firsts)}
                    if name == "text":
                        best = row_of[firsts[int(scores[row - start].argmax())]]
                        found[row]["predicted"] = texts[best]
        losses = self._losses(rows)
        return [{**record, "loss": loss} for record, loss in zip(found, losses, strict=True)]

    def _losses(self, rows: Records) -> list[float]:
        """Return the loss of each pair among all of a split."""
        whole = {name: torch.from_numpy(np.stack([r[name] for r in rows])) for name in KEYS}
        keys = {f"{n}_key": torch.tensor([int(r[f"{n}_key"]) for r in rows]) for n in KEYS}
        return self.joint_losses({**whole, **keys}).double().tolist()

    def present(self, table: pa.Table, joined: Records) -> Records:
        names = ("id", "predicted", "text_vector", "image_vector")
        shown = [{name: row[name] for name in names} for row in joined]
        return self.with_inputs(table, shown)

    def evaluate(self, table: pa.Table, records: Records, *, full: bool) -> Evaluation:
        from lushan.metrics.families import pairs

        joined = self.join(table, records)
        result = Evaluation({})
        found = self.measured(
            pairs.metrics(), joined, joined, full=full, records=joined, forms=dict
        )
        result.add(found)
        result.metrics["loss"] = float(np.mean([row["loss"] for row in joined]))
        result.measures["loss"] = LOSS
        if full:
            kept = [
                {
                    "id": row["id"],
                    "predicted": row["predicted"],
                    **{f"{name}_rank": min(row[f"{name}_ranks"]) for name in KEYS},
                }
                for row in joined
            ]
            result.records = self.with_inputs(table, kept, result.add_file)
        return result

    @classmethod
    def demo(cls) -> Corpus:
        colors = ["red", "green", "blue", "white"]
        texts = ["all red", "leaves are green", "blue as the sea", "white as snow"]
        found = [{"path": "", "bytes": images.encoded(color)} for color in colors]
        return demo_corpus(PAIRED, {"text": texts, "image": structs(found)})


def _units(sides: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return vectors of length 1."""
    return {
        name: values / np.linalg.norm(values, axis=1, keepdims=True)
        for name, values in sides.items()
    }


def _right(askers: Sequence[int], places: Sequence[int]) -> list[list[int]]:
    """Return the candidates that are right for each row: those of all rows with its asker."""
    known: dict[int, set[int]] = {}
    for asker, place in zip(askers, places, strict=True):
        known.setdefault(asker, set()).add(place)
    return [sorted(known[asker]) for asker in askers]
