"""Servers of small runs, as threads of the test's process, and images that are sent to them."""

from __future__ import annotations

import base64
import contextlib
import io
import threading
from collections.abc import Iterator, Sequence

import uvicorn
from PIL import Image

from lushan.guard import Guard
from lushan.serve import process
from lushan.serve.app import make_app
from lushan.serve.front import Access, Front
from lushan.serve.limits import Bounds
from lushan.serve.listening import bound_socket
from lushan.serve.served import open_runs
from tests.helpers import command
from tests.helpers.waiting import until

IMAGES = [o for o in command.SMALL if not o.startswith(("model", "processor"))]
"""What makes a run on images small."""


class Running:
    """A server in a thread.

    Attributes:
        url: Where it answers.
        front: Its application.
    """

    def __init__(self, url: str, front: Front, served: Sequence) -> None:
        self.url, self.front, self.served = url, front, served


@contextlib.contextmanager
def serving(
    places: dict[str, object],
    bounds: Bounds | None = None,
    keys: Sequence[str] = (),
    guard: Guard | None = None,
) -> Iterator[Running]:
    """Serve runs by their names at a free port."""
    bounds = bounds or Bounds(new_tokens=256)
    served = open_runs([(name, str(place)) for name, place in places.items()], bounds, guard)
    front = make_app(served, Access("127.0.0.1", tuple(keys)), bounds)
    with listening_to(front) as url:
        try:
            yield Running(url, front, served)
        finally:
            for run in served:
                for worker in run.workers:
                    worker.close()


@contextlib.contextmanager
def listening_to(front: Front) -> Iterator[str]:
    """Have an application answer at a free port, and yield its address."""
    listening = bound_socket("127.0.0.1", 0)
    server = uvicorn.Server(process.config_of(front))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    until(lambda: server.started, 30, pause=0.005)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


def png(color: str, size: int = 32) -> bytes:
    """An image of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (size, size), color).save(file, "png")
    return file.getvalue()


def data_url(data: bytes) -> str:
    """An image as a request holds it."""
    return "data:image/png;base64," + base64.b64encode(data).decode()
