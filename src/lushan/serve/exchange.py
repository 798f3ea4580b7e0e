"""What becomes of one HTTP request: events from a worker's thread, its time, its client's end."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from lushan.common.terminal import echo
from lushan.serve.failures import Refused
from lushan.serve.worker import Busy
from lushan.serve.writing import Asked, Ended, Event, Failed, Writer

T = TypeVar("T")


class Gone(Exception):
    """The client has closed its connection: the response has no reader."""


class Exchange:
    """The prompts of a request and what is written of them.

    Args:
        seconds: After which it is refused.

    Attributes:
        asked: Its prompts that are answered, by their numbers.
    """

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[tuple[int, Event]] = asyncio.Queue()
        self._end = self._loop.time() + seconds
        self._seconds = seconds
        self.asked: dict[int, Asked] = {}
        self._open: set[tuple[int, int]] = set()

    def send_to(self, number: int, event: Event) -> None:
        """Take an event of a prompt; called in any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._events.put_nowait, (number, event))

    def expect(self, number: int, texts: int) -> None:
        """Note that some texts of a prompt will come."""
        self._open |= {(number, sample) for sample in range(texts)}

    def ask(self, number: int, writer: Writer, asked: Asked) -> None:
        """Queue a prompt.

        Raises:
            Refused: The queue is full.
        """
        self.asked[number] = asked
        self.expect(number, asked.settings.num_samples)
        try:
            writer.ask(asked)
        except Busy as busy:
            self.cancel()
            raise too_busy(busy) from busy

    def cancel(self) -> None:
        """Free what the request takes up."""
        for asked in self.asked.values():
            asked.cancelled = True

    def leave(self, number: int, sample: int) -> None:
        """Take no more of one text, and end it."""
        self._open.discard((number, sample))
        if number in self.asked:
            self.asked[number].over.add(sample)

    async def events(self) -> AsyncIterator[tuple[int, Event]]:
        """Yield the number of a prompt and what became of it, until all texts have ended.

        Raises:
            Refused: Its time is over.
        """
        try:
            while self._open:
                number, event = await self._next()
                if isinstance(event, Failed):
                    raise failed(event.error) from event.error
                if (number, event.sample) not in self._open:
                    continue
                if isinstance(event, Ended):
                    self._open.discard((number, event.sample))
                yield number, event
        finally:
            self.cancel()

    async def _next(self) -> tuple[int, Event]:
        try:
            wait = self._end - self._loop.time()
            return await asyncio.wait_for(self._events.get(), max(0.0, wait))
        except TimeoutError:
            raise too_late(self._seconds) from None


def too_busy(busy: Busy) -> Refused:
    """Return the refusal of a request for which there is no room."""
    text = f"too many requests are waiting; retry in {busy.seconds} s"
    headers = {"Retry-After": str(busy.seconds)}
    return Refused(429, text, code="queue_full", headers=headers)


def too_late(seconds: float) -> Refused:
    """Return the refusal of a request that took too long."""
    return Refused(504, f"timed out after {seconds:g} s", code="timeout")


def failed(error: Exception) -> Refused:
    """Return the refusal of a request that the model failed at, and print where.

    The message of an error may hold a user's text, so that neither shows it.
    """
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" ({Path(at.filename).name}:{at.lineno})" for at in place)
    echo(f"error: a request failed: {type(error).__name__}{where}", err=True)
    return Refused(500, f"the model failed: {type(error).__name__}")


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Wait for a result as long as the client does.

    Raises:
        Gone: The client has left; the work is cancelled.
    """
    task, gone = asyncio.create_task(work), asyncio.create_task(_closed(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Gone
        return task.result()
    finally:
        for one in (task, gone):
            one.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _closed(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class EventStream(StreamingResponse):
    """Server-sent events; whatever ends the response frees what its request takes up.

    Args:
        content: The events, each a line of JSON.
        exchange: Of the request.
    """

    def __init__(self, content: AsyncIterator[str], exchange: Exchange) -> None:
        self.exchange = exchange
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(content, media_type="text/event-stream", headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.exchange.cancel()
