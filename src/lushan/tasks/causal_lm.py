"""Causal language models: each token is predicted from those before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lushan.configurable import configurable
from lushan.data.demo import demo_corpus
from lushan.data.fields import DOCUMENTS
from lushan.data.processing import require_tokenizer
from lushan.data.source import Corpus
from lushan.models.exported import TEXTS, ExportSpec, TrainedModel
from lushan.tasks import language_export
from lushan.tasks.batches import EXAMPLE, IGNORED, Features, Limits
from lushan.tasks.language import LanguageTask
from lushan.text.document_tokens import borders, cut, tokens_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from lushan.data.processing import Processor


@configurable
class CausalLM(LanguageTask):
    """Predict the next token of raw text.

    A document begins with the tokenizer's first token and ends with its last one, so that all of
    its text is predicted, and its end too. A long one is learned in pieces side by side, and
    evaluated in windows: each token but a window's first ones has at least `data.stride` tokens
    before it, half a window by default.

    Args:
        metrics: More metrics, by name: your own classes, which receive an example's loss, tokens
            and hits.
        monitor: Metric that selects the best checkpoint.
    """

    fields = DOCUMENTS
    auto_class = "AutoModelForCausalLM"
    labels_of_tokens: ClassVar[Literal["next", "same", "apart"] | None] = "next"
    packs = True
    continues = True
    per_byte = True
    schema = pa.schema(
        [
            ("tokens", pa.list_(pa.int32())),
            ("skip", pa.int32()),
            *EXAMPLE,
            ("cut", pa.int32()),
            ("unknown_tokens", pa.int32()),
        ]
    )

    def options(self) -> dict[str, Any]:
        return {"task": "causal_lm"}

    def limits(self, limits: Limits, split: str) -> Limits:
        if split == "train":
            return Limits(limits.max_length)
        stride = limits.max_length // 2 if limits.stride is None else limits.stride
        return Limits(limits.max_length, stride)

    def encode(
        self, rows: dict[str, list[Any]], first: int, processor: Processor, limits: Limits
    ) -> Features:
        tokenizer = require_tokenizer(processor)
        begin, end = borders(tokenizer)
        unknown = tokenizer.unk_token_id
        features: Features = {field.name: [] for field in self.schema}
        for number, ids in enumerate(tokens_of(tokenizer, rows["text"])):
            whole = np.concatenate([[begin], ids, [end]]).astype(np.int32)
            strange = int((ids == unknown).sum()) if unknown not in (None, begin, end) else 0
            for i, piece in enumerate(cut(len(whole), limits.max_length, limits.stride)):
                length = piece.end - piece.start
                features["tokens"].append(whole[piece.start : piece.end + 1])
                features["skip"].append(piece.skip)
                features["length"].append(length)
                features["targets"].append(length - piece.skip)
                features["example"].append(first + number)
                features["cut"].append(0)
                features["unknown_tokens"].append(strange if i == 0 else 0)
        return features

    def prompts(self, rows: dict[str, list[Any]]) -> list[list[int]]:
        begin, _ = borders(self.tokenizer)
        return [[begin, *ids.tolist()] for ids in tokens_of(self.tokenizer, rows["text"])]

    def transform(
        self, rows: list[dict[str, Any]], seed: int, *, training: bool = False
    ) -> list[dict[str, Any]]:
        return [shifted(row) for row in rows]

    def bytes_of(self, table: pa.Table) -> NDArray[np.float64]:
        sizes = pc.binary_length(table.column("text"))
        return np.asarray(sizes.to_numpy(zero_copy_only=False), dtype=np.float64)

    def export_spec(self, trained: TrainedModel) -> ExportSpec:
        def ids_of(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
            return list(tokenizer(text)["input_ids"])

        rows = {"text": TEXTS}
        return language_export.causal(self, trained, rows, ids_of=ids_of, prompt='"Once"')

    @classmethod
    def demo(cls) -> Corpus:
        texts = ["one two three four", "明月几时有", "a b c d e f g", "four three two"] * 3
        return demo_corpus(DOCUMENTS, {"text": texts})


def shifted(row: dict[str, Any]) -> dict[str, Any]:
    """A feature's tokens as what is read and what is predicted, at each place."""
    labels = row["tokens"][1:].astype(np.int64)
    labels[: int(row["skip"])] = IGNORED
    rest = {name: value for name, value in row.items() if name != "tokens"}
    return {**rest, "input_ids": row["tokens"][:-1], "labels": labels}
