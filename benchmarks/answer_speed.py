"""What the framework takes besides training: answers, starts of commands, one more job of a sweep.

All on the built-in sample data. The time of a further job is that of a long sweep less that of a
short one, by the number of jobs they differ in; its training is what the jobs' results say. What a
command needs until its first answer is counted in seconds of the processor, beside the import of
torch and transformers alone. With `--starts` nothing else is measured.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from common import LUSHAN, Clock, alternate, machine, run

HEAVY = ("torch", "transformers", "pytorch_lightning")
SHORT = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=8, help="of the long sweep")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--starts", action="store_true", help="of commands, and nothing else")
    args = parser.parse_args()
    if args.jobs <= SHORT:
        parser.error(f"--jobs must be more than {SHORT}")
    print(machine())
    starts(args.rounds)
    if args.starts:
        return

    with tempfile.TemporaryDirectory() as folder:
        overrides = ["experiment=sample/ner", f"trainer.max_epochs={args.epochs}"]
        overrides.append(f"paths.cache_dir={folder}/cache")
        again = [LUSHAN, "train", *overrides, "seed=1", f"paths.output_dir={folder}/answer"]
        run(again)  # the one that trains
        heavy = imported(again)
        several = [*again, "-m", f"seed={numbers(args.jobs)}"]
        run(several)

        def sweep(jobs: int, number: int) -> float:
            place = f"paths.output_dir={folder}/sweep-{jobs}-{number}"
            return run([LUSHAN, "train", "-m", *overrides, f"seed={numbers(jobs)}", place])[1]

        times = alternate(
            {
                "answer": lambda _: run(again)[1],
                f"answer to {args.jobs} jobs": lambda _: run(several)[1],
                "help": lambda _: run([LUSHAN, "train", "--help"])[1],
                "config": lambda _: run([LUSHAN, "train", *overrides, "--cfg", "job"])[1],
                "short": lambda number: sweep(SHORT, number),
                "long": lambda number: sweep(args.jobs, number),
            },
            args.rounds,
        )
        training, whole = jobs_seconds(Path(folder), f"sweep-{args.jobs}-*")
    more = args.jobs - SHORT
    each = [(b - a) / more for a, b in zip(times["short"], times["long"], strict=True)]
    job = statistics.median(each)
    rows = {
        "a complete run, answered": (times["answer"], "< 1"),
        f"a sweep of {args.jobs} complete runs, answered": (
            times[f"answer to {args.jobs} jobs"],
            "",
        ),
        "`lushan train --help`": (times["help"], "< 0.5"),
        "`lushan train --cfg job`": (times["config"], "< 2"),
        "one more job of a sweep": (each, ""),
        "... beyond its training": ([value - training for value in each], "< 1"),
    }
    print(f"\ntorch imported for an answer: {', '.join(heavy) or 'no'}\n")
    print("| what | seconds, median | each round | at most |\n| --- | --: | --- | --- |")
    for name, (values, bound) in rows.items():
        shown = ", ".join(f"{value:.2f}" for value in values)
        print(f"| {name} | {statistics.median(values):.2f} | {shown} | {bound} |")
    print(
        f"\nA job takes {job:.2f} s: {training:.2f} s of training, and "
        f"{whole - training:.2f} s more by its own clock (data, model, evaluation, files)."
    )
    if heavy:
        sys.exit(1)


TINY = ("trainer=cpu", "trainer.max_epochs=1", "processor.vocab_size=300", "data.limit=16")
LANGUAGE = (*TINY, "model=gpt2_tiny", "model.config.n_embd=32", "test=false")
ALONE = [sys.executable, "-c", "import torch, transformers"]


def starts(rounds: int) -> None:
    """Print what each command takes until its first answer, on models that take no time."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)

        def trained(name: str, *overrides: str) -> str:
            paths = [f"paths.cache_dir={folder}/cache", f"paths.output_dir={folder}/{name}"]
            out, _ = run([LUSHAN, "train", *overrides, *paths])
            return out.strip().splitlines()[-1].removeprefix("run: ")

        tags = trained("tags", "experiment=sample/ner", "model=bert_tiny", *TINY)
        text = trained("text", "task=causal_lm", "data=sample_text", *LANGUAGE)
        chat = trained("chat", "task=chat", "data=sample_chat", *LANGUAGE)
        place.joinpath("x.txt").write_text("Anna lives in Paris .\n", encoding="utf-8")
        place.joinpath("x.conll").write_text("Anna B-person B-person\n", encoding="utf-8")
        overrides = ["experiment=sample/ner", "model=bert_tiny", *TINY]
        first = [sys.executable, "-c", FIRST_STEP, "train", *overrides]
        commands = {
            "torch and transformers alone": ALONE,
            "predict": [LUSHAN, "predict", tags, "--input", f"{folder}/x.txt"],
            "predict, of no run": [LUSHAN, "predict", "nowhere", "--input", f"{folder}/x.txt"],
            "generate": [LUSHAN, "generate", text, "--prompt", "hi", "-n", "3"],
            "chat": [LUSHAN, "chat", chat],
            "eval": [LUSHAN, "eval", tags],
            "export": [LUSHAN, "export", tags, f"{folder}/exported", "--yes"],
            "audit": [LUSHAN, "audit", *overrides, f"paths.cache_dir={folder}/cache"],
            "train, to its first step": first,
            **{
                words[0]: [LUSHAN, *words]
                for words in (
                    ["runs", folder],
                    ["table", f"{folder}/tags", "--rows", "seed"],
                    ["compare", tags, tags],
                    ["report", tags, "-o", f"{folder}/site"],
                    ["options", "optimizer/adamw"],
                    ["explain", "optimizer.lr"],
                    ["doctor", "--offline"],
                    ["data", "list"],
                    ["score", "--gold", f"{folder}/x.conll"],
                )
            },
        }

        def spent(number: int, name: str) -> float:
            more = [f"paths.output_dir={folder}/{number}"] if name.startswith("train") else []
            return processor_seconds([*commands[name], *more])

        systems = {name: functools.partial(spent, name=name) for name in commands}
        times = alternate(systems, rounds)
    alone = statistics.median(times["torch and transformers alone"])
    print("\n| command | processor s, median | each round | against the imports alone |")
    print("| --- | --: | --- | --: |")
    for name, values in times.items():
        each = ", ".join(f"{value:.2f}" for value in values)
        middle = statistics.median(values)
        print(f"| {name} | {middle:.2f} | {each} | {middle / alone:.2f} x |")


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


def processor_seconds(command: list[str]) -> float:
    """Seconds of the processor that a program takes; its standard input is empty."""
    with Clock(children=True) as clock:
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return clock.cpu


def numbers(count: int) -> str:
    """1,2,3 ..."""
    return ",".join(str(seed) for seed in range(1, count + 1))


def imported(command: list[str]) -> list[str]:
    """Which heavy packages a command imports, as Python itself reports."""
    environment = os.environ | {"PYTHONPROFILEIMPORTTIME": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    if "lushan" not in modules:
        sys.exit("Python did not report what it imports")
    return [name for name in HEAVY if name in modules]


def jobs_seconds(folder: Path, pattern: str) -> tuple[float, float]:
    """Medians over a sweep's jobs: of training, and of the whole run."""
    results = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in folder.glob(f"{pattern}/*/*/result.json")
    ]
    training = statistics.median(result["train_seconds"] for result in results)
    return training, statistics.median(result["seconds"] for result in results)


if __name__ == "__main__":
    main()
