"""What monitoring and guarding cost: texts a second, memory over a long stream, delay of answers.

    python benchmarks/monitor_speed.py stream --lines 1000000
    python benchmarks/monitor_speed.py texts RUN --input TEXTS
    python benchmarks/monitor_speed.py guard RUN --input TEXTS

`stream` counts lines with a classifier that costs nothing, in processes of their own: lines a
second, and peak memory after a tenth of them and after all. `texts` reads different texts (a text
a line) through `lushan monitor` with a real run; `guard` checks them, whole and while they arrive
in pieces of four characters. Seconds are those of one core; two cores share the work of a batch.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

from common import machine

HOUR = 3600


def counted(lines: int, answers: multiprocessing.Queue) -> None:
    """Count lines without a model; put lines a second and the peak of memory in MiB."""
    from lushan.monitor.alarms import Recipients
    from lushan.monitor.classifier import Finding
    from lushan.monitor.correction import Correction
    from lushan.monitor.records import Parser
    from lushan.monitor.service import Monitor, Settings
    from lushan.monitor.sources import Lines

    def classify(texts: list[str]) -> list[Finding]:
        return [Finding(text[-1] == "7", 0.9) for text in texts]

    with tempfile.TemporaryDirectory() as folder:
        monitor = Monitor(
            Path(folder), Settings("x"), classify, Correction.none(), Parser(), Recipients()
        )
        begun = time.process_time()
        for start in range(0, lines, 5000):
            part = [
                json.dumps({"time": 10**9 + i * 0.36, "text": f"a short text {i}"}).encode()
                for i in range(start, min(lines, start + 5000))
            ]
            monitor.take(Lines(part, start))
        seconds = time.process_time() - begun
        counts = monitor.store.fact("lines")
        assert counts == {"counted": lines}, counts
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answers.put((lines / seconds, peak))


def stream(lines: int) -> list[list[str]]:
    rows = []
    for number in (lines // 10, lines):
        context = multiprocessing.get_context("spawn")
        answers = context.Queue()
        process = context.Process(target=counted, args=(number, answers))
        process.start()
        speed, peak = answers.get()
        process.join()
        rows.append([f"{number:,} lines", f"{speed:,.0f} lines/s", f"{peak:.0f} MiB"])
    return rows


def texts_of(path: Path) -> list[str]:
    return list(dict.fromkeys(path.read_text(encoding="utf-8").split("\n")))[1:]


def texts(run: Path, path: Path) -> list[list[str]]:
    import torch

    from lushan.monitor.alarms import Recipients
    from lushan.monitor.classifier import Runs
    from lushan.monitor.correction import Correction
    from lushan.monitor.records import Parser
    from lushan.monitor.service import Monitor, Settings
    from lushan.monitor.sources import Lines

    torch.set_num_threads(1)
    found = texts_of(path)
    label = json.loads((run / "task.json").read_text())["state"]["labels"][0]
    speeds = []
    for _ in range(3):
        runs = Runs([run], label)
        with tempfile.TemporaryDirectory() as folder:
            monitor = Monitor(
                Path(folder),
                Settings(label),
                runs.classify,
                Correction.none(),
                Parser(),
                Recipients(),
            )
            part = [
                json.dumps({"time": 10**9 + i, "text": text}).encode()
                for i, text in enumerate(found)
            ]
            begun = time.process_time()
            for start in range(0, len(part), 2000):
                monitor.take(Lines(part[start : start + 2000], None))
            speeds.append(len(part) / (time.process_time() - begun))
    words = sum(len(text.split()) for text in found) / len(found)
    return [[f"{len(found):,} texts of {words:.0f} words", f"{max(speeds):,.0f} texts/s", ""]]


def guard(run: Path, path: Path, label: str | None, rate: float) -> list[list[str]]:
    import torch

    from lushan.inference.guarding import open_guard

    torch.set_num_threads(1)
    made = open_guard(run, label=label, rate=rate)
    assert made is not None
    made.threshold = 2.0  # nothing is refused: every text costs all that it may
    found = texts_of(path)[:300]
    begun = time.process_time()
    for text in found:
        made.check(text)
    each = (time.process_time() - begun) / len(found)
    begun = time.process_time()
    for text in found:
        for _ in made.stream(text[i : i + 4] for i in range(0, len(text), 4)):
            pass
    characters = sum(map(len, found))
    streamed = (time.process_time() - begun) / characters
    return [
        ["a whole text", f"{each * 1000:.1f} ms", ""],
        ["a stream, 100 characters", f"{streamed * 1e5:.1f} ms", ""],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["stream", "texts", "guard"])
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--input", type=Path)
    parser.add_argument("--label")
    parser.add_argument("--rate", type=float, default=0.05)
    args = parser.parse_args()
    if args.part == "stream":
        rows = stream(args.lines)
    elif args.part == "texts":
        rows = texts(args.run, args.input)
    else:
        rows = guard(args.run, args.input, args.label, args.rate)
    print(machine())
    for row in rows:
        print(" | ".join(cell for cell in row if cell))


if __name__ == "__main__":
    main()
