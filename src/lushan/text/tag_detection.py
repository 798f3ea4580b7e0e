"""The tag scheme of a corpus, found from its tags.

Annotation has errors, so no scheme is excluded because of one tag: of all schemes the one is taken
that fewest tags contradict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lushan.common.arrays import np
from lushan.errors import UserError
from lushan.text.tags import SCHEMES, has_letter, is_tag, transitions

# Of schemes that fit equally well the first one is taken; they are then read the same.
_ORDER = ("iob2", "iob1", "iobes", "bilou", "bmes")

TOLERATED = 0.01
"""Ill-formed tags, as a share of the entities, up to which they pass for errors of annotation."""
FEW = 2
"""As many pass where there are too few entities for a share, and the scheme clearly fits best."""
_CLEARLY = 2
"""A scheme clearly fits best where more than so many times its contradictions contradict others."""


class Fit(NamedTuple):
    """Fit of a scheme to some tags.

    Attributes:
        scheme: Its name.
        against: Tags and neighbouring pairs of tags that contradict it.
        foreign: Tags with a letter that it does not have.
    """

    scheme: str
    against: int
    foreign: int


def fits(sentences: Iterable[Sequence[str]]) -> list[Fit]:
    """Return how well each scheme fits the tags of a corpus, the best one first.

    What is not a tag of any scheme counts against none.
    """
    return _fits(_pairs(sentences))


def tolerated(scheme: str, entities: int, found: Sequence[Fit]) -> float:
    """Return how many ill-formed tags pass for errors of annotation."""
    share = TOLERATED * entities
    against = {fit.scheme: fit.against for fit in found}
    others = min(count for name, count in against.items() if name != scheme)
    return max(share, FEW) if share < 1 and others > _CLEARLY * against[scheme] else share


def detect(sentences: Iterable[Sequence[str]]) -> str:
    """Return the scheme that fewest tags contradict.

    What cannot be distinguished makes no difference to the entities: data of nothing but I (`IO`)
    passes as IOB1, data without entities as IOB2, BMES without M as IOBES.

    Raises:
        UserError: The letters belong to no one scheme.
    """
    pairs = _pairs(sentences)
    counts: Counter[str] = Counter()
    for (_, tag), count in pairs.items():
        counts[tag] += count
    del counts["O"]
    strange = sum(count for tag, count in counts.items() if not is_tag(tag))
    found = _fits(pairs)
    best = found[0]
    known = counts.total() - strange
    if strange > known or best.foreign > tolerated(best.scheme, known, found):
        raise _mixture(counts, best.scheme)
    return best.scheme


def _pairs(sentences: Iterable[Sequence[str]]) -> Counter[tuple[str, str]]:
    """Count neighbouring tags, with an O for each edge of a sentence: all schemes take it so."""
    pairs: Counter[tuple[str, str]] = Counter()
    for tags in sentences:
        pairs.update(zip(["O", *tags], [*tags, "O"], strict=True))
    return pairs


def _fits(pairs: Counter[tuple[str, str]]) -> list[Fit]:
    known: Counter[tuple[str, str]] = Counter()
    for (before, after), count in pairs.items():
        known[before if is_tag(before) else "O", after if is_tag(after) else "O"] += count
    tags = sorted({"O"}.union(*known))
    place = {tag: i for i, tag in enumerate(tags)}
    counts = np.zeros((len(tags), len(tags)), dtype=np.int64)  # (C, C), from row to column
    for (before, after), count in known.items():
        counts[place[before], place[after]] = count
    found = []
    for scheme in _ORDER:
        inside = np.array([tag == "O" or has_letter(tag, scheme) for tag in tags])
        foreign = int(counts[:, ~inside].sum())
        forbidden = int(counts[~transitions(tags, scheme).between].sum())
        found.append(Fit(scheme, forbidden + foreign, foreign))
    return sorted(found, key=lambda fit: fit.against)  # of equals the order stays


def _mixture(counts: Counter[str], best: str) -> UserError:
    letters = sorted({tag.partition("-")[0] for tag in counts})
    strange = [tag for tag in counts if not is_tag(tag)]
    foreign = [tag for tag in counts if is_tag(tag) and not has_letter(tag, best)]
    shown = ", ".join(letters[:20]) + (", ..." if len(letters) > 20 else "")
    return UserError(
        f"the tags match no scheme: they start with {shown}",
        value=min(strange or foreign),
        hint="Check the tag column, or set the scheme: " + ", ".join(SCHEMES) + "; data.scheme=io "
        "is for types without letters (PER O), where each run of the same type is one entity.",
    )
