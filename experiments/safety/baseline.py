"""A trained guard beside a linear SVM on COLD's characters, and its refusals by kind of text.

`python experiments/safety/baseline.py DATA/cold RUN`
"""

from __future__ import annotations

import sys
from pathlib import Path

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


def main(folder: Path, run: Path) -> None:
    """Print accuracy, macro F1, a paired test (McNemar, exact) and shares above the threshold."""
    train, test = (read(folder / name) for name in ("train.csv.gz", "test.csv"))
    content = checksums.read(run, "predictions/test.jsonl")
    records = [parse_json(line) for line in content.splitlines()]
    assert [r["gold"] for r in records] == [r["label"] for r in test], "other test texts"
    terms = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True)
    known = terms.fit_transform([row["TEXT"] for row in train])
    model = LinearSVC(random_state=0).fit(known, [row["label"] for row in train])
    gold = np.array([row["label"] for row in test])
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
    echo(f"the SVM alone is right for {ahead}, the run alone for {behind}: p = {p:.3f}")
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
    main(Path(sys.argv[1]), Path(sys.argv[2]))
