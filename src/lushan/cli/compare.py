"""The commands that set runs beside each other: `compare`.

What takes time to import is imported inside them, as in `lushan.cli.app`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from lushan.cli.flags import AsJson, Where
from lushan.cli.models import examples
from lushan.common.terminal import echo
from lushan.errors import UserError


def add_to(app: typer.Typer) -> None:
    """Give an application these commands."""
    app.command(
        epilog=examples(
            "lushan compare outputs/wnut17/0a1b2c3d4e outputs/wnut17/5f6a7b8c9d",
            "lushan compare RUN_A RUN_B --metric entity_f1,token_accuracy --test randomisation",
            "lushan compare RUN_A RUN_B --split validation --examples 20",
            "lushan compare outputs/wnut17 --where seed=1 --where 'task.head!=softmax'",
        )
    )(compare)


def compare(
    run_a: Annotated[
        Path,
        typer.Argument(
            help="Folder of a complete run; with --where, any folder that contains runs.",
            show_default=False,
        ),
    ],
    run_b: Annotated[
        Path | None,
        typer.Argument(help="Folder of the other run; optional with --where.", show_default=False),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="test or validation. Default: test, if both runs have it."),
    ] = None,
    metric: Annotated[
        str,
        typer.Option(
            help="Metrics to test, separated by commas. Default: the main metric of RUN_A."
        ),
    ] = "",
    test: Annotated[
        str, typer.Option(help="Significance test: bootstrap, randomisation or mcnemar.")
    ] = "bootstrap",
    examples: Annotated[
        int, typer.Option(help="Number of changed examples to show of each kind.")
    ] = 5,
    where: Where = None,
    as_json: AsJson = False,
) -> None:
    """Compare two runs: their configs, their metrics, and the examples that changed.

    Differences are B less A. Their tests are over examples, not over seeds; for those, see
    `lushan table --baseline`.
    """
    if examples < 0:
        raise UserError("must be 0 or more", key="--examples", value=examples)
    from lushan.study import compare as comparing

    names = [name.strip() for name in metric.split(",") if name.strip()]
    one, other = _two_runs(run_a, run_b, where or ())
    found = comparing.compare(one, other, split=split, metrics=names, test=test)
    written = comparing.to_json if as_json else comparing.to_text
    echo(written(found, examples))


def _two_runs(run_a: Path, run_b: Path | None, where: Sequence[str]) -> tuple[Path, Path]:
    """The runs that are meant: those named, or the two that fit.

    Raises:
        UserError: There are not two.
    """
    if not where:
        if run_b is None:
            raise UserError(
                "`compare` needs two runs",
                value=str(run_a),
                hint="Add a second run, or select two with --where KEY=VALUE.",
            )
        return run_a, run_b
    from lushan.run.where import parse
    from lushan.study import collect

    conditions = parse(where)
    places = [run_a] if run_b is None else [run_a, run_b]
    found = [member for place in places for member in collect.members([place], conditions)[0]]
    if len(found) != 2:
        shown = ", ".join(collect.shown(member.folder) for member in found[:10])
        raise UserError(
            f"`compare` needs two runs, but {len(found)} match: {shown}",
            key="--where",
            value=" ".join(where),
            hint="Run `lushan runs` with the same --where to see how they differ.",
        )
    return found[0].folder, found[1].folder
