"""Step time, memory and states of a training on 1 to 512 processes: predicted, and measured here.

The formulas of docs/scale.md. Without arguments it prints its table; with `--measure` it trains a
small model in one process and in two (DDP over gloo), takes this machine's rates from the first,
from a sum over two processes, and from a file that is written and hashed, and prints what they
predict beside what was measured. Seconds are the clock's: nothing else should run.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import Any

GB = 1e9


@dataclasses.dataclass(frozen=True)
class Machine:
    """Rates of a machine; all in units a second.

    Attributes:
        flops: Operations of one process.
        message_bytes: Bytes that a process sends, and receives.
        file_bytes: Bytes that a process writes.
        disk_bytes: Bytes that the disk of all processes takes.
        hash_bytes: Bytes that a process hashes.
    """

    flops: float
    message_bytes: float
    file_bytes: float
    disk_bytes: float
    hash_bytes: float


@dataclasses.dataclass(frozen=True)
class Training:
    """What is trained.

    Attributes:
        weights: Of the model.
        tokens: Of a global batch.
        micro_tokens: Most tokens of a micro-batch.
        sharded: Whether each process has a part of the weights (FSDP2), or a copy (DDP).
    """

    weights: float
    tokens: float
    micro_tokens: float
    sharded: bool = True

    def micro_batches(self, processes: int) -> int:
        """Micro-batches of a process in a step."""
        return max(1, -int(-self.tokens // (processes * self.micro_tokens)))

    def compute_seconds(self, machine: Machine, processes: int) -> float:
        """Forward and backward: 6 operations a weight and token."""
        return 6 * self.weights * self.tokens / (processes * machine.flops)

    def message_bytes(self, processes: int) -> float:
        """Bytes a process sends in a step.

        Sharded: all layers are gathered in bfloat16 for the forward and again for the backward of
        each micro-batch, and gradients are added up in float32 once. Copies: gradients are added up
        and handed round, twice 4 bytes a weight. Of each a process has its own share already.
        """
        if processes == 1:
            return 0.0
        each = 2 * 2 * self.micro_batches(processes) + 4 if self.sharded else 2 * 4
        return each * self.weights * (processes - 1) / processes

    def step_seconds(self, machine: Machine, processes: int) -> float:
        """Computing and messages, one after the other: an upper bound, as they overlap."""
        messages = self.message_bytes(processes) / machine.message_bytes
        return self.compute_seconds(machine, processes) + messages

    def memory_bytes(self, processes: int) -> float:
        """Weights, gradients and two moments of AdamW in float32, a process."""
        return 16 * self.weights / (processes if self.sharded else 1)

    def state_bytes(self) -> float:
        """Weights and two moments, on disk."""
        return 12 * self.weights

    def state_seconds(self, machine: Machine, processes: int) -> float:
        """Writing and hashing a state, each process its part; or the first one all of it."""
        part = self.state_bytes() / (processes if self.sharded else 1)
        written = max(part / machine.file_bytes, self.state_bytes() / machine.disk_bytes)
        return written + part / machine.hash_bytes


H100 = Machine(0.4 * 990e12, 50 * GB, 2 * GB, 10 * GB, 1.2 * GB)
SEVEN = Training(weights=7e9, tokens=524_288, micro_tokens=16_384)
SHAPE = {"n_layer": 4, "n_embd": 256, "n_head": 4, "n_positions": 256}
VOCABULARY, ROW, ROWS = 2000, 256, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--steps", type=int, nargs=2, default=(5, 25))
    args = parser.parse_args()
    print("| FSDP2 on | computing, s | messages, s | memory, GB | state, s |")
    print("| --: | --: | --: | --: | --: |")
    for count in (1, 8, 64, 512):
        computing = SEVEN.compute_seconds(H100, count)
        messages = SEVEN.message_bytes(count) / H100.message_bytes
        memory, state = SEVEN.memory_bytes(count) / GB, SEVEN.state_seconds(H100, count)
        print(f"| {count} | {computing:.1f} | {messages:.1f} | {memory:.1f} | {state:.1f} |")
    if args.measure:
        compare(*args.steps)


def compare(few: int, many: int) -> None:
    """Print what is predicted for two processes of this machine beside what is measured."""
    from common import machine, train

    with tempfile.TemporaryDirectory() as folder:

        def trained(name: str, steps: int, trainer: str) -> dict[str, Any]:
            return train(
                *("task=causal_lm", "data=sample_text", f"trainer={trainer}", "test=false"),
                *(f"model.config.{key}={value}" for key, value in SHAPE.items()),
                *("model.config.resid_pdrop=0", "model.config.embd_pdrop=0"),
                *("model.config.attn_pdrop=0", f"processor.vocab_size={VOCABULARY}"),
                *(f"data.max_length={ROW}", f"data.batch_tokens={ROWS * ROW}"),
                *(f"trainer.max_steps={steps}", "trainer.precision=32-true"),
                *("trainer.max_epochs=null", "trainer.val_check_interval=null"),
                *(f"name={name}-{steps}", f"paths.output_dir={folder}/runs"),
                f"paths.cache_dir={folder}/cache",
            )

        def step(name: str, trainer: str) -> float:
            short, long = trained(name, few, trainer), trained(name, many, trainer)
            return (long["train_seconds"] - short["train_seconds"]) / (many - few)

        one, two = step("one", "cpu"), step("two", "ddp_sim")
        result = trained("one", many, "cpu")
        weights = result["parameters"]["all"]
        training = Training(weights, result["train_tokens"] / many, ROWS * ROW, sharded=False)
        rates = Machine(
            flops=6 * weights * training.tokens / one,
            message_bytes=sum_rate(int(weights), Path(folder)),
            file_bytes=1,
            disk_bytes=1,
            hash_bytes=1,
        )
        folders = [f for f in Path(folder).glob("runs/*/*/checkpoints/*") if f.is_dir()]
        sizes = [sum(path.stat().st_size for path in f.iterdir()) for f in folders]
        written = max(sizes, default=0)
    print(f"\n{machine()}\n{weights:,.0f} weights, {training.tokens:,.0f} tokens a step\n")
    print("| | predicted | measured |\n| --- | --: | --: |")
    print(f"| a step of one process, s | (the rate is taken from it) | {one:.3f} |")
    print(f"| a step of two, s | {training.step_seconds(rates, 2):.3f} | {two:.3f} |")
    kept = 4 * weights / 1e6  # of a complete run the states are gone, and the best weights stay
    print(f"| the best weights on disk, MB | {kept:.1f} | {written / 1e6:.1f} |")
    print(f"\nhashing: {hash_rate() / GB:.2f} GB/s; adding up: {rates.message_bytes / GB:.2f} GB/s")


def hash_rate() -> float:
    """Bytes that one process hashes a second."""
    begun = time.perf_counter()
    hashlib.sha256(bytes(2**27))
    return 2**27 / (time.perf_counter() - begun)


def sum_rate(numbers: int, folder: Path) -> float:
    """Bytes a second that each of two processes sends while they add up float32 numbers."""
    import torch.multiprocessing as mp

    place = folder / "seconds"
    mp.spawn(_sum, (numbers, str(folder / "store"), str(place)), nprocs=2)
    # As in `Training.message_bytes`: of twice 4 bytes a number, a process has half already.
    return 4 * numbers / float(place.read_text(encoding="utf-8"))


def _sum(rank: int, numbers: int, store: str, place: str) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    values = torch.ones(numbers)
    dist.all_reduce(values)
    begun = time.perf_counter()
    for _ in range(5):
        dist.all_reduce(values)
    if rank == 0:
        Path(place).write_text(str((time.perf_counter() - begun) / 5), encoding="utf-8")
    dist.destroy_process_group()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
