"""Dialogues as features: windows of tokens, with the assistant's turns that are learned in them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lushan.data.batch.batching import mix
from lushan.data.messages import dialogues_of
from lushan.errors import UserError
from lushan.tasks import dialogue_images
from lushan.tasks.batches import IGNORED, Features, Limits
from lushan.tasks.dialogue_images import REPAIRED, Sight
from lushan.text.chat import ChatTemplate
from lushan.text.incremental import decode
from lushan.text.rendering import Messages, Tools, Unfit
from lushan.text.weights import WEIGHT, is_learned, weight_of
from lushan.text.windows import TooLong, Window, windows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Turn = Literal["last", "any"]
SCHEMA = pa.schema(
    [
        ("tokens", pa.list_(pa.int32())),
        ("turns", pa.list_(pa.int32())),
        ("weights", pa.list_(pa.float32())),
        ("length", pa.int32()),
        ("targets", pa.float64()),
        ("bytes", pa.int32()),
        ("asked", pa.int32()),
        ("example", pa.int64()),
        ("cut", pa.int32()),
        ("split", pa.int32()),
        ("disguised", pa.int32()),
        ("unknown_tokens", pa.int32()),
    ]
)
UNSEEN = "unseen"
"""Counts of fields that the template does not show: not stored, only reported."""
PLAIN = frozenset(("role", "content", WEIGHT))
"""A message's keys that are all there is to most."""
SEED = 1
"""Of what chance chooses to be generated: the same in every run."""


@dataclasses.dataclass(frozen=True)
class DialogueEncoder:
    """Encodes dialogues as a template writes them.

    Attributes:
        template: With its tokenizer.
        tokenizer: The same.
        turn: Which of the assistant's turns is generated, in evaluation.
        sight: What of images the model is shown.
    """

    template: ChatTemplate
    tokenizer: PreTrainedTokenizerFast
    turn: Turn
    sight: Sight

    @property
    def schema(self) -> pa.Schema:
        """Columns of a feature; those of images where the model sees some."""
        return pa.schema([*SCHEMA, *dialogue_images.COLUMNS]) if self.sight.sees else SCHEMA

    def encode(self, rows: Mapping[str, Sequence[Any]], first: int, limits: Limits) -> Features:
        """Return the features of some rows.

        Raises:
            UserError: A dialogue has no turn to learn, or the template refuses it.
        """
        unknown = self.tokenizer.unk_token_id
        schema = self.schema
        features: Features = {field.name: [] for field in schema} | {UNSEEN: [], REPAIRED: []}
        dialogues, tools = dialogues_of(rows)
        sight = self.sight.anew()
        dialogues = [sight.shown(d, _place(rows, row)) for row, d in enumerate(dialogues)]
        for number, found in enumerate(self._windows(rows, dialogues, tools, limits)):
            messages, given = dialogues[number], tools[number]
            if not any(is_learned(m) for m in messages):
                raise UserError(
                    "this dialogue has no assistant turn to evaluate",
                    **_place(rows, number),
                    hint="lushan generate RUN --input FILE generates the next one.",
                )
            learned = iter([m for m in messages if is_learned(m)])
            asked = self.asked(first + number, sum(len(window.turns) for window in found))
            for place, window in enumerate(found):
                ids, note = window.ids, [next(learned) for _ in window.turns]
                weights = [weight_of(message) for message in note]
                features["tokens"].append(ids)
                features["turns"].append([border for span in window.turns for border in span])
                features["weights"].append(weights)
                # The last token is predicted and not read; the first is read and not predicted.
                features["length"].append(max(1, len(ids) - 1))
                turns = zip(window.turns, weights, strict=True)
                features["targets"].append(sum((b - max(a, 1)) * w for (a, b), w in turns))
                features["bytes"].append(self._size(window, note))
                here = 0 <= asked < len(window.turns)
                features["asked"].append(window.turns[asked][0] if here else 0)
                asked -= len(window.turns)
                features["example"].append(first + number)
                features["cut"].append(int(window.cut))
                features["split"].append(int(place == 1))
                disguised = not place and self.template.disguised(messages, given)
                features["disguised"].append(int(disguised))
                unseen = Counter() if place else self.template.unseen(messages, given)
                features[UNSEEN].append(unseen)
                features[REPAIRED].append(Counter() if features[REPAIRED] else sight.repairs)
                features["unknown_tokens"].append(0 if unknown is None else ids.count(unknown))
                for name, value in dialogue_images.columns_of(window).items():
                    if name in features:
                        features[name].append(value)
        return features

    def asked(self, example: int, turns: int) -> int:
        """Return which of the assistant's turns is generated; -1 where there is none."""
        return mix(SEED, example) % turns if turns and self.turn == "any" else turns - 1

    def _windows(
        self,
        rows: Mapping[str, Sequence[Any]],
        dialogues: Sequence[Messages],
        tools: Sequence[Tools],
        limits: Limits,
    ) -> list[list[Window]]:
        def found(part: slice) -> list[list[Window]]:
            return windows(
                self.template,
                dialogues[part],
                limit=limits.max_length + 1,
                stride=limits.stride,
                tools=tools[part],
            )

        try:
            return found(slice(None))
        except Unfit:
            for number in range(len(dialogues)):
                place = _place(rows, number)
                try:
                    found(slice(number, number + 1))
                except TooLong as error:
                    raise UserError(
                        f"this dialogue is too long: {error}",
                        **place,
                        hint="Write a larger data.max_length, or remove the dialogue.",
                    ) from error
                except Unfit as error:
                    raise UserError(
                        f"the chat template cannot render this dialogue: {error}",
                        **place,
                        hint="Try another template, such as task.template=plain.",
                    ) from error
            raise

    def _size(self, window: Window, note: Sequence[Mapping[str, Any]]) -> int:
        """Return the UTF-8 bytes of the turns that a window learns, times their weights."""
        size = 0.0
        for (start, end), message in zip(window.turns, note, strict=True):
            text = message["content"]
            if window.cut or message.keys() - PLAIN:  # not all of it, or more than the content
                text = self._text(window.ids[start:end])
            size += _bytes(text) * weight_of(message)
        return round(size)

    def _text(self, ids: Sequence[int]) -> str:
        return decode(self.tokenizer, ids).strip()

    def asked_place(self, messages: Messages, example: int) -> int:
        """Return which message of a dialogue is generated; see `asked_text`."""
        turns = [place for place, m in enumerate(messages) if is_learned(m)]
        return turns[self.asked(example, len(turns))]

    def asked_text(self, messages: Messages, tools: Tools, example: int) -> str:
        """Return what was said in the turn that is generated; tool calls as the template writes.

        Args:
            messages: A dialogue.
            tools: What may be called in it.
            example: Its number in its split.
        """
        messages = self.sight.shown(messages)
        place = self.asked_place(messages, example)
        if not messages[place].keys() - PLAIN:
            return str(messages[place]["content"])
        encoded = self.template.tokens_of([self.template.last(messages[: place + 1], tools)])[0]
        start, end = encoded.turns[0]
        return self._text(encoded.ids[start:end])


def _place(rows: Mapping[str, Sequence[Any]], number: int) -> dict[str, Any]:
    """Return where a row stood, for errors."""
    return {name: rows[name][number] for name in ("file", "line") if name in rows}


def _bytes(text: str) -> int:
    return len(text.strip().encode())


def shifted(row: dict[str, Any]) -> dict[str, Any]:
    """Return a feature's tokens as what is read and what is learned, at each place."""
    tokens = row["tokens"]
    weights = np.zeros(len(tokens), dtype=np.float32)
    for (start, end), weight in zip(row["turns"].reshape(-1, 2), row["weights"], strict=True):
        weights[start:end] = weight
    labels: NDArray[np.int64] = np.where(weights > 0, tokens, IGNORED)[1:].astype(np.int64)
    rest = {name: value for name, value in row.items() if name not in ("tokens", "turns")}
    if len(tokens) == 1:  # there is nothing to predict, and a row cannot be empty
        return {**rest, "input_ids": tokens, "labels": np.array([IGNORED]), "weights": weights}
    return {**rest, "input_ids": tokens[:-1], "labels": labels, "weights": weights[1:]}
