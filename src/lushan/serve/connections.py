"""Connections of a server: so many at a time, and none that sends nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

from lushan.serve.failures import Refused
from lushan.serve.front import STATES

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

SECONDS = 30.0
"""Time that a connection has to send the head of its first request."""


class Connection(H11Protocol):
    """A connection; see `bounded`."""

    most: ClassVar[int]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, one that is answered or one that is refused."""
        super().connection_made(transport)
        self._waiting = self.loop.call_later(SECONDS, self._close_unused)
        if len(self.connections) > 2 * self.most:
            transport.abort()
        elif len(self.connections) > self.most:
            self.app = _refusing(self.app)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._waiting.cancel()
        super().connection_lost(exc)

    def _close_unused(self) -> None:
        if self.cycle is None:  # no request has come
            self.transport.close()


def bounded(most: int) -> type[Connection]:
    """Return the class of a server's connections.

    Args:
        most: That are answered at a time. Requests of as many more are refused with 503, so that
            their clients know; what comes beside these is closed at once.
    """
    return type("Bounded", (Connection,), {"most": most})


def _refusing(app: ASGIApp) -> ASGIApp:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in STATES:  # a server that is busy is not dead
            await app(scope, receive, send)
            return
        headers = {"Retry-After": "1", "Connection": "close"}
        text = "too many connections; retry in 1 s"
        refused = Refused(503, text, code="too_many_connections", headers=headers)
        await refused.response(scope, receive, send)

    return refuse
