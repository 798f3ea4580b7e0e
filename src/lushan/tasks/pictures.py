"""Images in features: kept encoded or by their paths, and decoded each time they are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lushan.data.references import kept, restored
from lushan.tasks.batches import Batch, Features
from lushan.vision import images, processors
from lushan.vision.augment import Augment

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from transformers import BaseImageProcessor


def references(
    values: Sequence[Mapping[str, Any]], ids: Sequence[Any], processor: BaseImageProcessor
) -> Features:
    """Return the columns `image` (as `references.kept`) and `is_path` of images of a corpus.

    Args:
        values: As `lushan.data.fields.Image` has them.
        ids: Of their rows, for errors.
        processor: Will read them.

    Raises:
        UserError: An image cannot be decoded, or becomes too large.
    """
    found: Features = {"image": [], "is_path": []}
    for value, name in zip(values, ids, strict=True):
        # or refuse it now
        processors.require_fits(decoded(value, name), processor, value["path"] or str(name))
        found["image"].append(np.frombuffer(kept(value), np.uint8))
        found["is_path"].append(int(bool(value["path"])))
    return found


def decoded(value: Mapping[str, Any], name: object) -> Picture:
    """Decode an image of a corpus."""
    path = value["path"]
    return images.decode(value["bytes"] or images.read_bytes(path), path or str(name))


def drawn(
    rows: Sequence[dict[str, Any]],
    seed: int,
    processor: BaseImageProcessor,
    augment: Augment | None,
) -> list[dict[str, Any]]:
    """Add what a model reads of their images to features, as `pixels` (C, H, W).

    Args:
        rows: Features with the columns of `references`, and their `index`.
        seed: Of this epoch; with the index it decides how an image is changed.
        processor: Reads them.
        augment: What changes them; None changes nothing.
    """
    found = []
    for row in rows:
        image = restored(row["image"].tobytes(), is_path=bool(row["is_path"]))
        picture = decoded(image, f"of example {int(row['example'])}")
        if augment is not None:
            picture = augment(picture, np.random.default_rng([seed, int(row["index"])]))
        found.append(picture)
    values = processors.pixels_of(processor, found)
    return [{**row, "pixels": each} for row, each in zip(rows, values, strict=True)]


def collated(rows: Sequence[Mapping[str, Any]]) -> Batch:
    """Return `pixel_values` (B, C, H, W) of features that were `drawn`, and their examples."""
    return {
        "pixel_values": torch.from_numpy(np.stack([row["pixels"] for row in rows])),
        "example": torch.tensor([int(row["example"]) for row in rows]),
    }
