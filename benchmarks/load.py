"""Many runs at once: 10,000 folders, 1,000 jobs in a sweep, 200 runs that processes contend for.

Nothing is trained: a job owns its folder and leaves a result, as large as that of a training. What
is inspected is what lushan itself does with them. Each part ends with an error if a run is missing
or done twice.
"""

from __future__ import annotations

import argparse
import collections
import multiprocessing
import os
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from common import Clock
from omegaconf import DictConfig

from lushan.engine.job import Job
from lushan.errors import UserError
from lushan.launch.job_status import JobStatus
from lushan.launch.protocol import CheckedConfig
from lushan.run.folder import RunFolder
from lushan.run.identity import run_id
from lushan.run.result import RunResult
from lushan.run.status import COMPLETE

OVERRIDES = ["data=sample_ner", "model=bert_tiny", "trainer=cpu", "name=load"]
SPLITS = ("val", "test")
TYPES = ("LOC", "ORG", "PER", "MISC")


def leave_result(folder: RunFolder, config: dict[str, Any]) -> None:
    """What a run leaves, without one; the folder must be owned."""
    folder.start(config)
    chance = random.Random(config["seed"])
    names = ("precision", "recall", "f1")
    scores = {name: {score: chance.random() for score in names} for name in TYPES}
    metrics = [f"entity_{score}" for score in names] + [f"{name}_f1" for name in TYPES]
    folder.complete(
        RunResult(
            folder=folder.path,
            name=config["name"],
            run_id=run_id(config),
            seed=config["seed"],
            metrics={f"{split}/{name}": chance.random() for split in SPLITS for name in metrics},
            main_metric="test/entity_f1",
            config=config,
            reports={split: {"entity": scores, "token": scores} for split in SPLITS},
            data_fingerprint=dict.fromkeys(("train", "validation", "test"), "0" * 64),
            seconds=1.0,
        )
    )


def one_of_many(base: dict[str, Any], output: Path, number: int) -> dict[str, Any]:
    """One of many configs that differ in a rate and the seed."""
    return base | {
        "seed": number // 10,
        "optimizer": base["optimizer"] | {"lr": (number % 10 + 1) * 1e-4},
        "paths": base["paths"] | {"output_dir": str(output)},
    }


def composed() -> dict[str, Any]:
    """The whole config of a run."""
    from lushan.config.check import check
    from lushan.config.compose import compose

    return check(compose(OVERRIDES))


# 10,000 folders


def make_some(base: dict[str, Any], output: Path, numbers: range) -> None:
    """Runs of these numbers."""
    for number in numbers:
        config = one_of_many(base, output, number)
        folder = RunFolder.of(config)
        with folder.locked():
            leave_result(folder, config)


def listing(count: int) -> list[str]:
    """Make run folders, list them, and make a table of them."""
    from lushan.run.listing import list_runs
    from lushan.study.table import table

    base = composed()
    with tempfile.TemporaryDirectory() as place:
        output = Path(place)
        workers = os.cpu_count() or 1
        parts = [range(i, count, workers) for i in range(workers)]
        spawned = multiprocessing.get_context("fork")
        children = [spawned.Process(target=make_some, args=(base, output, part)) for part in parts]
        with Clock() as made:
            for child in children:
                child.start()
            for child in children:
                child.join()
        with Clock() as listing:
            found = list_runs(output)
        with Clock() as tabled:
            text = table([output], rows=["optimizer.lr"], over=["seed"]).text
    states = collections.Counter(run.state for run in found)
    if states != {COMPLETE: count} or text.count(f" {count // 10} |") != 10:
        raise SystemExit(f"wrong: {states}\n{text}")
    return [
        f"{count:,} folders made in {made.wall:.1f} s by {workers} processes",
        f"{count:,} folders listed in {listing.wall:.2f} s",
        f"{count:,} folders in a table in {tabled.wall:.2f} s",
    ]


# 1,000 jobs


class Stub(Job):
    """A job of a sweep that leaves a result and trains nothing."""

    def execute(
        self, cfg: DictConfig, checked: CheckedConfig | UserError | None = None
    ) -> JobStatus:
        """As `Job`."""
        config = self._checked(cfg, checked).config
        folder = RunFolder.of(config)
        with folder.locked():
            leave_result(folder, config)
        return JobStatus(COMPLETE, folder=folder.path)


def sweep(count: int, jobs: int) -> list[str]:
    """Carry out a sweep of so many jobs, each in a process of its own."""
    from lushan.config import train_command

    with tempfile.TemporaryDirectory() as place:
        words = ["-m", *OVERRIDES, f"paths.output_dir={place}", f"hydra.launcher.jobs={jobs}"]
        with Clock() as clock:
            done = train_command.main([*words, f"seed=range(1,{count + 1})"], Stub()) or []
        runs = list(Path(place).glob("load/*/result.json"))
    states = collections.Counter(job.return_value.state for job in done)
    if len(runs) != count or states != {COMPLETE: count}:
        raise SystemExit(f"wrong: {len(runs)} runs, {states}")
    return [
        f"{count:,} jobs, {jobs} at a time, in {clock.wall:.1f} s: "
        f"{1000 * clock.wall / count:.0f} ms each"
    ]


# 200 owners


def contend(base: dict[str, Any], output: Path, count: int, seed: int, done: Any) -> None:
    """Do whatever nobody has done, in an order of one's own."""
    order = list(range(count))
    random.Random(seed).shuffle(order)
    for number in order:
        config = one_of_many(base, output, number)
        folder = RunFolder.of(config)
        try:
            with folder.locked():
                if folder.result() is None:
                    leave_result(folder, config)
                    done.put(number)
        except UserError:  # another process works there
            continue


def owners(count: int, processes: int) -> list[str]:
    """Let processes contend for runs; each must be done once."""
    base = composed()
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as place:
        done = context.SimpleQueue()
        children = [
            context.Process(target=contend, args=(base, Path(place), count, seed, done))
            for seed in range(processes)
        ]
        counts: collections.Counter[int] = collections.Counter()
        with Clock() as clock:
            for child in children:
                child.start()
            while any(child.is_alive() for child in children) or not done.empty():
                if done.empty():
                    time.sleep(0.01)
                else:
                    counts[done.get()] += 1
        states = collections.Counter(
            RunFolder.of(one_of_many(base, Path(place), number)).state for number in range(count)
        )
    if set(counts.values()) != {1} or len(counts) != count or states != {COMPLETE: count}:
        raise SystemExit(f"wrong: {len(counts)} of {count}, {max(counts.values())} times, {states}")
    return [
        f"{count} runs, {processes} processes contending: each done once, in {clock.wall:.1f} s"
    ]


def main() -> None:
    """Print the three, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folders", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=1_000)
    parser.add_argument("--at-a-time", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--owners", type=int, default=200)
    parser.add_argument("--processes", type=int, default=4)
    args = parser.parse_args()
    for line in owners(args.owners, args.processes):
        print(line, flush=True)
    for line in sweep(args.jobs, args.at_a_time):
        print(line, flush=True)
    for line in listing(args.folders):
        print(line, flush=True)


if __name__ == "__main__":
    main()
