"""What a tracker costs that is down, slow or refuses the key: the time of training, and the rest.

One small run, every step logged, without a tracker and with W&B in four states, in turn. While the
first steps are taken, W&B is imported and begins: that costs once, however long a run is, and is
told apart from what it costs at each of the later steps. The times are those of the run's own
metrics.csv.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import functools
import os
import socket
import statistics
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from common import LUSHAN, alternate, machine, run

from lushan.runs.rows import read_rows

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


def measured(words: list[str], cwd: Path, env: dict[str, str]) -> tuple[float, float, float]:
    """Train once: milliseconds of a later step, seconds that the first third took beyond its steps
    at that rate, and seconds of all else from the command to its end."""
    out, whole = run([LUSHAN, "train", *words], cwd=cwd, env=env)
    folder = cwd / out.strip().splitlines()[-1].removeprefix("run: ")
    rows = [row for row in read_rows(folder / "metrics.csv") if row["train/loss"]]
    ends = {int(row["step"]): float(row["seconds"]) for row in rows}
    last = max(ends)
    begun = last // 3
    rate = (ends[last] - ends[begun]) / (last - begun)
    return 1000 * rate, ends[begun] - begun * rate, whole - ends[last]


def main() -> None:
    """Take turns, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300)
    args = parser.parse_args()
    words = ["task=causal_lm", "data=sample_text", "model=gpt2_tiny", "trainer=cpu"]
    words += [f"trainer.max_steps={args.steps}", "trainer.max_epochs=null"]
    words += ["trainer.log_every_n_steps=1", "~callbacks.samples", "test=false"]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    starts: dict[str, list[float]] = collections.defaultdict(list)
    others: dict[str, list[float]] = collections.defaultdict(list)
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
            rate, start, rest = measured([*words, *more], Path(place), clean | (variables or {}))
            starts[state].append(start)
            others[state].append(rest)
            return rate

        rates = alternate({s: functools.partial(once, s) for s in known}, args.rounds)
    print(machine())
    print(f"{args.steps} steps, each logged; medians of {args.rounds} rounds\n")
    print("| W&B | a step, ms | against none | beginning, s | all else of the command, s |")
    print("| --- | --: | --: | --: | --: |")
    for state in rates:
        ratios = [a / b for a, b in zip(rates[state], rates[NONE], strict=True)]
        rate, start, rest = map(statistics.median, (rates[state], starts[state], others[state]))
        ratio = statistics.median(ratios)
        print(f"| {state} | {rate:.1f} | {ratio:.3f} × | {start:.1f} | {rest:.1f} |")


if __name__ == "__main__":
    main()
