"""Peak memory and time of the loss over a large vocabulary: in pieces, and by all logits at once.

Each way in a process of its own: what one allocator keeps is no other's. Memory is the process's
largest resident set less what it was before the step.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
from pathlib import Path

from common import Clock

PLACES, WIDTH = 2048, 256


def resident() -> float:
    """MiB of this process."""
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def step(way: str, vocabulary: int) -> dict[str, float]:
    import torch
    import torch.nn.functional as F

    from lushan.models.projected_loss import cross_entropy

    torch.manual_seed(1)
    hidden = torch.randn(PLACES, WIDTH, requires_grad=True)
    weight = (torch.randn(vocabulary, WIDTH) * 0.02).requires_grad_()
    labels = torch.randint(0, vocabulary, (PLACES,))
    peak, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.001):
            peak[0] = max(peak[0], resident())

    watcher = threading.Thread(target=watch)
    before = resident()
    watcher.start()
    with Clock() as clock:
        if way == "pieces":
            loss = cross_entropy(hidden, weight, None, labels)
        else:
            loss = F.cross_entropy(F.linear(hidden, weight), labels, reduction="sum")
        loss.backward()
    done.set()
    watcher.join()
    gradient = float(weight.grad.double().norm())
    return {
        "mib": peak[0] - before,
        "seconds": clock.wall,
        "loss": loss.item(),
        "gradient": gradient,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vocabulary", type=int, default=50_304)
    parser.add_argument("--way", choices=["pieces", "whole"], help="this one, in this process")
    args = parser.parse_args()
    if args.way:
        print(json.dumps(step(args.way, args.vocabulary)))
        return
    found = {}
    for way in ("whole", "pieces"):
        command = [sys.executable, __file__, "--way", way, "--vocabulary", str(args.vocabulary)]
        found[way] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    whole, pieces = found["whole"], found["pieces"]
    print(f"| {PLACES:,} places, {args.vocabulary:,} tokens | peak, MiB | seconds | loss |")
    print("| --- | --: | --: | --: |")
    for way, row in found.items():
        print(f"| {way} | {row['mib']:.0f} | {row['seconds']:.2f} | {row['loss']:.2f} |")
    print(
        f"\nmemory {pieces['mib'] / whole['mib']:.2f}, "
        f"time {pieces['seconds'] / whole['seconds']:.2f} of the whole's"
    )


if __name__ == "__main__":
    main()
