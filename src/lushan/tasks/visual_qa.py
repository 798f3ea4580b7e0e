"""Questions on images, with answers that are classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import torch
from torch import nn

from lushan.configurable import configurable
from lushan.data.demo import demo_corpus
from lushan.data.fields import Fields, Image, Text
from lushan.data.processing import require_tokenizer
from lushan.data.references import structs
from lushan.data.source import Corpus
from lushan.errors import UserError
from lushan.models.language import TOKEN_TYPES
from lushan.tasks import dialogue_images
from lushan.tasks.batches import EXAMPLE, Batch, Features, Limits, pad_inputs
from lushan.tasks.dialogue_images import REPAIRED, Sight
from lushan.tasks.labels import TARGETS, LabelTask
from lushan.text import parts
from lushan.text.chat import ChatTemplate, choose
from lushan.text.rendering import Unfit
from lushan.text.windows import Window
from lushan.vision import images
from lushan.vision.reader import joined, reader_of

if TYPE_CHECKING:
    from pathlib import Path

    from lushan.data.encode.encoding import Encoded
    from lushan.data.processing import Processor

ASKED: Fields = {"image": Image(), "question": Text()}


@configurable
class VisualQA(LabelTask):
    """Answer questions on images by one of the answers of the training data.

    A question is written as a message with the image before it, by the tokenizer's chat template or
    a plain one, up to where the answer would begin. One that is too long is refused: neither an
    image nor a question is cut.

    Other arguments are those of `LabelTask`.

    Args:
        pooling: How to pool the hidden states into one vector: `last` is the position where the
            answer would begin.
        blind: Whether to remove images, to measure what can be answered without them.
    """

    reads = ASKED
    moves_all = True

    def __init__(
        self,
        *,
        pooling: Literal["last", "mean", "max", "attention"] = "last",
        blind: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(pooling=pooling, **options)
        self.blind = blind
        self.sight = Sight(blind=blind)
        self.source: str | None = None
        self.template: ChatTemplate | None = None

    def state(self) -> dict[str, Any]:
        return {**super().state(), "template": self.source}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.source = state.get("template", self.source)

    def use(self, processor: Any) -> None:
        super().use(processor)
        tokenizer, reader = require_tokenizer(processor), reader_of(processor)
        self.sight = Sight(reader, self.blind)
        token = "" if reader is None else reader.token
        if self.source is None:
            tokenizer.chat_template = tokenizer.chat_template or processor.chat_template
            self.template = choose(None, tokenizer, token)
        else:
            self.template = ChatTemplate(self.source, tokenizer, None, token)
        self.source = self.template.source

    def special_ids(self, processor: Any) -> dict[str, int]:
        tokenizer = require_tokenizer(processor)
        ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id")}
        image = None if self.template is None else self.template.image_id
        return {n: value for n, value in (ids | {"image_token_id": image}).items() if value}

    @property
    def schema(self) -> pa.Schema:
        """Columns of a feature; those of images where the model sees some."""
        columns = [
            ("input_ids", pa.list_(pa.int32())),
            ("labels", pa.list_(pa.float32())),
            *EXAMPLE,
        ]
        return pa.schema([*columns, *(dialogue_images.COLUMNS if self.sight.sees else ())])

    def options(self) -> dict[str, Any]:
        known = {"kind": self.kind, "labels": self.labels, "template": self.source}
        return {"task": "visual_qa", **known, "blind": self.blind}

    # Encoding

    def encode(
        self, rows: dict[str, list[Any]], first: int, processor: Processor, limits: Limits
    ) -> Features:
        labels = self.encoded_labels(rows.get("label"), len(rows["question"]))
        schema, sight = self.schema, self.sight.anew()
        features: Features = {field.name: [] for field in schema} | {REPAIRED: []}
        for number, known in enumerate(labels):
            place: dict[str, Any] = {
                name: rows[name][number] for name in ("file", "line") if name in rows
            }
            shown = (rows["image"][number], rows["question"][number])
            window = self._asked(*shown, sight, limits, place)
            found = {
                "input_ids": window.ids,
                "labels": known,
                "length": len(window.ids),
                "targets": 1,
                "example": first + number,
                **dialogue_images.columns_of(window),
            }
            for name in schema.names:
                features[name].append(found[name])
        features[REPAIRED] = [sight.repairs, *(Counter() for _ in labels[1:])]
        return features

    def _asked(
        self,
        image: Mapping[str, Any],
        question: str,
        sight: Sight,
        limits: Limits,
        place: Mapping[str, Any],
    ) -> Window:
        """Return a question's tokens, up to where its answer would begin.

        Raises:
            UserError: The image cannot be read, or there are more tokens than the limit.
        """
        assert self.template is not None
        content = [parts.image(image), parts.text(question)]
        shown = sight.shown([{"role": "user", "content": content}], place)
        try:
            found = self.template.tokens_of([self.template.render(shown, None, prompt=True)])[0]
        except Unfit as error:
            raise UserError(
                f"the chat template cannot render this question: {error}", **place
            ) from error
        if len(found.ids) > limits.max_length:
            raise UserError(
                f"this question is too long: with its image it has {len(found.ids)} tokens, but "
                f"the limit is {limits.max_length}",
                **place,
                hint="Write a larger data.max_length, or remove the question.",
            )
        return Window(found.ids, [], images=found.images, places=found.places)

    def count(self, features: Features) -> dict[str, int]:
        return super().count(features) | dialogue_images.count(features)

    def encoding_notes(self, split: str, counts: Mapping[str, int]) -> Iterator[str]:
        yield from super().encoding_notes(split, counts)
        yield from dialogue_images.notes(split, counts)

    def transform(
        self, rows: list[dict[str, Any]], seed: int, *, training: bool = False
    ) -> list[dict[str, Any]]:
        if not self.sight.sees:
            return rows
        return [{**row, "seen": joined(self.sight.of_row(row))} for row in rows]

    def remember(
        self, model: nn.Module, encoded: Mapping[str, Encoded], folder: Path, device: torch.device
    ) -> list[str]:
        encoder: Any = model.encoder
        return self.sight.remember(encoder.model, encoded, folder, device)

    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        batch = {**pad_inputs(rows, self.pad_id), **self.collated_labels(rows)}
        if not self.sight.sees:
            return batch
        assert self.template is not None
        images_at = batch["input_ids"].eq(int(self.template.image_id or 0))
        kinds = {TOKEN_TYPES: images_at.long()}
        return {**batch, **kinds, **joined([row["seen"] for row in rows])}

    @classmethod
    def demo(cls) -> Corpus:
        rows = [
            (color, question, answer)
            for color in ("red", "green", "blue")
            for question, answer in (("what color?", color), ("is it red?", str(color == "red")))
        ]
        found = [{"path": "", "bytes": images.encoded(color)} for color, *_ in rows]
        questions, answers = zip(*(row[1:] for row in rows), strict=True)
        columns = {"image": structs(found), "question": questions, "label": answers}
        return demo_corpus({**ASKED, "label": TARGETS["single"]}, columns)
