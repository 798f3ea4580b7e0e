"""What libraries look up again for each run, and never find: looked up once by a process."""

from __future__ import annotations

import functools
from typing import Any

import typer.main

# The commands of a program, read from all their signatures: half of a short command's time.
typer.main.get_command = functools.cache(typer.main.get_command)


def lighten() -> None:
    """Let this process, and those forked from it, ask once which plug-ins and devices there are.

    Lightning reads the entry points of all packages for each trainer, and torch takes down the
    stack at each seed for each kind of device that is not there: a quarter of a run's short life.
    """
    import torch.cuda.random
    import torch.mtia
    import torch.xpu.random
    from lightning_fabric.utilities import registry

    registry.entry_points = functools.cache(registry.entry_points)
    for device in (torch.cuda, torch.xpu, torch.mtia):
        if not device.is_available():
            for module in (device, getattr(device, "random", device)):
                module._lazy_call = _nothing


def _nothing(call: Any, **kind: Any) -> None:
    del call, kind
