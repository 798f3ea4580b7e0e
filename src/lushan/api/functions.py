"""What the command line does, as functions.

`import lushan` gives all of it, and imports nothing heavy before a function is called.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lushan.errors import UserError
from lushan.run.result import RunResult

if TYPE_CHECKING:
    import pandas as pd

    from lushan.api.model import Model


@dataclasses.dataclass(frozen=True)
class Config(Mapping[str, Any]):
    """Config of a run: composed, resolved, checked, in plain values.

    Attributes:
        overrides: What it was composed of, as on the command line.
        resolved: The whole config.
        choices: Chosen option of each config group: `{"task": "ner", "task/head": "crf"}`.
    """

    overrides: tuple[str, ...]
    resolved: Mapping[str, Any]
    choices: Mapping[str, str | None]

    def __getitem__(self, key: str) -> Any:
        return self.resolved[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.resolved)

    def __len__(self) -> int:
        return len(self.resolved)

    @property
    def run_id(self) -> str:
        """Hash of all that can change the result; it names the run's folder."""
        return self.folder.name

    @property
    def folder(self) -> Path:
        """Folder that the run has, or would have."""
        from lushan.run.folder import RunFolder

        return RunFolder.of(self.resolved).path

    def to_yaml(self) -> str:
        """Return the config as YAML, its secrets redacted."""
        from lushan.run.config_yaml import to_yaml
        from lushan.run.redaction import redact_config

        return to_yaml(redact_config(dict(self.resolved)))


def compose(overrides: Sequence[str] = (), *, config_dir: str | Path | None = None) -> Config:
    """Compose and check the config of one run, as `lushan train OVERRIDES` does.

    Args:
        overrides: `["experiment=sample/ner", "optimizer.lr=3e-5"]`.
        config_dir: A further folder of configs.

    Raises:
        UserError: An override, a file or a value is wrong; names key, value and place.
    """
    if isinstance(overrides, str):
        raise UserError(
            "overrides must be a list of texts", value=overrides, hint=f"Write [{overrides!r}]."
        )
    from lushan.config.check import check
    from lushan.config.compose import composed

    lines = [str(line) for line in overrides]
    cfg, choices = composed(lines, config_dir=None if config_dir is None else str(config_dir))
    return Config(tuple(lines), check(cfg), choices)


def train(config: Config | Sequence[str]) -> RunResult:
    """Train what a config describes, resume it, or return its stored result.

    A script may train on several devices: it is run once for each of them, and all but the first
    end here.

    Args:
        config: From `compose`, or its overrides.

    Returns:
        Metrics with their intervals, and where the run lies.

    Raises:
        UserError: The config or the data cannot be used, or another process owns the run.
        RunFailed: Training could not continue.
        Interrupted: A signal stopped it; what was done is saved, and the same call resumes it.
    """
    from lushan.engine import lifecycle

    one = config if isinstance(config, Config) else compose(config)
    if lifecycle.rank() > 0:
        lifecycle.take_part(dict(one.resolved), overrides=one.overrides)
        raise SystemExit(0)
    return lifecycle.run(dict(one.resolved), choices=one.choices, overrides=one.overrides)


def load(run: str | Path) -> Model:
    """Load the model of a run, or one that was exported.

    Args:
        run: Its folder.

    Raises:
        UserError: There is no such run, or it has no whole checkpoint yet.
    """
    from lushan.inference import early

    early.require_run(run)
    from lushan.api.model import Model
    from lushan.inference import load as loading

    return Model(loading.load(run))


def runs(
    folder: str | Path = "outputs", *, where: Sequence[str] = (), columns: Sequence[str] = ()
) -> pd.DataFrame:
    """List the runs below a folder.

    Args:
        folder: The folder.
        where: Conditions that all must hold: `["task.head=crf", "test/entity_f1>=40%"]`.
        columns: Further keys and groups to show.

    Returns:
        A row for each run, the latest last: `run`, `name`, `state`, `reason`, `started`, `seconds`,
        then the keys and groups in which the runs differ, `columns`, then every metric.

    Raises:
        UserError: There is no such folder, or no run has a key of a condition.
    """
    import pandas as pd

    from lushan.run import listing
    from lushan.run.identity import ABSENT
    from lushan.run.where import parse

    fields = ("name", "state", "reason", "started", "seconds")
    rows = [
        {"run": run.folder}
        | {name: getattr(run, name) for name in fields}
        | {name: run.facts.get(name) for name in [*run.differs, *columns]}
        | dict(run.facts.metrics)
        for run in listing.list_runs(folder, where=parse(where), columns=columns)
    ]
    rows = [{k: None if v is ABSENT else v for k, v in row.items()} for row in rows]
    return pd.DataFrame(rows, columns=None if rows else ["run", *fields])


def table(
    folders: str | Path | Sequence[str | Path],
    *,
    rows: str | Sequence[str],
    columns: str | Sequence[str] = (),
    over: str | Sequence[str] = "seed",
    metrics: str | Sequence[str] = (),
    where: Sequence[str] = (),
) -> pd.DataFrame:
    """Average metrics over runs, for each value of some keys.

    Args:
        folders: With runs at any depth.
        rows: Keys of the config or groups; a row for each of their values.
        columns: The same for columns.
        over: Keys that are averaged over.
        metrics: With or without a split; the main metric where none is given.
        where: Runs alone that fit all of these.

    Returns:
        Rows by the values of `rows`; columns by those of `columns`, then metric, then `mean`,
        `sd` (of the sample; NaN for one run) and `n` (complete runs). What a reader must know of
        the numbers is in `attrs["notes"]`.

    Raises:
        UserError: As `lushan table` does.
    """
    import pandas as pd

    from lushan.run.where import parse
    from lushan.study.table import grid_of

    places = [folders] if isinstance(folders, str | Path) else list(folders)
    grid = grid_of(
        places,
        rows=_names(rows),
        columns=_names(columns),
        over=_names(over),
        metrics=_names(metrics),
        where=parse(where),
    )
    heads, numbers = [], []
    for column in grid.columns:
        for metric in grid.metrics:
            cells = [grid.cells[row, column, metric] for row in grid.rows]
            heads += [(*column, metric, statistic) for statistic in ("mean", "sd", "n")]
            numbers += [[cell.mean for cell in cells], [cell.sd for cell in cells]]
            numbers.append([len(cell.numbers) for cell in cells])
    found = pd.DataFrame(
        dict(enumerate(numbers)), index=pd.MultiIndex.from_tuples(grid.rows, names=grid.keys)
    )
    found.columns = pd.MultiIndex.from_tuples(heads, names=[*grid.column_keys, "metric", ""])
    found.attrs["notes"] = list(grid.notes)
    return found


def _names(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)
