"""A run as a page for people: what was asked, what came out, how to make it again."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lushan.common import parsing, shell
from lushan.common.override_text import from_here
from lushan.common.terminal import echo
from lushan.common.wording import plural
from lushan.errors import UserError
from lushan.run import checksums
from lushan.run.config_yaml import read_config
from lushan.run.files import intact, write_page
from lushan.run.folder import RunFolder
from lushan.run.manifest import read_manifest
from lushan.run.result import RunResult, summary
from lushan.run.summary import METRIC_HEADS, metric_cells

CURVES = "curves.png"


def write(
    run: Path,
    output: Path,
    *,
    title: str | None = None,
    samples: Sequence[Mapping[str, Any]] = (),
    continues: bool = True,
    command: Sequence[str] = (),
) -> None:
    """Write a run's page, and its curves beside it.

    Args:
        run: A complete run's folder.
        output: The Markdown file.
        title: Of the page; the run's name when not given.
        samples: What the run's model wrote, `prompt` and `text` each.
        continues: Whether the texts are continuations of their prompts, and not answers to them.
        command: The arguments that make this page again.

    Raises:
        UserError: The run is not complete.
    """
    folder = RunFolder(run)
    result = folder.result()
    if result is None:
        read_config(run)  # refuses what is no run at all
        raise UserError(
            f"the run is not complete ({folder.status().missing})",
            file=run,
            hint="A page needs a complete run. Run the command that started it to resume.",
        )
    curves = folder.plots / CURVES
    output.parent.mkdir(parents=True, exist_ok=True)
    if not curves.is_file():
        echo(f"{curves} is missing, so the page shows no curves", err=True)
    else:
        shutil.copyfile(curves, output.parent / CURVES)
    shown = [_sample(sample, continues=continues) for sample in samples]
    text = page(folder, result, title=title, samples=shown, drawn=curves.is_file())
    made = f"\nThis page was made by `lushan {shell.join(command)}`.\n" if command else ""
    write_page(output, text + made)


def page(
    folder: RunFolder,
    result: RunResult,
    *,
    title: str | None = None,
    samples: Sequence[str] = (),
    drawn: bool = False,
) -> str:
    """The page's Markdown."""
    with intact(folder.overrides_yaml):
        written = parsing.parse_yaml(checksums.read(folder.path, "overrides.yaml")) or []
    overrides = [from_here(str(override)) for override in written]
    parts = [
        f"# {title or result.name}",
        "```\nlushan train " + shell.join(overrides) + "\n```",
        _facts(folder, result),
        _metrics(result),
    ]
    if drawn:
        parts.append(f"![Loss and main metric over the steps]({CURVES})")
    if samples:
        parts.append("## What it writes\n\n" + "\n\n".join(samples))
    notes = [f"- {note}" for note in result.extra.get("notes") or ()]
    if notes:
        parts.append("## What to know of these numbers\n\n" + "\n".join(notes))
    return "\n\n".join(parts) + "\n"


def _facts(folder: RunFolder, result: RunResult) -> str:
    """Sizes, time and place in a sentence each, as the run has recorded them."""
    with intact(folder.manifest_json):
        manifest = read_manifest(folder.path)
    extra = result.extra
    machine = manifest.get("machine") or {}
    threads = manifest.get("threads") or machine.get("threads_usable") or 1
    where = ", ".join(
        [str(machine.get("processor", "")), plural(int(threads), "thread")]
        + [str(card.get("name", card)) for card in machine.get("gpus") or ()]
    )
    sizes = extra.get("parameters") or {}
    lines = [
        f"Seed {result.seed}, {extra.get('steps', 0):,} steps, "
        f"{extra.get('train_tokens', 0):,} tokens trained on, "
        f"{extra.get('train_seconds', 0) / 60:.1f} minutes of training."
    ]
    if sizes:
        lines.append(f"{sizes['all']:,} parameters, of which {sizes['trained']:,} were trained.")
    if where:
        lines.append(f"On {where}.")
    return " ".join(lines)


def _metrics(result: RunResult) -> str:
    rows = [list(METRIC_HEADS), ["---", "--:", "---"]]
    for row in summary(result):
        name, *numbers = metric_cells(row)
        rows.append([f"**{name}**" if row.is_main else name, *numbers])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _sample(sample: Mapping[str, Any], *, continues: bool) -> str:
    """A prompt in bold, and what followed, its lines kept; of a dialogue each turn on a line."""
    prompt, text = sample["prompt"], sample["text"]
    turns = prompt if isinstance(prompt, list) else [{"content": prompt}]
    before = "\n".join(f"**{turn['content'].strip()}**" for turn in turns)
    whole = before + ("" if continues else "\n") + text
    return "\n".join(f"> {line}  " for line in whole.splitlines())
