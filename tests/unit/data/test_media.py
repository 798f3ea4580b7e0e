"""Images that rows name, and folders of them: found, bounded, and part of the fingerprint."""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image as Pillow
from tests.helpers import quick

from lushan.data.fields import Image, Label, Text
from lushan.data.formats import Folder, Hub, Jsonl, Table
from lushan.data.media import Media
from lushan.errors import UserError

FIELDS = {"image": Image(), "label": Label()}
NAMES = ("cats/one.png", "cats/two.png", "dogs/one.png", "top.png")
KINDS = ("folder", "tar", "tar.gz", "zip")


def png(number: int) -> bytes:
    file = io.BytesIO()
    Pillow.new("RGB", (4, 4), (number, 0, 0)).save(file, "PNG")
    return file.getvalue()


FILES = {name: png(number) for number, name in enumerate(NAMES)}


def packed(place: Path, kind: str, files: dict[str, bytes]) -> Path:
    """A folder or an archive of files."""
    if kind == "folder":
        for name, data in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(data)
        return place
    path = place.with_name(f"{place.name}.{kind}")
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def content(reference) -> bytes:
    return Path(reference["path"]).read_bytes() if reference["path"] else reference["bytes"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_is_found_by_its_path(kind, tmp_path):
    media = Media(packed(tmp_path / "images", kind, FILES))
    for name, data in FILES.items():
        assert content(media.find(name)) == data
        assert content(media.find(f"./{name}")) == data
        assert content(media.find(f"cats/../{name}")) == data
    assert media.find("cats") is None
    assert media.find("three.png") is None
    last = media.find("two.png")  # of an archive, where there is one of this name
    assert (last is None) == (kind == "folder")
    assert media.find("one.png") is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["../secret.png", "cats/../../secret.png", "/etc/passwd", "~/x", "a\0b", "x" * 5000, ""]
)
def test_what_lies_outside_is_not_there(kind, name, tmp_path):
    (tmp_path / "secret.png").write_bytes(png(9))
    media = Media(packed(tmp_path / "images", kind, FILES))
    assert media.find(name) is None
    assert media.find(str(tmp_path / "secret.png")) is None


def test_an_absolute_path_below_the_folder_is_found(tmp_path):
    place = packed(tmp_path / "images", "folder", FILES)
    assert content(Media(place).find(str(place / "top.png"))) == FILES["top.png"]


def test_a_link_that_leads_out_is_refused(tmp_path):
    place = packed(tmp_path / "images", "folder", FILES)
    (tmp_path / "secret.png").write_bytes(png(9))
    (place / "link.png").symlink_to(tmp_path / "secret.png")
    (place / "inner.png").symlink_to(place / "top.png")
    media = Media(place)
    assert content(media.find("inner.png")) == FILES["top.png"]
    for ask in (lambda: media.find("link.png"), lambda: media.files, media.fingerprint):
        with pytest.raises(UserError, match="points outside of"):
            ask()


def test_a_pipe_is_no_image(tmp_path):
    place = packed(tmp_path / "images", "folder", FILES)
    os.mkfifo(place / "pipe.png")
    assert Media(place).find("pipe.png") is None


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_a_bomb_is_refused_by_its_size(kind, tmp_path):
    files = {"big.png": b"\0" * 2_000_000}
    path = tmp_path / f"bomb.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("big.png", files["big.png"])
    else:
        packed(tmp_path / "bomb", kind, files)
    with pytest.raises(UserError, match=r"unpack to more than 1,000,000 bytes") as caught:
        Media(path, largest=1_000_000).find("big.png")
    assert "data.largest_file" in caught.value.hint
    assert Media(path, largest=3_000_000).find("big.png") is not None


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
@pytest.mark.parametrize("damage", ["cut", "none", "middle"])
def test_a_damaged_archive_is_refused_with_its_name(kind, damage, tmp_path):
    path = packed(tmp_path / "images", kind, FILES | {"noise.png": os.urandom(3000)})
    data = path.read_bytes()
    half = len(data) // 2
    if damage == "cut":
        path.write_bytes(data[:half])
    elif damage == "none":
        path.write_bytes(b"no archive at all" * 50)
    elif kind == "tar":
        path.write_bytes(data[:512] + b"\xff" * 512 + data[1024:1536] + b"x" * len(data))
    else:
        path.write_bytes(data[:half] + b"\0" * 40 + data[half + 40 :])
    with pytest.raises(UserError) as caught:
        Media(path).find("nothing.png") or pytest.fail("read")
    assert caught.value.file == str(path)
    assert "FOLDER" in str(caught.value) or "folder" in str(caught.value)


def test_an_archive_with_a_password_is_refused(tmp_path):
    path = packed(tmp_path / "images", "zip", FILES)
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = data.find(signature)
        data[start + offset] |= 1  # "encrypted"
    path.write_bytes(data)
    with pytest.raises(UserError, match="cannot be read"):
        Media(path).find("top.png")


def test_there_must_be_such_a_place(tmp_path):
    with pytest.raises(UserError) as caught:
        Media(tmp_path / "nowhere")
    assert caught.value.key == "data.media"


@pytest.mark.parametrize("kind", KINDS)
def test_the_fingerprint_changes_with_an_image(kind, tmp_path):
    before = Media(packed(tmp_path / "images", kind, FILES)).fingerprint()
    assert (
        Media(packed(tmp_path / "images", kind, FILES)).fingerprint() == before or kind != "folder"
    )
    changed = FILES | {"dogs/one.png": png(99)}
    assert Media(packed(tmp_path / "images", kind, changed)).fingerprint() != before


# Rows that name images


def rows(tmp_path, *names, kind="folder", **options):
    packed(tmp_path / "images", kind, FILES)
    lines = [json.dumps({"picture": name, "label": "cat"}) for name in names]
    file = tmp_path / "train.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    place = "images" if kind == "folder" else f"images.{kind}"
    given = {"media": place, "fields": {"image": "picture"}, "dir": str(tmp_path)} | options
    return Jsonl(train="train.jsonl", **given)


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_of_names_is_read_as_images(kind, tmp_path):
    source = rows(tmp_path, "cats/one.png", "top.png", kind=kind)
    table = source.read(FIELDS).splits["train"]
    found = [content(image) for image in table.column("image").to_pylist()]
    assert found == [FILES["cats/one.png"], FILES["top.png"]]


def test_a_missing_image_is_named_with_its_line_and_a_near_one(tmp_path):
    with pytest.raises(UserError) as caught:
        rows(tmp_path, "cats/one.png", "cats/tow.png").read(FIELDS)
    error = caught.value
    assert (error.line, error.value) == (2, "cats/tow.png")
    assert "cats/two.png" in error.hint
    with pytest.raises(UserError) as caught:
        rows(tmp_path, "../train.jsonl").read(FIELDS)
    assert (caught.value.line, caught.value.value) == (1, "../train.jsonl")


def test_what_is_no_file_is_not_offered_as_its_own_correction(tmp_path):
    (tmp_path / "images").mkdir()
    os.mkfifo(tmp_path / "images" / "pipe.png")
    for name in ("pipe.png", "cats"):
        source = rows(tmp_path, "top.png", name)
        with pytest.raises(UserError) as caught:
            source.read(FIELDS)
        assert (caught.value.line, caught.value.hint) == (
            2,
            "This name exists, but it is not a file.",
        )


@pytest.mark.parametrize("value", [None, "", 7, {"path": "a"}, []], ids=str)
def test_what_names_no_image_is_refused_with_its_line(value, tmp_path):
    with pytest.raises(UserError, match="the image is missing") as caught:
        rows(tmp_path, "top.png", value).read(FIELDS)
    assert caught.value.line == 2


def test_a_list_of_one_image_is_that_image_and_one_of_two_is_refused(tmp_path):
    found = rows(tmp_path, "top.png", ["top.png"]).read(FIELDS).splits["train"].column("image")
    assert found[0] == found[1]
    with pytest.raises(UserError, match="a row must have one image, but this one has 2") as caught:
        rows(tmp_path, "top.png", ["top.png", "cats/two.png"]).read(FIELDS)
    assert caught.value.line == 2


def test_where_images_lie_must_be_stated(tmp_path):
    with pytest.raises(UserError, match=r"data\.media=FOLDER") as caught:
        rows(tmp_path, "top.png", media=None).read(FIELDS)
    assert caught.value.line == 1


@pytest.mark.parametrize("kind", quick.only(["folder"], KINDS))
def test_a_changed_image_changes_the_hash_of_the_data(kind, tmp_path):
    source = rows(tmp_path, "top.png", kind=kind)
    before, rows_before = source.fingerprint(), source.read(FIELDS).fingerprint()
    assert (source.fingerprint(), source.read(FIELDS).fingerprint()) == (before, rows_before)
    packed(tmp_path / "images", kind, FILES | {"top.png": png(77)})
    assert source.fingerprint() != before
    assert source.read(FIELDS).fingerprint() != rows_before


def test_the_column_of_a_field_is_named_by_the_field(tmp_path):
    source = rows(tmp_path, "top.png", fields=None)
    with pytest.raises(UserError) as caught:
        source.read(FIELDS)
    assert caught.value.key == "data.fields.image"
    assert "+data.fields.image=NAME; the fields are: picture, label." in caught.value.hint
    with pytest.raises(UserError) as caught:
        rows(tmp_path, "top.png", fields={"image": "pictures"}).read(FIELDS)
    assert caught.value.key == "data.fields.image"
    assert "picture" in caught.value.hint


def test_any_field_of_a_table_is_named_so(tmp_path):
    (tmp_path / "x.csv").write_text("q,c,label\nWho?,Anna lives,1\n", encoding="utf-8")
    fields = {"question": Text(), "context": Text(), "label": Label()}
    source = Table(train=str(tmp_path / "x.csv"), fields={"question": "q", "context": "c"})
    (row,) = source.read(fields).splits["train"].to_pylist()
    assert (row["question"], row["context"], row["label"]) == ("Who?", "Anna lives", "1")


# Folders by class


@pytest.mark.parametrize("kind", KINDS)
def test_the_class_of_an_image_is_its_folder(kind, tmp_path):
    files = {name: data for name, data in FILES.items() if "/" in name}
    hidden = {"cats/._one.png": b"x", ".cache/x.png": b"x", "__MACOSX/cats/a.png": b"x"}
    other = {"cats/readme.txt": b"x", "README.md": b"---\nconfigs: /etc\n---\n"}
    if kind == "folder":
        hidden.pop("__MACOSX/cats/a.png")
    place = packed(tmp_path / "train", kind, files | hidden | other)
    table = Folder(train=place.name, dir=str(tmp_path)).read(FIELDS).splits["train"]
    assert table.column("id").to_pylist() == sorted(files)
    assert table.column("label").to_pylist() == ["cats", "cats", "dogs"]
    found = [content(image) for image in table.column("image").to_pylist()]
    assert found == [files[name] for name in sorted(files)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_may_stand_in_a_file_beside_the_image(kind, tmp_path):
    files = {
        "0001.png": png(1),
        "0001.cls": b"cat\n",
        "0002.png": png(2),
        "0002.cls": "狗".encode(),
    }
    place = packed(tmp_path / "train", kind, files)
    table = Folder(train=place.name, dir=str(tmp_path)).read(FIELDS).splits["train"]
    assert table.column("label").to_pylist() == ["cat", "狗"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_may_stand_in_a_file_beside_the_image(kind, tmp_path):
    files = {"0001.png": png(1), "0001.txt": b"a cat\n"}
    fields = {"text": Text(), "image": Image()}
    place = packed(tmp_path / "train", kind, files)
    table = Folder(train=place.name, dir=str(tmp_path)).read(fields).splits["train"]
    assert table.column("text").to_pylist() == ["a cat"]
    bare = packed(tmp_path / "bare", kind, {"0001.png": png(1)})
    with pytest.raises(UserError, match=r"there is no 0001\.txt"):
        Folder(train=bare.name, dir=str(tmp_path)).read(fields)


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_in_no_folder_is_refused(kind, tmp_path):
    place = packed(tmp_path / "train", kind, FILES)
    with pytest.raises(UserError, match=r"top\.png is not in a folder") as caught:
        Folder(train=place.name, dir=str(tmp_path)).read(FIELDS)
    assert caught.value.key == "data.train"


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_without_an_image_is_refused(kind, tmp_path):
    place = packed(tmp_path / "train", kind, {"cats/x.txt": b"x"})
    with pytest.raises(UserError, match="there is no image"):
        Folder(train=place.name, dir=str(tmp_path)).read(FIELDS)
    with pytest.raises(UserError, match="there is no folder or archive"):
        Folder(train="nowhere", dir=str(tmp_path)).read(FIELDS)


# Encoded images in columns


def encoded(tmp_path):
    return [
        {"image": {"bytes": png(i), "path": str(tmp_path / "x.png")}, "label": "ab"[i % 2]}
        for i in range(4)
    ]


def test_a_column_of_parquet_may_hold_encoded_images(tmp_path):
    file = tmp_path / "x.parquet"
    pq.write_table(pa.Table.from_pylist(encoded(tmp_path)), file)
    table = Table(train=str(file)).read(FIELDS).splits["train"]
    assert [content(image) for image in table.column("image").to_pylist()] == [
        png(i) for i in range(4)
    ]


def test_a_set_of_the_hub_gives_its_encoded_images_and_opens_no_file(tmp_path):
    import datasets

    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    rows = encoded(tmp_path)
    datasets.DatasetDict(train=datasets.Dataset.from_list(rows, features=features)).save_to_disk(
        tmp_path / "saved"
    )
    table = (
        Hub(path=str(tmp_path / "saved"), validation=None, test=None).read(FIELDS).splits["train"]
    )
    assert [content(image) for image in table.column("image").to_pylist()] == [
        png(i) for i in range(4)
    ]
    (tmp_path / "x.png").write_bytes(png(9))
    rows[1]["image"]["bytes"] = None  # a path alone: another's file, perhaps
    (tmp_path / "named").mkdir()
    named = pa.Table.from_pylist(rows, schema=features.arrow_schema)
    pq.write_table(named, tmp_path / "named" / "train.parquet")
    with pytest.raises(UserError, match="the image is missing"):
        Hub(path=str(tmp_path / "named"), validation=None, test=None).read(FIELDS)
