"""Dialogues with images: their tokens, their pixels, their loss, and what is wrong with them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlavaForConditionalGeneration, SiglipVisionConfig

from lushan.data.batch.loader import drawn
from lushan.data.batch.packing import joined
from lushan.data.demo import demo_corpus
from lushan.data.encode.encoding import encode
from lushan.data.fields import DIALOGUES
from lushan.data.formats import Chat as Source
from lushan.data.source import Corpus
from lushan.errors import UserError
from lushan.models import encoders
from lushan.models.image_text import llava
from lushan.tasks.batches import IGNORED, Limits
from lushan.tasks.chat import Chat
from lushan.text import tokenizers
from lushan.text.chat import ChatTemplate
from lushan.text.rendering import Unfit
from lushan.vision import images, processors

SIDE, PATCH = 16, 8
TOKENS = (SIDE // PATCH) ** 2
CONFIG = functools.partial(
    llava,
    vision=SiglipVisionConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=SIDE,
        patch_size=PATCH,
        vision_use_head=False,
    ),
    text=functools.partial(
        LlamaConfig,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=16,
        max_position_embeddings=128,
    ),
)
ROWS = [
    {"messages": ["<image>what colour?", "red"], "images": ["red.png"]},
    {"messages": ["say one", "one", "and two", "two"], "images": []},
    {"messages": ["is <image> or <image> blue?", "the second"], "images": ["red.png", "blue.png"]},
    {
        "messages": ["what is this: <image>", "red", "and <image>?", "blue"],
        "images": ["red.png", "blue.png"],
    },
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return read(tmp_path_factory.mktemp("data"), ROWS)


def read(folder: Path, rows: list[Any]) -> Corpus:
    import json

    for color in ("red", "blue"):
        (folder / f"{color}.png").write_bytes(images.encoded(color))
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Source(train=str(path), media=str(folder)).read()


@pytest.fixture(scope="module")
def processor(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return processors.with_text(
        functools.partial(tokenizers.train, "bpe", 400, min_frequency=1),
        processors.fresh(SIDE),
        PATCH,
        texts=corpus.train_texts,
        cache_dir=tmp_path_factory.mktemp("tokenizers"),
    )


def task_of(processor: Any, **options: Any) -> Chat:
    made = Chat(**options)
    processor.chat_template = None  # another task's
    if hasattr(processor, "image_processor"):
        processor.tokenizer.chat_template = None
    made.use(processor)
    return made


def model_of(task: Chat, processor: Any) -> Any:
    torch.manual_seed(1)
    encoder = encoders.fresh(
        CONFIG,
        vocab_size=len(processor.tokenizer),
        pad_token_id=processor.tokenizer.pad_token_id,
        special=task.special_ids(processor),
        auto_class=task.auto_class,
        wrap=task.wrap,
    )
    return task.build(encoder).eval()


def features(task: Chat, corpus: Corpus, folder: Path, length: int = 127) -> list[dict[str, Any]]:
    limits = Limits(length)
    encoded = encode(
        corpus.splits["train"],
        lambda rows, first: task.encode(rows, first, None, limits),
        task.schema,
        fingerprint=f"of {task.blind} {length}",
        cache_dir=folder,
        count=task.count,
    )
    return drawn(encoded, np.arange(len(encoded)), lambda rows: task.transform(rows, 0))


def test_tokens_and_pixels_are_those_of_the_processor(corpus, processor, tmp_path):
    task = task_of(processor)
    rows = features(task, corpus, tmp_path)
    assert task.template.image == "<image>"
    assert [len(row["seen"]) for row in rows] == [1, 0, 2, 2]
    end = processor.tokenizer.eos_token
    said = f"User: is <image> or <image> blue?{end}Assistant: the second{end}"
    text = f"{processor.tokenizer.bos_token or end}{said}"
    pictures = [images.decode(images.encoded(color), "") for color in ("red", "blue")]
    given = processor(text=text, images=pictures, add_special_tokens=False, return_tensors="pt")
    batch = task.collate([rows[2]])
    assert batch["input_ids"][0].tolist() == given["input_ids"][0, :-1].tolist()
    assert batch["seen:pixel_values"].equal(given["pixel_values"])
    learned = batch["labels"][0][batch["labels"][0] != IGNORED]
    assert processor.tokenizer.decode(learned).strip() == f"the second{end}"
    assert int(rows[2]["length"]) == given["input_ids"].shape[1] - 1
    assert (given["input_ids"] == task.template.image_id).sum() == 2 * TOKENS


def test_the_loss_of_a_mixed_batch_is_that_of_llava(corpus, processor, tmp_path):
    task = task_of(processor)
    model = model_of(task, processor)
    assert isinstance(model.encoder.model, LlavaForConditionalGeneration)
    batch = task.collate(features(task, corpus, tmp_path))
    labels = torch.cat([torch.full((4, 1), IGNORED), batch["labels"]], 1)
    ids = torch.cat([batch["input_ids"], torch.full((4, 1), task.pad_id)], 1)
    own = model.encoder.model(input_ids=ids, pixel_values=batch["seen:pixel_values"], labels=labels)
    count = (batch["labels"] != IGNORED).sum()
    torch.testing.assert_close(task.loss(model, batch), own.loss * count)
    loss, records = task.predict(model, batch)
    torch.testing.assert_close(loss.float(), own.loss * count)
    assert len(records) == 4


def test_rows_that_share_a_row_have_the_loss_they_have_alone(corpus, processor, tmp_path):
    task = task_of(processor)
    model = model_of(task, processor)
    rows = features(task, corpus, tmp_path)
    assert model.encoder.keeps_apart()
    packed = task.loss(model, task.collate([joined(rows)]))
    alone = sum(task.loss(model, task.collate([row])) for row in rows)
    torch.testing.assert_close(packed, alone)


def test_a_batch_of_texts_alone_has_no_pixels(corpus, processor, tmp_path):
    task = task_of(processor)
    model = model_of(task, processor)
    batch = task.collate([features(task, corpus, tmp_path)[1]])
    assert set(task.inputs(batch)) == {"input_ids"}
    assert task.loss(model, batch).isfinite()


def test_an_image_changes_the_loss_and_not_in_the_blind(corpus, processor, tmp_path):
    task = task_of(processor)
    model = model_of(task, processor)
    rows = features(task, corpus, tmp_path)
    other = {**rows[0], "seen": rows[2]["seen"][1:]}
    assert task.loss(model, task.collate(rows[:1])) != task.loss(model, task.collate([other]))
    blind = task_of(processor, blind=True)
    found = features(blind, corpus, tmp_path)
    assert all("seen" not in row for row in found)
    assert (found[0]["input_ids"] == blind.template.image_id).sum() == 0
    shown = processor.tokenizer.decode(found[2]["input_ids"])
    assert "is  or  blue?" in shown


def test_an_answer_is_the_same_in_a_batch_and_alone(corpus, processor, tmp_path):
    task = task_of(processor, max_new_tokens=5)
    model = model_of(task, processor)
    rows = features(task, corpus, tmp_path)
    together = task.generate(model, task.collate(rows))
    alone = [task.generate(model, task.collate([row]))[0] for row in rows]
    assert together == alone
    table = corpus.splits["train"].to_pydict()
    prompts = task.prompts({"messages": table["messages"]})
    for row, prompt in zip(rows, prompts, strict=True):
        assert row["input_ids"][: int(row["asked"])].tolist() == prompt
    again = task.answer(model, prompts, task.media({"messages": table["messages"]}))
    assert again == together


def test_of_a_turn_in_the_middle_only_the_images_before_it_are_read(corpus, processor, tmp_path):
    task = task_of(processor, generate_turn="any")
    rows = features(task, corpus, tmp_path)
    asked = {int(row["images_asked"][0]) for row in rows[3:]}
    assert asked <= {1, 2}
    batch = task.collate(rows)
    assert batch["image_counts"].tolist() == [1, 0, 2, 2]


def test_a_dialogue_that_is_too_long_is_refused_and_no_image_cut(corpus, processor, tmp_path):
    task = task_of(processor)
    with pytest.raises(UserError, match="images are never truncated") as caught:
        features(task, corpus, tmp_path, length=20)
    assert caught.value.line in (3, 4)
    assert "data.max_length" in caught.value.hint


@pytest.mark.parametrize("damage", [b"", b"no image", images.encoded("red")[:40], None])
def test_a_bad_image_is_refused_with_its_line(damage, processor, tmp_path):
    corpus = read(tmp_path, ROWS[1:3])
    place = tmp_path / "blue.png"
    if damage is None:
        place.unlink()
    else:
        place.write_bytes(damage)
    with pytest.raises(UserError, match=r"blue\.png cannot be read") as caught:
        features(task_of(processor), corpus, tmp_path)
    assert caught.value.line == 2


def test_what_was_changed_to_read_an_image_is_counted(processor, tmp_path):
    from PIL import Image

    corpus = read(tmp_path, ROWS)
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "blue.png")
    task = task_of(processor)
    rows = corpus.splits["train"].to_pydict()
    counts = task.count(task.encode(rows, 0, None, Limits(127)))
    assert counts["images"] == 5
    notes = list(task.encoding_notes("train", counts))
    assert notes == ["train: 1 images have transparent parts, which become white"]


def test_a_processor_of_texts_refuses_images(corpus, processor, tmp_path):
    with pytest.raises(UserError, match="only supports text") as caught:
        features(task_of(processor.tokenizer), corpus, tmp_path)
    assert caught.value.line == 1
    assert "task.blind=true" in caught.value.hint


TEMPLATES = {
    "both": "{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}"
    "{{ '<image>' if p.type == 'image' else p.text }}{% endfor %}{% endif %}",
    "parts": "{% for p in m.content if p.type == 'image' %}<image>{% endfor %}"
    "{% for p in m.content if p.type == 'text' %}{{ p.text }}{% endfor %}",
    "text": "{{ m.content }}",
}
SEEN = [
    {
        "role": "user",
        "content": [{"type": "text", "text": "what? "}, {"type": "image", "tokens": [9, 9]}],
    }
]


def template(processor: Any, content: str) -> ChatTemplate:
    end = processor.tokenizer.eos_token
    source = f"{{% for m in messages %}}{{{{ m.role }}}}: {content}{end}{{% endfor %}}"
    source += "{{ 'assistant: ' if add_generation_prompt }}"
    return ChatTemplate(source, processor.tokenizer, image="<image>")


@pytest.mark.parametrize("form", TEMPLATES)
def test_a_template_gets_contents_in_the_form_that_it_shows(form, processor):
    made = template(processor, TEMPLATES[form])
    assert made._writer.form.content == form
    shown = made.render(SEEN, prompt=True).text
    assert shown.count("<image>") == 1
    assert shown.startswith("user: <image>what?" if form == "parts" else "user: what? <image>")
    ids = made.prompt(SEEN)
    assert ids.count(9) == 2
    assert made.image_id not in ids


def test_text_that_looks_like_the_token_of_an_image_is_text(processor):
    made = template(processor, TEMPLATES["both"])
    said = [
        {"role": "user", "content": [{"type": "text", "text": "<image>"}, SEEN[0]["content"][1]]}
    ]
    ids = made.prompt(said)
    assert ids.count(9) == 2
    assert "<image>" in processor.tokenizer.decode(ids)
    assert made.disguised(said)


def test_an_image_that_the_template_does_not_show_is_refused(processor):
    made = template(
        processor,
        "{% if m.role == 'system' %}be kind{% else %}" + TEMPLATES["both"] + "{% endif %}",
    )
    system = {"role": "system", "content": SEEN[0]["content"]}
    with pytest.raises(Unfit, match="it shows 0 of 1 images"):
        made.prompt([system, {"role": "user", "content": "?"}])


def test_the_corpus_of_texts_alone_has_no_columns_of_images(processor):
    corpus = demo_corpus(DIALOGUES, {"messages": [[{"role": "user", "content": "a"}]]})
    assert "images" not in str(corpus.splits["train"].schema)


QWEN = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['content'] is string %}"
    "{{ m['content'] }}{% else %}{% for part in m['content'] %}{% if part['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def test_images_of_any_size_as_qwen2_vl_reads_them(tmp_path, monkeypatch):
    """As many tokens as their sizes ask for, and places in them that follow from these."""
    import transformers
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    corpus = read(tmp_path, ROWS)
    images.noise(1).resize((112, 56)).save(tmp_path / "blue.png")
    marks = [f"<|{name}|>" for name in ("vision_start", "vision_end", "image_pad", "video_pad")]
    tokenizer = tokenizers.train(
        "bpe",
        400,
        min_frequency=1,
        special_tokens=[*marks, "<|im_start|>", "<|im_end|>"],
        texts=corpus.train_texts,
        cache_dir=tmp_path,
    )
    kind: Any = transformers.Qwen2VLProcessor
    # It asks for a processor of videos, which needs torchvision.
    monkeypatch.setattr(kind, "check_argument_for_proper_class", lambda *_: None)
    processor = kind(
        image_processor=Qwen2VLImageProcessorPil(min_pixels=28 * 28, max_pixels=16 * 28 * 28),
        tokenizer=tokenizer,
        chat_template=QWEN,
    )
    task = Chat(max_new_tokens=3)
    task.use(processor)
    start, end, image, video = map(tokenizer.convert_tokens_to_ids, marks)
    config = transformers.Qwen2VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "max_position_embeddings": 256,
            "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3]},
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={"depth": 1, "embed_dim": 32, "hidden_size": 32, "num_heads": 2},
        image_token_id=image,
        vision_start_token_id=start,
        vision_end_token_id=end,
        video_token_id=video,
    )
    torch.manual_seed(1)
    plain = transformers.AutoModelForImageTextToText.from_config(config)
    model: Any = task.build(task.wrap(plain)).eval()
    rows = features(task, corpus, tmp_path, length=200)
    batch = task.collate(rows)
    ids = torch.cat([batch["input_ids"], torch.full((4, 1), task.pad_id)], 1)
    own = plain(
        input_ids=ids,
        labels=torch.cat([torch.full((4, 1), IGNORED), batch["labels"]], 1),
        pixel_values=batch["seen:pixel_values"],
        image_grid_thw=batch["seen:image_grid_thw"],
        mm_token_type_ids=(ids == image).long(),
    )
    count = (batch["labels"] != IGNORED).sum()
    torch.testing.assert_close(task.loss(model, batch), own.loss * count)
    alone = [task.generate(model, task.collate([row]))[0] for row in rows]
    assert task.generate(model, batch) == alone
    assert not model.encoder.keeps_apart()  # rows that are shared have no such places
