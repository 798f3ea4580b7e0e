"""Vectors of texts, by a run of task=embedding or by any encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from lushan.data import processing
from lushan.data.batch.batching import plan_evaluation
from lushan.errors import UserError
from lushan.inference import exported
from lushan.inference.load import Loaded, load, quiet
from lushan.models import encoders
from lushan.models.embedding import EmbeddingModel
from lushan.run.artifacts import is_run
from lushan.run.config_yaml import no_run
from lushan.run.progress import over
from lushan.tasks.batches import pad_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Role = Literal["query", "passage"]
Pooling = Literal["mean", "cls"]
_TOKENS = 8192
"""Padded tokens in a batch."""


@dataclass(frozen=True)
class Embedder:
    """A model of vectors and its tokenizer.

    Attributes:
        model: In evaluation mode.
        tokenizer: Its own.
        prefixes: What is written before a text, by its role.
        max_length: Tokens of a text.
    """

    model: EmbeddingModel
    tokenizer: PreTrainedTokenizerFast
    prefixes: dict[str, str]
    max_length: int

    def encode(self, texts: Sequence[str], role: Role, notes: list[str]) -> NDArray[np.float32]:
        """Return vectors of length 1, (texts, H).

        Args:
            texts: The texts.
            role: What they are.
            notes: Takes how many were truncated.
        """
        whole = self.tokenizer([self.prefixes[role] + text for text in texts])["input_ids"]
        cut = sum(len(ids) > self.max_length for ids in whole)
        if cut:
            notes.append(
                f"{cut:,} of {len(texts):,} texts were truncated to {self.max_length} tokens"
            )
            most = {"truncation": True, "max_length": self.max_length}
            whole = self.tokenizer([self.prefixes[role] + t for t in texts], **most)["input_ids"]
        found = np.zeros((len(texts), self.model.encoder.width), dtype=np.float32)
        with torch.inference_mode():
            lengths = np.array([len(ids) for ids in whole], dtype=np.int64)
            for rows in over(plan_evaluation(lengths, bound=_TOKENS), "vectors"):
                batch = pad_ids([whole[row] for row in rows], self.tokenizer.pad_token_id)
                found[rows] = F.normalize(self.model(**batch), dim=-1).numpy()
        return found


def embedder_of(
    place: str,
    *,
    pooling: Pooling | None = None,
    query_prefix: str | None = None,
    passage_prefix: str | None = None,
    max_length: int | None = None,
) -> Embedder:
    """Load a model of vectors.

    Args:
        place: A run of task=embedding, its exported folder, or any encoder as `model.path` names
            it.
        pooling: Of an encoder, `mean` if None; a run has its own.
        query_prefix: Likewise; '' if None.
        passage_prefix: Likewise.
        max_length: Tokens of a text, at most; what the model reads if None, and 512 at most.

    Raises:
        UserError: It is a run of another task, or has its own of these.
    """
    quiet()
    given = {"pooling": pooling, "query_prefix": query_prefix, "passage_prefix": passage_prefix}
    folder = Path(place).expanduser()
    if is_run(folder) or exported.is_exported(folder):
        loaded = load(folder)
        if named := [name for name, value in given.items() if value is not None]:
            option = f"--{named[0].replace('_', '-')}"
            raise UserError("the run already sets this", key=option, value=given[named[0]])
        return of_loaded(loaded, max_length)
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise no_run(folder)
    tokenizer = processing.require_tokenizer(processing.pretrained(place))
    encoder = encoders.pretrained(place, vocab_size=len(tokenizer))
    longest = max_length or min(encoder.max_length or 512, 512)
    if encoder.max_length is not None and longest > encoder.max_length:
        raise UserError(
            f"the encoder reads at most {encoder.max_length} tokens",
            key="--max-length",
            value=longest,
        )
    prefixes = {"query": query_prefix or "", "passage": passage_prefix or ""}
    model = EmbeddingModel(encoder, pooling or "mean").eval()
    return Embedder(model, tokenizer, prefixes, longest)


def of_loaded(loaded: Loaded, max_length: int | None = None) -> Embedder:
    """Make the embedder of a run's model.

    Raises:
        UserError: It is a run of another task.
    """
    if not isinstance(loaded.model, EmbeddingModel):
        raise UserError(
            "this run does not compute text vectors",
            file=loaded.folder,
            hint="Use a run of task=embedding, or an encoder.",
        )
    task: Any = loaded.task
    longest = max_length or loaded.limits.max_length
    return Embedder(loaded.model, loaded.tokenizer, task.prefixes, longest)
