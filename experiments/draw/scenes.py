"""Captions of easy-VQA's images, and metrics that see a scene's colour and shape.

They read pixels, or ask a classifier. `python experiments/draw/scenes.py DATA/easy_vqa FOLDER`
writes the captions, and with `FOLDER/test.jsonl --run RUN` it reads what a run of image_tokenizer
has reconstructed. The metrics are found with PYTHONPATH=experiments/draw LUSHAN_TARGETS=scenes.
"""

from __future__ import annotations

import functools
import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from lushan.common.units import PERCENT
from lushan.data.references import structs
from lushan.metrics.metric import Metric
from lushan.metrics.scores.ratios import ratio

SHAPES = ("circle", "rectangle", "triangle")
COLORS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "black": (0, 0, 0),
    "gray": (128, 128, 128),
    "teal": (0, 128, 128),
    "brown": (165, 42, 42),
    "yellow": (255, 255, 0),
}


def read(png: bytes) -> tuple[str, str]:
    """Return the colour and the shape of the one thing in an image on a light ground.

    The thing is what is far from the colour of the border. Of what it fills of its box, a rectangle
    has all, a circle pi/4 and a triangle half. Both are empty where there is nothing.
    """
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), float)
    rim = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    apart = np.abs(pixels - np.median(rim, axis=0)).sum(-1)
    inside = apart > max(60.0, 0.4 * float(apart.max()))
    if inside.sum() < 4:
        return "", ""
    middle = np.median(pixels[apart >= np.quantile(apart[inside], 0.5)], axis=0)
    color = min(COLORS, key=lambda name: float(np.abs(middle - COLORS[name]).sum()))
    rows, columns = np.nonzero(inside)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    filled = inside.sum() / (height * width)
    shape = "triangle" if filled < 0.66 else "circle" if filled < 0.9 else "rectangle"
    return color, shape


class Scene(Metric):
    """The share of drawn images in which a part of the text is seen.

    Args:
        part: `color`, `shape`, or `both`.
    """

    higher_is_better = True
    unit = PERCENT
    formula = staticmethod(ratio)
    has_interval = True

    def __init__(self, part: str = "both", **_: Any) -> None:
        super().__init__()
        self.part = part

    def example_statistics(self, prediction: Any, target: Any) -> Any:
        """Return (whether it is seen, 1)."""
        del target
        color, shape = read(prediction["png"])
        words = prediction["text"].split()
        found = {"color": color in words, "shape": shape in words}
        right = all(found.values()) if self.part == "both" else found[self.part]
        return np.array([right, 1.0])


class Classified(Metric):
    """The share of drawn images in which a classifier, trained apart, sees a part of the text.

    Args:
        run: A run of task=image_classification whose labels are texts, `a red circle`.
        part: See `Scene`.
    """

    higher_is_better = True
    unit = PERCENT
    formula = staticmethod(ratio)
    has_interval = True

    def __init__(self, run: str, part: str = "both", **_: Any) -> None:
        super().__init__()
        self.run, self.part = run, part

    def example_statistics(self, prediction: Any, target: Any) -> Any:
        """Return (whether it is seen, 1)."""
        return self.statistics([prediction], [target])[0]

    def statistics(self, predictions: Any, targets: Any) -> Any:
        """Return the same of many drawings."""
        del targets
        from lushan.inference.prediction import predict_rows

        images = structs([{"path": "", "bytes": row["png"]} for row in predictions])
        ids = [str(number) for number in range(len(predictions))]
        found = predict_rows(_loaded(self.run), pa.table({"id": ids, "image": images}))
        seen = [str(row["predicted"]).split() for row in found]
        parts = {"color": slice(1, 2), "shape": slice(2, 3), "both": slice(1, 3)}[self.part]
        words = [row["text"].split() for row in predictions]
        right = [a[parts] == b[parts] for a, b in zip(seen, words, strict=True)]
        return np.array([[float(each), 1.0] for each in right]).reshape(-1, 2)


@functools.cache
def _loaded(run: str) -> Any:
    from lushan.inference.load import load

    return load(run)


def captions(questions: Path, folder: str) -> list[dict[str, str]]:
    """Return an image and its text for each image that the questions tell all of."""
    content = questions.read_bytes()
    lines = (gzip.decompress(content) if questions.suffix == ".gz" else content).splitlines()
    known: dict[str, dict[str, str]] = {}
    for line in map(json.loads, lines):
        words = line["question"].rstrip("?").split()
        told = [line["answer"], *words] if line["answer"] != "no" else []
        for name, values in (("color", COLORS), ("shape", SHAPES)):
            seen = [word for word in told if word in values]
            if seen and not {"no", "not"} & set(words):
                known.setdefault(line["image"], {})[name] = seen[0]
    return [
        {"image": f"{folder}/{image}", "text": f"a {scene['color']} {scene['shape']}"}
        for image, scene in known.items()
        if len(scene) == 2
    ]


def reconstructed(texts: Path, run: Path) -> str:
    """Return how many of a tokenizer's reconstructions show the colour and shape of the text."""
    rows = map(json.loads, texts.read_text().splitlines())
    wanted = {Path(row["image"]).name: row["text"].split()[1:] for row in rows}
    right = []
    for row in map(json.loads, (run / "predictions/test.jsonl").read_text().splitlines()):
        if row["id"] in wanted:
            seen = read((run / row["predicted"]["path"]).read_bytes())
            same = [a == b for a, b in zip(seen, wanted[row["id"]], strict=True)]
            right.append([*same, all(same)])
    color, shape, both = 100 * np.mean(right, 0)
    return f"{len(right)} images: color {color:.1f} %, shape {shape:.1f} %, both {both:.1f} %"


if __name__ == "__main__":
    if "--run" in sys.argv:
        texts, _, run = sys.argv[1:]
        sys.stdout.write(reconstructed(Path(texts), Path(run)) + "\n")
        sys.exit()
    source, target = map(Path, sys.argv[1:])
    target.mkdir(parents=True, exist_ok=True)
    for split, name in (("train", "questions_train.jsonl.gz"), ("test", "questions_test.jsonl")):
        rows = captions(source / name, split)
        (target / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        sys.stdout.write(f"{split}: {len(rows)} images\n")
