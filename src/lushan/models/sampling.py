"""Processors that `generate` of transformers calls at each step: which token, and which text ends.

Chance is a pure function of (seed of the row, step, token), and not of what else is in the batch,
of the device, or of what has been drawn before: the same prompt with the same seed is continued by
the same text, alone or among others. Adding Gumbel noise to the scores and taking the largest
draws from their softmax exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, StoppingCriteria

from lushan.text.incremental import Reader

_FIRST = 1024
"""Candidates among which the nucleus is searched first: sorting a vocabulary is slow."""
_LEAST = 2.0**-24
"""Below 1, the largest number that float32 distinguishes from it."""


def _signed(number: int) -> int:
    """A 64-bit number as PyTorch's integers hold it."""
    number %= 1 << 64
    return number - (1 << 64) if number >> 63 else number


# SplitMix64 (Steele, Lea and Flood, 2014); integers of PyTorch wrap around as it wants.
_GOLDEN = 0x9E3779B97F4A7C15
_FIRST_FACTOR, _SECOND_FACTOR = _signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB)


def gumbel(seeds: Tensor, step: int, tokens: Tensor) -> Tensor:
    """Noise that turns the largest score into a draw, float32 (B, K).

    Args:
        seeds: One a row, int64 (B,).
        step: How many tokens the row had before.
        tokens: For which, int64 (K,) or (B, K).
    """
    # Steps are far apart, so that no step of one row is the next token of another.
    x = _scrambled(seeds + _signed((step + 1) * 0xD1B54A32D192ED03))[:, None]
    x = _scrambled(x + tokens * _signed(_GOLDEN))
    # (0, 1), with all 53 bits near 0, from where the large noise comes.
    uniform = _shifted(x, 11).float().add_(0.5).mul_(2.0**-53).clamp_(max=1 - _LEAST)
    return uniform.neg_().log1p_().neg_().log_().neg_()


def _scrambled(x: Tensor) -> Tensor:
    x = (x ^ _shifted(x, 30)).mul_(_FIRST_FACTOR)
    x = (x ^ _shifted(x, 27)).mul_(_SECOND_FACTOR)
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Shift right, filling up with zeros: PyTorch fills up with the sign."""
    return (x >> bits).bitwise_and_((1 << (64 - bits)) - 1)


class Sampling(LogitsProcessor):
    """Draws a token of each row; what `generate` then takes for the likeliest is the drawn one.

    Args:
        seeds: One a row.
        temperature: Scores are divided by it.
        top_k: Only so many of the likeliest are drawn from; 0 is all.
        top_p: Of those, only the likeliest that together have this probability.
    """

    def __init__(
        self, seeds: Sequence[int], *, temperature: float, top_k: int = 0, top_p: float = 1.0
    ) -> None:
        self.seeds = torch.tensor(seeds, dtype=torch.int64)
        self.temperature, self.top_k, self.top_p = temperature, top_k, top_p
        self.step = 0
        self.sought = _FIRST

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG002
        """Scores (B, V) of one step, changed so that the largest is a draw."""
        self.seeds = self.seeds.to(scores.device)
        scores = scores / self.temperature
        step, self.step = self.step, self.step + 1
        if self.top_p >= 1 and not 0 < self.top_k < scores.shape[-1]:
            tokens = torch.arange(scores.shape[-1], device=scores.device)
            return scores + gumbel(self.seeds, step, tokens)
        best, tokens = self.candidates(scores)
        winner = (best + gumbel(self.seeds, step, tokens)).argmax(-1, keepdim=True)
        alone = torch.full_like(scores, float("-inf"))
        return alone.scatter_(-1, tokens.gather(-1, winner), 0.0)

    def candidates(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """The scores that are drawn from, falling, and their tokens; both (B, K).

        Among them, those that are left out are -inf.
        """
        width = scores.shape[-1]
        most = self.top_k if 0 < self.top_k < width else width
        if self.top_p >= 1:
            found = scores.topk(most)
            return found.values, found.indices
        whole = scores if most == width else scores.topk(most).values
        total = whole.logsumexp(-1, keepdim=True)
        while True:
            found = scores.topk(min(self.sought, most))
            share = (found.values - total).exp().cumsum(-1)
            if self.sought >= most or bool((share[:, -1] >= self.top_p).all()):
                break
            self.sought *= 4  # and for the steps that follow
        # The first one that reaches it belongs to it, and so does what is as likely.
        last = (share < self.top_p).sum(-1, keepdim=True).clamp(max=share.shape[-1] - 1)
        least = found.values.gather(-1, last)
        return found.values.masked_fill(found.values < least, float("-inf")), found.indices


class RepetitionPenalty(LogitsProcessor):
    """Makes tokens that a row has already less likely (Keskar et al., 2019).

    As transformers has it, but padding before a short prompt is no part of it: where padding and
    the end of a text are one token, a row would otherwise end later among others than alone.

    Args:
        penalty: Positive scores are divided by it, negative ones multiplied.
        lengths: Of the prompts; everything before them is padding.
    """

    def __init__(self, penalty: float, lengths: Sequence[int]) -> None:
        self.penalty, self.lengths = penalty, torch.tensor(lengths)
        self.width: int | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (B, V) of one step, changed."""
        if self.width is None:
            self.width = input_ids.shape[1]
        first = (self.width - self.lengths)[:, None].to(input_ids.device)
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        there = torch.where(places >= first, input_ids, input_ids[:, -1:])
        less = torch.where(scores < 0, scores * self.penalty, scores / self.penalty)
        return scores.scatter(1, there, less.gather(1, there))


class Reading(StoppingCriteria):
    """Reads along: shows text as it comes, and ends rows at their stop strings.

    Args:
        readers: One a row.
        show: Gets what may be shown of the first row.
        cancelled: Whether all is to end here, asked after each token.
    """

    def __init__(
        self,
        readers: Sequence[Reader],
        show: Callable[[str], Any] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        self.readers, self.show = readers, show
        self.cancelled = cancelled or (lambda: False)
        self.over = False

    def __call__(self, input_ids: Tensor, scores: object, **_: object) -> Tensor:  # noqa: ARG002
        """Return which rows have ended, (B,)."""
        for row, (reader, token) in enumerate(
            zip(self.readers, input_ids[:, -1].tolist(), strict=True)
        ):
            text = reader.push(token)
            if text and row == 0 and self.show is not None:
                self.show(text)
        self.over = self.over or self.cancelled()
        done = [self.over or reader.stopped for reader in self.readers]
        return torch.tensor(done, dtype=torch.bool, device=input_ids.device)


class StopStrings(StoppingCriteria):
    """Ends beams at stop strings: beams change their rows, so each is read again.

    Args:
        texts: From the tokens of all rows to what they say beyond their prompts.
        stops: The strings.
    """

    def __init__(self, texts: Callable[[list[list[int]]], list[str]], stops: Sequence[str]) -> None:
        self.texts, self.stops = texts, stops

    def __call__(self, input_ids: Tensor, scores: object, **_: object) -> Tensor:  # noqa: ARG002
        """Return which rows have ended, (B,)."""
        texts = self.texts(input_ids.tolist())
        done = [any(stop in text for stop in self.stops) for text in texts]
        return torch.tensor(done, dtype=torch.bool, device=input_ids.device)
