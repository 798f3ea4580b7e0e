"""The card of an exported model: what it is, what it can, how it was made."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lushan.common import shell
from lushan.common.terminal import in_line
from lushan.export.written import Written
from lushan.inference.exported import PRIVATE
from lushan.inference.load import Loaded
from lushan.run.folder import RunFolder
from lushan.run.manifest import read_manifest
from lushan.run.result import RunResult, summary
from lushan.run.summary import metric_cells

PACKAGES = ("torch", "transformers", "tokenizers", "pytorch-lightning", "peft")


@dataclasses.dataclass(frozen=True)
class Terms:
    """What a run does not know of itself, and its card says.

    Attributes:
        license: SPDX name of the model's licence; None leaves it open.
        languages: ISO 639 codes of what it reads and writes.
    """

    license: str | None = None
    languages: Sequence[str] = ()


NO_TERMS = Terms()


def card_of(loaded: Loaded, written: Written, terms: Terms = NO_TERMS) -> str:
    """Return the card, in Markdown, headed by what the hub reads of it."""
    folder = RunFolder(loaded.folder)
    result = folder.result()
    name = str(loaded.cfg["name"])
    parts = [
        _front(loaded, written, terms, result),
        f"# {plain(name)}",
        _what(loaded, written.dtype),
        f"## Use\n\n```python\n{_imports(written.usage)}\n{written.usage}\n```",
        "\n".join(f"- {note}" for note in written.notes),
        _numbers(result),
        _data(loaded.cfg, result),
        "\n".join(["## Limits", "", *(f"- {limit}" for limit in _limits(loaded))]),
        _making(loaded, folder, result),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


_MARKUP = re.compile(r"([\\`*\[\]<>|&#])")


def plain(text: str) -> str:
    """Return a text that Markdown shows as it stands, in one line: no markup, no HTML, no cell."""
    return _MARKUP.sub(r"\\\1", in_line(str(text)))


def _fenced(text: str, language: str = "") -> str:
    """A block of code that no line of it can end."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _front(loaded: Loaded, written: Written, terms: Terms, result: RunResult | None) -> str:
    """Return the card's metadata: https://huggingface.co/docs/hub/model-cards."""
    known: dict[str, Any] = {"library_name": written.library}
    if terms.languages:
        known["language"] = list(terms.languages)
    if written.pipeline is not None:
        known["pipeline_tag"] = written.pipeline
    base = loaded.cfg["model"].get("path")
    if base and "://" not in str(base) and not Path(str(base)).expanduser().exists():
        known["base_model"] = str(base)
    known["tags"] = ["lushan", str(loaded.cfg["task"]["_target_"]).rpartition(".")[2].lower()]
    if result is not None:
        name = str(loaded.cfg["name"])
        known["model-index"] = [{"name": name, "results": _results(loaded, written, result)}]
    text = yaml.safe_dump(known, sort_keys=False, allow_unicode=True)
    license = "# license: yours to choose"
    if terms.license is not None:
        license = yaml.safe_dump({"license": terms.license}).rstrip()
    return f"---\n{license}\n{text}---"


def _results(loaded: Loaded, written: Written, result: RunResult) -> list[dict[str, Any]]:
    """Return the metrics as the hub reads them, an entry a split."""
    task = written.pipeline or str(loaded.cfg["task"]["_target_"]).rpartition(".")[2].lower()
    found: dict[str, list[dict[str, Any]]] = {}
    for row in summary(result):
        split, _, metric = row.metric.partition("/")
        if row.value is None:
            continue
        entry: dict[str, Any] = {"type": metric, "name": row.metric, "value": row.value}
        if row.low is not None:
            entry["args"] = {"interval_95": [row.low, row.high]}
        found.setdefault(split, []).append(entry)
    name = str(loaded.cfg["name"])
    return [
        {
            "task": {"type": task},
            "dataset": {"name": name, "type": name, "split": split},
            "metrics": metrics,
        }
        for split, metrics in found.items()
    ]


def _what(loaded: Loaded, dtype: str) -> str:
    whole: Any = loaded.model
    config = whole.encoder.model.config
    count = sum(p.numel() for p in loaded.model.parameters())
    task = str(loaded.cfg["task"]["_target_"]).rpartition(".")[2]
    lines = [
        f"A {config.model_type} model of {count:,} parameters ({dtype}), trained by lushan for "
        f"{task}."
    ]
    if loaded.task.labels:
        shown = loaded.task.labels[:50]
        more = len(loaded.task.labels) - len(shown)
        lines.append(
            f"Labels: {', '.join(map(plain, shown))}{f' and {more} more' if more else ''}."
        )
    if path := loaded.cfg["model"].get("path"):
        place = str(path).rstrip("/").rpartition("/")[2]
        lines.append(f"It started from {plain(place)}.")
    return "\n".join(lines)


def _imports(usage: str) -> str:
    used = sorted(set(re.findall(r"\b(?:Auto[A-Z]\w+|pipeline)\b", usage)))
    return f"from transformers import {', '.join(used)}" if used else ""


def _limits(loaded: Loaded) -> list[str]:
    longest = loaded.limits.max_length
    found = [f"Examples had at most {longest} tokens in training."]
    found.append(
        "The numbers apply to the data below. Other sources, genres and times were not tested."
    )
    if "test" not in loaded.cfg["data"] or loaded.cfg["data"].get("test") is None:
        found.append(
            "There was no test split: the same examples were used to choose the checkpoint."
        )
    return found


def _numbers(result: RunResult | None) -> str:
    if result is None:
        return "## Numbers\n\nThe run is not complete: it has no result.json."
    lines = ["## Numbers", "", "| metric | value | 95 % interval |", "| --- | --: | --- |"]
    for row in summary(result):
        name, value, interval = map(plain, metric_cells(row))
        name = f"**{name}**" if row.metric == result.headline else name
        lines.append(f"| {name} | {value} | {interval} |")
    lines += ["", "Intervals of the main metrics are by bootstrap over examples."]
    lines += [f"- {plain(note)}" for note in result.extra.get("notes") or ()]
    return "\n".join(lines)


def _data(cfg: Mapping[str, Any], result: RunResult | None) -> str:
    node = cfg["data"]
    sizes = ("batch_tokens", "batch_examples", "bucket", "batch_by_group")
    kept = {key: value for key, value in node.items() if value is not None and key not in sizes}
    text = yaml.safe_dump(kept, sort_keys=False, allow_unicode=True)
    lines = ["## Data", "", _fenced(text.rstrip(), "yaml")]
    if result is not None and (count := result.extra.get("train_examples")):
        lines += ["", f"{count:,} examples were used for training."]
    if result is not None and result.data_fingerprint:
        lines += ["", "SHA-256 of the data:", ""]
        lines += [
            f"- {plain(split)}: {plain(value)}" for split, value in result.data_fingerprint.items()
        ]
    return "\n".join(lines)


def _making(loaded: Loaded, folder: RunFolder, result: RunResult | None) -> str:
    lines = ["## Training", ""]
    manifest: dict[str, Any] = {}
    with contextlib.suppress(OSError):
        manifest = read_manifest(folder.path)
    if command := manifest.get("command"):
        program = str(command[0]).rpartition("/")[2]
        lines += [_fenced(shell.join([program, *map(str, command[1:])])), ""]
    extra = {} if result is None else result.extra
    facts = [
        f"run {folder.path.resolve().name}, seed {loaded.cfg['seed']}",
        f"{extra['steps']:,} steps" if extra.get("steps") else "",
        f"weights {result.weights_sha256}" if result is not None else "",
        _versions(manifest),
    ]
    lines += [f"- {plain(fact)}" for fact in facts if fact]
    config = {k: v for k, v in loaded.cfg.items() if k not in PRIVATE}
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True).rstrip()
    lines += ["", "The full config:", "", _fenced(text, "yaml")]
    return "\n".join(lines)


def _versions(manifest: Mapping[str, Any]) -> str:
    found = [p for p in manifest.get("packages") or () if p.partition("==")[0] in PACKAGES]
    own = manifest.get("lushan") or {}
    commit = ((own.get("git") or {}).get("commit") or "")[:12]
    first = f"lushan {own.get('version', '')}{f' at {commit}' if commit else ''}" if own else ""
    return ", ".join(part for part in [first, *found] if part)
