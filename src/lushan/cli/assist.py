"""`lushan assist`: customers are answered from templates and a knowledge base.

What takes time to import is imported inside, as in `lushan.cli.app`.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lushan.cli.flags import echo_json
from lushan.cli.guard import GuardLabel, GuardRate, GuardRun, Redact, guard_of
from lushan.cli.models import examples
from lushan.common.terminal import echo, echo_notes, hint
from lushan.errors import UserError

if TYPE_CHECKING:
    from lushan.assist.assistant import Assistant, Found, Reply
    from lushan.assist.rows import Dialogue
    from lushan.assist.settings import Thresholds


def add_to(other: typer.Typer) -> None:
    """Give an application this command."""
    other.command(
        "assist",
        epilog=examples(
            "lushan assist hotels.yaml --input validation.jsonl --choose",
            "lushan assist hotels.yaml --input test.jsonl --output replies.jsonl",
            "lushan assist hotels.yaml",
        ),
    )(assist)


def assist(
    config: Annotated[
        Path,
        typer.Argument(help="The assistant's YAML file; see docs/assist.md.", show_default=False),
    ],
    input: Annotated[
        Path | None,
        typer.Option(
            help="JSON lines, one dialogue a line. Without it: interactive.", show_default=False
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            help="Output file of the replies: JSON lines, one a dialogue.", show_default=False
        ),
    ] = None,
    choose: Annotated[
        bool, typer.Option("--choose", help="Choose the thresholds on the input.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the evaluation as JSON.")] = False,
    guard: GuardRun = None,
    guard_rate: GuardRate = None,
    guard_label: GuardLabel = None,
    redact: Redact = False,
) -> None:
    """Answer customers or hand over to a person; evaluate the answers and attribute errors."""
    needing = {"--choose": choose, "--output": output, "--json": as_json}
    if input is None and (given := [option for option, value in needing.items() if value]):
        raise UserError("requires --input", key=given[0], value=output)
    from lushan.assist.assistant import Assistant
    from lushan.assist.rows import dialogues_of
    from lushan.assist.settings import read_settings, read_thresholds
    from lushan.inference.guarding import notes_of

    settings, folder = read_settings(config), config.parent
    place = folder / settings.thresholds
    thresholds = None if choose else read_thresholds(place)
    rows: list[Dialogue] = []
    if input is not None:
        rows = dialogues_of(input, settings.turns, settings.gold, settings.knowledge.key)
        known = sum(row.expected is not None for row in rows)
        if known not in (0, len(rows)) or (choose and not known):
            raise UserError(
                f"{known:,} of {len(rows):,} rows have a gold answer",
                key="gold.asks",
                file=input,
                value=settings.gold.asks,
            )
    notes: list[str] = []
    checks = guard_of(guard, guard_label, guard_rate, redact)
    assistant = Assistant(settings, folder, notes, checks)
    if thresholds is None:
        thresholds = _chosen(assistant, rows, place)
    elif input is None:
        _talk(assistant, thresholds)
        return
    found, replies = assistant.answer([row.turns for row in rows], thresholds)
    echo_notes([*notes, *notes_of(checks)])
    if output is not None:
        _write(output, found, replies)
    if rows[0].expected is not None:
        _print_evaluation(assistant, rows, found, replies, as_json=as_json)


def _chosen(assistant: Assistant, rows: Sequence[Dialogue], place: Path) -> Thresholds:
    """Choose thresholds and write them beside the config."""
    import msgspec

    from lushan.assist import evaluation
    from lushan.run import files

    expected = [row.expected for row in rows if row.expected is not None]
    risk = assistant.settings.risk
    found = assistant.find([row.turns for row in rows])
    thresholds, notes = evaluation.choose(assistant, found, expected)
    content = {"thresholds": msgspec.to_builtins(thresholds), "risk": risk, "notes": notes}
    files.write_json(place, content)
    echo_notes(notes)
    hint(f"{place}: thresholds chosen by {len(rows):,} dialogues")
    return thresholds


def _talk(assistant: Assistant, thresholds: Thresholds) -> None:
    """Answer lines of standard input until it ends."""
    turns: list[str] = []
    with contextlib.suppress(AttributeError):  # what is no file has no encoding
        sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]
    if sys.stdin.isatty():
        echo("Type a question; an empty line quits.")
    for line in sys.stdin:
        text = line.strip()
        if not text:
            return
        turns.append(text)
        (found,), (reply,) = assistant.answer([turns], thresholds)
        if reply.action == "pass":
            echo("(not a question for the knowledge base)")
            continue
        echo(reply.text)
        _print_source(found, reply)
        turns.append(reply.text)


def _print_source(found: Found, reply: Reply) -> None:
    source = ", ".join(reply.source)
    if reply.action == "refuse":
        echo("[handed over]")
    elif reply.action == "template":
        echo(f"[template: {source}]")
    else:
        about = found.entry.entity if found.entry is not None else None
        echo(f"[source: {source}{'' if about is None else f'; {about}'}]")


def _write(output: str, found: Sequence[Found], replies: Sequence[Reply]) -> None:
    from lushan.inference.prediction import writing

    with writing(output) as sink:
        for one, reply in zip(found, replies, strict=True):
            row = {
                "action": reply.action,
                "answer": reply.text,
                "source": list(reply.source),
                "hand_over": reply.action == "refuse",
                "asks": one.asks,
                "intent": one.intent,
                "certainty": one.certainty,
                "entity": one.entity,
                "entry": None if one.entry is None else list(one.entry.key),
                "score": None if one.entry is None else one.score,
            }
            sink.write(json.dumps(row, ensure_ascii=False) + "\n")


def _print_evaluation(
    assistant: Assistant,
    rows: Sequence[Dialogue],
    found: Sequence[Found],
    replies: Sequence[Reply],
    *,
    as_json: bool,
) -> None:
    from lushan.assist import evaluation

    expected = [row.expected for row in rows if row.expected is not None]
    if missing := evaluation.missing(assistant, expected):
        note = f"{missing:,} of {len(rows):,} turns have no correct entry in the knowledge base"
        echo_notes([note])
    _, summary = evaluation.evaluate(assistant, found, replies, expected)
    if as_json:
        echo_json(summary)
        return
    echo(f"{summary['turns']:,} turns, {summary['asking']:,} ask for knowledge; 95 % intervals")
    for name in ("right", "answered", "wrong_of_answered"):
        echo(_line(name.replace("_", " "), summary[name]))
    echo("by part")
    for name, share in summary["parts"].items():
        echo(_line(f"  {name.replace('_', ' ')}", share))
    for name in ("actions", "blame"):
        counts = sorted(summary[name].items(), key=lambda pair: -pair[1])
        echo(f"{name}: " + (", ".join(f"{part} {count:,}" for part, count in counts) or "none"))
    curve = summary["risk_coverage"]
    if curve["points"]:
        shown = ", ".join(f"{risk:.1%} at {where}" for where, risk in curve["at"].items())
        echo(f"wrong entries by coverage behind the gate: {shown}; area {curve['area']:.3f}")


def _line(name: str, share: Mapping[str, Any]) -> str:
    if share["value"] is None:
        return f"{name:<26}-"
    low, high = share["low"], share["high"]
    within = "" if low is None else f" [{100 * low:.1f}, {100 * high:.1f}]"
    return f"{name:<26}{100 * share['value']:5.1f} %{within} of {share['count']:,}"
