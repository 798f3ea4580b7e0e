"""Useful tokens a second of chat fine-tuning: lushan, and Hugging Face's Trainer with padding.

A fresh Llama of 4 layers of 256 on dialogues from all parts of SGD, one epoch; useful are the
tokens that are no padding. Only training is timed, and what is read, encoded and built before the
first step is left out, of both.
"""

from __future__ import annotations

import argparse
import gzip
import statistics
import tempfile
from pathlib import Path

from common import DATA, alternate, machine, peer, table, train
from tokenizers import Tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--every", type=int, default=20, help="take one dialogue of so many")
    parser.add_argument("--vocabulary", type=int, default=8000)
    parser.add_argument("--compile", action="store_true", help="compile the model in lushan")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "sgd.jsonl.gz")
        dialogues = sample(DATA / "sgd" / "train.jsonl.gz", file, args.every)
        overrides = [
            "task=chat",
            "data=chat",
            f"data.train={file}",
            "data.messages=turns",
            "data.roles={SYSTEM: assistant}",
            "data.max_length=512",
            "data.batch_tokens=2048",
            "model=llama_small",
            f"processor.vocab_size={args.vocabulary}",
            "trainer.max_epochs=1",
            "name=chat",
            "test=false",
            f"paths.cache_dir={folder}/cache",
            *(["trainer.compile=true"] if args.compile else []),
        ]

        def lushan(number: int) -> float:
            # A folder of its own each round: a complete run would be answered, not trained.
            return rate(train(*overrides, f"paths.output_dir={folder}/{number}"), "train_")

        def rate(result: dict[str, float], prefix: str = "") -> float:
            return result[f"{prefix}tokens"] / result[f"{prefix}seconds"]

        lushan(-1)  # fills the cache, and leaves the tokenizer for the peer
        (run,) = Path(folder, "-1", "chat").iterdir()
        # Few dialogues have fewer pairs to merge than were asked for.
        size = Tokenizer.from_file(str(run / "processor" / "tokenizer.json")).get_vocab_size()
        trainer = ["--train", file, "--run", run]
        systems = {
            "lushan": lushan,
            "HF Trainer, defaults (batch 8)": lambda _: rate(peer("hf_chat", *trainer)),
        }
        numbers = alternate(systems, args.rounds)
    ours = statistics.median(numbers["lushan"])
    print(machine())
    print(f"Llama 4 x 256, {size} tokens, {dialogues} dialogues of SGD, one epoch\n")
    print(table(numbers, "useful tokens/s", lambda name: ours / statistics.median(numbers[name])))


def sample(source: Path, target: Path, every: int) -> int:
    """Write one line of so many; services lie together in the file. How many there are."""
    with gzip.open(source, "rb") as lines, gzip.open(target, "wb") as found:
        kept = list(lines)[::every]
        found.writelines(kept)
    return len(kept)


if __name__ == "__main__":
    main()
