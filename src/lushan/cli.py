"""The command line. Whatever takes time to import is imported by the command that needs it."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import gc
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lushan import auditing, commands, comparing, publishing, studying
from lushan.commands import examples
from lushan.errors import Interrupted, UserError
from lushan.job import Job, code_of, complain, gave_up
from lushan.runs import trust

if TYPE_CHECKING:
    from lushan.runs.outcomes import Outcome

app = typer.Typer(
    name="lushan",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # it would show the values of local variables
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="""Experiments with language models: from one command to a number that can be defended.

    \b
    lushan train experiment=sample/ner                     train, or show what it came to before
    lushan train -m experiment=sample/ner seed=1,2,3       a sweep
    lushan train -m experiment=sample/ner hparams_search=optuna    a search for a learning rate
    lushan audit experiment=sample/ner                     what is odd about the data
    lushan runs                                            what there is
    lushan table outputs/sample_ner --rows task.head       mean and deviation over seeds
    lushan compare RUN RUN                                 what differs, and whether it is chance
    lushan study run STUDY.yaml                            a comparison, from one file
    lushan report STUDY.yaml -o site                       a page to look at it
    lushan predict RUN --input new.txt --output out.jsonl  use what was trained
    lushan generate RUN --prompt "Once upon"               let a language model go on
    lushan chat RUN                                        talk to it
    lushan export RUN FOLDER                               in Hugging Face format

    A model that needs code of its own runs it with --trust-remote-code, written on this line
    and nowhere else. Each command's own --help says more. An error shows its traceback with
    LUSHAN_TRACEBACK=1.
    """,
)


def main() -> int:
    """Do what `sys.argv` says; the exit code."""
    arguments = sys.argv[1:]
    # A process that ends need not look for cycles once more: a tenth of the time of an answer.
    atexit.register(gc.freeze)
    try:
        arguments = trust.without_flag(arguments)
        if arguments[:1] == ["train"]:  # what follows is Hydra's, to the letter
            return train_command(arguments[1:])
        app(arguments, prog_name="lushan")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BrokenPipeError:
        # Whoever read has read enough: `lushan runs | head`. Nothing is left to be said to it.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except BaseException as error:  # noqa: BLE001 - each has its exit code
        complain(error, arguments)
        return code_of(error)
    return 0


# train


def train_command(args: Sequence[str]) -> int:
    """`lushan train ARGS...`; the exit code."""
    if "--help" in args or "-h" in args:
        from lushan.config import usage

        typer.echo(usage.text())
        return 0
    from lushan.config import compose
    from lushan.runs import outcomes
    from lushan.runs.launcher import set_apart

    outcomes.clear()  # of an earlier command of this process
    if {"-m", "--multirun", "hydra.mode=MULTIRUN"} & set(args):
        from hydra.core.plugins import Plugins

        from lushan.search.sweeper import Search

        Plugins.instance().register(Search)
    if trust.permitted():
        args = [*args, f"++{trust.KEY}=true"]
    try:
        done = compose.main(args, Job())
    except Interrupted as stopped:
        close_sweep(outcomes.collected())
        return stopped.exit_code
    except Exception as error:
        if (failure := gave_up(error)) is not None:
            raise failure from error
        raise
    if done is None:  # something was only shown
        return 0
    answers = [dict(job.return_value) for job in done]
    if len(answers) == 1 and answers[0]["number"] is None:
        return close_run(answers[0])
    apart = set_apart([job.overrides or () for job in done])
    found = [_outcome(a, answer) for a, answer in zip(apart, answers, strict=True)]
    return close_sweep(found or outcomes.collected())


def close_run(answer: Mapping[str, Any]) -> int:
    """Print the result table of a single run, and its folder in the last line."""
    from lushan import training
    from lushan.runs.closing import closing_text
    from lushan.runs.folder import RunFolder

    if answer["state"] == "complete":
        if training.rank() > 0 or answer.get("shown"):
            return 0
        result = RunFolder(answer["folder"]).result()
        assert result is not None
        typer.echo(closing_text(result))
    if answer["state"] == "interrupted":
        typer.echo("what was done is saved: the same command goes on from there", err=True)
    if answer.get("folder") and Path(answer["folder"]).is_dir():
        typer.echo(f"run: {answer['folder']}")
    return int(answer["exit_code"])


def close_sweep(found: Sequence[Outcome]) -> int:
    """Print how the jobs of a sweep ended."""
    from rich.console import Console

    from lushan.runs import outcomes

    console = Console() if sys.stdout.isatty() else Console(width=240, no_color=True)
    if found:
        console.print()
        console.print(outcomes.outcome_table(found))
    typer.echo(outcomes.describe(found))
    for note in outcomes.notes():
        typer.echo(note)
    return outcomes.exit_code(found)


def _outcome(overrides: tuple[str, ...], answer: Mapping[str, Any]) -> Outcome:
    """What a job came to whose launcher was not ours."""
    from lushan.runs.outcomes import Outcome

    names = {field.name for field in dataclasses.fields(Outcome)} - {"overrides"}
    known = {name: value for name, value in answer.items() if name in names}
    return Outcome(overrides=overrides, **known)


# The other commands


@app.command("train")
def _train() -> None:
    """Train what a config describes, or show what it came to before; -m for a sweep."""
    raise AssertionError("`main` gives its arguments to Hydra before typer sees them")


Folders = Annotated[
    list[Path], typer.Argument(help="Folders with runs in them, at any depth.", show_default=False)
]
Run = Annotated[Path, typer.Argument(help="A run folder.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="In JSON.")]


@app.command(
    epilog=examples(
        "lushan runs",
        "lushan runs outputs/wnut17 --json",
        "lushan runs --prune",
        "lushan runs --prune --older-than 30 --yes",
    )
)
def runs(
    root: Annotated[Path, typer.Argument(help="A folder with runs in it.")] = Path("outputs"),
    as_json: AsJson = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Say what could be removed to free disk.")
    ] = False,
    older_than: Annotated[
        float | None,
        typer.Option(
            help="Days: with --prune, also states of runs that were not completed, and caches."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --prune: remove it.")] = False,
) -> None:
    """What runs there are: state, what differs between them, main metric, age."""
    from lushan.runs import listing

    if prune:
        _prune(root, older_than, yes=yes, as_json=as_json)
        return
    if yes or older_than is not None:
        name = "--yes" if yes else "--older-than"
        raise UserError("it goes with --prune", key=name, hint="lushan runs --prune ...")
    found = listing.list_runs(root)
    typer.echo(listing.to_json(found) if as_json else listing.to_text(found, root))


def _prune(root: Path, older_than: float | None, *, yes: bool, as_json: bool) -> None:
    from lushan.runs import pruning

    if older_than is not None and older_than < 0:
        raise UserError("must be 0 or more", key="--older-than", value=older_than)
    removals = pruning.plan(root, older_than)
    typer.echo(pruning.as_json(removals) if as_json else pruning.as_text(removals))
    if not yes:
        if removals:
            typer.echo("nothing was removed: --yes does it", err=True)
        return
    freed, left = pruning.carry_out(removals)
    for line in left:
        typer.echo(f"left as it is: {line}", err=True)
    typer.echo(f"freed {pruning.in_words(freed)}", err=as_json)
    raise typer.Exit(int(bool(left)))


@app.command(
    epilog=examples(
        "lushan table outputs/wnut17 --rows task.head --over seed",
        "lushan table outputs/wnut17 --rows model --columns optimizer.lr --format latex",
        "lushan table outputs/a outputs/b --rows data --metric test/entity_f1,test/token_accuracy",
        "lushan table outputs/wnut17 --rows model --baseline bert --test bootstrap",
    )
)
def table(
    folders: Folders,
    rows: Annotated[str, typer.Option(help="Keys or groups, one row for each of their values.")],
    columns: Annotated[str, typer.Option(help="The same for columns.")] = "",
    over: Annotated[str, typer.Option(help="Keys that are averaged over.")] = "seed",
    metric: Annotated[str, typer.Option(help="Metrics; the main one when not given.")] = "",
    format: Annotated[str, typer.Option(help="md, latex, csv or html.")] = "md",
    baseline: Annotated[
        str | None,
        typer.Option(help="The row to compare with: its value, or key=value,key=value."),
    ] = None,
    test: Annotated[
        str | None,
        typer.Option(
            help="bootstrap (when not given), randomisation or mcnemar over examples; welch over "
            "runs; hierarchical over both."
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="A file, instead of the terminal.")] = None,
) -> None:
    """Mean, standard deviation and number of runs, for each value of some keys."""
    from lushan.studies.table import table as make

    made = make(
        folders,
        rows=_names(rows),
        columns=_names(columns),
        over=_names(over),
        metrics=_names(metric),
        format=format,
        baseline=baseline,
        test=test,
    )
    if output is None:
        typer.echo(made.text)
    else:
        from lushan.runs.files import atomic_write

        atomic_write(output, made.text + "\n")
    for note in made.apart:
        typer.echo(note, err=True)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


@app.command(
    "eval",
    epilog=examples(
        "lushan eval outputs/wnut17/0a1b2c3d4e --split validation",
        "lushan eval outputs/wnut17/0a1b2c3d4e data.test=other.conll",
    ),
)
def evaluate(
    run: Run,
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Of the run's config.", show_default=False)
    ] = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    as_json: AsJson = False,
) -> None:
    """Judge a trained run again, on another split or on other data."""
    from lushan import inference
    from lushan.runs.closing import closing_text
    from lushan.runs.result import Result

    found = inference.evaluate(run, split=split, overrides=overrides or [])
    if as_json:
        told = {name: value for name, value in found.items() if name != "records"}
        typer.echo(json.dumps(_plain(told), ensure_ascii=False, indent=2))
        return
    result = Result(
        name="",
        run_id="",
        seed=0,
        metrics=found["metrics"],
        main_metric=found["main_metric"],
        config={},
        ci=found["ci"],
        reports=found["reports"],
        extra={"notes": found["notes"]},
    )
    typer.echo(closing_text(result, every_level=True))


def _plain(value: object) -> Any:
    from lushan.runs.files import jsonable

    return jsonable(value)


commands.add_to(app)
auditing.add_to(app)
comparing.add_to(app)
studying.add_to(app)
publishing.add_to(app)


@app.command(
    epilog=examples(
        "lushan score --gold test.conll --pred theirs.conll",
    )
)
def score(
    gold: Annotated[Path, typer.Option(help="Tokens and gold tags, in columns.")],
    pred: Annotated[
        Path | None,
        typer.Option(help="Tokens and predicted tags; without it, --gold holds both tags."),
    ] = None,
    scheme: Annotated[str, typer.Option(help="iob1, iob2, iobes, bilou or auto.")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Judge any system's tags against gold tags; needs no model."""
    from lushan.metrics.score import score as judge

    verdict = judge(gold, pred, scheme=scheme)
    if as_json:
        typer.echo(json.dumps(verdict.as_dict(), ensure_ascii=False, indent=2))
    else:
        typer.echo(verdict.table())


@app.command(
    epilog=examples(
        "lushan sync outputs/wnut17/*",
    )
)
def sync(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.", show_default=False)],
) -> None:
    """Send runs to W&B that could not be sent while they were trained."""
    from lushan.callbacks import trackers

    for run in runs:
        typer.echo(f"{run}: {trackers.sync(run)}")
