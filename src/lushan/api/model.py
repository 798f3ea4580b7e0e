"""The model of a run, for use from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from lushan.data.field_roles import inputs
from lushan.errors import UserError
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
"""Name of the rows in errors, each of which has its number after it."""


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
            UserError: A row lacks what the task reads.
        """
        _require_list("rows", rows)
        if not rows:
            return []
        loaded = self._loaded
        lines = "".join(json_line({"text": row} if isinstance(row, str) else row) for row in rows)
        reader = reader_for(
            loaded.folder, loaded.cfg, loaded.task.fields, ROWS, format="jsonl", data=lines.encode()
        )
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

        _require_list("prompts", prompts)
        if unknown := sorted(settings.keys() - vars(Settings()).keys()):
            raise UserError(
                "generation has no such setting",
                key=unknown[0],
                value=settings[unknown[0]],
                hint=f"It has {', '.join(vars(Settings()))}.",
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
        _require_list("texts", texts)
        return self._embedder.encode(texts, role, notes=[])

    @cached_property
    def _generator(self) -> TextGenerator:
        from lushan.inference.generator import of_loaded

        return of_loaded(self._loaded)

    @cached_property
    def _embedder(self) -> Embedder:
        from lushan.retrieval.embedder import of_loaded

        return of_loaded(self._loaded)


def _require_list(name: str, values: object) -> None:
    if isinstance(values, str | Mapping):
        raise UserError("this is a list", key=name, value=values, hint="Write [...] around it.")
