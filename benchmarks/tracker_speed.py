"""What a tracker costs that is down, slow or refuses the key: the time of training, and the rest.

One small run, every step logged, without a tracker and with W&B in four states, in turn. What
counts is the time of training, and that of all else from the command to its end.
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

from common import alternate, machine, timed_train

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


def main() -> None:
    """Take turns, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=400)
    args = parser.parse_args()
    words = ["task=causal_lm", "data=sample_text", "model=gpt2_tiny", "trainer=cpu"]
    words += [f"trainer.max_steps={args.steps}", "trainer.max_epochs=null"]
    words += ["trainer.log_every_n_steps=1", "~callbacks.samples", "test=false"]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
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
            result, whole = timed_train(
                *words, *more, cwd=Path(place), env=clean | (variables or {})
            )
            others[state].append(whole - result["train_seconds"])
            return result["train_seconds"]

        times = alternate({s: functools.partial(once, s) for s in known}, args.rounds)
    print(machine())
    print(f"{args.steps} steps, each logged; medians of {args.rounds} rounds\n")
    print("| W&B | training, s | against none | all else of the command, s |")
    print("| --- | --: | --: | --: |")
    for state in times:
        ratios = [a / b for a, b in zip(times[state], times[NONE], strict=True)]
        trained, rest = statistics.median(times[state]), statistics.median(others[state])
        print(f"| {state} | {trained:.2f} | {statistics.median(ratios):.3f} × | {rest:.1f} |")


if __name__ == "__main__":
    main()
