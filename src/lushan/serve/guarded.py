"""A guard between the requests to a run that writes and its texts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from lushan.guard import Guard
from lushan.guard.guard import Stream
from lushan.inference import guarding

T = TypeVar("T")


class Checks:
    """A guard whose model works in a thread of its own, one text after the other.

    Args:
        guard: Of one run: what it counts is that run's.
    """

    waiting, running = 0, 0
    """Nothing waits here on its own: a check is part of a request."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self._thread = ThreadPoolExecutor(1, "guarding")

    @property
    def counts(self) -> Mapping[str, int]:
        """What was refused and redacted."""
        return self.guard.counts

    async def _call(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    def passes(self, prompt: Any) -> bool:
        """Return whether a prompt, a text or messages, may be answered; blocks."""
        return self._thread.submit(guarding.prompt_passes, self.guard, prompt).result()

    def redacted(self, prompt: Any) -> Any:
        """Return a prompt without personal data; blocks."""
        return self._thread.submit(guarding.redacted_prompt, self.guard, prompt).result()

    async def push(self, stream: Stream, piece: str) -> str:
        """Take a piece of a text; return what may be shown by now."""
        return await self._call(stream.push, piece)

    async def end(self, stream: Stream) -> str:
        """End a text; return its rest, or the refusal."""
        return await self._call(stream.close)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(cancel_futures=True)
