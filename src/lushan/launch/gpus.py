"""A job's share of the machine, where several run at a time: a graphics card, or some cores.

Launchers on clusters give each job its own (SLURM, Ray); those that only start processes here do
not, and all their jobs would compute on the first card.
"""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from lushan.run import manifest
from lushan.run.files import appending

LOCAL = {
    "lushan.launch.fork.ForkLauncher": "jobs",
    "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher": "n_jobs",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher": "array_parallelism",
}
"""Launchers whose jobs share this machine, and the option that says how many run at a time."""
SUBMITIT = "hydra_plugins.hydra_submitit_launcher."
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_held: dict[str, IO[str]] = {}
"""The card that this process has taken, by its open lock, which the system gives back."""


def take(launcher: Mapping[str, Any], trainer: Mapping[str, Any], number: int) -> None:
    """Keep this process to its share, before it computes.

    Args:
        launcher: Hydra's node: who started this job, and how many at a time.
        trainer: Of the job's config.
        number: Of the job.
    """
    target = str(launcher.get("_target_"))
    if target.startswith(SUBMITIT) and "torch" not in sys.modules:
        # What it starts on one machine knows nothing of the others.
        os.environ.setdefault("OMP_NUM_THREADS", str(launcher.get("cpus_per_task") or 1))
    alone = target not in LOCAL or launcher.get(LOCAL[target]) == 1
    one_card = trainer.get("devices", 1) == 1 and trainer.get("accelerator") != "cpu"
    if not alone and one_card:
        take_gpu(number)


def take_gpu(number: int) -> str | None:
    """Let this process see one graphics card, and no other job of this user that takes one.

    Args:
        number: Of the job: where all are taken, cards are shared in turn.

    Returns:
        The card; None where there is nothing to choose from.
    """
    if _held:
        return next(iter(_held))
    listed = os.environ.get(_VISIBLE)
    cards = listed.split(",") if listed else [card["index"] for card in manifest.gpus()]
    if len(cards) < 2:
        return None
    folder = Path(tempfile.gettempdir()) / f"lushan-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    turn = number % len(cards)
    chosen = cards[turn]
    for card in [*cards[turn:], *cards[:turn]]:
        lock = appending(folder / card.replace("/", "-"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        _held[card] = lock
        chosen = card
        break
    os.environ[_VISIBLE] = chosen
    return chosen
