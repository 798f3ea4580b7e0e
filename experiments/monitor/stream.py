"""Streams with known changes from Financial PhraseBank, for `lushan monitor --replay`.

    python experiments/monitor/stream.py split DATA/financial_phrasebank FOLDER
    python experiments/monitor/stream.py stream FOLDER --seed 1

`split` sets sentences aside by the hash of their text: `train.csv` (60 %) is for training, and
`stream.csv` (40 %) is what streams are drawn from. `stream` writes `stream-SEED.jsonl` (id, time,
text, label) and `changes-SEED.jsonl`. The texts of an hour are Poisson; the share of negative ones
varies from hour to hour as a beta variable, and is a multiple of the usual share in each change.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
from pathlib import Path

import numpy as np

START, HOUR = 1_700_000_000 // 3600 * 3600, 3600
FILE = "sentences_50agree.csv"


def split(data: Path, folder: Path) -> None:
    """Write `train.csv` and `stream.csv`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (data / FILE).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    texts = {row["sentence"]: row["label"] for row in rows}  # some stand there twice
    parts: dict[str, list[tuple[str, str]]] = {"train": [], "stream": []}
    for text, label in texts.items():
        number = int(hashlib.sha256(text.encode()).hexdigest(), 16) % 10
        parts["train" if number < 6 else "stream"].append((label, text))
    for name, chosen in parts.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("label", "sentence"), *chosen])


def stream(folder: Path, options: argparse.Namespace) -> None:
    """Write a stream and its changes."""
    rng = np.random.default_rng(options.seed)
    with (folder / "stream.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    sides: dict[bool, list[dict[str, str]]] = {True: [], False: []}
    for row in rows:
        sides[row["label"] == "negative"].append(row)
    hours = options.days * 24
    # One change in each part of the time behind the baseline, at a random place in it.
    length = (hours - options.baseline) // max(1, options.changes)
    starts = [
        options.baseline + i * length + int(rng.integers(0, max(1, length - options.hours)))
        for i in range(options.changes)
    ]
    raised = {hour for start in starts for hour in range(start, start + options.hours)}
    weight = 1 / options.rho - 1
    number = 0
    with (folder / f"stream-{options.seed}.jsonl").open("w", encoding="utf-8") as file:
        for hour in range(hours):
            usual = options.share * (options.factor if hour in raised else 1)
            share = rng.beta(usual * weight, (1 - usual) * weight)
            places = np.sort(rng.random(rng.poisson(options.texts)))
            for place in places:
                side = sides[bool(rng.random() < share)]
                row = side[int(rng.integers(len(side)))]
                time = START + (hour + float(place)) * HOUR
                line = {"id": number, "time": time, "text": row["sentence"], "label": row["label"]}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                number += 1
    with (folder / f"changes-{options.seed}.jsonl").open("w", encoding="utf-8") as file:
        for start in starts:
            ends = {"start": START + start * HOUR, "end": START + (start + options.hours) * HOUR}
            file.write(json.dumps(ends) + "\n")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    splitting = commands.add_parser("split")
    splitting.add_argument("data", type=Path)
    splitting.add_argument("folder", type=Path)
    streaming = commands.add_parser("stream")
    streaming.add_argument("folder", type=Path)
    for name, kind, default in (
        ("seed", int, 1),
        ("days", int, 90),
        ("texts", float, 30.0),
        ("share", float, 0.12),
        ("rho", float, 0.02),
        ("changes", int, 6),
        ("hours", int, 24),
        ("factor", float, 2.0),
        ("baseline", int, 200),
    ):
        streaming.add_argument(f"--{name}", type=kind, default=default)
    options = parser.parse_args()
    if options.command == "split":
        split(options.data, options.folder)
    else:
        stream(options.folder, options)


if __name__ == "__main__":
    main()
