"""Announcement of a run before its first step: its data, its weights, and what is hidden."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from lushan.engine.batch_plan import BatchPlan
from lushan.engine.components import Components
from lushan.engine.evaluating import TEST, VALIDATION
from lushan.models.peft.adaptation import adaptation_of
from lushan.run.shortened import shortened_by

log = logging.getLogger(__name__)


def evaluated_splits(cfg: Mapping[str, Any], parts: Components) -> list[str]:
    """The splits whose metrics a run ends with."""
    if cfg["trainer"].get("limit_test_batches") == 0:
        return []
    splits = [VALIDATION, TEST] if cfg["test"] else [VALIDATION]
    return [split for split in splits if split in parts.encoded]


def notes_before(
    cfg: Mapping[str, Any],
    choices: Mapping[str, str | None],
    parts: Components,
    plan: BatchPlan,
) -> list[str]:
    """Return what the reader of the numbers must know, as far as it is known before training."""
    notes = [*parts.notes, *plan.notes]
    if not evaluated_splits(cfg, parts):
        notes.append(f"nothing is evaluated, so the run has no metric: {_why_nothing(cfg, parts)}")
    if cut := shortened_by(cfg, choices):
        notes.append(
            f"{', '.join(cut)}: this run only tests the code; its numbers are not comparable"
        )
    return notes


def _why_nothing(cfg: Mapping[str, Any], parts: Components) -> str:
    if cfg["trainer"].get("limit_test_batches") == 0:
        return "trainer.limit_test_batches=0 turns it off"
    if TEST in parts.encoded:
        return "there is no validation split, and test=false"
    return "the data has neither a validation nor a test split"


def describe(parts: Components, plan: BatchPlan, notes: Sequence[str]) -> None:
    """Log what is about to be trained."""
    sizes = ", ".join(f"{name} {table.num_rows:,}" for name, table in parts.corpus.splits.items())
    counts = count_parameters(parts.model)
    for note in notes:
        log.info("note: %s", note)
    log.info("examples: %s", sizes)
    for line in parts.origins:
        log.info("%s", line)
    share = f"{counts['trained']:,} ({100 * counts['trained'] / counts['all']:.3g} %)"
    log.info("parameters: %s, trained: %s", f"{counts['all']:,}", share)
    if (adaptation := adaptation_of(parts.model)) is not None:
        log.info("peft: %s", adaptation)
    if parts.row_tokens is not None:
        rows, features = len(plan.rows), len(plan.rows.members)
        log.info(
            "packing: %s documents or parts in %s rows of %d tokens, %.1f %% empty",
            *(f"{features:,}", f"{rows:,}", parts.row_tokens, 100 * plan.waste),
        )
    if plan.epochs is None:
        log.info("steps: %d, window after window of the stream", plan.total_steps)
    else:
        epochs = "1 epoch" if plan.epochs == 1 else f"{plan.epochs} epochs"
        log.info("steps: %d in %s", plan.total_steps, epochs)


def count_parameters(model: torch.nn.Module) -> dict[str, int]:
    """All numbers that make up a model, and those of them that learn."""
    weights = list(model.parameters())
    return {
        "all": sum(w.numel() for w in weights),
        "trained": sum(w.numel() for w in weights if w.requires_grad),
    }
