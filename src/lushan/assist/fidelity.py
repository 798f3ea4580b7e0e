"""Whether a text says nothing but what its source says, as far as words and figures show it.

What it cannot see is a false relation of true words; what it flags may be a synonym. An answer that
fails is not given, so that errors of the second kind cost an answer, and no more.
"""

from __future__ import annotations

import re
import unicodedata

from lushan.text.bm25 import terms

_FIGURE = re.compile(r"\d+(?:[.,:/-]\d+)*")
_HAN = re.compile(r"[\u3400-\u9fff]")
_ENDINGS = re.compile(r"(?:'s|ings?|ed|es|s)$")
_NEGATIONS = frozenset(("no", "not", "never", "none", "nor", "cannot", "without", "unable", "t"))
"""The last is that of `don't`."""
_NEGATED = re.compile(r"[不没无未勿非]")
_WORDS = """
a about all also am an and any are as at be been but by can could did do does for from had has have
he her here his how i if in is it its just may me might must my of on or our please s she should so
some than that the their them then there these they this those to us was we were what when where
which who will with would yes you your answer
"""
_FUNCTION = frozenset(_WORDS.split())
_FUNCTION_HAN = frozenset("的了是在有您你我他她它们和与及也就都很请可以吗呢吧啊为这那个其会能要")


def unsupported(text: str, source: str, answer: str) -> list[str]:
    """Return the words and figures of a text that its source has not; none, and it is faithful.

    Function words may be added, and words be inflected. Of Chinese, pairs of neighbouring
    characters count, unless one of them is a function word. A text that negates where the answer
    does not, or the other way round, lacks that word.

    Args:
        text: What was generated.
        source: All that it may repeat.
        answer: The part of the source that it words.
    """
    short = "".join(character for character in source if character not in _FUNCTION_HAN)
    known = {_stem(term) for term in (*terms(source), *terms(short))}
    figures = set(_FIGURE.findall(_plain(source)))
    found = [figure for figure in _FIGURE.findall(_plain(text)) if figure not in figures]
    for term in terms(text):
        if _HAN.search(term):
            is_content = len(term) == 2 and not _FUNCTION_HAN & set(term)
        else:
            is_content = term not in _FUNCTION | _NEGATIONS and not term.isdigit()
        if is_content and _stem(term) not in known:
            found.append(term)
    if _is_negated(text) != _is_negated(answer):
        found.append("not")
    return list(dict.fromkeys(found))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _stem(term: str) -> str:
    short = _ENDINGS.sub("", term)
    return short if len(short) > 2 else term


def _is_negated(text: str) -> bool:
    return bool(_NEGATED.search(text) or _NEGATIONS & set(terms(text)))
