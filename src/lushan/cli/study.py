"""The commands of studies: `lushan study run`, `status`, `table`, `verify`.

What takes time to import is imported inside them, as in `lushan.cli.app`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lushan.cli.flags import AsJson, echo_json
from lushan.cli.models import examples
from lushan.cli.reproduce import Tolerance, again
from lushan.common.terminal import echo, hint
from lushan.engine.job import Job
from lushan.errors import UserError
from lushan.run import remote_code
from lushan.run.progress import Bar

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from lushan.launch.job_status import JobStatus
    from lushan.launch.protocol import CheckedConfig
    from lushan.run.status import Status
    from lushan.study.plan import Plan, Run

OURS = "fork"
"""The launcher that a study uses unasked."""
USUAL = gc.get_threshold()

File = Annotated[Path, typer.Argument(help="YAML file of the study.", show_default=False)]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Run the comparison in a file, and write its tables.",
)


def add_to(other: typer.Typer) -> None:
    """Give an application these commands."""
    other.add_typer(app, name="study")


class SharedJob(Job):
    """A job of a study: its config was checked with the study, and a live owner keeps its run.

    Args:
        runs: Of the study, in the order of the jobs.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        super().__init__()
        self.configs = [dict(run.config) for run in runs]

    def execute(
        self, cfg: DictConfig, checked: CheckedConfig | UserError | None = None
    ) -> JobStatus:
        """Execute a job, unless the run has a live lock holder."""
        from hydra.core.hydra_config import HydraConfig

        from lushan.launch.job_status import JobStatus
        from lushan.run.folder import RunFolder
        from lushan.run.status import RUNNING

        folder = RunFolder.of(self.configs[HydraConfig.get().job.num])
        holder = folder.holder()
        if holder is None:
            return super().execute(cfg, checked)
        return JobStatus(RUNNING, reason=f"{holder} is running it", folder=folder.path)

    def check(self, cfg: DictConfig) -> CheckedConfig:
        """Return the config that the study has checked.

        Raises:
            UserError: The result of its run is damaged.
        """
        from hydra.core.hydra_config import HydraConfig

        from lushan.launch.protocol import CheckedConfig
        from lushan.run.folder import RunFolder

        del cfg
        config = self.configs[HydraConfig.get().job.num]
        return CheckedConfig(config, RunFolder.of(config).result())


def _launcher_options(launcher: str, jobs: int, more: Sequence[str]) -> list[str]:
    """Return the overrides that choose a launcher and set it.

    Raises:
        UserError: The launcher has no such setting.
    """
    if jobs < 1:
        raise UserError("must be 1 or more", key="--jobs", value=jobs)
    for text in more:
        if not text.lstrip("+").startswith("hydra."):
            hint = "Write hydra.launcher.KEY=VALUE. Keys of runs belong in the study's file."
            raise UserError("is not a launcher setting", key="--option", value=text, hint=hint)
    options = [f"hydra/launcher={launcher}", *more]
    if launcher == OURS:
        return [*options, f"hydra.launcher.jobs={jobs}"]
    if jobs != 1:
        hint = f"Write --option hydra.launcher.KEY={jobs} with the key of {launcher}."
        raise UserError("requires --launcher fork", key="--jobs", value=jobs, hint=hint)
    return options


@app.command(
    epilog=examples(
        "lushan study run experiments/ner_heads/study.yaml",
        "lushan study run experiments/ner_heads/study.yaml --jobs 2 --retry 1",
        "lushan study run experiments/ner_heads/study.yaml --launcher joblib",
    )
)
def run(
    file: File,
    launcher: Annotated[
        str,
        typer.Option(help="An option of hydra/launcher: fork, joblib, ray, submitit_slurm, ..."),
    ] = OURS,
    jobs: Annotated[int, typer.Option(help="With --launcher fork: number of parallel runs.")] = 1,
    option: Annotated[
        list[str] | None, typer.Option(help="An override for the launcher: hydra.launcher.KEY=...")
    ] = None,
    retry: Annotated[int, typer.Option(help="Number of times to restart a failed run.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Train the missing runs of a study; complete runs are reused."""
    from lushan.config.launching import launch, require_launcher
    from lushan.run.status import COMPLETE, FAILED, NEW
    from lushan.study.plan import as_json as in_json
    from lushan.study.plan import progress
    from lushan.study.runner import DUE, execute

    if retry < 0:
        raise UserError("must be 0 or more", key="--retry", value=retry)
    options = _launcher_options(launcher, jobs, option or ())
    if launcher != OURS or option:  # ours with its own options is right
        require_launcher(options)
    made = as_it_stands(file)
    for one in made.runs:
        remote_code.require(one.config)
    states = made.states()
    if any(status.state in DUE for status in states.values()):  # else it is printed once, below
        hint(progress(states))
    _print_undecided(made)
    refused: dict[Run, str] = {}

    def start(todo: Sequence[Run]) -> None:
        gc.set_threshold(*USUAL)  # training makes garbage, which an answer does not
        done = launch([run.overrides for run in todo], SharedJob(todo), options)
        for one, job in zip(todo, done, strict=True):
            status: JobStatus = job.return_value
            if status.state == FAILED and one.folder.state == NEW:  # it was refused before
                refused[one] = str(status.reason)

    # How each job ended is printed by its launcher, and is no part of a document.
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        states = execute(made, start, states=states, retry=retry, report=hint)
    states = _with_refused(states, refused)
    echo(in_json(made, states) if as_json else _closing(made, states, refused))
    raise typer.Exit(int(any(status.state != COMPLETE for status in states.values())))


@app.command(
    epilog=examples(
        "lushan study status experiments/ner_heads/study.yaml",
        "lushan study status experiments/ner_heads/study.yaml --json",
    )
)
def status(file: File, as_json: AsJson = False) -> None:
    """Show the complete, running, failed and missing runs of a study, and the time left.

    Trains nothing. Use it also to check a study and to count its runs before you start.
    """
    from lushan.study.plan import as_json as in_json
    from lushan.study.plan import as_text

    made = as_it_stands(file)
    echo(in_json(made, made.states()) if as_json else as_text(made))
    _print_undecided(made)


@app.command(
    epilog=examples(
        "lushan study table experiments/ner_heads/study.yaml",
        "lushan study table experiments/ner_heads/study.yaml --write README.md",
        "lushan study table experiments/ner_heads/study.yaml --format latex",
    )
)
def table(
    file: File,
    format: Annotated[str, typer.Option(help="Format: md, latex, csv, html or json.")] = "md",
    as_json: AsJson = False,
    write: Annotated[
        Path | None, typer.Option(help="Write or replace a Markdown page next to the study.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Output file of the tables only. Default: the terminal.")
    ] = None,
) -> None:
    """Print or write the tables of a study and the verdicts on its claims."""
    from lushan.run.files import write_page
    from lushan.study import render
    from lushan.study.formats import require_format

    format = "json" if as_json else format
    require_format(format)
    if write is not None and format != "md":
        raise UserError("--write requires md", key="--format", value=format)
    if write is not None and write.suffix.lower() not in (".md", ".markdown"):
        hint = "Write --write README.md. Without --write, tables go to standard output."
        raise UserError("must be a Markdown file", key="--write", value=str(write), hint=hint)
    if write is not None and output is not None:
        raise UserError("cannot be combined with --write", key="--output", value=str(output))
    made = as_it_stands(file)
    text, apart = render.tables(made, format)
    if output is not None:
        write_page(output, text + "\n")
    elif write is None:
        echo(text)
    else:
        target = write if write.is_absolute() or write.parent != Path() else file.parent / write
        _write_page(made, text, target, str(write))
        echo(str(target), err=True)
    for note in apart:
        echo(note, err=True)


def _write_page(made: Plan, text: str, target: Path, named: str) -> None:
    """A study's page, and its plots beside it."""
    from lushan.run.files import write_page
    from lushan.study import render

    shown = {}
    if made.study.plots:
        from lushan.plotting import save
        from lushan.study.plots import drawn

        for plot in drawn(made):
            save(plot.figure, target.parent / plot.name)
            shown[plot.name] = plot.caption
    write_page(target, render.page(made, text, shown, named))


@app.command(
    epilog=examples(
        "lushan study verify experiments/ner_heads/study.yaml",
        "lushan study verify experiments/ner_heads/study.yaml --runs 2 --seed 1",
    )
)
def verify(
    file: File,
    runs: Annotated[
        int | None, typer.Option(help="Number of runs to sample. Default: all.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the sample.")] = 1,
    tolerance: Tolerance = 1e-4,
    as_json: AsJson = False,
) -> None:
    """Retrain complete runs in new folders, and compare the results number by number."""
    import random

    from lushan.run.status import COMPLETE

    made = planned(file)
    states = made.states()
    done = {run.folder.path: run for run in made.runs if states[run].state == COMPLETE}
    if not done:
        hint = f"lushan study run {file}"
        reasons = "; ".join(dict.fromkeys(status.missing for status in states.values()))
        raise UserError(f"the study has no complete run ({reasons})", file=file, hint=hint)
    if runs is not None and not 1 <= runs <= len(done):
        problem = f"must be between 1 and {len(done)}, the number of complete runs"
        raise UserError(problem, key="--runs", value=runs)
    chosen = random.Random(seed).sample(list(done.values()), runs or len(done))
    rows = []
    for run in chosen:
        if not as_json:
            echo(f"{run.label} ({run.folder.path})")
        rows.append(again(run.folder.path, None, tolerance, every=False, as_json=as_json))
    verdicts = [row["verdict"] for row in rows]
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in dict.fromkeys(verdicts))
    if as_json:
        echo_json({"complete": len(done), "runs": rows})
    else:
        echo(f"{len(chosen)} of {len(done)} complete runs retrained: {counts}")
    raise typer.Exit(int("different" in verdicts))


def planned(file: Path) -> Plan:
    """The study spelled out, with its claims read: all that can be wrong is wrong now."""
    from lushan.study import claims, metrics
    from lushan.study.plan import plan
    from lushan.study.study import read

    study = read(file)
    claimed = claims.read(study)
    with Bar("configs") as report:
        made = plan(study, report)
    metrics.require(made, claimed)
    return made


def as_it_stands(file: Path) -> Plan:
    """The study spelled out, with those runs marked that `lushan train` would not answer now."""
    from lushan.engine import lifecycle
    from lushan.study.stale import marked

    made, unchecked = marked(planned(file), lifecycle.inputs_here)
    for line in unchecked:
        echo(line, err=True)
    return made


def _print_undecided(made: Plan) -> None:
    """List what no result can decide, before hours are spent."""
    from lushan.study import claims

    for line in claims.beyond_reach(made.study, claims.read(made.study)):
        echo(line, err=True)


def _with_refused(states: Mapping[Run, Status], refused: Mapping[Run, str]) -> dict[Run, Status]:
    """Return how far each run is, those failed that never had a folder, with the reason."""
    from lushan.run.status import FAILED

    failed = {
        run: dataclasses.replace(states[run], state=FAILED, reason=reason)
        for run, reason in refused.items()
    }
    return {**states, **failed}


def _closing(made: Plan, states: Mapping[Run, Status], refused: Collection[Run]) -> str:
    """Return how a study stands, and why runs are not done."""
    from lushan.run.status import FAILED
    from lushan.study.plan import STALE, progress

    failed = [run for run, status in states.items() if status.state == FAILED]
    lines = [f"failed: {run.label}: {states[run].reason} ({run.folder.path})" for run in failed]
    if any(run not in refused for run in failed):
        lines.append("failed runs are not restarted; use --retry 1 to restart them")
    stale = [run for run, status in states.items() if status.state == STALE]
    lines += [f"stale: {run.label}: {states[run].reason} ({run.folder.path})" for run in stale]
    if stale:
        lines.append(
            "stale runs are not retrained: restore the old inputs, delete the run's folder, or "
            "set another name=NAME in base"
        )
    return "\n".join([*lines, *made.notes, str(progress(states))])
