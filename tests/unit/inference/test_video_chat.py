"""A run on videos: its predictions, report and batch show frames, and it is asked about others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.conftest import trained
from tests.helpers.clips import clip
from tests.unit.inference.test_image_chat import SIZES, written

from lushan.errors import UserError
from lushan.inference.chat_session import Conversation, Terminal
from lushan.inference.generator import open_generator
from lushan.models.decoding import Settings

SMALL = [
    *("task=chat", "data=chat", "data.batch_examples=4", "data.frames=3"),
    *("task.generate_examples=4", "task.max_new_tokens=3", "trainer.max_epochs=1"),
    *("trainer=cpu", "trainer.precision=32-true", "logger=none"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    rows = []
    for number in range(8):
        up = number % 2
        shades = range(20 + number, 200, 20)
        (folder / f"{number}.mp4").write_bytes(clip(shades if up else shades[::-1]))
        said = ["<video>brighter or darker?", "brighter" if up else "darker"]
        rows.append({"messages": said, "videos": [f"{number}.mp4"]})
    written(folder / "rows.jsonl", *rows)
    return folder


def overrides(data: Path) -> list[str]:
    files = [f"data.{split}={data / 'rows.jsonl'}" for split in ("train", "validation", "test")]
    return [*SMALL, *SIZES, *files, f"data.media={data}"]


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("run"), small=overrides(data))


def test_predictions_keep_the_frames_and_the_report_shows_them(run, cli_inside, tmp_path):
    rows = [json.loads(line) for line in (run / "predictions/test.jsonl").open()]
    content = rows[0]["messages"][0]["content"]
    assert [part["type"] for part in content] == ["image", "image", "image", "text"]
    assert all((run / part["path"]).is_file() for part in content[:3])
    done = cli_inside("report", str(run), "-o", str(tmp_path / "site"))
    assert done.code == 0, done.err
    assert len(list((tmp_path / "site" / "media").iterdir())) >= 3


def test_a_batch_is_drawn_with_its_frames(data, cli_inside, tmp_path):
    more = ("debug=batch", f"paths.output_dir={tmp_path}")
    done = cli_inside("train", *overrides(data), *more)
    assert done.code == 0, done.err
    assert "User: <image>×12" in done.out
    assert done.out.count("bytes of an image)") >= 3


@pytest.mark.slow(1)
def test_a_video_is_asked_about_in_a_file_a_prompt_and_a_chat(
    run, data, cli_inside, tmp_path, monkeypatch
):
    video = data / "3.mp4"
    question = {"type": "text", "text": "brighter or darker?"}
    part = {"type": "video", "video": str(video)}
    path = written(
        data / "ask.jsonl", {"messages": [{"role": "user", "content": [part, question]}]}
    )
    done = cli_inside("generate", str(run), "--input", path, "--output", "-", "--greedy")
    assert done.code == 0, done.err
    asked = json.loads(done.out)
    assert [p["type"] for p in asked["prompt"][0]["content"]] == ["image"] * 3 + ["text"]
    options = ("--prompt", "brighter or darker?", "--image", str(video), "--greedy")
    assert cli_inside("generate", str(run), *options).out.strip() == asked["text"]
    predicted = tmp_path / "predicted.jsonl"
    rows = str(data / "rows.jsonl")
    done = cli_inside("predict", str(run), "--input", rows, "--output", str(predicted))
    assert done.code == 0, done.err
    first = json.loads(predicted.read_text().splitlines()[0])
    assert [p["type"] for p in first["messages"][0]["content"]] == ["image"] * 3 + ["text"]
    terminal = Terminal(Conversation(open_generator(run), Settings(max_new_tokens=3, greedy=True)))
    notes: list[str] = []
    monkeypatch.setattr(terminal, "note", notes.append)
    terminal._obey(f"/image {video}")
    assert len(terminal.images) == 3
    assert "is attached to the next message" in notes[0]


@pytest.mark.parametrize("content", [b"", b"no video"])
def test_a_video_that_is_none_is_refused_by_its_name(content, run, cli_inside, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(content)
    done = cli_inside(
        "generate", str(run), "--prompt", "which?", "--image", str(tmp_path / "bad.mp4")
    )
    assert done.code == 2
    assert "bad.mp4 cannot be read" in done.err


def test_training_on_a_bad_video_names_its_row_before_anything_is_built(data, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"")
    row = {"messages": ["<video>?", "brighter"], "videos": ["bad.mp4"]}
    path = written(tmp_path / "rows.jsonl", row)
    files = [f"data.{split}={path}" for split in ("train", "validation", "test")]
    with pytest.raises(UserError, match="it is empty") as error:
        trained(tmp_path, *files, f"data.media={tmp_path}", small=overrides(data))
    assert error.value.line == 1
