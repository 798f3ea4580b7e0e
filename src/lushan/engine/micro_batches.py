"""Largest micro-batch that a device holds: found by trial, for `data.micro_tokens=auto`."""

from __future__ import annotations

import dataclasses
import gc
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import psutil
import pyarrow as pa
import torch

from lushan.common import memory
from lushan.data.batch.batching import Indices, longest_first
from lushan.data.batch.packing import Rows
from lushan.data.encode.encoding import Encoded
from lushan.data.source import AUTO
from lushan.engine.batch_plan import BatchPlan
from lushan.engine.components import Components
from lushan.engine.devices import is_parallel
from lushan.engine.trial_steps import try_steps
from lushan.errors import RunFailed, UserError
from lushan.run.files import read_json, write_json
from lushan.run.identity import depends_on_division
from lushan.run.progress import Bar

log = logging.getLogger(__name__)

FILE = "micro_tokens.json"
"""In the run folder: what was found, which a resumed run takes."""
KEY = "data.micro_tokens"
SHARE = 0.85
"""Of the memory that is free for this process; the rest is for validation, and for fragments."""
CLOSE = 8
"""The search ends where candidates differ by less than one part in so many."""

Peak = Callable[[int], int | None]
"""Rows of a micro-batch to bytes at the peak of a step; None where they do not fit."""


class Memory(Protocol):
    """Memory of the device that trains."""

    def limit(self) -> int:
        """Return the bytes that this process may have in all."""

    def peak(self, step: Callable[[], None]) -> int | None:
        """Return the most bytes that this process has during a step; None where it fails."""


class Cuda:
    """Memory of a card."""

    def limit(self) -> int:
        """Count what is free, and what this process has."""
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info()
        return int(SHARE * (free + torch.cuda.memory_reserved()))

    def peak(self, step: Callable[[], None]) -> int | None:
        """Measure it; what is out of memory has none."""
        torch.cuda.reset_peak_memory_stats()
        try:
            step()
            return torch.cuda.max_memory_reserved()
        except torch.cuda.OutOfMemoryError:
            return None
        finally:
            gc.collect()
            torch.cuda.empty_cache()


class Ram:
    """Memory of this machine, as far as a container's limit leaves it."""

    def limit(self) -> int:
        """Count what is free, and what this process has."""
        own, free = psutil.Process().memory_info().rss, psutil.virtual_memory().available
        bound = memory.container_limit()
        return int(SHARE * (own + free if bound is None else min(own + free, bound)))

    def peak(self, step: Callable[[], None]) -> int | None:
        """Measure it."""
        gc.collect()
        memory.reset_peak()
        step()
        return memory.peak()


def settled(cfg: Mapping[str, Any], parts: Components, plan: BatchPlan, folder: Path) -> int | None:
    """Return the tokens of a micro-batch: those of the config, or what `auto` stands for.

    Args:
        cfg: The checked config.
        parts: Of the run.
        plan: Its batches.
        folder: The run folder, which keeps what was found.

    Raises:
        RunFailed: The device does not hold a single row.
    """
    if parts.source.micro_tokens != AUTO:
        return plan.batching.micro_tokens
    if (folder / FILE).is_file():
        found: int | None = read_json(folder / FILE)["micro_tokens"]
        log.info("%s=auto: %s, as in an earlier run", KEY, found or "whole batches")
        return found
    found = find(cfg, parts, plan, device_of(cfg))
    write_json(folder / FILE, {"micro_tokens": found})
    log.info("%s=auto: %s", KEY, found or "whole batches")
    return found


def find(cfg: Mapping[str, Any], parts: Components, plan: BatchPlan, device: Memory) -> int | None:
    """Find the tokens of the largest micro-batch; None where whole batches fit.

    Candidates are made of the longest rows, so that whatever has as many tokens needs no more.

    Raises:
        RunFailed: The device does not hold a single row.
    """
    lengths = plan.rows_of(0).sums(plan.encoded.lengths)
    order = longest_first(lengths)
    most = max(len(batch) for batch in plan.epoch(0, done=0))
    limit = device.limit()

    def peak(rows: int) -> int | None:
        steps = Excerpt(plan, [order[:rows]] * 2)  # the second has the optimizer's state, too

        def step() -> None:
            try_steps(cfg, parts.task, parts.model, steps, factor=_unmoved)

        found = device.peak(step)
        shown = "more than there is" if found is None else f"{found / 2**20:,.0f} MiB"
        log.info("%s=auto: %d rows of %d tokens: %s", KEY, rows, int(lengths[order[0]]), shown)
        return found

    with Bar("micro-batches") as bar:
        rows = largest(most, peak, limit, bar)
    if not rows:
        raise RunFailed(
            f"even one row of {int(lengths[order[0]])} tokens does not fit into the memory for "
            f"training, "
            f"{limit / 2**20:,.0f} MiB\n  Use a smaller data.max_length, or another model."
        )
    return None if rows == most else rows * int(lengths[order[0]])


def largest(
    most: int, peak: Peak, limit: int, progress: Callable[[int, int], None] | None = None
) -> int:
    """Return the largest size whose peak is within a limit, 0 where none is.

    Sizes are doubled, then halved between; one that would need too much, by a line through the
    last two, is not tried: a process that takes too much memory is killed.

    Args:
        most: Largest size.
        peak: Measures a size.
        limit: Bytes.
        progress: Gets the size that fits, and the largest.
    """
    known: list[tuple[int, int]] = []

    def fits(size: int) -> bool:
        if len(known) > 1:
            (before, low), (last, high) = known[-2:]
            if high + (size - last) * max(0, high - low) / (last - before) > limit:
                return False
        found = peak(size)
        if found is None or found > limit:
            return False
        known.append((size, found))
        if progress is not None:
            progress(size, most)
        return True

    if not fits(1):
        return 0
    low, high = 1, most + 1
    while high - low > max(1, low // CLOSE):
        size = min(2 * low, most) if high > most else (low + high) // 2
        if fits(size):
            low = size
        else:
            high = size
    return low


def _unmoved(step: int, *, total_steps: int) -> float:
    """Return no rate at all: memory is measured, and nothing learned."""
    del step, total_steps
    return 0.0


class Excerpt(BatchPlan):
    """Some steps of a plan's first epoch, with whole global batches as micro-batches.

    Args:
        plan: The whole.
        batches: Rows of each step.
    """

    def __init__(self, plan: BatchPlan, batches: list[Indices]) -> None:
        self.plan, self.batches = plan, batches
        self.batching = dataclasses.replace(plan.batching, micro_tokens=None)
        self.encoded = plan.encoded
        self.steps, self.total_steps = [len(batches)], len(batches)

    def rows_of(self, epoch: int) -> Rows:
        """The rows of the plan's first epoch."""
        del epoch
        return self.plan.rows_of(0)

    def epoch(self, number: int, *, done: int | None = None) -> list[Indices]:
        """All of the steps."""
        del number, done
        return self.batches

    def features(self, epoch: int) -> Encoded:
        """The plan's own."""
        del epoch
        return self.plan.features(0)

    def table(self, epoch: int) -> pa.Table:
        """The plan's own."""
        del epoch
        return self.plan.table(0)


def require_measurable(cfg: Mapping[str, Any]) -> None:
    """Refuse `auto` where the size of micro-batches would be of consequence, or not one device's.

    Raises:
        UserError: Several processes train, or dropout depends on how a batch is shared out.
    """
    if cfg["data"].get("micro_tokens") != AUTO:
        return
    trainer = cfg["trainer"]
    accelerator, devices = trainer.get("accelerator", "auto"), trainer.get("devices", "auto")
    several = is_parallel(accelerator, devices, trainer.get("num_nodes", 1))
    spread = trainer.get("strategy") not in (None, "auto") or trainer.get("tensor_parallel", 1) > 1
    reason = ""
    if several or spread:
        reason = "memory can only be measured with one device, but here are several"
    elif depends_on_division(cfg):
        reason = "dropout masks depend on the micro-batch size here, so it must be fixed"
    elif accelerator == "mps":
        reason = "memory can only be measured on the CPU and on CUDA GPUs"
    if reason:
        hint = f"Write {KEY}=4096, or as many tokens as fit on a device."
        raise UserError(reason, key=KEY, value=AUTO, hint=hint)


def device_of(cfg: Mapping[str, Any]) -> Memory:
    """Return the memory of the device that a config trains on."""
    is_cuda = cfg["trainer"].get("accelerator") != "cpu" and torch.cuda.is_available()
    return Cuda() if is_cuda else Ram()
