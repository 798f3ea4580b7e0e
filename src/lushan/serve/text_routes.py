"""`/v1/chat/completions` and `/v1/completions`, whole or streamed."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from lushan.models.decoding import Finish
from lushan.serve.exchange import EventStream, Exchange, unless_gone
from lushan.serve.failures import Refused
from lushan.serve.limits import Bounds
from lushan.serve.schemas import (
    Answer,
    ChatChoice,
    ChatLogprobs,
    ChatRequest,
    ChatResponse,
    CompletionChoice,
    CompletionLogprobs,
    CompletionRequest,
    CompletionResponse,
    TokenLogprob,
    Usage,
    Writing,
)
from lushan.serve.served import Runs
from lushan.serve.texts import Prepared, Stripped, Texts
from lushan.serve.token_texts import TokenTexts
from lushan.serve.writing import Asked, Ended, Piece, Score

FINISH: Mapping[Finish, str] = {"end": "stop", "stop": "stop", "length": "length"}
"""How a text has ended, as OpenAI's interface has it."""
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
STREAM = {"description": "With `stream`, chunks as server-sent events.", "content": {}}
STREAM["content"] = {"text/event-stream": {"schema": {"type": "string"}}}


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
        for number, one in enumerate(prepared):
            send = functools.partial(exchange.send_to, number)
            exchange.ask(texts.writer, Asked(one.ids, one.settings, send, one.media, scores))

    async def pieces(self) -> AsyncIterator[tuple[int, str, Score | None]]:
        """Yield the number of a choice, what is new in it, and the score of its last token."""
        async for number, event in self.exchange.events():
            assert isinstance(event, Piece | Ended)
            index = number * self.each + event.sample
            choice = self.choices[index]
            if isinstance(event, Ended):
                choice.finish = FINISH.get(event.written.finish, "length")
                choice.tokens = len(event.written.ids)
                yield index, "", None
                continue
            if event.score is not None:
                choice.scores.append(event.score)
            yield index, choice.show(event.text), event.score

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
        tokens: Texts of its tokens.
        wants_scores: Whether log probabilities are wanted.
    """

    prefix: str
    chunk: str

    def __init__(self, name: str, tokens: TokenTexts, *, wants_scores: bool) -> None:
        self.name, self.tokens, self.wants_scores = name, tokens, wants_scores
        self.head: dict[str, Any] = {
            "id": f"{self.prefix}-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": name,
        }

    def scores(self, scores: Sequence[Score]) -> list[TokenLogprob]:
        """Return log probabilities as they are written down."""
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


def routes(runs: Runs, bounds: Bounds, errors: Mapping[int | str, Any]) -> APIRouter:
    """Return the routes of runs that write.

    Args:
        runs: That are served.
        bounds: Of a request.
        errors: Responses of requests that are refused, for the document.
    """
    router = APIRouter(tags=["texts"])
    responses: Any = {**errors, 200: STREAM}

    @router.post(CHAT, response_model=ChatResponse, responses=responses)
    async def chat(request: Request, body: ChatRequest) -> Response:
        """Write the next message of a dialogue."""
        run = runs.find(body.model, CHAT)
        texts = run.writes
        assert texts is not None
        if body.max_tokens and body.max_completion_tokens:
            raise Refused(400, "give max_tokens or this", param="max_completion_tokens")
        if body.top_logprobs is not None and not body.logprobs:
            raise Refused(400, "top_logprobs need logprobs", param="top_logprobs")
        wanted = body.max_completion_tokens or body.max_tokens

        def prepare() -> list[Prepared]:
            return [texts.dialogue(body.messages, body, wanted)]

        form = ChatForm(run.name, run.tokens, wants_scores=bool(body.logprobs))
        scores = (body.top_logprobs or 0) if body.logprobs else None
        return await _answer(request, texts, body, form, prepare, scores, bounds, runs, chat=True)

    @router.post(COMPLETIONS, response_model=CompletionResponse, responses=responses)
    async def complete(request: Request, body: CompletionRequest) -> Response:
        """Continue texts; of an encoder-decoder, write what it makes of them."""
        run = runs.find(body.model, COMPLETIONS)
        texts = run.writes
        assert texts is not None
        prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt

        def prepare() -> list[Prepared]:
            return [texts.completion(prompt, body, body.max_tokens) for prompt in prompts]

        form = TextForm(run.name, run.tokens, wants_scores=body.logprobs is not None)
        return await _answer(
            request, texts, body, form, prepare, body.logprobs, bounds, runs, chat=False
        )

    return router


async def _answer(
    request: Request,
    texts: Texts,
    body: Writing,
    form: Form,
    prepare: Callable[[], list[Prepared]],
    scores: int | None,
    bounds: Bounds,
    runs: Runs,
    *,
    chat: bool,
) -> Response:
    if (body.n or 1) > bounds.batch:
        raise Refused(400, f"at most {bounds.batch} texts of a prompt", param="n")
    if body.stream_options is not None and not body.stream:
        raise Refused(400, "this is of streams alone", param="stream_options")
    if scores is not None and not texts.writer.scores_tokens:
        raise Refused(400, "this model gives no log probabilities here", param="logprobs")
    prepared = await asyncio.to_thread(prepare)
    if (texts_in_all := len(prepared) * (body.n or 1)) > bounds.waiting:
        most = f"at most {bounds.waiting} texts in a request, and these are {texts_in_all}"
        raise Refused(400, most, param="prompt")
    exchange = Exchange(bounds.seconds)
    response = Answering(texts, body, prepared, scores, exchange, chat=chat)
    pieces = response.pieces()
    if body.stream:
        # The first piece decides on the status: what fails before it is no stream.
        first = await unless_gone(request, _first(pieces))
        return EventStream(_chunks(response, form, first, pieces, runs), exchange)
    await unless_gone(request, _all(pieces))
    runs.count(form.name, response.usage)
    return JSONResponse(form.whole(response).model_dump(mode="json"))


Pieces = AsyncIterator[tuple[int, str, Score | None]]


async def _first(pieces: Pieces) -> tuple[int, str, Score | None]:
    return await anext(pieces)


async def _all(pieces: Pieces) -> None:
    async for _ in pieces:
        pass


async def _chunks(
    response: Answering,
    form: Form,
    first: tuple[int, str, Score | None],
    pieces: Pieces,
    runs: Runs,
) -> AsyncIterator[str]:
    """Yield events: chunks of pieces, usage where it is wanted, then the mark of the end."""
    options = response.request.stream_options
    counts = options is not None and options.include_usage

    def line(choices: list[dict[str, Any]], **more: Any) -> str:
        usage = {"usage": None} if counts else {}
        return _event({**form.head, "object": form.chunk, "choices": choices, **usage, **more})

    for index in range(len(response.choices)):
        if (begun := form.begin(index)) is not None:
            yield line([begun])
    try:
        for index, text, score in [first]:
            yield _of_piece(response, form, line, index, text, score)
        async for index, text, score in pieces:
            yield _of_piece(response, form, line, index, text, score)
    except Refused as error:  # the status is sent: the stream says it, and ends
        yield _event(error.body)
        return
    if response.notes:
        yield line([], notes=response.notes)
    if counts:
        yield line([], usage=response.usage.model_dump())
    runs.count(form.name, response.usage)
    yield "data: [DONE]\n\n"


def _of_piece(
    response: Answering,
    form: Form,
    line: Callable[..., str],
    index: int,
    text: str,
    score: Score | None,
) -> str:
    finish = response.choices[index].finish
    if finish is not None:
        return line([form.end(index, finish)])
    if not text and score is None:
        return ""
    return line([form.delta(index, text, score)])


def _event(content: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n"
