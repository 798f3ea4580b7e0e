"""Picture of made videos: a row for each text, its videos side by side, each as its frames.

`python experiments/video/strip.py FOLDER OUT.png`, where FOLDER is that of `lushan generate`.
"""

from __future__ import annotations

import json
import sys
from itertools import groupby
from pathlib import Path

from PIL import Image, ImageDraw

from lushan.vision import clips
from lushan.vision.video import Sampling

SIDE, GAP, TEXT, FRAMES = 56, 4, 180, 3
"""Pixels of a frame, between frames, and of the text; frames of a video."""


def main(folder: Path, target: Path) -> None:
    """Write the picture."""
    lines = (folder / "images.jsonl").read_text(encoding="utf-8").splitlines()
    by_prompt = [(p, list(v)) for p, v in groupby(map(json.loads, lines), lambda r: r["prompt"])]
    width = SIDE * FRAMES + GAP * (FRAMES + 2)
    most = max(len(records) for _, records in by_prompt)
    size = (TEXT + most * width, len(by_prompt) * (SIDE + GAP) + GAP)
    picture = Image.new("RGB", size, "lightgray")
    draw = ImageDraw.Draw(picture)
    for row, (prompt, records) in enumerate(by_prompt):
        top = GAP + row * (SIDE + GAP)
        draw.text((GAP, top + SIDE // 2 - 6), prompt, fill="black")
        for column, record in enumerate(records):
            data = (folder / record["image"]).read_bytes()
            frames = clips.frames_of(data, record["image"], Sampling(frames=FRAMES))
            for place, frame in enumerate(frames):
                left = TEXT + column * width + place * (SIDE + GAP)
                whole = frame.convert("RGB").resize((SIDE, SIDE), Image.Resampling.NEAREST)
                picture.paste(whole, (left, top))
    picture.save(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
