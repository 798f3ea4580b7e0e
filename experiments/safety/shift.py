"""Why a guard's rate does not hold on COLD's test split, by a linear model over characters.

    python experiments/safety/shift.py DATA/cold

The threshold is chosen on the development split, as `--guard-rate` chooses it.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import roc_auc_score

from lushan.common.terminal import echo
from lushan.guard import calibration

RATE = 0.05
KINDS = {"0": "safe", "1": "offends a person", "2": "offends a group", "3": "against prejudice"}


def read(file: Path) -> list[dict[str, str]]:
    """Return the rows of a split."""
    content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))


def main(folder: Path) -> None:
    """Train on the training split, and print shares of texts above the threshold."""
    train, dev, test = (read(folder / n) for n in ("train.csv.gz", "dev.csv", "test.csv"))
    terms = HashingVectorizer(analyzer="char", ngram_range=(1, 3), n_features=2**18)
    model = SGDClassifier(loss="log_loss", alpha=1e-5, max_iter=12, tol=None, random_state=0)
    model.fit(terms.transform([row["TEXT"] for row in train]), [row["label"] for row in train])
    scores = [model.decision_function(terms.transform([r["TEXT"] for r in s])) for s in (dev, test)]
    unsafe = [np.array([row["label"] == "1" for row in split]) for split in (dev, test)]
    for name, own, gold in zip(("development", "test"), scores, unsafe, strict=True):
        accuracy, area = ((own > 0) == gold).mean(), roc_auc_score(gold, own)
        echo(f"{name}: accuracy {accuracy:.1%}, area under ROC {area:.3f}")
    half = np.random.default_rng(0).random(len(dev)) < 0.5
    bound = calibration.threshold(scores[0][~unsafe[0] & half], RATE)
    others = scores[0][~unsafe[0] & ~half]
    echo(f"one half of development by the other: {(others > bound).mean():.1%}")
    bound = calibration.threshold(scores[0][~unsafe[0]], RATE)
    echo(f"all safe ones of test: {(scores[1][~unsafe[1]] > bound).mean():.1%}")
    for label, name in KINDS.items():
        own = np.array([row["fine-grained-label"] == label for row in test])
        echo(f"  {name}: {(scores[1][own] > bound).mean():.1%} of {own.sum():,}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
