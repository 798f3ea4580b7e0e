"""What a tracker costs that is down, slow or refuses the key: the time of training, and the rest.

One small run, every step logged, without a tracker and with W&B in four states, in turn. What
counts is the time of training, and that of all else from the command to its end.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from common import LUSHAN, alternate, machine, run

KEY = "0123456789abcdef0123456789abcdef01234567"
STATES = ("none", "offline", "closed port", "silent server", "refusing server")
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


def measured(folder: Path, words: list[str], variables: dict[str, str]) -> tuple[float, float]:
    """Seconds of training, and of all else that the command does."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    out, whole = run([LUSHAN, "train", *words], cwd=folder, env=clean | variables)
    place = folder / out.strip().splitlines()[-1].removeprefix("run: ")
    result = json.loads((place / "result.json").read_text(encoding="utf-8"))
    return result["train_seconds"], whole - result["train_seconds"]


def main() -> None:
    """Take turns, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=400)
    args = parser.parse_args()
    others: dict[str, list[float]] = {state: [] for state in STATES}
    with (
        tempfile.TemporaryDirectory() as place,
        server(answers=False) as silent,
        server(answers=True) as refusing,
    ):
        folder = Path(place)
        ports = {"closed port": 9, "silent server": silent, "refusing server": refusing}
        words = ["task=causal_lm", "data=sample_text", "model=gpt2_tiny", "trainer=cpu"]
        words += [f"trainer.max_steps={args.steps}", "trainer.max_epochs=null"]
        words += ["trainer.log_every_n_steps=1", "~callbacks.samples", "test=false"]

        def once(state: str, number: int) -> float:
            more = [f"name={state.replace(' ', '-')}-{number}"]
            variables = {"WANDB_MODE": "offline"} if state == "offline" else {}
            if state in ports:
                variables = {
                    "WANDB_API_KEY": KEY,
                    "WANDB_BASE_URL": f"http://127.0.0.1:{ports[state]}",
                }
            if state != "none":
                more.append("logger=wandb")
            trained, rest = measured(folder, [*words, *more], variables)
            others[state].append(rest)
            return trained

        times = alternate(
            {state: lambda number, state=state: once(state, number) for state in STATES},
            args.rounds,
        )
    print(machine())
    print(f"{args.steps} steps, each logged; medians of {args.rounds} rounds\n")
    print("| W&B | training, s | against none | all else of the command, s |")
    print("| --- | --: | --: | --: |")
    for state in STATES:
        ratios = [a / b for a, b in zip(times[state], times["none"], strict=True)]
        trained, rest = statistics.median(times[state]), statistics.median(others[state])
        print(f"| {state} | {trained:.2f} | {statistics.median(ratios):.3f} × | {rest:.1f} |")


if __name__ == "__main__":
    main()
