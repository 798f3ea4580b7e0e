"""Texts and images that find one another, by the vectors of two towers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

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
from lushan.models.exported import ExportSpec, TrainedModel
from lushan.models.language import WholeModel
from lushan.models.losses import products
from lushan.models.towers import Towers, paired_losses, sigmoid_losses
from lushan.tasks import pictures, towers_export
from lushan.tasks.base import Task
from lushan.tasks.batches import EXAMPLE, Batch, Features, Limits, pad_inputs
from lushan.tasks.evaluation import Evaluation, Records
from lushan.tasks.nearest_pairs import NearestPairs
from lushan.text.document_tokens import borders, tokens_of
from lushan.vision import images
from lushan.vision.augment import Augment

if TYPE_CHECKING:
    from lushan.metrics.metric import Metric

PAIRED: Fields = {"text": Text(names=("caption", "sentence", "comment")), "image": Image()}
KEYS = ("text", "image")
INPUTS = ("input_ids", "attention_mask")
AT_ONCE = 1024
"""Rows whose scores are held together."""
BIAS = -10.0
"""The bias of SigLIP's loss at first: nearly all pairs are negatives."""


@configurable
class Contrastive(Task):
    """Learn vectors of texts and images, so that those of a pair are close.

    A pair is compared with all others of the global batch, whatever the devices and micro-batches.
    What has the same text or the same image is no negative. Metrics rank all different texts and
    images of a split.

    Args:
        loss: `clip`: cross-entropy of a pair's text among all texts, and of its image among all
            images. `siglip`: whether a text matches an image, for each pair of the batch.
        baseline: Also evaluate ranks without training, such as `text_recall_1_nearest`: an image is
            represented by the text of the nearest training image (by pixels), and a text by the
            image of the nearest training text (by BM25). null turns it off.
        augment: Augmentation of training images, different in each epoch; null is none.
        metrics: More metrics, by name: your own classes, which receive an example's row with its
            ranks.
        monitor: Metric that selects the best checkpoint.
    """

    fields = PAIRED
    joint = True
    schema = pa.schema(
        [
            ("image", pa.list_(pa.uint8())),
            ("is_path", pa.int8()),
            ("input_ids", pa.list_(pa.int32())),
            ("keys", pa.list_(pa.int64())),
            *EXAMPLE,
            ("cut", pa.int32()),
        ]
    )

    def __init__(
        self,
        *,
        loss: Literal["clip", "siglip"] = "clip",
        baseline: Literal["nearest"] | None = None,
        augment: Augment | None = None,
        metrics: dict[str, Any] | None = None,
        monitor: str = "text_recall_1",
    ) -> None:
        self.kind, self.baseline, self.augment = loss, baseline, augment
        self.nearest = NearestPairs()
        self.choices: list[str] = []
        self.added = metrics or {}
        self.main_metric = monitor
        self.tokenizer: Any = None
        self.processor: Any = None

    @classmethod
    def own_metrics(cls, node: Mapping[str, Any]) -> Mapping[str, Metric]:
        from lushan.metrics.families import pairs

        return pairs.metrics(baseline=node.get("baseline"))

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
        if self.baseline:
            self.nearest = NearestPairs.of(corpus.splits["train"])

    def state(self) -> dict[str, Any]:
        return {"nearest": self.nearest.state()} if self.baseline else {}

    def restore(self, state: dict[str, Any]) -> None:
        self.nearest = NearestPairs.restored(state.get("nearest", {}))

    def choose_among(self, labels: Sequence[str]) -> None:
        """Predict the label whose vector is nearest to an image's (zero-shot), of images alone."""
        self.choices, self.fields = list(labels), {"image": Image()}

    def options(self) -> dict[str, Any]:
        return {"task": "contrastive"}

    def special_ids(self, processor: Any) -> dict[str, int]:
        begin, end = borders(require_tokenizer(processor))
        return {"bos_token_id": begin, "eos_token_id": end}

    def wrap(self, model: Any) -> Backbone:
        return Towers(model, BIAS if self.kind == "siglip" else None)

    def build(self, encoder: Backbone) -> nn.Module:
        return WholeModel(encoder)

    # Encoding

    def encode(
        self, rows: dict[str, list[Any]], first: int, processor: Any, limits: Limits
    ) -> Features:
        if self.choices:  # its text is not asked for
            rows = {**rows, "text": [""] * len(rows["image"])}
        if missing := [name for name in KEYS if name not in rows]:
            raise UserError(
                f"a row needs a text and an image, but this one has no {missing[0]}",
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
        count = len(batch["input_ids"])
        bias = {} if encoder.bias is None else {"bias": encoder.bias.expand(count)}
        return {
            **bias,
            "text": encoder.of_texts(batch["input_ids"], batch["attention_mask"]),
            "image": encoder.of_images(batch["pixel_values"]),
            **{f"{name}_key": batch[f"{name}_key"] for name in KEYS},
        }

    def joint_losses(self, vectors: dict[str, Tensor]) -> Tensor:
        same = [vectors[f"{name}_key"] == vectors[f"{name}_key"][:, None] for name in KEYS]
        hidden = (same[0] | same[1]).fill_diagonal_(False)
        one, other = vectors["text"], vectors["image"]
        if self.kind == "siglip":
            return sigmoid_losses(one, other, hidden, vectors["bias"])
        return paired_losses(one, other, hidden)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return self.joint_losses(self.vectors(model, batch)).sum()

    def predict(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Records]:
        if self.choices:
            return self._chosen(model, batch)
        found = self.vectors(model, batch)
        columns = {name: value.cpu().numpy() for name, value in found.items()}
        records = [
            {"example": example, **{name: column[row] for name, column in columns.items()}}
            for row, example in enumerate(batch["example"].tolist())
        ]
        # Among the batch alone: `evaluate` gives the loss among all of the split.
        return self.joint_losses(found).sum(), records

    def _chosen(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Records]:
        """Return the probability of each choice, by the products of its vector and the image's."""
        encoder: Any = model.encoder
        begin, end = borders(self.tokenizer)
        ids = [[begin, *each.tolist(), end] for each in tokens_of(self.tokenizer, self.choices)]
        if too_long := [len(each) for each in ids if len(each) > encoder.max_length]:
            raise UserError(
                f"a label of {max(too_long)} tokens is longer than the model's "
                f"{encoder.max_length}",
                key="--label",
            )
        padded = pad_inputs([{"input_ids": each, "example": 0} for each in ids], self.pad_id)
        asked = [padded[name].to(batch["pixel_values"].device) for name in INPUTS]
        texts = encoder.of_texts(*asked)
        scores = products(encoder.of_images(batch["pixel_values"]), texts)
        records = [
            {"example": example, "scores": row}
            for example, row in zip(
                batch["example"].tolist(), scores.softmax(-1).tolist(), strict=True
            )
        ]
        return scores.sum() * 0, records

    # Evaluation

    def join(self, table: pa.Table, records: Records) -> Records:
        rows = sorted(records, key=lambda record: record["example"])
        ids = table.column("id").to_pylist()
        texts = [] if self.choices else table.column("text").to_pylist()
        if not rows:
            return []
        if self.choices:
            return [
                {"id": i, "predicted": self.choices[int(np.argmax(row["scores"]))]}
                | {"probabilities": dict(zip(self.choices, row["scores"], strict=True))}
                for row, i in zip(rows, ids, strict=True)
            ]
        sides = {name: np.stack([row[name] for row in rows]) for name in KEYS}
        keys = {name: [int(row[f"{name}_key"]) for row in rows] for name in KEYS}
        found: Records = [
            {"id": i, **{f"{n}_vector": unit[row].tolist() for n, unit in _units(sides).items()}}
            for row, i in enumerate(ids)
        ]
        for name, other in (KEYS, KEYS[::-1]):
            firsts, right = _candidates(keys[name], keys[other])
            for start in range(0, len(rows), AT_ONCE):
                scores = sides[other][start : start + AT_ONCE] @ sides[name][firsts].T
                own = ranking(scores, right[start : start + AT_ONCE])
                for row, ranks in enumerate(own, start):
                    found[row] |= {f"{name}_ranks": ranks, f"{name}_candidates": len(firsts)}
                    if name == "text":
                        best = firsts[int(scores[row - start].argmax())]
                        found[row]["predicted"] = texts[best]
        losses = self._losses(rows)
        return [{**record, "loss": loss} for record, loss in zip(found, losses, strict=True)]

    def _losses(self, rows: Records) -> list[float]:
        """Return the loss of each pair among all of a split."""
        names = [name for name in (*KEYS, "bias") if name in rows[0]]
        whole = {name: torch.from_numpy(np.stack([r[name] for r in rows])) for name in names}
        keys = {f"{n}_key": torch.tensor([int(r[f"{n}_key"]) for r in rows]) for n in KEYS}
        return self.joint_losses({**whole, **keys}).double().tolist()

    def _by_nearest(self, table: pa.Table, records: Records) -> Records:
        """Return the ranks that the baseline gives each row."""
        rows = sorted(records, key=lambda record: record["example"])
        keys = {name: [int(row[f"{name}_key"]) for row in rows] for name in KEYS}
        found: Records = [{} for _ in rows]
        for name, other in (KEYS, KEYS[::-1]):
            firsts, right = _candidates(keys[name], keys[other])
            asked = {"text": self.nearest.of_images, "image": self.nearest.of_texts}[name]
            scores = asked(
                table.column(other).to_pylist(), table.column(name).take(firsts).to_pylist()
            )
            for row, ranks in zip(found, ranking(scores, right), strict=True):
                row[f"{name}_ranks"] = ranks
        return found

    def present(self, table: pa.Table, joined: Records) -> Records:
        more = ("probabilities",) if self.choices else ("text_vector", "image_vector")
        names = ("id", "predicted", *more)
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
        if full and self.baseline:
            ranked = self._by_nearest(table, records)
            names = pairs.recalls()
            other = self.measured(names, ranked, ranked, full=True)
            result.add(other.renamed({name: f"{name}_nearest" for name in names}))
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

    def export_spec(self, trained: TrainedModel) -> ExportSpec:
        return towers_export.spec(trained)

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


def _candidates(keys: Sequence[int], askers: Sequence[int]) -> tuple[list[int], list[list[int]]]:
    """Return the row of each different candidate, and for each row which of them are right.

    Right are those of all rows with its asker.

    Args:
        keys: Of what is found, of each row.
        askers: Of what is asked by.
    """
    firsts: dict[int, int] = {}
    for row, key in enumerate(keys):
        firsts.setdefault(key, row)
    place = {key: number for number, key in enumerate(firsts)}
    known: dict[int, set[int]] = {}
    for asker, key in zip(askers, keys, strict=True):
        known.setdefault(asker, set()).add(place[key])
    return list(firsts.values()), [sorted(known[asker]) for asker in askers]
