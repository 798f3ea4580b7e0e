"""Numbers of sequence tagging, on two levels that must not be mistaken for one another.

Entity level (`score_entities`): an entity is right when its first word, last word and type are.
This is the F1 of the CoNLL shared tasks and of the literature. Token level (`score_tokens`): each
tag by itself, `O` among them, which makes every number look high; many articles print this table.

Where all tags are as their scheme wants them, conlleval and seqeval's strict mode agree, and so
does this. They differ on tags that the scheme forbids, as models without constrained decoding write
them: conlleval takes `O I-PER` for an entity, seqeval's strict mode drops it. Here conlleval's
reading is the default, because its numbers are the published ones; `strict=True` gives seqeval's.
One thing is left of seqeval in the latter: in IOB1 it takes an I after a B that it dropped for the
start of an entity; here the whole entity is dropped.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from lushan.metrics.confusion import Confusion
from lushan.metrics.prf import Report, Scores, report
from lushan.text.tags import Span, spans

Sentences = Sequence[Sequence[str]]


@dataclasses.dataclass(frozen=True)
class TokenReport:
    """The token-level table.

    Attributes:
        by_tag: Tag to its row, `O` first.
        macro: Mean over the tags that occur, `O` among them.
        weighted: The same, by support.
        accuracy: Share of the words with the right tag; nan without words.
        accuracy_without_o: The same among words whose gold tag is not `O`; nan without such words.
        confusion: Gold against predicted tags.
    """

    by_tag: dict[str, Scores]
    macro: Scores
    weighted: Scores
    accuracy: float
    accuracy_without_o: float
    confusion: Confusion

    def as_dict(self) -> dict[str, dict[str, float | int]]:
        """Tag to precision, recall, f1, support; then `macro avg` and `weighted avg`."""
        rows = {tag: row.as_dict() for tag, row in self.by_tag.items()}
        return rows | {
            "macro avg": self.macro.as_dict(),
            "weighted avg": self.weighted.as_dict(),
        }


def score_entities(
    gold: Sentences,
    predicted: Sentences,
    *,
    labels: Iterable[str] = (),
    scheme: str = "iob2",
    predicted_scheme: str | None = None,
    strict: bool = False,
) -> Report:
    """Precision, recall and F1 of entities: per type, micro, macro, weighted.

    Args:
        gold: Tags of each sentence.
        predicted: Likewise; as many.
        labels: Types to show first and in this order, also those without entities (F1 0,
            support 0, not in the macro average). Types found beyond these follow, sorted.
        scheme: Of the tags.
        predicted_scheme: Of the predicted ones, where it is another.
        strict: Leave out entities that the scheme forbids, as seqeval's strict mode does.
    """
    counts: dict[str, list[int]] = {label: [0, 0, 0] for label in dict.fromkeys(labels)}
    known = len(counts)
    for right, found, there in _compare(gold, predicted, scheme, predicted_scheme, strict):
        for column, group in enumerate((right, found, there)):
            for span in group:
                counts.setdefault(span.label, [0, 0, 0])[column] += 1
    names = list(counts)
    names[known:] = sorted(names[known:])
    table = np.array([counts[name] for name in names], dtype=np.int64).reshape(-1, 3)
    return report(names, table[:, 0], table[:, 1], table[:, 2])


def entity_counts(
    gold: Sentences,
    predicted: Sentences,
    *,
    scheme: str = "iob2",
    predicted_scheme: str | None = None,
) -> NDArray[np.int64]:
    """(N, 3): of each sentence the number of correct, predicted and gold entities."""
    compared = _compare(gold, predicted, scheme, predicted_scheme, False)
    rows = [(len(right), len(found), len(there)) for right, found, there in compared]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def entity_counts_by_type(
    gold: Sentences, predicted: Sentences, labels: Sequence[str]
) -> NDArray[np.int64]:
    """(N, 3, C): the counts of `entity_counts` by type, of tags in IOB2.

    Args:
        gold: Tags of each sentence.
        predicted: Likewise.
        labels: The C types; all that occur must be among them.
    """
    place = {label: i for i, label in enumerate(labels)}
    counts = np.zeros((len(gold), 3, len(labels)), dtype=np.int64)
    for row, groups in zip(counts, _compare(gold, predicted, "iob2", None, False), strict=True):
        for column, group in zip(row, groups, strict=True):
            for span in group:
                column[place[span.label]] += 1
    return counts


def types_in(*sides: Sentences) -> set[str]:
    """Return the types of the entities that occur in tags in IOB2."""
    return {span.label for side in sides for tags in side for span in spans(tags, "iob2")}


def _compare(
    gold: Sentences, predicted: Sentences, scheme: str, other: str | None, strict: bool
) -> Iterable[tuple[set[Span], list[Span], list[Span]]]:
    """Yield for each sentence the entities that are right, predicted, in gold."""
    for g, p in zip(gold, predicted, strict=True):
        if len(g) != len(p):
            raise ValueError(f"{len(g)} gold tags and {len(p)} predicted ones in one sentence")
        there = spans(g, scheme, strict=strict)
        found = spans(p, other or scheme, strict=strict)
        yield set(there).intersection(found), found, there


def score_tokens(gold: Sentences, predicted: Sentences) -> TokenReport:
    """Compare tag by tag."""
    pairs: Counter[tuple[str, str]] = Counter()
    for g, p in zip(gold, predicted, strict=True):
        pairs.update(zip(g, p, strict=True))
    tags = sorted({tag for pair in pairs for tag in pair}, key=_order)
    index = {tag: i for i, tag in enumerate(tags)}
    cells = np.array([(index[g], index[p], n) for (g, p), n in pairs.items()], dtype=np.int64)
    confusion = Confusion(tags, *cells.reshape(-1, 3).T)
    correct, there = confusion.correct, confusion.of_gold
    rows = report(tags, correct, confusion.of_predicted, there)
    inside = np.array([tag != "O" for tag in tags], dtype=bool)
    return TokenReport(
        by_tag=rows.by_class,
        macro=rows.macro,
        weighted=rows.weighted,
        accuracy=_share(correct.sum(), there.sum()),
        accuracy_without_o=_share(correct[inside].sum(), there[inside].sum()),
        confusion=confusion,
    )


def _order(tag: str) -> tuple[bool, str, str]:
    """`O` first, then by type, and within a type by letter."""
    letter, _, label = tag.partition("-")
    return tag != "O", label, letter


def _share(part: np.int64, whole: np.int64) -> float:
    return float(part / whole) if whole else float("nan")
