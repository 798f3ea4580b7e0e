"""Tokens a second of causal pretraining: lushan, Hugging Face's Trainer, and a loop by hand.

A fresh GPT-2 of 4 layers of 256 on WikiText-2, rows of 256 tokens. Only training is timed: no
validation, and what is read, encoded and built before the first step is left out, of all of them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from common import DATA, alternate, machine, peer, table, train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--vocabulary", type=int, default=8000)
    parser.add_argument(
        "--compile", action="store_true", help="compile the model, in ours and by hand"
    )
    args = parser.parse_args()

    file = DATA / "wikitext2" / "test.txt"
    with tempfile.TemporaryDirectory() as folder:
        overrides = [
            "task=causal_lm",
            "data=text",
            f"data.train={file}",
            "model=gpt2_small",
            "model.config.n_positions=256",
            f"processor.vocab_size={args.vocabulary}",
            "data.batch_tokens=2048",
            f"trainer.max_steps={args.steps}",
            "name=lm",
            "test=false",
            f"paths.cache_dir={folder}/cache",
            *(["trainer.compile=true"] if args.compile else []),
        ]

        def lushan(number: int) -> float:
            # A folder of its own each round: a complete run would be answered, not trained.
            result = train(*overrides, f"paths.output_dir={folder}/{number}")
            return result["train_tokens"] / result["train_seconds"]

        def rate(result: dict[str, float]) -> float:
            return result["tokens"] / result["seconds"]

        lushan(-1)  # fills the cache, and leaves the tokenizer for the peer
        (run,) = Path(folder, "-1", "lm").iterdir()
        trainer = ["--train", file, "--run", run, "--steps", args.steps]
        systems = {
            "lushan": lushan,
            "HF Trainer, defaults": lambda _: rate(peer("hf_lm", *trainer)),
            "plain PyTorch, same rows and kernels": lambda _: rate(
                peer("bare_lm", *overrides, f"paths.output_dir={folder}/bare")
            ),
        }
        numbers = alternate(systems, args.rounds)
    ours = statistics.median(numbers["lushan"])
    print(machine())
    print(f"GPT-2 4 x 256, {args.vocabulary} tokens, rows of 256, {args.steps} steps of 2,048\n")
    print(table(numbers, "tokens/s", lambda name: ours / statistics.median(numbers[name])))


if __name__ == "__main__":
    main()
