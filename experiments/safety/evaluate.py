"""A guard's stated false-positive rates against those of its test split.

    python experiments/safety/evaluate.py RUN

The thresholds are chosen as `--guard-rate` chooses them, by the stored predictions of the
validation split; the test split's are only counted.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy.stats import beta

from lushan.common.parsing import parse_json
from lushan.inference.guarding import calibrate
from lushan.metrics.calibration import with_temperature
from lushan.run import checksums

RATES = (0.01, 0.02, 0.05, 0.1)


def interval(hits: int, total: int) -> str:
    """Return a share with its exact 95 % interval (Clopper and Pearson 1934)."""
    low = float(beta.ppf(0.025, hits, total - hits + 1)) if hits else 0.0
    high = float(beta.ppf(0.975, hits + 1, total - hits)) if hits < total else 1.0
    return f"{hits / total:.1%} [{low:.1%}, {high:.1%}]"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--label")
    options = parser.parse_args()
    content = checksums.read(options.run, "predictions/test.jsonl")
    records = [parse_json(line) for line in content.splitlines()]
    lines = [
        "| stated | safe, validation | safe, test | unsafe, test |",
        "| --- | --- | --- | --- |",
    ]
    for rate in RATES:
        found = calibrate(options.run, label=options.label, rate=rate)
        rows = np.array([[r["probabilities"][one] for one in found.labels] for r in records])
        scores = with_temperature(rows, found.temperature, several=False)[
            :, found.labels.index(found.label)
        ]
        unsafe = np.array([r["gold"] == found.label for r in records])
        above = scores > found.threshold
        lines.append(
            f"| {rate:.0%} | {found.false:.2%} | "
            f"{interval(int(above[~unsafe].sum()), int((~unsafe).sum()))} | "
            f"{interval(int(above[unsafe].sum()), int(unsafe.sum()))} |"
        )
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
