"""Files that a run appends to while it trains: its metrics, and samples of its texts."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from lushan.common.parsing import parse_json
from lushan.run import inside
from lushan.run.files import intact, read_text

SAMPLES = "samples.jsonl"
"""In the run folder: what the model wrote at each validation."""


def read_rows(path: Path) -> list[dict[str, str]]:
    """The whole rows of a metrics file; a last line that a kill cut short is left out.

    Raises:
        UserError: It is a link that leads out of its folder.
    """
    inside.require(path, path.parent)
    if not path.exists():
        return []
    text = read_text(path)
    whole = text[: text.rfind("\n") + 1]
    with intact(path):
        rows = list(csv.DictReader(io.StringIO(whole)))
    return [row for row in rows if (row.get("step") or "").isdigit()]


def read_samples(path: Path) -> list[dict[str, Any]]:
    """The whole rows of a file of samples; a last line that a kill cut short is left out."""
    if not path.exists():
        return []
    text = read_text(path)
    whole = text[: text.rfind("\n") + 1]
    with intact(path):
        return [parse_json(line) for line in whole.split("\n")[:-1]]
