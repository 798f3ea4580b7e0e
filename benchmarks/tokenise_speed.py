"""A corpus from its file to token ids on disk: lushan and `datasets.map`, in time and in memory.

The corpus is made by repeating what there is (WikiText-2, Shakespeare, Chinese classics) as JSON
lines of some kilobytes each; the tokenizer is a byte-level BPE of 8,000 tokens, trained on it. Both
use all cores. The memory is the peak of the process with all its children, taken ten times a
second: what they hold themselves (anonymous pages, those that they share counted once), and in
brackets with the pages of files that are mapped, which the system takes back when it wants them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from common import DATA, HERE, alternate, machine
from tokenizers import ByteLevelBPETokenizer

LUSHAN, PEER = "lushan", "datasets.map, batched"
DOCUMENT = 4000
"""Characters of a document."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", default="25,50,100", help="sizes of the corpus")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    args = parser.parse_args()

    sizes = [int(size) for size in args.megabytes.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        corpora = {size: write(Path(folder) / f"{size}.jsonl", size) for size in sizes}
        tokenizer = Path(folder) / "tokenizer.json"
        trained = ByteLevelBPETokenizer()
        trained.train_from_iterator(texts(), vocab_size=8000, show_progress=False)
        trained.save(str(tokenizer))
        print(machine())
        print(f"{args.processes} processes, documents of {DOCUMENT:,} characters\n")
        print("| corpus, MB | system | seconds, median | MB/s | peak memory, MB | lushan |")
        print("| --: | --- | --: | --: | --: | --: |")
        for size, corpus in corpora.items():
            compare(corpus, size, tokenizer, args.rounds, args.processes)


def compare(corpus: Path, size: int, tokenizer: Path, rounds: int, processes: int) -> None:
    """Print the lines of one size."""
    peaks: dict[str, list[tuple[float, float]]] = {LUSHAN: [], PEER: []}
    tokens: set[int] = set()
    files = ["--corpus", str(corpus), "--tokenizer", str(tokenizer)]
    more = {LUSHAN: [], PEER: ["--processes", str(processes)]}
    scripts = {LUSHAN: "lushan_tokenise", PEER: "hf_tokenise"}

    def run(system: str) -> float:
        result, peak = watched(scripts[system], *files, *more[system], cores=processes)
        peaks[system].append(peak)
        tokens.add(result["tokens"])
        return result["seconds"]

    numbers = alternate({LUSHAN: lambda _: run(LUSHAN), PEER: lambda _: run(PEER)}, rounds)
    if len(tokens) > 1:
        sys.exit(f"not the same tokens: {tokens}")
    ours = statistics.median(numbers[LUSHAN])
    for system, seconds in numbers.items():
        middle = statistics.median(seconds)
        own, whole = (statistics.median(peak) for peak in zip(*peaks[system], strict=True))
        ratio = "" if system == LUSHAN else f"{middle / ours:.2f} ×"
        print(
            f"| {size} | {system} | {middle:.1f} | {size / middle:.1f} | {own:.0f} ({whole:.0f}) "
            f"| {ratio} |"
        )


def watched(script: str, *flags: str, cores: int) -> tuple[dict, tuple[float, float]]:
    """What a program of `peers/` prints last, and its peak memory in MB: own, with mapped files."""
    command = [sys.executable, str(HERE / "peers" / f"{script}.py"), *flags]
    environment = os.environ | {"OMP_NUM_THREADS": str(cores)}
    peak = (0.0, 0.0)
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, stdout=out, env=environment)
        while process.poll() is None:
            peak = tuple(map(max, peak, memory(process.pid)))
            time.sleep(0.1)
        out.seek(0)
        if process.returncode:
            sys.exit(f"{' '.join(command)}\nended with {process.returncode}")
        return json.loads(out.read().strip().splitlines()[-1]), peak


def memory(pid: int) -> tuple[float, float]:
    """MB of a process and its children: anonymous pages, and all."""
    own = whole = 0
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        for member in family:
            lines = Path(f"/proc/{member.pid}/smaps_rollup").read_text(encoding="ascii")
            pages = {line.split(":")[0]: line.split()[1] for line in lines.splitlines()[1:]}
            own += int(pages["Pss_Anon"])
            whole += int(pages["Pss"])
    except (psutil.Error, OSError):  # one has just ended
        pass
    return own / 1000, whole / 1000


def texts() -> Iterator[str]:
    """The documents that there are."""
    for name in ("wikitext2/valid.txt", "wikitext2/test.txt", "tinyshakespeare/input.txt"):
        text = (DATA / name).read_text(encoding="utf-8")
        for start in range(0, len(text), DOCUMENT):
            yield text[start : start + DOCUMENT]
    for line in (DATA / "zh_classics" / "valid.jsonl").read_text(encoding="utf-8").splitlines():
        yield json.loads(line)["text"]


def write(path: Path, megabytes: int) -> Path:
    """A corpus of about that size, the documents over and over."""
    found = list(texts())
    size = number = 0
    with path.open("w", encoding="utf-8") as file:
        while size < megabytes * 1_000_000:
            text = found[number % len(found)]
            # No two documents are alike, lest one of the systems remembers.
            line = json.dumps({"text": f"{number} {text}"}, ensure_ascii=False) + "\n"
            size += len(line.encode())
            number += 1
            file.write(line)
    return path


if __name__ == "__main__":
    main()
