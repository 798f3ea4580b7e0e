"""Tokens a second of a server: 16 clients at once against one request at a time, beside a peer.

A Llama with random weights, so that no text ends early, behind `lushan serve` and `transformers
serve`, each a process of its own. All requests are greedy, in float32: whatever else is written at
the time, a prompt must be answered with the same text. Servers take turns, each started afresh.
Seconds are those of a server's processor, which other work disturbs less, and of the wall.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
from common import LUSHAN, machine
from generation_speed import make_model, make_prompts

TRANSFORMERS = str(Path(sys.executable).parent / "transformers")
HF = [TRANSFORMERS, "serve", "{folder}", "--port", "{port}", "--dtype", "float32"]
SERVERS = {
    "lushan serve": [LUSHAN, "serve", "m={folder}", "--port", "{port}", "--batch", "{clients}"],
    "transformers serve": HF,
    "transformers serve, continuous batching": [*HF, "--continuous-batching"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--requests", type=int, default=2, help="of each client in a round")
    parser.add_argument("--prompt", type=int, default=32, help="tokens of a prompt")
    parser.add_argument("--new", type=int, default=64, help="tokens that are written")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=256)
    args = parser.parse_args()
    print(machine())
    print(
        f"Llama, {args.layers} layers × {args.width}; {args.clients} clients, "
        f"{args.prompt} + {args.new} tokens, float32, greedy\n"
    )
    rounds: dict[str, list[Round]] = {name: [] for name in SERVERS}
    failed: dict[str, Unanswered] = {}
    with tempfile.TemporaryDirectory() as folder:
        make_model(Path(folder), args.layers, args.width)
        for number in range(args.rounds):
            names = [name for name in SERVERS if name not in failed]
            for name in names if number % 2 == 0 else names[::-1]:
                try:
                    rounds[name].append(measured(SERVERS[name], folder, args))
                except Unanswered as error:
                    failed[name] = error
    print(
        "| server | one at a time, tokens a CPU s | clients at once | ratio | ... of the wall | "
        "median wait, s |\n| --- | --: | --: | --: | --: | --: |"
    )
    for name, found in rounds.items():
        print(f"| {name} | {failed[name]} | | | | |" if name in failed else line(name, found))


@dataclasses.dataclass(frozen=True)
class Round:
    """What one start of a server has given.

    Attributes:
        alone: Tokens a second, of its processor and of the wall, one request at a time.
        together: The same, with all clients at once.
        waits: Seconds of each request of these.
        different: Texts that were not the same alone and among others.
    """

    alone: tuple[float, float]
    together: tuple[float, float]
    waits: list[float]
    different: int


def line(name: str, rounds: list[Round]) -> str:
    """Return a line of the table: medians of the rounds."""
    median = statistics.median
    one, several = median(r.alone[0] for r in rounds), median(r.together[0] for r in rounds)
    cpu, wall = (median(r.together[i] / r.alone[i] for r in rounds) for i in (0, 1))
    different = sum(r.different for r in rounds)
    note = f" ({different} texts differ)" if different else ""
    wait = median(seconds for r in rounds for seconds in r.waits)
    return f"| {name}{note} | {one:.0f} | {several:.0f} | {cpu:.1f} × | {wall:.1f} × | {wait:.1f} |"


class Unanswered(Exception):
    """A server that does not answer here."""


def measured(command: list[str], folder: str, args: argparse.Namespace) -> Round:
    """Start a server, ask it, and end it."""
    count = args.clients * args.requests
    prompts = make_prompts(count, args.prompt, mixed=True)
    model = "m" if command[0] == LUSHAN else folder
    few = prompts[:: args.requests * 4] or prompts[:1]
    with serving(command, folder, args.clients) as (url, process):

        def asked(prompt: str) -> tuple[str, float]:
            begun = time.perf_counter()
            return answer(url, model, prompt, args.new), time.perf_counter() - begun

        def timed(ask: Callable[[], list[tuple[str, float]]]) -> tuple[Any, tuple[float, float]]:
            before, begun = spent(process), time.perf_counter()
            found = ask()
            taken = spent(process) - before, time.perf_counter() - begun
            return found, (len(found) * args.new / taken[0], len(found) * args.new / taken[1])

        asked(prompts[0])
        one, alone = timed(lambda: [asked(prompt) for prompt in few])
        with ThreadPoolExecutor(args.clients) as pool:
            several, together = timed(lambda: list(pool.map(asked, prompts)))
    texts = dict(zip(prompts, (text for text, _ in several), strict=True))
    same = zip(few, (text for text, _ in one), strict=True)
    different = sum(texts[prompt] != text for prompt, text in same)
    return Round(alone, together, [seconds for _, seconds in several], different)


def spent(process: psutil.Process) -> float:
    """Return the seconds of the processor that a server and its children have taken."""
    times = [p.cpu_times() for p in (process, *process.children(recursive=True))]
    return sum(t.user + t.system for t in times)


@contextlib.contextmanager
def serving(command: list[str], folder: str, clients: int) -> Iterator[tuple[str, psutil.Process]]:
    """A server at a free port, once it answers, and its process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [word.format(folder=folder, port=port, clients=clients) for word in command]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 180
        while not answers(f"{url}/health"):
            if process.poll() is not None or time.monotonic() > end:
                raise Unanswered("does not start here")
            time.sleep(0.2)
        yield url, psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as response:
        return response.status == 200
    return False


def answer(url: str, name: str, prompt: str, tokens: int) -> str:
    body = {"model": name, "prompt": prompt, "max_tokens": tokens, "temperature": 0}
    request = urllib.request.Request(
        f"{url}/v1/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=300) as response:
            return json.load(response)["choices"][0]["text"]
    except urllib.error.HTTPError as error:
        raise Unanswered(f"{error.code}: {error.read()[:150]!r}") from None
    except (http.client.HTTPException, OSError) as error:
        raise Unanswered(f"does not answer: {error}") from None


if __name__ == "__main__":
    main()
