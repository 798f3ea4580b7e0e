"""What a training has done, and its seconds, when it asks for the batches that `MARKS` numbers."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import torch

NUMBERS = "MARKS"
"""Environment variable: numbers of batches, the first of which is 0, as JSON."""


class Marks:
    """Clock of a training, asked before each batch is made.

    What is done before a batch is asked for is the work of those before it. A card is waited for,
    at the marks alone.
    """

    def __init__(self) -> None:
        self.numbers = json.loads(os.environ.get(NUMBERS, "[]"))
        self.batches = self.examples = self.tokens = 0
        self.found: list[dict[str, float]] = []

    def add(self, examples: int, tokens: int) -> None:
        """Note a batch.

        Args:
            examples: In it.
            tokens: In it, padding left out.
        """
        if self.batches in self.numbers:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.found.append(
                {
                    "examples": self.examples,
                    "tokens": self.tokens,
                    "cpu": time.process_time(),
                    "wall": time.perf_counter(),
                }
            )
        self.batches += 1
        self.examples += examples
        self.tokens += tokens

    def report(self) -> str:
        """One line of JSON."""
        memory = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
        whole = {"examples": self.examples, "tokens": self.tokens, "memory": memory}
        return json.dumps({**whole, "marks": self.found})


class Counting:
    """A collator that notes what goes through it, and calls another one."""

    def __init__(self, collator: Any) -> None:
        self.collator, self.marks = collator, Marks()

    def __call__(self, rows: list[dict[str, Any]]) -> Any:
        self.marks.add(len(rows), sum(len(row["input_ids"]) for row in rows))
        return self.collator(rows)

    def report(self) -> str:
        """One line of JSON."""
        return self.marks.report()
