"""Personal data in free text, known by form and checksum: redacted whole, and in a stream.

Resident identity numbers of China (GB 11643: region, date, check character of ISO 7064 MOD 11-2),
mobile and fixed-line numbers of China, other numbers with their country's code, bank cards (Luhn,
ISO/IEC 7812), IBANs (MOD 97-10), social security numbers of the USA, and e-mail addresses. Keys and
tokens are redacted by the rules of `lushan.run.redaction`. All patterns take time in proportion to
the text.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from lushan.run import redaction

LONGEST = 320
"""Characters of the longest form, an e-mail address (RFC 5321)."""

# Digits of other widths count as digits; each stays one character, so that places are the same.
_PLAIN = str.maketrans("０１２３４５６７８９＠．＋－（）　", "0123456789@.+-() ")

_ALONE, _END = r"(?<![0-9A-Za-z])", r"(?![0-9A-Za-z])"
_DIGIT, _NO_DIGIT = r"(?<![0-9])", r"(?![0-9])"
_MAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}"
    r"(?![A-Za-z0-9-])"
)
_RESIDENT = re.compile(rf"{_ALONE}[1-8][0-9]{{16}}[0-9Xx]{_END}")
_CARD = re.compile(rf"{_DIGIT}[2-6](?:[ -]?[0-9]){{12,18}}{_NO_DIGIT}")
_IBAN = re.compile(
    rf"{_ALONE}[A-Z]{{2}}[0-9]{{2}}(?: ?[A-Z0-9]{{4}}){{2,7}}(?: ?[A-Z0-9]{{1,3}})?{_END}"
)
_SSN = re.compile(
    rf"{_DIGIT}(?!000|666|9)[0-9]{{3}}-(?!00)[0-9]{{2}}-(?!0000)[0-9]{{4}}{_NO_DIGIT}"
)
_MOBILE = re.compile(
    rf"(?:\+|{_DIGIT})(?:(?:86|0086)[ -]?)?1[3-9][0-9](?:[ -]?[0-9]{{4}}){{2}}{_NO_DIGIT}"
)
_FIXED = re.compile(rf"{_DIGIT}(?:\(0[0-9]{{2,3}}\) ?|0[0-9]{{2,3}}[ -])[0-9]{{7,8}}{_NO_DIGIT}")
_ABROAD = re.compile(rf"\+[1-9][0-9]{{0,2}}(?:[ .-]?\(?[0-9]{{1,5}}\)?){{2,6}}{_NO_DIGIT}")
_AMERICAN = re.compile(
    rf"{_DIGIT}(?:\([2-9][0-9]{{2}}\) ?|[2-9][0-9]{{2}}[-. ])[2-9][0-9]{{2}}[-. ][0-9]{{4}}"
    rf"{_NO_DIGIT}"
)

# What a form may hold; a text can be divided wherever another character stands.
_WITHIN = re.compile(r"[0-9A-Za-z@._%+()\- -]")
_JOINS = re.compile(r"(?:[0-9+().\-]|(?<![A-Za-z0-9])[A-Z0-9]{4})[ -]*$")
"""An end after which a number may continue beyond a blank."""
_LOOK = 8
"""Characters that `_JOINS` reads, at most: blanks in a form stand alone."""


def is_resident(number: str) -> bool:
    """Return whether 18 characters are a resident identity number: date and check character."""
    try:
        born = datetime.date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(int(digit) * weight for digit, weight in zip(number, weights, strict=False))
    return born.year >= 1850 and "10X98765432"[total % 11] == number[17].upper()


def is_card(number: str) -> bool:
    """Return whether a number with its separators fulfils Luhn's formula, and has 13-19 digits."""
    digits = [int(character) for character in number if character.isdigit()]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return 13 <= len(digits) <= 19 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def is_iban(number: str) -> bool:
    """Return whether an account number fulfils MOD 97-10."""
    plain = number.replace(" ", "")
    moved = plain[4:] + plain[:4]
    return 15 <= len(plain) <= 34 and int("".join(str(int(c, 36)) for c in moved)) % 97 == 1


def _is_number(text: str) -> bool:
    return 7 <= sum(character.isdigit() for character in text) <= 15


_RULES: list[tuple[str, re.Pattern[str], Callable[[str], bool] | None]] = [
    ("email", _MAIL, None),
    ("id", _RESIDENT, is_resident),
    ("card", _CARD, is_card),
    ("iban", _IBAN, is_iban),
    ("id", _SSN, None),
    ("phone", _MOBILE, None),
    ("phone", _FIXED, None),
    ("phone", _ABROAD, _is_number),
    ("phone", _AMERICAN, None),
]
"""Name, form, and what else is required; earlier ones first where several fit."""


def redact(text: str, counts: Counter[str] | None = None) -> str:
    """Return a text with personal data, keys and tokens replaced by what they are: `[phone]`."""
    found: list[tuple[int, int, str]] = []
    plain = text.translate(_PLAIN)
    for name, form, is_valid in _RULES:
        for match in form.finditer(plain):
            first, last = match.span()
            overlaps = any(first < end and begin < last for begin, end, _ in found)
            if not overlaps and (is_valid is None or is_valid(match[0])):
                found.append((first, last, name))
    parts, at = [], 0
    for first, last, name in sorted(found):
        parts += [text[at:first], f"[{name}]"]
        at = last
        if counts is not None:
            counts[name] += 1
    safe = "".join([*parts, text[at:]])
    without = redaction.redact(safe, frozenset())
    if counts is not None and without != safe:
        counts["secret"] += 1
    return without


class Redactor:
    """Redaction of a text that arrives in pieces: what may still become a form is held back."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._held = ""

    def push(self, piece: str) -> str:
        """Return what can be shown by now, redacted."""
        self._held += piece
        at = _divided(self._held)
        ready, self._held = self._held[:at], self._held[at:]
        return redact(ready, self.counts)

    def close(self) -> str:
        """Return the rest."""
        ready, self._held = self._held, ""
        return redact(ready, self.counts)

    def stream(self, pieces: Iterable[str]) -> Iterator[str]:
        """Yield pieces, redacted."""
        for piece in pieces:
            if shown := self.push(piece):
                yield shown
        if shown := self.close():
            yield shown


def _divided(text: str) -> int:
    """Return where a text can be divided so that no form lies on both sides."""
    plain = text.translate(_PLAIN)
    least = max(0, len(plain) - LONGEST)
    for at in range(len(plain), least, -1):
        last = plain[at - 1]
        if not _WITHIN.match(last) or (
            last == " " and not _JOINS.search(plain[max(0, at - _LOOK) : at])
        ):
            return at
    return least
