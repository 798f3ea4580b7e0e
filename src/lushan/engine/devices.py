"""Devices and processes that a trainer's config asks for, and those that there are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TypeGuard

import torch

from lushan.errors import UserError

MOST_PROCESSES = 256
"""On one machine, where no devices bound them: each is an interpreter with a model of its own."""
ELASTIC = ("RANK", "GROUP_RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
"""Environment variables that torchrun gives to each of its processes."""
KINDS = {"gpu": ("cuda", "mps"), "cuda": ("cuda",), "mps": ("mps",)}
"""Accelerators of a config that are cards, and what torch calls them."""


def count_of(kind: str) -> int:
    """Return how many devices of a kind torch can use here."""
    if kind == "cuda":
        return torch.cuda.device_count()
    return int(torch.backends.mps.is_available())


def device_of(accelerator: str, devices: int | str | list[int]) -> torch.device:
    """Return the one device that something is computed on.

    Args:
        accelerator: `auto`, `cpu`, `gpu`, `cuda` or `mps`.
        devices: The first one is taken, where several are named.

    Raises:
        UserError: This machine does not have it, or nothing is evaluated on such a device.
    """
    if accelerator not in ("auto", "cpu", *KINDS):
        raise UserError(
            "one process computes on the CPU or on one GPU",
            key="trainer.accelerator",
            value=accelerator,
            hint="Write trainer.accelerator=auto.",
        )
    index = devices[0] if isinstance(devices, list) and devices else 0
    require_devices(accelerator, [index])
    kinds = KINDS["gpu"] if accelerator == "auto" else KINDS.get(accelerator, ())
    kind = next((kind for kind in kinds if count_of(kind)), "cpu")
    return torch.device(kind) if kind == "cpu" else torch.device(kind, index)


def require_devices(accelerator: str, devices: int | str | list[int], nodes: int = 1) -> None:
    """Refuse devices that this machine does not have, with a hint what to write.

    Raises:
        UserError: It has none of the kind, or fewer.
    """
    kinds = KINDS.get(accelerator, ())
    if not kinds:
        if counts(devices) and int(devices) > MOST_PROCESSES:
            raise UserError(
                f"the limit for one machine is {MOST_PROCESSES} processes",
                key="trainer.devices",
                value=devices,
            )
        return
    count = next(filter(None, map(count_of, kinds)), 0)
    if not count:
        several = nodes > 1 or devices not in (1, "1", [0])
        more = " To simulate several processes on it, use trainer=ddp_sim, fsdp_sim or tp_sim."
        raise UserError(
            f"this machine has no {' or '.join(kinds)} device that torch can use",
            key="trainer.accelerator",
            value=accelerator,
            hint="Write trainer=default, which uses a GPU if there is one, or trainer=cpu."
            + (more if several else ""),
        )
    wanted = devices if isinstance(devices, list) else []
    if counts(devices):
        wanted = [int(devices) - 1]
    if any(isinstance(index, int) and index >= count for index in wanted):
        raise UserError(
            f"this machine has only {count}",
            key="trainer.devices",
            value=devices,
            hint=f"Write trainer.devices={count}, or trainer.devices=auto for all.",
        )


def counts(devices: object) -> TypeGuard[int | str]:
    """Return whether devices are given by their number, not by name."""
    return isinstance(devices, int) or (isinstance(devices, str) and devices.isdigit())


def is_parallel(accelerator: str, devices: int | str | list[int], nodes: int) -> bool:
    """Return whether more than one process will train."""
    if nodes > 1:
        return True
    if isinstance(devices, list):
        return len(devices) > 1
    if devices in ("auto", -1, "-1"):
        return accelerator in ("auto", "gpu", "cuda") and torch.cuda.device_count() > 1
    return counts(devices) and int(devices) > 1


def require_alone(variables: Mapping[str, str] = os.environ) -> None:
    """Make sure that only one process was started for a config that needs one.

    Raises:
        UserError: There are others: each would train the whole by itself, in the same folder.
    """
    elastic = all(name in variables for name in ELASTIC)
    started = variables.get("WORLD_SIZE", "1") if elastic else "1"
    if in_slurm(variables) and "SLURM_STEP_ID" in variables:
        started = variables["SLURM_NTASKS"]
    if int(started) > 1:
        raise UserError(
            f"{started} processes were started, but this config is for one",
            key="trainer.strategy",
            hint="Write trainer=ddp or trainer=fsdp, and set trainer.devices and "
            "trainer.num_nodes to match.",
        )


def in_slurm(variables: Mapping[str, str]) -> bool:
    """Return whether SLURM has started this process, other than as a shell."""
    return "SLURM_NTASKS" in variables and variables.get("SLURM_JOB_NAME") not in (
        "bash",
        "interactive",
    )
