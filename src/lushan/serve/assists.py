"""An assistant as a model of OpenAI's chat interface: its answer names the source."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from lushan.assist.assistant import Assistant, Found, Reply
from lushan.assist.settings import Thresholds
from lushan.serve.exchange import unless_gone
from lushan.serve.failures import Refused
from lushan.serve.limits import Bounds
from lushan.serve.micro_batches import MicroBatches
from lushan.serve.responses import ChatForm
from lushan.serve.schemas import (
    Answer,
    Assisted,
    AssistedResponse,
    ChatChoice,
    ChatRequest,
    Finish,
    Message,
    TextPart,
    Usage,
)

Answered = tuple[Found, Reply]
_TAKEN = {"model", "messages", "stream", "user"}


class Assists:
    """An assistant, behind requests.

    Args:
        name: What requests call it.
        assistant: The assistant.
        thresholds: As they were chosen.
        bounds: Of what it takes.
    """

    def __init__(
        self, name: str, assistant: Assistant, thresholds: Thresholds, bounds: Bounds
    ) -> None:
        self.assistant, self.thresholds = assistant, thresholds
        self.worker: MicroBatches[list[str], Answered] = MicroBatches(
            f"assisting {name}", self._answered, size=bounds.batch, capacity=bounds.waiting
        )

    def _answered(self, several: Sequence[list[str]]) -> list[Answered]:
        found, replies = self.assistant.answer(several, self.thresholds)
        return list(zip(found, replies, strict=True))


async def assisted(
    request: Request, name: str, assists: Assists, body: ChatRequest, bounds: Bounds
) -> Response:
    """Answer the last message of a dialogue.

    Raises:
        Refused: A field would have no effect, or a message is not what an assistant reads.
    """
    for field in sorted(body.model_fields_set - _TAKEN):
        value = getattr(body, field)
        if value and (field, value) != ("n", 1):
            raise Refused(400, "it has no effect: an assistant does not sample", param=field)
    work = assists.worker.ask(_turns(body.messages), 1, bounds.seconds)
    found, reply = await unless_gone(request, work)
    form = ChatForm(name, None, wants_scores=False)
    finish: Finish = "content_filter" if reply.withheld == "guard" else "stop"
    how = Assisted(
        action=reply.action,
        source=list(reply.source),
        entity=found.entry.entity if reply.action == "answer" and found.entry else None,
        hand_over=reply.action == "refuse",
    )
    if body.stream:
        return StreamingResponse(
            _chunks(form, reply.text, finish, how), media_type="text/event-stream"
        )
    choice = ChatChoice(
        index=0,
        message=Answer(content=reply.text),
        finish_reason=finish,
        logprobs=None,
    )
    usage = Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0)
    response = AssistedResponse(**form.head, choices=[choice], usage=usage, assist=how)
    return JSONResponse(response.model_dump(mode="json"))


def _turns(messages: Sequence[Message]) -> list[str]:
    found = []
    for number, message in enumerate(messages):
        place = f"messages[{number}]"
        if message.role not in ("user", "assistant"):
            raise Refused(
                400, "an assistant accepts only the roles user and assistant", param=f"{place}.role"
            )
        parts = message.content
        if not isinstance(parts, str):
            if not all(isinstance(part, TextPart) for part in parts):
                raise Refused(400, "an assistant does not accept images", param=f"{place}.content")
            parts = "".join(part.text for part in parts if isinstance(part, TextPart))
        found.append(parts)
    if messages[-1].role != "user" or not found[-1].strip():
        raise Refused(400, "the last message must be by the user, and not empty", param="messages")
    return found


async def _chunks(form: ChatForm, text: str, finish: Finish, how: Assisted) -> AsyncIterator[str]:
    """Yield events: who speaks, the answer, its end with the source, and the mark of the end."""
    choices: list[dict[str, Any]] = [form.begin(0) or {}, form.delta(0, text, None)]
    for choice in choices:
        yield _event({**form.head, "object": form.chunk, "choices": [choice]})
    last = {"choices": [form.end(0, finish)], "assist": how.model_dump()}
    yield _event({**form.head, "object": form.chunk, **last})
    yield "data: [DONE]\n\n"


def _event(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n"
