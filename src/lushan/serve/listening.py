"""A socket that listens, without anything that takes time to import."""

from __future__ import annotations

import errno
import socket

from lushan.errors import UserError

_CONNECTIONS = 64
"""Connections that wait to be accepted."""


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens, before anything is loaded.

    Raises:
        UserError: The address is taken, or is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(_CONNECTIONS)
    except OSError as error:
        made.close()
        key = "--host" if isinstance(error, socket.gaierror) else "--port"
        value: object = host if key == "--host" else port
        text = f"cannot listen on this address: {error.strerror}"
        taken = "Use --port 0 for any free port." if error.errno == errno.EADDRINUSE else None
        raise UserError(text, key=key, value=value, hint=taken) from error
    made.set_inheritable(True)
    return made
