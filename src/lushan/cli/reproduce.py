"""The command `reproduce`, which makes a run again and compares.

What takes time to import is imported inside, as in `lushan.cli.app`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from lushan.cli.flags import AsJson, echo_json
from lushan.cli.models import examples
from lushan.common.terminal import echo
from lushan.errors import UserError

Tolerance = Annotated[float, typer.Option(help="Accepted relative difference of a metric.", min=0)]


def add_to(app: typer.Typer) -> None:
    """Give an application this command."""
    app.command(
        epilog=examples(
            "lushan reproduce outputs/wnut17/0a1b2c3d4e",
            "lushan reproduce outputs/wnut17/0a1b2c3d4e --keep again",
        )
    )(reproduce)


def reproduce(
    run: Annotated[Path, typer.Argument(help="Folder of a complete run.", show_default=False)],
    keep: Annotated[Path | None, typer.Option(help="Keep the new run in this folder.")] = None,
    tolerance: Tolerance = 1e-4,
    as_json: AsJson = False,
) -> None:
    """Retrain a run from its folder, and compare the results number by number.

    The exit code is 0 if they are bit-equal or within the tolerance, else 1.
    """
    found = again(run, keep, tolerance, every=True, as_json=as_json)
    if as_json:
        echo_json(found)
    raise typer.Exit(int(found["verdict"] == "different"))


def again(
    path: Path, keep: Path | None, tolerance: float, *, every: bool, as_json: bool
) -> dict[str, Any]:
    """Make a run again, show the comparison, and return it for programs.

    Args:
        path: The run's folder.
        keep: Where the other run stays; it is deleted when not given.
        tolerance: Of metrics.
        every: Show also what is bit-equal.
        as_json: Show nothing.
    """
    import contextlib
    import tempfile

    from lushan.config.build import source_of
    from lushan.engine import lifecycle
    from lushan.run.folder import RunFolder
    from lushan.study.reproduction import Original, compare

    original = Original.read(path)
    with contextlib.ExitStack() as stack:
        place = keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        config = original.config_in(place)
        again = RunFolder.of(config)
        if again.path.exists():
            raise UserError(
                "the run exists already",
                key="--keep",
                value=str(again.path),
                hint="Choose another folder.",
            )
        changed = original.differences(lifecycle.inputs_of(config, source_of(config)))
        if not as_json:
            echo("".join(f"  differs: {line}\n" for line in changed), end="")
        if original.threads is not None:
            lifecycle.limit_threads(original.threads)
        result = lifecycle.run(config, choices=original.result.choices)
        found = compare(original, result, tolerance=tolerance)
        if not as_json:
            echo("\n".join(f"  {line}" for line in [*found.lines(every=every), found.verdict]))
        return {"run": str(path), "verdict": found.verdict, "surroundings": changed} | {
            name: value for name, value in dataclasses.asdict(found).items() if name != "measures"
        }
