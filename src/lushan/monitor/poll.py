"""A URL that is asked again and again for JSON lines, or for a JSON list."""

from __future__ import annotations

import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from typing import Any

from lushan.common.parsing import parse_json
from lushan.common.terminal import echo
from lushan.errors import RunFailed, UserError, in_a_line
from lushan.monitor.sources import Lines, Position, Source
from lushan.run.files import json_line
from lushan.run.redaction import redact

TIMEOUT = 10.0
"""Seconds without an answer, or without a further piece of it."""
LONGEST = 60.0
"""Seconds of a whole answer."""
MOST = 16 << 20
"""Bytes of an answer."""


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows redirects within a host alone: another one is not what the user has named."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        before, after = map(urllib.parse.urlsplit, (req.full_url, newurl))
        if (before.scheme, before.netloc) != (after.scheme, after.netloc):
            raise urllib.error.URLError(f"redirected to another host, {after.netloc}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class HttpSource(Source):
    """The answers of a URL. Records that were in an earlier answer are known by their ids.

    Args:
        url: http or https.
        every: Seconds from one request to the next.

    Raises:
        UserError: It is no such URL.
    """

    def __init__(self, url: str, *, every: float) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(
                "only http:// and https:// are supported", key="--source", value=redact(url)
            )
        self.url, self.every = url, every
        self.counts = Counter()
        # No proxy, no file: nothing but this host.
        self._opener = urllib.request.build_opener(_SameHost)

    def read(self, position: Position) -> Iterator[Lines]:
        """Yield the lines of one answer.

        Raises:
            RunFailed: There is none that can be read.
        """
        del position
        try:
            content = self._answer()
        except (OSError, ValueError) as error:  # also what urllib raises
            raise RunFailed(f"{redact(self.url)}: {redact(in_a_line(error))}") from error
        yield Lines(_lines(content), None)

    def follow(self, position: Position, wait: float = 0.0) -> Iterator[Lines]:
        """Yield the lines of one answer after another; one that fails is counted and reported."""
        del wait
        while True:
            due = time.monotonic() + self.every
            try:
                yield from self.read(position)
            except RunFailed as error:
                self.counts["failed requests"] += 1
                echo(f"warning: {error}", err=True)
            yield Lines([], position)
            time.sleep(max(0.0, due - time.monotonic()))

    def _answer(self) -> bytes:
        until = time.monotonic() + LONGEST
        request = urllib.request.Request(self.url, headers={"Accept": "application/x-ndjson"})
        pieces, size = [], 0
        with self._opener.open(request, timeout=TIMEOUT) as answer:
            while piece := answer.read1(1 << 16):
                pieces.append(piece)
                size += len(piece)
                if size > MOST:
                    raise ValueError(f"the response has more than {MOST >> 20} MiB")
                if time.monotonic() > until:
                    raise TimeoutError(f"the response takes more than {LONGEST:.0f} s")
        return b"".join(pieces)


def _lines(content: bytes) -> list[bytes]:
    """Return the lines of an answer; of a JSON list, a line each value."""
    if content.lstrip()[:1] != b"[":
        return content.split(b"\n")
    return [json_line(value).encode() for value in parse_json(content)]
