"""The counts of each example from which a run's number follows, from what the run has stored.

The kind of a task is read off its records, so that a task of somebody's own is treated like the
built-in one whose records it writes, or by a number that each of its records has under the metric's
name. Whether the counts come to the number that the run has reported is checked, not assumed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lushan.metrics import classification, entities, generation, prf
from lushan.metrics.overlap import Bleu, Chrf
from lushan.studies.records import Records, Undecided
from lushan.text import tags

Array = NDArray[np.float64]
LANGUAGE = ("loss", "perplexity", "token_accuracy", "bits_per_byte")
RIGHT = ("accuracy", "exact_match")
"""In the names of metrics that are shares of what is right."""
MOST_COUNTS = 60_000_000
"""Numbers of examples times classes that are held at once: half a GB, and copies of it."""
_ENTITY = ("entity_precision", "entity_recall", "entity_f1")


@dataclasses.dataclass(frozen=True)
class Counted:
    """A metric of some runs, as sums over examples.

    Attributes:
        counts: (K, N, D), of each run and example.
        score: From summed counts (..., D) to the metric (...,); nan where undefined.
        right: (K, N), where the metric is the share of examples that are right.
        single: `score` for single examples, where these are scored in another way.
    """

    counts: Array
    score: Callable[[Array], Array]
    right: NDArray[np.bool_] | None = None
    single: Callable[[Array], Array] | None = None

    def scores(self) -> Array:
        """The metric of each run, (K,)."""
        return self.score(self.counts.sum(1))

    def of_examples(self) -> Array:
        """The metric of each example by itself, (K, N)."""
        return (self.single or self.score)(self.counts)


def counted(
    metric: str, runs: Sequence[Records], task: Mapping[str, Any], lossy: str | None = None
) -> Counted:
    """The counts of a metric.

    Args:
        metric: Without the split's name.
        runs: Records of each run, side by side.
        task: Its config, for the language of generated texts.
        lossy: What the tokenizer of one of the runs loses of the texts, if it does.

    Raises:
        Undecided: The metric does not follow from sums over what is stored.
    """
    first = runs[0][0]
    found = None
    if is_tagging(first):
        found = _tags(metric, runs)
    elif metric in LANGUAGE and "hits" in first:
        found = _language(metric, runs, lossy)
    elif metric in generation.NAMES and any(isinstance(r.get("predicted"), str) for r in runs[0]):
        found = _generated(metric, runs, task)
    elif "predicted" in first and "gold" in first:
        found = _labels(metric, runs)
    return found or _stored(metric, runs)


def is_tagging(record: Mapping[str, Any]) -> bool:
    """Whether a record is of words with tags (`tokens` of a language model is their number)."""
    return isinstance(record.get("tokens"), list)


def _stored(metric: str, runs: Sequence[Records]) -> Counted:
    """The mean of a number that each record has under the metric's name."""
    values = [[row.get(metric) for row in rows] for rows in runs]
    if not all(isinstance(v, int | float) for rows in values for v in rows):
        raise Undecided(f"{metric} does not follow from what is stored of each example")
    return _mean(values, metric)


def _mean(values: Any, metric: str) -> Counted:
    values = np.asarray(values, float)  # (K, N)
    binary = any(name in metric for name in RIGHT) and bool(np.isin(values, (0, 1)).all())
    return Counted(_columns(values, np.ones_like(values)), _ratio, values > 0 if binary else None)


def _columns(*columns: Any) -> Array:
    return np.stack([np.asarray(column, float) for column in columns], axis=-1)


def _ratio(counts: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return counts[..., 0] / counts[..., 1]


# Tags of words


def _tags(metric: str, runs: Sequence[Records]) -> Counted | None:
    pairs = [([row["gold"] for row in rows], [row["predicted"] for row in rows]) for rows in runs]
    if metric in _ENTITY:
        place = _ENTITY.index(metric)
        counts = np.array([entities.entity_counts(*pair) for pair in pairs], float)
        return Counted(counts, lambda c: prf.prf(*np.moveaxis(c, -1, 0))[place])
    if metric in ("token_accuracy", "token_accuracy_without_o"):
        outside = metric == "token_accuracy"
        hits = [[_hits(*texts, outside) for texts in zip(*pair, strict=True)] for pair in pairs]
        return Counted(np.array(hits, float), _ratio)
    name, _, average = metric.rpartition("_")
    if name not in _ENTITY or average not in ("macro", "weighted"):
        return None
    sides = [side for pair in pairs for side in pair]
    labels = sorted({span.label for side in sides for text in side for span in _spans(text)})
    by_type = [entities.entity_counts_by_type(*pair, labels) for pair in pairs]
    return _of_classes(by_type, lambda *c: prf.averages(*c)[metric.removeprefix("entity_")])


def _spans(text: Sequence[str]) -> list[tags.Span]:
    return tags.spans(text, "iob2", strict=False)


def _hits(gold: Sequence[str], predicted: Sequence[str], outside: bool) -> tuple[int, int]:
    counting = [(g, p) for g, p in zip(gold, predicted, strict=True) if outside or g != "O"]
    return sum(g == p for g, p in counting), len(counting)


def _of_classes(by_class: Any, metric: Callable[..., Array]) -> Counted:
    """From (N, 3, C) of each run: right, predicted and gold of each class."""
    counts = np.array(by_class, float)  # (K, N, 3, C)
    width = counts.shape[-1]

    def score(summed: Array) -> Array:
        correct, predicted, gold = (summed[..., i * width : (i + 1) * width] for i in range(3))
        return metric(correct, predicted, gold)

    return Counted(counts.reshape(*counts.shape[:2], 3 * width), score)


# Labels of texts


def _labels(metric: str, runs: Sequence[Records]) -> Counted | None:
    pairs = [([row["gold"] for row in rows], [row["predicted"] for row in rows]) for rows in runs]
    gold = pairs[0][0][0]
    if isinstance(gold, int | float):
        return _numbers(metric, np.array(pairs, float))
    if not isinstance(gold, str | list):
        return None
    if metric == ("accuracy" if isinstance(gold, str) else "exact_match"):
        right = [[set_of(g) == set_of(p) for g, p in zip(*pair, strict=True)] for pair in pairs]
        return _mean(right, metric)
    if metric == "accuracy":
        shares = [_decisions(*pair, rows) for pair, rows in zip(pairs, runs, strict=True)]
        return _mean(shares, metric)
    of = classification.of_labels if isinstance(gold, str) else prf.averages
    if metric not in of(*np.zeros((3, 1))):
        return None
    classes = {x for pair in pairs for side in pair for row in side for x in set_of(row)}
    if 3 * len(classes) * len(pairs) * len(pairs[0][0]) > MOST_COUNTS:
        return _of_many_classes(metric, pairs, len(classes))
    return _of_classes(_by_class(pairs), lambda *counts: of(*counts)[metric])


def _of_many_classes(
    metric: str, pairs: Sequence[tuple[list[Any], list[Any]]], classes: int
) -> Counted:
    """What can be counted without a column for each class: the micro averages."""
    name, _, average = metric.rpartition("_")
    if average != "micro":
        raise Undecided(
            f"{metric} needs counts of each of {classes:,} classes in each of {len(pairs[0][0]):,} "
            "examples, which are too many to resample; accuracy and the micro averages can be"
        )
    counts = [
        [
            (len(g & p), len(p), len(g))
            for g, p in zip(map(set_of, gold), map(set_of, predicted), strict=True)
        ]
        for gold, predicted in pairs
    ]
    place = ("precision", "recall", "f1").index(name)
    return Counted(np.array(counts, float), lambda c: prf.prf(*np.moveaxis(c, -1, 0))[place])


def _by_class(pairs: Sequence[tuple[list[Any], list[Any]]]) -> Array:
    """(K, N, 3, C): right, predicted and gold labels of each text, by class."""
    names = sorted({x for pair in pairs for side in pair for row in side for x in set_of(row)})
    place = {name: i for i, name in enumerate(names)}
    counts = np.zeros((len(pairs), len(pairs[0][0]), 3, len(names)))
    for run, pair in zip(counts, pairs, strict=True):
        for row, gold, predicted in zip(run, *pair, strict=True):
            row[2, [place[x] for x in set_of(gold)]] = 1
            row[1, [place[x] for x in set_of(predicted)]] = 1
            row[0] = row[1] * row[2]
    return counts


def set_of(label: str | Sequence[str]) -> set[str]:
    """The labels of a text that has one or several."""
    return {label} if isinstance(label, str) else set(label)


def _decisions(gold: Sequence[Any], predicted: Sequence[Any], rows: Records) -> list[float]:
    """Of each text the share of right yes-or-no decisions, over the labels that the run knows."""
    known = {name for row in rows for name in row.get("probabilities", ())}
    known |= {x for side in (gold, predicted) for row in side for x in row}
    # Of very many labels the probabilities of few are stored, and how many there are.
    total = max([len(known), *(row.get("of_classes", 0) for row in rows)])
    return [1 - len(set(g) ^ set(p)) / total for g, p in zip(gold, predicted, strict=True)]


def _numbers(metric: str, values: Array) -> Counted | None:
    """Of regression, from (K, 2, N)."""
    gold, predicted = values[:, 0], values[:, 1]
    if metric in ("mse", "mae"):
        error = np.abs(predicted - gold)
        return _mean(error if metric == "mae" else error**2, metric)
    if metric != "pearson":
        return None
    # Sums of squares lose their digits where the numbers are far from 0.
    x, y = gold - gold.mean(), predicted - predicted.mean()
    return Counted(_columns(np.ones_like(x), x, y, x * x, y * y, x * y), _pearson)


def _pearson(counts: Array) -> Array:
    n, x, y, xx, yy, xy = np.moveaxis(counts, -1, 0)
    of_x, of_y = n * xx - x * x, n * yy - y * y
    # Numbers that are all the same leave what the sums were rounded by: each side is asked alone,
    # since beside a side that varies the product would hide it.
    varies = (of_x > 1e-10 * n * xx) & (of_y > 1e-10 * n * yy)
    result = np.full(np.shape(n), math.nan)
    np.divide(n * xy - x * y, np.sqrt(np.maximum(of_x * of_y, 0)), out=result, where=varies)
    return np.clip(result, -1, 1)


# Language models


def _language(metric: str, runs: Sequence[Records], lossy: str | None) -> Counted:
    losses, hits, tokens = (
        [[r[k] for r in rows] for rows in runs] for k in ("loss", "hits", "tokens")
    )
    differ = any(one != tokens[0] for one in tokens[1:])
    if metric == "bits_per_byte":
        if differ and lossy is not None:
            raise Undecided(f"bits_per_byte does not compare here: {lossy}")
        sizes = [[row.get("bytes") for row in rows] for rows in runs]
        if any(size is None for rows in sizes for size in rows):
            raise Undecided("the bytes of each example are not stored: run it again, or see loss")
        return Counted(_columns(np.array(losses) / math.log(2), sizes), _ratio)
    if differ:
        other = f"nor does bits_per_byte compare: {lossy}" if lossy else "compare bits_per_byte"
        raise Undecided(
            f"the runs split the texts into different tokens, so that {metric} means another thing "
            f"in each: {other}"
        )
    if metric == "token_accuracy":
        return Counted(_columns(hits, tokens), _ratio)
    if metric == "loss":
        return Counted(_columns(losses, tokens), _ratio)
    return Counted(_columns(losses, tokens), _perplexity)


def _perplexity(counts: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.exp(_ratio(counts))


# Generated texts


def _generated(metric: str, runs: Sequence[Records], task: Mapping[str, Any]) -> Counted | None:
    """Of the examples for which a text was generated: all of them, or a sample."""
    which = [[i for i, row in enumerate(rows) if "predicted" in row] for rows in runs]
    if any(one != which[0] for one in which[1:]):
        raise Undecided("the runs generated texts for different examples")
    rows = [[run[i] for i in which[0]] for run in runs]
    references = [_references(row["gold"]) for row in rows[0]]
    said = [[row["predicted"] for row in run] for run in rows]
    language = task.get("language", "auto")
    if metric in ("bleu", "chrf"):
        known = generation.language_of(references, language)
        of = Chrf() if metric == "chrf" else Bleu(generation.bleu_tokenizer(known))
        counts = np.array([of.counts(texts, references)[0] for texts in said], float)
        short = dataclasses.replace(of, effective_order=True) if isinstance(of, Bleu) else of
        return Counted(counts, of.score, single=short.score)
    if metric not in generation.SHARES:
        raise Undecided(f"{metric} is of all texts together, and no sum over them")
    if all(metric in row for run in rows for row in run):
        return _stored(metric, rows)
    options = {"language": language, "stem": bool(task.get("stem", False))}
    reports = [generation.score(texts, references, **options) for texts in said]
    return _mean([report.examples[metric] for report in reports], metric)


def _references(gold: str | list[str]) -> list[str]:
    return [gold] if isinstance(gold, str) else gold
