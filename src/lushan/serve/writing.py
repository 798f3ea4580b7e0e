"""Texts for several clients at once: one batch that their requests join and leave."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lushan.inference.generator import TextGenerator
from lushan.models.decoding import Settings, Written
from lushan.models.running_batch import Row, RunningBatch, takes_rows
from lushan.serve.worker import Worker

if TYPE_CHECKING:
    from lushan.vision.reader import Seen

_PREFILL = 4096
"""Padded tokens of prompts that are read in one step, while running texts wait."""


@dataclasses.dataclass(frozen=True)
class Score:
    """A token that was written, with its log probability.

    Attributes:
        token: Its id.
        logprob: Of the model's own distribution, before temperature and other settings.
        best: The likeliest tokens in its place, with theirs.
    """

    token: int
    logprob: float
    best: Sequence[tuple[int, float]]


@dataclasses.dataclass(frozen=True)
class Piece:
    """A piece of a text that is being written.

    Attributes:
        sample: The number of the text.
        text: What may be shown.
        score: Of its last token, where it was asked for.
    """

    sample: int
    text: str
    score: Score | None = None


@dataclasses.dataclass(frozen=True)
class Ended:
    """A text that has ended."""

    sample: int
    written: Written


@dataclasses.dataclass(frozen=True)
class Failed:
    """A request that cannot be answered."""

    error: Exception


Event = Piece | Ended | Failed


@dataclasses.dataclass(eq=False)
class Asked:
    """A request for texts.

    Attributes:
        prompt: Tokens that leave room.
        settings: How; `num_samples` texts.
        send: Takes what becomes of it, in the worker's thread.
        media: What the model reads of the prompt's images.
        scores: Of how many likeliest tokens log probabilities are wanted; None for none.
        cancelled: Set where nobody waits for it any more.
        over: Numbers of its texts that nobody waits for any more.
    """

    prompt: list[int]
    settings: Settings
    send: Callable[[Event], None]
    media: Seen | None = None
    scores: int | None = None
    cancelled: bool = False
    over: set[int] = dataclasses.field(default_factory=set)


@dataclasses.dataclass(eq=False)
class _Sample:
    """One of the texts of a request, and its row once it is being written."""

    asked: Asked
    number: int
    row: Row

    @property
    def cancelled(self) -> bool:
        return self.asked.cancelled or self.number in self.asked.over


class Writer(abc.ABC):
    """Writes texts in a thread of its own."""

    scores_tokens: bool = False
    """Whether it gives log probabilities."""

    @abc.abstractmethod
    def ask(self, asked: Asked) -> None:
        """Queue a request.

        Raises:
            Busy: There is no room.
        """

    @property
    @abc.abstractmethod
    def waiting(self) -> int:
        """What waits."""

    @property
    @abc.abstractmethod
    def running(self) -> int:
        """Texts that are being written."""

    @abc.abstractmethod
    def close(self) -> None:
        """End the thread."""


class Together(Worker[_Sample], Writer):
    """Writes the texts of all requests in one batch (continuous batching).

    A text is that of `lushan generate` with the same settings: the others have no part in it, up
    to what arithmetic in other shapes rounds otherwise.

    Args:
        generator: Whose rows may join and leave a batch (`takes_rows`).
        size: Texts in the batch.
        capacity: Texts that may wait.
    """

    scores_tokens = True

    def __init__(self, generator: TextGenerator, *, size: int, capacity: int) -> None:
        self.generator, self.size = generator, size
        self._batch = RunningBatch(generator.model, generator.tokenizer.pad_token_id)
        self._samples: list[_Sample] = []
        super().__init__(f"writing {generator.place}", capacity)

    @property
    def running(self) -> int:
        """Texts that are being written."""
        return len(self._samples)

    def ask(self, asked: Asked) -> None:
        """Queue a request; see `Writer.ask`."""
        self.submit(*(self._sample(asked, i) for i in range(asked.settings.num_samples)))

    def _sample(self, asked: Asked, number: int) -> _Sample:
        row = Row(
            asked.prompt,
            asked.settings,
            number,
            tokenizer=self.generator.tokenizer,
            endings=self.generator.endings,
        )
        return _Sample(asked, number, row)

    @torch.inference_mode()
    def work(self) -> None:
        """Write one token of each text."""
        self._leave([s for s in self._samples if not s.cancelled])
        newcomers = self._newcomers()
        if not newcomers and not self._samples:
            return
        try:
            scores = self._batch.advance([sample.row for sample in newcomers])
            self._samples += newcomers
            for sample, row in zip(self._samples, scores, strict=True):
                self._take(sample, row)
        except Exception as error:  # noqa: BLE001 - the requests fail, the server goes on
            self._fail([*self._samples, *newcomers], error)
            return
        running = [sample for sample in self._samples if sample.row.finish is None]
        self.done(len(self._samples) - len(running))
        self._leave(running)

    def _newcomers(self) -> list[_Sample]:
        found: list[_Sample] = []
        width = 0
        while len(self._samples) + len(found) < self.size:
            upcoming = self.peek()
            if upcoming is None:
                break
            width = max(width, len(upcoming.row.prompt))
            if found and width * (len(found) + 1) > _PREFILL:
                break
            found += self.take(1)
        return found

    def _take(self, sample: _Sample, scores: Tensor) -> None:
        token = sample.row.choose(scores)
        asked = sample.asked
        score = None if asked.scores is None else score_of(scores, token, asked.scores)
        shown = sample.row.take(token)
        if shown or score is not None:
            asked.send(Piece(sample.number, shown, score))
        if sample.row.finish is not None:
            asked.send(Ended(sample.number, sample.row.written))

    def _leave(self, staying: list[_Sample]) -> None:
        kept = set(map(id, staying))
        self._batch.keep([i for i, sample in enumerate(self._samples) if id(sample) in kept])
        self._samples = staying

    def _fail(self, samples: Sequence[_Sample], error: Exception) -> None:
        for asked in {id(sample.asked): sample.asked for sample in samples}.values():
            asked.send(Failed(error))
            asked.cancelled = True
        self._batch = RunningBatch(self.generator.model, self.generator.tokenizer.pad_token_id)
        self._samples = []


class InTurn(Worker[Asked], Writer):
    """Writes the texts of one request after the other, by transformers' own `generate`.

    For models whose rows cannot join a batch: encoder-decoders, those with images or learned
    prompts, and those that keep another state than keys and values.

    Args:
        generator: Any.
        capacity: Requests that may wait.
    """

    def __init__(self, generator: TextGenerator, *, capacity: int) -> None:
        self.generator = generator
        self._running = 0
        super().__init__(f"writing {generator.place}", capacity)

    @property
    def running(self) -> int:
        """Texts that are being written."""
        return self._running

    def ask(self, asked: Asked) -> None:
        """Queue a request; see `Writer.ask`."""
        self.submit(asked)

    def work(self) -> None:
        """Write the texts of one request."""
        for asked in self.take(1):
            self._running = asked.settings.num_samples
            try:
                self._write(asked)
            except Exception as error:  # noqa: BLE001 - the request fails, the server goes on
                asked.send(Failed(error))
            self._running = 0
            self.done(1)

    def _write(self, asked: Asked) -> None:
        shown: list[str] = []

        def show(text: str) -> None:
            shown.append(text)
            asked.send(Piece(0, text))

        streams = asked.settings.beams == 1
        written = self.generator.write(
            [asked.prompt],
            asked.settings,
            media=None if asked.media is None else [asked.media],
            batch_size=max(asked.settings.num_samples, asked.settings.beams),
            show=show if streams else None,
            cancelled=(lambda: asked.cancelled or 0 in asked.over) if streams else None,
        )[0]
        for sample, text in enumerate(written):
            rest = text.text if sample else text.text[len("".join(shown)) :]
            if rest:
                asked.send(Piece(sample, rest))
            asked.send(Ended(sample, text))


def writer_of(generator: TextGenerator, *, size: int, capacity: int) -> Writer:
    """Return the quicker writer of those that a model works with."""
    if generator.media([]) is None and takes_rows(
        generator.model, generator.tokenizer.pad_token_id
    ):
        return Together(generator, size=size, capacity=capacity)
    return InTurn(generator, capacity=capacity)


def score_of(scores: Tensor, token: int, most: int) -> Score:
    """Return the log probability of a token, and of the likeliest ones in its place.

    Args:
        scores: The model's, float32 (V,).
        token: That was written.
        most: How many of the likeliest.
    """
    found = torch.log_softmax(scores, -1)
    best = found.topk(min(most, len(found)))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return Score(token, float(found[token]), list(pairs))
