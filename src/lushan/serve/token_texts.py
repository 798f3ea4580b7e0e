"""Single tokens as texts and bytes, for log probabilities."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from lushan.serve.schemas import TokenLogprob, TopLogprob
from lushan.serve.writing import Score
from lushan.text.incremental import BROKEN

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@functools.cache
def _bytes_of_letters() -> dict[str, int]:
    """Return the byte that each letter of a byte-level vocabulary stands for (GPT-2)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {chr(byte): byte for byte in printable}
    return letters | {chr(256 + i): byte for i, byte in enumerate(others)}


class TokenTexts:
    """The texts of a tokenizer's tokens.

    Args:
        tokenizer: Of transformers.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self.special = frozenset(tokenizer.all_special_ids)
        backend = getattr(tokenizer, "backend_tokenizer", None)
        self.by_bytes = "ByteLevel" in str(getattr(backend, "decoder", ""))

    def text(self, token: int) -> str:
        """Return the text of a token by itself; of part of a character `bytes:` and its bytes."""
        text = self._decoded(token)
        if BROKEN in text and (found := self.bytes(token)):
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in found)
        return text

    def _decoded(self, token: int) -> str:
        return str(self.tokenizer.decode([token], skip_special_tokens=False))

    def bytes(self, token: int) -> list[int] | None:
        """Return the bytes of a token; None where they are not known."""
        piece = str(self.tokenizer.convert_ids_to_tokens(token))
        if found := _BYTE.fullmatch(piece):
            return [int(found[1], 16)]
        letters = _bytes_of_letters()
        if self.by_bytes and token not in self.special and all(c in letters for c in piece):
            return [letters[c] for c in piece]
        text = self._decoded(token)
        return None if BROKEN in text else list(text.encode())

    def top(self, token: int, logprob: float) -> TopLogprob:
        """Return a token as it stands among the likeliest."""
        return TopLogprob(token=self.text(token), logprob=logprob, bytes=self.bytes(token))

    def written(self, score: Score) -> TokenLogprob:
        """Return a token that was written, with those that might have been."""
        return TokenLogprob(
            token=self.text(score.token),
            logprob=score.logprob,
            bytes=self.bytes(score.token),
            top_logprobs=[self.top(token, logprob) for token, logprob in score.best],
        )
