"""Predictions of the validation split as a run has stored them: how far its labels can be trusted.

Without torch: what is chosen by the validation split is chosen before the model is loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lushan.common.parsing import parse_json
from lushan.errors import UserError
from lushan.run import checksums

NAME = "predictions/validation.jsonl"


def predictions(run: str | Path) -> list[dict[str, Any]]:
    """Return the records of a run's validation split, each with `gold` and `predicted`.

    Raises:
        UserError: The run has stored none, or the file is not what it wrote.
    """
    folder = Path(run).expanduser()
    try:
        content = checksums.read(folder, NAME)
    except (FileNotFoundError, NotADirectoryError):
        content = b""
    if not content.strip():
        raise UserError(
            "it has no stored predictions of a validation split",
            file=folder / NAME,
            hint="Give the folder of a complete run with a validation split (data.validation). An "
            "exported folder has no predictions.",
        )
    try:
        found = [parse_json(line) for line in content.splitlines()]
    except ValueError as error:
        raise UserError(f"not JSON: {error}", file=folder / NAME) from error
    if not all(isinstance(r, dict) and {"gold", "predicted"} <= r.keys() for r in found):
        raise UserError("its records have no gold and predicted label", file=folder / NAME)
    return found
