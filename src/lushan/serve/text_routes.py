"""`/v1/chat/completions` and `/v1/completions`, whole or streamed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from lushan.serve.assists import assisted
from lushan.serve.exchange import EventStream, Exchange, unless_gone
from lushan.serve.failures import Refused
from lushan.serve.limits import Bounds
from lushan.serve.responses import Answering, ChatForm, Form, TextForm
from lushan.serve.schemas import (
    AssistedResponse,
    ChatRequest,
    ChatResponse,
    CompletionRequest,
    CompletionResponse,
    Writing,
)
from lushan.serve.served import Runs
from lushan.serve.texts import Prepared, Texts
from lushan.serve.writing import Score

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
STREAM = {"description": "With `stream`, chunks as server-sent events.", "content": {}}
STREAM["content"] = {"text/event-stream": {"schema": {"type": "string"}}}


def routes(runs: Runs, bounds: Bounds, errors: Mapping[int | str, Any]) -> APIRouter:
    """Return the routes of runs that write.

    Args:
        runs: That are served.
        bounds: Of a request.
        errors: Responses of requests that are refused, for the document.
    """
    router = APIRouter(tags=["texts"])
    responses: Any = {**errors, 200: STREAM}

    response: Any = ChatResponse
    if any(run.assists is not None for run in runs.by_name.values()):
        response = ChatResponse | AssistedResponse

    @router.post(CHAT, response_model=response, responses=responses)
    async def chat(request: Request, body: ChatRequest) -> Response:
        """Write the next message of a dialogue."""
        run = runs.find(body.model, CHAT)
        if run.assists is not None:
            return await assisted(request, run.name, run.assists, body, bounds)
        texts = run.writes
        assert texts is not None
        if body.max_tokens and body.max_completion_tokens:
            raise Refused(400, "cannot be combined with max_tokens", param="max_completion_tokens")
        if body.top_logprobs is not None and not body.logprobs:
            raise Refused(400, "top_logprobs requires logprobs", param="top_logprobs")
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
        raise Refused(400, "requires stream", param="stream_options")
    # Scores of tokens would show what a guard holds back.
    if scores is not None and (texts.checks is not None or not texts.writer.scores_tokens):
        raise Refused(400, "log probabilities are not available for this model", param="logprobs")
    prepared = await asyncio.to_thread(prepare)
    if (texts_in_all := len(prepared) * (body.n or 1)) > bounds.waiting:
        most = f"at most {bounds.waiting} texts in a request, but this has {texts_in_all}"
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
