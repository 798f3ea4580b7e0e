"""From command to table: 4 configurations x 3 seeds of a small fresh encoder on WNUT-17.

lushan's sweep and its table against a shell loop over one script for Hugging Face's Trainer. Both
train a tokenizer first, validate after each epoch, keep the best checkpoint and evaluate it. A
batch has as many sentences on average in one as in the other. lushan trains as many jobs at a time
as there are cores, by one override; the loop uses all cores for each. The whole wall time counts,
or with `--processor` the seconds of the processor, on one thread, for a busy machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

from common import DATA, HERE, LUSHAN, alternate, machine, on_one_thread, run, table, train

RATES = ("3e-4", "1e-3")
SCHEDULERS = ("linear", "cosine")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="of lushan, at a time")
    parser.add_argument("--limit", type=int, help="sentences, to see that it works")
    parser.add_argument("--processor", action="store_true", help="count the processor's seconds")
    args = parser.parse_args()
    spent = on_one_thread if args.processor else run

    seeds = [str(seed) for seed in range(1, args.seeds + 1)]
    data = DATA / "wnut17"
    tables: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        overrides = [
            "experiment=ner/wnut17",
            "model=bert_tiny",
            f"data.dir={data}",
            f"trainer.max_epochs={args.epochs}",
            *([] if args.limit is None else [f"data.limit={args.limit}"]),
        ]
        first = train(*overrides, *places(Path(folder) / "first"), "trainer.max_epochs=1")
        alike = round(first["train_examples"] / first["steps"])

        def lushan(number: int) -> float:
            place = Path(folder) / f"lushan-{number}"
            grid = [f"optimizer.lr={','.join(RATES)}", f"scheduler={','.join(SCHEDULERS)}"]
            sweep = [LUSHAN, "train", "-m", *overrides, *grid, f"seed={','.join(seeds)}"]
            sweep += [f"hydra.launcher.jobs={args.jobs}"]
            _, training = spent([*sweep, *places(place)])
            rows = ["--rows", "optimizer.lr,scheduler", "--over", "seed"]
            tables["lushan"], showing = spent([LUSHAN, "table", str(place / "wnut17"), *rows])
            return training + showing

        def loop(number: int) -> float:
            sizes = ["--width", 128, "--layers", 2, "--heads", 2, "--inner", 512]
            files = ["--train", data / "train.conll", "--validation", data / "dev.conll"]
            flags = [*files, *sizes, "--epochs", args.epochs, "--batch", alike]
            if args.limit is not None:
                flags += ["--limit", args.limit]
            script = [str(HERE / "peers" / "hf_table.sh"), sys.executable, f"{folder}/hf-{number}"]
            axes = [" ".join(RATES), " ".join(SCHEDULERS), " ".join(seeds)]
            out, seconds = spent(["bash", *script, *axes, *map(str, flags)])
            tables["shell loop"] = "\n".join(out.strip().splitlines()[-4:])
            return seconds

        numbers = alternate({"lushan": lushan, "shell loop over HF Trainer": loop}, args.rounds)
    ours = statistics.median(numbers["lushan"])
    print(machine())
    jobs = len(RATES) * len(SCHEDULERS) * len(seeds)
    print(
        f"{jobs} runs of bert_tiny, {args.epochs} epoch(s) of WNUT-17, {alike} sentences a step, "
        f"{args.jobs} jobs at a time\n"
    )
    unit = "processor s" if args.processor else "seconds"
    print(table(numbers, unit, lambda name: statistics.median(numbers[name]) / ours))
    for name, shown in tables.items():
        print(f"\n{name}'s table:\n{shown.rstrip()}")


def places(folder: Path) -> list[str]:
    """Where everything is written: nothing is found there that an earlier round has made."""
    return [f"paths.output_dir={folder}", f"paths.cache_dir={folder}/cache"]


if __name__ == "__main__":
    main()
