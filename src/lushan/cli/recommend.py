"""The command that asks a recommender: `recommend`.

What takes time to import is imported inside it, as in `lushan.cli.app`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lushan.cli.flags import AsJson, echo_json
from lushan.cli.models import examples
from lushan.common.terminal import echo
from lushan.errors import UserError


def add_to(app: typer.Typer) -> None:
    """Give an application this command."""
    app.command(
        epilog=examples(
            "lushan recommend RUN --user 414",
            'lushan recommend RUN --history "Toy Story (1995); Heat (1995)" --top-k 5',
            "lushan recommend RUN --split validation --output candidates.jsonl --top-k 50",
        )
    )(recommend)


def recommend(
    run: Annotated[Path, typer.Argument(help="A run of task=recommend.", show_default=False)],
    user: Annotated[
        str | None, typer.Option(help="Id of a user in the run's data.", show_default=False)
    ] = None,
    history: Annotated[
        str | None,
        typer.Option(help="Titles or ids separated by ;, the latest last.", show_default=False),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Write candidates for each user of a split (validation or test) instead, with the "
            "scores of the model and of each baseline, for task=rank.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(help="With --split: output file. Default: -.", show_default=False),
    ] = None,
    top_k: Annotated[int, typer.Option(help="Number of items from each recommender.", min=1)] = 10,
    as_json: AsJson = False,
) -> None:
    """Recommend items that a user has not interacted with yet."""
    given = {"--user": user, "--history": history, "--split": split}
    named = [option for option, value in given.items() if value is not None]
    if len(named) != 1:
        raise UserError(
            "exactly one of them is required",
            key=" or ".join(given),
            value=" ".join(named) or None,
        )
    if split is None and output is not None:
        raise UserError("requires --split", key="--output", value=output)
    if split is not None and as_json:
        raise UserError("has no effect: --split always writes JSON lines", key="--json")
    output = output or "-"
    from lushan.inference import early

    early.require_run(run)
    from lushan.inference import recommendation

    if split is not None:
        lists, right = recommendation.candidates(run, split=split, output=output, top_k=top_k)
        echo(f"{output}: {lists:,} lists, {right:,} contain the target", err=True)
        return
    found = recommendation.recommend(run, user=user, history=history, top_k=top_k)
    if as_json:
        echo_json(found)
        return
    for item in found["items"]:
        echo(f"{item['score']:8.4f}  {item['item']}  {item['title']}")
