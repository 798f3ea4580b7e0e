"""An earlier run as something to start from: what its folder holds of the model it came to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lushan.errors import UserError
from lushan.runs.files import read_json

TASK_STATE = "task.json"
TOKENIZER, ENCODER = "tokenizer", "encoder"
BEST = "best"


def is_run(path: str | Path) -> bool:
    """Whether a path is a run's folder."""
    return Path(path).expanduser().joinpath("run.json").is_file()


def best_weights(folder: Path) -> Path:
    """The best checkpoint's folder: `best` of a complete run, `best-<step>` of another.

    Raises:
        UserError: There is none yet.
    """
    checkpoints = folder / "checkpoints"
    found = [checkpoints / BEST, *sorted(checkpoints.glob(f"{BEST}-*"), reverse=True)]
    whole = next((path for path in found if path.is_dir()), None)
    if whole is None:
        raise UserError(
            "the run has no best checkpoint yet",
            file=folder,
            hint="Train it to its first validation; `lushan runs` shows the state of each run.",
        )
    return whole


def origin(config: Mapping[str, Any]) -> dict[str, str]:
    """What a run begins with besides its data: the weights of an earlier run, a template's file.

    It belongs to them as it belongs to its data.

    Returns:
        The key that names each, to its SHA-256.

    Raises:
        UserError: The earlier run is not complete.
    """
    return _weights(config) | _template(config)


def _template(config: Mapping[str, Any]) -> dict[str, str]:
    path = config.get("task", {}).get("template")
    if not isinstance(path, str) or not Path(path).expanduser().is_file():
        return {}
    content = Path(path).expanduser().read_bytes()
    return {"task.template": hashlib.sha256(content).hexdigest()}


def _weights(config: Mapping[str, Any]) -> dict[str, str]:
    path = config.get("model", {}).get("path")
    if not isinstance(path, str) or not is_run(path):
        return {}
    result = Path(path).expanduser() / "result.json"
    if not result.is_file():
        raise UserError(
            "the run to start from is not complete",
            key="init_from",
            value=path,
            hint="The command that began it goes on with it; `lushan runs` lists all.",
        )
    return {"init_from": str(read_json(result)["weights_sha256"])}
