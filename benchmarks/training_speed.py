"""What training costs: lushan, Hugging Face's Trainer with its defaults, and a loop by hand.

Seconds of the processor for a thousand units, on one thread: tokens that are no padding, or
examples, between two steps of one training, so that start-up does not count (`common.cost`).

    python benchmarks/training_speed.py causal chat --rounds 3 --steps 4 16
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

from common import DATA, LUSHAN, MINILM, alternate, cost, machine, run, sample, table


@dataclasses.dataclass(frozen=True)
class Work:
    """Something that is trained.

    Attributes:
        units: What is counted.
        overrides: Of `lushan train`.
        peer: Program of `peers/` that uses the Trainer.
        train: Its file.
        reads_run: Whether it takes shape and tokenizer from a run.
        bare: Program of `peers/` that is a loop by hand, if there is one.
        more: Further arguments of the peer.
    """

    units: str
    overrides: tuple[str, ...]
    peer: str
    train: Path
    reads_run: bool = True
    bare: str | None = None
    more: tuple[str, ...] = ()


TEXT = DATA / "wikitext2" / "test.txt"
LANGUAGE = (
    f"data.train={TEXT}",
    "data=text",
    "processor.vocab_size=8000",
    "data.batch_tokens=2048",
)
MINI = ("model=minilm", f"model.path={MINILM}", f"processor.path={MINILM}")
WORKS = {
    "causal": Work(
        "tokens",
        ("task=causal_lm", *LANGUAGE, "model=gpt2_small", "model.config.n_positions=256"),
        "hf_lm",
        TEXT,
        bare="bare_lm",
    ),
    "masked": Work(
        "tokens",
        ("task=masked_lm", *LANGUAGE, "model=bert_small", "data.max_length=256"),
        "hf_masked",
        TEXT,
    ),
    "seq2seq": Work(
        "examples",
        (
            *("experiment=summarize/scitldr", f"data.dir={DATA / 'scitldr'}", "model=t5_small"),
            *("processor.vocab_size=8000", "task.generates=false"),
        ),
        "hf_pairs",
        DATA / "scitldr" / "train.jsonl.gz",
    ),
    "chat": Work(
        "tokens",
        (
            *("task=chat", "data=chat", "data.messages=turns", "data.roles={SYSTEM: assistant}"),
            *("data.max_length=512", "data.batch_tokens=2048", "model=llama_small"),
            *("processor.vocab_size=8000", "task.generate_examples=0"),
        ),
        "hf_chat",
        DATA / "sgd" / "train.jsonl.gz",
    ),
    "ner": Work(
        "examples",
        ("experiment=ner/wnut17", f"data.dir={DATA / 'wnut17'}"),
        "hf_ner",
        DATA / "wnut17" / "train.conll",
        reads_run=False,
        bare="bare_ner",
    ),
    "classification": Work(
        "examples",
        ("experiment=classification/phrasebank", f"data.dir={DATA / 'financial_phrasebank'}"),
        "hf_classes",
        DATA / "financial_phrasebank" / "sentences_allagree.csv",
        reads_run=False,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("works", nargs="*", choices=[*WORKS, []], help="all if none is named")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, nargs=2, default=(5, 25), metavar=("FEW", "MANY"))
    parser.add_argument("--precision", default="auto", help="trainer.precision of lushan")
    parser.add_argument("--every", type=int, default=20, help="take one dialogue of so many")
    parser.add_argument("--short", action="store_true", help="leave out the loop by hand")
    args = parser.parse_args()
    print(f"{machine()}; one thread\n")
    for name in args.works or WORKS:
        with tempfile.TemporaryDirectory() as folder:
            print(compared(name, Path(folder), args), flush=True)


def compared(name: str, folder: Path, args: argparse.Namespace) -> str:
    """One work's table."""
    work = WORKS[name]
    file = sample(work.train, folder, args.every) if name == "chat" else work.train
    given = [*work.overrides, "data.validation=null", "test=false", "name=speed"]
    given += [f"data.train={file}"] if name == "chat" else []
    given += [f"paths.cache_dir={folder}/cache", f"trainer.precision={args.precision}"]

    steps = tuple(args.steps)
    length = (f"trainer.max_steps={steps[1] + 1}", "trainer.max_epochs=null")
    first = ["trainer.max_steps=1", "trainer.max_epochs=null", f"paths.output_dir={folder}/first"]
    run([LUSHAN, "train", *given, *first])  # fills the cache, and leaves the tokenizer for the peer
    (made,) = Path(folder, "first", "speed").iterdir()
    asked = ["--train", file, *(["--run", made] if work.reads_run else []), *work.more]
    asked += ["--steps", steps[1] + 1]

    def lushan(number: int) -> float:
        # A folder of its own each round: a complete run would be answered, not trained.
        place = f"paths.output_dir={folder}/{number}"
        return cost("lushan_train", *given, *length, place, units=work.units, steps=steps)

    systems: dict[str, Callable[[int], float]] = {
        "lushan": lushan,
        "HF Trainer, defaults": lambda _: cost(work.peer, *asked, units=work.units, steps=steps),
    }
    if work.bare and not args.short:
        bare = [*given, *length, f"paths.output_dir={folder}/bare"]
        systems["loop by hand, same rows"] = lambda _: cost(
            str(work.bare), *bare, units=work.units, steps=steps
        )
    numbers = alternate(systems, args.rounds)
    ours = statistics.median(numbers["lushan"])
    unit = f"CPU s a 1,000 {work.units}"
    made = table(numbers, unit, lambda other: statistics.median(numbers[other]) / ours)
    return f"`{name}`, steps {steps[0]} to {steps[1]}:\n\n{made}\n"


if __name__ == "__main__":
    main()
