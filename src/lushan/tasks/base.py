"""Interface of tasks: what every task offers, and nothing about any one of them."""

from __future__ import annotations

import abc
import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lushan.common.units import LOSS, Measure
from lushan.common.wording import plural
from lushan.data import processing
from lushan.data.fields import Fields
from lushan.data.record_schema import Entry, RecordSchema, of_fields
from lushan.data.source import Corpus
from lushan.errors import UserError
from lushan.metrics.confusion import Confusion
from lushan.metrics.evaluation import Measured, measured
from lushan.metrics.statistics import Statistics
from lushan.models.backbone import Backbone
from lushan.models.encoders import encoder_of
from lushan.models.exported import ExportSpec, TrainedModel

if TYPE_CHECKING:  # torchmetrics takes its time, and what only predicts needs none of it
    from lushan.metrics.metric import Metric

Batch = dict[str, Tensor]
Features = dict[str, list[Any]]
Records = list[dict[str, Any]]
Forms = Mapping[str, tuple[Any, Any]]
CLASSES = 2
"""Classes that a metric is tried with before the data are read."""
MOST_BYTES = 64 << 20
"""Of all files that are kept beside the predictions of a split."""
IGNORED = -100
"""The label of a place that has none; PyTorch's own default."""


@dataclasses.dataclass
class Evaluation:
    """What one split came to.

    Attributes:
        metrics: Name to value, without the split's name.
        intervals: 95 % bootstrap interval over examples of the main numbers: name to (low, high).
        report: Level to class to precision, recall, f1, support.
        records: One row an example: `id`, and what `Task.record_fields` states.
        record_fields: Entries of the records that follow from the metrics.
        files: Files that records refer to, such as images: name to content; see `add_file`.
        notes: What the reader of the numbers must know, such as words that were cut off.
        confusion: Gold against predicted classes, where the task has such a thing.
        not_comparable: Metric to the reason why it must not be compared between runs.
        measures: Metric to what is to be known of it: direction, unit, score.
        statistics: What each example adds to the metrics, by the names that measures have for it.
    """

    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    report: dict[str, Any] = dataclasses.field(default_factory=dict)
    records: Records = dataclasses.field(default_factory=list)
    record_fields: dict[str, Entry] = dataclasses.field(default_factory=dict)
    files: dict[str, bytes] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)
    confusion: Confusion | None = None
    not_comparable: dict[str, str] = dataclasses.field(default_factory=dict)
    measures: dict[str, Measure] = dataclasses.field(default_factory=dict)
    statistics: dict[str, Statistics] = dataclasses.field(default_factory=dict)

    def add_file(self, content: bytes, ending: str) -> dict[str, str]:
        """Keep a file beside the records, such as an image that was predicted.

        Args:
            content: Of the file; the same content is kept once.
            ending: Of its name, such as `png`.

        Returns:
            What a record has of it: its path in the run's folder.
        """
        if sum(map(len, self.files.values())) + len(content) > MOST_BYTES:
            note = "images beyond the first 64 MiB are not kept beside the predictions"
            self.notes += [note] if note not in self.notes else []
            return {"path": ""}
        name = f"files/{hashlib.sha256(content).hexdigest()[:16]}.{ending}"
        self.files[name] = content
        return {"path": f"predictions/{name}"}

    def add(self, found: Measured) -> None:
        """Take over what some metrics come to."""
        self.metrics |= found.values
        self.intervals |= found.intervals
        self.measures |= found.measures
        self.statistics |= found.statistics


class Task(abc.ABC):
    """Labels, encoding, model, loss, decoding and metrics of one kind of problem.

    The order of use: `prepare` learns the labels, `encode` turns text into numbers, `build` joins
    encoder and head; then `loss` while training, `predict` and `evaluate` while judging.
    """

    fields: Fields
    """What it reads, by the names of a corpus's columns: inputs, and targets to learn."""

    auto_class: ClassVar[str] = "AutoModel"
    """Name of the Auto class of transformers that chooses the model's class."""

    packs: bool = False
    """Whether several features share a row where `data.packing` says nothing."""

    generates: bool = False
    """Whether the final judgement also asks for text, by `generate`."""

    generates_in_validation: bool = False
    """Whether each validation does, because the best checkpoint is chosen by it."""

    writes: bool = False
    """Whether a prediction is a text: `predict` alone then says nothing of a new example."""

    labels: list[str]
    """The labels that were learned: entity types, classes; none for numbers."""

    schema: pa.Schema
    """Columns of an encoded feature; always with `length`, `targets` and `example`."""

    main_metric: str
    """The one that chooses the best checkpoint."""

    BUILT_LATER: ClassVar[tuple[str, ...]] = ("metrics",)
    """Arguments whose nodes are handed over as callables: what only predicts builds none."""

    added: Mapping[str, Callable[..., Any]] = {}
    """Metrics that the config adds, by name: each builds its metric."""

    @property
    def record_fields(self) -> Mapping[str, Entry]:
        """Return what the entries of a stored prediction are: field and role of each.

        By default the inputs of `fields`, and `gold` and `predicted` of their target. Each record
        has an `id` beside them.
        """
        return of_fields(self.fields)

    @classmethod
    @abc.abstractmethod
    def own_metrics(cls, node: Mapping[str, Any]) -> Mapping[str, Metric]:
        """Return the metrics of a task configured like `node`, to be asked what they are.

        The loss is reported beside them. What takes its time is imported inside.
        """

    @classmethod
    def measures(
        cls, node: Mapping[str, Any], added: Mapping[str, Callable[..., Any]]
    ) -> dict[str, Measure]:
        """Return what a task configured like `node` reports, without the split's name.

        Args:
            node: Of the config.
            added: Metrics that the config adds, by name.

        Raises:
            UserError: One of them is no metric, or not one of what this task predicts.
        """
        own = {"loss": LOSS}
        own |= {name: metric.measure(name) for name, metric in cls.own_metrics(node).items()}
        if not added:
            return own
        from lushan.metrics import added as adding

        for name, build in added.items():
            if name in own or not name.isidentifier():
                problem = "the task has a metric of this name" if name in own else "not a name"
                raise UserError(problem, key=f"task.metrics.{name}", hint="Write another name.")
            metric = adding.make(name, build, CLASSES)
            own[name] = adding.measure(name, metric)
            if not isinstance(metric, adding.Metric):
                adding.form_of(name, metric, cls.samples(node, CLASSES))
        return own

    @classmethod
    def samples(cls, node: Mapping[str, Any], classes: int) -> Forms:
        """Return a few made-up predictions in each form that metrics of torchmetrics may take.

        Args:
            node: Of the config.
            classes: How many classes there are.

        Returns:
            Name of a form to (predictions, targets); none where no form fits.
        """
        del node, classes
        return {}

    @property
    def classes(self) -> int:
        """How many classes metrics are told that there are."""
        return len(self.labels)

    def own_samples(self) -> Forms:
        """Return `samples` of this task, which knows its labels."""
        return self.samples({}, self.classes)

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

    def require_metrics(self) -> None:
        """Refuse an added metric that cannot be computed; called once, when labels are known.

        Raises:
            UserError: It takes no form of what this task predicts of so many classes.
        """
        if self.added:
            from lushan.metrics import added as adding

            for name, build in self.added.items():
                metric = adding.make(name, build, self.classes)
                if not isinstance(metric, adding.Metric):
                    adding.form_of(name, metric, self.own_samples())

    def measured(
        self,
        metrics: Mapping[str, Metric],
        predictions: Sequence[Any],
        targets: Sequence[Any],
        *,
        full: bool,
        examples: Sequence[int] | None = None,
        each: bool = False,
        records: Sequence[Mapping[str, Any]] = (),
        forms: Callable[[], Forms] | None = None,
    ) -> Measured:
        """Compute the metrics of a split, with those that the config adds.

        Args:
            metrics: The task's own.
            predictions: As they take them, one an example.
            targets: Likewise.
            full: Also intervals and the statistics of examples.
            examples: Places of the examples in the split, where these are not all.
            each: Also the value of each example by itself.
            records: The predictions as a run stores them.
            forms: Gives the predictions in the forms of `own_samples`. Where it is None, nothing
                is added.
        """
        found = measured(metrics, predictions, targets, full=full, examples=examples, each=each)
        if not self.added or forms is None:
            return found
        from lushan.metrics import added as adding

        others = {}
        for name, build in self.added.items():
            metric = adding.make(name, build, self.classes)
            if isinstance(metric, adding.Metric):
                theirs = adding.field_of(name, metric, records, predictions)
                more = measured({name: metric}, theirs, targets, full=full, examples=examples)
                found.add(more)
            else:
                others[name] = metric
                found.measures[name] = adding.measure(name, metric)
        if others:
            found.values |= adding.values(others, forms(), self.own_samples())
        return found

    @classmethod
    def monitored(cls, node: Mapping[str, Any]) -> str | None:
        """The main metric of a task configured like `node`; None where only the task knows it."""
        return node.get("monitor")

    @abc.abstractmethod
    def prepare(self, corpus: Corpus) -> None:
        """Learn the labels from the training split; a label only evaluation has is a UserError."""

    @abc.abstractmethod
    def state(self) -> dict[str, Any]:
        """Return what `prepare` learned, as JSON."""

    @abc.abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave, instead of `prepare`."""

    @abc.abstractmethod
    def options(self) -> dict[str, Any]:
        """Return what decides the encoding besides the rows, as JSON; part of the fingerprint."""

    pad_id: int = 0
    """What fills rows of tokens up: of the processor's tokenizer, where it has one."""

    def use(self, processor: Any) -> None:
        """Get to know the processor, once, before anything is encoded or decoded."""
        if (tokenizer := processing.tokenizer_of(processor)) is not None:
            self.pad_id = int(tokenizer.pad_token_id)

    def limits(self, limits: Limits, split: str) -> Limits:
        """Return the limits of a feature of a split, as far as the task decides them."""
        del split
        return limits

    @abc.abstractmethod
    def encode(
        self, rows: dict[str, list[Any]], first: int, processor: Any, limits: Limits
    ) -> Features:
        """Features of some rows; `first` is the number of the first one in its split."""

    def encoding_notes(self, split: str, counts: Mapping[str, int]) -> Iterator[str]:
        """Yield what was cut or cannot be read of a split, from what `count` added up."""
        if cut := counts.get("cut"):
            what = plural(cut, "word or text was", "words or texts were")
            yield f"{split}: {what} cut by max_length"
        if unknown := counts.get("unknown"):
            yield f"{split}: {unknown} texts hold no known token"
        if lost := counts.get("unknown_tokens"):
            yield (
                f"{split}: {lost} unknown tokens: the tokenizer loses text there, and no number "
                "counts what is lost"
            )

    def count(self, features: Features) -> dict[str, int]:
        """Return numbers to add up while encoding and to report to the user."""
        return {key: int(sum(features[key])) for key in ("cut", "unknown") if features.get(key)} | {
            "features": len(features["length"])
        }

    def wrap(self, model: Any) -> Backbone:
        """Make the backbone of a model of transformers; by default its hidden states."""
        return encoder_of(model)

    def special_ids(self, processor: Any) -> dict[str, int]:
        """Return ids of tokens that a fresh model's config gets, by their names there."""
        del processor
        return {}

    @abc.abstractmethod
    def build(self, encoder: Backbone) -> nn.Module:
        """The whole model: a module with `.encoder`, and `.head` where there is one."""

    def require_attention(self, model: nn.Module) -> None:
        """Refuse a model that does not attend as the loss assumes; called once, before training.

        Raises:
            UserError: It sees what it is to predict, or does not see what it is to predict from.
        """
        del model

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
        del seed, training
        return rows

    counts_targets: bool = False
    """Whether `collate` tells by `targets` how many terms a batch's loss has."""

    @abc.abstractmethod
    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        """Return features as padded tensors."""

    @abc.abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The loss summed (not averaged) over the batch's targets, a float32 scalar."""

    @abc.abstractmethod
    def predict(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Records]:
        """(summed loss, one record a feature); records are plain, small and can be pickled."""

    def lessons(self, batch: Batch) -> list[str | dict[int, str]]:
        """Return the targets of each row of a batch, in words: of the row, or by places of tokens.

        For `debug=batch`. Of language models it can be seen without.
        """
        del batch
        return []

    def tune(self, table: pa.Table, records: Records) -> None:
        """Choose by the validation split what is chosen by it, such as a threshold.

        Called before `evaluate` while a run trains; `state` keeps what was chosen.

        Args:
            table: The validation split.
            records: See `evaluate`.
        """
        del table, records

    def begin(self, table: pa.Table) -> None:
        """Get to know the split that is judged next, before its first batch."""
        del table

    def generate(self, model: nn.Module, batch: Batch) -> Records:
        """Fields to add to the records of `predict`, in their order; see `generates`."""
        raise AssertionError(f"{type(self).__name__} generates nothing: {model}, {len(batch)}")

    def prompts(self, rows: dict[str, list[Any]]) -> list[list[int]] | None:
        """Return the tokens that a model continues, for rows of a corpus; None where it only reads.

        Of a document that is its beginning, of a dialogue what was said before the answer, of a
        pair the source.
        """
        del rows
        return None

    def endings(self, model: Any) -> list[int]:
        """The tokens by which a model of transformers ends a text of this task's."""
        del model
        return []

    @abc.abstractmethod
    def join(self, table: pa.Table, records: Records) -> Records:
        """Predictions of the examples of `table`, in its order, from those of their features."""

    @abc.abstractmethod
    def present(self, table: pa.Table, joined: Records) -> Records:
        """Predictions as people and programs read them, from `join`'s; `table` has the texts."""

    @abc.abstractmethod
    def evaluate(self, table: pa.Table, records: Records, *, full: bool) -> Evaluation:
        """Judge the features' records against the table's gold labels.

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
        del trained
        raise UserError(
            f"transformers has no form for {type(self).__name__}",
            key="task",
            hint="`lushan predict` uses the run as it is.",
        )

    @classmethod
    @abc.abstractmethod
    def demo(cls) -> Corpus:
        """A few rows to learn, for the contract tests."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """How long a feature may be.

    Attributes:
        max_length: Tokens, special ones included.
        stride: Tokens that neighbouring windows share; None cuts a long text instead.
    """

    max_length: int
    stride: int | None = None


def pad(rows: Sequence[NDArray[Any]], value: int, dtype: Any = np.int64) -> Tensor:
    """Rows of different length as one tensor (B, L), filled up with `value`."""
    width = max((len(row) for row in rows), default=0)
    out = np.full((len(rows), max(width, 1)), value, dtype=dtype)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return torch.from_numpy(out)


def pad_inputs(rows: list[dict[str, Any]], pad_id: int) -> Batch:
    """`input_ids` and `attention_mask` (B, L), and `token_type_ids` where the rows have them."""
    ids = pad([row["input_ids"] for row in rows], pad_id)
    lengths = torch.tensor([[len(row["input_ids"])] for row in rows])
    batch = {
        "input_ids": ids,
        "attention_mask": (torch.arange(ids.shape[1])[None, :] < lengths).long(),
        "example": torch.tensor([int(row["example"]) for row in rows]),
    }
    if "token_type_ids" in rows[0]:
        batch["token_type_ids"] = pad([row["token_type_ids"] for row in rows], 0)
    return batch


def affixes(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens a tokenizer puts before and after a single text."""
    probe = tokenizer("a", return_special_tokens_mask=True)
    mask, ids = probe["special_tokens_mask"], probe["input_ids"]
    real = [i for i, special in enumerate(mask) if not special]
    if not real:  # "a" itself is unknown, and unknown counts as special: [CLS] [UNK] [SEP]
        plain = tokenizer("a", add_special_tokens=False)["input_ids"]
        start = next(i for i in range(len(ids)) if ids[i : i + len(plain)] == plain)
        real = list(range(start, start + len(plain)))
    return list(ids[: real[0]]), list(ids[real[-1] + 1 :])


def flatten(values: Iterable[Iterable[Any]]) -> list[Any]:
    """One list of all items."""
    return [item for group in values for item in group]
