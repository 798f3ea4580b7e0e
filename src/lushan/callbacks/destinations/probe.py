"""Whether a tracker's server is there, asked before a library waits for it."""

from __future__ import annotations

import socket
import urllib.parse

PROBE_SECONDS = 3.0
"""Seconds that a server has to accept a connection."""


def answers(url: str) -> bool:
    """Return whether a server accepts a connection, within three seconds."""
    parts = urllib.parse.urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=PROBE_SECONDS):
            return True
    except OSError:
        return False
