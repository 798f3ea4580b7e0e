"""Drawings of a run, by text and guidance: one picture.

`python experiments/draw/grid.py RUN PICTURE`
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from PIL import Image, ImageDraw

TEXTS = (
    "a red circle",
    "a green rectangle",
    "a blue triangle",
    "a black circle",
    "a gray rectangle",
    "a teal triangle",
    "a brown circle",
    "a yellow rectangle",
)
GUIDANCES = {"predicted": "1", "guidance_2": "2", "guidance_4": "4"}
TIMES = 5
"""How many drawings of a text and a guidance are shown: those of the first test images."""
LEFT, TOP, GAP = 120, 16, 2
"""Pixels beside and above the drawings, for words, and between them."""


def grid(run: Path) -> Image.Image:
    """Return the drawings of some texts: rows are texts, columns guidances and seeds."""
    found = [json.loads(line) for line in (run / "predictions/test.jsonl").read_text().splitlines()]
    by_text = {text: [row for row in found if row["text"] == text][:TIMES] for text in TEXTS}
    size = Image.open(run / found[0]["predicted"]["path"]).width + GAP
    block = TIMES * size + 4 * GAP
    shape = (LEFT + len(GUIDANCES) * block, TOP + size * len(TEXTS))
    picture = Image.new("RGB", shape, "white")
    pen = ImageDraw.Draw(picture)
    for b, (column, guidance) in enumerate(GUIDANCES.items()):
        pen.text((LEFT + b * block, 2), f"guidance {guidance}", "black")
        for y, (text, rows) in enumerate(by_text.items()):
            top = TOP + y * size
            pen.text((4, top + size // 2 - 6), text, "black")
            for x, row in enumerate(rows):
                drawing = Image.open(run / row[column]["path"]).convert("RGB")
                picture.paste(drawing, (LEFT + b * block + x * size, top))
    return picture


if __name__ == "__main__":
    grid(Path(sys.argv[1])).quantize(128).save(sys.argv[2], optimize=True)
