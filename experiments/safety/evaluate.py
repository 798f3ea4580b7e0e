"""A guard's stated false-positive rates against those of its test split, over seeds.

    python experiments/safety/evaluate.py RUN ... [--data DATA/cold]

The thresholds are chosen as `--guard-rate` chooses them, by the stored predictions of the
validation split; the test split's are only counted. Of one run, intervals are exact; of several,
mean and standard deviation over them. With COLD's folder, its kinds of texts are counted, too.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta
from shift import KINDS, RATE, read

from lushan.common.parsing import parse_json
from lushan.common.terminal import echo
from lushan.inference.guarding import calibrate
from lushan.metrics.calibration import with_temperature
from lushan.run import checksums

RATES = (0.01, 0.02, 0.05, 0.1)
Mask = NDArray[np.bool_]


def refused(run: Path, rate: float) -> tuple[float, Mask, Mask]:
    """Return how many safe validation texts are refused, which test texts are, which are unsafe."""
    content = checksums.read(run, "predictions/test.jsonl")
    records = [parse_json(line) for line in content.splitlines()]
    guard = calibrate(run, label=None, rate=rate)
    rows = np.array([[r["probabilities"][one] for one in guard.labels] for r in records])
    scores = with_temperature(rows, guard.temperature, several=False)
    above = scores[:, guard.labels.index(guard.label)] > guard.threshold
    return guard.false, above, np.array([r["gold"] == guard.label for r in records])


def text(counts: Sequence[tuple[int, int]]) -> str:
    """Return a share: of one run with its exact 95 % interval (Clopper and Pearson 1934)."""
    shares = [hits / total for hits, total in counts]
    if len(shares) > 1:
        return f"{statistics.fmean(shares):.1%} ± {100 * statistics.stdev(shares):.1f}"
    ((hits, total),) = counts
    low = float(beta.ppf(0.025, hits, total - hits + 1)) if hits else 0.0
    high = float(beta.ppf(0.975, hits + 1, total - hits)) if hits < total else 1.0
    return f"{shares[0]:.1%} [{low:.1%}, {high:.1%}]"


def count(above: Mask, rows: Mask) -> tuple[int, int]:
    """Return how many of some texts are above the threshold, and how many there are."""
    return int(above[rows].sum()), int(rows.sum())


def rates(runs: Sequence[Path]) -> Iterator[str]:
    """Yield the table of the stated rates."""
    yield "| stated | safe, validation | safe, test | unsafe, test |"
    yield "| --- | --- | --- | --- |"
    for rate in RATES:
        found = [refused(run, rate) for run in runs]
        validation = statistics.fmean(false for false, _, _ in found)
        safe = text([count(above, ~unsafe) for _, above, unsafe in found])
        unsafe = text([count(above, unsafe) for _, above, unsafe in found])
        yield f"| {rate:.0%} | {validation:.2%} | {safe} | {unsafe} |"


def kinds(runs: Sequence[Path], folder: Path) -> Iterator[str]:
    """Yield a line for each kind of COLD's test texts, at the rate of `shift.py`."""
    found = [refused(run, RATE)[1] for run in runs]
    rows = read(folder / "test.csv")
    for label, name in KINDS.items():
        own = np.array([row["fine-grained-label"] == label for row in rows])
        shares = text([count(above, own) for above in found])
        yield f"{name}: {shares} of {own.sum():,} above the threshold of {RATE:.0%}"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, help="COLD's folder")
    options = parser.parse_args()
    for line in rates(options.runs):
        echo(line)
    for line in kinds(options.runs, options.data) if options.data else ():
        echo(line)


if __name__ == "__main__":
    main()
