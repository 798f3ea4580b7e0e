"""Base of tasks of language models: documents in pieces, their loss, and its metrics."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lushan.data.batch.packing import positions
from lushan.data.fields import Number
from lushan.data.processing import require_tokenizer
from lushan.data.record_schema import Entry
from lushan.metrics import generation
from lushan.metrics.evaluation import Measured
from lushan.models import probing
from lushan.models.backbone import Backbone
from lushan.models.decoding import endings_of
from lushan.models.language import LanguageModel, WholeModel, language_model
from lushan.tasks.base import Task
from lushan.tasks.batches import IGNORED, Batch, Features, pad
from lushan.tasks.evaluation import Evaluation, Records
from lushan.tasks.metrics import Forms
from lushan.text import roundtrip

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from lushan.data.processing import Processor
    from lushan.metrics.metric import Metric

TEXTS: Forms = {
    "lists of references": (["a b c d e"], [["a b d d e", "a b c"]]),
    "references": (["a b c d e"], ["a b d d e"]),
}
"""A generated text in the forms that metrics of torchmetrics take."""


class LanguageTask(Task):
    """A task whose model is a language model: it has no labels of its own but tokens.

    Args:
        metrics: More metrics, by name: of one's own, which take an example's loss, tokens and hits.
        monitor: Metric that selects the best checkpoint.
    """

    usual_metric = "perplexity"
    per_byte = False
    """Whether all of a text is predicted, so that bits per byte can be determined."""

    def __init__(
        self, *, metrics: dict[str, Any] | None = None, monitor: str | None = None
    ) -> None:
        self.added = metrics or {}
        self.main_metric = monitor or self.usual_metric
        self.tokenizer: Any = None

    @classmethod
    def monitored(cls, node: Mapping[str, Any]) -> str:
        return str(node.get("monitor") or cls.usual_metric)

    @classmethod
    def own_metrics(cls, node: Mapping[str, Any]) -> Mapping[str, Metric]:
        from lushan.metrics.families import language, texts

        found = dict(language.metrics(per_byte=cls.per_byte))
        return found | texts.metrics() if cls.generates_with(node) else found

    @classmethod
    def generates_with(cls, node: Mapping[str, Any]) -> bool:
        """Return whether a task configured like `node` generates text in evaluation."""
        return False

    @classmethod
    def samples(cls, node: Mapping[str, Any], classes: int) -> Forms:
        return TEXTS if cls.generates_with(node) else {}

    def own_samples(self) -> Forms:
        return TEXTS if self.generates else {}

    @property
    def record_fields(self) -> Mapping[str, Entry]:
        found = {name: Entry(Number(), "detail") for name in ("loss", "tokens", "hits")}
        return found | {"bytes": Entry(Number(optional=True), "detail")}

    @functools.cached_property
    def generates_in_validation(self) -> bool:  # type: ignore[override]
        """Return whether the best checkpoint is chosen by what is generated, and not by a loss."""
        from lushan.metrics.families import language

        return self.generates and self.main_metric not in language.metrics(per_byte=self.per_byte)

    def use(self, processor: Processor) -> None:
        super().use(processor)
        self.tokenizer = require_tokenizer(processor)

    def count(self, features: Features) -> dict[str, int]:
        counts = {name: int(sum(features.get(name, ()))) for name in ("cut", "unknown_tokens")}
        return {k: n for k, n in counts.items() if n} | {"features": len(features["length"])}

    def wrap(self, model: PreTrainedModel) -> Backbone:
        return LanguageModel(model)

    def special_ids(self, processor: Processor) -> dict[str, int]:
        tokenizer = require_tokenizer(processor)
        ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id")}
        return {name: value for name, value in ids.items() if value is not None}

    def build(self, encoder: Backbone) -> nn.Module:
        return WholeModel(encoder)

    def require_attention(self, model: nn.Module) -> None:
        probing.require(model, probing.require_causal, probing.ordinary_tokens(self.tokenizer))

    def endings(self, model: PreTrainedModel) -> list[int]:
        return endings_of(model, self.tokenizer)

    # Batches

    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        """Rows as tensors; a row with `pieces` holds several documents.

        There is no attention mask. A causal model never attends to the padding that follows, and
        where positions begin again show transformers where documents end, under every kind of
        attention; a mask, even one of ones alone, would switch that off.
        """
        batch = {
            "input_ids": pad([row["input_ids"] for row in rows], self.pad_id),
            "labels": pad([row["labels"] for row in rows], IGNORED),
            "example": torch.tensor([int(row["example"]) for row in rows]),
        }
        if any(len(row.get("pieces", ())) > 1 for row in rows):
            width = batch["input_ids"].shape[1]
            batch["position_ids"] = torch.stack([_places(pieces_of(row), width) for row in rows])
        return batch

    def inputs(self, batch: Batch) -> Batch:
        """The part of a batch that the model takes."""
        return {k: v for k, v in batch.items() if k not in ("labels", "example", "targets")}

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        encoder = language_model(model)
        more = {"weights": batch["weights"]} if "weights" in batch else {}
        return encoder.summed_loss(self.inputs(batch), batch["labels"], **more)

    def predict(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Records]:
        encoder = language_model(model)
        losses, hits = encoder.token_losses(self.inputs(batch), batch["labels"])
        counts, losses = batch["labels"] != IGNORED, losses.double()
        if "weights" in batch:
            weights = batch["weights"].double() * counts
            counts, losses, hits = weights, losses * weights, hits * weights
        sums, counts = losses.sum(-1), counts.sum(-1)
        found = zip(
            batch["example"].tolist(),
            sums.tolist(),
            counts.tolist(),
            hits.sum(-1).tolist(),
            strict=True,
        )
        names = ("example", "loss", "tokens", "hits")
        return sums.sum(), [dict(zip(names, row, strict=True)) for row in found]

    # Evaluation

    def join(self, table: pa.Table, records: Records) -> Records:
        losses, tokens, hits = self._sums(table, records)
        ids = table.column("id").to_pylist()
        return [
            {"id": i, "loss": float(x), "tokens": _whole(n), "hits": _whole(h)}
            for i, x, n, h in zip(ids, losses, tokens, hits, strict=True)
        ]

    def _sums(self, table: pa.Table, records: Records) -> NDArray[np.float64]:
        """Loss, tokens and hits of each example of a table, (3, N)."""
        sums = np.zeros((3, table.num_rows))
        for record in records:
            sums[:, record["example"]] += record["loss"], record["tokens"], record["hits"]
        return sums

    def present(self, table: pa.Table, joined: Records) -> Records:
        texts = table.column("text").to_pylist() if "text" in table.column_names else None
        shown = []
        for i, row in enumerate(joined):
            # Nats a token, as every other loss; records hold sums.
            loss = row["loss"] / max(1, row["tokens"])
            text = {} if texts is None else {"text": texts[i]}
            shown.append(
                {"id": row["id"], **text, "perplexity": float(np.exp(loss)), **row, "loss": loss}
            )
        return shown

    def bytes_of(self, table: pa.Table) -> NDArray[np.float64] | None:
        """UTF-8 bytes of each example, where all of them are predicted."""
        return None

    def evaluate(self, table: pa.Table, records: Records, *, full: bool) -> Evaluation:
        sizes = self.bytes_of(table)
        rows = with_bytes(self.join(table, records), sizes)
        result = Evaluation({}, records=rows if full else [])
        result.add(self.of_rows(rows, full=full, alone=True))
        if full and sizes is not None:
            self.note_lost_text(result, table.column("text").to_pylist())
        return result

    def of_rows(self, rows: Records, *, full: bool, alone: bool) -> Measured:
        """Compute the metrics of a language model.

        Args:
            rows: Of each example its loss, tokens, hits, and its bytes where they are known.
            full: Also intervals and statistics.
            alone: Whether metrics that the config adds are of these rows, and not of texts.
        """
        from lushan.metrics.families import language

        metrics = language.metrics(per_byte=self.per_byte)
        forms = dict if alone else None
        return self.measured(metrics, rows, rows, full=full, records=rows, forms=forms)

    def of_texts(
        self,
        predicted: list[str],
        references: list[list[str]],
        *,
        full: bool,
        examples: list[int],
        records: Records,
        language: generation.Asked = "auto",
        stem: bool = False,
        added: bool = True,
    ) -> tuple[Measured, list[str]]:
        """Compute the metrics of generated texts, and say how they were made.

        Args:
            predicted: One a text.
            references: One or several of each.
            full: Also intervals and statistics.
            examples: Places of the texts in the split.
            records: Their predictions as a run stores them.
            language: How ROUGE and BLEU split text.
            stem: Whether ROUGE strips the endings of English words.
            added: Whether metrics that the config adds are computed, too.
        """
        from lushan.metrics.families import texts

        generation.require_references(predicted, references)
        known = generation.language_of(references, language)
        metrics = texts.metrics(
            language=known, stem=stem, tokenize=generation.bleu_tokenizer(known)
        )

        def forms() -> Forms:
            return {
                "lists of references": (predicted, references),
                "references": (predicted, [several[0] for several in references]),
            }

        found = self.measured(
            metrics,
            predicted,
            references,
            full=full,
            examples=examples,
            each=full,
            records=records,
            forms=forms if added else None,
        )
        signatures = f"BLEU {metrics['bleu'].signature}; chrF {metrics['chrf'].signature}"
        notes = generation.notes(predicted, references, known, stem=stem, signatures=signatures)
        several = sum(len(r) > 1 for r in references)
        if several and self.first_alone():
            names = ", ".join(self.first_alone())
            notes.append(
                f"{names}: for {several} texts only the first of several references is used"
            )
        return found, notes

    def first_alone(self) -> list[str]:
        """Return the names of added metrics that compare with one reference alone."""
        from lushan.metrics import added as adding

        made = {name: adding.make(name, build, 0) for name, build in self.added.items()}
        return [
            name
            for name, metric in made.items()
            if not isinstance(metric, adding.Metric)
            and adding.form_of(name, metric, TEXTS) == "references"
        ]

    def note_lost_text(self, result: Evaluation, texts: Sequence[str]) -> None:
        """Say beside bits per byte what the tokenizer loses of the texts that they count."""
        if self.tokenizer is None:  # records alone are evaluated
            return
        if (loss := roundtrip.lost(self.tokenizer, texts)) is not None:
            result.not_comparable["bits_per_byte"] = loss
            result.notes.append(f"bits_per_byte is not comparable between tokenizers: {loss}")


def _whole(number: float) -> int | float:
    """A number as an integer, where weights have left it one."""
    return int(number) if float(number).is_integer() else float(number)


def with_bytes(joined: Records, sizes: NDArray[np.float64] | None) -> Records:
    """Rows of examples with their bytes, without which bits per byte cannot be compared later."""
    if sizes is None:
        return joined
    return [{**row, "bytes": int(size)} for row, size in zip(joined, sizes, strict=True)]


def pieces_of(row: dict[str, Any]) -> NDArray[np.int64]:
    """Lengths of the documents in a row."""
    return np.asarray(row.get("pieces", [len(row["input_ids"])]))


def _places(pieces: NDArray[np.int64], width: int) -> Tensor:
    """Places in each document of a row, counted from 0, (L,); padding is one document more."""
    return torch.from_numpy(positions(np.append(pieces, width - pieces.sum())))
