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
            help="Text-classification runs; a run of task=ner finds entities.",
            show_default=False,
        ),
    ],
    source: Annotated[
        str,
        typer.Option(help="JSON lines: a file, a folder of files, -, or a URL to poll."),
    ],
    watch: Annotated[
        str, typer.Option(help="Label to watch: an alarm is raised when its share rises.")
    ],
    output: Annotated[
        Path, typer.Option(help="Output folder of the state, the alarms and the page.")
    ],
    follow: Annotated[
        bool, typer.Option("--follow", help="Wait for new texts, like tail -F, until Ctrl-C.")
    ] = False,
    every: Annotated[str, typer.Option(help="For a URL: time between two requests.")] = "1min",
    text: Annotated[str, typer.Option(help="Field of the texts.")] = "text",
    time: Annotated[
        str, typer.Option(help="Field of the timestamps; now for the time of reading.")
    ] = "time",
    id: Annotated[str, typer.Option(help="Field of the ids, used to drop duplicates.")] = "id",
    window: Annotated[str, typer.Option(help="Length of a window.")] = "1h",
    lateness: Annotated[
        str, typer.Option(help="Maximum delay of out-of-order texts; 0 for none.")
    ] = "0",
    baseline: Annotated[
        int, typer.Option(help="Number of windows from which the usual share is estimated.")
    ] = 100,
    rise: Annotated[
        float, typer.Option(help="Rise to detect fastest, as a factor of the usual share.")
    ] = 1.5,
    false_alarms: Annotated[
        str, typer.Option(help="Accepted rate of false alarms, over all series together.")
    ] = "1/month",
    entity: Annotated[
        list[str] | None,
        typer.Option(help="An entity to watch separately.", show_default=False),
    ] = None,
    webhook: Annotated[
        str | None, typer.Option(help="URL that receives each alarm as JSON.", show_default=False)
    ] = None,
    command: Annotated[
        str | None,
        typer.Option(
            help="Command that receives each alarm as JSON on standard input; no shell is used.",
            show_default=False,
        ),
    ] = None,
    uncorrected: Annotated[
        bool,
        typer.Option(
            "--uncorrected", help="Do not correct shares, for a run without a validation split."
        ),
    ] = False,
    redact: Annotated[
        bool,
        typer.Option("--redact", help="Redact personal data before texts are stored."),
    ] = False,
    replay: Annotated[
        bool, typer.Option("--replay", help="Evaluate on past data; sends no alarms.")
    ] = False,
    changes: Annotated[
        Path | None,
        typer.Option(
            help="With --replay: JSON lines with start and end of each true rise.",
            show_default=False,
        ),
    ] = None,
    ray: Annotated[
        bool,
        typer.Option(
            "--ray",
            help="Classify on the Ray cluster at RAY_ADDRESS, or on all local CPU cores.",
        ),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="With --ray: number of processes with the runs.")
    ] = None,
) -> None:
    """Watch the share of a label in a stream of texts, and raise an alarm when it rises.

    The share is corrected for the classifier's errors, measured on its validation split.
    """
    from lushan.inference import early
    from lushan.monitor import command as monitoring
    from lushan.monitor.records import seconds
    from lushan.monitor.service import Settings, rate

    if changes is not None and not replay:
        raise UserError("requires --replay", key="--changes", value=str(changes))
    require_ray("--workers", workers, ray=ray)
    excluded = {"--follow": follow, "--webhook": webhook, "--command": command}
    if replay and (given := [option for option, value in excluded.items() if value]):
        raise UserError(
            "cannot be combined with --replay, which reads to the end and sends nothing",
            key=given[0],
        )

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
