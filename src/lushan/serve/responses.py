"""Responses of texts as they grow, and the forms that they are written down in."""

from __future__ import annotations

import dataclasses
import functools
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from lushan.models.decoding import Finish, Written
from lushan.serve.exchange import Exchange
from lushan.serve.schemas import (
    Answer,
    ChatChoice,
    ChatLogprobs,
    ChatResponse,
    CompletionChoice,
    CompletionLogprobs,
    CompletionResponse,
    TokenLogprob,
    Usage,
    Writing,
)
from lushan.serve.texts import Prepared, Stripped, Texts
from lushan.serve.token_texts import TokenTexts
from lushan.serve.writing import Asked, Ended, Event, Piece, Score

FINISH: Mapping[Finish, str] = {
    "end": "stop",
    "stop": "stop",
    "length": "length",
    "refused": "content_filter",
}
"""How a text has ended, as OpenAI's interface has it."""


@dataclasses.dataclass
class Choice:
    """One text of a response, as it grows.

    Attributes:
        text: What was shown of it.
        scores: Of its tokens, where they are wanted.
        finish: How it ended.
        tokens: How many it has.
    """

    strip: Stripped | None
    text: str = ""
    scores: list[Score] = dataclasses.field(default_factory=list)
    finish: str | None = None
    tokens: int = 0

    def show(self, piece: str) -> str:
        """Append a piece; return what of it may be shown."""
        shown = piece if self.strip is None else self.strip(piece)
        self.text += shown
        return shown


class Answering:
    """A request being answered: its choices, in the order of prompts and samples.

    Args:
        texts: The model.
        request: What was asked for.
        prepared: The prompts.
        scores: Of how many tokens log probabilities are wanted; None for none.
        exchange: Takes events.
        chat: Whether it is a message.
    """

    def __init__(
        self,
        texts: Texts,
        request: Writing,
        prepared: Sequence[Prepared],
        scores: int | None,
        exchange: Exchange,
        *,
        chat: bool,
    ) -> None:
        self.texts, self.request, self.prepared = texts, request, prepared
        self.exchange, self.chat = exchange, chat
        self.each = prepared[0].settings.num_samples
        strip = texts.strips(chat=chat)
        self.choices = [
            Choice(Stripped() if strip else None) for _ in range(self.each * len(prepared))
        ]
        self.checks = texts.checks
        self.streams = (
            None if self.checks is None else [self.checks.guard.open_stream() for _ in self.choices]
        )
        for number, one in enumerate(prepared):
            send = functools.partial(exchange.send_to, number)
            if one.passes:
                asked = Asked(one.ids, one.settings, send, one.media, scores)
                exchange.ask(number, texts.writer, asked)
            else:
                self._refuse(number, send)

    def _refuse(self, number: int, send: Callable[[Event], None]) -> None:
        """Answer a prompt that the guard does not let pass."""
        assert self.checks is not None
        refused = Written([], self.checks.guard.refusal, "refused")
        self.exchange.expect(number, self.each)
        for sample in range(self.each):
            send(Ended(sample, refused))

    async def pieces(self) -> AsyncIterator[tuple[int, str, Score | None]]:
        """Yield the number of a choice, what is new in it, and the score of its last token."""
        async for number, event in self.exchange.events():
            assert isinstance(event, Piece | Ended)
            index = number * self.each + event.sample
            choice = self.choices[index]
            if isinstance(event, Piece):
                shown = choice.show(await self._passed(index, event.text))
                if event.score is not None:
                    choice.scores.append(event.score)
                yield index, shown, event.score
                if not self._refused(index):
                    continue
                self.exchange.leave(number, event.sample)
                written = Written([], "", "refused")
            else:
                written = event.written
            if rest := choice.show(await self._rest(index, written)):
                yield index, rest, None
            finish: Finish = "refused" if self._refused(index) else written.finish
            choice.finish = FINISH.get(finish, "length")
            choice.tokens = len(written.ids)
            yield index, "", None

    async def _passed(self, index: int, piece: str) -> str:
        """Return what may be shown of a text after one more piece of it."""
        if self.streams is None or self.checks is None:
            return piece
        return await self.checks.push(self.streams[index], piece)

    async def _rest(self, index: int, written: Written) -> str:
        """Return what was held back of a text that has ended, or the refusal.

        Where the response is sent whole, the refusal stands in place of the text.
        """
        if self.streams is None or self.checks is None:
            return ""
        if not written.ids and written.finish == "refused" and not self._refused(index):
            return written.text  # of a prompt that was refused
        rest = await self.checks.end(self.streams[index])
        if self._refused(index) and not self.request.stream:
            self.choices[index].text = ""
            return self.checks.guard.refusal
        return rest

    def _refused(self, index: int) -> bool:
        return self.streams is not None and self.streams[index].refused is not None

    @property
    def usage(self) -> Usage:
        """Tokens of the prompts, each counted once, and of all texts."""
        read = sum(len(one.ids) for one in self.prepared)
        written = sum(choice.tokens for choice in self.choices)
        return Usage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)

    @property
    def notes(self) -> list[str]:
        """What was cut."""
        return [note for one in self.prepared for note in one.notes]


class Form:
    """How an answer is written down.

    Args:
        name: Of the model.
        tokens: Texts of its tokens; None where no scores are wanted.
        wants_scores: Whether log probabilities are wanted.
    """

    prefix: str
    chunk: str

    def __init__(self, name: str, tokens: TokenTexts | None, *, wants_scores: bool) -> None:
        self.name, self.tokens, self.wants_scores = name, tokens, wants_scores
        self.head: dict[str, Any] = {
            "id": f"{self.prefix}-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": name,
        }

    def scores(self, scores: Sequence[Score]) -> list[TokenLogprob]:
        """Return log probabilities as they are written down."""
        assert self.tokens is not None
        return [self.tokens.written(score) for score in scores]

    def whole(self, response: Answering) -> BaseModel:
        """Return a whole response."""
        raise NotImplementedError

    def delta(self, index: int, text: str, score: Score | None) -> dict[str, Any]:
        """Return a choice of a chunk."""
        raise NotImplementedError

    def begin(self, index: int) -> dict[str, Any] | None:
        """Return a choice of the first chunk; None where there is none."""
        del index
        return None

    def end(self, index: int, finish: str) -> dict[str, Any]:
        """Return a choice of its last chunk."""
        raise NotImplementedError


class ChatForm(Form):
    """Messages."""

    prefix, chunk = "chatcmpl", "chat.completion.chunk"

    def _logprobs(self, scores: Sequence[Score]) -> ChatLogprobs | None:
        return ChatLogprobs(content=self.scores(scores)) if self.wants_scores else None

    def whole(self, response: Answering) -> BaseModel:
        """Return a whole response."""
        choices = [
            ChatChoice(
                index=index,
                message=Answer(content=choice.text),
                finish_reason=choice.finish,  # type: ignore[arg-type]
                logprobs=self._logprobs(choice.scores),
            )
            for index, choice in enumerate(response.choices)
        ]
        return ChatResponse(
            **self.head, choices=choices, usage=response.usage, notes=response.notes
        )

    def begin(self, index: int) -> dict[str, Any] | None:
        """Return a choice of the first chunk, which says who speaks."""
        delta = {"role": "assistant", "content": ""}
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}

    def delta(self, index: int, text: str, score: Score | None) -> dict[str, Any]:
        """Return a choice of a chunk."""
        found = None if score is None else self._logprobs([score])
        logprobs = None if found is None else found.model_dump()
        delta = {"content": text}
        return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": None}

    def end(self, index: int, finish: str) -> dict[str, Any]:
        """Return a choice of its last chunk."""
        return {"index": index, "delta": {}, "logprobs": None, "finish_reason": finish}


class TextForm(Form):
    """Continuations."""

    prefix, chunk = "cmpl", "text_completion"

    def _logprobs(self, scores: Sequence[Score]) -> CompletionLogprobs | None:
        if not self.wants_scores:
            return None
        tokens = self.scores(scores)
        offsets, at = [], 0
        for token in tokens:
            offsets.append(at)
            at += len(token.token)
        return CompletionLogprobs(
            tokens=[token.token for token in tokens],
            token_logprobs=[token.logprob for token in tokens],
            top_logprobs=[{t.token: t.logprob for t in token.top_logprobs} for token in tokens],
            text_offset=offsets,
        )

    def whole(self, response: Answering) -> BaseModel:
        """Return a whole response."""
        choices = [
            CompletionChoice(
                index=index,
                text=choice.text,
                finish_reason=choice.finish,  # type: ignore[arg-type]
                logprobs=self._logprobs(choice.scores),
            )
            for index, choice in enumerate(response.choices)
        ]
        return CompletionResponse(
            **self.head, choices=choices, usage=response.usage, notes=response.notes
        )

    def delta(self, index: int, text: str, score: Score | None) -> dict[str, Any]:
        """Return a choice of a chunk."""
        found = None if score is None else self._logprobs([score])
        logprobs = None if found is None else found.model_dump()
        return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": None}

    def end(self, index: int, finish: str) -> dict[str, Any]:
        """Return a choice of its last chunk."""
        return {"index": index, "text": "", "logprobs": None, "finish_reason": finish}
