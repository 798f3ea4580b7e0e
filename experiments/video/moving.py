"""Videos of moving shapes, and metrics that read colour, shape and direction from their pixels.

`python experiments/video/moving.py FOLDER` makes the videos, the same ones each time. The metrics
are found with PYTHONPATH=experiments/video LUSHAN_TARGETS=moving.
"""

from __future__ import annotations

import functools
import itertools
import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from lushan.common.units import PERCENT
from lushan.metrics.metric import Metric
from lushan.metrics.scores.ratios import ratio
from lushan.vision import clips
from lushan.vision.video import Sampling

CELL, CELLS, SIZE, FRAMES = 4, 7, 3, 3
"""Pixels of a cell; cells of a side of a frame, and of a shape; frames of a video."""
COLORS = {"red": (255, 0, 0), "green": (0, 170, 0), "blue": (0, 0, 255), "black": (0, 0, 0)}
SHAPES = ("circle", "square", "triangle")
WAYS = {"right": (1, 0), "left": (-1, 0), "down": (0, 1), "up": (0, -1)}
PLACES = list(itertools.product(range(CELLS - SIZE + 1), repeat=2))
HELD_OUT = 0.2
"""Share of the videos that are for tests: their texts are known, and their places are not."""


def frame(color: str, shape: str, place: tuple[int, int]) -> Image.Image:
    """Draw a shape whose left upper cell is `place`."""
    picture = Image.new("RGB", (CELL * CELLS,) * 2, "white")
    draw = ImageDraw.Draw(picture)
    left, top = (CELL * each for each in place)
    right, bottom = left + CELL * SIZE - 1, top + CELL * SIZE - 1
    if shape == "circle":
        draw.ellipse((left, top, right, bottom), fill=COLORS[color])
    elif shape == "square":
        draw.rectangle((left, top, right, bottom), fill=COLORS[color])
    else:
        draw.polygon(((left, bottom), (right, bottom), ((left + right) / 2, top)), COLORS[color])
    return picture


def path_of(start: tuple[int, int], way: str) -> list[tuple[int, int]]:
    """Return where a shape is in each frame; it moves by a cell."""
    return [tuple(s + n * d for s, d in zip(start, WAYS[way], strict=True)) for n in range(FRAMES)]


def videos() -> list[tuple[str, list[Image.Image]]]:
    """Return all videos in which a shape stays inside, each with its text."""
    found = []
    for color, shape, way, start in itertools.product(COLORS, SHAPES, WAYS, PLACES):
        places = path_of(start, way)
        if set(places) <= set(PLACES):
            frames = [frame(color, shape, place) for place in places]
            found.append((f"a {color} {shape} moves {way}", frames))
    return found


@functools.cache
def _templates(side: int) -> tuple[list[tuple[str, str, tuple[int, int]]], Any]:
    """Return what a frame can show, and the pixels (N, side, side, 3) of each."""
    names = list(itertools.product(COLORS, SHAPES, PLACES))
    small = [frame(*name).resize((side, side), Image.Resampling.BOX) for name in names]
    return names, np.stack([np.asarray(each, np.float32) for each in small])


def seen(picture: Image.Image) -> tuple[str, str, tuple[int, int]]:
    """Return colour, shape and place of what a frame looks most like."""
    names, pixels = _templates(picture.width)
    apart = np.abs(pixels - np.asarray(picture.convert("RGB"), np.float32)).sum((1, 2, 3))
    return names[int(apart.argmin())]


def read(video: bytes) -> dict[str, str]:
    """Return what a video shows; '' for what is not the same in all frames, or no such movement."""
    frames = [seen(each) for each in clips.frames_of(video, "", Sampling(frames=FRAMES))]
    colors, shapes, places = map(list, zip(*frames, strict=True))
    ways = [way for way in WAYS if path_of(places[0], way) == places]
    return {
        "color": colors[0] if len(set(colors)) == 1 else "",
        "shape": shapes[0] if len(set(shapes)) == 1 else "",
        "direction": ways[0] if ways else "",
    }


class Shown(Metric):
    """The share of videos in which a part of the text is seen.

    Args:
        part: `color`, `shape`, `direction`, or `all`.
    """

    higher_is_better = True
    unit = PERCENT
    formula = staticmethod(ratio)
    has_interval = True

    def __init__(self, part: str = "all", **_: Any) -> None:
        super().__init__()
        self.part = part

    def example_statistics(self, prediction: Any, target: Any) -> Any:
        """Return (whether it is seen, 1)."""
        del target
        _, color, shape, _, direction = prediction["text"].split()
        asked = {"color": color, "shape": shape, "direction": direction}
        found = read(prediction["png"])
        parts = list(asked) if self.part == "all" else [self.part]
        return np.array([all(found[part] == asked[part] for part in parts), 1.0])


def main(target: Path) -> None:
    """Write the videos of both splits, and a file of each with their texts."""
    made = videos()
    random.Random(18).shuffle(made)
    held = round(len(made) * HELD_OUT)
    for split, some in (("test", made[:held]), ("train", made[held:])):
        (target / split).mkdir(parents=True, exist_ok=True)
        rows = []
        for number, (text, frames) in enumerate(some):
            name = f"{split}/{number:04d}.png"
            (target / name).write_bytes(clips.encoded(frames))
            rows.append(json.dumps({"text": text, "video": name}) + "\n")
        (target / f"{split}.jsonl").write_text("".join(rows))
        right = sum(
            text == "a {color} {shape} moves {direction}".format(**read(clips.encoded(frames)))
            for text, frames in some
        )
        sys.stdout.write(f"{split}: {len(some)} videos, {right} read right from their pixels\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
