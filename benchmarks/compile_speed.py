"""What compiled layers save, task by task, and what compiling takes: `trainer.compile=true`.

Seconds of the processor, on one thread: of a step, between two steps of a training, with and
without; and before the first of the two, of which compiling is the difference.

    python benchmarks/compile_speed.py causal chat --steps 5 15
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from common import LUSHAN, between, machine, run, sample
from training_speed import WORKS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("works", nargs="*", choices=[*WORKS, []], help="all if none is named")
    parser.add_argument("--steps", type=int, nargs=2, default=(5, 15), metavar=("FEW", "MANY"))
    args = parser.parse_args()
    print(f"{machine()}; one thread\n")
    print("| task | a step, s | compiled, s | | compiling, s | pays from step |")
    print("| --- | --: | --: | --: | --: | --: |")
    for name in args.works or WORKS:
        with tempfile.TemporaryDirectory() as folder:
            print(line(name, Path(folder), tuple(args.steps)), flush=True)


def line(name: str, folder: Path, steps: tuple[int, int]) -> str:
    """One task's row."""
    work = WORKS[name]
    file = sample(work.train, folder, 20) if name == "chat" else work.train
    given = [*work.overrides, f"data.train={file}", "data.validation=null", "test=false"]
    given += [f"paths.cache_dir={folder}/cache", "trainer.max_epochs=null"]
    first = ("trainer.max_steps=1", f"paths.output_dir={folder}/first")
    run([LUSHAN, "train", *given, *first])  # fills the cache
    found = {}
    for way in ("false", "true"):
        more = (f"trainer.max_steps={steps[1] + 1}", f"trainer.compile={way}")
        more += (f"paths.output_dir={folder}/{way}",)
        found[way] = between("lushan_train", *given, *more, steps=steps)
    plain, compiled = (done["cpu"] / (steps[1] - steps[0]) for done in found.values())
    made = found["true"]["before"] - found["false"]["before"]
    pays = f"{made / (plain - compiled):,.0f}" if plain > compiled else "never"
    times = f"{plain:.3f} | {compiled:.3f} | {plain / compiled:.2f} ×"
    return f"| {name} | {times} | {made:.0f} | {pays} |"


if __name__ == "__main__":
    main()
