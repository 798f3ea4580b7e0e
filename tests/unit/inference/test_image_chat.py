"""A trained run that sees images: asked, evaluated, shown, adapted and started from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.conftest import trained
from tests.helpers import quick

from lushan.errors import UserError
from lushan.inference.chat_session import Conversation, Terminal
from lushan.inference.dialogues import images_of
from lushan.inference.generator import TextGenerator, open_generator
from lushan.inference.load import load
from lushan.models.decoding import Settings
from lushan.vision import images
from lushan.vision.video import Sampling

SIZES = [
    *("model=llava_tiny", "processor.image.size=16", "processor.tokenizer.vocab_size=400"),
    *("model.config.vision.hidden_size=16", "model.config.vision.intermediate_size=16"),
    *("model.config.text.hidden_size=16", "model.config.text.intermediate_size=16"),
    *("model.config.vision.num_attention_heads=2", "model.config.text.num_attention_heads=2"),
]
DATA = [
    *("task=chat", "data=sample_vqa", "data.limit=24", "data.batch_examples=8"),
    *("task.generate_examples=6", "task.max_new_tokens=3", "trainer.max_epochs=1"),
    *("trainer=cpu", "trainer.precision=32-true", "logger=none"),
]
GREEDY = Settings(max_new_tokens=4, greedy=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("vqa"), *SIZES)


def train(folder: Path, *overrides: str) -> Path:
    return trained(folder, *overrides, small=DATA)


@pytest.fixture(scope="module")
def generator(run: Path) -> TextGenerator:
    return open_generator(run)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    path.write_bytes(images.encoded("red"))
    return path


def said(name: str | None, text: str = "what colour?") -> dict[str, Any]:
    shown = [] if name is None else [{"type": "image", "path": name}]
    return {"messages": [{"role": "user", "content": [*shown, {"type": "text", "text": text}]}]}


def written(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_predictions_keep_images_beside_them(run):
    rows = [json.loads(line) for line in (run / "predictions/test.jsonl").open()]
    seen = [row for row in rows if "predicted" in row]
    assert len(seen) == 6
    for row in seen:
        ((message),) = row["messages"]
        image, text = message["content"]
        assert (run / image["path"]).is_file()
        assert text["type"] == "text"
    result = json.loads((run / "result.json").read_text())
    assert result["records"]["messages"]["role"] == "input"
    assert "test/exact_match" in result["metrics"]


@pytest.mark.slow(1)
def test_prompts_of_a_file_show_the_images_beside_it(run, picture, cli_inside, tmp_path):
    path = written(tmp_path / "ask.jsonl", said("red.png"), said(None))
    done = cli_inside("generate", str(run), "--input", path, "--output", "-", "--greedy")
    assert done.code == 0, done.err
    first, second = map(json.loads, done.out.splitlines())
    assert first["prompt"][0]["content"][0] == {"type": "image", "path": str(picture)}
    assert second["prompt"][0]["content"] == "what colour?"
    options = ("--prompt", "what colour?", "--image", str(picture), "--greedy")
    alone = cli_inside("generate", str(run), *options)
    assert alone.out.strip() == first["text"]


def test_an_image_is_shown_in_a_chat(generator, picture):
    talk = Conversation(generator, GREEDY)
    answer = talk.answer("what colour?", images=images_of(str(picture), "/image", Sampling()))
    assert answer.ids
    assert talk.messages[0]["content"][0]["path"] == str(picture)
    assert talk.messages[1] == {"role": "assistant", "content": answer.text.strip()}
    content = [
        *images_of(str(picture), "/image", Sampling()),
        {"type": "text", "text": "what colour?"},
    ]
    asked = [[{"role": "user", "content": content}]]
    (media,) = generator.media(asked)
    ((alone,),) = generator.write(generator.encode(asked), GREEDY, media=[media])
    assert alone.ids == answer.ids


def test_commands_of_a_chat_show_and_save_an_image(generator, picture, tmp_path, monkeypatch):
    terminal = Terminal(Conversation(generator, GREEDY))
    notes: list[str] = []
    monkeypatch.setattr(terminal, "note", notes.append)
    terminal._obey(f"/image {picture}")
    terminal._answer("what colour?")
    terminal._obey(f"/save {tmp_path / 'saved.jsonl'}")
    terminal._obey("/image nowhere.png")
    assert "is attached to the next message" in notes[0]
    assert "error" in notes[-1]
    kept = json.loads((tmp_path / "saved.jsonl").read_text())
    assert kept["messages"][0]["content"][0] == {"type": "image", "path": str(picture)}
    assert terminal.images == []


def test_a_mistake_in_a_prompt_is_refused(run, chat_run, picture, cli_inside, tmp_path):
    path = written(tmp_path / "ask.jsonl", said("red.png"), said("blue.png"))
    done = cli_inside("generate", str(run), "--input", path)
    assert done.code == 2
    assert "ask.jsonl:2" in done.err
    assert "blue.png" in done.err
    (tmp_path / "blue.png").write_bytes(b"")
    done = cli_inside("generate", str(run), "--input", path)
    assert done.code == 2
    assert "blue.png cannot be read" in done.err
    done = cli_inside("generate", str(chat_run), "--prompt", "a", "--image", str(picture))
    assert done.code == 2
    assert "does not accept images" in done.err
    done = cli_inside(
        "generate", str(chat_run), "--input", written(tmp_path / "other.jsonl", said("red.png"))
    )
    assert done.code == 2
    assert "only supports text" in done.err


def test_a_report_shows_the_image_beside_question_gold_and_answer(run, cli_inside, tmp_path):
    done = cli_inside("report", str(run), "-o", str(tmp_path / "site"))
    assert done.code == 0, done.err
    assert any((tmp_path / "site" / "media").iterdir())
    drawn = "".join(p.read_text() for p in (tmp_path / "site" / "data").rglob("*.js*"))
    assert '"image"' in drawn


def test_a_batch_is_drawn_with_its_images(cli_inside, tmp_path):
    done = cli_inside("train", *DATA, *SIZES, "debug=batch", f"paths.output_dir={tmp_path}")
    assert done.code == 0, done.err
    assert "User: <image>×4" in done.out
    assert "images: user: [" in done.out


def test_what_is_exported_answers_as_the_run_does(run, picture, cli_inside, tmp_path):
    """Messages with an image, in plain transformers: tokens and pixels by the processor alone."""
    import transformers

    out = tmp_path / "out"
    done = cli_inside("export", str(run), str(out))
    assert done.code == 0, done.err
    assert "matches the run's model" in done.out + done.err
    model: Any = transformers.AutoModelForImageTextToText.from_pretrained(out)
    processor: Any = transformers.AutoProcessor.from_pretrained(out)
    content = [{"type": "image", "path": str(picture)}, {"type": "text", "text": "what colour?"}]
    given = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    found = model.generate(**given, max_new_tokens=4, do_sample=False)
    options = ("--prompt", "what colour?", "--image", str(picture), "--greedy", "-n", "4")
    done = cli_inside("generate", str(run), *options, "--output", "-")
    wanted = json.loads(done.out)["tokens"]
    assert found[0, given["input_ids"].shape[1] :].tolist() == wanted


WAYS = {
    "blind": ["task.blind=true"],
    "blind, by a model of texts": ["task.blind=true", "model=gpt2_tiny"],
    "lora": ["peft=lora", "+peft.config.target_modules=[q_proj,v_proj]"],
    "tower frozen": ["optimizer.freeze=['*vision_tower*']"],
    "rates": ["+optimizer.module_lr={vision_tower: 0.0, multi_modal_projector: 1e-3}"],
    "rows shared": ["data.packing=true", "data.max_length=64"],
    "by tokens": ["data.batch_examples=null", "data.batch_tokens=128", "data.micro_tokens=64"],
}


@pytest.mark.slow(1)
@pytest.mark.parametrize("way", quick.only(["tower frozen", "rows shared"], WAYS))
def test_ways_to_train(way, run, tmp_path):
    sizes = [] if "model=gpt2_tiny" in WAYS[way] else SIZES
    found = train(tmp_path, *sizes, *WAYS[way])
    result = json.loads((found / "result.json").read_text())
    assert result["metrics"]["test/loss"] > 0
    loaded: Any = load(found).model
    if way in ("tower frozen", "rates"):
        other: Any = load(run).model
        pairs = zip(loaded.named_parameters(), other.parameters(), strict=True)
        tower = [(a, b) for (name, a), b in pairs if "vision_tower" in name]
        assert not all(torch.equal(a, b) for a, b in tower)  # the other one has learned


@pytest.mark.slow(1)
def test_a_model_of_images_and_text_is_read_by_its_path(run, tmp_path):
    loaded = load(run)
    folder = tmp_path / "theirs"
    model: Any = loaded.model
    model.encoder.model.save_pretrained(folder)
    loaded.processor.save_pretrained(folder)
    more = ["model=pretrained", f"model.path={folder}", "optimizer.lr=0"]
    found = train(tmp_path, *more)
    ours, theirs = (json.loads((f / "result.json").read_text()) for f in (found, run))
    assert ours["metrics"]["test/loss"] == pytest.approx(theirs["metrics"]["test/loss"], rel=1e-4)


def test_a_processor_that_knows_no_tokens_of_images_is_refused():
    from transformers import ProcessorMixin

    from lushan.vision.reader import ImageReader

    class Other(ProcessorMixin):
        image_token = "<image>"

        def __init__(self) -> None:
            """Do nothing."""

    with pytest.raises(UserError, match="does not define image tokens"):
        ImageReader(Other())
