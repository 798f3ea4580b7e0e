"""The command `lushan monitor`. What takes time to import is imported inside it."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lushan.cli.flags import require_ray
from lushan.cli.models import examples
from lushan.errors import UserError

if TYPE_CHECKING:
    from lushan.monitor.command import Spreading


def add_to(app: typer.Typer) -> None:
    """Give an application this command."""
    app.command(
        "monitor",
        epilog=examples(
            "lushan monitor RUN --watch negative --source posts.jsonl --output watch",
            "lushan monitor SENTIMENT TOPICS --watch negative --source posts.jsonl --follow "
            "--output watch --webhook URL",
            "lushan monitor RUN --watch negative --source history.jsonl --replay "
            "--changes changes.jsonl --output replayed",
        ),
    )(monitor)


def monitor(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Runs that classify texts; one of task=ner finds entities.",
            show_default=False,
        ),
    ],
    source: Annotated[
        str,
        typer.Option(help="A file of JSON lines, a folder of such, - or a URL that is polled."),
    ],
    watch: Annotated[str, typer.Option(help="The label whose rise is an alarm.")],
    output: Annotated[Path, typer.Option(help="Folder of the state, the alarms and the page.")],
    follow: Annotated[
        bool, typer.Option("--follow", help="Wait for more, as tail -F does; end by Ctrl-C.")
    ] = False,
    every: Annotated[str, typer.Option(help="Of a URL: time between two requests.")] = "1min",
    text: Annotated[str, typer.Option(help="Field of the texts.")] = "text",
    time: Annotated[
        str, typer.Option(help="Field of the times; now is when a text is read.")
    ] = "time",
    id: Annotated[
        str, typer.Option(help="Field of the ids, by which duplicates are known.")
    ] = "id",
    window: Annotated[str, typer.Option(help="Length of a window.")] = "1h",
    lateness: Annotated[
        str, typer.Option(help="How far a text may be behind a later one; 0 is not at all.")
    ] = "0",
    baseline: Annotated[
        int, typer.Option(help="Windows from which the usual share is estimated.")
    ] = 100,
    rise: Annotated[
        float, typer.Option(help="Factor on the usual share that is to be found soonest.")
    ] = 1.5,
    false_alarms: Annotated[
        str, typer.Option(help="How many are accepted, of all series together.")
    ] = "1/month",
    entity: Annotated[
        list[str] | None,
        typer.Option(help="An entity with alarms of its own.", show_default=False),
    ] = None,
    webhook: Annotated[
        str | None, typer.Option(help="A URL that gets each alarm as JSON.", show_default=False)
    ] = None,
    command: Annotated[
        str | None,
        typer.Option(
            help="A command that gets each alarm as JSON on its standard input; no shell reads it.",
            show_default=False,
        ),
    ] = None,
    uncorrected: Annotated[
        bool, typer.Option("--uncorrected", help="Plain shares: the run has no validation split.")
    ] = False,
    redact: Annotated[
        bool,
        typer.Option("--redact", help="Remove personal data from texts before they are stored."),
    ] = False,
    replay: Annotated[
        bool, typer.Option("--replay", help="Evaluate on history; nothing is sent.")
    ] = False,
    changes: Annotated[
        Path | None,
        typer.Option(
            help="Of --replay: JSON lines with start and end of each real rise.",
            show_default=False,
        ),
    ] = None,
    ray: Annotated[
        bool,
        typer.Option(
            "--ray",
            help="Label texts on the Ray cluster at RAY_ADDRESS, or with all processors here.",
        ),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="With --ray: processes that hold the runs.")
    ] = None,
) -> None:
    """Count a label in a stream of texts, and report when its share rises.

    The share is corrected for the errors that the run makes on its validation split.
    """
    from lushan.inference import early
    from lushan.monitor import command as monitoring
    from lushan.monitor.records import seconds
    from lushan.monitor.service import Settings, rate

    if changes is not None and not replay:
        raise UserError("goes with --replay", key="--changes", value=str(changes))
    require_ray("--workers", workers, ray=ray)
    excluded = {"--follow": follow, "--webhook": webhook, "--command": command}
    if replay and (given := [option for option, value in excluded.items() if value]):
        raise UserError("--replay reads to the end and sends nothing", key=given[0])

    def length(key: str, value: str) -> float:
        try:
            return 0.0 if value == "0" else seconds(value)
        except ValueError as error:
            raise UserError(str(error), key=key, value=value) from None

    settings = Settings(
        label=watch,
        window=length("--window", window),
        between=rate(false_alarms),
        rise=rise,
        baseline=baseline,
        lateness=length("--lateness", lateness),
        entities=tuple(entity or ()),
        redacts=redact,
    )
    settings.require_sound()
    if (waiting := length("--every", every)) < 1:
        raise UserError("must be 1 s or more", key="--every", value=every)
    for run in runs:
        early.require_run(run)
    monitoring.run(
        runs,
        source,
        output,
        settings,
        fields={"text": text, "time": time, "id": id},
        follow=follow,
        every=waiting,
        recipients=None if replay else {"webhook": webhook, "command": command},
        is_corrected=not uncorrected,
        changes=changes,
        spread=_spreading(workers) if ray else None,
    )


def _spreading(workers: int | None) -> Spreading:
    from lushan.monitor.cluster import Spread

    return functools.partial(Spread, workers=workers)
