"""Findings of an audit, and the sentences that the terminal shows of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from lushan.audit import accidents, duplicates, entities, labels, near, parts, shared, texts
from lushan.audit.accidents import Accident
from lushan.audit.apart import Apart
from lushan.audit.duplicates import Duplicates
from lushan.audit.entities import Unseen
from lushan.audit.labels import Contradiction, Drift, Labels
from lushan.audit.lengths import Lengths, Unknown
from lushan.audit.parts import Keeping, SharedPart
from lushan.common.wording import plural
from lushan.data.field_roles import required
from lushan.data.fields import Fields
from lushan.errors import UserError

MOST_BYTES = 1 << 30
"""Bytes of all texts: an audit holds them in memory."""
SURE, CLEAR = 0.01, 0.1
"""Splits are reported to differ in their labels by a p below, and Cramer's V from the other on."""


@dataclasses.dataclass(frozen=True)
class Audit:
    """Findings of an audit.

    Attributes:
        splits: Name to rows.
        kind: What the rows are: `tokens`, `text`, `pairs`, `messages`.
        notes: Notes of the source, but for what is counted here.
        duplicates: Copies and near-duplicates.
        parts: Values of single inputs that splits share with train.
        labels: None where rows have none.
        contradictions: Texts that have two labels.
        unseen: Entities that train does not have, by split.
        accidents: Damaged characters.
        lengths: By split; none where they could not be measured.
        unknown: Characters that the tokenizer does not know, by split.
        apart: Scores of a run on entities that train has and has not, by split.
        unmeasured: What could not be audited, and why.
        refused: What training refuses the data for; None where it does not.
    """

    splits: dict[str, int]
    kind: str
    notes: list[str]
    duplicates: Duplicates
    parts: list[SharedPart]
    labels: Labels | None
    contradictions: list[Contradiction]
    unseen: list[Unseen]
    accidents: list[Accident]
    lengths: list[Lengths] = dataclasses.field(default_factory=list)
    unknown: list[Unknown] = dataclasses.field(default_factory=list)
    apart: list[Apart] = dataclasses.field(default_factory=list)
    unmeasured: list[str] = dataclasses.field(default_factory=list)
    refused: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The whole in plain values, what matters first."""
        return {"findings": list(findings(self)), **dataclasses.asdict(self)}


def audit_of(
    splits: Mapping[str, pa.Table],
    fields: Fields,
    notes: list[str],
    threshold: float = near.THRESHOLD,
    keeping: Keeping | None = None,
) -> Audit:
    """Audit what needs no tokenizer.

    Args:
        splits: Name to table.
        fields: What their columns hold.
        notes: Of the source.
        threshold: Of near-duplicates.
        keeping: What would keep values of a field in one split.

    Raises:
        UserError: There is more text than the memory should hold.
    """
    size = sum(texts.size(table, fields) for table in splits.values())
    if size > MOST_BYTES:
        raise UserError(
            f"there are {size:,} bytes of text, but the limit of the audit is {MOST_BYTES:,}",
            key="data.limit",
            hint="Audit a sample: data.limit=100000.",
        )
    forms = duplicates.forms_of(splits, fields)
    unmeasured = []
    if sum(map(len, forms.texts)) > near.MOST_CHARACTERS:
        unmeasured.append(
            f"near-duplicates: there are more than {near.MOST_CHARACTERS:,} characters of text; "
            "data.limit=N audits a sample"
        )
    return Audit(
        splits={split: table.num_rows for split, table in splits.items()},
        kind=", ".join(required(fields)),
        notes=shared.others_of(notes),
        duplicates=duplicates.duplicates_of(splits, forms, threshold),
        parts=parts_of(splits, fields, keeping),
        labels=labels.labels_of(splits, fields),
        contradictions=labels.contradictions_of(splits, forms),
        unseen=entities.unseen_of(splits, fields),
        accidents=accidents.accidents_of(splits, fields),
        unmeasured=unmeasured,
    )


def parts_of(
    splits: Mapping[str, pa.Table], fields: Fields, keeping: Keeping | None
) -> list[SharedPart]:
    """Return what splits share with train, beside whole rows."""
    if "train" not in splits:
        return []
    copies = shared.copies_of_train(splits, fields)
    return parts.shared_parts(splits, fields, copies, keeping)


# What matters, in sentences


def findings(audit: Audit) -> Iterator[str]:
    """One sentence for each thing that is there and better were not; none where all is well."""
    if audit.refused:
        yield f"train refuses this data: {audit.refused}"
    yield from _of_duplicates(audit.duplicates)
    yield from (part.sentence for part in audit.parts)
    if audit.contradictions:
        rows = sum(found.rows for found in audit.contradictions)
        count = len(audit.contradictions)
        yield f"{plural(count, 'text')} with two labels or more, in {rows:,} rows"
    for drift in audit.labels.drift if audit.labels else ():
        yield from _of_drift(drift)
    yield from (_of_entities(found) for found in audit.unseen if found.unseen)
    yield from (_of_accident(found) for found in audit.accidents)
    yield from (_of_lengths(found) for found in audit.lengths if found.over)
    for found in audit.lengths:
        if found.targets:
            counts = f"{found.targets:,} of {found.texts:,} {found.split} texts"
            yield f"{counts} have a truncated target ({percent(found.targets, found.texts)})"
    yield from (_of_unknown(found) for found in audit.unknown if found.times)


def _of_duplicates(found: Duplicates) -> Iterator[str]:
    for across in found.across:
        total, where = across.texts, across.other
        of_all = f"of {total:,} {across.split} texts"
        more = f", {across.near:,} more near-duplicates" if across.near else ""
        if across.exact:
            share = percent(across.exact, total)
            yield f"{across.exact:,} {of_all} also in {where} ({share}){more}"
        elif across.near:
            share = percent(across.near, total)
            yield f"{across.near:,} {of_all} have near-duplicates in {where} ({share})"
    for within in found.within:
        if within.empty:
            total = within.texts + within.empty
            yield f"{within.empty:,} of {total:,} {within.split} texts are empty"
        parts = [f"{within.exact:,} of {within.texts:,} texts repeated"] if within.exact else []
        if within.near:
            of_all = "" if within.exact else f" of {within.texts:,} texts"
            parts.append(f"{within.near:,}{of_all} with a near-duplicate")
        if parts:
            yield f"within {within.split}: {', '.join(parts)}"
    if found.capped:
        yield (
            f"{found.capped:,} texts are too similar to compare all pairs, so there may be more "
            f"near-duplicates"
        )


def _of_drift(found: Drift) -> Iterator[str]:
    if found.unlearned:
        yield f"{found.split} has labels that train never has: {', '.join(found.unlearned)}"
    if found.p is None or found.p >= SURE:
        return
    if found.cramers_v is None or found.cramers_v >= CLEAR:
        effect = "" if found.cramers_v is None else f", Cramer's V {found.cramers_v:.2f}"
        yield (
            f"{found.split} differs from train in its labels: total variation "
            f"{found.total_variation:.2f}{effect}, p = {found.p:.1g}"
        )


def _of_entities(found: Unseen) -> str:
    share = percent(found.unseen, found.mentions)
    return (
        f"{found.unseen:,} of {found.mentions:,} entities of {found.split} never in train ({share})"
    )


def _of_accident(found: Accident) -> str:
    counts = f"{found.texts:,} of {found.total:,} {found.split} texts"
    times = "" if found.times == found.texts else f", {found.times:,} times"
    return f"{accidents.MEANINGS[found.kind]} in {counts}{times}"


def _of_lengths(found: Lengths) -> str:
    counts = f"{found.over:,} of {found.texts:,} {found.split} texts"
    longer = f"{counts} longer than {found.limit:,} tokens ({percent(found.over, found.texts)})"
    if not found.cut:
        return f"{longer}, split into several pieces"
    lost = percent(found.lost, found.tokens)
    return f"{longer}; {found.cut:,} are truncated, {lost} of all tokens lost"


def _of_unknown(found: Unknown) -> str:
    return (
        f"{found.texts:,} of {found.total:,} {found.split} texts contain characters unknown "
        f"to the tokenizer: {found.characters:,} different, {found.times:,} times"
    )


def percent(count: int, total: int) -> str:
    """A share, never rounded to nothing or to all."""
    share = 100 * count / total if total else 0.0
    if 0 < share < 0.1:
        return "< 0.1 %"
    if 99.9 < share < 100:
        return "> 99.9 %"
    return f"{share:.1f} %"
