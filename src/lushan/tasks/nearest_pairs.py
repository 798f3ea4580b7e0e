"""Texts and images that find one another without learning: by the training pairs they resemble."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lushan.tasks.pictures import decoded
from lushan.text import bm25

SIDE = 8
"""Pixels of a side to which images are scaled."""
MOST = 5000
"""Training pairs that are compared; of more, evenly chosen ones."""


@dataclass(frozen=True)
class NearestPairs:
    """Training pairs.

    Attributes:
        texts: Of each pair.
        pixels: Of the scaled images, uint8 (N, P).
    """

    texts: Sequence[str] = ()
    pixels: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 3 * SIDE**2), np.uint8))

    @classmethod
    def of(cls, table: pa.Table) -> NearestPairs:
        """Return the pairs of a split."""
        rows = np.unique(np.linspace(0, table.num_rows - 1, min(MOST, table.num_rows)).astype(int))
        some = table.take(rows.tolist())
        return cls(some.column("text").to_pylist(), _pixels(some.column("image").to_pylist()))

    def state(self) -> dict[str, Any]:
        """Return it in JSON's types."""
        pixels = base64.b64encode(self.pixels.tobytes()).decode()
        return {"texts": list(self.texts), "pixels": pixels}

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> NearestPairs:
        """Return what `state` gave."""
        data = np.frombuffer(base64.b64decode(state.get("pixels", "")), np.uint8)
        return cls(state.get("texts", ()), data.reshape(-1, 3 * SIDE**2))

    def of_images(self, images: Sequence[Any], texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the scores of texts for images, (images, texts).

        An image is asked by the text of the training image whose pixels are nearest to its own.
        """
        nearest = _closeness(_pixels(images), self.pixels).argmax(1)
        return bm25.fit(texts).scores([self.texts[number] for number in nearest])

    def of_texts(self, texts: Sequence[str], images: Sequence[Any]) -> NDArray[np.float32]:
        """Return the scores of images for texts, (texts, images): the nearest to the likest's."""
        likest = bm25.fit(self.texts).scores(texts).argmax(1)
        return _closeness(self.pixels[likest], _pixels(images))


def _pixels(images: Sequence[Any]) -> NDArray[np.uint8]:
    scaled = [decoded(image, "").resize((SIDE, SIDE)) for image in images]
    return np.stack([np.asarray(picture, np.uint8).ravel() for picture in scaled])


def _closeness(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the negative squared distances of images, (N, M)."""
    a, b = one.astype(np.float32), other.astype(np.float32)
    return 2 * a @ b.T - (a**2).sum(1)[:, None] - (b**2).sum(1)
