"""Interface of tasks: what every task offers, and nothing about any one of them."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pyarrow as pa
import torch
from torch import Tensor, nn

from lushan.common.wording import plural
from lushan.data import processing
from lushan.data.field_roles import inputs, targets
from lushan.data.field_tables import present
from lushan.data.fields import Fields
from lushan.data.record_schema import Entry, RecordSchema, of_fields
from lushan.data.references import Keep
from lushan.data.source import Corpus
from lushan.errors import UserError
from lushan.models.backbone import Backbone
from lushan.models.encoders import encoder_of
from lushan.models.exported import ExportSpec, TrainedModel
from lushan.tasks.batches import Batch, Features, Limits
from lushan.tasks.evaluation import Evaluation, Records
from lushan.tasks.metrics import TaskMetrics
from lushan.vision.reader import Seen

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

    from lushan.data.encode.encoding import Encoded
    from lushan.data.processing import Processor

NOTED_SHARE = 0.05
"""Of tokens that the tokenizer does not know, from which on a note says so: single rare characters
are in any text, and another script than the tokenizer's is not."""


class Task(TaskMetrics):
    """Labels, encoding, model, loss, decoding and metrics of one kind of problem.

    The order of use: `prepare` learns the labels, `encode` turns text into numbers, `build` joins
    encoder and head; then `loss` while training, `predict` and `evaluate` during evaluation.
    """

    fields: Fields
    """Fields that it reads, by the names of a corpus's columns: inputs, and targets to learn."""

    auto_class: str = "AutoModel"
    """Name of the Auto class of transformers that chooses the model's class."""

    labels_of_tokens: ClassVar[Literal["next", "same", "apart"] | None] = None
    """Which tokens the `labels` of a batch are: of each place the one that follows it, or the one
    that stands there, or those of a text apart. None where labels are no tokens: see `lessons`."""

    packs: bool = False
    """Whether several features share a row where `data.packing` says nothing."""

    generates: bool = False
    """True if the final evaluation also generates text."""

    generates_in_validation: bool = False
    """Whether each validation does, because the best checkpoint is chosen by it."""

    writes: bool = False
    """Whether a prediction is a text: `predict` alone then says nothing of a new example."""

    continues: bool = False
    """Whether the texts of its data are themselves what it writes: a prompt is the beginning of
    one."""

    draws: bool = False
    """Whether `lushan generate` writes images of its prompts; see `lushan.models.codec`."""

    schema: pa.Schema
    """Columns of an encoded feature; always with `length`, `targets` and `example`."""

    @property
    def displays(self) -> Mapping[str, str]:
        """Return how a page shows entries of `present`, by their names; others as JSON.

        `spans` (of the entry `text`, each with `start`, `end` and `label`), `shares` (a share of 1
        for each class), `text` or `number`.
        """
        return {}

    @property
    def record_fields(self) -> Mapping[str, Entry]:
        """Return what the entries of a stored prediction are: field and role of each.

        By default the inputs of `fields`, and `gold` and `predicted` of their target. Each record
        has an `id` beside them.
        """
        return of_fields(self.fields)

    def require_record_fields(self) -> None:
        """Refuse entries of predictions that a result cannot name; called once, before training.

        Raises:
            UserError: A field's class or an option of it cannot be written down.
        """
        try:
            RecordSchema(self.record_fields).as_dict()
        except ValueError as error:
            name = f"{type(self).__name__}.record_fields"
            raise UserError(str(error), key="task", value=name) from error

    def prepare(self, corpus: Corpus) -> None:
        """Learn the labels from the training split; by default there are none.

        Raises:
            UserError: A label stands in an evaluation split alone.
        """

    def state(self) -> dict[str, Any]:
        """Return what `prepare` learned, as JSON."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave, instead of `prepare`."""

    @abc.abstractmethod
    def options(self) -> dict[str, Any]:
        """Return what decides the encoding besides the rows, as JSON; part of the fingerprint."""

    pad_id: int = 0
    """What fills rows of tokens up: of the processor's tokenizer, where it has one."""

    def use(self, processor: Processor) -> None:
        """Get to know the processor, once, before anything is encoded or decoded."""
        if (tokenizer := processing.tokenizer_of(processor)) is not None:
            self.pad_id = int(tokenizer.pad_token_id)

    def limits(self, limits: Limits, split: str) -> Limits:
        """Return the limits of a feature of a split, as far as the task decides them."""
        return limits

    @abc.abstractmethod
    def encode(
        self, rows: dict[str, list[Any]], first: int, processor: Processor, limits: Limits
    ) -> Features:
        """Features of some rows; `first` is the number of the first one in its split."""

    def encoding_notes(self, split: str, counts: Mapping[str, int]) -> Iterator[str]:
        """Yield what was cut or cannot be read of a split, from what `count` added up."""
        if cut := counts.get("cut"):
            what = plural(cut, "word or text was", "words or texts were")
            yield f"{split}: {what} truncated by max_length"
        if unknown := counts.get("unknown"):
            yield f"{split}: {plural(unknown, 'text holds', 'texts hold')} no known token"
        lost = counts.get("unknown_tokens", 0)
        if tokens := counts.get("tokens"):  # of a head, which reads and does not write
            if lost >= NOTED_SHARE * tokens > 0:
                yield (
                    f"{split}: {lost:,} of {tokens:,} tokens ({lost / tokens:.0%}) are unknown to "
                    "the tokenizer; `lushan audit` lists their characters"
                )
        elif lost:
            yield (
                f"{split}: {lost} unknown tokens: the tokenizer loses text there, which no metric "
                f"counts"
            )

    def truncation_note(self, count: int, examples: int, limits: Limits) -> str:
        """Report that some of the inputs of a prediction were not read whole.

        Args:
            count: How many.
            examples: Of how many.
            limits: Of an input, with a stride by which all of it would be read.
        """
        hint = f"; --stride {limits.stride} reads them in full, in windows" if limits.stride else ""
        return (
            f"{count} of {examples} texts are longer than {limits.max_length} tokens and were "
            f"truncated{hint}"
        )

    def unknown_note(self, count: int) -> str:
        """Report that the run does not know some parts of the inputs of a prediction."""
        return f"{plural(count, 'part of the inputs is', 'parts of the inputs are')} unknown"

    def count(self, features: Features) -> dict[str, int]:
        """Return numbers to add up while encoding and to report to the user."""
        keys = ("cut", "unknown", "unknown_tokens")
        counts = {key: int(sum(features[key])) for key in keys if features.get(key)}
        if "unknown_tokens" in counts:
            counts["tokens"] = int(sum(features["length"]))
        return counts | {"features": len(features["length"])}

    def wrap(self, model: PreTrainedModel) -> Backbone:
        """Make the backbone of a model of transformers; by default its hidden states."""
        return encoder_of(model)

    def special_ids(self, processor: Processor) -> dict[str, int]:
        """Return ids of tokens that a fresh model's config gets, by their names there."""
        return {}

    @abc.abstractmethod
    def build(self, encoder: Backbone) -> nn.Module:
        """The whole model: a module with `.encoder`, and `.head` where there is one."""

    def require_attention(self, model: nn.Module) -> None:
        """Refuse a model that does not attend as the loss assumes; called once, before training.

        Raises:
            UserError: It sees what it is to predict, or does not see what it is to predict from.
        """

    def transform(
        self, rows: list[dict[str, Any]], seed: int, *, training: bool = False
    ) -> list[dict[str, Any]]:
        """Return features as they are drawn this time: masked, or otherwise new in each epoch.

        Must depend on nothing but `seed` and a row's `index`, so that an interrupted run draws
        again what it drew. A row may get `targets` of its own; see `counts_targets`.

        Args:
            rows: Features, each with its number as `index`.
            seed: Of this epoch.
            training: Whether they are learned; evaluation sees an image as it is.
        """
        return rows

    def remember(
        self, model: nn.Module, encoded: Mapping[str, Encoded], folder: Path, device: torch.device
    ) -> list[str]:
        """Compute once what a frozen part of the model makes of examples; return notes on it.

        Called once, before training, with the weights that it begins with.

        Args:
            model: From `build`.
            encoded: Features of all splits.
            folder: For files that all runs share.
            device: Where it is computed.
        """
        return []

    counts_targets: bool = False
    """Whether `collate` gives in `targets` how many terms a batch's loss has."""

    @abc.abstractmethod
    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        """Return features as padded tensors."""

    @abc.abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The loss summed (not averaged) over the batch's targets, a float32 scalar."""

    moves_all: bool = False
    """Whether momentum and decay also move weights that a step has not reached, as those of a
    vision tower where no example of it has an image. Otherwise each step must reach the same."""

    joint: bool = False
    """Whether the loss compares the examples of a global batch with one another. It is then that of
    `joint_losses` over the `vectors` of all of them, however they are shared out; `loss` is that of
    one batch by itself."""

    def vectors(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return what the examples of a batch are compared by, of a task that is `joint`.

        Each tensor has its examples, or parts of them, along the first dimension, and those of
        several batches are joined there; the first has a row an example. Floating-point ones get
        gradients.
        """
        raise AssertionError(f"{type(self).__name__} is not joint: {model}, {len(batch)}")

    def joint_losses(self, vectors: dict[str, Tensor]) -> Tensor:
        """Return the loss of each example among all, (N,), from `vectors`."""
        raise AssertionError(f"{type(self).__name__} is not joint: {len(vectors)}")

    @abc.abstractmethod
    def predict(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Records]:
        """(summed loss, one record a feature); records are plain, small and can be pickled."""

    def lessons(self, batch: Batch) -> list[str | dict[int, str]]:
        """Return the targets of each row of a batch, in words: of the row, or by places of tokens.

        For `debug=batch`. Of language models it can be seen without.
        """
        return []

    def tune(self, table: pa.Table, records: Records) -> None:
        """Choose by the validation split what is chosen by it, such as a threshold.

        Called before `evaluate` while a run trains; `state` keeps what was chosen.

        Args:
            table: The validation split.
            records: See `evaluate`.
        """

    def begin(self, table: pa.Table) -> None:
        """Prepare for the split that is evaluated next, before its first batch."""

    def generate(self, model: nn.Module, batch: Batch) -> Records:
        """Fields to add to the records of `predict`, in their order; see `generates`."""
        raise AssertionError(f"{type(self).__name__} does not generate: {model}, {len(batch)}")

    def prompts(self, rows: dict[str, list[Any]]) -> list[list[int]] | None:
        """Return the tokens that a model continues, for rows of a corpus; None where it only reads.

        Of a document that is its beginning, of a dialogue the messages before the answer, of a
        pair the source.
        """
        return None

    def choose_among(self, labels: Sequence[str]) -> None:
        """Predict one of some labels from now on, which are texts that training has not known.

        Args:
            labels: Two or more, each another one.

        Raises:
            UserError: The task cannot.
        """
        raise UserError(
            "this run cannot predict labels of your choice",
            key="--label",
            value=labels[0],
            hint="Use a run of task=contrastive.",
        )

    def media(self, rows: dict[str, list[Any]]) -> list[Seen] | None:
        """Return what a model reads besides the tokens of `prompts`; None where that is all."""
        return None

    def endings(self, model: PreTrainedModel) -> list[int]:
        """The tokens by which a model of transformers ends a text of this task's."""
        return []

    @abc.abstractmethod
    def join(self, table: pa.Table, records: Records) -> Records:
        """Predictions of the examples of `table`, in its order, from those of their features."""

    @abc.abstractmethod
    def present(self, table: pa.Table, joined: Records) -> Records:
        """Predictions as people and programs read them, from `join`'s; `table` has the texts."""

    def with_inputs(self, table: pa.Table, joined: Records, keep: Keep | None = None) -> Records:
        """Return records with what the model was given, as it is stored."""
        there = present(inputs(self.fields), table)
        columns = [
            [field.stored(value, keep) for value in table.column(name).to_pylist()]
            for name, field in there.items()
        ]
        return [
            {"id": record["id"], **dict(zip(there, values, strict=True)), **record}
            for record, *values in zip(joined, *columns, strict=True)
        ]

    @abc.abstractmethod
    def evaluate(self, table: pa.Table, records: Records, *, full: bool) -> Evaluation:
        """Evaluate the features' records against the table's gold labels.

        Args:
            table: The corpus split.
            records: From `predict`, of every feature, in any order.
            full: Also the intervals and the example records, not only the metrics.
        """

    def export_spec(self, trained: TrainedModel) -> ExportSpec:
        """Describe the exported model: class, processor, examples, and how it is proved equal.

        Raises:
            UserError: transformers has no such model.
        """
        raise UserError(
            f"transformers has no equivalent of {type(self).__name__}",
            key="task",
            hint="Use the run itself with `lushan predict`.",
        )

    def sample_rows(self) -> pa.Table:
        """Return rows without targets; a graph of the model is traced and proved with them."""
        table = type(self).demo().splits["train"]
        return table.drop_columns([n for n in targets(self.fields) if n in table.column_names])

    @classmethod
    @abc.abstractmethod
    def demo(cls) -> Corpus:
        """A few rows to learn, for the contract tests and for `sample_rows`."""
