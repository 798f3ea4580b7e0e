"""An assistant with each of several gates: thresholds by the validation, then the test, once.

    python experiments/assist/evaluate.py FOLDER/hotels.yaml RUN ... [--indexes vectors e5]

`validation.jsonl` and `test.jsonl` lie beside the config, whose gate each of the runs replaces in
turn. A column is a gate; shares have 95 % intervals over dialogues.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from lushan.assist import evaluation
from lushan.assist.assistant import Assistant
from lushan.assist.rows import dialogues_of
from lushan.assist.settings import Settings, read_settings
from lushan.common.terminal import echo

PARTS = {
    "right: answered right, or silent rightly": ("right",),
    "answered": ("answered",),
    "wrong of these": ("wrong_of_answered",),
    "gate right": ("parts", "gate"),
    "entity right": ("parts", "entity"),
    "entry right": ("parts", "entry"),
    "entry right, where the entity is": ("parts", "entry_of_right_entity"),
}
Column = dict[str, str]


def column(settings: Settings, folder: Path, areas: list[float]) -> Column:
    """Return the figures of one gate, and add the area under its curve on the validation."""
    assistant = Assistant(settings, folder, [])
    thresholds, made = None, {}
    for split in ("validation", "test"):
        key = settings.knowledge.key
        file = folder / f"{split}.jsonl"
        rows = dialogues_of(file, settings.turns, settings.gold, key)
        found = assistant.find([row.turns for row in rows])
        expected = [row.expected for row in rows if row.expected is not None]
        if thresholds is None:
            thresholds, _ = evaluation.choose(assistant, found, expected)
        replies = [assistant.reply(one, thresholds) for one in found]
        _, summary = evaluation.evaluate(assistant, found, replies, expected)
        made |= {f"{split}: {name}": text for name, text in figures(summary).items()}
        if split == "validation":
            areas.append(summary["risk_coverage"]["area"])
    return made


def figures(summary: dict[str, Any]) -> Column:
    """Return the figures of a summary, as they are printed."""
    made = {}
    for name, keys in PARTS.items():
        value = summary
        for key in keys:
            value = value[key]
        made[name] = share(value)
    made["to blame"] = ", ".join(
        f"{part} {count}" for part, count in sorted(summary["blame"].items(), key=lambda p: -p[1])
    )
    curve = summary["risk_coverage"]
    made["wrong entries at " + ", ".join(curve["at"])] = ", ".join(
        f"{risk:.1%}" for risk in curve["at"].values()
    )
    made["area under that curve"] = f"{curve['area']:.3f}"
    return made


def share(value: dict[str, Any]) -> str:
    """Return a share with its interval, and of how many."""
    if value["value"] is None:
        return "–"
    interval = "" if value["low"] is None else f" [{value['low']:.1%}, {value['high']:.1%}]"
    return f"{value['value']:.1%}{interval} of {value['count']}"


def table(columns: Sequence[Column]) -> str:
    """Return the columns as Markdown."""
    lines = ["| |" + "".join(f" gate {n + 1} |" for n in range(len(columns)))]
    lines.append("| --- |" + " --- |" * len(columns))
    for name in columns[0]:
        lines.append(f"| {name} | " + " | ".join(one[name] for one in columns) + " |")
    return "\n".join(lines)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--indexes", nargs="+", help="other ones than those of the config")
    options = parser.parse_args()
    settings, folder = read_settings(options.config), options.config.parent
    assert settings.gate is not None, "the config has no gate"
    indexes = options.indexes or settings.indexes
    areas: list[float] = []
    columns = []
    for run in options.runs:
        gate = msgspec.structs.replace(settings.gate, run=str(run.resolve()))
        own = msgspec.structs.replace(settings, gate=gate, indexes=indexes)
        columns.append(column(own, folder, areas))
    echo(f"indexes: {', '.join(indexes)}; risk {settings.risk:.0%}")
    echo(f"area under the curve on the validation, mean over gates: {statistics.fmean(areas):.3f}")
    echo(table(columns))


if __name__ == "__main__":
    main()
