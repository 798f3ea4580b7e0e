"""Videos in messages: typed parts, marks for videos of a field, their frames, and mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.helpers.clips import clip

from lushan.common import extras
from lushan.data.fields import DIALOGUES
from lushan.data.messages import dialogues_of
from lushan.data.source import Corpus
from lushan.errors import UserError
from lushan.vision import images

pytestmark = pytest.mark.fault(80)
SAID = {"role": "assistant", "content": "red"}


@pytest.fixture
def media(tmp_path: Path) -> str:
    """A folder with two videos, of 20 frames and of 3, and an image."""
    folder = tmp_path / "media"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(clip(range(0, 200, 10)))
    (folder / "b.mp4").write_bytes(clip((90, 90, 90)))
    (folder / "c.png").write_bytes(images.encoded("red"))
    return str(folder)


def shown(corpus: Corpus) -> list[Any]:
    """The content of the first message, frames by their shade and images by their names."""
    (content, *_), *_ = ([m["content"] for m in d] for d in dialogues_of(_rows(corpus))[0])
    return [p.get("text") or Path(p["path"]).stem or _shade(p["bytes"]) for p in content]


def _rows(corpus: Corpus) -> dict[str, list[Any]]:
    return corpus.splits["train"].to_pydict()


def _shade(data: bytes) -> int:
    return round(images.decode(data, "").getpixel((5, 5))[0] / 10) * 10


@pytest.mark.parametrize("key", ["video", "path", "url"])
def test_a_video_is_a_part_that_names_its_file(key, media, read_chat):
    parts = [{"type": "video", key: "a.mp4"}, {"type": "text", "text": "?"}]
    row = {"messages": [{"role": "user", "content": parts}, SAID]}
    assert shown(read_chat(row, media=media, frames=2)) == [50, 150, "?"]
    assert shown(read_chat(row, media=media, fps=2)) == [0, 50, 100, 150, "?"]


def test_marks_stand_for_the_videos_and_images_of_two_fields(media, read_chat):
    said = "first <video> then <image> and <video>"
    row = {"messages": [said, "red"], "videos": ["a.mp4", "b.mp4"], "images": ["c.png"]}
    found = shown(read_chat(row, media=media, frames=2))
    assert found == ["first ", 50, 150, " then ", "c", " and ", 90, 90]


def test_the_video_of_an_instruction_stands_before_it(media, read_chat):
    row = {"instruction": "which?", "output": "red", "video": "b.mp4"}
    assert shown(read_chat(row, media=media)) == [90, 90, 90, "which?"]


def test_without_videos_a_mark_is_text(media, read_chat):
    corpus = read_chat({"messages": ["what does <video> mean?", "a mark"]}, media=media)
    assert _rows(corpus)["messages"][0][0]["content"] == "what does <video> mean?"


def test_copies_are_known_by_their_frames(media, read_chat):
    row = {"messages": ["<video>which?", "red"], "videos": ["a.mp4"]}
    corpus = read_chat(row, {**row, "videos": ["b.mp4"]}, row, media=media)
    keys = [DIALOGUES["messages"].key(value) for value in _rows(corpus)["messages"]]
    assert keys[0] == keys[2] != keys[1]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"messages": ["<video>?", "red"], "videos": []}, "1 placeholders <video>, but 0 videos"),
        ({"messages": ["?", "red"], "videos": ["a.mp4"]}, "0 placeholders <video>, but 1 videos"),
        ({"messages": ["<video>?", "red"], "videos": ["d.mp4"]}, "no video of this name"),
        ({"messages": ["<video>?", "red"], "videos": [None]}, "the video is missing"),
        ({"messages": ["<video>?", "red"], "videos": ["c.png"]}, "not a video of a known format"),
        ({"messages": ["<video>?", "red"], "videos": ["../media/../x"]}, "no video of this name"),
        ({"messages": ["?", "<video>"], "videos": ["a.mp4"]}, "the assistant can only write text"),
    ],
)
def test_a_mistake_is_named_with_its_line(row, problem, media, read_chat):
    right = {"messages": ["<video>?", "red"], "videos": ["b.mp4"]}
    with pytest.raises(UserError, match=problem) as error:
        read_chat(right, row, media=media)
    assert error.value.line == 2


@pytest.mark.parametrize(
    "name", ["http://localhost/a.mp4", "s3://b/a.mp4", "data:video/mp4;base64,"]
)
def test_a_video_on_another_machine_is_refused(name, media, read_chat):
    parts = [{"type": "video", "video": name}, {"type": "text", "text": "?"}]
    with pytest.raises(UserError, match="a video must be a file"):
        read_chat({"messages": [{"role": "user", "content": parts}, SAID]}, media=media)


def test_without_pyav_the_first_video_is_refused(media, read_chat, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    row = {"messages": ["<video>?", "red"], "videos": ["b.mp4"]}
    with pytest.raises(UserError, match="PyAV") as error:
        read_chat(row, media=media)
    assert error.value.line == 1
