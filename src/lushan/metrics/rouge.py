"""ROUGE-1, -2, -L and -Lsum as the package rouge-score computes them, in English and in Chinese.

Of several references the one with the highest F-measure counts, for each text and each measure by
itself, as rouge-score and the papers with several references (SciTLDR) have it.

Words are rouge-score's in English: what is left between all characters but a-z and 0-9, in lower
case, so that accents split words, and other scripts do not count. In Chinese (`zh`) each CJK
character (Chinese, kana, Hangul) is a token, and what stands between them is split as in English;
punctuation counts in neither. Sentences of ROUGE-Lsum are lines; in a text of one line it is
ROUGE-L.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Language = Literal["en", "zh"]
Array = NDArray[np.float64]

KINDS = ("rouge1", "rouge2", "rougeL", "rougeLsum")
_CJK = re.compile(
    r"[\u3005\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff"
    r"\U00020000-\U0003ffff]"
)


def language_of(texts: Sequence[str]) -> Language:
    """`zh` where at least a tenth of some texts are Chinese, by half of their letters; else `en`.

    In mixed texts `zh` takes English words as `en` does, but `en` sees nothing of Chinese.
    """
    chinese = 0
    for text in texts:
        found = len(_CJK.findall(text))
        chinese += bool(found) and 2 * found >= sum(map(str.isalpha, text))
    return "zh" if chinese and 10 * chinese >= len(texts) else "en"


class Tokens:
    """Splits text for ROUGE; rouge-score takes it as its tokenizer.

    Args:
        language: `en` is rouge-score's own, `zh` counts CJK characters.
        stem: Whether English words of more than three letters lose their endings (Porter).
    """

    def __init__(self, language: Language, *, stem: bool = False) -> None:
        from rouge_score import tokenizers

        self.language = language
        self.words = tokenizers.DefaultTokenizer(use_stemmer=stem)
        # rouge-score asks for the tokens of every text again and again.
        self.tokenize = functools.lru_cache(maxsize=4096)(self._tokenize)

    def _tokenize(self, text: str) -> list[str]:
        if self.language == "en":
            return list(self.words.tokenize(text))
        found: list[str] = []
        at = 0
        for match in _CJK.finditer(text):
            found += self.words.tokenize(text[at : match.start()])
            found.append(match[0])
            at = match.end()
        return found + list(self.words.tokenize(text[at:]))


def rouge(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    tokens: Tokens,
) -> dict[str, Array]:
    """The F-measures of each text.

    Args:
        predictions: Texts; an empty one scores 0.
        references: At least one for each; an empty one is worth 0, also to an empty prediction.
        tokens: How they are split.

    Returns:
        `rouge1`, `rouge2`, `rougeL`, `rougeLsum` to (N,), each between 0 and 1.
    """
    from rouge_score.rouge_scorer import RougeScorer

    scorer: Any = RougeScorer(list(KINDS), tokenizer=tokens)
    rows = [
        scorer.score_multi(list(several), prediction)
        for prediction, several in zip(predictions, references, strict=True)
    ]
    return {kind: np.array([row[kind].fmeasure for row in rows], dtype=float) for kind in KINDS}
