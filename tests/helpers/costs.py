"""What something costs, against something else on the same machine at the same time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def cost(action: Callable[[], Any], tries: int = 5) -> float:
    """Seconds of this process's CPU that it takes, the least of some tries.

    Other processes, which may keep this one waiting, do not count. Even so it is only to be
    compared with another cost of the same test, never with a number of seconds.
    """
    found = []
    for _ in range(tries):
        begun = time.process_time()
        action()
        found.append(time.process_time() - begun)
    return min(found)
