"""Segmentation into words, to mask whole words: by spaces, and in Chinese by a segmenter."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from lushan.common import extras

if TYPE_CHECKING:
    from types import ModuleType

    from tokenizers import Encoding

Segmenter = Literal["characters", "jieba"]


def word_numbers(encoding: Encoding, text: str, segmenter: Segmenter) -> NDArray[np.int32]:
    """The number of the word that each token is of, ascending.

    Args:
        encoding: Of the package tokenizers, with offsets into `text`.
        text: What was encoded.
        segmenter: What a word is where there are no spaces.
    """
    if segmenter == "characters":
        return np.asarray([-1 if w is None else w for w in encoding.word_ids], dtype=np.int32)
    borders = _borders(text)
    starts = np.asarray([start for start, _ in encoding.offsets], dtype=np.int64)
    return (np.searchsorted(borders, starts, side="right") - 1).astype(np.int32)


def _borders(text: str) -> NDArray[np.int64]:
    """Return where words begin, in characters."""
    sizes = [len(word) for word in _jieba().cut(text)]
    return np.cumsum([0, *sizes])[:-1] if sizes else np.zeros(1, dtype=np.int64)


@functools.cache
def _jieba() -> ModuleType:
    extras.require("zh", "jieba", what="the segmenter", key="task.segmenter", value="jieba")
    import jieba

    jieba.setLogLevel(logging.WARNING)
    return jieba
