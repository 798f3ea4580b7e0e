"""GPT-2 pretraining on one card: tokens a second and MFU, lushan against Hugging Face's Trainer.

MFU is (6 N + 12 layers · width · length) · tokens a second over the card's dense bf16 peak, N
being all weights but those of positions (Chowdhery et al., 2022, appendix B). Without a card it
runs at toy size, to see that it works; such figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import torch
from common import DATA, alternate, machine, peer, table, train

PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "4090": 165e12}
"""Dense bf16, of the makers' data sheets; for others, --peak."""
TOY = ["model.config.n_embd=64", "model.config.n_layer=2", "model.config.n_head=2"]


def flops_a_token(run: Path, weights: int, length: int) -> float:
    """Forward and backward, by the run's own shape."""
    config = json.loads((run / "encoder" / "config.json").read_text())
    inside = weights - config["n_positions"] * config["n_embd"]
    return 6 * inside + 12 * config["n_layer"] * config["n_embd"] * length


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch", type=int, default=32, help="rows a step, of lushan")
    parser.add_argument("--text", type=Path, default=DATA / "wikitext2" / "test.txt")
    parser.add_argument("--peak", type=float, help="FLOP/s of the card, dense bf16")
    args = parser.parse_args()

    card = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    length, steps, rows = (
        (1024, args.steps or 100, args.batch) if card else (64, args.steps or 4, 4)
    )
    peak = args.peak or next((p for name, p in PEAKS.items() if card and name in card), None)
    size = [] if card else TOY
    with tempfile.TemporaryDirectory() as folder:
        overrides = [
            *("task=causal_lm", "data=text", f"data.train={args.text}", "model=gpt2_base", *size),
            *(f"model.config.n_positions={length}", f"data.max_length={length}"),
            *("processor.vocab_size=50304", "processor.min_frequency=1", "name=gpt2"),
            *(f"data.batch_tokens={rows * length}", f"trainer.max_steps={steps}", "test=false"),
            *("trainer.compile=true", f"trainer={'gpu' if card else 'cpu'}"),
            f"paths.cache_dir={folder}/cache",
        ]

        def rate(result: dict[str, float], tokens: str, seconds: str) -> float:
            return result[tokens] / result[seconds]

        def lushan(number: int) -> float:
            result = train(*overrides, f"paths.output_dir={folder}/{number}")
            return rate(result, "train_tokens", "train_seconds")

        lushan(-1)
        (run,) = Path(folder, "-1", "gpt2").iterdir()
        trainer = ["--train", args.text, "--run", run, "--steps", steps, "--length", length]
        systems = {
            "lushan": lushan,
            "HF Trainer, defaults": lambda _: rate(peer("hf_lm", *trainer), "tokens", "seconds"),
            "HF Trainer, bf16": lambda _: rate(
                peer("hf_lm", *trainer, "--bf16"), "tokens", "seconds"
            ),
        }
        numbers = alternate(systems, args.rounds)
        weights = sum(
            int(torch.tensor(shape).prod()) for shape in shapes(run / "checkpoints" / "best")
        )
        cost = flops_a_token(run, weights, length)
    ours = statistics.median(numbers["lushan"])
    print(card or "no card: toy size, these figures mean nothing", "·", machine())
    print(f"{weights:,} weights, rows of {length}, {steps} steps\n")
    print(table(numbers, "tokens/s", lambda name: ours / statistics.median(numbers[name])))
    if peak:
        for name, values in numbers.items():
            print(f"MFU, {name}: {statistics.median(values) * cost / peak:.1%}")


def shapes(folder: Path) -> list[list[int]]:
    """Of all weights of a checkpoint; those that are shared count once."""
    from safetensors import safe_open

    with safe_open(folder / "weights.safetensors", framework="pt") as file:
        return [file.get_slice(name).get_shape() for name in list(file.keys())]


if __name__ == "__main__":
    main()
