"""Memory of this process, as Linux has it; elsewhere as far as Python knows."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

_PROCESS = Path("/proc/self")
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Of the container that this process is in: cgroup v2, and v1."""


def container_limit() -> int | None:
    """Return the bytes that a container allows its processes; None where it sets no limit."""
    for name in _LIMITS:
        try:
            text = Path(name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            return int(text)  # v1 writes 2^63, rounded, for none: more than any machine has
    return None


def reset_peak() -> None:
    """Let `peak` count from here on, where the system can."""
    try:
        (_PROCESS / "clear_refs").write_text("5", encoding="ascii")
    except OSError:  # not Linux, or a container that forbids it: the peak is that of all time
        return


def peak() -> int:
    """Return the most bytes of memory that this process has had since `reset_peak`."""
    try:
        status = (_PROCESS / "status").read_text(encoding="ascii", errors="replace")
        return 1024 * int(re.findall(r"VmHWM:\s*(\d+) kB", status)[0])
    except (OSError, IndexError):
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return used if sys.platform == "darwin" else 1024 * used
