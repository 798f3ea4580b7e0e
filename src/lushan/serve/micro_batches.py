"""Requests to a model's head that are computed together where several wait."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from lushan.serve.exchange import failed, too_busy, too_late
from lushan.serve.worker import Busy, Worker

X = TypeVar("X")
Y = TypeVar("Y")


@dataclasses.dataclass(eq=False)
class Job(Generic[X, Y]):
    """A request.

    Attributes:
        value: What is computed on.
        size: Examples in it.
        settle: Takes the result, or why there is none, in the worker's thread.
        cancelled: Set where nobody waits for it any more.
    """

    value: X
    size: int
    settle: Callable[[Y | Exception], None]
    cancelled: bool = False


class MicroBatches(Worker[Job[X, Y]]):
    """Computes what waits in one call, without waiting for more.

    Args:
        name: Of the thread.
        run: From the values of some requests to the result of each.
        size: Examples in a call; a request alone may have more.
        capacity: Requests that may wait.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[Sequence[X]], Sequence[Y]],
        *,
        size: int,
        capacity: int,
    ) -> None:
        self.run, self.size = run, size
        self._running = 0
        super().__init__(name, capacity)

    @property
    def running(self) -> int:
        """Requests that are being computed."""
        return self._running

    def work(self) -> None:
        """Compute what waits."""
        jobs = self.take(1)
        while jobs and sum(job.size for job in jobs) < self.size and (more := self.take(1)):
            jobs += more
        self._running = len(jobs)
        try:
            self._compute(jobs)
        finally:
            self._running = 0
            self.done(len(jobs))

    def _compute(self, jobs: Sequence[Job[X, Y]]) -> None:
        if not jobs:
            return
        try:
            results = self.run([job.value for job in jobs])
        except Exception as error:  # noqa: BLE001 - the requests fail, the server continues
            if len(jobs) == 1:
                jobs[0].settle(error)
                return
            for job in jobs:  # one of them fails, and not its neighbours
                self._compute([job])
            return
        for job, result in zip(jobs, results, strict=True):
            job.settle(result)

    async def ask(self, value: X, size: int, seconds: float) -> Y:
        """Return the result for a value.

        Raises:
            Refused: There is no room, its time is over, or the model failed.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Y | Exception] = loop.create_future()

        def settle(result: Y | Exception) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(_set, answer, result)

        job: Job[X, Y] = Job(value, size, settle)
        try:
            self.submit(job)
            result = await asyncio.wait_for(answer, seconds)
        except Busy as busy:
            raise too_busy(busy) from busy
        except TimeoutError:
            raise too_late(seconds) from None
        finally:
            job.cancelled = True
        if isinstance(result, Exception):
            raise failed(result) from result
        return result


def _set(answer: asyncio.Future[Y | Exception], result: Y | Exception) -> None:
    if not answer.done():
        answer.set_result(result)
