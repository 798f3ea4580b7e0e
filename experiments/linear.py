"""A linear SVM on TF-IDF beside classifiers: accuracy and macro F1, and paired tests against runs.

    python experiments/linear.py [--characters] TRAIN TEST TEXT LABEL [RUN ...]

It learns from the whole training file, a part of which the runs set aside to choose their epoch.
Terms are words (1 to 2) and characters within words (2 to 5), or 1 to 3 characters; all else is
scikit-learn's default. A run is compared by its stored predictions of the test split; p is
McNemar's, exact, of that run and not of other seeds.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.svm import LinearSVC

from lushan.common.terminal import echo
from lushan.run import checksums

Labels = NDArray[np.str_]


def read(file: Path, *columns: str) -> list[Labels]:
    """Return columns of a file of CSV or JSON, packed or not."""
    content = file.read_bytes()
    text = (gzip.decompress(content) if file.suffix == ".gz" else content).decode("utf-8-sig")
    rows: Sequence[dict[str, Any]]
    if ".jsonl" in file.suffixes:
        rows = [json.loads(line) for line in text.splitlines()]
    else:
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
    return [np.array([row[column] for row in rows]) for column in columns]


def model(characters: bool) -> Any:
    """Return the linear model, untrained."""
    if characters:
        terms = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True)
    else:
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        parts = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
        terms = FeatureUnion([("words", words), ("characters", parts)])
    return make_pipeline(terms, LinearSVC(random_state=0))


def predicted(run: Path, gold: Labels) -> Labels:
    """Return a run's labels of the test split."""
    content = checksums.read(run, "predictions/test.jsonl")
    records = [json.loads(line) for line in content.splitlines()]
    assert [record["gold"] for record in records] == list(gold), f"{run}: other test texts"
    return np.array([record["predicted"] for record in records])


def show(name: str, labels: Labels, gold: Labels) -> None:
    """Print how good some labels are."""
    macro = f1_score(gold, labels, average="macro", zero_division=0)
    echo(f"{name}: accuracy {(labels == gold).mean():.2%}, macro F1 {macro:.2%}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("text")
    parser.add_argument("label")
    parser.add_argument("runs", type=Path, nargs="*")
    parser.add_argument("--characters", action="store_true")
    options = parser.parse_args()
    texts, labels = read(options.train, options.text, options.label)
    asked, gold = read(options.test, options.text, options.label)
    most = Counter(labels.tolist()).most_common(1)[0][0]
    show(f"always {most}", np.full(len(gold), most), gold)
    own = model(options.characters).fit(texts, labels).predict(asked)
    show("SVM", own, gold)
    for run in options.runs:
        theirs = predicted(run, gold)
        show(run.name, theirs, gold)
        ahead, behind = ((a == gold) & (b != gold) for a, b in ((theirs, own), (own, theirs)))
        several = int(ahead.sum() + behind.sum())
        p = binomtest(int(ahead.sum()), several).pvalue if several else 1.0
        counts = f"it alone is right for {ahead.sum()}, the SVM alone for {behind.sum()}"
        echo(f"  {counts}: p = {p:.2g}")


if __name__ == "__main__":
    main()
