"""The command `doctor`: what this machine and this environment have, and what is missing."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from lushan.cli.flags import AsJson, echo_json
from lushan.cli.models import examples
from lushan.common import extras as needed
from lushan.common.processor import flags, has_bf16
from lushan.common.terminal import echo
from lushan.version import VERSION

HOSTS = {"models and data sets": "huggingface.co", "W&B": "api.wandb.ai"}
"""What is reached through the network, by what it is needed for."""
SECONDS = 2.0
"""Time that a host has to answer."""
AUTO = "(trainer.precision=auto)"
_SHOWN = ("torch", "pytorch-lightning", "transformers", "hydra-core", "datasets")


def add_to(app: typer.Typer) -> None:
    """Give an application this command."""
    app.command(epilog=examples("lushan doctor", "lushan doctor --offline --json"))(doctor)


def doctor(
    offline: Annotated[bool, typer.Option("--offline", help="Skip network checks.")] = False,
    as_json: AsJson = False,
) -> None:
    """Report versions, devices, precision, free disk, reachable hosts and missing extras."""
    found = {
        "versions": _versions(),
        "machine": _machine(),
        "disk free": {str(place): _free(place) for place in _places()},
        "hosts": {} if offline else {f"{what} ({h})": _answer(h) for what, h in HOSTS.items()},
        "extras": extras(),
    }
    if as_json:
        echo_json(found)
        return
    for part, lines in found.items():
        if lines:
            echo(part)
        width = max(map(len, lines), default=0)
        for name, value in lines.items():
            echo(f"  {name:<{width}}  {value}")


def _versions() -> dict[str, str]:
    found = {"lushan": VERSION, "python": sys.version.split()[0]}
    return found | {name: needed.version(name) or "not installed" for name in _SHOWN}


def _machine() -> dict[str, str]:
    """Describe processor and cards; torch is imported only where there may be a card."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    kernels = next((kind.upper() for kind in ("avx512f", "avx2") if kind in flags()), "")
    found = {"CPU": f"{cores} cores{kernels and f', {kernels}'}"}
    if not sys.platform.startswith("linux") or _cards():
        return found | _devices()
    found["GPU"] = "none"
    return found | {"precision": f"{'bf16-mixed' if has_bf16() else '32-true'} {AUTO}"}


def _cards() -> list[Path]:
    """Return what Linux has of drivers of cards: of NVIDIA's, AMD's, and those of WSL."""
    return [p for name in ("nvidia[0-9]*", "kfd", "dxg") for p in Path("/dev").glob(name)]


def _devices() -> dict[str, str]:
    import torch

    from lushan.models.precision import best_precision

    found: dict[str, str] = {}
    kind = "cpu"
    if torch.cuda.is_available():
        kind = "gpu"
        for index in range(torch.cuda.device_count()):
            what: Any = torch.cuda.get_device_properties(index)
            found[f"GPU {index}"] = f"{what.name}, {what.total_memory / 2**30:.0f} GiB"
    elif torch.backends.mps.is_available():
        kind = "mps"
        found["GPU"] = "Apple's, trainer=mps"
    else:
        found["GPU"] = "none that this torch can use"
    return found | {"precision": f"{best_precision(kind)} {AUTO}"}


def _places() -> list[Path]:
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return [Path.cwd(), Path(cache).expanduser()]


def _free(place: Path) -> str:
    while not place.exists():
        place = place.parent
    writable = "" if os.access(place, os.W_OK) else ", not writable"
    return f"{shutil.disk_usage(place).free / 2**30:.1f} GiB{writable}"


def _answer(host: str) -> str:
    try:
        with socket.create_connection((host, 443), timeout=SECONDS):
            return "reached"
    except OSError as error:
        return f"not reached: {error.strerror or error}"


def extras() -> dict[str, str]:
    """Return each extra of the package, and whether all that it needs is installed.

    Those of developers of the package, named `dev` and `dev-...`, are left out.
    """
    found = {}
    for extra in sorted(needed.packages()):
        missing = needed.missing(extra)
        found[extra] = (
            f"pip install 'lushan[{extra}]': {', '.join(missing)} missing" if missing else "there"
        )
    return found
