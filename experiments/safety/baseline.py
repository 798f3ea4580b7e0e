"""A run on COLD beside a linear SVM on its characters; of a guard, its refusals by kind of text.

`python experiments/safety/baseline.py DATA/cold RUN [topic]`
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest
from shift import KINDS, RATE, read
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score
from sklearn.svm import LinearSVC

from lushan.common.parsing import parse_json
from lushan.common.terminal import echo
from lushan.inference.guarding import calibrate
from lushan.metrics.calibration import with_temperature
from lushan.run import checksums


def main(folder: Path, run: Path, column: str = "label") -> None:
    """Print what both reach, and of a guard the shares above its threshold.

    Args:
        folder: COLD's.
        run: Trained on it.
        column: What it has learned: `label`, or `topic`.
    """
    train, test = (read(folder / name) for name in ("train.csv.gz", "test.csv"))
    content = checksums.read(run, "predictions/test.jsonl")
    records = [parse_json(line) for line in content.splitlines()]
    assert [r["gold"] for r in records] == [r[column] for r in test], "other test texts"
    compared(train, test, records, column)
    if column == "label":
        refused(run, test, records)


def compared(
    train: list[dict[str, str]], test: list[dict[str, str]], records: list[Any], column: str
) -> None:
    """Print accuracy, macro F1, and a paired test (McNemar, exact)."""
    terms = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True)
    known = terms.fit_transform([row["TEXT"] for row in train])
    model = LinearSVC(random_state=0).fit(known, [row[column] for row in train])
    gold = np.array([row[column] for row in test])
    found = {
        "SVM": model.predict(terms.transform([row["TEXT"] for row in test])),
        "run": np.array([record["predicted"] for record in records]),
    }
    for name, labels in found.items():
        macro = f1_score(gold, labels, average="macro")
        echo(f"{name}: accuracy {(labels == gold).mean():.1%}, macro F1 {macro:.1%}")
    svm, own = ((labels == gold) for labels in found.values())
    ahead, behind = int((svm & ~own).sum()), int((own & ~svm).sum())
    p = binomtest(ahead, ahead + behind).pvalue
    echo(f"the SVM alone is right for {ahead}, the run alone for {behind}: p = {p:.2g}")


def refused(run: Path, test: list[dict[str, str]], records: list[Any]) -> None:
    """Print which share of each kind of text a guard refuses."""
    guard = calibrate(run, label=None, rate=RATE)
    rows = np.array([[r["probabilities"][one] for one in guard.labels] for r in records])
    scores = with_temperature(rows, guard.temperature, several=False)[
        :, guard.labels.index(guard.label)
    ]
    for label, name in KINDS.items():
        kind = np.array([row["fine-grained-label"] == label for row in test])
        above = (scores[kind] > guard.threshold).mean()
        echo(f"  {name}: {above:.1%} of {kind.sum():,} above the threshold")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
