"""Device and precision of what is computed without a trainer, as Lightning's trainer has them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from lushan.engine.devices import device_of
from lushan.errors import UserError
from lushan.models.precision import best_precision

DTYPES = {"64-true": torch.float64, "bf16-true": torch.bfloat16, "16-true": torch.float16}
"""Precisions in which weights are stored otherwise than in float32."""
MIXED = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
"""Precisions in which products are taken, and weights stay as they are."""
ALIASES = {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true", "64": "64-true"}
KEYS = ("accelerator", "devices", "precision", "deterministic")
"""Keys of a trainer that bear on this; the others belong to a training."""


class Computing(contextlib.ExitStack):
    """Computes within a block on a device, in a precision, and without gradients.

    Args:
        trainer: A trainer's config; of several devices the first one is taken.

    Attributes:
        device: Where it is computed.
        precision: By the name that Lightning has for it.

    Raises:
        UserError: The device is not there, or the precision is not one of torch's own.
    """

    def __init__(self, trainer: Mapping[str, Any]) -> None:
        super().__init__()
        accelerator = trainer.get("accelerator") or "auto"
        self.device = device_of(accelerator, trainer.get("devices") or "auto")
        wanted = str(trainer.get("precision") or "32-true")
        wanted = best_precision(self.device.type) if wanted == "auto" else wanted
        wanted = ALIASES.get(wanted, wanted)
        if wanted == "16-mixed" and self.device.type == "cpu":
            wanted = "bf16-mixed"  # as Lightning does: torch has no products of halves there
        if wanted not in {"32-true", *DTYPES, *MIXED}:
            known = ", ".join(("auto", "32-true", *MIXED, *DTYPES))
            raise UserError(
                "this precision is not supported without a trainer",
                key="trainer.precision",
                value=wanted,
                hint=f"One of {known}.",
            )
        self.precision = wanted
        self._dtype = DTYPES.get(wanted)
        self._deterministic = trainer.get("deterministic")

    def place(self, model: nn.Module) -> None:
        """Move a model to the device, and give its weights their type."""
        model.to(self.device, self._dtype)

    def moved(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return a batch on the device; its real numbers have the weights' type."""
        return {name: self._moved(value) for name, value in batch.items()}

    def _moved(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        return value.to(self.device, self._dtype if value.is_floating_point() else None)

    def __enter__(self) -> Computing:
        super().__enter__()
        self.enter_context(torch.inference_mode())
        if self._dtype is not None:
            self.callback(torch.set_default_dtype, torch.get_default_dtype())
            torch.set_default_dtype(self._dtype)
        if self.precision in MIXED:
            kind = self.device.type
            self.enter_context(torch.autocast(kind, dtype=MIXED[self.precision]))
        if self._deterministic:
            before = torch.are_deterministic_algorithms_enabled()
            self.callback(torch.use_deterministic_algorithms, before)
            warn_only = self._deterministic == "warn"
            torch.use_deterministic_algorithms(True, warn_only=warn_only)
        return self
