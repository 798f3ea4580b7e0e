"""Images in messages: typed parts, marks for images of a field, copies, previews, and mistakes."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from lushan.data.field_tables import keys
from lushan.data.fields import DIALOGUES
from lushan.data.messages import alike, dialogues_of
from lushan.data.source import Corpus
from lushan.errors import UserError
from lushan.vision import images

SAID = {"role": "assistant", "content": "red"}


@pytest.fixture
def media(tmp_path: Path) -> str:
    """A folder with images of one colour, one of them twice."""
    folder = tmp_path / "media"
    folder.mkdir()
    for name, color in (("a", "red"), ("again", "red"), ("b", "blue")):
        (folder / f"{name}.png").write_bytes(images.encoded(color))
    return str(folder)


def asked(*parts: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}, SAID]


def shown(corpus: Corpus, row: int = 0) -> list[Any]:
    """The contents of a dialogue, images by their names."""
    dialogues, _ = dialogues_of(corpus.splits["train"].to_pydict())
    contents = [m["content"] for m in dialogues[row]]
    return [
        c if isinstance(c, str) else [p.get("text") or f"[{Path(p['path']).stem}]" for p in c]
        for c in contents
    ]


@pytest.mark.parametrize("key", ["image", "path", "url"])
@pytest.mark.parametrize("form", ["{}", "{}/a.png", "file://{}/a.png"])
def test_an_image_is_a_part_that_names_its_file(key: str, form: str, media: str, read_chat: Any):
    name = "a.png" if form == "{}" else form.format(media)
    corpus = read_chat({"messages": asked({"type": "image", key: name}, _text("?"))}, media=media)
    assert shown(corpus) == [["[a]", "?"], "red"]


def test_parts_that_are_all_texts_are_one_text(read_chat: Any) -> None:
    corpus = read_chat({"messages": asked(_text("a"), _text("b"))})
    assert shown(corpus) == ["ab", "red"]
    assert "images" not in str(corpus.splits["train"].schema)


def test_marks_stand_for_the_images_of_a_field(media: str, read_chat: Any) -> None:
    said = "first <image> and <image>: which is blue?"
    conversation = [{"from": "human", "value": said}, {"from": "gpt", "value": "the second"}]
    row = {"conversations": conversation, "images": ["a.png", "b.png"]}
    single = {"conversations": [{"from": "human", "value": "<image>"}, conversation[1]]}
    corpus = read_chat(row, single | {"images": "b.png"}, media=media)
    parts = ["first ", "[a]", " and ", "[b]", ": which is blue?"]
    assert shown(corpus) == [parts, "the second"]
    assert shown(corpus, 1) == [["[b]"], "the second"]


def test_images_of_an_instruction_stand_before_it(media: str, read_chat: Any) -> None:
    row = {"question": "colour?", "answer": "red", "image": "a.png"}
    assert shown(read_chat(row, media=media)) == [["[a]", "colour?"], "red"]


def test_copies_have_the_same_text_and_the_same_images_wherever_these_lie(
    media: str, read_chat: Any
) -> None:
    rows = [
        {"messages": asked({"type": "image", "path": f"{name}.png"}, _text("?"))}
        for name in ("a", "again", "b")
    ]
    table = read_chat(*rows, media=media).splits["train"]
    first, second, third = keys(table, DIALOGUES)
    assert first == second != third
    one, other, blue = (
        DIALOGUES["messages"].content(table.column("messages").slice(i, 1)) for i in range(3)
    )
    assert one.equals(other)
    assert not one.equals(blue)


def test_a_message_with_an_image_alone_is_not_blank_and_is_previewed(
    media: str, read_chat: Any
) -> None:
    corpus = read_chat({"messages": asked({"type": "image", "path": "a.png"})}, media=media)
    value = corpus.splits["train"].column("messages")[0].as_py()
    field = DIALOGUES["messages"]
    assert corpus.notes == []
    assert not field.is_blank(value)
    assert field.preview(value) == f"user: [{media}/a.png] | assistant: red"
    (user, _) = field.stored(value)
    assert user == {
        "role": "user",
        "content": [{"type": "image", "path": f"{media}/a.png"}],
    }


def test_messages_of_one_role_are_joined_with_their_images(media: str, read_chat: Any) -> None:
    row = [{"role": "user", "content": "look"}, *asked({"type": "image", "path": "a.png"})]
    corpus = read_chat({"messages": row}, media=media)
    assert shown(corpus) == [["look", "\n", "[a]"], "red"]
    assert "merged" in corpus.notes[0]


def test_tables_with_and_without_images_have_the_same_columns(media: str, read_chat: Any) -> None:
    plain = read_chat({"messages": asked(_text("a"))}).splits["train"]
    row = {"messages": asked({"type": "image", "path": "a.png"})}
    seen = read_chat(row, media=media).splits["train"]
    one, other = alike([plain, seen])
    assert one.schema.equals(other.schema)
    assert dialogues_of(one.to_pydict())[0][0][0]["content"] == "a"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"messages": asked({"type": "image"})}, "has no file"),
        ({"messages": asked({"type": "image", "path": "a.png", "url": "b"})}, "has path and url"),
        ({"messages": asked({"type": "image", "url": "https://x/a.png"})}, "URL of https"),
        (
            {"messages": asked({"type": "image", "url": f"data:;{base64.b64encode(b'x')!r}"})},
            "URL of data",
        ),
        ({"messages": asked({"type": "image", "path": "c.png"})}, "no image of this name"),
        ({"messages": asked({"type": "image", "path": "../rows.jsonl"})}, "no image of this name"),
        ({"messages": asked({"type": "audio", "path": "a.png"})}, "of type 'audio'"),
        ({"messages": asked({"type": "text"})}, "has no text"),
        (
            {"messages": [SAID | {"content": [{"type": "image", "path": "a.png"}]}]},
            "by the assistant and has an image",
        ),
        ({"messages": ["<image>", "x"], "images": []}, "1 placeholders <image>, but 0 images"),
        (
            {"messages": ["<image>", "x"], "images": ["a.png"] * 2},
            "1 placeholders <image>, but 2 images",
        ),
        ({"messages": ["?", "<image>"], "images": ["a.png"]}, "the assistant says <image>"),
        ({"messages": ["<image>", "x"], "images": ["c.png"]}, "no image of this name"),
        ({"messages": ["<image>", "x"], "images": [3]}, "the image is missing"),
    ],
)
def test_a_mistake_is_refused_with_its_line(
    row: Any, problem: str, media: str, read_chat: Any
) -> None:
    good = {"messages": ["<image>", "red"], "images": ["a.png"]}
    if "images" not in row:
        good = {"messages": ["?", "red"]}
    with pytest.raises(UserError, match=problem) as caught:
        read_chat(good, row, media=media)
    assert caught.value.line == 2
    assert str(caught.value.file).endswith("rows.jsonl")


def test_without_a_place_for_images_the_key_is_named(read_chat: Any) -> None:
    with pytest.raises(UserError, match="but the folder is unknown") as caught:
        read_chat({"messages": asked({"type": "image", "path": "a.png"})})
    assert "data.media" in str(caught.value.hint)


def _text(content: str) -> dict[str, str]:
    return {"type": "text", "text": content}


def test_the_same_is_asked_of_each_image(media: str, read_chat: Any) -> None:
    rows = [
        {"image": f"{name}.png", "name": color} for name, color in (("a", "red"), ("b", "blue"))
    ]
    corpus = read_chat(*rows, media=media, ask="What is this?", output="name")
    assert [shown(corpus, row) for row in (0, 1)] == [
        [["[a]", "What is this?"], "red"],
        [["[b]", "What is this?"], "blue"],
    ]
    with pytest.raises(UserError, match="either from a field"):
        read_chat(*rows, media=media, ask="What is this?", instruction="name")
