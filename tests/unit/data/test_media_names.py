"""Names by which tables call images: without an ending, from Windows, from the folder above."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.data.test_media import KINDS, content, packed, png

from lushan.config.build import build, source_of
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.data.media import Media
from lushan.errors import UserError

NAMES = ("cats/one.png", "cats/two.JPG", "cats/v1.5.png", "both.png", "both.jpg", "alone.jpg")
FILES = {name: png(number) for number, name in enumerate((*NAMES, "alone.txt", "notes.txt"))}
FOUND = {
    "cats/one": "cats/one.png",
    "cats/two": "cats/two.JPG",
    "cats/v1.5": "cats/v1.5.png",
    "alone": "alone.jpg",  # of the two, the one that is an image
    "cats\\one.png": "cats/one.png",
    ".\\cats\\one.png": "cats/one.png",
    "cats\\one": "cats/one.png",
    "images/cats/one.png": "cats/one.png",
    "./images/cats/one.png": "cats/one.png",
    "images\\cats\\two.JPG": "cats/two.JPG",
    "images/alone": "alone.jpg",
}
MISSING = ("both", "notes", "cats/v1", "cats/three", "other/alone.jp", "cats", "images", "")
OUTSIDE = (
    "..\\secret",
    "..\\secret.png",
    "images\\..\\..\\secret.png",
    "../secret",
    "cats/../../secret",
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_is_matched_where_one_image_can_be_meant(kind: str, tmp_path: Path) -> None:
    media = Media(packed(tmp_path / "images", kind, FILES))
    for name, file in FOUND.items():
        found = media.find(name)
        assert found is not None, name
        assert content(found) == FILES[file], name
    for name in MISSING:
        assert media.find(name) is None, name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", OUTSIDE)
def test_no_other_spelling_leads_outside(kind: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(png(9))
    media = Media(packed(tmp_path / "images", kind, FILES))
    assert media.find(name) is None


def test_no_ending_is_guessed_behind_a_link_that_leads_out(tmp_path: Path) -> None:
    place = packed(tmp_path / "images", "folder", FILES)
    packed(tmp_path / "secret", "folder", {"one.png": png(9)})
    (place / "linked").symlink_to(tmp_path / "secret")
    (place / "single.png").symlink_to(tmp_path / "secret" / "one.png")
    assert Media(place).find("linked/one") is None
    for name in ("single", "linked\\one.png"):
        with pytest.raises(UserError, match="points outside of"):
            Media(place).find(name)


def test_a_file_of_exactly_this_name_comes_first(tmp_path: Path) -> None:
    files = {"a": png(1), "a.png": png(2), "b\\c.png": png(3), "b/c.png": png(4)}
    files |= {"images/d.png": png(5), "d.png": png(6)}
    place = tmp_path / "images"
    for name, data in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    for name, data in files.items():
        assert content(Media(place).find(name)) == data, name


@pytest.mark.parametrize("written", ["{0}", "train\\{0}.png", "./train/{0}.png", "train/{0}"])
def test_a_table_of_names_and_classes(
    written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    packed(tmp_path / "train", "folder", {f"{i}ab.png": png(i) for i in range(4)})
    rows = "".join(f"{written.format(f'{i}ab')},{'ab'[i % 2]}\n" for i in range(4))
    (tmp_path / "labels.csv").write_text(f"id,breed\n{rows}")
    options = ("data=table", "data.train=labels.csv", "data.label=breed", "data.id=null")
    media = ("data.media=train", "+data.fields.image=id")
    cfg = check(compose(["task=image_classification", *options, *media]))
    table = source_of(cfg).read(build(cfg["task"]).fields).splits["train"]
    assert [Path(value["path"]).name for value in table["image"].to_pylist()] == [
        f"{i}ab.png" for i in range(4)
    ]
