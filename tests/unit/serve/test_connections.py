"""Connections beyond a bound, and those that send nothing."""

import contextlib
import socket
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.responses import PlainTextResponse
from tests.helpers.served import listening_to
from tests.helpers.waiting import until

from lushan.serve import connections
from lushan.serve.front import Access, Front
from lushan.serve.limits import Bounds


@pytest.fixture
def url():
    """The address of a server of two connections."""
    front = Front(
        PlainTextResponse("here"),
        access=Access("127.0.0.1"),
        bounds=Bounds(connections=2),
        is_open=lambda path: True,
        observe=lambda *_: None,
    )
    with listening_to(front) as found:
        yield found


@contextlib.contextmanager
def opened(url, count):
    """Have connections that send nothing."""
    parts = urlsplit(url)
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection((parts.hostname, parts.port), timeout=60))
            for _ in range(count)
        ]


def response(url, code):
    """A response of such a status; None where there is another one, or none."""
    with contextlib.suppress(httpx.TransportError):
        found = httpx.get(url, timeout=60)
        return found if found.status_code == code else None


def test_a_request_beyond_the_bound_is_refused_in_words_until_one_ends(url):
    with opened(url, 2) as (first, _):
        refused = until(lambda: response(url, 503), 60)
        assert refused.json()["error"]["code"] == "too_many_connections"
        assert (refused.headers["Retry-After"], refused.headers["Connection"]) == ("1", "close")
        until(lambda: response(f"{url}/health", 200), 60)
        first.close()
        until(lambda: response(url, 200), 60)


def test_beyond_twice_as_many_they_are_closed(url):
    with opened(url, 4) as several:
        until(lambda: closed(url), 60)
        several[0].close()
        until(lambda: response(url, 503), 60)


def closed(url):
    try:
        httpx.get(url, timeout=60)
    except httpx.TransportError:
        return True
    return False


def test_a_connection_that_sends_nothing_is_closed(url, monkeypatch):
    monkeypatch.setattr(connections, "SECONDS", 0.05)
    with opened(url, 1) as (silent,):
        assert silent.recv(1) == b""
    with opened(url, 1) as (slow,):
        slow.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")  # its head does not end
        assert slow.recv(1) == b""
