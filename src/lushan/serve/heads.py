"""Requests to runs with a head: examples in, predictions as `lushan predict` writes them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import pyarrow as pa
import torch
from pydantic import BaseModel, Field, create_model

from lushan.data import fields as data_fields
from lushan.data.field_roles import inputs
from lushan.data.fields import Words
from lushan.data.raw_columns import Columns
from lushan.data.unlabelled import Reading, reader_class
from lushan.errors import UserError
from lushan.inference.load import Loaded
from lushan.inference.prediction import Encoded, predict_encoded
from lushan.serve.exchange import too_busy, too_late
from lushan.serve.failures import Refused, of_user
from lushan.serve.limits import Bounds
from lushan.serve.micro_batches import MicroBatches
from lushan.serve.schemas import MOST_INPUTS, Strict
from lushan.serve.worker import Busy
from lushan.tasks.evaluation import Records
from lushan.text.parts import BadPart

PLACE = "inputs"
_TEXT = "text"
"""What a text is called that is split into the words that a run reads."""


class Heads:
    """A run with a head, behind requests.

    Args:
        name: Of the run.
        loaded: The run.
        bounds: Of what it takes.
    """

    def __init__(self, name: str, loaded: Loaded, bounds: Bounds) -> None:
        self.name, self.loaded = name, loaded
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        loaded.model.to(self.device)
        self._encoding = threading.Lock()  # tokenizers are not made for several threads
        self._capacity, self._seconds, self._reading = (
            bounds.batch + bounds.waiting,
            bounds.seconds,
            0,
        )
        self.worker: MicroBatches[Encoded, Records] = MicroBatches(
            f"predicting {name}", self._predicted, size=bounds.batch, capacity=bounds.waiting
        )

    def _predicted(self, several: Sequence[Encoded]) -> list[Records]:
        return predict_encoded(self.loaded, several, device=self.device)

    async def read(self, rows: Sequence[Mapping[str, Any]]) -> Encoded:
        """Return examples as the model reads them, beside other requests.

        Args:
            rows: Fields that the request gave of each.

        Raises:
            Refused: They do not fit the run, too many requests are being read, or its time is over.
        """
        if self._reading >= self._capacity:
            raise too_busy(Busy(1))
        reading = asyncio.ensure_future(asyncio.to_thread(self.encoded, rows))
        self._reading += 1
        reading.add_done_callback(self._has_read)
        try:
            # A thread cannot be interrupted: until it ends it is counted.
            return await asyncio.wait_for(asyncio.shield(reading), self._seconds)
        except TimeoutError:
            raise too_late(self._seconds) from None

    def _has_read(self, reading: asyncio.Future[Encoded]) -> None:
        self._reading -= 1
        if not reading.cancelled():
            reading.exception()  # of a request whose client has left nobody else asks

    def encoded(self, rows: Sequence[Mapping[str, Any]]) -> Encoded:
        """Return examples as the model reads them.

        Args:
            rows: Fields that the request gave of each.

        Raises:
            Refused: They do not fit the run; names the field.
        """
        table = self._table(rows)
        with self._encoding:
            try:
                return Encoded.of(self.loaded, table)
            except UserError as error:
                raise _refused(error) from error

    def _table(self, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
        names = list(rows[0])
        for number, row in enumerate(rows):
            if set(row) != set(names):
                text = f"its fields differ from {PLACE}[0]: {', '.join(names)}"
                raise Refused(400, text, param=f"{PLACE}[{number}]")
        values = {
            name: [self._value(i, name, r[name]) for i, r in enumerate(rows)] for name in names
        }
        fields = self.loaded.task.fields
        columns = Columns(values, range(len(rows)), PLACE)
        source = reader_class("jsonl", fields)()
        # Images are in the request: `media` is stated, so that no folder is searched for them.
        reading = Reading(PLACE, "jsonl", source, stated=["media"], fields=fields)
        try:
            return reading.table(columns)
        except UserError as error:
            raise _refused(error) from error

    def _value(self, number: int, name: str, value: Any) -> Any:
        field = self.loaded.task.fields.get(name)
        place = f"{PLACE}[{number}].{name}"
        try:
            return value if field is None else field.received(value)
        except UserError as error:
            raise of_user(error, place) from error
        except BadPart as error:
            raise Refused(400, str(error), param=place) from error

    # Schema

    @property
    def _is_pair(self) -> bool:
        """Return whether it was trained on pairs of texts, which are optional for its task."""
        named = self.loaded.columns.get("text")
        return isinstance(named, list) and len(named) == 2

    def _fields(self) -> dict[str, Any]:
        """Return the arguments of `create_model` for an example."""
        made: dict[str, Any] = {}
        for name, field in inputs(self.loaded.task.fields).items():
            if name == "text_pair" and not self._is_pair:
                continue
            kind: Any = _type_of(field)
            is_optional = field.optional and name != "text_pair"
            if isinstance(field, Words):
                made[_TEXT] = (str | None, Field(None, description="Is split into words."))
                is_optional = True
            made[name] = (kind | None if is_optional else kind, None if is_optional else ...)
        return made

    def request(self, *, alone: bool) -> type[BaseModel]:
        """Return the type of a request to this run.

        Args:
            alone: Whether no other run with a head is served, so that it need not be named.
        """
        title = "".join(part.capitalize() for part in self.name.replace("/", "-").split("-"))
        example: Any = create_model(f"{title}Example", __base__=Strict, **self._fields())
        examples = Annotated[list[example], Field(min_length=1, max_length=MOST_INPUTS)]
        model: Any = Literal[self.name]
        return create_model(
            f"{title}Request",
            __base__=Strict,
            model=(model | None if alone else model, None if alone else ...),
            inputs=(examples, ...),
        )

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of each field of an example."""
        made = create_model("Example", __base__=Strict, **self._fields()).model_json_schema()
        found: dict[str, Any] = made["properties"]
        return found


def _type_of(field: data_fields.Field) -> Any:
    if field.json_pattern is None:
        return field.json_type
    kind: Any = field.json_type
    return Annotated[kind, Field(pattern=f"^{field.json_pattern}")]


def _refused(error: UserError) -> Refused:
    param = PLACE if error.line is None else f"{PLACE}[{error.line}]"
    return of_user(error, param)
