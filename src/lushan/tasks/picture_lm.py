"""Base of models of one vocabulary of text and images: vocabulary, sums by what tokens are."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import pyarrow as pa
import torch
from torch import Tensor, nn

from lushan.data.fields import Number
from lushan.data.record_schema import Entry
from lushan.errors import UserError
from lushan.models import image_codecs
from lushan.models.backbone import Backbone
from lushan.models.codec import Codec
from lushan.models.decoding import Settings
from lushan.models.exported import ExportSpec, TrainedModel
from lushan.models.image_codecs import ImageCodec, WithCodec
from lushan.models.language import language_model
from lushan.tasks import language_export
from lushan.tasks.batches import EXAMPLE, IGNORED, Batch, Limits
from lushan.tasks.evaluation import Records
from lushan.tasks.language import LanguageTask

SUMS = ("loss", "tokens", "hits", "image_loss", "image_tokens", "text_loss", "text_tokens")


class PictureLM(LanguageTask):
    """A causal model that reads and writes texts and images.

    Args:
        images: Makes the codec of images; see `lushan.models.image_codecs`.
        generate: Whether the final evaluation writes and draws, too.
        settings: How it does.
        metrics: More metrics, by name.
        monitor: Metric that selects the best checkpoint.
    """

    BUILT_LATER: ClassVar[tuple[str, ...]] = ("metrics", "images")
    draws = True
    auto_class = "AutoModelForCausalLM"
    labels_of_tokens: ClassVar[Literal["next", "same", "apart"] | None] = "next"
    generates_in_validation = False
    guidance = 1.0
    """See `lushan.models.codec.Guidance`; 1 is none."""
    written_as: Sequence[str] = (".png",)
    """Endings of files in which `lushan generate` writes a picture."""
    refused: Mapping[str, str] = {}
    """Options of `lushan generate` that have no meaning, and why."""
    schema = pa.schema(
        [
            ("tokens", pa.list_(pa.int32())),
            ("skip", pa.int32()),
            ("drawn", pa.int8()),
            *EXAMPLE,
        ]
    )
    """`skip` tokens stand before what is generated again, an image where it is `drawn`."""

    def __init__(
        self,
        *,
        images: image_codecs.Make,
        generate: bool,
        settings: Settings,
        metrics: dict[str, Any] | None,
        monitor: str | None,
    ) -> None:
        super().__init__(metrics=metrics, monitor=monitor)
        self.make_images, self.settings, self.generates = images, settings, generate
        self.images: ImageCodec
        self.codec: Codec

    @classmethod
    def generates_with(cls, node: Mapping[str, Any]) -> bool:
        return bool(node.get("generate", True))

    @classmethod
    def samples(cls, node: Mapping[str, Any], classes: int) -> dict[str, Any]:
        return {}

    def own_samples(self) -> dict[str, Any]:
        return {}

    @property
    def sum_fields(self) -> dict[str, Entry]:
        """The entries of sums over tokens."""
        return {name: Entry(Number(), "detail") for name in SUMS}

    # The vocabulary

    def state(self) -> dict[str, Any]:
        return {"images": self.images.state()}

    def restore(self, state: dict[str, Any]) -> None:
        self.images = image_codecs.restored(state["images"])

    def use(self, processor: Any) -> None:
        super().use(processor)
        self.codec = Codec.of(self.tokenizer, self.images)

    def build(self, encoder: Backbone) -> nn.Module:
        return WithCodec(encoder, self.images)

    # Batches

    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        more = {name: torch.tensor([int(row[name]) for row in rows]) for name in ("drawn", "skip")}
        return {**super().collate(rows), **more}

    def inputs(self, batch: Batch) -> Batch:
        return {k: v for k, v in super().inputs(batch).items() if k not in ("drawn", "skip")}

    # Predicting

    def predict(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Records]:
        encoder = language_model(model)
        labels, codec = batch["labels"], self.codec
        losses, hits = encoder.token_losses(self.inputs(batch), labels)
        losses, is_target = losses.double(), labels != IGNORED
        is_code = (labels >= codec.is_code.start) & (labels < codec.is_code.stop)
        # What begins or ends an image is learned, and part of neither.
        is_text = is_target & ~is_code & (labels != codec.begin) & (labels != codec.end)
        sums = {"loss": losses, "tokens": is_target, "hits": hits}
        for name, which in (("image", is_code), ("text", is_text)):
            sums |= {f"{name}_loss": losses * which, f"{name}_tokens": which}
        columns = [batch["example"].tolist(), *(sums[name].sum(-1).tolist() for name in SUMS)]
        rows = zip(*columns, strict=True)
        return losses.sum(), [dict(zip(("example", *SUMS), row, strict=True)) for row in rows]

    def generate(self, model: nn.Module, batch: Batch) -> Records:
        network, flags = language_model(model).model, batch["drawn"].tolist()
        found: Records = [{} for _ in flags]
        for flag, made_by in ((1, self.drawn), (0, self.written)):
            places = [place for place, each in enumerate(flags) if each == flag]
            if not places:
                continue
            given = [(batch["input_ids"][i], batch["skip"][i], batch["example"][i]) for i in places]
            # An image is begun: what begins it is no part of what comes before.
            prompts = [[*ids[:skip].tolist(), *[self.codec.begin] * flag] for ids, skip, _ in given]
            made = made_by(network, prompts, [int(number) for *_, number in given])
            for place, entries in zip(places, made, strict=True):
                found[place] = entries
        return found

    @abc.abstractmethod
    def drawn(
        self, network: Any, prompts: list[list[int]], numbers: Sequence[int]
    ) -> Iterable[dict[str, Any]]:
        """Return the entries of images that are drawn after prompts (ids) of numbered examples."""

    @abc.abstractmethod
    def written(
        self, network: Any, prompts: list[list[int]], numbers: Sequence[int]
    ) -> Iterable[dict[str, Any]]:
        """Return the same of texts that are written."""

    @abc.abstractmethod
    def composed(
        self, network: Any, texts: Sequence[str], settings: Settings, scale: float
    ) -> list[list[int]]:
        """Return what is written after prompts, as tokens: images, or text and images.

        Args:
            network: The language model, of transformers.
            texts: The prompts, each with `settings.num_samples` continuations side by side.
            settings: How tokens are drawn.
            scale: Of the guidance.

        Raises:
            PromptTooLong: A prompt leaves no room for an image.
        """

    # Evaluation

    def added_up(self, table: pa.Table, records: Records, written: Sequence[str]) -> Records:
        """Return a row for each example: its sums, and what was `written` of it."""
        ids = table.column("id").to_pylist()
        found: Records = [{"id": i, **dict.fromkeys(SUMS, 0)} for i in ids]
        for record in records:
            row = found[record["example"]]
            row |= {name: row[name] + record[name] for name in SUMS}
            row |= {name: record[name] for name in written if name in record}
        return found

    def present(self, table: pa.Table, joined: Records) -> Records:
        return [_shown(row) for row in self.with_inputs(table, joined)]

    def export_spec(self, trained: TrainedModel) -> ExportSpec:
        return language_export.with_images(self, trained, self.codec)


class PromptTooLong(ValueError):
    """A prompt leaves no room for an image; says which one, and how long it is.

    Args:
        number: Of the prompt, from 0.
        problem: In words.
    """

    def __init__(self, number: int, problem: str) -> None:
        super().__init__(problem)
        self.number = number


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its loss as nats a token; without sums where nothing was to be learned."""
    rest = {name: value for name, value in row.items() if name not in SUMS}
    if not row["tokens"]:
        return rest
    sums = {name: row[name] for name in SUMS}
    return rest | sums | {"loss": row["loss"] / row["tokens"]}


def too_long(
    rows: Mapping[str, Any], number: int, tokens: int, limits: Limits, what: str
) -> UserError:
    """Return the error about a row that the model cannot read whole."""
    place = {"file": rows["file"][number], "line": rows["line"][number]} if "file" in rows else {}
    return UserError(
        f"{what} {tokens} tokens, but the limit is {limits.max_length}; images are never truncated",
        **place,
        hint="Write a larger data.max_length, or shorten the text.",
    )
