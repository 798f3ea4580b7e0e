"""A collator that counts what goes through it: examples, and tokens that are no padding."""

from __future__ import annotations

import json
from typing import Any


class Counting:
    """Calls another collator."""

    def __init__(self, collator: Any) -> None:
        self.collator, self.examples, self.tokens = collator, 0, 0

    def __call__(self, rows: list[dict[str, Any]]) -> Any:
        self.examples += len(rows)
        self.tokens += sum(len(row["input_ids"]) for row in rows)
        return self.collator(rows)

    def report(self) -> str:
        """One line of JSON."""
        return json.dumps({"examples": self.examples, "tokens": self.tokens})
