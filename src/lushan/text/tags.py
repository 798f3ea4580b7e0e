"""Tag schemes: entities written as one tag a word, and read off again.

| scheme  | first word             | inside | last word | single word | also known as     |
| ------- | ---------------------- | ------ | --------- | ----------- | ----------------- |
| `iob1`  | I, B after same type   | I      | I         | as first    | IOB, IO (no B)    |
| `iob2`  | B                      | I      | I         | B           | BIO               |
| `iobes` | B                      | I      | E         | S           | BIOES             |
| `bilou` | B                      | I      | L         | U           |                   |
| `bmes`  | B                      | M      | E         | S           | Chinese corpora   |

A tag is `O`, `B-PER`, or `B` where there is only one type (its label is then empty). The label
starts after the first hyphen: `B-creative-work`.

Ill-formed tags, which a scheme forbids where they stand (`I-PER` after `O` in IOB2) or does not
have (`S-PER` in IOB2), are read in one of two ways:

* leniently, as conlleval reads them: every word that is not `O` belongs to an entity, and an
  entity continues only from B or I to I or E of the same type;
* strictly, as seqeval's strict mode reads them: an entity that is not written as the scheme wants
  it is none.

`violations` finds them with their places, `repair` writes down what the lenient reading sees. What
no scheme has (`Q-PER`, `PER`) is not a tag, and is never read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from lushan.common.arrays import np
from lushan.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Each scheme's letters, and what they say in terms of B, I, E, S.
_LETTERS = {
    "iob1": {"B": "B", "I": "I"},
    "iob2": {"B": "B", "I": "I"},
    "iobes": {"B": "B", "I": "I", "E": "E", "S": "S"},
    "bilou": {"B": "B", "I": "I", "L": "E", "U": "S"},
    "bmes": {"B": "B", "M": "I", "E": "E", "S": "S"},
}
_MEANINGS = {letter: meaning for table in _LETTERS.values() for letter, meaning in table.items()}
_ALIASES = {"bio": "iob2", "bioes": "iobes"}
SCHEMES = tuple(_LETTERS)


class Span(NamedTuple):
    """An entity: the words [start, end) and their type."""

    start: int
    end: int
    label: str


class Violation(NamedTuple):
    """A tag where the scheme forbids it.

    Attributes:
        position: Which word of the sentence, from 0.
        tag: What stands there.
        problem: What is wrong with it: `'I-PER' after 'O'`.
        repaired: What `repair` writes instead; None where no scheme has such a tag.
    """

    position: int
    tag: str
    problem: str
    repaired: str | None


@dataclasses.dataclass(frozen=True)
class Transitions:
    """Transitions that a scheme allows, for a list of C tags.

    Attributes:
        between: (C, C), from the tag of the row to that of the column.
        start: (C,), on a sentence's first word.
        end: (C,), on its last.
    """

    between: NDArray[np.bool_]
    start: NDArray[np.bool_]
    end: NDArray[np.bool_]


class _Readings(dict[str, tuple[str, str]]):
    """Tag to (B, I, E or S; label), filled in as tags are met."""

    def __missing__(self, tag: str) -> tuple[str, str]:
        letter, hyphen, label = tag.partition("-")
        if letter not in _MEANINGS or (hyphen and not label):
            raise UserError(
                "not a tag of any scheme",
                value=tag,
                hint=f"Valid tags are O and {', '.join(f'{x}-TYPE' for x in _MEANINGS)}.",
            )
        self[tag] = _MEANINGS[letter], label
        return self[tag]


_READINGS = _Readings()


def is_tag(tag: str) -> bool:
    """Return whether some scheme has such a tag."""
    if tag == "O":
        return True
    letter, hyphen, label = tag.partition("-")
    return letter in _MEANINGS and bool(label or not hyphen)


def has_letter(tag: str, scheme: str) -> bool:
    """Return whether a scheme, by its own name, has tags with this one's letter."""
    return tag.partition("-")[0] in _LETTERS[scheme]


def scheme_name(name: str) -> str:
    """Return the scheme's name as used here: `BIO` is `iob2`.

    Raises:
        UserError: There is no such scheme.
    """
    lowered = name.lower()
    known = _ALIASES.get(lowered, lowered)
    if known not in _LETTERS:
        raise UserError(
            "unknown tag scheme",
            value=name,
            hint=did_you_mean(lowered, SCHEMES) or f"Schemes: {', '.join(SCHEMES)}.",
        )
    return known


def spans(tags: Sequence[str], scheme: str, *, strict: bool = False) -> list[Span]:
    """Read entities off the tags of one sentence.

    Args:
        tags: One a word.
        scheme: Theirs.
        strict: Leave out entities that are not written as the scheme wants them; see above.

    Raises:
        UserError: A tag that no scheme has.
    """
    scheme = scheme_name(scheme)
    chunks = _chunks(tags)
    if not strict:
        return [chunk[0] for chunk in chunks]
    kept = []
    before = Span(-1, -1, "")
    for span, first, last in chunks:
        if scheme == "iob1":
            good = first == "I" or (before.end == span.start and before.label == span.label)
        elif scheme == "iob2":
            good = first == "B"
        else:
            good = first == "S" or (first, last) == ("B", "E")
        if good and all(has_letter(tag, scheme) for tag in tags[span.start : span.end]):
            kept.append(span)
        before = span
    return kept


def _chunks(tags: Sequence[str]) -> list[tuple[Span, str, str]]:
    """Entities as conlleval sees them, each with what its first and its last letter mean."""
    found = []
    start, label, first, last = -1, "", "", ""
    for i, tag in enumerate(tags):
        if tag == "O":
            if start >= 0:
                found.append((Span(start, i, label), first, last))
                start = -1
            continue
        letter, kind = _READINGS[tag]
        if start >= 0:
            if last in "BI" and letter in "IE" and kind == label:
                last = letter
                continue
            found.append((Span(start, i, label), first, last))
        start, label, first, last = i, kind, letter, letter
    if start >= 0:
        found.append((Span(start, len(tags), label), first, last))
    return found


def to_tags(spans: Iterable[Span], length: int, scheme: str) -> list[str]:
    """Write entities as tags.

    Args:
        spans: In any order; they must not overlap.
        length: Words of the sentence.
        scheme: The one to write.

    Raises:
        ValueError: Spans that overlap, are empty, or reach beyond the sentence.
    """
    scheme = scheme_name(scheme)
    written = {meaning: letter for letter, meaning in _LETTERS[scheme].items()}
    ends = "E" in written
    tags = ["O"] * length
    before = Span(0, 0, "")
    for span in sorted(spans):
        start, end, label = span
        if not before.end <= start < end <= length:
            raise ValueError(f"{span} overlaps {before} or is not within {length} words")
        name = f"-{label}" if label else ""
        tags[start:end] = [written["I"] + name] * (end - start)
        if scheme != "iob1" or (before.end == start > 0 and before.label == label):
            tags[start] = written["B"] + name
        if ends:
            tags[end - 1] = written["E" if end - start > 1 else "S"] + name
        before = span
    return tags


def convert(tags: Sequence[str], source: str, target: str, *, lenient: bool = False) -> list[str]:
    """Write the tags of one sentence in another scheme.

    Args:
        tags: One a word.
        source: Their scheme.
        target: The scheme wanted.
        lenient: Read tags that `source` forbids as conlleval does, instead of refusing them.

    Raises:
        UserError: A tag where `source` forbids it, and not `lenient`.
    """
    if not lenient:
        for bad in violations(tags, source):
            raise UserError(
                f"{bad.problem} at word {bad.position + 1}, which {scheme_name(source)} forbids",
                value=list(tags),
            )
    return to_tags(spans(tags, source), len(tags), target)


def violations(tags: Sequence[str], scheme: str) -> list[Violation]:
    """Find the ill-formed tags of one sentence.

    Where some are tags of no scheme, only these are given: the others mean nothing yet.
    """
    scheme = scheme_name(scheme)
    strange = [i for i, tag in enumerate(tags) if not is_tag(tag)]
    if strange:
        problem = "is not a tag of any scheme"
        return [Violation(i, tags[i], f"{tags[i]!r} {problem}", None) for i in strange]
    wanted = repair(tags, scheme)
    return [
        Violation(i, tag, _problem(tags, i, want, scheme), want)
        for i, (tag, want) in enumerate(zip(tags, wanted, strict=True))
        if tag != want
    ]


def _problem(tags: Sequence[str], i: int, wanted: str, scheme: str) -> str:
    if not has_letter(tags[i], scheme):
        return f"{tags[i]!r} is not a tag of the scheme {scheme}"
    starts, should_start = (_READINGS[tag][0] in "BS" for tag in (tags[i], wanted))
    if starts != should_start:
        return f"{tags[i]!r} after {tags[i - 1]!r}" if i else f"{tags[i]!r} at the start"
    return f"{tags[i]!r} before {tags[i + 1]!r}" if i + 1 < len(tags) else f"{tags[i]!r} at the end"


def repair(tags: Sequence[str], scheme: str) -> list[str]:
    """Write the entities that the lenient reading sees as the scheme wants them.

    Raises:
        UserError: A tag that no scheme has.
    """
    return to_tags(spans(tags, scheme), len(tags), scheme)


def tag_set(types: Iterable[str], scheme: str) -> list[str]:
    """All tags for these entity types, `O` first, then type by type."""
    letters = _LETTERS[scheme_name(scheme)]
    return ["O"] + [f"{x}-{kind}" if kind else x for kind in types for x in letters]


def transitions(tags: Sequence[str], scheme: str) -> Transitions:
    """Return which of these tags may follow which, start a sentence, or end it.

    Tags with a letter that the scheme does not have are taken for what they mean.
    """
    scheme = scheme_name(scheme)
    read = [("O", "") if tag == "O" else _READINGS[tag] for tag in tags]
    letters = np.array([letter for letter, _ in read])
    kinds = np.array([kind for _, kind in read])
    same = (kinds[:, None] == kinds[None, :]) & (letters != "O")[:, None]
    open_ = np.isin(letters, ["B", "I"])  # an entity may continue after it
    continues = np.isin(letters, ["I", "E"])  # it continues from an entity before it
    everywhere = np.ones(len(read), dtype=bool)
    inside = open_[:, None] & same
    if scheme == "iob1":
        parts = letters == "B"  # parts two entities of one type, and stands nowhere else
        return Transitions(inside | ~parts[None, :], ~parts, everywhere)
    if scheme == "iob2":
        return Transitions(inside | ~continues[None, :], ~continues, everywhere)
    between = np.where(continues[None, :], inside, ~open_[:, None])
    return Transitions(between, ~continues, ~open_)
