"""What each command takes until its first answer, in seconds of the processor, on tiny models."""

from __future__ import annotations

import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from common import LUSHAN, Clock, alternate, run

from lushan.cli.app import app

TINY = ("trainer=cpu", "trainer.max_epochs=1", "processor.vocab_size=300", "data.limit=16")
TAGS = ("experiment=sample/ner", "model=bert_tiny", *TINY)
LANGUAGE = (*TINY, "model=gpt2_tiny", "model.config.n_embd=32", "test=false")
ALONE = "torch and transformers alone"
REFUSED = ("predict, of no run", "sync", "data get")
"""They end with 2: there is no run, no key and no such set."""
FIRST_STEP = """
import os, sys
from lushan.cli.app import main
from lushan.engine import lifecycle
execute = lifecycle.execute
def watched(*args):
    from lushan.engine.lit_module import LitModule
    LitModule.training_step = lambda *_: os._exit(0)
    return execute(*args)
lifecycle.execute = watched
sys.exit(main())
"""
"""`lushan train` until the first step would begin."""


def starts(rounds: int) -> None:
    """Measure every command of the application, and print a table."""
    # Python keeps what it has compiled, as it does wherever a package is installed.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as folder:
        lines = {name: [LUSHAN, *words] for name, words in commands(Path(folder)).items()}
        first = [sys.executable, "-c", FIRST_STEP, "train", *TAGS]
        alone = {ALONE: [sys.executable, "-c", "import torch, transformers"]}
        lines = alone | lines | {"train, to its first step": first}

        def spent(number: int, name: str) -> float:
            more = [f"paths.output_dir={folder}/{number}"] if name.startswith("train") else []
            return processor_seconds(name, [*lines[name], *more], folder)

        times = alternate({name: functools.partial(spent, name=name) for name in lines}, rounds)
    alone_seconds = statistics.median(times[ALONE])
    print("\n| command | processor s, median | each round | against the imports alone |")
    print("| --- | --: | --- | --: |")
    for name, values in times.items():
        each = ", ".join(f"{value:.2f}" for value in values)
        middle = statistics.median(values)
        print(f"| {name} | {middle:.2f} | {each} | {middle / alone_seconds:.2f} x |")


def commands(folder: Path) -> dict[str, list[str]]:
    """Return the words of every command but `train`, by its name; ends where one is missing."""

    def trained(name: str, *overrides: str) -> str:
        out, _ = run([LUSHAN, "train", *overrides, *places(folder / name)])
        return str(out).strip().splitlines()[-1].removeprefix("run: ")

    tags = trained("tags", *TAGS)
    text = trained("text", "task=causal_lm", "data=sample_text", *LANGUAGE)
    chat = trained("chat", "task=chat", "data=sample_chat", *LANGUAGE)
    reviews = trained("reviews", "experiment=sample/reviews", "model=bert_tiny", *TINY)
    items = trained(
        "items", "task=recommend", "data=sample_interactions", "trainer=cpu", "trainer.max_epochs=1"
    )
    lines, gold, stream = folder / "x.txt", folder / "x.conll", folder / "x.jsonl"
    lines.write_text("Anna lives in Paris .\n", encoding="utf-8")
    gold.write_text("Anna B-person B-person\n", encoding="utf-8")
    stream.write_text(
        json.dumps({"text": "a fine film", "time": "2025-01-01T00:00:00Z", "id": "1"}) + "\n",
        encoding="utf-8",
    )
    study, index = study_file(folder), str(folder / "index")
    run([LUSHAN, "index", "build", str(lines), "--model", "bm25", "--output", index])
    learned = json.loads(Path(reviews, "task.json").read_text(encoding="utf-8"))
    label = learned["state"]["labels"][0]
    watched = ["--watch", label, "--source", str(stream), "--uncorrected"]
    words = {
        "predict": ["predict", tags, "--input", str(lines)],
        "predict, of no run": ["predict", "nowhere", "--input", str(lines)],
        "generate": ["generate", text, "--prompt", "hi", "-n", "3"],
        "chat": ["chat", chat],
        "eval": ["eval", tags],
        "recommend": ["recommend", items, "--history", "River 1"],
        "serve": ["serve", tags, "--port", "0", "--check"],
        "monitor": ["monitor", reviews, *watched, "--output", f"{folder}/watched"],
        "assist": ["assist", assistant(folder, index)],
        "export": ["export", tags, f"{folder}/exported", "--yes"],
        "audit": ["audit", *TAGS, f"paths.cache_dir={folder}/cache"],
        "tune lr": ["tune", "lr", *TAGS, *places(folder / "tuned"), "--steps", "10"],
        "reproduce": ["reproduce", tags],
        "study run": ["study", "run", study],
        "study verify": ["study", "verify", study, "--runs", "1"],
        "study status": ["study", "status", study],
        "study table": ["study", "table", study],
        "runs": ["runs", str(folder)],
        "table": ["table", f"{folder}/tags", "--rows", "seed"],
        "compare": ["compare", tags, tags],
        "page": ["page", tags, "--output", f"{folder}/page.md"],
        "report": ["report", tags, "-o", f"{folder}/site"],
        "sync": ["sync", "--to", "mlflow", tags],
        "score": ["score", "--gold", str(gold)],
        "index build": ["index", "build", str(lines), "--model", "bm25", "--output", f"{index}2"],
        "search": ["search", index, "Paris"],
        "options": ["options", "optimizer/adamw"],
        "explain": ["explain", "optimizer.lr"],
        "doctor": ["doctor", "--offline"],
        "data list": ["data", "list"],
        "data get": ["data", "get", "nothing"],
        "completion": ["completion", "bash"],
    }
    if missing := set(names(typer.main.get_command(app))) - {*words, "train"}:
        sys.exit(f"not measured: {', '.join(sorted(missing))}")
    return words


def names(group: Any, before: str = "") -> Iterator[str]:
    """Yield the name of each command of an application: `study run`."""
    for name, found in group.commands.items():
        if hasattr(found, "commands"):
            yield from names(found, f"{before}{name} ")
        else:
            yield f"{before}{name}"


def places(folder: Path) -> list[str]:
    """Return overrides that keep a run in a folder."""
    return [f"paths.cache_dir={folder.parent}/cache", f"paths.output_dir={folder}"]


def study_file(folder: Path) -> str:
    """Write a study of two cells and two seeds, run it, and return its file."""
    rates = {"low": ["optimizer.lr=1e-4"], "high": ["optimizer.lr=1e-3"]}
    tables = [{"rows": ["rate"], "baseline": {"rate": "low"}}]
    lines = {"title": "Rates", "base": [*TAGS, *places(folder / "study")], "axes": {"rate": rates}}
    file = folder / "study.yaml"
    file.write_text(json.dumps(lines | {"seeds": [1, 2], "tables": tables}), encoding="utf-8")
    run([LUSHAN, "study", "run", str(file)])
    return str(file)


def assistant(folder: Path, index: str) -> str:
    """Write the file of an assistant that knows one entry, and return it."""
    entries = [{"id": "1", "question": "Anna lives in Paris .", "answer": "Yes."}]
    (folder / "faq.json").write_text(json.dumps(entries), encoding="utf-8")
    (folder / "limits.json").write_text('{"thresholds": {}}', encoding="utf-8")
    known = {"file": "faq.json", "question": "question", "answer": "answer", "key": ["id"]}
    lines = {"knowledge": known, "indexes": [index], "thresholds": "limits.json", "refusal": "No."}
    file = folder / "assistant.yaml"
    file.write_text(json.dumps(lines), encoding="utf-8")
    return str(file)


def processor_seconds(name: str, command: list[str], folder: str) -> float:
    """Return the seconds of the processor that a command takes; its standard input is empty."""
    with Clock(children=True) as clock:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, cwd=folder
        )
    if done.returncode != (2 if name in REFUSED else 0):
        sys.exit(f"{name} ended with {done.returncode}: {done.stderr.decode()}")
    return clock.cpu
