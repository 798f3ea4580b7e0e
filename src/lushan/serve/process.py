"""The process of a server: it starts, drains at a first signal, and ends at a second."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Sequence
from types import FrameType

import uvicorn

from lushan.common.terminal import echo, echo_in_handler
from lushan.guard import Guard
from lushan.serve.app import make_app
from lushan.serve.connections import bounded
from lushan.serve.front import Access, Front
from lushan.serve.limits import Bounds
from lushan.serve.served import Served, open_runs


class Server(uvicorn.Server):
    """Uvicorn, which ends otherwise: requests that have begun are answered first.

    Args:
        config: Of uvicorn.
        front: The application.
    """

    def __init__(self, config: uvicorn.Config, front: Front) -> None:
        super().__init__(config)
        self.front = front

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Drain at a first signal, and end at once at a second."""
        if self.front.draining:
            echo_in_handler("stopped by a second signal")
            # Threads that compute cannot be interrupted otherwise.
            os._exit(128 + sig)
        self.front.draining = True
        echo_in_handler(
            f"{signal.Signals(sig).name}: shutting down after {self.front.active} current requests"
        )

    async def on_tick(self, counter: int) -> bool:
        """Return whether all requests are answered."""
        if self.front.draining and not self.front.active:
            self.should_exit = True
        return await super().on_tick(counter)


def serve(
    places: Sequence[tuple[str | None, str]],
    access: Access,
    bounds: Bounds,
    *,
    listening: socket.socket,
    guard: Guard | None = None,
    check: bool = False,
) -> None:
    """Serve runs until a signal ends it.

    Args:
        places: From `early.named_places`.
        access: Who may ask.
        bounds: Of requests.
        listening: A socket that listens; it is closed at the end.
        guard: Of prompts and texts.
        check: Load the runs, say what would be served, and return.

    Raises:
        UserError: A run cannot be served.
    """
    try:
        served = open_runs(places, bounds, guard)
        front = make_app(served, access, bounds)
        for run in served:
            guarded = "" if run.guard is None else ", guarded"
            echo(f"{run.name}: {', '.join(run.about.endpoints)}{guarded}", err=True)
        if not check:
            _run(front, access.host, listening)
        _close(served)
    finally:
        listening.close()


def config_of(front: Front) -> uvicorn.Config:
    """Return the settings of a server."""
    return uvicorn.Config(
        front,
        # Another parser than h11, where one is installed, has other bounds.
        http=bounded(front.bounds.connections),
        loop="asyncio",
        log_config=None,  # its log lines hold paths and addresses
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
    )


def _run(front: Front, host: str, listening: socket.socket) -> None:
    shown = f"[{host}]" if ":" in host else host
    echo(f"http://{shown}:{listening.getsockname()[1]}/", err=True)
    Server(config_of(front), front).run(sockets=[listening])
    echo("stopped: all requests were answered", err=True)


def _close(served: Sequence[Served]) -> None:
    for run in served:
        for worker in run.workers:
            worker.close()
