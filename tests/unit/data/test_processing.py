"""Processors of each sort: what is asked of them, and that they stay the same when stored."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lushan.data import processing
from lushan.errors import UserError
from lushan.run import checksums
from lushan.text import tokenizers
from lushan.vision import processors

TEXTS = ["a small text", "another text, not large"] * 3


def tokenizer(folder: Path) -> Any:
    return tokenizers.train("bpe", vocab_size=300, texts=lambda: iter(TEXTS), cache_dir=folder)


def both(folder: Path) -> Any:
    from transformers import CLIPImageProcessorPil, CLIPProcessor

    return CLIPProcessor(CLIPImageProcessorPil(size={"shortest_edge": 16}), tokenizer(folder))


def llava(folder: Path, patch_size: int = 8) -> Any:
    return processors.with_text(
        lambda **given: tokenizers.train("bpe", vocab_size=300, **given),
        processors.fresh(size=16),
        patch_size,
        texts=lambda: iter(TEXTS),
        cache_dir=folder,
    )


MAKERS = {
    "text": tokenizer,
    "image": lambda _: processors.fresh(size=16, resample="nearest"),
    "both": both,
    "llava": llava,
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_processor_is_the_same_after_it_was_stored(name: str, tmp_path: Path) -> None:
    made = MAKERS[name](tmp_path)
    run = tmp_path / "run"
    made.save_pretrained(run / processing.PROCESSOR)
    again = processing.stored(run)
    assert type(again).__name__ == type(made).__name__ or name == "text"
    assert processing.fingerprint(again) == processing.fingerprint(made)
    by_path = processing.pretrained(str(run / processing.PROCESSOR))
    assert processing.vocabulary(by_path) == processing.vocabulary(made)
    assert (processing.vocabulary(made) == {}) == (name == "image")


def test_fingerprints_tell_processors_apart(tmp_path: Path) -> None:
    made = [MAKERS[name](tmp_path) for name in MAKERS]
    made += [processors.fresh(size=16), processors.fresh(size=16, std=[0.5, 0.5, 0.4])]
    made.append(llava(tmp_path, patch_size=4))  # an image is other tokens
    assert len({processing.fingerprint(one) for one in made}) == len(made)


def test_a_file_of_an_image_processor_that_is_damaged_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / processing.PROCESSOR
    processors.fresh().save_pretrained(folder)
    (folder / processing.IMAGES).write_text("{", encoding="utf-8")
    with pytest.raises(UserError):
        processing.stored(tmp_path)
    assert not (tmp_path / checksums.CHECKSUMS).exists()


def test_a_task_that_reads_text_names_what_it_lacks() -> None:
    with pytest.raises(UserError, match="has no tokenizer"):
        processing.require_tokenizer(processors.fresh())


def test_images_become_squares_with_three_channels() -> None:
    made = processors.fresh(size=8, mean=[0, 0, 0], std=[1, 1, 1], resample="nearest")
    image = Image.new("L", (20, 12), 255)
    pixels = made(image, return_tensors="np")["pixel_values"]
    assert pixels.shape == (1, 3, 8, 8)
    assert np.allclose(pixels, 1)


@pytest.mark.parametrize("values", [{"mean": [0.5]}, {"std": [0.5, 0.5, 0]}])
def test_channels_without_a_number_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="one number for each of 3 channels"):
        processors.fresh(**values)
