"""Tokens a second of a server: 16 clients at once against one request at a time, beside a peer.

A Llama with random weights, so that no text ends early, behind `lushan serve` and `transformers
serve`, each a process of its own. All requests are greedy, in float32: whatever else is written at
the time, a prompt must be answered with the same text.
"""

from __future__ import annotations

import argparse
import contextlib
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
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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
    print(
        "| server | one at a time, tokens/s | clients at once, tokens/s | ratio | median wait, s |"
    )
    print("| --- | --: | --: | --: | --: |")
    with tempfile.TemporaryDirectory() as folder:
        make_model(Path(folder), args.layers, args.width)
        for name, command in SERVERS.items():
            try:
                print(measured(name, command, folder, args), flush=True)
            except Unanswered as error:
                print(f"| {name} | {error} | | | |", flush=True)


class Unanswered(Exception):
    """A server that does not answer here."""


def measured(name: str, command: list[str], folder: str, args: argparse.Namespace) -> str:
    """A line of the table."""
    count = args.clients * args.requests
    prompts = make_prompts(count, args.prompt, mixed=True)
    model = "m" if command[0] == LUSHAN else folder
    few = prompts[:: args.requests * 4] or prompts[:1]
    with serving(command, folder, args.clients) as url:

        def asked(prompt: str) -> tuple[str, float]:
            begun = time.perf_counter()
            return answer(url, model, prompt, args.new), time.perf_counter() - begun

        asked(prompts[0])
        one, several, waits = [], [], []
        for _ in range(args.rounds):
            begun = time.perf_counter()
            alone = {prompt: asked(prompt)[0] for prompt in few}
            one.append(len(few) * args.new / (time.perf_counter() - begun))
            begun = time.perf_counter()
            with ThreadPoolExecutor(args.clients) as pool:
                found = list(pool.map(asked, prompts))
            several.append(count * args.new / (time.perf_counter() - begun))
            waits += [seconds for _, seconds in found]
            together = dict(zip(prompts, (text for text, _ in found), strict=True))
            different = sum(together[prompt] != text for prompt, text in alone.items())
    slow, fast = statistics.median(one), statistics.median(several)
    note = f" ({different} of {len(few)} texts differ)" if different else ""
    wait = statistics.median(waits)
    return f"| {name}{note} | {slow:.0f} | {fast:.0f} | {fast / slow:.1f} × | {wait:.1f} |"


@contextlib.contextmanager
def serving(command: list[str], folder: str, clients: int) -> Iterator[str]:
    """A server at a free port, once it answers."""
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
        yield url
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
