"""Pictures to try the task with: noise, with one quadrant brighter than the others.

`python -m own_task.pictures FOLDER` writes `train.jsonl`, `test.jsonl` and the images that they
name.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 32
QUADRANTS = ("upper left", "upper right", "lower left", "lower right")


def draw(number: int) -> bytes:
    """Return a picture as PNG; its brightest quadrant is the number's remainder by four."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 120, (SIDE, SIDE, 3))
    half, (row, column) = SIDE // 2, divmod(number % len(QUADRANTS), 2)
    pixels[row * half : (row + 1) * half, column * half : (column + 1) * half] += 120
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def write(folder: Path, *, train: int = 200, test: int = 80) -> None:
    """Write tables of pictures, and the pictures in `images`.

    Args:
        folder: Made where it is not there.
        train: Pictures of the training split.
        test: Of the test split.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    first = 0
    for split, count in (("train", train), ("test", test)):
        rows = []
        for number in range(first, first + count):
            (folder / "images" / f"{number}.png").write_bytes(draw(number))
            row = {"image": f"{number}.png", "label": QUADRANTS[number % len(QUADRANTS)]}
            rows.append(json.dumps(row))
        (folder / f"{split}.jsonl").write_text("\n".join([*rows, ""]), encoding="utf-8")
        first += count


if __name__ == "__main__":
    write(Path(sys.argv[1]))
