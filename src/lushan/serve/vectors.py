"""Requests for vectors of texts, and for the order of documents by a query."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lushan.retrieval.embedder import Embedder, Role
from lushan.serve.limits import Bounds
from lushan.serve.micro_batches import MicroBatches


@dataclasses.dataclass(frozen=True)
class Several:
    """Texts of a request, each with its role."""

    texts: Sequence[str]
    roles: Sequence[Role]


@dataclasses.dataclass(frozen=True)
class Embedded:
    """Vectors of texts.

    Attributes:
        vectors: Of length 1, (texts, H).
        tokens: That were read.
        notes: How many texts were cut.
    """

    vectors: NDArray[np.float32]
    tokens: int
    notes: list[str]


class Vectors:
    """A model of vectors, behind requests.

    Args:
        name: Of the run.
        embedder: The model.
        bounds: Of what it takes.
    """

    def __init__(self, name: str, embedder: Embedder, bounds: Bounds) -> None:
        self.embedder = embedder
        self.worker: MicroBatches[Several, Embedded] = MicroBatches(
            f"embedding {name}", self._embedded, size=4 * bounds.batch, capacity=bounds.waiting
        )

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return int(self.embedder.model.encoder.width)

    def _embedded(self, several: Sequence[Several]) -> list[Embedded]:
        texts = [text for one in several for text in one.texts]
        roles = [role for one in several for role in one.roles]
        vectors = np.zeros((len(texts), self.width), dtype=np.float32)
        for role in dict.fromkeys(roles):
            places = [i for i, own in enumerate(roles) if own == role]
            vectors[places] = self.embedder.encode([texts[i] for i in places], role, [])
        ends = np.cumsum([len(one.texts) for one in several])
        parts = np.split(vectors, ends[:-1])
        return [self._noted(one, part) for one, part in zip(several, parts, strict=True)]

    def _noted(self, one: Several, vectors: NDArray[np.float32]) -> Embedded:
        prefixes = self.embedder.prefixes
        given = [prefixes[role] + text for text, role in zip(one.texts, one.roles, strict=True)]
        lengths = [len(ids) for ids in self.embedder.tokenizer(given)["input_ids"]]
        most = self.embedder.max_length
        cut = sum(length > most for length in lengths)
        notes = [f"{cut} of {len(given)} texts were truncated to {most} tokens"] if cut else []
        return Embedded(vectors, sum(min(length, most) for length in lengths), notes)
