"""Round trip of a text through a tokenizer: whether its tokens give the text back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lushan.errors import shorten

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_AT_ONCE = 1000
_SHOWN = 40
"""Characters of an example."""


def lost(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> str | None:
    """Return how many texts change by encoding and decoding, with the first; None if none do.

    A space before a text, which byte-level tokenizers put there, is no loss.

    Args:
        tokenizer: Of transformers, fast.
        texts: As they are read.
    """
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    changed, example = 0, ""
    for start in range(0, len(texts), _AT_ONCE):
        batch = list(texts[start : start + _AT_ONCE])
        found = backend.encode_batch_fast(batch, add_special_tokens=False)
        again = backend.decode_batch([e.ids for e in found], skip_special_tokens=False)
        for text, back in zip(batch, again, strict=True):
            if back in (text, f" {text}"):
                continue
            changed += 1
            example = example or _difference(text, back if text[:1] == " " else back.lstrip(" "))
    if not changed:
        return None
    return (
        f"{changed:,} of {len(texts):,} texts change when they are encoded and decoded ({example})"
    )


def _difference(text: str, back: str) -> str:
    """Return where two texts differ: `'The end'` comes back as `'the end'`."""
    pairs = enumerate(zip(text, back, strict=False))
    place = next((i for i, (a, b) in pairs if a != b), min(len(text), len(back)))
    start = max(0, place - _SHOWN // 4)
    one, other = (shorten(whole[start : start + _SHOWN]) for whole in (text, back))
    return f"{one} as {other}"
