"""The command that shows a study or some runs as a static page: `lushan report`.

What takes time to import is imported inside, as in `lushan.cli.app`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lushan.cli.flags import AsJson, Where, echo_json
from lushan.cli.models import examples
from lushan.cli.study import as_it_stands
from lushan.common.terminal import echo, hint
from lushan.common.wording import plural
from lushan.errors import UserError
from lushan.run.progress import Bar

if TYPE_CHECKING:
    from lushan.metrics.calibration import Aim
    from lushan.report.groups import Gathered


def add_to(app: typer.Typer) -> None:
    """Give an application this command."""
    app.command(
        epilog=examples(
            "lushan report experiments/ner_heads/study.yaml -o site",
            "lushan report outputs/wnut17 outputs/weibo -o site --title 'Entities in posts'",
            "lushan report outputs/wnut17/0a1b2c3d4e -o site",
            "lushan report outputs/wnut17 --where task.head=crf -o site",
        )
    )(report)


def report(
    places: Annotated[
        list[Path],
        typer.Argument(
            metavar="STUDY_OR_FOLDER...",
            help="YAML file of a study, or folders that contain runs, at any depth.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Output folder; an earlier report in it is replaced."),
    ],
    title: Annotated[str | None, typer.Option(help="Title of a report on folders.")] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            help="Criterion for decision thresholds, chosen on validation: f1, precision=0.9 or "
            "recall=0.9. Default: all three. Can be repeated."
        ),
    ] = None,
    where: Where = None,
    as_json: AsJson = False,
) -> None:
    """Write a static web page about runs: tables, curves, scores, errors and configs.

    Needs only the run folders. Open index.html in a browser. The page loads nothing from outside
    its folder, so you can send the folder or put it on any web server.
    """
    from lushan.report import site

    aims = _aims(threshold or ())
    site.require_ours(output.resolve())
    made = _gathered(places, title, where or ())
    with Bar("runs") as on_progress:
        written = site.write(made, output, on_progress, *aims)
    for problem in written.problems:
        echo(f"not shown: {problem}", err=True)
    counts = ", ".join(f"{count} {state}" for state, count in made.counts().items())
    size = written.size / 2**20
    hint(f"{plural(len(made.runs), 'run')}: {counts}")
    hint(f"{written.files} files, {size:.1f} MiB; open {written.index.as_uri()}")
    if as_json:
        echo_json(dataclasses.asdict(written) | {"counts": dict(made.counts())})
    else:
        echo(str(output / "index.html"))


def _aims(texts: Sequence[str]) -> tuple[Sequence[Aim], ...]:
    """Read the aims of thresholds; nothing where there are none, for the usual ones."""
    from lushan.metrics.calibration import AIMS, Aim

    found = []
    for text in texts:
        metric, equals, least = text.partition("=")
        try:
            value = float(least) if equals else 0.0
        except ValueError:
            value = -1.0
        if metric not in AIMS or (metric == "f1") == bool(equals) or not 0 <= value <= 1:
            hint = "Write f1, precision=0.9 or recall=0.9."
            raise UserError("unknown criterion", key="--threshold", value=text, hint=hint)
        found.append(Aim(metric, value))
    return (found,) if found else ()


def _gathered(places: Sequence[Path], title: str | None, where: Sequence[str]) -> Gathered:
    from lushan.report import groups
    from lushan.run.where import parse

    files = [place for place in places if place.is_file()]
    if not files:
        for place in places:
            _require_runs(place)
        return groups.of_folders(places, title, parse(where))
    if len(places) > 1:
        hint = "Give one study, or only folders."
        raise UserError("a report covers only one study", file=files[0], hint=hint)
    if title is not None:
        raise UserError("a study sets its own title", key="--title", value=title)
    if where:
        raise UserError(
            "a report of a study covers all its runs",
            key="--where",
            value=" ".join(where),
            hint="Give the folders of the runs instead of the study.",
        )
    return groups.of_study(as_it_stands(files[0]))


def _require_runs(place: Path) -> None:
    """Refuse a folder without runs, and name its study if it has one."""
    from lushan.run.listing import folders

    if next(folders(place), None) is not None:
        return
    study = place / "study.yaml"
    hint = "Give the folder of an experiment: outputs/NAME. `lushan runs` lists all runs."
    if study.is_file():
        hint = f"Write lushan report {study}."
    raise UserError("the folder contains no runs", file=place, hint=hint)
