"""The codec of a vocabulary of text and images: what may follow, and what people see of ids."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForCausalLM, GPT2Config

from lushan.models import codec as coding
from lushan.models.codec import BEGIN, CODE, Codec, Grammar, Guidance
from lushan.models.decoding import Settings
from lushan.models.image_codecs import PixelCodec, restored
from lushan.text import tokenizers

TOKENS = 4


@pytest.fixture(scope="module")
def codec(tmp_path_factory) -> Codec:
    place = tmp_path_factory.mktemp("tokenizer")
    texts = ["a red circle", "a blue square"] * 3
    made = tokenizers.train("bpe", 290, texts=lambda: iter(texts), cache_dir=Path(place))
    return Codec.of(made, PixelCodec(2, 2))


@pytest.fixture(scope="module")
def model(codec):
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(codec.tokenizer), n_embd=16, n_layer=1, n_head=2)
    return AutoModelForCausalLM.from_config(config).eval()


def random_picture(seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (9, 7, 3), np.uint8))


def test_a_tokenizer_gets_the_tokens_of_images_once(codec):
    size = len(codec.tokenizer)
    assert Codec.of(codec.tokenizer, codec.images).is_code == codec.is_code
    assert len(codec.tokenizer) == size
    assert len(codec.is_code) == 8


def test_what_reads_like_an_image_is_text_in_a_text(codec):
    text = f"a {BEGIN}{CODE.format(1)}"
    (ids,) = codec.text_ids([text])
    assert not {codec.begin, codec.first + 1} & set(ids)
    assert [part.strip() for part in codec.parts(ids)] == [text]
    assert codec.tokenizer(CODE.format(1), add_special_tokens=False)["input_ids"] == [
        codec.first + 1
    ]


def test_people_see_texts_and_images(codec):
    (text,), (image,) = codec.text_ids([" a red circle"]), codec.image_ids([random_picture()])
    assert len(image) == TOKENS + 2
    one, png, other = codec.parts([*text, *image, *text])
    assert one == other == " a red circle"
    found = Image.open(io.BytesIO(png))
    assert (found.size, found.format) == ((2, 2), "PNG")
    # An image that is not whole is none.
    assert codec.parts(image[:3]) == []


def test_colours_come_back_from_codes(codec):
    picture = Image.fromarray(np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255] * 3]], "B"))
    (png,) = codec.images.decode(codec.images.encode([picture]))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), np.asarray(picture))
    assert restored(codec.images.state()).fingerprint == codec.images.fingerprint


@pytest.mark.parametrize("draws", [True, False])
def test_codes_stand_in_images_alone_and_there_are_as_many_as_it_has(codec, draws):
    grammar, generator = Grammar(codec, draws=draws), torch.Generator().manual_seed(1)
    size = len(codec.tokenizer)
    ids = torch.tensor([[5, codec.begin], [5, 6], [codec.begin, codec.first]])
    for _ in range(60):
        # Codes and borders of images are likely, so that they occur.
        scores = torch.randn(3, size, generator=generator)
        scores[:, codec.begin :] += 3
        scores = grammar(ids, scores)
        ids = torch.cat([ids, scores.argmax(-1, keepdim=True)], 1)
    for row in ids.tolist():
        marks = [
            "c" if t in codec.is_code else "be"[t == codec.end] for t in row if t >= codec.begin
        ]
        images = "".join(marks).split("b")[1:]
        assert all(image == "c" * TOKENS + "e" for image in images[:-1])
        assert images == [] or ("c" * TOKENS + "e").startswith(images[-1])
    begun = (ids == codec.begin).sum(1).tolist()
    assert min(begun) > 1 if draws else begun == [1, 0, 1]


def test_guidance_is_away_from_what_has_no_prompt():
    scores = torch.randn(4, 7)
    prompted, plain = scores.log_softmax(-1).chunk(2)
    found = Guidance(3.0)(torch.zeros(4, 1), scores)
    torch.testing.assert_close(found[:2], plain + 3 * (prompted - plain))
    assert torch.equal(found[:2], found[2:])
    torch.testing.assert_close(Guidance(1.0)(torch.zeros(4, 1), scores)[:2], prompted)


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_a_drawing_does_not_depend_on_the_others(codec, model, scale):
    prompts = [codec.drawing_prompt(ids) for ids in codec.text_ids(["a red circle", "blue", ""])]
    settings = Settings(num_samples=2, seed=3)
    together = coding.draw(model, codec, prompts, settings, scale)
    alone = [codes for p in prompts for codes in coding.draw(model, codec, [p], settings, scale)]
    assert together == alone
    assert {len(codes) for codes in together} == {TOKENS}
    assert together[0] != together[1]
    other = coding.draw(model, codec, prompts, Settings(num_samples=2, seed=4), scale)
    assert other != together


def test_the_same_prompt_again_is_another_image_by_its_number(codec, model):
    (ids,) = codec.text_ids(["a red circle"])
    prompts = [codec.drawing_prompt(ids)] * 4
    found = coding.draw(model, codec, prompts, Settings(), 2.0, [5, 6, 7, 5])
    assert found[0] == found[3]
    assert len(set(map(tuple, found))) > 1
    two = coding.draw(model, codec, prompts[:1], Settings(num_samples=2), 2.0, [5])
    assert two == found[:2]


def test_guided_by_one_is_not_guided(codec, model):
    prompts = [codec.drawing_prompt(ids) for ids in codec.text_ids(["a red circle", "blue"])]
    greedy = Settings(greedy=True)
    both = [coding.draw(model, codec, prompts, greedy, scale) for scale in (1.0, 1.0 + 1e-6)]
    assert both[0] == both[1]


def test_a_caption_holds_no_image(codec, model):
    (image,) = codec.image_ids([random_picture()])
    (text,) = coding.caption(model, codec, [[0, *image]], Settings(max_new_tokens=12))
    assert isinstance(text, str)
    assert "<|" not in text


@pytest.mark.parametrize("room", [0, 1, 5])
def test_a_caption_ends_where_the_model_does(codec, room):
    (image,) = codec.image_ids([random_picture()])
    size = {"n_positions": len(image) + room, "vocab_size": len(codec.tokenizer)}
    config = GPT2Config(n_embd=16, n_layer=1, n_head=2, **size)
    small = AutoModelForCausalLM.from_config(config).eval()
    (text,) = coding.caption(small, codec, [image], Settings())
    assert room or text == ""
