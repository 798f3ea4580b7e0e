"""What a tracker costs that is down, slow or refuses the key: the time of training, and the rest.

One small run, every step logged, without a tracker and with W&B in four states, in turn. While the
first steps are taken, W&B is imported and begins: that costs once, however long a run is, and is
distinguished from what it costs at each of the later steps.

Of the clock, times are those of the run's own metrics.csv. A machine that others share has more
noise than two per cent; so the processor's time is counted too, of W&B's calls in the run's process
and of its service, against that of the steps in between: training on all cores loses no more.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import functools
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from common import alternate, machine, run

from lushan.run.metrics_csv import read_rows

KEY = "0123456789abcdef0123456789abcdef01234567"
NONE = "none"
REFUSAL = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


@contextlib.contextmanager
def server(*, answers: bool) -> Iterator[int]:
    """A port that takes connections, and refuses every key or says nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        kept: list[socket.socket] = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    if answers:
                        connection.recv(65536)
                        connection.sendall(REFUSAL)
                        connection.close()
                    else:
                        kept.append(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        for connection in kept:
            connection.close()


def states(silent: int, refusing: int) -> dict[str, dict[str, str] | None]:
    """What the environment says of W&B in each; None is a run without it."""
    ports = {"closed port": 9, "silent server": silent, "refusing server": refusing}
    online = {
        state: {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": f"http://127.0.0.1:{port}"}
        for state, port in ports.items()
    }
    return {NONE: None, "offline": {"WANDB_MODE": "offline"}, **online}


@dataclasses.dataclass
class Measured:
    """The figures of one run.

    Attributes:
        rate: Milliseconds of a later step, by the clock.
        start: Seconds that the first third took beyond its steps at that rate.
        rest: Seconds of all else, from the command to its end.
        share: Processor time of W&B, of that of the later steps.
    """

    rate: float
    start: float
    rest: float
    share: float


def measured(words: list[str], cwd: Path, env: dict[str, str]) -> Measured:
    """Train once."""
    out, whole = run([sys.executable, __file__, "--inside", *words], cwd=cwd, env=env)
    *_, folder, share = out.strip().splitlines()
    rows = read_rows(cwd / folder.removeprefix("run: ") / "metrics.csv")
    ends = {int(row["step"]): float(row["seconds"]) for row in rows if row["train/loss"]}
    last = max(ends)
    begun = last // 3
    rate = (ends[last] - ends[begun]) / (last - begun)
    return Measured(1000 * rate, ends[begun] - begun * rate, whole - ends[last], float(share))


def inside(words: list[str]) -> None:
    """`lushan train`, which says at its end what share of the later steps' processor time W&B took.

    `Guarded` calls a tracker from a thread of its own, whose processor time is its own too.
    """
    from lushan.callbacks import trackers
    from lushan.callbacks.csv_metrics import Record
    from lushan.callbacks.destinations.wandb import WandB
    from lushan.cli import app

    spent, marks = [0.0], {}
    steps = int(next(word for word in words if "max_steps" in word).partition("=")[2])

    def counted(call: Callable[..., None]) -> Callable[..., None]:
        def counting(*args: Any, **options: Any) -> None:
            begun = time.thread_time()
            call(*args, **options)
            spent[0] += time.thread_time() - begun

        return counting

    def service() -> float:
        """Of processes beside this one: W&B's only."""
        found = (process.cpu_times() for process in psutil.Process().children(recursive=True))
        return sum(times.user + times.system for times in found)

    def marking(call: Callable[..., None]) -> Callable[..., None]:
        def at(self: Any, trainer: Any, *args: Any, **options: Any) -> None:
            call(self, trainer, *args, **options)
            if trainer.global_step in (steps // 3, steps):
                theirs = spent[0] + service()
                marks[trainer.global_step] = time.process_time() - spent[0], theirs

        return at

    WandB.log = counted(WandB.log)  # type: ignore[method-assign]
    trackers.Guarded.log_metrics = counted(trackers.Guarded.log_metrics)  # type: ignore[method-assign]
    Record.on_train_batch_end = marking(Record.on_train_batch_end)  # type: ignore[method-assign]
    sys.argv = ["lushan", "train", *words]
    code = app.main()
    (begun, before), (ended, after) = marks[steps // 3], marks[steps]
    print((after - before) / (ended - begun))
    sys.exit(code)


def main() -> None:
    """Take turns, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--inside", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        inside(args.inside)
    words = ["task=causal_lm", "data=sample_text", "model=gpt2_tiny", "trainer=cpu"]
    words += [f"trainer.max_steps={args.steps}", "trainer.max_epochs=null"]
    words += ["trainer.log_every_n_steps=1", "~callbacks.samples", "test=false"]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    found: dict[str, list[Measured]] = collections.defaultdict(list)
    with (
        tempfile.TemporaryDirectory() as place,
        server(answers=False) as silent,
        server(answers=True) as refusing,
    ):
        known = states(silent, refusing)

        def once(state: str, number: int) -> float:
            variables = known[state]
            more = [f"name={state.replace(' ', '-')}-{number}"]
            more += [] if variables is None else ["logger=wandb"]
            found[state].append(measured([*words, *more], Path(place), clean | (variables or {})))
            return found[state][-1].rate

        alternate({state: functools.partial(once, state) for state in known}, args.rounds)
    print(machine())
    print(f"{args.steps} steps, each logged; medians of {args.rounds} rounds\n")
    print(
        "| W&B | processor time of W&B | a step, ms | against none | beginning, s | all else, s |"
    )
    print("| --- | --: | --: | --: | --: | --: |")
    for state, runs in found.items():
        ratio = statistics.median(
            one.rate / other.rate for one, other in zip(runs, found[NONE], strict=True)
        )
        share, rate, start, rest = (
            statistics.median(getattr(run, name) for run in runs)
            for name in ("share", "rate", "start", "rest")
        )
        print(
            f"| {state} | {100 * share:.2f} % | {rate:.1f} | {ratio:.3f} × | {start:.1f} "
            f"| {rest:.1f} |"
        )


if __name__ == "__main__":
    main()
