"""Entities given as character spans of a text, in the spellings that annotation tools write."""

from __future__ import annotations

import bisect
import collections
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from lushan.text.words import Offsets

SpanEnd = Literal["exclusive", "inclusive"]

_START = ("start", "start_offset", "start_char", "begin", "start_idx")
_END = ("end", "end_offset", "end_char", "stop", "end_idx")
_LABEL = ("label", "type", "entity_type", "entity_group", "tag", "labels", "entity")
_TEXT = ("text", "mention", "word", "surface")


class BadSpan(Exception):
    """A span that cannot be used; the reader of the file adds the place."""

    def __init__(self, problem: str, hint: str | None = None) -> None:
        self.problem, self.hint = problem, hint
        super().__init__(problem)


@dataclasses.dataclass(frozen=True, order=True)
class CharSpan:
    """An entity: the characters [start, end) and their type."""

    start: int
    end: int
    label: str


def look_like_spans(value: object) -> bool:
    """Return whether a field holds spans: mappings or triples in a list, or a mapping by type."""
    if isinstance(value, Mapping):
        return all(isinstance(mentions, Mapping) for mentions in value.values())
    return isinstance(value, list) and all(
        isinstance(item, Mapping) or (isinstance(item, list) and len(item) == 3) for item in value
    )


def parse(value: object, text: str, end: SpanEnd) -> list[CharSpan]:
    """The spans of one text: sorted, without copies, without blanks at their edges.

    Reads `[[0, 5, "PER"]]`, `[{"start": 0, "end": 5, "label": "PER"}]` with the usual other names
    of these, and `{"PER": {"Li Bai": [[0, 5]]}}` with inclusive ends (CLUENER).

    Raises:
        BadSpan: One is no span, lies outside the text, or overlaps another.
    """
    spans = sorted({_trimmed(span, text) for span in _each(value, text, end)})
    for before, after in itertools.pairwise(spans):
        if after.start < before.end:
            raise BadSpan(
                f"two entities overlap: {text[before.start : before.end]!r} ({before.label}) and "
                f"{text[after.start : after.end]!r} ({after.label})",
                "A word has only one tag; keep one of the entities.",
            )
    return spans


def misread(rows: Iterable[tuple[object, str]], end: SpanEnd) -> tuple[int, BadSpan] | None:
    """Return the first row whose spans end elsewhere by what they carry, if most do, and the error.

    A span may carry its text under any key. What equals the text with the other meaning of the
    end, in most spans and in more than with this one, tells that the ends are read wrongly.

    Args:
        rows: Spans as a file writes them, with their text.
        end: What an end is taken for.
    """
    counts = collections.Counter[tuple[str, str]]()
    first: dict[str, tuple[int, BadSpan]] = {}
    for row, key, carried, (start, stop), text in _carried(rows):
        as_read = slice(start, stop + (end == "inclusive"))
        counts[key, "all"] += 1
        if carried == text[as_read]:
            counts[key, "right"] += 1
        elif carried == text[start : stop + (end == "exclusive")]:
            counts[key, "wrong"] += 1
            first.setdefault(key, (row, _other(as_read, text, carried, end)))
    for key, found in first.items():
        wrong = counts[key, "wrong"]
        if wrong > counts[key, "right"] and 2 * wrong >= counts[key, "all"]:
            return found
    return None


def _carried(
    rows: Iterable[tuple[object, str]],
) -> Iterator[tuple[int, str, str, tuple[int, int], str]]:
    """Yield the row, key and text of all texts in spans, with the span's places and its text."""
    for row, (value, text) in enumerate(rows):
        for item in value if isinstance(value, list) else ():
            if not isinstance(item, Mapping):
                continue
            start, stop = _first(item, _START), _first(item, _END)
            if type(start) is int and type(stop) is int:
                for key, carried in item.items():
                    if isinstance(carried, str):
                        yield row, key, carried, (start, stop), text


def _other(as_read: slice, text: str, carried: str, end: SpanEnd) -> BadSpan:
    """The error for a span that fits its text with the other meaning of its end."""
    meant = "the last character" if end == "exclusive" else "the character after the last one"
    other = "inclusive" if end == "exclusive" else "exclusive"
    return BadSpan(
        f"the span [{as_read.start}, {as_read.stop}) is {text[as_read]!r}, but the file has "
        f"{carried!r}",
        f"The end is {meant}: write data.span_end={other}.",
    )


def _each(value: object, text: str, end: SpanEnd) -> Iterator[CharSpan]:
    if isinstance(value, Mapping):
        for name, words, (first, last) in _mentions(value):
            yield _checked(first, last + 1, name, text, words)
        return
    if not isinstance(value, list):
        raise BadSpan(f"expected a list of spans, but found {value!r}")
    more = int(end == "inclusive")
    for item in value:
        start, stop, label, mention = _parts(item)
        is_placed = type(start) is int and type(stop) is int
        pieces = (text[start:stop], text[start : stop + 1]) if is_placed else ()
        if not pieces or not isinstance(label, str) or _names_itself(item, pieces, label):
            raise BadSpan(
                f"a span needs two whole numbers and a type, but this is {item!r}",
                'Write [start, end, "TYPE"] or {"start": ..., "end": ..., "label": "TYPE"}.',
            )
        yield _checked(start, stop + more, label, text, mention)


def _mentions(value: Mapping[str, Any]) -> list[tuple[str, str, list[int]]]:
    """Return type, text and the two places of each span, as {type: {text: [[first, last]]}}."""
    try:
        found = [(t, m, p) for t, several in value.items() for m, ps in several.items() for p in ps]
        if all(len(p) == 2 and all(type(place) is int for place in p) for _, _, p in found):
            return found
    except (AttributeError, TypeError):  # no mapping, or no list
        pass
    raise BadSpan(
        f"a span needs two whole numbers and a type, but this is {value!r}",
        'Write {"TYPE": {"its text": [[first, last]]}}.',
    )


def _parts(item: object) -> tuple[Any, Any, Any, str | None]:
    """Return start, end, label and perhaps the text of a span, in whichever form it is written."""
    if isinstance(item, Mapping):
        start, stop, label = (_first(item, names) for names in (_START, _END, _LABEL))
        mention = next((item[n] for n in _TEXT if isinstance(item.get(n), str)), None)
    elif isinstance(item, list) and len(item) == 3:
        start, stop, label = item
        mention = None
    else:
        raise BadSpan(f"not a span: {item!r}", 'Write [start, end, "TYPE"].')
    if isinstance(label, list) and len(label) == 1:
        label = label[0]
    return start, stop, label, mention


def _names_itself(item: object, pieces: Sequence[str], label: str) -> bool:
    """Return whether what would be the type stands under `entity`, and is the span's text."""
    if not isinstance(item, Mapping) or label not in pieces:
        return False
    return next(name for name in _LABEL if name in item) == "entity"


def _first(item: Mapping[str, Any], names: Sequence[str]) -> object:
    return next((item[name] for name in names if name in item), None)


def _checked(start: int, end: int, label: str, text: str, mention: str | None) -> CharSpan:
    if not 0 <= start < end <= len(text) or not text[start:end].strip():
        raise BadSpan(
            f"the span [{start}, {end}) of type {label} is empty or outside the text, which has "
            f"{len(text)} characters",
            "Offsets are characters from 0, with exclusive ends. For inclusive ends, write "
            "data.span_end=inclusive.",
        )
    if mention is not None and text[start:end] != mention:
        raise BadSpan(
            f"the span [{start}, {end}) is {text[start:end]!r}, but the file has {mention!r}",
            "Offsets are characters (not bytes) from 0. If the end is the last character, write "
            "data.span_end=inclusive.",
        )
    return CharSpan(start, end, label)


def _trimmed(span: CharSpan, text: str) -> CharSpan:
    inside = text[span.start : span.end]
    start = span.start + len(inside) - len(inside.lstrip())
    return CharSpan(start, start + len(inside.strip()), span.label)


def to_tags(
    spans: Sequence[CharSpan], words: Sequence[str], offsets: Offsets, *, repair: bool
) -> tuple[list[str], int, int]:
    """Spans as IOB2 tags: a span covers every word that it touches.

    Args:
        spans: From `parse`.
        words: Of the text.
        offsets: Their characters.
        repair: Where two spans touch one word, the first has it; otherwise that is an error.

    Returns:
        The tags, how many spans were widened to whole words, and how many lost words to another.

    Raises:
        BadSpan: Two spans touch one word.
    """
    tags = ["O"] * len(words)
    ends = [end for _, end in offsets]
    widened = lost = 0
    free = 0
    for span in spans:
        first = bisect.bisect_right(ends, span.start)
        last = bisect.bisect_left(ends, span.end)  # the word that holds the last character
        if first < free:
            if not repair:
                raise BadSpan(
                    f"two entities share the word {words[first]!r}",
                    "Use lists of tokens instead of a text, or write data.repair=true to give the "
                    "word to the first entity.",
                )
            lost += 1
            first = free
            if first > last:
                continue
        widened += offsets[first][0] < span.start or offsets[last][1] > span.end
        tags[first] = f"B-{span.label}"
        tags[first + 1 : last + 1] = [f"I-{span.label}"] * (last - first)
        free = last + 1
    return tags, widened, lost
