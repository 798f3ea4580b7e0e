"""An audit for people: a summary for the terminal, and a page in Markdown with examples."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterator, Sequence

from lushan.audit.accidents import MEANINGS
from lushan.audit.duplicates import Pair
from lushan.audit.findings import Audit, findings, percent
from lushan.audit.labels import SMALL, Drift
from lushan.audit.texts import Place
from lushan.common import shell
from lushan.common.units import SHARE, head, number
from lushan.common.wording import plural
from lushan.run.columns import aligned

SHOWN = 10
"""Examples of each kind on the page; the JSON has all."""
MOST_LABELS = 20
"""Labels that are listed, the most frequent ones of train."""

Row = list[str]


@dataclasses.dataclass
class Section:
    """A part of the page.

    Attributes:
        title: Its heading.
        table: Its header and rows; empty where it has none.
        legend: How to read it.
        examples: Lines for the page alone.
    """

    title: str
    table: list[Row]
    legend: list[str]
    examples: list[str] = dataclasses.field(default_factory=list)


def summary(audit: Audit) -> str:
    """Return the lines for the terminal."""
    lines = [_rows(audit), ""]
    shown = list(findings(audit))
    lines += [f"- {finding}" for finding in shown] or ["no problems were found"]
    for section in sections(audit):
        lines += ["", section.title]
        if section.table:
            right = range(1, len(section.table[0]))
            lines += [f"  {line}" for line in aligned(section.table, right=right)]
        lines += [f"  {legend}" for legend in section.legend]
    lines += ["", *(f"not audited: {reason}" for reason in audit.unmeasured)]
    return "\n".join(lines + [f"note: {note}" for note in audit.notes]).rstrip()


def page(audit: Audit, command: Sequence[str]) -> str:
    """The page's Markdown."""
    shown = [f"- {_escaped(finding)}" for finding in findings(audit)]
    parts = [
        "# Audit of data",
        f"```\nlushan {shell.join(command)}\n```",
        _escaped(_rows(audit)),
        "\n".join(shown) or "No problems were found.",
    ]
    for section in sections(audit):
        parts.append(f"## {section.title.capitalize()}")
        parts += ["\n".join(_markdown(section.table))] if section.table else []
        parts += [_escaped(legend) for legend in section.legend]
        parts += ["\n".join(section.examples).rstrip()] if section.examples else []
    if audit.unmeasured:
        parts.append("## Not audited")
        parts.append("\n".join(f"- {_escaped(reason)}" for reason in audit.unmeasured))
    if audit.notes:
        parts.append("## Notes of the data source")
        parts.append("\n".join(f"- {_escaped(note)}" for note in audit.notes))
    return "\n\n".join(parts) + "\n"


def sections(audit: Audit) -> Iterator[Section]:
    """The parts of the page, those that have something."""
    yield _duplicates(audit)
    if audit.labels:
        yield _labels(audit)
    if audit.unseen:
        yield _entities(audit)
    if audit.apart:
        yield _apart(audit)
    if audit.lengths:
        yield _lengths(audit)
    if audit.accidents or any(found.times for found in audit.unknown):
        yield _characters(audit)


def _rows(audit: Audit) -> str:
    counts = ", ".join(f"{split} {count:,}" for split, count in audit.splits.items())
    return f"{audit.kind}: {counts}"


# Sections


def _duplicates(audit: Audit) -> Section:
    found = audit.duplicates
    table = [["", "texts", "exact", "", "near", ""]]
    for within in found.within:
        table.append([f"within {within.split}", *_counts(within.texts, within.exact, within.near)])
    for across in found.across:
        table.append(
            [
                f"{across.split} in {across.other}",
                *_counts(across.texts, across.exact, across.near),
            ]
        )
    legend = [f"exact: the same in {found.form}; within a split, rows that repeat an earlier one"]
    if found.unit is not None:
        legend.append(
            f"near: not identical, but a Jaccard similarity of {found.threshold:g} or more over "
            f"shingles "
            f"of {found.unit}"
        )
    return Section("copies", table, legend, list(_pairs(found.pairs)))


def _counts(texts: int, exact: int, near: int | None) -> Row:
    close = ["-", ""] if near is None else [f"{near:,}", percent(near, texts)]
    return [f"{texts:,}", f"{exact:,}", percent(exact, texts), *close]


def _pairs(pairs: Sequence[Pair]) -> Iterator[str]:
    kinds = {
        "Copies across splits": [p for p in pairs if p.exact],
        "Near-duplicates across splits": [
            p for p in pairs if not p.exact and p.first.split != p.second.split
        ],
        "Near-duplicates within a split": [p for p in pairs if p.first.split == p.second.split],
    }
    for title, some in kinds.items():
        if some:
            yield f"{title} ({min(SHOWN, len(some))} of {len(some):,}):\n"
        for pair in some[:SHOWN]:
            similar = "" if pair.exact else f", {pair.jaccard:.2f}"
            alike = "=" if pair.exact else "≈"
            both = f"{_place(pair.first)} {alike} {_place(pair.second)}{similar}"
            yield f"- {both}: {_quoted(pair.first)}"
            if not pair.exact:
                yield f"  and {_quoted(pair.second)}"
        if some:
            yield ""


def _labels(audit: Audit) -> Section:
    assert audit.labels is not None
    found = audit.labels
    if found.numbers:
        table = [["", "mean", "sd", "min", "max"]]
        for split, numbers in found.numbers.items():
            table.append([split, *(f"{numbers[name]:.4g}" for name in table[0][1:])])
    else:
        splits = list(found.counts)
        table = [[found.kind, *(cell for split in splits for cell in (split, ""))]]
        totals = {split: sum(counts.values()) for split, counts in found.counts.items()}
        names = list(next(iter(found.counts.values())))
        for name in names[:MOST_LABELS]:
            both = [(found.counts[split][name], totals[split]) for split in splits]
            cells = [cell for n, total in both for cell in (f"{n:,}", percent(n, total))]
            table.append([name, *cells])
    legend = [_drift(drift) for drift in found.drift]
    if not found.numbers and len(names) > MOST_LABELS:
        legend.insert(0, f"and {len(names) - MOST_LABELS:,} labels more, in the JSON")
    return Section("labels", table, legend, list(_contradictions(audit)))


def _drift(found: Drift) -> str:
    parts = [f"total variation {found.total_variation:.3f}"]
    if found.cramers_v is not None:
        parts += [f"chi-squared {found.statistic:.1f}", f"Cramer's V {found.cramers_v:.3f}"]
    if found.p is not None:
        parts.append(f"p = {found.p:.2g}")
    if found.small:
        parts.append(f"{plural(found.small, 'expected count')} below {SMALL}: p is not exact")
    return f"{found.split} against train: " + ", ".join(parts)


def _contradictions(audit: Audit) -> Iterator[str]:
    found = audit.contradictions
    if found:
        yield f"One text, several labels ({min(SHOWN, len(found))} of {len(found):,}):\n"
    for one in found[:SHOWN]:
        labelled = "; ".join(f"{_escaped(la)} ({_place(p)})" for la, p in one.labels.items())
        yield f"- {_quoted(next(iter(one.labels.values())))}: {labelled}"


def _entities(audit: Audit) -> Section:
    table = [
        ["entities", "mentions", "unseen", "", "of another type in train", "different", "unseen"]
    ]
    for found in audit.unseen:
        both = [f"{found.distinct:,}", f"{found.distinct_unseen:,}"]
        counts = [f"{found.mentions:,}", f"{found.unseen:,}", percent(found.unseen, found.mentions)]
        table.append([found.split, *counts, f"{found.other_type:,}", *both])
        for name, (mentions, unseen) in found.by_type.items():
            counts = [f"{mentions:,}", f"{unseen:,}", percent(unseen, mentions)]
            table.append([f"  {name}", *counts, "", "", ""])
    examples = []
    for found in audit.unseen:
        named = [f"{form} ({kind}, {n})" for form, kind, n in found.examples]
        if named:
            examples.append(f"- {found.split}, most frequent: {_escaped(', '.join(named))}")
    legend = ["unseen: this surface form never occurs in train with this type; case counts"]
    return Section("entities and train", table, legend, examples)


def _apart(audit: Audit) -> Section:
    names = ("precision", "recall", "f1")
    table = [["entities of", "", *(head(name, SHARE) for name in names), "gold", "predicted"]]
    for found in audit.apart:
        for group, score in found.scores.items():
            shares = [number(getattr(score, name), SHARE) for name in names]
            counts = [f"{score.support:,}", f"{score.predicted:,}"]
            table.append([found.split, group, *shares, *counts])
    legend = ["seen: occurs in train with this type; predictions are grouped in the same way"]
    return Section("the run on seen and unseen entities", table, legend)


def _lengths(audit: Audit) -> Section:
    quantiles = list(audit.lengths[0].quantiles)
    named = ["median" if q == "0.5" else f"{float(q):.0%}" for q in quantiles]
    table = [["tokens", "mean", *named, "longest", "limit", "over it", "", "cut", "lost"]]
    for found in audit.lengths:
        table.append(
            [
                found.split,
                f"{found.mean:,.1f}",
                *(f"{found.quantiles[q]:,}" for q in quantiles),
                f"{found.longest:,}",
                f"{found.limit:,}",
                f"{found.over:,}",
                percent(found.over, found.texts),
                f"{found.cut:,}",
                percent(found.lost, found.tokens),
            ]
        )
    legend = ["cut: truncated texts; lost: share of all tokens that is truncated"]
    legend += [
        f"{found.split}: {found.unknown:,} unknown tokens ({percent(found.unknown, found.tokens)})"
        for found in audit.lengths
        if found.unknown
    ]
    return Section("lengths", table, legend)


def _characters(audit: Audit) -> Section:
    table, examples = [["", "split", "texts", "", "times"]], []
    for found in audit.accidents:
        share = percent(found.texts, found.total)
        table.append([found.kind, found.split, f"{found.texts:,}", share, f"{found.times:,}"])
        places = "; ".join(f"{_place(place)} {_quoted(place)}" for place in found.examples[:3])
        examples.append(f"- {found.split}, {_escaped(MEANINGS[found.kind])}: {places}")
    legend = []
    for lost in (unknown for unknown in audit.unknown if unknown.times):
        share = percent(lost.texts, lost.total)
        table.append(["unknown", lost.split, f"{lost.texts:,}", share, f"{lost.times:,}"])
        shown = " ".join(f"{shown_character(c)} {n:,}" for c, n in lost.examples[:SHOWN])
        legend.append(f"unknown to the tokenizer in {lost.split}, the most frequent: {shown}")
    return Section("characters", table, legend, examples)


# Marks


def shown_character(character: str) -> str:
    """A character, or its number where nothing would be seen."""
    return character if character.isprintable() else f"U+{ord(character):04X}"


def _place(place: Place) -> str:
    return f"{place.split} {_escaped(place.id)}"


def _quoted(place: Place) -> str:
    return f"“{_escaped(place.text)}”"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    marked = "".join(f"\\{c}" if c in "\\`*_[]#|~" else c for c in text)
    return html.escape(marked, quote=False)


def _markdown(table: Sequence[Row]) -> list[str]:
    head, *rows = [[_escaped(cell.strip()) for cell in row] for row in table]
    rule = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(row)} |" for row in (head, rule, *rows)]
