"""The command line. Whatever takes time to import is imported by the command that needs it."""

from __future__ import annotations

import atexit
import copy
import functools
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lushan.cli import (
    assist,
    audit,
    compare,
    completion,
    data,
    doctor,
    export,
    index,
    models,
    monitor,
    options,
    outputs,
    overview,
    recommend,
    reference,
    report,
    reproduce,
    score,
    serve,
    study,
    tune,
)
from lushan.cli.flags import AsJson, echo_json
from lushan.cli.models import examples
from lushan.cli.train import train
from lushan.common.terminal import (
    QUIET,
    echo,
    guard_warnings,
    open_streams,
    print_no_more,
    set_quiet,
)
from lushan.compat.deferred import deferring
from lushan.compat.typer import coerce_plainly
from lushan.engine.job import code_of, complain
from lushan.errors import RunFailed, UserError, of_path
from lushan.run import remote_code
from lushan.run.files import is_disk_full
from lushan.run.surroundings import require_folder
from lushan.version import VERSION

ANSWERING = {
    *(("runs",), ("table",), ("compare",), ("page",), ("report",), ("score",), ("sync",)),
    *(("study", "run"), ("study", "status"), ("study", "table"), ("index", "build"), ("search",)),
    *(("options",), ("explain",), ("doctor",), ("data", "list"), ("data", "get"), ("completion",)),
}
"""Commands that answer and end, without a model: what a study trains, other processes train."""
SELDOM = 200_000
"""Objects that such a command makes before Python looks for cycles among all that there are."""

coerce_plainly()

app = typer.Typer(
    name="lushan",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # it would show the values of local variables
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="""Train and compare language models: each number comes with its config and its test.

    \b
    lushan train experiment=sample/ner                     train, or print the stored result
    lushan train -m experiment=sample/ner seed=1,2,3       a sweep
    lushan train -m experiment=sample/ner hparams_search=optuna    search for a learning rate
    lushan data get wnut17                                 download a public data set
    lushan tune lr experiment=sample/ner                   suggest a learning rate
    lushan audit experiment=sample/ner                     find problems in the data
    lushan runs                                            list runs
    lushan table outputs/sample_ner --rows task.head       mean and deviation over seeds
    lushan compare RUN RUN                                 differences and significance tests
    lushan study run STUDY.yaml                            run the comparison in a file
    lushan report STUDY.yaml -o site                       write a web page of results
    lushan predict RUN --input new.txt --output out.jsonl  predict on new data
    lushan generate RUN --prompt "Once upon"               continue a prompt
    lushan chat RUN                                        chat in the terminal
    lushan serve RUN RUN                                   serve over HTTP, with a page
    lushan recommend RUN --user ID                         recommend items to a user
    lushan export RUN FOLDER --format onnx                 export to transformers, ONNX, GGUF
    lushan monitor RUN --watch LABEL --source FILE --output FOLDER    raise alarms on a text stream

    \b
    --quiet              hide progress and hints; works with every command
    --trust-remote-code  let a model run its own code; on the command line only, not in a config
    LUSHAN_TRACEBACK=1   show the traceback of an error

    For details, use --help of each command.
    """,
)


def main() -> int:
    """Run the command of `sys.argv`; return the exit code."""
    arguments = sys.argv[1:]
    # Python processes that are started from here (ranks, workers of launchers and libraries) do not
    # import from the working folder, which may be another person's.
    os.environ["PYTHONSAFEPATH"] = "1"
    # Nor do they run kernels of a hub, which transformers fetches unasked where it can.
    os.environ.setdefault("USE_HUB_KERNELS", "NO")
    open_streams()
    guard_warnings()
    # A process that ends need not look for cycles once more: a tenth of the time of an answer.
    atexit.register(gc.freeze)
    try:
        if (line := os.environ.get(completion.VARIABLE)) is not None:
            return completion.complete(app, line)
        require_folder()
        arguments = remote_code.without_flag(arguments)
        set_quiet(wanted=QUIET in arguments)
        arguments = [word for word in arguments if word != QUIET]
        if arguments[:1] == ["train"]:  # what follows is Hydra's, to the letter
            return train(arguments[1:])
        if {tuple(arguments[:1]), tuple(arguments[:2])} & ANSWERING:
            gc.set_threshold(SELDOM)  # imports make many objects, and hardly any garbage
        with deferring():  # what libraries import and a command seldom uses
            return _executed(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BrokenPipeError:
        # The reader has closed the pipe: `lushan runs | head`. Nothing more can be printed.
        print_no_more()
        return 1
    except BaseException as raised:  # noqa: BLE001 - each has its exit code
        error = of_path(raised)
        if is_disk_full(error) and not isinstance(error, RunFailed):
            print_no_more()
            error = RunFailed("no space left on the disk, or on what this is printed to")
        complain(error, arguments)
        return code_of(error)
    return 0


def _executed(arguments: list[str]) -> int:
    """Carry out any command but `train`; the exit code."""
    try:
        parser = _only(arguments[0] if arguments else "")
        return int(parser(arguments, prog_name="lushan", standalone_mode=False) or 0)
    except typer.Abort:
        echo("Aborted!", err=True)
        return 1
    except typer.TyperException as error:  # a mistake in the arguments
        if (mistake := options.refusal(error) or options.of_value(error)) is not None:
            raise mistake from error
        shown: Any = error  # a class of the parser that typer carries
        shown.show()
        return int(shown.exit_code)


def _every(group: typer.Typer) -> Iterator[typer.models.CommandInfo]:
    """Yield all commands of an application."""
    yield from group.registered_commands
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            yield from _every(inner.typer_instance)


@functools.cache
def _only(name: str) -> typer.Typer:
    """Return the application with one command, or with all where it has none of that name.

    Parsers of all commands take a fifth of the time of most of them.
    """
    commands = [one for one in app.registered_commands if _named(one) == name]
    groups = [one for one in app.registered_groups if one.name == name]
    if not commands and not groups:
        return app
    small = copy.copy(app)
    small.registered_commands, small.registered_groups = commands, groups
    return small


def _named(command: typer.models.CommandInfo) -> str | None:
    return command.name or (command.callback and command.callback.__name__)


def _version(*, wanted: bool) -> None:
    if not wanted:
        return
    echo(f"lushan {VERSION}")
    raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=lambda wanted: _version(wanted=wanted),
            is_eager=True,
            help="Print the version.",
        ),
    ] = False,
) -> None:
    """Read what stands before the command."""


# The other commands


@app.command("train")
def _train() -> None:
    """Train the run of a config, or print its stored result; -m runs a sweep."""
    raise AssertionError("`main` gives its arguments to Hydra before typer sees them")


Run = Annotated[Path, typer.Argument(help="A run folder.", show_default=False)]


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
        list[str] | None, typer.Argument(help="Overrides of the run's config.", show_default=False)
    ] = None,
    split: Annotated[str, typer.Option(help="Split: train, validation or test.")] = "test",
    as_json: AsJson = False,
) -> None:
    """Evaluate a trained run on another split or on other data."""
    from lushan import inference
    from lushan.common.units import Measure
    from lushan.run.result import RunResult
    from lushan.run.summary import closing_text

    found = inference.evaluate(run, split=split, overrides=overrides or [])
    if as_json:
        summary = {name: value for name, value in found.items() if name != "records"}
        echo_json(summary)
        return
    result = RunResult(
        folder=run,
        name="",
        run_id="",
        seed=0,
        metrics=found["metrics"],
        measures={name: Measure.from_dict(one) for name, one in found["measures"].items()},
        main_metric=found["main_metric"],
        config={},
        ci=found["ci"],
        reports=found["reports"],
        extra={"notes": found["notes"]},
    )
    echo(closing_text(result, every_level=True))


overview.add_to(app)
models.add_to(app)
export.add_to(app)
audit.add_to(app)
compare.add_to(app)
study.add_to(app)
reproduce.add_to(app)
tune.add_to(app)
report.add_to(app)
score.add_to(app)
index.add_to(app)
recommend.add_to(app)
serve.add_to(app)
monitor.add_to(app)
reference.add_to(app)
doctor.add_to(app)
data.add_to(app)
assist.add_to(app)
completion.add_to(app)


@app.command(
    epilog=examples(
        "lushan sync outputs/wnut17/*",
        "lushan sync --to mlflow outputs/wnut17/*",
    )
)
def sync(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.", show_default=False)],
    to: Annotated[
        Literal["wandb", "mlflow"], typer.Option(help="Where to send the runs: wandb or mlflow.")
    ] = "wandb",
    as_json: AsJson = False,
) -> None:
    """Upload finished runs to W&B or MLflow, for example after training offline."""
    from lushan.callbacks.destinations import sync as destination
    from lushan.run.folder import RunFolder
    from lushan.study.schemas import schema_of

    sent = []
    for run in runs:
        if (result := RunFolder(run).result()) is None:
            raise UserError(
                "the run is not complete",
                file=run,
                hint="Run the same `lushan train` command again to finish it.",
            )
        place = destination.sync(result, schema_of(result, run), to)
        sent.append({"run": str(run), "to": to, "place": place})
        if not as_json:
            echo(f"{run}: {place}")
    if as_json:
        echo_json(sent)


for _one in _every(app):
    _one.cls = outputs.Command
