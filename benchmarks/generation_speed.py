"""Tokens a second of a batch of texts: lushan, and plain `generate` of transformers.

A Llama with random weights, so that no text ends early. Text to text is timed: tokens of the
prompts, generation, texts. In float32 the greedy tokens of both must be the same.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from common import alternate, machine, table
from peers.hf_generate import Peer

from lushan.engine.trainer import best_precision
from lushan.inference.generator import DTYPES, open_generator
from lushan.models.decoding import Settings

VOCABULARY = 8000
SHARPER = 10
"""Makes the scores of random weights about as uneven as those of a trained model."""
WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "greedy": ({"greedy": True}, {"do_sample": False}),
    "sampled": (
        {"temperature": 0.8, "top_p": 0.95},
        {"do_sample": True, "temperature": 0.8, "top_p": 0.95, "top_k": 0},
    ),
}
"""Our settings and theirs."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=32, help="tokens of a prompt")
    parser.add_argument("--new", type=int, default=128, help="tokens that are written")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument(
        "--processor",
        action="store_true",
        help="count the processor's seconds, for a busy machine; with OMP_NUM_THREADS=1",
    )
    parser.add_argument("--mixed", action="store_true", help="prompts of 1 to --prompt tokens")
    args = parser.parse_args()

    print(machine())
    print(
        f"Llama, {args.layers} layers × {args.width}, vocabulary {VOCABULARY:,}; batch "
        f"{args.batch}, {args.prompt} + {args.new} tokens\n"
    )
    native = best_precision("gpu" if torch.cuda.is_available() else "cpu") == "bf16-mixed"
    with tempfile.TemporaryDirectory() as folder:
        make_model(Path(folder), args.layers, args.width)
        prompts = make_prompts(args.batch, args.prompt, mixed=args.mixed)
        for dtype in ["float32", *(["bf16"] if native else [])]:
            for way in WAYS:
                numbers = measure(folder, prompts, args, way, dtype)
                ours = statistics.median(numbers["lushan"])
                print(f"{way}, {dtype}:\n")
                unit = "tokens/processor s" if args.processor else "tokens/s"
                print(table(numbers, unit, lambda n: ours / statistics.median(numbers[n])))  # noqa: B023
                print()


def measure(
    folder: str, prompts: list[str], args: Any, way: str, dtype: str
) -> dict[str, list[float]]:
    """Tokens a second of both, taking turns."""
    own, theirs = WAYS[way]
    speaker = open_generator(folder, dtype=dtype)
    clock = time.process_time if args.processor else time.perf_counter
    peer = Peer(folder, DTYPES[dtype], clock)
    peer.model.to(speaker.model.device)
    settings = Settings(max_new_tokens=args.new, **own)
    written: dict[str, Any] = {}

    def lushan(_: int) -> float:
        begun = clock()
        texts = speaker.write(speaker.encode(prompts), settings, batch_size=len(prompts))
        seconds = clock() - begun
        written["lushan"] = [several[0].ids for several in texts]
        return sum(map(len, written["lushan"])) / seconds

    def hugging_face(_: int) -> float:
        written["peer"], seconds = peer.write(prompts, args.new, theirs)
        return sum(map(len, written["peer"])) / seconds

    lushan(-1), hugging_face(-1)  # the first call of each prepares
    if way == "greedy" and dtype == "float32" and written["lushan"] != written["peer"]:
        sys.exit("the tokens are not the same")
    return alternate({"lushan": lushan, "HF generate": hugging_face}, args.rounds)


def make_model(folder: Path, layers: int, width: int) -> None:
    """A Llama with random weights that ends no text, and a tokenizer with a word for each token."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

    words = {"[PAD]": 0, "[UNK]": 1} | {f"w{i}": i for i in range(2, VOCABULARY)}
    backend = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer: Any = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]"
    )
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        num_key_value_heads=width // 64,
        intermediate_size=width * 8 // 3 // 32 * 32,
        max_position_embeddings=2048,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=None,
    )
    torch.manual_seed(1)
    model: Any = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        model.lm_head.weight.mul_(SHARPER)
    model.save_pretrained(folder)


def make_prompts(count: int, length: int, *, mixed: bool) -> list[str]:
    generator = torch.Generator().manual_seed(2)
    lengths = torch.linspace(1, length, count).long().tolist() if mixed else [length] * count
    return [
        " ".join(f"w{i}" for i in torch.randint(2, VOCABULARY, (n,), generator=generator).tolist())
        for n in lengths
    ]


if __name__ == "__main__":
    main()
