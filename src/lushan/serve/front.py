"""What every request passes first: who asks, from where, how much, and whether the server ends."""

from __future__ import annotations

import asyncio
import dataclasses
import hmac
import ipaddress
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lushan.common import parsing
from lushan.errors import UserError
from lushan.serve.failures import Refused
from lushan.serve.limits import Bounds

VARIABLE = "LUSHAN_KEY"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
STATES = ("/health", "/ready")
"""Paths that answer while the server ends, and without a key."""
_MOST_DISCARDED = 64 << 20
"""Bytes of a body that is too large which are read, so that the client reads the refusal."""
_SHORTEST = 16
"""Characters of a key."""


@dataclasses.dataclass(frozen=True)
class Access:
    """Who may ask.

    Attributes:
        host: That the server listens at.
        keys: Any of which a request may bear; without any, no key is asked for.
    """

    host: str
    keys: Sequence[str] = ()

    @classmethod
    def of(cls, host: str, key_file: Path | None, environment: Mapping[str, str]) -> Access:
        """Return who may ask a server at a host.

        Args:
            host: That it listens at.
            key_file: Holds a key in each line.
            environment: May hold one as `LUSHAN_KEY`.

        Raises:
            UserError: There is no key and others could reach it, or a key is none.
        """
        keys = [] if key_file is None else _read(key_file)
        if given := environment.get(VARIABLE, "").strip():
            keys.append(given)
        for key in keys:
            if len(key) < _SHORTEST or not key.isascii() or not key.isprintable():
                raise UserError(
                    f"a key must have {_SHORTEST} or more ASCII characters",
                    key=VARIABLE if key_file is None else "--key-file",
                    hint="Create one: python -c 'import secrets; print(secrets.token_urlsafe())'",
                )
        if not keys and not is_loopback(host):
            raise UserError(
                "without a key, the server only accepts requests from this machine",
                key="--host",
                value=host,
                hint=f"Write --key-file FILE or set {VARIABLE}, or remove --host.",
            )
        return cls(host, tuple(keys))

    def refusal(self, headers: Headers, *, is_open: bool) -> Refused | None:
        """Return why a request is not answered; None where it is.

        Args:
            headers: Of the request.
            is_open: Whether its path needs no key.
        """
        host, origin = headers.get("host", ""), headers.get("origin")
        # A page of another name that resolves to this machine (DNS rebinding) has no key, so that
        # names matter where none is asked for.
        if not self.keys and not is_loopback(_name_of(host)):
            return Refused(403, "this server only answers to localhost", code="host")
        if origin is not None and _split(origin).netloc.lower() != host.lower():
            return Refused(
                403, "requests from pages of other origins are not allowed", code="origin"
            )
        if self.keys and not is_open and not self._knows(headers.get("authorization", "")):
            challenge = {"WWW-Authenticate": "Bearer"}
            text = "the API key is missing or wrong; send Authorization: Bearer KEY"
            return Refused(401, text, code="invalid_api_key", headers=challenge)
        return None

    def _knows(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        known = [
            hmac.compare_digest(key.encode(), given.strip().encode("utf-8", "surrogateescape"))
            for key in self.keys  # all of them, so that time says nothing
        ]
        return scheme.lower() == "bearer" and any(known)


def _read(file: Path) -> list[str]:
    try:
        text = parsing.read_bounded(file, 1 << 16).decode()
    except FileNotFoundError as error:
        raise UserError("the file does not exist", key="--key-file", value=str(file)) from error
    except (OSError, ValueError) as error:
        raise UserError("the key file cannot be read", key="--key-file", file=file) from error
    found = [line.strip() for line in text.splitlines() if line.strip()]
    if not found:
        raise UserError("it contains no key", key="--key-file", file=file)
    return found


def _name_of(host: str) -> str:
    """Return the name in a `Host` header, without its port; '' where it holds other parts."""
    parts = _split(f"//{host}")
    return parts.hostname or "" if parts.netloc == host and "@" not in host else ""


def _split(address: str) -> SplitResult:
    """Return the parts of an address; none of what is no address, such as `http://[`."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, seen from itself alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Front:
    """The outermost application: it refuses, bounds, counts and protects.

    Args:
        app: That answers.
        access: Who may ask.
        bounds: Of a request.
        is_open: Whether a path needs no key.
        observe: Takes path, status and seconds of each request.

    Attributes:
        draining: Whether the server ends: what has begun ends, and nothing new begins.
        active: Requests being answered.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        access: Access,
        bounds: Bounds,
        is_open: Callable[[str], bool],
        observe: Callable[[str, int, float], None],
    ) -> None:
        self.app, self.access, self.bounds = app, access, bounds
        self.is_open, self.observe = is_open, observe
        self.draining = False
        self.active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, path = time.perf_counter(), scope["path"]
        status = 499  # the client has left before the first byte

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        self.active += 1
        try:
            await self._answer(scope, receive, sending)
        finally:
            self.active -= 1
            self.observe(path, status, time.perf_counter() - begun)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await self._admitted(scope, receive)
        except Refused as refused:
            await refused.response(scope, receive, send)
            return
        given = False

        async def receiving() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, receiving, send)

    async def _admitted(self, scope: Scope, receive: Receive) -> bytes:
        """Return the body of a request that is answered.

        Raises:
            Refused: It is not.
        """
        path, headers = scope["path"], Headers(scope=scope)
        refusal = self.access.refusal(headers, is_open=self.is_open(path))
        if refusal is None and self.draining and path not in STATES:
            headers_of = {"Retry-After": "5", "Connection": "close"}
            refusal = Refused(
                503, "the server is shutting down", code="draining", headers=headers_of
            )
        stated = headers.get("content-length", "0")
        if not stated.isascii() or not stated.isdigit() or int(stated) > _MOST_DISCARDED:
            raise refusal or self._too_large()  # it would not be read to its end anyway
        try:
            body = await asyncio.wait_for(
                self._body(receive, refused=refusal is not None), self.bounds.seconds
            )
        except TimeoutError:
            raise Refused(408, "the request did not arrive in time", code="timeout") from None
        if refusal is not None:
            raise refusal
        return body

    async def _body(self, receive: Receive, *, refused: bool) -> bytes:
        parts: list[bytes] = []
        size, more = 0, True
        while more and size <= _MOST_DISCARDED:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            more = message.get("more_body", False)
            size += len(message.get("body", b""))
            if size <= self.bounds.body and not refused:
                parts.append(message.get("body", b""))
        if size > self.bounds.body and not refused:
            raise self._too_large()
        return b"".join(parts)

    def _too_large(self) -> Refused:
        text = f"the body is larger than {self.bounds.body:,} bytes"
        return Refused(413, text, code="too_large", headers={"Connection": "close"})
