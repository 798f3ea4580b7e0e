"""Long sentences of words in windows that fit a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def subwords(
    sentences: list[list[str]], tokenizer: PreTrainedTokenizerFast
) -> list[list[list[int]]]:
    """Return the token ids of each word; one that the tokenizer drops becomes the unknown.

    A piece that is the blank before a word and no more is left out where others follow: it is the
    first of most Chinese characters, and says nothing of them (SentencePiece).
    """
    blank = tokenizer.get_vocab().get("▁")
    encoded = tokenizer(sentences, is_split_into_words=True, add_special_tokens=False)
    result = []
    for i, words in enumerate(sentences):
        pieces: list[list[int]] = [[] for _ in words]
        for word, token in zip(encoded.word_ids(i), encoded["input_ids"][i], strict=True):
            if word is not None:
                pieces[word].append(token)
        pieces = [p[1:] if len(p) > 1 and p[0] == blank else p for p in pieces]
        result.append([p or [tokenizer.unk_token_id] for p in pieces])
    return result


def cut_windows(sizes: list[int], room: int, stride: int | None) -> list[tuple[int, int, int, int]]:
    """Return windows over words: (start, end, own_start, own_end), ends exclusive.

    A window holds the words [start, end) and answers for [own_start, own_end). Words that two
    windows share are answered for by the one in which they stand further from the edge. Without a
    stride there is one window, and the words after it are cut off.

    Args:
        sizes: Subwords of each word.
        room: Subwords that fit.
        stride: Subwords that neighbouring windows share at most.
    """
    windows: list[tuple[int, int]] = []
    start = 0
    while True:
        end, used = start, 0
        # A word counts as inside when its first subword is; only it is read.
        while end < len(sizes) and used < room:
            used += sizes[end]
            end += 1
        if stride is not None and used > room and end - start > 1:
            end -= 1  # the next window sees it whole
        windows.append((start, end))
        if stride is None or end >= len(sizes):
            break
        back, shared = end, 0
        while back - 1 > start and shared + sizes[back - 1] <= stride:
            back -= 1
            shared += sizes[back]
        start = back
    owned = []
    own_start = windows[0][0]
    for i, (start, end) in enumerate(windows):
        own_end = end if i + 1 == len(windows) else (windows[i + 1][0] + end + 1) // 2
        owned.append((start, end, own_start, own_end))
        own_start = own_end
    return owned
