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
    gold: Annotated[Path, typer.Option(help="File with columns of tokens and gold tags.")],
    pred: Annotated[
        Path | None,
        typer.Option(help="File with tokens and predicted tags. Without it, --gold has both tags."),
    ] = None,
    scheme: Annotated[
        str,
        typer.Option(
            help="Tag scheme: iob1, iob2, iobes, bilou, bmes, or auto to detect it in each file."
        ),
    ] = "auto",
    gold_scheme: Annotated[
        str | None, typer.Option(help="Scheme of the gold tags. Default: --scheme.")
    ] = None,
    pred_scheme: Annotated[
        str | None, typer.Option(help="Scheme of the predicted tags. Default: --scheme.")
    ] = None,
    align: Annotated[
        str,
        typer.Option(
            help="tokens: the tokens of both must be the same. position: each sentence must have "
            "as many; different tokens are counted."
        ),
    ] = "tokens",
    as_json: AsJson = False,
) -> None:
    """Score the tags of any system against gold tags; needs no model.

    The detected scheme is the one that the fewest tags violate. Ill-formed tags are counted, and
    interpreted as in conlleval.
    """
    if align not in _ALIGN:
        raise UserError(
            "unknown alignment", key="--align", value=align, hint="Write tokens or position."
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
