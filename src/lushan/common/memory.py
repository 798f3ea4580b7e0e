"""Memory of this process, as Linux has it; elsewhere as far as Python knows."""

from __future__ import annotations

import ctypes
import re
import resource
import sys
from pathlib import Path

_PROCESS = Path("/proc/self")
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Of the container that this process is in: cgroup v2, and v1."""
_MALLOPT = {"M_MMAP_THRESHOLD": -3, "M_TRIM_THRESHOLD": -1}
_LARGEST = 2**30


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


def keep_freed() -> None:
    """Have the C library keep freed blocks of up to a gigabyte for the next ones.

    It returns those of 32 MB and more to the system, and gets new ones page by page: 47 MB, the
    gradient of an embedding, are zeroed in 24 ms instead of 5, in each step. Other libraries than
    glibc go on as they do.
    """
    if sys.platform != "linux":
        return
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        for number in _MALLOPT.values():
            set_option(number, _LARGEST)
