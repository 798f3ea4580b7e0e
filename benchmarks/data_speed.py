"""What batches cost: planning for millions of examples, and the loader's share of a training step.

Seconds are the processor's. The loader is that of a training on built-in data, beside the steps of
the same training; the first of both, which import, open files and allocate, are not counted.
"""

from __future__ import annotations

import argparse
import resource
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from common import Clock, machine

from lushan.data.batch.batching import plan_epoch, plan_evaluation
from lushan.data.batch.packing import best_fit

WARM = 4
"""Steps that are not counted."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=10_000_000)
    parser.add_argument(
        "--steps", type=int, default=40, help="of the training whose loader is measured"
    )
    args = parser.parse_args()
    print(machine())
    planning(args.examples)
    share(args.steps)


def planning(count: int) -> None:
    """Print what a plan takes, and the memory beside the lengths."""
    lengths = np.random.default_rng(0).integers(5, 200, count).astype(np.int32)
    plans: dict[str, Callable[[], Any]] = {
        "batches of 2,048 tokens": lambda: plan_epoch(lengths, seed=1, epoch=0, batch_tokens=2048),
        "batches of 32 examples": lambda: plan_epoch(lengths, seed=1, epoch=0, batch_examples=32),
        "rows of 1,024 tokens": lambda: best_fit(lengths, 1024),
        "evaluation": lambda: plan_evaluation(lengths, bound=8192),
    }
    print(f"\n| plan for {count:,} examples | processor s | peak memory, MB |\n| --- | --: | --: |")
    for name, plan in plans.items():
        with Clock() as clock:
            plan()
        print(f"| {name} | {clock.cpu:.2f} | {peak()} |", flush=True)


def peak() -> int:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def share(steps: int) -> None:
    """Print the loader's share of the steps of small trainings."""
    import tempfile

    from lushan.config.check import check
    from lushan.config.compose import compose
    from lushan.data.batch.loader import TrainingLoader
    from lushan.engine import lifecycle
    from lushan.engine.lit_module import LitModule

    spent = {"loader": Clock(), "step": Clock()}
    calls: Counter[str] = Counter()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*values: Any, **options: Any) -> Any:
            calls[name] += 1
            if calls[name] <= WARM:
                return function(*values, **options)
            with spent[name]:
                return function(*values, **options)

        return timed

    loader: Any = TrainingLoader
    module: Any = LitModule
    loader.assemble = counted("loader", loader.assemble)
    module.training_step = counted("step", module.training_step)
    trainings = {
        "tags, MiniLM": ["experiment=sample/ner", "model=minilm", "processor=pretrained"],
        "tags, 2 layers of 128": ["experiment=sample/ner", "model=bert_tiny"],
        "a causal model, 4 layers of 256": [
            "task=causal_lm",
            "data=sample_text",
            "model.config.n_layer=4",
            "model.config.n_embd=256",
            "model.config.n_head=4",
        ],
    }
    print("\n| training | loader, ms a step | step, ms | share |\n| --- | --: | --: | --: |")
    for name, overrides in trainings.items():
        spent |= {key: Clock() for key in spent}
        calls.clear()
        with tempfile.TemporaryDirectory() as folder:
            more = [f"paths.output_dir={folder}", "test=false", f"trainer.max_steps={steps}"]
            lifecycle.run(check(compose([*overrides, "trainer=cpu", *more])))
        each = {key: 1000 * clock.cpu / (calls[key] - WARM) for key, clock in spent.items()}
        part = 100 * each["loader"] / (each["loader"] + each["step"])
        print(f"| {name} | {each['loader']:.2f} | {each['step']:.1f} | {part:.1f} % |", flush=True)


if __name__ == "__main__":
    main()
