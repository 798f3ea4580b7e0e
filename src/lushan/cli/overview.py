"""The commands that show many runs at once: `runs` and `table`.

What takes time to import is imported inside them, as in `lushan.cli.app`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from lushan.cli.flags import AsJson, Where, echo_json
from lushan.cli.models import examples
from lushan.common.terminal import echo, hint
from lushan.errors import UserError

ALL = "all"
"""Value of `--columns` that shows whatever distinguishes the runs, however wide."""


def add_to(app: typer.Typer) -> None:
    """Give an application these commands."""
    app.command(
        epilog=examples(
            "lushan runs",
            "lushan runs outputs/wnut17 --where task.head=crf --where 'test/entity_f1>=40%'",
            "lushan runs --sort value --last 10",
            "lushan runs --columns run,optimizer.lr,test/entity_f1",
            "lushan runs outputs/wnut17 --json",
            "lushan runs --prune --older-than 30 --yes",
        )
    )(runs)
    app.command(
        epilog=examples(
            "lushan table outputs/wnut17 --rows task.head --over seed",
            "lushan table outputs/wnut17 --rows model --columns optimizer.lr --format latex",
            "lushan table outputs/a outputs/b --rows data "
            "--metric test/entity_f1,test/token_accuracy",
            "lushan table outputs/wnut17 --rows model --where optimizer.lr=3e-5",
            "lushan table outputs/wnut17 --rows model --baseline bert --test bootstrap",
        )
    )(table)


def runs(
    root: Annotated[Path, typer.Argument(help="Folder that contains runs.")] = Path("outputs"),
    where: Where = None,
    sort: Annotated[
        str | None,
        typer.Option(
            help="Sort by a config key, group or metric, or by value (the main metric); the "
            "highest is last. With -KEY the lowest is last. Default: by time, the latest last."
        ),
    ] = None,
    last: Annotated[int | None, typer.Option(help="Show only the last N runs.", min=1)] = None,
    columns: Annotated[
        str,
        typer.Option(
            help="Config keys, groups and metrics to show, or all. Default: what differs between "
            "the runs, as far as it fits the terminal."
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all details.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="List what can be deleted to free disk space.")
    ] = False,
    older_than: Annotated[
        float | None,
        typer.Option(
            help="With --prune: also list caches and checkpoints of unfinished runs older "
            "than N days."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --prune: delete it.")] = False,
    unlock: Annotated[
        Path | None,
        typer.Option(help="Remove the lock of a run whose process is gone, and print its owner."),
    ] = None,
) -> None:
    """List runs: state, config differences, main metric, age."""
    if unlock is not None:
        from lushan.run import lock

        owner = lock.unlock(unlock)
        if as_json:
            echo_json({"unlocked": str(unlock), "owner": str(owner)})
        else:
            echo(f"unlocked: it was locked by {owner}")
        return
    chosen = {"--where": where, "--sort": sort, "--last": last, "--columns": columns}
    if prune:
        for name, value in chosen.items():
            if value:
                raise UserError("cannot be combined with --prune", key=name, value=value)
        _prune(root, older_than, yes=yes, as_json=as_json)
        return
    if yes or older_than is not None:
        name = "--yes" if yes else "--older-than"
        raise UserError("requires --prune", key=name, hint="lushan runs --prune ...")
    from lushan.run import listing, listing_table
    from lushan.run.where import parse

    names = [] if columns == ALL else _names(columns)
    found = listing.list_runs(root, where=parse(where or ()), sort=sort, last=last, columns=names)
    if as_json:
        echo(listing.to_json(found, names))
        return
    width = None if columns else shutil.get_terminal_size((100, 24)).columns
    if where and not found:
        echo(f"No run in {root} matches {' '.join(where)}.")
        return
    echo(listing_table.to_text(found, root, width=width, columns=names))


def _prune(root: Path, older_than: float | None, *, yes: bool, as_json: bool) -> None:
    from lushan.run import cleanup

    if older_than is not None and older_than < 0:
        raise UserError("must be 0 or more", key="--older-than", value=older_than)
    removals = cleanup.plan(root, older_than)
    echo(cleanup.as_json(removals) if as_json else cleanup.as_text(removals))
    if not yes:
        if removals:
            hint("nothing was deleted; add --yes to delete it")
        return
    freed, left = cleanup.execute(removals)
    for line in left:
        echo(f"not deleted: {line}", err=True)
    echo(f"freed {cleanup.in_words(freed)}", err=as_json)
    raise typer.Exit(int(bool(left)))


def table(
    folders: Annotated[
        list[Path],
        typer.Argument(help="Folders that contain runs, at any depth.", show_default=False),
    ],
    rows: Annotated[str, typer.Option(help="Config keys or groups; one row for each value.")],
    columns: Annotated[
        str, typer.Option(help="Config keys or groups; one column for each value.")
    ] = "",
    over: Annotated[str, typer.Option(help="Config keys to average over.")] = "seed",
    metric: Annotated[
        str, typer.Option(help="Metrics, separated by commas. Default: the main metric.")
    ] = "",
    format: Annotated[str, typer.Option(help="Format: md, latex, csv, html or json.")] = "md",
    as_json: AsJson = False,
    baseline: Annotated[
        str | None,
        typer.Option(
            help="Baseline row for significance tests: its value, or key=value,key=value."
        ),
    ] = None,
    test: Annotated[
        str | None,
        typer.Option(
            help="Significance test: bootstrap (default), randomisation or mcnemar over examples; "
            "welch over runs; hierarchical over both; resampled over folds."
        ),
    ] = None,
    where: Where = None,
    output: Annotated[Path | None, typer.Option(help="Output file. Default: the terminal.")] = None,
) -> None:
    """Tabulate mean, standard deviation and number of runs by config keys."""
    from lushan.run.where import parse
    from lushan.study.table import table as make

    made = make(
        folders,
        rows=_names(rows),
        columns=_names(columns),
        over=_names(over),
        metrics=_names(metric),
        format="json" if as_json else format,
        baseline=baseline,
        test=test,
        where=parse(where or ()),
    )
    if output is None:
        echo(made.text)
    else:
        from lushan.run.files import write_page

        write_page(output, made.text + "\n")
    for note in made.apart:
        echo(note, err=True)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
