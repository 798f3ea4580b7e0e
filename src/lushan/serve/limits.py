"""Bounds of a server: how much it takes, how much waits, how long it computes."""

from __future__ import annotations

import dataclasses

from lushan.errors import UserError


@dataclasses.dataclass(frozen=True)
class Bounds:
    """Bounds of a server.

    Attributes:
        batch: Texts of a model that are written at a time, or examples of a head.
        waiting: Requests of a model that may wait beside those; more are refused (429).
        seconds: Of a request, from its arrival to its end; then 504.
        body: Bytes of a request; more are refused (413).
        new_tokens: Of a text; more are refused (400).
        connections: That are open at a time; requests of more are refused (503).
    """

    batch: int = 16
    waiting: int = 64
    seconds: float = 300.0
    body: int = 4 << 20
    new_tokens: int = 4096
    connections: int = 512

    def require_sound(self) -> None:
        """Refuse bounds that nothing could keep.

        Raises:
            UserError: Names the option.
        """
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise UserError("must be above 0", key=OPTIONS[field.name], value=value)


OPTIONS = {
    "batch": "--batch",
    "waiting": "--queue",
    "seconds": "--timeout",
    "body": "--max-body",
    "new_tokens": "--max-new-tokens",
    "connections": "--max-connections",
}
"""The command-line option of each."""
