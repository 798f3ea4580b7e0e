"""Images, archives and image processors of others: what Pillow and `tarfile` would do for them."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from lushan.data import processing, references
from lushan.data.fields import Label
from lushan.data.formats import Folder
from lushan.data.media import Media
from lushan.engine import components
from lushan.errors import UserError
from lushan.tasks.batches import Limits
from lushan.tasks.image_classification import ImageClassification
from lushan.vision import images, processors
from lushan.vision.reader import ImageReader

pytestmark = pytest.mark.fault(80)

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"


def png(color: str = "red", size: tuple[int, int] = (8, 8), mode: str = "RGB") -> bytes:
    sink = io.BytesIO()
    Image.new(mode, size, color if mode == "RGB" else 0).save(sink, "PNG")
    return sink.getvalue()


def processor(**changed: object):
    made = processors.fresh(size=16)
    for name, value in changed.items():
        setattr(made, name, value)
    return made


def test_no_program_is_started_for_an_image(tmp_path, monkeypatch):
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path / 'marker'}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(UserError, match="format is not supported"):
        images.decode(EPS, "x.png")
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("kind", ["pipe", "huge"])
def test_a_file_of_an_image_is_read_within_bounds(kind, tmp_path, monkeypatch):
    path = tmp_path / "x.png"
    monkeypatch.setattr(images, "LARGEST", 10)
    os.mkfifo(path) if kind == "pipe" else path.write_bytes(png())
    with pytest.raises(UserError):
        images.read_bytes(str(path))


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_what_an_archive_says_of_its_members_is_bounded(kind, tmp_path):
    member = tarfile.TarInfo("x")
    member.type, member.size = kind, 1 << 30
    path = tmp_path / "x.tar.gz"
    with gzip.open(path, "wb") as file:
        file.write(member.tobuf(tarfile.GNU_FORMAT) + b"a" * 10_000)
    with pytest.raises(UserError, match="unpack to more than"):
        _ = Media(path).files


def test_so_are_members_that_hold_nothing(tmp_path):
    path = tmp_path / "x.tar.gz"
    with gzip.open(path, "wb") as file:
        file.write(tarfile.TarInfo("a/x.png").tobuf() * 4000)
    with pytest.raises(UserError, match="unpack to more than"):
        _ = Media(path, largest=100_000).files


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_names_that_are_no_text(kind, tmp_path):
    name = b"caf\xe9/x.png".decode("utf-8", "surrogateescape")
    place = tmp_path / kind
    if kind == "folder":
        (place / name).parent.mkdir(parents=True)
        (place / name).write_bytes(png())
    else:
        with tarfile.open(place, "w") as archive:
            member = tarfile.TarInfo(name)
            member.size = len(png())
            archive.addfile(member, io.BytesIO(png()))
    source = Folder(train=str(place), validation=None, test=None)
    with pytest.raises(UserError, match="not UTF-8"):
        source.read()
    with contextlib.suppress(UserError):
        source.fingerprint()


@pytest.mark.parametrize(
    "changed",
    [
        {"size": {"height": 10**6, "width": 10**6}},
        {"size": {"height": -1, "width": 3}},
        {"do_resize": False},
        {"resample": 99},
        {"image_mean": ["a"]},
        {"image_mean": [1, 2, 3, 4]},
        {"image_std": [0, 0, 0]},
        {"rescale_factor": "x"},
        {"image_processor_type": "CLIPImageProcessor", "crop_size": {"height": 1, "width": 10**9}},
        {
            "image_processor_type": "DetrImageProcessor",
            "size": {"shortest_edge": 16, "longest_edge": 99},
        },
    ],
)
def test_settings_of_an_image_processor(changed, tmp_path):
    processors.fresh(size=16).save_pretrained(tmp_path)
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    task = ImageClassification(head=lambda **_: None)
    with pytest.raises(UserError) as found:
        task.use(processing.pretrained(str(tmp_path)))
    assert found.value.key == "processor"


def test_an_image_that_is_long_is_not_scaled_by_its_shorter_side(tmp_path):
    made = processor(size={"shortest_edge": 224}, do_center_crop=True)
    picture = Image.new("1", (1_000_000, 1))
    with pytest.raises(UserError, match="too long"):
        processors.require_fits(picture, made, "x.png")
    processors.require_fits(Image.new("1", (1000, 1)), made, "x.png")
    processors.require_fits(picture, processor(), "x.png")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder of images with two classes."""
    for color in ("red", "blue"):
        (tmp_path / "set" / color).mkdir(parents=True)
        (tmp_path / "set" / color / "x.png").write_bytes(png(color))
    return tmp_path / "set"


def encoded(place: Path, cache: Path):
    """The task, and its encoded training split, of a folder of images."""
    source = Folder(train=str(place), validation=None, test=None)
    corpus = source.read({**ImageClassification.reads, "label": Label()})
    task = ImageClassification(head=lambda **_: None)
    task.use(processors.fresh(size=16))
    task.prepare(corpus)
    limits = Limits(max_length=512)
    found = components.encode_all(corpus, source, task, task.processor, limits, cache)
    return task, found["train"].rows(range(2))


def drawn(place: Path, cache: Path) -> np.ndarray:
    task, rows = encoded(place, cache)
    return np.stack([row["pixels"] for row in task.transform(rows, 1)])


def test_an_image_that_changes_later_is_not_learned_from(place, tmp_path):
    task, rows = encoded(place, tmp_path / "cache")
    (place / "red" / "x.png").write_bytes(png("green"))
    with pytest.raises(UserError, match="has changed since") as found:
        task.transform(rows, 1)
    assert found.value.file == str(place / "red" / "x.png")


def test_a_folder_that_was_copied_is_read_where_it_lies(place, tmp_path, monkeypatch):
    expected = drawn(place, tmp_path / "cache")
    other = shutil.copytree(place, tmp_path / "elsewhere" / "set")
    (place / "red" / "x.png").write_bytes(png("green"))
    (place / "blue" / "x.png").unlink()
    assert (drawn(other, tmp_path / "cache") == expected).all()
    monkeypatch.chdir(other.parent)  # by the path that the first one has from its own place
    assert (drawn(Path("set"), tmp_path / "cache") == expected).all()


def test_the_reader_of_messages_refuses_what_would_be_too_large():
    class Both:
        image_token = "<image>"
        image_processor = processor(size={"shortest_edge": 224})

        def replace_image_token(self, made, number):
            return ""

    reader = ImageReader(Both())
    with pytest.raises(UserError, match="too long"):
        reader.inputs_of(Image.new("1", (1_000_000, 1)))
    Both.image_processor = processor(image_mean=["a"])
    with pytest.raises(UserError, match="cannot be used"):
        reader.inputs_of(images.blank())
    Both.image_processor = processor(size={"height": 10**6, "width": 10**6})
    with pytest.raises(UserError, match="must be 1 to"):
        ImageReader(Both())


@pytest.mark.parametrize("deep", [False, True])
def test_paths_of_references_are_found_at_any_depth(deep):
    values = (
        [[{"parts": [{"path": "a.png", "bytes": b""}]}]]
        if deep
        else [{"path": "a.png", "bytes": b""}]
    )
    table = pa.table({"x": pa.array(values)})
    assert list(references.places(table)) == [str(Path.cwd() / "a.png")]
