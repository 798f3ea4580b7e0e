"""`config.yaml`: the config of a run, as its folder keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lushan.common import parsing
from lushan.common.wording import plural
from lushan.errors import UserError
from lushan.run import checksums, inside
from lushan.run.files import CHANGED, atomic_write, read_json, write_json
from lushan.run.identity import RESOLVED

CONFIG = "config.yaml"


def read_config(folder: str | Path) -> dict[str, Any]:
    """Read the `config.yaml` of a run folder, which is about to be used.

    Raises:
        UserError: There is none: the folder is not that of a run. Or it was changed, or a link in
            the folder leads out of it.
    """
    inside.require_own_run(Path(folder))
    path = Path(folder) / CONFIG
    try:
        content = parsing.parse_yaml(checksums.read(Path(folder), CONFIG))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise no_run(Path(folder)) from error
    except parsing.Unreadable as error:
        raise UserError(f"not a YAML file: {error}", file=path, line=error.line) from error
    if not isinstance(content, dict):
        raise UserError("not a config", file=path)
    return content


def no_run(folder: Path) -> UserError:
    """Return the error for what is not a run folder, by what it is instead."""
    problem, hint = "not a run folder", "`lushan runs` lists all runs."
    if (folder / "run.json").is_file() or (folder / "result.json").is_file():
        return UserError("the file is missing", file=folder / CONFIG, hint=CHANGED)
    if folder.is_file():
        problem = f"a file, {problem}"
    elif not folder.exists():
        problem = f"the folder does not exist, so it is {problem}"
    elif runs := sorted(file.parent.name for file in folder.glob(f"*/{CONFIG}")):
        problem = f"a folder of {plural(len(runs), 'run')}, {problem}"
        shown = ", ".join(str(folder / name) for name in runs[:5])
        hint = f"Give one of them: {shown}{', ...' if len(runs) > 5 else ''}."
    elif (folder / "adapter_config.json").is_file():
        problem = f"an exported adapter, {problem}"
        hint = "Load it with peft as its README.md says, or give the run it was exported from."
    elif (folder / "config.json").is_file():
        problem = f"a model in Hugging Face format, {problem}"
        hint = (
            "`lushan predict` accepts a model exported by `lushan export`; `lushan generate` and "
            "`lushan chat` accept any model that generates text. Here, give the run that it was "
            "exported from."
        )
    return UserError(problem, file=folder, hint=hint)


def record_resolved(folder: Path, facts: Mapping[str, Any]) -> None:
    """Add the resolved values of `auto` and defaults to a begun run's config and manifest."""
    config, manifest = folder / "config.yaml", folder / "manifest.json"
    if config.is_file():
        # Before it is listed: the two writes would leave a moment in which they do not agree.
        atomic_write(config, to_yaml(read_config(folder) | {RESOLVED: dict(facts)}))
    if manifest.is_file():
        write_json(manifest, read_json(manifest) | {RESOLVED: dict(facts)})


def to_yaml(value: object) -> str:
    """Return a value as the YAML of a run folder."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
