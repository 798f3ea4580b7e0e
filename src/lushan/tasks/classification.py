"""Classification of texts and text pairs: one label, several, or a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lushan.configurable import configurable
from lushan.data.demo import demo_corpus
from lushan.data.field_roles import inputs
from lushan.data.fields import LABELLED
from lushan.data.processing import require_tokenizer
from lushan.data.source import Corpus
from lushan.errors import UserError
from lushan.models.exported import TEXTS, ExportSpec, TrainedModel
from lushan.models.transformers_heads import linear_of
from lushan.tasks import exporting
from lushan.tasks.batches import EXAMPLE, Batch, Features, Limits, pad_inputs
from lushan.tasks.labels import LabelTask

if TYPE_CHECKING:
    from lushan.data.processing import Processor

_EXPORTED: Mapping[str, tuple[str, str]] = {
    "single": ("single_label_classification", ""),
    "multilabel": ("multi_label_classification", ", top_k=None"),
    "regression": ("regression", ', function_to_apply="none"'),
}
"""By kind: what transformers calls it, and how its pipeline is called."""


@configurable
class Classification(LabelTask):
    """Label texts; the arguments are those of `LabelTask`."""

    reads = inputs(LABELLED)
    schema = pa.schema(
        [
            ("input_ids", pa.list_(pa.int32())),
            ("token_type_ids", pa.list_(pa.int8())),
            ("labels", pa.list_(pa.float32())),
            *EXAMPLE,
            ("cut", pa.int32()),
            ("unknown", pa.int32()),
            ("unknown_tokens", pa.int32()),
        ]
    )

    def options(self) -> dict[str, Any]:
        return {"task": "classification", "kind": self.kind, "labels": self.labels}

    # Encoding

    def encode(
        self, rows: dict[str, list[Any]], first: int, processor: Processor, limits: Limits
    ) -> Features:
        tokenizer = require_tokenizer(processor)
        texts, pairs = rows["text"], rows.get("text_pair")
        if pairs and limits.stride is not None:
            raise UserError(
                "windows are not supported for text pairs",
                key="data.stride",
                value=limits.stride,
                hint="write data.stride=null",
            )
        cut = tokenizer(
            texts,
            *([pairs] if pairs else []),
            truncation=True,
            max_length=limits.max_length,
            stride=limits.stride or 0,
            return_overflowing_tokens=limits.stride is not None,
        )
        owners = cut.get("overflow_to_sample_mapping") or range(len(texts))
        labels = self.encoded_labels(rows.get("label"), len(texts))
        special = set(tokenizer.all_special_ids)
        features: Features = {field.name: [] for field in self.schema}
        previous = -1
        for w, owner in enumerate(owners):
            ids = cut["input_ids"][w]
            lost = limits.stride is None and bool(cut.encodings[w].overflowing)
            features["input_ids"].append(ids)
            types = cut["token_type_ids"][w] if "token_type_ids" in cut else [0] * len(ids)
            features["token_type_ids"].append(types)
            features["labels"].append(labels[owner])
            features["length"].append(len(ids))
            features["targets"].append(1)
            features["example"].append(first + owner)
            features["cut"].append(int(lost))
            features["unknown"].append(int(owner != previous and all(i in special for i in ids)))
            features["unknown_tokens"].append(ids.count(tokenizer.unk_token_id))
            previous = owner
        return features

    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        batch = pad_inputs(rows, self.pad_id)
        if not batch["token_type_ids"].any():  # the same as none, and not all models take it
            del batch["token_type_ids"]
        return batch | self.collated_labels(rows)

    # Export

    def export_spec(self, trained: TrainedModel) -> ExportSpec:
        whole = trained.whole
        scores, notes = linear_of(whole.head["scores"]), []
        if trained.stride is not None:
            notes.append("The run splits longer texts into windows and averages the predictions.")
        if self.kind == "multilabel":
            notes.append(f"A label is predicted from a probability of {self.threshold:g}.")
        batches = [exporting.batch_of(self, {"text": [text]}, trained) for text in TEXTS]
        problem, arguments = _EXPORTED[self.kind]
        return exporting.of_texts(
            trained,
            scores,
            self.labels or ["value"],
            expected=[whole(batch) for batch in batches],
            notes=notes,
            options={"problem_type": problem, "classifier_pooling": self.pooling},
            arguments=arguments,
            key="task.head" if self.pooling == "cls" else "task.pooling",
        )

    @classmethod
    def demo(cls) -> Corpus:
        rows = [("a good day", "good"), ("一个坏天", "bad"), ("so so", "fair"), ("bad", "bad")] * 4
        texts, labels = zip(*rows, strict=True)
        return demo_corpus(LABELLED, {"text": texts, "label": labels})
