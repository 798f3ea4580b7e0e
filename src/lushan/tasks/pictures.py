"""Images in features: kept encoded or by their paths, and decoded each time they are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lushan.tasks.batches import Features
from lushan.vision import images
from lushan.vision.augment import Augment


def references(values: Sequence[Mapping[str, Any]], ids: Sequence[Any]) -> Features:
    """Return the columns `image` (bytes, or a path's) and `is_path` of images of a corpus.

    Args:
        values: As `lushan.data.fields.Image` has them.
        ids: Of their rows, for errors.

    Raises:
        UserError: An image cannot be decoded.
    """
    found: Features = {"image": [], "is_path": []}
    for value, name in zip(values, ids, strict=True):
        decoded(value, name)  # or refuse it now
        content = value["path"].encode() if value["path"] else value["bytes"]
        found["image"].append(np.frombuffer(content, np.uint8))
        found["is_path"].append(int(bool(value["path"])))
    return found


def decoded(value: Mapping[str, Any], name: Any) -> Any:
    """Decode an image of a corpus.

    Args:
        value: As `lushan.data.fields.Image` has it.
        name: Of its row, for errors.
    """
    path = value["path"]
    return images.decode(images.read_bytes(path) if path else value["bytes"], path or str(name))


def drawn(rows: Sequence[Mapping[str, Any]], seed: int, augment: Augment | None) -> list[Any]:
    """Decode the images of features, and change each as the seed and its index say.

    Args:
        rows: Features with the columns of `references`, and their `index`.
        seed: Of this epoch.
        augment: What changes them; None changes nothing.
    """
    found = []
    for row in rows:
        content = row["image"].tobytes()
        path = content.decode() if row["is_path"] else ""
        picture = decoded({"path": path, "bytes": content}, f"of example {int(row['example'])}")
        if augment is not None:
            picture = augment(picture, np.random.default_rng([seed, int(row["index"])]))
        found.append(picture)
    return found


def pixels(processor: Any, pictures: Sequence[Any]) -> NDArray[np.float32]:
    """Return what a model reads of images, (N, C, H, W)."""
    found: NDArray[np.float32]
    found = processor(images=list(pictures), return_tensors="np")["pixel_values"]
    return found
