"""The commands that set runs beside each other: `compare`.

What takes time to import is imported inside them, as in `lushan.cli`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lushan.commands import examples
from lushan.errors import UserError


def add_to(app: typer.Typer) -> None:
    """Give an application these commands."""
    app.command(
        epilog=examples(
            "lushan compare outputs/wnut17/0a1b2c3d4e outputs/wnut17/5f6a7b8c9d",
            "lushan compare RUN_A RUN_B --metric entity_f1,token_accuracy --test randomisation",
            "lushan compare RUN_A RUN_B --split validation --examples 20",
        )
    )(compare)


def compare(
    run_a: Annotated[Path, typer.Argument(help="A complete run's folder.", show_default=False)],
    run_b: Annotated[Path, typer.Argument(help="Another's.", show_default=False)],
    split: Annotated[
        str | None,
        typer.Option(help="test or validation; when not given, test where both were tested."),
    ] = None,
    metric: Annotated[
        str, typer.Option(help="Metrics to test; the main one of RUN_A when not given.")
    ] = "",
    test: Annotated[str, typer.Option(help="bootstrap, randomisation or mcnemar.")] = "bootstrap",
    examples: Annotated[
        int, typer.Option(help="So many of the examples that changed, of each kind.")
    ] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="In JSON.")] = False,
) -> None:
    """Two runs: what was asked differently, what came out, which examples changed sides.

    Differences are B less A. They tell how far the numbers hold for other examples, not for other
    seeds; for those, see `lushan table --baseline`.
    """
    if examples < 0:
        raise UserError("a number of examples is 0 or more", key="--examples", value=examples)
    from lushan.studies import compare as comparing

    names = [name.strip() for name in metric.split(",") if name.strip()]
    found = comparing.compare(run_a, run_b, split=split, metrics=names, test=test)
    written = comparing.to_json if as_json else comparing.to_text
    typer.echo(written(found, examples))
