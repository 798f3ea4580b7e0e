"""Images: read for training, learned from, and drawn; each beside its peer.

    python benchmarks/image_speed.py read draw learn vqa --rounds 3

Seconds of the processor, on one thread. `learn` has built-in images of 32 x 32 pixels and their
questions, `vqa` those of easy-VQA, 64 x 64; in `learn_frozen` and `vqa_frozen` the vision tower
learns nothing. Everything is written into a temporary folder.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import io
import itertools
import json
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import DATA, alternate, cost, machine, table, train
from peers import pil_loop
from PIL import Image

from lushan.data.batch.batching import plan_evaluation
from lushan.data.batch.loader import drawn
from lushan.data.encode.encoding import encode
from lushan.data.formats.sample_images import SampleVQA
from lushan.data.messages import dialogues_of
from lushan.models import codec as coding
from lushan.models.codec import Codec
from lushan.models.decoding import Settings
from lushan.models.image_codecs import PixelCodec
from lushan.tasks.batches import Limits
from lushan.tasks.image_tokenizer import ImageTokenizer
from lushan.text import tokenizers
from lushan.vision import processors

Systems = dict[str, Callable[[int], float]]
SIDE, DRAWN, TOKENS = 32, 64, 64
"""Pixels of a side; images that are drawn, and codes of each."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("works", nargs="*", choices=[*WORKS, []], help="all if none is named")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, nargs=2, default=(20, 120), metavar=("FEW", "MANY"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{machine()}; one thread\n")
    for name in args.works or WORKS:
        with tempfile.TemporaryDirectory() as folder:
            numbers = alternate(WORKS[name](Path(folder), args), args.rounds)
        ours = statistics.median(numbers["lushan"])
        unit = "processor s a thousand images"
        print(f"{name}:\n")
        print(table(numbers, unit, lambda n: statistics.median(numbers[n]) / ours))  # noqa: B023
        print()


def read(folder: Path, args: argparse.Namespace) -> Systems:
    """Decode, scale and normalise images of 64 x 64 pixels, in batches of 16."""
    del args
    files = [folder / f"{number}.png" for number in range(1000)]
    chance = np.random.default_rng(1)
    for file in files:
        small = chance.integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(small).resize((64, 64), Image.Resampling.BICUBIC).save(file)
    task = ImageTokenizer()
    processor = processors.fresh(SIDE)
    task.use(processor)
    rows = {
        "id": [file.name for file in files],
        "image": [{"path": str(file), "bytes": b""} for file in files],
    }

    def columns(part: dict[str, list[Any]], first: int) -> Any:
        return task.encode(part, first, processor, Limits(1))

    import pyarrow as pa

    encoded = encode(
        pa.table(rows),
        columns,
        task.schema,
        fingerprint="images",
        cache_dir=folder,
        count=task.count,
    )

    def lushan(_: int) -> float:
        begun = time.process_time()
        for indices in plan_evaluation(np.ones(len(files)), bound=16):
            task.collate(drawn(encoded, indices, lambda part: task.transform(part, 1)))
        return time.process_time() - begun

    def plain(_: int) -> float:
        begun = time.process_time()
        for batch in pil_loop.batches(files, SIDE, 16, workers=0):
            assert batch.shape[1:] == (3, SIDE, SIDE)
        return time.process_time() - begun

    lushan(-1), plain(-1)
    return {"lushan": lushan, "Pillow in a DataLoader": plain}


def draw(folder: Path, args: argparse.Namespace) -> Systems:
    """Draw 64 images of 64 codes by a GPT-2 of 4 layers x 256: together, and one by one."""
    del args
    from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel

    texts = ["a red circle", "a blue square"]
    tokenizer = tokenizers.train("bpe", 300, min_frequency=1, texts=lambda: texts, cache_dir=folder)
    codec = Codec.of(tokenizer, PixelCodec(8, 4))
    torch.manual_seed(1)
    model: Any = GPT2LMHeadModel(
        GPT2Config(vocab_size=len(tokenizer), n_embd=256, n_layer=4, n_head=4, n_positions=128)
    ).eval()
    prompts = [codec.drawing_prompt(ids) for ids in codec.text_ids(texts)] * (DRAWN // 2)

    def lushan(_: int) -> float:
        begun = time.process_time()
        found = coding.draw(model, codec, prompts, Settings(), 1.0, range(DRAWN))
        codec.images.decode(found)
        return 1000 * (time.process_time() - begun) / DRAWN

    def one_by_one(_: int) -> float:
        options = {"max_new_tokens": TOKENS, "min_new_tokens": TOKENS, "do_sample": True}
        config: Any = GenerationConfig(**options, top_k=0, pad_token_id=0)
        begun = time.process_time()
        for prompt in prompts:
            ids = torch.tensor([prompt])
            with torch.inference_mode():
                model.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    generation_config=config,
                )
        return 1000 * (time.process_time() - begun) / DRAWN

    return {"lushan": lushan, "HF generate, one by one": one_by_one}


def learn(folder: Path, args: argparse.Namespace, *, frozen: bool = False) -> Systems:
    """Learn to answer questions on built-in images with a fresh Llava, 8 at a time.

    Each image is turned and mirrored in all eight ways, so that no epoch ends between the steps.
    """
    rows = dialogues_of(SampleVQA().read().splits["train"].to_pydict())[0]
    lines = []
    for turn in (None, *Image.Transpose):
        for asked, answered in rows:
            shown, question = asked["content"]
            picture = Image.open(io.BytesIO(shown["bytes"]))
            name = f"{len(lines)}.png"
            (picture if turn is None else picture.transpose(turn)).save(folder / name)
            row = {"question": question["text"], "answer": answered["content"]}
            lines.append({**row, "image": name})
    file = _written(folder, lines)
    own = [f"data.train={file}", f"data.media={folder}", "data.batch_examples=8"]
    given = ["task=chat", "data=chat", "model=llava_tiny", "processor.tokenizer.vocab_size=400"]
    return _learned([*given, *own], file, folder, args, batch=8, frozen=frozen)


def vqa(folder: Path, args: argparse.Namespace, *, frozen: bool = False) -> Systems:
    """Learn a quarter of easy-VQA as its experiment does, 64 questions at a time.

    The experiment has all questions on an image in one batch, and encodes it once for them.
    """
    source, file = DATA / "easy_vqa", folder / "rows.jsonl"
    with tarfile.open(source / "images_train.tar.gz") as images:
        images.extractall(folder, filter="data")
    with gzip.open(source / "questions_train.jsonl.gz", "rt", encoding="utf-8") as lines:
        file = _written(folder, [json.loads(line) for line in itertools.islice(lines, 9600)])
    place = folder / "train"
    given = [
        "experiment=vqa/easy_vqa",
        f"data.train={file}",
        f"data.media={place}",
        "~task.metrics",
    ]
    given += ["data.dir=null", "data.validation=null", "data.test=null"]
    return _learned(given, file, place, args, batch=64, frozen=frozen, grouped=not frozen)


def _written(folder: Path, rows: list[dict[str, str]]) -> Path:
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def _learned(
    given: list[str],
    file: Path,
    images: Path,
    args: argparse.Namespace,
    *,
    batch: int,
    frozen: bool,
    grouped: bool = False,
) -> Systems:
    """Training by a config and by `Trainer`, in batches that chance has made.

    Args:
        given: The config.
        file: Of its rows.
        images: Folder of their images.
        args: Of the command.
        batch: Questions of a step.
        frozen: Whether the vision tower is.
        grouped: Whether the config's own batches are measured, too.
    """
    folder, steps = file.parent, tuple(args.steps)
    runs = folder.parent / f"{folder.name}-runs"
    given += ["test=false", "task.generate_examples=0", "logger=none", "name=speed"]
    given += [f"paths.cache_dir={folder}/c", *(["optimizer.freeze=[*vision_tower*]"] * frozen)]
    train(*given, "trainer.max_steps=1", f"paths.output_dir={runs}/first")  # fills the cache
    (shape,) = (runs / "first" / "speed").glob("[0-9a-f]*")
    asked = ["--train", file, "--images", images, "--run", shape, "--steps", steps[1] + 1]
    asked += ["--batch", batch, *(["--frozen"] * frozen)]
    numbers = itertools.count()

    def lushan(_: int, *more: str) -> float:
        limit = (f"trainer.max_steps={steps[1] + 1}", "trainer.max_epochs=null")
        more += (*limit, f"paths.output_dir={runs}/{next(numbers)}")
        return cost("lushan_train", *given, *more, units="examples", steps=steps)

    def trainer(_: int) -> float:
        return cost("hf_vqa", *asked, units="examples", steps=steps)

    if not grouped:
        return {"lushan": lushan, "HF Trainer": trainer}
    return {
        "lushan": lambda number: lushan(number, "data.batch_by_group=false"),
        "lushan, an image's questions together": lushan,
        "HF Trainer": trainer,
    }


WORKS: dict[str, Callable[[Path, argparse.Namespace], Systems]] = {
    "read": read,
    "draw": draw,
    "learn": learn,
    "learn_frozen": functools.partial(learn, frozen=True),
    "vqa": vqa,
    "vqa_frozen": functools.partial(vqa, frozen=True),
}


if __name__ == "__main__":
    main()
