"""Examples a second of NER fine-tuning: lushan, Hugging Face's Trainer, and a loop by hand.

MiniLM (22M parameters) on WNUT-17's training set. Only training is timed: no validation, and what
is read, encoded and built before the first step is left out, of all of them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile

from common import DATA, alternate, machine, peer, table, train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--limit", type=int, help="sentences, to see that it works")
    parser.add_argument("--short", action="store_true", help="leave out the Trainer's larger batch")
    args = parser.parse_args()

    file = DATA / "wnut17" / "train.conll"
    limit = [] if args.limit is None else [f"data.limit={args.limit}"]
    with tempfile.TemporaryDirectory() as folder:
        overrides = [
            "experiment=ner/wnut17",
            f"data.dir={file.parent}",
            "data.validation=null",
            f"trainer.max_epochs={args.epochs}",
            "seed=1",
            f"paths.cache_dir={folder}/cache",
            *limit,
        ]
        shapes: dict[str, float] = {}

        def lushan(number: int) -> float:
            # A folder of its own each round: a complete run would be answered, not trained.
            result = train(*overrides, f"paths.output_dir={folder}/{number}")
            shapes["batch"] = result["train_examples"] / result["steps"]
            return result["train_examples"] / result["train_seconds"]

        def hugging_face(batch: int) -> float:
            flags = ["--train", file, "--batch", batch, "--epochs", args.epochs]
            if args.limit is not None:
                flags += ["--limit", args.limit]
            result = peer("hf_ner", *flags)
            return result["examples"] / result["seconds"]

        def bare() -> float:
            result = peer("bare_ner", *overrides, f"paths.output_dir={folder}/bare")
            return result["examples"] / result["seconds"]

        lushan(-1)  # fills the cache, and says how many examples a batch has
        alike = round(shapes["batch"])
        systems = {
            "lushan": lushan,
            "HF Trainer, defaults (batch 8)": lambda _: hugging_face(8),
            f"HF Trainer, batch {alike}": lambda _: hugging_face(alike),
            "plain PyTorch, same batches": lambda _: bare(),
        }
        if args.short:
            del systems[f"HF Trainer, batch {alike}"]
        numbers = alternate(systems, args.rounds)
    ours = statistics.median(numbers["lushan"])
    print(machine())
    print(f"MiniLM, WNUT-17 train, {args.epochs} epoch(s), {shapes['batch']:.1f} examples a step\n")
    print(table(numbers, "examples/s", lambda name: ours / statistics.median(numbers[name])))


if __name__ == "__main__":
    main()
