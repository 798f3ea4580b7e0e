"""The command that compares any system's tags with gold tags: `score`.

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

_ALIGN = ("tokens", "position")


def add_to(app: typer.Typer) -> None:
    """Give an application this command."""
    app.command(
        epilog=examples(
            "lushan score --gold test.conll --pred theirs.conll",
            "lushan score --gold eng.testb --gold-scheme iob1 --pred theirs.conll",
            "lushan score --gold test.conll --pred theirs.conll --align position",
        )
    )(score)


def score(
    gold: Annotated[Path, typer.Option(help="Tokens and gold tags, in columns.")],
    pred: Annotated[
        Path | None,
        typer.Option(help="Tokens and predicted tags; without it, --gold holds both tags."),
    ] = None,
    scheme: Annotated[
        str, typer.Option(help="Of both: iob1, iob2, iobes, bilou, bmes, or auto: each by itself.")
    ] = "auto",
    gold_scheme: Annotated[
        str | None, typer.Option(help="Of the gold tags; --scheme when not given.")
    ] = None,
    pred_scheme: Annotated[
        str | None, typer.Option(help="Of the predicted tags; --scheme when not given.")
    ] = None,
    align: Annotated[
        str,
        typer.Option(
            help="tokens: they must be the same; position: only as many in each sentence, and "
            "those that differ are counted."
        ),
    ] = "tokens",
    as_json: AsJson = False,
) -> None:
    """Score any system's tags against gold tags; needs no model.

    A scheme that is found is the one that fewest tags contradict. Ill-formed tags are read as
    conlleval reads them, and counted.
    """
    if align not in _ALIGN:
        raise UserError(
            "no such way to align", key="--align", value=align, hint="Write tokens or position."
        )
    from lushan.metrics import conll_score as scores

    verdict = scores.score(
        gold,
        pred,
        scheme=scheme,
        gold_scheme=gold_scheme,
        pred_scheme=pred_scheme,
        align=align,  # type: ignore[arg-type]
    )
    if as_json:
        echo_json(verdict.as_dict())
    else:
        echo(verdict.table())
