"""Vectors of items from their texts: of words that are learned, or of an encoder as it is."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from lushan.models import encoders
from lushan.models.item_scores import words_of
from lushan.models.pooling import pooler

FEWEST = 2
"""Texts of items in training that a word must stand in to have a vector of its own."""
_AT_ONCE, _LONGEST = 64, 128


class WordTexts(nn.Module):
    """The mean of the vectors of a text's words, learned from nothing.

    Args:
        texts: Of each item, (I,).
        width: Of the vectors.
        learned: Which items occur in training, (I,): a word of others alone would never be learned.
    """

    words: Tensor
    starts: Tensor

    def __init__(self, texts: Sequence[str], width: int, learned: Sequence[bool]) -> None:
        super().__init__()
        split = [words_of(text) for text in texts]
        numbers = _vocabulary(list(itertools.compress(split, learned)))
        # What has no known word has the vector of number 0.
        known = [[numbers[w] for w in words if w in numbers] or [0] for words in split]
        starts = np.cumsum([0, *(len(words) for words in known)])[:-1]
        every = torch.tensor([word for words in known for word in words])
        self.register_buffer("words", every, persistent=False)
        self.register_buffer("starts", torch.from_numpy(starts), persistent=False)
        self.bag = nn.EmbeddingBag(1 + len(numbers), width, mode="mean")
        nn.init.normal_(self.bag.weight, std=0.05)

    def forward(self) -> Tensor:
        """Return the vectors of all items, (I, H)."""
        return cast(Tensor, self.bag(self.words, self.starts))


class FrozenTexts(nn.Module):
    """A linear layer over vectors that stay as they are.

    Args:
        vectors: Of all items' texts, (I, D).
        width: Of the items' vectors.
    """

    vectors: Tensor

    def __init__(self, vectors: Tensor, width: int) -> None:
        super().__init__()
        self.register_buffer("vectors", vectors)
        self.layer = nn.Linear(vectors.shape[1], width)

    def forward(self) -> Tensor:
        """Return the vectors of all items, (I, H)."""
        return cast(Tensor, self.layer(self.vectors))


def made(
    texts: Sequence[str],
    width: int,
    path: str | None,
    *,
    known: int | None,
    learned: Sequence[bool],
) -> WordTexts | FrozenTexts:
    """Make what gives vectors of items.

    Args:
        texts: Of each item, (I,).
        width: Of the items' vectors.
        path: Of an encoder; None learns the vectors of words.
        known: Width of the encoder's vectors, which come from a checkpoint; None computes them.
        learned: Which items occur in training, (I,).
    """
    if path is None:
        return WordTexts(texts, width, learned)
    if known is not None:
        return FrozenTexts(torch.zeros(len(texts), known), width)
    return FrozenTexts(vectors_of(texts, path), width)


@torch.no_grad()
def vectors_of(texts: Sequence[str], path: str) -> Tensor:
    """Return the mean hidden states of texts, (I, D), each of length sqrt(D)."""
    from lushan.data import processing

    processor = processing.pretrained(path)
    tokenizer: Any = processing.require_tokenizer(processor)
    sizes: Any = processing.vocabulary(processor)
    encoder: Any = encoders.pretrained(path, **sizes)
    encoder.eval()
    pool = pooler("mean", encoder.width)
    order = np.argsort([len(text) for text in texts], kind="stable")
    found = torch.zeros(len(texts), encoder.width)
    for start in range(0, len(order), _AT_ONCE):
        places = order[start : start + _AT_ONCE]
        read = tokenizer(
            [texts[place] for place in places],
            padding=True,
            truncation=True,
            max_length=_LONGEST,
            return_tensors="pt",
        )
        found[torch.from_numpy(places)] = pool(encoder(**read), read["attention_mask"])
    return nn.functional.normalize(found, dim=-1) * encoder.width**0.5


def _vocabulary(texts: Sequence[Sequence[str]]) -> dict[str, int]:
    """Return numbers, from 1, of the words that stand in several texts."""
    counts = Counter(word for words in texts for word in dict.fromkeys(words))
    kept = [word for word, count in counts.items() if count >= FEWEST]
    return {word: number for number, word in enumerate(kept, 1)}
