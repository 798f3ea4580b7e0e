"""The command `lushan tune lr`: a setting found by measuring, without a run.

What takes time to import is imported inside, as in `lushan.cli.app`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lushan.cli.flags import AsJson, echo_json
from lushan.cli.models import examples
from lushan.common.terminal import echo, is_quiet
from lushan.errors import RunFailed, UserError
from lushan.run import remote_code
from lushan.run.progress import Bar

if TYPE_CHECKING:
    from lushan.engine import lr_range

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Suggest settings from a few training steps, without a run.",
)


def add_to(other: typer.Typer) -> None:
    """Give an application these commands."""
    other.add_typer(app, name="tune")


@app.callback()
def _group() -> None:
    """Suggest settings from a few training steps, without a run."""


@app.command(
    epilog=examples(
        "lushan tune lr experiment=sample/ner",
        "lushan tune lr experiment=ner/wnut17 --steps 200 --output lr",
    )
)
def lr(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Overrides, as for `lushan train`.", show_default=False),
    ] = None,
    steps: Annotated[int, typer.Option(help="Number of steps.", min=10)] = 100,
    low: Annotated[float, typer.Option(help="First learning rate.")] = 1e-7,
    high: Annotated[float, typer.Option(help="Last learning rate.")] = 10.0,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Output folder of lr.csv, lr.png and lr.html.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Suggest a learning rate: raise it while training, and find where the loss falls fastest."""
    if not 0 < low < high:
        raise UserError("must be above 0 and below --high", key="--low", value=low)
    from lushan.config.build import source_of
    from lushan.config.check import check
    from lushan.config.compose import composed

    lines = list(overrides or [])
    if remote_code.permitted():
        lines.append(f"++{remote_code.KEY}=true")
    cfg = check(composed(lines)[0])
    from lushan.engine import lr_range
    from lushan.launch.signals import Signals

    source = source_of(cfg)
    with Signals().caught(), Bar("steps") as bar:
        found = lr_range.find(cfg, source, steps=steps, low=low, high=high, progress=bar)
    written = []
    if output is not None:
        from lushan.engine import lr_page

        written = lr_page.write(found, output, cfg)
    if as_json:
        echo_json(found.as_dict() | {"files": written})
    elif not is_quiet():
        _print_points(found.points)
        echo(f"ended: {found.ended}")
        for path in written:
            echo(f"written: {path}")
    if found.suggestion is None:
        hint = "Try another range with --low and --high, or more --steps."
        raise RunFailed(f"no learning rate found: the loss does not fall. {hint}")
    if not as_json:
        echo(" ".join(found.overrides))


def _print_points(points: list[lr_range.Point]) -> None:
    """Print a table of at most 20 points, evenly chosen, and say of how many."""
    most = 20
    every = -(-len(points) // most)
    echo(f"{'lr':>10}  {'loss':>10}  {'smoothed':>10}")
    for point in points[::every]:
        values = (point.loss, point.smoothed)
        cells = ("not finite" if value is None else f"{value:.4g}" for value in values)
        echo("  ".join([f"{point.lr:>10.3g}", *(f"{cell:>10}" for cell in cells)]))
    if every > 1:
        echo(f"(every {every}th of {len(points)} points; --output and --json have all)")
