"""Baselines without learning for the names of emoji, and how zero-shot classes fare.

`python experiments/emoji/nearest.py DATA/emoji RUN` names each test image of a run of
`experiment=captions/emoji` by the name of the training image whose 8 x 8 pixels are nearest, and
prints exact match and chrF of both, with what they differ by. `--classes PREDICTIONS` reads what
`lushan predict RUN --label ...` has chosen instead, whose labels are `CLASSES`; `--images FOLDER`
writes a run's test images for it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tarfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sacrebleu.metrics import CHRF

from lushan.common.terminal import echo

SIDE = 8
CLASSES = {
    "Smileys & Emotion": "face",
    "People & Body": "person",
    "Animals & Nature": "animal",
    "Food & Drink": "food",
    "Travel & Places": "place",
    "Activities": "activity",
    "Objects": "object",
    "Symbols": "symbol",
    "Flags": "flag",
}
"""The word that stands for each category of the data; none of them is learned as a class."""


def main() -> None:
    """Do what the command says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--classes", type=Path, help="predictions of `lushan predict --label`")
    parser.add_argument("--images", type=Path, help="where to write the test images")
    args = parser.parse_args()
    with (args.data / "emoji.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    found = {split: _predictions(args.run, split) for split in ("validation", "test")}
    if args.images:
        _write(args.run, found["test"], args.images)
    elif args.classes:
        _classes(rows, args.classes)
    else:
        _names(args.data, rows, found)


def _predictions(run: Path, split: str) -> dict[int, dict[str, Any]]:
    """Return the stored predictions of a split by the numbers of their rows."""
    with (run / "predictions" / f"{split}.jsonl").open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    return {int(record["id"].rpartition(":")[2]) - 1: record for record in records}


def _names(data: Path, rows: Sequence[dict[str, Any]], found: dict[str, Any]) -> None:
    test, held = found["test"], {*found["validation"], *found["test"]}
    known = [number for number in range(len(rows)) if number not in held]
    with tarfile.open(data / "images.tar") as images:
        files = {Path(name).name: images.extractfile(name) for name in images.getnames()}
        pixels = np.stack([_pixels(files[row["image"]]) for row in rows])
    gold = [rows[number]["name"] for number in test]
    assert gold == [record["gold"] for record in test.values()], "the run has other names"
    nearest = [
        rows[known[int(np.square(pixels[known] - pixels[number]).sum(1).argmin())]]["name"]
        for number in test
    ]
    own = [record["predicted"] for record in test.values()]
    echo(f"{len(known)} training images, {len(test)} test images")
    for name, said in (("model", own), ("nearest", nearest)):
        hits = np.mean([a == b for a, b in zip(said, gold, strict=True)])
        echo(f"{name}: exact match {100 * hits:.2f} %, chrF {_chrf(said, gold):.2f}")
        echo(f"  {len({*said})} different names; most frequent {Counter(said).most_common(3)}")
    draws = np.random.default_rng(1).integers(len(gold), size=(1000, len(gold)))
    differences = [
        _chrf([own[i] for i in draw], [gold[i] for i in draw])
        - _chrf([nearest[i] for i in draw], [gold[i] for i in draw])
        for draw in draws
    ]
    low, high = np.quantile(differences, [0.025, 0.975])
    echo(f"chrF of the model less that of the nearest: 95 % interval {low:.2f} to {high:.2f}")


def _chrf(said: list[str], gold: list[str]) -> float:
    return float(CHRF().corpus_score(said, [gold]).score)


def _pixels(file: Any) -> NDArray[np.float32]:
    with Image.open(file) as picture:
        whole = picture.convert("RGBA")
    ground = Image.new("RGBA", whole.size, "white")
    small = Image.alpha_composite(ground, whole).convert("RGB").resize((SIDE, SIDE))
    return np.asarray(small, np.float32).ravel()


def _write(run: Path, test: dict[int, dict[str, Any]], folder: Path) -> None:
    """Copy a run's test images, named by the numbers of their rows."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, record in test.items():
        shutil.copy(run / record["image"]["path"], folder / f"{number}.png")


def _classes(rows: Sequence[dict[str, Any]], file: Path) -> None:
    with file.open(encoding="utf-8") as lines:
        said = [json.loads(line) for line in lines]
    wanted, chosen = [], []
    for record in said:
        number = int(Path(record["image"]["path"]).stem)
        if rows[number]["category"] in CLASSES:
            wanted.append(CLASSES[rows[number]["category"]])
            chosen.append(record["predicted"])
    hits = np.array([a == b for a, b in zip(wanted, chosen, strict=True)])
    draws = np.random.default_rng(1).integers(len(hits), size=(10_000, len(hits)))
    low, high = np.quantile(hits[draws].mean(1), [0.025, 0.975])
    most = Counter(wanted).most_common(1)[0]
    share = f"{100 * hits.mean():.2f} % [{100 * low:.1f}, {100 * high:.1f}]"
    echo(f"{len(hits)} images, right {share}")
    echo(f"the most frequent class, {most[0]}: {100 * most[1] / len(hits):.2f} %")
    for name, count in Counter(wanted).most_common():
        own = np.mean([h for h, w in zip(hits, wanted, strict=True) if w == name])
        echo(f"  {name}: {count}, right {100 * own:.1f} %; said {chosen.count(name)} times")


if __name__ == "__main__":
    main()
