"""Labels: how they are distributed, whether splits differ in them, texts that have two of them."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lushan.audit import texts
from lushan.audit.duplicates import Forms
from lushan.audit.texts import Place
from lushan.data import fields as fields_of
from lushan.data.field_roles import tagged, targets
from lushan.data.field_tables import classes
from lushan.data.fields import Field, Fields, Number
from lushan.text.tags import spans
from lushan.text.words import join_words

SMALL = 5
"""Expected counts below it make the chi-squared test inexact (Cochran's rule)."""


@dataclasses.dataclass(frozen=True)
class Drift:
    """Difference of a split's labels from those of train.

    Attributes:
        split: Compared with train.
        total_variation: Half the sum of the differences of shares: 0 is alike, 1 is disjoint. Of
            numbers the largest difference of their distribution functions, which is likewise.
        statistic: Chi-squared over the labels' counts; of numbers Kolmogorov and Smirnov's.
        p: Of the test that both splits are draws of one distribution; None where it would be
            wrong: a row with several labels is not several draws.
        cramers_v: Size of the effect, 0 to 1; None where there is no test of counts.
        small: Cells of the table whose expected count is below `SMALL`.
        unlearned: Labels that train has not.
    """

    split: str
    total_variation: float
    statistic: float | None
    p: float | None
    cramers_v: float | None
    small: int
    unlearned: list[str]


@dataclasses.dataclass(frozen=True)
class Contradiction:
    """Rows of one text that are not labelled alike: label to the first row that has it."""

    text: str
    labels: dict[str, Place]
    rows: int


@dataclasses.dataclass(frozen=True)
class Labels:
    """Findings about labels.

    Attributes:
        kind: What a label is.
        counts: Split to label to count, most frequent in train first; empty for numbers.
        numbers: Split to mean, sd, min, max; empty for classes.
        drift: Each other split against train.
    """

    kind: str
    counts: dict[str, dict[str, int]]
    numbers: dict[str, dict[str, float]]
    drift: list[Drift]


def labels_of(splits: Mapping[str, pa.Table], fields: Fields) -> Labels | None:
    """Return the distribution of labels by split; None where rows have none."""
    found = target_of(fields)
    if found is None or not splits:
        return None
    name, field = found
    if isinstance(field, Number):
        numbers = {s: t.column(name).to_numpy() for s, t in splits.items()}
        described = {split: _described(values) for split, values in numbers.items()}
        drift = [_moved(s, numbers["train"], v) for s, v in numbers.items() if _other(s, numbers)]
        return Labels(field.what, {}, described, drift)
    counted = {split: counts_of(table, fields) for split, table in splits.items()}
    several = isinstance(field, fields_of.Labels)
    leading = counted.get("train", Counter())
    every = sorted(set().union(*counted.values()), key=lambda name: (-leading[name], name))
    counts = {s: {name: c[name] for name in every} for s, c in counted.items()}
    drift = [
        drift_of(split, counts["train"], counts[split], tested=not several)
        for split in counts
        if _other(split, counts)
    ]
    kind = f"several {field.class_name}es" if several else field.class_name
    return Labels(kind, counts, {}, drift)


def _other(split: str, found: Mapping[str, Any]) -> bool:
    return split != "train" and "train" in found


def target_of(fields: Fields) -> tuple[str, Field] | None:
    """Return the target that is a label, of whatever kind; None where there is none."""
    wanted = ((n, f) for n, f in targets(fields).items() if f.has_classes or isinstance(f, Number))
    return next(wanted, None)


def counts_of(table: pa.Table, fields: Fields) -> Counter[str]:
    """Return how often each label stands in a table; of tags, each entity once."""
    if (found := tagged(fields)) is not None:
        rows = table.column(found[0]).to_pylist()
        return Counter(span.label for tags in rows for span in spans(tags, "iob2"))
    return Counter(label for row in classes(table, fields) or () for label in row)


def drift_of(
    split: str, train: Mapping[str, int], other: Mapping[str, int], *, tested: bool = True
) -> Drift:
    """Compare counts of labels, those of either split."""
    names = sorted(set(train) | set(other))
    table = np.asarray([[c.get(n, 0) for n in names] for c in (train, other)], np.float64)
    table = table[:, table.sum(axis=0) > 0]
    unlearned = [name for name in names if other.get(name) and not train.get(name)]
    if not table.sum(axis=1).all():
        return Drift(split, math.nan, None, None, None, 0, unlearned)
    shares = table / table.sum(axis=1, keepdims=True)
    variation = float(np.abs(shares[0] - shares[1]).sum() / 2)
    if not tested or table.shape[1] < 2:
        return Drift(split, variation, None, None, None, 0, unlearned)
    from scipy.special import chdtrc  # `scipy.stats` takes a second to import

    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    p = float(chdtrc(table.shape[1] - 1, statistic))
    effect = math.sqrt(statistic / table.sum())  # two rows: the smaller side less one is 1
    small = int((expected < SMALL).sum())
    return Drift(split, variation, statistic, p, effect, small, unlearned)


def _described(values: NDArray[np.float64]) -> dict[str, float]:
    spread = values.std(ddof=1) if len(values) > 1 else math.nan
    named = {"mean": values.mean(), "sd": spread, "min": values.min(), "max": values.max()}
    return {name: float(value) for name, value in named.items()}


def _moved(split: str, train: NDArray[np.float64], other: NDArray[np.float64]) -> Drift:
    from scipy.stats import ks_2samp

    found = ks_2samp(train, other)
    value = float(found.statistic)
    return Drift(split, value, value, float(found.pvalue), None, 0, [])


# One text, two labels


def contradictions_of(splits: Mapping[str, pa.Table], forms: Forms) -> list[Contradiction]:
    """The texts whose rows do not all have the same label, those with most rows first.

    Of tags, all tags of the sentence are its label; of pairs the target is no label: several are
    as good.
    """
    target = target_of(forms.fields)
    if target is None:
        return []
    found: dict[int, dict[str, tuple[str, int]]] = defaultdict(dict)
    times: Counter[int] = Counter()
    repeated = forms.counts.sum(axis=1) > 1
    for split, table in splits.items():
        column = table.column(target[0])
        rows = forms.of_rows[split]
        filled = np.flatnonzero(rows >= 0)
        wanted = filled[repeated[rows[filled]]]
        for row in wanted.tolist():
            found[int(rows[row])].setdefault(
                _written(table, forms.fields, column[row].as_py(), row), (split, row)
            )
            times[int(rows[row])] += 1
    contradicting = [(form, labels) for form, labels in found.items() if len(labels) > 1]
    contradicting.sort(key=lambda item: (-times[item[0]], item[0]))
    return [
        _contradiction(labels, times[form], splits, forms.fields) for form, labels in contradicting
    ]


def _written(table: pa.Table, fields: Fields, label: Any, row: int) -> str:
    """Return a row's label as text; of tags, the entities with what they are made of."""
    if (found := tagged(fields)) is None:
        return ", ".join(sorted(label)) if isinstance(label, list) else str(label)
    words = table.column(found[1].words)[row].as_py()
    entities = spans(label, "iob2")
    named = [f"{join_words(words[s.start : s.end])[0]} {s.label}@{s.start}" for s in entities]
    return "; ".join(named) or "no entity"


def _contradiction(
    labels: Mapping[str, tuple[str, int]], rows: int, splits: Mapping[str, pa.Table], fields: Fields
) -> Contradiction:
    places = {
        label: texts.place(split, row, splits[split], fields)
        for label, (split, row) in labels.items()
    }
    return Contradiction(next(iter(places.values())).text, places, rows)
