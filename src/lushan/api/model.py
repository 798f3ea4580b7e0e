"""The model of a run, for use from Python."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from lushan.data.field_roles import inputs
from lushan.errors import UserError, first_line
from lushan.inference.inputs import reader_for
from lushan.inference.load import Loaded
from lushan.inference.prediction import predict_rows
from lushan.run.files import json_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lushan.inference.generator import TextGenerator
    from lushan.retrieval.embedder import Embedder, Role

ROWS = "<rows>"
"""Name of the rows in what is predicted of them, each with its number after it."""


class Model:
    """A trained model: it predicts, writes texts, or makes vectors, as its task does.

    Args:
        loaded: A run, or an exported folder.
    """

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        loaded.model.to(self._device)

    def __repr__(self) -> str:
        task = self._loaded.task
        return f"<{type(task).__name__} of {', '.join(inputs(task.fields))}: {self._loaded.folder}>"

    def predict(self, rows: Sequence[str | Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Predict on texts, or on rows with the columns of the run's data.

        Args:
            rows: `["Anna lives in Paris."]`, or `[{"question": "...", "context": "..."}]`.

        Returns:
            One prediction for each, in their order, as `lushan predict` writes it.

        Raises:
            UserError: A row is not what the task reads; names it by its place in the list.
        """
        lines = [_line(number, row) for number, row in enumerate(_listed("rows", rows))]
        if not lines:
            return []
        loaded = self._loaded
        fields = loaded.task.fields
        data = b"".join(lines)
        with _by_number(inputs(fields)):
            reader = reader_for(loaded.folder, loaded.cfg, fields, ROWS, format="jsonl", data=data)
            return predict_rows(loaded, reader.reading.read(), device=self._device)

    def generate(
        self, prompts: Sequence[Any], *, batch_size: int = 16, **settings: Any
    ) -> list[list[str]]:
        """Write the texts that follow prompts.

        Args:
            prompts: Texts; of a chat run, what the user says, or lists of messages.
            batch_size: Texts that are written at a time.
            settings: Fields of `lushan.models.decoding.Settings`: `max_new_tokens`, `greedy`,
                `temperature`, `top_p`, `seed`, `num_samples`, ...

        Returns:
            For each prompt its texts, `num_samples` of them.

        Raises:
            UserError: The model writes no text, or a prompt leaves no room for one.
        """
        from lushan.inference.batch_generate import settings_of
        from lushan.inference.prompt_files import Prompt, as_taken
        from lushan.models.decoding import Settings

        prompts = _listed("prompts", prompts)
        if unknown := sorted(settings.keys() - vars(Settings()).keys()):
            raise UserError(
                "unknown setting of generation",
                key=unknown[0],
                value=settings[unknown[0]],
                hint=f"Settings: {', '.join(vars(Settings()))}.",
            )
        writer = self._generator
        chosen = settings_of(settings, writer)
        chosen.require_sound()
        given = [Prompt(str(i), each, {"key": f"prompts[{i}]"}) for i, each in enumerate(prompts)]
        values = [as_taken(prompt, writer.fields) for prompt in given]
        fitted, _ = writer.fitted(writer.encode(values), [prompt.place for prompt in given])
        found = writer.write(fitted, chosen, media=writer.media(values), batch_size=batch_size)
        return [[one.text for one in texts] for texts in found]

    def embed(self, texts: Sequence[str], *, role: Role = "passage") -> NDArray[np.float32]:
        """Return vectors of length 1, (texts, H).

        Args:
            texts: The texts.
            role: `query` or `passage`, each of which has a prefix of its own.

        Raises:
            UserError: The run is of another task than embedding.
        """
        texts = _listed("texts", texts)
        for number, text in enumerate(texts):
            if not isinstance(text, str):
                raise UserError("this is not a text", key=f"texts[{number}]", value=_shown(text))
        return self._embedder.encode(texts, role, notes=[])

    @cached_property
    def _generator(self) -> TextGenerator:
        from lushan.inference.generator import of_loaded

        return of_loaded(self._loaded)

    @cached_property
    def _embedder(self) -> Embedder:
        from lushan.retrieval.embedder import of_loaded

        return of_loaded(self._loaded)


def _listed(name: str, values: object) -> list[Any]:
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        hint = "Write [...] around it."
        raise UserError("this is a list", key=name, value=_shown(values), hint=hint)
    return list(values)


def _line(number: int, row: object) -> bytes:
    """Return a row as a line of JSON."""
    place = f"rows[{number}]"
    if not isinstance(row, str | Mapping):
        hint = 'Write a text, or a row of fields: {"text": "..."}.'
        raise UserError("this is not a row", key=place, value=_shown(row), hint=hint)
    try:
        return json_line({"text": row} if isinstance(row, str) else row).encode()
    except UnicodeEncodeError as error:
        raise UserError("a text holds half of a surrogate pair", key=place) from error
    except (TypeError, ValueError, RecursionError) as error:
        hint = "A row can contain texts, numbers, booleans, lists and mappings."
        raise UserError(first_line(error), key=place, hint=hint) from error


@contextlib.contextmanager
def _by_number(wanted: Iterable[str]) -> Iterator[None]:
    """Name the row at fault by its number in the list, not by a line of a file."""
    try:
        yield
    except UserError as error:
        if error.file is None or str(error.file) != ROWS:
            raise
        if error.line is not None:
            place, hint = f"rows[{error.line - 1}]", error.hint
        else:  # a hint would name overrides of a command
            place, hint = "rows", f"Write rows with {', '.join(wanted)}."
        raise UserError(error.problem, key=place, value=error.value, hint=hint) from error


def _shown(value: object) -> object:
    return "None" if value is None else value  # None is shown as nothing
