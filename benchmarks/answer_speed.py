"""What the framework takes besides training: answers, starts of commands, one more job of a sweep.

All on the built-in sample data. The time of a further job is that of a long sweep less that of a
short one, by the number of jobs they differ in; its training is what the jobs' results say. What a
command needs until its first answer is counted in seconds of the processor, beside the import of
torch and transformers alone. With `--starts` nothing else is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from common import LUSHAN, alternate, machine, run
from starts import starts

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
