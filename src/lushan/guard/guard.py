"""The guard: a score of whole texts, and of texts that are still being written."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from lushan.errors import in_a_line
from lushan.guard.personal import Redactor, redact

Score = Callable[[Sequence[str]], Sequence[float]]
"""From texts to the probability that each is unsafe."""

REFUSAL = "This cannot be answered here."
CONTEXT = 400
"""Characters that are scored together; longer texts are scored in parts that share half."""
WINDOW = 60
"""Characters that are held back from a reader of a stream."""
STRIDE = 20
"""New characters after which a stream is scored."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a guard says of a text.

    Attributes:
        is_safe: Whether it may pass.
        score: The probability that it is unsafe; None where the guard has failed.
        reason: Why it may not pass.
    """

    is_safe: bool
    score: float | None = None
    reason: str | None = None


class Guard:
    """Refuses unsafe texts, and redacts personal data. Where it fails, nothing passes.

    Args:
        score: The probability that a text is unsafe; None refuses nothing.
        threshold: A text above it is unsafe.
        redacts: Whether personal data are redacted.
        window: Characters that a stream holds back.
        refusal: What is said instead of an unsafe text.

    Attributes:
        counts: Texts that were refused, and what was redacted.
    """

    def __init__(
        self,
        score: Score | None,
        threshold: float = 0.5,
        *,
        redacts: bool = False,
        window: int = WINDOW,
        refusal: str = REFUSAL,
    ) -> None:
        self.score, self.threshold = score, threshold
        self.redacts, self.window, self.refusal = redacts, window, refusal
        self.counts: Counter[str] = Counter()

    def another(self) -> Guard:
        """Return a guard of the same settings, with counts of its own."""
        return Guard(
            self.score,
            self.threshold,
            redacts=self.redacts,
            window=self.window,
            refusal=self.refusal,
        )

    def check(self, text: str) -> Verdict:
        """Return whether a text may pass; a guard that raises, or gives no number, refuses it."""
        if self.score is None or not text.strip():
            return Verdict(is_safe=True)
        try:
            scores = [float(value) for value in self.score(_parts(text))]
            worst = max(scores)
            if not all(math.isfinite(value) for value in scores):
                raise ValueError("a score is not a number")
        except Exception as error:  # noqa: BLE001 - whatever fails, the text was not checked
            self.counts["guard failed"] += 1
            return Verdict(is_safe=False, reason=f"the guard failed: {in_a_line(error)}")
        if worst > self.threshold:
            return Verdict(is_safe=False, score=worst, reason="unsafe")
        return Verdict(is_safe=True, score=worst)

    def redacted(self, text: str) -> str:
        """Return a text without personal data, where they are redacted."""
        return redact(text, self.counts) if self.redacts else text

    def open_stream(self) -> Stream:
        """Return a stream for the pieces of one text."""
        return Stream(self)

    def stream(self, pieces: Iterable[str]) -> Iterator[str]:
        """Yield what may be shown of pieces of a text; the refusal where it becomes unsafe.

        No more pieces are taken then.
        """
        stream = self.open_stream()
        for piece in pieces:
            if shown := stream.push(piece):
                yield shown
            if stream.refused is not None:
                break
        if shown := stream.close():
            yield shown


class Stream:
    """A text that is checked while it arrives.

    A character is shown when the guard has found the text safe together with the `window`
    characters that follow it, or with all of its rest.
    """

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.refused: Verdict | None = None
        self._text, self._shown, self._checked = "", 0, 0
        self._redactor = Redactor() if guard.redacts else None

    def push(self, piece: str) -> str:
        """Take a piece; return what may be shown by now."""
        if self.refused is not None:
            return ""
        self._text += piece
        if self.guard.score is None:
            return self._released(len(self._text))
        if len(self._text) - self._checked < STRIDE:
            return ""
        if not self._passes():
            return ""
        return self._released(len(self._text) - self.guard.window)

    def close(self) -> str:
        """End the text; return its rest, or the refusal."""
        rest = ""
        if self.refused is None and self._passes():
            rest = self._released(len(self._text))
            rest += "" if self._redactor is None else self._redactor.close()
            if self._redactor is not None:
                self.guard.counts.update(self._redactor.counts)
        if self.refused is None:
            return rest
        self.guard.counts["answers refused"] += 1
        return f"\n{self.guard.refusal}" if self._shown else self.guard.refusal

    def _passes(self) -> bool:
        """Check what has arrived, with as much before it as is scored together."""
        self._checked = len(self._text)
        start = max(0, min(self._shown, len(self._text) - CONTEXT))
        verdict = self.guard.check(self._text[start:])
        if not verdict.is_safe:
            self.refused = verdict
        return verdict.is_safe

    def _released(self, end: int) -> str:
        ready = self._text[self._shown : max(self._shown, end)]
        self._shown += len(ready)
        return ready if self._redactor is None else self._redactor.push(ready)


def _parts(text: str) -> list[str]:
    """Return a text in parts that are scored: each shares half with the one before it."""
    if len(text) <= CONTEXT:
        return [text]
    starts = range(0, len(text) - CONTEXT // 2, CONTEXT // 2)
    return [text[start : start + CONTEXT] for start in starts]
