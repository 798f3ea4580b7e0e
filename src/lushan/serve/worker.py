"""A thread that works through a bounded queue: computation, apart from the event loop."""

from __future__ import annotations

import abc
import collections
import math
import threading
import time
from typing import Generic, Protocol, TypeVar

MOST_SECONDS = 60
"""The longest that a client is asked to wait before it tries again."""


class Busy(Exception):
    """The queue is full.

    Args:
        seconds: When to try again.
    """

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(f"the queue is full; retry in {seconds} s")


class Cancellable(Protocol):
    """A job that nobody may be waiting for any more."""

    @property
    def cancelled(self) -> bool:
        """Whether it is to be left out."""


J = TypeVar("J", bound=Cancellable)


class Worker(abc.ABC, Generic[J]):
    """A thread and its queue.

    Args:
        name: Of the thread.
        capacity: Jobs that may wait.
    """

    def __init__(self, name: str, capacity: int) -> None:
        self.capacity = capacity
        self._waiting: collections.deque[J] = collections.deque()
        self._changed = threading.Condition()
        self._closed = False
        self._pace = 1.0  # seconds that the queue takes for a job, a moving average
        self._last = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Jobs that wait."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Jobs that are being worked on and go beyond one call of `work`."""
        return 0

    def submit(self, *jobs: J) -> None:
        """Queue jobs, all or none.

        Raises:
            Busy: There is no room.
        """
        with self._changed:
            for job in [job for job in self._waiting if job.cancelled]:
                self._waiting.remove(job)
            if len(self._waiting) + len(jobs) > self.capacity:
                wanted = math.ceil(self._pace * len(self._waiting))
                raise Busy(min(MOST_SECONDS, max(1, wanted)))
            self._waiting += jobs
            self._changed.notify()

    def close(self) -> None:
        """End the thread after what it is doing, and wait for it."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def take(self, most: int) -> list[J]:
        """Return the next jobs that are not cancelled."""
        found: list[J] = []
        with self._changed:
            while self._waiting and len(found) < most:
                job = self._waiting.popleft()
                if not job.cancelled:
                    found.append(job)
        return found

    def peek(self) -> J | None:
        """Return what waits longest; None where nothing waits."""
        with self._changed:
            return self._waiting[0] if self._waiting else None

    def done(self, jobs: int) -> None:
        """Note that some jobs have ended, by which the wait of others is estimated."""
        now = time.monotonic()
        for _ in range(jobs):
            self._pace += 0.1 * ((now - self._last) / jobs - self._pace)
        self._last = now

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self.running and not self._waiting:
                    self._changed.wait_for(lambda: self._waiting or self._closed)
                    self._last = time.monotonic()
                if self._closed:
                    return
            self.work()

    @abc.abstractmethod
    def work(self) -> None:
        """Do a part of what there is; must not raise."""
